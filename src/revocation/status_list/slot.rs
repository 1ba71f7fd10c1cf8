//! One list: what is held of it, and the fetches of it.

use std::error::Error;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use super::StatusAction;
use super::checked::Meaning;
use super::flight::Flight;
use super::get::{ListError, Tag};
use super::held::Held;
use super::lists::{Core, Lists, StatusListHealth};
use super::refresh::refresh_ahead;
use crate::error::{Refusal, RejectionKind};
use crate::issuer::flight::{
    Clearance, FIRST_BACKOFF, Flights, Reason, Wait, Waiting, WaitingPlace,
};
use crate::issuer::{Attempt, Remedy};
use crate::revocation::Objection;
use crate::revocation::freshness::{Demand, SourceState, nanos};
use crate::time::Moment;

/// The longest that a fetch of a list can take: its turn, the answer, the keys, and some slack.
const LONGEST: Duration = Duration::from_secs(30);

/// A list that was fetched is not fetched again before this time, whatever it and the route say.
const SPACING: Duration = Duration::from_secs(1);

/// A list that cannot be had is tried again for this time after it was last asked for.
const GIVE_UP: Duration = Duration::from_mins(1);

/// One list, of one issuer.
pub(crate) struct ListSlot {
    pub(super) uri: Box<str>,
    pub(super) issuer: Box<str>,
    pub(super) core: Arc<Core>,
    pub(super) lists: Weak<Lists>,
    pub(super) held: ArcSwapOption<Held>,
    /// What the answer is called that is held.
    pub(super) tag: Mutex<Option<Tag>>,
    pub(super) flights: Flights<ListError>,
    /// The number of the last flight that a request waits for.
    pub(super) hurried: watch::Sender<u64>,
    /// When it was asked last, in steady milliseconds.
    used: AtomicU64,
    /// How old it may become by the wishes of routes, in nanoseconds: as young as one of them wanted
    /// it, and twice as old with each fetch before which none wanted it so.
    wanted: AtomicU64,
    /// How young a route wanted it to be since it was last fetched, in nanoseconds.
    wished: AtomicU64,
    /// Whether it is kept fresh although nobody uses it.
    kept: AtomicBool,
    /// Whether the task that refreshes it waits until somebody uses it.
    pub(super) parked: AtomicBool,
    pub(super) wake: Arc<Notify>,
    /// Hundredths of the time that it is fresh, after which it is fetched again: lists that came
    /// together are not fetched together for ever.
    ahead: u32,
}

impl ListSlot {
    pub(super) fn new(issuer: &str, uri: &str, core: &Arc<Core>, lists: &Weak<Lists>) -> Self {
        let chance = RandomState::new().hash_one(uri) % 11;
        Self {
            uri: uri.into(),
            issuer: issuer.into(),
            core: Arc::clone(core),
            lists: Weak::clone(lists),
            held: ArcSwapOption::empty(),
            tag: Mutex::default(),
            flights: Flights::new(LONGEST),
            hurried: watch::Sender::new(0),
            used: AtomicU64::new(0),
            wanted: AtomicU64::new(u64::MAX),
            wished: AtomicU64::new(u64::MAX),
            kept: AtomicBool::new(false),
            parked: AtomicBool::new(false),
            wake: Arc::default(),
            ahead: 90_u32.saturating_sub(u32::try_from(chance).unwrap_or_default()),
        }
    }

    pub(super) fn uri(&self) -> &str {
        &self.uri
    }

    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// When it was asked last, in steady milliseconds.
    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub(super) fn is_kept(&self) -> bool {
        self.kept.load(Ordering::Relaxed)
    }

    /// Whether it is kept fresh although nobody uses it.
    pub(super) fn keep(&self, kept: bool) {
        self.kept.store(kept, Ordering::Relaxed);
    }

    /// The octets that are held.
    pub(super) fn bytes(&self) -> usize {
        self.held.load().as_ref().map_or(0, |held| held.list.octets())
    }

    /// Ends its tasks.
    pub(super) fn stop(&self) {
        self.flights.stop();
    }

    /// What the list says of this index, if it is young enough. It waits for nothing, and takes no
    /// lock.
    pub(super) fn judge(
        self: &Arc<Self>,
        index: u64,
        demand: Demand,
        at: Moment,
    ) -> Result<(), Objection> {
        let rules = &self.core.rules;
        self.touch(demand, at);
        let held = self.held.load();
        let Some(held) = held.as_ref() else {
            // Where no age is too great, an outage lets pass; that there is one has to be known.
            let any_age = demand.most(rules.on_stale, Duration::ZERO).is_none();
            if any_age && self.flights.failing() {
                return Ok(());
            }
            let detail = format!("status list {:?} was never fetched", self.uri);
            return Err(self.missing(RejectionKind::RevocationUnavailable, detail));
        };
        let status = held.list.get(index);
        let age = at.since(held.asked);
        let most = demand.most(rules.on_stale, held.fresh_for);
        if let Some(most) = most.filter(|most| age > *most) {
            if let Some(status) = status.filter(|status| rules.meaning(*status) == Meaning::Invalid)
            {
                // No list takes it back: "no" needs no freshness.
                return self.act(status);
            }
            let detail = format!(
                "status list {:?} was fetched {age:?} ago, at most {most:?} is accepted",
                self.uri
            );
            return Err(self.missing(RejectionKind::RevocationUnavailable, detail));
        }
        let Some(status) = status else {
            let entries = held.list.len();
            let detail =
                format!("index {index} is beyond the {entries} of status list {:?}", self.uri);
            let kind = RejectionKind::StatusIndex;
            // It may have grown since.
            return Err(if age >= rules.min_ttl() {
                self.missing(kind, detail)
            } else {
                Objection::Refused(Refusal::new(kind, detail))
            });
        };
        self.act(status)
    }

    /// What becomes of a token with this status (Token Status List §7.1).
    fn act(&self, status: u8) -> Result<(), Objection> {
        let (kind, action, word) = match self.core.rules.meaning(status) {
            Meaning::Valid => return Ok(()),
            Meaning::Invalid => (RejectionKind::Revoked, StatusAction::Refuse, "invalid"),
            Meaning::Suspended(action) => (RejectionKind::Suspended, action, "suspended"),
            Meaning::Specific(action) => {
                (RejectionKind::Revoked, action, "which has a meaning of the issuer's own")
            }
            Meaning::Reserved => (RejectionKind::Revoked, StatusAction::Refuse, "reserved"),
        };
        let detail = format!("the status is {status}, {word}, in status list {:?}", self.uri);
        let kind = match action {
            StatusAction::Accept => return Ok(()),
            StatusAction::Refuse => kind,
            StatusAction::StepUp => RejectionKind::StepUpDemanded,
        };
        Err(Objection::Refused(Refusal::new(kind, detail)))
    }

    fn missing(self: &Arc<Self>, kind: RejectionKind, detail: String) -> Objection {
        Objection::NoList { list: Arc::clone(self), refusal: Refusal::new(kind, detail) }
    }

    /// Notes that it is used. What is written on a request's way is written once a millisecond.
    fn touch(&self, demand: Demand, at: Moment) {
        let now = millis(at.steady());
        if self.used.load(Ordering::Relaxed) != now {
            self.used.store(now, Ordering::Relaxed);
        }
        if let Some(wish) = demand.freshness.map(nanos) {
            if wish < self.wished.load(Ordering::Relaxed) {
                self.wished.fetch_min(wish, Ordering::Relaxed);
            }
            if wish < self.wanted.load(Ordering::Relaxed) {
                self.wanted.fetch_min(wish, Ordering::Relaxed);
                self.wake.notify_one();
            }
        }
        if self.parked.load(Ordering::Relaxed) && self.parked.swap(false, Ordering::Relaxed) {
            self.wake.notify_one();
        }
    }

    /// Notes that it was fetched: a wish that nobody has any more fades away.
    pub(super) fn fetched(&self) {
        let wished = self.wished.swap(u64::MAX, Ordering::Relaxed);
        let faded = self.wanted.load(Ordering::Relaxed).max(nanos(SPACING)).saturating_mul(2);
        // A smaller wish of just now that this overwrites is made again with the next request.
        self.wanted.store(faded.min(wished), Ordering::Relaxed);
    }

    /// Starts a fetch of what is missing, if one is allowed, and says how long to wait for it.
    pub(crate) fn remedy(self: &Arc<Self>, at: Moment, attempt: Attempt) -> Remedy {
        let number = self.start(at);
        if let Some(number) = number {
            self.hurry(number);
        }
        let number = number.filter(|_| attempt == Attempt::First);
        if let Some(wait) = number.and_then(|number| self.wait(number)) {
            return Remedy::Wait(wait);
        }
        let left = self.flights.not_before().saturating_sub(at.steady());
        let error = self.flights.tally().last_error;
        let error = error.map(|error| -> Arc<dyn Error + Send + Sync> { error });
        Remedy::Later { retry_after: left.max(FIRST_BACKOFF), error }
    }

    /// Notes that a request needs the fetch of this number.
    fn hurry(&self, number: u64) {
        self.hurried.send_if_modified(|hurried| {
            let is_news = *hurried < number;
            *hurried = number.max(*hurried);
            is_news
        });
    }

    /// A wait for the fetch of this number; `None` if too many wait already, or none may.
    fn wait(self: &Arc<Self>, number: u64) -> Option<Wait> {
        let longest = self.core.rules.wait;
        if longest.is_zero() {
            return None;
        }
        let place = WaitingPlace::take(Arc::clone(self))?;
        let sleep = self.core.clock.sleep(longest);
        Some(Wait::new(self.flights.landing(number), sleep, place))
    }

    /// The number of the fetch under way, started now if one is allowed.
    pub(super) fn start(self: &Arc<Self>, at: Moment) -> Option<u64> {
        let Ok(runtime) = Handle::try_current() else {
            self.flights.note(ListError::NoRuntime);
            return None;
        };
        let just_now = self.held.load().as_ref().is_some_and(|held| at.since(held.asked) < SPACING);
        if just_now {
            return self.flights.under_way();
        }
        match self.flights.clear(at.steady(), Reason::Age) {
            Clearance::No => None,
            Clearance::UnderWay(number) => Some(number),
            Clearance::TakeOff(number) => {
                // A runtime that is shutting down drops the task right here: no lock is held.
                let flight = Flight::new(Arc::clone(self), number);
                let task = runtime.spawn(flight.fly());
                self.flights.departed(number, task.abort_handle());
                if self.flights.needs_refresh_task() {
                    let task = runtime.spawn(refresh_ahead(Arc::downgrade(self)));
                    self.flights.refreshes_with(task.abort_handle());
                }
                Some(number)
            }
        }
    }

    /// How long until the next fetch is due.
    pub(super) fn until_due(&self, at: Moment) -> Duration {
        let backoff = self.flights.not_before().saturating_sub(at.steady());
        let held = self.held.load();
        let fresh = held.as_ref().map_or(Duration::ZERO, |held| {
            let wanted = Duration::from_nanos(self.wanted.load(Ordering::Relaxed));
            let fresh_for = held.fresh_for.min(wanted);
            let ahead = fresh_for.saturating_mul(self.ahead).checked_div(100).unwrap_or_default();
            ahead.max(SPACING).saturating_sub(at.since(held.asked))
        });
        backoff.max(fresh)
    }

    /// Whether it is worth to be fetched again although nobody waits for it.
    pub(super) fn is_in_use(&self, at: Moment) -> bool {
        if self.is_kept() {
            return true;
        }
        let used = self.used();
        match self.held.load().as_ref() {
            Some(held) => used >= millis(held.asked.steady()),
            None => millis(at.steady()).saturating_sub(used) < millis(GIVE_UP),
        }
    }

    pub(super) fn health(&self, now: Moment) -> StatusListHealth {
        let held = self.held.load();
        let held = held.as_ref();
        let age = held.map(|held| now.since(held.asked));
        let tally = self.flights.tally();
        StatusListHealth {
            uri: self.uri.clone(),
            issuer: self.issuer.clone(),
            state: match (held, age) {
                (Some(held), Some(age)) if age <= held.fresh_for => SourceState::Fresh,
                (Some(_), _) => SourceState::Stale,
                (None, _) => SourceState::NeverSynchronised,
            },
            age,
            fresh_for: held.map(|held| held.fresh_for),
            entries: held.map(|held| held.list.len()),
            bits: held.map(|held| held.list.bits()),
            last_error: tally.last_error.map(|error| error.to_string()),
            fetches: tally.fetches,
            failed: tally.failed,
        }
    }
}

impl AsRef<Waiting> for Arc<ListSlot> {
    fn as_ref(&self) -> &Waiting {
        self.flights.waiting()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
