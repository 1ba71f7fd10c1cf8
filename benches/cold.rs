//! What a token costs that was never seen before, and what refusing one costs.
//!
//! The floor of an accepted token, and of one with a bad signature, is what no server can do without:
//! the verification of the same signature with a key that is parsed already, by the same provider. The
//! floor of the other refusals is a layer that hands on what comes.
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
use std::time::Duration;

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
};
use harness::floor::{DO_NOTHING, Nothing, nothing, ready};
use harness::{Effort, Goal, Group, Summary};
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};
use portcullis::jose::{Algorithm, Compact, base64url};
use portcullis::testing::{ManualClock, TestIssuer, TokenBuilder};
use portcullis::{Binding, RejectionKind, ResourceServer, TokenClass};
use serde_json::Value;
use tower::{Layer, Service, service_fn};

const RESOURCE: &str = "https://api.example.com";
const ONE_VERIFICATION: &str = "one verification";
const ONE_FAILURE: &str = "one verification that fails";

fn main() {
    let effort = Effort::from_command_line();
    let mut summary = Summary::new(&effort);
    let clock = ManualClock::new();
    for (name, algorithm, at_most) in [
        ("unknown_rs256", Algorithm::Rs256, 1.15),
        ("unknown_es256", Algorithm::Es256, 1.10),
        ("unknown_ed25519", Algorithm::Ed25519, 1.10),
    ] {
        let issuer = TestIssuer::with_algorithm("https://as.example", &clock, algorithm);
        let server = server(&issuer, &clock);
        let token = token(&issuer).sign();
        let key = bare_key(&issuer.key().public_jwk());
        let jws = Compact::parse(&token).unwrap();
        let (message, signature) = (jws.signing_input().as_bytes(), jws.signature());
        let accepted = request(&token);
        let rows = Group::new(format!("{algorithm}, a token of {} octets", token.len()))
            .case(ONE_VERIFICATION, || {
                key.verify_sig(black_box(message), black_box(signature)).unwrap();
            })
            .case(name, || ready(server.verify(black_box(&accepted))).unwrap())
            .run(&effort);
        summary.row(&rows, name, Goal::ratio(at_most).allocations(12.0));
    }

    let issuer = TestIssuer::with_algorithm("https://as.example", &clock, Algorithm::Rs256);
    let server = server(&issuer, &clock);
    let token = token(&issuer);
    let key = bare_key(&issuer.key().public_jwk());

    let tampered = token.tampered();
    let jws = Compact::parse(&tampered).unwrap();
    let (message, signature) = (jws.signing_input().as_bytes(), jws.signature());
    let refused = request(&tampered);
    let rows = Group::new(format!("a bad signature, a token of {} octets", tampered.len()))
        .case(ONE_FAILURE, || key.verify_sig(black_box(message), black_box(signature)).unwrap_err())
        .case("bad_signature_rs256", || ready(server.verify(black_box(&refused))).unwrap_err())
        .run(&effort);
    summary.row(&rows, "bad_signature_rs256", Goal::ratio(1.15));

    // Everything of it is right but its last octet: nothing can be refused sooner.
    let payload = token.payload();
    let malformed = token.clone().raw_payload(&payload.as_bytes()[..payload.len() - 1]).sign();
    let unknown_kid = token.header("kid", "a-key-of-nobody").sign();
    let mut floor = Nothing(service_fn(nothing));
    let field = request(&malformed).headers()[AUTHORIZATION].clone();
    let mut group = Group::new(format!("refusals, tokens of {} octets", malformed.len()))
        .case(DO_NOTHING, || ready(floor.call(with(&field))).unwrap());
    for (name, token, kind) in [
        ("malformed", &malformed, RejectionKind::MalformedToken),
        ("unknown_kid", &unknown_kid, RejectionKind::UnknownKey),
    ] {
        let decided = request(token);
        assert_eq!(ready(server.verify(&decided)).unwrap_err().kind(), kind);
        let mut layer = server.layer().layer(service_fn(nothing));
        let server = &server;
        let field = decided.headers()[AUTHORIZATION].clone();
        group = group
            .case(name, move || ready(layer.call(with(&field))).unwrap())
            .case(format!("{name}, no response"), move || {
                ready(server.verify(black_box(&decided))).unwrap_err()
            });
    }
    let rows = group.run(&effort);
    summary.row(&rows, "malformed", Goal::ratio(6.0));
    summary.row(&rows, "unknown_kid", Goal::ratio(6.0));
    summary.finish();
}

/// A server that knows no token again.
fn server(issuer: &TestIssuer, clock: &ManualClock) -> ResourceServer {
    ResourceServer::builder(RESOURCE)
        .issuer(issuer.fixed_keys())
        .known_tokens_bytes(0)
        .binding(Binding::WhereBound)
        .class(TokenClass::default_at_most(Duration::from_hours(1)))
        .clock(clock.clone())
        .build()
        .unwrap()
}

/// A token as they are: names of usual length.
fn token(issuer: &TestIssuer) -> TokenBuilder {
    issuer
        .token(RESOURCE)
        .subject("auth0|5f7c8ec7c33c6c004bbafe82")
        .client_id("s6BhdRkqt3")
        .scope("openid profile notes:read notes:write")
        .claim("jti", "dbe39bf3a3ba4238a513f51d6e1691c4")
}

/// The provider's own key.
fn bare_key(jwk: &Value) -> ParsedPublicKey {
    let octets = |name: &str| base64url::decode(jwk[name].as_str().unwrap()).unwrap();
    match jwk["kty"].as_str().unwrap() {
        "RSA" => PublicKeyComponents { n: octets("n"), e: octets("e") }
            .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
            .unwrap(),
        "EC" => {
            let point = [vec![4], octets("x"), octets("y")].concat();
            ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point).unwrap()
        }
        _ => ParsedPublicKey::new(&ED25519, octets("x")).unwrap(),
    }
}

fn request(token: &str) -> Request<()> {
    with(&HeaderValue::try_from(format!("Bearer {token}")).unwrap())
}

fn with(field: &HeaderValue) -> Request<()> {
    let mut request = Request::get("/notes").body(()).unwrap();
    request.headers_mut().insert(AUTHORIZATION, field.clone());
    request
}
