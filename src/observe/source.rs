//! What an observer is told of a source of revocation.

use std::time::Duration;

use crate::time::Timestamp;

/// Something that happened to a source of revocation: see [`crate::revocation`].
///
/// Of status lists ([`crate::revocation::StatusLists`]) there is one event after each fetch of one,
/// [`SourceEventKind::Synchronised`] or [`SourceEventKind::Failed`]; and one after a failed fetch of a
/// document that names lists. How each list is doing tell [`crate::revocation::StatusListHealth`]s.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SourceEvent<'a> {
    /// Its name, from the configuration, or `status_lists`: fit for a metric label.
    pub source: &'a str,
    /// What happened.
    pub kind: SourceEventKind<'a>,
    /// Since its last good synchronisation, or since the last good fetch of the status list that the
    /// event is about; `None`: there was none.
    pub age: Option<Duration>,
    /// How many records the server keeps, of all sources; `None` of status lists, which are no records.
    pub records: Option<usize>,
    /// When, by the server's clock.
    pub at: Timestamp,
}

/// What happened to a source of revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceEventKind<'a> {
    /// Records count from now on.
    #[non_exhaustive]
    Applied {
        /// How many.
        records: usize,
        /// Received minus happened, of the newest of them.
        lag: Option<Duration>,
    },
    /// Records had no effect: they are about issuers that the source does not speak for, or name what
    /// no token is looked at for.
    #[non_exhaustive]
    Ignored {
        /// How many.
        records: usize,
    },
    /// Something was received and thrown away, as its standard wants it.
    #[non_exhaustive]
    Discarded {
        /// Why, for a log. It holds no secret.
        why: &'a str,
    },
    /// Everything is known that was to be known; of status lists: one was fetched, or found unchanged.
    Synchronised,
    /// Something went wrong.
    #[non_exhaustive]
    Failed {
        /// What, for a log. It holds no secret.
        error: &'a str,
    },
}

impl SourceEventKind<'_> {
    /// A short name in snake case, for logs and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied { .. } => "applied",
            Self::Ignored { .. } => "ignored",
            Self::Discarded { .. } => "discarded",
            Self::Synchronised => "synchronised",
            Self::Failed { .. } => "failed",
        }
    }
}
