//! A signed document: a compact JWS of the type `revocation-feed+jwt`.

use std::sync::Arc;

use super::document::Reading;
use super::{FeedDocument, FeedError};
use crate::issuer::{IssuerKeys, KeySearchError};
use crate::jose::{
    Algorithm, BadSignature, Compact, CompactError, Header, HeaderError, MAX_HEADER, PublicKey,
    base64url,
};
use crate::time::Clock;

const TYPE: &str = FeedDocument::SIGNED_TYPE;

impl FeedDocument {
    /// `typ` of a signed document: its media type, without `application/`.
    pub(crate) const SIGNED_TYPE: &'static str = "revocation-feed+jwt";
}

/// Why a signed document is not that of its issuer.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum SignedError {
    #[error("the document is not signed")]
    Unsigned,
    #[error("not text")]
    NotText,
    #[error("not a signed document: {0}")]
    Compact(#[from] CompactError),
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
    #[error("`iss` is not the issuer that it is signed by")]
    Issuer,
    #[error("{0}")]
    Document(#[from] FeedError),
}

/// Which key a document says that it was signed with.
pub(super) struct SignedWith {
    kid: Option<String>,
    algorithm: Algorithm,
}

impl SignedWith {
    /// Reads the header, and nothing else.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, SignedError> {
        if bytes.trim_ascii_start().starts_with(b"{") {
            return Err(SignedError::Unsigned);
        }
        let end = bytes.iter().take(MAX_HEADER.saturating_add(1)).position(|byte| *byte == b'.');
        let end = end.ok_or(CompactError::HeaderLength)?;
        let header = bytes.get(..end).unwrap_or_default();
        let header = std::str::from_utf8(header).map_err(|_| SignedError::NotText)?;
        let header = base64url::decode(header).map_err(|_| CompactError::Encoding)?;
        Self::of(&Header::parse(&header)?)
    }

    fn of(header: &Header<'_>) -> Result<Self, SignedError> {
        if !header.is_type(TYPE) {
            return Err(SignedError::Type);
        }
        let kid = header.kid().map(str::to_owned);
        Ok(Self { kid, algorithm: header.algorithm() })
    }

    /// The key, from the issuer if need be.
    pub(super) async fn key(
        &self,
        keys: &Arc<IssuerKeys>,
        clock: &dyn Clock,
    ) -> Result<Arc<PublicKey>, SignedError> {
        if !keys.allows(self.algorithm) {
            return Err(SignedError::Algorithm(self.algorithm));
        }
        Ok(keys.find_or_fetch(self.kid.as_deref(), self.algorithm, clock).await?)
    }

    /// The document, if it was signed with this key by this issuer. `reading.form` has to be `Form::Signed`:
    /// one that is read as a plain one names no issuer, and is refused with [`SignedError::Issuer`].
    pub(super) fn verify(
        &self,
        bytes: &[u8],
        key: &PublicKey,
        issuer: &str,
        reading: Reading<'_>,
    ) -> Result<FeedDocument, SignedError> {
        // Files end with a line end.
        let text = std::str::from_utf8(bytes.trim_ascii_end()).map_err(|_| SignedError::NotText)?;
        let jws = Compact::parse(text)?;
        key.verify(self.algorithm, &jws)?;
        let document = FeedDocument::read(jws.payload(), reading)?;
        let signed_by = document.signed().map(|signed| &*signed.issuer);
        if signed_by != Some(issuer) {
            return Err(SignedError::Issuer);
        }
        Ok(document)
    }
}
