use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::pem::{PemObject as _, SectionKind};

use super::id::{SpiffeId, trust_domain_fault};
use super::known::{Known, Print};
use super::path::{Root, check_subjects, valid_path};
use super::svid::{Leaf, MAX_CHAIN, SvidError, Validity};
use crate::certificate::Certificate;
use crate::certificate::memo::MemoKey;
use crate::jose::json::{Object, Value};
use crate::name::NameError;
use crate::time::Timestamp;

/// The most root certificates. Fewer than the 100 signatures that path validation checks at most:
/// while roots are rotated they may all have one name, and are then tried one after the other.
const MAX_ROOTS: usize = 64;

/// The longest bundle as PEM or JSON, in bytes: 16 KiB for each root.
const MAX_BUNDLE: usize = 1_048_576;

/// For how long it is remembered that no path was found, in seconds, so that a peer cannot have one
/// that is costly to refuse looked for with every request. A root or an intermediate whose validity
/// begins in between is seen that much later.
const REFUSED_FOR: u64 = 60;

/// The root certificates of one trust domain (SPIFFE Trust Domain and Bundle §3). A clone is the
/// same bundle.
///
/// Of a root count its name, key, name constraints and validity, and not its path length. Roots do
/// not change: for other roots make another bundle. A path with a URI name constraint is refused,
/// whatever it says (X509-SVID §4.2).
///
/// ```no_run
/// use portcullis::certificate::Certificate;
/// use portcullis::sender::{SpiffePattern, TrustBundle};
/// use portcullis::time::Timestamp;
///
/// # let (leaf, now) = (Vec::new(), Timestamp::EPOCH);
/// let bundle = TrustBundle::from_pem("example.org", &std::fs::read("bundle.pem")?)?;
/// let web = SpiffePattern::parse("/ns/*/sa/web")?;
/// assert!(web.matches(&bundle.verify(&Certificate::from_der(leaf), now)?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct TrustBundle {
    inner: Arc<Inner>,
}

struct Inner {
    trust_domain: Box<str>,
    roots: Vec<Root>,
    key: MemoKey,
    known: Known,
}

/// What was found out about a certificate, and when that holds.
#[derive(Clone)]
pub(super) struct Verdict {
    pub(super) holds: Validity,
    pub(super) result: Result<SpiffeId, SvidError>,
}

impl TrustBundle {
    /// The roots of this trust domain, each a `CERTIFICATE` of a PEM text (RFC 7468).
    ///
    /// # Errors
    /// If the trust domain is no name of one, the text is longer than 1 MiB, is not PEM, holds
    /// something else (such as a private key), or as [`TrustBundle::from_der`] says.
    pub fn from_pem(trust_domain: &str, pem: &[u8]) -> Result<Self, NameError> {
        let wrong = |wanted| NameError::new(WHAT, trust_domain, wanted);
        bounded(trust_domain, pem)?;
        let mut roots = Vec::new();
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
            match section {
                Ok((SectionKind::Certificate, der)) => roots.push(der),
                Ok(_) => return Err(wrong("has PEM that is no certificate")),
                Err(_) => return Err(wrong("is not PEM")),
            }
        }
        Self::from_der(trust_domain, roots)
    }

    /// The roots of this trust domain, each as DER.
    ///
    /// # Errors
    /// If the trust domain is no name of one, there is no root, there are more than 64, or one of
    /// them is not the certificate of an authority that may sign certificates.
    pub fn from_der<D: AsRef<[u8]>>(
        trust_domain: &str,
        roots: impl IntoIterator<Item = D>,
    ) -> Result<Self, NameError> {
        let wrong = |wanted| NameError::new(WHAT, trust_domain, wanted);
        if let Some(wanted) = trust_domain_fault(trust_domain) {
            return Err(wrong(wanted));
        }
        let mut read = Vec::new();
        for der in roots {
            if read.len() == MAX_ROOTS {
                return Err(wrong("has more than 64 root certificates"));
            }
            let place = format!("{trust_domain}, number {}", read.len().saturating_add(1));
            let root = Root::read(der.as_ref())
                .map_err(|wanted| NameError::new("root certificate", &place, wanted))?;
            read.push(root);
        }
        if read.is_empty() {
            return Err(wrong("has no root certificate"));
        }
        let (trust_domain, key) = (trust_domain.into(), MemoKey::unique());
        let inner = Inner { trust_domain, roots: read, key, known: Known::default() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The roots of this trust domain, from a SPIFFE bundle: a JWK Set whose keys for `x509-svid`
    /// have the certificate in `x5c` (SPIFFE Trust Domain and Bundle §4, X509-SVID §6.2). Other
    /// keys are passed over, and so are `spiffe_sequence` and `spiffe_refresh_hint`.
    ///
    /// # Errors
    /// If the document is longer than 1 MiB, is not a JWK Set, the first `x5c` of a key for
    /// `x509-svid` is not base64, or as [`TrustBundle::from_der`] says. Without such a key the
    /// trust domain has withdrawn its roots: who replaces a bundle drops the old one then too.
    pub fn from_jwks(trust_domain: &str, document: &[u8]) -> Result<Self, NameError> {
        let wrong = |wanted| NameError::new(WHAT, trust_domain, wanted);
        bounded(trust_domain, document)?;
        let document = Object::parse(document).map_err(|_| wrong("is not a JSON object"))?;
        let keys = document.member("keys").and_then(Value::as_array);
        let mut roots = Vec::new();
        for key in keys.ok_or_else(|| wrong("has no array `keys`"))? {
            if let Some(text) = key.as_object().as_ref().and_then(root_of_key) {
                let der = text.as_str().and_then(|text| STANDARD.decode(text.as_bytes()).ok());
                roots.push(der.ok_or_else(|| wrong("has an `x5c` that is not base64"))?);
            }
        }
        Self::from_der(trust_domain, roots)
    }

    /// The trust domain.
    #[must_use]
    pub fn trust_domain(&self) -> &str {
        &self.inner.trust_domain
    }

    /// The SPIFFE ID that this certificate proves at this time, to a second.
    ///
    /// The answer is remembered with the certificate, and with the bundle for the same octets in
    /// another `Certificate`, up to 1024 of each answer: a yes while the leaf, the intermediates and
    /// the root are valid, and for a minute that no path was found.
    ///
    /// # Errors
    /// If it proves none of this trust domain: see [`SvidError`].
    pub fn verify(&self, certificate: &Certificate, now: Timestamp) -> Result<SpiffeId, SvidError> {
        let second = now.as_secs();
        if let Some(known) = certificate.memo().recall::<Verdict>(self.inner.key)
            && known.holds.holds(second)
        {
            return known.result.clone();
        }
        let der = certificate.der().ok_or(SvidError::DigestOnly)?;
        if certificate.chain().len() > MAX_CHAIN {
            return Err(SvidError::ChainTooLong(certificate.chain().len()));
        }
        let print = Print::of(der, certificate);
        if let Some(known) = self.inner.known.recall(print, second) {
            certificate.memo().remember(self.inner.key, known.clone());
            return known.result;
        }
        let (holds, result) = match self.judge(der, certificate, second) {
            Ok((id, holds)) => (holds, Ok(id)),
            Err(fault @ SvidError::Untrusted(_)) => {
                let last = second.saturating_add(REFUSED_FOR.saturating_sub(1));
                (Validity::new(second, last), Err(fault))
            }
            // Seen in the leaf alone, at little cost; and its validity begins and ends on time.
            Err(fault) => return Err(fault),
        };
        let verdict = Verdict { holds, result: result.clone() };
        self.inner.known.remember(print, verdict.clone());
        certificate.memo().remember(self.inner.key, verdict);
        result
    }

    /// Its SPIFFE ID, and when all of its path is valid.
    fn judge(
        &self,
        der: &[u8],
        certificate: &Certificate,
        second: u64,
    ) -> Result<(SpiffeId, Validity), SvidError> {
        // 1. The leaf, by itself.
        let leaf = Leaf::read(der, &self.inner.trust_domain)?;
        leaf.valid_at(second)?;

        // 2. A path to a root.
        check_subjects(certificate.chain())?;
        let path = valid_path(der, certificate.chain(), &self.inner.roots, second)?;

        // 3. When all of it is valid.
        Ok((leaf.id, leaf.validity.and(path)))
    }
}

/// By identity: a clone is the same bundle.
impl PartialEq for TrustBundle {
    fn eq(&self, other: &Self) -> bool {
        self.inner.key == other.inner.key
    }
}

impl Eq for TrustBundle {}

impl fmt::Debug for TrustBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustBundle")
            .field("trust_domain", &self.inner.trust_domain)
            .field("roots", &self.inner.roots.len())
            .finish()
    }
}

const WHAT: &str = "trust bundle";

fn bounded(trust_domain: &str, bundle: &[u8]) -> Result<(), NameError> {
    match bundle.len() > MAX_BUNDLE {
        true => Err(NameError::new(WHAT, trust_domain, "is longer than 1 MiB")),
        false => Ok(()),
    }
}

/// The first `x5c` of a key of a known type for X.509-SVIDs; others are passed over.
fn root_of_key<'a>(key: &Object<'a>) -> Option<Value<'a>> {
    let is = |member, known: &[&str]| {
        let value = key.member(member).and_then(Value::as_str);
        value.is_some_and(|value| known.contains(&value.as_ref()))
    };
    let usable = is("use", &["x509-svid"]) && is("kty", &["EC", "RSA", "OKP"]);
    let certificates = usable.then(|| key.member("x5c").and_then(Value::as_array)).flatten()?;
    certificates.first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle() -> TrustBundle {
        let key = MemoKey::unique();
        let (trust_domain, known) = ("example.org".into(), Known::default());
        let inner = Inner { trust_domain, roots: Vec::new(), key, known };
        TrustBundle { inner: Arc::new(inner) }
    }

    #[test]
    fn what_is_known_of_a_certificate_is_not_verified_again_while_it_holds() {
        let (bundle, other) = (bundle(), bundle());
        let id = SpiffeId::parse("spiffe://example.org/web").unwrap();
        let certificate = Certificate::from_der(b"nothing that could be verified".to_vec());
        let known = Verdict { holds: Validity::new(10, 20), result: Ok(id.clone()) };
        certificate.memo().remember(bundle.inner.key, known);
        for (second, expected) in [
            (9, Err(SvidError::Malformed)),
            (10, Ok(id.clone())),
            (20, Ok(id)),
            (21, Err(SvidError::Malformed)),
        ] {
            let now = Timestamp::from_secs(second);
            assert_eq!(bundle.clone().verify(&certificate.clone(), now), expected, "{second}");
            assert_eq!(other.verify(&certificate, now), Err(SvidError::Malformed), "{second}");
            let twin = Certificate::from_der(certificate.der().unwrap());
            assert_eq!(bundle.verify(&twin, now), Err(SvidError::Malformed), "{second}");
        }
    }

    /// WIM-10: a forwarded certificate is another object with each request.
    #[test]
    fn the_same_octets_in_another_certificate_are_not_verified_again() {
        let (bundle, other) = (bundle(), bundle());
        let make = |chain: &[u8]| Certificate::with_chain(*b"a leaf", vec![chain.into()]);
        let id = SpiffeId::parse("spiffe://example.org/web").unwrap();
        for (chain, result) in
            [(&b"good"[..], Ok(id)), (b"bad", Err(SvidError::Untrusted("for this test")))]
        {
            let known = Verdict { holds: Validity::new(10, 20), result: result.clone() };
            bundle.inner.known.remember(Print::of(b"a leaf", &make(chain)), known);
            let malformed = || Err(SvidError::Malformed);
            for (second, expected) in
                [(9, malformed()), (10, result.clone()), (20, result), (21, malformed())]
            {
                let now = Timestamp::from_secs(second);
                let certificate = make(chain);
                assert_eq!(bundle.verify(&certificate, now), expected, "{second}");
                let memo = certificate.memo().recall::<Verdict>(bundle.inner.key);
                assert_eq!(memo.is_some(), expected != malformed(), "{second}");
                assert_eq!(other.verify(&make(chain), now), malformed(), "{second}");
                assert_eq!(bundle.verify(&make(b"another"), now), malformed(), "{second}");
            }
        }
    }

    /// WIM-10: what is found out is kept for the same octets, and no more than that: a leaf that is
    /// malformed is cheap to refuse.
    #[test]
    fn what_costs_nothing_to_find_out_is_not_kept() {
        let bundle = bundle();
        let certificate = Certificate::from_der(*b"no leaf");
        let now = Timestamp::from_secs(10);
        assert_eq!(bundle.verify(&certificate, now), Err(SvidError::Malformed));
        let print = Print::of(b"no leaf", &certificate);
        assert!(bundle.inner.known.recall(print, 10).is_none());
    }
}
