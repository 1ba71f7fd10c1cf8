//! Envoy's `X-Forwarded-Client-Cert` (XFCC), as its documentation of HTTP header manipulation has it.

use std::borrow::Cow;

use super::escaped_pem::{certificate, certificates};
use super::{ForwardedError, MAX_CHAIN, bounded};
use crate::certificate::Certificate;

/// The longest field, all its lines together, in octets: what common servers allow the whole head of
/// a request to have.
pub const MAX_XFCC: usize = 64 * 1024;

/// The most elements. Each is of one proxy.
const MAX_ELEMENTS: usize = 32;

/// The most pairs of an element. A certificate of Let's Encrypt has 100 names at most.
const MAX_PAIRS: usize = 128;

/// One element of `X-Forwarded-Client-Cert`: what one proxy says of whoever connected to it. Values
/// are as they were written, less quotes and the escapes of quotes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct XfccElement<'a> {
    /// `By`: the names of the proxy.
    pub by: Vec<Cow<'a, str>>,
    /// `Hash`: the SHA-256 of the certificate's DER.
    pub hash: Option<[u8; 32]>,
    /// `Cert`: the certificate as percent-encoded PEM.
    pub cert: Option<Cow<'a, str>>,
    /// `Chain`: the certificate and its chain as percent-encoded PEM.
    pub chain: Option<Cow<'a, str>>,
    /// `Subject`: its subject.
    pub subject: Option<Cow<'a, str>>,
    /// `URI`: its subject alternative names that are URIs.
    pub uri: Vec<Cow<'a, str>>,
    /// `DNS`: its subject alternative names that are DNS names.
    pub dns: Vec<Cow<'a, str>>,
}

/// Reads the lines of `X-Forwarded-Client-Cert`, which are one list in their order. None, and one
/// without a value, are no elements. Nobody has said that whoever wrote them may be believed: proxies
/// append theirs at the end, and what stands in front may be a client's invention.
///
/// Pairs with other keys are ignored, as long as they are pairs.
///
/// ```
/// use portcullis::sender::{ForwardedError, parse_xfcc};
///
/// let elements = parse_xfcc([br#"By=a;Subject="O=\"b\", c",By=d;URI=e"#.as_slice()])?;
/// assert_eq!(elements.len(), 2);
/// assert_eq!(elements[0].subject.as_deref(), Some(r#"O="b", c"#));
/// assert_eq!(parse_xfcc([br#"Subject="a"#.as_slice()]), Err(ForwardedError::BadQuote));
/// # Ok::<(), ForwardedError>(())
/// ```
///
/// # Errors
/// Pairs that are none, quotes where no value begins or ends, a quote after an even number of
/// backslashes (which ends a value by RFC 4514 §2.4, and does not by Envoy's documentation), `Hash`,
/// `Cert`, `Chain` or `Subject` twice in an element, a `Hash` that is not 64 hexadecimal digits, more
/// than 32 elements, 128 pairs in one, or [`MAX_XFCC`] octets.
pub fn parse_xfcc<'a>(
    lines: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<XfccElement<'a>>, ForwardedError> {
    let lines = bounded(lines, MAX_XFCC)?;
    let mut elements = Vec::new();
    if let [[]] = lines.as_slice() {
        return Ok(elements);
    }
    for line in lines {
        let mut rest = std::str::from_utf8(line).map_err(|_| ForwardedError::NotPairs)?;
        loop {
            if elements.len() == MAX_ELEMENTS {
                return Err(ForwardedError::TooManyElements);
            }
            let (element, behind) = parse_element(rest)?;
            elements.push(element);
            match behind {
                Some(behind) => rest = behind,
                None => break,
            }
        }
    }
    Ok(elements)
}

impl XfccElement<'_> {
    /// The certificate: of `Cert`, with the chain of `Chain` if that is there, or with nothing but its
    /// `Hash`. `None` if there is neither `Hash` nor `Cert`.
    ///
    /// # Errors
    /// If `Cert` is not the percent-encoded PEM of one certificate or `Chain` that of 11 at most, or
    /// if `Hash`, `Cert` and the first of `Chain` are not of one certificate.
    pub fn certificate(&self) -> Result<Option<Certificate>, ForwardedError> {
        if self.hash.is_none() && self.cert.is_none() {
            return Ok(None);
        }
        let leaf = self.cert.as_ref().map(|cert| certificate(cert.as_bytes())).transpose()?;
        let chain = match &self.chain {
            None => Vec::new(),
            Some(chain) => match certificates(chain.as_bytes(), MAX_CHAIN.saturating_add(1))? {
                chain if chain.is_empty() => return Err(ForwardedError::NotPem),
                chain => chain,
            },
        };
        let mut chain = chain.into_iter();
        let agreed = match (leaf, chain.next()) {
            (Some(leaf), Some(first)) if leaf != first => return Err(ForwardedError::Disagreement),
            (leaf, first) => leaf.or(first),
        };
        let certificate = match (agreed, self.hash) {
            (Some(der), _) => Certificate::with_chain(der, chain.collect()),
            (None, Some(hash)) => Certificate::from_sha256(hash),
            (None, None) => return Ok(None),
        };
        match self.hash.is_none_or(|hash| hash == *certificate.sha256()) {
            true => Ok(Some(certificate)),
            false => Err(ForwardedError::Disagreement),
        }
    }
}

/// The first element of a list, and what is behind the comma after it, if there is one.
fn parse_element(text: &str) -> Result<(XfccElement<'_>, Option<&str>), ForwardedError> {
    let mut element = XfccElement::default();
    // A proxy that joins lines puts a space behind the comma (RFC 9110 §5.3).
    let mut rest = text.trim_start_matches(SPACES);
    for _ in 0..MAX_PAIRS {
        let (key, behind) = rest.split_once('=').ok_or(ForwardedError::NotPairs)?;
        if key.is_empty() || !key.bytes().all(is_key_octet) {
            return Err(ForwardedError::NotPairs);
        }
        let (value, behind) = parse_value(behind)?;
        put(&mut element, key, value)?;
        match behind.chars().next() {
            None => return Ok((element, None)),
            Some(',') => return Ok((element, behind.get(1..))),
            _ => rest = behind.get(1..).ok_or(ForwardedError::NotPairs)?,
        }
    }
    Err(ForwardedError::TooManyElements)
}

/// White space that may stand around an element.
const SPACES: [char; 2] = [' ', '\t'];

/// Every key that there is has letters alone; others may come.
fn is_key_octet(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.')
}

/// A value, and the rest from the `;` or `,` on that ends it.
fn parse_value(text: &str) -> Result<(Cow<'_, str>, &str), ForwardedError> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',']).unwrap_or(text.len());
        let (value, behind) = text.split_at_checked(end).ok_or(ForwardedError::NotPairs)?;
        if value.contains('"') {
            return Err(ForwardedError::BadQuote);
        }
        let value = if behind.starts_with(';') { value } else { value.trim_end_matches(SPACES) };
        return Ok((value.into(), behind));
    };
    let mut backslashes = 0_usize;
    for (at, octet) in quoted.bytes().enumerate() {
        match octet {
            b'\\' => backslashes = backslashes.saturating_add(1),
            b'"' if backslashes == 0 => return end_quoted(quoted, at),
            b'"' if backslashes.is_multiple_of(2) => return Err(ForwardedError::BadQuote),
            _ => backslashes = 0,
        }
    }
    Err(ForwardedError::BadQuote)
}

/// The value in front of the quote at `at`, and what is behind that quote.
fn end_quoted(quoted: &str, at: usize) -> Result<(Cow<'_, str>, &str), ForwardedError> {
    let (value, behind) = quoted.split_at_checked(at).ok_or(ForwardedError::BadQuote)?;
    let behind = behind.get(1..).ok_or(ForwardedError::BadQuote)?;
    let value = match value.contains('"') {
        true => value.replace("\\\"", "\"").into(),
        false => value.into(),
    };
    if behind.starts_with(';') {
        return Ok((value, behind));
    }
    let behind = behind.trim_start_matches(SPACES);
    match behind.is_empty() || behind.starts_with(',') {
        true => Ok((value, behind)),
        false => Err(ForwardedError::BadQuote),
    }
}

/// Adds a pair to its element.
fn put<'a>(
    element: &mut XfccElement<'a>,
    key: &str,
    value: Cow<'a, str>,
) -> Result<(), ForwardedError> {
    let is = |name: &str| key.eq_ignore_ascii_case(name);
    if is("By") {
        element.by.push(value);
    } else if is("URI") {
        element.uri.push(value);
    } else if is("DNS") {
        element.dns.push(value);
    } else if is("Hash") {
        once(&mut element.hash, sha256(&value).ok_or(ForwardedError::NotSha256)?)?;
    } else if is("Cert") {
        once(&mut element.cert, value)?;
    } else if is("Chain") {
        once(&mut element.chain, value)?;
    } else if is("Subject") {
        once(&mut element.subject, value)?;
    }
    Ok(())
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), ForwardedError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(ForwardedError::RepeatedKey),
    }
}

/// 64 hexadecimal digits, of either case.
fn sha256(text: &str) -> Option<[u8; 32]> {
    let mut digits = text.chars().map(|digit| digit.to_digit(16));
    let mut digest = [0_u8; 32];
    for octet in &mut digest {
        let (high, low) = (digits.next()??, digits.next()??);
        *octet = u8::try_from(high.checked_mul(16)?.checked_add(low)?).ok()?;
    }
    digits.next().is_none().then_some(digest)
}
