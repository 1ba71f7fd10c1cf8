//! JWK thumbprints (RFC 7638) and their URI form (RFC 9278).

use sha2::{Digest as _, Sha256};

use super::base64url;
use crate::name::Thumbprint;

/// The prefix of a SHA-256 JWK Thumbprint URI (RFC 9278 §3).
const URI_PREFIX: &str = "urn:ietf:params:oauth:jwk-thumbprint:sha-256:";

/// The required members of a key, as they were written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RequiredMembers<'a> {
    Rsa { n: &'a str, e: &'a str },
    Ec { crv: &'a str, x: &'a str, y: &'a str },
    Okp { crv: &'a str, x: &'a str },
}

impl RequiredMembers<'_> {
    /// SHA-256 over the members in lexicographic order, without white space (RFC 7638 §3).
    /// The values are base64url and registered curve names: nothing in them needs escaping.
    pub(crate) fn thumbprint(self) -> Thumbprint {
        let canonical = match self {
            Self::Rsa { n, e } => format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#),
            Self::Ec { crv, x, y } => {
                format!(r#"{{"crv":"{crv}","kty":"EC","x":"{x}","y":"{y}"}}"#)
            }
            Self::Okp { crv, x } => format!(r#"{{"crv":"{crv}","kty":"OKP","x":"{x}"}}"#),
        };
        Thumbprint::from_token(&base64url::encode(Sha256::digest(canonical)))
    }
}

impl Thumbprint {
    /// The thumbprint whose octets these are.
    #[must_use]
    pub fn of_sha256(digest: &[u8; 32]) -> Self {
        Self::from_token(&base64url::encode(digest))
    }

    /// Reads a SHA-256 thumbprint: canonical base64url of 32 octets.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let octets = base64url::decode(text).ok()?;
        (octets.len() == 32).then(|| Self::from_token(text))
    }

    /// Reads a JWK Thumbprint URI (RFC 9278); SHA-256 is the one hash supported.
    #[must_use]
    pub fn parse_uri(uri: &str) -> Option<Self> {
        Self::parse(uri.strip_prefix(URI_PREFIX)?)
    }

    /// The JWK Thumbprint URI (RFC 9278 §3).
    #[must_use]
    pub fn to_uri(&self) -> String {
        format!("{URI_PREFIX}{self}")
    }
}
