use std::time::Duration;

use serde_json::json;

use super::{Check, CheckContext, CheckError, Denial, Needs};
use crate::error::StepUp;
use crate::time::shown_duration;

/// The user authenticated like this (RFC 9470); else 401 `insufficient_user_authentication`, which
/// says how. The challenge is the same for every user.
///
/// Ages are measured from `auth_time`, which a refresh of the token does not move. A token without
/// `acr`, or without `auth_time` where an age is wanted, does not show enough.
#[must_use]
pub fn step_up(wanted: StepUp) -> RequireStepUp {
    RequireStepUp(wanted)
}

/// The user's authentication satisfied one of these context classes, preferred ones first.
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

/// The user authenticated no longer ago than this, in whole seconds. The leeway does not add to it.
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
        let max_age = self.0.max_age_limit().map(shown_duration);
        needs.rule("step_up", json!({ "acr_values": values, "max_age": max_age }));
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
    // An authentication in the future is as young as can be; the issuer's clock may be ahead.
    let age = request.now().since(auth_time).unwrap_or_default();
    (age > limit).then_some("`auth_time` is longer ago than wanted")
}
