//! Connections, on the wire: two thousand at once, slow ones, ones that hang up in the middle of a decision,
//! and the end of a service with requests in flight.
//!
//! 1. Every connection is served by hyper with the layer over an axum router ([`serve`]), and asked by a
//!    client that writes octets ([`client`]).
//! 2. They are sockets on loopback. Where this process may not open so many files, the rest are pipes in
//!    memory, and the test says how many.
//! 3. No test measures time. One that hangs is ended by a bound of a minute that nothing else depends on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it did"
)]

#[path = "../support/mod.rs"]
mod support;

mod client;
mod hang_up;
mod many;
mod serve;
mod shutdown;
mod slow;
