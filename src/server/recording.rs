use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::guard::{Decided, Guard};
use crate::access::{Access, Facts, Origin, SubjectKind};
use crate::error::{Refusal, Rejection, RejectionKind};
use crate::sender::{
    ReplayAnswer, ReplayEntry, ReplayError, ReplayErrorKind, ReplayFuture, Sighting, Used,
};
use crate::time::Timestamp;

/// How long a replay memory on another machine may take: ten times what one in the same network
/// needs, and a client still waits for it.
const AT_MOST: Duration = Duration::from_secs(1);
/// How much longer than it can be accepted something is remembered: for a store on another machine,
/// whose clock differs and to which the way takes up to [`AT_MOST`].
const LONGER: Duration = Duration::from_secs(2);

/// What of a request is used up by it, in the order in which it is recorded. The proof comes first:
/// who replays one must not use up the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Proof,
    Token,
}

/// What became of recording.
pub(crate) enum Admission {
    Done(Result<Access, Rejection>),
    /// The replay memory is on another machine.
    Wait(Box<Recording>),
}

/// The same, of what is not accepted yet.
enum Recorded {
    Done(Result<Decided, Rejection>),
    Wait(Recording),
}

/// Step 10, waiting for a replay memory. It ends once everything is recorded.
pub(crate) struct Recording {
    guard: Guard,
    decided: Option<Decided>,
    used: Use,
    answer: ReplayFuture,
    deadline: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Guard {
    /// Lets a request pass: the last thing of every decision that says yes, once.
    pub(crate) fn admit(&self, decided: Decided) -> Admission {
        let proof = decided.access.sender().is_some_and(|sender| sender.proof.is_some());
        if !proof && !self.is_single_use() {
            return Admission::Done(Ok(self.accept(decided)));
        }
        match self.record_from(Some(Use::Proof), decided) {
            Recorded::Done(done) => Admission::Done(done.map(|decided| self.accept(decided))),
            Recorded::Wait(recording) => Admission::Wait(Box::new(recording)),
        }
    }

    /// 10. Replay memory and single use: one atomic check-and-insert for each thing that is used up.
    fn record_from(&self, mut next: Option<Use>, decided: Decided) -> Recorded {
        while let Some(used) = next {
            match self.record(used, &decided) {
                None => {}
                Some(Ok(ReplayAnswer::Now(answer))) => {
                    if let Err(refusal) = judge(used, answer) {
                        return Recorded::Done(Err(self.reject_decided(refusal, &decided)));
                    }
                }
                Some(Ok(ReplayAnswer::Later(answer))) => {
                    return Recorded::Wait(Recording {
                        guard: self.clone(),
                        decided: Some(decided),
                        used,
                        answer,
                        deadline: self.sleep(AT_MOST),
                    });
                }
                Some(Err(refusal)) => {
                    return Recorded::Done(Err(self.reject_decided(refusal, &decided)));
                }
            }
            next = used.next();
        }
        Recorded::Done(Ok(decided))
    }

    /// From when on it cannot be accepted any more.
    fn until(&self, used: Use, decided: &Decided) -> Timestamp {
        let access = &decided.access;
        let proof = access.sender().and_then(|sender| sender.proof.as_ref());
        match (used, proof) {
            (Use::Proof, Some(proof)) => proof.accepted_until,
            _ => access.expires_at().plus(self.leeway()),
        }
    }

    /// How long what was used can come again. What an issuer answers about a token can be another `exp`
    /// each time, or none: there `iat` and the class say how long the token lives at most, or nothing does.
    fn longest_use(&self, used: Use, facts: &Facts, until: Timestamp) -> Option<Timestamp> {
        match (used, facts.origin) {
            (Use::Proof, _) | (Use::Token, Origin::Token) => Some(until),
            (Use::Token, Origin::Answer { .. }) => {
                let life = self.max_lifetime(facts);
                let end = facts.issued_at?.plus(life).plus(self.leeway());
                Some(until.max(end))
            }
        }
    }

    /// `None`: this request uses up no such thing.
    fn record(&self, used: Use, decided: &Decided) -> Option<Result<ReplayAnswer, Refusal>> {
        let access = &decided.access;
        let facts = access.facts();
        let client = facts.client_id.as_ref();
        let (what, from) = match used {
            Use::Proof => {
                let proof = access.sender()?.proof.as_ref()?;
                let what = Used::Proof { jkt: &proof.key, jti: &proof.jti, htu: &proof.htu };
                (what, proof.issued_at)
            }
            Use::Token => {
                if !self.is_single_use() {
                    return None;
                }
                let Some(jti) = &facts.jwt_id else {
                    let detail = "the token has no `jti`, and the policy is for single use";
                    return Some(Err(Refusal::new(RejectionKind::NoTokenId, detail)));
                };
                (Used::Token { jti }, facts.issued_at.unwrap_or(decided.at.wall()))
            }
        };
        let until = self.until(used, decided);
        if let Err(refusal) = used.in_time(until, decided.at.wall()) {
            return Some(Err(refusal));
        }
        let Some(until) = self.longest_use(used, facts, until) else {
            let detail = "the answer about the token has no `iat`, and the policy is for single use: \
                          nothing says how long it can come again";
            return Some(Err(Refusal::new(RejectionKind::NoTokenId, detail)));
        };
        let until = until.plus(LONGER);
        let entry = ReplayEntry::new(&facts.issuer, client, what, from, until, decided.at);
        let entry = match facts.subject_kind {
            SubjectKind::Client => entry,
            _ => entry.of_subject(&facts.subject),
        };
        Some(Ok(self.replay_store().record(&entry)))
    }
}

impl Use {
    /// Whether it can still be used. A request may have waited for something since it was decided.
    fn in_time(self, until: Timestamp, now: Timestamp) -> Result<(), Refusal> {
        if now < until { Ok(()) } else { Err(self.ended()) }
    }

    fn ended(self) -> Refusal {
        match self {
            Self::Proof => Refusal::new(
                RejectionKind::ProofNotFresh,
                "the DPoP proof is too old by now: the request waited for something else",
            ),
            Self::Token => Refusal::new(
                RejectionKind::Expired,
                "the token has expired by now: the request waited for something else",
            ),
        }
    }

    const fn next(self) -> Option<Self> {
        match self {
            Self::Proof => Some(Self::Token),
            Self::Token => None,
        }
    }
}

fn judge(used: Use, answer: Result<Sighting, ReplayError>) -> Result<(), Refusal> {
    match (answer, used) {
        (Ok(Sighting::First), _) => Ok(()),
        // It ended while the request waited.
        (Ok(Sighting::Expired), used) => Err(used.ended()),
        (Ok(_), Use::Proof) => {
            let detail = "the DPoP proof was used before";
            Err(Refusal::new(RejectionKind::ProofReplayed, detail))
        }
        (Ok(_), Use::Token) => {
            let detail = "the token was used before, and the policy is for single use";
            Err(Refusal::new(RejectionKind::TokenUsed, detail))
        }
        (Err(error), used) => {
            let detail = match used {
                Use::Proof => "whether the DPoP proof was used before is not known",
                Use::Token => "whether the token was used before is not known",
            };
            let mut refusal = Refusal::new(RejectionKind::ReplayUnavailable, detail);
            refusal.retry_after = error.retry_after_time();
            refusal.source = Some(Arc::new(error));
            Err(refusal)
        }
    }
}

impl Future for Recording {
    type Output = Result<Decided, Rejection>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let answer = match self.answer.as_mut().poll(context) {
                Poll::Ready(answer) => answer,
                Poll::Pending => {
                    ready!(self.deadline.as_mut().poll(context));
                    let detail = format!("the replay memory did not answer in {AT_MOST:?}");
                    Err(ReplayError::new(ReplayErrorKind::Unavailable, detail))
                }
            };
            let (guard, used) = (self.guard.clone(), self.used);
            // INVARIANT: it is polled to its end once.
            let Some(decided) = self.decided.take() else { return Poll::Pending };
            let judged = judge(used, answer)
                .and_then(|()| used.in_time(guard.until(used, &decided), guard.now()));
            if let Err(refusal) = judged {
                return Poll::Ready(Err(guard.reject_decided(refusal, &decided)));
            }
            match guard.record_from(used.next(), decided) {
                Recorded::Done(done) => return Poll::Ready(done),
                Recorded::Wait(next) => *self = next,
            }
        }
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording").field("used", &self.used).finish_non_exhaustive()
    }
}
