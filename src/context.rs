//! In whose name a request is decided and refused.

use std::fmt;
use std::sync::Arc;

use crate::name::Scope;

/// What every challenge of one server has in common. Data only: [`crate::challenge`] makes it from
/// the configuration and is the one place that reads it.
#[derive(Debug, Default)]
pub(crate) struct ChallengeParams {
    /// The auth-params that come first in every challenge, ready to send: never empty.
    pub(crate) common: String,
    /// The auth-params that come with an `error`, ready to send.
    pub(crate) with_error: String,
}

/// The server and the policies that a request has met so far. It goes with the request, so that a
/// layer or an extractor below refuses as the layer above would.
#[derive(Clone, Debug, Default)]
pub(crate) struct PolicyContext {
    pub(crate) params: Arc<ChallengeParams>,
    pub(crate) implies: Implies,
    /// The scopes that the policies want, once each.
    pub(crate) scopes: Vec<Scope>,
    pub(crate) visibility: ChallengeVisibility,
}

impl PolicyContext {
    /// The context of a further policy below this one.
    pub(crate) fn with_scopes(&self, more: &[Scope]) -> Self {
        let mut context = self.clone();
        for scope in more {
            if !context.scopes.contains(scope) {
                context.scopes.push(scope.clone());
            }
        }
        context
    }
}

/// Whether scripts of other origins may read the challenge of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum ChallengeVisibility {
    #[default]
    SameOrigin,
    Exposed,
}

/// The server's rule that one scope implies another, if it was given one.
#[derive(Clone, Default)]
pub(crate) struct Implies(pub(crate) Option<Arc<ImplyFn>>);

/// `(held, wanted)`
pub(crate) type ImplyFn = dyn Fn(&str, &str) -> bool + Send + Sync;

impl Implies {
    pub(crate) fn implies(&self, held: &str, wanted: &str) -> bool {
        self.0.as_ref().is_some_and(|rule| rule(held, wanted))
    }
}

impl fmt::Debug for Implies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Implies").field(&self.0.is_some()).finish()
    }
}
