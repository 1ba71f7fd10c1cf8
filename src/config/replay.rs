//! What is remembered of what was used.

use serde::Deserialize;

use super::value::Count;
use crate::error::{ConfigFault, Faults};
use crate::sender::MemoryReplayStore;

/// How much is remembered, in this process.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Replay"))]
pub(super) struct ReplayTable {
    /// How many entries fit, 1 to 268435456; 1048576 unless said otherwise.
    capacity: Option<Count>,
    /// How many of them one client may have; an eighth unless said otherwise.
    client_share: Option<Count>,
}

impl ReplayTable {
    /// As many as [`MemoryReplayStore::with_capacity`] takes.
    const MOST: usize = 1 << 28;

    pub(super) fn store(&self, faults: &mut Faults) -> MemoryReplayStore {
        let mut bounded = |member, what, found: usize, maximum| {
            let fits = (1..=maximum).contains(&found);
            if !fits {
                faults.push_at(member, ConfigFault::Bound { what, found, maximum });
            }
            fits.then_some(found)
        };
        let what = "capacity of the replay memory";
        let capacity =
            self.capacity.map(|Count(found)| bounded("capacity", what, found, Self::MOST));
        let store = match capacity {
            Some(Some(entries)) => MemoryReplayStore::with_capacity(entries),
            Some(None) | None => MemoryReplayStore::new(),
        };
        let room = match capacity {
            // What fits is not known.
            Some(None) => Self::MOST,
            Some(Some(_)) | None => store.health().capacity,
        };
        let what = "share of one client";
        match self.client_share.map(|Count(found)| bounded("client_share", what, found, room)) {
            Some(Some(entries)) => store.client_share(entries),
            Some(None) | None => store,
        }
    }
}
