//! Mixed traffic at full load, while everything around the server changes: every decision is held against a
//! record of what should be, memory stays flat, and no task is left.
//!
//! 1. `PORTCULLIS_SOAK_SECONDS` says for how long (20 unless said otherwise), `PORTCULLIS_SOAK_SEED` what is
//!    chosen. That is all that real time is for: every clock that a decision sees is set by hand.
//! 2. Workers send ([`traffic`]), the conductor changes the world ([`conductor`], [`changes`]), and the
//!    record ([`record`]) knows for each token what is right.
//! 3. Each kind of traffic, each kind of change and each answer has to have come: it cannot pass empty.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it did"
)]

#[path = "../support/mod.rs"]
mod support;

#[path = "../differential/dice.rs"]
#[allow(dead_code, reason = "not every kind of choice is made here")]
mod dice;

#[path = "../feed/publisher.rs"]
#[allow(dead_code, reason = "not everything that a publisher can do wrong is done here")]
mod publisher;

mod changes;
mod conductor;
mod judge;
mod keys;
mod memory;
mod mint;
mod plans;
mod record;
mod traffic;
mod wire;
mod world;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use portcullis::RejectionKind as Kind;
use tokio::runtime::{Builder, Handle};
use tokio::task::{JoinSet, yield_now};

use crate::changes::Change;
use crate::conductor::Conductor;
use crate::dice::Dice;
use crate::judge::Counts;
use crate::memory::Memory;
use crate::traffic::Worker;
use crate::world::World;

const WORKERS: u64 = 48;
/// Tasks of a server with everything switched on, and what it asks at once.
const TASKS: usize = 48 + 32;

/// What has to have been sent.
const TRAFFIC: [&str; 14] = [
    "a known token",
    "an unknown token",
    "a certificate",
    "a forged proof",
    "a proof without a nonce",
    "a proof with a nonce",
    "a proof twice at once",
    "a fresh proof",
    "a replayed proof",
    "a token for one use",
    "the same again",
    "faster than its drop",
    "dropped",
    "no token",
];

/// What has to have come.
const ANSWERS: [Option<Kind>; 25] = [
    None,
    Some(Kind::NoCredentials),
    Some(Kind::UnsupportedScheme),
    Some(Kind::MalformedCredentials),
    Some(Kind::MalformedToken),
    Some(Kind::UnknownIssuer),
    Some(Kind::UnknownKey),
    Some(Kind::BadSignature),
    Some(Kind::Inactive),
    Some(Kind::IntrospectionUnavailable),
    Some(Kind::WrongAudience),
    Some(Kind::Expired),
    Some(Kind::IssuedInFuture),
    Some(Kind::BearerDowngrade),
    Some(Kind::ProofSignature),
    Some(Kind::NonceMissing),
    Some(Kind::ProofReplayed),
    Some(Kind::CertificateMissing),
    Some(Kind::OtherCertificate),
    Some(Kind::Revoked),
    Some(Kind::Suspended),
    Some(Kind::RevocationUnavailable),
    Some(Kind::InsufficientScope),
    Some(Kind::TokenUsed),
    Some(Kind::KeysUnavailable),
];

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |number| number.parse().unwrap())
}

/// AUTH-27, AUTH-28, AUTH-32, DPOP-17, INT-07, TSL-12, TSL-19, EVT-01, CAEP-02, JWS-38, API-03; attacks 9, 24, 27,
/// 28, 30, 31, 39, 41: no decision is wrong, memory is flat, no task is left.
#[test]
fn no_decision_is_wrong_and_nothing_grows() {
    let seconds = number("PORTCULLIS_SOAK_SECONDS", 20);
    let seed = number("PORTCULLIS_SOAK_SEED", 8);
    println!("PORTCULLIS_SOAK_SECONDS={seconds} PORTCULLIS_SOAK_SEED={seed}");
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let tasks = || runtime.metrics().num_alive_tasks();
    assert_eq!(tasks(), 0);
    let length = Duration::from_secs(seconds);
    let (counts, changes) = runtime.block_on(async {
        let soak = tokio::time::timeout(length + Duration::from_mins(2), soak(seed, length));
        soak.await.expect("it hangs")
    });
    told("sent", &counts.sent);
    told("changes", &changes);
    let answers = counts.answers.iter().map(|(kind, count)| {
        (kind.map_or_else(|| "passed".to_owned(), |kind| kind.to_string()), count)
    });
    told("answers", answers);
    println!("{} answers in {seconds} s", counts.all());

    // Nothing is left of it.
    let began = Instant::now();
    while tasks() > 0 {
        assert!(began.elapsed() < Duration::from_secs(30), "{} tasks are left", tasks());
        std::thread::yield_now();
    }
    for what in TRAFFIC {
        assert!(counts.sent.contains_key(what), "never sent: {what}");
    }
    for change in Change::ALL {
        assert!(changes.contains_key(change.name()), "never happened: {}", change.name());
    }
    assert!(changes.contains_key("without a barrier"));
    for answer in ANSWERS {
        assert!(counts.answers.contains_key(&answer), "never came: {answer:?}");
    }
}

fn told<N: ToString + Ord, C: ToString>(what: &str, counts: impl IntoIterator<Item = (N, C)>) {
    let sorted: BTreeMap<_, _> = counts.into_iter().collect();
    let all: Vec<String> = sorted
        .iter()
        .map(|(name, count)| format!("{} {}", name.to_string(), count.to_string()))
        .collect();
    println!("{what}: {}", all.join(", "));
}

async fn soak(seed: u64, length: Duration) -> (Counts, HashMap<&'static str, u64>) {
    let world = Arc::new(World::new());
    let mut conductor = Conductor::new(&world, Dice::of_part(seed, 0));
    conductor.begin().await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut workers = JoinSet::new();
    for part in 1..=WORKERS {
        let worker = Worker::new(&world, Dice::of_part(seed, part));
        workers.spawn(worker.work(Arc::clone(&stop)));
    }
    let began = Instant::now();
    let mut memory = Memory::of(length);
    let most_tasks = usize::try_from(WORKERS).unwrap() + TASKS;
    let rest = || {
        memory.look(began.elapsed());
        let tasks = Handle::current().metrics().num_alive_tasks();
        assert!(tasks <= most_tasks, "{tasks} tasks");
    };
    conductor.conduct(began + length, rest).await;
    stop.store(true, Ordering::Relaxed);
    let mut counts = Counts::default();
    while let Some(ended) = workers.join_next().await {
        counts.add(ended.unwrap());
    }
    let wrong = std::mem::take(&mut *world.wrong.lock().unwrap());
    assert!(
        wrong.is_empty(),
        "seed {seed}, {} wrong decisions:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert_eq!(world.api.replay_health().unwrap().store_full, 0);
    println!(
        "{} tokens made, {} questions, {} records, known: {:?}, first verifications: {:?}",
        world.made.load(Ordering::Relaxed),
        world.wire.questions(),
        world.api.revocations().records(),
        world.api.known_tokens_health(),
        world.api.first_verification_health().unwrap(),
    );
    let health = world.api.first_verification_health().unwrap();
    assert_eq!((health.under_way, health.waiting, health.turned_away), (0, 0, 0));
    memory.is_flat();
    let changes = std::mem::take(&mut conductor.counts);
    drop((conductor, world));
    yield_now().await;
    (counts, changes)
}
