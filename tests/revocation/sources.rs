//! Sources from their start to their end: what they are given, when they are started again, and what is told
//! of them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis::RejectionKind as Kind;
use portcullis::observe::{Decision, Observer, SourceEvent};
use portcullis::revocation::{
    Push, Record, Revocation, RevocationSource, Running, Source, SourceHandle, SourceState,
};
use portcullis::secret::Secret;
use portcullis::testing::{ManualClock, TestIssuer, TestNetwork, TestTransmitter};
use tokio::sync::Notify;

use crate::interleavings::opened;
use crate::source::{Directory, Hand, MINUTE, World, source};
use crate::support::{ISSUER, Log, RESOURCE, bearer, builder, send, settle};

/// A source that panics or ends is started again, with a rest, and nobody else notices.
#[tokio::test]
async fn a_source_that_ends_is_started_again() {
    #[derive(Clone, Default)]
    struct Fragile(Arc<Mutex<u32>>);
    impl RevocationSource for Fragile {
        fn run(&self, handle: SourceHandle) -> Running<'_> {
            Box::pin(async move {
                let runs = {
                    let mut runs = self.0.lock().unwrap();
                    *runs += 1;
                    *runs
                };
                match runs {
                    1 => panic!("the first run"),
                    2 => {}
                    _ => {
                        handle.synchronised(handle.clock().moment());
                        std::future::pending::<()>().await;
                    }
                }
            })
        }
    }
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let fragile = Fragile::default();
    let source = Source::own("fragile", fragile.clone()).speaks_for([ISSUER]);
    let known = Revocation::new().source(source);
    let api = builder(&clock).issuer(issuer.fixed_keys()).revocation(known).build().unwrap();
    let kind = async || send(&api.layer(), bearer(&issuer.token(RESOURCE).sign())).await.kind();
    assert_eq!(kind().await, Some(Kind::RevocationUnavailable));
    settle().await;
    assert_eq!(*fragile.0.lock().unwrap(), 1);
    clock.advance(Duration::from_secs(1));
    settle().await;
    assert_eq!(*fragile.0.lock().unwrap(), 2);
    clock.advance(Duration::from_secs(1));
    settle().await;
    assert_eq!(*fragile.0.lock().unwrap(), 2, "the rest is longer the second time");
    clock.advance(Duration::from_secs(1));
    settle().await;
    assert_eq!(*fragile.0.lock().unwrap(), 3);
    assert_eq!(kind().await, None);
    assert_eq!(api.revocations().health()[1].failures, 2);
}

/// A source that ran for more than a minute is started again as if it had never ended; one that ran no
/// longer waits twice as long as before.
#[tokio::test]
async fn a_source_that_ran_for_long_rests_shortly() {
    #[derive(Clone, Default)]
    struct Ending {
        runs: Arc<AtomicU32>,
        end: Arc<Notify>,
    }
    impl RevocationSource for Ending {
        fn run(&self, _: SourceHandle) -> Running<'_> {
            self.runs.fetch_add(1, Ordering::Relaxed);
            Box::pin(self.end.notified())
        }
    }
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let ending = Ending::default();
    let known = Revocation::new().source(Source::own("e", ending.clone()).speaks_for([ISSUER]));
    let api = builder(&clock).issuer(issuer.fixed_keys()).revocation(known).build().unwrap();
    send(&api.layer(), bearer(&issuer.token(RESOURCE).sign())).await;
    settle().await;
    let second = Duration::from_secs(1);
    for (ran, rest) in [
        (Duration::ZERO, second),
        (Duration::ZERO, 2 * second),
        (MINUTE, 4 * second),
        (MINUTE + Duration::from_nanos(1), second),
        (2 * MINUTE, second),
        (Duration::ZERO, 2 * second),
    ] {
        let before = ending.runs.load(Ordering::Relaxed);
        clock.advance(ran);
        ending.end.notify_one();
        settle().await;
        clock.advance(rest - Duration::from_nanos(1));
        settle().await;
        assert_eq!(ending.runs.load(Ordering::Relaxed), before, "ran {ran:?}, rests {rest:?}");
        clock.advance(Duration::from_nanos(1));
        settle().await;
        assert_eq!(ending.runs.load(Ordering::Relaxed), before + 1, "ran {ran:?}, rests {rest:?}");
    }
}

/// What a source is given: its name, its bound, and the server's way out, if it has one. A source of
/// one's own needs none.
#[tokio::test]
async fn a_source_knows_its_name_and_the_way_out() {
    let world = World::new().await;
    let handle = world.hand.handle().await;
    assert_eq!((handle.name(), handle.max_age()), ("hand", MINUTE));
    assert!(format!("{handle:?}").contains("hand"));
    assert!(handle.transport().is_none(), "keys and source are here: nobody goes out");
    let out = TestNetwork::of(&[]);
    let world = World::with(|known| known, |server| server.transport(out)).await;
    assert!(world.hand.handle().await.transport().is_some());
}

/// How this process and a source are doing is told apart, in names that dashboards rely on.
#[tokio::test]
async fn health_tells_this_process_from_its_sources() {
    let world = World::new().await;
    let health = world.api.revocations().health();
    let [local, hand] = &health[..] else { panic!("{health:?}") };
    assert_eq!((&*local.name, local.state), ("local", SourceState::Local));
    assert_eq!((local.age, local.max_age), (None, None), "it is asked by nobody");
    assert_eq!((&*hand.name, hand.state), ("hand", SourceState::Fresh));
    assert_eq!((hand.age, hand.max_age), (Some(Duration::ZERO), Some(MINUTE)));

    let names: Vec<_> = SourceState::ALL.iter().map(|state| state.as_str()).collect();
    assert_eq!(names, ["fresh", "stale", "never_synchronised", "unbounded", "local"]);
    let shown: Vec<_> = SourceState::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(shown, names);
}

/// A server that begins without knowing what was revoked before says so in its log. One with a journal
/// has nothing to say, nor has one without a source.
#[tokio::test]
async fn a_start_without_a_journal_is_logged() {
    let log = Log::start();
    let directory = Directory::new();
    let sourced = || Revocation::new().source(source(&Hand::default()));
    for (name, known, lines) in [
        ("a source", sourced(), 1),
        ("no source", Revocation::new(), 0),
        ("a journal", sourced().journal(opened(&directory.path().join("revocations"))), 0),
    ] {
        let clock = ManualClock::new();
        let issuer = TestIssuer::new(ISSUER, &clock);
        let api = builder(&clock).issuer(issuer.fixed_keys()).revocation(known).build().unwrap();
        for _ in 0..2 {
            send(&api.layer(), bearer(&issuer.token(RESOURCE).sign())).await;
        }
        let text = log.take();
        assert_eq!(text.matches("no journal").count(), lines, "{name}: {text}");
    }
}

/// Nothing is started before the first use, and everything ends with the last handle of the server.
#[tokio::test]
async fn sources_live_as_long_as_the_server() {
    struct Watched(Arc<()>);
    impl RevocationSource for Watched {
        fn run(&self, _: SourceHandle) -> Running<'_> {
            let alive = Arc::clone(&self.0);
            Box::pin(async move {
                let _alive = alive;
                std::future::pending::<()>().await;
            })
        }
    }
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let alive = Arc::new(());
    let source = Source::own("watched", Watched(Arc::clone(&alive))).speaks_for([ISSUER]);
    let known = Revocation::new().source(source);
    let api = builder(&clock).issuer(issuer.fixed_keys()).revocation(known).build().unwrap();
    settle().await;
    assert_eq!(Arc::strong_count(&alive), 2, "the source itself, and nothing that runs");
    send(&api.layer(), bearer(&issuer.token(RESOURCE).sign())).await;
    settle().await;
    assert_eq!(Arc::strong_count(&alive), 3);
    drop(api);
    settle().await;
    assert_eq!(Arc::strong_count(&alive), 1, "all is gone");
}

/// A warm-up says of which sources nothing is known, and why.
#[tokio::test]
async fn a_warm_up_asks_the_sources() {
    struct Failing;
    impl RevocationSource for Failing {
        fn run(&self, handle: SourceHandle) -> Running<'_> {
            handle.failed("no route to the feed");
            Box::pin(std::future::pending())
        }
    }
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let server = || builder(&clock).issuer(issuer.fixed_keys());
    let known = Revocation::new().source(Source::own("feed", Failing).speaks_for([ISSUER]));
    let api = server().revocation(known).build().unwrap();
    let error = api.warm_up().await.unwrap_err();
    let sources: Vec<_> = error.revocation_sources().collect();
    assert_eq!(sources, [("feed", "no route to the feed")]);
    assert_eq!(error.failures().len(), 0);
    assert!(error.to_string().contains("feed: no route to the feed"), "{error}");

    // What is pushed to a server that does not serve yet cannot come: that is no failure of the warm-up,
    // and no knowledge.
    let pushing = TestTransmitter::new("https://push.example", "https://rs.example/a", &clock);
    let push = Push::new()
        .authorization(Secret::new("Bearer of-the-transmitter"))
        .verification(pushing.verified());
    let pushed = Source::new("pushed", pushing.fixed_keys().push(push)).speaks_for([ISSUER]);
    let network = TestNetwork::of(&[&issuer]).with_transmitter(&pushing);
    let api = server().revocation(Revocation::new().source(pushed)).transport(network);
    let api = api.build().unwrap();
    let warming = tokio::spawn({
        let api = api.clone();
        async move { api.warm_up().await.map_err(|error| error.to_string()) }
    });
    for _ in 0..20 {
        settle().await;
    }
    assert!(warming.is_finished(), "it waits for nobody");
    warming.await.unwrap().unwrap();
    assert_eq!(api.revocations().health()[1].state, SourceState::NeverSynchronised);

    // One that says nothing at all is not waited for for ever.
    let known = Revocation::new().source(source(&Hand::default()));
    let api = server().revocation(known).build().unwrap();
    let warming =
        tokio::spawn(async move { api.warm_up().await.map_err(|error| error.to_string()) });
    settle().await;
    assert!(!warming.is_finished());
    clock.advance(Duration::from_secs(5));
    let error = warming.await.unwrap().unwrap_err();
    assert!(error.contains("hand: no answer yet"), "{error}");
}

/// Observers are told what happens to a source, and that a request was refused for its age.
#[tokio::test]
async fn observers_are_told() {
    #[derive(Clone, Default)]
    struct Ear(Arc<Mutex<Vec<String>>>);
    impl Observer for Ear {
        fn observe(&self, decision: &Decision<'_>) {
            let kind = decision.kind.map_or("accepted", Kind::as_str);
            self.0.lock().unwrap().push(kind.to_owned());
        }
        fn revocation(&self, event: &SourceEvent<'_>) {
            let heard = format!("{} {}", event.source, event.kind.as_str());
            self.0.lock().unwrap().push(heard);
        }
    }
    let ear = Ear::default();
    let heard = ear.clone();
    let world = World::with(|revocation| revocation, move |server| server.observer(ear)).await;
    let token = world.token().claim("jti", "t-1");
    world.hand.says([Record::token(ISSUER, "t-1", world.now())]).await;
    world.kind(&token).await;
    let foreign = Record::token("https://other.example", "t-1", world.now());
    world.hand.says([foreign]).await;
    world.hand.handle().await.discarded("an event of no use");
    world.hand.handle().await.failed("down");
    world.clock.advance(2 * MINUTE);
    world.kind(&world.token()).await;
    assert_eq!(
        *heard.0.lock().unwrap(),
        [
            "revocation_unavailable",
            "hand synchronised",
            "accepted",
            "hand applied",
            "revoked",
            "hand ignored",
            "hand discarded",
            "hand failed",
            "revocation_unavailable",
        ]
    );
}

/// The `metrics` facade: what happened to a source, when it was synchronised, how late, how many records.
#[tokio::test]
async fn metrics_tell_how_a_source_is_doing() {
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};
    use portcullis::observe::MetricsObserver;
    use portcullis::revocation::Batch;

    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let world = World::with(|known| known, |server| server.observer(MetricsObserver::new())).await;
    let at = world.now().minus(Duration::from_secs(3));
    let batch = Batch::of([Record::token(ISSUER, "t-1", at)]).newest(at);
    world.hand.handle().await.apply(batch).await.unwrap();
    let told: Vec<_> = snapshotter
        .snapshot()
        .into_vec()
        .into_iter()
        .map(|(key, _, _, value)| {
            let labels: Vec<_> = key.key().labels().map(|label| label.value().to_owned()).collect();
            (key.key().name().to_owned(), labels.join(" "), value)
        })
        .collect();
    let value = |name: &str, labels: &str| {
        let found = told.iter().find(|(known, with, _)| known == name && with == labels);
        found.map(|(_, _, value)| value)
    };
    let synchronised = value("portcullis_revocation_synchronised_seconds", "hand");
    let now = world.now().as_duration().as_secs_f64();
    assert!(matches!(synchronised, Some(DebugValue::Gauge(time)) if time.0 == now));
    let applied = value("portcullis_revocation_events_total", "hand applied");
    assert!(matches!(applied, Some(DebugValue::Counter(1))), "{told:?}");
    let records = value("portcullis_revocation_records", "");
    assert!(matches!(records, Some(DebugValue::Gauge(count)) if count.0 == 1.0));
    let lag = value("portcullis_revocation_lag_seconds", "hand");
    assert!(matches!(lag, Some(DebugValue::Histogram(lags)) if lags[0].0 == 3.0), "{lag:?}");
}
