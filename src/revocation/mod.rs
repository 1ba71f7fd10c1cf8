//! Revocation: what is known of tokens that may be used no more, and how late that can be.
//!
//! 1. One index in memory is asked on every request: a token's `jti`; subject, client, session and
//!    other claims with a time before which everything is refused; whole issuers; compromised keys;
//!    status lists. It is always asked, also for a token that is known already.
//! 2. What it knows comes from sources, any number together: [`StatusLists`], an [`EventStream`]
//!    of security events (SSF, CAEP, RISC), a [`JsonFeed`], this process ([`Revocations::revoke`]),
//!    and a [`RevocationSource`] of your own. Each speaks for the issuers that it is configured for,
//!    and for no other.
//! 3. Every source has a maximum age. What is older than that is 503 or, for a stated time, accepted:
//!    [`OnStale`]. It is never 401, and a source that never said anything is not taken for one
//!    that has nothing to say. [`crate::Policy::freshness`] and [`crate::Policy::on_stale`] say it
//!    for one route.
//! 4. No request waits for a source. Only for a status list that was never seen, or is too old, it does,
//!    two seconds at most.
//! 5. A cut-off refuses tokens that were issued at its time or before (`iat`); of all that apply the
//!    latest counts. It is kept for as long as such a token can live: the longest lifetime that any
//!    token class of the server allows, and the leeway.
//! 6. Records come in any order, and twice. Nothing that still matters is dropped to make room, and an
//!    eighth of the room is left to this process. A token with a name that no record can have
//!    ([`Record::MAX_LENGTH`]) is refused.
//! 7. With a [`Journal`] a record is acknowledged once it is on disk, and known again after a restart.
//!
//! # Which source
//!
//! | who issues tokens | what it offers | here |
//! |---|---|---|
//! | your own authorization server | what you build | [`JsonFeed`] is the least work; [`StatusLists`] scale to any number of tokens; events for everything about users |
//! | one that transmits shared signals (SSF), such as Keycloak (experimental) or Okta (early access) | pushed or polled CAEP and RISC events | [`EventStream`]; look at which subjects its events name ([`Subjects`]) |
//! | one that puts `status` into its tokens | Token Status Lists | [`StatusLists`] |
//! | one that can be asked (RFC 7662), as Keycloak can about its JWTs | introspection | [`Introspection::jwts`](crate::introspection::Introspection::jwts), which needs no source: a revocation is seen within its `ttl` |
//! | Auth0, Entra ID, Cognito, Google and others without either | webhooks, log streams, logout notices | a handler or a task of yours that calls [`Revocations::revoke`], or a [`RevocationSource`]; a [`JsonFeed`] that one service makes of them for all |
//!
//! What a vendor offers changes: look it up. Some leave `jti` out of access tokens
//! ([`crate::issuer::TokenProfile`]): those can be revoked by subject, session and client only.
//!
//! ```
//! # use std::time::Duration;
//! # use portcullis::testing::{ManualClock, TestIssuer, TestNetwork};
//! # use portcullis::{Binding, RejectionKind, ResourceServer, TokenClass, check::allow_all};
//! use portcullis::revocation::{Claims, Record, Revocation};
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! # let clock = ManualClock::new();
//! # let issuer = TestIssuer::new("https://as.example", &clock);
//! let api = ResourceServer::builder("https://rs.example")
//!     .revocation(Revocation::new())
//!     // ... issuer, class, binding ...
//! #     .issuer(issuer.discover()).binding(Binding::WhereBound)
//! #     .class(TokenClass::default_at_most(Duration::from_hours(1)))
//! #     .transport(TestNetwork::of(&[&issuer])).clock(clock.clone()).build()?;
//! let token = issuer.token("https://rs.example").sign();
//! # let request = http::Request::get("/").header("authorization", format!("Bearer {token}")).body(())?;
//! let access = api.verify(&request).await?;
//!
//! // In an admin's handler, when a job has ended, or when a rule finds something odd:
//! api.revocations().revoke_access(&access).await?;
//! assert_eq!(api.verify(&request).await.unwrap_err().kind(), RejectionKind::Revoked);
//! # Ok::<_, Box<dyn std::error::Error>>(()) })?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod config;
mod decision;
mod events;
mod feed;
mod freshness;
mod index;
mod inlet;
mod journal;
mod local;
mod prepare;
mod record;
mod rest;
mod runtime;
mod said;
mod source;
mod status_list;
mod store;

use std::time::Duration;

pub(crate) use config::Issuers;
pub use config::{Revocation, Source, SourceKind, WhenFull};
pub(crate) use decision::{ClearAt, Objection};
pub use events::*;
pub use feed::*;
pub(crate) use freshness::Demand;
pub use freshness::{OnStale, SourceHealth, SourceState};
pub use index::{Inserted, Purged, RevokedTokens, TokenFingerprint};
pub use journal::{Journal, JournalError};
pub use local::{Revocations, RevokeError, RevokeOnDrop};
pub(crate) use prepare::{Prepared, Setting};
pub use record::{Claim, Claims, Effect, Hold, Record, Target};
pub(crate) use runtime::Runtime;
pub use source::{Applied, ApplyError, Batch, RevocationSource, Running, SourceHandle};
pub(crate) use status_list::ListSlot;
pub use status_list::*;
pub(crate) use status_list::{Reference, reference_of};

use crate::time::LEEWAY_MOST;

/// The name of the source that this process is.
pub(crate) const LOCAL: &str = "local";

/// What two clocks can add to a token's life: `iat` ahead of ours, and `exp` behind it.
const LEEWAYS_MOST: Duration = LEEWAY_MOST.saturating_mul(2);

/// How much longer than a token can live a release is remembered.
const RELEASES_ARE_KEPT: Duration = Duration::from_hours(24 * 7);
