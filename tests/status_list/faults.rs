//! What is wrong with a configuration, all of it at once.

use std::time::Duration;

use portcullis::revocation::{OnStale, Revocation, StatusAction, StatusList, StatusLists};
use portcullis::testing::{ManualClock, TestIssuer, TestNetwork};
use portcullis::{BuildError, ResourceServer};

use crate::support::{ISSUER, builder};

fn build(lists: StatusLists, issuers: &[&str]) -> Result<ResourceServer, BuildError> {
    let clock = ManualClock::new();
    let mut builder = builder(&clock)
        .revocation(Revocation::new().status_lists(lists))
        .transport(TestNetwork::default());
    for issuer in issuers {
        builder = builder.issuer(TestIssuer::new(*issuer, &clock).fixed_keys());
    }
    builder.build()
}

/// Every fault has its place, and every bound is as it is said.
#[test]
fn every_fault_has_its_place() {
    let new = StatusLists::new;
    let (second, day) = (Duration::from_secs(1), Duration::from_hours(24));
    let just = Duration::from_nanos(1);
    let documents = |count: usize| {
        (0..count).fold(new(), |lists, number| {
            lists.prefetch(format!("https://as.example/documents/{number}"))
        })
    };
    for (place, good, bad) in [
        ("issuers[0]", new().issuers([ISSUER]), new().issuers(["https://other.example"])),
        ("issuers", new(), new().issuers(Vec::<String>::new())),
        (
            "allow_uris_at[1]",
            new().allow_uris_at("https://a.example").allow_uris_at("https://b.example:8443/"),
            new().allow_uris_at("https://a.example").allow_uris_at("https://b.example/lists"),
        ),
        (
            "allow_uris_at[0]",
            new().allow_uris_at("http://127.0.0.1:80").dangerous().insecure_loopback_http(),
            new().allow_uris_at("http://127.0.0.1:80"),
        ),
        (
            "allow_uris_at[0]",
            new(),
            new().allow_uris_at("http://a.example").dangerous().insecure_loopback_http(),
        ),
        ("algorithms", new(), new().algorithms([])),
        ("min_ttl", new().min_ttl(second), new().min_ttl(second - just)),
        ("min_ttl", new().min_ttl(12 * day / 24), new().min_ttl(12 * day / 24 + just)),
        ("max_ttl", new().max_ttl(7 * day), new().max_ttl(7 * day + just)),
        ("max_age", new().max_age(second), new().max_age(second - just)),
        ("max_age", new().max_age(366 * day), new().max_age(366 * day + just)),
        (
            "on_stale",
            new().on_stale(OnStale::AllowFor(second)),
            new().on_stale(OnStale::AllowFor(second - just)),
        ),
        ("wait_at_most", new().wait_at_most(2 * second), new().wait_at_most(2 * second + just)),
        ("max_lists", new().max_lists(1), new().max_lists(0)),
        ("max_lists", new().max_lists(10_000), new().max_lists(10_001)),
        ("max_entries", new().max_entries(1), new().max_entries(0)),
        ("max_entries", new().max_entries(1 << 30), new().max_entries((1 << 30) + 1)),
        (
            "max_bytes",
            new().max_entries(1_000).max_bytes(1_000),
            new().max_entries(1_000).max_bytes(999),
        ),
        (
            "max_bytes",
            new().max_entries(1 << 30).max_bytes(StatusList::MAX_OCTETS),
            new().max_entries(1 << 30).max_bytes(StatusList::MAX_OCTETS - 1),
        ),
        (
            "application_specific",
            new().application_specific(3, StatusAction::Accept),
            new().application_specific(2, StatusAction::Accept),
        ),
        (
            "application_specific",
            new().application_specific(12, StatusAction::Accept),
            new().application_specific(11, StatusAction::Accept),
        ),
        (
            "application_specific",
            new().application_specific(15, StatusAction::Accept),
            new().application_specific(16, StatusAction::Accept),
        ),
        (
            "application_specific",
            new().application_specific(15, StatusAction::Accept),
            new()
                .application_specific(15, StatusAction::Accept)
                .application_specific(15, StatusAction::Refuse),
        ),
        ("prefetch", documents(64), documents(65)),
        (
            "prefetch[0]",
            new().prefetch("https://as.example/lists"),
            new().prefetch("http://as.example/lists"),
        ),
        (
            "prefetch[0]",
            new().prefetch_of(ISSUER, "https://cdn.example/lists"),
            new().prefetch_of("https://other.example", "https://cdn.example/lists"),
        ),
    ] {
        build(good, &[ISSUER]).unwrap_or_else(|error| panic!("{place}: {error}"));
        let error = build(bad, &[ISSUER]).unwrap_err();
        let places: Vec<_> = error.places().map(|(place, _)| place.to_owned()).collect();
        assert_eq!(places, [format!("revocation.status_lists.{place}")], "{error}");
    }
    let all = new().algorithms([]).max_lists(0).issuers(["x"]).min_ttl(day * 8);
    assert_eq!(build(all, &[ISSUER]).unwrap_err().faults().len(), 5);
}

/// A document is that of the issuer at whose origin it is, or of the only one; else it has to be said.
#[test]
fn it_is_clear_whose_lists_are_prefetched() {
    let two = ["https://a.example", "https://b.example/tenant"];
    let at = |uri: &str| StatusLists::new().prefetch(uri);
    for (lists, issuers, good) in [
        (at("https://cdn.example/x"), &two[..1], true),
        (at("https://cdn.example/x"), &two[..], false),
        (at("https://b.example/x"), &two[..], true),
        (at("https://b.example/x").issuers([two[0]]), &two[..], true),
        (at("https://a.example/x"), &["https://a.example", "https://a.example/other"], false),
        (StatusLists::new().prefetch_of(two[1], "https://cdn.example/x"), &two[..], true),
    ] {
        assert_eq!(build(lists.clone(), issuers).is_ok(), good, "{lists:?}");
    }
}

/// What is configured is told, in the words of a file.
#[test]
fn what_is_configured_is_told() {
    let lists = StatusLists::new()
        .require()
        .issuers([ISSUER])
        .max_age(Duration::from_mins(90))
        .application_specific(3, StatusAction::StepUp);
    let api = build(lists, &[ISSUER]).unwrap();
    let report = &api.effective_policy()["revocation"]["status_lists"];
    assert_eq!(report["require"], true);
    assert_eq!(report["issuers"][0], ISSUER);
    assert_eq!(report["min_ttl"], "15s");
    assert_eq!(report["max_ttl"], "12h");
    assert_eq!(report["max_age"], "1h 30m");
    assert_eq!(report["on_stale"], "deny");
    assert_eq!(report["application_specific"]["3"], "step_up");
    assert_eq!(report["suspended"], "refuse");
}

/// What is said of all sources counts for lists, unless they say otherwise.
#[test]
fn lists_are_stale_as_all_sources_are() {
    let clock = ManualClock::new();
    let report = |lists: StatusLists| {
        let known = Revocation::new().on_stale(OnStale::AllowFor(Duration::from_mins(1)));
        let issuer = TestIssuer::new(ISSUER, &clock);
        let api = builder(&clock)
            .issuer(issuer.fixed_keys())
            .transport(TestNetwork::default())
            .revocation(known.status_lists(lists))
            .build()
            .unwrap();
        api.effective_policy()["revocation"]["status_lists"]["on_stale"].clone()
    };
    assert_eq!(report(StatusLists::new())["allow_for"], "1m");
    assert_eq!(report(StatusLists::new().on_stale(OnStale::Deny)), "deny");
}
