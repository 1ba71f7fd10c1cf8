//! What is pushed (RFC 8935): who may, how, and what is answered.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER,
};
use http::{HeaderValue, Method, StatusCode};
use http_body_util::Full;
use hyper::body::{Body, Frame};
use portcullis::RejectionKind as Kind;
use portcullis::revocation::{EventReceiver, Push, Revocation, Source};
use portcullis::secret::{Secret, SecretSource};
use portcullis::testing::{Failure, ManualClock, TestKey, TestTransmitter};
use serde_json::json;
use tower::{Service, ServiceExt as _};

use crate::support::{ISSUER, settle, until};
use crate::world::{
    AUDIENCE, Answer, MINUTE, SECOND, SECRET, TRANSMITTER, World, pushed, user, with_secret,
};

/// PUSH-02, SET-07: what is accepted is answered 202 with nothing, counts from the next request on, and
/// is accepted again.
#[tokio::test]
async fn what_is_accepted_counts_from_the_next_request_on() {
    let world = World::pushed();
    let token = world.token();
    assert_eq!(world.kind(&token).await, None);
    let set = world.transmitter.session_revoked(ISSUER, "alice").sign();
    for turn in 0..3 {
        let answer = world.push_text(set.clone()).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{turn}");
        assert_eq!(answer.body, "");
        assert_eq!(world.kind(&token).await, Some(Kind::Revoked));
    }
    assert_eq!(world.api.revocations().records(), 1, "one effect");
    world.clock.advance(SECOND);
    assert_eq!(world.kind(&world.token()).await, None, "issued after it");
}

/// PUSH-01: POST and the content type of SETs, in any case and with parameters; `Accept` is theirs.
#[tokio::test]
async fn a_delivery_is_a_post_of_a_set() {
    let world = World::pushed();
    let set = || world.transmitter.session_revoked(ISSUER, "alice").sign();
    for method in [Method::GET, Method::PUT, Method::HEAD, Method::OPTIONS, Method::DELETE] {
        let mut request = world.transmitter.push(set());
        *request.method_mut() = method;
        let answer = world.deliver(request).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.headers[ALLOW], "POST");
    }
    for (content_type, good) in [
        ("application/secevent+jwt", true),
        ("Application/SecEvent+JWT; charset=utf-8", true),
        ("application/jwt", false),
        ("application/json", false),
        ("text/plain; x=application/secevent+jwt", false),
        ("application/secevent+jwtx", false),
        ("", false),
    ] {
        let mut request = world.transmitter.push(set());
        let value = HeaderValue::from_static(content_type);
        request.headers_mut().insert(CONTENT_TYPE, value);
        let answer = world.deliver(request).await;
        assert_eq!(answer.accepted(), good, "{content_type}");
        if !good {
            assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
            assert_eq!(answer.err().as_deref(), Some("invalid_request"));
        }
    }
    let mut request = world.transmitter.push(set());
    request.headers_mut().remove(CONTENT_TYPE);
    assert_eq!(world.deliver(request).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let mut request = world.transmitter.push(set());
    request.headers_mut().append(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    assert_eq!(world.deliver(request).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let mut request = world.transmitter.push(set());
    request.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    assert_eq!(world.deliver(request).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

/// Attack 42, PUSH-03, PUSH-04, CAEP-01: what is bad is answered 400 with its code, counted, and changes
/// nothing.
#[tokio::test]
async fn attack_42_what_is_bad_is_refused_with_its_reason() {
    let world = World::pushed();
    let token = world.token();
    let good = || world.transmitter.session_revoked(ISSUER, "alice");
    let stranger = TestTransmitter::new(TRANSMITTER, AUDIENCE, &world.clock);
    let event = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
    let millis = json!({ event: { "event_timestamp": world.now().as_secs() * 1_000 } });
    let rows = [
        ("unsigned", good().unsigned("none"), "invalid_key"),
        ("tampered with", good().tampered(), "invalid_key"),
        ("another's key", stranger.session_revoked(ISSUER, "alice").sign(), "invalid_key"),
        ("an unknown key", good().header("kid", "k9").sign(), "invalid_key"),
        ("an HMAC", good().sign_with_hmac(SECRET.as_bytes()), "invalid_key"),
        ("another issuer", good().claim("iss", ISSUER).sign(), "invalid_issuer"),
        ("for another", good().claim("aud", "https://rs.example").sign(), "invalid_audience"),
        ("expiring", good().claim("exp", 1_900_000_000).sign(), "invalid_request"),
        ("no subject", good().without("sub_id").sign(), "invalid_request"),
        ("an access token", world.token().sign(), "invalid_request"),
        ("milliseconds", good().claim("events", millis).sign(), "invalid_request"),
        ("no SET", "hello".to_owned(), "invalid_request"),
        ("nothing", String::new(), "invalid_request"),
    ];
    let count = rows.len() as u64;
    for (name, set, expected) in rows {
        let answer = world.push_text(set).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{name}");
        assert_eq!(answer.err().as_deref(), Some(expected), "{name}");
    }
    let answer = world.push_text(vec![0xff, 0xfe]).await;
    assert_eq!(answer.err().as_deref(), Some("invalid_request"));
    assert_eq!(world.health().discarded, count);
    assert_eq!(world.api.revocations().records(), 0);
    assert_eq!(world.kind(&token).await, None);
    assert!(world.push(&good()).await.accepted());
    assert_eq!(world.kind(&token).await, Some(Kind::Revoked));
}

/// Attack 42: the issuer of the SET, not the key alone, says whose stream it is; and keys of the token
/// issuer are not those of the transmitter.
#[tokio::test]
async fn attack_42_keys_belong_to_one_transmitter() {
    let world = World::pushed();
    let key = world.issuer.key();
    let set = world.transmitter.session_revoked(ISSUER, "alice");
    let forged = set.clone().header("kid", key.kid()).sign_with(&key);
    assert_eq!(world.push_text(forged).await.err().as_deref(), Some("invalid_key"));
    let forged = set.claim("iss", ISSUER).header("kid", key.kid()).sign_with(&key);
    assert_eq!(world.push_text(forged).await.err().as_deref(), Some("invalid_issuer"));
    assert_eq!(world.api.revocations().records(), 0);
}

/// PUSH-05: who sends is asked first, before the body is looked at.
#[tokio::test]
async fn a_transmitter_shows_who_it_is() {
    let world = World::pushed();
    let set = || world.transmitter.session_revoked(ISSUER, "alice").sign();
    let shown = |value: &str| HeaderValue::from_str(value).unwrap();
    for (name, values) in [
        ("nothing", vec![]),
        ("something else", vec!["Bearer other"]),
        ("a prefix", vec!["Bearer of-the-transmitte"]),
        ("more", vec!["Bearer of-the-transmitterx"]),
        ("another scheme", vec!["bearer of-the-transmitter"]),
        ("an empty value", vec![""]),
        ("twice", vec![SECRET, SECRET]),
        ("two values", vec![SECRET, "Bearer other"]),
    ] {
        for body in [set(), "garbage".to_owned()] {
            let mut request = world.transmitter.push(body);
            request.headers_mut().remove(AUTHORIZATION);
            for value in &values {
                request.headers_mut().append(AUTHORIZATION, shown(value));
            }
            let answer = world.deliver(request).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{name}");
            assert_eq!(answer.err().as_deref(), Some("authentication_failed"), "{name}");
        }
    }
    assert_eq!(world.health().discarded, 0, "strangers write nothing into our books");
    assert_eq!(world.health().failures, 0);
    assert!(world.push_text(set()).await.accepted());
}

/// PUSH-05: while one secret replaces another both are accepted; what is in a file is read again, and
/// what cannot be read is an outage, not a stranger.
#[tokio::test]
async fn secrets_change_without_a_gap() {
    let place = tempfile("secrets_change_without_a_gap");
    let push = |place: &std::path::Path| {
        Push::new()
            .authorization(Secret::new("Bearer old"))
            .authorization(SecretSource::file(place))
    };
    let world = World::with(|tx| tx.fixed_keys().push(push(&place)), pushed);
    let send = async |value: &str| {
        world.transmitter.authorization(value);
        let answer = world.push(&world.transmitter.session_revoked(ISSUER, "alice")).await;
        (answer.status.as_u16(), answer.headers.contains_key(RETRY_AFTER))
    };
    assert_eq!(send("Bearer new").await, (503, true), "the file is not there");
    assert_eq!(send("Bearer old").await, (202, false));
    std::fs::write(&place, "Bearer new\n").unwrap();
    assert_eq!(send("Bearer new").await, (503, true), "it was read a moment ago");
    world.clock.advance(10 * SECOND);
    assert_eq!(send("Bearer new").await, (202, false));
    assert_eq!(send("Bearer other").await, (400, false));
    std::fs::write(&place, "Bearer newer\n").unwrap();
    world.clock.advance(10 * SECOND);
    assert_eq!(send("Bearer new").await, (400, false), "it was replaced");
    assert_eq!(send("Bearer newer").await, (202, false));
    std::fs::remove_file(&place).unwrap();
}

/// PUSH-05: a secret that is said twice, as by two settings of one deployment, is accepted as it is when
/// it is said once.
#[tokio::test]
async fn a_secret_can_be_said_twice() {
    let push = || with_secret().authorization(Secret::new(SECRET));
    let world = World::with(|tx| tx.fixed_keys().push(push()), pushed);
    let set = || world.transmitter.session_revoked(ISSUER, "alice");
    assert!(world.push(&set()).await.accepted());
    world.transmitter.authorization("Bearer other");
    assert_eq!(world.push(&set()).await.err().as_deref(), Some("authentication_failed"));
}

fn tempfile(name: &str) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("portcullis-{}-{name}", std::process::id()))
}

/// PUSH-05: with the signature alone, by its own name.
#[tokio::test]
async fn a_signature_is_enough_where_that_was_said() {
    let world = World::with(|tx| tx.fixed_keys().push(Push::new().signature_only()), pushed);
    let mut request = world.transmitter.push(world.transmitter.session_revoked(ISSUER, "a").sign());
    request.headers_mut().remove(AUTHORIZATION);
    assert!(world.deliver(request).await.accepted());
    let answer = world.push_text(world.transmitter.session_revoked(ISSUER, "a").tampered()).await;
    assert_eq!(answer.err().as_deref(), Some("invalid_key"));
}

/// PUSH-06: a body has a bound, whether its length is said or not.
#[tokio::test]
async fn a_body_is_bounded() {
    let world = World::pushed();
    let answer = world.push_text(vec![b'a'; 1024 * 1024]).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer.err().as_deref(), Some("invalid_request"));
    let mut request = world.transmitter.push("x");
    request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("65537"));
    assert_eq!(world.deliver(request).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let mut request = world.transmitter.push("x");
    request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("18446744073709551615"));
    assert_eq!(world.deliver(request).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(world.push_text(vec![b'a'; 64 * 1024]).await.status, StatusCode::BAD_REQUEST);
    let mut request = world.transmitter.push(vec![b'a'; 64 * 1024]);
    request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("65536"));
    assert_eq!(
        world.deliver(request).await.status,
        StatusCode::BAD_REQUEST,
        "no SET, and not long"
    );
}

/// A body that begins, and does not go on.
struct Unfinished {
    begun: bool,
    /// Whether it breaks off.
    breaks: bool,
}

impl Body for Unfinished {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if !std::mem::replace(&mut self.begun, true) {
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"eyJ")))));
        }
        match self.breaks {
            true => Poll::Ready(Some(Err(std::io::Error::other("gone")))),
            false => Poll::Pending,
        }
    }
}

fn unfinished(world: &World, breaks: bool) -> http::Request<Unfinished> {
    world.transmitter.push("").map(|_| Unfinished { begun: false, breaks })
}

/// PUSH-06: a body that does not come has its time, and one that breaks off is not half believed.
#[tokio::test]
async fn a_body_that_does_not_come_ends() {
    let world = World::pushed();
    let receiver = world.receiver();
    let request = unfinished(&world, false);
    let delivery = tokio::spawn({
        let receiver = receiver.clone();
        async move { Answer::of(receiver.receive(request).await).await.status }
    });
    settle().await;
    assert!(!delivery.is_finished());
    world.clock.advance(2 * SECOND);
    assert_eq!(delivery.await.unwrap(), StatusCode::REQUEST_TIMEOUT);

    let answer = Answer::of(receiver.receive(unfinished(&world, true)).await).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.err().as_deref(), Some("invalid_request"));
}

/// PUSH-06: bodies that do not come take no place of a delivery, have a bound of their own, and give
/// their place back.
#[tokio::test]
async fn bodies_that_do_not_come_are_bounded() {
    let world = World::with(|tx| tx.fixed_keys().push(Push::new().signature_only()), pushed);
    let set = || world.transmitter.session_revoked(ISSUER, "alice");
    let mut held = Vec::new();
    for _ in 1..EventReceiver::MAX_BODIES {
        let request = unfinished(&world, false);
        // Each by a receiver of its own: the places are the stream's.
        let receiver = world.receiver();
        held.push(tokio::spawn(async move { receiver.receive(request).await.status() }));
    }
    settle().await;
    assert!(world.push(&set()).await.accepted(), "one place is left");
    let (request, receiver) = (unfinished(&world, false), world.receiver());
    held.push(tokio::spawn(async move { receiver.receive(request).await.status() }));
    settle().await;
    let answer = world.push(&set()).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers.contains_key(RETRY_AFTER));
    world.clock.advance(2 * SECOND);
    for delivery in held {
        assert_eq!(delivery.await.unwrap(), StatusCode::REQUEST_TIMEOUT);
    }
    assert!(world.push(&set()).await.accepted());
}

/// PUSH-06: no more deliveries are in progress than there are places, and a place becomes free again.
#[tokio::test]
async fn deliveries_in_progress_are_bounded() {
    let world = World::with(|tx| tx.jwks().push(with_secret()), pushed);
    world.transmitter.issuer().hold();
    let set = || world.transmitter.session_revoked(ISSUER, "alice");
    let mut held = Vec::new();
    for _ in 0..EventReceiver::MAX_AT_ONCE {
        let request = world.transmitter.push(set().sign());
        // Each by a receiver of its own: the places are the stream's.
        let receiver = world.receiver();
        held.push(tokio::spawn(async move { receiver.receive(request).await.status() }));
    }
    settle().await;
    let answer = world.push(&set()).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers.contains_key(RETRY_AFTER));
    assert_eq!(world.api.revocations().records(), 0);
    assert_eq!(world.health().failures, 0, "it was not even judged");
    held[0].abort();
    settle().await;
    world.transmitter.issuer().release();
    assert!(world.push(&set()).await.accepted());
}

/// Attack 42: a SET from the future is the transmitter's: it comes again until it can be believed.
#[tokio::test]
async fn attack_42_a_set_from_the_future_comes_again() {
    let world = World::pushed();
    let ahead = world.now().plus(6 * MINUTE).as_secs();
    let set = world.transmitter.session_revoked(ISSUER, "alice").claim("iat", ahead);
    let answer = world.push(&set).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers.contains_key(RETRY_AFTER));
    assert_eq!((world.health().discarded, world.health().failures), (0, 1));
    world.clock.advance(MINUTE);
    assert!(world.push(&set).await.accepted());
    assert_eq!(world.kind(&world.issuer_token(2 * MINUTE)).await, Some(Kind::Revoked));
}

/// Attack 42: a key that changed under its name is read before a SET is refused for it; a forged SET is
/// refused after that, and strangers do not make the keys be read without end.
#[tokio::test]
async fn attack_42_a_key_can_change_under_its_name() {
    let world = World::with(|tx| tx.jwks().push(Push::new().signature_only()), pushed);
    let set = || world.transmitter.session_revoked(ISSUER, "alice");
    assert!(world.push(&set()).await.accepted());
    world.transmitter.issuer().withdraw("k1");
    world.transmitter.issuer().add_key(TestKey::generate(portcullis::jose::Algorithm::Es256, "k1"));
    world.clock.advance(MINUTE);
    assert!(world.push(&set()).await.accepted());
    assert_eq!(world.transmitter.issuer().fetches(), 2);

    world.clock.advance(MINUTE);
    assert_eq!(world.push_text(set().tampered()).await.err().as_deref(), Some("invalid_key"));
    assert_eq!(world.transmitter.issuer().fetches(), 3, "read once more");
    assert_eq!(world.push_text(set().tampered()).await.err().as_deref(), Some("invalid_key"));
    assert_eq!(world.transmitter.issuer().fetches(), 3, "since it came");
    let fetches = world.transmitter.issuer().fetches();
    for _ in 0..50 {
        world.clock.advance(SECOND / 1_000);
        let status = world.push_text(set().tampered()).await.status.as_u16();
        assert!(matches!(status, 400 | 503), "{status}");
    }
    assert!(world.transmitter.issuer().fetches() < fetches + 10, "it is bounded");
    assert!(world.push(&set()).await.accepted());
}

/// Attack 42: what cannot be told now is not refused, since a transmitter that hears "bad" sends it no
/// more; it comes again.
#[tokio::test]
async fn attack_42_without_keys_nothing_is_said_about_a_set() {
    let world = World::with(|tx| tx.jwks().push(with_secret()), pushed);
    world.transmitter.issuer().fail(Failure::Connection);
    let set = world.transmitter.session_revoked(ISSUER, "alice").sign();
    let answer = world.push_text(set.clone()).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers.contains_key(RETRY_AFTER));
    assert_eq!(answer.body, "");
    assert_eq!((world.health().discarded, world.health().failures), (0, 1));
    world.transmitter.issuer().recover();
    world.clock.advance(MINUTE);
    until("the keys are there", || world.transmitter.issuer().fetches() > 1).await;
    settle().await;
    assert!(world.push_text(set).await.accepted());
    assert_eq!(world.kind(&world.issuer_token(MINUTE)).await, Some(Kind::Revoked));
}

/// Attack 42: a SET with a new key is not refused because its key could not be asked for: strangers may
/// have used up what fetches there are. One with a key that is not there is, as soon as that is known.
#[tokio::test]
async fn attack_42_strangers_do_not_make_good_sets_bad() {
    let world = World::with(|tx| tx.jwks().push(Push::new().signature_only()), pushed);
    let set = || world.transmitter.session_revoked(ISSUER, "alice");
    assert!(world.push(&set()).await.accepted());
    for stranger in 0..10 {
        let set = set().header("kid", format!("stranger-{stranger}"));
        let status = world.push_text(set.tampered()).await.status.as_u16();
        assert!(matches!(status, 400 | 503), "{status}");
    }
    world.clock.advance(SECOND);
    world.transmitter.issuer().rotate();
    let new = set();
    let answer = world.push(&new).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers.contains_key(RETRY_AFTER));
    world.clock.advance(5 * SECOND);
    assert!(world.push(&new).await.accepted());
    world.clock.advance(5 * SECOND);
    let unknown = set().header("kid", "nobody's");
    assert_eq!(world.push(&unknown).await.err().as_deref(), Some("invalid_key"));
}

/// What strangers send is not written into our books, where strangers are let in; what the transmitter
/// signed is.
#[tokio::test]
async fn strangers_are_not_counted() {
    let world = World::with(|tx| tx.fixed_keys().push(Push::new().signature_only()), pushed);
    let set = || world.transmitter.session_revoked(ISSUER, "alice");
    for bad in [set().tampered(), set().unsigned("none"), "hello".to_owned()] {
        assert_eq!(world.push_text(bad).await.status, StatusCode::BAD_REQUEST);
    }
    let other = set().claim("iss", "https://evil.example").sign();
    assert_eq!(world.push_text(other).await.err().as_deref(), Some("invalid_issuer"));
    assert_eq!((world.health().discarded, world.health().failures), (0, 0));
    let signed = set().claim("exp", 1_900_000_000);
    assert_eq!(world.push(&signed).await.err().as_deref(), Some("invalid_request"));
    assert_eq!(world.health().discarded, 1);
}

/// PUSH-04: a key that was changed is fetched; one that was withdrawn is refused.
#[tokio::test]
async fn keys_of_the_transmitter_change() {
    let world = World::with(|tx| tx.jwks().push(with_secret()), pushed);
    let set = || world.transmitter.session_revoked(ISSUER, "alice");
    assert!(world.push(&set()).await.accepted());
    let first = set();
    world.transmitter.issuer().rotate();
    assert!(world.push(&set()).await.accepted());
    world.transmitter.issuer().withdraw("k1");
    world.clock.advance(Duration::from_mins(10));
    until("the keys were read again", || world.transmitter.issuer().fetches() > 2).await;
    settle().await;
    assert_eq!(world.push(&first.clone()).await.err().as_deref(), Some("invalid_key"));
    assert!(world.push(&set()).await.accepted());
}

/// Attack 42, decision 11: what there is no room for is not acknowledged, and counts as soon as there is
/// room.
#[tokio::test]
async fn attack_42_what_is_not_kept_is_not_acknowledged() {
    let clock = ManualClock::new();
    let stream = |tx: &TestTransmitter| tx.fixed_keys().push(with_secret());
    let source = |stream| pushed(Source::new("caep", stream));
    let world = World::at(clock, stream, source, |known: Revocation| known.max_records(2));
    for name in ["alice", "bob"] {
        world.happens("caep/session-revoked", user(name), json!({})).await;
    }
    let third = world.transmitter.session_revoked(ISSUER, "carol");
    for _ in 0..2 {
        let answer = world.push(&third).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers.contains_key(RETRY_AFTER));
    }
    let carol = world.token().subject("carol");
    assert_eq!(world.kind(&carol).await, None, "nobody was told that it counts");
    assert_eq!(world.kind(&world.token()).await, Some(Kind::Revoked), "nothing was dropped for it");
    assert!(world.health().last_error.unwrap().contains("no room"));
}

/// What is known of is a tower service for any body, and is ready at once.
#[tokio::test]
async fn a_receiver_is_a_service() {
    let world = World::pushed();
    let mut service = world.receiver();
    let set = world.transmitter.session_revoked(ISSUER, "alice").sign();
    let request = world.transmitter.push(set.clone());
    let waker = std::task::Waker::noop();
    let ready = Service::<http::Request<Full<Bytes>>>::poll_ready(
        &mut service,
        &mut Context::from_waker(waker),
    );
    assert!(ready.is_ready());
    let response = service.call(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let app: axum::Router = axum::Router::new().route_service("/events", world.receiver());
    let request = world.transmitter.push(set).map(axum::body::Body::new);
    assert_eq!(app.oneshot(request).await.unwrap().status(), StatusCode::ACCEPTED);
}

/// There is no receiver of what is not pushed, nor of another name.
#[test]
fn only_a_pushed_stream_has_a_receiver() {
    let world = World::pushed();
    assert!(world.api.event_receiver("caep").is_some());
    assert!(world.api.event_receiver("risc").is_none());
    assert!(world.api.event_receiver("local").is_none());
    let polled = World::with(|tx| tx.fixed_keys().poll(tx.polled()), |source| source);
    assert!(polled.api.event_receiver("caep").is_none());
}

/// What is printed shows no secret.
#[test]
fn secrets_are_not_printed() {
    let world = World::pushed();
    let stream = world.transmitter.fixed_keys().push(with_secret());
    for shown in [
        format!("{stream:?}"),
        format!("{:?}", world.receiver()),
        format!("{:?}", world.api),
        format!("{:?}", world.transmitter),
    ] {
        assert!(!shown.contains("of-the-transmitter"), "{shown}");
    }
}

/// A delivery that is given up leaves no harm, and no place taken.
#[tokio::test]
async fn a_delivery_that_is_given_up_takes_no_place() {
    let world = World::with(|tx| tx.jwks().push(with_secret()), pushed);
    world.transmitter.issuer().hold();
    let receiver = Arc::new(world.receiver());
    for _ in 0..3 {
        let held: Vec<_> = (0..EventReceiver::MAX_AT_ONCE)
            .map(|_| {
                let set = world.transmitter.session_revoked(ISSUER, "alice").sign();
                let request = world.transmitter.push(set);
                let receiver = Arc::clone(&receiver);
                tokio::spawn(async move { receiver.receive(request).await.status() })
            })
            .collect();
        settle().await;
        held.iter().for_each(tokio::task::JoinHandle::abort);
        settle().await;
    }
    world.transmitter.issuer().release();
    settle().await;
    assert!(world.push(&world.transmitter.session_revoked(ISSUER, "alice")).await.accepted());
}

/// PUSH-04: a transmitter with another key of the same name is told so.
#[tokio::test]
async fn a_key_is_known_by_more_than_its_name() {
    let world = World::pushed();
    let other = TestKey::generate(portcullis::jose::Algorithm::Es256, "k1");
    let set = world.transmitter.session_revoked(ISSUER, "alice").sign_with(&other);
    assert_eq!(world.push_text(set).await.err().as_deref(), Some("invalid_key"));
}
