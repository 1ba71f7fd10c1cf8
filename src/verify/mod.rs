//! The decision: ten steps, cheap before costly, state changed last.
//!
//! `Rules::authenticate` takes steps 1 to 5 and ends with [`crate::access::Facts`]: what the issuer said.
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
mod authorize;
mod basis;
mod class;
mod detail;
mod digest;
mod exception;
mod facts;
mod first;
mod known;
mod refused;
mod sealed;
mod stop;
mod trace;
mod turns;
mod validity;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::access::Access;
use crate::check::Check;
use crate::context::{PolicyContext, Schemes};
use crate::credentials::{Fields, RequestHead};
use crate::error::{Outcome, Refusal, RejectionKind, Step};
use crate::introspection::{Introspectors, Question};
use crate::issuer::{Attempt, IssuerKeys, Registry, Resolved};
#[cfg(feature = "jwe")]
use crate::jwe::{Decryptor, Opening};
use crate::name::Audience;
use crate::revocation::{Demand, Runtime};
use crate::sender::{Binding, Mechanisms, RouteNonces};
use crate::stripe::Striped;
use crate::time::Moment;

use authenticate::{Authentic, Said};
use authorize::Presented;
pub(crate) use basis::Basis;
pub use class::TokenClass;
pub(crate) use class::{Classes, Revocable};
use detail::{detail, shown};
pub(crate) use exception::CheckedException;
pub use exception::Exception;
#[cfg(feature = "testing")]
pub(crate) use facts::{StandIns, Wanted, facts_of};
pub(crate) use first::report as first_verifications;
pub use first::{FirstVerificationHealth, FirstVerifications};
pub(crate) use known::KnownTokens;
pub use known::KnownTokensHealth;
pub(crate) use refused::{refused_by_check, refused_by_handler};
#[cfg(feature = "jwe")]
pub(crate) use stop::Sealed;
pub(crate) use stop::{NoAnswer, Stop};
pub(crate) use trace::Trace;
pub(crate) use turns::{Queued, Turns};
pub use validity::OtherAudiences;

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

impl Rules {
    /// Decides one request. `fields` are those of its head.
    pub(crate) fn decide(
        &self,
        head: RequestHead<'_>,
        fields: Fields<'_>,
        look: Look<'_>,
        trace: &mut Trace,
    ) -> Result<(Access, Basis), Stop> {
        let Authentic { said, presented, place } = self.authenticate(head, fields, look, trace)?;
        let (facts, clear) = (said.facts(), said.clear());
        let Look { route, at, .. } = look;
        let presented = Presented::Now(presented, said.sender(), place);
        let decided = self.authorize((facts, clear), presented, head, route, at, trace);
        match decided {
            Ok(access) => Ok((access, said.accepted(&self.known))),
            Err(stop) => {
                trace.facts = Some(Arc::clone(facts));
                if let Stop::Refused(refusal) = &stop {
                    self.doubt(refusal, said);
                }
                Err(stop)
            }
        }
    }

    /// What was known of a token is doubtful when a record speaks against it, and useless when it is
    /// over.
    fn doubt(&self, refusal: &Refusal, said: Said) {
        let by_record = refusal.kind.step() == Some(Step::Revocation)
            && refusal.kind.outcome() == Outcome::Refused;
        match said {
            // Once nothing speaks against the token any more, the issuer is asked again.
            Said::Answered { introspector, fingerprint, .. } if by_record => {
                introspector.doubt(fingerprint);
            }
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

    /// Steps 6 to 9 once more, for a request that waited since it passed them, and whether its issuer and
    /// its key are still there. Where they were changed the token is read as that of a new request.
    /// What proved the sender is not verified again: it came when it came.
    pub(crate) fn decide_again(
        &self,
        (access, basis): (Access, Basis),
        head: RequestHead<'_>,
        look: Look<'_>,
        trace: &mut Trace,
    ) -> Result<(Access, Basis), Stop> {
        let Look { route, at, found } = look;
        let facts = access.facts();
        let presented = || Presented::SameRequest(access.sender().cloned());
        let decide = |trace: &mut Trace| {
            let again = self.authorize((facts, None), presented(), head, route, at, trace);
            // A no for good comes first: a new request would wait for keys, and would hear of it then.
            match again {
                Err(Stop::Refused(no)) if no.kind.outcome() == Outcome::Refused => {
                    return Err(no.into());
                }
                again if self.stands(&basis, facts, at)? => return Ok((again?, basis)),
                _ => {}
            }
            let found = Found { keys: Attempt::AfterWait, ..found.clone() };
            let look = Look { found: &found, ..look };
            let said = self.authenticate(head, Fields::of(head.headers), look, trace)?.said;
            if !said.facts().grants_as(facts) {
                // Others were asked about what it said before.
                let detail = "what the token says was changed by its issuer's settings, or by the issuer, \
                              while the request waited";
                return refuse(RejectionKind::IssuerUnavailable, detail);
            }
            let again =
                self.authorize((said.facts(), None), presented(), head, route, at, trace)?;
            Ok((again, said.accepted(&self.known)))
        };
        let decided = decide(trace);
        if decided.is_err() {
            trace.facts = Some(Arc::clone(facts));
        }
        decided
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
                let (iss, configured) = (shown(iss), Listed(&self.issuers));
                let detail = detail(format_args!(
                    "`iss` is {iss}, which is not one of the issuers{configured}"
                ));
                Err(Refusal::new(RejectionKind::UnknownIssuer, detail))
            }
        }
    }
}

/// The first issuers of the configuration, for whoever compares one letter by letter.
struct Listed<'a>(&'a Registry);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LISTED: usize = 2;
        let configured = self.0.configured();
        let mut before = ", wanted ";
        for issuer in configured.iter().take(LISTED) {
            write!(f, "{before}{}", shown(Some(issuer.id().as_str())))?;
            before = " or ";
        }
        f.write_str(if configured.len() > LISTED { " or another" } else { "" })
    }
}

fn refuse<T>(kind: RejectionKind, detail: impl Into<Cow<'static, str>>) -> Result<T, Stop> {
    Err(Stop::Refused(Refusal::new(kind, detail)))
}
