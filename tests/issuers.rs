//! Keys of issuers over time: discovery, refresh, rotation, withdrawal, outage, floods.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "support/wait.rs"]
mod wait;

use std::time::Duration;

use http::{Request, StatusCode, request::Parts};
use portcullis::issuer::{IssuerHealth, KeyRefresh, KeyState};
use portcullis::jose::Algorithm;
use portcullis::testing::{Failure, ManualClock, TestIssuer, TestKey, TestNetwork};
use portcullis::{Binding, Issuer, RejectionKind, ResourceServer, TokenClass};
use serde_json::json;

use self::wait::settle;

const RESOURCE: &str = "https://rs.example";

struct World {
    clock: ManualClock,
    issuer: TestIssuer,
    network: TestNetwork,
    api: ResourceServer,
}

impl World {
    fn new() -> Self {
        Self::configured(TestIssuer::discover)
    }

    fn configured(config: impl Fn(&TestIssuer) -> Issuer) -> Self {
        let clock = ManualClock::new();
        let issuer = TestIssuer::new("https://as.example", &clock);
        let network = TestNetwork::of(&[&issuer]);
        let api = server(&clock, network.clone(), [config(&issuer)]);
        Self { clock, issuer, network, api }
    }

    async fn warm() -> Self {
        let world = Self::new();
        world.api.warm_up().await.unwrap();
        world
    }

    /// The kind of refusal of a token, or `None` if it was accepted.
    async fn refusal_of(&self, token: &str) -> Option<RejectionKind> {
        self.api.verify(&request(token)).await.err().map(|rejection| rejection.kind())
    }

    async fn accepts_new_token(&self) -> bool {
        self.refusal_of(&self.issuer.token(RESOURCE).sign()).await.is_none()
    }

    fn health(&self) -> IssuerHealth {
        self.api.health().remove(0)
    }

    /// Lets spawned tasks run until nothing more happens.
    async fn settle(&self) {
        settle().await;
    }
}

fn server(
    clock: &ManualClock,
    network: TestNetwork,
    issuers: impl IntoIterator<Item = Issuer>,
) -> ResourceServer {
    let mut builder = ResourceServer::builder(RESOURCE)
        .binding(Binding::WhereBound)
        .class(TokenClass::default_at_most(Duration::from_hours(24)))
        .transport(network)
        .clock(clock.clone());
    for issuer in issuers {
        builder = builder.issuer(issuer);
    }
    builder.build().unwrap()
}

fn request(token: &str) -> Parts {
    Request::get("/")
        .header("authorization", format!("Bearer {token}"))
        .body(())
        .unwrap()
        .into_parts()
        .0
}

/// A token whose header names this kid.
fn with_kid(issuer: &TestIssuer, kid: &str) -> String {
    issuer.token(RESOURCE).header("kid", kid).sign()
}

#[tokio::test]
async fn nothing_is_fetched_before_the_first_token_or_a_warm_up() {
    let world = World::new();
    world.settle().await;
    assert_eq!(world.network.fetches(), 0);
    assert_eq!(world.health().state, KeyState::NeverLoaded);
    assert_eq!(world.refusal_of("not.a.jwt").await, Some(RejectionKind::MalformedToken));
    let foreign = TestIssuer::new("https://foreign.example", &world.clock);
    let refusal = world.refusal_of(&foreign.token(RESOURCE).sign()).await;
    assert_eq!(refusal, Some(RejectionKind::UnknownIssuer));
    assert_eq!(world.network.fetches(), 0, "a foreign issuer's URL is never fetched");

    assert!(world.accepts_new_token().await, "a cold start waits for the keys");
    assert_eq!(world.issuer.fetches(), 1);
    assert_eq!(world.health().state, KeyState::Fresh);
}

#[tokio::test]
async fn a_thousand_first_requests_share_one_fetch() {
    let world = World::new();
    world.issuer.hold();
    let token = world.issuer.token(RESOURCE).sign();
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..1_000 {
        let (api, parts) = (world.api.clone(), request(&token));
        requests.spawn(async move { api.verify(&parts).await.is_ok() });
    }
    world.settle().await;
    world.issuer.release();
    let accepted = requests.join_all().await.into_iter().filter(|accepted| *accepted).count();
    assert_eq!((accepted, world.issuer.fetches()), (1_000, 1));
}

#[tokio::test]
async fn keys_are_fetched_again_ahead_of_the_end_of_freshness() {
    let world = World::warm().await;
    world.clock.advance(Duration::from_secs(9 * 60 - 1));
    world.settle().await;
    assert_eq!(world.issuer.fetches(), 1);
    world.clock.advance(Duration::from_secs(2));
    world.settle().await;
    assert_eq!(world.issuer.fetches(), 2, "without any request");
    assert_eq!(world.health().fetches, 2, "an unchanged set counts as a good fetch");
    assert!(world.health().age.unwrap() < Duration::from_secs(2));
}

#[tokio::test]
async fn cache_control_is_honoured_within_the_bounds() {
    for (value, expected) in [
        ("max-age=1", Duration::from_mins(1)),
        ("max-age=1200", Duration::from_mins(20)),
        ("max-age=999999", Duration::from_hours(1)),
        ("no-store", Duration::from_mins(1)),
    ] {
        let world = World::new();
        world.issuer.cache_control(value);
        world.api.warm_up().await.unwrap();
        let ahead = expected - expected / 10;
        assert_eq!(world.health().next_refresh, Some(ahead), "{value}");
        world.clock.advance(ahead - Duration::from_secs(1));
        world.settle().await;
        assert_eq!(world.issuer.fetches(), 1, "{value}");
        world.clock.advance(Duration::from_secs(1));
        world.settle().await;
        assert_eq!(world.issuer.fetches(), 2, "{value}");
    }
}

/// JWS-16: a really new key is taken at once when it is quiet.
#[tokio::test]
async fn a_new_key_is_taken_with_its_first_token() {
    let world = World::warm().await;
    let old = world.issuer.token(RESOURCE).sign();
    world.issuer.rotate();
    assert!(world.accepts_new_token().await);
    assert_eq!(world.issuer.fetches(), 2);
    assert_eq!(world.refusal_of(&old).await, None, "the old key is still published");
}

#[tokio::test]
async fn a_withdrawn_key_is_gone_with_the_next_fetch() {
    let world = World::warm().await;
    let old_kid = world.issuer.key().kid().to_owned();
    let old = world.issuer.token(RESOURCE).sign();
    world.issuer.rotate();
    world.issuer.withdraw(&old_kid);
    assert_eq!(world.refusal_of(&old).await, None, "nobody has told the server yet");
    assert!(world.accepts_new_token().await, "the fetch for the new key replaces the set");
    assert_eq!(world.refusal_of(&old).await, Some(RejectionKind::UnknownKey));
    assert_eq!(world.health().usable_keys, 1);
}

/// JWS-16, field-tested failure of other libraries: junk kids cause no storm.
#[tokio::test]
async fn ten_thousand_junk_kids_in_a_minute_cost_at_most_fifteen_fetches() {
    let world = World::warm().await;
    let before = world.issuer.fetches();
    for step in 0..10_000_u32 {
        let refusal = world.refusal_of(&with_kid(&world.issuer, &format!("junk-{step}"))).await;
        assert_eq!(refusal, Some(RejectionKind::UnknownKey), "{step}");
        world.clock.advance(Duration::from_millis(6));
    }
    let fetches = world.issuer.fetches() - before;
    assert!((12..=15).contains(&fetches), "{fetches} fetches");
    assert!(world.health().limited_unknown_keys >= 9_980);
    assert!(world.accepts_new_token().await, "known keys are not touched by the flood");

    // A key that is really new, in the middle of the flood.
    world.issuer.rotate();
    let token = world.issuer.token(RESOURCE).sign();
    let mut waited = Duration::ZERO;
    while world.refusal_of(&token).await.is_some() {
        let step = Duration::from_millis(50);
        world.clock.advance(step);
        waited += step;
        world.refusal_of(&with_kid(&world.issuer, "more-junk")).await;
        assert!(waited <= Duration::from_secs(6), "a new key took longer than 6 s");
    }
}

#[tokio::test]
async fn one_issuers_junk_does_not_use_up_anothers_fetches() {
    let clock = ManualClock::new();
    let noisy = TestIssuer::new("https://noisy.example", &clock);
    let quiet = TestIssuer::new("https://quiet.example", &clock);
    let network = TestNetwork::of(&[&noisy, &quiet]);
    let api = server(&clock, network, [noisy.discover(), quiet.discover()]);
    api.warm_up().await.unwrap();
    for step in 0..50 {
        let token = with_kid(&noisy, &format!("junk-{step}"));
        assert!(api.verify(&request(&token)).await.is_err());
    }
    quiet.rotate();
    assert!(api.verify(&request(&quiet.token(RESOURCE).sign())).await.is_ok());
}

#[tokio::test]
async fn an_unknown_kid_waits_at_most_a_second_and_is_then_refused() {
    let world = World::warm().await;
    world.issuer.hold();
    let token = with_kid(&world.issuer, "new");
    let (api, parts) = (world.api.clone(), request(&token));
    let waiting = tokio::spawn(async move { api.verify(&parts).await });
    world.settle().await;
    assert!(!waiting.is_finished());
    world.clock.advance(Duration::from_millis(999));
    world.settle().await;
    assert!(!waiting.is_finished());
    world.clock.advance(Duration::from_millis(1));
    let rejection = waiting.await.unwrap().unwrap_err();
    assert_eq!(rejection.kind(), RejectionKind::UnknownKey);
    assert_eq!(rejection.status(), StatusCode::UNAUTHORIZED, "not 503: keys are there");
    assert!(world.accepts_new_token().await, "known keys work while a fetch hangs");
}

#[tokio::test]
async fn only_so_many_requests_wait_for_one_issuer() {
    let world = World::warm().await;
    world.issuer.hold();
    let mut requests = tokio::task::JoinSet::new();
    for step in 0..3_000 {
        let parts = request(&with_kid(&world.issuer, &format!("junk-{step}")));
        let api = world.api.clone();
        requests.spawn(async move { api.verify(&parts).await.map(drop) });
    }
    world.settle().await;
    let answered = 3_000 - {
        let mut left = requests.len();
        while requests.try_join_next().is_some() {
            left -= 1;
        }
        left
    };
    assert!(answered >= 3_000 - 1_024, "{answered} were answered without waiting");
    world.issuer.release();
    while let Some(result) = requests.join_next().await {
        let kind = result.unwrap().unwrap_err().kind();
        assert_eq!(kind, RejectionKind::UnknownKey);
    }
}

/// AUTH-32, decision on outages: 503 with Retry-After, never 401, never a pass.
#[tokio::test]
async fn without_keys_nothing_can_be_decided() {
    for failure in [
        Failure::Connection,
        Failure::Status(StatusCode::INTERNAL_SERVER_ERROR),
        Failure::Redirect("http://169.254.169.254/".to_owned()),
        Failure::Body(b"<html>".to_vec()),
        Failure::Body(b"{}".to_vec()),
        Failure::Body(vec![b' '; 8 << 20]),
    ] {
        let world = World::new();
        world.issuer.fail(failure.clone());
        let parts = request(&world.issuer.token(RESOURCE).sign());
        let rejection = world.api.verify(&parts).await.unwrap_err();
        assert_eq!(rejection.kind(), RejectionKind::KeysUnavailable, "{failure:?}");
        let response = rejection.to_response::<()>();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key("retry-after"));
        assert!(!response.headers().contains_key("www-authenticate"));
        let health = world.health();
        assert_eq!(health.state, KeyState::NeverLoaded);
        assert!(health.last_error.is_some(), "{failure:?}");
        assert_eq!((health.fetches, health.failed_fetches), (0, 1));

        world.issuer.recover();
        world.clock.advance(Duration::from_secs(1));
        assert!(world.accepts_new_token().await, "{failure:?}");
        assert_eq!(world.health().last_error, None);
    }
}

#[tokio::test]
async fn a_fetch_without_an_answer_ends_after_five_seconds() {
    let world = World::new();
    world.issuer.fail(Failure::Silence);
    let (api, parts) = (world.api.clone(), request(&world.issuer.token(RESOURCE).sign()));
    let waiting = tokio::spawn(async move { api.verify(&parts).await });
    world.settle().await;
    world.clock.advance(Duration::from_secs(1));
    let rejection = waiting.await.unwrap().unwrap_err();
    assert_eq!(rejection.kind(), RejectionKind::KeysUnavailable);
    // Three places of the metadata, two of them distinct for an issuer without a path.
    for _ in 0..3 {
        world.clock.advance(Duration::from_secs(5));
        world.settle().await;
    }
    let health = world.health();
    assert!(health.last_error.unwrap().contains("no answer in time"));
}

#[tokio::test]
async fn an_outage_keeps_the_last_good_keys_for_the_stated_time() {
    let refresh = KeyRefresh::new().keep_through_outage(Duration::from_hours(6));
    let world = World::configured(|issuer| issuer.discover().key_refresh(refresh));
    world.api.warm_up().await.unwrap();
    world.issuer.fail(Failure::Connection);
    for _ in 0..6 * 60 {
        world.clock.advance(Duration::from_mins(1));
        world.settle().await;
        assert!(world.accepts_new_token().await);
    }
    assert_eq!(world.health().state, KeyState::Stale);
    assert!(world.health().last_error.unwrap().contains("no connection"));
    let fetches = world.network.fetches();
    assert!(fetches < 6 * 60 * 5, "the backoff bounds the fetches of an outage: {fetches}");

    world.clock.advance(Duration::from_secs(1));
    let refusal = world.refusal_of(&world.issuer.token(RESOURCE).sign()).await;
    assert_eq!(refusal, Some(RejectionKind::KeysUnavailable), "503, never 401");
    assert_eq!(world.health().state, KeyState::Expired);

    world.issuer.recover();
    world.clock.advance(Duration::from_mins(1));
    world.settle().await;
    assert!(world.accepts_new_token().await);
    assert_eq!(world.health().state, KeyState::Fresh);
}

#[tokio::test]
async fn failed_fetches_are_spaced_out_up_to_a_minute() {
    let world = World::warm().await;
    world.issuer.fail(Failure::Connection);
    world.clock.advance(Duration::from_mins(9));
    world.settle().await;
    let mut waits = Vec::new();
    for _ in 0..9 {
        let wait = world.health().next_refresh.unwrap();
        waits.push(wait.as_secs());
        world.clock.advance(wait);
        world.settle().await;
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
}

/// A set that cannot be read keeps the last good one; a set that can be read replaces it.
#[tokio::test]
async fn a_malformed_set_is_an_outage_and_an_empty_one_is_a_withdrawal() {
    let world = World::warm().await;
    world.issuer.fail(Failure::Body(b"not json".to_vec()));
    world.clock.advance(Duration::from_mins(10));
    world.settle().await;
    assert!(world.accepts_new_token().await);
    world.issuer.fail(Failure::Body(br#"{"keys":[]}"#.to_vec()));
    world.clock.advance(Duration::from_mins(1));
    world.settle().await;
    world.clock.advance(Duration::from_mins(1));
    world.settle().await;
    let health = world.health();
    // The body also answers for the metadata, which keeps the URL that was discovered.
    assert_eq!(health.usable_keys, 0, "{health:?}");
    let refusal = world.refusal_of(&world.issuer.token(RESOURCE).sign()).await;
    assert_eq!(refusal, Some(RejectionKind::UnknownKey));
}

/// JWS-17, JWS-18, JWS-26, JWS-30, JWS-31: one bad key never takes the set with it.
#[tokio::test]
async fn an_unusable_key_is_reported_and_the_rest_works() {
    let world = World::new();
    let private = json!({
        "kty": "OKP", "crv": "Ed25519", "kid": "leaked",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
    });
    world.issuer.publish(private);
    world.issuer.publish(json!({ "kty": "AKP", "alg": "ML-DSA-44", "pub": "AA" }));
    world.issuer.publish(json!("not even an object"));
    world.issuer.publish(json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "shared" }));
    assert!(world.accepts_new_token().await);
    let health = world.health();
    assert_eq!((health.usable_keys, health.unusable_keys.len()), (1, 4));
    let texts: Vec<String> = health.unusable_keys.iter().map(ToString::to_string).collect();
    assert!(texts[0].contains("private member `d`"), "{texts:?}");
    assert!(texts[3].contains("private member `k`"), "{texts:?}");
    assert!(!format!("{health:?}").contains("nWGxne"), "a leaked key is not printed again");
}

/// DISC-01, attack on discovery: metadata of another issuer is not used.
#[tokio::test]
async fn metadata_of_another_issuer_is_not_used() {
    for issuer in ["https://as.example/", "https://AS.example", "https://evil.example", ""] {
        let world = World::new();
        world.issuer.metadata(json!({ "issuer": issuer, "jwks_uri": world.issuer.jwks_uri() }));
        let refusal = world.refusal_of(&world.issuer.token(RESOURCE).sign()).await;
        assert_eq!(refusal, Some(RejectionKind::KeysUnavailable), "{issuer}");
        assert_eq!(world.issuer.fetches(), 0, "no key is fetched");
        assert!(world.health().last_error.unwrap().contains("not the issuer that was asked for"));
    }
}

/// DISC-09: keys are fetched with https, from wherever the metadata says.
#[tokio::test]
async fn a_jwks_uri_that_is_not_https_is_not_fetched() {
    for uri in ["http://as.example/jwks.json", "http://127.0.0.1/jwks.json", "file:///etc/passwd"] {
        let world = World::new();
        world.issuer.metadata(json!({ "issuer": world.issuer.id(), "jwks_uri": uri }));
        let refusal = world.refusal_of(&world.issuer.token(RESOURCE).sign()).await;
        assert_eq!(refusal, Some(RejectionKind::KeysUnavailable), "{uri}");
        assert_eq!(world.issuer.fetches(), 0);
    }
}

/// DISC-02: an issuer with a path is found where RFC 8414 or OpenID Connect puts it.
#[tokio::test]
async fn an_issuer_with_a_path_is_discovered() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new("https://as.example/tenant/blue", &clock);
    let api = server(&clock, TestNetwork::of(&[&issuer]), [issuer.discover()]);
    assert!(api.verify(&request(&issuer.token(RESOURCE).sign())).await.is_ok());
    assert_eq!(issuer.metadata_fetches(), 3, "two places are empty, the third has it");
}

#[tokio::test]
async fn metadata_that_moved_is_found_when_its_keys_fail() {
    let world = World::warm().await;
    let moved = TestIssuer::new("https://moved.example", &world.clock);
    let network = TestNetwork::of(&[&world.issuer, &moved]);
    let api = server(&world.clock, network, [world.issuer.discover()]);
    api.warm_up().await.unwrap();
    world.issuer.metadata(json!({
        "issuer": world.issuer.id(),
        "jwks_uri": moved.jwks_uri(),
    }));
    // Metadata is looked up again after an hour at the latest.
    for _ in 0..7 {
        world.clock.advance(Duration::from_mins(10));
        settle().await;
    }
    let key = moved.key();
    let token = world.issuer.token(RESOURCE).header("kid", key.kid()).sign_with(&key);
    assert!(api.verify(&request(&token)).await.is_ok());
}

/// JWS-38, JWS-47: keys are found by issuer and kid, never by kid alone.
#[tokio::test]
async fn an_issuers_token_is_never_verified_with_anothers_key() {
    let clock = ManualClock::new();
    let one = TestIssuer::new("https://one.example", &clock);
    let two = TestIssuer::new("https://two.example", &clock);
    assert_eq!(one.key().kid(), two.key().kid(), "both call their key the same");
    let network = TestNetwork::of(&[&one, &two]);
    let api = server(&clock, network, [one.discover(), two.discover()]);
    assert!(api.verify(&request(&one.token(RESOURCE).sign())).await.is_ok());
    assert!(api.verify(&request(&two.token(RESOURCE).sign())).await.is_ok());
    let forged = one.token(RESOURCE).sign_with(&two.key());
    let rejection = api.verify(&request(&forged)).await.unwrap_err();
    assert_eq!(rejection.kind(), RejectionKind::BadSignature);
}

/// JWS-15, JWS-20, FAPI-08: the kid, then the algorithm, then nothing.
#[tokio::test]
async fn a_key_is_chosen_only_if_it_is_the_one() {
    let world = World::new();
    world.issuer.add_key(TestKey::generate(Algorithm::Ed25519, "k1"));
    let ed25519 = world.issuer.key();
    assert!(world.accepts_new_token().await, "k1 twice, told apart by the algorithm");
    let without = world.issuer.token(RESOURCE).without_header("kid");
    assert_eq!(world.refusal_of(&without.sign()).await, None, "the one Ed25519 key");
    let upper = world.issuer.token(RESOURCE).header("kid", "K1");
    assert_eq!(world.refusal_of(&upper.sign()).await, Some(RejectionKind::UnknownKey));

    world.issuer.add_key(TestKey::generate(Algorithm::Ed25519, "k3"));
    assert!(world.accepts_new_token().await);
    let without = world.issuer.token(RESOURCE).without_header("kid");
    let refusal = world.refusal_of(&without.sign_with(&ed25519)).await;
    assert_eq!(refusal, Some(RejectionKind::AmbiguousKey), "never any key, never each");
}

#[tokio::test]
async fn fixed_keys_are_never_fetched_and_never_age() {
    let world = World::configured(TestIssuer::fixed_keys);
    assert!(world.accepts_new_token().await);
    world.clock.advance(Duration::from_hours(24 * 365));
    assert!(world.accepts_new_token().await);
    let refusal = world.refusal_of(&with_kid(&world.issuer, "new")).await;
    assert_eq!(refusal, Some(RejectionKind::UnknownKey));
    world.api.warm_up().await.unwrap();
    assert_eq!(world.network.fetches(), 0);
    assert_eq!(world.health().state, KeyState::Fixed);
}

#[tokio::test]
async fn a_jwks_url_needs_no_metadata() {
    let world = World::configured(TestIssuer::jwks);
    assert!(world.accepts_new_token().await);
    assert_eq!((world.issuer.metadata_fetches(), world.issuer.fetches()), (0, 1));
}

#[tokio::test]
async fn a_warm_up_names_each_issuer_that_failed() {
    let clock = ManualClock::new();
    let good = TestIssuer::new("https://good.example", &clock);
    let bad = TestIssuer::new("https://bad.example", &clock);
    bad.fail(Failure::Status(StatusCode::BAD_GATEWAY));
    let network = TestNetwork::of(&[&good, &bad]);
    let api = server(&clock, network, [good.discover(), bad.discover()]);
    let error = api.warm_up().await.unwrap_err();
    let failed: Vec<&str> = error.failures().map(|(issuer, _)| issuer.as_str()).collect();
    assert_eq!(failed, ["https://bad.example"]);
    assert!(error.to_string().contains("502"), "{error}");
    assert!(api.verify(&request(&good.token(RESOURCE).sign())).await.is_ok());

    bad.recover();
    clock.advance(Duration::from_secs(1));
    settle().await;
    assert!(api.verify(&request(&bad.token(RESOURCE).sign())).await.is_ok(), "tried again");
}

#[tokio::test]
async fn a_wall_clock_that_jumps_ahead_makes_keys_old_and_is_survived() {
    let world = World::warm().await;
    let now = portcullis::time::Clock::now(&world.clock);
    world.clock.set(now.plus(Duration::from_hours(24 * 365)));
    assert!(world.accepts_new_token().await, "too old by the wall clock: fetched again");
    assert_eq!(world.issuer.fetches(), 2);
    world.clock.set(now);
    assert!(world.accepts_new_token().await);
    world.clock.advance(Duration::from_hours(1));
    world.settle().await;
    assert!(world.issuer.fetches() >= 3, "a clock set back does not stop the refresh");
}

#[tokio::test]
async fn tasks_end_with_the_last_handle() {
    let world = World::warm().await;
    world.issuer.hold();
    let metrics = tokio::runtime::Handle::current().metrics();
    assert!(metrics.num_alive_tasks() >= 1, "the refresh task");
    let World { api, clock, issuer, .. } = world;
    let guard = api.guard(portcullis::check::allow_all()).unwrap();
    let layer = api.layer();
    drop(api);
    drop(guard);
    settle().await;
    assert!(metrics.num_alive_tasks() >= 1, "the layer is a handle too");
    drop(layer);
    settle().await;
    assert_eq!(metrics.num_alive_tasks(), 0);
    clock.advance(Duration::from_hours(1));
    settle().await;
    assert_eq!(issuer.fetches(), 1);
}

#[test]
fn keys_outlive_the_runtime_that_fetched_them() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new("https://as.example", &clock);
    let api = server(&clock, TestNetwork::of(&[&issuer]), [issuer.discover()]);
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    let accepts = |token: String| {
        let api = &api;
        async move { api.verify(&request(&token)).await.is_ok() }
    };
    assert!(runtime().block_on(accepts(issuer.token(RESOURCE).sign())));
    issuer.rotate();
    assert!(runtime().block_on(accepts(issuer.token(RESOURCE).sign())), "a runtime of its own");

    // A fetch whose runtime goes away leaves nothing locked.
    issuer.rotate();
    issuer.hold();
    let token = issuer.token(RESOURCE).sign();
    let gone = runtime();
    gone.block_on(async {
        let (api, parts) = (api.clone(), request(&token));
        tokio::spawn(async move { api.verify(&parts).await.map(drop) });
        settle().await;
    });
    drop(gone);
    issuer.release();
    clock.advance(Duration::from_secs(5));
    assert!(runtime().block_on(accepts(token)));
}

#[test]
fn without_a_runtime_it_is_503_with_the_reason() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new("https://as.example", &clock);
    let api = server(&clock, TestNetwork::of(&[&issuer]), [issuer.discover()]);
    let parts = request(&issuer.token(RESOURCE).sign());
    let mut verify = std::pin::pin!(api.verify(&parts));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(Err(rejection)) = verify.as_mut().poll(&mut context) else {
        panic!("nothing can be waited for")
    };
    assert_eq!(rejection.kind(), RejectionKind::KeysUnavailable);
    let source = std::error::Error::source(&rejection).unwrap().to_string();
    assert!(source.contains("no tokio runtime"), "{source}");
}

#[tokio::test]
async fn a_dropped_request_leaves_the_fetch_to_the_others() {
    let world = World::new();
    world.issuer.hold();
    let token = world.issuer.token(RESOURCE).sign();
    let (api, parts) = (world.api.clone(), request(&token));
    let dropped = tokio::spawn(async move { api.verify(&parts).await.map(drop) });
    world.settle().await;
    dropped.abort();
    world.settle().await;
    world.issuer.release();
    assert!(world.accepts_new_token().await);
    assert_eq!(world.issuer.fetches(), 1);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

/// The state of a suspended machine, and of a warm-up on a runtime that is gone: keys are old, and
/// nobody has tried to renew them.
#[test]
fn old_keys_are_used_only_if_an_outage_was_seen() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new("https://as.example", &clock);
    let api = server(&clock, TestNetwork::of(&[&issuer]), [issuer.discover()]);
    runtime().block_on(api.warm_up()).unwrap();
    issuer.rotate();
    issuer.withdraw("k1");
    clock.advance(Duration::from_hours(23));
    let stolen = issuer.token(RESOURCE).header("kid", "k1").sign();
    let refused = runtime().block_on(api.verify(&request(&stolen))).unwrap_err();
    assert_eq!(refused.kind(), RejectionKind::UnknownKey, "withdrawn while nobody looked");

    // The twin: the issuer cannot be reached, and the keys are kept for that.
    let known = issuer.token(RESOURCE).sign();
    runtime().block_on(api.verify(&request(&known))).unwrap();
    issuer.fail(Failure::Connection);
    clock.advance(Duration::from_hours(23));
    let late = issuer.token(RESOURCE).sign();
    assert!(runtime().block_on(api.verify(&request(&late))).is_ok());
    assert_eq!(api.health().remove(0).state, KeyState::Stale);
}

/// JWS-14: as above, while the issuer takes its time: that it did not answer yet is no outage, and the keys
/// may be withdrawn. Nor is it one that there is nobody to ask it.
#[test]
fn old_keys_wait_for_an_answer() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new("https://as.example", &clock);
    let api = server(&clock, TestNetwork::of(&[&issuer]), [issuer.discover()]);
    runtime().block_on(api.warm_up()).unwrap();
    runtime().block_on(api.verify(&request(&issuer.token(RESOURCE).sign()))).unwrap();
    issuer.rotate();
    issuer.withdraw("k1");
    clock.advance(Duration::from_hours(2));
    let stolen = issuer.token(RESOURCE).header("kid", "k1").sign();
    issuer.hold();

    let outside = {
        let parts = request(&stolen);
        let mut verify = Box::pin(api.verify(&parts));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match verify.as_mut().poll(&mut context) {
            std::task::Poll::Ready(decided) => decided.unwrap_err(),
            std::task::Poll::Pending => panic!("there is nothing to wait for"),
        }
    };
    assert_eq!(outside.kind(), RejectionKind::KeysUnavailable, "nobody can ask");

    runtime().block_on(async {
        let waits = |token: &str| {
            let (api, parts) = (api.clone(), request(token));
            tokio::spawn(async move { api.verify(&parts).await.map(drop) })
        };
        let waiting = waits(&stolen);
        settle().await;
        assert!(!waiting.is_finished());
        clock.advance(Duration::from_secs(1));
        let refused = waiting.await.unwrap().unwrap_err();
        assert_eq!(refused.kind(), RejectionKind::KeysUnavailable);
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        let (waiting, new) = (waits(&stolen), waits(&issuer.token(RESOURCE).sign()));
        settle().await;
        issuer.release();
        assert_eq!(waiting.await.unwrap().unwrap_err().kind(), RejectionKind::UnknownKey);
        assert!(new.await.unwrap().is_ok());
    });
}

/// Attacks 9 and 27: a fetch that was dropped with its runtime saw no outage. Hours later, in another runtime, the
/// issuer is asked before an old key is believed, as if there had been no such fetch. A fetch that failed has
/// seen one, but not for hours.
#[test]
fn what_was_dropped_or_failed_long_ago_is_no_outage() {
    #[derive(Clone, Copy, Debug)]
    enum Before {
        Nothing,
        Dropped,
        Failed,
    }
    for before in [Before::Nothing, Before::Dropped, Before::Failed] {
        for suspended in [false, true] {
            let clock = ManualClock::new();
            let issuer = TestIssuer::new("https://as.example", &clock);
            let api = server(&clock, TestNetwork::of(&[&issuer]), [issuer.jwks()]);
            let first = runtime();
            let now = portcullis::time::Clock::now(&clock);
            let stolen = issuer.token(RESOURCE).expires_at(now.plus(Duration::from_hours(20)));
            let stolen = stolen.sign();
            assert!(first.block_on(api.verify(&request(&stolen))).is_ok(), "it is known");
            match before {
                Before::Nothing => {}
                Before::Dropped => issuer.hold(),
                Before::Failed => issuer.fail(Failure::Connection),
            }
            let unknown = with_kid(&issuer, "unknown");
            first.block_on(async {
                let (api, parts) = (api.clone(), request(&unknown));
                tokio::spawn(async move { api.verify(&parts).await.map(drop) });
                settle().await;
            });
            drop(first);
            let failed = api.health().remove(0).failed_fetches;
            assert_eq!(failed, u64::from(!matches!(before, Before::Nothing)), "{before:?}");

            issuer.release();
            issuer.recover();
            issuer.rotate();
            issuer.withdraw("k1");
            let hours = Duration::from_hours(9);
            match suspended {
                true => clock.set(portcullis::time::Clock::now(&clock).plus(hours)),
                false => clock.advance(hours),
            }
            let good = issuer.token(RESOURCE).sign();
            let asked = issuer.fetches();
            let refused = runtime().block_on(api.verify(&request(&stolen)));
            let case = format!("{before:?}, suspended: {suspended}");
            assert_eq!(refused.unwrap_err().kind(), RejectionKind::UnknownKey, "{case}");
            assert_eq!(issuer.fetches(), asked + 1, "{case}");
            assert!(runtime().block_on(api.verify(&request(&good))).is_ok(), "{case}");

            // The twin: that the issuer is away is seen now, and its keys are kept for that.
            issuer.fail(Failure::Connection);
            clock.advance(hours);
            let late = issuer.token(RESOURCE).sign();
            assert!(runtime().block_on(api.verify(&request(&late))).is_ok(), "{case}");
        }
    }
}

/// An outage counts for three minutes since it was last seen, by either clock; then the issuer is asked first.
#[test]
fn an_outage_counts_for_three_minutes() {
    for suspended in [false, true] {
        for (seconds, counts) in [(180, true), (181, false)] {
            let clock = ManualClock::new();
            let issuer = TestIssuer::new("https://as.example", &clock);
            issuer.cache_control("max-age=60");
            let api = server(&clock, TestNetwork::of(&[&issuer]), [issuer.jwks()]);
            runtime().block_on(api.warm_up()).unwrap();
            issuer.fail(Failure::Connection);
            let unknown = with_kid(&issuer, "unknown");
            assert!(runtime().block_on(api.verify(&request(&unknown))).is_err());

            issuer.hold();
            let later = Duration::from_secs(seconds);
            match suspended {
                true => clock.set(portcullis::time::Clock::now(&clock).plus(later)),
                false => clock.advance(later),
            }
            let parts = request(&issuer.token(RESOURCE).sign());
            runtime().block_on(async {
                let api = api.clone();
                let asking = tokio::spawn(async move { api.verify(&parts).await.map(drop) });
                settle().await;
                let case = format!("{seconds} s, suspended: {suspended}");
                assert_eq!(asking.is_finished(), counts, "{case}");
                clock.advance(Duration::from_secs(1));
                let kind = asking.await.unwrap().err().map(|rejection| rejection.kind());
                let expected = (!counts).then_some(RejectionKind::KeysUnavailable);
                assert_eq!(kind, expected, "{case}");
            });
        }
    }
}

/// Attack 9: nor has a fetch seen one that was dropped a minute ago: the issuer is asked before an old key is
/// believed. The twin: one that failed.
#[test]
fn what_was_dropped_just_now_is_no_outage() {
    for dropped in [true, false] {
        let clock = ManualClock::new();
        let issuer = TestIssuer::new("https://as.example", &clock);
        issuer.cache_control("max-age=60");
        let api = server(&clock, TestNetwork::of(&[&issuer]), [issuer.jwks()]);
        runtime().block_on(api.warm_up()).unwrap();
        match dropped {
            true => issuer.hold(),
            false => issuer.fail(Failure::Connection),
        }
        let first = runtime();
        first.block_on(async {
            let (api, parts) = (api.clone(), request(&with_kid(&issuer, "unknown")));
            tokio::spawn(async move { api.verify(&parts).await.map(drop) });
            settle().await;
        });
        drop(first);
        assert_eq!(api.health().remove(0).failed_fetches, 1, "dropped: {dropped}");

        issuer.hold();
        clock.advance(Duration::from_secs(61));
        let parts = request(&issuer.token(RESOURCE).sign());
        runtime().block_on(async {
            let api = api.clone();
            let asking = tokio::spawn(async move { api.verify(&parts).await.map(drop) });
            settle().await;
            assert_eq!(asking.is_finished(), !dropped);
            issuer.recover();
            issuer.release();
            asking.await.unwrap().unwrap();
        });
    }
}

/// Attack 9: a machine that is suspended in the middle of a fetch finds its connection gone when it goes on.
/// That says nothing of the hours between.
#[tokio::test]
async fn a_fetch_that_a_suspension_broke_is_no_outage() {
    for suspension in [Duration::from_hours(8), Duration::ZERO] {
        let world = World::configured(TestIssuer::jwks);
        world.issuer.cache_control("max-age=60");
        world.api.warm_up().await.unwrap();
        world.issuer.hold();
        world.clock.advance(Duration::from_secs(59));
        world.settle().await;
        assert_eq!(world.issuer.fetches(), 2, "one is under way");

        world.clock.set(portcullis::time::Clock::now(&world.clock).plus(suspension));
        world.issuer.fail(Failure::Connection);
        world.issuer.release();
        world.settle().await;
        assert_eq!(world.health().failed_fetches, 1);
        world.issuer.recover();
        let stolen = world.issuer.token(RESOURCE).sign();
        world.issuer.rotate();
        world.issuer.withdraw("k1");
        world.clock.set(portcullis::time::Clock::now(&world.clock).plus(Duration::from_mins(1)));
        let refusal = world.refusal_of(&stolen).await;
        let expected = (!suspension.is_zero()).then_some(RejectionKind::UnknownKey);
        assert_eq!(refusal, expected, "{suspension:?}");
    }
}

/// DISC-11: an outage that goes on keeps the last good keys at every moment of it, however long
/// each fetch takes to fail, and also where one is dropped with its runtime.
#[test]
fn an_outage_that_goes_on_is_seen_all_along() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new("https://as.example", &clock);
    let api = server(&clock, TestNetwork::of(&[&issuer]), [issuer.jwks()]);
    let accepts = async || {
        clock.advance(Duration::from_secs(1));
        settle().await;
        let token = issuer.token(RESOURCE).sign();
        assert!(api.verify(&request(&token)).await.is_ok(), "{:?}", api.health());
    };
    let first = runtime();
    first.block_on(async {
        api.warm_up().await.unwrap();
        issuer.fail(Failure::Silence);
        for _ in 0..20 * 60 {
            accepts().await;
        }
        // The fetch that comes next is dropped just before it has failed.
        let asked = issuer.fetches();
        while issuer.fetches() == asked {
            accepts().await;
        }
        for _ in 0..3 {
            accepts().await;
        }
    });
    drop(first);
    assert_eq!(api.health().remove(0).state, KeyState::Stale);
    runtime().block_on(async {
        for _ in 0..5 * 60 {
            accepts().await;
        }
    });
}

/// Whoever was suspended has waited too: the backoff of an outage of hours ago holds up nobody.
#[tokio::test]
async fn a_backoff_ends_by_either_clock() {
    for (suspension, asked_again) in [(Duration::from_hours(8), true), (Duration::ZERO, false)] {
        let world = World::configured(TestIssuer::jwks);
        world.api.warm_up().await.unwrap();
        world.issuer.fail(Failure::Connection);
        for _ in 0..30 {
            world.clock.advance(Duration::from_mins(1));
            world.settle().await;
        }
        assert_eq!(world.health().next_refresh, Some(Duration::from_mins(1)));
        world.issuer.recover();
        let fetches = world.issuer.fetches();
        world.clock.set(portcullis::time::Clock::now(&world.clock).plus(suspension));
        assert!(world.accepts_new_token().await);
        assert_eq!(world.issuer.fetches() > fetches, asked_again, "{suspension:?}");
    }
}

/// JWS-14: a set is as old as the question for it, however long the answer takes.
#[tokio::test]
async fn keys_are_as_old_as_the_question_for_them() {
    let world = World::warm().await;
    world.issuer.hold();
    let (api, parts) = (world.api.clone(), request(&with_kid(&world.issuer, "new")));
    let waiting = tokio::spawn(async move { api.verify(&parts).await.map(drop) });
    world.settle().await;
    world.clock.advance(Duration::from_secs(20));
    world.settle().await;
    world.issuer.release();
    assert!(waiting.await.unwrap().is_err());
    world.settle().await;
    assert_eq!(world.health().age, Some(Duration::from_secs(20)));
}

#[test]
fn a_runtime_that_is_gone_blocks_nothing() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new("https://as.example", &clock);
    let api = server(&clock, TestNetwork::of(&[&issuer]), [issuer.discover()]);
    let gone = runtime();
    let handle = gone.handle().clone();
    drop(gone);
    {
        let _entered = handle.enter();
        let parts = request(&issuer.token(RESOURCE).sign());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let mut verify = Box::pin(api.verify(&parts));
        let _ = verify.as_mut().poll(&mut context);
    }
    assert_eq!(api.health().remove(0).failed_fetches, 1, "the dropped fetch is booked");
    clock.advance(Duration::from_secs(1));
    let parts = request(&issuer.token(RESOURCE).sign());
    assert!(runtime().block_on(api.verify(&parts)).is_ok());
}

#[test]
fn a_fetch_on_a_runtime_that_stands_still_is_given_up() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new("https://as.example", &clock);
    let api = server(&clock, TestNetwork::of(&[&issuer]), [issuer.discover()]);
    issuer.hold();
    let idle = runtime();
    idle.block_on(async {
        let (api, parts) = (api.clone(), request(&issuer.token(RESOURCE).sign()));
        tokio::spawn(async move { api.verify(&parts).await.map(drop) });
        settle().await;
    });
    // Nobody drives `idle` from here on, and its fetch never ends.
    issuer.release();
    let accepts = || runtime().block_on(api.verify(&request(&issuer.token(RESOURCE).sign())));
    clock.advance(Duration::from_secs(26));
    assert!(accepts().is_ok());
    drop(idle);
    assert!(accepts().is_ok(), "its late end changes nothing");
    assert_eq!(api.health().remove(0).failed_fetches, 0);
}

static LOGS: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A log subscriber that looks at the server's health while the server logs.
#[tokio::test]
async fn a_log_line_is_never_written_under_a_lock() {
    use tracing_subscriber::layer::{Context, SubscriberExt as _};
    struct Watch(std::sync::Arc<std::sync::Mutex<Vec<usize>>>, ResourceServer);
    impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Watch {
        fn on_event(&self, _: &tracing::Event<'_>, _: Context<'_, S>) {
            self.0.lock().unwrap().push(self.1.health().len());
        }
    }
    let world = World::new();
    world.issuer.fail(Failure::Connection);
    let seen = std::sync::Arc::default();
    let watch = Watch(std::sync::Arc::clone(&seen), world.api.clone());
    let subscriber = tracing_subscriber::registry().with(watch);
    // What `tracing` thinks of each call site is shared by all threads: one log at a time.
    // With one dispatcher alone, a call site is judged by the thread that meets it first.
    let _alone = LOGS.lock().await;
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let _guard = tracing::subscriber::set_default(subscriber);
    tracing::callsite::rebuild_interest_cache();
    assert!(!world.accepts_new_token().await);
    world.settle().await;
    assert!(seen.lock().unwrap().len() >= 2, "a failed fetch and a refusal were logged");
}

#[tokio::test]
async fn metadata_that_stopped_working_is_rested_and_reported() {
    let world = World::warm().await;
    world.issuer.metadata(json!({ "issuer": "https://evil.example", "jwks_uri": "https://x" }));
    for _ in 0..8 {
        world.clock.advance(Duration::from_mins(10));
        world.settle().await;
    }
    let error = world.health().last_error.unwrap();
    assert!(error.starts_with("metadata kept: "), "{error}");
    assert!(world.accepts_new_token().await, "the known jwks_uri still works");

    let before = world.network.fetches();
    for step in 0..600_u32 {
        world.refusal_of(&with_kid(&world.issuer, &format!("junk-{step}"))).await;
        world.clock.advance(Duration::from_millis(100));
    }
    let fetches = world.network.fetches() - before;
    assert!(fetches <= 15 + 2, "{fetches} fetches in a minute of junk");

    // Not for ever: a host that lapsed must not choose the keys for years.
    for _ in 0..24 * 6 {
        world.clock.advance(Duration::from_mins(10));
        world.settle().await;
    }
    assert_eq!(world.health().state, KeyState::Stale);
    world.clock.advance(Duration::from_hours(24));
    world.settle().await;
    let refusal = world.refusal_of(&world.issuer.token(RESOURCE).sign()).await;
    assert_eq!(refusal, Some(RejectionKind::KeysUnavailable));
}

#[test]
fn a_warm_up_outside_a_runtime_is_an_error() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new("https://as.example", &clock);
    let warm_up = |issuer: Issuer| {
        let api = server(&clock, TestNetwork::default(), [issuer]);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let mut warm_up = Box::pin(async move { api.warm_up().await });
        match warm_up.as_mut().poll(&mut context) {
            std::task::Poll::Ready(result) => result.map_err(|error| error.to_string()),
            std::task::Poll::Pending => panic!("nothing to wait for"),
        }
    };
    assert_eq!(warm_up(issuer.fixed_keys()), Ok(()), "nothing has to be fetched");
    let error = warm_up(issuer.discover()).unwrap_err();
    assert!(error.contains("no tokio runtime"), "{error}");
}

/// One line for a set with unusable keys, and none for the fetches that find it unchanged.
#[tokio::test]
async fn unusable_keys_are_logged_when_they_change() {
    use tracing_subscriber::layer::{Context, SubscriberExt as _};
    struct Count(std::sync::Arc<std::sync::atomic::AtomicUsize>);
    impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Count {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            if *event.metadata().level() == tracing::Level::WARN {
                self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        }
    }
    let lines = std::sync::Arc::<std::sync::atomic::AtomicUsize>::default();
    let subscriber = tracing_subscriber::registry().with(Count(std::sync::Arc::clone(&lines)));
    // What `tracing` thinks of each call site is shared by all threads: one log at a time.
    // With one dispatcher alone, a call site is judged by the thread that meets it first.
    let _alone = LOGS.lock().await;
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let _guard = tracing::subscriber::set_default(subscriber);
    tracing::callsite::rebuild_interest_cache();
    let world = World::new();
    for _ in 0..100 {
        world.issuer.publish(json!({ "kty": "AKP" }));
    }
    world.api.warm_up().await.unwrap();
    for _ in 0..5 {
        world.clock.advance(Duration::from_mins(10));
        world.settle().await;
    }
    assert!(world.issuer.fetches() >= 5);
    assert_eq!(lines.load(std::sync::atomic::Ordering::Relaxed), 1);
    world.issuer.publish(json!({ "kty": "other" }));
    world.clock.advance(Duration::from_mins(10));
    world.settle().await;
    assert_eq!(lines.load(std::sync::atomic::Ordering::Relaxed), 2);
}

/// Who configured another spelling is shown which there are; the first two of them.
#[tokio::test]
async fn an_issuer_that_is_none_is_told_beside_those_that_are() {
    let clock = ManualClock::new();
    let names = ["https://a.example", "https://b.example", "https://c.example"];
    let issuers = names.map(|name| TestIssuer::new(name, &clock));
    let token = TestIssuer::new("https://a.example/", &clock).token(RESOURCE).sign();
    for (count, told) in [
        (1, "not one of the issuers, wanted \"https://a.example\""),
        (2, "wanted \"https://a.example\" or \"https://b.example\""),
        (3, "wanted \"https://a.example\" or \"https://b.example\" or another"),
    ] {
        let configured = issuers.iter().take(count).map(TestIssuer::fixed_keys);
        let api = server(&clock, TestNetwork::default(), configured);
        let refused = api.verify(&request(&token)).await.unwrap_err();
        assert_eq!(refused.kind(), RejectionKind::UnknownIssuer);
        let text = refused.to_string();
        assert!(text.ends_with(told), "{text}");
    }
}
