//! Requests that are dropped, wherever they wait: a place, a turn, a question and a proof are not lost, and
//! nothing is answered twice.
//!
//! 1. Each shape of request ([`shapes`]) is polled so often and dropped: never, once, twice, until it ends
//!    by itself ([`harness`]). Between two polls one more of what it waits for comes.
//! 2. The same as a layer over an inner service that is not ready at once, and as a guard.
//! 3. After each drop the same request is made again and gets the right answer; who waited for the same
//!    thing beside it gets its answer; every count of the server is at rest; and no task is left of a server
//!    that is gone.
//! 4. What else is awaited and can be dropped: warming up, a pushed event, a revocation ([`others`]).
//!
//! Futures are polled by hand, with a waker that wakes nobody; what comes after a drop runs in tasks, which
//! are polled only when they are woken.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says how often it dropped"
)]

#[path = "../support/mod.rs"]
mod support;

#[allow(dead_code, reason = "only its directory and its source by hand are used here")]
#[path = "../revocation/source.rs"]
mod source;

mod bound;
mod harness;
mod others;
mod shapes;
