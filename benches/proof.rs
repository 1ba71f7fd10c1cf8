//! What the verification of a DPoP proof costs: a request to a resource, with an ES256 key.
//!
//! The floor is what no server can do without: one ES256 verification with a key that is parsed
//! already, and one reading of the claims into a structure by serde_json. The rest is what that does
//! not do: base64, the header, the key in it and its thumbprint, a strict reading of the claims, the
//! URI, and the hash of the token.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::print_stdout,
    unreachable_pub,
    dead_code,
    reason = "a benchmark fails by panicking, prints what it measured, and uses a part of the harness"
)]

mod harness;

use std::hint::black_box;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey};
use harness::{Effort, Goal, Group, Summary};
use http::Method;
use portcullis::jose::{Algorithm, ClaimsSet, Compact, Header, PublicKey, base64url};
use portcullis::sender::{ExpectedProof, Proof, ProofRules, TargetUri};
use portcullis::testing::{ClientKey, ManualClock};
use portcullis::time::Clock as _;
use serde::Deserialize;

const URI: &str = "https://api.example.com/v1/notes/42";

#[derive(Deserialize)]
struct Claims<'a> {
    jti: &'a str,
    htm: &'a str,
    htu: &'a str,
    iat: u64,
    ath: &'a str,
}

fn main() {
    let effort = Effort::from_command_line();
    let mut summary = Summary::new(&effort);
    let clock = ManualClock::new();
    let client = ClientKey::generate(Algorithm::Es256, &clock);
    // As long as an ES256 token with the claims of RFC 9068 and `cnf`.
    let token = "t".repeat(566);
    let jti = "gpL0XcqYJTq1zVv3rPp1bA";
    let proof = client.proof(Method::GET, URI).claim("jti", jti).token(&token).sign();

    let here = TargetUri::parse(URI).unwrap();
    let target = |htu: &TargetUri| match *htu == here {
        true => Ok(()),
        false => Err("another".into()),
    };
    let expected = ExpectedProof::new(&Method::GET, &token, &target, clock.now());
    let rules = ProofRules::default();
    let jwk = client.public_jwk();
    let octets = |name: &str| base64url::decode(jwk[name].as_str().unwrap()).unwrap();
    let point = [vec![4], octets("x"), octets("y")].concat();
    let parse_point = || ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, black_box(&point)).unwrap();
    let key = parse_point();
    let jws = Compact::parse(&proof).unwrap();
    let (message, signature) = (jws.signing_input().as_bytes(), jws.signature());

    let (proof_length, token_length) = (proof.len(), token.len());
    let title = format!("a DPoP proof of {proof_length} octets, for a token of {token_length}");
    let rows = Group::new(title)
        .case("a signature and a reading of claims", || {
            key.verify_sig(black_box(message), black_box(signature)).unwrap();
            serde_json::from_slice::<Claims<'_>>(black_box(jws.payload())).unwrap().iat
        })
        .case("dpop_proof", || Proof::verify(black_box(&proof), &expected, &rules).unwrap())
        .run(&effort);
    summary.row(&rows, "dpop_proof", Goal::ratio(1.12));

    let jwk = jwk.to_string();
    let es256 = [Algorithm::Es256];
    Group::new("parts of dpop_proof")
        .case("the signature, key parsed", || {
            key.verify_sig(black_box(message), black_box(signature)).unwrap();
        })
        .case("base64", || Compact::parse(black_box(&proof)).unwrap())
        .case("header", || Header::parse(black_box(jws.header_bytes())).unwrap())
        .case("claims", || ClaimsSet::parse(black_box(jws.payload())).unwrap())
        .case("URI", || TargetUri::parse(black_box(URI)).unwrap())
        .case("point of the key", parse_point)
        .case("key as of a key set", || {
            PublicKey::parse(black_box(jwk.as_bytes()), &es256).unwrap()
        })
        .case("hash of the token", || digest(&SHA256, black_box(token.as_bytes())))
        .run(&effort);
    summary.finish();
}
