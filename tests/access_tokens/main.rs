//! Which tokens are accepted: their form, key, signature, claims, audience, time and sender.
//!
//! The first column of each table names the requirements that a row proves. Every table has rows
//! that pass, and rows that differ from these in one thing and are refused for that reason.
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

mod claims;
mod form;
mod grants;
mod jwks;
mod keys;
mod signatures;
mod time;
