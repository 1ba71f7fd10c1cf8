//! Step 6: audience, times, life and class.

use std::time::Duration;

use super::Rules;
use super::class::Applied;
use super::detail::shown;
use crate::access::{Addressed, Facts, Origin};
use crate::error::{Refusal, RejectionKind};
use crate::name::Audience;
use crate::revocation::Demand;
use crate::time::{Moment, Timestamp};

/// What a token may do that names other audiences beside this resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OtherAudiences {
    /// It is accepted, as RFC 9068 §4 has it. Any of its audiences can use it at the others.
    #[default]
    Accept,
    /// It is refused.
    Refuse,
}

impl Rules {
    pub(super) fn check_audience(&self, facts: &Facts) -> Result<(), Refusal> {
        if facts.addressed == Addressed::Unsaid {
            return Ok(());
        }
        let ours = |audience: &Audience| self.audiences.contains(audience);
        let accepted = match self.other_audiences {
            OtherAudiences::Accept => facts.audiences.iter().any(ours),
            OtherAudiences::Refuse => facts.audiences.iter().all(ours),
        };
        if accepted {
            return Ok(());
        }
        let other = facts.audiences.iter().find(|audience| !ours(audience));
        let found = shown(other.map(Audience::as_str));
        let wanted = self.audiences.first().map(Audience::as_str).unwrap_or_default();
        let detail = match self.other_audiences {
            OtherAudiences::Accept => format!("`aud` is {found}, wanted {wanted:?}"),
            OtherAudiences::Refuse => {
                format!(
                    "`aud` has {found}, wanted {wanted:?} and no other (`OtherAudiences::Refuse`)"
                )
            }
        };
        Err(Refusal::new(RejectionKind::WrongAudience, detail))
    }

    /// Gives how long the token lives.
    pub(super) fn check_time(
        &self,
        facts: &Facts,
        applied: &Applied<'_>,
        now: Timestamp,
    ) -> Result<Duration, Refusal> {
        let expires_at = facts.expires_at;
        if now >= expires_at.plus(self.leeway) {
            let detail = untimely("exp", expires_at, now, self.leeway);
            return Err(Refusal::new(RejectionKind::Expired, detail));
        }
        let latest = now.plus(self.leeway);
        if let Some(not_before) = facts.not_before.filter(|not_before| *not_before > latest) {
            let detail = untimely("nbf", not_before, now, self.leeway);
            return Err(Refusal::new(RejectionKind::NotYetValid, detail));
        }
        if let Some(issued_at) = facts.issued_at.filter(|issued_at| *issued_at > latest) {
            let detail = untimely("iat", issued_at, now, self.leeway);
            return Err(Refusal::new(RejectionKind::IssuedInFuture, detail));
        }
        // Without `iat`, which only a profile can let go, the rest of its life is what is known.
        let lifetime = match facts.issued_at {
            Some(issued_at) => expires_at.since(issued_at).unwrap_or_default(),
            None => expires_at.since(now).unwrap_or_default(),
        };
        let most = applied.max_lifetime;
        if (lifetime.is_zero() && facts.issued_at.is_some()) || lifetime > most {
            let class = applied.name;
            let from = if facts.issued_at.is_some() { "after `iat`" } else { "from now" };
            let detail =
                format!("`exp` is {lifetime:?} {from}, class `{class}` accepts at most {most:?}");
            return Err(Refusal::new(RejectionKind::LifetimeTooLong, detail));
        }
        if let Some(max_age) = applied.max_age {
            let age = facts.issued_at.map(|issued_at| now.since(issued_at).unwrap_or_default());
            if age.is_none_or(|age| age > max_age.saturating_add(self.leeway)) {
                let found = age.map_or("unknown".to_owned(), |age| format!("{age:?}"));
                let class = applied.name;
                let detail = format!(
                    "the token's age is {found}, its classes (the first by life: `{class}`) accept at \
                     most {max_age:?}"
                );
                return Err(Refusal::new(RejectionKind::TooOld, detail));
            }
        }
        Ok(lifetime)
    }
}

/// Why a token does not count now, by one of its times.
pub(super) fn untimely(claim: &str, found: Timestamp, now: Timestamp, leeway: Duration) -> String {
    format!("`{claim}` is {found}, it is {now}, with a leeway of {leeway:?}")
}

/// What the issuer said of a token counts for a while: a request may have waited since for something
/// else.
pub(super) fn check_answer(facts: &Facts, demand: Demand, at: Moment) -> Result<(), Refusal> {
    let Origin::Answer { asked, counts_for, .. } = facts.origin else { return Ok(()) };
    let most = demand.freshness.map_or(counts_for, |freshest| freshest.min(counts_for));
    let age = at.since(asked);
    if age <= most {
        return Ok(());
    }
    let detail = format!(
        "{} was asked about the token {age:?} ago, at most {most:?} is accepted: the request waited for \
         something else, and can be sent again",
        facts.issuer
    );
    Err(Refusal::new(RejectionKind::IntrospectionUnavailable, detail))
}
