use std::fmt;

use aws_lc_rs::rand;
use josekit::Value;
use josekit::jwe::JweHeader;
use josekit::jwk::alg::ec::EcKeyPair;
use josekit::jwk::alg::rsa::RsaKeyPair;
use josekit::jwk::{Jwk, KeyPair, P_256};
use serde::Serialize;

use super::members::{Members, json};
use crate::jose::base64url;
use crate::jwe::{ContentEncryption, DecryptionKey, KeyManagement};
use crate::secret::Secret;

/// A key pair that tokens are encrypted to, and what an authorization server would do with it.
///
/// ```
/// use portcullis::jwe::{ContentEncryption, Decryption, KeyManagement};
/// use portcullis::testing::TestDecryptionKey;
///
/// let key = TestDecryptionKey::generate(KeyManagement::EcdhEsA256Kw, "2026");
/// let decryptor = Decryption::new().key(key.decryption_key()).build()?;
/// let signed = "eyJhbGciOiJFZERTQSJ9.e30.c2lnbmF0dXJl";
/// assert_eq!(decryptor.decrypt(&key.encrypt(signed, ContentEncryption::A128Gcm))?, signed);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TestDecryptionKey {
    kid: String,
    algorithm: KeyManagement,
    pair: Box<dyn KeyPair>,
}

impl TestDecryptionKey {
    /// Makes a key pair: RSA of 2048 bits, which takes some tenths of a second, or P-256.
    #[must_use]
    pub fn generate(algorithm: KeyManagement, kid: impl Into<String>) -> Self {
        let pair: Box<dyn KeyPair> = match algorithm {
            KeyManagement::RsaOaep256 => {
                Box::new(RsaKeyPair::generate(2048).expect("an RSA key pair"))
            }
            KeyManagement::EcdhEs | KeyManagement::EcdhEsA256Kw => {
                Box::new(EcKeyPair::generate(P_256).expect("an EC key pair"))
            }
        };
        Self { kid: kid.into(), algorithm, pair }
    }

    /// The key id.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The private key as PKCS#8 PEM. It is good for tests and nothing else.
    #[must_use]
    pub fn pem(&self) -> String {
        String::from_utf8(self.pair.to_pem_private_key()).expect("a PEM")
    }

    /// The text of the private JWK, with `kid`, `use` and `alg`. It is good for tests and nothing else.
    #[must_use]
    pub fn private_jwk(&self) -> String {
        json(Value::Object(self.named(self.pair.to_jwk_key_pair()).into()))
    }

    /// The public JWK, with `kid`, `use` and `alg`.
    #[must_use]
    pub fn public_jwk(&self) -> Value {
        Value::Object(self.named(self.pair.to_jwk_public_key()).into())
    }

    fn named(&self, mut jwk: Jwk) -> Jwk {
        jwk.set_key_id(&self.kid);
        jwk.set_key_use("enc");
        jwk.set_algorithm(self.algorithm.as_str());
        jwk
    }

    /// The private key, as a server is given it.
    pub fn decryption_key(&self) -> DecryptionKey {
        DecryptionKey::jwk(Secret::new(self.private_jwk()))
    }

    /// A good token: `inner` encrypted to this key, with `kid` and `cty` `JWT`.
    #[must_use]
    pub fn encrypt(&self, inner: &str, encryption: ContentEncryption) -> String {
        self.seal(inner).encryption(encryption).encrypt()
    }

    /// A token to be encrypted, wrong as a test wants it.
    pub fn seal(&self, inner: impl AsRef<[u8]>) -> EnvelopeBuilder<'_> {
        EnvelopeBuilder {
            key: self,
            content: inner.as_ref().to_vec(),
            encryption: ContentEncryption::A256Gcm,
            edits: Vec::new(),
            raw_header: None,
        }
    }
}

/// Its name only.
impl fmt::Debug for TestDecryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestDecryptionKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// An encrypted token to be: good as it is made, wrong as a test wants it. It is encrypted as the key
/// and [`EnvelopeBuilder::encryption`] say, whatever its header says after the changes.
#[derive(Clone)]
#[must_use = "a token is made by `encrypt`"]
pub struct EnvelopeBuilder<'a> {
    key: &'a TestDecryptionKey,
    content: Vec<u8>,
    encryption: ContentEncryption,
    edits: Vec<Edit>,
    raw_header: Option<Vec<u8>>,
}

#[derive(Clone)]
enum Edit {
    Set(String, String),
    Repeat(String, String),
    Remove(String),
}

impl EnvelopeBuilder<'_> {
    /// How the content is encrypted; `A256GCM` unless said otherwise.
    pub fn encryption(mut self, encryption: ContentEncryption) -> Self {
        self.encryption = encryption;
        self
    }

    /// A member of the header, instead of the one of this name.
    pub fn header(self, name: &str, value: impl Serialize) -> Self {
        self.raw_member(name, &json(value))
    }

    /// A member of the header as JSON text, instead of the one of this name.
    pub fn raw_member(mut self, name: &str, json: &str) -> Self {
        self.edits.push(Edit::Set(name.to_owned(), json.to_owned()));
        self
    }

    /// A member of the header as JSON text, beside one of the same name.
    pub fn repeated_header(mut self, name: &str, json: &str) -> Self {
        self.edits.push(Edit::Repeat(name.to_owned(), json.to_owned()));
        self
    }

    /// No member of this name in the header.
    pub fn without_header(mut self, name: &str) -> Self {
        self.edits.push(Edit::Remove(name.to_owned()));
        self
    }

    /// These octets as the header.
    pub fn raw_header(mut self, octets: impl Into<Vec<u8>>) -> Self {
        self.raw_header = Some(octets.into());
        self
    }

    /// The token. Its tag is right for the header as it is.
    #[must_use]
    pub fn encrypt(&self) -> String {
        let content = self.encryption.of_library();
        let public = self.key.named(self.key.pair.to_jwk_public_key());
        let encrypter = self.key.algorithm.encrypter(&public).expect("an encrypter");
        let (asked, mut written) = (JweHeader::new(), JweHeader::new());
        let agreed = encrypter
            .compute_content_encryption_key(content, &asked, &mut written)
            .expect("a key of the content");
        let key = agreed.map_or_else(|| random(content.key_len()), std::borrow::Cow::into_owned);
        let encrypted = encrypter.encrypt(&key, &asked, &mut written).expect("an encrypted key");
        let mut header = Members::default();
        header.set("alg", json(self.key.algorithm.as_str()));
        header.set("enc", json(self.encryption.as_str()));
        header.set("kid", json(&self.key.kid));
        header.set("cty", json("JWT"));
        if let Some(epk) = written.claim("epk") {
            header.set("epk", json(epk));
        }
        for edit in &self.edits {
            match edit {
                Edit::Set(name, value) => header.set(name, value.clone()),
                Edit::Repeat(name, value) => header.push(name, value.clone()),
                Edit::Remove(name) => header.remove(name),
            }
        }
        let header = self.raw_header.clone().unwrap_or_else(|| header.to_json().into_bytes());
        let header = base64url::encode(header);
        let iv = random(content.iv_len());
        let (text, tag) = content
            .encrypt(&key, Some(&iv), &self.content, header.as_bytes())
            .expect("an encrypted content");
        let octets = [encrypted.unwrap_or_default(), iv, text, tag.unwrap_or_default()];
        let parts = octets.map(base64url::encode);
        format!("{header}.{}", parts.join("."))
    }
}

/// Not the content.
impl fmt::Debug for EnvelopeBuilder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnvelopeBuilder").field("key", &self.key).finish_non_exhaustive()
    }
}

fn random(length: usize) -> Vec<u8> {
    let mut octets = vec![0; length];
    rand::fill(&mut octets).expect("randomness");
    octets
}
