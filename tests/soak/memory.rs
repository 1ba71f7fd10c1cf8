//! How much of the heap is alive, looked at while no request is under way.

use std::alloc::System;
use std::time::Duration;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// By how much the mean of the last third may be above that of the second. What is held moves up and down
/// with what is revoked, known and remembered, all of it bounded; what grows with use is above this soon: in
/// twenty seconds some twenty thousand requests lie between the two thirds, in ten minutes half a million,
/// so that one octet kept of each is seen.
const BOUND: u64 = 512 * 1024;

/// Looks at the heap, in three parts of the time.
pub(crate) struct Memory {
    third: Duration,
    sums: [u64; 3],
    looks: [u64; 3],
    most: [u64; 3],
}

impl Memory {
    pub(crate) fn of(length: Duration) -> Self {
        Self { third: length / 3, sums: [0; 3], looks: [0; 3], most: [0; 3] }
    }

    pub(crate) fn look(&mut self, elapsed: Duration) {
        let stats = ALLOCATOR.stats();
        let alive = stats.bytes_allocated.saturating_sub(stats.bytes_deallocated);
        let alive = u64::try_from(alive).unwrap();
        let part = usize::from(elapsed >= self.third) + usize::from(elapsed >= self.third * 2);
        self.sums[part] += alive;
        self.looks[part] += 1;
        self.most[part] = self.most[part].max(alive);
    }

    /// The first third fills what is bounded; after it nothing grows.
    pub(crate) fn is_flat(&self) {
        let mean = |part: usize| self.sums[part] / self.looks[part].max(1);
        let means = [mean(0), mean(1), mean(2)];
        println!(
            "alive: {means:?} octets by thirds, at most {:?}, {:?} looks",
            self.most, self.looks
        );
        assert!(self.looks.iter().all(|looks| *looks > 0), "it was not looked at");
        assert!(means[2] <= means[1] + BOUND, "it grows");
    }
}
