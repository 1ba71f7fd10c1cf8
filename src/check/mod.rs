//! Checks: what a policy asks of an accepted token, after everything about the token itself was
//! decided.
//!
//! 1. A check is synchronous and pure: whatever needs waiting was fetched before it runs.
//! 2. It answers yes, or [`Denial`] ("no": 401 or 403), or [`Unavailable`] ("cannot tell": 503).
//!    No check can turn "cannot tell" into a yes.
//! 3. Checks compose: [`Check::and`], [`Check::or`], tuples (all of them), closures. There is no
//!    `not`, and nothing like `()` or `Option` is a check: one that silently disappears must not
//!    compile. Say [`allow_all`] where any accepted token will do, so that it can be found.
//! 4. `or`: any yes is a yes; else any "cannot tell" is 503; else the left answer stands.
//! 5. A check tells in advance what it wants ([`Check::needs`]), so that a request without a
//!    token is told the scopes of its route, and the metadata document lists what is enforced.
//!
//! | What it asks | Function | Refusal |
//! |---|---|---|
//! | The token grants scopes (RFC 6749 §3.3) | [`scope()`], [`all_scopes`], [`any_scope`] | 403, with the scopes |
//! | A claim has a value, or holds one | [`claim()`] | 403 |
//! | It was issued to one of these clients | [`clients`] | 403 |
//! | It is about one of these subjects, or by one of these issuers | [`subjects`], [`issuers`] | 403 |
//! | A person, a client or a workload is the subject (RFC 9700 §4.15) | [`subject_kind`], [`subject_kinds`] | 403 |
//! | Who acts for the subject (RFC 8693 §4.1) | [`actor()`], [`no_actor`], [`actors`] | 403 |
//! | An authorization detail grants it (RFC 9396) | [`authorization_detail`] | 403 |
//! | The request came from one of these networks | [`peer_in`] | 403 |
//! | The sender is one of these workloads (X509-SVID; feature `rustls`) | `spiffe_id` | 403 |
//! | The token's client is the one that sends it | [`client_matches_peer`] | 401 |
//! | How and when the user authenticated (RFC 9470) | [`acr`], [`authenticated_within`], [`step_up()`] | 401, with how |
//! | Anything about the request's head and the token | a `fn(&CheckContext<'_>)` | what it says |
//! | What somebody else has to be asked | [`AsyncCheck`] | what it says; 503 without an answer |
//! | Nothing more | [`allow_all`] | none |
//!
//! A 403 is `insufficient_scope` (RFC 6750 §3.1 has no other code for it), and names a scope only
//! where that scope would help. What a check wants that no token can have, such as one of an empty
//! list, is a fault of the policy: [`crate::ResourceServer::guard`] says so, and a layer refuses
//! every request with 500.
//!
//! ```
//! use portcullis::check::{Check, CheckContext, CheckError, Denial, all_scopes, any_scope, scope};
//!
//! /// A scope, and the tenant in the path is the one in the token.
//! fn own_tenant(request: &CheckContext<'_>) -> Result<(), CheckError> {
//!     #[derive(serde::Deserialize)]
//!     struct Tenant { tenant: String }
//!     let Ok(Tenant { tenant }) = request.access().claims() else {
//!         return Err(Denial::forbidden("no `tenant` claim").into());
//!     };
//!     if request.uri().path().starts_with(&format!("/{tenant}/")) {
//!         Ok(())
//!     } else {
//!         Err(Denial::forbidden("another tenant's path").into())
//!     }
//! }
//! let read = scope("notes:read").and(own_tenant);
//! let write = (all_scopes(["notes:read", "notes:write"]), own_tenant);
//! let admin = any_scope(["notes:admin", "admin"]).or(scope("root"));
//!
//! # #[cfg(feature = "testing")] {
//! use portcullis::testing::{TestAccess, check};
//! let alice = TestAccess::new().scope("notes:read").claim("tenant", "blue").build();
//! assert!(check(&read, &alice, "GET", "/blue/notes").is_ok());
//! assert!(check(&read, &alice, "GET", "/red/notes").is_err());
//! # }
//! ```
//!
//! What it does not do: a check sees the request's head, never its body.

mod actor;
mod claim;
mod client;
mod client_peer;
mod combine;
mod context;
mod details;
mod later;
mod needs;
mod peer;
mod scope;
#[cfg(feature = "rustls")]
mod spiffe;
mod step_up;
mod subject;

use std::sync::Arc;

pub use actor::{AnyActor, NoActor, RequireActor, actor, actors, no_actor};
pub use claim::{ClaimAt, ClaimPath, RequireClaim, claim};
pub use client::{RequireClient, clients};
pub use client_peer::{ClientPeers, ClientTable, RequireClientPeer, client_matches_peer};
pub use combine::{And, Or};
pub use context::CheckContext;
pub use details::{AuthorizationDetail, RequireDetail, authorization_detail};
pub use later::{AsyncCheck, CheckFuture, CheckRequest};
pub use needs::Needs;
pub use peer::{RequirePeer, peer_in};
pub use scope::{AllowAll, RequireScope, all_scopes, allow_all, any_scope, scope};
#[cfg(feature = "rustls")]
pub use spiffe::{RequireSpiffeId, spiffe_id};
pub use step_up::{RequireStepUp, acr, authenticated_within, step_up};
pub(crate) use step_up::{combined, unmet};
pub use subject::{
    RequireIssuer, RequireSubject, RequireSubjectKind, issuers, subject_kind, subject_kinds,
    subjects,
};

pub use crate::error::{CheckError, Denial, DenialKind, StepUp, Unavailable};

/// A condition on an accepted token and the request it came with.
///
/// A false yes lets a request through that the policy forbids; a false no locks out a client that
/// is entitled. Where the answer cannot be known, say [`Unavailable`], never yes.
///
/// A closure needs its argument's type: `|request: &CheckContext<'_>| ...`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a check",
    note = "use `scope(\"...\")`, or a `fn(&CheckContext<'_>) -> Result<(), CheckError>` that is not \
            async; a closure needs its argument's type"
)]
pub trait Check: Send + Sync {
    /// Decides.
    ///
    /// # Errors
    /// [`CheckError::Denied`] if the answer is no, [`CheckError::Unavailable`] if it cannot be
    /// known now.
    fn check(&self, request: &CheckContext<'_>) -> Result<(), CheckError>;

    /// Adds what this check wants of a client, for challenges, for metadata, and for the effective
    /// policy. Unless a check says otherwise it wants nothing that a client could be told, and
    /// stands in the effective policy by the name of its type.
    fn needs(&self, needs: &mut Needs) {
        needs.rule("custom", std::any::type_name::<Self>());
    }

    /// Both, this one first.
    fn and<C: Check>(self, other: C) -> And<Self, C>
    where
        Self: Sized,
    {
        And::new(self, other)
    }

    /// Either, this one first. A refusal by both is answered as this one's.
    fn or<C: Check>(self, other: C) -> Or<Self, C>
    where
        Self: Sized,
    {
        Or::new(self, other)
    }
}

// Whoever gives something else wants to read that it is no check, not that it is no such `Fn`.
#[diagnostic::do_not_recommend]
impl<F> Check for F
where
    F: Fn(&CheckContext<'_>) -> Result<(), CheckError> + Send + Sync,
{
    fn check(&self, request: &CheckContext<'_>) -> Result<(), CheckError> {
        self(request)
    }
}

impl<C: Check + ?Sized> Check for Arc<C> {
    fn check(&self, request: &CheckContext<'_>) -> Result<(), CheckError> {
        (**self).check(request)
    }

    fn needs(&self, needs: &mut Needs) {
        (**self).needs(needs);
    }
}
