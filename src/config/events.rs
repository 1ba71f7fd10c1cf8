//! Streams of security events.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::files::{Files, KeyPlace, authority, key_place};
use super::revocation::{DangerousTable, Shown, shown};
use super::secret::{SecretRef, SecretRefs};
use super::value::{Count, Some1, Table, Time};
use super::word::{AlgorithmWord, words};
use crate::error::{ConfigFault, Faults};
use crate::revocation::{
    AssuranceAction, Claim, EventStream, Poll, Push, RiskAction, Subjects, Verification,
};

/// A stream of security events: who transmits it, how it comes, and what it is compared with. The
/// transmitter's metadata says where its keys are, unless `jwks_uri` or `keys` does.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "EventStream", extend("required" = ["id", "audience"])))]
pub(super) struct EventsTable {
    /// The transmitter's identifier, exactly as its events carry it in `iss`.
    id: Option<String>,
    /// Where its JWK Set is.
    jwks_uri: Option<String>,
    /// The path of a file with its JWK Set: nothing is fetched.
    keys: Option<String>,
    /// The algorithms that events may be signed with, preferred ones first.
    algorithms: Option<Some1<AlgorithmWord>>,
    /// Who this server is to the transmitter: values of `aud` of its events. It is not the audience of
    /// access tokens.
    audience: Option<Some1<String>>,
    /// The stream's identifier at the transmitter. Where metadata is read it can be left out if there
    /// is one stream only.
    stream_id: Option<String>,
    /// Events are sent to this server, to where its event receiver is mounted (RFC 8935).
    push: Option<Table<PushTable>>,
    /// Events are fetched (RFC 8936). An empty table is enough where metadata is read.
    poll: Option<Table<PollTable>>,
    /// Which claims of tokens say what the subjects of events say: by the format of a user's
    /// identifier ("email", "phone_number", "opaque", "account", "uri", "did") or by the name of a
    /// member of complex subjects ("device", "tenant", "session", "application", ...) the name of a
    /// claim; "client_id" is the client, whatever claim has it.
    subjects: BTreeMap<String, String>,
    /// The members of complex subjects without which an event must not be understood, beside those
    /// that metadata names.
    critical_subject_members: Option<Some1<String>>,
    /// What a high risk does; "refuse" unless said otherwise.
    on_high_risk: Option<RiskWord>,
    /// What it does when the assurance level has gone down; "step_up" unless said otherwise.
    on_assurance_decrease: Option<AssuranceWord>,
    /// The path of a PEM file with the certificates of a private authority: the transmitter is then
    /// asked with these as trust anchors, and no others.
    ca_file: Option<String>,
    /// Settings that weaken what protects the stream.
    dangerous: Option<Table<DangerousTable>>,
}

/// That events are sent to this server. One of `authorization` and `signature_only` is said.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Push"))]
struct PushTable {
    /// What the transmitter shows as `Authorization`, all of it: one of these.
    authorization: Option<SecretRefs>,
    /// Whether everybody is let in, for a transmitter that shows nothing.
    signature_only: bool,
    /// Asks the transmitter to prove that it would speak (SSF §8.1.4). An empty table is enough where
    /// metadata is read.
    verification: Option<Table<VerificationTable>>,
}

/// How verification events are asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Verification"))]
struct VerificationTable {
    /// The verification endpoint; that of the metadata unless said otherwise.
    url: Option<String>,
    /// What is shown as `Authorization`, all of it.
    authorization: Option<SecretRef>,
    /// What is shown as an access token.
    bearer: Option<SecretRef>,
}

/// How events are fetched.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Poll"))]
struct PollTable {
    /// The endpoint; that of the stream, as the transmitter's configuration endpoint says it, unless
    /// said otherwise.
    url: Option<String>,
    /// What is shown as `Authorization`, all of it.
    authorization: Option<SecretRef>,
    /// What is shown as an access token.
    bearer: Option<SecretRef>,
    /// How long after an answer it is asked again, "1s" to "24h"; a third of the source's `max_age`
    /// unless said otherwise.
    every: Option<Time>,
    /// Whether the transmitter answers when it has something to say, and is asked again at once.
    long_polling: bool,
    /// How many events one answer may have, 1 to 1000; 50 unless said otherwise.
    max_events: Option<Count>,
}

words! {
    /// What a high risk does.
    RiskWord(RiskAction):
        "refuse" => RiskAction::Refuse,
        "step_up" => RiskAction::StepUp,
        "ignore" => RiskAction::Ignore,
}

words! {
    /// What it does when the assurance level has gone down.
    AssuranceWord(AssuranceAction):
        "step_up" => AssuranceAction::StepUp,
        "refuse" => AssuranceAction::Refuse,
}

impl EventsTable {
    /// The stream. Where something is wrong it is there all the same.
    pub(super) fn stream(&self, files: Files<'_>, faults: &mut Faults) -> EventStream {
        let id = self.id.clone().unwrap_or_else(|| {
            let fault = "a transmitter without identifier: say `id = \"https://...\"`";
            faults.push_at("id", ConfigFault::File(fault.to_owned()));
            String::new()
        });
        let mut stream = match key_place(&self.jwks_uri, &self.keys, files, faults) {
            KeyPlace::Discovery => EventStream::discover(id),
            KeyPlace::Jwks(url) => EventStream::jwks(id, url),
            KeyPlace::Fixed(keys) => EventStream::fixed_keys(id, keys),
        };
        if let Some(Some1(algorithms)) = &self.algorithms {
            stream = stream.algorithms(algorithms.iter().map(|word| word.0));
        }
        for audience in self.audience.iter().flat_map(|Some1(list)| list) {
            stream = stream.audience(audience);
        }
        if let Some(stream_id) = &self.stream_id {
            stream = stream.stream_id(stream_id);
        }
        if let Some(Table(push)) = &self.push {
            stream = stream.push(faults.at("push", |faults| push.push(files, faults)));
        }
        if let Some(Table(poll)) = &self.poll {
            stream = stream.poll(faults.at("poll", |faults| poll.poll(files, faults)));
        }
        let subjects = self.subjects.iter();
        let subjects = subjects
            .fold(Subjects::new(), |subjects, (what, name)| subject(subjects, what, claim(name)));
        stream = stream.subjects(subjects);
        if let Some(Some1(members)) = &self.critical_subject_members {
            stream = stream.critical_subject_members(members);
        }
        if let Some(RiskWord(action)) = self.on_high_risk {
            stream = stream.on_high_risk(action);
        }
        if let Some(AssuranceWord(action)) = self.on_assurance_decrease {
            stream = stream.on_assurance_decrease(action);
        }
        if let Some(path) = &self.ca_file
            && let Some(transport) = authority(path, files, faults)
        {
            stream = stream.transport(transport);
        }
        match &self.dangerous {
            Some(Table(DangerousTable { insecure_loopback_http: true })) => {
                stream.dangerous().insecure_loopback_http()
            }
            _ => stream,
        }
    }
}

/// The claim of this name, or what it is to every token.
fn claim(name: &str) -> Claim {
    match name {
        "client_id" => Claim::Client,
        other => other.into(),
    }
}

/// A format of a user's identifier, or a member of a complex subject.
fn subject(subjects: Subjects, what: &str, claim: Claim) -> Subjects {
    match what {
        "email" => subjects.email(claim),
        "phone_number" => subjects.phone_number(claim),
        "opaque" => subjects.opaque(claim),
        "account" => subjects.account(claim),
        "uri" => subjects.uri(claim),
        "did" => subjects.did(claim),
        member => subjects.member(member, claim),
    }
}

impl PushTable {
    fn push(&self, files: Files<'_>, faults: &mut Faults) -> Push {
        let mut push = Push::new();
        let secrets = self.authorization.iter().flat_map(|SecretRefs(list)| list).enumerate();
        for (index, secret) in secrets {
            let source = secret.from(files.0);
            // One that is not there would show with the first event, when nobody looks.
            if let Err(error) = source.read() {
                let fault = ConfigFault::Secret(error.to_string());
                faults.at_element("authorization", index, |faults| faults.push(fault));
            }
            push = push.authorization(source);
        }
        if self.signature_only {
            push = push.signature_only();
        }
        match &self.verification {
            Some(Table(verification)) => {
                let look = |faults: &mut Faults| verification.verification(files, faults);
                push.verification(faults.at("verification", look))
            }
            None => push,
        }
    }
}

impl VerificationTable {
    fn verification(&self, files: Files<'_>, faults: &mut Faults) -> Verification {
        let verification = match &self.url {
            Some(url) => Verification::at(url),
            None => Verification::discovered(),
        };
        match shown(&self.authorization, &self.bearer, files, faults) {
            Some(Shown::Whole(source)) => verification.authorization(source),
            Some(Shown::Bearer(source)) => verification.bearer(source),
            None => verification,
        }
    }
}

impl PollTable {
    fn poll(&self, files: Files<'_>, faults: &mut Faults) -> Poll {
        let mut poll = match &self.url {
            Some(url) => Poll::at(url),
            None => Poll::discovered(),
        };
        match shown(&self.authorization, &self.bearer, files, faults) {
            Some(Shown::Whole(source)) => poll = poll.authorization(source),
            Some(Shown::Bearer(source)) => poll = poll.bearer(source),
            None => {}
        }
        if self.every.is_some() && self.long_polling {
            let fault = "`every` says already when it is asked: keep one of the two";
            faults.push_at("long_polling", ConfigFault::File(fault.to_owned()));
        } else if self.long_polling {
            poll = poll.long_polling();
        }
        if let Some(Time(time)) = self.every {
            poll = poll.every(time);
        }
        match self.max_events {
            Some(Count(events)) => poll.max_events(events),
            None => poll,
        }
    }
}
