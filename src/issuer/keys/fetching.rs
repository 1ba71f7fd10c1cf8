//! Fetching the keys of an issuer: when, and what becomes of what came.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Handle;

use super::{IssuerKeys, KeyPlace, Remote, Snapshot};
use crate::issuer::Trust;
use crate::issuer::fetch::{Fetched, FetchedKeys, Fetcher, KeyFetchError};
use crate::issuer::flight::{Clearance, Reason, Wait, WaitingPlace};
use crate::jose::JwkSet;
use crate::time::Moment;

/// Metadata is looked up again after this time, or as soon as its `jwks_uri` fails.
const METADATA_AGE: Duration = Duration::from_hours(1);

/// A failed look-up of metadata is not repeated before this time, while the `jwks_uri` that is
/// known works.
const METADATA_REST: Duration = Duration::from_mins(10);

impl IssuerKeys {
    /// The number of the fetch under way, started now if its reason allows one.
    pub(super) fn start(self: &Arc<Self>, at: Moment, reason: Reason) -> Option<u64> {
        let Ok(runtime) = Handle::try_current() else {
            self.flights.note(KeyFetchError::NoRuntime);
            return None;
        };
        let not_before = self.flights.not_before();
        let reason = match reason {
            // The flights know steady time alone.
            Reason::Age if self.outage.is_rested(at, not_before) => Reason::WarmUp,
            reason => reason,
        };
        match self.flights.clear(at.steady(), reason) {
            Clearance::No => None,
            Clearance::UnderWay(number) => Some(number),
            Clearance::TakeOff(number) => {
                // A runtime that is shutting down drops the task right here: no lock is held.
                let keys = Arc::clone(self);
                let flight = Flight { keys, number, began: at, result: None };
                let task = runtime.spawn(flight.fly());
                self.flights.departed(number, task.abort_handle());
                if self.flights.needs_refresh_task() {
                    let task = runtime.spawn(refresh_ahead(Arc::downgrade(self)));
                    self.flights.refreshes_with(task.abort_handle());
                }
                Some(number)
            }
        }
    }

    /// A wait for the fetch of this number; `None` if too many wait already.
    pub(super) fn wait(self: &Arc<Self>, number: u64) -> Option<Wait> {
        let remote = self.remote.as_ref()?;
        let place = WaitingPlace::take(Arc::clone(self))?;
        let sleep = remote.clock.sleep(self.refresh.wait());
        Some(Wait::new(self.flights.landing(number), sleep, place))
    }

    /// How long until the next fetch is due.
    pub(super) fn until_due(&self, snapshot: Option<&Snapshot>, at: Moment) -> Duration {
        let backoff = self.flights.not_before().saturating_sub(at.steady());
        let fresh = snapshot.map_or(Duration::ZERO, |snapshot| {
            ahead(snapshot.fresh_for).saturating_sub(at.since(snapshot.loaded))
        });
        backoff.max(fresh)
    }

    async fn fetch(&self, remote: &Remote, number: u64) -> Result<(), KeyFetchError> {
        let fetcher = Fetcher {
            issuer: &self.id,
            algorithms: &self.algorithms,
            loopback_http: remote.loopback_http,
            transport: &*remote.transport,
            clock: &*remote.clock,
            token: remote.fetch_token.as_ref(),
        };
        let url = match &remote.place {
            KeyPlace::Url(url) => url.clone(),
            KeyPlace::Metadata(urls) => self.jwks_uri(remote, &fetcher, urls).await?,
        };
        let known = remote.known().etag.clone();
        let etag = known.filter(|(from, _)| *from == url).map(|(_, etag)| etag);
        // What comes back was so when it was asked for, at the earliest.
        let asked = remote.clock.moment();
        let Fetched { keys, max_age, etag } = fetcher.keys(&url, etag).await?;
        // One that was given up meanwhile changes nothing.
        if self.flights.under_way() != Some(number) {
            return Err(KeyFetchError::Dropped);
        }
        let before = self.snapshot.load_full();
        let keys = match (keys, &before) {
            (FetchedKeys::New(keys), _) => {
                self.report_unusable(&keys, before.as_ref().map(|before| &*before.keys));
                Arc::new(keys)
            }
            (FetchedKeys::Unchanged, Some(before)) => Arc::clone(&before.keys),
            // INVARIANT: without a snapshot no etag was sent; the transport made this up.
            (FetchedKeys::Unchanged, None) => return Err(KeyFetchError::Dropped),
        };
        remote.known().etag = etag.map(|etag| (url, etag));
        let fresh_for = self.refresh.fresh_for(max_age);
        let snapshot = Snapshot { keys, loaded: asked, fresh_for, number };
        self.snapshot.store(Some(Arc::new(snapshot)));
        Ok(())
    }

    /// One line, and only when something changed: fetches are many.
    fn report_unusable(&self, keys: &JwkSet, before: Option<&JwkSet>) {
        let unusable = keys.unusable();
        if before.map(JwkSet::unusable).unwrap_or_default() == unusable {
            return;
        }
        if let Some(first) = unusable.first() {
            let count = unusable.len();
            tracing::warn!(issuer = %self.id, count, "keys that cannot be used; the first: {first}");
        }
    }

    /// The `jwks_uri` of the metadata: the known one while it is young and works. A failing
    /// look-up keeps the known one, for as long as keys are kept through an outage.
    async fn jwks_uri(
        &self,
        remote: &Remote,
        fetcher: &Fetcher<'_>,
        urls: &[String],
    ) -> Result<String, KeyFetchError> {
        let now = remote.clock.moment();
        let known = {
            let known = remote.known();
            let rest = known
                .metadata_error
                .as_ref()
                .is_some_and(|(_, failed)| now.since(*failed) < METADATA_REST);
            known.jwks_uri.clone().map(|(url, found)| (url, now.since(found), rest))
        };
        if let Some((url, age, rest)) = &known
            && !self.flights.failing()
            && (*age < METADATA_AGE || *rest)
            && *age <= self.refresh.outage()
        {
            return Ok(url.clone());
        }
        match (fetcher.discover(urls).await, known) {
            (Ok(url), _) => {
                let mut known = remote.known();
                known.jwks_uri = Some((url.clone(), remote.clock.moment()));
                known.metadata_error = None;
                Ok(url)
            }
            (Err(error), Some((url, age, _))) if age <= self.refresh.outage() => {
                tracing::warn!(issuer = %self.id, "metadata kept: {error}");
                remote.known().metadata_error = Some((error, remote.clock.moment()));
                Ok(url)
            }
            (Err(error), _) => Err(error),
        }
    }
}

/// Nine tenths of the time that keys are fresh: the fetch has the last tenth to succeed in.
fn ahead(fresh_for: Duration) -> Duration {
    fresh_for.saturating_sub(fresh_for.checked_div(10).unwrap_or_default())
}

/// Fetches again and again, ahead of the end of freshness, until the issuer is gone.
async fn refresh_ahead(keys: Weak<IssuerKeys>) {
    loop {
        let (landing, sleep) = {
            let Some(keys) = keys.upgrade() else { return };
            let Some(remote) = &keys.remote else { return };
            match keys.flights.under_way() {
                // While a fetch is under way its end says when the next is due.
                Some(number) => (Some(keys.flights.landing(number)), None),
                None => {
                    let snapshot = keys.snapshot.load_full();
                    let due = keys.until_due(snapshot.as_deref(), remote.clock.moment());
                    (None, Some(remote.clock.sleep(due)))
                }
            }
        };
        match (landing, sleep) {
            (Some(landing), _) => landing.await,
            (None, Some(sleep)) => {
                sleep.await;
                let Some(keys) = keys.upgrade() else { return };
                let Some(remote) = &keys.remote else { return };
                let gone = remote
                    .resolver
                    .as_ref()
                    .is_some_and(|resolver| resolver.trust(keys.id.as_str()) == Trust::Unknown);
                if gone {
                    return;
                }
                let at = remote.clock.moment();
                let snapshot = keys.snapshot.load_full();
                // Somebody else may have fetched meanwhile.
                let due = keys.until_due(snapshot.as_deref(), at).is_zero();
                if !due || keys.start(at, Reason::Age).is_none() {
                    tokio::task::yield_now().await;
                }
            }
            (None, None) => return,
        }
    }
}

/// Books the end of a fetch, however it ends: also when its task is dropped with its runtime.
struct Flight {
    keys: Arc<IssuerKeys>,
    number: u64,
    began: Moment,
    result: Option<Result<(), KeyFetchError>>,
}

impl Flight {
    async fn fly(mut self) {
        if let Some(remote) = &self.keys.remote {
            self.result = Some(self.keys.fetch(remote, self.number).await);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let Some(remote) = &self.keys.remote else { return };
        let result = self.result.take().unwrap_or(Err(KeyFetchError::Dropped));
        if let Err(error) = &result {
            tracing::warn!(issuer = %self.keys.id, "keys could not be fetched: {error}");
        }
        let ended = remote.clock.moment();
        let flights = &self.keys.flights;
        // Before whoever waits is woken. One that was given up before changes nothing.
        if flights.under_way() == Some(self.number) {
            self.keys.outage.landed(result.as_ref().copied(), self.began, ended);
        }
        flights.land(self.number, result, ended.steady());
    }
}
