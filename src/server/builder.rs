use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::effective::ReplayRoom;
use super::fapi::{self, SecurityProfile};
use super::metadata::Document;
use super::policy::Beside;
use super::{Guard, Metadata, Policy, ResourceServer, Shared};
use crate::challenge::ParamsBuilder;
use crate::check::allow_all;
use crate::context::{Implies, ImplyFn, NonceIssuing, ServerContext};
use crate::credentials::MAX_TOKEN;
use crate::error::{BuildError, ConfigFault, Faults, key};
use crate::introspection::{self, AskedAbout, Introspection};
#[cfg(feature = "jwe")]
use crate::issuer::config::Encryption;
use crate::issuer::config::Issuer;
use crate::issuer::{Checked, IssuerResolver, IssuerRules, OptionalClaim, Registry, TenantRules};
#[cfg(feature = "jwe")]
use crate::jwe::{Decryption, Decryptor};
use crate::name::{Audience, Resource, Scope};
use crate::observe::{HashKey, Observer, Observers};
use crate::revocation::{self, Prepared, Revocation, Setting};
use crate::secret::Secret;
use crate::sender::{
    Binding, CheckedDpop, CheckedMtls, Dpop, ForwardedFields, Mechanisms, MemoryReplayStore, Mtls,
    ReplayStore,
};
use crate::time::{Clock, SystemClock, Timestamp};
use crate::transport::Transport;
use crate::verify::{
    CheckedException, Classes, Exception, FirstVerifications, IssuerNames, KnownTokens,
    OtherAudiences, Revocable, Rules, TokenClass,
};

/// A configuration that is being written: see [`ResourceServer::builder`].
///
/// Mandatory: at least one [`issuer`](Self::issuer), a [`binding`](Self::binding) policy and a
/// [`class`](Self::class).
#[must_use = "a configuration does nothing until it is built"]
pub struct ServerBuilder {
    resource: String,
    audiences: Vec<String>,
    other_audiences: OtherAudiences,
    issuers: Vec<Issuer>,
    tenants: Option<(Arc<dyn IssuerResolver>, usize)>,
    classes: Vec<TokenClass>,
    binding: Option<Binding>,
    dpop: Option<Dpop>,
    mtls: Option<Mtls>,
    replay: Option<(Arc<dyn ReplayStore>, ReplayRoom)>,
    introspection: Vec<Introspection>,
    #[cfg(feature = "jwe")]
    decryption: Option<Decryption>,
    revocation: Option<Revocation>,
    exceptions: Vec<Exception>,
    security_profile: Option<SecurityProfile>,
    policies: Vec<(String, Policy)>,
    observers: Vec<Arc<dyn Observer>>,
    token_hash_key: Option<Secret>,
    leeway: Duration,
    max_token: usize,
    known_tokens: u64,
    first_verifications: FirstVerifications,
    policy: Option<Policy>,
    implied: Vec<(String, Vec<String>)>,
    implies: Option<Arc<ImplyFn>>,
    realm: Option<String>,
    error_uri: Option<String>,
    params: Vec<(String, String)>,
    metadata: Option<Metadata>,
    transport: Option<Arc<dyn Transport>>,
    clock: Arc<dyn Clock>,
}

impl ServerBuilder {
    /// The room for known tokens: some 15 000 of usual size.
    const KNOWN_TOKENS: u64 = 32 * 1024 * 1024;
    /// More is a slip of the pen: it is the memory of a large machine.
    const MOST_KNOWN_TOKENS: u64 = 64 * 1024 * 1024 * 1024;

    pub(super) fn new(resource: String) -> Self {
        Self {
            resource,
            audiences: Vec::new(),
            other_audiences: OtherAudiences::Accept,
            issuers: Vec::new(),
            tenants: None,
            classes: Vec::new(),
            binding: None,
            dpop: None,
            mtls: None,
            replay: None,
            introspection: Vec::new(),
            #[cfg(feature = "jwe")]
            decryption: None,
            revocation: None,
            exceptions: Vec::new(),
            security_profile: None,
            policies: Vec::new(),
            observers: Vec::new(),
            token_hash_key: None,
            // Clocks in a fleet agree to a second or two; RFC 9068 §4 allows a few minutes.
            leeway: Duration::from_secs(10),
            max_token: MAX_TOKEN,
            known_tokens: Self::KNOWN_TOKENS,
            first_verifications: FirstVerifications::new(),
            policy: None,
            implied: Vec::new(),
            implies: None,
            realm: None,
            error_uri: None,
            params: Vec::new(),
            metadata: Some(Metadata::new()),
            transport: None,
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// Accepts tokens of this issuer. Call it once for each.
    pub fn issuer(mut self, issuer: Issuer) -> Self {
        self.issuers.push(issuer);
        self
    }

    /// Accepts tokens of issuers that are decided on at run time, beside the configured ones: for a
    /// service with many tenants. See [`IssuerResolver`], and [`crate::issuer::TenantList`] for one
    /// that is ready to use.
    ///
    /// At most `at_most` of them are kept, with their keys, 1 to 100 000. With fewer places than
    /// tenants, one that proved nothing for a minute makes room, and where none did a new one gets
    /// 503. Nothing is fetched for an issuer before it is known to be trusted.
    pub fn tenants(mut self, resolver: impl IssuerResolver, at_most: usize) -> Self {
        self.tenants = Some((Arc::new(resolver), at_most));
        self
    }

    /// Bounds how long a token may live, and how it has to be bound. One default class is
    /// mandatory; of all classes that describe a token the strictest values apply.
    pub fn class(mut self, class: TokenClass) -> Self {
        self.classes.push(class);
        self
    }

    /// Proves senders by DPoP (RFC 9449). Without it every token that is bound to a key is refused.
    pub fn dpop(mut self, dpop: Dpop) -> Self {
        self.dpop = Some(dpop);
        self
    }

    /// Proves senders by their client certificates (RFC 8705). Without it every token that is bound to
    /// a certificate is refused.
    pub fn mtls(mut self, mtls: Mtls) -> Self {
        self.mtls = Some(mtls);
        self
    }

    /// Remembers the DPoP proofs, and the tokens for one use, that were used; a
    /// [`crate::sender::MemoryReplayStore`] of this process unless said otherwise. Servers that answer
    /// to one name share one, or a proof can be used once at each of them.
    pub fn replay_store(mut self, store: impl ReplayStore) -> Self {
        let room = ReplayRoom::of(&store);
        self.replay = Some((Arc::new(store), room));
        self
    }

    /// Decrypts encrypted tokens (RFC 9068 §4) with these keys. What is in them is then decided like any
    /// other token. Without it they are refused.
    #[cfg(feature = "jwe")]
    pub fn decryption(mut self, decryption: Decryption) -> Self {
        self.decryption = Some(decryption);
        self
    }

    /// Asks an issuer about its tokens (RFC 7662): those that only it understands, and JWTs by choice.
    /// Call it once for each issuer that is asked.
    pub fn introspection(mut self, introspection: Introspection) -> Self {
        self.introspection.push(introspection);
        self
    }

    /// What is known of revocation, and from whom. Without it a token is accepted until it expires.
    ///
    /// A source of times is of use only where tokens say when they were issued, and where it is known
    /// how long they can live: that is the longest lifetime that any [`Self::class`] allows.
    pub fn revocation(mut self, revocation: Revocation) -> Self {
        self.revocation = Some(revocation);
        self
    }

    /// Says how tokens have to be bound to their sender, and what an unbound one may do. A token
    /// class or a policy can only tighten it; an [`Exception`] lowers it for named clients.
    pub fn binding(mut self, binding: Binding) -> Self {
        self.binding = Some(binding);
        self
    }

    /// Lets clients use plain bearer tokens where [`Self::binding`] wants bound ones, for a while.
    pub fn exception(mut self, exception: Exception) -> Self {
        self.exceptions.push(exception);
        self
    }

    /// Holds the whole configuration to the FAPI 2.0 Security Profile (final, February 2025): PS256,
    /// ES256 and EdDSA only, sender-constrained tokens only, no exception, tokens of at most an
    /// hour, a leeway between 10 and 60 seconds. An issuer without a list of algorithms of its own
    /// gets the profile's.
    ///
    /// It does not build without a way to prove senders ([`Self::dpop`] or [`Self::mtls`]) and a way to
    /// see revocation ([`Self::revocation`], or [`Self::introspection`] of every token), which §5.3.4 asks for.
    pub fn fapi2(mut self) -> Self {
        self.security_profile = Some(SecurityProfile::Fapi2);
        self
    }

    /// Tells this observer of every decision. Call it once for each.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observers.push(Arc::new(observer));
        self
    }

    /// What [`crate::observe::Decision::token_hash`] is keyed with, at least 16 bytes: the same key
    /// in every replica makes their events comparable. Without it each process has a random one.
    pub fn token_hash_key(mut self, key: Secret) -> Self {
        self.token_hash_key = Some(key);
        self
    }

    /// A policy to be found by this name: see [`ResourceServer::policy`]. The name is also the
    /// policy's own.
    pub fn named_policy(mut self, name: impl Into<String>, policy: impl Into<Policy>) -> Self {
        let name = name.into();
        let policy = policy.into().named(name.clone());
        self.policies.push((name, policy));
        self
    }

    /// Answers to this audience too, for example an older name of the resource.
    pub fn accept_audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// What a token may do that names other audiences as well. The default is
    /// [`OtherAudiences::Accept`].
    pub fn other_audiences(mut self, other: OtherAudiences) -> Self {
        self.other_audiences = other;
        self
    }

    /// How far the clocks of issuers and this server may differ; 10 seconds unless said
    /// otherwise, at most 5 minutes. It widens `exp`, `nbf` and `iat`.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// The longest token, in bytes; 16 384 unless said otherwise, which is also the most.
    pub fn max_token_bytes(mut self, bytes: usize) -> Self {
        self.max_token = bytes;
        self
    }

    /// The room for tokens that were accepted before, in bytes; 32 MiB unless said otherwise, which is some
    /// 15 000 of them, and at most 64 GiB. Zero keeps none. What they say is then not verified again, and
    /// everything else is decided again with each request; a signature is by far the most of what a
    /// decision costs.
    pub fn known_tokens_bytes(mut self, bytes: u64) -> Self {
        self.known_tokens = bytes;
        self
    }

    /// How many tokens that are not known may have their signature verified at once, so that a flood of
    /// forged ones leaves threads to the others; one fewer than there are threads, unless said otherwise.
    pub fn first_verifications(mut self, bound: FirstVerifications) -> Self {
        self.first_verifications = bound;
        self
    }

    /// The policy of [`ResourceServer::layer`] and [`ResourceServer::verify`]: any accepted token,
    /// unless said otherwise. Unless it has a name it is called `server`.
    pub fn policy(mut self, policy: impl Into<Policy>) -> Self {
        self.policy = Some(policy.into());
        self
    }

    /// Who holds the scope `held` has these others too, and whatever they imply. Call it once for
    /// each. Unless a scope is implied it is granted by its exact name only.
    pub fn scope_implies<S: Into<String>>(
        mut self,
        held: impl Into<String>,
        implied: impl IntoIterator<Item = S>,
    ) -> Self {
        let implied = implied.into_iter().map(Into::into).collect();
        self.implied.push((held.into(), implied));
        self
    }

    /// Whether one granted scope implies another, by a rule of yours: `rule(held, wanted)`. Where
    /// names can be listed, [`Self::scope_implies`] is the better way: the effective policy shows
    /// it.
    ///
    /// A rule that says yes too often grants what nobody granted. Compare whole names, or whole
    /// segments of them: never prefixes of text.
    pub fn scope_rule(mut self, rule: impl Fn(&str, &str) -> bool + Send + Sync + 'static) -> Self {
        self.implies = Some(Arc::new(rule));
        self
    }

    /// The `realm` of challenges; the resource identifier unless said otherwise.
    pub fn realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = Some(realm.into());
        self
    }

    /// The `error_uri` of challenges with an error: a page for developers (RFC 6750 §3).
    pub fn error_uri(mut self, uri: impl Into<String>) -> Self {
        self.error_uri = Some(uri.into());
        self
    }

    /// A further auth-param of every challenge.
    pub fn challenge_param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.params.push((name.into(), value.into()));
        self
    }

    /// The names and links of the metadata document.
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = Some(metadata);
        self
    }

    /// Leaves `resource_metadata` out of challenges, for a service that does not mount
    /// [`ResourceServer::metadata_service`].
    pub fn without_metadata(mut self) -> Self {
        self.metadata = None;
        self
    }

    /// How documents of issuers are fetched; [`crate::transport::ReqwestTransport`] unless said
    /// otherwise.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// Where "now" comes from; the machine's clock unless said otherwise.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Checks everything. It starts no task, and does no I/O but to read the journal of
    /// [`Self::revocation`], if there is one, so that what was acknowledged is known.
    ///
    /// # Errors
    /// Every fault of the configuration, at once.
    pub fn build(self) -> Result<ResourceServer, BuildError> {
        let mut faults = Faults::new();
        let resource =
            Resource::parse(&self.resource).map_err(|fault| faults.push_at("resource", fault)).ok();
        let mut audiences = vec![Audience::from_token(&self.resource)];
        for (index, audience) in self.audiences.iter().enumerate() {
            match Audience::parse(audience) {
                Ok(audience) => audiences.push(audience),
                Err(fault) => {
                    faults.at_element("accept_audiences", index, |faults| faults.push(fault));
                }
            }
        }
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
        let revocable = match &self.revocation {
            Some(revocation) if revocation.has_source() => Revocable::Yes,
            _ if !self.introspection.is_empty() => Revocable::Asked,
            _ => Revocable::No,
        };
        let classes = Classes::check(self.classes.clone(), &names, revocable, &mut faults);
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
        let exceptions = self.check_exceptions(&names, now, &mut faults);
        if self.leeway > Duration::from_mins(5) {
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
        let turns =
            faults.at("first_verifications", |faults| self.first_verifications.check(faults));
        let key = match &self.token_hash_key {
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
        };

        let params = ParamsBuilder {
            realm: self.realm.clone().unwrap_or_else(|| self.resource.clone()),
            metadata_url: match (&self.metadata, &resource) {
                (Some(_), Some(resource)) => Some(resource.metadata_url()),
                _ => None,
            },
            error_uri: self.error_uri.clone(),
            params: self.params.clone(),
            algs: mechanisms.dpop.as_ref().map(CheckedDpop::algs).unwrap_or_default(),
        };
        let params = faults.at("challenge", |faults| params.build(faults));
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
        let prepared = self.check_revocation(&ids, &issuers, transport.as_ref(), &mut faults);
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

    #[cfg(feature = "jwe")]
    fn check_decryption(&self, faults: &mut Faults) -> Option<Arc<Decryptor>> {
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

    fn check_introspection(&self, faults: &mut Faults) -> introspection::Prepared {
        let issuers: Vec<_> = self.issuers.iter().map(known_to_introspection).collect();
        let setting = introspection::Setting { issuers: &issuers };
        introspection::Prepared::check(&self.introspection, &setting, faults)
    }

    fn check_revocation(
        &self,
        ids: &[String],
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
            issuers: revocation::Issuers {
                configured: ids,
                open: self.tenants.is_some(),
                without_iat: &without_iat,
            },
            longest_life: lives.max().unwrap_or_default(),
            leeway: self.leeway,
            transport,
            clock: &self.clock,
        };
        faults.at("revocation", |faults| revocation.prepare(&setting, faults))
    }

    fn check_mechanisms(
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

    fn check_issuers(&self, rules: IssuerRules, faults: &mut Faults) -> Vec<Checked> {
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

    fn check_tenants(&self, rules: IssuerRules, faults: &mut Faults) -> Option<TenantRules> {
        const MOST: usize = 100_000;
        let (resolver, at_most) = self.tenants.as_ref()?;
        if !(1..=MOST).contains(at_most) {
            let what = "number of tenants";
            let fault = ConfigFault::Bound { what, found: *at_most, maximum: MOST };
            faults.push_at("tenants.at_most", fault);
        }
        Some(TenantRules { resolver: Arc::clone(resolver), at_most: *at_most, rules })
    }

    fn check_exceptions(
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

    fn check_implications(&self, faults: &mut Faults) -> BTreeMap<Scope, BTreeSet<Scope>> {
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

    fn check_policies(&self, beside: &Beside<'_>, faults: &mut Faults) -> BTreeMap<String, Policy> {
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

fn known_to_introspection(issuer: &Issuer) -> introspection::KnownIssuer<'_> {
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

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("resource", &self.resource)
            .field("issuers", &self.issuers)
            .finish_non_exhaustive()
    }
}
