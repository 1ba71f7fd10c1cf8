//! The crate's server for a world.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, HeaderName};
use http::{HeaderMap, HeaderValue, Request};
use portcullis::certificate::{Certificate, ChainCheck, PeerCertificate};
use portcullis::check::{
    Check, StepUp, actor, actors, all_scopes, allow_all, authorization_detail, clients, no_actor,
    step_up, subjects,
};
use portcullis::issuer::{ClaimTest, OptionalClaim, TokenProfile};
use portcullis::jose::Algorithm;
use portcullis::secret::Secret;
use portcullis::sender::{MemoryReplayStore, Nonces, OriginalUri, PublicOrigin};
use portcullis::testing::ManualClock;
use portcullis::time::Clock as _;
use portcullis::{
    Binding, Dpop, Exception, Guard, Issuer, Mtls, OtherAudiences, PeerAddr, Policy,
    ResourceServer, SubjectKind, TokenClass,
};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use super::answer::Answer;
use super::asked::Endpoints;
use super::mint::timestamp;
use super::told;
use super::wait::ready;
use crate::naive::{
    NaiveActor, NaiveClass, NaiveDpop, NaiveException, NaiveNames, NaiveOrigin, NaiveProfile,
    NaiveRecord, NaiveRequest, NaiveRevocation, NaiveTest, World,
};

/// More uses than one world has requests, and not so many that nothing is tidied up.
const ROOM: (usize, usize) = (24, 24);

/// The crate's server for a world. Its policy is the server's own and a guard's, which asks the
/// same in another order.
pub(crate) struct Server {
    api: ResourceServer,
    guard: Guard,
    clock: ManualClock,
    endpoints: Endpoints,
    /// What calls run on, where there are any.
    runtime: Option<Runtime>,
}

/// Who decides a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Server,
    Guard,
}

#[derive(Clone, Copy)]
enum Order {
    ScopesFirst,
    ScopesLast,
}

impl Server {
    pub(crate) fn new(world: &World, revocation: Option<&NaiveRevocation>) -> Self {
        let clock = ManualClock::new();
        set(&clock, world);
        let (room, share) = world.replay_room.unwrap_or(ROOM);
        let freshness = revocation.and_then(|known| known.default_freshness_secs);
        let default = TokenClass::default_at_most(seconds(world.max_lifetime_secs));
        let ages = [world.max_age_secs, freshness];
        let mut builder = ResourceServer::builder(&world.resource)
            .binding(binding(&world.binding))
            .class(wanting(default, None, ages, world.default_binding.as_deref()))
            .leeway(seconds(world.leeway_secs))
            .other_audiences(match world.no_other_audience {
                true => OtherAudiences::Refuse,
                false => OtherAudiences::Accept,
            })
            .replay_store(MemoryReplayStore::with_capacity(room).client_share(share))
            .policy(policy(world, revocation, Order::ScopesFirst))
            .clock(clock.clone());
        if let Some(naive) = revocation {
            builder = builder.revocation(told::revocation(naive));
        }
        if let Some(naive) = &world.dpop {
            builder = builder.dpop(dpop(naive));
        }
        if world.mtls {
            builder = builder.mtls(Mtls::direct());
        }
        for name in &world.other_names {
            builder = builder.accept_audience(name);
        }
        for (index, one) in world.classes.iter().enumerate() {
            builder = builder.class(class(one, index));
        }
        for (index, one) in world.exceptions.iter().enumerate() {
            builder = builder.exception(exception(one, index));
        }
        for issuer in &world.issuers {
            let algorithms = issuer.algorithms.iter().map(|name| Algorithm::parse(name).unwrap());
            let source = match issuer.jwks.as_str() {
                "" => Issuer::opaque(&issuer.id),
                jwks => Issuer::fixed_keys(&issuer.id, jwks),
            };
            let issuer = source.algorithms(algorithms).profile(profile(&issuer.profile));
            builder = builder.issuer(issuer);
        }
        let endpoints = Endpoints::default();
        for asked in &world.asked {
            builder = builder.introspection(endpoints.introspection(asked));
        }
        let runtime =
            (!world.asked.is_empty()).then(|| Builder::new_current_thread().build().unwrap());
        let api = builder.build().unwrap_or_else(|fault| panic!("{fault}\n{world:#?}"));
        let guard = api.guard(policy(world, revocation, Order::ScopesLast)).unwrap();
        Self { api, guard, clock, endpoints, runtime }
    }

    /// Whether it takes what it is told of revocation.
    pub(crate) fn hear(&self, world: &World, records: &[NaiveRecord]) -> bool {
        set(&self.clock, world);
        ready(self.api.revocations().revoke_all(records.iter().map(told::record))).is_ok()
    }

    /// How many tokens it knows by having accepted them.
    pub(crate) fn known(&self) -> usize {
        self.api.known_tokens_health().tokens
    }

    /// Decides at the time of this world, which is the one that it was made for.
    pub(crate) fn decide(&self, world: &World, request: &NaiveRequest, by: By) -> Answer {
        set(&self.clock, world);
        let mut head = Request::new(());
        *head.method_mut() = request.method.parse().expect("a method");
        *head.uri_mut() = request.target.parse().expect("a target");
        let dpop = HeaderName::from_static("dpop");
        for (name, lines) in [(AUTHORIZATION, &request.authorization), (dpop, &request.dpop)] {
            for line in lines {
                let line = HeaderValue::from_bytes(line).expect("octets that a field may have");
                head.headers_mut().append(&name, line);
            }
        }
        let extensions = head.extensions_mut();
        if let Some(peer) = request.peer {
            extensions.insert(PeerAddr::new(peer));
        }
        if let Some(der) = &request.certificate {
            let certificate = Certificate::from_der(der.as_slice());
            extensions.insert(PeerCertificate::new(certificate, ChainCheck::Unchecked));
        }
        if let Some(original) = &request.original {
            extensions.insert(OriginalUri(original.parse().expect("a target")));
        }
        let (parts, ()) = head.into_parts();
        self.endpoints.answer(request.reply.clone());
        let decide = || match (by, &self.runtime) {
            (By::Server, None) => ready(self.api.verify(&parts)),
            (By::Guard, None) => ready(self.guard.verify(&parts)),
            (By::Server, Some(runtime)) => runtime.block_on(self.api.verify(&parts)),
            (By::Guard, Some(runtime)) => runtime.block_on(self.guard.verify(&parts)),
        };
        let decided = catch_unwind(AssertUnwindSafe(decide));
        let asked = self.endpoints.asked(request);
        match decided {
            Err(_) => Answer::Panic,
            Ok(Ok(access)) => {
                let mut headers = HeaderMap::new();
                access.complete_response(&mut headers);
                Answer::pass(&access, &headers, asked)
            }
            Ok(Err(rejection)) => Answer::refuse(&rejection, asked),
        }
    }
}

/// Both clocks go on as the world says.
fn set(clock: &ManualClock, world: &World) {
    let steady = Duration::from_nanos(u64::try_from(world.steady_nanos).unwrap());
    clock.advance(steady.saturating_sub(clock.steady()));
    clock.set(timestamp(world.now_nanos));
}

fn dpop(naive: &NaiveDpop) -> Dpop {
    let algorithms = naive.algorithms.iter().map(|name| Algorithm::parse(name).unwrap());
    let mut dpop = Dpop::new().algorithms(algorithms).max_age(seconds(naive.max_age_secs));
    if let Some(naive) = &naive.nonces {
        let nonces = if naive.required { Nonces::required() } else { Nonces::optional() };
        let lifetime = seconds(naive.lifetime_secs);
        dpop = dpop.nonces(nonces.lifetime(lifetime).keys([Secret::new(&naive.key)]));
    }
    for NaiveOrigin { origin, proxy_removes, proxy_adds } in &naive.origins {
        let mut origin = PublicOrigin::new(origin);
        if !proxy_removes.is_empty() {
            origin = origin.proxy_removes(proxy_removes);
        }
        if !proxy_adds.is_empty() {
            origin = origin.proxy_adds(proxy_adds);
        }
        dpop = dpop.public_origin(origin);
    }
    dpop
}

pub(super) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn binding(name: &str) -> Binding {
    [Binding::WhereBound, Binding::Either, Binding::Dpop, Binding::Mtls, Binding::Both]
        .into_iter()
        .find(|binding| binding.as_str() == name)
        .unwrap()
}

fn kind(name: &str) -> SubjectKind {
    [SubjectKind::Client, SubjectKind::Person, SubjectKind::Workload, SubjectKind::Unknown]
        .into_iter()
        .find(|kind| kind.as_str() == name)
        .unwrap()
}

fn policy(world: &World, revocation: Option<&NaiveRevocation>, order: Order) -> Policy {
    let mut checks: Vec<Arc<dyn Check>> = Vec::new();
    if !world.needed_scopes.is_empty() {
        checks.push(Arc::new(all_scopes(world.needed_scopes.clone())));
    }
    if let Some(naive) = &world.step_up {
        let mut wanted = StepUp::new();
        if !naive.acr_values.is_empty() {
            wanted = wanted.acr_values(naive.acr_values.clone());
        }
        if let Some(age) = naive.max_age_secs {
            wanted = wanted.max_age(seconds(age));
        }
        checks.push(Arc::new(step_up(wanted)));
    }
    if let Order::ScopesLast = order {
        checks.reverse();
    }
    if let Some(NaiveNames { names, issuer }) = &world.clients {
        let check = clients(names.clone());
        checks.push(match issuer {
            Some(issuer) => Arc::new(check.of_issuer(issuer)),
            None => Arc::new(check),
        });
    }
    if let Some(NaiveNames { names, issuer }) = &world.subjects {
        let check = subjects(names.clone());
        checks.push(match issuer {
            Some(issuer) => Arc::new(check.of_issuer(issuer)),
            None => Arc::new(check),
        });
    }
    match &world.actor {
        None => {}
        Some(NaiveActor::Some) => checks.push(Arc::new(actor())),
        Some(NaiveActor::None) => checks.push(Arc::new(no_actor())),
        Some(NaiveActor::OneOf(NaiveNames { names, issuer })) => {
            let check = actors(names.clone());
            checks.push(match issuer {
                Some(issuer) => Arc::new(check.of_issuer(issuer)),
                None => Arc::new(check),
            });
        }
    }
    if let Some(naive) = &world.detail {
        let mut check = authorization_detail(&naive.detail_type);
        check = naive.actions.iter().fold(check, |check, one| check.action(one));
        check = naive.locations.iter().fold(check, |check, one| check.location(one));
        check = naive.datatypes.iter().fold(check, |check, one| check.datatype(one));
        check = naive.privileges.iter().fold(check, |check, one| check.privilege(one));
        check = naive.identifier.iter().fold(check, |check, one| check.identifier(one));
        checks.push(Arc::new(check));
    }
    let all = checks.into_iter().reduce(|one, other| Arc::new(one.and(other)));
    let policy = all.map_or_else(|| Policy::new(allow_all()), Policy::new);
    let policy = match &world.route_binding {
        None => policy,
        Some(name) => policy.binding(binding(name)),
    };
    let policy = match revocation {
        None => policy,
        Some(naive) => told::wanting(policy, naive),
    };
    let policy = match world.route_freshness_secs {
        None => policy,
        Some(time) => policy.freshness(seconds(time)),
    };
    let policy = match &world.route_asks {
        None => policy,
        Some(issuer) => policy.introspected_by(issuer),
    };
    let policy = if world.route_nonce { policy.require_nonce() } else { policy };
    if world.single_use { policy.single_use() } else { policy }
}

fn profile(naive: &NaiveProfile) -> TokenProfile {
    if *naive == NaiveProfile::default() {
        return TokenProfile::rfc9068();
    }
    let mut profile = TokenProfile::relaxed()
        .client_id_from(naive.client_claims.clone())
        .scope_from(naive.scope_claims.clone())
        .dangerous()
        .insecure_audience_from(naive.audience_claims.clone());
    for typ in &naive.more_types {
        profile = profile.accept_type(typ);
    }
    for claim in [OptionalClaim::ClientId, OptionalClaim::IssuedAt, OptionalClaim::JwtId] {
        if naive.may_lack.iter().any(|name| name == claim.as_str()) {
            profile = profile.may_lack(claim);
        }
    }
    if naive.untyped {
        profile = profile.accept_no_type();
    }
    if naive.scope_arrays {
        profile = profile.accept_scope_array();
    }
    if naive.id_tokens {
        profile = profile.accept_id_tokens();
    }
    for (name, values) in &naive.required {
        let values = values.iter().map(|json| serde_json::from_str::<Value>(json).unwrap());
        profile = profile.require_claim_in(name, values);
    }
    for (name, test) in &naive.kinds {
        profile = profile.subject_kind(
            kind(name),
            match test {
                NaiveTest::Equals(claim, value) => ClaimTest::equals(claim, value),
                NaiveTest::StartsWith(claim, prefix) => ClaimTest::starts_with(claim, prefix),
                NaiveTest::Present(claim) => ClaimTest::present(claim),
                NaiveTest::Absent(claim) => ClaimTest::absent(claim),
                NaiveTest::Same(claim, other) => ClaimTest::same(claim, other),
                NaiveTest::SameWithSuffix(claim, other, suffix) => {
                    ClaimTest::same_with_suffix(claim, other, suffix)
                }
            },
        );
    }
    profile
}

fn class(naive: &NaiveClass, index: usize) -> TokenClass {
    let class = TokenClass::named(format!("class {index}"))
        .issuers(naive.issuers.clone())
        .clients(naive.clients.clone())
        .scopes(naive.scopes.clone())
        .subject_kinds(naive.kinds.iter().map(|name| kind(name)))
        .audiences(naive.audiences.clone());
    let ages = [naive.max_age_secs, naive.freshness_secs];
    wanting(class, naive.max_lifetime_secs, ages, naive.binding.as_deref())
}

fn wanting(
    mut class: TokenClass,
    max_lifetime: Option<u64>,
    [max_age, freshness]: [Option<u64>; 2],
    bound: Option<&str>,
) -> TokenClass {
    if let Some(most) = max_lifetime {
        class = class.at_most(seconds(most));
    }
    if let Some(most) = max_age {
        class = class.max_age(seconds(most));
    }
    if let Some(most) = freshness {
        class = class.freshness(seconds(most));
    }
    if let Some(name) = bound {
        class = class.binding(binding(name));
    }
    class
}

fn exception(naive: &NaiveException, index: usize) -> Exception {
    let mut exception = Exception::for_clients(naive.clients.clone())
        .until(&naive.until)
        .because(format!("case {index}"))
        .from_networks(naive.networks.clone());
    if let Some(issuer) = &naive.issuer {
        exception = exception.of_issuer(issuer);
    }
    if let Some(most) = naive.max_lifetime_secs {
        exception = exception.at_most(seconds(most));
    }
    exception
}
