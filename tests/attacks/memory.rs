//! What is remembered: verdicts, keys and fetches.

use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderValue, StatusCode};
use portcullis::check::{allow_all, scope};
use portcullis::issuer::KeyRefresh;
use portcullis::testing::{Failure, ManualClock, TestIssuer, TestNetwork, TokenBuilder};
use portcullis::time::Clock as _;
use portcullis::{RejectionKind as Kind, ResourceServer, assert_challenge};

use crate::support::{
    ISSUER, RESOURCE, World, bearer, builder, junk, parts, present, send, settle,
};

/// CVE-2026-107719.
#[tokio::test]
async fn a_token_that_was_accepted_still_expires() {
    let world = World::new().await;
    let token = world.token().sign();
    for _ in 0..3 {
        assert!(present(&world.api, &token).await.is_ok());
    }
    world.clock.advance(Duration::from_secs(310));
    for _ in 0..3 {
        assert_eq!(present(&world.api, &token).await.unwrap_err().kind(), Kind::Expired);
    }
    // Another one does not bring it back.
    assert!(present(&world.api, &world.token().sign()).await.is_ok());
    assert_eq!(present(&world.api, &token).await.unwrap_err().kind(), Kind::Expired);
}

/// CVE-2026-35039.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_tokens_claims_never_answer_for_another() {
    let world = World::new().await;
    // Alike in all but one letter of the subject: one header, one `jti`, one length.
    let tokens: Vec<(String, String)> = ('a'..='z')
        .map(|letter| {
            let subject = format!("user-{letter}");
            let token = world.token().subject(&subject).claim("jti", "one").sign();
            (subject, token)
        })
        .collect();
    let (_, first) = &tokens[0];
    let [header, payload, signature] = parts(first);
    let mut rounds = tokio::task::JoinSet::new();
    for round in 0..8 {
        let (api, mut tokens) = (world.api.clone(), tokens.clone());
        tokens.rotate_left(round * 3);
        rounds.spawn(async move {
            for (subject, token) in tokens {
                let access = present(&api, &token).await.unwrap();
                assert_eq!(access.subject(), &subject.as_str());
            }
        });
    }
    while let Some(round) = rounds.join_next().await {
        round.unwrap();
    }
    // Parts of accepted tokens, put together anew.
    for (_, other) in &tokens[1..] {
        let [_, other_payload, other_signature] = parts(other);
        for mixed in [
            format!("{header}.{other_payload}.{signature}"),
            format!("{header}.{payload}.{other_signature}"),
        ] {
            assert_eq!(present(&world.api, &mixed).await.unwrap_err().kind(), Kind::BadSignature);
        }
    }
}

/// CVE-2021-32701.
#[tokio::test]
async fn a_decision_for_one_route_is_none_for_another() {
    let world = World::new().await;
    let other = ResourceServer::builder("https://other.example")
        .binding(portcullis::Binding::WhereBound)
        .class(portcullis::TokenClass::default_at_most(Duration::from_hours(1)))
        .clock(world.clock.clone())
        .issuer(world.issuer.fixed_keys())
        .build()
        .unwrap();
    let token = world.token().scope("read").sign();
    let read = world.api.protect(scope("read"));
    let write = world.api.protect(scope("write"));
    let any = world.api.protect(allow_all());
    for _ in 0..2 {
        assert!(send(&read, bearer(&token)).await.passed());
        assert!(send(&any, bearer(&token)).await.passed());
        let sent = send(&write, bearer(&token)).await;
        assert_challenge!(
            sent.response,
            403,
            "Bearer",
            error = "insufficient_scope",
            scope = "write"
        );
        let sent = send(&other.protect(scope("read")), bearer(&token)).await;
        assert_eq!(sent.kind(), Some(Kind::WrongAudience));
    }
}

/// A verified token that is remembered beyond its key.
#[tokio::test]
async fn a_token_that_was_accepted_dies_with_its_key() {
    let world = World::new().await;
    let long =
        |token: TokenBuilder| token.expires_at(world.clock.now().plus(Duration::from_hours(1)));
    let token = long(world.token()).sign();
    for _ in 0..3 {
        assert!(present(&world.api, &token).await.is_ok());
    }
    world.issuer.rotate();
    world.issuer.withdraw("k1");
    world.clock.advance(Duration::from_mins(30));
    settle().await;
    let sent = send(&world.api.layer(), bearer(&token)).await;
    assert_eq!(sent.kind(), Some(Kind::UnknownKey));
    // Its twin: as old, and signed by the key that is still there.
    let token = long(world.token()).sign();
    world.clock.advance(Duration::from_mins(30));
    settle().await;
    assert!(present(&world.api, &token).await.is_ok());
}

/// Unknown key ids, an empty set and a failing issuer, each as a way to make a verifier fetch.
#[tokio::test]
async fn junk_costs_few_fetches_and_no_one_elses() {
    const STEP: Duration = Duration::from_millis(30);
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum State {
        Good,
        Failing,
        Empty,
    }
    for state in [State::Good, State::Failing, State::Empty] {
        let clock = ManualClock::new();
        let issuer = TestIssuer::new(ISSUER, &clock);
        let config =
            issuer.jwks().key_refresh(KeyRefresh::new().fresh_at_least(Duration::from_mins(10)));
        let api =
            builder(&clock).issuer(config).transport(TestNetwork::of(&[&issuer])).build().unwrap();
        api.warm_up().await.unwrap();
        let good = issuer.token(RESOURCE).sign();
        let input: Vec<String> = (0..2_000).map(|n| junk(&issuer, &format!("junk-{n}"))).collect();
        match state {
            State::Good => {}
            State::Failing => issuer.fail(Failure::Status(StatusCode::BAD_GATEWAY)),
            State::Empty => issuer.withdraw("k1"),
        }
        let before = issuer.fetches();
        // A minute of them.
        for (number, token) in input.iter().enumerate() {
            let refused = present(&api, token).await.unwrap_err();
            assert_eq!(refused.kind(), Kind::UnknownKey);
            if number % 50 == 0 && state != State::Empty {
                // A known key is not touched by it.
                assert!(present(&api, &good).await.is_ok(), "{state:?} {number}");
            }
            clock.advance(STEP);
        }
        let fetched = issuer.fetches() - before;
        assert!((1..=15).contains(&fetched), "{state:?}: {fetched} fetches");
        if state != State::Good {
            continue;
        }
        // A key that is really new is taken while it goes on.
        issuer.rotate();
        let new = issuer.token(RESOURCE).sign();
        let mut taken = None;
        for (number, token) in input.iter().enumerate().take(201) {
            assert!(present(&api, token).await.is_err());
            if present(&api, &new).await.is_ok() {
                taken = Some(STEP * u32::try_from(number).unwrap());
                break;
            }
            clock.advance(STEP);
        }
        assert!(taken.is_some_and(|time| time <= Duration::from_secs(6)), "{taken:?}");
    }
}

/// A cold verifier whose every bad token asks for keys.
#[tokio::test]
async fn an_issuer_that_never_answered_is_asked_ever_less() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    issuer.fail(Failure::Connection);
    let api = builder(&clock)
        .issuer(issuer.jwks())
        .transport(TestNetwork::of(&[&issuer]))
        .build()
        .unwrap();
    let (good, junk) = (issuer.token(RESOURCE).sign(), junk(&issuer, "x"));
    for _ in 0..1_000 {
        for token in [&good, &junk] {
            assert_eq!(present(&api, token).await.unwrap_err().kind(), Kind::KeysUnavailable);
        }
        clock.advance(Duration::from_millis(60));
    }
    assert!((1..=15).contains(&issuer.fetches()), "{}", issuer.fetches());
    issuer.recover();
    clock.advance(Duration::from_mins(2));
    assert!(present(&api, &issuer.token(RESOURCE).sign()).await.is_ok());
}

/// CVE-2025-64527.
#[tokio::test]
async fn two_fields_are_refused_before_anything_is_fetched() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let network = TestNetwork::of(&[&issuer]);
    let api = builder(&clock).issuer(issuer.discover()).transport(network.clone()).build().unwrap();
    let token = issuer.token(RESOURCE).sign();
    let field = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
    for more in 1..4 {
        let mut request = bearer(&token);
        for _ in 0..more {
            request.headers_mut().append(AUTHORIZATION, field.clone());
        }
        let sent = send(&api.layer(), request).await;
        assert_eq!(sent.kind(), Some(Kind::SeveralCredentials));
        assert_challenge!(sent.response, 400, "Bearer", error = "invalid_request");
    }
    assert_eq!(network.fetches(), 0);
    assert!(send(&api.layer(), bearer(&token)).await.passed());
}
