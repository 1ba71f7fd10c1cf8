/// When whatever was dropped would have ended, by the time of day: a few ranges of seconds that hold
/// every end, and some more.
///
/// Ends come one after another while the clock runs, and make one range. A clock that jumped ahead
/// and came back leaves a range apart, so that the time between is not lost.
#[derive(Debug, Default)]
pub(super) struct Dropped(Vec<Range>);

#[derive(Clone, Copy, Debug)]
struct Range {
    first: u32,
    last: u32,
}

/// Ends no farther apart than this are one range.
const NEAR: u32 = 60;
/// More than a clock jumps; quiet hours make ranges too, and are joined first.
const MOST_RANGES: usize = 8;

impl Dropped {
    /// Whether something that would have ended then may have been dropped.
    pub(super) fn may_hold(&self, end: u32) -> bool {
        self.0.iter().any(|range| range.first <= end && end <= range.last)
    }

    pub(super) fn add(&mut self, end: u32) {
        let near = |range: &&mut Range| {
            range.first.saturating_sub(NEAR) <= end && end <= range.last.saturating_add(NEAR)
        };
        if let Some(range) = self.0.iter_mut().find(near) {
            range.first = range.first.min(end);
            range.last = range.last.max(end);
            return;
        }
        let after = self.0.partition_point(|range| range.first < end);
        self.0.insert(after, Range { first: end, last: end });
        if self.0.len() > MOST_RANGES {
            self.join_nearest();
        }
    }

    fn join_nearest(&mut self) {
        let gaps = self.0.iter().zip(self.0.iter().skip(1));
        let gaps = gaps.map(|(one, next)| next.first.saturating_sub(one.last));
        let nearest = gaps.enumerate().min_by_key(|(_, gap)| *gap).map(|(at, _)| at);
        let Some(at) = nearest else { return };
        let next = self.0.remove(at.saturating_add(1));
        if let Some(range) = self.0.get_mut(at) {
            range.last = range.last.max(next.last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// DPOP-17.
    #[test]
    fn every_end_that_was_dropped_stays_known_and_a_jump_leaves_a_gap() {
        let mut dropped = Dropped::default();
        let running = (1_000..2_000).step_by(7);
        let ahead = (90_000..90_100).step_by(9);
        for end in running.clone().chain(ahead.clone()).chain(2_000..2_010) {
            dropped.add(end);
        }
        assert!(running.chain(ahead).chain(2_000..2_010).all(|end| dropped.may_hold(end)));
        assert!([0, 999, 2_010, 50_000, 89_999, 90_100].iter().all(|end| !dropped.may_hold(*end)));
        // Hundreds of quiet minutes: nothing is lost, and the great gap stays.
        let quiet: Vec<_> = (3_000..40_000).step_by(100).collect();
        for end in &quiet {
            dropped.add(*end);
        }
        assert!(quiet.iter().all(|end| dropped.may_hold(*end)));
        assert!(!dropped.may_hold(60_000) && dropped.0.len() <= MOST_RANGES);
    }
    /// DPOP-17: as many jumps as there may be ranges lose no time between; one more joins the nearest.
    #[test]
    fn only_one_range_too_many_joins_two() {
        let mut dropped = Dropped::default();
        let ends = [1_000, 2_000, 4_000, 7_000, 11_000, 16_000, 22_000, 29_000];
        assert_eq!(ends.len(), MOST_RANGES);
        ends.into_iter().for_each(|end| dropped.add(end));
        assert!(ends.into_iter().all(|end| dropped.may_hold(end)));
        assert!(!dropped.may_hold(1_500) && !dropped.may_hold(3_000));
        dropped.add(40_000);
        assert!(dropped.may_hold(1_500) && dropped.may_hold(40_000) && !dropped.may_hold(3_000));
        assert_eq!(dropped.0.len(), MOST_RANGES);
    }
}
