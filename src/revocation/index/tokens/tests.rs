//! What the filter and the segments are like beneath the answers, which are the same with a worse one.

use std::ops::Range;
use std::time::Duration;

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const LATER: Timestamp = Timestamp::from_secs(1_800_003_600);
/// Tokens that nobody revoked.
const STRANGERS: Range<u64> = 1_000_000..1_020_000;

fn numbered(tokens: &RevokedTokens, number: u64) -> TokenFingerprint {
    tokens.fingerprint("https://as.example", &number.to_string())
}

fn filled(numbers: Range<u64>, until: impl Fn(u64) -> Timestamp) -> RevokedTokens {
    let tokens = RevokedTokens::new();
    for number in numbers {
        tokens.insert(numbered(&tokens, number), until(number));
    }
    tokens
}

/// Of how many of these the filter does not say that they have no record.
fn taken(tokens: &RevokedTokens, numbers: impl Iterator<Item = u64>) -> usize {
    numbers.filter(|number| tokens.filter.may_hold(numbered(tokens, *number))).count()
}

/// EVT-01: however many records there are, the filter says no of nearly all strangers, nineteen of twenty
/// at the least, and of no token with a record.
#[test]
fn the_filter_says_no_of_nearly_all_strangers() {
    for records in [1, 50, 110, 880, 14_000] {
        let tokens = filled(0..records, |_| LATER);
        let strangers = taken(&tokens, STRANGERS);
        assert!(strangers * 20 < 20_000, "{records} records: {strangers} strangers");
        assert!((0..records).all(|number| tokens.contains(numbered(&tokens, number), NOW)));
    }
    assert_eq!(
        taken(&RevokedTokens::new(), STRANGERS),
        0,
        "while there is none it is asked nothing"
    );
}

/// EVT-01: what was purged is dropped from the filter too, so that a burst that is over costs nothing.
#[test]
fn what_was_purged_leaves_the_filter() {
    let over = |number: &u64| !number.is_multiple_of(10);
    let tokens = filled(0..14_000, |number| if over(&number) { NOW } else { LATER });
    assert!(tokens.purge(NOW, usize::MAX).is_round_complete());
    let strangers = taken(&tokens, STRANGERS);
    assert!(strangers * 200 < 20_000, "{strangers} strangers");
    let gone = taken(&tokens, (0..14_000).filter(over));
    assert!(gone * 100 < 12_600, "{gone} of those that are over");
    let stays = |number: u64| tokens.contains(numbered(&tokens, number), NOW);
    assert!((0..14_000).filter(|number| !over(number)).all(stays));
}

/// EVT-01: there is a segment for each 256 records, for each 512 where there are many: each is a small part
/// of all, and costs little beside what it holds.
#[test]
fn there_is_a_segment_for_some_hundred_records() {
    for (records, areas) in [(0, 0), (1, 1), (255, 1), (256, 2), (10_000, 40), (16_383, 64)] {
        let tokens = filled(0..records, |_| LATER);
        assert_eq!(tokens.table.areas(), areas, "{records}");
    }
    let areas = filled(0..40_000, |_| LATER).table.areas();
    assert!((40_000 / 512..40_000 / 256).contains(&areas), "{areas}");
}

/// EVT-01: what was removed is given back by the next purge, which drops nothing else.
#[test]
fn what_was_removed_is_given_back_by_a_purge() {
    let tokens = filled(0..3_000, |_| LATER);
    for number in (0..3_000).filter(|number: &u64| !number.is_multiple_of(10)) {
        assert!(tokens.remove(numbered(&tokens, number)));
    }
    let before = tokens.memory_bytes();
    let purged = tokens.purge(NOW, usize::MAX);
    assert_eq!((purged.removed(), tokens.len()), (0, 300));
    let after = tokens.memory_bytes();
    assert!(after * 2 < before, "{after} of {before}");
    assert!((0..3_000).step_by(10).all(|number| tokens.contains(numbered(&tokens, number), NOW)));
}

/// EVT-01: writers wait for a bounded time: a purge passes by some empty segments for each that it may look
/// at, and goes on there.
#[test]
fn a_purge_passes_by_a_bounded_number_of_empty_segments() {
    let tokens = filled(0..20_000, |_| NOW);
    let areas = usize::try_from(tokens.table.areas()).unwrap();
    assert!((EMPTY_SEGMENTS + 1..2 * EMPTY_SEGMENTS).contains(&areas), "{areas}");
    let later = NOW.plus(Duration::from_secs(1));
    assert!(tokens.purge(later, usize::MAX).is_round_complete());
    assert!(tokens.is_empty());
    assert!(!tokens.purge(later, 1).is_round_complete(), "not past all of them");
    assert!(tokens.purge(later, 1).is_round_complete());
}
