use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;

use crate::access::StatusReference;
use crate::jose::json::{Object, Value};
use crate::jose::{ClaimError, ClaimsSet};

/// What a token says of its status.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reference {
    /// It is in this list.
    List(StatusReference),
    /// It is said in another way, which nothing here understands.
    OtherMechanism,
}

/// Reads the claim `status` (Token Status List §6): `None` if there is none.
pub(crate) fn reference_of(claims: &ClaimsSet<'_>) -> Result<Option<Reference>, ClaimError> {
    const STATUS: &str = "status";
    const LIST: &str = "status.status_list";
    let Some(status) = claims.value(STATUS) else { return Ok(None) };
    let wanted = "an object with at least one mechanism";
    let status = status.as_object().filter(|status| status.members().next().is_some());
    let status = status.ok_or_else(|| ClaimError::malformed(STATUS, wanted))?;
    let Some(list) = status.member("status_list") else {
        return Ok(Some(Reference::OtherMechanism));
    };
    let wanted = "an object with `idx`, a whole number from 0 to 2^53 - 1, and `uri`, a URI";
    let malformed = || ClaimError::malformed(LIST, wanted);
    let list = list.as_object().ok_or_else(malformed)?;
    let (index, uri) = index_of(&list).zip(uri_of(&list)).ok_or_else(malformed)?;
    let place = place_of(&uri);
    Ok(Some(Reference::List(StatusReference { uri, index, place })))
}

fn index_of(list: &Object<'_>) -> Option<u64> {
    /// Whole numbers above it are not the same to every reader (RFC 7493 §2.2).
    const LAST: u64 = (1 << 53) - 1;
    let digits = list.member("idx").and_then(Value::as_number)?;
    // Neither a sign nor a fraction nor an exponent.
    let whole = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|index| whole && *index <= LAST)
}

/// A URI with a scheme (RFC 3986 §3). Whether anything may be fetched from it is another question.
fn uri_of(list: &Object<'_>) -> Option<Box<str>> {
    let uri = list.member("uri").and_then(Value::as_str)?;
    let (scheme, rest) = uri.split_once(':')?;
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let is_scheme =
        scheme.bytes().all(letter) && scheme.starts_with(|c: char| c.is_ascii_alphabetic());
    (is_scheme && !rest.is_empty()).then(|| uri.into())
}

/// Where lists of this URI are looked for: another place in each process, which no issuer knows.
pub(super) fn place_of(uri: &str) -> u64 {
    static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    KEY.hash_one(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(payload: &str) -> Result<Option<Reference>, ClaimError> {
        reference_of(&ClaimsSet::parse(payload.as_bytes()).unwrap())
    }

    /// TSL-01.
    #[test]
    fn a_reference_is_an_index_and_a_uri() {
        for (idx, uri, index) in [
            ("0", "https://as.example/lists/1", 0),
            ("412", "https://as.example/lists/1?x=y", 412),
            ("9007199254740991", "urn:x", 9_007_199_254_740_991),
        ] {
            let payload =
                format!(r#"{{"status":{{"status_list":{{"idx":{idx},"uri":"{uri}"}}}}}}"#);
            let wanted = StatusReference { uri: uri.into(), index, place: place_of(uri) };
            assert_eq!(read(&payload), Ok(Some(Reference::List(wanted))), "{payload}");
        }
        let uri = r#""https://as.example/lists/1""#;
        for (idx, uri) in [
            ("-1", uri),
            ("-0", uri),
            ("1.5", uri),
            ("1.0", uri),
            ("1e3", uri),
            ("\"0\"", uri),
            ("null", uri),
            ("true", uri),
            ("9007199254740992", uri),
            ("9007199254740993", uri),
            ("18446744073709551616", uri),
            ("0", "\"\""),
            ("0", "\"/lists/1\""),
            ("0", "\"lists/1\""),
            ("0", "\"//as.example/lists/1\""),
            ("0", "\"1https://as.example\""),
            ("0", "\":x\""),
            ("0", "\"https:\""),
            ("0", "7"),
            ("0", "null"),
            ("0", "[\"https://as.example/lists/1\"]"),
        ] {
            let payload = format!(r#"{{"status":{{"status_list":{{"idx":{idx},"uri":{uri}}}}}}}"#);
            assert!(read(&payload).is_err(), "{payload}");
        }
        for status in [
            "null",
            "{}",
            "[]",
            "\"x\"",
            "0",
            r#"{"status_list":null}"#,
            r#"{"status_list":[]}"#,
            r#"{"status_list":{}}"#,
            r#"{"status_list":{"idx":0}}"#,
            r#"{"status_list":{"uri":"https://as.example/lists/1"}}"#,
        ] {
            assert!(read(&format!(r#"{{"status":{status}}}"#)).is_err(), "{status}");
        }
    }

    /// TSL-30.
    #[test]
    fn another_mechanism_is_told_from_none() {
        assert_eq!(read("{}"), Ok(None));
        assert_eq!(read(r#"{"status":{"foo":{}}}"#), Ok(Some(Reference::OtherMechanism)));
        let both = r#"{"status":{"foo":{},"status_list":{"idx":1,"uri":"https://as.example/1"}}}"#;
        assert!(matches!(read(both), Ok(Some(Reference::List(_)))));
    }
}
