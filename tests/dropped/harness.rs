//! Polls a request by hand, so often and no more, drops it, and looks at what is left.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use http::{Request, Response};
use portcullis::layer::ProtectLayer;
use portcullis::observe::{Decision, Observer};
use portcullis::testing::{HeldVerifications, ManualClock};
use portcullis::{Guard, Policy, Rejection, RejectionKind as Kind, ResourceServer};
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, unconstrained, yield_now};
use tower::{Layer as _, Service, ServiceExt as _};

use crate::support::settle;

/// More polls than any request needs.
const DEEPEST: usize = 64;

/// A request, what it waits for, and what it gets. Nobody sent it before.
pub(crate) struct Setup {
    pub(crate) clock: ManualClock,
    pub(crate) api: ResourceServer,
    pub(crate) policy: Policy,
    pub(crate) decisions: Decisions,
    pub(crate) request: Request<String>,
    /// One of them comes after each poll.
    pub(crate) steps: Vec<Box<dyn FnOnce()>>,
    /// `None`: it passes.
    pub(crate) wants: Option<Kind>,
    /// What the same request gets that was recorded in the replay memory, and whether it was.
    pub(crate) once: Option<(Kind, Recorded)>,
}

/// How much a replay memory has recorded.
pub(crate) type Recorded = Box<dyn Fn() -> usize>;

/// Counts what observers are told.
#[derive(Clone, Default)]
pub(crate) struct Decisions(Arc<AtomicUsize>);

impl Decisions {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Observer for Decisions {
    fn observe(&self, _: &Decision<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A service that is ready when it is asked the second time, and answers when it is polled the second time.
/// It counts who was let through to it.
#[derive(Default)]
struct Inner {
    is_ready: bool,
    calls: Arc<AtomicUsize>,
}

impl Clone for Inner {
    fn clone(&self) -> Self {
        Self { is_ready: false, calls: Arc::clone(&self.calls) }
    }
}

impl Service<Request<String>> for Inner {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<String>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if self.is_ready {
            return Poll::Ready(Ok(()));
        }
        self.is_ready = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn call(&mut self, _: Request<String>) -> Self::Future {
        assert!(std::mem::take(&mut self.is_ready), "it is called without being ready");
        self.calls.fetch_add(1, Ordering::SeqCst);
        Box::pin(async {
            yield_now().await;
            Ok(Response::new("inner".to_owned()))
        })
    }
}

/// How the server is asked.
#[derive(Clone, Copy, Debug)]
enum Way {
    Layer,
    Guard,
}

/// Whoever asks, and who was let through.
#[derive(Clone)]
struct Gate {
    way: Way,
    layer: ProtectLayer,
    guard: Guard,
    inner: Inner,
}

type Asking = Pin<Box<dyn Future<Output = Option<Kind>> + Send>>;

impl Gate {
    fn new(way: Way, setup: &Setup) -> Self {
        let guard = setup.api.guard(setup.policy.clone()).unwrap();
        Self { way, layer: guard.layer(), guard, inner: Inner::default() }
    }

    fn ask(&self, request: Request<String>) -> Asking {
        let gate = self.clone();
        match self.way {
            Way::Layer => Box::pin(unconstrained(async move {
                let service = gate.layer.layer(gate.inner.clone());
                let response = service.oneshot(request).await.unwrap();
                let refused = response.extensions().get::<Rejection>().map(Rejection::kind);
                assert_eq!(response.body() == "inner", refused.is_none());
                refused
            })),
            Way::Guard => Box::pin(unconstrained(async move {
                let decided = gate.guard.verify(&request).await;
                if decided.is_ok() {
                    gate.inner.calls.fetch_add(1, Ordering::SeqCst);
                }
                decided.err().map(|rejection| rejection.kind())
            })),
        }
    }

    fn passed(&self) -> usize {
        self.inner.calls.load(Ordering::SeqCst)
    }
}

/// Polls once; nobody is woken.
pub(crate) fn poll_once<T>(future: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// What a task ends with, which is polled when it is woken and not otherwise. It has to end without any time
/// passing.
pub(crate) async fn end_of<T>(task: JoinHandle<T>, name: &str) -> T {
    for _ in 0..1_000 {
        if task.is_finished() {
            return task.await.unwrap();
        }
        settle().await;
    }
    panic!("{name}: it waits for ever");
}

/// How many tasks there are, once all that end have ended.
pub(crate) async fn tasks() -> usize {
    for _ in 0..5 {
        settle().await;
    }
    Handle::current().metrics().num_alive_tasks()
}

/// Nobody waits, nobody asks, and every place is free.
pub(crate) fn assert_at_rest(api: &ResourceServer, name: &str) {
    if let Some(health) = api.first_verification_health() {
        assert_eq!((health.under_way, health.waiting), (0, 0), "{name}");
        assert_eq!(HeldVerifications::of(api).held(), health.max_at_once, "{name}");
    }
    for endpoint in api.introspection_health() {
        assert_eq!(endpoint.under_way, 0, "{name}");
    }
}

/// Drops the request after every number of polls, as a layer and as a guard, each time in a world of its
/// own. It has to be pending so often at least.
pub(crate) async fn drop_everywhere(shape: &str, pending: usize, make: impl AsyncFn() -> Setup) {
    for way in [Way::Layer, Way::Guard] {
        let mut polls = 0;
        while !dropped_after(&format!("{shape}, {way:?}, {polls} polls"), way, polls, &make).await {
            polls += 1;
            assert!(polls < DEEPEST, "{shape}, {way:?}: it never ends");
        }
        // Ready the last time.
        println!("{shape}, {way:?}: dropped at {polls} points");
        assert!(polls > pending, "{shape}, {way:?}: it ended with poll {polls}");
    }
}

/// One world in which a request is dropped after so many polls. Whether it ended before.
async fn dropped_after(name: &str, way: Way, polls: usize, make: &impl AsyncFn() -> Setup) -> bool {
    let tasks_before = tasks().await;
    let mut setup = make().await;
    let decisions_before = setup.decisions.count();
    let gate = Gate::new(way, &setup);
    let mut steps = std::mem::take(&mut setup.steps).into_iter();
    let follows = setup.once.is_none();
    let mut beside = None;

    // 1. So many polls, and the drop.
    let mut asking = gate.ask(setup.request.clone());
    let mut ended = None;
    for _ in 0..polls {
        if let Poll::Ready(kind) = poll_once(asking.as_mut()) {
            ended = Some(kind);
            break;
        }
        // Somebody else comes for the same.
        if follows && beside.is_none() {
            let other = Gate::new(way, &setup);
            beside = Some(tokio::spawn(other.ask(setup.request.clone())));
        }
        settle().await;
        if let Some(step) = steps.next() {
            step();
        }
        settle().await;
    }
    drop(asking);
    if let Some(kind) = ended {
        assert_eq!(kind, setup.wants, "{name}");
    }
    let passed = gate.passed();
    assert!(passed <= usize::from(setup.wants.is_none()), "{name}: {passed}");

    // 2. The rest of what it waited for comes. Who waited beside it has an answer.
    for step in steps {
        step();
        settle().await;
    }
    settle().await;
    let mut told = usize::from(ended.is_some() || passed > 0);
    if let Some(beside) = beside {
        assert_eq!(end_of(beside, name).await, setup.wants, "{name}: who came beside it");
        told += 1;
    }
    // Who is let through is told of; who was dropped before is not.
    assert_eq!(setup.decisions.count() - decisions_before, told, "{name}: decisions told of");
    assert_at_rest(&setup.api, name);

    // 3. The same request once more.
    let wants = match &setup.once {
        Some((used, recorded)) => {
            assert!(recorded() >= passed, "{name}: it passed and is not recorded");
            if recorded() > 0 { Some(*used) } else { setup.wants }
        }
        None => setup.wants,
    };
    let again = tokio::spawn(gate.ask(setup.request.clone()));
    assert_eq!(end_of(again, name).await, wants, "{name}: again");
    if setup.once.is_some() {
        assert!(gate.passed() <= 1, "{name}: what is for one use was used twice");
    }
    assert_eq!(setup.decisions.count() - decisions_before, told + 1, "{name}: told once each");
    assert_at_rest(&setup.api, name);

    // 4. The server goes, and all its tasks with it.
    let clock = setup.clock.clone();
    drop((gate, setup));
    assert_eq!((tasks().await, clock.sleepers()), (tasks_before, 0), "{name}: left behind");
    ended.is_some()
}

/// What the same request gets that was recorded, and how much was recorded.
pub(crate) fn used_once(
    used: Kind,
    recorded: impl Fn() -> usize + 'static,
) -> Option<(Kind, Recorded)> {
    Some((used, Box::new(recorded)))
}

/// Something that comes once, after a poll.
pub(crate) fn step(what: impl FnOnce() + 'static) -> Box<dyn FnOnce()> {
    Box::new(what)
}

/// A poll after which nothing comes.
pub(crate) fn nothing() -> Box<dyn FnOnce()> {
    step(|| {})
}

/// Something that ends with the step that drops it.
pub(crate) fn ends<T: 'static>(what: T) -> Box<dyn FnOnce()> {
    let what = Mutex::new(Some(what));
    step(move || drop(what.lock().unwrap().take()))
}
