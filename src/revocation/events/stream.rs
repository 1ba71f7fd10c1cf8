//! A stream of events at run time: what becomes of a SET, however it came.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::delivery::Pace;
use super::effects::{Effects, Said};
use super::error::{SetError, SetErrorCode};
use super::inbound::Door;
use super::kind::{EventKind, StreamStatus};
use super::liveness::{Liveness, Proof};
use super::outbound::{AskError, Credential, Question, Wording};
use super::receiver::EventReceiver;
use super::streams::{Delivery, StreamEntry, choose, streams_url};
use super::subject::SubjectId;
use super::token::{SecurityEventToken, SetRules};
use super::transmitter::{TIMEOUT, Transmitter};
use super::{poller, verifying};
use crate::issuer::{IssuerKeys, KeySearchError, KeyState};
use crate::jose::KeyChoiceError;
use crate::revocation::record::Record;
use crate::revocation::source::{Batch, RevocationSource, Running, SourceHandle};
use crate::time::Timestamp;

/// One stream, without faults.
pub(crate) struct Stream {
    pub(super) rules: SetRules,
    pub(super) transmitter: Transmitter,
    pub(super) effects: Effects,
    pub(super) stream_id: Option<Box<str>>,
    pub(super) liveness: Liveness,
    /// One report of the stream about itself at a time: what is kept is what was said last.
    pub(super) reporting: tokio::sync::Mutex<()>,
    /// `None`: nothing is pushed.
    pub(super) door: Option<Door>,
    /// Places of deliveries.
    pub(super) deliveries: Arc<Semaphore>,
    /// The steady second of the last complaint about a delivery.
    pub(super) complained: AtomicU64,
    pub(super) verification: Option<Asked>,
    pub(super) poll: Option<Polled>,
}

/// Where a transmitter is asked something.
#[derive(Clone, Debug)]
pub(super) enum Place {
    At(String),
    /// The transmitter says.
    Discovered,
}

/// How verification events are asked for.
pub(super) struct Asked {
    pub(super) place: Place,
    pub(super) credential: Option<Arc<Credential>>,
}

/// How events are fetched.
pub(super) struct Polled {
    pub(super) place: Place,
    pub(super) credential: Option<Arc<Credential>>,
    pub(super) pace: Pace,
    pub(super) max_events: usize,
}

/// A SET that is good, and what it says.
pub(super) struct Judged {
    pub(super) jti: Box<str>,
    pub(super) at: Timestamp,
    pub(super) meaning: Meaning,
}

/// What a good SET says.
pub(super) enum Meaning {
    /// Of tokens.
    Records(Vec<Record>),
    /// Nothing of tokens.
    Nothing,
    /// Nothing that could be used.
    Unusable(String),
    /// That the stream is alive; it is `stream_id` that says so.
    Verification { state: Option<Box<str>>, stream_id: Box<str> },
    /// What the stream does; it is `stream_id` that says so.
    Updated { status: StreamStatus, stream_id: Box<str> },
}

/// Why a SET is not taken.
#[derive(Clone, Debug)]
pub(super) enum NotTaken {
    /// It is not proven to be the transmitter's: anybody can have made it.
    Unproven(SetError),
    /// It is the transmitter's, and bad.
    Refused(SetError),
    /// It can be good, and has to come again.
    NotNow(String),
}

impl From<SetError> for NotTaken {
    fn from(error: SetError) -> Self {
        Self::Refused(error)
    }
}

impl Stream {
    /// Whether it asks for events, and does not only wait for them.
    pub(crate) fn is_polled(&self) -> bool {
        self.poll.is_some()
    }

    /// How long one answer to a question about streams may be.
    const MAX_STREAMS: usize = 256 * 1024;

    /// What receives the events of this stream; `None` if they are not pushed.
    pub(crate) fn receiver(self: &Arc<Self>, handle: SourceHandle) -> Option<EventReceiver> {
        self.door.as_ref()?;
        self.remember(&handle);
        Some(EventReceiver::new(Arc::clone(self), handle))
    }

    /// Reads a SET and verifies it. Nothing has happened yet.
    pub(super) async fn judge(&self, set: &str) -> Result<Judged, NotTaken> {
        let set = SecurityEventToken::read(set, &self.rules).map_err(NotTaken::Unproven)?;
        let known = self.transmitter.known().await;
        let known = known.map_err(|error| NotTaken::NotNow(error.to_string()))?;
        let clock = self.transmitter.clock();
        let came = clock.moment();
        let key = known.keys.find_or_fetch(set.kid(), set.algorithm(), &**clock).await;
        let key = key.map_err(|error| match error {
            KeySearchError::Choice(KeyChoiceError::Unknown)
                if !were_read(&known.keys, clock.moment().since(came)) =>
            {
                NotTaken::NotNow(format!("{error}, and its keys were not read again yet"))
            }
            KeySearchError::Choice(choice) => {
                NotTaken::Unproven(SetError::new(SetErrorCode::InvalidKey, choice.to_string()))
            }
            KeySearchError::NoKeys(_) => NotTaken::NotNow(error.to_string()),
        })?;
        let event = set.verify(&key, clock.now()).map_err(|error| match error.code() {
            SetErrorCode::InvalidKey => NotTaken::Unproven(error),
            _ => NotTaken::Refused(error),
        })?;
        let own = || match event.subject() {
            // SSF §8.1.4.1, §8.1.5.
            SubjectId::Opaque(stream_id) => Ok(stream_id.clone()),
            _ => Err(SetError::request("the subject of an event about a stream is not `opaque`")),
        };
        let meaning = match event.kind() {
            EventKind::Verification { state } => {
                Meaning::Verification { state: state.clone(), stream_id: own()? }
            }
            EventKind::StreamUpdated(status) => {
                Meaning::Updated { status: *status, stream_id: own()? }
            }
            _ => match self.effects.of(&event, &known.metadata.critical)? {
                Said::Records(records) => Meaning::Records(records),
                Said::Nothing => Meaning::Nothing,
                Said::Unusable(why) => Meaning::Unusable(why),
            },
        };
        Ok(Judged { jti: event.jti().into(), at: event.at(), meaning })
    }

    /// Does what a good SET says. It is stored when this ends well.
    pub(super) async fn take(&self, set: Judged, handle: &SourceHandle) -> Result<(), NotTaken> {
        match set.meaning {
            Meaning::Records(records) => {
                self.store(Batch::of(records).newest(set.at), handle).await
            }
            Meaning::Nothing => Ok(()),
            Meaning::Unusable(why) => {
                handle.discarded(why);
                Ok(())
            }
            Meaning::Verification { state, stream_id } => {
                self.verified(state.as_deref(), &stream_id, handle).await
            }
            Meaning::Updated { status, stream_id } => {
                self.updated(status, &stream_id, set.at, handle).await
            }
        }
    }

    pub(super) async fn store(&self, batch: Batch, handle: &SourceHandle) -> Result<(), NotTaken> {
        handle.apply(batch).await.map(|_| ()).map_err(|error| NotTaken::NotNow(error.to_string()))
    }

    /// SSF §8.1.4: one that nobody asked for has no state, and proves nothing.
    async fn verified(
        &self,
        state: Option<&str>,
        stream_id: &str,
        handle: &SourceHandle,
    ) -> Result<(), NotTaken> {
        let Some(state) = state else { return Ok(()) };
        match self.liveness.answered(state, stream_id, handle.clock().moment()) {
            Proof::Alive(asked) => self.store(Batch::default().synchronised(asked), handle).await,
            Proof::Nothing => Ok(()),
            Proof::Unknown => {
                let what = "`state` is not one that was asked with, of this stream";
                Err(SetError::new(SetErrorCode::InvalidState, what).into())
            }
        }
    }

    /// SSF §8.1.5. It is kept, so that a restart does not make a stream believed that is paused.
    async fn updated(
        &self,
        status: StreamStatus,
        stream_id: &str,
        at: Timestamp,
        handle: &SourceHandle,
    ) -> Result<(), NotTaken> {
        if self.stream_id.as_deref().is_some_and(|own| own != stream_id) {
            handle.discarded("a report of another stream about itself");
            return Ok(());
        }
        let _reporting = self.reporting.lock().await;
        self.liveness.reported(status, at, handle.clock().moment());
        let batch = Batch { state: self.liveness.kept(), ..Batch::default() };
        self.store(batch, handle).await?;
        match self.liveness.status() {
            StreamStatus::Enabled => {}
            status => handle.failed(format!("the transmitter says: {}", status.as_str())),
        }
        Ok(())
    }

    /// A delivery could not be taken. Strangers can be behind it: once a second is enough.
    pub(super) fn complain(&self, why: String, handle: &SourceHandle) {
        // Never zero, which is never.
        let now = handle.clock().steady().as_secs().saturating_add(1);
        if self.complained.swap(now, Ordering::Relaxed) != now {
            handle.failed(why);
        }
    }

    /// What was known of the stream before a restart.
    fn remember(&self, handle: &SourceHandle) {
        if let Some(kept) = handle.state() {
            self.liveness.restore(&kept, handle.clock().moment());
        }
    }

    /// The transmitter's entry for our stream (SSF §8.1.1.2).
    pub(super) async fn entry(
        &self,
        delivery: Delivery,
        credential: Option<&Arc<Credential>>,
    ) -> Result<StreamEntry, AskError> {
        let known = self.transmitter.known().await?;
        let endpoint = known.metadata.configuration_endpoint.as_deref();
        let nothing = "the transmitter's metadata has no `configuration_endpoint`";
        let url =
            streams_url(endpoint.ok_or(AskError::Nothing(nothing))?, self.stream_id.as_deref());
        let outbound = self.transmitter.outbound();
        let outbound = outbound.ok_or(AskError::Nothing("there is no transport"))?;
        let question = Question {
            url: &url,
            credential,
            body: None,
            wording: Wording::None,
            max_body: Self::MAX_STREAMS,
            timeout: TIMEOUT,
        };
        let document = outbound.document(question).await?;
        let (id, loopback) = (self.stream_id.as_deref(), outbound.loopback_http);
        choose(&document, &self.rules, id, delivery, loopback)
            .map_err(|what| AskError::answer(&url, what))
    }
}

/// Whether the transmitter was asked for its keys within this time, or never is: then a key that is not
/// among them is not its. A SET with a new key must not be refused because its key could not be asked
/// for: whoever hears "bad" sends it no more.
fn were_read(keys: &IssuerKeys, within: Duration) -> bool {
    let health = keys.health();
    health.state == KeyState::Fixed || health.age.is_some_and(|age| age <= within)
}

impl RevocationSource for Stream {
    fn run(&self, handle: SourceHandle) -> Running<'_> {
        Box::pin(async move {
            self.remember(&handle);
            // What comes first need not wait for it then.
            if let Err(error) = self.transmitter.known().await {
                handle.failed(error.to_string());
            }
            let poll = async {
                match &self.poll {
                    Some(poll) => poller::run(self, poll, &handle).await,
                    None => std::future::pending().await,
                }
            };
            let verify = async {
                match &self.verification {
                    Some(asked) => verifying::run(self, asked, &handle).await,
                    None => std::future::pending().await,
                }
            };
            tokio::join!(poll, verify);
        })
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("transmitter", self.transmitter.id())
            .field("liveness", &self.liveness)
            .finish_non_exhaustive()
    }
}
