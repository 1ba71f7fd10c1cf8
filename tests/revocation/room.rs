//! What becomes of records when there is no room.

use std::time::Duration;

use portcullis::RejectionKind as Kind;
use portcullis::ResourceServer;
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

/// A server of two issuers with room for sixteen, fourteen of them for its source, which speaks for the first.
struct Full {
    world: World,
    other: TestIssuer,
}

const OTHER: &str = "https://other.example";

impl Full {
    /// With cut-offs of so many users of the first issuer, and of so many of the other.
    async fn of(own: u64, others: u64) -> Self {
        let other = TestIssuer::new(OTHER, &ManualClock::new());
        let keys = other.fixed_keys();
        let world = World::with(
            |known| known.max_records(16).when_full(WhenFull::FoldCutOffs),
            |server| server.issuer(keys),
        )
        .await;
        let known = users(&world, ISSUER, 0..own).chain(users(&world, OTHER, 0..others));
        world.api.revocations().revoke_all(known).await.unwrap();
        Self { world, other }
    }

    async fn says(&self, users: impl Iterator<Item = Record>) -> Result<(), ApplyError> {
        let handle = self.world.hand.handle().await;
        let batch = Batch::of(users).synchronised(handle.clock().moment());
        handle.apply(batch).await.map(|_| ())
    }

    /// Whether somebody is refused whom nobody named, of either issuer.
    async fn refuses_bystanders(&self) -> (bool, bool) {
        let at = ago(&self.world, 500);
        let token = |issuer: &TestIssuer| issuer.token(RESOURCE).subject("nobody").issued_at(at);
        let own = self.world.kind(&token(&self.world.issuer)).await;
        let other = self.world.kind(&token(&self.other)).await;
        (own.is_some(), other.is_some())
    }
}

/// Cut-offs of users of this issuer, each a second later than the one before.
fn users(
    world: &World,
    issuer: &str,
    numbers: std::ops::Range<u64>,
) -> impl Iterator<Item = Record> {
    numbers.map(move |number| {
        let claims = Claims::subject(format!("user-{number}"));
        Record::matching(issuer, claims, ago(world, 400 - number))
    })
}

/// Nobody is logged out for what does not fit all the same: what folding can make room for is known before
/// the first cut-off is folded. What a batch says again of what would be folded takes its room again, and what
/// the source does not speak for is not folded for it.
#[tokio::test]
async fn nothing_is_folded_for_what_does_not_fit_then_either() {
    for (name, own, others, said, fits) in [
        ("all of it", 6, 0, 100..113, true),
        ("one too many", 6, 0, 100..114, false),
        ("more than there is room for at all", 6, 0, 100..200, false),
        ("said again", 10, 0, 8..15, true),
        ("said again, and nothing has to go", 10, 0, 0..14, true),
        ("said again, one too many beside one for all", 11, 0, 1..15, false),
        ("beside another issuer", 3, 8, 100..105, true),
        ("beside another issuer, one too many", 3, 8, 100..106, false),
        ("another issuer alone", 0, 12, 100..103, false),
    ] {
        let full = Full::of(own, others).await;
        let world = &full.world;
        assert_eq!(full.refuses_bystanders().await, (false, false), "{name}: before");
        let known = usize::try_from(own + others).unwrap();
        let folds = known + said.clone().filter(|user| *user >= own).count() > 14;
        for _ in 0..3 {
            let told = full.says(users(world, ISSUER, said.clone())).await;
            if fits {
                told.unwrap_or_else(|error| panic!("{name}: {error}"));
            } else {
                assert!(matches!(told, Err(ApplyError::Full { most: 14, .. })), "{name}: {told:?}");
                assert_eq!(world.api.revocations().records(), known, "{name}");
            }
            let refused = full.refuses_bystanders().await;
            assert_eq!(refused, (fits && folds, false), "{name}");
        }
        assert!(world.api.revocations().records() <= 14, "{name}");
        world.hand.synchronised().await;
        let counts = said.filter(|_| fits).chain(0..own);
        for number in counts {
            let token = world.token().subject(&format!("user-{number}"));
            let token = token.issued_at(ago(world, 400 - number));
            assert_eq!(world.kind(&token).await, Some(Kind::Revoked), "{name}: {number}");
        }
    }
}

/// What is said again counts no second time: neither what cannot be folded, nor what is not.
#[tokio::test]
async fn what_is_said_again_takes_no_room_of_its_own() {
    for (new, fits) in [(2, true), (3, false)] {
        let (clock, other) = (ManualClock::new(), TestIssuer::new(OTHER, &ManualClock::new()));
        let issuer = TestIssuer::new(ISSUER, &clock);
        let known = Revocation::new().max_records(6).when_full(WhenFull::FoldCutOffs);
        let server = builder(&clock).issuer(issuer.fixed_keys()).issuer(other.fixed_keys());
        let api = server.revocation(known).build().unwrap();
        let at = clock.now();
        let user = |issuer: &str, name: &str| Record::matching(issuer, Claims::subject(name), at);
        let held = Target::Claims(Claims::subject("held"));
        let again = [
            Record::token(ISSUER, "t-1", at),
            Record::new(ISSUER, held, Effect::Hold(Hold::Account), at),
            user(OTHER, "alone"),
        ];
        let folded = ["ann", "bob", "eve"].map(|name| user(ISSUER, name));
        api.revocations().revoke_all(again.iter().cloned().chain(folded)).await.unwrap();
        assert_eq!(api.revocations().records(), 6);

        let said = again.into_iter().chain((0..new).map(|n| user(ISSUER, &format!("new-{n}"))));
        let told = api.revocations().revoke_all(said).await;
        assert_eq!(told.is_ok(), fits, "{new}: {told:?}");
        assert!(api.revocations().records() <= 6);
    }
}

/// A server with this journal and room for so many records.
fn started(
    path: &std::path::Path,
    clock: &ManualClock,
    issuer: &TestIssuer,
    records: usize,
) -> ResourceServer {
    let known = Revocation::new().journal(opened(path)).max_records(records);
    let known = known.when_full(WhenFull::FoldCutOffs);
    builder(clock).issuer(issuer.fixed_keys()).revocation(known).build().unwrap()
}

/// Nor is anything folded after a restart with less room, where that would not be enough.
#[tokio::test]
async fn a_restart_folds_nothing_where_that_is_not_enough() {
    for (room, folded) in [(4, false), (5, true), (6, false)] {
        let directory = Directory::new();
        let path = directory.path().join("revocations");
        let clock = ManualClock::new();
        let issuer = TestIssuer::new(ISSUER, &clock);
        let start = |records| started(&path, &clock, &issuer, records);
        let at = clock.now();
        let api = start(6);
        let tokens = (0..4).map(|number| Record::token(ISSUER, format!("t-{number}"), at));
        let users = ["ann", "bob"].map(|user| Record::matching(ISSUER, Claims::subject(user), at));
        api.revocations().revoke_all(tokens.chain(users)).await.unwrap();
        drop(api);
        let api = start(room);
        assert_eq!(api.revocations().records(), if folded { 5 } else { 6 }, "{room}");
        let token = |subject: &str| issuer.token(RESOURCE).subject(subject).issued_at(at).sign();
        assert!(present(&api, &token("ann")).await.is_err(), "{room}");
        assert_eq!(present(&api, &token("bystander")).await.is_err(), folded, "{room}");
    }
}

/// After a restart with as much room as there are records nothing is folded; with less it is.
#[tokio::test]
async fn a_restart_with_just_enough_room_folds_nothing() {
    let directory = Directory::new();
    let path = directory.path().join("revocations");
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let start = |records| started(&path, &clock, &issuer, records);
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
