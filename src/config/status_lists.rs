//! Status lists.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::issuer::wanted;
use super::revocation::{DangerousTable, Stale, on_stale};
use super::value::{Count, Some1, Table, Time};
use super::word::{AlgorithmWord, words};
use crate::error::{ConfigFault, Faults, key};
use crate::revocation::{StatusAction, StatusLists};

/// How the status lists that tokens refer to are looked at (Token Status List §6).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "StatusLists"))]
pub(super) struct StatusListsTable {
    /// The issuers whose lists are looked at; all of the server's unless said otherwise.
    issuers: Option<Some1<String>>,
    /// Whether a token of those issuers that names no list is refused.
    require: bool,
    /// Origins at which lists may be, beside that of the token's issuer.
    allow_uris_at: Option<Some1<String>>,
    /// What lists may be signed with: some of the algorithms of their issuer, which is what they may be
    /// signed with unless said otherwise.
    algorithms: Option<Some1<AlgorithmWord>>,
    /// A list is fetched again after this time at the earliest; "15s" unless said otherwise.
    min_ttl: Option<Time>,
    /// A list is fresh for this time at most: so long a revoked token can still pass; "12h" unless said
    /// otherwise.
    max_ttl: Option<Time>,
    /// How long ago a list may have been signed; any time unless said otherwise.
    max_age: Option<Time>,
    /// What becomes of tokens whose list is too old and cannot be fetched; as the server's `on_stale`
    /// unless said otherwise.
    on_stale: Option<Stale>,
    /// What becomes of suspended tokens; "refuse" unless said otherwise.
    suspended: Option<StatusActionWord>,
    /// What becomes of tokens with a status of the issuer's own meaning, by its number: 3, and 12 to 15.
    /// They are refused unless said otherwise.
    application_specific: BTreeMap<String, StatusActionWord>,
    /// How many lists are known at once, 1 to 10000; 1000 unless said otherwise.
    max_lists: Option<Count>,
    /// How many bytes all lists together take; 268435456 unless said otherwise.
    max_bytes: Option<Count>,
    /// How many entries a list has; 16777216 unless said otherwise.
    max_entries: Option<Count>,
    /// How long a request waits for a list that is not there, at most "2s"; "2s" unless said otherwise.
    wait_at_most: Option<Time>,
    /// Documents that name lists which are kept fresh, used or not (Token Status List §9).
    prefetch: Option<Some1<Table<PrefetchTable>>>,
    /// Settings that weaken what protects lists.
    dangerous: Option<Table<DangerousTable>>,
}

/// A document that names lists.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Prefetch", extend("required" = ["uri"])))]
struct PrefetchTable {
    /// Where it is.
    uri: Option<String>,
    /// The issuer whose lists it names; that at whose origin it is, or the only one, unless said
    /// otherwise.
    issuer: Option<String>,
}

words! {
    /// What becomes of a token with a status that its list leaves to the server.
    StatusActionWord(StatusAction):
        "refuse" => StatusAction::Refuse,
        "step_up" => StatusAction::StepUp,
        "accept" => StatusAction::Accept,
}

impl StatusListsTable {
    pub(super) fn status_lists(&self, faults: &mut Faults) -> StatusLists {
        let mut lists = self.times(self.sizes(StatusLists::new()));
        if let Some(Some1(issuers)) = &self.issuers {
            lists = lists.issuers(issuers);
        }
        if self.require {
            lists = lists.require();
        }
        for origin in self.allow_uris_at.iter().flat_map(|Some1(list)| list) {
            lists = lists.allow_uris_at(origin);
        }
        if let Some(Some1(algorithms)) = &self.algorithms {
            lists = lists.algorithms(algorithms.iter().map(|word| word.0));
        }
        if let Some(stale) = &self.on_stale {
            lists = lists.on_stale(on_stale(stale, faults));
        }
        if let Some(StatusActionWord(action)) = self.suspended {
            lists = lists.suspended(action);
        }
        for (name, StatusActionWord(action)) in &self.application_specific {
            // Written in one way, so that none stands twice.
            match ["3", "12", "13", "14", "15"].contains(&name.as_str()).then(|| name.parse()) {
                Some(Ok(status)) => lists = lists.application_specific(status, *action),
                _ => {
                    let fault = "no status of an issuer's own meaning: 3 and 12 to 15 are (§7.1)";
                    faults.at("application_specific", |faults| {
                        faults.push_at(&key(name), ConfigFault::File(fault.to_owned()));
                    });
                }
            }
        }
        let prefetch = self.prefetch.iter().flat_map(|Some1(list)| list).enumerate();
        for (index, Table(PrefetchTable { uri, issuer })) in prefetch {
            faults.at_element("prefetch", index, |faults| wanted("uri", uri.is_some(), faults));
            let uri = uri.as_deref().unwrap_or_default();
            lists = match issuer {
                Some(issuer) => lists.prefetch_of(issuer, uri),
                None => lists.prefetch(uri),
            };
        }
        match &self.dangerous {
            Some(Table(DangerousTable { insecure_loopback_http: true })) => {
                lists.dangerous().insecure_loopback_http()
            }
            _ => lists,
        }
    }

    fn times(&self, mut lists: StatusLists) -> StatusLists {
        if let Some(Time(time)) = self.min_ttl {
            lists = lists.min_ttl(time);
        }
        if let Some(Time(time)) = self.max_ttl {
            lists = lists.max_ttl(time);
        }
        if let Some(Time(age)) = self.max_age {
            lists = lists.max_age(age);
        }
        match self.wait_at_most {
            Some(Time(time)) => lists.wait_at_most(time),
            None => lists,
        }
    }

    fn sizes(&self, mut lists: StatusLists) -> StatusLists {
        if let Some(Count(count)) = self.max_lists {
            lists = lists.max_lists(count);
        }
        if let Some(Count(bytes)) = self.max_bytes {
            lists = lists.max_bytes(bytes);
        }
        match self.max_entries {
            Some(Count(entries)) => lists.max_entries(u64::try_from(entries).unwrap_or(u64::MAX)),
            None => lists,
        }
    }
}
