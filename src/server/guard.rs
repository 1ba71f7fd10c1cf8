//! A policy ready to decide: the way of a request to its verdict. How a decision ends is in [`ending`].

mod ending;

use std::fmt;
use std::future::pending;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, ORIGIN};
use http::{HeaderMap, Method};
use tokio::runtime::Handle;

use super::Shared;
use super::asking::Asking;
use super::policy::{Beside, CredentialFields, Policy, Preflight, Presence, Uses};
use super::recording::Admission;
use crate::access::{Access, Facts};
use crate::check::{CheckRequest, Needs};
use crate::context::PolicyContext;
use crate::credentials::{Fields, RequestHead};
use crate::error::{BuildError, Faults, Refusal, Rejection, RejectionKind};
use crate::issuer::{Attempt, Remedy, Wait};
use crate::observe::DecisionOutcome;
use crate::sender::{Proof, ReplayStore};
use crate::stripe::Striped;
use crate::time::{Moment, Timestamp};
#[cfg(feature = "jwe")]
use crate::verify::Sealed;
use crate::verify::{Basis, Found, Look, NoAnswer, Queued, Revocable, Stop, Trace};

/// Of what no decision can come to.
const UNDECIDED: &str = "no decision was made, which is a fault of this crate: report it";

/// A policy of a server, ready to decide: what [`crate::ResourceServer::protect`] mounts, for use
/// without tower.
///
/// What the layer does beside deciding is then for the caller: [`Access::complete_response`] adds to
/// the response what it needs, and `Client-Cert`, `Client-Cert-Chain` and `X-Forwarded-Client-Cert`, in
/// every spelling, have to be removed before anything reads the request.
///
/// ```
/// # use std::time::Duration;
/// # use portcullis::testing::{ManualClock, TestIssuer, TestNetwork};
/// # use portcullis::{Binding, RejectionKind, ResourceServer, TokenClass, check::scope};
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// # let clock = ManualClock::new();
/// # let issuer = TestIssuer::new("https://as.example", &clock);
/// # let api = ResourceServer::builder("https://rs.example").issuer(issuer.discover())
/// #     .binding(Binding::WhereBound).class(TokenClass::default_at_most(Duration::from_hours(1)))
/// #     .transport(TestNetwork::of(&[&issuer])).clock(clock).build()?;
/// let guard = api.guard(scope("notes:read"))?;
///
/// let token = issuer.token("https://rs.example").scope("notes:read").sign();
/// let request = http::Request::get("/notes")
///     .header("authorization", format!("Bearer {token}"))
///     .body("any body")?;
/// assert_eq!(guard.verify(&request).await?.subject(), "alice");
///
/// let refused = guard.verify(&http::Request::new(())).await.unwrap_err();
/// assert_eq!(refused.kind(), RejectionKind::NoCredentials);
/// let response = refused.to_response::<String>();
/// assert_eq!(response.status(), 401);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Guard {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    policy: Policy,
    context: Striped<PolicyContext>,
    fault: Option<BuildError>,
    /// Whether it stands in the metadata and in the effective policy.
    listed: OnceLock<()>,
}

/// A decision that says yes, before it is told to anybody.
pub(crate) struct Decided {
    pub(super) access: Access,
    /// What it rests on, and can be taken back while the request waits.
    pub(super) basis: Basis,
    /// What was found out for the request before.
    pub(super) found: Found,
    pub(super) trace: Trace,
    /// When it was made.
    pub(super) at: Moment,
    /// When the request was first looked at, in steady time.
    pub(super) started: Duration,
}

/// What a guard decided about a request that may pass.
pub(crate) enum Passed {
    /// It has a token that passed every check.
    Access(Decided),
    /// It needs none: why, and when that was decided.
    Tokenless(TokenlessReason, Timestamp),
}

/// Why a request passes without a token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenlessReason {
    /// The policy says that credentials are optional.
    Optional,
    /// A CORS preflight: nothing was decided.
    Preflight,
}

/// What a guard says now.
pub(crate) enum Verdict {
    Pass(Passed),
    Refuse(Rejection),
    /// Ask again after this, with that visit.
    Wait(Wait, Visit),
    /// Everything but the async checks said yes.
    Ask(Asking),
}

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A layer: the policy says what becomes of preflights and of requests without credentials.
    Layer,
    /// Whoever can do without an access, and knows no preflight.
    Optional,
    /// Whoever wants an access, whatever the policy says.
    Required,
}

/// Which look at a request this is.
pub(crate) struct Visit {
    /// What it waited for, and found.
    found: Found,
    /// Whether it waited for a status list. A request waits for each once.
    list: Attempt,
    /// Its place among those that wait for a turn to have their signature verified, if it does.
    queued: Option<Queued>,
    /// When the first look was, in steady time.
    started: Option<Duration>,
}

impl Visit {
    pub(crate) const FIRST: Self =
        Self { found: Found::NOTHING, list: Attempt::First, queued: None, started: None };
}

impl Guard {
    pub(super) fn new(shared: &Arc<Shared>, policy: Policy) -> Result<Self, BuildError> {
        let guard = Self::unlisted(shared, policy)?;
        guard.list();
        Ok(guard)
    }

    /// A guard that nobody uses yet: it enforces nothing that could be listed.
    pub(super) fn unlisted(shared: &Arc<Shared>, policy: Policy) -> Result<Self, BuildError> {
        let mut faults = Faults::new();
        let rules = &shared.rules;
        let has_source = rules.revocation.as_ref().is_some_and(|known| known.has_source());
        let beside = Beside {
            one_issuer: rules.issuers.is_one(),
            mechanisms: &rules.mechanisms,
            revocable: match has_source {
                true => Revocable::Yes,
                false if !rules.introspectors.is_empty() => Revocable::Asked,
                false => Revocable::No,
            },
            introspects: &|issuer| rules.introspectors.knows(issuer),
        };
        policy.check(&beside, &mut faults);
        faults.unless_none(())?;
        let needs = Needs::of(&*policy.check);
        let context = PolicyContext {
            server: Arc::clone(&shared.context),
            route: policy.label(&needs),
            visibility: policy.visibility,
            schemes: shared.rules.schemes(policy.binding),
            ..PolicyContext::default()
        };
        let context = context.with_needs(needs.scopes(), needs.step_ups());
        Ok(Self::with(shared, policy, context, None))
    }

    /// Lists what it enforces, once.
    pub(crate) fn list(&self) {
        self.inner.listed.get_or_init(|| {
            let Inner { shared, policy, .. } = &*self.inner;
            let needs = Needs::of(&*policy.check);
            shared.document.add(&needs, &policy.report(&needs));
        });
    }

    /// What it enforces, for a report.
    pub(super) fn report(&self) -> serde_json::Value {
        let policy = &self.inner.policy;
        policy.report(&Needs::of(&*policy.check))
    }

    /// A guard that refuses everything, if the policy is faulty.
    pub(crate) fn faulty_or_not(shared: &Arc<Shared>, policy: Policy) -> Self {
        Self::new(shared, policy.clone()).unwrap_or_else(|fault| {
            tracing::error!("a faulty policy refuses every request with 500: {fault}");
            let context = PolicyContext {
                server: Arc::clone(&shared.context),
                route: "faulty".into(),
                ..PolicyContext::default()
            };
            Self::with(shared, policy, context, Some(fault))
        })
    }

    fn with(
        shared: &Arc<Shared>,
        policy: Policy,
        context: PolicyContext,
        fault: Option<BuildError>,
    ) -> Self {
        let context = Striped::new(context);
        let (shared, listed) = (Arc::clone(shared), OnceLock::new());
        Self { inner: Arc::new(Inner { shared, policy, context, fault, listed }) }
    }

    /// Decides a request: the accepted token, or why it may not be used.
    ///
    /// Dropping the future loses nothing: a fetch that it started goes on.
    ///
    /// # Errors
    /// The [`Rejection`]; without credentials too, even if the policy says they are optional.
    pub fn verify<'a>(
        &self,
        request: impl Into<RequestHead<'a>>,
    ) -> impl Future<Output = Result<Access, Rejection>> + Send {
        // The future holds the head, never a body, which may not be shared between threads.
        let head = request.into();
        async move {
            match self.decide_and_wait(head, Mode::Required).await? {
                Passed::Access(decided) => self.admit_and_wait(head, decided).await,
                // INVARIANT: this mode lets nothing else pass.
                Passed::Tokenless(..) => {
                    let refusal = Refusal::new(RejectionKind::Misconfigured, UNDECIDED);
                    Err(Rejection::new(refusal, Arc::clone(self.context())))
                }
            }
        }
    }

    /// Decides a request as the layer does: `None` if it has no credentials and the policy says
    /// that they are optional. A CORS preflight is a request without credentials here, whatever
    /// the policy says of it.
    ///
    /// # Errors
    /// The [`Rejection`].
    pub fn verify_optional<'a>(
        &self,
        request: impl Into<RequestHead<'a>>,
    ) -> impl Future<Output = Result<Option<Access>, Rejection>> + Send {
        let head = request.into();
        async move {
            Ok(match self.decide_and_wait(head, Mode::Optional).await? {
                Passed::Access(decided) => Some(self.admit_and_wait(head, decided).await?),
                Passed::Tokenless(..) => None,
            })
        }
    }

    async fn decide_and_wait(
        &self,
        head: RequestHead<'_>,
        mode: Mode,
    ) -> Result<Passed, Rejection> {
        let mut visit = Visit::FIRST;
        loop {
            match self.decide(head, mode, visit) {
                Verdict::Pass(passed) => return Ok(passed),
                Verdict::Refuse(rejection) => return Err(rejection),
                Verdict::Ask(asking) => {
                    let answered = asking.await;
                    return self.settle(head, answered).map(Passed::Access);
                }
                Verdict::Wait(wait, next) => {
                    wait.await;
                    visit = next;
                }
            }
        }
    }

    async fn admit_and_wait(
        &self,
        head: RequestHead<'_>,
        decided: Decided,
    ) -> Result<Access, Rejection> {
        match self.admit(decided) {
            Admission::Done(done) => done,
            Admission::Wait(recording) => {
                let recorded = recording.await;
                self.admit_recorded(head, recorded)
            }
        }
    }

    /// Decides a request without waiting.
    pub(crate) fn decide(&self, head: RequestHead<'_>, mode: Mode, visit: Visit) -> Verdict {
        let Inner { shared, policy, context, fault, .. } = &*self.inner;
        let at = shared.clock.moment();
        let started = visit.started.unwrap_or(at.steady());
        let mut trace = Trace::default();
        if let Some(fault) = fault {
            let refusal = Refusal::new(RejectionKind::Misconfigured, fault.to_string());
            return Verdict::Refuse(self.reject(refusal, &trace, at, started));
        }
        let passes = mode == Mode::Layer && policy.preflight == Preflight::Pass;
        if passes && is_preflight(head) {
            return Verdict::Pass(Passed::Tokenless(TokenlessReason::Preflight, at.wall()));
        }
        let fields = Fields::of(head.headers);
        if let Some(revocation) = &shared.rules.revocation {
            revocation.start();
        }
        if mode != Mode::Required && policy.presence == Presence::Optional && fields.are_absent() {
            self.tell(DecisionOutcome::Anonymous, None, &trace, at, started);
            return Verdict::Pass(Passed::Tokenless(TokenlessReason::Optional, at.wall()));
        }
        let route = policy.rules(context);
        let mut next = Visit { started: Some(started), ..visit };
        // It is given up unless the request waits on for the same.
        let mut queued = next.queued.take();
        loop {
            let look = Look { route, at, found: &next.found };
            let stop = match shared.rules.decide(head, fields, look, &mut trace) {
                Ok((access, basis)) if policy.later.is_empty() => {
                    let found = next.found;
                    let decided = Decided { access, basis, found, trace, at, started };
                    return Verdict::Pass(Passed::Access(decided));
                }
                Ok((access, basis)) => {
                    let request = CheckRequest::new(&access, head, at.wall());
                    let deadline = shared.clock.sleep(policy.timeout);
                    let found = next.found;
                    let decided = Decided { access, basis, found, trace, at, started };
                    let checks = &policy.later;
                    let asking = Asking::new(checks, request, policy.timeout, deadline, decided);
                    return Verdict::Ask(asking);
                }
                Err(stop) => stop,
            };
            let (remedy, attempt, mut refusal) = match stop {
                Stop::Refused(refusal) => (Remedy::None, Attempt::AfterWait, refusal),
                Stop::NoKey { issuer, miss, refusal } => {
                    let attempt = mem::replace(&mut next.found.keys, Attempt::AfterWait);
                    (issuer.remedy(miss, at, attempt), attempt, refusal)
                }
                Stop::Busy(turns) => match turns.wait(queued.take(), at.steady()) {
                    Ok((queued, left)) => {
                        // Elsewhere there may be no timer.
                        let sleep = match Handle::try_current() {
                            Ok(_) => shared.clock.sleep(left),
                            Err(_) => Box::pin(pending()),
                        };
                        let wait = Wait::new(queued.called(), sleep, ());
                        next.queued = Some(queued);
                        return Verdict::Wait(wait, next);
                    }
                    Err(refusal) => (Remedy::None, Attempt::AfterWait, refusal),
                },
                #[cfg(feature = "jwe")]
                Stop::Sealed(sealed) => {
                    let Sealed { decryptor, token, refusal } = *sealed;
                    let wait = decryptor.read_header(&token).ok().map(|envelope| {
                        let opening = decryptor.open(envelope);
                        let sleep = shared.clock.sleep(decryptor.wait_at_most());
                        let wait = Wait::new(opening.landing(), sleep, ());
                        next.found.opened = Some(opening);
                        wait
                    });
                    (wait.map_or(Remedy::None, Remedy::Wait), Attempt::AfterWait, refusal)
                }
                Stop::NoAnswer(no_answer) => {
                    let NoAnswer { introspector, token, fingerprint, freshest, refusal } =
                        *no_answer;
                    let token = (&*token, fingerprint);
                    let remedy = introspector.remedy(token, freshest, at, &mut next.found.answer);
                    (remedy, Attempt::AfterWait, refusal)
                }
                Stop::NoList { list, refusal } => {
                    let attempt = mem::replace(&mut next.list, Attempt::AfterWait);
                    (list.remedy(at, attempt), attempt, refusal)
                }
            };
            match remedy {
                Remedy::Wait(wait) => return Verdict::Wait(wait, next),
                Remedy::Again if attempt == Attempt::First => continue,
                Remedy::Again | Remedy::None => {}
                Remedy::Later { retry_after, error } => {
                    refusal.retry_after = retry_after;
                    refusal.source = error.or(refusal.source);
                }
            }
            return Verdict::Refuse(self.reject(refusal, &trace, at, started));
        }
    }

    pub(crate) fn context(&self) -> &Arc<PolicyContext> {
        self.inner.context.value()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.shared.clock.now()
    }

    /// Removes from the header what the inner service must not see: certificates that somebody
    /// claims to forward, always, and the credentials, if the policy says so.
    pub(crate) fn hide(&self, headers: &mut HeaderMap) {
        self.inner.shared.forwarded_fields.strip(headers);
        if self.inner.policy.credentials == CredentialFields::Strip {
            headers.remove(AUTHORIZATION);
            headers.remove(Proof::FIELD);
        }
    }

    pub(super) fn is_single_use(&self) -> bool {
        self.inner.policy.uses == Uses::Single
    }

    pub(super) fn leeway(&self) -> Duration {
        self.inner.shared.rules.leeway
    }

    /// The longest that the classes of this token let it live.
    pub(super) fn max_lifetime(&self, facts: &Facts) -> Duration {
        self.inner.shared.rules.classes.applied(facts).max_lifetime
    }

    pub(super) fn replay_store(&self) -> &dyn ReplayStore {
        &*self.inner.shared.replay
    }

    pub(super) fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.inner.shared.clock.sleep(time)
    }
}

/// A CORS preflight (Fetch §4.8): it asks for a method on behalf of an origin, and by definition
/// carries no credentials.
fn is_preflight(head: RequestHead<'_>) -> bool {
    *head.method == Method::OPTIONS
        && head.headers.contains_key(ORIGIN)
        && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
        && !head.headers.contains_key(AUTHORIZATION)
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("resource", &self.inner.shared.resource)
            .field("policy", &self.inner.policy)
            .field("scopes", &self.context().scopes)
            .finish_non_exhaustive()
    }
}
