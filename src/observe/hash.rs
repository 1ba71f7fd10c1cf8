use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};

use crate::name::{IssuerId, JwtId};

/// A keyed hash that tells tokens apart: 128 bits of HMAC-SHA-256. It is no secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenHash([u8; 16]);

impl TokenHash {
    /// The hash.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// 32 hexadecimal digits.
impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What token hashes are keyed with.
pub(crate) struct HashKey(hmac::Key);

impl HashKey {
    pub(crate) fn of(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// A key of this process; `None` if the machine has no randomness to give.
    pub(crate) fn random() -> Option<Self> {
        let mut secret = [0; 32];
        SystemRandom::new().fill(&mut secret).ok()?;
        Some(Self::of(&secret))
    }

    pub(crate) fn hash(&self, issuer: &IssuerId, jwt_id: &JwtId) -> TokenHash {
        let mut context = hmac::Context::with_key(&self.0);
        // The length keeps (a, bc) and (ab, c) apart.
        let length = u64::try_from(issuer.as_str().len()).unwrap_or(u64::MAX);
        context.update(&length.to_be_bytes());
        context.update(issuer.as_str().as_bytes());
        context.update(jwt_id.as_str().as_bytes());
        let tag = context.sign();
        let mut hash = [0; 16];
        // INVARIANT: a tag of HMAC-SHA-256 has 32 octets.
        hash.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        TokenHash(hash)
    }
}
