//! Everything that a server can know of revocation: a stream that is pushed, one that is polled, a feed
//! and status lists, each about an issuer of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Request, StatusCode};
use portcullis::ResourceServer;
use portcullis::jose::Algorithm;
use portcullis::revocation::{
    AssuranceAction, EventStream, JsonFeed, OnStale, Poll, Push, Revocation, RiskAction, Source,
    SourceState, StatusAction, StatusLists, Subjects, Verification, WhenFull,
};
use portcullis::secret::SecretSource;
use portcullis::testing::{
    ManualClock, TestIssuer, TestNetwork, TestStatusList, TestTransmitter, TokenBuilder,
};
use portcullis::time::Clock as _;
use portcullis::transport::{Fetch, FetchError, FetchErrorKind, FetchLimits, Transport};
use serde_json::{Value, json};

use crate::support::{self, RESOURCE, bearer, send, settle};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_mins(1);
pub(crate) const PUSHED: &str = "https://pushed.example";
pub(crate) const POLLED: &str = "https://polled.example";
pub(crate) const FED: &str = "https://fed.example";
pub(crate) const LISTED: &str = "https://listed.example";
pub(crate) const OTHER: &str = "https://other.example";
const AUDIENCE: &str = "https://rs.example/events";
/// What is in the environment variable that every secret is in.
pub(crate) const SHOWN: &str = env!("CARGO_PKG_NAME");

/// Every setting of revocation that stands in the effective policy.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) on_stale: OnStale,
    pub(crate) claim: &'static str,
    pub(crate) max_records: usize,
    pub(crate) when_full: WhenFull,
    pub(crate) pushed: Pushed,
    pub(crate) polled: Polled,
    pub(crate) feed: Feed,
    pub(crate) lists: Lists,
}

#[derive(Clone)]
pub(crate) struct Pushed {
    pub(crate) name: &'static str,
    pub(crate) speaks_for: &'static str,
    pub(crate) max_age: Duration,
    pub(crate) on_stale: OnStale,
    pub(crate) id: &'static str,
    pub(crate) jwks_uri: &'static str,
    pub(crate) algorithm: Algorithm,
    pub(crate) audience: &'static str,
    pub(crate) stream_id: &'static str,
    pub(crate) critical: &'static str,
    pub(crate) email: &'static str,
    pub(crate) session: &'static str,
    pub(crate) risk: RiskAction,
    pub(crate) assurance: AssuranceAction,
    /// `None`: the signature alone counts.
    pub(crate) secret: Option<&'static str>,
    pub(crate) verification: [&'static str; 2],
}

#[derive(Clone)]
pub(crate) struct Polled {
    /// `None`: by discovery.
    pub(crate) jwks_uri: Option<&'static str>,
    pub(crate) url: &'static str,
    pub(crate) secret: &'static str,
    pub(crate) every: Duration,
    pub(crate) max_events: usize,
}

#[derive(Clone)]
pub(crate) struct Feed {
    pub(crate) on_stale: OnStale,
    pub(crate) url: &'static str,
    pub(crate) id: &'static str,
    pub(crate) delta: &'static str,
    pub(crate) every: Duration,
    pub(crate) secret: &'static str,
    pub(crate) max_bytes: usize,
    pub(crate) max_records: usize,
}

#[derive(Clone)]
pub(crate) struct Lists {
    pub(crate) issuers: [&'static str; 2],
    pub(crate) require: bool,
    pub(crate) origin: &'static str,
    pub(crate) algorithm: Algorithm,
    pub(crate) ttl: [Duration; 2],
    pub(crate) max_age: Duration,
    pub(crate) on_stale: OnStale,
    pub(crate) suspended: StatusAction,
    pub(crate) specific: StatusAction,
    /// Lists, bytes and entries.
    pub(crate) most: (usize, usize, u64),
    pub(crate) wait: Duration,
    /// An issuer, and where its lists are named.
    pub(crate) prefetch: [&'static str; 2],
}

impl Known {
    pub(crate) fn base() -> Self {
        Self {
            on_stale: OnStale::AllowFor(5 * MINUTE),
            claim: "department",
            max_records: 20,
            when_full: WhenFull::Refuse,
            pushed: Pushed {
                name: "pushed",
                speaks_for: PUSHED,
                max_age: 2 * MINUTE,
                on_stale: OnStale::AllowFor(10 * MINUTE),
                id: "https://one.example",
                jwks_uri: "https://one.example/jwks.json",
                algorithm: Algorithm::Es256,
                audience: AUDIENCE,
                stream_id: TestTransmitter::STREAM_ID,
                critical: "device",
                email: "email",
                session: "sid",
                risk: RiskAction::Refuse,
                assurance: AssuranceAction::StepUp,
                secret: Some("CARGO_PKG_NAME"),
                verification: ["https://one.example/verify", "CARGO_PKG_NAME"],
            },
            polled: Polled {
                jwks_uri: None,
                url: "https://two.example/poll",
                secret: "CARGO_PKG_NAME",
                every: 10 * SECOND,
                max_events: 20,
            },
            feed: Feed {
                on_stale: OnStale::Deny,
                url: "https://feed.example/all",
                id: "urn:example:feed",
                delta: "https://feed.example/since/{sequence}",
                every: 10 * SECOND,
                secret: "CARGO_PKG_NAME",
                max_bytes: 100_000,
                max_records: 1_000,
            },
            lists: Lists {
                issuers: [LISTED, OTHER],
                require: false,
                origin: "https://lists.example",
                algorithm: Algorithm::Es256,
                ttl: [30 * SECOND, 10 * MINUTE],
                max_age: 60 * MINUTE,
                on_stale: OnStale::AllowFor(40 * MINUTE),
                suspended: StatusAction::Refuse,
                specific: StatusAction::Accept,
                most: (10, 1 << 20, 2_048),
                wait: SECOND,
                prefetch: [LISTED, "https://lists.example/all"],
            },
        }
    }

    pub(crate) fn build(&self, world: &World) -> ResourceServer {
        let own = [PUSHED, POLLED, FED, LISTED, OTHER].map(|id| world.issuer(id));
        let builder = support::builder(&world.clock).transport(world.gate.clone());
        let builder = own.iter().fold(builder, |builder, own| builder.issuer(own.fixed_keys()));
        builder.revocation(self.revocation()).build().unwrap_or_else(|error| panic!("{error}"))
    }

    fn revocation(&self) -> Revocation {
        let Self { pushed, feed, .. } = self;
        let name = pushed.name;
        let pushed = Source::new(name, pushed.stream())
            .speaks_for([pushed.speaks_for])
            .max_age(pushed.max_age)
            .on_stale(pushed.on_stale);
        let polled = Source::new("polled", self.polled.stream()).speaks_for([POLLED]);
        let fed = Source::new("fed", feed.feed()).speaks_for([FED]).on_stale(feed.on_stale);
        Revocation::new()
            .on_stale(self.on_stale)
            .claim(self.claim)
            .max_records(self.max_records)
            .when_full(self.when_full)
            .source(pushed)
            .source(polled.max_age(2 * MINUTE))
            .source(fed.max_age(2 * MINUTE))
            .status_lists(self.lists.lists())
    }
}

impl Pushed {
    fn stream(&self) -> EventStream {
        let [url, secret] = self.verification;
        let push = match self.secret {
            Some(secret) => Push::new().authorization(SecretSource::env(secret)),
            None => Push::new().signature_only(),
        };
        EventStream::jwks(self.id, self.jwks_uri)
            .algorithms([self.algorithm])
            .audience(self.audience)
            .stream_id(self.stream_id)
            .critical_subject_members([self.critical])
            .subjects(Subjects::new().email(self.email).session(self.session))
            .on_high_risk(self.risk)
            .on_assurance_decrease(self.assurance)
            .push(push.verification(Verification::at(url).bearer(SecretSource::env(secret))))
    }
}

impl Polled {
    fn stream(&self) -> EventStream {
        let stream = match self.jwks_uri {
            Some(url) => EventStream::jwks("https://two.example", url),
            None => EventStream::discover("https://two.example"),
        };
        let poll = Poll::at(self.url).authorization(SecretSource::env(self.secret));
        stream.audience(AUDIENCE).poll(poll.every(self.every).max_events(self.max_events))
    }
}

impl Feed {
    fn feed(&self) -> JsonFeed {
        JsonFeed::over_tls(self.url)
            .id(self.id)
            .delta(self.delta)
            .every(self.every)
            .authorization(SecretSource::env(self.secret))
            .max_bytes(self.max_bytes)
            .max_records(self.max_records)
    }
}

impl Lists {
    fn lists(&self) -> StatusLists {
        let lists = StatusLists::new()
            .issuers(self.issuers)
            .allow_uris_at(self.origin)
            .algorithms([self.algorithm])
            .min_ttl(self.ttl[0])
            .max_ttl(self.ttl[1])
            .max_age(self.max_age)
            .on_stale(self.on_stale)
            .suspended(self.suspended)
            .application_specific(3, self.specific)
            .max_lists(self.most.0)
            .max_bytes(self.most.1)
            .max_entries(self.most.2)
            .wait_at_most(self.wait)
            .prefetch_of(self.prefetch[0], self.prefetch[1]);
        if self.require { lists.require() } else { lists }
    }
}

/// What a server has around it, new for each probe.
pub(crate) struct World {
    pub(crate) clock: ManualClock,
    issuers: Vec<TestIssuer>,
    pub(crate) one: TestTransmitter,
    pub(crate) two: TestTransmitter,
    /// Two lists of one issuer, one that is fetched before it is used, and one of another issuer.
    pub(crate) lists: [TestStatusList; 4],
    pub(crate) gate: Gate,
}

/// The network. Whoever asks the feed has to show this.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) network: TestNetwork,
    pub(crate) wanted: String,
    pub(crate) feed_is_down: Arc<AtomicBool>,
}

impl Transport for Gate {
    fn fetch(&self, request: Request<Bytes>, limits: FetchLimits) -> Fetch<'_> {
        let shown = request.headers().get(AUTHORIZATION).map(|value| value.as_bytes());
        let refused = shown != Some(self.wanted.as_bytes());
        let down = refused || self.feed_is_down.load(Ordering::Relaxed);
        if request.uri().host() == Some("feed.example") && down {
            return Box::pin(async { Err(FetchError::new(FetchErrorKind::Connection)) });
        }
        self.network.fetch(request, limits)
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let clock = ManualClock::new();
        let issuers: Vec<_> = [PUSHED, POLLED, FED, LISTED, OTHER]
            .into_iter()
            .map(|id| TestIssuer::new(id, &clock))
            .collect();
        let one = TestTransmitter::new("https://one.example", AUDIENCE, &clock);
        one.authorization(&format!("Bearer {SHOWN}"));
        let two = TestTransmitter::new("https://two.example", AUDIENCE, &clock);
        two.authorization(SHOWN);
        let lists = [("1", 3), ("2", 3), ("kept", 3), ("other", 4)].map(|(name, issuer)| {
            let uri = format!("https://lists.example/{name}");
            let list = TestStatusList::new(uri, &issuers[issuer], &clock);
            list.resize(2, 1_024);
            list
        });
        let now = clock.now().as_secs();
        let feed = |sequence: u64, since: Option<u64>, records: Value| {
            let mut document = json!({
                "feed": "urn:example:feed", "sequence": sequence, "issued_at": now,
                "count": records.as_array().unwrap().len(), "records": records,
            });
            if let Some(since) = since {
                document["since"] = json!(since);
            }
            document.to_string()
        };
        let whole =
            feed(1, None, json!([{ "jti": "f-1", "at": now }, { "subject": "x", "at": now }]));
        let delta = feed(2, Some(1), json!([{ "jti": "f-2", "at": now }]));
        let named = json!({ "status_lists": [lists[2].uri()] }).to_string();
        let json = "application/json";
        let network = lists.iter().fold(TestNetwork::default(), TestNetwork::with_list);
        let network = network
            .with_transmitter(&one)
            .with_transmitter(&two)
            .with_document("https://feed.example/all", json, whole)
            .with_document("https://feed.example/since/1", json, delta)
            .with_document("https://lists.example/all", json, named);
        let gate = Gate { network, wanted: SHOWN.to_owned(), feed_is_down: Arc::default() };
        Self { clock, issuers, one, two, lists, gate }
    }

    pub(crate) fn issuer(&self, id: &str) -> &TestIssuer {
        self.issuers.iter().find(|issuer| issuer.id() == id).unwrap()
    }

    /// A token of this issuer that lives for an hour from now.
    pub(crate) fn token(&self, issuer: &str) -> TokenBuilder {
        self.issuer(issuer).token(RESOURCE).expires_at(self.clock.now().plus(60 * MINUTE))
    }

    /// A token of the issuer with lists.
    pub(crate) fn listed(&self, list: usize, index: u64) -> TokenBuilder {
        self.token(LISTED).claim("status", self.lists[list].reference(index))
    }

    /// Delivers a SET, showing this.
    pub(crate) async fn push(
        &self,
        api: &ResourceServer,
        set: &TokenBuilder,
        shown: Option<&str>,
    ) -> StatusCode {
        let mut request = self.one.push(set.sign());
        request.headers_mut().remove(AUTHORIZATION);
        if let Some(shown) = shown {
            request.headers_mut().insert(AUTHORIZATION, shown.parse().unwrap());
        }
        let receiver = api.event_receiver("pushed").or(api.event_receiver("renamed")).unwrap();
        receiver.receive(request).await.status()
    }

    /// Starts the sources, and waits until each was synchronised or failed. The first transmitter
    /// answers who shows what it wants to see.
    pub(crate) async fn listen(&self, api: &ResourceServer) {
        let _ = kind(api, &self.token(OTHER)).await;
        let heard = |source: usize| {
            let health = &api.revocations().health()[source];
            health.state == SourceState::Fresh || health.failures > 0
        };
        until(|| heard(1) || !self.one.asked().is_empty()).await;
        until(|| heard(2) && heard(3)).await;
        settle().await;
        if let Some((_, fields)) = self.one.asked().last()
            && fields.get(AUTHORIZATION).is_some_and(|shown| shown == &*format!("Bearer {SHOWN}"))
        {
            let set = self.one.verification(self.one.last_state().as_deref());
            self.push(api, &set, Some(SHOWN)).await;
        }
    }

    /// What becomes of a token when the first transmitter tells of this.
    pub(crate) async fn happens(
        &self,
        api: &ResourceServer,
        token: TokenBuilder,
        event: &str,
        subject: Value,
        members: Value,
    ) -> String {
        self.listen(api).await;
        let set = self.one.set(event, subject, members);
        self.push(api, &set, Some(SHOWN)).await;
        kind(api, &token).await
    }

    /// The same of an event that ends the sessions of a user.
    pub(crate) async fn revoked(&self, api: &ResourceServer) -> String {
        let (token, event) = (self.token(PUSHED), "caep/session-revoked");
        self.happens(api, token, event, user(), json!({})).await
    }
}

/// The user of every token of the first issuer.
pub(crate) fn user() -> Value {
    json!({ "format": "iss_sub", "iss": PUSHED, "sub": "alice" })
}

/// What a token gets.
pub(crate) async fn kind(api: &ResourceServer, token: &TokenBuilder) -> String {
    format!("{:?} ", send(&api.layer(), bearer(&token.sign())).await.kind())
}

/// Starts the sources, and waits until this one was synchronised or failed.
pub(crate) async fn listen_to(api: &ResourceServer, source: usize, token: &TokenBuilder) {
    let _ = kind(api, token).await;
    until(|| {
        let health = &api.revocations().health()[source];
        health.state == SourceState::Fresh || health.failures > 0
    })
    .await;
    settle().await;
}

/// Waits until this is so, or nothing is under way any more. Nobody sleeps.
pub(crate) async fn until(so: impl Fn() -> bool) -> bool {
    for _ in 0..20_000 {
        if so() {
            return true;
        }
        tokio::task::yield_now().await;
        // Secrets and documents are read on threads of their own.
        std::thread::yield_now();
    }
    false
}
