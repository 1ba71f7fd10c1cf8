//! An OAuth 2.x resource server in a tower [`Layer`](tower::Layer).
//!
//! On every request it decides whether the access token may be used, here, now: one
//! `Authorization` field, a compact JWS with a key of its issuer, the claims of RFC 9068 (or what
//! the issuer's profile says instead), the audience, the time, how long the token lives, how it has
//! to be bound, and what the route asks. A refusal is answered as RFC 6750 wants it; an outage is
//! 503, never a bad token and never a yes.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use axum::{Json, Router, routing::{delete, get}};
//! use portcullis::check::scope;
//! use portcullis::{Access, Binding, Issuer, ResourceServer, TokenClass};
//!
//! # async fn list(access: Access) -> Json<Vec<String>> { Json(vec![access.subject().to_string()]) }
//! # async fn remove(_: Access) {}
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let api = ResourceServer::builder("https://api.example.com")
//!     .issuer(Issuer::discover("https://login.example.com"))
//!     .binding(Binding::WhereBound)
//!     .class(TokenClass::default_at_most(Duration::from_mins(15)))
//!     .build()?;
//! if let Err(error) = api.warm_up().await {
//!     eprintln!("starting without all keys: {error}"); // they are fetched with the first token
//! }
//!
//! let app: Router = Router::new()
//!     .route("/notes", get(list).layer(api.protect(scope("notes:read"))))
//!     .route("/notes/{id}", delete(remove).layer(api.protect(scope("notes:write"))))
//!     .route_service(&api.metadata_path(), api.metadata_service());
//! # Ok(())
//! # }
//! ```
//!
//! # The decision
//!
//! In this order, cheap before costly, state changed last. The first failure ends it, and its
//! [`Step`] stands on the [`Rejection`].
//!
//! 1. Exactly one `Authorization` field, a known scheme, within the bounds: [`credentials`].
//! 2. The token's shape and header: compact JWS, `alg`, `typ`, nothing that is not understood:
//!    [`jose`]. An envelope of ours is opened first ([`mod@jwe`], feature `jwe`); a token that is no JWT
//!    is one that its issuer is asked about: [`introspection`].
//! 3. The key, by issuer AND `kid`: [`issuer`].
//! 4. The signature; or `active: true`, where the issuer was asked.
//! 5. The claims that RFC 9068 §2.2 requires are there and of the right type, as the issuer's
//!    [`issuer::TokenProfile`] writes them, and none is of another kind of token.
//! 6. Audience, `exp`, `nbf`, `iat`, [`TokenClass`].
//! 7. The sender: everything that `cnf` names is enforced, by a DPoP proof ([`Dpop`]), by a client
//!    certificate ([`Mtls`]), or by both; what an unbound token may do is for [`Binding`] to say, and
//!    for an [`Exception`]: [`sender`].
//! 8. Revocation, and how old what is known of it may be: [`revocation`]. Without a source of it a
//!    `status` claim is not looked at.
//! 9. The policy's checks, in the order given: [`check`].
//! 10. A proof is used once, and so is a token where the policy says so:
//!     [`sender::ReplayStore`].
//!
//! # Where to look
//!
//! - [`guide`]: chapters, each a program that runs.
//! - [`ResourceServer`]: configuration, layers, health, metadata. [`layer`]: its services for tower.
//!   [`Guard`]: decisions without tower.
//! - [`check`]: what a route asks of a token, and how to write your own.
//! - [`introspection`]: opaque tokens. [`mod@jwe`] (feature `jwe`): encrypted ones.
//! - [`issuer`]: where keys come from, how they are refreshed, what happens in an outage; how
//!   Keycloak, Auth0, Entra ID and others write their tokens; tenants.
//! - [`observe`]: one event per decision, for logs, metrics and reactions.
//! - [`mod@config`] (feature `config`): the same from a file.
//! - [`challenge`]: what the client is told of a [`Rejection`].
//! - [`revocation`]: status lists, security events, feeds, your own code; how late they may be.
//! - [`sender`]: DPoP proofs, nonces, certificates, proxies, replay memory. [`mod@rustls`] (feature
//!   `rustls`): mutual TLS that ends in this process.
//! - [`transport`]: the one way out, and how to write your own. [`secret`]: where secrets are.
//!   [`certificate`]: what a peer presents, as bytes.
//! - [`jose`], [`credentials`], [`name`], [`time`]: the parts, each usable on its own.
//! - [`testing`] (feature `testing`): an issuer in your tests' process. [`mod@axum`] (feature
//!   `axum`): extractors. [`mod@tonic`] (feature `tonic`): gRPC.
//!
//! # Features
//!
//! - `reqwest` (default): the HTTP client for metadata and keys.
//! - `axum`: extractors, and the address of the connection.
//! - `tonic`: the access of a gRPC request, and rejections as `tonic::Status`.
//! - `metrics`: an observer for the `metrics` facade.
//! - `config`: configuration from TOML and JSON.
//! - `rustls`: acceptors that hand the client's certificate to the layer; SPIFFE identities.
//! - `jwe`: encrypted access tokens, by OpenSSL 3, whose headers have to be there; `jwe-vendored` builds
//!   it from source.
//! - `testing`: the test kit.
//!
//! A feature adds names; none changes what existing code does.

#![cfg_attr(docsrs, feature(doc_cfg))]
// A link to a name of a feature that is off has nowhere to go.
#![cfg_attr(
    not(all(
        feature = "axum",
        feature = "config",
        feature = "jwe",
        feature = "metrics",
        feature = "reqwest",
        feature = "rustls",
        feature = "testing",
        feature = "tonic"
    )),
    allow(rustdoc::broken_intra_doc_links)
)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod access;
#[cfg(feature = "axum")]
pub mod axum;
pub mod certificate;
pub mod challenge;
pub mod check;
#[cfg(feature = "config")]
pub mod config;
mod context;
pub mod credentials;
mod error;
pub mod guide;
pub mod introspection;
pub mod issuer;
pub mod jose;
#[cfg(feature = "jwe")]
pub mod jwe;
pub mod layer;
pub mod name;
pub mod observe;
mod place;
pub mod revocation;
#[cfg(feature = "rustls")]
pub mod rustls;
pub mod secret;
pub mod sender;
mod server;
mod stripe;
#[cfg(feature = "testing")]
pub mod testing;
pub mod time;
#[cfg(feature = "tonic")]
pub mod tonic;
pub mod transport;
mod verify;

pub use access::{Access, Actor, SubjectKind};
pub use error::{BuildError, ConfigFault, Outcome, Rejection, RejectionKind, Step};
pub use issuer::config::Issuer;
pub use sender::binding::Binding;
pub use sender::dpop::Dpop;
pub use sender::mtls::Mtls;
pub use sender::peer::PeerAddr;
pub use server::{
    Guard, Metadata, MetadataService, Policy, Preflight, ResourceServer, ServerBuilder,
};
pub use verify::{
    Exception, FirstVerificationHealth, FirstVerifications, KnownTokensHealth, OtherAudiences,
    TokenClass,
};

/// The code of the README compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
