use std::time::Duration;

use serde_json::Map;

use super::{Check, CheckContext, CheckError, Denial, Needs};
use crate::error::StepUp;
use crate::time::shown_duration;

/// How far the clock of an issuer may be ahead: the most that RFC 9068 §4 has in mind ("no more
/// than a few minutes").
const AHEAD: Duration = Duration::from_mins(5);

/// The user authenticated like this (RFC 9470); else 401 `insufficient_user_authentication`, which
/// says how. The challenge is the same for every user.
///
/// Ages are measured from `auth_time`, which a refresh of the token does not move. A token without
/// `acr`, or without `auth_time` where an age is wanted, does not show enough; neither does one
/// whose `auth_time` lies more than five minutes ahead.
///
/// Only who brings an accepted token is told what is wanted: a bad token, or none, learns no more
/// than the scopes (RFC 9470 §9).
///
/// ```
/// use std::time::Duration;
/// use portcullis::check::{StepUp, step_up};
///
/// let strong = step_up(StepUp::new().acr_values(["phrh"]).max_age(Duration::from_mins(5)));
///
/// # #[cfg(feature = "testing")] {
/// use portcullis::testing::{TestAccess, check};
/// let token = TestAccess::new().claim("auth_time", 1_800_000_000 - 60);
/// assert!(check(&strong, &token.clone().claim("acr", "phrh").build(), "GET", "/").is_ok());
/// assert!(check(&strong, &token.claim("acr", "pwd").build(), "GET", "/").is_err());
/// # }
/// ```
#[must_use]
pub fn step_up(wanted: StepUp) -> RequireStepUp {
    RequireStepUp(wanted)
}

/// The user's authentication satisfied one of these context classes, preferred ones first
/// (RFC 9470 §3). Classes have no order here: name each that is good enough. With none, it is a
/// fault of the policy.
///
/// ```
/// use std::time::Duration;
/// use portcullis::check::{Check, acr, scope};
///
/// let check = scope("payments").and(acr(["phrh", "phr"]).within(Duration::from_mins(5)));
/// # let _ = check;
/// ```
#[must_use]
pub fn acr<A: Into<String>>(values: impl IntoIterator<Item = A>) -> RequireStepUp {
    step_up(StepUp::new().acr_values(values))
}

/// The user authenticated no longer ago than this, in whole seconds (RFC 9470 §3). The leeway does
/// not add to it.
///
/// ```
/// use std::time::Duration;
/// use portcullis::check::{Check, authenticated_within, scope};
///
/// let fresh = scope("payments").and(authenticated_within(Duration::from_mins(5)));
/// # let _ = fresh;
/// ```
#[must_use]
pub fn authenticated_within(age: Duration) -> RequireStepUp {
    step_up(StepUp::new().max_age(age))
}

/// The check of [`step_up`], [`acr`] and [`authenticated_within`].
#[derive(Clone, Debug)]
pub struct RequireStepUp(StepUp);

impl RequireStepUp {
    /// And no longer ago than this, in whole seconds.
    #[must_use]
    pub fn within(self, age: Duration) -> Self {
        Self(self.0.max_age(age))
    }
}

impl Check for RequireStepUp {
    fn check(&self, request: &CheckContext<'_>) -> Result<(), CheckError> {
        if !self.0.faults().is_empty() {
            return Err(Denial::forbidden("the policy names no authentication").into());
        }
        match unmet(&self.0, request) {
            None => Ok(()),
            Some(why) => Err(Denial::step_up(self.0.clone(), why).into()),
        }
    }

    fn needs(&self, needs: &mut Needs) {
        needs.step_up(&self.0);
        let values: Vec<_> = self.0.acr_value_list().collect();
        let mut rule = Map::new();
        if !values.is_empty() {
            rule.insert("acr_values".to_owned(), values.into());
        }
        if let Some(age) = self.0.max_age_limit() {
            rule.insert("max_age".to_owned(), shown_duration(age).into());
        }
        needs.rule("step_up", rule);
    }
}

/// Why the token does not show this authentication, if it does not.
pub(crate) fn unmet(wanted: &StepUp, request: &CheckContext<'_>) -> Option<&'static str> {
    let access = request.access();
    let mut classes = wanted.acr_value_list().peekable();
    if classes.peek().is_some() && !classes.any(|class| access.acr() == Some(class)) {
        return Some("`acr` is absent or another than wanted");
    }
    let limit = wanted.max_age_limit()?;
    let Some(auth_time) = access.auth_time() else {
        return Some("`auth_time` is absent, and a maximum age is wanted");
    };
    if auth_time > request.now().plus(AHEAD) {
        // A broken clock would make the authentication of its user young for ever.
        return Some("`auth_time` lies in the future");
    }
    let age = request.now().since(auth_time).unwrap_or_default();
    (age > limit).then_some("`auth_time` is longer ago than wanted")
}

/// What all of these want, as one challenge can say it: of lists of classes what they have in
/// common, or else the last; of ages the least. Whoever lacks some of it is told all of it, so that one
/// authentication is enough, and the challenge does not say what was lacking (RFC 9470 §9).
pub(crate) fn combined<'a>(step_ups: impl IntoIterator<Item = &'a StepUp>) -> Option<StepUp> {
    step_ups.into_iter().cloned().reduce(|all, next| {
        let (ours, others): (Vec<_>, Vec<_>) =
            (all.acr_value_list().collect(), next.acr_value_list().collect());
        let common: Vec<_> = ours.iter().filter(|class| others.contains(class)).copied().collect();
        let classes = match (ours.is_empty(), others.is_empty(), common.is_empty()) {
            (_, true, _) => ours,
            // Nobody has both: what was found lacking comes last.
            (true, _, _) | (_, _, true) => others,
            (false, false, false) => common,
        };
        let age = match (all.max_age_limit(), next.max_age_limit()) {
            (Some(ours), Some(other)) => Some(ours.min(other)),
            (ours, other) => ours.or(other),
        };
        let both = match classes.is_empty() {
            true => StepUp::new(),
            false => StepUp::new().acr_values(classes),
        };
        age.into_iter().fold(both, StepUp::max_age)
    })
}
