//! The server: what a configuration becomes.
//!
//! [`ResourceServer::builder`] collects, [`ServerBuilder::build`] reports every fault at once and
//! starts nothing. A [`ResourceServer`] makes layers ([`ResourceServer::protect`]) and, for use
//! without tower, [`Guard`]s. A clone is cheap and is the same server; background tasks end with
//! the last clone, layer and guard.

mod asking;
mod builder;
mod effective;
mod fapi;
mod guard;
mod metadata;
mod policy;
mod recording;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::access::Access;
use crate::context::ServerContext;
use crate::credentials::RequestHead;
use crate::error::{BuildError, Rejection};
use crate::introspection::IntrospectionHealth;
use crate::issuer::{IssuerHealth, WarmUpError};
use crate::name::Resource;
use crate::revocation::{EventReceiver, Revocations};
use crate::sender::{ForwardedFields, ReplayHealth, ReplayStore};
use crate::time::Clock;
use crate::verify::{FirstVerificationHealth, KnownTokensHealth, Rules, Turns};

pub(crate) use asking::Asking;
pub use builder::ServerBuilder;
pub use guard::Guard;
pub(crate) use guard::{Decided, Mode, Passed, TokenlessReason, Verdict, Visit};
pub use metadata::{Metadata, MetadataService};
pub use policy::{Policy, Preflight};
pub(crate) use recording::{Admission, Recording};

use metadata::Document;

/// An OAuth 2.x resource server: every rule by which its tokens are decided.
///
/// Whatever it has to wait for (keys, introspection, sources of revocation), it waits for on the tokio runtime of
/// the request that asks first, by that runtime's timer: one made by hand needs `enable_all`, or `enable_io` and
/// `enable_time`, or the first wait panics. `#[tokio::main]` and `#[tokio::test]` have both. What a runtime's end
/// cuts off, a later request begins anew.
///
/// See the [crate's documentation](crate) for an example.
#[derive(Clone)]
pub struct ResourceServer {
    pub(crate) shared: Arc<Shared>,
    /// The policy of [`ResourceServer::layer`].
    pub(crate) own: Guard,
}

/// What all layers and guards of one server share.
pub(crate) struct Shared {
    pub(crate) rules: Rules,
    pub(crate) clock: Arc<dyn Clock>,
    resource: Resource,
    document: Document,
    context: Arc<ServerContext>,
    /// By name.
    policies: BTreeMap<String, Policy>,
    security_profile: Option<fapi::SecurityProfile>,
    /// Of proofs and of tokens for one use.
    replay: Arc<dyn ReplayStore>,
    replay_room: effective::ReplayRoom,
    /// What no inner service may see.
    forwarded_fields: ForwardedFields,
}

impl ResourceServer {
    /// Starts a configuration.
    ///
    /// `resource` identifies this protected resource (RFC 8707, RFC 9728): an absolute `https`
    /// URL without fragment. It is the audience that a token must name, exactly.
    pub fn builder(resource: impl Into<String>) -> ServerBuilder {
        ServerBuilder::new(resource.into())
    }

    /// A policy to ask without tower, or to make a layer of.
    ///
    /// # Errors
    /// If the policy is faulty.
    pub fn guard(&self, policy: impl Into<Policy>) -> Result<Guard, BuildError> {
        Guard::new(&self.shared, policy.into())
    }

    /// The policy of this name: see [`ServerBuilder::named_policy`].
    ///
    /// A name that nobody defined gives a faulty policy: [`ResourceServer::guard`] returns the
    /// fault, and a layer made of it refuses every request with 500. To have the fault when the
    /// service starts, make the layer of a guard: `api.guard(api.policy("read"))?.layer()`.
    pub fn policy(&self, name: &str) -> Policy {
        let policies = &self.shared.policies;
        policies.get(name).cloned().unwrap_or_else(|| Policy::unknown(name, policies.keys()))
    }

    /// What is enforced, as JSON: issuers and how their tokens are written, algorithms, audiences,
    /// times, token classes, bindings, exceptions with their dates, and every policy made so far.
    ///
    /// It is for people who review it, and for tests that notice when it changes. It names no
    /// secret, only where one is.
    ///
    /// It speaks the words of a configuration file, each at its place in the file, defaults
    /// included, and durations at their shortest: 90 seconds are `1m 30s`. What differs:
    ///
    /// - `keys` of an issuer is `fixed`, `jwks_uri` or `discovery`: where they come from. An issuer
    ///   with an HTTP client of its own, which in a file has a `ca_file`, has `transport`: `own`.
    /// - A `profile` is written out. Its `base` is the name that it goes by, and its lists begin with
    ///   those of its base; `at+jwt`, which every profile takes, is not among `accept_types`.
    /// - `public_origins` of `dpop` are in normal form, and so are the hosts of its `forwarded`; where
    ///   neither is configured, the origin of the resource stands there.
    /// - `keys` of `nonces` are where a file says that they are; else they are `shared`, if code gave
    ///   them, or this process's `own`.
    /// - `max_at_once` of `first_verifications` is `all threads but one` where it was not said: what that is
    ///   depends on the machine.
    /// - `replay` of a store that is not this crate's own memory is `store`: `own`.
    /// - `scope_implications` have what the implied scopes imply as well.
    /// - `exceptions` have `days_left` and `ended`, and networks have their prefix: `::1/128`.
    /// - `policies` are those with a name; `mounted` are those that code made beside them, or of them.
    ///   What no file can say, or says twice, is in `all_of`. `async_timeout` is there where an
    ///   async check is.
    /// - Tenants are asked for at run time: `tenants` has `at_most` only.
    /// - What challenges carry, names and links stand in challenges and in
    ///   [`ResourceServer::metadata`].
    /// - Under `revocation` a source of your own is `own`; what follows from something else is said in
    ///   words: `a third of max_age`, `discovery`, and `given` for an authorization that code gave.
    /// - `not_enforced` says what nobody looks at: revocation, without [`ServerBuilder::revocation`].
    #[must_use]
    pub fn effective_policy(&self) -> serde_json::Value {
        self.shared.effective_policy(&self.own.report())
    }

    /// Decides a request by the server's own policy.
    ///
    /// # Errors
    /// The [`Rejection`], if the token may not be used.
    pub fn verify<'a>(
        &self,
        request: impl Into<RequestHead<'a>>,
    ) -> impl Future<Output = Result<Access, Rejection>> + Send {
        self.own.list();
        self.own.verify(request)
    }

    /// Loads every issuer's keys now, and asks every source of revocation, so that the first request
    /// does not pay for it. It waits for sources for at most five seconds, and for those that only push
    /// not at all: they have nowhere to push to before the service serves.
    ///
    /// # Errors
    /// If the keys of an issuer could not be loaded, or a source said nothing. They are tried again in the background, and
    /// the other issuers are warm: a service may well start all the same. Outside a tokio runtime
    /// nothing can be fetched.
    pub async fn warm_up(&self) -> Result<(), WarmUpError> {
        let rules = &self.shared.rules;
        let Some(revocation) = &rules.revocation else { return rules.issuers.warm_up().await };
        // The sources have their time while the keys are loaded.
        revocation.start();
        let keys = rules.issuers.warm_up().await;
        WarmUpError::and_sources(keys, revocation.warm_up().await)
    }

    /// What this process revokes itself, and how every source of revocation is doing. Without
    /// [`ServerBuilder::revocation`] nothing is looked at: to revoke is then an error.
    #[must_use]
    pub fn revocations(&self) -> Revocations {
        Revocations::new(self.shared.rules.revocation.as_ref())
    }

    /// Receives the security events that are pushed to the event stream of this name (RFC 8935): a
    /// service to mount, without a [`ResourceServer::protect`] around it. `None` if there is no such
    /// source, or nothing is pushed to it.
    #[must_use]
    pub fn event_receiver(&self, source: &str) -> Option<EventReceiver> {
        self.shared.rules.revocation.as_ref()?.receiver(source)
    }

    /// How the keys of every issuer are doing.
    #[must_use]
    pub fn health(&self) -> Vec<IssuerHealth> {
        self.shared.rules.issuers.health()
    }

    /// How every introspection endpoint is doing.
    #[must_use]
    pub fn introspection_health(&self) -> Vec<IntrospectionHealth> {
        self.shared.rules.introspectors.health()
    }

    /// How full the memory of used proofs and tokens is: see [`crate::sender::MemoryReplayStore`].
    /// `None` for a store of one's own that does not say.
    #[must_use]
    pub fn replay_health(&self) -> Option<ReplayHealth> {
        self.shared.replay.occupancy()
    }

    /// How many tokens are known by having been accepted, and the room that they take: see
    /// [`ServerBuilder::known_tokens_bytes`].
    #[must_use]
    pub fn known_tokens_health(&self) -> KnownTokensHealth {
        self.shared.rules.known.health()
    }

    /// How many tokens have their signature verified for the first time, how many requests wait for that
    /// and how many were turned away; `None` if nothing bounds it. See [`crate::FirstVerifications`].
    #[must_use]
    pub fn first_verification_health(&self) -> Option<FirstVerificationHealth> {
        self.shared.rules.turns.as_deref().map(Turns::health)
    }

    /// This protected resource.
    #[must_use]
    pub fn resource(&self) -> &Resource {
        &self.shared.resource
    }

    /// The metadata document (RFC 9728 §2) as it stands now: what is enforced, and the names of
    /// [`Metadata`]. The scopes are those of the policies made so far.
    #[must_use]
    pub fn metadata(&self) -> serde_json::Value {
        self.shared.document()
    }

    /// The path at which [`ResourceServer::metadata_service`] has to be mounted: the well-known
    /// path and the path of the resource (RFC 9728 §3.1).
    #[must_use]
    pub fn metadata_path(&self) -> String {
        let url = self.shared.resource.metadata_url();
        let uri: http::Uri = url.parse().unwrap_or_default();
        uri.path().to_owned()
    }

    /// Serves the metadata document, to everybody, with CORS (RFC 9728 §3).
    #[must_use]
    pub fn metadata_service(&self) -> MetadataService {
        MetadataService::new(Arc::clone(&self.shared))
    }
}

impl fmt::Debug for ResourceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceServer")
            .field("resource", &self.shared.resource)
            .field("issuers", &self.shared.rules.issuers.ids())
            .finish_non_exhaustive()
    }
}
