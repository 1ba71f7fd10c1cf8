//! What the tests of a decision share: one resource, its issuers, and rows of tokens.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and each test uses its own part"
)]

mod keys;
mod log;
mod printed;
mod refusals;
mod wait;

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::header::{AUTHORIZATION, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use portcullis::jose::Algorithm;
use portcullis::layer::{ProtectLayer, RefusalStyle};
use portcullis::testing::{ManualClock, TestIssuer, TestNetwork, TokenBuilder, challenges};
use portcullis::{
    Access, Binding, Rejection, RejectionKind, ResourceServer, ServerBuilder, TokenClass,
};
use tower::{Layer as _, ServiceExt as _, service_fn};

#[allow(unused_imports, reason = "each test uses its own part")]
pub(crate) use self::keys::{
    Random, RsaPair, compact, ec_public_key_forms, parts, respelled, rsa_public_key_forms,
};
#[allow(unused_imports, reason = "each test uses its own part")]
pub(crate) use self::log::Log;
#[allow(unused_imports, reason = "each test uses its own part")]
pub(crate) use self::printed::{printed, printed_error};
#[allow(unused_imports, reason = "each test uses its own part")]
pub(crate) use self::refusals::{NAMED, PRIVATE, Refused, WANTED, every_refusal, outage, role};
#[allow(unused_imports, reason = "each test uses its own part")]
pub(crate) use self::wait::{ready, settle, until};

pub(crate) const RESOURCE: &str = "https://rs.example";
pub(crate) const ISSUER: &str = "https://as.example";

/// A configuration that lacks only its issuers and their network.
pub(crate) fn builder(clock: &ManualClock) -> ServerBuilder {
    ResourceServer::builder(RESOURCE)
        .binding(Binding::WhereBound)
        .class(TokenClass::default_at_most(Duration::from_hours(1)))
        .clock(clock.clone())
}

/// One issuer, its network, and a server that has its keys.
pub(crate) struct World {
    pub(crate) clock: ManualClock,
    pub(crate) issuer: TestIssuer,
    pub(crate) network: TestNetwork,
    pub(crate) api: ResourceServer,
}

impl World {
    /// An issuer with one ES256 key.
    pub(crate) async fn new() -> Self {
        Self::with(Algorithm::Es256, |builder| builder).await
    }

    /// An issuer with one key of this algorithm, and a server with these settings.
    pub(crate) async fn with(
        algorithm: Algorithm,
        settings: impl FnOnce(ServerBuilder) -> ServerBuilder,
    ) -> Self {
        let clock = ManualClock::new();
        let issuer = TestIssuer::with_algorithm(ISSUER, &clock, algorithm);
        let network = TestNetwork::of(&[&issuer]);
        let api = settings(builder(&clock).issuer(issuer.jwks()))
            .transport(network.clone())
            .build()
            .unwrap();
        api.warm_up().await.unwrap();
        Self { clock, issuer, network, api }
    }

    /// A good token.
    pub(crate) fn token(&self) -> TokenBuilder {
        self.issuer.token(RESOURCE)
    }

    pub(crate) async fn check(&self, rows: impl IntoIterator<Item = Row>) {
        check_rows(&self.api, rows).await;
    }
}

/// What a request got, and what the inner service saw of it.
pub(crate) struct Sent {
    pub(crate) response: Response<String>,
    pub(crate) seen: Option<Request<String>>,
}

impl Sent {
    pub(crate) fn passed(&self) -> bool {
        self.seen.is_some()
    }

    pub(crate) fn access(&self) -> Option<&Access> {
        self.seen.as_ref()?.extensions().get()
    }

    pub(crate) fn kind(&self) -> Option<RejectionKind> {
        Some(self.response.extensions().get::<Rejection>()?.kind())
    }

    /// The `error` of the challenge.
    pub(crate) fn error(&self) -> Option<String> {
        let challenges = challenges(self.response.headers());
        Some(challenges.first()?.param("error")?.to_owned())
    }
}

/// Sends a request through a layer to a service that answers 200 `inner`.
pub(crate) async fn send<F>(layer: &ProtectLayer<F>, request: Request<String>) -> Sent
where
    F: RefusalStyle<String>,
{
    let seen = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&seen);
    let inner = service_fn(move |request: Request<String>| {
        *keep.lock().unwrap() = Some(request);
        async { Ok::<_, Infallible>(Response::new("inner".to_owned())) }
    });
    let response = layer.layer(inner).oneshot(request).await.unwrap();
    let seen = seen.lock().unwrap().take();
    Sent { response, seen }
}

/// A request without credentials.
pub(crate) fn anonymous() -> Request<String> {
    Request::get("/notes").body(String::new()).unwrap()
}

/// A request with this field.
pub(crate) fn with_field(name: &str, value: impl AsRef<[u8]>) -> Request<String> {
    let mut request = anonymous();
    let name: HeaderName = name.parse().unwrap();
    let value = HeaderValue::from_bytes(value.as_ref()).unwrap();
    request.headers_mut().insert(name, value);
    request
}

/// A request with this token.
pub(crate) fn bearer(token: &str) -> Request<String> {
    with_field(AUTHORIZATION.as_str(), format!("Bearer {token}"))
}

/// What a token gets, by the server's own policy.
pub(crate) async fn present(api: &ResourceServer, token: &str) -> Result<Access, Rejection> {
    let (parts, _) = bearer(token).into_parts();
    api.verify(&parts).await
}

/// What a row expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    Pass,
    Refusal(RejectionKind),
}

impl From<RejectionKind> for Wants {
    fn from(kind: RejectionKind) -> Self {
        Self::Refusal(kind)
    }
}

/// One token and what it gets.
pub(crate) struct Row {
    /// The requirements that want it so.
    pub(crate) id: &'static str,
    pub(crate) name: String,
    pub(crate) token: String,
    pub(crate) wants: Wants,
}

pub(crate) fn row(
    id: &'static str,
    name: impl Into<String>,
    token: impl Into<String>,
    wants: impl Into<Wants>,
) -> Row {
    Row { id, name: name.into(), token: token.into(), wants: wants.into() }
}

/// Sends every row through the layer. It reports all rows that got something else.
pub(crate) async fn check_rows(api: &ResourceServer, rows: impl IntoIterator<Item = Row>) {
    let layer = api.layer();
    let mut wrong = Vec::new();
    let (mut passes, mut refusals) = (0, 0);
    for row in rows {
        let sent = send(&layer, bearer(&row.token)).await;
        let found = match sent.kind() {
            None => Wants::Pass,
            Some(kind) => Wants::Refusal(kind),
        };
        match row.wants {
            Wants::Pass => passes += 1,
            Wants::Refusal(_) => refusals += 1,
        }
        if found != row.wants {
            wrong.push(format!("{} {}: wanted {:?}, found {found:?}", row.id, row.name, row.wants));
            continue;
        }
        match found {
            Wants::Pass => {
                assert!(sent.access().is_some(), "{}: no Access", row.name);
                assert_eq!(sent.response.status(), 200, "{}", row.name);
            }
            Wants::Refusal(kind) => {
                assert!(!sent.passed(), "{}: the inner service was called", row.name);
                let (status, error) = told(kind);
                assert_eq!(sent.response.status(), status, "{}", row.name);
                assert_eq!(sent.error().as_deref(), error, "{}", row.name);
                let retry = sent.response.headers().contains_key(RETRY_AFTER);
                assert_eq!(retry, status == 503, "{}", row.name);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        passes > 0 && refusals > 0,
        "a table needs rows that pass ({passes}) and rows that do not ({refusals})"
    );
}

/// The status and the `error` that a client is told, as RFC 6750 §3.1 has them.
pub(crate) fn told(kind: RejectionKind) -> (u16, Option<&'static str>) {
    match kind {
        RejectionKind::NoCredentials | RejectionKind::UnsupportedScheme => (401, None),
        RejectionKind::SeveralCredentials
        | RejectionKind::MalformedCredentials
        | RejectionKind::TokenTooLong => (400, Some("invalid_request")),
        RejectionKind::InsufficientScope => (403, Some("insufficient_scope")),
        RejectionKind::InsufficientAuthentication | RejectionKind::StepUpDemanded => {
            (401, Some("insufficient_user_authentication"))
        }
        RejectionKind::KeysUnavailable
        | RejectionKind::IssuerUnavailable
        | RejectionKind::ReplayUnavailable
        | RejectionKind::RevocationUnavailable
        | RejectionKind::IntrospectionUnavailable
        | RejectionKind::DecryptionUnavailable
        | RejectionKind::VerificationOverloaded
        | RejectionKind::CheckUnavailable => (503, None),
        RejectionKind::ProofMissing
        | RejectionKind::SeveralProofs
        | RejectionKind::ProofMalformed
        | RejectionKind::ProofAlgorithm
        | RejectionKind::ProofKey
        | RejectionKind::ProofSignature
        | RejectionKind::ProofMethod
        | RejectionKind::ProofUri
        | RejectionKind::ProofNotFresh
        | RejectionKind::ProofToken
        | RejectionKind::ProofReplayed => (401, Some("invalid_dpop_proof")),
        RejectionKind::NonceMissing | RejectionKind::NonceNotAccepted => {
            (401, Some("use_dpop_nonce"))
        }
        RejectionKind::Misconfigured => (500, None),
        _ => (401, Some("invalid_token")),
    }
}

/// Every value of these fields, as bytes.
pub(crate) fn field_bytes(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}

/// What anybody can send: a token of the issuer with this `kid`, signed by nobody.
pub(crate) fn junk(issuer: &TestIssuer, kid: &str) -> String {
    compact(&issuer.token(RESOURCE).header("kid", kid).signing_input(), [0; 64])
}

/// A compact JWS of this length, to the octet: `sign` makes one of so much more in its header, and so much
/// in its payload. The one alone cannot have every length.
pub(crate) fn of_length(length: usize, sign: impl Fn(usize, usize) -> String) -> String {
    // Three octets are four characters.
    let missing = length.checked_sub(sign(0, 0).len()).expect("a shorter one");
    let near = missing / 4 * 3;
    let payloads = near.saturating_sub(3)..near + 4;
    let pairs = (0..4).flat_map(|header| payloads.clone().map(move |payload| (header, payload)));
    let mut all = pairs.map(|(header, payload)| sign(header, payload));
    all.find(|jws| jws.len() == length).expect("a JWS of this length")
}
