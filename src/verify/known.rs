//! Tokens that were accepted before: what they say is known, and is decided anew.
//!
//! 1. Only a token that was accepted enters, so that nobody can fill it with what he invents.
//! 2. What is kept is what the token says, and the key that it was verified with. Everything that a
//!    request, a route, time or a record has a say in is decided again, by the same code: nothing of a
//!    decision is kept.
//! 3. A token is found by its length and a hash with a secret key of this server ([`super::digest`]). No
//!    octet of it is kept; two tokens do not meet, and nobody can make them.
//! 4. It counts as long as its issuer is the same and has the same key for it, under the same `kid`, and
//!    as long as that key may be used: a withdrawn key, a tenant that was changed or removed, keys that
//!    are too old are looked at with every use.
//! 5. It is bounded in bytes; what is used least goes first.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use quick_cache::Weighter;
use quick_cache::sync::{Cache, DefaultLifecycle};

use super::digest::{Digest, DigestKey};
use crate::access::Facts;
use crate::issuer::{Attempt, IssuerKeys, KeyOf, Registry};
use crate::jose::{Algorithm, PublicKey};
use crate::place::BuildPlaceHasher;
use crate::revocation::ClearAt;
use crate::time::Moment;

/// Tokens that were accepted.
pub(crate) struct KnownTokens {
    /// `None`: none is kept.
    tokens: Option<Tokens>,
}

struct Tokens {
    key: DigestKey,
    cache: Cache<Digest, Arc<KnownToken>, Weight, BuildPlaceHasher>,
}

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
    /// A place for so many bytes, none for zero, of tokens of at most so many octets.
    pub(crate) fn new(bytes: u64, longest: usize) -> Self {
        // Without random numbers every token is verified each time.
        let key = if bytes > 0 { DigestKey::random(longest) } else { None };
        let tokens = key.map(|key| {
            let about = usize::try_from(bytes / KnownToken::USUAL).unwrap_or(usize::MAX);
            let lifecycle = DefaultLifecycle::default();
            let places = BuildPlaceHasher::default();
            Tokens { key, cache: Cache::with(about, bytes, Weight, places, lifecycle) }
        });
        Self { tokens }
    }

    /// What this token is found by; `None` if none is kept.
    pub(super) fn digest(&self, token: &[u8]) -> Option<Digest> {
        self.tokens.as_ref()?.key.digest(token)
    }

    pub(super) fn get(&self, token: &Digest) -> Option<Arc<KnownToken>> {
        self.tokens.as_ref()?.cache.get(token)
    }

    pub(super) fn keep(&self, token: Digest, known: KnownToken) {
        if let Some(tokens) = &self.tokens {
            tokens.cache.insert(token, Arc::new(known));
        }
    }

    pub(super) fn forget(&self, token: &Digest) {
        if let Some(tokens) = &self.tokens {
            tokens.cache.remove(token);
        }
    }

    /// How many tokens are kept, and the bytes that they take.
    pub(crate) fn size(&self) -> (usize, u64) {
        let size = |tokens: &Tokens| (tokens.cache.len(), tokens.cache.weight());
        self.tokens.as_ref().map_or((0, 0), size)
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
