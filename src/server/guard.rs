use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Method;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, ORIGIN};

use super::Shared;
use super::policy::{Authorization, Policy, Preflight, Presence};
use crate::access::Access;
use crate::check::{CheckError, CheckRequest, Checking, Denial, Needs, Unavailable};
use crate::context::PolicyContext;
use crate::credentials::RequestHead;
use crate::error::{BuildError, Faults, Refusal, Rejection, RejectionKind};
use crate::issuer::{Attempt, KeyWait, Remedy};
use crate::observe::{Decision, DecisionOutcome, Place};
use crate::time::{Moment, Sleep, Timestamp};
use crate::verify::{RouteRules, Stop, Trace, refusal_of};

/// A policy of a server, ready to decide: what [`crate::ResourceServer::protect`] mounts, for use
/// without tower.
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
    context: Arc<PolicyContext>,
    fault: Option<BuildError>,
}

/// What a guard decided about a request that may pass.
pub(crate) enum Passed {
    /// It has an accepted token.
    Access(Access),
    /// It has none, and the policy says that it needs none.
    Anonymous,
    /// It is a CORS preflight, about which nothing was decided.
    Preflight,
}

/// What a guard says now.
pub(crate) enum Verdict {
    Pass(Passed),
    Refuse(Rejection),
    /// Ask again after this, with that turn.
    Wait(KeyWait, Turn),
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
#[derive(Clone, Copy)]
pub(crate) struct Turn {
    attempt: Attempt,
    /// When the first look was, in steady time.
    started: Option<Duration>,
}

impl Turn {
    pub(crate) const FIRST: Self = Self { attempt: Attempt::First, started: None };
}

impl Guard {
    pub(super) fn new(shared: &Arc<Shared>, policy: Policy) -> Result<Self, BuildError> {
        let mut faults = Faults::new();
        policy.check(&mut faults);
        faults.unless_none(())?;
        let needs = Needs::of(&*policy.check);
        shared.document.add(&needs, &policy.report(&needs));
        let context = PolicyContext {
            server: Arc::clone(&shared.context),
            route: policy.label(&needs),
            visibility: policy.visibility,
            ..PolicyContext::default()
        };
        let context = context.with_needs(needs.scopes(), needs.step_ups());
        Ok(Self::with(shared, policy, context, None))
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
        let context = Arc::new(context);
        Self { inner: Arc::new(Inner { shared: Arc::clone(shared), policy, context, fault }) }
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
                Passed::Access(access) => Ok(access),
                // INVARIANT: this mode lets nothing else pass.
                Passed::Anonymous | Passed::Preflight => {
                    let refusal = Refusal::new(RejectionKind::Misconfigured, "no decision");
                    Err(Rejection::new(refusal, Arc::clone(&self.inner.context)))
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
                Passed::Access(access) => Some(access),
                Passed::Anonymous | Passed::Preflight => None,
            })
        }
    }

    async fn decide_and_wait(
        &self,
        head: RequestHead<'_>,
        mode: Mode,
    ) -> Result<Passed, Rejection> {
        let mut turn = Turn::FIRST;
        loop {
            match self.decide(head, mode, turn) {
                Verdict::Pass(passed) => return Ok(passed),
                Verdict::Refuse(rejection) => return Err(rejection),
                Verdict::Ask(asking) => return asking.await,
                Verdict::Wait(wait, next) => {
                    wait.await;
                    turn = next;
                }
            }
        }
    }

    /// Decides a request without waiting.
    pub(crate) fn decide(&self, head: RequestHead<'_>, mode: Mode, turn: Turn) -> Verdict {
        let Inner { shared, policy, context, fault } = &*self.inner;
        let at = shared.clock.moment();
        let started = turn.started.unwrap_or(at.steady());
        let mut trace = Trace::default();
        if let Some(fault) = fault {
            let refusal = Refusal::new(RejectionKind::Misconfigured, fault.to_string());
            return Verdict::Refuse(self.reject(refusal, &trace, at, started));
        }
        let passes = mode == Mode::Layer && policy.preflight == Preflight::Pass;
        if passes && is_preflight(head) {
            return Verdict::Pass(Passed::Preflight);
        }
        let absent = !head.headers.contains_key(AUTHORIZATION);
        if mode != Mode::Required && policy.presence == Presence::Optional && absent {
            self.tell(DecisionOutcome::Anonymous, &trace, at, started);
            return Verdict::Pass(Passed::Anonymous);
        }
        let route = RouteRules { check: &*policy.check, binding: policy.binding, context };
        let mut attempt = turn.attempt;
        loop {
            let stop = match shared.rules.decide(head, route, at, attempt, &mut trace) {
                Ok(access) if policy.later.is_empty() => {
                    self.tell(DecisionOutcome::Accepted, &trace, at, started);
                    return Verdict::Pass(Passed::Access(access));
                }
                Ok(access) => {
                    let request = CheckRequest::new(&access, head, at.wall());
                    let guard = self.clone();
                    return Verdict::Ask(Asking::new(guard, request, access, trace, started));
                }
                Err(stop) => stop,
            };
            let refusal = match stop {
                Stop::Refused(refusal) => refusal,
                Stop::NoKey { issuer, miss, mut refusal } => {
                    match issuer.remedy(miss, at, attempt) {
                        Remedy::Wait(wait) => {
                            let next = Turn { attempt: Attempt::AfterWait, started: Some(started) };
                            return Verdict::Wait(wait, next);
                        }
                        Remedy::Again if attempt == Attempt::First => {
                            attempt = Attempt::AfterWait;
                            continue;
                        }
                        Remedy::Again | Remedy::None => refusal,
                        Remedy::Later { retry_after, error } => {
                            refusal.retry_after = retry_after;
                            if let Some(error) = error {
                                refusal.source = Some(error);
                            }
                            refusal
                        }
                    }
                }
            };
            return Verdict::Refuse(self.reject(refusal, &trace, at, started));
        }
    }

    /// A refusal of this guard; its observers are told.
    fn reject(&self, refusal: Refusal, trace: &Trace, at: Moment, started: Duration) -> Rejection {
        let rejection = Rejection::new(refusal, Arc::clone(&self.inner.context));
        let reason = rejection.told();
        let decision = self.decision(rejection.outcome().into(), at, started);
        let decision = Decision {
            kind: Some(rejection.kind()),
            step: rejection.step(),
            reason: Some(&reason),
            ..trace.told(decision)
        };
        self.inner.context.server.observers.tell(decision);
        rejection
    }

    fn tell(&self, outcome: DecisionOutcome, trace: &Trace, at: Moment, started: Duration) {
        let decision = trace.told(self.decision(outcome, at, started));
        self.inner.context.server.observers.tell(decision);
    }

    fn decision(&self, outcome: DecisionOutcome, at: Moment, started: Duration) -> Decision<'_> {
        let mut decision = Decision::new(outcome, Place::Guard, &self.inner.context.route);
        decision.at = at.wall();
        decision.duration = self.inner.shared.clock.steady().saturating_sub(started);
        decision
    }

    pub(crate) fn context(&self) -> &Arc<PolicyContext> {
        &self.inner.context
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.shared.clock.now()
    }

    pub(crate) fn authorization(&self) -> Authorization {
        self.inner.policy.authorization
    }
}

/// The async checks of a policy, under way.
pub(crate) struct Asking {
    guard: Guard,
    request: CheckRequest,
    access: Access,
    trace: Trace,
    started: Duration,
    /// Which check is asked next.
    next: usize,
    current: Option<Checking>,
    deadline: Sleep,
}

impl Asking {
    fn new(
        guard: Guard,
        request: CheckRequest,
        access: Access,
        trace: Trace,
        started: Duration,
    ) -> Self {
        let deadline = guard.inner.shared.clock.sleep(guard.inner.policy.timeout);
        Self { guard, request, access, trace, started, next: 0, current: None, deadline }
    }

    /// What the checks say, once the last of them said yes or one did not.
    fn poll_checks(&mut self, context: &mut Context<'_>) -> Poll<Result<(), CheckError>> {
        loop {
            let current = match &mut self.current {
                Some(current) => current,
                None => {
                    let Some(check) = self.guard.inner.policy.later.get(self.next) else {
                        return Poll::Ready(Ok(()));
                    };
                    self.next = self.next.saturating_add(1);
                    self.current.insert(check.check(self.request.clone()))
                }
            };
            match current.as_mut().poll(context) {
                Poll::Ready(Ok(())) => self.current = None,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    ready!(self.deadline.as_mut().poll(context));
                    let timeout = self.guard.inner.policy.timeout;
                    let why = format!("an async check gave no answer within {timeout:?}");
                    return Poll::Ready(Err(Unavailable::new(why).into()));
                }
            }
        }
    }
}

impl Future for Asking {
    type Output = Result<Passed, Rejection>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(self.poll_checks(context));
        let this = &*self;
        let at = this.guard.inner.shared.clock.moment();
        let leeway = this.guard.inner.shared.rules.leeway;
        let answer =
            answer.and_then(|()| match at.wall() < this.access.expires_at().plus(leeway) {
                // The answer may have come when the token's life was over.
                true => Ok(()),
                false => Err(Denial::invalid_token("the token expired meanwhile").into()),
            });
        Poll::Ready(match answer {
            Ok(()) => {
                this.guard.tell(DecisionOutcome::Accepted, &this.trace, at, this.started);
                Ok(Passed::Access(this.access.clone()))
            }
            Err(error) => Err(this.guard.reject(refusal_of(error), &this.trace, at, this.started)),
        })
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
            .field("scopes", &self.inner.context.scopes)
            .finish_non_exhaustive()
    }
}
