use std::time::Duration;

/// Fetches that unknown key ids may ask for: three at once, one more every five seconds. A new
/// key is then taken within six seconds even while junk key ids pour in, and 10 000 of those in a
/// minute cost 15 fetches.
const BURST: u32 = 3;
const REFILL: Duration = Duration::from_secs(5);

/// A token bucket on the steady clock.
#[derive(Debug)]
pub(super) struct Bucket {
    tokens: u32,
    refilled: Duration,
}

impl Bucket {
    pub(super) const fn full() -> Self {
        Self { tokens: BURST, refilled: Duration::ZERO }
    }

    /// Takes a token, if there is one.
    pub(super) fn take(&mut self, steady: Duration) -> bool {
        if self.tokens == BURST {
            self.refilled = steady;
        }
        while self.tokens < BURST && self.refilled.saturating_add(REFILL) <= steady {
            self.tokens = self.tokens.saturating_add(1);
            self.refilled =
                if self.tokens == BURST { steady } else { self.refilled.saturating_add(REFILL) };
        }
        match self.tokens.checked_sub(1) {
            Some(left) => {
                self.tokens = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "60 000 steps")]
    fn a_flood_takes_three_and_then_one_per_five_seconds() {
        let mut bucket = Bucket::full();
        let start = 1_000_000_u64;
        let taken: Vec<u64> = (0..60_000)
            .filter(|millis| bucket.take(Duration::from_millis(start + millis)))
            .collect();
        assert_eq!(taken.len(), 3 + 11, "{taken:?}");
        assert_eq!(taken[..5], [0, 1, 2, 5_000, 10_000]);
    }

    #[test]
    fn a_long_rest_fills_it_and_no_more() {
        let mut bucket = Bucket::full();
        while bucket.take(Duration::ZERO) {}
        let later = Duration::from_secs(86_400);
        assert_eq!((0..10).filter(|_| bucket.take(later)).count(), 3);
    }
}
