//! Step 8: whether anything speaks against a token, and whether that would be known.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::freshness::Demand;
use super::index::Finding;
use super::inlet::Inlet;
use super::runtime::Runtime;
use super::status_list::ListSlot;
use crate::access::{Facts, Origin, TokenForm};
use crate::error::{Refusal, RejectionKind, StepUp};
use crate::time::Moment;

/// The state of the index at which nothing spoke against a token: while that is its state, nothing
/// does.
#[derive(Debug)]
pub(crate) struct ClearAt(AtomicU64);

impl ClearAt {
    /// No index gets there.
    const NEVER: u64 = u64::MAX;

    fn is(&self, version: u64) -> bool {
        self.0.load(Ordering::Relaxed) == version
    }

    fn set(&self, version: u64) {
        self.0.store(version, Ordering::Relaxed);
    }
}

impl Default for ClearAt {
    fn default() -> Self {
        Self(AtomicU64::new(Self::NEVER))
    }
}

/// What speaks against a token.
pub(crate) enum Objection {
    Refused(Refusal),
    /// The list is not there, or too old. Unless something can be done about it, this is the refusal.
    NoList {
        list: Arc<ListSlot>,
        refusal: Refusal,
    },
}

impl Runtime {
    /// Step 8: whether anything speaks against this token. It waits for nothing.
    pub(crate) fn decide(
        &self,
        facts: &Facts,
        clear: Option<&ClearAt>,
        demand: Demand,
        at: Moment,
    ) -> Result<(), Objection> {
        let index = self.store.index();
        // Without `iat` a record about more than the token can end before the token does: then it is for
        // each time of day to say whether it counts.
        let clear = clear.filter(|_| facts.issued_at.is_some());
        // Read before the index is asked: what is applied meanwhile is asked about the next time.
        let version = index.version().load(Ordering::Acquire);
        if clear.is_none_or(|clear| !clear.is(version)) {
            match index.ask(facts, at.wall()) {
                Finding::Clear => {}
                finding => return Err(Objection::Refused(self.refusal(finding, at))),
            }
            if let Some(clear) = clear {
                clear.set(version);
            }
        }
        self.ask_lists(facts, demand, at)?;
        let places =
            self.speaking.get(facts.issuer.as_str()).map(AsRef::as_ref).unwrap_or_default();
        let asked = self.lists.is_some() && facts.status.is_some();
        // An answer of the issuer is what is known, and is as fresh as it was asked for.
        let answered = matches!(facts.origin, Origin::Answer { .. });
        if places.is_empty() && !asked && !answered && demand.freshness.is_some() {
            let detail = "no revocation source speaks for the token's issuer, and fresh knowledge is \
                          wanted: say with `speaks_for` which one does";
            let refusal = Refusal::new(RejectionKind::RevocationUnavailable, detail);
            return Err(Objection::Refused(refusal));
        }
        for source in places.iter().filter_map(|place| self.sources.get(*place)) {
            self.check_age(&source.inlet, demand, at).map_err(Objection::Refused)?;
        }
        Ok(())
    }

    fn ask_lists(&self, facts: &Facts, demand: Demand, at: Moment) -> Result<(), Objection> {
        let Some(lists) = &self.lists else { return Ok(()) };
        // Where nothing but the issuer's answer could name a list, the answer is what is known.
        let is_opaque = matches!(facts.origin, Origin::Answer { form: TokenForm::Opaque, .. });
        if is_opaque && facts.status.is_none() {
            return Ok(());
        }
        lists.decide(&facts.issuer, facts.status.as_ref(), demand, at)
    }

    fn check_age(&self, inlet: &Inlet, demand: Demand, at: Moment) -> Result<(), Refusal> {
        let Some(most) = demand.most(inlet.on_stale, inlet.max_age) else { return Ok(()) };
        let age = inlet.last.age(at);
        if age.is_some_and(|age| age <= most) {
            return Ok(());
        }
        let name = &inlet.name;
        let detail = match age {
            None => {
                format!(
                    "revocation source `{name}` was never synchronised, at most {most:?} ago is accepted"
                )
            }
            Some(age) => format!(
                "revocation source `{name}` was synchronised {age:?} ago, at most {most:?} is accepted"
            ),
        };
        let mut refusal = Refusal::new(RejectionKind::RevocationUnavailable, detail);
        refusal.retry_after = inlet.next_attempt();
        Err(refusal)
    }

    fn refusal(&self, finding: Finding, at: Moment) -> Refusal {
        let (kind, detail) = match finding {
            Finding::Clear | Finding::Token => {
                (RejectionKind::Revoked, "the token was revoked, by its `jti`".to_owned())
            }
            Finding::IssuedBefore(subject, cut_off) => {
                let who = self.store.index().shown(subject);
                let detail = format!("what was issued up to {cut_off} was revoked, by its {who}");
                (RejectionKind::Revoked, detail)
            }
            Finding::Held(subject, hold) => {
                let who = self.store.index().shown(subject);
                let why = hold.map_or("for ever".to_owned(), |hold| {
                    format!("while its {} is on hold", hold.as_str())
                });
                let kind =
                    if hold.is_some() { RejectionKind::Suspended } else { RejectionKind::Revoked };
                (kind, format!("it is revoked {why}, by its {who}"))
            }
            Finding::StepUp(subject, since) => {
                let who = self.store.index().shown(subject);
                let detail = format!(
                    "the user has to authenticate again, after {since}: so says a record about its {who}"
                );
                let mut refusal = Refusal::new(RejectionKind::StepUpDemanded, detail);
                // Whole seconds, rounded down: an authentication at that very time is too old.
                let passed = at.wall().since(since).unwrap_or_default().as_secs();
                refusal.step_up =
                    Some(Box::new(StepUp::new().max_age(Duration::from_secs(passed))));
                return refusal;
            }
        };
        Refusal::new(kind, detail)
    }
}
