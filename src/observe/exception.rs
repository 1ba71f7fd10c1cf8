//! What an observer is told of an exception from the binding policy.

use std::sync::Arc;

use crate::time::Timestamp;

/// How an exception from the binding policy stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExceptionStatus<'a> {
    /// Its reason, which is also its name.
    pub reason: &'a str,
    /// When it ends.
    pub until: Timestamp,
    /// Whole days until then; 0 on its last day and after it.
    pub days_left: u64,
    /// Whether it has ended: it lets nobody pass any more.
    pub ended: bool,
}

/// An exception that will end: data for reports.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    pub(crate) reason: Arc<str>,
    pub(crate) until: Timestamp,
}

impl Ending {
    pub(crate) fn status(&self, now: Timestamp) -> ExceptionStatus<'_> {
        let left = self.until.since(now).unwrap_or_default();
        ExceptionStatus {
            reason: &self.reason,
            until: self.until,
            days_left: left.as_secs() / 86_400,
            ended: now >= self.until,
        }
    }
}
