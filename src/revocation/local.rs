use std::fmt;
use std::sync::{Arc, Weak};

use super::freshness::SourceHealth;
use super::record::{Claim, Claims, Record};
use super::runtime::Runtime;
use super::source::{ApplyError, Batch};
use super::status_list::StatusListHealth;
use crate::access::{Access, Facts};
use crate::time::{Clock, Timestamp};

/// What this process itself revokes, and how every source is doing: [`crate::ResourceServer::revocations`].
/// A clone is the same.
#[derive(Clone)]
pub struct Revocations {
    /// `None`: nothing is looked at.
    known: Option<Known>,
}

/// A handle that does not keep the server alive: whoever revokes is told when it has ended.
#[derive(Clone)]
struct Known {
    runtime: Weak<Runtime>,
    clock: Arc<dyn Clock>,
}

/// Why something was not revoked. Nothing of it counts.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RevokeError {
    /// It could not be stored, or there is no room.
    #[error("{0}")]
    Apply(#[from] ApplyError),
    /// The record names a claim that no token is looked at for: see [`super::Revocation::claim`]. Or a
    /// name in it is empty, or longer than [`Record::MAX_LENGTH`]; or its time is more than five minutes
    /// ahead.
    #[error(
        "the record names a claim that is not looked at, a name that no token can have, or a time that \
         is far ahead"
    )]
    Unusable,
    /// No token of this issuer is accepted: its identifier is another one. (Where issuers become known
    /// at run time, every name is taken.)
    #[error("{0:?} is none of the server's issuers: write it as it is configured")]
    UnknownIssuer(Box<str>),
    /// The server was built without [`crate::ServerBuilder::revocation`].
    #[error("nothing is revoked: the server was built without `.revocation(...)`")]
    NotConfigured,
    /// The token names no session (`sid`).
    #[error("the token has no `sid`: have the issuer write it, or revoke by subject")]
    NoSession,
    /// The token has no `jti` by which it could be told apart.
    #[error("the token has no `jti`: have the issuer write it, or revoke by subject or session")]
    NoTokenId,
}

impl Revocations {
    pub(crate) fn new(runtime: Option<&Arc<Runtime>>) -> Self {
        let known = runtime.map(|runtime| Known {
            runtime: Arc::downgrade(runtime),
            clock: Arc::clone(runtime.clock()),
        });
        Self { known }
    }

    fn runtime(&self) -> Option<Arc<Runtime>> {
        self.known.as_ref()?.runtime.upgrade()
    }

    /// Refuses what the record says, from the next request on; where there is a journal it is on disk
    /// when this returns.
    ///
    /// It reaches this process and no other: where a service runs as several, each has to be told, by a
    /// [`super::RevocationSource`] on what they share, or by a [`super::JsonFeed`] that one of them
    /// serves.
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
        let known = self.known.as_ref().ok_or(RevokeError::NotConfigured)?;
        let runtime = known.runtime.upgrade().ok_or(ApplyError::Ended)?;
        let Some(inlet) = runtime.local() else { return Err(ApplyError::Ended.into()) };
        let mut batch = Batch::of(records);
        // Asked of all, also of those that say nothing and do not stay.
        let unknown = |record: &&Record| !runtime.knows_issuer(record.issuer_id());
        let unknown = batch.records.iter().find(unknown).map(|record| record.issuer.clone());
        let counts = inlet.sift(&mut batch.records);
        if counts.unusable > 0 {
            return Err(RevokeError::Unusable);
        }
        if let Some(issuer) = unknown {
            return Err(RevokeError::UnknownIssuer(issuer));
        }
        inlet.store_sifted(batch, counts).await?;
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
    /// Where there is a journal and no tokio runtime then, it waits for the disk. What goes wrong is
    /// logged.
    ///
    /// It reaches this process: see [`Self::revoke`].
    ///
    /// # Errors
    /// If the token has no `jti`.
    pub fn revoke_when_dropped(&self, access: &Access) -> Result<RevokeOnDrop, RevokeError> {
        let facts = Arc::clone(access.facts());
        if facts.jwt_id.is_none() {
            return Err(RevokeError::NoTokenId);
        }
        Ok(RevokeOnDrop { server: self.runtime(), revocations: self.clone(), token: Some(facts) })
    }

    /// Refuses what the subject of this token was given until now (`sub`): everywhere, at every client.
    /// What it is given afterwards is good: to lock somebody out, disable the account at the issuer too.
    ///
    /// `iat` has whole seconds at most issuers: what the subject is given within this very second is
    /// refused as well. For the end of one session [`Self::revoke_session`] is the better way.
    ///
    /// # Errors
    /// See [`RevokeError`].
    pub async fn revoke_subject(&self, access: &Access) -> Result<(), RevokeError> {
        let claims = Claims::subject(access.subject().as_str());
        self.revoke(Record::matching(access.issuer().as_str(), claims, self.now())).await
    }

    /// Refuses the tokens of the session of this one (`sid`) that were issued until now: for a logout. End
    /// the session at the issuer too, or the next refresh brings a good token: this crate does not tell
    /// the issuer.
    ///
    /// # Errors
    /// [`RevokeError::NoSession`] if the token names no session, as one of a service account may not; see
    /// [`RevokeError`].
    pub async fn revoke_session(&self, access: &Access) -> Result<(), RevokeError> {
        let session = access.facts().session.as_deref().ok_or(RevokeError::NoSession)?;
        let claims = Claims::one(Claim::Session, session);
        self.revoke(Record::matching(access.issuer().as_str(), claims, self.now())).await
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
        self.known.as_ref().map_or(Timestamp::EPOCH, |known| known.clock.now())
    }

    /// How every source is doing, this process first.
    #[must_use]
    pub fn health(&self) -> Vec<SourceHealth> {
        self.runtime().map(|runtime| runtime.health()).unwrap_or_default()
    }

    /// How every status list is doing that is held or wanted.
    #[must_use]
    pub fn status_lists(&self) -> Vec<StatusListHealth> {
        self.runtime().map(|runtime| runtime.list_health()).unwrap_or_default()
    }

    /// How many records are kept.
    #[must_use]
    pub fn records(&self) -> usize {
        self.runtime().map_or(0, |runtime| runtime.records())
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocations").field("records", &self.records()).finish_non_exhaustive()
    }
}

/// Revokes a token when it is dropped: [`Revocations::revoke_when_dropped`].
#[must_use = "dropped at once, it revokes at once"]
pub struct RevokeOnDrop {
    /// A server that was told to revoke lives until it has.
    server: Option<Arc<Runtime>>,
    revocations: Revocations,
    /// `None`: it is left as it is.
    token: Option<Arc<Facts>>,
}

impl RevokeOnDrop {
    /// Leaves the token as it is.
    pub fn keep(mut self) {
        self.token = None;
    }
}

impl Drop for RevokeOnDrop {
    fn drop(&mut self) {
        let Some(token) = self.token.take() else { return };
        // As it is now: the record of when the task began may be over.
        let Some(record) = Record::of_facts(&token, self.revocations.now()) else { return };
        let (revocations, server) = (self.revocations.clone(), self.server.take());
        let revoked = async move {
            let _server = server;
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
            // It waits for a write that is under way, and is part of it.
            Err(_) => drop(revoked),
        }
    }
}

impl fmt::Debug for RevokeOnDrop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let issuer = self.token.as_ref().map(|token| &token.issuer);
        f.debug_struct("RevokeOnDrop").field("issuer", &issuer).finish_non_exhaustive()
    }
}
