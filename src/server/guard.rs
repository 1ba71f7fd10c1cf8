use std::fmt;
use std::sync::Arc;

use http::Method;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, ORIGIN};

use super::Shared;
use super::policy::{Authorization, Policy, Preflight, Presence};
use crate::access::Access;
use crate::check::Needs;
use crate::context::PolicyContext;
use crate::credentials::RequestHead;
use crate::error::{BuildError, Refusal, Rejection, RejectionKind};
use crate::issuer::{Attempt, KeyWait, Remedy};
use crate::verify::Stop;

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
    /// Ask again after this.
    Wait(KeyWait),
}

impl Guard {
    pub(super) fn new(shared: &Arc<Shared>, policy: Policy) -> Result<Self, BuildError> {
        let needs = Needs::of(&*policy.check);
        BuildError::unless_none(needs.faults().to_vec(), ())?;
        shared.document.add_scopes(needs.scopes());
        shared.document.add_scopes(needs.alternatives());
        let context = PolicyContext {
            params: Arc::clone(&shared.params),
            implies: shared.implies.clone(),
            visibility: policy.visibility,
            ..PolicyContext::default()
        };
        let context = context.with_scopes(needs.scopes());
        Ok(Self::with(shared, policy, context, None))
    }

    /// A guard that refuses everything, if the policy is faulty.
    pub(crate) fn faulty_or_not(shared: &Arc<Shared>, policy: Policy) -> Self {
        Self::new(shared, policy.clone()).unwrap_or_else(|fault| {
            tracing::error!("a faulty policy refuses every request with 500: {fault}");
            Self::with(shared, policy, PolicyContext::default(), Some(fault))
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
        let decision = self.verify_optional(request);
        async move { decision.await?.ok_or_else(|| self.without_credentials()) }
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
        self.decide_and_wait(head)
    }

    async fn decide_and_wait(&self, head: RequestHead<'_>) -> Result<Option<Access>, Rejection> {
        let mut attempt = Attempt::First;
        loop {
            match self.decide(head, attempt) {
                Verdict::Pass(Passed::Access(access)) => return Ok(Some(access)),
                Verdict::Pass(Passed::Anonymous) => return Ok(None),
                Verdict::Pass(Passed::Preflight) => return Err(self.without_credentials()),
                Verdict::Refuse(rejection) => return Err(rejection),
                Verdict::Wait(wait) => {
                    wait.await;
                    attempt = Attempt::AfterWait;
                }
            }
        }
    }

    /// Decides a request without waiting.
    pub(crate) fn decide(&self, head: RequestHead<'_>, attempt: Attempt) -> Verdict {
        let Inner { shared, policy, context, fault } = &*self.inner;
        if let Some(fault) = fault {
            let refusal = Refusal::new(RejectionKind::Misconfigured, fault.to_string());
            return Verdict::Refuse(self.reject(refusal));
        }
        if policy.preflight == Preflight::Pass && is_preflight(head) {
            return Verdict::Pass(Passed::Preflight);
        }
        let absent = !head.headers.contains_key(AUTHORIZATION);
        if policy.presence == Presence::Optional && absent {
            return Verdict::Pass(Passed::Anonymous);
        }
        let at = shared.clock.moment();
        let mut attempt = attempt;
        loop {
            let stop = match shared.rules.decide(head, &*policy.check, context, at, attempt) {
                Ok(access) => return Verdict::Pass(Passed::Access(access)),
                Err(stop) => stop,
            };
            let refusal = match stop {
                Stop::Refused(refusal) => refusal,
                Stop::NoKey { issuer, miss, mut refusal } => {
                    match issuer.remedy(miss, at, attempt) {
                        Remedy::Wait(wait) => return Verdict::Wait(wait),
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
            return Verdict::Refuse(self.reject(refusal));
        }
    }

    pub(crate) fn reject(&self, refusal: Refusal) -> Rejection {
        Rejection::new(refusal, Arc::clone(&self.inner.context))
    }

    pub(crate) fn context(&self) -> &Arc<PolicyContext> {
        &self.inner.context
    }

    pub(crate) fn authorization(&self) -> Authorization {
        self.inner.policy.authorization
    }

    fn without_credentials(&self) -> Rejection {
        self.reject(Refusal::new(RejectionKind::NoCredentials, "no Authorization field"))
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
