//! What an observer is told of a decision.

use std::fmt;
use std::time::Duration;

use super::{HashKey, TokenHash};
use crate::error::{Outcome, Rejection, RejectionKind, Step};
use crate::name::{ClientId, IssuerId, JwtId};
use crate::time::{Clock, Timestamp};

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DecisionOutcome {
    /// The token was accepted.
    Accepted,
    /// There was no token, and the policy wants none.
    Anonymous,
    /// "No": 400, 401 or 403.
    Refused,
    /// "Cannot tell now": 503.
    Unavailable,
    /// Mounted or configured wrongly: 500.
    Misconfigured,
}

impl DecisionOutcome {
    /// Every one of them, for preregistering metric labels.
    pub const ALL: &'static [Self] =
        &[Self::Accepted, Self::Anonymous, Self::Refused, Self::Unavailable, Self::Misconfigured];

    /// A short name in snake case, for logs and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Anonymous => "anonymous",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
            Self::Misconfigured => "misconfigured",
        }
    }
}

impl From<Outcome> for DecisionOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Refused => Self::Refused,
            Outcome::Unavailable => Self::Unavailable,
            Outcome::Misconfigured => Self::Misconfigured,
        }
    }
}

/// Who decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DecidedBy {
    /// A `Protect`, or a [`crate::Guard`]: the whole decision.
    Guard,
    /// A [`crate::layer::require`] below it.
    Require,
    /// An extractor, or [`crate::Access::refuse`] in a handler.
    Handler,
}

impl DecidedBy {
    /// Every one of them, for preregistering metric labels.
    pub const ALL: &'static [Self] = &[Self::Guard, Self::Require, Self::Handler];

    /// A short name in snake case, for logs and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Guard => "guard",
            Self::Require => "require",
            Self::Handler => "handler",
        }
    }
}

/// How the sender of a token was bound to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SenderBinding {
    /// Not at all: whoever has the token can use it.
    Bearer,
    /// By a key, which a DPoP proof has proven (RFC 9449).
    Dpop,
    /// By a client certificate, whose key the TLS handshake has proven (RFC 8705).
    Mtls,
    /// By both, and both proven.
    DpopAndMtls,
}

impl SenderBinding {
    /// Every one of them, for preregistering metric labels.
    pub const ALL: &'static [Self] = &[Self::Bearer, Self::Dpop, Self::Mtls, Self::DpopAndMtls];

    /// A short name in snake case, for logs and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::Dpop => "dpop",
            Self::Mtls => "mtls",
            Self::DpopAndMtls => "dpop_and_mtls",
        }
    }
}

/// How long a decision took.
#[derive(Clone, Copy)]
pub(crate) enum Took<'a> {
    Nothing,
    /// By this clock, since then.
    Since(&'a dyn Clock, Duration),
}

/// One decision.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Decision<'a> {
    /// What came of it.
    pub outcome: DecisionOutcome,
    /// Who decided.
    pub decided_by: DecidedBy,
    /// Why it was refused.
    pub kind: Option<RejectionKind>,
    /// The name of the policy: see [`crate::Policy::named`].
    pub route: &'a str,
    /// The token's issuer, if it is a trusted one.
    pub issuer: Option<&'a IssuerId>,
    /// Whether that issuer signed the token. Before step 4 the token only claims it.
    pub issuer_proven: bool,
    /// The token's client, once the signature was good.
    pub client_id: Option<&'a ClientId>,
    /// The token class that bounds the token's life, once that was decided.
    pub class: Option<&'a str>,
    /// How the sender was bound, once that was decided.
    pub binding: Option<SenderBinding>,
    /// The reason of the exception that let an unbound token pass.
    pub exception: Option<&'a str>,
    /// How much life the token had left, once it was known to be alive.
    pub expires_in: Option<Duration>,
    /// When, by the server's clock.
    pub at: Timestamp,
    pub(crate) took: Took<'a>,
    pub(crate) reason: Option<&'a str>,
    pub(crate) token: Option<(&'a IssuerId, &'a JwtId)>,
    pub(crate) key: Option<&'a HashKey>,
}

impl<'a> Decision<'a> {
    pub(crate) fn new(outcome: DecisionOutcome, decided_by: DecidedBy, route: &'a str) -> Self {
        Self {
            outcome,
            decided_by,
            kind: None,
            route,
            issuer: None,
            client_id: None,
            class: None,
            binding: None,
            exception: None,
            expires_in: None,
            at: Timestamp::EPOCH,
            took: Took::Nothing,
            issuer_proven: false,
            reason: None,
            token: None,
            key: None,
        }
    }

    /// A refusal. `reason` is [`Rejection::told`].
    pub(crate) fn refused(
        rejection: &Rejection,
        reason: &'a str,
        decided_by: DecidedBy,
        route: &'a str,
    ) -> Self {
        Self {
            kind: Some(rejection.kind()),
            reason: Some(reason),
            ..Self::new(rejection.outcome().into(), decided_by, route)
        }
    }

    /// The step that failed.
    #[must_use]
    pub fn step(&self) -> Option<Step> {
        self.kind?.step()
    }

    /// The time since the first look at the request, waits included: ask in [`super::Observer::observe`], at
    /// once. It reads the clock; who does not ask does not pay for it, and of several observers a later one
    /// sees the time that those before it took as well. Zero of what a layer or a handler below the
    /// decision refuses.
    #[must_use]
    pub fn duration(&self) -> Duration {
        match self.took {
            Took::Nothing => Duration::ZERO,
            Took::Since(clock, started) => clock.steady().saturating_sub(started),
        }
    }

    /// Why it was refused, for operators: the text of the [`crate::Rejection`]. It can hold values
    /// of the request, cut and escaped, and never the token: a log line, no label.
    #[must_use]
    pub fn reason(&self) -> Option<&'a str> {
        self.reason
    }

    /// A keyed hash of the token's issuer and `jti`, once the signature was good: equal for every
    /// use of one token, and of no use to whoever does not have the key. See
    /// [`crate::ServerBuilder::token_hash_key`].
    ///
    /// It costs some microseconds, and only if it is called.
    #[must_use]
    pub fn token_hash(&self) -> Option<TokenHash> {
        let (issuer, jwt_id) = self.token?;
        Some(self.key?.hash(issuer, jwt_id))
    }
}

impl fmt::Debug for Decision<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decision")
            .field("outcome", &self.outcome)
            .field("decided_by", &self.decided_by)
            .field("kind", &self.kind)
            .field("route", &self.route)
            .field("issuer", &self.issuer)
            .field("client_id", &self.client_id)
            .field("class", &self.class)
            .field("binding", &self.binding)
            .field("exception", &self.exception)
            .field("expires_in", &self.expires_in)
            .field("duration", &self.duration())
            .finish_non_exhaustive()
    }
}
