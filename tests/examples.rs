//! The examples do what they say: each is run, over real HTTP on loopback.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "examples are programs: `main` is not called here, and a test fails by panicking"
)]

#[path = "../examples/axum.rs"]
mod axum_example;
#[path = "../examples/behind_proxy.rs"]
mod behind_proxy;
#[path = "../examples/config.rs"]
mod config;
#[path = "../examples/dpop.rs"]
mod dpop;
#[path = "../examples/hyper.rs"]
mod hyper_example;
#[path = "../examples/introspection.rs"]
mod introspection;
#[path = "../examples/mtls.rs"]
mod mtls;
#[path = "../examples/revocation.rs"]
mod revocation;
#[path = "../examples/tonic.rs"]
mod tonic_example;
#[path = "../examples/tour.rs"]
mod tour;
#[path = "../examples/volume.rs"]
mod volume;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::MockConnectInfo;
use http::{Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use portcullis::certificate::{ChainCheck, PeerCertificate};
use portcullis::jose::Algorithm;
use portcullis::rustls::PeerInfo;
use portcullis::testing::{ClientKey, TestCertificate, TestIssuer, TestNetwork, challenges};
use portcullis::time::SystemClock;
use portcullis::{PeerAddr, Rejection, RejectionKind as Kind};
use tokio::net::TcpListener;
use tower::ServiceExt as _;

#[tokio::test]
async fn every_request_of_the_tour_comes_out_as_it_should() {
    assert_eq!(tour::run().await.unwrap(), 0);
}

/// Its client checks what it saw of each call.
#[tokio::test]
async fn every_call_of_the_tonic_example_comes_out_as_it_should() {
    assert_eq!(tonic_example::run().await.unwrap(), 0);
}

/// It asserts what passed and what was locked out.
#[tokio::test]
async fn a_token_that_is_used_too_much_is_locked_out() {
    volume::run().await.unwrap();
}

/// It asserts what was refused after each kind of revocation.
#[tokio::test]
async fn what_the_revocation_example_revokes_is_refused() {
    revocation::run().await.unwrap();
}

/// It asserts what passed, what was refused, and how often the issuer was asked.
#[tokio::test]
async fn what_the_introspection_example_asks_about_comes_out_as_it_should() {
    introspection::run().await.unwrap();
}

#[test]
fn the_config_example_builds_and_its_faulty_twins_tell_every_fault() {
    assert_eq!(config::run().unwrap(), [7, 10]);
}

async fn status(version: http::Version, method: &str, url: &str, token: Option<&str>) -> u16 {
    let mut builder = Client::builder(TokioExecutor::new());
    builder.http2_only(version == http::Version::HTTP_2);
    let mut request = Request::builder().method(method).uri(url).version(version);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let client = builder.build_http();
    client.request(request.body(Body::empty()).unwrap()).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn the_axum_example_protects_each_route_by_its_own_policy() {
    let issuer = TestIssuer::new("https://login.example", &SystemClock::new());
    let api = axum_example::api(&issuer).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let app = axum_example::app(&api);
    let server = tokio::spawn(async move { axum::serve(listener, app).await });

    let token = |scope: &str, client: &str| {
        issuer.token("https://notes.example").scope(scope).client_id(client).sign()
    };
    let read = token("notes:read", "app");
    let write = token("notes:write", "app");
    let robot = token("notes:write", "robot");
    for (method, path, token, expected) in [
        ("GET", "/notes", Some(&read), 200),
        ("GET", "/notes", Some(&write), 403),
        ("GET", "/notes", None, 401),
        ("DELETE", "/notes/1", Some(&write), 200),
        ("DELETE", "/notes/1", Some(&robot), 403),
        ("GET", "/", None, 200),
        ("GET", "/", Some(&read), 200),
        ("GET", "/.well-known/oauth-protected-resource", None, 200),
    ] {
        for version in [http::Version::HTTP_11, http::Version::HTTP_2] {
            let url = format!("{base}{path}");
            let got = status(version, method, &url, token.map(String::as_str)).await;
            assert_eq!(got, expected, "{method} {path} {version:?}");
        }
    }
    server.abort();
}

#[tokio::test]
async fn the_hyper_example_lets_only_its_scope_in() {
    let issuer = TestIssuer::new("https://login.example", &SystemClock::new());
    let api = hyper_example::api(&issuer).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(async move { hyper_example::serve(listener, api).await.unwrap() });

    let good = issuer.token("https://hello.example").scope("hello").sign();
    let bad = issuer.token("https://hello.example").scope("bye").sign();
    for version in [http::Version::HTTP_11, http::Version::HTTP_2] {
        assert_eq!(status(version, "GET", &url, Some(&good)).await, 200);
        assert_eq!(status(version, "GET", &url, Some(&bad)).await, 403);
        assert_eq!(status(version, "GET", &url, None).await, 401);
    }
    server.abort();
}

/// What an app answers: its status, and why it refused if it did.
async fn kind(app: &Router, target: &str, fields: &[(&str, &str)]) -> (u16, Option<Kind>) {
    let response = answer(app, target, fields).await;
    let kind = response.extensions().get::<Rejection>().map(Rejection::kind);
    (response.status().as_u16(), kind)
}

async fn answer(app: &Router, target: &str, fields: &[(&str, &str)]) -> Response<Body> {
    let (method, path) = target.split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

fn passed() -> (u16, Option<Kind>) {
    (200, None)
}

fn refused(kind: Kind) -> (u16, Option<Kind>) {
    (401, Some(kind))
}

/// Its client and its thief check what they saw of each request.
#[tokio::test]
async fn every_request_of_the_dpop_example_comes_out_as_it_should() {
    assert_eq!(dpop::run().await.unwrap(), 0);
}

/// DPOP-14, DPOP-C09, DPOP-C10, DPOP-17, DPOP-29: the proof of one request, at three servers that differ in
/// the origin that they were given.
#[tokio::test]
async fn the_dpop_example_wants_proofs_for_the_origin_that_it_was_given() {
    let clock = SystemClock::new();
    let issuer = TestIssuer::new("https://login.example", &clock);
    let key = ClientKey::generate(Algorithm::Es256, &clock);
    let token = issuer.token(dpop::RESOURCE).scope("notes:read");
    let token = token.claim("cnf", key.confirmation()).sign();
    let authorization = format!("DPoP {token}");
    let made = key.proof("GET", "http://127.0.0.1:3000/notes").token(&token);
    for (origin, expected) in [
        ("http://127.0.0.1:3000", passed()),
        ("http://127.0.0.1:3001", refused(Kind::ProofUri)),
        ("https://notes.example", refused(Kind::ProofUri)),
    ] {
        let api = dpop::api(issuer.fixed_keys(), origin, TestNetwork::of(&[])).unwrap();
        let app = dpop::app(&api);
        // A nonce is given for any proof of a request that would otherwise be good.
        let own = key.proof("GET", &format!("{origin}/notes")).token(&token).sign();
        let fields = [("authorization", authorization.as_str()), ("dpop", own.as_str())];
        let wanted = answer(&app, "GET /notes", &fields).await;
        assert_eq!(challenges(wanted.headers())[0].param("error"), Some("use_dpop_nonce"));
        let nonce = wanted.headers()["dpop-nonce"].to_str().unwrap();
        let proof = made.clone().nonce(nonce).sign();
        let fields = [("authorization", authorization.as_str()), ("dpop", proof.as_str())];
        assert_eq!(kind(&app, "GET /notes", &fields).await, expected, "{origin}");
        if expected == passed() {
            let again = kind(&app, "GET /notes", &fields).await;
            assert_eq!(again, refused(Kind::ProofReplayed), "{origin}");
        }
    }
}

/// Its clients check what they saw of each request.
#[tokio::test]
async fn every_request_of_the_mtls_example_comes_out_as_it_should() {
    assert_eq!(mtls::run().await.unwrap(), 0);
}

/// MTLS-01, MTLS-02, MTLS-08, MTLS-10: behind a listener that hands over no certificate, nothing that the
/// request says of one helps.
#[tokio::test]
async fn the_mtls_example_believes_its_own_listener_alone() {
    let issuer = TestIssuer::new("https://login.example", &SystemClock::new());
    let app = mtls::app(&mtls::api(issuer.fixed_keys(), TestNetwork::of(&[])).unwrap());
    let [alice, mallory] =
        ["alice", "mallory"].map(|name| TestCertificate::named(name).self_signed());
    let token = issuer.token(mtls::RESOURCE).scope("notes:read").claim("cnf", alice.confirmation());
    let authorization = format!("Bearer {}", token.sign());
    let field = alice.client_cert_field();
    let fields = [("authorization", authorization.as_str()), ("client-cert", field.as_str())];
    for (name, shown, expected) in [
        ("her own", Some(&alice), passed()),
        ("another", Some(&mallory), refused(Kind::OtherCertificate)),
        ("none", None, refused(Kind::CertificateMissing)),
    ] {
        let shown =
            shown.map(|shown| PeerCertificate::new(shown.certificate(), ChainCheck::Unchecked));
        let peer = PeerInfo::new(PeerAddr::new(Ipv4Addr::LOCALHOST.into()), shown);
        let app = app.clone().layer(MockConnectInfo(peer));
        assert_eq!(kind(&app, "GET /notes", &fields).await, expected, "{name}");
    }
    let plain = app.layer(MockConnectInfo(SocketAddr::from((Ipv4Addr::LOCALHOST, 443))));
    let got = kind(&plain, "GET /notes", &fields).await;
    assert_eq!(got, refused(Kind::CertificateMissing), "a listener without TLS");
}

/// Its clients check what they saw of each request.
#[tokio::test]
async fn every_request_of_the_behind_proxy_example_comes_out_as_it_should() {
    assert_eq!(behind_proxy::run().await.unwrap(), 0);
}

/// MTLS-10, MTLS-11: one request with `Client-Cert`, by who sent it and who is trusted.
#[tokio::test]
async fn the_behind_proxy_example_believes_its_proxy_alone() {
    let issuer = TestIssuer::new("https://login.example", &SystemClock::new());
    let alice = TestCertificate::named("alice").self_signed();
    let token = issuer.token(behind_proxy::RESOURCE).scope("notes:read");
    let authorization = format!("Bearer {}", token.claim("cnf", alice.confirmation()).sign());
    let field = alice.client_cert_field();
    let fields = [("authorization", authorization.as_str()), ("client-cert", field.as_str())];
    let proxy = IpAddr::from(behind_proxy::PROXY);
    let other = IpAddr::from(Ipv4Addr::LOCALHOST);
    for (trusted, peer, expected) in [
        (proxy, proxy, passed()),
        (proxy, other, refused(Kind::CertificateMissing)),
        (other, proxy, refused(Kind::CertificateMissing)),
    ] {
        let (origin, network) = ("https://api.example", TestNetwork::of(&[]));
        let api = behind_proxy::api(issuer.fixed_keys(), origin, trusted, network).unwrap();
        let peer = SocketAddr::from((peer, 1));
        let app = behind_proxy::app(&api).layer(MockConnectInfo(peer));
        assert_eq!(kind(&app, "GET /notes", &fields).await, expected, "{trusted} {peer}");
    }
}

/// DPOP-14: one request to `/notes`, by the URI that its proof names.
#[tokio::test]
async fn the_behind_proxy_example_puts_the_prefix_back() {
    let clock = SystemClock::new();
    let issuer = TestIssuer::new("https://login.example", &clock);
    let key = ClientKey::generate(Algorithm::Es256, &clock);
    let token = issuer.token(behind_proxy::RESOURCE).scope("notes:read");
    let token = token.claim("cnf", key.confirmation()).sign();
    let origin = "https://api.example";
    let proxy = behind_proxy::PROXY.into();
    let api = behind_proxy::api(issuer.fixed_keys(), origin, proxy, TestNetwork::of(&[])).unwrap();
    let app = behind_proxy::app(&api).layer(MockConnectInfo(SocketAddr::from((proxy, 1))));
    for (uri, expected) in [
        ("https://api.example/v1/notes", passed()),
        ("https://api.example/notes", refused(Kind::ProofUri)),
        ("https://api.example/v2/notes", refused(Kind::ProofUri)),
        ("http://127.0.0.2/v1/notes", refused(Kind::ProofUri)),
    ] {
        let proof = key.proof("GET", uri).token(&token).sign();
        let authorization = format!("DPoP {token}");
        let fields = [("authorization", authorization.as_str()), ("dpop", proof.as_str())];
        assert_eq!(kind(&app, "GET /notes", &fields).await, expected, "{uri}");
    }
}
