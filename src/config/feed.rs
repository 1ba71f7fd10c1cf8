//! JSON feeds.

use serde::Deserialize;

use super::files::{Files, authority};
use super::issuer::{IssuerTable, wanted};
use super::revocation::{DangerousTable, Shown, shown};
use super::secret::SecretRef;
use super::value::{Count, Table, Time};
use crate::error::Faults;
use crate::revocation::JsonFeed;

/// A JSON document that says what is revoked, asked for again and again.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Feed", extend("required" = ["url"])))]
pub(super) struct FeedTable {
    /// Where it is.
    url: Option<String>,
    /// The issuer whose keys sign it, as a compact JWS. Without it whoever answers at `url`, as TLS has
    /// it, is believed.
    signed_by: Option<Table<IssuerTable>>,
    /// The identifier of the feed, a URI: `feed` in its documents. Without it the first document says
    /// it.
    id: Option<String>,
    /// Where there is only what changed, with `{sequence}` in place of the number of the last document.
    delta: Option<String>,
    /// How long after an answer it is asked again, "1s" to "24h"; a third of the source's `max_age`
    /// unless said otherwise, and never more than half of it.
    every: Option<Time>,
    /// What is shown as `Authorization`, all of it.
    authorization: Option<SecretRef>,
    /// What is shown as an access token.
    bearer: Option<SecretRef>,
    /// The longest document, in bytes, 1 to 1073741824; 67108864 unless said otherwise.
    max_bytes: Option<Count>,
    /// The most records of one document, 1 to 10000000; 1000000 unless said otherwise.
    max_records: Option<Count>,
    /// The path of a PEM file with the certificates of a private authority: the feed is then fetched
    /// with these as trust anchors, and no others.
    ca_file: Option<String>,
    /// Settings that weaken what protects the feed.
    dangerous: Option<Table<DangerousTable>>,
}

impl FeedTable {
    /// The feed. Where something is wrong it is there all the same.
    pub(super) fn feed(&self, files: Files<'_>, faults: &mut Faults) -> JsonFeed {
        wanted("url", self.url.is_some(), faults);
        let url = self.url.clone().unwrap_or_default();
        let mut feed = match &self.signed_by {
            None => JsonFeed::over_tls(url),
            Some(Table(issuer)) => {
                let look = |faults: &mut Faults| issuer.signer(files, faults);
                JsonFeed::signed(url, faults.at("signed_by", look))
            }
        };
        if let Some(id) = &self.id {
            feed = feed.id(id);
        }
        if let Some(delta) = &self.delta {
            feed = feed.delta(delta);
        }
        if let Some(Time(time)) = self.every {
            feed = feed.every(time);
        }
        match shown(&self.authorization, &self.bearer, files, faults) {
            Some(Shown::Whole(source)) => feed = feed.authorization(source),
            Some(Shown::Bearer(source)) => feed = feed.bearer(source),
            None => {}
        }
        if let Some(Count(bytes)) = self.max_bytes {
            feed = feed.max_bytes(bytes);
        }
        if let Some(Count(records)) = self.max_records {
            feed = feed.max_records(records);
        }
        if let Some(path) = &self.ca_file
            && let Some(transport) = authority(path, files, faults)
        {
            feed = feed.transport(transport);
        }
        match &self.dangerous {
            Some(Table(DangerousTable { insecure_loopback_http: true })) => {
                feed.dangerous().insecure_loopback_http()
            }
            _ => feed,
        }
    }
}
