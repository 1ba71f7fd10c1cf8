//! One question about one token, and whoever waits for its answer.

use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

use super::Active;
use super::error::AskError;

/// A question that was asked once for everybody who came with the token meanwhile.
pub(crate) struct Question {
    outcome: OnceLock<Outcome>,
    done: watch::Sender<bool>,
}

/// What came of a question.
#[derive(Clone)]
pub(super) enum Outcome {
    Active(Arc<Active>),
    Inactive,
    Failed(Arc<AskError>),
}

impl Question {
    pub(super) fn new() -> Self {
        Self { outcome: OnceLock::new(), done: watch::Sender::new(false) }
    }

    /// What came of it; `None` while nothing has.
    pub(super) fn outcome(&self) -> Option<&Outcome> {
        self.outcome.get()
    }

    /// Ends it. The first end counts.
    pub(super) fn end(&self, outcome: Outcome) {
        let _ = self.outcome.set(outcome);
        self.done.send_replace(true);
    }

    /// Ends when it has ended.
    pub(super) fn landing(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut done = self.done.subscribe();
        async move {
            // An error says that nobody is left who could end it.
            let _ = done.wait_for(|done| *done).await;
        }
    }
}
