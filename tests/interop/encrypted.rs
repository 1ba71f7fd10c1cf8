//! Encrypted JWT access tokens of the authorization server (RFC 9068 §4, RFC 7516).

use portcullis::jwe::{ContentEncryption, Decryption, KeyManagement};
use portcullis::testing::TestDecryptionKey;
use serde_json::{Value, json};

use crate::RESOURCE;
use crate::introspection::{Api, text};
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
#[ignore = "needs Node 20 and `npm ci` in tests/interop"]
async fn encrypted_tokens_of_a_real_authorization_server_are_decrypted() {
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
            assert_eq!(api.told(&good).await, "200 notes-worker", "{name}");
            let to_other = token(&provider, read, alg, enc, &stranger.public_jwk()).await;
            assert_eq!(api.told(&to_other).await, UNDECRYPTABLE, "{name}");
            let to_renamed = token(&provider, read, alg, enc, &renamed.public_jwk()).await;
            assert_eq!(api.told(&to_renamed).await, NOT_ACCEPTED, "{name}, another kid");

            // One that is used otherwise.
            let others: Vec<_> = ContentEncryption::ALL
                .iter()
                .copied()
                .filter(|other| other != encryption)
                .collect();
            let narrow = Decryption::new().key(key.decryption_key().encryptions(others));
            let issuer = discover(&provider.issuer_a);
            let narrow = Api::new(issuer, |builder| builder.decryption(narrow));
            assert_eq!(narrow.told(&good).await, NOT_ACCEPTED, "{name}");
        }
        for enc in ["A128CBC-HS256", "A192CBC-HS384", "A192GCM"] {
            let token = token(&provider, read, algorithm.as_str(), enc, &jwk).await;
            assert_eq!(api.told(&token).await, NOT_ACCEPTED, "{algorithm} {enc}");
        }
        let others: &[&str] = match algorithm {
            KeyManagement::RsaOaep256 => &["RSA-OAEP", "RSA-OAEP-384", "RSA-OAEP-512"],
            _ => &["ECDH-ES+A128KW", "ECDH-ES+A192KW"],
        };
        for alg in others {
            let token = token(&provider, read, alg, "A256GCM", &jwk).await;
            assert_eq!(api.told(&token).await, NOT_ACCEPTED, "{alg}");
        }
    }
    provider.stop().await;
}

/// AT-12, JWS-36: what is inside is decided as if it had come without its envelope.
#[tokio::test]
#[ignore = "needs Node 20 and `npm ci` in tests/interop"]
async fn the_envelope_of_a_token_proves_nothing() {
    let provider = Provider::start().await;
    let key = TestDecryptionKey::generate(KeyManagement::EcdhEs, "notes");
    let jwk = key.public_jwk();
    let api = with_key(&provider, &key);
    let encrypted = async |query: &str| token(&provider, query, "ECDH-ES", "A256GCM", &jwk).await;

    let good = encrypted("scope=notes:read").await;
    assert_eq!(api.told(&good).await, "200 notes-worker");
    for algorithm in ["ES256", "EdDSA"] {
        let token = encrypted(&format!("scope=notes:read&alg={algorithm}")).await;
        assert_eq!(api.told(&token).await, "200 notes-worker", "{algorithm}");
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
        assert_eq!(api.told(&encrypted(query).await).await, expected, "{name}");
    }
    // Anybody can encrypt to a public key, also what the issuer wrote for another purpose.
    let id_token = provider.id_token("lookalike").await;
    let sealed = key.encrypt(&id_token, ContentEncryption::A256Gcm);
    assert_eq!(api.told(&sealed).await, "401 wrong_type, Bearer invalid_token");

    // A token is as good without the kid as long as there is one key.
    let mut unnamed = jwk.clone();
    unnamed.as_object_mut().unwrap().remove("kid");
    let unnamed = token(&provider, "scope=notes:read", "ECDH-ES", "A256GCM", &unnamed).await;
    assert_eq!(api.told(&unnamed).await, "200 notes-worker");
    let second = TestDecryptionKey::generate(KeyManagement::EcdhEs, "second");
    let two = Decryption::new().key(key.decryption_key()).key(second.decryption_key());
    let two = Api::new(discover(&provider.issuer_a), |builder| builder.decryption(two));
    assert_eq!(two.told(&good).await, "200 notes-worker");
    assert_eq!(two.told(&unnamed).await, NOT_ACCEPTED);

    // Who has no key, and who wants an envelope.
    let keyless = Api::new(discover(&provider.issuer_a), |builder| builder);
    let plain = provider.token("scope=notes:read").await;
    assert_eq!(keyless.told(&plain).await, "200 notes-worker");
    assert_eq!(keyless.told(&good).await, "401 encrypted_token, Bearer invalid_token");
    assert_eq!(api.told(&plain).await, "200 notes-worker", "either way");
    let strict = Decryption::new().key(key.decryption_key());
    let issuer = discover(&provider.issuer_a).encrypted_only();
    let strict = Api::new(issuer, |builder| builder.decryption(strict));
    assert_eq!(strict.told(&good).await, "200 notes-worker");
    assert_eq!(strict.told(&plain).await, "401 not_encrypted, Bearer invalid_token");

    // What stands in the header of the envelope is for everybody to read.
    let header = good.split('.').next().unwrap();
    let header = portcullis::jose::base64url::decode(header).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    assert_eq!(text(&header["cty"]), "at+jwt");
    assert_eq!((text(&header["iss"]), text(&header["aud"])), (&*provider.issuer_a, RESOURCE));

    // The signing key rotates beneath the envelope.
    provider.ask("POST", "/rotate").await;
    let new = encrypted("scope=notes:read").await;
    assert_eq!(api.told(&new).await, "200 notes-worker");
    assert_eq!(api.told(&good).await, "401 unknown_key, Bearer invalid_token");
    provider.stop().await;
}
