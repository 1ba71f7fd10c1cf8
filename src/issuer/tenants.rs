//! The issuers of a resolver that have been seen, each in its place.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use super::IssuerKeys;
use super::config::Issuer;
use super::registry::TenantRules;
use super::trust::Trust;
use crate::error::{Faults, Unavailable};
use crate::time::{Clock, Moment};
use crate::transport::Transport;

/// What is known of an `iss`.
pub(crate) enum Resolved {
    Known(Arc<IssuerKeys>),
    Unknown,
    Unavailable(Unavailable),
}

/// The issuers of a resolver that have been seen.
///
/// Two sets of at most so many each: those of which a token had a good signature, and those that
/// were only named. Whoever writes the names of trusted issuers into tokens that nobody signed
/// cannot take a place of the first kind, and of the second for no longer than a few seconds.
pub(super) struct Tenants {
    rules: TenantRules,
    transport: Option<Arc<dyn Transport>>,
    clock: Arc<dyn Clock>,
    seen: RwLock<Seen>,
    /// When an issuer that cannot be used was last complained of, in steady seconds.
    complained: AtomicU64,
}

#[derive(Default)]
struct Seen {
    proven: Places,
    named: Places,
}

/// A bounded set of tenants.
#[derive(Default)]
struct Places {
    tenants: HashMap<Box<str>, Tenant>,
    /// Before this time, in steady seconds, no place can become free: nobody has to look.
    full_until: u64,
}

struct Tenant {
    keys: Arc<IssuerKeys>,
    version: u64,
    /// When it was named, or when last a token of it had a good signature, in steady seconds.
    used: AtomicU64,
}

impl Tenants {
    /// A proven issuer that was idle for this long makes room for another proven one.
    const IDLE: Duration = Duration::from_mins(1);
    /// One that was only named makes room after this time: its keys are fetched by then.
    const NAMED: Duration = Duration::from_secs(5);
    /// At most one complaint in this time.
    const COMPLAIN_EVERY: Duration = Duration::from_mins(1);

    pub(super) fn new(
        rules: TenantRules,
        transport: Option<Arc<dyn Transport>>,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        Self {
            rules,
            transport,
            clock: Arc::clone(clock),
            seen: RwLock::default(),
            complained: AtomicU64::new(0),
        }
    }

    pub(super) fn at_most(&self) -> usize {
        self.rules.at_most
    }

    pub(super) fn get(&self, issuer: &str, at: Moment) -> Resolved {
        // The version is that from before the issuer is described: what changes meanwhile is seen
        // with the next token.
        let version = match self.rules.resolver.trust(issuer) {
            Trust::Trusted { version } => version,
            Trust::Unknown => {
                self.forget(issuer);
                return Resolved::Unknown;
            }
            Trust::Unavailable(unavailable) => return Resolved::Unavailable(unavailable),
        };
        match self.read().get(issuer) {
            Some(tenant) if tenant.version == version => {
                return Resolved::Known(Arc::clone(&tenant.keys));
            }
            _ => {}
        }
        self.admit(issuer, version, at)
    }

    /// A token of this issuer had a good signature.
    pub(super) fn proved(&self, issuer: &IssuerKeys, at: Moment) {
        let (id, now) = (issuer.id().as_str(), at.steady().as_secs());
        let is_named = {
            let seen = self.read();
            if let Some(tenant) = seen.get(id) {
                tenant.used.store(now, Ordering::Relaxed);
            }
            seen.named.tenants.contains_key(id) && now >= seen.proven.full_until
        };
        if is_named {
            self.write().promote(id, self.rules.at_most, now);
        }
    }

    /// Those that are trusted still; the others are forgotten.
    pub(super) fn all(&self) -> Vec<Arc<IssuerKeys>> {
        let seen: Vec<_> = self.read().all().map(|tenant| Arc::clone(&tenant.keys)).collect();
        let trusted = |keys: &Arc<IssuerKeys>| {
            let id = keys.id().as_str();
            let trusted = self.rules.resolver.trust(id) != Trust::Unknown;
            if !trusted {
                self.forget(id);
            }
            trusted
        };
        seen.into_iter().filter(trusted).collect()
    }

    fn admit(&self, issuer: &str, version: u64, at: Moment) -> Resolved {
        let now = at.steady().as_secs();
        let full = |until: u64| {
            let most = self.rules.at_most;
            let why = format!(
                "{most} issuers were named and not proven, and no place is free yet: if they are good \
                 ones, give `.tenants(...)` more"
            );
            let wait = Duration::from_secs(until.saturating_sub(now).max(1));
            Resolved::Unavailable(Unavailable::new(why).retry_after(wait))
        };
        let (full_until, is_proven) = {
            let seen = self.read();
            (seen.named.full_until, seen.proven.tenants.contains_key(issuer))
        };
        // One that has a place of its own keeps it when its settings change.
        if !is_proven && now < full_until {
            return full(full_until);
        }
        // Foreign code runs before the lock is taken.
        let Some(described) = self.rules.resolver.issuer(issuer) else {
            return Resolved::Unknown;
        };
        let keys = match self.keys_of(described, issuer) {
            Ok(keys) => keys,
            Err(fault) => {
                self.complain(now, &fault);
                let why = "the resolver's issuer is faulty: the log has its fault, at level error";
                return Resolved::Unavailable(Unavailable::new(why));
            }
        };
        let mut seen = self.write();
        match seen.get(issuer) {
            Some(tenant) if tenant.version == version => {
                return Resolved::Known(Arc::clone(&tenant.keys));
            }
            _ => seen.forget(issuer),
        }
        let most = self.rules.at_most;
        let tenant = Tenant { keys: Arc::clone(&keys), version, used: AtomicU64::new(now) };
        if is_proven && seen.proven.tenants.len() < most {
            seen.proven.tenants.insert(issuer.into(), tenant);
        } else if let Err(until) = seen.named.make_room(most, now, Self::NAMED) {
            return full(until);
        } else {
            seen.named.tenants.insert(issuer.into(), tenant);
        }
        Resolved::Known(keys)
    }

    fn keys_of(&self, described: Issuer, issuer: &str) -> Result<Arc<IssuerKeys>, String> {
        let mut faults = Faults::new();
        let checked = described.check(self.rules.rules, &mut faults);
        let Some(checked) = checked else {
            return Err(faults.into_error().to_string());
        };
        if checked.id.as_str() != issuer {
            return Err(format!("{issuer:?} was asked for, {:?} was described", checked.id));
        }
        IssuerKeys::of_tenant(
            checked,
            self.transport.as_ref(),
            &self.clock,
            Arc::clone(&self.rules.resolver),
        )
        .map(Arc::new)
        .ok_or_else(|| format!("no transport to fetch the keys of {issuer} with"))
    }

    fn complain(&self, now: u64, fault: &str) {
        let last = self.complained.load(Ordering::Relaxed);
        let due = last == 0 || now.saturating_sub(last) >= Self::COMPLAIN_EVERY.as_secs();
        if due
            && self
                .complained
                .compare_exchange(last, now.max(1), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            tracing::error!("the resolver trusts an issuer that cannot be used: {fault}");
        }
    }

    fn forget(&self, issuer: &str) {
        if self.read().get(issuer).is_some() {
            self.write().forget(issuer);
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Seen> {
        self.seen.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Seen> {
        self.seen.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn get(&self, issuer: &str) -> Option<&Tenant> {
        self.proven.tenants.get(issuer).or_else(|| self.named.tenants.get(issuer))
    }

    fn all(&self) -> impl Iterator<Item = &Tenant> {
        self.proven.tenants.values().chain(self.named.tenants.values())
    }

    fn forget(&mut self, issuer: &str) {
        for places in [&mut self.proven, &mut self.named] {
            if let Some(tenant) = places.tenants.remove(issuer) {
                tenant.keys.stop();
                places.full_until = 0;
            }
        }
    }

    /// From the named to the proven, if there is room; it stays where it is otherwise.
    fn promote(&mut self, issuer: &str, at_most: usize, now: u64) {
        if !self.named.tenants.contains_key(issuer)
            || self.proven.make_room(at_most, now, Tenants::IDLE).is_err()
        {
            return;
        }
        if let Some((name, tenant)) = self.named.tenants.remove_entry(issuer) {
            self.proven.tenants.insert(name, tenant);
            self.named.full_until = 0;
        }
    }
}

impl Places {
    /// A place: a free one, or that of the tenant which was used longest ago, if that is this long.
    /// Else the time before which there is none.
    fn make_room(&mut self, at_most: usize, now: u64, kept: Duration) -> Result<(), u64> {
        if self.tenants.len() < at_most {
            return Ok(());
        }
        let used = |tenant: &Tenant| tenant.used.load(Ordering::Relaxed);
        let oldest = self.tenants.iter().min_by_key(|(_, tenant)| used(tenant));
        let Some((name, used)) = oldest.map(|(name, tenant)| (name.clone(), used(tenant))) else {
            return Err(now);
        };
        let free_at = used.saturating_add(kept.as_secs());
        if now < free_at {
            self.full_until = free_at;
            return Err(free_at);
        }
        if let Some(tenant) = self.tenants.remove(&name) {
            tenant.keys.stop();
        }
        Ok(())
    }
}

impl Drop for Tenants {
    fn drop(&mut self) {
        for tenant in self.read().all() {
            tenant.keys.stop();
        }
    }
}

impl fmt::Debug for Tenants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenants").field("seen", &self.read().all().count()).finish_non_exhaustive()
    }
}
