//! The claims of a JWT (RFC 7519 §4), each of its own type. A claim of another type is an error,
//! never an absent claim.

use std::borrow::Cow;

use super::json::{JsonError, Object, Value};
use crate::name::{is_scope, is_scope_token};
use crate::time::Timestamp;

/// Why a claim cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// A required claim is absent.
    #[error("claim `{0}` is absent")]
    Missing(String),
    /// A claim has the wrong type or an impossible value.
    #[error("claim `{name}` is not {wanted}")]
    Malformed {
        /// The claim.
        name: String,
        /// What it has to be.
        wanted: &'static str,
    },
}

impl ClaimError {
    pub(crate) fn malformed(name: &str, wanted: &'static str) -> Self {
        Self::Malformed { name: name.to_owned(), wanted }
    }
}

/// A JWT Claims Set (RFC 7519 §4): a checked JSON object.
#[derive(Clone, Debug)]
pub struct ClaimsSet<'a>(Object<'a>);

/// How a scope claim is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub(crate) enum ScopeForm {
    /// One string of scope tokens separated by spaces (RFC 8693 §4.2).
    Text,
    /// That, or an array with one scope token in each element, as some issuers write it.
    TextOrArray,
}

impl<'a> ClaimsSet<'a> {
    /// Reads a payload.
    ///
    /// # Errors
    /// If it is not a JSON object as [`super::json`] wants it.
    pub fn parse(payload: &'a [u8]) -> Result<Self, JsonError> {
        Object::parse(payload).map(Self)
    }

    /// Reads a payload that was read before.
    pub(crate) fn checked(payload: &'a [u8]) -> Result<Self, JsonError> {
        Object::parse_checked(payload).map(Self)
    }

    /// Whether the claim is there, whatever its value.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.has(name)
    }

    /// The claim as JSON, if there.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<Value<'a>> {
        self.0.member(name)
    }

    /// A claim that is a string.
    ///
    /// # Errors
    /// If it is there and is empty or not a string.
    pub fn text(&self, name: &str) -> Result<Option<Cow<'a, str>>, ClaimError> {
        let Some(value) = self.0.member(name) else {
            return Ok(None);
        };
        match value.as_str() {
            Some(text) if !text.is_empty() => Ok(Some(text)),
            _ => Err(ClaimError::malformed(name, "a string that is not empty")),
        }
    }

    /// A claim that is a NumericDate (RFC 7519 §2).
    ///
    /// # Errors
    /// If it is there and is not a number between 0 and [`Timestamp::MAX_SECONDS`].
    pub fn time(&self, name: &str) -> Result<Option<Timestamp>, ClaimError> {
        const WANTED: &str = "a NumericDate between the years 1970 and 9999";
        let Some(value) = self.0.member(name) else {
            return Ok(None);
        };
        // Most issuers write whole seconds. JSON has no other digits than a number of Rust.
        let whole = |text: &str| text.parse().ok().filter(|at| *at <= Timestamp::MAX_SECONDS);
        let time = value.as_number().and_then(|text| match whole(text) {
            Some(seconds) => Some(Timestamp::from_secs(seconds)),
            None => Timestamp::from_json_number(text),
        });
        time.map(Some).ok_or_else(|| ClaimError::malformed(name, WANTED))
    }

    /// The audiences (RFC 7519 §4.1.3): a string, or an array of strings.
    ///
    /// # Errors
    /// If the claim is there and is anything else, or an empty array.
    pub fn audiences(&self) -> Result<Option<Vec<Cow<'a, str>>>, ClaimError> {
        self.texts("aud")
    }

    /// A claim that is a string or an array of strings.
    pub(crate) fn texts(&self, name: &str) -> Result<Option<Vec<Cow<'a, str>>>, ClaimError> {
        self.texts_as(name, |text| text)
    }

    /// The same, each text made into something else.
    pub(crate) fn texts_as<T>(
        &self,
        name: &str,
        make: impl Fn(Cow<'a, str>) -> T,
    ) -> Result<Option<Vec<T>>, ClaimError> {
        let Some(value) = self.0.member(name) else {
            return Ok(None);
        };
        let texts = match value.as_array() {
            Some(elements) => {
                elements.into_iter().map(|element| element.as_str().map(&make)).collect()
            }
            None => value.as_str().map(|text| vec![make(text)]),
        };
        let texts = texts.filter(|texts: &Vec<T>| !texts.is_empty());
        texts.map(Some).ok_or_else(|| {
            ClaimError::malformed(name, "a string or an array of strings that is not empty")
        })
    }

    /// The scope (RFC 8693 §4.2): scope tokens separated by spaces. An absent claim is an empty
    /// scope.
    ///
    /// # Errors
    /// If the claim is there and is not a string, or has a character that RFC 6749 §3.3 does not
    /// allow.
    pub fn scope(&self) -> Result<Cow<'a, str>, ClaimError> {
        self.scope_in("scope", ScopeForm::Text).map(Option::unwrap_or_default)
    }

    /// The scope as another claim has it, or another form; `None` if the claim is absent. An array
    /// comes out as one string.
    ///
    /// # Errors
    /// If the claim is there and is not of this form, or has a character that RFC 6749 §3.3 does
    /// not allow.
    pub(crate) fn scope_in(
        &self,
        name: &str,
        form: ScopeForm,
    ) -> Result<Option<Cow<'a, str>>, ClaimError> {
        let error = || ClaimError::malformed(name, "a string of scope tokens separated by spaces");
        let Some(value) = self.0.member(name) else {
            return Ok(None);
        };
        if let (ScopeForm::TextOrArray, Some(elements)) = (form, value.as_array()) {
            let mut scope = String::new();
            for element in elements {
                // A space inside an element would make two scopes of one.
                let token = element.as_str().filter(|token| is_scope_token(token.as_bytes()));
                let token = token.ok_or_else(error)?;
                if !scope.is_empty() {
                    scope.push(' ');
                }
                scope.push_str(&token);
            }
            return Ok(Some(Cow::Owned(scope)));
        }
        let scope = value.as_str().ok_or_else(error)?;
        if is_scope(scope.as_bytes()) { Ok(Some(scope)) } else { Err(error()) }
    }
}

/// The claim, or [`ClaimError::Missing`].
pub(crate) fn required<T>(
    name: &str,
    claim: Result<Option<T>, ClaimError>,
) -> Result<T, ClaimError> {
    claim?.ok_or_else(|| ClaimError::Missing(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// JWS-43: whole seconds, which are read in a shorter way, and every other number that JSON has.
    #[test]
    fn a_time_is_what_its_number_says_however_it_is_written() {
        let (mut good, mut refused) = (0, 0);
        for text in [
            "0",
            "1",
            "1700000000",
            "253402300799",
            "253402300800",
            "18446744073709551615",
            "18446744073709551616",
            "99999999999999999999999999",
            "-0",
            "-1",
            "1700000000.5",
            "1.7e9",
            "17E+8",
            "253402300799.000000001",
            "1e400",
            "0e9",
        ] {
            let payload = format!("{{\"exp\":{text}}}");
            let claims = ClaimsSet::parse(payload.as_bytes()).unwrap();
            assert_eq!(
                claims.time("exp").ok().flatten(),
                Timestamp::from_json_number(text),
                "{text}"
            );
            if claims.time("exp").is_ok() { good += 1 } else { refused += 1 }
        }
        assert_eq!((good, refused), (8, 8));
    }

    /// SCOPE-01: every character that RFC 6749 §3.3 does not allow is refused, wherever it stands.
    #[test]
    fn a_scope_has_the_characters_of_scopes_and_spaces() {
        for byte in (0..=127_u8).step_by(if cfg!(miri) { 31 } else { 1 }) {
            for form in ["{}", "{}b", "a{}", "a{}b", "a b{} c"] {
                let scope = form.replace("{}", &char::from(byte).to_string());
                let payload = serde_json::json!({ "scope": scope }).to_string();
                let claims = ClaimsSet::parse(payload.as_bytes()).unwrap();
                let tokens = scope.split(' ').filter(|token| !token.is_empty());
                let legal = tokens.map(str::as_bytes).all(is_scope_token);
                assert_eq!(claims.scope().is_ok(), legal, "{scope:?}");
                assert_eq!(legal, (0x20..0x7f).contains(&byte) && !b"\"\\".contains(&byte));
            }
        }
    }
}
