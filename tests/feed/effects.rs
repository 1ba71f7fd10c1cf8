//! What a record does to tokens, through the whole of a server.

use portcullis::RejectionKind::{Revoked, StepUpDemanded, Suspended};
use serde_json::json;

use super::*;

const BEFORE: u64 = 1_799_999_900;
const CUT_OFF: u64 = 1_799_999_940;
const AFTER: u64 = 1_799_999_970;

/// Decision 11, decision 15: each record refuses those that it is about, and no other.
#[tokio::test]
async fn a_record_is_about_those_that_it_names_and_nobody_else() {
    let ann = || json!({ "sub": "ann" });
    let none = || json!({});
    for (name, record, claims, expected) in [
        ("jti", json!({ "jti": "t" }), json!({ "jti": "t" }), Some(Revoked)),
        ("other jti", json!({ "jti": "t" }), json!({ "jti": "T" }), None),
        (
            "jti, whenever issued",
            json!({ "jti": "t" }),
            json!({ "jti": "t", "iat": AFTER }),
            Some(Revoked),
        ),
        ("subject", json!({ "subject": "ann" }), ann(), Some(Revoked)),
        ("other subject", json!({ "subject": "ann" }), json!({ "sub": "bob" }), None),
        (
            "at the very time",
            json!({ "subject": "ann" }),
            json!({ "sub": "ann", "iat": CUT_OFF }),
            Some(Revoked),
        ),
        ("issued later", json!({ "subject": "ann" }), json!({ "sub": "ann", "iat": AFTER }), None),
        ("session", json!({ "session": "1" }), json!({ "sid": "1" }), Some(Revoked)),
        ("no session", json!({ "session": "1" }), none(), None),
        (
            "both",
            json!({ "subject": "ann", "session": "1" }),
            json!({ "sub": "ann", "sid": "1" }),
            Some(Revoked),
        ),
        (
            "one of both",
            json!({ "subject": "ann", "session": "1" }),
            json!({ "sub": "ann", "sid": "2" }),
            None,
        ),
        ("client", json!({ "client": "app" }), json!({ "client_id": "app" }), Some(Revoked)),
        ("other client", json!({ "client": "app" }), json!({ "client_id": "web" }), None),
        ("claim", json!({ "claims": { "tenant": "x" } }), json!({ "tenant": "x" }), Some(Revoked)),
        (
            "claim in an array",
            json!({ "claims": { "tenant": "x" } }),
            json!({ "tenant": ["y", "x"] }),
            Some(Revoked),
        ),
        ("other claim", json!({ "claims": { "tenant": "x" } }), json!({ "tenant": "xx" }), None),
        ("all", json!({ "all": true }), none(), Some(Revoked)),
        ("all, issued later", json!({ "all": true }), json!({ "iat": AFTER }), None),
        (
            "all of another issuer",
            json!({ "all": true, "issuer": "https://b.example" }),
            none(),
            None,
        ),
        ("step-up", json!({ "subject": "ann", "effect": "step_up" }), ann(), Some(StepUpDemanded)),
        (
            "hold",
            json!({ "subject": "ann", "effect": "hold", "reason": "account" }),
            ann(),
            Some(Suspended),
        ),
        (
            "hold, issued later",
            json!({ "subject": "ann", "effect": "hold", "reason": "device" }),
            json!({ "sub": "ann", "iat": AFTER }),
            Some(Suspended),
        ),
        (
            "hold for a step-up",
            json!({ "subject": "ann", "effect": "hold_for_step_up", "reason": "risk" }),
            json!({ "sub": "ann", "iat": AFTER }),
            Some(StepUpDemanded),
        ),
        (
            "purge, issued later",
            json!({ "subject": "ann", "effect": "purge" }),
            json!({ "sub": "ann", "iat": AFTER }),
            Some(Revoked),
        ),
    ] {
        let world = World::new(&whole(1, &json!([with(record, "at", CUT_OFF.into())]))).await;
        assert_eq!(world.error(), "", "{name}");
        let mut token = world.token("any").claim("iat", BEFORE);
        for (claim, value) in claims.as_object().unwrap() {
            token = token.claim(claim, value.clone());
        }
        assert_eq!(world.refused(token).await, expected, "{name}");
    }
}

/// Decision 11, attack 40: whoever has the key chooses `iat`.
#[tokio::test]
async fn a_key_is_refused_whenever_its_tokens_say_they_were_issued() {
    let world = World::new(&whole(1, &json!([]))).await;
    let kid = world.issuer.key().kid().to_owned();
    let later = || world.token("t").claim("iat", AFTER);
    assert_eq!(world.refused(later()).await, None);
    world.publish(&whole(2, &json!([{ "kid": "another", "at": CUT_OFF }]))).await;
    assert_eq!(world.refused(later()).await, None);
    world.publish(&whole(3, &json!([{ "kid": kid, "at": CUT_OFF }]))).await;
    assert_eq!(world.refused(later()).await, Some(Revoked));
}

/// Decision 11: a state stays until its reason goes; one reason does not take another away.
#[tokio::test]
async fn a_hold_ends_with_a_release_of_its_reason() {
    let said = |effect: &str, reason: &str, at: u64| json!({ "subject": "ann", "effect": effect, "reason": reason, "at": at });
    let hold = said("hold", "account", 1_799_999_900);
    let world = World::new(&whole(1, &json!([hold]))).await;
    let ann = || world.token("t").subject("ann");
    assert_eq!(world.refused(ann()).await, Some(Suspended));
    world.publish(&whole(2, &json!([said("release", "device", 1_799_999_950)]))).await;
    assert_eq!(world.refused(ann()).await, Some(Suspended), "another reason");
    world.publish(&whole(3, &json!([said("release", "account", 1_799_999_800)]))).await;
    assert_eq!(world.refused(ann()).await, Some(Suspended), "from before");
    world.publish(&whole(4, &json!([said("release", "account", 1_799_999_950)]))).await;
    assert_eq!(world.refused(ann()).await, None);
    // The old news come again.
    world.publish(&whole(5, &json!([hold]))).await;
    assert_eq!(world.refused(ann()).await, None);
}

/// EVT-01: a whole that lacks a record takes nothing back; only what is `removed` does, and only what was
/// said before.
#[tokio::test]
async fn only_what_is_removed_counts_no_more() {
    let world = World::new(&whole(1, &json!([jti("a"), jti("b")]))).await;
    assert!(world.is_revoked("a").await && world.is_revoked("b").await);
    world.publish(&whole(2, &json!([]))).await;
    assert!(world.is_revoked("a").await && world.is_revoked("b").await, "not listed");
    world.publish(&with(whole(3, &json!([])), "removed", json!([]))).await;
    assert!(world.is_revoked("a").await && world.is_revoked("b").await, "nothing removed");
    let removed = json!([{ "jti": "a", "at": 1_799_999_960 }]);
    world.publish(&with(whole(4, &json!([jti("b")])), "removed", removed)).await;
    assert!(!world.is_revoked("a").await, "removed");
    assert!(world.is_revoked("b").await, "another one");
    // In one document: what happened later counts, wherever it stands.
    let again = json!([{ "jti": "a", "at": 1_799_999_980 }]);
    let removed = json!([{ "jti": "a", "at": 1_799_999_970 }]);
    world.publish(&with(whole(5, &again), "removed", removed)).await;
    assert!(world.is_revoked("a").await, "removed, and revoked again");
    let removed = json!([{ "jti": "a", "at": 1_799_999_980 }]);
    world.publish(&with(whole(6, &again), "removed", removed)).await;
    assert!(!world.is_revoked("a").await, "at once");
}

/// Attack 42, decision 11: a source is believed about its own issuers only.
#[tokio::test]
async fn what_it_says_about_others_has_no_effect_and_is_counted() {
    let foreign = json!([{ "issuer": "https://b.example", "jti": "a", "at": 1_799_999_000 }]);
    let world = World::new(&whole(1, &foreign)).await;
    assert!(!world.is_revoked("a").await);
    assert_eq!((world.health().foreign, world.failures()), (1, 0));
    let named = json!([{ "issuer": ISSUER, "jti": "a", "at": 1_799_999_000 }]);
    world.publish(&whole(2, &named)).await;
    assert!(world.is_revoked("a").await);
    assert_eq!(world.health().foreign, 1);
}
