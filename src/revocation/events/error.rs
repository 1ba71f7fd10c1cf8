use std::borrow::Cow;
use std::fmt;

use serde_json::{Value, json};

/// Why a SET is refused, in the words that its transmitter is told: RFC 8935 §2.4, and SSF §8.1.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SetErrorCode {
    /// It cannot be read as a SET, or its event is not what the event's definition wants.
    InvalidRequest,
    /// It is not signed with a key and an algorithm that are accepted.
    InvalidKey,
    /// Its issuer is another one.
    InvalidIssuer,
    /// It is for somebody else.
    InvalidAudience,
    /// Whoever sends it did not say who it is, or not rightly.
    AuthenticationFailed,
    /// Whoever sends it may not.
    AccessDenied,
    /// It answers a question that was not asked: SSF §8.1.4.1.
    InvalidState,
}

impl SetErrorCode {
    /// Every one of them.
    pub const ALL: &'static [Self] = &[
        Self::InvalidRequest,
        Self::InvalidKey,
        Self::InvalidIssuer,
        Self::InvalidAudience,
        Self::AuthenticationFailed,
        Self::AccessDenied,
        Self::InvalidState,
    ];

    /// The code, as it stands in `err`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidKey => "invalid_key",
            Self::InvalidIssuer => "invalid_issuer",
            Self::InvalidAudience => "invalid_audience",
            Self::AuthenticationFailed => "authentication_failed",
            Self::AccessDenied => "access_denied",
            Self::InvalidState => "invalid_state",
        }
    }
}

impl fmt::Display for SetErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A SET that is refused: it is bad, and will not be better another time, unless it
/// [is early](Self::is_early). It holds nothing of the SET but the names of its members.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {what}")]
pub struct SetError {
    code: SetErrorCode,
    what: Cow<'static, str>,
    early: bool,
}

impl SetError {
    pub(super) fn new(code: SetErrorCode, what: impl Into<Cow<'static, str>>) -> Self {
        Self { code, what: what.into(), early: false }
    }

    /// What is not a SET, or not a known event.
    pub(super) fn request(what: impl Into<Cow<'static, str>>) -> Self {
        Self::new(SetErrorCode::InvalidRequest, what)
    }

    /// What is good at a later time.
    pub(super) fn early(what: impl Into<Cow<'static, str>>) -> Self {
        Self { early: true, ..Self::request(what) }
    }

    /// Whether it is proven to be the transmitter's, and only its time has not come: one of the two
    /// clocks is wrong. Do not refuse it: a transmitter that hears "bad" sends it no more.
    #[must_use]
    pub fn is_early(&self) -> bool {
        self.early
    }

    /// The code, for `err`.
    #[must_use]
    pub fn code(&self) -> SetErrorCode {
        self.code
    }

    /// What was found and what was wanted, in English, for `description`.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.what
    }

    /// As RFC 8935 §2.3 and RFC 8936 §2.6 want it.
    pub(super) fn document(&self) -> Value {
        json!({ "err": self.code.as_str(), "description": self.what })
    }
}
