//! Under which key a target stands: one key for each target, and one target for each key.
//!
//! A kind, the number of the issuer, and the names, each but the last with its length before it. Most
//! tokens are told apart by a UUID: it takes 16 bytes in place of 36.

use super::super::record::{Claim, Claims, Target};

const TOKEN: u8 = 1;
const TOKEN_OF_UUID: u8 = 2;
const KEY: u8 = 3;
const ISSUER: u8 = 4;
const CLAIMS: u8 = 5;

const SESSION: u8 = 1;
const SUBJECT: u8 = 2;
const CLIENT: u8 = 3;
const NAMED: u8 = 4;

/// Appends the key of a target of this issuer.
pub(super) fn encode(issuer: u32, target: &Target, onto: &mut Vec<u8>) {
    let issuer = u64::from(issuer);
    match target {
        Target::Token(jti) => match uuid(jti) {
            Some(uuid) => {
                onto.push(TOKEN_OF_UUID);
                number(issuer, onto);
                onto.extend_from_slice(&uuid.to_be_bytes());
            }
            None => {
                onto.push(TOKEN);
                number(issuer, onto);
                onto.extend_from_slice(jti.as_bytes());
            }
        },
        Target::Key(kid) => {
            onto.push(KEY);
            number(issuer, onto);
            onto.extend_from_slice(kid.as_bytes());
        }
        Target::Issuer => {
            onto.push(ISSUER);
            number(issuer, onto);
        }
        Target::Claims(claims) => {
            onto.push(CLAIMS);
            number(issuer, onto);
            for (claim, value) in claims.iter() {
                match claim {
                    Claim::Session => onto.push(SESSION),
                    Claim::Subject => onto.push(SUBJECT),
                    Claim::Client => onto.push(CLIENT),
                    Claim::Named(name) => {
                        onto.push(NAMED);
                        text(name, onto);
                    }
                }
                text(value, onto);
            }
        }
    }
}

/// The number of the issuer, and the target. `None` if no target has this key.
pub(super) fn decode(key: &[u8]) -> Option<(u32, Target)> {
    let mut rest = key;
    let kind = byte(&mut rest)?;
    let issuer = u32::try_from(read_number(&mut rest)?).ok()?;
    let target = match kind {
        // A UUID as text would be a second row about it.
        TOKEN => Target::Token(utf8(rest).filter(|jti| uuid(jti).is_none())?.into()),
        TOKEN_OF_UUID => Target::Token(uuid_text(u128::from_be_bytes(rest.try_into().ok()?))?),
        KEY => Target::Key(utf8(rest)?.into()),
        ISSUER if rest.is_empty() => Target::Issuer,
        CLAIMS => {
            let mut claims: Option<Claims> = None;
            while !rest.is_empty() {
                let claim = match byte(&mut rest)? {
                    SESSION => Claim::Session,
                    SUBJECT => Claim::Subject,
                    CLIENT => Claim::Client,
                    NAMED => Claim::Named(read_text(&mut rest)?.into()),
                    _ => return None,
                };
                let value = read_text(&mut rest)?;
                claims = Some(match claims {
                    Some(claims) => claims.and(claim, value),
                    None => Claims::one(claim, value),
                });
            }
            Target::Claims(claims?)
        }
        _ => return None,
    };
    if let Target::Claims(_) = target {
        // In another order, too, they would be a second row.
        let mut again = Vec::with_capacity(key.len());
        encode(issuer, &target, &mut again);
        if again != key {
            return None;
        }
    }
    Some((issuer, target))
}

fn text(text: &str, onto: &mut Vec<u8>) {
    number(u64::try_from(text.len()).unwrap_or(u64::MAX), onto);
    onto.extend_from_slice(text.as_bytes());
}

fn read_text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let length = usize::try_from(read_number(rest)?).ok()?;
    let (text, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    utf8(text)
}

fn utf8(text: &[u8]) -> Option<&str> {
    std::str::from_utf8(text).ok()
}

fn byte(rest: &mut &[u8]) -> Option<u8> {
    let (first, behind) = rest.split_first()?;
    *rest = behind;
    Some(*first)
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
fn number(mut value: u64, onto: &mut Vec<u8>) {
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or_default();
        value >>= 7;
        if value == 0 {
            onto.push(low);
            return;
        }
        onto.push(low | 0x80);
    }
}

fn read_number(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let next = byte(rest)?;
        value |= u64::from(next & 0x7f).checked_shl(shift)?;
        if next & 0x80 == 0 {
            // A zero in the highest place would be a second spelling.
            return (next != 0 || shift == 0).then_some(value);
        }
    }
    None
}

/// Where the hyphens of a UUID are (RFC 9562 §4).
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

/// A UUID in the one spelling that comes back: 36 characters, lower case.
fn uuid(text: &str) -> Option<u128> {
    if text.len() != 36 {
        return None;
    }
    let mut value = 0_u128;
    for (place, letter) in text.bytes().enumerate() {
        let digit = match letter {
            b'-' if HYPHENS.contains(&place) => continue,
            _ if HYPHENS.contains(&place) => return None,
            b'0'..=b'9' => letter.checked_sub(b'0')?,
            b'a'..=b'f' => letter.checked_sub(b'a')?.checked_add(10)?,
            _ => return None,
        };
        value = value.checked_shl(4)? | u128::from(digit);
    }
    Some(value)
}

fn uuid_text(value: u128) -> Option<Box<str>> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'-'; 36];
    let mut rest = value;
    for (place, letter) in text.iter_mut().enumerate().rev() {
        if !HYPHENS.contains(&place) {
            *letter = *DIGITS.get(usize::try_from(rest & 0xf).ok()?)?;
            rest >>= 4;
        }
    }
    Some(utf8(&text)?.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(issuer: u32, target: &Target) -> Vec<u8> {
        let mut key = Vec::new();
        encode(issuer, target, &mut key);
        key
    }

    fn target() -> impl Strategy<Value = Target> {
        // Few letters, so that one name often begins with another.
        let name = || "[ab\u{e9}\u{1}\u{80}]{1,5}";
        let claim = prop_oneof![
            Just(Claim::Session),
            Just(Claim::Subject),
            Just(Claim::Client),
            name().prop_map(|name| Claim::Named(name.into())),
        ];
        let claims = prop::collection::vec((claim, name()), 1..4).prop_map(|claims| {
            let mut claims = claims.into_iter();
            let (claim, value) = claims.next().unwrap();
            let first = Claims::one(claim, value);
            Target::Claims(claims.fold(first, |all, (claim, value)| all.and(claim, value)))
        });
        prop_oneof![
            name().prop_map(|name| Target::Token(name.into())),
            any::<u128>().prop_map(|uuid| Target::Token(uuid_text(uuid).unwrap())),
            name().prop_map(|name| Target::Key(name.into())),
            Just(Target::Issuer),
            claims,
        ]
    }

    proptest! {
        /// EVT-01: two targets never share a row, and no row is about another target.
        #[test]
        fn a_key_is_that_of_one_target(
            one in (prop_oneof![Just(0_u32), Just(127), Just(128), any::<u32>()], target()),
            other in (0_u32..2, target()),
        ) {
            let (issuer, target) = &one;
            let encoded = key(*issuer, target);
            prop_assert_eq!(decode(&encoded), Some(one.clone()));
            prop_assert_eq!(encoded == key(other.0, &other.1), one == other);
        }

        /// Whatever is on the disk, reading it is no panic, and what is read is written so.
        #[test]
        fn bytes_are_a_key_in_one_spelling_or_none(bytes in prop::collection::vec(0_u8..6, 0..20)) {
            if let Some((issuer, target)) = decode(&bytes) {
                prop_assert_eq!(key(issuer, &target), bytes);
            }
        }
    }

    #[test]
    fn a_uuid_is_short_only_in_the_spelling_that_comes_back() {
        for (text, length) in [
            ("f81d4fae-7dec-11d0-a765-00a0c91e6bf6", 18),
            ("00000000-0000-0000-0000-000000000000", 18),
            ("F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6", 38),
            ("f81d4fae7dec-11d0-a765-00a0c91e6bf6-", 38),
            ("f81d4fae07dec-11d0-a765-00a0c91e6bf6", 38),
            ("-81d4fae-7dec-11d0-a765-00a0c91e6bf6", 38),
            ("f81d4fae-7dec-11d0-a765-00a0c91e6bf-", 38),
            ("f81d4fae-7dec-11d0-a765-00a0c91e6bf", 37),
        ] {
            let target = Target::Token(text.into());
            let key = key(0, &target);
            assert_eq!(key.len(), length, "{text}");
            assert_eq!(decode(&key), Some((0, target)), "{text}");
        }
        // The same as text is not another row.
        let mut long = vec![TOKEN, 0];
        long.extend_from_slice(b"f81d4fae-7dec-11d0-a765-00a0c91e6bf6");
        assert_eq!(decode(&long), None);
    }
}
