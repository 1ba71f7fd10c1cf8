//! More encrypted tokens than can be decrypted, requests that are given up, and servers without a runtime.

use std::convert::Infallible;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use http::{Request, Response};
use portcullis::check::{CheckError, CheckRequest, allow_all};
use portcullis::layer::ProtectLayer;
use portcullis::sender::{ReplayAnswer, ReplayEntry, ReplayStore};
use portcullis::testing::{ManualClock, TestIssuer, TestNetwork};
use portcullis::{Policy, RejectionKind as Kind};
use tokio::task::{unconstrained, yield_now};
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::EC;
use crate::support::{ISSUER, RESOURCE, Sent, bearer, builder, send, settle};
use crate::world::{World, assert_is_unavailable, at_once, decryption, poll_once, seal};

/// So many wait for their turn, and one has it.
const ROOM: usize = 256 + 1;

type Sending<'a> = Pin<Box<dyn Future<Output = Sent> + 'a>>;

fn one_at_a_time() -> World {
    World::with(|builder| builder.decryption(decryption().max_at_once(1)))
}

/// Starts a request that cannot go on before the test waits for something.
fn sending<'a>(layer: &'a ProtectLayer, token: &str) -> Sending<'a> {
    Box::pin(unconstrained(send(layer, bearer(token))))
}

/// AUTH-32: beyond what may wait, good and bad tokens alike are told to come again, at once; nobody is told
/// that a token is bad that nobody looked at. Those that wait are decided, and then there is room again.
#[tokio::test]
async fn too_many_at_once_are_told_to_come_again() {
    let world = one_at_a_time();
    let layer = world.api.layer();
    let tokens = [(world.sealed(), None), (EC.seal("x").encrypt(), Some(Kind::Undecryptable))];
    let mut waiting = Vec::new();
    for number in 0..ROOM + 40 {
        let (token, wanted) = &tokens[number % 2];
        let mut request = sending(&layer, token);
        match poll_once(request.as_mut()) {
            Poll::Pending => waiting.push((request, wanted)),
            Poll::Ready(sent) => assert_is_unavailable(&sent, &format!("{number}")),
        }
    }
    assert_eq!(waiting.len(), ROOM);
    // What needs no decryption is decided meanwhile.
    let header = EC.seal("x").header("zip", "DEF").encrypt();
    assert_eq!(world.kind(&world.token().sign()).await, None);
    assert_eq!(world.kind(&header).await, Some(Kind::EncryptionNotAccepted));
    for (request, wanted) in waiting {
        assert_eq!(request.await.kind(), *wanted);
    }
    for (token, wanted) in &tokens {
        assert_eq!(world.kind(token).await, *wanted);
    }
}

/// A wait that is too long is 503, for good and bad tokens alike; a moment earlier there is nothing to say,
/// and the token is decided when its turn comes.
#[tokio::test]
async fn a_wait_that_is_too_long_is_told() {
    const WAIT: Duration = Duration::from_millis(500);
    const MOMENT: Duration = Duration::from_millis(1);
    let world = World::with(|builder| builder.decryption(decryption().wait_at_most(WAIT)));
    let layer = world.api.layer();
    for (token, wanted) in
        [(world.sealed(), None), (EC.seal("x").encrypt(), Some(Kind::Undecryptable))]
    {
        let mut late = sending(&layer, &token);
        assert!(poll_once(late.as_mut()).is_pending());
        world.clock.advance(WAIT - MOMENT);
        assert!(poll_once(late.as_mut()).is_pending());
        world.clock.advance(MOMENT);
        match poll_once(late.as_mut()) {
            Poll::Ready(sent) => assert_is_unavailable(&sent, "late"),
            Poll::Pending => panic!("it still waits"),
        }
        let mut in_time = sending(&layer, &token);
        assert!(poll_once(in_time.as_mut()).is_pending());
        world.clock.advance(WAIT - MOMENT);
        assert_eq!(in_time.await.kind(), wanted);
    }
}

/// Without a runtime nothing can be decrypted: 503. What needs none is decided. The twin has one.
#[test]
fn without_a_runtime_nothing_is_decrypted() {
    let world = World::new();
    let layer = world.api.layer();
    let good = world.sealed();
    assert_is_unavailable(&at_once(send(&layer, bearer(&good))), "no runtime");
    let guard = world.api.guard(allow_all()).unwrap();
    let refused = at_once(guard.verify(&bearer(&good))).unwrap_err();
    assert_eq!(refused.kind(), Kind::DecryptionUnavailable);
    assert!(refused.retry_after().is_some());
    let header = EC.seal("x").header("zip", "DEF").encrypt();
    let refused = at_once(send(&layer, bearer(&header)));
    assert_eq!(refused.kind(), Some(Kind::EncryptionNotAccepted));
    assert!(at_once(send(&layer, bearer(&world.token().sign()))).passed());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(world.kind(&good)), None);
}

/// A layer whose inner service counts, and what it counted.
struct Counted {
    layer: ProtectLayer,
    calls: Arc<AtomicUsize>,
}

impl Counted {
    fn new(layer: ProtectLayer) -> Self {
        Self { layer, calls: Arc::default() }
    }

    fn start(&self, token: &str) -> Pin<Box<dyn Future<Output = u16>>> {
        let calls = Arc::clone(&self.calls);
        let inner = service_fn(move |_: Request<String>| {
            calls.fetch_add(1, Ordering::SeqCst);
            async { Ok::<_, Infallible>(Response::new(String::new())) }
        });
        let response = self.layer.layer(inner).oneshot(bearer(token));
        Box::pin(unconstrained(async move { response.await.unwrap().status().as_u16() }))
    }

    /// Starts a request and drops it where this becomes true.
    async fn drop_where(&self, token: &str, is_there: impl Fn() -> bool) {
        let before = self.calls.load(Ordering::SeqCst);
        let mut request = self.start(token);
        while !is_there() {
            assert!(poll_once(request.as_mut()).is_pending());
            yield_now().await;
        }
        drop(request);
        settle().await;
        assert_eq!(self.calls.load(Ordering::SeqCst), before, "the inner service was called");
    }

    async fn assert_passes(&self, token: &str) {
        let before = self.calls.load(Ordering::SeqCst);
        assert_eq!(self.start(token).await, 200);
        assert_eq!(self.calls.load(Ordering::SeqCst), before + 1);
    }
}

/// A request that is given up while it waits for its turn gives up its place: ever so many of them keep
/// nobody from theirs.
#[tokio::test]
async fn requests_that_are_given_up_make_room() {
    let world = one_at_a_time();
    let token = world.sealed();
    let counted = Counted::new(world.api.layer());
    for _ in 0..3 {
        let mut dropped: Vec<_> = (0..ROOM).map(|_| counted.start(&token)).collect();
        for request in &mut dropped {
            assert!(poll_once(request.as_mut()).is_pending());
        }
        // The twin: as long as they are there, there is no room.
        assert_eq!(counted.start(&token).await, 503);
        drop(dropped);
        settle().await;
        assert_eq!(counted.calls.load(Ordering::SeqCst), 0);
    }
    counted.assert_passes(&token).await;
}

/// Everywhere else where a request with an encrypted token waits, too: for the issuer's keys, for an async
/// check, for the memory of what was used.
#[tokio::test]
async fn a_request_can_be_given_up_wherever_it_waits() {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let asked = Arc::new(AtomicUsize::new(0));
    let recorded = Arc::new(AtomicUsize::new(0));
    let api = builder(&clock)
        .issuer(issuer.jwks())
        .decryption(decryption().max_at_once(1))
        .replay_store(Slow(Arc::clone(&recorded)))
        .transport(TestNetwork::of(&[&issuer]))
        .build()
        .unwrap();
    let token = || seal(&issuer.token(RESOURCE).sign());
    let ask = Arc::clone(&asked);
    let check = move |_: CheckRequest| {
        let first = ask.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            match first {
                true => pending().await,
                false => Ok::<(), CheckError>(()),
            }
        }
    };
    let plain = Counted::new(api.layer());
    let checked = Counted::new(api.protect(Policy::new(allow_all()).and_async(check)));
    let once = Counted::new(api.protect(Policy::new(allow_all()).single_use()));

    issuer.hold();
    plain.drop_where(&token(), || issuer.fetches() > 0).await;
    issuer.release();
    plain.assert_passes(&token()).await;
    checked.drop_where(&token(), || asked.load(Ordering::SeqCst) > 0).await;
    checked.assert_passes(&token()).await;
    once.drop_where(&token(), || recorded.load(Ordering::SeqCst) > 0).await;
    once.assert_passes(&token()).await;
}

/// A memory that never answers the first time, and knows nothing.
struct Slow(Arc<AtomicUsize>);

impl ReplayStore for Slow {
    fn record(&self, _: &ReplayEntry<'_>) -> ReplayAnswer {
        match self.0.fetch_add(1, Ordering::SeqCst) {
            0 => ReplayAnswer::Later(Box::pin(pending())),
            _ => Ok(portcullis::sender::Sighting::First).into(),
        }
    }
}

/// Many at once on many threads: each gets what it should, whatever the others get.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_get_what_each_should() {
    let world = Arc::new(World::with(|builder| builder.decryption(decryption().max_at_once(2))));
    let forged = seal(&world.token().tampered());
    let rows = [
        (world.sealed(), None),
        (forged, Some(Kind::BadSignature)),
        (EC.seal("x").encrypt(), Some(Kind::Undecryptable)),
    ];
    let tasks: Vec<_> = (0..150)
        .map(|number| {
            let (world, (token, wanted)) = (Arc::clone(&world), rows[number % 3].clone());
            tokio::spawn(async move { (world.kind(&token).await, wanted) })
        })
        .collect();
    for task in tasks {
        let (found, wanted) = task.await.unwrap();
        assert_eq!(found, wanted);
    }
}
