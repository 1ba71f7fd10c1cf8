//! What a configuration of events must not be: every fault, at its place.

use std::time::Duration;

use portcullis::revocation::{
    Claim, EventStream, OnStale, Poll, Push, Revocation, Source, Subjects, Verification,
};
use portcullis::secret::Secret;
use portcullis::testing::{ManualClock, TestIssuer, TestNetwork, TestTransmitter};
use serde_json::json;

use crate::support::{ISSUER, builder};
use crate::world::{AUDIENCE, TRANSMITTER, with_secret};

/// The places of the faults of a source.
fn places(source: Source) -> Vec<String> {
    faults(Revocation::new().source(source)).into_iter().map(|(place, _)| place).collect()
}

fn faults(known: Revocation) -> Vec<(String, String)> {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let built = builder(&clock)
        .issuer(issuer.fixed_keys())
        .revocation(known)
        .transport(TestNetwork::of(&[&issuer]))
        .build();
    let error = match built {
        Ok(_) => return Vec::new(),
        Err(error) => error,
    };
    let place = |place: &str| place.strip_prefix("revocation.").unwrap().to_owned();
    error.places().map(|(at, fault)| (place(at), fault.to_string())).collect()
}

fn stream() -> EventStream {
    let clock = ManualClock::new();
    TestTransmitter::new(TRANSMITTER, AUDIENCE, &clock).fixed_keys()
}

fn source(stream: EventStream) -> Source {
    Source::new("caep", stream).speaks_for([ISSUER])
}

fn polled(stream: EventStream) -> Source {
    source(stream.poll(Poll::at("https://tx.example/poll")))
}

/// SET-04, SET-05, PUSH-05, SSF-01 and the settings themselves: each fault where it is, and its twin
/// without it.
#[test]
fn faults_stand_where_they_are() {
    let poll = || Poll::at("https://tx.example/poll");
    let unbounded = |stream: EventStream| source(stream).on_stale(OnStale::InsecureUnbounded);
    let jwks = |issuer: &str| EventStream::jwks(issuer, "https://tx.example/jwks.json");
    let open = jwks(TRANSMITTER).audience(AUDIENCE);
    let verified = |asked| with_secret().verification(asked);
    let rows: Vec<(&str, Source, &[&str])> = vec![
        ("good", polled(stream()), &[]),
        ("good, pushed and polled", source(stream().poll(poll()).push(with_secret())), &[]),
        (
            "good, discovered",
            source(
                EventStream::discover(TRANSMITTER)
                    .audience(AUDIENCE)
                    .poll(Poll::discovered())
                    .push(verified(Verification::discovered())),
            ),
            &[],
        ),
        ("good, unbounded", unbounded(stream().push(with_secret())), &[]),
        (
            "good, verified",
            source(stream().push(verified(Verification::at("https://tx.example/v")))),
            &[],
        ),
        ("good, by signature", unbounded(stream().push(Push::new().signature_only())), &[]),
        ("neither way", source(stream()), &["sources[0].events"]),
        ("no audience", polled(jwks(TRANSMITTER)), &["sources[0].events.audience"]),
        ("an empty audience", polled(stream().audience("")), &["sources[0].events.audience[1]"]),
        ("http", polled(jwks("http://tx.example").audience(AUDIENCE)), &["sources[0].events.id"]),
        (
            "a query",
            polled(jwks("https://tx.example?x").audience(AUDIENCE)),
            &["sources[0].events.id"],
        ),
        (
            "keys by http",
            polled(EventStream::jwks(TRANSMITTER, "http://tx.example/k").audience(AUDIENCE)),
            &["sources[0].events.jwks_uri"],
        ),
        (
            "no keys",
            polled(EventStream::fixed_keys(TRANSMITTER, "{}").audience(AUDIENCE)),
            &["sources[0].events.keys"],
        ),
        (
            "no algorithm",
            polled(jwks(TRANSMITTER).audience(AUDIENCE).algorithms([])),
            &["sources[0].events.algorithms"],
        ),
        ("an empty stream", polled(stream().stream_id("")), &["sources[0].events.stream_id"]),
        (
            "no authorization",
            unbounded(stream().push(Push::new())),
            &["sources[0].events.push.authorization"],
        ),
        (
            "both",
            unbounded(stream().push(with_secret().signature_only())),
            &["sources[0].events.push.authorization"],
        ),
        (
            "an empty secret",
            unbounded(stream().push(Push::new().authorization(Secret::new("")))),
            &["sources[0].events.push.authorization"],
        ),
        (
            "verified by http",
            source(stream().push(verified(Verification::at("http://tx.example/v")))),
            &["sources[0].events.push.verification.url"],
        ),
        (
            "verified nowhere",
            source(stream().push(verified(Verification::discovered()))),
            &["sources[0].events.push.verification.url"],
        ),
        (
            "verified without a stream",
            source(open.clone().push(verified(Verification::at("https://tx.example/v")))),
            &["sources[0].events.push.verification"],
        ),
        (
            "polled by http",
            source(stream().poll(Poll::at("http://tx.example/poll"))),
            &["sources[0].events.poll.url"],
        ),
        (
            "polled nowhere",
            source(open.clone().poll(Poll::discovered())),
            &["sources[0].events.poll.url"],
        ),
        (
            "polled without end",
            source(stream().poll(poll().every(Duration::ZERO))),
            &["sources[0].events.poll.every"],
        ),
        (
            "polled never",
            source(stream().poll(poll().every(Duration::from_hours(25)))),
            &["sources[0].events.poll.every"],
        ),
        (
            "no events",
            source(stream().poll(poll().max_events(0))),
            &["sources[0].events.poll.max_events"],
        ),
        (
            "too many events",
            source(stream().poll(poll().max_events(1_001))),
            &["sources[0].events.poll.max_events"],
        ),
        (
            "a claim without a name",
            polled(stream().subjects(Subjects::new().email(""))),
            &["sources[0].events.subjects.email"],
        ),
        (
            "a claim of its own",
            polled(stream().subjects(Subjects::new().device("jti"))),
            &["sources[0].events.subjects.device"],
        ),
        (
            "a user as a member",
            polled(stream().subjects(Subjects::new().member("user", "email"))),
            &["sources[0].events.subjects.user"],
        ),
        (
            "several at once",
            source(jwks("http://tx.example").poll(poll().max_events(0))),
            &[
                "sources[0].events.audience",
                "sources[0].events.poll.max_events",
                "sources[0].events.id",
            ],
        ),
    ];
    for (name, source, expected) in rows {
        assert_eq!(places(source), expected, "{name}");
    }
}

/// SSF-02: a stream that is only pushed cannot be told from one that is broken; that is accepted where
/// another source says the same, or by its name.
#[test]
fn a_push_alone_is_no_bound() {
    let push = || source(stream().push(with_secret()));
    let found = faults(Revocation::new().source(push()));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0, "sources[0].events.push");
    assert!(found[0].1.contains("verification"), "{}", found[0].1);
    let both = Revocation::new().source(push()).source(
        Source::new("polled", stream().poll(Poll::at("https://tx.example/poll")))
            .speaks_for([ISSUER]),
    );
    assert_eq!(faults(both), []);
    let twice = Revocation::new()
        .source(push())
        .source(Source::new("second", stream().push(with_secret())).speaks_for([ISSUER]));
    assert_eq!(faults(twice).len(), 2, "neither covers the other");
    let polled = || {
        Source::new("polled", stream().poll(Poll::at("https://tx.example/poll")))
            .speaks_for([ISSUER])
    };
    let boundless = polled().on_stale(OnStale::InsecureUnbounded);
    let both = Revocation::new().source(push()).source(boundless);
    assert_eq!(faults(both).len(), 1, "what has no bound covers nothing");
    let server = Revocation::new()
        .source(push().on_stale(OnStale::Deny))
        .source(polled())
        .on_stale(OnStale::InsecureUnbounded);
    assert_eq!(faults(server).len(), 1, "nor if the server says so");
    let server = Revocation::new().source(push()).on_stale(OnStale::InsecureUnbounded);
    assert_eq!(faults(server), []);
}

/// A transmitter on a loopback host, by the name of the hazard.
#[test]
fn loopback_is_a_hazard_of_its_own() {
    let local = |host: &str| {
        EventStream::jwks(format!("http://{host}"), format!("http://{host}/jwks.json"))
            .audience(AUDIENCE)
            .poll(Poll::at(format!("http://{host}/poll")))
    };
    let insecure = |host| source(local(host).dangerous().insecure_loopback_http());
    assert_eq!(places(insecure("127.0.0.1:8080")), Vec::<String>::new());
    assert!(!places(source(local("127.0.0.1:8080"))).is_empty());
    assert!(!places(insecure("tx.example")).is_empty());
}

/// Names of claims that every token has are known by themselves.
#[test]
fn claims_are_named_once() {
    for (name, claim) in [
        ("sub", Claim::Subject),
        ("sid", Claim::Session),
        ("email", Claim::Named("email".into())),
        ("client_id", Claim::Named("client_id".into())),
    ] {
        assert_eq!(Claim::from(name), claim);
    }
    let stream = stream().subjects(Subjects::new().tenant("tid").application(Claim::Client));
    assert_eq!(places(polled(stream)), Vec::<String>::new());
    let _ = json!({});
}
