//! Attacks that worked on other verifiers, one test for each mechanism.
//!
//! The comments name advisories about other software in which the mechanism was found.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod keys;
mod memory;
mod output;
mod parsing;
mod signatures;
mod spellings;
mod ways;
