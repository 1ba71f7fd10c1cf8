//! What some work allocates: counted in the thread that does it, since what others allocate meanwhile, the
//! test runner's own among them, would make a test fail by chance.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use allocation_counter::{AllocationInfo, measure};

/// What this returns, and what the allocator gave this thread meanwhile. What goes on in other threads,
/// tests and their harness among them, is not counted.
pub(crate) fn measured<T>(work: impl FnOnce() -> T) -> (T, AllocationInfo) {
    let mut done = None;
    let given = measure(|| done = Some(work()));
    (done.unwrap(), given)
}
