//! Sender binding: what ties a token to the one who may use it (RFC 7800, RFC 9449, RFC 8705).
//!
//! 1. A token whose `cnf` names a key or a certificate is never accepted as a plain bearer token.
//! 2. A `cnf` that cannot be enforced, whatever its shape, refuses the token: ignoring it would
//!    turn a bound token into a bearer token.
//!
//! What it does not do yet: it verifies no DPoP proof and no client certificate, so every token
//! with a `cnf` is refused.

use crate::access::Confirmation;
use crate::error::{Refusal, RejectionKind};

/// What an unbound token may do. A server states it: there is no default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Binding {
    /// A bound token has to be proven; an unbound one is accepted as a plain bearer token.
    WhereBound,
}

/// Everything that `cnf` names is enforced, or the token is refused.
pub(crate) fn enforce(confirmation: Confirmation, binding: Binding) -> Result<(), Refusal> {
    match (binding, confirmation) {
        (Binding::WhereBound, Confirmation::Absent) => Ok(()),
        (Binding::WhereBound, Confirmation::Unenforceable) => Err(Refusal::new(
            RejectionKind::SenderNotProven,
            "the token has `cnf`, and no way to prove its sender is configured",
        )),
    }
}
