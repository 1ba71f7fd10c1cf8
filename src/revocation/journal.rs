//! What was said, on disk.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::record::Record;
use super::source::Batch;
use crate::time::Timestamp;

/// STAND-IN
#[derive(Debug)]
pub struct Journal(());

/// STAND-IN
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// STAND-IN
    #[error("stand-in")]
    StandIn,
}

/// What was kept of a source.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeptSource {
    pub(crate) synchronised: Option<Timestamp>,
    pub(crate) state: Option<Arc<[u8]>>,
}

/// What one source says, as it has to be kept.
pub(crate) struct Entry<'a> {
    pub(crate) source: &'a str,
    /// Only records that count.
    pub(crate) batch: &'a Batch,
}

impl Journal {
    /// STAND-IN
    ///
    /// # Errors
    /// STAND-IN
    pub fn open(path: impl AsRef<Path>) -> Result<Self, JournalError> {
        let _ = path;
        Err(JournalError::StandIn)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        Path::new("")
    }

    /// Every record that is kept.
    pub(crate) fn load(&self, each: &mut dyn FnMut(Record)) -> Result<(), JournalError> {
        let _ = each;
        Err(JournalError::StandIn)
    }

    /// What was kept of this source.
    pub(crate) fn source(&self, name: &str) -> Result<KeptSource, JournalError> {
        let _ = name;
        Err(JournalError::StandIn)
    }

    /// The longest that a token may live, for which records were kept so far.
    pub(crate) fn longest_life(&self) -> Result<Option<Duration>, JournalError> {
        Err(JournalError::StandIn)
    }

    /// From now on records are kept for tokens that live so long.
    pub(crate) fn set_longest_life(&self, life: Duration) -> Result<(), JournalError> {
        let _ = life;
        Err(JournalError::StandIn)
    }

    /// Stores all of it, or nothing; it is on disk when this returns. It blocks.
    pub(crate) fn commit(&self, entries: &[Entry<'_>]) -> Result<(), JournalError> {
        let _ = entries;
        Err(JournalError::StandIn)
    }

    /// Drops what can matter no more: tokens whose `until` has come, cut-offs older than `life`. It
    /// blocks, for a bounded time; tells how many went.
    pub(crate) fn purge(&self, now: Timestamp, life: Duration) -> Result<usize, JournalError> {
        let _ = (now, life);
        Err(JournalError::StandIn)
    }
}
