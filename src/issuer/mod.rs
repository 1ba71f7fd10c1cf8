//! Issuers: who may write tokens, with which algorithms, and where their keys come from.
//!
//! 1. A key is found by issuer AND `kid` (RFC 8725 §3.8): each issuer has its own set, and no set
//!    is ever searched for another issuer's token.
//! 2. Keys come from configuration, from a JWKS URL, or through discovery (RFC 8414, OpenID
//!    Connect Discovery), never from a token and never from a URL in one.
//! 3. A document found by discovery counts only if its `issuer` is the configured one, code point
//!    by code point (RFC 8414 §3.3).
//! 4. A fetched set replaces the one before: a withdrawn key is gone with the next fetch.
//! 5. Fetches run in a task of their own, ahead of the age at which keys stop being fresh. An
//!    outage keeps the last good keys for a stated time ([`KeyRefresh::keep_through_outage`]);
//!    after that nothing can be decided: 503, never 401.
//! 6. An unknown `kid` asks for at most three fetches at once and one per five seconds, per
//!    issuer, however many tokens carry one; the token waits for a fetch under way at most
//!    [`KeyRefresh::wait_at_most`].
//!
//! What it does not do: it starts nothing before [`crate::ResourceServer::warm_up`] or the first
//! token of that issuer. All its tasks end with the last handle of the server.
//!
//! Deployment: without a warm-up the first request pays for discovery, or gets 503 if that takes
//! longer than the wait.
//!
//! ```
//! use std::time::Duration;
//! use portcullis::issuer::{Issuer, KeyRefresh};
//! use portcullis::jose::Algorithm;
//!
//! let partner = Issuer::jwks("https://partner.example", "https://keys.partner.example/jwks.json")
//!     .algorithms([Algorithm::Es256, Algorithm::Ed25519])
//!     .key_refresh(KeyRefresh::new().keep_through_outage(Duration::from_hours(6)));
//! assert_eq!(partner.id(), "https://partner.example");
//! ```

mod bucket;
mod discovery;
mod fetch;
mod health;
mod keys;
mod refresh;
mod registry;

use std::fmt;

use crate::error::ConfigFault;
use crate::jose::{Algorithm, JwkSet};
use crate::name::{IssuerId, Loopback, https_url};
use crate::transport::LoopbackHttp;

pub use discovery::{MetadataError, discovery_urls};
pub use fetch::KeyFetchError;
pub use health::{IssuerHealth, KeyState};
pub(crate) use keys::{Attempt, IssuerKeys, KeyWait, Lookup};
pub use refresh::KeyRefresh;
pub(crate) use registry::Registry;
pub use registry::WarmUpError;

/// One authorization server whose tokens are accepted, as it is configured.
///
/// Nothing is checked here: `build()` of the server reports every fault of every issuer at once.
#[derive(Clone)]
#[must_use = "an issuer does nothing until it is given to `ResourceServer::builder(...).issuer`"]
pub struct Issuer {
    id: String,
    source: KeySource,
    algorithms: Vec<Algorithm>,
    refresh: KeyRefresh,
    loopback_http: LoopbackHttp,
}

#[derive(Clone)]
enum KeySource {
    Fixed(Vec<u8>),
    Jwks(String),
    Discovery,
}

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

    fn with_source(id: impl Into<String>, source: KeySource) -> Self {
        Self {
            id: id.into(),
            source,
            algorithms: Algorithm::ACCESS_TOKEN_DEFAULTS.to_vec(),
            refresh: KeyRefresh::new(),
            loopback_http: LoopbackHttp::Refused,
        }
    }

    /// The algorithms that this issuer's access tokens may be signed with, preferred ones first.
    ///
    /// A key without `alg` is used with the first that fits it, so `[Ps256, Rs256]` makes an RSA
    /// key without `alg` a PS256 key. The default is [`Algorithm::ACCESS_TOKEN_DEFAULTS`].
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        self
    }

    /// How long fetched keys are fresh, and how long they are kept through an outage.
    pub fn key_refresh(mut self, refresh: KeyRefresh) -> Self {
        self.refresh = refresh;
        self
    }

    /// Settings that weaken what protects the keys.
    pub fn dangerous(self) -> Dangerous {
        Dangerous(self)
    }

    /// The issuer identifier, as it was given.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The checked form, or every fault of this issuer.
    pub(crate) fn check(&self, faults: &mut Vec<ConfigFault>) -> Option<Checked> {
        let before = faults.len();
        let id = match self.loopback_http {
            LoopbackHttp::Allowed => IssuerId::parse_with_loopback(&self.id),
            LoopbackHttp::Refused => IssuerId::parse(&self.id),
        };
        let id = id.map_err(|fault| faults.push(fault.into())).ok();
        if self.algorithms.is_empty() {
            faults.push(ConfigFault::NoAlgorithm(self.id.clone()));
        }
        if let Some(what) = self.refresh.fault() {
            faults.push(ConfigFault::KeyLifetime {
                issuer: self.id.clone(),
                what,
            });
        }
        let source = self.check_source(faults);
        match (id, source) {
            (Some(id), Some(source)) if faults.len() == before => Some(Checked {
                id,
                source,
                algorithms: self.algorithms.clone().into(),
                refresh: self.refresh,
                loopback_http: self.loopback_http,
            }),
            _ => None,
        }
    }

    fn check_source(&self, faults: &mut Vec<ConfigFault>) -> Option<CheckedSource> {
        match &self.source {
            KeySource::Discovery => Some(CheckedSource::Discovery {
                urls: discovery_urls(&self.id),
            }),
            KeySource::Jwks(url) => {
                let loopback = match self.loopback_http {
                    LoopbackHttp::Allowed => Loopback::Allowed,
                    LoopbackHttp::Refused => Loopback::Refused,
                };
                match https_url("JWKS URL", url, loopback) {
                    Ok(_) => Some(CheckedSource::Jwks { url: url.clone() }),
                    Err(fault) => {
                        faults.push(fault.into());
                        None
                    }
                }
            }
            KeySource::Fixed(document) => match JwkSet::parse(document, &self.algorithms) {
                Err(fault) => {
                    let fault = fault.to_string();
                    faults.push(ConfigFault::FixedKeys {
                        issuer: self.id.clone(),
                        fault,
                    });
                    None
                }
                // With no algorithm allowed every key is unusable; that is reported as itself.
                Ok(keys) if keys.keys().len() == 0 && !self.algorithms.is_empty() => {
                    let faults_of_keys: Vec<String> =
                        keys.unusable().iter().map(ToString::to_string).collect();
                    faults.push(ConfigFault::NoUsableKey {
                        issuer: self.id.clone(),
                        faults: match faults_of_keys.as_slice() {
                            [] => "the set is empty".to_owned(),
                            some => some.join("; "),
                        },
                    });
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
            .finish_non_exhaustive()
    }
}

/// Settings of an [`Issuer`] that weaken what protects its keys.
#[must_use = "take the issuer back with one of the methods"]
pub struct Dangerous(Issuer);

impl Dangerous {
    /// Lets this issuer, its metadata and its keys be at `http` URLs of a loopback host, for
    /// tests and local development. Whoever else can listen on the machine's ports can then
    /// choose the keys. Any other host is still refused.
    pub fn insecure_loopback_http(mut self) -> Issuer {
        self.0.loopback_http = LoopbackHttp::Allowed;
        self.0
    }
}

impl fmt::Debug for Dangerous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Dangerous").field(&self.0).finish()
    }
}

/// An issuer without faults.
pub(crate) struct Checked {
    pub(crate) id: IssuerId,
    source: CheckedSource,
    algorithms: Box<[Algorithm]>,
    refresh: KeyRefresh,
    loopback_http: LoopbackHttp,
}

impl Checked {
    /// Whether its keys have to be fetched.
    pub(crate) fn needs_transport(&self) -> bool {
        !matches!(self.source, CheckedSource::Fixed(_))
    }
}

enum CheckedSource {
    Fixed(JwkSet),
    Jwks { url: String },
    Discovery { urls: Vec<String> },
}
