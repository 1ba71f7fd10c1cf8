use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::access::Facts;
use crate::error::{ConfigFault, Faults};
use crate::issuer::IssuerNames;
use crate::observe::Ending;
use crate::sender::Networks;
use crate::time::{AGES, Timestamp, shown_duration};

/// Lets clients that cannot bind their tokens use plain bearer tokens, for a while and for a
/// reason.
///
/// It lowers what the *server* wants of a sender ([`crate::ServerBuilder::binding`]) for these
/// clients, and nothing else: what a token class or a route wants stays, and a token that is bound
/// is never taken as a bearer token. It ends at 24:00 UTC of its last day, by itself; the log warns
/// from 30 days before.
///
/// ```
/// use std::time::Duration;
/// use portcullis::Exception;
///
/// let exception = Exception::for_clients(["partner-x"])
///     .until("2027-03-31")
///     .because("cannot do DPoP; ticket SEC-112")
///     .at_most(Duration::from_mins(5))
///     .from_networks(["203.0.113.0/24"]);
/// # let _ = exception;
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use = "an exception does nothing until it is given to `ResourceServer::builder(...).exception`"]
pub struct Exception {
    clients: Vec<String>,
    issuer: Option<String>,
    until: Option<String>,
    because: String,
    at_most: Option<Duration>,
    networks: Vec<String>,
}

impl Exception {
    /// For these clients. Say next until when, and why.
    pub fn for_clients<T: Into<String>>(clients: impl IntoIterator<Item = T>) -> Self {
        Self {
            clients: clients.into_iter().map(Into::into).collect(),
            issuer: None,
            until: None,
            because: String::new(),
            at_most: None,
            networks: Vec::new(),
        }
    }

    /// Clients of this issuer. Mandatory where a server has more than one: somebody else's client
    /// of the same name is not meant.
    pub fn of_issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Its last day, `YYYY-MM-DD`: it ends at 24:00 UTC. At most a year after the server is built.
    pub fn until(mut self, day: impl Into<String>) -> Self {
        self.until = Some(day.into());
        self
    }

    /// Why, for whoever reads the log or the effective policy. Each exception has a reason of its
    /// own, which is also its name.
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.because = reason.into();
        self
    }

    /// Only tokens that live at most this long.
    pub fn at_most(mut self, max_lifetime: Duration) -> Self {
        self.at_most = Some(max_lifetime);
        self
    }

    /// Only requests from one of these networks, in CIDR notation, by [`crate::PeerAddr`]. Where
    /// the address is unknown the exception does not apply.
    pub fn from_networks<T: Into<String>>(mut self, networks: impl IntoIterator<Item = T>) -> Self {
        self.networks.extend(networks.into_iter().map(Into::into));
        self
    }
}

/// An exception without faults.
#[derive(Debug)]
pub(crate) struct CheckedException {
    clients: Vec<String>,
    issuer: Option<String>,
    last_day: String,
    until: Timestamp,
    because: Arc<str>,
    at_most: Option<Duration>,
    networks: Option<Networks>,
}

impl CheckedException {
    /// How far ahead an exception may end.
    const LONGEST: Duration = *AGES.end();
    /// More exceptions than that are a rule.
    pub(crate) const MOST: usize = 64;
    /// Each name is compared with each token that lacks a binding.
    const MOST_CLIENTS: usize = 1_000;

    pub(crate) fn check(
        exception: &Exception,
        others: &[Exception],
        issuers: &IssuerNames<'_>,
        now: Timestamp,
        faults: &mut Faults,
    ) -> Option<Self> {
        let before = faults.len();
        let clients = match exception.clients.as_slice() {
            [] => "no client".to_owned(),
            some => some.join(", "),
        };
        let fault = |what: String| ConfigFault::Exception { clients: clients.clone(), what };
        if exception.clients.is_empty() || exception.clients.iter().any(String::is_empty) {
            faults.push_at("clients", fault("name at least one client, none of them empty".into()));
        }
        if exception.clients.len() > Self::MOST_CLIENTS {
            let what = format!(
                "{} clients, and more than {} are no exception: set `.binding(...)` otherwise",
                exception.clients.len(),
                Self::MOST_CLIENTS
            );
            faults.push_at("clients", fault(what));
        }
        match &exception.issuer {
            Some(issuer) => {
                if let Some(what) = issuers.fault(issuer) {
                    faults.push_at("of_issuer", fault(what));
                }
            }
            None if !issuers.is_one() => {
                let what = "the server has more than one issuer: say `of_issuer`";
                faults.push_at("of_issuer", fault(what.into()));
            }
            None => {}
        }
        if exception.because.trim().is_empty() {
            faults.push_at(
                "because",
                fault("say `because(...)`: why, and where it is tracked".into()),
            );
        } else if others.iter().any(|other| other.because == exception.because) {
            faults.push_at(
                "because",
                fault("another exception has this very reason: give each its own".into()),
            );
        }
        let until = exception.until.as_deref().and_then(Timestamp::end_of_day);
        match (&exception.until, until) {
            (None, _) => faults.push_at("until", fault("say `until(\"YYYY-MM-DD\")`".into())),
            (Some(day), None) => {
                faults.push_at(
                    "until",
                    fault(format!("{day:?} is not a day, which is written `YYYY-MM-DD`")),
                );
            }
            (Some(day), Some(until)) if until > now.plus(Self::LONGEST) => {
                faults.push_at(
                    "until",
                    fault(format!("{day} is more than a year ahead: say an earlier day")),
                );
            }
            _ => {}
        }
        if exception.at_most.is_some_and(|time| time.is_zero()) {
            faults.push_at(
                "at_most",
                fault(
                    "a maximum lifetime of nothing: say at least a second, or leave it out".into(),
                ),
            );
        }
        let networks = match exception.networks.as_slice() {
            [] => None,
            networks => match Networks::parse(networks) {
                Ok(networks) => Some(networks),
                Err(error) => {
                    faults.push_at("from_networks", error);
                    None
                }
            },
        };
        if faults.len() > before {
            return None;
        }
        Some(Self {
            clients: exception.clients.clone(),
            issuer: exception.issuer.clone(),
            last_day: exception.until.clone()?,
            until: until?,
            because: exception.because.as_str().into(),
            at_most: exception.at_most,
            networks,
        })
    }

    /// Whether it is for the client of this token.
    pub(crate) fn is_for(&self, facts: &Facts) -> bool {
        let client = facts.client_id.as_ref();
        client.is_some_and(|client| self.clients.iter().any(|name| client == name.as_str()))
            && self.issuer.as_ref().is_none_or(|issuer| *facts.issuer == **issuer)
    }

    /// What keeps it from letting an unbound token of its client pass, now and from there.
    pub(crate) fn obstacle(
        &self,
        lifetime: Duration,
        peer: Option<IpAddr>,
        now: Timestamp,
    ) -> Option<&'static str> {
        let elsewhere = |networks: &Networks| match peer {
            None => Some("the peer's address is unknown"),
            Some(peer) if !networks.hold(peer) => Some("the peer is in none of its networks"),
            Some(_) => None,
        };
        if now >= self.until {
            Some("it has ended")
        } else if self.at_most.is_some_and(|most| lifetime > most) {
            Some("the token lives longer than it allows")
        } else {
            self.networks.as_ref().and_then(elsewhere)
        }
    }

    pub(crate) fn reason(&self) -> &Arc<str> {
        &self.because
    }

    pub(crate) fn ending(&self) -> Ending {
        Ending { reason: Arc::clone(&self.because), until: self.until }
    }

    /// What it says, for a report.
    pub(crate) fn report(&self, now: Timestamp) -> serde_json::Value {
        let ending = self.ending();
        let status = ending.status(now);
        let mut report = serde_json::json!({
            "clients": self.clients,
            "until": self.last_day,
            "because": &*self.because,
            "days_left": status.days_left,
            "ended": status.ended,
        });
        if let Some(report) = report.as_object_mut() {
            if let Some(issuer) = &self.issuer {
                report.insert("of_issuer".to_owned(), issuer.as_str().into());
            }
            if let Some(most) = self.at_most {
                report.insert("at_most".to_owned(), shown_duration(most).into());
            }
            if let Some(networks) = &self.networks {
                report.insert(
                    "from_networks".to_owned(),
                    networks.texts().collect::<Vec<_>>().into(),
                );
            }
        }
        report
    }
}
