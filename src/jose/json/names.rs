//! The names of members.

use std::borrow::Cow;
use std::collections::HashSet;

/// How many names are compared one by one.
pub(super) const FEW: usize = 16;

/// The member names of one object, to find a repeated one: a list while it is short, a hash set
/// with a random key beyond, so that ten thousand members cost no more than their number.
pub(super) struct Names<'a> {
    /// Names without escapes.
    few: [&'a str; FEW],
    count: usize,
    /// Of those.
    marks: Marks,
    /// The first name that has escapes or finds no place in the list, and every one after it.
    many: Option<HashSet<Cow<'a, str>>>,
}

impl<'a> Names<'a> {
    pub(super) const fn new() -> Self {
        Self { few: [""; FEW], count: 0, marks: Marks::NONE, many: None }
    }

    /// Whether the name is new.
    #[expect(clippy::ptr_arg, reason = "what is borrowed has no escapes")]
    pub(super) fn insert(&mut self, name: &Cow<'a, str>) -> bool {
        let mark = Marks::of(name);
        if self.marks.have(mark) && self.few.iter().take(self.count).any(|few| *few == name) {
            return false;
        }
        match (name, self.few.get_mut(self.count), &mut self.many) {
            (Cow::Borrowed(name), Some(place), None) => {
                *place = name;
                self.count = self.count.saturating_add(1);
                self.marks = self.marks.and(mark);
                true
            }
            (name, _, many) => many.get_or_insert_default().insert(name.clone()),
        }
    }
}

/// A bit for each of some names: one whose bit is not set is none of them. Names that share a bit
/// cost a comparison and nothing else.
#[derive(Clone, Copy)]
pub(super) struct Marks(u64);

impl Marks {
    pub(super) const NONE: Self = Self(0);

    /// The factors give the names of claims that are registered bits of their own, but for a few.
    pub(super) fn of(name: &str) -> Self {
        let octet = |octet: Option<&u8>| octet.copied().map_or(0, u32::from);
        let (first, last) = (octet(name.as_bytes().first()), octet(name.as_bytes().last()));
        let length = u32::try_from(name.len()).unwrap_or(0);
        let sum = first.wrapping_add(last.wrapping_mul(22)).wrapping_add(length.wrapping_mul(15));
        // Of the sum only the last six bits count.
        Self(1_u64.wrapping_shl(sum))
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn have(self, one: Self) -> bool {
        self.0 & one.0 != 0
    }
}
