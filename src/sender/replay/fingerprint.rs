use std::hash::Hasher as _;

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use siphasher::sip128::{Hash128, Hasher128 as _, SipHasher13};

use super::entry::{Kind, ReplayEntry, octets};

/// Keys of this process: who does not know them cannot make two entries meet.
///
/// SipHash-1-3 with 128 bits: two different uses have one fingerprint with a probability of
/// n² / 2¹²⁹ among n; two clients, with the 32 bits that tell them apart, have one share with one
/// of n² / 2³³.
pub(super) struct Keys {
    first: u64,
    second: u64,
}

/// Whose an entry is: 32 bits of its client, and 32 of whom the client acts for, or zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner(pub(super) u64);

impl Owner {
    const CLIENT: u64 = 0xffff_ffff_0000_0000;

    /// What all entries of the client have in common.
    pub(super) const fn client(self) -> u64 {
        self.0 >> 32
    }

    /// What all entries of the client for one subject have in common, if it acts for one.
    pub(super) const fn subject(self) -> Option<u64> {
        match self.0 & !Self::CLIENT {
            0 => None,
            _ => Some(self.0),
        }
    }
}

/// Never zero, which marks an empty slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    high: u64,
    low: u64,
}

impl Keys {
    /// `None` if the machine has no randomness to give.
    pub(super) fn random() -> Option<Self> {
        let (mut first, mut second) = ([0; 8], [0; 8]);
        let random = SystemRandom::new();
        random.fill(&mut first).ok()?;
        random.fill(&mut second).ok()?;
        Some(Self { first: u64::from_ne_bytes(first), second: u64::from_ne_bytes(second) })
    }

    /// What is used.
    pub(super) fn fingerprint(&self, entry: &ReplayEntry<'_>) -> Fingerprint {
        let (kind, texts) = entry.identity();
        let hash = self.hash(kind, texts);
        Fingerprint::of(hash.h1, hash.h2)
    }

    /// Whose share it takes.
    pub(super) fn owner(&self, entry: &ReplayEntry<'_>) -> Owner {
        let issuer = entry.issuer.as_str();
        let hash = match entry.client_id {
            Some(client) => self.hash(Kind::Client, [issuer, client.as_str()]),
            None => self.hash(Kind::Clientless, [issuer]),
        };
        let client = hash.h1 & Owner::CLIENT;
        let subject = entry.subject.map_or(0, |subject| {
            let hash = self.hash(Kind::Subject, [issuer, subject.as_str()]);
            // Never zero, which is nobody.
            (hash.h1 & !Owner::CLIENT).max(1)
        });
        Owner(client | subject)
    }

    /// The lengths go first: behind them the texts need nothing between them.
    fn hash<const TEXTS: usize>(&self, kind: Kind, texts: [&str; TEXTS]) -> Hash128 {
        let mut hasher = SipHasher13::new_with_keys(self.first, self.second);
        hasher.write_u64(u64::from(kind.octet()));
        for text in texts {
            hasher.write_u64(octets(text));
        }
        for text in texts {
            hasher.write(text.as_bytes());
        }
        hasher.finish128()
    }
}

impl Fingerprint {
    pub(super) const fn of(high: u64, low: u64) -> Self {
        Self { high, low: if high == 0 && low == 0 { 1 } else { low } }
    }

    pub(super) const fn halves(self) -> (u64, u64) {
        (self.high, self.low)
    }

    /// Which of so many parts it is in, a power of two: by its lowest bits. Where it is in the part
    /// depends on its highest.
    pub(super) fn part(self, parts: usize) -> usize {
        let mask = u64::try_from(parts.saturating_sub(1)).unwrap_or_default();
        usize::try_from(self.low & mask).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// DPOP-17: only the hash that marks an empty slot is written otherwise; of all others every bit counts.
    #[test]
    fn no_fingerprint_marks_an_empty_slot_and_no_other_is_changed() {
        for (high, low, expected) in
            [(0, 0, (0, 1)), (0, 7, (0, 7)), (7, 0, (7, 0)), (7, 9, (7, 9)), (0, 1, (0, 1))]
        {
            assert_eq!(Fingerprint::of(high, low).halves(), expected);
        }
    }
}
