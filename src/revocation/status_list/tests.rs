//! What cannot be seen from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{ListObjection, Lists, StatusLists};
use crate::access::StatusReference;
use crate::error::Faults;
use crate::issuer::config::{Issuer, IssuerRules};
use crate::issuer::{Attempt, KeySearchError, Registry, Remedy};
use crate::jose::{Algorithm, KeyChoiceError};
use crate::name::IssuerId;
use crate::revocation::freshness::Demand;
use crate::testing::{Failure, ManualClock, TestIssuer, TestNetwork, TestStatusList};
use crate::time::Clock;
use crate::transport::Transport;

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
        let transport: Arc<dyn Transport> = Arc::new(TestNetwork::of(&[&issuer]).with_list(&list));
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let registry = Arc::new(Registry::new(vec![checked], None, Some(&transport), &shared));
        let rules = StatusLists::new().check(&[issuer.id().to_owned()], &mut faults).unwrap();
        let version = Arc::new(AtomicU64::new(0));
        let weak = Arc::downgrade(&registry);
        let lists = Lists::new(rules, weak, transport, shared, Arc::clone(&version));
        Self { clock, issuer, list, registry, lists, version }
    }

    /// What a token at this index gets, once whatever can be waited for was waited for.
    async fn ask(&self, index: u64) -> Result<(), ListObjection> {
        let id = IssuerId::parse(self.issuer.id()).unwrap();
        let reference = StatusReference { uri: self.list.uri().into(), index };
        let at = self.clock.moment();
        let decide = |at| self.lists.decide(&id, Some(&reference), Demand::default(), at);
        match decide(at) {
            Err(ListObjection::Missing { list, refusal }) => {
                match list.remedy(at, Attempt::First) {
                    Remedy::Wait(wait) => wait.await,
                    _ => return Err(ListObjection::Missing { list, refusal }),
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
    assert!(matches!(world.ask(0).await, Err(ListObjection::Refused(_))));
    assert_eq!((world.list.fetches(), version()), (4, 2));
    world.list.fail(Failure::Connection);
    world.clock.advance(Duration::from_mins(6));
    assert!(matches!(world.ask(1).await, Err(ListObjection::Missing { .. })));
    assert_eq!(version(), 2, "nothing is known better");
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
    assert!(matches!(world.ask(0).await, Err(ListObjection::Refused(_))));
    assert_eq!(world.issuer.fetches(), 2);

    let at = world.clock.moment();
    let crate::issuer::Resolved::Known(keys) = world.registry.get(world.issuer.id(), at) else {
        panic!("the issuer is configured")
    };
    let find = async |kid| keys.find_or_fetch(Some(kid), Algorithm::Es256, &world.clock).await;
    assert!(find("k2").await.is_ok());
    let unknown = find("k9").await;
    assert!(matches!(unknown, Err(KeySearchError::Choice(KeyChoiceError::Unknown))));

    let down = World::new(TestIssuer::discover);
    down.issuer.fail(Failure::Connection);
    let crate::issuer::Resolved::Known(keys) = down.registry.get(down.issuer.id(), at) else {
        panic!("the issuer is configured")
    };
    let found = keys.find_or_fetch(Some("k1"), Algorithm::Es256, &down.clock).await;
    let Err(KeySearchError::NoKeys(Some(error))) = found else { panic!("{found:?}") };
    assert!(error.to_string().contains("no metadata"), "{error}");
    assert!(matches!(down.ask(0).await, Err(ListObjection::Missing { .. })));
    let told = down.lists.health().remove(0).last_error.unwrap();
    assert!(told.contains("no keys of the issuer"), "{told}");
}
