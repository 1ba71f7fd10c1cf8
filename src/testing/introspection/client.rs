use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Response, StatusCode};

use super::TestIntrospection;
use super::answer::refusal;
use super::request::TestIntrospectionRequest;

/// Who may ask.
pub(super) enum Wanted {
    /// This client with this secret, in `Authorization`.
    Basic(String, String),
    /// The same in the form.
    Form(String, String),
    /// Whoever has this access token.
    Bearer(String),
}

impl TestIntrospection {
    /// Takes questions of this client only, which shows this secret in `Authorization` (RFC 6749 §2.3.1:
    /// both are form-encoded before they are joined).
    ///
    /// Any other question is answered with 401 (RFC 7662 §2.3) and no challenge; one that shows nothing at all with 400 if
    /// answers are signed (RFC 9701 §5), which have to be for somebody; one that shows two things with 400
    /// (RFC 6749 §2.3).
    pub fn require_client(&self, client_id: &str, secret: &str) {
        self.require(Wanted::Basic(client_id.to_owned(), secret.to_owned()));
    }

    /// The same in the form: `client_id` and `client_secret`.
    pub fn require_client_in_form(&self, client_id: &str, secret: &str) {
        self.require(Wanted::Form(client_id.to_owned(), secret.to_owned()));
    }

    /// Takes questions of whoever has this access token (RFC 7662 §2.1), and answers others as
    /// [`Self::require_client`] says.
    pub fn require_bearer(&self, token: &str) {
        self.require(Wanted::Bearer(token.to_owned()));
    }

    /// Takes questions of anybody.
    pub fn require_nothing(&self) {
        self.state().wanted = None;
    }

    fn require(&self, wanted: Wanted) {
        self.state().wanted = Some(wanted);
    }

    /// What a question is answered with that is not of whom it has to be.
    pub(super) fn refuse_client(
        &self,
        request: &TestIntrospectionRequest,
    ) -> Option<Response<Bytes>> {
        let state = self.state();
        let wanted = state.wanted.as_ref()?;
        let in_field = request.headers().contains_key(AUTHORIZATION);
        let in_form =
            ["client_secret", "client_assertion"].iter().any(|name| request.form(name).is_some());
        if in_field && in_form || !in_field && !in_form && state.signing.signer.is_some() {
            return Some(refusal(StatusCode::BAD_REQUEST, "invalid_request"));
        }
        let known = match wanted {
            Wanted::Basic(id, secret) => {
                basic(request.headers()).is_some_and(|known| known.0 == *id && known.1 == *secret)
            }
            Wanted::Form(id, secret) => {
                request.form("client_id").as_ref() == Some(id)
                    && request.form("client_secret").as_ref() == Some(secret)
            }
            Wanted::Bearer(token) => credentials(request.headers(), "Bearer") == Some(token),
        };
        if known {
            return None;
        }
        let error = match wanted {
            Wanted::Bearer(_) => "invalid_token",
            Wanted::Basic(..) | Wanted::Form(..) => "invalid_client",
        };
        Some(refusal(StatusCode::UNAUTHORIZED, error))
    }
}

/// The client's identifier and secret of the scheme `Basic`, as RFC 6749 §2.3.1 encodes them.
pub(super) fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let text = STANDARD.decode(credentials(headers, "Basic")?).ok()?;
    let text = String::from_utf8(text).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((decoded(id)?, decoded(secret)?))
}

/// What follows this scheme in the one field `Authorization`.
fn credentials<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else {
        return None;
    };
    let (known, credentials) = field.to_str().ok()?.split_once(' ')?;
    known.eq_ignore_ascii_case(scheme).then_some(credentials)
}

/// One value of a form.
fn decoded(text: &str) -> Option<String> {
    let form = format!("value={text}");
    let mut parameters = form_urlencoded::parse(form.as_bytes());
    let (Some((_, value)), None) = (parameters.next(), parameters.next()) else {
        return None;
    };
    Some(value.into_owned())
}
