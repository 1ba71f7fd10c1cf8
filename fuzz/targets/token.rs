//! What a request presents, and the compact form of a token.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use portcullis::credentials::{Credentials, CredentialsError, MAX_TOKEN};
use portcullis::jose::MAX_HEADER;
use portcullis::jose::{Compact, CompactError, base64url};

/// `Bearer`, spaces, a token68, and nothing else is read.
pub fn credentials(data: &[u8]) {
    for max_token in [MAX_TOKEN, 8] {
        let read = Credentials::parse(data, max_token).map(|credentials| credentials.token());
        assert_eq!(read.ok(), bearer_token(data).filter(|token| token.len() <= max_token));
        if let Ok(value) = HeaderValue::from_bytes(data) {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.clone());
            let one = Credentials::read(&headers, max_token).map(|credentials| credentials.token());
            assert_eq!(one, read);
            headers.append(AUTHORIZATION, value);
            let two = Credentials::read(&headers, max_token);
            assert_eq!(two.unwrap_err(), CredentialsError::Several);
        }
    }
}

fn bearer_token(field: &[u8]) -> Option<&str> {
    let field = std::str::from_utf8(field).ok()?;
    let (scheme, rest) = field.split_at_checked("Bearer".len())?;
    let token = rest.strip_prefix(' ')?.trim_start_matches(' ');
    let body = token.trim_end_matches('=');
    let legal = |c: char| c.is_ascii_alphanumeric() || "-._~+/".contains(c);
    (scheme.eq_ignore_ascii_case("bearer") && !body.is_empty() && body.chars().all(legal))
        .then_some(token)
}

/// Three parts, none of them empty, each canonical base64url.
pub fn compact(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let parts: Vec<&str> = text.split('.').collect();
    match Compact::parse(text) {
        Ok(jws) => {
            assert_eq!(parts.len(), 3);
            assert!(parts[0].len() <= MAX_HEADER);
            let decoded = [jws.header_bytes(), jws.payload(), jws.signature()];
            for (part, octets) in parts.iter().zip(decoded) {
                assert_eq!(base64_octets(part).as_deref(), Some(octets));
                assert_eq!(base64url::encode(octets), *part);
            }
            assert_eq!(format!("{}.{}", jws.signing_input(), parts[2]), text);
            let _ = jws.header();
            let _ = jws.payload_object();
        }
        Err(error) => {
            let good = |part: &&str| !part.is_empty() && base64_octets(part).is_some();
            let fits = parts[0].len() <= MAX_HEADER;
            assert!(!(parts.len() == 3 && fits && parts.iter().all(good)), "{error}");
            assert_eq!(error == CompactError::Opaque, parts.len() == 1);
            assert_eq!(error == CompactError::Encrypted, parts.len() == 5);
        }
    }
}

/// The octets that this part is the only spelling of.
pub(super) fn base64_octets(part: &str) -> Option<Vec<u8>> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (mut octets, mut held, mut bits) = (Vec::new(), 0_usize, 0_u32);
    for c in part.chars() {
        held = (held << 6) | ALPHABET.find(c)?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            octets.push(u8::try_from(held >> bits).unwrap());
            held &= (1 << bits) - 1;
        }
    }
    (bits < 6 && held == 0).then_some(octets)
}
