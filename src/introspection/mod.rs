//! Introspection (RFC 7662, RFC 9701): tokens that only their issuer understands are asked about.
//!
//! 1. A token that is no JWT is sent to the introspection endpoint of one issuer: the one whose prefix it
//!    has, the one that the route names, or the only one ([`Introspection::prefix`]). It is never shown
//!    to one after the other. JWTs are sent only by choice ([`Introspection::jwts`]).
//! 2. Only `active`, the boolean `true`, is a yes. The answer is then read like the claims of a JWT,
//!    and every later step decides as it would of one: time, audience, class, sender, revocation, the
//!    route's checks. None of that is left to the issuer.
//! 3. An answer is kept for [`Introspection::ttl`], and never beyond `exp`; "not active" for a shorter
//!    time ([`Introspection::negative_ttl`]), in a room of its own. What is kept is found by a keyed
//!    hash of 128 bits: no token is kept, and no two servers share anything. A record that revokes the
//!    token counts at once; when none does any more, the issuer is asked again. A route that wants
//!    fresher knowledge gets it ([`crate::Policy::freshness`]).
//! 4. Requests that come with one token at once share one call. Calls are bounded in number, in time
//!    and in the octets of an answer; no redirect is followed.
//! 5. What goes wrong between this server and the endpoint is 503, never `invalid_token`: credentials
//!    that the endpoint refuses (RFC 7662 §2.3), an answer that cannot be read or contradicts the JWT that
//!    it is about, a fault, silence. What such a JWT says wrongly itself is 401. After
//!    five faults in a row nothing is asked for a second, then for two, at most half a minute, and then
//!    one call tries it. Faults are broken connections, time-outs, redirects, and the status 401, 429, 502,
//!    503 and 504: what no single token brings about.
//! 6. Tokens that were active before keep a quarter of the calls, and half of the places of those that
//!    wait: whoever invents tokens cannot take them.
//!
//! What it does not do: it does not learn the endpoint by discovery, decrypt answers, or send a DPoP
//! proof along. It serves nothing that is older than its `ttl` through an outage.
//!
//! Deployment: each token costs a call to the issuer in each process, once a `ttl`. Whoever invents
//! tokens makes calls too, as many at once as [`Introspection::max_at_once`]; a rate limit in front of the
//! service is the remedy, or a prefix that most inventions do not have. A request that could not be
//! proven whatever the answer is (a bound token is wanted, and there is no proof) is refused unasked.
//!
//! ```
//! use portcullis::introspection::{ClientAuth, Introspection};
//! use portcullis::secret::SecretSource;
//! use portcullis::{Binding, Issuer, ResourceServer, TokenClass};
//! use std::time::Duration;
//!
//! let secret = SecretSource::env("INTROSPECTION_SECRET");
//! let server = ResourceServer::builder("https://api.example.com")
//!     .issuer(Issuer::opaque("https://login.example.com"))
//!     .introspection(
//!         Introspection::at("https://login.example.com", "https://login.example.com/introspect")
//!             .client(ClientAuth::basic("notes-api", secret))
//!             .ttl(Duration::from_secs(20)),
//!     )
//!     .binding(Binding::WhereBound)
//!     .class(TokenClass::default_at_most(Duration::from_hours(1)))
//!     .build()?;
//! # let _ = server;
//! # Ok::<(), portcullis::BuildError>(())
//! ```
//!
//! What comes of it, at an endpoint in the process of a test:
//!
//! ```
//! # #[cfg(feature = "testing")] {
//! use std::time::Duration;
//! use portcullis::introspection::{ClientAuth, Introspection};
//! use portcullis::testing::{ManualClock, TestIntrospection, TestIssuer, TestNetwork};
//! use portcullis::{Binding, Issuer, RejectionKind, ResourceServer, TokenClass};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let clock = ManualClock::new();
//! let issuer = TestIssuer::new("https://as.example", &clock);
//! let endpoint = TestIntrospection::of(&issuer, &clock);
//! let api = ResourceServer::builder("https://rs.example")
//!     .issuer(Issuer::opaque("https://as.example"))
//!     .introspection(
//!         Introspection::at("https://as.example", endpoint.url())
//!             .client(ClientAuth::insecure_unauthenticated()),
//!     )
//!     .binding(Binding::WhereBound)
//!     .class(TokenClass::default_at_most(Duration::from_hours(1)))
//!     .transport(TestNetwork::of(&[]).with_introspection(&endpoint))
//!     .clock(clock.clone())
//!     .build()?;
//!
//! let token = endpoint.active(issuer.token("https://rs.example").subject("ann"));
//! let request = http::Request::get("/notes")
//!     .header("authorization", format!("Bearer {token}"))
//!     .body(())?;
//! assert_eq!(api.verify(&request).await?.subject(), "ann");
//!
//! endpoint.revoke(&token);
//! assert!(api.verify(&request).await.is_ok(), "the answer is kept");
//! clock.advance(Duration::from_secs(30));
//! assert_eq!(api.verify(&request).await.unwrap_err().kind(), RejectionKind::Inactive);
//! # Ok::<(), Box<dyn std::error::Error>>(()) })?;
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! RFC 7662, 9701, 7523, 8705 §2 and §3.2, 9449 §6.2, 9470 §6.2, 9396 §9.2, 8693 §4.

mod answer;
mod assertion;
mod breaker;
mod cache;
mod call_permits;
mod checked;
mod client;
mod config;
mod endpoint;
mod error;
mod form;
mod health;
mod introspector;
mod introspectors;
mod question;
mod signed;

pub(crate) use answer::{Active, Unusable};
pub(crate) use cache::Fingerprint;
pub use client::ClientAuth;
pub use config::{AnswerGap, DangerousIntrospection, Introspection};
pub use health::{EndpointState, IntrospectionHealth};
pub(crate) use introspector::{Introspector, Looked};
pub(crate) use introspectors::{
    AskedAbout, Dates, Introspectors, Keys, KnownIssuer, Prepared, Setting, are_always_asked,
};
pub(crate) use question::Question;
