use std::cell::Cell;
use std::time::Duration;

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};

use super::svid::{SvidError, Validity, is_authority, may_sign, parse};

/// A certificate at which a path may end.
pub(super) struct Root {
    anchor: TrustAnchor<'static>,
    validity: Validity,
}

impl Root {
    /// Reads one that is an authority's and may sign certificates; else says what it is.
    pub(super) fn read(der: &[u8]) -> Result<Self, &'static str> {
        const NO_CERTIFICATE: &str = "is not X.509 as RFC 5280 has it";
        let certificate = parse(der).map_err(|_| NO_CERTIFICATE)?;
        if !is_authority(&certificate).map_err(|_| NO_CERTIFICATE)? {
            return Err("is not an authority's: its basic constraints do not say so");
        }
        if !may_sign(&certificate).map_err(|_| NO_CERTIFICATE)? {
            return Err("may sign no certificate: its key usage lacks keyCertSign");
        }
        let validity = Validity::of(&certificate);
        let der = CertificateDer::from(der);
        let anchor = webpki::anchor_from_trusted_cert(&der).map_err(|_| NO_CERTIFICATE)?;
        Ok(Self { anchor: anchor.to_owned(), validity })
    }
}

/// When a path from this leaf to one of these roots is valid, which is so at this second: the
/// intermediates and the root, and not the leaf.
pub(super) fn valid_path<'a>(
    leaf: &[u8],
    chain: impl Iterator<Item = &'a [u8]>,
    roots: &[Root],
    second: u64,
) -> Result<Validity, SvidError> {
    let valid = roots.iter().filter(|root| root.validity.holds(second));
    let (anchors, validities): (Vec<_>, Vec<_>) =
        valid.map(|root| (root.anchor.clone(), root.validity)).unzip();
    let chain: Vec<_> = chain.map(CertificateDer::from).collect();
    let leaf = CertificateDer::from(leaf);
    let leaf = EndEntityCert::try_from(&leaf);
    let leaf = leaf.map_err(|fault| SvidError::Untrusted(told(&fault)))?;
    let signers = Cell::new(None);
    let judge_signers = |path: &VerifiedPath<'_>| {
        signers.set(Some(validity_of_signers(path)?));
        Ok(())
    };
    let path = leaf.verify_for_usage(
        // What verifies in a handshake verifies here.
        ::rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.all,
        &anchors,
        &chain,
        UnixTime::since_unix_epoch(Duration::from_secs(second)),
        KeyUsage::client_auth(),
        None,
        Some(&judge_signers),
    );
    let path = path.map_err(|fault| SvidError::Untrusted(told(&fault)))?;
    let root = anchors.iter().zip(validities).find(|(anchor, _)| *anchor == path.anchor());
    match (signers.get(), root) {
        (Some(signers), Some((_, root))) => Ok(signers.and(root)),
        // INVARIANT: the path was judged, and ends at one of the roots.
        _ => Err(SvidError::Untrusted("its path was not judged")),
    }
}

/// No two certificates that came along have one subject: an authority that was issued twice is sent
/// once, and path building has one way to go. What cannot be read here is refused, for path building
/// might read it.
pub(super) fn check_subjects<'a>(chain: impl Iterator<Item = &'a [u8]>) -> Result<(), SvidError> {
    let mut subjects = Vec::new();
    for der in chain {
        let certificate = parse(der)
            .map_err(|_| SvidError::Untrusted("a certificate of its chain is not X.509"))?;
        let subject = certificate.tbs_certificate().subject().clone();
        if subjects.contains(&subject) {
            return Err(SvidError::Untrusted("two certificates of its chain have one subject"));
        }
        subjects.push(subject);
    }
    Ok(())
}

/// When the intermediates of a path are all valid, each of which may sign certificates: the path
/// validation has looked at their constraints, but not at their key usage (RFC 5280 §6.1.4 (n)).
fn validity_of_signers(path: &VerifiedPath<'_>) -> Result<Validity, webpki::Error> {
    let mut all = Validity::new(0, u64::MAX);
    for signer in path.intermediate_certificates() {
        let signer = parse(&signer.der()).map_err(|_| webpki::Error::BadDer)?;
        if !may_sign(&signer).map_err(|_| webpki::Error::BadDer)? {
            return Err(webpki::Error::EndEntityUsedAsCa);
        }
        all = all.and(Validity::of(&signer));
    }
    Ok(all)
}

/// The path validation's reason, without what it found in the certificate.
fn told(fault: &webpki::Error) -> &'static str {
    use webpki::Error;
    match fault {
        Error::UnknownIssuer => "no root that is valid now has issued it or its chain",
        Error::InvalidSignatureForPublicKey => "a signature does not verify",
        Error::CertExpired { .. } => "a certificate of its chain has expired",
        Error::CertNotValidYet { .. } => "a certificate of its chain is not yet valid",
        Error::EndEntityUsedAsCa => "a certificate of its chain may not sign certificates",
        Error::PathLenConstraintViolated => "its chain is longer than an authority allows",
        Error::NameConstraintViolation => "an authority's name constraints do not allow its name",
        Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => {
            "an extended key usage is not for client authentication"
        }
        Error::UnsupportedCriticalExtension => "a critical extension is unknown",
        _ => "its path does not validate (RFC 5280 §6)",
    }
}
