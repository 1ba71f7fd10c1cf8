//! How old a list may be, and when it is fetched again.

use std::time::Duration;

use portcullis::check::allow_all;
use portcullis::revocation::{OnStale, SourceState, StatusLists};
use portcullis::testing::Failure;
use portcullis::{Policy, RejectionKind as Kind};

use crate::support::settle;
use crate::world::{HOUR, MINUTE, SECOND, World};

/// TSL-12: a list is fetched again ahead of the end of its `ttl`, and what it says then counts; no
/// request waits for it.
#[tokio::test]
async fn tsl_12_a_list_in_use_is_fetched_ahead() {
    let world = World::new().await;
    assert_eq!(world.kind(0).await, None);
    world.list.set(0, 1);
    world.advance(SECOND * 239).await;
    assert_eq!(world.kind(0).await, None, "four fifths of five minutes are not over");
    assert_eq!(world.list.fetches(), 1);
    world.advance(SECOND * 31).await;
    assert_eq!(world.list.fetches(), 2, "nine tenths are, and nobody asked");
    assert_eq!(world.kind(0).await, Some(Kind::Revoked));
}

/// A list that nobody uses is not fetched for ever; whoever uses it then waits for it once.
#[tokio::test]
async fn a_list_out_of_use_is_let_be() {
    let world = World::new().await;
    assert_eq!(world.kind(0).await, None);
    for _ in 0..50 {
        world.advance(MINUTE).await;
    }
    // Once more for the use that there was.
    let fetches = world.list.fetches();
    assert!(fetches <= 2, "{fetches}");
    world.list.set(0, 1);
    assert_eq!(world.kind(0).await, Some(Kind::Revoked));
    assert_eq!(world.list.fetches(), fetches + 1);
}

/// TSL-15: `ttl` and `exp` are taken within bounds, however short or long.
#[tokio::test]
async fn tsl_15_times_of_a_list_are_bounded() {
    const YEAR: Duration = Duration::from_hours(24 * 365);
    for (name, ttl, expires_in, shortest, longest) in [
        ("ttl of a second", Some(SECOND), None, 11, 14),
        ("ttl of ten years", Some(YEAR * 10), None, 34_500, 38_900),
        ("exp in ten years", None, Some(YEAR * 10), 34_500, 38_900),
        ("exp in an hour", None, Some(HOUR), 2_800, 3_300),
        ("exp before ttl", Some(HOUR), Some(MINUTE), 47, 55),
        ("neither", None, None, 239, 271),
    ] {
        let world = World::new().await;
        world.list.ttl(ttl).expires_at(expires_in.map(|time| world.now().plus(time)));
        assert_eq!(world.kind(0).await, None, "{name}");
        world.advance(SECOND * shortest).await;
        assert_eq!(world.kind(0).await, None, "{name}");
        assert_eq!(world.list.fetches(), 1, "{name}: no earlier than that");
        world.list.expires_at(None);
        world.advance(SECOND * (longest - shortest)).await;
        assert_eq!(world.list.fetches(), 2, "{name}: no later than that");
    }
    let lists = StatusLists::new().min_ttl(MINUTE).max_ttl(2 * MINUTE);
    for (ttl, shortest, longest) in [(SECOND, 47, 55), (HOUR, 95, 109)] {
        let world = World::with(lists.clone()).await;
        world.list.ttl(ttl);
        assert_eq!(world.kind(0).await, None);
        world.advance(SECOND * shortest).await;
        assert_eq!(world.list.fetches(), 1);
        world.advance(SECOND * (longest - shortest)).await;
        assert_eq!(world.list.fetches(), 2);
    }
}

/// TSL-10: a list that has expired says nothing, whatever its `ttl` allows.
#[tokio::test]
async fn tsl_10_an_expired_list_says_nothing() {
    let world = World::new().await;
    world.list.ttl(HOUR).expires_at(world.now().plus(MINUTE)).set(1, 1);
    assert_eq!(world.kind(0).await, None);
    world.list.fail(Failure::Connection);
    world.advance(MINUTE - Duration::from_millis(1)).await;
    assert_eq!(world.kind(0).await, None, "before its end");
    world.advance(Duration::from_millis(1)).await;
    world.assert_unavailable(0, "at its end").await;
    assert_eq!(world.kind(1).await, Some(Kind::Revoked), "what was revoked is");
}

/// TSL-11: a list that was signed too long ago is not taken, and not kept.
#[tokio::test]
async fn tsl_11_a_list_is_not_older_than_allowed() {
    let lists = StatusLists::new().max_age(HOUR);
    let world = World::with(lists.clone()).await;
    world.list.issued_at(world.now().minus(HOUR + SECOND));
    world.assert_unavailable(0, "an hour and a second").await;
    assert!(world.health().last_error.unwrap().contains("lists are at most 3600s old"));

    let world = World::with(lists.clone()).await;
    world.list.issued_at(world.now().minus(HOUR));
    assert_eq!(world.kind(0).await, None, "an hour, which is allowed");
    world.advance(Duration::from_millis(1)).await;
    world.assert_unavailable(0, "and then it is over").await;

    let world = World::with(lists).await;
    world.list.issued_at(world.now().minus(HOUR - MINUTE)).ttl(HOUR);
    assert_eq!(world.kind(0).await, None);
    world.advance(MINUTE + SECOND).await;
    world.assert_unavailable(0, "it is unchanged, and too old now").await;
    let at = world.now();
    world.list.issued_at(at);
    world.advance(MINUTE).await;
    assert_eq!(world.kind(0).await, None);
}

/// An older copy, from a cache that lags behind or from an attacker, takes no revocation back and makes
/// nothing younger, however little older it is; a younger one does.
#[tokio::test]
async fn an_older_list_is_no_answer() {
    for older in [SECOND, MINUTE / 2, HOUR] {
        let world = World::new().await;
        let then = world.now();
        world.list.set(0, 1);
        assert_eq!(world.kind(0).await, Some(Kind::Revoked), "{older:?}");
        world.list.set(0, 0).issued_at(then.minus(older));
        world.advance(SECOND * 280).await;
        assert!(world.list.fetches() >= 2, "{older:?}");
        assert!(world.health().last_error.unwrap().contains("went back"), "{older:?}");
        assert_eq!(world.kind(0).await, Some(Kind::Revoked), "{older:?}");
        assert_eq!(world.kind(1).await, None, "{older:?}: what is held is still fresh");
        world.advance(SECOND * 21).await;
        world.assert_unavailable(1, "five minutes are over, and nothing current was seen").await;
        assert_eq!(world.kind(0).await, Some(Kind::Revoked), "{older:?}");
        world.list.issued_at(then.plus(SECOND));
        world.advance(MINUTE).await;
        assert_eq!((world.kind(0).await, world.kind(1).await), (None, None), "{older:?}");
    }
}

/// TSL-10: what has ended is not followed by what was signed before it, whatever that says of its end.
#[tokio::test]
async fn an_older_list_does_not_follow_one_that_ended() {
    let world = World::new().await;
    let then = world.now();
    world.list.set(0, 1).expires_at(then.plus(MINUTE));
    assert_eq!(world.kind(0).await, Some(Kind::Revoked));
    world.list.set(0, 0).expires_at(None).issued_at(then.minus(SECOND));
    world.advance(MINUTE).await;
    world.assert_unavailable(1, "an older one").await;
    world.advance(HOUR).await;
    world.assert_unavailable(1, "still").await;
    assert_eq!(world.kind(0).await, Some(Kind::Revoked));
    world.list.issued_at(then.plus(SECOND));
    world.advance(MINUTE).await;
    assert_eq!((world.kind(0).await, world.kind(1).await), (None, None));
}

/// Of two lists of the same second nobody knows which is the older: one that revokes is taken, one that
/// takes back is not.
#[tokio::test]
async fn a_list_of_the_same_second_takes_nothing_back() {
    for (was, is, taken) in
        [(0, 0, true), (0, 1, true), (1, 1, true), (1, 2, true), (1, 0, false), (2, 0, false)]
    {
        let name = format!("{was} {is}");
        let world = World::new().await;
        world.list.resize(2, 1_024).set(3, 1).set(0, was).issued_at(world.now());
        let before = world.kind(0).await;
        world.list.set(0, is).set(4, 1);
        world.advance(SECOND * 280).await;
        assert_eq!(world.health().failed == 0, taken, "{name}");
        assert_eq!(world.kind(4).await, taken.then_some(Kind::Revoked), "{name}");
        if taken {
            let wanted = [None, Some(Kind::Revoked), Some(Kind::Suspended)][usize::from(is)];
            assert_eq!(world.kind(0).await, wanted, "{name}");
        } else {
            assert_eq!(world.kind(0).await, before, "{name}");
            world.advance(SECOND * 21).await;
            world.assert_unavailable(1, "it made nothing younger").await;
        }
        world.list.set(0, 0).issued_at(world.now());
        world.advance(SECOND * 301).await;
        assert_eq!(world.kind(0).await, None, "{name}: a second later is later");
    }
}

/// A list that stands still is fresh as long as nothing bounds it: its `exp`, or `max_age`.
#[tokio::test]
async fn a_frozen_list_ends_with_its_bound() {
    for (lists, exp, ends) in [
        (StatusLists::new(), None, false),
        (StatusLists::new().max_age(HOUR), None, true),
        (StatusLists::new(), Some(HOUR), true),
    ] {
        let world = World::with(lists).await;
        let then = world.now();
        world.list.issued_at(then).expires_at(exp.map(|time| then.plus(time)));
        for _ in 0..60 {
            assert_eq!(world.kind(0).await, None);
            world.advance(MINUTE).await;
        }
        world.advance(SECOND).await;
        let unavailable = ends.then_some(Kind::RevocationUnavailable);
        assert_eq!(world.kind(0).await, unavailable, "{exp:?}");
    }
}

/// Attack 41, TSL-19: in an outage a list counts as long as it may, then 503, never a yes and never a
/// bad token; the server is not stormed; and it is over when the list is back.
#[tokio::test]
async fn attack_41_an_outage_is_no_yes() {
    for failure in [
        Failure::Connection,
        Failure::Status(http::StatusCode::INTERNAL_SERVER_ERROR),
        Failure::Body(b"<html>".to_vec()),
        Failure::Silence,
    ] {
        let world = World::new().await;
        world.list.set(1, 1);
        assert_eq!(world.kind(0).await, None);
        world.list.fail(failure.clone());
        for _ in 0..30 {
            world.advance(SECOND * 10).await;
            assert_eq!(world.kind(0).await, None, "{failure:?}: five minutes are not over");
            assert_eq!(world.kind(1).await, Some(Kind::Revoked), "{failure:?}");
        }
        assert_eq!(world.health().state, SourceState::Fresh);
        world.advance(Duration::from_millis(1)).await;
        assert_eq!(world.health().state, SourceState::Stale);
        let before = world.list.fetches();
        for _ in 0..60 {
            world.advance(SECOND * 10).await;
            let pending = tokio::spawn(send(&world, 0));
            settle().await;
            world.advance(SECOND * 2).await;
            let (status, kind) = pending.await.unwrap();
            assert_eq!((status, kind), (503, Some(Kind::RevocationUnavailable)), "{failure:?}");
            assert_eq!(world.kind(1).await, Some(Kind::Revoked), "{failure:?}");
        }
        let tried = world.list.fetches() - before;
        assert!((5..=25).contains(&tried), "{failure:?}: {tried} in twelve minutes");
        let health = world.health();
        assert!(health.last_error.is_some() && health.failed > 5);

        world.list.recover();
        world.advance(MINUTE).await;
        world.advance(MINUTE).await;
        assert_eq!(world.kind(0).await, None, "{failure:?}: it is back");
        assert_eq!(world.health().last_error, None);
    }
}

/// A request in a task of its own.
fn send(world: &World, index: u64) -> impl Future<Output = (u16, Option<Kind>)> + Send + 'static {
    let (layer, token) = (world.api.layer(), world.token(index).sign());
    async move {
        let sent = crate::support::send(&layer, crate::support::bearer(&token)).await;
        (sent.response.status().as_u16(), sent.kind())
    }
}

/// Decision 14: a chosen stale policy lets a list count longer, within its bound.
#[tokio::test]
async fn a_stale_policy_has_a_bound() {
    let world = World::with(StatusLists::new().on_stale(OnStale::AllowFor(HOUR))).await;
    world.list.set(1, 1);
    assert_eq!(world.kind(0).await, None);
    world.list.fail(Failure::Connection);
    for _ in 0..60 {
        world.advance(MINUTE).await;
        assert_eq!(world.kind(0).await, None);
        assert_eq!(world.kind(1).await, Some(Kind::Revoked));
    }
    world.advance(Duration::from_millis(1)).await;
    world.assert_unavailable(0, "an hour is over").await;
    // The policy of a route says otherwise.
    let strict = || Policy::new(allow_all()).on_stale(OnStale::Deny);
    world.list.recover();
    world.advance(MINUTE).await;
    assert_eq!(world.kind_by(strict(), 0).await, None);
    world.list.fail(Failure::Connection);
    world.advance(MINUTE * 6).await;
    assert_eq!(world.kind_by(strict(), 0).await, Some(Kind::RevocationUnavailable));
    assert_eq!(world.kind(0).await, None);
}

/// A list out of use is fetched again as soon as it is used, also where a stale one counts.
#[tokio::test]
async fn a_stale_list_that_counts_is_fetched_again() {
    let world = World::with(StatusLists::new().on_stale(OnStale::AllowFor(24 * HOUR))).await;
    assert_eq!(world.kind(0).await, None);
    for _ in 0..20 {
        world.advance(MINUTE).await;
    }
    world.list.set(0, 1);
    let fetches = world.list.fetches();
    assert_eq!(world.kind(0).await, None, "nobody waits");
    world.advance(Duration::ZERO).await;
    assert_eq!(world.list.fetches(), fetches + 1);
    assert_eq!(world.kind(0).await, Some(Kind::Revoked));
}

/// Whoever says that an outage switches revocation off, gets that; and not before there is one.
#[tokio::test]
async fn unbounded_is_insecure_and_does_what_it_says() {
    let world = World::with(StatusLists::new().on_stale(OnStale::InsecureUnbounded)).await;
    world.list.set(1, 1);
    assert_eq!(world.kind(1).await, Some(Kind::Revoked), "there is no outage");
    let world = World::with(StatusLists::new().on_stale(OnStale::InsecureUnbounded)).await;
    world.list.set(1, 1).fail(Failure::Connection);
    assert_eq!(world.kind(1).await, None, "nothing was ever known");
    world.list.recover();
    world.advance(SECOND).await;
    assert_eq!(world.kind(1).await, Some(Kind::Revoked), "it was tried again");
    world.list.fail(Failure::Connection);
    world.advance(24 * HOUR).await;
    assert_eq!((world.kind(0).await, world.kind(1).await), (None, Some(Kind::Revoked)));
}

/// A route that wants to know more freshly gets it: a list that is too old for it is fetched, and from
/// then on as often as the route needs.
#[tokio::test]
async fn a_route_may_want_a_younger_list() {
    let fresh = || Policy::new(allow_all()).freshness(SECOND * 30);
    let world = World::new().await;
    assert_eq!(world.kind(0).await, None);
    world.list.set(0, 1);
    world.advance(MINUTE).await;
    assert_eq!(world.kind(0).await, None);
    assert_eq!(world.kind_by(fresh(), 0).await, Some(Kind::Revoked));
    assert_eq!(world.list.fetches(), 2);

    world.advance(SECOND * 28).await;
    assert_eq!(world.list.fetches(), 3, "ahead of half a minute");
    world.list.fail(Failure::Connection);
    world.advance(SECOND * 31).await;
    assert_eq!(world.kind_by(fresh(), 1).await, Some(Kind::RevocationUnavailable));
    assert_eq!(world.kind(1).await, None, "others want no more than before");
}

/// A wish fades: one look by a route that wants a list of this second does not have it fetched every
/// second for ever; and as long as the route is used, it has what it wants and waits for nothing.
#[tokio::test]
async fn a_wish_fades_when_nobody_has_it() {
    let fresh = || Policy::new(allow_all()).freshness(SECOND * 10);
    let world = World::new().await;
    for _ in 0..60 {
        assert_eq!(world.kind_by(fresh(), 0).await, None);
        let before = world.list.fetches();
        world.advance(SECOND * 5).await;
        assert!(world.health().age.unwrap() < SECOND * 10);
        assert_eq!(world.kind_by(fresh(), 0).await, None);
        assert!(world.list.fetches() <= before + 1);
    }
    let before = world.list.fetches();
    assert!((25..=61).contains(&before), "{before}");
    for _ in 0..1_200 {
        world.advance(SECOND).await;
        assert_eq!(world.kind(0).await, None);
    }
    // After 10, 20, 40, 80, 160 seconds, and then as often as ever.
    let fetches = world.list.fetches() - before;
    assert!((6..=12).contains(&fetches), "{fetches} in twenty minutes");
}

/// A route that begins to want a younger list has it fetched ahead from then on, and not only once what is
/// held is too old for it.
#[tokio::test]
async fn a_wish_counts_before_anybody_has_to_wait() {
    let fresh = || Policy::new(allow_all()).freshness(SECOND * 30);
    let world = World::new().await;
    assert_eq!(world.kind(0).await, None);
    world.advance(SECOND * 5).await;
    assert_eq!(world.kind_by(fresh(), 0).await, None);
    world.advance(SECOND * 18).await;
    assert_eq!(world.list.fetches(), 1, "four fifths of half a minute are not over");
    world.advance(SECOND * 5).await;
    assert_eq!(world.list.fetches(), 2, "nine tenths are");
}

/// What a route wanted since a list was fetched last counts for the next fetch too, and after that no longer
/// unless it is wanted again.
#[tokio::test]
async fn a_wish_counts_for_the_next_fetch() {
    let fresh = || Policy::new(allow_all()).freshness(SECOND * 10);
    let world = World::new().await;
    assert_eq!(world.kind_by(fresh(), 0).await, None);
    for (fetches, name) in [
        (2, "ahead of ten seconds"),
        (3, "again: it was wanted before the last"),
        (3, "nobody wanted it since, and twenty seconds will do"),
        (4, "ahead of those"),
    ] {
        world.advance(SECOND * 9).await;
        assert_eq!(world.list.fetches(), fetches, "{name}");
        // It is used, by a route without a wish.
        assert_eq!(world.kind(0).await, None, "{name}");
    }
}

/// TSL-15: a list is not fetched again within a second of the last fetch, and then it is.
#[tokio::test]
async fn a_list_is_fetched_once_a_second_at_most() {
    let world = World::with(StatusLists::new().min_ttl(SECOND).max_ttl(SECOND)).await;
    assert_eq!(world.kind(0).await, None);
    for fetches in 1..4 {
        world.advance(SECOND - Duration::from_millis(1)).await;
        assert_eq!(world.kind(0).await, None);
        assert_eq!(world.list.fetches(), fetches);
        world.advance(Duration::from_millis(1)).await;
        assert_eq!(world.list.fetches(), fetches + 1);
    }
}

/// A list that cannot be had is tried again within a minute after it was last asked for, and then let be.
#[tokio::test]
async fn a_list_that_never_came_is_given_up() {
    for (later, fetches) in [(Duration::ZERO, 6), (Duration::from_millis(1), 7)] {
        let world = World::new().await;
        world.list.fail(Failure::Connection);
        world.assert_unavailable(0, "at once").await;
        world.advance(SECOND).await;
        world.advance(SECOND * 2).await;
        assert_eq!(world.list.fetches(), 3, "after one second, and two");
        world.advance(later).await;
        world.assert_unavailable(0, "for the last time").await;
        world.advance(SECOND * 4 - later).await;
        for backoff in [8, 16] {
            world.advance(SECOND * backoff).await;
        }
        assert_eq!(world.list.fetches(), 6, "after four, eight, sixteen");
        world.advance(SECOND * 32).await;
        assert_eq!(world.list.fetches(), fetches, "a minute after {later:?}");
    }
}
