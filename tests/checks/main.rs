//! The checks that the crate ships, through the layer: what each lets through, what it refuses,
//! and how it answers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod claims;
mod combinations;
mod details;
mod later;
mod parties;
mod peers;
mod senders;
mod step_up;

use portcullis::check::{Check, CheckContext, CheckError, peer_in, scope};
use portcullis::layer::require;
use portcullis::testing::TokenBuilder;
use portcullis::{Policy, RejectionKind, assert_challenge};
use serde_json::json;
use tower::{Layer as _, ServiceExt as _, service_fn};

use support::{Sent, World, bearer, send};

/// What a token gets of a policy.
async fn ask(world: &World, policy: impl Into<Policy>, token: &TokenBuilder) -> Sent {
    send(&world.api.protect(policy), bearer(&token.sign())).await
}

/// One policy, one token, and whether it passes.
struct Case {
    id: &'static str,
    name: &'static str,
    policy: Policy,
    token: TokenBuilder,
    passes: bool,
}

fn case(
    id: &'static str,
    name: &'static str,
    policy: impl Into<Policy>,
    token: TokenBuilder,
    passes: bool,
) -> Case {
    Case { id, name, policy: policy.into(), token, passes }
}

/// Sends every case. A refusal is 403 `insufficient_scope` and names no scope: none would help.
async fn check_cases(world: &World, cases: impl IntoIterator<Item = Case>) {
    let (mut passes, mut refusals, mut wrong) = (0, 0, Vec::new());
    for Case { id, name, policy, token, passes: wanted } in cases {
        let sent = ask(world, policy, &token).await;
        if sent.passed() != wanted {
            wrong.push(format!("{id} {name}: wanted {wanted}, got {:?}", sent.kind()));
            continue;
        }
        if wanted {
            passes += 1;
            assert_eq!(sent.response.status(), 200, "{id} {name}");
        } else {
            refusals += 1;
            assert_eq!(sent.kind(), Some(RejectionKind::InsufficientScope), "{id} {name}");
            let response = &sent.response;
            assert_challenge!(response, 403, "Bearer", error = "insufficient_scope", !scope);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(passes > 0 && refusals > 0, "{passes} pass and {refusals} do not");
}

/// A check of something impossible is refused when the policy is made, in these words; a layer of
/// it answers 500, and a `require` of it too. It lets nobody through where it is asked at all.
async fn check_faulty(world: &World, check: impl Check + Clone + 'static, words: &str) {
    let error = world.api.guard(check.clone()).unwrap_err().to_string();
    assert!(error.contains(words), "wanted {words:?} in: {error}");

    let sent = ask(world, check.clone(), &world.token()).await;
    assert_eq!(sent.kind(), Some(RejectionKind::Misconfigured), "{words}");
    assert!(!sent.passed(), "{words}");

    let access = portcullis::testing::TestAccess::new().build();
    assert!(portcullis::testing::check(&check, &access, "GET", "/").is_err(), "{words}");

    let inner =
        service_fn(async |_: http::Request<String>| -> Result<_, std::convert::Infallible> {
            panic!("the inner service was called")
        });
    let inner = require(check).layer(inner);
    let service = world.api.layer().layer(inner);
    let response: http::Response<String> =
        service.oneshot(bearer(&world.token().sign())).await.unwrap();
    assert_eq!(response.status(), 500, "{words}");
}

/// What a file could not say at one place is listed beside it.
#[tokio::test]
async fn what_is_asked_twice_stands_twice_in_the_effective_policy() {
    let world = World::new().await;
    fn own(_: &CheckContext<'_>) -> Result<(), CheckError> {
        Ok(())
    }
    let check =
        scope("a").and(scope("b")).and(peer_in(["10.0.0.0/8"])).and(peer_in(["10.1.0.0/16"]));
    let report = rules(&world, "twice", check.and(own));
    assert_eq!(report["all_scopes"], json!(["a", "b"]));
    assert_eq!(report["peer_in"], json!(["10.0.0.0/8"]));
    assert_eq!(report["all_of"][0], json!({ "peer_in": ["10.1.0.0/16"] }));
    assert!(report["all_of"][1]["custom"].as_str().unwrap().ends_with("::own"), "{report}");
    assert_eq!(report["all_of"].as_array().unwrap().len(), 2);
}

/// How a policy stands in the effective policy.
fn rules(world: &World, name: &str, check: impl Check + 'static) -> serde_json::Value {
    let _guard = world.api.guard(Policy::new(check).named(name)).unwrap();
    let effective = world.api.effective_policy();
    let policies = effective["mounted"].as_array().unwrap();
    let mut policy = policies.iter().find(|policy| policy["name"] == name).unwrap().clone();
    // What it says of a request, and not of a token.
    for member in [
        "name",
        "credentials",
        "preflight",
        "strip_credentials",
        "expose_challenge",
        "single_use",
        "require_nonce",
    ] {
        assert!(policy.as_object_mut().unwrap().remove(member).is_some(), "{member}");
    }
    policy
}
