use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION};
use http::{HeaderValue, Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::key::TestKey;
use super::token::TokenBuilder;
use crate::issuer::config::Issuer;
use crate::issuer::discovery_urls;
use crate::jose::Algorithm;
use crate::time::Clock;
use crate::transport::{FetchError, FetchErrorKind};

/// An issuer in the test's own process, with real keys. A clone is the same issuer.
#[derive(Clone)]
pub struct TestIssuer {
    shared: Arc<Shared>,
}

struct Shared {
    id: String,
    jwks_uri: String,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Whether fetches are held.
    held: watch::Sender<bool>,
}

struct State {
    /// The last one signs.
    keys: Vec<Arc<TestKey>>,
    /// Published beside the keys, as they are.
    extra: Vec<Value>,
    made: usize,
    version: usize,
    failure: Option<Failure>,
    cache_control: Option<HeaderValue>,
    metadata: Option<Value>,
    jwks_fetches: usize,
    metadata_fetches: usize,
    tokens: usize,
}

/// How a fetch from a [`TestIssuer`] fails.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// No connection.
    Connection,
    /// No answer, ever: whoever fetches has to give up.
    Silence,
    /// This status.
    Status(StatusCode),
    /// A redirect to this place.
    Redirect(String),
    /// 200 with this body instead.
    Body(Vec<u8>),
}

impl TestIssuer {
    /// An issuer with one ES256 key.
    #[must_use]
    pub fn new(id: impl Into<String>, clock: &(impl Clock + Clone)) -> Self {
        Self::with_algorithm(id, clock, Algorithm::Es256)
    }

    /// An issuer with one key of this algorithm.
    #[must_use]
    pub fn with_algorithm(
        id: impl Into<String>,
        clock: &(impl Clock + Clone),
        algorithm: Algorithm,
    ) -> Self {
        let id = id.into();
        let issuer = Self {
            shared: Arc::new(Shared {
                jwks_uri: format!("{}/jwks.json", id.trim_end_matches('/')),
                id,
                clock: Arc::new(clock.clone()),
                state: Mutex::new(State {
                    keys: Vec::new(),
                    extra: Vec::new(),
                    made: 0,
                    version: 0,
                    failure: None,
                    cache_control: None,
                    metadata: None,
                    jwks_fetches: 0,
                    metadata_fetches: 0,
                    tokens: 0,
                }),
                held: watch::Sender::new(false),
            }),
        };
        issuer.rotate_to(algorithm);
        issuer
    }

    /// The configuration of this issuer by discovery.
    pub fn discover(&self) -> Issuer {
        Issuer::discover(self.id())
    }

    /// The configuration of this issuer by its JWKS URL.
    pub fn jwks(&self) -> Issuer {
        Issuer::jwks(self.id(), &self.shared.jwks_uri)
    }

    /// The configuration of this issuer with the keys it has now.
    pub fn fixed_keys(&self) -> Issuer {
        Issuer::fixed_keys(self.id(), self.jwk_set().to_string())
    }

    /// The issuer identifier.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.shared.id
    }

    /// Where the keys are.
    #[must_use]
    pub fn jwks_uri(&self) -> &str {
        &self.shared.jwks_uri
    }

    /// The document at [`TestIssuer::jwks_uri`].
    #[must_use]
    pub fn jwk_set(&self) -> Value {
        let state = self.state();
        let keys = state.keys.iter().map(|key| key.public_jwk());
        json!({ "keys": keys.chain(state.extra.iter().cloned()).collect::<Vec<_>>() })
    }

    /// The key that signs now.
    #[must_use]
    pub fn key(&self) -> Arc<TestKey> {
        Arc::clone(self.state().keys.last().expect("an issuer has a key"))
    }

    /// A good token for this audience, to be changed and signed.
    pub fn token(&self, audience: &str) -> TokenBuilder {
        let mut state = self.state();
        state.tokens += 1;
        let jti = format!("token-{}", state.tokens);
        drop(state);
        TokenBuilder::new(self.key(), self.id(), audience, &jti, self.shared.clock.now())
    }

    /// Publishes a new key of the same algorithm, which signs from now on. The others stay
    /// published. Returns its id.
    pub fn rotate(&self) -> String {
        self.rotate_to(self.key().algorithm())
    }

    /// The same with another algorithm.
    pub fn rotate_to(&self, algorithm: Algorithm) -> String {
        let made = self.state().made + 1;
        let kid = format!("k{made}");
        let key = TestKey::generate(algorithm, &kid);
        let mut state = self.state();
        state.made = made;
        state.keys.push(Arc::new(key));
        state.version += 1;
        kid
    }

    /// Publishes this key too, and signs with it from now on.
    pub fn add_key(&self, key: TestKey) {
        let mut state = self.state();
        state.keys.push(Arc::new(key));
        state.version += 1;
    }

    /// No longer publishes the key with this id.
    pub fn withdraw(&self, kid: &str) {
        let mut state = self.state();
        state.keys.retain(|key| key.kid() != kid);
        state.version += 1;
    }

    /// Publishes this beside the keys, whatever it is.
    pub fn publish(&self, jwk: Value) {
        let mut state = self.state();
        state.extra.push(jwk);
        state.version += 1;
    }

    /// Sends this `Cache-Control` with the keys.
    pub fn cache_control(&self, value: &str) {
        self.state().cache_control = Some(value.parse().expect("a field value"));
    }

    /// Sends this metadata instead of its own.
    pub fn metadata(&self, metadata: Value) {
        self.state().metadata = Some(metadata);
    }

    /// Lets every fetch fail, until [`TestIssuer::recover`].
    pub fn fail(&self, failure: Failure) {
        self.state().failure = Some(failure);
    }

    /// Lets fetches succeed again.
    pub fn recover(&self) {
        self.state().failure = None;
    }

    /// Holds every fetch back, until [`TestIssuer::release`].
    pub fn hold(&self) {
        self.shared.held.send_replace(true);
    }

    /// Lets the fetches that are held go on.
    pub fn release(&self) {
        self.shared.held.send_replace(false);
    }

    /// How often the keys were fetched, conditional and failed fetches included.
    #[must_use]
    pub fn fetches(&self) -> usize {
        self.state().jwks_fetches
    }

    /// How often a place of the metadata was fetched.
    #[must_use]
    pub fn metadata_fetches(&self) -> usize {
        self.state().metadata_fetches
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this URL is one of this issuer's.
    pub(super) fn serves(&self, url: &str) -> bool {
        url == self.shared.jwks_uri || discovery_urls(self.id()).iter().any(|known| known == url)
    }

    pub(super) async fn answer(
        &self,
        request: &Request<Bytes>,
    ) -> Result<Response<Bytes>, FetchError> {
        let url = request.uri().to_string();
        let keys = url == self.shared.jwks_uri;
        {
            let mut state = self.state();
            if keys {
                state.jwks_fetches += 1;
            } else {
                state.metadata_fetches += 1;
            }
        }
        let mut held = self.shared.held.subscribe();
        // The sender lives in `self`.
        let _ = held.wait_for(|held| !held).await;

        let failure = self.state().failure.clone();
        match failure {
            None if keys => Ok(self.answer_keys(request)),
            // Where a real issuer has its metadata, and nowhere else.
            None if discovery_urls(self.id()).last() == Some(&url) => Ok(self.answer_metadata()),
            None => Ok(status(StatusCode::NOT_FOUND)),
            Some(Failure::Connection) => Err(FetchError::new(FetchErrorKind::Connection)),
            Some(Failure::Silence) => std::future::pending().await,
            Some(Failure::Status(code)) => Ok(status(code)),
            Some(Failure::Redirect(to)) => {
                let mut response = status(StatusCode::FOUND);
                let to = HeaderValue::try_from(to).expect("a field value");
                response.headers_mut().insert(LOCATION, to);
                Ok(response)
            }
            Some(Failure::Body(body)) => Ok(document("application/json", body)),
        }
    }

    fn answer_keys(&self, request: &Request<Bytes>) -> Response<Bytes> {
        // The tag first: keys that come meanwhile are sent under an old tag, and sent again.
        let version = self.state().version;
        let set = self.jwk_set();
        let state = self.state();
        let etag = HeaderValue::try_from(format!("\"v{version}\"")).expect("an etag");
        let mut response = if request.headers().get(IF_NONE_MATCH) == Some(&etag) {
            status(StatusCode::NOT_MODIFIED)
        } else {
            document("application/jwk-set+json", set.to_string())
        };
        response.headers_mut().insert(ETAG, etag);
        if let Some(value) = &state.cache_control {
            response.headers_mut().insert(CACHE_CONTROL, value.clone());
        }
        response
    }

    fn answer_metadata(&self) -> Response<Bytes> {
        let own = json!({ "issuer": self.id(), "jwks_uri": self.shared.jwks_uri });
        let metadata = self.state().metadata.clone().unwrap_or(own);
        document("application/json", metadata.to_string())
    }
}

fn status(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

fn document(content_type: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

impl fmt::Debug for TestIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestIssuer").field("id", &self.shared.id).finish_non_exhaustive()
    }
}
