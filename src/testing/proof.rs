use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::Method;
use serde::Serialize;
use serde_json::{Value, json as object};
use sha2::{Digest as _, Sha256};

use super::jws::Jws;
use super::key::TestKey;
use super::members::json;
use crate::jose::{Algorithm, PublicKey, base64url};
use crate::name::Thumbprint;
use crate::time::{Clock, Timestamp};

/// A client's key, which its DPoP proofs show (RFC 9449). A clone is the same key.
///
/// ```
/// use portcullis::jose::Algorithm;
/// use portcullis::testing::{ClientKey, ManualClock, TestIssuer};
///
/// let clock = ManualClock::new();
/// let issuer = TestIssuer::new("https://as.example", &clock);
/// let client = ClientKey::generate(Algorithm::Es256, &clock);
///
/// let token = issuer.token("https://rs.example").claim("cnf", client.confirmation()).sign();
/// let proof = client.proof("GET", "https://rs.example/notes").token(&token).sign();
/// assert_eq!(proof.split('.').count(), 3);
/// ```
#[derive(Clone)]
pub struct ClientKey {
    key: Arc<TestKey>,
    thumbprint: Thumbprint,
    clock: Arc<dyn Clock>,
}

impl ClientKey {
    /// Makes a key pair, and proofs by the time of this clock. An RSA pair takes some tenths of a
    /// second.
    #[must_use]
    pub fn generate(algorithm: Algorithm, clock: &(impl Clock + Clone)) -> Self {
        let key = TestKey::generate(algorithm, "client");
        let jwk = key.public_jwk().to_string();
        let public = PublicKey::parse(jwk.as_bytes(), &[algorithm]).expect("a key of its own");
        let thumbprint = public.thumbprint().clone();
        Self { key: Arc::new(key), thumbprint, clock: Arc::new(clock.clone()) }
    }

    /// The thumbprint of the key (RFC 7638).
    #[must_use]
    pub fn thumbprint(&self) -> &Thumbprint {
        &self.thumbprint
    }

    /// What a token that is bound to the key has as `cnf` (RFC 9449 §6.1).
    #[must_use]
    pub fn confirmation(&self) -> Value {
        object!({"jkt": self.thumbprint.as_str()})
    }

    /// The public key as proofs show it: its required members, and nothing else.
    #[must_use]
    pub fn public_jwk(&self) -> Value {
        let mut jwk = self.key.public_jwk();
        if let Some(members) = jwk.as_object_mut() {
            members.retain(|name, _| !matches!(name.as_str(), "kid" | "use" | "alg"));
        }
        jwk
    }

    /// The key pair.
    #[must_use]
    pub fn key(&self) -> &TestKey {
        &self.key
    }

    /// A proof for this method and URI, made now, with a `jti` of its own. At a resource it needs
    /// [`ProofBuilder::token`] too.
    ///
    /// # Panics
    /// If `method` is not a method of HTTP.
    pub fn proof<M>(&self, method: M, uri: &str) -> ProofBuilder
    where
        M: TryInto<Method, Error: fmt::Debug>,
    {
        static MADE: AtomicU64 = AtomicU64::new(1);
        let method: Method = method.try_into().expect("a method");
        ProofBuilder { jws: Jws::new(Arc::clone(&self.key), "dpop+jwt") }
            .jwk(self.public_jwk())
            .claim("jti", format!("proof-{}", MADE.fetch_add(1, Ordering::Relaxed)))
            .claim("htm", method.as_str())
            .claim("htu", uri)
            // Clients write whole seconds.
            .issued_at(Timestamp::from_secs(self.clock.now().as_secs()))
    }
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientKey").field("key", &self.key).finish_non_exhaustive()
    }
}

/// A DPoP proof to be signed: good as it is made, but for the token it is for, and wrong as a test
/// wants it. Signed twice, it has one `jti`.
#[derive(Clone)]
#[must_use = "a proof is made by `sign`"]
pub struct ProofBuilder {
    jws: Jws,
}

impl ProofBuilder {
    /// The token it is sent with: its hash, in `ath` (RFC 9449 §4.2).
    pub fn token(self, token: &str) -> Self {
        self.claim("ath", base64url::encode(Sha256::digest(token)))
    }

    /// The nonce that the server gave, the value of its field `DPoP-Nonce`.
    pub fn nonce(self, nonce: &str) -> Self {
        self.claim("nonce", nonce)
    }

    /// When it was made.
    pub fn issued_at(self, at: Timestamp) -> Self {
        self.raw_claim("iat", &at.to_string())
    }

    /// A claim, instead of the one of this name.
    pub fn claim(self, name: &str, value: impl Serialize) -> Self {
        self.raw_claim(name, &json(value))
    }

    /// A claim as JSON text, instead of the one of this name.
    pub fn raw_claim(mut self, name: &str, json: &str) -> Self {
        self.jws.payload.set(name, json.to_owned());
        self
    }

    /// A claim as JSON text, beside one of the same name.
    pub fn repeated_claim(mut self, name: &str, json: &str) -> Self {
        self.jws.payload.push(name, json.to_owned());
        self
    }

    /// No claim of this name.
    pub fn without(mut self, name: &str) -> Self {
        self.jws.payload.remove(name);
        self
    }

    /// The key that the header shows, instead of the client's.
    pub fn jwk(self, jwk: impl Serialize) -> Self {
        self.header("jwk", jwk)
    }

    /// A member of the header, instead of the one of this name.
    pub fn header(mut self, name: &str, value: impl Serialize) -> Self {
        self.jws.header.set(name, json(value));
        self
    }

    /// No member of this name in the header.
    pub fn without_header(mut self, name: &str) -> Self {
        self.jws.header.remove(name);
        self
    }

    /// These octets as the header.
    pub fn raw_header(mut self, octets: impl Into<Vec<u8>>) -> Self {
        self.jws.raw_header = Some(octets.into());
        self
    }

    /// These octets as the payload.
    pub fn raw_payload(mut self, octets: impl Into<Vec<u8>>) -> Self {
        self.jws.raw_payload = Some(octets.into());
        self
    }

    /// The proof, signed by the client's key.
    #[must_use]
    pub fn sign(&self) -> String {
        self.jws.sign()
    }

    /// The proof as it is, signed by this key: its header still shows the client's.
    #[must_use]
    pub fn sign_with(&self, key: &TestKey) -> String {
        self.jws.sign_with(key)
    }

    /// The proof with `alg` `none` and an empty signature.
    #[must_use]
    pub fn unsigned(&self) -> String {
        self.jws.unsigned("none")
    }

    /// The proof with its last signature octet changed.
    #[must_use]
    pub fn tampered(&self) -> String {
        self.jws.tampered()
    }

    /// Encoded header and payload: what is signed.
    #[must_use]
    pub fn signing_input(&self) -> String {
        self.jws.signing_input()
    }

    /// The payload as it would be signed.
    #[must_use]
    pub fn payload(&self) -> String {
        self.jws.payload.to_json()
    }
}

impl fmt::Debug for ProofBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.jws.debug("ProofBuilder", f)
    }
}
