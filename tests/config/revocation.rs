//! What a file says of revocation is what a token is held to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Request};
use portcullis::revocation::{Claim, Claims, Record, SourceHealth};
use portcullis::testing::{
    ManualClock, TestIssuer, TestNetwork, TestStatusList, TestTransmitter, TokenBuilder,
};
use portcullis::time::Clock as _;
use portcullis::transport::{Fetch, FetchError, FetchErrorKind, FetchLimits, Transport};
use portcullis::{RejectionKind as Kind, ResourceServer};
use serde_json::{Value, json};

use super::support::{ISSUER, RESOURCE, present, settle};
use super::{Directory, config, faults, least, told, with};

const AUDIENCE: &str = "https://rs.example/events";
/// What is in the environment variable that the secrets of these files are in.
const SHOWN: &str = env!("CARGO_PKG_NAME");

/// A server from a file, its issuer, a transmitter of events, a list, and a feed that can go down.
struct World {
    clock: ManualClock,
    issuer: TestIssuer,
    transmitter: TestTransmitter,
    list: TestStatusList,
    network: Network,
}

/// What is fetched, and by whom: the feed is served to those who show a secret.
#[derive(Clone)]
struct Network {
    network: TestNetwork,
    feed_is_down: Arc<AtomicBool>,
}

impl Transport for Network {
    fn fetch(&self, request: Request<Bytes>, limits: FetchLimits) -> Fetch<'_> {
        let known = |headers: &HeaderMap| {
            headers.get(AUTHORIZATION).is_some_and(|shown| shown == &*format!("Bearer {SHOWN}"))
        };
        let down = self.feed_is_down.load(Ordering::Relaxed) || !known(request.headers());
        if request.uri().host() == Some("feed.example") && down {
            return Box::pin(async { Err(FetchError::new(FetchErrorKind::Connection)) });
        }
        self.network.fetch(request, limits)
    }
}

impl World {
    fn new() -> Self {
        let clock = ManualClock::new();
        let issuer = TestIssuer::new(ISSUER, &clock);
        let transmitter = TestTransmitter::new("https://tx.example", AUDIENCE, &clock);
        transmitter.authorization(SHOWN);
        let list = TestStatusList::new(format!("{ISSUER}/lists/1"), &issuer, &clock);
        let now = clock.now().as_secs();
        let feed = json!({
            "feed": "urn:example:feed", "sequence": 1, "issued_at": now, "count": 1,
            "records": [{ "jti": "f-1", "at": now }],
        });
        let network = TestNetwork::of(&[&issuer])
            .with_list(&list)
            .with_transmitter(&transmitter)
            .with_document("https://feed.example/all", "application/json", feed.to_string());
        let network = Network { network, feed_is_down: Arc::default() };
        Self { clock, issuer, transmitter, list, network }
    }

    fn serve(&self, file: &Value) -> ResourceServer {
        let builder = config(file).unwrap().builder().unwrap();
        builder.clock(self.clock.clone()).transport(self.network.clone()).build().unwrap()
    }

    fn token(&self) -> TokenBuilder {
        let end = self.clock.now().plus(Duration::from_mins(15));
        self.issuer.token(RESOURCE).expires_at(end)
    }

    /// Starts the sources, and waits until each said something, good or bad.
    async fn listen(&self, api: &ResourceServer) {
        api.warm_up().await.ok();
        let heard = |source: &SourceHealth| source.age.is_some() || source.failures > 0;
        // A warm-up waits for nobody whom it is not told to mind.
        while !api.revocations().health().iter().skip(1).all(heard) {
            tokio::task::yield_now().await;
        }
        settle().await;
    }
}

async fn kind(api: &ResourceServer, token: &TokenBuilder) -> Option<Kind> {
    present(api, &token.sign()).await.err().map(|refused| refused.kind())
}

/// A file with this source.
pub(super) fn source(members: Value) -> Value {
    let mut source = json!({ "name": "one", "speaks_for": [ISSUER] });
    source.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    with(least(), "/revocation", json!({ "sources": [source] }))
}

pub(super) fn polled() -> Value {
    json!({
        "id": "https://tx.example",
        "audience": [AUDIENCE],
        "poll": { "authorization": { "env": "CARGO_PKG_NAME" } },
    })
}

pub(super) fn feed() -> Value {
    json!({ "url": "https://feed.example/all", "bearer": { "env": "CARGO_PKG_NAME" } })
}

/// SSF-01, POLL-01: a stream of a file is found by its metadata and polled, and what it says of a user
/// counts, and of nobody else.
#[tokio::test]
async fn a_stream_of_the_file_is_polled() {
    let world = World::new();
    let api = world.serve(&source(json!({ "events": polled() })));
    let token = world.token();
    world.transmitter.offer(&world.transmitter.session_revoked(ISSUER, "alice"));
    world.listen(&api).await;
    assert_eq!(kind(&api, &token).await, Some(Kind::Revoked));
    assert_eq!(kind(&api, &token.subject("bob")).await, None);

    // Without the secret nothing is known of anybody.
    let mut events = polled();
    events["poll"] = json!({ "authorization": { "env": "CARGO_PKG_VERSION" } });
    let world = World::new();
    let api = world.serve(&source(json!({ "events": events })));
    world.listen(&api).await;
    assert_eq!(kind(&api, &world.token()).await, Some(Kind::RevocationUnavailable));
}

/// PUSH-05, SSF-05: a stream of a file is pushed, and its subjects are in the claims that the file names.
#[tokio::test]
async fn a_stream_of_the_file_is_pushed() {
    let world = World::new();
    let events = json!({
        "id": "https://tx.example",
        "jwks_uri": world.transmitter.issuer().jwks_uri(),
        "audience": [AUDIENCE],
        "stream_id": TestTransmitter::STREAM_ID,
        "push": { "authorization": [{ "env": "CARGO_PKG_VERSION" }, { "env": "CARGO_PKG_NAME" }] },
        "subjects": {
            "email": "mail", "opaque": "sub", "application": "client_id", "device": "did", "shop": "s",
        },
    });
    let file = source(json!({ "events": events, "on_stale": "insecure_unbounded" }));
    let api = world.serve(&file);
    let receiver = api.event_receiver("one").unwrap();
    let opaque = |id: &str| json!({ "format": "opaque", "id": id });
    let complex = |member: &str| json!({ "format": "complex", member: opaque("x") });
    for (name, subject, hit) in [
        ("email", json!({ "format": "email", "email": "x" }), world.token().claim("mail", "x")),
        ("opaque", opaque("x"), world.token().subject("x")),
        ("application", complex("application"), world.token().client_id("x")),
        ("device", complex("device"), world.token().claim("did", "x")),
        ("shop", complex("shop"), world.token().claim("s", "x")),
        ("session", complex("session"), world.token().claim("sid", "x")),
    ] {
        let api = world.serve(&file);
        assert_eq!(kind(&api, &hit).await, None, "{name}");
        let event = if name == "opaque" { "risc/sessions-revoked" } else { "caep/session-revoked" };
        let set = world.transmitter.set(event, subject, json!({}));
        let request = world.transmitter.push(set.sign());
        let answer = api.event_receiver("one").unwrap().receive(request).await;
        assert_eq!(answer.status(), 202, "{name}");
        assert_eq!(kind(&api, &hit).await, Some(Kind::Revoked), "{name}");
        assert_eq!(kind(&api, &world.token().claim("mail", "y")).await, None, "{name}");
    }
    let set = world.transmitter.session_revoked(ISSUER, "alice").sign();
    let mut request = world.transmitter.push(set);
    request.headers_mut().insert(AUTHORIZATION, "something else".parse().unwrap());
    let status = receiver.receive(request).await.status();
    assert!(status.is_client_error(), "{status}");
}

/// A feed of a file is fetched with the secret that the file refers to; when it is too old, the file
/// says what becomes of tokens: for the source, for a class and for a policy.
#[tokio::test]
async fn a_feed_of_the_file_is_fetched_and_grows_old_as_the_file_says() {
    let minutes = |count: u64| Duration::from_mins(count);
    let plain = json!({ "feed": feed(), "max_age": "2m" });
    let waits = json!({ "feed": feed(), "max_age": "2m", "on_stale": { "allow_for": "5m" } });
    let blind = json!({ "feed": feed(), "max_age": "2m", "on_stale": "insecure_unbounded" });
    let rows = [
        ("usual", source(json!({ "feed": feed() })), minutes(1)),
        ("max_age", source(plain.clone()), minutes(2)),
        ("allow_for", source(waits.clone()), minutes(5)),
        ("insecure_unbounded", source(blind), minutes(600)),
        (
            "of all sources",
            with(source(plain.clone()), "/revocation/on_stale", json!({ "allow_for": "4m" })),
            minutes(4),
        ),
        (
            "but for one",
            with(source(waits.clone()), "/revocation/on_stale", json!("insecure_unbounded")),
            minutes(5),
        ),
        (
            "a default class",
            with(source(waits.clone()), "/default_class/freshness", json!("3m")),
            minutes(3),
        ),
        (
            "a class",
            with(
                source(waits.clone()),
                "/classes",
                json!([{ "name": "c", "clients": ["test-client"], "freshness": "90s" }]),
            ),
            Duration::from_secs(90),
        ),
        (
            "a policy",
            with(source(waits), "/policy", json!({ "allow_all": true, "freshness": "30s" })),
            Duration::from_secs(30),
        ),
        (
            "a policy that waits",
            with(
                source(plain),
                "/policy",
                json!({ "allow_all": true, "on_stale": { "allow_for": "6m" } }),
            ),
            minutes(6),
        ),
    ];
    for (name, file, most) in rows {
        let world = World::new();
        let api = world.serve(&file);
        world.listen(&api).await;
        assert_eq!(
            kind(&api, &world.token().claim("jti", "f-1")).await,
            Some(Kind::Revoked),
            "{name}"
        );
        world.network.feed_is_down.store(true, Ordering::Relaxed);
        world.clock.advance(most);
        assert_eq!(kind(&api, &world.token()).await, None, "{name}");
        world.clock.advance(Duration::from_secs(1));
        let expected = (name != "insecure_unbounded").then_some(Kind::RevocationUnavailable);
        assert_eq!(kind(&api, &world.token()).await, expected, "{name}");
    }
}

/// TSL-20, TSL-30: status lists are looked at as the file says: `true` is enough.
#[tokio::test]
async fn status_lists_are_looked_at_as_the_file_says() {
    for (lists, none, suspended, specific) in [
        (json!(false), None, None, None),
        (json!(true), None, Some(Kind::Suspended), Some(Kind::Revoked)),
        (json!({}), None, Some(Kind::Suspended), Some(Kind::Revoked)),
        (
            json!({ "require": true }),
            Some(Kind::StatusMissing),
            Some(Kind::Suspended),
            Some(Kind::Revoked),
        ),
        (
            json!({ "suspended": "step_up", "application_specific": { "3": "accept" } }),
            None,
            Some(Kind::StepUpDemanded),
            None,
        ),
        (
            json!({ "suspended": "accept", "application_specific": { "3": "step_up" } }),
            None,
            None,
            Some(Kind::StepUpDemanded),
        ),
    ] {
        let world = World::new();
        world.list.resize(2, 100).set(2, 2).set(3, 3).set(1, 1);
        let api = world.serve(&with(least(), "/revocation", json!({ "status_lists": lists })));
        let at = |index| world.token().claim("status", world.list.reference(index));
        assert_eq!(kind(&api, &world.token()).await, none, "{lists}");
        assert_eq!(kind(&api, &at(0)).await, None, "{lists}");
        let invalid = (lists != json!(false)).then_some(Kind::Revoked);
        assert_eq!(kind(&api, &at(1)).await, invalid, "{lists}");
        assert_eq!(kind(&api, &at(2)).await, suspended, "{lists}");
        assert_eq!(kind(&api, &at(3)).await, specific, "{lists}");
    }
}

/// An empty table is enough for what this process revokes itself; without it nothing is revoked.
#[tokio::test]
async fn claims_and_room_are_as_the_file_says() {
    let world = World::new();
    let record = || {
        let claims = Claims::one(Claim::Named("department".into()), "sales");
        Record::matching(ISSUER, claims, world.clock.now())
    };
    let token = world.token().claim("department", "sales");
    for (revocation, taken) in [
        (None, false),
        (Some(json!({})), false),
        (Some(json!({ "claims": ["department"] })), true),
        (Some(json!({ "claims": ["department"], "max_records": 1 })), true),
    ] {
        let file = match &revocation {
            Some(table) => with(least(), "/revocation", table.clone()),
            None => least(),
        };
        let api = world.serve(&file);
        assert_eq!(api.revocations().revoke(record()).await.is_ok(), taken, "{revocation:?}");
        let expected = taken.then_some(Kind::Revoked);
        assert_eq!(kind(&api, &token).await, expected, "{revocation:?}");
        let more = Record::token(ISSUER, "t", world.clock.now());
        let room = revocation.is_some_and(|table| table.get("max_records").is_none());
        assert_eq!(api.revocations().revoke(more).await.is_ok(), room);
    }
    for (when_full, taken) in [("refuse", 2), ("fold_cut_offs", 5)] {
        let table = json!({ "max_records": 2, "when_full": when_full });
        let api = world.serve(&with(least(), "/revocation", table));
        let mut known = 0;
        for user in ["a", "b", "c", "d", "e"] {
            let record = Record::matching(ISSUER, Claims::subject(user), world.clock.now());
            known += usize::from(api.revocations().revoke(record).await.is_ok());
        }
        assert_eq!(known, taken, "{when_full}");
    }
}

/// EVT-01: what was revoked is known again by the next server of the file, and by no other.
#[tokio::test]
async fn a_journal_of_the_file_is_opened_and_begun() {
    let directory = Directory::new();
    let file = |path: &str| with(least(), "/revocation", json!({ "journal": path }));
    let world = World::new();
    let token = world.token().claim("jti", "one");
    let path = directory.path("revocations");
    // To read a file is not to open its journal, nor to begin it.
    let read = config(&file(&path)).unwrap();
    assert!(!std::path::Path::new(&path).exists());
    let api = world.serve(&file(&path));
    assert!(std::path::Path::new(&path).exists());
    let record = Record::token(ISSUER, "one", world.clock.now());
    api.revocations().revoke(record).await.unwrap();
    // One server has it at a time.
    let second = told(&read.clone().builder().unwrap_err());
    assert_eq!(second.len(), 1, "{second:?}");
    assert!(second[0].0 == "revocation.journal" && second[0].1.contains("in use"), "{second:?}");
    // That is no fault of a file that has another one.
    let found = faults(&with(file(&path), "/leeway", json!(10)));
    assert!(found.len() == 1 && found[0].0 == "leeway", "{found:?}");
    drop(api);
    let api = loop {
        // A server that just ended may have a thread that still tidies up.
        match read.clone().builder() {
            Ok(builder) => {
                break builder.clock(world.clock.clone()).transport(world.network.clone());
            }
            Err(_) => std::thread::yield_now(),
        }
    };
    let api = api.build().unwrap();
    assert_eq!(kind(&api, &token).await, Some(Kind::Revoked));
    assert_eq!(kind(&api, &world.token()).await, None);
    let api = world.serve(&file(&directory.path("another")));
    assert_eq!(kind(&api, &token).await, None);
}
