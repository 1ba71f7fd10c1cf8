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

#[cfg(test)]
mod tests {
    use super::*;

    const ABOUT: About = About::Subject;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_secs(second)
    }

    fn said(effects: &[(Effect, u64)]) -> State {
        let mut state = State::default();
        effects.iter().for_each(|(effect, second)| state.apply(*effect, at(*second)));
        state
    }

    /// Attack 40: of two findings the stricter counts, of two of one kind the later, in either order:
    /// the time is told to the client.
    #[test]
    fn of_two_findings_the_stricter_counts_and_of_one_kind_the_later() {
        let rising = [
            Finding::Clear,
            Finding::StepUp(ABOUT, at(10)),
            Finding::StepUp(About::Client, at(20)),
            Finding::IssuedBefore(ABOUT, at(10)),
            Finding::IssuedBefore(About::Issuer, at(20)),
            Finding::Held(ABOUT, None),
            Finding::Token,
        ];
        for (place, stricter) in rising.iter().enumerate() {
            for weaker in &rising[..=place] {
                assert_eq!(weaker.or(*stricter), *stricter);
                assert_eq!(stricter.or(*weaker), *stricter);
            }
        }
    }

    /// CAEP-06: a step-up is wanted of what was issued at its time or before, and of what was issued
    /// later for an authentication of then or before. `None`: the token does not say.
    #[test]
    fn a_step_up_is_wanted_for_an_old_token_and_for_an_old_authentication() {
        let state = said(&[(Effect::StepUp, 100)]);
        for (issued, authenticated, wanted) in [
            (Some(100), None, true),
            (Some(101), None, false),
            (Some(101), Some(99), true),
            (Some(101), Some(100), true),
            (Some(101), Some(101), false),
            (Some(100), Some(101), true),
            (None, Some(101), true),
        ] {
            let found = state.finding(ABOUT, issued.map(at), authenticated.map(at));
            let expected = if wanted { Finding::StepUp(ABOUT, at(100)) } else { Finding::Clear };
            assert_eq!(found, expected, "{issued:?} {authenticated:?}");
        }
    }

    /// What takes back is remembered for a week longer than a cut-off of its time: what comes late says nothing new.
    #[test]
    fn what_takes_back_is_kept_for_a_week() {
        const WEEK: u64 = 7 * 24 * 60 * 60;
        for effect in [Effect::Lift, Effect::Release(Hold::Account)] {
            let mut state = said(&[(effect, 100)]);
            assert!(state.purge(at(100 + WEEK)), "{effect:?}");
            assert_eq!(state, said(&[(effect, 100)]));
            assert!(!state.purge(at(101 + WEEK)), "{effect:?}");
        }
        let mut cut_off = said(&[(Effect::Refuse, 100)]);
        assert!(cut_off.purge(at(100)));
        assert!(!cut_off.purge(at(101)));
    }

    /// EVT-01: a cut-off in place of others is kept as long as they would be, and no longer.
    #[test]
    fn a_folded_cut_off_is_kept_while_it_can_matter() {
        let mut state = State::default();
        state.fold(at(10));
        assert!(state.purge(at(10)), "something is left");
        assert_eq!(state.finding(ABOUT, Some(at(10)), None), Finding::IssuedBefore(ABOUT, at(10)));
        assert!(!state.purge(at(11)), "nothing is left");
        assert_eq!(state, State::default());
    }

    /// What says more than a cut-off is not given up for one.
    #[test]
    fn only_what_is_nothing_but_a_cut_off_can_be_folded() {
        let hold = (Effect::Hold(Hold::Account), 10);
        assert_eq!(said(&[(Effect::Refuse, 10)]).only_cut_off(), Some(at(10)));
        for more in [
            said(&[]),
            said(&[hold]),
            said(&[(Effect::Refuse, 10), hold]),
            said(&[(Effect::Refuse, 10), (Effect::Purge, 10)]),
            said(&[(Effect::Refuse, 10), (Effect::StepUp, 20)]),
            said(&[(Effect::Refuse, 10), (Effect::Lift, 5)]),
        ] {
            assert_eq!(more.only_cut_off(), None, "{more:?}");
        }
        let mut folded = said(&[(Effect::Refuse, 10)]);
        folded.fold(at(5));
        assert_eq!(folded.only_cut_off(), None, "one that was folded into already");
    }
}
