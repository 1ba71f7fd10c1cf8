use std::borrow::Cow;
use std::fmt;

/// What is wrong with a proof, without detail.
///
/// All but two are `invalid_dpop_proof` for the client (RFC 9449 §7.1), and
/// [`Self::NonceMissing`] and [`Self::NonceNotAccepted`] are `use_dpop_nonce` (§9), with a new nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProofErrorKind {
    /// No `DPoP` field.
    Missing,
    /// More than one `DPoP` field line, or a comma in the only one (RFC 9449 §4.3 check 1).
    Several,
    /// Not a compact JWS of two JSON objects, longer than [`super::MAX_PROOF`], of another type than
    /// `dpop+jwt`, or a claim is absent or not of its type (checks 2 to 4).
    Malformed,
    /// `alg` is absent, unknown, `none`, symmetric, or not on the list (check 5).
    AlgorithmNotAllowed,
    /// `jwk` is absent, private, symmetric, weak, off its curve, an RSA key of more than 4096 bits,
    /// meant for something else, or no key for `alg` (check 7).
    UnusableKey,
    /// The signature is not of the key in `jwk` (check 6).
    BadSignature,
    /// `htm` is not the method of the request (check 8).
    OtherMethod,
    /// `htu` is not the URI of the request (check 9).
    OtherUri,
    /// `iat` lies outside the window (check 11), or `exp` has passed, or `nbf` has not come.
    NotFresh,
    /// `ath` is not the hash of the token (check 12).
    OtherToken,
    /// No nonce, where one is required (check 10).
    NonceMissing,
    /// A nonce that this server did not make for this resource, or that is too old (check 10).
    NonceNotAccepted,
}

/// A proof that is refused, and why.
///
/// The text of [`fmt::Display`] is for operators: it holds neither the proof nor its claims, except
/// for `typ` and `htm`, quoted and cut, and what a [`super::TargetCheck`] says of `htu`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofError {
    kind: ProofErrorKind,
    detail: Cow<'static, str>,
}

impl ProofError {
    pub(super) fn new(kind: ProofErrorKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, detail: detail.into() }
    }

    /// What is wrong, without detail.
    #[must_use]
    pub fn kind(&self) -> ProofErrorKind {
        self.kind
    }
}

impl fmt::Display for ProofError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for ProofError {}
