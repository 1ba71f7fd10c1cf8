use std::fmt;
use std::sync::Arc;

use super::freshness::SourceHealth;
use super::record::{Effect, Record};
use super::runtime::Runtime;
use super::source::{ApplyError, Batch};
use super::status_list::StatusListHealth;
use crate::access::Access;
use crate::time::Timestamp;

/// What this process itself revokes, and how every source is doing: [`crate::ResourceServer::revocations`].
/// A clone is the same.
#[derive(Clone)]
pub struct Revocations {
    /// `None`: nothing is looked at.
    runtime: Option<Arc<Runtime>>,
}

/// Why something was not revoked. Nothing of it counts.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RevokeError {
    /// It could not be stored, or there is no room.
    #[error("{0}")]
    Apply(#[from] ApplyError),
    /// The record names a claim that no token is looked at for: see [`super::Revocation::claim`]. Or a
    /// name in it is empty, or longer than [`Record::LONGEST`].
    #[error("the record names a claim that is not looked at, or a name that no token can have")]
    Unusable,
    /// The server was built without [`crate::ServerBuilder::revocation`].
    #[error("nothing is revoked: the server was built without `.revocation(...)`")]
    NotConfigured,
    /// The token has no `jti` by which it could be told apart.
    #[error("the token has no `jti`")]
    NoTokenId,
}

impl Revocations {
    pub(crate) fn new(runtime: Option<Arc<Runtime>>) -> Self {
        Self { runtime }
    }

    /// Refuses what the record says, from the next request on; where there is a journal it is on disk
    /// when this returns.
    ///
    /// # Errors
    /// See [`RevokeError`].
    pub async fn revoke(&self, record: Record) -> Result<(), RevokeError> {
        self.revoke_all([record]).await
    }

    /// The same for many, all or none.
    ///
    /// # Errors
    /// See [`RevokeError`].
    pub async fn revoke_all(
        &self,
        records: impl IntoIterator<Item = Record>,
    ) -> Result<(), RevokeError> {
        let runtime = self.runtime.as_ref().ok_or(RevokeError::NotConfigured)?;
        let Some(inlet) = runtime.local() else { return Err(ApplyError::Ended.into()) };
        let batch = Batch::of(records);
        if batch.records.iter().any(|record| !inlet.can_apply(record)) {
            return Err(RevokeError::Unusable);
        }
        inlet.apply(batch).await?;
        Ok(())
    }

    /// Refuses the token that was accepted from now on: when its job is done, or when something is odd
    /// about it.
    ///
    /// # Errors
    /// See [`RevokeError`].
    pub async fn revoke_access(&self, access: &Access) -> Result<(), RevokeError> {
        self.revoke(Record::of(access).ok_or(RevokeError::NoTokenId)?).await
    }

    /// Revokes the token when what is returned is dropped: when this task is done, however it ends.
    /// Where there is a journal it needs a tokio runtime then. What goes wrong is logged.
    ///
    /// # Errors
    /// If the token has no `jti`.
    pub fn revoke_when_dropped(&self, access: &Access) -> Result<RevokeOnDrop, RevokeError> {
        let record = Record::of(access).ok_or(RevokeError::NoTokenId)?;
        Ok(RevokeOnDrop { revocations: self.clone(), record: Some(record) })
    }

    /// Takes back what was said about the target of this record up to now, whoever said it.
    ///
    /// # Errors
    /// See [`RevokeError`].
    pub async fn lift(&self, record: &Record) -> Result<(), RevokeError> {
        self.revoke(record.lifted(self.now())).await
    }

    /// The server's time, for records of now; the epoch if nothing is looked at.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.runtime.as_ref().map_or(Timestamp::EPOCH, |runtime| runtime.clock().now())
    }

    /// How every source is doing, this process first.
    #[must_use]
    pub fn health(&self) -> Vec<SourceHealth> {
        self.runtime.as_ref().map(|runtime| runtime.health()).unwrap_or_default()
    }

    /// How every status list is doing that is held or wanted.
    #[must_use]
    pub fn status_lists(&self) -> Vec<StatusListHealth> {
        self.runtime.as_ref().map(|runtime| runtime.list_health()).unwrap_or_default()
    }

    /// How many records are kept.
    #[must_use]
    pub fn records(&self) -> usize {
        self.runtime.as_ref().map_or(0, |runtime| runtime.records())
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocations").field("records", &self.records()).finish_non_exhaustive()
    }
}

/// Revokes a token when it is dropped: [`Revocations::revoke_when_dropped`].
#[derive(Debug)]
#[must_use = "dropped at once, it revokes at once"]
pub struct RevokeOnDrop {
    revocations: Revocations,
    record: Option<Record>,
}

impl RevokeOnDrop {
    /// Leaves the token as it is.
    pub fn keep(mut self) {
        self.record = None;
    }
}

impl Drop for RevokeOnDrop {
    fn drop(&mut self) {
        let Some(mut record) = self.record.take() else { return };
        record.at = self.revocations.now();
        debug_assert_eq!(record.effect, Effect::Refuse);
        let revocations = self.revocations.clone();
        let revoked = async move {
            if let Err(error) = revocations.revoke(record).await {
                tracing::error!(
                    "revocation: a token was not revoked at the end of its task: {error}"
                );
            }
        };
        let mut revoked = Box::pin(revoked);
        // Where nothing has to be stored it is done at once.
        let mut nobody = std::task::Context::from_waker(std::task::Waker::noop());
        if revoked.as_mut().poll(&mut nobody).is_ready() {
            return;
        }
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(revoked)),
            Err(_) => tracing::error!(
                "revocation: a token was not revoked at the end of its task: no tokio runtime"
            ),
        }
    }
}
