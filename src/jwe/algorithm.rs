use std::fmt;

use josekit::jwe::enc::{A128GCM, A256CBC_HS512, A256GCM};
use josekit::jwe::{ECDH_ES, ECDH_ES_A256KW, RSA_OAEP_256};
use josekit::jwe::{JweContentEncryption, JweDecrypter, JweEncrypter};
use josekit::jwk::Jwk;

/// How the key that a content is encrypted with comes to its reader: `alg` (RFC 7518 §4).
///
/// There is no `RSA1_5`, no `RSA-OAEP` (its hash is SHA-1), no `dir`, no `A*KW` and no `PBES2-*`: a
/// shared secret or a password is nothing that an authorization server encrypts access tokens with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum KeyManagement {
    /// `RSA-OAEP-256` (RFC 7518 §4.3).
    RsaOaep256,
    /// `ECDH-ES`: the agreed key encrypts the content (RFC 7518 §4.6).
    EcdhEs,
    /// `ECDH-ES+A256KW`: the agreed key encrypts the key of the content (RFC 7518 §4.6).
    EcdhEsA256Kw,
}

impl KeyManagement {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::RsaOaep256, Self::EcdhEs, Self::EcdhEsA256Kw];

    /// The name in `alg`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RsaOaep256 => "RSA-OAEP-256",
            Self::EcdhEs => "ECDH-ES",
            Self::EcdhEsA256Kw => "ECDH-ES+A256KW",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| known.as_str() == name)
    }

    /// The decrypter of this private key, a PKCS#8 PEM.
    pub(super) fn decrypter(self, pem: &[u8]) -> Option<Box<dyn JweDecrypter>> {
        Some(match self {
            Self::RsaOaep256 => Box::new(RSA_OAEP_256.decrypter_from_pem(pem).ok()?),
            Self::EcdhEs => Box::new(ECDH_ES.decrypter_from_pem(pem).ok()?),
            Self::EcdhEsA256Kw => Box::new(ECDH_ES_A256KW.decrypter_from_pem(pem).ok()?),
        })
    }

    /// The encrypter to this public key.
    pub(crate) fn encrypter(self, jwk: &Jwk) -> Option<Box<dyn JweEncrypter>> {
        Some(match self {
            Self::RsaOaep256 => Box::new(RSA_OAEP_256.encrypter_from_jwk(jwk).ok()?),
            Self::EcdhEs => Box::new(ECDH_ES.encrypter_from_jwk(jwk).ok()?),
            Self::EcdhEsA256Kw => Box::new(ECDH_ES_A256KW.encrypter_from_jwk(jwk).ok()?),
        })
    }
}

impl fmt::Display for KeyManagement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a content is encrypted: `enc` (RFC 7518 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ContentEncryption {
    /// `A128GCM` (RFC 7518 §5.3).
    A128Gcm,
    /// `A256GCM` (RFC 7518 §5.3).
    A256Gcm,
    /// `A256CBC-HS512` (RFC 7518 §5.2.5).
    A256CbcHs512,
}

impl ContentEncryption {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::A128Gcm, Self::A256Gcm, Self::A256CbcHs512];

    /// The name in `enc`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::A128Gcm => "A128GCM",
            Self::A256Gcm => "A256GCM",
            Self::A256CbcHs512 => "A256CBC-HS512",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| known.as_str() == name)
    }

    /// The octets of the key.
    pub(super) const fn key_octets(self) -> usize {
        match self {
            Self::A128Gcm => 16,
            Self::A256Gcm => 32,
            Self::A256CbcHs512 => 64,
        }
    }

    /// The octets of the initialization vector.
    pub(super) const fn iv_octets(self) -> usize {
        match self {
            Self::A128Gcm | Self::A256Gcm => 12,
            Self::A256CbcHs512 => 16,
        }
    }

    /// The octets of the tag: a shorter one would be easier to guess.
    pub(super) const fn tag_octets(self) -> usize {
        match self {
            Self::A128Gcm | Self::A256Gcm => 16,
            Self::A256CbcHs512 => 32,
        }
    }

    /// As the library has it.
    pub(crate) fn of_library(self) -> &'static dyn JweContentEncryption {
        match self {
            Self::A128Gcm => &A128GCM,
            Self::A256Gcm => &A256GCM,
            Self::A256CbcHs512 => &A256CBC_HS512,
        }
    }
}

impl fmt::Display for ContentEncryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
