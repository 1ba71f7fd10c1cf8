use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::bucket::Bucket;
use super::fetch::{KeyFetchError, LONGEST};
use crate::time::Sleep;

/// The most requests that wait for one issuer's keys at once; a further one is answered as if the
/// wait were over. It bounds what a flood of unknown key ids can hold open.
const MAX_WAITING: usize = 1_024;

/// The waits between failed fetches: doubling from the first to the last.
pub(super) const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LAST_BACKOFF: Duration = Duration::from_mins(1);

/// The fetches of one issuer's keys: one at a time, numbered, spaced out when they fail, with the
/// requests that wait for them.
///
/// Nothing that is not ours runs under the lock: no clock, no logging, no spawning.
pub(super) struct Flights {
    book: Mutex<Book>,
    /// The number of the last flight that ended.
    ended: watch::Sender<u64>,
    waiting: AtomicUsize,
    /// No flight starts before this steady time, in nanoseconds; zero unless the last one failed.
    not_before: AtomicU64,
}

#[derive(Default)]
struct Book {
    /// The number of the last flight that started.
    last: u64,
    under_way: Option<UnderWay>,
    bucket: Option<Bucket>,
    failures_in_a_row: u32,
    tally: Tally,
    stopped: bool,
    refresh_task: Option<AbortHandle>,
}

struct UnderWay {
    number: u64,
    since: Duration,
    task: Option<AbortHandle>,
}

/// What happened so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) fetches: u64,
    pub(super) failed: u64,
    pub(super) limited: u64,
    pub(super) last_error: Option<Arc<KeyFetchError>>,
}

/// Why a fetch is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    WarmUp,
    Age,
    UnknownKey,
}

/// Whether there is a fetch to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clearance {
    /// The caller starts the flight of this number.
    TakeOff(u64),
    /// Somebody's flight of this number is under way.
    UnderWay(u64),
    /// None may start now.
    No,
}

impl Flights {
    pub(super) fn new() -> Self {
        Self {
            book: Mutex::default(),
            ended: watch::Sender::new(0),
            waiting: AtomicUsize::new(0),
            not_before: AtomicU64::new(0),
        }
    }

    /// Whether the last flight failed.
    pub(super) fn failing(&self) -> bool {
        self.not_before.load(Ordering::Relaxed) > 0
    }

    /// Until when no flight may start: zero unless the last one failed.
    pub(super) fn not_before(&self) -> Duration {
        Duration::from_nanos(self.not_before.load(Ordering::Relaxed))
    }

    pub(super) fn tally(&self) -> Tally {
        self.book().tally.clone()
    }

    /// Books a flight, if its reason allows one now.
    pub(super) fn clear(&self, steady: Duration, reason: Reason) -> Clearance {
        let rested = steady >= self.not_before();
        let mut book = self.book();
        if book.stopped {
            return Clearance::No;
        }
        if let Some(flight) = &book.under_way {
            // A flight whose runtime stands still never lands: it does not bind the others.
            if steady.saturating_sub(flight.since) <= LONGEST {
                return Clearance::UnderWay(flight.number);
            }
            if let Some(task) = &flight.task {
                task.abort();
            }
            book.under_way = None;
        }
        let allowed = match reason {
            Reason::WarmUp => true,
            Reason::Age => rested,
            // The bucket is not asked while the issuer fails: junk cannot shorten the backoff,
            // and does not use up what a new key will need.
            Reason::UnknownKey => rested && book.bucket.get_or_insert(Bucket::full()).take(steady),
        };
        if !allowed {
            if reason == Reason::UnknownKey {
                book.tally.limited = book.tally.limited.saturating_add(1);
            }
            return Clearance::No;
        }
        book.last = book.last.saturating_add(1);
        let number = book.last;
        book.under_way = Some(UnderWay { number, since: steady, task: None });
        Clearance::TakeOff(number)
    }

    /// Notes the task of a flight that was cleared, so that it can be ended.
    pub(super) fn departed(&self, number: u64, task: AbortHandle) {
        let mut book = self.book();
        if book.stopped {
            task.abort();
        }
        if let Some(flight) = book.under_way.as_mut().filter(|flight| flight.number == number) {
            flight.task = Some(task);
        }
    }

    /// Notes the end of a flight. One that was given up before changes nothing.
    pub(super) fn land(&self, number: u64, result: Result<(), KeyFetchError>, steady: Duration) {
        let mut book = self.book();
        if book.under_way.as_ref().is_none_or(|flight| flight.number != number) {
            return;
        }
        book.under_way = None;
        match result {
            Ok(()) => {
                book.tally.fetches = book.tally.fetches.saturating_add(1);
                book.tally.last_error = None;
                book.failures_in_a_row = 0;
                self.not_before.store(0, Ordering::Relaxed);
            }
            Err(error) => {
                let doubled = 2_u32.saturating_pow(book.failures_in_a_row);
                let backoff = FIRST_BACKOFF.saturating_mul(doubled).min(LAST_BACKOFF);
                let until = steady.saturating_add(backoff).as_nanos().max(1);
                let until = u64::try_from(until).unwrap_or(u64::MAX);
                self.not_before.store(until, Ordering::Relaxed);
                book.tally.failed = book.tally.failed.saturating_add(1);
                book.tally.last_error = Some(Arc::new(error));
                book.failures_in_a_row = book.failures_in_a_row.saturating_add(1);
            }
        }
        // Before the lock is given back: whoever books the next flight waits for that one only.
        self.ended.send_modify(|ended| *ended = (*ended).max(number));
    }

    /// Says why nothing could even be tried.
    pub(super) fn note(&self, error: KeyFetchError) {
        self.book().tally.last_error = Some(Arc::new(error));
    }

    /// Whether a task refreshes ahead; if not, the caller starts one.
    pub(super) fn needs_refresh_task(&self) -> bool {
        let book = self.book();
        !book.stopped && book.refresh_task.as_ref().is_none_or(AbortHandle::is_finished)
    }

    pub(super) fn refreshes_with(&self, task: AbortHandle) {
        let mut book = self.book();
        if book.stopped {
            task.abort();
        } else if let Some(other) = book.refresh_task.replace(task) {
            other.abort();
        }
    }

    /// Whether a task refreshes ahead.
    pub(super) fn refreshes(&self) -> bool {
        self.book().refresh_task.is_some()
    }

    /// The number of the flight under way.
    pub(super) fn under_way(&self) -> Option<u64> {
        self.book().under_way.as_ref().map(|flight| flight.number)
    }

    /// Ends every task and lets no flight start any more.
    pub(super) fn stop(&self) {
        let mut book = self.book();
        book.stopped = true;
        let under_way = book.under_way.take();
        let last = under_way.as_ref().map(|flight| flight.number);
        let fetch = under_way.and_then(|flight| flight.task);
        let tasks = [fetch, book.refresh_task.take()];
        drop(book);
        if let Some(last) = last {
            // Whoever waits for it has nothing to wait for.
            self.ended.send_modify(|ended| *ended = (*ended).max(last));
        }
        tasks.into_iter().flatten().for_each(|task| task.abort());
    }

    /// Ends when the flight of this number has ended.
    pub(super) fn landing(&self, number: u64) -> impl Future<Output = ()> + Send + 'static {
        let mut ended = self.ended.subscribe();
        async move {
            // An error says that the flights are gone, and with them the one waited for.
            let _ = ended.wait_for(|ended| *ended >= number).await;
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // A panic while it was held left only counters half-written.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request's place among those that wait.
pub(super) struct Place<T: AsRef<Flights>>(T);

impl<T: AsRef<Flights>> Place<T> {
    /// A place, unless all are taken.
    pub(super) fn take(flights: T) -> Option<Self> {
        let before = flights.as_ref().waiting.fetch_add(1, Ordering::Relaxed);
        let place = Self(flights);
        (before < MAX_WAITING).then_some(place)
    }
}

impl<T: AsRef<Flights>> Drop for Place<T> {
    fn drop(&mut self) {
        self.0.as_ref().waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Ends when the fetch under way ended, or the wait took too long.
#[must_use = "futures do nothing unless polled"]
pub(crate) struct KeyWait(Pin<Box<dyn Future<Output = ()> + Send>>);

impl KeyWait {
    pub(super) fn new<P: Send + 'static>(
        landing: impl Future<Output = ()> + Send + 'static,
        sleep: Sleep,
        place: P,
    ) -> Self {
        Self(Box::pin(async move {
            let _place = place;
            tokio::select! {
                () = landing => {}
                () = sleep => {}
            }
        }))
    }
}

impl Future for KeyWait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(context)
    }
}
