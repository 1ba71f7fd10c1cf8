use std::net::Ipv6Addr;

use super::{Form, TargetUriError};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sender) enum Scheme {
    Https,
    Http,
}

impl Scheme {
    pub(in crate::sender) fn parse(text: &str) -> Option<Self> {
        match text {
            _ if text.eq_ignore_ascii_case("https") => Some(Self::Https),
            _ if text.eq_ignore_ascii_case("http") => Some(Self::Http),
            _ => None,
        }
    }

    const fn with_slashes(self) -> &'static str {
        match self {
            Self::Https => "https://",
            Self::Http => "http://",
        }
    }

    pub(in crate::sender) const fn default_port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Http => 80,
        }
    }
}

/// Host and port of a URI, as they were written.
#[derive(Clone, Copy, Debug)]
pub(in crate::sender) struct Authority<'a> {
    pub(in crate::sender) host: &'a str,
    pub(in crate::sender) port: Option<u16>,
    pub(super) form: Form,
}

impl<'a> Authority<'a> {
    /// `host [ ":" port ]` at the beginning of a text, and the rest, which is empty or begins with one
    /// of `/?#`.
    fn split(text: &'a str) -> Result<(Self, &'a str), TargetUriError> {
        let split = Self::split_without_user(text);
        split.map_err(|fault| {
            let authority = text.split(['/', '?', '#']).next().unwrap_or_default();
            if authority.contains('@') { TargetUriError::UserInformation } else { fault }
        })
    }

    fn split_without_user(text: &'a str) -> Result<(Self, &'a str), TargetUriError> {
        let (host, rest) = match text.strip_prefix('[') {
            Some(inner) => {
                let (address, rest) = inner.split_once(']').ok_or(TargetUriError::Host)?;
                address.parse::<Ipv6Addr>().map_err(|_| TargetUriError::Host)?;
                // INVARIANT: the host and the rest make up the text.
                let end = text.len().saturating_sub(rest.len());
                (text.get(..end).unwrap_or_default(), rest)
            }
            None => {
                let name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
                let end = text.bytes().position(|byte| !name(byte)).unwrap_or(text.len());
                let (host, rest) = text.split_at_checked(end).ok_or(TargetUriError::Host)?;
                if host.is_empty() || host.starts_with('.') || host.contains("..") {
                    return Err(TargetUriError::Host);
                }
                (host, rest)
            }
        };
        let mut form = Form::of(!host.bytes().any(|byte| byte.is_ascii_uppercase()));
        let (port, rest) = match rest.strip_prefix(':') {
            None => (None, rest),
            Some(after) => {
                let digit = |byte: u8| byte.is_ascii_digit();
                let end = after.bytes().position(|byte| !digit(byte)).unwrap_or(after.len());
                let (digits, rest) = after.split_at_checked(end).ok_or(TargetUriError::Port)?;
                // A number in two spellings would be two ports for whoever compares texts.
                if digits.starts_with('0') {
                    return Err(TargetUriError::Port);
                }
                if digits.is_empty() {
                    form = Form::Other;
                    (None, rest)
                } else {
                    (Some(digits.parse().map_err(|_| TargetUriError::Port)?), rest)
                }
            }
        };
        match rest.bytes().next() {
            None | Some(b'/' | b'?' | b'#') => Ok((Self { host, port, form }, rest)),
            Some(_) if host.len() < text.len().saturating_sub(rest.len()) => {
                Err(TargetUriError::Port)
            }
            Some(_) => Err(TargetUriError::Host),
        }
    }

    /// A text that is `host [ ":" port ]` and nothing else, as forwarded fields have it.
    pub(in crate::sender) fn parse(text: &'a str) -> Result<Self, TargetUriError> {
        match Self::split(text)? {
            (authority, "") => Ok(authority),
            _ => Err(TargetUriError::Host),
        }
    }
}

/// Scheme, host and port of a URI, as they were written.
#[derive(Clone, Copy, Debug)]
pub(in crate::sender) struct Origin<'a> {
    pub(in crate::sender) scheme: Scheme,
    pub(in crate::sender) host: &'a str,
    /// `None`: the default port.
    pub(in crate::sender) port: Option<u16>,
    pub(super) form: Form,
}

impl<'a> Origin<'a> {
    pub(in crate::sender) fn new(scheme: Scheme, authority: Authority<'a>) -> Self {
        let port = authority.port.filter(|port| *port != scheme.default_port());
        let form = authority.form.and(Form::of(port == authority.port));
        Self { scheme, host: authority.host, port, form }
    }

    /// The origin of a URI, and the rest, which is empty or begins with one of `/?#`.
    pub(in crate::sender) fn split(text: &'a str) -> Result<(Self, &'a str), TargetUriError> {
        for scheme in [Scheme::Https, Scheme::Http] {
            let wanted = scheme.with_slashes();
            let Some((found, rest)) = text.split_at_checked(wanted.len()) else { continue };
            if found.eq_ignore_ascii_case(wanted) {
                let (authority, rest) = Authority::split(rest)?;
                let mut origin = Self::new(scheme, authority);
                origin.form = origin.form.and(Form::of(found == wanted));
                return Ok((origin, rest));
            }
        }
        Err(TargetUriError::NotAbsolute)
    }

    /// Its normal form.
    pub(in crate::sender) fn to_text(self) -> String {
        let host = self.host.to_ascii_lowercase();
        let scheme = self.scheme.with_slashes();
        match self.port {
            None => format!("{scheme}{host}"),
            Some(port) => format!("{scheme}{host}:{port}"),
        }
    }
}
