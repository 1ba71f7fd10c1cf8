//! Routes and classes that want to know more freshly than an answer is kept.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use portcullis::check::{CheckError, CheckRequest, allow_all};
use portcullis::introspection::Introspection;
use portcullis::testing::Failure;
use portcullis::{Binding, Issuer, Policy, RejectionKind as Kind, ResourceServer, TokenClass};
use tokio::task::JoinHandle;
use tower::{Layer as _, service_fn};

use crate::support::{ISSUER, RESOURCE, bearer, send, settle};
use crate::world::{Parts, SECOND, World, assert_is_unavailable};

fn fresh(seconds: u64) -> Policy {
    Policy::new(allow_all()).freshness(Duration::from_secs(seconds))
}

/// Starts a request by this policy, which runs in a task of its own.
fn spawn_by(world: &World, policy: Policy, token: &str) -> JoinHandle<Option<Kind>> {
    let (layer, request) = (world.api.protect(policy), bearer(token));
    tokio::spawn(async move { send(&layer, request).await.kind() })
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

/// The default class wants it of every token, unless another that describes it says how much.
#[tokio::test]
async fn the_default_class_asks_again_where_the_answer_is_older() {
    let parts = Parts::new();
    let class = |freshness: Option<Duration>| {
        let class = TokenClass::default_at_most(Duration::from_hours(1));
        freshness.into_iter().fold(class, TokenClass::freshness)
    };
    for (name, default, other, calls) in [
        ("none wants it", None, None, [0, 0]),
        ("the default", Some(5 * SECOND), None, [1, 1]),
        ("another as well", Some(5 * SECOND), Some(20 * SECOND), [0, 1]),
        ("another alone", None, Some(5 * SECOND), [1, 0]),
    ] {
        let builder = ResourceServer::builder(RESOURCE)
            .clock(parts.clock.clone())
            .binding(Binding::WhereBound)
            .class(class(default))
            .issuer(Issuer::opaque(ISSUER))
            .transport(parts.network.clone())
            .introspection(parts.introspection());
        let payments =
            TokenClass::named("payments").scopes(["pay"]).max_age(Duration::from_hours(1));
        let payments = other.into_iter().fold(payments, TokenClass::freshness);
        let api = builder.class(payments).build().unwrap();
        let layer = api.layer();
        let claims = || parts.issuer.token(RESOURCE);
        let tokens = ["pay", "read"].map(|scope| parts.kit.active(claims().scope(scope)));
        for token in &tokens {
            assert!(send(&layer, bearer(token)).await.passed(), "{name}");
        }
        parts.clock.advance(6 * SECOND);
        for (token, calls) in tokens.iter().zip(calls) {
            let before = parts.kit.calls();
            assert!(send(&layer, bearer(token)).await.passed(), "{name}");
            assert_eq!(parts.kit.calls() - before, calls, "{name}: {token}");
        }
    }
}

/// An answer is as old as its question: also where it was asked for this very request, which waited for it.
#[tokio::test]
async fn an_answer_of_this_very_request_is_fresh() {
    let class = TokenClass::named("payments").scopes(["pay"]).freshness(SECOND);
    let world = World::built(
        |introspection| introspection.ttl(Duration::ZERO).timeout(10 * SECOND),
        |builder| builder.class(class),
    );
    let paying = world.kit.active(world.claims().scope("pay"));
    let reading = world.kit.active(world.claims().scope("read"));
    let mut calls = 0;
    for (name, token, seconds, wants) in [
        ("in time", &paying, 1, None),
        ("too old", &paying, 2, Some(Kind::IntrospectionUnavailable)),
        ("no wish", &reading, 2, None),
    ] {
        world.kit.hold();
        let waiting = world.spawn(token);
        calls += 1;
        world.kit.called(calls).await;
        settle().await;
        world.clock.advance(seconds * SECOND);
        world.kit.release();
        assert_eq!(waiting.await.unwrap(), wants, "{name}");
        assert_eq!(world.calls(), calls, "{name}: nobody asks twice for one request");
    }
}

/// A route with a wish joins no call that began longer ago than it wants to know; without one it joins any.
#[tokio::test]
async fn a_call_that_began_too_long_ago_is_not_joined() {
    let world = World::with(|introspection| introspection.timeout(10 * SECOND));
    let token = world.token();
    world.kit.hold();
    let mut waiting = vec![world.spawn(&token)];
    world.kit.called(1).await;
    settle().await;
    world.advance(3 * SECOND).await;
    for (name, policy, calls) in [
        ("no wish", Policy::new(allow_all()), 1),
        ("young enough", fresh(3), 1),
        ("too old", fresh(2), 2),
        ("the new one", fresh(2), 2),
        ("no wish", Policy::new(allow_all()), 2),
    ] {
        waiting.push(spawn_by(&world, policy, &token));
        settle().await;
        assert_eq!(world.calls(), calls, "{name}");
    }
    world.kit.release();
    for request in waiting {
        assert_eq!(request.await.unwrap(), None);
    }
    // The younger answer was kept.
    assert_eq!(world.kind_by(fresh(1), &token).await, None);
    assert_eq!((world.calls(), world.health().under_way), (2, 0));
}

/// A call that was asked again meanwhile leaves nothing behind: what it was told is older.
#[tokio::test]
async fn an_overtaken_call_changes_nothing() {
    let world = World::with(|introspection| introspection.timeout(10 * SECOND));
    let token = world.token();
    world.kit.hold_answers();
    let first = world.spawn(&token);
    world.kit.called(1).await;
    settle().await;
    world.advance(3 * SECOND).await;
    world.kit.revoke(&token);
    let second = spawn_by(&world, fresh(2), &token);
    world.kit.called(2).await;
    settle().await;
    world.kit.release();
    assert_eq!(first.await.unwrap(), None, "that is what was known when it was asked");
    assert_eq!(second.await.unwrap(), Some(Kind::Inactive));
    world.assert_invalid(&token, Kind::Inactive, "known by now").await;
    assert_eq!((world.calls(), world.health().kept), (2, 0));
}

async fn yes(_: CheckRequest) -> Result<(), CheckError> {
    Ok(())
}

type Change = fn(Introspection) -> Introspection;

/// How long an answer counts for a request that waits for something else: `ttl`, or as long as a call may
/// take, whichever is longer; and never longer than the route wants.
const COUNTS: [(&str, Change, Option<u64>, u64); 4] = [
    ("as kept", |introspection| introspection.ttl(SECOND.saturating_mul(5)), None, 5),
    ("nothing is kept", |introspection| introspection.ttl(Duration::ZERO), None, 2),
    ("said so", |one| one.ttl(SECOND).timeout(SECOND.saturating_mul(4)), None, 4),
    ("by the route", |introspection| introspection, Some(3), 3),
];

fn policy(freshness: Option<u64>) -> Policy {
    let policy = Policy::new(allow_all()).async_timeout(Duration::from_mins(1));
    match freshness {
        None => policy,
        Some(seconds) => policy.freshness(Duration::from_secs(seconds)),
    }
}

/// AUTH-32: an answer grows older while an async check is asked. When it is too old it says nothing any
/// more: 503.
#[tokio::test]
async fn an_answer_grows_older_while_a_check_is_asked() {
    for (name, change, freshness, seconds) in COUNTS {
        for (late, passes) in [(Duration::ZERO, true), (Duration::from_millis(1), false)] {
            let world = World::with(change);
            let clock = world.clock.clone();
            let wait = Duration::from_secs(seconds) + late;
            let slow = move |_: CheckRequest| {
                let clock = clock.clone();
                async move {
                    clock.advance(wait);
                    Ok(())
                }
            };
            let layer = world.api.protect(policy(freshness).and_async(slow));
            let sent = send(&layer, bearer(&world.token())).await;
            match passes {
                true => assert_eq!(sent.kind(), None, "{name}"),
                false => assert_is_unavailable(&sent, name),
            }
            assert_eq!(world.calls(), 1, "{name}");
        }
    }
}

/// The same while the inner service is busy.
#[tokio::test]
async fn an_answer_grows_older_while_the_inner_service_is_busy() {
    for (name, change, freshness, seconds) in COUNTS {
        for (late, status) in [(Duration::ZERO, 200), (Duration::from_millis(1), 503)] {
            let world = World::with(change);
            let places = Arc::new(tokio::sync::Semaphore::new(1));
            let busy = Arc::clone(&places).acquire_owned().await.unwrap();
            let inner = service_fn(async |_: Request<String>| {
                Ok::<_, Infallible>(Response::new("inner".to_owned()))
            });
            let limited = tower::limit::ConcurrencyLimit::with_semaphore(inner, places);
            let mut service = world.api.protect(policy(freshness).and_async(yes)).layer(limited);
            let request = bearer(&world.token());
            let task =
                tokio::spawn(
                    async move { tower::Service::call(&mut service, request).await.unwrap() },
                );
            settle().await;
            world.clock.advance(Duration::from_secs(seconds) + late);
            drop(busy);
            assert_eq!(task.await.unwrap().status(), status, "{name}");
        }
    }
}

/// Without a source of revocation nothing is known of a JWT that is read here: where fresh knowledge is wanted,
/// by the route or by its class, that is 503. One that is asked about has an answer.
#[tokio::test]
async fn a_jwt_that_is_read_here_has_no_fresh_knowledge() {
    let class = || TokenClass::named("payments").scopes(["pay"]).freshness(5 * SECOND);
    let build = |change: Change| {
        let parts = Parts::new();
        let builder = parts.builder_with(parts.issuer.fixed_keys()).class(class());
        let builder = builder.introspection(change(parts.introspection()));
        parts.build(builder)
    };
    let (reading, asking) = (build(|introspection| introspection), build(Introspection::jwts));
    for (world, wants) in [(&reading, Some(Kind::RevocationUnavailable)), (&asking, None)] {
        let known = |scope: &str| {
            let claims = world.claims().scope(scope);
            let token = claims.sign();
            world.kit.active_as(&token, claims);
            token
        };
        let (paying, other) = (known("pay"), known("read"));
        world.assert_passes(&other, "no wish").await;
        assert_eq!(world.kind_by(fresh(5), &other).await, wants, "by the route");
        assert_eq!(world.kind(&paying).await, wants, "by the class");
        let opaque = world.kit.active(world.claims().scope("pay"));
        assert_eq!(world.kind_by(fresh(5), &opaque).await, None, "an answer is fresh");
    }
    let sent = send(&reading.api.protect(fresh(5)), bearer(&reading.claims().sign())).await;
    assert_eq!(sent.response.status(), 503);
    assert!(sent.response.headers().contains_key("retry-after"));
}
