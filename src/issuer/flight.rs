use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::bucket::Bucket;
use crate::time::Sleep;

/// The most requests that wait for one document at once; a further one is answered as if the
/// wait were over. It bounds what a flood of tokens can hold open.
const MAX_WAITING: usize = 1_024;

/// The waits between failed fetches: doubling from the first to the last.
pub(crate) const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LAST_BACKOFF: Duration = Duration::from_mins(1);

/// The fetches of one document, such as an issuer's keys: one at a time, numbered, spaced out when
/// they fail, with the requests that wait for them.
///
/// Nothing that is not ours runs under the lock: no clock, no logging, no spawning.
pub(crate) struct Flights<E> {
    book: Mutex<Book<E>>,
    /// The longest that one can take. What takes longer is given up.
    longest: Duration,
    /// The number of the last flight that ended.
    ended: watch::Sender<u64>,
    waiting: Waiting,
    /// No flight starts before this steady time, in nanoseconds; zero unless the last one failed.
    not_before: AtomicU64,
}

struct Book<E> {
    /// The number of the last flight that started.
    last: u64,
    under_way: Option<UnderWay>,
    bucket: Option<Bucket>,
    failures_in_a_row: u32,
    tally: Tally<E>,
    stopped: bool,
    refresh_task: Option<AbortHandle>,
}

struct UnderWay {
    number: u64,
    since: Duration,
    task: Option<AbortHandle>,
}

/// What happened so far.
#[derive(Debug)]
pub(crate) struct Tally<E> {
    pub(crate) fetches: u64,
    pub(crate) failed: u64,
    pub(crate) limited: u64,
    pub(crate) last_error: Option<Arc<E>>,
}

impl<E> Clone for Tally<E> {
    fn clone(&self) -> Self {
        Self { last_error: self.last_error.clone(), ..*self }
    }
}

impl<E> Default for Tally<E> {
    fn default() -> Self {
        Self { fetches: 0, failed: 0, limited: 0, last_error: None }
    }
}

impl<E> Default for Book<E> {
    fn default() -> Self {
        Self {
            last: 0,
            under_way: None,
            bucket: None,
            failures_in_a_row: 0,
            tally: Tally::default(),
            stopped: false,
            refresh_task: None,
        }
    }
}

/// Why a fetch is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Somebody asks for it whatever happened before.
    WarmUp,
    Age,
    /// A token names what is not there: that is anybody's to write.
    UnknownKey,
}

/// Whether there is a fetch to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clearance {
    /// The caller starts the flight of this number.
    TakeOff(u64),
    /// Somebody's flight of this number is under way.
    UnderWay(u64),
    /// None may start now.
    No,
}

impl<E> Flights<E> {
    pub(crate) fn new(longest: Duration) -> Self {
        Self {
            book: Mutex::default(),
            longest,
            ended: watch::Sender::new(0),
            waiting: Waiting::default(),
            not_before: AtomicU64::new(0),
        }
    }

    /// Whether the last flight failed.
    pub(crate) fn failing(&self) -> bool {
        self.not_before.load(Ordering::Relaxed) > 0
    }

    /// Until when no flight may start: zero unless the last one failed.
    pub(crate) fn not_before(&self) -> Duration {
        Duration::from_nanos(self.not_before.load(Ordering::Relaxed))
    }

    pub(crate) fn tally(&self) -> Tally<E> {
        self.book().tally.clone()
    }

    /// Books a flight, if its reason allows one now.
    pub(crate) fn clear(&self, steady: Duration, reason: Reason) -> Clearance {
        let rested = steady >= self.not_before();
        let mut book = self.book();
        if book.stopped {
            return Clearance::No;
        }
        if let Some(flight) = &book.under_way {
            // A flight whose runtime stands still never lands: it does not bind the others.
            if steady.saturating_sub(flight.since) <= self.longest {
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
    pub(crate) fn departed(&self, number: u64, task: AbortHandle) {
        let mut book = self.book();
        if book.stopped {
            task.abort();
        }
        if let Some(flight) = book.under_way.as_mut().filter(|flight| flight.number == number) {
            flight.task = Some(task);
        }
    }

    /// Notes the end of a flight. One that was given up before changes nothing.
    pub(crate) fn land(&self, number: u64, result: Result<(), E>, steady: Duration) {
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
    pub(crate) fn note(&self, error: E) {
        self.book().tally.last_error = Some(Arc::new(error));
    }

    /// Whether a task refreshes ahead; if not, the caller starts one.
    pub(crate) fn needs_refresh_task(&self) -> bool {
        let book = self.book();
        !book.stopped && book.refresh_task.as_ref().is_none_or(AbortHandle::is_finished)
    }

    pub(crate) fn refreshes_with(&self, task: AbortHandle) {
        let mut book = self.book();
        if book.stopped {
            task.abort();
        } else if let Some(other) = book.refresh_task.replace(task) {
            other.abort();
        }
    }

    /// Whether a task refreshes ahead.
    pub(crate) fn refreshes(&self) -> bool {
        self.book().refresh_task.is_some()
    }

    /// How many requests wait.
    pub(crate) fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    /// The number of the flight under way.
    pub(crate) fn under_way(&self) -> Option<u64> {
        self.book().under_way.as_ref().map(|flight| flight.number)
    }

    /// Ends every task and lets no flight start any more.
    pub(crate) fn stop(&self) {
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
    pub(crate) fn landing(&self, number: u64) -> impl Future<Output = ()> + Send + 'static {
        let mut ended = self.ended.subscribe();
        async move {
            // An error says that the flights are gone, and with them the one waited for.
            let _ = ended.wait_for(|ended| *ended >= number).await;
        }
    }

    fn book(&self) -> MutexGuard<'_, Book<E>> {
        // A panic while it was held left only counters half-written.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many requests wait.
#[derive(Debug, Default)]
pub(crate) struct Waiting(AtomicUsize);

/// A request's place among those that wait.
pub(crate) struct WaitingPlace<T: AsRef<Waiting>>(T);

impl<T: AsRef<Waiting>> WaitingPlace<T> {
    /// A place, unless all are taken.
    pub(crate) fn take(flights: T) -> Option<Self> {
        let before = flights.as_ref().0.fetch_add(1, Ordering::Relaxed);
        let place = Self(flights);
        (before < MAX_WAITING).then_some(place)
    }
}

impl<T: AsRef<Waiting>> Drop for WaitingPlace<T> {
    fn drop(&mut self) {
        self.0.as_ref().0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request's wait: it ends when the fetch under way ended, or when it took too long.
#[must_use = "futures do nothing unless polled"]
pub(crate) struct Wait(Pin<Box<dyn Future<Output = ()> + Send>>);

impl Wait {
    pub(crate) fn new<P: Send + 'static>(
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

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(context)
    }
}
