//! The end of a service, with requests in flight.

use std::time::Duration;

use http::Request;
use portcullis::testing::{Failure, HeldVerifications};

use crate::client::{Answer, Client, octets};
use crate::serve::{NOTES, Service, World, on_two_threads};
use crate::support::until;

/// Of each kind.
const IN_FLIGHT: usize = 40;

/// Requests that wait: for a key, for their issuer's word, for their turn.
struct InFlight {
    keys: Vec<Client>,
    word: Vec<Client>,
    turn: Vec<Client>,
    held: HeldVerifications,
}

async fn start(service: &mut Service, request: Request<String>) -> Client {
    let mut client = service.connect().await;
    client.write(&octets(&request)).await.unwrap();
    client
}

/// A service with requests in flight of every kind. The keys of its issuer are there, but for one.
async fn in_flight(world: &World, service: &mut Service) -> InFlight {
    let mut waits = InFlight {
        keys: Vec::new(),
        word: Vec::new(),
        turn: Vec::new(),
        held: HeldVerifications::of(&world.api),
    };
    for _ in 0..IN_FLIGHT {
        waits.turn.push(start(service, world.unknown()).await);
    }
    until("the line", || world.waiting() == IN_FLIGHT).await;
    world.issuer.hold();
    world.issuer.rotate();
    let fetches = world.issuer.fetches();
    for _ in 0..IN_FLIGHT {
        waits.keys.push(start(service, world.unknown()).await);
    }
    until("a fetch of keys", || world.issuer.fetches() == fetches + 1).await;
    world.opaque.hold();
    for _ in 0..IN_FLIGHT {
        waits.word.push(start(service, world.active()).await);
    }
    world.opaque.called(IN_FLIGHT).await;
    waits
}

/// AUTH-32: a service closes while requests wait. What they wait for comes, each is answered, its connection
/// is closed, and no connection takes another request. With the last handle of the server its tasks end.
#[test]
fn who_is_in_flight_is_answered() {
    on_two_threads(async || {
        let world = World::warm().await;
        let mut service = Service::of(&world.api).await;
        let waits = in_flight(&world, &mut service).await;
        let mut idle = service.connect().await;
        assert_eq!(
            idle.ask(&Request::get("/notes").body(String::new()).unwrap()).await.unwrap().status,
            401
        );
        service.begin_to_close();
        assert!(idle.is_closed().await, "who asks nothing is closed at once");
        until("the others stay", || service.open() == 3 * IN_FLIGHT).await;

        let InFlight { keys, word, turn, held } = waits;
        world.issuer.release();
        world.opaque.release();
        drop(held);
        for mut client in keys.into_iter().chain(word).chain(turn) {
            assert_eq!(client.answer().await.unwrap(), Answer::ok(NOTES));
            assert!(client.is_closed().await);
        }
        service.finish().await;
        world.assert_at_rest(0);
        let World { clock, api, .. } = world;
        assert!(clock.sleepers() > 0, "tasks of the server sleep");
        drop(api);
        until("its tasks end", || clock.sleepers() == 0).await;
    });
}

/// AUTH-32: the same where nothing comes of what they wait for: each is refused in its time, as unavailable or
/// for a key that does not exist.
#[test]
fn who_waits_for_nothing_is_told_so() {
    on_two_threads(async || {
        let world = World::warm().await;
        let mut service = Service::of(&world.api).await;
        let waits = in_flight(&world, &mut service).await;
        service.begin_to_close();
        let InFlight { keys, word, turn, held } = waits;
        world.issuer.fail(Failure::Silence);
        world.issuer.release();
        // A second for a key and for a turn, two for an issuer's word.
        world.clock.advance(Duration::from_secs(1));
        for mut client in keys {
            let refused = Answer::refused(401, Some("invalid_token"));
            assert_eq!(client.answer().await.unwrap(), refused);
            assert!(client.is_closed().await);
        }
        world.clock.advance(Duration::from_secs(1));
        for mut client in turn.into_iter().chain(word) {
            assert_eq!(client.answer().await.unwrap(), Answer::refused(503, None));
            assert!(client.is_closed().await);
        }
        service.finish().await;
        drop(held);
        let clock = world.clock.clone();
        drop(world);
        until("its tasks end", || clock.sleepers() == 0).await;
    });
}

/// AUTH-32: the same where nobody wants to wait: connections are cut, and the server goes with a fetch, a
/// question and a line that never come to an end.
#[test]
fn who_is_cut_off_leaves_nothing() {
    on_two_threads(async || {
        let world = World::warm().await;
        let mut service = Service::of(&world.api).await;
        let waits = in_flight(&world, &mut service).await;
        service.abort().await;
        let InFlight { keys, word, turn, held } = waits;
        for mut client in keys.into_iter().chain(word).chain(turn) {
            assert!(client.is_closed().await);
        }
        until("nobody waits", || world.waiting() == 0).await;
        // Not even `held` keeps the server's tasks alive.
        let World { clock, api, issuer, opaque, .. } = world;
        drop(api);
        opaque.release();
        issuer.release();
        until("its tasks end", || clock.sleepers() == 0).await;
        drop(held);
    });
}
