use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwapOption, Guard};

use super::fingerprint::TokenFingerprint;
use super::segment::Segment;
use super::until::Until;

/// All records, in segments. Each has an area of the fingerprints, by their first bits; areas are cut
/// in two one after another, so that there is one more for every few hundred records (linear
/// hashing).
#[derive(Default)]
pub(super) struct Table {
    /// How many areas there are: those before `areas - 2^level` are cut already, and their halves
    /// are of the next level. None before the first record.
    areas: AtomicU64,
    levels: [OnceLock<Level>; LEVELS],
}

/// The entries of all areas of a level, in pieces that are made when they are needed.
type Level = Box<[OnceLock<Piece>]>;
type Piece = Box<[ArcSwapOption<Segment>]>;

/// 2^31 areas of 512 records, more than a machine has room for; what comes then makes segments larger.
const LEVELS: usize = 32;
/// The entries of a piece, 2 KiB.
const PIECE_BITS: u32 = 8;

/// All fingerprints that begin with these bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Area {
    level: u32,
    prefix: u64,
}

impl Area {
    pub(super) const WHOLE: Self = Self { level: 0, prefix: 0 };

    /// Its two areas of the next level.
    pub(super) fn halves(self) -> [Self; 2] {
        let half =
            |bit| Self { level: self.level.saturating_add(1), prefix: self.prefix << 1 | bit };
        [half(0), half(1)]
    }

    pub(super) fn holds(self, token: TokenFingerprint) -> bool {
        token.prefix(self.level) == self.prefix
    }

    /// The next one; the whole after the last.
    pub(super) fn after(self) -> Self {
        let next = self.prefix.saturating_add(1);
        if next >> self.level > 0 { Self::WHOLE } else { Self { prefix: next, ..self } }
    }

    /// Where it begins, and how many there are, among so many equal parts of all fingerprints, a
    /// power of two; `None` if it is smaller than one.
    pub(super) fn parts(self, bits: u32) -> Option<(usize, usize)> {
        let more = bits.checked_sub(self.level)?;
        let count = 1_usize.checked_shl(more)?;
        Some((usize::try_from(self.prefix).ok()?.checked_mul(count)?, count))
    }

    fn first(self) -> TokenFingerprint {
        let place = self.prefix.checked_shl(u64::BITS.saturating_sub(self.level)).unwrap_or(0);
        TokenFingerprint { place, check: 0 }
    }
}

impl Table {
    /// When the record of this token ends.
    pub(super) fn until(&self, token: TokenFingerprint) -> Option<Until> {
        let mut areas = self.areas.load(Ordering::Acquire);
        loop {
            let entry = self.entry(area_among(areas, token));
            if let Some(segment) =
                entry.map(ArcSwapOption::load).as_deref().and_then(Option::as_ref)
            {
                return segment.until(token);
            }
            // Cut since, or there was never a record.
            let now = self.areas.load(Ordering::Acquire);
            if now == areas {
                return None;
            }
            areas = now;
        }
    }

    pub(super) fn areas(&self) -> u64 {
        self.areas.load(Ordering::Acquire)
    }

    pub(super) fn is_unused(&self) -> bool {
        self.areas() == 0
    }

    pub(super) fn area_of(&self, token: TokenFingerprint) -> Area {
        area_among(self.areas(), token)
    }

    /// The area that begins where this one does, which may be cut by now.
    pub(super) fn area_from(&self, area: Area) -> Area {
        self.area_of(area.first())
    }

    /// The area that begins there, among so many equal parts.
    pub(super) fn area_at(&self, part: usize, bits: u32) -> Area {
        self.area_from(Area { level: bits, prefix: u64::try_from(part).unwrap_or_default() })
    }

    pub(super) fn segment(&self, area: Area) -> Guard<Option<Arc<Segment>>> {
        self.entry(area).map_or_else(|| Guard::from_inner(None), ArcSwapOption::load)
    }

    fn entry(&self, area: Area) -> Option<&ArcSwapOption<Segment>> {
        let (piece, at, _) = place_of(area)?;
        self.levels.get(usize::try_from(area.level).ok()?)?.get()?.get(piece)?.get()?.get(at)
    }

    /// Makes this the segment of an area, and counts its octets instead of the old one's. For the
    /// writer.
    pub(super) fn publish(&self, area: Area, segment: Option<Segment>, octets: &mut usize) {
        let level = usize::try_from(area.level).ok().and_then(|level| self.levels.get(level));
        let (Some(level), Some((piece, at, pieces))) = (level, place_of(area)) else { return };
        let entries = || {
            let entries = 1_usize << area.level.min(PIECE_BITS);
            std::iter::repeat_with(ArcSwapOption::empty).take(entries).collect()
        };
        let all =
            level.get_or_init(|| std::iter::repeat_with(OnceLock::new).take(pieces).collect());
        let Some(entry) = all.get(piece).and_then(|piece| piece.get_or_init(entries).get(at))
        else {
            return;
        };
        let bytes = |segment: &Segment| segment.bytes();
        *octets = octets.saturating_add(segment.as_ref().map_or(0, bytes));
        let old = entry.swap(segment.map(Arc::new));
        *octets = octets.saturating_sub(old.as_deref().map_or(0, bytes));
        // The first there is.
        if self.is_unused() {
            self.areas.store(1, Ordering::Release);
        }
    }

    /// The area whose turn it is; `None` if there are as many as can be.
    pub(super) fn next_to_cut(&self) -> Option<Area> {
        let areas = self.areas();
        let level = areas.checked_ilog2()?;
        let prefix = areas.checked_sub(1_u64.checked_shl(level)?)?;
        let has_next = usize::try_from(level).ok()?.checked_add(1)? < LEVELS;
        has_next.then_some(Area { level, prefix })
    }

    /// Its halves have their segments. For the writer.
    pub(super) fn publish_cut(&self) {
        self.areas.store(self.areas().saturating_add(1), Ordering::Release);
    }

    /// What it takes beside the segments.
    pub(super) fn bytes(&self) -> usize {
        let of_level = |level: &Level| {
            let pieces = level.iter().filter_map(OnceLock::get).map(|piece| size_of_val(&**piece));
            pieces.fold(size_of_val(&**level), usize::saturating_add)
        };
        self.levels.iter().filter_map(OnceLock::get).map(of_level).fold(0, usize::saturating_add)
    }
}

/// The area that a token is in, of so many.
fn area_among(areas: u64, token: TokenFingerprint) -> Area {
    let Some(level) = areas.checked_ilog2() else { return Area::WHOLE };
    let prefix = token.prefix(level);
    let cut = areas & !(1 << level);
    if prefix < cut {
        let level = level.saturating_add(1);
        Area { level, prefix: token.prefix(level) }
    } else {
        Area { level, prefix }
    }
}

/// The piece of an area's entry, where it is in that, and how many pieces its level has.
fn place_of(area: Area) -> Option<(usize, usize, usize)> {
    let bits = area.level.min(PIECE_BITS);
    let at = area.prefix & !(u64::MAX << bits);
    let piece = usize::try_from(area.prefix >> bits).ok()?;
    Some((piece, usize::try_from(at).ok()?, 1_usize.checked_shl(area.level.saturating_sub(bits))?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// EVT-01: however many areas there are, each token is in one, and cutting one in two leaves
        /// every token in it or in its half.
        #[test]
        fn every_token_is_in_one_area(areas in 1_u64..100_000, places in any::<[u64; 8]>()) {
            for place in places {
                let token = TokenFingerprint { place, check: 0 };
                let (area, then) = (area_among(areas, token), area_among(areas + 1, token));
                prop_assert!(area.holds(token) && then.holds(token));
                prop_assert!(then == area || area.halves().contains(&then));
                // Its neighbour is the one after it, and has it not.
                let next = area.after();
                prop_assert!(next == Area::WHOLE || area_among(areas, next.first()).first() == next.first());
                prop_assert!(next == Area::WHOLE || !next.holds(token));
            }
        }
    }

    /// EVT-01: going from area to area meets each once, and their parts follow one another.
    #[test]
    fn areas_follow_one_another() {
        for areas in 1_u64..200 {
            let (mut area, mut met, mut end) = (Area::WHOLE, 0, 0);
            loop {
                area = area_among(areas, area.first());
                let (first, count) = area.parts(12).unwrap();
                assert_eq!(first, end, "{areas}");
                (met, end) = (met + 1, first + count);
                area = area.after();
                if area == Area::WHOLE {
                    break;
                }
            }
            assert_eq!((met, end), (areas, 1 << 12));
        }
        assert_eq!(Area { level: 13, prefix: 0 }.parts(12), None);
    }

    /// EVT-01: what was never written is not there, and nobody waits for it.
    #[test]
    fn an_unused_table_has_nothing() {
        let table = Table::default();
        assert!(table.is_unused());
        assert_eq!(table.until(TokenFingerprint { place: 1, check: 0 }), None);
        assert_eq!(table.next_to_cut(), None);
    }

    /// EVT-01: every area of every level has an entry of its own.
    #[test]
    fn each_area_has_an_entry_of_its_own() {
        for level in 0..31_u32 {
            let entries = 1_u64 << level.min(PIECE_BITS);
            let last = (1_u64 << level) - 1;
            for prefix in [0, 1, 44, 255, 256, 300, last / 3, last / 2, last] {
                let prefix = prefix.min(last);
                let (piece, at, pieces) = place_of(Area { level, prefix }).unwrap();
                let (piece, at) = (u64::try_from(piece).unwrap(), u64::try_from(at).unwrap());
                assert!(
                    at < entries && piece < u64::try_from(pieces).unwrap(),
                    "{level}, {prefix}"
                );
                assert_eq!(piece * entries + at, prefix, "level {level}");
            }
        }
    }

    /// EVT-01: there is no area whose halves have no entries: then segments grow instead.
    #[test]
    fn the_last_level_is_not_cut() {
        let table = Table::default();
        let most = 1_u64 << (LEVELS - 1);
        table.areas.store(most - 1, Ordering::Release);
        let last = Area { level: 30, prefix: (1 << 30) - 1 };
        assert_eq!(table.next_to_cut(), Some(last));
        table.publish_cut();
        assert_eq!((table.areas(), table.next_to_cut()), (most, None));
    }
}
