//! Who says what is revoked, and what is done with it.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::inlet::Inlet;
use super::journal::JournalError;
use super::record::Record;
use crate::time::{Clock, Moment, Timestamp};
use crate::transport::Transport;

/// Something that knows what is revoked: an event stream, a feed, or one of your own.
///
/// A false record refuses tokens that are good; a record that is never told lets revoked tokens pass
/// until they expire. A source that says [`SourceHandle::synchronised`] too early is believed: tokens
/// then pass as if nothing had been revoked.
pub trait RevocationSource: Send + Sync + 'static {
    /// Runs until it is dropped, telling `handle` what it learns. It is started with
    /// [`crate::ResourceServer::warm_up`] or the first request, in a tokio task of its own, and dropped
    /// with the last handle of the server. One that ends or panics is started again after a second,
    /// then after two, and at most a minute.
    fn run(&self, handle: SourceHandle) -> Running<'_>;
}

/// The future of [`RevocationSource::run`].
pub type Running<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

impl<S: RevocationSource + ?Sized> RevocationSource for Arc<S> {
    fn run(&self, handle: SourceHandle) -> Running<'_> {
        (**self).run(handle)
    }
}

/// What a source tells at once: it is stored whole, or not at all.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Batch {
    /// What is to be known.
    pub records: Vec<Record>,
    /// What the source wants to find again after a restart, such as the number of the last document.
    /// `None` leaves what there is.
    pub state: Option<Box<[u8]>>,
    /// When everything up to then is known with this batch: see [`SourceHandle::synchronised`].
    pub synchronised: Option<Moment>,
    /// When the newest of what it tells happened, for the lag.
    pub newest: Option<Timestamp>,
}

impl Batch {
    /// These records.
    #[must_use]
    pub fn of(records: impl IntoIterator<Item = Record>) -> Self {
        Self { records: records.into_iter().collect(), ..Self::default() }
    }

    /// With what to find again after a restart.
    #[must_use]
    pub fn state(mut self, state: impl Into<Box<[u8]>>) -> Self {
        self.state = Some(state.into());
        self
    }

    /// With everything known up to this moment: the one in which the question was asked, not that of
    /// the answer.
    #[must_use]
    pub fn synchronised(mut self, asked: Moment) -> Self {
        self.synchronised = Some(asked);
        self
    }

    /// With the time at which the newest of what it tells happened.
    #[must_use]
    pub fn newest(mut self, at: Timestamp) -> Self {
        self.newest = Some(at);
        self
    }
}

/// What became of a [`Batch`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// Records that count now, those that said what was known among them.
    pub applied: usize,
    /// Records about issuers that the source does not speak for. They had no effect.
    pub foreign: usize,
    /// Records that name a claim that the server does not look at, or that cannot be. They had no effect,
    /// and have none at another time.
    pub unusable: usize,
}

/// Why a [`Batch`] was not taken. Nothing of it counts, and it must not be acknowledged.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// There is no room for it: see [`super::Revocation::max_records`]. Nothing that still matters is ever
    /// dropped for it.
    #[error(
        "no room: {records} records are kept, {most} is the most; allow more with `Revocation::max_records`"
    )]
    #[non_exhaustive]
    Full {
        /// How many there are.
        records: usize,
        /// How many there may be.
        most: usize,
    },
    /// The time of a record is more than five minutes ahead, by the server's clock: one of the two clocks is
    /// wrong, or the record is. Tell the batch again later: it is taken once that time has come. Records that
    /// have no effect at any time, as those about foreign issuers, keep no batch from being taken.
    #[error(
        "a record is from the future: of {at}, and it is {now} here; more than five minutes ahead is not \
         taken yet"
    )]
    #[non_exhaustive]
    Early {
        /// When it happened, as it says.
        at: Timestamp,
        /// The server's time.
        now: Timestamp,
    },
    /// It could not be stored.
    #[error("{0}")]
    Journal(#[from] Arc<JournalError>),
    /// The server is gone.
    #[error("the server has ended")]
    Ended,
}

/// What a source has of the server.
#[derive(Clone)]
pub struct SourceHandle {
    pub(super) inlet: Arc<Inlet>,
}

impl SourceHandle {
    /// Stores and applies a batch. After it the next request sees it, and where there is a journal it
    /// is on disk: only then may a sender be told that it was received.
    ///
    /// Dropped while it waits, it may have been applied or not; the same batch again does no harm.
    ///
    /// # Errors
    /// See [`ApplyError`]. The source counts as failing until a batch is taken.
    pub async fn apply(&self, batch: Batch) -> Result<Applied, ApplyError> {
        self.inlet.apply(batch).await
    }

    /// Everything that was to be known at `asked` is known: its age begins then. For a source that
    /// asks, that is when it asked. After a restart only that of a [`Batch`] is known.
    pub fn synchronised(&self, asked: Moment) {
        self.inlet.synchronised(asked);
    }

    /// Something went wrong. What is known stays known, and grows older.
    pub fn failed(&self, error: impl Into<Cow<'static, str>>) {
        self.inlet.failed(error.into());
    }

    /// Something was received that could not be used, and was thrown away as its standard wants it.
    pub fn discarded(&self, why: impl Into<Cow<'static, str>>) {
        self.inlet.discarded(why.into());
    }

    /// What the last batch with a state left, also before a restart where there is a journal.
    #[must_use]
    pub fn state(&self) -> Option<Arc<[u8]>> {
        self.inlet.state()
    }

    /// How old what this source knows may become. A source asks again well before.
    #[must_use]
    pub fn max_age(&self) -> Duration {
        self.inlet.max_age()
    }

    /// The server's clock.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        self.inlet.clock()
    }

    /// The server's way out; `None` where none was needed at the build.
    #[must_use]
    pub fn transport(&self) -> Option<&Arc<dyn Transport>> {
        self.inlet.transport()
    }

    /// The name of the source.
    #[must_use]
    pub fn name(&self) -> &str {
        self.inlet.name()
    }
}

impl fmt::Debug for SourceHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceHandle").field("name", &self.name()).finish_non_exhaustive()
    }
}
