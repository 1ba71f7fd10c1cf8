use std::fmt;
use std::sync::Arc;

use crate::name::NameError;

/// The longest SPIFFE ID, in bytes (SPIFFE ID §2.3).
pub(super) const MAX_ID: usize = 2_048;

/// The longest name of a trust domain, in bytes (SPIFFE ID §2.3).
const MAX_TRUST_DOMAIN: usize = 255;

const SCHEME: &str = "spiffe://";

/// The name of a workload, or of a trust domain: `spiffe://trust-domain/path` (SPIFFE ID §2).
/// Compared exactly; a clone is cheap.
///
/// ```
/// use portcullis::sender::SpiffeId;
///
/// let id = SpiffeId::parse("spiffe://example.org/ns/prod/sa/web")?;
/// assert_eq!((id.trust_domain(), id.path()), ("example.org", "/ns/prod/sa/web"));
///
/// assert!(SpiffeId::parse("spiffe://example.org:8443/ns/prod/sa/web").is_err());
/// assert!(SpiffeId::parse("spiffe://example.org/ns/../sa/web").is_err());
/// # Ok::<(), portcullis::name::NameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId {
    text: Arc<str>,
    /// Where the path begins.
    path: usize,
}

impl SpiffeId {
    /// Reads a SPIFFE ID, in its one spelling: the scheme and the trust domain in lower case
    /// (§2.1), nothing percent-encoded, no user information, port, query or fragment.
    ///
    /// # Errors
    /// If it is not a SPIFFE ID, is longer than 2048 bytes, or is spelled otherwise.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let wrong = |wanted| NameError::new("SPIFFE ID", text, wanted);
        if text.len() > MAX_ID {
            return Err(wrong("is longer than 2048 bytes"));
        }
        let rest =
            text.strip_prefix(SCHEME).ok_or_else(|| wrong("does not begin with spiffe://"))?;
        let (trust_domain, segments) = match rest.split_once('/') {
            Some((trust_domain, path)) => (trust_domain, Some(path)),
            None => (rest, None),
        };
        let fault = trust_domain_fault(trust_domain)
            .or_else(|| segments.and_then(|path| path.split('/').find_map(segment_fault)));
        if let Some(wanted) = fault {
            return Err(wrong(wanted));
        }
        let path = SCHEME.len().saturating_add(trust_domain.len());
        Ok(Self { text: text.into(), path })
    }

    /// The whole, `spiffe://trust-domain/path`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The trust domain, without the scheme.
    #[must_use]
    pub fn trust_domain(&self) -> &str {
        self.text.get(SCHEME.len()..self.path).unwrap_or_default()
    }

    /// The path, with its leading slash; empty for a trust domain.
    #[must_use]
    pub fn path(&self) -> &str {
        self.text.get(self.path..).unwrap_or_default()
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

/// What is wrong with the name of a trust domain (§2.1, §2.3).
pub(super) fn trust_domain_fault(name: &str) -> Option<&'static str> {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || dot(byte);
    match name {
        "" => Some("has no trust domain"),
        _ if name.len() > MAX_TRUST_DOMAIN => Some("has a trust domain longer than 255 bytes"),
        _ if name.bytes().all(known) => None,
        _ => Some("has a trust domain with a character other than a-z 0-9 . - _"),
    }
}

/// What is wrong with a segment of a path (§2.2).
pub(super) fn segment_fault(segment: &str) -> Option<&'static str> {
    match segment {
        "" => Some("has an empty segment, or a slash at its end"),
        "." | ".." => Some("has a segment that is a dot or two"),
        _ if segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || dot(byte)) => None,
        _ => Some("has a path with a character other than a-z A-Z 0-9 . - _"),
    }
}

fn dot(byte: u8) -> bool {
    matches!(byte, b'.' | b'-' | b'_')
}
