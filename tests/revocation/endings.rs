//! Runtimes that end, journals under other configurations, and handles that outlive their server.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use portcullis::RejectionKind as Kind;
use portcullis::revocation::{
    ApplyError, Batch, Effect, Hold, OnStale, Record, Revocation, RevocationSource, RevokeError,
    Running, Source, SourceHandle, SourceState,
};
use portcullis::testing::{ManualClock, TestIssuer};
use portcullis::time::Clock as _;
use portcullis::{ResourceServer, ServerBuilder, TokenClass};

use crate::interleavings::opened;
use crate::source::{Directory, Hand, MINUTE, World, source};
use crate::support::{ISSUER, RESOURCE, bearer, builder, present, send, settle};

/// A source that is synchronised as soon as it runs, and counts how often it was started.
#[derive(Clone, Default)]
struct Prompt(Arc<AtomicU32>);

impl RevocationSource for Prompt {
    fn run(&self, handle: SourceHandle) -> Running<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        handle.synchronised(handle.clock().moment());
        Box::pin(std::future::pending())
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap()
}

/// A server that is warmed up in one tokio runtime and serves in another still hears its sources.
#[test]
fn sources_are_started_again_in_another_runtime() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let prompt = Prompt::default();
    let known = Revocation::new().source(Source::own("p", prompt.clone()).speaks_for([ISSUER]));
    let api = builder(&clock).issuer(issuer.fixed_keys()).revocation(known).build().unwrap();
    for round in 1..4 {
        let runtime = runtime();
        runtime.block_on(async {
            api.warm_up().await.unwrap();
            while prompt.0.load(Ordering::Relaxed) < round {
                tokio::task::yield_now().await;
            }
            present(&api, &issuer.token(RESOURCE).sign()).await.unwrap();
        });
        assert_eq!(prompt.0.load(Ordering::Relaxed), round, "once in each runtime");
        drop(runtime);
        clock.advance(2 * MINUTE);
    }
}

/// A source whose very first step panics is started again, and says so.
#[tokio::test]
async fn a_panic_before_the_first_wait_is_survived() {
    struct Fragile(AtomicU32);
    impl RevocationSource for Fragile {
        fn run(&self, handle: SourceHandle) -> Running<'_> {
            assert!(self.0.fetch_add(1, Ordering::Relaxed) > 0, "the first run");
            handle.synchronised(handle.clock().moment());
            Box::pin(std::future::pending())
        }
    }
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let fragile = Source::own("fragile", Fragile(AtomicU32::new(0))).speaks_for([ISSUER]);
    let known = Revocation::new().source(fragile);
    let api = builder(&clock).issuer(issuer.fixed_keys()).revocation(known).build().unwrap();
    let kind = async || send(&api.layer(), bearer(&issuer.token(RESOURCE).sign())).await.kind();
    assert_eq!(kind().await, Some(Kind::RevocationUnavailable));
    settle().await;
    let health = &api.revocations().health()[1];
    assert!(health.last_error.as_deref().is_some_and(|error| error.contains("panicked")));
    clock.advance(Duration::from_secs(1));
    settle().await;
    assert_eq!(kind().await, None);
}

/// What a task revokes as its runtime ends is on disk all the same.
#[test]
fn a_runtime_that_ends_loses_no_revocation() {
    let directory = Directory::new();
    let path = directory.path().join("revocations");
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let server = |known| builder(&clock).issuer(issuer.fixed_keys()).revocation(known).build();
    let token = |number: usize| issuer.token(RESOURCE).claim("jti", format!("t-{number}"));
    {
        let api = server(Revocation::new().journal(opened(&path))).unwrap();
        let runtime = runtime();
        for number in 0..20 {
            let access = runtime.block_on(present(&api, &token(number).sign())).unwrap();
            let task = api.revocations().revoke_when_dropped(&access).unwrap();
            runtime.spawn(async move {
                let _task = task;
                std::future::pending::<()>().await;
            });
        }
        drop(runtime);
    }
    let api = server(Revocation::new().journal(opened(&path))).unwrap();
    runtime().block_on(async {
        for number in 0..20 {
            let refused = present(&api, &token(number).sign()).await.unwrap_err();
            assert_eq!(refused.kind(), Kind::Revoked, "{number}");
        }
        present(&api, &token(20).sign()).await.unwrap();
    });
}

/// A runtime with one thread that may block, which is busy until what is returned with it is dropped.
fn with_a_busy_thread() -> (tokio::runtime::Runtime, mpsc::Sender<()>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
    let (release, released) = mpsc::channel();
    runtime.spawn_blocking(move || released.recv());
    (runtime, release)
}

/// A server of its own, perhaps with a journal, and so many records.
fn to_be_revoked(
    records: usize,
    journal: Option<&Directory>,
) -> (ResourceServer, impl Iterator<Item = Record> + use<>) {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let known = match journal {
        Some(directory) => Revocation::new().journal(opened(&directory.path().join("revocations"))),
        None => Revocation::new(),
    };
    let api = builder(&clock).issuer(issuer.fixed_keys()).revocation(known).build().unwrap();
    let now = clock.now();
    (api, (0..records).map(move |number| Record::token(ISSUER, format!("t-{number}"), now)))
}

/// What waits for a disk, or is much, is done where waiting is allowed, and keeps no request
/// waiting; a few records without a journal are there at once.
#[test]
fn what_takes_long_is_done_on_a_thread_that_may_block() {
    for (journal, records, waits) in [(false, 1_000, false), (false, 1_001, true), (true, 1, true)]
    {
        let directory = Directory::new();
        let (api, revoked) = to_be_revoked(records, journal.then_some(&directory));
        let (runtime, release) = with_a_busy_thread();
        let revocations = api.revocations();
        let mut revoking = pin!(revocations.revoke_all(revoked));
        let first =
            runtime.block_on(poll_fn(|context| Poll::Ready(revoking.as_mut().poll(context))));
        assert_eq!(first.is_pending(), waits, "{records} records, a journal: {journal}");
        assert_eq!(revocations.records(), if waits { 0 } else { records });
        drop(release);
        match first {
            Poll::Ready(revoked) => revoked.unwrap(),
            Poll::Pending => runtime.block_on(revoking).unwrap(),
        }
        assert_eq!(revocations.records(), records);
    }
}

/// Where the runtime has ended that should write it, what was told is stored all the same, by whoever
/// tells it.
#[test]
fn what_an_ended_runtime_cannot_write_is_stored_all_the_same() {
    for (journal, records) in [(false, 1_001), (true, 1)] {
        let directory = Directory::new();
        let (api, revoked) = to_be_revoked(records, journal.then_some(&directory));
        let ended = runtime();
        let handle = ended.handle().clone();
        drop(ended);
        let revocations = api.revocations();
        let mut revoking = pin!(revocations.revoke_all(revoked));
        let _entered = handle.enter();
        match revoking.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(revoked) => revoked.unwrap(),
            Poll::Pending => panic!("nobody writes: {records} records, a journal: {journal}"),
        }
        assert_eq!(revocations.records(), records);
    }
}

/// A handle does not keep the server: with the last layer it ends, its tasks and its journal too.
#[tokio::test]
async fn a_handle_does_not_keep_the_server() {
    let directory = Directory::new();
    let path = directory.path().join("revocations");
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let known = Revocation::new().journal(opened(&path));
    let api = builder(&clock).issuer(issuer.fixed_keys()).revocation(known).build().unwrap();
    present(&api, &issuer.token(RESOURCE).sign()).await.unwrap();
    let revocations = api.revocations();
    drop(api);
    let record = Record::token(ISSUER, "t-1", revocations.now());
    let error = revocations.revoke(record).await.unwrap_err();
    assert!(matches!(error, RevokeError::Apply(ApplyError::Ended)), "{error}");
    assert!(revocations.health().is_empty());
    drop(opened(&path));
}

/// A source that outlives its server is told that it has: nothing is acknowledged that nobody looks at.
#[tokio::test]
async fn a_source_acknowledges_nothing_after_the_end() {
    let world = World::new().await;
    let handle = world.hand.handle().await;
    let record = Record::token(ISSUER, "t-1", world.now());
    handle.apply(Batch::of([record.clone()])).await.unwrap();
    drop(world);
    settle().await;
    let error = handle.apply(Batch::of([record])).await.unwrap_err();
    assert!(matches!(error, ApplyError::Ended), "{error}");
}

/// A typo in the name of an issuer is an error, where the issuers are known.
#[tokio::test]
async fn an_issuer_of_another_name_is_an_error() {
    let world = World::new().await;
    let record = Record::token(format!("{ISSUER}/"), "t-1", world.now());
    let error = world.api.revocations().revoke(record).await.unwrap_err();
    assert!(matches!(&error, RevokeError::UnknownIssuer(name) if **name == *format!("{ISSUER}/")));
    assert_eq!(world.api.revocations().records(), 0);
}

/// Of many records all count or none, and the first fault is told: also where what names another issuer
/// says nothing.
#[tokio::test]
async fn of_many_records_all_count_or_none() {
    let world = World::new().await;
    let revocations = world.api.revocations();
    let record =
        |issuer: &str, ahead: Duration| Record::token(issuer, "t-1", world.now().plus(ahead));
    let good = record(ISSUER, 5 * MINUTE);
    let ahead = record(ISSUER, 5 * MINUTE + Duration::from_nanos(1));
    let mistyped = record(&format!("{ISSUER}/"), Duration::ZERO);
    let released = Effect::Release(Hold::Account);
    let release = |record: &Record| {
        Record::new(record.issuer_id(), record.target().clone(), released, record.at())
    };
    for bad in [vec![ahead.clone()], vec![mistyped.clone(), ahead.clone()], vec![release(&ahead)]] {
        let error = revocations.revoke_all([vec![good.clone()], bad].concat()).await.unwrap_err();
        assert!(matches!(error, RevokeError::Unusable), "{error}");
    }
    for bad in [mistyped.clone(), release(&mistyped)] {
        let error = revocations.revoke_all([good.clone(), bad]).await.unwrap_err();
        assert!(matches!(error, RevokeError::UnknownIssuer(_)), "{error}");
    }
    assert_eq!(revocations.records(), 0);
    let own = || revocations.health().into_iter().next().unwrap();
    assert_eq!((own().applied, own().unusable), (0, 0));
    revocations.revoke_all([good.clone(), release(&good)]).await.unwrap();
    assert_eq!((revocations.records(), own().applied), (1, 2));
}

/// A session, and a subject, of a token in hand.
#[tokio::test]
async fn a_logout_is_one_line() {
    let world = World::new().await;
    let token = |user: &str, session: &str| world.token().subject(user).claim("sid", session);
    let access = present(&world.api, &token("ann", "s-1").sign()).await.unwrap();
    world.api.revocations().revoke_session(&access).await.unwrap();
    assert_eq!(world.kind(&token("ann", "s-1")).await, Some(Kind::Revoked));
    assert_eq!(world.kind(&token("ann", "s-2")).await, None);
    world.api.revocations().revoke_subject(&access).await.unwrap();
    assert_eq!(world.kind(&token("ann", "s-2")).await, Some(Kind::Revoked));
    assert_eq!(world.kind(&token("bob", "s-2")).await, None);
    let nameless = present(&world.api, &world.token().subject("bob").sign()).await.unwrap();
    let error = world.api.revocations().revoke_session(&nameless).await.unwrap_err();
    assert!(matches!(error, RevokeError::NoSession), "{error}");
}

/// What no record could name could not be revoked, and is not accepted.
#[tokio::test]
async fn a_name_that_no_record_can_have_is_refused() {
    let world = World::with(|revocation| revocation.claim("tid"), |server| server).await;
    for (claim, longest) in [("jti", 2_048), ("sub", 2_048), ("sid", 2_048), ("tid", 2_048)] {
        let of = |length: usize| world.token().claim(claim, "x".repeat(length));
        assert_eq!(world.kind(&of(longest)).await, None, "{claim}");
        assert_eq!(world.kind(&of(longest + 1)).await, Some(Kind::MalformedClaim), "{claim}");
    }
}

struct Kept {
    directory: Directory,
    clock: ManualClock,
    issuer: TestIssuer,
}

impl Kept {
    fn new() -> Self {
        let clock = ManualClock::new();
        let issuer = TestIssuer::new(ISSUER, &clock);
        Self { directory: Directory::new(), clock, issuer }
    }

    fn server(&self, known: Revocation, most: Duration) -> ServerBuilder {
        ResourceServer::builder(RESOURCE)
            .class(TokenClass::default_at_most(most))
            .clock(self.clock.clone())
            .issuer(self.issuer.fixed_keys())
            .issuer(TestIssuer::new("https://b.example", &self.clock).fixed_keys())
            .revocation(known.journal(opened(&self.directory.path().join("revocations"))))
    }
}

/// The journal knows how long tokens lived for which it was kept: a longer life is a fault, and a build
/// that fails for another reason changes nothing of it.
#[test]
fn a_longer_life_than_the_journals_is_a_fault() {
    use portcullis::Binding::WhereBound;
    let kept = Kept::new();
    let build = |most| kept.server(Revocation::new(), most).binding(WhereBound).build();
    build(60 * MINUTE).unwrap();
    // Without a binding it does not build, and nothing was kept for five minutes.
    kept.server(Revocation::new(), 5 * MINUTE).build().unwrap_err();
    build(60 * MINUTE).unwrap();
    build(30 * MINUTE).unwrap();
    let error = build(60 * MINUTE).unwrap_err();
    let places: Vec<_> = error.places().map(|(place, _)| place.to_owned()).collect();
    assert_eq!(places, ["revocation.journal"], "{error}");
    // With twice the leeway of ten seconds.
    assert!(error.to_string().contains("1820s"), "{error}");
}

/// One journal is one server's; when that has ended it is free again.
#[test]
fn a_journal_is_one_servers() {
    let kept = Kept::new();
    let known = Revocation::new().journal(opened(&kept.directory.path().join("revocations")));
    let server =
        || builder(&kept.clock).issuer(kept.issuer.fixed_keys()).revocation(known.clone()).build();
    let first = server().unwrap();
    let error = server().unwrap_err().to_string();
    assert!(error.contains("another server of this process has it"), "{error}");
    drop(first);
    server().unwrap();
}

/// What a journal knows of a source it knows of that source: not of another by its name, nor for issuers
/// that it did not speak for.
#[tokio::test]
async fn another_source_of_a_known_name_was_never_synchronised() {
    use portcullis::Binding::WhereBound;
    let kept = Kept::new();
    let state = async |speaks_for: &[&str], max_age: Duration, says: bool| {
        let hand = Hand::default();
        let source = source(&hand).speaks_for(speaks_for.iter().copied()).max_age(max_age);
        let known = Revocation::new().source(source.on_stale(OnStale::AllowFor(60 * MINUTE)));
        let api = kept.server(known, 60 * MINUTE).binding(WhereBound).build().unwrap();
        send(&api.layer(), bearer(&kept.issuer.token(RESOURCE).sign())).await;
        let handle = hand.handle().await;
        if says {
            let batch = Batch::default().synchronised(kept.clock.moment());
            handle.apply(batch).await.unwrap();
        }
        let state = api.revocations().health()[1].state;
        drop((api, handle, hand));
        // What was aborted is dropped.
        settle().await;
        state
    };
    assert_eq!(state(&[], MINUTE, true).await, SourceState::Fresh);
    assert_eq!(state(&[], 2 * MINUTE, false).await, SourceState::Fresh, "after a restart");
    let other = state(&["https://b.example"], MINUTE, false).await;
    assert_eq!(other, SourceState::NeverSynchronised, "it never spoke for that issuer");
}
