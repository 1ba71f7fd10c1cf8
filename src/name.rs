//! Names that must not be confused: issuer, resource, audience, scope, client, key, thumbprint.
//!
//! Each is a string of its own type, parsed once. Comparison is by code points, without case
//! folding and without Unicode normalisation (RFC 7519 §7.3, RFC 8414 §4, RFC 9728 §6): two
//! spellings are two names.

use std::borrow::Borrow;
use std::fmt;

use http::Uri;

/// The longest identifier taken from configuration, in bytes: longer URLs do not survive common
/// proxies (RFC 9110 §4.1 asks for 8000 octets at least).
const MAX_IDENTIFIER: usize = 8_000;

/// Why a text is not the name it was meant to be. From a configuration, or from the metadata of an
/// issuer: the text found is shown escaped and cut.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {found:?} {wanted}")]
pub struct NameError {
    what: &'static str,
    found: String,
    wanted: &'static str,
}

impl NameError {
    pub(crate) fn new(what: &'static str, found: &str, wanted: &'static str) -> Self {
        // A mistyped value can be a secret pasted into the wrong place: show its start only.
        const SHOWN: usize = 200;
        let mut shown: String = found.chars().take(SHOWN).collect();
        if shown.len() < found.len() {
            shown.push('…');
        }
        Self { what, found: shown, wanted }
    }
}

/// Authentication schemes that carry an access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scheme {
    /// `Bearer` (RFC 6750): plain bearer tokens, and tokens that are bound to a certificate only
    /// (RFC 8705 §3).
    Bearer,
    /// `DPoP` (RFC 9449): tokens that are bound to a key, with a proof in a field of its own.
    Dpop,
}

impl Scheme {
    /// The scheme's name as it stands in a challenge.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
            Self::Dpop => "DPoP",
        }
    }

    /// The scheme of this name, compared without case (RFC 9110 §11.1).
    pub(crate) fn parse(name: &[u8]) -> Option<Self> {
        [Self::Bearer, Self::Dpop]
            .into_iter()
            .find(|scheme| name.eq_ignore_ascii_case(scheme.as_str().as_bytes()))
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Box<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        /// It is compared and ordered as its text is.
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                *self.0 == *other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                *self.0 == **other
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.into_string()
            }
        }

        impl From<&$name> for Box<str> {
            fn from(name: &$name) -> Self {
                name.0.clone()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

name! {
    /// The identifier of an authorization server: an `https` URL without query and fragment
    /// (RFC 8414 §2). Compared exactly: a trailing slash makes another issuer.
    IssuerId
}

name! {
    /// The identifier of this protected resource (RFC 8707 §2, RFC 9728 §2): an absolute `https`
    /// URL without fragment. It is the audience that a token must name.
    Resource
}

name! {
    /// A value of the `aud` claim (RFC 7519 §4.1.3) that this server answers to.
    Audience
}

name! {
    /// One scope token (RFC 6749 §3.3): one or more of `%x21 / %x23-5B / %x5D-7E`,
    /// case-sensitive.
    Scope
}

name! {
    /// A client identifier (RFC 6749 §2.2), as the `client_id` claim carries it.
    ClientId
}

name! {
    /// The `sub` claim: unique only together with its issuer.
    Subject
}

name! {
    /// The `jti` claim: unique only together with its issuer.
    JwtId
}

name! {
    /// A `kid` (RFC 7517 §4.5): case-sensitive, and unique only within one issuer, if there.
    KeyId
}

name! {
    /// A JWK SHA-256 thumbprint (RFC 7638) in unpadded base64url: 43 characters.
    Thumbprint
}

macro_rules! from_token {
    ($($name:ident),*) => {$(
        impl $name {
            /// For values that were read from a verified token.
            pub(crate) fn from_token(value: &str) -> Self {
                Self(value.into())
            }
        }
    )*};
}
from_token!(ClientId, Subject, JwtId, KeyId, Thumbprint, Audience);

impl IssuerId {
    /// Checks an issuer identifier.
    ///
    /// # Errors
    /// If it is not an `https` URL, or has a query, a fragment or user information.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        const WHAT: &str = "issuer";
        https_url(WHAT, text, LoopbackHttp::Refused)?;
        Self::without_query(text)
    }

    /// The same, with `http` allowed to a loopback host.
    pub(crate) fn parse_with_loopback(text: &str) -> Result<Self, NameError> {
        https_url("issuer", text, LoopbackHttp::Allowed)?;
        Self::without_query(text)
    }

    fn without_query(text: &str) -> Result<Self, NameError> {
        if text.contains('?') {
            return Err(NameError::new(
                "issuer",
                text,
                "has a query; RFC 8414 §2 allows none: remove it",
            ));
        }
        Ok(Self(text.into()))
    }
}

impl Resource {
    /// Checks a resource identifier.
    ///
    /// # Errors
    /// If it is not an absolute `https` URL, or has a fragment or user information.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        https_url("resource", text, LoopbackHttp::Refused)?;
        Ok(Self(text.into()))
    }

    /// The URL of this resource's metadata (RFC 9728 §3.1): the well-known path is inserted
    /// between host and path, and a slash right after the host is removed.
    ///
    /// ```
    /// use portcullis::name::Resource;
    ///
    /// let notes = Resource::parse("https://api.example.com/notes")?;
    /// assert_eq!(
    ///     notes.metadata_url(),
    ///     "https://api.example.com/.well-known/oauth-protected-resource/notes",
    /// );
    /// # Ok::<(), portcullis::name::NameError>(())
    /// ```
    #[must_use]
    pub fn metadata_url(&self) -> String {
        insert_well_known(&self.0, "/.well-known/oauth-protected-resource")
    }
}

impl Audience {
    /// Checks an audience.
    ///
    /// # Errors
    /// If it is empty, or longer than 8000 bytes.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.is_empty() || text.len() > MAX_IDENTIFIER {
            return Err(NameError::new(
                "audience",
                text,
                "is empty or longer than 8000 bytes; write it as tokens have it in `aud`",
            ));
        }
        Ok(Self(text.into()))
    }
}

impl Scope {
    /// Checks one scope token.
    ///
    /// # Errors
    /// If it is empty or has a character outside `%x21 / %x23-5B / %x5D-7E` (a space, a quote, a
    /// backslash, anything not ASCII).
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if is_scope_token(text.as_bytes()) {
            Ok(Self(text.into()))
        } else {
            Err(NameError::new(
                "scope",
                text,
                "is not one scope token; RFC 6749 §3.3 allows printable ASCII without space, \" and \\",
            ))
        }
    }
}

/// Whether these bytes are one `scope-token` of RFC 6749 §3.3.
pub(crate) fn is_scope_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| is_nqchar(*byte))
}

/// Whether these bytes are such tokens, or none, with spaces between and around them.
pub(crate) fn is_scope(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == b' ' || is_nqchar(*byte))
}

/// `NQCHAR` of RFC 6749, Appendix A.
fn is_nqchar(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)
}

/// `base` with `well_known` between its host and its path; a slash that ends the path is removed
/// where it is the whole path (RFC 8414 §3.1, RFC 9728 §3.1).
pub(crate) fn insert_well_known(base: &str, well_known: &str) -> String {
    let authority = base.find("://").map_or(0, |at| at.saturating_add(3));
    let split = base
        .get(authority..)
        .and_then(|rest| rest.find(['/', '?']))
        .map_or(base.len(), |at| at.saturating_add(authority));
    let (host, path) = base.split_at(split);
    let path = match path.strip_prefix('/') {
        Some(rest) if rest.is_empty() || rest.starts_with('?') => rest,
        _ => path,
    };
    format!("{host}{well_known}{path}")
}

/// Whether `http` is allowed to a loopback host, beside `https` to any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum LoopbackHttp {
    /// `https` only.
    #[default]
    Refused,
    /// `http` to `localhost`, `127.0.0.0/8` and `[::1]`, for tests and local development.
    Allowed,
}

/// Unreserved, reserved and percent-encoded characters of RFC 3986 §2.
fn is_uri_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte)
}

/// An absolute URL with a host that is safe to fetch from and to compare.
pub(crate) fn https_url(
    what: &'static str,
    text: &str,
    loopback: LoopbackHttp,
) -> Result<Uri, NameError> {
    if let Some((scheme, rest)) = text.split_once("://")
        && let Some((_, host)) =
            rest.split(['/', '?', '#']).next().and_then(|authority| authority.rsplit_once('@'))
    {
        // Who writes a secret there does not want it repeated.
        let found = format!("{scheme}://..@{host}");
        let wanted = "has user information before the host; remove it";
        return Err(NameError::new(what, &found, wanted));
    }
    let wrong = |wanted| NameError::new(what, text, wanted);
    if text.len() > MAX_IDENTIFIER {
        return Err(wrong("is longer than 8000 bytes; use a shorter one"));
    }
    // `http::Uri` lets more characters pass than RFC 3986 §2 has; in a challenge or a log they
    // would do harm.
    if !text.bytes().all(is_uri_character) {
        return Err(wrong("has a character that no URL has (RFC 3986 §2); percent-encode it"));
    }
    // `http::Uri` drops a fragment without a word.
    if text.contains('#') {
        return Err(wrong("has a fragment; none is allowed: remove it"));
    }
    let uri: Uri = text.parse().map_err(|_| {
        wrong("is not a URL; write it with scheme and host, as in https://host.example/path")
    })?;
    let host = uri.host().unwrap_or_default();
    match uri.scheme_str() {
        Some("https") => {}
        Some("http") if loopback == LoopbackHttp::Allowed && is_loopback(host) => {}
        Some("http") if loopback == LoopbackHttp::Allowed => {
            return Err(wrong(
                "is http to a host that is not loopback; use https: TLS in front of it",
            ));
        }
        Some("http")
            if is_loopback(host) && matches!(what, "issuer" | "introspection endpoint") =>
        {
            return Err(wrong(
                "is not an https URL; for local development there is \
                 `.dangerous().insecure_loopback_http()`",
            ));
        }
        Some("http") if what == "resource" => {
            return Err(wrong(
                "is not an https URL; it is a name that tokens carry in `aud`, and need not be \
                 where the service listens",
            ));
        }
        _ => {
            return Err(wrong(
                "is not an https URL; write it with `https://` in front, where it is served so",
            ));
        }
    }
    if host.is_empty() {
        return Err(wrong(
            "has no host; write it with scheme and host, as in https://host.example/path",
        ));
    }
    let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    if authority.len() > host.len() && uri.port_u16().is_none() {
        return Err(wrong("has a port that is not between 0 and 65535; correct it"));
    }
    Ok(uri)
}

/// `localhost`, `127.0.0.0/8`, `[::1]`.
pub(crate) fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// AUTH-22.
    #[test]
    fn a_secret_before_the_host_is_not_repeated() {
        let fault = IssuerId::parse("https://rs:s3cret@as.example/a").unwrap_err().to_string();
        assert!(fault.contains("https://..@as.example") && !fault.contains("s3cret"), "{fault}");
        assert!(IssuerId::parse("https://as.example/a@b").is_ok());
    }

    #[test]
    fn identifiers_are_https_without_fragment_and_user_information() {
        for text in [
            "http://as.example",
            "https://as.example/#x",
            "https://user@as.example",
            "https://",
            "as.example",
            "/path",
            "file:///etc/passwd",
            "data:text/plain,x",
            "https://as.example/a b",
            "https://as.example/a\"b",
            "https://as.example/a\\b",
            "https://as.example/\u{e9}",
            "https://as.example/\u{202e}",
            "https://as.example:",
            "https://as.example:99999/",
            "",
        ] {
            assert!(IssuerId::parse(text).is_err(), "{text}");
            assert!(Resource::parse(text).is_err(), "{text}");
        }
        assert!(IssuerId::parse("https://as.example/tenant?x=1").is_err());
        assert!(Resource::parse("https://rs.example/api?x=1").is_ok());
        assert!(IssuerId::parse("https://as.example/").is_ok());
        assert_ne!(
            IssuerId::parse("https://as.example/").unwrap(),
            IssuerId::parse("https://as.example").unwrap()
        );
    }

    #[test]
    fn http_is_for_loopback_hosts_and_only_where_asked_for() {
        for (text, allowed) in [
            ("http://127.0.0.1:8080", true),
            ("http://[::1]:8080", true),
            ("http://localhost", true),
            ("http://localhost.evil.example", false),
            ("http://127.0.0.1.evil.example", false),
            ("http://169.254.169.254", false),
        ] {
            assert!(IssuerId::parse(text).is_err(), "{text}");
            assert_eq!(IssuerId::parse_with_loopback(text).is_ok(), allowed, "{text}");
        }
    }

    #[test]
    fn a_scope_is_one_token() {
        for text in ["", "a b", "a\"b", "a\\b", "a\tb", "é", "a\u{a0}b"] {
            assert!(Scope::parse(text).is_err(), "{text:?}");
        }
        assert!(Scope::parse("notes:read").is_ok());
    }
}
