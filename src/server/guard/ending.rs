//! How a decision ends: it is told to the observers once, whatever it was.

use std::sync::Arc;
use std::time::Duration;

use super::{Decided, Guard, Inner, UNDECIDED};
use crate::access::{Access, Facts};
use crate::check::{CheckContext, allow_all};
use crate::credentials::RequestHead;
use crate::error::{Refusal, Rejection, RejectionKind};
use crate::issuer::{Attempt, Remedy};
use crate::observe::{DecidedBy, Decision, DecisionOutcome, Took};
use crate::server::asking::Answered;
use crate::server::recording::Admission;
use crate::time::Moment;
use crate::verify::{Look, RouteRules, Stop, Trace, refused_by_check};

impl Guard {
    /// Ends a decision that had async checks. What they said came later than the rest was decided:
    /// everything that time, a record or an issuer can have changed is decided once more.
    pub(crate) fn settle(
        &self,
        head: RequestHead<'_>,
        answered: Answered,
    ) -> Result<Decided, Rejection> {
        let Some(decided) = answered.decided else {
            // INVARIANT: it is polled to its end once.
            let at = self.inner.shared.clock.moment();
            let refusal = Refusal::new(RejectionKind::Misconfigured, UNDECIDED);
            return Err(self.reject(refusal, &Trace::default(), at, at.steady()));
        };
        match answered.answer {
            Err(error) => {
                let at = self.inner.shared.clock.moment();
                let Decided { access, mut trace, started, .. } = decided;
                trace.facts = Some(Arc::clone(access.facts()));
                let request = CheckContext::new(&access, head, at.wall());
                let refusal = refused_by_check(error, &request, self.context());
                Err(self.reject(refusal, &trace, at, started))
            }
            Ok(()) => self.decide_again(head, decided, Checks::Again),
        }
    }

    /// Decides once more about a request that waited: its token may have ended meanwhile, or been revoked,
    /// and its issuer or its key may be gone. Nobody waits twice.
    fn decide_again(
        &self,
        head: RequestHead<'_>,
        decided: Decided,
        checks: Checks,
    ) -> Result<Decided, Rejection> {
        let Inner { shared, policy, context, .. } = &*self.inner;
        let Decided { access, basis, found, mut trace, started, .. } = decided;
        let at = shared.clock.moment();
        let none = allow_all();
        let route = policy.rules(context);
        let route = match checks {
            Checks::Again => route,
            Checks::Before => RouteRules { check: &none, ..route },
        };
        let look = Look { route, at, found: &found };
        match shared.rules.decide_again((access, basis), head, look, &mut trace) {
            Ok((access, basis)) => Ok(Decided { access, basis, found, trace, at, started }),
            Err(stop) => Err(self.reject(too_late(stop, at), &trace, at, started)),
        }
    }

    /// Nothing can refuse any more.
    pub(in crate::server) fn accept(&self, decided: Decided) -> Access {
        let Decided { access, trace, at, started, .. } = decided;
        self.tell(DecisionOutcome::Accepted, Some(access.facts()), &trace, at, started);
        access
    }

    /// Lets a request pass that had to wait for something else after it was decided, if it would still
    /// be decided so.
    pub(crate) fn admit_late(&self, head: RequestHead<'_>, decided: Decided) -> Admission {
        match self.decide_again(head, decided, Checks::Again) {
            Ok(decided) => self.admit(decided),
            Err(rejection) => Admission::Done(Err(rejection)),
        }
    }

    /// Lets a request pass that had to wait for a replay memory, if it would still be decided so. The
    /// policy's checks were asked just before.
    pub(crate) fn admit_recorded(
        &self,
        head: RequestHead<'_>,
        recorded: Result<Decided, Rejection>,
    ) -> Result<Access, Rejection> {
        let decided = self.decide_again(head, recorded?, Checks::Before)?;
        Ok(self.accept(decided))
    }

    /// A refusal of what everything before said yes to.
    pub(in crate::server) fn reject_decided(
        &self,
        refusal: Refusal,
        decided: &Decided,
    ) -> Rejection {
        let Decided { access, trace, at, started, .. } = decided;
        self.reject_with(Some(access.facts()), refusal, trace, *at, *started)
    }

    /// A refusal of this guard; its observers are told.
    pub(super) fn reject(
        &self,
        refusal: Refusal,
        trace: &Trace,
        at: Moment,
        started: Duration,
    ) -> Rejection {
        self.reject_with(None, refusal, trace, at, started)
    }

    /// `accepted` is what the token says, of one that everything before said yes to.
    fn reject_with(
        &self,
        accepted: Option<&Facts>,
        mut refusal: Refusal,
        trace: &Trace,
        at: Moment,
        started: Duration,
    ) -> Rejection {
        refusal.scheme = trace.scheme;
        let rejection = Rejection::new(refusal, Arc::clone(self.context()));
        let reason = rejection.told();
        let context = self.context();
        let decision = Decision::refused(&rejection, &reason, DecidedBy::Guard, &context.route);
        let decision = trace.told(accepted, self.timed(decision, trace, at, started));
        // An exception let nobody pass here.
        context.server.observers.tell(Decision { exception: None, ..decision });
        rejection
    }

    /// `accepted` is what the token says, of one that was accepted.
    pub(super) fn tell(
        &self,
        outcome: DecisionOutcome,
        accepted: Option<&Facts>,
        trace: &Trace,
        at: Moment,
        started: Duration,
    ) {
        let context = self.context();
        let decision = Decision::new(outcome, DecidedBy::Guard, &context.route);
        let decision = self.timed(decision, trace, at, started);
        context.server.observers.tell(trace.told(accepted, decision));
    }

    fn timed<'a>(
        &'a self,
        decision: Decision<'a>,
        trace: &Trace,
        at: Moment,
        started: Duration,
    ) -> Decision<'a> {
        let shared = &self.inner.shared;
        let class = trace.class.map(|place| shared.rules.classes.name(place));
        Decision { at: at.wall(), took: Took::Since(&*shared.clock, started), class, ..decision }
    }
}

/// Whether the checks of a policy are asked once more.
#[derive(Clone, Copy)]
enum Checks {
    Again,
    /// What they said just before counts.
    Before,
}

/// Why a request that waited is refused, where a new one would be let wait for something. What that one
/// needs is asked for now.
fn too_late(stop: Stop, at: Moment) -> Refusal {
    match stop {
        Stop::Refused(refusal) | Stop::NoList { refusal, .. } => refusal,
        Stop::NoKey { issuer, miss, mut refusal } => {
            if let Remedy::Later { retry_after, error } =
                issuer.remedy(miss, at, Attempt::AfterWait)
            {
                refusal.retry_after = retry_after;
                refusal.source = error.or(refusal.source);
            }
            refusal
        }
        Stop::NoAnswer(no_answer) => no_answer.refusal,
        Stop::Busy(turns) => turns.late(),
        #[cfg(feature = "jwe")]
        Stop::Sealed(sealed) => sealed.refusal,
    }
}
