//! Whose fault it is: a JWT that says nonsense itself is a bad token, whatever its issuer says of it; an answer that
//! contradicts the token is an issuer that has something to mend.

use portcullis::Issuer;
use portcullis::RejectionKind as Kind;
use portcullis::revocation::{Revocation, StatusLists};
use serde_json::{Value, json};

use crate::support::ISSUER;
use crate::world::{Parts, World};

/// How a server takes JWTs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// It reads them and asks nobody.
    Reading,
    Asking,
    AskingWithoutKeys,
}

/// A server that looks at everything that a JWT can say beside an answer.
fn world(by: By) -> World {
    let parts = Parts::new();
    let builder = match by {
        By::AskingWithoutKeys => parts.builder_with(Issuer::opaque(ISSUER)),
        By::Reading | By::Asking => parts.builder_with(parts.issuer.jwks()),
    };
    let known = Revocation::new().claim("device").status_lists(StatusLists::new());
    let introspection = match by {
        By::Reading => parts.introspection(),
        By::Asking | By::AskingWithoutKeys => parts.introspection().jwts(),
    };
    let introspection = introspection.dangerous().insecure_without_audience();
    parts.build(builder.revocation(known).introspection(introspection))
}

/// INT-11, AUTH-32: a claim of the token itself that cannot be read is 401, as where nobody is asked. The answer is
/// kept, and its issuer is in good health.
#[tokio::test]
async fn a_malformed_claim_of_the_token_is_its_own_fault() {
    let long = "x".repeat(2_049);
    let rows: [(&str, Value); 13] = [
        ("jti", json!(5)),
        ("jti", json!("")),
        ("jti", json!(long)),
        ("sid", json!([])),
        ("sid", json!(long)),
        ("device", json!({})),
        ("device", json!([1])),
        ("device", json!(long)),
        ("act", json!("gateway")),
        ("act", json!({ "iss": ISSUER })),
        ("status", json!({})),
        ("status", json!({ "status_list": { "idx": -1, "uri": "https://as.example/lists/1" } })),
        ("aud", json!(5)),
    ];
    for by in [By::Reading, By::Asking, By::AskingWithoutKeys] {
        for (name, value) in &rows {
            let world = world(by);
            let token = world.claims().claim(name, value.clone()).sign();
            let answer = ["jti", "sid", "device", "act", "status", "aud"]
                .into_iter()
                .fold(world.claims(), |claims, name| claims.without(name));
            world.kit.active_as(&token, answer.clone());
            for round in ["asked", "kept"] {
                let case = format!("{by:?}, {name}: {value}, {round}");
                world.assert_invalid(&token, Kind::MalformedClaim, &case).await;
            }
            let asked = usize::from(by != By::Reading);
            assert_eq!(world.calls(), asked, "{by:?}, {name}");
            let health = world.health();
            assert_eq!((health.failed, health.last_error), (0, None), "{by:?}, {name}");
            if asked > 0 {
                assert_eq!(health.kept, 1, "{by:?}, {name}");
            }
            // Its twin says nothing wrong.
            let twin = world.claims().sign();
            world.kit.active_as(&twin, answer);
            world.assert_passes(&twin, name).await;
        }
    }
}

/// A time of the token itself that is none is its fault too: nobody is asked.
#[tokio::test]
async fn a_malformed_time_of_the_token_is_asked_about_by_nobody() {
    for by in [By::Reading, By::Asking, By::AskingWithoutKeys] {
        let world = world(by);
        for name in ["exp", "nbf"] {
            for value in [json!("soon"), json!(-1), Value::Null] {
                let token = world.claims().claim(name, value.clone()).sign();
                world.kit.active_as(&token, world.claims().without("jti"));
                let case = format!("{by:?}, {name}: {value}");
                world.assert_invalid(&token, Kind::MalformedClaim, &case).await;
            }
        }
        assert_eq!(world.calls(), 0);
    }
}

/// INT-11: what contradicts the token is its issuer's to mend: 503, told to operators, and asked for again.
#[tokio::test]
async fn an_answer_that_contradicts_the_token_is_its_issuers_fault() {
    let place = |index: u64| {
        let uri = "https://as.example/lists/1";
        json!({ "status_list": { "idx": index, "uri": uri } })
    };
    for by in [By::Asking, By::AskingWithoutKeys] {
        for (name, own, answered) in [
            ("jti", json!("one"), json!("two")),
            ("act", json!({ "sub": "one" }), json!({ "sub": "two" })),
            ("status", place(1), place(2)),
        ] {
            let world = world(by);
            let claims = world.claims().without("jti");
            let token = claims.clone().claim(name, own).sign();
            world.kit.active_as(&token, claims.claim(name, answered));
            for round in 1..=2 {
                world.assert_unavailable(&token, name).await;
                let health = world.health();
                assert_eq!((world.calls(), health.failed, health.kept), (round, round as u64, 0));
                let why = health.last_error.unwrap();
                assert!(why.contains(&format!("its `{name}` is another")), "{why}");
            }
        }
    }
}
