//! Tables whose keys are keyed hashes already: they say themselves where they are kept.

use std::hash::{BuildHasherDefault, Hasher};

/// For keys that hash themselves as one number, `u64` or `u128`, which nobody outside can foresee.
pub(crate) type BuildPlaceHasher = BuildHasherDefault<PlaceHasher>;

#[derive(Default)]
pub(crate) struct PlaceHasher(u64);

impl Hasher for PlaceHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, octets: &[u8]) {
        // INVARIANT: what is a number does not come this way.
        octets.iter().for_each(|octet| self.0 = self.0.rotate_left(8) ^ u64::from(*octet));
    }

    fn write_u64(&mut self, place: u64) {
        self.0 = place;
    }

    fn write_u128(&mut self, place: u128) {
        // The lower half may have chosen the table.
        self.0 = u64::try_from(place >> 64).unwrap_or_default();
    }
}
