//! An issuer with a list, and a server that looks at it.

use std::sync::Arc;
use std::time::Duration;

use http::header::RETRY_AFTER;
use portcullis::observe::Observer;
use portcullis::revocation::{Revocation, StatusListHealth, StatusLists};
use portcullis::testing::{ManualClock, TestIssuer, TestNetwork, TestStatusList, TokenBuilder};
use portcullis::time::{Clock as _, Timestamp};
use portcullis::{Binding, Policy, RejectionKind as Kind, ResourceServer, TokenClass};

use crate::support::{ISSUER, RESOURCE, Sent, bearer, send, settle};

pub(crate) const LIST: &str = "https://as.example/lists/1";
pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_mins(1);
pub(crate) const HOUR: Duration = Duration::from_hours(1);

pub(crate) struct World {
    pub(crate) clock: ManualClock,
    pub(crate) issuer: TestIssuer,
    pub(crate) list: TestStatusList,
    pub(crate) network: TestNetwork,
    pub(crate) api: ResourceServer,
}

/// What a world is made of.
pub(crate) struct Parts {
    pub(crate) clock: ManualClock,
    pub(crate) issuer: TestIssuer,
    pub(crate) list: TestStatusList,
    pub(crate) network: TestNetwork,
    pub(crate) lists: StatusLists,
    pub(crate) others: Vec<TestIssuer>,
    pub(crate) observers: Vec<Arc<dyn Observer>>,
}

impl Parts {
    pub(crate) fn new() -> Self {
        let clock = ManualClock::new();
        let issuer = TestIssuer::new(ISSUER, &clock);
        let list = TestStatusList::new(LIST, &issuer, &clock);
        let network = TestNetwork::of(&[&issuer]).with_list(&list);
        let (lists, others, observers) = (StatusLists::new(), Vec::new(), Vec::new());
        Self { clock, issuer, list, network, lists, others, observers }
    }

    /// Another list of the issuer, on the same network.
    pub(crate) fn list_at(&mut self, uri: &str) -> TestStatusList {
        let list = TestStatusList::new(uri, &self.issuer, &self.clock);
        self.network = std::mem::take(&mut self.network).with_list(&list);
        list
    }

    /// The keys are there, and no list.
    pub(crate) async fn build(self) -> World {
        let Self { clock, issuer, list, network, lists, others, observers } = self;
        let mut builder = ResourceServer::builder(RESOURCE)
            .issuer(issuer.discover())
            .binding(Binding::WhereBound)
            .class(TokenClass::default_at_most(Duration::from_hours(24 * 365)))
            .revocation(Revocation::new().status_lists(lists))
            .transport(network.clone())
            .clock(clock.clone());
        for other in &others {
            builder = builder.issuer(other.fixed_keys());
        }
        for observer in observers {
            builder = builder.observer(observer);
        }
        let api = builder.build().unwrap();
        api.warm_up().await.unwrap();
        settle().await;
        World { clock, issuer, list, network, api }
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Parts::new().build().await
    }

    pub(crate) async fn with(lists: StatusLists) -> Self {
        Parts { lists, ..Parts::new() }.build().await
    }

    /// A token that lives for months, at this index of the list.
    pub(crate) fn token(&self, index: u64) -> TokenBuilder {
        self.token_at(&self.list, index)
    }

    pub(crate) fn token_at(&self, list: &TestStatusList, index: u64) -> TokenBuilder {
        let end = self.now().plus(Duration::from_hours(24 * 180));
        self.issuer.token(RESOURCE).expires_at(end).claim("status", list.reference(index))
    }

    pub(crate) async fn send(&self, token: &TokenBuilder) -> Sent {
        send(&self.api.layer(), bearer(&token.sign())).await
    }

    /// What a token gets.
    pub(crate) async fn kind_of(&self, token: &TokenBuilder) -> Option<Kind> {
        self.send(token).await.kind()
    }

    /// What a token gets that is at this index.
    pub(crate) async fn kind(&self, index: u64) -> Option<Kind> {
        self.kind_of(&self.token(index)).await
    }

    /// The same by this policy.
    pub(crate) async fn kind_by(&self, policy: Policy, index: u64) -> Option<Kind> {
        let layer = self.api.protect(policy);
        send(&layer, bearer(&self.token(index).sign())).await.kind()
    }

    /// 503 with `Retry-After`, and not a word about the token.
    pub(crate) async fn assert_unavailable(&self, index: u64, name: &str) {
        let sent = self.send(&self.token(index)).await;
        assert_eq!(sent.kind(), Some(Kind::RevocationUnavailable), "{name}");
        assert_eq!(sent.response.status(), 503, "{name}");
        let later = sent.response.headers()[RETRY_AFTER].to_str().unwrap().parse::<u64>().unwrap();
        assert!((1..=60).contains(&later), "{name}: {later}");
        assert_eq!(sent.error(), None, "{name}");
        assert!(!sent.passed(), "{name}");
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Lets time pass, and every task do what it has to do.
    pub(crate) async fn advance(&self, time: Duration) {
        self.clock.advance(time);
        settle().await;
    }

    pub(crate) fn health(&self) -> StatusListHealth {
        let health = self.api.revocations().status_lists();
        health.into_iter().find(|list| &*list.uri == self.list.uri()).expect("the list is known")
    }
}
