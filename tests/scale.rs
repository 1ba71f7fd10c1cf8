//! Many issuers and many routes: the answers are right, and a decision allocates as often as with one of
//! each. How long it takes is measured in `benches/growth`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "support/measured.rs"]
mod measured;
#[path = "support/wait.rs"]
mod wait;

use std::time::Duration;

use portcullis::check::scope;
use portcullis::issuer::TenantList;
use portcullis::jose::Algorithm;
use portcullis::testing::{ManualClock, TestIssuer, TestNetwork};
use portcullis::{Binding, Guard, Policy, RejectionKind, ResourceServer, TokenClass};

use self::measured::measured;
use self::wait::ready;

const RESOURCE: &str = "https://rs.example";

struct World {
    issuers: Vec<TestIssuer>,
    guards: Vec<Guard>,
}

/// So many configured issuers, so many tenants, so many routes.
async fn world(configured: usize, tenants: usize, routes: usize) -> World {
    let clock = ManualClock::new();
    let issuers: Vec<_> = (0..configured + tenants)
        .map(|number| {
            let id = format!("https://issuer-{number}.example/tenant");
            TestIssuer::with_algorithm(id, &clock, Algorithm::Ed25519)
        })
        .collect();
    let list = TenantList::new();
    let mut builder = ResourceServer::builder(RESOURCE)
        .clock(clock)
        .binding(Binding::WhereBound)
        .class(TokenClass::default_at_most(Duration::from_hours(1)))
        .tenants(list.clone(), tenants.max(1))
        .transport(TestNetwork::of(&issuers.iter().collect::<Vec<_>>()));
    for (number, issuer) in issuers.iter().enumerate() {
        if number < configured {
            builder = builder.issuer(issuer.fixed_keys());
        } else {
            list.add(issuer.fixed_keys()).unwrap();
        }
    }
    let api = builder.build().unwrap();
    let guards = (0..routes)
        .map(|number| {
            let policy = Policy::new(scope(format!("route-{number}:read")));
            api.guard(policy.named(format!("route-{number}"))).unwrap()
        })
        .collect();
    World { issuers, guards }
}

impl World {
    fn request(&self, issuer: usize, route: usize) -> http::request::Parts {
        let token = self.issuers[issuer].token(RESOURCE).scope(&format!("route-{route}:read"));
        http::Request::get("/")
            .header("authorization", format!("Bearer {}", token.sign()))
            .body(())
            .unwrap()
            .into_parts()
            .0
    }

    /// Requests that meet issuers and routes from all over.
    fn requests(&self) -> Vec<(usize, http::request::Parts)> {
        const STEP: usize = 7_919;
        (0..200)
            .map(|number| {
                let issuer = (number * STEP) % self.issuers.len();
                let route = (number * STEP) % self.guards.len();
                (route, self.request(issuer, route))
            })
            .collect()
    }

    async fn accepts_all(&self) {
        for (route, parts) in self.requests() {
            self.guards[route].verify(&parts).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_thousand_issuers_and_ten_thousand_routes_allocate_as_one() {
    let small = world(1, 0, 1).await;
    let large = world(500, 500, 10_000).await;
    // The right answers, from all over; and everything is known once.
    small.accepts_all().await;
    large.accepts_all().await;

    let allocations = |world: &World, issuer: usize, route: usize| {
        let parts = world.request(issuer, route);
        // A tenant that was never seen is made room for.
        let (first, given) = measured(|| ready(world.guards[route].verify(&parts)));
        first.unwrap();
        assert!(given.count_total > 0, "the count counts");
        let (again, given) = measured(|| ready(world.guards[route].verify(&parts)));
        again.unwrap();
        given.count_total
    };
    let one = allocations(&small, 0, 0);
    for issuer in [0, 499, 500, 999] {
        let all = allocations(&large, issuer, 9_999);
        assert_eq!(all, one, "issuer {issuer}");
    }

    // Another route's scope is not enough.
    let parts = large.request(999, 1);
    let refused = large.guards[2].verify(&parts).await.unwrap_err();
    assert_eq!(refused.kind(), RejectionKind::InsufficientScope);
}
