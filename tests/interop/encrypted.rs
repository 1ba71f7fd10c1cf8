//! Encrypted JWT access tokens of the authorization server (RFC 9068 §4, RFC 7516).

use portcullis::jwe::{ContentEncryption, Decryption, KeyManagement};
use portcullis::testing::TestDecryptionKey;
use serde_json::{Value, json};

use crate::RESOURCE;
use crate::cases::Cases;
use crate::introspection::{Api, text};
use crate::issuer::Issuer;
use crate::provider::{Provider, discover};

const NOT_ACCEPTED: &str = "401 encryption_not_accepted, Bearer invalid_token";
const UNDECRYPTABLE: &str = "401 undecryptable, Bearer invalid_token";

/// A token that the authorization server encrypted to this key, so.
async fn token(provider: &Provider, query: &str, alg: &str, enc: &str, key: &Value) -> String {
    let mut encrypt = json!({ "alg": alg, "enc": enc, "key": key });
    if let Some(kid) = key.get("kid") {
        encrypt["kid"] = kid.clone();
    }
    let encrypt = encrypt.to_string();
    let encrypt: String = form_urlencoded::byte_serialize(encrypt.as_bytes()).collect();
    let token = provider.token(&format!("{query}&encrypt={encrypt}")).await;
    assert_eq!(token.split('.').count(), 5, "it is encrypted");
    token
}

/// A server that decrypts with this key.
fn with_key(provider: &Provider, key: &TestDecryptionKey) -> Api {
    let decryption = Decryption::new().key(key.decryption_key());
    Api::new(discover(&provider.issuer_a), |builder| builder.decryption(decryption))
}

/// AT-12, JWS-35: every pair of `alg` and `enc` that is done here, and those that are not.
#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn encrypted_tokens_of_a_real_authorization_server_are_decrypted() {
    let mut cases = Cases::of("oidc-provider");
    let provider = Provider::start().await;
    let read = "scope=notes:read";
    for algorithm in KeyManagement::ALL {
        let key = TestDecryptionKey::generate(*algorithm, "notes");
        // Whoever has the kid does not have the key.
        let stranger = TestDecryptionKey::generate(*algorithm, "notes");
        let renamed = TestDecryptionKey::generate(*algorithm, "other");
        let api = with_key(&provider, &key);
        let jwk = key.public_jwk();
        for encryption in ContentEncryption::ALL {
            let name = format!("{algorithm} {encryption}");
            let (alg, enc) = (algorithm.as_str(), encryption.as_str());
            let good = token(&provider, read, alg, enc, &jwk).await;
            cases.case(&name, api.told(&good).await, "200 notes-worker");
            let to_other = token(&provider, read, alg, enc, &stranger.public_jwk()).await;
            cases.case(format!("{name}, another key"), api.told(&to_other).await, UNDECRYPTABLE);
            let to_renamed = token(&provider, read, alg, enc, &renamed.public_jwk()).await;
            cases.case(format!("{name}, another kid"), api.told(&to_renamed).await, NOT_ACCEPTED);

            // One that is used otherwise.
            let others: Vec<_> = ContentEncryption::ALL
                .iter()
                .copied()
                .filter(|other| other != encryption)
                .collect();
            let narrow = Decryption::new().key(key.decryption_key().encryptions(others));
            let issuer = discover(&provider.issuer_a);
            let narrow = Api::new(issuer, |builder| builder.decryption(narrow));
            cases.case(format!("{name}, not configured"), narrow.told(&good).await, NOT_ACCEPTED);
        }
        for enc in ["A128CBC-HS256", "A192CBC-HS384", "A192GCM"] {
            let token = token(&provider, read, algorithm.as_str(), enc, &jwk).await;
            cases.case(format!("{algorithm} {enc}"), api.told(&token).await, NOT_ACCEPTED);
        }
        let others: &[&str] = match algorithm {
            KeyManagement::RsaOaep256 => &["RSA-OAEP", "RSA-OAEP-384", "RSA-OAEP-512"],
            _ => &["ECDH-ES+A128KW", "ECDH-ES+A192KW"],
        };
        for alg in others {
            let token = token(&provider, read, alg, "A256GCM", &jwk).await;
            cases.case(
                format!("{alg} to a key for {algorithm}"),
                api.told(&token).await,
                NOT_ACCEPTED,
            );
        }
    }
    provider.stop().await;
}

/// AT-12, JWS-36: what is inside is decided as if it had come without its envelope.
#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn the_envelope_of_a_token_proves_nothing() {
    let mut cases = Cases::of("oidc-provider");
    let provider = Provider::start().await;
    let key = TestDecryptionKey::generate(KeyManagement::EcdhEs, "notes");
    let jwk = key.public_jwk();
    let api = with_key(&provider, &key);
    let encrypted = async |query: &str| token(&provider, query, "ECDH-ES", "A256GCM", &jwk).await;

    let good = encrypted("scope=notes:read").await;
    cases.case("in an envelope", api.told(&good).await, "200 notes-worker");
    for algorithm in ["ES256", "EdDSA"] {
        let token = encrypted(&format!("scope=notes:read&alg={algorithm}")).await;
        cases.case(
            format!("{algorithm} in an envelope"),
            api.told(&token).await,
            "200 notes-worker",
        );
    }
    for (name, query, expected) in [
        ("another scope", "scope=notes:write", "403 insufficient_scope, Bearer insufficient_scope"),
        (
            "for another resource",
            "resource=https://other.example",
            "401 wrong_audience, Bearer invalid_token",
        ),
        ("of another issuer", "issuer=b", "401 unknown_issuer, Bearer invalid_token"),
        ("another algorithm", "alg=PS256", "401 unknown_key, Bearer invalid_token"),
    ] {
        let token = encrypted(query).await;
        cases.case(format!("in an envelope: {name}"), api.told(&token).await, expected);
    }
    // Anybody can encrypt to a public key, also what the issuer wrote for another purpose.
    let id_token = provider.id_token("lookalike").await;
    let sealed = key.encrypt(&id_token, ContentEncryption::A256Gcm);
    let wrong_type = "401 wrong_type, Bearer invalid_token";
    cases.case("an ID token in an envelope", api.told(&sealed).await, wrong_type);

    // A token is as good without the kid as long as there is one key.
    let mut unnamed = jwk.clone();
    unnamed.as_object_mut().unwrap().remove("kid");
    let unnamed = token(&provider, "scope=notes:read", "ECDH-ES", "A256GCM", &unnamed).await;
    cases.case("without a kid, one key", api.told(&unnamed).await, "200 notes-worker");
    let second = TestDecryptionKey::generate(KeyManagement::EcdhEs, "second");
    let two = Decryption::new().key(key.decryption_key()).key(second.decryption_key());
    let two = Api::new(discover(&provider.issuer_a), |builder| builder.decryption(two));
    cases.case("with a kid, two keys", two.told(&good).await, "200 notes-worker");
    cases.case("without a kid, two keys", two.told(&unnamed).await, NOT_ACCEPTED);

    // Who has no key, and who wants an envelope.
    let keyless = Api::new(discover(&provider.issuer_a), |builder| builder);
    let plain = provider.token("scope=notes:read").await;
    cases.case("plain, no key", keyless.told(&plain).await, "200 notes-worker");
    let encrypted_token = "401 encrypted_token, Bearer invalid_token";
    cases.case("in an envelope, no key", keyless.told(&good).await, encrypted_token);
    cases.case("plain, with a key", api.told(&plain).await, "200 notes-worker");
    let strict = Decryption::new().key(key.decryption_key());
    let issuer = discover(&provider.issuer_a).encrypted_only();
    let strict = Api::new(issuer, |builder| builder.decryption(strict));
    cases.case("in an envelope, which is wanted", strict.told(&good).await, "200 notes-worker");
    let not_encrypted = "401 not_encrypted, Bearer invalid_token";
    cases.case("plain, an envelope is wanted", strict.told(&plain).await, not_encrypted);

    // What stands in the header of the envelope is for everybody to read.
    let header = good.split('.').next().unwrap();
    let header = portcullis::jose::base64url::decode(header).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    assert_eq!(text(&header["cty"]), "at+jwt");
    assert_eq!((text(&header["iss"]), text(&header["aud"])), (&*provider.issuer_a, RESOURCE));

    // The signing key rotates beneath the envelope.
    provider.ask("POST", "/rotate").await;
    let new = encrypted("scope=notes:read").await;
    cases.case("signed with a new key", api.told(&new).await, "200 notes-worker");
    let unknown_key = "401 unknown_key, Bearer invalid_token";
    cases.case("signed with the key before", api.told(&good).await, unknown_key);
    provider.stop().await;
}

/// AT-12, JWS-35, JWS-36, attack 21: envelopes by npm `jose` and by joserfc around tokens that they sign.
#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn envelopes_by_jose_are_opened() {
    let mut cases = Cases::of("jose");
    let issuer = Issuer::jose().await;
    check_envelopes(&mut cases, &issuer).await;
}

/// The same, and compression, which jose does not do.
#[tokio::test]
#[ignore = "needs tests/interop/setup"]
async fn envelopes_by_joserfc_are_opened() {
    let mut cases = Cases::of("joserfc, PyJWT");
    let issuer = Issuer::authlib().await;
    let key = check_envelopes(&mut cases, &issuer).await;
    let api = with_key_of(&issuer, &key);
    for (name, zip, expected) in
        [("plain", Value::Null, "200 alice"), ("compressed", json!("DEF"), NOT_ACCEPTED)]
    {
        let header = json!({ "kid": key.kid(), "zip": zip });
        let encrypt = json!({ "alg": "ECDH-ES", "enc": "A256GCM", "key": key.public_jwk(), "header": header });
        let token = issuer.sign(&json!({ "encrypt": encrypt })).await;
        cases.case(format!("an envelope: {name}"), api.told(&token).await, expected);
    }
}

fn with_key_of(issuer: &Issuer, key: &TestDecryptionKey) -> Api {
    let decryption = Decryption::new().key(key.decryption_key());
    Api::new(discover(&issuer.id), |builder| builder.decryption(decryption))
}

/// Every pair of algorithms, and what an envelope says of itself; the key for ECDH-ES.
async fn check_envelopes(cases: &mut Cases, issuer: &Issuer) -> TestDecryptionKey {
    let key = |algorithm: &KeyManagement| {
        TestDecryptionKey::generate(*algorithm, format!("to {algorithm}"))
    };
    let mut keys: Vec<_> = KeyManagement::ALL.iter().map(key).collect();
    let decryption = keys.iter().map(TestDecryptionKey::decryption_key);
    let decryption = decryption.fold(Decryption::new(), Decryption::key);
    let api = Api::new(discover(&issuer.id), |builder| builder.decryption(decryption));
    let recipe = |key: &TestDecryptionKey, alg: &str, enc: &str, header: &Value| {
        let mut members = json!({ "kid": key.kid() });
        members.as_object_mut().unwrap().extend(header.as_object().unwrap().clone());
        let encrypt = json!({ "alg": alg, "enc": enc, "key": key.public_jwk(), "header": members });
        json!({ "encrypt": encrypt })
    };
    let nothing = json!({});
    let ok = "200 alice";
    for (key, algorithm) in keys.iter().zip(KeyManagement::ALL) {
        let alg = algorithm.as_str();
        for enc in ["A128GCM", "A256GCM", "A256CBC-HS512"] {
            let token = issuer.sign(&recipe(key, alg, enc, &nothing)).await;
            cases.case(format!("{alg} {enc}"), api.told(&token).await, ok);
            let mut parts: Vec<_> = token.split('.').map(str::to_owned).collect();
            let flipped = if parts[3].starts_with('A') { "B" } else { "A" };
            parts[3].replace_range(..1, flipped);
            let name = format!("{alg} {enc}, tampered");
            cases.case(name, api.told(&parts.join(".")).await, UNDECRYPTABLE);
        }
        for enc in ["A128CBC-HS256", "A192GCM"] {
            let token = issuer.sign(&recipe(key, alg, enc, &nothing)).await;
            cases.case(format!("{alg} {enc}"), api.told(&token).await, NOT_ACCEPTED);
        }
        let nobody = json!({ "kid": "nobody" });
        let token = issuer.sign(&recipe(key, alg, "A256GCM", &nobody)).await;
        cases.case(format!("{alg}, `kid` of nobody"), api.told(&token).await, NOT_ACCEPTED);
        let stranger = TestDecryptionKey::generate(*algorithm, key.kid());
        let token = issuer.sign(&recipe(&stranger, alg, "A256GCM", &nothing)).await;
        cases.case(format!("{alg}, another key"), api.told(&token).await, UNDECRYPTABLE);
    }
    for (name, header, expected) in [
        ("`cty` at+jwt", json!({ "cty": "at+jwt" }), ok),
        ("no `cty`", json!({ "cty": null }), ok),
        ("`cty` of something else", json!({ "cty": "text/plain" }), NOT_ACCEPTED),
        ("`typ` beside it", json!({ "typ": "JWT" }), ok),
        ("a member that nobody knows", json!({ "x": 1 }), ok),
    ] {
        let token = issuer.sign(&recipe(&keys[1], "ECDH-ES", "A256GCM", &header)).await;
        cases.case(format!("an envelope: {name}"), api.told(&token).await, expected);
    }
    #[rustfmt::skip]
    let rows = [
        ("another audience", json!({ "claims": { "aud": "https://other.example" } }), "401 wrong_audience, Bearer invalid_token"),
        ("signed by a stranger", json!({ "key": "stranger" }), "401 bad_signature, Bearer invalid_token"),
        ("`typ` JWT", json!({ "header": { "typ": "JWT" } }), "401 wrong_type, Bearer invalid_token"),
        ("without `jti`", json!({ "claims": { "jti": null } }), "401 missing_claim, Bearer invalid_token"),
    ];
    for (name, changes, expected) in rows {
        let mut recipe = recipe(&keys[1], "ECDH-ES", "A256GCM", &nothing);
        recipe.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let token = issuer.sign(&recipe).await;
        cases.case(format!("in an envelope: {name}"), api.told(&token).await, expected);
    }
    for (alg, octets) in
        [("dir", 32), ("A256KW", 32), ("A128GCMKW", 16), ("PBES2-HS256+A128KW", 16)]
    {
        let secret =
            json!({ "kty": "oct", "k": portcullis::jose::base64url::encode(vec![7; octets]) });
        let encrypt = json!({ "alg": alg, "enc": "A256GCM", "key": secret, "header": { "kid": keys[1].kid() } });
        let token = issuer.sign(&json!({ "encrypt": encrypt })).await;
        cases.case(format!("{alg}, with a secret"), api.told(&token).await, NOT_ACCEPTED);
    }
    keys.swap_remove(1)
}
