//! Security events through the public API: SETs, their delivery, and what they do to tokens.
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

mod configuration;
mod effects;
mod interop;
mod liveness;
mod many;
mod poll;
mod push;
mod sets;
mod world;
