//! How a decision ends: it is told to the observers once, whatever it was.

use std::sync::Arc;
use std::time::Duration;

use super::{Decided, Guard, Inner, UNDECIDED};
use crate::access::{Access, Facts};
use crate::check::CheckContext;
use crate::credentials::RequestHead;
use crate::error::{Refusal, Rejection, RejectionKind};
use crate::observe::{DecidedBy, Decision, DecisionOutcome, Took};
use crate::server::asking::Answered;
use crate::server::recording::Admission;
use crate::time::Moment;
use crate::verify::{Trace, refused_by_check};

impl Guard {
    /// Ends a decision that had async checks. What they said came later than the rest was decided:
    /// everything that time or a list of issuers can have changed is decided once more.
    pub(crate) fn settle(
        &self,
        head: RequestHead<'_>,
        answered: Answered,
    ) -> Result<Decided, Rejection> {
        let Inner { shared, policy, context, .. } = &*self.inner;
        let at = shared.clock.moment();
        let Some(Decided { access, mut trace, started, .. }) = answered.decided else {
            // INVARIANT: it is polled to its end once.
            let refusal = Refusal::new(RejectionKind::Misconfigured, UNDECIDED);
            return Err(self.reject(refusal, &Trace::default(), at, at.steady()));
        };
        let route = policy.rules(context);
        let decided = match answered.answer {
            Err(error) => {
                trace.facts = Some(Arc::clone(access.facts()));
                let request = CheckContext::new(&access, head, at.wall());
                Err(refused_by_check(error, &request, context.value()))
            }
            Ok(()) => shared.rules.decide_again(access, head, route, at, &mut trace),
        };
        match decided {
            Ok(access) => Ok(Decided { access, trace, at, started }),
            Err(refusal) => Err(self.reject(refusal, &trace, at, started)),
        }
    }

    /// Nothing can refuse any more.
    pub(in crate::server) fn accept(&self, decided: Decided) -> Access {
        let Decided { access, trace, at, started } = decided;
        self.tell(DecisionOutcome::Accepted, Some(access.facts()), &trace, at, started);
        access
    }

    /// Lets a request pass that had to wait for something else after it was decided, if it would still
    /// be decided so: its token may have ended meanwhile, or been revoked.
    pub(crate) fn admit_late(&self, head: RequestHead<'_>, decided: Decided) -> Admission {
        let Inner { shared, policy, context, .. } = &*self.inner;
        let at = shared.clock.moment();
        let Decided { access, mut trace, started, .. } = decided;
        let route = policy.rules(context);
        match shared.rules.decide_again(access, head, route, at, &mut trace) {
            Ok(access) => self.admit(Decided { access, trace, at, started }),
            Err(refusal) => Admission::Done(Err(self.reject(refusal, &trace, at, started))),
        }
    }

    /// A refusal of what everything before said yes to.
    pub(in crate::server) fn reject_decided(
        &self,
        refusal: Refusal,
        decided: &Decided,
    ) -> Rejection {
        let Decided { access, trace, at, started } = decided;
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
