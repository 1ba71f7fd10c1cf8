//! JSON feeds: what a document may say, and what a server believes of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

#[allow(
    clippy::print_stdout,
    clippy::print_stderr,
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "an example is a program: `main` is not called here"
)]
#[path = "../../examples/feed_publisher.rs"]
mod feed_publisher;

mod configuration;
mod documents;
mod early;
mod effects;
mod polling;
mod publisher;
mod restart;
mod schema;
mod signed;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use portcullis::observe::{Decision, Observer, SourceEvent, SourceEventKind};
use portcullis::revocation::{Journal, JournalError, JsonFeed, Revocation, Source, SourceHealth};
use portcullis::testing::{ManualClock, TestIssuer, TokenBuilder};
use portcullis::{RejectionKind, ResourceServer};
use publisher::Publisher;
use serde_json::{Value, json};
use support::{ISSUER, RESOURCE, bearer, builder};

const URL: &str = "https://feed.example/revocations.json";
const DELTA: &str = "https://feed.example/since/{sequence}";
const FEED: &str = "urn:example:feed";
/// A third of it is how often a feed is asked.
const MAX_AGE: Duration = Duration::from_mins(1);
const EVERY: Duration = Duration::from_secs(20);

/// One issuer, a publisher, and a server that asks it.
struct World {
    clock: ManualClock,
    issuer: TestIssuer,
    publisher: Publisher,
    api: ResourceServer,
    outcomes: Outcomes,
}

/// How often a feed was synchronised or failed.
#[derive(Clone, Default)]
struct Outcomes(Arc<AtomicUsize>);

impl Observer for Outcomes {
    fn observe(&self, _: &Decision<'_>) {}

    fn revocation(&self, event: &SourceEvent<'_>) {
        if matches!(event.kind, SourceEventKind::Synchronised | SourceEventKind::Failed { .. }) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl World {
    /// A feed over TLS, whose publisher has this whole.
    async fn new(whole: &Value) -> Self {
        Self::with(whole, JsonFeed::over_tls(URL)).await
    }

    /// A feed with deltas.
    async fn with_deltas(whole: &Value) -> Self {
        Self::with(whole, JsonFeed::over_tls(URL).delta(DELTA)).await
    }

    async fn with(whole: &Value, feed: JsonFeed) -> Self {
        let publisher = Publisher::default();
        publisher.document(URL, whole);
        Self::of(publisher, ManualClock::new(), feed, None, &[ISSUER]).await
    }

    /// The same clock and publisher, after a restart.
    async fn again(self, feed: JsonFeed, journal: Option<&Path>, issuers: &[&str]) -> Self {
        let Self { clock, publisher, api, .. } = self;
        drop(api);
        let journal = match journal {
            Some(path) => Some(opened(path).await),
            None => None,
        };
        Self::of(publisher, clock, feed, journal, issuers).await
    }

    async fn of(
        publisher: Publisher,
        clock: ManualClock,
        feed: JsonFeed,
        journal: Option<Journal>,
        issuers: &[&str],
    ) -> Self {
        let outcomes = Outcomes::default();
        let issuer = TestIssuer::new(ISSUER, &clock);
        let other = TestIssuer::new("https://b.example", &clock);
        let source = Source::new("feed", feed).speaks_for(issuers.to_vec()).max_age(MAX_AGE);
        let mut revocation = Revocation::new().source(source).claim("tenant");
        if let Some(journal) = journal {
            revocation = revocation.journal(journal);
        }
        let api = builder(&clock)
            .issuer(issuer.fixed_keys())
            .issuer(other.fixed_keys())
            .revocation(revocation)
            .transport(publisher.clone())
            .observer(outcomes.clone())
            .build()
            .unwrap();
        let world = Self { clock, issuer, publisher, api, outcomes };
        // It starts the sources; what it says of them is told by `health` too.
        let warming = world.api.clone();
        let warming = tokio::spawn(async move { warming.warm_up().await.is_ok() });
        if !world.publisher.is_silent() {
            world.wait(0).await;
            assert!(warming.await.is_ok());
        }
        world
    }

    /// Waits until something came of the question after so many outcomes, and the next wait began.
    async fn wait(&self, outcomes: usize) {
        for _ in 0..200_000 {
            tokio::task::yield_now().await;
            // Housekeeping, and the feed.
            if self.outcomes.0.load(Ordering::SeqCst) > outcomes && self.clock.sleepers() >= 2 {
                return;
            }
            std::thread::yield_now();
        }
        panic!("nothing came of the question: {:?}", self.health());
    }

    /// Lets this time pass, in which the feed is asked once.
    async fn round(&self, time: Duration) {
        let before = self.outcomes.0.load(Ordering::SeqCst);
        self.clock.advance(time);
        self.wait(before).await;
    }

    /// The publisher has this whole now, and is asked.
    async fn publish(&self, whole: &Value) {
        self.publisher.document(URL, whole);
        self.round(EVERY).await;
    }

    fn health(&self) -> SourceHealth {
        let health = self.api.revocations().health();
        health.into_iter().find(|source| &*source.name == "feed").unwrap()
    }

    fn failures(&self) -> u64 {
        self.health().failures
    }

    fn error(&self) -> String {
        self.health().last_error.unwrap_or_default()
    }

    fn token(&self, jti: &str) -> TokenBuilder {
        self.issuer.token(RESOURCE).claim("jti", jti)
    }

    /// Why a token is not accepted; `None` if it is.
    async fn refused(&self, token: TokenBuilder) -> Option<RejectionKind> {
        let request = bearer(&token.sign());
        self.api.verify(&request).await.err().map(|rejection| rejection.kind())
    }

    async fn is_revoked(&self, jti: &str) -> bool {
        match self.refused(self.token(jti)).await {
            None => false,
            Some(RejectionKind::Revoked) => true,
            Some(other) => panic!("{jti}: {other:?}"),
        }
    }
}

/// The journal at this path, once the tasks that had it are gone.
async fn opened(path: &Path) -> Journal {
    loop {
        match Journal::open(path) {
            Ok(journal) => return journal,
            Err(JournalError::Locked { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

/// The whole, with these records, which happened a minute before the clocks of tests begin.
fn whole(sequence: u64, records: &Value) -> Value {
    json!({
        "feed": FEED,
        "sequence": sequence,
        "issued_at": 1_800_000_000,
        "count": records.as_array().unwrap().len(),
        "records": records,
    })
}

fn delta(since: u64, sequence: u64, records: &Value) -> Value {
    let mut delta = whole(sequence, records);
    delta["since"] = since.into();
    delta
}

/// A token that was revoked.
fn jti(jti: &str) -> Value {
    json!({ "jti": jti, "at": 1_799_999_940, "exp": 1_800_003_600 })
}

/// A document with one member changed, or taken away.
fn with(mut document: Value, member: &str, value: Value) -> Value {
    let members = document.as_object_mut().unwrap();
    if value.is_null() {
        members.remove(member);
    } else {
        members.insert(member.to_owned(), value);
    }
    document
}

/// Over real HTTP on loopback; its clients check what came of each request.
#[tokio::test]
async fn every_request_of_the_publisher_comes_out_as_it_should() {
    assert_eq!(feed_publisher::run().await.unwrap(), 0);
}
