use std::fmt;
use std::io::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::issuer::{Failure, TestIssuer};
use super::key::TestKey;
use super::token::TokenBuilder;
use crate::jose::base64url;
use crate::revocation::StatusListToken;
use crate::time::{Clock, Timestamp};
use crate::transport::{FetchError, FetchErrorKind};

/// A status list of a [`TestIssuer`], on a [`super::TestNetwork`]: good as it is made, wrong as a test
/// wants it. A clone is the same list.
///
/// It begins with 1 024 statuses of one bit, all valid, and a `ttl` of five minutes.
///
/// ```
/// use std::time::Duration;
/// use portcullis::revocation::{Revocation, StatusLists};
/// use portcullis::testing::{ManualClock, TestIssuer, TestNetwork, TestStatusList};
/// # use portcullis::{Binding, RejectionKind, ResourceServer, TokenClass};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let clock = ManualClock::new();
/// let issuer = TestIssuer::new("https://as.example", &clock);
/// let list = TestStatusList::new("https://as.example/lists/1", &issuer, &clock);
/// let api = ResourceServer::builder("https://rs.example")
///     .issuer(issuer.discover())
///     .revocation(Revocation::new().status_lists(StatusLists::new()))
///     .transport(TestNetwork::of(&[&issuer]).with_list(&list))
/// #   .binding(Binding::WhereBound).class(TokenClass::default_at_most(Duration::from_hours(1)))
///     .clock(clock.clone())
///     .build()?;
///
/// let token = issuer.token("https://rs.example").claim("status", list.reference(7));
/// let token = token.expires_at(portcullis::time::Timestamp::from_secs(1_800_003_600)).sign();
/// # let request = http::Request::get("/").header("authorization", format!("Bearer {token}")).body(())?;
/// assert!(api.verify(&request).await.is_ok());
///
/// list.set(7, 1);
/// clock.advance(Duration::from_mins(6));
/// assert_eq!(api.verify(&request).await.unwrap_err().kind(), RejectionKind::Revoked);
/// # Ok::<_, Box<dyn std::error::Error>>(()) })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct TestStatusList {
    shared: Arc<Shared>,
}

struct Shared {
    uri: String,
    issuer: TestIssuer,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Whether fetches are held.
    held: watch::Sender<bool>,
}

type Edit = Arc<dyn Fn(TokenBuilder) -> TokenBuilder + Send + Sync>;

struct State {
    bits: u8,
    octets: Vec<u8>,
    lst: Option<String>,
    ttl: Option<Duration>,
    issued_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    edit: Option<Edit>,
    key: Option<Arc<TestKey>>,
    body: Option<Vec<u8>>,
    fields: HeaderMap,
    gzip: bool,
    failure: Option<Failure>,
    version: usize,
    fetches: usize,
    last_request: Option<HeaderMap>,
}

impl TestStatusList {
    /// The list of this issuer at this URI.
    #[must_use]
    pub fn new(uri: impl Into<String>, issuer: &TestIssuer, clock: &(impl Clock + Clone)) -> Self {
        let mut fields = HeaderMap::new();
        let media_type = HeaderValue::from_static(StatusListToken::MEDIA_TYPE);
        fields.insert(CONTENT_TYPE, media_type);
        let state = State {
            bits: 1,
            octets: vec![0; 128],
            lst: None,
            ttl: Some(Duration::from_mins(5)),
            issued_at: None,
            expires_at: None,
            edit: None,
            key: None,
            body: None,
            fields,
            gzip: false,
            failure: None,
            version: 0,
            fetches: 0,
            last_request: None,
        };
        let shared = Shared {
            uri: uri.into(),
            issuer: issuer.clone(),
            clock: Arc::new(clock.clone()),
            state: Mutex::new(state),
            held: watch::Sender::new(false),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Where it is.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.shared.uri
    }

    /// What a token says that is at this index of it: a value for its claim `status`.
    #[must_use]
    pub fn reference(&self, index: u64) -> Value {
        json!({ "status_list": { "idx": index, "uri": self.uri() } })
    }

    /// So many statuses of so many bits, all valid. The last octet is filled up.
    pub fn resize(&self, bits: u8, entries: usize) -> &Self {
        self.change(|state| {
            state.bits = bits;
            state.octets = vec![0; (entries * usize::from(bits)).div_ceil(8)];
        })
    }

    /// Sets the status at this index.
    pub fn set(&self, index: u64, status: u8) -> &Self {
        self.change(|state| {
            let bits = u64::from(state.bits);
            let place = usize::try_from(index * bits / 8).expect("an index that fits");
            let shift = u32::try_from(index * bits % 8).expect("less than eight");
            let mask = (u8::MAX >> (8 - state.bits)) << shift;
            let octet = state.octets.get_mut(place).expect("an index within the list");
            *octet = (*octet & !mask) | ((status << shift) & mask);
        })
    }

    /// Its `ttl`; `None`: it has none.
    pub fn ttl(&self, ttl: impl Into<Option<Duration>>) -> &Self {
        self.change(|state| state.ttl = ttl.into())
    }

    /// Its `iat`; the time of the fetch unless said otherwise.
    pub fn issued_at(&self, at: Timestamp) -> &Self {
        self.change(|state| state.issued_at = Some(at))
    }

    /// Its `exp`; `None`: it has none.
    pub fn expires_at(&self, at: impl Into<Option<Timestamp>>) -> &Self {
        self.change(|state| state.expires_at = at.into())
    }

    /// Changes the token before it is signed, in any way. `status_list` is a claim as any other.
    pub fn edit(
        &self,
        edit: impl Fn(TokenBuilder) -> TokenBuilder + Send + Sync + 'static,
    ) -> &Self {
        self.change(|state| state.edit = Some(Arc::new(edit)))
    }

    /// Signs with this key: the header still names the issuer's.
    pub fn sign_with(&self, key: TestKey) -> &Self {
        self.change(|state| state.key = Some(Arc::new(key)))
    }

    /// This as `lst`, whatever it is.
    pub fn lst(&self, lst: impl Into<String>) -> &Self {
        self.change(|state| state.lst = Some(lst.into()))
    }

    /// This as the body of the answer, whatever it is.
    pub fn body(&self, body: impl Into<Vec<u8>>) -> &Self {
        self.change(|state| state.body = Some(body.into()))
    }

    /// A field of the answer, instead of that of this name.
    pub fn field(&self, name: HeaderName, value: &str) -> &Self {
        let value = HeaderValue::try_from(value).expect("a field value");
        self.change(|state| {
            state.fields.insert(name, value);
        })
    }

    /// Encodes the answer with gzip.
    pub fn gzip(&self) -> &Self {
        self.change(|state| state.gzip = true)
    }

    /// Lets every fetch fail, until [`TestStatusList::recover`].
    pub fn fail(&self, failure: Failure) {
        self.state().failure = Some(failure);
    }

    /// Lets fetches succeed again.
    pub fn recover(&self) {
        self.state().failure = None;
    }

    /// Takes back what made it wrong: [`Self::edit`], [`Self::sign_with`], [`Self::lst`],
    /// [`Self::body`].
    pub fn mend(&self) -> &Self {
        self.change(|state| {
            (state.edit, state.key, state.lst, state.body) = (None, None, None, None);
        })
    }

    /// Holds every fetch back, until [`TestStatusList::release`].
    pub fn hold(&self) {
        self.shared.held.send_replace(true);
    }

    /// Lets the fetches that are held go on.
    pub fn release(&self) {
        self.shared.held.send_replace(false);
    }

    /// How often it was fetched, conditional and failed fetches included.
    #[must_use]
    pub fn fetches(&self) -> usize {
        self.state().fetches
    }

    /// The fields of the last fetch.
    #[must_use]
    pub fn last_request(&self) -> Option<HeaderMap> {
        self.state().last_request.clone()
    }

    /// The list as a JWT, as it is fetched now.
    #[must_use]
    pub fn token(&self) -> String {
        let state = self.state();
        let issuer = &self.shared.issuer;
        let now = self.shared.clock.now();
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
        zlib.write_all(&state.octets).expect("a vector takes everything");
        let zlib = zlib.finish().expect("a vector takes everything");
        let lst = state.lst.clone().unwrap_or_else(|| base64url::encode(zlib));
        let issued_at = state.issued_at.unwrap_or(now);
        let mut token = TokenBuilder::new(issuer.key(), issuer.id(), "", "", issued_at)
            .header("typ", "statuslist+jwt")
            .without("aud")
            .without("client_id")
            .without("jti")
            .without("exp")
            .claim("sub", self.uri())
            .claim("status_list", json!({ "bits": state.bits, "lst": lst }));
        if let Some(ttl) = state.ttl {
            token = token.claim("ttl", ttl.as_secs());
        }
        if let Some(at) = state.expires_at {
            token = token.expires_at(at);
        }
        if let Some(edit) = &state.edit {
            token = edit(token);
        }
        match &state.key {
            Some(key) => token.sign_with(key),
            None => token.sign(),
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) -> &Self {
        let mut state = self.state();
        change(&mut state);
        state.version += 1;
        drop(state);
        self
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn serves(&self, url: &str) -> bool {
        url == self.uri()
    }

    pub(super) async fn answer(
        &self,
        request: &Request<Bytes>,
    ) -> Result<Response<Bytes>, FetchError> {
        {
            let mut state = self.state();
            state.fetches += 1;
            state.last_request = Some(request.headers().clone());
        }
        let mut held = self.shared.held.subscribe();
        // The sender lives in `self`.
        let _ = held.wait_for(|held| !held).await;

        let failure = self.state().failure.clone();
        let mut response = Response::new(Bytes::new());
        match failure {
            None => return Ok(self.answer_list(request)),
            Some(Failure::Connection) => {
                return Err(FetchError::new(FetchErrorKind::Connection));
            }
            Some(Failure::Silence) => std::future::pending().await,
            Some(Failure::Status(status)) => *response.status_mut() = status,
            Some(Failure::Redirect(to)) => {
                *response.status_mut() = StatusCode::FOUND;
                let to = HeaderValue::try_from(to).expect("a field value");
                response.headers_mut().insert(LOCATION, to);
            }
            Some(Failure::Body(body)) => {
                *response.headers_mut() = self.state().fields.clone();
                *response.body_mut() = body.into();
            }
        }
        Ok(response)
    }

    fn answer_list(&self, request: &Request<Bytes>) -> Response<Bytes> {
        // The tag first: what changes meanwhile is sent under an old tag, and sent again. The other way
        // round an old list would be sent under the new tag, and would stay.
        let version = self.state().version;
        let token = self.token();
        let state = self.state();
        let tag = HeaderValue::try_from(format!("\"v{version}\"")).expect("a tag");
        let mut response = Response::new(Bytes::new());
        *response.headers_mut() = state.fields.clone();
        response.headers_mut().insert(ETAG, tag.clone());
        if request.headers().get(IF_NONE_MATCH) == Some(&tag) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        let mut body = state.body.clone().unwrap_or_else(|| token.into_bytes());
        if state.gzip {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
            gzip.write_all(&body).expect("a vector takes everything");
            body = gzip.finish().expect("a vector takes everything");
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        *response.body_mut() = body.into();
        response
    }
}

impl fmt::Debug for TestStatusList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestStatusList").field("uri", &self.uri()).finish_non_exhaustive()
    }
}
