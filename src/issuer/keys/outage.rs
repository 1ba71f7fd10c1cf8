//! Whether an outage of an issuer was seen, through which its keys may outlive their freshness.
//!
//! 1. A fetch that failed has seen one. A fetch that was dropped with its runtime has seen nothing: it neither
//!    begins an outage nor ends one.
//! 2. What was seen counts for [`SEEN_FOR`], by the clock that shows the longer time: a machine that was
//!    suspended since, and a runtime that ended, have not looked again.
//! 3. A fetch in the middle of which the machine was suspended fails long after the question: what it saw is
//!    as old as that.
//! 4. A fetch that succeeds ends it.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;

use crate::issuer::fetch::{KeyFetchError, LONGEST};
use crate::time::Moment;

/// How long an outage counts that nobody looked at again. While one goes on, a fetch fails at least every 85
/// seconds: the longest backoff, and the longest fetch. Twice that, since one can be dropped in between.
const SEEN_FOR: Duration = Duration::from_mins(3);

/// What the last fetches of an issuer's keys saw. Asked without a lock.
#[derive(Default)]
pub(super) struct Outage(ArcSwapOption<Failed>);

#[derive(Clone, Copy)]
struct Failed {
    /// When the last fetch that did not succeed ended, whatever the reason.
    last: Moment,
    /// When the issuer was last found to be away.
    seen: Option<Moment>,
}

impl Outage {
    /// Notes the end of a fetch.
    pub(super) fn landed(&self, result: Result<(), &KeyFetchError>, began: Moment, ended: Moment) {
        let failed = result.err().map(|error| {
            let last = if ended.since(began) > LONGEST { began } else { ended };
            let seen = match error {
                KeyFetchError::Dropped | KeyFetchError::NoRuntime => {
                    self.0.load().as_ref().and_then(|before| before.seen)
                }
                _ => Some(last),
            };
            Arc::new(Failed { last, seen })
        });
        self.0.store(failed);
    }

    /// Whether the issuer was found to be away, and not long ago.
    pub(super) fn is_seen(&self, at: Moment) -> bool {
        let seen = self.0.load().as_ref().and_then(|failed| failed.seen);
        seen.is_some_and(|seen| at.since(seen) <= SEEN_FOR)
    }

    /// Whether the backoff that ends at this steady time is over by the time of day: a machine that was
    /// suspended has waited too.
    pub(super) fn is_rested(&self, at: Moment, not_before: Duration) -> bool {
        let failed = self.0.load();
        failed.as_ref().is_some_and(|failed| {
            at.since(failed.last) >= not_before.saturating_sub(failed.last.steady())
        })
    }
}
