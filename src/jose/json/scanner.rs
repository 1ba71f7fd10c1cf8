//! The one pass over a text.

use std::borrow::Cow;

use super::names::Names;
use super::{JsonError, MAX_DEPTH, Value};

/// How far duplicates are looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Strictness {
    /// In every object.
    EveryLevel,
    /// In the outermost object.
    Outermost,
    /// The text was checked before.
    Checked,
}

pub(super) fn each_member<'a>(
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

pub(super) struct Scanner<'a> {
    text: &'a str,
    /// What of the text was not read yet.
    rest: &'a [u8],
    strictness: Strictness,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str, strictness: Strictness) -> Self {
        Self { text, rest: text.as_bytes(), strictness }
    }

    fn at(&self) -> usize {
        self.text.len().saturating_sub(self.rest.len())
    }

    pub(super) fn peek(&self) -> Option<u8> {
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

    pub(super) fn array(
        &mut self,
        depth: usize,
        mut found: impl FnMut(Value<'a>),
    ) -> Result<(), JsonError> {
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
pub(super) fn unescape(inner: &str) -> Option<Cow<'_, str>> {
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
