//! The set of revoked tokens, through its public interface.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test fails by panicking"
)]

#[path = "support/measured.rs"]
mod measured;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use allocation_counter::{AllocationInfo, measure};
use portcullis::revocation::{Inserted, RevokedTokens, TokenFingerprint};
use portcullis::time::Timestamp;
use proptest::prelude::*;

use self::measured::measured;

const ISSUER: &str = "https://as.example";
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const LATER: Timestamp = Timestamp::from_secs(1_800_003_600);
const MINUTE: Duration = Duration::from_mins(1);

fn numbered(tokens: &RevokedTokens, number: u64) -> TokenFingerprint {
    tokens.fingerprint(ISSUER, &number.to_string())
}

/// With these tokens, all until then.
fn filled(numbers: std::ops::Range<u64>, until: Timestamp) -> RevokedTokens {
    let tokens = RevokedTokens::new();
    for number in numbers {
        assert_eq!(tokens.insert(numbered(&tokens, number), until), Inserted::New);
    }
    tokens
}

/// EVT-01: a record is there until its end, and not a moment longer.
#[test]
fn a_token_is_revoked_until_its_end() {
    let tokens = RevokedTokens::new();
    let (one, other) = (numbered(&tokens, 1), numbered(&tokens, 2));
    assert!(tokens.is_empty() && !tokens.contains(one, NOW));
    assert_eq!(tokens.insert(one, LATER), Inserted::New);
    assert!(tokens.contains(one, NOW) && !tokens.contains(other, NOW));
    let second = Duration::from_secs(1);
    assert!(tokens.contains(one, LATER.minus(Duration::from_nanos(1))));
    assert!(!tokens.contains(one, LATER));
    // An end only moves away.
    assert_eq!(tokens.insert(one, LATER), Inserted::Known);
    assert_eq!(tokens.insert(one, LATER.minus(second)), Inserted::Known);
    assert!(tokens.contains(one, LATER.minus(second)));
    assert_eq!(tokens.insert(one, LATER.plus(second)), Inserted::Extended);
    assert!(tokens.contains(one, LATER) && !tokens.contains(one, LATER.plus(second)));
    assert_eq!(tokens.len(), 1);
}

/// EVT-01: an end within a second is rounded up; one past what can be written is for ever.
#[test]
fn an_end_is_never_rounded_down() {
    let tokens = RevokedTokens::new();
    let last = Timestamp::from_secs(Timestamp::MAX_SECONDS);
    for (name, until, live, over) in [
        (
            "a fraction",
            NOW.plus(Duration::from_millis(1)),
            NOW.plus(Duration::from_millis(999)),
            Some(NOW.plus(Duration::from_secs(1))),
        ),
        ("whole", NOW, NOW.minus(Duration::from_millis(1)), Some(NOW)),
        (
            "the last end",
            Timestamp::from_secs(u64::from(u32::MAX) - 1),
            Timestamp::from_secs(u64::from(u32::MAX) - 2),
            Some(Timestamp::from_secs(u64::from(u32::MAX) - 1)),
        ),
        ("for ever", Timestamp::from_secs(u64::from(u32::MAX)), last, None),
        ("the year 9999", last, last, None),
    ] {
        let token = tokens.fingerprint(ISSUER, name);
        tokens.insert(token, until);
        assert!(tokens.contains(token, live), "{name}");
        assert!(over.is_none_or(|over| !tokens.contains(token, over)), "{name}");
    }
    while !tokens.purge(last, 1).is_round_complete() {}
    assert_eq!(tokens.len(), 2, "what is for ever is not purged");
}

/// EVT-01: a record that is lifted is gone, and can be made again.
#[test]
fn a_removed_token_is_forgotten_and_others_are_not() {
    let tokens = filled(0..3_000, LATER);
    for number in (0..3_000).step_by(3) {
        assert!(tokens.remove(numbered(&tokens, number)));
        assert!(!tokens.remove(numbered(&tokens, number)));
    }
    let is_there = |number| tokens.contains(numbered(&tokens, number), NOW);
    assert!((0..3_000).all(|number| is_there(number) == (number % 3 != 0)));
    assert_eq!(tokens.len(), 2_000);
    assert_eq!(tokens.insert(numbered(&tokens, 0), NOW.plus(MINUTE)), Inserted::New);
    assert!(is_there(0) && !tokens.contains(numbered(&tokens, 0), LATER));
    for number in 0..3_000 {
        tokens.remove(numbered(&tokens, number));
    }
    assert!(tokens.is_empty() && !is_there(1));
    let records = tokens.len();
    assert_eq!(records, 0);
    assert_eq!(tokens.insert(numbered(&tokens, 1), LATER), Inserted::New);
    assert!(!tokens.is_empty() && is_there(1) && !is_there(2));
}

/// EVT-01: issuer and `jti` are told apart by where one ends, and a set's fingerprints are its own.
#[test]
fn fingerprints_of_different_tokens_and_sets_differ() {
    let (tokens, others) = (RevokedTokens::new(), RevokedTokens::new());
    let pairs = [("ab", "c"), ("a", "bc"), ("abc", ""), ("", "abc"), ("c", "ab"), ("ab", "c\0")];
    for (at, (issuer, jti)) in pairs.iter().enumerate() {
        let token = tokens.fingerprint(issuer, jti);
        assert_eq!(token, tokens.fingerprint(issuer, jti));
        assert!(pairs[..at].iter().all(|(issuer, jti)| token != tokens.fingerprint(issuer, jti)));
        assert_ne!(token, others.fingerprint(issuer, jti));
        assert!(!tokens.contains(token, NOW));
        tokens.insert(token, LATER);
        others.insert(token, LATER);
        assert!(!others.contains(others.fingerprint(issuer, jti), NOW));
    }
    let shown = |issuer| format!("{:?} {tokens:?}", tokens.fingerprint(issuer, "abc"));
    assert_eq!(shown("a"), shown("b"), "nothing of a token is shown");
    assert!(shown("a").contains("records: 6"), "{}", shown("a"));
}

/// EVT-01: a burst of a hundred thousand is there, and nobody else is.
#[test]
fn a_burst_is_recorded_whole_and_strangers_are_not() {
    let tokens = filled(0..100_000, LATER);
    assert_eq!(tokens.len(), 100_000);
    assert!((0..100_000).all(|number| tokens.contains(numbered(&tokens, number), NOW)));
    assert!(
        (0..100_000)
            .all(|number| { tokens.insert(numbered(&tokens, number), LATER) == Inserted::Known })
    );
    assert!((0..100_000).all(|number| {
        tokens.insert(numbered(&tokens, number), LATER.plus(MINUTE)) == Inserted::Extended
    }));
    assert_eq!(tokens.len(), 100_000);
    assert!((100_000..400_000).all(|number| !tokens.contains(numbered(&tokens, number), NOW)));
}

/// EVT-01: a purge looks at as much as it is told to, goes on where it stopped, and drops what is
/// over and nothing else.
#[test]
fn a_purge_goes_on_where_the_last_one_stopped() {
    let tokens = filled(0..20_000, NOW);
    for number in 20_000..30_000 {
        tokens.insert(numbered(&tokens, number), LATER);
    }
    let none = tokens.purge(NOW.plus(MINUTE), 0);
    assert!(none.removed() == 0 && !none.is_round_complete());
    let early = tokens.purge(NOW.minus(MINUTE), usize::MAX);
    assert!(early.removed() == 0 && early.is_round_complete());
    let (mut removed, mut calls) = (0, 0);
    loop {
        let purged = tokens.purge(NOW.plus(MINUTE), 1);
        assert!(purged.removed() <= 2_000, "{} at once", purged.removed());
        (removed, calls) = (removed + purged.removed(), calls + 1);
        assert_eq!(tokens.len(), 30_000 - removed);
        if purged.is_round_complete() {
            break;
        }
    }
    assert!(removed == 20_000 && calls >= 15, "{removed} in {calls}");
    // Nothing of them is left, by an earlier time either.
    assert!(
        (0..20_000).all(|number| !tokens.contains(numbered(&tokens, number), Timestamp::EPOCH))
    );
    assert!((20_000..30_000).all(|number| tokens.contains(numbered(&tokens, number), NOW)));
    // What has no records is passed by.
    while !tokens.purge(LATER, usize::MAX).is_round_complete() {}
    assert!(tokens.is_empty() && tokens.purge(LATER, 10).is_round_complete());
    assert!(RevokedTokens::new().purge(LATER, 0).is_round_complete());
}

/// EVT-01: bounded memory. At any size a record costs at most 38 octets, 29 where there are many, as
/// the allocator counts them; asking costs none, and what is over is given back.
#[test]
fn a_record_costs_few_octets_at_any_size() {
    for records in [1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000] {
        let (tokens, given) = measured(|| Box::new(filled(0..records, LATER)));
        let held = held(given);
        let said = tokens.memory_bytes();
        assert!(said.abs_diff(held) * 50 <= held, "{records}: {held}, says {said}");
        let most = if records < 10_000 { 38 } else { 29 };
        assert!(held <= most * records as usize, "{records}: {held}");
        assert!(held >= 16 * records as usize, "{records}: {held} cannot be");
    }
    let tokens = Box::new(RevokedTokens::new());
    for number in 0..100_000 {
        tokens.insert(numbered(&tokens, number), LATER);
        if number >= 1_000 && number % 23 == 0 {
            let (held, records) = (tokens.memory_bytes(), tokens.len());
            assert!(held <= 38 * records, "{held} for {records} while growing");
        }
    }
    let full = tokens.memory_bytes();
    let asked: Vec<_> = (99_000..101_000).map(|number| numbered(&tokens, number)).collect();
    // The first time a thread holds a segment, that is noted in a list of its own.
    assert!(tokens.contains(asked[0], NOW));
    let ask = || asked.iter().filter(|token| tokens.contains(**token, NOW)).count();
    let (found, given) = measured(ask);
    assert_eq!((found, given.count_total), (1_000, 0));
    let given = measure(|| while !tokens.purge(LATER, 7).is_round_complete() {});
    let given_back = usize::try_from(-given.bytes_current).unwrap();
    let left = tokens.memory_bytes();
    assert!(left <= 6 * 100_000, "{left} of {full} are left of a peak of a hundred thousand");
    assert!(given_back.abs_diff(full - left) * 50 <= given_back, "{given_back}");
}

/// EVT-01: bounded memory. What it says it takes is what the allocator gave, to the octet, also with a
/// part of the next filter: with 920 records.
#[test]
fn it_says_what_it_takes() {
    // The first time a thread holds a segment, that is noted in a list of its own.
    drop(filled(0..10, LATER));
    for records in [0, 1, 10, 100, 920, 1_000, 10_000] {
        let (tokens, given) = measured(|| Box::new(filled(0..records, LATER)));
        assert_eq!(tokens.memory_bytes(), held(given), "{records}");
    }
}

/// EVT-01: a purge that finds nothing over leaves all as it is, and copies nothing.
#[test]
fn a_purge_copies_nothing_where_nothing_is_over() {
    let tokens = filled(0..3_000, LATER);
    let purge = |now| measured(|| tokens.purge(now, usize::MAX));
    assert!(tokens.purge(NOW, usize::MAX).is_round_complete());
    let (early, given) = purge(NOW);
    assert!(early.is_round_complete());
    assert_eq!(given.count_total, 0);
    let (late, given) = purge(LATER);
    assert_eq!(late.removed(), 3_000);
    assert!(given.count_total > 0, "what is left is written anew");
}

/// The octets that were given and are not given back.
fn held(given: AllocationInfo) -> usize {
    usize::try_from(given.bytes_current).unwrap()
}

/// EVT-01: whatever is inserted, cut, moved, removed and purged meanwhile, a token that was inserted
/// is found by all threads, and one that was not by none.
#[test]
fn readers_miss_nothing_while_a_writer_writes() {
    let records: u64 = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
    let tokens = RevokedTokens::new();
    let (written, ended) = (AtomicU64::new(0), AtomicBool::new(false));
    // One in three stays; the others are over from the start, or removed soon.
    let stays = |number: u64| number.is_multiple_of(3);
    let readers = 3;
    let asked: u64 = thread::scope(|scope| {
        let reader = |seed: u64| {
            let (tokens, written, ended) = (&tokens, &written, &ended);
            move || {
                let (mut dice, mut asked) = (seed, 0_u64);
                while !ended.load(Ordering::Relaxed) || asked < 1_000 {
                    dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let written = written.load(Ordering::Acquire);
                    if written == 0 {
                        continue;
                    }
                    // The newest as often as any.
                    let back = if dice & 1 == 0 { written.min(700) } else { written };
                    let number = (written - 1 - (dice >> 33) % back) / 3 * 3;
                    assert!(tokens.contains(numbered(tokens, number), NOW), "{number} is missed");
                    assert!(!tokens.contains(numbered(tokens, records + number), NOW));
                    asked += 1;
                }
                asked
            }
        };
        let threads: Vec<_> = (0..readers).map(|seed| scope.spawn(reader(seed))).collect();
        for number in 0..records {
            let until = if number % 3 == 1 { NOW } else { LATER };
            tokens.insert(numbered(&tokens, number), until);
            written.store(number + 1, Ordering::Release);
            if number % 3 == 2 {
                assert!(tokens.remove(numbered(&tokens, number)));
            }
            if number % 500 == 0 {
                let _ = tokens.purge(NOW, 3);
            }
            if number % 997 == 0 {
                tokens.insert(numbered(&tokens, number / 6 * 3), LATER.plus(MINUTE));
            }
        }
        ended.store(true, Ordering::Relaxed);
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!(asked >= readers * 1_000);
    while !tokens.purge(NOW, 100).is_round_complete() {}
    let _ = tokens.purge(NOW, usize::MAX);
    for number in 0..records {
        assert_eq!(tokens.contains(numbered(&tokens, number), NOW), stays(number), "{number}");
    }
    assert_eq!(tokens.len() as u64, records.div_ceil(3));
}

#[derive(Clone, Debug)]
enum Step {
    /// These tokens, until so many quarters of a second.
    Insert(std::ops::Range<u64>, u64),
    Remove(std::ops::Range<u64>),
    /// So many segments.
    Purge(usize),
    /// The time is this many quarters of a second.
    Time(u64),
}

/// Of so many tokens.
fn steps(tokens: u64) -> impl Strategy<Value = Vec<Step>> {
    let some = move || {
        (0..tokens, 1..=tokens / 4).prop_map(move |(from, count)| from..(from + count).min(tokens))
    };
    let step = prop_oneof![
        5 => (some(), 0_u64..40).prop_map(|(some, until)| Step::Insert(some, until)),
        2 => some().prop_map(Step::Remove),
        2 => (0_usize..4).prop_map(Step::Purge),
        1 => Just(Step::Purge(usize::MAX)),
        3 => (0_u64..40).prop_map(Step::Time),
    ];
    prop::collection::vec(step, 1..40)
}

/// Does with the set what is done with a map, and compares all of both after each step.
fn compare(size: u64, steps: Vec<Step>) {
    let tokens = RevokedTokens::new();
    let all: Vec<_> = (0..size).map(|number| numbered(&tokens, number)).collect();
    let at = |quarters: u64| Timestamp::from_duration(Duration::from_millis(quarters * 250));
    let mut map: HashMap<u64, u64> = HashMap::new();
    let mut now = 0;
    for step in steps {
        match step.clone() {
            Step::Insert(numbers, until) => {
                for number in numbers {
                    let ends = until.div_ceil(4).max(1);
                    let expected = match map.get(&number) {
                        None => Inserted::New,
                        Some(before) if *before < ends => Inserted::Extended,
                        Some(_) => Inserted::Known,
                    };
                    assert_eq!(
                        tokens.insert(all[number as usize], at(until)),
                        expected,
                        "{step:?}"
                    );
                    map.entry(number).and_modify(|end| *end = ends.max(*end)).or_insert(ends);
                }
            }
            Step::Remove(numbers) => {
                for number in numbers {
                    let was_there = map.remove(&number).is_some();
                    assert_eq!(tokens.remove(all[number as usize]), was_there, "{step:?}");
                }
            }
            Step::Purge(segments) => {
                let purged = tokens.purge(at(now), segments);
                // At the beginning of time whatever is recorded is alive.
                let (before, ended) = (map.len(), |ends: u64| ends * 4 <= now);
                map.retain(|number, ends| {
                    tokens.contains(all[*number as usize], Timestamp::EPOCH) || !ended(*ends)
                });
                assert_eq!(before - map.len(), purged.removed(), "{step:?}");
                if segments == usize::MAX {
                    assert!(purged.is_round_complete());
                }
            }
            Step::Time(quarters) => now = quarters,
        }
        assert_eq!((tokens.len(), tokens.is_empty()), (map.len(), map.is_empty()), "{step:?}");
        for (number, token) in all.iter().enumerate() {
            for time in [now, 0] {
                let expected = map.get(&(number as u64)).is_some_and(|ends| time < ends * 4);
                assert_eq!(tokens.contains(*token, at(time)), expected, "{number}, {step:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// EVT-01: few tokens, in one segment.
    #[test]
    fn it_holds_what_a_map_holds(steps in steps(24)) {
        compare(24, steps);
    }

    /// EVT-01: many, that are cut and rebuilt, with filters that grow.
    #[test]
    fn it_holds_what_a_large_map_holds(steps in steps(4_000)) {
        compare(4_000, steps);
    }
}
