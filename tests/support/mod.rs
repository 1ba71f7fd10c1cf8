//! What the tests of a decision share: one resource, its issuers, and rows of tokens.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and each test uses its own part"
)]

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RsaEncoding, RsaKeyPair};
use base64::Engine as _;
use http::header::{AUTHORIZATION, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use portcullis::certificate::{ChainCheck, PeerCertificate};
use portcullis::check::{Check, CheckContext, CheckError, Denial, Unavailable, acr, all_scopes};
use portcullis::introspection::{ClientAuth, Introspection};
use portcullis::issuer::{IssuerResolver, OptionalClaim, TokenProfile, Trust};
use portcullis::jose::{Algorithm, base64url};
use portcullis::layer::{ProtectLayer, RefusalStyle};
use portcullis::revocation::{
    Claim, Claims, Effect, Hold, Record, Revocation, RevocationSource, Running, Source,
    SourceHandle, StatusLists, Target,
};
use portcullis::sender::{
    MemoryReplayStore, Nonces, ReplayAnswer, ReplayEntry, ReplayError, ReplayErrorKind,
    ReplayStore, Sighting, Used,
};
use portcullis::testing::{
    ClientKey, Failure, HeldVerifications, ManualClock, TestAccess, TestCertificate,
    TestIntrospection, TestIssuer, TestKey, TestNetwork, TestStatusList, TokenBuilder, challenges,
};
use portcullis::{
    Access, Binding, Dpop, FirstVerifications, Issuer, Mtls, Policy, Rejection, RejectionKind,
    ResourceServer, ServerBuilder, TokenClass,
};
use rsa::pkcs8::DecodePrivateKey as _;
use serde_json::{Value, json};
use tower::{Layer as _, ServiceExt as _, service_fn};

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

/// A compact JWS of what is signed and a signature.
pub(crate) fn compact(signing_input: &str, signature: impl AsRef<[u8]>) -> String {
    format!("{signing_input}.{}", base64url::encode(signature))
}

/// An RSA key pair that signs with every RSA algorithm.
pub(crate) struct RsaPair(RsaKeyPair);

impl RsaPair {
    pub(crate) fn generate() -> Self {
        Self(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    /// The public JWK, with nothing but these members.
    pub(crate) fn jwk(&self, kid: &str, alg: Option<&str>) -> Value {
        let public = self.0.public_key();
        let mut jwk = json!({
            "kty": "RSA",
            "kid": kid,
            "n": base64url::encode(public.modulus().big_endian_without_leading_zero()),
            "e": base64url::encode(public.exponent().big_endian_without_leading_zero()),
        });
        if let Some(alg) = alg {
            jwk["alg"] = json!(alg);
        }
        jwk
    }

    /// `SubjectPublicKeyInfo`.
    pub(crate) fn spki(&self) -> Vec<u8> {
        let der: PublicKeyX509Der<'_> = self.0.public_key().as_der().unwrap();
        der.as_ref().to_vec()
    }

    /// `RSAPublicKey`.
    pub(crate) fn pkcs1(&self) -> Vec<u8> {
        self.0.public_key().as_ref().to_vec()
    }

    pub(crate) fn modulus(&self) -> Vec<u8> {
        let modulus = self.0.public_key().modulus();
        modulus.big_endian_without_leading_zero().to_vec()
    }

    /// The token, its header naming `alg`, signed with `encoding`.
    pub(crate) fn sign(
        &self,
        token: TokenBuilder,
        alg: &str,
        encoding: &'static dyn RsaEncoding,
    ) -> String {
        let input = token.header("alg", alg).signing_input();
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign(encoding, &SystemRandom::new(), input.as_bytes(), &mut signature).unwrap();
        compact(&input, signature)
    }

    /// The same key for signatures that no JWS algorithm has.
    pub(crate) fn private(&self) -> rsa::RsaPrivateKey {
        let der: Pkcs8V1Der<'_> = self.0.as_der().unwrap();
        rsa::RsaPrivateKey::from_pkcs8_der(der.as_ref()).unwrap()
    }
}

/// Randomness for the RustCrypto crates.
pub(crate) struct Random;

impl rsa::rand_core::RngCore for Random {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        aws_lc_rs::rand::fill(bytes).unwrap();
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rsa::rand_core::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl rsa::rand_core::CryptoRng for Random {}

/// In every claim of [`every_refusal`] that says whom a token is about, and in its scope.
pub(crate) const PRIVATE: &str = "zQ7PrivateMarker";
/// In everything of a request that names what was wrong with it: `kid`, `typ`, `iss`, `aud`.
pub(crate) const NAMED: &str = "zQ7NamedMarker";

/// A request that is refused for one reason.
pub(crate) struct Refused {
    pub(crate) kind: RejectionKind,
    pub(crate) layer: ProtectLayer,
    pub(crate) request: Request<String>,
    /// What it presents as a token, if anything.
    pub(crate) token: Option<String>,
}

/// The scopes that the policy of [`every_refusal`] wants.
pub(crate) const WANTED: [&str; 2] = ["notes:read", "notes:write"];

/// A request for every [`RejectionKind`], to a server with these settings.
pub(crate) async fn every_refusal(
    settings: impl Fn(ServerBuilder) -> ServerBuilder,
) -> Vec<Refused> {
    use RejectionKind as Kind;
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let client = ClientKey::generate(Algorithm::Es256, &clock);
    let certificate = TestCertificate::named("client").self_signed();
    let untold = TestIssuer::new("https://untold.example", &clock);
    let twice = TestIssuer::new("https://twice.example", &clock);
    twice.add_key(TestKey::generate(Algorithm::Es256, "k1"));
    let down = TestIssuer::new("https://down.example", &clock);
    let listed = TestIssuer::new("https://listed.example", &clock);
    let list = TestStatusList::new("https://listed.example/lists/1", &listed, &clock);
    let silent = TestIssuer::new("https://silent.example", &clock);
    let asked = TestIssuer::new("https://asked.example", &clock);
    let silenced = TestIssuer::new("https://silenced.example", &clock);
    let [endpoint, broken] = [&asked, &silenced].map(|one| TestIntrospection::of(one, &clock));
    broken.fail(Failure::Connection);
    let introspection = |kit: &TestIntrospection, issuer: &TestIssuer, prefix: &str| {
        Introspection::at(issuer.id(), kit.url())
            .client(ClientAuth::insecure_unauthenticated())
            .prefix(format!("{prefix}_"))
    };
    let known = Revocation::new()
        .status_lists(StatusLists::new().issuers([listed.id()]).require())
        .source(Source::own("silent", Broken).speaks_for([silent.id()]));
    down.fail(Failure::Connection);
    let api = settings(builder(&clock))
        .issuer(issuer.jwks())
        .issuer(twice.jwks())
        .issuer(down.jwks())
        .issuer(listed.fixed_keys())
        .issuer(silent.fixed_keys())
        .revocation(known)
        .issuer(untold.fixed_keys().profile(TokenProfile::relaxed().may_lack(OptionalClaim::JwtId)))
        .issuer(Issuer::opaque(asked.id()))
        .issuer(Issuer::opaque(silenced.id()))
        .introspection(introspection(&endpoint, &asked, "asked"))
        .introspection(introspection(&broken, &silenced, "silenced"))
        .tenants(UnsureOf("https://unsure.example"), 1)
        .class(TokenClass::named("old").scopes(["old"]).max_age(Duration::from_mins(2)))
        .class(TokenClass::named("agents").scopes(["agent"]).binding(Binding::Either))
        .dpop(Dpop::new().nonces(Nonces::optional()))
        .mtls(Mtls::direct())
        .replay_store(PickyStore::default())
        .transport(
            TestNetwork::of(&[&issuer, &twice, &down])
                .with_list(&list)
                .with_introspection(&endpoint)
                .with_introspection(&broken),
        )
        .build()
        .unwrap();
    let failures = api.warm_up().await.unwrap_err();
    assert_eq!(failures.failures().len(), 1);
    assert_eq!(failures.revocation_sources().len(), 1);

    let layer = api.protect(all_scopes(WANTED));
    let marked = |issuer: &TestIssuer| {
        issuer
            .token(RESOURCE)
            .subject(&format!("{PRIVATE}-sub"))
            .client_id(&format!("{PRIVATE}-client"))
            .claim("jti", format!("{PRIVATE}-jti"))
            .claim("email", format!("{PRIVATE}@mail.example"))
            .scope(&format!("notes:read notes:write {PRIVATE}-scope"))
    };
    let now = portcullis::time::Clock::now(&clock);
    let minutes = Duration::from_mins;
    let elsewhere = format!("https://{NAMED}.example");
    let session = |name: &str| Claims::one(Claim::Session, name);
    let about =
        |name: &str, effect| Record::new(ISSUER, Target::Claims(session(name)), effect, now);
    let jti = format!("{PRIVATE}-revoked");
    let records = [
        Record::token(ISSUER, jti.as_str(), now),
        about("held", Effect::Hold(Hold::Account)),
        about("weak", Effect::StepUp),
    ];
    api.revocations().revoke_all(records).await.unwrap();
    let elsewhere_listed = json!({"status_list": {"idx": 0, "uri": format!("{elsewhere}/list")}});
    let tokens = [
        (Kind::OpaqueToken, format!("{PRIVATE}-opaque")),
        (Kind::Inactive, format!("asked_{PRIVATE}-and-unknown")),
        (Kind::IntrospectionUnavailable, format!("silenced_{PRIVATE}")),
        (Kind::EncryptedToken, format!("{}.e.e", marked(&issuer).sign())),
        (Kind::MalformedToken, format!("{}.x", marked(&issuer).signing_input())),
        (Kind::UnsupportedHeader, marked(&issuer).header("crit", [NAMED]).sign()),
        (Kind::WrongType, marked(&issuer).header("typ", NAMED).sign()),
        (Kind::AlgorithmNotAllowed, marked(&issuer).header("alg", NAMED).sign()),
        (Kind::UnknownIssuer, marked(&issuer).claim("iss", &elsewhere).sign()),
        (Kind::UnknownKey, marked(&issuer).header("kid", NAMED).sign()),
        (Kind::AmbiguousKey, marked(&twice).sign()),
        (Kind::KeysUnavailable, marked(&down).sign()),
        (Kind::BadSignature, marked(&issuer).tampered()),
        (Kind::MissingClaim, marked(&issuer).without("jti").sign()),
        (Kind::MalformedClaim, marked(&issuer).claim("exp", NAMED).sign()),
        (Kind::OtherTokenKind, marked(&issuer).claim("events", json!({NAMED: {}})).sign()),
        (Kind::WrongAudience, marked(&issuer).claim("aud", &elsewhere).sign()),
        (
            Kind::Expired,
            marked(&issuer)
                .issued_at(now.minus(minutes(10)))
                .expires_at(now.minus(minutes(5)))
                .sign(),
        ),
        (Kind::NotYetValid, marked(&issuer).claim("nbf", now.plus(minutes(1)).as_secs()).sign()),
        (Kind::IssuedInFuture, marked(&issuer).issued_at(now.plus(minutes(1))).sign()),
        (Kind::LifetimeTooLong, marked(&issuer).expires_at(now.plus(minutes(61))).sign()),
        (Kind::IssuerUnavailable, marked(&issuer).claim("iss", "https://unsure.example").sign()),
        (Kind::TooOld, marked(&issuer).scope("old").issued_at(now.minus(minutes(3))).sign()),
        (Kind::NotBound, marked(&issuer).scope("agent").sign()),
        (Kind::SenderNotProven, marked(&issuer).claim("cnf", json!({"jkt": NAMED})).sign()),
        (Kind::BearerDowngrade, marked(&issuer).claim("cnf", client.confirmation()).sign()),
        (Kind::CertificateMissing, marked(&issuer).claim("cnf", certificate.confirmation()).sign()),
        (Kind::Revoked, marked(&issuer).claim("jti", &jti).sign()),
        (Kind::Suspended, marked(&issuer).claim("sid", "held").sign()),
        (Kind::StepUpDemanded, marked(&issuer).claim("sid", "weak").sign()),
        (Kind::StatusMissing, marked(&listed).sign()),
        (Kind::StatusIndex, marked(&listed).claim("status", list.reference(1_024)).sign()),
        (Kind::StatusUri, marked(&listed).claim("status", elsewhere_listed).sign()),
        (Kind::RevocationUnavailable, marked(&silent).sign()),
        (
            Kind::InsufficientScope,
            marked(&issuer).scope(&format!("notes:read {PRIVATE}-scope")).sign(),
        ),
    ];
    let mut refused: Vec<Refused> = tokens
        .into_iter()
        .map(|(kind, token)| Refused {
            kind,
            layer: layer.clone(),
            request: bearer(&token),
            token: Some(token),
        })
        .collect();

    let good = marked(&issuer).sign();
    let field = |kind, fields: &[String]| {
        let mut request = anonymous();
        for field in fields {
            let field = HeaderValue::try_from(field).unwrap();
            request.headers_mut().append(AUTHORIZATION, field);
        }
        Refused {
            kind,
            layer: layer.clone(),
            request,
            token: (!fields.is_empty()).then(|| good.clone()),
        }
    };
    let with_good = format!("Bearer {good}");
    refused.push(field(Kind::NoCredentials, &[]));
    refused.push(field(Kind::UnsupportedScheme, &[format!("Basic {good}")]));
    refused.push(field(Kind::SeveralCredentials, &[with_good.clone(), with_good.clone()]));
    refused.push(field(Kind::MalformedCredentials, &[format!("{with_good},{NAMED}")]));
    let long = format!("{with_good}{}", NAMED.repeat(1_500));
    refused.push(field(Kind::TokenTooLong, &[long]));

    // The token is bound to a key, and the proof is wrong in one thing.
    let bound = marked(&issuer).claim("cnf", client.confirmation()).sign();
    let proof = || {
        client
            .proof("GET", &format!("{RESOURCE}/{NAMED}"))
            .token(&bound)
            .claim("jti", format!("{PRIVATE}-proof"))
    };
    let dpop = |kind, token: &str, proofs: &[String]| {
        let mut request = with_field("authorization", format!("DPoP {token}"));
        for proof in proofs {
            let proof = HeaderValue::try_from(proof).unwrap();
            request.headers_mut().append("dpop", proof);
        }
        Refused { kind, layer: layer.clone(), request, token: Some(token.to_owned()) }
    };
    let one = |kind, proof: String| dpop(kind, &bound, &[proof]);
    let other_key = ClientKey::generate(Algorithm::Es256, &clock);
    let private = {
        let mut jwk = client.public_jwk();
        jwk["d"] = json!(PRIVATE);
        jwk
    };
    refused.push(dpop(Kind::UnboundUnderDpop, &good, &[proof().token(&good).sign()]));
    refused.push(dpop(Kind::ProofMissing, &bound, &[]));
    refused.push(dpop(Kind::SeveralProofs, &bound, &[proof().sign(), proof().sign()]));
    refused.push(one(Kind::ProofMalformed, proof().without("jti").sign()));
    refused.push(one(Kind::ProofAlgorithm, proof().header("alg", NAMED).sign()));
    refused.push(one(Kind::ProofKey, proof().jwk(private).sign()));
    refused.push(one(Kind::ProofSignature, proof().tampered()));
    refused.push(one(Kind::ProofMethod, proof().claim("htm", NAMED).sign()));
    refused.push(one(Kind::ProofUri, proof().claim("htu", &elsewhere).sign()));
    refused.push(one(Kind::ProofNotFresh, proof().issued_at(now.minus(minutes(10))).sign()));
    refused.push(one(Kind::ProofToken, proof().token(&good).sign()));
    refused.push(one(Kind::NonceNotAccepted, proof().nonce(NAMED).sign()));
    refused.push(one(Kind::ProofReplayed, proof().claim("jti", PickyStore::SEEN).sign()));
    refused.push(one(Kind::ReplayUnavailable, proof().claim("jti", PickyStore::DOWN).sign()));
    refused
        .push(one(Kind::OtherKey, proof().jwk(other_key.public_jwk()).sign_with(other_key.key())));
    let mut nonce_missing = one(Kind::NonceMissing, proof().sign());
    nonce_missing.layer = api.protect(Policy::new(all_scopes(WANTED)).require_nonce());
    refused.push(nonce_missing);
    let with_certificate = marked(&issuer).claim("cnf", certificate.confirmation()).sign();
    let mut other_certificate = bearer(&with_certificate);
    let presented = TestCertificate::named(NAMED).self_signed().certificate();
    let presented = PeerCertificate::new(presented, ChainCheck::Unchecked);
    other_certificate.extensions_mut().insert(presented);
    refused.push(Refused {
        kind: Kind::OtherCertificate,
        layer: layer.clone(),
        request: other_certificate,
        token: Some(with_certificate),
    });
    let once = |kind, token: String| {
        let layer = api.protect(Policy::new(all_scopes(WANTED)).single_use());
        Refused { kind, layer, request: bearer(&token), token: Some(token) }
    };
    refused.push(once(Kind::TokenUsed, marked(&issuer).claim("jti", PickyStore::SEEN).sign()));
    refused.push(once(Kind::NoTokenId, marked(&untold).without("jti").sign()));

    let asked =
        |kind, layer| Refused { kind, layer, request: bearer(&good), token: Some(good.clone()) };
    refused.push(asked(Kind::NotAccepted, api.protect(unknown_subject)));
    refused.push(asked(Kind::CheckUnavailable, api.protect(outage)));
    let strong = all_scopes(WANTED).and(acr(["phr"]));
    refused.push(asked(Kind::InsufficientAuthentication, api.protect(strong)));
    let mut nested = asked(Kind::Misconfigured, layer.clone());
    nested.request.extensions_mut().insert(TestAccess::new().build());
    refused.push(nested);

    refused.extend(every_refusal_of_an_envelope(&settings));
    refused.push(refusal_of_a_busy_server(&settings));

    for case in &mut refused {
        let (mut parts, body) = std::mem::take(&mut case.request).into_parts();
        parts.uri = format!("/{NAMED}?q={NAMED}").parse().unwrap();
        let marker = HeaderValue::from_static(NAMED);
        parts.headers.insert("x-forwarded-host", marker);
        case.request = Request::from_parts(parts, body);
    }
    let is_there = |kind: &Kind| refused.iter().any(|case| case.kind == *kind);
    let is_reached = |kind: &Kind| cfg!(feature = "jwe") || !OF_ENVELOPES.contains(kind);
    let missing: Vec<_> =
        Kind::ALL.iter().filter(|kind| !is_there(kind) && is_reached(kind)).collect();
    assert!(missing.is_empty(), "no refusal for {missing:?}");
    refused
}

/// A request to a server of which every first verification is taken, and nobody may wait.
fn refusal_of_a_busy_server(settings: &impl Fn(ServerBuilder) -> ServerBuilder) -> Refused {
    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let api = settings(builder(&clock))
        .issuer(issuer.fixed_keys())
        .dpop(Dpop::new())
        .first_verifications(FirstVerifications::new().queue_at_most(0))
        .transport(TestNetwork::of(&[&issuer]))
        .build()
        .unwrap();
    // For as long as the server lives.
    std::mem::forget(HeldVerifications::of(&api));
    let token = issuer.token(RESOURCE).subject(&format!("{PRIVATE}-sub")).sign();
    let (layer, request) = (api.protect(all_scopes(WANTED)), bearer(&token));
    Refused { kind: RejectionKind::VerificationOverloaded, layer, request, token: Some(token) }
}

/// The kinds that only a server gives that decrypts tokens.
const OF_ENVELOPES: [RejectionKind; 4] = [
    RejectionKind::EncryptionNotAccepted,
    RejectionKind::Undecryptable,
    RejectionKind::DecryptionUnavailable,
    RejectionKind::NotEncrypted,
];

/// Without the feature `jwe` no server decrypts.
#[cfg(not(feature = "jwe"))]
fn every_refusal_of_an_envelope(
    _: &impl Fn(ServerBuilder) -> ServerBuilder,
) -> impl Iterator<Item = Refused> {
    std::iter::empty()
}

/// A request for each kind of [`OF_ENVELOPES`].
#[cfg(feature = "jwe")]
fn every_refusal_of_an_envelope(
    settings: &impl Fn(ServerBuilder) -> ServerBuilder,
) -> impl Iterator<Item = Refused> {
    use portcullis::jwe::{ContentEncryption, Decryption, KeyManagement};
    use portcullis::testing::TestDecryptionKey;

    let clock = ManualClock::new();
    let issuer = TestIssuer::new(ISSUER, &clock);
    let key = TestDecryptionKey::generate(KeyManagement::EcdhEs, "ec");
    let build = |builder: ServerBuilder| {
        let api = settings(builder)
            .issuer(issuer.fixed_keys().encrypted_only())
            .decryption(Decryption::new().key(key.decryption_key()))
            .dpop(Dpop::new())
            .transport(TestNetwork::of(&[&issuer]))
            .build()
            .unwrap();
        api.protect(all_scopes(WANTED))
    };
    let layer = build(builder(&clock));
    let hasty = build(builder(&clock).clock(Hasty(clock.clone())));
    let inner = issuer.token(RESOURCE).subject(&format!("{PRIVATE}-sub")).sign();
    let sealed = || key.encrypt(&inner, ContentEncryption::A256Gcm);
    let unknown = key.seal(&inner).header("kid", NAMED).encrypt();
    let cases = [
        (RejectionKind::EncryptionNotAccepted, &layer, unknown),
        (RejectionKind::Undecryptable, &layer, key.seal(format!("{PRIVATE}-inside")).encrypt()),
        (RejectionKind::DecryptionUnavailable, &hasty, sealed()),
        (RejectionKind::NotEncrypted, &layer, inner.clone()),
    ];
    assert_eq!(cases.each_ref().map(|(kind, ..)| *kind), OF_ENVELOPES);
    cases
        .map(|(kind, layer, token)| {
            let (layer, request) = (layer.clone(), bearer(&token));
            Refused { kind, layer, request, token: Some(token) }
        })
        .into_iter()
}

/// A clock for which every time is over as soon as it begins: nobody waits for anything.
#[cfg(feature = "jwe")]
struct Hasty(ManualClock);

#[cfg(feature = "jwe")]
impl portcullis::time::Clock for Hasty {
    fn now(&self) -> portcullis::time::Timestamp {
        self.0.now()
    }

    fn steady(&self) -> Duration {
        self.0.steady()
    }

    fn sleep(&self, _: Duration) -> portcullis::time::Sleep {
        Box::pin(std::future::ready(()))
    }
}

/// A source of revocation that never says anything.
struct Broken;

impl RevocationSource for Broken {
    fn run(&self, handle: SourceHandle) -> Running<'_> {
        handle.failed("down");
        Box::pin(std::future::pending())
    }
}

/// A replay memory that saw one `jti` before and cannot tell of another.
#[derive(Default)]
struct PickyStore(MemoryReplayStore);

impl PickyStore {
    const SEEN: &str = "zQ7PrivateMarker-seen";
    const DOWN: &str = "zQ7PrivateMarker-down";
}

impl ReplayStore for PickyStore {
    fn record(&self, entry: &ReplayEntry<'_>) -> ReplayAnswer {
        let jti = match entry.used {
            Used::Proof { jti, .. } => jti,
            Used::Token { jti } => jti.as_str(),
            _ => panic!("something new is used up"),
        };
        match jti {
            Self::SEEN => Ok(Sighting::Repeated).into(),
            Self::DOWN => {
                let kind = ReplayErrorKind::Unavailable;
                Err(ReplayError::new(kind, "the store does not answer")).into()
            }
            _ => self.0.record(entry),
        }
    }
}

/// A resolver that cannot tell of one issuer, and knows no other.
struct UnsureOf(&'static str);

impl IssuerResolver for UnsureOf {
    fn trust(&self, issuer: &str) -> Trust {
        match issuer == self.0 {
            true => Trust::Unavailable(Unavailable::new("the list of tenants is being loaded")),
            false => Trust::Unknown,
        }
    }

    fn issuer(&self, issuer: &str) -> Option<Issuer> {
        Some(Issuer::discover(issuer))
    }
}

fn unknown_subject(_: &CheckContext<'_>) -> Result<(), CheckError> {
    Err(Denial::invalid_token("no such account").into())
}

pub(crate) fn outage(_: &CheckContext<'_>) -> Result<(), CheckError> {
    Err(Unavailable::new("the directory does not answer").into())
}

/// A check that wants this in the claim `roles`.
pub(crate) fn role(wanted: &'static str) -> impl Check {
    move |request: &CheckContext<'_>| {
        #[derive(serde::Deserialize)]
        struct Roles {
            #[serde(default)]
            roles: Vec<String>,
        }
        let roles = request.access().claims::<Roles>();
        if roles.is_ok_and(|roles| roles.roles.iter().any(|role| role == wanted)) {
            Ok(())
        } else {
            Err(Denial::forbidden("the role is missing").into())
        }
    }
}

/// Every value of these fields, as bytes.
pub(crate) fn field_bytes(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> =
        (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// What somebody might mistake for a secret: a public key in the forms it is published in.
fn forms(spki: &[u8], more: Vec<(&str, Vec<u8>)>, jwk: &Value) -> Vec<(String, Vec<u8>)> {
    let pem = pem("PUBLIC KEY", spki);
    let mut pretty = jwk.clone();
    pretty["use"] = json!("sig");
    let mut forms = vec![
        ("PEM", pem.clone().into_bytes()),
        ("PEM without its last line break", pem.trim_end().into()),
        ("PEM with CRLF", pem.replace('\n', "\r\n").into_bytes()),
        ("PEM after white space", format!(" \n\t{pem}").into_bytes()),
        ("PEM after a comment", format!("# key\n{pem}").into_bytes()),
        ("PEM after a byte order mark", format!("\u{feff}{pem}").into_bytes()),
        ("PEM on one line", pem.replace('\n', "").into_bytes()),
        ("PEM as another label", pem.replace("PUBLIC KEY", "CERTIFICATE").into_bytes()),
        ("DER", spki.to_vec()),
        ("base64 of DER", base64::engine::general_purpose::STANDARD.encode(spki).into_bytes()),
        ("JWK", jwk.to_string().into_bytes()),
        ("JWK with use", pretty.to_string().into_bytes()),
        ("JWK Set", json!({"keys": [jwk]}).to_string().into_bytes()),
        ("nothing", Vec::new()),
        ("a zero octet", vec![0]),
        ("zeros", vec![0; 32]),
    ];
    forms.extend(more);
    for member in ["n", "e", "x", "y", "kid"] {
        if let Some(text) = jwk[member].as_str() {
            forms.push((member, text.into()));
            if let Ok(octets) = base64url::decode(text) {
                forms.push((member, octets));
            }
        }
    }
    forms.into_iter().map(|(name, octets)| (name.to_owned(), octets)).collect()
}

pub(crate) fn rsa_public_key_forms(rsa: &RsaPair) -> Vec<(String, Vec<u8>)> {
    let pkcs1 = rsa.pkcs1();
    let more = vec![
        ("PKCS #1 PEM", pem("RSA PUBLIC KEY", &pkcs1).into_bytes()),
        ("PKCS #1 DER", pkcs1),
        ("modulus", rsa.modulus()),
    ];
    forms(&rsa.spki(), more, &rsa.jwk("k1", Some("RS256")))
}

/// Of a P-256 key.
pub(crate) fn ec_public_key_forms(jwk: &Value) -> Vec<(String, Vec<u8>)> {
    const SPKI: &[u8] = &[
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08,
        0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ];
    let member = |name: &str| base64url::decode(jwk[name].as_str().unwrap()).unwrap();
    let point = [vec![4], member("x"), member("y")].concat();
    forms(&[SPKI, &point].concat(), vec![("point", point)], jwk)
}

/// The parts of a compact JWS.
pub(crate) fn parts(token: &str) -> [&str; 3] {
    let parts: Vec<&str> = token.split('.').collect();
    parts.try_into().unwrap()
}

/// The same octets, with a bit set that is not used.
pub(crate) fn respelled(part: &str) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    assert_ne!(part.len() % 4, 0, "no unused bits");
    let (rest, last) = part.split_at(part.len() - 1);
    let place = ALPHABET.iter().position(|c| *c == last.as_bytes()[0]).unwrap();
    format!("{rest}{}", char::from(ALPHABET[place | 1]))
}

/// Lets tasks in the background go on.
pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// What anybody can send: a token of the issuer with this `kid`, signed by nobody.
pub(crate) fn junk(issuer: &TestIssuer, kid: &str) -> String {
    compact(&issuer.token(RESOURCE).header("kid", kid).signing_input(), [0; 64])
}
