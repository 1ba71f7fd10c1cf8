use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::task::Poll;

use super::config::IssuerRules;
use super::tenants::{Resolved, Tenants};
use super::{Checked, IssuerHealth, IssuerKeys, IssuerResolver, KeyFetchError};
use crate::name::IssuerId;
use crate::time::{Clock, Moment};
use crate::transport::Transport;

/// Every issuer of a server, by its exact identifier. Its drop ends their tasks.
pub(crate) struct Registry {
    issuers: HashMap<Box<str>, Arc<IssuerKeys>>,
    /// The same, in the order of the configuration.
    configured: Vec<Arc<IssuerKeys>>,
    /// Those that are decided on at run time.
    tenants: Option<Tenants>,
}

/// An issuer that somebody remembers.
pub(crate) enum Remembered {
    Configured(Arc<IssuerKeys>),
    /// It goes when it is changed or removed.
    Tenant(Weak<IssuerKeys>),
}

/// A resolver, and how many issuers of it are kept.
pub(crate) struct TenantRules {
    pub(crate) resolver: Arc<dyn IssuerResolver>,
    pub(crate) at_most: usize,
    pub(crate) rules: IssuerRules,
}

impl Registry {
    pub(crate) fn new(
        issuers: Vec<Checked>,
        tenants: Option<TenantRules>,
        transport: Option<&Arc<dyn Transport>>,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        let configured: Vec<_> = issuers
            .into_iter()
            .filter_map(|issuer| IssuerKeys::new(issuer, transport, clock))
            .map(Arc::new)
            .collect();
        let by_name = |keys: &Arc<IssuerKeys>| (keys.id().as_str().into(), Arc::clone(keys));
        let issuers = configured.iter().map(by_name).collect();
        let tenants = tenants.map(|rules| Tenants::new(rules, transport.cloned(), clock));
        Self { issuers, configured, tenants }
    }

    /// The issuer of this identifier, if it is one of the configured ones or a trusted tenant.
    pub(crate) fn get(&self, issuer: &str, at: Moment) -> Resolved {
        match (self.issuers.get(issuer), &self.tenants) {
            (Some(keys), _) => Resolved::Known(Arc::clone(keys)),
            (None, Some(tenants)) => tenants.get(issuer, at),
            (None, None) => Resolved::Unknown,
        }
    }

    /// For whoever remembers an issuer, and must not keep a tenant that went.
    pub(crate) fn remember(&self, issuer: Arc<IssuerKeys>) -> Remembered {
        let configured = self.issuers.get(issuer.id().as_str());
        match configured.is_some_and(|keys| Arc::ptr_eq(keys, &issuer)) {
            true => Remembered::Configured(issuer),
            false => Remembered::Tenant(Arc::downgrade(&issuer)),
        }
    }

    /// Whether it is still the issuer of this name, a tenant may have been changed or removed, and this is
    /// so of it.
    pub(crate) fn is_still(
        &self,
        remembered: &Remembered,
        name: &IssuerId,
        at: Moment,
        holds: impl FnOnce(&IssuerKeys) -> bool,
    ) -> bool {
        match remembered {
            Remembered::Configured(keys) => holds(keys),
            Remembered::Tenant(keys) => match self.get(name.as_str(), at) {
                Resolved::Known(found) if std::ptr::eq(keys.as_ptr(), &raw const *found) => {
                    let still = holds(&found);
                    if still {
                        self.proved(&found, at);
                    }
                    still
                }
                _ => false,
            },
        }
    }

    /// A token of this issuer had a good signature: its place is worth keeping.
    pub(crate) fn proved(&self, issuer: &IssuerKeys, at: Moment) {
        if let Some(tenants) = &self.tenants {
            tenants.proved(issuer, at);
        }
    }

    /// Loads the keys of every configured issuer: every fetch is started before the first is
    /// waited for.
    pub(crate) async fn warm_up(&self) -> Result<(), WarmUpError> {
        let mut loads = Vec::new();
        for keys in self.issuers.values() {
            let mut load = Box::pin(keys.load());
            // Polled once, it has started its fetch, which runs in a task of its own.
            let early = std::future::poll_fn(|context| {
                Poll::Ready(match load.as_mut().poll(context) {
                    Poll::Ready(loaded) => Some(loaded),
                    Poll::Pending => None,
                })
            });
            let early = early.await;
            loads.push((keys.id(), load, early));
        }
        let mut failures = Vec::new();
        for (issuer, load, early) in loads {
            let loaded = match early {
                Some(loaded) => loaded,
                None => load.await,
            };
            if let Err(error) = loaded {
                failures.push(((**issuer).clone(), error));
            }
        }
        failures.sort_by(|(left, _), (right, _)| left.cmp(right));
        if failures.is_empty() {
            Ok(())
        } else {
            Err(WarmUpError { failures, sources: Vec::new() })
        }
    }

    /// The configured issuers, and the tenants that have been seen.
    pub(crate) fn health(&self) -> Vec<IssuerHealth> {
        let tenants = self.tenants.as_ref().map(Tenants::all).unwrap_or_default();
        let mut health: Vec<_> =
            self.issuers.values().chain(&tenants).map(|keys| keys.health()).collect();
        health.sort_by(|left, right| left.issuer.cmp(&right.issuer));
        health
    }

    /// The configured issuers, in the order of the configuration.
    pub(crate) fn configured(&self) -> &[Arc<IssuerKeys>] {
        &self.configured
    }

    /// Whether a client or a subject is known by its name alone.
    pub(crate) fn is_one(&self) -> bool {
        self.tenants.is_none() && self.issuers.len() <= 1
    }

    /// How many issuers are kept that are decided on at run time; `None` if none is.
    pub(crate) fn tenants_at_most(&self) -> Option<usize> {
        self.tenants.as_ref().map(Tenants::at_most)
    }

    pub(crate) fn ids(&self) -> Vec<IssuerId> {
        self.configured().iter().map(|keys| (**keys.id()).clone()).collect()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        for keys in self.issuers.values() {
            keys.stop();
        }
    }
}

/// The issuers whose keys could not be loaded by a warm-up, and the sources of revocation of which
/// nothing is known, each with the reason. The others are warm, and these are tried again in the
/// background.
#[derive(Clone)]
pub struct WarmUpError {
    failures: Vec<(IssuerId, Arc<KeyFetchError>)>,
    /// Sources of revocation, and what went wrong.
    sources: Vec<(String, String)>,
}

impl WarmUpError {
    /// With these sources of revocation of which nothing is known.
    pub(crate) fn and_sources(
        keys: Result<(), Self>,
        sources: Vec<(String, String)>,
    ) -> Result<(), Self> {
        match (keys, sources.is_empty()) {
            (keys, true) => keys,
            (Ok(()), false) => Err(Self { failures: Vec::new(), sources }),
            (Err(error), false) => Err(Self { sources, ..error }),
        }
    }

    /// Each source of revocation of which nothing is known yet, by its name, and why: tokens of its
    /// issuers get 503.
    pub fn revocation_sources(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.sources.iter().map(|(name, why)| (name.as_str(), why.as_str()))
    }

    /// Each issuer that has no keys, and why.
    pub fn failures(&self) -> impl ExactSizeIterator<Item = (&IssuerId, &KeyFetchError)> {
        self.failures.iter().map(|(issuer, error)| (issuer, &**error))
    }
}

impl fmt::Display for WarmUpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (issuers, sources) = (self.failures.len(), self.sources.len());
        match (issuers, sources) {
            (_, 0) => write!(f, "no keys of {issuers} issuer(s)")?,
            (0, _) => write!(f, "nothing known from {sources} revocation source(s)")?,
            _ => write!(
                f,
                "no keys of {issuers} issuer(s), nothing known from {sources} revocation source(s)"
            )?,
        }
        for (issuer, error) in &self.failures {
            write!(f, "\n  {issuer}: {error}")?;
        }
        for (name, error) in &self.sources {
            write!(f, "\n  {name}: {error}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for WarmUpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for WarmUpError {}
