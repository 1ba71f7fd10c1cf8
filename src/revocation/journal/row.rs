//! What is kept of one target, and how it is written.
//!
//! What was said ([`Said`]), and of a token how long it matters. The same is kept whatever the order in
//! which it came, and however often.

use std::time::Duration;

use super::super::record::{Effect, Hold, Record, Target};
use super::super::said::{Register, Said, Says};
use super::super::{LEEWAYS_MOST, RELEASES_ARE_KEPT};
use crate::time::Timestamp;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    said: Said,
    /// Of a token that is refused.
    until: Option<Until>,
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
        self.said.apply(record.effect, record.at);
        let of_token = matches!(record.target, Target::Token(_));
        if of_token && matches!(record.effect, Effect::Refuse | Effect::StepUp) {
            self.until = self.until.max(Some(record.until.map_or(Until::Open, Until::At)));
        }
    }

    /// Drops what can matter no more; whether anything went.
    pub(super) fn expire(&mut self, horizon: Horizon) -> bool {
        let before = self.clone();
        match self.until {
            Some(Until::At(until)) if until.plus(LEEWAYS_MOST) <= horizon.now => {
                // Who said it may have asked an issuer that gives another `exp` each time: no token is over
                // before its life is, counted from when it was revoked.
                self.said.forget_cut_offs(horizon.cut_offs);
                if self.said.refuse.is_none() && self.said.step_up.is_none() {
                    // This one is, whatever was said of it.
                    *self = Self::default();
                }
            }
            // It is not, however long ago it was revoked.
            Some(Until::At(_)) => {}
            Some(Until::Open) | None => {
                self.said.forget_cut_offs(horizon.cut_offs);
            }
        }
        self.said.forget_releases(horizon.releases);
        if self.said.is_empty() {
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
            let Register { at, says } = (*self.said.holds.get(place)?)?;
            let effect = match says {
                Says::Release => Effect::Release(hold),
                Says::StepUp => Effect::HoldForStepUp(hold),
                Says::Refuse => Effect::Hold(hold),
            };
            Some((effect, at, None))
        };
        let said = [
            self.said.lift.map(|at| (Effect::Lift, at, None)),
            self.said.purge.map(|at| (Effect::Purge, at, None)),
            hold(0),
            hold(1),
            hold(2),
            self.said.step_up.map(|at| (Effect::StepUp, at, until)),
            self.said.refuse.map(|at| (Effect::Refuse, at, until)),
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
        let cut_offs = [(tag::REFUSE, self.said.refuse), (tag::STEP_UP, self.said.step_up)];
        let others = [(tag::PURGE, self.said.purge), (tag::LIFT, self.said.lift)];
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
        for (place, register) in (0_u8..).zip(self.said.holds) {
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
                tag::REFUSE => row.said.refuse = Some(at),
                tag::STEP_UP => row.said.step_up = Some(at),
                tag::PURGE => row.said.purge = Some(at),
                tag::LIFT => row.said.lift = Some(at),
                tag::UNTIL => row.until = Some(Until::At(at)),
                _ if tag & tag::HOLDS != 0 => {
                    let says = match tag & 3 {
                        0 => Says::Release,
                        1 => Says::StepUp,
                        2 => Says::Refuse,
                        _ => return None,
                    };
                    let place = usize::from((tag & !tag::HOLDS) >> 2);
                    let register = row.said.holds.get_mut(place)?;
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
