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

#[cfg(test)]
mod tests {
    use super::*;

    const ES256: &[Algorithm] = &[Algorithm::Es256];
    const SENDER: &str = r#"{"kty":"EC","crv":"P-256","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"}"#;

    fn read() -> PublicKey {
        PublicKey::parse(SENDER.as_bytes(), ES256).unwrap()
    }

    /// A key is known by all of its text, for its algorithm and no other, and only that of the token's own
    /// sender.
    #[test]
    fn a_key_is_known_by_its_text_and_its_algorithm() {
        let known = KnownSender::default();
        let remember = |sender: &Thumbprint| {
            known.remember(EmbeddedKey::new(SENDER, read(), Some(&known)), sender);
        };
        assert!(known.key(SENDER, Algorithm::Es256).is_none());
        remember(&Thumbprint::parse(&"A".repeat(43)).unwrap());
        assert!(known.key(SENDER, Algorithm::Es256).is_none(), "of somebody else");
        remember(read().thumbprint());
        let found = known.key(SENDER, Algorithm::Es256);
        assert!(found.is_some_and(|key| key.thumbprint() == read().thumbprint()));
        for other in [Algorithm::Es384, Algorithm::Ps256, Algorithm::Ed25519] {
            assert!(known.key(SENDER, other).is_none(), "{other}");
        }
        assert!(known.key(&format!("{SENDER} "), Algorithm::Es256).is_none());
    }

    /// There is room for one key with a text of a thousand octets, and no more is kept.
    #[test]
    fn one_key_is_kept_and_no_long_one() {
        let known = KnownSender::default();
        let kept = |length: usize| {
            let jwk = format!("{SENDER:length$}");
            let key = EmbeddedKey::new(&jwk, read(), Some(&known));
            key.jwk.is_some_and(|text| *text == *jwk)
        };
        assert_eq!((kept(1_024), kept(1_025)), (true, false));
        assert!(EmbeddedKey::new(SENDER, read(), None).jwk.is_none());
        let first = EmbeddedKey::new(SENDER, read(), Some(&known));
        known.remember(first, read().thumbprint());
        assert!(!kept(1_024), "one is known");
    }
}
