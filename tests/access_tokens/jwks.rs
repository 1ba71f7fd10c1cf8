//! Key sets: keys that can verify nothing, alone and beside good ones.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature;
use portcullis::jose::json::JsonError;
use portcullis::jose::{Algorithm, JwkSet, KeyFault, PublicKey, base64url};
use portcullis::name::Thumbprint;
use portcullis::testing::{ManualClock, TestIssuer, TestKey};
use portcullis::{Issuer, RejectionKind as Kind};
use rsa::Pkcs1v15Sign;
use rsa::sha2::Sha256;
use rsa::traits::PublicKeyParts as _;
use serde_json::{Value, json};

use crate::support::Wants::Pass;
use crate::support::{
    ISSUER, RESOURCE, Random, RsaPair, builder, check_rows, compact, ec_public_key_forms, present,
    respelled, row, rsa_public_key_forms,
};

/// JWS-17, JWS-18, JWS-19, JWS-26, JWS-30, JWS-31, JWS-51, FAPI-07: each bad key is unusable by
/// itself, and the good one beside it works.
#[tokio::test]
async fn a_bad_key_is_unusable_alone() {
    use KeyFault::{
        Algorithm as Alg, Encoding, Invalid, Json, KeyId, KeyOperations, NotAllowed, Parameters,
        Private, RsaBits, RsaExponent, Use,
    };
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let good = issuer.key().public_jwk();
    let ec = TestKey::generate(Algorithm::Es256, "bad");
    // An x whose first octet is zero: some encoders drop it.
    let short = (0..)
        .map(|_| TestKey::generate(Algorithm::Es256, "bad"))
        .find(|key| octets(&key.public_jwk(), "x")[0] == 0)
        .unwrap();
    let okp = TestKey::generate(Algorithm::EdDsa, "bad");
    let rsa = RsaPair::generate();
    let token = |key: &TestKey| {
        let token = issuer.token(RESOURCE).header("kid", "bad");
        token.header("alg", key.algorithm().as_str()).sign_with(key)
    };
    let rs256 = || {
        let token = issuer.token(RESOURCE).header("kid", "bad");
        rsa.sign(token, "RS256", &signature::RSA_PKCS1_SHA256)
    };
    let (of_ec, of_okp, of_rsa) = (token(&ec), token(&okp), rs256());

    // A key with this member changed or added.
    let changed = |jwk: &Value, name: &str, value: Value| {
        let mut jwk = jwk.clone();
        jwk[name] = value;
        jwk.to_string()
    };
    let without = |jwk: &Value, name: &str| {
        let mut jwk = jwk.clone();
        jwk.as_object_mut().unwrap().remove(name);
        jwk.to_string()
    };
    let with_octets = |jwk: &Value, name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut octets = octets(jwk, name);
        change(&mut octets);
        changed(jwk, name, json!(base64url::encode(octets)))
    };
    let (e, o, r) = (&ec.public_jwk(), &okp.public_jwk(), &rsa.jwk("bad", None));
    let text = |jwk: &Value, name: &str| jwk[name].as_str().unwrap().to_owned();
    let twice = |jwk: &Value, name: &str| {
        let jwk = jwk.to_string();
        let first =
            format!("{{\"{name}\":\"{}\",", text(&serde_json::from_str(&jwk).unwrap(), name));
        jwk.replacen('{', &first, 1)
    };
    let duplicate = || Json(JsonError::Duplicate);
    #[rustfmt::skip]
    let mut rows: Vec<(&str, &str, String, &String, KeyFault)> = vec![
        ("JWS-17", "an unknown kty", changed(e, "kty", json!("AKP")), &of_ec, Parameters),
        ("JWS-17", "no kty", without(e, "kty"), &of_ec, Parameters),
        ("JWS-17", "a kty that is no string", changed(e, "kty", json!(1)), &of_ec, Parameters),
        ("JWS-17", "EC without y", without(e, "y"), &of_ec, Parameters),
        ("JWS-17", "EC without crv", without(e, "crv"), &of_ec, Parameters),
        ("JWS-17", "an x that is no string", changed(e, "x", json!(1)), &of_ec, Parameters),
        ("JWS-17", "RSA without e", without(r, "e"), &of_rsa, Parameters),
        ("JWS-17", "a kid that is no string", changed(e, "kid", json!(1)), &of_ec, KeyId),
        ("JWS-17", "no object", "[]".to_owned(), &of_ec, Json(JsonError::NotAnObject)),
        ("JWS-17", "null", "null".to_owned(), &of_ec, Json(JsonError::NotAnObject)),
        ("JWS-18", "two kty", twice(e, "kty"), &of_ec, duplicate()),
        ("JWS-18", "two kid", twice(e, "kid"), &of_ec, duplicate()),
        ("JWS-18", "two x", twice(e, "x"), &of_ec, duplicate()),
        ("JWS-18", "two n", twice(r, "n"), &of_rsa, duplicate()),
        ("JWS-18", "a duplicate that nobody reads", changed(e, "note", json!({"a": 1})).replace("{\"a\":1}", "{\"a\":1,\"a\":1}"), &of_ec, duplicate()),
        ("JWS-19", "use enc", changed(e, "use", json!("enc")), &of_ec, Use),
        ("JWS-19", "use of another standard", changed(e, "use", json!("jwt-svid")), &of_ec, Use),
        ("JWS-19", "use null", changed(e, "use", json!(null)), &of_ec, Use),
        ("JWS-19", "key_ops sign", changed(e, "key_ops", json!(["sign"])), &of_ec, KeyOperations),
        ("JWS-19", "key_ops encrypt", changed(r, "key_ops", json!(["encrypt"])), &of_rsa, KeyOperations),
        ("JWS-19", "key_ops empty", changed(e, "key_ops", json!([])), &of_ec, KeyOperations),
        ("JWS-19", "key_ops null", changed(e, "key_ops", json!(null)), &of_ec, KeyOperations),
        ("JWS-19", "key_ops twice", changed(e, "key_ops", json!(["verify", "verify"])), &of_ec, KeyOperations),
        ("JWS-19", "alg of another kind of key", changed(e, "alg", json!("RS256")), &of_ec, Alg),
        ("JWS-19", "alg of another curve", changed(e, "alg", json!("ES384")), &of_ec, Alg),
        ("JWS-19", "alg none", changed(e, "alg", json!("none")), &of_ec, Alg),
        ("JWS-24", "alg HS256", changed(r, "alg", json!("HS256")), &of_rsa, Alg),
        ("JWS-19", "alg for encryption", changed(r, "alg", json!("RSA-OAEP")), &of_rsa, Alg),
        ("JWS-19", "alg that is no string", changed(e, "alg", json!(1)), &of_ec, Alg),
        ("JWS-24", "a shared secret", json!({"kty": "oct", "kid": "bad", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ"}).to_string(), &of_ec, Private("k")),
        ("JWS-31", "OKP with d", changed(o, "d", json!(text(o, "x"))), &of_okp, Private("d")),
        ("JWS-31", "EC with d", changed(e, "d", json!(text(e, "x"))), &of_ec, Private("d")),
        ("JWS-31", "RSA with a prime", changed(r, "p", json!("AQAB")), &of_rsa, Private("p")),
        ("JWS-31", "OKP X25519", changed(o, "crv", json!("X25519")), &of_okp, Parameters),
        ("JWS-31", "OKP Ed448", changed(o, "crv", json!("Ed448")), &of_okp, Parameters),
        ("JWS-31", "OKP without x", without(o, "x"), &of_okp, Parameters),
        ("JWS-31", "OKP of 31 octets", with_octets(o, "x", &|x| x.truncate(31)), &of_okp, Encoding("x")),
        ("JWS-30", "x of 31 octets", with_octets(e, "x", &|x| x.truncate(31)), &of_ec, Encoding("x")),
        ("JWS-30", "x of 33 octets", with_octets(e, "x", &|x| x.insert(0, 0)), &of_ec, Encoding("x")),
        ("JWS-30", "x off the curve", with_octets(e, "x", &|x| x[31] ^= 1), &of_ec, Invalid),
        ("JWS-30", "y off the curve", with_octets(e, "y", &|y| y[31] ^= 1), &of_ec, Invalid),
        ("JWS-30", "x beyond the field", with_octets(e, "x", &|x| x.fill(0xff)), &of_ec, Invalid),
        ("JWS-30", "the curve of another key", changed(e, "crv", json!("P-384")), &of_ec, Encoding("x")),
        ("JWS-30", "secp256k1", changed(e, "crv", json!("secp256k1")), &of_ec, Parameters),
        ("JWS-51", "x with padding", changed(e, "x", json!(format!("{}=", text(e, "x")))), &of_ec, Encoding("x")),
        ("JWS-51", "x with unused bits", changed(e, "x", json!(respelled(&text(e, "x")))), &of_ec, Encoding("x")),
        ("JWS-51", "x with a line break", changed(e, "x", json!(format!("{}\n", text(e, "x")))), &of_ec, Encoding("x")),
        ("JWS-51", "e with a leading zero", changed(r, "e", json!("AAEAAQ")), &of_rsa, Encoding("e")),
        ("JWS-51", "n with a leading zero", with_octets(r, "n", &|n| n.insert(0, 0)), &of_rsa, Encoding("n")),
        ("JWS-26", "e = 1", changed(r, "e", json!("AQ")), &of_rsa, RsaExponent),
        ("JWS-26", "e even", changed(r, "e", json!("AQAA")), &of_rsa, RsaExponent),
        ("JWS-26", "an empty e", changed(r, "e", json!("")), &of_rsa, Encoding("e")),
    ];
    let short_token = token(&short);
    let stripped = with_octets(&short.public_jwk(), "x", &|x| *x = x.split_off(1));
    rows.push(("JWS-30", "x without its leading zero", stripped, &short_token, Encoding("x")));
    let es384 = TestKey::generate(Algorithm::Es384, "bad");
    let mut half = es384.public_jwk();
    half.as_object_mut().unwrap().remove("alg");
    half["crv"] = json!("P-256");
    let of_es384 = token(&es384);
    rows.push(("JWS-30", "48 octets for P-256", half.to_string(), &of_es384, Encoding("x")));
    let es512 = TestKey::generate(Algorithm::Es512, "bad");
    let of_es512 = token(&es512);
    rows.push((
        "JWS-22",
        "a curve that is not allowed",
        es512.public_jwk().to_string(),
        &of_es512,
        NotAllowed,
    ));
    let mut weak = Vec::new();
    for bits in [1_024, 2_040] {
        let key = rsa::RsaPrivateKey::new(&mut Random, bits).unwrap();
        let jwk = json!({
            "kty": "RSA",
            "kid": "bad",
            "n": base64url::encode(key.n().to_bytes_be()),
            "e": base64url::encode(key.e().to_bytes_be()),
        });
        let input =
            issuer.token(RESOURCE).header("kid", "bad").header("alg", "RS256").signing_input();
        let hash = digest(&SHA256, input.as_bytes());
        let signature = key.sign(Pkcs1v15Sign::new::<Sha256>(), hash.as_ref()).unwrap();
        weak.push((bits, jwk.to_string(), compact(&input, signature)));
    }
    for (bits, jwk, token) in &weak {
        rows.push(("JWS-26 FAPI-07", "a short RSA key", jwk.clone(), token, RsaBits(*bits)));
    }

    let server =
        |set: String| builder(&clock).issuer(Issuer::fixed_keys(ISSUER, set)).build().unwrap();
    for (id, name, bad, bad_token, fault) in rows {
        let name = format!("{id} {name}");
        let set = format!("{{\"keys\":[{bad},{good}]}}");
        let allowed = Algorithm::ACCESS_TOKEN_DEFAULTS;
        let keys = JwkSet::parse(set.as_bytes(), allowed).unwrap();
        assert_eq!(keys.keys().len(), 1, "{name}");
        assert_eq!(keys.unusable()[0].fault, fault, "{name}");
        let api = server(set);
        // JWS-31: somebody can be told.
        assert_eq!(api.health()[0].unusable_keys.len(), 1, "{name}");
        assert_eq!(api.health()[0].unusable_keys[0].fault, fault, "{name}");
        let refused = present(&api, bad_token).await.map(|_| ()).unwrap_err();
        let wants = match fault {
            NotAllowed => Kind::AlgorithmNotAllowed,
            _ => Kind::UnknownKey,
        };
        assert_eq!(refused.kind(), wants, "{name}");
        let accepted = present(&api, &issuer.token(RESOURCE).sign()).await;
        assert!(accepted.is_ok(), "{name}: {accepted:?}");
    }

    // Their twins: the same keys as they are.
    let keys: Vec<String> = [e, o, r, &short.public_jwk(), &es384.public_jwk()]
        .into_iter()
        .map(ToString::to_string)
        .collect();
    for (jwk, token) in keys.iter().zip([&of_ec, &of_okp, &of_rsa, &short_token, &of_es384]) {
        let api = server(format!("{{\"keys\":[{jwk},{good}]}}"));
        assert!(api.health()[0].unusable_keys.is_empty(), "{jwk}");
        assert!(present(&api, token).await.is_ok(), "{jwk}");
    }
    for more in [json!({"use": "sig"}), json!({"key_ops": ["verify"]}), json!({"x5t": "x"})] {
        let mut jwk = e.clone();
        jwk.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let api = server(format!("{{\"keys\":[{jwk},{good}]}}"));
        assert!(present(&api, &of_ec).await.is_ok(), "{jwk}");
    }
}

fn octets(jwk: &Value, name: &str) -> Vec<u8> {
    base64url::decode(jwk[name].as_str().unwrap()).unwrap()
}

/// JWS-24: no spelling of a public key is a secret.
#[tokio::test]
async fn a_public_key_makes_no_hmac() {
    let rsa = RsaPair::generate();
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    issuer.publish(rsa.jwk("r1", Some("RS256")));
    issuer.publish(rsa.jwk("r2", None));
    let api = builder(&clock).issuer(issuer.fixed_keys()).build().unwrap();
    let good =
        rsa.sign(issuer.token(RESOURCE).header("kid", "r1"), "RS256", &signature::RSA_PKCS1_SHA256);
    let mut rows = vec![
        row("JWS-24", "RS256", good, Pass),
        row("JWS-24", "ES256", issuer.token(RESOURCE).sign(), Pass),
    ];
    let ec_forms = ec_public_key_forms(&issuer.key().public_jwk());
    for (kids, forms) in [(&["r1", "r2"][..], rsa_public_key_forms(&rsa)), (&["k1"], ec_forms)] {
        for ((name, secret), kid) in
            forms.iter().flat_map(|form| kids.iter().map(move |kid| (form, kid)))
        {
            let token = issuer.token(RESOURCE).header("kid", kid);
            let token = token.sign_with_hmac(secret);
            rows.push(row("JWS-24", format!("{kid}: {name}"), token, Kind::AlgorithmNotAllowed));
            // The tag under the key's own algorithm.
            let alg = if *kid == "k1" { "ES256" } else { "RS256" };
            let input =
                issuer.token(RESOURCE).header("kid", kid).header("alg", alg).signing_input();
            let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
            let tag = aws_lc_rs::hmac::sign(&key, input.as_bytes());
            let token = compact(&input, tag);
            rows.push(row("JWS-24", format!("{kid}: {name} as {alg}"), token, Kind::BadSignature));
        }
    }
    check_rows(&api, rows).await;
}

/// JWS-50, JWS-51, JWS-52.
#[test]
fn a_thumbprint_is_of_the_key_and_nothing_else() {
    // RFC 8037, Appendix A.2 and A.3.
    const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    const THUMBPRINT: &str = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
    let read = |jwk: &str| PublicKey::parse(jwk.as_bytes(), &[Algorithm::EdDsa]);
    for jwk in [
        format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{X}"}}"#),
        format!(r#" {{ "x" : "{X}" , "kty" : "OKP" , "crv" : "Ed25519" }} "#),
        format!(r#"{{"kid":"k","x":"{X}","use":"sig","kty":"OKP","alg":"EdDSA","crv":"Ed25519"}}"#),
        format!(r#"{{"kty":"\u004fKP","\u0063rv":"Ed25519","x":"{X}"}}"#),
    ] {
        assert_eq!(read(&jwk).unwrap().thumbprint().as_str(), THUMBPRINT, "{jwk}");
    }
    for x in [format!("{X}="), X.replace('_', "/"), respelled(X)] {
        let jwk = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        assert_eq!(read(&jwk).map(|_| ()).unwrap_err(), KeyFault::Encoding("x"), "{x}");
    }
    let uri = format!("urn:ietf:params:oauth:jwk-thumbprint:sha-256:{THUMBPRINT}");
    let thumbprint = Thumbprint::parse_uri(&uri).unwrap();
    assert_eq!((thumbprint.as_str(), thumbprint.to_uri()), (THUMBPRINT, uri.clone()));
    for uri in [
        uri.replace("sha-256", "sha-512"),
        uri.replace("sha-256", "SHA-256"),
        format!("{uri}="),
        uri.replace(THUMBPRINT, &respelled(THUMBPRINT)),
        uri.replace("jwk-thumbprint", "jwk"),
        THUMBPRINT.to_owned(),
    ] {
        assert!(Thumbprint::parse_uri(&uri).is_none(), "{uri}");
    }
}
