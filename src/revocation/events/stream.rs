//! A stream of events at run time: what becomes of a SET, however it came.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Semaphore;

use super::delivery::Pace;
use super::effects::Effects;
use super::error::{SetError, SetErrorCode};
use super::inbound::Door;
use super::judging::{Judged, Meaning, NotTaken};
use super::kind::StreamStatus;
use super::liveness::{Gap, Liveness, Proof};
use super::outbound::{AskError, Question, Wording};
use super::owed::Owed;
use super::receiver::EventReceiver;
use super::streams::{Delivery, StreamEntry, choose, streams_url};
use super::token::SetRules;
use super::transmitter::{TIMEOUT, Transmitter};
use super::{poller, verifying};
use crate::revocation::source::{Batch, RevocationSource, Running, SourceHandle};
use crate::secret::Credential;
use crate::time::{Moment, Timestamp};

/// One stream, without faults.
pub(crate) struct Stream {
    pub(super) rules: SetRules,
    pub(super) transmitter: Transmitter,
    pub(super) effects: Effects,
    pub(super) stream_id: Option<Box<str>>,
    pub(super) liveness: Liveness,
    pub(super) owed: Owed,
    /// One report of the stream about itself at a time: what is kept is what was said last.
    pub(super) reporting: tokio::sync::Mutex<()>,
    /// `None`: nothing is pushed.
    pub(super) door: Option<Door>,
    /// Places of deliveries whose body is read.
    pub(super) bodies: Semaphore,
    /// Places of deliveries that are judged.
    pub(super) deliveries: Semaphore,
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

    /// Does what a good SET says. It is stored when this ends well; when it does not, or is dropped, it
    /// is owed. A verification is not: it proves nothing but itself, and another one is asked for.
    pub(super) async fn take(&self, set: Judged, handle: &SourceHandle) -> Result<(), NotTaken> {
        if matches!(set.meaning, Meaning::Verification { .. }) {
            return self.only_take(set, handle).await;
        }
        let jti = set.jti.clone();
        let mut debt = Debt { owed: &self.owed, jti: Some(&jti) };
        let taken = self.only_take(set, handle).await;
        if !matches!(taken, Err(NotTaken::NotNow(_) | NotTaken::NotJudged(_))) {
            debt.jti = None;
            self.owed.ended(&jti);
        }
        taken
    }

    async fn only_take(&self, set: Judged, handle: &SourceHandle) -> Result<(), NotTaken> {
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

    async fn verified(
        &self,
        state: Option<&str>,
        stream_id: &str,
        handle: &SourceHandle,
    ) -> Result<(), NotTaken> {
        let now = handle.clock().moment();
        let Some(asked) = self.proof(state, stream_id, now)? else { return Ok(()) };
        match self.owed.what(now) {
            None => self.store(Batch::default().synchronised(asked), handle).await,
            Some(what) => {
                self.complain(format!("the stream is alive, but {what}"), handle);
                Ok(())
            }
        }
    }

    /// Since when a verification event shows that the stream is alive, if it does. SSF §8.1.4: one that
    /// nobody asked for has no state, and proves nothing.
    pub(super) fn proof(
        &self,
        state: Option<&str>,
        stream_id: &str,
        now: Moment,
    ) -> Result<Option<Moment>, NotTaken> {
        let Some(state) = state else { return Ok(None) };
        match self.liveness.answered(state, stream_id, now) {
            Proof::Alive(asked) => Ok(Some(asked)),
            Proof::Nothing => Ok(None),
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
        let gap = self.liveness.reported(status, at, handle.clock().moment());
        let batch = Batch { state: self.liveness.kept(), ..Batch::default() };
        self.store(batch, handle).await?;
        match self.liveness.status() {
            StreamStatus::Enabled if gap == Gap::Lost => handle.failed(
                "what happened while the stream was disabled is never told: revoke what may have \
                 been missed, such as everything of the issuers that it speaks for",
            ),
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

/// A SET that is being taken. It is owed if that does not end well.
struct Debt<'a> {
    owed: &'a Owed,
    jti: Option<&'a str>,
}

impl Drop for Debt<'_> {
    fn drop(&mut self) {
        if let Some(jti) = self.jti {
            self.owed.not_taken(jti);
        }
    }
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
