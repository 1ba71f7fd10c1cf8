use http::Extensions;

use super::peer::{Networks, PeerAddr};
use crate::certificate::{ChainCheck, PeerCertificate};
use crate::error::Faults;
use crate::name::{NameError, Thumbprint};

/// Which peers are proxies of one's own, whose header fields about their clients are believed.
///
/// A peer is known by the address of its connection ([`PeerAddr`]), or by the certificate with which
/// it authenticated to this server ([`PeerCertificate`]). Either is enough. There is no default and
/// no way to trust everybody: whoever is trusted here can say which certificate a client had.
///
/// ```
/// use portcullis::sender::TrustedPeers;
///
/// let proxies = TrustedPeers::networks(["10.0.0.1", "::1"]);
/// # let _ = proxies;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "it does nothing until something is believed from it"]
pub struct TrustedPeers {
    networks: Vec<String>,
    certificates: Vec<String>,
    verified: VerifiedPeers,
}

/// What a verified chain says of a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum VerifiedPeers {
    #[default]
    Nothing,
    Trusted,
}

impl TrustedPeers {
    /// Connections from these networks, in CIDR notation. Everybody who can open a connection from
    /// there is trusted.
    pub fn networks<N: Into<String>>(networks: impl IntoIterator<Item = N>) -> Self {
        Self { networks: networks.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Peers that authenticated with a certificate of this thumbprint: canonical base64url of the
    /// SHA-256 of its DER, as in `x5t#S256`.
    pub fn certificates<T: Into<String>>(thumbprints: impl IntoIterator<Item = T>) -> Self {
        let certificates = thumbprints.into_iter().map(Into::into).collect();
        Self { certificates, ..Self::default() }
    }

    /// Peers whose certificate chain the TLS acceptor has verified: for an acceptor whose roots issue
    /// certificates to proxies and to nobody else. A fault where [`Mtls::direct`](crate::Mtls::direct)
    /// takes such certificates for those of clients.
    pub fn verified() -> Self {
        Self { verified: VerifiedPeers::Trusted, ..Self::default() }
    }

    /// These and those.
    pub fn or(mut self, other: Self) -> Self {
        self.networks.extend(other.networks);
        self.certificates.extend(other.certificates);
        if other.verified == VerifiedPeers::Trusted {
            self.verified = VerifiedPeers::Trusted;
        }
        self
    }

    /// A fault where the acceptor verifies the chains of clients too: each of them were a proxy, and
    /// could say what it likes about itself.
    pub(crate) fn check_beside_clients(&self, faults: &mut Faults) {
        if self.verified == VerifiedPeers::Trusted {
            let wanted = "are all clients too where `mtls` is direct, and each could forge what a \
                          proxy says; name the networks or the certificates of your proxies instead";
            faults.push_at("verified", NameError::new("trusted peers", "verified", wanted));
        }
    }

    pub(crate) fn check(&self, faults: &mut Faults) -> Option<CheckedPeers> {
        let before = faults.len();
        let networks = match self.networks.as_slice() {
            [] => Networks::default(),
            networks => Networks::parse(networks).unwrap_or_else(|fault| {
                faults.push_at("networks", fault);
                Networks::default()
            }),
        };
        if networks.hold_everything() {
            let wanted = "trusts everybody; name the networks of your proxies";
            faults.push_at("networks", NameError::new("network", "/0", wanted));
        }
        let mut certificates = Vec::new();
        for (index, text) in self.certificates.iter().enumerate() {
            match Thumbprint::parse(text) {
                Some(thumbprint) => certificates.push(thumbprint),
                None => faults.at_element("certificates", index, |faults| {
                    let wanted = "is not canonical base64url of 32 octets; write the certificate's SHA-256 so";
                    faults.push(NameError::new("certificate thumbprint", text, wanted));
                }),
            }
        }
        let nobody = self.networks.is_empty() && self.certificates.is_empty();
        if nobody && self.verified == VerifiedPeers::Nothing {
            let wanted = "are none at all; name at least one, or no header field is believed";
            faults.push(NameError::new("trusted peers", "", wanted));
        }
        let verified = self.verified;
        (faults.len() == before).then_some(CheckedPeers { networks, certificates, verified })
    }
}

/// Trusted peers without faults.
#[derive(Clone, Debug)]
pub(crate) struct CheckedPeers {
    networks: Networks,
    certificates: Vec<Thumbprint>,
    verified: VerifiedPeers,
}

impl CheckedPeers {
    /// Whether the request came over a connection of one of them.
    pub(crate) fn hold(&self, extensions: &Extensions) -> bool {
        let address = PeerAddr::of(extensions);
        if address.is_some_and(|address| self.networks.hold(address)) {
            return true;
        }
        let Some(peer) = extensions.get::<PeerCertificate>() else { return false };
        let verified = peer.chain_check() == ChainCheck::Verified;
        (verified && self.verified == VerifiedPeers::Trusted)
            || self.certificates.iter().any(|known| known == peer.certificate().thumbprint())
    }

    /// What it says, in the words of a file.
    pub(crate) fn report(&self) -> serde_json::Value {
        serde_json::json!({
            "networks": self.networks.texts().collect::<Vec<_>>(),
            "certificates": self.certificates.iter().map(Thumbprint::as_str).collect::<Vec<_>>(),
            "verified": self.verified == VerifiedPeers::Trusted,
        })
    }
}
