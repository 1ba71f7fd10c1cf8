//! What the lines of [`super::revocation`] cannot show beside each other.

use std::time::Duration;

use http::header::AUTHORIZATION;
use portcullis::check::allow_all;
use portcullis::revocation::{
    EventStream, Journal, JournalError, JsonFeed, OnStale, Poll, Push, Record, Revocation,
    RevocationSource, Running, Source, SourceHandle, SourceKind, StatusLists, Verification,
};
use portcullis::secret::{Secret, SecretSource};
use portcullis::testing::{TestIssuer, TestNetwork, TestTransmitter};
use portcullis::time::Clock as _;
use portcullis::transport::Transport;
use portcullis::{Issuer, Policy, ResourceServer, ServerBuilder, TokenClass};
use serde_json::{Value, json};

use super::world::{
    FED, MINUTE, OTHER, POLLED, PUSHED, SECOND, SHOWN, World, kind, listen_to, until,
};
use crate::support::{self, RESOURCE, bearer, send};

const REVOKED: &str = "Some(Revoked) ";
const UNAVAILABLE: &str = "Some(RevocationUnavailable) ";
const PASSED: &str = "None ";

/// Of a secret that is in an environment variable.
fn shown() -> SecretSource {
    SecretSource::env("CARGO_PKG_NAME")
}

fn reference() -> Value {
    json!({ "env": "CARGO_PKG_NAME" })
}

fn builder(world: &World, revocation: Revocation) -> ServerBuilder {
    let own = [PUSHED, POLLED, FED, OTHER].map(|id| world.issuer(id));
    let builder = own
        .iter()
        .fold(support::builder(&world.clock), |builder, own| builder.issuer(own.fixed_keys()));
    builder.revocation(revocation)
}

/// A server with one source, which speaks for this issuer, on this network.
fn server(
    world: &World,
    about: &str,
    source: impl Into<SourceKind>,
    network: impl Transport,
) -> ResourceServer {
    let source = Source::new("only", source).speaks_for([about]).max_age(2 * MINUTE);
    let server = builder(world, Revocation::new().source(source)).transport(network);
    server.build().unwrap_or_else(|error| panic!("{error}"))
}

/// What stands for the only source.
fn line(api: &ResourceServer, kind: &str) -> Value {
    api.effective_policy()["revocation"]["sources"][0][kind].clone()
}

/// What stands for a polled stream, and what becomes of a token that it tells of.
async fn polled(world: &World, stream: EventStream, network: impl Transport) -> (Value, String) {
    let api = server(world, POLLED, stream, network);
    let token = world.token(POLLED);
    world.two.offer(&world.two.session_revoked(POLLED, "alice"));
    listen_to(&api, 1, &world.token(OTHER)).await;
    (line(&api, "events"), kind(&api, &token).await)
}

/// How a stream is reached, and what is shown there.
#[tokio::test]
async fn the_way_to_a_stream_stands_as_it_is_taken() {
    let stream = |world: &World| world.two.jwks().poll(world.two.polled().authorization(shown()));
    let world = World::new();
    let (line, told) = polled(&world, stream(&world), world.gate.clone()).await;
    assert_eq!((line.get("transport"), &*told), (None, REVOKED));
    let world = World::new();
    let (line, told) = polled(&world, stream(&world), TestNetwork::default()).await;
    assert_eq!((line.get("transport"), &*told), (None, UNAVAILABLE));
    let world = World::new();
    let own = stream(&world).transport(world.gate.clone());
    let (line, told) = polled(&world, own, TestNetwork::default()).await;
    assert_eq!((&line["transport"], &*told), (&json!("own"), REVOKED));

    for (wanted, expected) in [(format!("Bearer {SHOWN}"), REVOKED), (SHOWN.into(), UNAVAILABLE)] {
        let world = World::new();
        world.two.authorization(&wanted);
        let stream = world.two.jwks().poll(world.two.polled().bearer(shown()));
        let (line, told) = polled(&world, stream, world.gate.clone()).await;
        assert_eq!((&line["poll"]["bearer"], &*told), (&reference(), expected), "{wanted}");
        assert_eq!(line["poll"].get("authorization"), None);
    }
    for (streams, expected) in [(None, REVOKED), (Some(json!([])), UNAVAILABLE)] {
        let world = World::new();
        if let Some(streams) = streams {
            world.two.streams(streams);
        }
        let stream = world.two.discover().poll(Poll::discovered().authorization(shown()));
        let (line, told) = polled(&world, stream, world.gate.clone()).await;
        assert_eq!((&line["poll"]["url"], &*told), (&json!("discovery"), expected));
        assert_eq!(line["poll"]["every"], "a third of max_age");
    }
    for (own, expected) in [(true, REVOKED), (false, UNAVAILABLE)] {
        let world = World::new();
        let other = TestTransmitter::new("https://two.example", "x", &world.clock);
        let keys = if own { world.two.jwk_set() } else { other.jwk_set() };
        let stream = EventStream::fixed_keys("https://two.example", keys.to_string());
        let stream = stream.audience("https://rs.example/events");
        let stream = stream.poll(world.two.polled().authorization(shown()));
        let (line, told) = polled(&world, stream, world.gate.clone()).await;
        assert_eq!((&line["keys"], &*told), (&json!("fixed"), expected));
    }
}

/// A transmitter that answers when it has something to say is waited for, and no other.
#[tokio::test]
async fn a_long_poll_stands_as_it_is_asked() {
    for (long, expected) in [(true, REVOKED), (false, PASSED)] {
        let world = World::new();
        let poll = world.two.polled().authorization(shown());
        let poll = if long { poll.long_polling() } else { poll.every(SECOND) };
        let stream = world.two.jwks().poll(poll);
        let api = server(&world, POLLED, stream, world.gate.clone());
        let token = world.token(POLLED);
        listen_to(&api, 1, &world.token(OTHER)).await;
        if long {
            until(|| world.two.polls().len() > 1).await;
        }
        world.two.offer(&world.two.session_revoked(POLLED, "alice"));
        until(|| api.revocations().health()[1].applied > 0).await;
        let poll = line(&api, "events")["poll"].clone();
        let stands = [poll.get("long_polling").is_some(), poll.get("every").is_some()];
        assert_eq!((stands, &*kind(&api, &token).await), ([long, !long], expected));
    }
}

/// What is shown with a question for a verification event, and what is accepted with an answer.
#[tokio::test]
async fn what_is_shown_stands_by_its_place_and_never_itself() {
    const SECRET: &str = "s3cr3t-hunter2";
    for (delivered, expected) in [(SECRET, PASSED), ("x", UNAVAILABLE)] {
        let world = World::new();
        let asked = Verification::at(world.one.verification_url()).authorization(shown());
        let push = Push::new().authorization(Secret::new(SECRET)).verification(asked);
        let api = server(&world, PUSHED, world.one.jwks().push(push), world.gate.clone());
        let _ = kind(&api, &world.token(OTHER)).await;
        until(|| !world.one.asked().is_empty()).await;
        assert_eq!(world.one.asked()[0].1[AUTHORIZATION], SHOWN);
        let mut request =
            world.one.push(world.one.verification(world.one.last_state().as_deref()).sign());
        request.headers_mut().insert(AUTHORIZATION, delivered.parse().unwrap());
        api.event_receiver("only").unwrap().receive(request).await;
        // A transmitter that refuses the question can have got it all the same.
        assert_eq!(kind(&api, &world.token(PUSHED)).await, expected, "{delivered}");
        let push = &line(&api, "events")["push"];
        assert_eq!(push["authorization"], json!(["given"]));
        assert_eq!(push["verification"]["authorization"], reference());
        assert!(!api.effective_policy().to_string().contains("hunter2"));
    }
}

/// What stands for a feed, and what becomes of a token that it names.
async fn fed(world: &World, feed: JsonFeed, network: impl Transport) -> (Value, String) {
    let api = server(world, FED, feed, network);
    listen_to(&api, 1, &world.token(OTHER)).await;
    (line(&api, "feed"), kind(&api, &world.token(FED).claim("jti", "f-1")).await)
}

/// How a feed is reached, what is shown there, and who signs it.
#[tokio::test]
async fn the_way_to_a_feed_stands_as_it_is_taken() {
    const URL: &str = "https://feed.example/all";
    let world = World::new();
    let feed = || JsonFeed::over_tls(URL).authorization(shown());
    let (line, told) = fed(&world, feed(), world.gate.clone()).await;
    assert_eq!((line.get("transport"), &*told), (None, REVOKED));
    assert_eq!(line["every"], "a third of max_age");
    let (line, told) = fed(&world, feed(), TestNetwork::default()).await;
    assert_eq!((line.get("transport"), &*told), (None, UNAVAILABLE));
    let own = feed().transport(world.gate.clone());
    let (line, told) = fed(&world, own, TestNetwork::default()).await;
    assert_eq!((&line["transport"], &*told), (&json!("own"), REVOKED));

    for (wanted, expected) in [(format!("Bearer {SHOWN}"), REVOKED), (SHOWN.into(), UNAVAILABLE)] {
        let mut world = World::new();
        world.gate.wanted.clone_from(&wanted);
        let feed = JsonFeed::over_tls(URL).bearer(shown());
        let (line, told) = fed(&world, feed, world.gate.clone()).await;
        assert_eq!((&line["bearer"], &*told), (&reference(), expected), "{wanted}");
        assert_eq!(line.get("authorization"), None);
    }
    for (name, expected) in
        [("https://signer.example", REVOKED), ("https://other.example", UNAVAILABLE)]
    {
        let mut world = World::new();
        let signer = TestIssuer::new("https://signer.example", &world.clock);
        let now = world.clock.now().as_secs();
        let document = signer
            .token(RESOURCE)
            .header("typ", "revocation-feed+jwt")
            .claim("feed", "urn:example:feed")
            .claim("sequence", 1)
            .claim("issued_at", now)
            .claim("count", 1)
            .claim("records", json!([{ "jti": "f-1", "at": now }]));
        let (url, kind) = ("https://feed.example/signed", "application/revocation-feed+jwt");
        world.gate.network = world.gate.network.with_document(url, kind, document.sign());
        let issuer = Issuer::fixed_keys(name, signer.jwk_set().to_string());
        let feed = JsonFeed::signed(url, issuer).authorization(shown());
        let (line, told) = fed(&world, feed, world.gate.clone()).await;
        assert_eq!((&line["signed_by"], &*told), (&json!({ "id": name }), expected));
    }
}

#[test]
fn a_hazard_of_a_source_stands_by_its_name_and_only_where_it_is() {
    const LOCAL: &str = "http://127.0.0.1:9000/x";
    let world = World::new();
    let build = |revocation: Revocation| {
        let api = builder(&world, revocation).transport(TestNetwork::default()).build()?;
        Ok::<_, portcullis::BuildError>(api.effective_policy()["revocation"].clone())
    };
    let of =
        |source: SourceKind| Revocation::new().source(Source::new("a", source).speaks_for([FED]));
    let stream = |url: &str| world.two.fixed_keys().poll(Poll::at(url));
    let lists =
        |uri: &str| StatusLists::new().prefetch_of(FED, uri).allow_uris_at("https://x.example");
    let hazard = json!({ "insecure_loopback_http": true });
    let with = [
        (of(stream(LOCAL).dangerous().insecure_loopback_http().into()), "/sources/0/events"),
        (
            of(JsonFeed::over_tls(LOCAL).dangerous().insecure_loopback_http().into()),
            "/sources/0/feed",
        ),
        (
            Revocation::new().status_lists(lists(LOCAL).dangerous().insecure_loopback_http()),
            "/status_lists",
        ),
    ];
    for (revocation, place) in with {
        let line = build(revocation).unwrap().pointer(place).unwrap()["dangerous"].clone();
        assert_eq!(line, hazard, "{place}");
    }
    let secure = "https://x.example";
    for (refused, taken, place) in [
        (of(stream(LOCAL).into()), of(stream(secure).into()), "/sources/0/events"),
        (
            of(JsonFeed::over_tls(LOCAL).into()),
            of(JsonFeed::over_tls(secure).into()),
            "/sources/0/feed",
        ),
        (
            Revocation::new().status_lists(lists(LOCAL)),
            Revocation::new().status_lists(lists(secure)),
            "/status_lists",
        ),
    ] {
        assert!(build(refused).is_err(), "{place}");
        assert_eq!(build(taken).unwrap().pointer(place).unwrap().get("dangerous"), None);
    }
}

/// A source of the user's own, which never says anything.
struct Silent;

impl RevocationSource for Silent {
    fn run(&self, _: SourceHandle) -> Running<'_> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn a_source_of_ones_own_stands_as_it_is_asked() {
    for (about, expected) in [(FED, UNAVAILABLE), (OTHER, PASSED)] {
        let world = World::new();
        let source = Source::own("own", Silent).speaks_for([about]);
        let api = builder(&world, Revocation::new().source(source)).build().unwrap();
        assert_eq!(line(&api, "own"), json!(true));
        assert_eq!(kind(&api, &world.token(FED)).await, expected);
    }
    // Nobody but this process.
    let api = builder(&World::new(), Revocation::new()).build().unwrap();
    assert_eq!(api.effective_policy()["revocation"]["sources"], json!([]));
}

/// A journal knows again what was revoked, and another one does not.
#[tokio::test]
async fn a_journal_stands_as_it_is_read() {
    let name = format!("portcullis-effective-policy-{}", std::process::id());
    let directory = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&directory).unwrap();
    let [kept, other] = ["kept", "other"].map(|name| directory.join(name));
    let world = World::new();
    let server = |path: &std::path::Path| {
        // A server that just ended may have a thread that still tidies up.
        let journal = loop {
            match Journal::open(path) {
                Err(JournalError::Locked { .. }) => std::thread::yield_now(),
                opened => break opened.unwrap(),
            }
        };
        builder(&world, Revocation::new().journal(journal)).build().unwrap()
    };
    let api = server(&kept);
    api.revocations().revoke(Record::token(OTHER, "a", world.clock.now())).await.unwrap();
    drop(api);
    for (path, expected) in [(&kept, REVOKED), (&other, PASSED)] {
        let api = server(path);
        assert_eq!(api.effective_policy()["revocation"]["journal"], path.to_str().unwrap());
        assert_eq!(kind(&api, &world.token(OTHER).claim("jti", "a")).await, expected);
    }
    std::fs::remove_dir_all(&directory).unwrap();
}

/// What a class and a policy demand of what is known: how old it may be at most.
#[tokio::test]
async fn freshness_stands_as_it_is_demanded() {
    let seconds = Duration::from_secs;
    type Class = fn(TokenClass) -> TokenClass;
    let usual: Class = |class| class;
    let policy = || Policy::new(allow_all()).named("p");
    let agents = || TokenClass::named("agents").scopes(["agent"]).at_most(60 * MINUTE);
    let rows: [(&str, Class, TokenClass, Policy, &str, Value, Duration); 6] = [
        ("nothing", usual, agents(), policy(), "/mounted/0/freshness", Value::Null, seconds(120)),
        (
            "the default class",
            |class| class.freshness(Duration::from_secs(60)),
            agents(),
            policy(),
            "/default_class/freshness",
            json!("1m"),
            seconds(60),
        ),
        (
            "a class",
            usual,
            agents().freshness(seconds(30)),
            policy(),
            "/classes/0/freshness",
            json!("30s"),
            seconds(30),
        ),
        (
            "a policy",
            usual,
            agents(),
            policy().freshness(seconds(20)),
            "/mounted/0/freshness",
            json!("20s"),
            seconds(20),
        ),
        (
            "a policy that waits",
            usual,
            agents(),
            policy().on_stale(OnStale::AllowFor(seconds(600))),
            "/mounted/0/on_stale",
            json!({ "allow_for": "10m" }),
            seconds(600),
        ),
        (
            "a policy that does not mind",
            usual,
            agents(),
            policy().on_stale(OnStale::InsecureUnbounded),
            "/mounted/0/on_stale",
            json!("insecure_unbounded"),
            seconds(86_400),
        ),
    ];
    for (name, default, class, policy, place, expected, most) in rows {
        let world = World::new();
        let feed = JsonFeed::over_tls("https://feed.example/all").authorization(shown());
        let source = Source::new("fed", feed).speaks_for([FED]).max_age(2 * MINUTE);
        let default = default(TokenClass::default_at_most(60 * MINUTE));
        let own = [FED, OTHER].map(|id| world.issuer(id));
        let server = ResourceServer::builder(RESOURCE).binding(portcullis::Binding::WhereBound);
        let server = own.iter().fold(server, |server, own| server.issuer(own.fixed_keys()));
        let api = server
            .class(default)
            .class(class)
            .clock(world.clock.clone())
            .transport(world.gate.clone())
            .revocation(Revocation::new().source(source))
            .build()
            .unwrap();
        let layer = api.protect(policy);
        listen_to(&api, 1, &world.token(OTHER)).await;
        world.gate.feed_is_down.store(true, std::sync::atomic::Ordering::Relaxed);
        let found = api.effective_policy().pointer(place).cloned().unwrap_or_default();
        assert_eq!(found, expected, "{name}");
        for (after, passes) in [(most, true), (SECOND, false)] {
            world.clock.advance(after);
            let token = world.token(FED).scope("agent").sign();
            let passed = send(&layer, bearer(&token)).await.passed();
            let forever = expected == "insecure_unbounded";
            assert_eq!(passed, passes || forever, "{name} {after:?}");
        }
    }
}
