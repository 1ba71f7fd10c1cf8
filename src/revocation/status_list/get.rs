//! One GET, with everything that can be wrong about its answer.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, ETAG, IF_NONE_MATCH, LOCATION};
use http::{HeaderValue, Request, Response, StatusCode};

use super::place::resolve;
use super::{StatusList, StatusListError};
use crate::issuer::KeySearchError;
use crate::name::{LoopbackHttp, NameError};
use crate::time::Clock;
use crate::transport::{
    Content, ContentError, FetchError, FetchErrorKind, FetchLimits, Transport, fetch_at_most,
    media_type,
};

/// From the first byte sent to the last byte read, redirects included.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// Redirects that are followed.
const MOST_REDIRECTS: usize = 3;

/// Why a list, or a document that names lists, is not there. For operators; it holds no secret.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum ListError {
    #[error("{url}: {error}")]
    Fetch { url: String, error: FetchError },
    #[error("{url}: status {status}, wanted 2xx")]
    Status { url: String, status: StatusCode },
    #[error("{url}: the content type is {found:?}, wanted {wanted}")]
    MediaType { url: String, found: String, wanted: &'static str },
    #[error("{url}: content coding {found:?}, wanted gzip or none")]
    Coding { url: String, found: String },
    #[error("{url}: more than {MOST_REDIRECTS} redirects")]
    Redirects { url: String },
    #[error("{url}: redirects lead back to it")]
    Loop { url: String },
    #[error("{url}: a redirect without a place to go to")]
    NoLocation { url: String },
    #[error("redirect: {0}")]
    Elsewhere(#[from] NameError),
    #[error("{0}")]
    Content(#[from] ContentError),
    #[error("the content is not text")]
    NotText,
    #[error("{0}")]
    List(#[from] StatusListError),
    #[error("{0}")]
    Keys(#[from] KeySearchError),
    #[error("the issuer is not known now")]
    Issuer,
    #[error("the document is no JSON object with an array `status_lists` of strings")]
    Aggregation,
    #[error("the list has ended, by its `exp` or its `iat`")]
    Ended,
    #[error(
        "the list went back: it is older than what is held, or as old and takes back some of it"
    )]
    WentBack,
    #[error("the list was let go to make room for others")]
    LetGo,
    #[error("too many lists are being fetched")]
    Busy,
    #[error("no keys to verify it with in time")]
    NoKeysInTime,
    #[error("no tokio runtime to fetch a status list in: call from within one")]
    NoRuntime,
    #[error("the fetch ended with its runtime or its server")]
    Dropped,
}

/// What an answer brought, as it was sent.
pub(super) enum Got {
    New {
        content: Content,
        /// Where it came from in the end, and what it is called there.
        tag: Option<Tag>,
    },
    /// It is what `If-None-Match` named.
    Unchanged,
}

/// An entity tag, and the URL that it is for.
pub(super) type Tag = (String, HeaderValue);

/// What is fetched, and how.
pub(super) struct Getter<'a> {
    pub(super) transport: &'a dyn Transport,
    pub(super) clock: &'a dyn Clock,
    pub(super) loopback: LoopbackHttp,
    pub(super) media_type: &'static str,
    /// Of the body as it is sent, and of what it decodes to.
    pub(super) most: usize,
    /// Whether something may be fetched from here.
    pub(super) allowed: &'a (dyn Fn(&str) -> Result<(), NameError> + Sync),
}

impl Getter<'_> {
    /// Fetches `url`, or where it redirects to, or learns that it is what `known` was.
    pub(super) async fn get(&self, url: &str, known: Option<&Tag>) -> Result<Got, ListError> {
        tokio::select! {
            got = self.follow(url, known) => got,
            () = self.clock.sleep(TIMEOUT) => {
                let error = FetchError::new(FetchErrorKind::Timeout);
                Err(ListError::Fetch { url: url.to_owned(), error })
            }
        }
    }

    async fn follow(&self, url: &str, known: Option<&Tag>) -> Result<Got, ListError> {
        let mut seen = vec![url.to_owned()];
        let mut url = url.to_owned();
        loop {
            let tag = known.filter(|(of, _)| *of == url).map(|(_, tag)| tag);
            let answer = self.send(&url, tag).await?;
            if !is_redirect(answer.status()) {
                return self.take(url, tag.is_some(), answer);
            }
            let location = answer.headers().get(LOCATION).and_then(|place| place.to_str().ok());
            let Some(next) = location.and_then(|location| resolve(&url, location)) else {
                return Err(ListError::NoLocation { url });
            };
            if seen.len() > MOST_REDIRECTS {
                return Err(ListError::Redirects { url: seen.swap_remove(0) });
            }
            if seen.contains(&next) {
                return Err(ListError::Loop { url: next });
            }
            (self.allowed)(&next)?;
            seen.push(next.clone());
            url = next;
        }
    }

    async fn send(
        &self,
        url: &str,
        tag: Option<&HeaderValue>,
    ) -> Result<Response<Bytes>, ListError> {
        let failed = |error| ListError::Fetch { url: url.to_owned(), error };
        // Neither a credential nor a query of ours: the lists' server learns that somebody asks for
        // the whole list.
        let mut request = Request::get(url)
            .header(ACCEPT, HeaderValue::from_static(self.media_type))
            .header(ACCEPT_ENCODING, HeaderValue::from_static("gzip"))
            .body(Bytes::new())
            .map_err(|error| failed(FetchError::new(FetchErrorKind::Forbidden).caused_by(error)))?;
        if let Some(tag) = tag {
            request.headers_mut().insert(IF_NONE_MATCH, tag.clone());
        }
        let limits =
            FetchLimits { max_body: self.most, timeout: TIMEOUT, loopback_http: self.loopback };
        fetch_at_most(self.transport, request, limits).await.map_err(failed)
    }

    fn take(
        &self,
        url: String,
        conditional: bool,
        answer: Response<Bytes>,
    ) -> Result<Got, ListError> {
        let status = answer.status();
        if status == StatusCode::NOT_MODIFIED && conditional {
            return Ok(Got::Unchanged);
        }
        if !status.is_success() {
            return Err(ListError::Status { url, status });
        }
        let found = media_type(answer.headers()).unwrap_or_default();
        if !found.eq_ignore_ascii_case(self.media_type) {
            let found = found.chars().take(100).collect();
            return Err(ListError::MediaType { url, found, wanted: self.media_type });
        }
        let tag = answer.headers().get(ETAG).cloned();
        match Content::of(answer) {
            Ok(content) => Ok(Got::New { content, tag: tag.map(|tag| (url, tag)) }),
            Err(found) => Err(ListError::Coding { url, found }),
        }
    }
}

/// The longest status list token with at most so many entries: what no compression shortens, in
/// base64url twice, and what else stands in a token.
pub(super) fn longest_token(max_entries: u64) -> usize {
    const REST: usize = 64 * 1024;
    let octets = usize::try_from(max_entries).unwrap_or(usize::MAX);
    let octets = octets.min(StatusList::MAX_OCTETS);
    // DEFLATE adds five octets to 65 535 that it cannot compress.
    let zlib = octets.saturating_add(octets / 8_192).saturating_add(64);
    zlib.saturating_mul(16).div_ceil(9).saturating_add(REST)
}

/// A redirect with a place to go to (RFC 9110 §15.4).
fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;

    use super::*;
    use crate::testing::{ManualClock, TestNetwork};

    /// TSL-29: to the octet, whatever a transport lets through.
    #[tokio::test]
    async fn a_body_is_no_longer_than_allowed() {
        const URL: &str = "https://as.example/document";
        let network = TestNetwork::default().with_document(URL, "text/plain", "0123456789");
        for (most, good) in [(9, false), (10, true), (11, true)] {
            let getter = Getter {
                transport: &network,
                clock: &ManualClock::new(),
                loopback: LoopbackHttp::Refused,
                media_type: "text/plain",
                most,
                allowed: &|_| Ok(()),
            };
            match getter.get(URL, None).await {
                Ok(Got::New { content, .. }) => {
                    assert!(good, "{most}");
                    assert_eq!(content.len(), 10);
                    assert_eq!(content.decode(most).unwrap(), "0123456789");
                }
                Err(ListError::Fetch { error, .. }) => {
                    assert!(!good, "{most}: {error}");
                    assert_eq!(error.kind(), FetchErrorKind::TooLarge);
                }
                _ => panic!("{most}: neither"),
            }
        }
    }

    /// TSL-29: for a list that no compression shortens there is room, with 64 KiB for what else stands in
    /// its token, and for not much more.
    #[test]
    fn the_longest_list_fits() {
        let base64url = |octets: usize| (octets * 4).div_ceil(3);
        for octets in [1_usize, 1_000, 1 << 20] {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::none());
            encoder.write_all(&vec![1; octets]).unwrap();
            let zlib = encoder.finish().unwrap();
            assert!(zlib.len() > octets);
            let list = base64url(base64url(zlib.len()));
            let longest = longest_token(u64::try_from(octets).unwrap());
            let rest = longest.checked_sub(list).unwrap();
            assert!((64 * 1024..65 * 1024).contains(&rest), "{octets}: {rest}");
        }
    }
}
