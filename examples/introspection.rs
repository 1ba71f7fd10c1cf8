//! Tokens that only their issuer understands: each is asked about once, by however many requests it
//! comes with, and what the issuer said is decided like a JWT.
//!
//! `cargo run --example introspection` plays it over HTTP on loopback, in a few seconds, prints what came
//! of each request and how often the issuer was asked, and exits with 0 only if every request came out as
//! it should.
//!
//! The endpoint is the test kit's, so that nothing else has to run. A real service has
//! `Introspection::at("https://login.example.com", "https://login.example.com/introspect")` and no
//! `dangerous()`.

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::routing::{get, post};
use http::{Request, StatusCode};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use portcullis::check::scope;
use portcullis::introspection::{ClientAuth, Introspection};
use portcullis::secret::SecretSource;
use portcullis::testing::{TestIntrospection, TestIssuer, TestNetwork};
use portcullis::time::SystemClock;
use portcullis::transport::{FetchLimits, Transport as _};
use portcullis::{Access, Binding, Issuer, Policy, ResourceServer, TokenClass};
use tokio::net::TcpListener;

const RESOURCE: &str = "https://notes.example";
const ISSUER: &str = "https://login.example";
const CLIENT: (&str, &str) = ("notes-api", "not-a-real-secret");

/// How long an answer is kept. A real service has half a minute.
const TTL: Duration = Duration::from_secs(2);

/// The server. Its own secret is in a file, as a secret store would mount it.
fn api(endpoint: String, secret: SecretSource) -> Result<ResourceServer, Box<dyn Error>> {
    let introspection = Introspection::at(ISSUER, endpoint)
        .client(ClientAuth::basic(CLIENT.0, secret))
        .ttl(TTL)
        .negative_ttl(Duration::from_millis(500));
    Ok(ResourceServer::builder(RESOURCE)
        .issuer(Issuer::opaque(ISSUER))
        .introspection(introspection.dangerous().insecure_loopback_http())
        .binding(Binding::WhereBound)
        .class(TokenClass::default_at_most(Duration::from_mins(15)))
        .build()?)
}

/// Notes are read by what the issuer said two seconds ago; payments ask it again after one.
fn app(api: &ResourceServer) -> Router {
    let pays = Policy::new(scope("notes:pay")).freshness(Duration::from_secs(1));
    Router::new()
        .route("/notes", get(list).layer(api.protect(scope("notes:read"))))
        .route("/payments", get(list).layer(api.protect(pays)))
}

async fn list(access: Access) -> String {
    format!("for {}", access.subject())
}

/// The issuer's endpoint, over HTTP.
fn endpoint(introspection: &TestIntrospection) -> Router {
    let network = TestNetwork::of(&[]).with_introspection(introspection);
    let url = introspection.url().to_owned();
    let answer = move |request: Request<Body>| {
        let (network, url) = (network.clone(), url.clone());
        async move {
            let (mut parts, body) = request.into_parts();
            parts.uri = url.parse().map_err(|_| StatusCode::BAD_REQUEST)?;
            let body = to_bytes(body, 65_536).await.map_err(|_| StatusCode::BAD_REQUEST)?;
            let limits = FetchLimits::new(65_536, Duration::from_secs(5));
            let answer = network.fetch(Request::from_parts(parts, body), limits).await;
            answer.map(|answer| answer.map(Body::from)).map_err(|_| StatusCode::BAD_GATEWAY)
        }
    };
    Router::new().route("/introspect", post(answer))
}

/// A client of the whole thing.
struct Caller {
    http: Client<HttpConnector, Body>,
    origin: String,
}

impl Caller {
    async fn get(&self, path: &str, token: &str) -> Result<StatusCode, Box<dyn Error>> {
        let request = Request::get(format!("{}{path}", self.origin))
            .header("authorization", format!("Bearer {token}"))
            .body(Body::empty())?;
        Ok(self.http.request(request).await?.status())
    }

    async fn expect(
        &self,
        what: &str,
        path: &str,
        token: &str,
        wanted: StatusCode,
    ) -> Result<(), Box<dyn Error>> {
        let found = self.get(path, token).await?;
        println!("  {what}: {found}");
        if found == wanted { Ok(()) } else { Err(format!("{what}: wanted {wanted}").into()) }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The whole example.
pub async fn run() -> Result<(), Box<dyn Error>> {
    let clock = SystemClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let introspection = TestIntrospection::of(&issuer, &clock);
    introspection.require_client(CLIENT.0, CLIENT.1);
    let elsewhere = TcpListener::bind("127.0.0.1:0").await?;
    let at = format!("http://{}/introspect", elsewhere.local_addr()?);
    let elsewhere = tokio::spawn(axum::serve(elsewhere, endpoint(&introspection)).into_future());

    let directory = std::env::temp_dir().join(format!("portcullis-secret-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let secret = directory.join("introspection");
    std::fs::write(&secret, CLIENT.1)?;
    let api = api(at, SecretSource::file(secret))?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let origin = format!("http://{}", listener.local_addr()?);
    let server = tokio::spawn(axum::serve(listener, app(&api)).into_future());

    let http = Client::builder(TokioExecutor::new()).build_http();
    let played = play(&api, &issuer, &introspection, Arc::new(Caller { http, origin })).await;
    server.abort();
    elsewhere.abort();
    std::fs::remove_dir_all(&directory)?;
    played
}

async fn play(
    api: &ResourceServer,
    issuer: &TestIssuer,
    introspection: &TestIntrospection,
    caller: Arc<Caller>,
) -> Result<(), Box<dyn Error>> {
    let asked = |what: &str, wanted: usize| {
        let calls = introspection.calls();
        println!("  the issuer was asked {calls} times");
        if calls == wanted { Ok(()) } else { Err(format!("{what}: wanted {wanted} calls")) }
    };
    let claims = |user: &str| issuer.token(RESOURCE).subject(user).scope("notes:read notes:pay");

    let ann = introspection.active(claims("ann"));
    println!("an opaque token, {} characters:", ann.len());
    caller.expect("first", "/notes", &ann, StatusCode::OK).await?;
    caller.expect("again", "/notes", &ann, StatusCode::OK).await?;
    asked("an answer is kept", 1)?;

    println!("a hundred requests at once with a new token:");
    let bob = introspection.active(claims("bob"));
    let requests: Vec<_> = (0..100)
        .map(|_| {
            let (caller, bob) = (Arc::clone(&caller), bob.clone());
            tokio::spawn(async move { caller.get("/notes", &bob).await.ok() })
        })
        .collect();
    for request in requests {
        if request.await? != Some(StatusCode::OK) {
            return Err("each of them passes".into());
        }
    }
    asked("they share a call", 2)?;

    println!("what the issuer says is decided here:");
    let weak = introspection.active(issuer.token(RESOURCE).scope("notes:list"));
    caller.expect("another scope", "/notes", &weak, StatusCode::FORBIDDEN).await?;
    let other = introspection.active(issuer.token("https://other.example").scope("notes:read"));
    caller.expect("another audience", "/notes", &other, StatusCode::UNAUTHORIZED).await?;
    let refresh = "r3fr35h";
    let said = serde_json::json!({
        "active": true, "sub": "ann", "client_id": "app", "aud": RESOURCE, "scope": "notes:read",
    });
    introspection.set(refresh, said);
    caller.expect("a refresh token", "/notes", refresh, StatusCode::UNAUTHORIZED).await?;
    caller.expect("an invented one", "/notes", "1nv3nt3d", StatusCode::UNAUTHORIZED).await?;

    println!("revoked at the issuer, without a word to us:");
    let carl = introspection.active(claims("carl"));
    caller.expect("before", "/notes", &carl, StatusCode::OK).await?;
    introspection.revoke(&carl);
    let start = Instant::now();
    while caller.get("/notes", &carl).await? == StatusCode::OK {
        if start.elapsed() > TTL * 3 {
            return Err("it is refused within the time that answers are kept".into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("  refused {:.1?} later: answers are kept for {TTL:?}", start.elapsed());

    println!("the issuer's endpoint answers nothing but 503:");
    let dora = introspection.active(claims("dora"));
    caller.expect("a token that is known", "/notes", &dora, StatusCode::OK).await?;
    introspection.fail(StatusCode::SERVICE_UNAVAILABLE);
    caller.expect("is still known", "/notes", &dora, StatusCode::OK).await?;
    let eve = introspection.active(claims("eve"));
    caller.expect("one that is not", "/notes", &eve, StatusCode::SERVICE_UNAVAILABLE).await?;
    tokio::time::sleep(TTL).await;
    caller.expect("after a while", "/notes", &dora, StatusCode::SERVICE_UNAVAILABLE).await?;
    for endpoint in api.introspection_health() {
        let error = endpoint.last_error.unwrap_or_default();
        println!("  {}: {}, {} calls, {error}", endpoint.issuer, endpoint.state, endpoint.calls);
    }
    Ok(())
}
