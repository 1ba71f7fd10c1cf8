//! Asks for documents, and tells what they say.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::config::delta_url;
use super::document::{Form, Reading};
use super::get::{GetError, Getter, Got};
use super::known::{Disbelief, Known, Tag, Verdict, judge};
use super::signed::{SignedError, SignedWith};
use super::{FeedDocument, FeedError};
use crate::issuer::IssuerKeys;
use crate::revocation::rest::Rest;
use crate::revocation::source::{ApplyError, Batch, RevocationSource, Running, SourceHandle};
use crate::time::{Moment, Timestamp};
use crate::transport::{Content, ContentError};

/// A feed without faults.
pub(super) struct Poller {
    pub(super) url: Box<str>,
    pub(super) delta: Option<Box<str>>,
    pub(super) id: Option<Box<str>>,
    pub(super) every: Option<Duration>,
    pub(super) max_bytes: usize,
    pub(super) max_records: usize,
    pub(super) speaks_for: Box<[Box<str>]>,
    pub(super) getter: Getter,
    pub(super) publisher: Publisher,
}

/// Who is believed.
pub(super) enum Publisher {
    /// Who answers.
    Tls,
    /// Who signed.
    Issuer { id: Box<str>, keys: Arc<IssuerKeys> },
}

impl Drop for Publisher {
    fn drop(&mut self) {
        if let Self::Issuer { keys, .. } = self {
            keys.stop();
        }
    }
}

/// Why a question brought nothing. For operators; it holds no secret.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error("{0}")]
    Get(#[from] GetError),
    #[error("{url}: {error}")]
    Content { url: String, error: ContentError },
    #[error("{url}: {error}")]
    Document { url: String, error: FeedError },
    #[error("{url}: {error}")]
    Signed { url: String, error: SignedError },
    #[error("{url}: {error}")]
    Disbelief { url: String, error: Disbelief },
    #[error("{url}: nothing is there")]
    Nothing { url: String },
    #[error("{url}: a delta in place of the whole")]
    NotWhole { url: String },
    #[error("{0}")]
    Apply(#[from] ApplyError),
    #[error("the document was not read: the runtime is ending")]
    Ending,
}

/// What is remembered between questions.
#[derive(Default)]
struct Memory {
    known: Option<Known>,
    /// When the newest record that was told happened.
    newest: Option<Timestamp>,
}

/// What came of a delta.
enum Outcome {
    Done,
    /// The whole has to be fetched.
    NotEnough,
}

impl RevocationSource for Poller {
    fn run(&self, handle: SourceHandle) -> Running<'_> {
        Box::pin(self.poll(handle))
    }
}

impl Poller {
    async fn poll(&self, handle: SourceHandle) {
        let kept = handle.state();
        let restored =
            kept.and_then(|kept| Known::restore(&kept, self.id.as_deref(), &self.speaks_for));
        let mut memory = Memory { known: restored, newest: None };
        let mut rest = Rest::new();
        loop {
            let wait = match self.round(&handle, &mut memory).await {
                Ok(()) => {
                    rest.reset();
                    self.pace(handle.max_age())
                }
                Err(RoundError::Apply(ApplyError::Ended)) => return,
                Err(error) => {
                    // What could not be stored was told already.
                    if !matches!(error, RoundError::Apply(_)) {
                        handle.failed(error.to_string());
                    }
                    rest.next()
                }
            };
            handle.clock().sleep(wait).await;
        }
    }

    /// How long after a good answer it is asked again.
    fn pace(&self, max_age: Duration) -> Duration {
        let part = |parts| max_age.checked_div(parts).unwrap_or_default();
        self.every.map_or(part(3), |every| every.min(part(2)))
    }

    /// Asks for what changed, if that can be asked for, or for the whole.
    async fn round(&self, handle: &SourceHandle, memory: &mut Memory) -> Result<(), RoundError> {
        if let (Some(delta), Some(known)) = (&self.delta, &memory.known)
            && known.whole
        {
            let url = delta_url(delta, known.sequence);
            if let Outcome::Done = self.ask(&url, handle, memory).await? {
                return Ok(());
            }
        }
        match self.ask(&self.url, handle, memory).await? {
            Outcome::Done => Ok(()),
            Outcome::NotEnough => Err(RoundError::NotWhole { url: self.url.to_string() }),
        }
    }

    async fn ask(
        &self,
        url: &str,
        handle: &SourceHandle,
        memory: &mut Memory,
    ) -> Result<Outcome, RoundError> {
        let asked = handle.clock().moment();
        let known = memory.known.as_ref();
        let tag = known.and_then(|known| known.tag(url, asked.wall())).cloned();
        let (content, tag) = match self.getter.get(url, tag.as_ref(), &**handle.clock()).await? {
            Got::New { content, tag } => (content, tag),
            Got::Unchanged => {
                handle.synchronised(asked);
                return Ok(Outcome::Done);
            }
            Got::Nothing if *url == *self.url => {
                return Err(RoundError::Nothing { url: url.to_owned() });
            }
            Got::Nothing => return Ok(Outcome::NotEnough),
        };
        let document = self.read(url, content, handle).await?;
        let verdict = judge(&document, self.id.as_deref(), known, asked.wall())
            .map_err(|error| RoundError::Disbelief { url: url.to_owned(), error })?;
        match verdict {
            Verdict::Gap => return Ok(Outcome::NotEnough),
            Verdict::Known => {
                if let Some(known) = &mut memory.known {
                    known.expires_at = document.expires_at();
                    known.tag = tag.map(|value| Tag { url: url.into(), value });
                }
                handle.synchronised(asked);
            }
            Verdict::New => self.tell(url, document, tag, asked, handle, memory).await?,
        }
        Ok(Outcome::Done)
    }

    /// Stores and applies it, all or nothing. What is not taken, as one with a record whose time has not come,
    /// is asked for again as if it had never come: its number and its tag are not remembered.
    async fn tell(
        &self,
        url: &str,
        document: FeedDocument,
        tag: Option<HeaderValue>,
        asked: Moment,
        handle: &SourceHandle,
        memory: &mut Memory,
    ) -> Result<(), RoundError> {
        // A delta adds to what was kept, and takes no dependence on the configuration away.
        let before = memory.known.as_ref().filter(|_| document.since().is_some());
        let independent = before.is_none_or(|known| known.independent)
            && !document.depends_on_configuration(&self.speaks_for);
        let known = Known {
            feed: document.feed().into(),
            sequence: document.sequence(),
            expires_at: document.expires_at(),
            tag: tag.map(|value| Tag { url: url.into(), value }),
            whole: true,
            independent,
        };
        let newest = document.records().iter().map(|record| record.at()).max();
        let mut batch = Batch::default().state(known.keep(&self.speaks_for)).synchronised(asked);
        // How late something came can be told of what is new only: not of a first document.
        if let (Some(newest), Some(before)) = (newest, memory.newest)
            && newest > before
        {
            batch = batch.newest(newest);
        }
        batch.records = document.into_records();
        handle.apply(batch).await?;
        memory.newest = memory.newest.max(newest).or(Some(Timestamp::EPOCH));
        memory.known = Some(known);
        Ok(())
    }

    /// Reads a document on a thread that may block: it can have a million records.
    async fn read(
        &self,
        url: &str,
        content: Content,
        handle: &SourceHandle,
    ) -> Result<FeedDocument, RoundError> {
        let most = self.max_bytes;
        let bytes = blocking(move || content.decode(most))
            .await?
            .map_err(|error| RoundError::Content { url: url.to_owned(), error })?;
        let issuer = match &*self.speaks_for {
            [one] => Some(one.clone()),
            _ => None,
        };
        let most_records = self.max_records;
        match &self.publisher {
            Publisher::Tls => blocking(move || {
                let form = Form::Plain;
                FeedDocument::read(
                    &bytes,
                    Reading { issuer: issuer.as_deref(), most_records, form },
                )
            })
            .await?
            .map_err(|error| RoundError::Document { url: url.to_owned(), error }),
            Publisher::Issuer { id, keys } => {
                let wrong = |error| RoundError::Signed { url: url.to_owned(), error };
                let signed_with = SignedWith::read(&bytes).map_err(wrong)?;
                let key = signed_with.key(keys, &**handle.clock()).await.map_err(wrong)?;
                let id = id.clone();
                blocking(move || {
                    let form = Form::Signed;
                    let reading = Reading { issuer: issuer.as_deref(), most_records, form };
                    signed_with.verify(&bytes, &key, &id, reading)
                })
                .await?
                .map_err(wrong)
            }
        }
    }
}

async fn blocking<T: Send + 'static>(
    what: impl FnOnce() -> T + Send + 'static,
) -> Result<T, RoundError> {
    tokio::task::spawn_blocking(what).await.map_err(|_| RoundError::Ending)
}
