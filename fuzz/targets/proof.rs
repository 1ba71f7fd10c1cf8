//! DPoP proofs, and a second reading of RFC 9449 §4.3 to compare the verdict with.

use std::cell::Cell;
use std::time::Duration;

use ed25519_dalek::{Signer as _, SigningKey};
use http::{HeaderMap, HeaderValue, Method};
use portcullis::jose::{Algorithm, ClaimsSet, base64url};
use portcullis::sender::{
    ExpectedProof, MAX_PROOF, NonceDemand, NonceUse, NonceVerdict, Proof, ProofErrorKind,
    ProofRules, TargetUri,
};
use portcullis::time::Timestamp;

use super::htu::reference;
use super::time::exact_nanos;
use super::tree::{self, Reading, Tree, member};

const NOW: u64 = 1_800_000_000;
const HTU: &str = "https://rs.example/notes";
const NONCE: &str = "good";
/// The access token of RFC 9449 §7.1, and its hash.
const TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
const ATH: &str = "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo";
/// The key of RFC 8037, Appendix A, both halves.
const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
const D: [u8; 32] = [
    0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4,
    0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
];

/// A header, a line feed, a payload: both are signed, whatever they are. And the same octets as the
/// value of the field, which nobody signed.
pub fn proof(data: &[u8]) {
    field(data);
    let at = data.iter().position(|octet| *octet == b'\n').unwrap_or(data.len());
    let (header, payload) = (&data[..at], data.get(at + 1..).unwrap_or_default());
    let input = format!("{}.{}", base64url::encode(header), base64url::encode(payload));
    let signature = SigningKey::from_bytes(&D).sign(input.as_bytes()).to_bytes();
    let proof = format!("{input}.{}", base64url::encode(signature));

    let read = verify(&proof);
    let Some(expected) = judge(header, payload, proof.len()) else {
        return;
    };
    match (read, expected) {
        (Ok(proof), Verdict::Pass { jti, issued_at, nonce }) => {
            assert_eq!(proof.jti(), jti);
            assert_eq!(proof.htu().as_str(), HTU);
            assert_eq!(proof.issued_at().as_duration().as_nanos(), issued_at);
            assert_eq!(proof.nonce(), if nonce { NonceUse::Fresh } else { NonceUse::Unused });
            assert!(proof.accepted_until() > Timestamp::from_secs(NOW));
        }
        (Err(error), Verdict::Fault(fault)) => assert_eq!(error.kind(), fault, "{error}"),
        (Err(error), Verdict::OtherKey) => {
            let kind = error.kind();
            let unproven = [ProofErrorKind::UnusableKey, ProofErrorKind::BadSignature];
            assert!(unproven.contains(&kind), "{kind:?} {error}");
        }
        (read, expected) => panic!("{read:?}, and by the second reading {expected:?}"),
    }
}

fn field(data: &[u8]) {
    // An HTTP server refuses what is no field value.
    let Ok(value) = HeaderValue::from_bytes(data) else {
        return;
    };
    let mut headers = HeaderMap::new();
    headers.insert("dpop", value.clone());
    let text = std::str::from_utf8(data).ok();
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let expected = match text {
        _ if data.len() > MAX_PROOF => Err(ProofErrorKind::Malformed),
        _ if data.contains(&b',') => Err(ProofErrorKind::Several),
        Some(text) if !text.is_empty() && text.chars().all(legal) => Ok(text),
        _ => Err(ProofErrorKind::Malformed),
    };
    assert_eq!(Proof::field(&headers).map_err(|error| error.kind()), expected);
    if let Some(text) = text {
        assert!(verify(text).is_err(), "accepted what nobody signed");
    }
    headers.append("dpop", value);
    assert_eq!(Proof::field(&headers).unwrap_err().kind(), ProofErrorKind::Several);
}

fn verify(proof: &str) -> Result<Proof, portcullis::sender::ProofError> {
    let asked = Cell::new(0);
    let target = |htu: &TargetUri| {
        asked.set(asked.get() + 1);
        if htu.as_str() == HTU { Ok(()) } else { Err("another".into()) }
    };
    let until = Timestamp::from_secs(NOW).plus(Duration::from_mins(5));
    let nonce = |nonce: &str| match nonce {
        NONCE => NonceVerdict::Fresh { until },
        _ => NonceVerdict::Refused("another"),
    };
    let expected = ExpectedProof::new(&Method::GET, TOKEN, &target, Timestamp::from_secs(NOW))
        .nonce(NonceDemand::Optional(&nonce));
    let read = Proof::verify(proof, &expected, &ProofRules::default());
    assert!(asked.get() <= 1);
    read
}

#[derive(Debug)]
enum Verdict {
    Pass {
        jti: String,
        issued_at: u128,
        nonce: bool,
    },
    Fault(ProofErrorKind),
    /// The key is not the one that signed: it is unusable, or the signature is not its.
    OtherKey,
}

/// The checks of RFC 9449 §4.3, one after the other; `None` where `serde_json` cannot tell.
fn judge(header: &[u8], payload: &[u8], length: usize) -> Option<Verdict> {
    use ProofErrorKind as Fault;
    let fault = |fault| Some(Verdict::Fault(fault));

    if length > MAX_PROOF || header.is_empty() || payload.is_empty() {
        return fault(Fault::Malformed);
    }
    let header = match tree::read(header) {
        Reading::Object(members) => members,
        Reading::Refused => return fault(Fault::Malformed),
        Reading::Unknown => return None,
    };
    let has = |name| member(&header, name).is_some();
    let text = |name| member(&header, name).and_then(Tree::as_text);
    if ["crit", "b64", "zip", "enc", "cty"].into_iter().any(has) {
        return fault(Fault::Malformed);
    }
    let Some(algorithm) = text("alg").and_then(Algorithm::parse) else {
        return fault(Fault::AlgorithmNotAllowed);
    };
    let typ = text("typ").map(str::to_ascii_lowercase);
    let kid_is_odd = has("kid") && text("kid").is_none();
    if kid_is_odd || !matches!(typ.as_deref(), Some("dpop+jwt" | "application/dpop+jwt")) {
        return fault(Fault::Malformed);
    }
    let is_eddsa = matches!(algorithm, Algorithm::EdDsa | Algorithm::Ed25519);
    if !is_eddsa && algorithm != Algorithm::Es256 {
        return fault(Fault::AlgorithmNotAllowed);
    }

    let claims = match tree::read(payload) {
        Reading::Object(members) => members,
        Reading::Refused => return fault(Fault::Malformed),
        Reading::Unknown => return None,
    };
    let text = |name| member(&claims, name).and_then(Tree::as_text).filter(|text| !text.is_empty());
    // The digits are the crate's own reading: the target `json` compares them.
    let numbers = ClaimsSet::parse(payload).unwrap();
    let time = |name| numbers.value(name).map(|value| value.as_number().and_then(exact_nanos));
    let (Some(jti), Some(htm), Some(htu), Some(ath), Some(Some(issued_at))) =
        (text("jti"), text("htm"), text("htu"), text("ath"), time("iat"))
    else {
        return fault(Fault::Malformed);
    };
    let (expires_at, not_before) = (time("exp"), time("nbf"));
    if expires_at == Some(None) || not_before == Some(None) {
        return fault(Fault::Malformed);
    }
    let Some(htu) = reference(htu) else {
        return fault(Fault::Malformed);
    };
    if htm != "GET" {
        return fault(Fault::OtherMethod);
    }
    if htu != HTU {
        return fault(Fault::OtherUri);
    }
    let nonce = match (member(&claims, "nonce"), text("nonce")) {
        (None, _) => false,
        (Some(_), Some(NONCE)) => true,
        (Some(_), Some(_)) => return fault(Fault::NonceNotAccepted),
        (Some(_), None) => return fault(Fault::Malformed),
    };
    let seconds = |seconds: u64| u128::from(seconds) * 1_000_000_000;
    if !nonce && !(seconds(NOW - 60)..=seconds(NOW + 10)).contains(&issued_at) {
        return fault(Fault::NotFresh);
    }
    let ended = expires_at.flatten().is_some_and(|at| at <= seconds(NOW - 10));
    if ended || not_before.flatten().is_some_and(|at| at > seconds(NOW + 10)) {
        return fault(Fault::NotFresh);
    }

    let Some(Tree::Object(jwk)) = member(&header, "jwk") else {
        return fault(Fault::UnusableKey);
    };
    let has = |name| member(jwk, name).is_some();
    let is = |name, wanted: &[&str]| {
        member(jwk, name).is_some_and(|value| value.as_text().is_some_and(|t| wanted.contains(&t)))
    };
    let private = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].into_iter().any(has);
    let odd = (has("use") && !is("use", &["sig"]))
        || (has("alg") && !is("alg", &["EdDSA", "Ed25519"]))
        || (has("kid") && member(jwk, "kid").and_then(Tree::as_text).is_none())
        || member(jwk, "key_ops").is_some_and(|operations| !allow_to_verify(operations));
    let ours = is("kty", &["OKP"]) && is("crv", &["Ed25519"]) && is("x", &[X]);
    if !ours {
        return Some(Verdict::OtherKey);
    }
    if private || odd || !is_eddsa {
        return fault(Fault::UnusableKey);
    }
    if ath != ATH {
        return fault(Fault::OtherToken);
    }
    Some(Verdict::Pass { jti: jti.to_owned(), issued_at, nonce })
}

fn allow_to_verify(operations: &Tree) -> bool {
    let Tree::Array(operations) = operations else {
        return false;
    };
    let texts: Option<Vec<&str>> = operations.iter().map(Tree::as_text).collect();
    texts.is_some_and(|mut texts| {
        let verify = texts.contains(&"verify");
        texts.sort_unstable();
        verify && texts.windows(2).all(|pair| pair[0] != pair[1])
    })
}
