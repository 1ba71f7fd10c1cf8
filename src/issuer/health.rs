use std::time::Duration;

use crate::jose::UnusableKey;
use crate::name::IssuerId;

/// The state of an issuer's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyState {
    /// From the configuration: they have no age.
    Fixed,
    /// Not fetched yet: nothing of this issuer can be decided.
    NeverLoaded,
    /// Fetched, and no older than the issuer and the configuration allow.
    Fresh,
    /// Older than fresh, because fetches fail or have not run; still used.
    Stale,
    /// Older than an outage may make them: nothing of this issuer can be decided.
    Expired,
}

impl KeyState {
    /// Every one of them, for preregistering metric labels.
    pub const ALL: &'static [Self] =
        &[Self::Fixed, Self::NeverLoaded, Self::Fresh, Self::Stale, Self::Expired];

    /// A short name in snake case, for logs and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::NeverLoaded => "never_loaded",
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Expired => "expired",
        }
    }
}

/// How an issuer's keys are doing, for a health endpoint, a log line or an alert.
///
/// Alert on [`KeyState::Stale`] (an outage has begun) and on a `last_error` that stays.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IssuerHealth {
    /// The issuer.
    pub issuer: IssuerId,
    /// The state of its keys.
    pub state: KeyState,
    /// How many keys can be used.
    pub usable_keys: usize,
    /// The keys that cannot be used, and why. A key with a private member is one to alarm about.
    pub unusable_keys: Vec<UnusableKey>,
    /// The time since the last good fetch.
    pub age: Option<Duration>,
    /// The time until the next fetch, zero if it is due; `None` for fixed keys and where nothing
    /// has started yet.
    pub next_refresh: Option<Duration>,
    /// What was wrong with the last fetch, if it failed.
    pub last_error: Option<String>,
    /// Fetches of a key set that were good, unchanged ones included.
    pub fetches: u64,
    /// Fetches that failed.
    pub failed_fetches: u64,
    /// Tokens with an unknown key that asked for a fetch and were refused by the limit on those.
    pub limited_unknown_keys: u64,
}
