//! All lists of a server.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::checked::CheckedLists;
use super::config::Demanded;
use super::fetches::Fetches;
use super::get::ListError;
use super::held::Held;
use super::prefetch;
use super::reference::place_of;
use super::slot::ListSlot;
use crate::access::StatusReference;
use crate::error::{Refusal, RejectionKind};
use crate::issuer::{IssuerKeys, Registry, Resolved};
use crate::name::IssuerId;
use crate::observe::Observers;
use crate::place::BuildPlaceHasher;
use crate::revocation::Objection;
use crate::revocation::freshness::{Demand, SourceState};
use crate::time::{Clock, Moment};
use crate::transport::Transport;

/// How a status list is doing, for operators.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StatusListHealth {
    /// Where it is.
    pub uri: Box<str>,
    /// The issuer of the tokens that name it.
    pub issuer: Box<str>,
    /// Whether it is young enough by its own word, within the configured bounds.
    pub state: SourceState,
    /// Since it was last fetched, or found unchanged.
    pub age: Option<Duration>,
    /// How old it may become.
    pub fresh_for: Option<Duration>,
    /// How many statuses it has.
    pub entries: Option<u64>,
    /// How many bits each status has.
    pub bits: Option<u8>,
    /// What was wrong with the last fetch, if it failed.
    pub last_error: Option<String>,
    /// Fetches that were good, unchanged ones included.
    pub fetches: u64,
    /// Fetches that failed.
    pub failed: u64,
}

/// What every list needs.
pub(super) struct Core {
    pub(super) rules: CheckedLists,
    registry: Weak<Registry>,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) clock: Arc<dyn Clock>,
    /// One more with every change of a list.
    version: Arc<AtomicU64>,
    pub(super) observers: Arc<Observers>,
    pub(super) fetches: Arc<Fetches>,
}

impl Core {
    /// The keys of an issuer, which sign its lists too (Token Status List §11.3).
    pub(super) fn keys(&self, issuer: &str) -> Result<Arc<IssuerKeys>, ListError> {
        let registry = self.registry.upgrade().ok_or(ListError::Dropped)?;
        match registry.get(issuer, self.clock.moment()) {
            Resolved::Known(keys) => Ok(keys),
            Resolved::Unknown | Resolved::Unavailable(_) => Err(ListError::Issuer),
        }
    }
}

/// By the place of their URI ([`place_of`]): one for each issuer whose tokens name it.
type Table = HashMap<u64, Vec<Arc<ListSlot>>, BuildPlaceHasher>;

/// The lists of a server, at run time. Its drop ends their tasks.
pub(crate) struct Lists {
    pub(super) core: Arc<Core>,
    /// Replaced whole: who reads it waits for nobody.
    table: ArcSwap<Table>,
    /// Held by whoever replaces the table or what a list holds.
    changing: Mutex<()>,
    tasks: Mutex<Vec<AbortHandle>>,
    this: Weak<Self>,
}

impl Lists {
    /// `version` grows with every change of a list. `observers` are told of every fetch.
    pub(crate) fn new(
        rules: CheckedLists,
        registry: Weak<Registry>,
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
        version: Arc<AtomicU64>,
        observers: Arc<Observers>,
    ) -> Arc<Self> {
        let fetches = Arc::default();
        let core = Core { rules, registry, transport, clock, version, observers, fetches };
        let core = Arc::new(core);
        Arc::new_cyclic(|this| Self {
            core,
            table: ArcSwap::default(),
            changing: Mutex::default(),
            tasks: Mutex::default(),
            this: Weak::clone(this),
        })
    }

    /// Whether the claim `status` of tokens of this issuer means anything here.
    pub(crate) fn covers(&self, issuer: &IssuerId) -> bool {
        self.core.rules.covers(issuer.as_str())
    }

    /// Whether a token of this issuer may be used that names this list, or none. It waits for nothing
    /// and fetches nothing.
    pub(crate) fn decide(
        &self,
        issuer: &IssuerId,
        reference: Option<&StatusReference>,
        demand: Demand,
        at: Moment,
    ) -> Result<(), Objection> {
        let rules = &self.core.rules;
        if !self.covers(issuer) {
            return Ok(());
        }
        let Some(StatusReference { uri, index, place }) = reference else {
            return match rules.demanded {
                Demanded::IfThere => Ok(()),
                Demanded::Always => {
                    let detail = format!(
                        "the token names no status list, as those of {issuer} have to \
                         (`StatusLists::require`)"
                    );
                    Err(Objection::Refused(Refusal::new(RejectionKind::StatusMissing, detail)))
                }
            };
        };
        if let Some(slot) = find_at(&self.table.load(), *place, issuer.as_str(), uri) {
            return slot.judge(*index, demand, at);
        }
        self.add(issuer.as_str(), uri)?.judge(*index, demand, at)
    }

    /// A place for a list that was never seen, if it may be fetched at all.
    pub(super) fn add(&self, issuer: &str, uri: &str) -> Result<Arc<ListSlot>, Objection> {
        self.core.rules.allows(issuer, uri).map_err(|error| {
            Objection::Refused(Refusal::new(RejectionKind::StatusUri, error.to_string()))
        })?;
        let _changing = self.changing();
        let table = self.table.load_full();
        if let Some(slot) = find(&table, issuer, uri) {
            return Ok(Arc::clone(slot));
        }
        let mut table = Table::clone(&table);
        while count(&table) >= self.core.rules.max_lists {
            let one = |_: &ListSlot| 1;
            let Some(victim) = victim(&table, (issuer, uri), 1, one) else { break };
            let_go(&mut table, &victim);
        }
        let slot = Arc::new(ListSlot::new(issuer, uri, &self.core, &self.this));
        table.entry(place_of(uri)).or_default().push(Arc::clone(&slot));
        self.table.store(Arc::new(table));
        Ok(slot)
    }

    /// Holds this of a list from now on, and makes room for it.
    pub(super) fn install(&self, slot: &ListSlot, held: Held) -> Result<(), ListError> {
        let _changing = self.changing();
        let before = self.table.load_full();
        let known = find(&before, slot.issuer(), slot.uri());
        if known.is_none_or(|known| !std::ptr::eq(&**known, slot)) {
            return Err(ListError::LetGo);
        }
        let new = held.list.octets();
        let others = |table: &Table| {
            let all = all(table).filter(|one| !std::ptr::eq(&***one, slot));
            all.map(|one| one.bytes()).fold(0, usize::saturating_add)
        };
        let mut table = None;
        loop {
            let now = table.as_ref().unwrap_or(&*before);
            if others(now).saturating_add(new) <= self.core.rules.max_bytes {
                break;
            }
            let Some(victim) = victim(now, (slot.issuer(), slot.uri()), new, ListSlot::bytes)
            else {
                break;
            };
            let_go(table.get_or_insert_with(|| Table::clone(&before)), &victim);
        }
        if let Some(table) = table {
            self.table.store(Arc::new(table));
        }
        let changes = held.changes(slot.held.load().as_deref());
        slot.held.store(Some(Arc::new(held)));
        if changes {
            self.core.version.fetch_add(1, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Starts to fetch what is to be fetched before anybody asks for it.
    pub(crate) fn start(&self) {
        let Ok(runtime) = Handle::try_current() else { return };
        let mut tasks = self.tasks();
        // Those of a tokio runtime that ended are over.
        tasks.retain(|task| !task.is_finished());
        if !tasks.is_empty() {
            return;
        }
        for place in &self.core.rules.prefetch {
            let task = prefetch::keep_fetching(
                Arc::clone(&self.core),
                Weak::clone(&self.this),
                place.clone(),
            );
            tasks.push(runtime.spawn(task).abort_handle());
        }
    }

    /// Ends every task.
    pub(crate) fn stop(&self) {
        self.tasks().drain(..).for_each(|task| task.abort());
        all(&self.table.load()).for_each(|slot| slot.stop());
    }

    /// Every list that is known, in the order of their URIs.
    pub(crate) fn health(&self) -> Vec<StatusListHealth> {
        let now = self.core.clock.moment();
        let mut health: Vec<_> = all(&self.table.load()).map(|slot| slot.health(now)).collect();
        health.sort_by(|left, right| (&left.uri, &left.issuer).cmp(&(&right.uri, &right.issuer)));
        health
    }

    pub(super) fn find(&self, issuer: &str, uri: &str) -> Option<Arc<ListSlot>> {
        find(&self.table.load(), issuer, uri).cloned()
    }

    /// The lists of this issuer that are kept fresh.
    pub(super) fn kept(&self, issuer: &str) -> Vec<Arc<ListSlot>> {
        let table = self.table.load();
        let kept = all(&table).filter(|slot| slot.is_kept() && slot.issuer() == issuer);
        kept.cloned().collect()
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        // What is changed under it is replaced whole.
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tasks(&self) -> MutexGuard<'_, Vec<AbortHandle>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lists {
    fn drop(&mut self) {
        self.stop();
    }
}

fn all(table: &Table) -> impl Iterator<Item = &Arc<ListSlot>> {
    table.values().flatten()
}

fn count(table: &Table) -> usize {
    table.values().map(Vec::len).fold(0, usize::saturating_add)
}

fn find<'a>(table: &'a Table, issuer: &str, uri: &str) -> Option<&'a Arc<ListSlot>> {
    find_at(table, place_of(uri), issuer, uri)
}

fn find_at<'a>(table: &'a Table, place: u64, issuer: &str, uri: &str) -> Option<&'a Arc<ListSlot>> {
    table.get(&place)?.iter().find(|slot| slot.uri() == uri && slot.issuer() == issuer)
}

fn let_go(table: &mut Table, victim: &Arc<ListSlot>) {
    victim.stop();
    let place = place_of(victim.uri());
    if let Some(slots) = table.get_mut(&place) {
        slots.retain(|slot| !Arc::ptr_eq(slot, victim));
        if slots.is_empty() {
            table.remove(&place);
        }
    }
}

/// Which list goes, so that this one of so much weight has room: of the issuer whose lists weigh most
/// with it, that which was used the longest time ago. So an issuer whose tokens name ever more lists
/// pushes out its own, and not those of others.
fn victim(
    table: &Table,
    (issuer, uri): (&str, &str),
    weight: usize,
    weigh: impl Fn(&ListSlot) -> usize,
) -> Option<Arc<ListSlot>> {
    let is_itself = |slot: &ListSlot| slot.issuer() == issuer && slot.uri() == uri;
    let candidates = || all(table).filter(|slot| !is_itself(slot) && weigh(slot) > 0);
    let mut weights: HashMap<&str, usize> = HashMap::new();
    for slot in candidates() {
        let sum = weights.entry(slot.issuer()).or_default();
        *sum = sum.saturating_add(weigh(slot));
    }
    if let Some(sum) = weights.get_mut(issuer) {
        *sum = sum.saturating_add(weight);
    }
    let (heaviest, _) =
        weights.into_iter().max_by_key(|(name, weight)| (*weight, *name == issuer))?;
    candidates()
        .filter(|slot| slot.issuer() == heaviest)
        .min_by_key(|slot| (slot.is_kept(), slot.used()))
        .cloned()
}

// What cannot be seen from outside.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Faults;
    use crate::issuer::config::{Issuer, IssuerRules};
    use crate::issuer::{Attempt, IssuerNames, KeySearchError, Remedy};
    use crate::jose::{Algorithm, KeyChoiceError};
    use crate::revocation::StatusLists;
    use crate::testing::{Failure, ManualClock, TestIssuer, TestNetwork, TestStatusList};

    struct World {
        clock: ManualClock,
        issuer: TestIssuer,
        list: TestStatusList,
        registry: Arc<Registry>,
        lists: Arc<Lists>,
        version: Arc<AtomicU64>,
    }

    impl World {
        fn new(configured: impl FnOnce(&TestIssuer) -> Issuer) -> Self {
            let clock = ManualClock::new();
            let issuer = TestIssuer::new("https://as.example", &clock);
            let list = TestStatusList::new("https://as.example/lists/1", &issuer, &clock);
            let mut faults = Faults::new();
            let checked = configured(&issuer).check(IssuerRules::ANY, &mut faults).unwrap();
            let transport: Arc<dyn Transport> =
                Arc::new(TestNetwork::of(&[&issuer]).with_list(&list));
            let shared: Arc<dyn Clock> = Arc::new(clock.clone());
            let registry = Arc::new(Registry::new(vec![checked], None, Some(&transport), &shared));
            let ids = [issuer.id().to_owned()];
            let names = IssuerNames { configured: &ids, open: false };
            let rules = StatusLists::new().check(names, &mut faults).unwrap();
            let version = Arc::new(AtomicU64::new(0));
            let weak = Arc::downgrade(&registry);
            let (known, observers) = (Arc::clone(&version), Arc::default());
            let lists = Lists::new(rules, weak, transport, shared, known, observers);
            Self { clock, issuer, list, registry, lists, version }
        }

        /// What a token at this index gets, once whatever can be waited for was waited for.
        async fn ask(&self, index: u64) -> Result<(), Objection> {
            let id = IssuerId::parse(self.issuer.id()).unwrap();
            let reference = {
                let uri = self.list.uri();
                StatusReference { uri: uri.into(), index, place: place_of(uri) }
            };
            let at = self.clock.moment();
            let decide = |at| self.lists.decide(&id, Some(&reference), Demand::default(), at);
            match decide(at) {
                Err(Objection::NoList { list, refusal }) => {
                    match list.remedy(at, Attempt::First) {
                        Remedy::Wait(wait) => wait.await,
                        _ => return Err(Objection::NoList { list, refusal }),
                    }
                    decide(self.clock.moment())
                }
                decided => decided,
            }
        }
    }

    /// The version grows with every change of a list and with nothing else: whoever keeps decisions keeps
    /// them as long as nothing changed.
    #[tokio::test]
    async fn the_version_grows_with_changes() {
        let world = World::new(TestIssuer::fixed_keys);
        let version = || world.version.load(Ordering::Acquire);
        assert!(world.ask(0).await.is_ok());
        assert_eq!(version(), 1, "the first");
        world.clock.advance(Duration::from_mins(6));
        assert!(world.ask(0).await.is_ok());
        assert_eq!((world.list.fetches(), version()), (2, 1), "it was not sent again");
        world.list.ttl(Duration::from_mins(4));
        world.clock.advance(Duration::from_mins(6));
        assert!(world.ask(0).await.is_ok());
        assert_eq!((world.list.fetches(), version()), (3, 1), "it was, and says the same");
        world.list.set(0, 1);
        world.clock.advance(Duration::from_mins(6));
        assert!(matches!(world.ask(0).await, Err(Objection::Refused(_))));
        assert_eq!((world.list.fetches(), version()), (4, 2));
        world.list.fail(Failure::Connection);
        world.clock.advance(Duration::from_mins(6));
        assert!(matches!(world.ask(1).await, Err(Objection::NoList { .. })));
        assert_eq!(version(), 2, "nothing is known better");
    }

    /// Nobody fetches ahead for lists that are gone.
    #[tokio::test]
    async fn tasks_end_with_the_lists() {
        let settle = async || {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        };
        let world = World::new(TestIssuer::fixed_keys);
        assert!(world.ask(0).await.is_ok());
        settle().await;
        assert_eq!(world.clock.sleepers(), 1, "until it is due");
        drop(world.lists);
        settle().await;
        assert_eq!(world.clock.sleepers(), 0);
        world.clock.advance(Duration::from_mins(10));
        settle().await;
        assert_eq!(world.list.fetches(), 1);
    }

    /// A list signed with a key that the issuer published since is verified with it, and keys that are not
    /// there are told from keys that do not fit.
    #[tokio::test]
    async fn keys_are_found_or_fetched() {
        let world = World::new(TestIssuer::discover);
        assert!(world.ask(0).await.is_ok(), "the keys were not there before");
        assert_eq!(world.issuer.fetches(), 1);
        world.issuer.rotate();
        world.list.set(0, 1);
        world.clock.advance(Duration::from_mins(6));
        assert!(matches!(world.ask(0).await, Err(Objection::Refused(_))));
        assert_eq!(world.issuer.fetches(), 2);

        let at = world.clock.moment();
        let Resolved::Known(keys) = world.registry.get(world.issuer.id(), at) else {
            panic!("the issuer is configured")
        };
        let find = async |kid| keys.find_or_fetch(Some(kid), Algorithm::Es256, &world.clock).await;
        assert!(find("k2").await.is_ok());
        let unknown = find("k9").await;
        assert!(matches!(unknown, Err(KeySearchError::Choice(KeyChoiceError::Unknown))));

        let down = World::new(TestIssuer::discover);
        down.issuer.fail(Failure::Connection);
        let Resolved::Known(keys) = down.registry.get(down.issuer.id(), at) else {
            panic!("the issuer is configured")
        };
        let found = keys.find_or_fetch(Some("k1"), Algorithm::Es256, &down.clock).await;
        let Err(KeySearchError::NoKeys(Some(error))) = found else { panic!("{found:?}") };
        assert!(error.to_string().contains("no metadata"), "{error}");
        assert!(matches!(down.ask(0).await, Err(Objection::NoList { .. })));
        let told = down.lists.health().remove(0).last_error.unwrap();
        assert!(told.contains("no keys of the issuer"), "{told}");
    }
}
