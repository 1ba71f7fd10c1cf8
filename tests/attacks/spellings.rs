//! One thing in several spellings: what is remembered of it is not remembered by its octets.

use portcullis::check::allow_all;
use portcullis::jose::{Algorithm, base64url};
use portcullis::revocation::{Record, Revocation};
use portcullis::testing::{ClientKey, ManualClock, TestIssuer};
use portcullis::time::Clock as _;
use portcullis::{Dpop, Policy, RejectionKind as Kind, ResourceServer};

use crate::support::{ISSUER, RESOURCE, bearer, builder, compact, parts, respelled, send};

/// The other signature of the same octets by the same key, (r, n - s), and the same signature with its
/// padding bits set.
fn other_spellings(jws: &str) -> (String, String) {
    let [header, payload, signature] = parts(jws);
    let octets = base64url::decode(signature).unwrap();
    let found = p256::ecdsa::Signature::from_slice(&octets).unwrap();
    let (r, other_s) = (found.r(), -*found.s());
    let mirrored = p256::ecdsa::Signature::from_scalars(r.to_bytes(), other_s.to_bytes()).unwrap();
    let mirrored = compact(&format!("{header}.{payload}"), mirrored.to_bytes());
    let padded = format!("{header}.{payload}.{}", respelled(signature));
    assert!(mirrored != jws && padded != jws);
    (mirrored, padded)
}

fn server(clock: &ManualClock, issuer: &TestIssuer) -> ResourceServer {
    builder(clock)
        .issuer(issuer.fixed_keys())
        .dpop(Dpop::new())
        .revocation(Revocation::new())
        .build()
        .unwrap()
}

/// Attacks 31 and 38: a proof that was used is used in every spelling.
#[tokio::test]
async fn a_used_proof_is_used_in_every_spelling() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let layer = server(&clock, &issuer).layer();
    let client = ClientKey::generate(Algorithm::Es256, &clock);
    let token = issuer.token(RESOURCE).claim("cnf", client.confirmation()).sign();
    let proof = || client.proof("GET", &format!("{RESOURCE}/notes")).token(&token).sign();
    let ask = async |proof: &str| {
        let mut request = bearer(&token);
        request.headers_mut().insert("authorization", format!("DPoP {token}").parse().unwrap());
        request.headers_mut().insert("dpop", proof.parse().unwrap());
        send(&layer, request).await.kind()
    };
    let first = proof();
    let (mirrored, padded) = other_spellings(&first);
    assert_eq!(ask(&first).await, None);
    assert_eq!(ask(&mirrored).await, Some(Kind::ProofReplayed));
    assert_eq!(ask(&padded).await, Some(Kind::ProofMalformed));
    // Its twins: another proof, and the other spelling of one that was never used.
    assert_eq!(ask(&proof()).await, None);
    let (mirrored, _) = other_spellings(&proof());
    assert_eq!(ask(&mirrored).await, None);
}

/// Attack 38: a token for one use is used in every spelling.
#[tokio::test]
async fn a_used_token_is_used_in_every_spelling() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let once = server(&clock, &issuer).protect(Policy::new(allow_all()).single_use());
    let token = issuer.token(RESOURCE).sign();
    let (mirrored, padded) = other_spellings(&token);
    assert_eq!(send(&once, bearer(&token)).await.kind(), None);
    assert_eq!(send(&once, bearer(&mirrored)).await.kind(), Some(Kind::TokenUsed));
    assert_eq!(send(&once, bearer(&padded)).await.kind(), Some(Kind::MalformedToken));
    let another = issuer.token(RESOURCE).sign();
    assert_eq!(send(&once, bearer(&another)).await.kind(), None);
}

/// Attacks 25 and 38: a token that was accepted before says nothing about another spelling of it, and a
/// record about it reaches each.
#[tokio::test]
async fn an_accepted_token_says_nothing_about_its_other_spellings() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let api = server(&clock, &issuer);
    let layer = api.layer();
    let token = issuer.token(RESOURCE).claim("jti", "t-1");
    let (good, forged) = (token.sign(), token.tampered());
    let (mirrored, padded) = other_spellings(&good);
    for _ in 0..3 {
        assert_eq!(send(&layer, bearer(&good)).await.kind(), None);
        assert_eq!(send(&layer, bearer(&mirrored)).await.kind(), None);
        assert_eq!(send(&layer, bearer(&padded)).await.kind(), Some(Kind::MalformedToken));
        assert_eq!(send(&layer, bearer(&forged)).await.kind(), Some(Kind::BadSignature));
    }
    let record = Record::token(ISSUER, "t-1", clock.now());
    api.revocations().revoke(record).await.unwrap();
    for spelling in [&good, &mirrored] {
        assert_eq!(send(&layer, bearer(spelling)).await.kind(), Some(Kind::Revoked));
    }
    let another = issuer.token(RESOURCE).sign();
    assert_eq!(send(&layer, bearer(&another)).await.kind(), None);
}
