//! Percent-encoded PEM (RFC 7468 §5), as nginx writes `$ssl_client_escaped_cert`.

use percent_encoding::percent_decode;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::{ForwardedError, single};
use crate::certificate::Certificate;

/// The longest field, in octets. The PEM of a certificate of RSA 4096 has 3 KiB, one of ML-DSA-87
/// that is signed with it 10 KiB; percent-encoding adds a tenth.
pub const MAX_ESCAPED_PEM: usize = 16 * 1024;

/// Reads the lines of a field that holds the percent-encoded PEM of one certificate. A field without
/// a value is no certificate: nginx writes that where the client had none. Nobody has said that
/// whoever wrote it may be believed.
///
/// A `+` is a plus, percent-encoded or not. White space is always percent-encoded, so that the folded
/// `$ssl_client_cert` of nginx, which is deprecated, is malformed.
///
/// ```
/// use portcullis::sender::{ForwardedError, parse_escaped_pem};
///
/// let pem = "-----BEGIN%20CERTIFICATE-----%0A+%2bID%0A-----END%20CERTIFICATE-----%0A";
/// let certificate = parse_escaped_pem([pem.as_bytes()])?;
/// assert_eq!(
///     certificate.as_ref().and_then(|certificate| certificate.der()),
///     Some([0xfb, 0xe2, 0x03].as_slice()),
/// );
/// assert_eq!(parse_escaped_pem([b"".as_slice()]), Ok(None));
/// assert_eq!(parse_escaped_pem([b"-".as_slice()]), Err(ForwardedError::NotPem));
/// # Ok::<(), ForwardedError>(())
/// ```
///
/// # Errors
/// [`Several`](ForwardedError::Several) lines, more than [`MAX_ESCAPED_PEM`] octets, or anything but
/// the PEM of one certificate: text around it, a second one, another label, no octets.
pub fn parse_escaped_pem<'a>(
    lines: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Option<Certificate>, ForwardedError> {
    match single(lines, MAX_ESCAPED_PEM)? {
        None | Some([]) => Ok(None),
        Some(line) => certificate(line).map(|der| Some(Certificate::from_der(der))),
    }
}

/// The DER of the one certificate of a percent-encoded PEM.
pub(super) fn certificate(escaped: &[u8]) -> Result<Box<[u8]>, ForwardedError> {
    certificates(escaped, 1)?.pop().ok_or(ForwardedError::NotPem)
}

/// The DER of each certificate of a percent-encoded PEM, at most so many.
pub(super) fn certificates(escaped: &[u8], most: usize) -> Result<Vec<Box<[u8]>>, ForwardedError> {
    if !escaped.iter().all(u8::is_ascii_graphic) {
        return Err(ForwardedError::NotPem);
    }
    let decoded: Vec<u8> = percent_decode(escaped).collect();
    let mut rest = decoded.as_slice();
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (section, behind) = split_section(rest).ok_or(ForwardedError::NotPem)?;
        if found.len() == most {
            return Err(ForwardedError::TooManyCertificates);
        }
        let der = CertificateDer::from_pem_slice(section).map_err(|_| ForwardedError::NotPem)?;
        if der.is_empty() {
            return Err(ForwardedError::EmptyCertificate);
        }
        found.push(der.as_ref().into());
        rest = behind;
    }
    Ok(found)
}

/// The certificate at the start of a text, and what is behind it. The parser of PEM skips whatever it
/// does not know, so that here is where it is found to be the only thing there.
fn split_section(text: &[u8]) -> Option<(&[u8], &[u8])> {
    const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
    const END: &[u8] = b"-----END CERTIFICATE-----";
    let body = text.strip_prefix(BEGIN)?;
    let length = body.iter().position(|octet| *octet == b'-')?;
    let (body, rest) = body.split_at_checked(length)?;
    let legal = |octet: &u8| octet.is_ascii_alphanumeric() || b"+/=\r\n".contains(octet);
    if !body.iter().all(legal) {
        return None;
    }
    let behind = rest.strip_prefix(END)?;
    let section = text.get(..text.len().checked_sub(behind.len())?)?;
    let line_ends = behind.iter().take_while(|octet| matches!(octet, b'\r' | b'\n')).count();
    // Two markers on one line are no PEM.
    (behind.is_empty() || line_ends > 0).then_some((section, behind.get(line_ends..)?))
}
