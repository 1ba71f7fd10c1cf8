//! Whose turn it is to have a signature verified, of the tokens that are not known.
//!
//! 1. So many signatures are verified at once. A place is held by a thread, for the signature of a token or a
//!    proof or for both one after the other, and never by a request that waits.
//! 2. Where none is free the request waits behind those that came before, with so many others and for so
//!    long at most: [`super::FirstVerifications`]. One more is turned away at once.
//! 3. A place that becomes free calls the first request that was not called yet. That one takes the place
//!    when it is looked at again; until then the place is for whoever comes. So a request that nobody looks
//!    at any more keeps no place, and who finds its place taken waits on where it stood.
//! 4. A request that is dropped leaves, and calls the next if it was called itself.
//!
//! While places are free, or where there is one thread, nobody waits and nothing is allocated.
//!
//! What it does not do: it does not tell clients apart. Whoever sends most has most of the turns.

use std::collections::BTreeMap;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::first::{Bounds, FirstVerificationHealth};
use crate::error::{Refusal, RejectionKind};
use crate::time::shown_duration;

/// When a request that was turned away may come again: a line is never longer than some seconds.
const SOON: Duration = Duration::from_secs(1);

/// The places, and who waits for one.
pub(crate) struct Turns {
    bounds: Bounds,
    free: AtomicUsize,
    line: Mutex<Line>,
    /// How many stand in the line, for those who do not want to lock it.
    waiting: AtomicUsize,
    waited: AtomicU64,
    turned_away: AtomicU64,
}

#[derive(Default)]
struct Line {
    last: u64,
    /// In the order in which they came.
    waiters: BTreeMap<u64, Waiter>,
    /// How many of them were called.
    called: usize,
    /// All before this one were called.
    first_uncalled: u64,
}

enum Waiter {
    /// It has not been called. Once it was looked at it can be woken.
    Waits(Option<Waker>),
    Called,
}

impl Turns {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            free: AtomicUsize::new(bounds.max_at_once),
            line: Mutex::default(),
            waiting: AtomicUsize::new(0),
            waited: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
        }
    }

    /// A place, if one is free.
    pub(super) fn take(&self) -> Option<Place<'_>> {
        // The order of all of these operations matters: who gives a place back looks for waiters after
        // that, and who waits looks for a place after it began to.
        let less = |free: usize| free.checked_sub(1);
        self.free.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).ok().map(|_| Place(self))
    }

    /// Lets a request wait that found no place, at this steady time: `queued` is what it has if it waited
    /// before. Gives how long it may still wait.
    pub(crate) fn wait(
        self: &Arc<Self>,
        queued: Option<Queued>,
        steady: Duration,
    ) -> Result<(Queued, Duration), Refusal> {
        let queued = match queued {
            Some(queued) => {
                queued.stay();
                queued
            }
            None => self.join(steady).ok_or_else(|| self.full())?,
        };
        match queued.until.saturating_sub(steady) {
            Duration::ZERO => Err(self.late()),
            left => Ok((queued, left)),
        }
    }

    fn join(self: &Arc<Self>, steady: Duration) -> Option<Queued> {
        let mut line = self.line();
        if line.waiters.len() >= self.bounds.queue_at_most {
            return None;
        }
        line.last = line.last.saturating_add(1);
        let number = line.last;
        line.waiters.insert(number, Waiter::Waits(None));
        self.waiting.store(line.waiters.len(), Ordering::SeqCst);
        drop(line);
        self.waited.fetch_add(1, Ordering::Relaxed);
        let until = steady.saturating_add(self.bounds.wait_at_most);
        Some(Queued { turns: Arc::clone(self), number, until })
    }

    fn full(&self) -> Refusal {
        let Bounds { max_at_once, queue_at_most, .. } = self.bounds;
        self.turn_away(format!(
            "{max_at_once} signatures are verified at once, which is the most, and {queue_at_most} requests \
             wait for that"
        ))
    }

    /// What is said of a request whose time is over.
    pub(crate) fn late(&self) -> Refusal {
        let Bounds { max_at_once, wait_at_most, .. } = self.bounds;
        let wait = shown_duration(wait_at_most);
        self.turn_away(format!(
            "{max_at_once} signatures are verified at once, which is the most, and the turn of this one did \
             not come within {wait}"
        ))
    }

    fn turn_away(&self, detail: String) -> Refusal {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
        let mut refusal = Refusal::new(RejectionKind::VerificationOverloaded, detail);
        refusal.retry_after = SOON;
        refusal
    }

    /// Gives a place back.
    fn free(&self) {
        self.free.fetch_add(1, Ordering::SeqCst);
        self.call();
    }

    /// Calls the first that was not called, if somebody waits.
    fn call(&self) {
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut line = self.line();
        let first = line.first_uncalled;
        let mut waiters = line.waiters.range_mut(first..);
        let next = waiters.find(|(_, waiter)| matches!(waiter, Waiter::Waits(_)));
        let called = next.map(|(number, waiter)| (*number, mem::replace(waiter, Waiter::Called)));
        let before = called.as_ref().map_or(line.last, |(number, _)| *number);
        line.first_uncalled = before.saturating_add(1);
        line.called = line.called.saturating_add(usize::from(called.is_some()));
        drop(line);
        if let Some((_, Waiter::Waits(Some(waker)))) = called {
            waker.wake();
        }
    }

    pub(super) fn bounds(&self) -> Bounds {
        self.bounds
    }

    pub(crate) fn health(&self) -> FirstVerificationHealth {
        FirstVerificationHealth {
            max_at_once: self.bounds.max_at_once,
            under_way: self.bounds.max_at_once.saturating_sub(self.free.load(Ordering::SeqCst)),
            waiting: self.waiting.load(Ordering::SeqCst),
            waited: self.waited.load(Ordering::Relaxed),
            turned_away: self.turned_away.load(Ordering::Relaxed),
        }
    }

    /// Takes every place that is free, until they are given back by hand.
    #[cfg(feature = "testing")]
    pub(crate) fn take_all(&self) -> usize {
        self.free.swap(0, Ordering::SeqCst)
    }

    /// Gives a place back that was taken by hand.
    #[cfg(feature = "testing")]
    pub(crate) fn give_back(&self) {
        self.free();
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        // Nothing that could panic runs while it is held, and nothing that is not ours.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among those whose signature is verified. Its drop gives it back.
pub(super) struct Place<'a>(&'a Turns);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.free();
    }
}

/// A request's place in the line. Its drop leaves it.
pub(crate) struct Queued {
    turns: Arc<Turns>,
    number: u64,
    /// In steady time.
    until: Duration,
}

impl Queued {
    /// Ends when it is called. There may be a place then.
    pub(crate) fn called(&self) -> impl Future<Output = ()> + Send + 'static {
        Called { turns: Arc::clone(&self.turns), number: self.number }
    }

    /// It was called, and another had the place.
    fn stay(&self) {
        let mut line = self.turns.line();
        if let Some(waiter @ Waiter::Called) = line.waiters.get_mut(&self.number) {
            *waiter = Waiter::Waits(None);
            line.called = line.called.saturating_sub(1);
            line.first_uncalled = line.first_uncalled.min(self.number);
        }
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        let mut line = self.turns.line();
        let left = line.waiters.remove(&self.number);
        self.turns.waiting.store(line.waiters.len(), Ordering::SeqCst);
        let mut owes_a_call = false;
        if let Some(Waiter::Called) = left {
            line.called = line.called.saturating_sub(1);
            // If it had its turn, the end of that called the next.
            owes_a_call = line.called < self.turns.free.load(Ordering::SeqCst);
        }
        drop(line);
        if owes_a_call {
            self.turns.call();
        }
    }
}

struct Called {
    turns: Arc<Turns>,
    number: u64,
}

impl Future for Called {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let waker = context.waker().clone();
        let mut line = self.turns.line();
        let Some(Waiter::Waits(before)) = line.waiters.get_mut(&self.number) else {
            return Poll::Ready(());
        };
        let before = before.replace(waker);
        // Only now: a place that is given back from here on calls it.
        let is_free = self.turns.free.load(Ordering::SeqCst) > 0;
        drop(line);
        drop(before);
        if is_free { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::Ordering::SeqCst;
    use std::task::Wake;

    use proptest::prelude::*;

    use super::super::first::FirstVerifications;
    use super::*;
    use crate::error::Faults;

    fn turns(max_at_once: usize, queue_at_most: usize) -> Arc<Turns> {
        let bound = FirstVerifications::new().max_at_once(max_at_once).queue_at_most(queue_at_most);
        bound.check(&mut Faults::new()).unwrap()
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    /// No more than may at once on four threads, and everybody comes to a turn.
    #[test]
    fn no_more_than_may_and_everybody_once() {
        let turns = turns(2, 1_000);
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build();
        runtime.unwrap().block_on(async {
            let tasks: Vec<_> = (0..900)
                .map(|_| {
                    let (turns, now, most) = (turns.clone(), now.clone(), most.clone());
                    tokio::spawn(async move {
                        let mut queued = None;
                        loop {
                            if let Some(place) = turns.take() {
                                most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                                (0..20).for_each(|_| std::thread::yield_now());
                                now.fetch_sub(1, SeqCst);
                                return drop(place);
                            }
                            let (waits, _) = turns.wait(queued.take(), Duration::ZERO).unwrap();
                            waits.called().await;
                            queued = Some(waits);
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        assert!((1..=2).contains(&most.load(SeqCst)));
        let health = turns.health();
        assert_eq!((health.under_way, health.waiting, health.turned_away), (0, 0, 0));
        assert_eq!(turns.line().called, 0);
    }

    /// A place that came free while nobody stood in the line calls nobody: whoever comes then sees it.
    #[test]
    fn a_place_that_came_free_before_the_line_was_joined_is_seen() {
        let turns = turns(1, 10);
        let place = turns.take().unwrap();
        assert!(turns.take().is_none());
        let poll = |waits: &Queued| {
            let waker = Waker::from(Arc::new(Woken::default()));
            pin!(waits.called()).poll(&mut Context::from_waker(&waker)).is_ready()
        };
        let (early, _) = turns.wait(None, Duration::ZERO).unwrap();
        assert!(!poll(&early));
        drop(early);
        drop(place);
        let (late, _) = turns.wait(None, Duration::ZERO).unwrap();
        assert!(poll(&late));
    }

    /// A request as its task sees it.
    struct Request {
        queued: Queued,
        woken: Arc<Woken>,
        /// How often it was woken when it was last looked at; `None` if nobody looked.
        seen: Option<usize>,
    }

    #[derive(Clone, Copy, Debug)]
    enum Event {
        Comes,
        /// A request that waits is looked at.
        Polled(usize),
        Dropped(usize),
        /// A signature is done.
        Done(usize),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            4 => Just(Event::Comes),
            3 => (0..8_usize).prop_map(Event::Polled),
            1 => (0..8_usize).prop_map(Event::Dropped),
            3 => (0..8_usize).prop_map(Event::Done),
        ]
    }

    proptest! {
        /// Whatever happens in whatever order: places and line are as full as a count by hand says, and
        /// where a place is free and somebody waits, somebody is about to be looked at.
        #[test]
        fn nobody_waits_for_nothing(
            max_at_once in 1..4_usize,
            room in 0..6_usize,
            events in prop::collection::vec(event(), 0..200),
        ) {
            let turns = turns(max_at_once, room);
            let (mut places, mut waiting) = (Vec::new(), Vec::<Request>::new());
            for event in events {
                match event {
                    Event::Comes => match turns.take() {
                        Some(place) => places.push(place),
                        None => match turns.wait(None, Duration::ZERO) {
                            Ok((queued, _)) => {
                                waiting.push(Request { queued, woken: Arc::default(), seen: None });
                            }
                            Err(_) => prop_assert_eq!(waiting.len(), room),
                        },
                    },
                    Event::Polled(at) if !waiting.is_empty() => {
                        let at = at % waiting.len();
                        let request = &mut waiting[at];
                        let waker = Waker::from(Arc::clone(&request.woken));
                        let called = pin!(request.queued.called());
                        request.seen = Some(request.woken.0.load(SeqCst));
                        if called.poll(&mut Context::from_waker(&waker)).is_ready() {
                            let Request { queued, woken, .. } = waiting.remove(at);
                            match turns.take() {
                                Some(place) => places.push(place),
                                None => {
                                    let (queued, _) =
                                        turns.wait(Some(queued), Duration::ZERO).unwrap();
                                    waiting.insert(at, Request { queued, woken, seen: None });
                                }
                            }
                        }
                    }
                    Event::Dropped(at) if !waiting.is_empty() => {
                        drop(waiting.remove(at % waiting.len()));
                    }
                    Event::Done(at) if !places.is_empty() => {
                        drop(places.remove(at % places.len()));
                    }
                    Event::Polled(_) | Event::Dropped(_) | Event::Done(_) => {}
                }
                let health = turns.health();
                prop_assert_eq!(health.under_way, places.len());
                prop_assert_eq!(health.waiting, waiting.len());
                prop_assert!(waiting.len() <= room && places.len() <= max_at_once);
                let is_awake = |request: &Request| {
                    request.seen.is_none_or(|seen| request.woken.0.load(SeqCst) > seen)
                };
                prop_assert!(
                    places.len() == max_at_once || waiting.is_empty() || waiting.iter().any(is_awake),
                    "a place is free, and everybody sleeps"
                );
            }
        }
    }
}
