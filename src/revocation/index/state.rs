use crate::revocation::record::{Effect, Hold};
use crate::time::Timestamp;

/// What is known of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// Nothing that speaks against it.
    Clear,
    /// It is revoked by its `jti`.
    Token,
    /// It was issued at this time or before: so says a record about this.
    IssuedBefore(About, Timestamp),
    /// It is on hold, or revoked whenever it was issued.
    Held(About, Option<Hold>),
    /// Its user has to authenticate again, after this time.
    StepUp(About, Timestamp),
}

/// What a record is about, for an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    Issuer,
    Token,
    Key,
    Session,
    Subject,
    Client,
    /// A claim that the configuration names.
    Named(u16),
}

impl Finding {
    /// How strict it is.
    const fn rank(self) -> u8 {
        match self {
            Self::Clear => 0,
            Self::StepUp(..) => 1,
            Self::IssuedBefore(..) => 2,
            Self::Held(..) => 3,
            Self::Token => 4,
        }
    }

    /// The stricter one; of two of one kind the later.
    pub(super) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::StepUp(_, one), Self::StepUp(_, another))
            | (Self::IssuedBefore(_, one), Self::IssuedBefore(_, another)) => {
                if one >= another {
                    self
                } else {
                    other
                }
            }
            _ if self.rank() >= other.rank() => self,
            _ => other,
        }
    }
}

/// What was said last of one reason to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Register {
    at: Timestamp,
    // Of two that were said for one time the stricter counts: the order of the variants.
    says: Says,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Says {
    Released,
    StepUp,
    Refuse,
}

/// What was said of one target: the same whatever the order in which it was said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    refuse: Option<Timestamp>,
    step_up: Option<Timestamp>,
    purged: Option<Timestamp>,
    /// In the order of [`Hold::ALL`].
    holds: [Option<Register>; 3],
    /// What was said up to then counts no more, also if it comes late.
    lift: Option<Timestamp>,
    /// A cut-off in place of others, which no lift takes back: nobody said it of this target.
    folded: Option<Timestamp>,
}

impl State {
    pub(super) fn apply(&mut self, effect: Effect, at: Timestamp) {
        let mut register = |hold: Hold, says| {
            if let Some(place) = self.holds.get_mut(place(hold)) {
                *place = (*place).max(Some(Register { at, says }));
            }
        };
        match effect {
            Effect::Refuse => self.refuse = self.refuse.max(Some(at)),
            Effect::StepUp => self.step_up = self.step_up.max(Some(at)),
            Effect::Purge => self.purged = self.purged.max(Some(at)),
            Effect::Hold(hold) => register(hold, Says::Refuse),
            Effect::HoldForStepUp(hold) => register(hold, Says::StepUp),
            Effect::Release(hold) => register(hold, Says::Released),
            Effect::Lift => self.lift = self.lift.max(Some(at)),
        }
        if let Some(lift) = self.lift {
            let keep = |time: Option<Timestamp>| time.filter(|time| *time > lift);
            self.refuse = keep(self.refuse);
            self.step_up = keep(self.step_up);
            self.purged = keep(self.purged);
            for register in &mut self.holds {
                *register = register.filter(|register| register.at > lift);
            }
        }
    }

    /// A cut-off in place of others.
    pub(super) fn fold(&mut self, at: Timestamp) {
        self.folded = self.folded.max(Some(at));
    }

    /// Up to when what was said counts no more.
    pub(super) fn lifted(&self) -> Option<Timestamp> {
        self.lift
    }

    /// What it means for a token that was issued then, for a user who authenticated then.
    pub(super) fn finding(
        &self,
        about: About,
        issued_at: Option<Timestamp>,
        authenticated_at: Option<Timestamp>,
    ) -> Finding {
        // A token that does not say when it was issued was issued before.
        let before = |cut_off: &Timestamp| issued_at.is_none_or(|issued| issued <= *cut_off);
        let mut finding = Finding::Clear;
        if self.purged.is_some() {
            return Finding::Held(about, None);
        }
        for (hold, register) in Hold::ALL.iter().zip(self.holds) {
            match register {
                Some(Register { says: Says::Refuse, .. }) => {
                    return Finding::Held(about, Some(*hold));
                }
                Some(Register { says: Says::StepUp, at })
                    if authenticated_at.is_none_or(|authenticated| authenticated <= at) =>
                {
                    finding = finding.or(Finding::StepUp(about, at));
                }
                Some(_) | None => {}
            }
        }
        if let Some(at) = self.refuse.max(self.folded).filter(before) {
            return Finding::IssuedBefore(about, at);
        }
        let weak = |at: &Timestamp| authenticated_at.is_some_and(|time| time <= *at);
        if let Some(at) = self.step_up.filter(|at| before(at) || weak(at)) {
            finding = finding.or(Finding::StepUp(about, at));
        }
        finding
    }

    /// Forgets what matters no more before this time; whether anything is left.
    pub(super) fn purge(&mut self, before: Timestamp) -> bool {
        let keep = |time: Option<Timestamp>| time.filter(|time| *time >= before);
        self.refuse = keep(self.refuse);
        self.folded = keep(self.folded);
        self.step_up = keep(self.step_up);
        // What takes back is remembered a while longer, so that what comes late changes nothing.
        let released = before.minus(super::super::RELEASES_ARE_KEPT);
        for register in &mut self.holds {
            *register = register
                .filter(|register| register.says != Says::Released || register.at >= released);
        }
        self.lift = self.lift.filter(|time| *time >= released);
        *self != Self::default()
    }

    /// The cut-off, if that is all that there is.
    pub(super) fn only_cut_off(&self) -> Option<Timestamp> {
        let only = Self { refuse: self.refuse, ..Self::default() };
        self.refuse.filter(|_| *self == only)
    }
}

const fn place(hold: Hold) -> usize {
    match hold {
        Hold::Account => 0,
        Hold::Device => 1,
        Hold::Risk => 2,
    }
}
