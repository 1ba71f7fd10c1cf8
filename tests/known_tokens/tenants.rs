//! Issuers that change or go: a known token is of the issuer as it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use portcullis::RejectionKind as Kind;
use portcullis::check::Unavailable;
use portcullis::issuer::{IssuerResolver, OptionalClaim, TenantList, TokenProfile, Trust};
use portcullis::jose::Algorithm;
use portcullis::testing::{ManualClock, TestIssuer, TestNetwork};
use portcullis::transport::{Fetch, FetchLimits, Transport};
use portcullis::{Issuer, ResourceServer};

use crate::pair::{MINUTE, Pair, SECOND};
use crate::support::{ISSUER, RESOURCE};

/// Two servers that know one list of tenants, with places for so many.
fn pair_of(tenants: &TenantList, at_most: usize, issuers: &[&TestIssuer]) -> Pair {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    Pair::of(clock, issuer, |builder, issuer| {
        let all: Vec<_> = issuers.iter().copied().chain([issuer]).collect();
        builder.tenants(tenants.clone(), at_most).transport(TestNetwork::of(&all))
    })
}

/// JWS-38, FAPI-11: a tenant that is removed is nobody's issuer from the next request on, and is again
/// when it comes back.
#[tokio::test]
async fn who_is_removed_has_no_known_tokens() {
    let tenants = TenantList::new();
    let pair = pair_of(&tenants, 10, &[]);
    tenants.add(pair.issuer.jwks()).unwrap();
    let token = pair.token().sign();
    pair.knows(&token).await;
    tenants.remove(ISSUER);
    assert_eq!(pair.kind(&token).await, Some(Kind::UnknownIssuer));
    tenants.add(pair.issuer.jwks()).unwrap();
    assert_eq!(pair.kind(&token).await, None);
    // Without a request in between.
    tenants.remove(ISSUER);
    tenants.add(pair.issuer.jwks().algorithms([Algorithm::Ps256])).unwrap();
    assert_eq!(pair.kind(&token).await, Some(Kind::AlgorithmNotAllowed));
}

/// Whatever changes of a tenant holds for its known tokens with the next request.
#[tokio::test]
async fn a_tenant_that_is_changed_is_another() {
    type Change = fn(Issuer) -> Issuer;
    let rows: [(&str, Change, Option<Kind>); 5] = [
        ("nothing", |issuer| issuer, None),
        ("its algorithms", |i| i.algorithms([Algorithm::Ps256]), Some(Kind::AlgorithmNotAllowed)),
        (
            "its profile",
            |i| i.profile(TokenProfile::rfc9068().require_claim("use", "access")),
            Some(Kind::OtherTokenKind),
        ),
        (
            "where its audience stands",
            |i| {
                let profile = TokenProfile::relaxed().may_lack(OptionalClaim::JwtId);
                i.profile(profile.dangerous().insecure_audience_from(["for"]))
            },
            Some(Kind::MissingClaim),
        ),
        (
            "its keys",
            |i| {
                let other = TestIssuer::new(ISSUER, &ManualClock::new());
                assert_eq!(i.id(), other.id());
                other.fixed_keys()
            },
            Some(Kind::BadSignature),
        ),
    ];
    for (name, change, expected) in rows {
        let tenants = TenantList::new();
        let pair = pair_of(&tenants, 10, &[]);
        tenants.add(pair.issuer.jwks()).unwrap();
        let token = pair.token().sign();
        pair.knows(&token).await;
        tenants.add(change(pair.issuer.jwks())).unwrap();
        assert_eq!(pair.kind(&token).await, expected, "{name}");
        tenants.add(pair.issuer.jwks()).unwrap();
        assert_eq!(pair.kind(&token).await, None, "{name}: as before");
    }
}

/// AUTH-32: a resolver that cannot tell says nothing of tokens that are known either: 503.
#[tokio::test]
async fn a_resolver_that_cannot_tell_is_an_outage() {
    struct Unsure(TenantList, Arc<AtomicBool>);
    impl IssuerResolver for Unsure {
        fn trust(&self, issuer: &str) -> Trust {
            match self.1.load(Ordering::Relaxed) {
                true => Trust::Unavailable(Unavailable::new("the list is being loaded")),
                false => self.0.trust(issuer),
            }
        }
        fn issuer(&self, issuer: &str) -> Option<Issuer> {
            self.0.issuer(issuer)
        }
    }
    let (tenants, down) = (TenantList::new(), Arc::new(AtomicBool::new(false)));
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let pair = Pair::of(clock, issuer, |builder, issuer| {
        let resolver = Unsure(tenants.clone(), Arc::clone(&down));
        builder.tenants(resolver, 10).transport(TestNetwork::of(&[issuer]))
    });
    tenants.add(pair.issuer.jwks()).unwrap();
    let token = pair.token().sign();
    pair.knows(&token).await;
    down.store(true, Ordering::Relaxed);
    assert_eq!(pair.kind(&token).await, Some(Kind::IssuerUnavailable));
    down.store(false, Ordering::Relaxed);
    assert_eq!(pair.kind(&token).await, None);
}

/// A place is for who proves something, and a known token proves it as well: whose tokens are used keeps
/// its place, and its keys.
#[tokio::test]
async fn whose_known_tokens_are_used_keeps_its_place() {
    let clock = ManualClock::new();
    let other = TestIssuer::new("https://other.example", &clock);
    let tenants = TenantList::new();
    let pair = pair_of(&tenants, 1, &[&other]);
    tenants.add(pair.issuer.jwks()).unwrap();
    tenants.add(other.jwks()).unwrap();
    let now = pair.now();
    let living = |issuer: &TestIssuer| {
        let token = issuer.token(RESOURCE).issued_at(now);
        token.expires_at(now.plus(50 * MINUTE)).sign()
    };
    let token = living(&pair.issuer);
    pair.knows(&token).await;
    let places = |api: &ResourceServer| {
        api.health().into_iter().map(|health| health.issuer.to_string()).collect::<Vec<_>>()
    };
    let fetched = pair.issuer.fetches();
    for round in 0..30 {
        pair.advance(10 * SECOND).await;
        assert_eq!(pair.kind(&token).await, None);
        // It proves something each time, and has a place beside.
        assert_eq!(pair.kind(&living(&other)).await, None);
        assert_eq!(places(&pair.keeps), places(&pair.verifies), "{round}");
    }
    assert_eq!(pair.issuer.fetches(), fetched, "its keys are where they were");
    // The twin: whose tokens are not used any more loses it, known as they are.
    for _ in 0..30 {
        pair.advance(10 * SECOND).await;
        assert_eq!(pair.kind(&living(&other)).await, None);
    }
    assert_eq!(places(&pair.keeps), ["https://other.example"]);
    assert_eq!(places(&pair.verifies), ["https://other.example"]);
}

/// A transport that says how many hold it: an issuer holds its own.
struct Watched {
    network: TestNetwork,
    _held: Arc<()>,
}

impl Transport for Watched {
    fn fetch(&self, request: http::Request<Bytes>, limits: FetchLimits) -> Fetch<'_> {
        self.network.fetch(request, limits)
    }
}

/// What is remembered of a token keeps no tenant that was changed or removed, with its keys and settings.
#[tokio::test]
async fn known_tokens_keep_no_tenant_that_went() {
    let (clock, tenants, held) = (ManualClock::new(), TenantList::new(), Arc::new(()));
    let issuer = TestIssuer::new(ISSUER, &clock);
    let network = TestNetwork::of(&[&issuer]);
    let api = ResourceServer::builder(RESOURCE)
        .tenants(tenants.clone(), 1)
        .binding(portcullis::Binding::WhereBound)
        .class(portcullis::TokenClass::default_at_most(60 * MINUTE))
        .transport(network.clone())
        .clock(clock.clone())
        .build()
        .unwrap();
    let mut tokens = Vec::new();
    for _ in 0..20 {
        let watched = Watched { network: network.clone(), _held: Arc::clone(&held) };
        tenants.add(issuer.jwks().transport(watched)).unwrap();
        let token = issuer.token(RESOURCE).sign();
        let request = http::Request::get("/").header("authorization", format!("Bearer {token}"));
        api.verify(&request.body(()).unwrap()).await.unwrap();
        tokens.push(token);
    }
    assert_eq!(api.known_tokens_health().tokens, 20);
    tenants.remove(ISSUER);
    let request = http::Request::get("/").header("authorization", format!("Bearer {}", tokens[0]));
    let refused = api.verify(&request.body(()).unwrap()).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::UnknownIssuer);
    // Tasks that fetch keys end a moment after their tenant.
    for _ in 0..1_000 {
        if Arc::strong_count(&held) == 1 {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{} tenants are held", Arc::strong_count(&held) - 1);
}
