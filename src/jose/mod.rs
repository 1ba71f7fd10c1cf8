//! Signed tokens as bytes: compact JWS, strict JSON, keys, signatures. Pure: no I/O, no clock.
//!
//! 1. Compact serialisation only: exactly three parts, each canonical base64url without padding
//!    (RFC 7515 §5.2, RFC 4648 §3.5), so a token has one spelling up to its signature.
//! 2. Header and payload are JSON objects (RFC 8259) of valid UTF-8, without duplicate members at
//!    any level, and not nested deeper than [`json::MAX_DEPTH`].
//! 3. `crit`, `b64`, `zip`, `enc` and `cty` are refused: nothing here understands them, so a token
//!    that relies on them is not ours (RFC 7515 §4.1.11, RFC 7797 §7, RFC 8725 §3.3).
//! 4. A key is used with exactly one algorithm ([`jwk::PublicKey`]). There is no HMAC and no
//!    `none`: no bytes of a JWK Set can become a shared secret.
//! 5. A key that is weak, private, off its curve or meant for something else is unusable, alone:
//!    the rest of its set works.
//!
//! What it does not do: it decides nothing. A verified signature says who wrote the bytes; whether
//! the token may be used here and now is decided by a [`crate::Guard`].
//!
//! ```
//! use portcullis::jose::{Algorithm, Compact, JwkSet};
//!
//! // The key and the signature of RFC 8037, Appendix A.
//! let keys = JwkSet::parse(
//!     br#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#,
//!     &[Algorithm::EdDsa],
//! )?;
//! let jws = Compact::parse(
//!     "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09P\
//!      GcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
//! )?;
//! let algorithm = jws.header()?.algorithm();
//! let key = keys.find(None, algorithm)?;
//! assert!(key.verify(algorithm, &jws).is_ok());
//!
//! let forged = Compact::parse("eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJtYWxsb3J5In0.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg")?;
//! assert!(key.verify(algorithm, &forged).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! RFC 7515, 7517, 7518, 7519 §7, 7638, 7797, 8037, 8725, 9278, 9864.

mod algorithm;
pub mod base64url;
pub(crate) mod claims;
mod compact;
mod header;
pub mod json;
mod jwk;
mod jwks;
mod thumbprint;

pub use algorithm::{Algorithm, KeyShape};
pub(crate) use claims::ScopeForm;
pub use claims::{ClaimError, ClaimsSet};
pub use compact::{Compact, CompactError, MAX_HEADER};
pub use header::{Header, HeaderError};
pub use jwk::{BadSignature, KeyFault, PublicKey};
pub use jwks::{JwkSet, JwkSetError, KeyChoiceError, MAX_KEYS, UnusableKey};
