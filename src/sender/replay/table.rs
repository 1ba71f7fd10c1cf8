use super::fingerprint::Fingerprint;
use super::ticks::Ticks;

/// Slots with open addressing: linear probing, and no tombstones. It never grows, and does not know
/// what time it is.
///
/// Fingerprints and lives lie apart: a search reads 16 octets a slot, and so does a sweep.
pub(super) struct Table {
    /// Zero where a slot is empty.
    fingerprints: Vec<u128>,
    /// Owner and end of what is in the slot; an end of zero where it is empty.
    lives: Vec<[u64; 2]>,
    entries: usize,
}

/// What is known of an entry beside its fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) owner: u64,
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
        Self { fingerprints: vec![0; slots], lives: vec![[0, 0]; slots], entries: 0 }
    }

    pub(super) fn slots(&self) -> usize {
        self.fingerprints.len()
    }

    pub(super) fn entries(&self) -> usize {
        self.entries
    }

    pub(super) fn find(&self, fingerprint: Fingerprint) -> Place {
        let wanted = fingerprint.get();
        let mut at = self.home(wanted);
        for _ in 0..self.slots() {
            match self.fingerprints.get(at) {
                Some(0) => return Place::Empty(at),
                Some(found) if *found == wanted => return Place::Taken(at),
                _ => at = self.after(at),
            }
        }
        Place::Nowhere
    }

    /// What lives in this slot.
    pub(super) fn life(&self, at: usize) -> Option<Life> {
        match self.lives.get(at) {
            None | Some([_, 0]) => None,
            Some([owner, end]) => Some(Life { owner: *owner, end: Ticks::unpack(*end) }),
        }
    }

    /// An empty slot; the first where there is none.
    pub(super) fn any_empty(&self) -> usize {
        self.fingerprints.iter().position(|found| *found == 0).unwrap_or_default()
    }

    /// Fills a slot that [`Self::find`] called empty, with nothing moved since.
    pub(super) fn fill(&mut self, at: usize, fingerprint: Fingerprint, life: Life) {
        if let Some(slot) = self.fingerprints.get_mut(at) {
            *slot = fingerprint.get();
            self.entries = self.entries.saturating_add(1);
        }
        if let Some(slot) = self.lives.get_mut(at) {
            *slot = [life.owner, life.end.pack()];
        }
    }

    /// Empties a slot, and moves what a search would no longer reach: another entry may be in the
    /// slot afterwards.
    pub(super) fn empty(&mut self, at: usize) {
        let (mut hole, mut next) = (at, self.after(at));
        for _ in 1..self.slots() {
            let Some(moved) = self.fingerprints.get(next).copied().filter(|found| *found != 0)
            else {
                break;
            };
            // It stays where it is if its search begins behind the hole.
            if self.distance(self.home(moved), next) >= self.distance(hole, next) {
                self.copy(next, hole);
                hole = next;
            }
            next = self.after(next);
        }
        if let Some(slot) = self.fingerprints.get_mut(hole) {
            *slot = 0;
            self.entries = self.entries.saturating_sub(1);
        }
        if let Some(slot) = self.lives.get_mut(hole) {
            *slot = [0, 0];
        }
    }

    fn copy(&mut self, from: usize, to: usize) {
        if from.max(to) < self.slots() {
            self.fingerprints.copy_within(from..=from, to);
            self.lives.copy_within(from..=from, to);
        }
    }

    /// Where the search for a fingerprint begins: its upper half, spread over the slots.
    fn home(&self, fingerprint: u128) -> usize {
        let slots = u128::try_from(self.slots()).unwrap_or_default();
        usize::try_from((fingerprint >> 64) * slots >> 64).unwrap_or_default()
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
            steps in proptest::collection::vec((any::<bool>(), 0_u128..8, 0_u128..6), 1..300),
        ) {
            let mut table = Table::new(slots);
            let mut map: HashMap<u128, Life> = HashMap::new();
            for (step, (insert, home, low)) in steps.into_iter().enumerate() {
                let key = (u128::MAX / 8 * (home + 1)) & !0xff | low;
                let fingerprint = Fingerprint::of(key);
                let end = Ticks { wall: 1, steady: u32::try_from(step).unwrap() };
                let life = Life { owner: u64::try_from(step).unwrap(), end };
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
                    let Place::Taken(at) = table.find(Fingerprint::of(*key)) else {
                        panic!("lost {key:x}")
                    };
                    prop_assert_eq!(table.life(at), Some(*life));
                }
            }
            let alive = (0..slots).filter(|at| table.life(*at).is_some()).count();
            prop_assert_eq!(alive, map.len());
        }
    }
}
