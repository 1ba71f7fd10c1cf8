//! JWTs that are asked about, where that is wanted.

use std::time::Duration;

use http::HeaderValue;
use portcullis::check::allow_all;
use portcullis::introspection::Introspection;
use portcullis::issuer::TokenProfile;
use portcullis::jose::Algorithm;
use portcullis::revocation::{Claim, Claims, Record, Revocation};
use portcullis::testing::{ClientKey, Failure, TestKey, TokenBuilder};
use portcullis::{Binding, Dpop, Issuer, Policy, RejectionKind as Kind, SubjectKind};
use serde_json::json;

use crate::support::{ISSUER, RESOURCE, bearer, send, with_field};
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
        let one = |claims: TokenBuilder| claims.claim("jti", "one");
        let token = one(at(now.minus(SECOND))).sign();
        world.kit.active_as(&token, one(world.claims()));
        world.assert_passes(&token, "just ended").await;
        assert_eq!(world.calls(), 1);
        // And the end of the answer counts beside it.
        let token = one(world.claims()).sign();
        world.kit.active_as(&token, one(at(now.minus(30 * SECOND))));
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
            let token = jwt.claim("jti", "one").sign();
            world.kit.active_as(&token, answer.claim("jti", "one"));
            assert_eq!(world.kind(&token).await, Some(by_bearer), "{name}");
            let mut request = with_field("authorization", format!("DPoP {token}"));
            let proof = client.proof("GET", &format!("{RESOURCE}/notes")).token(&token).sign();
            request.headers_mut().insert("dpop", HeaderValue::try_from(proof).unwrap());
            assert_eq!(send(&world.api.layer(), request).await.kind(), by_proof, "{name}");
        }
        // An answer that says Bearer of a token that says DPoP contradicts it.
        let token = bound().claim("jti", "one").sign();
        world.kit.active_as(&token, world.claims().claim("jti", "one"));
        let mut request = with_field("authorization", format!("DPoP {token}"));
        let proof = client.proof("GET", &format!("{RESOURCE}/notes")).token(&token).sign();
        request.headers_mut().insert("dpop", HeaderValue::try_from(proof).unwrap());
        assert_eq!(send(&world.api.layer(), request).await.kind(), Some(Kind::SenderNotProven));
    }
}

/// What the answer says counts, and what a token says beside it takes nothing of it away.
#[tokio::test]
async fn the_answer_counts() {
    let world = world();
    let claims = || world.claims().claim("jti", "one");
    let token = claims().scope("admin").sign();
    world.kit.active_as(&token, claims().scope("read").subject("bob"));
    let access = world.present(&token).await.unwrap();
    assert_eq!(access.scopes().collect::<Vec<_>>(), ["read"]);
    assert_eq!(access.subject(), &"bob");
    for (name, answer, kind) in [
        ("audience", claims().claim("aud", "https://b.example"), Kind::WrongAudience),
        ("no audience", claims().without("aud"), Kind::MissingClaim),
        ("issuer", claims().claim("iss", "https://b.example"), Kind::UnknownIssuer),
    ] {
        let token = claims().sign();
        world.kit.active_as(&token, answer);
        world.assert_invalid(&token, kind, name).await;
    }
}

/// RFC 7662 §2.2: an answer may have `client_id` and `username` whomever the token speaks for, as those of
/// Keycloak do. Where that tells a client's token from a person's, the token says it.
#[tokio::test]
async fn whom_a_token_speaks_for_is_not_what_any_answer_has() {
    for keys in [true, false] {
        let parts = Parts::new();
        let issuer = match keys {
            true => parts.issuer.jwks(),
            false => Issuer::opaque(ISSUER),
        };
        let builder = parts.builder_with(issuer.profile(TokenProfile::keycloak()));
        let builder = builder.introspection(parts.introspection().jwts());
        let world = parts.build(builder);
        let person = || world.claims().keycloak();
        for (name, claims, kind) in [
            ("a person", person(), SubjectKind::Person),
            ("a client", person().claim("client_id", "test-client"), SubjectKind::Client),
            ("no session", person().without("sid"), SubjectKind::Unknown),
        ] {
            let token = claims.sign();
            let answer = claims.claim("client_id", "test-client").claim("username", "alice");
            world.kit.active_as(&token, answer);
            let access = world.present(&token).await.unwrap();
            assert_eq!(access.subject_kind(), kind, "{name}, keys: {keys}");
            assert_eq!(access.client_id().unwrap(), "test-client", "{name}");
        }
        // What only the answer says, it says.
        let said = person();
        let token = said.clone().without("sid").sign();
        world.kit.active_as(&token, said);
        let access = world.present(&token).await.unwrap();
        assert_eq!(access.subject_kind(), SubjectKind::Person);
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

/// A JWT of another time or of another kind is refused by what it says itself, with keys and without: nobody
/// is asked, whatever its issuer would say.
#[tokio::test]
async fn a_jwt_restricts_itself() {
    for world in [world(), World::with(Introspection::jwts)] {
        let at = |seconds| world.claims().claim("nbf", world.now().plus(seconds).as_secs());
        let mut calls = 0;
        for (name, claims, kind) in [
            ("by now", at(Duration::ZERO), None),
            ("within the leeway", at(5 * SECOND), None),
            ("in its last second", at(10 * SECOND), None),
            ("a second later", at(11 * SECOND), Some(Kind::NotYetValid)),
            ("not yet", at(Duration::from_mins(1)), Some(Kind::NotYetValid)),
            ("event", world.claims().claim("events", json!({"x": {}})), Some(Kind::OtherTokenKind)),
            (
                "an answer",
                world.claims().claim("token_introspection", json!({})),
                Some(Kind::OtherTokenKind),
            ),
            ("any other", world.claims().claim("event", json!({"x": {}})), None),
        ] {
            let token = claims.sign();
            world.kit.active_as(&token, claims.without("nbf").without("events"));
            assert_eq!(world.kind(&token).await, kind, "{name}");
            calls += usize::from(kind.is_none());
            assert_eq!(world.calls(), calls, "{name}");
        }
    }
}

/// An audience that the answer leaves out is that of the token, where an answer may leave it out; one that it
/// names counts.
#[tokio::test]
async fn the_audience_of_a_jwt_stands_in() {
    let world = World::with_keys(|introspection| {
        introspection.jwts().dangerous().insecure_without_audience()
    });
    let elsewhere = json!("https://b.example");
    let both = json!(["https://b.example", RESOURCE]);
    for (name, own, answered, kind) in [
        ("in both", Some(json!(RESOURCE)), Some(json!(RESOURCE)), None),
        ("in the token", Some(json!(RESOURCE)), None, None),
        ("among others in the token", Some(both), None, None),
        ("another in the token", Some(elsewhere.clone()), None, Some(Kind::WrongAudience)),
        (
            "another, and an empty list",
            Some(elsewhere.clone()),
            Some(json!([])),
            Some(Kind::WrongAudience),
        ),
        (
            "another in the answer",
            Some(json!(RESOURCE)),
            Some(elsewhere),
            Some(Kind::WrongAudience),
        ),
        ("nowhere", None, None, None),
    ] {
        let claims = world.claims();
        let with = |audience: &Option<serde_json::Value>| match audience {
            Some(audience) => claims.clone().claim("aud", audience),
            None => claims.clone().without("aud"),
        };
        let token = with(&own).sign();
        world.kit.active_as(&token, with(&answered));
        assert_eq!(world.kind(&token).await, kind, "{name}");
        if name == "in the token" {
            let access = world.present(&token).await.unwrap();
            assert_eq!(access.audiences().next().unwrap(), &RESOURCE);
        }
    }
}

/// An answer with another `jti` is about another token: 503. One without takes that of the token.
#[tokio::test]
async fn an_answer_about_another_token_is_no_answer() {
    for world in [world(), World::with(Introspection::jwts)] {
        let named = |name: &str| world.claims().claim("jti", name);
        for (name, own, answered, passes) in [
            ("the same", named("one"), named("one"), true),
            ("another", named("one"), named("two"), false),
            ("in other case", named("one"), named("One"), false),
            ("in the token", named("one"), world.claims().without("jti"), true),
            ("in the answer", world.claims().without("jti"), named("one"), true),
        ] {
            let token = own.sign();
            world.kit.active_as(&token, answered);
            match passes {
                true => {
                    let access = world.present(&token).await.unwrap();
                    assert_eq!(access.jwt_id().unwrap(), &"one", "{name}");
                }
                false => world.assert_unavailable(&token, name).await,
            }
        }
        // It is not kept: the issuer may mend it.
        let claims = named("one");
        let token = claims.sign();
        world.kit.active_as(&token, named("two"));
        world.assert_unavailable(&token, "another").await;
        world.kit.active_as(&token, claims);
        world.assert_passes(&token, "its own").await;
    }
}

/// JWS-31, INT-05: a record reaches a JWT by what the answer leaves out, and by what the answer says
/// otherwise.
#[tokio::test]
async fn a_record_reaches_a_jwt_by_what_it_says_itself() {
    let named = |name: &str, value: &str| Claims::one(Claim::Named(name.into()), value);
    type Of = fn(&World) -> TokenBuilder;
    type About<'a> = &'a dyn Fn(&World) -> Record;
    let rows: [(&str, Of, About<'_>); 4] = [
        ("jti", |world| world.claims().without("jti"), &|world| {
            Record::token(ISSUER, "one", world.now())
        }),
        ("session", |world| world.claims().claim("jti", "one"), &|world| {
            Record::matching(ISSUER, Claims::session("s1"), world.now())
        }),
        ("named", |world| world.claims().claim("jti", "one"), &|world| {
            Record::matching(ISSUER, named("device", "d1"), world.now())
        }),
        (
            "named in both",
            |world| world.claims().claim("jti", "one").claim("device", "d3"),
            &|world| Record::matching(ISSUER, named("device", "d1"), world.now()),
        ),
    ];
    for (name, answered, record) in rows {
        let parts = Parts::new();
        let builder = parts.builder_with(parts.issuer.jwks());
        let builder = builder
            .revocation(Revocation::new().claim("device"))
            .introspection(parts.introspection().jwts());
        let world = parts.build(builder);
        let own = |jti: &str, number: u8| {
            let claims = world.claims().claim("jti", jti).claim("sid", format!("s{number}"));
            claims.claim("device", format!("d{number}")).sign()
        };
        let (token, other) = (own("one", 1), own("other", 2));
        world.kit.active_as(&token, answered(&world));
        world.kit.active_as(&other, answered(&world).without("jti"));
        for token in [&token, &other] {
            world.assert_passes(token, name).await;
        }
        world.api.revocations().revoke(record(&world)).await.unwrap();
        world.assert_invalid(&token, Kind::Revoked, name).await;
        world.assert_passes(&other, name).await;
    }
}

/// JWS-31, INT-05: of two sessions that is the token's which the answer names.
#[tokio::test]
async fn the_session_that_the_answer_names_counts() {
    let parts = Parts::new();
    let builder = parts.builder_with(parts.issuer.jwks());
    let builder = builder.revocation(Revocation::new()).introspection(parts.introspection().jwts());
    let world = parts.build(builder);
    let with = |session: &str| world.claims().claim("jti", "one").claim("sid", session);
    let token = with("its own").sign();
    world.kit.active_as(&token, with("the answer's"));
    let revoke = async |session: &str| {
        let record = Record::matching(ISSUER, Claims::session(session), world.now());
        world.api.revocations().revoke(record).await.unwrap();
    };
    revoke("its own").await;
    world.assert_passes(&token, "its own").await;
    revoke("the answer's").await;
    world.assert_invalid(&token, Kind::Revoked, "the answer's").await;
}

/// INT-19, attack 28: a JWT whose sender could not be proven by what came with it is refused unasked; one
/// that could is asked about.
#[tokio::test]
async fn a_jwt_that_could_not_be_proven_is_not_asked_about() {
    let parts = Parts::new();
    let builder = parts.builder_with(parts.issuer.jwks()).dpop(Dpop::new());
    let builder = builder.introspection(parts.introspection().jwts());
    let world = parts.build(builder);
    let token = known(&world, &world.claims());
    let wanting = |binding| world.api.protect(Policy::new(allow_all()).binding(binding));
    assert_eq!(send(&wanting(Binding::Dpop), bearer(&token)).await.kind(), Some(Kind::NotBound));
    assert_eq!(world.calls(), 0);
    assert_eq!(send(&wanting(Binding::WhereBound), bearer(&token)).await.kind(), None);
    assert_eq!(world.calls(), 1);
}
