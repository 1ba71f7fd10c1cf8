//! Whether a stream would speak: verification events, reports about itself, metadata, restarts.

use http::StatusCode;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use portcullis::RejectionKind as Kind;
use portcullis::revocation::{
    EventStream, Journal, JournalError, OnStale, Push, Source, SourceState, Subjects, Verification,
};
use portcullis::secret::{Secret, SecretSource};
use portcullis::testing::{Failure, ManualClock, TestTransmitter};
use serde_json::{Value, json};

use crate::support::{ISSUER, settle, until};
use crate::world::{
    AUDIENCE, MINUTE, SECOND, SECRET, SecretFile, TRANSMITTER, World, user, with_secret,
};

/// A pushed stream that is verified, and its world, in which the first question was asked.
async fn verified(name: &str) -> (World, SecretFile) {
    let secret = SecretFile::new(name);
    let stream = |transmitter: &TestTransmitter| {
        let asked = transmitter.verified().authorization(secret.source());
        transmitter.fixed_keys().push(with_secret().verification(asked))
    };
    let world = World::with(stream, |source| source);
    world.start().await;
    until("the first question", || world.transmitter.asked().len() == 1).await;
    (world, secret)
}

/// Answers the last question.
async fn answer(world: &World) -> Option<String> {
    let state = world.transmitter.last_state();
    world.push(&world.transmitter.verification(state.as_deref())).await.err()
}

/// SSF-02: the question as SSF §8.1.4.2 has it; fresh from the moment of asking, once the answer came
/// with its state; and asked again every third of the maximum age.
#[tokio::test]
async fn a_stream_is_fresh_from_the_moment_it_was_asked() {
    let (world, _secret) = verified("asked").await;
    let (body, fields) = world.transmitter.asked().remove(0);
    assert_eq!(body["stream_id"], TestTransmitter::STREAM_ID);
    assert_eq!(body.as_object().unwrap().len(), 2);
    assert_eq!(fields[CONTENT_TYPE], "application/json");
    assert_eq!(fields[AUTHORIZATION], SECRET);
    assert_eq!(world.kind(&world.token()).await, Some(Kind::RevocationUnavailable));
    assert_eq!(world.health().state, SourceState::NeverSynchronised);

    world.clock.advance(10 * SECOND);
    assert_eq!(answer(&world).await, None);
    assert_eq!(world.kind(&world.token()).await, None);
    assert_eq!(world.health().age, Some(10 * SECOND), "since it was asked, not since it came");

    world.clock.advance(10 * SECOND);
    until("the second question", || world.transmitter.asked().len() == 2).await;
    let states: Vec<Value> =
        world.transmitter.asked().into_iter().map(|(body, _)| body["state"].clone()).collect();
    assert_ne!(states[0], states[1]);
    world.clock.advance(40 * SECOND + SECOND);
    assert_eq!(world.kind(&world.token()).await, Some(Kind::RevocationUnavailable), "61 seconds");
    // An answer of before, that comes late, does what it can.
    let second = world.transmitter.verification(states[1].as_str());
    assert!(world.push(&second).await.accepted());
    assert_eq!(world.health().age, Some(41 * SECOND));
    assert_eq!(world.kind(&world.token()).await, None);
}

/// SSF-02, attack 42: a state that was not asked with, or for another stream, is refused by its own
/// code, and proves nothing; a verification that nobody asked for is accepted, and proves nothing.
#[tokio::test]
async fn attack_42_only_the_state_that_was_asked_with_proves_anything() {
    let (world, _secret) = verified("state").await;
    let state = world.transmitter.last_state().unwrap();
    let other_stream = json!({ "format": "opaque", "id": "another" });
    for (name, set, err) in [
        ("guessed", world.transmitter.verification(Some("guessed")), Some("invalid_state")),
        ("empty", world.transmitter.verification(Some("")), Some("invalid_state")),
        (
            "longer",
            world.transmitter.verification(Some(&format!("{state}x"))),
            Some("invalid_state"),
        ),
        (
            "of another stream",
            world.transmitter.verification(Some(&state)).claim("sub_id", other_stream),
            Some("invalid_state"),
        ),
        (
            "of a user",
            world.transmitter.verification(Some(&state)).claim("sub_id", user("alice")),
            Some("invalid_request"),
        ),
        ("not asked for", world.transmitter.verification(None), None),
    ] {
        let answer = world.push(&set).await;
        let status = if err.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::ACCEPTED };
        assert_eq!(answer.status, status, "{name}");
        assert_eq!(answer.err().as_deref(), err, "{name}");
        assert_eq!(world.health().state, SourceState::NeverSynchronised, "{name}");
    }
    let forged = world.transmitter.verification(Some(&state)).tampered();
    assert_eq!(world.push_text(forged).await.err().as_deref(), Some("invalid_key"));
    assert_eq!(world.health().state, SourceState::NeverSynchronised);
    // Twice the same answer is answered twice the same.
    assert_eq!(answer(&world).await, None);
    assert_eq!(answer(&world).await, None);
    assert_eq!(world.health().state, SourceState::Fresh);
}

/// Attack 42: a stream that speaks shows nothing while there is no room for what it says.
#[tokio::test]
async fn attack_42_a_verification_does_not_count_while_events_are_turned_away() {
    let secret = SecretFile::new("room");
    let stream = |tx: &TestTransmitter| {
        let asked = tx.verified().authorization(secret.source());
        tx.fixed_keys().push(with_secret().verification(asked))
    };
    let source = |stream: EventStream| Source::new("caep", stream);
    let world = World::at(ManualClock::new(), stream, source, |known| known.max_records(1));
    world.start().await;
    until("the first question", || world.transmitter.asked().len() == 1).await;
    let revoked = |name: &str| world.transmitter.session_revoked(ISSUER, name);
    assert!(world.push(&revoked("bob")).await.accepted());
    assert_eq!(answer(&world).await, None);
    assert_eq!(world.health().state, SourceState::Fresh);
    world.clock.advance(SECOND);
    assert_eq!(world.push(&revoked("alice")).await.status, StatusCode::SERVICE_UNAVAILABLE);
    world.clock.advance(19 * SECOND);
    until("the second question", || world.transmitter.asked().len() == 2).await;
    assert_eq!(answer(&world).await, None);
    assert!(world.health().last_error.unwrap().contains("1 events came"));
    assert_eq!(world.health().age, Some(20 * SECOND), "as before");
    world.clock.advance(41 * SECOND);
    assert_eq!(world.kind(&world.token()).await, Some(Kind::RevocationUnavailable));
}

/// Attack 42: what was turned away is waited for until it was taken, and not longer.
#[tokio::test]
async fn attack_42_what_was_turned_away_has_to_come_again() {
    let (world, _secret) = verified("again").await;
    let ahead = world.now().plus(6 * MINUTE).as_secs();
    let set = world.transmitter.session_revoked(ISSUER, "alice").claim("iat", ahead);
    assert_eq!(world.push(&set).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer(&world).await, None);
    assert_eq!(world.health().state, SourceState::NeverSynchronised);
    // A forged one of the same name ends nothing.
    assert_eq!(world.push_text(set.tampered()).await.err().as_deref(), Some("invalid_key"));
    assert_eq!(answer(&world).await, None);
    assert_eq!(world.health().state, SourceState::NeverSynchronised);
    world.clock.advance(MINUTE);
    assert!(world.push(&set).await.accepted());
    assert_eq!(answer(&world).await, None);
    assert_eq!(world.health().age, Some(MINUTE));
    assert_eq!(world.kind(&world.token().subject("bob")).await, None);
}

/// Attack 42: what could not be judged is waited for if the transmitter gave it; strangers make nobody
/// wait.
#[tokio::test]
async fn attack_42_what_strangers_give_is_not_waited_for() {
    for (open, state) in [(true, SourceState::Fresh), (false, SourceState::NeverSynchronised)] {
        let secret = SecretFile::new("strangers");
        let stream = |tx: &TestTransmitter| {
            let asked = tx.verified().authorization(secret.source());
            let push = if open { Push::new().signature_only() } else { with_secret() };
            tx.jwks().push(push.verification(asked))
        };
        let world = World::with(stream, |source| source);
        world.start().await;
        until("the first question", || world.transmitter.asked().len() == 1).await;
        world.transmitter.issuer().fail(Failure::Connection);
        let set = world.transmitter.session_revoked(ISSUER, "alice");
        assert_eq!(world.push(&set).await.status, StatusCode::SERVICE_UNAVAILABLE);
        world.transmitter.issuer().recover();
        world.clock.advance(2 * SECOND);
        settle().await;
        let first = world.transmitter.asked()[0].0["state"].clone();
        let verification = world.transmitter.verification(first.as_str());
        assert!(world.push(&verification).await.accepted());
        assert_eq!(world.health().state, state, "open: {open}");
        assert!(world.push(&set).await.accepted());
        assert!(world.push(&verification).await.accepted());
        assert_eq!(world.health().state, SourceState::Fresh, "open: {open}");
    }
}

/// Attack 42: what the transmitter gave and could not be judged is waited for until it is judged; one
/// that is bad then is not waited for any longer.
#[tokio::test]
async fn attack_42_what_was_judged_bad_is_not_waited_for() {
    let secret = SecretFile::new("bad");
    let stream = |tx: &TestTransmitter| {
        let asked = tx.verified().authorization(secret.source());
        tx.jwks().push(with_secret().verification(asked))
    };
    let world = World::with(stream, |source| source);
    world.start().await;
    until("the first question", || world.transmitter.asked().len() == 1).await;
    world.transmitter.issuer().fail(Failure::Connection);
    let bad = world.transmitter.session_revoked(ISSUER, "alice").tampered();
    assert_eq!(world.push_text(bad.clone()).await.status, StatusCode::SERVICE_UNAVAILABLE);
    world.transmitter.issuer().recover();
    world.clock.advance(2 * SECOND);
    settle().await;
    let verification = world.transmitter.verification(world.transmitter.last_state().as_deref());
    assert!(world.push(&verification).await.accepted());
    assert_eq!(world.health().state, SourceState::NeverSynchronised, "it can have been good");
    assert_eq!(world.push_text(bad).await.err().as_deref(), Some("invalid_key"));
    assert!(world.push(&verification).await.accepted());
    assert_eq!(world.health().state, SourceState::Fresh);
}

/// A stream that is only pushed, beside one that says the same and is polled.
#[tokio::test]
async fn a_pushed_stream_is_as_fresh_as_the_one_that_covers_it() {
    let clock = ManualClock::new();
    let other = std::cell::RefCell::new(None);
    let stream = |tx: &TestTransmitter| {
        tx.without_authorization();
        let polled = Source::new("polled", tx.fixed_keys().poll(tx.polled()));
        other.replace(Some(polled.speaks_for([ISSUER])));
        tx.fixed_keys().push(with_secret())
    };
    let source = |stream: EventStream| Source::new("caep", stream);
    let world = World::at(clock, stream, source, |known| known.source(other.take().unwrap()));
    let state = |index: usize| world.api.revocations().health()[index].state;
    world.transmitter.fail(Failure::Connection);
    assert_eq!(world.kind(&world.token()).await, Some(Kind::RevocationUnavailable));
    world.transmitter.recover();
    settle().await;
    world.clock.advance(SECOND);
    until("the other is fresh", || state(2) == SourceState::Fresh).await;
    assert_eq!(world.kind(&world.token()).await, None);
    assert_eq!(state(1), SourceState::Unbounded, "it says nothing of itself");
    world.transmitter.authorization(SECRET);
    world.happens("caep/session-revoked", user("alice"), json!({})).await;
    assert_eq!(world.kind(&world.token()).await, Some(Kind::Revoked));
    world.clock.advance(61 * SECOND);
    assert_eq!(state(2), SourceState::Stale);
    let bob = world.token().subject("bob");
    assert_eq!(world.kind(&bob).await, Some(Kind::RevocationUnavailable));
}

/// SSF-02: a transmitter that cannot be asked, or does not answer, is seen; the stream grows old.
#[tokio::test]
async fn a_transmitter_that_does_not_answer_is_seen() {
    let (world, _secret) = verified("silent").await;
    assert_eq!(answer(&world).await, None);
    world.transmitter.fail(Failure::Status(StatusCode::TOO_MANY_REQUESTS));
    world.clock.advance(20 * SECOND);
    until("a failure", || world.health().failures == 1).await;
    let error = world.health().last_error.unwrap();
    assert!(error.contains("429"), "{error}");
    // Again after a second, then after two.
    for (pause, failures) in [(SECOND, 2), (2 * SECOND, 3)] {
        world.clock.advance(pause);
        until("a further failure", || world.health().failures == failures).await;
    }
    world.transmitter.recover();
    world.clock.advance(4 * SECOND);
    let asked = world.transmitter.asked().len();
    until("it was asked", || world.transmitter.asked().len() > asked || asked == 5).await;
    assert_eq!(answer(&world).await, None);
    assert_eq!(world.health().state, SourceState::Fresh);
    // It takes questions, and sends nothing.
    let missed = || world.health().last_error.is_some_and(|error| error.contains("did not come"));
    for _ in 0..10_000 {
        // A secret is read from a file, on a thread of its own: the question may need a while.
        world.clock.advance(20 * SECOND);
        settle().await;
        if missed() {
            break;
        }
    }
    assert!(missed(), "it was missed");
    assert_eq!(world.health().state, SourceState::Stale);
}

/// DISC-10: a question that hangs ends, and a redirect is not followed.
#[tokio::test]
async fn a_question_has_its_time_and_its_place() {
    let (world, _secret) = verified("hangs").await;
    world.transmitter.fail(Failure::Silence);
    world.clock.advance(20 * SECOND);
    until("it is asked", || world.transmitter.asked().len() == 2).await;
    world.clock.advance(5 * SECOND);
    until("it is given up", || world.health().failures == 1).await;
    let elsewhere = format!("{TRANSMITTER}/poll");
    world.transmitter.fail(Failure::Redirect(elsewhere));
    world.clock.advance(SECOND);
    until("the redirect", || world.health().failures == 2).await;
    assert_eq!(world.transmitter.polls().len(), 0);
}

/// DISC-10: the answer to a question is empty; one of more than 16 KiB is none.
#[tokio::test]
async fn the_answer_to_a_question_is_bounded() {
    let (world, _secret) = verified("bounded").await;
    for (length, failures) in [(16 * 1024, 0), (16 * 1024 + 1, 1)] {
        world.transmitter.fail(Failure::Body(vec![b' '; length]));
        let asked = world.transmitter.asked().len();
        settle().await;
        world.clock.advance(20 * SECOND);
        until("the next question", || world.transmitter.asked().len() > asked).await;
        settle().await;
        assert_eq!(world.health().failures, failures, "{length}");
    }
}

/// SSF-03: a stream that pauses proves nothing any more, until it is enabled and verified again.
#[tokio::test]
async fn a_paused_stream_proves_nothing() {
    for status in ["paused", "disabled"] {
        let (world, _secret) = verified(status).await;
        assert_eq!(answer(&world).await, None);
        world.clock.advance(5 * SECOND);
        let updated = |status: &str| world.transmitter.stream_updated(status);
        assert!(world.push(&updated(status)).await.accepted());
        let error = world.health().last_error.unwrap();
        assert!(error.contains(status), "{error}");
        // It answers all the same, to what was asked before and after.
        world.clock.advance(15 * SECOND);
        until("the second question", || world.transmitter.asked().len() == 2).await;
        assert_eq!(answer(&world).await, None);
        assert_eq!(world.health().age, Some(20 * SECOND), "as before");
        world.clock.advance(41 * SECOND);
        assert_eq!(world.kind(&world.token()).await, Some(Kind::RevocationUnavailable));

        // Enabled: asked at once, and what was asked before counts no more.
        let asked = world.transmitter.asked().len();
        let before = world.transmitter.last_state();
        assert!(world.push(&updated("enabled")).await.accepted());
        let gap = world.health().last_error.is_some_and(|error| error.contains("is never told"));
        assert_eq!(gap, status == "disabled", "what a paused stream held back comes");
        until("it is asked at once", || world.transmitter.asked().len() > asked).await;
        assert!(world.push(&world.transmitter.verification(before.as_deref())).await.accepted());
        assert_eq!(world.kind(&world.token()).await, Some(Kind::RevocationUnavailable));
        assert_eq!(answer(&world).await, None);
        assert_eq!(world.kind(&world.token()).await, None);
    }
}

/// SSF-03: another stream of the same transmitter says nothing about ours; a word that there is not is
/// refused.
#[tokio::test]
async fn a_report_is_about_its_own_stream() {
    let (world, _secret) = verified("other").await;
    let other = json!({ "format": "opaque", "id": "another" });
    let set = world.transmitter.stream_updated("disabled").claim("sub_id", other);
    assert!(world.push(&set).await.accepted());
    assert_eq!(answer(&world).await, None);
    assert_eq!(world.health().state, SourceState::Fresh);
    let odd = world.transmitter.stream_updated("asleep");
    assert_eq!(world.push(&odd).await.err().as_deref(), Some("invalid_request"));
}

/// SSF-01: what is not said comes from the metadata; the stream is looked up.
#[tokio::test]
async fn metadata_says_the_rest() {
    let secret = SecretFile::new("metadata");
    let stream = |transmitter: &TestTransmitter| {
        let asked = Verification::discovered().authorization(secret.source());
        transmitter.metadata("critical_subject_members", json!(["device"]));
        transmitter.discover().push(with_secret().verification(asked))
    };
    let world = World::with(stream, |source| source);
    world.start().await;
    until("a question", || world.transmitter.asked().len() == 1).await;
    assert_eq!(world.transmitter.asked()[0].0["stream_id"], TestTransmitter::STREAM_ID);
    assert_eq!(answer(&world).await, None);
    assert_eq!(world.kind(&world.token()).await, None);
    // SET-09: the metadata's critical member.
    let device = json!({ "format": "opaque", "id": "d" });
    let subject = json!({ "format": "complex", "user": user("alice"), "device": device });
    world.happens("caep/session-revoked", subject, json!({})).await;
    assert_eq!(world.kind(&world.token()).await, None);
    world.happens("caep/session-revoked", user("alice"), json!({})).await;
    assert_eq!(world.kind(&world.token()).await, Some(Kind::Revoked));
}

/// SSF-01: metadata of another issuer is not used, and without metadata nothing is said about a SET.
#[tokio::test]
async fn metadata_of_another_is_not_used() {
    for (name, value) in [
        ("issuer", json!("https://tx.example/")),
        ("issuer", json!("https://evil.example")),
        ("issuer", Value::Null),
        ("jwks_uri", Value::Null),
        ("jwks_uri", json!("http://tx.example/jwks.json")),
        ("jwks_uri", json!("https://10.0.0.1/jwks.json")),
    ] {
        let world = World::with(
            |tx| tx.discover().push(with_secret()),
            |source| source.on_stale(OnStale::InsecureUnbounded),
        );
        world.transmitter.metadata(name, value.clone());
        let set = || world.transmitter.session_revoked(ISSUER, "alice");
        let answer = world.push(&set()).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{name} {value}");
        assert_eq!(world.transmitter.issuer().fetches(), 0, "no key was asked for");
        // It is not asked for again at once, and found when it is right.
        let fetches = world.network.fetches();
        assert_eq!(world.push(&set()).await.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(world.network.fetches(), fetches);
        let right = match name {
            "issuer" => json!(TRANSMITTER),
            _ => json!(world.transmitter.issuer().jwks_uri()),
        };
        world.transmitter.metadata(name, right);
        world.clock.advance(SECOND);
        assert!(world.push(&set()).await.accepted(), "{name}");
    }
}

/// SSF-01: metadata outlives an outage; keys that move are found where they went.
#[tokio::test]
async fn metadata_is_read_again() {
    let world = World::with(
        |tx| tx.discover().push(with_secret()),
        |source| source.on_stale(OnStale::InsecureUnbounded),
    );
    let set = || world.transmitter.session_revoked(ISSUER, "alice");
    assert!(world.push(&set()).await.accepted());
    world.transmitter.fail(Failure::Connection);
    world.clock.advance(61 * MINUTE);
    settle().await;
    assert!(world.push(&set()).await.accepted(), "kept through an outage");
    world.transmitter.recover();
    world.transmitter.metadata("critical_subject_members", json!(["user"]));
    world.clock.advance(11 * MINUTE);
    settle().await;
    let subject = json!({ "format": "complex", "user": { "format": "email", "email": "a@b" } });
    world.happens("caep/session-revoked", subject, json!({})).await;
    assert!(world.health().discarded > 0);
}

/// SSF-02: with two streams for us one has to be named.
#[tokio::test]
async fn one_of_two_streams_has_to_be_named() {
    let entry = |id: &str| {
        json!({ "stream_id": id, "iss": TRANSMITTER, "aud": AUDIENCE,
            "delivery": { "method": "urn:ietf:rfc:8935" } })
    };
    let secret = SecretFile::new("named");
    let stream = |tx: &TestTransmitter, named: Option<&str>| {
        let asked = Verification::discovered().authorization(secret.source());
        tx.streams(json!([entry("a"), entry("b")]));
        let stream = tx.discover().push(with_secret().verification(asked));
        named.map_or(stream.clone(), |id| stream.stream_id(id))
    };
    let world = World::with(|tx| stream(tx, None), |source| source);
    world.start().await;
    until("a failure", || world.health().failures > 0).await;
    assert!(world.health().last_error.unwrap().contains("several"));
    let world = World::with(|tx| stream(tx, Some("b")), |source| source);
    world.start().await;
    until("a question", || world.transmitter.asked().len() == 1).await;
    assert_eq!(world.transmitter.asked()[0].0["stream_id"], "b");
}

/// The journal, as soon as the server of before is gone.
async fn opened(place: &std::path::Path) -> Journal {
    for _ in 0..200_000 {
        match Journal::open(place) {
            Ok(journal) => return journal,
            Err(JournalError::Locked { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("it is still locked");
}

/// EVT-01, SSF-03, attack 42: what was acknowledged is known after a restart, and so is a pause.
#[tokio::test]
async fn what_was_acknowledged_is_known_after_a_restart() {
    let place = std::env::temp_dir().join(format!("portcullis-{}-events", std::process::id()));
    let _ = std::fs::remove_file(&place);
    let clock = ManualClock::new();
    let secret = SecretFile::new("restart");
    let start = |clock: &ManualClock, journal: Journal| {
        let stream = |tx: &TestTransmitter| {
            let asked = tx.verified().authorization(secret.source());
            tx.fixed_keys().push(with_secret().verification(asked))
        };
        let source = |stream: EventStream| Source::new("caep", stream);
        World::at(clock.clone(), stream, source, |known| known.journal(journal))
    };
    let world = start(&clock, opened(&place).await);
    world.start().await;
    until("a question", || world.transmitter.asked().len() == 1).await;
    assert_eq!(answer(&world).await, None);
    world.happens("risc/account-disabled", user("alice"), json!({})).await;
    drop(world);
    settle().await;

    // What was proven is known too: it only grew older.
    clock.advance(59 * SECOND);
    let world = start(&clock, opened(&place).await);
    assert_eq!(world.kind(&world.token()).await, Some(Kind::Suspended));
    assert_eq!(world.kind(&world.token().subject("bob")).await, None);
    assert!(world.push(&world.transmitter.stream_updated("paused")).await.accepted());
    drop(world);
    settle().await;

    clock.advance(2 * SECOND);
    let world = start(&clock, opened(&place).await);
    assert_eq!(world.kind(&world.token()).await, Some(Kind::Suspended));
    until("a question", || world.transmitter.asked().len() == 1).await;
    assert_eq!(answer(&world).await, None);
    let bob = world.token().subject("bob");
    assert_eq!(world.kind(&bob).await, Some(Kind::RevocationUnavailable), "it was paused");
    clock.advance(SECOND);
    assert!(world.push(&world.transmitter.stream_updated("enabled")).await.accepted());
    until("asked again", || world.transmitter.asked().len() == 2).await;
    assert_eq!(answer(&world).await, None);
    assert_eq!(world.kind(&bob).await, None);
    drop(world);
    let _ = std::fs::remove_file(&place);
}

/// What is written is what the documentation says: a stream in full compiles, and builds.
#[test]
fn a_stream_in_full() {
    let stream = EventStream::discover(TRANSMITTER)
        .audience(AUDIENCE)
        .audience("https://rs.example/other")
        .stream_id("s")
        .algorithms(portcullis::revocation::SetRules::ALGORITHMS.iter().copied())
        .push(
            Push::new()
                .authorization(Secret::new("a"))
                .authorization(SecretSource::env("EVENTS"))
                .verification(Verification::discovered().bearer(SecretSource::env("TOKEN"))),
        )
        .poll(
            portcullis::revocation::Poll::discovered()
                .bearer(SecretSource::env("TOKEN"))
                .long_polling()
                .max_events(1_000),
        )
        .subjects(Subjects::new().email("email").group("groups").org_unit("ou"))
        .critical_subject_members(["tenant"]);
    let _ = World::with(|_| stream, |source| source);
}
