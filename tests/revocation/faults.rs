//! What goes wrong around it: servers that end under load, sources that hang, bursts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use portcullis::RejectionKind as Kind;
use portcullis::revocation::{
    Batch, Claims, JsonFeed, Record, Revocation, RevocationSource, Running, Source, SourceHandle,
    StatusLists,
};
use portcullis::testing::{ManualClock, TestIssuer};
use portcullis::time::Clock as _;
use portcullis::transport::{Fetch, FetchLimits, Transport};

use crate::interleavings::opened;
use crate::source::{Directory, Hand, source};
use crate::support::{ISSUER, RESOURCE, bearer, builder, present, send, settle};

/// EVT-01: what was acknowledged is known again, however often the server ends while it is told things
/// and asked about others; and whatever was not acknowledged is known wholly or not at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_by_restarts_under_load() {
    const ROUNDS: usize = 6;
    let directory = Directory::new();
    let path = directory.path().join("revocations");
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let acknowledged = Arc::new(AtomicUsize::new(0));
    for round in 0..ROUNDS {
        let known = Revocation::new().journal(opened(&path));
        let api = builder(&clock).issuer(issuer.fixed_keys()).revocation(known).build().unwrap();
        let (goes_on, refused) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
        let writer = {
            let (revocations, goes_on) = (api.revocations(), Arc::clone(&goes_on));
            let (acknowledged, now) = (Arc::clone(&acknowledged), clock.now());
            tokio::spawn(async move {
                while goes_on.load(Ordering::Relaxed) {
                    let number = acknowledged.load(Ordering::Acquire);
                    let pair = [format!("a-{number}"), format!("b-{number}")];
                    let records = pair.map(|jti| Record::token(ISSUER, jti, now));
                    if revocations.revoke_all(records).await.is_err() {
                        return;
                    }
                    acknowledged.store(number + 1, Ordering::Release);
                }
            })
        };
        let reader = {
            let (api, goes_on, refused) = (api.clone(), Arc::clone(&goes_on), Arc::clone(&refused));
            let (issuer, acknowledged) = (issuer.clone(), Arc::clone(&acknowledged));
            tokio::spawn(async move {
                while goes_on.load(Ordering::Relaxed) {
                    let count = acknowledged.load(Ordering::Acquire);
                    if let Some(last) = count.checked_sub(1) {
                        let token = issuer.token(RESOURCE).claim("jti", format!("b-{last}")).sign();
                        let kind = present(&api, &token).await.unwrap_err().kind();
                        assert_eq!(kind, Kind::Revoked, "{last} was acknowledged");
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                    tokio::task::yield_now().await;
                }
            })
        };
        // Until enough was done, whatever time that takes.
        let wanted = (round + 1) * 10;
        while acknowledged.load(Ordering::Acquire) < wanted || refused.load(Ordering::Relaxed) < 3 {
            tokio::task::yield_now().await;
            assert!(!writer.is_finished(), "the journal takes records");
        }
        goes_on.store(false, Ordering::Relaxed);
        reader.await.unwrap();
        writer.abort();
        let _ = writer.await;
        drop(api);
    }
    let known = Revocation::new().journal(opened(&path));
    let api = builder(&clock).issuer(issuer.fixed_keys()).revocation(known).build().unwrap();
    let is_known = async |jti: String| {
        present(&api, &issuer.token(RESOURCE).claim("jti", jti).sign()).await.is_err()
    };
    let count = acknowledged.load(Ordering::Acquire);
    for number in 0..count {
        assert!(is_known(format!("a-{number}")).await && is_known(format!("b-{number}")).await);
    }
    let cut = (is_known(format!("a-{count}")).await, is_known(format!("b-{count}")).await);
    assert_eq!(cut.0, cut.1, "a batch is known whole, or not at all");
    assert!(!is_known(format!("a-{}", count + 1)).await);
}

/// The request path never waits for a source: with sources that hang, a token is decided within one
/// poll, again and again.
#[tokio::test]
async fn no_request_waits_for_a_source() {
    struct Hangs;
    impl Transport for Hangs {
        fn fetch(&self, _: http::Request<bytes::Bytes>, _: FetchLimits) -> Fetch<'_> {
            Box::pin(std::future::pending())
        }
    }
    struct Stuck;
    impl RevocationSource for Stuck {
        fn run(&self, _: SourceHandle) -> Running<'_> {
            Box::pin(std::future::pending())
        }
    }
    let (clock, hand) = (ManualClock::new(), Hand::default());
    let issuer = TestIssuer::new(ISSUER, &clock);
    let feed = JsonFeed::over_tls("https://as.example/revocations.json");
    let known = Revocation::new()
        .status_lists(StatusLists::new())
        .source(source(&hand))
        .source(Source::own("stuck", Stuck).speaks_for([ISSUER]))
        .source(Source::new("feed", feed).speaks_for([ISSUER]));
    let api = builder(&clock)
        .issuer(issuer.fixed_keys())
        .revocation(known)
        .transport(Hangs)
        .build()
        .unwrap();
    let layer = api.layer();
    hand_over(&layer, &issuer);
    hand.says([Record::token(ISSUER, "t-1", clock.now())]).await;
    for _ in 0..100 {
        let kind = hand_over(&layer, &issuer);
        assert_eq!(kind, Some(Kind::RevocationUnavailable), "a good token: nothing is known");
        settle().await;
    }
    let revoked = issuer.token(RESOURCE).claim("jti", "t-1").sign();
    assert_eq!(now(send(&layer, bearer(&revoked))).kind(), Some(Kind::Revoked));
}

fn hand_over(layer: &portcullis::layer::ProtectLayer, issuer: &TestIssuer) -> Option<Kind> {
    now(send(layer, bearer(&issuer.token(RESOURCE).sign()))).kind()
}

/// What the first poll gives.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

/// A burst: 100 000 events, each a batch of its own and told at once, are on disk and effective when they
/// are acknowledged; some writes serve them all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_events_is_taken_whole() {
    const EVENTS: usize = 100_000;
    let directory = Directory::new();
    let path = directory.path().join("revocations");
    let (clock, hand) = (ManualClock::new(), Hand::default());
    let issuer = TestIssuer::new(ISSUER, &clock);
    let start = |hand: &Hand| {
        let known = Revocation::new().source(source(hand)).journal(opened(&path));
        builder(&clock).issuer(issuer.fixed_keys()).revocation(known).build().unwrap()
    };
    let api = start(&hand);
    send(&api.layer(), bearer(&issuer.token(RESOURCE).sign())).await;
    let handle = hand.handle().await;
    let began = Instant::now();
    let mut waiting = Vec::with_capacity(EVENTS);
    for number in 0..EVENTS {
        let (handle, now) = (handle.clone(), clock.now());
        waiting.push(tokio::spawn(async move {
            let record = match number % 2 {
                0 => Record::token(ISSUER, format!("t-{number}"), now),
                _ => Record::matching(ISSUER, Claims::subject(format!("user-{number}")), now),
            };
            handle.apply(Batch::of([record])).await.map(|applied| applied.applied)
        }));
    }
    for event in waiting {
        assert_eq!(event.await.unwrap().unwrap(), 1);
    }
    println!("{EVENTS} events were stored and applied in {:.1?}", began.elapsed());
    assert_eq!(api.revocations().records(), EVENTS);
    hand.synchronised().await;
    let check = async |api: &portcullis::ResourceServer| {
        for number in (0..EVENTS).step_by(9_973) {
            let token = issuer.token(RESOURCE).issued_at(clock.now());
            let token = match number % 2 {
                0 => token.claim("jti", format!("t-{number}")),
                _ => token.subject(&format!("user-{number}")),
            };
            let kind = present(api, &token.sign()).await.unwrap_err().kind();
            assert_eq!(kind, Kind::Revoked, "{number}");
        }
        let other = issuer.token(RESOURCE).subject("user-0").claim("jti", "t-1").sign();
        present(api, &other).await.unwrap();
    };
    check(&api).await;
    drop((api, handle, hand));
    let hand = Hand::default();
    let api = start(&hand);
    assert_eq!(api.revocations().records(), EVENTS, "after a restart");
    send(&api.layer(), bearer(&issuer.token(RESOURCE).sign())).await;
    hand.synchronised().await;
    check(&api).await;
}
