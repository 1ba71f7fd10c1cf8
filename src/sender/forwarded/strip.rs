//! What the service behind the layer must never see.

use http::{HeaderMap, HeaderName};

use super::{CLIENT_CERT, CLIENT_CERT_CHAIN, CheckedForwarded, Source, XFCC};

/// The fields that say which certificate a client has. A service that read one would believe whoever
/// wrote it; so that none is left, configured or not, in whatever spelling.
#[derive(Clone, Debug, Default)]
pub(crate) struct ForwardedFields {
    /// Beside those that are always removed.
    configured: Option<HeaderName>,
}

impl ForwardedFields {
    /// Those that are always removed, and the one that is read.
    pub(crate) fn of(forwarded: Option<&CheckedForwarded>) -> Self {
        let configured = forwarded.and_then(|forwarded| match &forwarded.source {
            Source::EscapedPem(header) => Some(header.clone()),
            Source::ClientCert | Source::Envoy { .. } => None,
        });
        Self { configured }
    }

    /// Removes them. It is done for every request: without such a field it compares a few lengths for
    /// each name, and allocates nothing.
    pub(crate) fn strip(&self, headers: &mut HeaderMap) {
        let found: Vec<HeaderName> =
            headers.keys().filter(|name| self.hold(name.as_str())).cloned().collect();
        for name in found {
            headers.remove(name);
        }
    }

    fn hold(&self, name: &str) -> bool {
        [CLIENT_CERT, CLIENT_CERT_CHAIN, XFCC]
            .into_iter()
            .chain(self.configured.as_ref().map(HeaderName::as_str))
            .any(|known| {
                known.len() == name.len() && is_spelling(name.as_bytes(), known.as_bytes())
            })
    }
}

/// Whether a name is a known one once `_` counts as `-`. Both are in lower case, and the known one has
/// no underscore.
fn is_spelling(name: &[u8], known: &[u8]) -> bool {
    name.iter().zip(known).all(|(octet, known)| octet == known || (*octet, *known) == (b'_', b'-'))
}
