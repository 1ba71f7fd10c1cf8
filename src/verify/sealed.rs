//! Step 2 of an encrypted token: what is in its envelope (RFC 7516, RFC 9068 §4).

#[cfg(feature = "jwe")]
use std::sync::Arc;

#[cfg(feature = "jwe")]
use super::authenticate::is_sealed;
use super::{Found, Rules, Stop};
#[cfg(feature = "jwe")]
use super::{Sealed, refuse};
use crate::error::Refusal;
#[cfg(feature = "jwe")]
use crate::error::RejectionKind;
#[cfg(feature = "jwe")]
use crate::jwe::OpenError;

#[cfg(feature = "jwe")]
impl Rules {
    pub(super) fn decrypts(&self) -> bool {
        self.decryptor.is_some()
    }

    /// What is in the envelope of a token; `None` if it has none, or nothing here opens any.
    pub(super) fn unsealed<'a>(
        &self,
        token: &str,
        could_prove: &dyn Fn() -> Result<(), Refusal>,
        found: &'a Found,
    ) -> Result<Option<&'a str>, Stop> {
        let Some(decryptor) = self.decryptor.as_ref().filter(|_| is_sealed(token)) else {
            return Ok(None);
        };
        // Before it costs work with a private key.
        could_prove()?;
        let unavailable = |detail| Refusal::new(RejectionKind::DecryptionUnavailable, detail);
        let Some(opening) = &found.opened else {
            decryptor.read_header(token).map_err(|fault| {
                Refusal::new(RejectionKind::EncryptionNotAccepted, fault.to_string())
            })?;
            let refusal = unavailable("the token was not decrypted");
            let decryptor = Arc::clone(decryptor);
            return Err(Stop::Sealed(Box::new(Sealed { decryptor, token: token.into(), refusal })));
        };
        match opening.outcome() {
            Some(Ok(inner)) => Ok(Some(inner)),
            Some(Err(OpenError::Undecryptable)) => {
                let detail = "the token cannot be decrypted to a signed token";
                refuse(RejectionKind::Undecryptable, detail)
            }
            Some(Err(OpenError::Unavailable(why))) => Err(unavailable(why).into()),
            None => Err(unavailable(
                "the token was not decrypted in time: too many wait (`Decryption::max_at_once`, \
                 `wait_at_most`)",
            )
            .into()),
        }
    }
}

#[cfg(not(feature = "jwe"))]
impl Rules {
    /// Without the feature `jwe` nothing does.
    #[expect(clippy::unused_self, reason = "with the feature it reads the keys")]
    pub(super) fn decrypts(&self) -> bool {
        false
    }

    /// Without the feature `jwe` no envelope is opened.
    #[expect(clippy::unused_self, reason = "with the feature it reads the keys")]
    #[expect(clippy::unnecessary_wraps, reason = "with the feature it can fail")]
    pub(super) fn unsealed<'a>(
        &self,
        _: &str,
        _: &dyn Fn() -> Result<(), Refusal>,
        _: &'a Found,
    ) -> Result<Option<&'a str>, Stop> {
        Ok(None)
    }
}
