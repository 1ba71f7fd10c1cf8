use std::fmt;

use bytes::Bytes;
use http::{Response, StatusCode};

use crate::testing::Failure;
use crate::transport::FetchErrorKind;

/// How a question to a [`super::TestIntrospection`] fails. [`Failure`] is one of these too.
#[derive(Clone)]
#[non_exhaustive]
pub enum IntrospectionFailure {
    /// The transport fails so: no connection, no answer in time, an answer that is too large.
    Transport(FetchErrorKind),
    /// No answer, ever: whoever asks has to give up. With a [`ManualClock`] the time-out runs by that
    /// clock: `introspection.called(n).await; clock.advance(..)` while the request waits.
    ///
    /// [`ManualClock`]: crate::testing::ManualClock
    Silence,
    /// This status, with an empty body.
    Status(StatusCode),
    /// This status, with this `Retry-After` (RFC 9110 §10.2.3).
    RetryAfter(StatusCode, String),
    /// A redirect to this place, with 302.
    Redirect(String),
    /// The answer, under this content type instead of its own; an empty one: under none.
    ContentType(String),
    /// 200 with this body instead.
    Body(Bytes),
    /// The answer, filled up with white space to one octet more than allowed, by a transport that does
    /// not keep the limit.
    Overlong,
    /// This, whatever it is.
    Response(Response<Bytes>),
}

impl From<Failure> for IntrospectionFailure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Connection => Self::Transport(FetchErrorKind::Connection),
            Failure::Silence => Self::Silence,
            Failure::Status(status) => Self::Status(status),
            Failure::Redirect(to) => Self::Redirect(to),
            Failure::Body(body) => Self::Body(body.into()),
        }
    }
}

impl From<FetchErrorKind> for IntrospectionFailure {
    fn from(kind: FetchErrorKind) -> Self {
        Self::Transport(kind)
    }
}

impl From<StatusCode> for IntrospectionFailure {
    fn from(status: StatusCode) -> Self {
        Self::Status(status)
    }
}

/// Without a body: it may be an answer about a token.
impl fmt::Debug for IntrospectionFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(kind) => f.debug_tuple("Transport").field(kind).finish(),
            Self::Silence => f.write_str("Silence"),
            Self::Status(status) => f.debug_tuple("Status").field(status).finish(),
            Self::RetryAfter(status, after) => {
                f.debug_tuple("RetryAfter").field(status).field(after).finish()
            }
            Self::Redirect(to) => f.debug_tuple("Redirect").field(to).finish(),
            Self::ContentType(value) => f.debug_tuple("ContentType").field(value).finish(),
            Self::Body(body) => f.debug_tuple("Body").field(&Octets(body)).finish(),
            Self::Overlong => f.write_str("Overlong"),
            Self::Response(response) => f
                .debug_tuple("Response")
                .field(&response.status())
                .field(&Octets(response.body()))
                .finish(),
        }
    }
}

struct Octets<'a>(&'a Bytes);

impl fmt::Debug for Octets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} octets)", self.0.len())
    }
}
