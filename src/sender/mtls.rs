use std::borrow::Cow;

use http::HeaderValue;

use super::PeerAddr;
use super::forwarded::{CheckedForwarded, Forwarded, ForwardedCertificate};
use crate::certificate::{Certificate, PeerCertificate};
use crate::credentials::RequestHead;
use crate::error::Faults;

/// Mutual TLS (RFC 8705): tokens that are bound to a certificate of their client, whose key a TLS
/// handshake has proven.
///
/// The certificate comes from the connection ([`PeerCertificate`], which the TLS acceptor puts into
/// the request's extensions), or, where a proxy ends TLS, from a header field of that proxy. Neither
/// chain nor expiry of it matters (RFC 8705 §6.2): what counts is its thumbprint.
///
/// A listener that asks for no client certificate never sees one: a bound token is refused there
/// (RFC 8705 §3).
///
/// ```
/// use portcullis::Mtls;
/// use portcullis::sender::{ForwardedCertificate, TrustedPeers};
///
/// let here = Mtls::direct();
/// let proxies = TrustedPeers::networks(["10.0.0.1"]);
/// let behind_a_proxy = Mtls::forwarded(ForwardedCertificate::client_cert(proxies));
/// # let _ = (here, behind_a_proxy);
/// ```
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it is given to `ResourceServer::builder(...).mtls`"]
pub struct Mtls {
    direct: Direct,
    forwarded: Option<ForwardedCertificate>,
}

/// Whether the certificate of the connection is the client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direct {
    Yes,
    No,
}

impl Mtls {
    /// The certificate of the connection is the client's: TLS ends in this process.
    pub fn direct() -> Self {
        Self { direct: Direct::Yes, forwarded: None }
    }

    /// A proxy forwards the client's certificate in a header field, which is believed from trusted
    /// peers only. The certificate of the connection is never the client's.
    pub fn forwarded(forwarded: ForwardedCertificate) -> Self {
        Self { direct: Direct::No, forwarded: Some(forwarded) }
    }

    /// Some clients come through a proxy: over the connection of a trusted peer the forwarded
    /// certificate counts and nothing else, over any other that of the connection. Those peers are
    /// known by their networks or certificates: with [`TrustedPeers::verified`] each client with a
    /// verified certificate were a proxy, which is a fault.
    ///
    /// [`TrustedPeers::verified`]: super::TrustedPeers::verified
    pub fn or_forwarded(mut self, forwarded: ForwardedCertificate) -> Self {
        self.forwarded = Some(forwarded);
        self
    }

    pub(crate) fn is_direct(&self) -> bool {
        self.direct == Direct::Yes
    }

    pub(crate) fn check(&self, faults: &mut Faults) -> Option<CheckedMtls> {
        let before = faults.len();
        let mut forwarded = None;
        if let Some(configured) = &self.forwarded {
            faults.at("forwarded", |faults| {
                forwarded = configured.check(faults);
                if self.is_direct() {
                    let peers = configured.peers();
                    faults.at("peers", |faults| peers.check_beside_clients(faults));
                }
            });
        }
        (faults.len() == before).then_some(CheckedMtls { direct: self.direct, forwarded })
    }
}

/// Mutual TLS without faults.
#[derive(Debug)]
pub(crate) struct CheckedMtls {
    direct: Direct,
    forwarded: Option<CheckedForwarded>,
}

/// What is known of a client's certificate.
pub(crate) enum Seen {
    Certificate(Certificate, Option<HeaderValue>),
    /// There is none, for this reason.
    None(Cow<'static, str>),
}

impl CheckedMtls {
    /// The client's certificate, and the field that it came in.
    pub(crate) fn see(&self, head: RequestHead<'_>) -> Seen {
        let none = |why: &'static str| Seen::None(why.into());
        if let Some(forwarded) = &self.forwarded {
            match forwarded.read(head.headers, head.extensions) {
                Forwarded::Certificate(certificate) => {
                    return Seen::Certificate(certificate, Some(forwarded.field()));
                }
                // The connection's own certificate is that of the proxy.
                Forwarded::None => {
                    return none(forwarded.none());
                }
                Forwarded::Malformed(error) => {
                    return Seen::None(format!("the forwarded certificate: {error}").into());
                }
                Forwarded::UntrustedPeer if self.direct == Direct::No => {
                    return Seen::None(untrusted(head).into());
                }
                Forwarded::UntrustedPeer => {}
            }
        }
        match head.extensions.get::<PeerCertificate>() {
            Some(peer) => Seen::Certificate(peer.certificate().clone(), None),
            None => none(
                "the connection has no client certificate that its listener or `PeerLayer` hands on",
            ),
        }
    }

    pub(crate) fn forwarded(&self) -> Option<&CheckedForwarded> {
        self.forwarded.as_ref()
    }

    /// What it says, in the words of a file.
    pub(crate) fn report(&self) -> serde_json::Value {
        let mut report = serde_json::json!({ "direct": self.direct == Direct::Yes });
        if let (Some(members), Some(forwarded)) = (report.as_object_mut(), &self.forwarded) {
            members.insert("forwarded".to_owned(), forwarded.report());
        }
        report
    }
}

/// Why no forwarded certificate is believed.
fn untrusted(head: RequestHead<'_>) -> String {
    match PeerAddr::of(head.extensions) {
        Some(address) => format!("the peer {address} is none of the trusted proxies"),
        None => {
            "the peer's address is not known, so that it is no trusted proxy: with axum, mount \
             `PeerLayer` outside of `protect`, after it, and serve with \
             `into_make_service_with_connect_info::<SocketAddr>()`"
                .to_owned()
        }
    }
}
