//! Where the records of one source come in, and what keeps a source running.

use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::watch;

use super::Record;
use super::freshness::{LastSync, OnStale, SourceHealth, SourceState};
use super::rest::Rest;
use super::source::{Applied, ApplyError, Batch, RevocationSource, Running, SourceHandle};
use super::store::{Store, Teller};
use crate::observe::{Observers, SourceEvent, SourceEventKind};
use crate::time::{Clock, LEEWAY_MOST, Moment, Timestamp};
use crate::transport::Transport;

/// Where the records of one source come in.
pub(crate) struct Inlet {
    pub(super) name: Arc<str>,
    pub(super) teller: Teller,
    pub(super) max_age: Duration,
    pub(super) on_stale: OnStale,
    pub(super) store: Arc<Store>,
    pub(super) last: LastSync,
    /// One more with each outcome, good or bad.
    pub(super) outcomes: watch::Sender<u64>,
    pub(super) tally: Mutex<Tally>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) transport: Option<Arc<dyn Transport>>,
    pub(super) observers: OnceLock<Arc<Observers>>,
}

#[derive(Default)]
pub(super) struct Tally {
    pub(super) applied: u64,
    pub(super) foreign: u64,
    pub(super) unusable: u64,
    pub(super) discarded: u64,
    pub(super) failures: u64,
    pub(super) last_error: Option<String>,
    pub(super) lag: Option<Duration>,
    pub(super) state: Option<Arc<[u8]>>,
}

impl Inlet {
    pub(super) async fn apply(&self, mut batch: Batch) -> Result<Applied, ApplyError> {
        // Once for both: what is not early here is not dropped for it below.
        let now = self.clock.now();
        if let Some(at) = self.first_early(&batch.records, now) {
            // Without it the batch would not be whole, and nobody says it again whose source believes that
            // it was taken.
            let error = ApplyError::Early { at, now };
            self.failed(error.to_string().into());
            return Err(error);
        }
        let counts = self.sift_at(&mut batch.records, now);
        self.store_sifted(batch, counts).await
    }

    /// Leaves the records that have an effect, in the words in which they are kept: at one time, however
    /// many there are. What is early has none.
    pub(super) fn sift(&self, records: &mut Vec<Record>) -> Applied {
        self.sift_at(records, self.clock.now())
    }

    fn sift_at(&self, records: &mut Vec<Record>, now: Timestamp) -> Applied {
        let life = self.store.longest_life();
        let mut counts = Applied::default();
        records.retain_mut(|record| {
            let (count, stays) = if !self.speaks_for(&record.issuer) {
                (&mut counts.foreign, false)
            } else if is_early(record, now) || !self.can_apply(record) {
                (&mut counts.unusable, false)
            } else {
                // Of one token there is nothing to say but that it is refused, or that it is not.
                let stays = !record.says_nothing(now, life);
                record.simplify(now, life);
                (&mut counts.applied, stays)
            };
            *count = count.saturating_add(1);
            stays
        });
        counts
    }

    /// Stores and applies what was [sifted](Self::sift).
    pub(super) async fn store_sifted(
        &self,
        batch: Batch,
        counts: Applied,
    ) -> Result<Applied, ApplyError> {
        let (synchronised, newest) = (batch.synchronised, batch.newest);
        let state: Option<Arc<[u8]>> = batch.state.as_deref().map(Into::into);
        if let Err(error) = self.store.commit(&self.teller, batch).await {
            self.failed(error.to_string().into());
            return Err(error);
        }
        let lag = newest.map(|at| self.clock.now().since(at).unwrap_or_default());
        {
            let mut tally = self.tally();
            let add = |to: &mut u64, count: usize| {
                *to = to.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
            };
            add(&mut tally.applied, counts.applied);
            add(&mut tally.foreign, counts.foreign);
            add(&mut tally.unusable, counts.unusable);
            tally.lag = lag.or(tally.lag);
            tally.state = state.or(tally.state.take());
        }
        if counts.applied > 0 {
            let records = counts.applied;
            self.tell(SourceEventKind::Applied { records, lag });
        }
        let ignored = counts.foreign.saturating_add(counts.unusable);
        if ignored > 0 {
            self.tell(SourceEventKind::Ignored { records: ignored });
        }
        if let Some(asked) = synchronised {
            self.synchronised(asked);
        }
        Ok(counts)
    }

    pub(super) fn synchronised(&self, asked: Moment) {
        self.last.set(asked);
        self.tally().last_error = None;
        self.outcomes.send_modify(|count| *count = count.saturating_add(1));
        self.tell(SourceEventKind::Synchronised);
    }

    pub(super) fn failed(&self, error: Cow<'static, str>) {
        const LONGEST: usize = 500;
        let error: String = error.chars().take(LONGEST).collect();
        tracing::warn!(source = &*self.name, "revocation: {error}");
        {
            let mut tally = self.tally();
            tally.failures = tally.failures.saturating_add(1);
            tally.last_error = Some(error.clone());
        }
        self.outcomes.send_modify(|count| *count = count.saturating_add(1));
        self.tell(SourceEventKind::Failed { error: &error });
    }

    pub(super) fn discarded(&self, why: Cow<'static, str>) {
        tracing::info!(source = &*self.name, "revocation: discarded: {why}");
        {
            let mut tally = self.tally();
            tally.discarded = tally.discarded.saturating_add(1);
        }
        self.tell(SourceEventKind::Discarded { why: &why });
    }

    pub(super) fn state(&self) -> Option<Arc<[u8]>> {
        self.tally().state.clone()
    }

    pub(super) fn max_age(&self) -> Duration {
        self.max_age
    }

    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    pub(super) fn transport(&self) -> Option<&Arc<dyn Transport>> {
        self.transport.as_ref()
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// When the first record happens that will have an effect once its time has come.
    fn first_early(&self, records: &[Record], now: Timestamp) -> Option<Timestamp> {
        let counts = |record: &&Record| {
            is_early(record, now) && self.speaks_for(&record.issuer) && self.can_apply(record)
        };
        records.iter().find(counts).map(Record::at)
    }

    /// Whether a record could have an effect at all.
    fn can_apply(&self, record: &Record) -> bool {
        record.is_sane() && self.store.index().can_match(record)
    }

    fn speaks_for(&self, issuer: &str) -> bool {
        let Some(issuers) = &self.teller.issuers else { return true };
        issuers.iter().any(|known| &**known == issuer)
    }

    /// When a client may come again that was refused because of this source.
    pub(super) fn next_attempt(&self) -> Duration {
        const SOON: Duration = Duration::from_secs(5);
        self.max_age.checked_div(3).unwrap_or(SOON).clamp(Duration::from_secs(1), SOON)
    }

    pub(super) fn health(&self, now: Moment) -> SourceHealth {
        let age = self.last.age(now);
        let local = self.teller.issuers.is_none();
        let state = match age {
            _ if local => SourceState::Local,
            None if self.on_stale == OnStale::InsecureUnbounded => SourceState::Unbounded,
            None => SourceState::NeverSynchronised,
            Some(age) if age <= self.max_age => SourceState::Fresh,
            Some(_) => SourceState::Stale,
        };
        let tally = self.tally();
        SourceHealth {
            name: (&*self.name).into(),
            state,
            age: age.filter(|_| !local),
            max_age: (!local).then_some(self.max_age),
            applied: tally.applied,
            foreign: tally.foreign,
            unusable: tally.unusable,
            discarded: tally.discarded,
            failures: tally.failures,
            last_error: tally.last_error.clone(),
            lag: tally.lag,
        }
    }

    fn tell(&self, kind: SourceEventKind<'_>) {
        let Some(observers) = self.observers.get() else { return };
        let now = self.clock.moment();
        let event = SourceEvent {
            source: &self.name,
            kind,
            age: self.last.age(now),
            records: Some(self.store.index().len()),
            at: now.wall(),
        };
        observers.tell_source(&event);
    }

    pub(super) fn tally(&self) -> MutexGuard<'_, Tally> {
        // Each of its members is replaced whole.
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether its time is further ahead than clocks differ.
fn is_early(record: &Record, now: Timestamp) -> bool {
    record.at() > now.plus(LEEWAY_MOST)
}

/// Runs a source for ever: again after it ended, a little later each time.
pub(super) async fn keep_running(source: Arc<dyn RevocationSource>, inlet: Arc<Inlet>) {
    let mut rest = Rest::new();
    loop {
        let began = inlet.clock.steady();
        let handle = SourceHandle { inlet: Arc::clone(&inlet) };
        let mut running: Option<Running<'_>> = None;
        let ended = std::future::poll_fn(|context| {
            // Its first step can panic as well as every later one.
            let poll = AssertUnwindSafe(|| {
                let running = running.get_or_insert_with(|| source.run(handle.clone()));
                running.as_mut().poll(context)
            });
            match std::panic::catch_unwind(poll) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(())) => Poll::Ready("it ended"),
                Err(_) => Poll::Ready("it panicked"),
            }
        });
        let how = ended.await;
        drop(running);
        inlet.failed(format!("{how}, and is started again").into());
        if inlet.clock.steady().saturating_sub(began) > Rest::LAST {
            rest.reset();
        }
        inlet.clock.sleep(rest.next()).await;
    }
}
