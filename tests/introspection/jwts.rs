//! JWTs that are asked about, where that is wanted.

use std::time::Duration;

use http::HeaderValue;
use portcullis::introspection::Introspection;
use portcullis::jose::Algorithm;
use portcullis::testing::{ClientKey, Failure, TestKey, TokenBuilder};
use portcullis::{Dpop, Issuer, RejectionKind as Kind};
use serde_json::json;

use crate::support::{ISSUER, RESOURCE, send, with_field};
use crate::world::{Parts, SECOND, World};

/// A server that has the issuer's keys and asks about its JWTs.
fn world() -> World {
    World::with_keys(Introspection::jwts)
}

/// A JWT that its issuer knows.
fn known(world: &World, claims: &TokenBuilder) -> String {
    let token = claims.sign();
    world.kit.active_as(&token, claims);
    token
}

/// By default a JWT is read here and shown to nobody; by choice its issuer is asked, and its no counts.
#[tokio::test]
async fn a_jwt_is_sent_by_choice_only() {
    let reading = World::with_keys(|introspection| introspection);
    let token = reading.claims().sign();
    reading.assert_passes(&token, "read here").await;
    assert_eq!(reading.calls(), 0);

    let asking = world();
    let token = known(&asking, &asking.claims());
    asking.assert_passes(&token, "asked about").await;
    asking.assert_passes(&token, "kept").await;
    assert_eq!(asking.calls(), 1);
    assert_eq!(asking.kit.requests()[0].form("token"), Some(token));
    let unknown = asking.claims().sign();
    asking.assert_invalid(&unknown, Kind::Inactive, "a good signature").await;
    asking.kit.fail(Failure::Connection);
    asking.assert_unavailable(&asking.claims().sign(), "an outage is no yes").await;
}

/// Where the server has the issuer's keys, nobody is asked about a token that anybody can have written:
/// attack 28.
#[tokio::test]
async fn a_forged_jwt_is_never_asked_about() {
    let world = world();
    let other = TestKey::generate(Algorithm::Es256, "k1");
    let now = world.now();
    let ended = || world.claims().issued_at(now.minus(Duration::from_mins(9)));
    let rows = [
        ("tampered", world.claims().tampered(), Kind::BadSignature),
        ("another key", world.claims().sign_with(&other), Kind::BadSignature),
        ("unknown key", world.claims().header("kid", "x").sign(), Kind::UnknownKey),
        ("none", world.claims().unsigned("none"), Kind::MalformedToken),
        ("hmac", world.claims().sign_with_hmac(b"x"), Kind::AlgorithmNotAllowed),
        (
            "another issuer",
            world.claims().claim("iss", "https://b.example").sign(),
            Kind::UnknownIssuer,
        ),
        ("no issuer", world.claims().without("iss").sign(), Kind::UnknownIssuer),
        ("another type", world.claims().header("typ", "dpop+jwt").sign(), Kind::WrongType),
        ("ended", ended().expires_at(now.minus(Duration::from_mins(4))).sign(), Kind::Expired),
        ("another kind", world.claims().claim("events", json!({})).sign(), Kind::OtherTokenKind),
    ];
    for (name, token, kind) in rows {
        // Its issuer would say yes.
        world.kit.active_as(&token, world.claims());
        world.assert_invalid(&token, kind, name).await;
        assert_eq!(world.calls(), 0, "{name}");
    }
    world.assert_passes(&known(&world, &world.claims()), "a real one").await;
    assert_eq!(world.calls(), 1);
    // The keys are not there: nobody is asked either, and nobody passes.
    let cold = self::world();
    cold.issuer.fail(Failure::Connection);
    let token = known(&cold, &cold.claims());
    assert_eq!(cold.kind(&token).await, Some(Kind::KeysUnavailable));
    assert_eq!(cold.calls(), 0);
}

/// An ended token is refused by what it says itself, also where the server has no keys, and whatever its
/// issuer says.
#[tokio::test]
async fn an_ended_jwt_is_never_asked_about() {
    for world in [world(), World::with(Introspection::jwts)] {
        let now = world.now();
        let at = |end| world.claims().issued_at(now.minus(Duration::from_mins(5))).expires_at(end);
        let token = at(now.minus(30 * SECOND)).sign();
        world.kit.active_as(&token, world.claims());
        world.assert_invalid(&token, Kind::Expired, "ended").await;
        assert_eq!(world.calls(), 0);
        // Within the leeway it is one like others.
        let token = at(now.minus(SECOND)).sign();
        world.kit.active_as(&token, world.claims());
        world.assert_passes(&token, "just ended").await;
        assert_eq!(world.calls(), 1);
        // And the end of the answer counts beside it.
        let token = world.claims().sign();
        world.kit.active_as(&token, at(now.minus(30 * SECOND)));
        world.assert_invalid(&token, Kind::Expired, "the answer ended").await;
    }
}

/// Without keys the issuer alone says what a JWT is worth.
#[tokio::test]
async fn without_keys_the_issuer_says_what_a_jwt_is_worth() {
    let world = World::with(Introspection::jwts);
    let token = known(&world, &world.claims());
    world.assert_passes(&token, "known").await;
    world.assert_invalid(&world.claims().tampered(), Kind::Inactive, "unknown").await;
    assert_eq!(world.calls(), 2);
    // Junk is refused as what it claims to be.
    for (token, kind) in [
        ("eyJhbGciOiJub25lIn0.e30.".to_owned(), Kind::MalformedToken),
        ("eyJx.x.x".to_owned(), Kind::MalformedToken),
        (world.claims().claim("iss", "https://b.example").sign(), Kind::UnknownIssuer),
        (world.claims().header("typ", "JWT").sign(), Kind::WrongType),
    ] {
        assert_eq!(world.kind(&token).await, Some(kind), "{token}");
    }
    assert_eq!(world.calls(), 2);
}

/// INT-13, attack 34: `cnf` of the token is enforced though the answer lacks it, and an answer with
/// another one is believed by nobody.
#[tokio::test]
async fn cnf_of_the_token_is_enforced_beside_that_of_the_answer() {
    for keys in [true, false] {
        let parts = Parts::new();
        let issuer = match keys {
            true => parts.issuer.jwks(),
            false => Issuer::opaque(ISSUER),
        };
        let builder = parts.builder_with(issuer).dpop(Dpop::new());
        let builder = builder.introspection(parts.introspection().jwts());
        let world = parts.build(builder);
        let client = ClientKey::generate(Algorithm::Es256, &world.clock);
        let other = ClientKey::generate(Algorithm::Es256, &world.clock);
        let unbound = || world.claims().claim("token_type", "DPoP");
        let bound = || world.claims().claim("cnf", client.confirmation());
        let elsewhere = || world.claims().claim("cnf", other.confirmation());
        let unknown = || unbound().claim("cnf", json!({"kid": "k"}));
        for (name, jwt, answer, by_proof, by_bearer) in [
            ("in both", bound(), bound(), None, Kind::BearerDowngrade),
            ("in the token", bound(), unbound(), None, Kind::BearerDowngrade),
            ("in the answer", world.claims(), bound(), None, Kind::BearerDowngrade),
            ("two keys", bound(), elsewhere(), Some(Kind::SenderNotProven), Kind::SenderNotProven),
            (
                "nothing known",
                bound(),
                unknown(),
                Some(Kind::SenderNotProven),
                Kind::SenderNotProven,
            ),
            (
                "not known there",
                unknown(),
                bound(),
                Some(Kind::SenderNotProven),
                Kind::SenderNotProven,
            ),
        ] {
            let token = jwt.sign();
            world.kit.active_as(&token, answer);
            assert_eq!(world.kind(&token).await, Some(by_bearer), "{name}");
            let mut request = with_field("authorization", format!("DPoP {token}"));
            let proof = client.proof("GET", &format!("{RESOURCE}/notes")).token(&token).sign();
            request.headers_mut().insert("dpop", HeaderValue::try_from(proof).unwrap());
            assert_eq!(send(&world.api.layer(), request).await.kind(), by_proof, "{name}");
        }
        // An answer that says Bearer of a token that says DPoP contradicts it.
        let token = bound().sign();
        world.kit.active_as(&token, world.claims());
        let mut request = with_field("authorization", format!("DPoP {token}"));
        let proof = client.proof("GET", &format!("{RESOURCE}/notes")).token(&token).sign();
        request.headers_mut().insert("dpop", HeaderValue::try_from(proof).unwrap());
        assert_eq!(send(&world.api.layer(), request).await.kind(), Some(Kind::SenderNotProven));
    }
}

/// What the answer says counts, and what a token says beside it does not: but for its end and `cnf`.
#[tokio::test]
async fn the_answer_counts() {
    let world = world();
    let token = world.claims().scope("admin").sign();
    world.kit.active_as(&token, world.claims().scope("read").subject("bob"));
    let access = world.present(&token).await.unwrap();
    assert_eq!(access.scopes().collect::<Vec<_>>(), ["read"]);
    assert_eq!(access.subject(), &"bob");
    for (name, answer, kind) in [
        ("audience", world.claims().claim("aud", "https://b.example"), Kind::WrongAudience),
        ("no audience", world.claims().without("aud"), Kind::MissingClaim),
        ("issuer", world.claims().claim("iss", "https://b.example"), Kind::UnknownIssuer),
    ] {
        let token = world.claims().sign();
        world.kit.active_as(&token, answer);
        world.assert_invalid(&token, kind, name).await;
    }
}

/// An opaque token of the same issuer is asked about as well.
#[tokio::test]
async fn both_forms_are_asked_about() {
    let world = world();
    world.assert_passes(&world.token(), "opaque").await;
    world.assert_passes(&known(&world, &world.claims()), "JWT").await;
    assert_eq!(world.calls(), 2);
    assert_eq!(world.issuer.fetches(), 1, "keys are needed for the JWT alone");
}
