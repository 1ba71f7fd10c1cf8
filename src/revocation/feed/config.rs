use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use serde_json::{Value, json};

use super::FeedDocument;
use super::document::is_uri;
use super::get::Getter;
use super::poller::{Poller, Publisher};
use crate::error::{ConfigFault, Faults, key};
use crate::issuer::config::Issuer;
use crate::issuer::{IssuerKeys, IssuerRules};
use crate::name::{LoopbackHttp, NameError, https_url};
use crate::revocation::source::RevocationSource;
use crate::secret::{Credential, CredentialScheme, SecretSource};
use crate::time::{Clock, shown_duration};
use crate::transport::Transport;

/// A JSON document that says what is revoked, asked for again and again.
///
/// The issuer's database, or whatever knows of revocation, writes it; nothing else is needed than a
/// place to fetch it from. [`FeedDocument`] says what the document looks like. It becomes a source with
/// [`crate::revocation::Source::new`], which says whose tokens it is believed about.
///
/// # Rules
///
/// 1. A document is taken whole or not at all. A record that cannot be understood, also for a member that
///    is not known, makes the document an error: it could be a revocation.
/// 2. Only `removed` takes something back. A record that is no longer listed still counts, until it can
///    matter no more: list a record as long as tokens live that it is about, and a removal as long as the
///    record could come again.
/// 3. `sequence` never goes back: an older document is an error. One with the same number says that all is
///    known, as does 304 (`ETag`, RFC 9110 §13.1.2).
/// 4. A delta counts if it begins at what is known or before; else the whole is fetched at once.
/// 5. What is known is as old as the question that was answered last. An error, whatever it is, lets it
///    grow older ([`crate::revocation::OnStale`]); then it is asked again after a second, two, at most a minute.
/// 6. Only `https`, no redirect, bounded in size and time, gzip or none.
///
/// What it does not do: it does not look at the content type; it keeps no document; and it asks, so
/// whoever is revoked is refused up to one interval later.
///
/// ```
/// use std::time::Duration;
/// use portcullis::Issuer;
/// use portcullis::revocation::{JsonFeed, Revocation, Source};
/// use portcullis::secret::SecretSource;
///
/// // What TLS says about who answers is enough.
/// let plain = JsonFeed::over_tls("https://login.example.com/revocations.json")
///     .id("urn:example:revocations")
///     .delta("https://login.example.com/revocations/since/{sequence}")
///     .bearer(SecretSource::env("FEED_TOKEN"));
///
/// // Whoever stores it on the way can neither change nor invent it.
/// let keys = Issuer::jwks("https://idp.example", "https://idp.example/feed-keys.json");
/// let signed = JsonFeed::signed("https://cdn.example/idp/revocations.jwt", keys)
///     .every(Duration::from_secs(10));
///
/// let revocation = Revocation::new()
///     .source(Source::new("login", plain).speaks_for(["https://login.example.com"]))
///     .source(Source::new("idp", signed).speaks_for(["https://idp.example"]));
/// # let _ = revocation;
/// ```
#[derive(Clone)]
#[must_use = "a feed does nothing until it is given to `Source::new`"]
pub struct JsonFeed {
    url: String,
    /// `None`: TLS says who published it.
    signed_by: Option<Issuer>,
    id: Option<String>,
    delta: Option<String>,
    every: Option<Duration>,
    authorization: Option<(SecretSource, CredentialScheme)>,
    max_bytes: usize,
    max_records: usize,
    transport: Option<Arc<dyn Transport>>,
    loopback_http: LoopbackHttp,
}

impl JsonFeed {
    /// The longest document unless said otherwise, in bytes: some 600 000 records.
    pub const MAX_BYTES: usize = 64 * 1024 * 1024;
    const LARGEST: usize = 1024 * 1024 * 1024;
    const MAX_RECORDS: usize = 10_000_000;
    const PACES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);
    /// Where the number of the last document stands in the URL of a delta.
    const SEQUENCE: &str = "{sequence}";

    /// The document at this URL, as JSON. Who answers there, as TLS has it, is believed.
    pub fn over_tls(url: impl Into<String>) -> Self {
        Self::with(url.into(), None)
    }

    /// The document at this URL, as a compact JWS that is signed with a key of this issuer: the `iss` of
    /// the document. It need not be an issuer of tokens; its keys can be those of the feed alone. Nothing
    /// that is not signed is accepted.
    ///
    /// Of the issuer, what it says of keys counts: where they are, how they are fetched and refreshed,
    /// and its algorithms.
    pub fn signed(url: impl Into<String>, issuer: Issuer) -> Self {
        Self::with(url.into(), Some(issuer))
    }

    fn with(url: String, signed_by: Option<Issuer>) -> Self {
        Self {
            url,
            signed_by,
            id: None,
            delta: None,
            every: None,
            authorization: None,
            max_bytes: Self::MAX_BYTES,
            max_records: FeedDocument::MAX_RECORDS,
            transport: None,
            loopback_http: LoopbackHttp::Refused,
        }
    }

    /// The identifier of the feed: `feed` in its documents. Without it the first document says it, and
    /// later ones have to have the same; where a publisher begins anew, with another feed or smaller
    /// numbers, say here what it is now.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Where there is only what changed: `{sequence}` in this URL becomes the number of the last
    /// document. The whole is fetched at first, where the publisher has nothing at this URL (404, 410),
    /// and where something is missing in between.
    pub fn delta(mut self, url: impl Into<String>) -> Self {
        self.delta = Some(url.into());
        self
    }

    /// How long after one answer it is asked again, from 1 second to 24 hours; a third of the source's
    /// maximum age unless said otherwise, and never more than half of it.
    pub fn every(mut self, every: Duration) -> Self {
        self.every = Some(every);
        self
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

    /// The longest document, as it is sent and after it was decompressed; [`Self::MAX_BYTES`] unless said
    /// otherwise. While one is read it takes some five times its length in memory.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// The most records of one document; [`FeedDocument::MAX_RECORDS`] unless said otherwise. See also
    /// [`crate::revocation::Revocation::max_records`].
    pub fn max_records(mut self, records: usize) -> Self {
        self.max_records = records;
        self
    }

    /// How the feed is fetched, in place of the server's transport: for example with a private CA.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// Settings that weaken what protects the feed.
    pub fn dangerous(self) -> DangerousJsonFeed {
        DangerousJsonFeed(self)
    }

    /// Whether something is fetched by the server's transport.
    pub(crate) fn needs_transport(&self) -> bool {
        self.transport.is_none()
    }

    /// Where it is, and whose keys sign it, if TLS does not say who published it.
    pub(crate) fn identity(&self) -> (&str, Option<&str>) {
        (&self.url, self.signed_by.as_ref().map(Issuer::id))
    }

    /// What is configured, in the words of a configuration file.
    pub(crate) fn report(&self) -> Value {
        let mut report = json!({
            "url": self.url,
            "max_bytes": self.max_bytes,
            "max_records": self.max_records,
        });
        let Some(members) = report.as_object_mut() else { return report };
        let mut member = |name: &str, value: Value| members.insert(name.to_owned(), value);
        if let Some(issuer) = &self.signed_by {
            member("signed_by", json!({ "id": issuer.id() }));
        }
        if let Some(id) = &self.id {
            member("id", id.as_str().into());
        }
        if let Some(delta) = &self.delta {
            member("delta", delta.as_str().into());
        }
        match self.every {
            Some(every) => member("every", shown_duration(every).into()),
            None => member("every", "a third of max_age".into()),
        };
        // Where it is, never what it is.
        match &self.authorization {
            Some((source, CredentialScheme::Whole)) => member("authorization", source.report()),
            Some((source, CredentialScheme::Bearer)) => member("bearer", source.report()),
            None => None,
        };
        if self.transport.is_some() {
            member("transport", "own".into());
        }
        if self.loopback_http == LoopbackHttp::Allowed {
            member("dangerous", json!({ "insecure_loopback_http": true }));
        }
        report
    }

    /// What asks for it, or every fault.
    pub(crate) fn check(
        &self,
        name: &str,
        speaks_for: &[String],
        transport: Option<&Arc<dyn Transport>>,
        clock: &Arc<dyn Clock>,
        faults: &mut Faults,
    ) -> Option<Arc<dyn RevocationSource>> {
        let before = faults.len();
        let fault = |what: &str| ConfigFault::Revocation(format!("source {}: {what}", key(name)));
        if let Err(wrong) = https_url("feed", &self.url, self.loopback_http) {
            faults.push_at("url", wrong);
        }
        if let Some(id) = self.id.as_deref().filter(|id| !is_uri(id)) {
            let what = format!(
                "the identifier of the feed, {id:?}, is no URI: write it as in `urn:example:revocations`"
            );
            faults.push_at("id", fault(&what));
        }
        match self.delta.as_deref().map(|delta| self.check_delta(delta)) {
            Some(Err(Some(wrong))) => faults.push_at("delta", wrong),
            Some(Err(None)) => {
                let what = "`{sequence}` has to be in the path or the query of this URL, once";
                faults.push_at("delta", fault(what));
            }
            Some(Ok(())) | None => {}
        }
        if let Some(every) = self.every.filter(|every| !Self::PACES.contains(every)) {
            let what =
                format!("every {every:?}: not between 1 second and 24 hours: say one in between");
            faults.push_at("every", fault(&what));
        }
        for (member, what, found, maximum) in [
            ("max_bytes", "longest document of a feed, in bytes", self.max_bytes, Self::LARGEST),
            ("max_records", "number of records of a feed", self.max_records, Self::MAX_RECORDS),
        ] {
            if !(1..=maximum).contains(&found) {
                faults.push_at(member, ConfigFault::Bound { what, found, maximum });
            }
        }
        let issuer = match &self.signed_by {
            None => None,
            Some(issuer) => {
                let checked =
                    faults.at("signed_by", |faults| issuer.check(IssuerRules::ANY, faults));
                Some(checked?)
            }
        };
        if faults.len() > before {
            return None;
        }

        // The server says that it has no transport, if it is needed.
        let transport = self.transport.as_ref().or(transport)?;
        let publisher = match issuer {
            None => Publisher::Tls,
            Some(issuer) => {
                let id = issuer.id.as_str().into();
                let keys = Arc::new(IssuerKeys::new(issuer, Some(transport), clock)?);
                Publisher::Issuer { id, keys }
            }
        };
        let media_types = match publisher {
            Publisher::Tls => HeaderValue::from_static("application/json"),
            Publisher::Issuer { .. } => {
                HeaderValue::from_static("application/revocation-feed+jwt, application/jwt")
            }
        };
        let credential = self.authorization.clone();
        Some(Arc::new(Poller {
            url: self.url.as_str().into(),
            delta: self.delta.as_deref().map(Into::into),
            id: self.id.as_deref().map(Into::into),
            every: self.every,
            max_bytes: self.max_bytes,
            max_records: self.max_records,
            speaks_for: speaks_for.iter().map(|issuer| issuer.as_str().into()).collect(),
            getter: Getter {
                transport: Arc::clone(transport),
                loopback_http: self.loopback_http,
                credential: credential
                    .map(|(source, scheme)| Arc::new(Credential::new(source, scheme))),
                most: self.max_bytes,
                media_types,
            },
            publisher,
        }))
    }

    /// `Err(None)`: the place for the number is not where it has to be.
    fn check_delta(&self, delta: &str) -> Result<(), Option<NameError>> {
        if delta.matches(Self::SEQUENCE).count() != 1 {
            return Err(None);
        }
        let at = |number| https_url("delta", &delta_url(delta, number), self.loopback_http);
        let (one, other) = (at(0)?, at(1)?);
        if one.authority() == other.authority() { Ok(()) } else { Err(None) }
    }
}

/// The URL of what changed after this document.
pub(super) fn delta_url(delta: &str, sequence: u64) -> String {
    delta.replace(JsonFeed::SEQUENCE, &sequence.to_string())
}

impl fmt::Debug for JsonFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonFeed")
            .field("url", &self.url)
            .field("signed_by", &self.signed_by)
            .field("id", &self.id)
            .field("delta", &self.delta)
            .finish_non_exhaustive()
    }
}

/// Settings of a [`JsonFeed`] that weaken what protects it.
#[must_use = "take the feed back with one of the methods"]
pub struct DangerousJsonFeed(JsonFeed);

impl DangerousJsonFeed {
    /// Lets this feed be at `http` URLs of a loopback host, for tests and local development. Whoever else
    /// can listen on the machine's ports can then say what is revoked, unless it is signed. Any other host
    /// is still refused.
    pub fn insecure_loopback_http(mut self) -> JsonFeed {
        self.0.loopback_http = LoopbackHttp::Allowed;
        self.0
    }
}

impl fmt::Debug for DangerousJsonFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DangerousJsonFeed").field(&self.0).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestNetwork;

    /// The server needs a transport where a feed has none of its own, signed or not.
    #[test]
    fn a_transport_is_needed_where_the_feed_has_none() {
        let plain = JsonFeed::over_tls("https://feed.example/revocations.json");
        let keys = Issuer::jwks("https://feed.example/signer", "https://feed.example/keys.json");
        let signed = JsonFeed::signed("https://feed.example/revocations.jwt", keys);
        for feed in [plain, signed] {
            assert!(feed.needs_transport(), "{feed:?}");
            assert!(!feed.clone().transport(TestNetwork::default()).needs_transport(), "{feed:?}");
        }
    }
}
