//! Fetches events from a transmitter, again and again (RFC 8936).

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;

use super::delivery::Pace;
use super::error::SetError;
use super::exchange::{Given, More, Pending, Wanted};
use super::judging::{Giver, Judged, Meaning, NotTaken};
use super::outbound::{AskError, Question};
use super::stream::{Place, Polled, Stream};
use super::streams::Delivery;
use super::transmitter::TIMEOUT;
use crate::revocation::rest::Rest;
use crate::revocation::source::{Batch, SourceHandle};
use crate::time::Moment;

/// The longest answer. Fifty of the longest SETs fit.
const MAX_ANSWER: usize = 4 * 1024 * 1024;
/// The longest that a transmitter may hold an answer back.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// A transmitter that cannot wait answers at once: it is not asked more often than this.
const LEAST_PAUSE: Duration = Duration::from_secs(1);

/// Fetches until it is dropped.
pub(super) async fn run(stream: &Stream, poll: &Polled, handle: &SourceHandle) {
    let poller = Poller {
        stream,
        poll,
        handle,
        url: None,
        pending: Pending::default(),
        told: HashSet::new(),
        most: poll.max_events,
    };
    poller.run().await;
}

struct Poller<'a> {
    stream: &'a Stream,
    poll: &'a Polled,
    handle: &'a SourceHandle,
    /// Where it is asked, if that was found.
    url: Option<String>,
    /// What has to be told with the next question.
    pending: Pending,
    /// What was told with the last one.
    told: HashSet<String>,
    /// How many events are asked for at once.
    most: usize,
}

/// What one round led to.
enum Round {
    /// There is more: ask at once.
    More,
    /// Everything is known; so many came with it.
    Complete(usize),
    /// Nothing came while the transmitter held its answer back.
    Quiet,
}

impl Poller<'_> {
    async fn run(mut self) {
        let mut rest = Rest::new();
        let mut wanted = Wanted::Now(self.most);
        loop {
            let asked = self.handle.clock().moment();
            let round = self.round(wanted, asked).await;
            let pause = match round {
                Ok(Round::More | Round::Quiet) => {
                    rest.reset();
                    wanted = Wanted::Now(self.most);
                    Duration::ZERO
                }
                Ok(Round::Complete(count)) => {
                    rest.reset();
                    let pause = self.pause(wanted, count, asked).await;
                    wanted = match self.poll.pace {
                        Pace::Long => Wanted::Soon(self.most),
                        Pace::Third | Pace::Every(_) => Wanted::Now(self.most),
                    };
                    pause
                }
                Err(why) => {
                    self.handle.failed(why);
                    wanted = Wanted::Now(self.most);
                    rest.next()
                }
            };
            self.handle.clock().sleep(pause).await;
        }
    }

    /// How long until it is asked again, after everything is known. What is to be told does not wait.
    async fn pause(&mut self, wanted: Wanted, count: usize, asked: Moment) -> Duration {
        let (clock, max_age) = (self.handle.clock(), self.handle.max_age());
        let half = max_age.checked_div(2).unwrap_or(max_age).max(LEAST_PAUSE);
        let pause = match self.poll.pace {
            Pace::Third => third(max_age),
            Pace::Every(time) => time.min(half),
            Pace::Long if count == 0 && matches!(wanted, Wanted::Soon(_)) => {
                return LEAST_PAUSE.saturating_sub(clock.moment().since(asked));
            }
            Pace::Long => return Duration::ZERO,
        };
        if !self.pending.is_empty()
            && let Err(error) = self.exchange(Wanted::Nothing).await
        {
            // It is told with the next question.
            self.handle.failed(format!("nothing could be acknowledged: {error}"));
        }
        pause
    }

    /// Asks once, and does what the answer says.
    async fn round(&mut self, wanted: Wanted, asked: Moment) -> Result<Round, String> {
        let given = match self.exchange(wanted).await {
            Ok(given) => given,
            Err(error) if error.is_timeout() && matches!(wanted, Wanted::Soon(_)) => {
                return Ok(Round::Quiet);
            }
            Err(error) => {
                if error.is_too_large() {
                    // One stays one.
                    self.most = self.most.div_ceil(2);
                }
                self.url = None;
                return Err(format!("events could not be fetched: {error}"));
            }
        };
        let (count, more) = (given.sets.len(), given.more);
        let again = count > 0 && given.sets.iter().all(|(jti, _)| self.told.contains(jti));
        self.process(given, asked).await?;
        match more {
            _ if again => Err("the transmitter gives again what it was told about".to_owned()),
            More::Yes if count == 0 => Err("there are more events, and none was given".to_owned()),
            More::Yes => Ok(Round::More),
            More::No => {
                self.most = self.poll.max_events;
                Ok(Round::Complete(count))
            }
        }
    }

    /// One question, one answer. What was to be told is told with it.
    async fn exchange(&mut self, wanted: Wanted) -> Result<Given, AskError> {
        let url = match (&self.poll.place, &self.url) {
            (Place::At(url), _) | (_, Some(url)) => url.clone(),
            (Place::Discovered, None) => {
                let credential = self.poll.credential.as_ref();
                let entry = self.stream.entry(Delivery::Poll, credential).await?;
                self.url.insert(entry.endpoint).clone()
            }
        };
        let outbound = self.stream.transmitter.outbound();
        let outbound = outbound.ok_or(AskError::Nothing("there is no transport"))?;
        let timeout = match wanted {
            Wanted::Soon(_) => third(self.handle.max_age()).min(LONGEST_WAIT),
            Wanted::Now(_) | Wanted::Nothing => TIMEOUT,
        };
        let question = Question {
            url: &url,
            credential: self.poll.credential.as_ref(),
            body: Some(self.pending.request(wanted)),
            wording: self.pending.wording(),
            max_body: MAX_ANSWER,
            timeout,
        };
        let document = match wanted {
            // Whatever it says: what was not acknowledged comes again.
            Wanted::Nothing => outbound.done(question).await.map(|()| Bytes::new())?,
            Wanted::Now(_) | Wanted::Soon(_) => outbound.document(question).await?,
        };
        let told = std::mem::take(&mut self.pending);
        let errors = told.errors.into_iter().map(|(jti, _)| jti);
        self.told = told.ack.into_iter().chain(errors).collect();
        if wanted == Wanted::Nothing {
            return Ok(Given { sets: Vec::new(), more: More::Yes });
        }
        Given::parse(&document).map_err(|what| AskError::answer(&url, what))
    }

    /// Judges every SET by itself; stores what they say together; then each is acknowledged. Only then
    /// the answer, or a verification in it, can show that everything is known.
    async fn process(&mut self, given: Given, asked: Moment) -> Result<(), String> {
        let came = self.handle.clock().moment();
        let (mut batch, mut told) = (Batch::default(), Vec::new());
        let (mut updates, mut verifications) = (Vec::new(), Vec::new());
        let mut not_now = None;
        for (jti, set) in given.sets {
            match self.judge(&jti, set, came).await {
                Ok(mut judged) => match &mut judged.meaning {
                    Meaning::Records(records) => {
                        batch.records.append(records);
                        batch.newest = batch.newest.max(Some(judged.at));
                        told.push(jti);
                    }
                    Meaning::Nothing | Meaning::Unusable(_) => {
                        // It stores nothing.
                        self.take(jti, judged, &mut not_now).await;
                    }
                    Meaning::Updated { .. } => updates.push((jti, judged)),
                    Meaning::Verification { .. } => verifications.push((jti, judged)),
                },
                Err(error) => self.not_taken(jti, error, &mut not_now),
            }
            // Signatures take time that others want too.
            tokio::task::yield_now().await;
        }
        // What the stream says of itself decides whether its answer proves anything.
        for (jti, judged) in updates {
            self.take(jti, judged, &mut not_now).await;
        }
        let nothing = batch.records.is_empty();
        let kept = if nothing { Ok(()) } else { self.stream.store(batch, self.handle).await };
        match kept {
            Ok(()) => {
                told.iter().for_each(|jti| self.stream.owed.ended(jti));
                self.pending.ack.extend(told);
            }
            Err(error) => {
                told.iter().for_each(|jti| self.stream.owed.not_taken(jti));
                // INVARIANT: what is stored was judged.
                not_now = Some(error.why());
            }
        }
        // Beside what was refused a verification would prove too much. What has to come again is owed.
        let whole = self.pending.errors.is_empty();
        for (jti, judged) in verifications {
            match &judged.meaning {
                Meaning::Verification { state, stream_id } if !whole => {
                    match self.stream.proof(state.as_deref(), stream_id, came) {
                        Ok(_) => self.pending.ack.push(jti),
                        Err(error) => self.not_taken(jti, error, &mut not_now),
                    }
                }
                _ => self.take(jti, judged, &mut not_now).await,
            }
        }
        let refused = self.pending.errors.len();
        if refused > 0 {
            self.handle.failed(format!("{refused} SETs were refused: what they say is not known"));
        }
        let complete = given.more == More::No && not_now.is_none() && refused == 0;
        if complete && self.stream.liveness.believes_poll(asked) {
            not_now = match self.stream.owed.what(self.handle.clock().moment()) {
                None => {
                    let batch = Batch::default().synchronised(asked);
                    self.stream.store(batch, self.handle).await.err().map(|error| error.why())
                }
                owed => owed,
            };
        }
        not_now.map_or(Ok(()), |why| Err(format!("events have to come again: {why}")))
    }

    async fn take(&mut self, jti: String, judged: Judged, not_now: &mut Option<String>) {
        match self.stream.take(judged, self.handle).await {
            Ok(()) => self.pending.ack.push(jti),
            Err(error) => self.not_taken(jti, error, not_now),
        }
    }

    fn not_taken(&mut self, jti: String, error: NotTaken, not_now: &mut Option<String>) {
        match error {
            NotTaken::Unproven(error) | NotTaken::Refused(error) => self.refuse(jti, error),
            NotTaken::NotJudged(why) | NotTaken::NotNow(why) => *not_now = Some(why),
        }
    }

    async fn judge(
        &self,
        jti: &str,
        set: Option<String>,
        came: Moment,
    ) -> Result<Judged, NotTaken> {
        let set = set.ok_or_else(|| SetError::request("the SET is not a string"))?;
        let judged = self.stream.judge(&set, came, Giver::Transmitter, self.handle).await?;
        if *judged.jti != *jti {
            // It could not be acknowledged without saying that another one was received.
            return Err(
                SetError::request("`jti` is not the name that the SET was given under").into()
            );
        }
        Ok(judged)
    }

    fn refuse(&mut self, jti: String, error: SetError) {
        self.handle.discarded(format!("a SET was refused: {error}"));
        self.pending.errors.push((jti, error));
    }
}

fn third(max_age: Duration) -> Duration {
    max_age.checked_div(3).unwrap_or(max_age).max(LEAST_PAUSE)
}
