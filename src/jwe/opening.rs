//! Decryptions off the executor, so many at a time.
//!
//! 1. Each runs on a thread that may block, and holds one of the permits as long as it runs, whether
//!    somebody still waits for it or not.
//! 2. Where no permit is free it waits for one, in the order of asking, at most [`MOST_WAITING`] at
//!    once. One more is answered at once: it is not available.
//! 3. One for which nobody waits any more gives up its turn.
//! 4. It always ends with an outcome: also where there is no runtime, where the runtime ends, and where
//!    the work panics.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;

/// The most that wait for a turn. With tokens of the longest they hold four megabytes.
const MOST_WAITING: usize = 256;

/// Why there is no signed token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenError {
    /// Whatever was wrong with it.
    Undecryptable,
    /// It was not tried, or not to its end.
    Unavailable(&'static str),
}

/// The permits, and who waits for one.
pub(super) struct Permits {
    all: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

impl Permits {
    pub(super) fn new(max_at_once: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(max_at_once)), waiting: Arc::default() }
    }

    /// Starts work when its turn comes.
    pub(super) fn open(
        &self,
        work: impl FnOnce() -> Result<String, OpenError> + Send + 'static,
    ) -> Arc<Opening> {
        let unavailable = |reason| Opening::settled(Err(OpenError::Unavailable(reason)));
        let Ok(runtime) = Handle::try_current() else {
            return unavailable("there is no tokio runtime to decrypt on");
        };
        let free = Arc::clone(&self.all).try_acquire_owned().ok();
        let place = if free.is_none() {
            let Some(place) = WaitingPlace::take(&self.waiting) else {
                return unavailable("too many tokens wait to be decrypted");
            };
            Some(place)
        } else {
            None
        };
        let shared = Arc::new(Shared::default());
        let promise = Promise(Arc::clone(&shared));
        let permits = Arc::clone(&self.all);
        let task = runtime.spawn(async move {
            let permit = match free {
                Some(permit) => permit,
                // Nobody closes it.
                None => match permits.acquire_owned().await {
                    Ok(permit) => permit,
                    Err(_) => return,
                },
            };
            drop(place);
            drop(tokio::task::spawn_blocking(move || {
                let _permit = permit;
                if !promise.0.given_up.load(Ordering::Acquire) {
                    promise.0.settle(work());
                }
            }));
        });
        Arc::new(Opening { shared, task: Some(task.abort_handle()) })
    }
}

/// A decryption under way, or its outcome. Its last handle takes its turn with it.
pub(crate) struct Opening {
    shared: Arc<Shared>,
    task: Option<AbortHandle>,
}

#[derive(Default)]
struct Shared {
    outcome: OnceLock<Result<String, OpenError>>,
    done: watch::Sender<bool>,
    given_up: AtomicBool,
}

impl Opening {
    pub(super) fn settled(outcome: Result<String, OpenError>) -> Arc<Self> {
        let shared = Arc::new(Shared::default());
        shared.settle(outcome);
        Arc::new(Self { shared, task: None })
    }

    /// The compact JWS, or why there is none; `None` as long as it is not known.
    pub(crate) fn outcome(&self) -> Option<Result<&str, OpenError>> {
        self.shared.outcome.get().map(|outcome| outcome.as_deref().map_err(|error| *error))
    }

    /// Ends when there is an outcome. It is a handle.
    pub(crate) fn landing(self: &Arc<Self>) -> impl Future<Output = ()> + Send + 'static {
        let (handle, mut done) = (Arc::clone(self), self.shared.done.subscribe());
        async move {
            let _handle = handle;
            // An error says that it is gone, which it is not: there is a handle.
            let _ = done.wait_for(|done| *done).await;
        }
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.shared.given_up.store(true, Ordering::Release);
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening")
            .field("done", &self.shared.outcome.get().is_some())
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// The first outcome counts.
    fn settle(&self, outcome: Result<String, OpenError>) {
        if self.outcome.set(outcome).is_ok() {
            self.done.send_replace(true);
        }
    }
}

/// That there will be an outcome.
struct Promise(Arc<Shared>);

impl Drop for Promise {
    fn drop(&mut self) {
        self.0.settle(Err(OpenError::Unavailable("the decryption was not done to its end")));
    }
}

/// A place among those that wait.
struct WaitingPlace(Arc<AtomicUsize>);

impl WaitingPlace {
    fn take(waiting: &Arc<AtomicUsize>) -> Option<Self> {
        let before = waiting.fetch_add(1, Ordering::AcqRel);
        let place = Self(Arc::clone(waiting));
        (before < MOST_WAITING).then_some(place)
    }
}

impl Drop for WaitingPlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::Barrier;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::task::Poll;

    use tokio::runtime::{Builder, Runtime};

    use super::*;

    fn runtime() -> Runtime {
        Builder::new_current_thread().build().unwrap()
    }

    fn done() -> Result<String, OpenError> {
        Ok("a.b.c".to_owned())
    }

    /// Work that says that it began, and ends when it is told to.
    struct Gate {
        began: Receiver<()>,
        go_on: Sender<()>,
    }

    impl Gate {
        fn open(permits: &Permits) -> (Self, Arc<Opening>) {
            let ((say, began), (go_on, told)) = (channel(), channel());
            let opening = permits.open(move || {
                say.send(()).unwrap();
                told.recv().unwrap();
                done()
            });
            (Self { began, go_on }, opening)
        }
    }

    /// Lets the tasks of a runtime of one thread run.
    async fn settle() {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    /// One at a time where one is allowed, however many want to; each has its turn.
    #[test]
    fn no_more_run_than_may() {
        let permits = Permits::new(1);
        let running = Arc::new(AtomicUsize::new(0));
        let most = Arc::new(AtomicUsize::new(0));
        let runtime = Builder::new_multi_thread().worker_threads(2).build().unwrap();
        runtime.block_on(async {
            let openings: Vec<_> = (0..100)
                .map(|_| {
                    let (running, most) = (Arc::clone(&running), Arc::clone(&most));
                    permits.open(move || {
                        let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(now, Ordering::SeqCst);
                        (0..100).for_each(|_| std::thread::yield_now());
                        running.fetch_sub(1, Ordering::SeqCst);
                        done()
                    })
                })
                .collect();
            for opening in &openings {
                opening.landing().await;
                assert_eq!(opening.outcome(), Some(Ok("a.b.c")));
            }
        });
        assert_eq!(most.load(Ordering::SeqCst), 1);
        assert_eq!(permits.waiting.load(Ordering::SeqCst), 0);
    }

    /// The twin: where two may run, two do. Each waits for the other.
    #[test]
    fn as_many_run_as_may() {
        let permits = Permits::new(2);
        let both = Arc::new(Barrier::new(2));
        runtime().block_on(async {
            let openings = [(); 2].map(|()| {
                let both = Arc::clone(&both);
                permits.open(move || {
                    both.wait();
                    done()
                })
            });
            for opening in openings {
                opening.landing().await;
                assert_eq!(opening.outcome(), Some(Ok("a.b.c")));
            }
        });
    }

    /// Beyond so many that wait the answer comes at once; one that gives up makes room.
    #[test]
    fn so_many_wait() {
        let permits = Permits::new(1);
        runtime().block_on(async {
            let (gate, first) = Gate::open(&permits);
            let mut waiting: Vec<_> = (0..MOST_WAITING).map(|_| permits.open(done)).collect();
            assert!(waiting.iter().all(|opening| opening.outcome().is_none()));
            let reason = "too many tokens wait to be decrypted";
            let one_more = permits.open(done);
            assert_eq!(one_more.outcome(), Some(Err(OpenError::Unavailable(reason))));
            one_more.landing().await;
            waiting.pop();
            settle().await;
            assert_eq!(permits.open(done).outcome(), None);
            gate.go_on.send(()).unwrap();
            first.landing().await;
            for opening in &waiting {
                opening.landing().await;
                assert_eq!(opening.outcome(), Some(Ok("a.b.c")));
            }
        });
    }

    /// What nobody waits for is not done; a landing waits, and so does any handle.
    #[test]
    fn a_dropped_one_gives_up_its_turn() {
        let permits = Permits::new(1);
        let ran = Arc::new(AtomicUsize::new(0));
        let count = || {
            let ran = Arc::clone(&ran);
            move || {
                ran.fetch_add(1, Ordering::SeqCst);
                done()
            }
        };
        runtime().block_on(async {
            let (gate, first) = Gate::open(&permits);
            let (dropped, kept) = (permits.open(count()), permits.open(count()));
            let clone = Arc::clone(&kept);
            let landed = permits.open(count()).landing();
            drop((dropped, kept));
            gate.go_on.send(()).unwrap();
            landed.await;
            assert_eq!(clone.outcome(), Some(Ok("a.b.c")));
            assert_eq!(first.outcome(), Some(Ok("a.b.c")));
            settle().await;
        });
        assert_eq!(ran.load(Ordering::SeqCst), 2, "the dropped one did not run");
    }

    /// One that runs when it is dropped holds its permit until it ends.
    #[test]
    fn a_dropped_one_that_runs_still_counts() {
        let permits = Permits::new(1);
        runtime().block_on(async {
            let (gate, first) = Gate::open(&permits);
            settle().await;
            gate.began.recv().unwrap();
            drop(first);
            let next = permits.open(done);
            settle().await;
            assert_eq!(next.outcome(), None);
            gate.go_on.send(()).unwrap();
            next.landing().await;
            assert_eq!(next.outcome(), Some(Ok("a.b.c")));
        });
    }

    /// Without a runtime, with one that ends, and with work that panics: there is an outcome, and it is
    /// no verdict on the token.
    #[test]
    fn there_is_always_an_outcome() {
        let permits = Permits::new(1);
        let unavailable =
            |opening: &Opening| matches!(opening.outcome(), Some(Err(OpenError::Unavailable(_))));
        assert!(unavailable(&permits.open(done)));

        let held = Arc::clone(&permits.all).try_acquire_owned().unwrap();
        let ending = runtime();
        let opening = ending.block_on(async { permits.open(done) });
        assert!(opening.outcome().is_none());
        drop(ending);
        assert!(unavailable(&opening));
        drop(held);

        runtime().block_on(async {
            opening.landing().await;
            let panics = permits.open(|| panic!("as a library might"));
            panics.landing().await;
            assert!(unavailable(&panics));
            let next = permits.open(done);
            next.landing().await;
            assert_eq!(next.outcome(), Some(Ok("a.b.c")), "its permit came back");
        });
    }

    /// Whoever waits is woken, whether it began to wait before or after the end.
    #[test]
    fn no_wakeup_is_lost() {
        let permits = Permits::new(1);
        runtime().block_on(async {
            let (gate, opening) = Gate::open(&permits);
            let mut before = pin!(opening.landing());
            poll_fn(|context| {
                assert!(before.as_mut().poll(context).is_pending());
                Poll::Ready(())
            })
            .await;
            gate.go_on.send(()).unwrap();
            before.await;
            opening.landing().await;
            assert!(!format!("{opening:?}").contains("a.b.c"));
        });
    }
}
