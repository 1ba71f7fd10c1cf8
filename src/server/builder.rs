mod build;
mod check;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::effective::ReplayRoom;
use super::fapi::SecurityProfile;
use super::{Metadata, Policy};
use crate::context::ImplyFn;
use crate::credentials::MAX_TOKEN;
use crate::introspection::Introspection;
use crate::issuer::IssuerResolver;
use crate::issuer::config::Issuer;
#[cfg(feature = "jwe")]
use crate::jwe::Decryption;
use crate::observe::Observer;
use crate::revocation::Revocation;
use crate::secret::Secret;
use crate::sender::{Binding, Dpop, Mtls, ReplayStore};
use crate::time::{Clock, SystemClock};
use crate::transport::Transport;
use crate::verify::{Exception, FirstVerifications, OtherAudiences, TokenClass};

/// A configuration that is being written: see [`crate::ResourceServer::builder`].
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

    /// A policy to be found by this name: see [`crate::ResourceServer::policy`]. The name is also the
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
    /// decision costs. Encrypted tokens are kept where they have to be encrypted
    /// ([`Issuer::encrypted_only`]).
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

    /// The policy of [`crate::ResourceServer::layer`] and [`crate::ResourceServer::verify`]: any accepted token,
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
    /// [`crate::ResourceServer::metadata_service`].
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
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("resource", &self.resource)
            .field("issuers", &self.issuers)
            .finish_non_exhaustive()
    }
}
