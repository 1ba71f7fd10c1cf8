//! What every peer is given: one issuer with a key of each algorithm, a token of each, and a client with a
//! token that is bound to its key. All of it is made anew when the program starts.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
};
use portcullis::jose::{Algorithm, Compact, base64url};
use portcullis::testing::{ClientKey, TestIssuer, TestKey, TokenBuilder};
use portcullis::time::{Clock as _, SystemClock};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub const ISSUER: &str = "https://login.example.com";
/// What tokens name in `aud`, and where clients call.
pub const RESOURCE: &str = "https://api.example.com";
pub const URI: &str = "https://api.example.com/orders";
/// What the route asks of a token, where a peer can ask for it.
pub const SCOPE: &str = "orders:read";
/// How long tokens live: long enough for the slowest run.
pub const LIFE: Duration = Duration::from_hours(1);

/// What a peer has to be told of the issuer.
#[derive(Clone, Serialize, Deserialize)]
pub struct Keys {
    /// The key set.
    pub jwks: String,
    /// Where it is served.
    pub url: String,
}

/// What a handler would read of a token, for peers that have it deserialized.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    pub iss: String,
    pub sub: String,
    pub client_id: String,
    pub scope: String,
    pub jti: String,
    pub exp: u64,
}

/// A token, and its signature by itself.
pub struct Token {
    pub algorithm: Algorithm,
    pub text: String,
    pub signed: Signed,
}

/// A signature with the key that verifies it, parsed already.
pub struct Signed {
    key: Arc<ParsedPublicKey>,
    message: String,
    signature: Vec<u8>,
}

impl Signed {
    fn new(jws: &str, key: &Arc<ParsedPublicKey>) -> Self {
        let jws = Compact::parse(jws).expect("a JWS");
        Self {
            key: Arc::clone(key),
            message: jws.signing_input().to_owned(),
            signature: jws.signature().to_vec(),
        }
    }

    pub fn verify(&self) {
        self.key.verify_sig(self.message.as_bytes(), &self.signature).expect("a good signature");
    }
}

fn parsed(jwk: &Value) -> Arc<ParsedPublicKey> {
    let octets = |name: &str| {
        let text = jwk[name].as_str().expect("a member of the key");
        base64url::decode(text).expect("base64url")
    };
    let key = match jwk["kty"].as_str() {
        Some("RSA") => PublicKeyComponents { n: octets("n"), e: octets("e") }
            .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256),
        Some("EC") => {
            let point = [vec![4], octets("x"), octets("y")].concat();
            ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point)
        }
        _ => ParsedPublicKey::new(&ED25519, octets("x")),
    };
    Arc::new(key.expect("a key"))
}

pub struct World {
    pub issuer: TestIssuer,
    pub tokens: Vec<Token>,
    pub client: ClientKey,
    client_key: Arc<ParsedPublicKey>,
    /// Bound to the client's key.
    pub bound: String,
}

impl World {
    pub fn new() -> Self {
        let clock = SystemClock::new();
        let issuer = TestIssuer::new(ISSUER, &clock);
        issuer.withdraw(issuer.key().kid().to_owned().as_str());
        let mut tokens = Vec::new();
        for (algorithm, kid) in [
            (Algorithm::Rs256, "2026-11-rs"),
            (Algorithm::EdDsa, "2026-11-ed"),
            (Algorithm::Es256, "2026-11-es"),
        ] {
            issuer.add_key(TestKey::generate(algorithm, kid));
            let text = token(&issuer).sign();
            let signed = Signed::new(&text, &parsed(&issuer.key().public_jwk()));
            tokens.push(Token { algorithm, text, signed });
        }
        assert_eq!(tokens[0].text.len(), 742, "the length of the RS256 token");
        let client = ClientKey::generate(Algorithm::Es256, &clock);
        let bound = token(&issuer).claim("cnf", client.confirmation()).sign();
        let client_key = parsed(&client.public_jwk());
        Self { issuer, tokens, client, client_key, bound }
    }

    pub fn token(&self, algorithm: Algorithm) -> &Token {
        let mut tokens = self.tokens.iter();
        tokens.find(|token| token.algorithm == algorithm).expect("a token of each algorithm")
    }

    /// Proofs for `GET` of [`URI`] with the bound token, each with a `jti` of its own.
    pub fn proof(&self) -> String {
        let proof = self.client.proof("GET", URI).token(&self.bound);
        // As long as what clients send: 128 bits.
        proof.claim("jti", base64url::encode(random())).sign()
    }

    /// The signatures of so many proofs by themselves.
    pub fn signed_proofs(&self, times: usize) -> Vec<Signed> {
        (0..times).map(|_| Signed::new(&self.proof(), &self.client_key)).collect()
    }

    /// A good token that names a key which nobody has.
    pub fn unknown(&self, number: usize) -> String {
        token(&self.issuer).header("kid", format!("junk-{number}")).sign()
    }
}

/// The claims of RFC 9068, 249 octets of them.
fn token(issuer: &TestIssuer) -> TokenBuilder {
    let now = SystemClock::new().now();
    issuer
        .token(RESOURCE)
        .subject("248289")
        .client_id("orders-app")
        .claim("jti", "6f0c5a1e9b7d4c2f8a3e5d7b1c9f0a2e")
        .scope("openid profile orders:read orders:write")
        .claim("nbf", now.as_secs())
        .expires_at(portcullis::time::Timestamp::from_secs(now.as_secs()).plus(LIFE))
}

fn random() -> [u8; 16] {
    let mut octets = [0; 16];
    aws_lc_rs::rand::fill(&mut octets).expect("randomness");
    octets
}
