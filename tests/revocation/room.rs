//! What becomes of records when there is no room.

use std::time::Duration;

use portcullis::RejectionKind as Kind;
use portcullis::revocation::{
    ApplyError, Batch, Claims, Effect, Hold, Record, Revocation, RevokeError, Target, WhenFull,
};
use portcullis::testing::{ManualClock, TestIssuer};
use portcullis::time::Clock as _;

use crate::interleavings::opened;
use crate::source::{Directory, MINUTE, World, ago};
use crate::support::{ISSUER, RESOURCE, builder, present};

fn subject(name: &str, world: &World, seconds: u64) -> Record {
    Record::matching(ISSUER, Claims::subject(name), ago(world, seconds))
}

/// When there is no room nothing that matters is dropped, and nothing is acknowledged; the source grows
/// stale and says why. What is known already, and what takes back, always fits.
#[tokio::test]
async fn without_room_nothing_is_taken_and_nothing_is_lost() {
    let world = World::with(|revocation| revocation.max_records(3), |server| server).await;
    let handle = world.hand.handle().await;
    let now = world.now();
    let known = [Record::token(ISSUER, "t-1", now), Record::token(ISSUER, "t-2", now)];
    world.hand.says(known.clone()).await;
    let many = [subject("ann", &world, 10), subject("bob", &world, 10)];
    let error = handle.apply(Batch::of(many).synchronised(handle.clock().moment())).await;
    assert!(matches!(error, Err(ApplyError::Full { records: 2, most: 3, .. })), "{error:?}");
    let ann = world.token().subject("ann").issued_at(ago(&world, 20));
    assert_eq!(world.kind(&ann).await, None, "all of it or nothing");
    for jti in ["t-1", "t-2"] {
        let token = world.token().claim("jti", jti);
        assert_eq!(world.kind(&token).await, Some(Kind::Revoked), "{jti}");
    }
    let health = &world.api.revocations().health()[1];
    assert!(health.last_error.as_deref().is_some_and(|error| error.contains("no room")));
    world.clock.advance(MINUTE + Duration::from_secs(1));
    let kind = world.kind(&world.token()).await;
    assert_eq!(kind, Some(Kind::RevocationUnavailable), "what did not fit grows stale");

    world.hand.says(known.clone()).await;
    world.hand.says([subject("ann", &world, 80)]).await;
    world.hand.says([subject("ann", &world, 70)]).await;
    assert_eq!(world.api.revocations().records(), 3);
    let full = handle.apply(Batch::of([subject("bob", &world, 10)])).await;
    assert!(full.is_err());
    world.hand.says([known[0].lifted(world.now())]).await;
    world.hand.synchronised().await;
    assert_eq!(world.kind(&world.token().claim("jti", "t-1")).await, None, "what takes back fits");
    assert!(handle.apply(Batch::of([subject("bob", &world, 10)])).await.is_err());
    // When two hours have passed, twice what a token may live, there is room again.
    let mut tries = 0;
    while handle.apply(Batch::of([subject("bob", &world, 10)])).await.is_err() {
        tries += 1;
        assert!(tries < 100_000, "there is room again");
        world.clock.advance(MINUTE / 2);
        crate::support::settle().await;
        std::thread::yield_now();
    }
    world.hand.synchronised().await;
    let bob = world.token().subject("bob").issued_at(ago(&world, 20));
    assert_eq!(world.kind(&bob).await, Some(Kind::Revoked));
}

/// Folding is a named choice: it makes room by refusing more, and never less.
#[tokio::test]
async fn folding_refuses_more_and_never_less() {
    let fold = |revocation: Revocation| revocation.max_records(10).when_full(WhenFull::FoldCutOffs);
    let world = World::with(fold, |server| server).await;
    let held = Record::new(
        ISSUER,
        Target::Claims(Claims::subject("held")),
        Effect::Hold(Hold::Account),
        ago(&world, 900),
    );
    world.hand.says([held, Record::token(ISSUER, "t-1", world.now())]).await;
    for number in 0..40_u64 {
        world.hand.says([subject(&format!("user-{number}"), &world, 800 - number)]).await;
        assert!(world.api.revocations().records() <= 10);
    }
    for number in 0..40_u64 {
        let at = ago(&world, 800 - number);
        let token = world.token().subject(&format!("user-{number}")).issued_at(at);
        assert_eq!(world.kind(&token).await, Some(Kind::Revoked), "user-{number}");
    }
    let held = world.token().subject("held").issued_at(world.now());
    assert_eq!(world.kind(&held).await, Some(Kind::Suspended), "a state is never folded");
    let revoked = world.token().claim("jti", "t-1");
    assert_eq!(world.kind(&revoked).await, Some(Kind::Revoked), "nor is a token");
    let bystander = world.token().subject("nobody").issued_at(ago(&world, 790));
    assert_eq!(world.kind(&bystander).await, Some(Kind::Revoked), "which is its price");
    let young = world.token().subject("nobody").issued_at(world.now());
    assert_eq!(world.kind(&young).await, None);
}

/// What folding costs is not paid where it makes no room: one cut-off of an issuer becomes another one.
#[tokio::test]
async fn folding_ends_where_it_makes_no_room() {
    let clock = ManualClock::new();
    let names = [ISSUER, "https://other.example"];
    let issuers = names.map(|name| TestIssuer::new(name, &clock));
    let known = Revocation::new().max_records(2).when_full(WhenFull::FoldCutOffs);
    let [one, other] = &issuers;
    let server = builder(&clock).issuer(one.fixed_keys()).issuer(other.fixed_keys());
    let api = server.revocation(known).build().unwrap();
    let at = clock.now();
    let ann = names.map(|issuer| Record::matching(issuer, Claims::subject("ann"), at));
    api.revocations().revoke_all(ann).await.unwrap();
    let bob = Record::matching(ISSUER, Claims::subject("bob"), at);
    let full = api.revocations().revoke(bob).await;
    assert!(
        matches!(full, Err(RevokeError::Apply(ApplyError::Full { records: 2, most: 2, .. }))),
        "{full:?}"
    );
    let mut left_alone = 0;
    for issuer in &issuers {
        let token = |subject: &str| issuer.token(RESOURCE).subject(subject).issued_at(at).sign();
        let refused = present(&api, &token("ann")).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Revoked, "what was said counts");
        left_alone += usize::from(present(&api, &token("bystander")).await.is_ok());
    }
    assert_eq!(left_alone, 2, "nobody is refused for nothing");
}

/// After a restart with as much room as there are records nothing is folded; with less it is.
#[tokio::test]
async fn a_restart_with_just_enough_room_folds_nothing() {
    let directory = Directory::new();
    let path = directory.path().join("revocations");
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let start = |records: usize| {
        let known = Revocation::new().journal(opened(&path)).max_records(records);
        let known = known.when_full(WhenFull::FoldCutOffs);
        builder(&clock).issuer(issuer.fixed_keys()).revocation(known).build().unwrap()
    };
    let at = clock.now();
    let token = |subject: &str| issuer.token(RESOURCE).subject(subject).issued_at(at).sign();
    let api = start(4);
    for user in ["ann", "bob", "cyd", "dan"] {
        let record = Record::matching(ISSUER, Claims::subject(user), at);
        api.revocations().revoke(record).await.unwrap();
    }
    drop(api);
    for (room, passes) in [(4, true), (3, false)] {
        let api = start(room);
        assert_eq!(api.revocations().records() == 4, passes, "{room}");
        assert!(present(&api, &token("ann")).await.is_err(), "{room}");
        assert_eq!(present(&api, &token("bystander")).await.is_ok(), passes, "{room}");
    }
}
