use std::time::Duration;

use crate::time::{Moment, Timestamp};

/// What time it is at least, for dropping what is over: a time of day that runs ahead must not drop
/// what it will need when it is set back.
///
/// It advances with the steady time. A time of day that is ahead of that is believed once it was so
/// for [`Age::BELIEVED_AFTER`]; one that is behind is believed at once.
#[derive(Debug)]
pub(crate) struct Age {
    anchor: Moment,
    /// Since when the time of day has been ahead, in steady time.
    ahead: Option<Duration>,
}

impl Age {
    /// How long a clock has to be ahead until it is believed.
    const BELIEVED_AFTER: Duration = Duration::from_hours(1);
    /// Two clocks of one machine differ by no more.
    const NO_DIFFERENCE: Duration = Duration::from_secs(10);

    pub(crate) fn starting(at: Moment) -> Self {
        Self { anchor: at, ahead: None }
    }

    /// The time before which everything is over.
    pub(crate) fn at(&mut self, at: Moment) -> Timestamp {
        let passed = at.steady().saturating_sub(self.anchor.steady());
        let expected = self.anchor.wall().plus(passed);
        if at.wall() <= expected.plus(Self::NO_DIFFERENCE) {
            self.ahead = None;
            return expected.min(at.wall());
        }
        let since = *self.ahead.get_or_insert(at.steady());
        if at.steady().saturating_sub(since) < Self::BELIEVED_AFTER {
            return expected;
        }
        self.anchor = at;
        self.ahead = None;
        at.wall()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wall: u64, steady: u64) -> Moment {
        Moment::new(Timestamp::from_secs(wall), Duration::from_secs(steady))
    }

    /// Attack 39: a wrong clock brings no revoked token back.
    #[test]
    fn a_clock_that_jumps_ahead_drops_nothing_until_it_stays_there() {
        let mut age = Age::starting(at(1_000_000, 0));
        assert_eq!(age.at(at(1_000_060, 60)).as_secs(), 1_000_060, "a clock that is right");
        assert_eq!(age.at(at(9_000_000, 120)).as_secs(), 1_000_120, "ahead");
        assert_eq!(age.at(at(1_000_180, 180)).as_secs(), 1_000_180, "and back");
        assert_eq!(age.at(at(500, 240)).as_secs(), 500, "behind");
        assert_eq!(age.at(at(9_000_000, 300)).as_secs(), 1_000_300, "ahead again");
        assert_eq!(age.at(at(9_003_599, 3_899)).as_secs(), 1_003_899, "not long enough");
        assert_eq!(age.at(at(9_003_600, 3_900)).as_secs(), 9_003_600, "an hour: it is right");
        assert_eq!(age.at(at(9_003_700, 4_000)).as_secs(), 9_003_700);
    }
}
