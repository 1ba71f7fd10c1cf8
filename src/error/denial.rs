use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use crate::name::{NameError, Scope, is_scope_token};

/// What a check answers when the answer is not "yes".
#[derive(Clone, Debug, thiserror::Error)]
pub enum CheckError {
    /// "No": the client must change something. 401 or 403.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// "Cannot tell": nothing is wrong with the request. 503.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// The answer a [`Denial`] stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DenialKind {
    /// 403 `insufficient_scope` (RFC 6750 §3.1): the token does not grant enough.
    InsufficientScope,
    /// 401 `invalid_token` (RFC 6750 §3.1): the token is no good here after all, for example
    /// because its subject is unknown (RFC 8725 §3.8).
    InvalidToken,
    /// 401 `insufficient_user_authentication` (RFC 9470 §3): the user has to authenticate again,
    /// or more strongly.
    InsufficientAuthentication,
}

/// How a user has to have authenticated (RFC 9470 §3): the `acr_values` and `max_age` of a
/// challenge.
///
/// ```
/// use std::time::Duration;
/// use portcullis::check::StepUp;
///
/// let strong = StepUp::new().acr_values(["phrh", "phr"]).max_age(Duration::from_mins(5));
/// assert_eq!(strong.max_age_limit(), Some(Duration::from_mins(5)));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[must_use = "it does nothing until it is part of a denial or a check"]
pub struct StepUp {
    /// `None`: any. An empty list is one that nobody can satisfy.
    acr_values: Option<Vec<Box<str>>>,
    max_age: Option<Duration>,
}

impl StepUp {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One of these authentication context classes, preferred ones first. Each is one word of
    /// printable ASCII without quote and backslash; others, and an empty list, are a fault of the
    /// policy.
    pub fn acr_values<A: Into<String>>(mut self, values: impl IntoIterator<Item = A>) -> Self {
        self.acr_values = Some(values.into_iter().map(|value| value.into().into()).collect());
        self
    }

    /// Authenticated no longer ago than this, in whole seconds.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// The authentication context classes, preferred ones first.
    pub fn acr_value_list(&self) -> impl ExactSizeIterator<Item = &str> {
        self.acr_values.as_deref().unwrap_or_default().iter().map(AsRef::as_ref)
    }

    /// How long ago the user may have authenticated.
    #[must_use]
    pub fn max_age_limit(&self) -> Option<Duration> {
        self.max_age
    }

    /// What is wanted, behind why it is not met.
    fn write_wanted(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, class) in self.acr_value_list().enumerate() {
            f.write_str(if index == 0 { ", wanted `acr` " } else { " or " })?;
            f.write_str(class)?;
        }
        match self.max_age {
            Some(age) => write!(f, ", wanted at most {age:?} ago"),
            None => Ok(()),
        }
    }

    pub(crate) fn faults(&self) -> Vec<NameError> {
        let mut faults = Vec::new();
        if self.acr_values.is_none() && self.max_age.is_none() {
            faults.push(NameError::new(
                "step-up",
                "",
                "names neither an `acr` nor a maximum age; say one",
            ));
        }
        if self.acr_values.as_ref().is_some_and(Vec::is_empty) {
            faults.push(NameError::new("acr value", "", "is none at all; name at least one"));
        }
        for value in self.acr_value_list().filter(|value| !is_scope_token(value.as_bytes())) {
            let wanted = "is not one word of printable ASCII without \" and \\ (RFC 9470 §3)";
            faults.push(NameError::new("acr value", value, wanted));
        }
        if let Some(age) = self.max_age.filter(|age| age.subsec_nanos() != 0) {
            let found = format!("{age:?}");
            faults.push(NameError::new(
                "max_age",
                &found,
                "is not in whole seconds (RFC 9470 §3); leave the fraction out",
            ));
        }
        faults
    }
}

/// "No", from a check.
#[derive(Clone, PartialEq, Eq)]
pub struct Denial {
    kind: DenialKind,
    scopes: Vec<Scope>,
    step_up: Option<StepUp>,
    reason: Cow<'static, str>,
}

impl Denial {
    /// The token does not grant enough: 403 `insufficient_scope` (RFC 6750 has no other code for
    /// it), without a `scope`, since no scope would help.
    ///
    /// `reason` is for operators only. It never reaches the client.
    #[must_use]
    pub fn forbidden(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::of(DenialKind::InsufficientScope, reason)
    }

    fn of(kind: DenialKind, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, scopes: Vec::new(), step_up: None, reason: reason.into() }
    }

    /// The token lacks these scopes: 403 `insufficient_scope`, with all of them in one challenge.
    ///
    /// # Errors
    /// If one of them is not a scope token.
    pub fn missing_scopes<'a>(
        scopes: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, NameError> {
        let scopes = scopes.into_iter().map(Scope::parse).collect::<Result<Vec<_>, _>>()?;
        Ok(Self::lacking(scopes, "the token's scope is not enough"))
    }

    pub(crate) fn lacking(scopes: Vec<Scope>, reason: &'static str) -> Self {
        Self { scopes, ..Self::of(DenialKind::InsufficientScope, reason) }
    }

    /// The token is not acceptable after all: 401 `invalid_token`.
    ///
    /// `reason` is for operators only. It never reaches the client.
    #[must_use]
    pub fn invalid_token(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::of(DenialKind::InvalidToken, reason)
    }

    /// The user has to authenticate as this says: 401 `insufficient_user_authentication` with
    /// `acr_values` and `max_age` (RFC 9470 §3). Values that no challenge can carry are left out.
    ///
    /// `reason` is for operators only. It never reaches the client.
    #[must_use]
    pub fn step_up(step_up: StepUp, reason: impl Into<Cow<'static, str>>) -> Self {
        let of = Self::of(DenialKind::InsufficientAuthentication, reason);
        Self { step_up: Some(step_up), ..of }
    }

    /// How the user has to authenticate, if that was what lacked.
    #[must_use]
    pub fn wanted_step_up(&self) -> Option<&StepUp> {
        self.step_up.as_ref()
    }

    /// The answer this stands for.
    #[must_use]
    pub fn kind(&self) -> DenialKind {
        self.kind
    }

    /// The scopes that would have been enough, if scope was what lacked.
    #[must_use]
    pub fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    /// Why, for operators.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Debug for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Denial")
            .field("kind", &self.kind)
            .field("scopes", &self.scopes)
            .field("reason", &self.reason)
            .finish()
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        for (index, scope) in self.scopes.iter().enumerate() {
            f.write_str(if index == 0 { ", wanted " } else { " " })?;
            f.write_str(scope.as_str())?;
        }
        if !self.scopes.is_empty() {
            f.write_str(": the client has to ask for a token that grants this")?;
        }
        self.step_up.as_ref().map_or(Ok(()), |step_up| step_up.write_wanted(f))
    }
}

impl std::error::Error for Denial {}

/// "Cannot tell now", from a check or from a source that a decision needs: 503 with
/// `Retry-After`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable {
    reason: Cow<'static, str>,
    retry_after: Duration,
}

impl Unavailable {
    /// What `Retry-After` says unless a check knows better.
    pub const RETRY_AFTER: Duration = Duration::from_secs(5);

    /// `reason` is for operators only. It never reaches the client.
    #[must_use]
    pub fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { reason: reason.into(), retry_after: Self::RETRY_AFTER }
    }

    /// When the client may try again; sent in whole seconds, rounded up, at least 1.
    #[must_use]
    pub fn retry_after(mut self, time: Duration) -> Self {
        self.retry_after = time;
        self
    }

    pub(crate) fn retry_after_time(&self) -> Duration {
        self.retry_after
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Unavailable {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_of_scope_says_which_and_what_helps() {
        let denial = Denial::missing_scopes(["notes:read", "notes:write"]).unwrap();
        assert_eq!(
            denial.to_string(),
            "the token's scope is not enough, wanted notes:read notes:write: the client has to ask \
             for a token that grants this"
        );
        assert_eq!(Denial::forbidden("not yours").to_string(), "not yours");
        let strong = StepUp::new().acr_values(["phrh", "phr"]).max_age(Duration::from_mins(5));
        assert_eq!(
            Denial::step_up(strong, "`acr` is absent").to_string(),
            "`acr` is absent, wanted `acr` phrh or phr, wanted at most 300s ago"
        );
        assert_eq!(Denial::step_up(StepUp::new(), "too weak").to_string(), "too weak");
        assert!(Denial::missing_scopes(["not a scope"]).is_err());
    }
}
