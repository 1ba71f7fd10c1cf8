//! What is signed, and by what: forged and missing signatures.

use aws_lc_rs::signature;
use p256::elliptic_curve::Curve as _;
use p256::elliptic_curve::bigint::Encoding as _;
use portcullis::jose::{Algorithm, base64url};
use portcullis::testing::{ManualClock, TestIssuer, TestKey, TokenBuilder};
use portcullis::{ConfigFault, Issuer, RejectionKind as Kind};
use serde_json::{Value, json};

use crate::support::Wants::Pass;
use crate::support::{
    ISSUER, RESOURCE, RsaPair, World, builder, check_rows, compact, parts, row,
    rsa_public_key_forms,
};

/// CVE-2023-48223, CVE-2026-34950, CVE-2026-107722, CVE-2026-102268, CVE-2024-37568,
/// CVE-2024-54150.
#[tokio::test]
async fn a_public_key_is_never_a_shared_secret() {
    let rsa = RsaPair::generate();
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    issuer.publish(rsa.jwk("r1", None));
    let api = builder(&clock).issuer(issuer.fixed_keys()).build().unwrap();
    let token = || issuer.token(RESOURCE).header("kid", "r1");
    let signed = rsa.sign(token(), "RS256", &signature::RSA_PKCS1_SHA256);
    let mut rows = vec![row("JWS-24", "RS256", signed, Pass)];
    for (name, secret) in rsa_public_key_forms(&rsa) {
        let refused = Kind::AlgorithmNotAllowed;
        rows.push(row("JWS-24", &name, token().sign_with_hmac(&secret), refused));
        let nameless = token().without_header("kid").sign_with_hmac(&secret);
        rows.push(row("JWS-24", format!("{name}, no kid"), nameless, refused));
    }
    check_rows(&api, rows).await;
}

/// CVE-2026-44699, CVE-2026-114616.
#[tokio::test]
async fn a_key_that_names_no_algorithm_is_no_empty_secret() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let okp = TestKey::generate(Algorithm::EdDsa, "o1");
    let mut nameless = [issuer.key().public_jwk(), okp.public_jwk()];
    for jwk in &mut nameless {
        jwk.as_object_mut().unwrap().remove("alg");
    }
    let [ec, okp] = nameless;
    let keys = json!({"keys": [
        RsaPair::generate().jwk("r1", None),
        ec,
        okp,
        {"kty": "oct", "kid": "s1", "k": ""},
        {"kty": "oct", "kid": "s2", "alg": "HS256"},
    ]});
    let of = |keys: &Value| Issuer::fixed_keys(ISSUER, keys.to_string());
    let api = builder(&clock).issuer(of(&keys)).build().unwrap();
    let mut rows = vec![row("JWS-24", "ES256", issuer.token(RESOURCE).sign(), Pass)];
    for kid in ["r1", "k1", "o1", "s1", "s2"] {
        for secret in [&b""[..], &[0], &[0; 64]] {
            let token = issuer.token(RESOURCE).header("kid", kid).sign_with_hmac(secret);
            rows.push(row(
                "JWS-24",
                format!("{kid}, {secret:?}"),
                token,
                Kind::AlgorithmNotAllowed,
            ));
        }
    }
    check_rows(&api, rows).await;
    // And nothing that holds a shared secret is a configuration.
    let secrets = json!({"keys": [{"kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ", "alg": "HS256"}]});
    let faults = builder(&clock).issuer(of(&secrets)).build().map(|_| ()).unwrap_err();
    assert!(matches!(faults.faults(), [ConfigFault::NoUsableKey { .. }]), "{faults}");
}

/// CVE-2026-28802, CVE-2026-102946, CVE-2026-96760.
#[tokio::test]
async fn a_missing_signature_is_no_signature() {
    let world = World::new().await;
    let good = world.token().sign();
    let [header, payload, signature] = parts(&good);
    let none = base64url::encode(r#"{"alg":"none","typ":"at+jwt","kid":"k1"}"#);
    #[rustfmt::skip]
    let mut rows = vec![
        row("AT-03", "signed", good.clone(), Pass),
        row("AT-03", "none, the signature kept", format!("{none}.{payload}.{signature}"), Kind::AlgorithmNotAllowed),
        row("AT-03", "none, one octet", format!("{none}.{payload}.AA"), Kind::AlgorithmNotAllowed),
        row("AT-03", "none, nothing", format!("{none}.{payload}."), Kind::MalformedToken),
        row("AT-03", "none, no third part", format!("{none}.{payload}"), Kind::MalformedToken),
        row("AT-03", "ES256, nothing", format!("{header}.{payload}."), Kind::MalformedToken),
        row("AT-03", "ES256, padding", format!("{header}.{payload}.="), Kind::MalformedToken),
        row("AT-03", "ES256, one octet", format!("{header}.{payload}.AA"), Kind::BadSignature),
    ];
    // JSON serialisations: as they are, and as something that looks like a token.
    for json in [
        format!(r#"{{"payload":"{payload}","signatures":[]}}"#),
        format!(r#"{{"payload":"{payload}","signatures":null}}"#),
        format!(r#"{{"payload":"{payload}"}}"#),
        format!(r#"{{"payload":"{payload}","protected":"{header}","signature":"{signature}"}}"#),
    ] {
        rows.push(row("JWS-01", &json, json.clone(), Kind::MalformedCredentials));
        let encoded = base64url::encode(&json);
        rows.push(row("JWS-01", "encoded", encoded.clone(), Kind::OpaqueToken));
        rows.push(row(
            "JWS-01",
            "encoded as a header",
            format!("{encoded}.{payload}.{signature}"),
            Kind::AlgorithmNotAllowed,
        ));
    }
    world.check(rows).await;
}

/// GHSA-5739-39v2-5754.
#[tokio::test]
async fn the_algorithm_comes_from_the_signed_header_alone() {
    let world = World::new().await;
    let forger = TestKey::generate(Algorithm::EdDsa, "k1");
    let elsewhere = |token: TokenBuilder| {
        token
            .header("header", json!({"alg": "EdDSA", "jwk": forger.public_jwk()}))
            .header("unprotected", json!({"alg": "none"}))
            .claim("alg", "none")
            .claim("header", json!({"alg": "EdDSA"}))
    };
    let good = world.token().sign();
    let [header, payload, signature] = parts(&good);
    let flattened = format!(
        r#"{{"payload":"{payload}","header":{{"alg":"none"}},"protected":"{header}","signature":"{signature}"}}"#
    );
    #[rustfmt::skip]
    let rows = [
        row("JWS-07", "other places say other things", elsewhere(world.token()).sign(), Pass),
        row("JWS-07", "and nobody listens", elsewhere(world.token()).sign_with(&forger), Kind::BadSignature),
        row(
            "JWS-07",
            "no alg where it counts",
            elsewhere(world.token())
                .without_header("alg")
                .sign_with(&forger),
            Kind::AlgorithmNotAllowed,
        ),
        row("JWS-01", "an unprotected header", flattened, Kind::MalformedCredentials),
    ];
    world.check(rows).await;
}

/// CVE-2022-21449.
#[tokio::test]
async fn a_zero_signature_verifies_nothing() {
    #[rustfmt::skip]
    let orders = [
        (Algorithm::Es256, p256::NistP256::ORDER.to_be_bytes().to_vec(), 32),
        (Algorithm::Es384, p384::NistP384::ORDER.to_be_bytes().to_vec(), 48),
        (Algorithm::Es512, p521::NistP521::ORDER.to_be_bytes().to_vec(), 66),
    ];
    for (algorithm, order, width) in orders {
        let clock = ManualClock::new();
        let issuer = TestIssuer::with_algorithm(ISSUER, &clock, algorithm);
        let config = issuer.fixed_keys().algorithms([algorithm]);
        let api = builder(&clock).issuer(config).build().unwrap();
        let order = &order[order.len() - width..];
        let zero = vec![0; width];
        let mut one = zero.clone();
        one[width - 1] = 1;
        let (mut less, mut more) = (order.to_vec(), order.to_vec());
        less[width - 1] -= 1;
        more[width - 1] += 1;
        let all = vec![0xff; width];
        let values = [
            ("0", &zero),
            ("1", &one),
            ("n", &order.to_vec()),
            ("n-1", &less),
            ("n+1", &more),
            ("all ones", &all),
        ];
        let input = issuer.token(RESOURCE).signing_input();
        let good = issuer.key().sign(input.as_bytes());
        let (r, s) = good.split_at(width);
        let mut rows = vec![row("JWS-27", "R and S", compact(&input, &good), Pass)];
        for (name, value) in values {
            let with = |what: &str, signature: Vec<u8>| {
                let name = format!("{algorithm}: {what} {name}");
                row("JWS-27", name, compact(&input, signature), Kind::BadSignature)
            };
            rows.push(with("R", [value, s].concat()));
            rows.push(with("S", [r, value].concat()));
            for (_, other) in values {
                rows.push(with("both", [&value[..], other].concat()));
            }
        }
        check_rows(&api, rows).await;
    }
    for (algorithm, length) in
        [(Algorithm::EdDsa, 64), (Algorithm::Rs256, 256), (Algorithm::Ps256, 256)]
    {
        let world = World::with(algorithm, |builder| builder).await;
        let input = world.token().signing_input();
        let of = |name: &str, signature: Vec<u8>| {
            row(
                "JWS-27",
                format!("{algorithm}: {name}"),
                compact(&input, signature),
                Kind::BadSignature,
            )
        };
        let mut one = vec![0; length];
        one[length - 1] = 1;
        let rows = [
            row("JWS-27", "signed", world.token().sign(), Pass),
            of("zeros", vec![0; length]),
            of("one", one),
            of("ones", vec![0xff; length]),
        ];
        world.check(rows).await;
    }
}

/// CVE-2025-59420, CVE-2026-32597, CVE-2026-35042.
#[tokio::test]
async fn an_extension_that_is_not_understood_refuses_the_token() {
    let world = World::new().await;
    let mut rows = vec![row(
        "JWS-11",
        "an extension that is not critical",
        world.token().header("cnf", json!({"jkt": "x"})).sign(),
        Pass,
    )];
    #[rustfmt::skip]
    let names = [
        "cnf", "b64", "exp", "nbf", "http://example.com/UNDEFINED", "x-policy", "alg", "crit",
        "typ",
    ];
    for name in names {
        let token = |crit: Value| {
            let token = world.token().header(name, json!({"jkt": "x"})).header("crit", crit);
            token.header("alg", "ES256").sign()
        };
        for crit in [json!([name]), json!([name, name]), json!(["kid", name])] {
            let title = format!("{name}: {crit}");
            rows.push(row("JWS-08", title, token(crit), Kind::UnsupportedHeader));
        }
    }
    // `b64` that is advertised and done wrongly: the payload as it is.
    let header = base64url::encode(
        r#"{"alg":"ES256","typ":"at+jwt","kid":"k1","b64":false,"crit":["b64"]}"#,
    );
    let input = format!("{header}.{}", base64url::encode(world.token().payload()));
    let token = compact(&input, world.issuer.key().sign(input.as_bytes()));
    rows.push(row("JWS-10", "b64", token, Kind::UnsupportedHeader));
    world.check(rows).await;
}

/// GHSA-c8v6-786g-vjx6, CVE-2026-49230.
#[tokio::test]
async fn an_encrypted_form_skips_nothing() {
    let world = World::new().await;
    let good = world.token().sign();
    let [header, payload, signature] = parts(&good);
    let jwe = |alg: &str| {
        base64url::encode(format!(r#"{{"alg":"{alg}","enc":"A128GCM","typ":"at+jwt","kid":"k1"}}"#))
    };
    #[rustfmt::skip]
    let mut rows = vec![
        row("AT-12", "signed", good.clone(), Pass),
        row(
            "AT-12",
            "a signed token with two parts more",
            format!("{good}.{payload}.{signature}"),
            Kind::EncryptedToken,
        ),
        row(
            "AT-12",
            "a signed token inside",
            format!(
                "{}.{}.AA.{payload}.AA",
                jwe("dir"),
                base64url::encode(&good)
            ),
            Kind::EncryptedToken,
        ),
        row("AT-12", "no key, no tag", format!("{header}...."), Kind::EncryptedToken),
        row(
            "JWS-35",
            "enc in a signed token",
            world.token().header("enc", "A128GCM").sign(),
            Kind::UnsupportedHeader,
        ),
        row("JWS-35", "the payload of another form", format!("{header}.{payload}"), Kind::MalformedToken),
    ];
    #[rustfmt::skip]
    let algs = [
        "dir", "RSA-OAEP", "RSA1_5", "A128KW", "ECDH-ES", "A128GCMKW", "ES256", "none",
    ];
    for alg in algs {
        let five = format!("{}.AA.AA.{payload}.AA", jwe(alg));
        rows.push(row("AT-12", format!("{alg}, five parts"), five, Kind::EncryptedToken));
        let three = format!("{}.{payload}.{signature}", jwe(alg));
        rows.push(row("JWS-35", format!("{alg}, three parts"), three, Kind::UnsupportedHeader));
    }
    world.check(rows).await;
}
