//! How often the first decision about a token allocates: an accepted one a bounded number of times,
//! and a refused one fewer.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it measured"
)]

#[path = "support/measured.rs"]
mod measured;
#[path = "support/wait.rs"]
mod wait;

use std::time::Duration;

use http::request::Parts;
use http::{Method, Request};
use portcullis::jose::Algorithm;
use portcullis::testing::{ClientKey, ManualClock, TestIssuer, TokenBuilder};
use portcullis::{Access, Binding, Dpop, Rejection, RejectionKind, ResourceServer, TokenClass};

use self::measured::measured;
use self::wait::ready;

const RESOURCE: &str = "https://rs.example";

/// What a known token with a new proof costs at most.
const NEW_PROOF: u64 = 6;

#[test]
fn a_first_decision_allocates_little() {
    let clock = ManualClock::new();
    for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa, Algorithm::Ed25519] {
        let issuer = TestIssuer::with_algorithm("https://as.example", &clock, algorithm);
        for (name, known_tokens_bytes) in [("kept", 1 << 20), ("not kept", 0)] {
            let api = ResourceServer::builder(RESOURCE)
                .issuer(issuer.fixed_keys())
                .known_tokens_bytes(known_tokens_bytes)
                .binding(Binding::WhereBound)
                .class(TokenClass::default_at_most(Duration::from_hours(1)))
                .clock(clock.clone())
                .build()
                .unwrap();
            let decide = |what: &str, at_most: u64, make: &dyn Fn() -> String| {
                // Each is another token. The room for those that are kept grows now and then, which is
                // no token's own cost: without it every one costs the same.
                let mut all: Vec<_> = (0..21).map(|_| counted(&api, &make())).collect();
                all.sort_by_key(|(_, count)| *count);
                if known_tokens_bytes == 0 {
                    assert_eq!(all[0].1, all[20].1, "{algorithm}, {what}");
                }
                let (decided, count) = all.swap_remove(0);
                println!("{algorithm}, {name}, {what}: {count} allocations");
                assert!(count > 0, "the count counts");
                assert!(count <= at_most, "{algorithm}, {name}, {what}: {count} > {at_most}");
                decided
            };
            // What is made once.
            counted(&api, &token(&issuer).sign()).0.unwrap();

            decide("accepted", 11, &|| token(&issuer).sign()).unwrap();
            let more = || {
                let audiences = [RESOURCE, "https://other.example"];
                let actor = r#"{"sub":"agent"}"#;
                token(&issuer)
                    .claim("aud", audiences)
                    .claim("acr", "phr")
                    .raw_claim("act", actor)
                    .sign()
            };
            decide("accepted, with more claims", 17, &more).unwrap();

            let refused = |what, kind, at_most, make: &dyn Fn() -> String| {
                let refused = decide(what, at_most, make).unwrap_err();
                assert_eq!(refused.kind(), kind, "{what}");
            };
            let cut = || {
                let token = token(&issuer);
                let payload = token.payload();
                token.raw_payload(&payload.as_bytes()[..payload.len() - 1]).sign()
            };
            refused("malformed", RejectionKind::MalformedToken, 4, &cut);
            let stranger = || token(&issuer).header("kid", "of-nobody").sign();
            refused("unknown kid", RejectionKind::UnknownKey, 4, &stranger);
            let tampered = || token(&issuer).tampered();
            refused("bad signature", RejectionKind::BadSignature, 4, &tampered);
        }
    }
}

/// A known token with a new proof of its sender, which the replay memory keeps: what a proof says is held
/// once. One that is sent again is refused.
#[test]
fn a_new_proof_allocates_little() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new("https://as.example", &clock);
    let client = ClientKey::generate(Algorithm::Es256, &clock);
    let api = ResourceServer::builder(RESOURCE)
        .issuer(issuer.fixed_keys())
        .dpop(Dpop::new())
        .binding(Binding::Dpop)
        .class(TokenClass::default_at_most(Duration::from_hours(1)))
        .clock(clock)
        .build()
        .unwrap();
    let token = token(&issuer).claim("cnf", client.confirmation()).sign();
    let decide = |proof: &str| {
        let request = Request::get("/notes")
            .header("authorization", format!("DPoP {token}"))
            .header("dpop", proof);
        let request = request.body(()).unwrap().into_parts().0;
        let (decided, given) = measured(|| ready(api.verify(&request)));
        (decided, given.count_total)
    };
    let proof = || client.proof(Method::GET, "https://rs.example/notes").token(&token).sign();
    let proofs: Vec<_> = (0..21).map(|_| proof()).collect();
    let mut counts: Vec<_> = proofs
        .iter()
        .map(|proof| {
            let (decided, count) = decide(proof);
            decided.unwrap();
            count
        })
        .collect();
    let first = counts[0];
    // The memory of proofs grows now and then.
    counts.sort_unstable();
    println!("a new proof: {} allocations, the sender's first {first}", counts[0]);
    assert!(counts[0] > 0, "the count counts");
    assert!(counts[0] <= NEW_PROOF, "{} > {NEW_PROOF}", counts[0]);
    assert!(first > counts[0], "what is known of a sender is not allocated again: {first}");
    assert_eq!(decide(&proofs[3]).0.unwrap_err().kind(), RejectionKind::ProofReplayed);
}

/// A token as they are.
fn token(issuer: &TestIssuer) -> TokenBuilder {
    issuer.token(RESOURCE).scope("notes:read notes:write")
}

/// The decision, and how often it allocated.
fn counted(api: &ResourceServer, token: &str) -> (Result<Access, Rejection>, u64) {
    let request = request(token);
    let (decided, given) = measured(|| ready(api.verify(&request)));
    (decided, given.count_total)
}

fn request(token: &str) -> Parts {
    let value = format!("Bearer {token}");
    Request::get("/").header("authorization", value).body(()).unwrap().into_parts().0
}
