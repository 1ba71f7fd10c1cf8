//! DPoP clients of two libraries against `examples/dpop.rs`.

use std::collections::HashSet;
use std::time::Duration;

use portcullis::jose::Algorithm;
use portcullis::sender::{Nonces, PublicOrigin};
use portcullis::transport::ReqwestTransport;
use portcullis::{Binding, Dpop, ResourceServer, TokenClass};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::cases::Cases;
use crate::process::{node, run};
use crate::provider::{Provider, discover};
use crate::steps::{Line, Steps, check_steps, lines, telling};
use crate::{RESOURCE, dpop_example};

const WANTS_NONCE: &str = "401 nonce_missing, DPoP use_dpop_nonce";

/// What a client meets that is free to retry when it is asked for a nonce.
#[rustfmt::skip]
const STEPS: Steps<'_> = &[
    // The authorization server has nonces of its own, and 400 for them (RFC 9449 §8).
    ("token", &["400", "200"]),
    // DPOP-C10, DPOP-29.
    ("first request", &[WANTS_NONCE, "200"]),
    ("second request", &["200"]),
    // DPOP-C09.
    ("with a query", &["200"]),
    ("at the same time", &["200", "200", "200"]),
    ("once more", &["200"]),
    // DPOP-17, DPOP-38.
    ("the same proof again", &["401 proof_replayed, DPoP invalid_dpop_proof"]),
    // DPOP-20.
    ("no proof", &["401 proof_missing, DPoP invalid_dpop_proof"]),
    // DPOP-C01.
    ("two proofs in one field", &["401 several_proofs, DPoP invalid_dpop_proof"]),
    // DPOP-21.
    ("as a bearer token", &["401 bearer_downgrade, Bearer invalid_token, DPoP -"]),
    ("as a bearer token with a proof", &["401 bearer_downgrade, Bearer invalid_token, DPoP -"]),
    // DPOP-22; BCP-01.
    ("a token that is bound to nothing", &["401 unbound_under_dpop, DPoP invalid_token"]),
    ("the same as a bearer token", &["401 not_bound, Bearer invalid_token, DPoP -"]),
    // DPOP-C12b.
    ("another key", &[WANTS_NONCE, "401 other_key, DPoP invalid_token"]),
    // DPOP-C08, DPOP-C09, DPOP-C12a.
    ("for another method", &["401 proof_for_other_method, DPoP invalid_dpop_proof"]),
    ("for another URI", &["401 proof_for_other_uri, DPoP invalid_dpop_proof"]),
    ("for another token", &[WANTS_NONCE, "401 proof_for_other_token, DPoP invalid_dpop_proof"]),
    // DPOP-33.
    ("with the nonce of the authorization server", &[
        "401 nonce_not_accepted, DPoP use_dpop_nonce",
        "401 nonce_not_accepted, DPoP use_dpop_nonce",
    ]),
    // DPOP-C11.
    ("token, by a slow clock", &["400", "200"]),
    ("by a slow clock", &[WANTS_NONCE, "200"]),
    ("after all that", &["200"]),
    ("a token for one use", &["200"]),
    ("its second use", &["401 token_used, DPoP invalid_token"]),
];

/// The example's routes, by the example's configuration or by another.
struct Api {
    origin: String,
    task: JoinHandle<()>,
}

impl Api {
    async fn start(server: impl FnOnce(&str) -> ResourceServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let app = telling(dpop_example::app(&server(&origin)));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { origin, task }
    }

    async fn example(issuer: &str) -> Self {
        let transport = ReqwestTransport::new().unwrap();
        Self::start(|origin| dpop_example::api(discover(issuer), origin, transport).unwrap()).await
    }

    /// Takes proofs by RSA keys, which the example does not.
    async fn rsa(issuer: &str) -> Self {
        Self::start(|origin| {
            let dpop = Dpop::new().algorithms([Algorithm::Ps256]).nonces(Nonces::required());
            ResourceServer::builder(RESOURCE)
                .issuer(discover(issuer))
                .class(TokenClass::default_at_most(Duration::from_mins(5)))
                .binding(Binding::Dpop)
                .dpop(dpop.public_origin(PublicOrigin::new(origin)))
                .build()
                .unwrap()
        })
        .await
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// DPOP-19, DPOP-29: one nonce is asked for once and serves every proof after that; no proof repeats.
fn check_nonces(lines: &[Line]) {
    let nonce = lines[1].exchanges[0].nonce.as_deref().expect("a nonce");
    let honest = ["second request", "with a query", "at the same time", "once more"];
    let honest =
        [&honest[..], &["after all that", "a token for one use", "its second use"]].concat();
    let mut jtis = HashSet::new();
    for line in lines.iter().filter(|line| honest.contains(&line.step.as_str())) {
        for exchange in &line.exchanges {
            let proof = exchange.proof.as_ref().unwrap();
            assert_eq!(proof.nonce.as_deref(), Some(nonce), "{}: {}", line.walk, line.step);
            assert_eq!(proof.alg, line.walk, "{}", line.step);
            assert!(jtis.insert(&proof.jti), "{}: {}", line.walk, line.step);
            assert_eq!(exchange.nonce, None, "a fresh nonce is not replaced");
        }
    }
    let [asked, passed] = &lines[1].exchanges[..] else { panic!("two requests") };
    assert_eq!(asked.proof.as_ref().unwrap().nonce, None);
    assert_eq!(passed.proof.as_ref().unwrap().nonce.as_deref(), Some(nonce));
}

async fn check_client(library: &'static str, script: &str) {
    let mut cases = Cases::of(library);
    let provider = Provider::start().await;
    let example = Api::example(&provider.issuer_a).await;
    let rsa = Api::rsa(&provider.issuer_a).await;
    let client = provider.ask("GET", "/client?client=dpop").await;
    let settings = json!({
        "issuer": provider.issuer_a,
        "client_id": client["client_id"],
        "client_secret": client["client_secret"],
        "resource": RESOURCE,
        "scope": "notes:read",
        "unbound": provider.token("scope=notes:read").await,
        "walks": [
            { "alg": "ES256", "origin": example.origin },
            { "alg": "Ed25519", "origin": example.origin },
            { "alg": "EdDSA", "origin": example.origin },
            { "alg": "PS256", "origin": rsa.origin },
        ],
        "asks": [
            { "alg": "PS256", "origin": example.origin },
            { "alg": "ES256", "origin": rsa.origin },
        ],
    });
    let mut walks = lines(&run(node(script), &settings).await);

    // DPOP-C05, DPOP-26: an algorithm that is not taken, and those that are.
    for (walk, algs) in [("PS256", "ES256 EdDSA Ed25519"), ("ES256", "PS256")] {
        let asked = walks.get_mut(walk).unwrap().pop().unwrap();
        let told = "401 proof_algorithm_not_allowed, DPoP invalid_dpop_proof";
        let step = "an algorithm that is not taken";
        check_steps(&mut cases, std::slice::from_ref(&asked), &[(step, &[told])]);
        assert_eq!(asked.exchanges[0].challenges()[0].param("algs"), Some(algs));
    }
    assert_eq!(walks.keys().collect::<Vec<_>>(), ["ES256", "Ed25519", "EdDSA", "PS256"]);
    for lines in walks.values() {
        check_steps(&mut cases, lines, STEPS);
        check_nonces(lines);
        for token in lines.iter().filter(|line| line.step.starts_with("token")) {
            assert_eq!(token.token_type.as_deref(), Some("dpop"));
            assert_eq!(token.bound_to_own_key, Some(true));
        }
        let read = lines.iter().filter_map(|line| line.body.as_deref()).next();
        assert_eq!(read, Some("the notes of notes-dpop"));
    }
    provider.stop().await;
}

#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn a_dpop_client_with_openid_client_is_served_and_nobody_else_with_its_token() {
    check_client("openid-client", "dpop-openid-client.mjs").await;
}

#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn a_dpop_client_with_oauth4webapi_is_served_and_nobody_else_with_its_token() {
    check_client("oauth4webapi", "dpop-oauth4webapi.mjs").await;
}
