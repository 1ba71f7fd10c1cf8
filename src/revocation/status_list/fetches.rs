//! Whose turn it is to be fetched.
//!
//! 1. A fetch takes memory as long as it lasts, some tens of megabytes for the largest lists: there
//!    are [`AT_ONCE`] of them at most, and [`OF_ONE`] of one issuer.
//! 2. Fetches that a request waits for come before those ahead of need (prefetches, refreshes), and
//!    the latter leave half of the places free, of all and of an issuer's. One that a request begins
//!    to wait for is hurried.
//! 3. The last places are for issuers of which nothing is being fetched: it takes six of them with
//!    servers that do not answer to hold up the others.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Fetches at once.
const AT_ONCE: usize = 16;
/// Of those, the ones ahead of need.
const AHEAD: usize = 8;
/// Fetches at once of one issuer.
const OF_ONE: usize = 8;
/// Of those, the ones ahead of need.
const AHEAD_OF_ONE: usize = 4;
/// An issuer's second fetch and each further one leaves places free beyond this.
const FOR_MORE: usize = 12;

/// The fetches of all lists of a server: under way, or waiting for their turn.
#[derive(Default)]
pub(super) struct Fetches {
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    last: u64,
    under_way: Vec<Entry>,
    waiting: VecDeque<Entry>,
}

struct Entry {
    number: u64,
    issuer: Box<str>,
    haste: Haste,
    come: Arc<Notify>,
}

/// Whether somebody waits for a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Haste {
    /// A request.
    Request,
    /// Nobody.
    Ahead,
}

/// A turn, waited for or had; its drop is its end.
pub(super) struct FetchTurn {
    fetches: Arc<Fetches>,
    number: u64,
    come: Arc<Notify>,
}

impl Fetches {
    /// A turn for a list of this issuer, behind those that asked before and those in haste.
    pub(super) fn ask(self: &Arc<Self>, issuer: &str) -> FetchTurn {
        let come = Arc::<Notify>::default();
        let mut book = self.book();
        book.last = book.last.saturating_add(1);
        let number = book.last;
        let entry =
            Entry { number, issuer: issuer.into(), haste: Haste::Ahead, come: Arc::clone(&come) };
        book.waiting.push_back(entry);
        book.call();
        FetchTurn { fetches: Arc::clone(self), number, come }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing that could panic runs under it.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FetchTurn {
    /// Ends when the turn has come.
    pub(super) async fn comes(&self) {
        self.come.notified().await;
    }

    /// A request waits for it.
    pub(super) fn hurry(&self) {
        let mut book = self.fetches.book();
        let Book { under_way, waiting, .. } = &mut *book;
        let mut all = under_way.iter_mut().chain(waiting);
        if let Some(entry) = all.find(|entry| entry.number == self.number) {
            entry.haste = Haste::Request;
        }
        book.call();
    }
}

impl Drop for FetchTurn {
    fn drop(&mut self) {
        let mut book = self.fetches.book();
        book.under_way.retain(|entry| entry.number != self.number);
        book.waiting.retain(|entry| entry.number != self.number);
        book.call();
    }
}

impl Book {
    /// Calls everybody whose turn it is.
    fn call(&mut self) {
        for haste in [Haste::Request, Haste::Ahead] {
            let mut place = 0;
            while let Some(entry) = self.waiting.get(place).filter(|_| !self.is_full()) {
                if entry.haste == haste && self.may(entry) {
                    let Some(entry) = self.waiting.remove(place) else { return };
                    entry.come.notify_one();
                    self.under_way.push(entry);
                } else {
                    place = place.saturating_add(1);
                }
            }
        }
    }

    fn is_full(&self) -> bool {
        self.under_way.len() >= AT_ONCE
    }

    fn may(&self, entry: &Entry) -> bool {
        let ahead = |of: &&Entry| of.haste == Haste::Ahead;
        let own = || self.under_way.iter().filter(|other| other.issuer == entry.issuer);
        let has_none = own().next().is_none();
        let has_room = match entry.haste {
            Haste::Request => true,
            Haste::Ahead => {
                self.under_way.iter().filter(ahead).count() < AHEAD
                    && own().filter(ahead).count() < AHEAD_OF_ONE
            }
        };
        has_room && (has_none || (self.under_way.len() < FOR_MORE && own().count() < OF_ONE))
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    fn has_come(turn: &FetchTurn) -> bool {
        let book = turn.fetches.book();
        book.under_way.iter().any(|entry| entry.number == turn.number)
    }

    fn ask(fetches: &Arc<Fetches>, issuer: &str, haste: Haste, count: usize) -> Vec<FetchTurn> {
        let ask = |_| {
            let turn = fetches.ask(issuer);
            if haste == Haste::Request {
                turn.hurry();
            }
            turn
        };
        (0..count).map(ask).collect()
    }

    fn come(turns: &[FetchTurn]) -> usize {
        turns.iter().filter(|turn| has_come(turn)).count()
    }

    /// Of one issuer and of all, by haste; and whoever has none comes first.
    #[test]
    fn there_are_so_many_turns() {
        let fetches = Arc::new(Fetches::default());
        let a = ask(&fetches, "a", Haste::Ahead, 1_000);
        assert_eq!(come(&a), AHEAD_OF_ONE);
        let b = ask(&fetches, "b", Haste::Request, 100);
        assert_eq!(come(&b), OF_ONE);
        let a_request = ask(&fetches, "a", Haste::Request, 1);
        assert_eq!(come(&a_request), 0, "twelve are under way");
        let others: Vec<_> =
            (0..9).map(|n| ask(&fetches, &n.to_string(), Haste::Request, 1)).collect();
        let came = || others.iter().map(|one| come(one)).sum::<usize>();
        assert_eq!(came(), AT_ONCE - FOR_MORE);
        drop(b);
        assert_eq!((came(), come(&a_request)), (9, 0), "thirteen are");
        drop(others);
        assert_eq!((come(&a_request), come(&a)), (1, AHEAD_OF_ONE));
    }

    /// Of all issuers together, too: what is ahead of need leaves half of the places to requests.
    #[test]
    fn half_of_the_turns_are_ahead_of_need() {
        let fetches = Arc::new(Fetches::default());
        let each = |haste, count| -> Vec<_> {
            (0..count).flat_map(|n| ask(&fetches, &format!("{haste:?} {n}"), haste, 1)).collect()
        };
        let ahead = each(Haste::Ahead, 20);
        assert_eq!(come(&ahead), AHEAD);
        let requests = each(Haste::Request, 20);
        assert_eq!((come(&ahead), come(&requests)), (AHEAD, AT_ONCE - AHEAD));
    }

    /// A turn that ends, and one that is given up, make room for the next: first for requests.
    #[test]
    fn requests_come_first() {
        let fetches = Arc::new(Fetches::default());
        let mut ahead = ask(&fetches, "a", Haste::Ahead, 10);
        let requests = ask(&fetches, "a", Haste::Request, 6);
        assert_eq!((come(&ahead), come(&requests)), (4, 4));
        assert!(!has_come(&ahead[9]));
        ahead[9].hurry();
        ahead.remove(0);
        assert!(has_come(&ahead[8]), "it asked before the other requests");
        assert_eq!((come(&ahead), come(&requests)), (4, 4), "no other that is ahead");
        ahead.remove(0);
        assert_eq!((come(&ahead), come(&requests)), (3, 5));
        ahead.remove(0);
        assert_eq!((come(&ahead), come(&requests)), (2, 6));
        drop(requests);
        assert_eq!(come(&ahead), 5, "four ahead, and one in haste");
        drop(ahead);
        assert!(fetches.book().waiting.is_empty() && fetches.book().under_way.is_empty());
    }

    /// Whoever waits is woken.
    #[test]
    fn a_turn_comes() {
        let fetches = Arc::new(Fetches::default());
        let mut first = ask(&fetches, "a", Haste::Ahead, 5);
        let last = first.pop().unwrap();
        let mut context = Context::from_waker(Waker::noop());
        let mut comes = pin!(last.comes());
        assert!(comes.as_mut().poll(&mut context).is_pending());
        drop(first);
        assert!(comes.as_mut().poll(&mut context).is_ready());
    }
}
