//! One GET, with everything that can be wrong about its answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use http::{HeaderValue, Request, StatusCode};

use crate::name::LoopbackHttp;
use crate::secret::{Credential, SecretError};
use crate::time::Clock;
use crate::transport::{
    Content, ExchangeError, FetchError, FetchErrorKind, FetchLimits, Transport, exchange,
};

/// From the first byte sent to the last byte read: 64 MiB at ten megabits a second.
pub(super) const TIMEOUT: Duration = Duration::from_mins(1);

/// Why there is no document. For operators; it holds no secret.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum GetError {
    #[error("{url}: {error}")]
    Fetch { url: String, error: FetchError },
    #[error("{url}: status {status}, wanted 200")]
    Status { url: String, status: StatusCode },
    #[error("{url}: content coding {found:?}, wanted gzip or none")]
    Coding { url: String, found: String },
    #[error("{url}: {error}")]
    Credential { url: String, error: SecretError },
}

/// What an answer brought.
pub(super) enum Got {
    New {
        content: Content,
        tag: Option<HeaderValue>,
    },
    /// It is what `If-None-Match` named.
    Unchanged,
    /// There is nothing at this URL (404, 410).
    Nothing,
}

/// The way to a feed.
pub(super) struct Getter {
    pub(super) transport: Arc<dyn Transport>,
    pub(super) loopback_http: LoopbackHttp,
    pub(super) credential: Option<Arc<Credential>>,
    /// Of a body, as it is sent and decoded.
    pub(super) most: usize,
    /// What we ask for.
    pub(super) media_types: HeaderValue,
}

impl Getter {
    /// Fetches `url`, or learns that it is what `tag` names.
    pub(super) async fn get(
        &self,
        url: &str,
        tag: Option<&HeaderValue>,
        clock: &dyn Clock,
    ) -> Result<Got, GetError> {
        let failed = |error| GetError::Fetch { url: url.to_owned(), error };
        let mut request = Request::get(url)
            .header(ACCEPT, &self.media_types)
            .header(ACCEPT_ENCODING, HeaderValue::from_static("gzip"))
            // What a cache on the way remembers is not what is known now.
            .header(CACHE_CONTROL, HeaderValue::from_static("no-cache"))
            .body(Bytes::new())
            .map_err(|error| failed(FetchError::new(FetchErrorKind::Forbidden).caused_by(error)))?;
        if let Some(tag) = tag {
            request.headers_mut().insert(IF_NONE_MATCH, tag.clone());
        }
        let loopback_http = self.loopback_http;
        let limits = FetchLimits { loopback_http, ..FetchLimits::new(self.most, TIMEOUT) };
        let credential = self.credential.as_deref();
        let answer = exchange(&*self.transport, clock, credential, request, limits).await;
        let answer = answer.map_err(|error| match error {
            ExchangeError::Fetch(error) => failed(error),
            ExchangeError::Credential(error) => GetError::Credential { url: url.to_owned(), error },
        })?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if tag.is_some() => return Ok(Got::Unchanged),
            StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(Got::Nothing),
            status if status.is_redirection() && status != StatusCode::NOT_MODIFIED => {
                return Err(failed(FetchError::new(FetchErrorKind::Redirect)));
            }
            status => return Err(GetError::Status { url: url.to_owned(), status }),
        }
        let tag = answer.headers().get(ETAG).cloned();
        let content =
            Content::of(answer).map_err(|found| GetError::Coding { url: url.to_owned(), found })?;
        Ok(Got::New { content, tag })
    }
}
