//! The tower contract of the layers, and what they do to a request and a response.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{HeaderValue, Request, Response, StatusCode};
use portcullis::axum::Claims;
use portcullis::check::{
    Check as _, CheckContext, CheckError, Denial, Unavailable, allow_all, scope,
};
use portcullis::layer::require;
use portcullis::testing::{ManualClock, TestIssuer, TestNetwork};
use portcullis::{
    Access, Binding, Policy, Preflight, Rejection, RejectionKind, ResourceServer, TokenClass,
    assert_challenge,
};
use tower::{Layer, Service, ServiceExt as _};

const RESOURCE: &str = "https://rs.example";

struct World {
    issuer: TestIssuer,
    api: ResourceServer,
}

impl World {
    fn new() -> Self {
        let clock = ManualClock::new();
        let issuer = TestIssuer::new("https://as.example", &clock);
        let api = ResourceServer::builder(RESOURCE)
            .issuer(issuer.discover())
            .binding(Binding::WhereBound)
            .class(TokenClass::default_at_most(Duration::from_hours(1)))
            .transport(TestNetwork::of(&[&issuer]))
            .clock(clock.clone())
            .build()
            .unwrap();
        Self { issuer, api }
    }

    async fn warm() -> Self {
        let world = Self::new();
        world.api.warm_up().await.unwrap();
        world
    }

    fn request(&self, scope: &str) -> Request<Body> {
        request(&self.issuer.token(RESOURCE).scope(scope).sign())
    }
}

fn request(token: &str) -> Request<Body> {
    Request::get("/notes")
        .header("authorization", format!("Bearer {token}"))
        .body(Body::empty())
        .unwrap()
}

fn anonymous() -> Request<Body> {
    Request::get("/notes").body(Body::empty()).unwrap()
}

/// What the inner service saw.
#[derive(Clone, Debug)]
struct Seen {
    access: Option<Access>,
    authorization: Option<HeaderValue>,
}

/// A service that has to be polled ready before each call, and counts. Each clone is unready.
#[derive(Default)]
struct Inner {
    ready: bool,
    calls: Arc<AtomicUsize>,
    clones: Arc<AtomicUsize>,
}

impl Clone for Inner {
    fn clone(&self) -> Self {
        self.clones.fetch_add(1, Ordering::Relaxed);
        Self { ready: false, calls: Arc::clone(&self.calls), clones: Arc::clone(&self.clones) }
    }
}

impl Service<Request<Body>> for Inner {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called without being polled ready");
        self.calls.fetch_add(1, Ordering::Relaxed);
        let seen = Seen {
            access: request.extensions().get::<Access>().cloned(),
            authorization: request.headers().get("authorization").cloned(),
        };
        let mut response = Response::new("inner".to_owned());
        response.extensions_mut().insert(seen);
        ready(Ok(response))
    }
}

async fn send(
    policy: impl Into<Policy>,
    world: &World,
    request: Request<Body>,
) -> Response<String> {
    world.api.protect(policy).layer(Inner::default()).oneshot(request).await.unwrap()
}

#[tokio::test]
async fn an_accepted_request_carries_its_access() {
    let world = World::warm().await;
    let response = send(scope("a"), &world, world.request("a b")).await;
    assert_eq!((response.status(), response.body().as_str()), (StatusCode::OK, "inner"));
    assert!(response.headers().is_empty(), "a pass adds nothing to the response");
    let seen = response.extensions().get::<Seen>().unwrap();
    let access = seen.access.as_ref().unwrap();
    assert_eq!(access.subject(), &"alice");
    assert_eq!(access.scopes().collect::<Vec<_>>(), ["a", "b"]);
    assert!(seen.authorization.is_some());
}

#[tokio::test]
async fn a_refusal_never_reaches_the_inner_service() {
    let world = World::warm().await;
    let inner = Inner::default();
    let calls = Arc::clone(&inner.calls);
    let layer = world.api.protect(scope("a"));
    for request in [anonymous(), request("junk"), world.request("b")] {
        let response = layer.layer(inner.clone()).oneshot(request).await.unwrap();
        assert!(response.status().is_client_error());
        assert!(response.body().is_empty());
        let rejection = response.extensions().get::<Rejection>().unwrap();
        assert_eq!(rejection.status(), response.status());
    }
    assert_eq!(calls.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn the_service_that_was_polled_ready_is_called_without_a_clone() {
    let world = World::warm().await;
    let inner = Inner::default();
    let clones = Arc::clone(&inner.clones);
    let mut service = world.api.layer().layer(inner);
    for _ in 0..3 {
        let response = service.ready().await.unwrap().call(world.request("")).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
    assert_eq!(clones.load(Ordering::Relaxed), 0);
}

/// A decision that has to wait for keys keeps the ready service and leaves its clone behind.
#[tokio::test]
async fn the_service_that_was_polled_ready_is_called_after_a_wait() {
    let world = World::new();
    let inner = Inner::default();
    let calls = Arc::clone(&inner.calls);
    let mut service = world.api.layer().layer(inner);
    let first = service.ready().await.unwrap().call(world.request(""));
    // Before the first has its keys, the service is readied and called again.
    let second = service.ready().await.unwrap().call(world.request(""));
    let (first, second) = tokio::join!(first, second);
    assert_eq!(
        (first.unwrap().status(), second.unwrap().status()),
        (StatusCode::OK, StatusCode::OK)
    );
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn backpressure_of_the_inner_service_is_passed_on() {
    struct Busy;
    impl Service<Request<Body>> for Busy {
        type Response = Response<String>;
        type Error = Infallible;
        type Future = Ready<Result<Response<String>, Infallible>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Pending
        }
        fn call(&mut self, _: Request<Body>) -> Self::Future {
            panic!("called while busy")
        }
    }
    impl Clone for Busy {
        fn clone(&self) -> Self {
            Busy
        }
    }
    let world = World::warm().await;
    let mut context = Context::from_waker(Waker::noop());
    let mut protected = world.api.layer().layer(Busy);
    assert!(Service::<Request<Body>>::poll_ready(&mut protected, &mut context).is_pending());
    let mut required = require(allow_all()).layer(Busy);
    assert!(Service::<Request<Body>>::poll_ready(&mut required, &mut context).is_pending());
}

#[tokio::test]
async fn a_dropped_decision_does_not_call_the_inner_service() {
    let world = World::new();
    world.issuer.hold();
    let inner = Inner::default();
    let calls = Arc::clone(&inner.calls);
    let mut service = world.api.layer().layer(inner);
    {
        let mut future = pin!(service.ready().await.unwrap().call(world.request("")));
        let mut context = Context::from_waker(Waker::noop());
        assert!(future.as_mut().poll(&mut context).is_pending());
    }
    world.issuer.release();
    tokio::task::yield_now().await;
    assert_eq!(calls.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn optional_credentials_still_refuse_a_bad_token() {
    let world = World::warm().await;
    let optional = || Policy::new(scope("a")).optional();
    let response = send(optional(), &world, anonymous()).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.extensions().get::<Seen>().unwrap().access.is_none());
    let response = send(optional(), &world, world.request("a")).await;
    assert!(response.extensions().get::<Seen>().unwrap().access.is_some());

    let bad = world.issuer.token(RESOURCE).tampered();
    assert_challenge!(
        send(optional(), &world, request(&bad)).await,
        401,
        "Bearer",
        error = "invalid_token"
    );
    let response = send(optional(), &world, world.request("b")).await;
    assert_challenge!(response, 403, "Bearer", error = "insufficient_scope", scope = "a");
    let mut basic = anonymous();
    basic.headers_mut().insert("authorization", HeaderValue::from_static("Basic YTpi"));
    assert_challenge!(send(optional(), &world, basic).await, 401, "Bearer", !error);
}

/// AUTH-30
#[tokio::test]
async fn a_preflight_passes_only_by_choice_and_only_if_it_is_one() {
    let world = World::warm().await;
    let preflight = || {
        Request::options("/notes")
            .header("origin", "https://app.example")
            .header("access-control-request-method", "GET")
            .body(Body::empty())
            .unwrap()
    };
    let pass = || Policy::new(scope("a")).preflight(Preflight::Pass);
    assert_eq!(send(pass(), &world, preflight()).await.status(), StatusCode::OK);
    assert_eq!(send(scope("a"), &world, preflight()).await.status(), StatusCode::UNAUTHORIZED);
    for remove in ["origin", "access-control-request-method"] {
        let mut request = preflight();
        request.headers_mut().remove(remove);
        assert_eq!(send(pass(), &world, request).await.status(), StatusCode::UNAUTHORIZED);
    }
    let mut get = preflight();
    *get.method_mut() = http::Method::GET;
    assert_eq!(send(pass(), &world, get).await.status(), StatusCode::UNAUTHORIZED);
    let mut with_token = preflight();
    with_token.headers_mut().insert("authorization", HeaderValue::from_static("Bearer junk"));
    assert_eq!(send(pass(), &world, with_token).await.status(), StatusCode::UNAUTHORIZED);
}

/// BCP-04, MCP-04
#[tokio::test]
async fn authorization_is_stripped_by_choice() {
    let world = World::warm().await;
    let policy = Policy::new(scope("a")).strip_credentials();
    let response = send(policy, &world, world.request("a")).await;
    let seen = response.extensions().get::<Seen>().unwrap();
    assert!(seen.access.is_some() && seen.authorization.is_none());
}

/// AUTH-30
#[tokio::test]
async fn the_challenge_is_exposed_to_other_origins_by_choice() {
    let world = World::warm().await;
    let exposed = Policy::new(scope("a")).expose_challenge();
    let response = send(exposed, &world, anonymous()).await;
    let exposed = response.headers()["access-control-expose-headers"].to_str().unwrap();
    assert!(exposed.split(", ").any(|name| name == "WWW-Authenticate"));
    let response = send(scope("a"), &world, anonymous()).await;
    assert!(!response.headers().contains_key("access-control-expose-headers"));
}

#[tokio::test]
async fn a_refusal_can_have_a_body_and_keeps_its_challenge() {
    let world = World::warm().await;
    let problem = HeaderValue::from_static("application/problem+json");
    let layer = world.api.protect(scope("a")).refusal_body(move |rejection: &Rejection| {
        (problem.clone(), format!(r#"{{"kind":"{}"}}"#, rejection.kind().as_str()))
    });
    let response = layer.layer(Inner::default()).oneshot(world.request("b")).await.unwrap();
    assert_challenge!(response, 403, "Bearer", error = "insufficient_scope", scope = "a");
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert_eq!(response.body(), r#"{"kind":"insufficient_scope"}"#);
}

#[tokio::test]
async fn a_protect_inside_another_is_a_fault() {
    let world = World::warm().await;
    let calls = Arc::new(AtomicUsize::new(0));
    let inner = Inner { calls: Arc::clone(&calls), ..Inner::default() };
    let nested = world.api.protect(allow_all()).layer(world.api.layer().layer(inner.clone()));
    let response = nested.oneshot(world.request("")).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);

    // An outer one that lets anybody pass does not hide the inner one's decision.
    let optional = world.api.protect(Policy::new(allow_all()).optional());
    let nested = optional.layer(world.api.layer().layer(inner));
    let response = nested.oneshot(anonymous()).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(calls.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_require_can_only_tighten() {
    let world = World::warm().await;
    let both = || world.api.protect(scope("a")).layer(require(scope("b")).layer(Inner::default()));
    assert_eq!(both().oneshot(world.request("a b")).await.unwrap().status(), StatusCode::OK);
    let response = both().oneshot(world.request("a")).await.unwrap();
    assert_challenge!(
        response,
        403,
        "Bearer",
        error = "insufficient_scope",
        scope = "a b",
        realm = RESOURCE,
    );
    let response = both().oneshot(world.request("b")).await.unwrap();
    assert_challenge!(response, 403, "Bearer", error = "insufficient_scope", scope = "a");
}

#[tokio::test]
async fn a_require_refuses_a_request_that_passed_without_a_token() {
    let world = World::warm().await;
    let outer = world.api.protect(Policy::new(allow_all()).optional());
    let service = outer.layer(require(scope("a")).layer(Inner::default()));
    let response = service.oneshot(anonymous()).await.unwrap();
    assert_challenge!(response, 401, "Bearer", scope = "a", !error);
}

#[tokio::test]
async fn a_require_without_a_protect_is_a_fault() {
    let world = World::warm().await;
    let service = require(allow_all()).layer(Inner::default());
    let response = service.oneshot(world.request("a")).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!response.headers().contains_key("www-authenticate"));
}

/// AUTH-09: a scope that is none is a construction error, and never a silent pass.
#[tokio::test]
async fn a_faulty_policy_refuses_every_request() {
    let world = World::warm().await;
    for faulty in [scope("a\"b"), scope(""), portcullis::check::all_scopes([""; 0])] {
        assert!(world.api.guard(faulty.clone()).is_err());
        let response = send(faulty.clone(), &world, world.request("a")).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let service = world.api.layer().layer(require(faulty.clone()).layer(Inner::default()));
        let response = service.oneshot(world.request("a")).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let or = world.api.guard(scope("a").or(faulty));
        assert!(or.is_err(), "the right side of an `or` is looked at too");
    }
}

fn unavailable(_: &CheckContext<'_>) -> Result<(), CheckError> {
    Err(Unavailable::new("the ledger is down").retry_after(Duration::from_millis(1500)).into())
}

fn denied(_: &CheckContext<'_>) -> Result<(), CheckError> {
    Err(Denial::forbidden("not you").into())
}

fn unknown_subject(_: &CheckContext<'_>) -> Result<(), CheckError> {
    Err(Denial::invalid_token("no such subject").into())
}

/// The table of `and`, `or` and tuples: yes, no, cannot tell.
#[tokio::test]
async fn checks_combine() {
    let world = World::warm().await;
    let status =
        async |policy: Policy| send(policy, &world, world.request("a")).await.status().as_u16();
    for (name, policy, expected) in [
        ("yes and yes", scope("a").and(allow_all()).into(), 200),
        ("yes and no", scope("a").and(denied).into(), 403),
        ("no and cannot tell", denied.and(unavailable).into(), 403),
        ("cannot tell and no", unavailable.and(denied).into(), 503),
        ("yes or cannot tell", scope("a").or(unavailable).into(), 200),
        ("cannot tell or yes", unavailable.or(scope("a")).into(), 200),
        ("no or no", scope("b").or(denied).into(), 403),
        ("no or cannot tell", denied.or(unavailable).into(), 503),
        ("cannot tell or no", unavailable.or(denied).into(), 503),
        ("tuple of yes", Policy::from((allow_all(), scope("a"))), 200),
        ("tuple with a no", Policy::from((allow_all(), denied, scope("a"))), 403),
        ("invalid token", unknown_subject.into(), 401),
        ("invalid token or no", unknown_subject.or(denied).into(), 401),
    ] {
        assert_eq!(status(policy).await, expected, "{name}");
    }
    let response = send(unavailable, &world, world.request("a")).await;
    assert_eq!(response.headers()["retry-after"], "2", "rounded up");
    let response = send(unknown_subject, &world, world.request("a")).await;
    assert_challenge!(response, 401, "Bearer", error = "invalid_token", !scope);
}

/// SCOPE-02
#[tokio::test]
async fn a_scope_is_implied_only_by_the_servers_rule() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new("https://as.example", &clock);
    let server = |implication: bool| {
        let builder = ResourceServer::builder(RESOURCE)
            .issuer(issuer.fixed_keys())
            .binding(Binding::WhereBound)
            .class(TokenClass::default_at_most(Duration::from_hours(1)))
            .policy(scope("read"))
            .clock(clock.clone());
        let rule = |held: &str, wanted: &str| (held, wanted) == ("admin", "read");
        if implication { builder.scope_rule(rule) } else { builder }.build().unwrap()
    };
    let parts = |scope: &str| request(&issuer.token(RESOURCE).scope(scope).sign()).into_parts().0;
    assert!(server(true).verify(&parts("admin")).await.is_ok());
    let kind = server(false).verify(&parts("admin")).await.unwrap_err().kind();
    assert_eq!(kind, RejectionKind::InsufficientScope);
    for scope in ["readx", "rea", "Read", "xread", "administrator"] {
        let kind = server(true).verify(&parts(scope)).await.unwrap_err().kind();
        assert_eq!(kind, RejectionKind::InsufficientScope, "{scope}");
    }
}

#[derive(serde::Deserialize)]
struct Tenant {
    tenant: String,
}

fn app(world: &World) -> Router {
    let protected = Router::new()
        .route("/whoami", get(async |access: Access| access.subject().to_string()))
        .route("/tenant", get(async |Claims(tenant): Claims<Tenant>| tenant.tenant))
        .layer(world.api.layer());
    let greet = async |access: Option<Access>| match access {
        Some(access) => format!("hello {}", access.subject()),
        None => "hello you".to_owned(),
    };
    let public = Router::new()
        .route("/hello", get(greet))
        .route("/needs", get(async |_: Access| "never"))
        .layer(world.api.protect(Policy::new(allow_all()).optional()));
    protected
        .merge(public)
        .route("/forgotten", get(async |_: Access| "never"))
        .route("/forgotten-option", get(async |_: Option<Access>| "never"))
        .route("/forgotten-claims", get(async |_: Claims<Tenant>| "never"))
}

#[tokio::test]
async fn extractors_give_what_the_layer_decided() {
    let world = World::warm().await;
    let token = world.issuer.token(RESOURCE).claim("tenant", "blue").sign();
    let plain = world.issuer.token(RESOURCE).sign();
    for (path, token, status, body) in [
        ("/whoami", Some(&token), 200, "alice"),
        ("/whoami", None, 401, ""),
        ("/tenant", Some(&token), 200, "blue"),
        ("/tenant", Some(&plain), 401, ""),
        ("/hello", Some(&token), 200, "hello alice"),
        ("/hello", None, 200, "hello you"),
        ("/needs", None, 401, ""),
        ("/forgotten", Some(&token), 500, ""),
        ("/forgotten-option", Some(&token), 500, ""),
        ("/forgotten-option", None, 500, ""),
        ("/forgotten-claims", Some(&token), 500, ""),
    ] {
        let mut request = token.map_or_else(anonymous, |token| request(token));
        *request.uri_mut() = path.parse().unwrap();
        let response = app(&world).oneshot(request).await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{path}");
        let bytes = axum::body::to_bytes(response.into_body(), 1024).await.unwrap();
        assert_eq!(bytes, body.as_bytes(), "{path}");
    }
}

/// Several methods of one path with scopes of their own: `.route` twice.
#[tokio::test]
async fn methods_of_one_path_have_policies_of_their_own() {
    let world = World::warm().await;
    let app = Router::new()
        .route("/notes", get(async || "read").layer(world.api.protect(scope("r"))))
        .route(
            "/notes",
            axum::routing::post(async || "write").layer(world.api.protect(scope("w"))),
        );
    for (method, scope, status) in
        [("GET", "r", 200), ("GET", "w", 403), ("POST", "w", 200), ("POST", "r", 403)]
    {
        let mut request = world.request(scope);
        *request.method_mut() = method.parse().unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{method} {scope}");
    }
}

#[test]
fn everything_a_user_holds_can_cross_threads() {
    fn check<T: Clone + Send + Sync + 'static>(_: &T) {}
    let world = World::new();
    check(&world.api);
    check(&world.api.guard(allow_all()).unwrap());
    check(&world.api.layer());
    check(&world.api.layer().layer(Inner::default()));
    check(&require(allow_all()).layer(Inner::default()));
    check(&world.api.metadata_service());
}

/// A preflight passes undecided: that does not make a handler's token optional.
#[tokio::test]
async fn a_preflight_is_not_an_optional_token() {
    let world = World::warm().await;
    let policy = || Policy::new(scope("admin")).preflight(Preflight::Pass);
    let app = Router::new()
        .route("/any", axum::routing::any(async |_: Option<Access>| "reached"))
        .layer(world.api.protect(policy()));
    let request = || {
        Request::options("/any")
            .header("origin", "https://app.example")
            .header("access-control-request-method", "DELETE")
            .header("x-http-method-override", "DELETE")
            .body(Body::from("a body"))
            .unwrap()
    };
    let response = app.oneshot(request()).await.unwrap();
    assert_challenge!(response, 401, "Bearer", scope = "admin", !error);
    let guard = world.api.guard(policy()).unwrap();
    let kind = guard.verify_optional(&request()).await.unwrap_err().kind();
    assert_eq!(kind, RejectionKind::NoCredentials);
}

/// Tokens that make the server wait for keys must not take the inner service's places.
#[tokio::test]
async fn a_waiting_token_holds_no_place_in_the_inner_service() {
    let world = World::warm().await;
    world.issuer.hold();
    let limited = tower::limit::ConcurrencyLimitLayer::new(1).layer(Inner::default());
    let service = world.api.layer().layer(limited);
    let junk = world.issuer.token(RESOURCE).header("kid", "junk").sign();
    let waiting: Vec<_> =
        (0..4).map(|_| tokio::spawn(service.clone().oneshot(request(&junk)))).collect();
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
    let good = service.clone().oneshot(world.request(""));
    let response = tokio::time::timeout(Duration::from_secs(20), good).await.unwrap().unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    world.issuer.release();
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap().unwrap().status(), StatusCode::UNAUTHORIZED);
    }
}

/// What the policy above says holds for refusals below it.
#[tokio::test]
async fn refusals_below_a_protect_are_exposed_as_its_own() {
    let world = World::warm().await;
    let exposed = Policy::new(scope("a")).expose_challenge();
    let service =
        world.api.protect(exposed.clone()).layer(require(scope("b")).layer(Inner::default()));
    let response = service.oneshot(world.request("a")).await.unwrap();
    assert!(response.headers().contains_key("access-control-expose-headers"));
    let guard = world.api.guard(exposed).unwrap();
    let rejection = guard.verify(&anonymous()).await.unwrap_err();
    let response = rejection.to_response::<()>();
    assert!(response.headers().contains_key("access-control-expose-headers"));
}

/// A decision can cross threads, whatever the body of the request is.
#[test]
fn a_decision_can_cross_threads() {
    fn check<T: Send>(_: &T) {}
    let world = World::new();
    let request = anonymous();
    let guard = world.api.guard(allow_all()).unwrap();
    check(&guard.verify(&request));
    check(&guard.verify_optional(&request));
    check(&world.api.verify(&request));
    check(&world.api.warm_up());
}

/// What a check cannot look up, a handler can; its refusal is answered as a check's.
#[tokio::test]
async fn a_handler_refuses_as_a_check_would() {
    let world = World::warm().await;
    let handler = async |access: Access| -> Result<&'static str, Rejection> {
        Err(access.refuse(Denial::forbidden("somebody else's note")))
    };
    let app = Router::new()
        .route("/notes", get(handler))
        .layer(world.api.protect(Policy::new(scope("a")).expose_challenge()));
    let response = app.oneshot(world.request("a")).await.unwrap();
    // The token has every scope that is asked for: naming one would send the client in a circle.
    assert_challenge!(response, 403, "Bearer", error = "insufficient_scope", !scope);
    assert!(response.headers().contains_key("access-control-expose-headers"));
}
