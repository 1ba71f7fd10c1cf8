use std::fmt;

use flate2::{Decompress, FlushDecompress, Status};

use super::StatusListError;

/// The statuses of many tokens, by their index (Token Status List §4): one, two, four or eight bits
/// each, the first in the least significant bits of the first octet. It says nothing of who said so:
/// see [`super::StatusListToken`].
///
/// ```
/// use portcullis::revocation::StatusList;
///
/// // The list of §4.1, whose statuses begin with 1, 0, 0, 1.
/// let zlib = [0x78, 0xda, 0xdb, 0xb9, 0x18, 0x00, 0x02, 0x17, 0x01, 0x5d];
/// let list = StatusList::from_compressed(1, &zlib, StatusList::MAX_ENTRIES)?;
/// assert_eq!(list.len(), 16);
/// assert_eq!((list.get(0), list.get(1), list.get(3)), (Some(1), Some(0), Some(1)));
/// assert_eq!(list.get(16), None, "no statement about that token");
///
/// assert!(StatusList::from_compressed(1, &zlib[..9], StatusList::MAX_ENTRIES).is_err());
/// # Ok::<(), portcullis::revocation::StatusListError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct StatusList {
    bits: u8,
    octets: Box<[u8]>,
}

impl StatusList {
    /// The most entries that a list has unless said otherwise: 2^24.
    pub const MAX_ENTRIES: u64 = 1 << 24;
    /// The most octets that a list can have, whatever is said: 2^27.
    pub const MAX_OCTETS: usize = 1 << 27;

    /// Reads the octets of `lst`, decoded: one zlib stream (RFC 1950) with its checksum and nothing
    /// after it, of statuses of 1, 2, 4 or 8 bits. What it inflates to is bounded while it is
    /// inflated.
    ///
    /// # Errors
    /// [`StatusListError::Bits`], [`StatusListError::Zlib`], and [`StatusListError::TooLarge`] for
    /// more than `max_entries` or [`Self::MAX_OCTETS`].
    pub fn from_compressed(
        bits: u8,
        zlib: &[u8],
        max_entries: u64,
    ) -> Result<Self, StatusListError> {
        /// What one octet of DEFLATE can become (RFC 1951: two bits are a copy of 258 octets).
        const EXPANSION: usize = 1_032;

        if !matches!(bits, 1 | 2 | 4 | 8) {
            return Err(StatusListError::Bits);
        }
        let too_large = StatusListError::TooLarge { max_entries };
        let most = max_entries.saturating_mul(bits.into()).div_ceil(8);
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(Self::MAX_OCTETS);
        // One more than may be used: what fills it is too large. The operating system gives memory
        // only where something is written.
        let room = most.min(zlib.len().saturating_mul(EXPANSION)).saturating_add(1);
        let mut octets = vec![0; room];
        let mut inflater = Decompress::new(true);
        let status = inflater.decompress(zlib, &mut octets, FlushDecompress::Finish);
        let count = |total: u64| usize::try_from(total).unwrap_or(usize::MAX);
        let (taken, given) = (count(inflater.total_in()), count(inflater.total_out()));
        if given > most {
            return Err(too_large);
        }
        if !matches!(status, Ok(Status::StreamEnd)) || taken != zlib.len() {
            return Err(StatusListError::Zlib);
        }
        octets.truncate(given);
        let list = Self { bits, octets: octets.into() };
        if list.len() > max_entries { Err(too_large) } else { Ok(list) }
    }

    /// The status at this index; `None` past the end, about which nothing is said.
    #[must_use]
    pub fn get(&self, index: u64) -> Option<u8> {
        let first = index.checked_mul(self.bits.into())?;
        let octet = self.octets.get(usize::try_from(first / 8).ok()?)?;
        let mask = u8::MAX.checked_shr(8_u32.saturating_sub(self.bits.into()))?;
        let shift = u32::try_from(first % 8).ok()?;
        Some(octet.checked_shr(shift)? & mask)
    }

    /// How many statuses it has.
    #[must_use]
    pub fn len(&self) -> u64 {
        let per_octet = 8_u64.checked_div(self.bits.into()).unwrap_or_default();
        u64::try_from(self.octets.len()).unwrap_or(u64::MAX).saturating_mul(per_octet)
    }

    /// Whether it has no status at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// Whether it says valid, or nothing, of something that `before` did not call valid.
    pub(super) fn takes_back(&self, before: &Self) -> bool {
        let per_octet = 8_u64.checked_div(before.bits.into()).unwrap_or_default();
        let takes_back = |index| {
            let was_valid = before.get(index).is_none_or(|status| status == 0);
            !was_valid && self.get(index).is_none_or(|status| status == 0)
        };
        let mut first = 0_u64;
        for (place, octet) in before.octets.iter().enumerate() {
            let past = first.saturating_add(per_octet);
            // Nearly all of them, as a rule.
            let is_as_before = self.bits == before.bits && self.octets.get(place) == Some(octet);
            if *octet != 0 && !is_as_before && (first..past).any(takes_back) {
                return true;
            }
            first = past;
        }
        false
    }

    /// How many bits each status has.
    #[must_use]
    pub fn bits(&self) -> u8 {
        self.bits
    }

    /// How many octets it takes.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.octets.len()
    }
}

impl fmt::Debug for StatusList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusList")
            .field("bits", &self.bits)
            .field("entries", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    fn zlib(octets: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(octets).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bits: u8, zlib: &[u8]) -> Result<StatusList, StatusListError> {
        StatusList::from_compressed(bits, zlib, StatusList::MAX_ENTRIES)
    }

    /// TSL-17: the same octets, in each width.
    #[test]
    fn the_first_status_is_in_the_least_significant_bits() {
        let octets = zlib(&[0b1110_0100, 0b0001_1011]);
        for (bits, wanted) in [
            (1, &[0, 0, 1, 0, 0, 1, 1, 1, 1, 1, 0, 1, 1, 0, 0, 0][..]),
            (2, &[0, 1, 2, 3, 3, 2, 1, 0]),
            (4, &[0b0100, 0b1110, 0b1011, 0b0001]),
            (8, &[0b1110_0100, 0b0001_1011]),
        ] {
            let list = read(bits, &octets).unwrap();
            let found: Vec<_> = (0..list.len()).map(|index| list.get(index).unwrap()).collect();
            assert_eq!(found, wanted, "{bits}");
            for beyond in [list.len(), list.len() + 1, u64::MAX / 8, u64::MAX] {
                assert_eq!(list.get(beyond), None, "{bits} {beyond}");
            }
        }
    }

    /// TSL-16.
    #[test]
    fn only_one_zlib_stream_is_read() {
        let plain = [0_u8, 1, 2, 3, 4, 5, 6, 7];
        let good = zlib(&plain);
        assert_eq!(read(8, &good).unwrap().len(), 8);

        let mut raw = DeflateEncoder::new(Vec::new(), Compression::best());
        raw.write_all(&plain).unwrap();
        let raw = raw.finish().unwrap();
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(&plain).unwrap();
        let edited = |at: usize, mask: u8| {
            let mut edited = good.clone();
            edited[at] ^= mask;
            edited
        };
        let last = good.len() - 1;
        for (name, octets) in [
            ("nothing", Vec::new()),
            ("raw deflate", raw.clone()),
            ("gzip", gzip.finish().unwrap()),
            ("another checksum", edited(last, 1)),
            ("another first octet of the checksum", edited(last - 3, 0x80)),
            ("no checksum", good[..good.len() - 4].to_vec()),
            ("a part of the checksum", good[..last].to_vec()),
            ("an octet more", [&good[..], &[0]].concat()),
            ("twice", [&good[..], &good[..]].concat()),
            ("another header checksum", edited(1, 1)),
            ("a preset dictionary", [&[0x78, 0xbb][..], &[0, 0, 0, 1], &raw].concat()),
            ("another method", edited(0, 1)),
            ("its end is missing", good[..good.len() / 2].to_vec()),
        ] {
            assert_eq!(read(8, &octets), Err(StatusListError::Zlib), "{name}");
        }
        for bits in [0, 3, 5, 6, 7, 9, 16, 255] {
            assert_eq!(read(bits, &good), Err(StatusListError::Bits), "{bits}");
        }
    }

    /// Every pair of statuses, at every place of an octet, in every width.
    #[test]
    fn what_is_taken_back_is_found() {
        let list = |bits: u8, statuses: &[u8]| {
            let mut octets = vec![0_u8; (statuses.len() * usize::from(bits)).div_ceil(8)];
            for (index, status) in statuses.iter().enumerate() {
                let first = index * usize::from(bits);
                octets[first / 8] |= status << (first % 8);
            }
            StatusList { bits, octets: octets.into() }
        };
        for (bits, index, was, is) in [1_u8, 2, 4, 8].into_iter().flat_map(|bits| {
            let statuses =
                [0, 1, 2, 3].into_iter().filter(move |status| *status < 1 << bits.min(2));
            let pairs =
                statuses.clone().flat_map(move |was| statuses.clone().map(move |is| (was, is)));
            // Under Miri each step takes a thousand times as long.
            (0..24)
                .step_by(if cfg!(miri) { 7 } else { 1 })
                .flat_map(move |index| pairs.clone().map(move |(was, is)| (bits, index, was, is)))
        }) {
            let with = |status| {
                let mut statuses = [0_u8; 24];
                statuses[5] = 1;
                statuses[index] = status;
                statuses
            };
            let (before, now) = (with(was), with(is));
            let wanted = was != 0 && is == 0;
            let name = format!("{bits} {index} {was} {is}");
            assert_eq!(list(bits, &now).takes_back(&list(bits, &before)), wanted, "{name}");
            let wider = list(8, &now);
            assert_eq!(wider.takes_back(&list(bits, &before)), wanted, "{name}, wider now");
            let shorter = list(8, &before[..index]);
            let wanted = before[index..].iter().any(|status| *status != 0);
            assert_eq!(shorter.takes_back(&list(8, &before)), wanted, "{name}, shorter now");
        }
    }

    /// TSL-29: to the entry.
    #[test]
    fn a_list_is_no_larger_than_allowed() {
        for (bits, octets) in [(1_u8, 1_000_usize), (2, 1_000), (4, 1_000), (8, 1_000)] {
            let list = zlib(&vec![0; octets]);
            let entries = u64::try_from(octets * 8 / usize::from(bits)).unwrap();
            let read = |most| StatusList::from_compressed(bits, &list, most);
            let found = read(entries).map(|list| (list.len(), list.is_empty()));
            assert_eq!(found, Ok((entries, false)));
            for most in [entries - 1, 1, 0] {
                let too_large = Err(StatusListError::TooLarge { max_entries: most });
                assert_eq!(read(most), too_large, "{bits} {most}");
            }
        }
        let empty = StatusList::from_compressed(8, &zlib(&[]), 0).unwrap();
        assert!(empty.is_empty() && empty.get(0).is_none());
    }
}
