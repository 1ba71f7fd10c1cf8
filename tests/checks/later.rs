//! Async checks: asked last, in order, for so long, and never in the way.

use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use portcullis::check::{
    AsyncCheck, CheckError, CheckFuture, CheckRequest, Denial, StepUp, Unavailable, allow_all,
    authenticated_within, scope,
};
use portcullis::issuer::TenantList;
use portcullis::jose::Algorithm;
use portcullis::testing::{ManualClock, TestIssuer, TokenBuilder};
use portcullis::time::{Clock as _, Timestamp};
use portcullis::{
    Binding, Exception, Mtls, Policy, RejectionKind as Kind, ResourceServer, TokenClass,
    assert_challenge,
};
use tokio::task::yield_now;
use tower::limit::ConcurrencyLimitLayer;
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::ask;
use crate::support::{self, RESOURCE, World, anonymous, bearer, outage, settle};

type Answer = Result<(), CheckError>;

async fn yes(_: CheckRequest) -> Answer {
    yield_now().await;
    Ok(())
}

async fn no(_: CheckRequest) -> Answer {
    yield_now().await;
    Err(Denial::forbidden("not you").into())
}

async fn unknown_subject(_: CheckRequest) -> Answer {
    yield_now().await;
    Err(Denial::invalid_token("no such account").into())
}

async fn lacking(_: CheckRequest) -> Answer {
    Err(Denial::missing_scopes(["more"]).unwrap().into())
}

async fn too_weak(_: CheckRequest) -> Answer {
    Err(Denial::step_up(StepUp::new().acr_values(["phr"]), "an unusual amount").into())
}

async fn unavailable(_: CheckRequest) -> Answer {
    yield_now().await;
    Err(Unavailable::new("the directory is down").retry_after(Duration::from_secs(7)).into())
}

async fn silent(_: CheckRequest) -> Answer {
    pending().await
}

/// A check that writes down that it was asked.
fn noted(
    log: &Arc<Mutex<Vec<&'static str>>>,
    name: &'static str,
    answer: Answer,
) -> impl AsyncCheck {
    let log = Arc::clone(log);
    move |_: CheckRequest| {
        log.lock().unwrap().push(name);
        let answer = answer.clone();
        async move {
            yield_now().await;
            answer
        }
    }
}

fn policy(check: impl AsyncCheck) -> Policy {
    Policy::new(scope("a")).and_async(check)
}

fn token(world: &World) -> TokenBuilder {
    world.token().scope("a")
}

/// An inner service that counts its calls.
fn counting(
    calls: &Arc<AtomicUsize>,
) -> impl tower::Service<
    Request<String>,
    Response = Response<String>,
    Error = Infallible,
    Future = std::future::Ready<Result<Response<String>, Infallible>>,
> + Clone
+ Send
+ 'static {
    let calls = Arc::clone(calls);
    service_fn(move |_: Request<String>| {
        calls.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Ok(Response::new("inner".to_owned())))
    })
}

/// JWS-39: a resolver of subjects is one of them. `Guard::verify` decides as the layer does.
#[tokio::test]
async fn each_answer_is_answered_as_that_of_any_check() {
    let world = World::new().await;
    for (name, policy, status, kind) in [
        ("yes", policy(yes), 200, None),
        ("no", policy(no), 403, Some(Kind::InsufficientScope)),
        ("JWS-39 unknown subject", policy(unknown_subject), 401, Some(Kind::NotAccepted)),
        ("a missing scope", policy(lacking), 403, Some(Kind::InsufficientScope)),
        ("a step-up", policy(too_weak), 401, Some(Kind::InsufficientAuthentication)),
        ("unavailable", policy(unavailable), 503, Some(Kind::CheckUnavailable)),
        ("yes, yes", policy(yes).and_async(yes), 200, None),
        ("yes, no", policy(yes).and_async(no), 403, Some(Kind::InsufficientScope)),
        ("no, unavailable", policy(no).and_async(unavailable), 403, Some(Kind::InsufficientScope)),
        ("unavailable, no", policy(unavailable).and_async(no), 503, Some(Kind::CheckUnavailable)),
        ("yes, unavailable", policy(yes).and_async(unavailable), 503, Some(Kind::CheckUnavailable)),
    ] {
        let sent = ask(&world, policy.clone(), &token(&world)).await;
        assert_eq!(sent.response.status(), status, "{name}");
        assert_eq!((sent.kind(), sent.passed()), (kind, kind.is_none()), "{name}");
        assert_eq!(sent.access().is_some(), kind.is_none(), "{name}");

        let guard = world.api.guard(policy).unwrap();
        let request = bearer(&token(&world).sign());
        let verified = guard.verify(&request).await;
        assert_eq!(verified.as_ref().err().map(|rejection| rejection.kind()), kind, "{name}");
        let optional = guard.verify_optional(&request).await;
        assert_eq!(optional.as_ref().err().map(|rejection| rejection.kind()), kind, "{name}");
        if let Err(rejection) = verified {
            let response = rejection.to_response::<String>();
            assert_eq!(response.headers(), sent.response.headers(), "{name}");
        }
    }
    let sent = ask(&world, policy(no), &token(&world)).await;
    assert_challenge!(sent.response, 403, "Bearer", error = "insufficient_scope", !scope);
    let sent = ask(&world, policy(lacking), &token(&world)).await;
    assert_challenge!(sent.response, 403, "Bearer", scope = "a more");
    let sent = ask(&world, policy(too_weak), &token(&world)).await;
    assert_challenge!(sent.response, 401, "Bearer", acr_values = "phr");
    let sent = ask(&world, policy(unavailable), &token(&world)).await;
    assert_eq!(sent.response.headers()["retry-after"], "7");
    assert!(!sent.response.headers().contains_key("www-authenticate"));
}

#[tokio::test]
async fn none_is_asked_after_a_no() {
    let world = World::new().await;
    let log = Arc::new(Mutex::new(Vec::new()));
    let denied = || Err(Denial::forbidden("no").into());
    let three = |second: Answer| {
        Policy::new(scope("a"))
            .and_async(noted(&log, "one", Ok(())))
            .and_async(noted(&log, "two", second))
            .and_async(noted(&log, "three", Ok(())))
    };
    let asked = || std::mem::take(&mut *log.lock().unwrap());

    assert!(ask(&world, three(Ok(())), &token(&world)).await.passed());
    assert_eq!(asked(), ["one", "two", "three"]);
    assert!(!ask(&world, three(denied()), &token(&world)).await.passed());
    assert_eq!(asked(), ["one", "two"]);
    let outage = Err(Unavailable::new("down").into());
    assert!(!ask(&world, three(outage), &token(&world)).await.passed());
    assert_eq!(asked(), ["one", "two"]);
}

/// Only a request that everything else lets through costs a question.
#[tokio::test]
async fn none_is_asked_about_a_request_that_is_refused_anyway() {
    let world = World::new().await;
    let log = Arc::new(Mutex::new(Vec::new()));
    let layer = |sync: Policy| world.api.protect(sync.and_async(noted(&log, "asked", Ok(()))));
    for (name, layer, request, status) in [
        ("a missing scope", layer(scope("a").into()), bearer(&world.token().sign()), 403),
        ("an outage", layer(Policy::new(outage)), bearer(&token(&world).sign()), 503),
        ("no token", layer(scope("a").into()), anonymous(), 401),
        ("a bad token", layer(scope("a").into()), bearer(&token(&world).tampered()), 401),
        ("no token, none needed", layer(Policy::new(scope("a")).optional()), anonymous(), 200),
    ] {
        let sent = support::send(&layer, request).await;
        assert_eq!(sent.response.status(), status, "{name}");
        assert!(log.lock().unwrap().is_empty(), "{name}");
    }
    let sent = support::send(&layer(scope("a").into()), bearer(&token(&world).sign())).await;
    assert!(sent.passed());
    assert_eq!(log.lock().unwrap().len(), 1);
}

/// The time is that of all of them together.
#[tokio::test]
async fn a_check_without_an_answer_is_503_after_its_time() {
    let world = World::new().await;
    let calls = Arc::new(AtomicUsize::new(0));
    let millis = Duration::from_millis;
    // The keys' refresh sleeps too.
    let asleep = world.clock.sleepers();
    for (name, policy, timeout) in [
        ("the usual time", policy(silent), Policy::ASYNC_TIMEOUT),
        ("a time of its own", policy(silent).async_timeout(millis(200)), millis(200)),
        ("after a yes", policy(yes).and_async(silent).async_timeout(millis(200)), millis(200)),
    ] {
        let service = world.api.protect(policy.clone()).layer(counting(&calls));
        let request = bearer(&token(&world).sign());
        let waiting = tokio::spawn(service.oneshot(request.clone()));
        let guard = world.api.guard(policy).unwrap();
        let verifying = tokio::spawn(async move { guard.verify(&request).await.map(|_| ()) });
        settle().await;
        assert_eq!(world.clock.sleepers(), asleep + 2, "{name}");
        world.clock.advance(timeout - millis(1));
        settle().await;
        assert!(!waiting.is_finished() && !verifying.is_finished(), "{name}");
        world.clock.advance(millis(1));
        let response = waiting.await.unwrap().unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{name}");
        assert_eq!(response.headers()["retry-after"], "5", "{name}");
        let rejection = verifying.await.unwrap().unwrap_err();
        assert_eq!(rejection.kind(), Kind::CheckUnavailable, "{name}");
        assert_eq!(world.clock.sleepers(), asleep, "{name}");
    }
    assert_eq!(calls.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn an_impossible_time_is_a_fault() {
    let world = World::new().await;
    for (time, works) in [
        (Duration::ZERO, false),
        (Duration::from_micros(999), false),
        (Duration::from_millis(1), true),
        (Duration::from_mins(1), true),
        (Duration::from_secs(61), false),
    ] {
        let guard = world.api.guard(policy(yes).async_timeout(time));
        assert_eq!(guard.is_ok(), works, "{time:?}");
    }
}

/// A token whose life ends while the question is out is refused, whatever the answer.
#[tokio::test]
async fn a_token_that_expires_meanwhile_is_refused() {
    let second = Duration::from_secs(1);
    let world = World::with(Algorithm::Es256, |builder| builder.leeway(second)).await;
    for (life, kind) in [(2, Some(Kind::Expired)), (3, None)] {
        let clock = world.clock.clone();
        let slow = move |_: CheckRequest| {
            clock.advance(Duration::from_secs(3));
            std::future::ready(Ok(()))
        };
        let token = token(&world).expires_at(world.clock.now().plus(second * life));
        let sent = ask(&world, policy(slow), &token).await;
        assert_eq!((sent.kind(), sent.passed()), (kind, kind.is_none()), "{life}");
    }
}

/// A check that is ready at its nth poll, and counts how often its future was made and dropped.
struct Slow {
    polls: usize,
    made: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
}

struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl AsyncCheck for Slow {
    fn check(&self, _: CheckRequest) -> CheckFuture {
        self.made.fetch_add(1, Ordering::Relaxed);
        let (polls, counted) = (self.polls, Counted(Arc::clone(&self.dropped)));
        Box::pin(async move {
            for _ in 0..polls {
                yield_now().await;
            }
            drop(counted);
            Ok(())
        })
    }

    fn name(&self) -> &'static str {
        "slow"
    }
}

/// Dropped at every await point: nothing stays behind, and the inner service is not called.
#[tokio::test]
async fn a_dropped_question_loses_nothing() {
    let world = World::new().await;
    let calls = Arc::new(AtomicUsize::new(0));
    let (made, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let slow = || Slow { polls: 2, made: Arc::clone(&made), dropped: Arc::clone(&dropped) };
    let layer = world.api.protect(policy(slow()).and_async(slow()));
    // The keys' refresh sleeps too.
    let asleep = world.clock.sleepers();
    let mut points = 0;
    for polls in 0.. {
        let service = layer.layer(counting(&calls));
        let mut future = Box::pin(service.oneshot(bearer(&token(&world).sign())));
        let mut context = Context::from_waker(Waker::noop());
        let mut ready = None;
        for _ in 0..polls {
            if let Poll::Ready(response) = future.as_mut().poll(&mut context) {
                ready = Some(response);
                break;
            }
        }
        drop(future);
        assert_eq!(world.clock.sleepers(), asleep, "after {polls} polls");
        let (made, dropped) = (made.load(Ordering::Relaxed), dropped.load(Ordering::Relaxed));
        assert_eq!(made, dropped, "after {polls} polls");
        if let Some(response) = ready {
            assert_eq!(response.unwrap().body(), "inner");
            break;
        }
        assert_eq!(calls.load(Ordering::Relaxed), 0, "after {polls} polls");
        points += 1;
    }
    assert!(points >= 4, "each check was dropped at each of its points: {points}");
    assert_eq!(calls.load(Ordering::Relaxed), 1);

    // `verify` too.
    let guard = world.api.guard(policy(slow())).unwrap();
    let request = bearer(&token(&world).sign());
    for polls in 0..3 {
        let mut future = pin!(guard.verify(&request));
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..polls {
            assert!(future.as_mut().poll(&mut context).is_pending());
        }
    }
    assert_eq!(made.load(Ordering::Relaxed), dropped.load(Ordering::Relaxed));
    assert!(guard.verify(&request).await.is_ok());
}

/// A question that takes its time must not take a place of the inner service.
#[tokio::test]
async fn a_slow_question_holds_no_place_in_the_inner_service() {
    let world = World::new().await;
    let calls = Arc::new(AtomicUsize::new(0));
    let policy = Policy::new(allow_all()).and_async(silent_about_mallory);
    let limited = ConcurrencyLimitLayer::new(1).layer(counting(&calls));
    let service = world.api.protect(policy).layer(limited);
    let slow = bearer(&world.token().subject("mallory").sign());
    let waiting: Vec<_> =
        (0..4).map(|_| tokio::spawn(service.clone().oneshot(slow.clone()))).collect();
    settle().await;
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
    let good = tokio::spawn(service.clone().oneshot(bearer(&world.token().sign())));
    settle().await;
    assert!(good.is_finished(), "it waits for a place that nobody uses");
    assert_eq!(good.await.unwrap().unwrap().status(), StatusCode::OK);
    world.clock.advance(Policy::ASYNC_TIMEOUT);
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap().unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

async fn silent_about_mallory(request: CheckRequest) -> Answer {
    match request.access().subject().as_str() {
        "mallory" => pending().await,
        _ => Ok(()),
    }
}

/// What is asked about is the request, without its credentials.
#[tokio::test]
async fn a_question_holds_no_credentials() {
    let world = World::new().await;
    let seen = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&seen);
    let check = move |request: CheckRequest| {
        *keep.lock().unwrap() = Some(request);
        std::future::ready(Ok(()))
    };
    let mut request = bearer(&token(&world).sign());
    *request.uri_mut() = "/notes?x=1".parse().unwrap();
    *request.method_mut() = http::Method::DELETE;
    request.extensions_mut().insert(portcullis::PeerAddr::new([192, 0, 2, 7].into()));
    for (name, value) in [
        ("cookie", "session=secret-1"),
        ("dpop", "secret-2"),
        ("proxy-authorization", "Basic secret-3"),
        ("x-request-id", "7"),
    ] {
        request.headers_mut().append(name, value.parse().unwrap());
    }
    request.headers_mut().append("cookie", "other=secret-4".parse().unwrap());
    let sent = support::send(&world.api.protect(policy(check)), request).await;
    let seen = seen.lock().unwrap().take().unwrap();
    let names: Vec<_> = seen.headers().keys().map(|name| name.as_str().to_owned()).collect();
    assert_eq!(names, ["x-request-id"]);
    assert_eq!((seen.method().as_str(), seen.uri().to_string().as_str()), ("DELETE", "/notes?x=1"));
    assert_eq!(seen.peer().unwrap().ip().to_string(), "192.0.2.7");
    assert_eq!(seen.access().subject(), &"alice");
    assert_eq!(seen.now(), world.clock.now());
    let shown = format!("{seen:?}");
    assert!(!shown.contains("secret") && !shown.contains("x=1"), "{shown}");
    assert!(shown.contains("DELETE") && shown.contains("/notes"), "{shown}");
    // The inner service still gets what it was sent.
    let inner = sent.seen.unwrap();
    assert_eq!(inner.headers().get_all("cookie").iter().count(), 2);
    assert!(inner.headers().contains_key("authorization"));
}

/// A name stands for what cannot be shown.
#[tokio::test]
async fn a_question_stands_in_the_effective_policy() {
    let world = World::new().await;
    let counter = || Arc::new(AtomicUsize::new(0));
    let slow = Slow { polls: 0, made: counter(), dropped: counter() };
    let policy = policy(slow).named("asks").async_timeout(Duration::from_secs(2));
    let _guard = world.api.guard(policy).unwrap();
    let effective = world.api.effective_policy();
    let policies = effective["mounted"].as_array().unwrap();
    let policy = policies.iter().find(|policy| policy["name"] == "asks").unwrap();
    assert_eq!(policy["all_of"][0], serde_json::json!({ "async": "slow" }));
    assert_eq!(policy["async_timeout"], "2s");

    // Without a name of its own it stands as what it is in the code.
    let _guard = world.api.guard(self::policy(yes).named("asks too")).unwrap();
    let effective = world.api.effective_policy();
    let policies = effective["mounted"].as_array().unwrap();
    let policy = policies.iter().find(|policy| policy["name"] == "asks too").unwrap();
    assert!(policy["all_of"][0]["async"].as_str().unwrap().ends_with("::yes"), "{policy}");
}

/// What time or a list changed while the question was open is decided once more.
#[tokio::test]
async fn what_changed_meanwhile_is_decided_once_more() {
    let minute = Duration::from_mins(1);
    for name in ["nothing", "age of the token", "age of the authentication", "tenant", "exception"]
    {
        let clock = ManualClock::new();
        let issuer = TestIssuer::new("https://t0.example", &clock);
        let tenants = TenantList::new();
        tenants.add(issuer.fixed_keys()).unwrap();
        // 2027-01-31T23:59:30Z
        clock.set(Timestamp::from_secs(1_801_440_000 - 30));
        let mut server = ResourceServer::builder(RESOURCE)
            .clock(clock.clone())
            .leeway(Duration::ZERO)
            .tenants(tenants.clone(), 10)
            .binding(Binding::Either)
            .mtls(Mtls::direct())
            .exception(
                Exception::for_clients(["app"])
                    .of_issuer("https://t0.example")
                    .until(if name == "exception" { "2027-01-31" } else { "2027-02-28" })
                    .because("a test"),
            );
        let class = TokenClass::default_at_most(Duration::from_hours(1));
        server =
            server.class(if name == "age of the token" { class.max_age(minute) } else { class });
        let api = server.build().unwrap();
        let advance = clock.clone();
        let slow = move |_: CheckRequest| {
            let clock = advance.clone();
            let tenants = tenants.clone();
            async move {
                yield_now().await;
                clock.advance(minute);
                if name == "tenant" {
                    tenants.remove("https://t0.example");
                }
                Ok(())
            }
        };
        let fresh = match name {
            "age of the authentication" => minute,
            _ => Duration::from_hours(1),
        };
        let policy = Policy::new(authenticated_within(fresh))
            .and_async(slow)
            .async_timeout(Duration::from_mins(1));
        let now = clock.now();
        let token = issuer
            .token(RESOURCE)
            .client_id("app")
            .issued_at(now.minus(Duration::from_secs(30)))
            .claim("auth_time", now.as_secs() - 30)
            .sign();
        let sent = support::send(&api.protect(policy), bearer(&token)).await;
        let expected = match name {
            "age of the token" => Some(Kind::TooOld),
            "age of the authentication" => Some(Kind::InsufficientAuthentication),
            "tenant" => Some(Kind::UnknownIssuer),
            "exception" => Some(Kind::NotBound),
            _ => None,
        };
        assert_eq!(sent.kind(), expected, "{name}");
        assert_eq!(sent.passed(), expected.is_none(), "{name}");
        if let Some(access) = sent.access() {
            assert_eq!(access.decided_at(), now.plus(minute), "the time of the answer");
        }
    }
}

/// A request that waited for a busy inner service is not called past its token's life.
#[tokio::test]
async fn a_token_that_expires_before_the_inner_service_is_ready_is_refused() {
    for (waits, passes) in [(20, true), (40, false)] {
        let world = World::with(Algorithm::Es256, |builder| builder.leeway(Duration::ZERO)).await;
        let places = Arc::new(tokio::sync::Semaphore::new(1));
        let busy = Arc::clone(&places).acquire_owned().await.unwrap();
        let inner = service_fn(async |_: Request<String>| {
            Ok::<_, Infallible>(Response::new("inner".to_owned()))
        });
        let limited = tower::limit::ConcurrencyLimit::with_semaphore(inner, places);
        let service = world.api.protect(policy(yes)).layer(limited);
        let token = token(&world).expires_at(world.clock.now().plus(Duration::from_secs(30)));
        let request = bearer(&token.sign());
        let task = tokio::spawn(async move {
            // Whoever calls has seen that the service is ready for others, not for this request.
            let mut service = service;
            tower::Service::call(&mut service, request).await.unwrap()
        });
        settle().await;
        world.clock.advance(Duration::from_secs(waits));
        drop(busy);
        let response = task.await.unwrap();
        assert_eq!(response.status() == StatusCode::OK, passes, "{waits} seconds");
        if !passes {
            assert_challenge!(response, 401, "Bearer", error = "invalid_token");
        }
    }
}
