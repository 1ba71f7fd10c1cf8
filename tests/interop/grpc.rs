//! A gRPC client of others' making (npm `@grpc/grpc-js`) against the service of `examples/tonic.rs`, with
//! tokens of a real authorization server.

use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderValue};
use portcullis::Dpop;
use portcullis::check::scope;
use portcullis::sender::{Nonces, PublicOrigin};
use portcullis::testing::challenges;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tonic::transport::server::{Server, TcpIncoming};

use crate::cases::Cases;
use crate::introspection::text;
use crate::issuer::Issuer;
use crate::process::{node, run};
use crate::provider::{Provider, discover};
use crate::service::{bearer, notes};

#[derive(Deserialize)]
struct Line {
    step: String,
    code: String,
    serving: Option<String>,
    message: Option<String>,
    challenge: Option<String>,
    pushback: Option<String>,
}

impl Line {
    fn told(&self) -> String {
        if let Some(serving) = &self.serving {
            return format!("{} {serving}", self.code);
        }
        let mut headers = HeaderMap::new();
        if let Some(challenge) = &self.challenge {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::try_from(challenge).unwrap());
        }
        let mut told = self.code.clone();
        for challenge in challenges(&headers) {
            let error = challenge.param("error").unwrap_or("-");
            told = format!("{told}, {} {error}", challenge.scheme);
        }
        match self.pushback {
            Some(_) => format!("{told}, try again"),
            None => told,
        }
    }
}

/// AUTH-01, AUTH-02, AUTH-13, AUTH-14, AUTH-32, DPOP-C10, DPOP-17, DPOP-20, DPOP-21: codes and challenges reach a client that knows nothing of this crate.
#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn a_grpc_client_is_told_what_an_http_client_is_told() {
    let mut cases = Cases::of("grpc-js");
    let provider = Provider::start().await;
    let own = Issuer::jose().await;
    let down = Issuer::jose().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let origin = format!("http://{target}");
    let server = notes([&provider.issuer_a, &own.id, &down.id].map(|issuer| discover(issuer)))
        .dpop(Dpop::new().nonces(Nonces::required()).public_origin(PublicOrigin::new(&origin)))
        .build()
        .unwrap();
    let (_, health) = tonic_health::server::health_reporter();
    let service = Server::builder()
        .layer(server.protect(scope("notes:read")).grpc())
        .add_service(health)
        .serve_with_incoming(TcpIncoming::from(listener));
    let service = tokio::spawn(service);

    let good = bearer(&provider.token("scope=notes:read").await);
    let weaker = bearer(&provider.token("scope=notes:write").await);
    let other = bearer(&provider.token("resource=https://other.example").await);
    let id_token = bearer(&provider.id_token("web").await);
    let foreign = bearer(&provider.token("issuer=b&scope=notes:read").await);
    let tampered =
        format!("{}.{}", good.rsplit_once('.').unwrap().0, weaker.rsplit_once('.').unwrap().1);
    let unreachable = bearer(&down.sign(&json!({})).await);
    drop(down);
    let client = own.ask("/client_key", &json!({})).await;
    let cnf = json!({ "jkt": client["jkt"] });
    let bound = own.sign(&json!({ "claims": { "cnf": cnf } })).await;
    let keyed = format!("DPoP {bound}");
    let check = format!("{origin}/grpc.health.v1.Health/Check");
    let watch = format!("{origin}/grpc.health.v1.Health/Watch");

    let ok = "OK SERVING";
    let bare = "UNAUTHENTICATED, Bearer -, DPoP -";
    let invalid = "UNAUTHENTICATED, Bearer invalid_token, DPoP -";
    let proof = "UNAUTHENTICATED, DPoP invalid_dpop_proof, Bearer -";
    let wants_nonce = "UNAUTHENTICATED, DPoP use_dpop_nonce, Bearer -";
    let denied = "PERMISSION_DENIED, Bearer insufficient_scope, DPoP -";
    let call = |step: &str, method: &str, token: Option<&str>| {
        let metadata: Vec<_> = token.into_iter().map(|token| ["authorization", token]).collect();
        json!({ "step": step, "method": method, "metadata": metadata })
    };
    let with_proof = |step: &str, method: &str, htm: &str, htu: &str| {
        let mut call = call(step, method, Some(&keyed));
        call["proof"] = json!({ "htm": htm, "htu": htu });
        call
    };
    let mut replayed = with_proof("a proof", "Check", "POST", &check);
    replayed["replay"] = true.into();
    #[rustfmt::skip]
    let rows = [
        (call("a good token", "Check", Some(&good)), vec![ok]),
        (call("a stream with a good token", "Watch", Some(&good)), vec![ok]),
        (call("no token", "Check", None), vec![bare]),
        (call("a stream without a token", "Watch", None), vec![bare]),
        (call("another scheme", "Check", Some("Basic YTpi")), vec![bare]),
        (call("another scope", "Check", Some(&weaker)), vec![denied]),
        (call("a stream with another scope", "Watch", Some(&weaker)), vec![denied]),
        (call("for another resource", "Check", Some(&other)), vec![invalid]),
        (call("an ID token", "Check", Some(&id_token)), vec![invalid]),
        (call("of another issuer", "Check", Some(&foreign)), vec![invalid]),
        (call("tampered", "Check", Some(&tampered)), vec![invalid]),
        (call("malformed", "Check", Some("Bearer a b")), vec!["UNAUTHENTICATED, Bearer invalid_request, DPoP -"]),
        (call("of an issuer that is down", "Check", Some(&unreachable)), vec!["UNAVAILABLE, try again"]),
        (with_proof("without a nonce", "Check", "POST", &check), vec![wants_nonce]),
        (replayed, vec![ok, proof]),
        (with_proof("a stream with a proof", "Watch", "POST", &watch), vec![ok]),
        (with_proof("a proof for GET", "Check", "GET", &check), vec![proof]),
        (with_proof("a proof for another method of the service", "Watch", "POST", &check), vec![proof]),
        (call("no proof", "Check", Some(&keyed)), vec![proof]),
        (call("a bound token as a bearer token", "Check", Some(&bearer(&bound))), vec![invalid]),
        (call("a good token after all that", "Check", Some(&good)), vec![ok]),
    ];
    let calls: Vec<_> = rows.iter().map(|(call, _)| call).collect();
    let settings = json!({
        "target": target, "calls": calls, "bound": { "token": bound, "key": client["key"] },
    });
    let printed = run(node("grpc.mjs"), &settings).await;
    service.abort();
    let mut lines = printed.lines().map(|line| serde_json::from_str::<Line>(line).unwrap());
    for (call, wanted) in &rows {
        for (time, wanted) in wanted.iter().enumerate() {
            let line = lines.next().unwrap();
            assert!(line.step.starts_with(text(&call["step"])), "{}: {time}", line.step);
            cases.case(&line.step, line.told(), wanted);
            if line.code != "OK" {
                assert!(!line.message.unwrap_or_default().is_empty(), "{}", line.step);
            }
        }
    }
    provider.stop().await;
}
