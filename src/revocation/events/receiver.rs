use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use tower::Service;

use super::error::{SetError, SetErrorCode};
use super::inbound::Closed;
use super::judging::{Giver, NotTaken};
use super::stream::Stream;
use super::token::SecurityEventToken;
use crate::revocation::source::SourceHandle;
use crate::transport::media_type;

/// Receives the SETs that a transmitter pushes (RFC 8935): mount it at the URL that the transmitter was
/// told, outside every protecting layer. A clone is the same receiver.
///
/// 1. POST, or 405.
/// 2. Who sends shows an `Authorization` that is accepted, or 400 `authentication_failed`; 503 where
///    what is accepted cannot be read.
/// 3. The body is `application/secevent+jwt`, or 415.
/// 4. At most [`Self::MAX_BODIES`] bodies are read at once, or 503. Each comes within two seconds and
///    has at most [`SecurityEventToken::MAX_LENGTH`] bytes, or 408 and 413.
/// 5. At most [`Self::MAX_AT_ONCE`] deliveries are in progress after that, or 503.
/// 6. The SET is good, or 400 with the reason (RFC 8935 §2.4). Where that cannot be told, because the
///    transmitter's keys are not there, 503. So is a SET from the future: a clock is wrong.
/// 7. What it says is applied, and stored where there is a journal: 202. Where it cannot be, 503.
///
/// 503 has `Retry-After`; the transmitter keeps the SET and sends it again. A SET that comes again is
/// accepted again. Until what got 503 has come again, the stream does not count as synchronised.
///
/// What remains: where a signature is enough ([`super::Push::signature_only`]), strangers who keep
/// [`Self::MAX_BODIES`] bodies open without end, each for two seconds, keep the transmitter out for as
/// long as they do. Its SETs get 503 and come again. Let a proxy in front bound what one address may
/// open, or ask for an `Authorization`: then only whoever shows it takes a place.
#[derive(Clone)]
pub struct EventReceiver {
    stream: Arc<Stream>,
    handle: SourceHandle,
}

/// The answer of an [`EventReceiver`].
type Answer = Response<Full<Bytes>>;

impl EventReceiver {
    /// The most deliveries that are in progress at once, their bodies read.
    pub const MAX_AT_ONCE: usize = 256;

    /// The most bodies that are read at once.
    pub const MAX_BODIES: usize = 1_024;

    /// How long a body may take.
    const BODY_WITHIN: Duration = Duration::from_secs(2);

    pub(super) fn new(stream: Arc<Stream>, handle: SourceHandle) -> Self {
        Self { stream, handle }
    }

    /// Receives one delivery.
    pub async fn receive<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: BodyExt,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        // 1.
        if head.method != Method::POST {
            let mut answer = status(StatusCode::METHOD_NOT_ALLOWED);
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return answer;
        }
        // 2.
        let clock = self.handle.clock();
        // INVARIANT: a stream that is not pushed has no receiver.
        let Some(door) = &self.stream.door else { return later() };
        let admitted = door.admit(&head.headers, &**clock).await;
        match admitted {
            Ok(()) => {}
            Err(Closed::Unknown) => {
                let what = "`Authorization` is not what this receiver accepts";
                let error = SetError::new(SetErrorCode::AuthenticationFailed, what);
                return refused(StatusCode::BAD_REQUEST, &error);
            }
            Err(Closed::Unreadable(why)) => {
                self.stream.complain(why, &self.handle);
                return later();
            }
        }
        // 3.
        if !is_set(&head.headers) {
            let what = "the content is not `application/secevent+jwt`, or is encoded";
            return refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, &SetError::request(what));
        }
        // 4.
        let Ok(place) = self.stream.bodies.try_acquire() else { return later() };
        let set = tokio::select! {
            set = read(&head.headers, body) => match set {
                Ok(set) => set,
                Err(answer) => return *answer,
            },
            () = clock.sleep(Self::BODY_WITHIN) => return status(StatusCode::REQUEST_TIMEOUT),
        };
        drop(place);
        // 5.
        let Ok(_place) = self.stream.deliveries.try_acquire() else { return later() };
        let Ok(set) = std::str::from_utf8(&set) else {
            return refused(StatusCode::BAD_REQUEST, &SetError::request("not a compact JWS"));
        };
        // 6. and 7.
        let giver = if door.is_open() { Giver::Stranger } else { Giver::Transmitter };
        let judged = self.stream.judge(set, clock.moment(), giver, &self.handle).await;
        let taken = match judged {
            Ok(judged) => self.stream.take(judged, &self.handle).await,
            Err(error) => Err(error),
        };
        match taken {
            Ok(()) => status(StatusCode::ACCEPTED),
            // What strangers send is not worth a line of ours.
            Err(NotTaken::Unproven(error)) if door.is_open() => {
                refused(StatusCode::BAD_REQUEST, &error)
            }
            Err(NotTaken::Unproven(error) | NotTaken::Refused(error)) => {
                self.handle.discarded(format!("a SET was refused: {error}"));
                refused(StatusCode::BAD_REQUEST, &error)
            }
            Err(NotTaken::NotJudged(why) | NotTaken::NotNow(why)) => {
                self.stream.complain(format!("a SET has to come again: {why}"), &self.handle);
                later()
            }
        }
    }
}

impl<B> Service<Request<B>> for EventReceiver
where
    B: BodyExt + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let receiver = self.clone();
        Box::pin(async move { Ok(receiver.receive(request).await) })
    }
}

impl fmt::Debug for EventReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventReceiver").field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// Whether the body is said to be a SET as it stands.
fn is_set(headers: &HeaderMap) -> bool {
    let set = media_type(headers)
        .is_some_and(|found| found.eq_ignore_ascii_case("application/secevent+jwt"));
    let plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    set && headers.get_all(CONTENT_ENCODING).iter().all(plain)
}

async fn read<B>(headers: &HeaderMap, body: B) -> Result<Bytes, Box<Answer>>
where
    B: BodyExt,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let too_large = || {
        let what = format!("longer than {} bytes", SecurityEventToken::MAX_LENGTH);
        Box::new(refused(StatusCode::PAYLOAD_TOO_LARGE, &SetError::request(what)))
    };
    let said = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if said.is_some_and(|length: u64| {
        usize::try_from(length).is_ok_and(|length| length > SecurityEventToken::MAX_LENGTH)
    }) {
        return Err(too_large());
    }
    match Limited::new(body, SecurityEventToken::MAX_LENGTH).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(_) => {
            let error = SetError::request("the body did not come whole");
            Err(Box::new(refused(StatusCode::BAD_REQUEST, &error)))
        }
    }
}

fn status(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}

/// RFC 8935 §2.3.
fn refused(code: StatusCode, error: &SetError) -> Answer {
    let mut answer = status(code);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static("en"));
    *answer.body_mut() = Full::new(error.document().to_string().into());
    answer
}

/// The transmitter tries again.
fn later() -> Answer {
    let mut answer = status(StatusCode::SERVICE_UNAVAILABLE);
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    answer
}
