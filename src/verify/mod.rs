//! The decision: one function, ten steps, cheap before costly, state changed last.
//!
//! 1. Exactly one `Authorization` field, a known scheme, within the bounds.
//! 2. The token's shape and header: compact JWS, `alg`, `typ`, nothing that is not understood.
//! 3. The key, by issuer AND `kid`.
//! 4. The signature.
//! 5. The claims that RFC 9068 §2.2 requires are there and of the right type.
//! 6. Audience, `exp`, `nbf`, `iat`, token class.
//! 7. The sender: everything in `cnf` is enforced.
//! 8. Revocation. No source of it exists yet: the step is empty.
//! 9. The policy's checks, in the order given.
//! 10. Replay memory and single use. Neither exists yet: the step is empty.
//!
//! The first failure ends it, and its number stands on the [`crate::Rejection`].
//!
//! It waits for nothing: where keys have to be fetched it says so, and is called again afterwards.
//! Time comes in as an argument.

mod class;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::access::{Access, Facts, Implies};
use crate::check::{Check, CheckContext, CheckError, DenialKind, RequestHead};
use crate::credentials::{Credentials, CredentialsError};
use crate::error::{Answers, Refusal, RejectionKind};
use crate::issuer::{Attempt, KeyWait, Lookup, Registry};
use crate::jose::claims::required;
use crate::jose::compact::CompactError;
use crate::jose::json::JsonError;
use crate::jose::{Algorithm, ClaimError, Claims, Compact, HeaderError, KeyChoiceError};
use crate::name::{ClientId, JwtId, Subject};
use crate::sender::{self, Binding};
use crate::time::{Moment, Timestamp};

pub use class::TokenClass;

/// The media type of a JWT access token (RFC 9068 §2.1).
const ACCESS_TOKEN_TYPE: &str = "at+jwt";

/// What a server demands of every token.
pub(crate) struct Rules {
    pub(crate) issuers: Registry,
    /// This resource, and other names it answers to.
    pub(crate) audiences: Vec<Box<str>>,
    pub(crate) other_audiences: OtherAudiences,
    pub(crate) leeway: Duration,
    pub(crate) class: TokenClass,
    pub(crate) binding: Binding,
    pub(crate) max_token: usize,
    pub(crate) implies: Implies,
    pub(crate) answers: Arc<Answers>,
}

/// What a token may do that names other audiences beside this resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OtherAudiences {
    /// It is accepted, as RFC 9068 §4 has it. Any of its audiences can use it at the others.
    #[default]
    Accept,
    /// It is refused.
    Refuse,
}

/// Why a decision stops without an [`Access`].
pub(crate) enum Stop {
    Refused(Refusal),
    /// Decide again after this.
    Wait(KeyWait),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Rules {
    /// Decides one request.
    pub(crate) fn decide(
        &self,
        head: RequestHead<'_>,
        check: &dyn Check,
        at: Moment,
        attempt: Attempt,
    ) -> Result<Access, Stop> {
        // 1
        let credentials =
            Credentials::read(head.headers, self.max_token).map_err(unusable_credentials)?;

        // 2. The payload is read here too: `iss` is needed to find the key.
        let jws = Compact::parse(credentials.token()).map_err(unusable_form)?;
        let header = jws.header().map_err(unusable_header)?;
        if !header.is_type(ACCESS_TOKEN_TYPE) {
            let detail = format!("`typ` is {}, wanted `at+jwt`", shown(header.typ()));
            return refuse(RejectionKind::WrongType, detail);
        }
        let claims = Claims::parse(jws.payload()).map_err(unusable_payload)?;

        // 3
        let issuer = claims
            .text("iss")
            .ok()
            .flatten()
            .and_then(|iss| self.issuers.get(&iss))
            .ok_or_else(|| {
                Refusal::new(
                    RejectionKind::UnknownIssuer,
                    "`iss` is not one of the issuers",
                )
            })?;
        let algorithm = header.algorithm();
        if !issuer.allows(algorithm) {
            let detail = format!("`alg` is {algorithm}, which {} may not use", issuer.id());
            return refuse(RejectionKind::AlgorithmNotAllowed, detail);
        }
        let key = match issuer.find(header.kid(), algorithm, at, attempt) {
            Lookup::Found(key) => key,
            Lookup::Wait(wait) => return Err(Stop::Wait(wait)),
            Lookup::NotFound(error) => {
                return Err(no_key(error, header.kid(), algorithm, issuer.id().as_str()).into());
            }
            Lookup::Unavailable { retry_after, error } => {
                let detail = format!("no keys of {}", issuer.id());
                let mut refusal = Refusal::new(RejectionKind::KeysUnavailable, detail);
                refusal.retry_after = retry_after;
                return Err(match error {
                    Some(error) => refusal.caused_by(error).into(),
                    None => refusal.into(),
                });
            }
        };

        // 4
        key.verify(algorithm, &jws)
            .map_err(|error| Refusal::new(RejectionKind::BadSignature, error.to_string()))?;

        // 5
        let facts = RequiredClaims::read(&claims).map_err(unusable_claim)?;
        if claims.has("events") {
            let detail = "the token has `events`: it is a security event token (RFC 8417)";
            return refuse(RejectionKind::OtherTokenKind, detail);
        }

        // 6
        self.check_audience(&facts)?;
        self.check_time(&facts, at.now())?;

        // 7
        sender::enforce(&claims, self.binding)?;

        // 8. Revocation: no source of it exists yet.

        // 9
        let access = Access::new(
            Facts {
                issuer: Arc::clone(issuer.id()),
                subject: Subject::from_token(&facts.subject),
                client_id: ClientId::from_token(&facts.client_id),
                jwt_id: JwtId::from_token(&facts.jwt_id),
                audiences: facts
                    .audiences
                    .iter()
                    .map(|audience| (**audience).into())
                    .collect(),
                scope: (*facts.scope).into(),
                issued_at: facts.issued_at,
                expires_at: facts.expires_at,
                claims: jws.payload().into(),
                answers: Arc::clone(&self.answers),
                implies: self.implies.clone(),
            },
            at.now(),
        );
        check
            .check(&CheckContext::new(&access, head, at.now()))
            .map_err(refused_by_check)?;

        // 10. Replay memory and single use: neither exists yet.
        Ok(access)
    }

    fn check_audience(&self, claims: &RequiredClaims<'_>) -> Result<(), Refusal> {
        let ours = |audience: &str| self.audiences.iter().any(|our| **our == *audience);
        let accepted = match self.other_audiences {
            OtherAudiences::Accept => claims.audiences.iter().any(|audience| ours(audience)),
            OtherAudiences::Refuse => claims.audiences.iter().all(|audience| ours(audience)),
        };
        if accepted {
            return Ok(());
        }
        let other = claims.audiences.iter().find(|audience| !ours(audience));
        let found = shown(other.map(AsRef::as_ref));
        let wanted = self
            .audiences
            .first()
            .map(AsRef::as_ref)
            .unwrap_or_default();
        let detail = match self.other_audiences {
            OtherAudiences::Accept => format!("`aud` is {found}, wanted {wanted:?}"),
            OtherAudiences::Refuse => format!("`aud` has {found}, wanted {wanted:?} and no other"),
        };
        Err(Refusal::new(RejectionKind::WrongAudience, detail))
    }

    fn check_time(&self, claims: &RequiredClaims<'_>, now: Timestamp) -> Result<(), Refusal> {
        let RequiredClaims {
            issued_at,
            expires_at,
            not_before,
            ..
        } = claims;
        if now >= expires_at.plus(self.leeway) {
            let detail = format!("`exp` is {expires_at}, it is {now}");
            return Err(Refusal::new(RejectionKind::Expired, detail));
        }
        let latest = now.plus(self.leeway);
        if let Some(not_before) = not_before.filter(|not_before| *not_before > latest) {
            let detail = format!("`nbf` is {not_before}, it is {now}");
            return Err(Refusal::new(RejectionKind::NotYetValid, detail));
        }
        if *issued_at > latest {
            let detail = format!("`iat` is {issued_at}, it is {now}");
            return Err(Refusal::new(RejectionKind::IssuedInFuture, detail));
        }
        match expires_at.since(*issued_at) {
            Some(lifetime) if !lifetime.is_zero() && lifetime <= self.class.max_lifetime() => {
                Ok(())
            }
            lifetime => {
                let detail = format!(
                    "`exp` is {:?} after `iat`, at most {:?} is accepted",
                    lifetime.unwrap_or_default(),
                    self.class.max_lifetime(),
                );
                Err(Refusal::new(RejectionKind::LifetimeTooLong, detail))
            }
        }
    }
}

/// The claims of RFC 9068 §2.2, and those that are checked where they are present.
struct RequiredClaims<'a> {
    subject: Cow<'a, str>,
    client_id: Cow<'a, str>,
    jwt_id: Cow<'a, str>,
    audiences: Vec<Cow<'a, str>>,
    scope: Cow<'a, str>,
    issued_at: Timestamp,
    expires_at: Timestamp,
    not_before: Option<Timestamp>,
}

impl<'a> RequiredClaims<'a> {
    fn read(claims: &Claims<'a>) -> Result<Self, ClaimError> {
        let text = |name| required(name, claims.text(name));
        Ok(Self {
            expires_at: required("exp", claims.time("exp"))?,
            issued_at: required("iat", claims.time("iat"))?,
            not_before: claims.time("nbf")?,
            audiences: required("aud", claims.audiences())?,
            subject: text("sub")?,
            client_id: text("client_id")?,
            jwt_id: text("jti")?,
            scope: claims.scope()?,
        })
    }
}

fn refuse<T>(kind: RejectionKind, detail: impl Into<Cow<'static, str>>) -> Result<T, Stop> {
    Err(Stop::Refused(Refusal::new(kind, detail)))
}

fn unusable_credentials(error: CredentialsError) -> Refusal {
    let kind = match error {
        CredentialsError::Absent => RejectionKind::NoCredentials,
        CredentialsError::Several => RejectionKind::SeveralCredentials,
        CredentialsError::UnsupportedScheme => RejectionKind::UnsupportedScheme,
        CredentialsError::Malformed => RejectionKind::MalformedCredentials,
        CredentialsError::TooLong => RejectionKind::TokenTooLong,
    };
    Refusal::new(kind, error.to_string())
}

fn unusable_form(error: CompactError) -> Refusal {
    let kind = match error {
        CompactError::Opaque => RejectionKind::OpaqueToken,
        CompactError::Encrypted => RejectionKind::EncryptedToken,
        _ => RejectionKind::MalformedToken,
    };
    Refusal::new(kind, error.to_string())
}

fn unusable_header(error: HeaderError) -> Refusal {
    let kind = match error {
        HeaderError::Json(_) | HeaderError::KeyId => RejectionKind::MalformedToken,
        HeaderError::Algorithm => RejectionKind::AlgorithmNotAllowed,
        HeaderError::Type => RejectionKind::WrongType,
        HeaderError::Unsupported(_) => RejectionKind::UnsupportedHeader,
    };
    Refusal::new(kind, error.to_string())
}

fn unusable_payload(error: JsonError) -> Refusal {
    Refusal::new(
        RejectionKind::MalformedToken,
        format!("the payload is {error}"),
    )
}

fn unusable_claim(error: ClaimError) -> Refusal {
    let kind = match error {
        ClaimError::Missing(_) => RejectionKind::MissingClaim,
        ClaimError::Malformed { .. } => RejectionKind::MalformedClaim,
    };
    Refusal::new(kind, error.to_string())
}

fn no_key(error: KeyChoiceError, kid: Option<&str>, algorithm: Algorithm, issuer: &str) -> Refusal {
    let kind = match error {
        KeyChoiceError::Ambiguous => RejectionKind::AmbiguousKey,
        KeyChoiceError::Unknown => RejectionKind::UnknownKey,
    };
    let kid = shown(kid);
    Refusal::new(
        kind,
        format!("{error}: kid {kid}, alg {algorithm}, issuer {issuer}"),
    )
}

/// What a check's refusal is answered with, here and in layers below.
pub(crate) fn refused_by_check(error: CheckError) -> Refusal {
    match error {
        CheckError::Denied(denial) => {
            let kind = match denial.kind() {
                DenialKind::InsufficientScope => RejectionKind::InsufficientScope,
                DenialKind::InvalidToken => RejectionKind::NotAccepted,
            };
            let mut refusal = Refusal::new(kind, denial.to_string());
            refusal.scopes = denial.scopes().to_vec();
            refusal
        }
        CheckError::Unavailable(unavailable) => {
            let mut refusal =
                Refusal::new(RejectionKind::CheckUnavailable, unavailable.to_string());
            refusal.retry_after = unavailable.retry_after_time();
            refusal
        }
    }
}

/// A value of a request for an operator's log: quoted, escaped and cut.
fn shown(value: Option<&str>) -> String {
    const SHOWN: usize = 100;
    match value {
        None => "absent".to_owned(),
        Some(value) if value.len() <= SHOWN => format!("{value:?}"),
        Some(value) => {
            let start: String = value.chars().take(SHOWN).collect();
            format!("{start:?}…")
        }
    }
}
