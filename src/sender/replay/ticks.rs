use std::time::Duration;

use crate::time::{Moment, Timestamp};

/// A moment in whole seconds since a [`Base`], by the time of day and by the steady time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticks {
    pub(super) wall: u32,
    pub(super) steady: u32,
}

/// The end of what ends later than can be written: never.
const NEVER: u32 = u32::MAX;
/// The last moment there is.
const LAST: u32 = NEVER - 1;

impl Ticks {
    /// Whether both clocks have come to this end: one that jumps does not end anything.
    pub(super) const fn is_over(self, now: Self) -> bool {
        self.wall <= now.wall && self.steady <= now.steady
    }

    /// Seconds until both clocks have come to this end.
    pub(super) fn seconds_from(self, now: Self) -> u32 {
        let wall = self.wall.saturating_sub(now.wall);
        wall.max(self.steady.saturating_sub(now.steady))
    }

    /// In one number; an end is never zero.
    pub(super) fn pack(self) -> u64 {
        u64::from(self.wall) << 32 | u64::from(self.steady)
    }

    pub(super) fn unpack(packed: u64) -> Self {
        let half = |half| u32::try_from(half).unwrap_or(NEVER);
        Self { wall: half(packed >> 32), steady: half(packed & u64::from(u32::MAX)) }
    }
}

/// Where a store counts from: 68 years before the first time of day that it sees, for clocks that
/// are set back, and the first steady time.
#[derive(Debug)]
pub(super) struct Base {
    wall: u64,
    steady: u64,
}

impl Base {
    pub(super) fn of(first: Moment) -> Self {
        let wall = first.wall().as_secs().saturating_sub(1 << 31);
        Self { wall, steady: first.steady().as_secs() }
    }

    /// Rounded down.
    pub(super) fn now(&self, now: Moment) -> Ticks {
        Ticks {
            wall: ticks(now.wall().as_secs(), self.wall).min(LAST),
            steady: ticks(now.steady().as_secs(), self.steady).min(LAST),
        }
    }

    /// Rounded up.
    pub(super) fn end(&self, expires_at: Timestamp, now: Moment) -> Ticks {
        let left = expires_at.since(now.wall()).unwrap_or_default();
        let steady = now.steady().saturating_add(left);
        Ticks {
            wall: ticks(seconds_up(expires_at.as_duration()), self.wall).max(1),
            steady: ticks(seconds_up(steady), self.steady).max(1),
        }
    }
}

fn ticks(seconds: u64, base: u64) -> u32 {
    u32::try_from(seconds.saturating_sub(base)).unwrap_or(NEVER)
}

fn seconds_up(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(wall: f64, steady: f64) -> Moment {
        let wall = Timestamp::from_duration(Duration::from_secs_f64(wall));
        Moment::new(wall, Duration::from_secs_f64(steady))
    }

    /// DPOP-17: an end is rounded up, a moment down.
    #[test]
    fn nothing_is_over_before_both_clocks_say_so() {
        let start = moment(1_800_000_000.75, 1_000.5);
        let base = Base::of(start);
        // Until 1 800 000 061 and 1 060.5 or later.
        let end =
            base.end(Timestamp::from_duration(Duration::from_secs_f64(1_800_000_060.75)), start);
        for (name, wall, steady, over) in [
            ("at once", 1_800_000_000.75, 1_000.5, false),
            ("neither", 1_800_000_060.5, 1_060.25, false),
            ("the time of day alone", 1_800_009_999.0, 1_060.25, false),
            ("the steady time alone", 1_800_000_060.5, 9_999.0, false),
            ("set back to before the base", 1.0, 9_999.0, false),
            ("both", 1_800_000_061.0, 1_061.0, true),
        ] {
            assert_eq!(end.is_over(base.now(moment(wall, steady))), over, "{name}");
        }
        assert_eq!(end.seconds_from(base.now(moment(1_800_000_060.0, 1_000.5))), 61);
        assert_eq!(Ticks::unpack(end.pack()), end);
    }

    /// DPOP-17: what is recorded after the clock was set back ends in its time, by the clock as it is then.
    #[test]
    fn a_clock_that_is_set_back_is_counted_on() {
        let base = Base::of(moment(1_800_000_000.0, 1_000.0));
        for back in [1.0, 3_600.0, 1_000_000_000.0] {
            let wall = 1_800_000_000.0_f64 - back;
            let end = base.end(
                Timestamp::from_duration(Duration::from_secs_f64(wall + 60.0)),
                moment(wall, 1_010.0),
            );
            let over = |later: f64| end.is_over(base.now(moment(wall + later, 1_010.0 + later)));
            assert_eq!((over(0.0), over(59.0), over(60.0)), (false, false, true), "{back}");
        }
    }

    #[test]
    fn what_cannot_be_written_never_ends() {
        let base = Base::of(moment(10_000_000_000.0, 5.0));
        let start = moment(10_000_000_000.0, 5.0);
        let end = base.end(Timestamp::from_secs(Timestamp::MAX_SECONDS), start);
        let late = Moment::new(
            Timestamp::from_secs(Timestamp::MAX_SECONDS),
            Duration::from_secs(u64::MAX),
        );
        assert!(!end.is_over(base.now(late)));
        // Its twin: what can be written ends.
        let end = base.end(Timestamp::from_secs(10_000_000_060), start);
        assert!(end.is_over(base.now(late)));
        // An end before all counting is one nevertheless.
        assert_ne!(base.end(Timestamp::EPOCH, moment(0.0, 0.0)).pack(), 0);
    }
}
