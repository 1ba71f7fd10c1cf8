//! Whom a token speaks for, by what its claims say.

use serde_json::{Value, json};

use crate::access::SubjectKind;
use crate::jose::{ClaimsSet, json};

/// How a token says whom it speaks for, if not by `sub` and `client_id`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct KindRule {
    pub(crate) kind: SubjectKind,
    pub(crate) when: ClaimTest,
}

impl KindRule {
    /// What it says, in the words of a file.
    pub(crate) fn report(&self) -> Value {
        let mut report = self.when.report();
        if let Some(report) = report.as_object_mut() {
            report.insert("kind".to_owned(), self.kind.as_str().into());
        }
        report
    }
}

/// A condition on one top-level claim, for [`super::TokenProfile::subject_kind`].
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimTest(Test);

#[derive(Clone, Debug, PartialEq)]
enum Test {
    Equals { claim: String, value: String },
    StartsWith { claim: String, prefix: String },
    Present { claim: String },
    Absent { claim: String },
    Same { claim: String, other: String },
    SameWithSuffix { claim: String, other: String, suffix: String },
}

impl ClaimTest {
    /// The claim is this string, compared exactly.
    #[must_use]
    pub fn equals(claim: impl Into<String>, value: impl Into<String>) -> Self {
        Self(Test::Equals { claim: claim.into(), value: value.into() })
    }

    /// The claim is a string that starts so, compared exactly.
    #[must_use]
    pub fn starts_with(claim: impl Into<String>, prefix: impl Into<String>) -> Self {
        Self(Test::StartsWith { claim: claim.into(), prefix: prefix.into() })
    }

    /// The claim is there, whatever its value.
    #[must_use]
    pub fn present(claim: impl Into<String>) -> Self {
        Self(Test::Present { claim: claim.into() })
    }

    /// The claim is absent.
    #[must_use]
    pub fn absent(claim: impl Into<String>) -> Self {
        Self(Test::Absent { claim: claim.into() })
    }

    /// Two claims are the same string.
    #[must_use]
    pub fn same(claim: impl Into<String>, other: impl Into<String>) -> Self {
        Self(Test::Same { claim: claim.into(), other: other.into() })
    }

    /// One claim is another claim and then this text.
    #[must_use]
    pub fn same_with_suffix(
        claim: impl Into<String>,
        other: impl Into<String>,
        suffix: impl Into<String>,
    ) -> Self {
        let (claim, other, suffix) = (claim.into(), other.into(), suffix.into());
        Self(Test::SameWithSuffix { claim, other, suffix })
    }

    /// What it says, in the words of a file.
    fn report(&self) -> Value {
        match &self.0 {
            Test::Equals { claim, value } => json!({ "claim": claim, "equals": value }),
            Test::StartsWith { claim, prefix } => json!({ "claim": claim, "starts_with": prefix }),
            Test::Present { claim } => json!({ "claim": claim, "present": true }),
            Test::Absent { claim } => json!({ "claim": claim, "absent": true }),
            Test::Same { claim, other } => json!({ "claim": claim, "same_as": other }),
            Test::SameWithSuffix { claim, other, suffix } => {
                json!({ "claim": claim, "same_as": other, "suffix": suffix })
            }
        }
    }

    /// What makes it a condition that says nothing.
    pub(super) fn fault(&self) -> Option<&'static str> {
        let (names, empty): (Vec<&String>, bool) = match &self.0 {
            Test::Equals { claim, .. } => (vec![claim], false),
            Test::StartsWith { claim, prefix } => (vec![claim], prefix.is_empty()),
            Test::Present { claim } | Test::Absent { claim } => (vec![claim], false),
            Test::Same { claim, other } => (vec![claim, other], claim == other),
            Test::SameWithSuffix { claim, other, suffix } => {
                (vec![claim, other], suffix.is_empty())
            }
        };
        if names.into_iter().any(String::is_empty) {
            return Some("a rule for subject kinds names no claim");
        }
        empty.then_some("a rule for subject kinds holds for every text of its claim")
    }

    /// Whether it asks only if a member is there that an answer about a token has by itself (RFC 7662 §2.2): then
    /// that says nothing of the token.
    pub(super) fn is_of_answers(&self) -> bool {
        const OF_ANSWERS: [&str; 3] = ["client_id", "username", "token_type"];
        match &self.0 {
            Test::Present { claim } | Test::Absent { claim } => OF_ANSWERS.contains(&&**claim),
            _ => false,
        }
    }

    pub(super) fn holds(&self, claims: &ClaimsSet<'_>) -> bool {
        let text = |name: &str| claims.value(name).and_then(json::Value::as_str);
        match &self.0 {
            Test::Equals { claim, value } => text(claim).is_some_and(|found| found == **value),
            Test::StartsWith { claim, prefix } => {
                text(claim).is_some_and(|found| found.starts_with(&**prefix))
            }
            Test::Present { claim } => claims.has(claim),
            Test::Absent { claim } => !claims.has(claim),
            Test::Same { claim, other } => text(claim).is_some_and(|one| text(other) == Some(one)),
            Test::SameWithSuffix { claim, other, suffix } => {
                let claim = text(claim);
                let start = claim.as_deref().and_then(|claim| claim.strip_suffix(&**suffix));
                start.is_some_and(|start| text(other).as_deref() == Some(start))
            }
        }
    }
}
