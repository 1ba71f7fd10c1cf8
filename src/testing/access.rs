use std::sync::Arc;
use std::time::Duration;

use http::Request;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::access::{Access, Confirmation, Facts};
use crate::check::{Check, CheckContext, CheckError};
use crate::context::{ChallengeParams, PolicyContext};
use crate::credentials::RequestHead;
use crate::name::{Audience, ClientId, IssuerId, JwtId, Subject};
use crate::time::Timestamp;

/// An [`Access`] made from nothing, to test handlers and checks.
///
/// It begins with subject `alice` and client `test-client` of `https://as.example`, for
/// `https://rs.example`, decided at 1 800 000 000 and issued then for five minutes.
#[derive(Clone, Debug)]
#[must_use = "an access is made by `build`"]
pub struct TestAccess {
    claims: Map<String, Value>,
    decided_at: Timestamp,
}

impl Default for TestAccess {
    fn default() -> Self {
        let now = Timestamp::from_secs(1_800_000_000);
        let Value::Object(claims) = json!({
            "iss": "https://as.example",
            "aud": "https://rs.example",
            "sub": "alice",
            "client_id": "test-client",
            "jti": "token-1",
            "iat": now.as_secs(),
            "exp": now.plus(Duration::from_mins(5)).as_secs(),
        }) else {
            panic!("an object")
        };
        Self { claims, decided_at: now }
    }
}

impl TestAccess {
    /// The access described above.
    pub fn new() -> Self {
        Self::default()
    }

    /// The subject.
    pub fn subject(self, subject: &str) -> Self {
        self.claim("sub", subject)
    }

    /// The client.
    pub fn client_id(self, client_id: &str) -> Self {
        self.claim("client_id", client_id)
    }

    /// The scope: scope tokens separated by spaces.
    pub fn scope(self, scope: &str) -> Self {
        self.claim("scope", scope)
    }

    /// Any claim.
    pub fn claim(mut self, name: &str, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).expect("a value that is JSON");
        self.claims.insert(name.to_owned(), value);
        self
    }

    /// When the request was decided.
    pub fn decided_at(mut self, now: Timestamp) -> Self {
        self.decided_at = now;
        self
    }

    /// The access.
    #[must_use]
    pub fn build(self) -> Access {
        let text = |name: &str| self.claims.get(name).and_then(Value::as_str).unwrap_or_default();
        let time = |name: &str| {
            let value = self.claims.get(name).map(ToString::to_string).unwrap_or_default();
            Timestamp::from_json_number(&value).expect("a NumericDate")
        };
        let audiences = match self.claims.get("aud") {
            Some(Value::Array(several)) => {
                several.iter().filter_map(Value::as_str).map(Audience::from_token).collect()
            }
            _ => vec![Audience::from_token(text("aud"))],
        };
        let named = |name: &str| Some(text(name)).filter(|text| !text.is_empty());
        let facts = Facts {
            issuer: Arc::new(IssuerId::parse(text("iss")).expect("an issuer")),
            subject: Subject::from_token(text("sub")),
            client_id: named("client_id").map(ClientId::from_token),
            jwt_id: named("jti").map(JwtId::from_token),
            audiences,
            scope: text("scope").into(),
            issued_at: Some(time("iat")),
            not_before: None,
            expires_at: time("exp"),
            confirmation: Confirmation::Absent,
            claims: Value::Object(self.claims.clone()).to_string().into_bytes().into(),
        };
        let params = ChallengeParams { common: "realm=\"test\"".to_owned(), ..Default::default() };
        let context = PolicyContext { params: Arc::new(params), ..PolicyContext::default() };
        Access::new(Arc::new(facts), Arc::new(context), self.decided_at)
    }
}

/// Asks a check about an access and the head of a request.
///
/// # Errors
/// What the check answers, if not yes.
pub fn check(
    check: &impl Check,
    access: &Access,
    method: &str,
    uri: &str,
) -> Result<(), CheckError> {
    let request = Request::builder().method(method).uri(uri).body(()).expect("a request");
    let head = RequestHead::from(&request);
    check.check(&CheckContext::new(access, head, access.decided_at()))
}
