mod fetching;
mod outage;

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::HeaderValue;

use super::config::Encryption;
use super::fetch::{FetchToken, KeyFetchError, LONGEST};
use super::flight::{FIRST_BACKOFF, Flights, Reason, Wait, Waiting};
use super::{
    Checked, CheckedSource, IssuerHealth, IssuerResolver, KeyRefresh, KeyState, TokenProfile,
};
use crate::jose::{Algorithm, JwkSet, KeyChoiceError, PublicKey};
use crate::name::{IssuerId, LoopbackHttp};
use crate::secret::SecretSource;
use crate::time::{Clock, Moment};
use crate::transport::Transport;
use outage::Outage;

/// The keys of one issuer, at run time.
pub(crate) struct IssuerKeys {
    id: Arc<IssuerId>,
    algorithms: Box<[Algorithm]>,
    profile: TokenProfile,
    refresh: KeyRefresh,
    loopback_http: LoopbackHttp,
    encryption: Encryption,
    /// `None`: the keys are fixed.
    remote: Option<Remote>,
    snapshot: ArcSwapOption<Snapshot>,
    flights: Flights<KeyFetchError>,
    outage: Outage,
}

struct Remote {
    transport: Arc<dyn Transport>,
    transport_of: TransportOf,
    clock: Arc<dyn Clock>,
    loopback_http: LoopbackHttp,
    fetch_token: Option<Arc<FetchToken>>,
    /// Asked before keys are refreshed.
    resolver: Option<Arc<dyn IssuerResolver>>,
    place: KeyPlace,
    known: Mutex<Known>,
}

/// Whose transport fetches an issuer's documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransportOf {
    Server,
    Issuer,
}

/// How an issuer's documents are fetched, for a report.
pub(crate) struct Fetching<'a> {
    pub(crate) transport: TransportOf,
    pub(crate) loopback_http: LoopbackHttp,
    pub(crate) token: Option<&'a SecretSource>,
}

/// Where the keys are.
enum KeyPlace {
    Url(String),
    /// The metadata says, which is at one of these.
    Metadata(Vec<String>),
}

/// What fetches leave for the next one.
#[derive(Default)]
struct Known {
    /// From the metadata, and when.
    jwks_uri: Option<(String, Moment)>,
    /// When the last look-up failed, and why, while an older `jwks_uri` is used.
    metadata_error: Option<(KeyFetchError, Moment)>,
    /// Of the set in the snapshot, and the URL it came from.
    etag: Option<(String, HeaderValue)>,
}

struct Snapshot {
    keys: Arc<JwkSet>,
    loaded: Moment,
    fresh_for: Duration,
    /// Another for each set of keys of an issuer, never 0.
    number: u64,
}

/// A key, and what a token has to say to be verified with it.
#[derive(Clone, Copy)]
pub(crate) struct KeyOf<'a> {
    pub(crate) key: &'a Arc<PublicKey>,
    pub(crate) kid: Option<&'a str>,
    pub(crate) algorithm: Algorithm,
}

/// Whether a request has waited for keys already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    First,
    AfterWait,
}

/// Why there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyMiss {
    /// None fits, or more than one.
    Choice(KeyChoiceError),
    /// No keys were ever loaded, or they are too old to be used at all.
    NoKeys,
    /// The keys are older than they should be, and no outage is known: ask the issuer first.
    Stale,
}

/// What can be done about a [`KeyMiss`].
pub(crate) enum Remedy {
    /// Decide again after this.
    Wait(Wait),
    /// Decide again at once, with the keys that there are.
    Again,
    /// Nothing.
    None,
    /// Nothing before this time, for this reason.
    Later { retry_after: Duration, error: Option<Arc<dyn Error + Send + Sync>> },
}

/// Why [`IssuerKeys::find_or_fetch`] finds no key.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum KeySearchError {
    /// The issuer's keys are there, and none fits, or more than one: whoever signed is not the issuer.
    #[error("{0}")]
    Choice(#[from] KeyChoiceError),
    /// The keys are not there, or too old: nothing can be said of whoever signed.
    #[error("no keys of the issuer{}", .0.as_ref().map(|error| format!(": {error}")).unwrap_or_default())]
    NoKeys(Option<Arc<dyn Error + Send + Sync>>),
}

impl IssuerKeys {
    pub(crate) fn new(
        issuer: Checked,
        transport: Option<&Arc<dyn Transport>>,
        clock: &Arc<dyn Clock>,
    ) -> Option<Self> {
        Self::with(issuer, transport, clock, None)
    }

    /// The keys of an issuer that is trusted as long as this resolver says so.
    pub(super) fn of_tenant(
        issuer: Checked,
        transport: Option<&Arc<dyn Transport>>,
        clock: &Arc<dyn Clock>,
        resolver: Arc<dyn IssuerResolver>,
    ) -> Option<Self> {
        Self::with(issuer, transport, clock, Some(resolver))
    }

    fn with(
        issuer: Checked,
        transport: Option<&Arc<dyn Transport>>,
        clock: &Arc<dyn Clock>,
        resolver: Option<Arc<dyn IssuerResolver>>,
    ) -> Option<Self> {
        let remote = |place| {
            Some(Remote {
                transport: Arc::clone(issuer.transport.as_ref().or(transport)?),
                transport_of: match issuer.transport {
                    Some(_) => TransportOf::Issuer,
                    None => TransportOf::Server,
                },
                clock: Arc::clone(clock),
                loopback_http: issuer.loopback_http,
                fetch_token: issuer.fetch_token.clone().map(|source| {
                    let host = match &place {
                        KeyPlace::Url(url) => url.clone(),
                        KeyPlace::Metadata(_) => issuer.id.as_str().to_owned(),
                    };
                    Arc::new(FetchToken::new(source, host))
                }),
                resolver: resolver.clone(),
                place,
                known: Mutex::default(),
            })
        };
        let (remote, fixed) = match issuer.source {
            CheckedSource::None => (None, None),
            CheckedSource::Fixed(keys) => (None, Some(Arc::new(keys))),
            CheckedSource::Jwks { url } => (Some(remote(KeyPlace::Url(url))?), None),
            CheckedSource::Discovery { urls } => (Some(remote(KeyPlace::Metadata(urls))?), None),
        };
        let snapshot = fixed.map(|keys| {
            Arc::new(Snapshot { keys, loaded: clock.moment(), fresh_for: Duration::MAX, number: 1 })
        });
        Some(Self {
            id: Arc::new(issuer.id),
            algorithms: issuer.algorithms,
            profile: issuer.profile,
            refresh: issuer.refresh,
            loopback_http: issuer.loopback_http,
            encryption: issuer.encryption,
            remote,
            snapshot: ArcSwapOption::new(snapshot),
            flights: Flights::new(LONGEST),
            outage: Outage::default(),
        })
    }

    pub(crate) fn id(&self) -> &Arc<IssuerId> {
        &self.id
    }

    /// How the issuer's tokens are written.
    pub(crate) fn profile(&self) -> &TokenProfile {
        &self.profile
    }

    /// The algorithms that the issuer may sign access tokens with.
    pub(crate) fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }

    pub(crate) fn key_refresh(&self) -> KeyRefresh {
        self.refresh
    }

    /// Whether a token of it that is not encrypted is refused.
    pub(crate) fn encrypted_only(&self) -> bool {
        self.encryption == Encryption::Always
    }

    /// Whether its tokens can be verified here: else they have to be asked about.
    pub(crate) fn has_keys(&self) -> bool {
        self.remote.is_some() || self.snapshot.load().is_some()
    }

    /// How its keys are found, and the URL if that is configured.
    pub(crate) fn key_source(&self) -> (&'static str, Option<&str>) {
        match self.remote.as_ref().map(|remote| &remote.place) {
            None if !self.has_keys() => ("none", None),
            None => ("fixed", None),
            Some(KeyPlace::Url(url)) => ("jwks_uri", Some(url)),
            Some(KeyPlace::Metadata(_)) => ("discovery", None),
        }
    }

    /// What code or a file said of how its documents are fetched, other than the server's way.
    pub(crate) fn fetching(&self) -> Fetching<'_> {
        let remote = self.remote.as_ref();
        let token = remote.and_then(|remote| remote.fetch_token.as_ref());
        Fetching {
            transport: remote.map_or(TransportOf::Server, |remote| remote.transport_of),
            loopback_http: self.loopback_http,
            token: token.map(|token| token.source()),
        }
    }

    /// What fetches its documents in place of the server's transport, if something does.
    pub(crate) fn own_transport(&self) -> Option<&Arc<dyn Transport>> {
        let remote = self.remote.as_ref()?;
        (remote.transport_of == TransportOf::Issuer).then_some(&remote.transport)
    }

    /// Whether the issuer may sign access tokens with this algorithm.
    pub(crate) fn allows(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Finds the key of a token among those that are there. It starts nothing.
    pub(crate) fn find(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
        at: Moment,
        attempt: Attempt,
    ) -> Result<Arc<PublicKey>, KeyMiss> {
        let snapshot = self.snapshot.load();
        let Some(snapshot) = snapshot.as_ref() else {
            // An issuer that has none has none to wait for.
            let unknown = KeyMiss::Choice(KeyChoiceError::Unknown);
            return Err(if self.remote.is_none() { unknown } else { KeyMiss::NoKeys });
        };
        self.check_age(snapshot, at, attempt)?;
        snapshot.keys.find(kid, algorithm).map(Arc::clone).map_err(KeyMiss::Choice)
    }

    /// Whether keys of this age may be used.
    fn check_age(&self, snapshot: &Snapshot, at: Moment, attempt: Attempt) -> Result<(), KeyMiss> {
        if self.remote.is_some() {
            let age = at.since(snapshot.loaded);
            if age > self.refresh.outage() {
                return Err(KeyMiss::NoKeys);
            }
            // Keys outlive their freshness only through an outage, which somebody has to have
            // seen: a suspended machine, or a runtime that ended, has not asked, and an issuer that has
            // not answered yet may have withdrawn them.
            let unasked = || {
                !self.outage.is_seen(at)
                    || attempt == Attempt::First && at.steady() >= self.flights.not_before()
            };
            if age >= snapshot.fresh_for && unasked() {
                return Err(KeyMiss::Stale);
            }
        }
        Ok(())
    }

    /// Whether [`Self::find`] would still find this key: itself, or the same octets in a set that was
    /// fetched since. `key_set` is the number of the set that it was found in last.
    pub(crate) fn has_still(
        &self,
        wanted: KeyOf<'_>,
        key_set: &AtomicU64,
        at: Moment,
        attempt: Attempt,
    ) -> bool {
        let snapshot = self.snapshot.load();
        let Some(snapshot) = snapshot.as_ref() else { return false };
        if self.check_age(snapshot, at, attempt).is_err() {
            return false;
        }
        if key_set.load(Ordering::Relaxed) == snapshot.number {
            return true;
        }
        let KeyOf { key, kid, algorithm } = wanted;
        let Ok(found) = snapshot.keys.find(kid, algorithm) else { return false };
        // Its name too, which a token need not say: records know it by that.
        let alike = || {
            let (names, algorithms) =
                (found.kid() == key.kid(), found.algorithm() == key.algorithm());
            names && algorithms && found.thumbprint() == key.thumbprint()
        };
        let same = Arc::ptr_eq(found, key) || alike();
        if same {
            key_set.store(snapshot.number, Ordering::Relaxed);
        }
        same
    }

    /// Starts the fetch that a missing key asks for, if one is allowed.
    pub(crate) fn remedy(self: &Arc<Self>, miss: KeyMiss, at: Moment, attempt: Attempt) -> Remedy {
        if self.remote.is_none() {
            return Remedy::None;
        }
        match (miss, attempt) {
            (KeyMiss::Choice(KeyChoiceError::Unknown), Attempt::First) => {
                let number = self.start(at, Reason::UnknownKey);
                number.and_then(|number| self.wait(number)).map_or(Remedy::None, Remedy::Wait)
            }
            (KeyMiss::Choice(_), _) => Remedy::None,
            // An outage was seen just now: who asks whether it is over, does not wait for the answer.
            (KeyMiss::Stale, _) if self.outage.is_seen(at) => {
                self.start(at, Reason::Age);
                Remedy::Again
            }
            (KeyMiss::NoKeys | KeyMiss::Stale, _) => {
                let number = self.start(at, Reason::Age).filter(|_| attempt == Attempt::First);
                if let Some(wait) = number.and_then(|number| self.wait(number)) {
                    return Remedy::Wait(wait);
                }
                let left = self.flights.not_before().saturating_sub(at.steady());
                let retry_after = left.max(FIRST_BACKOFF);
                let error = self.flights.tally().last_error;
                let error = error.map(|error| -> Arc<dyn Error + Send + Sync> { error });
                Remedy::Later { retry_after, error }
            }
        }
    }

    /// Finds the key of a document of the issuer that is no access token, with the fetch and the wait
    /// that a request with an unknown key gets. For tasks that can wait: it ends within twice
    /// [`KeyRefresh::wait`].
    pub(crate) async fn find_or_fetch(
        self: &Arc<Self>,
        kid: Option<&str>,
        algorithm: Algorithm,
        clock: &dyn Clock,
    ) -> Result<Arc<PublicKey>, KeySearchError> {
        let mut attempt = Attempt::First;
        // The second wait is for a fetch that the first one did not see the end of.
        let mut waits = 0_u8;
        loop {
            let at = clock.moment();
            let miss = match self.find(kid, algorithm, at, attempt) {
                Ok(key) => return Ok(key),
                Err(miss) => miss,
            };
            match (self.remedy(miss, at, attempt), miss) {
                (Remedy::Wait(wait), _) if waits < 2 => {
                    wait.await;
                    waits = waits.saturating_add(1);
                    if waits > 1 || self.flights.under_way().is_none() {
                        attempt = Attempt::AfterWait;
                    }
                }
                (Remedy::Again, _) if attempt == Attempt::First => attempt = Attempt::AfterWait,
                (Remedy::Later { error, .. }, _) => return Err(KeySearchError::NoKeys(error)),
                (_, KeyMiss::Choice(error)) => return Err(error.into()),
                (_, KeyMiss::NoKeys | KeyMiss::Stale) => return Err(KeySearchError::NoKeys(None)),
            }
        }
    }

    /// Starts a fetch and waits until it ended, for a warm-up.
    pub(super) async fn load(self: &Arc<Self>) -> Result<(), Arc<KeyFetchError>> {
        let Some(remote) = &self.remote else { return Ok(()) };
        if let Some(number) = self.start(remote.clock.moment(), Reason::WarmUp) {
            self.flights.landing(number).await;
        }
        let at = remote.clock.moment();
        let snapshot = self.snapshot.load();
        let usable = snapshot
            .as_ref()
            .is_some_and(|snapshot| at.since(snapshot.loaded) <= self.refresh.outage());
        if usable {
            return Ok(());
        }
        Err(self.flights.tally().last_error.unwrap_or(Arc::new(KeyFetchError::Dropped)))
    }

    pub(crate) fn health(&self) -> IssuerHealth {
        let snapshot = self.snapshot.load();
        let tally = self.flights.tally();
        let mut error = tally.last_error.as_ref().map(ToString::to_string);
        let (mut age, mut next_refresh) = (None, None);
        let state = match (&self.remote, snapshot.as_ref()) {
            (None, _) => KeyState::Fixed,
            (Some(remote), snapshot) => {
                let at = remote.clock.moment();
                let due = self.until_due(snapshot.map(AsRef::as_ref), at);
                next_refresh = self.flights.refreshes().then_some(due);
                let metadata = remote.known();
                let metadata = metadata.metadata_error.as_ref();
                error = error.or(metadata.map(|(error, _)| format!("metadata kept: {error}")));
                match snapshot {
                    None => KeyState::NeverLoaded,
                    Some(snapshot) => {
                        let old = at.since(snapshot.loaded);
                        age = Some(old);
                        if old > self.refresh.outage() {
                            KeyState::Expired
                        } else if old >= snapshot.fresh_for {
                            KeyState::Stale
                        } else {
                            KeyState::Fresh
                        }
                    }
                }
            }
        };
        let keys = snapshot.as_ref().map(|snapshot| &snapshot.keys);
        IssuerHealth {
            issuer: (*self.id).clone(),
            state,
            usable_keys: keys.map_or(0, |keys| keys.keys().len()),
            unusable_keys: keys.map(|keys| keys.unusable().to_vec()).unwrap_or_default(),
            age,
            next_refresh,
            last_error: error,
            fetches: tally.fetches,
            failed_fetches: tally.failed,
            limited_unknown_keys: tally.limited,
        }
    }

    /// Ends the tasks that this issuer has.
    pub(crate) fn stop(&self) {
        self.flights.stop();
    }
}

impl AsRef<Waiting> for Arc<IssuerKeys> {
    fn as_ref(&self) -> &Waiting {
        self.flights.waiting()
    }
}

impl Remote {
    fn known(&self) -> MutexGuard<'_, Known> {
        // Each of its members is replaced whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
