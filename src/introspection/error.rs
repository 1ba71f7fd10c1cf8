use std::error::Error;
use std::sync::Arc;

use http::StatusCode;

use super::client::ClientAuthError;
use super::signed::SignedError;
use crate::transport::{FetchError, FetchErrorKind};

/// Why there is no answer about a token. For operators; it holds no token and no secret.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// No answer.
    #[error("introspection: {0}")]
    Fetch(FetchError),
    /// The endpoint refuses this server's own credentials (RFC 7662 §2.3).
    #[error(
        "introspection: {1} refuses this server's own credentials, status {0}: check them, or take \
         another method of `ClientAuth`"
    )]
    Credentials(StatusCode, Arc<str>),
    /// Another status than 200. A server that wants to know who asks may answer 400 (RFC 9701 §5).
    #[error("introspection: {1} answers with status {0}{hint}", hint = hint(*.0))]
    Status(StatusCode, Arc<str>),
    /// An answer that cannot be read.
    #[error("introspection: {0}")]
    Answer(String),
    /// A signed answer that is not one, or not for this server.
    #[error("introspection: the signed answer: {0}")]
    Signed(Arc<SignedError>),
    /// Our own credentials cannot be used.
    #[error("introspection: {0}")]
    Client(Arc<ClientAuthError>),
    /// Something else than the endpoint took too long.
    #[error("introspection: {0} took longer than a call may")]
    Slow(&'static str),
    /// Too many calls are under way.
    #[error("introspection: too many requests wait for an answer")]
    Crowded,
    /// The endpoint failed time and again.
    #[error("introspection: the endpoint failed {0} times in a row, the last time: {1}")]
    Resting(u32, Arc<str>),
    /// There is nothing that a call could run on.
    #[error("introspection: outside a tokio runtime nobody can be asked")]
    NoRuntime,
    /// The runtime that the call ran on has ended.
    #[error("introspection: the call was dropped with its runtime")]
    Dropped,
}

fn hint(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => {
            ": the endpoint takes the call, who makes it, or the kind of the token, for malformed"
        }
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
            ": is the URL that of the introspection endpoint?"
        }
        _ => "",
    }
}

impl AskError {
    /// What the endpoint answers whatever it is asked, while it does not work.
    const FAULTS: [StatusCode; 5] = [
        StatusCode::UNAUTHORIZED,
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::BAD_GATEWAY,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
    ];

    /// What it says of the endpoint.
    pub(super) fn bearing(&self) -> Bearing {
        match self {
            Self::Fetch(error) if error.kind() == FetchErrorKind::TooLarge => Bearing::Answered,
            Self::Fetch(_) => Bearing::Fault,
            Self::Credentials(status, _) | Self::Status(status, _)
                if Self::FAULTS.contains(status) =>
            {
                Bearing::Fault
            }
            // What a token brings about says nothing of the next: a filter in front of the endpoint may
            // answer 403 to an odd one, and a server that stumbles over it 500.
            Self::Credentials(..) | Self::Status(..) | Self::Answer(_) | Self::Signed(_) => {
                Bearing::Answered
            }
            Self::Client(_)
            | Self::Slow(_)
            | Self::Crowded
            | Self::Resting(..)
            | Self::NoRuntime
            | Self::Dropped => Bearing::Nothing,
        }
    }

    pub(crate) fn shared(self: &Arc<Self>) -> Arc<dyn Error + Send + Sync> {
        Arc::<Self>::clone(self)
    }
}

/// What an error says of the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bearing {
    /// It does not work.
    Fault,
    /// It works: what it was asked, or how it answers, is the trouble.
    Answered,
    /// It was not reached.
    Nothing,
}
