use ::reqwest::{Client, redirect};
use bytes::{Bytes, BytesMut};
use http::{Request, Response};

use super::{Fetch, FetchError, FetchErrorKind, FetchLimits, LoopbackHttp, Transport};
use crate::name::is_loopback;

/// HTTP with `reqwest` and rustls. Certificates are verified by the platform's verifier.
#[derive(Clone, Debug)]
pub struct ReqwestTransport {
    client: Client,
}

impl ReqwestTransport {
    /// A client with the platform's trust anchors that follows no redirect.
    ///
    /// # Errors
    /// If the platform's trust anchors cannot be loaded.
    pub fn new() -> Result<Self, FetchError> {
        Client::builder()
            .redirect(redirect::Policy::none())
            .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")))
            .build()
            .map(|client| Self { client })
            .map_err(|error| FetchError::new(FetchErrorKind::Connection).caused_by(error))
    }

    /// A client of your own: with a private CA, a proxy, a client certificate. Build it with
    /// `redirect::Policy::none()`: an answer that came from elsewhere than asked is an error.
    #[must_use]
    pub fn with_client(client: Client) -> Self {
        Self { client }
    }

    async fn send(
        &self,
        request: Request<Bytes>,
        limits: FetchLimits,
    ) -> Result<Response<Bytes>, FetchError> {
        let host = request.uri().host().unwrap_or_default();
        match request.uri().scheme_str() {
            Some("https") => {}
            Some("http") if limits.loopback_http == LoopbackHttp::Allowed && is_loopback(host) => {}
            _ => return Err(FetchError::new(FetchErrorKind::Forbidden)),
        }
        let request = ::reqwest::Request::try_from(request)
            .map_err(|error| FetchError::new(FetchErrorKind::Forbidden).caused_by(error))?;
        let asked = request.url().clone();
        let request = ::reqwest::RequestBuilder::from_parts(self.client.clone(), request)
            .timeout(limits.timeout);
        let mut response = request.send().await.map_err(|error| failed(&error))?;
        if response.status().is_redirection() && response.status() != http::StatusCode::NOT_MODIFIED
            || *response.url() != asked
        {
            return Err(FetchError::new(FetchErrorKind::Redirect));
        }

        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failed(&error))? {
            if body.len().saturating_add(chunk.len()) > limits.max_body {
                return Err(FetchError::new(FetchErrorKind::TooLarge));
            }
            body.extend_from_slice(&chunk);
        }
        let mut answer = Response::new(body.freeze());
        *answer.status_mut() = response.status();
        *answer.headers_mut() = std::mem::take(response.headers_mut());
        Ok(answer)
    }
}

impl Transport for ReqwestTransport {
    fn fetch(&self, request: Request<Bytes>, limits: FetchLimits) -> Fetch<'_> {
        Box::pin(self.send(request, limits))
    }
}

/// The error without its URL: a query could hold something private.
fn failed(error: &::reqwest::Error) -> FetchError {
    let kind = if error.is_timeout() {
        FetchErrorKind::Timeout
    } else {
        FetchErrorKind::Connection
    };
    let mut text = String::new();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&error.to_string());
        cause = error.source();
    }
    let failure = FetchError::new(kind);
    if text.is_empty() {
        failure
    } else {
        failure.caused_by(text)
    }
}
