//! Clients that take their time: with what they say, and with what they hear.

use http::Request;
use portcullis::testing::HeldVerifications;
use tokio::task::{JoinSet, yield_now};

use crate::client::{Answer, octets};
use crate::serve::{LARGE, NOTES, Service, World, on_two_threads};
use crate::support::until;

/// Of each kind.
const SLOW: usize = 100;
const OTHERS: usize = 300;

/// API-03, JWS-55: heads that come octet by octet, heads that never end, and answers that nobody reads. They
/// hold none of what is bounded: with one place for a signature, and every turn of the others to be had,
/// the others get their answers; and the slow ones get theirs when they have asked.
#[test]
fn the_slow_hold_no_place() {
    on_two_threads(async || {
        let world = World::warm().await;
        let mut service = Service::of(&world.api).await;

        // 1. Heads without an end: good tokens, forged ones, proofs, opaque ones.
        let mut endless = Vec::new();
        for number in 0..SLOW {
            let request = match number % 4 {
                0 => world.unknown(),
                1 => world.forged(),
                2 => world.proven(),
                _ => world.active(),
            };
            let mut client = service.connect().await;
            let octets = octets(&request);
            client.write(&octets[..octets.len() - 1]).await.unwrap();
            endless.push((client, number));
        }

        // 2. Answers that nobody reads: many requests, one after the other, of a large body each. They are
        // pipes, which hold little: the service cannot get rid of the first answer.
        let mut deaf = Vec::new();
        for _ in 0..SLOW {
            let mut request = world.unknown();
            *request.uri_mut() = "/large".parse().unwrap();
            let mut client = service.connect_by_pipe();
            client.write(&octets(&request)).await.unwrap();
            client.write(&octets(&request)).await.unwrap();
            deaf.push(client);
        }

        // 3. Heads that come octet by octet, as slowly as the others let them.
        let mut crawling = JoinSet::new();
        for number in 0..SLOW {
            let (request, wanted) = match number % 2 {
                0 => (world.unknown(), Answer::ok(NOTES)),
                _ => (world.forged(), Answer::refused(401, Some("invalid_token"))),
            };
            let mut client = service.connect().await;
            crawling.spawn(async move {
                for octet in octets(&request) {
                    client.write(&[octet]).await.unwrap();
                    yield_now().await;
                }
                (client.answer().await.unwrap(), wanted)
            });
        }

        // 4. The others do not notice.
        let mut others = JoinSet::new();
        for number in 0..OTHERS {
            let (request, wanted) = match number % 4 {
                0 => (world.unknown(), Answer::ok(NOTES)),
                1 => (world.forged(), Answer::refused(401, Some("invalid_token"))),
                2 => (world.proven(), Answer::ok(NOTES)),
                _ => (world.active(), Answer::ok(NOTES)),
            };
            let mut client = service.connect().await;
            others.spawn(async move { (client.ask(&request).await.unwrap(), wanted) });
        }
        for mut asked in [others, crawling] {
            while let Some(answered) = asked.join_next().await {
                let (found, wanted) = answered.unwrap();
                assert_eq!(found, wanted);
            }
        }

        // 5. While the slow are still there, everything that is bounded is free, and no proof of a head
        // without an end was used.
        assert_eq!((endless.len(), deaf.len()), (SLOW, SLOW));
        assert!(service.open() >= 2 * SLOW);
        world.assert_at_rest(OTHERS / 4);

        // 6. What was slow is answered as anything else.
        for (mut client, number) in endless {
            client.write(b"\n").await.unwrap();
            let wanted = match number % 4 {
                1 => Answer::refused(401, Some("invalid_token")),
                _ => Answer::ok(NOTES),
            };
            assert_eq!(client.answer().await.unwrap(), wanted, "{number}");
        }
        for mut client in deaf {
            for _ in 0..2 {
                assert_eq!(client.answer().await.unwrap(), Answer::ok(LARGE));
            }
        }
        world.assert_at_rest(OTHERS / 4 + SLOW / 4);
        service.close().await;
    });
}

/// API-03: one who never ends its head, while every turn is taken: it is not even in the line.
#[test]
fn who_has_not_asked_does_not_wait() {
    on_two_threads(async || {
        let world = World::warm().await;
        let mut service = Service::of(&world.api).await;
        let held = HeldVerifications::of(&world.api);
        let request = octets(&world.unknown());
        let mut slow = service.connect().await;
        slow.write(&request[..request.len() - 1]).await.unwrap();
        let mut other = service.connect().await;
        other.write(&octets(&world.unknown())).await.unwrap();
        until("the other waits", || world.waiting() == 1).await;
        slow.write(b"\n").await.unwrap();
        until("both wait", || world.waiting() == 2).await;
        drop(held);
        for mut client in [slow, other] {
            assert_eq!(client.answer().await.unwrap(), Answer::ok(NOTES));
        }
        let bare = Request::get("/notes").body(String::new()).unwrap();
        let mut third = service.connect().await;
        assert_eq!(third.ask(&bare).await.unwrap(), Answer::refused(401, None));
        drop(third);
        service.close().await;
        world.assert_at_rest(0);
    });
}
