//! When an endpoint that fails is asked again. Pure: time comes in as an argument.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::EndpointState;

/// So many faults in a row, and nothing is asked for a while.
const FAULTS: u32 = 5;
const FIRST_REST: Duration = Duration::from_secs(1);
const LAST_REST: Duration = Duration::from_secs(30);

/// What is known of an endpoint by its last answers.
#[derive(Default)]
pub(super) struct Breaker(Mutex<Book>);

#[derive(Default)]
struct Book {
    faults_in_a_row: u32,
    last_fault: Option<Arc<str>>,
    open: Option<Open>,
}

struct Open {
    /// Steady time.
    until: Duration,
    rest: Duration,
    /// Since when the one call that tries it is under way.
    trial: Option<Duration>,
}

/// Whether it may be asked now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    Granted,
    Denied { left: Duration, faults: u32, last: Arc<str> },
}

impl Breaker {
    /// Asks for leave to make one call, which takes at most so long.
    pub(super) fn leave(&self, steady: Duration, longest: Duration) -> Leave {
        let mut book = self.book();
        let (faults, last) = (book.faults_in_a_row, book.last_fault.clone());
        let Some(open) = &mut book.open else { return Leave::Granted };
        let denied = |left| Leave::Denied { left, faults, last: last.unwrap_or_default() };
        if steady < open.until {
            return denied(open.until.saturating_sub(steady));
        }
        // One that was dropped on the way is over as well when its time is.
        if let Some(since) = open.trial.filter(|since| steady.saturating_sub(*since) < longest) {
            return denied(longest.saturating_sub(steady.saturating_sub(since)));
        }
        open.trial = Some(steady);
        Leave::Granted
    }

    /// It answered.
    pub(super) fn answered(&self) {
        let mut book = self.book();
        if book.faults_in_a_row > 0 {
            *book = Book::default();
        }
    }

    /// It did not, or as one that does not work.
    pub(super) fn failed(&self, why: &str, steady: Duration) {
        let mut book = self.book();
        book.faults_in_a_row = book.faults_in_a_row.saturating_add(1);
        book.last_fault = Some(why.into());
        let faults = book.faults_in_a_row;
        match &mut book.open {
            Some(open) if open.trial.is_some() => {
                open.rest = open.rest.saturating_mul(2).min(LAST_REST);
                open.until = steady.saturating_add(open.rest);
                open.trial = None;
            }
            // A call of before it was opened says nothing new.
            Some(_) => {}
            None if faults >= FAULTS => {
                let until = steady.saturating_add(FIRST_REST);
                book.open = Some(Open { until, rest: FIRST_REST, trial: None });
            }
            None => {}
        }
    }

    pub(super) fn state(&self, steady: Duration) -> EndpointState {
        match &self.book().open {
            None => EndpointState::Working,
            Some(open) if open.trial.is_some() || steady >= open.until => EndpointState::OnTrial,
            Some(_) => EndpointState::Resting,
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing that could panic runs while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(2);
    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn open_at(steady: Duration) -> Breaker {
        let breaker = Breaker::default();
        for _ in 0..FAULTS {
            assert_eq!(breaker.leave(steady, LONGEST), Leave::Granted);
            breaker.failed("status 500", steady);
        }
        breaker
    }

    fn left(leave: Leave) -> Option<Duration> {
        match leave {
            Leave::Granted => None,
            Leave::Denied { left, .. } => Some(left),
        }
    }

    /// INT-11: five faults in a row close the way for a second; four do not.
    #[test]
    fn it_opens_with_the_fifth_fault_in_a_row() {
        let breaker = open_at(at(10));
        assert_eq!(left(breaker.leave(at(10), LONGEST)), Some(at(1)));
        assert_eq!(breaker.state(at(10)), EndpointState::Resting);

        let breaker = Breaker::default();
        for round in 0..20 {
            breaker.failed("status 500", at(10));
            if round % 4 == 3 {
                breaker.answered();
            }
            assert_eq!(breaker.leave(at(10), LONGEST), Leave::Granted, "round {round}");
        }
    }

    /// INT-11: after the rest one call tries it, and only one.
    #[test]
    fn half_open_it_lets_one_call_through() {
        let breaker = open_at(at(10));
        assert_eq!(breaker.leave(at(11), LONGEST), Leave::Granted);
        assert_eq!(left(breaker.leave(at(11), LONGEST)), Some(LONGEST));
        assert_eq!(breaker.state(at(11)), EndpointState::OnTrial);
        breaker.answered();
        assert_eq!(breaker.leave(at(11), LONGEST), Leave::Granted);
        assert_eq!(breaker.leave(at(11), LONGEST), Leave::Granted);
        assert_eq!(breaker.state(at(11)), EndpointState::Working);
    }

    /// INT-11: a trial that fails doubles the rest, up to half a minute.
    #[test]
    fn the_rest_doubles_to_its_bound() {
        let breaker = open_at(at(0));
        let (mut now, mut rests) = (at(1), Vec::new());
        for _ in 0..7 {
            assert_eq!(breaker.leave(now, LONGEST), Leave::Granted);
            breaker.failed("timeout", now);
            let rest = left(breaker.leave(now, LONGEST)).unwrap();
            rests.push(rest.as_secs());
            now += rest;
        }
        assert_eq!(rests, [2, 4, 8, 16, 30, 30, 30]);
    }

    /// INT-11: a trial that was dropped does not close the way for ever.
    #[test]
    fn a_lost_trial_makes_room_when_its_time_is_over() {
        let breaker = open_at(at(0));
        assert_eq!(breaker.leave(at(1), LONGEST), Leave::Granted);
        assert_eq!(left(breaker.leave(at(2), LONGEST)), Some(at(1)));
        assert_eq!(breaker.leave(at(3), LONGEST), Leave::Granted);
    }

    /// INT-11: calls of before, that fail late, do not prolong the rest.
    #[test]
    fn late_failures_do_not_prolong_the_rest() {
        let breaker = open_at(at(10));
        breaker.failed("timeout", at(11));
        assert_eq!(breaker.leave(at(11), LONGEST), Leave::Granted);
    }
}
