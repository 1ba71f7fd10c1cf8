use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::fingerprint::TokenFingerprint;
use super::segment::Record;
use super::table::{Area, Table};

/// Tells of nearly every token without a record that it has none: a Bloom filter of words of 64 bits,
/// in which a record sets three bits of one word.
///
/// Its words are in the order of the fingerprints, so that the words of an area are next to each other
/// and belong to its records alone: they can be made anew from these.
///
/// A larger one is made beside it while records come, area by area. The smaller one stays as it was,
/// for who is still reading it.
#[derive(Default)]
pub(super) struct Filter {
    /// The filter in use has 2^level words; zero while there is no record.
    level: AtomicU32,
    words: [OnceLock<Box<[AtomicU64]>>; LEVELS],
}

/// The level of the filter in use, and as much as there is of the next one.
#[derive(Default)]
pub(super) struct FilterWriter {
    level: u32,
    next: Vec<AtomicU64>,
}

/// A power of two, so that a level modulo this is one of them.
const LEVELS: usize = 32;
const LAST_LEVEL: u32 = 31;
/// 128 octets.
const FIRST_LEVEL: u32 = 4;
/// With so many records for each word the next filter is begun, and with one more it is finished. A
/// token without a record is then taken for one with a record one time of thirty; with half of
/// that, one of two hundred.
const RECORDS_OF_A_WORD: usize = 7;

impl Filter {
    #[inline]
    pub(super) fn may_hold(&self, token: TokenFingerprint) -> bool {
        let level = self.level.load(Ordering::Acquire);
        level != 0
            && self.word(level, token).is_none_or(|word| {
                let bits = bits(token);
                word.load(Ordering::Acquire) & bits == bits
            })
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.level.load(Ordering::Acquire) == 0
    }

    #[inline]
    fn word(&self, level: u32, token: TokenFingerprint) -> Option<&AtomicU64> {
        let words = self.words.get(usize::try_from(level).ok()? % LEVELS)?.get()?;
        // The highest bits, as many as the level says, which is not zero.
        words.get(usize::try_from(token.place.wrapping_shr(level.wrapping_neg())).ok()?)
    }

    /// Sets the bits of a token, which has its record already. For the writer.
    pub(super) fn add(&self, writer: &mut FilterWriter, token: TokenFingerprint) {
        if writer.level == 0 {
            let words = std::iter::repeat_with(AtomicU64::default);
            self.keep(FIRST_LEVEL, words.take(1 << FIRST_LEVEL).collect());
            writer.level = FIRST_LEVEL;
        }
        if let Some(word) = self.word(writer.level, token) {
            word.store(word.load(Ordering::Relaxed) | bits(token), Ordering::Release);
        }
        let next = writer.level.saturating_add(1);
        if let Some(word) = index(next, token).and_then(|at| writer.next.get_mut(at)) {
            *word.get_mut() |= bits(token);
        }
    }

    /// Writes the words of an area anew, for all the records that it has. For the writer.
    pub(super) fn replace(&self, writer: &FilterWriter, area: Area, records: &[Record]) {
        let level = usize::try_from(writer.level).ok().and_then(|level| self.words.get(level));
        let all = level.and_then(OnceLock::get).map_or(&[][..], |words| words);
        let Some((first, words)) = words_of(writer.level, area, records.iter().copied()) else {
            return;
        };
        for (word, new) in all.iter().skip(first).zip(words) {
            word.store(new, Ordering::Release);
        }
    }

    /// Makes some more of the next filter, if it is time, and uses it when it has every record.
    pub(super) fn grow(&self, writer: &mut FilterWriter, records: usize, table: &Table) {
        let words = 1_usize << writer.level;
        let begin = words.saturating_mul(RECORDS_OF_A_WORD);
        let Some(over) = records.checked_sub(begin).filter(|over| *over > 0) else { return };
        let (level, size) = (writer.level.saturating_add(1), words.saturating_mul(2));
        if level > LAST_LEVEL {
            return;
        }
        if writer.next.capacity() == 0 {
            writer.next = Vec::with_capacity(size);
        }
        while writer.next.len() < over.saturating_mul(2).min(size) {
            let area = table.area_at(writer.next.len(), level);
            let segment = table.segment(area);
            let records = segment.iter().flat_map(|segment| segment.records());
            // INVARIANT: a word is smaller than an area.
            let Some((_, words)) = words_of(level, area, records) else { return };
            writer.next.extend(words.into_iter().map(AtomicU64::new));
        }
        if writer.next.len() == size {
            self.keep(level, std::mem::take(&mut writer.next).into_boxed_slice());
            writer.level = level;
            self.level.store(level, Ordering::Release);
        }
    }

    fn keep(&self, level: u32, words: Box<[AtomicU64]>) {
        let level = usize::try_from(level).ok().and_then(|level| self.words.get(level));
        if let Some(level) = level {
            level.get_or_init(|| words);
        }
    }

    /// Shows readers the filter in use, or that there is nothing to look for. For the writer.
    pub(super) fn show(&self, writer: &FilterWriter, records: usize) {
        let level = if records == 0 { 0 } else { writer.level };
        // Readers everywhere have this in their caches.
        if self.level.load(Ordering::Relaxed) != level {
            self.level.store(level, Ordering::Release);
        }
    }

    /// What is in use, and what was.
    pub(super) fn bytes(&self) -> usize {
        let sizes = self.words.iter().filter_map(OnceLock::get).map(|words| size_of_val(&**words));
        sizes.fold(0, usize::saturating_add)
    }
}

impl FilterWriter {
    /// What is set aside for the next filter.
    pub(super) fn bytes(&self) -> usize {
        self.next.capacity().saturating_mul(size_of::<AtomicU64>())
    }
}

/// The words of an area that has these records, and which is the first.
fn words_of(
    level: u32,
    area: Area,
    records: impl Iterator<Item = Record>,
) -> Option<(usize, Vec<u64>)> {
    let (first, count) = area.parts(level)?;
    let mut words = vec![0; count];
    for Record { token, .. } in records {
        let word = index(level, token)?.checked_sub(first).and_then(|at| words.get_mut(at));
        *word? |= bits(token);
    }
    Some((first, words))
}

fn index(level: u32, token: TokenFingerprint) -> Option<usize> {
    usize::try_from(token.prefix(level)).ok()
}

/// Three bits of a word, or fewer if some are the same.
#[inline]
fn bits(token: TokenFingerprint) -> u64 {
    let bit = |shift: u32| 1_u64.wrapping_shl(token.check >> shift);
    bit(0) | bit(6) | bit(12)
}
