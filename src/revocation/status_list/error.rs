use std::time::Duration;

use crate::jose::json::JsonError;
use crate::jose::{Algorithm, ClaimError, CompactError, HeaderError};
use crate::time::Timestamp;

/// Why a status list is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatusListError {
    /// Not a compact JWS.
    #[error("the status list is {0}")]
    Form(#[from] CompactError),
    /// Its header is refused, as any token's would be.
    #[error("{0}")]
    Header(#[from] HeaderError),
    /// `typ` is not `statuslist+jwt`.
    #[error("`typ` is not `statuslist+jwt`")]
    Type,
    /// It is signed with an algorithm that is not allowed for status lists.
    #[error("`alg` is {0}, which is not allowed for this status list")]
    Algorithm(Algorithm),
    /// The signature does not verify.
    #[error("the signature of the status list does not verify")]
    Signature,
    /// The payload is not a JSON object.
    #[error("the payload is {0}")]
    Json(#[from] JsonError),
    /// A claim is absent, or of the wrong type.
    #[error("{0}")]
    Claim(#[from] ClaimError),
    /// `sub` is not the URI that the token names: it is another list.
    #[error("`sub` is {found:?}, not the URI of the list that was asked for")]
    #[non_exhaustive]
    Subject {
        /// The value found, its start only.
        found: String,
    },
    /// `iss` is there and is not the issuer of the tokens.
    #[error("`iss` is {found:?}, not the issuer of the tokens")]
    #[non_exhaustive]
    Issuer {
        /// The value found, its start only.
        found: String,
    },
    /// It has an `aud`: it is meant for somebody, and nobody here has a name in it (RFC 7519 §4.1.3).
    #[error("the status list has an `aud`, which no status list needs")]
    Audience,
    /// `exp` has passed.
    #[error("`exp` is {expires_at}, it is {now}")]
    #[non_exhaustive]
    Expired {
        /// When it expired.
        expires_at: Timestamp,
        /// When it was looked at.
        now: Timestamp,
    },
    /// `iat` or `nbf` lies in the future.
    #[error("`{claim}` is {at}, it is {now}")]
    #[non_exhaustive]
    Future {
        /// Which of the two.
        claim: &'static str,
        /// What it says.
        at: Timestamp,
        /// When it was looked at.
        now: Timestamp,
    },
    /// It was signed longer ago than is accepted.
    #[error("`iat` is {issued_at}, it is {now}, and lists are at most {max_age:?} old")]
    #[non_exhaustive]
    TooOld {
        /// When it was signed.
        issued_at: Timestamp,
        /// When it was looked at.
        now: Timestamp,
        /// What is accepted.
        max_age: Duration,
    },
    /// `bits` is not 1, 2, 4 or 8.
    #[error("`bits` is not 1, 2, 4 or 8")]
    Bits,
    /// `lst` is not canonical base64url without padding.
    #[error("`lst` is not canonical base64url without padding")]
    Encoding,
    /// `lst` is not one zlib stream with a good checksum and nothing after it.
    #[error("`lst` is not one zlib stream with a good checksum and nothing after it")]
    Zlib,
    /// It has more entries than are accepted.
    #[error("the status list has more than {max_entries} entries or 2^27 octets")]
    #[non_exhaustive]
    TooLarge {
        /// How many it may have.
        max_entries: u64,
    },
}
