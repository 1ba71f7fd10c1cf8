//! What the replay memory costs: a first use, a second use, and its octets for each entry.
//!
//! The floor is what no memory of proofs can do without: one keyed hash of 128 bits over the same
//! texts, and a `HashSet` of such hashes that is kept at a million by taking the oldest out of a
//! ring. It has no bound, no expiry, no shares and no lock. moka is given the same hash, a bound and
//! a time to live; it evicts what is alive when it is full, which a replay memory must not.
//!
//! Every row makes the entry first: a fresh `jti` in a buffer, and its times.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking, and prints what it measured"
)]

mod harness;
#[path = "harness/proofs.rs"]
mod proofs;

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::hint::black_box;

use harness::{Effort, Goal, Group, Summary, weigh};
use portcullis::sender::{MemoryReplayStore, Sighting, Used};
use proofs::{LIFE, Proofs};
use siphasher::sip128::{Hasher128 as _, SipHasher13};

fn main() {
    let effort = Effort::from_command_line();
    let mut summary = Summary::new(&effort);
    // What a cache of the machine holds, and what it does not.
    measure(&effort, &mut summary, 50_000, "50k");
    if !effort.quick {
        measure(&effort, &mut summary, 1_000_000, "1m");
    }
    summary.finish();
}

/// With so many entries alive, in a store whose capacity is the next power of two.
fn measure(effort: &Effort, summary: &mut Summary, alive: u64, name: &str) {
    let names = ["bytes", "insert", "repeat"].map(|what| format!("replay_{what}_{name}"));
    if !names.iter().any(|name| effort.wants(name)) {
        return;
    }
    let [bytes, insert, repeat] = names;
    let capacity = (alive as usize).next_power_of_two();
    let proofs = Proofs::new(alive);

    let (store, store_bytes) = weigh(|| {
        let store = MemoryReplayStore::with_capacity(capacity);
        (0..alive).for_each(|number| assert_eq!(proofs.record(&store, number), Sighting::First));
        store
    });
    let (mut set, set_bytes) = weigh(|| {
        let mut set = Floor::new(&proofs);
        (0..alive).for_each(|number| assert!(set.insert(hash(&proofs, number))));
        set
    });
    let (moka, moka_bytes) = weigh(|| {
        let moka = moka::sync::Cache::builder()
            .max_capacity(capacity as u64)
            .time_to_live(LIFE * 60)
            .build_with_hasher(Build::default());
        (0..alive).for_each(|number| moka.insert(hash(&proofs, number), ()));
        moka.run_pending_tasks();
        moka
    });

    if effort.wants(&bytes) {
        println!("\n### {bytes}\n\n| {alive} entries | bytes/entry |\n|---|--:|");
        for (name, bytes) in
            [("HashSet and ring", set_bytes), ("replay store", store_bytes), ("moka", moka_bytes)]
        {
            println!("| {name} | {:.1} |", bytes as f64 / alive as f64);
        }
        let most = if alive == 1_000_000 { 48.0 } else { 64.0 };
        let each = store_bytes as f64 / alive as f64;
        summary.counted(&bytes, each, "bytes/entry", Goal::at_most(most));
    }

    let mut next = [alive; 5];
    let [a, b, c, d, e] = &mut next;
    let fresh = |number: &mut u64| {
        *number += 1;
        *number
    };
    let rows = Group::new(&insert)
        .case("hash, HashSet and ring", || set.insert(hash(&proofs, fresh(a))))
        .case("making the entry", || proofs.with(fresh(b), |entry| black_box(entry).expires_at))
        .case("making and hashing it", || hash(&proofs, fresh(c)))
        .case(&insert, || proofs.record(&store, fresh(d)))
        .case("moka, evicting", || moka.entry(hash(&proofs, fresh(e))).or_insert(()).is_fresh())
        .run(effort);
    summary.row(&rows, &insert, Goal::none().allocations(0.01));

    // Any of the younger half of what the measurement above left.
    let [last_of_set, _, _, last_of_store, last_of_moka] = next;
    let mut dice = [1_u64; 4];
    let [a, b, c, d] = &mut dice;
    let old = |dice: &mut u64, last: u64| {
        *dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        last - (*dice >> 33) % (alive / 2)
    };
    let rows = Group::new(&repeat)
        .case("hash and HashSet", || set.holds(hash(&proofs, old(a, last_of_set))))
        .case("making and hashing the entry", || hash(&proofs, old(d, last_of_set)))
        .case(&repeat, || proofs.record_at(&store, old(b, last_of_store), last_of_store))
        .case("moka", || moka.contains_key(&hash(&proofs, old(c, last_of_moka))))
        .run(effort);
    summary.row(&rows, &repeat, Goal::none().allocations(0.01));
}

/// The last so many.
struct Floor {
    set: HashSet<u128, Build>,
    ring: VecDeque<u128>,
    most: usize,
}

impl Floor {
    fn new(proofs: &Proofs) -> Self {
        let most = (LIFE.as_nanos() / proofs.every.as_nanos()) as usize;
        let set = HashSet::with_capacity_and_hasher(most + 1, Build::default());
        Self { set, ring: VecDeque::with_capacity(most + 1), most }
    }

    fn insert(&mut self, hash: u128) -> bool {
        let first = self.set.insert(hash);
        if first {
            self.ring.push_back(hash);
        }
        if self.ring.len() > self.most {
            self.set.remove(&self.ring.pop_front().unwrap());
        }
        first
    }

    fn holds(&self, hash: u128) -> bool {
        self.set.contains(&hash)
    }
}

type Build = BuildHasherDefault<Halved>;

/// What is a hash already.
#[derive(Default)]
struct Halved(u64);

impl Hasher for Halved {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        panic!("hashes only");
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = (hash >> 64) as u64;
    }
}

/// The floor's hash of a proof.
fn hash(proofs: &Proofs, number: u64) -> u128 {
    proofs.with(number, |entry| {
        let Used::Proof { jkt, jti, htu } = entry.used else { panic!("a proof") };
        let mut hasher = SipHasher13::new_with_keys(1, 2);
        for text in [jkt.as_str(), jti, htu] {
            hasher.write_usize(text.len());
            hasher.write(text.as_bytes());
        }
        hasher.finish128().as_u128()
    })
}
