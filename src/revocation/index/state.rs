use crate::revocation::RELEASES_ARE_KEPT;
use crate::revocation::record::{Effect, Hold};
use crate::revocation::said::{Register, Said, Says};
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

/// What counts of one target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    said: Said,
    /// A cut-off in place of others, which no lift takes back: nobody said it of this target.
    folded: Option<Timestamp>,
}

impl State {
    pub(super) fn apply(&mut self, effect: Effect, at: Timestamp) {
        self.said.apply(effect, at);
    }

    /// A cut-off in place of others.
    pub(super) fn fold(&mut self, at: Timestamp) {
        self.folded = self.folded.max(Some(at));
    }

    /// Up to when what was said counts no more.
    pub(super) fn lifted(&self) -> Option<Timestamp> {
        self.said.lift
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
        if self.said.purge.is_some() {
            return Finding::Held(about, None);
        }
        for (hold, register) in Hold::ALL.iter().zip(self.said.holds) {
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
        if let Some(at) = self.said.refuse.max(self.folded).filter(before) {
            return Finding::IssuedBefore(about, at);
        }
        let weak = |at: &Timestamp| authenticated_at.is_some_and(|time| time <= *at);
        if let Some(at) = self.said.step_up.filter(|at| before(at) || weak(at)) {
            finding = finding.or(Finding::StepUp(about, at));
        }
        finding
    }

    /// Forgets what matters no more before this time; whether anything is left.
    pub(super) fn purge(&mut self, before: Timestamp) -> bool {
        self.said.forget_cut_offs(before);
        self.folded = self.folded.filter(|time| *time >= before);
        // What takes back is remembered a while longer, so that what comes late changes nothing.
        self.said.forget_releases(before.minus(RELEASES_ARE_KEPT));
        *self != Self::default()
    }

    /// The cut-off, if that is all that there is.
    pub(super) fn only_cut_off(&self) -> Option<Timestamp> {
        let refuse = self.said.refuse?;
        let only = Said { refuse: Some(refuse), ..Said::default() };
        (self.said == only && self.folded.is_none()).then_some(refuse)
    }
}
