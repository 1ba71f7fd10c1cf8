//! Why a decision stops, and what it would go on with.

use std::sync::Arc;
use std::time::Duration;

use super::turns::Turns;
use crate::error::Refusal;
use crate::introspection::{Fingerprint, Introspector};
use crate::issuer::{IssuerKeys, KeyMiss};
#[cfg(feature = "jwe")]
use crate::jwe::Decryptor;
use crate::revocation::{ListSlot, Objection};

/// Why a decision stops without an [`crate::access::Access`].
pub(crate) enum Stop {
    Refused(Refusal),
    /// A key is missing. Unless something can be done about it, this is the refusal.
    NoKey {
        issuer: Arc<IssuerKeys>,
        miss: KeyMiss,
        refusal: Refusal,
    },
    /// As many signatures are verified as may be.
    Busy(Arc<Turns>),
    /// The token is encrypted. Unless it can be decrypted now, this is the refusal.
    #[cfg(feature = "jwe")]
    Sealed(Box<Sealed>),
    /// What the issuer says of the token is missing. Unless something can be done about it, this is the
    /// refusal.
    NoAnswer(Box<NoAnswer>),
    /// A status list is missing. Unless something can be done about it, this is the refusal.
    NoList {
        list: Arc<ListSlot>,
        refusal: Refusal,
    },
}

/// A token that its issuer has to be asked about.
pub(crate) struct NoAnswer {
    pub(crate) introspector: Arc<Introspector>,
    pub(crate) token: Box<str>,
    /// Of the token, with that introspector.
    pub(crate) fingerprint: Fingerprint,
    /// How old an answer may be at most, if the route or the token's class says.
    pub(crate) freshest: Option<Duration>,
    pub(crate) refusal: Refusal,
}

/// A token that has to be decrypted.
#[cfg(feature = "jwe")]
pub(crate) struct Sealed {
    pub(crate) decryptor: Arc<Decryptor>,
    pub(crate) token: Box<str>,
    pub(crate) refusal: Refusal,
}

impl From<Objection> for Stop {
    fn from(objection: Objection) -> Self {
        match objection {
            Objection::Refused(refusal) => Self::Refused(refusal),
            Objection::NoList { list, refusal } => Self::NoList { list, refusal },
        }
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
