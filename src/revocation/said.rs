//! What was said of one target, as memory and disk keep it.
//!
//! Of each effect the latest time; of each reason to hold what was said last; the time of the last lift,
//! so that something older that comes late stays lifted. The same is kept whatever the order in which it
//! came, and however often.

use super::record::{Effect, Hold};
use crate::time::Timestamp;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) refuse: Option<Timestamp>,
    pub(super) step_up: Option<Timestamp>,
    pub(super) purge: Option<Timestamp>,
    /// In the order of [`Hold::ALL`].
    pub(super) holds: [Option<Register>; Hold::ALL.len()],
    /// What was said up to then counts no more, also if it comes late.
    pub(super) lift: Option<Timestamp>,
}

/// What was said last of one reason to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Register {
    pub(super) at: Timestamp,
    pub(super) says: Says,
}

/// Of two that were said for one time the stricter counts: the order of the variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Says {
    Release,
    StepUp,
    Refuse,
}

impl Said {
    pub(super) fn apply(&mut self, effect: Effect, at: Timestamp) {
        match effect {
            Effect::Refuse => self.refuse = self.refuse.max(Some(at)),
            Effect::StepUp => self.step_up = self.step_up.max(Some(at)),
            Effect::Purge => self.purge = self.purge.max(Some(at)),
            Effect::Hold(hold) => self.register(hold, at, Says::Refuse),
            Effect::HoldForStepUp(hold) => self.register(hold, at, Says::StepUp),
            Effect::Release(hold) => self.register(hold, at, Says::Release),
            Effect::Lift => self.lift = self.lift.max(Some(at)),
        }
        if let Some(lift) = self.lift {
            let later = |time: Option<Timestamp>| time.filter(|time| *time > lift);
            self.refuse = later(self.refuse);
            self.step_up = later(self.step_up);
            self.purge = later(self.purge);
            for register in &mut self.holds {
                *register = register.filter(|register| register.at > lift);
            }
        }
    }

    /// Forgets cut-offs of before this time. What is a state never ages out.
    pub(super) fn forget_cut_offs(&mut self, before: Timestamp) {
        self.refuse = self.refuse.filter(|time| *time >= before);
        self.step_up = self.step_up.filter(|time| *time >= before);
    }

    /// Forgets what took something back before this time.
    pub(super) fn forget_releases(&mut self, before: Timestamp) {
        for register in &mut self.holds {
            *register =
                register.filter(|register| register.says != Says::Release || register.at >= before);
        }
        self.lift = self.lift.filter(|time| *time >= before);
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn register(&mut self, hold: Hold, at: Timestamp, says: Says) {
        // INVARIANT: there is a place for each.
        if let Some(place) = self.holds.get_mut(hold.place()) {
            *place = (*place).max(Some(Register { at, says }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_place_of_its_own() {
        for (place, hold) in Hold::ALL.iter().enumerate() {
            assert_eq!(hold.place(), place, "{hold:?}");
        }
    }
}
