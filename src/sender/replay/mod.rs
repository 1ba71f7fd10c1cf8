//! What was used already: DPoP proofs (RFC 9449 §11.1), and tokens that may be used once.
//!
//! 1. A proof is known by its key, its `jti` and its `htu`, so that nobody can use up another's
//!    `jti`; a token by its issuer and its `jti`.
//! 2. Check and insert are one atomic step: of a thousand uses at once, one is the first.
//! 3. What can still be accepted is never forgotten to make room. A full memory says so (503), and
//!    one client cannot fill it for the others, nor one user for the others of its client.
//! 4. An entry of any size costs the same memory: a fingerprint.
//!
//! What it does not do: it looks at no proof and no token, and decides nothing about their age.
//! Whoever records has verified everything else before.

mod dropped;
mod entry;
mod error;
mod fingerprint;
mod memory;
mod owners;
mod shard;
mod table;
mod ticks;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

pub use entry::{ReplayEntry, Used};
pub use error::{ReplayError, ReplayErrorKind};
pub use memory::{MemoryReplayStore, ReplayHealth};

/// Remembers what was used, and tells a first use from a repeated one.
///
/// [`MemoryReplayStore`] is the one of this process. Where several processes serve one resource,
/// each with a memory of its own, a proof can be used once at each of them: they need a store that
/// they share, or proofs with nonces that only one of them takes.
///
/// # What an implementation has to keep
///
/// 1. Check and insert are one atomic step. Two calls at once with one entry are never both
///    [`Sighting::First`]; looking first and writing afterwards is a race that replays win.
/// 2. An entry lives at least until [`ReplayEntry::expires_at`], by every clock that might be set.
///    A store that evicts by age of use, or whatever is oldest when it is full, forgets what can
///    still be accepted: flood it, then replay. A store that is full answers
///    [`ReplayErrorKind::StoreFull`].
/// 3. One client's entries leave room for the others' ([`ReplayErrorKind::ClientFull`]), and one
///    user's for the other users of the same client ([`ReplayErrorKind::SubjectFull`]).
/// 4. What cannot be told is an error, never a first use.
/// 5. An answer other than [`Sighting::First`] leaves no trace.
/// 6. From [`ReplayEntry::expires_at`] on, by the store's own clock, the answer is
///    [`Sighting::Expired`]: the entry that it would repeat may be gone. The server gives entries two
///    seconds more than they can be accepted, for clocks that differ and for the way to the store.
///
/// Servers that share a store have one configuration of DPoP: what one of them would still accept
/// when another has told the store to forget it can be used twice.
///
/// # What mistakes cost
///
/// - A false [`Sighting::First`] lets a replay pass: whoever saw a request can send it again.
/// - A false [`Sighting::Repeated`] refuses an honest client, which has to make a new proof. A token
///   that may be used once is lost.
/// - An error is a 503: the client tries again, with a new proof.
/// - Memory that is lost, with a restart or a failover, makes whatever was used within the last
///   window usable once more. Nonces of the new process, or a store that survives it, help.
///
/// # Time
///
/// [`ReplayAnswer::Later`] has a second; after that the answer is 503.
///
/// # Cancellation
///
/// The future of [`ReplayAnswer::Later`] is dropped when the request is. Whether the entry was
/// recorded is then open, and either is right: nothing was accepted.
///
/// ```
/// use std::time::Duration;
/// use portcullis::name::{IssuerId, Thumbprint};
/// use portcullis::sender::{
///     MemoryReplayStore, ReplayAnswer, ReplayEntry, ReplayStore, Sighting, Used,
/// };
/// use portcullis::time::{Moment, Timestamp};
///
/// let store = MemoryReplayStore::new();
/// let issuer = IssuerId::parse("https://login.example.com")?;
/// let jkt = Thumbprint::of_sha256(&[7; 32]);
/// let used = Used::Proof { jkt: &jkt, jti: "e1j3V_bKic8", htu: "https://api.example.com/notes" };
/// let now = Moment::new(Timestamp::from_secs(1_800_000_000), Duration::ZERO);
/// let expires_at = now.wall().plus(Duration::from_mins(1));
///
/// let entry = ReplayEntry::new(&issuer, None, used, now.wall(), expires_at, now);
/// assert!(matches!(store.record(&entry), ReplayAnswer::Now(Ok(Sighting::First))));
/// assert!(matches!(store.record(&entry), ReplayAnswer::Now(Ok(Sighting::Repeated))));
/// # Ok::<(), portcullis::name::NameError>(())
/// ```
pub trait ReplayStore: Send + Sync + 'static {
    /// Checks and inserts, in one atomic step.
    ///
    /// It is called last, when nothing else can refuse the request any more, and it does not wait:
    /// a store on another machine answers [`ReplayAnswer::Later`], with what it needs of the entry
    /// ([`ReplayEntry::digest`]) taken before.
    fn record(&self, entry: &ReplayEntry<'_>) -> ReplayAnswer;

    /// How full it is, where that can be told here: see [`crate::ResourceServer::replay_health`].
    fn occupancy(&self) -> Option<ReplayHealth> {
        None
    }
}

/// The store that it points to.
impl<S: ReplayStore + ?Sized> ReplayStore for Arc<S> {
    fn occupancy(&self) -> Option<ReplayHealth> {
        S::occupancy(self)
    }

    fn record(&self, entry: &ReplayEntry<'_>) -> ReplayAnswer {
        S::record(self, entry)
    }
}

/// The answer of a [`ReplayStore`], now or later.
#[non_exhaustive]
#[must_use = "a use that nobody looks at is accepted twice"]
pub enum ReplayAnswer {
    /// It is known.
    Now(Result<Sighting, ReplayError>),
    /// It has to be asked for.
    Later(ReplayFuture),
}

/// The future of [`ReplayAnswer::Later`].
pub type ReplayFuture = Pin<Box<dyn Future<Output = Result<Sighting, ReplayError>> + Send>>;

impl From<Result<Sighting, ReplayError>> for ReplayAnswer {
    fn from(answer: Result<Sighting, ReplayError>) -> Self {
        Self::Now(answer)
    }
}

impl fmt::Debug for ReplayAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now(answer) => f.debug_tuple("Now").field(answer).finish(),
            Self::Later(_) => f.write_str("Later(..)"),
        }
    }
}

/// How often something was seen, as far as a [`ReplayStore`] can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Sighting {
    /// This is its first use. It is recorded.
    First,
    /// It was used before: the request is refused.
    Repeated,
    /// [`ReplayEntry::expires_at`] has come: it cannot be accepted any more, used or not. Nothing is
    /// recorded, and the request is refused for its age.
    Expired,
}
