use std::borrow::Cow;

use super::{Form, TargetUri, TargetUriError};

/// The path of a URI, as it was written: empty, or it begins with a slash.
#[derive(Clone, Copy, Debug)]
pub(in crate::sender) struct Path<'a> {
    pub(in crate::sender) text: &'a str,
    pub(in crate::sender) form: Form,
}

impl<'a> Path<'a> {
    /// A text that is a path and nothing else.
    pub(in crate::sender) fn parse(text: &'a str) -> Result<Self, TargetUriError> {
        if text.len() > TargetUri::MAX_LENGTH {
            return Err(TargetUriError::TooLong);
        }
        match Self::split(text)? {
            (path, "") => Ok(path),
            _ => Err(TargetUriError::Character),
        }
    }

    /// The path at the beginning of a text, and the rest, which is empty or begins with `?` or `#`.
    pub(super) fn split(text: &'a str) -> Result<(Self, &'a str), TargetUriError> {
        let mut form = Form::of(text.starts_with('/'));
        let mut rest = text.as_bytes();
        while let [first, after @ ..] = rest {
            rest = match (first, after) {
                (b'?' | b'#', _) => break,
                (b'/', _) => {
                    if begins_with_dot_segment(after) {
                        form = Form::Other;
                    }
                    after
                }
                (b'%', [high, low, after @ ..]) => {
                    let octet = octet(*high, *low).ok_or(TargetUriError::PercentEncoding)?;
                    let lower = high.is_ascii_lowercase() || low.is_ascii_lowercase();
                    if lower || is_unreserved(octet) {
                        form = Form::Other;
                    }
                    after
                }
                (b'%', _) => return Err(TargetUriError::PercentEncoding),
                (byte, _) if is_path_character(*byte) => after,
                _ => return Err(TargetUriError::Character),
            };
        }
        let end = text.len().saturating_sub(rest.len());
        let (text, rest) = text.split_at_checked(end).ok_or(TargetUriError::Character)?;
        Ok((Self { text, form }, rest))
    }

    /// Whether one of its segments is `.` or `..`, plain or percent-encoded.
    pub(in crate::sender) fn has_dot_segments(self) -> bool {
        match self.form {
            Form::Normal => false,
            Form::Other => {
                decoded(self.text).split('/').any(|segment| matches!(segment, "." | ".."))
            }
        }
    }

    /// Its normal form: unreserved characters decoded first, for a dot may be one of them; then dot
    /// segments removed.
    pub(in crate::sender) fn normal(self) -> Cow<'a, str> {
        match self.form {
            Form::Normal => Cow::Borrowed(self.text),
            Form::Other => Cow::Owned(without_dot_segments(&decoded(self.text))),
        }
    }
}

/// Whether a path goes on, after a slash, with `.` or `..` as a whole segment.
fn begins_with_dot_segment(after: &[u8]) -> bool {
    let rest = match after {
        [b'.', b'.', rest @ ..] | [b'.', rest @ ..] => rest,
        _ => return false,
    };
    matches!(rest, [] | [b'/' | b'?' | b'#', ..])
}

/// A path with its percent-encodings in upper case, except those of unreserved characters, which are
/// decoded (RFC 3986 §6.2.2.1, §6.2.2.2).
fn decoded(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if let (b'%', [high, low, after @ ..]) = (first, after) {
            rest = after;
            match octet(*high, *low) {
                Some(octet) if is_unreserved(octet) => out.push(char::from(octet)),
                _ => {
                    out.push('%');
                    out.push(char::from(high.to_ascii_uppercase()));
                    out.push(char::from(low.to_ascii_uppercase()));
                }
            }
        } else {
            out.push(char::from(*first));
        }
    }
    out
}

/// A path without `.` and `..` (RFC 3986 §5.2.4), which is never empty.
fn without_dot_segments(path: &str) -> String {
    let mut out = String::with_capacity(path.len().saturating_add(1));
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let dots = matches!(segment, "." | "..");
        if segment == ".." {
            out.truncate(out.rfind('/').unwrap_or_default());
        }
        if !dots {
            out.push('/');
            out.push_str(segment);
        } else if segments.peek().is_none() {
            out.push('/');
        }
    }
    if out.is_empty() { "/".to_owned() } else { out }
}

/// Query and fragment: whether they are ones.
pub(super) fn check_tail(tail: &str) -> Result<(), TargetUriError> {
    let (query, fragment) = tail.split_once('#').unwrap_or((tail, ""));
    for part in [query, fragment] {
        let mut rest = part.as_bytes();
        while let [first, after @ ..] = rest {
            rest = match (first, after) {
                (b'%', [high, low, after @ ..]) if octet(*high, *low).is_some() => after,
                (b'%', _) => return Err(TargetUriError::PercentEncoding),
                (b'/' | b'?', _) => after,
                (byte, _) if is_path_character(*byte) => after,
                _ => return Err(TargetUriError::Character),
            };
        }
    }
    Ok(())
}

/// The octet that two hexadecimal digits stand for.
const fn octet(high: u8, low: u8) -> Option<u8> {
    match (digit(high), digit(low)) {
        (Some(high), Some(low)) => Some((high << 4) | low),
        _ => None,
    }
}

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte.wrapping_sub(b'0')),
        b'A'..=b'F' => Some(byte.wrapping_sub(b'A').wrapping_add(10)),
        b'a'..=b'f' => Some(byte.wrapping_sub(b'a').wrapping_add(10)),
        _ => None,
    }
}

/// `unreserved` of RFC 3986 §2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// `pchar` of RFC 3986 §3.3 without `%`, and the characters of rule 5.
const fn is_path_character(byte: u8) -> bool {
    let sub_delimiter =
        matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=');
    let as_written = matches!(byte, b'"' | b'[' | b']' | b'^' | b'{' | b'|' | b'}');
    is_unreserved(byte) || sub_delimiter || matches!(byte, b':' | b'@') || as_written
}
