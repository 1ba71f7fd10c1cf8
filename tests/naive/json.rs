//! Base64url and JSON, read slowly, and what values of a token can be.

const MAX_JSON_DEPTH: usize = 16;
pub(super) const NANOS_PER_SECOND: u128 = 1_000_000_000;
/// The last second of the year 9999.
const MAX_NUMERIC_DATE: u128 = 253_402_300_799;

/// Base64url without padding; unused bits of the last character must be zero (RFC 4648, 3.5).
pub(super) fn base64url(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut octets = Vec::new();
    let (mut rest, mut bits) = (0, 0);
    for c in text.chars() {
        rest = rest * 64 + ALPHABET.find(c)?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            octets.push(u8::try_from(rest >> bits).ok()?);
            rest %= 1 << bits;
        }
    }
    require(bits < 6 && rest == 0)?;
    Some(octets)
}

pub(super) type Members = Vec<(String, Json)>;

/// JSON as it was written: numbers keep their text, objects the order and the repeats of members.
#[derive(Debug, Clone)]
pub(super) enum Json {
    Null,
    Boolean(bool),
    Number(String),
    Text(String),
    Array(Vec<Json>),
    Object(Members),
}

pub(super) fn member<'a>(members: &'a Members, name: &str) -> Option<&'a Json> {
    members.iter().find(|(found, _)| found == name).map(|(_, value)| value)
}

pub(super) fn text(members: &Members, name: &str) -> Option<String> {
    match member(members, name) {
        Some(Json::Text(text)) => Some(text.clone()),
        _ => None,
    }
}

/// For optional members: present with another type is a fault.
pub(super) fn absent_or_text(members: &Members, name: &str) -> bool {
    matches!(member(members, name), None | Some(Json::Text(_)))
}

pub(super) fn non_empty_string(members: &Members, name: &str) -> Option<String> {
    text(members, name).filter(|text| !text.is_empty())
}

/// The strings of an array that holds at least one value and nothing but strings.
pub(super) fn strings(items: &[Json]) -> Option<Vec<String>> {
    let mut found = Vec::new();
    for item in items {
        let Json::Text(text) = item else { return None };
        found.push(text.clone());
    }
    (!found.is_empty()).then_some(found)
}

pub(super) fn all_differ<'a>(names: impl Iterator<Item = &'a String>) -> bool {
    let mut seen = Vec::new();
    for name in names {
        if seen.contains(&name) {
            return false;
        }
        seen.push(name);
    }
    true
}

pub(super) fn has_duplicate_names(members: &Members) -> bool {
    !all_differ(members.iter().map(|(name, _)| name))
}

pub(super) fn has_duplicates(value: &Json) -> bool {
    match value {
        Json::Null | Json::Boolean(_) | Json::Number(_) | Json::Text(_) => false,
        Json::Array(items) => items.iter().any(has_duplicates),
        Json::Object(members) => {
            has_duplicate_names(members) || members.iter().any(|(_, value)| has_duplicates(value))
        }
    }
}

/// A JSON object without duplicate members at any level.
pub(super) fn strict_object(bytes: &[u8]) -> Option<Members> {
    match parse_json(bytes)? {
        value if has_duplicates(&value) => None,
        Json::Object(members) => Some(members),
        _ => None,
    }
}

/// RFC 8259, one value, in UTF-8 without a byte order mark, of bounded depth.
pub(super) fn parse_json(bytes: &[u8]) -> Option<Json> {
    let chars = std::str::from_utf8(bytes).ok()?.chars().collect();
    let mut reader = JsonReader { chars, at: 0 };
    let value = reader.value(0)?;
    (reader.at == reader.chars.len()).then_some(value)
}

struct JsonReader {
    chars: Vec<char>,
    at: usize,
}

impl JsonReader {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        Some(c)
    }

    /// Steps over `wanted` if it is next.
    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn skip_whitespace(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\n' | '\r')) {
            self.at += 1;
        }
    }

    /// `ws value ws`, inside `depth` open arrays and objects.
    fn value(&mut self, depth: usize) -> Option<Json> {
        self.skip_whitespace();
        let value = match self.peek()? {
            '{' | '[' if depth == MAX_JSON_DEPTH => return None,
            '{' => self.object(depth + 1)?,
            '[' => self.array(depth + 1)?,
            '"' => Json::Text(self.string()?),
            't' => self.literal("true", Json::Boolean(true))?,
            'f' => self.literal("false", Json::Boolean(false))?,
            'n' => self.literal("null", Json::Null)?,
            _ => self.number()?,
        };
        self.skip_whitespace();
        Some(value)
    }

    fn literal(&mut self, word: &str, value: Json) -> Option<Json> {
        word.chars().all(|c| self.take(c)).then_some(value)
    }

    fn object(&mut self, depth: usize) -> Option<Json> {
        let mut members = Vec::new();
        self.take('{');
        self.skip_whitespace();
        if self.take('}') {
            return Some(Json::Object(members));
        }
        loop {
            self.skip_whitespace();
            let name = self.string()?;
            self.skip_whitespace();
            require(self.take(':'))?;
            members.push((name, self.value(depth)?));
            match self.next()? {
                ',' => {}
                '}' => return Some(Json::Object(members)),
                _ => return None,
            }
        }
    }

    fn array(&mut self, depth: usize) -> Option<Json> {
        let mut items = Vec::new();
        self.take('[');
        self.skip_whitespace();
        if self.take(']') {
            return Some(Json::Array(items));
        }
        loop {
            items.push(self.value(depth)?);
            match self.next()? {
                ',' => {}
                ']' => return Some(Json::Array(items)),
                _ => return None,
            }
        }
    }

    /// `[ minus ] int [ frac ] [ exp ]`, kept as text.
    fn number(&mut self) -> Option<Json> {
        let start = self.at;
        self.take('-');
        if !self.take('0') {
            self.digits()?;
        }
        if self.take('.') {
            self.digits()?;
        }
        if self.take('e') || self.take('E') {
            let _ = self.take('+') || self.take('-');
            self.digits()?;
        }
        Some(Json::Number(self.chars[start..self.at].iter().collect()))
    }

    /// At least one digit.
    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn string(&mut self) -> Option<String> {
        require(self.take('"'))?;
        let mut text = String::new();
        loop {
            match self.next()? {
                '"' => return Some(text),
                '\\' => text.push(self.escape()?),
                '\0'..='\u{1f}' => return None,
                c => text.push(c),
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        Some(match self.next()? {
            c @ ('"' | '\\' | '/') => c,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => match self.four_hex_digits()? {
                high @ 0xd800..=0xdbff => {
                    require(self.take('\\') && self.take('u'))?;
                    let low @ 0xdc00..=0xdfff = self.four_hex_digits()? else {
                        return None;
                    };
                    char::from_u32(0x1_0000 + (high - 0xd800) * 0x400 + (low - 0xdc00))?
                }
                // a lone low surrogate is no char
                unit => char::from_u32(unit)?,
            },
            _ => return None,
        })
    }

    fn four_hex_digits(&mut self) -> Option<u32> {
        let mut unit = 0;
        for _ in 0..4 {
            unit = unit * 16 + self.next()?.to_digit(16)?;
        }
        Some(unit)
    }
}

/// For optional members: the outer `None` if it is there and is not what it has to be.
#[allow(clippy::option_option, reason = "absent is no fault")]
pub(super) fn absent_or<T>(
    members: &Members,
    name: &str,
    read: impl Fn(&Json) -> Option<T>,
) -> Option<Option<T>> {
    match member(members, name) {
        None => Some(None),
        Some(value) => read(value).map(Some),
    }
}

pub(super) fn non_empty(value: &Json) -> Option<String> {
    match value {
        Json::Text(text) if !text.is_empty() => Some(text.clone()),
        _ => None,
    }
}

/// The same JSON value. Numbers are the same if they are written the same.
pub(super) fn is_same(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::Null, Json::Null) => true,
        (Json::Boolean(one), Json::Boolean(other)) => one == other,
        (Json::Number(one), Json::Number(other)) | (Json::Text(one), Json::Text(other)) => {
            one == other
        }
        (Json::Array(one), Json::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| is_same(a, b))
        }
        (Json::Object(one), Json::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, a)| member(other, name).is_some_and(|b| is_same(a, b)))
        }
        _ => false,
    }
}

/// What is required and not so is a refusal.
pub(super) fn require(holds: bool) -> Option<()> {
    holds.then_some(())
}

/// A `NumericDate` in nanoseconds, cut toward zero: the decimal point is moved in the digits.
pub(super) fn numeric_date(value: &Json) -> Option<u128> {
    let Json::Number(number) = value else {
        return None;
    };
    require(!number.starts_with('-'))?;
    let lower = number.to_ascii_lowercase();
    let (mantissa, exponent) = lower.split_once('e').unwrap_or((&lower, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = format!("{whole}{fraction}");
    let mut digits = all_digits.trim_start_matches('0').to_owned();
    if digits.is_empty() {
        return Some(0);
    }
    let exponent_is_negative = exponent.starts_with('-');
    let exponent = exponent.trim_start_matches(['+', '-']).trim_start_matches('0');
    // a token has fewer than 10^5 digits, so an exponent of 7 digits or more decides alone
    let exponent: usize = match exponent.len() {
        0 => 0,
        1..=6 => exponent.parse().ok()?,
        _ if exponent_is_negative => return Some(0),
        _ => return None,
    };
    // value in nanoseconds = digits * 10^(9 + exponent - number of fraction digits)
    let (mut zeros, mut cut) = (9, fraction.len());
    if exponent_is_negative {
        cut += exponent;
    } else {
        zeros += exponent;
    }
    digits.extend(std::iter::repeat_n('0', zeros));
    digits.truncate(digits.len().saturating_sub(cut));
    // the largest date has 12 digits, and 9 more for the nanoseconds
    require(digits.len() <= 21)?;
    let nanos = format!("0{digits}").parse().ok()?;
    require(nanos <= MAX_NUMERIC_DATE * NANOS_PER_SECOND)?;
    Some(nanos)
}

/// A media type in small letters, without `application/`.
pub(super) fn bare_type(typ: &str) -> String {
    let lower = typ.to_ascii_lowercase();
    lower.strip_prefix("application/").unwrap_or(&lower).to_owned()
}
