//! Issuers that are decided on at run time: trusted by a list, bounded, and never fetched from
//! before they are known to be trusted.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use portcullis::check::Unavailable;
use portcullis::issuer::{IssuerResolver, KeyState, TenantList, Trust};
use portcullis::testing::{Failure, ManualClock, TestIssuer, TestNetwork};
use portcullis::{Issuer, RejectionKind as Kind, ResourceServer};
use support::{RESOURCE, builder, present};

struct World {
    clock: ManualClock,
    tenants: TenantList,
    issuers: Vec<TestIssuer>,
    api: ResourceServer,
}

impl World {
    /// So many issuers in the network, none of them trusted, and places for so many.
    fn new(count: usize, at_most: usize) -> Self {
        let clock = ManualClock::new();
        let issuers: Vec<_> = (0..count)
            .map(|number| TestIssuer::new(format!("https://t{number}.example"), &clock))
            .collect();
        let tenants = TenantList::new();
        let api = builder(&clock)
            .tenants(tenants.clone(), at_most)
            .transport(TestNetwork::of(&issuers.iter().collect::<Vec<_>>()))
            .build()
            .unwrap();
        Self { clock, tenants, issuers, api }
    }

    fn trust(&self, number: usize) {
        self.tenants.add(self.issuers[number].jwks()).unwrap();
    }

    async fn kind(&self, number: usize) -> Option<Kind> {
        let token = self.issuers[number].token(RESOURCE).sign();
        present(&self.api, &token).await.err().map(|rejection| rejection.kind())
    }

    fn fetches(&self, number: usize) -> usize {
        self.issuers[number].fetches() + self.issuers[number].metadata_fetches()
    }
}

/// FAPI-11, JWS-38: attack 10 of every list of them: an `iss` is a name to be looked up, and no
/// place to fetch from.
#[tokio::test]
async fn nothing_is_fetched_for_an_issuer_that_is_not_trusted() {
    let world = World::new(2, 10);
    world.trust(0);
    assert_eq!(world.kind(1).await, Some(Kind::UnknownIssuer));
    assert_eq!(world.kind(0).await, None);
    assert_eq!((world.fetches(0), world.fetches(1)), (1, 0));
    for odd in ["https://t0.example/", "https://T0.example", "https://t0.example:443", "t0.example"]
    {
        let token = world.issuers[0].token(RESOURCE).claim("iss", odd).sign();
        let refused = present(&world.api, &token).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::UnknownIssuer, "{odd}");
    }
    assert_eq!(world.api.health().len(), 1);
}

/// JWS-38: a tenant's key signs for that tenant alone.
#[tokio::test]
async fn a_tenant_cannot_sign_for_another() {
    let world = World::new(2, 10);
    world.trust(0);
    world.trust(1);
    assert_eq!((world.kind(0).await, world.kind(1).await), (None, None));
    let forged = world.issuers[0].token(RESOURCE).claim("iss", "https://t1.example").sign();
    assert_eq!(present(&world.api, &forged).await.unwrap_err().kind(), Kind::BadSignature);
}

#[tokio::test]
async fn who_is_distrusted_is_out_with_the_next_request() {
    let world = World::new(1, 10);
    world.trust(0);
    assert_eq!(world.kind(0).await, None);
    world.tenants.remove("https://t0.example");
    assert_eq!(world.kind(0).await, Some(Kind::UnknownIssuer));
    assert!(world.api.health().is_empty(), "its keys are gone");
    // Who comes back starts anew.
    world.trust(0);
    assert_eq!(world.kind(0).await, None);
    assert_eq!(world.fetches(0), 2);
}

/// Who is distrusted and trusted anew has its new keys and settings, with the next token.
#[tokio::test]
async fn an_issuer_that_is_trusted_anew_has_its_new_keys() {
    let clock = ManualClock::new();
    let (stolen, fresh) = (
        TestIssuer::new("https://t0.example", &clock),
        TestIssuer::new("https://t0.example", &clock),
    );
    let tenants = TenantList::new();
    let api = builder(&clock).tenants(tenants.clone(), 10).build().unwrap();
    let accepts =
        async |issuer: &TestIssuer| present(&api, &issuer.token(RESOURCE).sign()).await.is_ok();
    tenants.add(stolen.fixed_keys()).unwrap();
    assert_eq!((accepts(&stolen).await, accepts(&fresh).await), (true, false));
    // No token comes between the two.
    tenants.remove("https://t0.example");
    tenants.add(fresh.fixed_keys()).unwrap();
    assert_eq!((accepts(&stolen).await, accepts(&fresh).await), (false, true));
    // The same without a distrust, and for all at once.
    tenants.add(stolen.fixed_keys()).unwrap();
    assert_eq!((accepts(&stolen).await, accepts(&fresh).await), (true, false));
    tenants.replace([fresh.fixed_keys()]).unwrap();
    assert_eq!((accepts(&stolen).await, accepts(&fresh).await), (false, true));
    tenants.replace([]).unwrap();
    assert_eq!((accepts(&stolen).await, accepts(&fresh).await), (false, false));
}

/// What changes while an issuer is being described is seen with the next token.
#[tokio::test]
async fn a_change_while_an_issuer_is_described_is_not_lost() {
    struct Racing {
        list: TenantList,
        fresh: Issuer,
    }
    impl IssuerResolver for Racing {
        fn trust(&self, issuer: &str) -> Trust {
            self.list.trust(issuer)
        }
        fn issuer(&self, issuer: &str) -> Option<Issuer> {
            let described = self.list.issuer(issuer);
            self.list.add(self.fresh.clone()).unwrap();
            described
        }
    }
    let clock = ManualClock::new();
    let (stolen, fresh) = (
        TestIssuer::new("https://t0.example", &clock),
        TestIssuer::new("https://t0.example", &clock),
    );
    let list = TenantList::new();
    list.add(stolen.fixed_keys()).unwrap();
    let api =
        builder(&clock).tenants(Racing { list, fresh: fresh.fixed_keys() }, 10).build().unwrap();
    let (old, new) = (stolen.token(RESOURCE).sign(), fresh.token(RESOURCE).sign());
    assert!(present(&api, &old).await.is_ok(), "it was described so");
    assert_eq!(present(&api, &old).await.unwrap_err().kind(), Kind::BadSignature);
    assert!(present(&api, &new).await.is_ok());
}

/// Who is distrusted and sends nothing more is not fetched from any more.
#[tokio::test]
async fn keys_of_a_distrusted_issuer_are_not_refreshed() {
    let world = World::new(1, 10);
    world.trust(0);
    assert_eq!(world.kind(0).await, None);
    world.tenants.remove("https://t0.example");
    for _ in 0..10 {
        settle().await;
        world.clock.advance(Duration::from_hours(1));
    }
    settle().await;
    assert_eq!(world.fetches(0), 1);
    assert!(world.api.health().is_empty());
}

/// A place is for who proves something: names in tokens that nobody signed take none of those, and
/// others for a few seconds.
#[tokio::test]
async fn unsigned_tokens_take_no_place_of_who_has_good_ones() {
    let world = World::new(6, 2);
    (0..6).for_each(|number| world.trust(number));
    let junk = async |number: usize| {
        let token = world.issuers[number].token(RESOURCE).tampered();
        present(&world.api, &token).await.unwrap_err().kind()
    };
    assert_eq!((world.kind(0).await, world.kind(1).await), (None, None));
    // However long they are idle, and however often somebody names others.
    for names in [[2, 3, 4], [4, 5, 2], [3, 2, 5]] {
        world.clock.advance(Duration::from_secs(61));
        let before = world.fetches(names[2]);
        assert_eq!(junk(names[0]).await, Kind::BadSignature);
        assert_eq!(junk(names[1]).await, Kind::BadSignature);
        // No place is left to name a third, and it is not fetched from.
        assert_eq!(junk(names[2]).await, Kind::IssuerUnavailable, "503, never 401");
        assert_eq!(world.fetches(names[2]), before);
    }
    for number in [0, 1] {
        world.issuers[number].fail(Failure::Connection);
        assert_eq!(world.kind(number).await, None, "{number}: its keys are there still");
        world.issuers[number].recover();
    }
    // A newcomer with good tokens gets a place as soon as the names of the others are seconds old.
    assert_eq!(world.kind(4).await, Some(Kind::IssuerUnavailable));
    world.clock.advance(Duration::from_secs(5));
    assert_eq!(world.kind(4).await, None);
}

/// Whose settings change keeps the place that it has proven.
#[tokio::test]
async fn a_change_of_settings_costs_no_place() {
    let world = World::new(4, 2);
    (0..4).for_each(|number| world.trust(number));
    assert_eq!(world.kind(0).await, None);
    for number in [1, 2] {
        let token = world.issuers[number].token(RESOURCE).tampered();
        assert_eq!(present(&world.api, &token).await.unwrap_err().kind(), Kind::BadSignature);
    }
    let unknown = world.issuers[3].token(RESOURCE).sign();
    let refused = present(&world.api, &unknown).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::IssuerUnavailable, "no place is left to name another");
    world.trust(0);
    assert_eq!(world.kind(0).await, None);
    assert_eq!(world.fetches(0), 2, "it was built anew");
}

/// Proven issuers make room for proven ones, the longest idle first.
#[tokio::test]
async fn places_are_bounded_and_go_to_who_used_them_last() {
    let world = World::new(3, 1);
    (0..3).for_each(|number| world.trust(number));
    assert_eq!(world.kind(0).await, None);
    world.clock.advance(Duration::from_secs(30));
    // Too early to take the place of the first; the second is decided all the same.
    assert_eq!(world.kind(1).await, None);
    world.clock.advance(Duration::from_secs(40));
    assert_eq!(world.kind(1).await, None);
    let seen = || {
        let health = world.api.health().into_iter();
        health.map(|health| health.issuer.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(seen(), ["https://t1.example"], "it took the place of the first");
    world.clock.advance(Duration::from_secs(70));
    assert_eq!(world.kind(2).await, None);
    assert_eq!(seen(), ["https://t2.example"]);
    assert_eq!(world.kind(0).await, None, "a place beside it, until it proves more");
    assert_eq!(seen().len(), 2);
}

/// AUTH-32, decision 13: a list that is not there yet says nothing about anybody.
#[tokio::test]
async fn a_list_that_is_being_loaded_is_503() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new("https://t0.example", &clock);
    let tenants = TenantList::loading();
    let api = builder(&clock).tenants(tenants.clone(), 10).build().unwrap();
    let token = issuer.token(RESOURCE).sign();
    assert_eq!(present(&api, &token).await.unwrap_err().kind(), Kind::IssuerUnavailable);
    tenants.replace([]).unwrap();
    assert_eq!(present(&api, &token).await.unwrap_err().kind(), Kind::UnknownIssuer);
    tenants.replace([issuer.fixed_keys()]).unwrap();
    assert!(present(&api, &token).await.is_ok());
    assert_eq!((tenants.len(), tenants.is_empty()), (1, false));
}

async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// AUTH-32, decision 13: cannot tell is 503.
#[tokio::test]
async fn a_resolver_that_cannot_tell_is_503_and_one_that_lies_too() {
    struct Loading(Arc<Mutex<Trust>>);
    impl IssuerResolver for Loading {
        fn trust(&self, _: &str) -> Trust {
            self.0.lock().unwrap().clone()
        }
        fn issuer(&self, _: &str) -> Option<Issuer> {
            Some(Issuer::discover("https://somebody-else.example"))
        }
    }
    let clock = ManualClock::new();
    let issuer = TestIssuer::new("https://t0.example", &clock);
    let loading = Unavailable::new("loading").retry_after(Duration::from_secs(7));
    let trust = Arc::new(Mutex::new(Trust::Unavailable(loading)));
    let api = builder(&clock)
        .tenants(Loading(Arc::clone(&trust)), 10)
        .transport(TestNetwork::of(&[&issuer]))
        .build()
        .unwrap();
    let token = issuer.token(RESOURCE).sign();
    let refused = present(&api, &token).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::IssuerUnavailable);
    assert_eq!(refused.to_response::<()>().headers()["retry-after"], "7");

    // An issuer of another name than the one that was asked for is never used.
    *trust.lock().unwrap() = Trust::trusted(0);
    assert_eq!(present(&api, &token).await.unwrap_err().kind(), Kind::IssuerUnavailable);
    *trust.lock().unwrap() = Trust::Unknown;
    assert_eq!(present(&api, &token).await.unwrap_err().kind(), Kind::UnknownIssuer);
    assert_eq!(issuer.fetches(), 0);
}

/// A tenant's outage is its own.
#[tokio::test]
async fn a_tenant_that_cannot_be_reached_is_503_and_others_go_on() {
    let world = World::new(2, 10);
    world.trust(0);
    world.trust(1);
    world.issuers[1].fail(Failure::Connection);
    assert_eq!(world.kind(1).await, Some(Kind::KeysUnavailable));
    assert_eq!(world.kind(0).await, None);
    let health = world.api.health();
    assert_eq!(health[1].state, KeyState::NeverLoaded);
    world.issuers[1].recover();
    world.clock.advance(Duration::from_mins(1));
    assert_eq!(world.kind(1).await, None);
}

/// A configured issuer is not asked about, and its place is its own.
#[tokio::test]
async fn configured_issuers_stand_beside_tenants() {
    let clock = ManualClock::new();
    let own = TestIssuer::new("https://as.example", &clock);
    let tenant = TestIssuer::new("https://t0.example", &clock);
    let tenants = TenantList::new();
    let api = builder(&clock)
        .issuer(own.jwks())
        .tenants(tenants.clone(), 1)
        .transport(TestNetwork::of(&[&own, &tenant]))
        .build()
        .unwrap();
    api.warm_up().await.unwrap();
    assert!(present(&api, &own.token(RESOURCE).sign()).await.is_ok());
    let token = tenant.token(RESOURCE).sign();
    assert_eq!(present(&api, &token).await.unwrap_err().kind(), Kind::UnknownIssuer);
    tenants.add(tenant.jwks()).unwrap();
    assert!(present(&api, &token).await.is_ok());
    // Tenants are nobody's business: the metadata document lists the configured issuers.
    assert_eq!(api.metadata()["authorization_servers"], serde_json::json!(["https://as.example"]));
}

#[test]
fn the_number_of_tenants_has_a_bound() {
    let clock = ManualClock::new();
    for (at_most, fine) in [(0, false), (1, true), (100_000, true), (100_001, false)] {
        let built = builder(&clock).tenants(TenantList::new(), at_most).build();
        assert_eq!(built.is_ok(), fine, "{at_most}");
        if let Err(error) = built {
            let (place, _) = error.places().next().unwrap();
            assert_eq!(place, "tenants.at_most");
        }
    }
}
