//! Attacks that worked on other software, one test for each mechanism. The comments name advisories about
//! other software in which the mechanism was found.

use std::time::Duration;

use portcullis::check::scope;
use portcullis::introspection::Introspection;
use portcullis::testing::Failure;
use portcullis::{Policy, RejectionKind as Kind};

use crate::support::settle;
use crate::world::{SECOND, World};

/// Attack 24 (CVE-2026-107719): what was said of a token ends with it, though more was said to be kept.
#[tokio::test]
async fn a_remembered_answer_does_not_outlive_its_token() {
    let world = World::with(|introspection| introspection.ttl(Duration::from_mins(10)));
    let token = world.kit.active(world.claims().expires_at(world.now().plus(60 * SECOND)));
    let longer = world.kit.active(world.claims().expires_at(world.now().plus(600 * SECOND)));
    for token in [&token, &longer] {
        world.assert_passes(token, "asked").await;
    }
    world.kit.fail(Failure::Connection);
    world.advance(59 * SECOND).await;
    world.assert_passes(&token, "kept").await;
    world.advance(SECOND).await;
    world.assert_unavailable(&token, "its end: what was said counts no more").await;
    world.assert_passes(&longer, "kept").await;
    world.kit.recover();
    world.advance(60 * SECOND).await;
    world.assert_invalid(&token, Kind::Expired, "ended").await;
}

/// Attack 25 (CVE-2026-35039): tokens that are alike in all but one character have nothing in common.
#[tokio::test]
async fn one_tokens_answer_never_serves_another() {
    let world = World::with(|introspection| introspection.ttl(Duration::from_mins(10)));
    let mut tokens = Vec::new();
    let base = "a".repeat(64);
    for place in 0..64 {
        let mut token = base.clone();
        token.replace_range(place..=place, "b");
        tokens.push(token);
    }
    tokens.push(base.clone());
    tokens.push(base.to_uppercase());
    tokens.push(format!("{base}="));
    tokens.push(format!("{base}a"));
    tokens.push(base[1..].to_owned());
    for (number, token) in tokens.iter().enumerate() {
        world.kit.active_as(token, world.claims().subject(&format!("user-{number}")));
    }
    for _ in 0..3 {
        for (number, token) in tokens.iter().enumerate() {
            let access = world.present(token).await.unwrap();
            assert_eq!(access.subject(), &*format!("user-{number}"));
        }
        assert_eq!(world.calls(), tokens.len());
    }
    // One that nobody knows is nobody's.
    world.assert_invalid(&format!("{base}=="), Kind::Inactive, "unknown").await;
}

/// Attack 26 (CVE-2021-32701): an answer that was kept for one route is decided by the next one's rules.
#[tokio::test]
async fn a_remembered_answer_skips_no_routes_check() {
    let world = World::new();
    let token = world.kit.active(world.claims().scope("read"));
    let none = || Policy::new(portcullis::check::allow_all());
    for _ in 0..3 {
        assert_eq!(world.kind_by(none(), &token).await, None);
        assert_eq!(world.kind_by(scope("read"), &token).await, None);
        assert_eq!(world.kind_by(scope("write"), &token).await, Some(Kind::InsufficientScope));
        let once = none().single_use();
        let wanted = world.kind_by(once, &token).await;
        assert!(matches!(wanted, None | Some(Kind::TokenUsed)));
    }
    assert_eq!(world.calls(), 1);
}

/// Attack 27: an answer about a JWT does not outlive the key that signed it.
#[tokio::test]
async fn a_remembered_answer_does_not_outlive_its_key() {
    let world = World::with_keys(|introspection| introspection.jwts().ttl(Duration::from_mins(10)));
    let known = |world: &World| {
        let token = world.claims().expires_at(world.now().plus(Duration::from_mins(50)));
        let text = token.sign();
        world.kit.active_as(&text, token);
        text
    };
    let old = known(&world);
    world.assert_passes(&old, "asked").await;
    let kid = world.issuer.key().kid().to_owned();
    world.issuer.rotate();
    let new = known(&world);
    world.assert_passes(&new, "the next key").await;
    world.assert_passes(&old, "the old key is still there").await;
    world.issuer.withdraw(&kid);
    // Somebody comes with a key that is not there, and the keys are fetched.
    world.advance(Duration::from_mins(2)).await;
    let junk = crate::support::junk(&world.issuer, "x");
    assert_eq!(world.kind(&junk).await, Some(Kind::UnknownKey));
    let calls = world.calls();
    world.assert_invalid(&old, Kind::UnknownKey, "withdrawn").await;
    world.assert_passes(&new, "the next key").await;
    assert_eq!(world.calls(), calls, "what was kept of the other serves");
}

/// Attack 28: junk makes a call each at most, never one for a forged JWT, and takes nobody's place: what
/// it can hold open is bounded, and the answers of others are kept.
#[tokio::test]
async fn junk_costs_one_call_each_and_no_one_elses() {
    let world = World::with_keys(Introspection::jwts);
    let token = world.token();
    world.assert_passes(&token, "asked").await;
    for _ in 0..50 {
        let junk = crate::support::junk(&world.issuer, "x");
        assert_eq!(world.kind(&junk).await, Some(Kind::UnknownKey));
    }
    assert!(world.issuer.fetches() <= 12, "{}", world.issuer.fetches());
    assert_eq!(world.calls(), 1);
    for round in 0..5 {
        for number in 0..20 {
            let junk = format!("junk-{number}");
            world.assert_invalid(&junk, Kind::Inactive, "junk").await;
        }
        assert_eq!(world.calls(), 21, "{round}");
    }
    // Nor does a failing endpoint make more calls than a working one.
    world.kit.fail(Failure::Connection);
    for number in 0..100 {
        let junk = format!("other-junk-{number}");
        world.assert_unavailable(&junk, "outage").await;
    }
    assert_eq!(world.calls(), 26);
    world.assert_passes(&token, "kept").await;
    settle().await;
}
