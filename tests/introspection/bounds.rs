//! What is bounded: calls at once, open questions, requests that wait, and what is kept.

use std::time::Duration;

use portcullis::RejectionKind as Kind;
use portcullis::introspection::EndpointState;
use portcullis::testing::Failure;
use serde_json::json;

use crate::answers::answer_of;
use crate::support::settle;
use crate::world::{SECOND, TIMEOUT, TTL, World};

/// No more calls are under way than was said; the others wait for their turn. Tokens that were never active
/// get three quarters of them.
#[tokio::test]
async fn calls_are_bounded() {
    for (most, wanted) in [(1, 1), (2, 2), (4, 3), (50, 38)] {
        let world = World::with(|introspection| introspection.max_at_once(most));
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
    let world = World::with(|introspection| introspection.max_at_once(1));
    world.kit.fail_once(Failure::Silence);
    let waiting: Vec<_> = (0..20).map(|_| world.spawn(&world.token())).collect();
    world.kit.called(1).await;
    settle().await;
    world.advance(TIMEOUT).await;
    for request in waiting {
        assert_eq!(request.await.unwrap(), Some(Kind::IntrospectionUnavailable));
    }
    assert_eq!(world.calls(), 1);
    settle().await;
    let health = world.health();
    assert_eq!((health.calls, health.failed, health.not_asked), (1, 1, 19));
    assert_eq!(health.state, EndpointState::Working);
    world.assert_passes(&world.token(), "a turn").await;
}

/// Attack 28: tokens that were active before have the turns that are left, and need not wait behind those that
/// anybody can invent.
#[tokio::test]
async fn known_tokens_have_turns_of_their_own() {
    let world = World::with(|introspection| introspection.max_at_once(8));
    let known: Vec<_> = (0..8).map(|_| world.token()).collect();
    for token in &known {
        world.assert_passes(token, "asked").await;
    }
    world.advance(TTL).await;
    world.kit.hold();
    let invented: Vec<_> =
        (0..20).map(|number| world.spawn(&format!("invented-{number}"))).collect();
    world.kit.called(8 + 6).await;
    settle().await;
    assert_eq!(world.calls(), 8 + 6, "three quarters of eight");
    let waiting: Vec<_> = known.iter().map(|token| world.spawn(token)).collect();
    world.kit.called(8 + 8).await;
    settle().await;
    assert_eq!(world.calls(), 8 + 8, "eight in all");
    let asked: Vec<_> = world.kit.requests().iter().filter_map(|one| one.form("token")).collect();
    assert_eq!(asked[8 + 6..], known[..2]);
    world.kit.release();
    for request in waiting {
        assert_eq!(request.await.unwrap(), None);
    }
    for request in invented {
        assert_eq!(request.await.unwrap(), Some(Kind::Inactive));
    }
    assert_eq!(world.kit.most_at_once(), 8);

    // Alone they have all turns; and a token that was active once more.
    world.advance(TTL).await;
    let before = world.calls();
    world.kit.hold();
    let waiting: Vec<_> = known.iter().map(|token| world.spawn(token)).collect();
    world.kit.called(before + 8).await;
    world.kit.release();
    for request in waiting {
        assert_eq!(request.await.unwrap(), None);
    }
}

/// More than 1 024 tokens of which nothing is known are not asked about at once: 503 for the next, and room
/// when one is answered. As many that were active before have room beside them.
#[tokio::test]
async fn open_questions_are_bounded() {
    const MOST: usize = 1_024;
    let world = World::with(|introspection| introspection.max_at_once(MOST));
    let tokens = |count| (0..count).map(|_| world.token()).collect::<Vec<_>>();
    let known = tokens(MOST + 1);
    for token in &known {
        world.assert_passes(token, "asked").await;
    }
    world.advance(TTL).await;
    world.kit.hold();
    let invented = tokens(MOST);
    let mut waiting: Vec<_> = invented.iter().map(|token| world.spawn(token)).collect();
    let calls = known.len() + MOST / 4 * 3;
    world.kit.called(calls).await;
    settle().await;
    assert_eq!(world.calls(), calls);
    let late = world.token();
    for _ in 0..3 {
        world.assert_unavailable(&late, "no room").await;
    }
    let health = world.health();
    assert_eq!((health.under_way, health.not_asked, health.failed), (MOST, 3, 0));

    let (last, known) = known.split_last().unwrap();
    waiting.extend(known.iter().map(|token| world.spawn(token)));
    world.kit.called(calls + MOST / 4).await;
    settle().await;
    assert_eq!(world.calls(), calls + MOST / 4);
    world.assert_unavailable(last, "no room for one more").await;
    assert_eq!((world.health().under_way, world.health().not_asked), (2 * MOST, 4));
    world.kit.release();
    for request in waiting {
        assert_eq!(request.await.unwrap(), None);
    }
    world.assert_passes(&late, "room").await;
    world.assert_passes(last, "room").await;
    assert_eq!(world.calls(), MOST + 1 + 2 * MOST + 2);
}

/// And no more than 1 024 requests wait for one token; who waits for one that was active before has another
/// place.
#[tokio::test]
async fn waiting_requests_are_bounded() {
    let world = World::new();
    let known = world.token();
    world.assert_passes(&known, "asked").await;
    world.advance(TTL).await;
    let token = world.token();
    world.kit.hold();
    let waiting: Vec<_> = (0..1_024).map(|_| world.spawn(&token)).collect();
    world.kit.called(2).await;
    settle().await;
    world.assert_unavailable(&token, "no room").await;
    let beside: Vec<_> = (0..1_024).map(|_| world.spawn(&known)).collect();
    world.kit.called(3).await;
    settle().await;
    world.assert_unavailable(&known, "no room for it either").await;
    world.kit.release();
    for request in waiting.into_iter().chain(beside) {
        assert_eq!(request.await.unwrap(), None);
    }
    world.assert_passes(&token, "kept").await;
    world.assert_passes(&known, "kept").await;
    assert_eq!(world.calls(), 3);
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
