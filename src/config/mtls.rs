//! Certificates of clients: mutual TLS; and the proxies that are believed.

use serde::Deserialize;

use super::issuer::wanted;
use super::value::{Count, Some1, Table};
use super::word::words;
use crate::error::{ConfigFault, Faults};
use crate::sender::{ForwardedCertificate, Mtls, TrustedPeers};

/// Mutual TLS: where the client's certificate comes from, at least one of both.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Mtls"))]
pub(super) struct MtlsTable {
    /// Whether the certificate of the connection is the client's: TLS ends in this process.
    direct: bool,
    /// Takes the certificate from a header field of a proxy.
    forwarded: Option<Table<ForwardedCertificateTable>>,
}

/// The header field in which trusted proxies put the certificate of their client.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(
    test,
    schemars(rename = "ForwardedCertificate", extend("required" = ["format", "peers"]))
)]
struct ForwardedCertificateTable {
    /// How it is written: `Client-Cert` of RFC 9440, `X-Forwarded-Client-Cert` of Envoy, or
    /// percent-encoded PEM in `header`.
    format: Option<FormatWord>,
    /// The field, for "escaped_pem" alone: its name has hyphens and no underscores.
    header: Option<String>,
    /// Which element is of the client, counted from the end, 1 to 10, for "envoy" alone; 1 unless
    /// said otherwise.
    trusted_hops: Option<Count>,
    /// Whether the outermost proxy appends to what a client sends in that field (`APPEND_FORWARD`), so
    /// that elements before the trusted ones are ignored, for "envoy" alone. A client can write into
    /// the URI, DNS and By names: only where chains are verified. Unless it is said, the outermost
    /// proxy replaces the field (`SANITIZE_SET`), and more elements than `trusted_hops` are refused.
    front_appends: bool,
    /// The proxies.
    peers: Option<Table<PeersTable>>,
}

/// Proxies of one's own, whose header fields about their clients are believed. One of these is
/// enough.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "TrustedPeers"))]
pub(super) struct PeersTable {
    /// Connections from these networks, in CIDR notation.
    networks: Option<Some1<String>>,
    /// Peers with a certificate of one of these thumbprints: base64url of the SHA-256 of its DER,
    /// as in `x5t#S256`.
    certificates: Option<Some1<String>>,
    /// Whether peers are trusted whose certificate chain the TLS acceptor has verified.
    verified: bool,
}

/// How a forwarded certificate is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    ClientCert,
    Envoy,
    EscapedPem,
}

words! {
    /// How a forwarded certificate is written.
    FormatWord(Format):
        "client_cert" => Format::ClientCert,
        "envoy" => Format::Envoy,
        "escaped_pem" => Format::EscapedPem,
}

impl MtlsTable {
    pub(super) fn mtls(&self, faults: &mut Faults) -> Mtls {
        let forwarded = self
            .forwarded
            .as_ref()
            .map(|Table(forwarded)| faults.at("forwarded", |faults| forwarded.certificate(faults)));
        match (self.direct, forwarded) {
            (true, None) => Mtls::direct(),
            (true, Some(forwarded)) => Mtls::direct().or_forwarded(forwarded),
            (false, Some(forwarded)) => Mtls::forwarded(forwarded),
            (false, None) => {
                let fault = "no certificate is looked at: say `direct = true`, or `forwarded`, or \
                             both";
                faults.push(ConfigFault::File(fault.to_owned()));
                Mtls::direct()
            }
        }
    }
}

impl ForwardedCertificateTable {
    fn certificate(&self, faults: &mut Faults) -> ForwardedCertificate {
        wanted("format", self.format.is_some(), faults);
        let peers = peers(&self.peers, faults);
        let format = self.format.map(|FormatWord(format)| format);
        let header = self.header.as_deref();
        if matches!(format, Some(Format::ClientCert | Format::Envoy)) && header.is_some() {
            let fault = "it is for `format = \"escaped_pem\"` alone: the others have a field of \
                         their own";
            faults.push_at("header", ConfigFault::File(fault.to_owned()));
        }
        let certificate = match format {
            Some(Format::ClientCert) => ForwardedCertificate::client_cert(peers),
            // It takes all but `header`: nothing follows from a format that is missing.
            Some(Format::Envoy) | None => ForwardedCertificate::envoy(peers),
            Some(Format::EscapedPem) => {
                wanted("header", header.is_some(), faults);
                ForwardedCertificate::escaped_pem(header.unwrap_or_default(), peers)
            }
        };
        let certificate = match self.trusted_hops {
            Some(Count(hops)) => certificate.trusted_hops(hops),
            None => certificate,
        };
        if self.front_appends { certificate.front_appends() } else { certificate }
    }
}

/// What is wrong with them, the builder says.
pub(super) fn peers(table: &Option<Table<PeersTable>>, faults: &mut Faults) -> TrustedPeers {
    wanted("peers", table.is_some(), faults);
    let Some(Table(table)) = table else { return TrustedPeers::default() };
    let mut peers = TrustedPeers::default();
    if let Some(Some1(networks)) = &table.networks {
        peers = peers.or(TrustedPeers::networks(networks));
    }
    if let Some(Some1(certificates)) = &table.certificates {
        peers = peers.or(TrustedPeers::certificates(certificates));
    }
    if table.verified { peers.or(TrustedPeers::verified()) } else { peers }
}
