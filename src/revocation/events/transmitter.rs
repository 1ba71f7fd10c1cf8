//! A transmitter: its keys, and its metadata (SSF §7).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::outbound::{AskError, Outbound, Question, Wording};
use crate::error::Faults;
use crate::issuer::config::Issuer;
use crate::issuer::{IssuerKeys, IssuerRules, foreign_address};
use crate::jose::Algorithm;
use crate::jose::json::{Object, Value};
use crate::name::{IssuerId, LoopbackHttp, https_url, insert_well_known};
use crate::revocation::rest::Rest;
use crate::time::{Clock, Moment};

/// A metadata document has some 2 KiB.
const MAX_METADATA: usize = 128 * 1024;
/// From the first byte sent to the last byte read.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);
/// Metadata is read again after this time.
const METADATA_AGE: Duration = Duration::from_hours(1);
/// After a failure, metadata that is known is not asked for again before this time.
const METADATA_REST: Duration = Duration::from_mins(10);
/// Metadata is used for this long after it was read, while it cannot be read again.
const METADATA_OUTAGE: Duration = Duration::from_hours(24);
/// The most critical members that are kept. SSF names seven members.
const MOST_CRITICAL: usize = 32;

/// One transmitter, at run time.
pub(super) struct Transmitter {
    id: IssuerId,
    algorithms: Box<[Algorithm]>,
    clock: Arc<dyn Clock>,
    outbound: Option<Arc<Outbound>>,
    known: ArcSwapOption<Known>,
    /// `None`: all of it is configured.
    discovery: Option<Discovery>,
}

struct Discovery {
    url: String,
    /// One reads, the others wait for it.
    reading: tokio::sync::Mutex<()>,
    /// How it failed last, if it did.
    failed: Mutex<Option<Failed>>,
}

struct Failed {
    at: Moment,
    error: AskError,
    /// What is not known is not asked for again before this time.
    wait: Duration,
    /// The waits after it.
    rest: Rest,
}

/// What is known of a transmitter.
pub(super) struct Known {
    pub(super) keys: Arc<IssuerKeys>,
    pub(super) metadata: Metadata,
    read: Moment,
}

/// What of the metadata matters here (SSF §7.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Metadata {
    /// `None`: the keys are configured.
    jwks_uri: Option<String>,
    pub(super) verification_endpoint: Option<String>,
    pub(super) configuration_endpoint: Option<String>,
    /// The members of complex subjects without which an event is discarded.
    pub(super) critical: Vec<Box<str>>,
}

/// Where the metadata of a transmitter is (SSF §7.2): a slash that ends its identifier is removed.
pub(super) fn metadata_url(issuer: &str) -> String {
    let base = issuer.strip_suffix('/').unwrap_or(issuer);
    insert_well_known(base, "/.well-known/ssf-configuration")
}

impl Transmitter {
    /// One whose keys are configured.
    pub(super) fn configured(
        id: IssuerId,
        keys: IssuerKeys,
        clock: &Arc<dyn Clock>,
        outbound: Option<Arc<Outbound>>,
    ) -> Self {
        let algorithms = keys.algorithms().into();
        let metadata = Metadata::default();
        let known = Known { keys: Arc::new(keys), metadata, read: clock.moment() };
        Self {
            id,
            algorithms,
            clock: Arc::clone(clock),
            outbound,
            known: ArcSwapOption::from_pointee(known),
            discovery: None,
        }
    }

    /// One whose metadata says the rest.
    pub(super) fn discovered(
        id: IssuerId,
        algorithms: &[Algorithm],
        clock: &Arc<dyn Clock>,
        outbound: Arc<Outbound>,
    ) -> Self {
        let url = metadata_url(id.as_str());
        let discovery =
            Discovery { url, reading: tokio::sync::Mutex::default(), failed: Mutex::default() };
        Self {
            id,
            algorithms: algorithms.into(),
            clock: Arc::clone(clock),
            outbound: Some(outbound),
            known: ArcSwapOption::empty(),
            discovery: Some(discovery),
        }
    }

    pub(super) fn id(&self) -> &IssuerId {
        &self.id
    }

    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    pub(super) fn outbound(&self) -> Option<&Arc<Outbound>> {
        self.outbound.as_ref()
    }

    /// What is known; the metadata is read first where it is not known or too old. It ends within
    /// twice [`TIMEOUT`], and of many that wait one asks.
    pub(super) async fn known(&self) -> Result<Arc<Known>, AskError> {
        if let Some(known) = self.at_hand() {
            return Ok(known);
        }
        let (Some(discovery), Some(outbound)) = (&self.discovery, &self.outbound) else {
            return Err(AskError::Nothing("nothing is known of the transmitter"));
        };
        let _reading = discovery.reading.lock().await;
        if let Some(known) = self.at_hand() {
            return Ok(known);
        }
        let result = match discovery.resting(self.clock.moment()) {
            Some(error) => Err(error),
            None => self.read(discovery, outbound).await,
        };
        let before = self.known.load_full();
        let now = self.clock.moment();
        match (result, before) {
            (Ok(known), _) => Ok(known),
            (Err(_), Some(known)) if now.since(known.read) <= METADATA_OUTAGE => Ok(known),
            (Err(error), _) => Err(error),
        }
    }

    /// What is known and young enough, or not to be asked for again so soon.
    fn at_hand(&self) -> Option<Arc<Known>> {
        let known = self.known.load_full()?;
        let Some(discovery) = &self.discovery else { return Some(known) };
        let now = self.clock.moment();
        let age = now.since(known.read);
        let rests =
            discovery.failed().as_ref().is_some_and(|failed| now.since(failed.at) < METADATA_REST);
        (age < METADATA_AGE || (rests && age <= METADATA_OUTAGE)).then_some(known)
    }

    async fn read(
        &self,
        discovery: &Discovery,
        outbound: &Outbound,
    ) -> Result<Arc<Known>, AskError> {
        let result = self.fetch(discovery, outbound).await;
        let at = self.clock.moment();
        let mut failed = discovery.failed();
        match result {
            Ok(metadata) => match self.with(metadata, at) {
                Some(known) => {
                    *failed = None;
                    let known = Arc::new(known);
                    let before = self.known.swap(Some(Arc::clone(&known)));
                    if let Some(before) = before.filter(|old| !Arc::ptr_eq(&old.keys, &known.keys))
                    {
                        before.keys.stop();
                    }
                    Ok(known)
                }
                None => Err(AskError::Nothing("there is no transport to fetch keys with")),
            },
            Err(error) => {
                tracing::warn!(transmitter = %self.id, "metadata could not be read: {error}");
                let mut rest = failed.take().map_or_else(Rest::new, |failed| failed.rest);
                let wait = rest.next();
                *failed = Some(Failed { at, error: error.clone(), wait, rest });
                Err(error)
            }
        }
    }

    async fn fetch(
        &self,
        discovery: &Discovery,
        outbound: &Outbound,
    ) -> Result<Metadata, AskError> {
        let url = discovery.url.as_str();
        let question = Question {
            url,
            credential: None,
            body: None,
            wording: Wording::None,
            max_body: MAX_METADATA,
            timeout: TIMEOUT,
        };
        let document = outbound.document(question).await?;
        Metadata::parse(&self.id, &document, outbound.loopback_http)
            .map_err(|what| AskError::answer(url, what))
    }

    /// The keys stay as long as they are in one place.
    fn with(&self, metadata: Metadata, read: Moment) -> Option<Known> {
        if let Some(before) = self.known.load_full()
            && before.metadata.jwks_uri == metadata.jwks_uri
        {
            return Some(Known { keys: Arc::clone(&before.keys), metadata, read });
        }
        let outbound = self.outbound.as_ref()?;
        let issuer = Issuer::jwks(self.id.as_str(), metadata.jwks_uri.clone()?)
            .algorithms(self.algorithms.iter().copied());
        let issuer = match outbound.loopback_http {
            LoopbackHttp::Allowed => issuer.dangerous().insecure_loopback_http(),
            LoopbackHttp::Refused => issuer,
        };
        // INVARIANT: the identifier, the algorithms and the URL were checked each.
        let checked = issuer.check(IssuerRules::ANY, &mut Faults::new())?;
        let keys = IssuerKeys::new(checked, Some(&outbound.transport), &self.clock)?;
        Some(Known { keys: Arc::new(keys), metadata, read })
    }
}

/// Ends what fetches keys.
impl Drop for Transmitter {
    fn drop(&mut self) {
        if let Some(known) = self.known.load_full() {
            known.keys.stop();
        }
    }
}

impl Discovery {
    /// The last failure, if it is too early to ask again.
    fn resting(&self, now: Moment) -> Option<AskError> {
        let failed = self.failed();
        let failed = failed.as_ref().filter(|failed| now.since(failed.at) < failed.wait)?;
        Some(failed.error.clone())
    }

    fn failed(&self) -> MutexGuard<'_, Option<Failed>> {
        // It is replaced whole.
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Metadata {
    /// Reads the metadata that was asked for of this issuer (SSF §7.2.4).
    fn parse(issuer: &IssuerId, document: &[u8], loopback: LoopbackHttp) -> Result<Self, String> {
        let metadata =
            Object::parse(document).map_err(|error| format!("the metadata is {error}"))?;
        let found = metadata.member("issuer").and_then(Value::as_str).unwrap_or_default();
        if found != issuer.as_str() {
            let found: String = found.chars().take(200).collect();
            return Err(format!("`issuer` is {found:?}, not the transmitter that was asked for"));
        }
        let url = |name: &'static str| -> Result<Option<String>, String> {
            let Some(value) = metadata.member(name) else { return Ok(None) };
            let url = value.as_str().ok_or_else(|| format!("`{name}` is not a string"))?;
            endpoint(name, &url, issuer, loopback)?;
            Ok(Some(url.into_owned()))
        };
        let critical = match metadata.member("critical_subject_members") {
            None => Vec::new(),
            Some(members) => {
                let names = members.as_array().filter(|names| names.len() <= MOST_CRITICAL);
                let names = names.and_then(|names| {
                    names.into_iter().map(|name| Some((*name.as_str()?).into())).collect()
                });
                names.ok_or("`critical_subject_members` is not an array of names")?
            }
        };
        let jwks_uri = url("jwks_uri")?.ok_or("`jwks_uri` is absent")?;
        Ok(Self {
            jwks_uri: Some(jwks_uri),
            verification_endpoint: url("verification_endpoint")?,
            configuration_endpoint: url("configuration_endpoint")?,
            critical,
        })
    }
}

/// A URL that a transmitter names may be asked: https, and no [address](foreign_address) but its own.
pub(super) fn endpoint(
    name: &'static str,
    url: &str,
    issuer: &IssuerId,
    loopback: LoopbackHttp,
) -> Result<(), String> {
    let uri = https_url(name, url, loopback).map_err(|error| error.to_string())?;
    match foreign_address(&uri, issuer) {
        Some(host) => Err(format!("`{name}` names the address {host:?}, wanted a host name")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::issuer::KeySearchError;
    use crate::testing::{Failure, ManualClock, TestNetwork, TestTransmitter};

    const NANOSECOND: Duration = Duration::from_nanos(1);
    const HOUR: Duration = Duration::from_hours(1);

    /// A transmitter, and whoever asks it for its metadata.
    struct World {
        clock: ManualClock,
        there: TestTransmitter,
        network: TestNetwork,
        transmitter: Transmitter,
    }

    impl World {
        fn new() -> Self {
            let clock = ManualClock::new();
            let there = TestTransmitter::new("https://tx.example", "https://rs.example", &clock);
            let network = TestNetwork::of(&[]).with_transmitter(&there);
            let shared: Arc<dyn Clock> = Arc::new(clock.clone());
            let outbound = Outbound {
                transport: Arc::new(network.clone()),
                clock: Arc::clone(&shared),
                loopback_http: LoopbackHttp::Refused,
            };
            let id = IssuerId::parse(there.id()).unwrap();
            let outbound = Arc::new(outbound);
            let transmitter = Transmitter::discovered(id, &[Algorithm::Es256], &shared, outbound);
            Self { clock, there, network, transmitter }
        }

        /// Whether the metadata is known when this time has passed, and how often it was asked for so
        /// far.
        async fn after(&self, time: Duration) -> (bool, usize) {
            self.clock.advance(time);
            let known = self.transmitter.known().await.is_ok();
            (known, self.network.fetches())
        }

        /// Looks for the key of the transmitter; it is fetched where it is not there.
        async fn find(&self, keys: &Arc<IssuerKeys>) -> Result<(), KeySearchError> {
            let kid = self.there.issuer().key().kid().to_owned();
            let found = keys.find_or_fetch(Some(&kid), Algorithm::Es256, &self.clock).await;
            found.map(|_| ())
        }
    }

    /// Metadata is read again after an hour, and not before.
    #[tokio::test]
    async fn metadata_is_an_hour_old_at_most() {
        let world = World::new();
        assert_eq!(world.after(Duration::ZERO).await, (true, 1));
        assert_eq!(world.after(HOUR - NANOSECOND).await, (true, 1));
        assert_eq!(world.after(NANOSECOND).await, (true, 2));
        assert_eq!(world.after(HOUR - NANOSECOND).await, (true, 2));
        assert_eq!(world.after(NANOSECOND).await, (true, 3));
    }

    /// Metadata that cannot be read again is used for a day, and asked for every ten minutes; then it is
    /// known no more.
    #[tokio::test]
    async fn metadata_outlives_an_outage_of_a_day() {
        let world = World::new();
        assert_eq!(world.after(Duration::ZERO).await, (true, 1));
        world.there.fail(Failure::Connection);
        assert_eq!(world.after(HOUR).await, (true, 2));
        let rest = Duration::from_mins(10);
        assert_eq!(world.after(rest - NANOSECOND).await, (true, 2), "it rests");
        assert_eq!(world.after(NANOSECOND).await, (true, 3));
        let left = HOUR * 23 - rest;
        assert_eq!(world.after(left).await, (true, 4), "a day old");
        assert_eq!(world.after(NANOSECOND).await, (false, 4), "and older");
        world.there.recover();
        assert_eq!(world.after(Duration::from_mins(1)).await, (true, 5));
    }

    /// Metadata that was never read is asked for after a second, then after two, at most after a minute.
    #[tokio::test]
    async fn metadata_that_is_not_there_is_asked_for_ever_more_slowly() {
        let world = World::new();
        world.there.fail(Failure::Connection);
        assert_eq!(world.after(Duration::ZERO).await, (false, 1));
        for (asked, rest) in (1..).zip([1, 2, 4, 8, 16, 32, 60, 60]) {
            let rest = Duration::from_secs(rest);
            assert_eq!(world.after(rest - NANOSECOND).await, (false, asked), "{rest:?}");
            assert_eq!(world.after(NANOSECOND).await, (false, asked + 1), "{rest:?}");
        }
        world.there.recover();
        assert_eq!(world.after(Duration::from_mins(1)).await, (true, 10));
    }

    /// DISC-10: metadata of 128 KiB is read, and no more than that.
    #[tokio::test]
    async fn metadata_is_bounded() {
        for (length, known) in [(130_000, true), (131_072, false)] {
            let world = World::new();
            world.there.metadata("note", json!("x".repeat(length)));
            assert_eq!(world.after(Duration::ZERO).await, (known, 1), "{length}");
        }
    }

    /// Metadata that is read again changes no keys, unless they are elsewhere now: then those of before are
    /// asked for no more.
    #[tokio::test]
    async fn keys_stay_as_long_as_they_are_in_one_place() {
        let world = World::new();
        let first = world.transmitter.known().await.unwrap();
        world.there.metadata("critical_subject_members", json!(["user"]));
        world.clock.advance(HOUR);
        let again = world.transmitter.known().await.unwrap();
        assert_eq!(again.metadata.critical, ["user".into()]);
        assert!(Arc::ptr_eq(&first.keys, &again.keys));
        assert!(world.find(&again.keys).await.is_ok(), "they are still asked for");
        assert_eq!(world.there.issuer().fetches(), 1);

        let world = World::new();
        let first = world.transmitter.known().await.unwrap();
        world.there.metadata("jwks_uri", json!("https://tx.example/moved.json"));
        world.clock.advance(HOUR);
        let moved = world.transmitter.known().await.unwrap();
        assert!(!Arc::ptr_eq(&first.keys, &moved.keys));
        assert!(world.find(&first.keys).await.is_err());
        assert_eq!(world.there.issuer().fetches(), 0);
    }

    /// Who is gone asks for no keys any more.
    #[tokio::test]
    async fn nothing_is_fetched_for_a_transmitter_that_was_dropped() {
        let world = World::new();
        let known = world.transmitter.known().await.unwrap();
        let (other, there) = (World::new(), world.there.clone());
        drop(world);
        assert!(other.find(&known.keys).await.is_err());
        assert_eq!(there.issuer().fetches(), 0);
        let known = other.transmitter.known().await.unwrap();
        assert!(other.find(&known.keys).await.is_ok());
    }

    fn read(document: &str) -> Result<Metadata, String> {
        let issuer = IssuerId::parse("https://tx.example/one").unwrap();
        Metadata::parse(&issuer, document.as_bytes(), LoopbackHttp::Refused)
    }

    /// SSF-01: the path is inserted.
    #[test]
    fn metadata_is_at_its_place() {
        for (issuer, url) in [
            ("https://tx.example", "https://tx.example/.well-known/ssf-configuration"),
            ("https://tx.example/", "https://tx.example/.well-known/ssf-configuration"),
            ("https://tx.example/a", "https://tx.example/.well-known/ssf-configuration/a"),
            ("https://tx.example/a/", "https://tx.example/.well-known/ssf-configuration/a"),
        ] {
            assert_eq!(metadata_url(issuer), url);
        }
    }

    /// SSF-01, SET-09: the issuer is the one that was asked; endpoints are https.
    #[test]
    fn only_the_asked_transmitters_metadata_is_used() {
        let good = r#"{"issuer":"https://tx.example/one","jwks_uri":"https://tx.example/keys",
            "verification_endpoint":"https://tx.example/verify",
            "critical_subject_members":["device"]}"#;
        let metadata = read(good).unwrap();
        assert_eq!(metadata.jwks_uri.as_deref(), Some("https://tx.example/keys"));
        assert_eq!(metadata.verification_endpoint.as_deref(), Some("https://tx.example/verify"));
        assert_eq!(metadata.critical, ["device".into()]);
        for (from, to) in [
            ("https://tx.example/one", "https://tx.example/two"),
            ("https://tx.example/one", "https://tx.example/one/"),
            ("\"issuer\"", "\"Issuer\""),
            ("jwks_uri", "jwks"),
            ("https://tx.example/keys", "http://tx.example/keys"),
            ("https://tx.example/verify", "http://tx.example/verify"),
            ("https://tx.example/verify", "https://169.254.169.254/verify"),
            ("https://tx.example/verify", "https://[::1]/verify"),
            ("https://tx.example/verify", "https://2852039166/verify"),
            ("https://tx.example/keys", "https://0xa9fea9fe/keys"),
            ("https://tx.example/keys", "https://0251.0376.0251.0376/keys"),
            ("https://tx.example/keys", "https://127.1/keys"),
            ("https://tx.example/keys", "https://169.254.169.254./keys"),
            ("https://tx.example/keys", "https://localhost/keys"),
            ("\"https://tx.example/verify\"", "7"),
            ("[\"device\"]", "\"device\""),
            ("[\"device\"]", "[7]"),
        ] {
            assert!(good.contains(from));
            assert!(read(&good.replace(from, to)).is_err(), "{from} -> {to}");
        }
    }
}
