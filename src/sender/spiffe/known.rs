use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use super::bundle::Verdict;
use crate::certificate::Certificate;

/// How many certificates are known to be good, and how many to be of no path.
const MOST: usize = 1_024;

/// What a bundle has found out about certificates that come anew with each request, as forwarded ones
/// do. What is of no path has a place of its own: whoever makes up certificates drives out no good one.
#[derive(Default)]
pub(super) struct Known {
    good: Mutex<Shelf>,
    refused: Mutex<Shelf>,
}

/// The leaf and all that came with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Print([u8; 32]);

impl Print {
    /// Of a certificate whose octets are known. Each of them is preceded by its length, so that no two
    /// chains have one print.
    pub(super) fn of(leaf: &[u8], certificate: &Certificate) -> Self {
        let mut hash = Sha256::new();
        for der in std::iter::once(leaf).chain(certificate.chain()) {
            hash.update(u64::try_from(der.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(der);
        }
        Self(hash.finalize().into())
    }
}

impl Known {
    /// What holds at this second.
    pub(super) fn recall(&self, print: Print, second: u64) -> Option<Verdict> {
        [&self.good, &self.refused].into_iter().find_map(|shelf| {
            let shelf = shelf.lock().unwrap_or_else(PoisonError::into_inner);
            shelf.found.get(&print).filter(|known| known.holds.holds(second)).cloned()
        })
    }

    pub(super) fn remember(&self, print: Print, verdict: Verdict) {
        let shelf = if verdict.result.is_ok() { &self.good } else { &self.refused };
        shelf.lock().unwrap_or_else(PoisonError::into_inner).put(print, verdict);
    }
}

#[derive(Default)]
struct Shelf {
    found: HashMap<Print, Verdict>,
    /// Each that is found, the oldest first.
    order: VecDeque<Print>,
}

impl Shelf {
    fn put(&mut self, print: Print, verdict: Verdict) {
        if self.found.insert(print, verdict).is_some() {
            return;
        }
        self.order.push_back(print);
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.found.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::id::SpiffeId;
    use super::super::svid::{SvidError, Validity};
    use super::*;

    fn print(number: usize) -> Print {
        let der = number.to_be_bytes();
        Print::of(&der, &Certificate::from_der(der))
    }

    fn good() -> Verdict {
        let id = SpiffeId::parse("spiffe://example.org/web").unwrap();
        Verdict { holds: Validity::new(10, 20), result: Ok(id) }
    }

    fn refused() -> Verdict {
        Verdict { holds: Validity::new(10, 20), result: Err(SvidError::Untrusted("test")) }
    }

    /// WIM-10: the bound, and who is driven out.
    #[test]
    fn the_oldest_is_replaced_and_refusals_drive_out_no_good_one() {
        let known = Known::default();
        known.remember(print(0), good());
        // Again, which takes no second place.
        known.remember(print(0), good());
        for number in 1..MOST {
            known.remember(print(number), good());
        }
        for number in MOST..3 * MOST {
            known.remember(print(number), refused());
        }
        let recalls = |number| known.recall(print(number), 15).is_some();
        assert!(recalls(0) && recalls(MOST - 1));
        assert!(!recalls(2 * MOST - 1), "the oldest refusals are gone");
        assert!(recalls(2 * MOST) && recalls(3 * MOST - 1));
        known.remember(print(3 * MOST), good());
        assert!(!recalls(0), "the oldest good one is gone");
        assert!(recalls(1) && recalls(3 * MOST));
        for shelf in [&known.good, &known.refused] {
            let shelf = shelf.lock().unwrap();
            assert_eq!((shelf.found.len(), shelf.order.len()), (MOST, MOST));
        }
    }

    /// WIM-10: what is known holds in its time.
    #[test]
    fn what_is_known_holds_in_its_time_only() {
        let known = Known::default();
        known.remember(print(0), good());
        known.remember(print(1), refused());
        for number in [0, 1] {
            for (second, holds) in [(9, false), (10, true), (20, true), (21, false)] {
                assert_eq!(known.recall(print(number), second).is_some(), holds, "{second}");
            }
        }
    }

    /// WIM-10: the same octets, cut elsewhere.
    #[test]
    fn another_chain_has_another_print() {
        let print = |leaf: &[u8], chain: &[&[u8]]| {
            let chain = chain.iter().map(|der| (*der).into()).collect();
            Print::of(leaf, &Certificate::with_chain(leaf, chain))
        };
        let one = print(b"ab", &[b"c", b"d"]);
        assert_eq!(one, print(b"ab", &[b"c", b"d"]));
        let others: [(&[u8], &[&[u8]]); 6] = [
            (b"a", &[b"bc", b"d"]),
            (b"ab", &[b"cd"]),
            (b"ab", &[b"cd", b""]),
            (b"ab", &[b"d", b"c"]),
            (b"ab", &[b"c"]),
            (b"abcd", &[]),
        ];
        for (leaf, chain) in others {
            assert_ne!(one, print(leaf, chain), "{leaf:?} {chain:?}");
        }
    }
}
