//! What goes forth and back when events are fetched (RFC 8936 §2). Pure.

use serde_json::{Map, json};

use super::error::SetError;
use super::outbound::Wording;
use crate::jose::json::{Object, Value};

/// What the transmitter has to be told of what it gave.
#[derive(Clone, Debug, Default)]
pub(super) struct Pending {
    /// Stored.
    pub(super) ack: Vec<String>,
    /// Bad, and why.
    pub(super) errors: Vec<(String, SetError)>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// What there is, at most so many.
    Now(usize),
    /// The same, as soon as there is something.
    Soon(usize),
    /// Nothing: something is told only.
    Nothing,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.ack.is_empty() && self.errors.is_empty()
    }

    /// RFC 8936 §2.3: errors are told in a language.
    pub(super) fn wording(&self) -> Wording {
        if self.errors.is_empty() { Wording::None } else { Wording::English }
    }

    /// RFC 8936 §2.2.
    pub(super) fn request(&self, wanted: Wanted) -> String {
        let (most, at_once) = match wanted {
            Wanted::Now(most) => (most, true),
            Wanted::Soon(most) => (most, false),
            Wanted::Nothing => (0, true),
        };
        let mut request = json!({ "maxEvents": most, "returnImmediately": at_once });
        let Some(members) = request.as_object_mut() else { return request.to_string() };
        if !self.ack.is_empty() {
            members.insert("ack".to_owned(), json!(self.ack));
        }
        if !self.errors.is_empty() {
            let errors = self.errors.iter().map(|(jti, error)| (jti.clone(), error.document()));
            members.insert("setErrs".to_owned(), errors.collect::<Map<_, _>>().into());
        }
        request.to_string()
    }
}

/// What the transmitter gave.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Given {
    /// Each under its `jti`, as it is said; `None`: no string.
    pub(super) sets: Vec<(String, Option<String>)>,
    pub(super) more: More,
}

/// Whether there is more to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum More {
    Yes,
    No,
}

impl Given {
    /// The most SETs of one answer.
    pub(super) const MOST: usize = 1_000;

    /// RFC 8936 §2.3.
    pub(super) fn parse(document: &[u8]) -> Result<Self, String> {
        let document = Object::parse(document).map_err(|error| format!("the answer is {error}"))?;
        let sets = document.member("sets").and_then(Value::as_object);
        let sets = sets.ok_or("the answer has no object `sets`")?;
        let given: Vec<_> = sets
            .members()
            .take(Self::MOST.saturating_add(1))
            .map(|(jti, set)| (jti.to_owned(), set.as_str().map(Into::into)))
            .collect();
        if given.len() > Self::MOST {
            return Err(format!("the answer has more than {} SETs", Self::MOST));
        }
        let more = match document.member("moreAvailable").map(Value::text) {
            None | Some("false") => More::No,
            Some("true") => More::Yes,
            Some(_) => return Err("`moreAvailable` is not true or false".to_owned()),
        };
        Ok(Self { sets: given, more })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// POLL-01, POLL-03.
    #[test]
    fn a_request_says_what_the_standard_wants() {
        let nothing = Pending::default();
        for (wanted, expected) in [
            (Wanted::Now(50), r#"{"maxEvents":50,"returnImmediately":true}"#),
            (Wanted::Soon(1), r#"{"maxEvents":1,"returnImmediately":false}"#),
            (Wanted::Nothing, r#"{"maxEvents":0,"returnImmediately":true}"#),
        ] {
            let expected: serde_json::Value = serde_json::from_str(expected).unwrap();
            let found: serde_json::Value = serde_json::from_str(&nothing.request(wanted)).unwrap();
            assert_eq!(found, expected);
        }
        assert_eq!(nothing.wording(), Wording::None);
        let pending = Pending {
            ack: vec!["a".to_owned(), "b".to_owned()],
            errors: vec![("c".to_owned(), SetError::request("why"))],
        };
        let found: serde_json::Value =
            serde_json::from_str(&pending.request(Wanted::Now(5))).unwrap();
        assert_eq!(found["ack"], json!(["a", "b"]));
        let error = json!({ "c": { "err": "invalid_request", "description": "why" } });
        assert_eq!(found["setErrs"], error);
        assert_eq!(pending.wording(), Wording::English);
    }

    /// POLL-03.
    #[test]
    fn an_answer_is_read_or_is_none() {
        let read = |text: &str| Given::parse(text.as_bytes());
        let given = read(r#"{"sets":{"a":"x","b":7},"moreAvailable":true,"other":1}"#).unwrap();
        assert_eq!(given.more, More::Yes);
        assert_eq!(given.sets, [("a".into(), Some("x".into())), ("b".into(), None)]);
        assert_eq!(read(r#"{"sets":{}}"#).unwrap().more, More::No);
        assert_eq!(read(r#"{"sets":{},"moreAvailable":false}"#).unwrap().more, More::No);
        for text in [
            "",
            "[]",
            "{}",
            r#"{"sets":[]}"#,
            r#"{"sets":null}"#,
            r#"{"sets":{},"moreAvailable":"true"}"#,
            r#"{"sets":{},"moreAvailable":null}"#,
            r#"{"sets":{"a":"x","a":"y"}}"#,
            r#"{"sets":{},"sets":{}}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        let many = |count: usize| {
            let sets: Vec<_> = (0..count).map(|jti| format!("\"{jti}\":\"x\"")).collect();
            format!("{{\"sets\":{{{}}}}}", sets.join(","))
        };
        assert!(read(&many(Given::MOST)).is_ok());
        assert!(read(&many(Given::MOST + 1)).is_err());
    }
}
