use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::Shared;
use crate::check::Needs;
use crate::introspection::{Keys, are_always_asked};
use crate::issuer::{IdTokens, IssuerKeys, KindRule, TokenProfile, TransportOf, Untyped};
use crate::jose::{Algorithm, ScopeForm};
use crate::name::{Audience, LoopbackHttp, Scope};
use crate::sender::{MemoryReplayStore, ReplayStore};
use crate::time::shown_duration;
use crate::verify::{CheckedException, OtherAudiences, TokenClass, first_verifications};

impl Shared {
    /// What is enforced, in the words of a configuration file and at the places where it would say
    /// them. Each line of it is one that a decision reads.
    pub(super) fn effective_policy(&self, own: &Value) -> Value {
        let rules = &self.rules;
        let now = self.clock.now();
        let mut report = Map::new();
        let mut member = |name: &str, value: Value| report.insert(name.to_owned(), value);
        member("resource", self.resource.as_str().into());
        // The first is the resource.
        let audiences: Vec<_> = rules.audiences.iter().skip(1).map(Audience::as_str).collect();
        member("accept_audiences", audiences.into());
        let other_audiences = match rules.other_audiences {
            OtherAudiences::Accept => "accept",
            OtherAudiences::Refuse => "refuse",
        };
        member("other_audiences", other_audiences.into());
        member("leeway", shown_duration(rules.leeway).into());
        member("max_token_bytes", rules.max_token.into());
        member("known_tokens_bytes", rules.known.bytes_at_most().into());
        member("first_verifications", first_verifications(rules.turns.as_deref()));
        member("binding", rules.binding.as_str().into());
        if let Some(dpop) = &rules.mechanisms.dpop {
            member("dpop", dpop.report());
        }
        if let Some(mtls) = &rules.mechanisms.mtls {
            member("mtls", mtls.report());
        }
        member("replay", self.replay_room.report());
        let issuers = rules.issuers.configured();
        member("issuers", issuers.iter().map(|keys| issuer(keys)).collect());
        if let Some(at_most) = rules.issuers.tenants_at_most() {
            member("tenants", json!({ "at_most": at_most }));
        }
        #[cfg(feature = "jwe")]
        if let Some(decryptor) = &rules.decryptor {
            member("decryption", decryptor.report());
        }
        if !rules.introspectors.is_empty() {
            member("introspection", rules.introspectors.report());
        }
        member("default_class", rules.classes.default_class().report());
        member("classes", rules.classes.others().map(TokenClass::report).collect());
        let exceptions = rules.exceptions.iter();
        let exceptions = exceptions.map(|exception: &CheckedException| exception.report(now));
        member("exceptions", exceptions.collect());
        if let Some(profile) = self.security_profile {
            member("security_profile", profile.as_str().into());
        }
        let implies = &self.context.implies;
        if !implies.table.is_empty() {
            let table: BTreeMap<&str, Vec<&str>> = implies
                .table
                .iter()
                .map(|(held, granted)| (held.as_str(), granted.iter().map(Scope::as_str).collect()))
                .collect();
            member("scope_implications", json!(table));
        }
        if implies.rule.is_some() {
            member("scope_rule", "custom".into());
        }
        let named: Map<String, Value> = self
            .policies
            .iter()
            .map(|(name, policy)| (name.clone(), policy.report(&Needs::of(&*policy.check))))
            .collect();
        let mounted = self.document.policies().into_iter();
        let mounted =
            mounted.filter(|report| report != own && !named.values().any(|one| one == report));
        let mounted: Vec<_> = mounted.collect();
        member("policy", own.clone());
        member("policies", named.into());
        member("mounted", mounted.into());
        match &self.rules.revocation {
            Some(revocation) => member("revocation", revocation.report().clone()),
            // Whose issuer is asked about every token knows by that.
            None if self.asks_about_all() => None,
            // What stands here is not enforced, and a reader should know.
            None => member("not_enforced", json!(["revocation"])),
        };
        report.into()
    }
}

impl Shared {
    /// Whether every token is one that its issuer is asked about.
    fn asks_about_all(&self) -> bool {
        let rules = &self.rules;
        let asked = |issuer: &Arc<IssuerKeys>| {
            let keys = if issuer.has_keys() { Keys::Known } else { Keys::None };
            (keys, rules.introspectors.asked_about(issuer.id().as_str()))
        };
        rules.issuers.tenants_at_most().is_none()
            && are_always_asked(rules.issuers.configured().iter().map(asked))
    }
}

/// What a replay store has room for, as far as that is known.
#[derive(Clone, Copy, Debug)]
pub(super) enum ReplayRoom {
    Memory {
        capacity: usize,
        client_share: usize,
    },
    /// A store that is not this crate's.
    Own,
}

impl ReplayRoom {
    pub(super) fn of(store: &impl ReplayStore) -> Self {
        let store: &dyn Any = store;
        let shared = || store.downcast_ref::<Arc<MemoryReplayStore>>().map(AsRef::as_ref);
        match store.downcast_ref::<MemoryReplayStore>().or_else(shared) {
            None => Self::Own,
            Some(memory) => {
                let health = memory.health();
                Self::Memory { capacity: health.capacity, client_share: health.client_share }
            }
        }
    }

    fn report(self) -> Value {
        match self {
            Self::Memory { capacity, client_share } => {
                json!({ "capacity": capacity, "client_share": client_share })
            }
            Self::Own => json!({ "store": "own" }),
        }
    }
}

fn issuer(keys: &IssuerKeys) -> Value {
    let (source, url) = keys.key_source();
    let algorithms: Vec<_> = keys.algorithms().iter().copied().map(Algorithm::as_str).collect();
    let mut report = Map::new();
    let mut member = |name: &str, value: Value| report.insert(name.to_owned(), value);
    member("id", keys.id().as_str().into());
    if keys.has_keys() {
        member("keys", source.into());
        member("algorithms", algorithms.into());
    } else {
        member("opaque", true.into());
    }
    if let Some(url) = url {
        member("jwks_uri", url.into());
    }
    if keys.encrypted_only() {
        member("encrypted_only", true.into());
    }
    member("profile", profile(keys.profile()));
    if source != "fixed" && keys.has_keys() {
        member("key_refresh", keys.key_refresh().report());
    }
    let fetching = keys.fetching();
    if fetching.transport == TransportOf::Issuer {
        member("transport", "own".into());
    }
    // Where it is, never what it is.
    if let Some(source) = fetching.token {
        member("fetch_token", source.report());
    }
    if fetching.loopback_http == LoopbackHttp::Allowed {
        member("dangerous", json!({ "insecure_loopback_http": true }));
    }
    report.into()
}

fn profile(profile: &TokenProfile) -> Value {
    let types = profile.types.iter().filter(|typ| *typ != TokenProfile::ACCESS_TOKEN_TYPE);
    let may_lack: Vec<_> = profile.may_lack.iter().map(|claim| claim.as_str()).collect();
    let required: Vec<_> = profile
        .required
        .iter()
        .map(|required| json!({ "claim": required.name, "one_of": required.one_of }))
        .collect();
    let kinds: Vec<_> = profile.kinds.iter().map(KindRule::report).collect();
    let mut report = json!({
        "base": profile.name(),
        "accept_types": types.collect::<Vec<_>>(),
        "accept_no_type": profile.untyped == Untyped::Accepted,
        "accept_id_tokens": profile.id_tokens == IdTokens::Accepted,
        "may_lack": may_lack,
        "client_id_from": profile.client_id_claims,
        "scope_from": profile.scope_claims,
        "accept_scope_array": profile.scope_form == ScopeForm::TextOrArray,
        "require_claims": required,
        "subject_kinds": kinds,
    });
    // Which is where RFC 9068 has the audience.
    let usual = profile.audience_claims.iter().map(String::as_str).eq(["aud"]);
    if let (false, Some(report)) = (usual, report.as_object_mut()) {
        let hazard = json!({ "insecure_audience_from": profile.audience_claims });
        report.insert("dangerous".to_owned(), hazard);
    }
    report
}
