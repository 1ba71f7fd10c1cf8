use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::jose::{Algorithm, PublicKey};
use crate::name::Thumbprint;

/// What need not be worked out again of the proofs for one token: the hash of the token, and the key
/// that its sender's proofs have in their header. Both are what they would be found to be each time.
#[derive(Default)]
pub(crate) struct KnownSender {
    /// As `ath` has it.
    token_hash: OnceLock<Box<str>>,
    key: OnceLock<KnownKey>,
    /// Whether the last proof that was verified was of somebody else.
    disputed: AtomicBool,
}

/// A key, and the text that it was read from.
struct KnownKey {
    jwk: Box<str>,
    key: Arc<PublicKey>,
}

impl KnownSender {
    /// What it takes at most: the text of a key, its parsed form, and the hash.
    pub(crate) const BYTES: usize = 4_096;
    /// A key that was written at greater length than this is read each time: that of RSA with 4096 bits
    /// has some 750 octets.
    const LONGEST: usize = 1_024;

    pub(super) fn token_hash(&self, hash: impl FnOnce() -> String) -> &str {
        self.token_hash.get_or_init(|| hash().into())
    }

    /// The key of this text for this algorithm, if it is the known one.
    pub(super) fn key(&self, jwk: &str, algorithm: Algorithm) -> Option<Arc<PublicKey>> {
        let known = self.key.get()?;
        let same = *known.jwk == *jwk && known.key.algorithm() == algorithm;
        same.then(|| Arc::clone(&known.key))
    }

    /// Remembers a key that a proof was verified with, of the token's own sender.
    pub(super) fn remember(&self, proven: EmbeddedKey, sender: &Thumbprint) {
        let EmbeddedKey { jwk, key } = proven;
        if let Some(jwk) = jwk
            && key.thumbprint() == sender
        {
            self.key.get_or_init(|| KnownKey { jwk, key });
        }
    }

    /// Whether somebody else than its sender has the token, who tries.
    pub(crate) fn is_disputed(&self) -> bool {
        self.disputed.load(Ordering::Relaxed)
    }

    /// Notes whose the proof was that was verified.
    pub(crate) fn note(&self, disputed: bool) {
        // Mostly it is so already, and nothing is written that others read.
        if self.is_disputed() != disputed {
            self.disputed.store(disputed, Ordering::Relaxed);
        }
    }

    fn wants(&self, jwk: &str) -> bool {
        self.key.get().is_none() && jwk.len() <= Self::LONGEST
    }
}

/// The key of a proof.
#[derive(Clone)]
pub(super) struct EmbeddedKey {
    /// Its text, where that is to be remembered.
    pub(super) jwk: Option<Box<str>>,
    pub(super) key: Arc<PublicKey>,
}

impl EmbeddedKey {
    pub(super) fn new(jwk: &str, key: PublicKey, known: Option<&KnownSender>) -> Self {
        let jwk = known.filter(|known| known.wants(jwk)).map(|_| jwk.into());
        Self { jwk, key: Arc::new(key) }
    }
}
