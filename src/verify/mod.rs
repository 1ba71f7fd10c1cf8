//! The decision: ten steps, cheap before costly, state changed last.
//!
//! [`Rules::authenticate`] takes steps 1 to 5 and ends with [`Facts`]: what the issuer said.
//! [`Rules::authorize`] takes steps 6 to 10 and reads nothing of the token but those. So a token
//! that is already known, or that somebody else has read, skips the first and never the second.
//!
//! The first failure ends it, and its number stands on the [`crate::Rejection`].
//!
//! It waits for nothing and starts nothing: where a key is missing it says so, and is called again
//! when something was done about that. Time comes in as an argument.

mod class;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::access::{Access, Confirmation, Facts};
use crate::check::{Check, CheckContext, CheckError, DenialKind};
use crate::context::PolicyContext;
use crate::credentials::{Credentials, CredentialsError, RequestHead};
use crate::error::{Refusal, RejectionKind};
use crate::issuer::{Attempt, IssuerKeys, KeyMiss, Registry};
use crate::jose::claims::required;
use crate::jose::json::JsonError;
use crate::jose::{
    Algorithm, ClaimError, ClaimsSet, Compact, CompactError, HeaderError, KeyChoiceError,
};
use crate::name::{Audience, ClientId, IssuerId, JwtId, Subject};
use crate::sender::{self, Binding};
use crate::time::{Moment, Timestamp};

pub use class::TokenClass;

/// The media type of a JWT access token (RFC 9068 §2.1).
const ACCESS_TOKEN_TYPE: &str = "at+jwt";

/// What a server demands of every token.
pub(crate) struct Rules {
    pub(crate) issuers: Registry,
    /// This resource, and other names it answers to.
    pub(crate) audiences: Vec<Audience>,
    pub(crate) other_audiences: OtherAudiences,
    pub(crate) leeway: Duration,
    pub(crate) class: TokenClass,
    pub(crate) binding: Binding,
    pub(crate) max_token: usize,
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
    /// A key is missing. Unless something can be done about it, this is the refusal.
    NoKey {
        issuer: Arc<IssuerKeys>,
        miss: KeyMiss,
        refusal: Refusal,
    },
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
        context: &Arc<PolicyContext>,
        at: Moment,
        attempt: Attempt,
    ) -> Result<Access, Stop> {
        let facts = self.authenticate(head, at, attempt)?;
        Ok(self.authorize(Arc::new(facts), head, check, context, at)?)
    }

    /// Steps 1 to 5: what the token says, and that its issuer said it.
    fn authenticate(
        &self,
        head: RequestHead<'_>,
        at: Moment,
        attempt: Attempt,
    ) -> Result<Facts, Stop> {
        // 1. Exactly one `Authorization` field, a known scheme, within the bounds.
        let credentials =
            Credentials::read(head.headers, self.max_token).map_err(unusable_credentials)?;

        // 2. The token's shape and header. The payload is read here too: `iss` is needed to find
        // the key.
        let jws = Compact::parse(credentials.token()).map_err(unusable_form)?;
        let header = jws.header().map_err(unusable_header)?;
        if !header.is_type(ACCESS_TOKEN_TYPE) {
            let detail = format!("`typ` is {}, wanted `at+jwt`", shown(header.typ()));
            return refuse(RejectionKind::WrongType, detail);
        }
        let claims = ClaimsSet::parse(jws.payload()).map_err(unusable_payload)?;

        // 3. The key, by issuer AND `kid`.
        let iss = claims.text("iss").ok().flatten();
        let Some(issuer) = iss.as_deref().and_then(|iss| self.issuers.get(iss)) else {
            let iss = shown(iss.as_deref());
            let detail = format!("`iss` is {iss}, which is not one of the issuers");
            return refuse(RejectionKind::UnknownIssuer, detail);
        };
        let algorithm = header.algorithm();
        if !issuer.allows(algorithm) {
            let detail = format!("`alg` is {algorithm}, which {} may not use", issuer.id());
            return refuse(RejectionKind::AlgorithmNotAllowed, detail);
        }
        let key = issuer.find(header.kid(), algorithm, at, attempt).map_err(|miss| {
            let refusal = no_key(miss, header.kid(), algorithm, issuer.id());
            Stop::NoKey { issuer: Arc::clone(issuer), miss, refusal }
        })?;

        // 4. The signature.
        key.verify(algorithm, &jws)
            .map_err(|error| Refusal::new(RejectionKind::BadSignature, error.to_string()))?;

        // 5. The claims that RFC 9068 §2.2 requires are there and of the right type.
        let facts = facts_of(&claims, issuer.id(), jws.payload()).map_err(unusable_claim)?;
        if claims.has("events") {
            let detail = "the token has `events`: it is a security event token (RFC 8417)";
            return refuse(RejectionKind::OtherTokenKind, detail);
        }
        Ok(facts)
    }

    /// Steps 6 to 10: whether what the token says is enough, here and now.
    fn authorize(
        &self,
        facts: Arc<Facts>,
        head: RequestHead<'_>,
        check: &dyn Check,
        context: &Arc<PolicyContext>,
        at: Moment,
    ) -> Result<Access, Refusal> {
        // 6. Audience, `exp`, `nbf`, `iat`, token class.
        self.check_audience(&facts)?;
        self.check_time(&facts, at.wall())?;

        // 7. The sender: everything in `cnf` is enforced.
        sender::enforce(facts.confirmation, self.binding)?;

        // 8. Revocation: no source of it exists yet.

        // 9. The policy's checks, in the order given.
        let access = Access::new(facts, Arc::clone(context), at.wall());
        check.check(&CheckContext::new(&access, head, at.wall())).map_err(refused_by_check)?;

        // 10. Replay memory and single use: neither exists yet.
        Ok(access)
    }

    fn check_audience(&self, facts: &Facts) -> Result<(), Refusal> {
        let ours = |audience: &Audience| self.audiences.contains(audience);
        let accepted = match self.other_audiences {
            OtherAudiences::Accept => facts.audiences.iter().any(ours),
            OtherAudiences::Refuse => facts.audiences.iter().all(ours),
        };
        if accepted {
            return Ok(());
        }
        let other = facts.audiences.iter().find(|audience| !ours(audience));
        let found = shown(other.map(Audience::as_str));
        let wanted = self.audiences.first().map(Audience::as_str).unwrap_or_default();
        let detail = match self.other_audiences {
            OtherAudiences::Accept => format!("`aud` is {found}, wanted {wanted:?}"),
            OtherAudiences::Refuse => format!("`aud` has {found}, wanted {wanted:?} and no other"),
        };
        Err(Refusal::new(RejectionKind::WrongAudience, detail))
    }

    fn check_time(&self, facts: &Facts, now: Timestamp) -> Result<(), Refusal> {
        let expires_at = facts.expires_at;
        if now >= expires_at.plus(self.leeway) {
            let detail = format!("`exp` is {expires_at}, it is {now}");
            return Err(Refusal::new(RejectionKind::Expired, detail));
        }
        let latest = now.plus(self.leeway);
        if let Some(not_before) = facts.not_before.filter(|not_before| *not_before > latest) {
            let detail = format!("`nbf` is {not_before}, it is {now}");
            return Err(Refusal::new(RejectionKind::NotYetValid, detail));
        }
        if let Some(issued_at) = facts.issued_at.filter(|issued_at| *issued_at > latest) {
            let detail = format!("`iat` is {issued_at}, it is {now}");
            return Err(Refusal::new(RejectionKind::IssuedInFuture, detail));
        }
        // Without `iat` nothing says how long the token lives: no class accepts that.
        let lifetime = facts.issued_at.and_then(|issued_at| expires_at.since(issued_at));
        let lifetime = lifetime.unwrap_or_default();
        if lifetime.is_zero() || lifetime > self.class.max_lifetime() {
            let most = self.class.max_lifetime();
            let detail = format!("`exp` is {lifetime:?} after `iat`, at most {most:?} is accepted");
            return Err(Refusal::new(RejectionKind::LifetimeTooLong, detail));
        }
        Ok(())
    }
}

/// The claims of RFC 9068 §2.2, and those that are checked where they are present.
fn facts_of(
    claims: &ClaimsSet<'_>,
    issuer: &Arc<IssuerId>,
    payload: &[u8],
) -> Result<Facts, ClaimError> {
    let text = |name| required(name, claims.text(name));
    let time = |name| claims.time(name);
    Ok(Facts {
        expires_at: required("exp", time("exp"))?,
        issued_at: Some(required("iat", time("iat"))?),
        not_before: time("nbf")?,
        audiences: required("aud", claims.audiences())?
            .iter()
            .map(|audience| Audience::from_token(audience))
            .collect(),
        subject: Subject::from_token(&text("sub")?),
        client_id: Some(ClientId::from_token(&text("client_id")?)),
        jwt_id: Some(JwtId::from_token(&text("jti")?)),
        scope: claims.scope()?.into(),
        confirmation: match claims.has("cnf") {
            true => Confirmation::Unenforceable,
            false => Confirmation::Absent,
        },
        issuer: Arc::clone(issuer),
        claims: payload.into(),
    })
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
    Refusal::new(RejectionKind::MalformedToken, format!("the payload is {error}"))
}

fn unusable_claim(error: ClaimError) -> Refusal {
    let kind = match error {
        ClaimError::Missing(_) => RejectionKind::MissingClaim,
        ClaimError::Malformed { .. } => RejectionKind::MalformedClaim,
    };
    Refusal::new(kind, error.to_string())
}

fn no_key(miss: KeyMiss, kid: Option<&str>, algorithm: Algorithm, issuer: &IssuerId) -> Refusal {
    let (kind, why) = match miss {
        KeyMiss::Choice(KeyChoiceError::Ambiguous) => {
            (RejectionKind::AmbiguousKey, "more than one key fits")
        }
        KeyMiss::Choice(KeyChoiceError::Unknown) => (RejectionKind::UnknownKey, "no key fits"),
        KeyMiss::NoKeys | KeyMiss::Stale => {
            return Refusal::new(RejectionKind::KeysUnavailable, format!("no keys of {issuer}"));
        }
    };
    Refusal::new(kind, format!("{why}: kid {}, alg {algorithm}, issuer {issuer}", shown(kid)))
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
