//! What is bounded: calls at once, open questions, requests that wait, and what is kept.

use std::time::Duration;

use portcullis::RejectionKind as Kind;
use portcullis::introspection::EndpointState;
use portcullis::testing::Failure;
use serde_json::json;

use crate::answers::answer_of;
use crate::support::settle;
use crate::world::{SECOND, TIMEOUT, World};

/// No more calls are under way than was said; the others wait for their turn.
#[tokio::test]
async fn calls_are_bounded() {
    for (most, wanted) in [(2, 2), (50, 50)] {
        let world = World::with(|introspection| introspection.at_most(most));
        world.kit.hold();
        let tokens: Vec<_> = (0..50).map(|_| world.token()).collect();
        let waiting: Vec<_> = tokens.iter().map(|token| world.spawn(token)).collect();
        world.kit.called(wanted).await;
        settle().await;
        assert_eq!(world.calls(), wanted);
        assert_eq!(world.health().under_way, 50);
        world.kit.release();
        for request in waiting {
            assert_eq!(request.await.unwrap(), None);
        }
        assert_eq!((world.calls(), world.kit.most_at_once()), (50, wanted));
    }
}

/// AUTH-32: who gets no turn in time gets 503; that is no fault of the endpoint, and no call.
#[tokio::test]
async fn who_gets_no_turn_gets_503() {
    let world = World::with(|introspection| introspection.at_most(1));
    world.kit.fail_once(Failure::Silence);
    let waiting: Vec<_> = (0..20).map(|_| world.spawn(&world.token())).collect();
    world.kit.called(1).await;
    settle().await;
    world.advance(TIMEOUT).await;
    for request in waiting {
        assert_eq!(request.await.unwrap(), Some(Kind::IntrospectionUnavailable));
    }
    assert_eq!(world.calls(), 1);
    assert_eq!(world.health().state, EndpointState::Working);
    world.assert_passes(&world.token(), "a turn").await;
}

/// More than 1 024 tokens are not asked about at once: 503 for the next, and room when one is answered.
#[tokio::test]
async fn open_questions_are_bounded() {
    let world = World::with(|introspection| introspection.at_most(1_024));
    world.kit.hold();
    let tokens: Vec<_> = (0..1_024).map(|_| world.token()).collect();
    let waiting: Vec<_> = tokens.iter().map(|token| world.spawn(token)).collect();
    world.kit.called(1_024).await;
    settle().await;
    let late = world.token();
    for _ in 0..3 {
        world.assert_unavailable(&late, "no room").await;
    }
    assert_eq!((world.health().under_way, world.health().not_asked), (1_024, 3));
    world.kit.release();
    for request in waiting {
        assert_eq!(request.await.unwrap(), None);
    }
    world.assert_passes(&late, "room").await;
    assert_eq!(world.calls(), 1_025);
}

/// And no more than 1 024 requests wait for one token.
#[tokio::test]
async fn waiting_requests_are_bounded() {
    let world = World::new();
    let token = world.token();
    world.kit.hold();
    let waiting: Vec<_> = (0..1_024).map(|_| world.spawn(&token)).collect();
    world.kit.called(1).await;
    settle().await;
    world.assert_unavailable(&token, "no room").await;
    world.kit.release();
    for request in waiting {
        assert_eq!(request.await.unwrap(), None);
    }
    world.assert_passes(&token, "kept").await;
    assert_eq!(world.calls(), 1);
}

/// What is kept takes no more room than was said, whatever the answers are like.
#[tokio::test]
async fn kept_answers_are_bounded_by_their_bytes() {
    const ROOM: u64 = 64 * 1024;
    for (name, fill, all_fit) in [("small", 0, false), ("large", 3_000, false), ("few", 0, true)] {
        let world = World::with(|introspection| introspection.cache_bytes(ROOM));
        let count = if all_fit { 10 } else { 300 };
        let tokens: Vec<_> = (0..count).map(|_| world.token()).collect();
        for token in &tokens {
            let mut answer = answer_of(&world.claims());
            answer["fill"] = json!("x".repeat(fill));
            world.kit.set(token, answer);
            world.assert_passes(token, name).await;
            let bytes = world.health().kept_bytes;
            assert!(bytes <= ROOM, "{name}: {bytes}");
        }
        let health = world.health();
        assert!(health.kept > 0 && health.kept_bytes > 0, "{name}");
        let least = u64::try_from(fill).unwrap() * health.kept;
        assert!(health.kept_bytes > least, "{name}: the weight is no less than the answers");
        assert_eq!(health.kept == count, all_fit, "{name}");
        // What was let go is asked about again, and what was kept is not.
        let before = world.calls();
        for token in &tokens {
            world.assert_passes(token, name).await;
        }
        assert_eq!(world.calls() == before, all_fit, "{name}");
    }
    // Without room nothing is kept, and everybody is asked about.
    let world = World::with(|introspection| introspection.cache_bytes(0));
    let token = world.token();
    for _ in 0..3 {
        world.assert_passes(&token, "no room").await;
        assert_eq!(world.health().kept, 0);
    }
    assert_eq!(world.calls(), 3);
}

/// INT-09: tokens that anybody can invent never push out what is known of real ones.
#[tokio::test]
async fn invented_tokens_push_out_nothing() {
    let world = World::with(|introspection| {
        introspection.cache_bytes(64 * 1024).ttl(Duration::from_mins(10)).negative_ttl(60 * SECOND)
    });
    let tokens: Vec<_> = (0..10).map(|_| world.token()).collect();
    for token in &tokens {
        world.assert_passes(token, "asked").await;
    }
    for number in 0..3_000 {
        world.assert_invalid(&format!("invented-{number}"), Kind::Inactive, "invented").await;
    }
    let health = world.health();
    assert_eq!((health.kept, health.kept_inactive), (10, 3_000));
    assert!(health.kept_bytes <= 64 * 1024);
    let before = world.calls();
    for token in &tokens {
        world.assert_passes(token, "kept").await;
    }
    assert_eq!(world.calls(), before);
}
