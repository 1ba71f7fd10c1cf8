//! gRPC: a tonic client against a tonic server, over HTTP/2 on loopback.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{HeaderMap, StatusCode, header::AUTHORIZATION};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use portcullis::check::{
    CheckContext, CheckError, Denial, StepUp, Unavailable, allow_all, peer_in, scope,
};
use portcullis::jose::Algorithm;
use portcullis::layer::require;
use portcullis::sender::Nonces;
use portcullis::testing::{ClientKey, TestAccess, challenges};
use portcullis::tonic::{access, optional_access};
use portcullis::{Dpop, PeerAddr, Policy, Preflight, Rejection, RejectionKind};
use support::{NAMED, PRIVATE, RESOURCE, World, anonymous, every_refusal, field_bytes, send, told};
use tokio::net::TcpListener;
use tonic::codegen::tokio_stream::{self, Stream};
use tonic::metadata::MetadataMap;
use tonic::service::InterceptorLayer;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Response, Status, async_trait};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tracing_subscriber::layer::SubscriberExt as _;

type Why = fn() -> CheckError;

/// What a handler refuses with, by the name that a call asks for.
const WHY: [(&str, Why); 6] = [
    ("forbidden", || Denial::forbidden("somebody else's ward").into()),
    ("scopes", || Denial::missing_scopes(["ward:7"]).unwrap().into()),
    ("invalid", || Denial::invalid_token("no such account").into()),
    ("step up", || {
        let wanted = StepUp::new().acr_values(["phr"]).max_age(Duration::from_mins(5));
        Denial::step_up(wanted, "a weak login").into()
    }),
    ("outage", || Unavailable::new("the directory does not answer").into()),
    ("long outage", || Unavailable::new("closed").retry_after(Duration::from_millis(1_500)).into()),
];

/// A service that does what a call asks for, and counts.
#[derive(Clone, Default)]
struct Wards {
    calls: Arc<AtomicUsize>,
}

impl Wards {
    fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// 1 with an access, 2 without.
    fn answer(&self, request: &Request<HealthCheckRequest>) -> Result<HealthCheckResponse, Status> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let status = match request.get_ref().service.as_str() {
            "unread" => 1,
            "access" => {
                access(request)?;
                1
            }
            "optional" => optional_access(request)?.map_or(2, |_| 1),
            name => {
                let (_, why) = WHY.iter().find(|(known, _)| *known == name).expect("a known name");
                return Err(access(request)?.refuse(why()).into());
            }
        };
        Ok(HealthCheckResponse { status })
    }
}

#[async_trait]
impl Health for Wards {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.answer(&request).map(Response::new)
    }

    type WatchStream =
        std::pin::Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let answer = self.answer(&request)?;
        Ok(Response::new(Box::pin(tokio_stream::iter([Ok(answer), Ok(answer)]))))
    }
}

/// A client of what this future serves.
async fn connect<F>(serve: impl FnOnce(TcpListener) -> F) -> HealthClient<Channel>
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(serve(listener));
    HealthClient::new(Channel::from_shared(url).unwrap().connect().await.unwrap())
}

/// A client of [`Wards`] behind these layers, the first the outer one.
macro_rules! client {
    ($wards:expr $(, $layer:expr)*) => {{
        let server = Server::builder().http2_max_header_list_size(1 << 16);
        $(let server = server.layer($layer);)*
        let mut server = server;
        let router = server.add_service(HealthServer::new($wards.clone()));
        connect(async move |listener| {
            router.serve_with_incoming(TcpIncoming::from(listener)).await.unwrap();
        })
        .await
    }};
}

fn call(name: &str, token: Option<&str>) -> Request<HealthCheckRequest> {
    let mut request = Request::new(HealthCheckRequest { service: name.to_owned() });
    if let Some(token) = token {
        let field = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", field);
    }
    request
}

/// The metadata of a refusal, without what the server's clock adds.
fn metadata(status: &Status) -> HeaderMap {
    let mut headers = status.metadata().clone().into_headers();
    headers.remove("date");
    headers
}

fn code_of(status: StatusCode) -> Code {
    match status.as_u16() {
        400 | 401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        503 => Code::Unavailable,
        500 => Code::Internal,
        other => panic!("no refusal: {other}"),
    }
}

/// The message that belongs to a challenge, or to none.
fn message_of(http: &http::Response<String>) -> String {
    let described = challenges(http.headers())
        .first()
        .and_then(|challenge| challenge.param("error_description").map(str::to_owned));
    let fixed = match http.status().as_u16() {
        401 => "an access token is required",
        503 => "the access token cannot be decided now",
        _ => "the server is configured wrongly",
    };
    described.unwrap_or_else(|| fixed.to_owned())
}

/// AT-19, AUTH-02, AUTH-04, AUTH-11, AUTH-32, API-04: each kind of refusal, as gRPC and as HTTP.
#[tokio::test]
async fn every_refusal_has_its_code_and_the_challenge_of_http() {
    let mut codes = Vec::new();
    for case in every_refusal(|builder| builder.error_uri("https://rs.example/errors")).await {
        let kind = case.kind;
        let headers = case.request.headers().clone();
        // A proof is for one method and one URI, and a call has others.
        let of_its_place = headers.contains_key("dpop") && kind != RejectionKind::UnboundUnderDpop;
        // And it has another connection.
        if of_its_place || kind == RejectionKind::OtherCertificate {
            continue;
        }
        let http = send(&case.layer, case.request).await;
        assert_eq!(http.kind(), Some(kind));
        let http = http.response;

        let wards = Wards::default();
        let layer = case.layer.grpc();
        // An access cannot be sent: here a second layer is what is mounted wrongly.
        let mut client = match kind {
            RejectionKind::Misconfigured => client!(wards, layer.clone(), layer),
            _ => client!(wards, layer),
        };
        let mut request = call("unread", None);
        *request.metadata_mut() = MetadataMap::from_headers(headers);
        let refused = client.check(request).await.unwrap_err();

        assert_eq!(wards.calls(), 0, "{kind:?}");
        assert_eq!(refused.code(), code_of(http.status()), "{kind:?}");
        assert_eq!(refused.message(), message_of(&http), "{kind:?}");
        assert!(refused.details().is_empty() && refused.source().is_none(), "{kind:?}");
        let headers = metadata(&refused);
        for name in ["www-authenticate", "retry-after", "cache-control", "dpop-nonce"] {
            let (grpc, http) = (headers.get_all(name), http.headers().get_all(name));
            assert!(grpc.iter().eq(http.iter()), "{kind:?}: {name}: {grpc:?}, {http:?}");
        }
        assert_eq!(
            challenges(&headers).len(),
            // One for each scheme.
            if http.status().is_client_error() { 2 } else { 0 },
            "{kind:?}"
        );
        let error = challenges(&headers)
            .first()
            .and_then(|challenge| challenge.param("error").map(str::to_owned));
        assert_eq!(error.as_deref(), told(kind).1, "{kind:?}");
        // gRFC A6: milliseconds, and only where another try may help.
        let rejection = http.extensions().get::<Rejection>().unwrap();
        let pushback = rejection.retry_after().map(|time| time.as_millis().to_string());
        let found = headers.get("grpc-retry-pushback-ms").map(|value| value.to_str().unwrap());
        assert_eq!(found, pushback.as_deref(), "{kind:?}");

        let mut sent = field_bytes(&headers);
        sent.push(("message".to_owned(), refused.message().into()));
        for (name, value) in sent {
            let value = String::from_utf8(value).expect("ASCII");
            for marker in [NAMED, PRIVATE] {
                assert!(!value.contains(marker), "{kind:?}: {name}: {value}");
            }
            for part in case.token.iter().flat_map(|token| token.split('.')) {
                assert!(part.len() <= 8 || !value.contains(part), "{kind:?}: {name}: {value}");
            }
        }
        codes.push((refused.code(), http.status().as_u16()));
    }
    for row in [
        (Code::Unauthenticated, 401),
        (Code::Unauthenticated, 400),
        (Code::PermissionDenied, 403),
        (Code::Unavailable, 503),
        (Code::Internal, 500),
    ] {
        assert!(codes.contains(&row), "no refusal with {row:?}");
    }
}

/// DPOP-29, DPOP-C09: a call proves its sender as any request does: by a proof for `POST` and the
/// method's path, with the nonce that stands in the metadata of the refusal.
#[tokio::test]
async fn a_call_proves_its_sender() {
    let world = World::with(Algorithm::Es256, |builder| {
        builder.dpop(Dpop::new().nonces(Nonces::required()))
    })
    .await;
    let wards = Wards::default();
    let mut client = client!(wards, world.api.protect(scope("a")).grpc());
    let key = ClientKey::generate(Algorithm::Es256, &world.clock);
    let token = world.token().scope("a").claim("cnf", key.confirmation()).sign();
    let proof = |path: &str| key.proof("POST", &format!("{RESOURCE}{path}")).token(&token);
    let with = |proof: String| {
        let mut request = call("access", None);
        let fields = [("authorization", format!("DPoP {token}")), ("dpop", proof)];
        for (name, value) in fields {
            request.metadata_mut().insert(name, value.parse().unwrap());
        }
        request
    };
    const PATH: &str = "/grpc.health.v1.Health/Check";
    let refused = client.check(with(proof(PATH).sign())).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let headers = metadata(&refused);
    assert_eq!(challenges(&headers)[0].param("error"), Some("use_dpop_nonce"));
    let nonce = headers["dpop-nonce"].to_str().unwrap();
    let elsewhere = proof("/grpc.health.v1.Health/Watch").nonce(nonce).sign();
    let refused = client.check(with(elsewhere)).await.unwrap_err();
    assert_eq!(challenges(&metadata(&refused))[0].param("error"), Some("invalid_dpop_proof"));
    assert_eq!(wards.calls(), 0);
    client.check(with(proof(PATH).nonce(nonce).sign())).await.unwrap();
    assert_eq!(wards.calls(), 1);
}

#[tokio::test]
async fn a_call_that_streams_is_refused_like_any_other() {
    let world = World::new().await;
    let wards = Wards::default();
    let mut client = client!(wards, world.api.protect(scope("a")).grpc());
    let good = world.token().scope("a").sign();
    let mut stream = client.watch(call("access", Some(&good))).await.unwrap().into_inner();
    for _ in 0..2 {
        assert_eq!(stream.message().await.unwrap().unwrap().status, 1);
    }
    assert!(stream.message().await.unwrap().is_none());
    assert_eq!(wards.calls(), 1);

    let bad = world.token().scope("b").sign();
    let changed = world.token().scope("a").tampered();
    for (name, token, code) in [
        ("no token", None, Code::Unauthenticated),
        ("a changed token", Some(&*changed), Code::Unauthenticated),
        ("another scope", Some(&*bad), Code::PermissionDenied),
    ] {
        let streamed = client.watch(call("access", token)).await.map(drop).unwrap_err();
        let single = client.check(call("access", token)).await.unwrap_err();
        assert_eq!(streamed.code(), code, "{name}");
        assert_eq!(single.code(), code, "{name}");
        assert_eq!(streamed.message(), single.message(), "{name}");
        assert_eq!(metadata(&streamed), metadata(&single), "{name}");
    }
    assert_eq!(wards.calls(), 1, "a refusal never reaches the service");
}

#[tokio::test]
async fn a_handler_refuses_as_the_layer_would_have() {
    let world = World::new().await;
    let wards = Wards::default();
    let mut inside = client!(wards, world.api.protect(allow_all()).grpc());
    let token = world.token().scope("a").sign();
    for (name, why) in WHY {
        let check = move |_: &CheckContext<'_>| Err(why());
        let mut outside = client!(Wards::default(), world.api.protect(check).grpc());
        let by_layer = outside.check(call(name, Some(&token))).await.unwrap_err();
        let by_handler = inside.check(call(name, Some(&token))).await.unwrap_err();
        let by_stream = inside.watch(call(name, Some(&token))).await.map(drop).unwrap_err();
        for by in [by_handler, by_stream] {
            assert_eq!(by.code(), by_layer.code(), "{name}");
            assert_eq!(by.message(), by_layer.message(), "{name}");
            assert_eq!(metadata(&by), metadata(&by_layer), "{name}");
            assert_ne!(by.message(), "", "{name}");
        }
    }
    assert_eq!(wards.calls(), 2 * WHY.len());
}

#[test]
fn a_status_has_the_rejection_as_its_source_and_the_client_does_not() {
    let alice = TestAccess::new().subject("alice").build();
    let refused = alice.refuse(Denial::forbidden("somebody else's ward"));
    let status = Status::from(refused.clone());
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(status.message(), "the access token does not grant enough for this request");
    let source = status.source().unwrap().downcast_ref::<Rejection>().unwrap();
    assert_eq!(source.kind(), RejectionKind::InsufficientScope);
    assert_eq!(source.to_string(), "somebody else's ward");
    // What goes out is what the layer would send, field by field. tonic encodes spaces.
    let by_layer = refused.to_grpc_response::<()>();
    let mut by_handler = status.into_http::<()>();
    let message = by_handler.headers()["grpc-message"].to_str().unwrap().replace("%20", " ");
    by_handler.headers_mut().insert("grpc-message", message.parse().unwrap());
    assert_eq!(by_handler.status(), by_layer.status());
    assert_eq!(by_handler.headers(), by_layer.headers());

    let refused = alice.refuse(
        Unavailable::new("the directory does not answer").retry_after(Duration::from_millis(1_500)),
    );
    let status = Status::from(refused);
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), "1500");
    assert_eq!(status.metadata().get("retry-after").unwrap(), "2");
    assert!(status.metadata().get("www-authenticate").is_none());
}

#[tokio::test]
async fn a_require_below_tightens_and_answers_as_grpc_wants() {
    let world = World::new().await;
    let wards = Wards::default();
    let protect = world.api.protect(Policy::new(scope("a")).optional()).grpc();
    let mut client = client!(wards, protect, require(scope("b")).grpc());
    let both = world.token().scope("a b").sign();
    assert!(client.check(call("access", Some(&both))).await.is_ok());

    let one = world.token().scope("a").sign();
    let refused = client.check(call("access", Some(&one))).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(challenges(&metadata(&refused))[0].param("scope"), Some("a b"));
    // It passed above without a token, and here one is wanted.
    let refused = client.check(call("access", None)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(refused.message(), "an access token is required");
    assert_eq!(challenges(&metadata(&refused))[0].param("scope"), Some("a b"));

    let mut alone = client!(wards, require(scope("b")).grpc());
    let refused = alone.check(call("access", Some(&both))).await.unwrap_err();
    assert_eq!(refused.code(), Code::Internal);
    assert_eq!(refused.message(), "the server is configured wrongly");
    assert!(challenges(&metadata(&refused)).is_empty());
    assert_eq!(wards.calls(), 1);
}

#[tokio::test]
async fn an_access_is_optional_only_where_policy_and_handler_say_so() {
    let world = World::new().await;
    let wards = Wards::default();
    let policy = || Policy::new(scope("a"));
    let optional = client!(wards, world.api.protect(policy().optional()).grpc());
    let strict = client!(wards, world.api.protect(policy()).grpc());
    let good = world.token().scope("a").sign();
    let bad = world.token().scope("a").tampered();
    let refused = Err(Code::Unauthenticated);
    for (name, client, handler, token, expected) in [
        ("both, no token", &optional, "optional", None, Ok(2)),
        ("both, a token", &optional, "optional", Some(&good), Ok(1)),
        ("both, a bad token", &optional, "optional", Some(&bad), refused),
        ("the policy alone, no token", &optional, "access", None, refused),
        ("the policy alone, a token", &optional, "access", Some(&good), Ok(1)),
        ("the handler alone, no token", &strict, "optional", None, refused),
        ("the handler alone, a token", &strict, "optional", Some(&good), Ok(1)),
    ] {
        let answer = client.clone().check(call(handler, token.map(String::as_str))).await;
        let answer = answer.map(|response| response.get_ref().status);
        assert_eq!(answer.map_err(|status| status.code()), expected, "{name}");
    }
    let refused = optional.clone().check(call("access", None)).await.unwrap_err();
    assert_eq!(challenges(&metadata(&refused))[0].param("scope"), Some("a"));
}

/// Nobody said that a preflight may do without a token: it only was let through.
#[tokio::test]
async fn a_preflight_that_passed_is_no_anonymous_caller() {
    let world = World::new().await;
    let policy = Policy::new(scope("a")).optional().preflight(Preflight::Pass);
    let layer = world.api.protect(policy);
    let mut preflight = anonymous();
    *preflight.method_mut() = http::Method::OPTIONS;
    for (name, value) in
        [("origin", "https://app.example"), ("access-control-request-method", "POST")]
    {
        preflight.headers_mut().insert(name, value.parse().unwrap());
    }
    for (name, request, code) in
        [("a preflight", preflight, Some(Code::Unauthenticated)), ("no token", anonymous(), None)]
    {
        let request = Request::from_http(send(&layer, request).await.seen.unwrap());
        let refused = optional_access(&request).err().map(|status| status.code());
        assert_eq!(refused, code, "{name}");
        assert_eq!(access(&request).unwrap_err().code(), Code::Unauthenticated, "{name}");
    }
}

/// A forgotten layer: the only test that may meet it, since it is logged once.
#[test]
fn without_a_layer_every_call_is_internal_and_one_line_says_why() {
    struct Count(Arc<AtomicUsize>);
    impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Count {
        fn on_event(
            &self,
            event: &tracing::Event<'_>,
            _: tracing_subscriber::layer::Context<'_, S>,
        ) {
            if *event.metadata().level() == tracing::Level::ERROR {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    let errors = Arc::new(AtomicUsize::new(0));
    let log = tracing_subscriber::registry().with(Count(Arc::clone(&errors)));
    // With one dispatcher alone, a call site that another thread meets first is off for all.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    tracing::subscriber::with_default(log, || {
        for _ in 0..3 {
            for refused in [
                access(&call("access", None)).map(drop).unwrap_err(),
                optional_access(&call("optional", None)).map(drop).unwrap_err(),
            ] {
                assert_eq!(refused.code(), Code::Internal);
                assert_eq!(refused.message(), "the server is configured wrongly");
                assert!(challenges(&metadata(&refused)).is_empty());
            }
        }
    });
    assert_eq!(errors.load(Ordering::Relaxed), 1);

    let mut mounted = call("access", None);
    mounted.extensions_mut().insert(TestAccess::new().subject("alice").build());
    assert_eq!(access(&mounted).unwrap().subject(), &"alice");
    assert_eq!(optional_access(&mounted).unwrap().unwrap().subject(), &"alice");
}

/// One axum router with a gRPC service, the same without `.grpc()`, and an HTTP route.
#[tokio::test]
async fn only_what_said_grpc_answers_in_grpc() {
    let world = World::new().await;
    let wards = Wards::default();
    let service = || HealthServer::new(wards.clone());
    let layer = || world.api.protect(scope("a"));
    let protected = tower::ServiceBuilder::new().layer(layer().grpc()).service(service());
    let unsaid = tower::ServiceBuilder::new().layer(layer()).service(service());
    let app = Router::new()
        .route_service("/grpc.health.v1.Health/Check", protected)
        .route_service("/grpc.health.v1.Health/Watch", unsaid)
        .route("/notes", get(async || "notes").layer(layer()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let channel = Channel::from_shared(base.clone()).unwrap().connect().await.unwrap();
    let mut client = HealthClient::new(channel);

    let good = world.token().scope("a").sign();
    assert_eq!(client.check(call("access", Some(&good))).await.unwrap().get_ref().status, 1);
    let refused = client.check(call("access", None)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(refused.message(), "an access token is required");

    let http = Client::builder(TokioExecutor::new()).http2_only(true).build_http::<Body>();
    for (method, path, status, style) in [
        ("POST", "/grpc.health.v1.Health/Check", 200, Some("16")),
        ("POST", "/grpc.health.v1.Health/Watch", 401, None),
        ("GET", "/notes", 401, None),
    ] {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("{base}{path}"))
            .header("content-type", "application/grpc")
            .body(Body::empty());
        let response = http.request(request.unwrap()).await.unwrap();
        let headers = response.headers();
        assert_eq!(response.version(), http::Version::HTTP_2, "{path}");
        assert_eq!(response.status(), status, "{path}");
        let found = headers.get("grpc-status").map(|value| value.to_str().unwrap());
        assert_eq!(found, style, "{path}");
        assert_eq!(challenges(headers)[0].param("scope"), Some("a"), "{path}");
        // Trailers-Only: the header block ends the stream.
        assert!(
            http_body_util::BodyExt::collect(response.into_body())
                .await
                .unwrap()
                .trailers()
                .is_none()
        );
    }
    let notes = http::Request::get(format!("{base}/notes"))
        .header(AUTHORIZATION, format!("Bearer {good}"))
        .body(Body::empty());
    assert_eq!(http.request(notes.unwrap()).await.unwrap().status(), 200);
}

/// As the module's documentation shows it.
fn peer(mut request: Request<()>) -> Result<Request<()>, Status> {
    if let Some(address) = request.remote_addr() {
        request.extensions_mut().insert(PeerAddr::new(address.ip()));
    }
    Ok(request)
}

#[tokio::test]
async fn an_interceptor_outside_tells_checks_where_a_call_comes_from() {
    let world = World::new().await;
    let token = world.token().sign();
    let from = |network| world.api.protect(peer_in([network])).grpc();
    let interceptor = || InterceptorLayer::new(peer);
    let near = client!(Wards::default(), interceptor(), from("127.0.0.0/8"));
    let far = client!(Wards::default(), interceptor(), from("10.0.0.0/8"));
    let none = client!(Wards::default(), from("127.0.0.0/8"));
    for (name, mut client, expected) in [
        ("outside, in the network", near, None),
        ("outside, in no network", far, Some(Code::PermissionDenied)),
        ("not mounted", none, Some(Code::PermissionDenied)),
    ] {
        // A header field says nothing about it.
        let mut request = call("access", Some(&token));
        for field in ["x-forwarded-for", "forwarded", "x-real-ip"] {
            request.metadata_mut().insert(field, "127.0.0.1".parse().unwrap());
        }
        let refused = client.check(request).await.err().map(|status| status.code());
        assert_eq!(refused, expected, "{name}");
    }
}
