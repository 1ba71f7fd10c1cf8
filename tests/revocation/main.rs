//! Revocation through the public API: what records do to tokens, how old what is known may be, and
//! what becomes of it all when there is no room, when clocks jump, and after a restart.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod answered;
mod configuration;
mod endings;
mod faults;
mod freshness;
mod interleavings;
mod lag;
mod records;
mod room;
mod source;
mod sources;
mod tasks;
