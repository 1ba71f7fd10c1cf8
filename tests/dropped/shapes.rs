//! What a request can wait for before its token is good: keys, its turn, its issuer's word, a status list,
//! an async check. Each good one has a twin that is refused at the end of the same way.

use std::future::ready;

use portcullis::check::{CheckError, CheckRequest, Denial, allow_all};
use portcullis::introspection::{ClientAuth, Introspection};
use portcullis::issuer::TenantList;
use portcullis::revocation::{Revocation, StatusLists};
use portcullis::testing::{
    Failure, HeldVerifications, ManualClock, TestIntrospection, TestIssuer, TestNetwork,
    TestStatusList,
};
use portcullis::{
    FirstVerifications, Issuer, Policy, RejectionKind as Kind, ResourceServer, ServerBuilder,
};
use tokio::sync::watch;

use crate::harness::{Decisions, Setup, drop_everywhere, ends, nothing, step};
use crate::support::{ISSUER, RESOURCE, bearer, builder};

/// A clock, an issuer, and what is told to observers.
pub(crate) struct Ground {
    pub(crate) clock: ManualClock,
    pub(crate) issuer: TestIssuer,
    pub(crate) decisions: Decisions,
}

impl Ground {
    pub(crate) fn new() -> Self {
        let clock = ManualClock::new();
        let issuer = TestIssuer::new(ISSUER, &clock);
        Self { clock, issuer, decisions: Decisions::default() }
    }

    /// Two signatures at a time; the issuer has to be given.
    pub(crate) fn builder(&self) -> ServerBuilder {
        let places = FirstVerifications::new().max_at_once(2).queue_at_most(8);
        builder(&self.clock).first_verifications(places).observer(self.decisions.clone())
    }

    pub(crate) fn network(&self) -> TestNetwork {
        TestNetwork::of(&[&self.issuer])
    }

    /// Good, or with another signature.
    pub(crate) fn token(&self, wants: Option<Kind>) -> String {
        let token = self.issuer.token(RESOURCE);
        match wants {
            None => token.sign(),
            Some(Kind::BadSignature) => token.tampered(),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn setup(
        self,
        api: ResourceServer,
        token: &str,
        steps: Vec<Box<dyn FnOnce()>>,
        wants: Option<Kind>,
    ) -> Setup {
        let Self { clock, decisions, .. } = self;
        let (policy, request) = (Policy::new(allow_all()), bearer(token));
        Setup { clock, api, policy, decisions, request, steps, wants, once: None }
    }
}

const GOOD_AND_FORGED: [Option<Kind>; 2] = [None, Some(Kind::BadSignature)];

/// Attack 28, AUTH-32: keys that were never fetched, found by metadata and by their URL. Nothing of a fetch
/// belongs to the request that began it.
#[tokio::test]
async fn keys_that_are_fetched() {
    for wants in GOOD_AND_FORGED {
        for found in [TestIssuer::discover, TestIssuer::jwks] {
            drop_everywhere("keys", 2, async || {
                let ground = Ground::new();
                let server = ground.builder().issuer(found(&ground.issuer));
                let api = server.transport(ground.network()).build().unwrap();
                ground.issuer.hold();
                let (token, issuer) = (ground.token(wants), ground.issuer.clone());
                let steps = vec![nothing(), step(move || issuer.release())];
                ground.setup(api, &token, steps, wants)
            })
            .await;
        }
    }
}

/// Attack 28: a key that came after the others.
#[tokio::test]
async fn a_key_that_is_new() {
    for wants in GOOD_AND_FORGED {
        drop_everywhere("a new key", 2, async || {
            let ground = Ground::new();
            let server = ground.builder().issuer(ground.issuer.jwks());
            let api = server.transport(ground.network()).build().unwrap();
            api.warm_up().await.unwrap();
            ground.issuer.rotate();
            ground.issuer.hold();
            let (token, issuer) = (ground.token(wants), ground.issuer.clone());
            let steps = vec![nothing(), step(move || issuer.release())];
            ground.setup(api, &token, steps, wants)
        })
        .await;
    }
}

/// AUTH-32: keys that cannot be had. Nobody waits again for what has failed, and it is 503.
#[tokio::test]
async fn keys_that_do_not_come() {
    drop_everywhere("no keys", 2, async || {
        let ground = Ground::new();
        let server = ground.builder().issuer(ground.issuer.jwks());
        let api = server.transport(ground.network()).build().unwrap();
        ground.issuer.hold();
        ground.issuer.fail(Failure::Connection);
        let (token, issuer) = (ground.token(None), ground.issuer.clone());
        let steps = vec![nothing(), step(move || issuer.release())];
        ground.setup(api, &token, steps, Some(Kind::KeysUnavailable))
    })
    .await;
}

/// JWS-38, attack 8: the keys of a tenant.
#[tokio::test]
async fn keys_of_a_tenant() {
    for wants in GOOD_AND_FORGED {
        drop_everywhere("a tenant", 2, async || {
            let ground = Ground::new();
            let tenants = TenantList::new();
            let server = ground.builder().tenants(tenants.clone(), 2);
            let api = server.transport(ground.network()).build().unwrap();
            tenants.add(ground.issuer.discover()).unwrap();
            ground.issuer.hold();
            let (token, issuer) = (ground.token(wants), ground.issuer.clone());
            let steps = vec![nothing(), step(move || issuer.release())];
            ground.setup(api, &token, steps, wants)
        })
        .await;
    }
}

/// API-03: a turn to be verified. Who leaves the line leaves no gap in it.
#[tokio::test]
async fn a_turn() {
    for wants in GOOD_AND_FORGED {
        drop_everywhere("a turn", 2, async || {
            let ground = Ground::new();
            let api = ground.builder().issuer(ground.issuer.fixed_keys()).build().unwrap();
            let held = HeldVerifications::of(&api);
            assert_eq!(held.held(), 2);
            let token = ground.token(wants);
            ground.setup(api, &token, vec![nothing(), ends(held)], wants)
        })
        .await;
    }
}

/// INT-09: the issuer's word about a token. The question goes on without who asked it, and who joined it
/// has the answer.
#[tokio::test]
async fn the_word_of_the_issuer() {
    for wants in [None, Some(Kind::Inactive), Some(Kind::IntrospectionUnavailable)] {
        for hold in [TestIntrospection::hold, TestIntrospection::hold_answers] {
            drop_everywhere("a question", 2, async || {
                let ground = Ground::new();
                let kit = TestIntrospection::of(&ground.issuer, &ground.clock);
                let asked = Introspection::at(ISSUER, kit.url())
                    .client(ClientAuth::insecure_unauthenticated());
                let api = ground
                    .builder()
                    .issuer(Issuer::opaque(ISSUER))
                    .introspection(asked)
                    .transport(ground.network().with_introspection(&kit))
                    .build()
                    .unwrap();
                let token = kit.active(ground.issuer.token(RESOURCE));
                match wants {
                    None => {}
                    Some(Kind::Inactive) => kit.revoke(&token),
                    _ => kit.fail(Failure::Connection),
                }
                hold(&kit);
                let steps = vec![nothing(), step(move || kit.release())];
                ground.setup(api, &token, steps, wants)
            })
            .await;
        }
    }
}

/// TSL-18, TSL-19, AUTH-32: a status list that nobody fetched yet.
#[tokio::test]
async fn a_status_list() {
    let refusals = [Kind::Revoked, Kind::StatusIndex, Kind::RevocationUnavailable];
    for wants in refusals.into_iter().map(Some).chain([None]) {
        drop_everywhere("a list", 2, async || {
            let ground = Ground::new();
            let list =
                TestStatusList::new("https://as.example/lists/1", &ground.issuer, &ground.clock);
            let api = ground
                .builder()
                .issuer(ground.issuer.jwks())
                .revocation(Revocation::new().status_lists(StatusLists::new()))
                .transport(ground.network().with_list(&list))
                .build()
                .unwrap();
            api.warm_up().await.unwrap();
            let index = if wants == Some(Kind::StatusIndex) { 1_024 } else { 7 };
            if wants == Some(Kind::Revoked) {
                list.set(index, 1);
            }
            if wants == Some(Kind::RevocationUnavailable) {
                list.fail(Failure::Connection);
            }
            list.hold();
            let token = ground.issuer.token(RESOURCE).claim("status", list.reference(index)).sign();
            let steps = vec![nothing(), step(move || list.release())];
            ground.setup(api, &token, steps, wants)
        })
        .await;
    }
}

/// An async check that waits until it is let go, and says this.
pub(crate) fn gate(
    wants: Option<Kind>,
) -> (watch::Sender<bool>, impl Fn(CheckRequest) -> Checking + Send + Sync + 'static) {
    let (open, opened) = watch::channel(false);
    let check = move |_: CheckRequest| -> Checking {
        let mut opened = opened.clone();
        Box::pin(async move {
            let _ = opened.wait_for(|open| *open).await;
            match wants {
                None => ready(Ok(())).await,
                Some(_) => Err(Denial::invalid_token("no such account").into()),
            }
        })
    };
    (open, check)
}

type Checking = std::pin::Pin<Box<dyn Future<Output = Result<(), CheckError>> + Send>>;

/// AUTH-27: an async check. It is asked by the same request once, and it is no answer to any other.
#[tokio::test]
async fn an_async_check() {
    for wants in [None, Some(Kind::NotAccepted)] {
        drop_everywhere("an async check", 2, async || {
            let ground = Ground::new();
            let api = ground.builder().issuer(ground.issuer.fixed_keys()).build().unwrap();
            let (open, check) = gate(wants);
            let token = ground.token(None);
            let steps = vec![nothing(), step(move || assert!(!open.send_replace(true)))];
            let setup = ground.setup(api, &token, steps, wants);
            Setup { policy: Policy::new(allow_all()).and_async(check), ..setup }
        })
        .await;
    }
}
