use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use siphasher::sip128::{Hasher128 as _, SipHasher13};

/// Random, of one set: who does not know them cannot make two tokens meet, nor many in one place.
pub(super) struct Keys {
    first: u64,
    second: u64,
}

/// What a [`RevokedTokens`](super::RevokedTokens) knows a token by: a keyed hash of its issuer and
/// its `jti`. It means nothing to another set, nor after a restart.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenFingerprint {
    /// Where it is: the area by the highest bits, the bucket by the lower half. Never zero, which
    /// marks a free slot.
    pub(super) place: u64,
    /// What it is compared by beside that; the bits of the filter too.
    pub(super) check: u32,
}

impl Keys {
    /// Two words that `RandomState` makes of the 128 random bits that it has from the operating
    /// system.
    pub(super) fn random() -> Self {
        let random = RandomState::new();
        Self { first: random.hash_one(1_u8), second: random.hash_one(2_u8) }
    }

    /// SipHash-1-3, of whose 128 bits 96 are used. The lengths go first: behind them the texts need
    /// nothing between them.
    pub(super) fn fingerprint(&self, issuer: &str, jti: &str) -> TokenFingerprint {
        let mut hasher = SipHasher13::new_with_keys(self.first, self.second);
        hasher.write_usize(issuer.len());
        hasher.write_usize(jti.len());
        hasher.write(issuer.as_bytes());
        hasher.write(jti.as_bytes());
        let hash = hasher.finish128();
        let check = u32::try_from(hash.h2 >> 32).unwrap_or_default();
        TokenFingerprint { place: hash.h1.max(1), check }
    }
}

impl TokenFingerprint {
    /// The highest bits, as many as this.
    #[inline]
    pub(super) fn prefix(self, bits: u32) -> u64 {
        self.place.checked_shr(u64::BITS.saturating_sub(bits)).unwrap_or(0)
    }
}

/// Not what it is: it could be looked for.
impl fmt::Debug for TokenFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenFingerprint(..)")
    }
}
