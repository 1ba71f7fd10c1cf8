//! A publisher of what is revoked, in some hundred lines: a list that is served as a whole and as deltas,
//! plain and signed, and a resource server that asks for it.
//!
//! `cargo run --example feed_publisher` plays it over HTTP on loopback, prints what came of each request,
//! and exits with 0 only if every one came out as it should. `cargo run --example feed_publisher -- serve`
//! keeps serving, and prints `curl` lines.
//!
//! A real publisher is part of whatever knows of revocation: an authorization server, a user directory, a
//! fraud team's service. Its list is a table in a database, and its sequence a counter in the same
//! transaction. It serves `https`, so that the resource server needs no `.dangerous()`; where the document
//! is stored on the way, in a CDN or a bucket, it signs with a key of its own.

use std::collections::VecDeque;
use std::error::Error;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::Request;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use portcullis::check::scope;
use portcullis::jose::{Algorithm, base64url};
use portcullis::revocation::{FeedDocument, JsonFeed, Revocation, Source};
use portcullis::testing::{ManualClock, TestIssuer, TestKey, TokenBuilder};
use portcullis::time::{Clock, SystemClock};
use portcullis::{Access, Binding, Issuer, ResourceServer, TokenClass};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

/// What tokens name in `aud`.
const RESOURCE: &str = "https://notes.example";
/// Whose tokens they are.
const ISSUER: &str = "https://login.example";
/// Which feed it is, whatever its URL.
const FEED: &str = "urn:example:login:revocations";
/// Who signs it.
const SIGNER: &str = "https://feed.example";
/// How long a token can live, and a clock be wrong: no record matters longer.
const LONGEST_LIFE: Duration = Duration::from_mins(15 + 5);

/// The members of a JSON object.
pub type Object = Map<String, Value>;

fn object(value: Value) -> Object {
    match value {
        Value::Object(members) => members,
        _ => Object::new(),
    }
}

/// One document, and its number.
pub struct Document {
    sequence: u64,
    members: Object,
}

/// What is revoked. A clone is the same list.
#[derive(Clone)]
pub struct Publisher {
    list: Arc<Mutex<List>>,
    key: Arc<TestKey>,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct List {
    /// One more with each entry. Here it begins with the process; in a database it never goes back.
    sequence: u64,
    entries: VecDeque<Entry>,
}

struct Entry {
    sequence: u64,
    /// `records` or `removed`.
    list: &'static str,
    said: Object,
    /// When it matters no more.
    until: u64,
}

impl Publisher {
    /// An empty list, by this clock.
    pub fn new(clock: impl Clock) -> Self {
        let key = Arc::new(TestKey::generate(Algorithm::Es256, "feed-1"));
        Self { list: Arc::default(), key, clock: Arc::new(clock) }
    }

    /// Revokes what this names: `{"jti": ...}`, `{"subject": ...}`. From now on it is in the feed.
    pub fn revoke(&self, target: Object) -> u64 {
        self.say("records", target)
    }

    /// Takes back what was said of exactly this.
    pub fn remove(&self, target: Object) -> u64 {
        self.say("removed", target)
    }

    fn say(&self, list: &'static str, mut said: Object) -> u64 {
        let now = self.clock.now();
        said.insert("at".to_owned(), now.as_secs().into());
        // A hold, and what is purged, has no end: a real list keeps it until it is released.
        let lasts = matches!(
            said.get("effect").and_then(Value::as_str),
            Some("hold" | "hold_for_step_up" | "purge")
        );
        let until = if lasts { u64::MAX } else { now.plus(LONGEST_LIFE).as_secs() };
        let mut all = self.list();
        all.sequence += 1;
        let sequence = all.sequence;
        all.entries.push_back(Entry { sequence, list, said, until });
        sequence
    }

    /// The whole, or what changed after a document; `None` if there is no such document.
    pub fn document(&self, since: Option<u64>) -> Option<Document> {
        let now = self.clock.now().as_secs();
        let mut all = self.list();
        // A resource server drops it at the same time: nothing is taken back by this.
        all.entries.retain(|entry| entry.until >= now);
        if since.is_some_and(|since| since > all.sequence) {
            return None;
        }
        let listed = |list: &str| -> Vec<Object> {
            let of_it = |entry: &&Entry| entry.list == list && Some(entry.sequence) > since;
            all.entries.iter().filter(of_it).map(|entry| entry.said.clone()).collect()
        };
        let records = listed("records");
        let sequence = all.sequence;
        let mut document = object(json!({
            "feed": FEED,
            "sequence": sequence,
            "issued_at": now,
            "count": records.len(),
            "records": records,
            "removed": listed("removed"),
        }));
        if let Some(since) = since {
            document.insert("since".to_owned(), since.into());
        }
        Some(Document { sequence, members: document })
    }

    /// The whole as a compact JWS that counts for five minutes. A JOSE library does the same.
    pub fn signed(&self) -> Option<String> {
        let mut document = self.document(None)?.members;
        let now = self.clock.now().as_secs();
        document.extend(object(json!({ "iss": SIGNER, "iat": now, "exp": now + 300 })));
        let header = json!({ "alg": "ES256", "typ": "revocation-feed+jwt", "kid": self.key.kid() });
        let part = |value: Value| base64url::encode(value.to_string());
        let input = format!("{}.{}", part(header), part(document.into()));
        Some(format!("{input}.{}", base64url::encode(self.key.sign(input.as_bytes()))))
    }

    /// Everything that is served.
    pub fn app(&self) -> Router {
        let keys = json!({ "keys": [self.key.public_jwk()] });
        Router::new()
            .route("/revocations.json", get(whole))
            .route("/revocations/since/{sequence}", get(delta))
            .route("/revocations.jwt", get(signed))
            .route("/keys.json", get(async move || Json(keys)))
            .with_state(self.clone())
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The whole. Its tag is its number: who has it already gets 304.
async fn whole(State(publisher): State<Publisher>, asked: HeaderMap) -> Response {
    let Some(document) = publisher.document(None) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let tag = format!("\"{}\"", document.sequence);
    if asked.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, [(ETAG, tag)]).into_response();
    }
    ([(ETAG, tag)], Json(document.members)).into_response()
}

/// What changed after a document; 404 makes the server ask for the whole.
async fn delta(State(publisher): State<Publisher>, Path(since): Path<u64>) -> Response {
    match publisher.document(Some(since)) {
        Some(document) => Json(document.members).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn signed(State(publisher): State<Publisher>) -> Response {
    match publisher.signed() {
        Some(jws) => ([(CONTENT_TYPE, "application/revocation-feed+jwt")], jws).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The resource server. What a record says takes effect within a third of the maximum age.
fn api(
    issuer: Issuer,
    feed: JsonFeed,
    clock: impl Clock,
) -> Result<ResourceServer, Box<dyn Error>> {
    let source = Source::new("login", feed).speaks_for([ISSUER]).max_age(Duration::from_secs(30));
    Ok(ResourceServer::builder(RESOURCE)
        .issuer(issuer)
        .binding(Binding::WhereBound)
        .class(TokenClass::default_at_most(Duration::from_mins(15)))
        .revocation(Revocation::new().source(source))
        .clock(clock)
        .build()?)
}

fn app(api: &ResourceServer) -> Router {
    Router::new().route("/notes", get(list).layer(api.protect(scope("notes:read"))))
}

async fn list(access: Access) -> String {
    format!("the notes of {}", access.subject())
}

/// The feed of a publisher on this machine, as deltas.
fn plain(base: &str) -> JsonFeed {
    JsonFeed::over_tls(format!("{base}/revocations.json"))
        .id(FEED)
        .delta(format!("{base}/revocations/since/{{sequence}}"))
        .dangerous()
        .insecure_loopback_http()
}

/// The same, signed: whoever it is fetched from, its publisher wrote it.
fn by_signature(base: &str) -> JsonFeed {
    let keys = format!("{base}/keys.json");
    let signer = Issuer::jwks(SIGNER, keys).algorithms([Algorithm::Es256]);
    JsonFeed::signed(format!("{base}/revocations.jwt"), signer.dangerous().insecure_loopback_http())
        .id(FEED)
        .dangerous()
        .insecure_loopback_http()
}

/// One resource server, its clients, and what came of their requests.
struct Play {
    api: ResourceServer,
    clock: ManualClock,
    client: Client<HttpConnector, Body>,
    url: String,
    wrong: usize,
}

impl Play {
    /// Lets so many seconds pass, and waits until the feed was asked.
    async fn pass(&self, seconds: u64) -> Result<(), Box<dyn Error>> {
        let told = || {
            let health = self.api.revocations().health();
            let feed = health.iter().find(|source| &*source.name == "login");
            feed.map(|feed| (feed.failures, feed.age.is_some_and(|age| age.is_zero())))
        };
        let failures = told().map_or(0, |(failures, _)| failures);
        // The one that keeps house, and the one that asks, have to sleep before they can be woken.
        let asked = async {
            while self.clock.sleepers() < 2 {
                tokio::task::yield_now().await;
            }
            self.clock.advance(Duration::from_secs(seconds));
            while !told().is_some_and(|(now, fresh)| fresh || now > failures) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        Ok(tokio::time::timeout(Duration::from_secs(30), asked).await?)
    }

    /// Whether the feed answered the last question.
    fn is_well(&self) -> bool {
        let health = self.api.revocations().health();
        health.iter().all(|source| source.last_error.is_none())
    }

    async fn expect(
        &mut self,
        what: &str,
        token: TokenBuilder,
        expected: u16,
    ) -> Result<(), Box<dyn Error>> {
        let request = Request::get(&self.url)
            .header("authorization", format!("Bearer {}", token.sign()))
            .body(Body::empty())?;
        let status = self.client.request(request).await?.status().as_u16();
        println!("  {what:<58} {status}");
        if status != expected {
            println!("    WRONG: {expected} was expected");
            self.wrong += 1;
        }
        Ok(())
    }
}

/// Plays publisher and clients; returns how many requests came out otherwise than they should.
pub async fn run() -> Result<usize, Box<dyn Error>> {
    let mut wrong = 0;
    for form in ["plain, with deltas", "signed"] {
        let clock = ManualClock::new();
        let publisher = Publisher::new(clock.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let base = format!("http://{}", listener.local_addr()?);
        let feed = publisher.app();
        let serving = tokio::spawn(async move { axum::serve(listener, feed).await });

        let issuer = TestIssuer::new(ISSUER, &clock);
        let feed = if form == "signed" { by_signature(&base) } else { plain(&base) };
        let api = api(issuer.fixed_keys(), feed, clock.clone())?;
        api.warm_up().await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/notes", listener.local_addr()?);
        let notes = app(&api);
        let server = tokio::spawn(async move { axum::serve(listener, notes).await });
        let client = Client::builder(TokioExecutor::new()).build_http();
        let mut play = Play { api, clock, client, url, wrong: 0 };
        println!("\n{FEED}, {form}, from {base}");

        let issued = play.clock.now().as_secs();
        let end = play.clock.now().plus(Duration::from_mins(15));
        let token = |jti: &str, subject: &str| {
            let token = issuer.token(RESOURCE).scope("notes:read").subject(subject);
            token.claim("jti", jti).claim("iat", issued).expires_at(end)
        };
        play.expect("Ann, before anything is revoked", token("a1", "ann"), 200).await?;

        publisher.revoke(object(json!({ "jti": "a1", "exp": end.as_secs() })));
        play.pass(10).await?;
        play.expect("Ann, whose token was revoked", token("a1", "ann"), 401).await?;
        play.expect("Ann, with another one", token("a2", "ann"), 200).await?;

        publisher.revoke(object(json!({ "subject": "ann" })));
        publisher
            .revoke(object(json!({ "subject": "bob", "effect": "hold", "reason": "account" })));
        play.pass(10).await?;
        play.expect("Ann, logged out everywhere", token("a2", "ann"), 401).await?;
        play.expect("Bob, whose account is on hold", token("b1", "bob"), 401).await?;
        play.expect("Cid, of whom nothing was said", token("c1", "cid"), 200).await?;

        publisher
            .revoke(object(json!({ "subject": "bob", "effect": "release", "reason": "account" })));
        publisher.remove(object(json!({ "subject": "ann" })));
        play.pass(10).await?;
        play.expect("Bob, released", token("b1", "bob"), 200).await?;
        play.expect("Ann, whose logout was taken back", token("a2", "ann"), 200).await?;
        play.expect("Ann, with the token that was revoked", token("a1", "ann"), 401).await?;

        // A publisher can try its own documents.
        if let Some(document) = publisher.document(None) {
            let text = serde_json::to_vec(&document.members)?;
            let read = FeedDocument::parse(&text, Some(ISSUER))?;
            println!("  document {} has {} records", read.sequence(), read.records().len());
        }

        serving.abort();
        let _ = serving.await;
        // A connection that is being closed may still bring an answer.
        while play.is_well() {
            play.pass(10).await?;
        }
        play.expect("Cid, while the publisher is down", token("c1", "cid"), 200).await?;
        play.pass(21).await?;
        play.expect("Cid, when what is known is too old", token("c1", "cid"), 503).await?;
        play.expect("Ann, whose token is known to be revoked", token("a1", "ann"), 401).await?;
        server.abort();
        wrong += play.wrong;
    }
    if wrong == 0 {
        println!("\nevery request came out as it should");
    }
    Ok(wrong)
}

/// Serves by the machine's clock, and prints what can be sent by hand.
async fn serve() -> Result<(), Box<dyn Error>> {
    let publisher = Publisher::new(SystemClock::new());
    let say = |remove: bool| {
        let publisher = publisher.clone();
        // Whoever can call this decides what is revoked: a real one is protected.
        post(async move |Json(target): Json<Object>| {
            let said = if remove { publisher.remove(target) } else { publisher.revoke(target) };
            format!("{said}\n")
        })
    };
    let app = publisher.app().route("/revoke", say(false)).route("/remove", say(true));
    let listener = TcpListener::bind("127.0.0.1:3001").await?;
    let base = "http://127.0.0.1:3001";
    let curl = "curl -s -H 'Content-Type: application/json'";
    println!("# what is revoked\ncurl -s {base}/revocations.json\n");
    println!("# revoke\n{curl} {base}/revoke -d '{}'", json!({ "subject": "ann" }));
    println!("# what changed since, and the same signed");
    println!("curl -s {base}/revocations/since/0\ncurl -s {base}/revocations.jwt");
    println!("# take it back\n{curl} {base}/remove -d '{}'", json!({ "subject": "ann" }));
    axum::serve(listener, app).await?;
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match std::env::args().nth(1).as_deref() {
        None => run().await,
        Some("serve") => serve().await.map(|()| 0),
        Some(other) => Err(format!("`{other}`: say `serve`, or nothing").into()),
    };
    match outcome {
        Ok(0) => ExitCode::SUCCESS,
        Ok(wrong) => {
            eprintln!("{wrong} request(s) came out otherwise than they should");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("the example broke off: {error}");
            ExitCode::FAILURE
        }
    }
}
