//! The certificates of the test kit.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use percent_encoding::percent_decode_str;
use portcullis::testing::{KeyUsage, TestCertificate};
use portcullis::time::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::der::oid::AssociatedOid;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage as Usage, SubjectAltName};

/// MTLS-03, MTLS-12, MTLS-18, MTLS-21: the fields are read here as their RFC or product says, by
/// nothing of the crate.
#[test]
fn a_certificate_is_written_as_each_field_has_it() {
    let authority = TestCertificate::named("authority").authority().self_signed();
    let alice = TestCertificate::named("a \"b\" \\c")
        .uri("spiffe://example.org/alice")
        .dns("alice.example.org")
        .issued_by(&authority);
    let digest = Sha256::digest(alice.der());

    let confirmation = serde_json::json!({ "x5t#S256": URL_SAFE_NO_PAD.encode(digest) });
    assert_eq!(alice.confirmation(), confirmation);

    let field = alice.client_cert_field();
    let inside = field.strip_prefix(':').unwrap().strip_suffix(':').unwrap();
    assert_eq!(STANDARD.decode(inside).unwrap(), alice.der());

    let field = alice.escaped_pem_field();
    assert!(field.starts_with("-----BEGIN%20CERTIFICATE-----%0A"), "{field}");
    assert!(!field.contains(['+', '/', '=', '\n', ' ']), "{field}");
    let pem = percent_decode_str(&field).decode_utf8().unwrap();
    assert_eq!(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().as_ref(), alice.der());

    let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        alice.xfcc_field(),
        format!(
            "Hash={hash};Cert=\"{field}\";Subject=\"CN=a \\\"b\\\" \\\\c\";\
             URI=spiffe://example.org/alice;DNS=alice.example.org"
        )
    );
    let chain: Vec<_> = CertificateDer::pem_slice_iter(alice.chain_pem().as_bytes())
        .map(|certificate| certificate.unwrap().to_vec())
        .collect();
    assert_eq!(chain, [alice.der(), authority.der()]);
}

#[test]
fn a_certificate_says_what_it_was_asked_to() {
    let (from, until) = (Timestamp::from_secs(1_500_000_000), Timestamp::from_secs(1_600_000_000));
    let plain = parsed(&TestCertificate::named("plain").self_signed());
    let full = parsed(
        &TestCertificate::named("full")
            .uri("spiffe://example.org/full")
            .dns("full.example.org")
            .valid(from, until)
            .authority()
            .key_usage(KeyUsage::DigitalSignature)
            .key_usage(KeyUsage::CertificateSigning)
            .key_usage(KeyUsage::RevocationListSigning)
            .self_signed(),
    );

    let tbs = full.tbs_certificate();
    assert_eq!(tbs.subject().to_string(), "CN=full");
    assert_eq!(tbs.issuer().to_string(), "CN=full");
    assert_eq!(tbs.validity().not_before.to_unix_duration(), from.as_duration());
    assert_eq!(tbs.validity().not_after.to_unix_duration(), until.as_duration());
    let usage: Usage = extension(&full).unwrap();
    assert!(usage.digital_signature() && usage.key_cert_sign() && usage.crl_sign());
    assert!(!usage.key_encipherment());
    assert!(extension::<BasicConstraints>(&full).unwrap().ca);
    let SubjectAltName(names) = extension(&full).unwrap();
    let names: Vec<_> = names
        .iter()
        .map(|name| match name {
            GeneralName::UniformResourceIdentifier(uri) => uri.to_string(),
            GeneralName::DnsName(name) => name.to_string(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(names, ["spiffe://example.org/full", "full.example.org"]);

    assert!(extension::<Usage>(&plain).is_none());
    assert!(extension::<BasicConstraints>(&plain).is_none());
    assert!(extension::<SubjectAltName>(&plain).is_none());
}

#[test]
fn a_renewal_keeps_key_names_and_issuer() {
    let authority = TestCertificate::named("authority").authority().self_signed();
    for (name, one) in [
        ("self-signed", TestCertificate::named("one").dns("one.example.org").self_signed()),
        ("issued", TestCertificate::named("one").dns("one.example.org").issued_by(&authority)),
    ] {
        let renewed = one.renewed();
        assert_ne!(renewed.der(), one.der(), "{name}");
        assert_eq!(renewed.key_pem(), one.key_pem(), "{name}");
        let (one, renewed) = (parsed(&one), parsed(&renewed));
        let (one, renewed) = (one.tbs_certificate(), renewed.tbs_certificate());
        assert_eq!(renewed.issuer(), one.issuer(), "{name}");
        assert_eq!(renewed.subject(), one.subject(), "{name}");
        assert_eq!(renewed.subject_public_key_info(), one.subject_public_key_info(), "{name}");
        assert_ne!(renewed.serial_number(), one.serial_number(), "{name}");
    }
    let another = TestCertificate::named("one").self_signed();
    assert_ne!(another.key_pem(), TestCertificate::named("one").self_signed().key_pem());
}

fn parsed(certificate: &TestCertificate) -> Certificate {
    Certificate::from_der(certificate.der()).unwrap()
}

fn extension<'a, E: x509_cert::der::Decode<'a> + AssociatedOid>(
    certificate: &'a Certificate,
) -> Option<E>
where
    E::Error: std::fmt::Debug,
{
    let extensions = certificate.tbs_certificate().extensions()?;
    let found = extensions.iter().find(|extension| extension.extn_id == E::OID)?;
    Some(E::from_der(found.extn_value.as_bytes()).unwrap())
}
