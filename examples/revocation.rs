//! Tokens that are revoked before they expire, and how long it takes until they are refused: by an event
//! that the issuer pushes (SSF, CAEP, RFC 8935), by a status list, and by this service itself.
//!
//! `cargo run --example revocation` plays all of it over HTTP on loopback, in a few seconds, prints what
//! came of it and how long each took, and exits with 0 only if every request came out as it should.
//!
//! The issuer and the transmitter of events are the test kit's, so that nothing else has to run. A real
//! service has `Issuer::discover("https://login.example.com")`, an
//! `EventStream::discover("https://login.example.com")` with `Verification::discovered()`, no
//! `dangerous()`, and a `Journal` in a directory of its own.

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::routing::{any_service, get};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use portcullis::check::scope;
use portcullis::revocation::{
    Journal, OnStale, Push, Revocation, Source, SourceHealth, StatusLists,
};
use portcullis::secret::Secret;
use portcullis::testing::{TestIssuer, TestNetwork, TestStatusList, TestTransmitter, TokenBuilder};
use portcullis::time::SystemClock;
use portcullis::{Access, Binding, Policy, ResourceServer, TokenClass};
use tokio::net::TcpListener;

const RESOURCE: &str = "https://notes.example";
const ISSUER: &str = "https://login.example";
const EVENTS: &str = "https://notes.example/events";
/// What the transmitter shows to be let in: it comes from a secret store.
const TRANSMITTERS_TOKEN: &str = "Bearer not-a-real-secret";

/// How old what a source knows may become. A real service has half a minute.
const MAX_AGE: Duration = Duration::from_secs(3);
/// How long a status list is fresh. A real one has minutes.
const TTL: Duration = Duration::from_secs(1);

/// Who signs tokens, who tells of events, and the list of statuses.
struct Elsewhere {
    issuer: TestIssuer,
    transmitter: TestTransmitter,
    list: TestStatusList,
}

/// The server: a journal, a status list on `origin`, and events that are pushed.
fn api(
    elsewhere: &Elsewhere,
    origin: &str,
    journal: Journal,
) -> Result<ResourceServer, Box<dyn Error>> {
    let events = elsewhere.transmitter.fixed_keys().push(
        Push::new()
            .authorization(Secret::new(TRANSMITTERS_TOKEN))
            .verification(elsewhere.transmitter.verified()),
    );
    let network = TestNetwork::of(&[]).with_transmitter(&elsewhere.transmitter);
    let lists = StatusLists::new().allow_uris_at(origin).min_ttl(TTL);
    let revocation = Revocation::new()
        .journal(journal)
        .status_lists(lists.dangerous().insecure_loopback_http())
        .source(
            Source::new("login", events.transport(network))
                .speaks_for([ISSUER])
                .max_age(MAX_AGE)
                .on_stale(OnStale::Deny),
        );
    Ok(ResourceServer::builder(RESOURCE)
        .issuer(elsewhere.issuer.fixed_keys())
        .class(TokenClass::default_at_most(Duration::from_mins(15)))
        .binding(Binding::WhereBound)
        .revocation(revocation)
        .build()?)
}

/// Notes are read with what is at most ten seconds old, and paid for with what is fresh. Events come in
/// beside, without a token: the transmitter has credentials of its own.
fn app(api: &ResourceServer) -> Result<Router, Box<dyn Error>> {
    let reads =
        Policy::new(scope("notes:read")).on_stale(OnStale::AllowFor(Duration::from_secs(10)));
    let pays = Policy::new(scope("notes:pay")).freshness(MAX_AGE);
    let receiver = api.event_receiver("login").ok_or("events are pushed")?;
    Ok(Router::new()
        .route("/notes", get(list).layer(api.protect(reads)))
        .route("/payments", get(list).layer(api.protect(pays)))
        .route("/jobs", get(job).layer(api.protect(scope("job"))).with_state(api.clone()))
        .route("/events", any_service(receiver)))
}

async fn list(access: Access) -> String {
    format!("for {}", access.subject())
}

/// A token for one job ends with the job, however that ends.
async fn job(
    axum::extract::State(api): axum::extract::State<ResourceServer>,
    access: Access,
) -> Result<&'static str, StatusCode> {
    let _ends_with_the_job = api
        .revocations()
        .revoke_when_dropped(&access)
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok("done")
}

/// A client of the whole thing.
struct Caller {
    http: Client<HttpConnector, Body>,
    origin: String,
}

impl Caller {
    async fn get(&self, path: &str, token: &str) -> Result<(StatusCode, String), Box<dyn Error>> {
        let request = Request::get(format!("{}{path}", self.origin))
            .header("authorization", format!("Bearer {token}"))
            .body(Body::empty())?;
        let response = self.http.request(request).await?;
        let status = response.status();
        let challenge = response.headers().get("www-authenticate");
        let challenge = challenge.and_then(|value| value.to_str().ok()).unwrap_or_default();
        Ok((status, challenge.to_owned()))
    }

    /// Delivers a SET as a transmitter does.
    async fn push(
        &self,
        transmitter: &TestTransmitter,
        set: &TokenBuilder,
        authorization: &str,
    ) -> Result<StatusCode, Box<dyn Error>> {
        let (mut parts, body) = transmitter.push(set.sign()).into_parts();
        parts.uri = format!("{}/events", self.origin).parse()?;
        parts.headers.insert("authorization", authorization.parse()?);
        let body = body.collect().await?.to_bytes();
        let response = self.http.request(Request::from_parts(parts, Body::from(body))).await?;
        Ok(response.status())
    }

    /// Asks until the token is refused, and says how long that took.
    async fn until_refused(&self, path: &str, token: &str) -> Result<Duration, Box<dyn Error>> {
        let start = Instant::now();
        loop {
            let (status, challenge) = self.get(path, token).await?;
            match status {
                StatusCode::OK if start.elapsed() < Duration::from_secs(20) => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                StatusCode::UNAUTHORIZED if challenge.contains("error=\"invalid_token\"") => {
                    return Ok(start.elapsed());
                }
                other => return Err(format!("{path}: {other} {challenge}").into()),
            }
        }
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
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let origin = format!("http://{}", listener.local_addr()?);
    let clock = SystemClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let list = TestStatusList::new(format!("{origin}/lists/1"), &issuer, &clock);
    list.ttl(TTL);
    let transmitter = TestTransmitter::new(ISSUER, EVENTS, &clock);
    let elsewhere = Elsewhere { issuer, transmitter, list };

    let directory = std::env::temp_dir().join(format!("portcullis-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let journal = Journal::open(directory.join("revocations"))?;
    let api = api(&elsewhere, &origin, journal)?;
    let served = elsewhere.list.clone();
    let lists = get(move || {
        let list = served.token();
        async { ([("content-type", "application/statuslist+jwt")], list) }
    });
    let app = app(&api)?.route("/lists/1", lists);
    let server = tokio::spawn(axum::serve(listener, app).into_future());

    let http = Client::builder(TokioExecutor::new()).build_http();
    let played = play(&api, &elsewhere, &Caller { http, origin }).await;
    server.abort();
    drop(api);
    std::fs::remove_dir_all(&directory)?;
    played
}

async fn play(
    api: &ResourceServer,
    elsewhere: &Elsewhere,
    caller: &Caller,
) -> Result<(), Box<dyn Error>> {
    let Elsewhere { issuer, transmitter, list } = elsewhere;
    let token = |user: &str| issuer.token(RESOURCE).subject(user).scope("notes:read notes:pay job");
    let expect = async |what: &str, path: &str, token: &str, wanted: StatusCode| {
        let (found, _) = caller.get(path, token).await?;
        println!("  {what}: {found}");
        if found == wanted {
            Ok::<(), Box<dyn Error>>(())
        } else {
            Err(format!("{what}: wanted {wanted}").into())
        }
    };

    println!("before anything was heard of the transmitter, nothing is known:");
    let ann = token("ann").sign();
    expect("reading", "/notes", &ann, StatusCode::SERVICE_UNAVAILABLE).await?;
    verify(transmitter, caller).await?;
    println!("it was asked \"are you there?\", and pushed the answer:");
    expect("reading", "/notes", &ann, StatusCode::OK).await?;

    println!("an event, \"the sessions of ann are revoked\":");
    let event = transmitter.session_revoked(ISSUER, "ann");
    let stranger = caller.push(transmitter, &event, "Bearer guessed").await?;
    println!("  pushed by a stranger: {stranger}");
    if stranger.is_success() {
        return Err("a stranger was let in".into());
    }
    expect("reading", "/notes", &ann, StatusCode::OK).await?;
    let start = Instant::now();
    let status = caller.push(transmitter, &event, TRANSMITTERS_TOKEN).await?;
    caller.until_refused("/notes", &ann).await?;
    let lag = start.elapsed();
    println!(
        "  pushed by the transmitter: {status}; refused {lag:.1?} after it was sent, disk included"
    );
    expect("somebody else", "/notes", &token("bob").sign(), StatusCode::OK).await?;

    println!("a status list, fresh for {TTL:?}:");
    let carl = token("carl").claim("status", list.reference(7)).sign();
    expect("reading", "/notes", &carl, StatusCode::OK).await?;
    list.set(7, 1);
    let beside = tokio::spawn(keep_verified(
        transmitter.clone(),
        caller.http.clone(),
        caller.origin.clone(),
    ));
    let lag = caller.until_refused("/notes", &carl).await?;
    beside.abort();
    println!("  refused {lag:.1?} after it was set there");

    println!("a token for one job:");
    let dora = token("dora").sign();
    expect("the job", "/jobs", &dora, StatusCode::OK).await?;
    let lag = caller.until_refused("/jobs", &dora).await?;
    println!("  refused {lag:.1?} after the job");

    println!("what is known, and how old it is:");
    for SourceHealth { name, state, age, applied, lag, .. } in api.revocations().health() {
        println!("  {name}: {state}, {applied} applied, age {age:.1?}, lag {lag:.1?}");
    }
    Ok(())
}

/// What a transmitter does when it is asked for a verification event: it pushes one.
async fn verify(transmitter: &TestTransmitter, caller: &Caller) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let state = loop {
        match transmitter.last_state() {
            Some(state) => break state,
            None if start.elapsed() > Duration::from_secs(10) => return Err("not asked".into()),
            None => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    let set = transmitter.verification(Some(&state));
    let status = caller.push(transmitter, &set, TRANSMITTERS_TOKEN).await?;
    if status == StatusCode::ACCEPTED {
        Ok(())
    } else {
        Err(format!("verification: {status}").into())
    }
}

/// The same, again and again.
async fn keep_verified(
    transmitter: TestTransmitter,
    http: Client<HttpConnector, Body>,
    origin: String,
) {
    let caller = Caller { http, origin };
    let mut answered = transmitter.last_state();
    loop {
        let state = transmitter.last_state();
        if state != answered && verify(&transmitter, &caller).await.is_ok() {
            answered = state;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
