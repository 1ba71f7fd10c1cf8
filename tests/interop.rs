//! Software that others wrote, on the wire: authorization servers (npm `oidc-provider`, Python Authlib),
//! clients (npm `openid-client`, `oauth4webapi`, `undici`, `@grpc/grpc-js`, Python httpx2), a proxy (nginx),
//! and what makes tokens, status lists and security events (npm `jose`, `@sd-jwt/jwt-status-list`, Python
//! joserfc, PyJWT).
//!
//! The tests are ignored unless asked for: they need what `tests/interop/setup` installs. They start every
//! process themselves and stop it, and look whether one is left.
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

#[path = "../examples/axum.rs"]
mod axum_example;
#[path = "../examples/behind_proxy.rs"]
mod behind_proxy_example;
#[path = "../examples/dpop.rs"]
mod dpop_example;
#[path = "../examples/mtls.rs"]
mod mtls_example;

#[path = "interop/authlib.rs"]
mod authlib;
#[path = "interop/cases.rs"]
mod cases;
#[path = "interop/certificates.rs"]
mod certificates;
#[path = "interop/dpop.rs"]
mod dpop;
#[cfg(feature = "jwe")]
#[path = "interop/encrypted.rs"]
mod encrypted;
#[path = "interop/events.rs"]
mod events;
#[path = "interop/grpc.rs"]
mod grpc;
#[path = "interop/introspection.rs"]
mod introspection;
#[path = "interop/issuer.rs"]
mod issuer;
#[path = "interop/jwts.rs"]
mod jwts;
#[path = "interop/lists.rs"]
mod lists;
#[path = "interop/metadata.rs"]
mod metadata;
#[path = "interop/mtls.rs"]
mod mtls;
#[path = "interop/nginx.rs"]
mod nginx;
#[path = "interop/opaque.rs"]
mod opaque;
#[path = "interop/process.rs"]
mod process;
#[path = "interop/processes.rs"]
mod processes;
#[path = "interop/provider.rs"]
mod provider;
#[path = "interop/service.rs"]
mod service;
#[path = "interop/signed.rs"]
mod signed;
#[path = "interop/steps.rs"]
mod steps;
#[path = "interop/tokens.rs"]
mod tokens;
#[path = "interop/versions.rs"]
mod versions;

const RESOURCE: &str = "https://notes.example";
const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop");
