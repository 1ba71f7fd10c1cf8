mod answer;
mod client;
mod failure;
mod request;
mod signing;

use std::borrow::Borrow;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::rand;
use serde_json::Value;
use tokio::sync::watch;

use self::client::Wanted;
use self::signing::Signing;
use super::issuer::TestIssuer;
use super::token::TokenBuilder;
use crate::jose::base64url;
use crate::time::Clock;

pub use self::failure::IntrospectionFailure;
pub use self::request::TestIntrospectionRequest;

/// An introspection endpoint (RFC 7662) in the test's own process, on a [`super::TestNetwork`]: good
/// as it is made, wrong as a test wants it. A clone is the same endpoint.
///
/// 1. It makes opaque tokens of the claims that a [`TokenBuilder`] would sign. A token it does not
///    know is not active.
/// 2. It refuses a question that is not one (RFC 7662 §2.1) with 400: another method than POST, another
///    content type than that of a form, a query, no `token` or two, a parameter that is repeated.
/// 3. It takes questions of anybody, until [`Self::require_client`] and its like.
/// 4. It answers with JSON. After [`Self::sign_with`] it answers with a JWT (RFC 9701 §5) whoever asks
///    for one in `Accept` (RFC 9701 §4), and nobody else.
/// 5. It remembers every question that came, refused or not.
/// 6. It does not look at the time: an active token stays active past its `exp`, so that who asks has
///    to look.
///
/// The example of [`crate::introspection`] has a whole server that asks it; the one here has only the call.
///
/// ```
/// use std::time::Duration;
/// use bytes::Bytes;
/// use http::Request;
/// use portcullis::testing::{ManualClock, TestIntrospection, TestIssuer, TestNetwork};
/// use portcullis::transport::{FetchLimits, Transport as _};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let clock = ManualClock::new();
/// let issuer = TestIssuer::new("https://as.example", &clock);
/// let introspection = TestIntrospection::of(&issuer, &clock);
/// let network = TestNetwork::of(&[&issuer]).with_introspection(&introspection);
///
/// let token = introspection.active(issuer.token("https://rs.example").scope("notes:read"));
/// // What a resource server sends.
/// let question = || {
///     Request::post(introspection.url())
///         .header("content-type", "application/x-www-form-urlencoded")
///         .body(Bytes::from(format!("token={token}")))
/// };
/// let limits = FetchLimits::new(65_536, Duration::from_secs(5));
/// let answer = network.fetch(question()?, limits).await?;
/// let answer: serde_json::Value = serde_json::from_slice(answer.body())?;
/// assert_eq!(answer["active"], true);
/// assert_eq!(answer["scope"], "notes:read");
///
/// introspection.revoke(&token);
/// let answer = network.fetch(question()?, limits).await?;
/// assert_eq!(answer.body(), r#"{"active":false}"#);
/// assert_eq!(introspection.calls(), 2);
/// assert_eq!(introspection.requests()[0].form("token"), Some(token));
/// # Ok::<_, Box<dyn std::error::Error>>(()) })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct TestIntrospection {
    shared: Arc<Shared>,
}

struct Shared {
    url: String,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    held: watch::Sender<Held>,
    /// How many questions came: whoever waits for one looks again.
    called: watch::Sender<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    Nothing,
    Questions,
    Answers,
}

#[derive(Default)]
struct State {
    /// By token: the answer, as text.
    answers: HashMap<String, String>,
    signing: Signing,
    wanted: Option<Wanted>,
    failure: Option<IntrospectionFailure>,
    /// Before that one, each once.
    failures: VecDeque<IntrospectionFailure>,
    requests: Vec<TestIntrospectionRequest>,
    under_way: usize,
    most_at_once: usize,
}

impl TestIntrospection {
    /// An endpoint at this URL.
    #[must_use]
    pub fn new(url: impl Into<String>, clock: &(impl Clock + Clone)) -> Self {
        let shared = Shared {
            url: url.into(),
            clock: Arc::new(clock.clone()),
            state: Mutex::default(),
            held: watch::Sender::new(Held::Nothing),
            called: watch::Sender::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The endpoint of this issuer, at `<issuer>/introspect`. The issuer's metadata does not name it:
    /// see [`TestIssuer::metadata`].
    #[must_use]
    pub fn of(issuer: &TestIssuer, clock: &(impl Clock + Clone)) -> Self {
        Self::new(format!("{}/introspect", issuer.id().trim_end_matches('/')), clock)
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.shared.url
    }

    /// A new opaque token, of 43 characters, that is active and has these claims: those that the same
    /// token would have if it was signed, with `active` `true` and `token_type`, which is `DPoP` if
    /// `cnf` has a `jkt` (RFC 9449 §6.2) and `Bearer` otherwise. A claim of one of these two names stays
    /// as it is.
    ///
    /// # Panics
    /// If the token's payload is not an object.
    #[must_use]
    pub fn active(&self, claims: impl Borrow<TokenBuilder>) -> String {
        let mut octets = [0; 32];
        rand::fill(&mut octets).expect("random octets");
        let token = base64url::encode(octets);
        self.active_as(&token, claims);
        token
    }

    /// The same for a token of this text: one with characters that a form has to encode, or the signed
    /// form of the same claims.
    ///
    /// # Panics
    /// If the token's payload is not an object.
    pub fn active_as(&self, token: &str, claims: impl Borrow<TokenBuilder>) {
        let answer = answer::active(claims.borrow());
        self.state().answers.insert(token.to_owned(), answer);
    }

    /// Answers this about this token, whatever it is.
    pub fn set(&self, token: &str, answer: impl Into<Value>) {
        self.set_raw(token, answer.into().to_string());
    }

    /// The same as text: one with a member twice, or a number that no type holds.
    pub fn set_raw(&self, token: &str, answer: impl Into<String>) {
        self.state().answers.insert(token.to_owned(), answer.into());
    }

    /// This token is not active from now on: the answer about it is `{"active":false}`, as it is about a
    /// token that nobody knows (RFC 7662 §2.2).
    pub fn revoke(&self, token: &str) {
        self.state().answers.remove(token);
    }

    /// Lets every question fail, until [`Self::recover`].
    pub fn fail(&self, failure: impl Into<IntrospectionFailure>) {
        self.state().failure = Some(failure.into());
    }

    /// Lets the next question that would be answered fail, before [`Self::fail`] and after those that
    /// this was said of earlier.
    pub fn fail_once(&self, failure: impl Into<IntrospectionFailure>) {
        self.state().failures.push_back(failure.into());
    }

    /// Lets questions succeed again.
    pub fn recover(&self) {
        let mut state = self.state();
        state.failure = None;
        state.failures.clear();
    }

    /// Holds every question back, until [`Self::release`]. Its answer is what is known then.
    pub fn hold(&self) {
        self.shared.held.send_replace(Held::Questions);
    }

    /// Holds every answer back, until [`Self::release`]. It is what was known when the question came:
    /// an answer that is on its way while its token is revoked.
    pub fn hold_answers(&self) {
        self.shared.held.send_replace(Held::Answers);
    }

    /// Lets what is held go on.
    pub fn release(&self) {
        self.shared.held.send_replace(Held::Nothing);
    }

    /// How many questions came, those that failed or were refused included.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.state().requests.len()
    }

    /// Waits until so many questions came, held ones included.
    pub async fn called(&self, calls: usize) {
        let mut called = self.shared.called.subscribe();
        // The sender lives in `self`.
        let _ = called.wait_for(|count| *count >= calls).await;
    }

    /// The questions, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<TestIntrospectionRequest> {
        self.state().requests.clone()
    }

    /// How many questions are under way: came, and neither answered nor given up.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.state().under_way
    }

    /// How many questions were under way at the same time at most.
    #[must_use]
    pub fn most_at_once(&self) -> usize {
        self.state().most_at_once
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for TestIntrospection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestIntrospection")
            .field("url", &self.url())
            .field("calls", &self.calls())
            .finish_non_exhaustive()
    }
}
