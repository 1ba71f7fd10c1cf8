//! How old what is known may be, and what becomes of requests when it is older.

use std::time::Duration;

use http::header::RETRY_AFTER;
use portcullis::check::allow_all;
use portcullis::revocation::{OnStale, Record, Revocation, Source, SourceState};
use portcullis::testing::{ManualClock, TestIssuer};
use portcullis::{Policy, RejectionKind as Kind, TokenClass};

use crate::source::{Hand, MINUTE, World, source};
use crate::support::{ISSUER, RESOURCE, bearer, builder, send};

fn policy() -> Policy {
    Policy::new(allow_all())
}

/// Decision 13, attack 41: what is older than its maximum age is 503 with `Retry-After`, never 401 and
/// never a yes; and it is over as soon as the source is back.
#[tokio::test]
async fn attack_41_an_outage_is_no_bad_token_and_no_yes() {
    let world = World::new().await;
    world.clock.advance(MINUTE);
    assert_eq!(world.kind(&world.token()).await, None, "a minute old");
    world.clock.advance(Duration::from_millis(1));
    let sent = send(&world.api.layer(), bearer(&world.token().sign())).await;
    assert_eq!(sent.kind(), Some(Kind::RevocationUnavailable));
    assert_eq!(sent.response.status(), 503);
    assert!(sent.response.headers().contains_key(RETRY_AFTER));
    assert_eq!(sent.error(), None, "nothing is said about the token");
    let health = world.api.revocations().health();
    assert_eq!(health[1].state, SourceState::Stale);
    assert_eq!(health[1].age, Some(MINUTE + Duration::from_millis(1)));

    world.hand.handle().await.failed("still down");
    assert_eq!(world.kind(&world.token()).await, Some(Kind::RevocationUnavailable));
    let health = world.api.revocations().health();
    assert_eq!((health[1].failures, health[1].last_error.as_deref()), (1, Some("still down")));
    world.hand.synchronised().await;
    assert_eq!(world.kind(&world.token()).await, None, "it is back");
    assert_eq!(world.api.revocations().health()[1].last_error, None);
}

/// What is known to be revoked is refused, however old that knowledge is: "no" needs no freshness.
#[tokio::test]
async fn what_is_known_counts_also_when_it_is_old() {
    let world = World::new().await;
    let end = world.now().plus(30 * MINUTE);
    let token = world.token().claim("jti", "t-1").expires_at(end);
    world.hand.says([Record::token(ISSUER, "t-1", world.now())]).await;
    world.clock.advance(10 * MINUTE);
    assert_eq!(world.kind(&token).await, Some(Kind::Revoked));
    assert_eq!(world.kind(&world.token()).await, Some(Kind::RevocationUnavailable));
}

/// Never synchronised is no: whatever the policy says, but for the one that says it is insecure.
#[tokio::test]
async fn of_a_source_that_never_spoke_nothing_is_known() {
    for (on_stale, expected) in [
        (OnStale::Deny, Some(Kind::RevocationUnavailable)),
        (OnStale::AllowFor(Duration::from_hours(100)), Some(Kind::RevocationUnavailable)),
        (OnStale::InsecureUnbounded, None),
    ] {
        let (clock, hand) = (ManualClock::new(), Hand::default());
        let issuer = TestIssuer::new(ISSUER, &clock);
        let known = Revocation::new().source(source(&hand).on_stale(on_stale));
        let api = builder(&clock).issuer(issuer.fixed_keys()).revocation(known).build().unwrap();
        let sent = send(&api.layer(), bearer(&issuer.token(RESOURCE).sign())).await;
        assert_eq!(sent.kind(), expected, "{on_stale:?}");
        let state = api.revocations().health()[1].state;
        let unbounded = on_stale == OnStale::InsecureUnbounded;
        let blind = if unbounded { SourceState::Unbounded } else { SourceState::NeverSynchronised };
        assert_eq!(state, blind);
    }
}

/// Reads may live with what is ten minutes old, payments may not: each `protect` has its own bound, and
/// each row says how old is too old.
#[tokio::test]
async fn each_route_has_its_own_bound() {
    let world = World::with(
        |revocation| revocation,
        |server| {
            server
                .class(TokenClass::named("agents").scopes(["agent"]).freshness(MINUTE / 6))
                .class(TokenClass::named("bots").scopes(["bot"]).freshness(MINUTE / 3))
        },
    )
    .await;
    let reads = || policy().on_stale(OnStale::AllowFor(10 * MINUTE));
    let rows: [(&str, Policy, &str, Duration); 9] = [
        ("the source's own", policy(), "", MINUTE),
        ("reads", reads(), "", 10 * MINUTE),
        ("payments", policy().freshness(MINUTE / 2), "", MINUTE / 2),
        ("a wide wish narrows nothing", policy().freshness(5 * MINUTE), "", MINUTE),
        ("both", reads().freshness(2 * MINUTE), "", 2 * MINUTE),
        (
            "shorter than the source's age",
            policy().on_stale(OnStale::AllowFor(MINUTE / 2)),
            "",
            MINUTE,
        ),
        ("a class", policy(), "agent", MINUTE / 6),
        ("two classes: the strictest", reads(), "agent bot", MINUTE / 6),
        ("class and route", policy().freshness(MINUTE / 4), "bot", MINUTE / 4),
    ];
    for (name, policy, scope, most) in rows {
        world.hand.synchronised().await;
        let token = || world.token().scope(scope);
        world.clock.advance(most);
        assert_eq!(
            world.kind_on(policy.clone(), &token()).await,
            None,
            "{name}: just young enough"
        );
        world.clock.advance(Duration::from_nanos(1));
        let kind = world.kind_on(policy, &token()).await;
        assert_eq!(kind, Some(Kind::RevocationUnavailable), "{name}: a nanosecond too old");
    }
    let forever = policy().on_stale(OnStale::InsecureUnbounded);
    world.clock.advance(Duration::from_mins(50));
    assert_eq!(world.kind_on(forever.clone(), &world.token()).await, None);
    let kind = world.kind_on(forever.freshness(MINUTE), &world.token()).await;
    assert_eq!(
        kind,
        Some(Kind::RevocationUnavailable),
        "freshness is wanted whatever else is said"
    );
}

/// Attack 39: an age is measured by both clocks; a time of day that is set back makes nothing young.
#[tokio::test]
async fn attack_39_a_clock_set_back_makes_nothing_young() {
    let world = World::new().await;
    let start = world.now();
    world.clock.advance(2 * MINUTE);
    world.clock.set(start);
    assert_eq!(world.kind(&world.token()).await, Some(Kind::RevocationUnavailable));
    world.hand.synchronised().await;
    assert_eq!(world.kind(&world.token()).await, None);
    world.clock.set(start.plus(2 * MINUTE));
    assert_eq!(
        world.kind(&world.token()).await,
        Some(Kind::RevocationUnavailable),
        "a machine that slept"
    );
}

/// Only tokens of the issuers that a source speaks for wait for it; where fresh knowledge is wanted and
/// nobody speaks for the issuer, nothing is known.
#[tokio::test]
async fn an_outage_touches_only_the_issuers_of_its_source() {
    const OTHER: &str = "https://other.example";
    let (clock, hand) = (ManualClock::new(), Hand::default());
    let issuers = [TestIssuer::new(ISSUER, &clock), TestIssuer::new(OTHER, &clock)];
    let known = Revocation::new().source(source(&hand));
    let server = builder(&clock).issuer(issuers[0].fixed_keys()).issuer(issuers[1].fixed_keys());
    let api = server.revocation(known).build().unwrap();
    let kind = async |issuer: &TestIssuer, policy: Policy| {
        send(&api.protect(policy), bearer(&issuer.token(RESOURCE).sign())).await.kind()
    };
    assert_eq!(kind(&issuers[0], policy()).await, Some(Kind::RevocationUnavailable));
    assert_eq!(kind(&issuers[1], policy()).await, None);
    let fresh = policy().freshness(MINUTE);
    assert_eq!(kind(&issuers[1], fresh.clone()).await, Some(Kind::RevocationUnavailable));
    hand.synchronised().await;
    assert_eq!(kind(&issuers[0], fresh).await, None);
}

/// Of several sources each has to be young enough.
#[tokio::test]
async fn the_oldest_source_counts() {
    let (clock, hands) = (ManualClock::new(), [Hand::default(), Hand::default()]);
    let issuer = TestIssuer::new(ISSUER, &clock);
    let known = Revocation::new()
        .source(source(&hands[0]))
        .source(Source::own("other", hands[1].clone()).speaks_for([ISSUER]).max_age(3 * MINUTE));
    let api = builder(&clock).issuer(issuer.fixed_keys()).revocation(known).build().unwrap();
    let kind = async || send(&api.layer(), bearer(&issuer.token(RESOURCE).sign())).await.kind();
    kind().await;
    hands[0].synchronised().await;
    assert_eq!(kind().await, Some(Kind::RevocationUnavailable), "one never spoke");
    hands[1].synchronised().await;
    assert_eq!(kind().await, None);
    clock.advance(2 * MINUTE);
    assert_eq!(kind().await, Some(Kind::RevocationUnavailable));
    hands[0].synchronised().await;
    assert_eq!(kind().await, None);
    clock.advance(MINUTE);
    assert_eq!(kind().await, None);
    clock.advance(Duration::from_nanos(1));
    assert_eq!(
        kind().await,
        Some(Kind::RevocationUnavailable),
        "the other is over three minutes old"
    );
}
