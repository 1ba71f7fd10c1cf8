//! SPIFFE IDs, patterns of them, and X.509-SVIDs verified against the roots of a trust domain.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis::certificate::Certificate;
use portcullis::name::NameError;
use portcullis::sender::{SpiffeId, SpiffePattern, SvidError, TrustBundle};
use portcullis::time::Timestamp;
use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use serde_json::json;

const DOMAIN: &str = "example.org";
const ID: &str = "spiffe://example.org/ns/prod/sa/web";
const DAY: u64 = 86_400;
/// Leaves are valid for a day from here.
const BORN: u64 = 1_800_000_000;
const NOW: Timestamp = Timestamp::from_secs(BORN + 3_600);

type Authority = CertifiedIssuer<'static, KeyPair>;

/// Valid from the first second to the last.
fn validity(params: &mut CertificateParams, first: u64, last: u64) {
    params.not_before = date_time_ymd(1970, 1, 1) + Duration::from_secs(first);
    params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(last);
}

/// What an authority's certificate says: 20 days around a leaf's life.
fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    validity(&mut params, BORN - 10 * DAY, BORN + 10 * DAY);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn dns(text: &str) -> SanType {
    SanType::DnsName(text.try_into().unwrap())
}

/// What a good leaf says.
fn leaf() -> CertificateParams {
    let mut params = CertificateParams::default();
    validity(&mut params, BORN, BORN + DAY);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "SPIRE");
    params.subject_alt_names = vec![uri(ID)];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn key() -> KeyPair {
    KeyPair::generate().unwrap()
}

fn root(params: CertificateParams) -> Authority {
    CertifiedIssuer::self_signed(params, key()).unwrap()
}

fn below(above: &Authority, params: CertificateParams) -> Authority {
    CertifiedIssuer::signed_by(params, key(), above).unwrap()
}

fn issue(by: &Authority, params: &CertificateParams) -> Vec<u8> {
    params.signed_by(&key(), by).unwrap().der().to_vec()
}

fn with_chain(leaf: &[u8], chain: &[&Authority]) -> Certificate {
    Certificate::with_chain(leaf, chain.iter().map(|above| above.der().as_ref().into()).collect())
}

fn bundle(roots: &[&Authority]) -> TrustBundle {
    TrustBundle::from_der(DOMAIN, roots.iter().map(|root| root.der())).unwrap()
}

/// The SPIFFE ID of a leaf that this root has issued itself.
fn verify(root: &Authority, params: &CertificateParams) -> Result<SpiffeId, SvidError> {
    bundle(&[root]).verify(&Certificate::from_der(issue(root, params)), NOW)
}

/// WIM-10, X509-SVID §2, §3.1, §4.3, §4.4.
#[test]
fn a_leaf_of_the_trust_domain_proves_its_spiffe_id() {
    type Change = fn(&mut CertificateParams);
    let root = root(authority("root"));
    let changes: [(&str, Change); 6] = [
        ("nothing", |_| ()),
        ("a DNS name beside", |leaf| leaf.subject_alt_names.push(dns("web.example.org"))),
        ("no extended key usage", |leaf| leaf.extended_key_usages.clear()),
        ("no basic constraints", |leaf| leaf.is_ca = IsCa::NoCa),
        ("no subject", |leaf| leaf.distinguished_name = DistinguishedName::new()),
        ("keyEncipherment and keyAgreement", |leaf| {
            leaf.key_usages.push(KeyUsagePurpose::KeyEncipherment);
            leaf.key_usages.push(KeyUsagePurpose::KeyAgreement);
        }),
    ];
    for (name, change) in changes {
        let mut params = leaf();
        change(&mut params);
        assert_eq!(verify(&root, &params).unwrap().as_str(), ID, "{name}");
    }
}

/// WIM-10, WIM-03, X509-SVID §2, §3.1, §5.2: each differs from the leaf above in its names.
#[test]
fn a_leaf_with_other_names_is_refused() {
    const OTHER: &str = "spiffe://other.example/ns/prod/sa/web";
    let root = root(authority("root"));
    let refused = |names: Vec<SanType>| {
        let mut params = leaf();
        params.subject_alt_names = names;
        verify(&root, &params).unwrap_err()
    };

    for (name, names, count) in [
        ("none", vec![], 0),
        ("DNS only", vec![dns("example.org")], 0),
        ("two workloads", vec![uri(ID), uri("spiffe://example.org/ns/prod/sa/db")], 2),
        ("one workload twice", vec![uri(ID), uri(ID)], 2),
        ("two trust domains", vec![uri(OTHER), uri(ID)], 2),
        ("a web page", vec![uri(ID), uri("https://example.org/")], 2),
    ] {
        assert_eq!(refused(names), SvidError::UriNames(count), "{name}");
    }

    for text in [
        OTHER,
        "spiffe://example.org.evil.example/ns/prod/sa/web",
        "spiffe://evil-example.org/ns/prod/sa/web",
        "spiffe://xexample.org/ns/prod/sa/web",
        "spiffe://example.or/ns/prod/sa/web",
        "spiffe://evil.example/example.org",
    ] {
        let SvidError::OtherTrustDomain { found, wanted, .. } = refused(vec![uri(text)]) else {
            panic!("{text}")
        };
        assert_eq!((found.as_str(), &*wanted), (text, DOMAIN));
    }

    for text in [
        "https://example.org/ns/prod/sa/web",
        "SPIFFE://example.org/ns/prod/sa/web",
        "spiffe://EXAMPLE.ORG/ns/prod/sa/web",
        "spiffe://example.org@evil.example/ns/prod/sa/web",
        "spiffe://example.org:443/ns/prod/sa/web",
        "spiffe://example.org%2fns/prod/sa/web",
        "spiffe://example.org/ns/prod/sa/web/",
        "spiffe://example.org/",
        "spiffe:///ns/prod/sa/web",
    ] {
        let fault = refused(vec![uri(text)]);
        assert!(matches!(fault, SvidError::NotSpiffeId(_)), "{text}: {fault:?}");
    }
    assert_eq!(refused(vec![uri("spiffe://example.org")]), SvidError::NoPath);
}

/// WIM-10: a name that one reader sees and another does not is no reason to see one name only.
#[test]
fn a_leaf_whose_names_cannot_all_be_read_is_refused() {
    let root = root(authority("root"));
    let with_names = |names: &[&[u8]]| {
        let mut params = leaf();
        params.subject_alt_names.clear();
        let mut list = Vec::new();
        for name in names {
            list.extend([0x86, u8::try_from(name.len()).unwrap()]);
            list.extend(*name);
        }
        let mut content = vec![0x30, u8::try_from(list.len()).unwrap()];
        content.extend(list);
        let names = CustomExtension::from_oid_content(&[2, 5, 29, 17], content);
        params.custom_extensions.push(names);
        params
    };
    assert_eq!(verify(&root, &with_names(&[ID.as_bytes()])).unwrap().as_str(), ID);

    let odd = with_names(&[ID.as_bytes(), b"spiffe://\xff"]);
    assert_eq!(verify(&root, &odd), Err(SvidError::Malformed));
    let mut twice = with_names(&[ID.as_bytes()]);
    twice.subject_alt_names.push(uri(ID));
    assert_eq!(verify(&root, &twice), Err(SvidError::Malformed));
}

/// X509-SVID §4.1, §4.3, §4.4, §5.2: each differs from a good leaf in what its key is for.
#[test]
fn a_leaf_for_another_use_is_refused() {
    use KeyUsagePurpose::{CrlSign, DigitalSignature, KeyCertSign, KeyEncipherment};
    let root = root(authority("root"));
    for (usages, expected) in [
        (vec![DigitalSignature], None),
        (vec![], Some("is absent, wanted digitalSignature")),
        (vec![KeyEncipherment], Some("lacks digitalSignature")),
        (vec![DigitalSignature, KeyCertSign], Some("has keyCertSign")),
        (vec![DigitalSignature, CrlSign], Some("has cRLSign")),
    ] {
        let mut params = leaf();
        params.key_usages.clone_from(&usages);
        let fault = verify(&root, &params).err();
        assert_eq!(fault, expected.map(SvidError::KeyUsage), "{usages:?}");
    }

    let mut params = leaf();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    assert_eq!(verify(&root, &params), Err(SvidError::Authority));

    let mut params = leaf();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let fault = verify(&root, &params).unwrap_err();
    assert!(fault.to_string().ends_with("not for client authentication"), "{fault}");

    let mut odd = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 55_555], vec![5, 0]);
    let mut params = leaf();
    params.custom_extensions = vec![odd.clone()];
    assert!(verify(&root, &params).is_ok());
    odd.set_criticality(true);
    params.custom_extensions = vec![odd];
    let fault = verify(&root, &params).unwrap_err();
    assert!(fault.to_string().ends_with("a critical extension is unknown"), "{fault}");
}

/// RFC 5280 §4.1.2.5: both ends belong to it, and `now` is compared on every call.
#[test]
fn a_leaf_is_valid_in_its_time_only_however_often_it_was_verified() {
    let root = root(authority("root"));
    let bundle = bundle(&[&root]);
    let der = issue(&root, &leaf());
    let known = Certificate::from_der(&*der);
    let at = |second, nanos| Timestamp::from_duration(Duration::new(second, nanos));
    for (name, now, expected) in [
        ("in its first second", at(BORN, 0), None),
        ("before it, with a warm memo", at(BORN - 1, 999_999_999), Some(SvidError::NotYetValid)),
        ("in its last second", at(BORN + DAY, 999_999_999), None),
        ("after it, with a warm memo", at(BORN + DAY + 1, 0), Some(SvidError::Expired)),
        ("an hour in, again", NOW, None),
        ("long after", Timestamp::from_secs(Timestamp::MAX_SECONDS), Some(SvidError::Expired)),
        ("long before", Timestamp::EPOCH, Some(SvidError::NotYetValid)),
    ] {
        assert_eq!(bundle.verify(&known, now).err(), expected, "{name}");
        let fresh = self::bundle(&[&root]);
        assert_eq!(fresh.verify(&known, now).err(), expected, "{name}, to a new bundle");
        let unknown = Certificate::from_der(&*der);
        assert_eq!(bundle.verify(&unknown, now).err(), expected, "{name}, with a cold memo");
        assert_eq!(bundle.clone().verify(&known.clone(), now).err(), expected, "{name}, a clone");
    }
}

/// RFC 5280 §6: a warm memo lives no longer than the intermediate or the root that it needs.
#[test]
fn a_path_is_valid_while_all_of_it_is() {
    let (first, last) = (BORN + 7_200, BORN + 10_800);
    let mut short = authority("short-lived");
    validity(&mut short, first, last);

    let lasting = root(authority("root"));
    let intermediate = below(&lasting, short.clone());
    let short_root = root(short);
    for (name, certificate, bundle) in [
        (
            "intermediate",
            with_chain(&issue(&intermediate, &leaf()), &[&intermediate]),
            bundle(&[&lasting]),
        ),
        ("root", Certificate::from_der(issue(&short_root, &leaf())), bundle(&[&short_root])),
    ] {
        let verify = |second| bundle.verify(&certificate, Timestamp::from_secs(second));
        assert!(matches!(verify(first - 30), Err(SvidError::Untrusted(_))), "{name}: before");
        // A refusal is remembered for a minute, so that the beginning is seen this much later.
        assert!(matches!(verify(first + 29), Err(SvidError::Untrusted(_))), "{name}: a minute");
        assert!(verify(first + 30).is_ok(), "{name}: after the minute");
        assert!(verify(first).is_ok(), "{name}: the first second");
        assert!(verify(last).is_ok(), "{name}: the last second");
        assert!(matches!(verify(last + 1), Err(SvidError::Untrusted(_))), "{name}: after");
    }
}

/// WIM-10, X509-SVID §5.1: the trust domain's own roots, and a path to them.
#[test]
fn a_path_leads_to_a_root_of_the_bundle() {
    let top = root(authority("top"));
    let (upper, other) = (below(&top, authority("upper")), root(authority("other")));
    let lower = below(&upper, authority("lower"));
    let namesake = root(authority("top"));
    let der = issue(&lower, &leaf());
    let verify = |chain: &[&Authority], roots: &[&Authority]| {
        bundle(roots).verify(&with_chain(&der, chain), NOW).map(|id| id.to_string())
    };

    for (name, chain, roots) in [
        ("two intermediates", &[&lower, &upper][..], &[&top][..]),
        ("in any order, with the root", &[&top, &upper, &lower], &[&top]),
        ("beside what is of no use", &[&other, &lower, &upper], &[&top]),
        ("one of several roots", &[&lower, &upper], &[&other, &namesake, &top]),
        ("an intermediate as root", &[&lower], &[&upper]),
    ] {
        assert_eq!(verify(chain, roots).as_deref(), Ok(ID), "{name}");
    }
    for (name, chain, roots) in [
        ("no intermediate", &[][..], &[&top][..]),
        ("the upper is missing", &[&lower], &[&top]),
        ("the lower is missing", &[&upper], &[&top]),
        ("another root", &[&lower, &upper], &[&other]),
        ("a root of this name and another key", &[&lower, &upper], &[&namesake]),
        ("its root comes along", &[&lower, &upper, &top], &[&other]),
    ] {
        let fault = verify(chain, roots).unwrap_err();
        assert!(matches!(fault, SvidError::Untrusted(_)), "{name}: {fault:?}");
    }
    // A root issues for its own trust domain, and a bundle of another does not know its leaves.
    let foreign = TrustBundle::from_der("other.example", [top.der()]).unwrap();
    let fault = foreign.verify(&with_chain(&der, &[&lower, &upper]), NOW).unwrap_err();
    assert!(matches!(fault, SvidError::OtherTrustDomain { .. }), "{fault:?}");
}

/// RFC 5280 §6.1.4 (k), (m), (n), X509-SVID §4.2: who may sign certificates, and which.
#[test]
fn a_path_has_authorities_only_that_may_sign() {
    type Change = fn(&mut CertificateParams);
    let top = root(authority("top"));
    let verify = |change: Change| {
        let mut params = authority("intermediate");
        change(&mut params);
        let intermediate = below(&top, params);
        let der = issue(&intermediate, &leaf());
        bundle(&[&top]).verify(&with_chain(&der, &[&intermediate]), NOW).map(|id| id.to_string())
    };
    let constraint = |base: &[u8]| {
        // permittedSubtrees [0], of one URI [6].
        let length = u8::try_from(base.len()).unwrap();
        let mut content = vec![0x30, length + 6, 0xa0, length + 4, 0x30, length + 2, 0x86, length];
        content.extend(base);
        CustomExtension::from_oid_content(&[2, 5, 29, 30], content)
    };

    let good: [Change; 3] = [
        |_| (),
        |ca| ca.key_usages.clear(),
        |ca| {
            ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        },
    ];
    for change in good {
        assert_eq!(verify(change).as_deref(), Ok(ID));
    }
    let bad: [(&str, Change); 4] = [
        ("a leaf", |ca| ca.is_ca = IsCa::ExplicitNoCa),
        ("no constraints", |ca| ca.is_ca = IsCa::NoCa),
        ("no keyCertSign", |ca| ca.key_usages = vec![KeyUsagePurpose::DigitalSignature]),
        ("for servers only", |ca| {
            ca.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        }),
    ];
    for (name, change) in bad {
        let fault = verify(change).unwrap_err();
        assert!(matches!(fault, SvidError::Untrusted(_)), "{name}: {fault:?}");
    }

    // A URI name constraint is not understood, and refuses even what it permits.
    let mut constrained = authority("constrained");
    constrained.custom_extensions.push(constraint(DOMAIN.as_bytes()));
    let constrained = below(&top, constrained);
    let certificate = with_chain(&issue(&constrained, &leaf()), &[&constrained]);
    let fault = bundle(&[&top]).verify(&certificate, NOW).unwrap_err();
    assert!(fault.to_string().contains("name constraints"), "{fault}");

    // An authority for leaves only, above another.
    let mut last = authority("last");
    last.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let last = below(&top, last);
    let too_low = below(&last, authority("too low"));
    let certificate = with_chain(&issue(&too_low, &leaf()), &[&too_low, &last]);
    let fault = bundle(&[&top]).verify(&certificate, NOW).unwrap_err();
    assert!(fault.to_string().contains("longer than an authority allows"), "{fault}");
}

/// WIM-10: what cannot be verified, or costs too much.
#[test]
fn what_is_no_certificate_is_refused_before_a_signature_is_checked() {
    let root = root(authority("root"));
    let bundle = bundle(&[&root]);
    let der = issue(&root, &leaf());
    let verify = |certificate: &Certificate| bundle.verify(certificate, NOW).map(drop);
    let known = Certificate::from_der(&*der);
    assert_eq!(verify(&known), Ok(()));

    let digest = Certificate::from_sha256(*known.sha256());
    assert_eq!(digest, known);
    assert_eq!(verify(&digest), Err(SvidError::DigestOnly));

    let mut longer = der.clone();
    longer.push(0);
    let mut forged = der.clone();
    *forged.last_mut().unwrap() ^= 1;
    let malformed = [&der[..der.len() - 1], &longer, b"", b"-----BEGIN CERTIFICATE-----"];
    for malformed in malformed {
        assert_eq!(verify(&Certificate::from_der(malformed)), Err(SvidError::Malformed));
    }
    let forged = verify(&Certificate::from_der(forged));
    assert_eq!(forged, Err(SvidError::Untrusted("a signature does not verify")));
    let huge = Certificate::from_der(vec![0x30; 65_537]);
    assert_eq!(verify(&huge), Err(SvidError::TooLong(65_537)));
    let largest = Certificate::from_der(vec![0x30; 65_536]);
    assert_eq!(verify(&largest), Err(SvidError::Malformed));

    let others = ["1", "2", "3", "4", "5"].map(|name| self::root(authority(name)));
    let [one, two, three, four, five] = &others;
    assert_eq!(verify(&with_chain(&der, &[one, two, three, four, &root])), Ok(()));
    let six = with_chain(&der, &[one, two, three, four, five, &root]);
    assert_eq!(verify(&six), Err(SvidError::ChainTooLong(6)));
}

/// WIM-10: certificates of one subject make path building try orders of them, and are refused before
/// a signature is checked; each for itself leads to the root.
#[test]
fn no_two_certificates_of_a_chain_have_one_subject() {
    let top = root(authority("top"));
    let (one, namesake) = (below(&top, authority("one")), below(&top, authority("one")));
    let two = below(&one, authority("two"));
    let (by_one, by_two) = (issue(&one, &leaf()), issue(&two, &leaf()));
    for (name, leaf, chain, refused) in [
        ("one", &by_one, &[&one][..], false),
        ("one, and the root", &by_one, &[&one, &top], false),
        ("two", &by_two, &[&two, &one], false),
        ("a namesake", &by_one, &[&one, &namesake], true),
        ("a namesake first", &by_one, &[&namesake, &one], true),
        ("not side by side", &by_two, &[&one, &two, &namesake], true),
        ("the same one twice", &by_one, &[&one, &one], true),
        ("the root twice", &by_one, &[&one, &top, &top], true),
    ] {
        let verified = bundle(&[&top]).verify(&with_chain(leaf, chain), NOW).map(drop);
        let wanted = SvidError::Untrusted("two certificates of its chain have one subject");
        assert_eq!(verified, if refused { Err(wanted) } else { Ok(()) }, "{name}");
    }
    // What path building could read in another way is not left to it.
    let odd = Certificate::with_chain(&*by_one, vec![one.der().as_ref().into(), (*b"DER").into()]);
    let fault = bundle(&[&top]).verify(&odd, NOW).unwrap_err();
    assert_eq!(fault, SvidError::Untrusted("a certificate of its chain is not X.509"));
}

/// What is known of a certificate is known for one bundle.
#[test]
fn a_bundle_with_other_roots_is_asked_anew() {
    let (old, new) = (root(authority("old")), root(authority("new")));
    let certificate = Certificate::from_der(issue(&old, &leaf()));
    let (before, after, both) = (bundle(&[&old]), bundle(&[&new]), bundle(&[&old, &new]));
    assert!(before == before.clone() && before != after && before != bundle(&[&old]));
    for round in 0..3 {
        assert!(before.verify(&certificate, NOW).is_ok(), "{round}");
        assert!(after.verify(&certificate, NOW).is_err(), "{round}");
        assert!(both.verify(&certificate, NOW).is_ok(), "{round}");
        // More bundles than are remembered.
        for _ in 0..5 {
            assert!(bundle(&[&old]).verify(&certificate, NOW).is_ok(), "{round}");
            assert!(bundle(&[&new]).verify(&certificate, NOW).is_err(), "{round}");
        }
    }
}

/// SPIFFE Trust Domain and Bundle §3: what a bundle is made of.
#[test]
fn a_bundle_holds_certificates_of_authorities() {
    let (one, two) = (root(authority("one")), root(authority("two")));
    let pem = [one.pem(), two.pem()].concat();
    let fault = |result: Result<TrustBundle, NameError>| result.unwrap_err().to_string();
    let both = TrustBundle::from_pem(DOMAIN, pem.as_bytes()).unwrap();
    assert_eq!(both.trust_domain(), DOMAIN);
    for by in [&one, &two] {
        assert!(both.verify(&Certificate::from_der(issue(by, &leaf())), NOW).is_ok());
    }

    let with_key = pem.clone() + &key().serialize_pem();
    let cut = pem.split_at(pem.len() - 40).0;
    let long = "\n".repeat(1_048_577);
    let longest = "\n".repeat(1_048_576 - pem.len()) + &pem;
    assert!(TrustBundle::from_pem(DOMAIN, longest.as_bytes()).is_ok());
    for (name, domain, pem, wanted) in [
        ("nothing", DOMAIN, "", "has no root certificate"),
        ("no PEM", DOMAIN, "MIIB", "has no root certificate"),
        ("a private key", DOMAIN, &with_key, "has PEM that is no certificate"),
        ("cut", DOMAIN, cut, "is not PEM"),
        ("long", DOMAIN, &long, "is longer than 1 MiB"),
        ("no trust domain", "", &pem, "has no trust domain"),
        ("a URL", "spiffe://example.org", &pem, "other than a-z 0-9 . - _"),
        ("upper case", "Example.org", &pem, "other than a-z 0-9 . - _"),
    ] {
        let fault = fault(TrustBundle::from_pem(domain, pem.as_bytes()));
        assert!(fault.contains(wanted) && !fault.contains("MII"), "{name}: {fault}");
    }

    type Change = fn(&mut CertificateParams);
    let changes: [(Change, &str); 3] = [
        (|ca| ca.is_ca = IsCa::NoCa, "is not an authority's"),
        (|ca| ca.is_ca = IsCa::ExplicitNoCa, "is not an authority's"),
        (|ca| ca.key_usages = vec![KeyUsagePurpose::CrlSign], "lacks keyCertSign"),
    ];
    for (change, wanted) in changes {
        let mut params = authority("odd");
        change(&mut params);
        let fault = fault(TrustBundle::from_der(DOMAIN, [one.der(), root(params).der()]));
        assert!(fault.contains("\"example.org, number 2\"") && fault.contains(wanted), "{fault}");
    }
    assert!(fault(TrustBundle::from_der(DOMAIN, [b"DER"])).contains("is not X.509"));
    assert!(TrustBundle::from_der(DOMAIN, [one.der(); 64]).is_ok());
    let many = fault(TrustBundle::from_der(DOMAIN, [one.der(); 65]));
    assert!(many.contains("more than 64"), "{many}");
}

/// X509-SVID §6.2, SPIFFE Trust Domain and Bundle §4: which keys of a JWK Set are roots.
#[test]
fn a_bundle_document_is_read_for_its_x509_roots() {
    let (one, two) = (root(authority("one")), root(authority("two")));
    let x5c = |root: &Authority| STANDARD.encode(root.der());
    let certificate = Certificate::from_der(issue(&one, &leaf()));
    let read = |keys: serde_json::Value| {
        let document = json!({"spiffe_sequence": 1, "spiffe_refresh_hint": 60, "keys": keys});
        TrustBundle::from_jwks(DOMAIN, document.to_string().as_bytes())
    };
    let good = json!({"kty": "EC", "use": "x509-svid", "x5c": [x5c(&one)]});
    let passed_over = json!([
        {"kty": "EC", "use": "jwt-svid", "x5c": [x5c(&one)]},
        {"kty": "EC", "use": "X509-SVID", "x5c": [x5c(&one)]},
        {"kty": "EC", "use": "sig", "x5c": [x5c(&one)]},
        {"kty": "EC", "x5c": [x5c(&one)]},
        {"use": "x509-svid", "x5c": [x5c(&one)]},
        {"kty": "unknown", "use": "x509-svid", "x5c": [x5c(&one)]},
        {"kty": "EC", "use": "x509-svid"},
        {"kty": "EC", "use": "x509-svid", "x5c": []},
        {"kty": "EC", "use": "x509-svid", "x5c": x5c(&one)},
        7,
    ]);
    let others = json!([{"kty": "EC", "use": "x509-svid", "x5c": [x5c(&two), x5c(&one)]}]);

    let mut mixed = passed_over.as_array().unwrap().clone();
    mixed.push(good.clone());
    for keys in [json!([good]), json!(mixed)] {
        assert!(read(keys).unwrap().verify(&certificate, NOW).is_ok());
    }
    let fault = read(others).unwrap().verify(&certificate, NOW).unwrap_err();
    assert!(matches!(fault, SvidError::Untrusted(_)), "only the first `x5c`: {fault:?}");

    for (name, keys, wanted) in [
        ("withdrawn", json!([]), "has no root certificate"),
        ("none of use", passed_over, "has no root certificate"),
        ("no array", json!({}), "has no array `keys`"),
        (
            "base64url",
            json!([{"kty": "EC", "use": "x509-svid", "x5c": ["_-8"]}]),
            "has an `x5c` that is not base64",
        ),
        (
            "no certificate",
            json!([{"kty": "EC", "use": "x509-svid", "x5c": ["AAAA"]}]),
            "is not X.509",
        ),
    ] {
        let fault = read(keys).unwrap_err().to_string();
        assert!(fault.contains(wanted), "{name}: {fault}");
    }
    for document in ["", "[]", "{}", r#"{"keys":[],"keys":[]}"#] {
        assert!(TrustBundle::from_jwks(DOMAIN, document.as_bytes()).is_err(), "{document}");
    }
}

/// SPIFFE ID §2: each refused text beside one that is taken.
#[test]
fn a_spiffe_id_has_one_spelling() {
    let longest = format!("spiffe://example.org/{}", "a".repeat(2_048 - 21));
    let longest_domain = format!("spiffe://{}/a", "a".repeat(255));
    for (text, trust_domain, path) in [
        (ID, "example.org", "/ns/prod/sa/web"),
        ("spiffe://example.org", "example.org", ""),
        ("spiffe://a/b", "a", "/b"),
        ("spiffe://192.0.2.1/a", "192.0.2.1", "/a"),
        ("spiffe://my_domain-1.test/A.b-C_d", "my_domain-1.test", "/A.b-C_d"),
        ("spiffe://example.org/.../..a/.b", "example.org", "/.../..a/.b"),
        (&longest, "example.org", &longest[20..]),
        (&longest_domain, &longest_domain[9..264], "/a"),
    ] {
        let id = SpiffeId::parse(text).unwrap();
        assert_eq!((id.trust_domain(), id.path()), (trust_domain, path), "{text}");
        assert_eq!((id.as_str(), id.to_string()), (text, text.to_owned()));
    }
    for text in [
        "",
        "spiffe:",
        "spiffe://",
        "spiffe:///a",
        "spiffe:/example.org/a",
        "example.org/a",
        " spiffe://example.org/a",
        "spiffe://example.org/a ",
        "http://example.org/a",
        "Spiffe://example.org/a",
        "spiffe://Example.org/a",
        "spiffe://exämple.org/a",
        "spiffe://[2001:db8::1]/a",
        "spiffe://example.org:8443/a",
        "spiffe://example.org:/a",
        "spiffe://user@example.org/a",
        "spiffe://@example.org/a",
        "spiffe://example%2eorg/a",
        "spiffe://example.org?a",
        "spiffe://example.org#a",
        "spiffe://example.org\\a",
        "spiffe://example.org/",
        "spiffe://example.org//a",
        "spiffe://example.org/a//b",
        "spiffe://example.org/a/",
        "spiffe://example.org/.",
        "spiffe://example.org/a/../b",
        "spiffe://example.org/a/./b",
        "spiffe://example.org/a?b",
        "spiffe://example.org/a#b",
        "spiffe://example.org/a%20b",
        "spiffe://example.org/a:b",
        "spiffe://example.org/a*",
        "spiffe://example.org/\u{e4}",
        "spiffe://example.org/a\0",
        &format!("{longest}a"),
        &format!("spiffe://{}/a", "a".repeat(256)),
    ] {
        assert!(SpiffeId::parse(text).is_err(), "{text}");
    }
    assert_ne!(
        SpiffeId::parse("spiffe://example.org/a").unwrap(),
        SpiffeId::parse("spiffe://example.org/A").unwrap()
    );
}

/// Segments are compared as wholes: no path matches because it begins, ends or goes on alike.
#[test]
fn a_pattern_means_whole_segments() {
    for (pattern, matching, other) in [
        ("/a", &["/a"][..], &["", "/A", "/ab", "/b", "/a/b", "/b/a", "/a."][..]),
        ("/a/b", &["/a/b"], &["/a", "/a/bc", "/a/b/c", "/x/a/b", "/a/c"]),
        ("/*", &["/a", "/ab"], &["", "/a/b"]),
        ("/a/*/c", &["/a/b/c", "/a/x/c"], &["/a/c", "/a/b/b/c", "/a/b/d", "/a/b/c/d", "/b/b/c"]),
        ("/a/*", &["/a/b"], &["/a", "/a/b/c", "/ab/c"]),
        ("/*/*", &["/a/b"], &["/a", "/a/b/c"]),
        ("/**", &["/a", "/a/b", "/a/b/c"], &[""]),
        ("/a/**", &["/a/b", "/a/b/c"], &["", "/a", "/ab", "/ab/c", "/b/a/b"]),
        ("/*/b/**", &["/a/b/c", "/x/b/c/d"], &["/a/b", "/b/c/d", "/a/c/b"]),
    ] {
        let parsed = SpiffePattern::parse(pattern).unwrap();
        assert_eq!((parsed.as_str(), parsed.to_string()), (pattern, pattern.to_owned()));
        for (paths, expected) in [(matching, true), (other, false)] {
            for path in paths {
                let id = SpiffeId::parse(&format!("spiffe://example.org{path}")).unwrap();
                assert_eq!(parsed.matches(&id), expected, "{pattern} {path}");
            }
        }
    }
    for pattern in [
        "",
        "/",
        "a",
        "*",
        "**",
        "/a/",
        "//a",
        "/**/a",
        "/**/**",
        "/a*",
        "/*a",
        "/***",
        "/a/../b",
        "/a/./b",
        "/a b",
        "/a?",
        "/[ab]",
        "/{id}",
        "/a%2fb",
        "spiffe://example.org/a",
        &format!("/{}", "a".repeat(2_048)),
    ] {
        assert!(SpiffePattern::parse(pattern).is_err(), "{pattern}");
    }
    assert!(SpiffePattern::parse(&format!("/{}", "a".repeat(2_047))).is_ok());
}

/// The rules of SPIFFE ID §2, written a second time.
fn is_spiffe_id(text: &str) -> bool {
    let parts: Vec<&str> = text.split('/').collect();
    let [scheme, nothing, domain, segments @ ..] = parts.as_slice() else { return false };
    let lower = "abcdefghijklmnopqrstuvwxyz0123456789.-_";
    let any = lower.to_owned() + "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    text.len() <= 2_048
        && (*scheme, *nothing) == ("spiffe:", "")
        && (1..=255).contains(&domain.len())
        && domain.chars().all(|letter| lower.contains(letter))
        && segments.iter().all(|segment| {
            !["", ".", ".."].contains(segment) && segment.chars().all(|letter| any.contains(letter))
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// SPIFFE ID §2: any text is read or refused, and what is read is written as it was.
    #[test]
    fn parsing_never_panics_and_round_trips(
        text in prop_oneof![
            ".*",
            "spiffe://[a-z0-9._-]{1,9}(/[a-zA-Z0-9._-]{1,4}){0,4}",
            "[sS]?piffe:/{1,3}[a-zA-Z.:@%?#-]{0,5}(/[a-z.%*\\\\?# ]{0,3}){0,3}",
            "spiffe://[a-z]{250,260}(/[a-z.]{0,600}){0,4}",
        ],
        pattern in prop_oneof![".*", "(/([a-z]{1,2}|\\*|\\*\\*)){0,4}"],
    ) {
        let id = SpiffeId::parse(&text);
        prop_assert_eq!(id.is_ok(), is_spiffe_id(&text), "{}", text);
        let pattern = SpiffePattern::parse(&pattern);
        if let Ok(id) = id {
            prop_assert_eq!(id.to_string(), &*text);
            prop_assert_eq!(format!("spiffe://{}{}", id.trust_domain(), id.path()), &*text);
            prop_assert_eq!(&SpiffeId::parse(id.as_str()).unwrap(), &id);
            // Its own path is a pattern, of itself alone.
            if let Ok(own) = SpiffePattern::parse(id.path()) {
                prop_assert!(own.matches(&id));
            } else {
                prop_assert_eq!(id.path(), "");
            }
            if let Ok(pattern) = pattern {
                let _ = pattern.matches(&id);
            }
        }
    }
}
