use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use super::IssuerKeys;
use super::config::Issuer;
use super::registry::TenantRules;
use crate::error::{Faults, Unavailable};
use crate::time::{Clock, Moment};
use crate::transport::Transport;

/// Whether an issuer is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trust {
    /// Its tokens are decided, with the issuer that [`IssuerResolver::issuer`] describes.
    Trusted,
    /// Its tokens are refused: 401.
    Unknown,
    /// That cannot be said now, for example because the list is being loaded: 503.
    Unavailable(Unavailable),
}

/// Decides at run time which issuers are trusted, for a service with many tenants.
///
/// A false yes accepts whatever that issuer signs, and lets its name choose where keys are fetched
/// from; a false no locks its users out. `iss` is what anybody wrote into a token that nothing is
/// known of yet: compare it whole with a list of yours, never with a pattern that a stranger's name
/// can fit.
///
/// Both methods are synchronous and are called while a request is decided: answer from memory. A
/// list that is elsewhere is loaded by a task of yours; until it is there, say
/// [`Trust::Unavailable`].
pub trait IssuerResolver: Send + Sync + 'static {
    /// Whether this issuer is trusted. It is asked for every token whose issuer is not among the
    /// configured ones, so that who leaves the list is out with the next request.
    fn trust(&self, issuer: &str) -> Trust;

    /// The issuer of that name, when its first token comes. It has to have that very identifier.
    fn issuer(&self, issuer: &str) -> Issuer;
}

/// A list of trusted issuers that can be changed while the server runs. A clone is the same list.
///
/// ```
/// use portcullis::Issuer;
/// use portcullis::issuer::{IssuerResolver, TenantList, Trust};
///
/// let tenants = TenantList::new();
/// tenants.trust(Issuer::discover("https://blue.example"));
/// assert_eq!(IssuerResolver::trust(&tenants, "https://blue.example"), Trust::Trusted);
///
/// tenants.distrust("https://blue.example");
/// assert_eq!(IssuerResolver::trust(&tenants, "https://blue.example"), Trust::Unknown);
/// # let _ = |builder: portcullis::ServerBuilder| builder.tenants(tenants, 1_000);
/// ```
#[derive(Clone, Debug, Default)]
pub struct TenantList {
    issuers: Arc<RwLock<HashMap<String, Issuer>>>,
}

impl TenantList {
    /// Nobody yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts this issuer from now on. Its faults, if it has any, show with its first token: 503,
    /// and an error in the log. One that is trusted already keeps its keys and its settings until
    /// it was distrusted.
    pub fn trust(&self, issuer: Issuer) {
        self.write().insert(issuer.id().to_owned(), issuer);
    }

    /// Trusts this issuer no longer: its next token is refused, and its keys are dropped.
    pub fn distrust(&self, issuer: &str) {
        self.write().remove(issuer);
    }

    /// How many are trusted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read().len()
    }

    /// Whether nobody is trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.read().is_empty()
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<String, Issuer>> {
        self.issuers.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<String, Issuer>> {
        self.issuers.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IssuerResolver for TenantList {
    fn trust(&self, issuer: &str) -> Trust {
        if self.read().contains_key(issuer) { Trust::Trusted } else { Trust::Unknown }
    }

    fn issuer(&self, issuer: &str) -> Issuer {
        // Distrusted between the two calls: an issuer that has no keys.
        self.read().get(issuer).cloned().unwrap_or_else(|| Issuer::fixed_keys(issuer, ""))
    }
}

impl<R: IssuerResolver + ?Sized> IssuerResolver for Arc<R> {
    fn trust(&self, issuer: &str) -> Trust {
        (**self).trust(issuer)
    }

    fn issuer(&self, issuer: &str) -> Issuer {
        (**self).issuer(issuer)
    }
}

/// What is known of an `iss`.
pub(crate) enum Resolved {
    Known(Arc<IssuerKeys>),
    Unknown,
    Unavailable(Unavailable),
}

/// The issuers of a resolver that have been seen, at most so many.
pub(super) struct Tenants {
    rules: TenantRules,
    transport: Option<Arc<dyn Transport>>,
    clock: Arc<dyn Clock>,
    seen: RwLock<HashMap<Box<str>, Tenant>>,
}

struct Tenant {
    keys: Arc<IssuerKeys>,
    /// When it was first seen, or when last a token of it had a good signature, in steady seconds.
    proved: AtomicU64,
}

impl Tenants {
    /// A place is kept for this long after it was last worth it. Whoever writes the names of
    /// trusted issuers into tokens that nobody signed can take places for no longer.
    const KEPT: Duration = Duration::from_mins(1);

    pub(super) fn new(
        rules: TenantRules,
        transport: Option<Arc<dyn Transport>>,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        Self { rules, transport, clock: Arc::clone(clock), seen: RwLock::default() }
    }

    pub(super) fn at_most(&self) -> usize {
        self.rules.at_most
    }

    pub(super) fn get(&self, issuer: &str, at: Moment) -> Resolved {
        match self.rules.resolver.trust(issuer) {
            Trust::Trusted => {}
            Trust::Unknown => {
                self.forget(issuer);
                return Resolved::Unknown;
            }
            Trust::Unavailable(unavailable) => return Resolved::Unavailable(unavailable),
        }
        if let Some(tenant) = self.read().get(issuer) {
            return Resolved::Known(Arc::clone(&tenant.keys));
        }
        match self.admit(issuer, at) {
            Ok(keys) => Resolved::Known(keys),
            Err(unavailable) => Resolved::Unavailable(unavailable),
        }
    }

    pub(super) fn proved(&self, issuer: &IssuerKeys, at: Moment) {
        if let Some(tenant) = self.read().get(issuer.id().as_str()) {
            tenant.proved.store(at.steady().as_secs(), Ordering::Relaxed);
        }
    }

    pub(super) fn all(&self) -> Vec<Arc<IssuerKeys>> {
        self.read().values().map(|tenant| Arc::clone(&tenant.keys)).collect()
    }

    fn admit(&self, issuer: &str, at: Moment) -> Result<Arc<IssuerKeys>, Unavailable> {
        // Foreign code runs before the lock is taken.
        let described = self.rules.resolver.issuer(issuer);
        let mut faults = Faults::new();
        let checked = described
            .check(self.rules.rules, &mut faults)
            .filter(|checked| checked.id.as_str() == issuer);
        let keys = checked
            .and_then(|checked| IssuerKeys::new(checked, self.transport.as_ref(), &self.clock));
        let Some(keys) = keys.map(Arc::new) else {
            let fault = match faults.len() {
                0 => "it has another identifier, or no transport".to_owned(),
                _ => faults.into_error().to_string(),
            };
            tracing::error!("the resolver trusts an issuer that cannot be used: {fault}");
            return Err(Unavailable::new("the resolver's issuer cannot be used"));
        };
        let now = at.steady().as_secs();
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(tenant) = seen.get(issuer) {
            return Ok(Arc::clone(&tenant.keys));
        }
        if seen.len() >= self.rules.at_most {
            let longest = seen
                .iter()
                .map(|(name, tenant)| (tenant.proved.load(Ordering::Relaxed), name))
                .min()
                .map(|(proved, name)| (proved, name.clone()));
            match longest {
                Some((proved, name)) if now.saturating_sub(proved) >= Self::KEPT.as_secs() => {
                    if let Some(tenant) = seen.remove(&name) {
                        tenant.keys.stop();
                    }
                }
                _ => {
                    let most = self.rules.at_most;
                    let why = format!("{most} issuers are in use, and no place is free");
                    return Err(Unavailable::new(why).retry_after(Self::KEPT));
                }
            }
        }
        let tenant = Tenant { keys: Arc::clone(&keys), proved: AtomicU64::new(now) };
        seen.insert(issuer.into(), tenant);
        Ok(keys)
    }

    fn forget(&self, issuer: &str) {
        if !self.read().contains_key(issuer) {
            return;
        }
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(tenant) = seen.remove(issuer) {
            tenant.keys.stop();
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<Box<str>, Tenant>> {
        self.seen.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Tenants {
    fn drop(&mut self) {
        for tenant in self.read().values() {
            tenant.keys.stop();
        }
    }
}

impl fmt::Debug for Tenants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenants").field("seen", &self.read().len()).finish_non_exhaustive()
    }
}
