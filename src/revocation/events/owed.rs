//! The SETs that came and were not taken: while there is one, nothing shows that everything is known.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::time::Moment;

/// What a transmitter still has to give again, by `jti`. Nothing foreign runs under its lock.
///
/// 1. A SET that is proven to be the transmitter's is owed until it is taken, or found to be bad.
/// 2. A SET whose signature could not be judged is owed until it is judged, and for a time at most:
///    whoever sent it may have made it up, and then it never comes again. Who may enter one says the
///    caller.
/// 3. At most [`Self::MOST`] are known by name. Of more it is known that there are: for as long as they
///    would be owed, so for ones that are proven until the process ends.
///
/// It is not kept on disk: a transmitter gives again what was not acknowledged, also after a restart,
/// and nothing is known here of what did not come again by then.
pub(super) struct Owed {
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    sets: HashMap<Name, Until>,
    /// Of those that there was no room for.
    others: Option<Until>,
}

/// A `jti` is of any length.
type Name = [u8; 32];

/// How long something is owed. A later one is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Until {
    /// This steady time.
    Then(Duration),
    Taken,
}

impl Owed {
    /// The most that are known by name.
    pub(super) const MOST: usize = 4_096;

    pub(super) fn new() -> Self {
        Self { book: Mutex::default() }
    }

    /// A SET that is the transmitter's could not be taken.
    pub(super) fn not_taken(&self, jti: &str) {
        self.book().enter(name(jti), Until::Taken);
    }

    /// Whether a SET is the transmitter's could not be told. It is owed for this long.
    pub(super) fn not_judged(&self, jti: &str, now: Moment, within: Duration) {
        self.book().enter(name(jti), Until::Then(now.steady().saturating_add(within)));
    }

    /// It was taken, or is the transmitter's and bad.
    pub(super) fn ended(&self, jti: &str) {
        self.book().sets.remove(&name(jti));
    }

    /// It was judged: it is not the transmitter's, or what becomes of it is said next.
    pub(super) fn judged(&self, jti: &str) {
        let (name, mut book) = (name(jti), self.book());
        if matches!(book.sets.get(&name), Some(Until::Then(_))) {
            book.sets.remove(&name);
        }
    }

    /// What is owed, in words; `None`: nothing.
    pub(super) fn what(&self, now: Moment) -> Option<String> {
        let mut book = self.book();
        book.forget(now.steady());
        let count = book.sets.len();
        match book.others {
            None if count == 0 => None,
            None => Some(format!("{count} events came and could not be taken yet")),
            Some(_) => Some(format!(
                "more than {} events came and could not be taken: which ones is not known any more",
                Self::MOST
            )),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Each of its members is replaced whole.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn enter(&mut self, name: Name, until: Until) {
        if let Some(known) = self.sets.get_mut(&name) {
            *known = until.max(*known);
        } else if self.sets.len() < Owed::MOST {
            self.sets.insert(name, until);
        } else {
            self.others = self.others.max(Some(until));
        }
    }

    fn forget(&mut self, now: Duration) {
        let passed = |until: &Until| matches!(until, Until::Then(then) if *then < now);
        self.sets.retain(|_, until| !passed(until));
        self.others = self.others.filter(|until| !passed(until));
    }
}

fn name(jti: &str) -> Name {
    Sha256::digest(jti.as_bytes()).into()
}

impl fmt::Debug for Owed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let book = self.book();
        f.debug_struct("Owed")
            .field("sets", &book.sets.len())
            .field("others", &book.others)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn at(seconds: u64) -> Moment {
        let steady = Duration::from_secs(seconds);
        Moment::new(Timestamp::from_secs(1_800_000_000).plus(steady), steady)
    }

    const WITHIN: Duration = Duration::from_secs(120);

    /// Attack 42: what is the transmitter's is owed until it is taken; what cannot be told for a time.
    #[test]
    fn what_came_is_owed() {
        let owed = Owed::new();
        assert_eq!(owed.what(at(0)), None);
        owed.not_taken("a");
        owed.not_judged("b", at(0), WITHIN);
        assert!(owed.what(at(0)).unwrap().starts_with("2 "));
        assert!(owed.what(at(121)).unwrap().starts_with("1 "));
        owed.judged("a");
        assert!(owed.what(at(1_000_000)).is_some(), "a judgement does not take it");
        owed.ended("b");
        assert!(owed.what(at(1_000_000)).is_some());
        owed.ended("a");
        assert_eq!(owed.what(at(1_000_000)), None);
        // Known to be the transmitter's in the end, whatever came first.
        for turn in 0..2 {
            owed.not_taken("a");
            owed.not_judged("a", at(0), WITHIN);
            owed.not_taken("a");
            assert!(owed.what(at(121)).is_some(), "{turn}");
        }
        owed.ended("a");
        owed.not_judged("b", at(0), WITHIN);
        owed.judged("b");
        assert_eq!(owed.what(at(0)), None);
    }

    /// Attack 42: room is bounded, and that there was more is not forgotten.
    #[test]
    fn more_than_there_is_room_for_is_remembered() {
        let jtis = || (0..Owed::MOST).map(|number| number.to_string());
        let owed = Owed::new();
        jtis().for_each(|jti| owed.not_taken(&jti));
        owed.not_judged("more", at(0), WITHIN);
        jtis().for_each(|jti| owed.ended(&jti));
        assert!(owed.what(at(120)).is_some());
        assert_eq!(owed.what(at(121)), None);
        jtis().for_each(|jti| owed.not_taken(&jti));
        owed.not_taken("more");
        owed.not_judged("still more", at(0), WITHIN);
        assert_eq!(owed.book().sets.len(), Owed::MOST);
        jtis().for_each(|jti| owed.ended(&jti));
        assert!(owed.what(at(1_000_000)).is_some());
    }
}
