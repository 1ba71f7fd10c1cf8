//! What a configuration of revocation becomes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::config::{Issuers, Kind, Revocation};
use super::events::{EventReceiver, Stream, StreamSetting};
use super::freshness::{Demand, LastSync, OnStale, SourceHealth, SourceState};
use super::index::{Age, Finding, Index};
use super::journal::{Journal, JournalError};
use super::source::{Applied, ApplyError, Batch, RevocationSource, SourceHandle};
use super::status_list::{CheckedLists, ListObjection, ListSlot, Lists, StatusListHealth};
use super::store::Store;
use super::{LOCAL, Record};
use crate::access::Facts;
use crate::error::{ConfigFault, Faults, Refusal, RejectionKind, StepUp};
use crate::issuer::Registry;
use crate::name::IssuerId;
use crate::observe::{Observers, SourceEvent, SourceEventKind};
use crate::time::{Clock, Moment};
use crate::transport::Transport;

/// Sources, index and lists of one server. Its drop ends their tasks.
pub(crate) struct Runtime {
    store: Arc<Store>,
    /// The first one is this process itself.
    sources: Vec<Running>,
    /// By token issuer: the places of the sources that speak for it.
    speaking: HashMap<Box<str>, Box<[usize]>>,
    lists: Option<Arc<Lists>>,
    clock: Arc<dyn Clock>,
    started: AtomicBool,
    tasks: Mutex<Vec<AbortHandle>>,
    report: serde_json::Value,
}

/// One source, at run time.
struct Running {
    inlet: Arc<Inlet>,
    /// `None`: this process.
    source: Option<Arc<dyn RevocationSource>>,
    stream: Option<Arc<Stream>>,
}

impl Running {
    /// Whether it can say something before this server serves: what is pushed has nowhere to go yet.
    fn can_be_asked(&self) -> bool {
        self.source.is_some() && self.stream.as_ref().is_none_or(|stream| stream.is_polled())
    }
}

/// Where the records of one source come in.
pub(crate) struct Inlet {
    name: Arc<str>,
    /// `None`: all.
    speaks_for: Option<Box<[Box<str>]>>,
    max_age: Duration,
    on_stale: OnStale,
    store: Arc<Store>,
    last: LastSync,
    /// One more with each outcome, good or bad.
    outcomes: watch::Sender<u64>,
    tally: Mutex<Tally>,
    clock: Arc<dyn Clock>,
    transport: Option<Arc<dyn Transport>>,
    observers: OnceLock<Arc<Observers>>,
}

#[derive(Default)]
struct Tally {
    applied: u64,
    foreign: u64,
    unusable: u64,
    discarded: u64,
    failures: u64,
    last_error: Option<String>,
    lag: Option<Duration>,
    state: Option<Arc<[u8]>>,
}

/// What it is made for.
pub(crate) struct Setting<'a> {
    pub(crate) issuers: Issuers<'a>,
    /// The longest that a token may live, by any class.
    pub(crate) longest_life: Duration,
    pub(crate) leeway: Duration,
    pub(crate) transport: Option<&'a Arc<dyn Transport>>,
    pub(crate) clock: &'a Arc<dyn Clock>,
}

/// What speaks against a token.
pub(crate) enum Objection {
    Refused(Refusal),
    /// The list is not there yet. Unless something can be done about it, this is the refusal.
    NoList {
        list: Arc<ListSlot>,
        refusal: Refusal,
    },
}

/// A configuration without faults, that has no issuers' keys yet.
pub(crate) struct Prepared {
    runtime: Runtime,
    lists: Option<CheckedLists>,
    transport: Option<Arc<dyn Transport>>,
}

impl Revocation {
    /// The checked form; every fault is reported. It reads the journal, if there is one.
    pub(crate) fn prepare(&self, setting: &Setting<'_>, faults: &mut Faults) -> Option<Prepared> {
        let before = faults.len();
        self.check(&setting.issuers, faults);
        let lists = self.own_lists().and_then(|lists| {
            faults.at("status_lists", |faults| lists.check(setting.issuers.configured, faults))
        });
        let life = setting.longest_life.saturating_add(setting.leeway.saturating_mul(2));
        let index = Index::new(self.named_claims().into(), life);
        let store = Store::new(index, self.journal.clone(), self.most(), self.when_full, setting);
        let store = Arc::new(store);
        let inlet = |name: &str, speaks_for: Option<&[String]>, max_age, on_stale| {
            Arc::new(Inlet {
                name: name.into(),
                speaks_for: speaks_for
                    .map(|issuers| issuers.iter().map(|name| name.as_str().into()).collect()),
                max_age,
                on_stale,
                store: Arc::clone(&store),
                last: LastSync::never(),
                outcomes: watch::Sender::new(0),
                tally: Mutex::default(),
                clock: Arc::clone(setting.clock),
                transport: setting.transport.cloned(),
                observers: OnceLock::new(),
            })
        };
        let local = inlet(LOCAL, None, Duration::MAX, OnStale::InsecureUnbounded);
        let mut sources = vec![Running { inlet: local, source: None, stream: None }];
        for (index, source) in self.sources.iter().enumerate() {
            faults.at_element("sources", index, |faults| {
                let (transport, clock) = (setting.transport, setting.clock);
                let on_stale = source.on_stale.unwrap_or(self.on_stale);
                let (run, stream): (Option<Arc<dyn RevocationSource>>, _) = match &source.kind {
                    Kind::Own(own) => (Some(Arc::clone(own)), None),
                    Kind::Feed(feed) => {
                        let (name, issuers) = (&source.name, &source.speaks_for);
                        (feed.check(name, issuers, transport, clock, faults), None)
                    }
                    Kind::Events(stream) => {
                        let covered = self.is_covered_beside(index);
                        let setting = StreamSetting {
                            name: &source.name,
                            speaks_for: &source.speaks_for,
                            on_stale,
                            covered,
                            transport,
                            clock,
                        };
                        let stream = stream.check(&setting, faults);
                        let run = stream.clone().map(|stream| {
                            let run: Arc<dyn RevocationSource> = stream;
                            run
                        });
                        (run, stream)
                    }
                };
                let inlet =
                    inlet(&source.name, Some(&source.speaks_for), source.most_age(), on_stale);
                sources.push(Running { inlet, source: run, stream });
            });
        }
        if faults.len() > before {
            return None;
        }
        if let Some(journal) = &self.journal {
            let kept = restore(journal, &store, &sources, setting);
            if let Err(fault) = kept {
                faults.push_at("journal", fault);
                return None;
            }
        }
        let mut speaking: HashMap<Box<str>, Vec<usize>> = HashMap::new();
        for (place, source) in sources.iter().enumerate() {
            for issuer in source.inlet.speaks_for.iter().flatten() {
                speaking.entry(issuer.clone()).or_default().push(place);
            }
        }
        let speaking =
            speaking.into_iter().map(|(issuer, places)| (issuer, places.into())).collect();
        let runtime = Runtime {
            store,
            sources,
            speaking,
            lists: None,
            clock: Arc::clone(setting.clock),
            started: AtomicBool::new(false),
            tasks: Mutex::default(),
            report: self.report(),
        };
        Some(Prepared { runtime, lists, transport: setting.transport.cloned() })
    }

    /// Whether other sources say, within a bound, what this one would say of its issuers.
    fn is_covered_beside(&self, index: usize) -> bool {
        let Some(source) = self.sources.get(index) else { return false };
        let asked = |other: &&super::Source| match &other.kind {
            Kind::Events(stream) => stream.is_asked(),
            Kind::Feed(_) | Kind::Own(_) => true,
        };
        let others: Vec<_> = self
            .sources
            .iter()
            .enumerate()
            .filter(|(place, _)| *place != index)
            .map(|(_, other)| other)
            .filter(asked)
            .collect();
        source
            .speaks_for
            .iter()
            .all(|issuer| others.iter().any(|other| other.speaks_for.contains(issuer)))
    }
}

/// Brings back what was kept.
fn restore(
    journal: &Journal,
    store: &Store,
    sources: &[Running],
    setting: &Setting<'_>,
) -> Result<(), ConfigFault> {
    let unreadable = |error: JournalError| ConfigFault::Revocation(format!("journal: {error}"));
    let (life, now) = (setting.longest_life, setting.clock.moment());
    match journal.longest_life().map_err(unreadable)? {
        Some(kept) if kept < life => {
            let what = format!(
                "journal: it kept cut-offs for tokens that live {kept:?} at most, and now a token \
                 class allows {life:?}: a longer-lived token of before could pass a cut-off that is \
                 gone. Keep the classes as they were until the last token of before has expired, or \
                 start with a new journal and let every source say all that it knows"
            );
            return Err(ConfigFault::Revocation(what));
        }
        Some(kept) if kept == life => {}
        // A shorter one lets records go earlier; the longer one comes back never.
        _ => journal.set_longest_life(life).map_err(unreadable)?,
    }
    store.restore(journal).map_err(unreadable)?;
    for Running { inlet, .. } in sources {
        let kept = journal.source(&inlet.name).map_err(unreadable)?;
        if let Some(then) = kept.synchronised {
            inlet.last.restore(then, now);
        }
        inlet.tally().state = kept.state;
    }
    Ok(())
}

impl Prepared {
    /// Ready to be asked.
    pub(crate) fn with(self, registry: &Arc<Registry>, observers: &Arc<Observers>) -> Runtime {
        let Self { mut runtime, lists, transport } = self;
        for source in &runtime.sources {
            let _ = source.inlet.observers.set(Arc::clone(observers));
        }
        if let (Some(lists), Some(transport)) = (lists, transport) {
            let version = Arc::clone(runtime.store.index().version());
            let (registry, clock) = (Arc::downgrade(registry), Arc::clone(&runtime.clock));
            runtime.lists = Some(Lists::new(lists, registry, transport, clock, version));
        }
        runtime
    }
}

impl Runtime {
    /// How long a warm-up waits for sources.
    const WARM_UP: Duration = Duration::from_secs(5);
    const HOUSEKEEPING: Duration = Duration::from_secs(30);

    /// Step 8: whether anything speaks against this token. It waits for nothing.
    pub(crate) fn decide(
        &self,
        facts: &Facts,
        demand: Demand,
        at: Moment,
    ) -> Result<(), Objection> {
        match self.store.index().ask(facts, at.wall()) {
            Finding::Clear => {}
            finding => return Err(Objection::Refused(self.refusal(finding, at))),
        }
        self.ask_lists(facts, demand, at)?;
        let places =
            self.speaking.get(facts.issuer.as_str()).map(AsRef::as_ref).unwrap_or_default();
        let asked = self.lists.is_some() && facts.status.is_some();
        if places.is_empty() && !asked && demand.freshness.is_some() {
            let detail = "no revocation source speaks for the token's issuer, and fresh knowledge is \
                          wanted";
            let refusal = Refusal::new(RejectionKind::RevocationUnavailable, detail);
            return Err(Objection::Refused(refusal));
        }
        for source in places.iter().filter_map(|place| self.sources.get(*place)) {
            self.check_age(&source.inlet, demand, at).map_err(Objection::Refused)?;
        }
        Ok(())
    }

    fn ask_lists(&self, facts: &Facts, demand: Demand, at: Moment) -> Result<(), Objection> {
        let Some(lists) = &self.lists else { return Ok(()) };
        lists.decide(&facts.issuer, facts.status.as_ref(), demand, at).map_err(|objection| {
            match objection {
                ListObjection::Refused(refusal) | ListObjection::StepUp(refusal) => {
                    Objection::Refused(refusal)
                }
                ListObjection::Missing { list, refusal } => Objection::NoList { list, refusal },
            }
        })
    }

    fn check_age(&self, inlet: &Inlet, demand: Demand, at: Moment) -> Result<(), Refusal> {
        let Some(most) = demand.most(inlet.on_stale, inlet.max_age) else { return Ok(()) };
        let age = inlet.last.age(at);
        if age.is_some_and(|age| age <= most) {
            return Ok(());
        }
        let name = &inlet.name;
        let detail = match age {
            None => format!("revocation source `{name}` was never synchronised"),
            Some(age) => format!(
                "revocation source `{name}` was synchronised {age:?} ago, at most {most:?} is accepted"
            ),
        };
        let mut refusal = Refusal::new(RejectionKind::RevocationUnavailable, detail);
        refusal.retry_after = inlet.next_attempt();
        Err(refusal)
    }

    fn refusal(&self, finding: Finding, at: Moment) -> Refusal {
        let (kind, detail) = match finding {
            Finding::Clear | Finding::Token => {
                (RejectionKind::Revoked, "the token was revoked, by its `jti`".to_owned())
            }
            Finding::IssuedBefore(subject, cut_off) => {
                let who = self.store.index().shown(subject);
                let detail = format!("what was issued up to {cut_off} was revoked, by its {who}");
                (RejectionKind::Revoked, detail)
            }
            Finding::Held(subject, hold) => {
                let who = self.store.index().shown(subject);
                let why = hold.map_or("for ever".to_owned(), |hold| {
                    format!("while its {} is on hold", hold.as_str())
                });
                let kind =
                    if hold.is_some() { RejectionKind::Suspended } else { RejectionKind::Revoked };
                (kind, format!("it is revoked {why}, by its {who}"))
            }
            Finding::StepUp(subject, since) => {
                let who = self.store.index().shown(subject);
                let detail = format!(
                    "the user has to authenticate again, after {since}: so says a record about its {who}"
                );
                let mut refusal = Refusal::new(RejectionKind::StepUpDemanded, detail);
                // Whole seconds, rounded down: an authentication at that very time is too old.
                let passed = at.wall().since(since).unwrap_or_default().as_secs();
                refusal.step_up =
                    Some(Box::new(StepUp::new().max_age(Duration::from_secs(passed))));
                return refusal;
            }
        };
        Refusal::new(kind, detail)
    }

    /// Starts the sources, once, if there is a runtime to start them in.
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
        for Running { inlet, source, .. } in &self.sources {
            if let Some(source) = source {
                let task = keep_running(Arc::clone(source), Arc::clone(inlet));
                tasks.push(runtime.spawn(task).abort_handle());
            }
        }
        if let Some(lists) = &self.lists {
            lists.start();
        }
        let (store, clock) = (Arc::downgrade(&self.store), Arc::clone(&self.clock));
        tasks.push(runtime.spawn(keep_house(store, clock)).abort_handle());
        self.tasks().extend(tasks);
    }

    /// Starts the sources and waits until each was synchronised or failed, for a while. Gives the
    /// names of those of which nothing is known, with what went wrong.
    pub(crate) async fn warm_up(self: &Arc<Self>) -> Vec<(String, String)> {
        self.start();
        let mut waits: Vec<Pin<Box<dyn Future<Output = ()> + Send + '_>>> = Vec::new();
        let asked = || self.sources.iter().filter(|source| source.can_be_asked());
        for Running { inlet, .. } in asked() {
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

/// Runs a source for ever: again after it ended, a little later each time.
async fn keep_running(source: Arc<dyn RevocationSource>, inlet: Arc<Inlet>) {
    const FIRST: Duration = Duration::from_secs(1);
    const LAST: Duration = Duration::from_mins(1);
    let mut rest = FIRST;
    loop {
        let began = inlet.clock.steady();
        let handle = SourceHandle { inlet: Arc::clone(&inlet) };
        let mut running = source.run(handle);
        let ended = std::future::poll_fn(|context| {
            let poll = AssertUnwindSafe(|| running.as_mut().poll(context));
            match std::panic::catch_unwind(poll) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(())) => Poll::Ready("it ended"),
                Err(_) => Poll::Ready("it panicked"),
            }
        });
        let how = ended.await;
        drop(running);
        inlet.failed(format!("{how}, and is started again").into());
        if inlet.clock.steady().saturating_sub(began) > LAST {
            rest = FIRST;
        }
        inlet.clock.sleep(rest).await;
        rest = rest.saturating_mul(2).min(LAST);
    }
}

/// Drops what can matter no more, now and then.
async fn keep_house(store: Weak<Store>, clock: Arc<dyn Clock>) {
    let mut age = Age::starting(clock.moment());
    loop {
        clock.sleep(Runtime::HOUSEKEEPING).await;
        let Some(store) = store.upgrade() else { return };
        let now = age.at(clock.moment());
        store.purge(now).await;
        // Nothing is held while it sleeps.
    }
}

impl Inlet {
    pub(super) async fn apply(&self, batch: Batch) -> Result<Applied, ApplyError> {
        let mut batch = batch;
        let mut counts = Applied::default();
        batch.records.retain(|record| {
            if !self.speaks_for(&record.issuer) {
                counts.foreign = counts.foreign.saturating_add(1);
                return false;
            }
            let usable = self.can_apply(record);
            if !usable {
                counts.unusable = counts.unusable.saturating_add(1);
            }
            usable
        });
        counts.applied = batch.records.len();
        // Of one token there is nothing to say but that it is refused, or that it is not.
        batch.records.retain(|record| !record.says_nothing());
        let now = self.clock.now();
        let life = self.store.longest_life();
        batch.records.iter_mut().for_each(|record| record.simplify(now, life));
        let (synchronised, newest) = (batch.synchronised, batch.newest);
        let state: Option<Arc<[u8]>> = batch.state.as_deref().map(Into::into);
        if let Err(error) = self.store.commit(&self.name, batch).await {
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

    /// Whether a record could have an effect at all.
    pub(super) fn can_apply(&self, record: &Record) -> bool {
        record.is_sane() && self.store.index().can_match(record)
    }

    fn speaks_for(&self, issuer: &str) -> bool {
        let Some(issuers) = &self.speaks_for else { return true };
        issuers.iter().any(|known| &**known == issuer)
    }

    /// When a client may come again that was refused because of this source.
    fn next_attempt(&self) -> Duration {
        const SOON: Duration = Duration::from_secs(5);
        self.max_age.checked_div(3).unwrap_or(SOON).clamp(Duration::from_secs(1), SOON)
    }

    fn health(&self, now: Moment) -> SourceHealth {
        let age = self.last.age(now);
        let local = self.speaks_for.is_none();
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
            max_age: self.max_age,
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
            records: self.store.index().len(),
            at: now.wall(),
        };
        observers.tell_source(&event);
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        // Each of its members is replaced whole.
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
