//! Who waits for a list, how long, and who does not.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use portcullis::RejectionKind as Kind;
use portcullis::revocation::{OnStale, StatusLists};
use portcullis::testing::Failure;

use crate::support::{bearer, present, send, settle};
use crate::world::{MINUTE, Parts, SECOND, World};

/// One fetch for a thousand requests that wait.
#[tokio::test]
async fn one_fetch_serves_all_that_wait() {
    let world = World::new().await;
    world.list.set(1, 1).hold();
    let waiting: Vec<_> = (0..1_000)
        .map(|number| {
            let (api, token) = (world.api.clone(), world.token(number % 2).sign());
            tokio::spawn(async move { present(&api, &token).await.map_err(|error| error.kind()) })
        })
        .collect();
    settle().await;
    assert_eq!(world.list.fetches(), 1);
    assert!(waiting.iter().all(|request| !request.is_finished()));
    world.list.release();
    for (number, request) in waiting.into_iter().enumerate() {
        let answer = request.await.unwrap().err();
        assert_eq!(answer, (number % 2 == 1).then_some(Kind::Revoked), "{number}");
    }
    assert_eq!(world.list.fetches(), 1);
}

/// So many requests wait for one list at once; what comes then is told to come again, and holds up nobody.
#[tokio::test]
async fn so_many_requests_wait_and_no_more() {
    let world = World::new().await;
    let token = world.token(0).sign();
    // Known from then on: no request waits for anything but the list.
    assert!(present(&world.api, &token).await.is_ok());
    world.list.hold();
    world.advance(MINUTE * 6).await;
    assert_eq!(world.list.fetches(), 2, "it is being fetched");
    let ask = || {
        let (api, token) = (world.api.clone(), token.clone());
        tokio::spawn(async move { present(&api, &token).await.map_err(|error| error.kind()) })
    };
    let waiting: Vec<_> = (0..1_024).map(|_| ask()).collect();
    settle().await;
    assert!(waiting.iter().all(|request| !request.is_finished()));
    let one_more = ask();
    settle().await;
    assert!(one_more.is_finished(), "it waits");
    assert_eq!(one_more.await.unwrap().err(), Some(Kind::RevocationUnavailable));
    world.list.release();
    for request in waiting {
        assert_eq!(request.await.unwrap().err(), None);
    }
    assert_eq!(ask().await.unwrap().err(), None);
}

/// A request waits two seconds at most, or as long as was said; then 503 with `Retry-After`. The fetch
/// goes on, and whoever comes later has its list.
#[tokio::test]
async fn a_request_waits_so_long_and_no_longer() {
    for (lists, longest) in [
        (StatusLists::new(), SECOND * 2),
        (StatusLists::new().wait_at_most(SECOND / 2), SECOND / 2),
    ] {
        let world = World::with(lists).await;
        world.list.hold();
        let (layer, token) = (world.api.layer(), world.token(0).sign());
        let request = tokio::spawn(async move { send(&layer, bearer(&token)).await });
        settle().await;
        world.advance(longest - Duration::from_millis(1)).await;
        assert!(!request.is_finished());
        world.advance(Duration::from_millis(1)).await;
        let sent = request.await.unwrap();
        assert_eq!(sent.kind(), Some(Kind::RevocationUnavailable));
        assert_eq!(sent.response.headers()["retry-after"], "1");
        world.list.release();
        settle().await;
        assert_eq!(world.kind(0).await, None);
        assert_eq!(world.list.fetches(), 1);
    }
    let world = World::with(StatusLists::new().wait_at_most(Duration::ZERO)).await;
    world.assert_unavailable(0, "nobody waits").await;
    settle().await;
    assert_eq!(world.kind(0).await, None, "and it is there");
}

/// A request that had to wait for its issuer's keys waits for its list as well.
#[tokio::test]
async fn a_request_waits_for_keys_and_for_its_list() {
    let Parts { clock, issuer, list, network, .. } = Parts::new();
    let api = crate::support::builder(&clock)
        .issuer(issuer.discover())
        .revocation(portcullis::revocation::Revocation::new().status_lists(StatusLists::new()))
        .transport(network)
        .build()
        .unwrap();
    list.set(1, 1);
    let token = |index| issuer.token("https://rs.example").claim("status", list.reference(index));
    assert!(present(&api, &token(0).sign()).await.is_ok());
    assert_eq!(present(&api, &token(1).sign()).await.unwrap_err().kind(), Kind::Revoked);
}

/// A fetch that is given up by everybody goes on, and a silent server is given up in the end.
#[tokio::test]
async fn a_silent_server_is_given_up() {
    let world = World::new().await;
    world.list.fail(Failure::Silence);
    let (layer, token) = (world.api.layer(), world.token(0).sign());
    let request = tokio::spawn(async move { send(&layer, bearer(&token)).await });
    settle().await;
    world.advance(SECOND * 2).await;
    assert_eq!(request.await.unwrap().kind(), Some(Kind::RevocationUnavailable));
    assert_eq!(world.health().failed, 0, "it is still waited for");
    world.advance(SECOND * 8).await;
    assert_eq!(world.health().failed, 1);
    assert!(world.health().last_error.unwrap().contains("no answer in time"));
    world.list.recover();
    world.advance(SECOND).await;
    assert_eq!(world.kind(0).await, None);
}

/// What was held is never waited for: while lists are replaced, every request is answered the first time
/// it is looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swap_makes_no_request_wait() {
    // However long the swaps take, no list is too old meanwhile.
    let lists = StatusLists::new().on_stale(OnStale::AllowFor(Duration::from_hours(24)));
    let parts = Parts { lists, ..Parts::new() };
    parts.issuer.cache_control("max-age=3600");
    let world = parts.build().await;
    world.list.resize(2, 1 << 16);
    assert_eq!(world.kind(0).await, None);
    let done = Arc::new(AtomicBool::new(false));
    let (asked, waited, refused) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
    );
    let token = world.token(0).sign();
    // Or its signature could have to wait for its turn.
    assert!(present(&world.api, &token).await.is_ok());
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (api, token, done) = (world.api.clone(), token.clone(), Arc::clone(&done));
            let (asked, waited, refused) =
                (Arc::clone(&asked), Arc::clone(&waited), Arc::clone(&refused));
            std::thread::spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let mut answer = pin!(present(&api, &token));
                    match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                        Poll::Ready(Ok(_)) => {}
                        Poll::Ready(Err(_)) => {
                            refused.fetch_add(1, Ordering::Relaxed);
                        }
                        Poll::Pending => {
                            waited.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    // All within the hour for which the issuer's keys are fresh: readers outside a runtime renew none.
    for swap in 1..=10_u64 {
        world.list.set(swap, 1);
        world.clock.advance(SECOND * 240);
        // The list of this swap is there when it says so.
        while world.kind(swap).await.is_none() {
            world.clock.advance(SECOND);
            settle().await;
        }
    }
    let during = asked.load(Ordering::Relaxed);
    done.store(true, Ordering::Relaxed);
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    assert!(during > 100, "they did read: {during}");
    assert_eq!((waited.load(Ordering::Relaxed), refused.load(Ordering::Relaxed)), (0, 0));
    assert!(world.list.fetches() >= 11);
}

/// The tasks of a server end with it: nobody fetches for one that is gone.
#[tokio::test]
async fn tasks_end_with_the_server() {
    let World { clock, list, api, issuer, .. } = World::new().await;
    let token = issuer.token("https://rs.example").claim("status", list.reference(0)).sign();
    assert!(present(&api, &token).await.is_ok());
    assert!(clock.sleepers() > 0);
    drop(api);
    settle().await;
    assert_eq!(clock.sleepers(), 0);
    clock.advance(MINUTE * 100);
    settle().await;
    assert_eq!(list.fetches(), 1);
}
