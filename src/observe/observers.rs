//! All observers of one server, and the log.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::decision::{DecidedBy, Decision, SenderBinding};
use super::{Ending, HashKey, Observer, SourceEvent, TokenHash};
use crate::error::{RejectionKind, Step};
use crate::name::{ClientId, IssuerId, JwtId};
use crate::time::Timestamp;

/// Everybody who is told of the decisions of one server.
#[derive(Default)]
pub(crate) struct Observers {
    observers: Vec<Arc<dyn Observer>>,
    key: Option<HashKey>,
    endings: Vec<Ending>,
    /// When exceptions are reported next, in seconds since the epoch.
    next_report: AtomicU64,
    panicked: AtomicBool,
}

impl Observers {
    /// Between two reports of exceptions.
    const REPORT_EVERY: Duration = Duration::from_hours(1);
    /// From when on the end of an exception is warned of.
    const WARN_BEFORE_DAYS: u64 = 30;

    pub(crate) fn new(
        observers: Vec<Arc<dyn Observer>>,
        key: Option<HashKey>,
        endings: Vec<Ending>,
    ) -> Self {
        Self { observers, key, endings, ..Self::default() }
    }

    /// What tells this token apart; `None` if there is no key.
    pub(crate) fn hash(&self, issuer: &IssuerId, jwt_id: &JwtId) -> Option<TokenHash> {
        Some(self.key.as_ref()?.hash(issuer, jwt_id))
    }

    /// Tells everybody, and the log.
    pub(crate) fn tell(&self, decision: Decision<'_>) {
        let decision = Decision { key: self.key.as_ref(), ..decision };
        // Whoever reads the log wants one line a decision, with its reason and what to do about it.
        tracing::debug!(
            target: "portcullis::decision",
            outcome = decision.outcome.as_str(),
            decided_by = decision.decided_by.as_str(),
            kind = decision.kind.map(RejectionKind::as_str),
            step = decision.step().map(Step::number),
            route = decision.route,
            issuer = decision.issuer.map(IssuerId::as_str),
            client = decision.client_id.map(ClientId::as_str),
            class = decision.class,
            binding = decision.binding.map(SenderBinding::as_str),
            exception = decision.exception,
            expires_in = decision.expires_in.map(|left| left.as_secs()),
            token = decision.token_hash().map(tracing::field::display),
            micros = u64::try_from(decision.duration().as_micros()).unwrap_or(u64::MAX),
            reason = decision.reason,
            advice = decision.kind.map(RejectionKind::advice),
        );
        for observer in &self.observers {
            self.guarded(|| observer.observe(&decision));
        }
        // A refusal further in can be of long ago: a handler may keep its access for hours.
        if decision.decided_by == DecidedBy::Guard {
            self.report_exceptions(decision.at);
        }
    }

    /// Tells everybody what happened to a source of revocation.
    pub(crate) fn tell_source(&self, event: &SourceEvent<'_>) {
        for observer in &self.observers {
            self.guarded(|| observer.revocation(event));
        }
    }

    /// Reports how exceptions stand, if that is due.
    pub(crate) fn report_exceptions(&self, now: Timestamp) {
        if self.endings.is_empty() {
            return;
        }
        let due = self.next_report.load(Ordering::Relaxed);
        let next = now.plus(Self::REPORT_EVERY).as_secs();
        // A clock set back must not silence the report for longer than its period.
        let is_due = now.as_secs() >= due || next < due;
        let mine = is_due
            && self
                .next_report
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if !mine {
            return;
        }
        for ending in &self.endings {
            let status = ending.status(now);
            if status.ended {
                tracing::warn!(
                    reason = status.reason,
                    "an exception from the binding policy has ended: remove it"
                );
            } else if status.days_left < Self::WARN_BEFORE_DAYS {
                tracing::warn!(
                    reason = status.reason,
                    days_left = status.days_left,
                    "an exception from the binding policy ends soon"
                );
            }
            for observer in &self.observers {
                self.guarded(|| observer.exception(&status));
            }
        }
    }

    /// A panic of an observer ends here, and is logged once.
    fn guarded(&self, call: impl FnOnce()) {
        let panicked = catch_unwind(AssertUnwindSafe(call)).is_err();
        if panicked && !self.panicked.swap(true, Ordering::Relaxed) {
            tracing::error!("an observer panicked; the request went on");
        }
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observers")
            .field("observers", &self.observers.len())
            .finish_non_exhaustive()
    }
}
