//! The protected header of a JWS (RFC 7515 §4).

use std::borrow::Cow;

use super::algorithm::Algorithm;
use super::json::{JsonError, Object, Value};

/// Members that ask for processing that is not done here. A token that carries one, in whatever
/// form, is refused: `crit` (RFC 7515 §4.1.11) because no extension is implemented, `b64`
/// (RFC 7797 §7 forbids it in a JWT), `zip` and `enc` (they belong to JWE), `cty` (a nested JWT,
/// RFC 7519 §5.2).
const REFUSED: [&str; 5] = ["crit", "b64", "zip", "enc", "cty"];

/// Why a header is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// Not a JSON object.
    #[error("the header is {0}")]
    Json(#[from] JsonError),
    /// `alg` is absent, not a string, or not an algorithm of [`Algorithm`].
    #[error("`alg` is absent or not a supported asymmetric signature algorithm")]
    Algorithm,
    /// `typ` is not a string.
    #[error("`typ` is not a string")]
    Type,
    /// `kid` is not a string.
    #[error("`kid` is not a string")]
    KeyId,
    /// A member that asks for processing that is not done here.
    #[error("the header has `{0}`, which is not supported in a token")]
    Unsupported(&'static str),
}

/// The members of a JWS header that have a meaning here. `jku`, `x5c` and `x5u` have none: no key is
/// ever taken from a token (RFC 9068 §4). `jwk` has one in a DPoP proof (RFC 9449 §4.2), which is
/// there to show a key, and nowhere else.
#[derive(Clone, Debug)]
pub struct Header<'a> {
    algorithm: Algorithm,
    typ: Option<Cow<'a, str>>,
    kid: Option<Cow<'a, str>>,
    jwk: Option<Value<'a>>,
}

impl<'a> Header<'a> {
    /// Reads a header.
    ///
    /// # Errors
    /// See [`HeaderError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, HeaderError> {
        let (mut alg, mut typ, mut kid, mut jwk) = (None, None, None, None);
        // The first of the list, wherever it stands in the header.
        let mut refused = REFUSED.len();
        Object::visit(bytes, |name, value| match &*name {
            "alg" => alg = Some(value),
            "typ" => typ = Some(value),
            "kid" => kid = Some(value),
            "jwk" => jwk = Some(value),
            name => {
                let place = REFUSED.iter().position(|other| *other == name);
                refused = refused.min(place.unwrap_or(refused));
            }
        })?;
        if let Some(name) = REFUSED.get(refused) {
            return Err(HeaderError::Unsupported(name));
        }
        let text = |value: Option<Value<'a>>, error| match value {
            None => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or(error),
        };
        let algorithm = text(alg, HeaderError::Algorithm)?
            .and_then(|alg| Algorithm::parse(&alg))
            .ok_or(HeaderError::Algorithm)?;
        Ok(Self {
            algorithm,
            typ: text(typ, HeaderError::Type)?,
            kid: text(kid, HeaderError::KeyId)?,
            jwk,
        })
    }

    /// The algorithm.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key id, if there.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The type, if there, as it was written.
    #[must_use]
    pub fn typ(&self) -> Option<&str> {
        self.typ.as_deref()
    }

    /// The key in a proof's own header, whatever it is.
    pub(crate) fn jwk(&self) -> Option<Value<'a>> {
        self.jwk
    }

    /// Whether `typ` is this media type: compared without case, and without a leading
    /// `application/` (RFC 7515 §4.1.9).
    ///
    /// ```
    /// use portcullis::jose::Header;
    ///
    /// let header = Header::parse(br#"{"alg":"ES256","typ":"application/at+JWT"}"#)?;
    /// assert!(header.is_type("at+jwt"));
    /// assert!(!header.is_type("jwt"));
    /// # Ok::<(), portcullis::jose::HeaderError>(())
    /// ```
    #[must_use]
    pub fn is_type(&self, media_type: &str) -> bool {
        const PREFIX: &str = "application/";
        let Some(typ) = self.typ.as_deref() else {
            return false;
        };
        let bare = match typ.split_at_checked(PREFIX.len()) {
            Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) => rest,
            _ => typ,
        };
        bare.eq_ignore_ascii_case(media_type)
    }
}
