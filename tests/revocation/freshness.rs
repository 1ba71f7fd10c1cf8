//! How old what is known may be, and what becomes of requests when it is older.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::header::RETRY_AFTER;
use portcullis::check::allow_all;
use portcullis::observe::{Decision, Observer, SourceEvent};
use portcullis::revocation::{
    OnStale, Push, Record, Revocation, RevocationSource, Running, Source, SourceHandle,
    SourceState, StatusLists,
};
use portcullis::secret::Secret;
use portcullis::testing::{ManualClock, TestIssuer, TestNetwork, TestTransmitter};
use portcullis::{ConfigFault, Policy, RejectionKind as Kind, TokenClass};
use tokio::sync::Notify;

use crate::interleavings::opened;
use crate::source::{Directory, Hand, MINUTE, World, source};
use crate::support::{ISSUER, RESOURCE, bearer, builder, send, settle};

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

/// The claim `status` is looked at where status lists are, and nowhere else.
#[tokio::test]
async fn a_status_is_read_only_where_lists_are() {
    let world = World::new().await;
    let token = |world: &World| world.token().claim("status", "no object");
    assert_eq!(world.kind(&token(&world)).await, None);
    let out = TestNetwork::of(&[]);
    let lists = |known: Revocation| known.status_lists(StatusLists::new());
    let world = World::with(lists, |server| server.transport(out)).await;
    assert_eq!(world.kind(&token(&world)).await, Some(Kind::MalformedClaim));
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
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let log = Log::default();
    let written = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || written.clone()).finish();
    // With one dispatcher alone, a call site is judged by the thread that meets it first.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let _guard = tracing::subscriber::set_default(subscriber);
    tracing::callsite::rebuild_interest_cache();
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
        let text = String::from_utf8(std::mem::take(&mut *log.0.lock().unwrap())).unwrap();
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

/// Faults of a configuration, each with its place.
#[test]
fn a_faulty_configuration_does_not_build() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let server = || builder(&clock).issuer(issuer.fixed_keys());
    let faults = |known: Revocation| -> Vec<String> {
        let error = server().revocation(known).build().unwrap_err();
        error.places().map(|(place, fault)| format!("{place}: {fault}")).collect()
    };
    let hand = Hand::default;
    let named = |name: &str| Source::own(name, hand()).speaks_for([ISSUER]);
    for (known, place, wanted) in [
        (Revocation::new().max_records(0), "revocation.max_records", "between 1"),
        (
            Revocation::new().on_stale(OnStale::AllowFor(Duration::ZERO)),
            "revocation.on_stale",
            "1 second",
        ),
        (Revocation::new().claim(""), "revocation.claims[0]", "without a name"),
        (Revocation::new().claim("sub"), "revocation.claims[0]", "always looked at"),
        (Revocation::new().source(named("")), "revocation.sources[0].name", "a name of its own"),
        (Revocation::new().source(named("local")), "revocation.sources[0].name", "this process"),
        (
            Revocation::new().source(named("status_lists")),
            "revocation.sources[0].name",
            "the status lists",
        ),
        (
            Revocation::new().source(named("a")).source(named("a")),
            "revocation.sources[1].name",
            "another source",
        ),
        (
            Revocation::new().source(Source::own("a", hand())),
            "revocation.sources[0].speaks_for",
            "whose tokens",
        ),
        (
            Revocation::new().source(named("a").speaks_for(["https://unknown.example"])),
            "revocation.sources[0].speaks_for[1]",
            "none of the server's",
        ),
        (
            Revocation::new().source(named("a").max_age(Duration::ZERO)),
            "revocation.sources[0].max_age",
            "1 second",
        ),
        (
            Revocation::new().source(named("a").on_stale(OnStale::AllowFor(Duration::MAX))),
            "revocation.sources[0].on_stale",
            "366 days",
        ),
    ] {
        let found = faults(known);
        let expected = |fault: &&String| fault.starts_with(place) && fault.contains(wanted);
        assert_eq!(found.iter().filter(expected).count(), 1, "{place}: {found:?}");
        assert_eq!(found.len(), 1, "{found:?}");
    }

    // How many there may be.
    let sources = |count: usize| {
        (0..count).fold(Revocation::new(), |all, number| all.source(named(&format!("s-{number}"))))
    };
    let claims = |count: usize| {
        (0..count).fold(Revocation::new(), |all, number| all.claim(format!("c-{number}")))
    };
    let records = |most: usize| Revocation::new().max_records(most);
    for (place, known, too_many) in [
        ("revocation.sources", sources(64), sources(65)),
        ("revocation.claims", claims(16), claims(17)),
        (
            "revocation.max_records",
            records(Revocation::MAX_RECORDS),
            records(Revocation::MAX_RECORDS + 1),
        ),
    ] {
        server().revocation(known).build().unwrap();
        let found = faults(too_many);
        assert!(matches!(&found[..], [fault] if fault.starts_with(place)), "{place}: {found:?}");
    }

    // A class or a route that wants to know needs somebody who says.
    let class = TokenClass::named("a").scopes(["a"]).freshness(MINUTE);
    let error = server().class(class.clone()).build().unwrap_err();
    assert!(matches!(error.faults(), [ConfigFault::TokenClass { .. }]), "{error}");
    let error = server().class(class.clone()).revocation(Revocation::new()).build().unwrap_err();
    assert!(
        matches!(error.faults(), [ConfigFault::TokenClass { .. }]),
        "local is no source: {error}"
    );
    server().class(class).revocation(Revocation::new().source(named("a"))).build().unwrap();
    for policy in [policy().freshness(MINUTE), policy().on_stale(OnStale::Deny)] {
        let api = server().build().unwrap();
        assert!(api.guard(policy.clone()).is_err());
        let api = server().revocation(Revocation::new()).build().unwrap();
        assert!(api.guard(policy.clone()).is_err(), "local is no source");
        let known = Revocation::new().source(named("a"));
        server().revocation(known).build().unwrap().guard(policy).unwrap();
    }
}
