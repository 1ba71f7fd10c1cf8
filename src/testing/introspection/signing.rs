use std::sync::Arc;

use http::HeaderMap;
use http::header::ACCEPT;

use super::TestIntrospection;
use super::answer::media_type;
use super::request::TestIntrospectionRequest;
use crate::testing::{TestIssuer, TokenBuilder};

type Edit = Arc<dyn Fn(TokenBuilder) -> TokenBuilder + Send + Sync>;
type Sign = Arc<dyn Fn(&TokenBuilder) -> String + Send + Sync>;

/// How answers are signed.
#[derive(Clone, Default)]
pub(super) struct Signing {
    /// Who signs, and for whom.
    pub(super) signer: Option<(TestIssuer, String)>,
    form: AnswerForm,
    edit: Option<Edit>,
    sign: Option<Sign>,
}

/// Whether an answer is a JWT.
#[derive(Clone, Copy, Default)]
enum AnswerForm {
    #[default]
    AsAsked,
    Json,
    Jwt,
}

impl TestIntrospection {
    /// The media type of a signed answer (RFC 9701 §5).
    pub const MEDIA_TYPE: &'static str = "application/token-introspection+jwt";

    /// Answers with JWTs (RFC 9701 §5) of this issuer for this client from now on, signed by the
    /// issuer's key of that time: `iss`, `aud`, `iat` and `token_introspection`.
    pub fn sign_with(&self, issuer: &TestIssuer, client_id: &str) {
        self.state().signing.signer = Some((issuer.clone(), client_id.to_owned()));
    }

    /// Changes each JWT before it is signed, in any way: `typ` is a member of its header, and
    /// `token_introspection` a claim as any other.
    ///
    /// ```
    /// # use portcullis::testing::{ManualClock, TestIntrospection};
    /// # let introspection = TestIntrospection::new("https://as.example/introspect", &ManualClock::new());
    /// introspection.edit(|jwt| jwt.header("typ", "at+jwt"));
    /// introspection.edit(|jwt| jwt.claim("aud", "somebody-else").claim("scope", "admin"));
    /// introspection.edit(|jwt| jwt.without("token_introspection"));
    /// ```
    pub fn edit(&self, edit: impl Fn(TokenBuilder) -> TokenBuilder + Send + Sync + 'static) {
        self.state().signing.edit = Some(Arc::new(edit));
    }

    /// Makes the JWT's text so, instead of signing it with the issuer's key.
    ///
    /// ```
    /// # use portcullis::jose::Algorithm;
    /// # use portcullis::testing::{ManualClock, TestIntrospection, TestKey};
    /// # let introspection = TestIntrospection::new("https://as.example/introspect", &ManualClock::new());
    /// let other = TestKey::generate(Algorithm::Es256, "k1");
    /// introspection.sign_by(move |jwt| jwt.sign_with(&other));
    /// introspection.sign_by(|jwt| jwt.unsigned("none"));
    /// introspection.sign_by(|jwt| jwt.tampered());
    /// introspection.sign_by(|jwt| format!("{}.e30.e30", jwt.sign())); // five parts
    /// ```
    pub fn sign_by(&self, sign: impl Fn(&TokenBuilder) -> String + Send + Sync + 'static) {
        self.state().signing.sign = Some(Arc::new(sign));
    }

    /// Answers with JSON, though a JWT was asked for.
    pub fn answer_json(&self) {
        self.state().signing.form = AnswerForm::Json;
    }

    /// Answers with a JWT, though none was asked for: if [`Self::sign_with`] said who signs.
    pub fn answer_jwt(&self) {
        self.state().signing.form = AnswerForm::Jwt;
    }

    /// Takes back what made its JWTs wrong: [`Self::edit`], [`Self::sign_by`], [`Self::answer_json`],
    /// [`Self::answer_jwt`].
    pub fn mend(&self) {
        let signing = &mut self.state().signing;
        (signing.edit, signing.sign, signing.form) = (None, None, AnswerForm::AsAsked);
    }

    /// Whether the answer to this is a JWT.
    pub(super) fn signs_for(&self, request: &TestIntrospectionRequest) -> bool {
        let state = self.state();
        state.signing.signer.is_some()
            && match state.signing.form {
                AnswerForm::AsAsked => accepts_jwt(request.headers()),
                AnswerForm::Json => false,
                AnswerForm::Jwt => true,
            }
    }

    /// The JWT with this answer (RFC 9701 §5).
    pub(super) fn signed(&self, answer: &str) -> String {
        // What a test says of a JWT may ask this endpoint something.
        let Signing { signer, edit, sign, .. } = self.state().signing.clone();
        let (issuer, client_id) = signer.expect("somebody who signs");
        let now = self.shared.clock.now();
        let mut jwt = TokenBuilder::new(issuer.key(), issuer.id(), &client_id, "", now)
            .header("typ", "token-introspection+jwt")
            .without("sub")
            .without("client_id")
            .without("jti")
            .without("exp")
            .raw_claim("token_introspection", answer);
        if let Some(edit) = edit {
            jwt = edit(jwt);
        }
        sign.map_or_else(|| jwt.sign(), |sign| sign(&jwt))
    }
}

/// RFC 9701 §4.
fn accepts_jwt(headers: &HeaderMap) -> bool {
    let fields = headers.get_all(ACCEPT).iter().filter_map(|field| field.to_str().ok());
    fields
        .flat_map(|field| field.split(','))
        .any(|range| media_type(range).eq_ignore_ascii_case(TestIntrospection::MEDIA_TYPE))
}
