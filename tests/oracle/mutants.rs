//! Tokens: good ones, odd ones with a good signature, and ones that the issuer did not sign so.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis::jose::Algorithm;
use portcullis::testing::{TestIssuer, TestKey, TokenBuilder};
use serde_json::{Value, json};

use super::{RESOURCE, odd};

/// Any number. It makes the same tokens every time, but for keys and signatures, and others for
/// each algorithm.
const SEED: u64 = 0x0709_0519_0725_9068;

pub(crate) struct Mutant {
    pub(crate) name: String,
    pub(crate) token: String,
    pub(crate) made: Made,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Made {
    /// A token that has to be accepted.
    Good,
    /// Signed as it is, whatever it is.
    Signed,
    /// Not what was signed, or not signed by the issuer's key.
    AfterSigning,
}

pub(crate) fn all(issuer: &TestIssuer, algorithm: Algorithm) -> Vec<Mutant> {
    let place = Algorithm::ALL.iter().take_while(|other| **other != algorithm);
    let mut random = Random(SEED + u64::try_from(place.count()).expect("64 bits"));
    let mut mutants = good(issuer, &mut random);
    mutants.extend(odd::claims(issuer));
    mutants.extend(odd::headers(issuer));
    mutants.extend(odd::json(issuer));
    mutants.extend(edited_and_signed(issuer, &mut random));
    mutants.extend(edited_after_signing(issuer, &mut random));
    mutants.extend(wrong_keys(issuer, algorithm));
    mutants
}

// ---- good tokens

fn good(issuer: &TestIssuer, random: &mut Random) -> Vec<Mutant> {
    (0..60)
        .map(|number| {
            let mut token = issuer
                .token(RESOURCE)
                .subject(&random.text())
                .claim("client_id", random.text())
                .claim("jti", random.text());
            if random.below(2) == 0 {
                token = token.claim("aud", [&random.text(), RESOURCE, &random.text()]);
            }
            if random.below(2) == 0 {
                token = token.scope("notes:read notes:write");
            }
            let exp = ["1800000300", "1800000300.25", "1.8000003e9", "18000003E+2"];
            token = token.raw_claim("exp", random.pick(&exp));
            let nbf = ["1800000000", "1.8e9", "0", "1800000009.5"];
            if random.below(2) == 0 {
                token = token.raw_claim("nbf", random.pick(&nbf));
            }
            for extra in 0..random.below(5) {
                token = token.claim(&format!("x{extra}"), random.json(3));
                token = token.header(&format!("y{extra}"), random.json(2));
            }
            mutant(format!("good {number}"), token.sign(), Made::Good)
        })
        .collect()
}

// ---- edited

/// Octets of header and payload changed, then signed: every octet has one bit flipped once.
fn edited_and_signed(issuer: &TestIssuer, random: &mut Random) -> Vec<Mutant> {
    let token = issuer.token(RESOURCE).claim("nbf", 1_800_000_000).scope("a b");
    let (header, payload) = parts(&token);
    let mut mutants = Vec::new();
    for (octets, which) in [(&header, "header"), (&payload, "payload")] {
        let edits = (0..octets.len()).map(|at| Edit::Flip(at, random.below(8)));
        let mut edits: Vec<Edit> = edits.collect();
        edits.extend((0..60).map(|_| Edit::draw(octets.len(), random)));
        for edit in edits {
            let edited = edit.apply(octets);
            let token = match which {
                "header" => token.clone().raw_header(edited),
                _ => token.clone().raw_payload(edited),
            };
            mutants.push(mutant(format!("{which}, {edit:?}, signed"), token.sign(), Made::Signed));
        }
    }
    mutants
}

// ---- changed after signing

fn edited_after_signing(issuer: &TestIssuer, random: &mut Random) -> Vec<Mutant> {
    const CHARACTERS: &[u8] =
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~+/";
    let good = issuer.token(RESOURCE).sign();
    let parts: Vec<Vec<u8>> =
        good.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).expect("base64url")).collect();
    let encode = |parts: &[Vec<u8>]| {
        let parts: Vec<String> = parts.iter().map(|part| URL_SAFE_NO_PAD.encode(part)).collect();
        parts.join(".")
    };
    let mut mutants = vec![mutant("unchanged".to_owned(), good.clone(), Made::Good)];
    let mut add = |name: String, token: String| {
        if token != good {
            mutants.push(mutant(name, token, Made::AfterSigning));
        }
    };
    for (index, part) in parts.iter().enumerate() {
        let edits = (0..part.len()).map(|at| Edit::Flip(at, random.below(8)));
        let mut edits: Vec<Edit> = edits.collect();
        edits.extend((0..20).map(|_| Edit::draw(part.len(), random)));
        for edit in edits {
            let mut edited = parts.clone();
            let slot = edited.get_mut(index).expect("a part");
            *slot = edit.apply(part);
            add(format!("part {index}, {edit:?}"), encode(&edited));
        }
    }
    for _ in 0..200 {
        let at = random.below(good.len());
        let (start, rest) = good.split_at(at);
        let c = char::from(random.pick(CHARACTERS));
        let replaced = format!("{start}{c}{}", rest.get(1..).unwrap_or_default());
        add(format!("character {at} is {c}"), replaced);
        add(format!("character {at} is a new {c}"), format!("{start}{c}{rest}"));
        let removed = format!("{start}{}", rest.get(1..).unwrap_or_default());
        add(format!("character {at} is gone"), removed);
    }
    for (name, token) in [
        ("padding", format!("{good}=")),
        ("more padding", format!("{good}==")),
        ("a fourth part", format!("{good}.AAAA")),
        ("an empty fourth part", format!("{good}.")),
        ("an empty first part", format!(".{good}")),
        ("no signature", good.rsplit_once('.').expect("parts").0.to_owned()),
        ("an empty signature", format!("{}.", good.rsplit_once('.').expect("parts").0)),
        ("twice", format!("{good}.{good}")),
    ] {
        add(name.to_owned(), token);
    }
    mutants
}

/// A stranger's key of every algorithm, the names of all algorithms over the issuer's key, and no
/// key at all.
fn wrong_keys(issuer: &TestIssuer, algorithm: Algorithm) -> Vec<Mutant> {
    let mut mutants = Vec::new();
    let mut add = |name: String, token: String, made| mutants.push(mutant(name, token, made));
    let stranger = TestKey::generate(algorithm, "k1");
    for number in 0..10 {
        let token = issuer.token(RESOURCE).sign_with(&stranger);
        add(format!("a stranger's {number}"), token, Made::AfterSigning);
    }
    let token = issuer.token(RESOURCE).header("jwk", stranger.public_jwk()).sign_with(&stranger);
    add("a stranger's, who brings the key".to_owned(), token, Made::AfterSigning);

    for other in [Algorithm::Es256, Algorithm::Es384, Algorithm::Es512, Algorithm::EdDsa] {
        if !other.same_operation(algorithm) {
            let stranger = TestKey::generate(other, "k1");
            for alg in [algorithm, other] {
                let token = issuer.token(RESOURCE).header("alg", alg.as_str());
                let name = format!("an {other} stranger's, named {alg}");
                add(name, token.sign_with(&stranger), Made::AfterSigning);
            }
        }
    }
    for other in Algorithm::ALL {
        let token = issuer.token(RESOURCE).header("alg", other.as_str());
        add(format!("signed with the issuer's key, named {other}"), token.sign(), Made::Signed);
    }
    for secret in [issuer.key().public_jwk().to_string(), String::new()] {
        let token = issuer.token(RESOURCE).sign_with_hmac(secret.as_bytes());
        add("HS256 with public octets".to_owned(), token, Made::AfterSigning);
    }
    for alg in ["none", "None", "HS256", algorithm.as_str()] {
        let token = issuer.token(RESOURCE).unsigned(alg);
        add(format!("unsigned {alg}"), token, Made::AfterSigning);
    }
    mutants
}

// ---- edits

#[derive(Clone, Copy, Debug)]
enum Edit {
    Flip(usize, usize),
    Replace(usize, u8),
    Insert(usize, u8),
    Remove(usize),
}

impl Edit {
    fn draw(length: usize, random: &mut Random) -> Self {
        const OCTETS: &[u8] = b" {}[]\":,\\0123456789.eE+-abtn/\xff\xc3\x00\n";
        let at = random.below(length);
        let octet = random.pick(OCTETS);
        match random.below(3) {
            0 => Self::Replace(at, octet),
            1 => Self::Insert(at, octet),
            _ => Self::Remove(at),
        }
    }

    fn apply(self, octets: &[u8]) -> Vec<u8> {
        let mut edited = octets.to_vec();
        match self {
            Self::Flip(at, bit) => {
                if let Some(octet) = edited.get_mut(at) {
                    *octet ^= 1 << bit;
                }
            }
            Self::Replace(at, with) => {
                if let Some(octet) = edited.get_mut(at) {
                    *octet = with;
                }
            }
            Self::Insert(at, octet) => edited.insert(at, octet),
            Self::Remove(at) => {
                edited.remove(at);
            }
        }
        edited
    }
}

pub(crate) fn mutant(name: String, token: String, made: Made) -> Mutant {
    Mutant { name, token, made }
}

/// Header and payload, decoded.
pub(crate) fn parts(token: &TokenBuilder) -> (Vec<u8>, Vec<u8>) {
    let input = token.signing_input();
    let (header, payload) = input.split_once('.').expect("two parts");
    let decode = |part| URL_SAFE_NO_PAD.decode(part).expect("base64url");
    (decode(header), decode(payload))
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end.max(1)).expect("64 bits");
        usize::try_from(self.next() % end).expect("a small number")
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        *from.get(self.below(from.len())).expect("one of them")
    }

    /// One to twelve characters, odd ones among them.
    fn text(&mut self) -> String {
        const CHARACTERS: &[char] = &[
            'a', 'Z', '0', ' ', '"', '\\', '/', '\n', '\0', '\u{7f}', 'é', '\u{301}', '😀', ':',
            '{', '}', '\u{feff}', '\u{2028}',
        ];
        let length = 1 + self.below(12);
        (0..length).map(|_| self.pick(CHARACTERS)).collect()
    }

    fn json(&mut self, depth: usize) -> Value {
        match self.below(if depth == 0 { 5 } else { 7 }) {
            0 => Value::Null,
            1 => json!(self.below(2) == 0),
            2 => json!(self.next()),
            3 => json!(-1.5e-7),
            4 => json!(self.text()),
            5 => (0..self.below(4)).map(|_| self.json(depth - 1)).collect(),
            _ => (0..self.below(4)).map(|_| (self.text(), self.json(depth - 1))).collect(),
        }
    }
}
