//! What is kept of one target, and how it is written.
//!
//! Of each effect the latest time; of each reason to hold what was said last; the time of the last
//! lift, so that something older that comes late stays lifted; and of a token how long it matters. The
//! same is kept whatever the order in which it came, and however often.

use std::time::Duration;

use super::super::record::{Effect, Hold, Record, Target};
use super::super::{LEEWAYS_MOST, RELEASES_ARE_KEPT};
use crate::time::Timestamp;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    refuse: Option<Timestamp>,
    step_up: Option<Timestamp>,
    purge: Option<Timestamp>,
    /// In the order of [`Hold::ALL`].
    holds: [Option<Register>; 3],
    lift: Option<Timestamp>,
    /// Of a token that is refused.
    until: Option<Until>,
}

/// What was said last of one reason to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Register {
    at: Timestamp,
    says: Says,
}

/// Of two that were said for one time the stricter counts: the order of the variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Says {
    Release,
    StepUp,
    Refuse,
}

/// How long a token matters. The later one counts, lifted or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Until {
    At(Timestamp),
    /// Somebody did not say: as long as a token can live.
    Open,
}

/// How long records matter at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Horizon {
    now: Timestamp,
    /// Cut-offs from before matter no more.
    cut_offs: Timestamp,
    /// Nor what took something back before.
    releases: Timestamp,
}

impl Horizon {
    pub(super) fn new(now: Timestamp, life: Duration) -> Self {
        let cut_offs = now.minus(life);
        Self { now, cut_offs, releases: cut_offs.minus(RELEASES_ARE_KEPT) }
    }
}

impl Row {
    /// Takes in one record about its target.
    pub(super) fn apply(&mut self, record: &Record) {
        let at = record.at;
        let mut register = |hold: Hold, says| {
            if let Some(place) = Hold::ALL.iter().position(|known| *known == hold)
                && let Some(register) = self.holds.get_mut(place)
            {
                *register = (*register).max(Some(Register { at, says }));
            }
        };
        match record.effect {
            Effect::Refuse => self.refuse = self.refuse.max(Some(at)),
            Effect::StepUp => self.step_up = self.step_up.max(Some(at)),
            Effect::Purge => self.purge = self.purge.max(Some(at)),
            Effect::Hold(hold) => register(hold, Says::Refuse),
            Effect::HoldForStepUp(hold) => register(hold, Says::StepUp),
            Effect::Release(hold) => register(hold, Says::Release),
            Effect::Lift => self.lift = self.lift.max(Some(at)),
        }
        let of_token = matches!(record.target, Target::Token(_));
        if of_token && matches!(record.effect, Effect::Refuse | Effect::StepUp) {
            self.until = self.until.max(Some(record.until.map_or(Until::Open, Until::At)));
        }
        if let Some(lift) = self.lift {
            self.keep(|_, at| at > lift);
        }
    }

    /// Drops what can matter no more; whether anything went.
    pub(super) fn expire(&mut self, horizon: Horizon) -> bool {
        let before = self.clone();
        match self.until {
            Some(Until::At(until)) if until.plus(LEEWAYS_MOST) <= horizon.now => {
                // The token is over, whatever was said of it.
                *self = Self::default();
            }
            // It is not, however long ago it was revoked.
            Some(Until::At(_)) => {}
            Some(Until::Open) | None => {
                self.keep(|kind, at| kind != Kind::CutOff || at >= horizon.cut_offs);
            }
        }
        self.keep(|kind, at| kind != Kind::Release || at >= horizon.releases);
        self.lift = self.lift.filter(|at| *at >= horizon.releases);
        if (Self { until: None, ..self.clone() }) == Self::default() {
            self.until = None;
        }
        *self != before
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The records that say the same. A lift comes first: it takes back nothing that follows.
    pub(super) fn records(&self, issuer: &str, target: Target, each: &mut dyn FnMut(Record)) {
        let until = match self.until {
            Some(Until::At(until)) => Some(until),
            Some(Until::Open) | None => None,
        };
        let hold = |place: usize| {
            let hold = *Hold::ALL.get(place)?;
            let Register { at, says } = (*self.holds.get(place)?)?;
            let effect = match says {
                Says::Release => Effect::Release(hold),
                Says::StepUp => Effect::HoldForStepUp(hold),
                Says::Refuse => Effect::Hold(hold),
            };
            Some((effect, at, None))
        };
        let said = [
            self.lift.map(|at| (Effect::Lift, at, None)),
            self.purge.map(|at| (Effect::Purge, at, None)),
            hold(0),
            hold(1),
            hold(2),
            self.step_up.map(|at| (Effect::StepUp, at, until)),
            self.refuse.map(|at| (Effect::Refuse, at, until)),
        ];
        let mut said = said.into_iter().flatten().peekable();
        while let Some((effect, at, until)) = said.next() {
            let of = |target| Record { until, ..Record::new(issuer, target, effect, at) };
            // Most rows say one thing, and there are millions of them: no copy for the last.
            if said.peek().is_none() {
                return each(of(target));
            }
            each(of(target.clone()));
        }
    }

    fn keep(&mut self, keep: impl Fn(Kind, Timestamp) -> bool) {
        let kept = |kind, time: Option<Timestamp>| time.filter(|at| keep(kind, *at));
        self.refuse = kept(Kind::CutOff, self.refuse);
        self.step_up = kept(Kind::CutOff, self.step_up);
        self.purge = kept(Kind::State, self.purge);
        for register in &mut self.holds {
            *register = register.filter(|register| match register.says {
                Says::Release => keep(Kind::Release, register.at),
                Says::StepUp | Says::Refuse => keep(Kind::State, register.at),
            });
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    CutOff,
    /// It never ages out.
    State,
    Release,
}

/// What is written: a tag for each thing that is known, in ascending order, and behind it its time in
/// five bytes, or nine if it is not a whole second.
mod tag {
    pub(super) const REFUSE: u8 = 1;
    pub(super) const STEP_UP: u8 = 2;
    pub(super) const PURGE: u8 = 3;
    pub(super) const LIFT: u8 = 4;
    pub(super) const UNTIL: u8 = 5;
    /// Without a time.
    pub(super) const UNTIL_OPEN: u8 = 6;
    /// The place of the hold, times four, and what is said of it.
    pub(super) const HOLDS: u8 = 16;
    /// The time is not a whole second.
    pub(super) const NANOS: u8 = 0x80;
}

impl Row {
    pub(super) fn encode(&self, onto: &mut Vec<u8>) {
        let cut_offs = [(tag::REFUSE, self.refuse), (tag::STEP_UP, self.step_up)];
        let others = [(tag::PURGE, self.purge), (tag::LIFT, self.lift)];
        for (tag, at) in cut_offs.into_iter().chain(others) {
            if let Some(at) = at {
                write(tag, at, onto);
            }
        }
        match self.until {
            Some(Until::At(at)) => write(tag::UNTIL, at, onto),
            Some(Until::Open) => onto.push(tag::UNTIL_OPEN),
            None => {}
        }
        for (place, register) in (0_u8..).zip(self.holds) {
            if let Some(Register { at, says }) = register {
                let says = match says {
                    Says::Release => 0,
                    Says::StepUp => 1,
                    Says::Refuse => 2,
                };
                write(tag::HOLDS | (place << 2) | says, at, onto);
            }
        }
    }

    /// `None` if no row is written so.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut row = Self::default();
        let mut rest = bytes;
        let mut last = 0;
        while let Some((first, behind)) = rest.split_first() {
            rest = behind;
            let tag = first & !tag::NANOS;
            if tag <= last {
                return None;
            }
            last = tag;
            if *first == tag::UNTIL_OPEN && row.until.is_none() {
                row.until = Some(Until::Open);
                continue;
            }
            let at = read(*first, &mut rest)?;
            match tag {
                tag::REFUSE => row.refuse = Some(at),
                tag::STEP_UP => row.step_up = Some(at),
                tag::PURGE => row.purge = Some(at),
                tag::LIFT => row.lift = Some(at),
                tag::UNTIL => row.until = Some(Until::At(at)),
                _ if tag & tag::HOLDS != 0 => {
                    let says = match tag & 3 {
                        0 => Says::Release,
                        1 => Says::StepUp,
                        2 => Says::Refuse,
                        _ => return None,
                    };
                    let place = usize::from((tag & !tag::HOLDS) >> 2);
                    let register = row.holds.get_mut(place)?;
                    if register.replace(Register { at, says }).is_some() {
                        return None;
                    }
                }
                _ => return None,
            }
        }
        (!row.is_empty()).then_some(row)
    }
}

fn write(tag: u8, at: Timestamp, onto: &mut Vec<u8>) {
    let at = at.as_duration();
    let nanos = at.subsec_nanos();
    onto.push(if nanos == 0 { tag } else { tag | tag::NANOS });
    // No time has more than 38 bits.
    onto.extend_from_slice(at.as_secs().to_be_bytes().get(3..).unwrap_or_default());
    if nanos != 0 {
        onto.extend_from_slice(&nanos.to_be_bytes());
    }
}

fn read(tag: u8, rest: &mut &[u8]) -> Option<Timestamp> {
    let (seconds, behind) = rest.split_first_chunk::<5>()?;
    *rest = behind;
    let seconds = seconds.iter().fold(0_u64, |all, byte| (all << 8) | u64::from(*byte));
    let mut nanos = 0;
    if tag & tag::NANOS != 0 {
        let (found, behind) = rest.split_first_chunk::<4>()?;
        *rest = behind;
        // Without them it would be written otherwise.
        nanos = Some(u32::from_be_bytes(*found)).filter(|nanos| *nanos > 0)?;
    }
    let whole =
        seconds < Timestamp::MAX_SECONDS || (seconds == Timestamp::MAX_SECONDS && nanos == 0);
    (whole && nanos < 1_000_000_000)
        .then(|| Timestamp::from_duration(Duration::new(seconds, nanos)))
}
