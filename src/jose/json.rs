//! JSON (RFC 8259) as a verifier must read it: one meaning or none.
//!
//! 1. Valid UTF-8 without byte order mark; nothing but white space after the value.
//! 2. No duplicate member at any level, compared after unescaping (RFC 7515 §4, RFC 7519 §4):
//!    two readers of the same bytes cannot see different claims.
//! 3. Escaped surrogates come in pairs.
//! 4. At most [`MAX_DEPTH`] levels of objects and arrays.
//! 5. Numbers keep their text: what is compared is what was signed, never a rounding of it.
//!
//! It does not allocate for values; strings with escapes are unescaped when they are asked for.
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
        let text = std::str::from_utf8(bytes).map_err(|_| JsonError::Utf8)?;
        let mut scanner = Scanner { text, at: 0, strictness };
        scanner.white_space();
        if scanner.peek() != Some(b'{') {
            return Err(JsonError::NotAnObject);
        }
        // Enough for most headers and claim sets.
        let mut members = Vec::with_capacity(16);
        scanner.object(1, &mut |name, value| members.push((name, value)))?;
        scanner.white_space();
        if scanner.at == text.len() { Ok(Self { members }) } else { Err(JsonError::NotAnObject) }
    }

    /// The member of this name, if there.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<Value<'a>> {
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
        let mut scanner = Scanner { text: self.0, at: 0, strictness: Strictness::Checked };
        if scanner.peek() != Some(b'[') {
            return None;
        }
        let mut elements = Vec::new();
        scanner.array(1, &mut |element| elements.push(element)).ok()?;
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

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    strictness: Strictness,
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at = self.at.saturating_add(1);
        Some(byte)
    }

    fn syntax<T>(&self) -> Result<T, JsonError> {
        Err(JsonError::Syntax(self.at))
    }

    fn expect(&mut self, wanted: u8) -> Result<(), JsonError> {
        if self.peek() == Some(wanted) {
            self.at = self.at.saturating_add(1);
            Ok(())
        } else {
            self.syntax()
        }
    }

    fn white_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at = self.at.saturating_add(1);
        }
    }

    fn since(&self, start: usize) -> &'a str {
        // INVARIANT: both ends are ends of ASCII tokens, so this is a character boundary.
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn object(
        &mut self,
        depth: usize,
        found: &mut dyn FnMut(Cow<'a, str>, Value<'a>),
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
            let name = self.string()?;
            if names_are_unique && !names.insert(name.clone()) {
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

    fn array(&mut self, depth: usize, found: &mut dyn FnMut(Value<'a>)) -> Result<(), JsonError> {
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
        let start = self.at;
        match self.peek() {
            Some(b'"') => {
                self.string()?;
            }
            Some(b'{') => self.object(depth.saturating_add(1), &mut |_, _| ())?,
            Some(b'[') => self.array(depth.saturating_add(1), &mut |_| ())?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.literal("true")?,
            Some(b'f') => self.literal("false")?,
            Some(b'n') => self.literal("null")?,
            _ => return self.syntax(),
        }
        Ok(Value(self.since(start)))
    }

    fn literal(&mut self, literal: &str) -> Result<(), JsonError> {
        match self.text.get(self.at..) {
            Some(rest) if rest.starts_with(literal) => {
                self.at = self.at.saturating_add(literal.len());
                Ok(())
            }
            _ => self.syntax(),
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

    fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        self.expect(b'"')?;
        let start = self.at;
        let mut escaped = false;
        loop {
            match self.take() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    if self.take().is_none() {
                        return self.syntax();
                    }
                }
                Some(0..=0x1f) | None => return self.syntax(),
                Some(_) => {}
            }
        }
        let inner = self.text.get(start..self.at.saturating_sub(1)).unwrap_or_default();
        if escaped {
            unescape(inner).ok_or(JsonError::Syntax(start))
        } else {
            Ok(Cow::Borrowed(inner))
        }
    }
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
    few: [Option<Cow<'a, str>>; FEW],
    count: usize,
    many: HashSet<Cow<'a, str>>,
}

impl<'a> Names<'a> {
    fn new() -> Self {
        Self { few: [const { None }; FEW], count: 0, many: HashSet::new() }
    }

    /// Whether the name is new.
    fn insert(&mut self, name: Cow<'a, str>) -> bool {
        if self.few.iter().take(self.count).flatten().any(|known| *known == name) {
            return false;
        }
        match self.few.get_mut(self.count) {
            Some(slot) => {
                *slot = Some(name);
                self.count = self.count.saturating_add(1);
                true
            }
            None => self.many.insert(name),
        }
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
