//! Keys: which of them verifies a token, and which can verify nothing.

use aws_lc_rs::signature;
use portcullis::jose::{Algorithm, Compact};
use portcullis::testing::{ManualClock, TestIssuer, TestKey, TestNetwork, TokenBuilder};
use portcullis::{ConfigFault, RejectionKind as Kind};
use serde_json::{Value, json};

use crate::support::Wants::Pass;
use crate::support::{ISSUER, RESOURCE, RsaPair, World, builder, check_rows, present, row};

/// JWS-14, JWS-15, JWS-41.
#[tokio::test]
async fn a_kid_is_an_exact_name_and_optional() {
    let world = World::new().await;
    let kid = |kid: Value| world.token().header("kid", kid).sign();
    let spelled = |text: &str| {
        let header = format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":{text}}}"#);
        world.token().raw_header(header).sign()
    };
    #[rustfmt::skip]
    let mut rows = vec![
        row("JWS-15", "as it is", kid(json!("k1")), Pass),
        row("JWS-15", "absent", world.token().without_header("kid").sign(), Pass),
        row("JWS-15", "escaped", spelled(r#""\u006b1""#), Pass),
    ];
    #[rustfmt::skip]
    let others = [
        "K1", "k2", "", " k1", "k1 ", "k1\0", "k", "k11", "../../etc/passwd", "' OR 1=1 --",
        "https://evil.example/jwks.json#k1", "file:///dev/null", "${jndi:ldap://evil.example}",
        "k1\r\nHost: evil.example",
    ];
    for other in others {
        rows.push(row(
            "JWS-14 JWS-15 JWS-41",
            format!("{other:?}"),
            kid(json!(other)),
            Kind::UnknownKey,
        ));
    }
    let long = "k".repeat(5_000);
    rows.push(row("JWS-41", "five thousand characters", kid(json!(long)), Kind::UnknownKey));
    for other in [json!(1), json!(null), json!(["k1"]), json!({"k1": 1}), json!(true)] {
        rows.push(row("JWS-15", other.to_string(), kid(other), Kind::MalformedToken));
    }
    world.check(rows).await;
    // JWS-14, JWS-16, JWS-41: the warm-up, and what the bucket lets through; one place only.
    assert_eq!(world.issuer.fetches(), 4);
    assert_eq!(world.network.fetches(), world.issuer.fetches());
}

/// JWS-14: one fetch, and then the answer.
#[tokio::test]
async fn an_unknown_kid_is_looked_for_once() {
    let world = World::new().await;
    let before = world.issuer.fetches();
    let refused = present(&world.api, &world.token().header("kid", "k2").sign()).await;
    assert_eq!(refused.unwrap_err().kind(), Kind::UnknownKey);
    assert_eq!(world.issuer.fetches(), before + 1);
    // Its twin: the key has come in the meantime.
    assert_eq!(world.issuer.rotate(), "k2");
    assert!(present(&world.api, &world.token().sign()).await.is_ok());
}

/// JWS-20, FAPI-08, JWS-15: which key of several.
#[tokio::test]
async fn a_key_is_chosen_by_kid_and_algorithm() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let okp = TestKey::generate(Algorithm::EdDsa, "k1");
    let second = TestKey::generate(Algorithm::Es256, "k2");
    let rsa = RsaPair::generate();
    for key in [okp.public_jwk(), second.public_jwk(), rsa.jwk("k1", Some("RS256"))] {
        issuer.publish(key);
    }
    let double = TestKey::generate(Algorithm::Es384, "k3");
    issuer.publish(double.public_jwk());
    issuer.publish(TestKey::generate(Algorithm::Es384, "k3").public_jwk());
    let api = builder(&clock).issuer(issuer.fixed_keys()).build().unwrap();
    let token = |alg: &str| issuer.token(RESOURCE).header("alg", alg);
    let pkcs1 = &signature::RSA_PKCS1_SHA256;
    #[rustfmt::skip]
    let rows = [
        row("JWS-20 FAPI-08", "EC", token("ES256").sign(), Pass),
        row("JWS-20 FAPI-08", "OKP of the same kid", token("EdDSA").sign_with(&okp), Pass),
        row("JWS-20 FAPI-08", "RSA of the same kid", rsa.sign(token("RS256"), "RS256", pkcs1), Pass),
        row("JWS-20", "the other EC key under that kid", token("ES256").sign_with(&second), Kind::BadSignature),
        row("JWS-20", "OKP under the EC algorithm", token("ES256").sign_with(&okp), Kind::BadSignature),
        row("JWS-15", "the other EC key", token("ES256").header("kid", "k2").sign_with(&second), Pass),
        row("JWS-15", "no kid, one key fits", token("EdDSA").without_header("kid").sign_with(&okp), Pass),
        row("JWS-15", "no kid, two keys fit", token("ES256").without_header("kid").sign(), Kind::AmbiguousKey),
        row("JWS-15", "no kid, none fits", token("PS256").without_header("kid").sign(), Kind::UnknownKey),
        row(
            "JWS-20",
            "one kid and algorithm twice",
            token("ES384").header("kid", "k3").sign_with(&double),
            Kind::AmbiguousKey,
        ),
        row("JWS-20", "a kid of another algorithm", token("ES384").sign_with(&double), Kind::UnknownKey),
    ];
    check_rows(&api, rows).await;
}

/// AT-04, JWS-32: every algorithm of the default list, and none beside it.
#[tokio::test]
async fn the_default_algorithms_are_verified() {
    assert!(!Algorithm::ACCESS_TOKEN_DEFAULTS.contains(&Algorithm::Es512));
    for algorithm in Algorithm::ALL {
        let clock = ManualClock::new();
        let issuer = TestIssuer::with_algorithm(ISSUER, &clock, *algorithm);
        let built = builder(&clock).issuer(issuer.fixed_keys()).build();
        if !Algorithm::ACCESS_TOKEN_DEFAULTS.contains(algorithm) {
            let faults = built.map(|_| ()).unwrap_err();
            assert!(matches!(faults.faults(), [ConfigFault::NoUsableKey { .. }]), "{faults}");
            let named = issuer.fixed_keys().algorithms([*algorithm]);
            let api = builder(&clock).issuer(named).build().unwrap();
            assert!(present(&api, &issuer.token(RESOURCE).sign()).await.is_ok(), "{algorithm}");
            continue;
        }
        let api = built.unwrap();
        #[rustfmt::skip]
        let mut rows = vec![
            row("AT-04", format!("{algorithm}"), issuer.token(RESOURCE).sign(), Pass),
            row("AT-04", format!("{algorithm}, tampered"), issuer.token(RESOURCE).tampered(), Kind::BadSignature),
        ];
        for other in Algorithm::ALL.iter().filter(|other| !other.same_operation(*algorithm)) {
            let token = issuer.token(RESOURCE).header("alg", other.as_str()).sign();
            let kind = match other {
                Algorithm::Es512 => Kind::AlgorithmNotAllowed,
                _ => Kind::UnknownKey,
            };
            rows.push(row("JWS-21", format!("{algorithm} called {other}"), token, kind));
        }
        check_rows(&api, rows).await;
    }
}

/// JWS-22, ASVS-02, FAPI-06: each issuer has a list of its own.
#[tokio::test]
async fn algorithms_are_allowed_by_issuer() {
    let clock = ManualClock::new();
    let rsa = RsaPair::generate();
    let pkcs1 = &signature::RSA_PKCS1_SHA256;
    let narrow = TestIssuer::new("https://narrow.example", &clock);
    let wide = TestIssuer::new("https://wide.example", &clock);
    let fapi = TestIssuer::new("https://fapi.example", &clock);
    for issuer in [&narrow, &wide, &fapi] {
        issuer.publish(rsa.jwk("r1", None));
    }
    let api = builder(&clock)
        .issuer(narrow.fixed_keys().algorithms([Algorithm::Es256]))
        .issuer(wide.fixed_keys())
        .issuer(fapi.fixed_keys().algorithms([
            Algorithm::Ps256,
            Algorithm::Es256,
            Algorithm::EdDsa,
        ]))
        .build()
        .unwrap();
    let rs256 =
        |issuer: &TestIssuer| rsa.sign(issuer.token(RESOURCE).header("kid", "r1"), "RS256", pkcs1);
    let ps256 =
        rsa.sign(fapi.token(RESOURCE).header("kid", "r1"), "PS256", &signature::RSA_PSS_SHA256);
    let ed = TestKey::generate(Algorithm::Ed25519, "e1");
    #[rustfmt::skip]
    let rows = [
        row("JWS-22", "ES256 where it is the only one", narrow.token(RESOURCE).sign(), Pass),
        row("JWS-22", "RS256 there", rs256(&narrow), Kind::AlgorithmNotAllowed),
        row("JWS-22", "RS256 where it is allowed", rs256(&wide), Pass),
        row("FAPI-06", "RS256 where PS256 is", rs256(&fapi), Kind::AlgorithmNotAllowed),
        row("FAPI-06", "PS256 there", ps256, Pass),
        row(
            "JWS-32 JWS-22",
            "Ed25519 where only EdDSA is named",
            fapi.token(RESOURCE).header("alg", "Ed25519").sign_with(&ed),
            Kind::AlgorithmNotAllowed,
        ),
    ];
    check_rows(&api, rows).await;
}

/// JWS-32: two names of one operation.
#[tokio::test]
async fn eddsa_and_ed25519_are_one_operation() {
    for published in [Some("EdDSA"), Some("Ed25519"), None] {
        let clock = ManualClock::new();
        let key = TestKey::generate(Algorithm::EdDsa, "e1");
        let mut jwk = key.public_jwk();
        match published {
            Some(alg) => jwk["alg"] = json!(alg),
            None => drop(jwk.as_object_mut().unwrap().remove("alg")),
        }
        let issuer = TestIssuer::new(ISSUER, &clock);
        issuer.publish(jwk);
        let api = builder(&clock).issuer(issuer.fixed_keys()).build().unwrap();
        let token = |alg: &str| {
            issuer.token(RESOURCE).header("kid", "e1").header("alg", alg).sign_with(&key)
        };
        #[rustfmt::skip]
        let rows = [
            row("JWS-32", format!("{published:?}, EdDSA"), token("EdDSA"), Pass),
            row("JWS-32", format!("{published:?}, Ed25519"), token("Ed25519"), Pass),
            row("JWS-32", format!("{published:?}, Ed448"), token("Ed448"), Kind::AlgorithmNotAllowed),
            row("JWS-32", format!("{published:?}, ES256"), token("ES256"), Kind::UnknownKey),
        ];
        check_rows(&api, rows).await;
    }
}

/// JWS-21, JWS-19, FAPI-06: a key has one algorithm: its own, else the first that fits it.
#[tokio::test]
async fn a_key_is_used_with_one_algorithm() {
    let rsa = RsaPair::generate();
    let signed: [(&str, &'static dyn signature::RsaEncoding); 4] = [
        ("RS256", &signature::RSA_PKCS1_SHA256),
        ("RS512", &signature::RSA_PKCS1_SHA512),
        ("PS256", &signature::RSA_PSS_SHA256),
        ("PS384", &signature::RSA_PSS_SHA384),
    ];
    use Algorithm::{Es256, Ps256, Ps384, Rs256, Rs512};
    let defaults = Algorithm::ACCESS_TOKEN_DEFAULTS;
    #[rustfmt::skip]
    let cases: [(Option<&str>, &[Algorithm], &str); 8] = [
        (None, defaults, "RS256"),
        (None, &[Ps256, Rs256], "PS256"),
        (None, &[Es256, Rs512, Ps256, Rs256, Ps384], "RS512"),
        (None, &[Rs256, Ps256, Rs512, Ps384], "RS256"),
        (Some("PS256"), defaults, "PS256"),
        (Some("RS512"), defaults, "RS512"),
        (Some("RS256"), &[Ps256, Rs256], "RS256"),
        (Some("PS384"), defaults, "PS384"),
    ];
    for (alg, allowed, used) in cases {
        let clock = ManualClock::new();
        let issuer = TestIssuer::new(ISSUER, &clock);
        issuer.publish(rsa.jwk("r1", alg));
        let config = issuer.fixed_keys().algorithms(allowed.iter().copied());
        let api = builder(&clock).issuer(config).build().unwrap();
        let rows = signed.map(|(name, encoding)| {
            let token = rsa.sign(issuer.token(RESOURCE).header("kid", "r1"), name, encoding);
            let wants = match () {
                () if name == used => Pass,
                () if allowed.iter().all(|a| a.as_str() != name) => {
                    Kind::AlgorithmNotAllowed.into()
                }
                () => Kind::UnknownKey.into(),
            };
            row(
                "JWS-21 JWS-19",
                format!("key {alg:?}, list {allowed:?}, token {name}"),
                token,
                wants,
            )
        });
        check_rows(&api, rows).await;
    }
}

/// JWS-21: what a key is used with does not depend on what came before.
#[tokio::test]
async fn the_algorithm_of_a_key_is_not_learned() {
    let rsa = RsaPair::generate();
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    issuer.publish(rsa.jwk("r1", None));
    let token = || issuer.token(RESOURCE).header("kid", "r1");
    let ps256 = || rsa.sign(token(), "PS256", &signature::RSA_PSS_SHA256);
    let rs256 = || rsa.sign(token(), "RS256", &signature::RSA_PKCS1_SHA256);
    let server = || builder(&clock).issuer(issuer.fixed_keys()).build().unwrap();
    for order in [[&ps256 as &dyn Fn() -> String, &rs256], [&rs256, &ps256]] {
        let api = server();
        for make in order.into_iter().chain(order) {
            let token = make();
            let alg = Compact::parse(&token).unwrap().header().unwrap().algorithm();
            let accepted = present(&api, &token).await.is_ok();
            assert_eq!(accepted, alg == Algorithm::Rs256, "{alg}");
        }
    }
}

/// AT-07, JWS-41, ASVS-03, API-01: a token brings no key, and nothing in it is fetched.
#[tokio::test]
async fn no_key_comes_with_a_token() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let evil = TestIssuer::new("https://evil.example", &clock);
    let network = TestNetwork::of(&[&issuer, &evil]);
    let api = builder(&clock).issuer(issuer.jwks()).transport(network.clone()).build().unwrap();
    api.warm_up().await.unwrap();
    let jwk = evil.key().public_jwk();
    let mut nameless = jwk.clone();
    nameless.as_object_mut().unwrap().remove("kid");
    let mut rows = Vec::new();
    for (name, value) in [
        ("jwk", jwk.clone()),
        ("jwk", nameless),
        ("jwk", json!("x")),
        ("jku", json!(evil.jwks_uri())),
        ("jku", json!("http://127.0.0.1/jwks.json")),
        ("jku", json!("http://169.254.169.254/latest/meta-data")),
        ("jku", json!("file:///etc/passwd")),
        ("jku", json!(format!("{}#@evil.example", issuer.jwks_uri()))),
        ("x5u", json!("https://evil.example/cert.pem")),
        ("x5c", json!(["MIIBCg=="])),
        ("x5t#S256", json!("x")),
    ] {
        let make = || issuer.token(RESOURCE).header(name, value.clone());
        let of = |what: &str| format!("{name}: {value}, {what}");
        rows.push(row("JWS-11", of("signed by the issuer"), make().sign(), Pass));
        let forged = |token: TokenBuilder| token.sign_with(&evil.key());
        rows.push(row("AT-07", of("forged"), forged(make()), Kind::BadSignature));
        let without = make().without_header("kid");
        rows.push(row("AT-07", of("forged, no kid"), forged(without), Kind::BadSignature));
    }
    check_rows(&api, rows).await;
    assert_eq!(network.fetches(), 1, "the warm-up and nothing more");

    // A kid that nobody knows is looked for, where the issuer's keys are and nowhere else.
    let forged = issuer
        .token(RESOURCE)
        .header("kid", "e1")
        .header("jku", evil.jwks_uri())
        .header("jwk", jwk);
    let refused = present(&api, &forged.sign_with(&evil.key())).await;
    assert_eq!(refused.unwrap_err().kind(), Kind::UnknownKey);
    assert_eq!((network.fetches(), issuer.fetches(), evil.fetches()), (2, 2, 0));
}

/// JWS-38, JWS-12, NHI-08: a key speaks for its own issuer.
#[tokio::test]
async fn a_key_belongs_to_its_issuer() {
    let clock = ManualClock::new();
    let production = TestIssuer::new(ISSUER, &clock);
    let staging = TestIssuer::new("https://staging.example", &clock);
    assert_eq!(production.key().kid(), staging.key().kid(), "the kids collide");
    let api = builder(&clock)
        .issuer(production.fixed_keys())
        .issuer(staging.fixed_keys())
        .build()
        .unwrap();
    let (own, other) = (production.key(), staging.key());
    let token = || production.token(RESOURCE);
    let nameless = || token().without_header("kid");
    #[rustfmt::skip]
    let rows = [
        row("JWS-38", "each its own", token().sign_with(&own), Pass),
        row("JWS-38", "and the other its own", staging.token(RESOURCE).sign_with(&other), Pass),
        row("JWS-38", "one issuer, the other's key", token().sign_with(&other), Kind::BadSignature),
        row("JWS-38", "and the other way round", staging.token(RESOURCE).sign_with(&own), Kind::BadSignature),
        row("JWS-38", "no kid", nameless().sign_with(&own), Pass),
        row("JWS-38", "no kid, the other's key", nameless().sign_with(&other), Kind::BadSignature),
        row(
            "JWS-12",
            "another issuer in the header",
            token().header("iss", staging.id()).sign_with(&other),
            Kind::BadSignature,
        ),
    ];
    check_rows(&api, rows).await;
    // NHI-08: the same token where staging is not configured.
    let api = builder(&clock).issuer(production.fixed_keys()).build().unwrap();
    #[rustfmt::skip]
    let rows = [
        row("NHI-08", "production", token().sign(), Pass),
        row("NHI-08", "staging", staging.token(RESOURCE).sign(), Kind::UnknownIssuer),
    ];
    check_rows(&api, rows).await;
}
