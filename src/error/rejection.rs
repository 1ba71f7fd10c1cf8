use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Answers;
use crate::name::Scope;

/// The steps of a decision, in their order. A [`Rejection`] carries the one that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Step {
    /// 1: exactly one `Authorization` field, a known scheme, within the bounds.
    Credentials,
    /// 2: the token's shape and header.
    Token,
    /// 3: the key, by issuer and key id.
    Key,
    /// 4: the signature.
    Signature,
    /// 5: required claims are present and of the right type.
    Claims,
    /// 6: audience, `exp`, `nbf`, `iat`, token class.
    Validity,
    /// 7: the sender: everything in `cnf` is enforced.
    Sender,
    /// 8: revocation.
    Revocation,
    /// 9: the policy's checks.
    Checks,
    /// 10: replay memory and single use.
    SingleUse,
}

impl Step {
    /// The step's number, 1 to 10.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Credentials => 1,
            Self::Token => 2,
            Self::Key => 3,
            Self::Signature => 4,
            Self::Claims => 5,
            Self::Validity => 6,
            Self::Sender => 7,
            Self::Revocation => 8,
            Self::Checks => 9,
            Self::SingleUse => 10,
        }
    }
}

/// What kind of answer a rejection is, before any detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// "No": 400, 401 or 403.
    Refused,
    /// "Cannot tell now": 503.
    Unavailable,
    /// The server is mounted or configured wrongly: 500.
    Misconfigured,
}

/// Why a request was refused. `Copy` and bounded: fit for a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RejectionKind {
    /// No `Authorization` field.
    NoCredentials,
    /// An authentication scheme that this server does not offer.
    UnsupportedScheme,
    /// More than one `Authorization` field.
    SeveralCredentials,
    /// An `Authorization` field that is not `scheme 1*SP token68`.
    MalformedCredentials,
    /// A token longer than the bound.
    TokenTooLong,
    /// A token that is not a JWT, while nobody can be asked what it means.
    OpaqueToken,
    /// An encrypted token (five parts).
    EncryptedToken,
    /// Not a compact JWS of two JSON objects.
    MalformedToken,
    /// A header that asks for what is not done here: `crit`, `b64`, `zip`, `enc`, `cty`.
    UnsupportedHeader,
    /// `typ` is not `at+jwt`.
    WrongType,
    /// `alg` is unknown, `none`, or not on the issuer's list.
    AlgorithmNotAllowed,
    /// `iss` is absent, malformed, or not one of the issuers.
    UnknownIssuer,
    /// The issuer has no key for this `kid` and `alg`.
    UnknownKey,
    /// More than one key of the issuer fits.
    AmbiguousKey,
    /// The issuer's keys were never loaded, or are past their maximum age.
    KeysUnavailable,
    /// The signature does not verify.
    BadSignature,
    /// A required claim is absent.
    MissingClaim,
    /// A claim has the wrong JSON type or an impossible value.
    MalformedClaim,
    /// A claim says that this is another kind of token.
    OtherTokenKind,
    /// `aud` does not name this resource.
    WrongAudience,
    /// `exp` has passed.
    Expired,
    /// `nbf` has not come.
    NotYetValid,
    /// `iat` lies in the future.
    IssuedInFuture,
    /// `exp - iat` is more than the token class allows, or not positive.
    LifetimeTooLong,
    /// `cnf` binds the token to a sender that was not proven.
    SenderNotProven,
    /// A check refused: the token does not grant enough.
    InsufficientScope,
    /// A check refused: the token is not acceptable.
    NotAccepted,
    /// A check could not tell.
    CheckUnavailable,
    /// The layers are mounted wrongly, or a policy is faulty.
    Misconfigured,
}

impl RejectionKind {
    /// Every kind, for preregistering metric labels.
    pub const ALL: &'static [Self] = &[
        Self::NoCredentials,
        Self::UnsupportedScheme,
        Self::SeveralCredentials,
        Self::MalformedCredentials,
        Self::TokenTooLong,
        Self::OpaqueToken,
        Self::EncryptedToken,
        Self::MalformedToken,
        Self::UnsupportedHeader,
        Self::WrongType,
        Self::AlgorithmNotAllowed,
        Self::UnknownIssuer,
        Self::UnknownKey,
        Self::AmbiguousKey,
        Self::KeysUnavailable,
        Self::BadSignature,
        Self::MissingClaim,
        Self::MalformedClaim,
        Self::OtherTokenKind,
        Self::WrongAudience,
        Self::Expired,
        Self::NotYetValid,
        Self::IssuedInFuture,
        Self::LifetimeTooLong,
        Self::SenderNotProven,
        Self::InsufficientScope,
        Self::NotAccepted,
        Self::CheckUnavailable,
        Self::Misconfigured,
    ];

    /// A short name in snake case, for logs and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.facts().0
    }

    /// The step that failed.
    #[must_use]
    pub const fn step(self) -> Step {
        self.facts().1
    }

    /// "No", "cannot tell" or "mounted wrongly".
    #[must_use]
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::KeysUnavailable | Self::CheckUnavailable => Outcome::Unavailable,
            Self::Misconfigured => Outcome::Misconfigured,
            _ => Outcome::Refused,
        }
    }

    const fn facts(self) -> (&'static str, Step) {
        match self {
            Self::NoCredentials => ("no_credentials", Step::Credentials),
            Self::UnsupportedScheme => ("unsupported_scheme", Step::Credentials),
            Self::SeveralCredentials => ("several_credentials", Step::Credentials),
            Self::MalformedCredentials => ("malformed_credentials", Step::Credentials),
            Self::TokenTooLong => ("token_too_long", Step::Credentials),
            Self::OpaqueToken => ("opaque_token", Step::Token),
            Self::EncryptedToken => ("encrypted_token", Step::Token),
            Self::MalformedToken => ("malformed_token", Step::Token),
            Self::UnsupportedHeader => ("unsupported_header", Step::Token),
            Self::WrongType => ("wrong_type", Step::Token),
            Self::AlgorithmNotAllowed => ("algorithm_not_allowed", Step::Token),
            Self::UnknownIssuer => ("unknown_issuer", Step::Key),
            Self::UnknownKey => ("unknown_key", Step::Key),
            Self::AmbiguousKey => ("ambiguous_key", Step::Key),
            Self::KeysUnavailable => ("keys_unavailable", Step::Key),
            Self::BadSignature => ("bad_signature", Step::Signature),
            Self::MissingClaim => ("missing_claim", Step::Claims),
            Self::MalformedClaim => ("malformed_claim", Step::Claims),
            Self::OtherTokenKind => ("other_token_kind", Step::Claims),
            Self::WrongAudience => ("wrong_audience", Step::Validity),
            Self::Expired => ("expired", Step::Validity),
            Self::NotYetValid => ("not_yet_valid", Step::Validity),
            Self::IssuedInFuture => ("issued_in_future", Step::Validity),
            Self::LifetimeTooLong => ("lifetime_too_long", Step::Validity),
            Self::SenderNotProven => ("sender_not_proven", Step::Sender),
            Self::InsufficientScope => ("insufficient_scope", Step::Checks),
            Self::NotAccepted => ("not_accepted", Step::Checks),
            Self::CheckUnavailable => ("check_unavailable", Step::Checks),
            Self::Misconfigured => ("misconfigured", Step::Credentials),
        }
    }
}

/// What a step says when it refuses, before the server adds how to answer.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) kind: RejectionKind,
    pub(crate) detail: Cow<'static, str>,
    pub(crate) source: Option<Arc<dyn Error + Send + Sync>>,
    pub(crate) retry_after: Duration,
    pub(crate) scopes: Vec<Scope>,
}

impl Refusal {
    pub(crate) fn new(kind: RejectionKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            source: None,
            retry_after: super::Unavailable::RETRY_AFTER,
            scopes: Vec::new(),
        }
    }

    pub(crate) fn caused_by(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }
}

/// A request that is refused, and why.
///
/// The text of [`fmt::Display`] and the [source chain](Error::source) are for operators: what was
/// found and what was wanted, never a token or a secret. [`Rejection::to_response`] is what the
/// client gets. A clone is cheap.
#[derive(Clone)]
pub struct Rejection {
    inner: Arc<Inner>,
}

struct Inner {
    refusal: Refusal,
    answers: Arc<Answers>,
    /// All scopes that the policy wants, as one challenge names them.
    scope: Option<Arc<str>>,
}

impl Rejection {
    pub(crate) fn new(refusal: Refusal, answers: Arc<Answers>, scope: Option<Arc<str>>) -> Self {
        Self {
            inner: Arc::new(Inner {
                refusal,
                answers,
                scope,
            }),
        }
    }

    /// Why, without detail.
    #[must_use]
    pub fn kind(&self) -> RejectionKind {
        self.inner.refusal.kind
    }

    /// The step that failed.
    #[must_use]
    pub fn step(&self) -> Step {
        self.kind().step()
    }

    /// "No", "cannot tell" or "mounted wrongly".
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.kind().outcome()
    }

    /// When the client may try again, for [`Outcome::Unavailable`].
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        (self.outcome() == Outcome::Unavailable).then_some(self.inner.refusal.retry_after)
    }

    pub(crate) fn answers(&self) -> &Answers {
        &self.inner.answers
    }

    pub(crate) fn policy_scope(&self) -> Option<&str> {
        self.inner.scope.as_deref()
    }

    pub(crate) fn denied_scopes(&self) -> &[Scope] {
        &self.inner.refusal.scopes
    }
}

impl fmt::Debug for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejection")
            .field("kind", &self.kind())
            .field("step", &self.step().number())
            .field("detail", &self.inner.refusal.detail)
            .field("source", &self.inner.refusal.source)
            .finish()
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.refusal.detail)
    }
}

impl Error for Rejection {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self.inner.refusal.source.as_deref() {
            Some(source) => Some(source),
            None => None,
        }
    }
}
