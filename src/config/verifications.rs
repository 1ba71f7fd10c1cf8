//! How many tokens that are not known are verified at once.

use serde::Deserialize;

use super::value::{Count, Time};
use crate::verify::FirstVerifications;

/// How many tokens that are not known may have their signature verified at once, and how many requests
/// wait for that.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "FirstVerifications"))]
pub(super) struct VerificationsTable {
    /// So many at once, 1 to 1024; one fewer than there are threads unless said otherwise.
    max_at_once: Option<Count>,
    /// So many requests wait, at most 65536; 16384 unless said otherwise.
    queue_at_most: Option<Count>,
    /// How long a request may wait, "1ms" to "10s"; "1s" unless said otherwise.
    wait_at_most: Option<Time>,
}

impl VerificationsTable {
    pub(super) fn bound(&self) -> FirstVerifications {
        let mut bound = FirstVerifications::new();
        if let Some(Count(signatures)) = self.max_at_once {
            bound = bound.max_at_once(signatures);
        }
        if let Some(Count(requests)) = self.queue_at_most {
            bound = bound.queue_at_most(requests);
        }
        match self.wait_at_most {
            Some(Time(wait)) => bound.wait_at_most(wait),
            None => bound,
        }
    }
}
