//! What goes wrong between this server and the endpoint.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use portcullis::RejectionKind as Kind;
use portcullis::testing::{Failure, IntrospectionFailure as Fails};
use portcullis::transport::FetchErrorKind;
use serde_json::json;

use crate::answers::answer_of;
use crate::support::settle;
use crate::world::{SECOND, TIMEOUT, TTL, World};

fn every_fault(world: &World) -> Vec<(&'static str, Fails)> {
    let good = answer_of(&world.claims()).to_string();
    let answer = |status: u16, content_type: &str, body: &str| {
        let response = Response::builder().status(status).header("content-type", content_type);
        Fails::Response(response.body(Bytes::from(body.to_owned())).unwrap())
    };
    let status = |code: u16| Fails::Status(StatusCode::from_u16(code).unwrap());
    let twice = Response::builder()
        .header("content-type", "application/json")
        .header("content-type", "application/json")
        .body(Bytes::from(good.clone()))
        .unwrap();
    vec![
        ("401", status(401)),
        ("401 with a good answer", answer(401, "application/json", &good)),
        ("401 with no", answer(401, "application/json", "{\"active\":false}")),
        ("403", status(403)),
        ("400", status(400)),
        ("404", status(404)),
        ("429", Fails::RetryAfter(StatusCode::TOO_MANY_REQUESTS, "30".to_owned())),
        ("500", status(500)),
        ("500 with a good answer", answer(500, "application/json", &good)),
        ("503", Fails::RetryAfter(StatusCode::SERVICE_UNAVAILABLE, "30".to_owned())),
        ("201", answer(201, "application/json", &good)),
        ("204", status(204)),
        ("206", answer(206, "application/json", &good)),
        ("redirect", Fails::Redirect("https://as.example/introspect".to_owned())),
        ("redirect elsewhere", Fails::Redirect("https://evil.example/".to_owned())),
        ("307 with a good answer", answer(307, "application/json", &good)),
        ("304", status(304)),
        ("connection", Fails::Transport(FetchErrorKind::Connection)),
        ("timeout of the transport", Fails::Transport(FetchErrorKind::Timeout)),
        ("too large", Fails::Transport(FetchErrorKind::TooLarge)),
        ("a transport without a bound", Fails::Overlong),
        ("text", Fails::ContentType("text/html".to_owned())),
        ("no content type", Fails::ContentType(String::new())),
        ("problem", Fails::ContentType("application/problem+json".to_owned())),
        ("a form", Fails::ContentType("application/x-www-form-urlencoded".to_owned())),
        ("two content types", Fails::Response(twice)),
        ("two in one", Fails::ContentType("application/json, text/html".to_owned())),
        ("garbage", Fails::Body("\u{0}\u{1}garbage".into())),
        ("HTML", Fails::Body("<html>active</html>".into())),
        ("cut", Fails::Body(good[..good.len() / 2].to_owned().into())),
        ("another type", Fails::Body(json!({"active": "true"}).to_string().into())),
        ("malformed `exp`", Fails::Body(good.replace("\"exp\":", "\"exp\":[],\"x\":").into())),
        ("nothing", Fails::Body("".into())),
    ]
}

/// INT-11, AUTH-32: every fault of the endpoint is 503 with `Retry-After`, never `invalid_token`, never a
/// pass, and nothing of it is remembered.
#[tokio::test]
async fn every_fault_is_an_outage() {
    for (name, fault) in every_fault(&World::new()) {
        let world = World::new();
        let token = world.token();
        world.kit.fail(fault);
        world.assert_unavailable(&token, name).await;
        let health = world.health();
        assert_eq!((health.calls, health.failed), (1, 1), "{name}");
        assert_eq!((health.kept, health.kept_inactive, health.under_way), (0, 0, 0), "{name}");
        // The same token, and one that is none: an outage says neither yes nor no.
        world.assert_unavailable("unknown", name).await;
        world.kit.recover();
        world.assert_passes(&token, name).await;
        world.assert_invalid("unknown", Kind::Inactive, name).await;
        assert_eq!(world.calls(), 4, "{name}");
        assert_eq!(world.health().last_error, None, "{name}");
    }
}

/// What is no fault: parameters of a media type, and its case.
#[tokio::test]
async fn a_media_type_may_have_parameters() {
    let world = World::new();
    for content_type in
        ["application/json;charset=UTF-8", "Application/JSON", "application/json ; charset=utf-8"]
    {
        world.kit.fail_once(Fails::ContentType(content_type.to_owned()));
        world.assert_passes(&world.token(), content_type).await;
    }
}

/// DISC-10: no redirect is followed.
#[tokio::test]
async fn no_redirect_is_followed() {
    let mut parts = crate::world::Parts::new();
    let (_, elsewhere) = parts.other("https://b.example");
    let builder = parts.builder().introspection(parts.introspection());
    let world = parts.build(builder);
    let token = world.token();
    elsewhere.active_as(&token, world.claims());
    world.kit.fail(Fails::Redirect(elsewhere.url().to_owned()));
    world.assert_unavailable(&token, "redirect").await;
    assert_eq!((world.calls(), elsewhere.calls()), (1, 0));
}

/// AUTH-32: an endpoint that says nothing is waited for as long as was said, and no longer.
#[tokio::test]
async fn silence_is_waited_for_as_long_as_was_said() {
    for (said, timeout) in [(None, TIMEOUT), (Some(5 * SECOND), 5 * SECOND)] {
        let world = World::with(|introspection| match said {
            None => introspection,
            Some(timeout) => introspection.timeout(timeout),
        });
        let token = world.token();
        for round in 1..=2 {
            world.kit.fail_once(Failure::Silence);
            let waiting: Vec<_> = (0..10).map(|_| world.spawn(&token)).collect();
            world.kit.called(round).await;
            settle().await;
            world.advance(timeout - Duration::from_millis(1)).await;
            assert!(waiting.iter().all(|request| !request.is_finished()));
            world.advance(Duration::from_millis(1)).await;
            for request in waiting {
                assert_eq!(request.await.unwrap(), Some(Kind::IntrospectionUnavailable));
            }
            assert_eq!((world.kit.under_way(), world.health().under_way), (0, 0));
        }
        world.assert_passes(&token, "it speaks").await;
        // Just in time.
        let token = world.token();
        world.kit.hold();
        let waiting = world.spawn(&token);
        world.kit.called(4).await;
        settle().await;
        world.advance(timeout - Duration::from_millis(1)).await;
        world.kit.release();
        assert_eq!(waiting.await.unwrap(), None);
    }
}

/// INT-11: a good answer serves through an outage until its time is over, and no longer.
#[tokio::test]
async fn a_kept_answer_serves_through_an_outage_for_its_time() {
    let world = World::new();
    let token = world.token();
    world.assert_passes(&token, "asked").await;
    for failure in [Failure::Status(StatusCode::INTERNAL_SERVER_ERROR), Failure::Connection] {
        world.kit.fail(failure);
        world.assert_passes(&token, "kept").await;
        world.assert_unavailable(&world.token(), "another").await;
    }
    world.advance(TTL - SECOND).await;
    world.assert_passes(&token, "kept").await;
    world.advance(SECOND).await;
    world.assert_unavailable(&token, "its time is over").await;
    world.kit.recover();
    world.assert_passes(&token, "asked anew").await;
}

/// An outage does not make anything of what was "not active" before.
#[tokio::test]
async fn an_outage_forgets_no_refusal_before_its_time() {
    let world = World::new();
    world.assert_invalid("unknown", Kind::Inactive, "asked").await;
    world.kit.fail(Failure::Connection);
    world.assert_invalid("unknown", Kind::Inactive, "kept").await;
    world.advance(5 * SECOND).await;
    world.assert_unavailable("unknown", "nothing is known any more").await;
}

/// An answer may be 64 KiB long, and not an octet more.
#[tokio::test]
async fn an_answer_has_a_bound() {
    let world = World::new();
    let filled = |length: usize| {
        let mut answer = answer_of(&world.claims());
        answer["fill"] = json!("");
        let missing = length - answer.to_string().len();
        answer["fill"] = json!("x".repeat(missing));
        assert_eq!(answer.to_string().len(), length);
        answer
    };
    let token = world.token();
    world.kit.set(&token, filled(64 * 1024));
    world.assert_passes(&token, "64 KiB").await;
    let token = world.token();
    world.kit.set(&token, filled(64 * 1024 + 1));
    world.assert_unavailable(&token, "more").await;
}
