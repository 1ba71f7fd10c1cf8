//! Clients that hang up in the middle of a decision.

use bytes::Bytes;
use http_body_util::{Empty, Full};
use hyper::client::conn::http2 as client;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use portcullis::testing::HeldVerifications;
use tokio::io::duplex;
use tokio::task::JoinSet;
use tower::Layer as _;

use crate::client::{Answer, octets};
use crate::serve::{NOTES, Service, World, on_two_threads};
use crate::support::until;

const LEAVING: usize = 300;

/// Attack 28, INT-09, API-03: many hang up while their keys are fetched, while their issuer is asked, and while
/// they stand in the line. They leave nothing, and who stays is answered.
#[test]
fn who_hangs_up_leaves_nothing() {
    on_two_threads(async || {
        let world = World::cold();
        let mut service = Service::of(&world.api).await;

        // 1. While keys are fetched, for the first time and for all at once.
        world.issuer.hold();
        let mut leaving = Vec::new();
        for number in 0..LEAVING {
            let mut client = service.connect().await;
            let request = if number % 2 == 0 { world.unknown() } else { world.proven() };
            client.write(&octets(&request)).await.unwrap();
            leaving.push(client);
        }
        let (mut staying, request) = (service.connect().await, world.unknown());
        staying.write(&octets(&request)).await.unwrap();
        until("the keys are asked for", || world.issuer.fetches() == 1).await;
        drop(leaving);
        until("they are gone", || service.open() == 1).await;
        world.issuer.release();
        assert_eq!(staying.answer().await.unwrap(), Answer::ok(NOTES));
        assert_eq!(world.issuer.fetches(), 1);
        world.assert_at_rest(0);

        // 2. While their turn has not come.
        let held = HeldVerifications::of(&world.api);
        let mut leaving = Vec::new();
        for number in 0..LEAVING {
            let mut client = service.connect().await;
            let request = match number % 3 {
                0 => world.unknown(),
                1 => world.forged(),
                _ => world.proven(),
            };
            client.write(&octets(&request)).await.unwrap();
            leaving.push(client);
        }
        until("they wait", || world.waiting() == LEAVING).await;
        let other = world.unknown();
        staying.write(&octets(&other)).await.unwrap();
        until("one more waits", || world.waiting() == LEAVING + 1).await;
        drop(leaving);
        until("they are gone", || service.open() == 1 && world.waiting() == 1).await;
        drop(held);
        assert_eq!(staying.answer().await.unwrap(), Answer::ok(NOTES));
        world.assert_at_rest(0);

        // 3. While their issuer is asked: half of them about one token. The questions go on.
        world.opaque.hold();
        let shared = world.active();
        let mut leaving = Vec::new();
        for number in 0..LEAVING {
            let mut client = service.connect().await;
            let request = if number % 2 == 0 { shared.clone() } else { world.active() };
            client.write(&octets(&request)).await.unwrap();
            leaving.push(client);
        }
        let questions = LEAVING / 2 + 1;
        world.opaque.called(questions).await;
        staying.write(&octets(&shared)).await.unwrap();
        drop(leaving);
        until("they are gone", || service.open() == 1).await;
        world.opaque.release();
        assert_eq!(staying.answer().await.unwrap(), Answer::ok(NOTES));
        until("the questions end", || world.opaque.under_way() == 0).await;
        until("and their tasks", || world.api.introspection_health()[0].under_way == 0).await;
        assert_eq!(world.opaque.calls(), questions);
        world.assert_at_rest(0);
        drop(staying);
        service.close().await;
    });
}

/// API-03: the same within one connection of HTTP/2: half of its streams are reset in the middle of their
/// decisions, and the others are answered.
#[test]
fn streams_that_are_reset_leave_nothing() {
    on_two_threads(async || {
        let world = World::warm().await;
        let inner = tower::service_fn(async |_: http::Request<hyper::body::Incoming>| {
            Ok::<_, std::convert::Infallible>(http::Response::new(Full::<Bytes>::from("notes")))
        });
        let service = TowerToHyperService::new(world.api.layer().layer(inner));
        let (ours, theirs) = duplex(64 * 1024);
        let serving = http2::Builder::new(TokioExecutor::new())
            .max_concurrent_streams(u32::try_from(LEAVING).unwrap())
            .serve_connection(TokioIo::new(ours), service);
        let serving = tokio::spawn(serving);
        let (sender, connection) =
            client::handshake(TokioExecutor::new(), TokioIo::new(theirs)).await.unwrap();
        let connection = tokio::spawn(connection);

        let held = HeldVerifications::of(&world.api);
        let (mut leaving, mut staying) = (JoinSet::new(), JoinSet::new());
        for number in 0..LEAVING {
            let is_forged = number % 4 < 2;
            let request = if is_forged { world.forged() } else { world.unknown() };
            let (mut head, _) = request.into_parts();
            head.uri = "http://rs.example/notes".parse().unwrap();
            let request = http::Request::from_parts(head, Empty::<Bytes>::new());
            let mut sender = sender.clone();
            let answer = async move {
                sender.ready().await.unwrap();
                (sender.send_request(request).await.unwrap().status(), is_forged)
            };
            if number % 2 == 0 {
                leaving.spawn(answer);
            } else {
                staying.spawn(answer);
            }
        }
        until("they wait", || world.waiting() == LEAVING).await;
        leaving.shutdown().await;
        until("half of them are gone", || world.waiting() == LEAVING / 2).await;
        drop(held);
        let mut answers = 0;
        while let Some(answered) = staying.join_next().await {
            let (status, is_forged) = answered.unwrap();
            assert_eq!(status, if is_forged { 401 } else { 200 });
            answers += 1;
        }
        assert_eq!(answers, LEAVING / 2);
        world.assert_at_rest(0);
        drop(sender);
        connection.await.unwrap().unwrap();
        serving.await.unwrap().unwrap();
    });
}
