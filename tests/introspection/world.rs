//! An issuer that is asked about its tokens, and a server that asks.

use std::time::Duration;

use http::header::RETRY_AFTER;
use portcullis::introspection::{ClientAuth, Introspection, IntrospectionHealth};
use portcullis::testing::{ManualClock, TestIntrospection, TestIssuer, TestNetwork, TokenBuilder};
use portcullis::time::{Clock as _, Timestamp};
use portcullis::{
    Access, Issuer, Policy, Rejection, RejectionKind as Kind, ResourceServer, ServerBuilder,
};

use crate::support::{ISSUER, RESOURCE, Sent, bearer, builder, present, send, settle};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
/// Longer than an answer is kept unless said otherwise.
pub(crate) const TTL: Duration = Duration::from_secs(30);
/// Longer than a call may take unless said otherwise.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) struct World {
    pub(crate) clock: ManualClock,
    pub(crate) issuer: TestIssuer,
    pub(crate) kit: TestIntrospection,
    pub(crate) api: ResourceServer,
}

/// What a world is made of.
pub(crate) struct Parts {
    pub(crate) clock: ManualClock,
    pub(crate) issuer: TestIssuer,
    pub(crate) kit: TestIntrospection,
    pub(crate) network: TestNetwork,
}

impl Parts {
    pub(crate) fn new() -> Self {
        let clock = ManualClock::new();
        let issuer = TestIssuer::new(ISSUER, &clock);
        let kit = TestIntrospection::of(&issuer, &clock);
        let network = TestNetwork::of(&[&issuer]).with_introspection(&kit);
        Self { clock, issuer, kit, network }
    }

    /// The endpoint of the issuer, which wants no client authentication.
    pub(crate) fn introspection(&self) -> Introspection {
        asked_at(ISSUER, self.kit.url())
    }

    /// An issuer without keys, and its network.
    pub(crate) fn builder(&self) -> ServerBuilder {
        self.builder_with(Issuer::opaque(ISSUER))
    }

    pub(crate) fn builder_with(&self, issuer: Issuer) -> ServerBuilder {
        builder(&self.clock).issuer(issuer).transport(self.network.clone())
    }

    /// Another issuer on the same network, with an endpoint of its own.
    pub(crate) fn other(&mut self, id: &str) -> (TestIssuer, TestIntrospection) {
        let issuer = TestIssuer::new(id, &self.clock);
        let kit = TestIntrospection::of(&issuer, &self.clock);
        self.network = std::mem::take(&mut self.network).with_introspection(&kit);
        (issuer, kit)
    }

    pub(crate) fn build(self, builder: ServerBuilder) -> World {
        let Self { clock, issuer, kit, .. } = self;
        World { clock, issuer, kit, api: builder.build().unwrap() }
    }
}

/// Nobody has to say who asks there.
pub(crate) fn asked_at(issuer: &str, url: &str) -> Introspection {
    Introspection::at(issuer, url).client(ClientAuth::insecure_unauthenticated())
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|introspection| introspection)
    }

    /// A server that asks so.
    pub(crate) fn with(change: impl FnOnce(Introspection) -> Introspection) -> Self {
        Self::built(change, |builder| builder)
    }

    /// A server that asks so and has these settings.
    pub(crate) fn built(
        change: impl FnOnce(Introspection) -> Introspection,
        settings: impl FnOnce(ServerBuilder) -> ServerBuilder,
    ) -> Self {
        let parts = Parts::new();
        let builder = settings(parts.builder().introspection(change(parts.introspection())));
        parts.build(builder)
    }

    /// A server that has the issuer's keys, and asks so.
    pub(crate) fn with_keys(change: impl FnOnce(Introspection) -> Introspection) -> Self {
        let parts = Parts::new();
        let builder = parts.builder_with(parts.issuer.jwks());
        let builder = builder.introspection(change(parts.introspection()));
        parts.build(builder)
    }

    /// The claims of a good token.
    pub(crate) fn claims(&self) -> TokenBuilder {
        self.issuer.token(RESOURCE)
    }

    /// A good opaque token.
    pub(crate) fn token(&self) -> String {
        self.kit.active(self.claims())
    }

    pub(crate) async fn present(&self, token: &str) -> Result<Access, Rejection> {
        present(&self.api, token).await
    }

    /// What a token gets, by the server's own policy; `None`: it passes.
    pub(crate) async fn kind(&self, token: &str) -> Option<Kind> {
        self.send(token).await.kind()
    }

    /// The same by this policy.
    pub(crate) async fn kind_by(&self, policy: impl Into<Policy>, token: &str) -> Option<Kind> {
        send(&self.api.protect(policy), bearer(token)).await.kind()
    }

    pub(crate) async fn send(&self, token: &str) -> Sent {
        let sent = send(&self.api.layer(), bearer(token)).await;
        assert_eq!(sent.passed(), sent.kind().is_none());
        sent
    }

    /// It passes.
    pub(crate) async fn assert_passes(&self, token: &str, name: &str) {
        assert_eq!(self.kind(token).await, None, "{name}");
    }

    /// 401 `invalid_token`, for this reason.
    pub(crate) async fn assert_invalid(&self, token: &str, kind: Kind, name: &str) {
        let sent = self.send(token).await;
        assert_eq!(sent.kind(), Some(kind), "{name}");
        assert_eq!(sent.response.status(), 401, "{name}");
        assert_eq!(sent.error().as_deref(), Some("invalid_token"), "{name}");
    }

    /// 503 with `Retry-After`, and not a word about the token.
    pub(crate) async fn assert_unavailable(&self, token: &str, name: &str) {
        assert_is_unavailable(&self.send(token).await, name);
    }

    /// Starts a request, which runs in a task of its own.
    pub(crate) fn spawn(&self, token: &str) -> tokio::task::JoinHandle<Option<Kind>> {
        let (api, token) = (self.api.clone(), token.to_owned());
        tokio::spawn(async move { send(&api.layer(), bearer(&token)).await.kind() })
    }

    pub(crate) fn calls(&self) -> usize {
        self.kit.calls()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Lets time pass, and every task do what it has to do.
    pub(crate) async fn advance(&self, time: Duration) {
        self.clock.advance(time);
        settle().await;
    }

    pub(crate) fn health(&self) -> IntrospectionHealth {
        self.api.introspection_health().remove(0)
    }
}

/// 503 with `Retry-After`, and not a word about the token.
pub(crate) fn assert_is_unavailable(sent: &Sent, name: &str) {
    assert_eq!(sent.kind(), Some(Kind::IntrospectionUnavailable), "{name}");
    assert_eq!(sent.response.status(), 503, "{name}");
    let later = sent.response.headers()[RETRY_AFTER].to_str().unwrap().parse::<u64>().unwrap();
    assert!((1..=60).contains(&later), "{name}: {later}");
    assert!(sent.response.headers().get("www-authenticate").is_none(), "{name}");
    assert!(!sent.passed(), "{name}");
}
