//! Signed answers (RFC 9701 §5): a JWT of the type `token-introspection+jwt`.

use std::sync::Arc;
use std::time::Duration;

use crate::issuer::{IssuerKeys, KeySearchError};
use crate::jose::{
    Algorithm, BadSignature, ClaimError, ClaimsSet, Compact, CompactError, HeaderError,
};
use crate::time::{Clock, Timestamp};

/// The media type of a signed answer; its `typ` is the same without `application/`.
pub(super) const MEDIA_TYPE: &str = "application/token-introspection+jwt";
const TYPE: &str = "token-introspection+jwt";

/// How far `iat` of a signed answer may be from now: it is an answer to this very call.
const YOUNG: Duration = Duration::from_secs(60);

/// Why a signed answer does not count.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum SignedError {
    #[error("it is not text")]
    NotText,
    #[error("it is encrypted, which is not supported: the issuer has to sign answers only")]
    Encrypted,
    #[error("{0}")]
    Compact(CompactError),
    #[error("{0}")]
    Header(#[from] HeaderError),
    #[error("`typ` is not {TYPE}")]
    Type,
    #[error("{0} is no algorithm of the issuer")]
    Algorithm(Algorithm),
    #[error("{0}")]
    Keys(#[from] KeySearchError),
    #[error("{0}")]
    Signature(#[from] BadSignature),
    #[error("the payload is no JSON object")]
    Payload,
    #[error("{0}")]
    Claim(#[from] ClaimError),
    #[error("`iss` is not the issuer")]
    Issuer,
    #[error("`aud` does not name this server, {0:?}")]
    Audience(Box<str>),
    #[error("`iat` is {found}, it is {now}")]
    Time { found: Timestamp, now: Timestamp },
    #[error("`token_introspection` is not an object")]
    NoAnswer,
}

/// The members of `token_introspection`, if the issuer signed them for this audience, now. Nothing beside
/// them decides anything (RFC 9701 §5).
pub(super) async fn members(
    body: &[u8],
    issuer: &Arc<IssuerKeys>,
    audience: &str,
    clock: &dyn Clock,
) -> Result<Box<[u8]>, SignedError> {
    let text = std::str::from_utf8(body.trim_ascii_end()).map_err(|_| SignedError::NotText)?;
    let jws = Compact::parse(text).map_err(|error| match error {
        CompactError::Encrypted => SignedError::Encrypted,
        error => SignedError::Compact(error),
    })?;
    let header = jws.header()?;
    if !header.is_type(TYPE) {
        return Err(SignedError::Type);
    }
    let algorithm = header.algorithm();
    if !issuer.allows(algorithm) {
        return Err(SignedError::Algorithm(algorithm));
    }
    let key = issuer.find_or_fetch(header.kid(), algorithm, clock).await?;
    key.verify(algorithm, &jws)?;
    let claims = ClaimsSet::parse(jws.payload()).map_err(|_| SignedError::Payload)?;
    let missing = |name: &str| ClaimError::Missing(name.to_owned());
    if claims.text("iss")?.ok_or_else(|| missing("iss"))? != issuer.id().as_str() {
        return Err(SignedError::Issuer);
    }
    let audiences = claims.audiences()?.ok_or_else(|| missing("aud"))?;
    if !audiences.iter().any(|found| found == audience) {
        return Err(SignedError::Audience(audience.into()));
    }
    let (found, now) = (claims.time("iat")?.ok_or_else(|| missing("iat"))?, clock.now());
    let apart = now.since(found).or_else(|| found.since(now)).unwrap_or_default();
    if apart > YOUNG {
        return Err(SignedError::Time { found, now });
    }
    let answer = claims.value("token_introspection").ok_or(SignedError::NoAnswer)?;
    if answer.as_object().is_none() {
        return Err(SignedError::NoAnswer);
    }
    Ok(answer.text().as_bytes().into())
}
