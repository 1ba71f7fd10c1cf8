//! Waiting without a clock: what is waited for is under way.
#![allow(
    dead_code,
    clippy::panic,
    reason = "a test fails by panicking, and each test uses its own part"
)]

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// After this something will not come any more, however busy the machine is.
const LONGEST: Duration = Duration::from_mins(1);

/// Lets tasks in the background go on.
pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// Lets tasks in the background go on, and other threads, until this is so.
pub(crate) async fn until(what: &str, so: impl Fn() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < LONGEST, "it never came: {what}");
        tokio::task::yield_now().await;
        std::thread::yield_now();
    }
}

/// The output of what waits for nothing: keys are there, and nobody is asked. No runtime is needed.
pub(crate) fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}
