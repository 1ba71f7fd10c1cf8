use std::borrow::Cow;
use std::time::Duration;

use crate::error::Unavailable;

/// Why a [`ReplayStore`](super::ReplayStore) cannot tell a first use from a repeated one: 503 with
/// `Retry-After`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
#[must_use = "without an answer from the store nothing can be accepted"]
pub struct ReplayError {
    kind: ReplayErrorKind,
    reason: Cow<'static, str>,
    retry_after: Duration,
}

/// What keeps a store from answering. `Copy` and bounded: fit for a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReplayErrorKind {
    /// The client's share of the store is full of entries that are alive. Others go on.
    ClientFull,
    /// The subject's share of what its client has is full. Others of the same client go on.
    SubjectFull,
    /// The store is full of entries that are alive.
    StoreFull,
    /// The store cannot be reached, or does not know.
    Unavailable,
}

impl ReplayErrorKind {
    /// Every one of them, for preregistering metric labels.
    pub const ALL: &'static [Self] =
        &[Self::ClientFull, Self::SubjectFull, Self::StoreFull, Self::Unavailable];

    /// A short name in snake case, for logs and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientFull => "client_full",
            Self::SubjectFull => "subject_full",
            Self::StoreFull => "store_full",
            Self::Unavailable => "unavailable",
        }
    }
}

impl ReplayError {
    /// `reason` is for operators only. It never reaches the client.
    pub fn new(kind: ReplayErrorKind, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, reason: reason.into(), retry_after: Unavailable::RETRY_AFTER }
    }

    /// When the client may try again, with a new proof; sent in whole seconds, rounded up, at
    /// least 1.
    pub fn retry_after(mut self, time: Duration) -> Self {
        self.retry_after = time;
        self
    }

    /// What keeps the store from answering.
    #[must_use]
    pub fn kind(&self) -> ReplayErrorKind {
        self.kind
    }

    /// Why, for operators.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// When the client may try again.
    #[must_use]
    pub fn retry_after_time(&self) -> Duration {
        self.retry_after
    }
}
