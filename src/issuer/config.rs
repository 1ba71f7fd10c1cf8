use std::fmt;

use std::sync::Arc;

use super::{KeyRefresh, TokenProfile, discovery_urls};
use crate::error::{ConfigFault, Faults};
use crate::jose::{Algorithm, JwkSet};
use crate::name::{IssuerId, LoopbackHttp, NameError, https_url};
use crate::secret::SecretSource;
use crate::transport::Transport;

/// One authorization server whose tokens are accepted, as it is configured.
///
/// Nothing is checked here: `build()` of the server reports every fault of every issuer at once.
#[derive(Clone)]
#[must_use = "an issuer does nothing until it is given to `ResourceServer::builder(...).issuer`"]
pub struct Issuer {
    id: String,
    source: KeySource,
    /// `None`: the default.
    algorithms: Option<Vec<Algorithm>>,
    profile: TokenProfile,
    refresh: KeyRefresh,
    transport: Option<Arc<dyn Transport>>,
    fetch_token: Option<SecretSource>,
    loopback_http: LoopbackHttp,
    encryption: Encryption,
}

/// Whether an issuer encrypts its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encryption {
    AsItComes,
    /// One that is not is refused.
    Always,
}

#[derive(Clone)]
enum KeySource {
    Fixed(Vec<u8>),
    Jwks(String),
    Discovery,
    None,
}

impl IssuerRules {
    /// Of a server without a security profile.
    pub(crate) const ANY: Self =
        Self { default_algorithms: Algorithm::ACCESS_TOKEN_DEFAULTS, allowed: None };
}

/// What a server wants of all its issuers.
#[derive(Clone, Copy)]
pub(crate) struct IssuerRules {
    /// What an issuer may use that names no algorithms of its own.
    pub(crate) default_algorithms: &'static [Algorithm],
    /// What an issuer may name, and who says so, if not all.
    pub(crate) allowed: Option<(&'static str, &'static [Algorithm])>,
}

/// Of the URL of an issuer's metadata in place of the issuer.
const OF_A_DOCUMENT: &str = "is the URL of a document; the issuer is what its tokens have in `iss`, letter for letter: \
                             without `/.well-known/` and what follows";

impl Issuer {
    /// An issuer whose metadata (RFC 8414, or OpenID Connect Discovery) says where its keys are.
    ///
    /// `id` is the issuer identifier, exactly as tokens carry it in `iss`.
    pub fn discover(id: impl Into<String>) -> Self {
        Self::with_source(id, KeySource::Discovery)
    }

    /// An issuer whose JWK Set is at this URL.
    pub fn jwks(id: impl Into<String>, jwks_uri: impl Into<String>) -> Self {
        Self::with_source(id, KeySource::Jwks(jwks_uri.into()))
    }

    /// An issuer whose JWK Set is known: its text, as the issuer would publish it. Nothing is
    /// fetched, and keys change only with the configuration.
    pub fn fixed_keys(id: impl Into<String>, jwk_set: impl Into<Vec<u8>>) -> Self {
        Self::with_source(id, KeySource::Fixed(jwk_set.into()))
    }

    /// An issuer that writes no JWTs for this server, or none that it could verify: its tokens are asked
    /// about, as [`crate::introspection::Introspection`] says. It has no keys.
    pub fn opaque(id: impl Into<String>) -> Self {
        Self::with_source(id, KeySource::None)
    }

    fn with_source(id: impl Into<String>, source: KeySource) -> Self {
        Self {
            id: id.into(),
            source,
            algorithms: None,
            profile: TokenProfile::rfc9068(),
            refresh: KeyRefresh::new(),
            transport: None,
            fetch_token: None,
            loopback_http: LoopbackHttp::Refused,
            encryption: Encryption::AsItComes,
        }
    }

    /// Refuses JWTs of this issuer that are not encrypted to this server (RFC 9068 §4). The server needs
    /// the keys: [`crate::ServerBuilder::decryption`].
    #[cfg(feature = "jwe")]
    pub fn encrypted_only(mut self) -> Self {
        self.encryption = Encryption::Always;
        self
    }

    /// Whether it encrypts its tokens.
    #[cfg(feature = "jwe")]
    pub(crate) fn encryption(&self) -> Encryption {
        self.encryption
    }

    /// The algorithms that this issuer's access tokens may be signed with, preferred ones first.
    ///
    /// A key without `alg` is used with the first that fits it, so `[Ps256, Rs256]` makes an RSA
    /// key without `alg` a PS256 key. The default is [`Algorithm::ACCESS_TOKEN_DEFAULTS`].
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = Some(algorithms.into_iter().collect());
        self
    }

    /// How this issuer's access tokens are written; as RFC 9068 has them unless said otherwise, which
    /// most do not. For the common ones there are profiles, such as [`TokenProfile::keycloak`], whose
    /// documentation has what they need.
    pub fn profile(mut self, profile: TokenProfile) -> Self {
        self.profile = profile;
        self
    }

    /// How this issuer's documents are fetched, in place of the server's transport: for example
    /// with a private CA, [`crate::transport::ReqwestTransport::with_root_certificates`].
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// Sends this as a bearer token with each fetch of the issuer's documents, as a Kubernetes API
    /// server wants it. It is read anew for each fetch, and goes to the host of the configured JWKS
    /// URL, or with discovery to the issuer's own host, and to no other.
    pub fn fetch_token(mut self, source: SecretSource) -> Self {
        self.fetch_token = Some(source);
        self
    }

    /// How long fetched keys are fresh, and how long they are kept through an outage.
    pub fn key_refresh(mut self, refresh: KeyRefresh) -> Self {
        self.refresh = refresh;
        self
    }

    /// Settings that weaken what protects the keys.
    pub fn dangerous(self) -> DangerousIssuer {
        DangerousIssuer(self)
    }

    /// The issuer identifier, as it was given.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether its tokens can do without this claim.
    pub(crate) fn may_lack(&self, claim: super::OptionalClaim) -> bool {
        self.profile.may_lack.contains(&claim)
    }

    /// Whether there are keys of it.
    pub(crate) fn has_keys(&self) -> bool {
        !matches!(self.source, KeySource::None)
    }

    /// The checked form, or every fault of this issuer.
    pub(crate) fn check(&self, rules: IssuerRules, faults: &mut Faults) -> Option<Checked> {
        let before = faults.len();
        let id = match self.loopback_http {
            LoopbackHttp::Allowed => IssuerId::parse_with_loopback(&self.id),
            LoopbackHttp::Refused => IssuerId::parse(&self.id),
        };
        let id = id.and_then(|id| match self.id.contains("/.well-known/") {
            true => Err(NameError::new("issuer", &self.id, OF_A_DOCUMENT)),
            false => Ok(id),
        });
        let id = id.map_err(|fault| faults.push_at("id", fault)).ok();
        let algorithms = self.algorithms.as_deref().unwrap_or(rules.default_algorithms);
        if algorithms.is_empty() {
            faults.push_at("algorithms", ConfigFault::NoAlgorithm(self.id.clone()));
        }
        if let Some((who, allowed)) = rules.allowed {
            for (index, algorithm) in algorithms.iter().enumerate() {
                if !allowed.contains(algorithm) {
                    let names: Vec<_> = allowed.iter().map(ToString::to_string).collect();
                    let names = names.join(", ");
                    let what = format!("`{algorithm}` is not allowed by {who}: say {names}");
                    let fault = ConfigFault::Algorithm { issuer: self.id.clone(), what };
                    faults.at_element("algorithms", index, |faults| faults.push(fault));
                }
            }
        }
        faults.at("profile", |faults| self.profile.check(&self.id, faults));
        if let Some(what) = self.refresh.fault() {
            faults
                .push_at("key_refresh", ConfigFault::KeyLifetime { issuer: self.id.clone(), what });
        }
        let source = self.check_source(algorithms, faults);
        match (id, source) {
            (Some(id), Some(source)) if faults.len() == before => Some(Checked {
                id,
                source,
                algorithms: algorithms.into(),
                profile: self.profile.clone(),
                refresh: self.refresh,
                transport: self.transport.clone(),
                fetch_token: self.fetch_token.clone(),
                loopback_http: self.loopback_http,
                encryption: self.encryption,
            }),
            _ => None,
        }
    }

    fn check_source(&self, algorithms: &[Algorithm], faults: &mut Faults) -> Option<CheckedSource> {
        match &self.source {
            KeySource::None => Some(CheckedSource::None),
            KeySource::Discovery => {
                Some(CheckedSource::Discovery { urls: discovery_urls(&self.id) })
            }
            KeySource::Jwks(url) => match https_url("JWKS URL", url, self.loopback_http) {
                Ok(_) => Some(CheckedSource::Jwks { url: url.clone() }),
                Err(fault) => {
                    faults.push_at("jwks_uri", fault);
                    None
                }
            },
            KeySource::Fixed(document) => match JwkSet::parse(document, algorithms) {
                Err(fault) => {
                    let fault = fault.to_string();
                    faults
                        .push_at("keys", ConfigFault::FixedKeys { issuer: self.id.clone(), fault });
                    None
                }
                // With no algorithm allowed every key is unusable; that is reported as itself.
                Ok(keys) if keys.keys().len() == 0 && !algorithms.is_empty() => {
                    let faults_of_keys: Vec<String> =
                        keys.unusable().iter().map(ToString::to_string).collect();
                    let fault = ConfigFault::NoUsableKey {
                        issuer: self.id.clone(),
                        faults: match faults_of_keys.as_slice() {
                            [] => "the set is empty".to_owned(),
                            some => some.join("; "),
                        },
                    };
                    faults.push_at("keys", fault);
                    None
                }
                Ok(keys) => Some(CheckedSource::Fixed(keys)),
            },
        }
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer")
            .field("id", &self.id)
            .field("algorithms", &self.algorithms)
            .field("profile", &self.profile.name())
            .finish_non_exhaustive()
    }
}

/// Settings of an [`Issuer`] that weaken what protects its keys.
#[must_use = "take the issuer back with one of the methods"]
pub struct DangerousIssuer(Issuer);

impl DangerousIssuer {
    /// Lets this issuer, its metadata and its keys be at `http` URLs of a loopback host, for
    /// tests and local development. Whoever else can listen on the machine's ports can then
    /// choose the keys. Any other host is still refused.
    pub fn insecure_loopback_http(mut self) -> Issuer {
        self.0.loopback_http = LoopbackHttp::Allowed;
        self.0
    }
}

impl fmt::Debug for DangerousIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DangerousIssuer").field(&self.0).finish()
    }
}

/// An issuer without faults.
pub(crate) struct Checked {
    pub(crate) id: IssuerId,
    pub(super) source: CheckedSource,
    pub(super) algorithms: Box<[Algorithm]>,
    pub(super) profile: TokenProfile,
    pub(super) refresh: KeyRefresh,
    pub(super) transport: Option<Arc<dyn Transport>>,
    pub(super) fetch_token: Option<SecretSource>,
    pub(super) loopback_http: LoopbackHttp,
    pub(super) encryption: Encryption,
}

impl Checked {
    /// Whether its tokens can do without this claim.
    pub(crate) fn may_lack(&self, claim: super::OptionalClaim) -> bool {
        self.profile.may_lack.contains(&claim)
    }

    /// Whether its keys have to be fetched by the server's transport.
    pub(crate) fn needs_transport(&self) -> bool {
        let is_fetched = match self.source {
            CheckedSource::Jwks { .. } | CheckedSource::Discovery { .. } => true,
            CheckedSource::Fixed(_) | CheckedSource::None => false,
        };
        is_fetched && self.transport.is_none()
    }
}

pub(super) enum CheckedSource {
    Fixed(JwkSet),
    Jwks {
        url: String,
    },
    Discovery {
        urls: Vec<String>,
    },
    /// There are no keys.
    None,
}
