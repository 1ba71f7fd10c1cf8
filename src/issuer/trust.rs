//! Which issuers are trusted, decided at run time.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::config::{Issuer, IssuerRules};
use crate::error::{BuildError, Faults, Unavailable};

/// Whether an issuer is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trust {
    /// Its tokens are decided, with the issuer that [`IssuerResolver::issuer`] describes.
    #[non_exhaustive]
    Trusted {
        /// A number that changes whenever the settings of this issuer do. One with another number
        /// than before is described anew, and its keys are fetched anew.
        version: u64,
    },
    /// Its tokens are refused: 401.
    Unknown,
    /// That cannot be said now, for example because the list is being loaded: 503.
    Unavailable(Unavailable),
}

impl Trust {
    /// Trusted, with settings of this version: a number that changes whenever they do, such as the
    /// time of the last change, or a constant where settings never change.
    #[must_use]
    pub const fn trusted(version: u64) -> Self {
        Self::Trusted { version }
    }
}

/// Decides at run time which issuers are trusted, for a service with many tenants.
///
/// A false yes accepts whatever that issuer signs, and lets its name choose where keys are fetched
/// from; a false no locks its users out. `iss` is what anybody wrote into a token that nothing is
/// known of yet: compare it whole with a list of yours, never with a pattern that a stranger's name
/// can fit.
///
/// Both methods are synchronous and are called while a request is decided: answer from memory. A list
/// that is elsewhere is loaded by a task of yours; until it is there, say [`Trust::Unavailable`].
pub trait IssuerResolver: Send + Sync + 'static {
    /// Whether this issuer is trusted. It is asked for every token whose issuer is not among the
    /// configured ones, so that who leaves the list is out with the next request, and before its
    /// keys are refreshed.
    fn trust(&self, issuer: &str) -> Trust;

    /// The issuer of that name, when its first token comes; `None` if it is trusted no longer. It
    /// has to have that very identifier.
    fn issuer(&self, issuer: &str) -> Option<Issuer>;
}

/// A list of trusted issuers that can be changed while the server runs. A clone is the same list.
///
/// ```
/// use portcullis::Issuer;
/// use portcullis::issuer::{IssuerResolver, TenantList, Trust};
///
/// let tenants = TenantList::new();
/// tenants.add(Issuer::discover("https://blue.example"))?;
/// assert!(matches!(tenants.trust("https://blue.example"), Trust::Trusted { .. }));
///
/// tenants.remove("https://blue.example");
/// assert_eq!(tenants.trust("https://blue.example"), Trust::Unknown);
/// # let _ = |builder: portcullis::ServerBuilder| builder.tenants(tenants, 1_000);
/// # Ok::<(), portcullis::BuildError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct TenantList {
    listed: Arc<RwLock<Listed>>,
}

#[derive(Debug, Default)]
struct Listed {
    issuers: HashMap<String, (Issuer, u64)>,
    /// How many changes there were.
    changes: u64,
    loading: bool,
}

impl TenantList {
    /// Nobody yet: every token is refused.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A list that has yet to be loaded: until the first [`TenantList::replace`] nobody can say who
    /// is trusted, and tokens get 503.
    #[must_use]
    pub fn loading() -> Self {
        let list = Self::default();
        list.write().loading = true;
        list
    }

    /// Trusts this issuer from now on, with these settings: one that is trusted already gets them,
    /// and its keys are fetched anew.
    ///
    /// # Errors
    /// Every fault of the issuer; nothing has changed then. What a security profile of the server
    /// does not allow shows with the first token: 503, and an error in the log.
    pub fn add(&self, issuer: Issuer) -> Result<(), BuildError> {
        check([&issuer])?;
        self.write().add(issuer);
        Ok(())
    }

    /// Trusts this issuer no longer: its next token is refused, and its keys are dropped.
    pub fn remove(&self, issuer: &str) {
        self.write().issuers.remove(issuer);
    }

    /// Trusts these issuers and no others, from now on and at once. Each gets its settings anew, and
    /// its keys are fetched anew: to change a few of many, [`TenantList::add`] and
    /// [`TenantList::remove`] are the better way.
    ///
    /// # Errors
    /// Every fault of every issuer; nothing has changed then.
    pub fn replace(&self, issuers: impl IntoIterator<Item = Issuer>) -> Result<(), BuildError> {
        // The issuers are made before the lock is taken: making them is foreign code.
        let issuers: Vec<_> = issuers.into_iter().collect();
        check(&issuers)?;
        let mut listed = self.write();
        listed.loading = false;
        listed.issuers.clear();
        issuers.into_iter().for_each(|issuer| listed.add(issuer));
        Ok(())
    }

    /// How many are trusted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read().issuers.len()
    }

    /// Whether nobody is trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.read().issuers.is_empty()
    }

    fn read(&self) -> RwLockReadGuard<'_, Listed> {
        self.listed.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Listed> {
        self.listed.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check<'a>(issuers: impl IntoIterator<Item = &'a Issuer>) -> Result<(), BuildError> {
    let mut faults = Faults::new();
    for (index, issuer) in issuers.into_iter().enumerate() {
        faults.at_element("issuers", index, |faults| issuer.check(IssuerRules::ANY, faults));
    }
    faults.unless_none(())
}

impl Listed {
    fn add(&mut self, issuer: Issuer) {
        self.changes = self.changes.wrapping_add(1);
        self.issuers.insert(issuer.id().to_owned(), (issuer, self.changes));
    }
}

impl IssuerResolver for TenantList {
    fn trust(&self, issuer: &str) -> Trust {
        let listed = self.read();
        match listed.issuers.get(issuer) {
            Some((_, version)) => Trust::trusted(*version),
            None if listed.loading => {
                let why = "the list of tenants is not loaded yet: `TenantList::replace` loads it";
                Trust::Unavailable(Unavailable::new(why))
            }
            None => Trust::Unknown,
        }
    }

    fn issuer(&self, issuer: &str) -> Option<Issuer> {
        self.read().issuers.get(issuer).map(|(issuer, _)| issuer.clone())
    }
}

impl<R: IssuerResolver + ?Sized> IssuerResolver for Arc<R> {
    fn trust(&self, issuer: &str) -> Trust {
        (**self).trust(issuer)
    }

    fn issuer(&self, issuer: &str) -> Option<Issuer> {
        (**self).issuer(issuer)
    }
}
