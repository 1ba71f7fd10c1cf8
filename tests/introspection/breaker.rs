//! An endpoint that fails time and again is left alone for a while.

use http::StatusCode;
use portcullis::RejectionKind as Kind;
use portcullis::introspection::EndpointState;
use portcullis::testing::{Failure, IntrospectionFailure as Fails};
use portcullis::transport::FetchErrorKind;

use crate::support::settle;
use crate::world::{SECOND, TIMEOUT, World};

/// Five faults in a row.
async fn open(world: &World) {
    for _ in 0..5 {
        world.assert_unavailable(&world.token(), "fault").await;
    }
    assert_eq!(world.health().state, EndpointState::Resting);
}

/// INT-11: after five faults in a row nothing is asked for a second; then one of many requests tries it,
/// and all are asked about again once it answers.
#[tokio::test]
async fn after_five_faults_one_call_a_second_tries_it() {
    let world = World::new();
    let kept = world.token();
    world.assert_passes(&kept, "asked").await;
    world.kit.fail(Failure::Connection);
    open(&world).await;
    assert_eq!(world.calls(), 6);
    let health = world.health();
    assert_eq!((health.calls, health.failed, health.not_asked), (6, 5, 0));
    assert!(health.last_error.is_some());

    world.kit.recover();
    for _ in 0..20 {
        world.assert_unavailable(&world.token(), "resting").await;
    }
    world.assert_passes(&kept, "what is known is known").await;
    assert_eq!((world.calls(), world.health().not_asked), (6, 20));

    world.advance(SECOND).await;
    assert_eq!(world.health().state, EndpointState::OnTrial);
    world.kit.hold();
    let tokens: Vec<_> = (0..50).map(|_| world.token()).collect();
    let waiting: Vec<_> = tokens.iter().map(|token| world.spawn(token)).collect();
    world.kit.called(7).await;
    settle().await;
    assert_eq!(world.calls(), 7, "exactly one");
    world.kit.release();
    let mut passed = 0;
    for request in waiting {
        match request.await.unwrap() {
            None => passed += 1,
            kind => assert_eq!(kind, Some(Kind::IntrospectionUnavailable)),
        }
    }
    assert_eq!((passed, world.calls()), (1, 7));
    let health = world.health();
    assert_eq!((health.state, health.last_error), (EndpointState::Working, None));
    for token in &tokens {
        world.assert_passes(token, "healed").await;
    }
}

/// INT-11: a trial that fails doubles the rest; `Retry-After` says how long it is.
#[tokio::test]
async fn a_failed_trial_doubles_the_rest() {
    let world = World::new();
    world.kit.fail(StatusCode::BAD_GATEWAY);
    open(&world).await;
    let mut calls = 5;
    for rest in [1, 2, 4, 8, 16, 30, 30] {
        let sent = world.send(&world.token()).await;
        assert_eq!(sent.kind(), Some(Kind::IntrospectionUnavailable));
        assert_eq!(sent.response.headers()["retry-after"], rest.to_string().as_str());
        world.advance(SECOND * rest - SECOND / 10).await;
        world.assert_unavailable(&world.token(), "resting").await;
        assert_eq!(world.calls(), calls, "{rest}");
        world.advance(SECOND / 10).await;
        world.assert_unavailable(&world.token(), "trial").await;
        calls += 1;
        assert_eq!(world.calls(), calls, "{rest}");
    }
    world.kit.recover();
    world.advance(30 * SECOND).await;
    world.assert_passes(&world.token(), "healed").await;
    // From the beginning.
    world.kit.fail(StatusCode::BAD_GATEWAY);
    open(&world).await;
    world.advance(SECOND).await;
    world.kit.recover();
    world.assert_passes(&world.token(), "healed").await;
}

/// INT-11: four faults and an answer are no five in a row; "not active" is an answer.
#[tokio::test]
async fn an_answer_breaks_the_row() {
    let world = World::new();
    for round in 0..5 {
        for _ in 0..4 {
            world.kit.fail_once(StatusCode::BAD_GATEWAY);
            world.assert_unavailable(&world.token(), "fault").await;
        }
        match round % 2 {
            0 => world.assert_passes(&world.token(), "yes").await,
            _ => {
                let unknown = format!("unknown-{round}");
                world.assert_invalid(&unknown, Kind::Inactive, "no").await;
            }
        }
        assert_eq!(world.health().state, EndpointState::Working);
    }
    assert_eq!(world.calls(), 25);
}

/// INT-11: which faults are the endpoint's, and which are of one token or one answer: whoever can make
/// an issuer answer wrongly about a token must not be able to stop all others.
#[tokio::test]
async fn faults_of_one_answer_do_not_count() {
    let rows: Vec<(&str, Fails, bool)> = vec![
        ("401", StatusCode::UNAUTHORIZED.into(), true),
        ("429", StatusCode::TOO_MANY_REQUESTS.into(), true),
        ("502", StatusCode::BAD_GATEWAY.into(), true),
        ("503", StatusCode::SERVICE_UNAVAILABLE.into(), true),
        ("504", StatusCode::GATEWAY_TIMEOUT.into(), true),
        ("redirect", Fails::Redirect("https://b.example/".to_owned()), true),
        ("connection", FetchErrorKind::Connection.into(), true),
        ("timeout", FetchErrorKind::Timeout.into(), true),
        ("400", StatusCode::BAD_REQUEST.into(), false),
        ("403", StatusCode::FORBIDDEN.into(), false),
        ("404", StatusCode::NOT_FOUND.into(), false),
        ("500", StatusCode::INTERNAL_SERVER_ERROR.into(), false),
        ("501", StatusCode::NOT_IMPLEMENTED.into(), false),
        ("too large", FetchErrorKind::TooLarge.into(), false),
        ("overlong", Fails::Overlong, false),
        ("garbage", Fails::Body("garbage".into()), false),
        ("another type", Fails::Body("{\"active\":1}".into()), false),
        ("text", Fails::ContentType("text/plain".to_owned()), false),
    ];
    for (name, fault, counts) in rows {
        let world = World::new();
        world.kit.fail(fault);
        for _ in 0..12 {
            world.assert_unavailable(&world.token(), name).await;
        }
        let state = world.health().state;
        assert_eq!(state == EndpointState::Resting, counts, "{name}");
        assert_eq!(world.calls(), if counts { 5 } else { 12 }, "{name}");
    }
}

/// INT-11: silence counts, and a trial that is silent ends.
#[tokio::test]
async fn silence_is_a_fault() {
    let world = World::new();
    world.kit.fail(Failure::Silence);
    let waiting: Vec<_> = (0..5).map(|_| world.spawn(&world.token())).collect();
    world.kit.called(5).await;
    world.advance(TIMEOUT).await;
    for request in waiting {
        assert_eq!(request.await.unwrap(), Some(Kind::IntrospectionUnavailable));
    }
    assert_eq!(world.health().state, EndpointState::Resting);
    world.advance(SECOND).await;
    let trial = world.spawn(&world.token());
    world.kit.called(6).await;
    world.assert_unavailable(&world.token(), "on trial").await;
    world.advance(TIMEOUT).await;
    assert_eq!(trial.await.unwrap(), Some(Kind::IntrospectionUnavailable));
    assert_eq!(world.health().state, EndpointState::Resting);
    world.kit.recover();
    world.advance(2 * SECOND).await;
    world.assert_passes(&world.token(), "healed").await;
}

/// INT-11: what is slow here says nothing of the endpoint: keys for its signed answers. Its own silence does.
#[tokio::test]
async fn slow_keys_are_no_fault_of_the_endpoint() {
    for (keys, state) in [(true, EndpointState::Working), (false, EndpointState::Resting)] {
        let world = World::with_keys(|introspection| introspection.signed_for("rs"));
        world.kit.sign_with(&world.issuer, "rs");
        match keys {
            true => world.issuer.fail(Failure::Silence),
            false => world.kit.fail(Failure::Silence),
        }
        let waiting: Vec<_> = (0..8).map(|_| world.spawn(&world.token())).collect();
        world.kit.called(8).await;
        settle().await;
        world.advance(TIMEOUT).await;
        for request in waiting {
            assert_eq!(request.await.unwrap(), Some(Kind::IntrospectionUnavailable));
        }
        let health = world.health();
        assert_eq!((health.state, health.calls, health.failed), (state, 8, 8));
        let error = health.last_error.unwrap();
        assert_eq!(error.contains("fetching the issuer's keys"), keys, "{error}");
    }
}

/// INT-11: nor does a secret that cannot be read in time: no call is made.
#[cfg(unix)]
#[tokio::test]
async fn a_slow_secret_is_no_call() {
    let path = std::env::temp_dir().join(format!("portcullis-slow-{}", std::process::id()));
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let secret = portcullis::secret::SecretSource::file(&path);
    let client = portcullis::introspection::ClientAuth::basic("notes-api", secret);
    let world = World::with(|introspection| introspection.client(client));
    let tokens: Vec<_> = (0..8).map(|_| world.token()).collect();
    let waiting: Vec<_> = tokens.iter().map(|token| world.spawn(token)).collect();
    settle().await;
    world.advance(TIMEOUT).await;
    for request in waiting {
        assert_eq!(request.await.unwrap(), Some(Kind::IntrospectionUnavailable));
    }
    let health = world.health();
    assert_eq!((health.state, health.calls, health.failed), (EndpointState::Working, 0, 8));
    let error = health.last_error.unwrap();
    assert!(error.contains("reading this server's own credentials"), "{error}");
    assert_eq!(world.calls(), 0);
    // Whoever reads it gets it now, and the next question takes it from a file.
    std::fs::write(&path, "s3cret").unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "s3cret").unwrap();
    world.assert_passes(&tokens[0], "the secret is there").await;
    assert_eq!(world.calls(), 1);
    std::fs::remove_file(&path).unwrap();
}

/// INT-11: what went wrong last is told until something goes well, whatever it was, and whether it counts.
#[tokio::test]
async fn the_last_error_is_told_until_a_success() {
    let world = World::new();
    assert_eq!(world.health().last_error, None);
    let faults: [(&str, Fails); 4] = [
        ("404", StatusCode::NOT_FOUND.into()),
        ("500", StatusCode::INTERNAL_SERVER_ERROR.into()),
        ("`active`", Fails::Body("{}".into())),
        ("502", StatusCode::BAD_GATEWAY.into()),
    ];
    for (text, fault) in faults.clone() {
        world.kit.fail_once(fault);
        world.assert_unavailable(&world.token(), text).await;
        let error = world.health().last_error.unwrap();
        assert!(error.contains(text), "{text}: {error}");
    }
    assert_eq!((world.health().failed, world.health().not_asked), (4, 0));
    // "Not active" is a success as well.
    world.assert_invalid("unknown", Kind::Inactive, "no").await;
    assert_eq!(world.health().last_error, None);
    for (text, fault) in faults {
        world.kit.fail_once(fault);
        world.assert_unavailable(&world.token(), text).await;
        assert!(world.health().last_error.is_some(), "{text}");
        world.assert_passes(&world.token(), text).await;
        assert_eq!(world.health().last_error, None, "{text}");
    }
}

/// INT-11: one endpoint that fails does not stop another.
#[tokio::test]
async fn each_endpoint_has_its_own() {
    let mut parts = crate::world::Parts::new();
    let (other, at_other) = parts.other("https://b.example");
    let asked = crate::world::asked_at(other.id(), at_other.url()).prefix("b~");
    let builder = parts
        .builder()
        .issuer(portcullis::Issuer::opaque(other.id()))
        .introspection(parts.introspection())
        .introspection(asked);
    let world = parts.build(builder);
    world.kit.fail(Failure::Connection);
    open(&world).await;
    at_other.active_as("b~1", other.token(crate::support::RESOURCE));
    world.assert_passes("b~1", "the other").await;
    let states: Vec<_> =
        world.api.introspection_health().into_iter().map(|health| health.state).collect();
    assert_eq!(states, [EndpointState::Resting, EndpointState::Working]);
}
