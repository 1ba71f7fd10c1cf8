use crate::time::Timestamp;

/// The end of a record, in whole seconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Until(u32);

impl Until {
    /// Of a record that was removed: earlier than every other.
    pub(super) const REMOVED: Self = Self(0);
    const FOR_EVER: Self = Self(u32::MAX);

    /// Rounded up, and at least a second after the epoch.
    pub(super) fn of(end: Timestamp) -> Self {
        let fraction = u64::from(end.as_duration().subsec_nanos() != 0);
        let seconds = end.as_secs().saturating_add(fraction);
        u32::try_from(seconds.max(1)).map_or(Self::FOR_EVER, Self)
    }

    /// Whether it is still to come.
    pub(super) fn is_after(self, now: Timestamp) -> bool {
        self == Self::FOR_EVER || now.as_secs() < u64::from(self.0)
    }

    pub(super) const fn to_bits(self) -> u32 {
        self.0
    }

    pub(super) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// EVT-01: an end is rounded up, never down, and what cannot be written never comes.
    #[test]
    fn an_end_is_not_before_what_was_said() {
        let at = |nanos| Timestamp::from_duration(Duration::from_nanos(nanos));
        let until = Until::of(at(1_500_000_000));
        assert!(until.is_after(at(1_999_999_999)));
        assert!(!until.is_after(at(2_000_000_000)));
        assert!(!Until::of(at(1_000_000_000)).is_after(at(1_000_000_000)));
        assert!(Until::of(Timestamp::EPOCH) > Until::REMOVED);
        let last = u64::from(u32::MAX);
        let end_of_time = Timestamp::from_secs(Timestamp::MAX_SECONDS);
        assert!(Until::of(Timestamp::from_secs(last)).is_after(end_of_time));
        assert!(!Until::of(Timestamp::from_secs(last - 1)).is_after(end_of_time));
    }
}
