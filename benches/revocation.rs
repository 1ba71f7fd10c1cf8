//! What it costs to know that a token was not revoked, and octets for each that was.
//!
//! The floor of the revoked tokens is a `HashSet` (hashbrown) of 128 bits without a hash of its own,
//! asked for the same fingerprints, which are made before. It has no expiry, one thread, and grows
//! all at once.
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

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hash as _, Hasher};
use std::time::{Duration, Instant};

use harness::{Effort, Goal, Group, Summary, waited, weigh};
use portcullis::revocation::{Inserted, RevokedTokens, TokenFingerprint};
use portcullis::time::Timestamp;

const ISSUER: &str = "https://login.example.com/tenant";
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
/// As many as are asked for, so that no cache has seen them.
const ASKED: u64 = 1 << 20;

fn main() {
    let effort = Effort::from_command_line();
    let mut summary = Summary::new(&effort);
    revoked_tokens(&effort, &mut summary);
    summary.finish();
}

/// `revocation_miss_10m`, `revocation_hit_10m`, `revocation_bytes_10m`, `revocation_insert`,
/// `revocation_longest_insert`.
fn revoked_tokens(effort: &Effort, summary: &mut Summary) {
    let names = ["miss_10m", "hit_10m", "bytes_10m", "insert", "longest_insert"];
    let [miss, hit, bytes, insert, longest] = names.map(|name| format!("revocation_{name}"));
    if ![&miss, &hit, &bytes, &insert, &longest].iter().any(|name| effort.wants(name)) {
        return;
    }
    let records: u64 = if effort.quick { 200_000 } else { 10_000_000 };

    let mut taken = Vec::with_capacity(records as usize);
    let mut most_while_growing = (0.0, 0);
    let (tokens, held) = weigh(|| {
        let tokens = RevokedTokens::new();
        let mut waited_before = waited();
        for number in 0..records {
            let token = fingerprint(&tokens, number);
            let start = Instant::now();
            let inserted = tokens.insert(token, until(number));
            let mut time = start.elapsed();
            if number % 1_000 == 0 || time > Duration::from_micros(50) {
                let now = waited();
                time = time.saturating_sub(now.saturating_sub(waited_before));
                waited_before = now;
            }
            taken.push(u32::try_from(time.as_nanos()).unwrap_or(u32::MAX));
            assert_eq!(inserted, Inserted::New);
            if number >= 1_000 && number % 97 == 0 {
                let each = tokens.memory_bytes() as f64 / tokens.len() as f64;
                if each > most_while_growing.0 {
                    most_while_growing = (each, tokens.len());
                }
            }
        }
        tokens
    });

    if effort.wants(&bytes) {
        println!("\n### {bytes}\n\n| records | bytes/record | as it says itself |\n|--:|--:|--:|");
        let row = |records: u64, tokens: &RevokedTokens, held: usize| {
            let each = held as f64 / records as f64;
            let said = tokens.memory_bytes() as f64 / records as f64;
            println!("| {records} | {each:.1} | {said:.1} |");
            each
        };
        for records in
            [1_000, 10_000, 100_000, 1_000_000].into_iter().filter(|size| *size < records)
        {
            let (tokens, held) = weigh(|| {
                let tokens = RevokedTokens::new();
                for number in 0..records {
                    tokens.insert(fingerprint(&tokens, number), until(number));
                }
                tokens
            });
            row(records, &tokens, held);
        }
        let each = row(records, &tokens, held);
        let (most, at) = most_while_growing;
        println!("| {at} | | {most:.1}, the most while growing, from 1000 on |");
        let while_growing = "revocation_bytes_while_growing";
        summary.counted(&bytes, each, "bytes/record", Goal::at_most(29.0));
        summary.counted(while_growing, most, "bytes/record", Goal::at_most(38.0));
    }

    if effort.wants(&longest) {
        taken.sort_unstable();
        let part = |share: f64| f64::from(taken[((taken.len() - 1) as f64 * share) as usize]) / 1e3;
        println!("\n### {longest}\n\n| of all inserts | longest, microseconds |\n|---|--:|");
        for (name, share) in [
            ("50 %", 0.5),
            ("99 %", 0.99),
            ("99.9 %", 0.999),
            ("99.99 %", 0.9999),
            ("99.999 %", 0.99999),
            ("all, with what the machine did meanwhile", 1.0),
        ] {
            println!("| {name} | {:.1} |", part(share));
        }
        let most = "revocation_longest_insert_of_9999_in_10000";
        summary.value(most, part(0.9999), "microseconds", Goal::at_most(100.0));
    }
    drop(taken);

    if [&miss, &hit, &insert].iter().any(|name| effort.wants(name)) {
        let mut floor: HashSet<u128, BuildHasherDefault<Identity>> = HashSet::default();
        floor.extend((0..records).map(|number| bits(fingerprint(&tokens, number))));

        let strangers = Asked::new(&tokens, |number| records + number);
        let (mut a, mut b) = (0, 0);
        let rows = Group::new(&miss)
            .case("HashSet", || floor.contains(strangers.bits(&mut a)))
            .case(&miss, || tokens.contains(strangers.token(&mut b), NOW))
            .run(effort);
        summary.row(&rows, &miss, Goal::ratio(1.3));

        let known = Asked::new(&tokens, |number| scattered(number) % records);
        let (mut a, mut b) = (0, 0);
        let rows = Group::new(&hit)
            .case("HashSet", || floor.contains(known.bits(&mut a)))
            .case(&hit, || tokens.contains(known.token(&mut b), NOW))
            .run(effort);
        summary.row(&rows, &hit, Goal::none());

        let mut next = [records; 3];
        let [a, b, c] = &mut next;
        let fresh = |number: &mut u64| {
            *number += 1;
            fingerprint(&tokens, *number)
        };
        let rows = Group::new(&insert)
            .case("fingerprint and HashSet", || floor.insert(bits(fresh(a))))
            .case("fingerprint", || fresh(b))
            .case(&insert, || {
                *c += 1;
                tokens.insert(fingerprint(&tokens, *c), until(*c))
            })
            .run(effort);
        summary.row(&rows, &insert, Goal::none());
    }
}

/// The fingerprint of the token of this number.
fn fingerprint(tokens: &RevokedTokens, number: u64) -> TokenFingerprint {
    // 22 characters: 128 bits in base64url.
    let mut jti = *b"0000000000000000e1j3V_";
    let mut rest = scattered(number);
    for octet in &mut jti[..16] {
        *octet = b"ABCDEFGHIJKLMNOP"[(rest & 15) as usize];
        rest >>= 4;
    }
    tokens.fingerprint(ISSUER, str::from_utf8(&jti).unwrap())
}

fn scattered(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn until(number: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(1 + number % 3_600))
}

/// Fingerprints that were made before, to go through again and again.
struct Asked {
    tokens: Vec<TokenFingerprint>,
    bits: Vec<u128>,
}

impl Asked {
    fn new(tokens: &RevokedTokens, number: impl Fn(u64) -> u64) -> Self {
        let asked = |at| fingerprint(tokens, number(at));
        let tokens: Vec<_> = (0..ASKED).map(asked).collect();
        let bits = tokens.iter().copied().map(bits).collect();
        Self { tokens, bits }
    }

    fn token(&self, at: &mut usize) -> TokenFingerprint {
        *at += 1;
        self.tokens[*at % ASKED as usize]
    }

    fn bits(&self, at: &mut usize) -> &u128 {
        *at += 1;
        &self.bits[*at % ASKED as usize]
    }
}

/// What a fingerprint gives to a hasher.
fn bits(token: TokenFingerprint) -> u128 {
    #[derive(Default)]
    struct Collector(u128);
    impl Hasher for Collector {
        fn finish(&self) -> u64 {
            0
        }
        fn write(&mut self, octets: &[u8]) {
            for octet in octets {
                self.0 = self.0.rotate_left(8) ^ u128::from(*octet);
            }
        }
        fn write_u64(&mut self, word: u64) {
            self.0 = self.0.rotate_left(64) ^ u128::from(word);
        }
        fn write_u32(&mut self, word: u32) {
            self.0 = self.0.rotate_left(32) ^ u128::from(word);
        }
    }
    let mut collector = Collector::default();
    token.hash(&mut collector);
    collector.0
}

/// Fingerprints are hashes already.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        panic!("it is given numbers");
    }

    fn write_u128(&mut self, bits: u128) {
        self.0 = (bits ^ bits >> 32) as u64;
    }
}
