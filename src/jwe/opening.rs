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
pub(super) struct Turns {
    permits: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

impl Turns {
    pub(super) fn new(at_most: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(at_most)), waiting: Arc::default() }
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
        let free = Arc::clone(&self.permits).try_acquire_owned().ok();
        let place = if free.is_none() {
            let Some(place) = Place::take(&self.waiting) else {
                return unavailable("too many tokens wait to be decrypted");
            };
            Some(place)
        } else {
            None
        };
        let shared = Arc::new(Shared::default());
        let promise = Promise(Arc::clone(&shared));
        let permits = Arc::clone(&self.permits);
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
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(waiting: &Arc<AtomicUsize>) -> Option<Self> {
        let before = waiting.fetch_add(1, Ordering::AcqRel);
        let place = Self(Arc::clone(waiting));
        (before < MOST_WAITING).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
