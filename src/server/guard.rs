use std::fmt;
use std::sync::Arc;

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, ORIGIN};
use http::request::Parts;
use http::{Method, Response};

use super::Shared;
use super::policy::{Authorization, ChallengeVisibility, Policy, Preflight, Presence};
use crate::access::Access;
use crate::check::{Needs, RequestHead};
use crate::error::{BuildError, Refusal, Rejection, RejectionKind};
use crate::issuer::{Attempt, KeyWait};
use crate::verify::Stop;

/// A policy of a server, ready to decide: what [`crate::ResourceServer::protect`] mounts, for use
/// without tower.
#[derive(Clone)]
pub struct Guard {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    policy: Policy,
    /// The scopes of the policy, as a challenge names them.
    scope: Option<Arc<str>>,
    fault: Option<BuildError>,
}

/// What a guard decided about a request that may pass.
pub(crate) enum Passed {
    /// It has an accepted token.
    Access(Access),
    /// It has none, and needs none.
    Undecided,
}

/// What a guard says now.
pub(crate) enum Answer {
    Pass(Passed),
    Refuse(Rejection),
    /// Ask again after this.
    Wait(KeyWait),
}

impl Guard {
    pub(super) fn new(shared: &Arc<Shared>, policy: Policy) -> Result<Self, BuildError> {
        let (scopes, faults) = Needs::of(&*policy.check).into_parts();
        BuildError::unless_none(faults, ())?;
        shared.document.add_scopes(&scopes);
        let names: Vec<&str> = scopes.iter().map(AsRef::as_ref).collect();
        let scope = (!names.is_empty()).then(|| names.join(" ").into());
        Ok(Self::with(shared, policy, scope, None))
    }

    /// A guard that refuses everything, if the policy is faulty.
    pub(crate) fn faulty_or_not(shared: &Arc<Shared>, policy: Policy) -> Self {
        Self::new(shared, policy.clone()).unwrap_or_else(|fault| {
            tracing::error!("a faulty policy refuses every request with 500: {fault}");
            Self::with(shared, policy, None, Some(fault))
        })
    }

    fn with(
        shared: &Arc<Shared>,
        policy: Policy,
        scope: Option<Arc<str>>,
        fault: Option<BuildError>,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                shared: Arc::clone(shared),
                policy,
                scope,
                fault,
            }),
        }
    }

    /// Decides a request: the accepted token, or why it may not be used.
    ///
    /// Dropping the future loses nothing: a fetch that it started goes on.
    ///
    /// # Errors
    /// The [`Rejection`]; without credentials too, even if the policy says they are optional.
    pub async fn verify(&self, request: &Parts) -> Result<Access, Rejection> {
        match self.verify_optional(request).await? {
            Some(access) => Ok(access),
            None => Err(self.reject(Refusal::new(
                RejectionKind::NoCredentials,
                "no Authorization field",
            ))),
        }
    }

    /// Decides a request as the layer does: `None` if it has no credentials and the policy says
    /// that they are optional.
    ///
    /// # Errors
    /// The [`Rejection`].
    pub async fn verify_optional(&self, request: &Parts) -> Result<Option<Access>, Rejection> {
        let mut attempt = Attempt::First;
        loop {
            match self.answer(RequestHead::from(request), attempt) {
                Answer::Pass(Passed::Access(access)) => return Ok(Some(access)),
                Answer::Pass(Passed::Undecided) => return Ok(None),
                Answer::Refuse(rejection) => return Err(rejection),
                Answer::Wait(wait) => {
                    wait.await;
                    attempt = Attempt::AfterWait;
                }
            }
        }
    }

    /// Decides a request without waiting.
    pub(crate) fn answer(&self, head: RequestHead<'_>, attempt: Attempt) -> Answer {
        let Inner {
            shared,
            policy,
            fault,
            ..
        } = &*self.inner;
        if let Some(fault) = fault {
            let refusal = Refusal::new(RejectionKind::Misconfigured, fault.to_string());
            return Answer::Refuse(self.reject(refusal));
        }
        if policy.preflight == Preflight::Pass && is_preflight(head) {
            return Answer::Pass(Passed::Undecided);
        }
        let absent = !head.headers.contains_key(AUTHORIZATION);
        if policy.presence == Presence::Optional && absent {
            return Answer::Pass(Passed::Undecided);
        }
        let at = shared.clock.moment();
        match shared.rules.decide(head, &*policy.check, at, attempt) {
            Ok(access) => Answer::Pass(Passed::Access(access)),
            Err(Stop::Refused(refusal)) => Answer::Refuse(self.reject(refusal)),
            Err(Stop::Wait(wait)) => Answer::Wait(wait),
        }
    }

    pub(crate) fn reject(&self, refusal: Refusal) -> Rejection {
        let Inner { shared, scope, .. } = &*self.inner;
        let rejection = Rejection::new(refusal, Arc::clone(&shared.rules.answers), scope.clone());
        tracing::debug!(
            kind = rejection.kind().as_str(),
            step = rejection.step().number(),
            "refused: {rejection}"
        );
        rejection
    }

    pub(crate) fn answers(&self) -> &Arc<crate::error::Answers> {
        &self.inner.shared.rules.answers
    }

    pub(crate) fn authorization(&self) -> Authorization {
        self.inner.policy.authorization
    }

    /// Adds what the policy wants on a refusal.
    pub(crate) fn finish<B>(&self, response: &mut Response<B>) {
        if self.inner.policy.challenge == ChallengeVisibility::Exposed {
            response.headers_mut().append(
                http::header::ACCESS_CONTROL_EXPOSE_HEADERS,
                http::HeaderValue::from_static("WWW-Authenticate, Retry-After"),
            );
        }
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
            .field("scope", &self.inner.scope)
            .finish_non_exhaustive()
    }
}
