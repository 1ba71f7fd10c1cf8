//! From the configuration of a stream to the stream: every fault, or it can run.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::config::{EventStream, Keys};
use super::delivery::{Pace, Poll};
use super::effects::Effects;
use super::inbound::{AuthorizationValue, Door};
use super::liveness::{Liveness, Verified};
use super::outbound::Outbound;
use super::owed::Owed;
use super::receiver::EventReceiver;
use super::stream::{Asked, Place, Polled, Stream};
use super::token::SetRules;
use super::transmitter::Transmitter;
use crate::error::{ConfigFault, Faults, key};
use crate::issuer::config::Issuer;
use crate::issuer::{IssuerKeys, IssuerRules};
use crate::name::{Audience, LoopbackHttp, https_url};
use crate::revocation::freshness::OnStale;
use crate::secret::{Credential, CredentialScheme, SecretSource};
use crate::time::Clock;
use crate::transport::Transport;

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
    /// Who transmits it, and which of its streams it is where that is configured.
    pub(crate) fn identity(&self) -> (&str, Option<&str>) {
        (&self.issuer, self.stream_id.as_deref())
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
            let what =
                "a stream identifier without a character: give the transmitter's, or leave it out";
            faults.push_at("stream_id", fault(what));
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
            owed: Owed::new(),
            reporting: tokio::sync::Mutex::default(),
            door,
            bodies: Semaphore::new(EventReceiver::MAX_BODIES),
            deliveries: Semaphore::new(EventReceiver::MAX_AT_ONCE),
            complained: AtomicU64::new(0),
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
                let what = "no URL, which only the metadata of `EventStream::discover` has: say it";
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
                    let what = "`authorization` and `signature_only` contradict each other: keep one";
                    faults.push_at("authorization", fault(what));
                }
                let empty = |value: &AuthorizationValue| match value {
                    AuthorizationValue::Known(secret) => secret.expose().is_empty(),
                    AuthorizationValue::At(_) => false,
                };
                if push.accepted.iter().any(empty) {
                    let what = "an empty secret: give the whole value that the transmitter shows";
                    faults.push_at("authorization", fault(what));
                }
                if let Some(asked) = &push.verification {
                    faults.at("verification", |faults| place(&asked.at, faults));
                    if self.stream_id.is_none() && !discovers {
                        let what = "a verification event is asked for by `stream_id`: say it, or use \
                                    `EventStream::discover`";
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
                    let what = format!(
                        "every {time:?}: not between 1 second and 24 hours: say one in between"
                    );
                    faults.push_at("every", fault(&what));
                }
                if !(1..=Poll::MAX_EVENTS).contains(&poll.max_events) {
                    let what = "number of events of one answer";
                    let (found, maximum) = (poll.max_events, Poll::MAX_EVENTS);
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
