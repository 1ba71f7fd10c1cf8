//! Mutual TLS that ends in the process: which client certificates get a connection, and how they
//! reach requests. Every handshake here is a real one.
//!
//! No machine's clock is asked, except by the clients, of the server's certificate, which is valid
//! for two thousand years.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod configuration;
mod handshakes;
mod kit;
mod listening;
mod outbound;
mod requests;
mod resumption;
mod tokens;
mod world;
