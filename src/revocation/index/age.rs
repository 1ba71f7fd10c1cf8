use std::time::Duration;

use crate::time::{Moment, Timestamp};

/// What time it is at least, for dropping what is over: a time of day that runs ahead must not drop
/// what it will need when it is set back.
///
/// 1. A time of day is believed once no earlier one was seen for [`Age::BELIEVED_AFTER`] of steady time: that of
///    the start too, which may come from a machine that has not asked for the time yet. What jumps ahead
///    meanwhile, as a machine does that is suspended often, is next.
/// 2. Until then what was believed goes on with the steady time. Where that is nothing, nothing is over; but
///    where room is scarce, the time of day is taken as it is.
/// 3. A time of day that is behind counts at once.
#[derive(Debug)]
pub(crate) struct Age {
    /// A time of day that stood its test, and when.
    believed: Option<Moment>,
    /// The earliest time of day that was seen since then, in steady time.
    seen: Moment,
    since: Duration,
}

/// Whether there is room for what is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Ample,
    Scarce,
}

impl Age {
    /// How long none may be seen that is earlier until it is believed.
    const BELIEVED_AFTER: Duration = Duration::from_hours(1);
    /// Two clocks of one machine differ by no more.
    const NO_DIFFERENCE: Duration = Duration::from_secs(10);

    pub(crate) fn starting(at: Moment) -> Self {
        Self { believed: None, seen: at, since: at.steady() }
    }

    /// The time before which everything is over.
    pub(crate) fn at(&mut self, at: Moment, room: Room) -> Timestamp {
        let expected = going_on(self.seen, at);
        if at.wall() < expected {
            self.seen = at;
        }
        if at.steady().saturating_sub(self.since) >= Self::BELIEVED_AFTER {
            self.believed = Some(self.seen);
            if at.wall() > expected.plus(Self::NO_DIFFERENCE) {
                (self.seen, self.since) = (at, at.steady());
            }
        }
        let least = match (self.believed, room) {
            (Some(believed), _) => going_on(believed, at),
            (None, Room::Ample) => Timestamp::from_secs(0),
            (None, Room::Scarce) => at.wall(),
        };
        least.min(at.wall())
    }
}

/// What a time of day of then has become.
fn going_on(then: Moment, at: Moment) -> Timestamp {
    then.wall().plus(at.steady().saturating_sub(then.steady()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wall: u64, steady: u64) -> Moment {
        Moment::new(Timestamp::from_secs(wall), Duration::from_secs(steady))
    }

    /// What is over at each of these times of day and steady times.
    fn over(age: &mut Age, looks: &[(u64, u64)]) -> Vec<u64> {
        looks
            .iter()
            .map(|&(wall, steady)| age.at(at(wall, steady), Room::Ample).as_secs())
            .collect()
    }

    /// Of a clock that was right for an hour.
    fn believed() -> Age {
        let mut age = Age::starting(at(996_400, 0));
        assert_eq!(over(&mut age, &[(1_000_000, 3_600)]), [1_000_000]);
        age
    }

    /// Attack 39: a wrong clock brings no revoked token back.
    #[test]
    fn a_clock_that_jumps_ahead_drops_nothing_until_it_stays_there() {
        let mut age = believed();
        for (now, least, why) in [
            ((1_000_060, 3_660), 1_000_060, "a clock that is right"),
            ((9_000_000, 3_720), 1_000_120, "ahead"),
            ((1_000_180, 3_780), 1_000_180, "and back"),
            ((500, 3_840), 500, "behind"),
            ((9_000_000, 3_900), 1_000_300, "ahead again"),
            ((9_003_599, 7_499), 4_159, "which began after what was behind"),
            ((9_007_198, 11_098), 7_758, "not long enough"),
            ((9_007_199, 11_099), 9_007_199, "an hour: it is right"),
            ((9_007_299, 11_199), 9_007_299, "and goes on"),
        ] {
            assert_eq!(over(&mut age, &[now]), [least], "{why}");
        }
    }

    /// Attack 39: nor one that is wrong when the process starts, whether it is mended or jumps once more.
    #[test]
    fn the_clock_of_the_start_is_believed_after_an_hour() {
        let start = || Age::starting(at(9_000_000, 0));
        let waited = over(&mut start(), &[(9_000_030, 30), (9_003_599, 3_599), (9_003_600, 3_600)]);
        assert_eq!(waited, [0, 0, 9_003_600]);
        let mended =
            over(&mut start(), &[(9_003_000, 3_000), (1_003_030, 3_030), (1_003_600, 3_600)]);
        assert_eq!(mended, [0, 0, 1_003_600], "one that goes back is no worse than before");
        let ahead = [
            (9_003_000, 3_000),
            (9_900_000, 3_500),
            (9_903_599, 7_099),
            (9_907_198, 10_698),
            (9_907_199, 10_699),
        ];
        let ahead = over(&mut start(), &ahead);
        assert_eq!(ahead, [0, 0, 9_007_099, 9_010_698, 9_907_199], "each jump has its hour");
        // Whether anybody looked meanwhile or not.
        assert_eq!(over(&mut start(), &[(9_007_200, 7_200)]), [9_007_200]);
    }

    /// Two clocks that drift apart slowly are one: each time by less than the difference that counts.
    #[test]
    fn a_drift_is_no_jump() {
        let mut age = believed();
        for hour in 1..50 {
            let (wall, steady) = (1_000_000 + hour * 3_600 + hour, 3_600 + hour * 3_600);
            let least = over(&mut age, &[(wall, steady)])[0];
            assert!((wall - 3_700..=wall).contains(&least), "{hour}: {least} of {wall}");
        }
        // To the second: ten are no difference, eleven are one.
        for (ahead, least) in [(10, 1_007_200), (11, 1_007_211)] {
            let mut age = believed();
            let looks = [(1_003_600 + ahead, 7_200), (1_007_200 + ahead, 10_799)];
            over(&mut age, &looks);
            assert_eq!(over(&mut age, &[(1_007_200 + ahead, 10_800)]), [least], "{ahead}");
        }
    }

    /// A machine that is suspended for an hour after each half an hour: what is over lags by some hours, and by
    /// no more.
    #[test]
    fn what_jumps_ahead_all_the_time_is_believed_piece_by_piece() {
        let mut age = believed();
        for look in 1..1_000 {
            let (wall, steady) = (1_000_000 + look * 5_400, 3_600 + look * 1_800);
            let least = over(&mut age, &[(wall, steady)])[0];
            assert!(
                (wall.saturating_sub(4 * 3_600)..=wall).contains(&least),
                "{look}: {wall} {least}"
            );
        }
    }

    /// A start with a full store is no reason to refuse what comes for an hour.
    #[test]
    fn where_room_is_scarce_the_clock_of_the_start_is_taken() {
        let mut age = Age::starting(at(9_000_000, 0));
        assert_eq!(age.at(at(9_000_030, 30), Room::Scarce).as_secs(), 9_000_030);
        assert_eq!(age.at(at(9_000_060, 60), Room::Ample).as_secs(), 0);
        // What was believed goes before.
        let mut age = believed();
        assert_eq!(age.at(at(9_000_000, 3_720), Room::Scarce).as_secs(), 1_000_120);
    }
}
