use http::{HeaderMap, HeaderName};
use serde_json::json;

use super::fields::{FieldFault, ForwardedElement, nth_from_end};
use super::hosts::Hosts;
use super::mismatch::NoTarget;
use super::public::check_prefix;
use crate::credentials::RequestHead;
use crate::error::{ConfigFault, Faults};
use crate::name::NameError;
use crate::sender::trusted::{CheckedPeers, TrustedPeers};
use crate::sender::uri::{Authority, Origin, Scheme};

const FORWARDED: &str = "Forwarded";
const PROTO: &str = "X-Forwarded-Proto";
const HOST: &str = "X-Forwarded-Host";
const PORT: &str = "X-Forwarded-Port";
const PREFIX: &str = "X-Forwarded-Prefix";

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// Where trusted proxies say which URI a client wrote, for services with more names than a configuration
/// can list.
///
/// Fields of other peers are not looked at. From a trusted peer scheme and host have to be there: a
/// request without them, or with one that cannot be read, has no URI that a proof could name. Scheme and
/// host are what the proxy says and not what `Host` says.
///
/// Most proxies pass on whatever `Host` a client wrote, and fields that they do not know. So only the hosts
/// that [`ForwardedOrigin::hosts`] names are ever believed, and only the path prefixes that
/// [`ForwardedOrigin::prefixes`] names. Have the proxy overwrite the fields that are read here.
///
/// ```
/// use portcullis::sender::{ForwardedOrigin, TrustedPeers};
///
/// let forwarded = ForwardedOrigin::x_forwarded(TrustedPeers::networks(["10.0.0.1"]))
///     .hosts(["api.example.com", "*.tenants.example.com", "api.example.com:8443"]);
/// # let _ = forwarded;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it does nothing until a server is given it"]
pub struct ForwardedOrigin {
    style: Style,
    peers: TrustedPeers,
    hosts: Vec<String>,
    prefixes: Vec<String>,
    trusted_hops: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Forwarded,
    XForwarded,
}

impl ForwardedOrigin {
    /// Each list is looked through on each request.
    const MOST: usize = 64;

    /// A request that more proxies have seen than this went in circles.
    const MOST_HOPS: usize = 10;

    /// `proto` and `host` of `Forwarded` (RFC 7239). The `X-Forwarded-*` fields are not looked at.
    pub fn forwarded(peers: TrustedPeers) -> Self {
        Self::new(Style::Forwarded, peers)
    }

    /// `X-Forwarded-Proto`, `X-Forwarded-Host`, which may have a port, and `X-Forwarded-Port`, if it is
    /// there. `Forwarded` is not looked at, nor are other spellings such as `X_Forwarded_Host`.
    pub fn x_forwarded(peers: TrustedPeers) -> Self {
        Self::new(Style::XForwarded, peers)
    }

    fn new(style: Style, peers: TrustedPeers) -> Self {
        Self { style, peers, hosts: Vec::new(), prefixes: Vec::new(), trusted_hops: 1 }
    }

    /// The hosts that are believed, at least one and at most 64. One without a port is believed with the
    /// default port of the scheme only. `*.` at the beginning stands for exactly one label:
    /// `*.example.com` is `a.example.com`, and neither `example.com` nor `a.b.example.com`.
    pub fn hosts<H: Into<String>>(mut self, hosts: impl IntoIterator<Item = H>) -> Self {
        self.hosts = hosts.into_iter().map(Into::into).collect();
        self
    }

    /// The path prefixes that proxies take away and name in `X-Forwarded-Prefix`, at most 64, each as in
    /// [`PublicOrigin::proxy_removes`](super::PublicOrigin::proxy_removes). Without any that field is not
    /// looked at. A request without the field has no prefix. One slash at the end of its value does not
    /// matter.
    pub fn prefixes<P: Into<String>>(mut self, prefixes: impl IntoIterator<Item = P>) -> Self {
        self.prefixes = prefixes.into_iter().map(Into::into).collect();
        self
    }

    /// How many proxies add an element of their own to each of the fields, 1 to 10; 1 unless said
    /// otherwise. The element that counts is this one from the end, over all lines of the field: with 1
    /// what the nearest proxy wrote. A field with fewer elements cannot be used.
    pub fn trusted_hops(mut self, hops: usize) -> Self {
        self.trusted_hops = hops;
        self
    }

    pub(in crate::sender) fn peers(&self) -> &TrustedPeers {
        &self.peers
    }

    pub(super) fn check(&self, faults: &mut Faults) -> Option<CheckedForwardedOrigin> {
        let before = faults.len();
        let peers = faults.at("peers", |faults| self.peers.check(faults));
        if self.hosts.is_empty() {
            let wanted = "are none at all; name those of the URLs that clients use";
            faults.push_at("hosts", NameError::new("forwarded hosts", "", wanted));
        }
        let hosts = Hosts::check(&self.hosts, faults);
        if let (Style::Forwarded, Some(prefix)) = (self.style, self.prefixes.first()) {
            let wanted = "is nothing that `Forwarded` tells (RFC 7239); use X-Forwarded-Prefix";
            faults.push_at("prefixes", NameError::new("path prefix", prefix, wanted));
        }
        for (index, prefix) in self.prefixes.iter().enumerate() {
            if let Err(fault) = check_prefix(prefix) {
                faults.at_element("prefixes", index, |faults| faults.push(fault));
            }
        }
        for (member, what, found, maximum) in [
            ("hosts", "number of forwarded hosts", self.hosts.len(), Self::MOST),
            ("prefixes", "number of path prefixes", self.prefixes.len(), Self::MOST),
            ("trusted_hops", "number of trusted hops", self.trusted_hops, Self::MOST_HOPS),
        ] {
            if found > maximum || (found == 0 && member == "trusted_hops") {
                faults.push_at(member, ConfigFault::Bound { what, found, maximum });
            }
        }
        if faults.len() > before {
            return None;
        }
        let (style, prefixes) = (self.style, self.prefixes.clone());
        let trusted_hops = self.trusted_hops;
        Some(CheckedForwardedOrigin { style, peers: peers?, hosts, prefixes, trusted_hops })
    }
}

/// A forwarded origin without faults.
#[derive(Clone, Debug)]
pub(super) struct CheckedForwardedOrigin {
    style: Style,
    peers: CheckedPeers,
    hosts: Hosts,
    prefixes: Vec<String>,
    trusted_hops: usize,
}

impl CheckedForwardedOrigin {
    /// Whether a request came over a connection of a trusted peer.
    pub(super) fn believes(&self, head: RequestHead<'_>) -> bool {
        self.peers.hold(head.extensions)
    }

    /// The origin, in normal form, and the path prefix that the client wrote.
    pub(super) fn read(&self, headers: &HeaderMap) -> Result<(String, &str), NoTarget> {
        let (origin, field) = match self.style {
            Style::Forwarded => (self.forwarded(headers)?, FORWARDED),
            Style::XForwarded => (self.x_forwarded(headers)?, HOST),
        };
        if !self.hosts.hold(&origin) {
            return Err(FieldFault::Host.of(field));
        }
        Ok((origin.to_text(), self.prefix(headers)?))
    }

    fn forwarded<'a>(&self, headers: &'a HeaderMap) -> Result<Origin<'a>, NoTarget> {
        let wrong = |fault: FieldFault| fault.of(FORWARDED);
        let element = ForwardedElement::nth_from_end(headers, self.trusted_hops).map_err(wrong)?;
        let ForwardedElement { host, proto } = element.ok_or(wrong(FieldFault::Absent))?;
        let proto = proto.ok_or(wrong(FieldFault::Absent))?;
        let host = host.ok_or(wrong(FieldFault::Absent))?;
        let scheme = Scheme::parse(proto).ok_or(wrong(FieldFault::Scheme))?;
        let authority = Authority::parse(host).map_err(|_| wrong(FieldFault::Malformed))?;
        Ok(Origin::new(scheme, authority))
    }

    fn x_forwarded<'a>(&self, headers: &'a HeaderMap) -> Result<Origin<'a>, NoTarget> {
        let proto = self.required(headers, &X_FORWARDED_PROTO, PROTO)?;
        let host = self.required(headers, &X_FORWARDED_HOST, HOST)?;
        let port = self.element(headers, &X_FORWARDED_PORT, PORT)?;
        let scheme = Scheme::parse(proto).ok_or(FieldFault::Scheme.of(PROTO))?;
        let malformed = FieldFault::Malformed.of(HOST);
        let mut authority = Authority::parse(host).map_err(|_| malformed)?;
        if let Some(port) = port {
            let digits = !port.starts_with(['0', '+']);
            let port = port.parse::<u16>().ok().filter(|_| digits);
            let port = port.ok_or(FieldFault::Port.of(PORT))?;
            if *authority.port.get_or_insert(port) != port {
                return Err(FieldFault::Port.of(PORT));
            }
        }
        Ok(Origin::new(scheme, authority))
    }

    fn prefix(&self, headers: &HeaderMap) -> Result<&str, NoTarget> {
        if self.prefixes.is_empty() {
            return Ok("");
        }
        let prefix = self.element(headers, &X_FORWARDED_PREFIX, PREFIX)?.unwrap_or_default();
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        if prefix.is_empty() {
            return Ok("");
        }
        let believed = self.prefixes.iter().find(|believed| *believed == prefix);
        believed.map(String::as_str).ok_or(FieldFault::Prefix.of(PREFIX))
    }

    fn required<'a>(
        &self,
        headers: &'a HeaderMap,
        name: &HeaderName,
        field: &'static str,
    ) -> Result<&'a str, NoTarget> {
        self.element(headers, name, field)?.ok_or(FieldFault::Absent.of(field))
    }

    fn element<'a>(
        &self,
        headers: &'a HeaderMap,
        name: &HeaderName,
        field: &'static str,
    ) -> Result<Option<&'a str>, NoTarget> {
        nth_from_end(headers, name, self.trusted_hops).map_err(|fault| fault.of(field))
    }

    pub(super) fn report(&self) -> serde_json::Value {
        let style = match self.style {
            Style::Forwarded => "forwarded",
            Style::XForwarded => "x_forwarded",
        };
        let mut report = json!({
            "style": style,
            "peers": self.peers.report(),
            "hosts": self.hosts.texts().collect::<Vec<_>>(),
            "trusted_hops": self.trusted_hops,
        });
        if let (false, Some(members)) = (self.prefixes.is_empty(), report.as_object_mut()) {
            members.insert("prefixes".to_owned(), json!(self.prefixes));
        }
        report
    }
}
