//! An issuer that encrypts its tokens, and a server that decrypts them.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use http::header::{AUTHORIZATION, RETRY_AFTER};
use http::{HeaderValue, Request};
use portcullis::jose::base64url;
use portcullis::jwe::{ContentEncryption, Decryption};
use portcullis::testing::{ManualClock, TestDecryptionKey, TestIssuer, TestNetwork, TokenBuilder};
use portcullis::{RejectionKind, ResourceServer, ServerBuilder};

use crate::support::{ISSUER, RESOURCE, Sent, bearer, builder, field_bytes, send};
use crate::{EC, RSA, WRAPPED};

pub(crate) struct World {
    pub(crate) clock: ManualClock,
    pub(crate) issuer: TestIssuer,
    pub(crate) api: ResourceServer,
}

/// What a client sees of a refusal, octet for octet, and its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) kind: RejectionKind,
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) body: String,
}

/// All three keys.
pub(crate) fn decryption() -> Decryption {
    let keys = [&*RSA, &*EC, &*WRAPPED].into_iter();
    keys.fold(Decryption::new(), |all, key: &TestDecryptionKey| all.key(key.decryption_key()))
}

pub(crate) fn seal(token: &str) -> String {
    EC.encrypt(token, ContentEncryption::A256Gcm)
}

/// The token, with one bit of its tag changed.
pub(crate) fn with_another_tag(token: &str) -> String {
    let (rest, tag) = token.rsplit_once('.').unwrap();
    let mut octets = base64url::decode(tag).unwrap();
    octets[0] ^= 1;
    format!("{rest}.{}", base64url::encode(octets))
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|builder| builder.decryption(decryption()))
    }

    /// A server with the issuer's keys and these settings.
    pub(crate) fn with(settings: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        let clock = ManualClock::new();
        let issuer = TestIssuer::new(ISSUER, &clock);
        let builder = settings(builder(&clock).issuer(issuer.fixed_keys()));
        let api = builder.transport(TestNetwork::of(&[&issuer])).build().unwrap();
        Self { clock, issuer, api }
    }

    /// A good token.
    pub(crate) fn token(&self) -> TokenBuilder {
        self.issuer.token(RESOURCE)
    }

    /// A good token in its envelope.
    pub(crate) fn sealed(&self) -> String {
        seal(&self.token().sign())
    }

    pub(crate) async fn send(&self, token: &str) -> Sent {
        let sent = send(&self.api.layer(), bearer(token)).await;
        assert_eq!(sent.passed(), sent.kind().is_none());
        sent
    }

    /// What a token gets; `None`: it passes.
    pub(crate) async fn kind(&self, token: &str) -> Option<RejectionKind> {
        self.send(token).await.kind()
    }

    pub(crate) async fn told(&self, token: &str) -> Told {
        told(&self.send(token).await)
    }
}

pub(crate) fn told(sent: &Sent) -> Told {
    let response = &sent.response;
    Told {
        kind: sent.kind().expect("a refusal"),
        status: response.status().as_u16(),
        fields: field_bytes(response.headers()),
        body: response.body().clone(),
    }
}

/// 503 with `Retry-After`, and not a word about the token.
#[track_caller]
pub(crate) fn assert_is_unavailable(sent: &Sent, name: &str) {
    assert_eq!(sent.kind(), Some(RejectionKind::DecryptionUnavailable), "{name}");
    assert_eq!(sent.response.status(), 503, "{name}");
    let later = sent.response.headers()[RETRY_AFTER].to_str().unwrap().parse::<u64>().unwrap();
    assert!((1..=60).contains(&later), "{name}: {later}");
    assert!(sent.response.headers().get("www-authenticate").is_none(), "{name}");
}

/// A request with a token that is bound to a key, and a proof.
pub(crate) fn with_proof(token: &str, proof: &str) -> Request<String> {
    let mut request = bearer(token);
    let headers = request.headers_mut();
    headers.insert(AUTHORIZATION, HeaderValue::try_from(format!("DPoP {token}")).unwrap());
    headers.insert("dpop", HeaderValue::try_from(proof).unwrap());
    request
}

/// What a future has by now, polled once. Nothing else runs meanwhile.
pub(crate) fn poll_once<T>(future: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// The outcome of a future that has nothing to wait for.
pub(crate) fn at_once<T>(future: impl Future<Output = T>) -> T {
    match poll_once(pin!(future)) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("it waits"),
    }
}
