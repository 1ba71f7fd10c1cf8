//! Issuers: who may write tokens, with which algorithms, and where their keys come from.
//!
//! 1. A key is found by issuer AND `kid` (RFC 8725 §3.8): each issuer has its own set, and no set
//!    is ever searched for another issuer's token.
//! 2. Keys come from configuration, from a JWKS URL, or through discovery (RFC 8414, OpenID
//!    Connect Discovery), never from a token and never from a URL in one.
//! 3. A document found by discovery counts only if its `issuer` is the configured one, code point
//!    by code point (RFC 8414 §3.3).
//! 4. A fetched set replaces the one before: a withdrawn key is gone with the next fetch.
//! 5. Fetches run in a task of their own, ahead of the age at which keys stop being fresh. An
//!    outage keeps the last good keys for a stated time ([`KeyRefresh::keep_through_outage`]);
//!    after that nothing can be decided: 503, never 401.
//! 6. Unknown `kid`s ask for a burst of three fetches and then one per five seconds, per
//!    issuer, however many tokens carry one; the token waits for a fetch under way at most
//!    [`KeyRefresh::wait_at_most`].
//!
//! What it does not do: it starts nothing before [`crate::ResourceServer::warm_up`] or the first
//! token of that issuer. All its tasks end with the last handle of the server.
//!
//! Deployment: without a warm-up the first request pays for discovery, or gets 503 if that takes
//! longer than the wait.
//!
//! ```
//! use std::time::Duration;
//! use portcullis::Issuer;
//! use portcullis::issuer::KeyRefresh;
//! use portcullis::jose::Algorithm;
//!
//! let partner = Issuer::jwks("https://partner.example", "https://keys.partner.example/jwks.json")
//!     .algorithms([Algorithm::Es256, Algorithm::Ed25519])
//!     .key_refresh(KeyRefresh::new().keep_through_outage(Duration::from_hours(6)));
//! assert_eq!(partner.id(), "https://partner.example");
//! ```

mod bucket;
pub(crate) mod config;
mod discovery;
mod fetch;
pub(crate) mod flight;
mod health;
mod keys;
mod kind;
mod names;
mod profile;
mod refresh;
mod registry;
mod tenants;
mod trust;
mod vendor;

use config::CheckedSource;
pub use config::DangerousIssuer;
pub(crate) use config::{Checked, IssuerRules};
pub(crate) use discovery::foreign_address;
pub use discovery::{MetadataError, discovery_urls};
pub use fetch::KeyFetchError;
pub(crate) use flight::Wait;
pub use health::{IssuerHealth, KeyState};
pub(crate) use keys::{Attempt, IssuerKeys, KeyMiss, KeyOf, KeySearchError, Remedy, TransportOf};
pub use kind::ClaimTest;
pub(crate) use kind::KindRule;
pub(crate) use names::IssuerNames;
pub use profile::{DangerousProfile, OptionalClaim, TokenProfile};
pub(crate) use profile::{IdTokens, Untyped};
pub use refresh::KeyRefresh;
pub use registry::WarmUpError;
pub(crate) use registry::{Registry, Remembered, TenantRules};
pub(crate) use tenants::Resolved;
pub use trust::{IssuerResolver, TenantList, Trust};
