//! What is fetched (RFC 8936): what is asked, what is told, and when.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_LANGUAGE, CONTENT_TYPE};
use http::{Request, StatusCode};
use portcullis::RejectionKind as Kind;
use portcullis::revocation::{EventStream, Poll, Push, Revocation, Source, SourceState};
use portcullis::testing::{Failure, ManualClock, TestNetwork, TestTransmitter, TokenBuilder};
use portcullis::transport::{Fetch, FetchLimits, Transport};
use serde_json::{Value, json};

use crate::support::{ISSUER, settle, until};
use crate::world::{AUDIENCE, MINUTE, SECOND, SECRET, SecretFile, TRANSMITTER, World};

const THIRD: std::time::Duration = std::time::Duration::from_secs(20);

/// Without authorization: to read a secret takes a thread of its own.
fn polled(settings: impl FnOnce(Poll) -> Poll) -> World {
    let stream = |tx: &TestTransmitter| {
        tx.without_authorization();
        tx.fixed_keys().poll(settings(tx.polled()))
    };
    World::with(stream, |source| source)
}

/// A world that was polled once, and knows everything.
async fn started(settings: impl FnOnce(Poll) -> Poll) -> World {
    let world = polled(settings);
    world.start().await;
    until("the first answer", || world.health().state == SourceState::Fresh).await;
    world
}

fn body(world: &World, index: usize) -> Value {
    world.transmitter.polls()[index].0.clone()
}

/// Lets a third of the maximum age pass, and the poll that follows come to its end.
async fn next_poll(world: &World) {
    let before = world.transmitter.polls().len();
    settle().await;
    world.clock.advance(THIRD);
    until("the next poll", || world.transmitter.polls().len() > before).await;
    settle().await;
}

/// POLL-01, attack 42: a poll as RFC 8936 §2.2 has it; events count before they are acknowledged, and are
/// acknowledged without waiting for the next round.
#[tokio::test]
async fn events_are_fetched_stored_and_acknowledged() {
    let secret = SecretFile::new("polls");
    let world = polled(|poll| poll.authorization(secret.source()));
    world.transmitter.authorization(SECRET);
    world.start().await;
    until("the first answer", || world.health().state == SourceState::Fresh).await;
    let (first, fields) = world.transmitter.polls().remove(0);
    assert_eq!(first, json!({ "maxEvents": 50, "returnImmediately": true }));
    assert_eq!(fields[CONTENT_TYPE], "application/json");
    assert_eq!(fields[ACCEPT], "application/json");
    assert_eq!(fields[AUTHORIZATION], SECRET);
    assert!(!fields.contains_key(CONTENT_LANGUAGE));
    let token = world.token();
    assert_eq!(world.kind(&token).await, None);

    world.transmitter.offer(&world.transmitter.session_revoked(ISSUER, "alice"));
    next_poll(&world).await;
    until("it counts", || world.health().applied == 1).await;
    assert_eq!(world.kind(&token).await, Some(Kind::Revoked));
    until("it was acknowledged", || world.transmitter.acknowledged() == ["set-1"]).await;
    let polls = world.transmitter.polls();
    assert_eq!(polls.len(), 3);
    let expected = json!({ "maxEvents": 0, "returnImmediately": true, "ack": ["set-1"] });
    assert_eq!(body(&world, 2), expected, "nothing but the acknowledgement");
    next_poll(&world).await;
    assert_eq!(body(&world, 3), json!({ "maxEvents": 50, "returnImmediately": true }));
}

/// POLL-02: what is left is fetched at once, and each round is acknowledged with the next.
#[tokio::test]
async fn what_is_left_is_fetched_at_once() {
    let world = polled(|poll| poll.max_events(2));
    for name in ["alice", "bob", "carol", "dave", "erin"] {
        world.transmitter.offer(&world.transmitter.session_revoked(ISSUER, name));
    }
    world.start().await;
    until("all were acknowledged", || world.transmitter.acknowledged().len() == 5).await;
    assert_eq!(body(&world, 1)["ack"], json!(["set-1", "set-2"]));
    assert_eq!(body(&world, 2)["ack"], json!(["set-3", "set-4"]));
    assert_eq!(body(&world, 3)["ack"], json!(["set-5"]));
    assert_eq!(world.transmitter.polls().len(), 4);
    for name in ["alice", "erin"] {
        assert_eq!(world.kind(&world.token().subject(name)).await, Some(Kind::Revoked));
    }
    assert_eq!(world.health().state, SourceState::Fresh);
}

/// POLL-03, POLL-04, PUSH-04: a bad SET is reported alone, in a language; the others count.
#[tokio::test]
async fn a_bad_set_is_reported_alone() {
    let world = started(|poll| poll).await;
    let tx = &world.transmitter;
    let good = |name: &str| tx.session_revoked(ISSUER, name);
    tx.offer(&good("alice").claim("jti", "good-1"));
    tx.offer_as("unsigned", good("alice").claim("jti", "unsigned").unsigned("none"));
    tx.offer_as("tampered", good("bob").claim("jti", "tampered").tampered());
    tx.offer_as("another", good("bob").claim("jti", "not-another").sign());
    tx.offer_as("issuer", good("bob").claim("jti", "issuer").claim("iss", ISSUER).sign());
    tx.offer_as("audience", good("bob").claim("jti", "audience").claim("aud", "x").sign());
    tx.offer_as("state", tx.verification(Some("x")).claim("jti", "state").sign());
    tx.offer_as("number", json!(7));
    tx.offer_as("text", "hello");
    tx.offer_as("long", "a".repeat(70_000));
    tx.offer(&good("carol").claim("jti", "good-2"));
    next_poll(&world).await;
    assert_eq!(world.health().age, Some(THIRD), "what was refused may have mattered");
    assert_eq!(world.health().failures, 1);
    until("the bad ones were reported", || tx.refused().len() == 9).await;
    let mut refused: Vec<(String, String)> = tx
        .refused()
        .into_iter()
        .map(|(jti, error)| {
            assert!(!error["description"].as_str().unwrap().is_empty());
            (jti, error["err"].as_str().unwrap().to_owned())
        })
        .collect();
    refused.sort();
    let expected = [
        ("another", "invalid_request"),
        ("audience", "invalid_audience"),
        ("issuer", "invalid_issuer"),
        ("long", "invalid_request"),
        ("number", "invalid_request"),
        ("state", "invalid_state"),
        ("tampered", "invalid_key"),
        ("text", "invalid_request"),
        ("unsigned", "invalid_key"),
    ];
    assert_eq!(refused, expected.map(|(jti, err)| (jti.to_owned(), err.to_owned())));
    let mut acknowledged = tx.acknowledged();
    acknowledged.sort();
    assert_eq!(acknowledged, ["good-1", "good-2"]);
    let told = tx.polls().into_iter().find(|(body, _)| body.get("setErrs").is_some()).unwrap();
    assert_eq!(told.1[CONTENT_LANGUAGE], "en");
    let kind = async |name: &str| world.kind(&world.issuer_token(THIRD).subject(name)).await;
    assert_eq!(kind("alice").await, Some(Kind::Revoked));
    assert_eq!(kind("bob").await, None);
    assert_eq!(kind("carol").await, Some(Kind::Revoked));
    assert_eq!(world.health().discarded, 9);
    next_poll(&world).await;
    assert!(body(&world, world.transmitter.polls().len() - 1).get("setErrs").is_none());
    assert_eq!(world.health().age, Some(std::time::Duration::ZERO), "the round after it is good");
}

/// Attack 42, POLL-02: what could not be stored is not acknowledged, comes again, and counts then; nor
/// is the stream believed to be complete.
#[tokio::test]
async fn attack_42_what_is_not_stored_is_not_acknowledged() {
    let stream = |tx: &TestTransmitter| {
        tx.without_authorization();
        tx.fixed_keys().poll(tx.polled())
    };
    let source = |stream| Source::new("caep", stream);
    let world =
        World::at(ManualClock::new(), stream, source, |known: Revocation| known.max_records(1));
    for name in ["alice", "bob"] {
        world.transmitter.offer(&world.transmitter.session_revoked(ISSUER, name));
    }
    world.start().await;
    until("a failure", || world.health().failures > 0).await;
    settle().await;
    assert_eq!(world.transmitter.acknowledged(), Vec::<String>::new());
    assert_eq!(world.transmitter.waiting().len(), 2);
    assert_eq!(world.health().state, SourceState::NeverSynchronised);
    assert!(world.health().last_error.unwrap().contains("no room"));
}

/// Attack 42: without the transmitter's keys a SET is neither acknowledged nor reported; it comes again.
#[tokio::test]
async fn attack_42_without_keys_nothing_is_said_about_a_set() {
    let stream = |tx: &TestTransmitter| {
        tx.without_authorization();
        tx.jwks().poll(tx.polled())
    };
    let world = World::with(stream, |source| source);
    world.transmitter.issuer().fail(Failure::Connection);
    world.transmitter.offer(&world.transmitter.session_revoked(ISSUER, "alice"));
    world.start().await;
    until("a failure", || world.health().failures > 0).await;
    assert_eq!(world.transmitter.waiting().len(), 1);
    assert_eq!(world.transmitter.refused().len(), 0);
    assert_eq!(world.health().state, SourceState::NeverSynchronised);
    world.transmitter.issuer().recover();
    for _ in 0..20 {
        world.clock.advance(5 * SECOND);
        settle().await;
    }
    until("it was acknowledged", || world.transmitter.acknowledged() == ["set-1"]).await;
    assert_eq!(world.kind(&world.issuer_token(2 * MINUTE)).await, Some(Kind::Revoked));
}

/// A stream whose keys are at a URL, of which the first answer came while that failed, and which gives
/// nothing again for now. Strangers can push to it.
async fn held_back() -> World {
    let stream = |tx: &TestTransmitter| {
        tx.without_authorization();
        tx.jwks().push(Push::new().signature_only()).poll(tx.polled())
    };
    let world = World::with(stream, |source| source);
    world.transmitter.issuer().fail(Failure::Connection);
    world.transmitter.hold_back();
    world.transmitter.offer(&world.transmitter.session_revoked(ISSUER, "alice"));
    world.start().await;
    until("a failure", || world.health().failures > 0).await;
    world.transmitter.issuer().recover();
    world
}

/// Lets so many seconds pass.
async fn pass(world: &World, seconds: usize) {
    for _ in 0..seconds {
        settle().await;
        world.clock.advance(SECOND);
    }
    settle().await;
}

/// Attack 42: what has to come again is not forgotten when an answer comes without it.
#[tokio::test]
async fn attack_42_what_does_not_come_again_at_once_is_not_forgotten() {
    let world = held_back().await;
    pass(&world, 60).await;
    assert!(world.transmitter.polls().len() > 3, "empty answers came");
    assert_eq!(world.health().state, SourceState::NeverSynchronised);
    assert!(world.health().last_error.unwrap().contains("1 events came"));
    assert_eq!(world.kind(&world.token()).await, Some(Kind::RevocationUnavailable));
    world.transmitter.give_again();
    pass(&world, 59).await;
    until("it was acknowledged", || world.transmitter.acknowledged() == ["set-1"]).await;
    assert_eq!(world.health().state, SourceState::Fresh);
    assert_eq!(world.kind(&world.issuer_token(3 * MINUTE)).await, Some(Kind::Revoked));
}

/// Attack 42: a stranger who gives a bad SET under the name of one that has to come again does not make it
/// forgotten.
#[tokio::test]
async fn attack_42_strangers_end_no_debt() {
    let world = held_back().await;
    pass(&world, 20).await;
    let forged = world.transmitter.session_revoked(ISSUER, "bob").claim("jti", "set-1").tampered();
    assert_eq!(world.push_text(forged).await.err().as_deref(), Some("invalid_key"));
    let polls = world.transmitter.polls().len();
    pass(&world, 45).await;
    assert!(world.transmitter.polls().len() > polls, "empty answers came");
    assert_eq!(world.health().state, SourceState::NeverSynchronised);
    world.transmitter.give_again();
    pass(&world, 60).await;
    assert_eq!(world.transmitter.acknowledged(), ["set-1"]);
    assert_eq!(world.health().state, SourceState::Fresh);
}

/// Attack 42: a SET that nobody could judge, and that never comes again, is waited for during twice the
/// maximum age.
#[tokio::test]
async fn what_could_not_be_judged_is_not_waited_for_without_end() {
    let world = held_back().await;
    pass(&world, 115).await;
    assert_eq!(world.health().state, SourceState::NeverSynchronised);
    pass(&world, 66).await;
    assert_eq!(world.health().state, SourceState::Fresh);
}

/// Attack 42: a SET from the future is the transmitter's: it comes again until it can be believed.
#[tokio::test]
async fn attack_42_a_fetched_set_from_the_future_comes_again() {
    let world = started(|poll| poll).await;
    let ahead = world.now().plus(6 * MINUTE).as_secs();
    world.transmitter.hold_back();
    let set = world.transmitter.session_revoked(ISSUER, "alice");
    world.transmitter.offer(&set.claim("iat", ahead));
    next_poll(&world).await;
    pass(&world, 200).await;
    assert_eq!(world.transmitter.refused(), []);
    assert_eq!(world.transmitter.waiting(), ["set-1"]);
    assert_eq!(world.health().state, SourceState::Stale, "it is waited for without end");
    world.transmitter.give_again();
    pass(&world, 120).await;
    until("it was acknowledged", || world.transmitter.acknowledged() == ["set-1"]).await;
    assert_eq!(world.health().state, SourceState::Fresh);
    assert_eq!(world.kind(&world.issuer_token(10 * MINUTE)).await, Some(Kind::Revoked));
}

/// Attack 42: a verification event shows nothing while the events that came with it are not stored.
#[tokio::test]
async fn attack_42_a_verification_does_not_count_before_its_neighbours() {
    for (room, state) in [(1, SourceState::NeverSynchronised), (2, SourceState::Fresh)] {
        let stream = |tx: &TestTransmitter| {
            tx.without_authorization();
            let push = Push::new().signature_only().verification(tx.verified());
            tx.fixed_keys().push(push).poll(tx.polled())
        };
        let source = |stream| Source::new("caep", stream);
        let known = |known: Revocation| known.max_records(room);
        let world = World::at(ManualClock::new(), stream, source, known);
        world.transmitter.fail(Failure::Connection);
        world.start().await;
        until("a question", || world.transmitter.asked().len() == 1).await;
        let asked = world.transmitter.last_state();
        world.transmitter.offer(&world.transmitter.verification(asked.as_deref()));
        for name in ["alice", "bob"] {
            world.transmitter.offer(&world.transmitter.session_revoked(ISSUER, name));
        }
        world.transmitter.recover();
        pass(&world, 10).await;
        assert_eq!(world.health().state, state, "{room}");
    }
}

/// SSF-02, attack 42: a verification that was asked for counts though there are more events to come, unless
/// something that came with it was refused: then it is acknowledged, and proves nothing.
#[tokio::test]
async fn attack_42_a_verification_proves_nothing_beside_what_was_refused() {
    for (beside, state) in
        [(None, SourceState::Fresh), (Some("hello"), SourceState::NeverSynchronised)]
    {
        let stream = |tx: &TestTransmitter| {
            tx.without_authorization();
            let push = Push::new().signature_only().verification(tx.verified());
            tx.fixed_keys().push(push).poll(tx.polled())
        };
        let world = World::with(stream, |source| source);
        let tx = &world.transmitter;
        tx.answer_polls_with(Some(r#"{"sets":{},"moreAvailable":true}"#));
        world.start().await;
        until("a question", || tx.asked().len() == 1).await;
        let asked = tx.last_state();
        let mut sets = json!({ "v": tx.verification(asked.as_deref()).claim("jti", "v").sign() });
        if let Some(beside) = beside {
            sets["bad"] = json!(beside);
        }
        let answer = json!({ "sets": sets, "moreAvailable": true }).to_string();
        tx.answer_polls_with(Some(&answer));
        assert_eq!(world.health().state, SourceState::NeverSynchronised);
        pass(&world, 5).await;
        assert!(tx.acknowledged().contains(&"v".to_owned()), "{beside:?}");
        assert_eq!(tx.refused().is_empty(), beside.is_none());
        assert_eq!(world.health().state, state, "{beside:?}");
    }
}

/// POLL-03: what is no answer is a failure, never an acknowledgement; it is asked again after one second,
/// then two, at most a minute, and the stream grows old meanwhile.
#[tokio::test]
async fn an_outage_is_waited_out() {
    let world = started(|poll| poll).await;
    world.transmitter.offer(&world.transmitter.session_revoked(ISSUER, "alice"));
    let elsewhere = world.transmitter.verification_url();
    let failures = [
        Failure::Connection,
        Failure::Status(StatusCode::INTERNAL_SERVER_ERROR),
        Failure::Status(StatusCode::ACCEPTED),
        Failure::Redirect(elsewhere),
        Failure::Body(b"[]".to_vec()),
        Failure::Body(b"{\"sets\":{},\"moreAvailable\":7}".to_vec()),
        Failure::Body(vec![b' '; 4 * 1024 * 1024 + 1]),
        Failure::Connection,
    ];
    let mut pause = THIRD;
    for (failures, failure) in (1..).zip(failures) {
        world.transmitter.fail(failure);
        settle().await;
        world.clock.advance(pause - SECOND / 2);
        settle().await;
        assert_eq!(world.health().failures, failures - 1, "not yet");
        world.clock.advance(SECOND / 2);
        until("a failure", || world.health().failures == failures).await;
        pause = match failures {
            1 => SECOND,
            _ => (pause * 2).min(MINUTE),
        };
    }
    assert_eq!(pause, MINUTE);
    assert_eq!(world.transmitter.asked().len(), 0, "no redirect was followed");
    assert_eq!(world.transmitter.acknowledged().len(), 0);
    assert_eq!(world.health().state, SourceState::Stale);
    assert_eq!(world.kind(&world.token()).await, Some(Kind::RevocationUnavailable));
    world.transmitter.recover();
    settle().await;
    world.clock.advance(MINUTE);
    until("it was acknowledged", || world.transmitter.acknowledged() == ["set-1"]).await;
    assert_eq!(world.health().state, SourceState::Fresh);
    assert_eq!(world.health().last_error, None);
    let asked: Vec<Value> = (0..10).map(|index| body(&world, index)["maxEvents"].clone()).collect();
    let expected = [[50; 8].as_slice(), &[25; 2]].concat();
    assert_eq!(asked, expected, "only after the one that was too large");
}

/// POLL-01: a poll that hangs ends within its time.
#[tokio::test]
async fn a_poll_that_hangs_ends() {
    let world = started(|poll| poll).await;
    world.transmitter.fail(Failure::Silence);
    next_poll(&world).await;
    world.clock.advance(5 * SECOND);
    until("it is given up", || world.health().failures == 1).await;
    world.transmitter.recover();
    settle().await;
    world.clock.advance(SECOND);
    until("it is back", || world.health().age == Some(std::time::Duration::ZERO)).await;
}

/// POLL-01: an answer that is too large is asked for again with fewer events.
#[tokio::test]
async fn an_answer_that_is_too_large_is_asked_for_in_parts() {
    let world = started(|poll| poll.max_events(1_000)).await;
    let large =
        |name: &str| world.transmitter.session_revoked(ISSUER, name).claim("x", "x".repeat(40_000));
    for number in 0..100 {
        world.transmitter.offer(&large(&format!("user-{number}")));
    }
    next_poll(&world).await;
    for failures in 1..=4 {
        until("too large", || world.health().failures == failures).await;
        settle().await;
        world.clock.advance(8 * SECOND);
    }
    until("all were acknowledged", || world.transmitter.acknowledged().len() == 100).await;
    let asked = |index: usize| body(&world, index)["maxEvents"].clone();
    assert_eq!((asked(1), asked(2)), (json!(1_000), json!(500)));
    next_poll(&world).await;
    assert_eq!(asked(world.transmitter.polls().len() - 1), json!(1_000), "as before");
}

/// POLL-01: more SETs than an answer may have are no answer.
#[tokio::test]
async fn an_answer_is_bounded() {
    let world = started(|poll| poll).await;
    let sets: serde_json::Map<_, _> =
        (0..1_001).map(|number| (format!("jti-{number}"), json!("x"))).collect();
    world.transmitter.answer_polls_with(Some(&json!({ "sets": sets }).to_string()));
    next_poll(&world).await;
    until("a failure", || world.health().failures == 1).await;
    assert!(world.health().last_error.unwrap().contains("1000"));
}

/// A transmitter that gives again what it was told about is no endless loop.
#[tokio::test]
async fn a_transmitter_that_repeats_itself_is_asked_slowly() {
    let world = started(|poll| poll).await;
    let set = world.transmitter.session_revoked(ISSUER, "alice").claim("jti", "again");
    let answer = json!({ "sets": { "again": set.sign() }, "moreAvailable": true }).to_string();
    world.transmitter.answer_polls_with(Some(&answer));
    next_poll(&world).await;
    until("it is noticed", || world.health().failures == 1).await;
    settle().await;
    let polls = world.transmitter.polls().len();
    settle().await;
    assert_eq!(world.transmitter.polls().len(), polls, "it rests");
    assert_eq!(world.kind(&world.issuer_token(THIRD)).await, Some(Kind::Revoked));
    let none = json!({ "sets": {}, "moreAvailable": true }).to_string();
    world.transmitter.answer_polls_with(Some(&none));
    world.clock.advance(SECOND);
    until("nor is more that does not come", || world.health().failures == 2).await;
}

/// POLL-01: long polling: the transmitter answers when there is something to say, and what hangs for too
/// long is asked for at once.
#[tokio::test]
async fn long_polling_is_bounded_in_time() {
    let world = started(Poll::long_polling).await;
    until("the long poll", || world.transmitter.polls().len() == 2).await;
    assert_eq!(body(&world, 1), json!({ "maxEvents": 50, "returnImmediately": false }));
    settle().await;
    world.transmitter.offer(&world.transmitter.session_revoked(ISSUER, "alice"));
    until("it is acknowledged", || world.transmitter.acknowledged() == ["set-1"]).await;
    assert_eq!(world.kind(&world.token()).await, Some(Kind::Revoked));
    assert_eq!(body(&world, 2)["ack"], json!(["set-1"]));
    assert_eq!(body(&world, 2)["returnImmediately"], json!(false));
    // Nothing is said for a third of the maximum age: one question that is answered at once.
    settle().await;
    assert_eq!(world.transmitter.polls().len(), 3);
    world.clock.advance(THIRD);
    until("a short and a long poll", || world.transmitter.polls().len() == 5).await;
    assert_eq!(body(&world, 3)["returnImmediately"], json!(true));
    assert_eq!(body(&world, 4)["returnImmediately"], json!(false));
    assert_eq!(world.health().age, Some(std::time::Duration::ZERO));
    assert_eq!(world.health().failures, 0, "quiet is no failure");
}

/// POLL-01: a long poll that fails is a failure, and no silence: it is rested after it.
#[tokio::test]
async fn a_long_poll_that_fails_is_no_silence() {
    let world = started(Poll::long_polling).await;
    until("the long poll", || world.transmitter.polls().len() == 2).await;
    // The one that waits is answered, the next one fails.
    world.transmitter.fail(Failure::Connection);
    world.transmitter.offer(&world.transmitter.session_revoked(ISSUER, "alice"));
    until("a failure", || world.health().failures == 1).await;
    settle().await;
    assert_eq!(body(&world, 2)["returnImmediately"], json!(false));
    assert_eq!(world.transmitter.polls().len(), 3, "it rests");
    world.clock.advance(SECOND);
    until("it is asked again", || world.transmitter.polls().len() == 4).await;
    assert_eq!(body(&world, 3)["returnImmediately"], json!(true));
}

/// A warm-up asks what is polled.
#[tokio::test]
async fn a_warm_up_asks_what_is_polled() {
    let world = polled(|poll| poll);
    world.transmitter.fail(Failure::Connection);
    let error = world.api.warm_up().await.unwrap_err();
    let sources: Vec<_> = error.revocation_sources().map(|(name, _)| name).collect();
    assert_eq!(sources, ["caep"]);
}

/// POLL-01: a transmitter that answers a long poll at once is not asked without end.
#[tokio::test]
async fn a_transmitter_that_cannot_wait_is_not_flooded() {
    let world = started(Poll::long_polling).await;
    until("the long poll", || world.transmitter.polls().len() == 2).await;
    world.transmitter.answer_polls_with(Some(r#"{"sets":{}}"#));
    world.transmitter.recover();
    settle().await;
    let polls = world.transmitter.polls().len();
    for turn in 1..=3 {
        settle().await;
        settle().await;
        assert_eq!(world.transmitter.polls().len(), polls + turn - 1);
        world.clock.advance(SECOND);
        until("the next", || world.transmitter.polls().len() == polls + turn).await;
    }
}

/// POLL-01: at its own pace, and at half of the maximum age at the latest.
#[tokio::test]
async fn polls_keep_their_pace() {
    for (every, found) in [(5 * SECOND, 5 * SECOND), (10 * MINUTE, 30 * SECOND)] {
        let world = started(|poll| poll.every(every)).await;
        settle().await;
        world.clock.advance(found - SECOND);
        settle().await;
        assert_eq!(world.transmitter.polls().len(), 1, "{every:?}");
        world.clock.advance(SECOND);
        until("the second poll", || world.transmitter.polls().len() == 2).await;
    }
}

/// SSF-01: the endpoint of our stream is looked up, by its own entry.
#[tokio::test]
async fn the_endpoint_is_looked_up() {
    let secret = SecretFile::new("lookup");
    let stream = |tx: &TestTransmitter| -> EventStream {
        tx.discover().poll(Poll::discovered().authorization(secret.source()))
    };
    let world = World::with(stream, |source| source);
    world.transmitter.offer(&world.transmitter.session_revoked(ISSUER, "alice"));
    world.start().await;
    until("it was acknowledged", || world.transmitter.acknowledged() == ["set-1"]).await;
    assert_eq!(world.health().state, SourceState::Fresh);

    // A transmitter that has no stream for us is a failure.
    let world = World::with(stream, |source| source);
    world.transmitter.streams(json!([]));
    world.start().await;
    until("a failure", || world.health().failures > 0).await;
    assert_eq!(world.transmitter.polls().len(), 0);
}

/// DISC-10: an answer about streams has 256 KiB at most.
#[tokio::test]
async fn what_is_said_of_streams_is_bounded() {
    for (length, state) in
        [(261_000, SourceState::Fresh), (262_144, SourceState::NeverSynchronised)]
    {
        let stream = |tx: &TestTransmitter| {
            tx.without_authorization();
            tx.discover().poll(Poll::discovered())
        };
        let world = World::with(stream, |source| source);
        let delivery = json!({ "method": "urn:ietf:rfc:8936",
            "endpoint_url": world.transmitter.poll_url() });
        world.transmitter.streams(json!({ "stream_id": TestTransmitter::STREAM_ID,
            "iss": TRANSMITTER, "aud": AUDIENCE, "delivery": delivery,
            "description": "x".repeat(length) }));
        world.start().await;
        let found = || world.health().state == SourceState::Fresh || world.health().failures > 0;
        until("an outcome", found).await;
        assert_eq!(world.health().state, state, "{length}");
        let asked = usize::from(state == SourceState::Fresh);
        assert_eq!(world.transmitter.polls().len(), asked, "{length}");
    }
}

/// SSF-03: a poll of a paused stream proves nothing; of an enabled one, what it did before.
#[tokio::test]
async fn a_paused_stream_proves_nothing_by_polls() {
    let world = started(|poll| poll).await;
    let updated = |status: &str| -> TokenBuilder { world.transmitter.stream_updated(status) };
    world.transmitter.offer(&updated("paused"));
    next_poll(&world).await;
    assert_eq!(world.transmitter.acknowledged(), ["set-1"]);
    assert_eq!(world.health().age, Some(THIRD), "the answer that says so proves nothing either");
    next_poll(&world).await;
    next_poll(&world).await;
    next_poll(&world).await;
    assert_eq!(world.health().state, SourceState::Stale);
    world.transmitter.offer(&updated("enabled"));
    next_poll(&world).await;
    next_poll(&world).await;
    assert_eq!(world.health().state, SourceState::Fresh);
}

/// SSF-02: a verification event that was asked for can come by a poll too.
#[tokio::test]
async fn a_verification_event_can_be_fetched() {
    let stream = |tx: &TestTransmitter| {
        tx.without_authorization();
        let push = Push::new().signature_only().verification(tx.verified());
        tx.fixed_keys().push(push).poll(tx.polled())
    };
    let world = World::with(stream, |source| source);
    world.start().await;
    until("a question", || world.transmitter.asked().len() == 1).await;
    let state = world.transmitter.last_state();
    world.transmitter.offer(&world.transmitter.verification(state.as_deref()));
    next_poll(&world).await;
    until("it was acknowledged", || world.transmitter.acknowledged() == ["set-1"]).await;
    assert_eq!(world.transmitter.refused(), []);
}

/// A transport that panics once.
struct Panics {
    network: TestNetwork,
    done: AtomicBool,
}

impl Transport for Panics {
    fn fetch(&self, request: Request<Bytes>, limits: FetchLimits) -> Fetch<'_> {
        assert!(self.done.swap(true, Ordering::Relaxed), "a bug in somebody's transport");
        self.network.fetch(request, limits)
    }
}

/// A panic of one poll does not end the source.
#[tokio::test]
async fn a_panic_of_a_poll_is_survived() {
    let stream = |tx: &TestTransmitter| {
        tx.without_authorization();
        let network = TestNetwork::of(&[]).with_transmitter(tx);
        tx.fixed_keys()
            .poll(tx.polled())
            .transport(Panics { network, done: AtomicBool::new(false) })
    };
    let world = World::with(stream, |source| source);
    world.transmitter.offer(&world.transmitter.session_revoked(ISSUER, "alice"));
    world.start().await;
    until("the panic is seen", || world.health().failures == 1).await;
    assert!(world.health().last_error.unwrap().contains("panicked"));
    world.clock.advance(SECOND);
    until("it was acknowledged", || world.transmitter.acknowledged() == ["set-1"]).await;
    assert_eq!(world.kind(&world.issuer_token(MINUTE)).await, Some(Kind::Revoked));
}

/// EVT-01: what was not acknowledged before a restart is given again.
#[tokio::test]
async fn what_was_not_acknowledged_comes_again() {
    let world = started(|poll| poll).await;
    world.transmitter.offer(&world.transmitter.session_revoked(ISSUER, "alice"));
    let World { clock, issuer, transmitter, network, api } = world;
    drop(api);
    settle().await;
    clock.advance(THIRD);
    settle().await;
    let polls = transmitter.polls().len();
    clock.advance(MINUTE);
    settle().await;
    assert_eq!(transmitter.polls().len(), polls, "nobody polls any more");
    let stream = transmitter.fixed_keys().poll(transmitter.polled());
    let source = Source::new("caep", stream).speaks_for([ISSUER]);
    let api = crate::support::builder(&clock)
        .issuer(issuer.fixed_keys())
        .revocation(Revocation::new().source(source))
        .transport(network.clone())
        .build()
        .unwrap();
    let world = World { clock, issuer, transmitter, network, api };
    world.start().await;
    until("it was acknowledged", || world.transmitter.acknowledged() == ["set-1"]).await;
    assert_eq!(world.kind(&world.issuer_token(5 * MINUTE)).await, Some(Kind::Revoked));
}
