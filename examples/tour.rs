//! A protected API and its issuer, in one process: real HTTP requests on loopback, good and bad,
//! and what came of each.
//!
//! `cargo run --example tour`
//!
//! The issuer is the test kit's: real keys, no sockets. It exits with 0 only if every request came
//! out as it should.

use std::error::Error;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::routing::{get, post};
use axum::{Router, middleware};
use http::{HeaderValue, Request, Response, header::AUTHORIZATION};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use portcullis::check::scope;
use portcullis::jose::Algorithm;
use portcullis::testing::{Failure, TestIssuer, TestKey, TestNetwork, challenges};
use portcullis::time::{Clock, SystemClock, Timestamp};
use portcullis::{Access, Binding, Issuer, Rejection, ResourceServer, Step, TokenClass};
use serde_json::json;

const NOTES: &str = "https://notes.example";

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(0) => ExitCode::SUCCESS,
        Ok(wrong) => {
            eprintln!("{wrong} request(s) came out otherwise than they should");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("the tour broke off: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Two issuers that call their key the same, one that is down, and one that nobody trusts.
struct Cast {
    login: TestIssuer,
    partner: TestIssuer,
    down: TestIssuer,
    stranger: TestIssuer,
    /// The key that login.example will sign with next.
    next_key: TestKey,
}

/// Runs every request and prints the table; returns how many came out otherwise than they should.
pub async fn run() -> Result<usize, Box<dyn Error>> {
    let clock = SystemClock::new();
    let cast = Cast {
        login: TestIssuer::with_algorithm("https://login.example", &clock, Algorithm::Rs256),
        partner: TestIssuer::with_algorithm("https://partner.example", &clock, Algorithm::Rs256),
        down: TestIssuer::new("https://down.example", &clock),
        stranger: TestIssuer::new("https://stranger.example", &clock),
        next_key: TestKey::generate(Algorithm::Rs256, "k2"),
    };
    cast.down.fail(Failure::Connection);

    // The part that a service has: who issues tokens, how long they may live, what each route
    // wants.
    let api = ResourceServer::builder(NOTES)
        .issuer(Issuer::discover(cast.login.id()))
        .issuer(Issuer::discover(cast.partner.id()))
        .issuer(Issuer::discover(cast.down.id()))
        .binding(Binding::WhereBound)
        .class(TokenClass::default_at_most(Duration::from_mins(15)))
        .transport(TestNetwork::of(&[&cast.login, &cast.partner, &cast.down]))
        .build()?;
    let app = Router::new()
        .route(
            "/notes",
            get(async |access: Access| format!("notes of {}", access.subject()))
                .layer(api.protect(scope("notes:read"))),
        )
        .route("/notes/new", post(async || "written").layer(api.protect(scope("notes:write"))))
        .route_service(&api.metadata_path(), api.metadata_service());

    // What an operator would see in the log: kept for the table.
    let why = Arc::new(Mutex::new(None));
    let log = Arc::clone(&why);
    let app = app.layer(middleware::map_response(move |response: Response<Body>| {
        let rejection = response.extensions().get::<Rejection>();
        let text = rejection.map(|rejection| {
            let step = rejection.step().map_or(0, Step::number);
            let source = rejection.source().map(|source| format!(": {source}"));
            format!("{step}: {rejection}{}", source.unwrap_or_default())
        });
        if let Ok(mut slot) = log.lock() {
            *slot = text;
        }
        std::future::ready(response)
    }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(async move { axum::serve(listener, app).await });

    println!("{NOTES} on http://{address}, issuers login.example and partner.example\n");
    println!("{:<46} {:<6} {:<20} why (step: what was found)", "sent", "got", "told the client");
    let client = Client::builder(TokioExecutor::new()).build_http();
    let mut wrong = 0;
    for visit in visits(&cast, &clock) {
        let seen = visit.make(&client, &format!("http://{address}"), &cast).await?;
        let reason = why.lock().ok().and_then(|mut why| why.take()).unwrap_or_default();
        let verdict = if seen == visit.expected { "" } else { "   <- WRONG" };
        println!("{:<46} {:<6} {:<20} {reason}{verdict}", visit.sent, seen.0, seen.1);
        wrong += usize::from(seen != visit.expected);
    }
    server.abort();
    if wrong == 0 {
        println!("\nevery request came out as it should");
    }
    Ok(wrong)
}

/// A request, and what should come of it: the status, and the error code in the challenge.
struct Visit {
    sent: &'static str,
    target: &'static str,
    authorization: Vec<String>,
    before: fn(&Cast),
    expected: (u16, String),
}

impl Visit {
    fn new(sent: &'static str, token: &str, status: u16, told: &str) -> Self {
        Self {
            sent,
            target: "GET /notes",
            authorization: vec![format!("Bearer {token}")],
            before: |_| (),
            expected: (status, told.to_owned()),
        }
    }

    fn to(mut self, target: &'static str) -> Self {
        self.target = target;
        self
    }

    fn with(mut self, authorization: impl IntoIterator<Item = String>) -> Self {
        self.authorization = authorization.into_iter().collect();
        self
    }

    fn after(mut self, before: fn(&Cast)) -> Self {
        self.before = before;
        self
    }

    async fn make(
        &self,
        client: &Client<HttpConnector, Body>,
        base: &str,
        cast: &Cast,
    ) -> Result<(u16, String), Box<dyn Error>> {
        (self.before)(cast);
        let (method, path) = self.target.split_once(' ').ok_or("a method and a path")?;
        let mut request =
            Request::builder().method(method).uri(format!("{base}{path}")).body(Body::empty())?;
        for value in &self.authorization {
            request.headers_mut().append(AUTHORIZATION, HeaderValue::try_from(value)?);
        }
        let response = client.request(request).await?;
        let told = match challenges(response.headers()).first() {
            Some(challenge) => challenge.param("error").unwrap_or("no error code").to_owned(),
            None if response.headers().contains_key("retry-after") => "Retry-After".to_owned(),
            None => String::new(),
        };
        Ok((response.status().as_u16(), told))
    }
}

fn visits(cast: &Cast, clock: &SystemClock) -> Vec<Visit> {
    const INVALID: &str = "invalid_token";
    let Cast { login, partner, down, stranger, .. } = cast;
    let token = || login.token(NOTES).scope("notes:read");
    let good = token().sign();
    let now = Timestamp::from_secs(clock.now().as_secs());
    let hour = Duration::from_hours(1);
    // Signed by a key that is published later.
    let by_new_key = token().header("kid", "k2").sign_with(&cast.next_key);
    vec![
        Visit::new("a good token", &good, 200, ""),
        Visit::new("the same, `bearer` in lower case", "", 200, "")
            .with([format!("bearer {good}")]),
        Visit::new("no token", "", 401, "no error code").with([]),
        Visit::new("another scheme", "", 401, "no error code").with(["Basic YTpi".to_owned()]),
        Visit::new("a token in the query", "", 401, "no error code")
            .to("GET /notes?access_token=x")
            .with([]),
        Visit::new("two Authorization fields", "", 400, "invalid_request")
            .with([format!("Bearer {good}"), format!("Bearer {good}")]),
        Visit::new("`Bearer` and nothing else", "", 400, "invalid_request")
            .with(["Bearer".to_owned()]),
        Visit::new("an opaque token", "2YotnFZFEjr1zCsicMWpAA", 401, INVALID),
        Visit::new("one bit of the signature changed", &token().tampered(), 401, INVALID),
        Visit::new("alg none", &token().unsigned("none"), 401, INVALID),
        Visit::new(
            "HS256 with the public key as secret",
            &token().sign_with_hmac(login.jwk_set().to_string().as_bytes()),
            401,
            INVALID,
        ),
        Visit::new("an ID token", &token().header("typ", "JWT").sign(), 401, INVALID),
        Visit::new(
            "a token that expired an hour ago",
            &token().issued_at(now.minus(hour + hour)).expires_at(now.minus(hour)).sign(),
            401,
            INVALID,
        ),
        Visit::new(
            "a token that lives a day",
            &token().expires_at(now.plus(hour * 24)).sign(),
            401,
            INVALID,
        ),
        Visit::new(
            "a token for another resource",
            &login.token("https://other.example").scope("notes:read").sign(),
            401,
            INVALID,
        ),
        Visit::new("a token without jti", &token().without("jti").sign(), 401, INVALID),
        Visit::new(
            "a stolen token that is bound to a key",
            &token()
                .claim("cnf", json!({ "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" }))
                .sign(),
            401,
            INVALID,
        ),
        Visit::new("a stranger's token", &stranger.token(NOTES).sign(), 401, INVALID),
        Visit::new(
            "login's token, signed by partner's key k1",
            &token().sign_with(&partner.key()),
            401,
            INVALID,
        ),
        Visit::new("partner's token", &partner.token(NOTES).scope("notes:read").sign(), 200, ""),
        Visit::new("a good token, for writing", &good, 403, "insufficient_scope")
            .to("POST /notes/new"),
        Visit::new(
            "a token of an issuer that is down",
            &down.token(NOTES).scope("notes:read").sign(),
            503,
            "Retry-After",
        ),
        Visit::new("a token by a new key", &by_new_key, 200, "").after(|cast| {
            cast.login.publish(cast.next_key.public_jwk());
            cast.login.withdraw("k1");
        }),
        Visit::new("a token by the key that was withdrawn", &good, 401, INVALID),
        Visit::new("a known key, while its issuer is down", &by_new_key, 200, "")
            .after(|cast| cast.login.fail(Failure::Connection)),
        Visit::new("the metadata document", "", 200, "")
            .to("GET /.well-known/oauth-protected-resource")
            .with([]),
    ]
}
