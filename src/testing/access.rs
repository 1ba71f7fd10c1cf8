use std::sync::Arc;
use std::time::Duration;

use http::Request;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::access::{Access, Confirmation, ProofUse, ResponseFields, Sender};
use crate::certificate::Certificate;
use crate::check::{AsyncCheck, Check, CheckContext, CheckError, CheckRequest};
use crate::context::{ChallengeParams, PolicyContext, ServerContext};
use crate::credentials::RequestHead;
use crate::issuer::{OptionalClaim, TokenProfile};
use crate::jose::claims::required;
use crate::jose::{ClaimsSet, base64url};
use crate::name::IssuerId;
use crate::observe::SenderBinding;
use crate::stripe::Handle;
use crate::time::Timestamp;
use crate::verify::{StandIns, Wanted, facts_of};

/// An [`Access`] made from nothing, to test handlers and checks.
///
/// It begins with subject `alice` and client `test-client` of `https://as.example`, for
/// `https://rs.example`, decided at 1 800 000 000 and issued then for five minutes. What a claim
/// `cnf` names counts as proven.
#[derive(Clone, Debug)]
#[must_use = "an access is made by `build`"]
pub struct TestAccess {
    claims: Map<String, Value>,
    profile: TokenProfile,
    decided_at: Timestamp,
    certificate: Option<Certificate>,
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
        let profile = TokenProfile::relaxed()
            .may_lack(OptionalClaim::ClientId)
            .may_lack(OptionalClaim::IssuedAt)
            .may_lack(OptionalClaim::JwtId);
        Self { claims, profile, decided_at: now, certificate: None }
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

    /// Removes a claim.
    pub fn without(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// How the issuer writes its tokens: where the client, the scope and the kind of subject are
    /// found. Unless said otherwise as RFC 9068 has it, with nothing but `sub`, `aud` and `exp`
    /// wanted.
    pub fn profile(mut self, profile: TokenProfile) -> Self {
        self.profile = profile;
        self
    }

    /// The certificate that the sender has the key of. Whether the token is bound to it, `cnf` says.
    pub fn certificate(mut self, certificate: Certificate) -> Self {
        self.certificate = Some(certificate);
        self
    }

    /// When the request was decided.
    pub fn decided_at(mut self, now: Timestamp) -> Self {
        self.decided_at = now;
        self
    }

    /// The access.
    ///
    /// # Panics
    /// If the claims are not those of an access token of the profile.
    #[must_use]
    pub fn build(self) -> Access {
        let payload = Value::Object(self.claims).to_string();
        let claims = ClaimsSet::parse(payload.as_bytes()).expect("claims");
        let issuer = required("iss", claims.text("iss")).expect("an issuer");
        let issuer = Arc::new(IssuerId::parse(&issuer).expect("an issuer"));
        let facts = facts_of(
            &self.profile,
            &claims,
            &issuer,
            payload.as_bytes(),
            &Wanted::default(),
            StandIns::NONE,
        )
        .unwrap_or_else(|error| panic!("not the claims of an access token: {error}"));
        let server = ServerContext {
            params: ChallengeParams { common: "realm=\"test\"".to_owned(), ..Default::default() },
            audiences: facts.audiences.clone(),
            ..ServerContext::default()
        };
        let context = PolicyContext { server: Arc::new(server), ..PolicyContext::default() };
        let (key, bound) = match &facts.confirmation {
            Confirmation::Bound { key, certificate } => (key.clone(), certificate.is_some()),
            Confirmation::Absent | Confirmation::Unenforceable(_) => (None, false),
        };
        let binding = match (&key, bound) {
            (None, false) => SenderBinding::Bearer,
            (Some(_), false) => SenderBinding::Dpop,
            (None, true) => SenderBinding::Mtls,
            (Some(_), true) => SenderBinding::DpopAndMtls,
        };
        let proof = key.map(|key| ProofUse {
            key,
            jti: "test".into(),
            htu: "https://rs.example/".into(),
            issued_at: self.decided_at,
            accepted_until: self.decided_at,
        });
        // What `cnf` names counts as proven.
        let named = match &facts.confirmation {
            Confirmation::Bound { certificate, .. } => certificate.as_ref(),
            Confirmation::Absent | Confirmation::Unenforceable(_) => None,
        };
        let named = named
            .and_then(|thumbprint| base64url::decode(thumbprint.as_str()).ok()?.try_into().ok())
            .map(Certificate::from_sha256);
        let certificate = self.certificate.or(named);
        let response = ResponseFields::default();
        let sender = Sender { binding, proof, certificate, response };
        let context = Handle::of(Arc::new(context));
        Access::new(Arc::new(facts), context, self.decided_at, Some(Arc::new(sender)))
    }
}

/// Asks an async check about an access and the head of a request.
///
/// # Errors
/// What the check answers, if not yes.
pub async fn check_async(
    check: &impl AsyncCheck,
    access: &Access,
    method: &str,
    uri: &str,
) -> Result<(), CheckError> {
    let request = Request::builder().method(method).uri(uri).body(()).expect("a request");
    let head = RequestHead::from(&request);
    check.check(CheckRequest::new(access, head, access.decided_at())).await
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
