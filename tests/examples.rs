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
#[path = "../examples/config.rs"]
mod config;
#[path = "../examples/hyper.rs"]
mod hyper_example;
#[path = "../examples/tonic.rs"]
mod tonic_example;
#[path = "../examples/tour.rs"]
mod tour;
#[path = "../examples/volume.rs"]
mod volume;

use axum::body::Body;
use http::Request;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use portcullis::testing::TestIssuer;
use portcullis::time::SystemClock;
use tokio::net::TcpListener;

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
