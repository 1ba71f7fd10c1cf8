//! What a token that was accepted is found by, without an octet of it being kept.
//!
//! 1. It is its length and 256 bits of a universal hash with a secret key of this server: NH, with two
//!    passes of a Toeplitz key (Black, Halevi, Krawczyk, Krovetz and Rogaway, "UMAC: Fast and Secure
//!    Message Authentication", CRYPTO 1999, §4). Of two tokens of one length, whoever chose them without
//!    knowing the key, both passes are equal with a probability of at most 2^-128; two of different
//!    lengths are never taken for each other.
//! 2. It authenticates nothing, and is shown to nobody: what an attacker learns is that a token he made
//!    up was not accepted before. What hashes cost that do more is in DESIGN.md.

use std::fmt;
use std::hash::{Hash, Hasher};

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};

/// The secret key: as long as the longest token, and a bit.
pub(super) struct DigestKey {
    words: Box<[[u64; 2]]>,
    spread: u64,
}

/// What a token is found by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Digest {
    length: usize,
    passes: [u128; 2],
    /// Where it is kept.
    place: u64,
}

const BLOCK: usize = 16;

impl DigestKey {
    /// A key for tokens of up to so many octets; `None` if the machine has no random numbers.
    pub(super) fn random(longest: usize) -> Option<Self> {
        // One for each block, one for what is left over, and one more for the second pass.
        let blocks = longest.div_ceil(BLOCK).saturating_add(1);
        let mut octets = vec![0_u8; blocks.saturating_add(1).saturating_mul(BLOCK)];
        SystemRandom::new().fill(&mut octets).ok()?;
        let (blocks, _) = octets.as_chunks::<BLOCK>();
        let mut words = blocks.iter().map(|block| halves(u128::from_le_bytes(*block)));
        let [spread, _] = words.next()?;
        Some(Self { words: words.collect(), spread: spread | 1 })
    }

    /// What this token is found by; `None` if it is longer than the key is for.
    pub(super) fn digest(&self, token: &[u8]) -> Option<Digest> {
        let (blocks, rest) = token.as_chunks::<BLOCK>();
        let (first, others) = self.words.split_first()?;
        if token.len().div_ceil(BLOCK) > others.len() {
            return None;
        }
        let (mut one, mut two, mut key) = (0_u128, 0_u128, first);
        let mut others = others.iter();
        for (block, next) in blocks.iter().zip(&mut others) {
            let block = halves(u128::from_le_bytes(*block));
            one = one.wrapping_add(product(block, *key));
            two = two.wrapping_add(product(block, *next));
            key = next;
        }
        if let (Some(next), false) = (others.next(), rest.is_empty()) {
            let mut last = [0; BLOCK];
            last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            let block = halves(u128::from_le_bytes(last));
            one = one.wrapping_add(product(block, *key));
            two = two.wrapping_add(product(block, *next));
        }
        let [low, high] =
            halves(u128::from(halves(one)[0] ^ halves(two)[1]) * u128::from(self.spread));
        Some(Digest { length: token.len(), passes: [one, two], place: low ^ high })
    }
}

/// One step of NH.
fn product([x, y]: [u64; 2], [a, b]: [u64; 2]) -> u128 {
    // The product of two of 64 bits has 128.
    u128::from(x.wrapping_add(a)).wrapping_mul(u128::from(y.wrapping_add(b)))
}

#[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "each half is cut out")]
fn halves(word: u128) -> [u64; 2] {
    [word as u64, (word >> 64) as u64]
}

/// Nothing of a token is printed.
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(..)")
    }
}

impl Hash for Digest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.place);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn key() -> DigestKey {
        DigestKey {
            words: (0..66_u64).map(|n| [n.wrapping_mul(0x9E37_79B9_7F4A_7C15), !n]).collect(),
            spread: 9,
        }
    }

    /// Every octet of a token counts, and so do its length and what stands at its end.
    #[test]
    fn tokens_that_differ_in_one_octet_or_in_their_length_are_told_apart() {
        let (key, other) = (DigestKey::random(1_024).unwrap(), DigestKey::random(1_024).unwrap());
        for length in (1..70).chain([486, 742, 1_023, 1_024]) {
            let token = vec![b'A'; length];
            let digest = key.digest(&token).unwrap();
            assert_eq!(digest, key.digest(&token.clone()).unwrap(), "{length}");
            assert_ne!(digest.passes, other.digest(&token).unwrap().passes, "{length}");
            let mut seen = HashSet::from([digest.passes]);
            for at in 0..length {
                let mut token = token.clone();
                token[at] ^= 1;
                let changed = key.digest(&token).unwrap();
                assert_ne!(changed, digest, "{length} {at}");
                assert!(seen.insert(changed.passes), "{length} {at}");
            }
            // What is filled up with zeros is told apart by its length.
            let longer = [&token[..], &[0]].concat();
            assert_ne!(key.digest(&longer), Some(digest), "{length}");
        }
        assert!(key.digest(&[b'A'; 1_024]).is_some());
        assert!(key.digest(&[b'A'; 1_025]).is_none());
    }

    /// Against the definition, block by block: the sum of the products of the two halves of a block, each
    /// with its word of the key added, and the same once more with the key one block further.
    #[test]
    fn it_is_nh_with_a_toeplitz_key() {
        let key = key();
        for length in [0, 1, 15, 16, 17, 31, 32, 100, 1_000] {
            let token: Vec<u8> =
                (0..=u8::MAX).cycle().map(|n| n.wrapping_mul(7)).take(length).collect();
            let nh = |shift: usize| {
                let mut sum = 0_u128;
                for (at, block) in token.chunks(16).enumerate() {
                    let octet = |n: usize| u64::from(block.get(n).copied().unwrap_or(0));
                    let word =
                        |from: usize| (0..8).map(|n| octet(from + n) << (8 * n)).sum::<u64>();
                    let [a, b] = key.words[at + shift];
                    let (x, y) = (word(0).wrapping_add(a), word(8).wrapping_add(b));
                    sum = sum.wrapping_add(u128::from(x) * u128::from(y));
                }
                sum
            };
            let found = key.digest(&token).unwrap();
            assert_eq!(found.passes, [nh(0), nh(1)], "{length}");
            assert_eq!(found.length, length);
        }
    }

    /// The place is spread over all its bits: tokens of one server differ in few octets.
    #[test]
    fn places_are_spread() {
        let key = DigestKey::random(1_024).unwrap();
        let mut low = HashSet::new();
        let mut high = HashSet::new();
        for number in 0..4_096_u32 {
            let token = format!("{}{number:08}", "A".repeat(700));
            let place = key.digest(token.as_bytes()).unwrap().place;
            low.insert(place & 0xfff);
            high.insert(place >> 52);
        }
        // Of 4096 places by chance 63 % are taken.
        assert!(low.len() > 2_300 && high.len() > 2_300, "{} {}", low.len(), high.len());
    }
}
