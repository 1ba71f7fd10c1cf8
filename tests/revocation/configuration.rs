//! What a configuration of revocation turns on, and what is wrong with one.

use std::time::Duration;

use portcullis::check::allow_all;
use portcullis::revocation::{OnStale, Revocation, Source, StatusLists};
use portcullis::testing::{ManualClock, TestIssuer, TestNetwork};
use portcullis::{ConfigFault, Policy, RejectionKind as Kind, ServerBuilder, TokenClass};

use crate::source::{Hand, MINUTE, World};
use crate::support::{ISSUER, builder};

/// A server that knows this of revocation.
fn server(known: impl Into<Option<Revocation>>) -> ServerBuilder {
    let clock = ManualClock::new();
    let server = builder(&clock).issuer(TestIssuer::new(ISSUER, &clock).fixed_keys());
    match known.into() {
        Some(known) => server.revocation(known),
        None => server,
    }
}

fn named(name: &str) -> Source {
    Source::own(name, Hand::default()).speaks_for([ISSUER])
}

/// Each with its place.
fn faults(known: Revocation) -> Vec<String> {
    let error = server(known).build().unwrap_err();
    error.places().map(|(place, fault)| format!("{place}: {fault}")).collect()
}

fn policy() -> Policy {
    Policy::new(allow_all())
}

/// The claim `status` is looked at where status lists are, and nowhere else.
#[tokio::test]
async fn a_status_is_read_only_where_lists_are() {
    let world = World::new().await;
    let token = |world: &World| world.token().claim("status", "no object");
    assert_eq!(world.kind(&token(&world)).await, None);
    let out = TestNetwork::of(&[]);
    let lists = |known: Revocation| known.status_lists(StatusLists::new());
    let world = World::with(lists, |server| server.transport(out)).await;
    assert_eq!(world.kind(&token(&world)).await, Some(Kind::MalformedClaim));
}

/// Faults of a configuration, each with its place.
#[test]
fn a_faulty_configuration_does_not_build() {
    for (known, place, wanted) in [
        (Revocation::new().max_records(0), "revocation.max_records", "between 1"),
        (
            Revocation::new().on_stale(OnStale::AllowFor(Duration::ZERO)),
            "revocation.on_stale",
            "1 second",
        ),
        (Revocation::new().claim(""), "revocation.claims[0]", "without a name"),
        (Revocation::new().claim("sub"), "revocation.claims[0]", "always looked at"),
        (Revocation::new().source(named("")), "revocation.sources[0].name", "a name of its own"),
        (Revocation::new().source(named("local")), "revocation.sources[0].name", "this process"),
        (
            Revocation::new().source(named("status_lists")),
            "revocation.sources[0].name",
            "the status lists",
        ),
        (
            Revocation::new().source(named("a")).source(named("a")),
            "revocation.sources[1].name",
            "another source",
        ),
        (
            Revocation::new().source(Source::own("a", Hand::default())),
            "revocation.sources[0].speaks_for",
            "whose tokens",
        ),
        (
            Revocation::new().source(named("a").speaks_for(["https://unknown.example"])),
            "revocation.sources[0].speaks_for[1]",
            "none of the server's",
        ),
        (
            Revocation::new().source(named("a").max_age(Duration::ZERO)),
            "revocation.sources[0].max_age",
            "1 second",
        ),
        (
            Revocation::new().source(named("a").on_stale(OnStale::AllowFor(Duration::MAX))),
            "revocation.sources[0].on_stale",
            "366 days",
        ),
    ] {
        let found = faults(known);
        let expected = |fault: &&String| fault.starts_with(place) && fault.contains(wanted);
        assert_eq!(found.iter().filter(expected).count(), 1, "{place}: {found:?}");
        assert_eq!(found.len(), 1, "{found:?}");
    }
}

/// There is a bound on the number of sources, claims and records.
#[test]
fn there_are_no_more_than_can_be() {
    let sources = |count: usize| {
        (0..count).fold(Revocation::new(), |all, number| all.source(named(&format!("s-{number}"))))
    };
    let claims = |count: usize| {
        (0..count).fold(Revocation::new(), |all, number| all.claim(format!("c-{number}")))
    };
    let records = |most: usize| Revocation::new().max_records(most);
    for (place, known, too_many) in [
        ("revocation.sources", sources(64), sources(65)),
        ("revocation.claims", claims(16), claims(17)),
        (
            "revocation.max_records",
            records(Revocation::MAX_RECORDS),
            records(Revocation::MAX_RECORDS + 1),
        ),
    ] {
        server(known).build().unwrap();
        let found = faults(too_many);
        assert!(matches!(&found[..], [fault] if fault.starts_with(place)), "{place}: {found:?}");
    }
}

/// A class or a route that wants to know needs somebody who says: this process itself is no source.
#[test]
fn whoever_wants_fresh_knowledge_needs_a_source() {
    let class = TokenClass::named("a").scopes(["a"]).freshness(MINUTE);
    let error = server(None).class(class.clone()).build().unwrap_err();
    assert!(matches!(error.faults(), [ConfigFault::TokenClass { .. }]), "{error}");
    let error = server(Revocation::new()).class(class.clone()).build().unwrap_err();
    assert!(
        matches!(error.faults(), [ConfigFault::TokenClass { .. }]),
        "local is no source: {error}"
    );
    server(Revocation::new().source(named("a"))).class(class).build().unwrap();
    for policy in [policy().freshness(MINUTE), policy().on_stale(OnStale::Deny)] {
        let api = server(None).build().unwrap();
        assert!(api.guard(policy.clone()).is_err());
        let api = server(Revocation::new()).build().unwrap();
        assert!(api.guard(policy.clone()).is_err(), "local is no source");
        let known = Revocation::new().source(named("a"));
        server(known).build().unwrap().guard(policy).unwrap();
    }
}
