//! Observers: one event per decision, bounded, without secrets, and without any effect on it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis::check::{CheckContext, CheckError, CheckRequest, Denial, allow_all, scope};
use portcullis::jose::Algorithm;
use portcullis::layer::require;
use portcullis::observe::{
    DecidedBy, Decision, DecisionOutcome, DecisionRecord, ExceptionStatus, Observer, SenderBinding,
    TokenHash, channel,
};
use portcullis::secret::Secret;
use portcullis::testing::{ManualClock, TestIssuer, TestNetwork};
use portcullis::time::{Clock, Sleep, Timestamp};
use portcullis::{
    Binding, Exception, Mtls, Policy, Preflight, RejectionKind as Kind, ResourceServer,
    ServerBuilder, Step, TokenClass,
};
use support::{
    ISSUER, Log, RESOURCE, World, anonymous, bearer, builder, every_refusal, send, with_field,
};
use tower::{Layer as _, ServiceExt as _, service_fn};

/// Keeps what it is told.
#[derive(Clone, Default)]
struct Kept {
    decisions: Arc<Mutex<Vec<DecisionRecord>>>,
    reasons: Arc<Mutex<Vec<String>>>,
    debug: Arc<Mutex<String>>,
    exceptions: Arc<Mutex<Vec<(String, u64, bool)>>>,
}

impl Observer for Kept {
    fn observe(&self, decision: &Decision<'_>) {
        self.decisions.lock().unwrap().push(DecisionRecord::from(decision));
        self.reasons.lock().unwrap().extend(decision.reason().map(str::to_owned));
        self.debug.lock().unwrap().push_str(&format!("{decision:?}\n"));
    }

    fn exception(&self, exception: &ExceptionStatus<'_>) {
        let status = (exception.reason.to_owned(), exception.days_left, exception.ended);
        self.exceptions.lock().unwrap().push(status);
    }
}

impl Kept {
    fn take(&self) -> Vec<DecisionRecord> {
        std::mem::take(&mut self.decisions.lock().unwrap())
    }

    fn only(&self) -> DecisionRecord {
        let mut taken = self.take();
        assert_eq!(taken.len(), 1, "one event per decision: {taken:?}");
        taken.remove(0)
    }
}

async fn observed(settings: impl FnOnce(ServerBuilder) -> ServerBuilder) -> (World, Kept) {
    let kept = Kept::default();
    let observer = kept.clone();
    let world = World::with(Algorithm::Es256, |builder| settings(builder.observer(observer)));
    (world.await, kept)
}

#[tokio::test]
async fn an_accepted_token_is_one_event_with_everything_known() {
    let (world, kept) = observed(|builder| {
        builder.class(TokenClass::named("app").clients(["app"]).at_most(Duration::from_mins(30)))
    })
    .await;
    let layer = world.api.protect(Policy::new(scope("a")).named("notes.read"));
    let token = world.token().client_id("app").scope("a").sign();
    assert!(send(&layer, bearer(&token)).await.passed());
    let event = kept.only();
    assert_eq!(event.outcome, DecisionOutcome::Accepted);
    assert_eq!(event.decided_by, DecidedBy::Guard);
    assert_eq!((event.kind, event.step()), (None, None));
    assert_eq!(event.route, "notes.read");
    assert_eq!(event.issuer.unwrap(), ISSUER);
    assert_eq!(event.client_id.unwrap(), "app");
    assert_eq!(event.class.as_deref(), Some("app"));
    assert_eq!(event.binding, Some(SenderBinding::Bearer));
    assert_eq!(event.exception, None);
    assert_eq!(event.expires_in, Some(Duration::from_mins(5)));
    assert_eq!(event.at, world.clock.now());
    assert!(event.token_hash.is_some());

    // A policy without a name is known by its scopes.
    assert!(send(&world.api.protect(scope("a")), bearer(&token)).await.passed());
    assert_eq!(kept.only().route, "a");
    assert!(send(&world.api.protect(allow_all()), bearer(&token)).await.passed());
    assert_eq!(kept.only().route, "unnamed");
}

/// What a refused token says of itself is believed as far as its signature, and no further.
#[tokio::test]
async fn a_refusal_names_the_issuer_if_trusted_and_the_client_if_signed() {
    let (world, kept) = observed(|builder| builder).await;
    let token = || world.token().client_id("app");
    let expired = world.clock.now().minus(Duration::from_hours(1));
    let old = || token().issued_at(expired).expires_at(expired.plus(Duration::from_mins(5)));
    let stranger = token().claim("iss", "https://stranger.example");
    for (name, token, kind, issuer, client) in [
        ("a stranger's", stranger.sign(), Kind::UnknownIssuer, false, false),
        ("forged", token().tampered(), Kind::BadSignature, true, false),
        ("expired", old().sign(), Kind::Expired, true, true),
        ("no token at all", "x".to_owned(), Kind::OpaqueToken, false, false),
    ] {
        assert_eq!(send(&world.api.layer(), bearer(&token)).await.kind(), Some(kind), "{name}");
        let event = kept.only();
        assert_eq!(event.outcome, DecisionOutcome::Refused, "{name}");
        assert_eq!(event.kind, Some(kind), "{name}");
        assert_eq!(event.step(), kind.step(), "{name}");
        assert_eq!(event.issuer.is_some(), issuer, "{name}");
        assert_eq!(event.issuer_proven, client, "{name}");
        assert_eq!(event.client_id.is_some(), client, "{name}");
        assert_eq!(event.token_hash.is_some(), client, "{name}");
    }
}

/// AUTH-22, NHI-02, NHI-09: every kind of refusal is one event, and none holds a secret.
#[tokio::test]
async fn every_refusal_is_one_event_and_holds_no_token() {
    let kept = Kept::default();
    for case in every_refusal(|builder| builder.observer(kept.clone())).await {
        kept.take();
        let sent = send(&case.layer, case.request).await;
        assert_eq!(sent.kind(), Some(case.kind));
        let event = kept.only();
        assert_eq!(event.kind, Some(case.kind));
        assert_eq!(event.outcome, case.kind.outcome().into());
        let told = format!(
            "{event:?} {} {}",
            kept.debug.lock().unwrap(),
            kept.reasons.lock().unwrap().join(" ")
        );
        if let Some(token) = &case.token {
            assert!(!told.contains(token.as_str()), "{:?}", case.kind);
            let signature = token.rsplit('.').next().unwrap();
            assert!(signature.len() < 20 || !told.contains(signature), "{:?}", case.kind);
        }
    }
}

#[tokio::test]
async fn a_request_that_waits_is_one_event_and_its_wait_is_counted() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let kept = Kept::default();
    let api = builder(&clock)
        .issuer(issuer.jwks())
        .transport(TestNetwork::of(&[&issuer]))
        .observer(kept.clone())
        .build()
        .unwrap();
    issuer.hold();
    let layer = api.layer();
    let token = issuer.token(RESOURCE).sign();
    let task = tokio::spawn(async move { send(&layer, bearer(&token)).await.passed() });
    while issuer.fetches() == 0 {
        tokio::task::yield_now().await;
    }
    assert!(kept.take().is_empty(), "nothing is decided yet");
    clock.advance(Duration::from_millis(300));
    issuer.release();
    assert!(task.await.unwrap());
    let event = kept.only();
    assert_eq!(event.outcome, DecisionOutcome::Accepted);
    assert_eq!(event.duration, Duration::from_millis(300));
}

/// Also where the answer comes after a question and a busy inner service, and is another by then.
#[tokio::test]
async fn a_request_that_is_refused_late_is_one_event() {
    async fn yes(_: CheckRequest) -> Result<(), CheckError> {
        tokio::task::yield_now().await;
        Ok(())
    }
    for (waits, outcome) in [(60, DecisionOutcome::Accepted), (600, DecisionOutcome::Refused)] {
        let (world, kept) = observed(|builder| builder).await;
        let places = Arc::new(tokio::sync::Semaphore::new(1));
        let busy = Arc::clone(&places).acquire_owned().await.unwrap();
        let inner = service_fn(async |_: http::Request<String>| {
            Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
        });
        let limited = tower::limit::ConcurrencyLimit::with_semaphore(inner, places);
        let policy = Policy::new(allow_all()).and_async(yes);
        let mut service = world.api.protect(policy).layer(limited);
        let request = bearer(&world.token().sign());
        let call = tower::Service::call(&mut service, request);
        let task = tokio::spawn(call);
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        assert!(kept.take().is_empty(), "nobody was let in yet");
        world.clock.advance(Duration::from_secs(waits));
        drop(busy);
        let status = task.await.unwrap().unwrap().status();
        let event = kept.only();
        assert_eq!(event.outcome, outcome, "{status}");
        assert_eq!(event.duration, Duration::from_secs(waits));
    }
}

#[tokio::test]
async fn whoever_decides_is_named() {
    async fn standing(_: CheckRequest) -> Result<(), CheckError> {
        Err(Denial::forbidden("suspended").into())
    }
    fn handler_refuses(request: &http::Request<String>) -> http::Response<String> {
        let access = request.extensions().get::<portcullis::Access>().unwrap();
        access.refuse(Denial::forbidden("somebody else's")).to_response()
    }
    let (world, kept) = observed(|builder| builder).await;
    let token = world.token().scope("a").sign();

    // A check that asks: one event, after the answer.
    let layer = world.api.protect(Policy::new(scope("a")).and_async(standing));
    assert_eq!(send(&layer, bearer(&token)).await.kind(), Some(Kind::InsufficientScope));
    let event = kept.only();
    assert_eq!((event.decided_by, event.step()), (DecidedBy::Guard, Some(Step::Checks)));

    // A layer below, and a handler: the decision, and their refusal of it.
    let inner = service_fn(async |request: http::Request<String>| {
        Ok::<_, std::convert::Infallible>(handler_refuses(&request))
    });
    let service = (world.api.protect(scope("a")), require(scope("b"))).layer(inner);
    let response = service.oneshot(bearer(&token)).await.unwrap();
    assert_eq!(response.status(), 403);
    let places: Vec<_> = kept.take().iter().map(|event| (event.decided_by, event.kind)).collect();
    let refused = Some(Kind::InsufficientScope);
    assert_eq!(places, [(DecidedBy::Guard, None), (DecidedBy::Require, refused)]);

    let service = world.api.protect(scope("a")).layer(inner);
    let response = service.oneshot(bearer(&token)).await.unwrap();
    assert_eq!(response.status(), 403);
    let places: Vec<_> = kept.take().iter().map(|event| (event.decided_by, event.kind)).collect();
    assert_eq!(places, [(DecidedBy::Guard, None), (DecidedBy::Handler, refused)]);
}

/// A refusal below the layer is told with everything that the layer found out.
#[tokio::test]
async fn a_refusal_below_is_told_with_what_is_known_of_the_token() {
    let (world, kept) = observed(|builder| builder).await;
    let token = world.token().client_id("app").scope("a").sign();
    let inner = service_fn(async |_: http::Request<String>| {
        Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
    });
    let service = (world.api.protect(scope("a")), require(scope("b"))).layer(inner);
    assert_eq!(service.oneshot(bearer(&token)).await.unwrap().status(), 403);
    let [accepted, refused] = kept.take().try_into().unwrap();
    assert_eq!((accepted.kind, refused.kind), (None, Some(Kind::InsufficientScope)));
    assert_eq!(refused.issuer.unwrap(), ISSUER);
    assert_eq!(refused.client_id.unwrap(), "app");
    assert_eq!(refused.binding, Some(SenderBinding::Bearer));
    assert_eq!(refused.expires_in, accepted.expires_in);
    assert_eq!(refused.token_hash, accepted.token_hash);
    assert!(refused.token_hash.is_some() && refused.issuer_proven);
}

/// What a check that asks refuses is told as what any check refuses, of a token that is new and of one that
/// is known.
#[tokio::test]
async fn a_refusal_by_a_check_that_asks_is_told_with_what_is_known_of_the_token() {
    async fn asks(_: CheckRequest) -> Result<(), CheckError> {
        tokio::task::yield_now().await;
        Err(Denial::forbidden("suspended").into())
    }
    fn knows(_: &CheckContext<'_>) -> Result<(), CheckError> {
        Err(Denial::forbidden("suspended").into())
    }
    let (world, kept) = observed(|builder| builder).await;
    for (name, policy) in [
        ("one that asks", Policy::new(scope("a")).and_async(asks)),
        ("one that knows", Policy::new((scope("a"), knows))),
    ] {
        let layer = world.api.protect(policy);
        let token = world.token().client_id("app").scope("a").sign();
        assert_eq!(send(&layer, bearer(&token)).await.kind(), Some(Kind::InsufficientScope));
        let new = kept.only();
        assert!(send(&world.api.layer(), bearer(&token)).await.passed());
        let accepted = kept.only();
        assert!(world.api.known_tokens_health().tokens > 0, "{name}");
        assert_eq!(send(&layer, bearer(&token)).await.kind(), Some(Kind::InsufficientScope));
        for refused in [new, kept.only()] {
            assert_eq!(
                (refused.decided_by, refused.step()),
                (DecidedBy::Guard, Some(Step::Checks))
            );
            assert_eq!(refused.issuer.unwrap(), ISSUER, "{name}");
            assert_eq!(refused.client_id.unwrap(), "app", "{name}");
            assert_eq!(refused.class, accepted.class, "{name}");
            assert_eq!(refused.binding, Some(SenderBinding::Bearer), "{name}");
            assert_eq!(refused.expires_in, accepted.expires_in, "{name}");
            assert_eq!(refused.token_hash, accepted.token_hash, "{name}");
            assert!(refused.token_hash.is_some() && refused.issuer_proven, "{name}");
        }
    }
}

#[tokio::test]
async fn a_request_that_needs_no_token_is_an_event_too() {
    let (world, kept) = observed(|builder| builder).await;
    let optional = world.api.protect(Policy::new(allow_all()).optional());
    assert!(send(&optional, anonymous()).await.passed());
    let event = kept.only();
    assert_eq!(event.outcome, DecisionOutcome::Anonymous);
    assert_eq!((event.issuer, event.client_id, event.kind), (None, None, None));

    // Whoever wants an access is refused once, and not let through before.
    let guard = world.api.guard(Policy::new(allow_all()).optional()).unwrap();
    let (parts, _) = anonymous().into_parts();
    assert!(guard.verify_optional(&parts).await.unwrap().is_none());
    assert_eq!(kept.only().outcome, DecisionOutcome::Anonymous);
    guard.verify(&parts).await.unwrap_err();
    assert_eq!(kept.only().kind, Some(Kind::NoCredentials));
}

/// A clock that goes on by a second whenever it is read.
#[derive(Clone)]
struct Stepping(ManualClock);

impl Clock for Stepping {
    fn now(&self) -> Timestamp {
        self.0.advance(Duration::from_secs(1));
        self.0.now()
    }

    fn steady(&self) -> Duration {
        self.0.steady()
    }

    fn sleep(&self, time: Duration) -> Sleep {
        self.0.sleep(time)
    }
}

/// A request without a token has one time, in its own event and in that of what refuses it below.
#[tokio::test]
async fn a_request_without_a_token_was_decided_once() {
    let kept = Kept::default();
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let api = builder(&clock)
        .clock(Stepping(clock.clone()))
        .issuer(issuer.fixed_keys())
        .observer(kept.clone())
        .build()
        .unwrap();
    let inner = service_fn(async |_: http::Request<String>| {
        Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
    });
    let preflight = || {
        http::Request::options("/")
            .header("origin", "https://app.example")
            .header("access-control-request-method", "GET")
            .body(String::new())
            .unwrap()
    };
    let policy = || Policy::new(allow_all()).optional().preflight(Preflight::Pass);
    for (name, request, events) in [("optional", anonymous(), 2), ("a preflight", preflight(), 1)] {
        let service = (api.protect(policy()), require(scope("a"))).layer(inner);
        kept.take();
        let first = clock.now().plus(Duration::from_secs(1));
        assert_eq!(service.oneshot(request).await.unwrap().status(), 401, "{name}");
        let told = kept.take();
        assert_eq!(told.len(), events, "{name}: {told:?}");
        assert_eq!(told.last().unwrap().decided_by, DecidedBy::Require, "{name}");
        assert!(told.iter().all(|event| event.at == first), "{name}: {told:?}");
        assert_eq!(clock.now(), first, "{name}: read more than once");
    }
}

/// The hash tells tokens apart by issuer and `jti`, and by nothing that a bearer can change.
#[tokio::test]
async fn a_token_has_one_hash_per_key() {
    let key = || Secret::new("a key of 32 bytes, shared by all");
    let (world, kept) = observed(|builder| builder.token_hash_key(key())).await;
    let (twin, twins) = observed(|builder| builder.token_hash_key(key())).await;
    let (stranger, strangers) = observed(|builder| builder).await;
    async fn hash(world: &World, kept: &Kept, jti: &str) -> TokenHash {
        let token = world.token().claim("jti", jti).sign();
        let sent = send(&world.api.layer(), bearer(&token)).await;
        let hash = kept.only().token_hash.unwrap();
        assert_eq!(sent.access().unwrap().token_hash(), Some(hash), "a check sees the same");
        hash
    }
    let one = hash(&world, &kept, "one").await;
    assert_eq!(hash(&world, &kept, "one").await, one, "the same token, signed twice");
    assert_ne!(hash(&world, &kept, "two").await, one);
    assert_eq!(hash(&twin, &twins, "one").await, one, "another process with the same key");
    assert_ne!(hash(&stranger, &strangers, "one").await, one, "a key of its own");
    assert_eq!(one.to_string().len(), 32);

    let short = builder(&world.clock)
        .issuer(world.issuer.fixed_keys())
        .token_hash_key(Secret::new("short"))
        .build()
        .unwrap_err();
    assert!(short.to_string().contains("token_hash_key"), "{short}");
    assert!(!short.to_string().contains("\"short\""), "{short}");
}

/// An observer neither fails a request nor is it waited for.
#[tokio::test]
async fn an_observer_that_panics_or_is_full_changes_nothing() {
    struct Panics(AtomicBool);
    impl Observer for Panics {
        fn observe(&self, _: &Decision<'_>) {
            self.0.store(true, Ordering::Relaxed);
            std::panic::resume_unwind(Box::new("an observer's own fault"));
        }
    }
    let panics = Arc::new(Panics(AtomicBool::new(false)));
    let (full, mut decisions) = channel(2);
    let (world, kept) =
        observed(|builder| builder.observer(Arc::clone(&panics)).observer(full)).await;
    let token = world.token().sign();
    for _ in 0..5 {
        assert!(send(&world.api.layer(), bearer(&token)).await.passed());
    }
    assert!(panics.0.load(Ordering::Relaxed), "it was called");
    assert_eq!(kept.take().len(), 5, "who comes before it is told");
    assert_eq!(decisions.dropped(), 3, "and who comes after it");
    assert_eq!(decisions.recv().await.unwrap().outcome, DecisionOutcome::Accepted);
    assert!(decisions.recv().await.is_some());
    drop(world);
    assert!(decisions.recv().await.is_none(), "the server is gone");
}

/// The end of an exception is reported at the start and each hour, with the days that are left.
#[tokio::test]
async fn an_exception_is_reported_as_its_end_comes_near() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let kept = Kept::default();
    let exception = Exception::for_clients(["partner-x"]).until("2027-02-28").because("SEC-112");
    let api = ResourceServer::builder(RESOURCE)
        .clock(clock.clone())
        .issuer(issuer.fixed_keys())
        .binding(Binding::Either)
        .mtls(Mtls::direct())
        .class(TokenClass::default_at_most(Duration::from_hours(1)))
        .exception(exception)
        .observer(kept.clone())
        .build()
        .unwrap();
    let reports = || std::mem::take(&mut *kept.exceptions.lock().unwrap());
    // The clock stands at 2027-01-15T08:00:00Z.
    assert_eq!(reports(), [("SEC-112".to_owned(), 44, false)]);
    let used = || async {
        let token = issuer.token(RESOURCE).client_id("partner-x").sign();
        send(&api.layer(), bearer(&token)).await
    };
    assert!(used().await.passed());
    assert_eq!(kept.only().exception.as_deref(), Some("SEC-112"));
    assert!(reports().is_empty(), "within the hour nothing is said again");

    // Nor by a refusal further in, of somebody who has no token.
    let inner = service_fn(async |_: http::Request<String>| {
        Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
    });
    let optional = api.protect(Policy::new(allow_all()).optional());
    let service = (optional, require(scope("a"))).layer(inner);
    assert_eq!(service.oneshot(anonymous()).await.unwrap().status(), 401);
    assert_eq!(kept.take().iter().map(|event| event.at).max(), Some(clock.now()));
    assert!(reports().is_empty());

    clock.advance(Duration::from_hours(1));
    assert!(used().await.passed());
    assert!(used().await.passed());
    assert_eq!(reports(), [("SEC-112".to_owned(), 44, false)]);
    kept.take();

    clock.advance(Duration::from_hours(24 * 44));
    assert!(used().await.passed());
    assert_eq!(reports(), [("SEC-112".to_owned(), 0, false)], "its last day");

    clock.advance(Duration::from_hours(24));
    kept.take();
    assert_eq!(used().await.kind(), Some(Kind::NotBound));
    assert_eq!(kept.only().exception, None, "it let nobody pass");
    assert_eq!(reports(), [("SEC-112".to_owned(), 0, true)]);

    // A clock that is set back says no less.
    clock.set(clock.now().minus(Duration::from_hours(24 * 40)));
    assert!(used().await.passed());
    assert_eq!(reports().len(), 1);
}

/// One line in the log for each decision, with its reason and without its token.
#[test]
fn a_decision_is_one_line_of_the_log() {
    let lines = Log::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let world = World::new().await;
        let token = world.token().client_id("app").sign();
        let refused = world.token().tampered();
        let layer = world.api.protect(Policy::new(allow_all()).named("front"));
        assert!(send(&layer, bearer(&token)).await.passed());
        send(&layer, bearer(&refused)).await;
        send(&layer, with_field("authorization", "Basic YTpi")).await;
        let log = lines.take();
        let decisions: Vec<_> =
            log.lines().filter(|line| line.contains("portcullis::decision")).collect();
        assert_eq!(decisions.len(), 3, "{log}");
        for part in [
            "outcome=\"accepted\"",
            "route=\"front\"",
            "client=\"app\"",
            "class=\"default\"",
            "binding=\"bearer\"",
            "expires_in=300",
        ] {
            assert!(decisions[0].contains(part), "{part}: {}", decisions[0]);
        }
        for part in ["outcome=\"refused\"", "kind=\"bad_signature\"", "step=4", "reason="] {
            assert!(decisions[1].contains(part), "{part}: {}", decisions[1]);
        }
        assert!(!decisions[1].contains("client="), "nobody signed that: {}", decisions[1]);
        for token in [&token, &refused] {
            assert!(!log.contains(token.rsplit('.').next().unwrap()), "{log}");
        }
    });
}

/// What the line of a refusal says was found, and what was wanted.
const SAID: [(Kind, u16, &str, &str); 19] = [
    (Kind::NoCredentials, 401, "no Authorization field", "one with an access token is wanted"),
    (Kind::SeveralCredentials, 400, "more than one Authorization field", "one is wanted"),
    (Kind::WrongType, 401, "`typ` is \"zQ7NamedMarker\"", "takes `at+jwt`"),
    (Kind::AlgorithmNotAllowed, 401, "`alg` is \"zQ7NamedMarker\"", "wanted RS, PS or ES"),
    (Kind::UnknownIssuer, 401, "`iss` is \"https://", "wanted \"https://as.example\""),
    (Kind::UnknownKey, 401, "kid \"zQ7NamedMarker\"", "issuer https://as.example"),
    (Kind::BadSignature, 401, "the signature", "the key of https://as.example for kid \"k1\""),
    (Kind::WrongAudience, 401, "`aud` is \"https://zQ7", "wanted \"https://rs.example\""),
    (Kind::Expired, 401, "`exp` is 1799999700", "it is 1800000000, with a leeway of 10s"),
    (Kind::LifetimeTooLong, 401, "`exp` is 3660s after `iat`", "at most 3600s"),
    (Kind::NotBound, 401, "bound to no sender", "wanted binding `either`, by class `agents`"),
    (Kind::ProofAlgorithm, 401, "`alg` is \"zQ7NamedMarker\"", "wanted one of ES256"),
    (Kind::ProofMethod, 401, "`htm` is \"zQ7NamedMarker\"", "wanted \"GET\""),
    (Kind::ProofNotFresh, 401, "`iat` is 600s ago", "at most 60s are accepted"),
    (Kind::InsufficientScope, 403, "scope is not enough", "wanted notes:read notes:write"),
    (Kind::InsufficientAuthentication, 401, "`acr` is absent", "wanted `acr` phr"),
    (Kind::RevocationUnavailable, 503, "was never synchronised", "at most 60s ago is accepted"),
    (Kind::KeysUnavailable, 503, "no keys of https://down.example", "none were fetched"),
    (Kind::VerificationOverloaded, 503, "1 signatures are verified at once", "which is the most"),
];

/// Who reads the line of a refusal is told what was found, what was wanted and what to do; who sent the
/// request is told nothing of that.
#[tokio::test]
async fn the_line_of_a_refusal_says_what_was_found_and_wanted_and_what_to_do() {
    let log = Log::start();
    let mut said = Vec::new();
    for case in every_refusal(|builder| builder).await {
        log.take();
        let kind = case.kind;
        let sent = send(&case.layer, case.request).await;
        let text = log.take();
        let line = text.lines().find(|line| line.contains("portcullis::decision")).unwrap();
        let (before, advice) = line.split_once(" advice=").unwrap();
        assert_eq!(advice, format!("{:?}", kind.advice()), "{kind}");
        let (_, reason) = before.split_once(" reason=").unwrap();
        let reason = reason.replace("\\\"", "\"");
        assert!(reason.len() > 10, "{kind}: {reason}");
        if let Some((_, status, found, wanted)) = SAID.iter().find(|row| row.0 == kind) {
            assert_eq!(sent.response.status(), *status, "{kind}");
            assert!(reason.contains(found), "{kind}: {reason} does not name {found:?}");
            assert!(reason.contains(wanted), "{kind}: {reason} does not say {wanted:?}");
            said.push(kind);
        }
        let answer = format!("{:?} {}", sent.response.headers(), sent.response.body());
        assert!(!answer.contains(kind.advice()), "{kind}: {answer}");
    }
    let missed: Vec<_> = SAID.iter().filter(|row| !said.contains(&row.0)).collect();
    assert!(missed.is_empty(), "{missed:?}");
}

/// A token without a signature, or without its claims, is told as that, and another malformed one is not.
#[tokio::test]
async fn what_a_malformed_token_lacks_is_told() {
    const UNSIGNED: &str = ": no unsigned token is accepted";
    const DETACHED: &str = ": a token has to carry its claims";
    let (world, kept) = observed(|builder| builder).await;
    let token = world.token().sign();
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
    for (name, token, told) in [
        ("unsigned", format!("{header}.{payload}."), Some(UNSIGNED)),
        ("unsigned, and says so", world.token().unsigned("none"), Some(UNSIGNED)),
        ("detached", format!("{header}..{signature}"), Some(DETACHED)),
        ("four parts", format!("{token}.x"), None),
        ("no base64url", format!("{header}.{payload}.x"), None),
    ] {
        let sent = send(&world.api.layer(), bearer(&token)).await;
        assert_eq!(sent.kind(), Some(Kind::MalformedToken), "{name}");
        let reason = kept.reasons.lock().unwrap().pop().unwrap();
        for hint in [UNSIGNED, DETACHED] {
            assert_eq!(reason.contains(hint), told == Some(hint), "{name}: {reason}");
        }
    }
}

/// The names of the fields in a line of the log: what stands before a `=`, but for what is quoted.
fn fields(line: &str) -> BTreeSet<&str> {
    let mut fields = BTreeSet::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('=') {
        let start = before.rfind(|letter: char| !(letter.is_ascii_lowercase() || letter == '_'));
        fields.insert(&before[start.map_or(0, |at| at + 1)..]);
        rest = after;
        if let Some(quoted) = after.strip_prefix('"') {
            let mut escaped = false;
            let end = quoted.find(|letter: char| {
                let ends = letter == '"' && !escaped;
                escaped = letter == '\\' && !escaped;
                ends
            });
            rest = &quoted[end.unwrap() + 1..];
        }
    }
    fields
}

/// The guide lists the fields of a decision's line, all of them, and the README shows a line that could have
/// been written.
#[tokio::test]
async fn the_documents_name_the_fields_of_a_decision() {
    let listed: BTreeSet<_> = {
        let guide = include_str!("../src/guide/operating.md");
        let row =
            guide.lines().find(|line| line.starts_with("| `portcullis::decision` |")).unwrap();
        row.split(" | ").nth(2).unwrap().split('`').skip(1).step_by(2).collect()
    };
    let readme = include_str!("../README.md");
    let (_, sample) = readme.split_once("DEBUG portcullis::decision: ").unwrap();
    let (sample, _) = sample.split_once("```").unwrap();
    let sample = sample.split_whitespace().collect::<Vec<_>>().join(" ");

    let log = Log::start();
    let exception = Exception::for_clients(["partner-x"]).until("2027-02-28").because("SEC-112");
    let strict = |server: ServerBuilder| {
        server.binding(Binding::Either).mtls(Mtls::direct()).exception(exception)
    };
    let world = World::with(Algorithm::Es256, strict).await;
    let passes = world.token().client_id("partner-x");
    assert!(send(&world.api.layer(), bearer(&passes.sign())).await.passed());
    let wrong = world.token().client_id("partner-x").claim("aud", "https://other.example");
    let sent = send(&world.api.layer(), bearer(&wrong.sign())).await;
    assert_eq!(sent.kind(), Some(Kind::WrongAudience));
    let text = log.take();
    let lines: Vec<_> = text
        .lines()
        .filter_map(|line| Some(line.split_once("portcullis::decision: ")?.1))
        .collect();
    let [accepted, refused] = lines[..] else { panic!("{text}") };
    let written: BTreeSet<_> = fields(accepted).union(&fields(refused)).copied().collect();
    assert_eq!(listed, written);

    let shown = fields(&sample);
    assert!(shown.is_subset(&fields(refused)), "{shown:?} {refused}");
    for part in [
        "outcome=\"refused\" decided_by=\"guard\" kind=\"wrong_audience\" step=6".to_owned(),
        format!("advice={:?}", Kind::WrongAudience.advice()),
    ] {
        assert!(sample.contains(&part), "{part}: {sample}");
        assert!(refused.contains(&part), "{part}: {refused}");
    }
    assert_eq!(fields(r#"a="b=c \"d=e\" \\" f_g=1 h=x"#), BTreeSet::from(["a", "f_g", "h"]));
}

/// Nothing is advised about a request that passes.
#[tokio::test]
async fn the_line_of_an_accepted_token_has_no_advice() {
    let log = Log::start();
    let world = World::new().await;
    assert!(send(&world.api.layer(), bearer(&world.token().sign())).await.passed());
    let text = log.take();
    assert!(text.contains("outcome=\"accepted\""), "{text}");
    assert!(!text.contains("advice=") && !text.contains("reason="), "{text}");
}

/// The `metrics` facade: labels from a bounded set, and the days that exceptions have left.
#[tokio::test]
async fn metrics_have_bounded_labels() {
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};
    use portcullis::observe::MetricsObserver;

    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);

    let clock = ManualClock::new();
    let issuers: Vec<_> = (0..150)
        .map(|number| TestIssuer::new(format!("https://t{number:03}.example"), &clock))
        .collect();
    let mut server = ResourceServer::builder(RESOURCE)
        .clock(clock.clone())
        .binding(Binding::Either)
        .mtls(Mtls::direct())
        .class(TokenClass::default_at_most(Duration::from_hours(1)))
        .observer(MetricsObserver::new());
    for issuer in &issuers {
        server = server.issuer(issuer.fixed_keys());
    }
    let exception = Exception::for_clients(["partner-x"])
        .of_issuer("https://t000.example")
        .until("2027-02-28")
        .because("SEC-112");
    let api = server.exception(exception).build().unwrap();
    let layer = api.protect(Policy::new(check_client).named("notes"));
    for issuer in &issuers {
        let token = issuer.token(RESOURCE).client_id("partner-x").sign();
        send(&layer, bearer(&token)).await;
    }
    for number in 0..300 {
        let token =
            issuers[0].token(RESOURCE).claim("iss", format!("https://junk{number}.example"));
        send(&layer, bearer(&token.sign())).await;
    }

    let mut label_sets = 0;
    let mut issuers_named = BTreeSet::new();
    let (mut accepted, mut days, mut uses, mut timed) = (0, None, None, 0);
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let labels: std::collections::BTreeMap<_, _> = key
            .key()
            .labels()
            .map(|label| (label.key().to_owned(), label.value().to_owned()))
            .collect();
        match (key.key().name(), value) {
            ("portcullis_decisions_total", DebugValue::Counter(count)) => {
                label_sets += 1;
                issuers_named.insert(labels["issuer"].clone());
                assert_eq!(labels["route"], "notes");
                if labels["outcome"] == "accepted" {
                    accepted += count;
                    assert_eq!(
                        (labels["kind"].as_str(), labels["binding"].as_str()),
                        ("none", "bearer")
                    );
                }
                if labels["kind"] == "unknown_issuer" {
                    assert_eq!((count, labels["issuer"].as_str()), (300, "none"));
                }
            }
            ("portcullis_exception_days_left", DebugValue::Gauge(left)) => {
                assert_eq!(labels["exception"], "SEC-112");
                days = Some(left.into_inner());
            }
            ("portcullis_exception_uses_total", DebugValue::Counter(count)) => uses = Some(count),
            ("portcullis_decision_seconds", DebugValue::Histogram(values)) => timed += values.len(),
            (name, value) => panic!("{name}: {value:?}"),
        }
        assert!(labels.keys().all(|name| name != "client" && name != "token"), "{labels:?}");
    }
    assert_eq!((accepted, uses, days, timed), (1, Some(1), Some(44.0), 450));
    // 100 issuers by name, `other` and `none`.
    assert_eq!(issuers_named.len(), 102, "{issuers_named:?}");
    assert!(label_sets <= 103, "{label_sets}");
}

fn check_client(_: &CheckContext<'_>) -> Result<(), CheckError> {
    Ok(())
}
