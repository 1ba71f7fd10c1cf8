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
//!    it ends there. One that is slow delays all the same: hand over to [`channel()`].
//!
//! Each decision is also a `tracing` event of level `debug`, target `portcullis::decision`: that of a
//! refusal says what was found and wanted (`reason`) and what to do ([`crate::RejectionKind::advice`]).
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
mod decision;
mod exception;
mod hash;
#[cfg(feature = "metrics")]
mod metrics;
mod observers;
mod source;

use std::sync::Arc;

#[cfg(feature = "metrics")]
pub use self::metrics::MetricsObserver;
pub use channel::{ChannelObserver, DecisionReceiver, DecisionRecord, channel};
pub(crate) use decision::Took;
pub use decision::{DecidedBy, Decision, DecisionOutcome, SenderBinding};
pub(crate) use exception::Ending;
pub use exception::ExceptionStatus;
pub(crate) use hash::HashKey;
pub use hash::TokenHash;
pub(crate) use observers::Observers;
pub use source::{SourceEvent, SourceEventKind};

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
