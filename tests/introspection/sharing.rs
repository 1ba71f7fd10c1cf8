//! Requests that come with one token at once share one call.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use portcullis::RejectionKind as Kind;
use portcullis::testing::Failure;

use crate::support::{bearer, present, settle};
use crate::world::{SECOND, TTL, World};

/// INT-09: a thousand first requests with one token make one call; a thousand tokens make a thousand.
#[tokio::test]
async fn a_thousand_first_requests_make_one_call() {
    for (active, wants) in [(true, None), (false, Some(Kind::Inactive))] {
        let world = World::new();
        let token = if active { world.token() } else { "unknown".to_owned() };
        world.kit.hold();
        let waiting: Vec<_> = (0..1_000).map(|_| world.spawn(&token)).collect();
        world.kit.called(1).await;
        settle().await;
        assert!(waiting.iter().all(|request| !request.is_finished()));
        assert_eq!(world.health().under_way, 1);
        world.kit.release();
        for request in waiting {
            assert_eq!(request.await.unwrap(), wants);
        }
        assert_eq!((world.calls(), world.health().under_way), (1, 0));
        assert_eq!(world.kind(&token).await, wants);
        assert_eq!(world.calls(), 1, "kept");
    }

    // Of 1 024 turns tokens that were never active get three quarters.
    let world = World::with(|introspection| introspection.max_at_once(1_024));
    world.kit.hold();
    let waiting: Vec<_> = (0..1_000).map(|_| world.spawn(&world.token())).collect();
    world.kit.called(768).await;
    world.kit.release();
    for request in waiting {
        assert_eq!(request.await.unwrap(), None);
    }
    assert_eq!(world.calls(), 1_000);
}

/// INT-09, INT-08: also where nothing is kept; who comes later asks anew.
#[tokio::test]
async fn a_call_under_way_is_shared_where_nothing_is_kept() {
    let world = World::with(|introspection| introspection.ttl(Duration::ZERO));
    let token = world.token();
    for round in 1..=3 {
        world.kit.hold();
        let first = world.spawn(&token);
        world.kit.called(round).await;
        let joined: Vec<_> = (0..10).map(|_| world.spawn(&token)).collect();
        settle().await;
        world.kit.release();
        assert_eq!(first.await.unwrap(), None);
        for request in joined {
            assert_eq!(request.await.unwrap(), None);
        }
        assert_eq!(world.calls(), round);
    }
}

/// A call that fails fails for all who wait, each with 503, and for nobody after them.
#[tokio::test]
async fn a_failed_call_is_shared_and_not_remembered() {
    let world = World::new();
    let token = world.token();
    world.kit.hold();
    world.kit.fail_once(Failure::Connection);
    let waiting: Vec<_> = (0..100).map(|_| world.spawn(&token)).collect();
    world.kit.called(1).await;
    settle().await;
    world.kit.release();
    for request in waiting {
        assert_eq!(request.await.unwrap(), Some(Kind::IntrospectionUnavailable));
    }
    world.assert_passes(&token, "asked anew").await;
    assert_eq!(world.calls(), 2);
}

/// A request that is dropped, wherever it waits, loses nothing: its call goes on, and its answer is kept.
#[tokio::test]
async fn a_dropped_request_loses_nothing() {
    let world = World::new();
    let mut context = Context::from_waker(Waker::noop());
    let mut polls = 0;
    // One await point after the other: polled so often, and dropped.
    for depth in 0.. {
        let token = world.token();
        let before = world.calls();
        world.kit.hold();
        let (parts, _) = bearer(&token).into_parts();
        let mut request = Box::pin(world.api.verify(&parts));
        let mut passed = false;
        for poll in 0..=depth {
            match request.as_mut().poll(&mut context) {
                Poll::Pending => polls += 1,
                Poll::Ready(result) => {
                    assert!(result.is_ok());
                    passed = true;
                    break;
                }
            }
            if poll == 1 {
                world.kit.release();
            }
            settle().await;
        }
        drop(request);
        world.kit.release();
        settle().await;
        assert_eq!(world.calls(), before + 1, "{depth}: the call was made");
        assert_eq!(world.health().under_way, 0, "{depth}");
        world.kit.fail(Failure::Connection);
        world.assert_passes(&token, "its answer was kept").await;
        world.kit.recover();
        assert_eq!(world.calls(), before + 1, "{depth}");
        if passed {
            break;
        }
    }
    assert!(polls > 2, "it waited");
    // Before the first poll nothing was asked.
    let token = world.token();
    let before = world.calls();
    drop(present(&world.api, &token));
    settle().await;
    assert_eq!(world.calls(), before);
}

/// A hundred requests are dropped, and the one that stays gets its answer.
#[tokio::test]
async fn who_stays_gets_the_answer_of_who_left() {
    let world = World::new();
    let token = world.token();
    world.kit.hold();
    let leaving: Vec<_> = (0..100).map(|_| world.spawn(&token)).collect();
    world.kit.called(1).await;
    let staying = world.spawn(&token);
    settle().await;
    for request in leaving {
        request.abort();
        assert!(request.await.unwrap_err().is_cancelled());
    }
    world.kit.release();
    assert_eq!(staying.await.unwrap(), None);
    assert_eq!((world.calls(), world.kit.under_way()), (1, 0));
}

/// An answer that was overtaken by a revocation at the issuer serves no longer than any other.
#[tokio::test]
async fn an_overtaken_answer_lives_no_longer_than_others() {
    let world = World::new();
    let token = world.token();
    world.kit.hold_answers();
    let waiting = world.spawn(&token);
    world.kit.called(1).await;
    settle().await;
    world.kit.revoke(&token);
    world.clock.advance(SECOND);
    settle().await;
    world.kit.release();
    assert_eq!(waiting.await.unwrap(), None, "that is what was known when it was asked");
    // Its age counts from the question.
    world.advance(TTL - SECOND).await;
    world.assert_invalid(&token, Kind::Inactive, "asked again").await;
    assert_eq!(world.calls(), 2);
}

/// Outside a runtime nothing can be asked, and nobody passes.
#[test]
fn without_a_runtime_nobody_passes() {
    let world = World::new();
    let token = world.token();
    let (parts, _) = bearer(&token).into_parts();
    let mut request = Box::pin(world.api.verify(&parts));
    let mut context = Context::from_waker(Waker::noop());
    match request.as_mut().poll(&mut context) {
        Poll::Ready(Err(rejection)) => {
            assert_eq!(rejection.kind(), Kind::IntrospectionUnavailable);
        }
        other => panic!("{other:?}"),
    }
    drop(request);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(world.assert_passes(&token, "with one"));
}

/// A call whose runtime ends is over, for those who wait elsewhere as well.
#[test]
fn a_call_ends_with_its_runtime() {
    let world = World::new();
    let token = world.token();
    world.kit.hold();
    let first = tokio::runtime::Builder::new_current_thread().build().unwrap();
    first.block_on(async {
        drop(world.spawn(&token));
        world.kit.called(1).await;
    });
    let second = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let [waiting] = second.block_on(async {
        let waiting = world.spawn(&token);
        settle().await;
        assert!(!waiting.is_finished());
        [waiting]
    });
    drop(first);
    world.kit.release();
    second.block_on(async {
        assert_eq!(waiting.await.unwrap(), Some(Kind::IntrospectionUnavailable));
        world.assert_passes(&token, "anew").await;
    });
    assert_eq!(world.calls(), 2);
}
