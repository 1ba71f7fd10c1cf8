//! The layer, the guard and `verify_optional` give the same; checks that ask somebody come after.

use std::time::Duration;

use http::Request;
use portcullis::check::{Unavailable, allow_all, scope};
use portcullis::testing::Failure;
use portcullis::{Policy, RejectionKind as Kind};

use crate::support::{anonymous, bearer, send};
use crate::world::World;

type Shown = Result<Option<String>, Kind>;

/// What each way of asking says of this request, by a policy without and with optional credentials.
async fn everywhere(
    world: &World,
    policy: &Policy,
    request: &dyn Fn() -> Request<String>,
) -> Vec<Shown> {
    let shown = |access: &portcullis::Access| format!("{access:?}");
    let mut all = Vec::new();
    let sent = send(&world.api.protect(policy.clone()), request()).await;
    all.push(match sent.kind() {
        None => Ok(sent.access().map(shown)),
        Some(kind) => Err(kind),
    });
    let guard = world.api.guard(policy.clone()).unwrap();
    let (parts, _) = request().into_parts();
    let optional = guard.verify_optional(&parts).await;
    all.push(optional.map(|access| access.as_ref().map(shown)).map_err(|no| no.kind()));
    let verified = guard.verify(&parts).await;
    all.push(verified.map(|access| Some(shown(&access))).map_err(|no| no.kind()));
    all
}

/// INT-13: it does not matter who asks.
#[tokio::test]
async fn layer_guard_and_verify_optional_say_the_same() {
    let world = World::new();
    let good = world.kit.active(world.claims().scope("a"));
    let narrow = world.token();
    let malformed = world.token();
    world.kit.set_raw(&malformed, "{}");
    for optional in [false, true] {
        let policy = match optional {
            false => Policy::new(scope("a")),
            true => Policy::new(scope("a")).optional(),
        };
        for (name, token, wants) in [
            ("good", &*good, None),
            ("narrow", &*narrow, Some(Kind::InsufficientScope)),
            ("unknown", "unknown", Some(Kind::Inactive)),
            ("malformed", &*malformed, Some(Kind::IntrospectionUnavailable)),
        ] {
            let all = everywhere(&world, &policy, &|| bearer(token)).await;
            assert!(all.iter().all(|shown| *shown == all[0]), "{name}: {all:?}");
            assert_eq!(all[0].as_ref().err().copied(), wants, "{name}");
            assert_eq!(all[0].is_ok(), matches!(&all[0], Ok(Some(_))), "{name}");
        }
        let [layer, checked, verified] =
            <[Shown; 3]>::try_from(everywhere(&world, &policy, &anonymous).await).unwrap();
        assert_eq!(verified, Err(Kind::NoCredentials));
        let wanted = if optional { Ok(None) } else { Err(Kind::NoCredentials) };
        assert_eq!((&layer, &checked), (&wanted, &wanted));
    }
}

/// Optional credentials are not optional truth: a bad token, or an outage, is no anonymous request.
#[tokio::test]
async fn optional_credentials_make_nobody_anonymous() {
    let world = World::new();
    let layer = world.api.protect(Policy::new(allow_all()).optional());
    let token = world.token();
    let passed = send(&layer, anonymous()).await;
    assert!(passed.passed() && passed.access().is_none());
    assert_eq!(world.calls(), 0, "nobody is asked about nothing");
    assert!(send(&layer, bearer(&token)).await.access().is_some());
    assert_eq!(send(&layer, bearer("unknown")).await.kind(), Some(Kind::Inactive));
    world.kit.fail(Failure::Connection);
    let sent = send(&layer, bearer("another")).await;
    assert_eq!(sent.kind(), Some(Kind::IntrospectionUnavailable));
    assert!(send(&layer, anonymous()).await.passed());
}

/// A request that waits for the endpoint holds up no other; each gets the answer about its own token.
#[tokio::test]
async fn nobody_waits_for_the_token_of_another() {
    let world = World::new();
    let known = world.token();
    world.assert_passes(&known, "asked").await;
    world.kit.hold();
    let slow = world.spawn(&world.kit.active(world.claims().subject("slow")));
    world.kit.called(2).await;
    world.assert_passes(&known, "kept").await;
    assert!(!slow.is_finished());
    world.kit.release();
    assert_eq!(slow.await.unwrap(), None);
}

/// Checks that ask somebody come after the answer, and time that they took is looked at again.
#[tokio::test]
async fn a_check_that_waits_comes_after_the_answer() {
    let world = World::new();
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&asked);
    let clock = world.clock.clone();
    let policy = Policy::new(allow_all()).async_timeout(Duration::from_mins(1)).and_async(
        move |_: portcullis::check::CheckRequest| {
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            clock.advance(Duration::from_secs(20));
            async { Ok(()) }
        },
    );
    let _ = Unavailable::new("unused");
    let end = world.now().plus(Duration::from_secs(25));
    let token = world.kit.active(world.claims().expires_at(end));
    assert_eq!(world.kind_by(policy.clone(), &token).await, None);
    assert_eq!(world.kind_by(policy.clone(), "unknown").await, Some(Kind::Inactive));
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 1);
    // It ends while the check is asked.
    assert_eq!(world.kind_by(policy, &token).await, Some(Kind::Expired));
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 2);
}
