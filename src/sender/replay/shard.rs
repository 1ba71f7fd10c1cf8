use super::dropped::Dropped;
use super::fingerprint::{Fingerprint, Owner};
use super::owners::Owners;
use super::table::{Life, Place, Table};
use super::ticks::Ticks;

/// A part of a store: whatever happens to it happens under its lock.
// Two locks in one cache line would slow each other down.
#[repr(align(128))]
pub(super) struct Shard {
    table: Table,
    /// How many entries may be in the table.
    most: usize,
    clients: Owners,
    subjects: Owners,
    dropped: Dropped,
    /// The slot where tidying goes on, and how many uses from now.
    cursor: usize,
    tidy_in: usize,
    swept_at: Option<Ticks>,
    /// When the first entry of the last sweep ends, in steady ticks.
    frees_at: u32,
    counts: Counts,
}

/// How many entries there may be in a shard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) all: usize,
    pub(super) each_client: u32,
    pub(super) each_subject: u32,
}

/// Answers that were not "first", since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) repeated: u64,
    pub(super) client_full: u64,
    pub(super) subject_full: u64,
    pub(super) store_full: u64,
    pub(super) forgotten: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    First,
    Repeated,
    /// It may have been here, and was dropped when it could no longer be accepted; then the clock
    /// was set back.
    Forgotten,
    /// The client has all that it may have, for so many seconds.
    ClientFull(u32),
    /// The subject has all that it may have of its client's share, for so many seconds.
    SubjectFull(u32),
    /// There is no room, for so many seconds.
    Full(u32),
}

/// How often some slots are looked at, in uses, and how many. With eight for each use, a twelfth of
/// the slots hold what is over. Slots that lie together cost less than so many apart.
const TIDY_EVERY: usize = 64;
const TIDIED: usize = 8 * TIDY_EVERY;
/// Slots for each counter of owners: two of them, an octet a slot.
const SLOTS_A_COUNTER: usize = 8;

impl Shard {
    pub(super) fn new(slots: usize, limits: Limits) -> Self {
        Self {
            table: Table::new(slots),
            most: limits.all,
            clients: Owners::new(slots / SLOTS_A_COUNTER, limits.each_client),
            subjects: Owners::new(slots / SLOTS_A_COUNTER, limits.each_subject),
            dropped: Dropped::default(),
            cursor: 0,
            tidy_in: TIDY_EVERY,
            swept_at: None,
            frees_at: 0,
            counts: Counts::default(),
        }
    }

    /// 1. Some of what is over is dropped, to make room steadily.
    /// 2. What is there and not over was used before.
    /// 3. What may have been there and was dropped cannot be told.
    /// 4. Where there is no room, or none for the owner, everything is looked at: once a second,
    ///    since nothing ends between, and where it is not known how much the owner has.
    /// 5. Still no room: it is not written down. Otherwise it is: the first use.
    pub(super) fn record(&mut self, fingerprint: Fingerprint, life: Life, now: Ticks) -> Verdict {
        self.tidy(now);
        let mut place = self.table.find(fingerprint);
        if let Place::Taken(at) = place {
            match self.table.life(at) {
                Some(known) if known.end.is_over(now) => self.drop_entry(at, known),
                _ => {
                    self.counts.repeated = self.counts.repeated.saturating_add(1);
                    return Verdict::Repeated;
                }
            }
            place = self.table.find(fingerprint);
        }
        if self.dropped.may_hold(life.end.wall) {
            self.counts.forgotten = self.counts.forgotten.saturating_add(1);
            return Verdict::Forgotten;
        }
        let stale = self.swept_at != Some(now);
        let (client, subject) = (life.owner.client(), life.owner.subject());
        let is_unknown = |owners: &Owners, id| {
            owners.may_be_full(id) && (stale || owners.frees_at(id).is_none())
        };
        let owner_is_unknown = is_unknown(&self.clients, client)
            || subject.is_some_and(|subject| is_unknown(&self.subjects, subject));
        if owner_is_unknown || (stale && self.is_full()) {
            self.sweep(life.owner, now);
            place = self.table.find(fingerprint);
        }
        if let Some(frees_at) = self.clients.frees_at(client) {
            self.counts.client_full = self.counts.client_full.saturating_add(1);
            return Verdict::ClientFull(seconds_until(frees_at, now));
        }
        if let Some(frees_at) = subject.and_then(|subject| self.subjects.frees_at(subject)) {
            self.counts.subject_full = self.counts.subject_full.saturating_add(1);
            return Verdict::SubjectFull(seconds_until(frees_at, now));
        }
        let (Place::Empty(at), false) = (place, self.is_full()) else {
            self.counts.store_full = self.counts.store_full.saturating_add(1);
            return Verdict::Full(seconds_until(self.frees_at, now));
        };
        self.table.fill(at, fingerprint, life);
        self.clients.add(client);
        if let Some(subject) = subject {
            self.subjects.add(subject);
        }
        Verdict::First
    }

    fn is_full(&self) -> bool {
        self.table.entries() >= self.most
    }

    fn tidy(&mut self, now: Ticks) {
        self.tidy_in = self.tidy_in.saturating_sub(1);
        if self.tidy_in > 0 {
            return;
        }
        self.tidy_in = TIDY_EVERY;
        for _ in 0..TIDIED.min(self.table.slots()) {
            match self.table.life(self.cursor) {
                // Another may have moved here.
                Some(life) if life.end.is_over(now) => self.drop_entry(self.cursor, life),
                _ => self.cursor = self.table.after(self.cursor),
            }
        }
    }

    /// Drops everything that is over, and counts what the owner has.
    fn sweep(&mut self, owner: Owner, now: Ticks) {
        let mut left = u32::MAX;
        let (mut client, mut subject) = (Tally::default(), Tally::default());
        // No run crosses an empty slot: what moves was not looked at yet.
        let mut at = self.table.any_empty();
        let mut to_look_at = self.table.slots();
        while to_look_at > 0 {
            match self.table.life(at) {
                Some(life) if life.end.is_over(now) => {
                    self.drop_entry(at, life);
                    continue;
                }
                Some(life) => {
                    let seconds = life.end.seconds_from(now);
                    left = left.min(seconds);
                    if life.owner.client() == owner.client() {
                        client.add(seconds);
                    }
                    if life.owner == owner {
                        subject.add(seconds);
                    }
                }
                None => {}
            }
            at = self.table.after(at);
            to_look_at = to_look_at.saturating_sub(1);
        }
        self.swept_at = Some(now);
        self.frees_at = now.steady.saturating_add(left);
        let frees_at = now.steady.saturating_add(client.left);
        self.clients.was_counted(owner.client(), client.entries, frees_at);
        if let Some(id) = owner.subject() {
            let frees_at = now.steady.saturating_add(subject.left);
            self.subjects.was_counted(id, subject.entries, frees_at);
        }
    }

    fn drop_entry(&mut self, at: usize, life: Life) {
        self.table.empty(at);
        self.dropped.add(life.end.wall);
        self.clients.remove(life.owner.client());
        if let Some(subject) = life.owner.subject() {
            self.subjects.remove(subject);
        }
    }

    pub(super) fn limit_owners(&mut self, limits: Limits) {
        self.clients.limit(limits.each_client);
        self.subjects.limit(limits.each_subject);
    }

    pub(super) fn entries(&self) -> usize {
        self.table.entries()
    }

    pub(super) fn fullest_owner_percent(&self) -> u32 {
        self.clients.fullest_percent()
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }
}

/// What an owner has, and for how many seconds the first of it lives.
struct Tally {
    entries: u32,
    left: u32,
}

impl Default for Tally {
    fn default() -> Self {
        Self { entries: 0, left: u32::MAX }
    }
}

impl Tally {
    fn add(&mut self, seconds: u32) {
        self.entries = self.entries.saturating_add(1);
        self.left = self.left.min(seconds);
    }
}

/// At least one: nothing ends sooner.
fn seconds_until(frees_at: u32, now: Ticks) -> u32 {
    frees_at.saturating_sub(now.steady).max(1)
}

impl Counts {
    pub(super) const fn plus(self, other: Self) -> Self {
        Self {
            repeated: self.repeated.saturating_add(other.repeated),
            client_full: self.client_full.saturating_add(other.client_full),
            subject_full: self.subject_full.saturating_add(other.subject_full),
            store_full: self.store_full.saturating_add(other.store_full),
            forgotten: self.forgotten.saturating_add(other.forgotten),
        }
    }
}
