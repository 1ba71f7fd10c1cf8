//! Tokens that were accepted before: what they say is known, and is decided anew.
//!
//! 1. Only a token that was accepted enters, so that nobody can fill it with what he invents.
//! 2. What is kept is what the token says, and the key that it was verified with. Everything that a
//!    request, a route, time or a record has a say in is decided again, by the same code: nothing of a
//!    decision is kept.
//! 3. A token is found by 128 bits of SipHash-1-3 with a random key of this server. No octet of it is
//!    kept; two tokens do not meet, and nobody can make them.
//! 4. It counts as long as its issuer is the same and has the same key for it, under the same `kid`, and
//!    as long as that key may be used: a withdrawn key, a tenant that was changed or removed, keys that
//!    are too old are looked at with every use.
//! 5. It is bounded in bytes; what is used least goes first.

use std::hash::{BuildHasher as _, BuildHasherDefault, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use quick_cache::Weighter;
use quick_cache::sync::{Cache, DefaultLifecycle};
use siphasher::sip128::{Hasher128 as _, SipHasher13};

use crate::access::Facts;
use crate::issuer::{Attempt, IssuerKeys, KeyOf, Registry};
use crate::jose::{Algorithm, PublicKey};
use crate::revocation::ClearAt;
use crate::time::Moment;

/// What a token is found by.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Digest(u64, u64);

/// Tokens that were accepted.
pub(crate) struct KnownTokens {
    keys: (u64, u64),
    /// `None`: none is kept.
    tokens: Option<Tokens>,
}

type Tokens = Cache<Digest, Arc<KnownToken>, Weight, BuildHasherDefault<Half>>;

/// A token that was accepted, and with which key it was verified.
pub(super) struct KnownToken {
    facts: Arc<Facts>,
    issuer: Arc<IssuerKeys>,
    kid: Option<Box<str>>,
    algorithm: Algorithm,
    key: Arc<PublicKey>,
    /// In which set of keys it was found last.
    key_set: AtomicU64,
    clear: ClearAt,
}

impl KnownTokens {
    /// A place for so many bytes; none for zero.
    pub(crate) fn new(bytes: u64) -> Self {
        let random = RandomState::new();
        let tokens = (bytes > 0).then(|| {
            let about = usize::try_from(bytes / KnownToken::USUAL).unwrap_or(usize::MAX);
            let lifecycle = DefaultLifecycle::default();
            Cache::with(about, bytes, Weight, BuildHasherDefault::default(), lifecycle)
        });
        Self { keys: (random.hash_one(1_u8), random.hash_one(2_u8)), tokens }
    }

    /// What this token is found by; `None` if none is kept.
    pub(super) fn digest(&self, token: &[u8]) -> Option<Digest> {
        self.tokens.as_ref()?;
        let mut hasher = SipHasher13::new_with_keys(self.keys.0, self.keys.1);
        hasher.write(token);
        let hash = hasher.finish128();
        Some(Digest(hash.h1, hash.h2))
    }

    pub(super) fn get(&self, token: Digest) -> Option<Arc<KnownToken>> {
        self.tokens.as_ref()?.get(&token)
    }

    pub(super) fn keep(&self, token: Digest, known: KnownToken) {
        if let Some(tokens) = &self.tokens {
            tokens.insert(token, Arc::new(known));
        }
    }

    pub(super) fn forget(&self, token: Digest) {
        if let Some(tokens) = &self.tokens {
            tokens.remove(&token);
        }
    }

    /// How many tokens are kept, and the bytes that they take.
    pub(crate) fn size(&self) -> (usize, u64) {
        self.tokens.as_ref().map_or((0, 0), |tokens| (tokens.len(), tokens.weight()))
    }
}

impl KnownToken {
    /// What a token of usual size takes.
    const USUAL: u64 = 2_048;

    pub(super) fn new(
        facts: Arc<Facts>,
        issuer: Arc<IssuerKeys>,
        kid: Option<&str>,
        algorithm: Algorithm,
        key: Arc<PublicKey>,
    ) -> Self {
        Self {
            facts,
            issuer,
            kid: kid.map(Into::into),
            algorithm,
            key,
            key_set: AtomicU64::new(0),
            clear: ClearAt::default(),
        }
    }

    /// Up to where no record spoke against it.
    pub(super) fn clear(&self) -> &ClearAt {
        &self.clear
    }

    pub(super) fn facts(&self) -> &Arc<Facts> {
        &self.facts
    }

    /// Whether its issuer is one of ours as it was, and would be asked for the same key.
    pub(super) fn counts(&self, issuers: &Registry, at: Moment, attempt: Attempt) -> bool {
        issuers.is_current(&self.issuer, at)
            && self.issuer.has_still(
                KeyOf { key: &self.key, kid: self.kid.as_deref(), algorithm: self.algorithm },
                &self.key_set,
                at,
                attempt,
            )
    }
}

/// The bytes that a token takes, rather more than less.
#[derive(Clone)]
struct Weight;

impl Weighter<Digest, Arc<KnownToken>> for Weight {
    fn weight(&self, _: &Digest, known: &Arc<KnownToken>) -> u64 {
        // Facts, their texts one by one, the entry and its place.
        const REST: usize = 768;
        let claims = known.facts.claims.len();
        u64::try_from(claims.saturating_mul(2).saturating_add(REST)).unwrap_or(u64::MAX)
    }
}

/// A digest is as good as chance already: half of it finds the place.
#[derive(Default)]
struct Half(u64);

impl Hasher for Half {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, half: u64) {
        self.0 ^= half;
    }
}
