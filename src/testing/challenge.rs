use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

/// A challenge as a client reads it (RFC 9110 §11.6.1).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Challenge {
    /// The authentication scheme, as it was written.
    pub scheme: String,
    /// The auth-params, names in lower case, in order.
    pub params: Vec<(String, String)>,
}

impl Challenge {
    /// The value of this auth-param; names are compared without case.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        let wanted = name.to_ascii_lowercase();
        self.params.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str())
    }
}

/// Every challenge of a response, over all its `WWW-Authenticate` fields, in order.
///
/// # Panics
/// If a field is not a list of challenges, or an auth-param occurs twice in one.
#[must_use]
pub fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    let mut all = Vec::new();
    for field in headers.get_all(WWW_AUTHENTICATE) {
        let text = field.to_str().expect("visible ASCII");
        all.extend(parse(text).unwrap_or_else(|| panic!("not a list of challenges: {text}")));
    }
    for challenge in &all {
        for (index, (name, _)) in challenge.params.iter().enumerate() {
            let twice = challenge.params.iter().take(index).any(|(other, _)| other == name);
            assert!(!twice, "auth-param {name} occurs twice: {challenge:?}");
        }
    }
    all
}

fn parse(text: &str) -> Option<Vec<Challenge>> {
    let mut challenges: Vec<Challenge> = Vec::new();
    let mut reader = Reader(text);
    loop {
        reader.skip(" \t,");
        if reader.0.is_empty() {
            return Some(challenges);
        }
        let word = reader.token()?;
        let spaced = reader.skip(" \t");
        if let Some(value) = reader.value_after_equals() {
            // A name: a parameter of the challenge before.
            challenges.last_mut()?.params.push((word.to_ascii_lowercase(), value?));
        } else {
            let mut challenge = Challenge { scheme: word.to_owned(), params: Vec::new() };
            if spaced && !reader.0.is_empty() && !reader.0.starts_with(',') {
                let name = reader.token()?;
                reader.skip(" \t");
                let value = reader.value_after_equals()??;
                challenge.params.push((name.to_ascii_lowercase(), value));
            }
            challenges.push(challenge);
        }
        reader.skip(" \t");
        if !reader.0.is_empty() && !reader.0.starts_with(',') {
            return None;
        }
    }
}

struct Reader<'a>(&'a str);

impl<'a> Reader<'a> {
    fn skip(&mut self, characters: &str) -> bool {
        let rest = self.0.trim_start_matches(|c| characters.contains(c));
        let skipped = rest.len() < self.0.len();
        self.0 = rest;
        skipped
    }

    fn token(&mut self) -> Option<&'a str> {
        let is_tchar = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let end = self.0.find(|c| !is_tchar(c)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        (!token.is_empty()).then_some(token)
    }

    /// `None` if no `=` follows; else the value, if it is one.
    fn value_after_equals(&mut self) -> Option<Option<String>> {
        self.0 = self.0.strip_prefix('=')?;
        self.skip(" \t");
        Some(match self.0.strip_prefix('"') {
            Some(rest) => {
                self.0 = rest;
                self.quoted()
            }
            None => self.token().map(str::to_owned),
        })
    }

    fn quoted(&mut self) -> Option<String> {
        let mut value = String::new();
        let mut characters = self.0.char_indices();
        while let Some((at, c)) = characters.next() {
            match c {
                '"' => {
                    self.0 = self.0.get(at + 1..)?;
                    return Some(value);
                }
                '\\' => value.push(characters.next()?.1),
                _ => value.push(c),
            }
        }
        None
    }
}

/// Asserts the status of a response and its one challenge of a scheme.
///
/// After the scheme: auth-params that have to have these values, then those that must not be
/// there.
///
/// ```
/// use portcullis::assert_challenge;
///
/// let response = http::Response::builder()
///     .status(403)
///     .header("www-authenticate", r#"Bearer realm="x", error="insufficient_scope", scope="a""#)
///     .body(())?;
/// assert_challenge!(response, 403, "Bearer", error = "insufficient_scope", scope = "a", !acr_values);
/// # Ok::<(), http::Error>(())
/// ```
#[macro_export]
macro_rules! assert_challenge {
    (
        $response:expr, $status:expr, $scheme:expr
        $(, $name:ident = $value:expr)* $(, !$absent:ident)* $(,)?
    ) => {{
        let response = &$response;
        let challenges = $crate::testing::challenges(response.headers());
        assert_eq!(response.status().as_u16(), $status, "status; challenges {challenges:?}");
        let of_scheme: Vec<_> = challenges
            .iter()
            .filter(|challenge| challenge.scheme.eq_ignore_ascii_case($scheme))
            .collect();
        assert_eq!(of_scheme.len(), 1, "one challenge of {}: {challenges:?}", $scheme);
        // RFC 9449 §9: who is told to use a nonce gets one, and nobody gets two (§8).
        let nonces = response.headers().get_all("dpop-nonce").iter().count();
        assert!(nonces <= 1, "{nonces} nonces");
        for challenge in of_scheme {
            if challenge.param("error") == Some("use_dpop_nonce") {
                assert_eq!(nonces, 1, "no nonce to use: {challenge:?}");
            }
            assert!(!challenge.params.is_empty(), "a challenge without auth-param");
            $(assert_eq!(
                challenge.param(stringify!($name)),
                Some($value),
                "{}; {challenge:?}",
                stringify!($name),
            );)*
            $(assert_eq!(
                challenge.param(stringify!($absent)),
                None,
                "{}; {challenge:?}",
                stringify!($absent),
            );)*
        }
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_challenges_are_read_as_rfc_9110_has_them() {
        let read = |text: &str| {
            parse(text).map(|challenges| {
                challenges
                    .into_iter()
                    .map(|challenge| (challenge.scheme, challenge.params))
                    .collect::<Vec<_>>()
            })
        };
        let one = |scheme: &str, params: &[(&str, &str)]| {
            let params = params.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
            (scheme.to_owned(), params)
        };
        for (text, expected) in [
            ("Bearer", Some(vec![one("Bearer", &[])])),
            ("Bearer max_age=5", Some(vec![one("Bearer", &[("max_age", "5")])])),
            ("Bearer max_age=\"5\"", Some(vec![one("Bearer", &[("max_age", "5")])])),
            (
                "Bearer Realm = \"a\\\"b\" , x=1, , DPoP algs=\"ES256 EdDSA\"",
                Some(vec![
                    one("Bearer", &[("realm", "a\"b"), ("x", "1")]),
                    one("DPoP", &[("algs", "ES256 EdDSA")]),
                ]),
            ),
            ("Bearer, DPoP", Some(vec![one("Bearer", &[]), one("DPoP", &[])])),
            (", ,", Some(vec![])),
            ("Bearer realm=\"x", None),
            ("Bearer realm=\"x\" scope=\"y\"", None),
            ("realm=\"x\"", None),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }
}
