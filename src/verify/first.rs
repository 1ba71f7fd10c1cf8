use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::turns::Turns;
use crate::error::{ConfigFault, Faults};
use crate::time::shown_duration;

/// The most signatures at once. A machine has not so many threads.
const MOST_AT_ONCE: usize = 1_024;
/// The most that wait, each of them a request with its header fields.
const MOST_WAITING: usize = 65_536;
/// More than are verified while one waits: it is the time that turns requests away, and not their number.
/// After a start every token is a new one, and thousands come within milliseconds.
const WAITING: usize = 16_384;
/// How long a request may wait.
const WAITS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(10);

/// How many tokens that are not known may have their signature verified at once, and how many requests wait
/// for that.
///
/// Verifying a signature is by far the most of what a decision costs, and anybody can ask for it: with a
/// token that is well-formed up to its signature. A token that was accepted before
/// ([`crate::ServerBuilder::known_tokens_bytes`]) costs nearly nothing. So only the former are bounded:
/// where fewer signatures may be verified at once than there are threads, the rest of the threads are left
/// to tokens that are known, however many are forged, and to everything else that the service does.
///
/// 1. A place is taken right before the signature is verified, and given back right after it, or after that of
///    the DPoP proof that came with the token. What is refused before (a malformed token, an unknown issuer or
///    key) takes none.
/// 2. A token that is known takes none and never waits. Neither does one that the issuer is asked about
///    with every use, if the issuer said before that it is active, and not since that it is not. Nor does the
///    proof that comes with a known token, unless the last one was forged: whoever stole a token has then no
///    more of the threads than whoever forges tokens. A proof for a token that the issuer is asked about takes
///    a place each time.
/// 3. Where no place is free a request waits. Those that wait are called in the order in which they came; one
///    that comes when a place is free takes it. One that waited too long, and one
///    for which there is no room, gets 503 with `Retry-After`, and the kind
///    [`crate::RejectionKind::VerificationOverloaded`]: nothing is said of its token.
///
/// What it does not do: it does not tell the tokens apart that are not known. While somebody sends forged
/// ones faster than they are verified, good ones that were never seen share the places with them, and some
/// get 503. A limit for each client is for whatever stands in front. It does not bound what a client does with
/// its own tokens and good proofs, nor what is done with one good proof that is sent again and again, by the
/// client or by whoever copied its request: the events name the client and the kind.
///
/// ```
/// use std::time::Duration;
/// use portcullis::FirstVerifications;
///
/// // Of eight threads, two are left whatever comes.
/// let bound = FirstVerifications::new()
///     .max_at_once(6)
///     .queue_at_most(4_096)
///     .wait_at_most(Duration::from_millis(250));
/// # let _ = bound;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it does nothing until it is given to `ServerBuilder::first_verifications`"]
pub struct FirstVerifications {
    max_at_once: AtMost,
    queue_at_most: usize,
    wait_at_most: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AtMost {
    /// One fewer than the machine has threads.
    AllThreadsButOne,
    These(usize),
    Unbounded,
}

impl FirstVerifications {
    /// One fewer at once than this process may use threads ([`std::thread::available_parallelism`]), at
    /// least one; 16 384 requests wait, for 1 second at most.
    pub const fn new() -> Self {
        Self {
            max_at_once: AtMost::AllThreadsButOne,
            queue_at_most: WAITING,
            wait_at_most: Duration::from_secs(1),
        }
    }

    /// No bound: as many as there are threads, and nobody waits.
    pub const fn unbounded() -> Self {
        Self { max_at_once: AtMost::Unbounded, ..Self::new() }
    }

    /// So many at once, 1 to 1 024. It bounds nothing unless it is less than the threads that the service
    /// runs on.
    pub const fn max_at_once(mut self, signatures: usize) -> Self {
        self.max_at_once = AtMost::These(signatures);
        self
    }

    /// So many requests may wait, at most 65 536. With zero nobody waits: where no place is free the
    /// answer is 503 at once.
    pub const fn queue_at_most(mut self, requests: usize) -> Self {
        self.queue_at_most = requests;
        self
    }

    /// How long a request may wait, 1 millisecond to 10 seconds. Outside a tokio runtime, where there may
    /// be no timer, it waits until its turn comes.
    pub const fn wait_at_most(mut self, wait: Duration) -> Self {
        self.wait_at_most = wait;
        self
    }

    /// The bound; `None` if there is none. Looks for faults.
    pub(crate) fn check(self, faults: &mut Faults) -> Option<Arc<Turns>> {
        let max_at_once = match self.max_at_once {
            AtMost::Unbounded => return None,
            AtMost::These(signatures) => signatures,
            AtMost::AllThreadsButOne => {
                let threads = std::thread::available_parallelism().map_or(1, usize::from);
                threads.saturating_sub(1).clamp(1, MOST_AT_ONCE)
            }
        };
        if !(1..=MOST_AT_ONCE).contains(&max_at_once) {
            let (what, maximum) = ("the number of first verifications at once", MOST_AT_ONCE);
            faults.push_at("max_at_once", ConfigFault::Bound { what, found: max_at_once, maximum });
        }
        let fault = ConfigFault::FirstVerifications;
        if self.queue_at_most > MOST_WAITING {
            let found = self.queue_at_most;
            let what = format!("{found} requests that wait: at most {MOST_WAITING} may: say fewer");
            faults.push_at("queue_at_most", fault(what));
        }
        if !WAITS.contains(&self.wait_at_most) {
            let found = shown_duration(self.wait_at_most);
            let what = format!(
                "a wait of {found}: not between 1 millisecond and 10 seconds: say one in between"
            );
            faults.push_at("wait_at_most", fault(what));
        }
        let Self { queue_at_most, wait_at_most, .. } = self;
        let said = self.max_at_once;
        Some(Arc::new(Turns::new(Bounds { max_at_once, said, queue_at_most, wait_at_most })))
    }
}

impl Default for FirstVerifications {
    fn default() -> Self {
        Self::new()
    }
}

/// A bound on first verifications.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(super) max_at_once: usize,
    /// What was said of it.
    said: AtMost,
    pub(super) queue_at_most: usize,
    pub(super) wait_at_most: Duration,
}

/// What bounds first verifications, in the words of a file.
pub(crate) fn report(turns: Option<&Turns>) -> Value {
    turns.map_or(Value::Bool(false), |turns| turns.bounds().report())
}

impl Bounds {
    /// What it says, in the words of a file. A number that follows from the machine is not in it.
    fn report(self) -> Value {
        let max_at_once = match self.said {
            AtMost::These(signatures) => signatures.into(),
            AtMost::AllThreadsButOne | AtMost::Unbounded => Value::from("all threads but one"),
        };
        json!({
            "max_at_once": max_at_once,
            "queue_at_most": self.queue_at_most,
            "wait_at_most": shown_duration(self.wait_at_most),
        })
    }
}

/// How many tokens have their signature verified for the first time, and wait for that: see
/// [`crate::ResourceServer::first_verification_health`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FirstVerificationHealth {
    /// How many may be verified at once.
    pub max_at_once: usize,
    /// How many are verified now.
    pub under_way: usize,
    /// How many requests wait.
    pub waiting: usize,
    /// Requests that had to wait, since the start.
    pub waited: u64,
    /// Requests that got 503, since the start: there was no room to wait in, or their turn did not come in
    /// time.
    pub turned_away: u64,
}
