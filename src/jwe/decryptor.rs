use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use josekit::jwe::JweContext;

use super::algorithm::{ContentEncryption, KeyManagement};
use super::cipher::context;
use super::header::{HeaderFault, Parts};
use super::key::CheckedKey;
use super::opening::{OpenError, Opening, Permits};
use crate::credentials::MAX_TOKEN;
use crate::jose::Compact;
use crate::time::shown_duration;

/// Why an encrypted token does not become a signed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum DecryptError {
    /// Its form or its header, which anybody can read.
    #[error(transparent)]
    Header(#[from] HeaderFault),
    /// Anything else: another key, a bad encrypted key, a bad tag, a bad point, a content that is no
    /// signed token. It never says which (RFC 7516 §11.5).
    #[error("it cannot be decrypted to a signed token")]
    Undecryptable,
}

/// Private keys in use: what [`super::Decryption`] builds.
pub struct Decryptor {
    keys: Arc<[CheckedKey]>,
    context: Arc<JweContext>,
    permits: Permits,
    max_at_once: usize,
    wait_at_most: Duration,
}

/// A token whose header was read.
#[derive(Clone, Copy)]
pub(crate) struct Envelope<'a> {
    token: &'a str,
    /// The place of its key.
    key: usize,
    algorithm: KeyManagement,
    encryption: ContentEncryption,
    whole: bool,
}

impl Decryptor {
    pub(super) fn new(keys: Vec<CheckedKey>, max_at_once: usize, wait_at_most: Duration) -> Self {
        let permits = Permits::new(max_at_once);
        Self { keys: keys.into(), context: Arc::new(context()), permits, max_at_once, wait_at_most }
    }

    /// Decrypts a JWE in compact serialization to the compact JWS in it. Nobody has verified that
    /// signature yet, and whoever knows the public key could have encrypted anything.
    ///
    /// It is an operation with a private key, of up to some milliseconds, on the thread of the caller:
    /// asynchronous code calls it from a thread that may block, and bounds how many do.
    ///
    /// # Errors
    /// See [`DecryptError`].
    pub fn decrypt(&self, token: &str) -> Result<String, DecryptError> {
        let envelope = self.read_header(token)?;
        open(&self.keys, &self.context, envelope).ok_or(DecryptError::Undecryptable)
    }

    /// Reads the header, and finds the key. Nothing is decrypted.
    pub(crate) fn read_header<'a>(&self, token: &'a str) -> Result<Envelope<'a>, HeaderFault> {
        let parts = Parts::read(token)?;
        let at = match (&parts.kid, &self.keys[..]) {
            // The one key has no name to compare with.
            (_, [CheckedKey { kid: None, .. }]) | (None, [_]) => Some(0),
            (None, _) => return Err(HeaderFault::NoKeyId),
            (Some(kid), keys) => keys.iter().position(|key| key.kid.as_ref() == Some(kid)),
        };
        let (at, key) =
            at.and_then(|at| Some((at, self.keys.get(at)?))).ok_or(HeaderFault::UnknownKey)?;
        let (algorithm, encryption) = (parts.algorithm, parts.encryption);
        if key.decrypter(algorithm).is_none() {
            return Err(HeaderFault::NotForAlgorithm);
        }
        if !key.allows(encryption) {
            return Err(HeaderFault::NotForEncryption);
        }
        parts.agrees(key.shape)?;
        let whole = parts.are_whole(key.shape);
        Ok(Envelope { token, key: at, algorithm, encryption, whole })
    }

    /// Starts to decrypt it on a thread that may block, when its turn comes.
    pub(crate) fn open(&self, envelope: Envelope<'_>) -> Arc<Opening> {
        if !envelope.whole {
            return Opening::settled(Err(OpenError::Undecryptable));
        }
        let (keys, context) = (Arc::clone(&self.keys), Arc::clone(&self.context));
        let token: Box<str> = envelope.token.into();
        let Envelope { key, algorithm, encryption, whole, .. } = envelope;
        self.permits.open(move || {
            let envelope = Envelope { token: &token, key, algorithm, encryption, whole };
            open(&keys, &context, envelope).ok_or(OpenError::Undecryptable)
        })
    }

    /// How long a request may wait for its token.
    pub(crate) const fn wait_at_most(&self) -> Duration {
        self.wait_at_most
    }

    /// What it says, in the words of a file.
    pub(crate) fn report(&self) -> serde_json::Value {
        let keys: Vec<_> = self.keys.iter().map(CheckedKey::report).collect();
        serde_json::json!({
            "keys": keys,
            "max_at_once": self.max_at_once,
            "wait_at_most": shown_duration(self.wait_at_most),
        })
    }
}

/// Decrypts a token whose header was read. `None` for every reason alike.
fn open(keys: &[CheckedKey], context: &JweContext, envelope: Envelope<'_>) -> Option<String> {
    if !envelope.whole {
        return None;
    }
    let decrypter = keys.get(envelope.key)?.decrypter(envelope.algorithm)?;
    let (octets, header) = context.deserialize_compact(envelope.token, decrypter).ok()?;
    // Two readers of one header: what the first chose is what the second used.
    if header.content_encryption() != Some(envelope.encryption.as_str()) {
        return None;
    }
    if octets.len() > MAX_TOKEN {
        return None;
    }
    let text = String::from_utf8(octets).ok()?;
    // Three parts: not claims in the clear, not another JWE, not without a signature.
    Compact::parse(&text).ok()?;
    Some(text)
}

/// Names of keys only.
impl fmt::Debug for Decryptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decryptor")
            .field("keys", &self.keys)
            .field("max_at_once", &self.max_at_once)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Envelope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("algorithm", &self.algorithm)
            .field("encryption", &self.encryption)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Builder;

    use super::*;
    use crate::jwe::{Decryption, DecryptionKey};
    use crate::secret::SecretSource;
    use crate::testing::TestDecryptionKey;

    const INNER: &str = "eyJhbGciOiJFZERTQSJ9.e30.c2lnbmF0dXJl";

    /// AT-12: off the executor it is what it is on the caller's thread; and what cannot be right by its
    /// lengths needs no turn, and no runtime.
    #[test]
    fn tokens_are_opened_off_the_executor() {
        let key = TestDecryptionKey::generate(KeyManagement::EcdhEs, "k");
        let decryptor = Decryption::new().key(key.decryption_key()).max_at_once(1).build().unwrap();
        let good = key.encrypt(INNER, ContentEncryption::A256Gcm);
        let other = key.seal(INNER).header("x", 1).encrypt();
        let mixed = format!("{}{}", &good[..good.len() - 22], &other[other.len() - 22..]);
        let open = |token: &str| decryptor.open(decryptor.read_header(token).unwrap());
        Builder::new_current_thread().build().unwrap().block_on(async {
            let openings = [open(&good), open(&mixed)];
            for (opening, outcome) in
                openings.iter().zip([Ok(INNER), Err(OpenError::Undecryptable)])
            {
                opening.landing().await;
                assert_eq!(opening.outcome(), Some(outcome));
            }
        });
        let cut = &good[..good.len() - 2];
        assert_eq!(open(cut).outcome(), Some(Err(OpenError::Undecryptable)));
        assert!(matches!(open(&good).outcome(), Some(Err(OpenError::Unavailable(_)))));
        let header = decryptor.read_header(&key.seal(INNER).header("zip", "DEF").encrypt()).err();
        assert_eq!(header, Some(HeaderFault::Unsupported("zip")));
        assert!(!format!("{:?}", decryptor.read_header(&good).unwrap()).contains(&good[..20]));
    }

    /// A report has what was decided, and no secret.
    #[test]
    fn a_report_names_keys() {
        let key = TestDecryptionKey::generate(KeyManagement::EcdhEs, "k");
        let directory = std::env::temp_dir();
        let path = directory.join(format!("portcullis-jwe-report-{}.pem", std::process::id()));
        std::fs::write(&path, key.pem()).unwrap();
        let file = DecryptionKey::pem(SecretSource::file(&path)).kid("f");
        let file = file.encryptions([ContentEncryption::A256Gcm]);
        let decryption = Decryption::new().key(key.decryption_key()).key(file).max_at_once(3);
        let decryptor = decryption.wait_at_most(Duration::from_millis(1500)).build().unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(decryptor.wait_at_most(), Duration::from_millis(1500));
        assert_eq!(
            decryptor.report(),
            serde_json::json!({
                "keys": [
                    {
                        "jwk": "known",
                        "kid": "k",
                        "type": "P-256",
                        "algorithms": ["ECDH-ES"],
                        "encryptions": ["A128GCM", "A256GCM", "A256CBC-HS512"],
                    },
                    {
                        "pem": { "file": path.display().to_string() },
                        "kid": "f",
                        "type": "P-256",
                        "algorithms": ["ECDH-ES", "ECDH-ES+A256KW"],
                        "encryptions": ["A256GCM"],
                    },
                ],
                "max_at_once": 3,
                "wait_at_most": "1s 500ms",
            })
        );
    }
}
