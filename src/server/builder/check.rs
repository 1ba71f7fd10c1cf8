//! The parts of a configuration that are checked by themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::ServerBuilder;
use crate::challenge::ParamsBuilder;
use crate::context::{ChallengeParams, Implies};
use crate::credentials::MAX_TOKEN;
use crate::error::{ConfigFault, Faults, key};
use crate::introspection;
#[cfg(feature = "jwe")]
use crate::issuer::config::Encryption;
use crate::issuer::config::Issuer;
use crate::issuer::{Checked, IssuerNames, IssuerRules, OptionalClaim, TenantRules};
#[cfg(feature = "jwe")]
use crate::jwe::Decryptor;
use crate::name::{Audience, Resource, Scope};
use crate::observe::HashKey;
use crate::revocation::{self, Prepared, Setting};
use crate::sender::{CheckedDpop, Mechanisms, Mtls};
use crate::server::Policy;
use crate::server::policy::Beside;
use crate::time::{LEEWAY_MOST, Timestamp};
use crate::transport::Transport;
use crate::verify::{CheckedException, Classes, TokenClass};

impl ServerBuilder {
    /// The names that tokens may have for it.
    pub(super) fn check_audiences(&self, faults: &mut Faults) -> Vec<Audience> {
        let mut audiences = vec![Audience::from_token(&self.resource)];
        for (index, audience) in self.audiences.iter().enumerate() {
            match Audience::parse(audience) {
                Ok(audience) => audiences.push(audience),
                Err(fault) => {
                    faults.at_element("accept_audiences", index, |faults| faults.push(fault));
                }
            }
        }
        audiences
    }

    pub(super) fn check_bindings(&self, mechanisms: &Mechanisms, faults: &mut Faults) {
        for (index, class) in self.classes.iter().enumerate() {
            if let Some(fault) = class.bound_as().and_then(|binding| mechanisms.fault(binding)) {
                let place = Classes::place(&self.classes, index);
                faults.at(&place, |faults| faults.push_at("binding", fault));
            }
        }
        match self.binding {
            None => faults.push_at("binding", ConfigFault::NoBinding),
            Some(binding) => {
                if let Some(fault) = mechanisms.fault(binding) {
                    faults.push_at("binding", fault);
                }
            }
        }
    }

    pub(super) fn check_bounds(&self, faults: &mut Faults) {
        if self.leeway > LEEWAY_MOST {
            faults.push_at("leeway", ConfigFault::Leeway(self.leeway));
        }
        if !(1..=MAX_TOKEN).contains(&self.max_token) {
            let fault = ConfigFault::Bound {
                what: "longest token, in bytes,",
                found: self.max_token,
                maximum: MAX_TOKEN,
            };
            faults.push_at("max_token_bytes", fault);
        }
        if self.known_tokens > Self::MOST_KNOWN_TOKENS {
            let fault = ConfigFault::KnownTokens {
                found: self.known_tokens,
                maximum: Self::MOST_KNOWN_TOKENS,
            };
            faults.push_at("known_tokens_bytes", fault);
        }
    }

    /// What tokens are told apart with in events: the key that was given, or one made now.
    pub(super) fn check_token_hash_key(&self, faults: &mut Faults) -> Option<HashKey> {
        match &self.token_hash_key {
            Some(key) if key.expose().len() < 16 => {
                let what = format!(
                    "the key of token hashes has {} bytes, at least 16 are wanted: make it of random \
                     ones",
                    key.expose().len()
                );
                faults.push_at("token_hash_key", ConfigFault::Secret(what));
                None
            }
            Some(key) => Some(HashKey::of(key.expose())),
            None => HashKey::random(),
        }
    }

    pub(super) fn check_challenge(
        &self,
        resource: Option<&Resource>,
        mechanisms: &Mechanisms,
        faults: &mut Faults,
    ) -> ChallengeParams {
        let params = ParamsBuilder {
            realm: self.realm.clone().unwrap_or_else(|| self.resource.clone()),
            metadata_url: match (&self.metadata, resource) {
                (Some(_), Some(resource)) => Some(resource.metadata_url()),
                _ => None,
            },
            error_uri: self.error_uri.clone(),
            params: self.params.clone(),
            algs: mechanisms.dpop.as_ref().map(CheckedDpop::algs).unwrap_or_default(),
        };
        faults.at("challenge", |faults| params.build(faults))
    }

    #[cfg(feature = "jwe")]
    pub(super) fn check_decryption(&self, faults: &mut Faults) -> Option<Arc<Decryptor>> {
        for (index, issuer) in self.issuers.iter().enumerate() {
            if issuer.encryption() == Encryption::Always && self.decryption.is_none() {
                let what = "its tokens are encrypted, and this server has no keys: say which with \
                            `.decryption(...)`";
                faults.at_element("issuers", index, |faults| {
                    faults.push_at("encrypted_only", ConfigFault::Decryption(what.to_owned()));
                });
            }
        }
        let decryption = self.decryption.as_ref()?;
        faults.at("decryption", |faults| decryption.check(faults)).map(Arc::new)
    }

    pub(super) fn check_introspection(&self, faults: &mut Faults) -> introspection::Prepared {
        let issuers: Vec<_> = self.issuers.iter().map(known_to_introspection).collect();
        let setting = introspection::Setting { issuers: &issuers };
        introspection::Prepared::check(&self.introspection, &setting, faults)
    }

    pub(super) fn check_revocation(
        &self,
        names: IssuerNames<'_>,
        issuers: &[Checked],
        transport: Option<&Arc<dyn Transport>>,
        faults: &mut Faults,
    ) -> Option<Prepared> {
        let revocation = self.revocation.as_ref()?;
        let without_iat: Vec<_> = issuers
            .iter()
            .filter(|issuer| issuer.may_lack(OptionalClaim::IssuedAt))
            .map(|issuer| issuer.id.as_str().to_owned())
            .collect();
        let lives = self.classes.iter().filter_map(TokenClass::max_lifetime);
        let setting = Setting {
            issuers: revocation::Issuers { names, without_iat: &without_iat },
            longest_life: lives.max().unwrap_or_default(),
            leeway: self.leeway,
            transport,
            clock: &self.clock,
        };
        faults.at("revocation", |faults| revocation.prepare(&setting, faults))
    }

    pub(super) fn check_mechanisms(
        &self,
        resource: Option<&Resource>,
        rules: IssuerRules,
        faults: &mut Faults,
    ) -> Mechanisms {
        let mut mechanisms = Mechanisms::default();
        // A faulty resource is a fault already, and hides no other.
        let stand_in = Resource::parse("https://resource.invalid").ok();
        if let (Some(dpop), Some(resource)) = (&self.dpop, resource.or(stand_in.as_ref())) {
            let (leeway, allowed) = (self.leeway, rules.allowed);
            faults.at("dpop", |faults| {
                mechanisms.dpop = dpop.check(resource, leeway, allowed, faults);
                if self.mtls.as_ref().is_some_and(Mtls::is_direct) {
                    dpop.check_beside_clients(faults);
                }
            });
        }
        if let Some(mtls) = &self.mtls {
            faults.at("mtls", |faults| mechanisms.mtls = mtls.check(faults));
        }
        mechanisms.faulty = self.dpop.is_some() != mechanisms.dpop.is_some()
            || self.mtls.is_some() != mechanisms.mtls.is_some();
        mechanisms
    }

    pub(super) fn check_issuers(&self, rules: IssuerRules, faults: &mut Faults) -> Vec<Checked> {
        if self.issuers.is_empty() && self.tenants.is_none() {
            faults.push_at("issuers", ConfigFault::NoIssuer);
        }
        let mut issuers = Vec::new();
        for (index, issuer) in self.issuers.iter().enumerate() {
            faults.at_element("issuers", index, |faults| {
                let twice = self.issuers.iter().take(index).any(|other| other.id() == issuer.id());
                if twice {
                    let fault = ConfigFault::DuplicateIssuer(issuer.id().to_owned());
                    faults.push_at("id", fault);
                } else {
                    issuers.extend(issuer.check(rules, faults));
                }
            });
        }
        issuers
    }

    pub(super) fn check_tenants(
        &self,
        rules: IssuerRules,
        faults: &mut Faults,
    ) -> Option<TenantRules> {
        const MOST: usize = 100_000;
        let (resolver, at_most) = self.tenants.as_ref()?;
        if !(1..=MOST).contains(at_most) {
            let what = "number of tenants";
            let fault = ConfigFault::Bound { what, found: *at_most, maximum: MOST };
            faults.push_at("tenants.at_most", fault);
        }
        Some(TenantRules { resolver: Arc::clone(resolver), at_most: *at_most, rules })
    }

    pub(super) fn check_exceptions(
        &self,
        names: &IssuerNames<'_>,
        now: Timestamp,
        faults: &mut Faults,
    ) -> Vec<CheckedException> {
        let most = CheckedException::MOST;
        if self.exceptions.len() > most {
            let found = self.exceptions.len();
            let fault = ConfigFault::Bound { what: "number of exceptions", found, maximum: most };
            faults.push_at("exceptions", fault);
        }
        let mut checked = Vec::new();
        for (index, exception) in self.exceptions.iter().enumerate() {
            faults.at_element("exceptions", index, |faults| {
                let others = self.exceptions.get(..index).unwrap_or_default();
                let exception = CheckedException::check(exception, others, names, now, faults);
                checked.extend(exception);
            });
        }
        checked
    }

    pub(super) fn check_implications(
        &self,
        faults: &mut Faults,
    ) -> BTreeMap<Scope, BTreeSet<Scope>> {
        /// Each is looked through for what it implies, and may imply every other.
        const MOST: usize = 1_000;
        let found = self.implied.iter().map(|(_, implied)| implied.len()).sum();
        if found > MOST {
            let what = "number of scope implications";
            let fault = ConfigFault::Bound { what, found, maximum: MOST };
            faults.push_at("scope_implications", fault);
            return BTreeMap::new();
        }
        let mut direct: BTreeMap<Scope, BTreeSet<Scope>> = BTreeMap::new();
        for (held, implied) in &self.implied {
            faults.at(&format!("scope_implications.{}", key(held)), |faults| {
                let mut scope =
                    |text: &String| Scope::parse(text).map_err(|fault| faults.push(fault));
                let held = scope(held);
                let implied: Vec<_> = implied.iter().filter_map(|text| scope(text).ok()).collect();
                if let Ok(held) = held {
                    direct.entry(held).or_default().extend(implied);
                }
            });
        }
        Implies::complete(&direct)
    }

    pub(super) fn check_policies(
        &self,
        beside: &Beside<'_>,
        faults: &mut Faults,
    ) -> BTreeMap<String, Policy> {
        let mut policies = BTreeMap::new();
        for (name, policy) in &self.policies {
            faults.at(&format!("policies.{}", key(name)), |faults| {
                policy.check(beside, faults);
                if policies.insert(name.clone(), policy.clone()).is_some() {
                    faults.push(ConfigFault::DuplicatePolicy(name.clone()));
                }
            });
        }
        policies
    }
}

pub(super) fn known_to_introspection(issuer: &Issuer) -> introspection::KnownIssuer<'_> {
    introspection::KnownIssuer {
        id: issuer.id(),
        keys: match issuer.has_keys() {
            true => introspection::Keys::Known,
            false => introspection::Keys::None,
        },
        dates: match issuer.may_lack(OptionalClaim::IssuedAt) {
            true => introspection::Dates::MayLack,
            false => introspection::Dates::Known,
        },
    }
}
