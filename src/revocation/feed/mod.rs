//! A JSON feed: a document that says what is revoked, for issuers that have neither status lists nor
//! event streams. [`FEED_SCHEMA`] is its JSON Schema.
//!
//! # The document
//!
//! ```json
//! {
//!   "feed": "urn:example:revocations",
//!   "sequence": 42,
//!   "issued_at": 1800000000,
//!   "count": 6,
//!   "records": [
//!     { "jti": "b4f1c0", "at": 1799999990, "exp": 1800000900 },
//!     { "subject": "ann", "session": "s-1", "at": 1799999000 },
//!     { "client": "app", "effect": "step_up", "at": 1799999000 },
//!     { "subject": "bob", "effect": "hold", "reason": "account", "at": 1799999000 },
//!     { "kid": "2026-11", "at": 1799999000 },
//!     { "issuer": "https://b.example", "all": true, "at": 1799999000 }
//!   ],
//!   "removed": [{ "subject": "eve", "at": 1799999500 }]
//! }
//! ```
//!
//! - `feed`: a URI, always the same. Numbers are compared within one feed.
//! - `sequence`: a whole number that grows with every change.
//! - `issued_at`: when the document was made. `exp`, which can be left out: from when on it is not to be
//!   believed. Every time is a NumericDate (RFC 7519 §2).
//! - `count`: the number of `records`, so that a list that was cut off is found out.
//! - `since`: this is a delta, what changed after that number. Without it the document is the whole: all
//!   that counts now.
//! - Other members of the document are ignored.
//!
//! A record is about one of:
//!
//! - `jti`: one token; `exp` says when it expires, and how long the record is kept.
//! - `subject` (`sub`), `session` (`sid`), `client`, and `claims`, an object of other claims with the
//!   string that they have to have: tokens with all of them. Names in `claims` have to be known to the
//!   server ([`super::Revocation::claim`]).
//! - `kid`: tokens that are signed with this key. `all`, which is `true`: all tokens of the issuer.
//!
//! `issuer` is whose tokens they are; it can be left out where the source speaks for one issuer. `at` is
//! when it happened. `effect` is one of:
//!
//! - `refuse`: tokens that were issued at `at` or before are refused. Of a `jti`: it is refused. Without an
//!   `effect` this is meant, except for a `kid`.
//! - `step_up`: those are refused until the user has authenticated again.
//! - `hold`, `hold_for_step_up`: all are refused (until the user has authenticated again), whenever they
//!   were issued, until a `release`. These three have a `reason`: `account`, `device` or `risk`. Of what was
//!   said of one reason the latest counts.
//! - `purge`: all are refused, for ever. Of a `kid` without `effect` this is meant: who has the key chooses
//!   when tokens were issued.
//!
//! What is `removed` has the same members without `effect`, `reason` and `exp`: what was said of exactly
//! this target, at `at` or before, counts no more, whoever said it.
//!
//! # Rules
//!
//! 1. A document is taken whole or not at all. A record that cannot be understood, also for a member that
//!    is not known, makes the document an error: it could be a revocation.
//! 2. Only `removed` takes something back. A record that is no longer listed still counts, until it can
//!    matter no more: list a record as long as tokens live that it is about, and a removal as long as the
//!    record could come again.
//! 3. `sequence` never goes back: an older document is an error. One with the same number says that all is
//!    known, as does 304 (`ETag`, RFC 9110 §13.1.2).
//! 4. A delta counts if it begins at what is known or before; else the whole is fetched at once.
//! 5. What is known is as old as the question that was answered last. An error, whatever it is, lets it
//!    grow older ([`super::OnStale`]); then it is asked again after a second, two, at most a minute.
//! 6. Only `https`, no redirect, one host, bounded in size and time, gzip or none.
//!
//! # Signed
//!
//! The same document is the payload of a compact JWS (RFC 7515 §7.1) with `typ`
//! `revocation-feed+jwt`, `iss`, `iat` and, if it is meant to end, `exp`. Give it an `exp`: until then
//! whoever stores it on the way can show an old one to a server that was just started, and keep a newer one
//! from any server. The keys are those of one issuer, and no document without its signature is accepted.
//!
//! What it does not do: it does not look at the content type; it keeps no document; and it asks, so
//! whoever is revoked is refused up to one interval later.

mod config;
mod document;
mod entry;
mod get;
mod known;
mod poller;
mod shape;
mod signed;

pub use config::{DangerousJsonFeed, JsonFeed};
pub use document::{FeedDocument, FeedError};

/// The JSON Schema (draft 2020-12) of a document of a [`JsonFeed`].
pub const FEED_SCHEMA: &str = include_str!("schema.json");
