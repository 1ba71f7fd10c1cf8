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

mod names;
mod scanner;

use std::borrow::Cow;
use std::fmt;

use names::Marks;
use scanner::{Scanner, Strictness, each_member, unescape};

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

#[cfg(test)]
mod tests {
    use super::names::FEW;
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
        let count = if cfg!(miri) { 20 } else { 200 };
        let names: Vec<String> = (0..count).map(|n| format!("a{n:03}a")).collect();
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
        let count = if cfg!(miri) { 50 } else { 5_000 };
        let members: Vec<String> = (0..count).map(|n| format!("\"m{n}\":{n}")).collect();
        let unique = format!("{{{}}}", members.join(","));
        assert!(Object::parse(unique.as_bytes()).is_ok());
        let repeated = format!("{{{},\"m{}\":0}}", members.join(","), count - 7);
        assert!(matches!(Object::parse(repeated.as_bytes()), Err(JsonError::Duplicate)));
        let repeated = format!("{{{},\"m3\":0}}", members.join(","));
        assert!(matches!(Object::parse(repeated.as_bytes()), Err(JsonError::Duplicate)));
    }
}
