//! Whether a stream would speak if something had happened: what was asked of it, and what it said of
//! itself.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::rand;
use serde_json::json;
use tokio::sync::Notify;

use super::kind::StreamStatus;
use crate::jose::base64url;
use crate::jose::json::{Object, Value};
use crate::time::{Moment, Timestamp};

/// What is known of the life of one stream. Nothing foreign runs under its lock.
///
/// 1. A verification event counts from the moment in which it was asked for, if its `state` is one that
///    was asked with (SSF §8.1.4).
/// 2. A stream that says that it is paused or disabled (SSF §8.1.5) proves nothing any more, until it
///    says that it is enabled again, and was verified after that.
/// 3. What happened while it was disabled is never told (SSF §8.1.2): it is said that this is so, and
///    the stream counts again all the same. What happened while it was paused comes afterwards.
pub(super) struct Liveness {
    book: Mutex<Book>,
    /// Whether verification events are asked for.
    verified: Verified,
    /// A question is due, whatever the time.
    due: Notify,
}

/// Whether the stream is asked for verification events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verified {
    Yes,
    /// What polling says is all that there is.
    No,
}

struct Book {
    /// The oldest first.
    asked: VecDeque<Asked>,
    status: StreamStatus,
    /// Whether it was disabled since it was enabled last.
    disabled: bool,
    /// When the status came to be, if it was ever said.
    since: Option<Timestamp>,
    /// When it was learnt that the stream is enabled again: what was asked before proves nothing.
    enabled_again: Option<Moment>,
    /// Whether it has to be verified before polling proves anything.
    unproven: bool,
}

struct Asked {
    state: Box<str>,
    stream_id: Box<str>,
    at: Moment,
    answered: bool,
    waited_for: bool,
}

/// What a verification event proves.
#[derive(Clone, Copy, Debug)]
pub(super) enum Proof {
    /// Its state is not one that was asked with, or no longer.
    Unknown,
    /// It was asked for, and proves nothing: the stream does not transmit, or did not when that was
    /// asked.
    Nothing,
    /// The stream spoke after this moment.
    Alive(Moment),
}

/// Whether a stream that transmits left events out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gap {
    None,
    /// It was disabled in between.
    Lost,
}

impl Liveness {
    /// The most questions that wait for their answer: five or more are out before one is forgotten.
    const MOST_ASKED: usize = 32;
    /// How long an answer is recognised. A transmitter that works through a queue comes late.
    const ANSWERED_WITHIN: Duration = Duration::from_hours(24);

    pub(super) fn new(verified: Verified) -> Self {
        let book = Book {
            asked: VecDeque::new(),
            status: StreamStatus::Enabled,
            disabled: false,
            since: None,
            enabled_again: None,
            unproven: false,
        };
        Self { book: Mutex::new(book), verified, due: Notify::new() }
    }

    /// A new state to ask with, which nobody can guess; `None` if the machine has no randomness to
    /// give.
    pub(super) fn ask(&self, stream_id: &str, now: Moment) -> Option<String> {
        let mut octets = [0; 32];
        rand::fill(&mut octets).ok()?;
        let state = base64url::encode(octets);
        let mut book = self.book();
        book.forget(now);
        while book.asked.len() >= Self::MOST_ASKED {
            book.asked.pop_front();
        }
        let (known, stream_id) = (state.as_str().into(), stream_id.into());
        let (answered, waited_for) = (false, true);
        book.asked.push_back(Asked { state: known, stream_id, at: now, answered, waited_for });
        Some(state)
    }

    /// The question with this state may not have come through: its answer is not waited for.
    pub(super) fn not_asked(&self, state: &str) {
        let mut book = self.book();
        if let Some(asked) = book.asked.iter_mut().find(|asked| *asked.state == *state) {
            asked.waited_for = false;
        }
    }

    /// What a verification event of this stream with this state proves. It proves the same when it
    /// comes again.
    pub(super) fn answered(&self, state: &str, stream_id: &str, now: Moment) -> Proof {
        let mut book = self.book();
        book.forget(now);
        let is_it = |asked: &&mut Asked| *asked.state == *state && *asked.stream_id == *stream_id;
        let Some(asked) = book.asked.iter_mut().find(is_it) else { return Proof::Unknown };
        asked.answered = true;
        let at = asked.at;
        if !book.transmits(at) {
            return Proof::Nothing;
        }
        book.unproven = false;
        Proof::Alive(at)
    }

    /// How long the oldest question waits that was asked after the last one with an answer.
    pub(super) fn waits(&self, now: Moment) -> Option<Duration> {
        let book = self.book();
        let unanswered = book.asked.iter().rev().take_while(|asked| !asked.answered);
        unanswered.filter(|asked| asked.waited_for).last().map(|asked| now.since(asked.at))
    }

    /// Whether an empty or full answer to a poll that was asked at this moment says that nothing else
    /// happened.
    pub(super) fn believes_poll(&self, asked: Moment) -> bool {
        let book = self.book();
        book.transmits(asked) && !book.unproven
    }

    /// The stream says what it does, since this time. Of two reports the later counts.
    pub(super) fn reported(&self, status: StreamStatus, at: Timestamp, now: Moment) -> Gap {
        let mut book = self.book();
        let enabled = book.status == StreamStatus::Enabled;
        if book.since.is_some_and(|since| at < since) {
            let missed = enabled && status == StreamStatus::Disabled;
            return if missed { Gap::Lost } else { Gap::None };
        }
        book.disabled |= status == StreamStatus::Disabled;
        let before = std::mem::replace(&mut book.status, status);
        book.since = Some(at);
        if status != StreamStatus::Enabled {
            book.unproven = self.verified == Verified::Yes;
        } else if before != StreamStatus::Enabled {
            book.enabled_again = Some(now);
            let lost = std::mem::take(&mut book.disabled);
            drop(book);
            self.due.notify_one();
            return if lost { Gap::Lost } else { Gap::None };
        }
        Gap::None
    }

    /// Ends when a question is due before its time.
    pub(super) async fn is_due(&self) {
        self.due.notified().await;
    }

    pub(super) fn status(&self) -> StreamStatus {
        self.book().status
    }

    /// What has to be known after a restart.
    pub(super) fn kept(&self) -> Option<Box<[u8]>> {
        let book = self.book();
        let since = book.since?.to_string();
        let kept = json!({ "status": book.status.as_str(), "since": since }).to_string();
        Some(kept.into_bytes().into())
    }

    /// What was kept, unless something newer is known already.
    pub(super) fn restore(&self, kept: &[u8], now: Moment) {
        let Ok(kept) = Object::parse(kept) else { return };
        let text = |name| kept.member(name).and_then(Value::as_str);
        let status = text("status").and_then(|status| StreamStatus::parse(&status));
        let since = text("since").and_then(|since| Timestamp::from_json_number(&since));
        if let (Some(status), Some(since)) = (status, since) {
            self.reported(status, since, now);
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Each of its members is replaced whole.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn forget(&mut self, now: Moment) {
        let old = |asked: &Asked| now.since(asked.at) > Liveness::ANSWERED_WITHIN;
        self.asked.retain(|asked| !old(asked));
    }

    /// Whether the stream transmits, and did when this was asked.
    fn transmits(&self, asked: Moment) -> bool {
        let before = |again: Moment| asked.steady() < again.steady();
        self.status == StreamStatus::Enabled && !self.enabled_again.is_some_and(before)
    }
}

impl fmt::Debug for Liveness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let book = self.book();
        f.debug_struct("Liveness")
            .field("status", &book.status)
            .field("asked", &book.asked.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        let steady = Duration::from_secs(seconds);
        Moment::new(Timestamp::from_secs(1_800_000_000).plus(steady), steady)
    }

    fn alive(proof: Proof) -> Option<u64> {
        match proof {
            Proof::Alive(asked) => Some(asked.steady().as_secs()),
            Proof::Unknown | Proof::Nothing => None,
        }
    }

    /// SSF-02: the age begins when it was asked for; a state of another stream, a guessed one and a
    /// forgotten one prove nothing; a repeated one proves what it did.
    #[test]
    fn a_verification_counts_from_when_it_was_asked_for() {
        let stream = Liveness::new(Verified::Yes);
        let first = stream.ask("s", at(0)).unwrap();
        let second = stream.ask("s", at(20)).unwrap();
        assert_ne!(first, second);
        assert_eq!(first.len(), 43);
        assert_eq!(alive(stream.answered(&second, "s", at(30))), Some(20));
        assert_eq!(alive(stream.answered(&first, "s", at(31))), Some(0));
        assert_eq!(alive(stream.answered(&second, "s", at(32))), Some(20));
        assert!(matches!(stream.answered(&second, "other", at(33)), Proof::Unknown));
        assert!(matches!(stream.answered("guessed", "s", at(33)), Proof::Unknown));
        assert!(matches!(stream.answered("", "s", at(33)), Proof::Unknown));
        let day = 24 * 3_600;
        assert_eq!(alive(stream.answered(&first, "s", at(day))), Some(0));
        assert!(matches!(stream.answered(&first, "s", at(day + 1)), Proof::Unknown));
        assert_eq!(alive(stream.answered(&second, "s", at(day + 1))), Some(20));
    }

    /// SSF-02: what nobody answers is noticed.
    #[test]
    fn an_answer_that_does_not_come_is_noticed() {
        let stream = Liveness::new(Verified::Yes);
        let waits = |second| stream.waits(at(second)).map(|time| time.as_secs());
        assert_eq!(waits(0), None);
        let states: Vec<_> = (0..3).map(|turn| stream.ask("s", at(turn * 10)).unwrap()).collect();
        assert_eq!(waits(25), Some(25));
        stream.answered(&states[1], "s", at(26));
        assert_eq!(waits(27), Some(7));
        stream.not_asked(&states[2]);
        assert_eq!(waits(28), None);
        assert_eq!(alive(stream.answered(&states[2], "s", at(28))), Some(20), "it came through");
        assert_eq!(waits(29), None);
    }

    /// SSF-02: questions without an answer are bounded, and the newest are known.
    #[test]
    fn questions_are_bounded() {
        let stream = Liveness::new(Verified::Yes);
        let asked: Vec<_> = (0..100).map(|second| stream.ask("s", at(second)).unwrap()).collect();
        assert_eq!(stream.book().asked.len(), Liveness::MOST_ASKED);
        assert!(matches!(stream.answered(&asked[0], "s", at(100)), Proof::Unknown));
        assert_eq!(alive(stream.answered(&asked[99], "s", at(100))), Some(99));
    }

    /// SSF-03: after a pause only what was asked after the end of it counts, and of polls only those
    /// after a verification.
    #[test]
    fn a_pause_ends_what_was_proven() {
        for status in [StreamStatus::Paused, StreamStatus::Disabled] {
            let stream = Liveness::new(Verified::Yes);
            let since = |second| at(second).wall();
            let early = stream.ask("s", at(0)).unwrap();
            assert!(stream.believes_poll(at(1)));
            stream.reported(status, since(2), at(2));
            assert_eq!(stream.status(), status);
            assert!(!stream.believes_poll(at(3)));
            assert!(matches!(stream.answered(&early, "s", at(3)), Proof::Nothing));
            let paused = stream.ask("s", at(4)).unwrap();
            stream.reported(StreamStatus::Enabled, since(5), at(6));
            assert!(matches!(stream.answered(&paused, "s", at(7)), Proof::Nothing));
            assert!(!stream.believes_poll(at(7)), "enabled, and not verified yet");
            let late = stream.ask("s", at(8)).unwrap();
            assert_eq!(alive(stream.answered(&late, "s", at(9))), Some(8));
            assert!(stream.believes_poll(at(10)));
            assert!(!stream.believes_poll(at(5)), "asked before the end of the pause");
        }
    }

    /// SSF-03, SET-08: reports come in any order.
    #[test]
    fn the_later_report_counts() {
        let since = |second| at(second).wall();
        let stream = Liveness::new(Verified::No);
        stream.reported(StreamStatus::Enabled, since(5), at(6));
        stream.reported(StreamStatus::Paused, since(2), at(7));
        assert_eq!(stream.status(), StreamStatus::Enabled);
        assert!(stream.believes_poll(at(8)));
        stream.reported(StreamStatus::Paused, since(6), at(8));
        assert!(!stream.believes_poll(at(9)));
        // Of the same time: the one that came later.
        stream.reported(StreamStatus::Enabled, since(6), at(10));
        assert_eq!(stream.status(), StreamStatus::Enabled);
        assert!(stream.believes_poll(at(11)));
    }

    /// SSF-03: what a disabled stream left out is lost, what a paused one did is not; in any order, and
    /// after a restart.
    #[test]
    fn a_disabled_stream_leaves_a_gap() {
        use StreamStatus::{Disabled, Enabled, Paused};
        let since = |second| at(second).wall();
        for (reports, gap) in [
            (&[(Paused, 1), (Enabled, 2)][..], Gap::None),
            (&[(Disabled, 1), (Enabled, 2)], Gap::Lost),
            (&[(Disabled, 1), (Paused, 2), (Enabled, 3)], Gap::Lost),
            (&[(Enabled, 2), (Disabled, 1)], Gap::Lost),
            (&[(Enabled, 2), (Paused, 1)], Gap::None),
            (&[(Disabled, 1), (Enabled, 2), (Paused, 3), (Enabled, 4)], Gap::None),
            (&[(Paused, 2), (Disabled, 1)], Gap::None),
        ] {
            let stream = Liveness::new(Verified::Yes);
            let said = reports
                .iter()
                .map(|(status, second)| stream.reported(*status, since(*second), at(*second)));
            assert_eq!(said.last(), Some(gap), "{reports:?}");
        }
        let stream = Liveness::new(Verified::Yes);
        stream.reported(Disabled, since(1), at(1));
        let restarted = Liveness::new(Verified::Yes);
        restarted.restore(&stream.kept().unwrap(), at(2));
        assert_eq!(restarted.reported(Enabled, since(3), at(3)), Gap::Lost);
    }

    /// SSF-03: a restart does not make a paused stream believed.
    #[test]
    fn a_report_is_known_after_a_restart() {
        let stream = Liveness::new(Verified::Yes);
        assert_eq!(stream.kept(), None);
        stream.reported(StreamStatus::Paused, at(2).wall(), at(2));
        let kept = stream.kept().unwrap();
        let restarted = Liveness::new(Verified::Yes);
        assert!(restarted.believes_poll(at(0)));
        restarted.restore(&kept, at(0));
        assert_eq!(restarted.status(), StreamStatus::Paused);
        assert!(!restarted.believes_poll(at(1)));
        for other in [&b""[..], b"{}", br#"{"status":"gone","since":"1"}"#, b"\xff"] {
            let stream = Liveness::new(Verified::Yes);
            stream.restore(other, at(0));
            assert!(stream.believes_poll(at(0)));
        }
    }
}
