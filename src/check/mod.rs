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

mod combine;
mod context;
mod scope;

use std::sync::Arc;

pub use combine::{And, Or};
pub use context::CheckContext;
pub use scope::{AllowAll, RequireScope, all_scopes, allow_all, any_scope, scope};

use crate::error::ConfigFault;
pub use crate::error::{CheckError, Denial, DenialKind, Unavailable};
use crate::name::Scope;

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

    /// Adds what this check wants of a client, for challenges and metadata. A check that wants no
    /// scope has nothing to add.
    fn needs(&self, needs: &mut Needs) {
        let _ = needs;
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

/// What a policy wants of a client, gathered from its checks.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    scopes: Vec<Scope>,
    alternatives: Vec<Scope>,
    faults: Vec<ConfigFault>,
}

impl Needs {
    /// The client needs this scope: challenges ask for it. A text that is no scope token is a
    /// fault of the policy.
    pub fn scope(&mut self, scope: &str) {
        match Scope::parse(scope) {
            Ok(scope) => add(&mut self.scopes, scope),
            Err(fault) => self.faults.push(fault.into()),
        }
    }

    /// The client may bring this scope in place of what it needs: metadata lists it, challenges
    /// do not ask for it.
    pub fn alternative(&mut self, scope: &str) {
        match Scope::parse(scope) {
            Ok(scope) => add(&mut self.alternatives, scope),
            Err(fault) => self.faults.push(fault.into()),
        }
    }

    /// What the client needs, in the order in which it was added.
    #[must_use]
    pub fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    /// What it may bring instead, in the order in which it was added.
    #[must_use]
    pub fn alternatives(&self) -> &[Scope] {
        &self.alternatives
    }

    pub(crate) fn fault(&mut self, fault: ConfigFault) {
        self.faults.push(fault);
    }

    pub(crate) fn faults(&self) -> &[ConfigFault] {
        &self.faults
    }

    pub(crate) fn of(check: &(impl Check + ?Sized)) -> Self {
        let mut needs = Self::default();
        check.needs(&mut needs);
        needs
    }
}

fn add(scopes: &mut Vec<Scope>, scope: Scope) {
    if !scopes.contains(&scope) {
        scopes.push(scope);
    }
}
