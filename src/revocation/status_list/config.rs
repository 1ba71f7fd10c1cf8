use std::fmt;
use std::time::Duration;

use serde_json::json;

use super::StatusList;
use crate::jose::Algorithm;
use crate::name::LoopbackHttp;
use crate::revocation::freshness::OnStale;
use crate::time::shown_duration;

/// What becomes of a token with a status that its list leaves to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum StatusAction {
    /// 401 `invalid_token`.
    #[default]
    Refuse,
    /// 401 `insufficient_user_authentication` (RFC 9470): the user has to authenticate again, for a
    /// token with another status.
    StepUp,
    /// It is as good as valid.
    Accept,
}

impl StatusAction {
    /// A short name in snake case, as configuration files have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::StepUp => "step_up",
            Self::Accept => "accept",
        }
    }
}

/// How the status lists that tokens refer to are looked at: given to
/// [`super::super::Revocation::status_lists`].
///
/// Nothing is checked here: `build()` of the server reports every fault at once.
///
/// ```
/// use std::time::Duration;
/// use portcullis::revocation::{OnStale, StatusAction, StatusLists};
///
/// let lists = StatusLists::new()
///     .require()
///     .allow_uris_at("https://lists.example.com")
///     .suspended(StatusAction::StepUp)
///     .on_stale(OnStale::AllowFor(Duration::from_hours(1)));
/// # let _ = lists;
/// ```
#[derive(Clone)]
#[must_use = "it does nothing until it is given to `Revocation::status_lists`"]
pub struct StatusLists {
    pub(super) issuers: Option<Vec<String>>,
    pub(super) demanded: Demanded,
    pub(super) origins: Vec<String>,
    pub(super) algorithms: Option<Vec<Algorithm>>,
    pub(super) min_ttl: Duration,
    pub(super) max_ttl: Duration,
    pub(super) max_age: Option<Duration>,
    pub(super) on_stale: Option<OnStale>,
    pub(super) suspended: StatusAction,
    pub(super) specific: Vec<(u8, StatusAction)>,
    pub(super) max_lists: usize,
    pub(super) max_bytes: usize,
    pub(super) max_entries: u64,
    pub(super) wait: Duration,
    pub(super) prefetch: Vec<(Option<String>, String)>,
    pub(super) loopback: LoopbackHttp,
}

/// Whether a token has to name a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Demanded {
    IfThere,
    Always,
}

impl StatusLists {
    /// The largest value of [`Self::max_lists`].
    pub const MAX_LISTS: usize = 10_000;
    /// The longest that a request can wait for a list that was never seen.
    pub const MAX_WAIT: Duration = Duration::from_secs(2);
    /// How long a list is fresh that says nothing of it: neither `ttl` nor `exp`.
    pub const DEFAULT_FRESHNESS: Duration = Duration::from_mins(5);

    /// The lists of every issuer of the server, at the issuer's own origin and nowhere else; a token
    /// that names none passes.
    pub fn new() -> Self {
        Self {
            issuers: None,
            demanded: Demanded::IfThere,
            origins: Vec::new(),
            algorithms: None,
            min_ttl: Duration::from_secs(15),
            max_ttl: Duration::from_hours(12),
            max_age: None,
            on_stale: None,
            suspended: StatusAction::Refuse,
            specific: Vec::new(),
            max_lists: 1_000,
            max_bytes: 256 * 1024 * 1024,
            max_entries: StatusList::MAX_ENTRIES,
            wait: Self::MAX_WAIT,
            prefetch: Vec::new(),
            loopback: LoopbackHttp::Refused,
        }
    }

    /// The token issuers whose lists are looked at. What tokens of others say of their status is
    /// ignored. All of the server's, tenants among them, unless said otherwise.
    ///
    /// A list is verified with its issuer's keys. That of an issuer without any here
    /// ([`crate::Issuer::opaque`]) cannot be, and its tokens that name one get 503: leave it out.
    pub fn issuers<T: Into<String>>(mut self, issuers: impl IntoIterator<Item = T>) -> Self {
        self.issuers.get_or_insert_default().extend(issuers.into_iter().map(Into::into));
        self
    }

    /// A token of those issuers that names no status list is refused: one without the claim `status`,
    /// and one whose `status` has other mechanisms only. Without this such a token passes.
    ///
    /// It holds for a JWT that its issuer is asked about too ([`crate::introspection::Introspection::jwts`]),
    /// where neither the token nor the answer names a list. An opaque token says nothing itself: one
    /// whose issuer says that it is active, and names no list, passes.
    pub fn require(mut self) -> Self {
        self.demanded = Demanded::Always;
        self
    }

    /// Lists may be at this origin (`https://host[:port]`) too, beside that of the token's issuer.
    /// From any other place nothing is fetched, and the token is refused.
    pub fn allow_uris_at(mut self, origin: impl Into<String>) -> Self {
        self.origins.push(origin.into());
        self
    }

    /// What lists may be signed with: some of what their issuer may use for access tokens, which is
    /// what they may be signed with unless said otherwise. Its keys are known for those only.
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = Some(algorithms.into_iter().collect());
        self
    }

    /// A list is fetched again after this time at the earliest, whatever its `ttl` says; 15 seconds
    /// unless said otherwise. One that expires before (`exp`) is not used any longer for that.
    pub fn min_ttl(mut self, time: Duration) -> Self {
        self.min_ttl = time;
        self
    }

    /// A list is fresh for this time at most, whatever its `ttl` and its `exp` say; 12 hours unless
    /// said otherwise. It is how long a revoked token can still pass.
    pub fn max_ttl(mut self, time: Duration) -> Self {
        self.max_ttl = time;
        self
    }

    /// A list that was signed longer ago than this (`iat`) is not taken, and one that is held is too
    /// old by then. Any time unless said otherwise: a list with neither `ttl` nor `exp` is fresh for
    /// [`Self::DEFAULT_FRESHNESS`] after it was fetched. Without this, whoever stores lists on the way can send an
    /// old one for ever where the list itself has no `exp`: set it to a little more than the time
    /// between two lists of the issuer.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// What becomes of tokens whose list is too old and cannot be fetched; as
    /// [`super::super::Revocation::on_stale`] says unless said here or by the policy.
    pub fn on_stale(mut self, on_stale: OnStale) -> Self {
        self.on_stale = Some(on_stale);
        self
    }

    /// What becomes of suspended tokens (0x02).
    pub fn suspended(mut self, action: StatusAction) -> Self {
        self.suspended = action;
        self
    }

    /// What becomes of tokens with a status that has the issuer's own meaning: 0x03, or 0x0C to 0x0F
    /// (§7.1). Refused unless said otherwise; statuses that are reserved always are.
    pub fn application_specific(mut self, status: u8, action: StatusAction) -> Self {
        self.specific.push((status, action));
        self
    }

    /// How many lists are known at most; 1 000 unless said otherwise, at most [`Self::MAX_LISTS`].
    /// Beyond that one is let go, and fetched again when it is needed: of the issuer with the most,
    /// that which was not used for the longest time.
    pub fn max_lists(mut self, lists: usize) -> Self {
        self.max_lists = lists;
        self
    }

    /// How many bytes all lists together take at most; 256 MiB unless said otherwise. Beyond that
    /// some are let go likewise.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// How many entries a list has at most; [`StatusList::MAX_ENTRIES`] unless said otherwise. A list
    /// never has more than [`StatusList::MAX_OCTETS`].
    pub fn max_entries(mut self, entries: u64) -> Self {
        self.max_entries = entries;
        self
    }

    /// How long a request waits at most for a list that is not there; two seconds unless said
    /// otherwise, and at most.
    pub fn wait_at_most(mut self, time: Duration) -> Self {
        self.wait = time;
        self
    }

    /// Fetches the lists that this document names (Token Status List §9) with
    /// [`crate::ResourceServer::warm_up`] or the first request, and keeps them fresh, used or not: the
    /// lists' server does not learn which tokens are used where (§12). They are those of the issuer at
    /// whose origin the document is, or of the one issuer that there is.
    pub fn prefetch(mut self, aggregation_uri: impl Into<String>) -> Self {
        self.prefetch.push((None, aggregation_uri.into()));
        self
    }

    /// The same, for the lists of this issuer.
    pub fn prefetch_of(
        mut self,
        issuer: impl Into<String>,
        aggregation_uri: impl Into<String>,
    ) -> Self {
        self.prefetch.push((Some(issuer.into()), aggregation_uri.into()));
        self
    }

    /// Settings that weaken what protects the lists.
    pub fn dangerous(self) -> DangerousStatusLists {
        DangerousStatusLists(self)
    }

    /// With this for what was not said of lists that are too old.
    pub(crate) fn or_on_stale(mut self, server: OnStale) -> Self {
        self.on_stale = self.on_stale.or(Some(server));
        self
    }

    /// What is configured, in the words of a configuration file.
    pub(crate) fn report(&self) -> serde_json::Value {
        let mut report = json!({
            "require": self.demanded == Demanded::Always,
            "allow_uris_at": self.origins,
            "min_ttl": shown_duration(self.min_ttl),
            "max_ttl": shown_duration(self.max_ttl),
            "on_stale": self.on_stale.unwrap_or_default().report(),
            "suspended": self.suspended.as_str(),
            "max_lists": self.max_lists,
            "max_bytes": self.max_bytes,
            "max_entries": self.max_entries,
            "wait_at_most": shown_duration(self.wait),
        });
        let Some(members) = report.as_object_mut() else { return report };
        let mut member = |name: &str, value| members.insert(name.to_owned(), value);
        if let Some(issuers) = &self.issuers {
            member("issuers", issuers.clone().into());
        }
        if let Some(algorithms) = &self.algorithms {
            let names: Vec<_> = algorithms.iter().map(|one| one.as_str()).collect();
            member("algorithms", names.into());
        }
        if let Some(max_age) = self.max_age {
            member("max_age", shown_duration(max_age).into());
        }
        if !self.specific.is_empty() {
            let actions = self.specific.iter();
            let actions =
                actions.map(|(status, action)| (status.to_string(), action.as_str().into()));
            let actions: serde_json::Map<String, serde_json::Value> = actions.collect();
            member("application_specific", actions.into());
        }
        if !self.prefetch.is_empty() {
            let places = self.prefetch.iter().map(|(issuer, uri)| match issuer {
                Some(issuer) => json!({ "issuer": issuer, "uri": uri }),
                None => json!({ "uri": uri }),
            });
            member("prefetch", places.collect());
        }
        if self.loopback == LoopbackHttp::Allowed {
            member("dangerous", json!({ "insecure_loopback_http": true }));
        }
        report
    }
}

impl Default for StatusLists {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for StatusLists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusLists")
            .field("issuers", &self.issuers)
            .field("demanded", &self.demanded)
            .field("on_stale", &self.on_stale)
            .finish_non_exhaustive()
    }
}

/// Settings of [`StatusLists`] that weaken what protects them.
#[must_use = "take the lists back with one of the methods"]
#[derive(Debug)]
pub struct DangerousStatusLists(StatusLists);

impl DangerousStatusLists {
    /// Lets lists be at `http` URLs of a loopback host, for tests and local development: at that of an
    /// issuer that is there itself, and where [`StatusLists::allow_uris_at`] says so. Whoever else can
    /// listen on the machine's ports can then withhold lists. Any other host is still refused.
    pub fn insecure_loopback_http(mut self) -> StatusLists {
        self.0.loopback = LoopbackHttp::Allowed;
        self.0
    }
}
