use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::slot::ListSlot;

/// What the task that refreshes a list does next.
enum Next {
    Await(Pin<Box<dyn Future<Output = ()> + Send>>),
    Park,
    Start,
}

/// Fetches again and again, ahead of the end of freshness and as long as the list is used, until it
/// is gone.
pub(super) async fn refresh_ahead(slot: Weak<ListSlot>) {
    loop {
        let (next, wake) = {
            let Some(slot) = slot.upgrade() else { return };
            let at = slot.core.clock.moment();
            let due = slot.until_due(at);
            let next = match slot.flights.under_way() {
                // While a fetch is under way its end says when the next is due.
                Some(number) => Next::Await(Box::pin(slot.flights.landing(number))),
                None if !due.is_zero() => Next::Await(slot.core.clock.sleep(due)),
                None if slot.is_in_use(at) => Next::Start,
                None => {
                    slot.parked.store(true, Ordering::Relaxed);
                    Next::Park
                }
            };
            (next, Arc::clone(&slot.wake))
        };
        match next {
            Next::Await(end) => {
                tokio::select! {
                    () = end => {}
                    () = wake.notified() => {}
                }
            }
            Next::Park => wake.notified().await,
            Next::Start => {
                let Some(slot) = slot.upgrade() else { return };
                if slot.start(slot.core.clock.moment()).is_none() {
                    tokio::task::yield_now().await;
                }
            }
        }
    }
}
