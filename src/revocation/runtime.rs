//! The sources, the index and the status lists of one server, while it runs.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::events::{EventReceiver, Stream};
use super::freshness::{OnStale, SourceHealth, SourceState};
use super::index::Age;
use super::inlet::{Inlet, keep_running};
use super::source::{RevocationSource, SourceHandle};
use super::status_list::{Lists, StatusListHealth};
use super::store::Store;
use crate::name::IssuerId;
use crate::time::Clock;

/// Sources, index and lists of one server. Its drop ends their tasks.
pub(crate) struct Runtime {
    pub(super) store: Arc<Store>,
    /// The first one is this process itself.
    pub(super) sources: Vec<RunningSource>,
    /// By token issuer: the places of the sources that speak for it.
    pub(super) speaking: HashMap<Box<str>, Box<[usize]>>,
    pub(super) lists: Option<Arc<Lists>>,
    pub(super) clock: Arc<dyn Clock>,
    /// The configured issuers; `None`: more become known at run time.
    pub(super) issuers: Option<Box<[Box<str>]>>,
    /// Whether sources run, in a tokio runtime that lives.
    pub(super) started: Arc<AtomicBool>,
    pub(super) tasks: Mutex<Vec<AbortHandle>>,
    pub(super) report: serde_json::Value,
}

/// One source, at run time.
pub(super) struct RunningSource {
    pub(super) inlet: Arc<Inlet>,
    /// `None`: this process.
    pub(super) source: Option<Arc<dyn RevocationSource>>,
    pub(super) stream: Option<Arc<Stream>>,
}

impl RunningSource {
    /// Whether it can say something before this server serves: what is pushed has nowhere to go yet.
    fn can_be_asked(&self) -> bool {
        self.source.is_some() && self.stream.as_ref().is_none_or(|stream| stream.is_polled())
    }
}

impl Runtime {
    /// How long a warm-up waits for sources.
    const WARM_UP: Duration = Duration::from_secs(5);
    const HOUSEKEEPING: Duration = Duration::from_secs(30);

    /// Whether tokens of this issuer can be accepted at all, as far as that is known.
    pub(super) fn knows_issuer(&self, issuer: &str) -> bool {
        let Some(issuers) = &self.issuers else { return true };
        issuers.iter().any(|known| **known == *issuer)
    }

    /// Starts the sources, once, if there is a tokio runtime to start them in; again, in another one,
    /// when that has ended.
    pub(crate) fn start(self: &Arc<Self>) {
        if self.started.load(Ordering::Acquire) {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        if self.started.swap(true, Ordering::AcqRel) {
            return;
        }
        if self.store.journal().is_none() && self.sources.len() > 1 {
            tracing::warn!(
                "revocation: no journal: nothing is known of what was revoked before, until each \
                 source has been synchronised"
            );
        }
        let mut tasks = Vec::new();
        for RunningSource { inlet, source, .. } in &self.sources {
            if let Some(source) = source {
                let task = keep_running(Arc::clone(source), Arc::clone(inlet));
                tasks.push(runtime.spawn(task).abort_handle());
            }
        }
        if let Some(lists) = &self.lists {
            lists.start();
        }
        let (store, clock) = (Arc::downgrade(&self.store), Arc::clone(&self.clock));
        let alive = Alive(Arc::clone(&self.started));
        let house = async move {
            let _alive = alive;
            keep_house(store, clock).await;
        };
        tasks.push(runtime.spawn(house).abort_handle());
        let before = std::mem::replace(&mut *self.tasks(), tasks);
        // Of a tokio runtime that ended.
        before.into_iter().for_each(|task| task.abort());
    }

    /// Starts the sources and waits until each was synchronised or failed, for a while. Gives the
    /// names of those of which nothing is known, with what went wrong.
    pub(crate) async fn warm_up(self: &Arc<Self>) -> Vec<(String, String)> {
        self.start();
        let mut waits: Vec<Pin<Box<dyn Future<Output = ()> + Send + '_>>> = Vec::new();
        let asked = || self.sources.iter().filter(|source| source.can_be_asked());
        for RunningSource { inlet, .. } in asked() {
            if inlet.on_stale != OnStale::InsecureUnbounded {
                let mut outcomes = inlet.outcomes.subscribe();
                waits.push(Box::pin(async move {
                    let done = |count: &u64| *count > 0;
                    let _ = outcomes.wait_for(done).await;
                }));
            }
        }
        let all = std::future::poll_fn(move |context| {
            waits.retain_mut(|wait| wait.as_mut().poll(context).is_pending());
            if waits.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        });
        tokio::select! {
            () = all => {}
            () = self.clock.sleep(Self::WARM_UP) => {}
        }
        let now = self.clock.moment();
        asked()
            .map(|source| source.inlet.health(now))
            .filter(|health| health.state == SourceState::NeverSynchronised)
            .map(|health| {
                let error = health.last_error.unwrap_or_else(|| "no answer yet".to_owned());
                (health.name.into(), error)
            })
            .collect()
    }

    /// The sources, this process among them, in the order of the configuration.
    pub(crate) fn health(&self) -> Vec<SourceHealth> {
        let now = self.clock.moment();
        self.sources.iter().map(|source| source.inlet.health(now)).collect()
    }

    /// The status lists that are held.
    pub(crate) fn list_health(&self) -> Vec<StatusListHealth> {
        self.lists.as_ref().map(|lists| lists.health()).unwrap_or_default()
    }

    pub(crate) fn records(&self) -> usize {
        self.store.index().len()
    }

    /// Where this process's own records come in.
    pub(super) fn local(&self) -> Option<&Arc<Inlet>> {
        self.sources.first().map(|source| &source.inlet)
    }

    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// What receives the events of this source, if it is an event stream that is pushed.
    pub(crate) fn receiver(&self, name: &str) -> Option<EventReceiver> {
        let source = self.sources.iter().find(|source| &*source.inlet.name == name)?;
        let handle = SourceHandle { inlet: Arc::clone(&source.inlet) };
        source.stream.as_ref()?.receiver(handle)
    }

    /// The claims that the index wants of a token beside those that it always has.
    pub(crate) fn named_claims(&self) -> &[Box<str>] {
        self.store.index().named()
    }

    /// Whether anybody but this process says what is revoked.
    pub(crate) fn has_source(&self) -> bool {
        self.lists.is_some() || self.sources.len() > 1
    }

    /// Whether it looks at the claim `status` of tokens of this issuer.
    pub(crate) fn reads_status(&self, issuer: &IssuerId) -> bool {
        self.lists.as_ref().is_some_and(|lists| lists.covers(issuer))
    }

    /// What is configured, in the words of a configuration file.
    pub(crate) fn report(&self) -> &serde_json::Value {
        &self.report
    }

    fn tasks(&self) -> MutexGuard<'_, Vec<AbortHandle>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.tasks().drain(..).for_each(|task| task.abort());
        if let Some(lists) = &self.lists {
            lists.stop();
        }
        self.store.stop();
    }
}

/// Says when it is dropped that nothing runs any more.
struct Alive(Arc<AtomicBool>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Drops what can matter no more, now and then.
async fn keep_house(store: Weak<Store>, clock: Arc<dyn Clock>) {
    let mut age = Age::starting(clock.moment());
    loop {
        clock.sleep(Runtime::HOUSEKEEPING).await;
        let Some(store) = store.upgrade() else { return };
        let now = age.at(clock.moment(), store.room());
        store.purge(now).await;
        // Nothing is held while it sleeps.
    }
}
