//! nginx in front of the routes of `examples/behind_proxy.rs`: TLS ends there, it forwards certificates and
//! cuts a prefix off. Clients are openid-client over undici, tokens are of a real authorization server.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use portcullis::sender::{ForwardedCertificate, PublicOrigin, TrustedPeers};
use portcullis::{Binding, Dpop, Mtls, ResourceServer, TokenClass};
use serde_json::json;
use tokio::net::TcpListener;

use crate::RESOURCE;
use crate::behind_proxy_example::{self, PREFIX, PROXY};
use crate::cases::Cases;
use crate::certificates::Certificates;
use crate::process::{LOOK, Process, bound_to_thread, node, run};
use crate::provider::{Provider, discover};
use crate::steps::{Steps, check_steps, lines, telling};

const START: Duration = Duration::from_secs(10);
const CONFIGURATION: &str = include_str!("nginx.conf");

/// nginx, listening with TLS for this service.
pub(crate) struct Nginx {
    process: Process,
    pub(crate) port: u16,
}

impl Nginx {
    /// In the directory of these certificates.
    pub(crate) async fn start(certificates: &Certificates, upstream: SocketAddr) -> Self {
        // A port that is free can be taken before nginx listens there: it then ends, and another is tried.
        for _ in 0..5 {
            let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = free.local_addr().unwrap().port();
            drop(free);
            if let Some(process) = Self::listening(certificates.directory(), port, upstream).await {
                return Self { process, port };
            }
        }
        panic!("nginx does not start");
    }

    async fn listening(directory: &Path, port: u16, upstream: SocketAddr) -> Option<Process> {
        let configuration = CONFIGURATION
            .replace("{directory}", directory.to_str().unwrap())
            .replace("{port}", &port.to_string())
            .replace("{upstream}", &upstream.to_string())
            .replace("{trusted}", &PROXY.to_string());
        let file = directory.join("nginx.conf");
        fs::write(&file, configuration).unwrap();
        let mut command = bound_to_thread("nginx");
        command.arg("-p").arg(directory).arg("-c").arg(file).args(["-e", "stderr"]);
        // Where distributions have it, beside where it is looked for.
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin:/usr/local/sbin"));
        let mut process = Process::spawn(command.stdout(Stdio::null()));
        // It is written when every port is bound.
        let ready = directory.join("nginx.pid");
        let start = Instant::now();
        let id = process.id().to_string();
        while fs::read_to_string(&ready).map_or(true, |found| found.trim() != id) {
            if process.has_ended() {
                return None;
            }
            assert!(start.elapsed() < START, "nginx listens in time");
            tokio::time::sleep(LOOK).await;
        }
        Some(process)
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

const MISSING: &str = "401 certificate_missing, Bearer invalid_token, DPoP -";
const OTHER: &str = "401 other_certificate, Bearer invalid_token, DPoP -";
const URI: &str = "401 proof_for_other_uri, DPoP invalid_dpop_proof, Bearer -";

#[rustfmt::skip]
const STEPS: Steps<'_> = &[
    // MTLS-01, MTLS-06, MTLS-21.
    ("own certificate", &["200"]),
    ("the same connection", &["200"]),
    // MTLS-02.
    ("no certificate", &[MISSING]),
    ("another certificate", &[OTHER]),
    // MTLS-10, MTLS-22, attack 36.
    ("its field, no certificate", &[MISSING]),
    ("its field, another certificate", &[OTHER]),
    ("its field with an underscore", &[MISSING]),
    ("the field of RFC 9440", &[MISSING]),
    ("the field of Envoy", &[MISSING]),
    ("own certificate, and a field with another", &["200"]),
    // BCP-01.
    ("a token that is bound to nothing", &["401 not_bound, Bearer invalid_token, DPoP -"]),
    ("a path without the prefix", &["404"]),
    ("own certificate, after all that", &["200"]),
    // MTLS-11, attack 37.
    ("straight to the service", &[MISSING]),
    ("straight, with its field", &[MISSING]),
    ("from where only the proxy is, with its field", &["200"]),
    ("from there, without a field", &[MISSING]),
    ("from there, an empty field", &[MISSING]),
    ("from there, no certificate in it", &[MISSING]),
    ("from there, text behind it", &[MISSING]),
    ("from there, as nginx wrote it once", &[MISSING]),
    // DPOP-14, DPOP-C09, attack 33.
    ("a proof", &["200"]),
    ("the same proof again", &["401 proof_replayed, DPoP invalid_dpop_proof, Bearer -"]),
    ("a proof, with a certificate", &["200"]),
    ("a proof, with a query", &["200"]),
    ("a proof for the path without the prefix", &[URI]),
    ("a proof for the internal URI", &[URI]),
    ("a proof for another host", &[URI]),
    ("a proof without TLS", &[URI]),
    ("another key", &["401 other_key, DPoP invalid_token, Bearer -"]),
    ("two slashes, which nginx makes one", &["200"]),
    ("two slashes in the proof too", &[URI]),
    // DPOP-13.
    ("an octet that nginx decodes", &["200"]),
    ("straight to the service, for the internal URI", &[URI]),
    ("straight to the service, for the public URI", &["200"]),
    ("a token that is bound to a certificate", &["401 unbound_under_dpop, DPoP invalid_token, Bearer -"]),
];

/// The configuration of the example, but for the field: nginx has none of RFC 9440.
fn api(issuer: &str, origin: &str) -> ResourceServer {
    let proxies = TrustedPeers::networks([PROXY.to_string()]);
    let certificates = ForwardedCertificate::escaped_pem("ssl-client-cert", proxies);
    let origin = PublicOrigin::new(origin).proxy_removes(PREFIX);
    ResourceServer::builder(RESOURCE)
        .issuer(discover(issuer))
        .class(TokenClass::default_at_most(Duration::from_mins(15)))
        .binding(Binding::Either)
        .mtls(Mtls::forwarded(certificates))
        .dpop(Dpop::new().public_origin(origin))
        .build()
        .unwrap()
}

/// MTLS-01, MTLS-10, MTLS-11, MTLS-21, MTLS-22, DPOP-13, DPOP-14, attacks 33, 36, 37: what nginx says of a
/// certificate is believed, what anybody else says is not; the URI of a proof is the
/// one that clients call.
#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn a_service_behind_nginx_believes_nginx_and_nobody_else() {
    let mut cases = Cases::of("nginx");
    let certificates = Certificates::new();
    let provider = Provider::with_tls(&certificates).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = listener.local_addr().unwrap();
    let nginx = Nginx::start(&certificates, upstream).await;
    let origin = format!("https://localhost:{}", nginx.port);
    let app = telling(behind_proxy_example::app(&api(&provider.issuer_a, &origin)));
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });

    let settings = json!({
        "issuer": provider.issuer_a,
        "mtls": provider.ask("GET", "/client?client=mtls").await,
        "dpop": provider.ask("GET", "/client?client=dpop").await,
        "resource": RESOURCE,
        "scope": "notes:read",
        "unbound": provider.token("scope=notes:read").await,
        "origin": origin,
        "prefix": PREFIX,
        "internal": format!("http://{upstream}"),
        "directory": certificates.directory(),
        "trusted": PROXY,
    });
    let walks = lines(&run(node("nginx.mjs"), &settings).await);
    task.abort();
    let names: Vec<_> = walks.keys().map(String::as_str).collect();
    assert_eq!(names, ["HTTP/1.1", "HTTP/2"]);
    for lines in walks.values() {
        check_steps(&mut cases, lines, STEPS);
        let read = lines[0].body.as_deref().unwrap_or_default();
        cases.case(format!("{}: what was read", lines[0].walk), read, "the notes of notes-mtls");
    }
    provider.stop().await;
}
