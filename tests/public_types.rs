//! What every public type can do: be shared between threads, moved and printed; and that clones of
//! what each connection gets cost nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::alloc::System;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt::Debug;
use std::fs;
use std::future::{Ready, ready};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::path::Path;
use std::time::Duration;

use http::{HeaderValue, Request, Response};
use portcullis::check::{AllowAll, allow_all};
use portcullis::issuer::TenantList;
use portcullis::layer::{Grpc, Protect};
use portcullis::testing::{TestAccess, TestIssuer};
use portcullis::time::SystemClock;
use portcullis::{Binding, Rejection, ResourceServer, TokenClass};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tower::util::ServiceFn;
use tower::{Layer as _, service_fn};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

type Inner = ServiceFn<fn(Request<String>) -> Ready<Result<Response<String>, Infallible>>>;
type Body = fn(&Rejection) -> (HeaderValue, String);

fn shared<T: Debug + Send + Sync + Unpin>() {}
fn sent<T: Debug + Send>() {}
fn printed<T: Debug>() {}
fn unwound<T: UnwindSafe + RefUnwindSafe>() {}

/// Asks a bound of each type of a module.
macro_rules! are {
    ($bound:ident, $($module:ident)::+: $($of:ty),+ $(,)?) => {{
        #[allow(unused_imports, reason = "each names some of them")]
        use $($module)::+::*;
        $($bound::<$of>();)+
    }};
}

/// It fails to compile, not to run. A type that is not here fails below.
#[rustfmt::skip]
#[test]
fn every_public_type_is_shared_sent_and_printed() {
    are!(shared, portcullis: Access, Actor, Binding, BuildError, ConfigFault, Dpop, Exception,
        FirstVerificationHealth, FirstVerifications, Guard, Issuer, KnownTokensHealth, Metadata,
        MetadataService, Mtls, OtherAudiences, Outcome, PeerAddr, Policy, Preflight, Rejection,
        RejectionKind, ResourceServer, ServerBuilder, Step, SubjectKind, TokenClass);
    are!(shared, portcullis::axum: Claims<String>, Peer<Inner>, PeerLayer);
    are!(shared, portcullis::certificate: Certificate, ChainCheck, PeerCertificate);
    are!(shared, portcullis::check: AllowAll, And<AllowAll, AllowAll>, AnyActor,
        AuthorizationDetail<'static>, CheckContext<'static>, CheckError, CheckRequest, ClaimAt,
        ClaimPath, ClientPeers, ClientTable, Denial, DenialKind, Needs, NoActor,
        Or<AllowAll, AllowAll>, RequireActor, RequireClaim, RequireClient, RequireClientPeer,
        RequireDetail, RequireIssuer, RequirePeer, RequireScope, RequireSpiffeId, RequireStepUp,
        RequireSubject, RequireSubjectKind, StepUp, Unavailable);
    are!(shared, portcullis::config: ServerConfig);
    are!(shared, portcullis::credentials: Credentials<'static>, CredentialsError,
        RequestHead<'static>);
    are!(shared, portcullis::introspection: AnswerGap, ClientAuth, DangerousIntrospection,
        EndpointState, Introspection, IntrospectionHealth);
    are!(shared, portcullis::issuer: ClaimTest, DangerousIssuer, DangerousProfile, IssuerHealth,
        KeyFetchError, KeyRefresh, KeyState, MetadataError, OptionalClaim, TenantList,
        TokenProfile, Trust, WarmUpError);
    are!(shared, portcullis::jose: Algorithm, BadSignature, ClaimError, ClaimsSet<'static>,
        Compact<'static>, CompactError, Header<'static>, HeaderError, JwkSet, JwkSetError,
        KeyChoiceError, KeyFault, KeyShape, PublicKey, UnusableKey);
    are!(shared, portcullis::jose::base64url: Base64UrlError);
    are!(shared, portcullis::jose::json: JsonError, Object<'static>, Value<'static>);
    #[cfg(feature = "jwe")]
    are!(shared, portcullis::jwe: ContentEncryption, DecryptError, Decryption, DecryptionKey,
        Decryptor, HeaderFault, KeyManagement, PrivateKeyText);
    are!(shared, portcullis::layer: BodyFn<Body>, EmptyBody, Grpc, Protect<Inner>,
        Protect<Inner, Grpc>, ProtectLayer, Require<Inner, AllowAll>, RequireLayer<AllowAll>);
    are!(shared, portcullis::name: Audience, ClientId, IssuerId, JwtId, KeyId, LoopbackHttp,
        NameError, Resource, Scheme, Scope, Subject, Thumbprint);
    are!(shared, portcullis::observe: ChannelObserver, DecidedBy, Decision<'static>,
        DecisionOutcome, DecisionReceiver, DecisionRecord, ExceptionStatus<'static>,
        MetricsObserver, SenderBinding, SourceEvent<'static>, SourceEventKind<'static>, TokenHash);
    are!(shared, portcullis::revocation: Applied, ApplyError, AssuranceAction, AssuranceChange,
        AuthorizationValue, Batch, Claim, Claims, Compliance, CredentialChange,
        DangerousEventStream, DangerousJsonFeed, DangerousStatusLists, Effect, EventKind,
        EventReceiver, EventStream, ExpectedStatusList<'static>, FeedDocument, FeedError, Hold,
        Inserted, Journal, JournalError, JsonFeed, OnStale, Poll, Purged, Push, Record, Revocation,
        Revocations, RevokeError, RevokeOnDrop, RevokedTokens, RiskAction, RiskLevel,
        SecurityEvent, SecurityEventToken<'static>, SetError, SetErrorCode, SetRules,
        SignedStatusList, Source, SourceHandle, SourceHealth, SourceKind, SourceState,
        StatusAction, StatusList, StatusListError, StatusListHealth, StatusListToken<'static>,
        StatusLists, StreamStatus, SubjectId, Subjects, Target, TokenFingerprint, Verification,
        WhenFull);
    are!(shared, portcullis::rustls: ClientCertificates, HandshakeError, HandshakeErrorKind,
        PeerInfo, PeerService<Inner>, ServerCertificate, TlsAcceptor,
        TlsConnection<tokio::net::TcpStream>, TlsFault);
    are!(shared, portcullis::secret: Secret, SecretError, SecretSource);
    are!(shared, portcullis::sender: ForwardedCertificate, ForwardedError, ForwardedOrigin,
        MemoryReplayStore, NonceUse, NonceVerdict, Nonces, OriginalUri, Proof, ProofError,
        ProofErrorKind, ProofRules, PublicOrigin, ReplayEntry<'static>, ReplayError,
        ReplayErrorKind, ReplayHealth, Sighting, SpiffeId, SpiffePattern, SvidError, TargetUri,
        TargetUriError, TrustBundle, TrustedPeers, Used<'static>, XfccElement<'static>);
    are!(shared, portcullis::testing: Challenge, ClientKey, Failure, HeldVerifications,
        IntrospectionFailure, KeyUsage, ManualClock, ProofBuilder, TestAccess, TestCertificate,
        TestCertificateBuilder, TestIntrospection, TestIntrospectionRequest, TestIssuer, TestKey,
        TestNetwork, TestStatusList, TestTransmitter, TokenBuilder);
    #[cfg(feature = "jwe")]
    are!(shared, portcullis::testing: EnvelopeBuilder<'static>, TestDecryptionKey);
    are!(shared, portcullis::time: Moment, SystemClock, Timestamp);
    are!(shared, portcullis::transport: FetchError, FetchErrorKind, FetchLimits, ReqwestTransport,
        ReqwestTransportBuilder);

    // A future is polled by one thread at a time, and so is what waits for connections.
    are!(sent, portcullis::layer: ProtectFuture<Inner, EmptyBody, String>,
        RequireFuture<Ready<()>, String>);
    are!(sent, portcullis::sender: ReplayAnswer);
    are!(sent, portcullis::rustls: TlsListener);
    // They hold a closure of whoever calls, until the call ends.
    are!(printed, portcullis::sender: ExpectedProof<'static>, NonceDemand<'static>);

    // Data: it holds no code of others that a panic could leave half done.
    are!(unwound, portcullis: Binding, BuildError, ConfigFault, Exception, Outcome, RejectionKind,
        Step, SubjectKind, TokenClass);
    are!(unwound, portcullis::check: CheckError, Denial, RequireScope, StepUp, Unavailable);
    are!(unwound, portcullis::name: Audience, ClientId, IssuerId, JwtId, KeyId, NameError,
        Resource, Scope, Subject, Thumbprint);
    are!(unwound, portcullis::observe: DecisionRecord, TokenHash);
    are!(unwound, portcullis::revocation: Batch, OnStale, Record, SourceHealth);
    are!(unwound, portcullis::secret: Secret, SecretSource);
    are!(unwound, portcullis::sender: ReplayError, ReplayHealth);
    are!(unwound, portcullis::time: Moment, Timestamp);
}

/// A type that is added to the crate is added to the list.
#[test]
fn no_public_type_is_missing_from_the_list() {
    let code = source();
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join(file!());
    let own = fs::read_to_string(own).unwrap();
    let list = own.split("fn every_public_type").nth(1).unwrap();
    let list = list.split("/// A type that is added").next().unwrap();
    let listed: BTreeSet<_> = list
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    let declared = declared(&code);
    let missing: Vec<_> = declared.iter().filter(|name| !listed.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(declared.len() > 250, "the types were found: {}", declared.len());
}

/// Asks an enumeration for its name, its labels and how many variants its list has.
macro_rules! labels {
    ($($module:ident)::+: $($name:ident),+) => {{
        use $($module)::+::*;
        vec![$({
            let labels = $name::ALL.iter().map(|one| one.as_str().to_owned());
            (stringify!($name), labels.collect::<BTreeSet<String>>(), $name::ALL.len())
        }),+]
    }};
}

/// The enumerations with a list of all their variants.
#[rustfmt::skip]
fn labelled() -> Vec<(&'static str, BTreeSet<String>, usize)> {
    [
        labels!(portcullis: Binding, RejectionKind, SubjectKind),
        labels!(portcullis::introspection: AnswerGap, EndpointState),
        labels!(portcullis::issuer: KeyState, OptionalClaim),
        labels!(portcullis::observe: DecidedBy, DecisionOutcome, SenderBinding),
        labels!(portcullis::revocation: Hold, SetErrorCode, SourceState),
        labels!(portcullis::rustls: HandshakeErrorKind),
        labels!(portcullis::sender: ReplayErrorKind),
        labels!(portcullis::transport: FetchErrorKind),
    ]
    .concat()
}

/// Those whose names are no labels, and why.
const NO_LABELS: [(&str, &str); 4] = [
    ("Algorithm", "the names of RFC 7518, RFC 8037 and RFC 9864, with capitals"),
    ("ContentEncryption", "the names of RFC 7518 §5.1"),
    ("KeyManagement", "the names of RFC 7518 §4.1"),
    ("Method", "private: what a configuration may write"),
];

/// Whoever registers metrics before there are any has every label, each once.
#[test]
fn every_variant_has_a_label_of_its_own() {
    let code = source();
    for (name, labels, count) in labelled() {
        assert_eq!(variants(&code, name), count, "{name}");
        assert_eq!(labels.len(), count, "{name}: {labels:?}");
        let snake =
            |label: &String| label.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        assert!(labels.iter().all(snake), "{name}: {labels:?}");
    }
}

/// An enumeration that gets a list of its variants is looked at above, or excepted for a reason.
#[test]
fn no_list_of_variants_is_missing_from_the_labels() {
    let code = source();
    let mut of = "";
    let mut listing = Vec::new();
    for line in code.lines().map(str::trim_start) {
        if let Some(name) = line.strip_prefix("impl ").and_then(|rest| rest.strip_suffix(" {")) {
            of = name;
        } else if line.starts_with("const ALL:") || line.starts_with("pub const ALL:") {
            listing.push(of);
        }
    }
    listing.sort_unstable();
    let mut looked_at: Vec<_> = labelled().iter().map(|(name, ..)| *name).collect();
    looked_at.extend(NO_LABELS.map(|(name, _)| name));
    looked_at.sort_unstable();
    assert_eq!(listing, looked_at);
}

/// How many variants an enumeration has, where it is declared. Those of [`RejectionKind`] are the rows of
/// a macro.
fn variants(code: &str, name: &str) -> usize {
    let head = match name {
        "RejectionKind" => "\nrejection_kinds! {".to_owned(),
        _ => format!("pub enum {name} {{"),
    };
    let body = code.split(&head).nth(1).unwrap().split("\n}").next().unwrap();
    body.lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with(|letter: char| letter.is_ascii_uppercase()))
        .count()
}

/// The names of the public structures and enumerations of a text. The lint `unreachable_pub` sees to
/// it that what is public has a path to the outside.
fn declared(code: &str) -> BTreeSet<String> {
    code.lines()
        .filter_map(|line| line.strip_prefix("pub "))
        .filter_map(|line| line.strip_prefix("struct ").or(line.strip_prefix("enum ")))
        .map(|rest| rest.split(|letter: char| !letter.is_alphanumeric()).next().unwrap().to_owned())
        .collect()
}

/// All of `src`.
fn source() -> String {
    let mut code = String::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut code);
    code
}

fn read(directory: &Path, code: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(&path, code);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            code.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

/// Each connection and each request clones them: a clone is a few pointers, and allocates nothing.
#[test]
fn clones_of_what_a_request_needs_allocate_nothing() {
    let issuer = TestIssuer::new("https://as.example", &SystemClock::new());
    let tenants = TenantList::new();
    let api = ResourceServer::builder("https://rs.example")
        .issuer(issuer.fixed_keys())
        .tenants(tenants.clone(), 10)
        .binding(Binding::WhereBound)
        .class(TokenClass::default_at_most(Duration::from_hours(1)))
        .build()
        .unwrap();
    let layer = api.protect(allow_all());
    let inner: Inner = service_fn(|_| ready(Ok(Response::new(String::new()))));
    let service: Protect<Inner> = layer.layer(inner);
    let tonic: Protect<Inner, Grpc> = api.layer().grpc().layer(inner);
    let access = TestAccess::new().scope("notes:read").build();

    cheap("the server", &api);
    cheap("a guard", &api.guard(allow_all()).unwrap());
    cheap("a layer", &layer);
    cheap("a service", &service);
    cheap("a service for gRPC", &tonic);
    cheap("an access", &access);
    cheap("a list of tenants", &tenants);
    cheap("revocations", &api.revocations());
    assert!(allocations(&"a text".to_owned()) > 0, "the count counts");
}

fn cheap<T: Clone + Send + Sync + 'static>(name: &str, value: &T) {
    assert_eq!(allocations(value), 0, "{name}");
    assert!(size_of::<T>() <= size_of::<[usize; 8]>(), "{name}: {} bytes", size_of::<T>());
}

/// The fewest of some attempts: what another test allocates meanwhile is not counted.
fn allocations<T: Clone>(value: &T) -> usize {
    let attempt = || {
        let region = Region::new(ALLOCATOR);
        let clone = value.clone();
        let count = region.change().allocations;
        drop(clone);
        count
    };
    (0..1_000).map(|_| attempt()).min().unwrap()
}
