use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use http::Method;

use crate::jose::Algorithm;
use crate::sender::uri::TargetUri;
use crate::time::Timestamp;

/// What a server accepts of any proof.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProofRules {
    /// The algorithms that may sign (RFC 9449 §4.3 check 5). `EdDSA` and `Ed25519` are two names of
    /// one operation, and each is taken only if it is here.
    pub algorithms: Vec<Algorithm>,
    /// How long after its `iat` a proof is accepted. The leeway does not add to it.
    pub max_age: Duration,
    /// How far ahead `iat` may be, and how far off `exp` and `nbf`: what the clocks of client and
    /// server may differ.
    pub leeway: Duration,
}

impl ProofRules {
    /// The algorithms that are accepted unless others are chosen: fast to verify, and with short
    /// keys.
    pub const ALGORITHMS: &'static [Algorithm] =
        &[Algorithm::Es256, Algorithm::EdDsa, Algorithm::Ed25519];

    /// How long after its `iat` a proof is accepted unless said otherwise: "on the order of seconds
    /// or minutes" (RFC 9449 §11.1).
    pub const MAX_AGE: Duration = Duration::from_secs(60);

    /// How far ahead `iat` may be unless said otherwise.
    pub const LEEWAY: Duration = Duration::from_secs(10);
}

impl Default for ProofRules {
    /// [`Self::ALGORITHMS`], 60 seconds, and 10 seconds of leeway.
    fn default() -> Self {
        let algorithms = Self::ALGORITHMS.to_vec();
        Self { algorithms, max_age: Self::MAX_AGE, leeway: Self::LEEWAY }
    }
}

/// Whether `htu` is the URI of the request (RFC 9449 §4.3 check 9), and if not, what
/// [`super::ProofError`] tells operators.
///
/// A false yes lets a proof for another place pass here; a false no shuts its client out.
pub type TargetCheck<'a> = &'a dyn Fn(&TargetUri) -> Result<(), Cow<'static, str>>;

/// What the proof of one request has to say.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct ExpectedProof<'a> {
    /// The method of the request, as it was sent.
    pub method: &'a Method,
    /// The access token, as it stands in the `Authorization` field.
    pub token: &'a str,
    /// Judges `htu`.
    pub target: TargetCheck<'a>,
    /// Which nonce it needs.
    pub nonce: NonceDemand<'a>,
    /// The time of the decision.
    pub now: Timestamp,
}

impl<'a> ExpectedProof<'a> {
    /// A proof for this method, token, URI and time, that needs no nonce.
    #[must_use]
    pub fn new(
        method: &'a Method,
        token: &'a str,
        target: TargetCheck<'a>,
        now: Timestamp,
    ) -> Self {
        Self { method, token, target, nonce: NonceDemand::Off, now }
    }

    /// The same with this demand for a nonce.
    #[must_use]
    pub fn nonce(mut self, demand: NonceDemand<'a>) -> Self {
        self.nonce = demand;
        self
    }
}

impl fmt::Debug for ExpectedProof<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExpectedProof")
            .field("method", self.method)
            .field("nonce", &self.nonce)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

/// Whether a proof needs a nonce (RFC 9449 §9), and who judges the one that it has.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum NonceDemand<'a> {
    /// There are no nonces: the claim is not looked at.
    Off,
    /// A proof without one is judged by its `iat`; one with a wrong nonce is refused.
    Optional(&'a dyn Fn(&str) -> NonceVerdict),
    /// A proof without one is refused.
    Required(&'a dyn Fn(&str) -> NonceVerdict),
}

impl fmt::Debug for NonceDemand<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "Off",
            Self::Optional(_) => "Optional(..)",
            Self::Required(_) => "Required(..)",
        })
    }
}

/// What whoever makes the nonces says of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NonceVerdict {
    /// It is accepted.
    Fresh {
        /// From then on it is not.
        until: Timestamp,
    },
    /// It is accepted, and the client should get a new one with the answer (RFC 9449 §8.2).
    Ageing {
        /// From then on it is not.
        until: Timestamp,
    },
    /// It is not accepted: what it is, for operators.
    Refused(&'static str),
}

/// What became of the nonce of a proof that was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NonceUse {
    /// It has none, or nobody asked for it: `iat` was believed.
    Unused,
    /// It has one that was accepted.
    Fresh,
    /// It has one that was accepted and should be replaced.
    Ageing,
}
