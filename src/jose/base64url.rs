//! Strict base64url (RFC 4648 §5, RFC 7515 §2): no padding, no white space, and the unused bits
//! of the last character are zero, so that every octet string has exactly one spelling.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Half of a token's characters are those of its signature, and each of them is looked at: 32 at once,
/// where the processor can.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
static DECODER: std::sync::LazyLock<base64::engine::Simd> = std::sync::LazyLock::new(|| {
    base64::engine::Simd::url_safe(base64::engine::general_purpose::NO_PAD)
});
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
static DECODER: base64::engine::GeneralPurpose = URL_SAFE_NO_PAD;

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
    DECODER.decode(text).map_err(|_| Base64UrlError)
}

/// Encodes `bytes`.
#[must_use]
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Decodes `text` onto the end of `buffer`.
pub(crate) fn decode_onto(text: &str, buffer: &mut Vec<u8>) -> Result<(), Base64UrlError> {
    DECODER.decode_vec(text, buffer).map_err(|_| Base64UrlError)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// JWS-02, JWS-03: many characters at once are judged as one after the other: every octet at every place of
    /// a text that is long enough for it, and every length.
    #[test]
    fn many_characters_at_once_are_read_as_one_by_one() {
        let octets: Vec<u8> = (0..=255_u8).map(|octet| octet.wrapping_mul(167)).collect();
        let text = encode(&octets);
        let (mut good, mut refused) = (0, 0);
        let mut judge = |text: &[u8]| {
            let slow = URL_SAFE_NO_PAD.decode(text).ok();
            let mut onto = b"before".to_vec();
            let quick = std::str::from_utf8(text).ok().map(|text| decode_onto(text, &mut onto));
            assert_eq!(decode(text).ok(), slow, "{text:?}");
            if let Some(quick) = quick {
                assert_eq!(quick.is_ok(), slow.is_some(), "{text:?}");
            }
            match slow {
                Some(octets) => {
                    assert_eq!(onto.strip_prefix(b"before"), Some(&*octets));
                    good += 1;
                }
                None => refused += 1,
            }
        };
        // Under Miri each step takes a thousand times as long.
        let (lengths, places, octets) = if cfg!(miri) { (23, 47, 127) } else { (1, 1, 1) };
        for length in (0..=text.len()).step_by(lengths) {
            judge(&text.as_bytes()[..length]);
        }
        for length in [94, 95, 96, 97, 98, 99, 100, 130] {
            for place in (0..length).step_by(places) {
                for octet in (0..=255).step_by(octets) {
                    let mut text = text.as_bytes()[..length].to_vec();
                    text[place] = octet;
                    judge(&text);
                }
            }
        }
        let (least_good, least_refused) = if cfg!(miri) { (5, 50) } else { (10_000, 100_000) };
        assert!(good > least_good && refused > least_refused, "{good} {refused}");
    }
}
