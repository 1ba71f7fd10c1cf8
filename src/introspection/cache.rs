//! What is known of tokens that were asked about.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use siphasher::sip128::{Hasher128 as _, SipHasher24};

use super::Active;
use crate::time::Moment;

/// Tokens, by a keyed hash: 128 bits of SipHash-2-4 with a random key of this cache, so that nobody can
/// make two tokens meet, and no other cache means the same by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint(u64, u64);

/// Answers, each with the time it was asked for. Whether one is young enough is decided by the server's
/// clock, whenever it is used; that the cache lets go of old ones by its own clock is housekeeping.
///
/// "Not active" has a room of its own: anybody can invent tokens, and must not push out what is known.
pub(super) struct Answers {
    keys: (u64, u64),
    active: Cache<Fingerprint, Arc<Active>>,
    inactive: Cache<Fingerprint, Moment>,
    /// Tokens that were active before.
    seen: Cache<Fingerprint, ()>,
}

/// What was known of a token before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing: anybody can have invented it.
    Stranger,
    /// It was active.
    Known,
}

/// What is known of a token.
pub(super) enum Known {
    Active(Arc<Active>),
    /// It was not active when that was asked.
    Inactive(Moment),
}

impl Answers {
    /// The most tokens that are remembered not to be active, or to have been: some 8 MiB each.
    const MOST_INACTIVE: u64 = 65_536;
    const MOST_SEEN: u64 = 65_536;
    /// How long a token is known to have been active.
    const SEEN_FOR: Duration = Duration::from_hours(1);

    pub(super) fn new(bytes: u64, ttl: Duration, negative_ttl: Duration) -> Self {
        let random = RandomState::new();
        Self {
            keys: (random.hash_one(1_u8), random.hash_one(2_u8)),
            active: Cache::builder()
                .weigher(|_, active: &Arc<Active>| active.weight())
                .max_capacity(bytes)
                .time_to_live(ttl)
                .build(),
            inactive: Cache::builder()
                .max_capacity(Self::MOST_INACTIVE)
                .time_to_live(negative_ttl)
                .build(),
            seen: Cache::builder()
                .max_capacity(Self::MOST_SEEN)
                .time_to_idle(Self::SEEN_FOR)
                .build(),
        }
    }

    pub(super) fn fingerprint(&self, token: &str) -> Fingerprint {
        let mut hasher = SipHasher24::new_with_keys(self.keys.0, self.keys.1);
        hasher.write(token.as_bytes());
        let hash = hasher.finish128();
        Fingerprint(hash.h1, hash.h2)
    }

    pub(super) fn standing(&self, token: Fingerprint) -> Standing {
        match self.seen.contains_key(&token) {
            true => Standing::Known,
            false => Standing::Stranger,
        }
    }

    /// Notes that it is active.
    pub(super) fn see(&self, token: Fingerprint) {
        self.seen.insert(token, ());
    }

    pub(super) fn get(&self, token: Fingerprint) -> Option<Known> {
        if let Some(active) = self.active.get(&token) {
            return Some(Known::Active(active));
        }
        self.inactive.get(&token).map(Known::Inactive)
    }

    pub(super) fn keep_active(&self, token: Fingerprint, active: Arc<Active>) {
        self.inactive.invalidate(&token);
        self.active.insert(token, active);
    }

    pub(super) fn keep_inactive(&self, token: Fingerprint, asked: Moment) {
        self.active.invalidate(&token);
        self.inactive.insert(token, asked);
    }

    pub(super) fn doubt(&self, token: Fingerprint) {
        if let Some(active) = self.active.get(&token) {
            active.doubt();
        }
    }

    pub(super) fn forget(&self, token: Fingerprint) {
        self.active.invalidate(&token);
        self.inactive.invalidate(&token);
    }

    /// How many answers are kept, and how many of tokens that are not active; both about.
    pub(super) fn counts(&self) -> (u64, u64) {
        self.active.run_pending_tasks();
        self.inactive.run_pending_tasks();
        (self.active.entry_count(), self.inactive.entry_count())
    }

    /// The bytes that answers take, about.
    pub(super) fn bytes(&self) -> u64 {
        self.active.weighted_size()
    }
}
