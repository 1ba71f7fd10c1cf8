use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::StepUp;
use crate::context::PolicyContext;
use crate::name::{Scheme, Scope};

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

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number())
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

/// One row a kind: its step, its name in logs, its outcome.
macro_rules! rejection_kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal, $step:expr, $outcome:ident;)*) => {
        /// Why a request was refused. `Copy` and bounded: fit for a metric label.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum RejectionKind {
            $(
                $(#[$doc])*
                #[doc = concat!("\n\nIn logs and metrics: `", $name, "`.")]
                $kind,
            )*
        }

        impl RejectionKind {
            /// Every kind, for preregistering metric labels.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// A short name in snake case, for logs and metric labels.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }

            /// The step that failed; `None` where no decision was made.
            #[must_use]
            pub const fn step(self) -> Option<Step> {
                match self {
                    $(Self::$kind => $step,)*
                }
            }

            /// "No", "cannot tell" or "mounted wrongly".
            #[must_use]
            pub const fn outcome(self) -> Outcome {
                match self {
                    $(Self::$kind => Outcome::$outcome,)*
                }
            }
        }
    };
}

rejection_kinds! {
    /// No `Authorization` field.
    NoCredentials = "no_credentials", Some(Step::Credentials), Refused;
    /// An authentication scheme that this server does not offer.
    UnsupportedScheme = "unsupported_scheme", Some(Step::Credentials), Refused;
    /// More than one `Authorization` field.
    SeveralCredentials = "several_credentials", Some(Step::Credentials), Refused;
    /// An `Authorization` field that is not `scheme 1*SP token68`.
    MalformedCredentials = "malformed_credentials", Some(Step::Credentials), Refused;
    /// A token longer than the bound.
    TokenTooLong = "token_too_long", Some(Step::Credentials), Refused;
    /// A token that is not a JWT, while nobody can be asked what it means.
    OpaqueToken = "opaque_token", Some(Step::Token), Refused;
    /// An encrypted token (five parts), while nothing here decrypts.
    EncryptedToken = "encrypted_token", Some(Step::Token), Refused;
    /// An encrypted token whose header asks for what is not done here, or for a key that is not there.
    EncryptionNotAccepted = "encryption_not_accepted", Some(Step::Token), Refused;
    /// An encrypted token that cannot be decrypted, or that is no signed token inside.
    Undecryptable = "undecryptable", Some(Step::Token), Refused;
    /// An encrypted token could not be decrypted now.
    DecryptionUnavailable = "decryption_unavailable", Some(Step::Token), Unavailable;
    /// A token that is not encrypted, of an issuer that encrypts its tokens.
    NotEncrypted = "not_encrypted", Some(Step::Token), Refused;
    /// Not a compact JWS of two JSON objects.
    MalformedToken = "malformed_token", Some(Step::Token), Refused;
    /// A header that asks for what is not done here: `crit`, `b64`, `zip`, `enc`, `cty`.
    UnsupportedHeader = "unsupported_header", Some(Step::Token), Refused;
    /// `typ` is not one that the issuer's profile takes.
    WrongType = "wrong_type", Some(Step::Token), Refused;
    /// `alg` is unknown, `none`, or not on the issuer's list.
    AlgorithmNotAllowed = "algorithm_not_allowed", Some(Step::Token), Refused;
    /// Whether the issuer is trusted could not be known now.
    IssuerUnavailable = "issuer_unavailable", Some(Step::Key), Unavailable;
    /// `iss` is absent, malformed, or not one of the issuers.
    UnknownIssuer = "unknown_issuer", Some(Step::Key), Refused;
    /// The issuer has no key for this `kid` and `alg`.
    UnknownKey = "unknown_key", Some(Step::Key), Refused;
    /// More than one key of the issuer fits.
    AmbiguousKey = "ambiguous_key", Some(Step::Key), Refused;
    /// The issuer's keys were never loaded, or are past their maximum age.
    KeysUnavailable = "keys_unavailable", Some(Step::Key), Unavailable;
    /// As many signatures are verified as may be at once, and this token, or its proof, had to wait for its
    /// turn in vain ([`crate::FirstVerifications`]).
    VerificationOverloaded =
        "verification_overloaded", Some(Step::Signature), Unavailable;
    /// The signature does not verify.
    BadSignature = "bad_signature", Some(Step::Signature), Refused;
    /// The issuer says that the token is not active.
    Inactive = "inactive", Some(Step::Signature), Refused;
    /// The issuer could not be asked about the token, or its answer could not be read.
    IntrospectionUnavailable = "introspection_unavailable", Some(Step::Signature), Unavailable;
    /// A required claim is absent.
    MissingClaim = "missing_claim", Some(Step::Claims), Refused;
    /// A claim has the wrong JSON type or an impossible value.
    MalformedClaim = "malformed_claim", Some(Step::Claims), Refused;
    /// A claim says that this is another kind of token, or one that the issuer's profile does not
    /// take.
    OtherTokenKind = "other_token_kind", Some(Step::Claims), Refused;
    /// `aud` does not name this resource.
    WrongAudience = "wrong_audience", Some(Step::Validity), Refused;
    /// `exp` has passed.
    Expired = "expired", Some(Step::Validity), Refused;
    /// `nbf` has not come.
    NotYetValid = "not_yet_valid", Some(Step::Validity), Refused;
    /// `iat` lies in the future.
    IssuedInFuture = "issued_in_future", Some(Step::Validity), Refused;
    /// `exp - iat` is more than the token class allows, or not positive.
    LifetimeTooLong = "lifetime_too_long", Some(Step::Validity), Refused;
    /// The token was issued longer ago than its class allows.
    TooOld = "too_old", Some(Step::Validity), Refused;
    /// The token is bound to no sender, where the server, its class or the route wants it bound.
    NotBound = "not_bound", Some(Step::Sender), Refused;
    /// `cnf` binds the token to a sender in a way that this server cannot prove.
    SenderNotProven = "sender_not_proven", Some(Step::Sender), Refused;
    /// A token that is bound to a key was presented as a plain bearer token (RFC 9449 §7.2).
    BearerDowngrade = "bearer_downgrade", Some(Step::Sender), Refused;
    /// A token under the scheme `DPoP` that is bound to no key (RFC 9449 §7.1).
    UnboundUnderDpop = "unbound_under_dpop", Some(Step::Sender), Refused;
    /// A token under the scheme `DPoP` without a proof.
    ProofMissing = "proof_missing", Some(Step::Sender), Refused;
    /// More than one DPoP proof, in fields or in one field.
    SeveralProofs = "several_proofs", Some(Step::Sender), Refused;
    /// The DPoP proof is not a well-formed proof with every claim it needs.
    ProofMalformed = "proof_malformed", Some(Step::Sender), Refused;
    /// The DPoP proof is signed with an algorithm that is not accepted.
    ProofAlgorithm = "proof_algorithm_not_allowed", Some(Step::Sender), Refused;
    /// The key in the DPoP proof cannot be used: private, symmetric, weak or off its curve.
    ProofKey = "proof_key_unusable", Some(Step::Sender), Refused;
    /// The signature of the DPoP proof does not verify.
    ProofSignature = "proof_bad_signature", Some(Step::Sender), Refused;
    /// The DPoP proof was made for another method.
    ProofMethod = "proof_for_other_method", Some(Step::Sender), Refused;
    /// The DPoP proof was made for another URI.
    ProofUri = "proof_for_other_uri", Some(Step::Sender), Refused;
    /// The DPoP proof was made too long ago, or in the future.
    ProofNotFresh = "proof_not_fresh", Some(Step::Sender), Refused;
    /// The DPoP proof was made for another token.
    ProofToken = "proof_for_other_token", Some(Step::Sender), Refused;
    /// The DPoP proof has no nonce, and one is wanted.
    NonceMissing = "nonce_missing", Some(Step::Sender), Refused;
    /// The nonce of the DPoP proof is not of this server, or has ended.
    NonceNotAccepted = "nonce_not_accepted", Some(Step::Sender), Refused;
    /// The DPoP proof is signed with another key than the token is bound to.
    OtherKey = "other_key", Some(Step::Sender), Refused;
    /// The token is bound to a certificate, and the sender presented none that can be seen.
    CertificateMissing = "certificate_missing", Some(Step::Sender), Refused;
    /// The token is bound to another certificate than the sender's.
    OtherCertificate = "other_certificate", Some(Step::Sender), Refused;
    /// The token is revoked: by a status list, an event, a feed, or a record of one's own.
    Revoked = "revoked", Some(Step::Revocation), Refused;
    /// The token is suspended: by its status list, or because what a record is about is on hold.
    Suspended = "suspended", Some(Step::Revocation), Refused;
    /// The token's index is beyond the end of its status list.
    StatusIndex = "status_index_out_of_range", Some(Step::Revocation), Refused;
    /// The token names no status list, and its issuer's tokens have to.
    StatusMissing = "status_missing", Some(Step::Revocation), Refused;
    /// The token's status list is at a place from which nothing is fetched for its issuer.
    StatusUri = "status_uri_not_allowed", Some(Step::Revocation), Refused;
    /// What is known of the token asks for another authentication of the user (RFC 9470).
    StepUpDemanded = "step_up_demanded", Some(Step::Revocation), Refused;
    /// Whether the token is revoked cannot be told now: what is known is too old, or nothing is.
    RevocationUnavailable = "revocation_unavailable", Some(Step::Revocation), Unavailable;
    /// A check refused: the token does not grant enough.
    InsufficientScope = "insufficient_scope", Some(Step::Checks), Refused;
    /// A check refused: the user has to authenticate again, or more strongly (RFC 9470).
    InsufficientAuthentication = "insufficient_user_authentication", Some(Step::Checks), Refused;
    /// A check refused: the token is not acceptable.
    NotAccepted = "not_accepted", Some(Step::Checks), Refused;
    /// A check could not tell.
    CheckUnavailable = "check_unavailable", Some(Step::Checks), Unavailable;
    /// The DPoP proof was used before.
    ProofReplayed = "proof_replayed", Some(Step::SingleUse), Refused;
    /// The token is for one use, and was used before.
    TokenUsed = "token_used", Some(Step::SingleUse), Refused;
    /// The token is for one use, and has no id by which its use could be remembered.
    NoTokenId = "no_token_id", Some(Step::SingleUse), Refused;
    /// Whether a proof or a token was used before cannot be told now.
    ReplayUnavailable = "replay_unavailable", Some(Step::SingleUse), Unavailable;
    /// The layers are mounted wrongly, or a policy is faulty.
    Misconfigured = "misconfigured", None, Misconfigured;
}

impl fmt::Display for RejectionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a step says when it refuses, before the server adds how to answer.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) kind: RejectionKind,
    pub(crate) detail: Cow<'static, str>,
    pub(crate) source: Option<Arc<dyn Error + Send + Sync>>,
    pub(crate) retry_after: Duration,
    /// What a denied check named beyond the policy.
    pub(crate) scopes: Vec<Scope>,
    /// How the user has to authenticate.
    pub(crate) step_up: Option<Box<StepUp>>,
    /// The scheme that the request used: the error is told in its challenge.
    pub(crate) scheme: Option<Scheme>,
    /// A nonce for the next proof.
    pub(crate) nonce: Option<Box<HeaderValue>>,
}

impl Refusal {
    pub(crate) fn new(kind: RejectionKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            source: None,
            retry_after: super::Unavailable::RETRY_AFTER,
            scopes: Vec::new(),
            step_up: None,
            scheme: None,
            nonce: None,
        }
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
    context: Arc<PolicyContext>,
}

impl Rejection {
    /// It says nothing to anybody: whoever makes one reports it to the observers of its context.
    pub(crate) fn new(refusal: Refusal, context: Arc<PolicyContext>) -> Self {
        Self { inner: Arc::new(Inner { refusal, context }) }
    }

    /// Why, without detail.
    #[must_use]
    pub fn kind(&self) -> RejectionKind {
        self.inner.refusal.kind
    }

    /// The step that failed; `None` where no decision was made.
    #[must_use]
    pub fn step(&self) -> Option<Step> {
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

    pub(crate) fn context(&self) -> &PolicyContext {
        &self.inner.context
    }

    /// The whole story, for a log: what went wrong, and what caused it.
    pub(crate) fn told(&self) -> Cow<'_, str> {
        let detail = Cow::Borrowed(&*self.inner.refusal.detail);
        match &self.inner.refusal.source {
            Some(source) => Cow::Owned(format!("{detail}: {source}")),
            None => detail,
        }
    }

    pub(crate) fn denied_scopes(&self) -> &[Scope] {
        &self.inner.refusal.scopes
    }

    /// The scheme that the request used, if it was one of ours.
    pub(crate) fn scheme(&self) -> Option<Scheme> {
        self.inner.refusal.scheme
    }

    /// A nonce for the client's next proof (RFC 9449 §9).
    pub(crate) fn dpop_nonce(&self) -> Option<&HeaderValue> {
        self.inner.refusal.nonce.as_deref()
    }

    pub(crate) fn step_up(&self) -> Option<&StepUp> {
        self.inner.refusal.step_up.as_deref()
    }
}

impl fmt::Debug for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejection")
            .field("kind", &self.kind())
            .field("step", &self.step())
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
