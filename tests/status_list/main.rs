//! Token Status Lists through the public API: what lists do to tokens, which lists are believed, how
//! they are fetched and kept, and what becomes of requests when they are not there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test fails by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod ages;
mod bounds;
mod faults;
mod fetching;
mod lists;
mod observed;
mod prefetch;
mod references;
mod sockets;
mod statuses;
mod vectors;
mod waiting;
mod world;
