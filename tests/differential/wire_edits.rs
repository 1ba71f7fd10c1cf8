//! Edits of the signature, of the token as text, and of the field lines.

use portcullis::jose::{Algorithm, base64url};

use super::dice::Dice;
use super::edits::{Edit, Stage, edit};
use super::request::{Draft, Surroundings};

const M: Stage = Stage::Members;
const S: Stage = Stage::Signature;
const T: Stage = Stage::Token;
const L: Stage = Stage::Lines;

pub(crate) const EDITS: &[Edit] = &[
    edit(3, M, "signed by another key", |draft, around, dice| draft.key = around.pool.choose(dice)),
    edit(4, M, "signed by another published key", |draft, around, dice| {
        draft.key = around.scene.signers[dice.below(around.scene.signers.len())].key;
    }),
    edit(3, S, "a bit of the signature flipped", |draft, _, dice| {
        let at = dice.below(draft.signature.len().max(1));
        if let Some(octet) = draft.signature.get_mut(at) {
            *octet ^= 1 << dice.below(8);
        }
    }),
    edit(3, S, "a signature of another length", |draft, _, dice| {
        let signature = &mut draft.signature;
        match dice.below(6) {
            0 => drop(signature.pop()),
            1 if !signature.is_empty() => drop(signature.remove(0)),
            2 => signature.push(0),
            3 => signature.insert(0, 0),
            4 => signature.truncate(signature.len() / 2),
            _ => signature.clear(),
        }
    }),
    edit(2, S, "a signature of one octet repeated", |draft, _, dice| {
        let octet = dice.pick(&[0, 1, 0xff]);
        draft.signature.fill(octet);
    }),
    edit(3, S, "another form of the signature", another_form),
    edit(2, T, "padding", |draft, _, dice| {
        let padding = dice.pick(&["=", "==", "==="]);
        match dice.below(3) {
            0 => draft.token = draft.token.replacen('.', &format!("{padding}."), 1),
            _ => draft.token.push_str(padding),
        }
    }),
    edit(4, T, "trailing bits", trailing_bits),
    edit(2, T, "another alphabet", |draft, _, dice| {
        draft.token = match dice.below(4) {
            0 => draft.token.replace('-', "+").replace('_', "/"),
            1 => draft.token.replacen('.', "~.", 1),
            2 => draft.token.replacen('.', "%2E", 1),
            _ => draft.token.replacen(['-', '_'], "+", 1),
        };
    }),
    edit(3, T, "other parts", other_parts),
    edit(3, T, "one character changed", |draft, _, dice| {
        let at = dice.below(draft.token.len().max(1));
        let with = dice.pick(&["A", "B", "_", "-", ".", "+", "/", "=", "~", "z", ""]);
        if at < draft.token.len() {
            draft.token.replace_range(at..=at, with);
        }
    }),
    edit(1, T, "another case", |draft, _, dice| {
        draft.token = match dice.percent(50) {
            true => draft.token.to_ascii_lowercase(),
            false => draft.token.to_ascii_uppercase(),
        };
    }),
    edit(1, T, "cut off", |draft, _, dice| {
        draft.token.truncate(dice.below(draft.token.len().max(1)));
    }),
    edit(4, L, "another spelling of the scheme", |draft, _, dice| {
        let scheme = dice.pick(&["bearer", "BEARER", "bEaReR", "bearEr"]);
        draft.lines = vec![format!("{scheme} {}", draft.token).into_bytes()];
    }),
    edit(4, L, "another form of the field", another_field),
    edit(4, L, "another scheme", |draft, _, dice| {
        let scheme = dice.pick(&[
            "Basic",
            "DPoP",
            "Bearerx",
            "Beare",
            "Digest",
            "Negotiate",
            "B",
            "!#$%&'*+-.^_`|~",
            "Bearer\u{2d}",
            "Token",
            "JWT",
        ]);
        let rest = match dice.below(5) {
            0 => String::new(),
            1 => " ".to_owned(),
            2 => " dXNlcjpwYXNz".to_owned(),
            3 => " realm=\"x\", nonce=\"y\"".to_owned(),
            _ => format!(" {}", draft.token),
        };
        draft.lines = vec![format!("{scheme}{rest}").into_bytes()];
    }),
    edit(2, L, "no line", |draft, _, _| draft.lines.clear()),
    edit(3, L, "two lines", |draft, _, dice| {
        let second: &[&[u8]] = &[b"", b"Basic x", b"Bearer a.b.c", b"bearer"];
        let second = match dice.percent(50) {
            true => draft.lines.first().cloned().unwrap_or_default(),
            false => dice.pick(second).to_vec(),
        };
        draft.lines.insert(dice.below(draft.lines.len() + 1), second);
    }),
    edit(2, L, "a long token", |draft, _, dice| {
        let length = dice.pick(&[16_383, 16_384, 16_385, 20_000]);
        let unit = dice.pick(&["a", ".", "a.", "="]);
        let mut token = String::from("a");
        while token.len() < length {
            token.push_str(unit);
        }
        token.truncate(length);
        draft.lines = vec![format!("Bearer {token}").into_bytes()];
    }),
    edit(2, L, "a token that is no JWT", |draft, _, dice| {
        let token = dice.pick(&[
            "mF_9B5f-41JqM",
            "a",
            "AAAA==",
            "0",
            ".",
            "..",
            "...",
            "....",
            ".....",
            "a.b",
            "a.b.c",
        ]);
        draft.lines = vec![format!("Bearer {token}").into_bytes()];
    }),
];

/// DER, zero halves, (r, n - s), s + L: what other readers have taken for a signature.
fn another_form(draft: &mut Draft, around: &Surroundings<'_>, dice: &mut Dice) {
    let half = draft.signature.len() / 2;
    match around.pool.algorithm(draft.key) {
        Algorithm::Es256 if dice.percent(40) => {
            // the other signature that the same key has for the same octets
            let signature = p256::ecdsa::Signature::from_slice(&draft.signature);
            let Ok(signature) = signature else { return };
            let (r, s) = (*signature.r(), -*signature.s());
            let other = p256::ecdsa::Signature::from_scalars(r.to_bytes(), s.to_bytes());
            draft.signature = other.unwrap().to_bytes().to_vec();
        }
        Algorithm::Es256 if dice.percent(30) => {
            if let Ok(signature) = p256::ecdsa::Signature::from_slice(&draft.signature) {
                draft.signature = signature.to_der().as_bytes().to_vec();
            }
        }
        Algorithm::Es256 if dice.percent(30) => {
            // r or s is the order of P-256
            let order = "_____wAAAAD__________7zm-q2nF56E87nKwvxjJVE";
            let order = base64url::decode(order).unwrap();
            let at = dice.below(2) * half;
            draft.signature.splice(at..at + half, order).for_each(drop);
        }
        Algorithm::EdDsa => {
            // s + L, with L the order of the group, little endian
            let order = base64url::decode("7dP1XBpjEljWnPei3vneFAAAAAAAAAAAAAAAAAAAABA").unwrap();
            let mut carry = 0_u16;
            for (octet, add) in draft.signature[half..].iter_mut().zip(order) {
                let sum = u16::from(*octet) + u16::from(add) + carry;
                *octet = sum.to_le_bytes()[0];
                carry = sum >> 8;
            }
        }
        _ => {
            let at = dice.below(2) * half;
            draft.signature[at..at + half].fill(0);
        }
    }
}

/// Another last character of one part, which stands for the same octets or for none.
fn trailing_bits(draft: &mut Draft, _: &Surroundings<'_>, dice: &mut Dice) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut parts: Vec<String> = draft.token.split('.').map(str::to_owned).collect();
    let at = dice.below(parts.len());
    if let Some(last) = parts[at].pop() {
        let value = ALPHABET.iter().position(|c| char::from(*c) == last).unwrap_or(0);
        let other = (value ^ (1 + dice.below(3))) % 64;
        parts[at].push(char::from(ALPHABET[other]));
    }
    draft.token = parts.join(".");
}

fn other_parts(draft: &mut Draft, _: &Surroundings<'_>, dice: &mut Dice) {
    let mut parts: Vec<String> = draft.token.split('.').map(str::to_owned).collect();
    match dice.below(8) {
        0 => drop(parts.pop()),
        1 => parts.push("AAAA".to_owned()),
        2 => parts.extend(["AAAA".to_owned(), "AAAA".to_owned()]),
        3 => parts.push(String::new()),
        4 => parts.insert(0, String::new()),
        5 => parts.reverse(),
        6 => {
            let at = dice.below(parts.len());
            parts[at].clear();
        }
        _ => {
            let at = dice.below(parts.len());
            parts[at].push('A');
        }
    }
    draft.token = parts.join(".");
}

fn another_field(draft: &mut Draft, _: &Surroundings<'_>, dice: &mut Dice) {
    let token = draft.token.as_str();
    let line: Vec<u8> = match dice.below(28) {
        0 => format!("Bearer  {token}").into_bytes(),
        1 => format!("Bearer{}{token}", " ".repeat(50)).into_bytes(),
        2 => format!("Bearer\t{token}").into_bytes(),
        3 => format!("Bearer \t{token}").into_bytes(),
        4 => format!(" Bearer {token}").into_bytes(),
        5 => format!("Bearer {token} ").into_bytes(),
        6 => format!("Bearer {token}\t").into_bytes(),
        7 => format!("Bearer {token},").into_bytes(),
        8 => format!("Bearer {token}, Bearer {token}").into_bytes(),
        9 => format!("Bearer {token} {token}").into_bytes(),
        10 => format!("Bearer token=\"{token}\"").into_bytes(),
        11 => format!("Bearer \"{token}\"").into_bytes(),
        12 => format!("Bearer a={token}").into_bytes(),
        13 => format!("Bearer: {token}").into_bytes(),
        14 => format!("Bearer={token}").into_bytes(),
        15 => format!("Bearer,{token}").into_bytes(),
        16 => b"Bearer".to_vec(),
        17 => b"bearer ".to_vec(),
        18 => b"Bearer ==".to_vec(),
        19 => Vec::new(),
        20 => b" ".to_vec(),
        21 => token.as_bytes().to_vec(),
        22 => [format!("Bearer {token}").as_bytes(), b"\xff"].concat(),
        23 => [b"Bear\xe9r ", token.as_bytes()].concat(),
        24 => format!("B@arer {token}").into_bytes(),
        25 => format!("Be arer {token}").into_bytes(),
        26 => format!("Bearer {}", token.replace('.', " ")).into_bytes(),
        _ => format!("Bearer {{\"token\":\"{token}\"}}").into_bytes(),
    };
    draft.lines = vec![line];
}
