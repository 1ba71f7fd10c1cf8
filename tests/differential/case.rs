//! One request in one world: what both say about it, and how it is kept.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};
use portcullis::check::{
    Check, StepUp, actor, actors, all_scopes, allow_all, authorization_detail, clients, no_actor,
    step_up, subjects,
};
use portcullis::issuer::{ClaimTest, OptionalClaim, TokenProfile};
use portcullis::jose::Algorithm;
use portcullis::testing::{ManualClock, challenges};
use portcullis::time::Timestamp;
use portcullis::{
    Access, Binding, Exception, Guard, Issuer, OtherAudiences, PeerAddr, Policy, RejectionKind,
    ResourceServer, SubjectKind, TokenClass,
};
use serde_json::{Value, json};

use crate::naive::{
    self, Granted, NaiveActor, NaiveClass, NaiveException, NaiveNames, NaiveProfile, NaiveRequest,
    NaiveTest, Verdict, World,
};

/// What the crate says, with the kind of a refusal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Pass(Granted),
    Refuse {
        status: u16,
        error: Option<String>,
        params: BTreeMap<&'static str, String>,
        kind: RejectionKind,
    },
    Panic,
}

impl Answer {
    pub(crate) fn agrees_with(&self, verdict: &Verdict) -> bool {
        match (self, verdict) {
            (Self::Pass(granted), Verdict::Pass(naive_granted)) => granted == naive_granted,
            (
                Self::Refuse { status, error, params, .. },
                Verdict::Refuse {
                    status: naive_status,
                    error: naive_error,
                    params: naive_params,
                    ..
                },
            ) => {
                status == naive_status && error.as_deref() == *naive_error && params == naive_params
            }
            _ => false,
        }
    }
}

/// The crate's server for a world. Its policy is the server's own and a guard's, which asks the
/// same in another order.
pub(crate) struct Server {
    api: ResourceServer,
    guard: Guard,
}

#[derive(Clone, Copy)]
enum Order {
    ScopesFirst,
    ScopesLast,
}

impl Server {
    pub(crate) fn new(world: &World) -> Self {
        let clock = ManualClock::new();
        clock.set(Timestamp::from_duration(Duration::new(
            u64::try_from(world.now_nanos / 1_000_000_000).unwrap(),
            u32::try_from(world.now_nanos % 1_000_000_000).unwrap(),
        )));
        let default = TokenClass::default_at_most(seconds(world.max_lifetime_secs));
        let mut builder = ResourceServer::builder(&world.resource)
            .binding(binding(&world.binding))
            .class(wanting(default, None, world.max_age_secs, world.default_binding.as_deref()))
            .leeway(seconds(world.leeway_secs))
            .other_audiences(match world.no_other_audience {
                true => OtherAudiences::Refuse,
                false => OtherAudiences::Accept,
            })
            .policy(policy(world, Order::ScopesFirst))
            .clock(clock);
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
            let issuer = Issuer::fixed_keys(&issuer.id, issuer.jwks.as_str())
                .algorithms(algorithms)
                .profile(profile(&issuer.profile));
            builder = builder.issuer(issuer);
        }
        let api = builder.build().unwrap_or_else(|fault| panic!("{fault}\n{world:#?}"));
        let guard = api.guard(policy(world, Order::ScopesLast)).unwrap();
        Self { api, guard }
    }

    /// Decides by the server or by the guard, which is the same.
    pub(crate) fn decide(&self, request: &NaiveRequest, by_guard: bool) -> Answer {
        let mut head = Request::new(());
        for line in &request.authorization {
            let line = HeaderValue::from_bytes(line).expect("octets that a field may have");
            head.headers_mut().append(AUTHORIZATION, line);
        }
        if let Some(peer) = request.peer {
            head.extensions_mut().insert(PeerAddr::new(peer));
        }
        let (parts, ()) = head.into_parts();
        let decide = || match by_guard {
            true => ready(self.guard.verify(&parts)),
            false => ready(self.api.verify(&parts)),
        };
        match catch_unwind(AssertUnwindSafe(decide)) {
            Err(_) => Answer::Panic,
            Ok(Ok(access)) => Answer::Pass(granted(&access)),
            Ok(Err(rejection)) => {
                let response = rejection.to_response::<()>();
                assert_eq!(response.status(), rejection.status());
                let challenges = challenges(response.headers());
                assert_eq!(challenges.len(), 1, "{challenges:?}");
                let param = |name| Some((name, challenges[0].param(name)?.to_owned()));
                Answer::Refuse {
                    status: rejection.status().as_u16(),
                    error: challenges[0].param("error").map(str::to_owned),
                    params: ["scope", "acr_values", "max_age"]
                        .into_iter()
                        .filter_map(param)
                        .collect(),
                    kind: rejection.kind(),
                }
            }
        }
    }
}

fn granted(access: &Access) -> Granted {
    Granted {
        iss: access.issuer().as_str().to_owned(),
        sub: access.subject().as_str().to_owned(),
        kind: access.subject_kind().as_str().to_owned(),
        client_id: access.client_id().map(|client| client.as_str().to_owned()),
        jti: access.jwt_id().map(|id| id.as_str().to_owned()),
        audiences: access.audiences().map(|audience| audience.as_str().to_owned()).collect(),
        scopes: access.scopes().map(str::to_owned).collect(),
        acr: access.acr().map(str::to_owned),
        actor: access
            .actor()
            .map(|actor| (actor.issuer().to_owned(), actor.subject().as_str().to_owned())),
    }
}

fn seconds(seconds: u64) -> Duration {
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

fn policy(world: &World, order: Order) -> Policy {
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
    match &world.route_binding {
        None => policy,
        Some(name) => policy.binding(binding(name)),
    }
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
    wanting(class, naive.max_lifetime_secs, naive.max_age_secs, naive.binding.as_deref())
}

fn wanting(
    mut class: TokenClass,
    max_lifetime: Option<u64>,
    max_age: Option<u64>,
    bound: Option<&str>,
) -> TokenClass {
    if let Some(most) = max_lifetime {
        class = class.at_most(seconds(most));
    }
    if let Some(most) = max_age {
        class = class.max_age(seconds(most));
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

/// With fixed keys there is nothing to wait for.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a decision with fixed keys waits"),
    }
}

/// A request in a world, as it is kept in a file.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) world: World,
    pub(crate) request: NaiveRequest,
}

impl Case {
    pub(crate) fn verdicts(&self) -> (Answer, Answer, Verdict) {
        let server = Server::new(&self.world);
        let by_server = server.decide(&self.request, false);
        let by_guard = server.decide(&self.request, true);
        (by_server, by_guard, naive::decide(&self.world, &self.request))
    }

    pub(crate) fn to_json(&self, name: &str) -> String {
        let (by_server, by_guard, naive) = self.verdicts();
        let lines: Vec<String> = self
            .request
            .authorization
            .iter()
            .map(|line| line.iter().map(|octet| format!("{octet:02x}")).collect())
            .collect();
        let case = json!({
            "name": name,
            "crate": { "server": format!("{by_server:?}"), "guard": format!("{by_guard:?}") },
            "reference": format!("{naive:?}"),
            "authorization_hex": lines,
            "peer": self.request.peer,
            "world": self.world,
        });
        serde_json::to_string_pretty(&case).unwrap() + "\n"
    }

    pub(crate) fn from_json(text: &str) -> Self {
        let case: Value = serde_json::from_str(text).unwrap();
        let lines = case["authorization_hex"].as_array().unwrap().iter().map(|line| {
            let hex = line.as_str().unwrap();
            let octet = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            (0..hex.len()).step_by(2).map(octet).collect()
        });
        Self {
            world: serde_json::from_value(case["world"].clone()).unwrap(),
            request: NaiveRequest {
                authorization: lines.collect(),
                peer: case["peer"].as_str().map(|peer| peer.parse().unwrap()),
            },
        }
    }

    /// Prints the case and keeps it beside the others.
    pub(crate) fn keep(&self, seed: u64, number: usize, name: &str) {
        let json = self.to_json(name);
        let path = directory().join(format!("seed-{seed}-case-{number}.json"));
        eprintln!("{json}");
        match std::fs::write(&path, json) {
            Ok(()) => eprintln!("kept as {}", path.display()),
            Err(error) => eprintln!("not kept as {}: {error}", path.display()),
        }
    }
}

pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential-regressions")
}
