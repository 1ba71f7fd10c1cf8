use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use crate::name::{NameError, Scope};

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
}

/// "No", from a check.
#[derive(Clone, PartialEq, Eq)]
pub struct Denial {
    kind: DenialKind,
    scopes: Vec<Scope>,
    reason: Cow<'static, str>,
}

impl Denial {
    /// The token does not grant enough: 403 `insufficient_scope` (RFC 6750 has no other code for
    /// it), without a `scope`, since no scope would help.
    ///
    /// `reason` is for operators only. It never reaches the client.
    #[must_use]
    pub fn forbidden(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { kind: DenialKind::InsufficientScope, scopes: Vec::new(), reason: reason.into() }
    }

    /// The token lacks these scopes: 403 `insufficient_scope`, with all of them in one challenge.
    ///
    /// # Errors
    /// If one of them is not a scope token.
    pub fn missing_scopes<'a>(
        scopes: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, NameError> {
        let scopes = scopes.into_iter().map(Scope::parse).collect::<Result<Vec<_>, _>>()?;
        Ok(Self::lacking(scopes))
    }

    pub(crate) fn lacking(scopes: Vec<Scope>) -> Self {
        let reason = Cow::Borrowed("the token's scope does not cover the request");
        Self { kind: DenialKind::InsufficientScope, scopes, reason }
    }

    /// The token is not acceptable after all: 401 `invalid_token`.
    ///
    /// `reason` is for operators only. It never reaches the client.
    #[must_use]
    pub fn invalid_token(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { kind: DenialKind::InvalidToken, scopes: Vec::new(), reason: reason.into() }
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
        Ok(())
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
