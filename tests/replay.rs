//! What was used already, through the store's public interface.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test fails by panicking"
)]

#[path = "support/log.rs"]
mod log;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

use portcullis::name::{ClientId, IssuerId, JwtId, Thumbprint};
use portcullis::sender::{
    MemoryReplayStore, ReplayAnswer, ReplayEntry, ReplayError, ReplayErrorKind, ReplayStore,
    Sighting, Used,
};
use portcullis::testing::{ManualClock, TestAccess};
use portcullis::time::{Clock as _, Moment, Timestamp};
use proptest::prelude::*;

use self::log::Log;

const MINUTE: Duration = Duration::from_mins(1);
const SECOND: Duration = Duration::from_secs(1);
const HTU: &str = "https://rs.example/notes";

fn issuer() -> IssuerId {
    IssuerId::parse("https://as.example").unwrap()
}

fn client(name: &str) -> ClientId {
    TestAccess::new().client_id(name).build().client_id().unwrap().clone()
}

fn jwt_id(name: &str) -> JwtId {
    TestAccess::new().claim("jti", name).build().jwt_id().unwrap().clone()
}

fn key(number: u8) -> Thumbprint {
    Thumbprint::of_sha256(&[number; 32])
}

/// A proof of one client and one key, for a minute.
struct Proof {
    issuer: IssuerId,
    client: ClientId,
    key: Thumbprint,
    now: Moment,
    expires_at: Timestamp,
}

impl Proof {
    fn at(clock: &ManualClock) -> Self {
        let now = clock.moment();
        let expires_at = now.wall().plus(MINUTE);
        Self { issuer: issuer(), client: client("app"), key: key(1), now, expires_at }
    }

    fn of(self, name: &str) -> Self {
        Self { client: client(name), ..self }
    }

    fn expiring(self, expires_at: Timestamp) -> Self {
        Self { expires_at, ..self }
    }

    /// The same proof, presented later.
    fn now(&self, clock: &ManualClock) -> Self {
        let (issuer, client, key) = (self.issuer.clone(), self.client.clone(), self.key.clone());
        Self { issuer, client, key, now: clock.moment(), expires_at: self.expires_at }
    }

    fn entry<'a>(&'a self, jti: &'a str) -> ReplayEntry<'a> {
        self.entry_of(Used::Proof { jkt: &self.key, jti, htu: HTU })
    }

    fn entry_of<'a>(&'a self, used: Used<'a>) -> ReplayEntry<'a> {
        let (client, issued_at) = (Some(&self.client), self.expires_at.minus(MINUTE));
        ReplayEntry::new(&self.issuer, client, used, issued_at, self.expires_at, self.now)
    }

    fn record(&self, store: &impl ReplayStore, jti: &str) -> Result<Sighting, ReplayErrorKind> {
        record(store, &self.entry(jti)).map_err(|error| error.kind())
    }
}

fn record(
    store: &(impl ReplayStore + ?Sized),
    entry: &ReplayEntry<'_>,
) -> Result<Sighting, ReplayError> {
    match store.record(entry) {
        ReplayAnswer::Now(answer) => answer,
        other => panic!("{other:?}"),
    }
}

const FIRST: Result<Sighting, ReplayErrorKind> = Ok(Sighting::First);
const REPEATED: Result<Sighting, ReplayErrorKind> = Ok(Sighting::Repeated);
const EXPIRED: Result<Sighting, ReplayErrorKind> = Ok(Sighting::Expired);
const CLIENT_FULL: Result<Sighting, ReplayErrorKind> = Err(ReplayErrorKind::ClientFull);
const STORE_FULL: Result<Sighting, ReplayErrorKind> = Err(ReplayErrorKind::StoreFull);
const UNAVAILABLE: Result<Sighting, ReplayErrorKind> = Err(ReplayErrorKind::Unavailable);

/// DPOP-17, and attack 31: a `jti` belongs to a key and a target.
#[test]
fn a_proof_is_used_once_and_nobody_uses_up_anothers() {
    let store = MemoryReplayStore::new();
    let proof = Proof::at(&ManualClock::new());
    assert!(store.is_empty());
    assert_eq!(proof.record(&store, "one"), FIRST);
    assert!(!store.is_empty());
    assert_eq!(proof.record(&store, "one"), REPEATED);
    // Whoever sends it, and whoever issued the token: the proof is the same.
    let sent_by_another = Proof { client: client("thief"), ..proof.now(&ManualClock::new()) };
    assert_eq!(sent_by_another.record(&store, "one"), REPEATED);

    let (jkt, other) = (&proof.key, &key(2));
    for (name, used) in [
        ("another key", Used::Proof { jkt: other, jti: "one", htu: HTU }),
        ("another target", Used::Proof { jkt, jti: "one", htu: "https://rs.example/notes/1" }),
        ("another jti", Used::Proof { jkt, jti: "One", htu: HTU }),
        ("no jti", Used::Proof { jkt, jti: "", htu: HTU }),
        ("texts that meet elsewhere", Used::Proof { jkt, jti: "oneh", htu: &HTU[1..] }),
    ] {
        let entry = proof.entry_of(used);
        assert_eq!(record(&store, &entry), Ok(Sighting::First), "{name}");
        assert_eq!(record(&store, &entry), Ok(Sighting::Repeated), "{name}");
    }
    assert_eq!(store.len(), 6);
}

/// JWS-47: a token's `jti` belongs to its issuer, and no proof uses it up.
#[test]
fn a_token_is_used_once_for_each_issuer() {
    let store = MemoryReplayStore::new();
    let proof = Proof::at(&ManualClock::new());
    let (one, two) = (jwt_id("one"), jwt_id("two"));
    let other = IssuerId::parse("https://as.example/tenant").unwrap();
    let entry = |issuer, jti| {
        let used = Used::Token { jti };
        ReplayEntry::new(issuer, None, used, proof.now.wall(), proof.expires_at, proof.now)
    };
    assert_eq!(proof.record(&store, "one"), FIRST);
    for (issuer, jti) in [(&proof.issuer, &one), (&proof.issuer, &two), (&other, &one)] {
        assert_eq!(record(&store, &entry(issuer, jti)), Ok(Sighting::First), "{issuer} {jti}");
        assert_eq!(record(&store, &entry(issuer, jti)), Ok(Sighting::Repeated), "{issuer} {jti}");
    }
}

/// DPOP-18: a `jti` of a million octets is one entry, and all of it counts.
#[test]
fn a_jti_of_any_length_is_one_entry() {
    let store = MemoryReplayStore::with_capacity(4);
    let proof = Proof::at(&ManualClock::new());
    let long = "j".repeat(1 << 20);
    let longer = format!("{long}j");
    let other = format!("{}k", &long[1..]);
    for jti in [&long, &longer, &other] {
        assert_eq!(proof.entry(jti).digest().len(), 32);
        let store = MemoryReplayStore::with_capacity(4).client_share(4);
        for known in [&long, &longer, &other].into_iter().filter(|known| *known != jti) {
            assert_eq!(proof.record(&store, known), FIRST);
        }
        assert_eq!(proof.record(&store, jti), FIRST);
        assert_eq!(proof.record(&store, jti), REPEATED);
    }
    assert!(store.is_empty());
    assert!(!format!("{:?}", proof.entry(&long)).contains("jjj"));
}

/// DPOP-19: whatever its own age, it is remembered as long as its nonce can be accepted.
#[test]
fn a_proof_is_remembered_for_the_lifetime_of_its_nonce() {
    let clock = ManualClock::new();
    let store = MemoryReplayStore::new();
    let proof = Proof::at(&clock).expiring(clock.now().plus(10 * MINUTE));
    assert_eq!(proof.record(&store, "one"), FIRST);
    clock.advance(9 * MINUTE);
    assert_eq!(proof.now(&clock).record(&store, "one"), REPEATED);
    // The same nonce for another proof.
    assert_eq!(proof.now(&clock).record(&store, "two"), FIRST);
}

/// Attack 31: of a thousand at once, one is the first, whichever handle they have.
#[test]
fn one_of_a_thousand_at_once_is_the_first() {
    const THREADS: usize = 1_000;
    const PROOFS: usize = 8;
    let store = Arc::new(MemoryReplayStore::new());
    let shared: Arc<dyn ReplayStore> = store.clone();
    let (proof, start) = (Proof::at(&ManualClock::new()), Barrier::new(THREADS));
    let firsts = Mutex::new([0; PROOFS]);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (store, shared, proof, start, firsts) = (&store, &shared, &proof, &start, &firsts);
            scope.spawn(move || {
                start.wait();
                for number in 0..PROOFS {
                    let jti = format!("proof-{number}");
                    let answer = match thread % 2 {
                        0 => proof.record(store, &jti),
                        _ => proof.record(shared, &jti),
                    };
                    if answer == FIRST {
                        firsts.lock().unwrap()[number] += 1;
                    } else {
                        assert_eq!(answer, REPEATED);
                    }
                }
            });
        }
    });
    assert_eq!(firsts.into_inner().unwrap(), [1; PROOFS]);
    assert_eq!(store.health().repeated as usize, (THREADS - 1) * PROOFS);
}

/// Attack 31: a first use takes longer than a repeated one, so whoever is behind catches up, and they
/// meet at one proof again and again. A store that looks first and writes afterwards fails here.
#[test]
fn threads_that_race_through_the_same_proofs_are_first_once_each() {
    const THREADS: usize = 4;
    const PROOFS: usize = 100_000;
    let jtis: Vec<_> = (0..PROOFS).map(|number| format!("proof-{number}")).collect();
    let store = MemoryReplayStore::with_capacity(2 * PROOFS).client_share(2 * PROOFS);
    let (proof, start) = (Proof::at(&ManualClock::new()), Barrier::new(THREADS));
    let race = || {
        start.wait();
        let first = |jti: &&String| proof.record(&store, jti) == FIRST;
        jtis.iter().filter(first).collect::<Vec<_>>()
    };
    let mut firsts: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(race)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    firsts.sort_unstable();
    let mut once: Vec<_> = jtis.iter().collect();
    once.sort_unstable();
    assert!(firsts == once, "{} were first, of {PROOFS}", firsts.len());
}

/// Attack 30, CVE-2026-41707: a flood pushes out nothing, its own or others'.
#[test]
fn a_flood_fills_the_share_of_its_client_and_nothing_else() {
    for (capacity, share) in [(1_000, 125), (16_384, 4_096)] {
        let clock = ManualClock::new();
        let store = MemoryReplayStore::with_capacity(capacity).client_share(share);
        let (flood, calm) = (Proof::at(&clock).of("flood"), Proof::at(&clock).of("calm"));
        assert_eq!(calm.record(&store, "before"), FIRST);
        let jtis: Vec<_> = (0..2 * capacity).map(|number| format!("flood-{number}")).collect();
        let taken: Vec<_> = jtis.iter().filter(|jti| flood.record(&store, jti) == FIRST).collect();
        // Nobody is refused below its share.
        assert!(jtis[..share].iter().eq(taken[..share].iter().copied()));
        // It has 4 parts of 1 024 and 6 · 32 + 8 each, or one of 125.
        let most = if capacity < 8_192 { share } else { share + 4 * (6 * 32 + 8) };
        assert!(taken.len() <= most, "{} of {share}", taken.len());
        assert_eq!(flood.record(&store, "another"), CLIENT_FULL);
        assert_eq!(store.health().fullest_share_percent, 100);
        assert!(store.health().client_full as usize >= 2 * capacity - most);

        for number in 1..share {
            assert_eq!(calm.record(&store, &format!("calm-{number}")), FIRST);
        }
        assert_eq!(calm.record(&store, "before"), REPEATED);
        for jti in &taken {
            assert_eq!(flood.record(&store, jti), REPEATED, "{jti}");
        }
        assert_eq!(store.len(), taken.len() + share);
    }
}

/// Attack 30: the same issuer's clients, tokens without a client, and another issuer's client of
/// the same name have a share each.
#[test]
fn a_share_is_a_clients_of_its_issuer() {
    let store = MemoryReplayStore::with_capacity(100).client_share(10);
    let proof = Proof::at(&ManualClock::new());
    let (issuer, other) = (issuer(), IssuerId::parse("https://other.example").unwrap());
    let (app, web) = (client("app"), client("web"));
    let owners =
        [(&issuer, Some(&app)), (&issuer, Some(&web)), (&other, Some(&app)), (&issuer, None)];
    for (owner, (issuer, client)) in owners.into_iter().enumerate() {
        for number in 0..11 {
            let jti = format!("{owner}-{number}");
            let used = Used::Proof { jkt: &proof.key, jti: &jti, htu: HTU };
            let (iat, exp, now) = (proof.now.wall(), proof.expires_at, proof.now);
            let entry = ReplayEntry::new(issuer, client, used, iat, exp, now);
            let answer = record(&store, &entry).map_err(|error| error.kind());
            assert_eq!(answer, if number < 10 { FIRST } else { CLIENT_FULL }, "{jti}");
        }
    }
}

/// Attack 30: a user who floods shuts out itself, not the others of its client.
#[test]
fn a_users_flood_leaves_room_for_the_other_users_of_its_client() {
    // One part, so that the numbers are exact: a subject has 1 024 of its client's 8 000.
    let store = MemoryReplayStore::with_capacity(8_191).client_share(8_000);
    let proof = Proof::at(&ManualClock::new());
    let subject = |name| TestAccess::new().subject(name).build().subject().clone();
    let (mallory, alice) = (subject("mallory"), subject("alice"));
    let by = |subject, jti: &str| {
        record(&store, &proof.entry(jti).of_subject(subject)).map_err(|error| error.kind())
    };
    for number in 0..1_024 {
        assert_eq!(by(&mallory, &format!("flood-{number}")), FIRST);
    }
    let refused = Err(ReplayErrorKind::SubjectFull);
    assert_eq!(by(&mallory, "one"), refused);
    assert_eq!(by(&alice, "one"), FIRST);
    assert_eq!(proof.record(&store, "two"), FIRST, "the client for itself");
    assert_eq!((by(&mallory, "three"), store.health().subject_full), (refused, 2));
    for number in 0..1_024 {
        assert_eq!(by(&mallory, &format!("flood-{number}")), REPEATED);
    }
}

/// Attack 30: the users of a client have its share together, however many they are; each has a sixteenth of
/// one that is large.
#[test]
fn the_users_of_a_client_have_its_share_together() {
    let proof = Proof::at(&ManualClock::new());
    let subject = |name: &str| TestAccess::new().subject(name).build().subject().clone();
    let by = |store: &MemoryReplayStore, proof: &Proof, user: &str, jti: &str| {
        let subject = subject(user);
        record(store, &proof.entry(jti).of_subject(&subject)).map_err(|error| error.kind())
    };
    let store = MemoryReplayStore::with_capacity(4_000).client_share(64);
    for number in 0..64 {
        let name = number.to_string();
        assert_eq!(by(&store, &proof, &name, &name), FIRST);
    }
    assert_eq!(by(&store, &proof, "one more", "one more"), CLIENT_FULL);
    let other = Proof::at(&ManualClock::new()).of("other");
    assert_eq!(by(&store, &other, "one more", "another"), FIRST, "another client");

    let store = MemoryReplayStore::with_capacity(1 << 18).client_share(1 << 18);
    let alice = subject("alice");
    let fits = |number: &usize| {
        let jti = number.to_string();
        record(&store, &proof.entry(&jti).of_subject(&alice)).is_ok()
    };
    let filled = (0..60_000).take_while(fits).count();
    // 64 parts of 256 and 6 · 16 + 8 each, at most.
    assert!((16_384..=64 * 360).contains(&filled), "{filled}");
}

/// Attack 30: a full store says so, and room comes back when something ends and no sooner.
#[test]
fn room_comes_back_when_entries_end() {
    let clock = ManualClock::new();
    let store = MemoryReplayStore::with_capacity(16).client_share(8);
    let start = Proof::at(&clock);
    for number in 0..8 {
        assert_eq!(start.record(&store, &format!("early-{number}")), FIRST);
    }
    clock.advance(20 * SECOND);
    let late = Proof::at(&clock).of("late");
    for number in 0..8 {
        assert_eq!(late.record(&store, &format!("late-{number}")), FIRST);
    }
    let third = |clock: &ManualClock| Proof::at(clock).of("third");
    assert_eq!(third(&clock).record(&store, "three"), STORE_FULL);
    let refused = |clock: &ManualClock, name: &str| {
        let proof = Proof::at(clock).of(name);
        record(&store, &proof.entry("more")).unwrap_err().retry_after_time()
    };
    assert_eq!(refused(&clock, "third"), 40 * SECOND);
    assert_eq!(refused(&clock, "late"), 60 * SECOND);
    assert_eq!(refused(&clock, "app"), 40 * SECOND);

    clock.advance(39 * SECOND);
    assert_eq!(third(&clock).record(&store, "three"), STORE_FULL);
    assert_eq!(refused(&clock, "third"), SECOND);
    clock.advance(SECOND);
    // What was refused left no trace, and can be used now (DPOP-41).
    for number in 0..8 {
        assert_eq!(third(&clock).record(&store, &format!("third-{number}")), FIRST);
    }
    assert_eq!(Proof::at(&clock).of("fourth").record(&store, "three"), STORE_FULL);
    for number in 0..8 {
        assert_eq!(late.now(&clock).record(&store, &format!("late-{number}")), REPEATED);
    }
    clock.advance(20 * SECOND);
    assert_eq!(Proof::at(&clock).of("fourth").record(&store, "three"), FIRST);
    let health = store.health();
    assert_eq!((health.capacity, health.client_share), (16, 8));
    assert!(health.store_full >= 4 && health.client_full >= 1 && health.forgotten == 0);
}

/// DPOP-17: to the tick.
#[test]
fn an_entry_lives_until_it_cannot_be_accepted() {
    let tick = Duration::from_nanos(1);
    for (name, life, fraction) in [
        ("whole seconds", MINUTE, Duration::ZERO),
        ("a fraction of a second", Duration::from_millis(300), Duration::from_millis(900)),
        ("a tick", tick, Duration::ZERO),
    ] {
        let clock = ManualClock::new();
        clock.advance(fraction);
        // One slot, so that nothing else is recorded while it lives.
        let store = MemoryReplayStore::with_capacity(1);
        let proof = Proof::at(&clock).expiring(clock.now().plus(life));
        assert_eq!(proof.record(&store, "one"), FIRST, "{name}");
        clock.advance(life - tick);
        assert_eq!(proof.now(&clock).record(&store, "one"), REPEATED, "{name}");
        assert_eq!(Proof::at(&clock).record(&store, "other"), CLIENT_FULL, "{name}");
        clock.advance(tick);
        assert_eq!(proof.now(&clock).record(&store, "one"), EXPIRED, "{name}");
        // Rounded up to whole seconds, by both clocks.
        clock.advance(2 * SECOND);
        assert_eq!(Proof::at(&clock).record(&store, "other"), FIRST, "{name}");
        // The same `jti` in a new proof.
        let store = MemoryReplayStore::with_capacity(1);
        assert_eq!(Proof::at(&clock).record(&store, "one"), FIRST, "{name}");
        clock.advance(MINUTE + SECOND);
        assert_eq!(Proof::at(&clock).record(&store, "one"), FIRST, "{name}");
    }
}

/// DPOP-17: what cannot be accepted any more is no first use, and takes no room.
#[test]
fn what_is_over_is_not_recorded() {
    let clock = ManualClock::new();
    let store = MemoryReplayStore::with_capacity(1);
    for age in [Duration::ZERO, SECOND, Duration::from_hours(1)] {
        let proof = Proof::at(&clock).expiring(clock.now().minus(age));
        assert_eq!(proof.record(&store, "one"), EXPIRED, "{age:?}");
    }
    assert!(store.is_empty());
    assert_eq!(Proof::at(&clock).record(&store, "one"), FIRST);
}

/// DPOP-17: a clock that jumps does not make anything forgotten.
#[test]
fn a_clock_that_jumps_ahead_and_comes_back_lets_no_replay_pass() {
    let clock = ManualClock::new();
    let store = MemoryReplayStore::with_capacity(64);
    let (start, proof) = (clock.now(), Proof::at(&clock));
    assert_eq!(proof.record(&store, "one"), FIRST);
    clock.set(start.plus(Duration::from_hours(1)));
    for number in 0..8 {
        let jti = format!("ahead-{number}");
        let expected = if number < 7 { FIRST } else { CLIENT_FULL };
        assert_eq!(Proof::at(&clock).record(&store, &jti), expected);
    }
    // Sixty seconds on the steady clock, too: now it is dropped, and is no first use either.
    clock.set(start.plus(SECOND));
    assert_eq!(proof.now(&clock).record(&store, "one"), REPEATED);
    clock.set(start.plus(Duration::from_hours(1)));
    clock.advance(30 * SECOND);
    clock.set(start.plus(31 * SECOND));
    assert_eq!(proof.now(&clock).record(&store, "one"), REPEATED);
}

/// DPOP-17: what was dropped, and comes back with a clock that is set back, cannot be told.
#[test]
fn a_clock_that_is_set_back_over_what_was_dropped_is_no_first_use() {
    let clock = ManualClock::new();
    let store = MemoryReplayStore::with_capacity(64);
    let (start, proof) = (clock.now(), Proof::at(&clock));
    assert_eq!(proof.record(&store, "one"), FIRST);
    clock.advance(MINUTE);
    // Its place is looked at, and it is dropped.
    for number in 0..7 {
        assert_eq!(Proof::at(&clock).record(&store, &format!("later-{number}")), FIRST);
    }
    let refused = Proof::at(&clock).record(&store, "later-7");
    assert_eq!((refused, store.len()), (FIRST, 8));

    let log = Log::start();
    clock.set(start);
    for _ in 0..3 {
        assert_eq!(proof.now(&clock).record(&store, "one"), UNAVAILABLE);
    }
    // Nor can anything else that ends then, first or not; it leaves no trace.
    assert_eq!(Proof::at(&clock).of("web").record(&store, "two"), UNAVAILABLE);
    let text = log.take();
    assert_eq!(text.matches("WARN").count(), 1, "{text}");
    assert_eq!(store.health().forgotten, 4);
    let other = MemoryReplayStore::new();
    assert_eq!(Proof::at(&clock).record(&other, "one"), FIRST, "a store that dropped nothing");

    // What is remembered is told.
    let later = Proof::at(&clock).expiring(start.plus(2 * MINUTE));
    assert_eq!(later.record(&store, "later-0"), REPEATED);
    // Before and after what was dropped, everything can be told.
    clock.set(start.minus(Duration::from_hours(1)));
    assert_eq!(Proof::at(&clock).of("web").record(&store, "before"), FIRST);
    clock.set(start.plus(SECOND));
    assert_eq!(Proof::at(&clock).of("web").record(&store, "two"), FIRST);
    assert_eq!(proof.now(&clock).record(&store, "one"), UNAVAILABLE);
}

/// Attack 30: the numbers that were asked for are the numbers that fit, and never much more.
#[test]
fn capacities_and_shares_are_kept() {
    let fill = |store: &MemoryReplayStore, entries: usize| {
        let proof = Proof::at(&ManualClock::new());
        (0..entries).take_while(|number| proof.record(store, &number.to_string()) == FIRST).count()
    };
    let health = MemoryReplayStore::default().health();
    assert_eq!((health.capacity, health.client_share), (1 << 20, 1 << 17));
    assert!(include_str!("../README.md").contains("has room for 2^20 of them, an eighth for"));
    for (capacity, share) in [(1, 1), (7, 1), (16, 2), (8_191, 1_023)] {
        let store = MemoryReplayStore::with_capacity(capacity);
        assert_eq!(store.health().client_share, share);
        assert_eq!(fill(&store, 2 * capacity), share, "{capacity}");
        let store = MemoryReplayStore::with_capacity(capacity).client_share(usize::MAX);
        assert_eq!(fill(&store, 2 * capacity), capacity);
    }
    assert_eq!(fill(&MemoryReplayStore::with_capacity(0), 9), 1);
    assert_eq!(fill(&MemoryReplayStore::with_capacity(9).client_share(0), 9), 1);
    let store = MemoryReplayStore::with_capacity(32_768).client_share(32_768);
    let filled = fill(&store, 65_536);
    // Eight parts of 4 096 and 6 · 64 + 8 each.
    assert!((32_768..=32_768 + 8 * 392).contains(&filled), "{filled}");
}

/// What a store of one's own says is what is shown of it.
#[test]
fn an_error_of_a_store_says_what_it_was_made_of() {
    let error = ReplayError::new(ReplayErrorKind::Unavailable, "no connection");
    assert_eq!(error.kind(), ReplayErrorKind::Unavailable);
    assert_eq!(error.reason(), "no connection");
    let labels: Vec<_> = ReplayErrorKind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(labels, ["client_full", "subject_full", "store_full", "unavailable"]);
}

/// A store on another machine: it needs the entry's digest, and answers later.
#[derive(Clone, Default)]
struct Elsewhere(Arc<Mutex<HashSet<[u8; 32]>>>);

impl ReplayStore for Elsewhere {
    fn record(&self, entry: &ReplayEntry<'_>) -> ReplayAnswer {
        let (store, digest) = (self.clone(), entry.digest());
        ReplayAnswer::Later(Box::pin(async move {
            tokio::task::yield_now().await;
            match store.0.lock().unwrap().insert(digest) {
                true => Ok(Sighting::First),
                false => Ok(Sighting::Repeated),
            }
        }))
    }
}

/// DPOP-17, attack 31: through two handles of a store that answers later.
#[tokio::test]
async fn a_store_may_answer_later_and_be_dropped_before() {
    let stores: [Arc<dyn ReplayStore>; 2] = {
        let store = Elsewhere::default();
        [Arc::new(store.clone()), Arc::new(store)]
    };
    let proof = Proof::at(&ManualClock::new());
    let ask = |number: usize, jti: &str| match stores[number % 2].record(&proof.entry(jti)) {
        ReplayAnswer::Later(answer) => answer,
        other => panic!("{other:?}"),
    };
    drop(ask(0, "one"));
    let mut answers = tokio::task::JoinSet::new();
    for number in 0..1_000 {
        answers.spawn(ask(number, "one"));
    }
    let answers = answers.join_all().await;
    let count = |wanted| answers.iter().filter(|answer| **answer == Ok(wanted)).count();
    assert_eq!((count(Sighting::First), count(Sighting::Repeated)), (1, 999));
    assert_eq!(ask(1, "two").await, Ok(Sighting::First));
}

/// What may happen to a store.
#[derive(Clone, Debug)]
enum Step {
    /// A new proof of a client and a key, that may have the `jti` of an older one.
    New { client: usize, key: u8, jti: u8, life: u64 },
    /// One that was seen, as it was.
    Replay(prop::sample::Index),
    /// New ones of one client.
    Flood { client: usize, entries: u8 },
    /// Both clocks go on.
    Advance(u64),
    /// The time of day is set ahead.
    Ahead(u64),
    /// The time of day is set back.
    Back(u64),
}

fn steps(jumps: bool) -> impl Strategy<Value = Vec<Step>> {
    let jump = u32::from(jumps);
    let step = prop_oneof![
        6 => (0..CLIENTS, 0_u8..2, 0_u8..6, 1_u64..90_000).prop_map(|(client, key, jti, life)| {
            Step::New { client, key, jti, life }
        }),
        6 => any::<prop::sample::Index>().prop_map(Step::Replay),
        2 => (0..CLIENTS, 1_u8..20).prop_map(|(client, entries)| Step::Flood { client, entries }),
        5 => (0_u64..40_000).prop_map(Step::Advance),
        jump => (0_u64..400_000).prop_map(Step::Ahead),
        jump => (0_u64..400_000).prop_map(Step::Back),
    ];
    proptest::collection::vec(step, 1..150)
}

const CLIENTS: usize = 4;

/// Keeps everything for ever, and looks at all of it.
struct Naive {
    clients: Vec<ClientId>,
    keys: Vec<Thumbprint>,
    now: Moment,
    flooded: usize,
    /// What was recorded, and when.
    seen: Vec<Seen>,
    by_identity: HashMap<(u8, String), Vec<usize>>,
    set_back: bool,
}

#[derive(Clone, Debug, PartialEq)]
struct Presented {
    client: usize,
    key: u8,
    jti: String,
    expires_at: Timestamp,
}

#[derive(Clone, Debug)]
struct Seen {
    what: Presented,
    at: Moment,
    /// Whether there was a time when both clocks had come to its end.
    was_over: bool,
}

impl Naive {
    fn new(start: Moment) -> Self {
        Self {
            clients: (0..CLIENTS).map(|number| client(&format!("client-{number}"))).collect(),
            keys: (0..2).map(key).collect(),
            now: start,
            flooded: 0,
            seen: Vec::new(),
            by_identity: HashMap::new(),
            set_back: false,
        }
    }

    fn present(
        &self,
        store: &MemoryReplayStore,
        what: &Presented,
    ) -> Result<Sighting, ReplayError> {
        let used = Used::Proof { jkt: &self.keys[usize::from(what.key)], jti: &what.jti, htu: HTU };
        let client = Some(&self.clients[what.client]);
        let issued_at = self.now.wall();
        let issuer = issuer();
        let entry = ReplayEntry::new(&issuer, client, used, issued_at, what.expires_at, self.now);
        record(store, &entry)
    }

    /// Whether both clocks have come to its end.
    fn is_over(&self, seen: &Seen) -> bool {
        let (expires_at, at) = (seen.what.expires_at, seen.at);
        let life = expires_at.since(at.wall()).unwrap();
        self.now.wall() >= expires_at && self.now.steady() >= at.steady() + life
    }

    fn same(&self, what: &Presented) -> impl Iterator<Item = &Seen> {
        let same = self.by_identity.get(&(what.key, what.jti.clone()));
        same.into_iter().flatten().map(|at| &self.seen[*at])
    }

    fn alive(&self, client: Option<usize>) -> usize {
        let whose = |what: &Presented| client.is_none_or(|client| client == what.client);
        self.seen.iter().filter(|seen| whose(&seen.what) && !self.is_over(seen)).count()
    }

    fn remember(&mut self, what: Presented) {
        let identity = (what.key, what.jti.clone());
        self.by_identity.entry(identity).or_default().push(self.seen.len());
        self.seen.push(Seen { what, at: self.now, was_over: false });
    }

    /// What the store has to answer where all times are whole seconds and no clock is set back.
    fn predict(&self, what: &Presented, most: Most) -> Result<Sighting, ReplayErrorKind> {
        if what.expires_at <= self.now.wall() {
            EXPIRED
        } else if self.same(what).any(|seen| !self.is_over(seen)) {
            REPEATED
        } else if self.alive(Some(what.client)) >= most.of_one {
            CLIENT_FULL
        } else if self.alive(None) >= most.of_all {
            STORE_FULL
        } else {
            FIRST
        }
    }

    /// Everything that the step presents.
    fn step(&mut self, step: Step) -> Vec<Presented> {
        let millis = Duration::from_millis;
        let (wall, steady) = (self.now.wall(), self.now.steady());
        match step {
            Step::New { client, key, jti, life } => {
                let expires_at = wall.plus(millis(life));
                vec![Presented { client, key, jti: format!("jti-{jti}"), expires_at }]
            }
            Step::Replay(_) if self.seen.is_empty() => Vec::new(),
            Step::Replay(which) => vec![which.get(&self.seen).what.clone()],
            Step::Flood { client, entries } => {
                let from = self.flooded;
                self.flooded += usize::from(entries);
                let expires_at = wall.plus(MINUTE);
                let flood = |number| {
                    let jti = format!("flood-{number}");
                    Presented { client, key: 0, jti, expires_at }
                };
                (from..self.flooded).map(flood).collect()
            }
            Step::Advance(time) => self.pass(wall.plus(millis(time)), steady + millis(time)),
            Step::Ahead(time) => self.pass(wall.plus(millis(time)), steady),
            Step::Back(time) => {
                self.set_back = true;
                self.pass(wall.minus(millis(time)), steady)
            }
        }
    }

    fn pass(&mut self, wall: Timestamp, steady: Duration) -> Vec<Presented> {
        self.now = Moment::new(wall, steady);
        let over: Vec<_> = self.seen.iter().map(|seen| self.is_over(seen)).collect();
        for (seen, over) in self.seen.iter_mut().zip(over) {
            seen.was_over |= over;
        }
        Vec::new()
    }
}

#[derive(Clone, Copy)]
struct Most {
    of_one: usize,
    of_all: usize,
}

/// Times of a step in whole seconds.
fn whole(step: Step) -> Step {
    let whole = |time: u64| time.div_ceil(1_000) * 1_000;
    match step {
        Step::New { client, key, jti, life } => Step::New { client, key, jti, life: whole(life) },
        Step::Advance(time) => Step::Advance(whole(time)),
        Step::Ahead(time) => Step::Ahead(whole(time)),
        Step::Back(time) => Step::Back(whole(time)),
        other => other,
    }
}

fn start(millis: u64) -> Moment {
    let fraction = Duration::from_millis(millis);
    Moment::new(Timestamp::from_secs(1_800_000_000).plus(fraction), 7 * SECOND + fraction / 3)
}

proptest! {
    // The store's key is random: a run does not repeat itself.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// DPOP-17, attacks 30 and 31: whatever happens to it and to the clocks, a replay is no first
    /// use, and what was never used is not called repeated.
    #[test]
    fn no_replay_passes_whatever_the_clocks_do(
        steps in steps(true),
        millis in 0_u64..1_000,
        of_all in 1_usize..64,
    ) {
        let of_one = (of_all / 3).max(1);
        let store = MemoryReplayStore::with_capacity(of_all).client_share(of_one);
        let mut naive = Naive::new(start(millis));
        for step in steps {
            for what in naive.step(step) {
                let answer = naive.present(&store, &what);
                match answer.as_ref().map_err(ReplayError::kind) {
                    Ok(Sighting::First) => {
                        let end = what.expires_at;
                        prop_assert!(end > naive.now.wall());
                        // The same proof; or its `jti` in another, while this one was never over.
                        let again =
                            |seen: &Seen| seen.what.expires_at == end || !seen.was_over;
                        prop_assert!(!naive.same(&what).any(again), "{what:?} passed again");
                        naive.remember(what);
                    }
                    Ok(Sighting::Repeated) => {
                        prop_assert!(naive.same(&what).next().is_some(), "{what:?} is new");
                    }
                    Ok(Sighting::Expired) => prop_assert!(what.expires_at <= naive.now.wall()),
                    // By as much as ends are rounded, entries may be alive that are over.
                    Err(ReplayErrorKind::ClientFull) => {
                        let of_client = |seen: &&Seen| seen.what.client == what.client;
                        prop_assert!(naive.seen.iter().filter(of_client).count() >= of_one);
                    }
                    Err(ReplayErrorKind::StoreFull) => prop_assert!(naive.seen.len() >= of_all),
                    Err(ReplayErrorKind::Unavailable) => {
                        // As late as something that was over, and the clock was set back.
                        let late = |seen: &Seen| {
                            seen.was_over && seen.what.expires_at.plus(SECOND) > what.expires_at
                        };
                        prop_assert!(naive.set_back && naive.seen.iter().any(late));
                    }
                    other => prop_assert!(false, "{other:?}"),
                }
                prop_assert!(store.len() <= of_all);
            }
        }
    }

    /// DPOP-17, attack 30: without clocks that are set back, the store answers as if it kept
    /// everything for ever and looked at all of it.
    #[test]
    fn it_answers_as_a_memory_of_everything_does(
        steps in steps(false),
        of_all in 1_usize..64,
    ) {
        for most in [
            Most { of_one: (of_all / 3).max(1), of_all },
            // Two parts, and never full.
            Most { of_one: 9_000, of_all: 9_000 },
        ] {
            let store =
                MemoryReplayStore::with_capacity(most.of_all).client_share(most.of_one);
            let mut naive = Naive::new(start(0));
            for step in steps.iter().cloned().map(whole) {
                for what in naive.step(step) {
                    let expected = naive.predict(&what, most);
                    let answer = naive.present(&store, &what);
                    if let Err(error) = &answer {
                        let wait = error.retry_after_time();
                        prop_assert!(wait >= SECOND && wait <= 90 * SECOND, "{wait:?}");
                    }
                    prop_assert_eq!(answer.map_err(|error| error.kind()), expected, "{:?}", &what);
                    if expected == FIRST {
                        naive.remember(what);
                    }
                }
            }
        }
    }

    /// DPOP-17: clocks set ahead forget nothing either, to the second.
    #[test]
    fn clocks_that_are_set_ahead_change_no_answer(
        steps in steps(true),
        of_all in 1_usize..64,
    ) {
        let most = Most { of_one: (of_all / 3).max(1), of_all };
        let store = MemoryReplayStore::with_capacity(most.of_all).client_share(most.of_one);
        let mut naive = Naive::new(start(0));
        for step in steps.into_iter().map(whole).filter(|step| !matches!(step, Step::Back(_))) {
            for what in naive.step(step) {
                let expected = naive.predict(&what, most);
                let answer = naive.present(&store, &what).map_err(|error| error.kind());
                prop_assert_eq!(answer, expected, "{:?}", &what);
                if expected == FIRST {
                    naive.remember(what);
                }
            }
        }
    }
}
