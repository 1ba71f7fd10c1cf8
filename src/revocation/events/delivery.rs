//! How events come: sent to us, or fetched.

use std::time::Duration;

use serde_json::{Value, json};

use super::inbound::AuthorizationValue;
use crate::secret::{CredentialScheme, SecretSource};
use crate::time::shown_duration;

/// That a transmitter sends events to us (RFC 8935), to where
/// [`crate::ResourceServer::event_receiver`] is mounted.
///
/// A stream has one receiver. Behind a load balancer one process gets an event and the others do not:
/// give each process a stream of its own, or let one of them pass events on.
#[derive(Clone, Debug, Default)]
#[must_use = "it does nothing until it is given to `EventStream::push`"]
pub struct Push {
    pub(super) accepted: Vec<AuthorizationValue>,
    pub(super) open: bool,
    pub(super) verification: Option<Verification>,
}

/// That a transmitter is asked to send a verification event (SSF §8.1.4), every third of the source's
/// maximum age. With the answer everything is known up to the moment in which it was asked.
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it is given to `Push::verification`"]
pub struct Verification {
    pub(super) at: Option<String>,
    pub(super) authorization: Option<(SecretSource, CredentialScheme)>,
}

/// That events are fetched from a transmitter (RFC 8936). What was fetched is acknowledged once it is
/// stored; what was not comes again.
///
/// What one process has acknowledged no other gets: give each process a stream of its own.
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it is given to `EventStream::poll`"]
pub struct Poll {
    pub(super) at: Option<String>,
    pub(super) authorization: Option<(SecretSource, CredentialScheme)>,
    pub(super) pace: Pace,
    pub(super) max_events: usize,
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
    /// it; whoever finds the place can make work with SETs that are none, and keep the transmitter out for
    /// as long as they hold every place: see [`super::EventReceiver`].
    pub fn signature_only(mut self) -> Self {
        self.open = true;
        self
    }

    /// Asks the transmitter to prove that it would speak. Without it nobody can tell a transmitter that
    /// has nothing to say from one that cannot reach us. A stream without it, that is not polled either,
    /// has no age: it counts beside other sources that speak for all of its issuers with a bound, and
    /// these alone are asked how old they are.
    pub fn verification(mut self, verification: Verification) -> Self {
        self.verification = Some(verification);
        self
    }

    pub(super) fn report(&self) -> Value {
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

    /// At the verification endpoint of the metadata: see
    /// [`EventStream::discover`](crate::revocation::EventStream::discover).
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
    pub const MAX_EVENTS: usize = 1_000;
    pub(super) const PACES: std::ops::RangeInclusive<Duration> =
        Duration::from_secs(1)..=Duration::from_hours(24);

    /// From this endpoint: 50 events at once, every third of the source's maximum age.
    pub fn at(url: impl Into<String>) -> Self {
        Self::with(Some(url.into()))
    }

    /// From the endpoint of our stream, which the transmitter's configuration endpoint says: see
    /// [`EventStream::discover`](crate::revocation::EventStream::discover).
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

    /// How many events one answer may have, at most [`Self::MAX_EVENTS`]. An answer that is too large
    /// all the same is asked for again with half as many.
    pub fn max_events(mut self, events: usize) -> Self {
        self.max_events = events;
        self
    }

    pub(super) fn report(&self) -> Value {
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
