use super::fingerprint::{Fingerprint, Owner};
use super::ticks::Ticks;

/// Slots with open addressing: linear probing, and no tombstones. It never grows, and does not know
/// what time it is.
pub(super) struct Table {
    slots: Vec<Slot>,
    entries: usize,
}

/// The upper and the lower half of a fingerprint, an owner, and an end; all zero where it is empty.
///
/// An array, since the memory for a vector of those is not written to when it is made.
type Slot = [u64; 4];

const EMPTY: Slot = [0; 4];

/// What is known of an entry beside its fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) owner: Owner,
    pub(super) end: Ticks,
}

/// Where a fingerprint is, or could be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Taken(usize),
    Empty(usize),
    /// Every slot has another.
    Nowhere,
}

impl Table {
    /// The memory is zeroed, so that the operating system hands it out as it is touched.
    pub(super) fn new(slots: usize) -> Self {
        Self { slots: vec![EMPTY; slots], entries: 0 }
    }

    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn entries(&self) -> usize {
        self.entries
    }

    pub(super) fn find(&self, fingerprint: Fingerprint) -> Place {
        let (high, low) = fingerprint.halves();
        let mut at = self.home(high);
        for _ in 0..self.slots() {
            match self.slots.get(at) {
                Some([0, 0, ..]) => return Place::Empty(at),
                Some([one, other, ..]) if *one == high && *other == low => return Place::Taken(at),
                _ => at = self.after(at),
            }
        }
        Place::Nowhere
    }

    /// What lives in this slot.
    pub(super) fn life(&self, at: usize) -> Option<Life> {
        match self.slots.get(at) {
            None | Some([.., 0]) => None,
            Some([_, _, owner, end]) => {
                Some(Life { owner: Owner(*owner), end: Ticks::unpack(*end) })
            }
        }
    }

    /// An empty slot; the first where there is none.
    pub(super) fn any_empty(&self) -> usize {
        self.slots.iter().position(|slot| *slot == EMPTY).unwrap_or_default()
    }

    /// Fills a slot that [`Self::find`] called empty, with nothing moved since.
    pub(super) fn fill(&mut self, at: usize, fingerprint: Fingerprint, life: Life) {
        let (high, low) = fingerprint.halves();
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = [high, low, life.owner.0, life.end.pack()];
            self.entries = self.entries.saturating_add(1);
        }
    }

    /// Empties a slot, and moves what a search would no longer reach: another entry may be in the
    /// slot afterwards.
    pub(super) fn empty(&mut self, at: usize) {
        let (mut hole, mut next) = (at, self.after(at));
        for _ in 1..self.slots() {
            let Some(moved) = self.slots.get(next).copied().filter(|slot| *slot != EMPTY) else {
                break;
            };
            // It stays where it is if its search begins behind the hole.
            let [high, ..] = moved;
            if self.distance(self.home(high), next) >= self.distance(hole, next) {
                self.write(hole, moved);
                hole = next;
            }
            next = self.after(next);
        }
        self.write(hole, EMPTY);
        self.entries = self.entries.saturating_sub(1);
    }

    fn write(&mut self, at: usize, slot: Slot) {
        if let Some(place) = self.slots.get_mut(at) {
            *place = slot;
        }
    }

    /// Where the search for a fingerprint begins: the upper half, spread over the slots.
    fn home(&self, high: u64) -> usize {
        let slots = u128::try_from(self.slots()).unwrap_or_default();
        usize::try_from((u128::from(high) * slots) >> 64).unwrap_or_default()
    }

    /// The next slot; the first follows the last.
    pub(super) fn after(&self, at: usize) -> usize {
        match at.wrapping_add(1) {
            end if end >= self.slots() => 0,
            next => next,
        }
    }

    /// Steps from one slot to another.
    fn distance(&self, from: usize, to: usize) -> usize {
        match to.checked_sub(from) {
            Some(steps) => steps,
            None => to.wrapping_add(self.slots()).wrapping_sub(from),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// DPOP-17: whatever was removed, everything else is found, and nothing else.
        #[test]
        fn it_holds_what_a_map_holds(
            slots in 1_usize..40,
            // Few homes, many of them near the end, so that runs meet and wrap around.
            steps in proptest::collection::vec((any::<bool>(), 0_u64..8, 0_u64..6), 1..300),
        ) {
            let mut table = Table::new(slots);
            let mut map: HashMap<(u64, u64), Life> = HashMap::new();
            for (step, (insert, home, low)) in steps.into_iter().enumerate() {
                let key = (u64::MAX / 8 * (home + 1), low + 1);
                let fingerprint = Fingerprint::of(key.0, key.1);
                let end = Ticks { wall: 1, steady: u32::try_from(step).unwrap() };
                let life = Life { owner: Owner(u64::try_from(step).unwrap()), end };
                match (table.find(fingerprint), insert) {
                    (Place::Empty(at), true) => {
                        table.fill(at, fingerprint, life);
                        prop_assert_eq!(map.insert(key, life), None);
                    }
                    (Place::Taken(at), false) => {
                        table.empty(at);
                        prop_assert!(map.remove(&key).is_some());
                    }
                    (Place::Nowhere, _) => prop_assert_eq!(map.len(), slots),
                    (Place::Taken(_), true) => prop_assert!(map.contains_key(&key)),
                    (Place::Empty(_), false) => prop_assert!(!map.contains_key(&key)),
                }
                prop_assert_eq!(table.entries(), map.len());
                for (key, life) in &map {
                    let Place::Taken(at) = table.find(Fingerprint::of(key.0, key.1)) else {
                        panic!("lost {key:?}")
                    };
                    prop_assert_eq!(table.life(at), Some(*life));
                }
            }
            let alive = (0..slots).filter(|at| table.life(*at).is_some()).count();
            prop_assert_eq!(alive, map.len());
        }
    }
}
