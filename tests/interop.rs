//! A real authorization server (npm `oidc-provider`), found by discovery over HTTP, and real clients
//! of other people's making that get bound tokens from it (npm `openid-client`, `oauth4webapi`,
//! `undici`).
//!
//! The tests are ignored unless asked for: they need Node 20 and `npm ci` in `tests/interop`. They
//! start every process themselves and stop it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "a test fails by panicking, and says what it saw; of an example not all is used"
)]

#[path = "../examples/dpop.rs"]
mod dpop_example;
#[path = "../examples/mtls.rs"]
mod mtls_example;

#[path = "interop/certificates.rs"]
mod certificates;
#[path = "interop/dpop.rs"]
mod dpop;
#[cfg(feature = "jwe")]
#[path = "interop/encrypted.rs"]
mod encrypted;
#[path = "interop/introspection.rs"]
mod introspection;
#[path = "interop/mtls.rs"]
mod mtls;
#[path = "interop/opaque.rs"]
mod opaque;
#[path = "interop/provider.rs"]
mod provider;
#[path = "interop/signed.rs"]
mod signed;
#[path = "interop/steps.rs"]
mod steps;
#[path = "interop/tokens.rs"]
mod tokens;

const RESOURCE: &str = "https://notes.example";
const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop");
