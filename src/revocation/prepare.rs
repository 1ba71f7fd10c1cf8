//! What a configuration of revocation becomes.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use super::LOCAL;
use super::config::{Issuers, Kind, Revocation, Source};
use super::events::StreamSetting;
use super::freshness::{LastSync, OnStale};
use super::index::Index;
use super::inlet::Inlet;
use super::journal::{Journal, JournalError};
use super::runtime::{RunningSource, Runtime};
use super::source::RevocationSource;
use super::status_list::{CheckedLists, Lists};
use super::store::{Store, Teller};
use crate::error::{ConfigFault, Faults};
use crate::issuer::Registry;
use crate::jose::base64url;
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

impl Setting<'_> {
    /// How long a token can be accepted after its `iat`: cut-offs are kept for so long.
    fn horizon(&self) -> Duration {
        self.horizon_of(self.longest_life)
    }

    /// The same where it may live so long: `iat` can be ahead of our clock, and `exp` behind it.
    fn horizon_of(&self, life: Duration) -> Duration {
        life.saturating_add(self.leeway.saturating_mul(2))
    }
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
            faults.at("status_lists", |faults| lists.check(setting.issuers.names, faults))
        });
        let index = Index::new(self.named_claims().into(), setting.horizon());
        let store = Store::new(index, self.journal.clone(), self.most(), self.when_full, setting);
        let store = Arc::new(store);
        let inlet = |name: &str, teller: Teller, max_age, on_stale| {
            Arc::new(Inlet {
                name: name.into(),
                teller,
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
        let teller = Teller { kept_as: LOCAL.into(), issuers: None };
        let local = inlet(LOCAL, teller, Duration::MAX, OnStale::InsecureUnbounded);
        let mut sources = vec![RunningSource { inlet: local, source: None, stream: None }];
        // What cannot say how old it is, beside others that can: these are asked in its place.
        let mut ageless = Vec::new();
        for (index, source) in self.sources.iter().enumerate() {
            faults.at_element("sources", index, |faults| {
                let (transport, clock) = (setting.transport, setting.clock);
                let on_stale = source.on_stale.unwrap_or(self.on_stale);
                let only_told = matches!(&source.kind, Kind::Events(events) if !events.is_asked());
                let covered = only_told && self.is_covered_beside(index);
                let (run, stream): (Option<Arc<dyn RevocationSource>>, _) = match &source.kind {
                    Kind::Own(own) => (Some(Arc::clone(own)), None),
                    Kind::Feed(feed) => {
                        let (name, issuers) = (&source.name, &source.speaks_for);
                        let feed = faults.at("feed", |faults| {
                            feed.check(name, issuers, transport, clock, faults)
                        });
                        (feed, None)
                    }
                    Kind::Events(stream) => {
                        let setting = StreamSetting {
                            name: &source.name,
                            speaks_for: &source.speaks_for,
                            on_stale,
                            covered,
                            transport,
                            clock,
                        };
                        let stream = faults.at("events", |faults| stream.check(&setting, faults));
                        let run = stream.clone().map(|stream| {
                            let run: Arc<dyn RevocationSource> = stream;
                            run
                        });
                        (run, stream)
                    }
                };
                let issuers = source.speaks_for.iter().map(|name| name.as_str().into()).collect();
                let teller = Teller { kept_as: self.kept_as(source), issuers: Some(issuers) };
                let on_stale = if covered {
                    ageless.push(sources.len());
                    OnStale::InsecureUnbounded
                } else {
                    on_stale
                };
                let inlet = inlet(&source.name, teller, source.most_age(), on_stale);
                sources.push(RunningSource { inlet, source: run, stream });
            });
        }
        if faults.len() > before {
            return None;
        }
        if let Some(fault) = self.journal.as_ref().and_then(|journal| unfit(journal, setting)) {
            faults.push_at("journal", fault);
            return None;
        }
        let mut speaking: HashMap<Box<str>, Vec<usize>> = HashMap::new();
        let aged = |(place, _): &(usize, &RunningSource)| !ageless.contains(place);
        for (place, source) in sources.iter().enumerate().filter(aged) {
            for issuer in source.inlet.teller.issuers.iter().flat_map(|issuers| issuers.iter()) {
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
            issuers: (!setting.issuers.names.open).then(|| {
                setting.issuers.names.configured.iter().map(|name| name.as_str().into()).collect()
            }),
            started: Arc::new(AtomicBool::new(false)),
            tasks: Mutex::default(),
            report: self.report(),
        };
        Some(Prepared { runtime, lists, transport: setting.transport.cloned() })
    }

    /// What the journal knows a source by: its name, and what it was. Of another source by that name, or
    /// of the same for other issuers, nothing was ever known.
    fn kept_as(&self, source: &Source) -> Arc<str> {
        let mut what = vec![json!(source.speaks_for), json!(self.named_claims())];
        what.extend(source.kind.identity());
        let what = Value::from(what).to_string();
        let digest = Sha256::digest(what.as_bytes());
        format!("{} {}", source.name, base64url::encode(digest)).into()
    }

    /// Whether other sources say, within a bound, what this one would say of its issuers.
    fn is_covered_beside(&self, index: usize) -> bool {
        let Some(source) = self.sources.get(index) else { return false };
        let asked = |other: &&Source| match &other.kind {
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
            .filter(|other| other.on_stale.unwrap_or(self.on_stale) != OnStale::InsecureUnbounded)
            .collect();
        source
            .speaks_for
            .iter()
            .all(|issuer| others.iter().any(|other| other.speaks_for.contains(issuer)))
    }
}

/// Why this journal is not for this configuration.
fn unfit(journal: &Journal, setting: &Setting<'_>) -> Option<ConfigFault> {
    let wanted = setting.horizon();
    let what = match kept_for(journal, setting) {
        Ok(Some(kept)) if kept < wanted => format!(
            "journal: it kept cut-offs for tokens that are accepted until {kept:?} after their `iat`, \
             leeways included, and now the token classes and the leeway allow {wanted:?}: an older token \
             could pass a cut-off that is gone. Leave the longest life of the classes and the leeway as \
             they were, or start with a new journal: what this process revoked itself is not in it, and \
             every source has to say all that it knows"
        ),
        Ok(_) => return None,
        Err(error) => format!("journal: {error}"),
    };
    Some(ConfigFault::Revocation(what))
}

/// For how long after their `iat` tokens could be accepted for which it kept cut-offs; `None`: it is new.
fn kept_for(journal: &Journal, setting: &Setting<'_>) -> Result<Option<Duration>, JournalError> {
    let by_life = journal.longest_life()?.map(|life| setting.horizon_of(life));
    if let Some(horizon) = journal.horizon()? {
        // Whoever knows nothing of a horizon may have kept less since.
        return Ok(Some(by_life.map_or(horizon, |by_life| by_life.min(horizon))));
    }
    // A journal of before names the longest life alone, and was purged with a leeway that nobody knows. That
    // of now is taken for it. None would make a fault of every such journal, also where nothing was changed;
    // and a longer life is found out all the same. What this lets pass is what every restart of before did: a
    // leeway that is raised in the very restart that brings this version, for twice as long as it was raised
    // by, and for tokens whose `exp` has passed. From this start on the horizon itself is there.
    Ok(by_life)
}

impl Prepared {
    /// Brings back what was kept. Nothing else is wrong with the configuration.
    pub(crate) fn restore(&self, faults: &mut Faults) {
        let runtime = &self.runtime;
        let Some(journal) = runtime.store.journal() else { return };
        if !runtime.store.claim_journal() {
            let what = "journal: another server of this process has it: each needs one of its own";
            faults.push_at("revocation.journal", ConfigFault::Revocation(what.to_owned()));
            return;
        }
        if let Err(error) = self.restore_from(journal) {
            let fault = ConfigFault::Revocation(format!("journal: {error}"));
            faults.push_at("revocation.journal", fault);
        }
    }

    fn restore_from(&self, journal: &Journal) -> Result<(), JournalError> {
        let store = &self.runtime.store;
        let now = self.runtime.clock.moment();
        // A shorter one lets records go earlier; the longer one comes back never.
        let (life, horizon) = (store.longest_life(), store.index().life());
        // For a version of before, which knows nothing else.
        if journal.longest_life()? != Some(life) {
            journal.set_longest_life(life)?;
        }
        if journal.horizon()? != Some(horizon) {
            journal.set_horizon(horizon)?;
        }
        store.restore(journal)?;
        for RunningSource { inlet, .. } in &self.runtime.sources {
            let kept = journal.source(&inlet.teller.kept_as)?;
            if let Some(then) = kept.synchronised {
                inlet.last.restore(then, now);
            }
            inlet.tally().state = kept.state;
        }
        Ok(())
    }

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

#[cfg(test)]
mod tests {
    use super::super::{EventStream, JsonFeed, Running, SourceHandle, SourceKind};
    use super::*;
    use crate::issuer::config::Issuer;

    struct Own;

    impl RevocationSource for Own {
        fn run(&self, _: SourceHandle) -> Running<'_> {
            Box::pin(std::future::pending())
        }
    }

    /// EVT-01: a version that knows the longest life alone may have been there in between, and have kept less.
    #[test]
    fn a_journal_keeps_no_more_than_either_of_both_says() {
        let path = std::env::temp_dir().join(format!("portcullis-horizon-{}", std::process::id()));
        let journal = Journal::open(&path).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(crate::testing::ManualClock::new());
        let (hour, leeway) = (Duration::from_hours(1), Duration::from_secs(10));
        let setting = Setting {
            issuers: Issuers::default(),
            longest_life: hour,
            leeway,
            transport: None,
            clock: &clock,
        };
        assert_eq!(kept_for(&journal, &setting).unwrap(), None, "a new one");
        journal.set_longest_life(24 * hour).unwrap();
        assert_eq!(kept_for(&journal, &setting).unwrap(), Some(24 * hour + 2 * leeway));
        journal.set_horizon(24 * hour + leeway).unwrap();
        assert_eq!(kept_for(&journal, &setting).unwrap(), Some(24 * hour + leeway));
        journal.set_longest_life(hour).unwrap();
        assert_eq!(kept_for(&journal, &setting).unwrap(), Some(hour + 2 * leeway));
        drop(journal);
        std::fs::remove_file(path).unwrap();
    }

    /// What journals of before know a source by: where it is, never how it is asked. With another value
    /// such a journal would know nothing of any source.
    #[test]
    fn a_journal_of_before_knows_its_sources() {
        const URL: &str = "https://a.example/r.json";
        let stream = || EventStream::discover("https://tx.example");
        let feed = |url: &str| JsonFeed::over_tls(url);
        let source = |kind: SourceKind| Source::new("s", kind);
        for (name, source, wanted) in [
            ("own", Source::own("s", Own), "eTdBn_UFktoc39dMfSGj1KvQjq7cL1ENAYL3O8O6Grs"),
            ("feed", source(feed(URL).into()), "d9WCwv-qnSb3Ml7x7av5sHl0auZsWoemRftmOAdQX4M"),
            (
                "feed at another URL",
                source(feed("https://b.example/r.json").into()),
                "740T-JJ7PCwttl9yd-0kxb36fwLWvGlCuJNfTffxtdY",
            ),
            (
                "signed feed",
                source(JsonFeed::signed(URL, Issuer::discover("https://pub.example")).into()),
                "fOvJ_Zdrt1AvsZ7P2Gke1f9EUaab2QvBk3ktRydFkI0",
            ),
            ("events", source(stream().into()), "A3FZyjxzNk351RxoGZ-zgc1bbRwqBRkJvwt-NTN3lQ4"),
            (
                "stream 1",
                source(stream().stream_id("stream-1").into()),
                "aujjQEGhVSKh5RsUaKLpAPKWdLBAmkmYefbP_5rk-Oo",
            ),
            (
                "stream 2",
                source(stream().stream_id("stream-2").into()),
                "k7vnoggHDjABAINu-tS7Mt9ZebQCNotZ_r06teg10_8",
            ),
            // How it is asked, and what becomes of what is said.
            (
                "feed, asked otherwise",
                source(
                    feed(URL)
                        .delta("https://a.example/{sequence}")
                        .max_bytes(1_000)
                        .id("urn:feed:1")
                        .into(),
                )
                .max_age(Duration::from_hours(1))
                .on_stale(OnStale::InsecureUnbounded),
                "d9WCwv-qnSb3Ml7x7av5sHl0auZsWoemRftmOAdQX4M",
            ),
            (
                "events, asked otherwise",
                source(stream().audience("https://rs.example").into()),
                "A3FZyjxzNk351RxoGZ-zgc1bbRwqBRkJvwt-NTN3lQ4",
            ),
        ] {
            let known = Revocation::new().claim("dept");
            let kept_as = known.kept_as(&source.speaks_for(["https://as.example"]));
            assert_eq!(*kept_as, *format!("s {wanted}"), "{name}");
        }
    }
}
