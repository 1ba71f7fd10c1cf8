//! Two servers of one configuration, one of which knows no token from before.

use std::time::Duration;

use http::Request;
use portcullis::check::allow_all;
use portcullis::revocation::Record;
use portcullis::testing::{ManualClock, TestIssuer, TestNetwork, TokenBuilder};
use portcullis::time::{Clock as _, Timestamp};
use portcullis::{Access, Policy, RejectionKind as Kind, ResourceServer, ServerBuilder};

use crate::support::{ISSUER, RESOURCE, bearer, builder, settle};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_mins(1);

/// An issuer, and two servers that have its keys.
pub(crate) struct Pair {
    pub(crate) clock: ManualClock,
    pub(crate) issuer: TestIssuer,
    /// It keeps the tokens that it accepted.
    pub(crate) keeps: ResourceServer,
    /// It verifies each token each time.
    pub(crate) verifies: ResourceServer,
}

impl Pair {
    /// Two servers with the fetched keys of an issuer, and nothing else.
    pub(crate) async fn new() -> Self {
        Self::with(|builder, _| builder).await
    }

    /// Two servers with these settings, and the fetched keys of an issuer.
    pub(crate) async fn with(
        settings: impl Fn(ServerBuilder, &TestIssuer) -> ServerBuilder,
    ) -> Self {
        let clock = ManualClock::new();
        let issuer = TestIssuer::new(ISSUER, &clock);
        let pair = Self::of(clock, issuer, |builder, issuer| {
            let network = TestNetwork::of(&[issuer]);
            settings(builder.issuer(issuer.jwks()).transport(network), issuer)
        });
        pair.warm_up().await;
        pair
    }

    /// Two servers with these settings and no others.
    pub(crate) fn of(
        clock: ManualClock,
        issuer: TestIssuer,
        settings: impl Fn(ServerBuilder, &TestIssuer) -> ServerBuilder,
    ) -> Self {
        let keeps = settings(builder(&clock), &issuer).build().unwrap();
        let verifies = settings(builder(&clock), &issuer).known_tokens_bytes(0).build().unwrap();
        Self { clock, issuer, keeps, verifies }
    }

    pub(crate) async fn warm_up(&self) {
        for api in [&self.keeps, &self.verifies] {
            api.warm_up().await.unwrap();
        }
        settle().await;
    }

    /// A good token.
    pub(crate) fn token(&self) -> TokenBuilder {
        self.issuer.token(RESOURCE)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// How many tokens are known.
    pub(crate) fn known(&self) -> usize {
        assert_eq!(self.verifies.known_tokens_health().tokens, 0);
        self.keeps.known_tokens_health().tokens
    }

    /// What a request gets, by this policy. Both servers say the same.
    pub(crate) async fn ask<B>(
        &self,
        policy: impl Into<Policy>,
        request: &Request<B>,
    ) -> Result<Access, Kind> {
        let policy = policy.into();
        let ask = async |api: &ResourceServer| {
            let decided = api.guard(policy.clone()).unwrap().verify(request).await;
            decided.map_err(|rejection| rejection.kind())
        };
        let (kept, right) = (ask(&self.keeps).await, ask(&self.verifies).await);
        assert_eq!(
            kept.as_ref().map(|access| format!("{access:?}")),
            right.as_ref().map(|access| format!("{access:?}")),
            "a known token is decided otherwise"
        );
        kept
    }

    /// What a request gets, by a policy that asks nothing; `None` if it passes.
    pub(crate) async fn kind_of<B>(&self, request: &Request<B>) -> Option<Kind> {
        self.ask(allow_all(), request).await.err()
    }

    /// What a plain bearer token gets.
    pub(crate) async fn kind(&self, token: &str) -> Option<Kind> {
        self.kind_of(&bearer(token)).await
    }

    /// What it gets by this policy.
    pub(crate) async fn kind_by(&self, policy: impl Into<Policy>, token: &str) -> Option<Kind> {
        self.ask(policy, &bearer(token)).await.err()
    }

    /// Lets a new token in, and then once more: it is known.
    pub(crate) async fn knows(&self, token: &str) {
        let before = self.known();
        assert_eq!(self.kind(token).await, None);
        assert_eq!(self.known(), before + 1, "it was accepted");
        assert_eq!(self.kind(token).await, None);
        assert_eq!(self.known(), before + 1, "it was known");
    }

    /// Both servers are told.
    pub(crate) async fn revoke(&self, record: Record) {
        for api in [&self.keeps, &self.verifies] {
            api.revocations().revoke(record.clone()).await.unwrap();
        }
    }

    /// Time passes, and what it wakes goes on.
    pub(crate) async fn advance(&self, time: Duration) {
        self.clock.advance(time);
        settle().await;
    }
}
