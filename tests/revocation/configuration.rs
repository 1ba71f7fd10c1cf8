//! What a configuration of revocation turns on, and what is wrong with one.

use std::time::Duration;

use portcullis::check::allow_all;
use portcullis::revocation::{Claims, OnStale, Record, Revocation, Source, StatusLists};
use portcullis::testing::{ManualClock, TestIssuer, TestNetwork};
use portcullis::time::Clock as _;
use portcullis::{
    Binding, ConfigFault, Policy, RejectionKind as Kind, ResourceServer, ServerBuilder, TokenClass,
};

use crate::interleavings::opened;
use crate::source::{Directory, Hand, MINUTE, World};
use crate::support::{ISSUER, RESOURCE, builder, present, settle};

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

/// A server of one class with this longest life, in seconds, and with this leeway, that has this journal.
struct Lives {
    directory: Directory,
    clock: ManualClock,
    issuer: TestIssuer,
}

impl Lives {
    fn new() -> Self {
        let clock = ManualClock::new();
        let issuer = TestIssuer::new(ISSUER, &clock);
        Self { directory: Directory::new(), clock, issuer }
    }

    fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("revocations")
    }

    /// What it does not start for, if it does not.
    fn start(&self, life: u64, leeway: u64) -> Result<ResourceServer, String> {
        let known = Revocation::new().journal(opened(&self.path()));
        ResourceServer::builder(RESOURCE)
            .binding(Binding::WhereBound)
            .class(TokenClass::default_at_most(Duration::from_secs(life)))
            .leeway(Duration::from_secs(leeway))
            .clock(self.clock.clone())
            .issuer(self.issuer.fixed_keys())
            .revocation(known)
            .build()
            .map_err(|error| error.to_string())
    }
}

/// EVT-01, attack 39: cut-offs are dropped when no token that they are about can be accepted any more, by life
/// and leeway. Where both together allow more after a restart it does not start: an old token could pass.
#[test]
fn a_restart_that_accepts_older_tokens_needs_a_new_journal() {
    for (name, starts) in [
        ("the same", &[(3_600, 10, true), (3_600, 10, true)][..]),
        ("a greater leeway", &[(3_600, 0, true), (3_600, 300, false)]),
        ("a leeway that is a second greater", &[(3_600, 10, true), (3_600, 11, false)]),
        ("a smaller one, and the old again", &[(60, 9, true), (60, 8, true), (60, 9, false)]),
        ("a longer life", &[(3_600, 10, true), (3_601, 10, false)]),
        ("a shorter one, and the old again", &[(90, 9, true), (80, 9, true), (90, 9, false)]),
        ("a greater leeway, and a life that is as much shorter", &[(90, 9, true), (80, 14, true)]),
        ("a life that is less shorter", &[(90, 9, true), (81, 14, false)]),
        ("what was refused is not what was kept", &[(60, 0, true), (60, 9, false), (60, 0, true)]),
    ] {
        let lives = Lives::new();
        for (life, leeway, expected) in starts {
            let built = lives.start(*life, *leeway);
            assert_eq!(built.is_ok(), *expected, "{name}: {life} {leeway}");
            if let Err(error) = built {
                assert!(error.contains("the leeway allow"), "{name}: {error}");
                assert!(error.contains("revocation.journal"), "{name}: {error}");
            }
        }
    }
}

/// EVT-01, attack 39: the cut-off that is gone, and the token that would pass.
#[tokio::test]
async fn a_greater_leeway_brings_no_revoked_token_back() {
    let lives = Lives::new();
    let now = lives.clock.now();
    let token = |subject: &str| {
        let ends = now.plus(Duration::from_hours(1));
        lives.issuer.token(RESOURCE).subject(subject).issued_at(now).expires_at(ends).sign()
    };
    let kind = async |api: &ResourceServer, subject: &str| {
        present(api, &token(subject)).await.err().map(|refused| refused.kind())
    };
    let api = lives.start(3_600, 0).unwrap();
    let bob = Record::matching(ISSUER, Claims::subject("bob"), now);
    api.revocations().revoke(bob).await.unwrap();
    assert_eq!(kind(&api, "bob").await, Some(Kind::Revoked));
    assert_eq!(kind(&api, "ann").await, None);
    for _ in 0..100_000 {
        if api.revocations().records() == 0 {
            break;
        }
        lives.clock.advance(Duration::from_secs(30));
        settle().await;
    }
    drop(api);
    settle().await;
    lives.start(3_600, 300).unwrap_err();
    let api = lives.start(3_600, 0).unwrap();
    assert_eq!(api.revocations().records(), 0, "no token can be accepted that it is about");
    assert_eq!(kind(&api, "bob").await, Some(Kind::Expired));
}

/// A journal of before says the longest life alone. It is read as kept with the leeway of now: who changed
/// nothing starts, and a longer life is found out.
#[test]
fn a_journal_of_before_is_read_by_its_longest_life() {
    for (life, leeway, starts) in [(90, 10, true), (90, 200, true), (91, 10, false), (80, 10, true)]
    {
        let lives = Lives::new();
        drop(lives.start(90, 10).unwrap());
        {
            let meta = redb::TableDefinition::<&str, &[u8]>::new("meta");
            let file = redb::Database::open(lives.path()).unwrap();
            let write = file.begin_write().unwrap();
            write.open_table(meta).unwrap().remove("horizon").unwrap().unwrap();
            write.commit().unwrap();
        }
        assert_eq!(lives.start(life, leeway).is_ok(), starts, "{life} {leeway}");
        if starts {
            lives.start(life, leeway).unwrap();
            lives.start(life, leeway + 1).unwrap_err();
        }
    }
}
