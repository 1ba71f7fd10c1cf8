//! What a request presents: its `Authorization` field (RFC 9110 §11.6.2, RFC 6750 §2.1,
//! RFC 9449 §7.1).
//!
//! 1. Exactly one field line. `Authorization` is not a list: two lines, even equal ones, are a
//!    malformed request.
//! 2. The scheme is compared without case; then one or more spaces; then a `token68`, and nothing
//!    after it.
//! 3. At most [`MAX_TOKEN`] bytes of token, unless configured smaller.
//!
//! What it does not do: tokens in the URI query or in a form body are ignored, always
//! (OAuth 2.1 §5.1). There is no legacy mode.
//!
//! ```
//! use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
//! use portcullis::credentials::{Credentials, CredentialsError, MAX_TOKEN};
//!
//! let mut headers = HeaderMap::new();
//! assert_eq!(Credentials::read(&headers, MAX_TOKEN).unwrap_err(), CredentialsError::Absent);
//!
//! headers.insert(AUTHORIZATION, HeaderValue::from_static("bearer mF_9.B5f-4.1JqM"));
//! assert_eq!(Credentials::read(&headers, MAX_TOKEN)?.token(), "mF_9.B5f-4.1JqM");
//!
//! headers.append(AUTHORIZATION, HeaderValue::from_static("bearer mF_9.B5f-4.1JqM"));
//! assert_eq!(Credentials::read(&headers, MAX_TOKEN).unwrap_err(), CredentialsError::Several);
//! # Ok::<(), CredentialsError>(())
//! ```

use std::fmt;

use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{Extensions, HeaderMap, Method, Request, Uri};

pub(crate) use crate::name::Scheme;

/// The longest token that is ever looked at, in bytes. HTTP servers commonly bound the whole head
/// of a request to 8 to 64 KiB.
pub const MAX_TOKEN: usize = 16 * 1024;

/// Why a request presents no usable credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// No `Authorization` field.
    #[error("no Authorization field; one with an access token is wanted")]
    Absent,
    /// More than one `Authorization` field line.
    #[error("more than one Authorization field; one is wanted")]
    Several,
    /// A well-formed field of another scheme.
    #[error("an authentication scheme other than Bearer and DPoP")]
    UnsupportedScheme,
    /// Not `scheme 1*SP token68`.
    #[error("an Authorization field that is not a scheme, spaces and a token68")]
    Malformed,
    /// The token is longer than the bound.
    #[error("a token longer than the bound, which is `max_token_bytes`")]
    TooLong,
}

/// A scheme and a token, borrowed from the request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Credentials<'a> {
    scheme: Scheme,
    token: &'a str,
}

impl<'a> Credentials<'a> {
    /// Reads the `Authorization` field; `max_token` bounds the token, in bytes.
    ///
    /// # Errors
    /// See [`CredentialsError`].
    pub fn read(headers: &'a HeaderMap, max_token: usize) -> Result<Self, CredentialsError> {
        Fields::of(headers).unread(max_token)?.read()
    }

    /// Reads the value of one `Authorization` field.
    ///
    /// # Errors
    /// See [`CredentialsError`].
    pub fn parse(field: &'a [u8], max_token: usize) -> Result<Self, CredentialsError> {
        Field::of(field).unread(max_token)?.read()
    }

    /// The scheme that a request used, whatever else is wrong with its `Authorization` field: a
    /// refusal is told in the challenge of that scheme (RFC 9449 §7.2). `None` if there is not exactly
    /// one field, or its scheme is another.
    #[must_use]
    pub fn scheme_used(headers: &HeaderMap) -> Option<Scheme> {
        Fields::of(headers).scheme()
    }

    /// The scheme.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The token. It is a secret.
    #[must_use]
    pub fn token(&self) -> &'a str {
        self.token
    }
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

/// The `Authorization` fields of a request, looked up once.
#[derive(Clone, Copy)]
pub(crate) enum Fields<'a> {
    Absent,
    One(Field<'a>),
    Several,
}

/// One field, taken apart.
#[derive(Clone, Copy)]
pub(crate) struct Field<'a> {
    /// `None`: another one, or none.
    scheme: Option<Scheme>,
    /// Whether what stands before [`Self::rest`] could be the name of a scheme.
    names: bool,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn of(headers: &'a HeaderMap) -> Self {
        let mut fields = headers.get_all(AUTHORIZATION).iter();
        match (fields.next(), fields.next()) {
            (None, _) => Self::Absent,
            (Some(field), None) => Self::One(Field::of(field.as_bytes())),
            (Some(_), Some(_)) => Self::Several,
        }
    }

    pub(crate) const fn are_absent(self) -> bool {
        matches!(self, Self::Absent)
    }

    /// See [`Credentials::scheme_used`].
    pub(crate) fn scheme(self) -> Option<Scheme> {
        let Self::One(field) = self else { return None };
        field.scheme
    }

    /// A scheme and a token of which nothing but its length is known to be right.
    pub(crate) fn unread(self, max_token: usize) -> Result<Unread<'a>, CredentialsError> {
        match self {
            Self::Absent => Err(CredentialsError::Absent),
            Self::Several => Err(CredentialsError::Several),
            Self::One(field) => field.unread(max_token),
        }
    }
}

impl<'a> Field<'a> {
    fn of(field: &'a [u8]) -> Self {
        // As nearly everybody writes it.
        if let Some(rest) = field.strip_prefix(b"Bearer")
            && rest.starts_with(b" ")
        {
            return Self { scheme: Some(Scheme::Bearer), names: true, rest };
        }
        let end = field.iter().position(|byte| !is_tchar(*byte)).unwrap_or(field.len());
        let (name, rest) = field.split_at(end);
        Self { scheme: Scheme::parse(name), names: !name.is_empty(), rest }
    }

    fn unread(self, max_token: usize) -> Result<Unread<'a>, CredentialsError> {
        let Self { scheme, names, rest } = self;
        let separated = rest.is_empty() || rest.starts_with(b" ");
        if !names || !separated {
            return Err(CredentialsError::Malformed);
        }
        let scheme = scheme.ok_or(CredentialsError::UnsupportedScheme)?;
        let start = rest.iter().position(|byte| *byte != b' ').unwrap_or(rest.len());
        let token = rest.get(start..).unwrap_or_default();
        if token.len() > max_token {
            return Err(CredentialsError::TooLong);
        }
        Ok(Unread { scheme, token })
    }
}

/// What stands where a scheme and a token have to be. A token that was accepted before needs no more
/// looking at than it takes to find that out.
#[derive(Clone, Copy)]
pub(crate) struct Unread<'a> {
    scheme: Scheme,
    token: &'a [u8],
}

impl<'a> Unread<'a> {
    pub(crate) const fn scheme(self) -> Scheme {
        self.scheme
    }

    pub(crate) const fn octets(self) -> &'a [u8] {
        self.token
    }

    /// The token, of one that is known to be one.
    pub(crate) fn text(self) -> &'a str {
        // INVARIANT: a token that was accepted once is ASCII.
        std::str::from_utf8(self.token).unwrap_or_default()
    }

    pub(crate) fn read(self) -> Result<Credentials<'a>, CredentialsError> {
        let Self { scheme, token } = self;
        if !is_token68(token) {
            return Err(CredentialsError::Malformed);
        }
        let token = std::str::from_utf8(token).map_err(|_| CredentialsError::Malformed)?;
        Ok(Credentials { scheme, token })
    }
}

/// `tchar` of RFC 9110 §5.6.2.
fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// `token68` of RFC 9110 §11.2.
fn is_token68(bytes: &[u8]) -> bool {
    // Every byte is looked at without a branch, which lets the compiler take many at once. From `-` on
    // to `9` they follow each other: `-`, `.`, `/` and the digits.
    let legal = |byte: u8| {
        matches!(byte, b'-'..=b'9')
            | byte.is_ascii_alphabetic()
            | (byte == b'_')
            | (byte == b'~')
            | (byte == b'+')
    };
    let padding = bytes.iter().rev().take_while(|byte| **byte == b'=').count();
    let body = bytes.get(..bytes.len().saturating_sub(padding)).unwrap_or_default();
    !body.is_empty() && body.iter().fold(true, |all, byte| all & legal(*byte))
}

/// The head of a request, borrowed: from the parts of one, or from a whole one.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct RequestHead<'a> {
    /// The method.
    pub method: &'a Method,
    /// The URI, as the layer saw it.
    pub uri: &'a Uri,
    /// The header fields. `Authorization` among them is a secret.
    pub headers: &'a HeaderMap,
    /// What outer layers and the server put there.
    pub extensions: &'a Extensions,
}

impl<'a> RequestHead<'a> {
    /// The head made of its parts.
    #[must_use]
    pub const fn new(
        method: &'a Method,
        uri: &'a Uri,
        headers: &'a HeaderMap,
        extensions: &'a Extensions,
    ) -> Self {
        Self { method, uri, headers, extensions }
    }
}

impl<'a> From<&'a Parts> for RequestHead<'a> {
    fn from(parts: &'a Parts) -> Self {
        Self {
            method: &parts.method,
            uri: &parts.uri,
            headers: &parts.headers,
            extensions: &parts.extensions,
        }
    }
}

impl<'a, B> From<&'a Request<B>> for RequestHead<'a> {
    fn from(request: &'a Request<B>) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            extensions: request.extensions(),
        }
    }
}

/// Names of header fields only: their values hold secrets.
impl fmt::Debug for RequestHead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.keys().collect();
        f.debug_struct("RequestHead")
            .field("method", self.method)
            .field("path", &self.uri.path())
            .field("headers", &names)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scheme_spaces_token68_is_read() {
        use CredentialsError::{Malformed, TooLong, UnsupportedScheme};
        let long = format!("Bearer {}", "a".repeat(MAX_TOKEN + 1));
        for (name, field, expected) in [
            ("plain", "Bearer a.b.c", Ok("a.b.c")),
            ("lower case", "bearer a", Ok("a")),
            ("odd case", "bEaReR a", Ok("a")),
            ("two spaces", "Bearer  a", Ok("a")),
            ("padding", "Bearer a==", Ok("a==")),
            ("every character", "Bearer -._~+/aZ09", Ok("-._~+/aZ09")),
            ("no token", "Bearer", Err(Malformed)),
            ("only spaces", "Bearer   ", Err(Malformed)),
            ("only padding", "Bearer ==", Err(Malformed)),
            ("tab", "Bearer\ta", Err(Malformed)),
            ("two tokens", "Bearer a b", Err(Malformed)),
            ("trailing space", "Bearer a ", Err(Malformed)),
            ("list", "Bearer a,x", Err(Malformed)),
            ("parameter", "Bearer a=b", Err(Malformed)),
            ("quoted", "Bearer \"a\"", Err(Malformed)),
            ("not ASCII", "Bearer é", Err(Malformed)),
            ("leading space", " Bearer a", Err(Malformed)),
            ("empty", "", Err(Malformed)),
            ("other scheme", "Basic YTpi", Err(UnsupportedScheme)),
            ("longer scheme", "Bearerx a", Err(UnsupportedScheme)),
            ("scheme alone", "Negotiate", Err(UnsupportedScheme)),
            ("too long", &long, Err(TooLong)),
        ] {
            let read = Credentials::parse(field.as_bytes(), MAX_TOKEN);
            assert_eq!(read.map(|credentials| credentials.token), expected, "{name}");
        }
    }

    #[test]
    fn each_byte_is_of_a_token_or_of_none() {
        for byte in 0..=255_u8 {
            let legal = byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
            assert_eq!(is_token68(&[b'a', byte, b'a']), legal, "{byte}");
        }
    }
}
