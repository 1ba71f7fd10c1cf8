//! In whose name a request is decided and refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, OnceLock};

use http::HeaderValue;

use crate::error::StepUp;
use crate::name::{Audience, Scheme, Scope};
use crate::observe::Observers;

/// What every challenge of one server has in common. Data only: [`crate::challenge`] makes it from
/// the configuration and is the one place that reads it.
#[derive(Debug, Default)]
pub(crate) struct ChallengeParams {
    /// The auth-params that come first in every challenge, ready to send: never empty.
    pub(crate) common: String,
    /// The auth-params that come with an `error`, ready to send.
    pub(crate) with_error: String,
    /// The algorithms of DPoP proofs that are accepted, with spaces between them.
    pub(crate) algs: String,
}

/// What all policies of one server have in common.
#[derive(Debug, Default)]
pub(crate) struct ServerContext {
    pub(crate) params: ChallengeParams,
    pub(crate) implies: Implies,
    /// The names by which tokens and details call this resource.
    pub(crate) audiences: Vec<Audience>,
    pub(crate) observers: Arc<Observers>,
    pub(crate) nonces: NonceIssuing,
}

/// Whether a server makes nonces for DPoP proofs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum NonceIssuing {
    #[default]
    Off,
    On,
}

/// The server and the policies that a request has met so far. It goes with the request, so that a
/// layer or an extractor below refuses as the layer above would.
#[derive(Clone, Debug, Default)]
pub(crate) struct PolicyContext {
    pub(crate) server: Arc<ServerContext>,
    /// The policy's name.
    pub(crate) route: Arc<str>,
    /// The scopes that the policies want, once each.
    pub(crate) scopes: Vec<Scope>,
    /// How the policies want the user to have authenticated.
    pub(crate) step_ups: Vec<StepUp>,
    /// What a client may present a token with, here.
    pub(crate) schemes: Schemes,
    pub(crate) visibility: ChallengeVisibility,
    pub(crate) ready: ReadyChallenges,
}

/// Challenges that were written before: data only, as [`ChallengeParams`]. A clone has none, since what is
/// cloned is about to want more.
#[derive(Debug, Default)]
pub(crate) struct ReadyChallenges {
    places: OnceLock<Box<[[OnceLock<HeaderValue>; 1 + Self::ERRORS]; Self::SCHEMES]>>,
}

impl ReadyChallenges {
    /// Of each scheme one without an error, and so many with one.
    pub(crate) const ERRORS: usize = 3;
    const SCHEMES: usize = 2;

    /// The challenge at this place, written if it was not; `None` beyond the last place.
    pub(crate) fn get_or_write(
        &self,
        scheme: Scheme,
        place: usize,
        write: impl Fn() -> HeaderValue,
    ) -> Option<HeaderValue> {
        let [bearer, dpop] = &**self.places.get_or_init(Default::default);
        let of_scheme = match scheme {
            Scheme::Bearer => bearer,
            Scheme::Dpop => dpop,
        };
        Some(of_scheme.get(place)?.get_or_init(write).clone())
    }
}

impl Clone for ReadyChallenges {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PolicyContext {
    /// The context of a further policy below this one.
    pub(crate) fn with_needs(&self, scopes: &[Scope], step_ups: &[StepUp]) -> Self {
        let mut context = self.clone();
        for scope in scopes {
            if !context.scopes.contains(scope) {
                context.scopes.push(scope.clone());
            }
        }
        for step_up in step_ups {
            if !context.step_ups.contains(step_up) {
                context.step_ups.push(step_up.clone());
            }
        }
        context
    }
}

/// The authentication schemes that a route offers: what challenges say to a client that has to
/// choose one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Schemes {
    #[default]
    Bearer,
    Dpop,
    Both,
}

impl Schemes {
    pub(crate) const fn offered(self) -> &'static [Scheme] {
        match self {
            Self::Bearer => &[Scheme::Bearer],
            Self::Dpop => &[Scheme::Dpop],
            Self::Both => &[Scheme::Bearer, Scheme::Dpop],
        }
    }
}

/// Whether scripts of other origins may read the challenge of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum ChallengeVisibility {
    #[default]
    SameOrigin,
    Exposed,
}

/// The server's rules that one scope implies another, if it was given any.
#[derive(Clone, Default)]
pub(crate) struct Implies {
    /// What each scope grants beside itself, and what those grant.
    pub(crate) table: BTreeMap<Scope, BTreeSet<Scope>>,
    pub(crate) rule: Option<Arc<ImplyFn>>,
}

/// `(held, wanted)`
pub(crate) type ImplyFn = dyn Fn(&str, &str) -> bool + Send + Sync;

impl Implies {
    /// The table of what each scope grants directly, completed by what those grant.
    pub(crate) fn complete(
        direct: &BTreeMap<Scope, BTreeSet<Scope>>,
    ) -> BTreeMap<Scope, BTreeSet<Scope>> {
        let grants = |held: &Scope| {
            let mut granted = BTreeSet::new();
            let mut open = vec![held];
            while let Some(scope) = open.pop() {
                for next in direct.get(scope).into_iter().flatten() {
                    if granted.insert(next.clone()) {
                        open.push(next);
                    }
                }
            }
            granted
        };
        direct.keys().map(|held| (held.clone(), grants(held))).collect()
    }

    /// Whether nothing implies anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty() && self.rule.is_none()
    }

    pub(crate) fn implies(&self, held: &str, wanted: &str) -> bool {
        let in_table = self.table.get(held).is_some_and(|granted| granted.contains(wanted));
        in_table || self.rule.as_ref().is_some_and(|rule| rule(held, wanted))
    }
}

impl fmt::Debug for Implies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Implies")
            .field("table", &self.table)
            .field("rule", &self.rule.is_some())
            .finish()
    }
}
