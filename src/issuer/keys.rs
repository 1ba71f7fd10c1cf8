use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::HeaderValue;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::bucket::Bucket;
use super::fetch::{Fetched, FetchedKeys, Fetcher, KeyFetchError};
use super::{Checked, CheckedSource, IssuerHealth, KeyRefresh, KeyState};
use crate::jose::{Algorithm, JwkSet, KeyChoiceError, PublicKey};
use crate::name::IssuerId;
use crate::time::{Clock, Moment};
use crate::transport::{LoopbackHttp, Transport};

/// The most requests that wait for one issuer's keys at once; a further one is answered as if the
/// wait were over. It bounds what a flood of unknown key ids can hold open.
const MAX_WAITING: usize = 1_024;

/// The waits between failed fetches: doubling from the first to the last.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LAST_BACKOFF: Duration = Duration::from_mins(1);

/// Metadata is looked up again after this time, or as soon as its `jwks_uri` fails.
const METADATA_AGE: Duration = Duration::from_hours(1);

/// The keys of one issuer, at run time.
pub(crate) struct IssuerKeys {
    id: Arc<IssuerId>,
    algorithms: Box<[Algorithm]>,
    refresh: KeyRefresh,
    source: Source,
    snapshot: ArcSwapOption<Snapshot>,
    /// Locked to start and end a fetch, never to find a known key.
    flight: Mutex<Flight>,
    /// Counts ended fetches; waiting requests watch it.
    ended: watch::Sender<u64>,
    waiting: AtomicUsize,
    limited: AtomicU64,
}

enum Source {
    Fixed,
    Remote(Box<Remote>),
}

struct Remote {
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    loopback_http: LoopbackHttp,
    /// Where the metadata may be; empty if the JWKS URL is configured.
    discovery: Vec<String>,
    jwks_url: Option<String>,
}

struct Snapshot {
    keys: Arc<JwkSet>,
    loaded: Moment,
    fresh_for: Duration,
}

#[derive(Default)]
struct Flight {
    under_way: bool,
    bucket: Option<Bucket>,
    failures_in_a_row: u32,
    /// No fetch before this steady time.
    not_before: Duration,
    fetches: u64,
    failed_fetches: u64,
    last_error: Option<KeyFetchError>,
    /// From the metadata, and when.
    discovered: Option<(String, Moment)>,
    /// Of the set in the snapshot, and the URL it came from.
    etag: Option<(String, HeaderValue)>,
    fetch_task: Option<AbortHandle>,
    refresh_task: Option<AbortHandle>,
}

/// Whether a request may still wait for keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    First,
    AfterWait,
}

/// What a search for a key found.
pub(crate) enum Lookup {
    Found(Arc<PublicKey>),
    NotFound(KeyChoiceError),
    /// Search again after this.
    Wait(KeyWait),
    /// There are no keys to search in.
    Unavailable {
        retry_after: Duration,
        error: Option<KeyFetchError>,
    },
}

impl IssuerKeys {
    pub(super) fn new(
        issuer: Checked,
        transport: Option<&Arc<dyn Transport>>,
        clock: &Arc<dyn Clock>,
    ) -> Option<Self> {
        let remote = |discovery, jwks_url| {
            Some(Source::Remote(Box::new(Remote {
                transport: Arc::clone(transport?),
                clock: Arc::clone(clock),
                loopback_http: issuer.loopback_http,
                discovery,
                jwks_url,
            })))
        };
        let mut fixed = None;
        let source = match issuer.source {
            CheckedSource::Fixed(keys) => {
                fixed = Some(Arc::new(Snapshot {
                    keys: Arc::new(keys),
                    loaded: clock.moment(),
                    fresh_for: Duration::MAX,
                }));
                Source::Fixed
            }
            CheckedSource::Jwks { url } => remote(Vec::new(), Some(url))?,
            CheckedSource::Discovery { urls } => remote(urls, None)?,
        };
        Some(Self {
            id: Arc::new(issuer.id),
            algorithms: issuer.algorithms,
            refresh: issuer.refresh,
            source,
            snapshot: ArcSwapOption::new(fixed),
            flight: Mutex::default(),
            ended: watch::Sender::new(0),
            waiting: AtomicUsize::new(0),
            limited: AtomicU64::new(0),
        })
    }

    pub(crate) fn id(&self) -> &Arc<IssuerId> {
        &self.id
    }

    /// Whether the issuer may sign access tokens with this algorithm.
    pub(crate) fn allows(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Finds the key of a token, and starts what has to be fetched for it.
    pub(crate) fn find(
        self: &Arc<Self>,
        kid: Option<&str>,
        algorithm: Algorithm,
        at: Moment,
        attempt: Attempt,
    ) -> Lookup {
        let snapshot = self.snapshot.load();
        let remote = match &self.source {
            Source::Fixed => None,
            Source::Remote(remote) => Some(remote),
        };
        let usable = snapshot.as_ref().filter(|snapshot| {
            remote.is_none() || at.since(snapshot.loaded) <= self.refresh.outage()
        });
        let Some(snapshot) = usable else {
            return self.find_without_keys(at, attempt);
        };
        if remote.is_some() && at.since(snapshot.loaded) >= snapshot.fresh_for {
            self.start(at, Reason::Age);
        }
        match snapshot.keys.find(kid, algorithm) {
            Ok(key) => Lookup::Found(Arc::clone(key)),
            Err(KeyChoiceError::Unknown) if remote.is_some() && attempt == Attempt::First => {
                match self.start(at, Reason::UnknownKey) {
                    Started::UnderWay => self
                        .wait()
                        .map_or(Lookup::NotFound(KeyChoiceError::Unknown), Lookup::Wait),
                    Started::Not => Lookup::NotFound(KeyChoiceError::Unknown),
                }
            }
            Err(error) => Lookup::NotFound(error),
        }
    }

    fn find_without_keys(self: &Arc<Self>, at: Moment, attempt: Attempt) -> Lookup {
        if self.start(at, Reason::Age) == Started::UnderWay
            && attempt == Attempt::First
            && let Some(wait) = self.wait()
        {
            return Lookup::Wait(wait);
        }
        let flight = self.flight();
        let retry_after = flight
            .not_before
            .saturating_sub(at.steady())
            .max(FIRST_BACKOFF);
        Lookup::Unavailable {
            retry_after,
            error: flight.last_error.clone(),
        }
    }

    /// Starts a fetch and waits until it ended, for a warm-up.
    pub(super) async fn load(self: &Arc<Self>) -> Result<(), Option<KeyFetchError>> {
        let Source::Remote(remote) = &self.source else {
            return Ok(());
        };
        let at = remote.clock.moment();
        let mut ended = self.ended.subscribe();
        if self.start(at, Reason::WarmUp) == Started::UnderWay {
            // INVARIANT: the sender lives in `self`.
            let _ = ended.changed().await;
        }
        let at = remote.clock.moment();
        let snapshot = self.snapshot.load();
        let usable = snapshot
            .as_ref()
            .is_some_and(|snapshot| at.since(snapshot.loaded) <= self.refresh.outage());
        if usable {
            Ok(())
        } else {
            Err(self.flight().last_error.clone())
        }
    }

    pub(super) fn health(&self) -> IssuerHealth {
        let snapshot = self.snapshot.load();
        let flight = self.flight();
        let (mut age, mut next_refresh) = (None, None);
        let state = match (&self.source, snapshot.as_ref()) {
            (Source::Fixed, _) => KeyState::Fixed,
            (Source::Remote(remote), None) => {
                let wait = flight.not_before.saturating_sub(remote.clock.steady());
                next_refresh = flight.refresh_task.is_some().then_some(wait);
                KeyState::NeverLoaded
            }
            (Source::Remote(remote), Some(snapshot)) => {
                let at = remote.clock.moment();
                let old = at.since(snapshot.loaded);
                age = Some(old);
                next_refresh = Some(self.until_due(Some(snapshot), &flight, at));
                if old > self.refresh.outage() {
                    KeyState::Expired
                } else if old >= snapshot.fresh_for {
                    KeyState::Stale
                } else {
                    KeyState::Fresh
                }
            }
        };
        let keys = snapshot.as_ref().map(|snapshot| &snapshot.keys);
        IssuerHealth {
            issuer: (*self.id).clone(),
            state,
            usable_keys: keys.map_or(0, |keys| keys.keys().len()),
            unusable_keys: keys
                .map(|keys| keys.unusable().to_vec())
                .unwrap_or_default(),
            age,
            next_refresh,
            last_error: flight.last_error.as_ref().map(ToString::to_string),
            fetches: flight.fetches,
            failed_fetches: flight.failed_fetches,
            limited_unknown_keys: self.limited.load(Ordering::Relaxed),
        }
    }

    /// Ends the tasks that this issuer has.
    pub(super) fn stop(&self) {
        let mut flight = self.flight();
        for task in [flight.refresh_task.take(), flight.fetch_task.take()]
            .into_iter()
            .flatten()
        {
            task.abort();
        }
    }

    fn flight(&self) -> MutexGuard<'_, Flight> {
        // A panic while it was held left only counters half-written.
        self.flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a fetch if its reason allows one now.
    fn start(self: &Arc<Self>, at: Moment, reason: Reason) -> Started {
        let mut flight = self.flight();
        if flight.under_way {
            return Started::UnderWay;
        }
        let allowed = match reason {
            Reason::WarmUp => true,
            Reason::Age => at.steady() >= flight.not_before,
            // The bucket is not asked while the issuer fails: junk cannot shorten the backoff,
            // and does not use up what a new key will need.
            Reason::UnknownKey => {
                at.steady() >= flight.not_before
                    && flight
                        .bucket
                        .get_or_insert(Bucket::full())
                        .take(at.steady())
            }
        };
        if !allowed {
            if reason == Reason::UnknownKey {
                self.limited.fetch_add(1, Ordering::Relaxed);
            }
            return Started::Not;
        }
        let Ok(runtime) = Handle::try_current() else {
            flight.last_error = Some(KeyFetchError::NoRuntime);
            return Started::Not;
        };
        flight.under_way = true;
        let landing = Landing {
            keys: Arc::clone(self),
            result: Err(KeyFetchError::Dropped),
        };
        let task = runtime.spawn(landing.fly());
        flight.fetch_task = Some(task.abort_handle());
        let alive = flight
            .refresh_task
            .as_ref()
            .is_some_and(|task| !task.is_finished());
        if !alive {
            let task = runtime.spawn(refresh_ahead(Arc::downgrade(self)));
            flight.refresh_task = Some(task.abort_handle());
        }
        Started::UnderWay
    }

    /// A wait for the fetch under way; `None` if too many wait already.
    fn wait(self: &Arc<Self>) -> Option<KeyWait> {
        let Source::Remote(remote) = &self.source else {
            return None;
        };
        let place = Place::take(self)?;
        let mut ended = self.ended.subscribe();
        let sleep = remote.clock.sleep(self.refresh.wait());
        // A fetch that ended between its start and the subscription is over: see it at once.
        if !self.flight().under_way {
            ended.mark_changed();
        }
        Some(KeyWait(Box::pin(async move {
            let _place = place;
            tokio::select! {
                _ = ended.changed() => {}
                () = sleep => {}
            }
        })))
    }

    /// How long until the next fetch is due.
    fn until_due(&self, snapshot: Option<&Arc<Snapshot>>, flight: &Flight, at: Moment) -> Duration {
        let backoff = flight.not_before.saturating_sub(at.steady());
        let fresh = snapshot.map_or(Duration::ZERO, |snapshot| {
            ahead(snapshot.fresh_for).saturating_sub(at.since(snapshot.loaded))
        });
        backoff.max(fresh)
    }

    async fn fetch(&self) -> Result<(), KeyFetchError> {
        let Source::Remote(remote) = &self.source else {
            return Ok(());
        };
        let fetcher = Fetcher {
            issuer: &self.id,
            algorithms: &self.algorithms,
            loopback_http: remote.loopback_http,
            transport: &*remote.transport,
            clock: &*remote.clock,
        };
        let url = match &remote.jwks_url {
            Some(url) => url.clone(),
            None => self.discovered_url(remote, &fetcher).await?,
        };
        let known = self.flight().etag.clone();
        let etag = known.filter(|(from, _)| *from == url).map(|(_, etag)| etag);
        let Fetched {
            keys,
            max_age,
            etag,
        } = fetcher.keys(&url, etag).await?;
        let keys = match (keys, self.snapshot.load().as_ref()) {
            (FetchedKeys::New(keys), _) => Arc::new(keys),
            (FetchedKeys::Unchanged, Some(snapshot)) => Arc::clone(&snapshot.keys),
            // INVARIANT: without a snapshot no etag was sent; the transport made this up.
            (FetchedKeys::Unchanged, None) => return Err(KeyFetchError::Dropped),
        };
        for key in keys.unusable() {
            tracing::warn!(issuer = %self.id, "unusable key: {key}");
        }
        self.flight().etag = etag.map(|etag| (url, etag));
        let fresh_for = self.refresh.fresh_for(max_age);
        let loaded = remote.clock.moment();
        self.snapshot.store(Some(Arc::new(Snapshot {
            keys,
            loaded,
            fresh_for,
        })));
        Ok(())
    }

    /// The `jwks_uri` of the metadata: the known one while it is young and works; a failing
    /// lookup keeps the known one.
    async fn discovered_url(
        &self,
        remote: &Remote,
        fetcher: &Fetcher<'_>,
    ) -> Result<String, KeyFetchError> {
        let (known, failing) = {
            let flight = self.flight();
            (flight.discovered.clone(), flight.failures_in_a_row > 0)
        };
        if let Some((url, found)) = &known
            && !failing
            && remote.clock.moment().since(*found) < METADATA_AGE
        {
            return Ok(url.clone());
        }
        match (fetcher.discover(&remote.discovery).await, known) {
            (Ok(url), _) => {
                self.flight().discovered = Some((url.clone(), remote.clock.moment()));
                Ok(url)
            }
            (Err(error), Some((url, _))) => {
                tracing::warn!(issuer = %self.id, "metadata kept: {error}");
                Ok(url)
            }
            (Err(error), None) => Err(error),
        }
    }

    /// Books the end of a fetch.
    fn land(&self, result: Result<(), KeyFetchError>) {
        let Source::Remote(remote) = &self.source else {
            return;
        };
        let mut flight = self.flight();
        flight.under_way = false;
        flight.fetch_task = None;
        match result {
            Ok(()) => {
                flight.fetches = flight.fetches.saturating_add(1);
                flight.failures_in_a_row = 0;
                flight.not_before = Duration::ZERO;
                flight.last_error = None;
            }
            Err(error) => {
                tracing::warn!(issuer = %self.id, "keys could not be fetched: {error}");
                let doubled = 2_u32.saturating_pow(flight.failures_in_a_row);
                let backoff = FIRST_BACKOFF.saturating_mul(doubled).min(LAST_BACKOFF);
                flight.failed_fetches = flight.failed_fetches.saturating_add(1);
                flight.failures_in_a_row = flight.failures_in_a_row.saturating_add(1);
                flight.not_before = remote.clock.steady().saturating_add(backoff);
                flight.last_error = Some(error);
            }
        }
        drop(flight);
        self.ended
            .send_modify(|count| *count = count.wrapping_add(1));
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reason {
    WarmUp,
    Age,
    UnknownKey,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Started {
    UnderWay,
    Not,
}

/// Nine tenths of the time that keys are fresh: the fetch has the last tenth to succeed in.
fn ahead(fresh_for: Duration) -> Duration {
    fresh_for.saturating_sub(fresh_for.checked_div(10).unwrap_or_default())
}

/// Fetches again and again, ahead of the end of freshness, until the issuer is gone.
async fn refresh_ahead(keys: Weak<IssuerKeys>) {
    loop {
        let (sleep, mut ended) = {
            let Some(keys) = keys.upgrade() else { return };
            let Source::Remote(remote) = &keys.source else {
                return;
            };
            let ended = keys.ended.subscribe();
            let snapshot = keys.snapshot.load_full();
            let flight = keys.flight();
            let due = keys.until_due(snapshot.as_ref(), &flight, remote.clock.moment());
            // While a fetch is under way its end says when the next is due.
            let sleep = (!flight.under_way).then(|| remote.clock.sleep(due));
            (sleep, ended)
        };
        match sleep {
            None => {
                if ended.changed().await.is_err() {
                    return;
                }
            }
            Some(sleep) => tokio::select! {
                changed = ended.changed() => if changed.is_err() { return },
                () = sleep => {
                    let Some(keys) = keys.upgrade() else { return };
                    let Source::Remote(remote) = &keys.source else { return };
                    if keys.start(remote.clock.moment(), Reason::Age) == Started::Not {
                        tokio::task::yield_now().await;
                    }
                }
            },
        }
    }
}

/// Books the end of a fetch, however it ends: also when its task is dropped with its runtime.
struct Landing {
    keys: Arc<IssuerKeys>,
    result: Result<(), KeyFetchError>,
}

impl Landing {
    async fn fly(mut self) {
        self.result = self.keys.fetch().await;
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        let result = std::mem::replace(&mut self.result, Err(KeyFetchError::Dropped));
        self.keys.land(result);
    }
}

/// A place among the waiting requests.
struct Place(Arc<IssuerKeys>);

impl Place {
    fn take(keys: &Arc<IssuerKeys>) -> Option<Self> {
        let before = keys.waiting.fetch_add(1, Ordering::Relaxed);
        let place = Self(Arc::clone(keys));
        (before < MAX_WAITING).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Ends when the fetch under way ended, or the wait took too long.
#[must_use = "futures do nothing unless polled"]
pub(crate) struct KeyWait(Pin<Box<dyn Future<Output = ()> + Send>>);

impl Future for KeyWait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(context)
    }
}
