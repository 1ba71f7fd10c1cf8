use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response};
use portcullis::check::allow_all;
use portcullis::sender::{
    MemoryReplayStore, ReplayAnswer, ReplayEntry, ReplayError, ReplayErrorKind, ReplayStore,
    Sighting,
};
use portcullis::time::Clock as _;
use portcullis::{Policy, RejectionKind as Kind, ResourceServer};
use tower::{Layer as _, ServiceExt as _, service_fn};

use super::support::{RESOURCE, bearer, builder, send};
use super::{World, dpop};

/// DPOP-17, DPOP-38: a proof is used once, also by its own client.
#[tokio::test]
async fn a_proof_is_used_once() {
    let world = World::new();
    let layer = world.api.layer();
    let token = world.bound().sign();
    let proof = world.proof(&token).sign();
    assert!(send(&layer, dpop(&token, [&proof])).await.passed());
    let again = send(&layer, dpop(&token, [&proof])).await;
    assert_eq!(again.kind(), Some(Kind::ProofReplayed));
    assert_eq!(again.error().as_deref(), Some("invalid_dpop_proof"));
    // Until it is refused for its age anyway.
    world.clock.advance(Duration::from_secs(59));
    assert_eq!(send(&layer, dpop(&token, [&proof])).await.kind(), Some(Kind::ProofReplayed));
    world.clock.advance(Duration::from_secs(2));
    assert_eq!(send(&layer, dpop(&token, [&proof])).await.kind(), Some(Kind::ProofNotFresh));
}

/// DPOP-41, attack 31: what is refused uses up nothing, and one client cannot use up another's `jti`.
#[tokio::test]
async fn a_refused_request_uses_up_nothing() {
    let world = World::new();
    let layer = world.api.layer();
    let token = world.bound().scope("a").sign();
    let proof = || world.proof(&token).claim("jti", "one");
    let other_token = world.bound().sign();
    for (name, refused) in [
        ("another token", proof().token(&other_token).sign()),
        ("a bad signature", proof().tampered()),
        ("another method", proof().claim("htm", "PUT").sign()),
    ] {
        assert!(!send(&layer, dpop(&token, [refused])).await.passed(), "{name}");
    }
    let strict = world.api.protect(portcullis::check::scope("b"));
    let refused = send(&strict, dpop(&token, [proof().sign()])).await;
    assert_eq!(refused.kind(), Some(Kind::InsufficientScope));
    // Another client with its own key and the same `jti`.
    let clock = &world.clock;
    let mallory =
        portcullis::testing::ClientKey::generate(portcullis::jose::Algorithm::Es256, clock);
    let hers = world.unbound().claim("cnf", mallory.confirmation()).sign();
    let her_proof = mallory.proof("GET", &format!("{RESOURCE}/notes")).token(&hers);
    assert!(send(&layer, dpop(&hers, [her_proof.claim("jti", "one").sign()])).await.passed());

    assert!(send(&layer, dpop(&token, [proof().sign()])).await.passed());
    let again = send(&layer, dpop(&token, [proof().sign()])).await;
    assert_eq!(again.kind(), Some(Kind::ProofReplayed));
}

/// How many of a thousand requests with one proof pass, sent at once to these servers in turn.
async fn at_once(
    servers: &[ResourceServer],
    policy: &Policy,
    request: impl Fn() -> Request<String>,
) -> usize {
    let passed = Arc::new(AtomicUsize::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for at in 0..1_000 {
        let count = Arc::clone(&passed);
        let inner = service_fn(move |_: Request<String>| {
            count.fetch_add(1, Ordering::SeqCst);
            async { Ok::<_, Infallible>(Response::new(String::new())) }
        });
        let service = servers[at % servers.len()].protect(policy.clone()).layer(inner);
        let request = request();
        tasks.spawn(async move { service.oneshot(request).await.unwrap().status() });
    }
    let mut accepted = 0;
    while let Some(status) = tasks.join_next().await {
        accepted += usize::from(status.unwrap() == 200);
    }
    assert_eq!(accepted, passed.load(Ordering::SeqCst));
    accepted
}

/// Attack 31: one proof a thousand times at once is accepted exactly once, also by two servers that
/// share a store; servers that do not would each accept it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_proof_sent_a_thousand_times_at_once_is_accepted_once() {
    let world = World::new();
    let server = |store: Arc<MemoryReplayStore>| {
        let server = builder(&world.clock).issuer(world.issuer.fixed_keys());
        server.dpop(portcullis::Dpop::new()).replay_store(store).build().unwrap()
    };
    let token = world.bound().sign();
    let store = || Arc::new(MemoryReplayStore::with_capacity(10_000));
    let policy = Policy::new(allow_all());

    let proof = world.proof(&token).sign();
    let one = at_once(&[server(store())], &policy, || dpop(&token, [&proof])).await;
    assert_eq!(one, 1);
    let shared = store();
    let two = [server(Arc::clone(&shared)), server(shared)];
    let proof = world.proof(&token).sign();
    assert_eq!(at_once(&two, &policy, || dpop(&token, [&proof])).await, 1);
    let apart = [server(store()), server(store())];
    let proof = world.proof(&token).sign();
    assert_eq!(at_once(&apart, &policy, || dpop(&token, [&proof])).await, 2);

    // And a token for one use.
    let policy = policy.single_use();
    let token = world.unbound().sign();
    assert_eq!(at_once(&two, &policy, || bearer(&token)).await, 1);
}

/// Single use: a token is used up by the first request that passes, until it has expired.
#[tokio::test]
async fn a_token_for_one_task_is_used_once() {
    let world = World::new();
    let once = world.api.protect(Policy::new(portcullis::check::scope("task")).single_use());
    let other = world.api.protect(Policy::new(allow_all()).single_use());
    let plain = world.api.layer();
    let token = world.unbound().scope("task").sign();
    // What is refused, and what is used where it does not count, uses up nothing.
    let elsewhere = world.api.protect(Policy::new(portcullis::check::scope("x")).single_use());
    assert_eq!(send(&elsewhere, bearer(&token)).await.kind(), Some(Kind::InsufficientScope));
    assert!(send(&plain, bearer(&token)).await.passed());

    assert!(send(&once, bearer(&token)).await.passed());
    for layer in [&once, &other] {
        let again = send(layer, bearer(&token)).await;
        assert_eq!(again.kind(), Some(Kind::TokenUsed));
        assert_eq!(again.error().as_deref(), Some("invalid_token"));
    }
    assert!(send(&plain, bearer(&token)).await.passed());
    assert!(send(&once, bearer(&world.unbound().scope("task").sign())).await.passed());

    // It is remembered for as long as it could be accepted, leeway included.
    world.clock.advance(Duration::from_secs(309));
    assert_eq!(send(&once, bearer(&token)).await.kind(), Some(Kind::TokenUsed));
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(send(&once, bearer(&token)).await.kind(), Some(Kind::Expired));
}

/// A replayed proof does not use up the token.
#[tokio::test]
async fn a_replayed_proof_does_not_use_up_a_token() {
    let world = World::new();
    let plain = world.api.layer();
    let once = world.api.protect(Policy::new(allow_all()).single_use());
    let token = world.bound().sign();
    let proof = world.proof(&token).sign();
    assert!(send(&plain, dpop(&token, [&proof])).await.passed());
    assert_eq!(send(&once, dpop(&token, [&proof])).await.kind(), Some(Kind::ProofReplayed));
    assert!(send(&once, dpop(&token, [world.proof(&token).sign()])).await.passed());
    let third = send(&once, dpop(&token, [world.proof(&token).sign()])).await;
    assert_eq!(third.kind(), Some(Kind::TokenUsed));
}

/// Attack 30 (CVE-2026-41707): a client that floods the memory shuts out nobody but itself, and its old
/// proofs stay used.
#[tokio::test]
async fn a_flood_is_answered_with_503_for_the_one_that_floods() {
    let world = World::with(|builder| {
        builder.replay_store(MemoryReplayStore::with_capacity(4_096).client_share(64))
    });
    let layer = world.api.layer();
    let token = world.bound().client_id("flood").sign();
    let first = world.proof(&token).sign();
    assert!(send(&layer, dpop(&token, [&first])).await.passed());
    let mut refused = 0;
    for _ in 0..100 {
        let sent = send(&layer, dpop(&token, [world.proof(&token).sign()])).await;
        match sent.kind() {
            None => {}
            Some(Kind::ReplayUnavailable) => {
                assert_eq!(sent.response.status(), 503);
                assert!(sent.response.headers().contains_key("retry-after"));
                assert!(!sent.response.headers().contains_key("www-authenticate"));
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(refused, 100 - 63);
    let health = world.api.replay_health().unwrap();
    assert_eq!((health.entries, health.client_full, health.fullest_share_percent), (64, 37, 100));
    assert_eq!(send(&layer, dpop(&token, [&first])).await.kind(), Some(Kind::ProofReplayed));
    let other = world.bound().client_id("other").sign();
    assert!(send(&layer, dpop(&other, [world.proof(&other).sign()])).await.passed());
}

/// A user who floods shuts out nobody but itself, not the other users of the same client.
#[tokio::test]
async fn a_user_who_floods_shuts_out_no_other_user_of_its_client() {
    let world = World::with(|builder| {
        builder.replay_store(MemoryReplayStore::with_capacity(8_000).client_share(4_000))
    });
    let layer = world.api.layer();
    let mallory = world.bound().client_id("app").subject("mallory").sign();
    let mut refused = 0;
    for _ in 0..1_100 {
        let sent = send(&layer, dpop(&mallory, [world.proof(&mallory).sign()])).await;
        match sent.kind() {
            None => assert_eq!(refused, 0),
            Some(Kind::ReplayUnavailable) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(refused, 1_100 - 1_024);
    let alice = world.bound().client_id("app").subject("alice").sign();
    assert!(send(&layer, dpop(&alice, [world.proof(&alice).sign()])).await.passed());
    // A client that acts for itself has its whole share.
    let own = world.bound().client_id("batch").subject("batch").sign();
    for _ in 0..1_100 {
        assert!(send(&layer, dpop(&own, [world.proof(&own).sign()])).await.passed());
    }
}

/// A proof has one end, whenever it is used: one with a nonce, from a clock that is ahead, is not
/// accepted again when the window of its `iat` opens while its request waits.
#[tokio::test]
async fn a_proof_with_a_nonce_is_remembered_until_its_time_has_passed_too() {
    let nonces = portcullis::sender::Nonces::optional();
    let world = World::with(|builder| builder.dpop(portcullis::Dpop::new().nonces(nonces)));
    let layer = world.api.layer();
    let token = world.unbound().claim("cnf", world.client.confirmation());
    let now = world.clock.now();
    let token = token.expires_at(now.plus(Duration::from_mins(30))).sign();
    let first = send(&layer, dpop(&token, [world.proof(&token).nonce("x").sign()])).await;
    let nonce = first.response.headers()["dpop-nonce"].to_str().unwrap().to_owned();
    let ahead = now.plus(Duration::from_secs(300));
    let proof = world.proof(&token).issued_at(ahead).nonce(&nonce).sign();
    world.clock.advance(Duration::from_secs(30));
    assert!(send(&layer, dpop(&token, [&proof])).await.passed());

    // The thief's request is decided while the nonce lives, and asked again when it does not.
    let clock = world.clock.clone();
    let slow = Policy::new(allow_all()).and_async(move |_| {
        let clock = clock.clone();
        async move {
            clock.advance(Duration::from_millis(1_200));
            Ok::<_, portcullis::check::CheckError>(())
        }
    });
    world.clock.set(now.plus(Duration::from_millis(299_900)));
    let again = send(&world.api.protect(slow), dpop(&token, [&proof])).await;
    assert_eq!(again.kind(), Some(Kind::ProofReplayed));
}

/// The guard itself sees to the end of a proof: a store that forgets too early, or answers late, is no
/// way round it.
#[tokio::test]
async fn what_ended_while_the_store_was_asked_is_refused() {
    struct Forgetful(portcullis::testing::ManualClock);
    impl ReplayStore for Forgetful {
        fn record(&self, _: &ReplayEntry<'_>) -> ReplayAnswer {
            let clock = self.0.clone();
            ReplayAnswer::Later(Box::pin(async move {
                clock.advance(Duration::from_millis(900));
                Ok(Sighting::First)
            }))
        }
    }
    for (age, kind) in [(58, None), (60, Some(Kind::ProofNotFresh))] {
        let clock = portcullis::testing::ManualClock::new();
        let issuer = portcullis::testing::TestIssuer::new(super::ISSUER, &clock);
        let client =
            portcullis::testing::ClientKey::generate(portcullis::jose::Algorithm::Es256, &clock);
        let api = builder(&clock)
            .issuer(issuer.fixed_keys())
            .dpop(portcullis::Dpop::new())
            .replay_store(Forgetful(clock.clone()))
            .build()
            .unwrap();
        let token = issuer.token(RESOURCE).claim("cnf", client.confirmation()).sign();
        let proof = client.proof("GET", &format!("{RESOURCE}/notes")).token(&token).sign();
        clock.advance(Duration::from_secs(age));
        let sent = send(&api.layer(), dpop(&token, [&proof])).await;
        assert_eq!(sent.kind(), kind, "{age}");
    }
}

/// A store on another machine: its answer is waited for, and its silence or failure is a 503.
#[tokio::test]
async fn a_store_that_answers_later_is_waited_for() {
    #[derive(Clone, Copy, PartialEq)]
    enum Answers {
        Later,
        Never,
        Fails,
    }
    struct Remote(Arc<MemoryReplayStore>, Answers);
    impl ReplayStore for Remote {
        fn record(&self, entry: &ReplayEntry<'_>) -> ReplayAnswer {
            let answer = match self.0.record(entry) {
                ReplayAnswer::Now(answer) => answer,
                _ => panic!("the embedded store answers at once"),
            };
            let answers = self.1;
            ReplayAnswer::Later(Box::pin(async move {
                tokio::task::yield_now().await;
                match answers {
                    Answers::Later => answer,
                    Answers::Never => std::future::pending().await,
                    Answers::Fails => Err(ReplayError::new(ReplayErrorKind::Unavailable, "down")),
                }
            }))
        }
    }
    for (answers, expected) in [
        (Answers::Later, None),
        (Answers::Fails, Some(Kind::ReplayUnavailable)),
        (Answers::Never, Some(Kind::ReplayUnavailable)),
    ] {
        let store = Arc::new(MemoryReplayStore::with_capacity(100));
        let world =
            World::with(|builder| builder.replay_store(Remote(Arc::clone(&store), answers)));
        let policy = Policy::new(allow_all()).single_use();
        let layer = world.api.protect(policy.clone());
        let token = world.bound().sign();
        let proof = world.proof(&token).sign();
        let clock = world.clock.clone();
        let request = dpop(&token, [&proof]);
        let task = async {
            let sent = send(&layer, request).await;
            assert_eq!(sent.kind(), expected);
            assert_eq!(sent.passed(), expected.is_none());
        };
        let tick = async {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            if answers == Answers::Never {
                clock.advance(Duration::from_secs(1));
            }
        };
        tokio::join!(task, tick);
        if answers == Answers::Later {
            assert_eq!(store.len(), 2, "the proof and the token");
            let again = send(&layer, dpop(&token, [&proof])).await;
            assert_eq!(again.kind(), Some(Kind::ProofReplayed));
            // And without tower.
            let guard = world.api.guard(policy).unwrap();
            let (parts, _) = dpop(&token, [world.proof(&token).sign()]).into_parts();
            assert_eq!(guard.verify(&parts).await.unwrap_err().kind(), Kind::TokenUsed);
        }
    }
}
