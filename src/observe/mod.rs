//! Observing: one event per decision, for logs, metrics and reactions of your own.
//!
//! 1. Every decision of a `Protect` or a [`crate::Guard`] ends in exactly one [`Decision`], also
//!    one that had to wait. A refusal below it (a [`crate::layer::require`], an extractor, a
//!    handler) is an event of its own, with its [`DecidedBy`]. A request that its client gives up
//!    while it waits was not decided, and is no event.
//! 2. It holds no token and no proof. What tells tokens apart is a keyed hash of issuer and `jti`
//!    ([`Decision::token_hash`]), made when it is asked for.
//! 3. Sets of labels are bounded: outcome, kind, route and class come from the configuration. The
//!    issuer is named only if it is trusted, the client only if the signature was good.
//! 4. An observer neither delays nor fails a request: it is called without waiting, and a panic of
//!    it ends there. One that is slow delays all the same: hand over to [`channel`].
//!
//! Each decision is also a `tracing` event of level `debug`, target `portcullis::decision`: that of a
//! refusal says what was found and wanted (`reason`) and what to do ([`RejectionKind::advice`]).
//! [`MetricsObserver`] (feature `metrics`) feeds the `metrics` facade.
//!
//! ```
//! use portcullis::observe::{Decision, DecisionOutcome, Observer};
//!
//! /// Tells an operator who knocks at closed doors.
//! struct Doorman;
//!
//! impl Observer for Doorman {
//!     fn observe(&self, decision: &Decision<'_>) {
//!         if decision.outcome == DecisionOutcome::Refused && decision.client_id.is_some() {
//!             eprintln!("{:?} was refused: {:?}", decision.client_id, decision.kind);
//!         }
//!     }
//! }
//! # let _ = |builder: portcullis::ServerBuilder| builder.observer(Doorman);
//! ```

mod channel;
mod hash;
#[cfg(feature = "metrics")]
mod metrics;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

#[cfg(feature = "metrics")]
pub use self::metrics::MetricsObserver;
pub use channel::{ChannelObserver, DecisionReceiver, DecisionRecord, channel};
pub(crate) use hash::HashKey;
pub use hash::TokenHash;

use crate::error::{Outcome, Rejection, RejectionKind, Step};
use crate::name::{ClientId, IssuerId, JwtId};
use crate::time::{Clock, Timestamp};

/// Is told of every decision.
///
/// It is called on the task of the request, after the decision and before the answer: count, or
/// hand over, and return. What it does not see: tokens, proofs, claims, bodies.
pub trait Observer: Send + Sync + 'static {
    /// A request was decided.
    fn observe(&self, decision: &Decision<'_>);

    /// A source of revocation told something, or failed to; or a status list was fetched, or was
    /// not.
    fn revocation(&self, event: &SourceEvent<'_>) {
        let _ = event;
    }

    /// How an exception from the binding policy stands: when the server is built, and about once
    /// an hour while requests come.
    fn exception(&self, exception: &ExceptionStatus<'_>) {
        let _ = exception;
    }
}

impl<O: Observer + ?Sized> Observer for Arc<O> {
    fn observe(&self, decision: &Decision<'_>) {
        (**self).observe(decision);
    }

    fn revocation(&self, event: &SourceEvent<'_>) {
        (**self).revocation(event);
    }

    fn exception(&self, exception: &ExceptionStatus<'_>) {
        (**self).exception(exception);
    }
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DecisionOutcome {
    /// The token was accepted.
    Accepted,
    /// There was no token, and the policy wants none.
    Anonymous,
    /// "No": 400, 401 or 403.
    Refused,
    /// "Cannot tell now": 503.
    Unavailable,
    /// Mounted or configured wrongly: 500.
    Misconfigured,
}

impl DecisionOutcome {
    /// A short name in snake case, for logs and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Anonymous => "anonymous",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
            Self::Misconfigured => "misconfigured",
        }
    }
}

impl From<Outcome> for DecisionOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Refused => Self::Refused,
            Outcome::Unavailable => Self::Unavailable,
            Outcome::Misconfigured => Self::Misconfigured,
        }
    }
}

/// Who decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DecidedBy {
    /// A `Protect`, or a [`crate::Guard`]: the whole decision.
    Guard,
    /// A [`crate::layer::require`] below it.
    Require,
    /// An extractor, or [`crate::Access::refuse`] in a handler.
    Handler,
}

impl DecidedBy {
    /// A short name in snake case, for logs and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Guard => "guard",
            Self::Require => "require",
            Self::Handler => "handler",
        }
    }
}

/// How the sender of a token was bound to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SenderBinding {
    /// Not at all: whoever has the token can use it.
    Bearer,
    /// By a key, which a DPoP proof has proven (RFC 9449).
    Dpop,
    /// By a client certificate, whose key the TLS handshake has proven (RFC 8705).
    Mtls,
    /// By both, and both proven.
    DpopAndMtls,
}

impl SenderBinding {
    /// Every one of them, for preregistering metric labels.
    pub const ALL: &'static [Self] = &[Self::Bearer, Self::Dpop, Self::Mtls, Self::DpopAndMtls];

    /// A short name in snake case, for logs and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::Dpop => "dpop",
            Self::Mtls => "mtls",
            Self::DpopAndMtls => "dpop_and_mtls",
        }
    }
}

/// How long a decision took.
#[derive(Clone, Copy)]
pub(crate) enum Took<'a> {
    Nothing,
    /// By this clock, since then.
    Since(&'a dyn Clock, Duration),
}

/// One decision.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Decision<'a> {
    /// What came of it.
    pub outcome: DecisionOutcome,
    /// Who decided.
    pub decided_by: DecidedBy,
    /// Why it was refused.
    pub kind: Option<RejectionKind>,
    /// The name of the policy: see [`crate::Policy::named`].
    pub route: &'a str,
    /// The token's issuer, if it is a trusted one.
    pub issuer: Option<&'a IssuerId>,
    /// Whether that issuer signed the token. Before step 4 the token only claims it.
    pub issuer_proven: bool,
    /// The token's client, once the signature was good.
    pub client_id: Option<&'a ClientId>,
    /// The token class that bounds the token's life, once that was decided.
    pub class: Option<&'a str>,
    /// How the sender was bound, once that was decided.
    pub binding: Option<SenderBinding>,
    /// The reason of the exception that let an unbound token pass.
    pub exception: Option<&'a str>,
    /// How much life the token had left, once it was known to be alive.
    pub expires_in: Option<Duration>,
    /// When, by the server's clock.
    pub at: Timestamp,
    pub(crate) took: Took<'a>,
    pub(crate) reason: Option<&'a str>,
    pub(crate) token: Option<(&'a IssuerId, &'a JwtId)>,
    pub(crate) key: Option<&'a HashKey>,
}

impl<'a> Decision<'a> {
    pub(crate) fn new(outcome: DecisionOutcome, decided_by: DecidedBy, route: &'a str) -> Self {
        Self {
            outcome,
            decided_by,
            kind: None,
            route,
            issuer: None,
            client_id: None,
            class: None,
            binding: None,
            exception: None,
            expires_in: None,
            at: Timestamp::EPOCH,
            took: Took::Nothing,
            issuer_proven: false,
            reason: None,
            token: None,
            key: None,
        }
    }

    /// A refusal. `reason` is [`Rejection::told`].
    pub(crate) fn refused(
        rejection: &Rejection,
        reason: &'a str,
        decided_by: DecidedBy,
        route: &'a str,
    ) -> Self {
        Self {
            kind: Some(rejection.kind()),
            reason: Some(reason),
            ..Self::new(rejection.outcome().into(), decided_by, route)
        }
    }

    /// The step that failed.
    #[must_use]
    pub fn step(&self) -> Option<Step> {
        self.kind?.step()
    }

    /// The time since the first look at the request, waits included: ask in [`Observer::observe`], at
    /// once. It reads the clock; who does not ask does not pay for it, and of several observers a later one
    /// sees the time that those before it took as well. Zero of what a layer or a handler below the
    /// decision refuses.
    #[must_use]
    pub fn duration(&self) -> Duration {
        match self.took {
            Took::Nothing => Duration::ZERO,
            Took::Since(clock, started) => clock.steady().saturating_sub(started),
        }
    }

    /// Why it was refused, for operators: the text of the [`crate::Rejection`]. It can hold values
    /// of the request, cut and escaped, and never the token: a log line, no label.
    #[must_use]
    pub fn reason(&self) -> Option<&'a str> {
        self.reason
    }

    /// A keyed hash of the token's issuer and `jti`, once the signature was good: equal for every
    /// use of one token, and of no use to whoever does not have the key. See
    /// [`crate::ServerBuilder::token_hash_key`].
    ///
    /// It costs some microseconds, and only if it is called.
    #[must_use]
    pub fn token_hash(&self) -> Option<TokenHash> {
        let (issuer, jwt_id) = self.token?;
        Some(self.key?.hash(issuer, jwt_id))
    }
}

impl fmt::Debug for Decision<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decision")
            .field("outcome", &self.outcome)
            .field("decided_by", &self.decided_by)
            .field("kind", &self.kind)
            .field("route", &self.route)
            .field("issuer", &self.issuer)
            .field("client_id", &self.client_id)
            .field("class", &self.class)
            .field("binding", &self.binding)
            .field("exception", &self.exception)
            .field("expires_in", &self.expires_in)
            .field("duration", &self.duration())
            .finish_non_exhaustive()
    }
}

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
