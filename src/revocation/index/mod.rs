//! Everything that is known of revocation, in memory, asked on every request.
//!
//! 1. Reading takes no lock and waits for no writer.
//! 2. What was applied is seen by every question that begins after it.
//! 3. Names are kept as keyed fingerprints, of tokens nothing else; the key is of this process.
//! 4. Nothing is dropped before it can matter no more: see [`Age`].

mod age;
mod claims;
mod state;
mod tokens;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(super) use age::Age;
use claims::{ClaimIndex, Key};
pub(crate) use state::{About, Finding};
pub use tokens::{Inserted, Purged, RevokedTokens, TokenFingerprint};

use super::record::{Claim, Effect, Record, Target};
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
    /// Tokens are looked through in so many purges, or a few more.
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

    /// Applies one record, which was found usable.
    pub(super) fn apply(&self, record: &Record) {
        let _writer = self.writing();
        match &record.target {
            Target::Token(jti) => {
                let token = self.tokens.fingerprint(&record.issuer, jti);
                match record.effect {
                    Effect::Release(_) => {}
                    Effect::Lift => {
                        // The memory of it first: nobody writes in between.
                        self.apply_to(Key::Token(jti), &[], record);
                        self.tokens.remove(token);
                    }
                    _ => {
                        let lifted = self.claims.lifted(&record.issuer, Key::Token(jti));
                        if lifted.is_none_or(|lifted| record.at > lifted) {
                            self.tokens.insert(token, self.until(record));
                        }
                    }
                }
            }
            Target::Key(kid) => self.apply_to(Key::Signer(kid), &[], record),
            Target::Issuer => self.apply_to(Key::Issuer, &[], record),
            Target::Claims(claims) => {
                let mut conditions: Vec<_> = claims.iter().collect();
                if conditions.is_empty() {
                    return;
                }
                let (claim, value) = conditions.remove(0);
                if let Some(key) = self.key(claim, value) {
                    self.apply_to(key, &conditions, record);
                }
            }
        }
        self.changed();
    }

    /// How many records of these are about something of which nothing is known yet.
    pub(super) fn new_among(&self, records: &[Record], now: Timestamp) -> usize {
        let is_new = |record: &&Record| match (&record.target, record.effect) {
            (Target::Token(_), Effect::Release(_)) => false,
            (Target::Token(jti), _) => {
                !self.tokens.contains(self.tokens.fingerprint(&record.issuer, jti), now)
                    && !self.claims.knows(&record.issuer, Key::Token(jti))
            }
            (Target::Key(kid), _) => !self.claims.knows(&record.issuer, Key::Signer(kid)),
            (Target::Issuer, _) => !self.claims.knows(&record.issuer, Key::Issuer),
            (Target::Claims(claims), _) => claims.iter().next().is_none_or(|(claim, value)| {
                // Further conditions are further entries.
                claims.iter().len() > 1
                    || self
                        .key(claim, value)
                        .is_some_and(|key| !self.claims.knows(&record.issuer, key))
            }),
        };
        records.iter().filter(is_new).count()
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

    /// Replaces the older half of one issuer's cut-offs by one for the whole issuer, and gives that;
    /// `None` if there is nothing to fold.
    pub(super) fn fold(&self) -> Option<Record> {
        let _writer = self.writing();
        let (issuer, at) = self.claims.foldable()?;
        Some(Record::issuer(issuer, at))
    }

    /// Drops the cut-offs that the issuer's own covers.
    pub(super) fn drop_covered(&self, issuer: &str) {
        let _writer = self.writing();
        self.claims.drop_covered(issuer);
    }

    /// Drops every cut-off that its issuer's own covers.
    pub(super) fn drop_all_covered(&self) {
        let _writer = self.writing();
        self.claims.drop_all_covered();
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

    /// From when on a token can be accepted no more, whatever the leeway is.
    fn until(&self, record: &Record) -> Timestamp {
        let expires_at = record.until.unwrap_or(record.at.plus(self.life));
        expires_at.plus(super::LEEWAY_MOST)
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

    fn apply_to(&self, key: Key<'_>, conditions: &[(&Claim, &str)], record: &Record) {
        let conditions: Option<Vec<_>> = conditions
            .iter()
            .map(|(claim, value)| self.key(claim, value).map(claims::Condition::of))
            .collect();
        if let Some(conditions) = conditions {
            self.claims.apply(&record.issuer, key, conditions, record.effect, record.at);
        }
    }

    fn changed(&self) {
        self.version.fetch_add(1, Ordering::Release);
    }

    fn writing(&self) -> MutexGuard<'_, ()> {
        // It guards nothing that could be half-written: each change is published whole.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
