//! From the structure to the builder, and every fault on the way.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::files::Files;
use super::policy::PolicyTable;
use super::revocation::Journals;
use super::shape::{Class, DefaultClass, ExceptionTable, File, MetadataTable};
use super::value::{Count, Some1, Switch, Table, Time};
use super::word::{BindingWord, KindWord, OtherAudiencesWord};
use crate::error::{ConfigFault, Faults, key};
use crate::issuer::TenantList;
use crate::server::{Metadata, Policy, ResourceServer, ServerBuilder};
use crate::verify::{Exception, FirstVerifications, TokenClass};

/// What a file becomes.
pub(super) struct Made {
    /// With everything that the file says.
    pub(super) builder: ServerBuilder,
    /// What is wrong with it that no builder can be told.
    pub(super) faults: Faults,
    /// Whether the builder tells of faults at places that are not those of a file.
    pub(super) misplaces: bool,
}

impl File {
    pub(super) fn made(&self, directory: Option<&Path>, journals: Journals) -> Made {
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
        if let Some(Table(table)) = &self.decryption {
            #[cfg(feature = "jwe")]
            {
                let look = |faults: &mut Faults| table.decryption(files, faults);
                builder = builder.decryption(faults.at("decryption", look));
            }
            #[cfg(not(feature = "jwe"))]
            {
                let _ = table;
                faults.at("decryption", super::decryption::without_feature);
            }
        }
        for (index, Table(table)) in self.introspection.iter().enumerate() {
            let look = |faults: &mut Faults| table.introspection(files, faults);
            builder = builder.introspection(faults.at_element("introspection", index, look));
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
        if let Some(Count(bytes)) = self.known_tokens_bytes {
            builder = builder.known_tokens_bytes(u64::try_from(bytes).unwrap_or(u64::MAX));
        }
        builder = match &self.first_verifications {
            None => builder,
            Some(Switch::Off) => builder.first_verifications(FirstVerifications::unbounded()),
            Some(Switch::On(table)) => builder.first_verifications(table.bound()),
        };
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
        // The last: no journal is begun for a file that has faults.
        let mut misplaces = false;
        if let Some(Table(table)) = &self.revocation {
            let mut revocation = faults.at("revocation", |faults| table.sources(files, faults));
            misplaces = table.misplaces(&revocation);
            let good = faults.len() == 0 && !misplaces;
            let journals = if good { journals } else { Journals::LookedAt };
            let open = |faults: &mut Faults| table.journal(files, journals, faults);
            if let Some(journal) = faults.at("revocation", open) {
                revocation = revocation.journal(journal);
            }
            builder = builder.revocation(revocation);
        }
        Made { builder, faults, misplaces }
    }

    /// The place in a file of what the builder says is wrong.
    pub(super) fn place(&self, place: &str) -> String {
        let within = place.strip_prefix("revocation.");
        match (&self.revocation, within) {
            (Some(Table(revocation)), Some(within)) => match revocation.place(within) {
                Some(within) => format!("revocation.{within}"),
                None => place.to_owned(),
            },
            _ => place.to_owned(),
        }
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
                    table.needs_keys(faults);
                    if self.decryption.is_none() {
                        table.needs_no_decryption(faults);
                    }
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
