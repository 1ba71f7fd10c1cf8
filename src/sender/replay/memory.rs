use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use super::fingerprint::Keys;
use super::shard::{Counts, Limits, Shard, Verdict};
use super::table::Life;
use super::ticks::Base;
use super::{ReplayAnswer, ReplayEntry, ReplayError, ReplayErrorKind, ReplayStore, Sighting};

/// The replay memory of one process: bounded, and it never forgets what can still be accepted.
///
/// 1. Its memory is set aside when it is made, and handed out by the operating system as it is
///    touched: 45 octets for each entry of its capacity, however many clients there are. Recording
///    allocates nothing, but for a few octets for each client that has all of its share.
/// 2. An entry is a keyed fingerprint of 128 bits; the key is random and of this process.
/// 3. An entry is dropped when the time of day has come to its `expires_at` and as much steady time
///    has passed as it had left: a clock that jumps ahead and comes back lets no replay pass. Both
///    are rounded up to whole seconds.
/// 4. A time of day that is set back to before something was dropped brings back proofs that nobody
///    remembers. Whatever ends when something dropped would have ended is answered with
///    [`ReplayErrorKind::Unavailable`] until that time has passed again, and a warning is logged
///    once.
/// 5. Entries are spread evenly by their fingerprint over at most 64 parts, each with a lock and a
///    limit of its own: its part of the capacity, or of a client's share, and six standard
///    deviations of chance more. So nobody is refused below its number, and with the default
///    numbers at most 5 percent more entries fit, and 14 percent more of one client's. Shares far
///    below 4 096 are less exact. Below a capacity of 8 192 there is one part, and both numbers are
///    exact.
/// 6. Clients are told apart by a keyed hash of 32 bits of the token's issuer and client. Whoever
///    can register many clients has as many shares: eight fill the store, unless
///    [`Self::client_share`] says otherwise.
/// 7. A client that acts for many users gives each of them a sixteenth of its share, and at least
///    1 024 entries of it: a user who floods the memory shuts out itself
///    ([`ReplayErrorKind::SubjectFull`]). A client that acts for itself has its whole share.
pub struct MemoryReplayStore {
    shards: Box<[Mutex<Shard>]>,
    capacity: usize,
    client_share: usize,
    /// `None` where the machine had no randomness to give.
    keys: Option<Keys>,
    base: OnceLock<Base>,
    warned: AtomicBool,
    warned_full: AtomicBool,
}

/// How full a [`ReplayStore`](super::ReplayStore) is, for operators. One of your own starts from the
/// default, and says what it knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplayHealth {
    /// Entries, with those that are over and not yet dropped.
    pub entries: usize,
    /// How many entries fit.
    pub capacity: usize,
    /// How many entries one client may have.
    pub client_share: usize,
    /// How much of its share a client has at most, in percent.
    pub fullest_share_percent: u32,
    /// How often something was used that was used before, since the start.
    pub repeated: u64,
    /// How often a client was refused for its share, since the start.
    pub client_full: u64,
    /// How often a subject was refused for its share of what its client has, since the start.
    pub subject_full: u64,
    /// How often a use was refused for want of room, since the start.
    pub store_full: u64,
    /// How often a use was refused since the clock was set back over it, since the start.
    pub forgotten: u64,
}

/// A window of 70 seconds at fifteen thousand requests a second; 45 MB when full.
const DEFAULT_CAPACITY: usize = 1 << 20;
/// 12 GB when full: more is a mistake.
const MOST_ENTRIES: usize = 1 << 28;
/// Locks that a few dozen threads seldom meet at.
const MOST_SHARDS: usize = 64;
/// Fourteen requests a second of one user, for a window of a minute.
const LEAST_OF_A_SUBJECT: usize = 1_024;
/// Fewer in a shard, and chance would weigh too much.
const LEAST_IN_SHARD: usize = 4_096;

impl MemoryReplayStore {
    /// Room for 2^20 entries: see [`Self::with_capacity`].
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(DEFAULT_CAPACITY)
    }

    /// Room for so many entries, between 1 and 2^28; a client may have an eighth of them.
    ///
    /// What is needed: requests a second, times the seconds for which a proof is accepted. That is its
    /// age and the leeway, 70 seconds unless said otherwise; with nonces it is their lifetime, 5 minutes
    /// unless said otherwise. So these requests a second fit, in all, of one client, and of one of its
    /// users:
    ///
    /// | capacity | without nonces | with nonces of 5 minutes |
    /// |---|---|---|
    /// | 2^20 | 15 000, 1 870, 117 | 3 500, 437, 27 |
    /// | 2^23 | 120 000, 15 000, 936 | 28 000, 3 500, 218 |
    #[must_use]
    pub fn with_capacity(entries: usize) -> Self {
        let capacity = entries.clamp(1, MOST_ENTRIES);
        let shards = 1 << (capacity / LEAST_IN_SHARD).clamp(1, MOST_SHARDS).ilog2();
        let keys = Keys::random();
        if keys.is_none() {
            tracing::error!("no randomness for a replay memory: it refuses every request with 503");
        }
        let client_share = (capacity / 8).max(1);
        let limits = limits(capacity, client_share, shards);
        // Three quarters full with its part of the capacity, and never quite full with chance.
        let part = capacity.div_ceil(shards);
        let slots = part.saturating_add(part / 3).saturating_add(2);
        let shard = |_| Mutex::new(Shard::new(slots, limits));
        Self {
            shards: (0..shards).map(shard).collect(),
            capacity,
            client_share,
            keys,
            base: OnceLock::new(),
            warned: AtomicBool::new(false),
            warned_full: AtomicBool::new(false),
        }
    }

    /// So many entries for one client, between 1 and the capacity. A client that is refused for its
    /// share takes nothing from the others. For a service with one client: the capacity.
    #[must_use]
    pub fn client_share(mut self, entries: usize) -> Self {
        self.client_share = entries.clamp(1, self.capacity);
        let limits = limits(self.capacity, self.client_share, self.shards.len());
        for shard in &mut self.shards {
            shard.get_mut().unwrap_or_else(PoisonError::into_inner).limit_owners(limits);
        }
        self
    }

    /// How many entries there are, with those that are over and not yet dropped.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).entries()).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How full it is. It takes each lock in turn: ask now and then.
    #[must_use]
    pub fn health(&self) -> ReplayHealth {
        let (mut entries, mut fullest, mut all) = (0_usize, 0, Counts::default());
        for shard in &self.shards {
            let shard = lock(shard);
            entries = entries.saturating_add(shard.entries());
            fullest = fullest.max(shard.fullest_owner_percent());
            all = all.plus(shard.counts());
        }
        ReplayHealth {
            entries,
            capacity: self.capacity,
            client_share: self.client_share,
            fullest_share_percent: fullest,
            repeated: all.repeated,
            client_full: all.client_full,
            subject_full: all.subject_full,
            store_full: all.store_full,
            forgotten: all.forgotten,
        }
    }

    fn record_now(&self, entry: &ReplayEntry<'_>) -> Result<Sighting, ReplayError> {
        if entry.expires_at <= entry.now.wall() {
            return Ok(Sighting::Expired);
        }
        let unavailable = |reason| ReplayError::new(ReplayErrorKind::Unavailable, reason);
        let Some(keys) = &self.keys else {
            return Err(unavailable("there was no randomness to make a replay memory with"));
        };
        let fingerprint = keys.fingerprint(entry);
        let base = self.base.get_or_init(|| Base::of(entry.now));
        let life = Life { owner: keys.owner(entry), end: base.end(entry.expires_at, entry.now) };
        let Some(shard) = self.shards.get(fingerprint.part(self.shards.len())) else {
            return Err(unavailable("the replay memory has no such part"));
        };
        let verdict = lock(shard).record(fingerprint, life, base.now(entry.now));
        let full = |kind, reason, seconds: u32| {
            if !self.warned_full.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    capacity = self.capacity,
                    client_share = self.client_share,
                    "{reason}: such requests get 503; `ReplayHealth` counts them, \
                     `MemoryReplayStore::with_capacity` says how much is needed"
                );
            }
            let wait = Duration::from_secs(u64::from(seconds));
            Err(ReplayError::new(kind, reason).retry_after(wait))
        };
        match verdict {
            Verdict::First => Ok(Sighting::First),
            Verdict::Repeated => Ok(Sighting::Repeated),
            Verdict::ClientFull(seconds) => full(
                ReplayErrorKind::ClientFull,
                "the client's share of the replay memory is full of entries that are alive",
                seconds,
            ),
            Verdict::SubjectFull(seconds) => full(
                ReplayErrorKind::SubjectFull,
                "the subject's part of its client's share of the replay memory is full of entries \
                 that are alive",
                seconds,
            ),
            Verdict::Full(seconds) => full(
                ReplayErrorKind::StoreFull,
                "the replay memory is full of entries that are alive",
                seconds,
            ),
            Verdict::Forgotten => {
                if !self.warned.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        "the time of day was set back: what was used then cannot be told from what \
                         was not, and is refused with 503 until that time has passed again"
                    );
                }
                Err(unavailable("the time of day was set back to before what was forgotten ended"))
            }
        }
    }
}

impl ReplayStore for MemoryReplayStore {
    fn record(&self, entry: &ReplayEntry<'_>) -> ReplayAnswer {
        self.record_now(entry).into()
    }

    fn occupancy(&self) -> Option<ReplayHealth> {
        Some(self.health())
    }
}

/// [`MemoryReplayStore::new`].
impl Default for MemoryReplayStore {
    fn default() -> Self {
        Self::new()
    }
}

/// Never its keys.
impl fmt::Debug for MemoryReplayStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryReplayStore")
            .field("capacity", &self.capacity)
            .field("client_share", &self.client_share)
            .finish_non_exhaustive()
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The limits of each of these shards.
fn limits(capacity: usize, client_share: usize, shards: usize) -> Limits {
    let all = part(capacity, shards);
    let subject_share = (client_share / 16).max(client_share.min(LEAST_OF_A_SUBJECT));
    let owners = |entries| u32::try_from(part(entries, shards).min(all)).unwrap_or(u32::MAX);
    Limits { all, each_client: owners(client_share), each_subject: owners(subject_share) }
}

/// Of entries that fall into these shards by chance, as many as one of them gets.
fn part(entries: usize, shards: usize) -> usize {
    let even = entries.div_ceil(shards);
    match shards {
        1 => even,
        // Six standard deviations of a Poisson distribution, and some more where that is skewed.
        _ => even.saturating_add(even.isqrt().saturating_mul(6)).saturating_add(8),
    }
}
