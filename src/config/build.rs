//! From the structure to the builder, and every fault on the way.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::issuer::Files;
use super::policy::PolicyTable;
use super::shape::{Class, DefaultClass, ExceptionTable, File, MetadataTable};
use super::tree::{Cuts, Fault, is_within};
use super::value::{Count, Some1, Switch, Table, Time};
use super::word::{BindingWord, KindWord, OtherAudiencesWord};
use crate::error::{BuildError, ConfigFault, Faults, key};
use crate::issuer::TenantList;
use crate::server::{Metadata, Policy, ResourceServer, ServerBuilder};
use crate::verify::{Exception, TokenClass};

impl File {
    /// The builder with everything that the file says, and what is wrong with it.
    pub(super) fn builder(&self, directory: Option<&Path>) -> (ServerBuilder, Faults) {
        let mut faults = Faults::new();
        let resource = self.resource.clone().unwrap_or_else(|| {
            let fault = "no resource: say `resource = \"https://...\"`";
            faults.push_at("resource", ConfigFault::File(fault.to_owned()));
            // Good in itself, so that nothing follows from it.
            "https://resource.invalid".to_owned()
        });
        let mut builder = ResourceServer::builder(resource);
        for audience in &self.accept_audiences {
            builder = builder.accept_audience(audience);
        }
        if let Some(OtherAudiencesWord(other)) = self.other_audiences {
            builder = builder.other_audiences(other);
        }
        // Before the issuers: what they may name is for the profile to say.
        if self.security_profile.is_some() {
            builder = builder.fapi2();
        }
        let files = Files(directory);
        for (index, Table(issuer)) in self.issuers.iter().enumerate() {
            let issuer = faults.at_element("issuers", index, |faults| issuer.build(files, faults));
            builder = builder.issuer(issuer);
        }
        builder = self.add_tenants(builder, files, &mut faults);
        if let Some(Table(class)) = &self.default_class {
            let class = faults.at("default_class", |faults| class.class(faults));
            builder = builder.class(class);
        }
        for (index, Table(class)) in self.classes.iter().enumerate() {
            let class = faults.at_element("classes", index, |faults| class.class(faults));
            builder = builder.class(class);
        }
        if let Some(BindingWord(binding)) = self.binding {
            builder = builder.binding(binding);
        }
        if let Some(Table(dpop)) = &self.dpop {
            builder = builder.dpop(faults.at("dpop", |faults| dpop.dpop(directory, faults)));
        }
        if let Some(Table(mtls)) = &self.mtls {
            builder = builder.mtls(faults.at("mtls", |faults| mtls.mtls(faults)));
        }
        if let Some(Table(replay)) = &self.replay {
            let store = faults.at("replay", |faults| replay.store(faults));
            builder = builder.replay_store(store);
        }
        for Table(exception) in &self.exceptions {
            builder = builder.exception(exception.exception());
        }
        if let Some(Time(leeway)) = self.leeway {
            builder = builder.leeway(leeway);
        }
        if let Some(Count(bytes)) = self.max_token_bytes {
            builder = builder.max_token_bytes(bytes);
        }
        if let Some(Table(policy)) = &self.policy {
            builder = builder.policy(faults.at("policy", |faults| policy.policy(faults)));
        }
        for (name, Table(policy)) in &self.policies {
            builder = builder.named_policy(name, named(name, policy, &mut faults));
        }
        for (held, Some1(implied)) in &self.scope_implications {
            builder = builder.scope_implies(held, implied);
        }
        if let Some(Table(challenge)) = &self.challenge {
            if let Some(realm) = &challenge.realm {
                builder = builder.realm(realm);
            }
            if let Some(uri) = &challenge.error_uri {
                builder = builder.error_uri(uri);
            }
            for (name, value) in &challenge.params {
                builder = builder.challenge_param(name, value);
            }
        }
        builder = match &self.metadata {
            None => builder,
            Some(Switch::Off) => builder.without_metadata(),
            Some(Switch::On(metadata)) => builder.metadata(metadata.metadata()),
        };
        if let Some(secret) = &self.token_hash_key {
            match secret.from(directory).read() {
                Ok(key) => builder = builder.token_hash_key(key),
                Err(error) => {
                    faults.push_at("token_hash_key", ConfigFault::Secret(error.to_string()));
                }
            }
        }
        (builder, faults)
    }

    fn add_tenants(
        &self,
        builder: ServerBuilder,
        files: Files<'_>,
        faults: &mut Faults,
    ) -> ServerBuilder {
        let Some(Table(tenants)) = &self.tenants else { return builder };
        // A resolver is asked at run time only: here its issuers are known, and so are their faults.
        let rules = builder.issuer_rules();
        let list = TenantList::new();
        let mut ids = BTreeSet::new();
        faults.at("tenants", |faults| {
            for (index, Table(table)) in tenants.issuers.iter().enumerate() {
                faults.at_element("issuers", index, |faults| {
                    let before = faults.len();
                    let issuer = table.build(files, faults);
                    if !ids.insert(issuer.id().to_owned()) {
                        let fault = ConfigFault::DuplicateIssuer(issuer.id().to_owned());
                        faults.push_at("id", fault);
                    } else if faults.len() == before {
                        issuer.check(rules, faults);
                    }
                    // Its faults were told with their places.
                    list.add(issuer).ok();
                });
            }
            if tenants.issuers.is_empty() {
                let fault = "no tenant: say `issuers = [...]`";
                faults.push_at("issuers", ConfigFault::File(fault.to_owned()));
            }
            if tenants.at_most.is_none() {
                let fault = "say how many are kept at once, with their keys: `at_most = 1000`";
                faults.push_at("at_most", ConfigFault::File(fault.to_owned()));
            }
        });
        builder.tenants(list, tenants.at_most.map_or(1, |Count(at_most)| at_most))
    }
}

fn named(name: &str, policy: &PolicyTable, faults: &mut Faults) -> Policy {
    faults.at(&format!("policies.{}", key(name)), |faults| policy.policy(faults))
}

impl DefaultClass {
    fn class(&self, faults: &mut Faults) -> TokenClass {
        let at_most = self.at_most.map(|time| time.0);
        if at_most.is_none() {
            let fault = "say how long a token may live: `at_most = \"15m\"`";
            faults.push_at("at_most", ConfigFault::File(fault.to_owned()));
        }
        let class = TokenClass::default_at_most(at_most.unwrap_or(Duration::from_mins(15)));
        wants(class, None, [self.max_age, self.freshness], self.binding)
    }
}

impl Class {
    fn class(&self, faults: &mut Faults) -> TokenClass {
        super::issuer::wanted("name", self.name.is_some(), faults);
        let list = |list: &Option<Some1<String>>| {
            list.as_ref().map(|Some1(list)| list.clone()).unwrap_or_default()
        };
        let kinds = self.subject_kinds.iter().flat_map(|Some1(list)| list);
        let class = TokenClass::named(self.name.clone().unwrap_or_default())
            .issuers(list(&self.issuers))
            .clients(list(&self.clients))
            .scopes(list(&self.scopes))
            .subject_kinds(kinds.map(|KindWord(kind)| *kind))
            .audiences(list(&self.audiences));
        wants(class, self.at_most, [self.max_age, self.freshness], self.binding)
    }
}

fn wants(
    mut class: TokenClass,
    at_most: Option<Time>,
    [max_age, freshness]: [Option<Time>; 2],
    binding: Option<BindingWord>,
) -> TokenClass {
    if let Some(Time(time)) = at_most {
        class = class.at_most(time);
    }
    if let Some(Time(time)) = max_age {
        class = class.max_age(time);
    }
    if let Some(Time(time)) = freshness {
        class = class.freshness(time);
    }
    if let Some(BindingWord(binding)) = binding {
        class = class.binding(binding);
    }
    class
}

impl ExceptionTable {
    fn exception(&self) -> Exception {
        let list = |list: &Option<Some1<String>>| {
            list.as_ref().map(|Some1(list)| list.clone()).unwrap_or_default()
        };
        let mut exception =
            Exception::for_clients(list(&self.clients)).from_networks(list(&self.from_networks));
        if let Some(issuer) = &self.of_issuer {
            exception = exception.of_issuer(issuer);
        }
        if let Some(day) = &self.until {
            exception = exception.until(day);
        }
        if let Some(reason) = &self.because {
            exception = exception.because(reason);
        }
        if let Some(Time(time)) = self.at_most {
            exception = exception.at_most(time);
        }
        exception
    }
}

impl MetadataTable {
    fn metadata(&self) -> Metadata {
        let mut metadata = Metadata::new();
        if let Some(name) = &self.resource_name {
            metadata = metadata.resource_name(name);
        }
        if let Some(url) = &self.resource_documentation {
            metadata = metadata.resource_documentation(url);
        }
        if let Some(url) = &self.resource_policy_uri {
            metadata = metadata.resource_policy_uri(url);
        }
        if let Some(url) = &self.resource_tos_uri {
            metadata = metadata.resource_tos_uri(url);
        }
        for (language, Table(names)) in &self.localized {
            for (name, value) in [
                ("resource_name", &names.resource_name),
                ("resource_documentation", &names.resource_documentation),
                ("resource_policy_uri", &names.resource_policy_uri),
                ("resource_tos_uri", &names.resource_tos_uri),
            ] {
                if let Some(value) = value {
                    metadata = metadata.localized(name, language, value);
                }
            }
        }
        if self.without_scopes { metadata.without_scopes() } else { metadata }
    }
}

/// All that is known to be wrong, once each.
pub(super) struct Merged {
    faults: Faults,
    /// The places so far; where one is a gap, what is wrong around it may follow from it.
    places: Vec<(String, ConfigFault)>,
}

impl Merged {
    /// What was wrong with the text.
    pub(super) fn new(read: &[Fault]) -> Self {
        let mut merged = Self { faults: Faults::new(), places: Vec::new() };
        for fault in read {
            let what = ConfigFault::File(fault.what.clone());
            merged.faults.push_at(&fault.path, what.clone());
            if fault.gap {
                merged.places.push((fault.path.clone(), what));
            }
        }
        merged
    }

    /// And with what the text says; `cuts` says what the places were in the text.
    pub(super) fn add(&mut self, error: &BuildError, cuts: &Cuts) {
        // With one issuer the less, others may seem to name one that there is not.
        let issuers_known = !self.places.iter().any(|(gap, _)| is_issuer(gap));
        let mut new = Vec::new();
        for (place, fault) in error.places() {
            let place = cuts.original(place);
            let said_at = issuer_said_at(&place);
            let follows = self.places.iter().any(|(gap, _)| {
                is_within(gap, &place) || said_at.as_deref().is_some_and(|at| is_within(gap, at))
            });
            let unknown = !issuers_known && names_issuer(&place);
            let measures = measured_by(&place, fault);
            let follows =
                follows || self.places.iter().any(|(gap, _)| measures.contains(&gap.as_str()));
            // Which transport there is, code may still say.
            let for_code = matches!(fault, ConfigFault::NoTransport);
            if !follows && !unknown && !for_code {
                self.faults.push_at(&place, fault.clone());
                new.push((place, fault.clone()));
            }
        }
        self.places.extend(new);
    }

    pub(super) fn into_error(self) -> BuildError {
        self.faults.into_error()
    }
}

fn is_issuer(place: &str) -> bool {
    let bare = place.is_empty() || place == "issuers" || place == "tenants";
    bare || place.ends_with(".id") || (place.contains("issuers[") && place.ends_with(']'))
}

/// Where it is said whose clients stand there: what is wrong there may leave them without issuer.
fn issuer_said_at(place: &str) -> Option<String> {
    let class = place.strip_suffix(".clients").filter(|place| place.starts_with("classes["));
    class.map(|class| format!("{class}.issuers"))
}

/// What a fault at this place may follow from, if it is missing: where it is said what is possible.
fn measured_by(place: &str, fault: &ConfigFault) -> &'static [&'static str] {
    match fault {
        ConfigFault::NoMechanism { .. } => &["dpop", "mtls"],
        _ if place.ends_with(".require_nonce") => &["dpop", "dpop.nonces"],
        _ if place == "replay.client_share" => &["replay.capacity"],
        _ => &[],
    }
}

/// Whether what stands there has to be the name of a configured issuer.
fn names_issuer(place: &str) -> bool {
    (place.starts_with("classes[") && place.ends_with(".issuers"))
        || (place.starts_with("exceptions[") && place.ends_with(".of_issuer"))
}
