use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};

use super::RevokedTokens;
use super::filter::FilterWriter;
use super::segment::{Record, Segment};
use super::table::Area;

/// What the one who writes knows beside what readers see.
#[derive(Default)]
pub(super) struct Writer {
    pub(super) filter: FilterWriter,
    /// Octets of all segments.
    pub(super) segments: usize,
    /// Where the next purge begins.
    pub(super) purge: Area,
    records: usize,
}

/// With so many records for each segment there is one more, which is cut out of another: rebuilding
/// one takes some microseconds, and costs little memory beside its records.
const RECORDS_OF_A_SEGMENT: u64 = 512;
/// While there are few segments they are smaller, so that the one that is rebuilt is a small part of
/// all.
const RECORDS_OF_A_SMALL_SEGMENT: u64 = 256;

impl RevokedTokens {
    pub(super) fn writing(&self) -> MutexGuard<'_, Writer> {
        self.writing.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes how many records there are, once they are written.
    pub(super) fn count(&self, writer: &mut Writer, change: impl Fn(usize) -> usize) {
        writer.records = change(writer.records);
        self.writing.records.store(writer.records, Ordering::Relaxed);
        self.filter.show(&writer.filter, writer.records);
    }

    /// Replaces a segment by one that has what is to be kept of it, and one record more.
    pub(super) fn rebuild(
        &self,
        writer: &mut Writer,
        area: Area,
        added: Option<Record>,
        keep: impl Fn(&Record) -> bool,
    ) {
        let held = self.table.segment(area);
        let before = held.as_deref().map_or(0, Segment::slots_used);
        let mut records = Vec::with_capacity(before.saturating_add(1));
        records.extend(held.iter().flat_map(|segment| segment.records()).filter(keep));
        let dropped = records.len() < before;
        records.extend(added);
        self.put(writer, area, &records, dropped);
    }

    /// As much as one more record asks for: one segment more, and a part of the next filter.
    pub(super) fn grow(&self, writer: &mut Writer) {
        let records = u64::try_from(writer.records).unwrap_or(u64::MAX);
        let areas = self.table.areas();
        // 256 up to 64 segments, 512 from 128 segments on.
        let most = areas.saturating_mul(4).clamp(RECORDS_OF_A_SMALL_SEGMENT, RECORDS_OF_A_SEGMENT);
        if records / most >= areas
            && let Some(area) = self.table.next_to_cut()
        {
            self.cut(writer, area);
        }
        self.filter.grow(&mut writer.filter, writer.records, &self.table);
    }

    /// Makes two segments of one.
    fn cut(&self, writer: &mut Writer, area: Area) {
        let held = self.table.segment(area);
        let before = held.as_deref().map_or(0, Segment::slots_used);
        let [left, right] = area.halves();
        let (mut lower, mut upper) = (Vec::with_capacity(before), Vec::with_capacity(before));
        for record in held.iter().flat_map(|segment| segment.records()) {
            let half = if left.holds(record.token) { &mut lower } else { &mut upper };
            half.push(record);
        }
        let dropped = lower.len().saturating_add(upper.len()) < before;
        self.put(writer, left, &lower, dropped);
        self.put(writer, right, &upper, dropped);
        self.table.publish_cut();
        self.table.publish(area, None, &mut writer.segments);
    }

    /// Makes these the records of an area. Where some were dropped, their bits are too.
    fn put(&self, writer: &mut Writer, area: Area, records: &[Record], dropped: bool) {
        self.table.publish(area, Some(Segment::of(records)), &mut writer.segments);
        if dropped {
            self.filter.replace(&writer.filter, area, records);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    /// EVT-01: cutting an area keeps what is recorded, and drops what was removed from the filter too.
    #[test]
    fn a_cut_drops_what_was_removed_and_nothing_else() {
        let tokens = RevokedTokens::new();
        let later = Timestamp::from_secs(1_800_000_000);
        let token = |number: u64| tokens.fingerprint("https://as.example", &number.to_string());
        for number in 0..100 {
            tokens.insert(token(number), later);
        }
        assert!((10..100).all(|number| tokens.remove(token(number))));
        tokens.cut(&mut tokens.writing(), Area::WHOLE);
        assert_eq!(tokens.table.areas(), 2);
        assert!((0..10).all(|number| tokens.contains(token(number), Timestamp::EPOCH)));
        let left = (10..100).filter(|number| tokens.filter.may_hold(token(*number))).count();
        assert!(left < 10, "{left} of 90 are in the filter still");
    }
}
