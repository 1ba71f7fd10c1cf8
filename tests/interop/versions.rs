//! One service over HTTP/1.1 and HTTP/2, with TLS and without: clients of others' making (npm `undici`,
//! Node's `http2`), bearer tokens and DPoP proofs (npm `jose`).

use portcullis::rustls::{ClientCertificates, ServerCertificate, TlsAcceptor, TlsListener};
use portcullis::sender::PublicOrigin;
use portcullis::{Dpop, ResourceServer};
use serde_json::json;
use tokio::net::TcpListener;

use crate::axum_example;
use crate::cases::Cases;
use crate::certificates::Certificates;
use crate::issuer::Issuer;
use crate::process::{node, run};
use crate::provider::discover;
use crate::service::{Service, notes};
use crate::steps::{Steps, check_steps, lines, telling};

#[rustfmt::skip]
const STEPS: Steps<'_> = &[
    ("nothing", &["401 no_credentials, Bearer -, DPoP -"]),
    ("a bearer token", &["200"]),
    ("with another scope", &["403 insufficient_scope, Bearer insufficient_scope, DPoP -"]),
    ("for another audience", &["401 wrong_audience, Bearer invalid_token, DPoP -"]),
    ("tampered", &["401 bad_signature, Bearer invalid_token, DPoP -"]),
    ("the names of fields in capitals", &["200"]),
    ("a proof", &["200"]),
    ("the proof again", &["401 proof_replayed, DPoP invalid_dpop_proof, Bearer -"]),
    ("no proof", &["401 proof_missing, DPoP invalid_dpop_proof, Bearer -"]),
    // Attack 35.
    ("two proofs", &["401 several_proofs, DPoP invalid_dpop_proof, Bearer -"]),
    // Attack 34.
    ("a bound token as a bearer token", &["401 bearer_downgrade, Bearer invalid_token, DPoP -"]),
    ("a proof for POST", &["401 proof_for_other_method, DPoP invalid_dpop_proof, Bearer -"]),
    ("a proof for another path", &["401 proof_for_other_uri, DPoP invalid_dpop_proof, Bearer -"]),
    ("a proof for another host", &["401 proof_for_other_uri, DPoP invalid_dpop_proof, Bearer -"]),
    ("a proof for another token", &["401 proof_for_other_token, DPoP invalid_dpop_proof, Bearer -"]),
    ("a proof of an hour ago", &["401 proof_not_fresh, DPoP invalid_dpop_proof, Bearer -"]),
    ("with a query", &["200"]),
    ("another method", &["200"]),
    ("after all that", &["200"]),
];

fn server(issuer: &str, origin: &str) -> ResourceServer {
    let dpop = Dpop::new().public_origin(PublicOrigin::new(origin));
    notes([discover(issuer)]).dpop(dpop).build().unwrap()
}

/// DPOP-15, DPOP-37, DPOP-C01, DPOP-C08, DPOP-C09, DPOP-C11, DPOP-C12a, DPOP-17, DPOP-20, DPOP-21, DPOP-23,
/// DPOP-24, AUTH-18: the version of HTTP changes no decision.
#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn both_versions_of_http_get_the_same_decisions() {
    let mut cases = Cases::of("undici, http2");
    let issuer = Issuer::jose().await;
    let certificates = Certificates::new();
    let plain = Service::with(|origin| server(&issuer.id, origin), axum_example::app).await;

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tls = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let certificate = &certificates.api;
    let certificate = ServerCertificate::from_pem(certificate.pem(), certificate.key_pem());
    let acceptor = TlsAcceptor::new(certificate.unwrap(), ClientCertificates::requested()).unwrap();
    let app = telling(axum_example::app(&server(&issuer.id, &tls)));
    let listener = TlsListener::new(listener, acceptor);
    let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });

    let good = issuer.sign(&json!({})).await;
    let other = issuer.sign(&json!({ "claims": { "sub": "mallory" } })).await;
    let tampered =
        format!("{}.{}", good.rsplit_once('.').unwrap().0, other.rsplit_once('.').unwrap().1);
    let client = issuer.ask("/client_key", &json!({})).await;
    let cnf = json!({ "jkt": client["jkt"] });
    let scope = "notes:read notes:write";
    let bound = issuer.sign(&json!({ "claims": { "cnf": cnf, "scope": scope } })).await;
    let settings = json!({
        "plain": plain.origin,
        "tls": tls,
        "authority": certificates.directory().join("authority.pem"),
        "bearer": [
            ["a bearer token", good],
            ["with another scope", issuer.sign(&json!({ "claims": { "scope": "notes:write" } })).await],
            ["for another audience", issuer.sign(&json!({ "claims": { "aud": "https://other.example" } })).await],
            ["tampered", tampered],
        ],
        "bound": { "token": bound, "key": client["key"] },
    });
    let walks = lines(&run(node("http.mjs"), &settings).await);
    task.abort();
    assert_eq!(walks.len(), 4, "two versions, with TLS and without");
    for (walk, lines) in &walks {
        let version = if walk.starts_with("HTTP/2") { "HTTP/2.0" } else { "HTTP/1.1" };
        for line in lines {
            let seen = line.exchanges[0].version.as_deref();
            assert_eq!(seen, Some(version), "{walk}: {}", line.step);
        }
        check_steps(&mut cases, lines, STEPS);
    }
}
