//! From a configuration to a server: everything is checked, and then put together.

use std::sync::Arc;

use super::ServerBuilder;
use super::check::known_to_introspection;
use crate::check::allow_all;
use crate::context::{Implies, NonceIssuing, ServerContext};
use crate::error::{BuildError, ConfigFault, Faults};
use crate::introspection::{self, AskedAbout};
use crate::issuer::config::Issuer;
use crate::issuer::{Checked, IssuerNames, IssuerRules, Registry};
use crate::name::Resource;
use crate::observe::Observers;
use crate::revocation::Revocation;
use crate::sender::{Binding, CheckedDpop, CheckedMtls, ForwardedFields, MemoryReplayStore};
use crate::server::effective::ReplayRoom;
use crate::server::fapi::{self, SecurityProfile};
use crate::server::metadata::Document;
use crate::server::policy::Beside;
use crate::server::{Guard, ResourceServer, Shared};
use crate::transport::Transport;
use crate::verify::{CheckedException, Classes, KnownTokens, Revocable, Rules};

impl ServerBuilder {
    /// Checks everything. It starts no task, and does no I/O but to read the journal of
    /// [`Self::revocation`], if there is one, so that what was acknowledged is known.
    ///
    /// # Errors
    /// Every fault of the configuration, at once.
    pub fn build(self) -> Result<ResourceServer, BuildError> {
        let mut faults = Faults::new();
        let resource =
            Resource::parse(&self.resource).map_err(|fault| faults.push_at("resource", fault)).ok();
        let audiences = self.check_audiences(&mut faults);
        let now = self.clock.now();
        let ids: Vec<_> = self.issuers.iter().map(|issuer| issuer.id().to_owned()).collect();
        let names = IssuerNames { configured: &ids, open: self.tenants.is_some() };

        let rules = self.issuer_rules();
        let issuers = self.check_issuers(rules, &mut faults);
        let tenants = self.check_tenants(rules, &mut faults);
        if let Some(SecurityProfile::Fapi2) = self.security_profile {
            let asked = fapi::Asked {
                classes: &self.classes,
                exceptions: &self.exceptions,
                binding: self.binding,
                leeway: self.leeway,
                means: self.means(),
            };
            fapi::check(&asked, &mut faults);
        }
        let mechanisms = self.check_mechanisms(resource.as_ref(), rules, &mut faults);
        let revocable = self.revocable();
        let classes = Classes::check(self.classes.clone(), &names, revocable, &mut faults);
        self.check_bindings(&mechanisms, &mut faults);
        let exceptions = self.check_exceptions(&names, now, &mut faults);
        self.check_bounds(&mut faults);
        let turns =
            faults.at("first_verifications", |faults| self.first_verifications.check(faults));
        let key = self.check_token_hash_key(&mut faults);
        let params = self.check_challenge(resource.as_ref(), &mechanisms, &mut faults);
        let implications = self.check_implications(&mut faults);
        let metadata = self.metadata.clone().unwrap_or_default();
        faults.at("metadata", |faults| metadata.check(faults));
        let is_used = self.policy.is_some();
        let policy = self.policy.clone().unwrap_or_else(|| allow_all().into());
        let introspects =
            |issuer: &str| self.introspection.iter().any(|one| one.issuer() == issuer);
        let beside = Beside {
            one_issuer: names.is_one(),
            mechanisms: &mechanisms,
            revocable,
            introspects: &introspects,
        };
        faults.at("policy", |faults| policy.check(&beside, faults));
        let policies = self.check_policies(&beside, &mut faults);

        let needs_transport = tenants.is_some()
            || issuers.iter().any(Checked::needs_transport)
            || introspection::Prepared::needs_transport(&self.introspection)
            || self.revocation.as_ref().is_some_and(Revocation::needs_transport);
        let transport = match self.transport.clone() {
            None if needs_transport => default_transport(&mut faults),
            given => given,
        };
        let introspection = self.check_introspection(&mut faults);
        #[cfg(feature = "jwe")]
        let decryptor = self.check_decryption(&mut faults);
        let prepared = self.check_revocation(names, &issuers, transport.as_ref(), &mut faults);
        let (Some(resource), Some(binding), Some(classes)) = (resource, self.binding, classes)
        else {
            return Err(faults.into_error());
        };
        faults.unless_none(())?;
        if let Some(prepared) = &prepared {
            let mut faults = Faults::new();
            prepared.restore(&mut faults);
            faults.unless_none(())?;
        }

        let endings = exceptions.iter().map(CheckedException::ending).collect();
        let observers = Arc::new(Observers::new(self.observers, key, endings));
        let context = Arc::new(ServerContext {
            params,
            implies: Implies { table: implications, rule: self.implies },
            audiences: audiences.clone(),
            observers: Arc::clone(&observers),
            nonces: match mechanisms.dpop.as_ref().and_then(CheckedDpop::nonces) {
                Some(_) => NonceIssuing::On,
                None => NonceIssuing::Off,
            },
        });
        let forwarded = mechanisms.mtls.as_ref().and_then(CheckedMtls::forwarded);
        let forwarded_fields = ForwardedFields::of(forwarded);
        let (replay, replay_room) = self.replay.unwrap_or_else(|| {
            let store = MemoryReplayStore::new();
            let room = ReplayRoom::of(&store);
            (Arc::new(store), room)
        });
        let issuers = Registry::new(issuers, tenants, transport.as_ref(), &self.clock);
        let issuers = Arc::new(issuers);
        let introspectors = introspection.with(&issuers, transport.as_ref(), &self.clock);
        let revocation = prepared.map(|prepared| Arc::new(prepared.with(&issuers, &observers)));
        let shared = Arc::new(Shared {
            rules: Rules {
                issuers,
                audiences,
                other_audiences: self.other_audiences,
                leeway: self.leeway,
                classes,
                binding,
                exceptions,
                max_token: self.max_token,
                mechanisms,
                known: KnownTokens::new(self.known_tokens, self.max_token),
                turns,
                #[cfg(feature = "jwe")]
                decryptor,
                introspectors,
                revocation,
            },
            clock: self.clock,
            resource,
            document: Document::new(metadata),
            context,
            policies,
            security_profile: self.security_profile,
            replay,
            replay_room,
            forwarded_fields,
        });
        if binding == Binding::WhereBound && !shared.rules.exceptions.is_empty() {
            tracing::warn!("exceptions have no effect: every unbound token is accepted anyway");
        }
        let own = Guard::unlisted(&shared, policy.named_unless_named("server"))?;
        if is_used {
            own.list();
        }
        shared.context.observers.report_exceptions(now);
        Ok(ResourceServer { shared, own })
    }

    /// What there is to know of revocation.
    fn revocable(&self) -> Revocable {
        match &self.revocation {
            Some(revocation) if revocation.has_source() => Revocable::Yes,
            _ if !self.introspection.is_empty() => Revocable::Asked,
            _ => Revocable::No,
        }
    }

    /// What every issuer of it is held to, tenants among them.
    pub(crate) fn issuer_rules(&self) -> IssuerRules {
        match self.security_profile {
            Some(SecurityProfile::Fapi2) => IssuerRules {
                default_algorithms: fapi::ALGORITHMS,
                allowed: Some(("FAPI 2.0 §5.4.1", fapi::ALGORITHMS)),
            },
            None => IssuerRules::ANY,
        }
    }

    /// Whether every token is one that its issuer is asked about.
    fn asks_about_all(&self) -> bool {
        let asked = |issuer: &Issuer| {
            let mut introspections = self.introspection.iter();
            let asked = match introspections.find(|one| one.issuer() == issuer.id()) {
                None => AskedAbout::Nothing,
                Some(one) if one.takes_jwts() => AskedAbout::JwtsToo,
                Some(_) => AskedAbout::Opaque,
            };
            (known_to_introspection(issuer).keys, asked)
        };
        self.tenants.is_none() && introspection::are_always_asked(self.issuers.iter().map(asked))
    }

    /// What it can find out beside the token itself.
    fn means(&self) -> fapi::Means {
        let sender = match (&self.dpop, &self.mtls) {
            (None, None) => fapi::Provided::No,
            _ => fapi::Provided::Yes,
        };
        let revocation = match &self.revocation {
            Some(revocation) if revocation.has_source() => fapi::Provided::Yes,
            _ if self.asks_about_all() => fapi::Provided::Yes,
            _ => fapi::Provided::No,
        };
        fapi::Means { sender, revocation }
    }
}

#[cfg(feature = "reqwest")]
fn default_transport(faults: &mut Faults) -> Option<Arc<dyn Transport>> {
    match crate::transport::ReqwestTransport::new() {
        Ok(transport) => Some(Arc::new(transport)),
        Err(error) => {
            faults.push_at("transport", ConfigFault::Transport(error.to_string()));
            None
        }
    }
}

#[cfg(not(feature = "reqwest"))]
fn default_transport(faults: &mut Faults) -> Option<Arc<dyn Transport>> {
    faults.push_at("transport", ConfigFault::NoTransport);
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::ServerBuilder;
    use crate::issuer::TenantList;
    use crate::revocation::{JsonFeed, Revocation, Source, StatusLists};
    use crate::sender::{Binding, Mtls};
    use crate::testing::{ManualClock, TestIssuer, TestNetwork};
    use crate::{Exception, ResourceServer, TokenClass};

    /// Whatever names an issuer can name the same: one that is configured, and where there are tenants, one
    /// that can be a tenant.
    #[test]
    fn whatever_names_an_issuer_can_name_a_tenant() {
        const ISSUER: &str = "https://as.example";
        type Setting = fn(ServerBuilder, &str) -> ServerBuilder;
        let clock = ManualClock::new();
        let issuer = TestIssuer::new(ISSUER, &clock);
        let server = || {
            ResourceServer::builder("https://rs.example")
                .clock(clock.clone())
                .issuer(issuer.fixed_keys())
                .transport(TestNetwork::default())
                .binding(Binding::Either)
                .mtls(Mtls::direct())
                .class(TokenClass::default_at_most(Duration::from_hours(1)))
        };
        let settings: [(&str, Setting); 4] = [
            ("classes[0].issuers", |server, issuer| {
                let class = TokenClass::named("x").issuers([issuer]);
                server.class(class.at_most(Duration::from_mins(1)))
            }),
            ("exceptions[0].of_issuer", |server, issuer| {
                let exception = Exception::for_clients(["x"]).of_issuer(issuer);
                server.exception(exception.until("2027-02-28").because("SEC-112"))
            }),
            ("revocation.sources[0].speaks_for[0]", |server, issuer| {
                let feed = JsonFeed::over_tls("https://feed.example/x");
                let source = Source::new("x", feed).speaks_for([issuer]);
                server.revocation(Revocation::new().source(source))
            }),
            ("revocation.status_lists.issuers[0]", |server, issuer| {
                let lists = StatusLists::new().issuers([issuer]);
                server.revocation(Revocation::new().status_lists(lists))
            }),
        ];
        for (place, setting) in settings {
            for (named, closed, open) in [
                (ISSUER, true, true),
                ("https://tenant.example/a", false, true),
                ("https://tenant.example?a", false, false),
                ("tenant", false, false),
            ] {
                let tenants = server().tenants(TenantList::new(), 10);
                for (server, can_be) in [(server(), closed), (tenants, open)] {
                    let built = setting(server, named).build();
                    let faults: Vec<_> = built
                        .err()
                        .iter()
                        .flat_map(|error| error.places())
                        .map(|(place, fault)| format!("{place}: {fault}"))
                        .collect();
                    let fault = |fault: &String| {
                        fault.starts_with(place) && fault.contains("none of the server's")
                    };
                    let expected = usize::from(!can_be);
                    assert_eq!(faults.len(), expected, "{place}, {named}: {faults:?}");
                    assert!(faults.iter().all(fault), "{place}, {named}: {faults:?}");
                }
            }
        }
    }
}
