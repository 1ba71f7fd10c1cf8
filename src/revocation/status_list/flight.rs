//! One fetch of a list, and who is told of its end.

use std::sync::Arc;

use super::SOURCE;
use super::get::ListError;
use super::lists::Core;
use super::slot::ListSlot;
use crate::observe::{SourceEvent, SourceEventKind};
use crate::time::Moment;

/// Books the end of a fetch, however it ends: also when its task is dropped with its runtime.
pub(super) struct Flight {
    slot: Arc<ListSlot>,
    number: u64,
    result: Option<Result<(), ListError>>,
}

impl Flight {
    pub(super) fn new(slot: Arc<ListSlot>, number: u64) -> Self {
        Self { slot, number, result: None }
    }

    pub(super) async fn fly(mut self) {
        self.result = Some(self.slot.load(self.number).await);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let Self { slot, number, result } = self;
        // What is dropped with its server is no news of the list; what panicked is.
        let is_news = result.is_some() || std::thread::panicking();
        let result = result.take().unwrap_or(Err(ListError::Dropped));
        let error = result.as_ref().err().map(ListError::to_string);
        if let Some(error) = &error {
            let (issuer, uri) = (&*slot.issuer, &*slot.uri);
            tracing::warn!(issuer, uri, "a status list could not be fetched: {error}");
        }
        slot.flights.land(*number, result, slot.core.clock.steady());
        if is_news {
            let asked = slot.held.load().as_ref().map(|held| held.asked);
            slot.core.tell(&slot.uri, asked, error.as_deref());
        }
    }
}

impl Core {
    /// Tells the observers how a fetch from this place went, of which something is known as of then.
    pub(super) fn tell(&self, uri: &str, asked: Option<Moment>, error: Option<&str>) {
        const LONGEST: usize = 500;
        let now = self.clock.moment();
        let told = |kind| {
            let age = asked.map(|asked| now.since(asked));
            let (records, at) = (None, now.wall());
            self.observers.tell_source(&SourceEvent { source: SOURCE, kind, age, records, at });
        };
        match error {
            None => told(SourceEventKind::Synchronised),
            Some(error) => {
                let error: String = format!("{uri:?}: {error}").chars().take(LONGEST).collect();
                told(SourceEventKind::Failed { error: &error });
            }
        }
    }
}
