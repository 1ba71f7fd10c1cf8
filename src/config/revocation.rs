//! Revocation: what is known of tokens that may be used no more, and from whom.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::events::EventsTable;
use super::feed::FeedTable;
use super::files::Files;
use super::issuer::wanted;
use super::secret::SecretRef;
use super::status_lists::StatusListsTable;
use super::value::{Count, Some1, Switch, Table, Time, WordOr};
use super::word::words;
use crate::error::{ConfigFault, Faults};
use crate::issuer::IssuerNames;
use crate::revocation::{
    Issuers, Journal, JournalError, JsonFeed, OnStale, Revocation, Setting, Source, SourceKind,
    WhenFull,
};
use crate::secret::SecretSource;
use crate::time::{Clock, SystemClock};

/// What is known of revocation, and from whom. An empty table is enough for what code revokes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Revocation"))]
pub(super) struct RevocationTable {
    /// The path of the file that keeps what was said, so that it is known again after a restart; it is
    /// begun where there is none. One server has it at a time.
    journal: Option<String>,
    /// What becomes of tokens when a source is older than its `max_age`, unless the source or the
    /// policy says otherwise; "deny" unless said otherwise.
    on_stale: Option<Stale>,
    /// Claims that records can name, beside those that every token has and those that events are mapped
    /// to: each a string, or an array of strings, at the top of the token.
    claims: Option<Some1<String>>,
    /// How many records are kept, 1 to 100000000; 1000000 unless said otherwise.
    max_records: Option<Count>,
    /// What becomes of records that there is no room for; "refuse" unless said otherwise.
    when_full: Option<WhenFullWord>,
    /// Looks at the status lists that tokens refer to: `true`, or how.
    status_lists: Option<Switch<StatusListsTable>>,
    /// Who says what is revoked.
    sources: Vec<Table<SourceTable>>,
}

/// Who says what is revoked, and of whose tokens. It is one of `events` and `feed`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Source", extend("required" = ["name", "speaks_for"])))]
struct SourceTable {
    /// Its name, in events, metric labels, health and journal: it is not changed lightly.
    name: Option<String>,
    /// The issuers of whose tokens it is believed.
    speaks_for: Option<Some1<String>>,
    /// How old what it knows may become, from "1s"; "1m" unless said otherwise.
    max_age: Option<Time>,
    /// What becomes of tokens when it is older; as the server's `on_stale` unless said otherwise.
    on_stale: Option<Stale>,
    /// It is a stream of security events (SSF, with the events of CAEP and RISC).
    events: Option<Table<EventsTable>>,
    /// It is a JSON document that is asked for again and again.
    feed: Option<Table<FeedTable>>,
}

/// What becomes of tokens when what is known is too old.
pub(super) type Stale = WordOr<StaleWord, AllowForTable>;

words! {
    /// What becomes of tokens when what is known is too old.
    StaleWord(OnStale):
        "deny" => OnStale::Deny,
        "insecure_unbounded" => OnStale::InsecureUnbounded,
}

/// They are accepted for a while.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "AllowFor", extend("required" = ["allow_for"])))]
pub(super) struct AllowForTable {
    /// As long as what is known is at most this old.
    allow_for: Option<Time>,
}

words! {
    /// What becomes of records that there is no room for.
    WhenFullWord(WhenFull):
        "refuse" => WhenFull::Refuse,
        "fold_cut_offs" => WhenFull::FoldCutOffs,
}

/// Settings that weaken what protects a source.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "DangerousOfSource"))]
pub(super) struct DangerousTable {
    /// Lets what is fetched be at `http` URLs of a loopback host.
    pub(super) insecure_loopback_http: bool,
}

/// What is shown as `Authorization` to whom is asked.
pub(super) enum Shown {
    Whole(SecretSource),
    Bearer(SecretSource),
}

/// What may be done about a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Journals {
    /// It is opened for a server, and begun where there is none.
    Opened,
    /// Nothing is built: it is looked at, and none is begun.
    LookedAt,
}

impl RevocationTable {
    /// What is known of revocation, but for the journal.
    pub(super) fn sources(&self, files: Files<'_>, faults: &mut Faults) -> Revocation {
        let mut revocation = Revocation::new();
        if let Some(stale) = &self.on_stale {
            revocation = revocation.on_stale(on_stale(stale, faults));
        }
        for claim in self.claims.iter().flat_map(|Some1(list)| list) {
            revocation = revocation.claim(claim);
        }
        if let Some(Count(records)) = self.max_records {
            revocation = revocation.max_records(records);
        }
        if let Some(WhenFullWord(when_full)) = self.when_full {
            revocation = revocation.when_full(when_full);
        }
        if let Some(Switch::On(lists)) = &self.status_lists {
            let lists = faults.at("status_lists", |faults| lists.status_lists(faults));
            revocation = revocation.status_lists(lists);
        }
        for (index, Table(source)) in self.sources.iter().enumerate() {
            let look = |faults: &mut Faults| source.source(files, faults);
            revocation = revocation.source(faults.at_element("sources", index, look));
        }
        revocation
    }

    /// The journal, if it was to be opened.
    pub(super) fn journal(
        &self,
        files: Files<'_>,
        journals: Journals,
        faults: &mut Faults,
    ) -> Option<Journal> {
        let path = self.journal.as_ref()?;
        faults.at("journal", |faults| journal(files, path, journals, faults))
    }

    /// Whether something is wrong with streams or feeds: the builder tells it of their source, and only
    /// here it is known whether the file says `events` or `feed`.
    pub(super) fn misplaces(&self, revocation: &Revocation) -> bool {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let names = IssuerNames { configured: &[], open: true };
        let setting = Setting {
            issuers: Issuers { names, without_iat: &[] },
            longest_life: Duration::from_hours(1),
            leeway: Duration::ZERO,
            transport: None,
            clock: &clock,
        };
        let mut found = Faults::new();
        let _ = revocation.prepare(&setting, &mut found);
        found.into_error().places().any(|(place, _)| self.place(place).is_some())
    }

    /// Where in a file, from this table on, a fault of a stream or a feed is that the builder tells of
    /// its source. `None`: it is none of these.
    pub(super) fn place(&self, place: &str) -> Option<String> {
        let (index, rest) = place.strip_prefix("sources[")?.split_once(']')?;
        let Table(source) = self.sources.get(index.parse::<usize>().ok()?)?;
        let kind = if source.events.is_some() { "events" } else { "feed" };
        let member = rest.strip_prefix('.').unwrap_or_default();
        let (member, within) = member.split_at(member.find(['.', '[']).unwrap_or(member.len()));
        match member {
            "name" | "speaks_for" | "max_age" | "on_stale" | "events" | "feed" => None,
            "" => Some(format!("sources[{index}].{kind}")),
            member => Some(format!("sources[{index}].{kind}.{member}{within}")),
        }
    }
}

impl SourceTable {
    fn source(&self, files: Files<'_>, faults: &mut Faults) -> Source {
        wanted("name", self.name.is_some(), faults);
        let events = self.events.as_ref();
        let events =
            events.map(|Table(table)| faults.at("events", |faults| table.stream(files, faults)));
        let feed = self.feed.as_ref();
        let feed = feed.map(|Table(table)| faults.at("feed", |faults| table.feed(files, faults)));
        let fault = |what: &str| ConfigFault::File(what.to_owned());
        let kind: SourceKind = match (events, feed) {
            (Some(stream), None) => stream.into(),
            (None, Some(feed)) => feed.into(),
            (Some(stream), Some(_)) => {
                faults.push_at(
                    "feed",
                    fault("`events` says already what it is: keep one of the two"),
                );
                stream.into()
            }
            (None, None) => {
                faults.push(fault("say what it is: `events = { ... }` or `feed = { ... }`"));
                // Good in itself, so that nothing follows from it.
                JsonFeed::over_tls("https://feed.invalid").into()
            }
        };
        let speaks_for = self.speaks_for.iter().flat_map(|Some1(list)| list);
        let mut source =
            Source::new(self.name.clone().unwrap_or_default(), kind).speaks_for(speaks_for);
        if let Some(Time(age)) = self.max_age {
            source = source.max_age(age);
        }
        match &self.on_stale {
            Some(stale) => source.on_stale(on_stale(stale, faults)),
            None => source,
        }
    }
}

/// The journal, if it could be opened and was to be; what is wrong is at the current place.
fn journal(
    files: Files<'_>,
    path: &str,
    journals: Journals,
    faults: &mut Faults,
) -> Option<Journal> {
    let path = files.path("the revocations", path, faults)?;
    let known = path.try_exists().unwrap_or(true);
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    let has_place = directory.is_none_or(Path::is_dir);
    // Where there is none, and none is begun, its directory is all that can be looked at.
    if journals == Journals::LookedAt && !known && has_place {
        return None;
    }
    match Journal::open(&path) {
        Ok(journal) => (journals == Journals::Opened).then_some(journal),
        // Whoever has it shows that it is good.
        Err(JournalError::Locked { .. }) if journals == Journals::LookedAt => None,
        Err(error) => {
            faults.push(ConfigFault::Revocation(format!("journal: {error}")));
            None
        }
    }
}

/// What becomes of tokens when what is known is too old; what is wrong is at `on_stale`.
pub(super) fn on_stale(stale: &Stale, faults: &mut Faults) -> OnStale {
    match stale {
        WordOr::Word(StaleWord(on_stale)) => *on_stale,
        WordOr::Table(AllowForTable { allow_for: Some(Time(time)) }) => OnStale::AllowFor(*time),
        WordOr::Table(AllowForTable { allow_for: None }) => {
            faults.at("on_stale", |faults| wanted("allow_for", false, faults));
            OnStale::Deny
        }
    }
}

/// What is shown to whom is asked: one of the two, or nothing. It has to be there now: that it is not
/// would show with the first question, when nobody looks.
pub(super) fn shown(
    authorization: &Option<SecretRef>,
    bearer: &Option<SecretRef>,
    files: Files<'_>,
    faults: &mut Faults,
) -> Option<Shown> {
    let mut read = |member: &str, secret: &SecretRef| {
        let source = secret.from(files.0);
        if let Err(error) = source.read() {
            faults.push_at(member, ConfigFault::Secret(error.to_string()));
        }
        source
    };
    let whole = authorization.as_ref().map(|secret| read("authorization", secret));
    let token = bearer.as_ref().map(|secret| read("bearer", secret));
    match (whole, token) {
        (Some(source), None) => Some(Shown::Whole(source)),
        (None, Some(source)) => Some(Shown::Bearer(source)),
        (Some(source), Some(_)) => {
            let fault = "`authorization` says already what is shown: keep one of the two";
            faults.push_at("bearer", ConfigFault::File(fault.to_owned()));
            Some(Shown::Whole(source))
        }
        (None, None) => None,
    }
}
