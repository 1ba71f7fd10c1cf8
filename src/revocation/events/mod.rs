//! Security events. STAND-IN
#![allow(missing_docs, dead_code, unused_variables, clippy::unused_self, unreachable_pub)]
use crate::error::Faults;
use crate::revocation::freshness::OnStale;
use crate::revocation::source::{RevocationSource, Running, SourceHandle};
use crate::time::Clock;
use crate::transport::Transport;
use std::sync::Arc;
#[derive(Clone)]
pub struct EventStream(());
pub(crate) struct Stream(());
#[derive(Clone)]
pub struct EventReceiver(());
impl EventStream {
    pub(crate) fn check(
        &self,
        name: &str,
        transport: Option<&Arc<dyn Transport>>,
        clock: &Arc<dyn Clock>,
        on_stale: OnStale,
        covered: bool,
        faults: &mut Faults,
    ) -> Option<Arc<Stream>> {
        None
    }
    pub(crate) fn needs_transport(&self) -> bool {
        true
    }
    pub(crate) fn claims(&self) -> Vec<Box<str>> {
        Vec::new()
    }
    /// Whether it asks, or is asked to prove that it would speak.
    pub(crate) fn is_asked(&self) -> bool {
        true
    }
    pub(crate) fn report(&self) -> serde_json::Value {
        serde_json::json!({})
    }
}
impl RevocationSource for Stream {
    fn run(&self, handle: SourceHandle) -> Running<'_> {
        Box::pin(std::future::pending())
    }
}
impl Stream {
    pub(crate) fn receiver(self: &Arc<Self>, handle: SourceHandle) -> EventReceiver {
        EventReceiver(())
    }
}
