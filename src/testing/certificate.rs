use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use serde_json::{Value, json};

use crate::certificate::Certificate;
use crate::time::Timestamp;

/// What `encodeURIComponent` leaves as it is, of which nginx and Envoy write certificates.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// An X.509 v3 certificate with its private key (P-256): of a client, a server or an authority, for
/// access tokens that are bound to it (RFC 8705) and for handshakes. A clone is the same certificate.
///
/// It is valid from 1975 to 4096 unless said otherwise.
///
/// ```
/// use portcullis::testing::TestCertificate;
///
/// let alice = TestCertificate::named("alice").self_signed();
/// let thumbprint = alice.certificate().thumbprint().to_string();
/// assert_eq!(alice.confirmation(), serde_json::json!({ "x5t#S256": thumbprint }));
/// assert_ne!(alice.confirmation(), alice.renewed().confirmation());
///
/// let authority = TestCertificate::named("authority").authority().self_signed();
/// let spiffe = "spiffe://example.org/billing";
/// let billing = TestCertificate::named("billing").uri(spiffe).issued_by(&authority);
/// assert!(billing.xfcc_field().ends_with(";Subject=\"CN=billing\";URI=spiffe://example.org/billing"));
/// ```
#[derive(Clone)]
pub struct TestCertificate {
    inner: Arc<Inner>,
}

struct Inner {
    builder: TestCertificateBuilder,
    key: Arc<KeyPair>,
    pem: String,
    certificate: Certificate,
    /// `None`: itself.
    issuer: Option<TestCertificate>,
}

/// Makes a [`TestCertificate`].
#[derive(Clone, Debug)]
#[must_use = "a certificate is made by `self_signed` or `issued_by`"]
pub struct TestCertificateBuilder {
    name: String,
    uris: Vec<String>,
    dns_names: Vec<String>,
    validity: Option<(Timestamp, Timestamp)>,
    is_ca: IsCa,
    key_usages: Vec<KeyUsagePurpose>,
}

/// What a key may be used for (RFC 5280 §4.2.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyUsage {
    /// `digitalSignature`: to sign handshakes.
    DigitalSignature,
    /// `keyCertSign`: to issue certificates.
    CertificateSigning,
    /// `cRLSign`: to sign revocation lists.
    RevocationListSigning,
}

impl TestCertificate {
    /// Begins a certificate whose subject is `CN=name`, of nobody's authority, without a key usage.
    pub fn named(name: impl Into<String>) -> TestCertificateBuilder {
        TestCertificateBuilder {
            name: name.into(),
            uris: Vec::new(),
            dns_names: Vec::new(),
            validity: None,
            is_ca: IsCa::NoCa,
            key_usages: Vec::new(),
        }
    }

    /// Another certificate for the same key, with the same names, from the same issuer: a token that
    /// is bound to this one is not bound to that (RFC 8705 §6.3).
    #[must_use]
    pub fn renewed(&self) -> Self {
        self.inner.builder.clone().sign(Arc::clone(&self.inner.key), self.inner.issuer.clone())
    }

    /// The certificate in PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.inner.pem.clone()
    }

    /// The certificate in PEM, followed by those that issued it, the root too.
    #[must_use]
    pub fn chain_pem(&self) -> String {
        let issuer = self.inner.issuer.as_ref().map(Self::chain_pem).unwrap_or_default();
        format!("{}{issuer}", self.inner.pem)
    }

    /// The private key, as PKCS #8 in PEM.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.inner.key.serialize_pem()
    }

    /// The certificate in DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        self.inner.certificate.der().expect("a certificate that is known")
    }

    /// The certificate, as an acceptor knows it that was sent the chain without the root.
    #[must_use]
    pub fn certificate(&self) -> Certificate {
        self.inner.certificate.clone()
    }

    /// The value of a `cnf` claim that binds a token to this certificate (RFC 8705 §3.1).
    #[must_use]
    pub fn confirmation(&self) -> Value {
        json!({ "x5t#S256": self.inner.certificate.thumbprint().as_str() })
    }

    /// The value of a `Client-Cert` field (RFC 9440 §2.1).
    #[must_use]
    pub fn client_cert_field(&self) -> String {
        format!(":{}:", STANDARD.encode(self.der()))
    }

    /// An element of Envoy's `X-Forwarded-Client-Cert` field: `Hash`, `Cert`, `Subject`, `URI` and
    /// `DNS`.
    #[must_use]
    pub fn xfcc_field(&self) -> String {
        let builder = &self.inner.builder;
        let digest = self.inner.certificate.sha256();
        let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let subject = builder.name.replace('\\', "\\\\").replace('"', "\\\"");
        let cert = self.escaped_pem_field();
        let uris = builder.uris.iter().map(|uri| format!(";URI={uri}"));
        let dns_names = builder.dns_names.iter().map(|name| format!(";DNS={name}"));
        let names: String = uris.chain(dns_names).collect();
        format!("Hash={hash};Cert=\"{cert}\";Subject=\"CN={subject}\"{names}")
    }

    /// The certificate as nginx has it in `$ssl_client_escaped_cert`: PEM, percent-encoded.
    #[must_use]
    pub fn escaped_pem_field(&self) -> String {
        utf8_percent_encode(&self.inner.pem, ESCAPED).to_string()
    }
}

impl fmt::Debug for TestCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestCertificate")
            .field("name", &self.inner.builder.name)
            .field("certificate", &self.inner.certificate)
            .finish_non_exhaustive()
    }
}

impl TestCertificateBuilder {
    /// A URI among the subject's alternative names, such as a SPIFFE ID; may be said several times.
    pub fn uri(mut self, uri: impl Into<String>) -> Self {
        self.uris.push(uri.into());
        self
    }

    /// A DNS name among the subject's alternative names; may be said several times.
    pub fn dns(mut self, name: impl Into<String>) -> Self {
        self.dns_names.push(name.into());
        self
    }

    /// Valid from then to then, in whole seconds: expired, or not valid yet, if "now" is elsewhere.
    pub fn valid(mut self, from: Timestamp, until: Timestamp) -> Self {
        self.validity = Some((from, until));
        self
    }

    /// A certificate authority: the basic constraint `cA` (RFC 5280 §4.2.1.9). Without a
    /// [`key_usage`](Self::key_usage) its key may be used for anything.
    pub fn authority(mut self) -> Self {
        self.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        self
    }

    /// Something that the key may be used for; may be said several times. Where nothing is said, the
    /// certificate says nothing of it.
    pub fn key_usage(mut self, usage: KeyUsage) -> Self {
        self.key_usages.push(match usage {
            KeyUsage::DigitalSignature => KeyUsagePurpose::DigitalSignature,
            KeyUsage::CertificateSigning => KeyUsagePurpose::KeyCertSign,
            KeyUsage::RevocationListSigning => KeyUsagePurpose::CrlSign,
        });
        self
    }

    /// Signs it with its own key.
    ///
    /// # Panics
    /// If a name is not ASCII.
    #[must_use]
    pub fn self_signed(self) -> TestCertificate {
        self.sign(new_key(), None)
    }

    /// Signs it with the key of another, whether that is an authority or not.
    ///
    /// # Panics
    /// If a name is not ASCII.
    #[must_use]
    pub fn issued_by(self, issuer: &TestCertificate) -> TestCertificate {
        self.sign(new_key(), Some(issuer.clone()))
    }

    fn sign(self, key: Arc<KeyPair>, issuer: Option<TestCertificate>) -> TestCertificate {
        /// Two certificates of one key differ in it.
        static SERIAL: AtomicU64 = AtomicU64::new(1);
        let mut params = self.params();
        params.serial_number = Some(SERIAL.fetch_add(1, Ordering::Relaxed).into());
        params.use_authority_key_identifier_extension = issuer.is_some();
        let signed = match &issuer {
            None => params.self_signed(&*key),
            Some(issuer) => {
                let (above, above_key) = (issuer.inner.builder.params(), &*issuer.inner.key);
                params.signed_by(&*key, &Issuer::from_params(&above, above_key))
            }
        };
        let signed = signed.expect("a certificate");
        // Issuers up to the root, which a peer has already.
        let mut chain = Vec::new();
        let mut next = issuer.as_ref();
        while let Some(certificate) = next {
            next = certificate.inner.issuer.as_ref();
            if next.is_some() {
                chain.push(certificate.der().into());
            }
        }
        let certificate = Certificate::with_chain(&**signed.der(), chain);
        let inner = Inner { builder: self, key, pem: signed.pem(), certificate, issuer };
        TestCertificate { inner: Arc::new(inner) }
    }

    fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, self.name.as_str());
        let ascii = |name: &String| name.as_str().try_into().expect("a name in ASCII");
        let uris = self.uris.iter().map(|uri| SanType::URI(ascii(uri)));
        let dns_names = self.dns_names.iter().map(|name| SanType::DnsName(ascii(name)));
        params.subject_alt_names = uris.chain(dns_names).collect();
        if let Some((from, until)) = self.validity {
            let epoch = rcgen::date_time_ymd(1970, 1, 1);
            params.not_before = epoch + from.as_duration();
            params.not_after = epoch + until.as_duration();
        }
        params.is_ca = self.is_ca;
        params.key_usages.clone_from(&self.key_usages);
        params
    }
}

fn new_key() -> Arc<KeyPair> {
    Arc::new(KeyPair::generate().expect("a key pair"))
}
