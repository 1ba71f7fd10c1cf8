//! What a configuration of revocation becomes.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::sync::watch;

use super::LOCAL;
use super::config::{Issuers, Kind, Revocation};
use super::events::StreamSetting;
use super::freshness::{LastSync, OnStale};
use super::index::Index;
use super::inlet::Inlet;
use super::journal::{Journal, JournalError};
use super::runtime::{Running, Runtime};
use super::source::RevocationSource;
use super::status_list::{CheckedLists, Lists};
use super::store::Store;
use crate::error::{ConfigFault, Faults};
use crate::issuer::Registry;
use crate::observe::Observers;
use crate::time::Clock;
use crate::transport::Transport;

/// What it is made for.
pub(crate) struct Setting<'a> {
    pub(crate) issuers: Issuers<'a>,
    /// The longest that a token may live, by any class.
    pub(crate) longest_life: Duration,
    pub(crate) leeway: Duration,
    pub(crate) transport: Option<&'a Arc<dyn Transport>>,
    pub(crate) clock: &'a Arc<dyn Clock>,
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
            let observers = Arc::clone(observers);
            runtime.lists = Some(Lists::new(lists, registry, transport, clock, version, observers));
        }
        runtime
    }
}
