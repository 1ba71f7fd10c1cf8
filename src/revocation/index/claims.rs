use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use siphasher::sip128::{Hasher128 as _, SipHasher13};

use super::state::{About, Finding, State};
use crate::access::Facts;
use crate::place::BuildPlaceHasher;
use crate::revocation::record::Effect;
use crate::time::Timestamp;

/// What is known of issuers, keys, sessions, subjects, clients and other claims.
///
/// Each entry is found by one of its claims, the one with the fewest entries; what else it wants of a
/// token it says itself. A change copies one of many small parts and publishes the copy, so that reading takes no lock.
pub(super) struct ClaimIndex {
    parts: Box<[ArcSwap<Part>]>,
    keys: (u64, u64),
    /// Entries, by the kind of claim: what nobody ever named is not looked up.
    kinds: [AtomicUsize; Self::KINDS],
    /// The part that is purged next.
    next: AtomicUsize,
}

type Part = HashMap<u128, Found, BuildPlaceHasher>;

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

    /// Whether something was said of tokens with all of these.
    pub(super) fn knows(&self, issuer: &str, keys: &[Key<'_>]) -> bool {
        self.place_of(issuer, keys).is_some()
    }

    /// Under which of these the entry is that wants all of them.
    fn place_of(&self, issuer: &str, keys: &[Key<'_>]) -> Option<usize> {
        (0..keys.len()).find(|place| {
            let Some(key) = keys.get(*place) else { return false };
            let fingerprint = self.fingerprint(issuer, *key);
            let part = self.part(fingerprint).map(|part| part.load());
            let found = part.as_ref().and_then(|part| part.get(&fingerprint));
            let others = others(keys, *place);
            found
                .is_some_and(|found| found.entries.iter().any(|entry| *entry.conditions == *others))
        })
    }

    /// How many entries are under this.
    fn crowd(&self, fingerprint: u128) -> usize {
        let Some(part) = self.part(fingerprint) else { return 0 };
        part.load().get(&fingerprint).map_or(0, |found| found.entries.len())
    }

    /// Up to when what was said of it counts no more, as far as it wants nothing beside.
    pub(super) fn lifted(&self, issuer: &str, key: Key<'_>) -> Option<Timestamp> {
        let fingerprint = self.fingerprint(issuer, key);
        let part = self.part(fingerprint)?.load();
        let entries = &part.get(&fingerprint)?.entries;
        entries.iter().find(|entry| entry.conditions.is_empty())?.state.lifted()
    }

    fn change(&self, place: &ArcSwap<Part>, changes: Vec<Change>) {
        let before = place.load_full();
        let mut touched: HashMap<u128, (Arc<str>, usize, Vec<Entry>)> = HashMap::new();
        for Change { fingerprint, issuer, kind, conditions, says, at } in changes {
            let (_, _, entries) =
                touched.entry(fingerprint).or_insert_with(|| match before.get(&fingerprint) {
                    Some(found) => (Arc::clone(&found.issuer), found.kind, found.entries.to_vec()),
                    None => (issuer, kind, Vec::new()),
                });
            let known = entries.iter_mut().find(|entry| *entry.conditions == *conditions);
            let state = match known {
                Some(entry) => &mut entry.state,
                None => {
                    entries.push(Entry { conditions: conditions.into(), state: State::default() });
                    let Some(entry) = entries.last_mut() else { continue };
                    &mut entry.state
                }
            };
            match says {
                Word::Effect(effect) => state.apply(effect, at),
                Word::Fold => state.fold(at),
            }
        }
        let mut after = Part::clone(&before);
        let (mut more, mut less) = ([0_usize; Self::KINDS], [0_usize; Self::KINDS]);
        for (fingerprint, (issuer, kind, mut entries)) in touched {
            entries.retain(|entry| entry.state != State::default());
            let known = before.get(&fingerprint).map_or(0, |found| found.entries.len());
            if let (Some(more), Some(less)) = (more.get_mut(kind), less.get_mut(kind)) {
                *more = more.saturating_add(entries.len().saturating_sub(known));
                *less = less.saturating_add(known.saturating_sub(entries.len()));
            }
            if entries.is_empty() {
                after.remove(&fingerprint);
            } else {
                after.insert(fingerprint, Found { issuer, kind, entries: entries.into() });
            }
        }
        // The count first: who sees a count of zero must not have missed an entry.
        more.into_iter().enumerate().for_each(|(kind, more)| self.count(kind, 0, more));
        place.store(Arc::new(after));
        less.into_iter().enumerate().for_each(|(kind, less)| self.count(kind, less, 0));
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

    /// Which issuer of these, or of all, has the most cut-offs, and a time that more than half of those do not
    /// pass that are not for the whole issuer. One that is counts among the most: the others can join it. Of
    /// several with as many it is the first by name. `None` where folding would leave no fewer than there are.
    pub(super) fn foldable(&self, issuers: Option<&[Box<str>]>) -> Option<(String, Timestamp)> {
        let cut_offs = self.cut_offs(issuers);
        // Of several that are the most, the last is taken.
        let by_name = cut_offs.into_iter().rev();
        let most = by_name.max_by_key(|(issuer, times)| self.become_one(issuer, times));
        let (issuer, mut times) =
            most.filter(|(issuer, times)| self.become_one(issuer, times) > 1)?;
        times.sort_unstable();
        Some((issuer.to_string(), *times.get(times.len() / 2)?))
    }

    /// By how many entries there would be fewer, issuer by issuer, if everything was folded that can be: those
    /// of which that is none are not there.
    pub(super) fn fewer_folded(
        &self,
        issuers: Option<&[Box<str>]>,
    ) -> HashMap<Arc<str>, NonZeroUsize> {
        let fewer = |issuer: &str, times: &[Timestamp]| {
            NonZeroUsize::new(self.become_one(issuer, times).saturating_sub(1))
        };
        let cut_offs = self.cut_offs(issuers).into_iter();
        cut_offs
            .filter_map(|(issuer, times)| Some((Arc::clone(&issuer), fewer(&issuer, &times)?)))
            .collect()
    }

    /// Whether what was said of tokens with all of these, which are not all of the issuer, can be folded.
    pub(super) fn is_foldable(&self, issuer: &str, keys: &[Key<'_>]) -> bool {
        let place = self.place_of(issuer, keys);
        let Some((place, key)) = place.and_then(|place| Some((place, *keys.get(place)?))) else {
            return false;
        };
        let fingerprint = self.fingerprint(issuer, key);
        let part = self.part(fingerprint).map(|part| part.load());
        let found = part.as_ref().and_then(|part| part.get(&fingerprint));
        let others = others(keys, place);
        let mut entries = found.into_iter().flat_map(|found| found.entries.iter());
        let entry = entries.find(|entry| *entry.conditions == *others);
        entry.is_some_and(|entry| entry.state.only_cut_off().is_some())
    }

    /// The times of what can be folded, of these issuers or of all.
    fn cut_offs(&self, issuers: Option<&[Box<str>]>) -> BTreeMap<Arc<str>, Vec<Timestamp>> {
        let mut cut_offs: BTreeMap<Arc<str>, Vec<Timestamp>> = BTreeMap::new();
        let among = |found: &&Found| {
            issuers.is_none_or(|issuers| issuers.iter().any(|issuer| **issuer == *found.issuer))
        };
        for part in &self.parts {
            for found in part.load().values().filter(among) {
                if found.kind != Key::Issuer.kind() {
                    let times = found.entries.iter().filter_map(|entry| entry.state.only_cut_off());
                    cut_offs.entry(Arc::clone(&found.issuer)).or_default().extend(times);
                }
            }
        }
        cut_offs
    }

    /// How many entries become one: the one for the whole issuer may be there already.
    fn become_one(&self, issuer: &str, times: &[Timestamp]) -> usize {
        times.len().saturating_add(usize::from(self.is_cut_off(issuer)))
    }

    /// Whether there is an entry for all tokens of this issuer.
    fn is_cut_off(&self, issuer: &str) -> bool {
        let fingerprint = self.fingerprint(issuer, Key::Issuer);
        self.part(fingerprint).is_some_and(|part| part.load().contains_key(&fingerprint))
    }

    /// One cut-off for the whole issuer, in place of those that are not later.
    pub(super) fn fold(&self, issuer: &str, at: Timestamp) {
        let mut changes = Changes::new(self);
        changes.fold(issuer, at);
        changes.publish();
        self.retain(|found, entry| {
            let covered = &*found.issuer == issuer && found.kind != Key::Issuer.kind();
            !(covered && entry.state.only_cut_off().is_some_and(|time| time <= at))
        });
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
        self.parts.get(Self::place(fingerprint)?)
    }

    fn place(fingerprint: u128) -> Option<usize> {
        usize::try_from(fingerprint % Self::PARTS).ok()
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

/// All but the one at this place.
fn others(keys: &[Key<'_>], place: usize) -> Vec<Condition> {
    let others = keys.iter().enumerate().filter(|(other, _)| *other != place);
    others.map(|(_, key)| Condition::of(*key)).collect()
}

/// Changes that are published together, part by part: each part is copied once.
pub(super) struct Changes<'a> {
    index: &'a ClaimIndex,
    parts: HashMap<usize, Vec<Change>>,
    /// Entries that come to each fingerprint.
    coming: HashMap<u128, usize>,
    /// Where targets go that were not known before: by the fingerprints of all their claims.
    chosen: HashMap<Vec<u128>, usize>,
}

struct Change {
    fingerprint: u128,
    issuer: Arc<str>,
    kind: usize,
    conditions: Vec<Condition>,
    says: Word,
    at: Timestamp,
}

#[derive(Clone, Copy)]
enum Word {
    Effect(Effect),
    Fold,
}

impl<'a> Changes<'a> {
    pub(super) fn new(index: &'a ClaimIndex) -> Self {
        Self { index, parts: HashMap::new(), coming: HashMap::new(), chosen: HashMap::new() }
    }

    /// This effect on tokens with all of these: under the one with the fewest entries.
    pub(super) fn add(&mut self, issuer: &str, keys: &[Key<'_>], effect: Effect, at: Timestamp) {
        let fingerprints = || keys.iter().map(|key| self.index.fingerprint(issuer, *key)).collect();
        let place = match (keys, self.index.place_of(issuer, keys)) {
            (_, Some(place)) => Some(place),
            // There is only this one: which has the fewest entries is not looked for.
            ([_], None) => Some(0),
            _ => {
                let fingerprints: Vec<u128> = fingerprints();
                let known = self.chosen.get(&fingerprints).copied();
                let crowd = |place: &usize| {
                    let fingerprint = fingerprints.get(*place)?;
                    let coming = self.coming.get(fingerprint).copied().unwrap_or_default();
                    Some(self.index.crowd(*fingerprint).saturating_add(coming))
                };
                let place = known.or_else(|| (0..keys.len()).min_by_key(crowd));
                self.chosen.extend(place.map(|place| (fingerprints, place)));
                place
            }
        };
        if let Some(place) = place {
            self.push(issuer, keys, place, Word::Effect(effect), at);
        }
    }

    fn fold(&mut self, issuer: &str, at: Timestamp) {
        self.push(issuer, &[Key::Issuer], 0, Word::Fold, at);
    }

    fn push(&mut self, issuer: &str, keys: &[Key<'_>], place: usize, says: Word, at: Timestamp) {
        let Some(key) = keys.get(place) else { return };
        let fingerprint = self.index.fingerprint(issuer, *key);
        let Some(part) = ClaimIndex::place(fingerprint) else { return };
        let coming = self.coming.entry(fingerprint).or_default();
        *coming = coming.saturating_add(1);
        self.parts.entry(part).or_default().push(Change {
            fingerprint,
            issuer: issuer.into(),
            kind: key.kind(),
            conditions: others(keys, place),
            says,
            at,
        });
    }

    /// One writer at a time.
    pub(super) fn publish(self) {
        for (place, changes) in self.parts {
            if let Some(part) = self.index.parts.get(place) {
                self.index.change(part, changes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://as.example";

    /// A target is put under the claim with the fewest entries, so that a client of many users, or a
    /// user of many clients, is no long list to look through on each request.
    #[test]
    fn a_target_is_under_its_claim_with_the_fewest_entries() {
        let index = ClaimIndex::new();
        for (client, place) in [("a", 0), ("b", 1), ("c", 1)] {
            let keys = [Key::Subject("ann"), Key::Client(client)];
            let mut changes = Changes::new(&index);
            changes.add(ISSUER, &keys, Effect::Refuse, Timestamp::from_secs(10));
            changes.publish();
            assert_eq!(index.place_of(ISSUER, &keys), Some(place), "{client}");
        }
    }

    /// Every part has its share of many, so that what a change copies is a small part of all: of 32 768
    /// entries 64 at most, with these keys.
    #[test]
    fn entries_are_spread_over_the_parts() {
        let index = ClaimIndex { keys: (1, 2), ..ClaimIndex::new() };
        let mut entries = vec![0; index.parts.len()];
        for number in 0..32_768 {
            let subject = number.to_string();
            let fingerprint = index.fingerprint(ISSUER, Key::Subject(&subject));
            entries[ClaimIndex::place(fingerprint).unwrap()] += 1;
        }
        assert!(entries.iter().all(|count| (1..=64).contains(count)), "{entries:?}");
    }
}
