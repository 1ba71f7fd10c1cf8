//! Whose key it is: keys, key ids and places that a token or a request would choose.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request};
use portcullis::jose::{Algorithm, base64url};
use portcullis::testing::{ManualClock, TestIssuer, TestKey, TestNetwork, TokenBuilder};
use portcullis::transport::{Fetch, FetchLimits, Transport};
use portcullis::{ConfigFault, Issuer, RejectionKind as Kind};
use serde_json::{Value, json};

use crate::support::Wants::Pass;
use crate::support::{
    ISSUER, RESOURCE, World, bearer, builder, check_rows, present, row, send, settle,
};

/// A network that remembers what was fetched.
#[derive(Clone)]
struct Recorder {
    network: TestNetwork,
    urls: Arc<Mutex<Vec<String>>>,
}

impl Recorder {
    fn of(issuers: &[&TestIssuer]) -> Self {
        Self { network: TestNetwork::of(issuers), urls: Arc::default() }
    }

    /// What was fetched since it was last asked.
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.urls.lock().unwrap())
    }
}

impl Transport for Recorder {
    fn fetch(&self, request: Request<Bytes>, limits: FetchLimits) -> Fetch<'_> {
        self.urls.lock().unwrap().push(request.uri().to_string());
        self.network.fetch(request, limits)
    }
}

/// CVE-2026-27962, CVE-2024-21643.
#[tokio::test]
async fn a_key_that_comes_with_a_token_is_never_used() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let evil = TestIssuer::new("https://evil.example", &clock);
    let recorder = Recorder::of(&[&issuer, &evil]);
    let api = builder(&clock).issuer(issuer.jwks()).transport(recorder.clone()).build().unwrap();
    api.warm_up().await.unwrap();
    assert_eq!(recorder.take(), [issuer.jwks_uri()]);
    let mut rows = Vec::new();
    for (name, value) in [
        ("jwk", evil.key().public_jwk()),
        ("jku", json!(evil.jwks_uri())),
        ("x5u", json!("https://evil.example/chain.pem")),
        ("x5c", json!([base64url::encode([0x30; 300])])),
        ("jwks", evil.jwk_set()),
        ("jwks_uri", json!(evil.jwks_uri())),
    ] {
        let token = || issuer.token(RESOURCE).header(name, &value).claim(name, &value);
        rows.push(row("AT-07", format!("{name}, ignored"), token().sign(), Pass));
        let forged = token().sign_with(&evil.key());
        rows.push(row("AT-07", format!("{name}, forged"), forged, Kind::BadSignature));
    }
    check_rows(&api, rows).await;
    assert_eq!(recorder.take(), Vec::<String>::new());
}

/// GHSA-993g-76c3-p5m4.
#[tokio::test]
async fn keys_are_fetched_by_https_and_from_nowhere_else() {
    let clock = ManualClock::new();
    for (url, builds) in [
        ("https://as.example/jwks.json", true),
        ("http://as.example/jwks.json", false),
        ("http://127.0.0.1/jwks.json", false),
        ("file:///etc/passwd", false),
        ("file://localhost/etc/passwd", false),
        ("data:application/json,{\"keys\":[]}", false),
        ("ftp://as.example/jwks.json", false),
        ("//as.example/jwks.json", false),
        ("/etc/passwd", false),
        ("", false),
    ] {
        let built = builder(&clock).issuer(Issuer::jwks(ISSUER, url)).build();
        assert_eq!(built.is_ok(), builds, "{url}");
        if url.is_empty() || builds {
            continue;
        }
        // The same by the issuer's own metadata.
        let issuer = TestIssuer::new(ISSUER, &clock);
        issuer.metadata(json!({"issuer": ISSUER, "jwks_uri": url}));
        let recorder = Recorder::of(&[&issuer]);
        let api =
            builder(&clock).issuer(issuer.discover()).transport(recorder.clone()).build().unwrap();
        let refused = present(&api, &issuer.token(RESOURCE).sign()).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::KeysUnavailable, "{url}");
        let fetched = recorder.take();
        let known = |url: &String| url.starts_with("https://as.example/.well-known/");
        assert!(!fetched.is_empty() && fetched.iter().all(known), "{fetched:?}");
    }
}

/// CWE-918 in a load balancer that made a URL of `kid`; SQL and paths likewise.
#[tokio::test]
async fn a_kid_is_a_name_and_never_a_place() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let evil = TestIssuer::new("https://evil.example", &clock);
    let recorder = Recorder::of(&[&issuer, &evil]);
    let api =
        builder(&clock).issuer(issuer.discover()).transport(recorder.clone()).build().unwrap();
    api.warm_up().await.unwrap();
    recorder.take();
    #[rustfmt::skip]
    let kids = [
        "https://evil.example/jwks.json", "@evil.example/", "../../../../dev/null",
        "k1/../../evil", "?kid=k1", "#k1", "k1\0.pem", "x' UNION SELECT 'secret' --",
        "|cat /etc/passwd", "%6b1", "k1\r\nHost: evil.example",
    ];
    for kid in kids {
        clock.advance(Duration::from_secs(20));
        let token = issuer.token(RESOURCE).header("kid", kid);
        for token in [token.sign(), token.sign_with(&evil.key()), token.sign_with_hmac(b"")] {
            assert!(present(&api, &token).await.is_err(), "{kid}");
        }
        let fetched = recorder.take();
        assert!(!fetched.is_empty(), "{kid}: an unknown kid is looked for");
        assert!(fetched.iter().all(|url| url == issuer.jwks_uri()), "{kid}: {fetched:?}");
    }
    // A key of such a name is a key like any other.
    let odd = TestKey::generate(Algorithm::Es256, "../../../../dev/null");
    issuer.add_key(odd);
    clock.advance(Duration::from_secs(20));
    assert!(present(&api, &issuer.token(RESOURCE).sign()).await.is_ok());
}

/// CVE-2026-89313.
#[tokio::test]
async fn an_absent_kid_does_not_pick_some_key() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let (second, third) =
        (TestKey::generate(Algorithm::Es256, "k2"), TestKey::generate(Algorithm::EdDsa, "k3"));
    issuer.publish(second.public_jwk());
    issuer.publish(third.public_jwk());
    let api = builder(&clock).issuer(issuer.fixed_keys()).build().unwrap();
    let nameless = |alg: &str| issuer.token(RESOURCE).without_header("kid").header("alg", alg);
    let unnamed = |alg: &str| nameless(alg).header("kid", "");
    #[rustfmt::skip]
    let rows = [
        row("JWS-15", "the kid of the first", issuer.token(RESOURCE).sign(), Pass),
        row("JWS-15", "no kid, the first", nameless("ES256").sign(), Kind::AmbiguousKey),
        row("JWS-15", "no kid, the second", nameless("ES256").sign_with(&second), Kind::AmbiguousKey),
        row("JWS-15", "no kid, the one that fits", nameless("EdDSA").sign_with(&third), Pass),
        row("JWS-15", "no kid, none fits", nameless("RS256").sign(), Kind::UnknownKey),
        row("JWS-15", "an empty kid, the first", unnamed("ES256").sign(), Kind::UnknownKey),
        row("JWS-15", "an empty kid, the one that fits", unnamed("EdDSA").sign_with(&third), Kind::UnknownKey),
    ];
    check_rows(&api, rows).await;
}

/// CVE-2026-49998, CVE-2026-50202, CVE-2025-59936.
#[tokio::test]
async fn keys_are_kept_by_issuer_and_kid_apart() {
    let clock = ManualClock::new();
    // Whatever is put between an issuer and a kid: these pairs are written alike.
    for between in ["", "/", ":", "|", "#", "-", ".", "_", ",", "::", "%2F"] {
        let victim = TestIssuer::new("https://as.example/v", &clock);
        let evil = TestIssuer::new("https://as.example", &clock);
        let collision = TestKey::generate(Algorithm::Es256, format!("/v{between}k1"));
        evil.add_key(collision);
        let same = TestKey::generate(Algorithm::Es256, "k1");
        let evil_first = TestIssuer::new("https://a.example", &clock);
        let api = builder(&clock)
            .issuer(evil_first.jwks())
            .issuer(victim.jwks())
            .issuer(evil.jwks())
            .transport(TestNetwork::of(&[&victim, &evil, &evil_first]))
            .build()
            .unwrap();
        let forged =
            |kid: &str, key: &TestKey| victim.token(RESOURCE).header("kid", kid).sign_with(key);
        // Every other issuer's keys are in memory before the victim's are asked for.
        #[rustfmt::skip]
        let rows = [
            row("JWS-38", "the colliding key at home", evil.token(RESOURCE).sign(), Pass),
            row("JWS-38", "the same kid at home", evil_first.token(RESOURCE).sign(), Pass),
            row("JWS-38", "the same kid, forged", forged("k1", &evil_first.key()), Kind::BadSignature),
            row("JWS-38", "the colliding kid, forged", forged(evil.key().kid(), &evil.key()), Kind::UnknownKey),
            row("JWS-38", "the colliding key under the kid", forged("k1", &evil.key()), Kind::BadSignature),
            row("JWS-38", "a key of nobody", forged("k1", &same), Kind::BadSignature),
            row("JWS-38", "the victim's own", victim.token(RESOURCE).sign(), Pass),
        ];
        check_rows(&api, rows).await;
    }
}

/// CVE-2025-22149.
#[tokio::test]
async fn a_fetched_set_replaces_the_one_before() {
    let world = World::new().await;
    let old = world.issuer.key();
    let by_old = |token: TokenBuilder| token.header("kid", "k1").sign_with(&old);
    world.issuer.rotate();
    #[rustfmt::skip]
    let rows = [
        row("JWS-14", "the new key", world.token().sign(), Pass),
        row("JWS-14", "the old key, still published", by_old(world.token()), Pass),
        row("JWS-14", "a key that never was", world.token().header("kid", "k3").sign(), Kind::UnknownKey),
    ];
    world.check(rows).await;
    world.issuer.withdraw("k1");
    world.clock.advance(Duration::from_hours(2));
    settle().await;
    #[rustfmt::skip]
    let rows = [
        row("JWS-14", "the new key", world.token().sign(), Pass),
        row("JWS-14", "the old key, withdrawn", by_old(world.token()), Kind::UnknownKey),
        row("JWS-14", "and without its name", by_old(world.token().without_header("kid")), Kind::UnknownKey),
        row("JWS-14", "under the new one's name", world.token().sign_with(&old), Kind::BadSignature),
    ];
    world.check(rows).await;
}

/// CVE-2026-32301, CVE-2026-59096.
#[tokio::test]
async fn no_url_is_made_of_a_request() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let evil = TestIssuer::new("https://evil.example", &clock);
    let recorder = Recorder::of(&[&issuer, &evil]);
    let server = || {
        let issuer = issuer.discover();
        builder(&clock).issuer(issuer).transport(recorder.clone()).build().unwrap()
    };
    let forged = |name: &str, value: &str| evil.token(RESOURCE).claim(name, value).sign();
    for token in [
        evil.token(RESOURCE).sign(),
        forged("iss", "https://as.example.evil.example"),
        forged("iss", "https://as.example@evil.example"),
        forged("iss", "https://as.example/../evil"),
        forged("iss", "https://evil.example/https://as.example"),
        forged("iss", "http://169.254.169.254"),
    ] {
        let refused = present(&server(), &token).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::UnknownIssuer);
        assert_eq!(recorder.take(), Vec::<String>::new(), "nothing is fetched for it");
    }
    // A cold server, and fields by which a proxy might be believed.
    let mut request = bearer(&issuer.token(RESOURCE).claim("tid", "evil").sign());
    for (name, value) in [
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-prefix", "/evil"),
        ("forwarded", "host=evil.example;proto=http"),
        ("x-original-url", "https://evil.example"),
    ] {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let sent = send(&server().layer(), request).await;
    assert!(sent.passed());
    let fetched = recorder.take();
    assert!(fetched.iter().all(|url| url.starts_with("https://as.example/")), "{fetched:?}");
}

/// A sole provider that answers for every `iss`, and an empty one that skips the comparison.
#[tokio::test]
async fn a_sole_issuer_does_not_answer_for_others() {
    let world = World::new().await;
    let iss = |iss: Value| world.token().claim("iss", iss).sign();
    let unknown = Kind::UnknownIssuer;
    #[rustfmt::skip]
    let rows = [
        row("AT-05", "itself", world.token().sign(), Pass),
        row("AT-05", "another", iss(json!("https://other.example")), unknown),
        row("AT-05", "an empty one", iss(json!("")), unknown),
        row("AT-05", "null", iss(json!(null)), unknown),
        row("AT-05", "an array of it", iss(json!([ISSUER])), unknown),
        row("AT-05", "none", world.token().without("iss").sign(), unknown),
        row("AT-05", "none, but in the header", world.token().without("iss").header("iss", ISSUER).sign(), unknown),
    ];
    world.check(rows).await;
    let build = |issuer: Issuer| builder(&world.clock).issuer(issuer).build().map(|_| ());
    assert!(build(world.issuer.fixed_keys()).is_ok());
    let keys = world.issuer.jwk_set().to_string();
    for empty in ["", " ", "*", "https://"] {
        assert!(build(Issuer::fixed_keys(empty, keys.as_str())).is_err(), "{empty:?}");
    }
    let none = builder(&world.clock).build().map(|_| ()).unwrap_err();
    assert_eq!(none.faults(), [ConfigFault::NoIssuer]);
}
