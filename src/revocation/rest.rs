use std::time::Duration;

/// Waits between failures: doubling from the first to the last.
pub(super) struct Rest(Duration);

impl Rest {
    const FIRST: Duration = Duration::from_secs(1);
    pub(super) const LAST: Duration = Duration::from_mins(1);

    pub(super) const fn new() -> Self {
        Self(Self::FIRST)
    }

    pub(super) fn next(&mut self) -> Duration {
        let rest = self.0;
        self.0 = rest.saturating_mul(2).min(Self::LAST);
        rest
    }

    pub(super) fn reset(&mut self) {
        *self = Self::new();
    }
}
