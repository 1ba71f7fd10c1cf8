use std::collections::HashMap;

use crate::place::BuildPlaceHasher;

/// How many entries each owner has in a shard, in bounded memory, however many owners there are.
///
/// Owners share counters, by chance. So a counter is never too low, and most of the time low enough:
/// an owner whose counter is below its share has not got it. Where a counter is not, somebody has to
/// count the owner's entries, and says so here if it has its share.
pub(super) struct Owners {
    counters: Vec<u32>,
    each: u32,
    /// Who has its share, and when the first of its entries ends, in steady ticks.
    full: HashMap<u64, u32, BuildPlaceHasher>,
}

impl Owners {
    /// At least so many counters, and a share of so many entries.
    pub(super) fn new(counters: usize, each: u32) -> Self {
        let counters = vec![0; counters.next_power_of_two()];
        Self { counters, each, full: HashMap::default() }
    }

    pub(super) fn limit(&mut self, each: u32) {
        self.each = each;
        self.full.clear();
    }

    /// Whether the owner has to be counted.
    pub(super) fn may_be_full(&self, owner: u64) -> bool {
        self.counters.get(self.at(owner)).is_some_and(|entries| *entries >= self.each)
    }

    /// When the first entry of an owner ends that was counted and has its share.
    pub(super) fn frees_at(&self, owner: u64) -> Option<u32> {
        self.full.get(&owner).copied()
    }

    pub(super) fn was_counted(&mut self, owner: u64, entries: u32, frees_at: u32) {
        if entries >= self.each {
            self.full.insert(owner, frees_at);
        }
    }

    pub(super) fn add(&mut self, owner: u64) {
        let at = self.at(owner);
        if let Some(entries) = self.counters.get_mut(at) {
            *entries = entries.saturating_add(1);
        }
    }

    pub(super) fn remove(&mut self, owner: u64) {
        let at = self.at(owner);
        if let Some(entries) = self.counters.get_mut(at) {
            *entries = entries.saturating_sub(1);
        }
        if !self.full.is_empty() {
            self.full.remove(&owner);
        }
    }

    /// How much of its share any owner has at most, in percent.
    pub(super) fn fullest_percent(&self) -> u32 {
        let most = self.counters.iter().copied().max().unwrap_or_default();
        most.saturating_mul(100).checked_div(self.each).unwrap_or_default().min(100)
    }

    /// The number of an owner is a hash already.
    fn at(&self, owner: u64) -> usize {
        let mask = u64::try_from(self.counters.len().saturating_sub(1)).unwrap_or_default();
        usize::try_from(owner & mask).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_shares_a_counter_is_counted_and_not_refused() {
        let mut owners = Owners::new(4, 2);
        // One and five share a counter, two has its own.
        owners.add(1);
        assert!(!owners.may_be_full(1));
        owners.add(5);
        assert!(owners.may_be_full(1) && owners.may_be_full(5) && !owners.may_be_full(2));
        owners.was_counted(1, 1, 60);
        assert_eq!(owners.frees_at(1), None);
        owners.add(1);
        owners.was_counted(1, 2, 60);
        assert_eq!((owners.frees_at(1), owners.frees_at(5)), (Some(60), None));
        owners.remove(1);
        assert_eq!(owners.frees_at(1), None);
    }
}
