//! From end to end over real HTTP: a token is accepted, its revocation is told, the next request is
//! refused; and how long that took, for each way in which it can be told.

use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::routing::{any_service, get};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use portcullis::check::allow_all;
use portcullis::revocation::{Journal, Push, Record, Revocation, Source, StatusLists};
use portcullis::secret::Secret;
use portcullis::testing::{
    ManualClock, TestIssuer, TestNetwork, TestStatusList, TestTransmitter, TokenBuilder,
};
use portcullis::time::Clock as _;
use portcullis::{Access, ResourceServer};
use tokio::net::TcpListener;

use crate::source::Directory;
use crate::support::{ISSUER, RESOURCE, builder, settle};

const SECRET: &str = "Bearer s3cret";

struct Wire {
    http: Client<HttpConnector, Body>,
    origin: String,
}

impl Wire {
    async fn status(&self, token: &TokenBuilder) -> StatusCode {
        let request = Request::get(format!("{}/notes", self.origin))
            .header("authorization", format!("Bearer {}", token.sign()))
            .body(Body::empty())
            .unwrap();
        self.http.request(request).await.unwrap().status()
    }

    async fn push(&self, transmitter: &TestTransmitter, set: &TokenBuilder) -> StatusCode {
        let (mut parts, body) = transmitter.push(set.sign()).into_parts();
        parts.uri = format!("{}/events", self.origin).parse().unwrap();
        parts.headers.insert("authorization", SECRET.parse().unwrap());
        let body = Body::from(body.collect().await.unwrap().to_bytes());
        self.http.request(Request::from_parts(parts, body)).await.unwrap().status()
    }

    /// Asks until the token is refused, and prints how long that took since `start`.
    async fn refused(&self, way: &str, token: &TokenBuilder, start: Instant) {
        let mut asked = 0;
        loop {
            asked += 1;
            match self.status(token).await {
                StatusCode::UNAUTHORIZED => break,
                StatusCode::OK if asked < 10_000 => settle().await,
                other => panic!("{way}: {other}, asked {asked} times"),
            }
        }
        println!("lag by {way}: {:.1?}, {asked} requests", start.elapsed());
    }
}

async fn serve(api: &ResourceServer) -> Wire {
    async fn notes(_: Access) {}
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let mut app = Router::new().route("/notes", get(notes).layer(api.protect(allow_all())));
    if let Some(receiver) = api.event_receiver("pushed") {
        app = app.route("/events", any_service(receiver));
    }
    tokio::spawn(axum::serve(listener, app).into_future());
    Wire { http: Client::builder(TokioExecutor::new()).build_http(), origin }
}

#[tokio::test]
async fn the_next_request_is_refused_whoever_told() {
    let directory = Directory::new();
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let pushing = TestTransmitter::new("https://push.example", "https://rs.example/a", &clock);
    let polled = TestTransmitter::new("https://poll.example", "https://rs.example/b", &clock);
    let list = TestStatusList::new("https://as.example/lists/1", &issuer, &clock);
    list.ttl(Duration::from_secs(30));
    let push = Push::new().authorization(Secret::new(SECRET)).verification(pushing.verified());
    let known = Revocation::new()
        .journal(Journal::open(directory.path().join("revocations")).unwrap())
        .status_lists(StatusLists::new())
        .source(Source::new("pushed", pushing.fixed_keys().push(push)).speaks_for([ISSUER]))
        .source(
            Source::new("polled", polled.fixed_keys().poll(polled.polled().long_polling()))
                .speaks_for([ISSUER]),
        );
    let network = TestNetwork::of(&[&issuer]).with_list(&list);
    let api = builder(&clock)
        .issuer(issuer.fixed_keys())
        .revocation(known)
        .transport(network.with_transmitter(&pushing).with_transmitter(&polled))
        .build()
        .unwrap();
    let wire = serve(&api).await;
    let now = clock.now();
    let token = |user: &str| {
        let end = now.plus(Duration::from_mins(30));
        issuer.token(RESOURCE).subject(user).claim("jti", user).expires_at(end)
    };
    assert_eq!(wire.status(&token("nobody")).await, StatusCode::SERVICE_UNAVAILABLE);
    let state = loop {
        settle().await;
        if let Some(state) = pushing.last_state() {
            break state;
        }
    };
    let answer = pushing.verification(Some(&state));
    assert_eq!(wire.push(&pushing, &answer).await, StatusCode::ACCEPTED);
    let listed = token("listed").claim("status", list.reference(9));
    let users = ["pushed", "polled", "local", "nobody"];
    for user in users {
        // The first poll may still be on its way.
        let mut tries = 0;
        while wire.status(&token(user)).await != StatusCode::OK {
            tries += 1;
            assert!(tries < 10_000, "{user}");
            settle().await;
        }
    }
    assert_eq!(wire.status(&listed).await, StatusCode::OK);

    let start = Instant::now();
    let event = pushing.session_revoked(ISSUER, "pushed");
    assert_eq!(wire.push(&pushing, &event).await, StatusCode::ACCEPTED);
    wire.refused("push", &token("pushed"), start).await;

    let start = Instant::now();
    polled.offer(&polled.session_revoked(ISSUER, "polled"));
    wire.refused("poll", &token("polled"), start).await;

    let start = Instant::now();
    let record = Record::token(ISSUER, "local", clock.now());
    api.revocations().revoke(record).await.unwrap();
    wire.refused("local", &token("local"), start).await;

    // A list is fetched again ahead of its end: by the server's clock after nine tenths of half a minute.
    list.set(9, 1);
    assert_eq!(wire.status(&listed).await, StatusCode::OK, "nobody asked for the list again yet");
    clock.advance(Duration::from_secs(28));
    let start = Instant::now();
    wire.refused("list refresh, from the moment it is due", &listed, start).await;

    assert_eq!(wire.status(&token("nobody")).await, StatusCode::OK, "nobody else");
    for health in api.revocations().health() {
        println!("{}: {}, lag {:?}", health.name, health.state, health.lag);
    }
}
