//! JSON (RFC 8259) as a verifier must read it: one meaning or none.
//!
//! 1. Valid UTF-8 without byte order mark; nothing but white space after the value.
//! 2. No duplicate member at any level, compared after unescaping (RFC 7515 §4, RFC 7519 §4):
//!    two readers of the same bytes cannot see different claims.
//! 3. Escaped surrogates come in pairs.
//! 4. At most [`MAX_DEPTH`] levels of objects and arrays.
//! 5. Numbers keep their text: what is compared is what was signed, never a rounding of it.
//!
//! It reads the text once, and does not allocate for values; strings with escapes are unescaped when
//! they are asked for.
//!
//! ```
//! use portcullis::jose::json::Object;
//!
//! let object = Object::parse(br#"{"iss":"https://as.example","exp":1700000000.5}"#)?;
//! assert_eq!(object.member("iss").unwrap().as_str().unwrap(), "https://as.example");
//! assert_eq!(object.member("exp").unwrap().as_number(), Some("1700000000.5"));
//!
//! assert!(Object::parse(br#"{"aud":"a","\u0061ud":"b"}"#).is_err());
//! # Ok::<(), portcullis::jose::json::JsonError>(())
//! ```

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

/// The deepest nesting of objects and arrays; the outermost counts as one. Real tokens nest four
/// or five levels (`authorization_details`, `act`, Keycloak's `resource_access`).
pub const MAX_DEPTH: usize = 16;

/// Why bytes are not the JSON that is accepted here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// Not valid UTF-8.
    #[error("not valid UTF-8")]
    Utf8,
    /// Not JSON, at this byte.
    #[error("not JSON at byte {0}")]
    Syntax(usize),
    /// Another value than an object, or something after the object.
    #[error("not a JSON object and nothing else")]
    NotAnObject,
    /// A member name occurs twice in one object.
    #[error("a member name occurs twice in one object")]
    Duplicate,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

/// A JSON object whose every level was checked.
#[derive(Clone)]
pub struct Object<'a> {
    members: Vec<(Cow<'a, str>, Value<'a>)>,
    /// Of their names: most names that are asked for are not there.
    marks: Marks,
}

/// A JSON value inside a checked document, as its own text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Value<'a>(&'a str);

impl<'a> Object<'a> {
    /// Reads a document that is one object, checking it to its last level.
    ///
    /// # Errors
    /// See [`JsonError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, JsonError> {
        Self::read(bytes, Strictness::EveryLevel)
    }

    /// Reads a document that is one object whose members are judged one by one later: duplicates
    /// are refused at the outermost level only.
    pub(crate) fn parse_outermost(bytes: &'a [u8]) -> Result<Self, JsonError> {
        Self::read(bytes, Strictness::Outermost)
    }

    /// Reads a document that was read before: duplicates are not looked for again.
    pub(crate) fn parse_checked(bytes: &'a [u8]) -> Result<Self, JsonError> {
        Self::read(bytes, Strictness::Checked)
    }

    fn read(bytes: &'a [u8], strictness: Strictness) -> Result<Self, JsonError> {
        // Enough for most headers and claim sets.
        let mut members = Vec::with_capacity(16);
        let mut marks = Marks::NONE;
        each_member(bytes, strictness, |name, value| {
            marks = marks.and(Marks::of(&name));
            members.push((name, value));
        })?;
        Ok(Self { members, marks })
    }

    /// Hands on each member of a document that is one object, as it is read. What was handed on counts
    /// for nothing if there is an error at last.
    ///
    /// # Errors
    /// As of [`Object::parse`].
    pub(crate) fn visit(
        bytes: &'a [u8],
        found: impl FnMut(Cow<'a, str>, Value<'a>),
    ) -> Result<(), JsonError> {
        each_member(bytes, Strictness::EveryLevel, found)
    }

    /// The member of this name, if there.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<Value<'a>> {
        if !self.marks.have(Marks::of(name)) {
            return None;
        }
        self.members.iter().find(|(member, _)| member == name).map(|(_, value)| *value)
    }

    /// Whether there is a member of this name, whatever its value.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.member(name).is_some()
    }

    /// Every member, in order.
    pub fn members(&self) -> impl Iterator<Item = (&str, Value<'a>)> {
        self.members.iter().map(|(name, value)| (name.as_ref(), *value))
    }
}

impl<'a> Value<'a> {
    /// The value's own text.
    #[must_use]
    pub fn text(self) -> &'a str {
        self.0
    }

    /// The string, if it is one.
    #[must_use]
    pub fn as_str(self) -> Option<Cow<'a, str>> {
        let inner = self.0.strip_prefix('"')?.strip_suffix('"')?;
        unescape(inner)
    }

    /// The number's text, if it is one.
    #[must_use]
    pub fn as_number(self) -> Option<&'a str> {
        self.0.starts_with(|c: char| c == '-' || c.is_ascii_digit()).then_some(self.0)
    }

    /// The elements, if it is an array.
    #[must_use]
    pub fn as_array(self) -> Option<Vec<Value<'a>>> {
        let mut scanner = Scanner::new(self.0, Strictness::Checked);
        if scanner.peek() != Some(b'[') {
            return None;
        }
        let mut elements = Vec::new();
        scanner.array(1, |element| elements.push(element)).ok()?;
        Some(elements)
    }

    /// The object, if it is one.
    #[must_use]
    pub fn as_object(self) -> Option<Object<'a>> {
        Object::read(self.0.as_bytes(), Strictness::Checked).ok()
    }
}

/// Names only: values of a token are somebody's.
impl fmt::Debug for Object<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.members.iter().map(|(name, _)| name)).finish()
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Value").field("bytes", &self.0.len()).finish_non_exhaustive()
    }
}

/// How far duplicates are looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strictness {
    /// In every object.
    EveryLevel,
    /// In the outermost object.
    Outermost,
    /// The text was checked before.
    Checked,
}

fn each_member<'a>(
    bytes: &'a [u8],
    strictness: Strictness,
    found: impl FnMut(Cow<'a, str>, Value<'a>),
) -> Result<(), JsonError> {
    let text = std::str::from_utf8(bytes).map_err(|_| JsonError::Utf8)?;
    let mut scanner = Scanner::new(text, strictness);
    scanner.white_space();
    if scanner.peek() != Some(b'{') {
        return Err(JsonError::NotAnObject);
    }
    scanner.object(1, found)?;
    scanner.white_space();
    if scanner.rest.is_empty() { Ok(()) } else { Err(JsonError::NotAnObject) }
}

struct Scanner<'a> {
    text: &'a str,
    /// What of the text was not read yet.
    rest: &'a [u8],
    strictness: Strictness,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str, strictness: Strictness) -> Self {
        Self { text, rest: text.as_bytes(), strictness }
    }

    fn at(&self) -> usize {
        self.text.len().saturating_sub(self.rest.len())
    }

    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn take(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn syntax<T>(&self) -> Result<T, JsonError> {
        Err(JsonError::Syntax(self.at()))
    }

    fn expect(&mut self, wanted: u8) -> Result<(), JsonError> {
        match self.rest.split_first() {
            Some((first, rest)) if *first == wanted => {
                self.rest = rest;
                Ok(())
            }
            _ => self.syntax(),
        }
    }

    fn white_space(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    fn between(&self, start: usize, end: usize) -> &'a str {
        // INVARIANT: both ends are ends of ASCII tokens, so each is a character boundary.
        self.text.get(start..end).unwrap_or_default()
    }

    fn object(
        &mut self,
        depth: usize,
        mut found: impl FnMut(Cow<'a, str>, Value<'a>),
    ) -> Result<(), JsonError> {
        if depth > MAX_DEPTH {
            return Err(JsonError::TooDeep);
        }
        let names_are_unique = match self.strictness {
            Strictness::EveryLevel => true,
            Strictness::Outermost => depth == 1,
            Strictness::Checked => false,
        };
        let mut names = Names::new();
        self.expect(b'{')?;
        self.white_space();
        if self.peek() == Some(b'}') {
            return self.expect(b'}');
        }
        loop {
            self.white_space();
            let name = self.name()?;
            if names_are_unique && !names.insert(&name) {
                return Err(JsonError::Duplicate);
            }
            self.white_space();
            self.expect(b':')?;
            let value = self.value(depth)?;
            found(name, value);
            self.white_space();
            match self.take() {
                Some(b',') => {}
                Some(b'}') => return Ok(()),
                _ => return self.syntax(),
            }
        }
    }

    fn array(&mut self, depth: usize, mut found: impl FnMut(Value<'a>)) -> Result<(), JsonError> {
        if depth > MAX_DEPTH {
            return Err(JsonError::TooDeep);
        }
        self.expect(b'[')?;
        self.white_space();
        if self.peek() == Some(b']') {
            return self.expect(b']');
        }
        loop {
            let value = self.value(depth)?;
            found(value);
            self.white_space();
            match self.take() {
                Some(b',') => {}
                Some(b']') => return Ok(()),
                _ => return self.syntax(),
            }
        }
    }

    /// A value inside a container of this depth.
    fn value(&mut self, depth: usize) -> Result<Value<'a>, JsonError> {
        self.white_space();
        let start = self.at();
        match self.peek() {
            Some(b'"') => {
                let (inner, escapes) = self.string()?;
                if escapes == Escapes::Some && unescape(inner).is_none() {
                    return Err(JsonError::Syntax(start.saturating_add(1)));
                }
            }
            Some(b'{') => self.object(depth.saturating_add(1), |_, _| ())?,
            Some(b'[') => self.array(depth.saturating_add(1), |_| ())?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.literal("true")?,
            Some(b'f') => self.literal("false")?,
            Some(b'n') => self.literal("null")?,
            _ => return self.syntax(),
        }
        Ok(Value(self.between(start, self.at())))
    }

    fn literal(&mut self, literal: &str) -> Result<(), JsonError> {
        match self.rest.strip_prefix(literal.as_bytes()) {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None => self.syntax(),
        }
    }

    fn number(&mut self) -> Result<(), JsonError> {
        if self.peek() == Some(b'-') {
            self.take();
        }
        match self.take() {
            Some(b'0') => {}
            Some(b'1'..=b'9') => self.digits(),
            _ => return self.syntax(),
        }
        if self.peek() == Some(b'.') {
            self.take();
            self.some_digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.take();
            if let Some(b'+' | b'-') = self.peek() {
                self.take();
            }
            self.some_digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) {
        while let Some(b'0'..=b'9') = self.peek() {
            self.take();
        }
    }

    fn some_digits(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'0'..=b'9') => {
                self.digits();
                Ok(())
            }
            _ => self.syntax(),
        }
    }

    fn name(&mut self) -> Result<Cow<'a, str>, JsonError> {
        let start = self.at();
        let (inner, escapes) = self.string()?;
        match escapes {
            Escapes::None => Ok(Cow::Borrowed(inner)),
            Escapes::Some => unescape(inner).ok_or(JsonError::Syntax(start.saturating_add(1))),
        }
    }

    /// What is between the quotes, as it stands there.
    #[inline]
    fn string(&mut self) -> Result<(&'a str, Escapes), JsonError> {
        self.expect(b'"')?;
        let start = self.at();
        let mut escapes = Escapes::None;
        loop {
            self.rest = after_plain(self.rest);
            let end = self.at();
            match self.take() {
                Some(b'"') => return Ok((self.between(start, end), escapes)),
                Some(b'\\') => {
                    escapes = Escapes::Some;
                    if self.take().is_none() {
                        return self.syntax();
                    }
                }
                _ => return self.syntax(),
            }
        }
    }
}

/// Whether a string has some.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    None,
    Some,
}

/// What is left from the first quote, backslash or control character on.
fn after_plain(mut text: &[u8]) -> &[u8] {
    /// To look a byte up takes less time than to compare it.
    const PLAIN: [bool; 256] = {
        let mut plain = [true; 256];
        let (mut rest, mut byte) = (plain.as_mut_slice(), 0_u8);
        while let [first, others @ ..] = rest {
            *first = !matches!(byte, b'"' | b'\\' | 0..=0x1f);
            (rest, byte) = (others, byte.wrapping_add(1));
        }
        plain
    };
    while let [first, rest @ ..] = text
        && PLAIN.get(usize::from(*first)).is_some_and(|plain| *plain)
    {
        text = rest;
    }
    text
}

/// The text between two quotes, unescaped; `None` if an escape is not JSON's or a surrogate is
/// alone.
fn unescape(inner: &str) -> Option<Cow<'_, str>> {
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        text.push(match rest.next()? {
            '"' => '"',
            '\\' => '\\',
            '/' => '/',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let unit = code_unit(&mut rest)?;
                if (0xd800..0xdc00).contains(&unit) {
                    if (rest.next()?, rest.next()?) != ('\\', 'u') {
                        return None;
                    }
                    let pair = [unit, code_unit(&mut rest)?];
                    char::decode_utf16(pair).next()?.ok()?
                } else {
                    char::from_u32(u32::from(unit))?
                }
            }
            _ => return None,
        });
    }
    Some(Cow::Owned(text))
}

fn code_unit(digits: &mut std::str::Chars<'_>) -> Option<u16> {
    let mut unit = 0_u32;
    for _ in 0..4 {
        unit = unit.checked_mul(16)?.checked_add(digits.next()?.to_digit(16)?)?;
    }
    u16::try_from(unit).ok()
}

/// How many names are compared one by one.
const FEW: usize = 16;

/// The member names of one object, to find a repeated one: a list while it is short, a hash set
/// with a random key beyond, so that ten thousand members cost no more than their number.
struct Names<'a> {
    /// Names without escapes.
    few: [&'a str; FEW],
    count: usize,
    /// Of those.
    marks: Marks,
    /// The first name that has escapes or finds no place in the list, and every one after it.
    many: Option<HashSet<Cow<'a, str>>>,
}

impl<'a> Names<'a> {
    const fn new() -> Self {
        Self { few: [""; FEW], count: 0, marks: Marks::NONE, many: None }
    }

    /// Whether the name is new.
    #[expect(clippy::ptr_arg, reason = "what is borrowed has no escapes")]
    fn insert(&mut self, name: &Cow<'a, str>) -> bool {
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
struct Marks(u64);

impl Marks {
    const NONE: Self = Self(0);

    /// The factors give the names of claims that are registered bits of their own, but for a few.
    fn of(name: &str) -> Self {
        let octet = |octet: Option<&u8>| octet.copied().map_or(0, u32::from);
        let (first, last) = (octet(name.as_bytes().first()), octet(name.as_bytes().last()));
        let length = u32::try_from(name.len()).unwrap_or(0);
        let sum = first.wrapping_add(last.wrapping_mul(22)).wrapping_add(length.wrapping_mul(15));
        // Of the sum only the last six bits count.
        Self(1_u64.wrapping_shl(sum))
    }

    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn have(self, one: Self) -> bool {
        self.0 & one.0 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_object_of_one_meaning_is_read() {
        for (name, text, expected) in [
            ("empty object", "{}", Ok(())),
            ("white space around", " \t\r\n{ \"a\" : 1 , \"b\" : [ ] }\n", Ok(())),
            ("every type", r#"{"a":[null,true,false,-0.5e+3,"x",{}]}"#, Ok(())),
            ("escapes", r#"{"\u0061\n\ud83d\ude00":"\"\\\/\b\f\n\r\t"}"#, Ok(())),
            ("trailing characters", "{}ABCD", Err(JsonError::NotAnObject)),
            ("second object", "{}{}", Err(JsonError::NotAnObject)),
            ("array", "[1]", Err(JsonError::NotAnObject)),
            ("string", "\"x\"", Err(JsonError::NotAnObject)),
            ("byte order mark", "\u{feff}{}", Err(JsonError::NotAnObject)),
            ("nothing", "", Err(JsonError::NotAnObject)),
            ("duplicate", r#"{"a":1,"a":1}"#, Err(JsonError::Duplicate)),
            ("escaped duplicate", r#"{"a":1,"\u0061":1}"#, Err(JsonError::Duplicate)),
            ("inner duplicate", r#"{"x":[{"a":1,"a":2}]}"#, Err(JsonError::Duplicate)),
            ("trailing comma", r#"{"a":1,}"#, Err(JsonError::Syntax(7))),
            ("unquoted name", "{a:1}", Err(JsonError::Syntax(1))),
            ("leading zero", r#"{"a":01}"#, Err(JsonError::Syntax(7))),
            ("plus sign", r#"{"a":+1}"#, Err(JsonError::Syntax(5))),
            ("not a number", r#"{"a":NaN}"#, Err(JsonError::Syntax(5))),
            ("control character", "{\"a\":\"\n\"}", Err(JsonError::Syntax(7))),
            ("bad escape", r#"{"a":"\x"}"#, Err(JsonError::Syntax(6))),
            ("lone surrogate", r#"{"a":"\ud83d"}"#, Err(JsonError::Syntax(6))),
            ("swapped surrogates", r#"{"a":"\ude00\ud83d"}"#, Err(JsonError::Syntax(6))),
            ("unterminated", r#"{"a":"#, Err(JsonError::Syntax(5))),
            ("comment", "{/**/}", Err(JsonError::Syntax(1))),
        ] {
            assert_eq!(Object::parse(text.as_bytes()).map(|_| ()), expected, "{name}");
        }
        assert!(matches!(Object::parse(b"{\"a\":\"\xff\"}"), Err(JsonError::Utf8)));
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |levels: usize| {
            format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1))
        };
        assert!(Object::parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        for levels in [MAX_DEPTH + 1, 100_000] {
            let result = Object::parse(nested(levels).as_bytes()).map(|_| ());
            assert_eq!(result, Err(JsonError::TooDeep), "{levels}");
        }
    }

    /// Names that share a mark are told apart, and a repeated one is found wherever it stands: in the
    /// list, beyond it, with escapes on either side.
    #[test]
    fn names_are_compared_whatever_their_marks_are() {
        let names: Vec<String> = (0..200).map(|n| format!("a{n:03}a")).collect();
        let (few, many) = (names.get(..FEW).unwrap(), &names[..]);
        for names in [few, many] {
            let write = |name: &str, text: &str| format!("{{{text}\"{name}\":-1}}");
            let text: String = names.iter().map(|name| format!("\"{name}\":\"{name}\",")).collect();
            let other = write("b", &text);
            let object = Object::parse(other.as_bytes()).unwrap();
            for name in names {
                assert_eq!(object.member(name).unwrap().as_str().unwrap(), *name);
                let escaped = name.replacen('a', "\\u0061", 1);
                for again in [name, &escaped] {
                    let repeated = write(again, &text);
                    assert_eq!(
                        Object::parse(repeated.as_bytes()).err(),
                        Some(JsonError::Duplicate)
                    );
                    let first = format!("{{\"{again}\":0,{text}\"b\":0}}");
                    assert_eq!(Object::parse(first.as_bytes()).err(), Some(JsonError::Duplicate));
                }
                // The same octets at both ends, and of the same length.
                assert!(!object.has(&name.replace('0', "x")) || !name.contains('0'));
            }
            assert!(object.has("b") && !object.has("") && !object.has("c"));
        }
    }

    #[test]
    fn duplicates_are_found_among_many_members() {
        let members: Vec<String> = (0..5_000).map(|n| format!("\"m{n}\":{n}")).collect();
        let unique = format!("{{{}}}", members.join(","));
        assert!(Object::parse(unique.as_bytes()).is_ok());
        let repeated = format!("{{{},\"m4321\":0}}", members.join(","));
        assert!(matches!(Object::parse(repeated.as_bytes()), Err(JsonError::Duplicate)));
        let repeated = format!("{{{},\"m3\":0}}", members.join(","));
        assert!(matches!(Object::parse(repeated.as_bytes()), Err(JsonError::Duplicate)));
    }
}
