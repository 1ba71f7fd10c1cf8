//! The test kit (feature `testing`): an issuer in your process, without sockets and without
//! sleeping.
//!
//! 1. [`TestIssuer`] has real keys of every algorithm and publishes metadata and keys through
//!    [`TestNetwork`], a [`crate::transport::Transport`] that touches no network: rotate,
//!    withdraw, hold, fail, count fetches.
//! 2. [`TokenBuilder`] makes good tokens and every kind of wrong one.
//! 3. [`ClientKey`] and [`ProofBuilder`] do the same for DPoP proofs.
//! 4. [`ManualClock`] moves when told.
//! 5. [`TestAccess`] makes an [`crate::Access`] without a token, to test handlers and checks.
//! 6. [`TestStatusList`] is a status list on the same network.
//! 7. [`TestTransmitter`] makes security events, is polled, and is asked to verify its stream.
//! 8. [`TestIntrospection`] is an introspection endpoint for opaque tokens, with JSON or signed answers.
//! 9. [`HeldVerifications`] makes a server as busy as a flood of forged tokens does.
//! 10. [`assert_challenge!`](crate::assert_challenge) reads a refusal as a client would.
//!
//! It panics where a test would want it to. Do not enable the feature in production: with it,
//! code can make an [`crate::Access`] from nothing.
//!
//! ```
//! use std::time::Duration;
//! use http::Request;
//! use portcullis::check::scope;
//! use portcullis::testing::{ManualClock, TestIssuer, TestNetwork};
//! use portcullis::{Binding, RejectionKind, ResourceServer, TokenClass};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let clock = ManualClock::new();
//! let issuer = TestIssuer::new("https://as.example", &clock);
//! let api = ResourceServer::builder("https://rs.example")
//!     .issuer(issuer.discover())
//!     .binding(Binding::WhereBound)
//!     .class(TokenClass::default_at_most(Duration::from_mins(15)))
//!     .policy(scope("notes:read"))
//!     .transport(TestNetwork::of(&[&issuer]))
//!     .clock(clock.clone())
//!     .build()?;
//!
//! let token = issuer.token("https://rs.example").scope("notes:read").sign();
//! let (request, ()) = Request::get("/notes")
//!     .header("authorization", format!("Bearer {token}"))
//!     .body(())?
//!     .into_parts();
//! assert_eq!(api.verify(&request).await?.subject(), "alice");
//!
//! clock.advance(Duration::from_mins(20));
//! let refused = api.verify(&request).await.unwrap_err();
//! assert_eq!(refused.kind(), RejectionKind::Expired);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test kit fails a test by panicking"
)]

mod access;
mod certificate;
mod challenge;
mod clock;
mod event;
mod introspection;
mod issuer;
#[cfg(feature = "jwe")]
mod jwe;
mod jws;
mod key;
mod members;
mod network;
mod proof;
mod status_list;
mod token;
mod turns;

pub use access::{TestAccess, check, check_async};
pub use certificate::{KeyUsage, TestCertificate, TestCertificateBuilder};
pub use challenge::{Challenge, challenges};
pub use clock::ManualClock;
pub use event::TestTransmitter;
pub use introspection::{IntrospectionFailure, TestIntrospection, TestIntrospectionRequest};
pub use issuer::{Failure, TestIssuer};
#[cfg(feature = "jwe")]
pub use jwe::{EnvelopeBuilder, TestDecryptionKey};
pub use key::TestKey;
pub use network::TestNetwork;
pub use proof::{ClientKey, ProofBuilder};
pub use status_list::TestStatusList;
pub use token::TokenBuilder;
pub use turns::HeldVerifications;
