//! JWS Compact Serialization (RFC 7515 §7.1), split and decoded.

use std::borrow::Cow;

use super::base64url;
use super::header::{Header, HeaderError};
use super::json::{JsonError, Object};

/// The longest encoded header, in characters. A header with `alg`, `typ`, `kid` needs 100; one
/// with a certificate chain, 6000.
pub const MAX_HEADER: usize = 8 * 1024;

/// Why text is not a compact JWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum CompactError {
    /// No dot at all: an opaque token.
    #[error("not a JWT: it has no dot")]
    Opaque,
    /// Five parts: JWE Compact Serialization (RFC 7516 §7.1).
    #[error("five parts: an encrypted token")]
    Encrypted,
    /// Another number of parts than three.
    #[error("not three parts separated by dots")]
    Parts,
    /// The payload is empty: detached content (RFC 7515, Appendix F).
    #[error("the payload is detached")]
    Detached,
    /// The signature is empty.
    #[error("the signature is empty")]
    Unsigned,
    /// The encoded header is empty or longer than [`MAX_HEADER`].
    #[error("the header is empty or longer than {MAX_HEADER} characters")]
    HeaderLength,
    /// A part is not canonical base64url.
    #[error("a part is not canonical base64url without padding")]
    Encoding,
}

/// A compact JWS, decoded but not verified.
#[derive(Clone)]
pub struct Compact<'a> {
    signing_input: &'a str,
    /// Header, payload and signature, one after the other.
    decoded: Vec<u8>,
    payload_at: usize,
    signature_at: usize,
}

impl<'a> Compact<'a> {
    /// Splits and decodes `text`.
    ///
    /// # Errors
    /// See [`CompactError`].
    pub fn parse(text: &'a str) -> Result<Self, CompactError> {
        let mut dots = memchr::memchr_iter(b'.', text.as_bytes());
        let (Some(first), Some(second)) = (dots.next(), dots.next()) else {
            let opaque = !text.contains('.');
            return Err(if opaque { CompactError::Opaque } else { CompactError::Parts });
        };
        // At most three more are looked for: a text of dots costs nothing.
        match dots.take(3).count() {
            0 => {}
            2 => return Err(CompactError::Encrypted),
            _ => return Err(CompactError::Parts),
        }
        // INVARIANT: dots are characters, and stand at these places.
        let between = |start, end| text.get(start..end).ok_or(CompactError::Parts);
        let signing_input = between(0, second)?;
        let header = between(0, first)?;
        let payload = between(first.saturating_add(1), second)?;
        let signature = between(second.saturating_add(1), text.len())?;
        if header.is_empty() || header.len() > MAX_HEADER {
            return Err(CompactError::HeaderLength);
        }
        if payload.is_empty() {
            return Err(CompactError::Detached);
        }
        if signature.is_empty() {
            return Err(CompactError::Unsigned);
        }
        let mut decoded = Vec::with_capacity(text.len());
        let mut end_of = |part: &str| {
            base64url::decode_onto(part, &mut decoded)
                .map(|()| decoded.len())
                .map_err(|_| CompactError::Encoding)
        };
        let payload_at = end_of(header)?;
        let signature_at = end_of(payload)?;
        end_of(signature)?;
        Ok(Self { signing_input, decoded, payload_at, signature_at })
    }

    /// The characters that were signed.
    #[must_use]
    pub fn signing_input(&self) -> &'a str {
        self.signing_input
    }

    /// The octets of the header.
    #[must_use]
    pub fn header_bytes(&self) -> &[u8] {
        self.decoded.get(..self.payload_at).unwrap_or_default()
    }

    /// The octets of the payload. Nobody has verified them yet.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.decoded.get(self.payload_at..self.signature_at).unwrap_or_default()
    }

    /// The octets of the signature.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        self.decoded.get(self.signature_at..).unwrap_or_default()
    }

    /// Reads the header.
    ///
    /// # Errors
    /// See [`HeaderError`].
    pub fn header(&self) -> Result<Header<'_>, HeaderError> {
        Header::parse(self.header_bytes())
    }

    /// `alg` as the header states it, for the log, once a header was refused for it.
    pub(crate) fn stated_algorithm(&self) -> Option<String> {
        let header = Object::parse(self.header_bytes()).ok()?;
        header.member("alg")?.as_str().map(Cow::into_owned)
    }

    /// Reads the payload as a JSON object. Nobody has verified it yet.
    ///
    /// # Errors
    /// See [`JsonError`].
    pub fn payload_object(&self) -> Result<Object<'_>, JsonError> {
        Object::parse(self.payload())
    }
}

impl std::fmt::Debug for Compact<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compact").finish_non_exhaustive()
    }
}
