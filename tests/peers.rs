//! The address of a connection, from axum to the checks that name networks. (From tonic: `grpc`.)
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::{ConnectInfo, MockConnectInfo};
use axum::routing::get;
use http::{Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use portcullis::PeerAddr;
use portcullis::axum::PeerLayer;
use portcullis::check::peer_in;
use support::World;
use tokio::net::TcpListener;
use tower::ServiceExt as _;
use tracing_subscriber::layer::SubscriberExt as _;

/// A route for one network, without a `PeerLayer`.
fn route(world: &World, network: &str) -> Router {
    Router::new()
        .route("/notes", get(async || "notes").layer(world.api.protect(peer_in([network]))))
}

/// A good token, and header fields that lie about where it comes from.
fn request(world: &World, base: &str) -> Request<Body> {
    Request::get(format!("{base}/notes"))
        .header("authorization", format!("Bearer {}", world.token().sign()))
        .header("x-forwarded-for", "127.0.0.1, 192.0.2.7")
        .header("forwarded", "for=127.0.0.1")
        .body(Body::empty())
        .unwrap()
}

async fn over_tcp(world: &World, app: Router) -> StatusCode {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let client = Client::builder(TokioExecutor::new()).build_http();
    client.request(request(world, &base)).await.unwrap().status()
}

#[tokio::test]
async fn a_peer_layer_outside_tells_checks_where_a_request_comes_from() {
    let world = World::new().await;
    let inside = |network| {
        let layers = (world.api.protect(peer_in([network])), PeerLayer);
        Router::new().route("/notes", get(async || "notes").layer(layers))
    };
    for (name, app, expected) in [
        ("outside, in the network", route(&world, "127.0.0.0/8").layer(PeerLayer), 200),
        ("outside, in no network", route(&world, "10.0.0.0/8").layer(PeerLayer), 403),
        ("mounted inside", inside("127.0.0.0/8"), 403),
        ("not mounted", route(&world, "127.0.0.0/8"), 403),
    ] {
        assert_eq!(over_tcp(&world, app).await, expected, "{name}");
    }
}

#[tokio::test]
async fn what_axum_saw_goes_before_what_was_mocked_or_there_already() {
    let world = World::new().await;
    let app = route(&world, "192.0.2.0/24").layer(PeerLayer);
    let near = SocketAddr::from(([192, 0, 2, 7], 40_000));
    let far = SocketAddr::from(([198, 51, 100, 7], 40_000));
    let mapped: SocketAddr = "[::ffff:192.0.2.7]:40000".parse().unwrap();
    for (name, seen, mocked, there, expected) in [
        ("seen", Some(near), None, None, 200),
        ("seen elsewhere", Some(far), None, None, 403),
        ("an IPv4 address on an IPv6 socket", Some(mapped), None, None, 200),
        ("mocked", None, Some(near), None, 200),
        ("mocked elsewhere", None, Some(far), None, 403),
        ("seen, and mocked elsewhere", Some(near), Some(far), None, 200),
        ("mocked, and seen elsewhere", Some(far), Some(near), None, 403),
        ("seen, and another address there", Some(near), None, Some(far), 200),
        ("seen elsewhere, and an address there", Some(far), None, Some(near), 403),
    ] {
        let mut request = request(&world, "");
        let extensions = request.extensions_mut();
        seen.map(|address| extensions.insert(ConnectInfo(address)));
        mocked.map(|address| extensions.insert(MockConnectInfo(address)));
        there.map(|address: SocketAddr| extensions.insert(PeerAddr::new(address.ip())));
        let response = app.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), expected, "{name}");
    }
}

/// A router that is served without connect info: the only test that may meet it, since it is
/// logged once.
#[tokio::test]
async fn without_connect_info_the_address_is_unknown_and_one_line_says_so() {
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
    let world = World::new().await;
    let errors = Arc::new(AtomicUsize::new(0));
    let log = tracing_subscriber::registry().with(Count(Arc::clone(&errors)));
    let _guard = tracing::subscriber::set_default(log);
    let app = route(&world, "127.0.0.0/8").layer(PeerLayer);
    for _ in 0..3 {
        let response = app.clone().oneshot(request(&world, "")).await.unwrap();
        assert_eq!(response.status(), 403);
    }
    assert_eq!(errors.load(Ordering::Relaxed), 1);

    // What somebody outside knew stays.
    let mut known = request(&world, "");
    known.extensions_mut().insert(PeerAddr::new(IpAddr::from([127, 0, 0, 1])));
    assert_eq!(app.oneshot(known).await.unwrap().status(), 200);
}
