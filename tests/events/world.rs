//! A token issuer, a transmitter of events, and a server that listens to both.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use portcullis::revocation::{
    EventReceiver, EventStream, OnStale, Push, Revocation, Source, SourceHealth,
};
use portcullis::secret::{Secret, SecretSource};
use portcullis::testing::{
    ManualClock, TestIssuer, TestNetwork, TestTransmitter, TokenBuilder, challenges,
};
use portcullis::time::{Clock as _, Timestamp};
use portcullis::{RejectionKind, ResourceServer};
use serde_json::{Value, json};

use crate::support::{ISSUER, RESOURCE, bearer, builder, send};

pub(crate) const TRANSMITTER: &str = "https://tx.example";
/// Who we are to the transmitter: not who we are to clients.
pub(crate) const AUDIENCE: &str = "https://rs.example/events";
pub(crate) const SECRET: &str = "Bearer of-the-transmitter";
pub(crate) const MINUTE: Duration = Duration::from_mins(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) struct World {
    pub(crate) clock: ManualClock,
    pub(crate) issuer: TestIssuer,
    pub(crate) transmitter: TestTransmitter,
    pub(crate) network: TestNetwork,
    pub(crate) api: ResourceServer,
}

/// What a delivery got.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) async fn of(response: Response<Full<Bytes>>) -> Self {
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        Self { status: head.status, headers: head.headers, body }
    }

    /// `err`, where the answer is as RFC 8935 §2.3 wants it.
    pub(crate) fn err(&self) -> Option<String> {
        let document: Value = serde_json::from_str(&self.body).ok()?;
        assert_eq!(self.headers["content-type"], "application/json");
        assert_eq!(self.headers["content-language"], "en");
        assert!(!document["description"].as_str().unwrap().is_empty());
        assert_eq!(document.as_object().unwrap().len(), 2);
        Some(document["err"].as_str().unwrap().to_owned())
    }

    pub(crate) fn accepted(&self) -> bool {
        assert!(self.status != StatusCode::ACCEPTED || self.body.is_empty());
        self.status == StatusCode::ACCEPTED
    }
}

/// A user of the token issuer, as events name one.
pub(crate) fn user(subject: &str) -> Value {
    json!({ "format": "iss_sub", "iss": ISSUER, "sub": subject })
}

/// The way of pushed events of which nothing is known when nothing comes.
pub(crate) fn pushed(source: Source) -> Source {
    source.on_stale(OnStale::InsecureUnbounded)
}

pub(crate) fn with_secret() -> Push {
    Push::new().authorization(Secret::new(SECRET))
}

impl World {
    /// Events are pushed; that nothing comes says nothing.
    pub(crate) fn pushed() -> Self {
        Self::with(|transmitter| transmitter.fixed_keys().push(with_secret()), pushed)
    }

    /// The same, with a stream of this kind.
    pub(crate) fn pushed_as(settings: impl FnOnce(EventStream) -> EventStream) -> Self {
        Self::with(|transmitter| settings(transmitter.fixed_keys().push(with_secret())), pushed)
    }

    pub(crate) fn with(
        stream: impl FnOnce(&TestTransmitter) -> EventStream,
        source: impl FnOnce(Source) -> Source,
    ) -> Self {
        let clock = ManualClock::new();
        Self::at(clock, stream, |stream| source(Source::new("caep", stream)), |known| known)
    }

    pub(crate) fn at(
        clock: ManualClock,
        stream: impl FnOnce(&TestTransmitter) -> EventStream,
        source: impl FnOnce(EventStream) -> Source,
        known: impl FnOnce(Revocation) -> Revocation,
    ) -> Self {
        let issuer = TestIssuer::new(ISSUER, &clock);
        let transmitter = TestTransmitter::new(TRANSMITTER, AUDIENCE, &clock);
        transmitter.authorization(SECRET);
        let network = TestNetwork::of(&[&issuer]).with_transmitter(&transmitter);
        let source = source(stream(&transmitter)).speaks_for([ISSUER]);
        let api = builder(&clock)
            .issuer(issuer.fixed_keys())
            .revocation(known(Revocation::new().source(source)))
            .transport(network.clone())
            .build()
            .unwrap();
        Self { clock, issuer, transmitter, network, api }
    }

    pub(crate) fn receiver(&self) -> EventReceiver {
        self.api.event_receiver("caep").unwrap()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A token of the issuer that lives for an hour.
    pub(crate) fn token(&self) -> TokenBuilder {
        self.issuer.token(RESOURCE).expires_at(self.now().plus(60 * MINUTE))
    }

    /// What a token gets.
    pub(crate) async fn kind(&self, token: &TokenBuilder) -> Option<RejectionKind> {
        send(&self.api.layer(), bearer(&token.sign())).await.kind()
    }

    /// What a client is told of a token: the first challenge's `error`.
    pub(crate) async fn told(&self, token: &TokenBuilder) -> Option<String> {
        let sent = send(&self.api.layer(), bearer(&token.sign())).await;
        let challenges = challenges(sent.response.headers());
        Some(challenges.first()?.param("error")?.to_owned())
    }

    /// Delivers a SET.
    pub(crate) async fn push(&self, set: &TokenBuilder) -> Answer {
        self.push_text(set.sign()).await
    }

    pub(crate) async fn push_text(&self, set: impl Into<Bytes>) -> Answer {
        self.deliver(self.transmitter.push(set)).await
    }

    pub(crate) async fn deliver(&self, request: Request<Full<Bytes>>) -> Answer {
        Answer::of(self.receiver().receive(request).await).await
    }

    /// Delivers this event about this subject, which is accepted.
    pub(crate) async fn happens(&self, event: &str, subject: Value, members: Value) {
        let answer = self.push(&self.transmitter.set(event, subject, members)).await;
        assert!(answer.accepted(), "{event}: {answer:?}");
    }

    pub(crate) fn health(&self) -> SourceHealth {
        self.api.revocations().health().swap_remove(1)
    }

    /// Starts the sources, as a first request does.
    pub(crate) async fn start(&self) {
        let _ = self.kind(&self.token()).await;
    }
}

/// A file with the transmitter's secret, for as long as this lives.
pub(crate) struct SecretFile(std::path::PathBuf);

impl SecretFile {
    pub(crate) fn new(name: &str) -> Self {
        let place = std::env::temp_dir().join(format!("portcullis-{}-{name}", std::process::id()));
        std::fs::write(&place, SECRET).unwrap();
        Self(place)
    }

    pub(crate) fn source(&self) -> SecretSource {
        SecretSource::file(&self.0)
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl World {
    /// A token that was issued so long ago.
    pub(crate) fn issuer_token(&self, ago: Duration) -> TokenBuilder {
        self.issued(self.now().minus(ago).as_secs())
    }

    /// A token that was issued at this second, and lives for an hour.
    pub(crate) fn issued(&self, second: u64) -> TokenBuilder {
        let at = Timestamp::from_secs(second);
        self.token().issued_at(at).expires_at(at.plus(60 * MINUTE))
    }
}
