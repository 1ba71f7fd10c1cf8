//! Any sequence of events: a server that keeps tokens says what one says that keeps none.

use std::time::Duration;

use http::{HeaderValue, Request};
use portcullis::check::{acr, allow_all, clients, scope};
use portcullis::issuer::{KeyRefresh, OptionalClaim, TenantList, TokenProfile};
use portcullis::jose::Algorithm;
use portcullis::revocation::{Claims, Effect, Hold, Record, Revocation, Target};
use portcullis::testing::{ClientKey, ManualClock, TestIssuer, TestNetwork};
use portcullis::time::{Clock as _, Timestamp};
use portcullis::{Binding, Dpop, Exception, Issuer, Policy, ResourceServer, TokenClass};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::pair::{MINUTE, Pair};
use crate::support::{ISSUER, RESOURCE, bearer, settle, with_field};

const TENANT: &str = "https://tenant.example";
const SECOND_TENANT: &str = "https://second.example";
const USERS: [&str; 2] = ["ann", "bob"];
/// Records about users are kept as long as a token lives: time stays within that, so that both servers
/// know the same of them.
const LATEST: u64 = 50 * 60;

#[derive(Clone, Debug)]
enum Step {
    /// The token of this place is used on the route of this place.
    Use(usize, usize),
    /// Another token is issued, of this kind.
    Issue(usize),
    /// Something is said of revocation: about what, with which effect, so many seconds ago.
    Say(usize, Effect, u64),
    /// The issuer signs with a new key.
    Rotate,
    /// Its oldest key is withdrawn.
    Withdraw,
    /// A key that was withdrawn is published again, under its name or another.
    PublishAgain(bool),
    /// The issuer cannot be reached, or can be again.
    Outage(bool),
    /// Time passes.
    Wait(u64),
    /// The clock is set, to so many seconds after the beginning.
    Set(u64),
    /// A tenant is configured, in one of several ways, or removed.
    Tenant(usize, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let effect = prop_oneof![
        4 => Just(Effect::Refuse),
        2 => Just(Effect::StepUp),
        4 => Just(Effect::Lift),
        2 => Just(Effect::Hold(Hold::Account)),
        2 => Just(Effect::Release(Hold::Account)),
        1 => Just(Effect::HoldForStepUp(Hold::Risk)),
        1 => Just(Effect::Release(Hold::Risk)),
    ];
    // The newest tokens and the first are used most.
    let step = prop_oneof![
        30 => (0_usize..12, 0_usize..ROUTES).prop_map(|(token, route)| Step::Use(token, route)),
        20 => (0_usize..4, Just(0)).prop_map(|(token, route)| Step::Use(token, route)),
        4 => (0_usize..KINDS).prop_map(Step::Issue),
        6 => (0_usize..8, effect, 0_u64..120).prop_map(|(what, effect, ago)| Step::Say(what, effect, ago)),
        2 => Just(Step::Rotate),
        2 => Just(Step::Withdraw),
        2 => any::<bool>().prop_map(Step::PublishAgain),
        2 => any::<bool>().prop_map(Step::Outage),
        5 => (1_u64..400).prop_map(Step::Wait),
        2 => (0..LATEST).prop_map(Step::Set),
        4 => (0_usize..2, 0_usize..6).prop_map(|(which, how)| Step::Tenant(which, how)),
    ];
    prop::collection::vec(step, 20..120)
}

const ROUTES: usize = 7;

fn route(place: usize) -> Policy {
    match place {
        0 => Policy::new(allow_all()),
        1 => Policy::new(scope("read")),
        2 => Policy::new(scope("write")),
        3 => Policy::new(acr(["phr"]).within(10 * MINUTE)),
        4 => Policy::new(allow_all()).single_use(),
        5 => Policy::new(clients(["app"]).of_issuer(ISSUER)).binding(Binding::WhereBound),
        _ => Policy::new(allow_all()).binding(Binding::Dpop),
    }
}

const KINDS: usize = 8;

struct Model {
    pair: Pair,
    start: Timestamp,
    tenants: TenantList,
    tenant: TestIssuer,
    second: TestIssuer,
    client: ClientKey,
    /// As they are issued: the token, and whether it is bound to the client's key.
    tokens: Vec<(String, bool)>,
    withdrawn: Vec<serde_json::Value>,
    published: Vec<String>,
}

/// What the runs met, all together.
#[derive(Clone, Copy, Debug, Default)]
struct Met {
    passed: usize,
    /// Of those, how many were known.
    known: usize,
    /// How many were refused that had been accepted before.
    refused: usize,
}

impl Model {
    async fn new() -> Self {
        let clock = ManualClock::new();
        let start = clock.now();
        let issuer = TestIssuer::new(ISSUER, &clock);
        let (tenant, second) =
            (TestIssuer::new(TENANT, &clock), TestIssuer::new(SECOND_TENANT, &clock));
        let client = ClientKey::generate(Algorithm::Es256, &clock);
        let tenants = TenantList::new();
        tenants.add(tenant.fixed_keys()).unwrap();
        let pair = Pair::of(clock, issuer, |builder, issuer| {
            let refresh = KeyRefresh::new()
                .fresh_at_least(MINUTE)
                .fresh_at_most(3 * MINUTE)
                .keep_through_outage(6 * MINUTE);
            let exception = Exception::for_clients(["app"])
                .of_issuer(ISSUER)
                .until("2027-03-31")
                .because("it cannot do DPoP yet");
            builder
                .issuer(issuer.jwks().key_refresh(refresh))
                // One place: whose tokens are used has it.
                .tenants(tenants.clone(), 1)
                .class(TokenClass::named("young").scopes(["young"]).max_age(5 * MINUTE))
                .dpop(Dpop::new())
                .exception(exception)
                .revocation(Revocation::new())
                .transport(TestNetwork::of(&[issuer, &tenant, &second]))
        });
        pair.warm_up().await;
        let mut model = Self {
            pair,
            start,
            tenants,
            tenant,
            second,
            client,
            tokens: Vec::new(),
            withdrawn: Vec::new(),
            published: vec!["k1".to_owned()],
        };
        (0..KINDS).for_each(|kind| model.issue(kind));
        model
    }

    fn issue(&mut self, kind: usize) {
        let now = self.pair.now();
        let number = self.tokens.len();
        let issuer = match kind {
            4 => &self.tenant,
            5 => &self.second,
            _ => &self.pair.issuer,
        };
        let token = issuer
            .token(RESOURCE)
            .subject(USERS[number % 2])
            .client_id("app")
            .claim("jti", format!("t-{}", number % 4))
            .claim("sid", format!("s-{}", number % 2))
            .claim("acr", "phr")
            .claim("auth_time", now.as_secs())
            .scope(["read", "write young", "read write"][number % 3])
            .expires_at(now.plus(Duration::from_secs([300, 1_200, 2_400][number % 3])));
        let (token, is_bound) = match kind {
            1 => (token.without_header("kid"), false),
            2 => (token.claim("cnf", self.client.confirmation()), true),
            3 => (token.claim("nbf", now.as_secs() + 8), false),
            _ => (token, false),
        };
        self.tokens.push((token.sign(), is_bound));
    }

    fn request(&self, place: usize) -> Request<String> {
        let newest = self.tokens.len() - 1;
        let (token, is_bound) = &self.tokens[newest - place.min(newest)];
        if !is_bound {
            return bearer(token);
        }
        let proof = self.client.proof("GET", &format!("{RESOURCE}/notes")).token(token).sign();
        let mut request = with_field("authorization", format!("DPoP {token}"));
        request.headers_mut().insert("dpop", HeaderValue::try_from(proof).unwrap());
        request
    }

    fn target(number: usize) -> Target {
        match number {
            0..4 => Target::Token(format!("t-{number}").into()),
            4 => Target::Claims(Claims::subject("ann")),
            5 => Target::Claims(Claims::session("s-1")),
            6 => Target::Key("k1".into()),
            _ => Target::Claims(Claims::subject("bob").and_session("s-1")),
        }
    }

    async fn say(&self, number: usize, effect: Effect, ago: u64) {
        let at = self.pair.now().minus(Duration::from_secs(ago));
        let record = Record::new(ISSUER, Self::target(number), effect, at);
        let tell = async |api: &ResourceServer| {
            let told = api.revocations().revoke(record.clone()).await;
            told.map_err(|error| error.to_string())
        };
        assert_eq!(tell(&self.pair.keeps).await, tell(&self.pair.verifies).await);
    }

    fn withdraw(&mut self) {
        // One key has to be there to sign with.
        if self.published.len() > 1 {
            let kid = self.published.remove(0);
            let set = self.pair.issuer.jwk_set();
            let keys = set["keys"].as_array().unwrap();
            self.withdrawn.extend(keys.iter().find(|key| key["kid"] == *kid).cloned());
            self.pair.issuer.withdraw(&kid);
        }
    }

    fn publish_again(&mut self, renamed: bool) {
        let Some(mut key) = self.withdrawn.pop() else { return };
        if renamed {
            let name = format!("{}-renamed", key["kid"].as_str().unwrap());
            key["kid"] = name.into();
        }
        self.pair.issuer.publish(key);
    }

    fn configure(&self, which: usize, how: usize) {
        let issuer = if which == 0 { &self.tenant } else { &self.second };
        let add = |issuer: Issuer| self.tenants.add(issuer).unwrap();
        match how {
            0 | 1 => add(issuer.fixed_keys()),
            2 => add(issuer.jwks()),
            3 => add(issuer.jwks().algorithms([Algorithm::Ps256, Algorithm::EdDsa])),
            4 => {
                let profile = TokenProfile::relaxed().may_lack(OptionalClaim::JwtId);
                add(issuer.fixed_keys().profile(profile.require_claim("acr", "phrh")));
            }
            _ => {
                self.tenants.remove(issuer.id());
            }
        }
    }

    async fn step(&mut self, step: &Step, met: &mut Met) -> Result<(), TestCaseError> {
        match *step {
            Step::Use(place, which) => {
                let request = self.request(place);
                let before = self.pair.known();
                let ask = async |api: &ResourceServer| {
                    let guard = api.guard(route(which)).unwrap();
                    let decided = guard.verify(&request).await;
                    let shown = |access| format!("{access:?}");
                    decided.map(shown).map_err(|rejection| {
                        let response = rejection.to_response::<String>();
                        format!("{:?} {:?}", rejection.kind(), response.headers())
                    })
                };
                let (kept, right) = (ask(&self.pair.keeps).await, ask(&self.pair.verifies).await);
                prop_assert_eq!(&kept, &right, "{}", which);
                let after = self.pair.known();
                met.passed += usize::from(kept.is_ok());
                met.known += usize::from(kept.is_ok() && after == before);
                met.refused += usize::from(after < before);
                prop_assert!(after <= self.tokens.len());
            }
            Step::Issue(kind) => self.issue(kind),
            Step::Say(what, effect, ago) => self.say(what, effect, ago).await,
            Step::Rotate => self.published.push(self.pair.issuer.rotate()),
            Step::Withdraw => self.withdraw(),
            Step::PublishAgain(renamed) => self.publish_again(renamed),
            Step::Outage(true) => {
                self.pair.issuer.fail(portcullis::testing::Failure::Connection);
            }
            Step::Outage(false) => self.pair.issuer.recover(),
            Step::Wait(seconds) => {
                let latest = self.start.plus(Duration::from_secs(LATEST));
                for _ in 0..seconds.div_ceil(10) {
                    if self.pair.now() < latest {
                        self.pair.advance(Duration::from_secs(10)).await;
                    }
                }
            }
            Step::Set(seconds) => {
                self.pair.clock.set(self.start.plus(Duration::from_secs(seconds)));
            }
            Step::Tenant(which, how) => self.configure(which, how),
        }
        settle().await;
        Ok(())
    }
}

/// Attacks 24, 26, 27, 39 and 41: use, revocation, rotation, outages, clocks and configuration in any order
/// give what they would give if every token were verified each time.
#[test]
fn any_sequence_of_events_gives_what_verifying_each_time_gives() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let cases = std::env::var("PORTCULLIS_INTERLEAVINGS")
        .map_or(80, |cases| cases.parse().expect("a number of interleavings"));
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let met = std::cell::Cell::new(Met::default());
    TestRunner::new(config)
        .run(&steps(), |steps| {
            runtime.block_on(async {
                let mut model = Model::new().await;
                let mut now = met.get();
                for step in &steps {
                    model.step(step, &mut now).await?;
                }
                met.set(now);
                Ok(())
            })
        })
        .unwrap_or_else(|error| panic!("{error}"));
    let (met, cases) = (met.get(), usize::try_from(cases).unwrap());
    assert!(met.passed > 5 * cases, "{met:?}");
    assert!(met.known > 2 * cases, "{met:?}: known tokens were met");
    assert!(met.refused > cases / 10, "{met:?}: and were forgotten");
}
