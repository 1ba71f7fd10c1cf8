//! What else is awaited and can be dropped: warming up, a pushed event, a revocation that goes to disk. And
//! what nobody waits for: a feed.

use std::pin::pin;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use portcullis::revocation::{Journal, OnStale, Push, Record, Revocation, Source};
use portcullis::secret::Secret;
use portcullis::testing::{TestNetwork, TestTransmitter};
use portcullis::time::Clock as _;
use portcullis::{RejectionKind as Kind, ResourceServer};

use crate::harness::{assert_at_rest, end_of, poll_once, tasks};
use crate::shapes::Ground;
use crate::source::{Directory, Hand, source};
use crate::support::{ISSUER, RESOURCE, bearer, settle};

const SECRET: &str = "Bearer of-the-transmitter";

async fn kind(api: &ResourceServer, token: &str) -> Option<Kind> {
    api.verify(&bearer(token)).await.err().map(|rejection| rejection.kind())
}

/// AUTH-32: warming up, dropped wherever it waits: for keys, and for what a source has to say. Who warms up
/// again is warm, and who does not is served all the same.
#[tokio::test]
async fn warming_up() {
    let mut depth = 0;
    loop {
        let before = tasks().await;
        let (ground, hand) = (Ground::new(), Hand::default());
        let api = ground
            .builder()
            .issuer(ground.issuer.jwks())
            .revocation(Revocation::new().source(source(&hand)))
            .transport(ground.network())
            .build()
            .unwrap();
        ground.issuer.hold();
        let mut has_ended = false;
        {
            let mut warming = pin!(api.warm_up());
            for poll in 0..depth {
                if poll_once(warming.as_mut()).is_ready() {
                    has_ended = true;
                    break;
                }
                settle().await;
                match poll {
                    1 => ground.issuer.release(),
                    3 => hand.synchronised().await,
                    _ => {}
                }
                settle().await;
            }
        }
        ground.issuer.release();
        let again = api.clone();
        let again = tokio::spawn(async move { again.warm_up().await.is_ok() });
        hand.synchronised().await;
        assert!(end_of(again, "warming up again").await, "{depth}");
        let token = ground.issuer.token(RESOURCE);
        assert_eq!(kind(&api, &token.sign()).await, None, "{depth}");
        assert_eq!(kind(&api, &token.tampered()).await, Some(Kind::BadSignature), "{depth}");
        assert_at_rest(&api, "warming up");
        let clock = ground.clock.clone();
        drop((api, ground, hand));
        assert_eq!((tasks().await, clock.sleepers()), (before, 0), "{depth}: left behind");
        if has_ended {
            break;
        }
        depth += 1;
        assert!(depth < 64, "it never ends");
    }
    assert!(depth > 3, "it waited for keys and for the source: {depth}");
}

/// SET-07, CAEP-02, attack 42: a pushed event, dropped while the keys of its transmitter are fetched. It counts or it does
/// not; pushed again it counts, and it is answered as any other.
#[tokio::test]
async fn a_pushed_event() {
    let mut depth = 0;
    loop {
        let before = tasks().await;
        let ground = Ground::new();
        let clock = ground.clock.clone();
        let transmitter =
            TestTransmitter::new("https://tx.example", "https://rs.example/e", &clock);
        transmitter.authorization(SECRET);
        let stream = transmitter.jwks().push(Push::new().authorization(Secret::new(SECRET)));
        let source = Source::new("caep", stream).speaks_for([ISSUER]);
        let api = ground
            .builder()
            .issuer(ground.issuer.fixed_keys())
            .revocation(Revocation::new().source(source.on_stale(OnStale::InsecureUnbounded)))
            .transport(TestNetwork::of(&[]).with_transmitter(&transmitter))
            .build()
            .unwrap();
        let receiver = api.event_receiver("caep").unwrap();
        let token = ground.issuer.token(RESOURCE).subject("bob").sign();
        let other = ground.issuer.token(RESOURCE).subject("carol").sign();
        let set = transmitter.session_revoked(ISSUER, "bob").sign();
        let push = || -> Request<Full<Bytes>> { transmitter.push(set.clone()) };
        transmitter.issuer().hold();
        let mut has_ended = false;
        {
            let mut receiving = pin!(receiver.receive(push()));
            for poll in 0..depth {
                if let std::task::Poll::Ready(answer) = poll_once(receiving.as_mut()) {
                    assert_eq!(answer.status(), 202);
                    has_ended = true;
                    break;
                }
                settle().await;
                if poll == 1 {
                    transmitter.issuer().release();
                }
                settle().await;
            }
        }
        transmitter.issuer().release();
        settle().await;
        let so_far = kind(&api, &token).await;
        assert!(matches!(so_far, None | Some(Kind::Revoked)), "{depth}: {so_far:?}");
        assert!(!has_ended || so_far.is_some(), "{depth}: acknowledged, and without effect");
        let (again, pushed) = (receiver.clone(), push());
        let again = tokio::spawn(async move { again.receive(pushed).await.status() });
        assert_eq!(end_of(again, "pushed again").await, 202, "{depth}");
        assert_eq!(kind(&api, &token).await, Some(Kind::Revoked), "{depth}");
        assert_eq!(kind(&api, &other).await, None, "{depth}");
        drop((api, receiver, ground));
        assert_eq!((tasks().await, clock.sleepers()), (before, 0), "{depth}: left behind");
        if has_ended {
            break;
        }
        depth += 1;
        assert!(depth < 64, "it never ends");
    }
    assert!(depth > 2, "it waited for keys: {depth}");
}

/// EVT-01, attack 41: a revocation on its way to disk, dropped. It counts or it does not; said again it counts, and
/// nobody who came behind it waits for ever.
#[tokio::test]
async fn a_revocation_that_goes_to_disk() {
    let mut waited = 0;
    for depth in 0..4 {
        let before = tasks().await;
        let (ground, directory) = (Ground::new(), Directory::new());
        let journal = Journal::open(directory.path().join("revocations")).unwrap();
        let api = ground
            .builder()
            .issuer(ground.issuer.fixed_keys())
            .revocation(Revocation::new().journal(journal))
            .build()
            .unwrap();
        let token = |jti: &str| ground.issuer.token(RESOURCE).claim("jti", jti).sign();
        let record = |jti: &str| Record::token(ISSUER, jti, ground.clock.now());
        let revocations = api.revocations();
        {
            let mut first = pin!(revocations.revoke(record("first")));
            for _ in 0..depth {
                if let std::task::Poll::Ready(done) = poll_once(first.as_mut()) {
                    done.unwrap();
                    break;
                }
                waited += 1;
            }
        }
        // Who comes behind it, and the same again.
        for jti in ["behind", "first"] {
            let (revocations, record) = (api.revocations(), record(jti));
            tokio::spawn(async move { revocations.revoke(record).await }).await.unwrap().unwrap();
            assert_eq!(kind(&api, &token(jti)).await, Some(Kind::Revoked), "{depth}: {jti}");
        }
        assert_eq!(kind(&api, &token("other")).await, None, "{depth}");
        let clock = ground.clock.clone();
        drop((revocations, api));
        assert_eq!((tasks().await, clock.sleepers()), (before, 0), "{depth}: left behind");
    }
    assert!(waited > 0, "it waited for the disk");
}

/// Attack 41: nobody waits for a source that is out of reach. A request is refused with its first poll, and
/// passes once the source is back.
#[tokio::test]
async fn nobody_waits_for_a_source() {
    let (ground, hand) = (Ground::new(), Hand::default());
    let known = Revocation::new().source(source(&hand));
    let api =
        ground.builder().issuer(ground.issuer.fixed_keys()).revocation(known).build().unwrap();
    let request = bearer(&ground.issuer.token(RESOURCE).sign());
    for _ in 0..3 {
        let std::task::Poll::Ready(refused) = poll_once(pin!(api.verify(&request))) else {
            panic!("it waits");
        };
        assert_eq!(refused.unwrap_err().kind(), Kind::RevocationUnavailable);
    }
    hand.synchronised().await;
    assert!(api.verify(&request).await.is_ok());
    assert_at_rest(&api, "a source");
}
