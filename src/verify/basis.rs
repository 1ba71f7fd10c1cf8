//! What a decision rests on beside what the token says: that its issuer is one of ours, and that the key
//! that signed it is the issuer's. Both can be taken back, also while the request waits for something else.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::known::KnownToken;
use super::{Rules, Stop};
use crate::access::Facts;
use crate::issuer::{Attempt, KeyOf, Registry, Remembered};
use crate::jose::{Algorithm, Header, PublicKey};
use crate::name::{IssuerId, KeyId};
use crate::time::Moment;

/// The key that a token was verified with, and whose that was.
pub(super) struct ProvenKey {
    issuer: Remembered,
    /// The key's, if the token names it by that.
    kid: Option<Arc<KeyId>>,
    algorithm: Algorithm,
    key: Arc<PublicKey>,
    /// In which set of keys it was found last.
    key_set: AtomicU64,
}

/// What a decision rests on that was made for a request.
pub(crate) struct Basis(Of);

enum Of {
    /// A token that was verified, for this request or before.
    Verified(Arc<KnownToken>),
    /// An answer about it, and the key that it was verified with where the issuer has keys.
    Answered(Option<ProvenKey>),
}

impl ProvenKey {
    /// That this key of this issuer verified a token with this header.
    pub(super) fn new(issuer: Remembered, header: &Header<'_>, key: Arc<PublicKey>) -> Self {
        let kid = header.kid().and_then(|_| key.shared_kid());
        Self { issuer, kid, algorithm: header.algorithm(), key, key_set: AtomicU64::new(0) }
    }

    /// The `kid` that the token names.
    fn kid(&self) -> Option<&str> {
        self.kid.as_deref().map(KeyId::as_str)
    }

    /// Whether the issuer of this name is one of ours as it was, and would be asked for the same key.
    pub(super) fn holds(
        &self,
        issuers: &Registry,
        name: &IssuerId,
        at: Moment,
        attempt: Attempt,
    ) -> bool {
        let wanted = KeyOf { key: &self.key, kid: self.kid(), algorithm: self.algorithm };
        issuers.is_still(&self.issuer, name, at, |issuer| {
            issuer.has_still(wanted, &self.key_set, at, attempt)
        })
    }
}

impl Basis {
    pub(super) fn verified(known: Arc<KnownToken>) -> Self {
        Self(Of::Verified(known))
    }

    pub(super) fn answered(key: Option<ProvenKey>) -> Self {
        Self(Of::Answered(key))
    }

    fn key(&self) -> Option<&ProvenKey> {
        match &self.0 {
            Of::Verified(known) => Some(known.key()),
            Of::Answered(key) => key.as_ref(),
        }
    }

    fn holds(&self, issuers: &Registry, name: &IssuerId, at: Moment) -> bool {
        // Whoever waited has waited: an outage that was seen lets it pass as it lets a new request.
        let attempt = Attempt::AfterWait;
        match &self.0 {
            Of::Verified(known) => known.counts(issuers, at, attempt),
            // Who is asked is configured, and stays an issuer.
            Of::Answered(key) => {
                key.as_ref().is_none_or(|key| key.holds(issuers, name, at, attempt))
            }
        }
    }
}

impl Rules {
    /// Whether a decision rests on what it did. If it does not, a new one may come to the same; where it
    /// could not, because issuer or key is gone, this is why.
    pub(super) fn stands(&self, basis: &Basis, facts: &Facts, at: Moment) -> Result<bool, Stop> {
        if basis.holds(&self.issuers, &facts.issuer, at) {
            return Ok(true);
        }
        let issuer = self.issuer(Some(facts.issuer.as_str()), at)?;
        if let Some(key) = basis.key().filter(|key| issuer.allows(key.algorithm)) {
            Self::find_key(&issuer, key.kid(), key.algorithm, at, Attempt::AfterWait)?;
        }
        Ok(false)
    }
}
