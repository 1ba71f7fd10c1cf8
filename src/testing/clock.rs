use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::time::{Clock, Sleep, Timestamp};

/// A clock that moves when it is told. A clone is the same clock.
#[derive(Clone, Debug, Default)]
pub struct ManualClock {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    now: Timestamp,
    steady: Duration,
    sleepers: Vec<(Duration, oneshot::Sender<()>)>,
}

impl Default for State {
    fn default() -> Self {
        // Any moment will do; this one is easy to recognise.
        let now = Timestamp::from_secs(1_800_000_000);
        Self { now, steady: Duration::from_secs(1_000), sleepers: Vec::new() }
    }
}

impl ManualClock {
    /// A clock that stands at 1 800 000 000 seconds since the Unix epoch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets time pass, by the time of day and by the steady time. Whoever sleeps until then wakes.
    pub fn advance(&self, time: Duration) {
        let mut state = self.state();
        state.now = state.now.plus(time);
        state.steady = state.steady.saturating_add(time);
        let steady = state.steady;
        let (due, asleep) = std::mem::take(&mut state.sleepers)
            .into_iter()
            .partition(|(until, _)| *until <= steady);
        state.sleepers = asleep;
        drop(state);
        let due: Vec<(Duration, oneshot::Sender<()>)> = due;
        for (_, sleeper) in due {
            // Who no longer waits cannot be woken.
            let _ = sleeper.send(());
        }
    }

    /// Sets the time of day, forwards or backwards, as an operator or a time server may. The
    /// steady time does not notice.
    pub fn set(&self, now: Timestamp) {
        self.state().now = now;
    }

    /// How many sleep now.
    #[must_use]
    pub fn sleepers(&self) -> usize {
        let mut state = self.state();
        state.sleepers.retain(|(_, sleeper)| !sleeper.is_closed());
        state.sleepers.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.state().now
    }

    fn steady(&self) -> Duration {
        self.state().steady
    }

    fn sleep(&self, time: Duration) -> Sleep {
        if time.is_zero() {
            return Box::pin(std::future::ready(()));
        }
        let (wake, woken) = oneshot::channel();
        let mut state = self.state();
        let until = state.steady.saturating_add(time);
        state.sleepers.retain(|(_, sleeper)| !sleeper.is_closed());
        state.sleepers.push((until, wake));
        Box::pin(async move {
            if woken.await.is_err() {
                // The clock is gone: nobody can advance it.
                std::future::pending::<()>().await;
            }
        })
    }
}
