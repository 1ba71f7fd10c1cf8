use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::effects::{AssuranceAction, Effects, RiskAction};
use super::inbound::{AuthorizationValue, Door};
use super::liveness::{Liveness, Verified};
use super::outbound::{Credential, CredentialScheme, Outbound};
use super::receiver::EventReceiver;
use super::stream::{Asked, Place, Polled, Stream};
use super::subjects::Subjects;
use super::token::SetRules;
use super::transmitter::Transmitter;
use crate::error::{ConfigFault, Faults, key};
use crate::issuer::config::Issuer;
use crate::issuer::{IssuerKeys, IssuerRules};
use crate::jose::Algorithm;
use crate::name::{Audience, LoopbackHttp, https_url};
use crate::revocation::freshness::OnStale;
use crate::secret::SecretSource;
use crate::time::{Clock, shown_duration};
use crate::transport::Transport;

/// A stream of security events (SSF 1.0): who transmits it, how it comes, and what it is compared with.
/// It becomes a source with [`super::Source::new`], which says whose tokens it is believed about.
///
/// ```
/// use std::time::Duration;
/// use portcullis::revocation::{EventStream, Poll, Push, Revocation, Source, Subjects, Verification};
/// use portcullis::secret::SecretSource;
///
/// // Polled (RFC 8936): it knows by itself how old what it knows is.
/// let polled = EventStream::discover("https://events.example.com")
///     .audience("https://api.example.com/events")
///     .poll(Poll::at("https://events.example.com/poll").bearer(SecretSource::env("EVENTS_TOKEN")))
///     .subjects(Subjects::new().email("email").device("device_id"));
///
/// // Pushed (RFC 8935): mount `api.event_receiver("pushed")`. Now and then the transmitter is asked
/// // to prove that it would speak.
/// let pushed = EventStream::jwks("https://idp.example", "https://idp.example/jwks.json")
///     .audience("https://api.example.com/events")
///     .stream_id("f67e39a0")
///     .push(
///         Push::new().authorization(SecretSource::file("/run/secrets/pushed")).verification(
///             Verification::at("https://idp.example/ssf/verify").bearer(SecretSource::env("IDP_TOKEN")),
///         ),
///     );
///
/// let revocation = Revocation::new()
///     .source(Source::new("polled", polled).speaks_for(["https://login.example.com"]))
///     .source(Source::new("pushed", pushed).speaks_for(["https://idp.example"]));
/// # let _ = revocation;
/// ```
#[derive(Clone)]
#[must_use = "a stream does nothing until it is given to `Source::new`"]
pub struct EventStream {
    issuer: String,
    keys: Keys,
    algorithms: Vec<Algorithm>,
    audiences: Vec<String>,
    stream_id: Option<String>,
    push: Option<Push>,
    poll: Option<Poll>,
    subjects: Subjects,
    critical: Vec<String>,
    risk: RiskAction,
    assurance: AssuranceAction,
    transport: Option<Arc<dyn Transport>>,
    loopback_http: LoopbackHttp,
}

#[derive(Clone)]
enum Keys {
    Fixed(Vec<u8>),
    Jwks(String),
    Discovery,
}

/// That a transmitter sends events to us (RFC 8935), to where `ResourceServer::event_receiver` is
/// mounted.
///
/// A stream has one receiver. Behind a load balancer one process gets an event and the others do not:
/// give each process a stream of its own, or let one of them pass events on.
#[derive(Clone, Debug, Default)]
#[must_use = "it does nothing until it is given to `EventStream::push`"]
pub struct Push {
    accepted: Vec<AuthorizationValue>,
    open: bool,
    verification: Option<Verification>,
}

/// That a transmitter is asked to send a verification event (SSF §8.1.4), every third of the source's
/// maximum age. With the answer everything is known up to the moment in which it was asked.
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it is given to `Push::verification`"]
pub struct Verification {
    at: Option<String>,
    authorization: Option<(SecretSource, CredentialScheme)>,
}

/// That events are fetched from a transmitter (RFC 8936). What was fetched is acknowledged once it is
/// stored; what was not comes again.
///
/// What one process has acknowledged no other gets: give each process a stream of its own.
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it is given to `EventStream::poll`"]
pub struct Poll {
    at: Option<String>,
    authorization: Option<(SecretSource, CredentialScheme)>,
    pace: Pace,
    max_events: usize,
}

/// When it is asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// A third of the maximum age after the last answer.
    Third,
    /// This long after the last answer.
    Every(Duration),
    /// At once; the transmitter answers when there is something to say.
    Long,
}

/// What a stream is made for.
pub(crate) struct StreamSetting<'a> {
    /// The name of the source.
    pub(crate) name: &'a str,
    /// The token issuers that it speaks for.
    pub(crate) speaks_for: &'a [String],
    pub(crate) on_stale: OnStale,
    /// Whether other sources say, within a bound, what this one would say.
    pub(crate) covered: bool,
    pub(crate) transport: Option<&'a Arc<dyn Transport>>,
    pub(crate) clock: &'a Arc<dyn Clock>,
}

impl EventStream {
    /// A transmitter whose metadata (SSF §7) says where its keys are, and what else is not said here.
    ///
    /// `issuer` is its identifier, exactly as SETs carry it in `iss`.
    pub fn discover(issuer: impl Into<String>) -> Self {
        Self::with(issuer, Keys::Discovery)
    }

    /// A transmitter whose JWK Set is at this URL.
    pub fn jwks(issuer: impl Into<String>, jwks_uri: impl Into<String>) -> Self {
        Self::with(issuer, Keys::Jwks(jwks_uri.into()))
    }

    /// A transmitter whose JWK Set is known: its text.
    pub fn fixed_keys(issuer: impl Into<String>, jwk_set: impl Into<Vec<u8>>) -> Self {
        Self::with(issuer, Keys::Fixed(jwk_set.into()))
    }

    fn with(issuer: impl Into<String>, keys: Keys) -> Self {
        Self {
            issuer: issuer.into(),
            keys,
            algorithms: SetRules::ALGORITHMS.to_vec(),
            audiences: Vec::new(),
            stream_id: None,
            push: None,
            poll: None,
            subjects: Subjects::new(),
            critical: Vec::new(),
            risk: RiskAction::default(),
            assurance: AssuranceAction::default(),
            transport: None,
            loopback_http: LoopbackHttp::Refused,
        }
    }

    /// Who we are to the transmitter: a value of `aud` of its SETs, at least one. It is not the
    /// audience of access tokens.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// The algorithms that SETs may be signed with, instead of [`SetRules::ALGORITHMS`].
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        self
    }

    /// The stream's identifier at the transmitter (SSF §8.1.1). With [`Self::discover`] it can be left
    /// out where there is only one stream for us: then it is looked up.
    pub fn stream_id(mut self, stream_id: impl Into<String>) -> Self {
        self.stream_id = Some(stream_id.into());
        self
    }

    /// Events are sent to us.
    pub fn push(mut self, push: Push) -> Self {
        self.push = Some(push);
        self
    }

    /// Events are fetched. Both can be said: then what either brings counts, and either shows that
    /// everything is known.
    pub fn poll(mut self, poll: Poll) -> Self {
        self.poll = Some(poll);
        self
    }

    /// Which claims of tokens say what the subjects of events say.
    pub fn subjects(mut self, subjects: Subjects) -> Self {
        self.subjects = subjects;
        self
    }

    /// The members of complex subjects without which an event must not be understood (SSF §3.6): an
    /// event with one of them for which no claim is known is thrown away. With [`Self::discover`] the
    /// metadata's are added.
    pub fn critical_subject_members<T: Into<String>>(
        mut self,
        members: impl IntoIterator<Item = T>,
    ) -> Self {
        self.critical.extend(members.into_iter().map(Into::into));
        self
    }

    /// What a high risk does.
    pub fn on_high_risk(mut self, action: RiskAction) -> Self {
        self.risk = action;
        self
    }

    /// What it does when the assurance level has gone down.
    pub fn on_assurance_decrease(mut self, action: AssuranceAction) -> Self {
        self.assurance = action;
        self
    }

    /// How the transmitter is asked, in place of the server's transport: for example with a private
    /// CA.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// Settings that weaken what protects the stream.
    pub fn dangerous(self) -> DangerousEventStream {
        DangerousEventStream(self)
    }

    /// The names of the claims that tokens are asked for.
    pub(crate) fn claims(&self) -> Vec<Box<str>> {
        self.subjects.claims()
    }

    /// Whether something is fetched by the server's transport.
    pub(crate) fn needs_transport(&self) -> bool {
        self.transport.is_none() && (!matches!(self.keys, Keys::Fixed(_)) || self.is_asked())
    }

    /// Whether it is asked, or asked to prove that it would speak: it has an age.
    pub(crate) fn is_asked(&self) -> bool {
        self.poll.is_some() || self.verification().is_some()
    }

    fn verification(&self) -> Option<&Verification> {
        self.push.as_ref()?.verification.as_ref()
    }

    /// What is configured, in the words of a configuration file.
    pub(crate) fn report(&self) -> Value {
        let algorithms: Vec<_> = self.algorithms.iter().map(|one| one.as_str()).collect();
        let mut report = json!({
            "id": self.issuer,
            "algorithms": algorithms,
            "audience": self.audiences,
            "subjects": self.subjects.report(),
            "on_high_risk": self.risk.as_str(),
            "on_assurance_decrease": self.assurance.as_str(),
        });
        let Some(members) = report.as_object_mut() else { return report };
        let mut member = |name: &str, value: Value| members.insert(name.to_owned(), value);
        match &self.keys {
            Keys::Fixed(_) => member("keys", "fixed".into()),
            Keys::Jwks(url) => member("jwks_uri", url.as_str().into()),
            Keys::Discovery => member("keys", "discovery".into()),
        };
        if let Some(stream_id) = &self.stream_id {
            member("stream_id", stream_id.as_str().into());
        }
        if !self.critical.is_empty() {
            member("critical_subject_members", self.critical.clone().into());
        }
        if let Some(push) = &self.push {
            member("push", push.report());
        }
        if let Some(poll) = &self.poll {
            member("poll", poll.report());
        }
        if self.transport.is_some() {
            member("transport", "own".into());
        }
        if self.loopback_http == LoopbackHttp::Allowed {
            member("dangerous", json!({ "insecure_loopback_http": true }));
        }
        report
    }

    /// The stream, or every fault.
    pub(crate) fn check(
        &self,
        setting: &StreamSetting<'_>,
        faults: &mut Faults,
    ) -> Option<Arc<Stream>> {
        let before = faults.len();
        let fault =
            |what: &str| ConfigFault::Revocation(format!("source {}: {what}", key(setting.name)));
        let audiences: Vec<Audience> = self
            .audiences
            .iter()
            .enumerate()
            .filter_map(|(index, audience)| {
                Audience::parse(audience)
                    .map_err(|wrong| faults.at_element("audience", index, |to| to.push(wrong)))
                    .ok()
            })
            .collect();
        if self.audiences.is_empty() {
            let what = "no audience: say with `audience` who we are to the transmitter";
            faults.push_at("audience", fault(what));
        }
        if self.stream_id.as_deref() == Some("") {
            faults.push_at("stream_id", fault("a stream identifier without a character"));
        }
        faults.at("subjects", |faults| self.subjects.check(faults));
        self.check_deliveries(setting, &fault, faults);
        // The rules of issuers are those of transmitters.
        let issuer = match &self.keys {
            Keys::Fixed(keys) => Issuer::fixed_keys(&self.issuer, keys.clone()),
            Keys::Jwks(url) => Issuer::jwks(&self.issuer, url),
            Keys::Discovery => Issuer::discover(&self.issuer),
        };
        let issuer = issuer.algorithms(self.algorithms.iter().copied());
        let issuer = match self.loopback_http {
            LoopbackHttp::Allowed => issuer.dangerous().insecure_loopback_http(),
            LoopbackHttp::Refused => issuer,
        };
        let checked = issuer.check(IssuerRules::ANY, faults)?;
        if faults.len() > before {
            return None;
        }

        let id = checked.id.clone();
        let transport = self.transport.as_ref().or(setting.transport);
        let clock = setting.clock;
        let outbound = transport.map(|transport| {
            Arc::new(Outbound {
                transport: Arc::clone(transport),
                clock: Arc::clone(clock),
                loopback_http: self.loopback_http,
            })
        });
        let transmitter = match &self.keys {
            Keys::Fixed(_) | Keys::Jwks(_) => {
                let keys = IssuerKeys::new(checked, transport, clock)?;
                Transmitter::configured(id.clone(), keys, clock, outbound)
            }
            Keys::Discovery => {
                Transmitter::discovered(id.clone(), &self.algorithms, clock, outbound?)
            }
        };
        let place = |at: &Option<String>| at.clone().map_or(Place::Discovered, Place::At);
        let credential = |authorization: &Option<(SecretSource, CredentialScheme)>| {
            let (source, scheme) = authorization.clone()?;
            Some(Arc::new(Credential::new(source, scheme)))
        };
        let verification = self.verification().map(|asked| Asked {
            place: place(&asked.at),
            credential: credential(&asked.authorization),
        });
        let poll = self.poll.as_ref().map(|poll| Polled {
            place: place(&poll.at),
            credential: credential(&poll.authorization),
            pace: poll.pace,
            max_events: poll.max_events,
        });
        let door =
            self.push.as_ref().map(|push| Door::new((!push.open).then_some(&*push.accepted)));
        let verified = if verification.is_some() { Verified::Yes } else { Verified::No };
        let issuers = setting.speaks_for.iter().map(|issuer| issuer.as_str().into()).collect();
        let effects = Effects {
            subjects: self.subjects.clone(),
            risk: self.risk,
            assurance: self.assurance,
            issuers,
            critical: self.critical.iter().map(|name| name.as_str().into()).collect(),
        };
        Some(Arc::new(Stream {
            rules: SetRules::new(id, audiences).algorithms(self.algorithms.iter().copied()),
            transmitter,
            effects,
            stream_id: self.stream_id.as_deref().map(Into::into),
            liveness: Liveness::new(verified),
            reporting: tokio::sync::Mutex::default(),
            door,
            deliveries: Arc::new(Semaphore::new(EventReceiver::MOST_AT_ONCE)),
            verification,
            poll,
        }))
    }

    fn check_deliveries(
        &self,
        setting: &StreamSetting<'_>,
        fault: &dyn Fn(&str) -> ConfigFault,
        faults: &mut Faults,
    ) {
        let discovers = matches!(self.keys, Keys::Discovery);
        let place = |at: &Option<String>, faults: &mut Faults| match at {
            Some(url) => {
                if let Err(wrong) = https_url("endpoint", url, self.loopback_http) {
                    faults.push_at("url", wrong);
                }
            }
            None if !discovers => {
                let what = "no URL: only the metadata of `EventStream::discover` has it";
                faults.push_at("url", fault(what));
            }
            None => {}
        };
        if let Some(push) = &self.push {
            faults.at("push", |faults| {
                if push.accepted.is_empty() && !push.open {
                    let what = "no `authorization`: say what the transmitter shows, or with \
                        `signature_only` that it shows nothing";
                    faults.push_at("authorization", fault(what));
                } else if !push.accepted.is_empty() && push.open {
                    let what = "`authorization` and `signature_only` contradict each other";
                    faults.push_at("authorization", fault(what));
                }
                let empty = |value: &AuthorizationValue| match value {
                    AuthorizationValue::Known(secret) => secret.expose().is_empty(),
                    AuthorizationValue::At(_) => false,
                };
                if push.accepted.iter().any(empty) {
                    faults.push_at("authorization", fault("an empty secret"));
                }
                if let Some(asked) = &push.verification {
                    faults.at("verification", |faults| place(&asked.at, faults));
                    if self.stream_id.is_none() && !discovers {
                        let what = "a verification event is asked for by `stream_id`";
                        faults.push_at("verification", fault(what));
                    }
                }
            });
        }
        if let Some(poll) = &self.poll {
            faults.at("poll", |faults| {
                place(&poll.at, faults);
                if let Pace::Every(time) = poll.pace
                    && !Poll::PACES.contains(&time)
                {
                    let what = format!("every {time:?}: not between 1 second and 24 hours");
                    faults.push_at("every", fault(&what));
                }
                if !(1..=Poll::MOST_EVENTS).contains(&poll.max_events) {
                    let what = "number of events of one answer";
                    let (found, maximum) = (poll.max_events, Poll::MOST_EVENTS);
                    faults.push_at("max_events", ConfigFault::Bound { what, found, maximum });
                }
            });
        }
        if self.push.is_none() && self.poll.is_none() {
            faults.push(fault("events neither come nor are fetched: say `push` or `poll`"));
        }
        let bounded = setting.on_stale != OnStale::InsecureUnbounded;
        if self.push.is_some() && !self.is_asked() && bounded && !setting.covered {
            let what = "a stream that is only pushed says nothing when nothing happens, and nothing \
                when it is broken: add a `verification`, let another source speak for the same \
                issuers, or accept it with `OnStale::InsecureUnbounded`";
            faults.push_at("push", fault(what));
        }
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream")
            .field("issuer", &self.issuer)
            .field("push", &self.push)
            .field("poll", &self.poll)
            .field("subjects", &self.subjects)
            .finish_non_exhaustive()
    }
}

/// Settings of an [`EventStream`] that weaken what protects it.
#[must_use = "take the stream back with one of the methods"]
pub struct DangerousEventStream(EventStream);

impl DangerousEventStream {
    /// Lets this transmitter, its metadata, its keys and its endpoints be at `http` URLs of a loopback
    /// host, for tests and local development. Whoever else can listen on the machine's ports can then
    /// choose the keys. Any other host is still refused.
    pub fn insecure_loopback_http(mut self) -> EventStream {
        self.0.loopback_http = LoopbackHttp::Allowed;
        self.0
    }
}

impl fmt::Debug for DangerousEventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DangerousEventStream").field(&self.0).finish()
    }
}

impl Push {
    /// Nobody is let in yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets in who shows this as `Authorization`: a [`crate::secret::Secret`], or where there is one.
    /// Say it twice while one replaces another.
    pub fn authorization(mut self, value: impl Into<AuthorizationValue>) -> Self {
        self.accepted.push(value.into());
        self
    }

    /// Lets everybody in, for a transmitter that shows nothing. The signature of a SET says who sends
    /// it; whoever finds the place can make work with SETs that are none.
    pub fn signature_only(mut self) -> Self {
        self.open = true;
        self
    }

    /// Asks the transmitter to prove that it would speak. Without it nobody can tell a transmitter that
    /// has nothing to say from one that cannot reach us.
    pub fn verification(mut self, verification: Verification) -> Self {
        self.verification = Some(verification);
        self
    }

    fn report(&self) -> Value {
        let accepted = self.accepted.iter().map(|value| match value {
            AuthorizationValue::Known(_) => json!("given"),
            AuthorizationValue::At(source) => source.report(),
        });
        let accepted: Vec<Value> = accepted.collect();
        let mut report = json!({ "authorization": accepted, "signature_only": self.open });
        if let (Some(members), Some(asked)) = (report.as_object_mut(), &self.verification) {
            members.insert("verification".to_owned(), asked_at(&asked.at, &asked.authorization));
        }
        report
    }
}

/// Where is asked, and what is shown there: where it is, never what it is.
fn asked_at(
    at: &Option<String>,
    authorization: &Option<(SecretSource, CredentialScheme)>,
) -> Value {
    let mut report = json!({ "url": at.as_deref().unwrap_or("discovery") });
    if let (Some(members), Some((source, scheme))) = (report.as_object_mut(), authorization) {
        let member = match scheme {
            CredentialScheme::Whole => "authorization",
            CredentialScheme::Bearer => "bearer",
        };
        members.insert(member.to_owned(), source.report());
    }
    report
}

impl Verification {
    /// At this verification endpoint.
    pub fn at(url: impl Into<String>) -> Self {
        Self { at: Some(url.into()), authorization: None }
    }

    /// At the verification endpoint of the metadata: see [`EventStream::discover`].
    pub fn discovered() -> Self {
        Self { at: None, authorization: None }
    }

    /// Shows this as `Authorization`, all of it. It is read anew each time.
    pub fn authorization(mut self, source: SecretSource) -> Self {
        self.authorization = Some((source, CredentialScheme::Whole));
        self
    }

    /// Shows this as an access token: `Bearer` and what is there. It is read anew each time.
    pub fn bearer(mut self, source: SecretSource) -> Self {
        self.authorization = Some((source, CredentialScheme::Bearer));
        self
    }
}

impl Poll {
    /// The most events of one answer that can be asked for.
    pub const MOST_EVENTS: usize = 1_000;
    const PACES: std::ops::RangeInclusive<Duration> =
        Duration::from_secs(1)..=Duration::from_hours(24);

    /// From this endpoint: 50 events at once, every third of the source's maximum age.
    pub fn at(url: impl Into<String>) -> Self {
        Self::with(Some(url.into()))
    }

    /// From the endpoint of our stream, which the transmitter's configuration endpoint says: see
    /// [`EventStream::discover`].
    pub fn discovered() -> Self {
        Self::with(None)
    }

    fn with(at: Option<String>) -> Self {
        Self { at, authorization: None, pace: Pace::Third, max_events: 50 }
    }

    /// Shows this as `Authorization`, all of it. It is read anew each time.
    pub fn authorization(mut self, source: SecretSource) -> Self {
        self.authorization = Some((source, CredentialScheme::Whole));
        self
    }

    /// Shows this as an access token: `Bearer` and what is there. It is read anew each time.
    pub fn bearer(mut self, source: SecretSource) -> Self {
        self.authorization = Some((source, CredentialScheme::Bearer));
        self
    }

    /// Lets the transmitter answer when it has something to say (RFC 8936 §2.2), and asks again at once.
    /// It waits a third of the source's maximum age, at most a minute.
    pub fn long_polling(mut self) -> Self {
        self.pace = Pace::Long;
        self
    }

    /// Asks so long after the last answer; where the source's maximum age is less than twice that, after
    /// half of it.
    pub fn every(mut self, time: Duration) -> Self {
        self.pace = Pace::Every(time);
        self
    }

    /// How many events one answer may have, at most [`Self::MOST_EVENTS`]. An answer that is too large
    /// all the same is asked for again with half as many.
    pub fn max_events(mut self, events: usize) -> Self {
        self.max_events = events;
        self
    }

    fn report(&self) -> Value {
        let mut report = asked_at(&self.at, &self.authorization);
        let Some(members) = report.as_object_mut() else { return report };
        let mut member = |name: &str, value: Value| members.insert(name.to_owned(), value);
        match self.pace {
            Pace::Third => member("every", "a third of max_age".into()),
            Pace::Every(time) => member("every", shown_duration(time).into()),
            Pace::Long => member("long_polling", true.into()),
        };
        member("max_events", self.max_events.into());
        report
    }
}
