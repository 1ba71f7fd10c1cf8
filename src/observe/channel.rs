use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;

use super::{DecidedBy, Decision, DecisionOutcome, Observer, SenderBinding, TokenHash};
use crate::error::{RejectionKind, Step};
use crate::name::{ClientId, IssuerId, JwtId};
use crate::time::Timestamp;

/// An observer that hands decisions over to a task of yours, and never waits for it: what does not
/// fit into `capacity` is dropped and counted.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// use portcullis::observe::channel;
///
/// let (observer, mut decisions) = channel(1_000);
/// tokio::spawn(async move {
///     while let Some(decision) = decisions.recv().await {
///         println!("{:?} on {}", decision.outcome, decision.route);
///     }
/// });
/// # let _ = |builder: portcullis::ServerBuilder| builder.observer(observer);
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn channel(capacity: usize) -> (ChannelObserver, DecisionReceiver) {
    let dropped = Arc::new(AtomicU64::new(0));
    let (sender, receiver) = mpsc::channel(capacity.max(1));
    let observer = ChannelObserver { sender, dropped: Arc::clone(&dropped) };
    (observer, DecisionReceiver { receiver, dropped })
}

/// One [`Decision`], owned.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DecisionRecord {
    /// What came of it.
    pub outcome: DecisionOutcome,
    /// Who decided.
    pub decided_by: DecidedBy,
    /// Why it was refused.
    pub kind: Option<RejectionKind>,
    /// The name of the policy.
    pub route: String,
    /// The token's issuer, if it is a trusted one.
    pub issuer: Option<IssuerId>,
    /// Whether that issuer signed the token.
    pub issuer_proven: bool,
    /// The token's client, once the signature was good.
    pub client_id: Option<ClientId>,
    /// The token class that bounds the token's life.
    pub class: Option<String>,
    /// How the sender was bound.
    pub binding: Option<SenderBinding>,
    /// The reason of the exception that let an unbound token pass.
    pub exception: Option<String>,
    /// How much life the token had left.
    pub expires_in: Option<Duration>,
    /// Why it was refused, for operators: see [`Decision::reason`].
    pub reason: Option<String>,
    /// The keyed hash of the token's issuer and `jti`.
    pub token_hash: Option<TokenHash>,
    /// When, by the server's clock.
    pub at: Timestamp,
    /// From the first look at the request to the decision.
    pub duration: Duration,
    pub(crate) token: Option<TokenName>,
}

/// Which token it was. Nobody but the room of revocation can read it.
#[derive(Clone)]
pub(crate) struct TokenName {
    pub(crate) issuer: IssuerId,
    pub(crate) jwt_id: JwtId,
}

impl fmt::Debug for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenName(..)")
    }
}

impl DecisionRecord {
    /// The step that failed.
    #[must_use]
    pub fn step(&self) -> Option<Step> {
        self.kind?.step()
    }
}

impl From<&Decision<'_>> for DecisionRecord {
    fn from(decision: &Decision<'_>) -> Self {
        let (token_hash, duration) = (decision.token_hash(), decision.duration());
        // Every member, so that none is forgotten.
        let Decision {
            outcome,
            decided_by,
            kind,
            route,
            issuer,
            issuer_proven,
            client_id,
            class,
            binding,
            exception,
            expires_in,
            at,
            took: _,
            reason,
            token,
            key: _,
        } = *decision;
        Self {
            outcome,
            decided_by,
            kind,
            route: route.to_owned(),
            issuer: issuer.cloned(),
            issuer_proven,
            client_id: client_id.cloned(),
            class: class.map(str::to_owned),
            binding,
            exception: exception.map(str::to_owned),
            expires_in,
            reason: reason.map(str::to_owned),
            token_hash,
            at,
            duration,
            token: token.map(|(issuer, jwt_id)| TokenName {
                issuer: issuer.clone(),
                jwt_id: jwt_id.clone(),
            }),
        }
    }
}

/// The observer of [`channel`].
#[derive(Clone, Debug)]
pub struct ChannelObserver {
    sender: mpsc::Sender<DecisionRecord>,
    dropped: Arc<AtomicU64>,
}

impl Observer for ChannelObserver {
    fn observe(&self, decision: &Decision<'_>) {
        match self.sender.try_reserve() {
            Ok(place) => place.send(DecisionRecord::from(decision)),
            Err(_) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// The other end of [`channel`].
#[derive(Debug)]
pub struct DecisionReceiver {
    receiver: mpsc::Receiver<DecisionRecord>,
    dropped: Arc<AtomicU64>,
}

impl DecisionReceiver {
    /// The next decision; `None` once the server is gone.
    pub async fn recv(&mut self) -> Option<DecisionRecord> {
        self.receiver.recv().await
    }

    /// How many decisions did not fit.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}
