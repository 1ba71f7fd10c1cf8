//! How old what is known may be, and what becomes of requests when it is older.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::time::{Moment, Timestamp, shown_duration};

/// What becomes of tokens when what is known of their revocation is older than it may be: when its
/// source has not been synchronised for longer than its maximum age.
///
/// The age counts from the last good synchronisation. Of a source that never was synchronised nothing
/// is known: that is always 503, but for [`OnStale::InsecureUnbounded`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OnStale {
    /// They get 503 with `Retry-After` until the source is back.
    #[default]
    Deny,
    /// They are accepted as long as the last good synchronisation is at most this long ago, then they
    /// get 503. A time shorter than the source's maximum age is [`OnStale::Deny`].
    AllowFor(Duration),
    /// They are accepted for ever, also if the source never said a word. An outage, or whoever can
    /// cause one, switches revocation off.
    InsecureUnbounded,
}

impl OnStale {
    /// The greatest age that is accepted of a source with this maximum age; `None`: any.
    pub(crate) fn most(self, max_age: Duration) -> Option<Duration> {
        match self {
            Self::Deny => Some(max_age),
            Self::AllowFor(time) => Some(time.max(max_age)),
            Self::InsecureUnbounded => None,
        }
    }

    /// As a configuration file has it.
    pub(crate) fn report(self) -> serde_json::Value {
        match self {
            Self::Deny => "deny".into(),
            Self::AllowFor(time) => serde_json::json!({ "allow_for": shown_duration(time) }),
            Self::InsecureUnbounded => "insecure_unbounded".into(),
        }
    }
}

/// What a route, and the classes of a token, demand of what is known of revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Demand {
    /// It is no older than this, whatever else is said.
    pub(crate) freshness: Option<Duration>,
    /// In place of what the source or the server says.
    pub(crate) on_stale: Option<OnStale>,
}

impl Demand {
    /// Both.
    pub(crate) fn and_freshness(self, other: Option<Duration>) -> Self {
        let freshness = match (self.freshness, other) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        Self { freshness, ..self }
    }

    /// The greatest age that is accepted; `None`: any, also of what was never known.
    pub(crate) fn most(self, on_stale: OnStale, max_age: Duration) -> Option<Duration> {
        let most = self.on_stale.unwrap_or(on_stale).most(max_age);
        match (most, self.freshness) {
            (Some(most), Some(wanted)) => Some(most.min(wanted)),
            (most, wanted) => most.or(wanted),
        }
    }
}

/// When a source was last synchronised. Written and read without a lock.
///
/// The two times are written one after the other: who reads between the writes sees one old and one
/// new one, and believes the greater age.
#[derive(Debug)]
pub(crate) struct LastSync {
    /// Nanoseconds since the epoch, plus one; zero: never.
    wall: AtomicU64,
    /// Nanoseconds of steady time, shifted by [`Self::ORIGIN`]: a synchronisation can be older than
    /// this process.
    steady: AtomicU64,
}

impl LastSync {
    /// Half of what fits: 292 years.
    const ORIGIN: u64 = u64::MAX / 2;

    pub(crate) const fn never() -> Self {
        Self { wall: AtomicU64::new(0), steady: AtomicU64::new(0) }
    }

    /// It never goes back.
    pub(crate) fn set(&self, at: Moment) {
        let wall = nanos(at.wall().as_duration()).saturating_add(1);
        let steady = nanos(at.steady()).saturating_add(Self::ORIGIN);
        // The steady time alone says which one is later: the time of day can be set back.
        if steady >= self.steady.load(Ordering::Acquire) {
            self.steady.store(steady, Ordering::Release);
            self.wall.store(wall, Ordering::Release);
        }
    }

    /// What was synchronised before this process started: by the time of day, since that is all that
    /// is known. A time in the future is no synchronisation.
    pub(crate) fn restore(&self, then: Timestamp, now: Moment) {
        let Some(age) = now.wall().since(then) else { return };
        let steady = nanos(now.steady()).saturating_add(Self::ORIGIN);
        let wall = nanos(then.as_duration()).saturating_add(1);
        self.steady.store(steady.saturating_sub(nanos(age)), Ordering::Release);
        self.wall.store(wall, Ordering::Release);
    }

    /// How long ago it was; `None`: never.
    pub(crate) fn age(&self, now: Moment) -> Option<Duration> {
        let wall = self.wall.load(Ordering::Acquire).checked_sub(1)?;
        let steady = self.steady.load(Ordering::Acquire);
        let by_wall = nanos(now.wall().as_duration()).saturating_sub(wall);
        let by_steady = nanos(now.steady()).saturating_add(Self::ORIGIN).saturating_sub(steady);
        Some(Duration::from_nanos(by_wall.max(by_steady)))
    }
}

/// Whole nanoseconds; what does not fit, after 584 years, is as many as fit.
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// How a source is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SourceState {
    /// It was synchronised within its maximum age.
    Fresh,
    /// It was synchronised longer ago than its maximum age.
    Stale,
    /// It was never synchronised: nothing is known of what it would say.
    NeverSynchronised,
    /// It speaks when it likes, and nobody can tell whether it would ([`OnStale::InsecureUnbounded`]).
    Unbounded,
    /// It is this process itself.
    Local,
}

impl SourceState {
    /// Every one of them, for preregistering metric labels.
    pub const ALL: &'static [Self] =
        &[Self::Fresh, Self::Stale, Self::NeverSynchronised, Self::Unbounded, Self::Local];

    /// A short name in snake case, for logs and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::NeverSynchronised => "never_synchronised",
            Self::Unbounded => "unbounded",
            Self::Local => "local",
        }
    }
}

impl fmt::Display for SourceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a source is doing, for operators: see [`super::Revocations::health`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SourceHealth {
    /// Its name.
    pub name: Box<str>,
    /// Whether what it knows is young enough.
    pub state: SourceState,
    /// Since the last good synchronisation.
    pub age: Option<Duration>,
    /// How old what it knows may become; `None` of this process itself.
    pub max_age: Option<Duration>,
    /// Records that were applied since the start.
    pub applied: u64,
    /// Records about issuers that it does not speak for, since the start. They had no effect.
    pub foreign: u64,
    /// Records that no claim of a token could be compared with, since the start. They had no effect.
    pub unusable: u64,
    /// What was received and thrown away, as the standard wants it, since the start.
    pub discarded: u64,
    /// Failures since the start.
    pub failures: u64,
    /// What went wrong last, until something goes right. It holds no secret.
    pub last_error: Option<String>,
    /// Of the last record with a time: received minus happened.
    pub lag: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was synchronised before the process started has its age, by the time of day; and when that is
    /// set back, by the steady time, which began later.
    #[test]
    fn a_synchronisation_can_be_older_than_the_process() {
        const HOUR: Duration = Duration::from_hours(1);
        let noon = Timestamp::from_secs(1_800_000_000);
        let steady = Duration::from_secs(5);
        let last = LastSync::never();
        assert_eq!(last.age(Moment::new(noon, steady)), None);
        last.restore(noon.minus(HOUR), Moment::new(noon, steady));
        assert_eq!(last.age(Moment::new(noon, steady)), Some(HOUR));
        assert_eq!(last.age(Moment::new(noon.minus(HOUR), steady)), Some(HOUR), "set back");
        let later = Moment::new(noon.minus(HOUR), 2 * steady);
        assert_eq!(last.age(later), Some(HOUR + steady), "and gone on");
        assert_eq!(last.age(Moment::new(noon.plus(HOUR), steady)), Some(2 * HOUR), "set forward");
    }
}
