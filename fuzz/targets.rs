//! The bodies of the fuzz targets, without a fuzzer: each takes octets and panics if the crate
//! panics or says something that an independent reading of the same octets does not.
//!
//! `fuzz_targets/` runs them under libFuzzer, `tests/fuzz_replay.rs` over every file of `corpus/`.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a library for fuzzers and a module of a test: both fail by panicking"
)]

#[path = "targets/challenge.rs"]
mod challenge;
#[cfg(feature = "config")]
#[path = "targets/config.rs"]
mod config;
#[path = "targets/decision.rs"]
mod decision;
#[path = "targets/forwarded.rs"]
mod forwarded;
#[path = "targets/htu.rs"]
mod htu;
#[path = "targets/introspection.rs"]
mod introspection;
#[path = "targets/json.rs"]
mod json;
#[cfg(feature = "jwe")]
#[path = "targets/jwe.rs"]
mod jwe;
#[path = "targets/keys.rs"]
mod keys;
#[path = "targets/metadata.rs"]
mod metadata;
#[path = "../tests/naive/mod.rs"]
mod naive;
#[path = "targets/name.rs"]
mod name;
#[path = "targets/proof.rs"]
mod proof;
#[path = "targets/revocation_feed.rs"]
mod revocation_feed;
#[path = "targets/security_event.rs"]
mod security_event;
#[path = "targets/spiffe.rs"]
mod spiffe;
#[path = "targets/status_list.rs"]
mod status_list;
#[path = "targets/time.rs"]
mod time;
#[path = "targets/token.rs"]
mod token;
#[path = "targets/tree.rs"]
mod tree;

pub use challenge::challenge;
#[cfg(feature = "config")]
pub use config::config;
pub use decision::{decision, profile, signed_decision};
pub use forwarded::{client_cert, escaped_pem, xfcc};
pub use htu::htu;
pub use introspection::introspection_answer;
pub use json::{claims, header, json};
#[cfg(feature = "jwe")]
pub use jwe::jwe_header;
pub use keys::{jwk, jwks};
pub use metadata::metadata;
pub use name::{names, resource};
pub use proof::proof;
pub use revocation_feed::revocation_feed;
pub use security_event::security_event;
pub use spiffe::spiffe;
pub use status_list::status_list;
pub use time::numeric_date;
pub use token::{compact, credentials};

/// The body of a target.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const ALL: &[(&str, Target)] = &[
    ("challenge", challenge),
    ("claims", claims),
    ("client_cert", client_cert),
    ("compact", compact),
    #[cfg(feature = "config")]
    ("config", config),
    ("credentials", credentials),
    ("decision", decision),
    ("escaped_pem", escaped_pem),
    ("header", header),
    ("htu", htu),
    ("introspection_answer", introspection_answer),
    ("json", json),
    #[cfg(feature = "jwe")]
    ("jwe_header", jwe_header),
    ("jwk", jwk),
    ("jwks", jwks),
    ("metadata", metadata),
    ("names", names),
    ("numeric_date", numeric_date),
    ("profile", profile),
    ("proof", proof),
    ("resource", resource),
    ("revocation_feed", revocation_feed),
    ("security_event", security_event),
    ("signed_decision", signed_decision),
    ("spiffe", spiffe),
    ("status_list", status_list),
    ("xfcc", xfcc),
];
