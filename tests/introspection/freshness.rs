//! Routes and classes that want to know more freshly than an answer is kept.

use std::time::Duration;

use portcullis::check::allow_all;
use portcullis::testing::Failure;
use portcullis::{Policy, RejectionKind as Kind, TokenClass};

use crate::support::{bearer, send};
use crate::world::{SECOND, World, assert_is_unavailable};

fn fresh(seconds: u64) -> Policy {
    Policy::new(allow_all()).freshness(Duration::from_secs(seconds))
}

/// A route gets an answer that is no older than it wants; what it was told serves the others.
#[tokio::test]
async fn a_route_asks_again_where_the_answer_is_older() {
    let world = World::new();
    let token = world.token();
    assert_eq!(world.kind_by(fresh(5), &token).await, None);
    assert_eq!(world.kind_by(fresh(5), &token).await, None);
    assert_eq!(world.calls(), 1);
    world.advance(5 * SECOND).await;
    assert_eq!(world.kind_by(fresh(5), &token).await, None);
    assert_eq!(world.calls(), 1, "as old as it may be");
    world.advance(SECOND).await;
    world.assert_passes(&token, "no wish").await;
    assert_eq!(world.kind_by(fresh(6), &token).await, None);
    assert_eq!(world.calls(), 1);
    assert_eq!(world.kind_by(fresh(5), &token).await, None);
    assert_eq!(world.calls(), 2);
    world.advance(5 * SECOND).await;
    assert_eq!(world.kind_by(fresh(5), &token).await, None);
    world.assert_passes(&token, "no wish").await;
    assert_eq!(world.calls(), 2, "the newer answer was kept");

    // A revocation is seen by who looks, and after that by all.
    world.kit.revoke(&token);
    world.advance(6 * SECOND).await;
    world.assert_passes(&token, "kept").await;
    assert_eq!(world.kind_by(fresh(5), &token).await, Some(Kind::Inactive));
    world.assert_invalid(&token, Kind::Inactive, "known by now").await;
    assert_eq!(world.calls(), 3);
}

/// "Not active" takes an older yes along, also where nothing is kept of it.
#[tokio::test]
async fn a_no_takes_an_older_yes_along() {
    for negative in [Duration::ZERO, SECOND] {
        let world = World::with(|introspection| introspection.negative_ttl(negative));
        let token = world.token();
        world.assert_passes(&token, "asked").await;
        world.kit.revoke(&token);
        world.advance(6 * SECOND).await;
        world.assert_passes(&token, "kept").await;
        assert_eq!(world.kind_by(fresh(5), &token).await, Some(Kind::Inactive));
        world.advance(2 * SECOND).await;
        world.assert_invalid(&token, Kind::Inactive, "the yes is gone").await;
        assert_eq!((world.calls(), world.health().kept), (3, 0));
    }
}

/// AUTH-32: without an answer that is fresh enough there is none.
#[tokio::test]
async fn without_a_fresh_answer_there_is_none() {
    let world = World::new();
    let token = world.token();
    assert_eq!(world.kind_by(fresh(5), &token).await, None);
    world.kit.fail(Failure::Connection);
    world.advance(5 * SECOND).await;
    assert_eq!(world.kind_by(fresh(5), &token).await, None, "fresh enough");
    world.advance(SECOND).await;
    let sent = send(&world.api.protect(fresh(5)), bearer(&token)).await;
    assert_is_unavailable(&sent, "old");
    world.assert_passes(&token, "no wish").await;
}

/// A class wants the same of the tokens that it describes, and of no others.
#[tokio::test]
async fn a_class_asks_again_where_the_answer_is_older() {
    let class = TokenClass::named("payments").scopes(["pay"]).freshness(5 * SECOND);
    let world = World::built(|introspection| introspection, |builder| builder.class(class));
    let paying = world.kit.active(world.claims().scope("pay"));
    let reading = world.kit.active(world.claims().scope("read"));
    for token in [&paying, &reading] {
        world.assert_passes(token, "asked").await;
        world.assert_passes(token, "kept").await;
    }
    assert_eq!(world.calls(), 2);
    world.advance(6 * SECOND).await;
    world.assert_passes(&reading, "kept").await;
    assert_eq!(world.calls(), 2);
    world.assert_passes(&paying, "asked").await;
    assert_eq!(world.calls(), 3);
    // The stricter of route and class counts.
    world.advance(3 * SECOND).await;
    world.assert_passes(&paying, "kept").await;
    assert_eq!(world.calls(), 3);
    assert_eq!(world.kind_by(fresh(2), &paying).await, None);
    assert_eq!(world.calls(), 4);
    world.advance(6 * SECOND).await;
    assert_eq!(world.kind_by(fresh(20), &paying).await, None);
    assert_eq!(world.calls(), 5);

    world.kit.fail(Failure::Connection);
    world.advance(6 * SECOND).await;
    world.assert_unavailable(&paying, "old").await;
    world.assert_passes(&reading, "kept").await;
    world.kit.recover();
    world.kit.revoke(&paying);
    world.assert_invalid(&paying, Kind::Inactive, "told").await;
}

/// Where nothing is kept, every answer is fresh, however long the call took.
#[tokio::test]
async fn an_answer_of_this_very_request_is_fresh() {
    let class = TokenClass::named("payments").scopes(["pay"]).freshness(SECOND);
    let world = World::built(
        |introspection| introspection.ttl(Duration::ZERO).timeout(10 * SECOND),
        |builder| builder.class(class),
    );
    let token = world.kit.active(world.claims().scope("pay"));
    world.kit.hold();
    let waiting = world.spawn(&token);
    world.kit.called(1).await;
    world.clock.advance(5 * SECOND);
    world.kit.release();
    assert_eq!(waiting.await.unwrap(), None);
    assert_eq!(world.calls(), 1);
}
