//! Steps 6 to 9: whether what a token says is enough, for this request.

use std::sync::Arc;
use std::time::Duration;

use super::authenticate::Meeting;
use super::refused::{refused_by_check, with_step_ups};
use super::turns::Place;
use super::validity::check_answer;
use super::{CheckedException, RouteRules, Rules, Stop, Trace, refuse};
use crate::access::{Access, Confirmation, Facts, Origin, Sender};
use crate::check::CheckContext;
use crate::credentials::{RequestHead, Scheme, Unread};
use crate::error::{Refusal, RejectionKind};
use crate::observe::SenderBinding;
use crate::revocation::{ClearAt, Objection};
use crate::sender::{Binding, KnownSender, Mechanisms, PeerAddr};
use crate::time::{Moment, Timestamp};

/// What is to be known of the sender.
pub(super) enum Presented<'a> {
    /// It is to be proven now, with what is known of its proofs, in the turn of a token that was not known.
    Now(Unread<'a>, Option<&'a KnownSender>, Option<Place<'a>>),
    /// It was proven when this very request was first decided. Of a token that is known from another
    /// request nothing but its [`Facts`] counts.
    SameRequest(Option<Arc<Sender>>),
}

impl Rules {
    /// Steps 6 to 9: whether what the token says is enough, here and now. They change nothing, so
    /// that they can be asked again.
    pub(super) fn authorize(
        &self,
        (facts, clear): (&Arc<Facts>, Option<&ClearAt>),
        presented: Presented<'_>,
        head: RequestHead<'_>,
        route: RouteRules<'_>,
        at: Moment,
        trace: &mut Trace,
    ) -> Result<Access, Stop> {
        // 6. Audience, `exp`, `nbf`, `iat`, token class.
        self.check_audience(facts)?;
        let applied = self.classes.applied(facts);
        trace.class = Some(applied.place);
        let lifetime = self.check_time(facts, &applied, at.wall())?;

        // 7. The sender: everything in `cnf` is enforced, and the strictest of server, class and
        // route is wanted.
        let (exception, obstacle) = self.exception(facts, lifetime, head, at.wall());
        let server = exception.map_or(self.binding, |_| Binding::WhereBound);
        let class = applied.binding;
        let wanted = class.map_or(server, |(class, _)| server.strictest(class));
        let wanted = route.binding.map_or(wanted, |route| wanted.strictest(route));
        let now = at.wall();
        let sender = match presented {
            Presented::Now(presented, known, place) => {
                let _place = self.place_of_proof(presented, known, place)?;
                let proven = self.mechanisms.prove(
                    &facts.confirmation,
                    wanted,
                    (presented, known),
                    head,
                    route.nonces,
                    now,
                );
                if let Some(known) = known {
                    dispute(known, &proven);
                }
                proven.map(|sender| sender.map(Arc::new))
            }
            Presented::SameRequest(sender) => {
                Mechanisms::prove_again(&facts.confirmation, wanted, sender.as_deref())
                    .map(|()| sender)
            }
        };
        let sender = sender.map_err(|mut refusal| {
            if refusal.kind == RejectionKind::NotBound {
                let mut who: Vec<String> = Vec::new();
                if server != Binding::WhereBound {
                    who.push("the server".to_owned());
                }
                who.extend(class.map(|(_, name)| format!("class `{name}`")));
                who.extend(route.binding.map(|_| "the route".to_owned()));
                let mut detail = format!("{}, by {}", refusal.detail, who.join(" and "));
                if let Some((exception, obstacle)) = obstacle {
                    let reason = exception.reason();
                    detail.push_str(&format!("; exception {reason:?} does not apply: {obstacle}"));
                }
                refusal.detail = detail.into();
            }
            refusal
        })?;
        trace.binding =
            Some(sender.as_ref().map_or(SenderBinding::Bearer, |sender| sender.binding));
        trace.exception = exception.map(|exception| Arc::clone(exception.reason()));

        // 8. Revocation, and how old what is known of it may be.
        let demand = route.demand.and_freshness(applied.freshness);
        check_answer(facts, demand, at)?;
        if let Some(revocation) = &self.revocation {
            revocation.decide(facts, clear, demand, at).map_err(|objection| match objection {
                Objection::Refused(refusal) => with_step_ups(refusal, route.context.value()).into(),
                objection => Stop::from(objection),
            })?;
        } else if demand.freshness.is_some() && facts.origin == Origin::Token {
            let detail = "fresh knowledge of revocation is wanted, and there is no source of it: add one \
                          with `.revocation(...)`";
            return refuse(RejectionKind::RevocationUnavailable, detail);
        }

        // 9. The policy's checks, in the order given.
        let context = route.context.handle();
        let access = Access::new(Arc::clone(facts), context, at.wall(), sender);
        let request = CheckContext::new(&access, head, at.wall());
        if let Err(error) = route.check.check(&request) {
            return Err(refused_by_check(error, &request, route.context.value()).into());
        }

        // 10. Replay memory and single use are the guard's, once, when nothing can refuse any more.
        Ok(access)
    }

    /// The place in which a proof is verified, if it needs one. That for a known token needs none, unless the
    /// last that came with it was forged: who stole a token could otherwise send as many of those as others
    /// send forged tokens. Of a token that its issuer was asked about that is not known, so that each proof
    /// for it needs one.
    fn place_of_proof<'a>(
        &'a self,
        presented: Unread<'_>,
        known: Option<&KnownSender>,
        place: Option<Place<'a>>,
    ) -> Result<Option<Place<'a>>, Stop> {
        let is_disputed = known.is_none_or(KnownSender::is_disputed);
        match place {
            None if is_disputed && presented.scheme() == Scheme::Dpop => self.place(Meeting::First),
            place => Ok(place),
        }
    }

    /// The exception that lets this token do without the binding that the server wants, if it has
    /// to; else the first that is for its client, and why it does not apply.
    fn exception(
        &self,
        facts: &Facts,
        lifetime: Duration,
        head: RequestHead<'_>,
        now: Timestamp,
    ) -> (Option<&CheckedException>, Option<(&CheckedException, &'static str)>) {
        let lacks = facts.confirmation == Confirmation::Absent;
        if !lacks || self.binding == Binding::WhereBound {
            return (None, None);
        }
        let peer = PeerAddr::of(head.extensions);
        let mut first = None;
        for exception in self.exceptions.iter().filter(|exception| exception.is_for(facts)) {
            match exception.obstacle(lifetime, peer, now) {
                None => return (Some(exception), None),
                Some(obstacle) => first = first.or(Some((exception, obstacle))),
            }
        }
        (None, first)
    }
}

/// Notes whether a token came with a proof that its sender did not make for it.
fn dispute<T>(known: &KnownSender, proven: &Result<T, Refusal>) {
    match proven.as_ref().map_err(|refusal| refusal.kind) {
        Ok(_) => known.note(false),
        Err(
            RejectionKind::ProofSignature
            | RejectionKind::ProofKey
            | RejectionKind::ProofToken
            | RejectionKind::OtherKey,
        ) => known.note(true),
        Err(_) => {}
    }
}
