//! Tokens that are bound to a key of their client (DPoP, RFC 9449), in one process: an API that wants
//! a proof and a nonce with every request, a client that does as it is told, and a thief.
//!
//! `cargo run --example dpop` plays all of it over HTTP on loopback, prints what was sent and what came
//! of it, and exits with 0 only if every request came out as it should. `cargo run --example dpop -- serve`
//! keeps serving, and prints `curl` lines.
//!
//! The issuer, the client's key and the clock are the test kit's, so that nothing else has to run. A real
//! service has `Issuer::discover("https://login.example.com")`, no `.transport(...)`, the origin that its
//! clients call, and if it runs as several processes, keys for nonces ([`Nonces::keys`]) and a replay store
//! (`ServerBuilder::replay_store`) that they share. A real client makes its key pair and its proofs with a
//! DPoP library, and gets the token from its authorization server, to which it shows a proof too.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use http::Request;
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use portcullis::check::scope;
use portcullis::jose::Algorithm;
use portcullis::sender::{Nonces, PublicOrigin};
use portcullis::testing::{ClientKey, ManualClock, TestIssuer, TestNetwork, challenges};
use portcullis::time::{Clock, SystemClock};
use portcullis::transport::Transport;
use portcullis::{
    Access, Binding, Dpop, Issuer, Policy, ResourceServer, ServerBuilder, TokenClass,
};
use tokio::net::TcpListener;

/// What tokens name in `aud`.
pub const RESOURCE: &str = "https://notes.example";

/// The configuration: every token is bound to a key, and every proof has a nonce of this server. `origin`
/// is how clients call it: what `htu` of their proofs begins with.
fn settings(issuer: Issuer, origin: &str, transport: impl Transport) -> ServerBuilder {
    ResourceServer::builder(RESOURCE)
        .issuer(issuer)
        .class(TokenClass::default_at_most(Duration::from_mins(15)))
        .binding(Binding::Dpop)
        .dpop(Dpop::new().nonces(Nonces::required()).public_origin(PublicOrigin::new(origin)))
        .transport(transport)
}

/// The server of this configuration, by the machine's clock.
pub fn api(
    issuer: Issuer,
    origin: &str,
    transport: impl Transport,
) -> Result<ResourceServer, Box<dyn Error>> {
    Ok(settings(issuer, origin, transport).build()?)
}

/// Notes are read with any token that has the scope; an export wants a token that was made for it alone.
pub fn app(api: &ResourceServer) -> Router {
    let one_export = Policy::new(scope("notes:read")).named("export").single_use();
    Router::new()
        .route("/notes", get(list).layer(api.protect(scope("notes:read"))))
        .route("/exports", post(export).layer(api.protect(one_export)))
        .route_service(&api.metadata_path(), api.metadata_service())
}

async fn list(access: Access) -> String {
    format!("the notes of {}", access.subject())
}

async fn export(access: Access) -> String {
    format!("all notes of {} are exported", access.subject())
}

type Http = legacy::Client<HttpConnector, Body>;

/// A client: its key, its token, and the newest nonce that the server gave it.
struct Client {
    http: Http,
    key: ClientKey,
    token: String,
    nonce: Option<String>,
    /// The proof that it sent last: what a thief would see of it.
    sent: String,
}

impl Client {
    fn new(key: ClientKey, token: String) -> Self {
        let http = legacy::Client::builder(TokioExecutor::new()).build_http();
        Self { http, key, token, nonce: None, sent: String::new() }
    }

    /// A proof for one request: method, URI, the hash of the token, an id of its own, the nonce.
    fn proof(&self, method: &str, url: &str) -> String {
        let proof = self.key.proof(method, url).token(&self.token);
        match &self.nonce {
            Some(nonce) => proof.nonce(nonce).sign(),
            None => proof.sign(),
        }
    }

    /// Sends a request with a new proof, and if the server then wants another nonce, once more with that.
    /// Whatever the answer is, a nonce in it is the one for the next proof (RFC 9449 §8.2).
    async fn send(&mut self, method: &str, url: &str) -> Result<Vec<Answer>, Box<dyn Error>> {
        let mut answers = Vec::new();
        loop {
            self.sent = self.proof(method, url);
            let fields =
                [("authorization", format!("DPoP {}", self.token)), ("dpop", self.sent.clone())];
            let answer = ask(&self.http, method, url, &fields).await?;
            if let Some(nonce) = &answer.nonce {
                self.nonce = Some(nonce.clone());
            }
            let again = answer.told == "use_dpop_nonce" && answers.is_empty();
            answers.push(answer);
            if !again {
                return Ok(answers);
            }
        }
    }
}

/// An answer, as a client reads it.
struct Answer {
    status: u16,
    /// The error code of the challenge, or what else there is to know.
    told: String,
    text: String,
    nonce: Option<String>,
}

async fn ask(
    http: &Http,
    method: &str,
    url: &str,
    fields: &[(&str, String)],
) -> Result<Answer, Box<dyn Error>> {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in fields {
        request = request.header(*name, value);
    }
    let (head, body) = http.request(request.body(Body::empty())?).await?.into_parts();
    let body = String::from_utf8(body.collect().await?.to_bytes().into())?;
    let nonce = head.headers.get("dpop-nonce").map(|nonce| nonce.to_str()).transpose()?;
    let challenges = challenges(&head.headers);
    let param = |name| challenges.iter().find_map(|challenge| challenge.param(name));
    let (told, text) = match (param("error"), challenges.first()) {
        (Some(code), _) => (code, param("error_description").unwrap_or_default().to_owned()),
        (None, Some(challenge)) => {
            ("", format!("{}, algs {}", challenge.scheme, param("algs").unwrap_or("none")))
        }
        (None, None) if nonce.is_some() => ("a newer nonce", body),
        (None, None) => ("", body),
    };
    Ok(Answer {
        status: head.status.as_u16(),
        told: told.to_owned(),
        text,
        nonce: nonce.map(str::to_owned),
    })
}

/// Prints what came of each request, and counts what came out otherwise than it should.
#[derive(Default)]
struct Report {
    wrong: usize,
}

impl Report {
    fn row(&mut self, sent: &str, answers: &[Answer], expected: &[(u16, &str)]) {
        let seen = answers.iter().map(|answer| (answer.status, answer.told.as_str()));
        let wrong = !seen.eq(expected.iter().copied());
        for (index, Answer { status, told, text, .. }) in answers.iter().enumerate() {
            let sent = if index == 0 { sent } else { "  once more, a new proof with that nonce" };
            let told = if told.is_empty() { String::new() } else { format!(" {told}:") };
            println!("  {sent:<52} {status}{told} {text}");
        }
        if wrong {
            println!("    WRONG: {expected:?} was expected");
            self.wrong += 1;
        }
    }
}

/// Plays client and thief, and prints it; returns how many requests came out otherwise than they should.
pub async fn run() -> Result<usize, Box<dyn Error>> {
    const INVALID_PROOF: (u16, &str) = (401, "invalid_dpop_proof");
    const INVALID_TOKEN: (u16, &str) = (401, "invalid_token");
    const WANTS_NONCE: (u16, &str) = (401, "use_dpop_nonce");
    const GOOD: (u16, &str) = (200, "");

    let clock = ManualClock::new();
    let issuer = TestIssuer::new("https://login.example", &clock);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let origin = format!("http://{}", listener.local_addr()?);
    let network = TestNetwork::of(&[&issuer]);
    let api = settings(issuer.discover(), &origin, network).clock(clock.clone()).build()?;
    api.warm_up().await?;
    let app = app(&api);
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let (notes, exports) = (format!("{origin}/notes"), format!("{origin}/exports"));
    println!("{RESOURCE} on {origin}: tokens are bound to a key, proofs have a nonce\n");

    let key = ClientKey::generate(Algorithm::Es256, &clock);
    let expires_at = clock.now().plus(Duration::from_mins(15));
    let bound = || {
        let token = issuer.token(RESOURCE).scope("notes:read").expires_at(expires_at);
        token.claim("cnf", key.confirmation()).sign()
    };
    let mut report = Report::default();
    let mut client = Client::new(key.clone(), bound());
    println!("A client makes a key pair and gets a token that is bound to it:");
    println!("  \"cnf\": {}", key.confirmation());
    let nothing = ask(&client.http, "GET", &notes, &[]).await?;
    report.row("GET /notes without anything", &[nothing], &[(401, "")]);
    let answers = client.send("GET", &notes).await?;
    report.row("GET /notes, token and proof", &answers, &[WANTS_NONCE, GOOD]);
    let first_nonce = client.nonce.clone();
    let answers = client.send("GET", &notes).await?;
    report.row("GET /notes, a new proof with the same nonce", &answers, &[GOOD]);
    clock.advance(Duration::from_mins(3));
    let answers = client.send("GET", &notes).await?;
    report.row("three minutes later", &answers, &[(200, "a newer nonce")]);
    clock.advance(Duration::from_mins(3));
    let mut forgetful = Client { nonce: first_nonce, ..Client::new(key.clone(), bound()) };
    let answers = forgetful.send("GET", &notes).await?;
    report.row("six minutes later, with the first nonce", &answers, &[WANTS_NONCE, GOOD]);
    let answers = client.send("GET", &notes).await?;
    report.row("six minutes later, with the newer one", &answers, &[(200, "a newer nonce")]);

    println!("\nA thief has read that request, and gets the next one before it arrives:");
    let http = Http::clone(&client.http);
    let (stolen, replayed) = (client.token.clone(), client.sent.clone());
    let nonce = client.nonce.clone().unwrap_or_default();
    let own_key = ClientKey::generate(Algorithm::Es256, &clock);
    let own = own_key.proof("GET", &notes).token(&stolen).nonce(&nonce).sign();
    let held_back = client.proof("GET", &notes);
    let bearer = issuer.token(RESOURCE).scope("notes:read").sign();
    let dpop = |token: &str| ("authorization", format!("DPoP {token}"));
    let plain = |token: &str| ("authorization", format!("Bearer {token}"));
    let proof = |proof: &str| ("dpop", proof.to_owned());
    #[rustfmt::skip]
    let rows = [
        ("the token alone", "GET", &notes, vec![dpop(&stolen)], INVALID_PROOF),
        ("token and proof again", "GET", &notes, vec![dpop(&stolen), proof(&replayed)], INVALID_PROOF),
        ("the token as `Bearer`", "GET", &notes, vec![plain(&stolen)], INVALID_TOKEN),
        ("the same with a good proof", "GET", &notes, vec![plain(&stolen), proof(&held_back)], INVALID_TOKEN),
        ("the token, a proof by a key of the thief's own", "GET", &notes, vec![dpop(&stolen), proof(&own)], INVALID_TOKEN),
        ("a good proof for GET /notes at POST /exports", "POST", &exports, vec![dpop(&stolen), proof(&held_back)], INVALID_PROOF),
        ("a token that is bound to nothing", "GET", &notes, vec![plain(&bearer)], INVALID_TOKEN),
    ];
    for (sent, method, url, fields, expected) in rows {
        report.row(sent, &[ask(&http, method, url, &fields).await?], &[expected]);
    }
    let fields = [dpop(&stolen), proof(&held_back)];
    let late = ask(&http, "GET", &notes, &fields).await?;
    report.row("the client's own, which was only held back", &[late], &[GOOD]);

    println!("\nThe client gets a token for one task:");
    client.token = bound();
    let answers = client.send("POST", &exports).await?;
    report.row("POST /exports", &answers, &[GOOD]);
    let answers = client.send("POST", &exports).await?;
    report.row("POST /exports once more, with a new proof", &answers, &[INVALID_TOKEN]);

    server.abort();
    if report.wrong == 0 {
        println!("\nevery request came out as it should");
    }
    Ok(report.wrong)
}

/// Serves by the machine's clock, and prints what can be sent by hand.
async fn serve() -> Result<(), Box<dyn Error>> {
    let clock = SystemClock::new();
    let issuer = TestIssuer::new("https://login.example", &clock);
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    let origin = "http://127.0.0.1:3000";
    let api = api(issuer.discover(), origin, TestNetwork::of(&[&issuer]))?;
    let app = app(&api);
    let server = tokio::spawn(async move { axum::serve(listener, app).await });

    let key = ClientKey::generate(Algorithm::Es256, &clock);
    let token = issuer.token(RESOURCE).scope("notes:read").claim("cnf", key.confirmation()).sign();
    let mut client = Client::new(key, token.clone());
    let url = format!("{origin}/notes");
    let without_nonce = client.proof("GET", &url);
    // From now on it has a nonce.
    client.send("GET", &url).await?;
    let curl = format!("curl -i {url}");
    let dpop = format!("{curl} -H 'Authorization: DPoP {token}'");
    println!("# what is wanted\n{curl}\n");
    println!("# the token alone: 401\n{dpop}\n");
    println!("# without a nonce: 401, and a nonce\n{dpop} -H 'DPoP: {without_nonce}'\n");
    println!("# within five minutes 200, and 401 when it is sent again");
    println!("{dpop} -H 'DPoP: {}'", client.proof("GET", &url));
    server.await??;
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
