//! A request for every kind of refusal.

use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};
use portcullis::certificate::{ChainCheck, PeerCertificate};
use portcullis::check::{Check, CheckContext, CheckError, Denial, Unavailable, acr, all_scopes};
use portcullis::introspection::{ClientAuth, Introspection};
use portcullis::issuer::{IssuerResolver, OptionalClaim, TokenProfile, Trust};
use portcullis::jose::Algorithm;
use portcullis::layer::ProtectLayer;
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
    TestIntrospection, TestIssuer, TestKey, TestNetwork, TestStatusList,
};
use portcullis::{
    Binding, Dpop, FirstVerifications, Issuer, Mtls, Policy, RejectionKind, ServerBuilder,
    TokenClass,
};
use serde_json::json;

use super::{ISSUER, RESOURCE, anonymous, bearer, builder, with_field};

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
