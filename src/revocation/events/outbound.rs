//! What we ask of a transmitter: metadata, streams, verification, events.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_LANGUAGE, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};

use crate::name::LoopbackHttp;
use crate::secret::{Credential, SecretError};
use crate::time::Clock;
use crate::transport::{
    ExchangeError, FetchError, FetchErrorKind, FetchLimits, Transport, exchange, media_type,
};

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
        let credential = credential.map(|credential| &**credential);
        let answer = exchange(&*self.transport, &*self.clock, credential, request, limits).await;
        let answer = answer.map_err(|error| match error {
            ExchangeError::Fetch(error) => failed(error),
            ExchangeError::Credential(error) => AskError::Credential { url: url.to_owned(), error },
        })?;
        if answer.status().is_redirection() {
            return Err(failed(FetchError::new(FetchErrorKind::Redirect)));
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::testing::ManualClock;
    use crate::transport::Fetch;

    const URL: &str = "https://tx.example/poll";
    const TIMEOUT: Duration = Duration::from_secs(5);
    const LONGEST: usize = 8;

    /// Answers always the same, and notes what it may.
    struct Answers {
        answer: Response<Bytes>,
        limits: Mutex<Vec<FetchLimits>>,
    }

    impl Transport for Answers {
        fn fetch(&self, _: Request<Bytes>, limits: FetchLimits) -> Fetch<'_> {
            self.limits.lock().unwrap().push(limits);
            let answer = self.answer.clone();
            Box::pin(async move { Ok(answer) })
        }
    }

    fn answers(content_types: &[&'static str], body: &'static [u8]) -> Arc<Answers> {
        let mut answer = Response::new(Bytes::from_static(body));
        for content_type in content_types {
            let content_type = HeaderValue::from_static(content_type);
            answer.headers_mut().append(CONTENT_TYPE, content_type);
        }
        Arc::new(Answers { answer, limits: Mutex::default() })
    }

    async fn document(
        answers: &Arc<Answers>,
        loopback_http: LoopbackHttp,
    ) -> Result<Bytes, AskError> {
        let transport: Arc<dyn Transport> = Arc::<Answers>::clone(answers);
        let clock = Arc::new(ManualClock::new());
        let question = Question {
            url: URL,
            credential: None,
            body: None,
            wording: Wording::None,
            max_body: LONGEST,
            timeout: TIMEOUT,
        };
        Outbound { transport, clock, loopback_http }.document(question).await
    }

    /// DISC-10: the transport is told how long an answer may be, how long it may take, and whether a
    /// loopback host may be asked without TLS, which it may only where that was said.
    #[tokio::test]
    async fn the_transport_is_told_its_limits() {
        for loopback_http in [LoopbackHttp::Refused, LoopbackHttp::Allowed] {
            let answers = answers(&["application/json"], b"{}");
            assert!(document(&answers, loopback_http).await.is_ok());
            let expected = FetchLimits { max_body: LONGEST, timeout: TIMEOUT, loopback_http };
            assert_eq!(*answers.limits.lock().unwrap(), [expected]);
        }
    }

    /// POLL-01: an answer has a bound, also where the transport keeps none.
    #[tokio::test]
    async fn an_answer_is_as_long_as_it_may_be() {
        let of = async |body| {
            document(&answers(&["application/json"], body), LoopbackHttp::Refused).await
        };
        assert_eq!(of(b"[1,2,3]").await.unwrap(), &b"[1,2,3]"[..]);
        assert_eq!(of(b"[1,2,34]").await.unwrap(), &b"[1,2,34]"[..]);
        assert!(of(b"[1,2,345]").await.unwrap_err().is_too_large());
    }

    /// POLL-03: an answer is JSON by its content type, which is said once.
    #[tokio::test]
    async fn an_answer_says_that_it_is_json() {
        for (content_types, good) in [
            (&["application/json"][..], true),
            (&["Application/JSON; charset=utf-8"], true),
            (&["application/jsonx"], false),
            (&["text/html"], false),
            (&["text/plain; x=application/json"], false),
            (&["application/json", "application/json"], false),
            (&[], false),
        ] {
            let found = document(&answers(content_types, b"{}"), LoopbackHttp::Refused).await;
            match found {
                Ok(_) => assert!(good, "{content_types:?}"),
                Err(AskError::Answer { .. }) => assert!(!good, "{content_types:?}"),
                Err(error) => panic!("{content_types:?}: {error}"),
            }
        }
    }

    /// An answer that was too large, and one that never came, are each told from every other failure.
    #[test]
    fn what_is_too_large_and_what_never_came_are_told_apart() {
        let fetch = |kind| AskError::Fetch { url: URL.to_owned(), error: FetchError::new(kind) };
        let status = |status| AskError::Status { url: URL.to_owned(), status };
        for (error, is_too_large, is_timeout) in [
            (fetch(FetchErrorKind::TooLarge), true, false),
            (fetch(FetchErrorKind::Timeout), false, true),
            (fetch(FetchErrorKind::Connection), false, false),
            (fetch(FetchErrorKind::Redirect), false, false),
            (fetch(FetchErrorKind::Forbidden), false, false),
            (status(StatusCode::PAYLOAD_TOO_LARGE), false, false),
            (status(StatusCode::GATEWAY_TIMEOUT), false, false),
            (AskError::answer(URL, "no JSON"), false, false),
            (AskError::Nothing("there is no transport"), false, false),
        ] {
            let found = (error.is_too_large(), error.is_timeout());
            assert_eq!(found, (is_too_large, is_timeout), "{error}");
        }
    }
}
