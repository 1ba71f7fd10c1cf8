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
        self.tenants.trust(self.issuers[number].jwks());
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
    world.tenants.distrust("https://t0.example");
    assert_eq!(world.kind(0).await, Some(Kind::UnknownIssuer));
    assert!(world.api.health().is_empty(), "its keys are gone");
    // Who comes back starts anew.
    world.trust(0);
    assert_eq!(world.kind(0).await, None);
    assert_eq!(world.fetches(0), 2);
}

/// A place is for who proves something: names in tokens that nobody signed hold none for long.
#[tokio::test]
async fn places_are_bounded_and_go_to_who_has_good_tokens() {
    let world = World::new(4, 2);
    (0..4).for_each(|number| world.trust(number));
    let junk = |number: usize| world.issuers[number].token(RESOURCE).tampered();
    assert_eq!(world.kind(0).await, None);
    let refused = present(&world.api, &junk(1)).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::BadSignature);
    // Both places are taken, and neither is old.
    let refused = present(&world.api, &world.issuers[2].token(RESOURCE).sign()).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::IssuerUnavailable, "503, never 401");
    assert_eq!(world.fetches(2), 0);

    // The first goes on proving; the second has proved nothing for a minute.
    world.clock.advance(Duration::from_secs(59));
    assert_eq!(world.kind(0).await, None);
    assert_eq!(present(&world.api, &junk(1)).await.unwrap_err().kind(), Kind::BadSignature);
    world.clock.advance(Duration::from_secs(2));
    assert_eq!(world.kind(2).await, None, "it took the second's place");
    assert_eq!(world.kind(0).await, None);
    let mut seen: Vec<_> = world.api.health().into_iter().map(|health| health.issuer).collect();
    seen.sort();
    assert_eq!(seen, ["https://t0.example", "https://t2.example"]);
}

/// AUTH-32, decision 13: cannot tell is 503.
#[tokio::test]
async fn a_resolver_that_cannot_tell_is_503_and_one_that_lies_too() {
    struct Loading(Arc<Mutex<Trust>>);
    impl IssuerResolver for Loading {
        fn trust(&self, _: &str) -> Trust {
            self.0.lock().unwrap().clone()
        }
        fn issuer(&self, _: &str) -> Issuer {
            Issuer::discover("https://somebody-else.example")
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
    *trust.lock().unwrap() = Trust::Trusted;
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
    tenants.trust(tenant.jwks());
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
