//! A client with a certificate (openid-client over undici) against `examples/mtls.rs`.

use portcullis::rustls::ServerCertificate;
use portcullis::transport::ReqwestTransport;
use serde_json::json;
use tokio::net::TcpListener;

use crate::cases::Cases;
use crate::certificates::Certificates;
use crate::process::{node, run};
use crate::provider::{Provider, discover};
use crate::steps::{Connection, Line, Steps, check_steps, lines, telling};
use crate::{RESOURCE, mtls_example};

const MISSING: &str = "401 certificate_missing, Bearer invalid_token";
const OTHER: &str = "401 other_certificate, Bearer invalid_token";

#[rustfmt::skip]
const STEPS: Steps<'_> = &[
    ("token", &["200"]),
    // MTLS-01, MTLS-06.
    ("own certificate", &["200"]),
    ("the same connection", &["200"]),
    // MTLS-25: it has the certificate of the handshake that it began with, or none.
    ("a resumed session", &["200"]),
    // MTLS-02.
    ("no certificate", &[MISSING]),
    ("a session without one, resumed", &[MISSING]),
    ("another certificate", &[OTHER]),
    // MTLS-09.
    ("a renewed certificate", &[OTHER]),
    // MTLS-10.
    ("a certificate in header fields", &[MISSING]),
    ("a certificate in header fields beside another", &[OTHER]),
    // BCP-01.
    ("a token that is bound to nothing", &["401 not_bound, Bearer invalid_token"]),
    ("own certificate, after all that", &["200"]),
];

/// The connections were what the steps are about.
fn check_connections(walk: &str, lines: &[Line]) {
    let (version, protocol) = match walk.starts_with("HTTP/2") {
        true => ("HTTP/2.0", "h2"),
        false => ("HTTP/1.1", "http/1.1"),
    };
    let shared = ["the same connection", "a token that is bound to nothing"];
    let shared = [&shared[..], &["own certificate, after all that"]].concat();
    for line in lines.iter().filter(|line| line.step != "token") {
        let step = line.step.as_str();
        assert_eq!(line.exchanges[0].version.as_deref(), Some(version), "{walk}: {step}");
        let resumed = step == "a resumed session" || step == "a session without one, resumed";
        let made = u32::from(!shared.contains(&step));
        let connection = Connection { made, resumed, protocol: protocol.to_owned() };
        assert_eq!(line.connection, Some(connection), "{walk}: {step}");
    }
}

#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn a_client_with_a_certificate_is_served_and_nobody_else_with_its_token() {
    let mut cases = Cases::of("openid-client");
    let certificates = Certificates::new();
    let provider = Provider::with_tls(&certificates).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let certificate = &certificates.api;
    let certificate = ServerCertificate::from_pem(certificate.pem(), certificate.key_pem());
    let acceptor = mtls_example::acceptor(certificate.unwrap()).unwrap();
    let transport = ReqwestTransport::new().unwrap();
    let api = mtls_example::api(discover(&provider.issuer_a), transport).unwrap();
    let app = telling(mtls_example::app(&api));
    let server = tokio::spawn(mtls_example::listen(listener, acceptor, app));

    let client = provider.ask("GET", "/client?client=mtls").await;
    let settings = json!({
        "issuer": provider.issuer_a,
        "client_id": client["client_id"],
        "resource": RESOURCE,
        "scope": "notes:read",
        "unbound": provider.token("scope=notes:read").await,
        "url": format!("https://localhost:{port}/notes"),
        "directory": certificates.directory(),
        "walks": [
            { "http": "1.1", "tls": "TLSv1.2" },
            { "http": "1.1", "tls": "TLSv1.3" },
            { "http": "2", "tls": "TLSv1.3" },
        ],
    });
    let walks = lines(&run(node("mtls.mjs"), &settings).await);
    server.abort();

    let names: Vec<_> = walks.keys().map(String::as_str).collect();
    assert_eq!(names, ["HTTP/1.1, TLSv1.2", "HTTP/1.1, TLSv1.3", "HTTP/2, TLSv1.3"]);
    for (walk, lines) in &walks {
        check_steps(&mut cases, lines, STEPS);
        check_connections(walk, lines);
        assert_eq!(lines[0].token_type.as_deref(), Some("bearer"));
        assert_eq!(lines[0].bound_to_own_certificate, Some(true));
        assert_eq!(lines[1].body.as_deref(), Some("the notes of notes-mtls"));
    }
    provider.stop().await;
}
