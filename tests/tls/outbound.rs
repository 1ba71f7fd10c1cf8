//! The certificate that our own client shows.

use std::future::IntoFuture as _;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::post;
use bytes::Bytes;
use http::{Request, StatusCode};
use portcullis::rustls::{ClientCertificates, PeerInfo, TlsListener};
use portcullis::secret::Secret;
use portcullis::testing::TestCertificate;
use portcullis::transport::{FetchError, FetchErrorKind, FetchLimits, ReqwestTransport, Transport};
use tokio::net::TcpListener;

use crate::world::World;

async fn whoever(ConnectInfo(peer): ConnectInfo<PeerInfo>) -> String {
    peer.certificate()
        .map_or_else(|| "nobody".to_owned(), |shown| shown.certificate().thumbprint().to_string())
}

/// What a server of these rules answers to `transport`.
async fn asked(
    world: &World,
    clients: ClientCertificates,
    transport: &ReqwestTransport,
) -> Result<String, FetchError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    let listener = TlsListener::new(listener, world.acceptor(clients));
    let app = Router::new().route("/", post(whoever));
    let app = app.into_make_service_with_connect_info::<PeerInfo>();
    let server = tokio::spawn(axum::serve(listener, app).into_future());
    let request = Request::post(url).body(Bytes::from("token=t")).unwrap();
    let limits = FetchLimits::new(1_024, Duration::from_secs(30));
    let answer = transport.fetch(request, limits).await;
    server.abort();
    answer.map(|answer| {
        assert_eq!(answer.status(), StatusCode::OK);
        String::from_utf8(answer.into_body().into()).unwrap()
    })
}

/// RFC 8705 §2, INT-02, INT-03: the certificate is shown to a server that asks for one, with proof of
/// its key; a transport without one is nobody, one with a stranger's gets no connection, and no
/// certificate makes up for a server of another authority.
#[tokio::test]
async fn a_transport_shows_its_certificate() {
    let world = World::new();
    let own = TestCertificate::named("api").issued_by(&world.authority);
    let stranger = TestCertificate::named("api").self_signed();
    let builder = || ReqwestTransport::builder().root_certificates(world.authority.pem());
    let with = |certificate: &TestCertificate| {
        let key = Secret::new(certificate.key_pem());
        builder().client_certificate(certificate.chain_pem(), key)
    };
    let (owner, nobody) = (with(&own).build().unwrap(), builder().build().unwrap());

    let shown = asked(&world, world.verified(), &owner).await.unwrap();
    assert_eq!(shown, own.certificate().thumbprint().to_string());
    let shown = asked(&world, ClientCertificates::requested(), &nobody).await.unwrap();
    assert_eq!(shown, "nobody");

    let strange = with(&stranger).build().unwrap();
    for (name, transport) in [("nobody", nobody), ("a stranger", strange)] {
        let refused = asked(&world, world.verified(), &transport).await.expect_err(name);
        assert_eq!(refused.kind(), FetchErrorKind::Connection, "{name}");
    }
    let elsewhere = World::new();
    let refused = asked(&elsewhere, ClientCertificates::requested(), &owner).await;
    assert_eq!(refused.expect_err("another authority").kind(), FetchErrorKind::Connection);
}
