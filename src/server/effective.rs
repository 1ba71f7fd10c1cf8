use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Shared;
use crate::check::Needs;
use crate::issuer::{IdTokens, IssuerKeys, TokenProfile, Untyped};
use crate::jose::{Algorithm, ScopeForm};
use crate::name::{Audience, Scope};
use crate::time::shown_duration;
use crate::verify::{CheckedException, OtherAudiences, TokenClass};

impl Shared {
    /// What is enforced. Each line of it is one that a decision reads.
    pub(super) fn effective_policy(&self) -> Value {
        let rules = &self.rules;
        let now = self.clock.now();
        let issuers: Vec<_> =
            rules.issuers.configured().into_iter().map(|keys| issuer(keys)).collect();
        let audiences: Vec<_> = rules.audiences.iter().map(Audience::as_str).collect();
        let classes: Vec<_> = rules.classes.all().map(TokenClass::report).collect();
        let exceptions: Vec<_> = rules
            .exceptions
            .iter()
            .map(|exception: &CheckedException| exception.report(now))
            .collect();
        let mut policy = json!({
            "resource": self.resource.as_str(),
            "audiences": audiences,
            "other_audiences": match rules.other_audiences {
                OtherAudiences::Accept => "accept",
                OtherAudiences::Refuse => "refuse",
            },
            "leeway": shown_duration(rules.leeway),
            "max_token_bytes": rules.max_token,
            "binding": rules.binding.as_str(),
            "issuers": issuers,
            "classes": classes,
            "exceptions": exceptions,
            // What stands here is not enforced, and a reader should know.
            "not_enforced": ["revocation"],
            "policies": self.all_policies(),
        });
        if let Some(policy) = policy.as_object_mut() {
            if let Some(at_most) = rules.issuers.tenants_at_most() {
                policy.insert("tenants".to_owned(), json!({ "at_most": at_most }));
            }
            if let Some(profile) = self.security_profile {
                policy.insert("security_profile".to_owned(), profile.as_str().into());
            }
            let implies = &self.context.implies;
            if !implies.table.is_empty() {
                let table: BTreeMap<&str, Vec<&str>> = implies
                    .table
                    .iter()
                    .map(|(held, granted)| {
                        (held.as_str(), granted.iter().map(Scope::as_str).collect())
                    })
                    .collect();
                policy.insert("scope_implications".to_owned(), json!(table));
            }
            if implies.rule.is_some() {
                policy.insert("scope_rule".to_owned(), "custom".into());
            }
        }
        policy
    }

    /// Those made so far, and those that have a name.
    fn all_policies(&self) -> Vec<Value> {
        let mut all = self.document.policies();
        for policy in self.policies.values() {
            let report = policy.report(&Needs::of(&*policy.check));
            if !all.contains(&report) {
                all.push(report);
            }
        }
        all
    }
}

fn issuer(keys: &IssuerKeys) -> Value {
    let (source, url) = keys.key_source();
    let algorithms: Vec<_> = keys.algorithms().iter().copied().map(Algorithm::as_str).collect();
    let mut report = Map::new();
    report.insert("id".to_owned(), keys.id().as_str().into());
    report.insert("keys".to_owned(), source.into());
    if let Some(url) = url {
        report.insert("jwks_uri".to_owned(), url.into());
    }
    report.insert("algorithms".to_owned(), algorithms.into());
    report.insert("profile".to_owned(), profile(keys.profile()));
    if source != "fixed" {
        report.insert("key_refresh".to_owned(), keys.key_refresh().report());
    }
    report.into()
}

fn profile(profile: &TokenProfile) -> Value {
    let may_lack: Vec<_> = profile.may_lack.iter().map(|claim| claim.as_str()).collect();
    let required: Vec<_> = profile
        .required
        .iter()
        .map(|required| json!({ "claim": required.name, "one_of": required.one_of }))
        .collect();
    let kinds: Vec<_> = profile
        .kinds
        .iter()
        .map(|rule| json!({ "kind": rule.kind.as_str(), "when": rule.when.report() }))
        .collect();
    json!({
        "name": profile.name(),
        "types": profile.types,
        "without_type": match profile.untyped {
            Untyped::Refused => "refuse",
            Untyped::Accepted => "accept",
        },
        "id_tokens": match profile.id_tokens {
            IdTokens::Refused => "refuse",
            IdTokens::Accepted => "accept",
        },
        "may_lack": may_lack,
        "client_id_from": profile.client_id_claims,
        "scope_from": profile.scope_claims,
        "scope_form": match profile.scope_form {
            ScopeForm::Text => "text",
            ScopeForm::TextOrArray => "text_or_array",
        },
        "audience_from": profile.audience_claims,
        "require_claims": required,
        "subject_kinds": kinds,
    })
}
