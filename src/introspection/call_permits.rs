//! How many calls are under way at once.

use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};

use super::cache::Standing;

/// Permits to call. Anybody can invent tokens: those that were never active leave a quarter of the permits
/// to the others.
pub(super) struct CallPermits {
    all: Semaphore,
    /// At least one.
    of_strangers: Semaphore,
}

/// A permit. It ends when it is dropped.
pub(super) struct CallPermit<'a> {
    _one: SemaphorePermit<'a>,
    _of_strangers: Option<SemaphorePermit<'a>>,
}

impl CallPermits {
    pub(super) fn new(max_at_once: usize) -> Self {
        let of_strangers = max_at_once.saturating_sub(max_at_once / 4);
        Self { all: Semaphore::new(max_at_once), of_strangers: Semaphore::new(of_strangers) }
    }

    /// A permit, as soon as there is one. An error says that they are closed, which they never are.
    pub(super) async fn take(&self, standing: Standing) -> Result<CallPermit<'_>, AcquireError> {
        let of_strangers = match standing {
            Standing::Stranger => Some(self.of_strangers.acquire().await?),
            Standing::Known => None,
        };
        Ok(CallPermit { _one: self.all.acquire().await?, _of_strangers: of_strangers })
    }
}
