//! Edits of the octets that are signed.

use super::dice::Dice;
use super::edits::{Edit, Stage, edit};
use super::request::{Draft, Surroundings};

const O: Stage = Stage::Octets;

pub(crate) const EDITS: &[Edit] = &[
    edit(3, O, "white space around", |draft, _, dice| {
        let space: &[&[u8]] =
            &[b" ", b"\n", b"\t\r\n ", b"\x0c", b"\x0b", b"\xc2\xa0", b"\0", b"\xe2\x80\xa8"];
        let space = dice.pick(space).to_vec();
        let octets = part(draft, dice);
        match dice.percent(50) {
            true => octets.extend(space),
            false => octets.splice(0..0, space).for_each(drop),
        }
    }),
    edit(1, O, "byte order mark", |draft, _, dice| {
        part(draft, dice).splice(0..0, *b"\xef\xbb\xbf").for_each(drop);
    }),
    edit(2, O, "trailing octets", |draft, _, dice| {
        let trail: &[&[u8]] = &[b"x", b"{}", b",", b"\0", b"}", b"//", b"\xff", b"null", b"."];
        let trail = dice.pick(trail).to_vec();
        part(draft, dice).extend(trail);
    }),
    edit(1, O, "wrapped", |draft, _, dice| {
        let octets = part(draft, dice);
        octets.insert(0, b'[');
        octets.push(b']');
    }),
    edit(1, O, "not an object", |draft, _, dice| {
        let values: &[&[u8]] =
            &[b"", b"[]", b"null", b"\"x\"", b"1", b"{}", b"{", b"true", b"[{}]", b" "];
        *part(draft, dice) = dice.pick(values).to_vec();
    }),
    edit(2, O, "truncated", |draft, _, dice| {
        let octets = part(draft, dice);
        octets.truncate(octets.len().saturating_sub(1 + dice.below(octets.len().max(1))));
    }),
    edit(3, O, "invalid UTF-8", |draft, _, dice| {
        let bad: &[&[u8]] = &[
            b"\xff",
            b"\xc0\xaf",
            b"\xed\xa0\x80",
            b"\xed\xa0\xbd\xed\xb8\x80",
            b"\xf4\x90\x80\x80",
            b"\x80",
            b"\xe2\x82",
            b"\xc3",
            b"\xf8\x88\x80\x80\x80",
        ];
        let mut bad = dice.pick(bad).to_vec();
        // inside a string where there is one
        let octets = part(draft, dice);
        let quotes: Vec<usize> = octets
            .iter()
            .enumerate()
            .filter(|(_, octet)| **octet == b'"')
            .map(|(at, _)| at + 1)
            .collect();
        let at = if quotes.is_empty() { 0 } else { dice.pick(&quotes) };
        octets.splice(at..at, bad.drain(..)).for_each(drop);
    }),
    edit(1, O, "UTF-16", |draft, _, dice| {
        let octets = part(draft, dice);
        *octets = octets.iter().flat_map(|octet| [0, *octet]).collect();
    }),
    edit(4, O, "one octet changed", |draft, _, dice| {
        let octets = part(draft, dice);
        if !octets.is_empty() {
            let at = dice.below(octets.len());
            octets[at] = match dice.percent(50) {
                true => dice.pick(b"{}[]\":,\\0e-.+ tn\x00\x1f\x7f\x80"),
                false => octets[at] ^ (1 << dice.below(8)),
            };
        }
    }),
    edit(2, O, "one octet more or less", |draft, _, dice| {
        let octets = part(draft, dice);
        if !octets.is_empty() {
            let at = dice.below(octets.len());
            match dice.percent(50) {
                true => octets.insert(at, dice.pick(b"{}[]\":,\\0e-.+ ")),
                false => drop(octets.remove(at)),
            }
        }
    }),
    edit(1, O, "deep nesting without an end", |draft, _, dice| {
        *part(draft, dice) = dice.pick(&["[", "{\"a\":", "[{\"a\":"]).repeat(1_500).into_bytes();
    }),
    // 6144 octets are 8192 characters, and one more is too long
    edit(2, O, "a header at its bound", |draft, _, dice| {
        let wanted: usize = dice.pick(&[6_143, 6_144, 6_145, 6_146, 8_000]);
        let missing = wanted.saturating_sub(draft.header_octets.len());
        draft.header_octets.extend(std::iter::repeat_n(b' ', missing));
    }),
    edit(2, O, "a token at its bound", |draft, around: &Surroundings<'_>, dice| {
        let header = 1 + (draft.header_octets.len() * 4).div_ceil(3);
        let signature = match around.pool.algorithm(draft.key).as_str() {
            "ES256" | "EdDSA" => 64,
            "ES384" => 96,
            "ES512" => 132,
            _ => 256,
        };
        let rest = 16_384_usize.saturating_sub(header + 1 + (signature * 4_usize).div_ceil(3));
        let fits = rest * 3 / 4;
        let missing = (fits + dice.below(4)).saturating_sub(1 + draft.payload_octets.len());
        draft.payload_octets.extend(std::iter::repeat_n(b' ', missing));
    }),
];

/// The payload mostly, else the header.
fn part<'a>(draft: &'a mut Draft, dice: &mut Dice) -> &'a mut Vec<u8> {
    match dice.percent(70) {
        true => &mut draft.payload_octets,
        false => &mut draft.header_octets,
    }
}
