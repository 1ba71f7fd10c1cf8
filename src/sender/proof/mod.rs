//! One DPoP proof (RFC 9449 §4.3), as a resource server verifies it. Pure: whether the proof was
//! seen before, and whether the token is bound to its key, are asked elsewhere.
//!
//! 1. Exactly one `DPoP` field line, which is one proof: a comma makes two of it (§4.3 check 1).
//! 2. A compact JWS of two JSON objects of bounded size (check 2); `typ` is `dpop+jwt` (check 4), and
//!    `alg` is on the list (check 5).
//! 3. `jti`, `htm`, `htu`, `iat` and `ath` are there and of their type (check 3).
//! 4. `htm` is the method of the request, byte for byte (check 8).
//! 5. `htu` is its URI (check 9); what that is, and how it is compared, the caller says.
//! 6. A nonce, where one is wanted or brought, is one of this server's (check 10).
//! 7. The proof was made in the accepted window: by the time of the nonce, or else by `iat`
//!    (check 11); `exp` and `nbf`, which no proof needs, are honoured where they are there.
//! 8. The key in the header is public, strong and fit for `alg` (check 7).
//! 9. The signature is of that key (check 6).
//! 10. `ath` is the hash of the token (check 12).
//!
//! What it does not do: the second half of check 12, the comparison of the key with the token's
//! `cnf`, needs the verified token and is the caller's, and so is the memory of `jti` (§11.1). A
//! proof does not cover the body or other fields (§11.7). `kid`, `x5c` and claims that are not named
//! above have no meaning.

mod error;
mod expected;
mod known;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest;
use http::{HeaderMap, HeaderName};

pub use error::{ProofError, ProofErrorKind};
pub use expected::{ExpectedProof, NonceDemand, NonceUse, NonceVerdict, ProofRules, TargetCheck};

pub(crate) use known::KnownSender;

use super::uri::TargetUri;
use crate::access::ProofUse;
use crate::jose::claims::required;
use crate::jose::{
    Algorithm, ClaimError, ClaimsSet, Compact, Header, HeaderError, KeyFault, PublicKey, base64url,
};
use crate::name::Thumbprint;
use crate::time::Timestamp;
use known::EmbeddedKey;

/// The longest proof that is looked at, in bytes: with an RSA key of 4096 bits, a nonce and a URI of
/// a thousand characters it needs 4 KiB. It bounds `jti` too.
pub const MAX_PROOF: usize = 8 * 1024;

/// RFC 9449 §4.2.
const NO_HASH: &str = "`ath` is not the hash of the token: wanted its SHA-256 in base64url";

/// The smallest step of time: whatever is accepted up to and including a moment is no longer
/// accepted from this much later on.
const TICK: Duration = Duration::from_nanos(1);

/// A DPoP proof that was verified: whoever sent it has the private key of
/// [`Proof::thumbprint`], and meant this request with this token.
///
/// It does not say that the token is bound to that key (RFC 9449 §4.3 check 12), nor that the proof
/// was not sent before (§11.1): compare [`Proof::thumbprint`] with the token's `cnf`, and remember
/// [`Proof::jti`] until [`Proof::accepted_until`].
///
/// ```
/// use http::Method;
/// use portcullis::sender::{ExpectedProof, Proof, ProofErrorKind, ProofRules, TargetUri};
/// use portcullis::time::Timestamp;
///
/// // The request of RFC 9449 §7.1.
/// let text = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtM\
///     zR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY\
///     5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwi\
///     aHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOC\
///     wiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey\
///     71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
/// let token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
/// let here = TargetUri::parse("https://resource.example.org/protectedresource")?;
/// let target = |htu: &TargetUri| match htu.as_str() == here.as_str() {
///     true => Ok(()),
///     false => Err("`htu` is another URI".into()),
/// };
/// let now = Timestamp::from_secs(1_562_262_620);
///
/// let expected = ExpectedProof::new(&Method::GET, token, &target, now);
/// let proof = Proof::verify(text, &expected, &ProofRules::default())?;
/// assert_eq!(proof.thumbprint().as_str(), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
///
/// let expected = ExpectedProof::new(&Method::POST, token, &target, now);
/// let refused = Proof::verify(text, &expected, &ProofRules::default()).unwrap_err();
/// assert_eq!(refused.kind(), ProofErrorKind::OtherMethod);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Proof {
    key: EmbeddedKey,
    jti: Box<str>,
    htu: TargetUri,
    issued_at: Timestamp,
    accepted_until: Timestamp,
    nonce: NonceUse,
}

impl Proof {
    /// The name of the header field (RFC 9449 §4.1).
    pub(crate) const FIELD: HeaderName = HeaderName::from_static("dpop");

    /// The proof that a request presents, unread.
    ///
    /// # Errors
    /// [`ProofErrorKind::Missing`] without a `DPoP` field, [`ProofErrorKind::Several`] with more than one
    /// line or with a comma, [`ProofErrorKind::Malformed`] if it is longer than [`MAX_PROOF`] or has a
    /// character that no compact JWS has.
    pub fn field(headers: &HeaderMap) -> Result<&str, ProofError> {
        let mut fields = headers.get_all(Self::FIELD).iter();
        let field = match (fields.next(), fields.next()) {
            (None, _) => {
                return fault(ProofErrorKind::Missing, "no DPoP field; one with a proof is wanted");
            }
            (Some(_), Some(_)) => {
                return fault(ProofErrorKind::Several, "more than one DPoP field; one is wanted");
            }
            (Some(field), None) => field.as_bytes(),
        };
        if field.len() > MAX_PROOF {
            return too_long();
        }
        if field.contains(&b',') {
            return fault(
                ProofErrorKind::Several,
                "a DPoP field with a comma; one proof is wanted",
            );
        }
        let legal = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        match std::str::from_utf8(field) {
            Ok(text) if !text.is_empty() && field.iter().all(legal) => Ok(text),
            _ => fault(ProofErrorKind::Malformed, "a DPoP field that is not one compact JWS"),
        }
    }

    /// Verifies `proof`, the value of the `DPoP` field, in the order of steps 2 to 10 above: whatever
    /// is cheap before the signature.
    ///
    /// # Errors
    /// The first of the steps that fails; see [`ProofErrorKind`].
    pub fn verify(
        proof: &str,
        expected: &ExpectedProof<'_>,
        rules: &ProofRules,
    ) -> Result<Self, ProofError> {
        Self::verify_known(proof, expected, rules, None)
    }

    /// The same, with what is known of its sender from earlier proofs for the same token.
    pub(crate) fn verify_known(
        proof: &str,
        expected: &ExpectedProof<'_>,
        rules: &ProofRules,
        known: Option<&KnownSender>,
    ) -> Result<Self, ProofError> {
        let now = expected.now;

        // 2. Size, compact form, header.
        if proof.len() > MAX_PROOF {
            return too_long();
        }
        let jws = Compact::parse(proof)
            .map_err(|error| ProofError::new(ProofErrorKind::Malformed, error.to_string()))?;
        let header = jws.header().map_err(|error| unusable_header(error, &jws, rules))?;
        if !header.is_type("dpop+jwt") {
            let found = header.typ().map_or(Cow::Borrowed("absent"), quoted);
            return fault(
                ProofErrorKind::Malformed,
                format!("`typ` is {found}, wanted `dpop+jwt`"),
            );
        }
        let algorithm = header.algorithm();
        if !rules.algorithms.contains(&algorithm) {
            let list = Algorithm::names(&rules.algorithms);
            let detail =
                format!("`alg` is {algorithm}, which is not on the list for proofs: wanted {list}");
            return fault(ProofErrorKind::AlgorithmNotAllowed, detail);
        }

        // 3. The claims, each of its type.
        let claims = ClaimsSet::parse(jws.payload()).map_err(|error| {
            ProofError::new(ProofErrorKind::Malformed, format!("the payload is {error}"))
        })?;
        let jti = text(&claims, "jti")?;
        let htm = text(&claims, "htm")?;
        let htu = text(&claims, "htu")?;
        let ath = text(&claims, "ath")?;
        let issued_at = required("iat", claims.time("iat")).map_err(unusable_claim)?;
        let expires_at = claims.time("exp").map_err(unusable_claim)?;
        let not_before = claims.time("nbf").map_err(unusable_claim)?;
        let htu = TargetUri::parse(&htu).map_err(|error| {
            ProofError::new(ProofErrorKind::Malformed, format!("claim `htu` {error}"))
        })?;

        // 4. The method.
        if htm != expected.method.as_str() {
            let (found, wanted) = (quoted(&htm), expected.method.as_str());
            return fault(
                ProofErrorKind::OtherMethod,
                format!("`htm` is {found}, wanted {wanted:?}"),
            );
        }

        // 5. The URI.
        if let Err(detail) = (expected.target)(&htu) {
            return fault(ProofErrorKind::OtherUri, detail);
        }

        // 6. The nonce.
        let (nonce, nonce_until) = judge_nonce(&claims, &expected.nonce)?;

        // 7. The time. That of a nonce is this server's own; `iat` is by the client's clock, which may
        // be wrong by any amount then (RFC 9449 §11.1).
        let untimely = outside_window(issued_at, now, rules);
        if let (None, Some(detail)) = (nonce_until, &untimely) {
            return fault(ProofErrorKind::NotFresh, detail.clone());
        }
        if expires_at.is_some_and(|expires_at| now >= expires_at.plus(rules.leeway)) {
            return fault(ProofErrorKind::NotFresh, "`exp` of the proof has passed");
        }
        if not_before.is_some_and(|not_before| not_before > now.plus(rules.leeway)) {
            return fault(ProofErrorKind::NotFresh, "`nbf` of the proof has not come");
        }

        // 8. The key.
        let jwk = header.jwk().map(|jwk| jwk.text()).unwrap_or_default();
        let key = match known.and_then(|known| known.key(jwk, algorithm)) {
            Some(key) => EmbeddedKey { jwk: None, key },
            None => EmbeddedKey::new(jwk, embedded_key(&header, algorithm)?, known),
        };

        // 9. The signature.
        key.key.verify(algorithm, &jws).map_err(|error| {
            let detail = format!("{error} with the key in `jwk` of the proof");
            ProofError::new(ProofErrorKind::BadSignature, detail)
        })?;

        // 10. The token.
        let hash = || base64url::encode(digest::digest(&digest::SHA256, expected.token.as_bytes()));
        let is_its = match known {
            Some(known) => ath == known.token_hash(hash),
            None => ath == hash(),
        };
        if !is_its {
            return fault(ProofErrorKind::OtherToken, NO_HASH);
        }

        // Where no nonce is asked for, the same proof is accepted by its `iat`: now, or once the window
        // of an `iat` that is ahead has begun, if the nonce lives until then. It says nothing of `now`,
        // so that one proof has one end whenever it is used.
        let by_time = issued_at.plus(rules.max_age).plus(TICK);
        let until = match nonce_until {
            None => by_time,
            Some(nonce) if issued_at <= nonce.plus(rules.leeway) => by_time.max(nonce),
            Some(nonce) => nonce,
        };
        let dead = expires_at.map(|expires_at| expires_at.plus(rules.leeway));
        Ok(Self {
            key,
            jti: jti.into(),
            htu,
            issued_at,
            accepted_until: dead.map_or(until, |dead| dead.min(until)),
            nonce,
        })
    }

    /// The thumbprint of the key that signed it (RFC 7638), to be compared with `jkt` in the token's
    /// `cnf` (RFC 9449 §6.1).
    #[must_use]
    pub fn thumbprint(&self) -> &Thumbprint {
        self.key.key.thumbprint()
    }

    /// What the replay memory has to know of it. Its key is remembered for the next proofs of this sender, if it
    /// is the one that the token is bound to.
    pub(crate) fn into_use(self, known: Option<&KnownSender>, sender: &Thumbprint) -> ProofUse {
        let Self { key, jti, htu, issued_at, accepted_until, nonce: _ } = self;
        let used = ProofUse {
            key: key.key.thumbprint().clone(),
            jti,
            htu: htu.into_text(),
            issued_at,
            accepted_until,
        };
        if let Some(known) = known {
            known.remember(key, sender);
        }
        used
    }

    /// `jti`: unique for the key and `htu`, if the client keeps to RFC 9449 §4.2. It is up to
    /// [`MAX_PROOF`] bytes long.
    #[must_use]
    pub fn jti(&self) -> &str {
        &self.jti
    }

    /// `htu`, normalised.
    #[must_use]
    pub fn htu(&self) -> &TargetUri {
        &self.htu
    }

    /// `iat`: by the client's clock, and with a nonce wrong by any amount.
    #[must_use]
    pub fn issued_at(&self) -> Timestamp {
        self.issued_at
    }

    /// From then on, nobody with the same rules accepts it again: until then its `jti` is to be
    /// remembered.
    ///
    /// It is the later of two ends, where it has both: that of its nonce, and that of the window of
    /// its `iat`, for where the same URI is asked without nonces. An `iat` so far ahead that its
    /// window begins after its nonce has ended does not count.
    #[must_use]
    pub fn accepted_until(&self) -> Timestamp {
        self.accepted_until
    }

    /// What its nonce was: whether the client should be sent a new one.
    #[must_use]
    pub fn nonce(&self) -> NonceUse {
        self.nonce
    }
}

/// Nothing that the client wrote, but its key.
impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proof")
            .field("thumbprint", self.thumbprint())
            .field("accepted_until", &self.accepted_until)
            .field("nonce", &self.nonce)
            .finish_non_exhaustive()
    }
}

fn fault<T>(kind: ProofErrorKind, detail: impl Into<Cow<'static, str>>) -> Result<T, ProofError> {
    Err(ProofError::new(kind, detail))
}

fn too_long<T>() -> Result<T, ProofError> {
    fault(ProofErrorKind::Malformed, format!("a proof longer than {MAX_PROOF} bytes"))
}

/// What the client wrote, as an operator may see it.
fn quoted(text: &str) -> Cow<'static, str> {
    /// The longest method and type in use have twenty characters.
    const SHOWN: usize = 40;
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}").into()
}

fn unusable_header(error: HeaderError, jws: &Compact<'_>, rules: &ProofRules) -> ProofError {
    match error {
        HeaderError::Algorithm => {
            let stated = jws.stated_algorithm();
            let stated = stated.as_deref().map_or(Cow::Borrowed("absent"), quoted);
            let list = Algorithm::names(&rules.algorithms);
            let detail = format!("`alg` is {stated}, wanted one of {list}");
            ProofError::new(ProofErrorKind::AlgorithmNotAllowed, detail)
        }
        _ => ProofError::new(ProofErrorKind::Malformed, error.to_string()),
    }
}

fn unusable_claim(error: ClaimError) -> ProofError {
    ProofError::new(ProofErrorKind::Malformed, error.to_string())
}

fn text<'a>(claims: &ClaimsSet<'a>, name: &str) -> Result<Cow<'a, str>, ProofError> {
    required(name, claims.text(name)).map_err(unusable_claim)
}

/// What the nonce of the proof was, and when it ends, if it was asked about.
fn judge_nonce(
    claims: &ClaimsSet<'_>,
    demand: &NonceDemand<'_>,
) -> Result<(NonceUse, Option<Timestamp>), ProofError> {
    let judge = match demand {
        NonceDemand::Off => return Ok((NonceUse::Unused, None)),
        NonceDemand::Optional(judge) | NonceDemand::Required(judge) => judge,
    };
    match (claims.text("nonce").map_err(unusable_claim)?, demand) {
        (Some(nonce), _) => match judge(&nonce) {
            NonceVerdict::Fresh { until } => Ok((NonceUse::Fresh, Some(until))),
            NonceVerdict::Ageing { until } => Ok((NonceUse::Ageing, Some(until))),
            NonceVerdict::Refused(reason) => {
                fault(ProofErrorKind::NonceNotAccepted, format!("the nonce is {reason}"))
            }
        },
        (None, NonceDemand::Required(_)) => {
            fault(ProofErrorKind::NonceMissing, "the proof has no nonce, and one is required")
        }
        (None, _) => Ok((NonceUse::Unused, None)),
    }
}

/// How `iat` misses the window of RFC 9449 §11.1, if it does.
fn outside_window(issued_at: Timestamp, now: Timestamp, rules: &ProofRules) -> Option<String> {
    let (max_age, leeway) = (rules.max_age, rules.leeway);
    if let Some(age) = now.since(issued_at).filter(|age| *age > max_age) {
        return Some(format!("`iat` is {age:?} ago, at most {max_age:?} are accepted"));
    }
    let ahead = issued_at.since(now).filter(|ahead| *ahead > leeway)?;
    Some(format!("`iat` is {ahead:?} ahead, at most {leeway:?} are accepted"))
}

fn embedded_key(header: &Header<'_>, algorithm: Algorithm) -> Result<PublicKey, ProofError> {
    let unusable = |detail: Cow<'static, str>| ProofError::new(ProofErrorKind::UnusableKey, detail);
    let jwk = header.jwk().ok_or_else(|| unusable("the header has no `jwk`".into()))?;
    let jwk = jwk.as_object().ok_or_else(|| unusable("`jwk` is not an object".into()))?;
    PublicKey::embedded(&jwk, algorithm).map_err(|error| {
        unusable(match error {
            KeyFault::Algorithm | KeyFault::NotAllowed => {
                format!("`jwk` is no key for {algorithm}").into()
            }
            KeyFault::Private(name) => format!("`jwk` has the private member `{name}`").into(),
            KeyFault::RsaBits(bits) => {
                format!("`jwk` is an RSA key of {bits} bits; 2048 to 4096 are accepted").into()
            }
            other => format!("`jwk` cannot be used: {other}").into(),
        })
    })
}
