//! The call (RFC 7662 §2.1), within its bounds.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};

use super::Introspection;
use super::answer::Answer;
use super::checked::{Answers, Checked};
use super::error::AskError;
use super::form::Form;
use super::signed;
use crate::issuer::IssuerKeys;
use crate::time::{Clock, Moment};
use crate::transport::{FetchError, FetchErrorKind, FetchLimits, Transport, media_type};

/// Where one issuer is asked.
pub(super) struct Endpoint {
    pub(super) rules: Checked,
    pub(super) issuer: Arc<IssuerKeys>,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Endpoint {
    /// The question about this token, with what says who asks.
    pub(super) async fn question(&self, token: &str) -> Result<Request<Bytes>, AskError> {
        const JSON: HeaderValue = HeaderValue::from_static("application/json");
        const SIGNED: HeaderValue = HeaderValue::from_static(signed::MEDIA_TYPE);
        let mut headers = HeaderMap::new();
        headers.insert(
            ACCEPT,
            match &self.rules.answers {
                Answers::Json => JSON,
                Answers::Signed(_) => SIGNED,
            },
        );
        let mut form = Form::new();
        form.push("token", token);
        form.push("token_type_hint", "access_token");
        let (endpoint, issuer) = (&*self.rules.endpoint, self.issuer.id().as_str());
        let client = &self.rules.client;
        client
            .apply(&mut form, &mut headers, endpoint, issuer, &*self.clock)
            .await
            .map_err(|error| AskError::Client(Arc::new(error)))?;
        headers.insert(CONTENT_TYPE, Form::CONTENT_TYPE);
        let mut request = Request::new(form.into_bytes());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = endpoint.parse().map_err(|error| {
            AskError::Fetch(FetchError::new(FetchErrorKind::Forbidden).caused_by(error))
        })?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// Asks.
    pub(super) async fn ask(&self, question: Request<Bytes>) -> Result<Response<Bytes>, AskError> {
        let limits = FetchLimits {
            loopback_http: self.rules.loopback_http,
            ..FetchLimits::new(Introspection::MAX_ANSWER, self.rules.timeout)
        };
        self.transport.fetch(question, limits).await.map_err(AskError::Fetch)
    }

    /// Where is asked, and as whom: never a secret.
    fn shown(&self) -> Arc<str> {
        let (endpoint, client) = (&self.rules.endpoint, &self.rules.client);
        let method = client.kind();
        match client.client_id() {
            Some(id) => format!("{endpoint}, asked as {id:?} ({method}),").into(),
            None => format!("{endpoint}, asked with client authentication {method},").into(),
        }
    }

    /// What was answered to a question of this moment. It may take the issuer's keys.
    pub(super) async fn read(
        &self,
        answer: &Response<Bytes>,
        asked: Moment,
    ) -> Result<Answer, AskError> {
        let failed = |kind| Err(AskError::Fetch(FetchError::new(kind)));
        match answer.status() {
            StatusCode::OK => {}
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                return Err(AskError::Credentials(status, self.shown()));
            }
            status if status.is_redirection() => return failed(FetchErrorKind::Redirect),
            status => return Err(AskError::Status(status, self.shown())),
        }
        // A transport that keeps no bound makes the call fail, and nothing else.
        if answer.body().len() > Introspection::MAX_ANSWER {
            return failed(FetchErrorKind::TooLarge);
        }
        let found = media_type(answer.headers());
        let shown = shown(found);
        let is = |wanted: &str| found.is_some_and(|found| found.eq_ignore_ascii_case(wanted));
        match &self.rules.answers {
            Answers::Json if is("application/json") => Answer::read(answer.body(), asked),
            Answers::Json => {
                let what = format!("the content type is {shown}, wanted is application/json");
                Err(AskError::Answer(what))
            }
            Answers::Signed(audience) if is(signed::MEDIA_TYPE) => {
                let members =
                    signed::members(answer.body(), &self.issuer, audience, &*self.clock).await;
                let members = members.map_err(|error| AskError::Signed(Arc::new(error)))?;
                Answer::read(&members, asked)
            }
            Answers::Signed(_) => {
                let wanted = signed::MEDIA_TYPE;
                let what = format!("the content type is {shown}, wanted is {wanted}");
                Err(AskError::Answer(what))
            }
        }
    }
}

/// What operators are told of a media type: of one that is not among the usual ones nothing, for the text is
/// the endpoint's, which was shown a token.
fn shown(found: Option<&str>) -> &'static str {
    const USUAL: [&str; 8] = [
        "application/json",
        signed::MEDIA_TYPE,
        "application/jwt",
        "application/problem+json",
        "application/xml",
        "application/x-www-form-urlencoded",
        "text/html",
        "text/plain",
    ];
    let Some(found) = found else { return "missing, or there twice" };
    let usual = USUAL.into_iter().find(|usual| usual.eq_ignore_ascii_case(found));
    usual.unwrap_or("an unusual one")
}
