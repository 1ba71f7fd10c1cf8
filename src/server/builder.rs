use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::metadata::Document;
use super::{Guard, Metadata, Policy, ResourceServer, Shared};
use crate::challenge::ParamsBuilder;
use crate::check::allow_all;
use crate::context::Implies;
use crate::credentials::MAX_TOKEN;
use crate::error::{BuildError, ConfigFault};
use crate::issuer::config::Issuer;
use crate::issuer::{Checked, Registry};
use crate::name::{Audience, Resource};
use crate::sender::Binding;
use crate::time::{Clock, SystemClock};
use crate::transport::Transport;
use crate::verify::{OtherAudiences, Rules, TokenClass};

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
    classes: Vec<TokenClass>,
    binding: Option<Binding>,
    leeway: Duration,
    max_token: usize,
    policy: Policy,
    implies: Implies,
    realm: Option<String>,
    error_uri: Option<String>,
    params: Vec<(String, String)>,
    metadata: Option<Metadata>,
    transport: Option<Arc<dyn Transport>>,
    clock: Arc<dyn Clock>,
}

impl ServerBuilder {
    pub(super) fn new(resource: String) -> Self {
        Self {
            resource,
            audiences: Vec::new(),
            other_audiences: OtherAudiences::Accept,
            issuers: Vec::new(),
            classes: Vec::new(),
            binding: None,
            // Clocks in a fleet agree to a second or two; RFC 9068 §4 allows a few minutes.
            leeway: Duration::from_secs(10),
            max_token: MAX_TOKEN,
            policy: Policy::from(allow_all()),
            implies: Implies::default(),
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

    /// Bounds how long a token may live.
    pub fn class(mut self, class: TokenClass) -> Self {
        self.classes.push(class);
        self
    }

    /// Says what an unbound token may do.
    pub fn binding(mut self, binding: Binding) -> Self {
        self.binding = Some(binding);
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

    /// The policy of [`ResourceServer::layer`] and [`ResourceServer::verify`]: any accepted token,
    /// unless said otherwise.
    pub fn policy(mut self, policy: impl Into<Policy>) -> Self {
        self.policy = policy.into();
        self
    }

    /// Whether one granted scope implies another: `rule(held, wanted)`. Without it a scope is
    /// granted by its exact name only.
    ///
    /// A rule that says yes too often grants what nobody granted. Compare whole names, or whole
    /// segments of them: never prefixes of text.
    pub fn scope_implication(
        mut self,
        rule: impl Fn(&str, &str) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.implies = Implies(Some(Arc::new(rule)));
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

    /// Checks everything. It does no I/O and starts no task.
    ///
    /// # Errors
    /// Every fault of the configuration, at once.
    pub fn build(self) -> Result<ResourceServer, BuildError> {
        let mut faults = Vec::new();
        let resource =
            Resource::parse(&self.resource).map_err(|fault| faults.push(fault.into())).ok();
        let mut audiences = vec![Audience::from_token(&self.resource)];
        for audience in &self.audiences {
            match Audience::parse(audience) {
                Ok(audience) => audiences.push(audience),
                Err(fault) => faults.push(fault.into()),
            }
        }

        if self.issuers.is_empty() {
            faults.push(ConfigFault::NoIssuer);
        }
        let mut issuers = Vec::new();
        for (index, issuer) in self.issuers.iter().enumerate() {
            let twice = self.issuers.iter().take(index).any(|other| other.id() == issuer.id());
            if twice {
                faults.push(ConfigFault::DuplicateIssuer(issuer.id().to_owned()));
            } else {
                issuers.extend(issuer.check(&mut faults));
            }
        }
        match self.classes.as_slice() {
            [] => faults.push(ConfigFault::NoTokenClass),
            [class] if class.is_sane() => {}
            [class] => faults.push(ConfigFault::TokenClassLifetime(class.max_lifetime())),
            several => faults.push(ConfigFault::SeveralTokenClasses(several.len())),
        }
        if self.binding.is_none() {
            faults.push(ConfigFault::NoBinding);
        }
        if self.leeway > Duration::from_mins(5) {
            faults.push(ConfigFault::Leeway(self.leeway));
        }
        if !(1..=MAX_TOKEN).contains(&self.max_token) {
            faults.push(ConfigFault::Bound {
                what: "longest token, in bytes,",
                found: self.max_token,
                maximum: MAX_TOKEN,
            });
        }

        let params = ParamsBuilder {
            realm: self.realm.unwrap_or_else(|| self.resource.clone()),
            metadata_url: match (&self.metadata, &resource) {
                (Some(_), Some(resource)) => Some(resource.metadata_url()),
                _ => None,
            },
            error_uri: self.error_uri,
            params: self.params,
        }
        .build(&mut faults);
        let metadata = self.metadata.unwrap_or_default();
        metadata.check(&mut faults);
        faults.extend(self.policy.faults());

        let needs_transport = issuers.iter().any(Checked::needs_transport);
        let transport = match self.transport {
            None if needs_transport => default_transport(&mut faults),
            given => given,
        };
        let (Some(resource), Some(binding), [class]) =
            (resource, self.binding, self.classes.as_slice())
        else {
            return Err(BuildError::of(faults));
        };
        BuildError::unless_none(faults, ())?;

        let shared = Arc::new(Shared {
            rules: Rules {
                issuers: Registry::new(issuers, transport.as_ref(), &self.clock),
                audiences,
                other_audiences: self.other_audiences,
                leeway: self.leeway,
                class: class.clone(),
                binding,
                max_token: self.max_token,
            },
            clock: self.clock,
            resource,
            document: Document::new(metadata),
            params: Arc::new(params),
            implies: self.implies,
        });
        let own = Guard::new(&shared, self.policy)?;
        Ok(ResourceServer { shared, own })
    }
}

#[cfg(feature = "reqwest")]
fn default_transport(faults: &mut Vec<ConfigFault>) -> Option<Arc<dyn Transport>> {
    match crate::transport::ReqwestTransport::new() {
        Ok(transport) => Some(Arc::new(transport)),
        Err(error) => {
            faults.push(ConfigFault::Transport(error.to_string()));
            None
        }
    }
}

#[cfg(not(feature = "reqwest"))]
fn default_transport(faults: &mut Vec<ConfigFault>) -> Option<Arc<dyn Transport>> {
    faults.push(ConfigFault::NoTransport);
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
