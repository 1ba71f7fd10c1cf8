//! Introspection through the public API: what is asked, which answers count, how long they are kept, and
//! what becomes of requests when there is none.
//!
//! Requirements INT-01 to INT-24 and what other sections say of introspected tokens; attacks 24 to 28.
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

mod answers;
mod attacks;
mod bounds;
mod breaker;
mod cache;
mod calls;
mod choice;
mod clients;
mod configuration;
mod equal;
mod faults;
mod freshness;
mod gaps;
mod jwts;
mod own_faults;
mod revoked;
mod secrets;
mod senders;
mod sharing;
mod signed;
mod statuses;
mod surfaces;
mod world;
