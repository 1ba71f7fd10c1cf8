//! A JSON feed. STAND-IN
#![allow(missing_docs, dead_code, unused_variables, clippy::unused_self, unreachable_pub)]
use crate::error::Faults;
use crate::revocation::source::RevocationSource;
use crate::time::Clock;
use crate::transport::Transport;
use std::sync::Arc;
#[derive(Clone)]
pub struct JsonFeed(());
impl JsonFeed {
    pub fn over_tls(url: impl Into<String>) -> Self {
        Self(())
    }
    pub(crate) fn check(
        &self,
        name: &str,
        speaks_for: &[String],
        transport: Option<&Arc<dyn Transport>>,
        clock: &Arc<dyn Clock>,
        faults: &mut Faults,
    ) -> Option<Arc<dyn RevocationSource>> {
        None
    }
    pub(crate) fn needs_transport(&self) -> bool {
        true
    }
    pub(crate) fn report(&self) -> serde_json::Value {
        serde_json::json!({})
    }
}
