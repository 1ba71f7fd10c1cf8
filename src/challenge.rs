//! What the client sees: a [`Rejection`] becomes a status and a challenge here, and nowhere else.
//!
//! 1. One exhaustive match over [`RejectionKind`] picks the status, the registered error code and
//!    a fixed text. No text of a request or of a token ever gets into a header.
//! 2. Every 401, and every 400 and 403 of RFC 6750 §3.1, carries a `WWW-Authenticate` field for each
//!    scheme that the route offers, `Bearer` and `DPoP`, in a line of its own. Each challenge has at
//!    least one auth-param (RFC 6750 §3), among them `resource_metadata` (RFC 9728 §5.1), and `DPoP`
//!    names the `algs` of proofs (RFC 9449 §7.1). The error stands in the challenge of the scheme that
//!    the request used, which comes first (RFC 9449 §7.2).
//! 3. A request without credentials, or with a scheme that is not offered, learns no error code
//!    (RFC 6750 §3.1). Every 401 and 403 names all scopes that the route wants, in one challenge.
//! 4. "Cannot tell" is 503 with `Retry-After` and no challenge; a server that is mounted wrongly
//!    answers 500. Neither is ever reported as a bad token.
//! 5. What strangers can bring about at will (`READY`) is written once for each policy and scheme, and
//!    sent again: a flood of junk is answered without writing.
//! 6. Characters are legal by construction: values are checked when the server is built, and each
//!    auth-param occurs once (RFC 9110 §11.2).
//!
//! What it does not do: it adds no body and no caching field beyond `Cache-Control: no-store` on
//! refusals.
//!
//! ```
//! # use std::time::Duration;
//! use http::{Request, StatusCode};
//! use portcullis::{Binding, Issuer, ResourceServer, TokenClass, check::scope};
//!
//! let api = ResourceServer::builder("https://api.example.com")
//!     .issuer(Issuer::discover("https://login.example.com"))
//!     .binding(Binding::WhereBound)
//!     .class(TokenClass::default_at_most(Duration::from_mins(15)))
//!     .build()?;
//! let guard = api.guard(scope("notes:read"))?;
//!
//! let (request, ()) = Request::get("/notes").body(())?.into_parts();
//! let refused = guard.verify(&request).now_or_never().unwrap().unwrap_err();
//! let response = refused.to_response::<()>();
//! assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
//! assert_eq!(
//!     response.headers()["www-authenticate"],
//!     "Bearer realm=\"https://api.example.com\", resource_metadata=\"https://api.example.com\
//!      /.well-known/oauth-protected-resource\", scope=\"notes:read\"",
//! );
//! # trait NowOrNever: Future + Sized { fn now_or_never(self) -> Option<Self::Output> {
//! #   let mut context = std::task::Context::from_waker(std::task::Waker::noop());
//! #   match std::pin::pin!(self).poll(&mut context) { std::task::Poll::Ready(x) => Some(x), _ => None } } }
//! # impl<F: Future> NowOrNever for F {}
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! RFC 6750 §3, RFC 9110 §11.6.1 and §15.5.2, RFC 9449 §7 to §9, RFC 9728 §5.1.

use http::header::{
    ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use crate::access::ResponseFields;
use crate::context::{ChallengeParams, ChallengeVisibility, NonceIssuing, ReadyChallenges};
use crate::credentials::Scheme;
use crate::error::{ConfigFault, Faults, Rejection, RejectionKind, key};
use crate::name::is_scope_token;

/// Error codes of RFC 6750 §3.1.
const INVALID_REQUEST: &str = "invalid_request";
const INVALID_TOKEN: &str = "invalid_token";
const INSUFFICIENT_SCOPE: &str = "insufficient_scope";
/// Of RFC 9449 §7.1 and §9.
const INVALID_DPOP_PROOF: &str = "invalid_dpop_proof";
const USE_DPOP_NONCE: &str = "use_dpop_nonce";
/// Of RFC 9470 §3.
const INSUFFICIENT_USER_AUTHENTICATION: &str = "insufficient_user_authentication";

/// What is wrong with a token before its signature is good.
const MALFORMED: &str = "the access token is malformed or of an unsupported form";
const UNSIGNED: &str =
    "the token is not an access token that is signed by a known key of a known issuer";
const EXPIRED: &str = "the access token expired";

/// The texts of the `invalid_token` challenges that are kept ready, beside that without an error. Nothing
/// stands in those but what the policy says.
const READY: [&str; ReadyChallenges::ERRORS] = [MALFORMED, UNSIGNED, EXPIRED];

/// auth-params that are written here and cannot be set by hand.
const RESERVED: [&str; 10] = [
    "realm",
    "scope",
    "error",
    "error_description",
    "error_uri",
    "resource_metadata",
    // RFC 9449 §7.1 and RFC 9470 §3.
    "algs",
    "nonce",
    "acr_values",
    "max_age",
];

/// What a client is told.
enum Reply {
    /// 401 without an error code.
    Bare,
    /// Status, code, fixed text.
    Error(StatusCode, &'static str, &'static str),
    /// 503.
    Later,
    /// 500.
    Broken,
}

impl Reply {
    const fn status(&self) -> StatusCode {
        match self {
            Self::Bare => StatusCode::UNAUTHORIZED,
            Self::Error(status, _, _) => *status,
            Self::Later => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Its fixed text.
    const fn text(&self) -> &'static str {
        match self {
            Self::Bare => "an access token is required",
            Self::Error(_, _, text) => text,
            Self::Later => "the access token cannot be decided now",
            Self::Broken => "the server is configured wrongly",
        }
    }
}

/// The one place that decides what a client learns of a rejection.
fn reply(kind: RejectionKind) -> Reply {
    let invalid_request = |text| Reply::Error(StatusCode::BAD_REQUEST, INVALID_REQUEST, text);
    let invalid_token = |text| Reply::Error(StatusCode::UNAUTHORIZED, INVALID_TOKEN, text);
    let invalid_proof = |text| Reply::Error(StatusCode::UNAUTHORIZED, INVALID_DPOP_PROOF, text);
    let use_nonce = |text| Reply::Error(StatusCode::UNAUTHORIZED, USE_DPOP_NONCE, text);
    match kind {
        RejectionKind::NoCredentials | RejectionKind::UnsupportedScheme => Reply::Bare,
        RejectionKind::SeveralCredentials => {
            invalid_request("the request has more than one Authorization field")
        }
        RejectionKind::MalformedCredentials => {
            invalid_request("the Authorization field is malformed")
        }
        RejectionKind::TokenTooLong => invalid_request("the access token is too long"),
        RejectionKind::OpaqueToken
        | RejectionKind::EncryptedToken
        | RejectionKind::EncryptionNotAccepted
        | RejectionKind::Undecryptable
        | RejectionKind::MalformedToken
        | RejectionKind::UnsupportedHeader
        | RejectionKind::MissingClaim
        | RejectionKind::MalformedClaim => invalid_token(MALFORMED),
        // One text for whatever is found before the signature is good: else anybody could ask which
        // issuers are trusted.
        RejectionKind::WrongType
        | RejectionKind::AlgorithmNotAllowed
        | RejectionKind::NotEncrypted
        | RejectionKind::UnknownIssuer
        | RejectionKind::UnknownKey
        | RejectionKind::AmbiguousKey
        | RejectionKind::BadSignature => invalid_token(UNSIGNED),
        RejectionKind::Inactive => invalid_token("the access token is not active"),
        RejectionKind::OtherTokenKind => invalid_token("the token is not an access token"),
        RejectionKind::WrongAudience => {
            invalid_token("the access token is meant for another resource")
        }
        RejectionKind::Expired => invalid_token(EXPIRED),
        RejectionKind::NotYetValid | RejectionKind::IssuedInFuture => {
            invalid_token("the access token is not valid yet")
        }
        RejectionKind::LifetimeTooLong => {
            invalid_token("the access token lives longer than is accepted")
        }
        RejectionKind::TooOld => invalid_token("the access token was issued too long ago"),
        RejectionKind::NotBound => invalid_token("the access token has to be bound to its sender"),
        RejectionKind::SenderNotProven => {
            invalid_token("the access token is bound to a sender that was not proven")
        }
        RejectionKind::BearerDowngrade => {
            invalid_token("the access token is bound to a key: use the DPoP scheme with a proof")
        }
        RejectionKind::UnboundUnderDpop => {
            invalid_token("the access token is not bound to a DPoP key")
        }
        RejectionKind::ProofMissing => invalid_proof("a DPoP proof is required"),
        RejectionKind::SeveralProofs => invalid_proof("more than one DPoP proof"),
        RejectionKind::ProofMalformed => invalid_proof("the DPoP proof is malformed"),
        RejectionKind::ProofAlgorithm => {
            invalid_proof("the algorithm of the DPoP proof is not accepted")
        }
        RejectionKind::ProofKey => invalid_proof("the key of the DPoP proof cannot be used"),
        RejectionKind::ProofSignature => {
            invalid_proof("the signature of the DPoP proof does not verify")
        }
        RejectionKind::ProofMethod => invalid_proof("the DPoP proof is for another method"),
        RejectionKind::ProofUri => invalid_proof("the DPoP proof is for another URI"),
        RejectionKind::ProofNotFresh => invalid_proof("the DPoP proof is not of now"),
        RejectionKind::ProofToken => invalid_proof("the DPoP proof is for another access token"),
        RejectionKind::ProofReplayed => invalid_proof("the DPoP proof was used before"),
        RejectionKind::NonceMissing => use_nonce("a nonce is required in the DPoP proof"),
        RejectionKind::NonceNotAccepted => use_nonce("another nonce is required in the DPoP proof"),
        RejectionKind::OtherKey => invalid_token("the access token is bound to another DPoP key"),
        RejectionKind::CertificateMissing => invalid_token(
            "the access token is bound to a client certificate, and none was presented",
        ),
        RejectionKind::OtherCertificate => {
            invalid_token("the access token is bound to another client certificate")
        }
        RejectionKind::TokenUsed => invalid_token("the access token was for one use"),
        RejectionKind::NoTokenId => {
            invalid_token("the access token has no id, and its use has to be remembered")
        }
        RejectionKind::Revoked => invalid_token("the access token is revoked"),
        RejectionKind::Suspended => invalid_token("the access token is suspended"),
        RejectionKind::StatusIndex | RejectionKind::StatusMissing | RejectionKind::StatusUri => {
            invalid_token("the access token has no status that can be looked up")
        }
        RejectionKind::InsufficientAuthentication | RejectionKind::StepUpDemanded => Reply::Error(
            StatusCode::UNAUTHORIZED,
            INSUFFICIENT_USER_AUTHENTICATION,
            "another or a more recent authentication of the user is required",
        ),
        RejectionKind::NotAccepted => invalid_token("the access token is not accepted"),
        RejectionKind::InsufficientScope => Reply::Error(
            StatusCode::FORBIDDEN,
            INSUFFICIENT_SCOPE,
            "the access token does not grant enough for this request",
        ),
        RejectionKind::KeysUnavailable
        | RejectionKind::VerificationOverloaded
        | RejectionKind::DecryptionUnavailable
        | RejectionKind::IntrospectionUnavailable
        | RejectionKind::IssuerUnavailable
        | RejectionKind::CheckUnavailable
        | RejectionKind::RevocationUnavailable
        | RejectionKind::ReplayUnavailable => Reply::Later,
        RejectionKind::Misconfigured => Reply::Broken,
    }
}

/// What gRPC calls it (grpc/grpc, `doc/statuscodes.md`).
fn grpc_status(status: StatusCode) -> &'static str {
    const PERMISSION_DENIED: &str = "7";
    const INTERNAL: &str = "13";
    const UNAVAILABLE: &str = "14";
    const UNAUTHENTICATED: &str = "16";
    match status {
        StatusCode::FORBIDDEN => PERMISSION_DENIED,
        StatusCode::SERVICE_UNAVAILABLE => UNAVAILABLE,
        StatusCode::INTERNAL_SERVER_ERROR => INTERNAL,
        // A request without usable credentials, whatever is wrong with them.
        _ => UNAUTHENTICATED,
    }
}

/// A response that is all headers (gRPC over HTTP/2, "Trailers-Only"): status and metadata.
fn respond_grpc<B: Default>(rejection: &Rejection) -> Response<B> {
    const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
    const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
    /// gRFC A6: when the client may try again, in milliseconds.
    const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

    let mut response = respond::<B>(rejection);
    let status = std::mem::replace(response.status_mut(), StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(GRPC_STATUS, HeaderValue::from_static(grpc_status(status)));
    // The texts have no character that would have to be percent-encoded.
    let text = reply(rejection.kind()).text();
    headers.insert(GRPC_MESSAGE, HeaderValue::from_static(text));
    if let Some(time) = rejection.retry_after() {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
        headers.insert(PUSHBACK, HeaderValue::from(millis));
    }
    response
}

fn respond<B: Default>(rejection: &Rejection) -> Response<B> {
    let mut response = Response::new(B::default());
    let headers = response.headers_mut();
    let reply = reply(rejection.kind());
    match reply {
        Reply::Bare => challenges(rejection, None, headers),
        Reply::Error(_, code, text) => challenges(rejection, Some((code, text)), headers),
        Reply::Later => {
            headers.insert(RETRY_AFTER, retry_after(rejection));
        }
        Reply::Broken => {}
    }
    if let Some(nonce) = rejection.dpop_nonce() {
        headers.insert(ResponseFields::NONCE, nonce.clone());
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let context = rejection.context();
    if context.visibility == ChallengeVisibility::Exposed {
        let exposed = match context.server.nonces {
            NonceIssuing::Off => "WWW-Authenticate, Retry-After",
            NonceIssuing::On => "WWW-Authenticate, Retry-After, DPoP-Nonce",
        };
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(exposed));
    }
    *response.status_mut() = reply.status();
    response.extensions_mut().insert(rejection.clone());
    response
}

/// A challenge for each scheme that the route offers, and for the one that the request used, if
/// there is something to say of it: that one comes first, since some clients read no further.
fn challenges(rejection: &Rejection, error: Option<(&str, &str)>, headers: &mut HeaderMap) {
    let offered = rejection.context().schemes.offered();
    let used = rejection.scheme().filter(|_| error.is_some());
    let others = offered.iter().copied().filter(|scheme| Some(*scheme) != used);
    for scheme in used.into_iter().chain(others) {
        // Where it cannot be told which scheme was meant, each is told (RFC 9449 §7.2).
        let told = used.is_none() || used == Some(scheme);
        let error = error.filter(|_| told);
        let write = || value(scheme, rejection, error);
        let ready = ready_place(rejection, error)
            .and_then(|place| rejection.context().ready.get_or_write(scheme, place, write));
        headers.append(WWW_AUTHENTICATE, ready.unwrap_or_else(write));
    }
}

/// The place of a challenge that is the same for every request of the policy.
fn ready_place(rejection: &Rejection, error: Option<(&str, &str)>) -> Option<usize> {
    if !rejection.denied_scopes().is_empty() || rejection.step_up().is_some() {
        return None;
    }
    match error {
        None => Some(0),
        Some((INVALID_TOKEN, text)) => {
            let place = READY.iter().position(|ready| *ready == text)?;
            place.checked_add(1)
        }
        Some(_) => None,
    }
}

fn value(scheme: Scheme, rejection: &Rejection, error: Option<(&str, &str)>) -> HeaderValue {
    // INVARIANT: every part was checked to be legal; the bare scheme is the safe remainder.
    HeaderValue::try_from(challenge(scheme, rejection, error)).unwrap_or(match scheme {
        Scheme::Bearer => HeaderValue::from_static("Bearer realm=\"\""),
        Scheme::Dpop => HeaderValue::from_static("DPoP realm=\"\""),
    })
}

fn challenge(scheme: Scheme, rejection: &Rejection, error: Option<(&str, &str)>) -> String {
    let params = &rejection.context().server.params;
    let mut text = String::with_capacity(256);
    text.push_str(scheme.as_str());
    text.push(' ');
    text.push_str(&params.common);
    let mut param = |name: &str, value: &str| {
        for part in [", ", name, "=\"", value, "\""] {
            text.push_str(part);
        }
    };
    if let Some((code, description)) = error {
        param("error", code);
        param("error_description", description);
    }
    if let (Some(step_up), true) = (rejection.step_up(), error.is_some()) {
        // A value that no challenge can carry would break it, or smuggle something into it.
        let values: Vec<_> =
            step_up.acr_value_list().filter(|value| is_scope_token(value.as_bytes())).collect();
        if !values.is_empty() {
            param("acr_values", &values.join(" "));
        }
        if let Some(age) = step_up.max_age_limit() {
            param("max_age", &age.as_secs().to_string());
        }
    }
    // A check that refused for another reason than scope must not send the client for scopes that
    // it has.
    let wants_scope = match error {
        None => true,
        Some((INSUFFICIENT_SCOPE, _)) => !rejection.denied_scopes().is_empty(),
        Some((code, _)) => code != INVALID_REQUEST,
    };
    let scope = if wants_scope { all_scopes(rejection) } else { String::new() };
    if !scope.is_empty() {
        param("scope", &scope);
    }
    if scheme == Scheme::Dpop {
        param("algs", &params.algs);
    }
    if error.is_some() {
        text.push_str(&params.with_error);
    }
    text
}

/// The scopes of every policy met and those a denied check named, once each, in one challenge.
fn all_scopes(rejection: &Rejection) -> String {
    let context = rejection.context();
    let denied = rejection.denied_scopes().iter();
    let more = denied.filter(|scope| !context.scopes.contains(scope));
    let scopes: Vec<&str> = context.scopes.iter().chain(more).map(AsRef::as_ref).collect();
    scopes.join(" ")
}

/// Whole seconds, rounded up, at least one.
fn retry_after(rejection: &Rejection) -> HeaderValue {
    let time = rejection.retry_after().unwrap_or_default();
    let round_up = u64::from(time.subsec_nanos() > 0);
    HeaderValue::from(time.as_secs().saturating_add(round_up).max(1))
}

impl Rejection {
    /// The answer for the client: status, `WWW-Authenticate` or `Retry-After`, an empty body, and
    /// this rejection in the response's extensions.
    #[must_use]
    pub fn to_response<B: Default>(&self) -> Response<B> {
        respond(self)
    }

    /// The answer for a gRPC client: HTTP 200 without a body, with `grpc-status` UNAUTHENTICATED
    /// (16), PERMISSION_DENIED (7), UNAVAILABLE (14) or INTERNAL (13), and a fixed `grpc-message`.
    /// `www-authenticate`, `retry-after` and `grpc-retry-pushback-ms` stand beside them, which
    /// clients read as metadata.
    #[must_use]
    pub fn to_grpc_response<B: Default>(&self) -> Response<B> {
        respond_grpc(self)
    }

    /// The status of [`Rejection::to_response`].
    #[must_use]
    pub fn status(&self) -> StatusCode {
        reply(self.kind()).status()
    }
}

/// What a server's challenges have in common, from its configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct ParamsBuilder {
    pub(crate) realm: String,
    pub(crate) metadata_url: Option<String>,
    pub(crate) error_uri: Option<String>,
    pub(crate) params: Vec<(String, String)>,
    pub(crate) algs: String,
}

impl ParamsBuilder {
    pub(crate) fn build(&self, faults: &mut Faults) -> ChallengeParams {
        let mut fault = |place: &str, name: &str, wanted| {
            faults.push_at(place, ConfigFault::ChallengeParam { name: name.to_owned(), wanted });
        };
        let mut common = String::new();
        let mut push = |name: &str, value: &str| {
            if !common.is_empty() {
                common.push_str(", ");
            }
            common.push_str(&format!("{name}=\"{value}\""));
        };
        if !is_description(&self.realm) || self.realm.is_empty() {
            fault("realm", "realm", "has to be printable ASCII without \" and \\, and not empty");
        }
        push("realm", &self.realm);
        if let Some(url) = &self.metadata_url {
            if !is_description(url) {
                fault(
                    "resource_metadata",
                    "resource_metadata",
                    "has to be printable ASCII without \" and \\",
                );
            }
            push("resource_metadata", url);
        }
        let mut seen: Vec<String> = RESERVED.iter().map(ToString::to_string).collect();
        for (name, value) in &self.params {
            let lower = name.to_ascii_lowercase();
            let mut fault = |wanted| fault(&format!("params.{}", key(name)), name, wanted);
            let is_token = !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
            if !is_token {
                fault("has to be named with letters, digits, `_`, `-` and `.`");
            } else if seen.contains(&lower) {
                fault("occurs twice; each auth-param occurs once (RFC 9110 §11.2)");
            } else if !is_description(value) {
                fault("has to be printable ASCII without \" and \\");
            } else {
                push(name, value);
            }
            seen.push(lower);
        }
        let mut with_error = String::new();
        if let Some(uri) = &self.error_uri {
            let legal = !uri.is_empty() && !uri.contains(' ') && is_description(uri);
            if !legal || uri.parse::<http::Uri>().is_err() {
                fault("error_uri", "error_uri", "has to be a URI reference (RFC 6750 §3)");
            }
            with_error = format!(", error_uri=\"{uri}\"");
        }
        ChallengeParams { common, with_error, algs: self.algs.clone() }
    }
}

/// `%x20-21 / %x23-5B / %x5D-7E` (RFC 6750 §3).
fn is_description(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, 0x20 | 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}
