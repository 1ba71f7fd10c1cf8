//! The one way out: how documents of an issuer are fetched.
//!
//! 1. Every fetch has a bound on its size and on its time.
//! 2. No redirect is followed: a document comes from the URL that was configured, or not at all. A
//!    redirect is an answer like any other here; who asked for a status list may ask again, at the
//!    same origin.
//! 3. `https` only; `http` only to a loopback host, and only where an issuer was configured with
//!    that hazard.
//!
//! [`ReqwestTransport`] (feature `reqwest`, on by default) is the one that is used unless another
//! is given: one with a private CA or a proxy, or one of the test kit that has no sockets.
//! Size and time are kept beside it too (`exchange`), and its caller checks the status: a transport that
//! breaks a rule makes a fetch fail, and cannot make it unbounded.

mod content;
mod exchange;
#[cfg(feature = "reqwest")]
mod reqwest;

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, Response};

use crate::name::LoopbackHttp;

pub(crate) use self::content::{Content, ContentError};
pub(crate) use self::exchange::{ExchangeError, exchange, fetch_at_most};
#[cfg(feature = "reqwest")]
pub use self::reqwest::{ReqwestTransport, ReqwestTransportBuilder};

/// What one fetch may cost, and where it may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FetchLimits {
    /// The longest body, in bytes, after decoding.
    pub max_body: usize,
    /// The longest time from start to the last byte.
    pub timeout: Duration,
    /// Whether `http` is allowed to a loopback host.
    pub loopback_http: LoopbackHttp,
}

impl FetchLimits {
    /// At most this many bytes in at most this time, by https only.
    #[must_use]
    pub const fn new(max_body: usize, timeout: Duration) -> Self {
        Self { max_body, timeout, loopback_http: LoopbackHttp::Refused }
    }
}

/// How a fetch failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FetchErrorKind {
    /// The URL is not one that may be fetched.
    Forbidden,
    /// No connection, or it broke.
    Connection,
    /// It took longer than allowed.
    Timeout,
    /// The body is longer than allowed.
    TooLarge,
    /// A redirect, which is never followed.
    Redirect,
}

impl FetchErrorKind {
    /// Every one of them, for preregistering metric labels.
    pub const ALL: &'static [Self] =
        &[Self::Forbidden, Self::Connection, Self::Timeout, Self::TooLarge, Self::Redirect];

    /// A short name in snake case, for logs and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forbidden => "forbidden",
            Self::Connection => "connection",
            Self::Timeout => "timeout",
            Self::TooLarge => "too_large",
            Self::Redirect => "redirect",
        }
    }
}

/// A fetch that failed.
#[derive(Clone)]
pub struct FetchError {
    kind: FetchErrorKind,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl FetchError {
    /// A failure of this kind.
    #[must_use]
    pub fn new(kind: FetchErrorKind) -> Self {
        Self { kind, source: None }
    }

    /// The same, with what caused it.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into().into());
        self
    }

    /// How it failed.
    #[must_use]
    pub fn kind(&self) -> FetchErrorKind {
        self.kind
    }
}

impl fmt::Debug for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchError")
            .field("kind", &self.kind)
            .field("source", &self.source)
            .finish()
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            FetchErrorKind::Forbidden => "the URL may not be fetched: https is wanted",
            FetchErrorKind::Connection => "no connection, or it broke",
            FetchErrorKind::Timeout => "no answer in time",
            FetchErrorKind::TooLarge => "the answer is too large",
            FetchErrorKind::Redirect => "the answer is a redirect, which is not followed",
        })?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl Error for FetchError {}

/// The future of [`Transport::fetch`].
pub type Fetch<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, FetchError>> + Send + 'a>>;

/// Sends a request to an issuer and reads the whole answer.
///
/// An implementation keeps the limits, follows no redirect, sends no cookie and adds no
/// credential of its own. What it answers is trusted as far as its TLS is: an implementation that
/// does not verify certificates hands the choice of keys to whoever is on the path.
pub trait Transport: Send + Sync + 'static {
    /// Sends `request` and reads the answer, whatever its status.
    fn fetch(&self, request: Request<Bytes>, limits: FetchLimits) -> Fetch<'_>;
}

/// The media type of a message, without its parameters; `None` if it is not said, or twice.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    value.to_str().ok()?.split(';').next().map(str::trim)
}

impl<T: Transport + ?Sized> Transport for Arc<T> {
    fn fetch(&self, request: Request<Bytes>, limits: FetchLimits) -> Fetch<'_> {
        (**self).fetch(request, limits)
    }
}
