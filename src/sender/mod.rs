//! Sender binding: what ties a token to the one who may use it (RFC 7800, RFC 9449, RFC 8705), and
//! where a request came from.
//!
//! 1. A token whose `cnf` names a key or a certificate is never accepted as a plain bearer token.
//! 2. A `cnf` that cannot be enforced, whatever its shape, refuses the token: ignoring it would
//!    turn a bound token into a bearer token.
//! 3. The strictest of what the server, the token's class and the route want of a sender applies.
//! 4. What came in a header field about the client is believed from proxies of one's own only
//!    ([`TrustedPeers`]), and never reaches the service behind the layer.
//! 5. A proof is used once ([`ReplayStore`]).
//!
//! What it does not do: a proof covers method and URI, not the body and not other fields (RFC 9449
//! §11.7); of a certificate nothing but its thumbprint is looked at, unless a check asks for more.

pub(crate) mod binding;
pub(crate) mod dpop;
mod forwarded;
pub(crate) mod mtls;
mod nonce;
mod origin;
pub(crate) mod peer;
mod proof;
mod replay;
#[cfg(feature = "rustls")]
mod spiffe;
mod trusted;
mod uri;

pub(crate) use binding::{Binding, Mechanisms};
pub(crate) use dpop::{CheckedDpop, Dpop, RouteNonces};
pub(crate) use forwarded::ForwardedFields;
pub use forwarded::{
    ForwardedCertificate, ForwardedError, MAX_CLIENT_CERT, MAX_CLIENT_CERT_CHAIN, MAX_ESCAPED_PEM,
    MAX_XFCC, XfccElement, parse_client_cert, parse_escaped_pem, parse_xfcc,
};
pub(crate) use mtls::{CheckedMtls, Mtls};
pub use nonce::Nonces;
pub use origin::{ForwardedOrigin, OriginalUri, PublicOrigin};
pub(crate) use peer::{Networks, PeerAddr};
pub(crate) use proof::KnownSender;
pub use proof::{
    ExpectedProof, MAX_PROOF, NonceDemand, NonceUse, NonceVerdict, Proof, ProofError,
    ProofErrorKind, ProofRules, TargetCheck,
};
pub use replay::{
    MemoryReplayStore, ReplayAnswer, ReplayEntry, ReplayError, ReplayErrorKind, ReplayFuture,
    ReplayHealth, ReplayStore, Sighting, Used,
};
#[cfg(feature = "rustls")]
pub use spiffe::{SpiffeId, SpiffePattern, SvidError, TrustBundle};
pub use trusted::TrustedPeers;
pub use uri::{TargetUri, TargetUriError};
