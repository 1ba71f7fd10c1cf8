//! Certificates of clients as proxies forward them: each line of the input is a line of the field.

use portcullis::certificate::Certificate;
use portcullis::sender::{
    MAX_CLIENT_CERT, MAX_CLIENT_CERT_CHAIN, MAX_ESCAPED_PEM, MAX_XFCC, XfccElement,
    parse_client_cert, parse_escaped_pem, parse_xfcc,
};

fn lines(data: &[u8]) -> Vec<&[u8]> {
    match data {
        [] => Vec::new(),
        data => data.split(|octet| *octet == b'\n').collect(),
    }
}

/// Lines that begin with `>` are of the chain. What is read is what a splitter reads.
pub fn client_cert(data: &[u8]) {
    let (mut leaf, mut chain) = (Vec::new(), Vec::new());
    for line in lines(data) {
        match line.strip_prefix(b">") {
            Some(line) => chain.push(line),
            None => leaf.push(line),
        }
    }
    let read = parse_client_cert(leaf.iter().copied(), chain.iter().copied());
    let read = read.map(|certificate| certificate.map(|certificate| parts(&certificate)));
    assert_eq!(read.ok(), split_client_cert(&leaf, &chain));
}

/// The DER of a certificate, and those of its chain.
type Parts = (Vec<u8>, Vec<Vec<u8>>);

fn parts(certificate: &Certificate) -> Parts {
    let der = certificate.der().unwrap().to_vec();
    (der, certificate.chain().map(<[u8]>::to_vec).collect())
}

fn split_client_cert(leaf: &[&[u8]], chain: &[&[u8]]) -> Option<Option<Parts>> {
    let leaf = match leaf {
        [] => return chain.is_empty().then_some(None),
        [leaf] if leaf.len() <= MAX_CLIENT_CERT => byte_sequence(trim(leaf, b" "))?,
        _ => return None,
    };
    let mut members = Vec::new();
    for line in chain {
        let start = line.iter().position(|octet| *octet != b' ');
        let line = start.map_or(&[][..], |start| &line[start..]);
        for (place, member) in line.split(|octet| *octet == b',').enumerate() {
            if place == 0 && line.is_empty() {
                continue;
            }
            // White space in front of the first member is spaces alone.
            let tab = place == 0 && member.starts_with(b"\t");
            members.push(byte_sequence(trim(member, b" \t")).filter(|_| !tab)?);
        }
    }
    let length: usize = chain.iter().map(|line| line.len().max(1)).sum();
    let fits = length <= MAX_CLIENT_CERT_CHAIN && members.len() <= 10;
    (fits && !members.contains(&leaf)).then_some(Some((leaf, members)))
}

fn trim<'a>(mut octets: &'a [u8], white: &[u8]) -> &'a [u8] {
    while let [first, rest @ ..] = octets
        && white.contains(first)
    {
        octets = rest;
    }
    while let [rest @ .., last] = octets
        && white.contains(last)
    {
        octets = rest;
    }
    octets
}

fn byte_sequence(member: &[u8]) -> Option<Vec<u8>> {
    let base64 = member.strip_prefix(b":")?.strip_suffix(b":")?;
    let (octets, _) = base64_octets(base64)?;
    (!octets.is_empty()).then_some(octets)
}

/// The octets, and how much of the padding is missing.
fn base64_octets(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let end = text.iter().position(|octet| *octet == b'=').unwrap_or(text.len());
    let (digits, padding) = text.split_at(end);
    let wanted = [0, 9, 2, 1][digits.len() % 4];
    if wanted == 9 || padding.len() > wanted || padding.iter().any(|octet| *octet != b'=') {
        return None;
    }
    let (mut octets, mut held, mut bits) = (Vec::new(), 0_usize, 0_u32);
    for digit in digits {
        held = (held << 6) | ALPHABET.iter().position(|known| known == digit)?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            octets.push(u8::try_from(held >> bits).unwrap());
            held &= (1 << bits) - 1;
        }
    }
    Some((octets, wanted - padding.len()))
}

/// What is read is what a reading by lines reads.
pub fn escaped_pem(data: &[u8]) {
    let lines = lines(data);
    let read = parse_escaped_pem(lines.iter().copied());
    let read = read.map(|certificate| certificate.map(|certificate| parts(&certificate).0));
    let expected = match lines.as_slice() {
        [] | [[]] => Some(None),
        [line] if line.len() <= MAX_ESCAPED_PEM => {
            certificates(line, 1).filter(|found| !found.is_empty()).map(|mut found| found.pop())
        }
        _ => None,
    };
    assert_eq!(read.ok(), expected);
}

/// The DER of each certificate, line by line.
fn certificates(escaped: &[u8], most: usize) -> Option<Vec<Vec<u8>>> {
    if escaped.iter().any(|octet| !(0x21..=0x7e).contains(octet)) {
        return None;
    }
    let mut text = Vec::new();
    let mut left = escaped.iter();
    while let Some(octet) = left.next() {
        let hexadecimal = |octet: Option<&u8>| char::from(*octet?).to_digit(16);
        text.push(match octet {
            b'%' => {
                let (high, low) = (hexadecimal(left.next())?, hexadecimal(left.next())?);
                u8::try_from(high * 16 + low).unwrap()
            }
            octet => *octet,
        });
    }
    let text = String::from_utf8(text).ok()?;
    let (mut found, mut open, mut base64) = (Vec::new(), false, String::new());
    for (place, line) in text.split(['\r', '\n']).enumerate() {
        match (line, open) {
            ("-----BEGIN CERTIFICATE-----", false) => (open, base64) = (true, String::new()),
            ("-----END CERTIFICATE-----", true) => {
                let (octets, missing) = base64_octets(base64.as_bytes())?;
                // All of the padding, or none.
                let half = missing == 1 && base64.ends_with('=');
                if half || octets.is_empty() || found.len() == most {
                    return None;
                }
                found.push(octets);
                open = false;
            }
            ("", false) if place > 0 => {}
            (_, false) => return None,
            (line, true) => base64.push_str(line),
        }
    }
    (!open).then_some(found)
}

/// What is read is what is left once quotes are found first, and commas and semicolons outside of
/// them next.
pub fn xfcc(data: &[u8]) {
    let lines = lines(data);
    let read = parse_xfcc(lines.iter().copied());
    let expected = split_xfcc(&lines);
    assert_eq!(read.is_ok(), expected.is_some(), "{read:?} {expected:?}");
    let elements = read.unwrap_or_default();
    let pairs = expected.unwrap_or_default();
    assert_eq!(elements.len(), pairs.len());
    for (element, pairs) in elements.iter().zip(&pairs) {
        assert_same(element, pairs);
    }
}

type Pairs = Vec<(String, String)>;

fn split_xfcc(lines: &[&[u8]]) -> Option<Vec<Pairs>> {
    let length: usize = lines.iter().map(|line| line.len().max(1)).sum();
    if length > MAX_XFCC {
        return None;
    }
    let mut elements = Vec::new();
    if lines.len() > 1 || lines.first().is_some_and(|line| !line.is_empty()) {
        for line in lines {
            for element in split(std::str::from_utf8(line).ok()?, ',')? {
                let texts = split(element.trim_matches([' ', '\t']), ';')?;
                elements.push(texts.into_iter().map(pair).collect::<Option<Pairs>>()?);
            }
        }
    }
    let fits = elements.len() <= 32 && elements.iter().all(|pairs| pairs.len() <= 128);
    let once = |pairs: &Pairs, key: &str| all(pairs, key).len() <= 1;
    let good = |pairs: &Pairs| {
        ["hash", "cert", "chain", "subject"].iter().all(|key| once(pairs, key))
            && all(pairs, "hash")
                .iter()
                .all(|hash| hash.len() == 64 && hash.chars().all(|digit| digit.is_ascii_hexdigit()))
    };
    (fits && elements.iter().all(good)).then_some(elements)
}

/// Splits where no quote is open; the quotes stay. `None` if a quote is not closed.
fn split(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut pieces, mut start, mut open) = (Vec::new(), 0, false);
    for (at, letter) in text.char_indices() {
        if letter == '"' {
            let before = &text[..at];
            match open {
                false if !before.ends_with('=') => return None,
                false => open = true,
                true => match before.len() - before.trim_end_matches('\\').len() {
                    0 => open = false,
                    backslashes if backslashes % 2 == 0 => return None,
                    _ => {}
                },
            }
        }
        if letter == separator && !open {
            pieces.push(&text[start..at]);
            start = at + 1;
        }
    }
    pieces.push(&text[start..]);
    (!open).then_some(pieces)
}

fn pair(text: &str) -> Option<(String, String)> {
    let at = text.find('=')?;
    let (key, value) = (&text[..at], &text[at + 1..]);
    let legal = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    if key.is_empty() || !key.chars().all(legal) {
        return None;
    }
    let value = match value.strip_prefix('"') {
        Some(value) => {
            let value = value.strip_suffix('"').filter(|value| !value.ends_with('\\'))?;
            let mut plain = String::new();
            let mut letters = value.chars().peekable();
            while let Some(letter) = letters.next() {
                match letter {
                    '\\' if letters.peek() == Some(&'"') => plain.extend(letters.next()),
                    '"' => return None,
                    letter => plain.push(letter),
                }
            }
            plain
        }
        None if value.contains('"') => return None,
        None => value.to_owned(),
    };
    Some((key.to_ascii_lowercase(), value))
}

fn all<'a>(pairs: &'a Pairs, key: &str) -> Vec<&'a str> {
    pairs.iter().filter(|(name, _)| name == key).map(|(_, value)| value.as_str()).collect()
}

fn assert_same(element: &XfccElement<'_>, pairs: &Pairs) {
    let one = |key| all(pairs, key).first().copied();
    assert_eq!(element.by, all(pairs, "by"));
    assert_eq!(element.uri, all(pairs, "uri"));
    assert_eq!(element.dns, all(pairs, "dns"));
    assert_eq!(element.cert.as_deref(), one("cert"));
    assert_eq!(element.chain.as_deref(), one("chain"));
    assert_eq!(element.subject.as_deref(), one("subject"));
    let hash = element.hash.map(|hash| hash.map(|octet| format!("{octet:02x}")).concat());
    assert_eq!(hash, one("hash").map(str::to_ascii_lowercase));
    let read = element.certificate();
    match expected(element) {
        Some(expected) => assert_eq!(read, Ok(expected)),
        None => assert!(read.is_err(), "{read:?}"),
    }
}

fn expected(element: &XfccElement<'_>) -> Option<Option<Certificate>> {
    if element.hash.is_none() && element.cert.is_none() {
        return Some(None);
    }
    let read = |text: &Option<_>, most| match text {
        None => Some(Vec::new()),
        Some(text) => {
            let text: &str = std::borrow::Cow::as_ref(text);
            certificates(text.as_bytes(), most).filter(|found| !found.is_empty())
        }
    };
    let mut known = read(&element.cert, 1)?;
    let chain = read(&element.chain, 11)?;
    known.extend(chain.first().cloned());
    let mut certificates: Vec<Certificate> = known.into_iter().map(Certificate::from_der).collect();
    certificates.extend(element.hash.map(Certificate::from_sha256));
    let first = certificates.first()?.clone();
    certificates.iter().all(|other| *other == first).then_some(Some(first))
}
