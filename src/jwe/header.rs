//! The protected header of a JWE (RFC 7516 §4), before any work is done for it.

use std::borrow::Cow;

use super::algorithm::{ContentEncryption, KeyManagement};
use super::material::Shape;
use crate::credentials::MAX_TOKEN;
use crate::jose::json::{JsonError, Object};
use crate::jose::{MAX_HEADER, base64url};

/// Members that ask for processing that is not done here: `zip` (a few octets become gigabytes,
/// RFC 8725 §3.6), `crit` (no extension is implemented), `b64`, and the parameters of PBES2, whose
/// iterations the sender chooses (RFC 7518 §4.8.1.2).
const REFUSED: [&str; 5] = ["zip", "crit", "b64", "p2c", "p2s"];

/// The members of a private key (RFC 7518 §6).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// The longest encrypted key: of RSA with 4096 bits.
const LONGEST_ENCRYPTED_KEY: usize = 512;
const LONGEST_IV: usize = 16;
const LONGEST_TAG: usize = 32;
/// The longest `apu` and `apv`, in octets. Both are names or nonces.
const LONGEST_PARTY: usize = 256;

/// Why a token is refused before anything is decrypted. It tells what its sender wrote, and nothing of
/// a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderFault {
    /// The token is longer than [`MAX_TOKEN`].
    #[error("a token longer than {MAX_TOKEN} octets")]
    TooLong,
    /// Not five parts: no JWE Compact Serialization (RFC 7516 §7.1).
    #[error("not five parts separated by dots")]
    Parts,
    /// The encoded header is empty or longer than [`MAX_HEADER`].
    #[error("the header is empty or longer than {MAX_HEADER} characters")]
    HeaderLength,
    /// A part is not canonical base64url.
    #[error("a part is not canonical base64url without padding")]
    Encoding,
    /// A part is longer than any algorithm makes it.
    #[error("the {0} is longer than any algorithm makes it")]
    PartLength(&'static str),
    /// Not a JSON object.
    #[error("the header is {0}")]
    Json(#[from] JsonError),
    /// A member that asks for processing that is not done here.
    #[error("the header has `{0}`, which is not supported in an encrypted token")]
    Unsupported(&'static str),
    /// `alg` is absent, not a string, or not an algorithm of [`KeyManagement`].
    #[error("`alg` is absent or not a supported way to encrypt a key")]
    Algorithm,
    /// `enc` is absent, not a string, or not one of [`ContentEncryption`].
    #[error("`enc` is absent or not a supported content encryption")]
    Encryption,
    /// `typ` says something else than a JWT or an access token.
    #[error("`typ` is not that of an encrypted access token")]
    Type,
    /// `cty` says something else than a JWT or an access token.
    #[error("`cty` is not that of an access token")]
    ContentType,
    /// `kid` is not a string.
    #[error("`kid` is not a string")]
    KeyId,
    /// There is no `kid`, and more than one key.
    #[error(
        "no `kid` says which of several keys it is encrypted to: register the public key with its `kid`"
    )]
    NoKeyId,
    /// No key has this `kid`.
    #[error("`kid` names no key of this server: the issuer has another, or an old one")]
    UnknownKey,
    /// The key is not used with this `alg`.
    #[error("the key is not used with this `alg`")]
    NotForAlgorithm,
    /// The key is not used with this `enc`.
    #[error("the key is not used with this `enc`")]
    NotForEncryption,
    /// `epk` is not a public key of the kind of the server's key (RFC 7518 §4.6.1.1).
    #[error("`epk` is absent or not a public key of the curve of this server's key")]
    EphemeralKey,
    /// `apu` or `apv` is not base64url of a name (RFC 7518 §4.6.1.2).
    #[error("`{0}` is not base64url of at most {LONGEST_PARTY} octets")]
    Party(&'static str),
}

/// The parts of a token that are bounded and well formed, and what its header asks for.
pub(super) struct Parts {
    pub(super) algorithm: KeyManagement,
    pub(super) encryption: ContentEncryption,
    pub(super) kid: Option<String>,
    lengths: Lengths,
    header: Vec<u8>,
}

struct Lengths {
    encrypted_key: usize,
    iv: usize,
    ciphertext: usize,
    tag: usize,
}

impl Parts {
    /// 1. The token is bounded, and has five parts, each bounded and canonical base64url.
    /// 2. The header is one JSON object without duplicate members, at any level.
    /// 3. Nothing in it asks for what is not done here.
    /// 4. `alg` and `enc` are named ones; `typ`, `cty` and `kid` are what they may be.
    pub(super) fn read(token: &str) -> Result<Self, HeaderFault> {
        if token.len() > MAX_TOKEN {
            return Err(HeaderFault::TooLong);
        }
        // One more than five are looked at: a text of dots costs nothing.
        let parts: Vec<&str> = token.split('.').take(6).collect();
        let [header, encrypted_key, iv, ciphertext, tag] = parts[..] else {
            return Err(HeaderFault::Parts);
        };
        if header.is_empty() || header.len() > MAX_HEADER {
            return Err(HeaderFault::HeaderLength);
        }
        let octets = |part: &str| base64url::decode(part).map_err(|_| HeaderFault::Encoding);
        let length = |part: &str, name, longest: usize| {
            // Four characters are three octets.
            if part.len() > longest.saturating_mul(4).div_ceil(3) {
                return Err(HeaderFault::PartLength(name));
            }
            octets(part).map(|octets| octets.len())
        };
        let lengths = Lengths {
            encrypted_key: length(encrypted_key, "encrypted key", LONGEST_ENCRYPTED_KEY)?,
            iv: length(iv, "initialization vector", LONGEST_IV)?,
            ciphertext: length(ciphertext, "ciphertext", MAX_TOKEN)?,
            tag: length(tag, "tag", LONGEST_TAG)?,
        };
        let header = octets(header)?;
        let object = Object::parse(&header)?;
        if let Some(name) = REFUSED.into_iter().find(|name| object.has(name)) {
            return Err(HeaderFault::Unsupported(name));
        }
        let text = |name: &str, fault| match object.member(name) {
            None => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or(fault),
        };
        let algorithm = text("alg", HeaderFault::Algorithm)?
            .and_then(|alg| KeyManagement::parse(&alg))
            .ok_or(HeaderFault::Algorithm)?;
        let encryption = text("enc", HeaderFault::Encryption)?
            .and_then(|enc| ContentEncryption::parse(&enc))
            .ok_or(HeaderFault::Encryption)?;
        for (name, fault) in [("typ", HeaderFault::Type), ("cty", HeaderFault::ContentType)] {
            if text(name, fault)?.is_some_and(|found| !is_token_type(&found)) {
                return Err(fault);
            }
        }
        let kid = text("kid", HeaderFault::KeyId)?.map(Cow::into_owned);
        Ok(Self { algorithm, encryption, kid, lengths, header })
    }

    /// For a key that agrees: `epk` is a public key of its curve, and the parties are named as they
    /// may be. Whether the point is on the curve is looked at with the key in hand.
    pub(super) fn agrees(&self, shape: Shape) -> Result<(), HeaderFault> {
        let Some((kty, crv, length)) = shape.curve() else { return Ok(()) };
        let header = Object::parse_checked(&self.header)?;
        let epk = header.member("epk").and_then(|epk| epk.as_object());
        let epk = epk.ok_or(HeaderFault::EphemeralKey)?;
        let text = |name: &str| epk.member(name).and_then(|value| value.as_str());
        let is_coordinate = |name: &&str| {
            let octets = text(name).and_then(|text| base64url::decode(text.as_bytes()).ok());
            octets.is_some_and(|octets| octets.len() == length)
        };
        let coordinates: &[_] = if kty == "EC" { &["x", "y"] } else { &["x"] };
        let legal = text("kty").as_deref() == Some(kty)
            && text("crv").as_deref() == Some(crv)
            && coordinates.iter().all(is_coordinate)
            && !PRIVATE.iter().any(|name| epk.has(name));
        if !legal {
            return Err(HeaderFault::EphemeralKey);
        }
        for name in ["apu", "apv"] {
            let Some(value) = header.member(name) else { continue };
            let octets = value.as_str().and_then(|text| base64url::decode(text.as_bytes()).ok());
            if octets.is_none_or(|octets| octets.len() > LONGEST_PARTY) {
                return Err(HeaderFault::Party(name));
            }
        }
        Ok(())
    }

    /// Whether each part has the very length that the algorithms give it. A tag that is shorter would be
    /// compared as far as it goes.
    pub(super) fn are_whole(&self, shape: Shape) -> bool {
        let encryption = self.encryption;
        let blocks = match encryption {
            ContentEncryption::A256CbcHs512 => self.lengths.ciphertext.is_multiple_of(16),
            ContentEncryption::A128Gcm | ContentEncryption::A256Gcm => true,
        };
        blocks
            && self.lengths.ciphertext > 0
            && self.lengths.encrypted_key == shape.encrypted_key_octets(self.algorithm, encryption)
            && self.lengths.iv == encryption.iv_octets()
            && self.lengths.tag == encryption.tag_octets()
    }
}

/// `JWT` or `at+jwt`, compared without case and without a leading `application/` (RFC 7515 §4.1.9).
fn is_token_type(found: &str) -> bool {
    const PREFIX: &str = "application/";
    let bare = match found.split_at_checked(PREFIX.len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) => rest,
        _ => found,
    };
    bare.eq_ignore_ascii_case("JWT") || bare.eq_ignore_ascii_case("at+jwt")
}
