//! What can be said of revocation, whoever says it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::access::{Access, Facts, Origin};
use crate::observe::{Decision, DecisionRecord};
use crate::time::{AGES, Timestamp};

/// One thing that a source says about tokens of one issuer.
///
/// Records can come in any order and as often as they like: what is known in the end is the same.
///
/// ```
/// use portcullis::revocation::{Claims, Record};
/// use portcullis::time::Timestamp;
///
/// let now = Timestamp::from_secs(1_800_000_000);
/// // One token.
/// let token = Record::token("https://login.example.com", "b4f1c0", now);
/// // Whatever Ann was given until now, in one session of hers.
/// let session = Record::matching("https://login.example.com", Claims::subject("ann").and_session("s-1"), now);
/// // Whatever the issuer signed with this key.
/// let key = Record::key("https://login.example.com", "2026-11", now);
/// # let _ = (token, session, key);
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Record {
    pub(crate) issuer: Box<str>,
    pub(crate) target: Target,
    pub(crate) effect: Effect,
    /// When what it tells of happened.
    pub(crate) at: Timestamp,
    /// Of a token: how long it has to be remembered. `None`: as long as a token can live.
    pub(crate) until: Option<Timestamp>,
}

/// Which tokens of its issuer a [`Record`] is about.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Target {
    /// The token with this `jti`.
    Token(Box<str>),
    /// Every token that is signed with the key of this `kid`.
    Key(Box<str>),
    /// Every token of the issuer.
    Issuer,
    /// Every token with these claims.
    Claims(Claims),
}

/// Claims that a token has to have, all of them. There is at least one, and at most
/// [`Claims::MAX`] count.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Claims(Vec<(Claim, Box<str>)>);

/// A claim by which tokens are told apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Claim {
    /// The session, `sid` (OpenID Connect Front-Channel Logout §3).
    Session,
    /// The subject, `sub`.
    Subject,
    /// The client, as the issuer's profile names it: `client_id` in RFC 9068.
    Client,
    /// Another claim, a string or an array of strings. It has to be known to the server: see
    /// [`super::Revocation::claim`].
    Named(Box<str>),
}

/// What a [`Record`] does to the tokens that it is about. One token ([`Target::Token`]) is refused by
/// each of them but [`Effect::Release`] and [`Effect::Lift`], whatever its `iat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Effect {
    /// Of one token: it is refused. Of others: those that were issued at the time of the record or
    /// before (`iat`) are refused, and those without `iat`.
    Refuse,
    /// Those that were issued at the time of the record or before (`iat`), or for an authentication of then
    /// or before (`auth_time`), are refused until the user has authenticated again (RFC 9470). It is dropped when
    /// every token of its time has expired; what has to outlast that is a [`Effect::HoldForStepUp`].
    StepUp,
    /// All are refused, whenever they were issued, until this reason goes.
    Hold(Hold),
    /// All are refused, whenever they were issued, until the user has authenticated after the time of the
    /// record (`auth_time`), or this reason goes.
    HoldForStepUp(Hold),
    /// This reason is gone: of all that was said of it, what has the latest time counts.
    Release(Hold),
    /// All are refused, whenever they were issued, for ever.
    Purge,
    /// What was said of this target up to the time of the record counts no more, whoever said it, also
    /// if it comes late. Of one token times count in whole seconds.
    Lift,
}

/// Why tokens are on hold. Each reason comes and goes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Hold {
    /// The account is disabled.
    Account,
    /// The device does not comply.
    Device,
    /// The risk is high.
    Risk,
}

impl Hold {
    /// Every reason.
    pub const ALL: &'static [Self] = &[Self::Account, Self::Device, Self::Risk];

    /// Its place among all. It stands in journals: it never changes.
    pub(super) const fn place(self) -> usize {
        match self {
            Self::Account => 0,
            Self::Device => 1,
            Self::Risk => 2,
        }
    }

    /// A short name in snake case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Device => "device",
            Self::Risk => "risk",
        }
    }
}

impl Record {
    /// A day more than a class allows, for leeways.
    const LONGEST_LIFE: Duration = AGES.end().saturating_add(Duration::from_hours(24));

    /// The longest name or value that a record can have, in bytes: longer ones are in no token that
    /// is accepted.
    pub const MAX_LENGTH: usize = 2_048;

    /// This target, this effect, from this time.
    #[must_use]
    pub fn new(issuer: impl Into<Box<str>>, target: Target, effect: Effect, at: Timestamp) -> Self {
        Self { issuer: issuer.into(), target, effect, at, until: None }
    }

    /// The token of this issuer with this `jti` is refused.
    #[must_use]
    pub fn token(issuer: impl Into<Box<str>>, jti: impl Into<Box<str>>, at: Timestamp) -> Self {
        Self::new(issuer, Target::Token(jti.into()), Effect::Refuse, at)
    }

    /// The token that was accepted is refused from now on. `None` if it has no `jti`.
    ///
    /// It is remembered until it expires. Of a token that its issuer is asked about no answer says when that
    /// is, since the next one can say another `exp`: it is remembered for as long as a token can live, and
    /// for 367 days where it has no `iat` from which that counts.
    #[must_use]
    pub fn of(access: &Access) -> Option<Self> {
        Self::of_facts(access.facts(), access.decided_at())
    }

    /// The same from this time on.
    pub(super) fn of_facts(facts: &Facts, at: Timestamp) -> Option<Self> {
        let jti = facts.jwt_id.as_ref()?;
        let until = match (facts.origin, facts.issued_at) {
            (Origin::Token, _) => Some(facts.expires_at),
            (Origin::Answer { .. }, Some(_)) => None,
            (Origin::Answer { .. }, None) => Some(at.plus(Self::LONGEST_LIFE)),
        };
        Some(Self { until, ..Self::token(facts.issuer.as_str(), jti.as_str(), at) })
    }

    /// The token that was decided about is refused from then on: for an observer that found something
    /// odd about its use. `None` if its signature was not good, or it has no `jti`.
    ///
    /// It is remembered for as long as a token can live that is issued now: a decision does not say whether
    /// what is left of the token's life is the end of it.
    #[must_use]
    pub fn of_decision(decision: &Decision<'_>) -> Option<Self> {
        let (issuer, jti) = decision.token?;
        Some(Self::token(issuer.as_str(), jti.as_str(), decision.at))
    }

    /// The same of a decision that came through a channel: [`crate::observe::channel`].
    #[must_use]
    pub fn of_decided(decided: &DecisionRecord) -> Option<Self> {
        let token = decided.token.as_ref()?;
        Some(Self::token(token.issuer.as_str(), token.jwt_id.as_str(), decided.at))
    }

    /// Tokens with these claims that were issued up to then are refused.
    #[must_use]
    pub fn matching(issuer: impl Into<Box<str>>, claims: Claims, at: Timestamp) -> Self {
        Self::new(issuer, Target::Claims(claims), Effect::Refuse, at)
    }

    /// Tokens signed with the key of this `kid` are refused, whenever they say they were issued: who
    /// has the key chooses `iat`.
    #[must_use]
    pub fn key(issuer: impl Into<Box<str>>, kid: impl Into<Box<str>>, at: Timestamp) -> Self {
        Self::new(issuer, Target::Key(kid.into()), Effect::Purge, at)
    }

    /// All tokens of the issuer that were issued up to then are refused.
    #[must_use]
    pub fn issuer(issuer: impl Into<Box<str>>, at: Timestamp) -> Self {
        Self::new(issuer, Target::Issuer, Effect::Refuse, at)
    }

    /// Of one token: when it expires (`exp`), so that it needs to be remembered no longer; unless it is
    /// said, the record is kept for as long as a token can live that is issued now. It is kept for as long as
    /// one can live that was issued at the time of the record in any case, so that a token that its issuer is
    /// asked about, and gives another `exp` each time, does not come back: leave it unsaid there. Of others
    /// than tokens it has no meaning.
    #[must_use]
    pub fn until(mut self, expires_at: Timestamp) -> Self {
        self.until = Some(expires_at);
        self
    }

    /// The record that takes this one back, at a time of its own. Of one token that is said to expire
    /// ([`Self::until`]) later than twice the longest life after the lift, it takes nothing back in this
    /// process: no class lets such a token pass. So it is with [`Self::of`] a token that its issuer is asked
    /// about and that has no `iat`: it stays refused.
    #[must_use]
    pub fn lifted(&self, at: Timestamp) -> Self {
        Self { effect: Effect::Lift, at, until: None, ..self.clone() }
    }

    /// Whose tokens it is about.
    #[must_use]
    pub fn issuer_id(&self) -> &str {
        &self.issuer
    }

    /// Which of them.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// What happens to them.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// When what it tells of happened.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// When the token expires, if that was said.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.until
    }

    /// Whether it changes nothing: one token is never on hold, and none lives that was revoked and given
    /// back longer ago than a token can live.
    pub(super) fn says_nothing(&self, now: Timestamp, longest_life: Duration) -> bool {
        match (&self.target, self.effect) {
            (Target::Token(_), Effect::Release(_)) => true,
            (Target::Token(_), Effect::Lift) => self.at < now.minus(longest_life),
            _ => false,
        }
    }

    /// Whatever is said of one token refuses it, but what takes back. Where nobody says when it expires
    /// it can have been issued as late as now.
    pub(super) fn simplify(&mut self, now: Timestamp, longest_life: Duration) {
        if !matches!(self.target, Target::Token(_)) {
            return;
        }
        if self.effect != Effect::Lift {
            self.effect = Effect::Refuse;
            let latest = self.at.max(now).plus(longest_life);
            // No class lets a token live longer than that.
            self.until = Some(self.until.unwrap_or(latest).min(now.plus(Self::LONGEST_LIFE)));
        }
    }

    /// Whether every name in it has a length that a name can have.
    pub(crate) fn is_sane(&self) -> bool {
        let sane = |text: &str| !text.is_empty() && text.len() <= Self::MAX_LENGTH;
        let target = match &self.target {
            Target::Token(name) | Target::Key(name) => sane(name),
            Target::Issuer => true,
            Target::Claims(Claims(claims)) => {
                let named = |claim: &Claim| match claim {
                    Claim::Named(name) => sane(name),
                    _ => true,
                };
                !claims.is_empty()
                    && claims.len() <= Claims::MAX
                    && claims.iter().all(|(claim, value)| named(claim) && sane(value))
            }
        };
        sane(&self.issuer) && target
    }
}

impl Claims {
    /// The most claims that one record can name.
    pub const MAX: usize = 8;

    /// The subject, `sub`.
    #[must_use]
    pub fn subject(value: impl Into<Box<str>>) -> Self {
        Self::one(Claim::Subject, value)
    }

    /// The client.
    #[must_use]
    pub fn client(value: impl Into<Box<str>>) -> Self {
        Self::one(Claim::Client, value)
    }

    /// One claim.
    #[must_use]
    pub fn one(claim: Claim, value: impl Into<Box<str>>) -> Self {
        Self(vec![(claim, value.into())])
    }

    /// The session, `sid`.
    #[must_use]
    pub fn session(value: impl Into<Box<str>>) -> Self {
        Self::one(Claim::Session, value)
    }

    /// And the session, `sid`: all of it, so that tokens without one are left alone.
    #[must_use]
    pub fn and_session(self, value: impl Into<Box<str>>) -> Self {
        self.and(Claim::Session, value)
    }

    /// And this one. Two values of one claim no token has, unless the claim is an array.
    #[must_use]
    pub fn and(mut self, claim: Claim, value: impl Into<Box<str>>) -> Self {
        let wanted = (claim, value.into());
        if let Err(place) = self.0.binary_search(&wanted) {
            self.0.insert(place, wanted);
        }
        self
    }

    /// Each claim with its value, in one order however they were added.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Claim, &str)> {
        self.0.iter().map(|(claim, value)| (claim, &**value))
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Who is meant is the business of whoever asks for it.
        f.debug_list().entries(self.0.iter().map(|(claim, _)| claim)).finish()
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(_) => f.write_str("Token(..)"),
            Self::Key(kid) => f.debug_tuple("Key").field(kid).finish(),
            Self::Issuer => f.write_str("Issuer"),
            Self::Claims(claims) => f.debug_tuple("Claims").field(claims).finish(),
        }
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("issuer", &self.issuer)
            .field("target", &self.target)
            .field("effect", &self.effect)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A token is kept as revoked until it expires, but not for longer than 367 days: no class lets one live so
    /// long.
    #[test]
    fn a_revoked_token_is_kept_for_367_days_at_most() {
        let now = Timestamp::from_secs(1_800_000_000);
        let day = |days: u64| now.plus(Duration::from_hours(24 * days));
        let hour = Duration::from_hours(1);
        let kept = |until: Option<Timestamp>, longest_life: Duration| {
            let mut record = Record::token("https://as.example", "t-1", now);
            record.until = until;
            record.simplify(now, longest_life);
            record.until.unwrap()
        };
        assert_eq!(kept(Some(day(300)), hour), day(300));
        assert_eq!(kept(Some(day(367)), hour), day(367));
        assert_eq!(kept(Some(day(368)), hour), day(367));
        assert_eq!(kept(None, hour), now.plus(hour), "nobody said when it expires");
        assert_eq!(kept(None, Duration::from_hours(24 * 400)), day(367));
    }
}
