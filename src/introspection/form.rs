use std::fmt;

use bytes::Bytes;
use form_urlencoded::byte_serialize;
use http::HeaderValue;

/// The body of a question: `application/x-www-form-urlencoded` (RFC 7662 §2.1, RFC 6749 Appendix B),
/// built in order.
///
/// Letters, digits and `*-._` stand as they are, a space is `+`, and every other octet is `%` and two
/// upper-case digits. It holds a token, and may hold a secret: it is not printed.
pub(crate) struct Form(String);

impl Form {
    /// The `Content-Type` of the body.
    pub(crate) const CONTENT_TYPE: HeaderValue =
        HeaderValue::from_static("application/x-www-form-urlencoded");

    pub(crate) fn new() -> Self {
        Self(String::new())
    }

    /// Adds a member at the end.
    pub(crate) fn push(&mut self, name: &str, value: impl AsRef<[u8]>) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.extend(byte_serialize(name.as_bytes()));
        self.0.push('=');
        self.0.extend(byte_serialize(value.as_ref()));
    }

    /// The body.
    pub(crate) fn into_bytes(self) -> Bytes {
        self.0.into()
    }
}

/// One value as a form has it.
pub(super) fn encoded(value: &[u8]) -> String {
    byte_serialize(value).collect()
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Form(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// INT-01: every octet that has another meaning in a form is escaped, and no other.
    #[test]
    fn each_octet_has_one_spelling() {
        for (value, wanted) in [
            // RFC 6749, Appendix B.
            (" %&+\u{a3}\u{20ac}", "+%25%26%2B%C2%A3%E2%82%AC"),
            ("+ / = ~ %", "%2B+%2F+%3D+%7E+%25"),
            ("azAZ09*-._", "azAZ09*-._"),
            ("\0\r\n\t", "%00%0D%0A%09"),
            ("a:b;c,d#e?f@g!h'i(j)k$l\"m", "a%3Ab%3Bc%2Cd%23e%3Ff%40g%21h%27i%28j%29k%24l%22m"),
            ("%2B", "%252B"),
            ("", ""),
        ] {
            assert_eq!(encoded(value.as_bytes()), wanted, "{value:?}");
        }
        assert_eq!(encoded(&[0xff, 0x80]), "%FF%80");
    }

    /// INT-01: members stand in the order in which they were added, names are escaped as values are.
    #[test]
    fn members_stand_in_order() {
        let mut form = Form::new();
        form.push("token", "a+/=~%.b-c_d");
        form.push("token_type_hint", "access_token");
        form.push("a&b=c", "");
        assert_eq!(format!("{form:?}"), "Form(..)");
        assert_eq!(
            form.into_bytes(),
            "token=a%2B%2F%3D%7E%25.b-c_d&token_type_hint=access_token&a%26b%3Dc="
        );
        assert_eq!(Form::new().into_bytes(), "");
    }
}
