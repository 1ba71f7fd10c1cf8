use std::fmt;

use crate::name::IssuerId;

/// How an introspection endpoint is doing: see [`crate::ResourceServer::introspection_health`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IntrospectionHealth {
    /// The issuer.
    pub issuer: IssuerId,
    /// Whether it is asked.
    pub state: EndpointState,
    /// Calls that were made.
    pub calls: u64,
    /// Calls without an answer that could be used.
    pub failed: u64,
    /// Requests that were answered with 503 without a call: too many waited, or the endpoint rested.
    pub not_asked: u64,
    /// Calls that are under way, or wait for their turn.
    pub under_way: usize,
    /// Answers that are kept, about.
    pub kept: u64,
    /// Tokens that are known not to be active, about.
    pub kept_inactive: u64,
    /// The bytes that kept answers take, about.
    pub kept_bytes: u64,
    /// Why the last call failed, if none has succeeded since.
    pub last_error: Option<String>,
}

/// Whether an endpoint is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndpointState {
    /// It is.
    Working,
    /// It failed five times in a row, and is left alone for a while: tokens that nothing is known of
    /// get 503.
    Resting,
    /// One call tries whether it works again.
    OnTrial,
}

impl EndpointState {
    /// Every one of them, for preregistering metric labels.
    pub const ALL: &'static [Self] = &[Self::Working, Self::Resting, Self::OnTrial];

    /// A short name in snake case, for logs and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Working => "working",
            Self::Resting => "resting",
            Self::OnTrial => "on_trial",
        }
    }
}

impl fmt::Display for EndpointState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
