use std::fmt;
use std::sync::Arc;

use crate::check::{Check, Needs};
use crate::context::ChallengeVisibility;
use crate::error::ConfigFault;

/// What a route or a router wants of a request: a check, and how the request is treated.
///
/// Every [`Check`] is a policy as it stands.
///
/// ```
/// use portcullis::check::scope;
/// use portcullis::{Policy, Preflight};
///
/// let policy = Policy::new(scope("notes:read"))
///     .optional()
///     .preflight(Preflight::Pass)
///     .strip_authorization();
/// ```
#[derive(Clone)]
#[must_use = "a policy does nothing until it is given to `protect`"]
pub struct Policy {
    pub(super) check: Arc<dyn Check>,
    pub(super) presence: Presence,
    pub(super) preflight: Preflight,
    pub(super) authorization: Authorization,
    pub(super) visibility: ChallengeVisibility,
}

/// Whether a request without credentials is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    Required,
    Optional,
}

/// What becomes of a CORS preflight, which can never carry a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Preflight {
    /// It is refused like any request without credentials.
    #[default]
    Refuse,
    /// It passes undecided, without an [`crate::Access`], for a CORS layer or handler inside.
    /// Whatever answers `OPTIONS` there can be reached by everybody; handlers that want an
    /// [`crate::Access`], or an optional one, still refuse it.
    Pass,
}

/// What the inner service sees of the credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Authorization {
    Keep,
    Strip,
}

impl Policy {
    /// A policy that wants this of an accepted token.
    pub fn new(check: impl Check + 'static) -> Self {
        Self {
            check: Arc::new(check),
            presence: Presence::Required,
            preflight: Preflight::Refuse,
            authorization: Authorization::Keep,
            visibility: ChallengeVisibility::SameOrigin,
        }
    }

    /// Lets a request without an `Authorization` field pass, without an [`crate::Access`] and
    /// without asking the checks. A bad token, and another scheme, are still refused.
    pub fn optional(mut self) -> Self {
        self.presence = Presence::Optional;
        self
    }

    /// What becomes of a CORS preflight.
    pub fn preflight(mut self, preflight: Preflight) -> Self {
        self.preflight = preflight;
        self
    }

    /// Removes `Authorization` from what the inner service sees, so that a proxy cannot pass the
    /// token on and a handler cannot log it.
    pub fn strip_authorization(mut self) -> Self {
        self.authorization = Authorization::Strip;
        self
    }

    /// Lists `WWW-Authenticate` in `Access-Control-Expose-Headers` of refusals, so that scripts of
    /// other origins can read the challenge.
    pub fn expose_challenge(mut self) -> Self {
        self.visibility = ChallengeVisibility::Exposed;
        self
    }

    pub(super) fn faults(&self) -> Vec<ConfigFault> {
        Needs::of(&*self.check).faults().to_vec()
    }
}

impl<C: Check + 'static> From<C> for Policy {
    fn from(check: C) -> Self {
        Self::new(check)
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("presence", &self.presence)
            .field("preflight", &self.preflight)
            .field("authorization", &self.authorization)
            .field("visibility", &self.visibility)
            .finish_non_exhaustive()
    }
}
