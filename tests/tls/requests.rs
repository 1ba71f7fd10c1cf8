//! From a connection to its requests.

use std::convert::Infallible;
use std::future::IntoFuture as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::{ConnectInfo, MockConnectInfo};
use axum::routing::get;
use axum::serve::ListenerExt as _;
use bytes::Bytes;
use http::{Extensions, Request, Response};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use portcullis::PeerAddr;
use portcullis::axum::PeerLayer;
use portcullis::certificate::{ChainCheck, PeerCertificate};
use portcullis::rustls::{ClientCertificates, PeerInfo, TlsAcceptor, TlsListener};
use portcullis::testing::TestCertificate;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tower::{Layer as _, Service as _, ServiceExt as _, service_fn};

use crate::world::Presents::{Nothing, Own};
use crate::world::{World, connect, peer};

/// What a request says of its sender: address, thumbprint, and whether the chain was verified.
fn sender(extensions: &Extensions) -> String {
    let address = extensions.get::<PeerAddr>().map(|peer| peer.ip().to_string());
    let certificate = extensions
        .get::<PeerCertificate>()
        .map(|peer| format!("{} {:?}", peer.certificate().thumbprint(), peer.chain_check()));
    let none = || "none".to_owned();
    format!("{} {}", address.unwrap_or_else(none), certificate.unwrap_or_else(none))
}

fn expected(address: &str, certificate: Option<(&TestCertificate, ChainCheck)>) -> String {
    let certificate = certificate.map_or_else(
        || "none".to_owned(),
        |(certificate, chain)| format!("{} {chain:?}", certificate.certificate().thumbprint()),
    );
    format!("{address} {certificate}")
}

#[derive(Clone, Copy, Debug)]
enum Http {
    One,
    Two,
}

/// What a service answers to three requests on one connection, whose header fields lie about its
/// certificate.
async fn ask<IO>(http: Http, mut client: ClientConfig, stream: IO) -> Vec<String>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let protocol = match http {
        Http::One => "http/1.1",
        Http::Two => "h2",
    };
    client.alpn_protocols = vec![protocol.into()];
    let stream = connect(&Arc::new(client), stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol.as_bytes()));
    let (stream, mallory) = (TokioIo::new(stream), TestCertificate::named("mallory").self_signed());
    let requests = (0..3).map(|_| {
        Request::get("https://localhost/")
            .header("host", "localhost")
            .header("client-cert", mallory.client_cert_field())
            .header("x-forwarded-client-cert", mallory.xfcc_field())
            .body(Empty::<Bytes>::new())
            .unwrap()
    });
    let mut answers = Vec::new();
    match http {
        Http::One => {
            let (mut sender, connection) = http1::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            for request in requests {
                sender.ready().await.unwrap();
                answers.push(text(sender.send_request(request).await.unwrap()).await);
            }
        }
        Http::Two => {
            let executor = TokioExecutor::new();
            let (mut sender, connection) = http2::handshake(executor, stream).await.unwrap();
            tokio::spawn(connection);
            for request in requests {
                sender.ready().await.unwrap();
                answers.push(text(sender.send_request(request).await.unwrap()).await);
            }
        }
    }
    answers
}

async fn text<B: hyper::body::Body<Data = Bytes>>(response: Response<B>) -> String
where
    B::Error: std::fmt::Debug,
{
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().into()).unwrap()
}

/// One connection, served by hyper.
async fn over_hyper(acceptor: &TlsAcceptor, http: Http, client: ClientConfig) -> Vec<String> {
    let (near, far) = tokio::io::duplex(65_536);
    let acceptor = acceptor.clone();
    tokio::spawn(async move {
        let connection = acceptor.accept(near, peer()).await.unwrap();
        let service = service_fn(async |request: Request<hyper::body::Incoming>| {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(sender(request.extensions()))))
        });
        let service = TowerToHyperService::new(connection.peer().service(service));
        auto::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(connection), service)
            .await
            .unwrap();
    });
    ask(http, client, far).await
}

/// One connection, served by axum.
async fn over_axum(acceptor: &TlsAcceptor, app: Router, client: ClientConfig) -> Vec<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let listener = TlsListener::new(listener, acceptor.clone());
    let app = app.into_make_service_with_connect_info::<PeerInfo>();
    let server = axum::serve(listener, app);
    assert_eq!(server.local_addr().unwrap().address().ip(), address.ip());
    tokio::spawn(async move { server.await });
    ask(Http::Two, client, TcpStream::connect(address).await.unwrap()).await
}

/// A route that answers with what it knows of the sender.
fn route() -> Router {
    Router::new().route("/", get(async |request: Request<Body>| sender(request.extensions())))
}

/// MTLS-01: on every request of the connection, whatever its fields say.
#[tokio::test]
async fn the_certificate_of_a_connection_reaches_its_requests_under_hyper() {
    let world = World::new();
    let alice = TestCertificate::named("alice").issued_by(&world.authority);
    for http in [Http::One, Http::Two] {
        for (name, clients, chain) in [
            ("requested", ClientCertificates::requested(), ChainCheck::Unchecked),
            ("verified", world.verified().optional(), ChainCheck::Verified),
        ] {
            let acceptor = world.acceptor(clients);
            for (presents, certificate) in [(Own(&alice), Some((&alice, chain))), (Nothing, None)] {
                let answers = over_hyper(&acceptor, http, world.client(presents)).await;
                let expected = expected("192.0.2.7", certificate);
                assert_eq!(answers, vec![expected; 3], "{name}, {http:?}");
            }
        }
    }
}

/// MTLS-01: the same with `axum::serve`.
#[tokio::test]
async fn the_certificate_of_a_connection_reaches_its_requests_under_axum() {
    let world = World::new();
    let alice = TestCertificate::named("alice").self_signed();
    let acceptor = world.acceptor(ClientCertificates::requested());
    let unchecked = Some((&alice, ChainCheck::Unchecked));
    for (name, app, presents, expected) in [
        (
            "with a certificate",
            route().layer(PeerLayer),
            Own(&alice),
            expected("127.0.0.1", unchecked),
        ),
        ("without", route().layer(PeerLayer), Nothing, expected("127.0.0.1", None)),
        ("without the layer", route(), Own(&alice), expected("none", None)),
    ] {
        let answers = over_axum(&acceptor, app, world.client(presents)).await;
        assert_eq!(answers, vec![expected; 3], "{name}");
    }
}

#[tokio::test]
async fn a_listener_can_be_wrapped_and_shut_down_as_axums_own() {
    let world = World::new();
    let alice = TestCertificate::named("alice").self_signed();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = world.acceptor(ClientCertificates::requested());
    let listener = TlsListener::new(listener, acceptor)
        .tap_io(|connection| assert!(connection.peer().certificate().is_some()));
    let app = route().layer(PeerLayer).into_make_service_with_connect_info::<PeerInfo>();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = axum::serve(listener, app)
        .with_graceful_shutdown(async { stopped.await.unwrap() })
        .into_future();
    let server = tokio::spawn(server);
    let stream = TcpStream::connect(address).await.unwrap();
    let answers = ask(Http::One, world.client(Own(&alice)), stream).await;
    assert_eq!(answers[0], expected("127.0.0.1", Some((&alice, ChainCheck::Unchecked))));
    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

/// MTLS-01: whoever stands outside cannot lend a connection another's certificate.
#[tokio::test]
async fn what_is_known_of_the_sender_already_is_replaced() {
    let alice = TestCertificate::named("alice").self_signed();
    let mallory = TestCertificate::named("mallory").self_signed();
    let unchecked = ChainCheck::Unchecked;
    let presented = |certificate: &TestCertificate| {
        Some(PeerCertificate::new(certificate.certificate(), unchecked))
    };
    let near = |certificate| PeerInfo::new(peer(), certificate);
    let far = PeerAddr::new([198, 51, 100, 7].into());
    for (name, info, expected) in [
        (
            "by a certificate",
            near(presented(&alice)),
            expected("192.0.2.7", Some((&alice, unchecked))),
        ),
        ("by none", near(None), expected("192.0.2.7", None)),
    ] {
        let request = || {
            let mut request = Request::new(Body::empty());
            request.extensions_mut().insert(far);
            request.extensions_mut().insert(presented(&mallory).unwrap());
            request
        };
        let answer = service_fn(async |request: Request<Body>| {
            Ok::<_, Infallible>(Response::new(Body::from(sender(request.extensions()))))
        });
        let untouched = answer.oneshot(request()).await.unwrap();
        assert!(text(untouched).await.starts_with("198.51.100.7 "), "{name}");
        let response = info.service(answer).oneshot(request()).await.unwrap();
        assert_eq!(text(response).await, expected, "{name}, by the service");
        let mut request = request();
        request.extensions_mut().insert(ConnectInfo(info));
        let response = route().layer(PeerLayer).oneshot(request).await.unwrap();
        assert_eq!(text(response).await, expected, "{name}, by the layer");
    }
}

/// What axum saw goes before what was mocked, and what the acceptor saw before an address.
#[tokio::test]
async fn the_layer_believes_the_acceptor_first_and_mocks_last() {
    let alice = TestCertificate::named("alice").self_signed();
    let other = TestCertificate::named("other").self_signed();
    let unchecked = ChainCheck::Unchecked;
    let info = |ip: [u8; 4], certificate: &TestCertificate| {
        let certificate = PeerCertificate::new(certificate.certificate(), unchecked);
        PeerInfo::new(PeerAddr::new(IpAddr::from(ip)), Some(certificate))
    };
    let (tls, mocked_tls) = (info([192, 0, 2, 1], &alice), info([192, 0, 2, 2], &other));
    let tcp = SocketAddr::from(([192, 0, 2, 3], 40_000));
    let mocked_tcp = SocketAddr::from(([192, 0, 2, 4], 40_000));
    let of_alice = expected("192.0.2.1", Some((&alice, unchecked)));
    let of_other = expected("192.0.2.2", Some((&other, unchecked)));
    for (name, present, expected) in [
        ("all four", [true, true, true, true], &of_alice),
        ("the acceptor alone", [true, false, false, false], &of_alice),
        ("an address, and mocks", [false, true, true, true], &expected("192.0.2.3", None)),
        ("mocks", [false, false, true, true], &of_other),
        ("a mocked address", [false, false, false, true], &expected("192.0.2.4", None)),
    ] {
        let mut request = Request::new(Body::empty());
        let extensions = request.extensions_mut();
        present[0].then(|| extensions.insert(ConnectInfo(tls.clone())));
        present[1].then(|| extensions.insert(ConnectInfo(tcp)));
        present[2].then(|| extensions.insert(MockConnectInfo(mocked_tls.clone())));
        present[3].then(|| extensions.insert(MockConnectInfo(mocked_tcp)));
        let response = route().layer(PeerLayer).oneshot(request).await.unwrap();
        assert_eq!(text(response).await, *expected, "{name}");
    }
}

/// The service waits until the one inside is ready.
#[tokio::test]
async fn the_service_is_ready_when_the_inner_one_is() {
    let answer = service_fn(async |_: Request<()>| Ok::<_, Infallible>(()));
    let limited = tower::limit::ConcurrencyLimitLayer::new(1).layer(answer);
    let mut service = PeerInfo::new(peer(), None).service(limited);
    let first = service.ready().await.unwrap().call(Request::new(()));
    let waker = std::task::Waker::noop();
    let mut context = std::task::Context::from_waker(waker);
    assert!(service.poll_ready(&mut context).is_pending());
    first.await.unwrap();
    assert!(service.poll_ready(&mut context).is_ready());
}
