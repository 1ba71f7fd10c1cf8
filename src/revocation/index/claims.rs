use std::collections::HashMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use siphasher::sip128::{Hasher128 as _, SipHasher13};

use super::state::{About, Finding, State};
use crate::access::Facts;
use crate::revocation::record::Effect;
use crate::time::Timestamp;

/// What is known of issuers, keys, sessions, subjects, clients and other claims.
///
/// Each entry is found by its most telling claim; what else it wants of a token it says itself. A
/// change copies one of many small parts and publishes the copy, so that reading takes no lock.
pub(super) struct ClaimIndex {
    parts: Box<[ArcSwap<Part>]>,
    keys: (u64, u64),
    /// Entries, by the kind of claim: what nobody ever named is not looked up.
    kinds: [AtomicUsize; Self::KINDS],
    /// The part that is purged next.
    next: AtomicUsize,
}

type Part = HashMap<u128, Found, BuildHasherDefault<Identity>>;

/// Everything that was said of one claim of one issuer.
#[derive(Clone)]
struct Found {
    issuer: Arc<str>,
    kind: usize,
    entries: Arc<[Entry]>,
}

#[derive(Clone)]
struct Entry {
    /// What a token has to have beside.
    conditions: Box<[Condition]>,
    state: State,
}

/// A claim and its value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Key<'a> {
    Issuer,
    /// Of a token only what was taken back: what is revoked is kept elsewhere.
    Token(&'a str),
    Signer(&'a str),
    Session(&'a str),
    Subject(&'a str),
    Client(&'a str),
    /// The claim's place in the configuration.
    Named(u16, &'a str),
}

/// The same, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    about: About,
    value: Box<str>,
}

impl<'a> Key<'a> {
    const fn about(self) -> About {
        match self {
            Self::Issuer => About::Issuer,
            Self::Token(_) => About::Token,
            Self::Signer(_) => About::Key,
            Self::Session(_) => About::Session,
            Self::Subject(_) => About::Subject,
            Self::Client(_) => About::Client,
            Self::Named(place, _) => About::Named(place),
        }
    }

    const fn value(self) -> &'a str {
        match self {
            Self::Issuer => "",
            Self::Token(value)
            | Self::Signer(value)
            | Self::Session(value)
            | Self::Subject(value)
            | Self::Client(value)
            | Self::Named(_, value) => value,
        }
    }

    const fn kind(self) -> usize {
        match self {
            Self::Issuer => 0,
            Self::Signer(_) => 1,
            Self::Session(_) => 2,
            Self::Subject(_) => 3,
            Self::Client(_) => 4,
            Self::Named(..) => 5,
            Self::Token(_) => 6,
        }
    }
}

impl Condition {
    pub(super) fn of(key: Key<'_>) -> Self {
        Self { about: key.about(), value: key.value().into() }
    }

    fn holds(&self, facts: &Facts) -> bool {
        let is = |found: Option<&str>| found == Some(&*self.value);
        match self.about {
            About::Issuer | About::Token => true,
            About::Key => is(facts.key_id.as_deref().map(AsRef::as_ref)),
            About::Session => is(facts.session.as_deref()),
            About::Subject => is(Some(facts.subject.as_str())),
            About::Client => is(facts.client_id.as_ref().map(AsRef::as_ref)),
            About::Named(place) => {
                facts.named.iter().any(|(at, value)| *at == place && *value == self.value)
            }
        }
    }
}

impl ClaimIndex {
    const PARTS: u128 = 1_024;
    const KINDS: usize = 7;
    const PURGED_AT_ONCE: usize = 64;

    pub(super) fn new() -> Self {
        let empty: Arc<Part> = Arc::default();
        let random = RandomState::new();
        Self {
            parts: (0..Self::PARTS).map(|_| ArcSwap::new(Arc::clone(&empty))).collect(),
            // Unpredictable, and different for each index: that is all that is asked of them.
            keys: (random.hash_one(0), random.hash_one(1)),
            kinds: Default::default(),
            next: AtomicUsize::new(0),
        }
    }

    /// The strictest of all that is known.
    pub(super) fn ask(&self, facts: &Facts) -> Finding {
        let mut finding = Finding::Clear;
        let mut look = |key: Key<'_>| {
            let any = self.kinds.get(key.kind());
            if any.is_some_and(|count| count.load(Ordering::Acquire) > 0) {
                finding = finding.or(self.find(facts, key));
            }
        };
        look(Key::Issuer);
        look(Key::Subject(facts.subject.as_str()));
        if let Some(kid) = &facts.key_id {
            look(Key::Signer(kid.as_str()));
        }
        if let Some(session) = &facts.session {
            look(Key::Session(session));
        }
        if let Some(client) = &facts.client_id {
            look(Key::Client(client.as_str()));
        }
        for (place, value) in &facts.named {
            look(Key::Named(*place, value));
        }
        finding
    }

    /// Whether something was said of it, whatever it wants beside.
    pub(super) fn knows(&self, issuer: &str, key: Key<'_>) -> bool {
        let fingerprint = self.fingerprint(issuer, key);
        self.part(fingerprint).is_some_and(|part| part.load().contains_key(&fingerprint))
    }

    /// Up to when what was said of it counts no more, as far as it wants nothing beside.
    pub(super) fn lifted(&self, issuer: &str, key: Key<'_>) -> Option<Timestamp> {
        let fingerprint = self.fingerprint(issuer, key);
        let part = self.part(fingerprint)?.load();
        let entries = &part.get(&fingerprint)?.entries;
        entries.iter().find(|entry| entry.conditions.is_empty())?.state.lifted()
    }

    /// One writer at a time.
    pub(super) fn apply(
        &self,
        issuer: &str,
        key: Key<'_>,
        conditions: Vec<Condition>,
        effect: Effect,
        at: Timestamp,
    ) {
        let fingerprint = self.fingerprint(issuer, key);
        let Some(place) = self.part(fingerprint) else { return };
        let before = place.load_full();
        let found = before.get(&fingerprint);
        let mut entries: Vec<Entry> = found.map(|found| found.entries.to_vec()).unwrap_or_default();
        let known = entries.len();
        let entry = match entries.iter_mut().find(|entry| *entry.conditions == *conditions) {
            Some(entry) => entry,
            None => {
                entries.push(Entry { conditions: conditions.into(), state: State::default() });
                let Some(entry) = entries.last_mut() else { return };
                entry
            }
        };
        let earlier = entry.state.clone();
        entry.state.apply(effect, at);
        if entry.state == earlier {
            return;
        }
        entries.retain(|entry| entry.state != State::default());
        let left = entries.len();
        let issuer = found.map_or_else(|| issuer.into(), |found| Arc::clone(&found.issuer));
        let mut after = Part::clone(&before);
        if entries.is_empty() {
            after.remove(&fingerprint);
        } else {
            let found = Found { issuer, kind: key.kind(), entries: entries.into() };
            after.insert(fingerprint, found);
        }
        // The count first: who sees a count of zero must not have missed an entry.
        self.count(key.kind(), known, left.max(known));
        place.store(Arc::new(after));
        self.count(key.kind(), left.max(known), left);
    }

    /// Forgets what can matter no more, in some of the parts: the next ones the next time.
    pub(super) fn purge(&self, now: Timestamp, life: Duration) {
        let before = now.minus(life);
        let start = self.next.fetch_add(Self::PURGED_AT_ONCE, Ordering::Relaxed);
        for place in 0..Self::PURGED_AT_ONCE {
            let place = start.wrapping_add(place).checked_rem(self.parts.len());
            if let Some(part) = place.and_then(|place| self.parts.get(place)) {
                self.retain_in(part, &mut |_, entry| entry.state.purge(before));
            }
        }
    }

    /// Of the issuer with the most cut-offs: it, and the time that half of them do not pass.
    pub(super) fn foldable(&self) -> Option<(String, Timestamp)> {
        let mut cut_offs: HashMap<Arc<str>, Vec<Timestamp>> = HashMap::new();
        for part in &self.parts {
            for found in part.load().values().filter(|found| found.kind != Key::Issuer.kind()) {
                let times = found.entries.iter().filter_map(|entry| entry.state.only_cut_off());
                let of_issuer = cut_offs.entry(Arc::clone(&found.issuer)).or_default();
                of_issuer.extend(times);
            }
        }
        let (issuer, mut times) = cut_offs.into_iter().max_by_key(|(_, times)| times.len())?;
        times.sort_unstable();
        let middle = times.len().checked_sub(1)?.checked_div(2)?;
        Some((issuer.to_string(), *times.get(middle)?))
    }

    /// Drops the cut-offs that the issuer's own covers.
    pub(super) fn drop_covered(&self, issuer: &str) {
        let fingerprint = self.fingerprint(issuer, Key::Issuer);
        let all = self.part(fingerprint).and_then(|part| {
            let part = part.load();
            let entries = &part.get(&fingerprint)?.entries;
            entries.iter().filter_map(|entry| entry.state.cut_off()).max()
        });
        let Some(all) = all else { return };
        self.retain(|found, entry| {
            let covered = &*found.issuer == issuer && found.kind != Key::Issuer.kind();
            !(covered && entry.state.only_cut_off().is_some_and(|at| at <= all))
        });
    }

    /// The same of every issuer.
    pub(super) fn drop_all_covered(&self) {
        let mut issuers: Vec<Arc<str>> = Vec::new();
        for part in &self.parts {
            let part = part.load();
            let own = part.values().filter(|found| found.kind == Key::Issuer.kind());
            issuers.extend(own.map(|found| Arc::clone(&found.issuer)));
        }
        issuers.iter().for_each(|issuer| self.drop_covered(issuer));
    }

    pub(super) fn len(&self) -> usize {
        self.kinds.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    fn find(&self, facts: &Facts, key: Key<'_>) -> Finding {
        let fingerprint = self.fingerprint(facts.issuer.as_str(), key);
        let Some(part) = self.part(fingerprint) else { return Finding::Clear };
        let part = part.load();
        let Some(found) = part.get(&fingerprint) else { return Finding::Clear };
        found
            .entries
            .iter()
            .filter(|entry| entry.conditions.iter().all(|condition| condition.holds(facts)))
            .map(|entry| entry.state.finding(key.about(), facts.issued_at, facts.auth_time))
            .fold(Finding::Clear, Finding::or)
    }

    /// Keeps the entries that this says yes to, part by part.
    fn retain(&self, mut keep: impl FnMut(&Found, &mut Entry) -> bool) {
        for part in &self.parts {
            self.retain_in(part, &mut keep);
        }
    }

    fn retain_in(&self, part: &ArcSwap<Part>, keep: &mut dyn FnMut(&Found, &mut Entry) -> bool) {
        let before = part.load_full();
        let mut after = Part::default();
        let mut gone = [0_usize; Self::KINDS];
        let mut changed = false;
        for (fingerprint, found) in before.iter() {
            let mut entries = found.entries.to_vec();
            let known = entries.len();
            entries.retain_mut(|entry| {
                let earlier = entry.state.clone();
                let keep = keep(found, entry);
                changed |= !keep || entry.state != earlier;
                keep
            });
            if let Some(gone) = gone.get_mut(found.kind) {
                *gone = gone.saturating_add(known.saturating_sub(entries.len()));
            }
            if !entries.is_empty() {
                let found = Found { entries: entries.into(), ..found.clone() };
                after.insert(*fingerprint, found);
            }
        }
        if changed {
            part.store(Arc::new(after));
            for (kind, gone) in gone.into_iter().enumerate() {
                self.count(kind, gone, 0);
            }
        }
    }

    /// So many before, so many after.
    fn count(&self, kind: usize, before: usize, after: usize) {
        let Some(count) = self.kinds.get(kind) else { return };
        if after > before {
            count.fetch_add(after.saturating_sub(before), Ordering::AcqRel);
        } else if before > after {
            count.fetch_sub(before.saturating_sub(after), Ordering::AcqRel);
        }
    }

    fn part(&self, fingerprint: u128) -> Option<&ArcSwap<Part>> {
        let place = usize::try_from(fingerprint % Self::PARTS).ok()?;
        self.parts.get(place)
    }

    /// The lengths go first: behind them the texts need nothing between them.
    fn fingerprint(&self, issuer: &str, key: Key<'_>) -> u128 {
        let mut hasher = SipHasher13::new_with_keys(self.keys.0, self.keys.1);
        let place = match key {
            Key::Named(place, _) => u64::from(place),
            _ => 0,
        };
        hasher.write_usize(key.kind());
        hasher.write_u64(place);
        hasher.write_usize(issuer.len());
        hasher.write(issuer.as_bytes());
        hasher.write(key.value().as_bytes());
        hasher.finish128().as_u128()
    }
}

/// A fingerprint is a keyed hash already. Its lowest bits say the part.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // INVARIANT: fingerprints are `u128`, which does not come this way.
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, fingerprint: u128) {
        self.0 = u64::try_from(fingerprint >> 64).unwrap_or_default();
    }
}
