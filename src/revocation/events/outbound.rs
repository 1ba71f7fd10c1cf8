//! What we ask of a transmitter: metadata, streams, verification, events.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_LANGUAGE, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};

use crate::name::LoopbackHttp;
use crate::secret::{Credential, SecretError};
use crate::time::Clock;
use crate::transport::{FetchError, FetchErrorKind, FetchLimits, Transport, media_type};

/// Why a question has no answer. For operators; it holds no secret.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum AskError {
    /// No answer.
    #[error("{url}: {error}")]
    Fetch { url: String, error: FetchError },
    /// Another status than wanted.
    #[error("{url}: status {status}")]
    Status { url: String, status: StatusCode },
    /// An answer that cannot be used.
    #[error("{url}: {what}")]
    Answer { url: String, what: String },
    /// Our own credential cannot be read.
    #[error("{url}: {error}")]
    Credential { url: String, error: SecretError },
    /// There is nothing to ask, or no way to.
    #[error("{0}")]
    Nothing(&'static str),
}

impl AskError {
    pub(super) fn answer(url: &str, what: impl Into<String>) -> Self {
        Self::Answer { url: url.to_owned(), what: what.into() }
    }

    /// Whether less would have been an answer.
    pub(super) fn is_too_large(&self) -> bool {
        matches!(self, Self::Fetch { error, .. } if error.kind() == FetchErrorKind::TooLarge)
    }

    /// Whether nobody answered in time.
    pub(super) fn is_timeout(&self) -> bool {
        matches!(self, Self::Fetch { error, .. } if error.kind() == FetchErrorKind::Timeout)
    }
}

/// A question.
pub(super) struct Question<'a> {
    pub(super) url: &'a str,
    pub(super) credential: Option<&'a Arc<Credential>>,
    /// JSON; `None`: GET.
    pub(super) body: Option<String>,
    /// Whether the body has words for people, in English.
    pub(super) wording: Wording,
    pub(super) max_body: usize,
    pub(super) timeout: Duration,
}

/// Whether a body has words for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wording {
    None,
    English,
}

/// The way to a transmitter.
pub(super) struct Outbound {
    pub(super) transport: Arc<dyn Transport>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) loopback_http: LoopbackHttp,
}

impl Outbound {
    /// Asks, once, within the question's time.
    pub(super) async fn ask(&self, question: Question<'_>) -> Result<Response<Bytes>, AskError> {
        const JSON: HeaderValue = HeaderValue::from_static("application/json");
        let Question { url, credential, body, wording, max_body, timeout } = question;
        let failed = |error| AskError::Fetch { url: url.to_owned(), error };
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = url
            .parse()
            .map_err(|error| failed(FetchError::new(FetchErrorKind::Forbidden).caused_by(error)))?;
        request.headers_mut().insert(ACCEPT, JSON);
        if let Some(body) = body {
            *request.method_mut() = Method::POST;
            *request.body_mut() = body.into();
            request.headers_mut().insert(CONTENT_TYPE, JSON);
        }
        if wording == Wording::English {
            request.headers_mut().insert(CONTENT_LANGUAGE, HeaderValue::from_static("en"));
        }
        let loopback_http = self.loopback_http;
        let limits = FetchLimits { loopback_http, ..FetchLimits::new(max_body, timeout) };
        let fetch = async {
            if let Some(credential) = credential {
                let value = credential.read().await;
                let value =
                    value.map_err(|error| AskError::Credential { url: url.to_owned(), error })?;
                request.headers_mut().insert(AUTHORIZATION, value);
            }
            self.transport.fetch(request, limits).await.map_err(failed)
        };
        let answer = tokio::select! {
            answer = fetch => answer?,
            () = self.clock.sleep(timeout) => {
                return Err(failed(FetchError::new(FetchErrorKind::Timeout)));
            }
        };
        if answer.status().is_redirection() {
            return Err(failed(FetchError::new(FetchErrorKind::Redirect)));
        }
        if answer.body().len() > max_body {
            return Err(failed(FetchError::new(FetchErrorKind::TooLarge)));
        }
        Ok(answer)
    }

    /// Asks for something to be done: any status of success.
    pub(super) async fn done(&self, question: Question<'_>) -> Result<(), AskError> {
        let url = question.url.to_owned();
        let status = self.ask(question).await?.status();
        if status.is_success() { Ok(()) } else { Err(AskError::Status { url, status }) }
    }

    /// Asks for a JSON document: 200 and `application/json`.
    pub(super) async fn document(&self, question: Question<'_>) -> Result<Bytes, AskError> {
        let url = question.url.to_owned();
        let answer = self.ask(question).await?;
        if answer.status() != StatusCode::OK {
            return Err(AskError::Status { url, status: answer.status() });
        }
        if !is_json(answer.headers()) {
            return Err(AskError::answer(&url, "the content type is not application/json"));
        }
        Ok(answer.into_body())
    }
}

/// `application/json`, with or without parameters, in any case.
fn is_json(headers: &HeaderMap) -> bool {
    media_type(headers).is_some_and(|found| found.eq_ignore_ascii_case("application/json"))
}
