use std::time::Duration;

use super::decryptor::Decryptor;
use super::key::{DecryptionKey, fault};
use crate::error::{BuildError, ConfigFault, Faults};
use crate::time::shown_duration;

/// The most keys: the new one, the old one, and of each kind that issuers want.
const MOST_KEYS: usize = 16;
/// The most operations at once. A machine has not so many cores.
const MOST_AT_ONCE: usize = 1024;
/// How long a request may wait for its token to be decrypted.
const WAITS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(10);

/// Encrypted access tokens (RFC 9068 §4, RFC 7516): the private keys, and how much work they may be.
///
/// Nothing is read or checked here: the server's `build()`, or [`Decryption::build`], reports every
/// fault at once.
///
/// ```
/// use std::time::Duration;
/// use portcullis::jwe::{Decryption, DecryptionKey};
/// use portcullis::secret::SecretSource;
///
/// let decryption = Decryption::new()
///     .key(DecryptionKey::jwk(SecretSource::file("/run/secrets/tokens-2026.jwk")))
///     // Until the last token that was encrypted to it has expired.
///     .key(DecryptionKey::jwk(SecretSource::file("/run/secrets/tokens-2025.jwk")))
///     .max_at_once(2)
///     .wait_at_most(Duration::from_millis(500));
/// assert!(decryption.build().is_err(), "there are no such files on this machine");
/// ```
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it is built"]
pub struct Decryption {
    keys: Vec<DecryptionKey>,
    /// `None`: half as many as the machine has cores.
    max_at_once: Option<usize>,
    wait_at_most: Duration,
}

impl Decryption {
    /// Without a key, as which it cannot be built.
    pub const fn new() -> Self {
        Self { keys: Vec::new(), max_at_once: None, wait_at_most: Duration::from_secs(1) }
    }

    /// One more private key.
    pub fn key(mut self, key: DecryptionKey) -> Self {
        self.keys.push(key);
        self
    }

    /// How many operations with private keys may run at once: 1 to 1024; half as many as
    /// the machine has cores unless said otherwise, at least one. Each is some tenths of a millisecond to some milliseconds of one
    /// core, and whoever knows the public key can ask for it. Beyond these, 256 tokens wait for their
    /// turn; one more gets 503 at once.
    pub const fn max_at_once(mut self, operations: usize) -> Self {
        self.max_at_once = Some(operations);
        self
    }

    /// How long a request may wait for its token to be decrypted, its turn included: 1 millisecond to
    /// 10 seconds, 1 second unless said otherwise. After that it is told to come again.
    pub const fn wait_at_most(mut self, wait: Duration) -> Self {
        self.wait_at_most = wait;
        self
    }

    /// Reads the keys.
    ///
    /// # Errors
    /// Every fault: a secret that cannot be read or is no private key, an RSA key of fewer than 2048 or
    /// more than 4096 bits, a `kid` that is missing or there twice, an algorithm that does not fit its
    /// key, a bound that is out of range.
    pub fn build(&self) -> Result<Decryptor, BuildError> {
        let mut faults = Faults::new();
        match self.check(&mut faults) {
            Some(decryptor) => faults.unless_none(decryptor),
            None => Err(faults.into_error()),
        }
    }

    /// Reads the keys. Looks for faults; `None` if there is one.
    pub(crate) fn check(&self, faults: &mut Faults) -> Option<Decryptor> {
        let before = faults.len();
        let count = self.keys.len();
        if count == 0 {
            faults.push_at("keys", fault("there is no key: name a key, with `.key(...)`"));
        }
        if count > MOST_KEYS {
            let (what, maximum) = ("the number of decryption keys", MOST_KEYS);
            faults.push_at("keys", ConfigFault::Bound { what, found: count, maximum });
        }
        let mut keys = Vec::new();
        for (index, key) in self.keys.iter().enumerate().take(MOST_KEYS) {
            faults.at_element("keys", index, |faults| {
                let Some(key) = key.check(faults) else { return };
                if count > 1 {
                    let what = match &key.kid {
                        None => Some("a key without `kid` beside others, which no token could name: give it one"),
                        Some(kid) => keys
                            .iter()
                            .any(|other: &super::key::CheckedKey| other.kid.as_ref() == Some(kid))
                            .then_some("another key has the same `kid`: give each its own"),
                    };
                    if let Some(what) = what {
                        faults.push_at("kid", fault(what));
                    }
                }
                keys.push(key);
            });
        }
        let max_at_once = self.max_at_once.unwrap_or_else(|| {
            // The rest is left to requests that need no private key.
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            (cores / 2).clamp(1, MOST_AT_ONCE)
        });
        if !(1..=MOST_AT_ONCE).contains(&max_at_once) {
            let (what, maximum) = ("the number of decryptions at once", MOST_AT_ONCE);
            faults.push_at("max_at_once", ConfigFault::Bound { what, found: max_at_once, maximum });
        }
        if !WAITS.contains(&self.wait_at_most) {
            let found = shown_duration(self.wait_at_most);
            let what = format!(
                "a wait of {found}: not between 1 millisecond and 10 seconds: say one in between"
            );
            faults.push_at("wait_at_most", fault(what));
        }
        (faults.len() == before).then(|| Decryptor::new(keys, max_at_once, self.wait_at_most))
    }
}

impl Default for Decryption {
    fn default() -> Self {
        Self::new()
    }
}
