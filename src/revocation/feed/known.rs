//! What is known of a feed between two documents, and what a document is after it.

use http::HeaderValue;
use serde::{Deserialize, Serialize};

use super::FeedDocument;
use crate::time::{LEEWAY_MOST, Timestamp};

/// What is known after a document was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) feed: Box<str>,
    pub(super) sequence: u64,
    /// From when on the last document is not to be believed.
    pub(super) expires_at: Option<Timestamp>,
    /// Where it came from, and what it is called there.
    pub(super) tag: Option<Tag>,
    /// Whether this process knows all that was said. If not, the whole is fetched before anything is
    /// believed to be unchanged.
    pub(super) whole: bool,
    /// Whether no other configuration would have made more of what was said.
    pub(super) independent: bool,
}

/// An entity tag, and the URL that it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) url: Box<str>,
    pub(super) value: HeaderValue,
}

/// What is found again after a restart.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    version: u32,
    feed: Box<str>,
    sequence: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tag: Option<(Box<str>, Box<str>)>,
    independent: bool,
    /// The issuers that it was read for.
    issuers: Vec<Box<str>>,
}

/// What a document is to whoever knows what was before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It says something new.
    New,
    /// It says what is known.
    Known,
    /// It is a delta, and something before it is missing.
    Gap,
}

/// Why a document is not believed, though it can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Disbelief {
    #[error("a document of feed {found:?}, wanted {wanted:?}")]
    OtherFeed { found: String, wanted: String },
    #[error("the feed went back: sequence {found}, and {known} was seen before")]
    Back { known: u64, found: u64 },
    #[error("the document has expired, at {0}")]
    Expired(Timestamp),
    #[error("the document is from the future: made at {0}")]
    Future(Timestamp),
}

/// What a document is, after what is known. `id`: the feed that is configured.
pub(super) fn judge(
    document: &FeedDocument,
    id: Option<&str>,
    known: Option<&Known>,
    now: Timestamp,
) -> Result<Verdict, Disbelief> {
    let wanted = id.or(known.map(|known| &*known.feed));
    if let Some(wanted) = wanted.filter(|wanted| *wanted != document.feed()) {
        let found = document.feed().to_owned();
        return Err(Disbelief::OtherFeed { found, wanted: wanted.to_owned() });
    }
    let signed_at = document.signed().map(|signed| signed.issued_at);
    for at in [Some(document.issued_at()), signed_at].into_iter().flatten() {
        // As far as any record may be: one of a document that is not early itself can be, and then the
        // document is not taken either (`ApplyError::Early`).
        if at > now.plus(LEEWAY_MOST) {
            return Err(Disbelief::Future(at));
        }
    }
    if let Some(at) = document.expires_at().filter(|at| *at <= now) {
        return Err(Disbelief::Expired(at));
    }
    let Some(known) = known else {
        let gap = document.since().is_some();
        return Ok(if gap { Verdict::Gap } else { Verdict::New });
    };
    if document.sequence() < known.sequence {
        return Err(Disbelief::Back { known: known.sequence, found: document.sequence() });
    }
    match document.since() {
        Some(_) if !known.whole => Ok(Verdict::Gap),
        Some(since) if since > known.sequence => Ok(Verdict::Gap),
        _ if document.sequence() == known.sequence && known.whole => Ok(Verdict::Known),
        _ => Ok(Verdict::New),
    }
}

impl Known {
    const VERSION: u32 = 1;
    /// Longer ones are not kept: a document is then fetched that may be known.
    const LONGEST_TAG: usize = 1_024;

    /// What was kept, as far as it holds for this feed and these issuers.
    pub(super) fn restore(kept: &[u8], id: Option<&str>, speaks_for: &[Box<str>]) -> Option<Self> {
        let kept: Kept = serde_json::from_slice(kept).ok()?;
        let of_this = kept.version == Self::VERSION && id.is_none_or(|id| *id == *kept.feed);
        let tag = kept
            .tag
            .and_then(|(url, value)| Some(Tag { url, value: HeaderValue::from_str(&value).ok()? }));
        of_this.then_some(Self {
            feed: kept.feed,
            sequence: kept.sequence,
            expires_at: kept.expires_at.map(Timestamp::from_secs),
            tag,
            // What it said about others, or of claims that were not looked at, was not remembered.
            whole: kept.independent
                && speaks_for.iter().all(|issuer| kept.issuers.contains(issuer)),
            independent: kept.independent,
        })
    }

    /// What to find again after a restart.
    pub(super) fn keep(&self, speaks_for: &[Box<str>]) -> Vec<u8> {
        let tag = self.tag.as_ref().and_then(|tag| {
            let value = tag.value.to_str().ok()?;
            (value.len() <= Self::LONGEST_TAG).then(|| (tag.url.clone(), value.into()))
        });
        let kept = Kept {
            version: Self::VERSION,
            feed: self.feed.clone(),
            sequence: self.sequence,
            expires_at: self.expires_at.map(Timestamp::as_secs),
            tag,
            independent: self.independent,
            issuers: speaks_for.to_vec(),
        };
        // INVARIANT: there is nothing in it that JSON has no form for. Without it the whole is fetched.
        serde_json::to_vec(&kept).unwrap_or_default()
    }

    /// The tag by which a document at this URL can be known again, while that counts.
    pub(super) fn tag(&self, url: &str, now: Timestamp) -> Option<&HeaderValue> {
        let believed = self.whole && self.expires_at.is_none_or(|at| at > now);
        let tag = self.tag.as_ref().filter(|tag| believed && *tag.url == *url)?;
        Some(&tag.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(sequence: u64, since: Option<u64>) -> FeedDocument {
        let since = since.map(|since| format!("\"since\":{since},")).unwrap_or_default();
        let text = format!(
            "{{\"feed\":\"urn:a\",\"sequence\":{sequence},{since}\"issued_at\":1000,\"exp\":2000,\
             \"count\":0,\"records\":[]}}"
        );
        FeedDocument::parse(text.as_bytes(), None).unwrap()
    }

    fn known(sequence: u64, whole: bool) -> Known {
        let feed = "urn:a".into();
        Known { feed, sequence, expires_at: None, tag: None, whole, independent: true }
    }

    /// Attack 42: a document of before, of elsewhere, or with something missing before it is told apart
    /// from one that says something new.
    #[test]
    fn a_document_is_judged_by_what_was_before_it() {
        let now = Timestamp::from_secs(1_100);
        let judge =
            |document: &FeedDocument, known: Option<&Known>| judge(document, None, known, now);
        for (name, found, before, expected) in [
            ("first snapshot", document(7, None), None, Ok(Verdict::New)),
            ("first delta", document(7, Some(6)), None, Ok(Verdict::Gap)),
            ("first delta, from the beginning", document(7, Some(0)), None, Ok(Verdict::Gap)),
            ("next snapshot", document(9, None), Some(known(7, true)), Ok(Verdict::New)),
            ("same snapshot", document(7, None), Some(known(7, true)), Ok(Verdict::Known)),
            (
                "same snapshot, read otherwise before",
                document(7, None),
                Some(known(7, false)),
                Ok(Verdict::New),
            ),
            (
                "older snapshot",
                document(6, None),
                Some(known(7, true)),
                Err(Disbelief::Back { known: 7, found: 6 }),
            ),
            ("next delta", document(9, Some(7)), Some(known(7, true)), Ok(Verdict::New)),
            ("delta that overlaps", document(9, Some(3)), Some(known(7, true)), Ok(Verdict::New)),
            ("delta of nothing", document(7, Some(7)), Some(known(7, true)), Ok(Verdict::Known)),
            ("delta with a gap", document(9, Some(8)), Some(known(7, true)), Ok(Verdict::Gap)),
            (
                "delta, read otherwise before",
                document(9, Some(7)),
                Some(known(7, false)),
                Ok(Verdict::Gap),
            ),
            (
                "older delta",
                document(6, Some(5)),
                Some(known(7, true)),
                Err(Disbelief::Back { known: 7, found: 6 }),
            ),
        ] {
            assert_eq!(judge(&found, before.as_ref()), expected, "{name}");
        }
    }

    #[test]
    fn a_document_is_of_its_feed_and_of_its_time() {
        let document = document(7, None);
        let other = Known { feed: "urn:b".into(), ..known(1, true) };
        let at = Timestamp::from_secs;
        assert!(judge(&document, Some("urn:a"), Some(&known(1, true)), at(1_000)).is_ok());
        assert!(judge(&document, Some("urn:b"), None, at(1_000)).is_err());
        assert!(judge(&document, None, Some(&other), at(1_000)).is_err());
        assert!(judge(&document, None, None, at(1_999)).is_ok());
        assert_eq!(judge(&document, None, None, at(2_000)), Err(Disbelief::Expired(at(2_000))));
        assert!(judge(&document, None, None, at(700)).is_ok());
        assert_eq!(judge(&document, None, None, at(699)), Err(Disbelief::Future(at(1_000))));
    }

    #[test]
    fn what_was_kept_counts_for_the_same_feed_and_issuers() {
        let issuers =
            |names: &[&str]| names.iter().map(|name| Box::from(*name)).collect::<Vec<_>>();
        let tag = Tag { url: "https://a/b".into(), value: HeaderValue::from_static("\"x\"") };
        let expires_at = Some(Timestamp::from_secs(2_000));
        let before = Known { tag: Some(tag), expires_at, ..known(7, true) };
        let kept = before.keep(&issuers(&["a", "b"]));
        let restore = |id, names: &[&str]| Known::restore(&kept, id, &issuers(names));
        assert_eq!(restore(None, &["b", "a"]), Some(before.clone()));
        assert_eq!(restore(Some("urn:a"), &["a"]), Some(before.clone()));
        assert_eq!(restore(Some("urn:c"), &["a"]), None);
        let more = restore(None, &["a", "b", "c"]).unwrap();
        assert_eq!(more, Known { whole: false, ..before.clone() });
        assert_eq!(more.tag("https://a/b", Timestamp::from_secs(1)), None);
        let dependent = Known { independent: false, ..before.clone() }.keep(&issuers(&["a"]));
        assert!(!Known::restore(&dependent, None, &issuers(&["a"])).unwrap().whole);
        assert_eq!(Known::restore(b"", None, &[]), None);
        assert_eq!(Known::restore(b"{\"version\":2}", None, &[]), None);
        for (url, now, there) in
            [("https://a/b", 1_999, true), ("https://a/b", 2_000, false), ("https://a/c", 1, false)]
        {
            assert_eq!(before.tag(url, Timestamp::from_secs(now)).is_some(), there, "{url} {now}");
        }
    }
}
