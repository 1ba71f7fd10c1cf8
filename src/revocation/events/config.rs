use std::fmt;
use std::sync::Arc;

use super::delivery::{Poll, Push, Verification};
use super::effects::{AssuranceAction, RiskAction};
use super::subjects::Subjects;
use super::token::SetRules;
use crate::jose::Algorithm;
use crate::name::LoopbackHttp;
use crate::transport::Transport;

/// A stream of security events (SSF 1.0): who transmits it, how it comes, and what it is compared with.
/// It becomes a source with [`crate::revocation::Source::new`], which says whose tokens it is believed
/// about.
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
    pub(super) issuer: String,
    pub(super) keys: Keys,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) audiences: Vec<String>,
    pub(super) stream_id: Option<String>,
    pub(super) push: Option<Push>,
    pub(super) poll: Option<Poll>,
    pub(super) subjects: Subjects,
    pub(super) critical: Vec<String>,
    pub(super) risk: RiskAction,
    pub(super) assurance: AssuranceAction,
    pub(super) transport: Option<Arc<dyn Transport>>,
    pub(super) loopback_http: LoopbackHttp,
}

#[derive(Clone)]
pub(super) enum Keys {
    Fixed(Vec<u8>),
    Jwks(String),
    Discovery,
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

    pub(super) fn verification(&self) -> Option<&Verification> {
        self.push.as_ref()?.verification.as_ref()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestNetwork;

    /// The server needs a transport where something is fetched, and the stream has none of its own.
    #[test]
    fn a_transport_is_needed_for_what_is_fetched() {
        let tx = "https://tx.example";
        let fixed = || EventStream::fixed_keys(tx, "{}");
        let told = || Push::new().signature_only();
        let asked = || told().verification(Verification::at("https://tx.example/verify"));
        for (name, stream, needed) in [
            ("fixed keys, pushed", fixed().push(told()), false),
            ("fixed keys, verified", fixed().push(asked()), true),
            ("fixed keys, polled", fixed().poll(Poll::at("https://tx.example/poll")), true),
            ("keys at a URL", EventStream::jwks(tx, "https://tx.example/k").push(told()), true),
            ("discovered", EventStream::discover(tx).push(told()), true),
        ] {
            assert_eq!(stream.needs_transport(), needed, "{name}");
            assert!(!stream.transport(TestNetwork::default()).needs_transport(), "{name}");
        }
    }
}
