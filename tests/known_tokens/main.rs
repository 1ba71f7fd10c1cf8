//! Tokens that are known from an earlier request: what they say is not verified again, and every
//! decision is the one that would be made without knowing them.
//!
//! Each test asks two servers of one configuration at once, of which one keeps nothing and verifies every
//! token each time: it says what is right, and the other has to say the same.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod filling;
mod keys;
mod model;
mod pair;
mod policies;
mod records;
#[cfg(feature = "jwe")]
mod sealed;
mod senders;
mod spellings;
mod tenants;
mod threads;
mod times;
mod waiting;
