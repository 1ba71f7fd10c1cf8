use std::collections::HashMap;
use std::fmt;

use super::entry::{self, List};
use super::shape;
use crate::jose::json::{JsonError, Object, Value};
use crate::revocation::record::{Claim, Effect, Record, Target};
use crate::time::Timestamp;

/// Why bytes are not the document of a feed. Nothing of it counts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// Not one JSON object, or a member twice: see [`crate::jose::json`].
    #[error("the document is {0}")]
    Json(#[from] JsonError),
    /// An object has very many members.
    #[error("an object has more than {most} members")]
    #[non_exhaustive]
    Members {
        /// The most that it may have.
        most: usize,
    },
    /// A member of the document is absent.
    #[error("the document has no `{0}`")]
    Missing(&'static str),
    /// A member of the document is not what it has to be.
    #[error("`{member}` of the document is not {wanted}")]
    #[non_exhaustive]
    Malformed {
        /// The member.
        member: &'static str,
        /// What it has to be.
        wanted: &'static str,
    },
    /// A record that cannot be understood.
    #[error("{list}[{index}]: {what}")]
    #[non_exhaustive]
    Record {
        /// Which list it is in.
        list: &'static str,
        /// Its place in the list.
        index: usize,
        /// What is wrong. It names no token and nobody.
        what: String,
    },
    /// More elements than are taken.
    #[error("more than {most} records")]
    #[non_exhaustive]
    TooMany {
        /// The most that are taken.
        most: usize,
    },
    /// Another number of records than the document says: a part of it is missing.
    #[error("{found} records, and `count` says {said}: a part is missing")]
    #[non_exhaustive]
    Count {
        /// What the document says.
        said: u64,
        /// How many there are.
        found: usize,
    },
}

/// One document of a feed, read strictly. A publisher can try its own documents with it.
///
/// ```
/// use portcullis::revocation::{FeedDocument, FeedError};
///
/// let document = br#"{
///     "feed": "urn:example:revocations", "sequence": 42, "issued_at": 1800000000, "count": 1,
///     "records": [{ "jti": "b4f1c0", "at": 1799999990, "exp": 1800000900 }]
/// }"#;
/// let read = FeedDocument::parse(document, Some("https://login.example.com"))?;
/// assert_eq!(read.sequence(), 42);
/// assert_eq!(read.records().len(), 1);
///
/// // A part that is missing, a member that is not known: nothing of it counts.
/// let cut = String::from_utf8_lossy(document).replace("\"count\": 1", "\"count\": 2");
/// let wrong = FeedDocument::parse(cut.as_bytes(), Some("https://login.example.com"));
/// assert!(matches!(wrong, Err(FeedError::Count { .. })));
/// let odd = String::from_utf8_lossy(document).replace("\"jti\"", "\"token\"");
/// let wrong = FeedDocument::parse(odd.as_bytes(), Some("https://login.example.com"));
/// assert!(matches!(wrong, Err(FeedError::Record { .. })));
/// # Ok::<(), FeedError>(())
/// ```
///
#[doc = include_str!("format.md")]
#[derive(Clone)]
pub struct FeedDocument {
    feed: Box<str>,
    sequence: u64,
    since: Option<u64>,
    issued_at: Timestamp,
    expires_at: Option<Timestamp>,
    records: Vec<Record>,
    signed: Option<Signed>,
}

/// What a signed document says beside.
#[derive(Clone)]
pub(super) struct Signed {
    pub(super) issuer: Box<str>,
    pub(super) issued_at: Timestamp,
}

/// How a document is read.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    /// The issuer of records that name none.
    pub(super) issuer: Option<&'a str>,
    pub(super) most_records: usize,
    /// Whether it is the payload of a JWS.
    pub(super) form: Form,
}

/// How a feed is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Plain,
    Signed,
}

impl FeedDocument {
    /// The largest number that every reader of JSON reads exactly (RFC 8259 §6).
    pub const MAX_SEQUENCE: u64 = (1 << 53) - 1;
    /// The most records that are taken unless [`super::JsonFeed::max_records`] says otherwise.
    pub const MAX_RECORDS: usize = 1_000_000;
    const LONGEST_ID: usize = 2_048;
    /// How far the clocks of one publisher may differ.
    const SKEW: std::time::Duration = std::time::Duration::from_mins(1);

    /// Reads a document. `issuer` is that of records that name none.
    ///
    /// # Errors
    /// See [`FeedError`].
    pub fn parse(bytes: &[u8], issuer: Option<&str>) -> Result<Self, FeedError> {
        let (most_records, form) = (Self::MAX_RECORDS, Form::Plain);
        Self::read(bytes, Reading { issuer, most_records, form })
    }

    pub(super) fn read(bytes: &[u8], reading: Reading<'_>) -> Result<Self, FeedError> {
        shape::bounded(bytes)?;
        let object = Object::parse(bytes)?;
        let required = |name| object.member(name).ok_or(FeedError::Missing(name));
        let feed = uri(required("feed")?).ok_or(FeedError::Malformed {
            member: "feed",
            wanted: "a URI of at most 2048 characters",
        })?;
        let sequence = number("sequence", required("sequence")?)?;
        let since = object.member("since").map(|value| number("since", value)).transpose()?;
        if since.is_some_and(|since| since > sequence) {
            return Err(FeedError::Malformed { member: "since", wanted: "`sequence` or less" });
        }
        let issued_at = time("issued_at", required("issued_at")?)?;
        let expires_at = object.member("exp").map(|value| time("exp", value)).transpose()?;
        let signed = match reading.form {
            Form::Plain => None,
            Form::Signed => Some(Signed {
                issuer: required("iss")?
                    .as_str()
                    .map(Into::into)
                    .ok_or(FeedError::Malformed { member: "iss", wanted: "a string" })?,
                issued_at: time("iat", required("iat")?)?,
            }),
        };
        let count = number("count", required("count")?)?;
        let mut records = Vec::new();
        let mut add = |list: List, value: Value<'_>| -> Result<usize, FeedError> {
            let wanted = FeedError::Malformed { member: list.as_str(), wanted: "an array" };
            let before = records.len();
            for (index, text) in shape::elements(value.text()).ok_or(wanted)?.enumerate() {
                let wrong = |what| FeedError::Record { list: list.as_str(), index, what };
                if records.len() >= reading.most_records {
                    return Err(FeedError::TooMany { most: reading.most_records });
                }
                let record = entry::read(text, list, reading.issuer).map_err(wrong)?;
                // What is taken back in the future would hide what is revoked until then.
                if record.at() > issued_at.plus(Self::SKEW) {
                    return Err(wrong("`at` is later than `issued_at` of the document".into()));
                }
                records.push(record);
            }
            Ok(records.len().saturating_sub(before))
        };
        let found = add(List::Records, required("records")?)?;
        if let Some(removed) = object.member("removed") {
            add(List::Removed, removed)?;
            settle(&mut records);
        }
        if u64::try_from(found) != Ok(count) {
            return Err(FeedError::Count { said: count, found });
        }
        Ok(Self { feed, sequence, since, issued_at, expires_at, records, signed })
    }

    /// Which feed it is of: `feed`.
    #[must_use]
    pub fn feed(&self) -> &str {
        &self.feed
    }

    /// Its number: `sequence`.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Of a delta: after which number what it tells happened.
    #[must_use]
    pub fn since(&self) -> Option<u64> {
        self.since
    }

    /// When it was made.
    #[must_use]
    pub fn issued_at(&self) -> Timestamp {
        self.issued_at
    }

    /// From when on it is not to be believed: `exp`.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }

    /// What it says; what is `removed` as [`Effect::Lift`]. Of a token that is listed and removed there is
    /// only what happened last.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    pub(super) fn signed(&self) -> Option<&Signed> {
        self.signed.as_ref()
    }

    pub(super) fn into_records(self) -> Vec<Record> {
        self.records
    }

    /// Whether another configuration of this server would make more of its records than this one: of
    /// issuers that the source does not speak for, or of claims that have to be named.
    pub(super) fn depends_on_configuration(&self, speaks_for: &[Box<str>]) -> bool {
        self.records.iter().any(|record| {
            let foreign = !speaks_for.iter().any(|issuer| **issuer == *record.issuer_id());
            let named = match record.target() {
                Target::Claims(claims) => {
                    claims.iter().any(|(claim, _)| matches!(claim, Claim::Named(_)))
                }
                _ => false,
            };
            foreign || named
        })
    }
}

impl fmt::Debug for FeedDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FeedDocument")
            .field("feed", &self.feed)
            .field("sequence", &self.sequence)
            .field("since", &self.since)
            .field("records", &self.records.len())
            .finish_non_exhaustive()
    }
}

/// Brings records into the order in which they happened; of what happened at once, what was taken back
/// comes last. Of one token only that stays which counts in the end: there is no moment in which it was
/// taken back already, and not yet said again.
fn settle(records: &mut Vec<Record>) {
    let about = |record: &Record| (Box::<str>::from(record.issuer_id()), record.target().clone());
    let lifts = |record: &Record| record.effect() == Effect::Lift;
    records.sort_by_key(|record| (record.at(), lifts(record)));
    let of_token = |record: &&Record| matches!(record.target(), Target::Token(_)) && lifts(record);
    let mut last: HashMap<_, _> =
        records.iter().filter(of_token).map(|record| (about(record), true)).collect();
    if last.is_empty() {
        return;
    }
    for record in &*records {
        if let Some(lifted) = last.get_mut(&about(record)) {
            *lifted = lifts(record);
        }
    }
    records.retain(|record| last.get(&about(record)).is_none_or(|lifted| *lifted == lifts(record)));
}

/// A name with a scheme (RFC 3986 §3), of characters that are seen.
pub(super) fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let of_scheme = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(of_scheme)
        && !rest.is_empty()
        && rest.bytes().all(|byte| byte.is_ascii_graphic())
        && text.len() <= FeedDocument::LONGEST_ID
}

fn uri(value: Value<'_>) -> Option<Box<str>> {
    value.as_str().filter(|text| is_uri(text)).map(Into::into)
}

fn number(member: &'static str, value: Value<'_>) -> Result<u64, FeedError> {
    let wanted = "a whole number between 0 and 2^53 - 1";
    let digits = value.as_number().and_then(|text| text.parse().ok());
    digits
        .filter(|number| *number <= FeedDocument::MAX_SEQUENCE)
        .ok_or(FeedError::Malformed { member, wanted })
}

fn time(member: &'static str, value: Value<'_>) -> Result<Timestamp, FeedError> {
    let wanted = "a NumericDate between the years 1970 and 9999";
    let time = value.as_number().and_then(Timestamp::from_json_number);
    time.ok_or(FeedError::Malformed { member, wanted })
}
