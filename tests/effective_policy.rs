//! Each line of the effective policy is enforced: change the setting behind it, and a decision
//! changes with it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

#[cfg(feature = "jwe")]
#[path = "effective_policy/decryption.rs"]
mod decryption;
#[path = "effective_policy/introspection.rs"]
mod introspection;
#[path = "effective_policy/revocation.rs"]
mod revocation;
#[path = "effective_policy/variants.rs"]
mod variants;
#[path = "effective_policy/world.rs"]
mod world;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request};
use portcullis::certificate::{Certificate, ChainCheck, PeerCertificate};
use portcullis::check::{Check as _, CheckError, CheckRequest, Denial, acr, scope};
use portcullis::issuer::{ClaimTest, KeyRefresh, OptionalClaim, TenantList, TokenProfile};
use portcullis::jose::Algorithm;
use portcullis::observe::{Decision, Observer};
use portcullis::secret::{Secret, SecretSource};
use portcullis::sender::{
    ForwardedCertificate, ForwardedOrigin, MemoryReplayStore, Nonces, PublicOrigin, ReplayAnswer,
    ReplayEntry, ReplayStore, Sighting, TrustedPeers,
};
use portcullis::testing::{
    ClientKey, Failure, HeldVerifications, ManualClock, ProofBuilder, TestCertificate, TestIssuer,
    TestNetwork, TokenBuilder,
};
use portcullis::time::Clock as _;
use portcullis::transport::{Fetch, FetchError, FetchErrorKind, FetchLimits, Transport};
use portcullis::{
    Binding, Dpop, Exception, FirstVerifications, Issuer, Mtls, OtherAudiences, PeerAddr, Policy,
    Preflight, ResourceServer, SubjectKind, TokenClass,
};
use serde_json::{Value, json};
use support::{RESOURCE, send};

const MINUTE: Duration = Duration::from_mins(1);
const XFCC: &str = "x-forwarded-client-cert";
const PROTO: &str = "x-forwarded-proto";
const HOST: &str = "x-forwarded-host";
const SECOND: &str = "https://two.example";

/// Every setting that stands in the effective policy.
#[derive(Clone)]
struct Settings {
    resource: &'static str,
    audience: &'static str,
    other_audiences: OtherAudiences,
    leeway: Duration,
    max_token: usize,
    known_tokens: u64,
    /// At once, in the line, and for how long.
    verifications: (usize, usize, Duration),
    binding: Binding,
    dpop: DpopSettings,
    mtls: MtlsSettings,
    replay: (usize, usize),
    tenants: usize,
    implied: &'static str,
    // The first issuer: fixed keys, a relaxed profile.
    id: &'static str,
    keys: Keys,
    algorithms: Vec<Algorithm>,
    typ: &'static str,
    untyped: bool,
    id_tokens: bool,
    may_lack: OptionalClaim,
    client_from: &'static str,
    scope_from: &'static str,
    scope_array: bool,
    audience_from: &'static str,
    required_claim: &'static str,
    required: &'static str,
    kind: SubjectKind,
    kind_claim: &'static str,
    kind_value: &'static str,
    // The second issuer: fetched keys, RFC 9068.
    jwks_uri: &'static str,
    refresh: [Duration; 4],
    // The default class, and one that says everything.
    default_at_most: Duration,
    class: [&'static str; 5],
    class_issuer: &'static str,
    class_kind: SubjectKind,
    class_times: (Duration, Duration),
    class_bound: Binding,
    // The exception.
    exception: [&'static str; 5],
    exception_at_most: Duration,
    // The policy.
    name: &'static str,
    optional: bool,
    preflight: Preflight,
    strip: bool,
    expose: bool,
    scope: &'static str,
    acr: &'static str,
    max_age: Duration,
    route_binding: Option<Binding>,
    asks: bool,
    timeout: Duration,
    single_use: bool,
    require_nonce: bool,
}

#[derive(Clone)]
struct DpopSettings {
    algorithm: Algorithm,
    max_age: Duration,
    nonces: fn() -> Nonces,
    nonce_lifetime: Duration,
    nonce_key: Option<u8>,
    /// Origin, what the proxy removes, and what it adds.
    origin: [&'static str; 3],
    style: fn(TrustedPeers) -> ForwardedOrigin,
    host: &'static str,
    prefix: Option<&'static str>,
    hops: usize,
    peers: Peers,
}

#[derive(Clone)]
struct MtlsSettings {
    direct: bool,
    format: fn(TrustedPeers) -> ForwardedCertificate,
    hops: Option<usize>,
    appends: bool,
    peers: Peers,
}

/// A network, the certificate of a proxy, and whether a verified one is enough.
#[derive(Clone, Copy)]
struct Peers(&'static str, &'static str, bool);

impl Peers {
    fn trusted(self) -> TrustedPeers {
        let certificate = proxy(self.1).thumbprint().to_string();
        let peers = TrustedPeers::networks([self.0]).or(TrustedPeers::certificates([certificate]));
        if self.2 { peers.or(TrustedPeers::verified()) } else { peers }
    }
}

/// The certificate of the proxy of this name: always the same.
fn proxy(name: &str) -> Certificate {
    Certificate::from_der(name.as_bytes())
}

#[derive(Clone, Copy, PartialEq)]
enum Keys {
    Fixed,
    Fetched,
}

impl Settings {
    fn base() -> Self {
        Self {
            resource: RESOURCE,
            audience: "https://older.example",
            other_audiences: OtherAudiences::Accept,
            leeway: Duration::from_secs(10),
            max_token: 4_000,
            known_tokens: 1 << 20,
            verifications: (1, 1, Duration::from_secs(2)),
            binding: Binding::Either,
            dpop: DpopSettings {
                algorithm: Algorithm::Es256,
                max_age: MINUTE,
                nonces: Nonces::optional,
                nonce_lifetime: 5 * MINUTE,
                nonce_key: Some(1),
                origin: ["https://public.example", "/v1", "/in"],
                style: ForwardedOrigin::x_forwarded,
                host: "front.example",
                prefix: Some("/v2"),
                hops: 1,
                peers: Peers("10.0.0.0/28", "front", false),
            },
            mtls: MtlsSettings {
                // Verified peers are trusted only where no certificate of the connection is a client's.
                direct: false,
                format: ForwardedCertificate::envoy,
                hops: Some(1),
                appends: false,
                peers: Peers("10.0.1.0/28", "edge", false),
            },
            replay: (3, 2),
            tenants: 1,
            implied: "a",
            id: "https://one.example",
            keys: Keys::Fixed,
            algorithms: vec![Algorithm::Es256],
            typ: "JWT",
            untyped: true,
            id_tokens: false,
            may_lack: OptionalClaim::JwtId,
            client_from: "azp",
            scope_from: "scp",
            scope_array: true,
            audience_from: "for",
            required_claim: "use",
            required: "access",
            kind: SubjectKind::Workload,
            kind_claim: "kind",
            kind_value: "robot",
            jwks_uri: "https://two.example/jwks.json",
            refresh: [MINUTE, 5 * MINUTE, 60 * MINUTE, Duration::from_secs(1)],
            default_at_most: 30 * MINUTE,
            class: ["narrow", "narrow-client", "narrow-scope", RESOURCE, ""],
            class_issuer: "https://one.example",
            class_kind: SubjectKind::Person,
            class_times: (10 * MINUTE, 5 * MINUTE),
            class_bound: Binding::WhereBound,
            exception: ["app", "https://one.example", "2027-03-31", "SEC-1", "203.0.113.0/24"],
            exception_at_most: 20 * MINUTE,
            name: "notes",
            optional: false,
            preflight: Preflight::Refuse,
            strip: false,
            expose: false,
            scope: "a",
            acr: "phr",
            max_age: 5 * MINUTE,
            route_binding: Some(Binding::WhereBound),
            asks: true,
            timeout: Duration::from_secs(5),
            single_use: false,
            require_nonce: false,
        }
    }

    fn dpop(&self) -> Dpop {
        let dpop = &self.dpop;
        let mut nonces = (dpop.nonces)().lifetime(dpop.nonce_lifetime);
        if let Some(octet) = dpop.nonce_key {
            nonces = nonces.keys([Secret::new([octet; 32])]);
        }
        let [origin, removes, adds] = dpop.origin;
        let forwarded = (dpop.style)(dpop.peers.trusted()).hosts([dpop.host]);
        Dpop::new()
            .algorithms([dpop.algorithm])
            .max_age(dpop.max_age)
            .nonces(nonces)
            .public_origin(PublicOrigin::new(origin).proxy_removes(removes).proxy_adds(adds))
            .forwarded_origin(forwarded.prefixes(dpop.prefix).trusted_hops(dpop.hops))
    }

    fn mtls(&self) -> Mtls {
        let mtls = &self.mtls;
        let mut forwarded = (mtls.format)(mtls.peers.trusted());
        if let Some(hops) = mtls.hops {
            forwarded = forwarded.trusted_hops(hops);
        }
        if mtls.appends {
            forwarded = forwarded.front_appends();
        }
        match mtls.direct {
            true => Mtls::direct().or_forwarded(forwarded),
            false => Mtls::forwarded(forwarded),
        }
    }

    fn profile(&self) -> TokenProfile {
        let mut profile = TokenProfile::relaxed()
            .accept_type(self.typ)
            .may_lack(self.may_lack)
            .client_id_from([self.client_from])
            .scope_from([self.scope_from])
            .require_claim(self.required_claim, self.required)
            .subject_kind(self.kind, ClaimTest::equals(self.kind_claim, self.kind_value))
            .dangerous()
            .insecure_audience_from([self.audience_from]);
        if self.untyped {
            profile = profile.accept_no_type();
        }
        if self.id_tokens {
            profile = profile.accept_id_tokens();
        }
        if self.scope_array {
            profile = profile.accept_scope_array();
        }
        profile
    }

    fn build(&self, world: &World) -> ResourceServer {
        let [least, most, outage, wait] = self.refresh;
        let refresh = KeyRefresh::new()
            .fresh_at_least(least)
            .fresh_at_most(most)
            .keep_through_outage(outage)
            .wait_at_most(wait);
        let keys = world.one.jwk_set().to_string();
        let one = match self.keys {
            Keys::Fixed => Issuer::fixed_keys(self.id, keys),
            Keys::Fetched => Issuer::jwks(self.id, "https://nowhere.example/jwks"),
        };
        let [name, client, scope_name, audience, _] = self.class;
        let class = TokenClass::named(name)
            .issuers([self.class_issuer])
            .clients([client])
            .scopes([scope_name])
            .subject_kinds([self.class_kind])
            .audiences([audience])
            .at_most(self.class_times.0)
            .max_age(self.class_times.1)
            .binding(self.class_bound);
        let [partner, issuer, until, because, network] = self.exception;
        let exception = Exception::for_clients([partner, "narrow-client", "other"])
            .of_issuer(issuer)
            .until(until)
            .because(because)
            .at_most(self.exception_at_most)
            .from_networks([network]);
        let second = Exception::for_clients(["app"])
            .of_issuer(SECOND)
            .until("2027-03-31")
            .because("the second issuer has another subject here");
        ResourceServer::builder(self.resource)
            .accept_audience(self.audience)
            .other_audiences(self.other_audiences)
            .leeway(self.leeway)
            .max_token_bytes(self.max_token)
            .known_tokens_bytes(self.known_tokens)
            .first_verifications(
                FirstVerifications::new()
                    .max_at_once(self.verifications.0)
                    .queue_at_most(self.verifications.1)
                    .wait_at_most(self.verifications.2),
            )
            .binding(self.binding)
            .dpop(self.dpop())
            .mtls(self.mtls())
            .replay_store(
                MemoryReplayStore::with_capacity(self.replay.0).client_share(self.replay.1),
            )
            .tenants(world.tenants.clone(), self.tenants)
            .scope_implies("admin", [self.implied])
            .issuer(one.algorithms(self.algorithms.clone()).profile(self.profile()))
            .issuer(Issuer::jwks(SECOND, self.jwks_uri).key_refresh(refresh))
            .class(TokenClass::default_at_most(self.default_at_most))
            .class(class)
            .exception(exception)
            .exception(second)
            .transport(TestNetwork::of(&[&world.two, &world.tenant, &world.other_tenant]))
            .clock(world.clock.clone())
            .observer(world.events.clone())
            .build()
            .unwrap_or_else(|error| panic!("{error}"))
    }

    fn policy(&self, checks: Checks) -> Policy {
        let (strong, wanted) = (acr([self.acr]).within(self.max_age), scope(self.scope));
        let mut policy = match checks {
            Checks::Scope => Policy::new(wanted),
            Checks::All => Policy::new(wanted.and(strong)),
        };
        policy = policy.named(self.name).preflight(self.preflight).async_timeout(self.timeout);
        if self.optional {
            policy = policy.optional();
        }
        if self.strip {
            policy = policy.strip_credentials();
        }
        if self.expose {
            policy = policy.expose_challenge();
        }
        if let Some(binding) = self.route_binding {
            policy = policy.binding(binding);
        }
        if self.single_use {
            policy = policy.single_use();
        }
        if self.require_nonce {
            policy = policy.require_nonce();
        }
        if self.asks { policy.and_async(asks) } else { policy }
    }
}

#[derive(Clone, Copy)]
enum Checks {
    Scope,
    All,
}

async fn asks(request: CheckRequest) -> Result<(), CheckError> {
    match request.headers().get("x-answer").map(|value| value.as_bytes()) {
        Some(b"no") => Err(Denial::forbidden("the other side said no").into()),
        Some(b"never") => std::future::pending().await,
        _ => Ok(()),
    }
}

/// What a server has around it, new for each probe.
struct World {
    clock: ManualClock,
    one: TestIssuer,
    two: TestIssuer,
    tenant: TestIssuer,
    other_tenant: TestIssuer,
    tenants: TenantList,
    client: ClientKey,
    certificate: TestCertificate,
    events: Events,
}

#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<String>>>);

impl Observer for Events {
    fn observe(&self, decision: &Decision<'_>) {
        let Decision { route, class, exception, .. } = decision;
        self.0.lock().unwrap().push(format!("{route} {class:?} {exception:?}"));
    }
}

impl World {
    fn new() -> Self {
        let clock = ManualClock::new();
        let issuer = |id: &str| TestIssuer::new(id, &clock);
        let (tenant, other_tenant) = (issuer("https://t1.example"), issuer("https://t2.example"));
        let tenants = TenantList::new();
        tenants.add(tenant.jwks()).unwrap();
        tenants.add(other_tenant.jwks()).unwrap();
        Self {
            one: issuer("https://one.example"),
            two: issuer(SECOND),
            tenant,
            other_tenant,
            tenants,
            client: ClientKey::generate(Algorithm::Es256, &clock),
            certificate: TestCertificate::named("client").self_signed(),
            events: Events::default(),
            clock,
        }
    }

    /// A token that everything accepts, of the first issuer.
    fn token(&self) -> TokenBuilder {
        self.one
            .token(RESOURCE)
            .header("typ", "JWT")
            .without("client_id")
            .without("scope")
            .claim("azp", "app")
            .claim("for", RESOURCE)
            .claim("scp", ["a"])
            .claim("use", "access")
            .claim("acr", "phr")
            .claim("auth_time", self.clock.now().as_secs())
    }

    /// One that the narrow class describes.
    fn narrow(&self) -> TokenBuilder {
        self.token().claim("azp", "narrow-client").claim("scp", ["a", "narrow-scope"])
    }

    /// A request as the base wants it, with a proof, of this client and as edited.
    fn proven(&self, client: &str, edit: fn(ProofBuilder) -> ProofBuilder) -> Request<String> {
        self.proven_at("/in/notes", "https://public.example/v1/notes", client, edit)
    }

    fn proven_at(
        &self,
        path: &str,
        htu: &str,
        client: &str,
        edit: impl FnOnce(ProofBuilder) -> ProofBuilder,
    ) -> Request<String> {
        let token = self.token().claim("azp", client).claim("cnf", self.client.confirmation());
        let token = token.sign();
        let proof = edit(self.client.proof("GET", htu).token(&token)).sign();
        let mut request = request("");
        *request.uri_mut() = path.parse().unwrap();
        request.headers_mut().insert("authorization", format!("DPoP {token}").parse().unwrap());
        fields(request, &[("dpop", &proof)])
    }

    /// One that a trusted proxy has seen, for this URI.
    fn fronted(&self, htu: &str, sent: &[(&'static str, &str)]) -> Request<String> {
        fields(self.proven_at("/notes", htu, "app", |proof| proof), sent)
    }

    /// A request with a token that is bound to the client's certificate.
    fn certified(&self) -> Request<String> {
        request(&self.token().claim("cnf", self.certificate.confirmation()).sign())
    }

    /// The same, with what a proxy wrote about the client.
    fn forwarded(&self) -> Request<String> {
        fields(self.certified(), &[(XFCC, &self.certificate.xfcc_field())])
    }

    fn lives(&self, token: TokenBuilder, time: Duration) -> TokenBuilder {
        let now = self.clock.now();
        token.issued_at(now).expires_at(now.plus(time))
    }

    fn aged(&self, token: TokenBuilder, age: Duration) -> TokenBuilder {
        let now = self.clock.now();
        token.issued_at(now.minus(age)).expires_at(now.plus(MINUTE))
    }
}

fn request(token: &str) -> Request<String> {
    from("203.0.113.9", support::bearer(token))
}

fn from(peer: &str, mut request: Request<String>) -> Request<String> {
    let peer: IpAddr = peer.parse().unwrap();
    request.extensions_mut().insert(PeerAddr::new(peer));
    request
}

/// Over a connection with this certificate.
fn over(
    certificate: Certificate,
    check: ChainCheck,
    mut request: Request<String>,
) -> Request<String> {
    request.extensions_mut().insert(PeerCertificate::new(certificate, check));
    request
}

/// With these fields too.
fn fields(mut request: Request<String>, fields: &[(&'static str, &str)]) -> Request<String> {
    for (name, value) in fields {
        request.headers_mut().append(HeaderName::from_static(name), value.parse().unwrap());
    }
    request
}

/// What came of a request: all that a caller, a handler or an operator can see.
async fn outcome(
    world: &World,
    api: &ResourceServer,
    policy: Policy,
    request: Request<String>,
) -> String {
    world.events.0.lock().unwrap().clear();
    let sent = send(&api.protect(policy), request).await;
    let shown = |headers: &HeaderMap, name: &str| headers.contains_key(name);
    let inner = sent.seen.as_ref().map(|seen| shown(seen.headers(), "authorization"));
    let exposed = shown(sent.response.headers(), "access-control-expose-headers");
    let status = sent.response.status().as_u16();
    let (kind, events) = (sent.kind(), world.events.0.lock().unwrap().join("; "));
    format!("{status} {kind:?} inner {inner:?} exposed {exposed} [{events}]")
}

type Probe = for<'a> fn(
    &'a World,
    &'a ResourceServer,
    &'a Settings,
) -> Pin<Box<dyn Future<Output = String> + 'a>>;

/// A setting: its lines, a change of it, and requests that show the difference.
struct Line {
    pointers: &'static [&'static str],
    change: fn(&mut Settings),
    probe: Probe,
}

macro_rules! lines {
    // Each a token.
    ($($($pointer:literal)+, |$settings:ident| $change:expr, |$world:ident| $token:expr;)*) => {
        lines! { @send
            $($($pointer)+, |$settings| $change, |$world| request(&$token.sign());)*
        }
    };
    // Each a request.
    (@send $($($pointer:literal)+, |$settings:ident| $change:expr, |$world:ident| $request:expr;)*) => {
        [$(Line {
            pointers: &[$($pointer),+],
            change: |$settings| $change,
            probe: |$world, api, settings| Box::pin(async move {
                let policy = settings.policy(Checks::Scope);
                outcome($world, api, policy, $request).await
            }),
        }),*]
    };
}

/// Lines that one token shows.
fn token_lines() -> Vec<Line> {
    Vec::from(lines! {
        "/resource", |s| s.resource = "https://x.example", |w| w.token();
        "/accept_audiences/0", |s| s.audience = "https://x.example", |w| w.token().claim("for", "https://older.example");
        "/other_audiences", |s| s.other_audiences = OtherAudiences::Refuse, |w| w.token().claim("for", [RESOURCE, "https://x.example"]);
        "/leeway", |s| s.leeway = Duration::from_secs(30), |w| w.token().claim("nbf", w.clock.now().as_secs() + 20);
        "/max_token_bytes", |s| s.max_token = 300, |w| w.token();
        "/scope_implications/admin/0", |s| s.implied = "b", |w| w.token().claim("scp", ["admin"]);
        "/binding", |s| s.binding = Binding::WhereBound, |w| w.token().claim("azp", "nobody");
        "/issuers/0/id", |s| { s.id = "https://x.example"; s.class_issuer = SECOND; s.exception[1] = "https://x.example"; }, |w| w.token();
        "/issuers/0/keys", |s| s.keys = Keys::Fetched, |w| w.token();
        "/issuers/0/algorithms/0", |s| s.algorithms = vec![Algorithm::Es384, Algorithm::Es256], |w| w.token().header("alg", "ES384");
        "/issuers/0/profile/accept_types/0", |s| s.typ = "X", |w| w.token();
        "/issuers/0/profile/accept_no_type", |s| s.untyped = false, |w| w.token().without_header("typ");
        "/issuers/0/profile/accept_id_tokens", |s| s.id_tokens = true, |w| w.token().claim("nonce", "n");
        "/issuers/0/profile/may_lack/0", |s| s.may_lack = OptionalClaim::IssuedAt, |w| w.token().without("jti");
        "/issuers/0/profile/client_id_from/0", |s| s.client_from = "cid", |w| w.token();
        "/issuers/0/profile/scope_from/0", |s| s.scope_from = "x", |w| w.token();
        "/issuers/0/profile/accept_scope_array", |s| s.scope_array = false, |w| w.token();
        "/issuers/0/profile/dangerous/insecure_audience_from/0", |s| s.audience_from = "aud2", |w| w.token();
        "/issuers/0/profile/require_claims/0/one_of/0", |s| s.required = "x", |w| w.token();
        "/issuers/0/profile/require_claims/0/claim", |s| s.required_claim = "x", |w| w.token();
        "/issuers/0/profile/subject_kinds/0/kind", |s| s.kind = SubjectKind::Person, |w| w.lives(w.narrow(), 15 * MINUTE).claim("kind", "robot");
        "/issuers/0/profile/subject_kinds/0/claim", |s| s.kind_claim = "x", |w| w.lives(w.narrow(), 15 * MINUTE).claim("kind", "robot");
        "/issuers/0/profile/subject_kinds/0/equals", |s| s.kind_value = "x", |w| w.lives(w.narrow(), 15 * MINUTE).claim("kind", "robot");
        "/default_class/at_most", |s| s.default_at_most = 15 * MINUTE, |w| w.lives(w.token(), 16 * MINUTE);
        "/classes/0/name", |s| s.class[0] = "x", |w| w.narrow();
        "/classes/0/issuers/0", |s| s.class_issuer = SECOND, |w| w.lives(w.narrow(), 15 * MINUTE);
        "/classes/0/clients/0", |s| s.class[1] = "x", |w| w.lives(w.narrow(), 15 * MINUTE);
        "/classes/0/scopes/0", |s| s.class[2] = "x", |w| w.lives(w.narrow(), 15 * MINUTE);
        "/classes/0/subject_kinds/0", |s| s.class_kind = SubjectKind::Client, |w| w.lives(w.narrow(), 15 * MINUTE);
        "/classes/0/audiences/0", |s| s.class[3] = "https://x.example", |w| w.lives(w.narrow(), 15 * MINUTE);
        "/classes/0/at_most", |s| s.class_times.0 = 15 * MINUTE, |w| w.lives(w.narrow(), 15 * MINUTE);
        "/classes/0/max_age", |s| s.class_times.1 = 9 * MINUTE, |w| w.aged(w.narrow(), 7 * MINUTE);
        "/classes/0/binding", |s| s.class_bound = Binding::Mtls, |w| w.narrow();
        "/exceptions/0/clients/0", |s| s.exception[0] = "x", |w| w.token();
        "/exceptions/0/of_issuer", |s| s.exception[1] = SECOND, |w| w.token();
        "/exceptions/0/until" "/exceptions/0/days_left" "/exceptions/0/ended", |s| s.exception[2] = "2027-01-14", |w| w.token();
        "/exceptions/0/because", |s| s.exception[3] = "SEC-2", |w| w.token();
        "/exceptions/0/from_networks/0", |s| s.exception[4] = "10.0.0.0/8", |w| w.token();
        "/exceptions/0/at_most", |s| s.exception_at_most = 2 * MINUTE, |w| w.token();
        "/mounted/0/name", |s| s.name = "x", |w| w.token();
        "/mounted/0/strip_credentials", |s| s.strip = true, |w| w.token();
        "/mounted/0/expose_challenge", |s| s.expose = true, |w| w.token().claim("scp", ["b"]);
        "/mounted/0/all_scopes/0", |s| s.scope = "b", |w| w.token();
        "/mounted/0/binding", |s| s.route_binding = Some(Binding::Dpop), |w| w.token();
    })
}

macro_rules! line {
    ([$($pointer:literal),+], $change:expr, |$world:ident, $api:ident, $settings:ident| $probe:expr) => {
        Line {
            pointers: &[$($pointer),+],
            change: $change,
            probe: |$world, $api, $settings| Box::pin(async move { $probe }),
        }
    };
}

async fn plain(
    world: &World,
    api: &ResourceServer,
    s: &Settings,
    request: Request<String>,
) -> String {
    outcome(world, api, s.policy(Checks::Scope), request).await
}

/// Whether a request still waits after this time.
async fn waits(world: &World, api: &ResourceServer, time: Duration) -> String {
    let request = request(&world.token().sign());
    let api = api.clone();
    let sent = tokio::spawn(async move { send(&api.layer(), request).await.kind() });
    settle().await;
    world.clock.advance(time);
    settle().await;
    match sent.is_finished() {
        true => format!("{:?}", sent.await.unwrap()),
        false => "it waits".to_owned(),
    }
}

/// Lines that need more than a token.
fn other_lines() -> Vec<Line> {
    fn of_two(world: &World) -> Request<String> {
        request(&world.two.token(RESOURCE).client_id("app").scope("a").sign())
    }
    fn answering(world: &World, answer: &str) -> Request<String> {
        let mut request = request(&world.token().sign());
        request.headers_mut().insert("x-answer", answer.parse().unwrap());
        request
    }
    vec![
        // A token that is known is not verified again, and nothing else is decided otherwise.
        line!(["/known_tokens_bytes"], |s| s.known_tokens = 0, |w, api, s| {
            let first = plain(w, api, s, answering(w, "yes")).await;
            let kept = api.known_tokens_health();
            format!("{first}, {} known of {} bytes", kept.tokens, kept.bytes_at_most)
        }),
        line!(["/first_verifications/max_at_once"], |s| s.verifications.0 = 2, |w, api, _s| {
            let mut held = HeldVerifications::of(api);
            while held.held() > 1 {
                held.release_one();
            }
            waits(w, api, Duration::ZERO).await
        }),
        line!(["/first_verifications/queue_at_most"], |s| s.verifications.1 = 0, |w, api, _s| {
            let _held = HeldVerifications::of(api);
            waits(w, api, Duration::ZERO).await
        }),
        line!(
            ["/first_verifications/wait_at_most"],
            |s| s.verifications.2 = Duration::from_secs(4),
            |w, api, _s| {
                let _held = HeldVerifications::of(api);
                waits(w, api, Duration::from_secs(3)).await
            }
        ),
        line!(["/tenants/at_most"], |s| s.tenants = 2, |w, api, s| {
            let token = |tenant: &TestIssuer| request(&tenant.token(RESOURCE).tampered());
            let first = plain(w, api, s, token(&w.tenant)).await;
            first + &plain(w, api, s, token(&w.other_tenant)).await
        }),
        line!(
            ["/issuers/1/id", "/issuers/1/jwks_uri"],
            |s| s.jwks_uri = "https://nowhere.example/jwks",
            |w, api, s| plain(w, api, s, of_two(w)).await
        ),
        line!(
            ["/issuers/1/key_refresh/fresh_at_most"],
            |s| s.refresh[1] = 2 * MINUTE,
            |w, api, s| {
                w.two.cache_control("max-age=3600");
                let token = w.two.token(RESOURCE).client_id("app").scope("a").sign();
                warm(api).await;
                w.two.rotate();
                w.two.withdraw("k1");
                w.clock.advance(3 * MINUTE);
                settle().await;
                plain(w, api, s, request(&token)).await
            }
        ),
        line!(
            ["/issuers/1/key_refresh/fresh_at_least"],
            |s| s.refresh[0] = 4 * MINUTE,
            |w, api, s| {
                w.two.cache_control("max-age=1");
                let token = w.two.token(RESOURCE).client_id("app").scope("a").sign();
                warm(api).await;
                w.two.rotate();
                w.two.withdraw("k1");
                w.clock.advance(3 * MINUTE);
                settle().await;
                plain(w, api, s, request(&token)).await
            }
        ),
        line!(
            ["/issuers/1/key_refresh/keep_through_outage"],
            |s| s.refresh[2] = 120 * MINUTE,
            |w, api, s| {
                warm(api).await;
                w.two.fail(Failure::Connection);
                for _ in 0..70 {
                    w.clock.advance(MINUTE);
                    settle().await;
                }
                plain(w, api, s, of_two(w)).await
            }
        ),
        line!(
            ["/issuers/1/key_refresh/wait_at_most"],
            |s| s.refresh[3] = Duration::from_secs(3),
            |w, api, s| {
                w.two.hold();
                let (layer, request) = (api.protect(s.policy(Checks::Scope)), of_two(w));
                let task = tokio::spawn(async move { send(&layer, request).await.kind() });
                settle().await;
                w.clock.advance(Duration::from_secs(2));
                settle().await;
                let answered = task.is_finished();
                task.abort();
                format!("answered after two seconds: {answered}")
            }
        ),
        line!(["/mounted/0/credentials"], |s| s.optional = true, |w, api, s| {
            plain(w, api, s, support::anonymous()).await
        }),
        line!(["/mounted/0/preflight"], |s| s.preflight = Preflight::Pass, |w, api, s| {
            let preflight = Request::options("/")
                .header("origin", "https://x.example")
                .header("access-control-request-method", "GET")
                .body(String::new())
                .unwrap();
            plain(w, api, s, preflight).await
        }),
        line!(["/mounted/0/all_of/0/async"], |s| s.asks = false, |w, api, s| {
            plain(w, api, s, answering(w, "no")).await
        }),
        line!(["/mounted/0/async_timeout"], |s| s.timeout = Duration::from_secs(1), |w, api, s| {
            let (layer, request) = (api.protect(s.policy(Checks::Scope)), answering(w, "never"));
            let task = tokio::spawn(async move { send(&layer, request).await.kind() });
            settle().await;
            w.clock.advance(Duration::from_secs(2));
            settle().await;
            let answered = task.is_finished();
            task.abort();
            format!("answered after two seconds: {answered}")
        }),
    ]
}

/// How senders are proven.
fn sender_lines() -> Vec<Line> {
    const PUBLIC: &str = "https://public.example/v1/notes";
    const FRONT: &str = "https://front.example/notes";
    const SENT: &[(&str, &str)] = &[(PROTO, "https"), (HOST, "front.example")];
    let mut lines = Vec::from(lines! { @send
        "/dpop/algorithms/0", |s| s.dpop.algorithm = Algorithm::EdDsa, |w| w.proven("app", |p| p);
        "/dpop/max_age", |s| s.dpop.max_age = 2 * MINUTE, |w| {
            let then = w.clock.now().minus(Duration::from_secs(90));
            w.proven_at("/in/notes", PUBLIC, "app", |proof| proof.issued_at(then))
        };
        "/dpop/nonces/mode", |s| s.dpop.nonces = Nonces::required, |w| w.proven("app", |p| p);
        "/dpop/public_origins/0/origin", |s| s.dpop.origin[0] = "https://x.example", |w| w.proven("app", |p| p);
        "/dpop/public_origins/0/proxy_removes", |s| s.dpop.origin[1] = "/x", |w| w.proven("app", |p| p);
        "/dpop/public_origins/0/proxy_adds", |s| s.dpop.origin[2] = "/x", |w| w.proven("app", |p| p);
        "/dpop/forwarded/style", |s| { s.dpop.style = ForwardedOrigin::forwarded; s.dpop.prefix = None; }, |w| from("10.0.0.1", w.fronted(FRONT, SENT));
        "/dpop/forwarded/hosts/0", |s| s.dpop.host = "x.example", |w| from("10.0.0.1", w.fronted(FRONT, SENT));
        "/dpop/forwarded/prefixes/0", |s| s.dpop.prefix = Some("/x"), |w| {
            let request = w.fronted("https://front.example/v2/notes", SENT);
            from("10.0.0.1", fields(request, &[("x-forwarded-prefix", "/v2")]))
        };
        "/dpop/forwarded/trusted_hops", |s| s.dpop.hops = 2, |w| {
            from("10.0.0.1", w.fronted(FRONT, &[(PROTO, "https, https"), (HOST, "x.example, front.example")]))
        };
        "/dpop/forwarded/peers/networks/0", |s| s.dpop.peers.0 = "192.0.2.0/24", |w| from("10.0.0.1", w.fronted(FRONT, SENT));
        "/dpop/forwarded/peers/certificates/0", |s| s.dpop.peers.1 = "x", |w| over(proxy("front"), ChainCheck::Unchecked, w.fronted(FRONT, SENT));
        "/dpop/forwarded/peers/verified", |s| s.dpop.peers.2 = true, |w| over(proxy("any"), ChainCheck::Verified, w.fronted(FRONT, SENT));
        "/mtls/direct", |s| s.mtls.direct = true, |w| over(w.certificate.certificate(), ChainCheck::Unchecked, w.certified());
        "/mtls/forwarded/format", |s| { s.mtls.format = ForwardedCertificate::client_cert; s.mtls.hops = None; }, |w| from("10.0.1.1", w.forwarded());
        "/mtls/forwarded/trusted_hops", |s| s.mtls.hops = Some(2), |w| from("10.0.1.1", w.forwarded());
        "/mtls/forwarded/front_appends", |s| s.mtls.appends = true, |w| {
            let client = w.certificate.xfcc_field();
            from("10.0.1.1", fields(w.certified(), &[(XFCC, &format!("{client},{client}"))]))
        };
        "/mtls/forwarded/peers/networks/0", |s| s.mtls.peers.0 = "192.0.2.0/24", |w| from("10.0.1.1", w.forwarded());
        "/mtls/forwarded/peers/certificates/0", |s| s.mtls.peers.1 = "x", |w| over(proxy("edge"), ChainCheck::Unchecked, w.forwarded());
        "/mtls/forwarded/peers/verified", |s| s.mtls.peers.2 = true, |w| over(proxy("any"), ChainCheck::Verified, w.forwarded());
        "/mounted/0/require_nonce", |s| s.require_nonce = true, |w| w.proven("app", |p| p);
    });
    lines.extend([
        line!(["/dpop/nonces/lifetime"], |s| s.dpop.nonce_lifetime = 7 * MINUTE, |w, api, s| {
            let nonce = nonce(w, api, s).await;
            w.clock.advance(6 * MINUTE);
            let edit = |proof: ProofBuilder| proof.nonce(&nonce);
            plain(w, api, s, w.proven_at("/in/notes", PUBLIC, "app", edit)).await
        }),
        // Another process of the service made it.
        line!(["/dpop/nonces/keys"], |s| s.dpop.nonce_key = None, |w, api, s| {
            let nonce = nonce(w, &s.build(w), s).await;
            let edit = |proof: ProofBuilder| proof.nonce(&nonce);
            plain(w, api, s, w.proven_at("/in/notes", PUBLIC, "app", edit)).await
        }),
        line!(["/replay/capacity"], |s| s.replay.0 = 2, |w, api, s| {
            let first = plain(w, api, s, w.proven("one", |p| p)).await;
            let second = plain(w, api, s, w.proven("two", |p| p)).await;
            first + &second + &plain(w, api, s, w.proven("three", |p| p)).await
        }),
        line!(["/replay/client_share"], |s| s.replay.1 = 1, |w, api, s| {
            let first = plain(w, api, s, w.proven("app", |p| p)).await;
            first + &plain(w, api, s, w.proven("app", |p| p)).await
        }),
        line!(["/mounted/0/single_use"], |s| s.single_use = true, |w, api, s| {
            let token = w.token().sign();
            let first = plain(w, api, s, request(&token)).await;
            first + &plain(w, api, s, request(&token)).await
        }),
    ]);
    lines
}

/// A nonce of this server, which comes with its answer to a proof that has none.
async fn nonce(world: &World, api: &ResourceServer, s: &Settings) -> String {
    let sent = send(&api.protect(s.policy(Checks::Scope)), world.proven("app", |p| p)).await;
    sent.response.headers()["dpop-nonce"].to_str().unwrap().to_owned()
}

/// Lets every task that can go on do so.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// Loads what can be loaded.
async fn warm(api: &ResourceServer) {
    let loaded = api.warm_up().await;
    assert!(loaded.is_ok(), "{loaded:?}");
}

/// The places of all values in a document.
fn leaves(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| {
            leaves(value, &format!("{at}/{}", name.replace('/', "~1")), found)
        }),
        Value::Array(elements) => elements
            .iter()
            .enumerate()
            .for_each(|(index, value)| leaves(value, &format!("{at}/{index}"), found)),
        _ => {
            found.insert(at.to_owned());
        }
    }
}

/// Lines that say what others say, or what is not enforced.
fn explained(pointer: &str) -> bool {
    // The server's own policy, and the lines of defaults that the first issuer's twin shows.
    let own_policy = pointer.starts_with("/policy/");
    let second_issuer = pointer.starts_with("/issuers/1/")
        && !pointer.contains("key_refresh")
        && !pointer.ends_with("jwks_uri");
    let names = [
        // A profile's name is for its reader.
        "/issuers/0/profile/base",
        "/not_enforced/0",
        // Of the exception that is there so that the second issuer's tokens pass at all.
        "/exceptions/0/clients/1",
        "/exceptions/0/clients/2",
    ];
    own_policy || second_issuer || names.contains(&pointer) || pointer.starts_with("/exceptions/1/")
}

#[tokio::test]
async fn each_line_of_the_effective_policy_is_enforced() {
    let base = Settings::base();
    let world = World::new();
    let server = base.build(&world);
    let _ = server.protect(base.policy(Checks::Scope));
    let policy = server.effective_policy();

    let mut shown = BTreeSet::new();
    for line in token_lines().into_iter().chain(other_lines()).chain(sender_lines()) {
        let mut changed = base.clone();
        (line.change)(&mut changed);
        let run = async |settings: &Settings| {
            let world = World::new();
            let server = settings.build(&world);
            let _ = server.protect(settings.policy(Checks::Scope));
            let policy = server.effective_policy();
            let outcome = (line.probe)(&world, &server, settings).await;
            (policy, outcome)
        };
        let (before, was) = run(&base).await;
        let (after, is) = run(&changed).await;
        assert_eq!(before, policy, "the base is always the same");
        assert_ne!(was, is, "{:?} is not enforced", line.pointers);
        for pointer in line.pointers {
            let value = before.pointer(pointer);
            assert!(value.is_some(), "no line {pointer}");
            // The second issuer's name is the place of its keys here, and stays.
            if *pointer != "/issuers/1/id" {
                assert_ne!(value, after.pointer(pointer), "{pointer} does not show the change");
            }
            shown.insert((*pointer).to_owned());
        }
    }

    let mut all = BTreeSet::new();
    leaves(&policy, "", &mut all);
    let unproven: Vec<_> = all.difference(&shown).filter(|pointer| !explained(pointer)).collect();
    assert!(unproven.is_empty(), "lines that nothing proves: {unproven:#?}\n{policy:#}");
}

/// The rules of a policy by name: both parts of a step-up.
#[tokio::test]
async fn a_step_up_stands_as_it_is_enforced() {
    let probe = async |settings: &Settings| {
        let world = World::new();
        let server = settings.build(&world);
        let old = world.clock.now().minus(7 * MINUTE).as_secs();
        let token = world.token().claim("auth_time", old).sign();
        let policy = settings.policy(Checks::All);
        let outcome = outcome(&world, &server, policy.clone(), request(&token)).await;
        (server.effective_policy()["mounted"].to_string(), outcome)
    };
    let base = Settings::base();
    let (policy, was) = probe(&base).await;
    assert!(policy.contains(r#""step_up":{"acr_values":["phr"],"max_age":"5m"}"#), "{policy}");
    let mut longer = base.clone();
    longer.max_age = 10 * MINUTE;
    let (policy, is) = probe(&longer).await;
    assert!(policy.contains(r#""max_age":"10m""#), "{policy}");
    assert_ne!(was, is);
    let mut other = longer.clone();
    other.acr = "x";
    assert_ne!(probe(&other).await.1, is);
}

/// What only some formats have: the name of a field.
#[tokio::test]
async fn the_field_of_a_certificate_stands_as_it_is_read() {
    let probe = async |header: &'static str| {
        let world = World::new();
        let proxies = TrustedPeers::networks(["10.0.1.0/28"]);
        let mtls = Mtls::forwarded(ForwardedCertificate::escaped_pem(header, proxies));
        let builder = support::builder(&world.clock).mtls(mtls).issuer(world.two.fixed_keys());
        let api = builder.build().unwrap();
        let token = world.two.token(RESOURCE).claim("cnf", world.certificate.confirmation());
        let field = ("ssl-client-cert", &*world.certificate.escaped_pem_field());
        let request = fields(support::bearer(&token.sign()), &[field]);
        let passed = send(&api.layer(), from("10.0.1.1", request)).await.passed();
        (api.effective_policy()["mtls"]["forwarded"]["header"].clone(), passed)
    };
    assert_eq!(probe("ssl-client-cert").await, (json!("ssl-client-cert"), true));
    assert_eq!(probe("x-client-cert").await, (json!("x-client-cert"), false));
}

/// A replay memory of the user's own, which has seen everything.
struct Seen;

impl ReplayStore for Seen {
    fn record(&self, _: &ReplayEntry<'_>) -> ReplayAnswer {
        Ok(Sighting::Repeated).into()
    }
}

/// What remembers uses: this crate's memory with its numbers, whoever holds it, or the user's own.
#[tokio::test]
async fn a_replay_memory_stands_as_it_is_asked() {
    let world = World::new();
    let builder =
        || support::builder(&world.clock).dpop(Dpop::new()).issuer(world.two.fixed_keys());
    let memory = MemoryReplayStore::with_capacity(50);
    let dynamic: Arc<dyn ReplayStore> = Arc::new(Seen);
    for (name, builder, expected, passes) in [
        ("usual", builder(), json!({ "capacity": 1 << 20, "client_share": 1 << 17 }), true),
        (
            "shared",
            builder().replay_store(Arc::new(memory)),
            json!({ "capacity": 50, "client_share": 6 }),
            true,
        ),
        ("own", builder().replay_store(Seen), json!({ "store": "own" }), false),
        ("own, shared", builder().replay_store(dynamic), json!({ "store": "own" }), false),
    ] {
        let api = builder.build().unwrap();
        assert_eq!(api.effective_policy()["replay"], expected, "{name}");
        let token = world.two.token(RESOURCE).claim("cnf", world.client.confirmation()).sign();
        let proof = world.client.proof("GET", &format!("{RESOURCE}/notes")).token(&token).sign();
        let mut request = fields(support::anonymous(), &[("dpop", &proof)]);
        request.headers_mut().insert("authorization", format!("DPoP {token}").parse().unwrap());
        assert_eq!(send(&api.layer(), request).await.passed(), passes, "{name}");
    }
}

/// A network whose documents want a token of ours.
struct Door(TestNetwork);

impl Transport for Door {
    fn fetch(&self, request: Request<Bytes>, limits: FetchLimits) -> Fetch<'_> {
        let token = concat!("Bearer ", env!("CARGO_PKG_NAME"));
        match request.headers().get("authorization").map(|field| field.as_bytes()) {
            Some(found) if found == token.as_bytes() => self.0.fetch(request, limits),
            _ => Box::pin(async { Err(FetchError::new(FetchErrorKind::Connection)) }),
        }
    }
}

/// How an issuer's documents are fetched: a transport and a token of its own, and where that is.
#[tokio::test]
async fn an_issuers_way_to_its_documents_stands_as_it_is_taken() {
    let server = |own: bool, token: Option<SecretSource>| {
        let world = World::new();
        let mut issuer = world.two.jwks();
        if own {
            issuer = issuer.transport(Door(TestNetwork::of(&[&world.two])));
        }
        if let Some(token) = token {
            issuer = issuer.fetch_token(token);
        }
        let builder = support::builder(&world.clock).transport(TestNetwork::of(&[&world.one]));
        (builder.issuer(issuer).build().unwrap(), world)
    };
    let right = SecretSource::env("CARGO_PKG_NAME");
    for (name, own, token, fetched, expected) in [
        ("both", true, Some(right.clone()), true, json!(["own", { "env": "CARGO_PKG_NAME" }])),
        ("no transport", false, Some(right), false, json!([null, { "env": "CARGO_PKG_NAME" }])),
        ("no token", true, None, false, json!(["own", null])),
        (
            "another token",
            true,
            Some(SecretSource::file("Cargo.toml")),
            false,
            json!(["own", { "file": "Cargo.toml" }]),
        ),
    ] {
        let (api, world) = server(own, token);
        let token = world.two.token(RESOURCE).sign();
        assert_eq!(support::present(&api, &token).await.is_ok(), fetched, "{name}");
        let policy = api.effective_policy();
        let issuer = &policy["issuers"][0];
        assert_eq!(json!([issuer["transport"], issuer["fetch_token"]]), expected, "{name}");
    }
}

#[test]
fn a_hazard_stands_by_its_name_and_only_where_it_is() {
    let world = World::new();
    let server = |issuer: Issuer| {
        support::builder(&world.clock).issuer(issuer).transport(TestNetwork::default()).build()
    };
    let issuer = || Issuer::jwks("https://as.example", "http://127.0.0.1:9000/jwks");
    let hazard = issuer().dangerous().insecure_loopback_http();
    let policy = server(hazard).unwrap().effective_policy();
    assert_eq!(policy["issuers"][0]["dangerous"], json!({ "insecure_loopback_http": true }));
    assert!(server(issuer()).is_err());
    let policy = server(Issuer::discover("https://as.example")).unwrap().effective_policy();
    assert_eq!(policy["issuers"][0].get("dangerous"), None);
    assert_eq!(policy["issuers"][0]["profile"].get("dangerous"), None);
    // Fixed keys too: the hazard lets the issuer's own name be at http.
    let keys = world.one.jwk_set().to_string();
    let fixed = Issuer::fixed_keys("http://127.0.0.1:9000", keys);
    let policy = server(fixed.dangerous().insecure_loopback_http()).unwrap().effective_policy();
    assert_eq!(policy["issuers"][0]["dangerous"], json!({ "insecure_loopback_http": true }));
}

#[test]
fn the_report_names_no_secret_and_is_plain_json() {
    let base = Settings::base();
    let world = World::new();
    let policy = base.build(&world).effective_policy();
    assert_eq!(policy["resource"], RESOURCE);
    assert_eq!(policy["leeway"], "10s");
    assert_eq!(policy["exceptions"][0]["until"], "2027-03-31");
    assert_eq!(policy["exceptions"][0]["days_left"], json!(75));
    assert_eq!(policy["default_class"], json!({ "at_most": "30m" }));
}
