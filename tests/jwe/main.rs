//! Encrypted access tokens: what is decrypted, and what is refused before and after.
//!
//! Requirements AT-11, AT-12 (RFC 9068 §4), JWS-35, JWS-36 (RFC 8725); attacks 14 and 21. The vectors were
//! made by another implementation: `tests/vectors/jwe.mjs`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod agreed;
mod asked;
mod configuration;
mod failures;
mod headers;
mod load;
mod secrets;
mod senders;
mod server;
mod vectors;
mod world;

use std::alloc::System;
use std::sync::LazyLock;

use portcullis::jwe::{Decryption, Decryptor, KeyManagement};
use portcullis::testing::TestDecryptionKey;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// A compact JWS, as far as decryption looks at it.
const INNER: &str = "eyJhbGciOiJFZERTQSJ9.e30.c2lnbmF0dXJl";

static RSA: LazyLock<TestDecryptionKey> =
    LazyLock::new(|| TestDecryptionKey::generate(KeyManagement::RsaOaep256, "rsa"));
static EC: LazyLock<TestDecryptionKey> =
    LazyLock::new(|| TestDecryptionKey::generate(KeyManagement::EcdhEs, "ec"));
static WRAPPED: LazyLock<TestDecryptionKey> =
    LazyLock::new(|| TestDecryptionKey::generate(KeyManagement::EcdhEsA256Kw, "wrapped"));

/// Of all three keys.
static DECRYPTOR: LazyLock<Decryptor> = LazyLock::new(|| {
    let keys = [&*RSA, &*EC, &*WRAPPED].into_iter();
    let with_key = |all: Decryption, key: &TestDecryptionKey| all.key(key.decryption_key());
    keys.fold(Decryption::new(), with_key).build().unwrap()
});
