//! Sender binding: what ties a token to the one who may use it (RFC 7800, RFC 9449, RFC 8705), and
//! where a request came from.
//!
//! 1. A token whose `cnf` names a key or a certificate is never accepted as a plain bearer token.
//! 2. A `cnf` that cannot be enforced, whatever its shape, refuses the token: ignoring it would
//!    turn a bound token into a bearer token.
//! 3. The strictest of what the server, the token's class and the route want of a sender applies.
//!
//! What it does not do yet: it verifies no DPoP proof and no client certificate, so every token
//! with a `cnf` is refused, and so is every token where a binding is wanted.

mod binding;
mod forwarded;
mod nonce;
mod origin;
mod peer;
mod proof;
mod replay;
#[cfg(feature = "rustls")]
mod spiffe;
mod trusted;
mod uri;

pub use binding::Binding;
pub(crate) use binding::enforce;
pub(crate) use peer::Networks;
pub use peer::PeerAddr;
pub(crate) use trusted::CheckedPeers;
pub use trusted::TrustedPeers;
