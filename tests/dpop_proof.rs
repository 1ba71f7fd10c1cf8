//! One DPoP proof at a resource server (RFC 9449 §4.3): what is accepted, what is refused, in which
//! order. Nonces themselves, and the URI of a request, have tests of their own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::cell::RefCell;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RSA_PSS_SHA256, RsaKeyPair};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use portcullis::jose::{Algorithm, Compact, PublicKey, base64url};
use portcullis::sender::{
    ExpectedProof, MAX_PROOF, NonceDemand, NonceUse, NonceVerdict, Proof, ProofError,
    ProofErrorKind, ProofRules, TargetUri,
};
use portcullis::testing::{ClientKey, ManualClock, ProofBuilder, TestKey};
use portcullis::time::{Clock as _, Timestamp};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};
use support::of_length;

const URI: &str = "https://rs.example/notes";
const TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
/// The time of a new [`ManualClock`].
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn client() -> ClientKey {
    ClientKey::generate(Algorithm::Es256, &ManualClock::new())
}

fn good(client: &ClientKey) -> ProofBuilder {
    client.proof(Method::GET, URI).token(TOKEN)
}

fn here(htu: &TargetUri) -> Result<(), std::borrow::Cow<'static, str>> {
    match htu.as_str() == URI {
        true => Ok(()),
        false => Err("`htu` is another place".into()),
    }
}

fn expected() -> ExpectedProof<'static> {
    ExpectedProof::new(&Method::GET, TOKEN, &here, NOW)
}

fn verify(proof: &str) -> Result<Proof, ProofError> {
    Proof::verify(proof, &expected(), &ProofRules::default())
}

fn verify_at(proof: &str, now: Timestamp) -> Result<Proof, ProofError> {
    Proof::verify(
        proof,
        &ExpectedProof::new(&Method::GET, TOKEN, &here, now),
        &ProofRules::default(),
    )
}

type Row = (&'static str, String, Option<ProofErrorKind>);

fn check(rows: Vec<Row>) {
    for (name, proof, expected) in rows {
        let found = verify(&proof).map(|_| ()).map_err(|error| (error.kind(), error.to_string()));
        assert_eq!(found.as_ref().err().map(|error| error.0), expected, "{name}: {found:?}");
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

// ---- the field

/// DPOP-C01, DPOP-C02, DPOP-37: several fields, and values joined by a comma (attack 35).
#[test]
fn a_request_has_one_field_with_one_proof() {
    let proof = good(&client()).sign();
    let field = |lines: &[&[u8]]| {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("DPoP", HeaderValue::from_bytes(line).unwrap());
        }
        Proof::field(&headers).map(str::to_owned).map_err(|error| error.kind())
    };
    let octets = proof.as_bytes();
    assert_eq!(field(&[octets]), Ok(proof.clone()));
    let longest = "a".repeat(MAX_PROOF);
    assert_eq!(field(&[longest.as_bytes()]), Ok(longest.clone()));
    for (name, lines, fault) in [
        ("no field", &[][..], ProofErrorKind::Missing),
        ("two lines", &[octets, octets], ProofErrorKind::Several),
        ("two lines, one empty", &[octets, b""], ProofErrorKind::Several),
        ("three lines", &[octets, b"x", b"y"], ProofErrorKind::Several),
        ("joined", &[format!("{proof}, {proof}").as_bytes()], ProofErrorKind::Several),
        ("joined tightly", &[format!("{proof},{proof}").as_bytes()], ProofErrorKind::Several),
        ("a trailing comma", &[format!("{proof},").as_bytes()], ProofErrorKind::Several),
        ("only a comma", &[b","], ProofErrorKind::Several),
        ("empty", &[b""], ProofErrorKind::Malformed),
        ("a space in it", &[format!("{proof} {proof}").as_bytes()], ProofErrorKind::Malformed),
        ("a scheme before it", &[format!("DPoP {proof}").as_bytes()], ProofErrorKind::Malformed),
        ("quoted", &[format!("\"{proof}\"").as_bytes()], ProofErrorKind::Malformed),
        ("padded", &[format!("{proof}=").as_bytes()], ProofErrorKind::Malformed),
        ("a semicolon", &[format!("{proof};a=b").as_bytes()], ProofErrorKind::Malformed),
        ("JSON", &[br#"{"payload":"x"}"#], ProofErrorKind::Malformed),
        ("not ASCII", &["é".as_bytes()], ProofErrorKind::Malformed),
        ("not UTF-8", &[b"a\xff"], ProofErrorKind::Malformed),
        ("too long", &[format!("{longest}a").as_bytes()], ProofErrorKind::Malformed),
        ("too long and joined", &[format!("{longest},").as_bytes()], ProofErrorKind::Malformed),
    ] {
        assert_eq!(field(lines), Err(fault), "{name}");
    }
}

/// JWS-55: a proof may be as long as is said, to the byte, and no longer.
#[test]
fn a_proof_has_a_length() {
    let client = client();
    let proof = |header: usize, jti: usize| {
        let proof = good(&client).header("x", "x".repeat(header));
        proof.claim("jti", "j".repeat(jti)).sign()
    };
    assert!(verify(&of_length(MAX_PROOF, proof)).is_ok());
    let too_long = verify(&of_length(MAX_PROOF + 1, proof)).unwrap_err();
    assert_eq!(too_long.kind(), ProofErrorKind::Malformed);
    assert!(too_long.to_string().contains("longer than 8192 bytes"), "{too_long}");
}

/// DPOP-37: the name in any case, the value in its own.
#[test]
fn the_name_of_the_field_has_no_case_and_its_value_has() {
    let proof = good(&client()).sign();
    for name in ["DPoP", "dpop", "DPOP"] {
        let mut headers = HeaderMap::new();
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.insert(name, HeaderValue::from_str(&proof).unwrap());
        assert!(verify(Proof::field(&headers).unwrap()).is_ok());
    }
    assert!(verify(&proof.to_ascii_lowercase()).is_err());
    assert!(verify(&proof.to_ascii_uppercase()).is_err());
}

// ---- published proofs

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Published {
    source: String,
    jwk: Value,
    cases: Vec<PublishedProof>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PublishedProof {
    id: String,
    source: String,
    proof: String,
    method: String,
    uri: String,
    jti: String,
    iat: u64,
    jkt: String,
    token: Option<String>,
}

/// The vectors rfc9449-proof-* and rfc9449-ath. Two of them are for a token endpoint, and lack what a
/// proof at a resource has: they are refused for that alone, and pass with it.
#[test]
fn published_proofs_are_read_as_they_are_meant() {
    let file: Published = serde_json::from_str(include_str!("vectors/dpop.json")).unwrap();
    assert!(!file.source.is_empty());
    assert_eq!(file.cases.len(), 3);
    let mut passed = 0;
    for case in file.cases {
        let name = format!("{} ({})", case.id, case.source);
        let method = Method::from_bytes(case.method.as_bytes()).unwrap();
        let target = |htu: &TargetUri| match htu.as_str() == case.uri {
            true => Ok(()),
            false => Err("another".into()),
        };
        let token = case.token.as_deref().unwrap_or("none");
        let now = Timestamp::from_secs(case.iat + 5);
        let expected = ExpectedProof::new(&method, token, &target, now);
        let rules = ProofRules::default();
        let found = Proof::verify(&case.proof, &expected, &rules);

        let key = PublicKey::parse(file.jwk.to_string().as_bytes(), Algorithm::ALL).unwrap();
        assert_eq!(key.thumbprint().as_str(), case.jkt, "{name}");
        let jws = Compact::parse(&case.proof).unwrap();
        assert!(key.verify(Algorithm::Es256, &jws).is_ok(), "{name}");
        if case.token.is_none() {
            assert_eq!(found.unwrap_err().to_string(), "claim `ath` is absent", "{name}");
            continue;
        }
        let proof = found.unwrap();
        assert_eq!(proof.thumbprint().as_str(), case.jkt, "{name}");
        assert_eq!(proof.jti(), case.jti, "{name}");
        assert_eq!(proof.htu().as_str(), case.uri, "{name}");
        assert_eq!(proof.issued_at().as_secs(), case.iat, "{name}");
        assert_eq!(proof.nonce(), NonceUse::Unused, "{name}");
        let other = ExpectedProof::new(&method, "another token", &target, now);
        let refused = Proof::verify(&case.proof, &other, &rules).unwrap_err();
        assert_eq!(refused.kind(), ProofErrorKind::OtherToken, "{name}");
        passed += 1;
    }
    assert_eq!(passed, 1);
}

// ---- form and header

/// DPOP-C02: one compact JWS of two JSON objects, of bounded size.
#[test]
fn a_proof_is_a_compact_jws_of_two_objects() {
    use ProofErrorKind::Malformed;
    let client = client();
    let proof = good(&client).sign();
    let parts: Vec<&str> = proof.split('.').collect();
    let payload = good(&client).payload();
    let with_payload = |payload: &str| good(&client).raw_payload(payload).sign();
    let long = |length: usize| good(&client).claim("x", "x".repeat(length)).sign();
    check(vec![
        ("good", proof.clone(), None),
        ("nothing", String::new(), Some(Malformed)),
        ("dots", "..".to_owned(), Some(Malformed)),
        ("no dot", "garbage".to_owned(), Some(Malformed)),
        ("two parts", format!("{}.{}", parts[0], parts[1]), Some(Malformed)),
        ("four parts", format!("{proof}.x"), Some(Malformed)),
        ("five parts", format!("{proof}.x.x"), Some(Malformed)),
        ("detached", format!("{}..{}", parts[0], parts[2]), Some(Malformed)),
        ("a line feed after it", format!("{proof}\n"), Some(Malformed)),
        ("padded", format!("{proof}="), Some(Malformed)),
        ("JSON serialisation", json!({"payload": parts[1]}).to_string(), Some(Malformed)),
        ("white space around the payload", with_payload(&format!(" {payload} ")), None),
        ("an array around the payload", with_payload(&format!("[{payload}]")), Some(Malformed)),
        ("text as payload", with_payload("\"text\""), Some(Malformed)),
        ("payload and more", with_payload(&format!("{payload}{{}}")), Some(Malformed)),
        ("a claim twice", good(&client).repeated_claim("jti", "1").sign(), Some(Malformed)),
        (
            "another claim twice",
            { good(&client).repeated_claim("a", "1").repeated_claim("a", "1").sign() },
            Some(Malformed),
        ),
        ("a header that is an array", good(&client).raw_header("[]").sign(), Some(Malformed)),
        ("as long as may be", long(4_000), None),
        ("too long", long(8_000), Some(Malformed)),
    ]);
}

/// DPOP-C04, decision 4: the type without case and with or without `application/`.
#[test]
fn the_type_is_that_of_a_proof() {
    use ProofErrorKind::Malformed;
    let client = client();
    let typ = |typ: &str| good(&client).header("typ", typ).sign();
    check(vec![
        ("as it is", typ("dpop+jwt"), None),
        ("upper case", typ("DPOP+JWT"), None),
        ("a whole media type", typ("application/dpop+jwt"), None),
        ("another prefix", typ("text/dpop+jwt"), Some(Malformed)),
        ("longer", typ("dpop+jwt2"), Some(Malformed)),
        ("JWT", typ("JWT"), Some(Malformed)),
        ("an access token", typ("at+jwt"), Some(Malformed)),
        ("empty", typ(""), Some(Malformed)),
        ("absent", good(&client).without_header("typ").sign(), Some(Malformed)),
        ("a number", good(&client).header("typ", 7).sign(), Some(Malformed)),
        ("null", good(&client).header("typ", Value::Null).sign(), Some(Malformed)),
    ]);
}

/// Decision 4 and JWS-09 to JWS-13: what asks for more than is done here is refused; `kid` and `x5c`
/// say nothing (DPOP-C06).
#[test]
fn a_header_asks_for_nothing_that_is_not_done() {
    let client = client();
    for name in ["crit", "b64", "zip", "enc", "cty"] {
        let proof = good(&client).header(name, ["x"]).sign();
        assert_eq!(verify(&proof).unwrap_err().kind(), ProofErrorKind::Malformed, "{name}");
    }
    let ignored = good(&client)
        .header("kid", "somebody else's")
        .header("x5c", ["not a certificate"])
        .header("jku", "https://evil.example/keys")
        .header("x5t#S256", 7);
    assert_eq!(verify(&ignored.sign()).unwrap().thumbprint(), client.thumbprint());
}

/// DPOP-C05: asymmetric algorithms of the list, and no other.
#[test]
fn the_algorithm_is_on_the_list() {
    use ProofErrorKind::{AlgorithmNotAllowed, Malformed};
    let client = client();
    let alg = |alg: &str| good(&client).header("alg", alg).sign();
    check(vec![
        ("ES256", alg("ES256"), None),
        ("HS256", alg("HS256"), Some(AlgorithmNotAllowed)),
        ("ES256K", alg("ES256K"), Some(AlgorithmNotAllowed)),
        ("not on the list", alg("ES384"), Some(AlgorithmNotAllowed)),
        ("in another case", alg("es256"), Some(AlgorithmNotAllowed)),
        ("none, with a signature", alg("none"), Some(AlgorithmNotAllowed)),
        ("none, without", good(&client).unsigned(), Some(Malformed)),
        ("absent", good(&client).without_header("alg").sign(), Some(AlgorithmNotAllowed)),
        ("a number", good(&client).header("alg", 7).sign(), Some(AlgorithmNotAllowed)),
    ]);
}

/// DPOP-C05, decision 3: every algorithm that is chosen works, and none that is not.
#[test]
fn every_algorithm_is_there_by_choice() {
    let clock = ManualClock::new();
    for &algorithm in Algorithm::ALL {
        let client = ClientKey::generate(algorithm, &clock);
        let proof = good(&client).sign();
        let with = |algorithms: &[Algorithm]| {
            let mut rules = ProofRules::default();
            rules.algorithms = algorithms.to_vec();
            Proof::verify(&proof, &expected(), &rules)
        };
        let verified = with(&[algorithm]).unwrap();
        assert_eq!(verified.thumbprint(), client.thumbprint(), "{algorithm}");
        assert!(with(Algorithm::ALL).is_ok(), "{algorithm}");
        let others: Vec<Algorithm> =
            Algorithm::ALL.iter().copied().filter(|other| *other != algorithm).collect();
        for list in [&others[..], &[]] {
            let refused = with(list).unwrap_err();
            assert_eq!(refused.kind(), ProofErrorKind::AlgorithmNotAllowed, "{algorithm}");
        }
        let by_default = [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Ed25519];
        assert_eq!(verify(&proof).is_ok(), by_default.contains(&algorithm), "{algorithm}");
        let forged = verify_by(&good(&client).tampered(), &[algorithm]).unwrap_err();
        assert_eq!(forged.kind(), ProofErrorKind::BadSignature, "{algorithm}");
    }
}

fn verify_by(proof: &str, algorithms: &[Algorithm]) -> Result<Proof, ProofError> {
    let mut rules = ProofRules::default();
    rules.algorithms = algorithms.to_vec();
    Proof::verify(proof, &expected(), &rules)
}

// ---- claims

/// DPOP-C03, DPOP-C12a, DPOP-36.
#[test]
fn every_claim_is_there_and_of_its_type() {
    let client = client();
    assert!(verify(&good(&client).sign()).is_ok());
    for name in ["jti", "htm", "htu", "iat", "ath"] {
        let refused = verify(&good(&client).without(name).sign()).unwrap_err();
        assert_eq!(refused.kind(), ProofErrorKind::Malformed, "{name}");
        assert_eq!(refused.to_string(), format!("claim `{name}` is absent"));
        for odd in ["null", "true", "[]", "{}", "\"\"", "[\"x\"]", "-1", "1e400"] {
            let refused = verify(&good(&client).raw_claim(name, odd).sign()).unwrap_err();
            assert_eq!(refused.kind(), ProofErrorKind::Malformed, "{name} {odd}");
        }
    }
    for name in ["exp", "nbf"] {
        for odd in ["null", "\"1800000000\"", "-1", "[1800000000]"] {
            let refused = verify(&good(&client).raw_claim(name, odd).sign()).unwrap_err();
            assert_eq!(refused.kind(), ProofErrorKind::Malformed, "{name} {odd}");
        }
    }
    // What has no meaning here may be anything.
    let more = good(&client).claim("nonce", 7).claim("htb", "x").claim("aud", json!({"a": [1]}));
    assert!(verify(&more.claim("sub", Value::Null).sign()).is_ok());
}

/// DPOP-18: a `jti` is bounded by the proof it is in.
#[test]
fn a_jti_is_as_long_as_a_proof_lets_it_be() {
    let client = client();
    let jti = "j".repeat(4_000);
    assert_eq!(verify(&good(&client).claim("jti", &jti).sign()).unwrap().jti(), jti);
    let huge = good(&client).claim("jti", "j".repeat(1_000_000)).sign();
    assert_eq!(verify(&huge).unwrap_err().kind(), ProofErrorKind::Malformed);
}

/// DPOP-C08.
#[test]
fn the_method_is_that_of_the_request_byte_for_byte() {
    let client = client();
    let extension = Method::from_bytes(b"get").unwrap();
    for (htm, method, passes) in [
        ("GET", Method::GET, true),
        ("HEAD", Method::HEAD, true),
        ("POST", Method::POST, true),
        ("get", extension.clone(), true),
        ("GET", Method::POST, false),
        ("POST", Method::GET, false),
        ("GET", Method::HEAD, false),
        ("HEAD", Method::GET, false),
        ("get", Method::GET, false),
        ("GET", extension, false),
        ("GET ", Method::GET, false),
        ("GE", Method::GET, false),
    ] {
        let proof = good(&client).claim("htm", htm).sign();
        let expected = ExpectedProof::new(&method, TOKEN, &here, NOW);
        let found = Proof::verify(&proof, &expected, &ProofRules::default());
        let fault = found.err().map(|error| error.kind());
        assert_eq!(fault, (!passes).then_some(ProofErrorKind::OtherMethod), "{htm:?} {method}");
    }
}

/// DPOP-C09: whoever knows the URI of the request judges `htu`, and is asked once.
#[test]
fn the_uri_is_judged_by_whoever_knows_it() {
    let client = client();
    let asked = RefCell::new(Vec::new());
    let judge = |htu: &TargetUri| {
        asked.borrow_mut().push(htu.as_str().to_owned());
        here(htu)
    };
    let judged = |htu: &str| {
        let proof = good(&client).claim("htu", htu).sign();
        let expected = ExpectedProof::new(&Method::GET, TOKEN, &judge, NOW);
        let found = Proof::verify(&proof, &expected, &ProofRules::default());
        found.map(|proof| proof.htu().as_str().to_owned()).map_err(|error| error.kind())
    };
    assert_eq!(judged(URI), Ok(URI.to_owned()));
    let elsewhere = "https://rs.example/other";
    assert_eq!(judged(elsewhere), Err(ProofErrorKind::OtherUri));
    assert_eq!(asked.borrow().as_slice(), [URI, elsewhere]);
    for odd in ["/notes", "notes", "rs.example/notes", "ftp://rs.example/notes", "https://", " "] {
        assert_eq!(judged(odd), Err(ProofErrorKind::Malformed), "{odd:?}");
    }
    assert_eq!(asked.borrow().len(), 2, "what is no URI is shown to nobody");
}

/// DPOP-C12a, DPOP-39: SHA-256, and one spelling of it.
#[test]
fn the_proof_is_for_this_token() {
    use ProofErrorKind::{Malformed, OtherToken};
    let client = client();
    let ath = "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo";
    let hex: String =
        base64url::decode(ath).unwrap().iter().map(|octet| format!("{octet:02x}")).collect();
    let with = |ath: &str| good(&client).claim("ath", ath).sign();
    check(vec![
        ("the hash", with(ath), None),
        ("padded", with(&format!("{ath}=")), Some(OtherToken)),
        ("respelled", with(&ath.replace("mQEo", "mQEp")), Some(OtherToken)),
        ("in another case", with(&ath.to_ascii_uppercase()), Some(OtherToken)),
        ("hex", with(&hex), Some(OtherToken)),
        ("cut", with(&ath[..42]), Some(OtherToken)),
        ("of another token", good(&client).token("another").sign(), Some(OtherToken)),
        ("of no token", good(&client).token("").sign(), Some(OtherToken)),
        ("the token itself", with(TOKEN), Some(OtherToken)),
        ("absent", good(&client).without("ath").sign(), Some(Malformed)),
        (
            "under another name",
            { good(&client).without("ath").claim("ath#S512", ath).sign() },
            Some(Malformed),
        ),
    ]);
}

// ---- time

/// DPOP-C11, DPOP-16: both ends of the window, to the nanosecond (attack 33: no freshness at all).
#[test]
fn a_proof_is_accepted_in_its_window_and_not_outside() {
    let client = client();
    let tick = Duration::from_nanos(1);
    let iat = |at: Timestamp| good(&client).issued_at(at).sign();
    let fresh = |at: Timestamp| verify(&iat(at)).map(|_| ()).map_err(|error| error.kind());
    for (name, at) in [
        ("now", NOW),
        ("the oldest", NOW.minus(seconds(60))),
        ("the newest", NOW.plus(seconds(10))),
        ("a fraction", NOW.minus(Duration::from_millis(1_500))),
    ] {
        assert_eq!(fresh(at), Ok(()), "{name}");
    }
    for (name, at) in [
        ("too old", NOW.minus(seconds(60)).minus(tick)),
        ("too new", NOW.plus(seconds(10)).plus(tick)),
        ("an hour ago", NOW.minus(seconds(3_600))),
        ("tomorrow", NOW.plus(seconds(86_400))),
        ("1970", Timestamp::EPOCH),
        ("9999", Timestamp::from_secs(Timestamp::MAX_SECONDS)),
    ] {
        assert_eq!(fresh(at), Err(ProofErrorKind::NotFresh), "{name}");
    }
    assert!(verify(&good(&client).raw_claim("iat", "1.8e9").sign()).is_ok());
    let mut narrow = ProofRules::default();
    (narrow.max_age, narrow.leeway) = (seconds(5), Duration::ZERO);
    let narrowly = |at| Proof::verify(&iat(at), &expected(), &narrow).is_ok();
    assert!(narrowly(NOW.minus(seconds(5))) && narrowly(NOW));
    assert!(!narrowly(NOW.minus(seconds(6))) && !narrowly(NOW.plus(seconds(1))));
}

/// DPOP-40.
#[test]
fn an_end_and_a_beginning_are_honoured() {
    use ProofErrorKind::NotFresh;
    let client = client();
    let with = |name: &str, at: Timestamp| good(&client).raw_claim(name, &at.to_string()).sign();
    check(vec![
        ("exp to come", with("exp", NOW.plus(seconds(1))), None),
        ("exp within the leeway", with("exp", NOW.minus(seconds(9))), None),
        ("exp past the leeway", with("exp", NOW.minus(seconds(10))), Some(NotFresh)),
        ("nbf past", with("nbf", NOW.minus(seconds(1))), None),
        ("nbf within the leeway", with("nbf", NOW.plus(seconds(10))), None),
        ("nbf past the leeway", with("nbf", NOW.plus(seconds(11))), Some(NotFresh)),
    ]);
}

/// DPOP-17, DPOP-19: a proof is accepted until just before then, and from then on it is not.
#[test]
fn a_proof_says_until_when_it_is_accepted() {
    let client = client();
    let tick = Duration::from_nanos(1);
    for (name, proof) in [
        ("now", good(&client)),
        ("old", good(&client).issued_at(NOW.minus(seconds(60)))),
        ("ahead", good(&client).issued_at(NOW.plus(seconds(10)))),
        ("with a fraction", good(&client).issued_at(NOW.minus(Duration::from_nanos(7)))),
        ("with an end", good(&client).claim("exp", NOW.plus(seconds(20)).as_secs())),
        ("with a late end", good(&client).claim("exp", NOW.plus(seconds(9_999)).as_secs())),
    ] {
        let proof = proof.sign();
        let until = verify(&proof).unwrap().accepted_until();
        assert!(until > NOW, "{name}");
        assert_eq!(verify_at(&proof, until.minus(tick)).unwrap().accepted_until(), until, "{name}");
        for later in [until, until.plus(seconds(1)), until.plus(seconds(86_400))] {
            let refused = verify_at(&proof, later).unwrap_err();
            assert_eq!(refused.kind(), ProofErrorKind::NotFresh, "{name} at {later}");
        }
    }
}

// ---- nonces

const UNTIL: Timestamp = Timestamp::from_secs(1_800_000_240);

/// Whoever makes nonces: three that are good, of which one is old and one ends soon.
fn judge(nonce: &str) -> NonceVerdict {
    match nonce {
        "fresh" => NonceVerdict::Fresh { until: UNTIL },
        "ageing" => NonceVerdict::Ageing { until: UNTIL },
        "ending" => NonceVerdict::Ageing { until: NOW.plus(seconds(1)) },
        _ => NonceVerdict::Refused("unknown"),
    }
}

fn with_nonces(proof: &str, demand: NonceDemand<'_>) -> Result<Proof, ProofError> {
    Proof::verify(proof, &expected().nonce(demand), &ProofRules::default())
}

/// DPOP-C10, DPOP-29, DPOP-34: no way around a nonce that is required.
#[test]
fn a_nonce_is_judged_where_it_is_asked_for() {
    use ProofErrorKind::{Malformed, NonceMissing, NonceNotAccepted};
    let client = client();
    let with = |nonce: &str| good(&client).nonce(nonce).sign();
    let (none, number) = (good(&client).sign(), good(&client).claim("nonce", 7).sign());
    let (off, optional, required) =
        (NonceDemand::Off, NonceDemand::Optional(&judge), NonceDemand::Required(&judge));
    for (name, proof, demand, wanted) in [
        ("off, none", &none, off, Ok(NonceUse::Unused)),
        ("off, any", &with("stale"), off, Ok(NonceUse::Unused)),
        ("off, a number", &number, off, Ok(NonceUse::Unused)),
        ("optional, none", &none, optional, Ok(NonceUse::Unused)),
        ("optional, fresh", &with("fresh"), optional, Ok(NonceUse::Fresh)),
        ("optional, ageing", &with("ageing"), optional, Ok(NonceUse::Ageing)),
        ("optional, stale", &with("stale"), optional, Err(NonceNotAccepted)),
        ("optional, a number", &number, optional, Err(Malformed)),
        ("required, none", &none, required, Err(NonceMissing)),
        ("required, fresh", &with("fresh"), required, Ok(NonceUse::Fresh)),
        ("required, ageing", &with("ageing"), required, Ok(NonceUse::Ageing)),
        ("required, stale", &with("stale"), required, Err(NonceNotAccepted)),
        ("required, in another case", &with("FRESH"), required, Err(NonceNotAccepted)),
        ("required, empty", &with(""), required, Err(Malformed)),
        ("required, a number", &number, required, Err(Malformed)),
    ] {
        let found = with_nonces(proof, demand);
        let found = found.map(|proof| proof.nonce()).map_err(|error| error.kind());
        assert_eq!(found, wanted, "{name}");
    }
}

/// DPOP-C11, RFC 9449 §11.1: the time of the nonce is this server's own, so that of the client may
/// be anything; without a nonce it may not.
#[test]
fn a_client_with_a_nonce_needs_no_clock() {
    let client = client();
    for at in [
        Timestamp::EPOCH,
        NOW.minus(seconds(86_400)),
        NOW.plus(seconds(86_400)),
        Timestamp::from_secs(Timestamp::MAX_SECONDS),
    ] {
        let nonce = good(&client).issued_at(at).nonce("fresh").sign();
        for demand in [NonceDemand::Optional(&judge), NonceDemand::Required(&judge)] {
            let proof = with_nonces(&nonce, demand).unwrap();
            assert_eq!((proof.accepted_until(), proof.issued_at()), (UNTIL, at));
        }
        let refused = with_nonces(&nonce, NonceDemand::Off).unwrap_err();
        assert_eq!(refused.kind(), ProofErrorKind::NotFresh, "a nonce that nobody asks about");
        let none = good(&client).issued_at(at).sign();
        let refused = with_nonces(&none, NonceDemand::Optional(&judge)).unwrap_err();
        assert_eq!(refused.kind(), ProofErrorKind::NotFresh);
        let stale = good(&client).issued_at(at).nonce("stale").sign();
        let refused = with_nonces(&stale, NonceDemand::Optional(&judge)).unwrap_err();
        assert_eq!(refused.kind(), ProofErrorKind::NonceNotAccepted);
    }
    // Its own end counts beside a nonce.
    let ended = good(&client).nonce("fresh").claim("exp", 1_000).sign();
    let refused = with_nonces(&ended, NonceDemand::Required(&judge)).unwrap_err();
    assert_eq!(refused.kind(), ProofErrorKind::NotFresh);
}

/// DPOP-19: the later of the nonce's end and the window's, so that the proof cannot come again where
/// no nonce is asked for.
#[test]
fn a_proof_with_a_nonce_is_remembered_for_the_longer_time() {
    let client = client();
    let until = |nonce: &str, iat: Timestamp| {
        let proof = good(&client).issued_at(iat).nonce(nonce).sign();
        with_nonces(&proof, NonceDemand::Required(&judge)).unwrap().accepted_until()
    };
    let by_time = verify(&good(&client).sign()).unwrap().accepted_until();
    assert!(by_time > NOW.plus(seconds(60)) && by_time < UNTIL);
    assert_eq!(until("fresh", NOW), UNTIL);
    assert_eq!(until("ending", NOW), by_time);
    assert_eq!(until("ending", NOW.minus(seconds(3_600))), NOW.plus(seconds(1)));
}

// ---- keys and signatures

/// DPOP-C06.
#[test]
fn the_signature_is_of_the_key_in_the_header() {
    use ProofErrorKind::BadSignature;
    let (client, other) = (client(), client());
    let another = TestKey::generate(Algorithm::Ed25519, "other");
    let proof = good(&client).sign();
    let (input, _) = proof.rsplit_once('.').unwrap();
    let signed = |octets: &[u8]| format!("{input}.{}", base64url::encode(octets));
    let moved = good(&client).claim("jti", "another").sign();
    let moved = format!("{input}.{}", moved.rsplit_once('.').unwrap().1);
    check(vec![
        ("good", proof.clone(), None),
        ("tampered", good(&client).tampered(), Some(BadSignature)),
        ("of another key", good(&client).sign_with(other.key()), Some(BadSignature)),
        (
            "showing another key",
            { good(&client).jwk(other.public_jwk()).sign() },
            Some(BadSignature),
        ),
        ("of another kind of key", good(&client).sign_with(&another), Some(BadSignature)),
        ("of another proof", moved, Some(BadSignature)),
        ("r and s are zero", signed(&[0; 64]), Some(BadSignature)),
        ("one octet", signed(&[0]), Some(BadSignature)),
        ("none", format!("{input}."), Some(ProofErrorKind::Malformed)),
    ]);
}

/// DPOP-C07 (attack 32): a key that is private, symmetric, weak, off its curve or for another use.
#[test]
fn the_key_in_the_header_is_public_and_strong() {
    use ProofErrorKind::{BadSignature, UnusableKey};
    let clock = ManualClock::new();
    let ec = client();
    let okp = ClientKey::generate(Algorithm::Ed25519, &clock);
    let shown = |client: &ClientKey, name: &str, value: Value| {
        let mut jwk = client.public_jwk();
        jwk[name] = value;
        good(client).jwk(jwk).sign()
    };
    let d = base64url::encode([7; 32]);
    let zero = base64url::encode([0; 32]);
    let okp_x = json!({"kty": "OKP", "crv": "Ed25519", "x": zero});
    let mut moved = ec.public_jwk();
    moved["y"] = ec.public_jwk()["x"].clone();
    let oct = json!({"kty": "oct", "k": d});
    let mut rows = vec![
        ("an EC key", good(&ec).sign(), None),
        ("an OKP key", good(&okp).sign(), None),
        ("more that is known", shown(&ec, "use", json!("sig")), None),
        ("more that is unknown", shown(&ec, "ext", json!(true)), None),
        ("as browsers export it", shown(&ec, "key_ops", json!(["verify"])), None),
        ("its own alg", shown(&ec, "alg", json!("ES256")), None),
        ("the other name of its alg", shown(&okp, "alg", json!("EdDSA")), None),
        ("another alg", shown(&ec, "alg", json!("ES384")), Some(UnusableKey)),
        ("an encryption key", shown(&ec, "use", json!("enc")), Some(UnusableKey)),
        ("a signing key", shown(&ec, "key_ops", json!(["sign"])), Some(UnusableKey)),
        ("a shared secret", good(&ec).jwk(&oct).sign(), Some(UnusableKey)),
        ("a null k", shown(&ec, "k", Value::Null), Some(UnusableKey)),
        ("off its curve", good(&ec).jwk(&moved).sign(), Some(UnusableKey)),
        ("no coordinates", shown(&ec, "x", json!("")), Some(UnusableKey)),
        ("zero", shown(&ec, "x", json!(zero)), Some(UnusableKey)),
        ("of small order", good(&okp).jwk(&okp_x).sign(), Some(UnusableKey)),
        ("another curve", shown(&ec, "crv", json!("P-384")), Some(UnusableKey)),
        ("an unknown curve", shown(&ec, "crv", json!("secp256k1")), Some(UnusableKey)),
        ("a key of another shape", good(&ec).jwk(okp.public_jwk()).sign(), Some(UnusableKey)),
        ("another key", good(&ec).jwk(client().public_jwk()).sign(), Some(BadSignature)),
        ("none", good(&ec).without_header("jwk").sign(), Some(UnusableKey)),
        ("empty", good(&ec).jwk(json!({})).sign(), Some(UnusableKey)),
        ("null", good(&ec).jwk(Value::Null).sign(), Some(UnusableKey)),
        ("a list", good(&ec).jwk([ec.public_jwk()]).sign(), Some(UnusableKey)),
        ("text", good(&ec).jwk(ec.public_jwk().to_string()).sign(), Some(UnusableKey)),
        ("a set", good(&ec).jwk(json!({"keys": [ec.public_jwk()]})).sign(), Some(UnusableKey)),
    ];
    for name in ["d", "p", "q", "dp", "dq", "qi", "oth"] {
        rows.push((name, shown(&ec, name, json!(d)), Some(UnusableKey)));
        rows.push((name, shown(&okp, name, json!(d)), Some(UnusableKey)));
    }
    check(rows);
}

/// DPOP-C07, decision 3: RSA keys of 2048 to 4096 bits, with nothing private.
#[test]
fn an_rsa_key_is_neither_weak_nor_costly() {
    let rules = [Algorithm::Ps256];
    let client = ClientKey::generate(Algorithm::Ps256, &ManualClock::new());
    let judged = |proof: &str| verify_by(proof, &rules).map_err(|error| error.kind());
    assert!(judged(&good(&client).sign()).is_ok());
    for name in ["d", "p", "q", "dp", "dq", "qi", "oth"] {
        let mut jwk = client.public_jwk();
        jwk[name] = json!("AQAB");
        let refused = judged(&good(&client).jwk(jwk).sign()).unwrap_err();
        assert_eq!(refused, ProofErrorKind::UnusableKey, "{name}");
    }
    // Whether there is a private key to it does not matter: it is refused before.
    for octets in [64, 128, 192, 255, 513, 1024] {
        let mut modulus = vec![0xff; octets];
        modulus[octets / 2] = 7;
        let jwk = json!({"kty": "RSA", "n": base64url::encode(modulus), "e": "AQAB"});
        let refused = judged(&good(&client).jwk(jwk).sign()).unwrap_err();
        assert_eq!(refused, ProofErrorKind::UnusableKey, "{octets}");
    }
    for e in ["AQ", "Aw", "AQAA", "AgAAAAAB"] {
        let mut jwk = client.public_jwk();
        jwk["e"] = json!(e);
        let refused = judged(&good(&client).jwk(jwk).sign()).unwrap_err();
        assert_eq!(refused, ProofErrorKind::UnusableKey, "{e}");
    }

    let pair = RsaKeyPair::generate(KeySize::Rsa4096).unwrap();
    let public = pair.public_key();
    let jwk = json!({
        "kty": "RSA",
        "n": base64url::encode(public.modulus().big_endian_without_leading_zero()),
        "e": base64url::encode(public.exponent().big_endian_without_leading_zero()),
    });
    let input = good(&client).jwk(jwk).signing_input();
    let mut signature = vec![0; pair.public_modulus_len()];
    let random = SystemRandom::new();
    pair.sign(&RSA_PSS_SHA256, &random, input.as_bytes(), &mut signature).unwrap();
    assert!(judged(&format!("{input}.{}", base64url::encode(&signature))).is_ok());
    signature[0] ^= 1;
    let refused = judged(&format!("{input}.{}", base64url::encode(&signature))).unwrap_err();
    assert_eq!(refused, ProofErrorKind::BadSignature);
}

/// DPOP-C12b: a good proof says whose it is, for the caller to compare with the token's `cnf`.
#[test]
fn a_proof_names_its_key() {
    let (client, thief) = (client(), client());
    let proof = verify(&good(&client).sign()).unwrap();
    assert_eq!(client.confirmation(), json!({"jkt": proof.thumbprint().as_str()}));
    let stolen = verify(&good(&thief).sign()).unwrap();
    assert_ne!(stolen.thumbprint(), proof.thumbprint());
    assert_eq!(stolen.thumbprint(), thief.thumbprint());
}

// ---- all of it

/// DPOP-41: of two faults, that of the earlier and cheaper step is found.
#[test]
fn cheap_checks_come_before_costly_ones() {
    type Wrong = fn(ProofBuilder) -> ProofBuilder;
    let steps: &[(&str, ProofErrorKind, Wrong)] = &[
        ("typ", ProofErrorKind::Malformed, |proof| proof.header("typ", "JWT")),
        ("alg", ProofErrorKind::AlgorithmNotAllowed, |proof| proof.header("alg", "ES384")),
        ("claims", ProofErrorKind::Malformed, |proof| proof.without("jti")),
        ("htm", ProofErrorKind::OtherMethod, |proof| proof.claim("htm", "PUT")),
        ("htu", ProofErrorKind::OtherUri, |proof| proof.claim("htu", "https://rs.example/other")),
        ("nonce", ProofErrorKind::NonceMissing, |proof| proof.without("nonce")),
        ("exp", ProofErrorKind::NotFresh, |proof| proof.claim("exp", 1)),
        ("jwk", ProofErrorKind::UnusableKey, |proof| proof.header("jwk", json!({"kty": "EC"}))),
        ("signature", ProofErrorKind::BadSignature, |proof| proof),
        ("ath", ProofErrorKind::OtherToken, |proof| proof.token("another")),
    ];
    let client = client();
    let sign = |proof: ProofBuilder, wrong: [&str; 2]| match wrong.contains(&"signature") {
        true => proof.tampered(),
        false => proof.sign(),
    };
    let judged = |proof: &str| with_nonces(proof, NonceDemand::Required(&judge));
    assert!(judged(&good(&client).nonce("fresh").sign()).is_ok());
    for (index, (first, fault, spoil)) in steps.iter().enumerate() {
        for (second, _, spoil_too) in &steps[index..] {
            let proof = spoil_too(spoil(good(&client).nonce("fresh")));
            let refused = judged(&sign(proof, [first, second])).unwrap_err();
            assert_eq!(refused.kind(), *fault, "{first}, {second}: {refused}");
        }
    }
}

/// A good proof does not survive a change of one character, nor one more or less.
#[test]
fn no_character_of_a_proof_can_be_another() {
    let clock = ManualClock::new();
    for algorithm in [Algorithm::Es256, Algorithm::Ed25519] {
        let proof = good(&ClientKey::generate(algorithm, &clock)).sign();
        assert!(verify(&proof).is_ok());
        for at in 0..proof.len() {
            let (before, after) = (&proof[..at], &proof[at + 1..]);
            assert!(verify(&format!("{before}{after}")).is_err(), "without {at}");
            for other in ["A", "g", "_", ".", "=", "\n"] {
                assert!(
                    verify(&format!("{before}{other}{}", &proof[at..])).is_err(),
                    "more at {at}"
                );
                if !proof[at..].starts_with(other) {
                    assert!(verify(&format!("{before}{other}{after}")).is_err(), "other at {at}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The same for the octets below the encoding: header, payload and signature.
    #[test]
    fn no_octet_of_a_proof_can_be_another(place in any::<prop::sample::Index>(), change in 1..=255_u8) {
        let proof = good(&client()).sign();
        prop_assert!(verify(&proof).is_ok());
        let mut parts: Vec<Vec<u8>> =
            proof.split('.').map(|part| base64url::decode(part).unwrap()).collect();
        let mut at = place.index(parts.iter().map(Vec::len).sum());
        for part in &mut parts {
            match part.get_mut(at) {
                Some(octet) => {
                    *octet ^= change;
                    break;
                }
                None => at -= part.len(),
            }
        }
        let changed = parts.iter().map(base64url::encode).collect::<Vec<_>>().join(".");
        prop_assert_ne!(&changed, &proof);
        prop_assert!(verify(&changed).is_err());
    }
}

/// AUTH-22: what operators are told holds neither the proof nor its claims.
#[test]
fn no_refusal_prints_a_proof() {
    const SECRET: &str = "zQ7PrivateMarker";
    let client = client();
    let marked = || {
        good(&client)
            .claim("jti", SECRET)
            .claim("htu", format!("{URI}?{SECRET}"))
            .claim("sub", SECRET)
            .nonce(SECRET)
            .header("kid", SECRET)
    };
    let passed = with_nonces(&marked().claim("htu", URI).sign(), NonceDemand::Off).unwrap();
    assert!(!format!("{passed:?}").contains(SECRET));
    let long = "M".repeat(2_000);
    for (demand, proof) in [
        (NonceDemand::Off, marked().claim("ath", SECRET).sign()),
        (NonceDemand::Off, marked().claim("htu", SECRET).sign()),
        (NonceDemand::Off, marked().claim("htu", format!("https://{SECRET}.example")).sign()),
        (NonceDemand::Off, marked().claim("iat", SECRET).sign()),
        (NonceDemand::Off, marked().claim("exp", 1).sign()),
        (NonceDemand::Off, marked().claim("htm", &long).sign()),
        (NonceDemand::Off, marked().header("typ", &long).sign()),
        (NonceDemand::Off, marked().header("typ", "line\nfeed\u{202e}").sign()),
        // What is named are `htm`, `typ` and `alg`, which say nothing of the sender.
        (NonceDemand::Off, marked().header("alg", &long).sign()),
        (NonceDemand::Off, marked().header("alg", "line\nfeed\u{202e}").sign()),
        (NonceDemand::Off, marked().jwk(json!({"kty": SECRET})).sign()),
        (NonceDemand::Off, marked().jwk(json!({"kty": "RSA", "n": SECRET, "e": SECRET})).sign()),
        (NonceDemand::Off, marked().claim("htu", URI).tampered()),
        (NonceDemand::Off, format!("{SECRET}.{SECRET}")),
        (NonceDemand::Off, marked().raw_payload(SECRET).sign()),
        (NonceDemand::Required(&judge), marked().claim("htu", URI).sign()),
    ] {
        let refused = with_nonces(&proof, demand).unwrap_err();
        let text = format!("{refused} {refused:?}");
        assert!(!text.contains(SECRET) && !text.contains(TOKEN), "{text}");
        assert!(!text.contains(&long[..50]), "{text}");
        assert!(!text.contains(['\n', '\u{202e}']), "{text}");
        assert!(proof.split('.').all(|part| part.is_empty() || !text.contains(part)), "{text}");
    }
    let text = format!("{:?}", expected().nonce(NonceDemand::Optional(&judge)));
    assert!(!text.contains(TOKEN) && text.contains("Optional"), "{text}");
}

/// A client makes its proofs by its clock, each with a `jti` of its own.
#[test]
fn a_client_makes_good_proofs_by_its_clock() {
    let clock = ManualClock::new();
    let client = ClientKey::generate(Algorithm::Es256, &clock);
    let first = verify(&good(&client).sign()).unwrap();
    clock.advance(seconds(61));
    let second = good(&client);
    assert_eq!(verify(&second.sign()).unwrap_err().kind(), ProofErrorKind::NotFresh);
    let second = verify_at(&second.sign(), clock.now()).unwrap();
    assert_ne!(first.jti(), second.jti());
    assert_eq!(first.thumbprint(), second.thumbprint());
}
