//! Strict base64url (RFC 4648 §5, RFC 7515 §2): no padding, no white space, and the unused bits
//! of the last character are zero, so that every octet string has exactly one spelling.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Text that is not canonical, unpadded base64url.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not canonical base64url without padding")]
pub struct Base64UrlError;

/// Decodes `text`.
///
/// ```
/// use portcullis::jose::base64url::decode;
///
/// assert_eq!(decode("AQAB"), Ok(vec![1, 0, 1]));
/// assert!(decode("AQAB=").is_err());
/// assert_eq!(decode("_w"), Ok(vec![255]));
/// assert!(decode("_x").is_err(), "the same octet, spelled otherwise");
/// ```
///
/// # Errors
/// If `text` has padding, white space, a character of another alphabet, an impossible length or
/// non-zero unused bits.
pub fn decode(text: impl AsRef<[u8]>) -> Result<Vec<u8>, Base64UrlError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Base64UrlError)
}

/// Encodes `bytes`.
#[must_use]
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Decodes `text` onto the end of `buffer`.
pub(crate) fn decode_onto(text: &str, buffer: &mut Vec<u8>) -> Result<(), Base64UrlError> {
    URL_SAFE_NO_PAD.decode_vec(text, buffer).map_err(|_| Base64UrlError)
}
