//! SPIFFE: who a workload is, by the certificate with which it proves itself (SPIFFE ID, X509-SVID,
//! SPIFFE Trust Domain and Bundle).
//!
//! 1. A [`SpiffeId`] is read strictly: it has one spelling, so that two texts are two workloads.
//! 2. A [`SpiffePattern`] is compared segment by segment, never as a part of a text.
//! 3. A [`TrustBundle`] is the root certificates of ONE trust domain. It vouches for no other, so that
//!    an authority of one trust domain cannot name a workload of another.
//! 4. A certificate's path is validated by `rustls-webpki` (RFC 5280 §6), for client authentication,
//!    with the signature algorithms of the TLS handshake. What it does not look at is looked at here,
//!    to refuse more and never less: the validity of the root, and the key usage of intermediates.
//! 5. The leaf has exactly one URI name, which is a SPIFFE ID of the trust domain with a path
//!    (X509-SVID §2, §3.1); it is no authority (§4.1); its key usage is there, with
//!    `digitalSignature`, without `keyCertSign` and `cRLSign` (§4.3, §5.2).
//! 6. A certificate is verified once for a bundle, and remembered while every certificate of the path
//!    is valid: with the certificate, and with the bundle, for a forwarded one is read anew from each
//!    request. Every call compares `now` with that time.
//! 7. No two certificates of a chain have one subject: then no certificate has more than one possible
//!    issuer among them, and there are no orders of them to try.
//!
//! What it does not do: it asks nobody whether a certificate was revoked (SVIDs live for minutes or
//! hours), it fetches no bundle, and it does not prove that the sender has the key: the TLS handshake
//! has done that, or a proxy that is believed.

mod bundle;
mod id;
mod known;
mod path;
mod pattern;
mod svid;

pub use bundle::TrustBundle;
pub use id::SpiffeId;
pub use pattern::SpiffePattern;
pub use svid::SvidError;
