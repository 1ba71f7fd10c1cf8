//! Everything that is known of revocation, in memory, asked on every request.
//!
//! 1. Reading takes no lock and waits for no writer.
//! 2. What was applied is seen by every question that begins after it.
//! 3. Names are kept as keyed fingerprints, of tokens nothing else; the key is of this process.
//! 4. Nothing is dropped before it can matter no more: see [`Age`].

mod age;
mod claims;
mod state;
#[cfg(test)]
mod tests;
mod tokens;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(super) use age::{Age, Room};
use claims::{Changes, ClaimIndex, Key};
pub(crate) use state::{About, Finding};
pub use tokens::{Inserted, Purged, RevokedTokens, TokenFingerprint};

use super::record::{Claim, Claims, Effect, Record, Target};
use crate::access::Facts;
use crate::time::Timestamp;

/// The index of one server.
pub(crate) struct Index {
    tokens: RevokedTokens,
    claims: ClaimIndex,
    /// The claims that records can name, beside those that every token has. Their places are those
    /// of [`Facts::named`].
    named: Arc<[Box<str>]>,
    /// How long a token can be accepted after its `iat`, leeways included.
    life: Duration,
    /// One more with every change: whoever remembers a decision remembers it too.
    version: Arc<AtomicU64>,
    writer: Mutex<()>,
}

impl Index {
    /// Tokens are looked through in so many purges, or a few more: in more where most are dropped, since the
    /// pace is that of what is left.
    const PURGES: usize = 16;
    /// A segment of the tokens has some hundred of them at least, once there are many.
    const IN_A_SEGMENT: usize = 500;

    pub(super) fn new(named: Arc<[Box<str>]>, life: Duration) -> Self {
        Self {
            tokens: RevokedTokens::new(),
            claims: ClaimIndex::new(),
            named,
            life,
            version: Arc::default(),
            writer: Mutex::default(),
        }
    }

    /// What is known of this token.
    pub(super) fn ask(&self, facts: &Facts, now: Timestamp) -> Finding {
        let issuer = facts.issuer.as_str();
        if let Some(jti) = facts.jwt_id.as_ref().filter(|_| !self.tokens.is_empty()) {
            let token = self.tokens.fingerprint(issuer, jti.as_str());
            if self.tokens.contains(token, now) {
                return Finding::Token;
            }
        }
        self.claims.ask(facts)
    }

    /// Applies records that were found usable. Whoever asks meanwhile sees some of them.
    pub(super) fn apply(&self, records: &[Record]) {
        let _writer = self.writing();
        let mut changes = Changes::new(&self.claims);
        for record in records {
            let (issuer, effect, at) = (&*record.issuer, record.effect, record.at);
            match &record.target {
                Target::Token(jti) => self.apply_to_token(record, jti),
                Target::Key(kid) => changes.add(issuer, &[Key::Signer(kid)], effect, at),
                Target::Issuer => changes.add(issuer, &[Key::Issuer], effect, at),
                Target::Claims(claims) => {
                    if let Some(keys) = self.keys(claims) {
                        changes.add(issuer, &keys, effect, at);
                    }
                }
            }
        }
        changes.publish();
        self.version.fetch_add(1, Ordering::Release);
    }

    fn apply_to_token(&self, record: &Record, jti: &str) {
        let token = self.tokens.fingerprint(&record.issuer, jti);
        match record.effect {
            Effect::Release(_) => {}
            Effect::Lift => {
                // The memory of it first: nobody writes in between.
                let mut changes = Changes::new(&self.claims);
                changes.add(&record.issuer, &[Key::Token(jti)], Effect::Lift, record.at);
                changes.publish();
                // The end of a record says when the token was revoked: what was revoked later stays so.
                if !self.tokens.contains(token, self.end_of(record.at)) {
                    self.tokens.remove(token);
                }
            }
            _ => {
                let lifted = self.claims.lifted(&record.issuer, Key::Token(jti));
                if lifted.is_none_or(|lifted| record.at > lifted) {
                    self.tokens.insert(token, self.until(record));
                }
            }
        }
    }

    /// How many records of these are about something of which nothing is known yet.
    pub(super) fn new_among(&self, records: &[Record], now: Timestamp) -> usize {
        let mut new = HashSet::new();
        for record in records {
            if !self.knows(record, now) {
                new.insert((&record.issuer, &record.target));
            }
        }
        new.len()
    }

    /// How many records there would be if everything was folded that can be, of these issuers or of all, and
    /// these were applied after it: what they say of a target that was folded is kept beside what was.
    pub(super) fn len_folded(
        &self,
        issuers: Option<&[Box<str>]>,
        records: &[Record],
        now: Timestamp,
    ) -> usize {
        let fewer = self.claims.fewer_folded(issuers);
        let mut new = HashSet::new();
        for record in records {
            let folded = || fewer.contains_key(&*record.issuer) && self.is_foldable(record);
            if !self.knows(record, now) || folded() {
                new.insert((&record.issuer, &record.target));
            }
        }
        let fewer = fewer.values().fold(0_usize, |sum, fewer| sum.saturating_add(fewer.get()));
        self.len().saturating_sub(fewer).saturating_add(new.len())
    }

    /// Whether what is known of the target of this record can be folded.
    fn is_foldable(&self, record: &Record) -> bool {
        let issuer = &*record.issuer;
        match &record.target {
            Target::Token(_) | Target::Issuer => false,
            Target::Key(kid) => self.claims.is_foldable(issuer, &[Key::Signer(kid)]),
            Target::Claims(claims) => {
                let keys = self.keys(claims);
                keys.is_some_and(|keys| self.claims.is_foldable(issuer, &keys))
            }
        }
    }

    /// Whether something is known of the target of this record, or it says nothing new.
    fn knows(&self, record: &Record, now: Timestamp) -> bool {
        let issuer = &*record.issuer;
        match (&record.target, record.effect) {
            (Target::Token(_), Effect::Release(_)) => true,
            (Target::Token(jti), _) => {
                self.tokens.contains(self.tokens.fingerprint(issuer, jti), now)
                    || self.claims.knows(issuer, &[Key::Token(jti)])
            }
            (Target::Key(kid), _) => self.claims.knows(issuer, &[Key::Signer(kid)]),
            (Target::Issuer, _) => self.claims.knows(issuer, &[Key::Issuer]),
            (Target::Claims(claims), _) => {
                self.keys(claims).is_none_or(|keys| self.claims.knows(issuer, &keys))
            }
        }
    }

    /// Whether a record names only claims that are looked at.
    pub(super) fn can_match(&self, record: &Record) -> bool {
        let known = |claim: &Claim| match claim {
            Claim::Named(name) => self.named.contains(name),
            _ => true,
        };
        match &record.target {
            Target::Claims(claims) => claims.iter().all(|(claim, _)| known(claim)),
            _ => true,
        }
    }

    /// Drops some of what can matter no more.
    pub(super) fn purge(&self, now: Timestamp) {
        let _writer = self.writing();
        let segments = self.tokens.len() / Self::IN_A_SEGMENT / Self::PURGES;
        self.tokens.purge(now, segments.saturating_add(1));
        self.claims.purge(now, self.life);
    }

    /// Makes one cut-off of the older half of an issuer's and the one after it, of the one among these that has
    /// the most, and gives both; `None` if that would make no room. `None` for all issuers.
    pub(super) fn fold(&self, issuers: Option<&[Box<str>]>) -> Option<(String, Timestamp)> {
        let _writer = self.writing();
        let (issuer, at) = self.claims.foldable(issuers)?;
        self.claims.fold(&issuer, at);
        self.version.fetch_add(1, Ordering::Release);
        Some((issuer, at))
    }

    /// What a record is about, for an operator: the name of the claim.
    pub(super) fn shown(&self, about: About) -> &str {
        match about {
            About::Issuer => "issuer",
            About::Token => "token",
            About::Key => "signing key",
            About::Session => "session",
            About::Subject => "subject",
            About::Client => "client",
            About::Named(place) => self.named.get(usize::from(place)).map_or("claim", |name| name),
        }
    }

    /// The claims that records can name, beside those that every token has.
    pub(super) fn named(&self) -> &[Box<str>] {
        &self.named
    }

    /// How many records are kept.
    pub(super) fn len(&self) -> usize {
        self.tokens.len().saturating_add(self.claims.len())
    }

    /// How long a token can be accepted after its `iat`.
    pub(super) fn life(&self) -> Duration {
        self.life
    }

    /// One more with every change.
    pub(super) fn version(&self) -> &Arc<AtomicU64> {
        &self.version
    }

    /// How long the record of a token is kept: until it can be accepted no more, whoever said when that
    /// is. It is as long as two tokens live, so that it says when the token was revoked.
    fn until(&self, record: &Record) -> Timestamp {
        let said = record.until.map(|expires_at| expires_at.plus(super::LEEWAYS_MOST));
        let end = self.end_of(record.at);
        said.map_or(end, |said| said.max(end))
    }

    /// The end of the record of a token that was revoked then: in whole seconds.
    fn end_of(&self, at: Timestamp) -> Timestamp {
        let twice = self.life.saturating_mul(2).saturating_add(super::LEEWAYS_MOST);
        let whole = Duration::from_secs(twice.as_secs().saturating_add(1));
        Timestamp::from_secs(at.as_secs()).plus(whole)
    }

    /// `None` if one of these claims is not looked at.
    fn keys<'a>(&self, claims: &'a Claims) -> Option<Vec<Key<'a>>> {
        claims.iter().map(|(claim, value)| self.key(claim, value)).collect()
    }

    fn key<'a>(&self, claim: &'a Claim, value: &'a str) -> Option<Key<'a>> {
        Some(match claim {
            Claim::Session => Key::Session(value),
            Claim::Subject => Key::Subject(value),
            Claim::Client => Key::Client(value),
            Claim::Named(name) => {
                let place = self.named.iter().position(|known| known == name)?;
                Key::Named(u16::try_from(place).ok()?, value)
            }
        })
    }

    fn writing(&self) -> MutexGuard<'_, ()> {
        // It guards nothing that could be half-written: each change is published whole.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
