//! [`StatusLists`] without faults, and what it says.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::config::Demanded;
use super::place::Origin;
use super::{StatusAction, StatusList, StatusLists};
use crate::error::{ConfigFault, Faults};
use crate::issuer::IssuerNames;
use crate::jose::Algorithm;
use crate::name::{LoopbackHttp, NameError, https_url};
use crate::revocation::freshness::OnStale;
use crate::time::AGES;

/// A document that names lists of an issuer.
#[derive(Clone, Debug)]
pub(super) struct Prefetch {
    pub(super) issuer: Box<str>,
    pub(super) uri: Box<str>,
}

/// [`StatusLists`] without faults.
#[derive(Debug)]
pub(crate) struct CheckedLists {
    /// `None`: all.
    issuers: Option<Box<[Box<str>]>>,
    pub(super) demanded: Demanded,
    origins: Box<[Origin]>,
    /// `None`: the issuer's own.
    pub(super) algorithms: Option<Box<[Algorithm]>>,
    ttl: RangeInclusive<Duration>,
    pub(super) max_age: Option<Duration>,
    pub(super) on_stale: OnStale,
    suspended: StatusAction,
    /// By status; only those count that have the issuer's own meaning.
    specific: [StatusAction; 16],
    pub(super) max_lists: usize,
    pub(super) max_bytes: usize,
    pub(super) max_entries: u64,
    pub(super) wait: Duration,
    pub(super) prefetch: Box<[Prefetch]>,
    pub(super) loopback: LoopbackHttp,
}

/// What a status means here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Valid,
    Invalid,
    Suspended(StatusAction),
    Specific(StatusAction),
    Reserved,
}

impl CheckedLists {
    /// Whether the lists of this issuer are looked at.
    pub(super) fn covers(&self, issuer: &str) -> bool {
        self.issuers.as_ref().is_none_or(|issuers| issuers.iter().any(|known| **known == *issuer))
    }

    /// Whether something may be fetched from this URL for tokens of this issuer.
    pub(super) fn allows(&self, issuer: &str, url: &str) -> Result<(), NameError> {
        let origin = Origin::of(url, self.loopback)?;
        let own = Origin::of(issuer, self.loopback);
        if own.is_ok_and(|own| own == origin) || self.origins.contains(&origin) {
            return Ok(());
        }
        let wanted = "is neither at the issuer's origin nor at one of `allow_uris_at`";
        Err(NameError::new("status list", url, wanted))
    }

    pub(super) fn min_ttl(&self) -> Duration {
        *self.ttl.start()
    }

    /// How long a list is fresh that says this of itself.
    pub(super) fn fresh_for(&self, said: Option<Duration>) -> Duration {
        said.unwrap_or(StatusLists::DEFAULT_FRESHNESS).clamp(*self.ttl.start(), *self.ttl.end())
    }

    /// What a status means (Token Status List §7.1).
    pub(super) fn meaning(&self, status: u8) -> Meaning {
        match status {
            0 => Meaning::Valid,
            1 => Meaning::Invalid,
            2 => Meaning::Suspended(self.suspended),
            3 | 12..=15 => {
                let action = self.specific.get(usize::from(status));
                Meaning::Specific(action.copied().unwrap_or_default())
            }
            _ => Meaning::Reserved,
        }
    }
}

impl StatusLists {
    const MOST_PREFETCHED: usize = 64;
    const TTLS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24 * 7);

    /// The checked form, or every fault, each at its member. `issuers` are those of the server.
    pub(crate) fn check(
        &self,
        issuers: IssuerNames<'_>,
        faults: &mut Faults,
    ) -> Option<CheckedLists> {
        let before = faults.len();
        self.check_issuers(issuers, faults);
        self.check_times(faults);
        self.check_sizes(faults);
        let mut origins = Vec::new();
        for (index, text) in self.origins.iter().enumerate() {
            match Origin::parse(text, self.loopback) {
                Ok(origin) => origins.push(origin),
                Err(fault) => {
                    faults.at_element("allow_uris_at", index, |faults| faults.push(fault));
                }
            }
        }
        if self.algorithms.as_ref().is_some_and(Vec::is_empty) {
            let what = "no algorithm of status lists: name at least one";
            faults.push_at("algorithms", ConfigFault::Revocation(what.to_owned()));
        }
        let specific = self.check_specific(faults);
        let prefetch = self.check_prefetch(issuers.configured, faults);
        if faults.len() > before {
            return None;
        }
        let boxed = |issuers: &Vec<String>| issuers.iter().map(|id| id.as_str().into()).collect();
        Some(CheckedLists {
            issuers: self.issuers.as_ref().map(boxed),
            demanded: self.demanded,
            origins: origins.into(),
            algorithms: self.algorithms.clone().map(Into::into),
            ttl: self.min_ttl..=self.max_ttl,
            max_age: self.max_age,
            on_stale: self.on_stale.unwrap_or_default(),
            suspended: self.suspended,
            specific,
            max_lists: self.max_lists,
            max_bytes: self.max_bytes,
            max_entries: self.max_entries,
            wait: self.wait,
            prefetch,
            loopback: self.loopback,
        })
    }

    fn check_issuers(&self, issuers: IssuerNames<'_>, faults: &mut Faults) {
        let Some(own) = &self.issuers else { return };
        let fault = |what: String| ConfigFault::Revocation(what);
        if own.is_empty() {
            let what = "no issuer whose status lists are looked at: name one, or leave it out";
            faults.push_at("issuers", fault(what.to_owned()));
        }
        for (index, issuer) in own.iter().enumerate() {
            if let Some(what) = issuers.fault(issuer) {
                faults.at_element("issuers", index, |faults| faults.push(fault(what)));
            }
        }
    }

    fn check_times(&self, faults: &mut Faults) {
        let allow = match self.on_stale {
            Some(OnStale::AllowFor(time)) => Some(time),
            _ => None,
        };
        for (member, time, range, wanted) in [
            ("min_ttl", Some(self.min_ttl), Self::TTLS, "1 second and 7 days"),
            ("max_ttl", Some(self.max_ttl), Self::TTLS, "1 second and 7 days"),
            ("max_age", self.max_age, AGES, "1 second and 366 days"),
            ("on_stale", allow, AGES, "1 second and 366 days"),
            ("wait_at_most", Some(self.wait), Duration::ZERO..=Self::MAX_WAIT, "0 and 2 seconds"),
        ] {
            if let Some(time) = time.filter(|time| !range.contains(time)) {
                let what = format!("{time:?} is not between {wanted}: say one in between");
                faults.push_at(member, ConfigFault::Revocation(what));
            }
        }
        if self.min_ttl > self.max_ttl {
            let what = "`min_ttl` is longer than `max_ttl`: make one of them fit".to_owned();
            faults.push_at("min_ttl", ConfigFault::Revocation(what));
        }
    }

    fn check_sizes(&self, faults: &mut Faults) {
        let mut bound = |member: &str, what, found: usize, maximum: usize| {
            if !(1..=maximum).contains(&found) {
                faults.push_at(member, ConfigFault::Bound { what, found, maximum });
            }
        };
        let entries = usize::try_from(self.max_entries).unwrap_or(usize::MAX);
        let max_entries = StatusList::MAX_OCTETS.saturating_mul(8);
        bound("max_lists", "largest number of status lists", self.max_lists, Self::MAX_LISTS);
        bound("max_entries", "largest number of statuses of a list", entries, max_entries);
        let largest = entries.min(StatusList::MAX_OCTETS);
        if self.max_bytes < largest {
            let what = format!(
                "{} bytes for all status lists: one with {entries} entries can need {largest}: say at \
                 least that, or fewer with `max_entries`",
                self.max_bytes
            );
            faults.push_at("max_bytes", ConfigFault::Revocation(what));
        }
    }

    fn check_specific(&self, faults: &mut Faults) -> [StatusAction; 16] {
        let mut actions = [StatusAction::Refuse; 16];
        let mut seen = Vec::new();
        for (status, action) in &self.specific {
            let wrong = if !matches!(status, 3 | 12..=15) {
                Some("has no meaning of the issuer's own: 3 and 12 to 15 have (§7.1): remove it")
            } else if seen.contains(status) {
                Some("is named twice: keep one")
            } else {
                None
            };
            seen.push(*status);
            if let Some(wrong) = wrong {
                let what = format!("status {status} {wrong}");
                faults.push_at("application_specific", ConfigFault::Revocation(what));
            }
            if let Some(slot) = actions.get_mut(usize::from(*status)) {
                *slot = *action;
            }
        }
        actions
    }

    fn check_prefetch(&self, issuers: &[String], faults: &mut Faults) -> Box<[Prefetch]> {
        if self.prefetch.len() > Self::MOST_PREFETCHED {
            let fault = ConfigFault::Bound {
                what: "number of documents that name status lists",
                found: self.prefetch.len(),
                maximum: Self::MOST_PREFETCHED,
            };
            faults.push_at("prefetch", fault);
        }
        let issuers = self.issuers.as_deref().unwrap_or(issuers);
        let mut prefetch = Vec::new();
        for (index, (issuer, uri)) in self.prefetch.iter().enumerate() {
            faults.at_element("prefetch", index, |faults| {
                match self.prefetched(issuer.as_deref(), uri, issuers) {
                    Ok(one) => prefetch.push(one),
                    Err(fault) => faults.push(fault),
                }
            });
        }
        prefetch.into()
    }

    fn prefetched(
        &self,
        issuer: Option<&str>,
        uri: &str,
        issuers: &[String],
    ) -> Result<Prefetch, ConfigFault> {
        https_url("aggregation URI", uri, self.loopback)?;
        let own = Origin::of(uri, self.loopback)?;
        let issuer = match (issuer, issuers) {
            (Some(named), _) => issuers.iter().find(|issuer| *issuer == named),
            (None, [only]) => Some(only),
            (None, all) => {
                let same = |issuer: &&String| {
                    Origin::of(issuer, LoopbackHttp::Allowed).is_ok_and(|origin| origin == own)
                };
                let mut at_home = all.iter().filter(same);
                at_home.next().filter(|_| at_home.next().is_none())
            }
        };
        let issuer = issuer.ok_or_else(|| {
            ConfigFault::Revocation(format!(
                "it is not clear whose lists {uri:?} names: say it with `prefetch_of`, and name an \
                 issuer whose lists are looked at"
            ))
        })?;
        Ok(Prefetch { issuer: issuer.as_str().into(), uri: uri.into() })
    }
}
