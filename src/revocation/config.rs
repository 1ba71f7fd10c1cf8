//! What a server is told of its sources of revocation.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::events::EventStream;
use super::feed::JsonFeed;
use super::freshness::OnStale;
use super::journal::Journal;
use super::source::RevocationSource;
use super::status_list::StatusLists;
use crate::error::{ConfigFault, Faults, key};
use crate::issuer::IssuerNames;
use crate::time::{AGES, shown_duration};

/// What a server knows of revocation, and from whom: see [`crate::ServerBuilder::revocation`].
///
/// ```
/// use std::time::Duration;
/// use portcullis::revocation::{JsonFeed, OnStale, Revocation, Source, StatusLists};
///
/// let revocation = Revocation::new()
///     .status_lists(StatusLists::new())
///     .source(
///         Source::new("feed", JsonFeed::over_tls("https://login.example.com/revocations.json"))
///             .speaks_for(["https://login.example.com"])
///             .max_age(Duration::from_secs(30))
///             .on_stale(OnStale::AllowFor(Duration::from_mins(10))),
///     );
/// # let _ = revocation;
/// ```
#[derive(Clone, Default)]
#[must_use = "it does nothing until it is given to `ResourceServer::builder(...).revocation`"]
pub struct Revocation {
    pub(super) sources: Vec<Source>,
    pub(super) lists: Option<StatusLists>,
    pub(super) journal: Option<Arc<Journal>>,
    pub(super) on_stale: OnStale,
    pub(super) claims: Vec<String>,
    pub(super) most: Option<usize>,
    pub(super) when_full: WhenFull,
}

/// What becomes of records that there is no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum WhenFull {
    /// They are not taken, and not acknowledged; their source counts as failing, and grows stale.
    /// Nothing that still matters is dropped.
    #[default]
    Refuse,
    /// The older half of the cut-offs of the issuer with the most of them, and the one after it, become one
    /// cut-off for the whole issuer: every token of it that was issued before that time is refused, also of people whom
    /// no record named. It logs out many at once. A source has only those of the issuers folded that it speaks for.
    ///
    /// Where that makes no room, it is as with [`Self::Refuse`]: where no issuer has cut-offs that would become
    /// fewer, since single tokens and holds take the room, or what comes is more than folding can make room for. Then
    /// nothing is folded.
    FoldCutOffs,
}

impl WhenFull {
    /// A short name in snake case, as configuration files have it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::FoldCutOffs => "fold_cut_offs",
        }
    }
}

impl Revocation {
    /// The most records that are kept unless said otherwise. A million revoked tokens take some 27 MB.
    pub const DEFAULT_RECORDS: usize = 1_000_000;
    /// The largest value of [`Self::max_records`].
    pub const MAX_RECORDS: usize = 100_000_000;
    /// The most claims that records can name beside those that every token has.
    const MOST_CLAIMS: usize = 16;
    const MOST_SOURCES: usize = 64;

    /// No source but this process itself: see [`super::Revocations::revoke`].
    pub fn new() -> Self {
        Self::default()
    }

    /// A further source.
    pub fn source(mut self, source: Source) -> Self {
        self.sources.push(source);
        self
    }

    /// Looks at the status lists that tokens refer to (Token Status List §6).
    pub fn status_lists(mut self, lists: StatusLists) -> Self {
        self.lists = Some(lists);
        self
    }

    /// Keeps what was said on disk: what was acknowledged is known again after a restart, before the
    /// first request. Without a journal the server starts knowing nothing, and with sources that have
    /// a maximum age it answers 503 until each has said what it knows.
    pub fn journal(mut self, journal: Journal) -> Self {
        self.journal = Some(Arc::new(journal));
        self
    }

    /// What becomes of tokens when a source is older than its maximum age, unless the source or the
    /// policy says otherwise.
    pub fn on_stale(mut self, on_stale: OnStale) -> Self {
        self.on_stale = on_stale;
        self
    }

    /// Lets records name this claim ([`super::Claim::Named`]): a string, or an array of strings, at the
    /// top of the token. What an event stream maps to claims is known without it.
    pub fn claim(mut self, name: impl Into<String>) -> Self {
        self.claims.push(name.into());
        self
    }

    /// How many records are kept at most; [`Self::DEFAULT_RECORDS`] unless said otherwise.
    pub fn max_records(mut self, records: usize) -> Self {
        self.most = Some(records);
        self
    }

    /// What becomes of records that there is no room for.
    pub fn when_full(mut self, when_full: WhenFull) -> Self {
        self.when_full = when_full;
        self
    }

    /// What is configured, in the words of a configuration file.
    pub(super) fn report(&self) -> Value {
        let sources: Vec<_> =
            self.sources.iter().map(|source| source.report(self.on_stale)).collect();
        let mut report = json!({
            "sources": sources,
            "on_stale": self.on_stale.report(),
            // Those that streams map events to stand in their `subjects`.
            "claims": self.claims,
            "max_records": self.most(),
            "when_full": self.when_full.as_str(),
        });
        if let Some(members) = report.as_object_mut() {
            if let Some(lists) = self.own_lists() {
                members.insert("status_lists".to_owned(), lists.report());
            }
            if let Some(journal) = &self.journal {
                members.insert("journal".to_owned(), journal.path().display().to_string().into());
            }
        }
        report
    }

    /// The status lists, with what is said here for what they do not say.
    pub(super) fn own_lists(&self) -> Option<StatusLists> {
        Some(self.lists.clone()?.or_on_stale(self.on_stale))
    }

    pub(super) fn most(&self) -> usize {
        self.most.unwrap_or(Self::DEFAULT_RECORDS)
    }

    /// The claims that records can name beside those that every token has.
    pub(super) fn named_claims(&self) -> Vec<Box<str>> {
        let own = self.claims.iter().map(|name| name.as_str().into());
        let mapped = self.sources.iter().flat_map(|source| source.kind.claims());
        let all: BTreeSet<Box<str>> = own.chain(mapped).collect();
        all.into_iter().collect()
    }

    /// Whether anybody but this process says what is revoked.
    pub(crate) fn has_source(&self) -> bool {
        self.lists.is_some() || !self.sources.is_empty()
    }

    pub(crate) fn needs_transport(&self) -> bool {
        self.lists.is_some() || self.sources.iter().any(|source| source.kind.needs_transport())
    }

    /// Everything but what the sources themselves find.
    pub(super) fn check(&self, issuers: &Issuers<'_>, faults: &mut Faults) {
        if !(1..=Self::MAX_RECORDS).contains(&self.most()) {
            let fault = ConfigFault::Bound {
                what: "largest number of revocation records",
                found: self.most(),
                maximum: Self::MAX_RECORDS,
            };
            faults.push_at("max_records", fault);
        }
        if self.sources.len() > Self::MOST_SOURCES {
            let fault = ConfigFault::Bound {
                what: "number of revocation sources",
                found: self.sources.len(),
                maximum: Self::MOST_SOURCES,
            };
            faults.push_at("sources", fault);
        }
        let named = self.named_claims().len();
        if named > Self::MOST_CLAIMS {
            let fault = ConfigFault::Bound {
                what: "number of claims that records can name",
                found: named,
                maximum: Self::MOST_CLAIMS,
            };
            faults.push_at("claims", fault);
        }
        for (index, name) in self.claims.iter().enumerate() {
            let what = match name.as_str() {
                "" => "a claim without a name: say which",
                "iss" | "sub" | "sid" | "jti" | "client_id" => {
                    "it is always looked at: leave it out"
                }
                _ => continue,
            };
            let fault = ConfigFault::Revocation(format!("claim {}: {what}", key(name)));
            faults.at_element("claims", index, |faults| faults.push(fault));
        }
        for (index, source) in self.sources.iter().enumerate() {
            let others = self.sources.get(..index).unwrap_or_default();
            faults.at_element("sources", index, |faults| source.check(others, issuers, faults));
        }
        if let OnStale::AllowFor(time) = self.on_stale
            && !AGES.contains(&time)
        {
            let what = format!(
                "on_stale: {time:?} is not between 1 second and 366 days: say one in between"
            );
            faults.push_at("on_stale", ConfigFault::Revocation(what));
        }
    }
}

impl fmt::Debug for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocation")
            .field("sources", &self.sources)
            .field("status_lists", &self.lists.is_some())
            .field("journal", &self.journal)
            .field("on_stale", &self.on_stale)
            .finish_non_exhaustive()
    }
}

/// Which issuers there are.
#[derive(Clone, Copy, Default)]
pub(crate) struct Issuers<'a> {
    pub(crate) names: IssuerNames<'a>,
    /// Those whose tokens need not say when they were issued.
    pub(crate) without_iat: &'a [String],
}

/// A source of revocation, whose tokens it speaks for, and how old what it knows may become.
#[derive(Clone)]
#[must_use = "a source does nothing until it is given to `Revocation::source`"]
pub struct Source {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) speaks_for: Vec<String>,
    pub(super) max_age: Option<Duration>,
    pub(super) on_stale: Option<OnStale>,
}

/// What a source is.
#[derive(Clone)]
pub(super) enum Kind {
    Events(Arc<EventStream>),
    Feed(Arc<JsonFeed>),
    Own(Arc<dyn RevocationSource>),
}

impl Kind {
    fn claims(&self) -> Vec<Box<str>> {
        match self {
            Self::Events(stream) => stream.claims(),
            Self::Feed(_) | Self::Own(_) => Vec::new(),
        }
    }

    fn needs_transport(&self) -> bool {
        match self {
            Self::Events(stream) => stream.needs_transport(),
            Self::Feed(feed) => feed.needs_transport(),
            Self::Own(_) => false,
        }
    }

    pub(super) const fn as_str(&self) -> &'static str {
        match self {
            Self::Events(_) => "events",
            Self::Feed(_) => "feed",
            Self::Own(_) => "own",
        }
    }

    /// What it is to a journal: where it is, not how it is asked. Each member has its place, and an absent
    /// one is `null`. Journals of before know sources by this: it never changes.
    pub(super) fn identity(&self) -> [Value; 4] {
        const ABSENT: Value = Value::Null;
        match self {
            Self::Feed(feed) => {
                let (url, signed_by) = feed.identity();
                let signed_by = signed_by.map(|id| json!({ "id": id }));
                [url.into(), signed_by.unwrap_or(ABSENT), ABSENT, ABSENT]
            }
            Self::Events(stream) => {
                let (transmitter, stream_id) = stream.identity();
                [ABSENT, ABSENT, transmitter.into(), stream_id.into()]
            }
            Self::Own(_) => [ABSENT; 4],
        }
    }
}

/// What a [`Source`] can be: made of an [`EventStream`] or a [`JsonFeed`].
#[derive(Clone)]
pub struct SourceKind(Kind);

impl From<EventStream> for SourceKind {
    fn from(stream: EventStream) -> Self {
        Self(Kind::Events(Arc::new(stream)))
    }
}

impl From<JsonFeed> for SourceKind {
    fn from(feed: JsonFeed) -> Self {
        Self(Kind::Feed(Arc::new(feed)))
    }
}

impl fmt::Debug for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SourceKind").field(&self.0.as_str()).finish()
    }
}

impl Source {
    /// How old what a source knows may become unless said otherwise.
    pub const MAX_AGE: Duration = Duration::from_mins(1);

    /// A source of this name, which stands in events, metric labels, health and journal: it is not
    /// changed lightly.
    pub fn new(name: impl Into<String>, source: impl Into<SourceKind>) -> Self {
        Self::of(name.into(), source.into().0)
    }

    /// A source of your own.
    pub fn own(name: impl Into<String>, source: impl RevocationSource) -> Self {
        Self::of(name.into(), Kind::Own(Arc::new(source)))
    }

    fn of(name: String, kind: Kind) -> Self {
        Self { name, kind, speaks_for: Vec::new(), max_age: None, on_stale: None }
    }

    /// The token issuers that it speaks for; mandatory. What it says about others has no effect and is
    /// counted.
    pub fn speaks_for<T: Into<String>>(mut self, issuers: impl IntoIterator<Item = T>) -> Self {
        self.speaks_for.extend(issuers.into_iter().map(Into::into));
        self
    }

    /// How old what it knows may become, from 1 second; a minute unless said otherwise. Whoever is
    /// revoked is refused within this time and the time that the source itself takes.
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = Some(max_age);
        self
    }

    /// What becomes of tokens when it is older than that; as [`Revocation::on_stale`] says unless
    /// said here.
    pub fn on_stale(mut self, on_stale: OnStale) -> Self {
        self.on_stale = Some(on_stale);
        self
    }

    pub(super) fn report(&self, server: OnStale) -> Value {
        let mut report = json!({
            "name": self.name,
            "speaks_for": self.speaks_for,
            "max_age": shown_duration(self.most_age()),
            "on_stale": self.on_stale.unwrap_or(server).report(),
        });
        let kind = match &self.kind {
            Kind::Events(stream) => stream.report(),
            Kind::Feed(feed) => feed.report(),
            Kind::Own(_) => true.into(),
        };
        if let Some(members) = report.as_object_mut() {
            members.insert(self.kind.as_str().to_owned(), kind);
        }
        report
    }

    pub(super) fn most_age(&self) -> Duration {
        self.max_age.unwrap_or(Self::MAX_AGE)
    }

    fn check(&self, others: &[Self], issuers: &Issuers<'_>, faults: &mut Faults) {
        let fault =
            |what: String| ConfigFault::Revocation(format!("source {}: {what}", key(&self.name)));
        let taken = match &*self.name {
            "" => Some("a source needs a name of its own: say it"),
            super::LOCAL => Some("`local` is this process: take another name"),
            super::status_list::SOURCE => {
                Some("`status_lists` are the status lists: take another name")
            }
            _ => None,
        };
        if let Some(what) = taken {
            faults.push_at("name", fault(what.to_owned()));
        }
        if others.iter().any(|other| other.name == self.name) {
            faults.push_at(
                "name",
                fault("another source has this name: give each its own".to_owned()),
            );
        }
        if self.speaks_for.is_empty() {
            let what = "say with `speaks_for` about whose tokens it is believed".to_owned();
            faults.push_at("speaks_for", fault(what));
        }
        for (index, issuer) in self.speaks_for.iter().enumerate() {
            if let Some(what) = issuers.names.fault(issuer) {
                faults.at_element("speaks_for", index, |faults| faults.push(fault(what)));
            } else if issuers.without_iat.contains(issuer) {
                let what = format!(
                    "tokens of {issuer:?} need not say when they were issued (`iat`), and a source \
                     tells of times: every one of them would be refused as soon as a record is \
                     about it; do not let `iat` go"
                );
                faults.at_element("speaks_for", index, |faults| faults.push(fault(what)));
            }
        }
        let ages = [
            ("max_age", self.max_age),
            (
                "on_stale",
                match self.on_stale {
                    Some(OnStale::AllowFor(time)) => Some(time),
                    _ => None,
                },
            ),
        ];
        for (member, age) in ages {
            if let Some(age) = age.filter(|age| !AGES.contains(age)) {
                let what =
                    format!("{age:?} is not between 1 second and 366 days: say one in between");
                faults.push_at(member, fault(what));
            }
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("name", &self.name)
            .field("kind", &self.kind.as_str())
            .field("speaks_for", &self.speaks_for)
            .field("max_age", &self.most_age())
            .field("on_stale", &self.on_stale)
            .finish()
    }
}
