//! Token Status Lists, and a second reading of RFC 1950 and RFC 1951 to compare them with.

use ed25519_dalek::{Signer as _, SigningKey};
use portcullis::jose::{Algorithm, ClaimsSet, PublicKey, base64url};
use portcullis::revocation::{ExpectedStatusList, StatusList, StatusListError, StatusListToken};
use portcullis::time::Timestamp;

use super::time::exact_nanos;
use super::tree::{self, Reading, Tree, member};

const NOW: u64 = 1_800_000_000;
const URI: &str = "https://as.example/lists/1";
const ISSUER: &str = "https://as.example";
const MAX_ENTRIES: u64 = 1 << 16;

/// The first octet is the number of bits, and the rest is a zlib stream; or, with its highest bit, the
/// rest is a payload, which is signed whatever it is.
pub fn status_list(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    if first & 0x80 == 0 {
        let read = StatusList::from_compressed(*first, rest, MAX_ENTRIES);
        compare(&read, *first, rest);
    } else {
        payload(rest);
    }
}

/// What was read, and the second reading of the same octets.
fn compare(read: &Result<StatusList, StatusListError>, bits: u8, zlib: &[u8]) {
    if !matches!(bits, 1 | 2 | 4 | 8) {
        assert_eq!(*read, Err(StatusListError::Bits));
        return;
    }
    let most = usize::try_from(MAX_ENTRIES).unwrap() * usize::from(bits) / 8;
    match (read, inflate(zlib, most)) {
        (Ok(list), Ok(octets)) => {
            let per_octet = 8 / usize::from(bits);
            assert_eq!(list.len(), (octets.len() * per_octet) as u64);
            for index in 0..octets.len() * per_octet {
                let octet = u16::from(octets[index / per_octet]);
                let above = octet >> (index % per_octet * usize::from(bits));
                let status = above % (1 << bits);
                assert_eq!(list.get(index as u64).map(u16::from), Some(status), "{index}");
            }
            assert_eq!(list.get(list.len()), None);
        }
        (Err(StatusListError::TooLarge { .. }), Err(Wrong::Long)) => {}
        (Err(StatusListError::Zlib), Err(Wrong::Zlib)) => {}
        (read, second) => {
            let second = second.map(|octets| octets.len());
            panic!("{read:?}, and by the second reading {second:?}")
        }
    }
}

fn payload(payload: &[u8]) {
    let pair = SigningKey::from_bytes(&[7; 32]);
    let x = base64url::encode(pair.verifying_key().as_bytes());
    let jwk = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#);
    let key = PublicKey::parse(jwk.as_bytes(), &[Algorithm::EdDsa]).unwrap();
    let header = base64url::encode(r#"{"alg":"EdDSA","typ":"statuslist+jwt"}"#);
    let input = format!("{header}.{}", base64url::encode(payload));
    let signature = base64url::encode(pair.sign(input.as_bytes()).to_bytes());
    let token = format!("{input}.{signature}");

    let expected = ExpectedStatusList::new(URI, Timestamp::from_secs(NOW))
        .issuer(ISSUER)
        .max_entries(MAX_ENTRIES);
    let read = StatusListToken::parse(&token).and_then(|token| token.verify(&key, &expected));
    match (read, judge(payload)) {
        (Ok(signed), Judgement::Good { bits, zlib }) => {
            compare(&Ok(signed.list().clone()), bits, &zlib);
        }
        (Err(error), Judgement::Good { bits, zlib }) => compare(&Err(error), bits, &zlib),
        (Err(_), Judgement::Bad) | (_, Judgement::Unknown) => {}
        (Ok(signed), Judgement::Bad) => panic!("{signed:?}, which is not good"),
    }
}

enum Judgement {
    /// All but what the list inflates to.
    Good {
        bits: u8,
        zlib: Vec<u8>,
    },
    Bad,
    Unknown,
}

/// Token Status List §5.1, of a payload whose signature is good.
fn judge(payload: &[u8]) -> Judgement {
    let claims = match tree::read(payload) {
        Reading::Object(claims) => claims,
        Reading::Refused => return Judgement::Bad,
        Reading::Unknown => return Judgement::Unknown,
    };
    let Some(Tree::Object(list)) = member(&claims, "status_list") else {
        return Judgement::Bad;
    };
    // The digits are the crate's own reading: the target `json` compares them.
    let Ok(numbers) = ClaimsSet::parse(payload) else {
        return Judgement::Bad;
    };
    let time = |name| numbers.value(name).map(|value| value.as_number().and_then(exact_nanos));
    let seconds = |seconds: u64| u128::from(seconds) * 1_000_000_000;
    let within = |time: Option<Option<u128>>, good: &dyn Fn(u128) -> bool| match time {
        None => true,
        Some(time) => time.is_some_and(good),
    };
    let is = |name, wanted| member(&claims, name).and_then(Tree::as_text) == Some(wanted);
    let good = payload.len() > 1
        && is("sub", URI)
        && (member(&claims, "iss").is_none() || is("iss", ISSUER))
        && member(&claims, "aud").is_none()
        && time("iat").is_some()
        && within(time("iat"), &|at| at <= seconds(NOW + 60))
        && within(time("nbf"), &|at| at <= seconds(NOW + 60))
        && within(time("exp"), &|at| at > seconds(NOW))
        && within(time("ttl"), &|ttl| ttl > 0);
    let bits = numbers.value("status_list").and_then(|list| list.as_object()).and_then(|list| {
        let bits = list.member("bits")?.as_number()?;
        ["1", "2", "4", "8"].contains(&bits).then(|| bits.parse().unwrap())
    });
    let zlib = member(&list[..], "lst").and_then(Tree::as_text).map(base64url::decode);
    match (bits, zlib) {
        (Some(bits), Some(Ok(zlib))) if good => Judgement::Good { bits, zlib },
        _ => Judgement::Bad,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Zlib,
    /// It goes on after so many octets.
    Long,
}

/// One zlib stream and nothing else.
fn inflate(zlib: &[u8], most: usize) -> Result<Vec<u8>, Wrong> {
    let [method, flags, rest @ ..] = zlib else { return Err(Wrong::Zlib) };
    let header = u16::from_be_bytes([*method, *flags]);
    let is_zlib = method & 0x0f == 8 && method >> 4 <= 7 && flags & 0x20 == 0;
    if !is_zlib || !header.is_multiple_of(31) {
        return Err(Wrong::Zlib);
    }
    let mut bits = Bits { octets: rest, at: 0 };
    let mut out = Vec::new();
    loop {
        let last = bits.take(1)?;
        match bits.take(2)? {
            0 => bits.stored(&mut out, most)?,
            1 => {
                let lengths: Vec<u8> = (0..288)
                    .map(|n| match n {
                        0..=143 => 8,
                        144..=255 => 9,
                        256..=279 => 7,
                        _ => 8,
                    })
                    .collect();
                let (literals, distances) = (Code::new(&lengths)?, Code::new(&[5; 32])?);
                bits.block(&literals, &distances, &mut out, most)?;
            }
            2 => {
                let (literals, distances) = bits.codes()?;
                bits.block(&literals, &distances, &mut out, most)?;
            }
            _ => return Err(Wrong::Zlib),
        }
        if last == 1 {
            break;
        }
    }
    let end = bits.at.div_ceil(8);
    if rest[end..] != adler32(&out).to_be_bytes() {
        return Err(Wrong::Zlib);
    }
    Ok(out)
}

fn adler32(octets: &[u8]) -> u32 {
    let (mut a, mut b) = (1_u32, 0_u32);
    for octet in octets {
        a = (a + u32::from(*octet)) % 65_521;
        b = (b + a) % 65_521;
    }
    b << 16 | a
}

struct Bits<'a> {
    octets: &'a [u8],
    /// Bits that were taken.
    at: usize,
}

/// A Huffman code: each length and number of a code word, with its symbol.
struct Code(Vec<(u8, u16, u16)>);

impl Code {
    fn new(lengths: &[u8]) -> Result<Self, Wrong> {
        let mut words = Vec::new();
        let mut next = 0_u32;
        for length in 1..=15 {
            next <<= 1;
            for (symbol, _) in lengths.iter().enumerate().filter(|(_, one)| **one == length) {
                words.push((
                    length,
                    u16::try_from(next).map_err(|_| Wrong::Zlib)?,
                    u16::try_from(symbol).unwrap(),
                ));
                next += 1;
            }
            if next > 1 << length {
                return Err(Wrong::Zlib);
            }
        }
        // A code of more than one word leaves none over.
        if words.len() > 1 && next != 1 << 15 {
            return Err(Wrong::Zlib);
        }
        Ok(Self(words))
    }
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Result<usize, Wrong> {
        let mut taken = 0;
        for place in 0..count {
            let octet = self.octets.get(self.at / 8).ok_or(Wrong::Zlib)?;
            taken |= usize::from(octet >> (self.at % 8) & 1) << place;
            self.at += 1;
        }
        Ok(taken)
    }

    fn symbol(&mut self, code: &Code) -> Result<usize, Wrong> {
        let (mut length, mut word) = (0, 0);
        while length < 15 {
            word = word << 1 | u16::try_from(self.take(1)?).unwrap();
            length += 1;
            if let Some((_, _, symbol)) = code.0.iter().find(|(l, w, _)| (*l, *w) == (length, word))
            {
                return Ok(usize::from(*symbol));
            }
        }
        Err(Wrong::Zlib)
    }

    fn stored(&mut self, out: &mut Vec<u8>, most: usize) -> Result<(), Wrong> {
        self.at = self.at.next_multiple_of(8);
        let (length, inverse) = (self.take(16)?, self.take(16)?);
        if length ^ inverse != 0xffff {
            return Err(Wrong::Zlib);
        }
        for _ in 0..length {
            let octet = u8::try_from(self.take(8)?).unwrap();
            push(out, octet, most)?;
        }
        Ok(())
    }

    fn codes(&mut self) -> Result<(Code, Code), Wrong> {
        const ORDER: [usize; 19] =
            [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
        let (literals, distances) = (self.take(5)? + 257, self.take(5)? + 1);
        let count = self.take(4)? + 4;
        let mut lengths = [0; 19];
        for place in &ORDER[..count] {
            lengths[*place] = u8::try_from(self.take(3)?).unwrap();
        }
        if literals > 286 || distances > 30 {
            return Err(Wrong::Zlib);
        }
        let code = Code::new(&lengths)?;
        let mut lengths: Vec<u8> = Vec::new();
        while lengths.len() < literals + distances {
            let (length, times) = match self.symbol(&code)? {
                16 => (*lengths.last().ok_or(Wrong::Zlib)?, self.take(2)? + 3),
                17 => (0, self.take(3)? + 3),
                18 => (0, self.take(7)? + 11),
                length => (u8::try_from(length).unwrap(), 1),
            };
            lengths.extend(std::iter::repeat_n(length, times));
        }
        if lengths.len() != literals + distances || lengths[256] == 0 {
            return Err(Wrong::Zlib);
        }
        Ok((Code::new(&lengths[..literals])?, Code::new(&lengths[literals..])?))
    }

    fn block(
        &mut self,
        literals: &Code,
        distances: &Code,
        out: &mut Vec<u8>,
        most: usize,
    ) -> Result<(), Wrong> {
        loop {
            let length = match self.symbol(literals)? {
                256 => return Ok(()),
                literal @ 0..=255 => {
                    push(out, u8::try_from(literal).unwrap(), most)?;
                    continue;
                }
                symbol @ 257..=264 => symbol - 254,
                symbol @ 265..=284 => {
                    let extra = (symbol - 261) / 4;
                    (((symbol - 261) % 4 + 4) << extra) + 3 + self.take(extra)?
                }
                285 => 258,
                _ => return Err(Wrong::Zlib),
            };
            let distance = match self.symbol(distances)? {
                symbol @ 0..=3 => symbol + 1,
                symbol @ 4..=29 => {
                    let extra = symbol / 2 - 1;
                    ((2 + symbol % 2) << extra) + 1 + self.take(extra)?
                }
                _ => return Err(Wrong::Zlib),
            };
            for _ in 0..length {
                let from = out.len().checked_sub(distance).ok_or(Wrong::Zlib)?;
                push(out, out[from], most)?;
            }
        }
    }
}

fn push(out: &mut Vec<u8>, octet: u8, most: usize) -> Result<(), Wrong> {
    if out.len() == most {
        return Err(Wrong::Long);
    }
    out.push(octet);
    Ok(())
}
