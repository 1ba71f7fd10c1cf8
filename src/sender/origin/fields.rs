use std::fmt;

use http::{HeaderMap, HeaderName};

use super::mismatch::NoTarget;
use crate::sender::uri::TargetUri;

/// The longest field line that is read, in bytes: as long as the URI that it describes may be.
const MAX_LINE: usize = TargetUri::MAX_LENGTH;

/// How many elements a line of `Forwarded` may have: more proxies than any request meets.
const MAX_ELEMENTS: usize = 64;

/// What is wrong with a forwarded field of a trusted peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldFault {
    Absent,
    Malformed,
    TooFewElements,
    Scheme,
    Host,
    Port,
    Prefix,
}

impl FieldFault {
    pub(super) fn of(self, field: &'static str) -> NoTarget {
        NoTarget::Forwarded { field, fault: self }
    }
}

impl fmt::Display for FieldFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "is absent, or does not say it",
            Self::Malformed => "is malformed",
            Self::TooFewElements => "has fewer elements than there are trusted hops",
            Self::Scheme => "names a scheme other than https and http",
            Self::Host => "names a host, with its port, that is not among the hosts",
            Self::Port => "is no port, or another one than the host was given",
            Self::Prefix => "names a path prefix that is not among the prefixes",
        })
    }
}

/// The element of a comma-separated list that stands at this place, counted from the end of its last
/// line: 1 is what the nearest proxy wrote. `None`: there is no such field.
///
/// Nothing before it is looked at: the client may have written that.
pub(super) fn nth_from_end<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    place: usize,
) -> Result<Option<&'a str>, FieldFault> {
    let (mut lines, mut seen) = (0_usize, 0_usize);
    for line in headers.get_all(name).iter().rev() {
        lines = lines.saturating_add(1);
        for element in text(line)?.rsplit(',') {
            let element = element.trim_matches(OWS);
            if element.is_empty() {
                return Err(FieldFault::Malformed);
            }
            seen = seen.saturating_add(1);
            if seen == place {
                return Ok(Some(element));
            }
        }
    }
    if lines == 0 { Ok(None) } else { Err(FieldFault::TooFewElements) }
}

/// What an element of `Forwarded` (RFC 7239 §4) says of the request. Values as they stand there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ForwardedElement<'a> {
    pub(super) host: Option<&'a str>,
    pub(super) proto: Option<&'a str>,
}

impl<'a> ForwardedElement<'a> {
    /// The element of `Forwarded` that stands at this place, counted from the end of its last line.
    ///
    /// A line is read from its beginning, for commas can be quoted: a quote that a client leaves open
    /// makes it malformed.
    pub(super) fn nth_from_end(
        headers: &'a HeaderMap,
        place: usize,
    ) -> Result<Option<Self>, FieldFault> {
        let (mut lines, mut seen) = (0_usize, 0_usize);
        for line in headers.get_all(http::header::FORWARDED).iter().rev() {
            lines = lines.saturating_add(1);
            let elements = Self::list(text(line)?).ok_or(FieldFault::Malformed)?;
            let missing = place.saturating_sub(seen);
            if let Some(at) = elements.len().checked_sub(missing) {
                return Ok(elements.get(at).copied());
            }
            seen = seen.saturating_add(elements.len());
        }
        if lines == 0 { Ok(None) } else { Err(FieldFault::TooFewElements) }
    }

    /// `1#forwarded-element`. Empty elements of the list are left out (RFC 9110 §5.6.1.2).
    pub(super) fn list(mut rest: &'a str) -> Option<Vec<Self>> {
        let mut elements = Vec::new();
        loop {
            let (element, after) = Self::element(rest)?;
            elements.extend(element);
            if elements.len() > MAX_ELEMENTS {
                return None;
            }
            match after.strip_prefix(',') {
                Some(after) => rest = after,
                None if after.is_empty() => return Some(elements),
                None => return None,
            }
        }
    }

    /// `[ forwarded-pair ] *( ";" [ forwarded-pair ] )`, with spaces around the semicolons as other
    /// fields have them (RFC 9110 §5.6.6), and the rest, which is empty or begins with what ends it.
    fn element(text: &'a str) -> Option<(Option<Self>, &'a str)> {
        let (mut element, mut empty) = (Self::default(), true);
        let mut rest = text.trim_start_matches(OWS);
        loop {
            let (name, after) = token(rest);
            if !name.is_empty() {
                empty = false;
                let (value, after) = value(after.strip_prefix('=')?)?;
                let known = match name {
                    _ if name.eq_ignore_ascii_case("host") => Some(&mut element.host),
                    _ if name.eq_ignore_ascii_case("proto") => Some(&mut element.proto),
                    _ => None,
                };
                // "Each parameter MUST NOT occur more than once" (RFC 7239 §4).
                if let Some(known) = known
                    && known.replace(value).is_some()
                {
                    return None;
                }
                rest = after.trim_start_matches(OWS);
            }
            match rest.strip_prefix(';') {
                Some(after) => {
                    empty = false;
                    rest = after.trim_start_matches(OWS);
                }
                None => return Some(((!empty).then_some(element), rest)),
            }
        }
    }
}

const OWS: [char; 2] = [' ', '\t'];

fn text(line: &http::HeaderValue) -> Result<&str, FieldFault> {
    let text = line.to_str().map_err(|_| FieldFault::Malformed)?;
    if text.len() > MAX_LINE { Err(FieldFault::Malformed) } else { Ok(text) }
}

/// `*tchar` (RFC 9110 §5.6.2) at the beginning of a text, and the rest.
fn token(text: &str) -> (&str, &str) {
    let tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let end = text.bytes().position(|byte| !tchar(byte)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or(("", text))
}

/// A token or a quoted-string (RFC 9110 §5.6.4), without its quotes, and the rest. Escapes stay as they
/// are: no host and no scheme has a backslash, so that a value with one names neither.
fn value(text: &str) -> Option<(&str, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = token(text);
        return (!value.is_empty()).then_some((value, rest));
    };
    let mut escaped = false;
    for (at, byte) in quoted.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some((quoted.get(..at)?, quoted.get(at.saturating_add(1)..)?)),
            _ => {}
        }
    }
    None
}
