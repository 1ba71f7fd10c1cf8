//! What a file says of senders is what a request is held to.

use http::{HeaderMap, HeaderName, Request};
use portcullis::certificate::{ChainCheck, PeerCertificate};
use portcullis::jose::Algorithm;
use portcullis::testing::{ClientKey, ManualClock, TestCertificate, TestIssuer, TokenBuilder};
use portcullis::{PeerAddr, RejectionKind as Kind, ResourceServer};
use serde_json::{Value, json};

use super::support::{ISSUER, RESOURCE, Sent, send};
use super::{asking, config, with};

/// A server from a file, and a client with a key and a certificate.
struct World {
    api: ResourceServer,
    issuer: TestIssuer,
    client: ClientKey,
    certificate: TestCertificate,
}

/// One request: all that it is proven by.
struct Asked {
    path: &'static str,
    peer: &'static str,
    fields: Vec<(&'static str, String)>,
    over: Option<PeerCertificate>,
}

impl Default for Asked {
    fn default() -> Self {
        Self { path: "/notes", peer: "203.0.113.9", fields: Vec::new(), over: None }
    }
}

impl World {
    fn new(file: &Value) -> Self {
        let clock = ManualClock::new();
        let issuer = TestIssuer::new(ISSUER, &clock);
        let mut file = file.clone();
        file["issuers"] = json!([]);
        let builder = config(&file).unwrap().builder().unwrap();
        let api = builder.clock(clock.clone()).issuer(issuer.fixed_keys()).build().unwrap();
        let client = ClientKey::generate(Algorithm::Es256, &clock);
        let certificate = TestCertificate::named("client").self_signed();
        Self { api, issuer, client, certificate }
    }

    fn bound(&self) -> TokenBuilder {
        self.issuer.token(RESOURCE).claim("cnf", self.client.confirmation())
    }

    /// What the policy `p` says.
    async fn ask(&self, scheme: &str, token: &str, asked: Asked) -> Sent {
        let mut request = Request::get(asked.path).body(String::new()).unwrap();
        let headers: &mut HeaderMap = request.headers_mut();
        headers.insert("authorization", format!("{scheme} {token}").parse().unwrap());
        for (name, value) in asked.fields {
            headers.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        request.extensions_mut().insert(PeerAddr::new(asked.peer.parse().unwrap()));
        if let Some(peer) = asked.over {
            request.extensions_mut().insert(peer);
        }
        send(&self.api.protect(self.api.policy("p")), request).await
    }

    /// A request with a proof for this URI and, where there is one, with this nonce.
    async fn prove(&self, htu: &str, nonce: Option<&str>, mut asked: Asked) -> Sent {
        let token = self.bound().sign();
        let mut proof = self.client.proof("GET", htu).token(&token);
        if let Some(nonce) = nonce {
            proof = proof.nonce(nonce);
        }
        asked.fields.push(("dpop", proof.sign()));
        self.ask("DPoP", &token, asked).await
    }
}

fn with_dpop(dpop: Value) -> Value {
    with(asking(json!({ "allow_all": true })), "/dpop", dpop)
}

/// DPOP-20, DPOP-21: an empty table proves senders by keys; without it nothing does.
#[tokio::test]
async fn a_table_without_members_is_enough_for_dpop() {
    let here = format!("{RESOURCE}/notes");
    let world = World::new(&with_dpop(json!({})));
    assert!(world.prove(&here, None, Asked::default()).await.passed());
    let world = World::new(&asking(json!({ "allow_all": true })));
    assert!(!world.prove(&here, None, Asked::default()).await.passed());
}

/// DPOP-14: the URI that a proof names is the one that the file says clients use.
#[tokio::test]
async fn public_and_forwarded_origins_of_the_file_are_what_proofs_name() {
    let world = World::new(&with_dpop(json!({
        "public_origins": [
            { "origin": "https://a.example", "proxy_removes": "/v1", "proxy_adds": "/in" },
            { "origin": "https://b.example" },
        ],
        "forwarded": {
            "style": "x_forwarded", "hosts": ["*.c.example"], "prefixes": ["/c"],
            "trusted_hops": 2, "peers": { "networks": ["10.0.0.0/28"] },
        },
    })));
    let seen_by_proxy = |peer: &'static str| Asked {
        peer,
        fields: vec![
            ("x-forwarded-proto", "https, http".to_owned()),
            ("x-forwarded-host", "x.c.example, inner.example".to_owned()),
            ("x-forwarded-prefix", "/c, /".to_owned()),
        ],
        ..Asked::default()
    };
    let behind = || Asked { path: "/in/notes", ..Asked::default() };
    for (name, htu, asked, passes) in [
        ("removed and added", "https://a.example/v1/notes", behind(), true),
        ("as it arrives", "https://a.example/in/notes", behind(), false),
        ("the second", "https://b.example/notes", Asked::default(), true),
        ("the resource's own", "https://rs.example/notes", Asked::default(), false),
        ("a proxy", "https://x.c.example/c/notes", seen_by_proxy("10.0.0.1"), true),
        ("a proxy, without prefix", "https://x.c.example/notes", seen_by_proxy("10.0.0.1"), false),
        ("a stranger", "https://x.c.example/c/notes", seen_by_proxy("10.0.0.16"), false),
        ("a stranger, public", "https://b.example/notes", seen_by_proxy("10.0.0.16"), true),
    ] {
        let kind = world.prove(htu, None, asked).await.kind();
        assert_eq!(kind, (!passes).then_some(Kind::ProofUri), "{name}");
    }
}

/// DPOP-33, DPOP-34: processes with the same keys take each other's nonces, and no others do.
#[tokio::test]
async fn nonce_keys_of_the_file_are_shared() {
    const OLD: &str = r#"{ "file": "tests/config/keys.json" }"#;
    const NEW: &str = r#"{ "env": "CARGO_PKG_DESCRIPTION" }"#;
    let here = format!("{RESOURCE}/notes");
    let world = |keys: Option<&[&str]>| {
        let mut nonces = json!({ "mode": "required" });
        if let Some(keys) = keys {
            let read = |text: &&str| serde_json::from_str::<Value>(text).unwrap();
            nonces["keys"] = keys.iter().map(read).collect();
        }
        World::new(&with_dpop(json!({ "nonces": nonces })))
    };
    for (name, made, taken, passes) in [
        ("the same", Some(&[NEW][..]), Some(&[NEW][..]), true),
        ("the second of two", Some(&[NEW][..]), Some(&[OLD, NEW][..]), true),
        ("made by the first of two", Some(&[OLD, NEW][..]), Some(&[NEW][..]), false),
        ("another", Some(&[OLD][..]), Some(&[NEW][..]), false),
        ("each its own", None, None, false),
    ] {
        let first = world(made).prove(&here, None, Asked::default()).await;
        assert_eq!(first.kind(), Some(Kind::NonceMissing), "{name}");
        let nonce = first.response.headers()["dpop-nonce"].to_str().unwrap();
        let second = world(taken).prove(&here, Some(nonce), Asked::default()).await;
        let kind = (!passes).then_some(Kind::NonceNotAccepted);
        assert_eq!(second.kind(), kind, "{name}");
    }
}

/// MTLS-10, MTLS-12, MTLS-17, MTLS-21: the certificate comes from where the file says, and from
/// nowhere else.
#[tokio::test]
async fn certificates_come_from_where_the_file_says() {
    let peers = json!({ "networks": ["10.0.0.0/28"] });
    let forwarded = |members: Value| {
        let mut table = json!({ "peers": peers });
        table.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        json!({ "forwarded": table })
    };
    let mut both = forwarded(json!({ "format": "client_cert" }));
    both["direct"] = json!(true);
    // The connection, then each field from a proxy of the file.
    for (name, mtls, expected) in [
        ("direct", json!({ "direct": true }), [true, false, false, false]),
        ("client_cert", forwarded(json!({ "format": "client_cert" })), [false, true, false, false]),
        ("envoy", forwarded(json!({ "format": "envoy" })), [false, false, true, false]),
        (
            "escaped_pem",
            forwarded(json!({ "format": "escaped_pem", "header": "ssl-client-cert" })),
            [false, false, false, true],
        ),
        ("both", both, [true, true, false, false]),
    ] {
        let world = World::new(&with(asking(json!({ "allow_all": true })), "/mtls", mtls));
        let certificate = &world.certificate;
        let token = world.issuer.token(RESOURCE).claim("cnf", certificate.confirmation()).sign();
        let over = PeerCertificate::new(certificate.certificate(), ChainCheck::Unchecked);
        let fields = [
            ("client-cert", certificate.client_cert_field()),
            ("x-forwarded-client-cert", certificate.xfcc_field()),
            ("ssl-client-cert", certificate.escaped_pem_field()),
        ];
        let mut found = Vec::new();
        let direct = Asked { over: Some(over), ..Asked::default() };
        found.push(world.ask("Bearer", &token, direct).await.passed());
        for field in fields {
            let from = |peer| Asked { peer, fields: vec![field.clone()], ..Asked::default() };
            found.push(world.ask("Bearer", &token, from("10.0.0.1")).await.passed());
            let stranger = world.ask("Bearer", &token, from("10.0.0.16")).await;
            assert!(!stranger.passed(), "{name}: {} of a stranger", field.0);
        }
        assert_eq!(found, expected, "{name}");
    }
    // Two proxies: the element of the first one's client.
    for (hops, appends, expected) in
        [(1, true, [true, false]), (2, true, [false, true]), (1, false, [true, false])]
    {
        let members = json!({ "format": "envoy", "trusted_hops": hops, "front_appends": appends });
        let file = with(asking(json!({ "allow_all": true })), "/mtls", forwarded(members));
        let world = World::new(&file);
        let proxy = TestCertificate::named("proxy").self_signed();
        let confirmation = world.certificate.confirmation();
        let token = world.issuer.token(RESOURCE).claim("cnf", confirmation).sign();
        let (own, proxys) = (world.certificate.xfcc_field(), proxy.xfcc_field());
        let mut found = Vec::new();
        for field in [own.clone(), format!("{own},{proxys}")] {
            let fields = vec![("x-forwarded-client-cert", field)];
            let asked = Asked { peer: "10.0.0.1", fields, ..Asked::default() };
            found.push(world.ask("Bearer", &token, asked).await.passed());
        }
        assert_eq!(found, expected, "{hops} hops");
        // What a client wrote itself, in front of what the proxy wrote about it.
        let fields = vec![("x-forwarded-client-cert", format!("{proxys},{own}"))];
        let asked = Asked { peer: "10.0.0.1", fields, ..Asked::default() };
        let passed = world.ask("Bearer", &token, asked).await.passed();
        assert_eq!(passed, hops == 1 && appends, "{hops} hops");
    }
}

/// MTLS-10: each way to know a proxy, and nobody else.
#[tokio::test]
async fn peers_of_the_file_are_believed_and_no_others() {
    let proxy = TestCertificate::named("proxy").self_signed();
    let known = proxy.certificate().thumbprint().to_string();
    let over = |checked| Some(PeerCertificate::new(proxy.certificate(), checked));
    // From its network; with its certificate; with any verified one.
    for (name, peers, expected) in [
        ("networks", json!({ "networks": ["10.0.0.0/28"] }), [true, false, false]),
        ("certificates", json!({ "certificates": [known] }), [false, true, true]),
        ("verified", json!({ "verified": true }), [false, false, true]),
        (
            "not verified",
            json!({ "networks": ["10.0.0.0/28"], "verified": false }),
            [true, false, false],
        ),
    ] {
        let mtls = json!({ "forwarded": { "format": "client_cert", "peers": peers } });
        let world = World::new(&with(asking(json!({ "allow_all": true })), "/mtls", mtls));
        let confirmation = world.certificate.confirmation();
        let token = world.issuer.token(RESOURCE).claim("cnf", confirmation).sign();
        let mut found = Vec::new();
        for (peer, over) in [
            ("10.0.0.1", None),
            ("203.0.113.9", over(ChainCheck::Unchecked)),
            ("203.0.113.9", over(ChainCheck::Verified)),
        ] {
            let fields = vec![("client-cert", world.certificate.client_cert_field())];
            let asked = Asked { peer, fields, over, ..Asked::default() };
            found.push(world.ask("Bearer", &token, asked).await.passed());
        }
        assert_eq!(found, expected, "{name}");
    }
}

/// DPOP-17, DPOP-18: as much is remembered as the file says, and one client has its share of it.
#[tokio::test]
async fn the_replay_memory_is_as_large_as_the_file_says() {
    let here = format!("{RESOURCE}/notes");
    for (replay, first_refused) in [
        (json!({ "capacity": 3, "client_share": 3 }), Some(3)),
        (json!({ "capacity": 3, "client_share": 2 }), Some(2)),
        (json!({ "capacity": 16 }), Some(2)),
        (json!({ "client_share": 1 }), Some(1)),
        (json!({}), None),
    ] {
        let world = World::new(&with(with_dpop(json!({})), "/replay", replay.clone()));
        let mut refused = None;
        for number in 0..5 {
            let kind = world.prove(&here, None, Asked::default()).await.kind();
            if kind.is_some() {
                assert_eq!(kind, Some(Kind::ReplayUnavailable), "{replay}");
                refused = refused.or(Some(number));
            }
        }
        // Below 8192 entries the numbers are exact; a share of one of a million is not.
        match replay.get("capacity") {
            None if first_refused.is_some() => {
                let share = world.api.effective_policy()["replay"]["client_share"].clone();
                assert_eq!(share, json!(1));
            }
            _ => assert_eq!(refused, first_refused, "{replay}"),
        }
    }
}

/// DPOP-C10 and tokens for one task: what a policy of the file wants beside the server.
#[tokio::test]
async fn a_policy_wants_a_nonce_and_a_token_once() {
    let here = format!("{RESOURCE}/notes");
    let policy = json!({ "allow_all": true, "require_nonce": true });
    let dpop = json!({ "nonces": { "mode": "optional" } });
    let strict = World::new(&with(asking(policy), "/dpop", dpop.clone()));
    let loose = World::new(&with_dpop(dpop));
    let kind = strict.prove(&here, None, Asked::default()).await.kind();
    assert_eq!(kind, Some(Kind::NonceMissing));
    assert!(loose.prove(&here, None, Asked::default()).await.passed());

    for (single_use, again) in [(true, Some(Kind::TokenUsed)), (false, None)] {
        let world = World::new(&asking(json!({ "allow_all": true, "single_use": single_use })));
        let token = world.issuer.token(RESOURCE).sign();
        assert!(world.ask("Bearer", &token, Asked::default()).await.passed());
        assert_eq!(world.ask("Bearer", &token, Asked::default()).await.kind(), again);
    }
}
