use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::task::Poll;

use super::{Checked, IssuerHealth, IssuerKeys, KeyFetchError};
use crate::name::IssuerId;
use crate::time::Clock;
use crate::transport::Transport;

/// Every issuer of a server, by its exact identifier. Its drop ends their tasks.
pub(crate) struct Registry {
    issuers: HashMap<Box<str>, Arc<IssuerKeys>>,
}

impl Registry {
    pub(crate) fn new(
        issuers: Vec<Checked>,
        transport: Option<&Arc<dyn Transport>>,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        let issuers = issuers
            .into_iter()
            .filter_map(|issuer| IssuerKeys::new(issuer, transport, clock))
            .map(|keys| (keys.id().as_str().into(), Arc::new(keys)))
            .collect();
        Self { issuers }
    }

    pub(crate) fn get(&self, issuer: &str) -> Option<&Arc<IssuerKeys>> {
        self.issuers.get(issuer)
    }

    /// Loads every issuer's keys: every fetch is started before the first is waited for.
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
        if failures.is_empty() { Ok(()) } else { Err(WarmUpError { failures }) }
    }

    pub(crate) fn health(&self) -> Vec<IssuerHealth> {
        let mut health: Vec<_> = self.issuers.values().map(|keys| keys.health()).collect();
        health.sort_by(|left, right| left.issuer.cmp(&right.issuer));
        health
    }

    pub(crate) fn ids(&self) -> Vec<IssuerId> {
        let mut ids: Vec<_> = self.issuers.values().map(|keys| (**keys.id()).clone()).collect();
        ids.sort();
        ids
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        for keys in self.issuers.values() {
            keys.stop();
        }
    }
}

/// The issuers whose keys could not be loaded by a warm-up, each with the reason. The others are
/// warm, and these are tried again in the background.
#[derive(Clone)]
pub struct WarmUpError {
    failures: Vec<(IssuerId, Arc<KeyFetchError>)>,
}

impl WarmUpError {
    /// Each issuer that has no keys, and why.
    pub fn failures(&self) -> impl ExactSizeIterator<Item = (&IssuerId, &KeyFetchError)> {
        self.failures.iter().map(|(issuer, error)| (issuer, &**error))
    }
}

impl fmt::Display for WarmUpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no keys of {} issuer(s)", self.failures.len())?;
        for (issuer, error) in &self.failures {
            write!(f, "\n  {issuer}: {error}")?;
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
