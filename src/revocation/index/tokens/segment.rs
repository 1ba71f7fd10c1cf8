use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::fingerprint::TokenFingerprint;
use super::until::Until;

/// Some hundred records, in the order of their places: open addressing over buckets of a cache line.
///
/// A record is written once and stays where it is; only its end changes. A slot is never free again.
pub(super) struct Segment {
    buckets: Box<[Bucket]>,
    used: AtomicUsize,
    removed: AtomicUsize,
}

#[derive(Default)]
#[repr(align(64))]
struct Bucket([Slot; SLOTS]);

const SLOTS: usize = 4;

/// A place, and a check with an end below it; a place of zero where it is free.
#[derive(Default)]
pub(super) struct Slot {
    place: AtomicU64,
    rest: AtomicU64,
}

#[derive(Clone, Copy)]
pub(super) struct Record {
    pub(super) token: TokenFingerprint,
    pub(super) until: Until,
}

/// Where a token is, or could be.
pub(super) enum Found<'a> {
    Taken(&'a Slot),
    Free(&'a Slot),
    /// It is not there, and the segment is as full as it may be.
    Nowhere,
}

impl Segment {
    /// Of these records, with room for some more: seven of ten slots are taken.
    pub(super) fn of(records: &[Record]) -> Self {
        let buckets = records.len().saturating_mul(10).div_ceil(7 * SLOTS);
        let segment = Self {
            buckets: std::iter::repeat_with(Bucket::default).take(buckets).collect(),
            used: AtomicUsize::new(0),
            removed: AtomicUsize::new(0),
        };
        for record in records {
            if let Some(slot) = segment.way(record.token).find(|slot| slot.is_free()) {
                segment.fill(slot, *record);
            }
        }
        segment
    }

    /// When the record of this token ends; `None` if there is none, or it was removed.
    pub(super) fn until(&self, token: TokenFingerprint) -> Option<Until> {
        match self.look(token) {
            Found::Taken(slot) => Some(slot.until()).filter(|until| *until != Until::REMOVED),
            _ => None,
        }
    }

    /// Where it is, or where it can be written. For the writer.
    pub(super) fn find(&self, token: TokenFingerprint) -> Found<'_> {
        match self.look(token) {
            // Eight of ten: beyond that the ways become long.
            Found::Free(_) if self.slots_used().saturating_mul(5) >= self.slots() * 4 => {
                Found::Nowhere
            }
            found => found,
        }
    }

    fn look(&self, token: TokenFingerprint) -> Found<'_> {
        for slot in self.way(token) {
            match slot.place.load(Ordering::Acquire) {
                0 => return Found::Free(slot),
                place if place == token.place && slot.check() == token.check => {
                    return Found::Taken(slot);
                }
                _ => {}
            }
        }
        Found::Nowhere
    }

    /// All slots, from the first in which a token can be.
    fn way(&self, token: TokenFingerprint) -> impl Iterator<Item = &Slot> {
        let lower_half = token.place & u64::from(u32::MAX);
        let buckets = u64::try_from(self.buckets.len()).unwrap_or(u64::MAX);
        let home = usize::try_from(lower_half.saturating_mul(buckets) >> 32).unwrap_or_default();
        let (before, after) = self.buckets.split_at_checked(home).unwrap_or_default();
        after.iter().chain(before).flat_map(|bucket| &bucket.0)
    }

    /// What was not removed. For the writer.
    pub(super) fn records(&self) -> impl Iterator<Item = Record> {
        let slots = self.buckets.iter().flat_map(|bucket| &bucket.0);
        slots
            .filter(|slot| !slot.is_free())
            .map(Slot::record)
            .filter(|record| record.until != Until::REMOVED)
    }

    /// Writes a record into a free slot. For the writer.
    pub(super) fn fill(&self, slot: &Slot, record: Record) {
        slot.end_of(record);
        slot.place.store(record.token.place, Ordering::Release);
        self.used.store(self.slots_used().saturating_add(1), Ordering::Relaxed);
    }

    /// Writes a record into the slot where it was removed. For the writer.
    pub(super) fn restore(&self, slot: &Slot, record: Record) {
        slot.end_of(record);
        let removed = self.removed.load(Ordering::Relaxed);
        self.removed.store(removed.saturating_sub(1), Ordering::Relaxed);
    }

    /// Leaves the slot taken, and its record over. For the writer.
    pub(super) fn remove(&self, slot: &Slot) {
        slot.end(Until::REMOVED);
        let removed = self.removed.load(Ordering::Relaxed);
        self.removed.store(removed.saturating_add(1), Ordering::Relaxed);
    }

    pub(super) fn has_removed(&self) -> bool {
        self.removed.load(Ordering::Relaxed) > 0
    }

    pub(super) fn is_unused(&self) -> bool {
        self.slots_used() == 0
    }

    /// How many slots have a record, removed or not.
    pub(super) fn slots_used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn slots(&self) -> usize {
        self.buckets.len().saturating_mul(SLOTS)
    }

    /// What it takes, in an `Arc`.
    pub(super) fn bytes(&self) -> usize {
        let counts = 2 * size_of::<usize>();
        size_of_val(&*self.buckets).saturating_add(size_of::<Self>()).saturating_add(counts)
    }
}

impl Slot {
    fn is_free(&self) -> bool {
        self.place.load(Ordering::Acquire) == 0
    }

    fn check(&self) -> u32 {
        high(self.rest.load(Ordering::Acquire))
    }

    pub(super) fn until(&self) -> Until {
        Until::from_bits(low(self.rest.load(Ordering::Acquire)))
    }

    /// Changes the end of the record that is there. For the writer.
    pub(super) fn end(&self, until: Until) {
        self.store(self.check(), until);
    }

    fn end_of(&self, record: Record) {
        self.store(record.token.check, record.until);
    }

    fn store(&self, check: u32, until: Until) {
        let rest = u64::from(check) << 32 | u64::from(until.to_bits());
        self.rest.store(rest, Ordering::Release);
    }

    fn record(&self) -> Record {
        let place = self.place.load(Ordering::Acquire);
        let token = TokenFingerprint { place, check: self.check() };
        Record { token, until: self.until() }
    }
}

fn high(word: u64) -> u32 {
    u32::try_from(word >> 32).unwrap_or_default()
}

fn low(word: u64) -> u32 {
    u32::try_from(word & u64::from(u32::MAX)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn record(place: u64, check: u32, until: u64) -> Record {
        let until = Until::of(Timestamp::from_secs(until));
        Record { token: TokenFingerprint { place, check }, until }
    }

    /// EVT-01: what begins at one slot, also the last one, is found, and told from what differs by
    /// either word.
    #[test]
    fn records_of_one_place_are_told_apart() {
        let all: Vec<_> = (0..40)
            .map(|number| {
                record(u64::from(u32::MAX) | (number / 2) << 32, u32::from(number % 2 == 1), number)
            })
            .collect();
        let segment = Segment::of(&all);
        for record in &all {
            assert_eq!(segment.until(record.token), Some(record.until));
        }
        for (place, check) in [(u64::from(u32::MAX), 2), (u64::from(u32::MAX) | 20 << 32, 0)] {
            assert_eq!(segment.until(TokenFingerprint { place, check }), None);
        }
        assert_eq!(segment.records().count(), 40);
    }

    /// EVT-01: a removed record is not found, keeps its slot, and can come back; a segment that is
    /// full says so.
    #[test]
    fn a_removed_record_leaves_its_slot_taken() {
        let one = record(1, 1, 10);
        let segment = Segment::of(&[one]);
        let Found::Taken(slot) = segment.find(one.token) else { panic!("it is there") };
        segment.remove(slot);
        assert_eq!(segment.until(one.token), None);
        assert_eq!((segment.records().count(), segment.slots_used()), (0, 1));
        segment.restore(slot, record(1, 1, 20));
        assert_eq!(segment.until(one.token), Some(record(1, 1, 20).until));
        assert!(!segment.has_removed());
        for number in 2.. {
            match segment.find(record(number, 1, 10).token) {
                Found::Free(slot) => segment.fill(slot, record(number, 1, 10)),
                Found::Nowhere => break,
                Found::Taken(_) => panic!("it is not there"),
            }
        }
        assert_eq!(segment.slots_used(), 4, "of four slots");
        assert!(matches!(Segment::of(&[]).find(one.token), Found::Nowhere));
    }

    /// EVT-01: bounded memory and short ways: seven of ten slots are taken at first, and eight at most.
    #[test]
    fn a_segment_has_room_for_some_more_and_is_never_full() {
        let some =
            |count: u64| (1..=count).map(|place| record(place << 24, 1, 10)).collect::<Vec<_>>();
        for count in [1, 2, 3, 28, 256, 512] {
            let all = some(count);
            let (used, slots) = (all.len(), Segment::of(&all).slots());
            assert!(used * 10 <= slots * 7, "{used} of {slots}");
            assert!(used * 10 > (slots - SLOTS) * 7, "{used} of {slots}: a bucket too many");
        }
        let segment = Segment::of(&some(28));
        let mut more = 28;
        while let Found::Free(slot) = segment.find(record((more + 1) << 24, 1, 10).token) {
            more += 1;
            segment.fill(slot, record(more << 24, 1, 10));
        }
        assert_eq!((segment.slots_used(), segment.slots()), (32, 40));
        assert_eq!(segment.records().count(), 32);
    }
}
