//! The challenge reader of the test kit.

use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderValue};
use portcullis::testing::challenges;

/// Challenges that are written in any spelling of RFC 9110 are read as they were meant.
pub fn challenge(data: &[u8]) {
    let mut data = Octets(data);
    let (mut headers, mut meant) = (HeaderMap::new(), Vec::new());
    while !data.0.is_empty() && meant.len() < 16 {
        let mut line = String::new();
        for _ in 0..=data.below(3) {
            line.push_str(data.pick(&["", ",", " , ,\t"]));
            if !line.is_empty() && !line.trim_end().ends_with(',') {
                line.push(',');
            }
            let scheme = data.token("S");
            let mut params: Vec<(String, String)> = Vec::new();
            line.push_str(data.pick(&["", " "]));
            line.push_str(&scheme);
            for index in 0..data.below(4) {
                // one name once
                let name = format!("{}{index}", data.token("p"));
                let value = data.value();
                line.push_str(if index == 0 {
                    data.pick(&[" ", "  "])
                } else {
                    data.pick(&[",", ", ", " ,,"])
                });
                let (before, after) = (data.pick(&["", " "]), data.pick(&["", "\t"]));
                line.push_str(&format!("{name}{before}={after}{}", data.spelled(&value)));
                params.push((name.to_ascii_lowercase(), value));
            }
            line.push_str(data.pick(&["", " "]));
            meant.push((scheme, params));
        }
        headers.append(WWW_AUTHENTICATE, HeaderValue::try_from(line).unwrap());
    }
    let read: Vec<_> = challenges(&headers)
        .into_iter()
        .map(|challenge| (challenge.scheme, challenge.params))
        .collect();
    assert_eq!(read, meant, "{headers:?}");
}

/// Choices by octets; zeros at the end.
struct Octets<'a>(&'a [u8]);

impl Octets<'_> {
    fn next(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn below(&mut self, bound: u8) -> u8 {
        self.next() % bound
    }

    fn pick(&mut self, from: &[&'static str]) -> &'static str {
        from[usize::from(self.next()) % from.len()]
    }

    fn token(&mut self, start: &str) -> String {
        const TCHARS: &[u8] = b"abXY09!#$%&'*+-.^_`|~";
        let length = self.below(5);
        let mut token = start.to_owned();
        for _ in 0..length {
            token.push(char::from(TCHARS[usize::from(self.next()) % TCHARS.len()]));
        }
        token
    }

    fn value(&mut self) -> String {
        let length = self.below(8);
        (0..length).map(|_| char::from(b' ' + self.below(95))).collect()
    }

    /// As a token where it is one, or quoted, with more escapes than needed.
    fn spelled(&mut self, value: &str) -> String {
        let is_tchar = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if !value.is_empty() && value.chars().all(is_tchar) && self.below(2) == 0 {
            return value.to_owned();
        }
        let mut quoted = String::from("\"");
        for c in value.chars() {
            if matches!(c, '"' | '\\') || self.below(4) == 0 {
                quoted.push('\\');
            }
            quoted.push(c);
        }
        quoted + "\""
    }
}
