use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::issuer::{Failure, TestIssuer};
use super::token::TokenBuilder;
use crate::jose::{Algorithm, ClaimsSet};
use crate::name::insert_well_known;
use crate::revocation::EventStream;
use crate::time::Clock;
use crate::transport::{FetchError, FetchErrorKind};

/// A transmitter of security events (SSF) in the test's own process: it makes SETs, good as they are
/// made and wrong as a test wants them, is polled, and is asked for verification events, on a
/// [`super::TestNetwork`]. A clone is the same transmitter.
///
/// ```
/// use std::time::Duration;
/// use portcullis::revocation::{Push, Revocation, Source, Verification};
/// use portcullis::secret::{Secret, SecretSource};
/// use portcullis::testing::{ManualClock, TestIssuer, TestNetwork, TestTransmitter};
/// # use portcullis::{Binding, RejectionKind, ResourceServer, TokenClass};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let clock = ManualClock::new();
/// let issuer = TestIssuer::new("https://as.example", &clock);
/// let transmitter = TestTransmitter::new("https://tx.example", "https://rs.example/events", &clock);
/// transmitter.authorization("Bearer s3cret");
/// let asks = transmitter.verified().bearer(SecretSource::given(Secret::new("s3cret")));
/// let stream = transmitter
///     .jwks()
///     .push(Push::new().authorization(Secret::new("Bearer s3cret")).verification(asks));
/// let api = ResourceServer::builder("https://rs.example")
///     .issuer(issuer.discover())
///     .revocation(Revocation::new().source(Source::new("caep", stream).speaks_for([issuer.id()])))
///     .transport(TestNetwork::of(&[&issuer]).with_transmitter(&transmitter))
/// #   .binding(Binding::WhereBound).class(TokenClass::default_at_most(Duration::from_hours(1)))
///     .clock(clock.clone())
///     .build()?;
///
/// // Asked for by the server, sent by the transmitter: from here on the stream is known to be alive.
/// let receiver = api.event_receiver("caep").unwrap();
/// drop(api.warm_up().await); // it says that the stream has not spoken yet
/// while transmitter.last_state().is_none() {
///     tokio::task::yield_now().await;
/// }
/// let answer = transmitter.verification(transmitter.last_state().as_deref()).sign();
/// assert_eq!(receiver.receive(transmitter.push(answer)).await.status(), 202);
///
/// let token = issuer.token("https://rs.example").subject("alice").sign();
/// let request = http::Request::get("/").header("authorization", format!("Bearer {token}")).body(())?;
/// assert!(api.verify(&request).await.is_ok());
/// let revoked = transmitter.session_revoked(issuer.id(), "alice").sign();
/// assert_eq!(receiver.receive(transmitter.push(revoked)).await.status(), 202);
/// assert_eq!(api.verify(&request).await.unwrap_err().kind(), RejectionKind::Revoked);
/// # Ok::<_, Box<dyn std::error::Error>>(()) })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct TestTransmitter {
    shared: Arc<Shared>,
}

struct Shared {
    issuer: TestIssuer,
    audience: String,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// How many SETs were ever offered: whoever waits for one looks again.
    offered: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    made: usize,
    /// Not acknowledged yet, the oldest first.
    queue: Vec<(String, Value)>,
    acknowledged: Vec<String>,
    refused: Vec<(String, Value)>,
    polls: Vec<(Value, HeaderMap)>,
    asked: Vec<(Value, HeaderMap)>,
    authorization: Option<HeaderValue>,
    metadata: Map<String, Value>,
    streams: Option<Value>,
    failure: Option<Failure>,
    poll_answer: Option<String>,
    /// What is not given again; `None`: everything is.
    given: Option<Vec<String>>,
}

impl TestTransmitter {
    /// The identifier of its one stream.
    pub const STREAM_ID: &'static str = "stream-1";

    /// A transmitter with one ES256 key, whose SETs are for this audience.
    #[must_use]
    pub fn new(
        id: impl Into<String>,
        audience: impl Into<String>,
        clock: &(impl Clock + Clone),
    ) -> Self {
        Self::with_algorithm(id, audience, clock, Algorithm::Es256)
    }

    /// A transmitter with one key of this algorithm.
    #[must_use]
    pub fn with_algorithm(
        id: impl Into<String>,
        audience: impl Into<String>,
        clock: &(impl Clock + Clone),
        algorithm: Algorithm,
    ) -> Self {
        let shared = Shared {
            issuer: TestIssuer::with_algorithm(id, clock, algorithm),
            audience: audience.into(),
            clock: Arc::new(clock.clone()),
            state: Mutex::default(),
            offered: watch::Sender::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The configuration of its stream by discovery, without push and poll.
    pub fn discover(&self) -> EventStream {
        EventStream::discover(self.id()).audience(&self.shared.audience)
    }

    /// The configuration of its stream with its JWKS URL, without push and poll.
    pub fn jwks(&self) -> EventStream {
        EventStream::jwks(self.id(), self.issuer().jwks_uri())
            .audience(&self.shared.audience)
            .stream_id(Self::STREAM_ID)
    }

    /// The configuration of its stream with the keys it has now, without push and poll.
    pub fn fixed_keys(&self) -> EventStream {
        EventStream::fixed_keys(self.id(), self.jwk_set().to_string())
            .audience(&self.shared.audience)
            .stream_id(Self::STREAM_ID)
    }

    /// That it is asked for verification events, without authorization.
    pub fn verified(&self) -> crate::revocation::Verification {
        crate::revocation::Verification::at(self.verification_url())
    }

    /// That it is polled, without authorization.
    pub fn polled(&self) -> crate::revocation::Poll {
        crate::revocation::Poll::at(self.poll_url())
    }

    /// Its identifier.
    #[must_use]
    pub fn id(&self) -> &str {
        self.issuer().id()
    }

    /// Its keys: rotate and withdraw them, let fetches of them fail.
    #[must_use]
    pub fn issuer(&self) -> &TestIssuer {
        &self.shared.issuer
    }

    /// Its keys, as it publishes them.
    #[must_use]
    pub fn jwk_set(&self) -> Value {
        self.issuer().jwk_set()
    }

    /// Where events are fetched.
    #[must_use]
    pub fn poll_url(&self) -> String {
        self.url("poll")
    }

    /// Where verification events are asked for.
    #[must_use]
    pub fn verification_url(&self) -> String {
        self.url("verify")
    }

    fn url(&self, name: &str) -> String {
        format!("{}/{name}", self.id().trim_end_matches('/'))
    }

    fn metadata_url(&self) -> String {
        let base = self.id().strip_suffix('/').unwrap_or(self.id());
        insert_well_known(base, "/.well-known/ssf-configuration")
    }

    /// A good SET, to be changed and signed: this event, such as `caep/session-revoked` or a whole
    /// event type, about this subject, with these members.
    pub fn set(&self, event: &str, subject: Value, members: Value) -> TokenBuilder {
        let event = match event.split_once('/') {
            Some((profile @ ("caep" | "risc" | "ssf"), name)) => {
                format!("https://schemas.openid.net/secevent/{profile}/event-type/{name}")
            }
            _ => event.to_owned(),
        };
        let mut state = self.state();
        state.made += 1;
        let jti = format!("set-{}", state.made);
        drop(state);
        let now = self.shared.clock.now();
        TokenBuilder::new(self.issuer().key(), self.id(), &self.shared.audience, &jti, now)
            .header("typ", "secevent+jwt")
            .without("sub")
            .without("client_id")
            .without("exp")
            .claim("sub_id", subject)
            .claim("events", json!({ event: members }))
    }

    /// CAEP `session-revoked` about a subject of a token issuer, now.
    pub fn session_revoked(&self, issuer: &str, subject: &str) -> TokenBuilder {
        let at = self.shared.clock.now().as_secs();
        let subject = json!({ "format": "iss_sub", "iss": issuer, "sub": subject });
        self.set("caep/session-revoked", subject, json!({ "event_timestamp": at }))
    }

    /// SSF `verification` of its stream, with this state.
    pub fn verification(&self, state: Option<&str>) -> TokenBuilder {
        let members = state.map_or_else(|| json!({}), |state| json!({ "state": state }));
        self.set("ssf/verification", stream_subject(), members)
    }

    /// SSF `stream-updated` of its stream.
    pub fn stream_updated(&self, status: &str) -> TokenBuilder {
        self.set("ssf/stream-updated", stream_subject(), json!({ "status": status }))
    }

    /// A delivery of this SET (RFC 8935 §2.1), with the authorization that was set.
    pub fn push(&self, set: impl Into<Bytes>) -> Request<Full<Bytes>> {
        let mut request = Request::post("/events")
            .header(CONTENT_TYPE, "application/secevent+jwt")
            .header(ACCEPT, "application/json")
            .body(Full::new(set.into()))
            .expect("a request");
        if let Some(value) = &self.state().authorization {
            request.headers_mut().insert(AUTHORIZATION, value.clone());
        }
        request
    }

    /// Offers this SET to whoever polls, under its own `jti`, until it is acknowledged.
    ///
    /// # Panics
    /// If it has none.
    pub fn offer(&self, set: &TokenBuilder) {
        let payload = set.payload();
        let claims = ClaimsSet::parse(payload.as_bytes()).expect("claims");
        let jti = claims.text("jti").expect("a `jti`").expect("a `jti`");
        self.offer_as(&jti, set.sign());
    }

    /// Offers this to whoever polls, under this name, until it is acknowledged.
    pub fn offer_as(&self, jti: &str, set: impl Into<Value>) {
        self.state().queue.push((jti.to_owned(), set.into()));
        self.shared.offered.send_modify(|count| *count += 1);
    }

    /// What is offered and was not acknowledged.
    #[must_use]
    pub fn waiting(&self) -> Vec<String> {
        self.state().queue.iter().map(|(jti, _)| jti.clone()).collect()
    }

    /// What was acknowledged, in order, repeated if it was repeated.
    #[must_use]
    pub fn acknowledged(&self) -> Vec<String> {
        self.state().acknowledged.clone()
    }

    /// What was refused, each with its error.
    #[must_use]
    pub fn refused(&self) -> Vec<(String, Value)> {
        self.state().refused.clone()
    }

    /// The polls, in order: body and fields.
    #[must_use]
    pub fn polls(&self) -> Vec<(Value, HeaderMap)> {
        self.state().polls.clone()
    }

    /// The requests for verification events, in order: body and fields.
    #[must_use]
    pub fn asked(&self) -> Vec<(Value, HeaderMap)> {
        self.state().asked.clone()
    }

    /// The state of the last request for a verification event.
    #[must_use]
    pub fn last_state(&self) -> Option<String> {
        let state = self.state();
        let (body, _) = state.asked.last()?;
        Some(body.get("state")?.as_str()?.to_owned())
    }

    /// What it wants in `Authorization`, and sends there when it pushes.
    ///
    /// # Panics
    /// If this is no field value.
    pub fn authorization(&self, value: &str) {
        self.state().authorization = Some(value.parse().expect("a field value"));
    }

    /// It wants nothing in `Authorization`, and sends nothing there.
    pub fn without_authorization(&self) {
        self.state().authorization = None;
    }

    /// A member of its metadata, instead of the one of this name; `null`: none.
    pub fn metadata(&self, name: &str, value: Value) {
        self.state().metadata.insert(name.to_owned(), value);
    }

    /// What its configuration endpoint answers, instead of its one stream.
    pub fn streams(&self, streams: Value) {
        self.state().streams = Some(streams);
    }

    /// Answers polls with this text, instead of what is offered; `None`: no longer.
    pub fn answer_polls_with(&self, text: Option<&str>) {
        self.state().poll_answer = text.map(str::to_owned);
    }

    /// Gives a SET that it gave, and of which it heard nothing, no more, until [`Self::give_again`]: a
    /// transmitter may take its time (RFC 8936 §2.3).
    pub fn hold_back(&self) {
        self.state().given = Some(Vec::new());
    }

    /// Gives everything that was not acknowledged, again and again.
    pub fn give_again(&self) {
        self.state().given = None;
        self.shared.offered.send_modify(|count| *count += 1);
    }

    /// Lets every question but those for keys fail, until [`Self::recover`].
    pub fn fail(&self, failure: Failure) {
        self.state().failure = Some(failure);
    }

    /// Answers again.
    pub fn recover(&self) {
        self.state().failure = None;
        self.shared.offered.send_modify(|count| *count += 1);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this URL is one of this transmitter's.
    pub(super) fn serves(&self, url: &str) -> bool {
        let places = [self.metadata_url(), self.poll_url(), self.verification_url()];
        places.iter().any(|place| place == url)
            || url.split('?').next() == Some(&*self.url("streams"))
            || url == self.issuer().jwks_uri()
    }

    pub(super) async fn answer(
        &self,
        request: &Request<Bytes>,
    ) -> Result<Response<Bytes>, FetchError> {
        let url = request.uri().to_string();
        if url == self.issuer().jwks_uri() {
            return self.issuer().answer(request).await;
        }
        let body = serde_json::from_slice(request.body()).unwrap_or(Value::Null);
        {
            let mut state = self.state();
            let seen = (body.clone(), request.headers().clone());
            if url == self.poll_url() {
                state.polls.push(seen);
            } else if url == self.verification_url() {
                state.asked.push(seen);
            }
        }
        let failure = self.state().failure.clone();
        match failure {
            None => {}
            Some(Failure::Connection) => return Err(FetchError::new(FetchErrorKind::Connection)),
            Some(Failure::Silence) => std::future::pending().await,
            Some(Failure::Status(code)) => return Ok(status(code)),
            Some(Failure::Redirect(to)) => {
                let mut response = status(StatusCode::FOUND);
                let to = HeaderValue::try_from(to).expect("a field value");
                response.headers_mut().insert(LOCATION, to);
                return Ok(response);
            }
            Some(Failure::Body(body)) => return Ok(document(body)),
        }
        if url == self.metadata_url() {
            return Ok(document(Value::Object(self.own_metadata()).to_string()));
        }
        let wanted = self.state().authorization.clone();
        if wanted.as_ref() != request.headers().get(AUTHORIZATION) {
            return Ok(status(StatusCode::UNAUTHORIZED));
        }
        if url == self.verification_url() {
            return Ok(status(StatusCode::NO_CONTENT));
        }
        if url == self.poll_url() {
            return Ok(self.answer_poll(&body).await);
        }
        let streams = self.state().streams.clone();
        Ok(document(streams.unwrap_or_else(|| self.own_streams()).to_string()))
    }

    async fn answer_poll(&self, body: &Value) -> Response<Bytes> {
        let names = |value: Option<&Value>| -> Vec<String> {
            let names = value.and_then(Value::as_array).into_iter().flatten();
            names.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let most = body.get("maxEvents").and_then(Value::as_u64).unwrap_or(u64::MAX);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let at_once = body.get("returnImmediately").and_then(Value::as_bool).unwrap_or(false);
        {
            let mut state = self.state();
            let ack = names(body.get("ack"));
            let errors =
                body.get("setErrs").and_then(Value::as_object).cloned().unwrap_or_default();
            state.queue.retain(|(jti, _)| !ack.contains(jti) && !errors.contains_key(jti));
            state.acknowledged.extend(ack);
            state.refused.extend(errors);
        }
        let mut offered = self.shared.offered.subscribe();
        loop {
            {
                let mut state = self.state();
                if let Some(text) = &state.poll_answer {
                    return document(text.clone());
                }
                let held = state.given.clone().unwrap_or_default();
                let open = state.queue.iter().filter(|(jti, _)| !held.contains(jti));
                let open: Vec<_> = open.cloned().collect();
                if at_once || most == 0 || !open.is_empty() {
                    let more = open.len() > most;
                    let sets: Map<String, Value> = open.into_iter().take(most).collect();
                    if let Some(given) = &mut state.given {
                        given.extend(sets.keys().cloned());
                    }
                    return document(json!({ "sets": sets, "moreAvailable": more }).to_string());
                }
            }
            // The sender lives in `self`.
            let _ = offered.changed().await;
        }
    }

    fn own_metadata(&self) -> Map<String, Value> {
        let Value::Object(mut metadata) = json!({
            "spec_version": "1_0",
            "issuer": self.id(),
            "jwks_uri": self.issuer().jwks_uri(),
            "delivery_methods_supported": ["urn:ietf:rfc:8935", "urn:ietf:rfc:8936"],
            "configuration_endpoint": self.url("streams"),
            "verification_endpoint": self.verification_url(),
        }) else {
            panic!("an object")
        };
        for (name, value) in self.state().metadata.clone() {
            if value.is_null() {
                metadata.remove(&name);
            } else {
                metadata.insert(name, value);
            }
        }
        metadata
    }

    /// Its one stream, once pushed and once polled.
    fn own_streams(&self) -> Value {
        let stream = |method: &str, url: String| {
            json!({
                "stream_id": Self::STREAM_ID,
                "iss": self.id(),
                "aud": [&self.shared.audience],
                "delivery": { "method": method, "endpoint_url": url },
            })
        };
        json!([
            stream("urn:ietf:rfc:8935", "https://rs.example/events".to_owned()),
            stream("urn:ietf:rfc:8936", self.poll_url()),
        ])
    }
}

fn stream_subject() -> Value {
    json!({ "format": "opaque", "id": TestTransmitter::STREAM_ID })
}

fn status(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

fn document(body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

impl fmt::Debug for TestTransmitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestTransmitter").field("id", &self.id()).finish_non_exhaustive()
    }
}
