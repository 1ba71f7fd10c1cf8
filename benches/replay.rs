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

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::hint::black_box;
use std::time::Duration;

use harness::{Effort, Group, weigh};
use portcullis::name::{ClientId, IssuerId, Thumbprint};
use portcullis::sender::{
    MemoryReplayStore, ReplayAnswer, ReplayEntry, ReplayStore as _, Sighting, Used,
};
use portcullis::testing::TestAccess;
use portcullis::time::{Moment, Timestamp};
use siphasher::sip128::{Hasher128 as _, SipHasher13};

const HTU: &str = "https://api.example.com/v1/notes/42";
const LIFE: Duration = Duration::from_mins(1);

fn main() {
    let effort = Effort::from_command_line();
    // What a cache of the machine holds, and what it does not.
    measure(&effort, 50_000, "50k");
    if !effort.quick {
        measure(&effort, 1_000_000, "1m");
    }
}

/// With so many entries alive, in a store whose capacity is the next power of two.
fn measure(effort: &Effort, alive: u64, name: &str) {
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
        (0..alive).for_each(|number| assert!(set.insert(proofs.hash(number))));
        set
    });
    let (moka, moka_bytes) = weigh(|| {
        let moka = moka::sync::Cache::builder()
            .max_capacity(capacity as u64)
            .time_to_live(LIFE * 60)
            .build_with_hasher(Build::default());
        (0..alive).for_each(|number| moka.insert(proofs.hash(number), ()));
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
        let most = if alive == 1_000_000 { 48 } else { 64 };
        assert!(store_bytes <= most * alive as usize, "{store_bytes} bytes");
    }

    let mut next = [alive; 5];
    let [a, b, c, d, e] = &mut next;
    let fresh = |number: &mut u64| {
        *number += 1;
        *number
    };
    let rows = Group::new(insert)
        .case("floor: hash, HashSet and ring", || set.insert(proofs.hash(fresh(a))))
        .case("making the entry", || proofs.with(fresh(b), |entry| black_box(entry).expires_at))
        .case("making and hashing it", || proofs.hash(fresh(c)))
        .case("replay store, first use", || proofs.record(&store, fresh(d)))
        .case("moka, evicting", || moka.entry(proofs.hash(fresh(e))).or_insert(()).is_fresh())
        .run(effort);
    for row in rows.iter().filter(|row| row.name.starts_with("replay store")) {
        assert!(row.allocations < 0.01, "{} allocations", row.allocations);
    }

    // Any of the younger half of what the measurement above left.
    let [last_of_set, _, _, last_of_store, last_of_moka] = next;
    let mut dice = [1_u64; 4];
    let [a, b, c, d] = &mut dice;
    let old = |dice: &mut u64, last: u64| {
        *dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        last - (*dice >> 33) % (alive / 2)
    };
    Group::new(repeat)
        .case("floor: hash and HashSet", || set.holds(proofs.hash(old(a, last_of_set))))
        .case("making and hashing the entry", || proofs.hash(old(d, last_of_set)))
        .case("replay store, second use", || {
            proofs.record_at(&store, old(b, last_of_store), last_of_store)
        })
        .case("moka", || moka.contains_key(&proofs.hash(old(c, last_of_moka))))
        .run(effort);
}

/// Proofs of a thousand clients, each alive for a minute; so many arrive in one.
struct Proofs {
    issuer: IssuerId,
    clients: Vec<ClientId>,
    keys: Vec<Thumbprint>,
    start: Moment,
    every: Duration,
}

impl Proofs {
    fn new(a_minute: u64) -> Self {
        let client = |number: u32| {
            let name = format!("client-{number:08}");
            TestAccess::new().client_id(&name).build().client_id().unwrap().clone()
        };
        Self {
            issuer: IssuerId::parse("https://login.example.com/tenant").unwrap(),
            clients: (0..1_000).map(client).collect(),
            keys: (0..250).map(|number| Thumbprint::of_sha256(&[number; 32])).collect(),
            start: Moment::new(Timestamp::from_secs(1_800_000_000), Duration::from_secs(100)),
            every: LIFE / a_minute as u32,
        }
    }

    fn moment(&self, number: u64) -> Moment {
        let passed = Duration::from_nanos(self.every.as_nanos() as u64 * number);
        Moment::new(self.start.wall().plus(passed), self.start.steady() + passed)
    }

    /// The proof of this number, presented when its time has come.
    fn with<T>(&self, number: u64, then: impl FnOnce(&ReplayEntry<'_>) -> T) -> T {
        self.with_at(number, number, then)
    }

    fn with_at<T>(&self, number: u64, at: u64, then: impl FnOnce(&ReplayEntry<'_>) -> T) -> T {
        // 22 characters: 128 bits in base64url.
        let mut jti = *b"0000000000000000e1j3V_";
        let mut rest = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for octet in &mut jti[..16] {
            *octet = b"ABCDEFGHIJKLMNOP"[(rest & 15) as usize];
            rest >>= 4;
        }
        let key = &self.keys[(number % 250) as usize];
        let used = Used::Proof { jkt: key, jti: str::from_utf8(&jti).unwrap(), htu: HTU };
        let client = Some(&self.clients[(number % 1_000) as usize]);
        let issued_at = self.moment(number).wall();
        let expires_at = issued_at.plus(LIFE);
        let now = self.moment(at);
        then(&ReplayEntry::new(&self.issuer, client, used, issued_at, expires_at, now))
    }

    fn record(&self, store: &MemoryReplayStore, number: u64) -> Sighting {
        self.record_at(store, number, number)
    }

    fn record_at(&self, store: &MemoryReplayStore, number: u64, at: u64) -> Sighting {
        self.with_at(number, at, |entry| match store.record(entry) {
            ReplayAnswer::Now(answer) => answer.unwrap(),
            other => panic!("{other:?}"),
        })
    }

    fn hash(&self, number: u64) -> u128 {
        self.with(number, |entry| {
            let Used::Proof { jkt, jti, htu } = entry.used else { panic!("a proof") };
            let mut hasher = SipHasher13::new_with_keys(1, 2);
            for text in [jkt.as_str(), jti, htu] {
                hasher.write_usize(text.len());
                hasher.write(text.as_bytes());
            }
            hasher.finish128().as_u128()
        })
    }
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
