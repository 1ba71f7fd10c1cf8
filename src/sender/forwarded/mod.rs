//! Certificates of clients, as a proxy that terminates TLS forwards them in header fields.
//!
//! 1. Nothing is read unless it is configured, and then from one field only, of one format: RFC 9440
//!    ([`parse_client_cert`]), Envoy ([`parse_xfcc`]), percent-encoded PEM ([`parse_escaped_pem`]).
//! 2. Only a peer that [`TrustedPeers`] name is believed (RFC 9440 §4, RFC 8705 §6.5). The field of
//!    anybody else is as good as absent.
//! 3. A field is read whole or not at all: one octet that its format does not have makes it
//!    malformed, which is neither a certificate nor none.
//! 4. A name with an underscore is another name, and is never read. But some servers take the one for
//!    the other, so the service behind the layer sees neither ([`ForwardedFields`]).
//! 5. Certificates are octets here: none is parsed, and no chain is verified. The proxy has seen the
//!    handshake.

mod client_cert;
mod escaped_pem;
mod strip;
#[cfg(test)]
mod tests;
mod xfcc;

use http::{Extensions, HeaderMap, HeaderName, HeaderValue};

pub use self::client_cert::{MAX_CLIENT_CERT, MAX_CLIENT_CERT_CHAIN, parse_client_cert};
pub use self::escaped_pem::{MAX_ESCAPED_PEM, parse_escaped_pem};
pub(crate) use self::strip::ForwardedFields;
pub use self::xfcc::{MAX_XFCC, XfccElement, parse_xfcc};
use super::trusted::{CheckedPeers, TrustedPeers};
use crate::certificate::Certificate;
use crate::error::{ConfigFault, Faults};
use crate::name::NameError;

/// The fields of RFC 9440, and Envoy's.
const CLIENT_CERT: &str = "client-cert";
const CLIENT_CERT_CHAIN: &str = "client-cert-chain";
const XFCC: &str = "x-forwarded-client-cert";

/// The most certificates beside the client's own. Chains of the web have two or three.
const MAX_CHAIN: usize = 10;

/// The most proxies that add an element each.
const MAX_TRUSTED_HOPS: usize = 10;

/// Why a forwarded certificate is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardedError {
    /// More than one line of a field that is not a list.
    #[error("more than one field line with the client's certificate; one is wanted")]
    Several,
    /// The field is longer than its bound.
    #[error("a field with the client's certificate that is longer than the bound")]
    TooLong,
    /// More certificates than one, or a longer chain than the bound.
    #[error("more certificates than are wanted")]
    TooManyCertificates,
    /// More elements of a list, or pairs of an element, than the bound.
    #[error("more elements or pairs than the bound")]
    TooManyElements,
    /// A certificate of no octets.
    #[error("a certificate without octets")]
    EmptyCertificate,
    /// Not a Byte Sequence (RFC 9440 §2.1), or not the one that is wanted.
    #[error("not a Byte Sequence as RFC 9440 has it: `:`, base64, `:`")]
    NotByteSequence,
    /// `Client-Cert-Chain` without `Client-Cert` (RFC 9440 §2.3).
    #[error("a Client-Cert-Chain field without a Client-Cert field")]
    ChainAlone,
    /// `Client-Cert-Chain` repeats the certificate of `Client-Cert` (RFC 9440 §2.3).
    #[error("a Client-Cert-Chain field that repeats the certificate of Client-Cert")]
    LeafInChain,
    /// Not percent-encoded PEM of certificates alone.
    #[error("not the percent-encoded PEM of a certificate and nothing else")]
    NotPem,
    /// Not pairs of a key, `=` and a value, separated by `;` and `,`.
    #[error("not pairs of a key and a value")]
    NotPairs,
    /// A quoted value that does not end, that can be read to end in two places, or with text behind
    /// it; or a quote in a value that is not quoted.
    #[error("a quote where no value begins or ends")]
    BadQuote,
    /// A key occurs twice in an element that may occur once.
    #[error("a key twice in one element")]
    RepeatedKey,
    /// `Hash` is not 64 hexadecimal digits.
    #[error("a hash that is not 64 hexadecimal digits")]
    NotSha256,
    /// More elements than proxies, though the outermost replaces what a client sends, unless
    /// [`ForwardedCertificate::front_appends`] says otherwise.
    #[error("more elements than trusted hops, though the front proxy replaces what clients send")]
    NotSanitized,
    /// `Hash`, `Cert` and `Chain` of one element are not of one certificate.
    #[error("a hash and certificates that are not of one certificate")]
    Disagreement,
}

/// Where a proxy puts the certificate of its client, and whose word is taken for it.
///
/// It is off unless configured: a `Client-Cert` field alone says nothing. Caveats that no resource
/// server can see for itself:
///
/// - The proxy must overwrite or drop the field that a client sends (RFC 9440 §4, RFC 9700 §4.13),
///   in every spelling, underscores among them.
/// - Nobody else may reach this server from where the trusted peers are, and the connection to it has
///   to be protected. Best is a proxy that authenticates with a certificate of its own
///   ([`TrustedPeers::certificates`]).
/// - The proxy must have seen a handshake in which the client proved to have the key. A resumed
///   session may come without a certificate (RFC 9440 §3.3): then a bound token is refused.
///
/// ```
/// use portcullis::sender::{ForwardedCertificate, TrustedPeers};
///
/// let proxies = TrustedPeers::networks(["10.0.0.1"]);
/// let rfc9440 = ForwardedCertificate::client_cert(proxies.clone());
/// let envoy = ForwardedCertificate::envoy(proxies.clone()).trusted_hops(2);
/// let nginx = ForwardedCertificate::escaped_pem("ssl-client-cert", proxies);
/// # let _ = (rfc9440, envoy, nginx);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it does nothing until a server is given it"]
pub struct ForwardedCertificate {
    format: Format,
    trusted_hops: Option<usize>,
    front: Front,
    peers: TrustedPeers,
}

/// What the outermost proxy does with elements that a client sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Front {
    #[default]
    Replaces,
    Appends,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Format {
    ClientCert,
    Envoy,
    EscapedPem(String),
}

impl ForwardedCertificate {
    /// `Client-Cert` and `Client-Cert-Chain` of RFC 9440.
    pub fn client_cert(peers: TrustedPeers) -> Self {
        Self::of(Format::ClientCert, peers)
    }

    /// `X-Forwarded-Client-Cert` of Envoy, whose outermost proxy is configured with
    /// `forward_client_cert_details: SANITIZE_SET`: it replaces whatever a client sends. Then each
    /// proxy has written one element, so that there are exactly as many as
    /// [`trusted_hops`](Self::trusted_hops) says, 1 unless it says otherwise, and the first is of the
    /// client. With more the field is malformed, and no element is used; with fewer the client had no
    /// certificate.
    ///
    /// Envoy writes `URI`, `DNS` and `By` without quotes, so that a client who makes its own
    /// certificate can name itself `x,Hash=...`, which reads like an element of its own, and is the
    /// last. It is one element too many, and refused. Where the outermost proxy has
    /// `APPEND_FORWARD`, see [`front_appends`](Self::front_appends).
    pub fn envoy(peers: TrustedPeers) -> Self {
        Self::of(Format::Envoy, peers)
    }

    /// A field of this name with the percent-encoded PEM of the certificate, as nginx writes
    /// `$ssl_client_escaped_cert`. The name has hyphens and no underscores.
    pub fn escaped_pem(header: impl Into<String>, peers: TrustedPeers) -> Self {
        Self::of(Format::EscapedPem(header.into()), peers)
    }

    fn of(format: Format, peers: TrustedPeers) -> Self {
        Self { format, trusted_hops: None, front: Front::Replaces, peers }
    }

    /// Which element of `X-Forwarded-Client-Cert` is of the client, counted from the end: each proxy
    /// appends one about whoever connected to it. 1, the default, is the client of the last proxy; 2
    /// the client of the proxy in front of that one. Elements further to the front would be the
    /// client's own invention, and are never used. Between 1 and 10, and for Envoy's field alone.
    pub fn trusted_hops(mut self, hops: usize) -> Self {
        self.trusted_hops = Some(hops);
        self
    }

    /// The front Envoy does not sanitise but appends (`APPEND_FORWARD`): elements before the trusted
    /// ones are ignored, and not refused. For Envoy's field alone.
    ///
    /// A client can write into the `URI`, `DNS` and `By` names of its own element, and so make up one
    /// that is taken for the proxy's. Say this only where chains are verified, up to an authority that
    /// checks names; or let the proxy forward the hash (it always does), `cert` and `chain`, but
    /// neither `uri` nor `dns`.
    pub fn front_appends(mut self) -> Self {
        self.front = Front::Appends;
        self
    }

    pub(in crate::sender) fn peers(&self) -> &TrustedPeers {
        &self.peers
    }

    pub(crate) fn check(&self, faults: &mut Faults) -> Option<CheckedForwarded> {
        let before = faults.len();
        if let Some(hops) = self.trusted_hops {
            faults.at("trusted_hops", |faults| self.check_hops(hops, faults));
        }
        if self.front == Front::Appends && self.format != Format::Envoy {
            let wanted = "is for x-forwarded-client-cert alone; remove it";
            faults.push_at("front_appends", NameError::new("setting", "front_appends", wanted));
        }
        let source = match &self.format {
            Format::ClientCert => Some(Source::ClientCert),
            Format::Envoy => {
                let hops = self.trusted_hops.unwrap_or(1);
                Some(Source::Envoy { hops, front: self.front })
            }
            Format::EscapedPem(header) => header_name(header)
                .map_err(|fault| faults.push_at("header", fault))
                .ok()
                .map(Source::EscapedPem),
        };
        let peers = faults.at("peers", |faults| self.peers.check(faults));
        let checked = CheckedForwarded { source: source?, peers: peers? };
        (faults.len() == before).then_some(checked)
    }

    fn check_hops(&self, found: usize, faults: &mut Faults) {
        if self.format != Format::Envoy {
            let wanted = "are for x-forwarded-client-cert alone; remove them";
            faults.push(NameError::new("trusted hops", &found.to_string(), wanted));
        } else if !(1..=MAX_TRUSTED_HOPS).contains(&found) {
            let (what, maximum) = ("number of trusted hops", MAX_TRUSTED_HOPS);
            faults.push(ConfigFault::Bound { what, found, maximum });
        }
    }
}

/// The name of a field that may hold a certificate.
fn header_name(text: &str) -> Result<HeaderName, NameError> {
    const TAKEN: [&str; 4] = ["authorization", "dpop", "host", "cookie"];
    let wrong = |wanted| NameError::new("header", text, wanted);
    let name = HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| wrong("is not the name of a header field (RFC 9110 §5.1)"))?;
    if text.contains('_') {
        return Err(wrong("has an underscore, and such a field is never read; use hyphens"));
    }
    match TAKEN.contains(&name.as_str()) {
        true => Err(wrong("holds something else; name the field that your proxy sets")),
        false => Ok(name),
    }
}

/// Where a certificate is read from, without faults.
#[derive(Clone, Debug)]
pub(crate) struct CheckedForwarded {
    source: Source,
    peers: CheckedPeers,
}

#[derive(Clone, Debug)]
enum Source {
    ClientCert,
    Envoy {
        /// The place of its element, from the end.
        hops: usize,
        front: Front,
    },
    EscapedPem(HeaderName),
}

/// What a request says of its client's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Forwarded {
    /// The peer is not one of the proxies, whatever fields there are: what it can prove is in its
    /// own connection.
    UntrustedPeer,
    /// The proxy had none. The certificate of its own connection is the proxy's.
    None,
    Certificate(Certificate),
    Malformed(ForwardedError),
}

impl CheckedForwarded {
    pub(crate) fn read(&self, headers: &HeaderMap, extensions: &Extensions) -> Forwarded {
        if !self.peers.hold(extensions) {
            return Forwarded::UntrustedPeer;
        }
        let lines = |name: &str| headers.get_all(name).iter().map(HeaderValue::as_bytes);
        let read = match &self.source {
            Source::ClientCert => parse_client_cert(lines(CLIENT_CERT), lines(CLIENT_CERT_CHAIN)),
            Source::Envoy { hops, front } => parse_xfcc(lines(XFCC)).and_then(|elements| {
                if *front == Front::Replaces && elements.len() > *hops {
                    return Err(ForwardedError::NotSanitized);
                }
                let place = elements.len().checked_sub(*hops);
                let element = place.and_then(|place| elements.get(place));
                element.map_or(Ok(None), XfccElement::certificate)
            }),
            Source::EscapedPem(header) => parse_escaped_pem(lines(header.as_str())),
        };
        match read {
            Ok(Some(certificate)) => Forwarded::Certificate(certificate),
            Ok(None) => Forwarded::None,
            Err(error) => Forwarded::Malformed(error),
        }
    }

    /// Why there is none: every request without a certificate is told so, and most are let pass.
    pub(crate) fn none(&self) -> &'static str {
        match &self.source {
            Source::ClientCert => "the proxy forwarded no certificate in `Client-Cert`",
            Source::Envoy { .. } => {
                "the proxy forwarded no certificate in `X-Forwarded-Client-Cert`"
            }
            Source::EscapedPem(_) => {
                "the proxy forwarded no certificate in the field that `ForwardedCertificate::escaped_pem` names"
            }
        }
    }

    /// The field that it is read from.
    pub(crate) fn field(&self) -> HeaderValue {
        match &self.source {
            Source::ClientCert => HeaderValue::from_static(CLIENT_CERT),
            Source::Envoy { .. } => HeaderValue::from_static(XFCC),
            Source::EscapedPem(header) => header.clone().into(),
        }
    }

    /// What it says, in the words of a file.
    pub(crate) fn report(&self) -> serde_json::Value {
        let peers = self.peers.report();
        match &self.source {
            Source::ClientCert => {
                serde_json::json!({ "format": "client_cert", "peers": peers })
            }
            Source::Envoy { hops, front } => serde_json::json!({
                "format": "envoy", "trusted_hops": hops,
                "front_appends": *front == Front::Appends, "peers": peers,
            }),
            Source::EscapedPem(header) => serde_json::json!({
                "format": "escaped_pem", "header": header.as_str(), "peers": peers,
            }),
        }
    }
}

/// The lines of a field as they are, unless they are longer than `most` octets together.
fn bounded<'a>(
    lines: impl IntoIterator<Item = &'a [u8]>,
    most: usize,
) -> Result<Vec<&'a [u8]>, ForwardedError> {
    let mut left = most;
    let mut kept = Vec::new();
    for line in lines {
        // A line of no octets counts too, so that their number is bounded.
        let length = line.len().max(1);
        left = left.checked_sub(length).ok_or(ForwardedError::TooLong)?;
        kept.push(line);
    }
    Ok(kept)
}

/// The one line of a field that is not a list.
fn single<'a>(
    lines: impl IntoIterator<Item = &'a [u8]>,
    most: usize,
) -> Result<Option<&'a [u8]>, ForwardedError> {
    let mut lines = lines.into_iter();
    match (lines.next(), lines.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(ForwardedError::Several),
        (Some(line), None) if line.len() > most => Err(ForwardedError::TooLong),
        (Some(line), None) => Ok(Some(line)),
    }
}
