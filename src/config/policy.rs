//! Policies: what a route asks of a token, as far as it can be written down.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::issuer::wanted;
use super::revocation::{Stale, on_stale};
use super::value::{Actor, Names, Some1, Table, Time, Way};
use super::word::{BindingWord, Credentials, CredentialsWord, KindWord, PreflightWord, Presence};
use crate::check::{
    Check, CheckContext, CheckError, Needs, RequireClaim, StepUp, actor, actors, all_scopes,
    allow_all, any_scope, authorization_detail, claim, clients, issuers, no_actor, peer_in,
    step_up, subject_kinds, subjects,
};
use crate::error::{ConfigFault, Faults};
use crate::server::Policy;

/// What is asked of a token, all of it, and how a request is treated.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Policy"))]
pub(super) struct PolicyTable {
    /// Any accepted token will do. Mandatory where nothing else is asked, and nowhere else.
    allow_all: Option<bool>,
    /// The token grants every one of these scopes.
    all_scopes: Option<Some1<String>>,
    /// The token grants at least one of these scopes. A challenge asks for the first.
    any_scope: Option<Some1<String>>,
    /// The token is one of these issuers'.
    issuers: Option<Some1<String>>,
    /// The token was issued to one of these clients.
    clients: Option<Names>,
    /// The token's subject is one of these.
    subjects: Option<Names>,
    /// The token speaks for a subject of one of these kinds.
    subject_kinds: Option<Some1<KindWord>>,
    /// Whether somebody has to act for the subject, or nobody may, or who may.
    actor: Option<Actor>,
    /// Conditions on claims.
    claims: Option<Some1<Table<ClaimTable>>>,
    /// How the user has to have authenticated (RFC 9470).
    step_up: Option<Table<StepUpTable>>,
    /// Each of these is granted by an authorization detail of the token (RFC 9396).
    authorization_details: Option<Some1<Table<DetailTable>>>,
    /// The request came from one of these networks, in CIDR notation.
    peer_in: Option<Some1<String>>,
    /// How the token has to be bound to its sender; it can only tighten.
    binding: Option<BindingWord>,
    /// Whether each token is accepted once, by issuer and `jti`; one without `jti` is then refused.
    single_use: bool,
    /// Whether each DPoP proof needs a nonce, also where `nonces` of `dpop` are optional.
    require_nonce: bool,
    /// What is known of the token's revocation has to be no older than this, whatever is said
    /// elsewhere. It needs a source of revocation, or an introspection.
    freshness: Option<Time>,
    /// What becomes of tokens when a source is older than its `max_age`, in place of what the source
    /// says. It needs a source of revocation.
    on_stale: Option<Stale>,
    /// The issuer that is asked about opaque tokens, one of those that `introspection` names; of one with
    /// `prefixes` only about those that begin so.
    introspected_by: Option<String>,
    /// Whether a request without credentials passes, without asking anything; "required" unless
    /// said otherwise.
    credentials: Option<CredentialsWord>,
    /// What becomes of a CORS preflight; "refuse" unless said otherwise.
    preflight: Option<PreflightWord>,
    /// Whether `Authorization` is removed from what the inner service sees.
    strip_credentials: bool,
    /// Whether scripts of other origins can read the challenge.
    expose_challenge: bool,
    /// How long the async checks have that code adds; "5s" unless said otherwise.
    async_timeout: Option<Time>,
}

/// One condition on a claim.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Claim", extend("required" = ["path"])))]
struct ClaimTable {
    /// The name of the claim, or a list of names into nested objects, the outermost first.
    path: Option<Way>,
    /// The claim is this value.
    equals: Option<Value>,
    /// The claim is one of these values.
    one_of: Option<Some1<Value>>,
    /// The claim is an array with this member, or this as a single string.
    contains: Option<Value>,
    /// The claim is an array with at least one of these members.
    contains_any: Option<Some1<Value>>,
    /// The claim is an array with every one of these members.
    contains_all: Option<Some1<Value>>,
    /// The claim is there.
    present: bool,
}

/// How the user has to have authenticated.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "StepUp"))]
struct StepUpTable {
    /// One of these authentication context classes, preferred ones first.
    acr_values: Option<Some1<String>>,
    /// How long ago at most, in whole seconds.
    max_age: Option<Time>,
}

/// What one authorization detail has to grant, all of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "AuthorizationDetail", extend("required" = ["type"])))]
struct DetailTable {
    /// Its type.
    r#type: Option<String>,
    /// Every one of these actions.
    actions: Option<Some1<String>>,
    /// One of these locations, in place of this resource's audiences.
    locations: Option<Some1<String>>,
    /// Every one of these data types.
    datatypes: Option<Some1<String>>,
    /// Every one of these privileges.
    privileges: Option<Some1<String>>,
    /// This identifier.
    identifier: Option<String>,
}

/// Checks as they are gathered, each with the member that it comes from.
struct Gathered<'a> {
    checks: Vec<Arc<dyn Check>>,
    faults: &'a mut Faults,
}

impl Gathered<'_> {
    fn add(&mut self, member: &str, check: impl Check + 'static) {
        // Asked here, its faults are at its member; the builder would know the policy's name only.
        let found = Needs::of(&check);
        self.faults.at(member, |faults| faults.extend(found.faults().iter().cloned()));
        self.checks.push(Arc::new(check));
    }

    fn fault(&mut self, member: &str, what: &str) {
        self.faults.push_at(member, ConfigFault::File(what.to_owned()));
    }
}

impl PolicyTable {
    /// The policy. Where something is wrong it is there all the same, and is never used.
    pub(super) fn policy(&self, faults: &mut Faults) -> Policy {
        let mut policy = Policy::new(AllOf(self.checks(faults)));
        if let Some(BindingWord(binding)) = self.binding {
            policy = policy.binding(binding);
        }
        if self.single_use {
            policy = policy.single_use();
        }
        if self.require_nonce {
            policy = policy.require_nonce();
        }
        if let Some(Time(time)) = self.freshness {
            policy = policy.freshness(time);
        }
        if let Some(stale) = &self.on_stale {
            policy = policy.on_stale(on_stale(stale, faults));
        }
        if let Some(issuer) = &self.introspected_by {
            policy = policy.introspected_by(issuer);
        }
        if let Some(CredentialsWord(Credentials::Optional)) = self.credentials {
            policy = policy.optional();
        }
        if let Some(PreflightWord(preflight)) = self.preflight {
            policy = policy.preflight(preflight);
        }
        if self.strip_credentials {
            policy = policy.strip_credentials();
        }
        if self.expose_challenge {
            policy = policy.expose_challenge();
        }
        if let Some(Time(timeout)) = self.async_timeout {
            policy = policy.async_timeout(timeout);
        }
        policy
    }

    /// In the order in which refusals tell a client most: what it can ask for comes first.
    fn checks(&self, faults: &mut Faults) -> Vec<Arc<dyn Check>> {
        let mut gathered = Gathered { checks: Vec::new(), faults };
        if let Some(Some1(scopes)) = &self.all_scopes {
            gathered.add("all_scopes", all_scopes(scopes));
        }
        if let Some(Some1(scopes)) = &self.any_scope {
            gathered.add("any_scope", any_scope(scopes));
        }
        if let Some(Some1(names)) = &self.issuers {
            gathered.add("issuers", issuers(names));
        }
        if let Some(Names { one_of, of_issuer }) = &self.clients {
            let check = clients(one_of);
            let check = of_issuer.iter().fold(check, |check, issuer| check.of_issuer(issuer));
            gathered.add("clients", check);
        }
        if let Some(Names { one_of, of_issuer }) = &self.subjects {
            let check = subjects(one_of);
            let check = of_issuer.iter().fold(check, |check, issuer| check.of_issuer(issuer));
            gathered.add("subjects", check);
        }
        if let Some(Some1(kinds)) = &self.subject_kinds {
            gathered.add("subject_kinds", subject_kinds(kinds.iter().map(|kind| kind.0)));
        }
        match &self.actor {
            None => {}
            Some(Actor::Presence(Presence::Required)) => gathered.add("actor", actor()),
            Some(Actor::Presence(Presence::Forbidden)) => gathered.add("actor", no_actor()),
            Some(Actor::Names(Names { one_of, of_issuer })) => {
                let check = actors(one_of);
                let check = of_issuer.iter().fold(check, |check, issuer| check.of_issuer(issuer));
                gathered.add("actor", check);
            }
        }
        for (index, Table(table)) in self.claims.iter().flat_map(|Some1(list)| list).enumerate() {
            table.gather(&format!("claims[{index}]"), &mut gathered);
        }
        let details = self.authorization_details.iter().flat_map(|Some1(list)| list);
        for (index, Table(table)) in details.enumerate() {
            table.gather(&format!("authorization_details[{index}]"), &mut gathered);
        }
        if let Some(Some1(networks)) = &self.peer_in {
            gathered.add("peer_in", peer_in(networks));
        }
        if let Some(Table(table)) = &self.step_up {
            let mut wanted = StepUp::new();
            if let Some(Some1(values)) = &table.acr_values {
                wanted = wanted.acr_values(values);
            }
            if let Some(Time(age)) = table.max_age {
                wanted = wanted.max_age(age);
            }
            gathered.add("step_up", step_up(wanted));
        }
        match (self.allow_all, gathered.checks.is_empty()) {
            (Some(true), true) => gathered.checks.push(Arc::new(allow_all())),
            (Some(true), false) => {
                gathered.fault("allow_all", "more is asked: take `allow_all` away, or the rest");
            }
            (_, true) => {
                let fault = "nothing is asked of a token: say what, or `allow_all = true`";
                gathered.faults.push(ConfigFault::File(fault.to_owned()));
            }
            (_, false) => {}
        }
        gathered.checks
    }
}

impl ClaimTable {
    fn gather(&self, place: &str, gathered: &mut Gathered<'_>) {
        gathered.faults.at(place, |faults| wanted("path", self.path.is_some(), faults));
        let Some(Way(path)) = &self.path else { return };
        let at = || claim(path.clone());
        let mut checks = Vec::new();
        checks.extend(self.equals.as_ref().map(|value| at().equals(value.clone())));
        checks.extend(self.one_of.as_ref().map(|Some1(list)| at().one_of(list.iter().cloned())));
        checks.extend(self.contains.as_ref().map(|value| at().contains(value.clone())));
        let any = self.contains_any.as_ref();
        checks.extend(any.map(|Some1(list)| at().contains_any(list.iter().cloned())));
        let all = self.contains_all.as_ref();
        checks.extend(all.map(|Some1(list)| at().contains_all(list.iter().cloned())));
        checks.extend(self.present.then(|| at().present()));
        if checks.is_empty() {
            let fault = "it asks nothing of the claim: say `equals`, `one_of`, `contains`, \
                         `contains_any`, `contains_all` or `present = true`";
            gathered.fault(place, fault);
        }
        if !checks.is_empty() {
            gathered.add(place, OneClaim(checks));
        }
    }
}

/// Every condition on one claim. They stand together in the effective policy, as in the file.
struct OneClaim(Vec<RequireClaim>);

impl Check for OneClaim {
    fn check(&self, request: &CheckContext<'_>) -> Result<(), CheckError> {
        self.0.iter().try_for_each(|check| check.check(request))
    }

    fn needs(&self, needs: &mut Needs) {
        let mut conditions = Map::new();
        for check in &self.0 {
            let found = Needs::of(check);
            found.faults().iter().cloned().for_each(|fault| needs.fault(fault));
            let rules =
                found.rules().iter().filter_map(|rule| rule.pointer("/claims/0")?.as_object());
            rules.for_each(|rule| conditions.extend(rule.clone()));
        }
        needs.rule("claims", [conditions]);
    }
}

impl DetailTable {
    fn gather(&self, place: &str, gathered: &mut Gathered<'_>) {
        gathered.faults.at(place, |faults| wanted("type", self.r#type.is_some(), faults));
        let Some(detail_type) = &self.r#type else { return };
        let each = |list: &Option<Some1<String>>| {
            list.as_ref().map(|Some1(list)| list.clone()).unwrap_or_default()
        };
        let mut check = authorization_detail(detail_type);
        for action in each(&self.actions) {
            check = check.action(action);
        }
        for location in each(&self.locations) {
            check = check.location(location);
        }
        for datatype in each(&self.datatypes) {
            check = check.datatype(datatype);
        }
        for privilege in each(&self.privileges) {
            check = check.privilege(privilege);
        }
        if let Some(identifier) = &self.identifier {
            check = check.identifier(identifier);
        }
        gathered.add(place, check);
    }
}

/// Every one of them, in their order. It is never empty where a server is built with it.
struct AllOf(Vec<Arc<dyn Check>>);

impl Check for AllOf {
    fn check(&self, request: &CheckContext<'_>) -> Result<(), CheckError> {
        self.0.iter().try_for_each(|check| check.check(request))
    }

    fn needs(&self, needs: &mut Needs) {
        self.0.iter().for_each(|check| check.needs(needs));
    }
}
