//! The decision: ten steps, cheap before costly, state changed last.
//!
//! `Rules::authenticate` takes steps 1 to 5 and ends with [`Facts`]: what the issuer said.
//! [`Rules::authorize`] takes steps 6 to 9 and reads nothing of the token but those. Step 10, which
//! changes state, is taken by the guard when nothing can refuse any more. So a token
//! that is already known, or that somebody else has read, skips the work of steps 2 to 5 and never the
//! rest: its sender is proven with every request.
//!
//! The first failure ends it, and its number stands on the [`crate::Rejection`].
//!
//! It waits for nothing and starts nothing: where a key is missing it says so, and is called again
//! when something was done about that. Time comes in as an argument.

mod answer;
mod authenticate;
mod class;
mod detail;
mod digest;
mod exception;
mod facts;
mod first;
mod known;
mod sealed;
mod turns;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::access::{Access, Addressed, Confirmation, Facts, Origin, Sender};
use crate::check::{Check, CheckContext, CheckError, DenialKind, combined, unmet};
use crate::context::{PolicyContext, Schemes};
use crate::credentials::{Fields, RequestHead, Scheme, Unread};
use crate::error::{Outcome, Refusal, RejectionKind, Step};
use crate::introspection::{Introspector, Introspectors, Question};
use crate::issuer::{Attempt, IssuerKeys, KeyMiss, Registry, Resolved};
#[cfg(feature = "jwe")]
use crate::jwe::{Decryptor, Opening};
use crate::name::{Audience, IssuerId};
use crate::observe::{Decision, SenderBinding};
use crate::revocation::{ClearAt, Demand, ListSlot, Objection, Runtime};
use crate::sender::{Binding, KnownSender, Mechanisms, PeerAddr, RouteNonces};
use crate::stripe::Striped;
use crate::time::{Moment, Timestamp};

use authenticate::{Authentic, Meeting, Said};
pub use class::TokenClass;
pub(crate) use class::{Applied, ClassPlace, Classes, IssuerNames, Revocable};
use detail::{detail, shown};
pub(crate) use exception::CheckedException;
pub use exception::Exception;
#[cfg(feature = "testing")]
pub(crate) use facts::{StandIns, Wanted, facts_of};
pub(crate) use first::report as first_verifications;
pub use first::{FirstVerificationHealth, FirstVerifications};
pub(crate) use known::KnownTokens;
pub use known::KnownTokensHealth;
use turns::Place;
pub(crate) use turns::{Queued, Turns};

/// What a server demands of every token.
pub(crate) struct Rules {
    pub(crate) issuers: Arc<Registry>,
    /// This resource, and other names it answers to.
    pub(crate) audiences: Vec<Audience>,
    pub(crate) other_audiences: OtherAudiences,
    pub(crate) leeway: Duration,
    pub(crate) classes: Classes,
    pub(crate) binding: Binding,
    pub(crate) exceptions: Vec<CheckedException>,
    pub(crate) max_token: usize,
    pub(crate) mechanisms: Mechanisms,
    /// Tokens that were accepted before.
    pub(crate) known: KnownTokens,
    /// How many of the others are verified at once; `None`: as many as there are threads.
    pub(crate) turns: Option<Arc<Turns>>,
    /// `None`: encrypted tokens are refused.
    #[cfg(feature = "jwe")]
    pub(crate) decryptor: Option<Arc<Decryptor>>,
    /// Who is asked about tokens.
    pub(crate) introspectors: Introspectors,
    /// `None`: nothing is known of revocation.
    pub(crate) revocation: Option<Arc<Runtime>>,
}

/// What was found out for one request so far, beside what everybody knows.
#[derive(Clone)]
pub(crate) struct Found {
    /// Whether it waited for keys.
    pub(crate) keys: Attempt,
    /// What its issuer was asked about its token.
    pub(crate) answer: Option<Arc<Question>>,
    /// Its token without its envelope.
    #[cfg(feature = "jwe")]
    pub(crate) opened: Option<Arc<Opening>>,
}

impl Found {
    pub(crate) const NOTHING: Self = Self {
        keys: Attempt::First,
        answer: None,
        #[cfg(feature = "jwe")]
        opened: None,
    };
}

/// One look at a token.
#[derive(Clone, Copy)]
pub(crate) struct Look<'a> {
    pub(crate) route: RouteRules<'a>,
    pub(crate) at: Moment,
    pub(crate) found: &'a Found,
}

/// What one route demands beside the server.
#[derive(Clone, Copy)]
pub(crate) struct RouteRules<'a> {
    pub(crate) check: &'a dyn Check,
    pub(crate) binding: Option<Binding>,
    pub(crate) nonces: RouteNonces,
    /// Of what is known of revocation.
    pub(crate) demand: Demand,
    /// Whose the opaque tokens are that come here, if the route says so.
    pub(crate) opaque_of: Option<&'a str>,
    pub(crate) context: &'a Striped<PolicyContext>,
}

/// What is to be known of the sender.
enum Presented<'a> {
    /// It is to be proven now, with what is known of its proofs, in the turn of a token that was not known.
    Now(Unread<'a>, Option<&'a KnownSender>, Option<Place<'a>>),
    /// It was proven when this very request was first decided. Of a token that is known from another
    /// request nothing but its [`Facts`] counts.
    SameRequest(Option<Arc<Sender>>),
}

/// What was learned of a request on the way to its decision, for observers.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// The scheme that the request used.
    pub(crate) scheme: Option<Scheme>,
    /// A trusted issuer, claimed before step 4 and proven after it.
    pub(crate) issuer: Option<Arc<IssuerId>>,
    /// What the token says, of one that was refused once its issuer was known to have said it. Of one
    /// that is accepted its [`Access`] knows.
    pub(crate) facts: Option<Arc<Facts>>,
    pub(crate) class: Option<ClassPlace>,
    pub(crate) binding: Option<SenderBinding>,
    pub(crate) exception: Option<Arc<str>>,
}

impl Trace {
    /// What is known of an accepted token.
    pub(crate) fn of(access: &Access) -> Self {
        let facts = Arc::clone(access.facts());
        Self {
            scheme: Some(access.scheme()),
            binding: Some(access.binding()),
            issuer: Some(Arc::clone(&facts.issuer)),
            facts: Some(facts),
            ..Self::default()
        }
    }

    /// Adds to an event what is known. `accepted` is what the token says, of one that is accepted.
    pub(crate) fn told<'a>(
        &'a self,
        accepted: Option<&'a Facts>,
        decision: Decision<'a>,
    ) -> Decision<'a> {
        let facts = accepted.or(self.facts.as_deref());
        let token = facts.and_then(|facts| Some((&*facts.issuer, facts.jwt_id.as_ref()?)));
        let issuer = facts.map(|facts| &facts.issuer).or(self.issuer.as_ref());
        Decision {
            issuer: issuer.map(AsRef::as_ref),
            issuer_proven: facts.is_some(),
            client_id: facts.and_then(|facts| facts.client_id.as_ref()),
            binding: self.binding,
            exception: self.exception.as_deref(),
            expires_in: facts.and_then(|facts| facts.expires_at.since(decision.at)),
            token,
            ..decision
        }
    }
}

/// What a token may do that names other audiences beside this resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OtherAudiences {
    /// It is accepted, as RFC 9068 §4 has it. Any of its audiences can use it at the others.
    #[default]
    Accept,
    /// It is refused.
    Refuse,
}

/// Why a decision stops without an [`Access`].
pub(crate) enum Stop {
    Refused(Refusal),
    /// A key is missing. Unless something can be done about it, this is the refusal.
    NoKey {
        issuer: Arc<IssuerKeys>,
        miss: KeyMiss,
        refusal: Refusal,
    },
    /// As many signatures are verified as may be.
    Busy(Arc<Turns>),
    /// The token is encrypted. Unless it can be decrypted now, this is the refusal.
    #[cfg(feature = "jwe")]
    Sealed(Box<Sealed>),
    /// What the issuer says of the token is missing. Unless something can be done about it, this is the
    /// refusal.
    NoAnswer(Box<NoAnswer>),
    /// A status list is missing. Unless something can be done about it, this is the refusal.
    NoList {
        list: Arc<ListSlot>,
        refusal: Refusal,
    },
}

/// A token that its issuer has to be asked about.
pub(crate) struct NoAnswer {
    pub(crate) introspector: Arc<Introspector>,
    pub(crate) token: Box<str>,
    /// How old an answer may be at most, if the route or the token's class says.
    pub(crate) freshest: Option<Duration>,
    pub(crate) refusal: Refusal,
}

/// A token that has to be decrypted.
#[cfg(feature = "jwe")]
pub(crate) struct Sealed {
    pub(crate) decryptor: Arc<Decryptor>,
    pub(crate) token: Box<str>,
    pub(crate) refusal: Refusal,
}

impl From<Objection> for Stop {
    fn from(objection: Objection) -> Self {
        match objection {
            Objection::Refused(refusal) => Self::Refused(refusal),
            Objection::NoList { list, refusal } => Self::NoList { list, refusal },
        }
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Rules {
    /// Decides one request. `fields` are those of its head.
    pub(crate) fn decide(
        &self,
        head: RequestHead<'_>,
        fields: Fields<'_>,
        look: Look<'_>,
        trace: &mut Trace,
    ) -> Result<Access, Stop> {
        let Authentic { said, presented, place } = self.authenticate(head, fields, look, trace)?;
        let (facts, clear) = (said.facts(), said.clear());
        let Look { route, at, .. } = look;
        let presented = Presented::Now(presented, said.sender(), place);
        let decided = self.authorize((facts, clear), presented, head, route, at, trace);
        match &decided {
            Ok(_) => {
                if let Said::Verified(Some(digest), known) = said {
                    self.known.keep(digest, known);
                }
            }
            Err(stop) => {
                trace.facts = Some(Arc::clone(facts));
                if let Stop::Refused(refusal) = stop {
                    self.doubt(refusal, said);
                }
            }
        }
        decided
    }

    /// What was known of a token is doubtful when a record speaks against it, and useless when it is
    /// over.
    fn doubt(&self, refusal: &Refusal, said: Said<'_>) {
        let by_record = refusal.kind.step() == Some(Step::Revocation)
            && refusal.kind.outcome() == Outcome::Refused;
        match said {
            // Once nothing speaks against the token any more, the issuer is asked again.
            Said::Answered { introspector, token, .. } if by_record => introspector.doubt(token),
            // One that was verified again may be known as it was: of a later time, or with another key.
            Said::Known(digest, _) | Said::Verified(Some(digest), _)
                if by_record || refusal.kind == RejectionKind::Expired =>
            {
                self.known.forget(&digest);
            }
            _ => {}
        }
    }

    /// The schemes that a client can use on a route that wants this binding.
    pub(crate) fn schemes(&self, route: Option<Binding>) -> Schemes {
        let wanted = route.map_or(self.binding, |route| self.binding.strictest(route));
        self.mechanisms.schemes(wanted)
    }

    /// Steps 6 to 9 once more, of a token that passed them before, and whether its issuer is still
    /// one of ours. What proved the sender is not verified again: it came when it came.
    pub(crate) fn decide_again(
        &self,
        access: Access,
        head: RequestHead<'_>,
        route: RouteRules<'_>,
        at: Moment,
        trace: &mut Trace,
    ) -> Result<Access, Refusal> {
        let facts = access.facts();
        let decided = match self.issuer(Some(facts.issuer.as_str()), at) {
            Ok(_) => {
                let presented = Presented::SameRequest(access.sender().cloned());
                self.authorize((facts, None), presented, head, route, at, trace)
            }
            Err(refusal) => Err(refusal.into()),
        };
        decided.map_err(|stop| {
            trace.facts = Some(Arc::clone(facts));
            match stop {
                // Nobody waits twice.
                Stop::Refused(refusal)
                | Stop::NoKey { refusal, .. }
                | Stop::NoList { refusal, .. } => refusal,
                Stop::NoAnswer(no_answer) => no_answer.refusal,
                // INVARIANT: no signature is verified again, so that nothing waits for a turn.
                Stop::Busy(turns) => turns.late(),
                #[cfg(feature = "jwe")]
                Stop::Sealed(sealed) => sealed.refusal,
            }
        })
    }

    /// The issuer of this name, if it is one of ours.
    fn issuer(&self, iss: Option<&str>, at: Moment) -> Result<Arc<IssuerKeys>, Refusal> {
        match iss.map(|iss| self.issuers.get(iss, at)) {
            Some(Resolved::Known(issuer)) => Ok(issuer),
            Some(Resolved::Unavailable(unavailable)) => {
                let kind = RejectionKind::IssuerUnavailable;
                let mut refusal = Refusal::new(kind, unavailable.to_string());
                refusal.retry_after = unavailable.retry_after_time();
                Err(refusal)
            }
            Some(Resolved::Unknown) | None => {
                let iss = shown(iss);
                let detail =
                    detail(format_args!("`iss` is {iss}, which is not one of the issuers"));
                Err(Refusal::new(RejectionKind::UnknownIssuer, detail))
            }
        }
    }

    /// Steps 6 to 9: whether what the token says is enough, here and now. They change nothing, so
    /// that they can be asked again.
    fn authorize(
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
                Objection::Refused(refusal) => {
                    refused_for_step_up(refusal, route.context.value()).into()
                }
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
    /// send forged tokens.
    fn place_of_proof<'a>(
        &'a self,
        presented: Unread<'_>,
        known: Option<&KnownSender>,
        place: Option<Place<'a>>,
    ) -> Result<Option<Place<'a>>, Stop> {
        let is_disputed = known.is_some_and(KnownSender::is_disputed);
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

    fn check_audience(&self, facts: &Facts) -> Result<(), Refusal> {
        if facts.addressed == Addressed::Unsaid {
            return Ok(());
        }
        let ours = |audience: &Audience| self.audiences.contains(audience);
        let accepted = match self.other_audiences {
            OtherAudiences::Accept => facts.audiences.iter().any(ours),
            OtherAudiences::Refuse => facts.audiences.iter().all(ours),
        };
        if accepted {
            return Ok(());
        }
        let other = facts.audiences.iter().find(|audience| !ours(audience));
        let found = shown(other.map(Audience::as_str));
        let wanted = self.audiences.first().map(Audience::as_str).unwrap_or_default();
        let detail = match self.other_audiences {
            OtherAudiences::Accept => format!("`aud` is {found}, wanted {wanted:?}"),
            OtherAudiences::Refuse => {
                format!(
                    "`aud` has {found}, wanted {wanted:?} and no other (`OtherAudiences::Refuse`)"
                )
            }
        };
        Err(Refusal::new(RejectionKind::WrongAudience, detail))
    }

    /// Gives how long the token lives.
    fn check_time(
        &self,
        facts: &Facts,
        applied: &Applied<'_>,
        now: Timestamp,
    ) -> Result<Duration, Refusal> {
        let expires_at = facts.expires_at;
        if now >= expires_at.plus(self.leeway) {
            let detail = untimely("exp", expires_at, now, self.leeway);
            return Err(Refusal::new(RejectionKind::Expired, detail));
        }
        let latest = now.plus(self.leeway);
        if let Some(not_before) = facts.not_before.filter(|not_before| *not_before > latest) {
            let detail = untimely("nbf", not_before, now, self.leeway);
            return Err(Refusal::new(RejectionKind::NotYetValid, detail));
        }
        if let Some(issued_at) = facts.issued_at.filter(|issued_at| *issued_at > latest) {
            let detail = untimely("iat", issued_at, now, self.leeway);
            return Err(Refusal::new(RejectionKind::IssuedInFuture, detail));
        }
        // Without `iat`, which only a profile can let go, the rest of its life is what is known.
        let lifetime = match facts.issued_at {
            Some(issued_at) => expires_at.since(issued_at).unwrap_or_default(),
            None => expires_at.since(now).unwrap_or_default(),
        };
        let most = applied.max_lifetime;
        if (lifetime.is_zero() && facts.issued_at.is_some()) || lifetime > most {
            let class = applied.name;
            let from = if facts.issued_at.is_some() { "after `iat`" } else { "from now" };
            let detail =
                format!("`exp` is {lifetime:?} {from}, class `{class}` accepts at most {most:?}");
            return Err(Refusal::new(RejectionKind::LifetimeTooLong, detail));
        }
        if let Some(max_age) = applied.max_age {
            let age = facts.issued_at.map(|issued_at| now.since(issued_at).unwrap_or_default());
            if age.is_none_or(|age| age > max_age.saturating_add(self.leeway)) {
                let found = age.map_or("unknown".to_owned(), |age| format!("{age:?}"));
                let class = applied.name;
                let detail = format!(
                    "the token's age is {found}, its classes (the first by life: `{class}`) accept at \
                     most {max_age:?}"
                );
                return Err(Refusal::new(RejectionKind::TooOld, detail));
            }
        }
        Ok(lifetime)
    }
}

/// Notes whether a token came with a proof that its sender did not make for it.
fn dispute<T>(known: &KnownSender, proven: &Result<T, Refusal>) {
    match proven.as_ref().map_err(|refusal| refusal.kind) {
        Ok(_) => known.note(false),
        Err(
            RejectionKind::ProofSignature | RejectionKind::ProofToken | RejectionKind::OtherKey,
        ) => known.note(true),
        Err(_) => {}
    }
}

fn refuse<T>(kind: RejectionKind, detail: impl Into<Cow<'static, str>>) -> Result<T, Stop> {
    Err(Stop::Refused(Refusal::new(kind, detail)))
}

/// Why a token does not count now, by one of its times.
fn untimely(claim: &str, found: Timestamp, now: Timestamp, leeway: Duration) -> String {
    format!("`{claim}` is {found}, it is {now}, with a leeway of {leeway:?}")
}

/// What the issuer said of a token counts for a while: a request may have waited since for something
/// else.
fn check_answer(facts: &Facts, demand: Demand, at: Moment) -> Result<(), Refusal> {
    let Origin::Answer { asked, counts_for } = facts.origin else { return Ok(()) };
    let most = demand.freshness.map_or(counts_for, |freshest| freshest.min(counts_for));
    let age = at.since(asked);
    if age <= most {
        return Ok(());
    }
    let detail = format!(
        "{} was asked about the token {age:?} ago, at most {most:?} is accepted: the request waited for \
         something else, and can be sent again",
        facts.issuer
    );
    Err(Refusal::new(RejectionKind::IntrospectionUnavailable, detail))
}

/// What a check's refusal is answered with, here and in layers below. A token that lacks scope
/// while its user has to authenticate again as well is told both at once, and of every step-up
/// that the policies want, not only of the first that was found unmet (RFC 9470 §3).
pub(crate) fn refused_by_check(
    error: CheckError,
    request: &CheckContext<'_>,
    context: &PolicyContext,
) -> Refusal {
    let mut refusal = refusal_of(error);
    let steps_up = match refusal.kind {
        RejectionKind::InsufficientAuthentication => true,
        RejectionKind::InsufficientScope if !refusal.scopes.is_empty() => {
            context.step_ups.iter().any(|step_up| unmet(step_up, request).is_some())
        }
        _ => false,
    };
    if steps_up {
        if refusal.kind == RejectionKind::InsufficientScope {
            let detail = &refusal.detail;
            refusal.detail = format!("{detail}, and the user has to authenticate as wanted").into();
        }
        refusal.kind = RejectionKind::InsufficientAuthentication;
        refusal.step_up =
            combined(context.step_ups.iter().chain(refusal.step_up.as_deref())).map(Box::new);
    }
    refusal
}

/// One authentication has to be enough: a record that wants a step-up is answered with what the route's
/// policies want as well.
fn refused_for_step_up(mut refusal: Refusal, context: &PolicyContext) -> Refusal {
    if refusal.kind == RejectionKind::StepUpDemanded {
        refusal.step_up =
            combined(context.step_ups.iter().chain(refusal.step_up.as_deref())).map(Box::new);
    }
    refusal
}

/// What the refusal of a check means by itself.
pub(crate) fn refusal_of(error: CheckError) -> Refusal {
    match error {
        CheckError::Denied(denial) => {
            let kind = match denial.kind() {
                DenialKind::InsufficientScope => RejectionKind::InsufficientScope,
                DenialKind::InvalidToken => RejectionKind::NotAccepted,
                DenialKind::InsufficientAuthentication => RejectionKind::InsufficientAuthentication,
            };
            let mut refusal = Refusal::new(kind, denial.to_string());
            refusal.scopes = denial.scopes().to_vec();
            refusal.step_up = denial.wanted_step_up().cloned().map(Box::new);
            refusal
        }
        CheckError::Unavailable(unavailable) => {
            let mut refusal =
                Refusal::new(RejectionKind::CheckUnavailable, unavailable.to_string());
            refusal.retry_after = unavailable.retry_after_time();
            refusal
        }
    }
}
