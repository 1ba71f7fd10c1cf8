//! The tokens that were revoked one by one, by issuer and `jti` (RFC 7519 §4.1.7).
//!
//! 1. A token is known by a keyed fingerprint of its issuer and its `jti`; the key is of this set.
//!    One that was not revoked is taken for one of sixty million that were with a probability of
//!    2^-70.
//! 2. Asking takes no lock and waits for nobody; where nothing is recorded it reads one number.
//! 3. A token whose [`RevokedTokens::insert`] has returned is found by every question that begins
//!    afterwards, until it is removed or over, whatever grows, splits, moves or is dropped meanwhile.
//! 4. A record costs 22 to 28 octets, its end and all indexes included, from a thousand records on.
//!    Growing copies a thousand records at a time at most, never all.
//! 5. Nothing is dropped but by [`RevokedTokens::remove`] and [`RevokedTokens::purge`]. What they drop
//!    is given back, but for what a peak leaves: 5 octets for each record that there was at once.
//!
//! What it does not do: it has no limit, does not read a clock, and does not know why a token was
//! revoked or by whom.
//!
//! # Two layers
//!
//! Nearly all tokens were not revoked, and that is answered by a [`Filter`](filter::Filter): one word
//! of 64 bits for about six records, of which each has three bits set. It is one access to a memory of
//! two octets for each record, where a table has twenty; it has no pointer that could go away, so
//! that reading it is nothing but loads. One of a hundred negative answers, and every positive one, is
//! left to the [`Table`](table::Table). Its parts are small; a record stays where it was written, and a
//! part is replaced whole. Who reads holds the part (`ArcSwapOption`, which costs more than the whole
//! filter), and the last one to let go frees it.
//!
//! Measured against other ways at ten million: to ask the parts of the table alone costs three to four
//! times as much as a `HashSet` does, and a set with one octet of each record in places of its own, as
//! `HashSet` has it, twice as much, since growing by a few percent makes addresses longer to compute.
//!
//! # Why nothing is missed
//!
//! There is one writer at a time. "Before" is what the standard library's memory model calls
//! happens-before; stores that publish are `Release`, loads of readers `Acquire`. Let a token be
//! inserted before it is asked for, and not be removed.
//!
//! 1. The writer stores the record, then the bits of the filter, then, if the set was empty, the
//!    filter's level, and returns. So the reader sees each of these stores, or what came later in
//!    the same place.
//! 2. Level: it is zero again only when the last record is gone, and this one is not. It goes up when
//!    the next filter has every record; one that is left is not written to any more. So
//!    whichever level the reader sees was in use when the token was inserted, or was filled afterwards
//!    from a table that had it.
//! 3. Word: all bits of a record are in one word, which is replaced by one store: by itself and more
//!    bits, or by the bits of all records that belong there, this one among them.
//! 4. Table: areas are only ever cut in two. The writer publishes both halves, with all records, then
//!    the number of areas, then takes the whole away. A reader that knows the old number finds the
//!    whole as it was, or nothing there; then it sees the new number, since the taking away came after
//!    it. It asks again only if an area was cut meanwhile: another has made progress.
//! 5. Segment: a record is in the first free slot on its way, its second word first, and never moves
//!    or leaves; a slot on the way is never free again. A segment is replaced by one that has all
//!    records which are not over. Who still reads the old one finds there what was inserted before.

mod filter;
mod fingerprint;
mod segment;
mod table;
#[cfg(test)]
mod tests;
mod until;
mod writer;

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use filter::Filter;
use fingerprint::Keys;
pub use fingerprint::TokenFingerprint;
use segment::{Found, Record};
use table::{Area, Table};
use until::Until;
use writer::Writer;

use crate::time::Timestamp;

/// Revoked tokens in memory, each until it cannot be accepted any more: of any number, asked by any
/// number of threads on every request, written by one at a time.
///
/// ```
/// use std::time::Duration;
/// use portcullis::revocation::{Inserted, RevokedTokens};
/// use portcullis::time::Timestamp;
///
/// let tokens = RevokedTokens::new();
/// let now = Timestamp::from_secs(1_800_000_000);
/// let token = tokens.fingerprint("https://login.example.com", "e1j3V_bKic8");
/// assert!(!tokens.contains(token, now));
///
/// let until = now.plus(Duration::from_mins(5));
/// assert_eq!(tokens.insert(token, until), Inserted::New);
/// assert!(tokens.contains(token, now));
/// assert!(!tokens.contains(token, until));
/// ```
pub struct RevokedTokens {
    keys: Keys,
    filter: Filter,
    table: Table,
    writing: Writing,
}

/// What only writers touch, away from what readers read.
#[derive(Default)]
#[repr(align(128))]
struct Writing {
    state: Mutex<Writer>,
    records: AtomicUsize,
}

/// What [`RevokedTokens::insert`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Inserted {
    /// The token was not recorded, or removed since.
    New,
    /// It was recorded, and its record ends later now.
    Extended,
    /// It was recorded, and its record ends then or later.
    Known,
}

/// What [`RevokedTokens::purge`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purged {
    removed: usize,
    round_is_complete: bool,
}

impl Purged {
    /// How many records were dropped.
    #[must_use]
    pub const fn removed(self) -> usize {
        self.removed
    }

    /// Whether it came to the end: the next call begins with the first segment.
    #[must_use]
    pub const fn is_round_complete(self) -> bool {
        self.round_is_complete
    }
}

/// Passing by an empty segment is cheaper than looking through one by this.
const EMPTY_SEGMENTS: usize = 64;

impl RevokedTokens {
    /// Nothing, with a key of its own.
    #[must_use]
    pub fn new() -> Self {
        Self {
            keys: Keys::random(),
            filter: Filter::default(),
            table: Table::default(),
            writing: Writing::default(),
        }
    }

    /// What a token is known by, in this set and no other.
    #[must_use]
    pub fn fingerprint(&self, issuer: &str, jti: &str) -> TokenFingerprint {
        self.keys.fingerprint(issuer, jti)
    }

    /// Whether it is recorded, and `now` is before its end.
    #[inline]
    #[must_use]
    pub fn contains(&self, token: TokenFingerprint, now: Timestamp) -> bool {
        self.filter.may_hold(token) && self.holds(token, now)
    }

    #[inline(never)]
    fn holds(&self, token: TokenFingerprint, now: Timestamp) -> bool {
        self.table.until(token).is_some_and(|until| until.is_after(now))
    }

    /// Records it until then, rounded up to whole seconds; from the year 2106 on it is for ever.
    /// A record never ends earlier than was said once.
    pub fn insert(&self, token: TokenFingerprint, until: Timestamp) -> Inserted {
        let record = Record { token, until: Until::of(until) };
        let mut writer = self.writing();
        let area = self.table.area_of(token);
        let held = self.table.segment(area);
        let segment = held.as_deref();
        match segment.map_or(Found::Nowhere, |segment| segment.find(token)) {
            Found::Taken(slot) if slot.until() == Until::REMOVED => {
                if let Some(segment) = segment {
                    segment.restore(slot, record);
                }
            }
            Found::Taken(slot) if slot.until() < record.until => {
                slot.end(record.until);
                return Inserted::Extended;
            }
            Found::Taken(_) => return Inserted::Known,
            Found::Free(slot) => {
                if let Some(segment) = segment {
                    segment.fill(slot, record);
                }
            }
            Found::Nowhere => self.rebuild(&mut writer, area, Some(record), |_| true),
        }
        self.filter.add(&mut writer.filter, token);
        self.count(&mut writer, |records| records.saturating_add(1));
        self.grow(&mut writer);
        Inserted::New
    }

    /// Forgets it, and tells whether it was recorded; over or not.
    pub fn remove(&self, token: TokenFingerprint) -> bool {
        let mut writer = self.writing();
        let held = self.table.segment(self.table.area_of(token));
        let Some(segment) = held.as_deref() else { return false };
        match segment.find(token) {
            Found::Taken(slot) if slot.until() != Until::REMOVED => {
                segment.remove(slot);
                self.count(&mut writer, |records| records.saturating_sub(1));
                true
            }
            _ => false,
        }
    }

    /// Drops records that have ended, of this many segments, each of which has some hundred; where
    /// the last purge stopped. Asked with an earlier time afterwards, it knows them no more.
    ///
    /// It takes some microseconds for a segment; other writers wait, readers do not.
    pub fn purge(&self, now: Timestamp, most_segments: usize) -> Purged {
        let mut writer = self.writing();
        let mut removed = 0_usize;
        let (mut left, mut passed) = (most_segments, most_segments.saturating_mul(EMPTY_SEGMENTS));
        let mut round_is_complete = self.table.is_unused();
        while left > 0 && passed > 0 && !round_is_complete {
            let area = self.table.area_from(writer.purge);
            passed = passed.saturating_sub(1);
            if let Some(segment) = self.table.segment(area).as_deref()
                && !segment.is_unused()
            {
                left = left.saturating_sub(1);
                let over = segment.records().filter(|record| !record.until.is_after(now)).count();
                if over > 0 || segment.has_removed() {
                    self.rebuild(&mut writer, area, None, |record| record.until.is_after(now));
                    removed = removed.saturating_add(over);
                }
            }
            writer.purge = area.after();
            round_is_complete = writer.purge == Area::WHOLE;
        }
        self.count(&mut writer, |records| records.saturating_sub(removed));
        Purged { removed, round_is_complete }
    }

    /// How many records there are, with those that have ended and are not purged.
    #[must_use]
    pub fn len(&self) -> usize {
        self.writing.records.load(Ordering::Relaxed)
    }

    /// Whether there is none.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.filter.is_empty()
    }

    /// The octets that it takes, all included but for what the allocator adds. It waits for writers.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let writer = self.writing();
        [self.filter.bytes(), writer.filter.bytes(), self.table.bytes(), writer.segments]
            .into_iter()
            .fold(size_of::<Self>(), usize::saturating_add)
    }
}

/// [`RevokedTokens::new`].
impl Default for RevokedTokens {
    fn default() -> Self {
        Self::new()
    }
}

/// How many there are, never which.
impl fmt::Debug for RevokedTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevokedTokens").field("records", &self.len()).finish_non_exhaustive()
    }
}
