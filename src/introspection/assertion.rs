//! The assertion with which a client authenticates by its key: `private_key_jwt` (RFC 7523 §2.2, §3).
//!
//! 1. `iss` and `sub` are the client id. `aud` is one string: the issuer identifier, as the successor of
//!    RFC 7523 wants and FAPI 2.0 §5.3.2.1 has servers accept, unless another is configured.
//! 2. It is used once: every question has its own, with 128 random bits as `jti`, and it lives a minute.
//! 3. The header has `alg`, `typ` and, where it is known, `kid`. `typ` is `JWT`: RFC 7523 names none, the
//!    `client-authentication+jwt` of its successor is not known to servers in use, and none refuses
//!    `JWT`.
//! 4. The key is read anew for each question, and parsed when it has changed.

mod key;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::rand;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use self::key::{SigningKey, SigningKeyFault};
use crate::jose::{Algorithm, base64url};
use crate::secret::{Secret, SecretError, SecretReader};
use crate::time::{Clock, Timestamp};

/// Makes assertions with one key.
#[derive(Debug)]
pub(super) struct Asserter {
    pub(super) client_id: String,
    pub(super) key: Arc<SecretReader>,
    pub(super) algorithm: Option<Algorithm>,
    pub(super) key_id: Option<String>,
    pub(super) audience: Option<String>,
    pub(super) parsed: Parsed,
}

/// Why there is no assertion. It shows nothing of the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AssertionError {
    #[error(transparent)]
    Key(#[from] SecretError),
    #[error("no client assertion: {0}")]
    Machine(&'static str),
}

impl Asserter {
    /// How long an assertion may be used.
    const LIFETIME: Duration = Duration::from_mins(1);

    /// A new assertion, for the issuer unless another audience is configured.
    pub(super) async fn assert(
        self: &Arc<Self>,
        issuer: &str,
        clock: &dyn Clock,
    ) -> Result<String, AssertionError> {
        let secret = self.key.read().await?;
        let now = clock.now();
        let audience = self.audience.as_deref().unwrap_or(issuer).to_owned();
        let this = Arc::clone(self);
        // An RSA key takes milliseconds, to parse and to sign with.
        let signing = tokio::task::spawn_blocking(move || this.sign(&secret, &audience, now));
        signing.await.map_err(|_| AssertionError::Machine("the runtime is ending"))?
    }

    fn sign(
        &self,
        secret: &Secret,
        audience: &str,
        now: Timestamp,
    ) -> Result<String, AssertionError> {
        let key = self
            .parsed
            .get(secret, self.algorithm)
            .map_err(|fault| self.key.source().unusable(&fault.to_string()))?;
        let mut jti = [0; 16];
        rand::fill(&mut jti)
            .map_err(|_| AssertionError::Machine("the machine has no randomness to give"))?;
        let mut header = json!({ "alg": key.algorithm().as_str(), "typ": "JWT" });
        if let (Some(kid), Some(header)) =
            (self.key_id.as_deref().or(key.kid()), header.as_object_mut())
        {
            header.insert("kid".to_owned(), kid.into());
        }
        let claims = json!({
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": audience,
            "iat": now.as_secs(),
            "exp": now.plus(Self::LIFETIME).as_secs(),
            "jti": base64url::encode(jti),
        });
        let mut jws = format!(
            "{}.{}",
            base64url::encode(header.to_string()),
            base64url::encode(claims.to_string())
        );
        let signature =
            key.sign(jws.as_bytes()).ok_or(AssertionError::Machine("the key gave no signature"))?;
        jws.push('.');
        jws.push_str(&base64url::encode(signature));
        Ok(jws)
    }
}

/// The key as it was last parsed, and a hash of what it was parsed from.
#[derive(Default)]
pub(super) struct Parsed(Mutex<Option<([u8; 32], Arc<SigningKey>)>>);

impl Parsed {
    fn get(
        &self,
        secret: &Secret,
        wanted: Option<Algorithm>,
    ) -> Result<Arc<SigningKey>, SigningKeyFault> {
        let hash = Sha256::digest(secret.expose()).into();
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, key)) = last.filter(|(of, _)| *of == hash) {
            return Ok(key);
        }
        let key = Arc::new(SigningKey::parse(secret.expose(), wanted)?);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((hash, Arc::clone(&key)));
        Ok(key)
    }
}

impl std::fmt::Debug for Parsed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Parsed(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::path::PathBuf;

    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, KeyPair as _,
    };
    use jsonwebtoken::{Algorithm as OracleAlgorithm, DecodingKey, Validation};
    use rsa::pkcs8::EncodePrivateKey as _;
    use rsa::rand_core::OsRng;
    use rsa::traits::{PrivateKeyParts as _, PublicKeyParts as _};
    use serde_json::Value;

    use super::*;
    use crate::jose::{Compact, PublicKey};
    use crate::secret::SecretSource;
    use crate::testing::ManualClock;

    /// RFC 8037, Appendix A.1.
    const ED25519: &str = r#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    /// RFC 7515, Appendix A.3.1.
    const P256: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}"#;
    /// RFC 8410, Section 10.3.
    const ED25519_PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
        -----END PRIVATE KEY-----\n";
    /// Its public key, of Section 10.1.
    const ED25519_PUBLIC: &str = "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE";

    fn pem(label: &str, der: &[u8]) -> String {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
    }

    /// The public half of a private JWK.
    fn public(jwk: &str) -> Value {
        let mut jwk: Value = serde_json::from_str(jwk).unwrap();
        for private in ["d", "p", "q", "dp", "dq", "qi"] {
            jwk.as_object_mut().unwrap().remove(private);
        }
        jwk
    }

    /// A new key in PEM, and its public JWK.
    fn ec(crv: &str, signing: &'static EcdsaSigningAlgorithm) -> (String, Value) {
        let pair = EcdsaKeyPair::generate(signing).unwrap();
        let point = pair.public_key().as_ref().split_at(1).1;
        let (x, y) = point.split_at(point.len() / 2);
        let public = json!({
            "kty": "EC", "crv": crv, "x": base64url::encode(x), "y": base64url::encode(y),
        });
        (pem("PRIVATE KEY", pair.to_pkcs8v1().unwrap().as_ref()), public)
    }

    /// A new key in PEM, and as a private JWK.
    fn rsa(bits: usize) -> (String, String) {
        let key = rsa::RsaPrivateKey::new(&mut OsRng, bits).unwrap();
        let [p, q] = key.primes() else { panic!() };
        let text = |number: &rsa::BigUint| base64url::encode(number.to_bytes_be());
        let jwk = json!({
            "kty": "RSA", "n": text(key.n()), "e": text(key.e()), "d": text(key.d()),
            "p": text(p), "q": text(q), "dp": text(key.dp().unwrap()), "dq": text(key.dq().unwrap()),
            "qi": text(&key.crt_coefficient().unwrap()),
        });
        (pem("PRIVATE KEY", key.to_pkcs8_der().unwrap().as_bytes()), jwk.to_string())
    }

    /// A file that is removed in the end.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str, text: &str) -> Self {
            let name = format!("portcullis-assertion-{name}-{}", std::process::id());
            let place = Self(std::env::temp_dir().join(name));
            place.write(text);
            place
        }

        fn write(&self, text: &str) {
            std::fs::write(&self.0, text).unwrap();
        }

        fn asserter(&self) -> Asserter {
            Asserter {
                client_id: "api".to_owned(),
                key: Arc::new(SecretReader::new(SecretSource::file(&self.0))),
                algorithm: None,
                key_id: None,
                audience: None,
                parsed: Parsed::default(),
            }
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    const ISSUER: &str = "https://login.example.com";

    /// Header and claims, if the oracle finds the signature good.
    #[expect(clippy::disallowed_methods, reason = "another library reads what this one wrote")]
    fn oracle(jwt: &str, alg: OracleAlgorithm, key: &Value) -> Option<(Value, Value)> {
        let mut validation = Validation::new(alg);
        validation.validate_exp = false;
        validation.set_audience(&[ISSUER]);
        validation.set_issuer(&["api"]);
        let key = DecodingKey::from_jwk(&serde_json::from_value(key.clone()).unwrap()).unwrap();
        let read = jsonwebtoken::decode::<Value>(jwt, &key, &validation).ok()?;
        let header = base64url::decode(jwt.split('.').next().unwrap()).unwrap();
        Some((serde_json::from_slice(&header).unwrap(), read.claims))
    }

    /// INT-02, RFC 7523 §3: each kind of key, in PEM and as a JWK, signs what another library accepts
    /// with the public key, and with no other of its kind; every member has its value.
    #[tokio::test]
    async fn an_assertion_is_what_another_library_accepts() {
        let (es256, es256_public) = ec("P-256", &ECDSA_P256_SHA256_FIXED_SIGNING);
        let (es384, es384_public) = ec("P-384", &ECDSA_P384_SHA384_FIXED_SIGNING);
        let (_, other_es384) = ec("P-384", &ECDSA_P384_SHA384_FIXED_SIGNING);
        let (_, other_rsa) = rsa(2048);
        let (other_rsa, (rsa, rsa_jwk)) = (public(&other_rsa), rsa(2048));
        let ed25519_public = json!({ "kty": "OKP", "crv": "Ed25519", "x": ED25519_PUBLIC });
        let own_alg = format!("{},\"alg\":\"PS384\"}}", rsa_jwk.trim_end_matches('}'));
        use OracleAlgorithm as Oracle;
        for (name, key, asked, alg, public, other) in [
            ("P-256", &es256, None, Oracle::ES256, &es256_public, &public(P256)),
            ("P-384", &es384, None, Oracle::ES384, &es384_public, &other_es384),
            ("RSA", &rsa, None, Oracle::PS256, &public(&rsa_jwk), &other_rsa),
            ("RSA JWK", &rsa_jwk, None, Oracle::PS256, &public(&rsa_jwk), &other_rsa),
            ("its own alg", &own_alg, None, Oracle::PS384, &public(&rsa_jwk), &other_rsa),
            (
                "RS256 by choice",
                &rsa,
                Some(Algorithm::Rs256),
                Oracle::RS256,
                &public(&rsa_jwk),
                &other_rsa,
            ),
            (
                "Ed25519",
                &ED25519_PEM.to_owned(),
                None,
                Oracle::EdDSA,
                &ed25519_public,
                &public(ED25519),
            ),
            (
                "Ed25519 JWK",
                &ED25519.to_owned(),
                None,
                Oracle::EdDSA,
                &public(ED25519),
                &ed25519_public,
            ),
            ("P-256 JWK", &P256.to_owned(), None, Oracle::ES256, &public(P256), &es256_public),
        ] {
            let place = Place::new("accepted", key);
            let asserter = Arc::new(Asserter { algorithm: asked, ..place.asserter() });
            let jwt = asserter.assert(ISSUER, &ManualClock::new()).await.unwrap();
            let (header, mut claims) = oracle(&jwt, alg, public).expect(name);
            let named = Algorithm::parse(header["alg"].as_str().unwrap()).unwrap();
            assert_eq!(format!("{alg:?}").to_lowercase(), named.as_str().to_lowercase(), "{name}");
            assert_eq!(header, json!({ "alg": named.as_str(), "typ": "JWT" }), "{name}");
            let jti = claims.as_object_mut().unwrap().remove("jti").unwrap();
            assert_eq!(base64url::decode(jti.as_str().unwrap()).unwrap().len(), 16, "{name}");
            let wanted = json!({
                "iss": "api", "sub": "api", "aud": ISSUER,
                "iat": 1_800_000_000, "exp": 1_800_000_060,
            });
            assert_eq!(claims, wanted, "{name}");
            assert_eq!(oracle(&jwt, alg, other), None, "{name}");
        }
    }

    /// RFC 9864: the newer name of the same signature, and P-521, which the oracle does not know.
    #[tokio::test]
    async fn what_the_oracle_does_not_know_this_crate_verifies() {
        let signing = &aws_lc_rs::signature::ECDSA_P521_SHA512_FIXED_SIGNING;
        let (es512, es512_public) = ec("P-521", signing);
        for (key, asked, public, wanted) in [
            (&*es512, None, es512_public, Algorithm::Es512),
            (ED25519, Some(Algorithm::Ed25519), public(ED25519), Algorithm::Ed25519),
        ] {
            let place = Place::new("own", key);
            let asserter = Arc::new(Asserter { algorithm: asked, ..place.asserter() });
            let jwt = asserter.assert(ISSUER, &ManualClock::new()).await.unwrap();
            let jws = Compact::parse(&jwt).unwrap();
            assert_eq!(jws.header().unwrap().algorithm(), wanted);
            let key = PublicKey::parse(public.to_string().as_bytes(), Algorithm::ALL).unwrap();
            key.verify(wanted, &jws).unwrap();
            let (signed, signature) = jwt.rsplit_once('.').unwrap();
            let mut octets = base64url::decode(signature).unwrap();
            octets[5] ^= 1;
            let changed = format!("{signed}.{}", base64url::encode(&octets));
            assert!(key.verify(wanted, &Compact::parse(&changed).unwrap()).is_err());
        }
    }

    /// The configured key id and audience count, and before them the key's own.
    #[tokio::test]
    async fn key_id_and_audience_are_what_was_configured() {
        let with_kid = format!("{},\"kid\":\"own\"}}", ED25519.trim_end_matches('}'));
        let place = Place::new("named", &with_kid);
        for (key_id, audience, kid, aud) in [
            (None, None, "own", ISSUER),
            (
                Some("2025"),
                Some("https://login.example.com/token"),
                "2025",
                "https://login.example.com/token",
            ),
        ] {
            let asserter = Arc::new(Asserter {
                key_id: key_id.map(str::to_owned),
                audience: audience.map(str::to_owned),
                ..place.asserter()
            });
            let jwt = asserter.assert(ISSUER, &ManualClock::new()).await.unwrap();
            let part = |at| {
                let part = base64url::decode(jwt.split('.').nth(at).unwrap()).unwrap();
                serde_json::from_slice::<Value>(&part).unwrap()
            };
            assert_eq!((&part(0)["kid"], &part(1)["aud"]), (&json!(kid), &json!(aud)));
        }
    }

    /// Every question has an assertion of its own, of the time at which it is asked.
    #[tokio::test]
    async fn no_two_assertions_are_alike() {
        let place = Place::new("alike", ED25519);
        let (asserter, clock) = (Arc::new(place.asserter()), ManualClock::new());
        let mut seen = HashSet::new();
        for second in 0..100_u64 {
            let jwt = asserter.assert(ISSUER, &clock).await.unwrap();
            let (_, claims) = oracle(&jwt, OracleAlgorithm::EdDSA, &public(ED25519)).unwrap();
            assert_eq!(claims["iat"], 1_800_000_000 + second / 2);
            assert_eq!(claims["exp"], 1_800_000_060 + second / 2);
            assert!(seen.insert(claims["jti"].as_str().unwrap().to_owned()));
            if second % 2 == 1 {
                clock.advance(Duration::from_secs(1));
            }
        }
    }

    /// Attack of a stolen key: it is rotated in its file, and the next assertion is signed with the new
    /// one. A file that did not change is not parsed again.
    #[tokio::test]
    async fn a_rotated_key_signs_the_next_assertion() {
        let (new, new_public) = ec("P-256", &ECDSA_P256_SHA256_FIXED_SIGNING);
        let place = Place::new("rotated", P256);
        let (asserter, clock) = (Arc::new(place.asserter()), ManualClock::new());
        let is_of = |jwt: &str, key: &Value| oracle(jwt, OracleAlgorithm::ES256, key).is_some();
        let parsed = || Arc::clone(&asserter.parsed.0.lock().unwrap().as_ref().unwrap().1);

        let jwt = asserter.assert(ISSUER, &clock).await.unwrap();
        assert!(is_of(&jwt, &public(P256)) && !is_of(&jwt, &new_public));
        let first = parsed();
        asserter.assert(ISSUER, &clock).await.unwrap();
        assert!(Arc::ptr_eq(&first, &parsed()));

        place.write("half of a key");
        asserter.assert(ISSUER, &clock).await.expect_err("what was there before is not used");
        place.write(&new);
        let jwt = asserter.assert(ISSUER, &clock).await.unwrap();
        assert!(is_of(&jwt, &new_public) && !is_of(&jwt, &public(P256)));
        assert!(!Arc::ptr_eq(&first, &parsed()));
    }

    /// JWS-26: a weak, torn, public, encrypted or inconsistent key, or one that is meant for something
    /// else, makes no assertion; the file is named, and nothing that is in it.
    #[tokio::test]
    async fn a_key_that_cannot_be_used_is_refused() {
        let (small, small_jwk) = rsa(1024);
        let (p256, _) = ec("P-256", &ECDSA_P256_SHA256_FIXED_SIGNING);
        let (in_pem, in_jwk) = rsa(2048);
        let jwk = |key: &str, edit: &dyn Fn(&mut serde_json::Map<String, Value>)| {
            let mut key: Value = serde_json::from_str(key).unwrap();
            edit(key.as_object_mut().unwrap());
            key.to_string()
        };
        let with = |key: &str, name: &str, value: Value| {
            jwk(key, &|members| {
                members.insert(name.to_owned(), value.clone());
            })
        };
        let without = |key: &str, name: &str| {
            jwk(key, &|members| {
                members.remove(name).unwrap();
            })
        };
        let flipped = |name: &str| {
            let members: Value = serde_json::from_str(&in_jwk).unwrap();
            let mut octets = base64url::decode(members[name].as_str().unwrap()).unwrap();
            *octets.last_mut().unwrap() ^= 2;
            with(&in_jwk, name, base64url::encode(octets).into())
        };
        let unusable = "can sign here";
        let unreadable = "neither a private key in PEM";
        for (name, key, asked, wanted) in [
            ("RSA of 1024 bits", small, None, unusable),
            ("the same as a JWK", small_jwk, None, unusable),
            ("a curve unknown here", pem("PRIVATE KEY", b"0\x03\x02\x01\0"), None, unusable),
            ("no DER", pem("PRIVATE KEY", b"12345"), None, unusable),
            ("PKCS #1", pem("RSA PRIVATE KEY", b"12345"), None, "PKCS #1"),
            ("SEC 1", pem("EC PRIVATE KEY", b"12345"), None, "SEC 1"),
            ("encrypted", pem("ENCRYPTED PRIVATE KEY", b"12345"), None, unreadable),
            ("public", pem("PUBLIC KEY", b"12345"), None, unreadable),
            ("torn", p256.replace("-----END", "-----"), None, unreadable),
            ("two", p256.clone() + ED25519_PEM, None, "more than one"),
            ("no PEM", "s3cret".to_owned(), None, unreadable),
            ("RSA for ES256", in_pem.clone(), Some(Algorithm::Es256), "not one for `ES256`"),
            ("P-256 for ES384", p256, Some(Algorithm::Es384), "not one for `ES384`"),
            (
                "another algorithm than its own",
                with(&in_jwk, "alg", json!("PS256")),
                Some(Algorithm::Rs256),
                "`RS256` is configured",
            ),
            ("HMAC", r#"{"kty":"oct","k":"czNjcmV0"}"#.to_owned(), None, "`kty`"),
            ("alg HS256", with(P256, "alg", json!("HS256")), None, "`alg`"),
            ("alg none", with(P256, "alg", json!("none")), None, "`alg`"),
            ("alg of another kind", with(P256, "alg", json!("PS256")), None, "not one for `PS256`"),
            ("for encryption", with(P256, "use", json!("enc")), None, "not for signatures"),
            ("to verify", with(P256, "key_ops", json!(["verify"])), None, "not for signatures"),
            ("kid is a number", with(P256, "kid", json!(7)), None, "`kid`"),
            ("a public JWK", without(P256, "d"), None, "`d`"),
            ("a public OKP", without(ED25519, "d"), None, "`d`"),
            ("RSA with d alone", without(&in_jwk, "qi"), None, "`qi`"),
            ("three primes", with(&in_jwk, "oth", json!([])), None, "`oth`"),
            ("another d", flipped("d"), None, unusable),
            ("another p", flipped("p"), None, unusable),
            ("another dq", flipped("dq"), None, unusable),
            ("a short d", with(P256, "d", json!("AQAB")), None, "`d`"),
            (
                "another key's d",
                with(P256, "d", json!("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")),
                None,
                unusable,
            ),
            ("another key's x", with(ED25519, "x", json!(ED25519_PUBLIC)), None, unusable),
            ("a curve", with(P256, "crv", json!("secp256k1")), None, "`crv`"),
            ("X25519", with(ED25519, "crv", json!("X25519")), None, "`crv`"),
            ("a member twice", P256.replacen('{', r#"{"kty":"EC","#, 1), None, "twice"),
            ("torn JWK", P256.replace('}', ""), None, "JSON"),
        ] {
            let place = Place::new("refused", &key);
            let asserter = Arc::new(Asserter { algorithm: asked, ..place.asserter() });
            let clock = ManualClock::new();
            let error = asserter.assert(ISSUER, &clock).await.expect_err(name).to_string();
            assert!(error.contains(wanted), "{name}: {error}");
            assert!(error.contains("portcullis-assertion-refused"), "{name}: {error}");
            for piece in key.split(['"', '\n']).filter(|piece| piece.len() > 20) {
                assert!(!error.contains(piece) || piece.starts_with("-----"), "{name}: {error}");
            }
        }
    }

    /// AUTH-22: nothing that is printed has a piece of the key.
    #[tokio::test]
    async fn a_key_is_not_printed() {
        let place = Place::new("printed", ED25519);
        let asserter = Arc::new(place.asserter());
        asserter.assert(ISSUER, &ManualClock::new()).await.unwrap();
        let printed = format!("{asserter:?} {asserter:#?}");
        assert!(printed.contains("\"api\""), "{printed}");
        assert!(!printed.contains("nWGxne") && !printed.contains("11qYAYKx"), "{printed}");
    }
}
