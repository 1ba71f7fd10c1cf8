//! From a handshake to the decision on a token that is bound to its certificate.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use portcullis::axum::PeerLayer;
use portcullis::certificate::ChainCheck;
use portcullis::check::allow_all;
use portcullis::rustls::{ClientCertificates, PeerInfo, TlsAcceptor, TlsListener};
use portcullis::testing::{TestCertificate, TestIssuer, TestNetwork, challenges};
use portcullis::{Binding, Mtls, ResourceServer, TokenClass};
use rustls::{ClientConfig, HandshakeKind};
use tokio::net::{TcpListener, TcpStream};

use crate::handshakes::config;
use crate::world::Presents::{self, Nothing, Own, Stolen};
use crate::world::{VERSIONS, World, connect};

const RESOURCE: &str = "https://rs.example";

/// A route for certificate-bound tokens, behind a listener.
struct Api {
    issuer: TestIssuer,
    address: std::net::SocketAddr,
}

impl Api {
    async fn new(world: &World, acceptor: TlsAcceptor) -> Self {
        let issuer = TestIssuer::new("https://as.example", &world.clock);
        let api = ResourceServer::builder(RESOURCE)
            .issuer(issuer.discover())
            .binding(Binding::Mtls)
            .mtls(Mtls::direct())
            .class(TokenClass::default_at_most(Duration::from_hours(1)))
            .transport(TestNetwork::of(&[&issuer]))
            .clock(world.clock.clone())
            .build()
            .unwrap();
        let app = Router::new()
            .route("/notes", get(async || "notes").layer(api.protect(allow_all())))
            .layer(PeerLayer)
            .into_make_service_with_connect_info::<PeerInfo>();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let listener = TlsListener::new(listener, acceptor);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { issuer, address }
    }

    fn bound_to(&self, certificate: &TestCertificate) -> String {
        self.issuer.token(RESOURCE).claim("cnf", certificate.confirmation()).sign()
    }

    /// The answer, if there is a connection; with a header field that lies about the certificate.
    async fn ask(
        &self,
        client: &Arc<ClientConfig>,
        token: &str,
        lie: &TestCertificate,
    ) -> Option<(StatusCode, Option<HandshakeKind>)> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let stream = connect(client, stream).await.ok()?;
        let kind = stream.get_ref().1.handshake_kind();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        let request = Request::get("/notes")
            .header("host", "localhost")
            .header("authorization", format!("Bearer {token}"))
            .header("client-cert", lie.client_cert_field())
            .body(Empty::<Bytes>::new())
            .unwrap();
        let response = sender.send_request(request).await.ok()?;
        if response.status() == StatusCode::UNAUTHORIZED {
            let all = challenges(response.headers());
            assert_eq!(all[0].param("error"), Some("invalid_token"));
        }
        Some((response.status(), kind))
    }
}

/// MTLS-01, MTLS-02, MTLS-08, MTLS-09: with the key of the certificate that the token names, and with
/// nothing else.
#[tokio::test]
async fn a_bound_token_is_used_over_a_connection_of_its_certificate_only() {
    let world = World::new();
    let alice = TestCertificate::named("alice").self_signed();
    let mallory = TestCertificate::named("mallory").self_signed();
    let renewed = alice.renewed();
    let asks_nobody = config(&world, Arc::new(rustls::server::NoClientAuth));
    let asks = Api::new(&world, world.acceptor(ClientCertificates::requested())).await;
    let asks_nobody =
        Api::new(&world, TlsAcceptor::from_config(asks_nobody, ChainCheck::Unchecked)).await;
    let rows: [(_, _, Presents<'_>, _); 6] = [
        ("its certificate", &asks, Own(&alice), Some(200)),
        ("another's", &asks, Own(&mallory), Some(401)),
        ("a renewed one of the same key", &asks, Own(&renewed), Some(401)),
        ("none", &asks, Nothing, Some(401)),
        ("its certificate without the key", &asks, Stolen(&alice, &mallory), None),
        ("its certificate, which nobody asks for", &asks_nobody, Own(&alice), Some(401)),
    ];
    for (version, versions) in VERSIONS {
        for (name, api, presents, expected) in &rows {
            let client = Arc::new(world.client_with(&[versions], *presents));
            let answer = api.ask(&client, &api.bound_to(&alice), &alice).await;
            let status = answer.map(|(status, _)| status.as_u16());
            assert_eq!(status, *expected, "{name}, {version}");
        }
    }
}

/// MTLS-25: over a resumed session too.
#[tokio::test]
async fn a_bound_token_is_used_over_a_resumed_session_of_its_certificate_only() {
    let world = World::new();
    let alice = TestCertificate::named("alice").self_signed();
    let mallory = TestCertificate::named("mallory").self_signed();
    let api = Api::new(&world, world.acceptor(ClientCertificates::requested())).await;
    for (version, versions) in VERSIONS {
        for (name, presents, expected) in [
            ("its certificate", Own(&alice), 200),
            ("another's", Own(&mallory), 401),
            ("none", Nothing, 401),
        ] {
            let client = Arc::new(world.client_with(&[versions], presents));
            for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
                let token = api.bound_to(&alice);
                let (status, found) = api.ask(&client, &token, &alice).await.unwrap();
                assert_eq!((status.as_u16(), found), (expected, Some(kind)), "{name}, {version}");
            }
        }
    }
}
