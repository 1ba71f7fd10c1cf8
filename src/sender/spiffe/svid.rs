use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, SubjectAltName};

use super::id::SpiffeId;
use crate::name::NameError;

/// The longest certificate, in bytes: the path validation reads none of more than 64 KiB.
pub(super) const MAX_CERTIFICATE: usize = 65_536;

/// The most certificates that may come with a leaf: a corporate root, its policy and issuing
/// authorities, the server of a trust domain and one nested below it. Each has a subject of its own,
/// or path building would try orders of them, with work that grows much faster than their number.
pub(super) const MAX_CHAIN: usize = 5;

/// Why a certificate proves no SPIFFE ID of a trust domain. For operators: it holds names, and
/// nothing else of the certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SvidError {
    /// Nothing but the digest of the certificate is known, so that there is nothing to verify.
    #[error("only the digest of the certificate is known, wanted the certificate itself")]
    DigestOnly,
    /// The certificate is longer than 64 KiB.
    #[error("the certificate has {0} bytes, wanted at most {MAX_CERTIFICATE}")]
    TooLong(usize),
    /// More than 5 certificates came with it.
    #[error("{0} certificates came with the certificate, wanted at most {MAX_CHAIN}")]
    ChainTooLong(usize),
    /// It is not X.509, or an extension that has to be read cannot be.
    #[error("the certificate is not X.509 as RFC 5280 has it")]
    Malformed,
    /// It has no URI name, or more than one (X509-SVID §2).
    #[error("the certificate has {0} URI names, wanted exactly one")]
    UriNames(usize),
    /// Its URI name is not a SPIFFE ID.
    #[error("the URI name of the certificate: {0}")]
    NotSpiffeId(#[source] NameError),
    /// It is of another trust domain than the bundle.
    #[error("the certificate is of trust domain `{}`, wanted `{wanted}`", found.trust_domain())]
    #[non_exhaustive]
    OtherTrustDomain {
        /// Its SPIFFE ID, which nobody has verified.
        found: SpiffeId,
        /// The trust domain of the bundle.
        wanted: Box<str>,
    },
    /// Its SPIFFE ID has no path, so that it names no workload (X509-SVID §3.1).
    #[error("the SPIFFE ID of the certificate has no path, wanted one of a workload")]
    NoPath,
    /// It is an authority's certificate (X509-SVID §4.1).
    #[error("the certificate is an authority's, wanted one of a workload")]
    Authority,
    /// Its key usage is not that of a leaf (X509-SVID §4.3).
    #[error("the key usage of the certificate {0}")]
    KeyUsage(&'static str),
    /// Its validity has not begun.
    #[error("the certificate is not yet valid")]
    NotYetValid,
    /// Its validity has ended.
    #[error("the certificate has expired")]
    Expired,
    /// No path leads from it to a root of the bundle (RFC 5280 §6).
    #[error("the certificate is not of the trust bundle: {0}")]
    Untrusted(&'static str),
}

/// When a certificate is valid: whole seconds since the Unix epoch, both ends included
/// (RFC 5280 §4.1.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    from: u64,
    until: u64,
}

impl Validity {
    pub(super) const fn new(from: u64, until: u64) -> Self {
        Self { from, until }
    }

    pub(super) fn of(certificate: &Certificate) -> Self {
        let validity = certificate.tbs_certificate().validity();
        Self {
            from: validity.not_before.to_unix_duration().as_secs(),
            until: validity.not_after.to_unix_duration().as_secs(),
        }
    }

    pub(super) const fn holds(self, second: u64) -> bool {
        self.from <= second && second <= self.until
    }

    /// When both are valid.
    pub(super) fn and(self, other: Self) -> Self {
        Self { from: self.from.max(other.from), until: self.until.min(other.until) }
    }
}

/// What a leaf says of itself, before anybody has verified it.
pub(super) struct Leaf {
    pub(super) id: SpiffeId,
    pub(super) validity: Validity,
}

impl Leaf {
    /// Reads a leaf that says it is of this trust domain.
    pub(super) fn read(der: &[u8], trust_domain: &str) -> Result<Self, SvidError> {
        let certificate = parse(der)?;
        let id = spiffe_id(&certificate)?;
        if id.trust_domain() != trust_domain {
            return Err(SvidError::OtherTrustDomain { found: id, wanted: trust_domain.into() });
        }
        if id.path().is_empty() {
            return Err(SvidError::NoPath);
        }
        if is_authority(&certificate)? {
            return Err(SvidError::Authority);
        }
        let fault = match key_usage(&certificate)? {
            None => Some("is absent, wanted digitalSignature"),
            Some(usage) if usage.key_cert_sign() => Some("has keyCertSign"),
            Some(usage) if usage.crl_sign() => Some("has cRLSign"),
            Some(usage) if !usage.digital_signature() => Some("lacks digitalSignature"),
            Some(_) => None,
        };
        if let Some(fault) = fault {
            return Err(SvidError::KeyUsage(fault));
        }
        Ok(Self { id, validity: Validity::of(&certificate) })
    }

    pub(super) fn valid_at(&self, second: u64) -> Result<(), SvidError> {
        match self.validity {
            validity if second < validity.from => Err(SvidError::NotYetValid),
            validity if second > validity.until => Err(SvidError::Expired),
            _ => Ok(()),
        }
    }
}

pub(super) fn parse(der: &[u8]) -> Result<Certificate, SvidError> {
    if der.len() > MAX_CERTIFICATE {
        return Err(SvidError::TooLong(der.len()));
    }
    Certificate::from_der(der).map_err(|_| SvidError::Malformed)
}

/// Whether its basic constraints say so.
pub(super) fn is_authority(certificate: &Certificate) -> Result<bool, SvidError> {
    let constraints = certificate.tbs_certificate().get_extension::<BasicConstraints>();
    Ok(constraints.map_err(|_| SvidError::Malformed)?.is_some_and(|(_, found)| found.ca))
}

/// Whether it may sign certificates: its key usage says so, or is absent (RFC 5280 §6.1.4 (n)).
pub(super) fn may_sign(certificate: &Certificate) -> Result<bool, SvidError> {
    Ok(key_usage(certificate)?.is_none_or(|usage| usage.key_cert_sign()))
}

fn key_usage(certificate: &Certificate) -> Result<Option<KeyUsage>, SvidError> {
    let usage = certificate.tbs_certificate().get_extension::<KeyUsage>();
    Ok(usage.map_err(|_| SvidError::Malformed)?.map(|(_, usage)| usage))
}

/// The one URI name. A name that cannot be read refuses them all: it could be another URI.
fn spiffe_id(certificate: &Certificate) -> Result<SpiffeId, SvidError> {
    let names = certificate.tbs_certificate().get_extension::<SubjectAltName>();
    let names =
        names.map_err(|_| SvidError::Malformed)?.map_or_else(Vec::new, |(_, names)| names.0);
    let uris: Vec<&str> = names
        .iter()
        .filter_map(|name| match name {
            GeneralName::UniformResourceIdentifier(uri) => Some(uri.as_str()),
            _ => None,
        })
        .collect();
    match *uris {
        [uri] => SpiffeId::parse(uri).map_err(SvidError::NotSpiffeId),
        _ => Err(SvidError::UriNames(uris.len())),
    }
}
