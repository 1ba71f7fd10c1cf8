//! Token Status Lists. STAND-IN
#![allow(missing_docs, dead_code, unused_variables, clippy::unused_self, unreachable_pub)]

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};

use crate::access::StatusReference;
use crate::error::{Faults, Refusal};
use crate::issuer::{Attempt, Registry, Remedy};
use crate::name::IssuerId;
use crate::revocation::freshness::Demand;
use crate::time::{Clock, Moment};
use crate::transport::Transport;

#[derive(Clone, Default)]
pub struct StatusLists(());
pub(crate) struct CheckedLists(());
pub(crate) struct Lists(());
pub(crate) struct ListSlot(());
#[derive(Clone, Debug)]
pub struct StatusListHealth(());
pub(crate) enum ListObjection {
    Refused(Refusal),
    StepUp(Refusal),
    Missing { list: Arc<ListSlot>, refusal: Refusal },
}
impl StatusLists {
    pub fn new() -> Self {
        Self(())
    }
    pub(crate) fn check(&self, issuers: &[String], faults: &mut Faults) -> Option<CheckedLists> {
        None
    }
    pub(crate) fn report(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
}
impl Lists {
    pub(crate) fn new(
        checked: CheckedLists,
        registry: Weak<Registry>,
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
        version: Arc<AtomicU64>,
    ) -> Arc<Self> {
        Arc::new(Self(()))
    }
    pub(crate) fn decide(
        self: &Arc<Self>,
        issuer: &IssuerId,
        reference: Option<&StatusReference>,
        demand: Demand,
        at: Moment,
    ) -> Result<(), ListObjection> {
        Ok(())
    }
    pub(crate) fn health(&self) -> Vec<StatusListHealth> {
        Vec::new()
    }
    pub(crate) fn start(&self) {}
    pub(crate) fn stop(&self) {}
}
impl ListSlot {
    pub(crate) fn remedy(self: &Arc<Self>, at: Moment, attempt: Attempt) -> Remedy {
        Remedy::None
    }
}
