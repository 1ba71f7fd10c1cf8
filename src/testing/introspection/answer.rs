use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde_json::json;

use super::request::TestIntrospectionRequest;
use super::{Held, IntrospectionFailure, TestIntrospection};
use crate::jose::base64url;
use crate::jose::json::Object;
use crate::testing::TokenBuilder;
use crate::transport::{FetchError, FetchErrorKind, FetchLimits};

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const JWT: HeaderValue = HeaderValue::from_static(TestIntrospection::MEDIA_TYPE);
const INACTIVE: &str = r#"{"active":false}"#;

/// A question that is under way, until this is dropped: answered, or given up.
struct UnderWay<'a>(&'a TestIntrospection);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.state().under_way -= 1;
    }
}

impl TestIntrospection {
    /// Whether this URL is this endpoint's, with a query or without.
    pub(in crate::testing) fn serves(&self, url: &str) -> bool {
        url == self.url() || url.split('?').next() == Some(self.url())
    }

    /// 1. The question is remembered.
    /// 2. It waits where questions are held.
    /// 3. It fails where it has to; or it is refused, or answered.
    /// 4. The answer waits where answers are held.
    /// 5. An answer that is longer than allowed is none.
    pub(in crate::testing) async fn answer(
        &self,
        request: &Request<Bytes>,
        limits: FetchLimits,
    ) -> Result<Response<Bytes>, FetchError> {
        let request = TestIntrospectionRequest::of(request);
        let _under_way = self.arrived(request.clone());
        self.while_held(Held::Questions).await;

        let failure = {
            let mut state = self.state();
            state.failures.pop_front().or_else(|| state.failure.clone())
        };
        let overlong = matches!(failure, Some(IntrospectionFailure::Overlong));
        let answer = match failure {
            Some(IntrospectionFailure::Silence) => std::future::pending().await,
            Some(IntrospectionFailure::Transport(kind)) => Err(FetchError::new(kind)),
            Some(failure) => Ok(self.failed(failure, &request, limits)),
            None => Ok(self.respond(&request)),
        };
        self.while_held(Held::Answers).await;

        let answer = answer?;
        if answer.body().len() > limits.max_body && !overlong {
            return Err(FetchError::new(FetchErrorKind::TooLarge));
        }
        Ok(answer)
    }

    fn arrived(&self, request: TestIntrospectionRequest) -> UnderWay<'_> {
        let mut state = self.state();
        state.requests.push(request);
        state.under_way += 1;
        state.most_at_once = state.most_at_once.max(state.under_way);
        let calls = state.requests.len();
        drop(state);
        self.shared.called.send_if_modified(|count| {
            let more = calls > *count;
            *count = calls.max(*count);
            more
        });
        UnderWay(self)
    }

    async fn while_held(&self, what: Held) {
        let mut held = self.shared.held.subscribe();
        // The sender lives in `self`.
        let _ = held.wait_for(|held| *held != what).await;
    }

    fn failed(
        &self,
        failure: IntrospectionFailure,
        request: &TestIntrospectionRequest,
        limits: FetchLimits,
    ) -> Response<Bytes> {
        let field = |value: String| HeaderValue::try_from(value).expect("a field value");
        let mut response = Response::new(Bytes::new());
        match failure {
            IntrospectionFailure::Status(status) => *response.status_mut() = status,
            IntrospectionFailure::RetryAfter(status, after) => {
                *response.status_mut() = status;
                response.headers_mut().insert(RETRY_AFTER, field(after));
            }
            IntrospectionFailure::Redirect(to) => {
                *response.status_mut() = StatusCode::FOUND;
                response.headers_mut().insert(LOCATION, field(to));
            }
            IntrospectionFailure::ContentType(content_type) => {
                response = self.respond(request);
                response.headers_mut().remove(CONTENT_TYPE);
                if !content_type.is_empty() {
                    response.headers_mut().insert(CONTENT_TYPE, field(content_type));
                }
            }
            IntrospectionFailure::Body(body) => {
                let content_type = if self.signs_for(request) { JWT } else { JSON };
                response = document(content_type, body);
            }
            IntrospectionFailure::Overlong => {
                response = self.respond(request);
                let mut body = response.body().to_vec();
                body.resize(body.len().max(limits.max_body.saturating_add(1)), b' ');
                *response.body_mut() = body.into();
            }
            IntrospectionFailure::Response(given) => response = given,
            IntrospectionFailure::Transport(_) | IntrospectionFailure::Silence => {
                unreachable!("no response")
            }
        }
        response
    }

    /// The answer of an endpoint that does not fail.
    fn respond(&self, request: &TestIntrospectionRequest) -> Response<Bytes> {
        if *request.uri() != *self.url() || !is_question(request) {
            return refusal(StatusCode::BAD_REQUEST, "invalid_request");
        }
        if let Some(refused) = self.refuse_client(request) {
            return refused;
        }
        let token = request.form("token").unwrap_or_default();
        let answer = self.state().answers.get(&token).cloned();
        let answer = answer.unwrap_or_else(|| INACTIVE.to_owned());
        if self.signs_for(request) {
            document(JWT, self.signed(&answer))
        } else {
            document(JSON, answer)
        }
    }
}

/// What is answered about an active token with the claims of this one.
pub(super) fn active(claims: &TokenBuilder) -> String {
    // What is signed, and not what is said of it: the payload may be octets of a test's own.
    let input = claims.signing_input();
    let payload = input.split_once('.').map(|(_, payload)| payload).expect("a payload");
    let payload = base64url::decode(payload).expect("what we encoded");
    let payload = String::from_utf8(payload).expect("claims are text");
    let members = payload.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let members = members.expect("claims are an object").trim();
    // A payload with a fault has no claim that we know.
    let known = Object::parse_checked(payload.as_bytes()).ok();
    let has = |name| known.as_ref().is_some_and(|known| known.has(name));
    let confirmation = known.as_ref().and_then(|known| known.member("cnf")?.as_object());
    let bound = confirmation.is_some_and(|confirmation| confirmation.has("jkt"));

    let mut own = Vec::new();
    if !has("active") {
        own.push(r#""active":true"#);
    }
    if !has("token_type") {
        own.push(if bound { r#""token_type":"DPoP""# } else { r#""token_type":"Bearer""# });
    }
    if !members.is_empty() {
        own.push(members);
    }
    format!("{{{}}}", own.join(","))
}

/// RFC 7662 §2.1: a form, sent by POST, with one token, which is in no URL (§4); RFC 6749 §3.2: no parameter twice.
fn is_question(request: &TestIntrospectionRequest) -> bool {
    let mut types = request.headers().get_all(CONTENT_TYPE).iter();
    let (Some(content_type), None) = (types.next(), types.next()) else {
        return false;
    };
    let content_type = content_type.to_str().unwrap_or_default();
    let parameters = request.parameters();
    let mut names: Vec<&str> = parameters.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    request.method() == Method::POST
        && media_type(content_type).eq_ignore_ascii_case(FORM)
        && names.len() == parameters.len()
        && request.form("token").is_some_and(|token| !token.is_empty())
}

/// Without parameters.
pub(super) fn media_type(text: &str) -> &str {
    text.split(';').next().unwrap_or_default().trim()
}

/// RFC 6749 §5.2.
pub(super) fn refusal(status: StatusCode, error: &str) -> Response<Bytes> {
    let mut response = document(JSON, json!({ "error": error }).to_string());
    *response.status_mut() = status;
    response
}

fn document(content_type: HeaderValue, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
