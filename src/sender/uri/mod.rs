//! The URI that a request is for, as `htu` of a DPoP proof names it (RFC 9449 §4.2), in normal form.
//!
//! 1. Two URIs are the same if their normal forms are the same octets. The normal form is that of
//!    RFC 3986 §6.2.2 and §6.2.3, which RFC 9449 §4.3 asks for, and nothing beyond it: scheme and host in
//!    lower case, percent-encodings in upper case, unreserved characters decoded, dot segments
//!    removed, `/` for an empty path, and neither the default port nor an empty one.
//! 2. Query and fragment are no part of it (RFC 9449 §4.2, §4.3(9)). They are looked at all the same:
//!    a text that is no URI is refused, wherever its fault is.
//! 3. `/a` and `/a/`, `/a` and `/A`, `/a/b` and `/a%2Fb`, `/a` and `//a` are different paths.
//! 4. What RFC 3986 has no place for is refused and never repaired: control characters, spaces,
//!    backslashes, characters beyond ASCII (a name in other letters comes as its A-label),
//!    incomplete percent-encodings, user information. So is what no client connects to: a host with a
//!    percent-encoding or with other characters than those of a DNS name, an IPv6 zone, port 0.
//! 5. `"`, `[`, `]`, `^`, `{`, `|` and `}` in a path stand for themselves. RFC 3986 has no place for them
//!    either, but serialisers of URLs write some of them as they are, in the request line as in `htu`, and
//!    the `http` crate lets them pass. `{` and `%7B` are different: what both wrote is compared.
//!
//! What it does not do: it knows no IP address. `[::1]` and `[0::1]` are different hosts, and so are
//! `127.0.0.1` and `127.1`, for RFC 3986 compares hosts as texts.

mod authority;
mod path;

use std::fmt;

pub(in crate::sender) use authority::{Authority, Origin, Scheme};
pub(in crate::sender) use path::Path;
use path::check_tail;

/// An absolute `https` or `http` URI without query and fragment, in normal form
/// (RFC 3986 §6.2.2, §6.2.3): what `htu` of a DPoP proof names.
///
/// ```
/// use portcullis::sender::TargetUri;
///
/// let uri = TargetUri::parse("HTTPS://RS.example:443/a/./c/../%7Eu?query#fragment")?;
/// assert_eq!(uri.as_str(), "https://rs.example/a/~u");
/// assert_eq!(uri.origin(), "https://rs.example");
/// assert_eq!(uri, TargetUri::parse("https://rs.example/a/~u")?);
/// assert_ne!(uri, TargetUri::parse("https://rs.example/a/~u/")?);
/// assert!(TargetUri::parse("https://user@rs.example/a/~u").is_err());
/// # Ok::<(), portcullis::sender::TargetUriError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetUri {
    text: Box<str>,
    /// Where the path begins, which the text alone decides.
    path: usize,
}

impl TargetUri {
    /// The longest URI that is read, with its query and fragment, in bytes. HTTP servers commonly
    /// bound a request line to 8 KiB, and RFC 9110 §4.1 asks that they take 8000 octets at least.
    pub const MAX_LENGTH: usize = 8 * 1024;

    /// Reads a URI.
    ///
    /// # Errors
    /// See [`TargetUriError`].
    pub fn parse(text: &str) -> Result<Self, TargetUriError> {
        if text.len() > Self::MAX_LENGTH {
            return Err(TargetUriError::TooLong);
        }
        let (origin, rest) = Origin::split(text)?;
        let (path, tail) = Path::split(rest)?;
        check_tail(tail)?;
        let start = text.len().saturating_sub(rest.len());
        if origin.form == Form::Normal && path.form == Form::Normal {
            let end = text.len().saturating_sub(tail.len());
            let text = text.get(..end).unwrap_or_default().into();
            return Ok(Self { text, path: start });
        }
        let mut text = origin.to_text();
        let start = text.len();
        text.push_str(&path.normal());
        Ok(Self { text: text.into(), path: start })
    }

    /// The whole of it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(in crate::sender) fn into_text(self) -> Box<str> {
        self.text
    }

    /// Scheme, host and port: `https://rs.example`, `https://rs.example:8443`.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.text.get(..self.path).unwrap_or_default()
    }

    /// The path, which begins with a slash.
    #[must_use]
    pub fn path(&self) -> &str {
        self.text.get(self.path..).unwrap_or_default()
    }
}

impl AsRef<str> for TargetUri {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for TargetUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for TargetUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

/// Why a text is not a [`TargetUri`]. It shows nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.found())]
#[non_exhaustive]
pub enum TargetUriError {
    /// It is longer than [`TargetUri::MAX_LENGTH`].
    TooLong,
    /// It does not begin with `https://` or `http://`.
    NotAbsolute,
    /// There is something before the host and an `@`.
    UserInformation,
    /// The host is empty, or neither a DNS name nor an IP address.
    Host,
    /// The port is not between 1 and 65535, or begins with a zero.
    Port,
    /// A character that must not stand there as it is.
    Character,
    /// A `%` without two hexadecimal digits after it.
    PercentEncoding,
}

impl TargetUriError {
    pub(in crate::sender) const fn found(self) -> &'static str {
        match self {
            Self::TooLong => "is longer than 8192 bytes",
            Self::NotAbsolute => "is not an absolute https or http URI",
            Self::UserInformation => "has user information before the host",
            Self::Host => "has no host that is a DNS name or an IP address",
            Self::Port => "has a port that is not between 1 and 65535, without leading zeros",
            Self::Character => "has a character that no URI has there (RFC 3986 §2)",
            Self::PercentEncoding => {
                "has a percent sign without two hexadecimal digits (RFC 3986 §2.1)"
            }
        }
    }
}

/// Whether a text is in normal form already, which is nearly always so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sender) enum Form {
    Normal,
    Other,
}

impl Form {
    fn of(normal: bool) -> Self {
        if normal { Self::Normal } else { Self::Other }
    }

    fn and(self, other: Self) -> Self {
        Self::of(self == Self::Normal && other == Self::Normal)
    }
}
