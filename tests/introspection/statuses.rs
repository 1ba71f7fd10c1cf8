//! Status lists and actors: what a JWT that is asked about says itself, and what the answer leaves out.

use http::header::RETRY_AFTER;
use portcullis::check::{actor, actors, no_actor};
use portcullis::introspection::Introspection;
use portcullis::revocation::{Revocation, StatusLists};
use portcullis::testing::{TestStatusList, TokenBuilder};
use portcullis::{Issuer, RejectionKind as Kind};
use serde_json::{Value, json};

use crate::support::{ISSUER, bearer, send};
use crate::world::{Parts, World, assert_is_unavailable};

const LIST: &str = "https://as.example/lists/1";

/// A server that has the issuer's keys, asks about its JWTs, and looks at these lists of it.
fn world(lists: StatusLists) -> (World, TestStatusList) {
    let mut parts = Parts::new();
    let list = TestStatusList::new(LIST, &parts.issuer, &parts.clock);
    parts.network = std::mem::take(&mut parts.network).with_list(&list);
    list.set(1, 1);
    let builder = parts.builder_with(parts.issuer.jwks());
    let builder = builder.revocation(Revocation::new().status_lists(lists));
    let builder = builder.introspection(parts.introspection().jwts());
    (parts.build(builder), list)
}

/// With this claim, or without one.
fn with(claims: TokenBuilder, name: &str, value: Option<&Value>) -> TokenBuilder {
    match value {
        Some(value) => claims.claim(name, value),
        None => claims.without(name),
    }
}

/// A JWT that says this of its status, and what its issuer answers about it.
fn told(world: &World, own: Option<&Value>, answered: Option<&Value>) -> String {
    let claims = world.claims();
    let token = with(claims.clone(), "status", own).sign();
    world.kit.active_as(&token, with(claims.without("jti"), "status", answered));
    token
}

/// TSL-01, attack 41: a JWT is looked up in the list that it names, though the answer names none; no answer
/// takes that back, and one that names another place is about another token.
#[tokio::test]
async fn the_list_that_a_jwt_names_counts() {
    let (world, list) = world(StatusLists::new());
    let [valid, invalid, other] = [0, 1, 2].map(|index| json!(list.reference(index)));
    let mechanism = json!({ "other": {} });
    for (name, own, answered, kind) in [
        ("nowhere", None, None, None),
        ("valid, in the token", Some(&valid), None, None),
        ("valid, in the answer", None, Some(&valid), None),
        ("valid, in both", Some(&valid), Some(&valid), None),
        ("invalid, in the token", Some(&invalid), None, Some(Kind::Revoked)),
        ("invalid, in the answer", None, Some(&invalid), Some(Kind::Revoked)),
        ("invalid, in both", Some(&invalid), Some(&invalid), Some(Kind::Revoked)),
        ("no list in the answer", Some(&invalid), Some(&mechanism), Some(Kind::Revoked)),
        ("no list in the token", Some(&mechanism), Some(&invalid), Some(Kind::Revoked)),
    ] {
        let token = told(&world, own, answered);
        // What is kept of the answer says it too.
        for round in ["asked", "kept"] {
            assert_eq!(world.kind(&token).await, kind, "{name}, {round}");
        }
    }
    for (own, answered) in [(&valid, &other), (&invalid, &valid), (&valid, &invalid)] {
        let token = told(&world, Some(own), Some(answered));
        world.assert_unavailable(&token, "two places").await;
        // The issuer may mend it.
        let calls = world.calls();
        world.kit.active_as(&token, world.claims().without("jti"));
        let expected = (own == &invalid).then_some(Kind::Revoked);
        assert_eq!(world.kind(&token).await, expected);
        assert_eq!(world.calls(), calls + 1);
    }
}

/// TSL-01, attack 41: `require` holds for a JWT that is asked about, where neither it nor the answer names a list;
/// what is opaque has nothing but the answer.
#[tokio::test]
async fn a_required_list_is_required_of_a_jwt_that_is_asked_about() {
    let (world, list) = world(StatusLists::new().require());
    let (valid, mechanism) = (json!(list.reference(0)), json!({ "other": {} }));
    for (name, own, answered, kind) in [
        ("nowhere", None, None, Some(Kind::StatusMissing)),
        ("another mechanism", Some(&mechanism), None, Some(Kind::StatusMissing)),
        ("in the token", Some(&valid), None, None),
        ("in the answer", None, Some(&valid), None),
    ] {
        let token = told(&world, own, answered);
        assert_eq!(world.kind(&token).await, kind, "{name}");
    }
    world.assert_passes(&world.token(), "opaque").await;
    let invalid = world.kit.active(world.claims().claim("status", list.reference(1)));
    world.assert_invalid(&invalid, Kind::Revoked, "opaque").await;
}

/// Lists of others are nobody's here, and where none is looked at the claim means nothing.
#[tokio::test]
async fn a_list_that_nobody_looks_at_is_passed_over() {
    let world = World::with_keys(Introspection::jwts);
    let place = json!({ "status_list": { "idx": 1, "uri": LIST } });
    for own in [&place, &json!(5)] {
        let token = told(&world, Some(own), None);
        world.assert_passes(&token, "no lists").await;
    }
}

/// The list of an issuer without keys cannot be verified: 503, whoever names it; a token that names none passes.
#[tokio::test]
async fn a_list_of_an_issuer_without_keys_cannot_be_had() {
    let parts = Parts::new();
    let builder = parts.builder_with(Issuer::opaque(ISSUER));
    let builder = builder.revocation(Revocation::new().status_lists(StatusLists::new()));
    let builder = builder.introspection(parts.introspection().jwts());
    let world = parts.build(builder);
    let place = json!({ "status_list": { "idx": 1, "uri": LIST } });
    world.assert_passes(&told(&world, None, None), "none").await;
    for (own, answered) in [(Some(&place), None), (None, Some(&place))] {
        let sent = world.send(&told(&world, own, answered)).await;
        assert_eq!(sent.kind(), Some(Kind::RevocationUnavailable));
        assert!(sent.response.headers().contains_key(RETRY_AFTER));
    }
}

/// DEL-01: an actor that a signed JWT names acts, though the answer leaves it out; one that the answer names
/// too is the same, or the answer is about another token. Without keys an actor that the token alone names
/// opens no route: neither those for an actor nor those for none.
#[tokio::test]
async fn the_actor_that_a_jwt_names_counts() {
    let gateway = json!({ "sub": "gateway" });
    let [same, other] = [
        json!({ "sub": "gateway", "iss": ISSUER, "act": { "sub": "before" } }),
        json!({ "sub": "mallory" }),
    ];
    type Expected = [Option<Kind>; 3];
    let nobody: Expected = [Some(Kind::InsufficientScope), Some(Kind::InsufficientScope), None];
    let acts: Expected = [None, None, Some(Kind::InsufficientScope)];
    let lacks: Expected = [Some(Kind::MissingClaim); 3];
    for keys in [true, false] {
        let world = match keys {
            true => World::with_keys(Introspection::jwts),
            false => World::with(Introspection::jwts),
        };
        for (name, own, answered, expected) in [
            ("nowhere", None, None, nobody),
            ("in the token", Some(&gateway), None, if keys { acts } else { lacks }),
            ("in the answer", None, Some(&gateway), acts),
            ("in both", Some(&gateway), Some(&gateway), acts),
            ("in both, otherwise written", Some(&gateway), Some(&same), acts),
        ] {
            let claims = world.claims();
            let token = with(claims.clone(), "act", own).sign();
            world.kit.active_as(&token, with(claims.without("jti"), "act", answered));
            let [any, this, none] = expected;
            assert_eq!(world.kind_by(actor(), &token).await, any, "{name}, keys: {keys}");
            assert_eq!(world.kind_by(actors(["gateway"]), &token).await, this, "{name}");
            assert_eq!(world.kind_by(no_actor(), &token).await, none, "{name}, keys: {keys}");
            if expected == lacks {
                let refused = world.api.verify(&bearer(&token)).await.unwrap_err().to_string();
                assert!(refused.contains("no `act`, which the token names itself"), "{refused}");
            }
        }
        let claims = world.claims();
        let token = claims.clone().claim("act", &gateway).sign();
        world.kit.active_as(&token, claims.without("jti").claim("act", other.clone()));
        for layer in [world.api.protect(actor()), world.api.protect(no_actor())] {
            assert_is_unavailable(&send(&layer, bearer(&token)).await, "two actors");
        }
    }
}
