//! One public key of an issuer (RFC 7517, RFC 7518 §6, RFC 8037 §2), fit for one algorithm.

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{self, ParsedPublicKey, RsaParameters, VerificationAlgorithm};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};

use super::algorithm::{Algorithm, KeyShape};
use super::base64url;
use super::compact::Compact;
use super::json::{JsonError, Object};
use super::thumbprint::RequiredMembers;
use crate::name::{KeyId, Thumbprint};

/// Members that only a private or a symmetric key has (RFC 7518 §6.2.2, §6.3.2, §6.4, RFC 8037).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// RFC 7518 §3.3 wants 2048 bits at least; 8192 is the most that the provider verifies.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// FIPS 186-5 §A.1.1 wants an odd exponent above 2^16.
const RSA_MIN_EXPONENT: u64 = 65_537;

/// Why a key cannot be used. The rest of its set is not touched by it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFault {
    /// Not a JSON object as [`super::json`] wants it.
    #[error("the key is {0}")]
    Json(#[from] JsonError),
    /// `kty` or `crv` is unknown, or a member of the key is absent or of the wrong type.
    #[error("`kty`, `crv` or a member of the key is absent, unknown or of the wrong type")]
    Parameters,
    /// The key has a private or symmetric member. Publishing it gave the secret away.
    #[error("the key has the private member `{0}`: it is published and must be replaced")]
    Private(&'static str),
    /// `use` is not `sig`.
    #[error("`use` is not `sig`")]
    Use,
    /// `key_ops` does not allow `verify`, or repeats a value.
    #[error("`key_ops` does not allow `verify`, or repeats a value")]
    KeyOperations,
    /// `kid` is not a string.
    #[error("`kid` is not a string")]
    KeyId,
    /// `alg` is not an algorithm that this key can be used with.
    #[error("`alg` is unknown or does not fit the key")]
    Algorithm,
    /// `alg`, or every algorithm that fits, is not on the issuer's list.
    #[error("no algorithm that the issuer may use fits the key")]
    NotAllowed,
    /// A member is not canonical base64url of the exact length.
    #[error("member `{0}` is not canonical base64url of the right length")]
    Encoding(&'static str),
    /// An RSA modulus of this many bits.
    #[error("an RSA key of {0} bits; 2048 to 8192 are accepted")]
    RsaBits(usize),
    /// An RSA exponent that is even, below 65537 or above 2^33.
    #[error("an RSA exponent that is even, below 65537 or above 2^33")]
    RsaExponent,
    /// The provider refuses the key: its point is not on its curve.
    #[error("the key is not a valid point or modulus")]
    Invalid,
}

/// A signature that does not verify. It says no more: neither would an attacker learn it here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct BadSignature;

/// A public key, parsed once, and the one algorithm it is used with (RFC 8725 §3.1).
#[derive(Debug)]
pub struct PublicKey {
    kid: Option<KeyId>,
    algorithm: Algorithm,
    thumbprint: Thumbprint,
    parsed: ParsedPublicKey,
}

impl PublicKey {
    /// Reads one JWK.
    ///
    /// Its algorithm is its `alg`, or, where it has none, the first of `allowed` that fits its
    /// `kty` and `crv`.
    ///
    /// # Errors
    /// See [`KeyFault`].
    pub fn parse(jwk: &[u8], allowed: &[Algorithm]) -> Result<Self, KeyFault> {
        let object = Object::parse(jwk)?;
        // Before anything else: a leaked private key is reported as such, whatever else is wrong.
        for name in PRIVATE_MEMBERS {
            if object.has(name) {
                return Err(KeyFault::Private(name));
            }
        }
        let kid = match object.member("kid") {
            None => None,
            Some(kid) => Some(kid.as_str().ok_or(KeyFault::KeyId)?),
        };
        let alg = match object.member("alg") {
            None => None,
            Some(alg) => {
                let alg = alg.as_str().and_then(|alg| Algorithm::parse(&alg));
                Some(alg.ok_or(KeyFault::Algorithm)?)
            }
        };
        let jwk: Jwk = serde_json::from_slice(jwk).map_err(|_| KeyFault::Parameters)?;
        match &jwk.common.public_key_use {
            None | Some(PublicKeyUse::Signature) => {}
            Some(_) => return Err(KeyFault::Use),
        }
        // A `null` reads as absent there; here it is a member of the wrong type.
        for (name, fault) in [("use", KeyFault::Use), ("key_ops", KeyFault::KeyOperations)] {
            if object
                .member(name)
                .is_some_and(|value| value.text() == "null")
            {
                return Err(fault);
            }
        }
        if let Some(operations) = &jwk.common.key_operations {
            let repeated = (1..)
                .zip(operations)
                .any(|(next, op)| operations.iter().skip(next).any(|o| o == op));
            if repeated || !operations.contains(&KeyOperations::Verify) {
                return Err(KeyFault::KeyOperations);
            }
        }

        let material = Material::decode(&jwk.algorithm)?;
        let shape = material.shape();
        let algorithm = match alg {
            Some(alg) if alg.key_shape() != shape => return Err(KeyFault::Algorithm),
            Some(alg) => allowed
                .iter()
                .find(|allowed| allowed.same_operation(alg))
                .map(|_| alg),
            None => allowed
                .iter()
                .copied()
                .find(|allowed| allowed.key_shape() == shape),
        };
        let algorithm = algorithm.ok_or(KeyFault::NotAllowed)?;
        Ok(Self {
            kid: kid.map(|kid| KeyId::from_token(&kid)),
            algorithm,
            thumbprint: material.required.thumbprint(),
            parsed: material.parse(algorithm)?,
        })
    }

    /// The key's id within its issuer, if it has one.
    #[must_use]
    pub fn kid(&self) -> Option<&KeyId> {
        self.kid.as_ref()
    }

    /// The one algorithm the key is used with. [`Algorithm::EdDsa`] and [`Algorithm::Ed25519`]
    /// are one operation.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The RFC 7638 thumbprint.
    #[must_use]
    pub fn thumbprint(&self) -> &Thumbprint {
        &self.thumbprint
    }

    /// Verifies the signature of `jws`, whose header names `algorithm`.
    ///
    /// # Errors
    /// If the signature does not verify, or `algorithm` is not this key's.
    pub fn verify(&self, algorithm: Algorithm, jws: &Compact<'_>) -> Result<(), BadSignature> {
        self.verify_message(algorithm, jws.signing_input().as_bytes(), jws.signature())
    }

    /// Verifies a signature over any octets, in the form of RFC 7518 §3: for ECDSA, R and S of
    /// fixed width.
    ///
    /// # Errors
    /// If the signature does not verify, or `algorithm` is not this key's.
    pub fn verify_message(
        &self,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        if !self.algorithm.same_operation(algorithm) {
            return Err(BadSignature);
        }
        self.parsed
            .verify_sig(message, signature)
            .map_err(|_| BadSignature)
    }
}

/// The decoded members of a key.
struct Material<'a> {
    required: RequiredMembers<'a>,
    shape: KeyShape,
    octets: Octets,
}

enum Octets {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// An uncompressed point, or an Ed25519 key.
    Raw(Vec<u8>),
}

impl<'a> Material<'a> {
    fn decode(parameters: &'a AlgorithmParameters) -> Result<Self, KeyFault> {
        match parameters {
            AlgorithmParameters::RSA(rsa) => {
                let (n, e) = (unsigned("n", &rsa.n)?, unsigned("e", &rsa.e)?);
                let bits = bits(&n);
                if !RSA_BITS.contains(&bits) {
                    return Err(KeyFault::RsaBits(bits));
                }
                let exponent = e.iter().try_fold(0_u64, |value, octet| {
                    (value < 1 << 33).then(|| (value << 8) | u64::from(*octet))
                });
                match exponent {
                    Some(e) if (RSA_MIN_EXPONENT..1 << 33).contains(&e) && e & 1 == 1 => {}
                    _ => return Err(KeyFault::RsaExponent),
                }
                Ok(Self {
                    required: RequiredMembers::Rsa {
                        n: &rsa.n,
                        e: &rsa.e,
                    },
                    shape: KeyShape::Rsa,
                    octets: Octets::Rsa { n, e },
                })
            }
            AlgorithmParameters::EllipticCurve(ec) => {
                let (shape, crv, length) = match ec.curve {
                    EllipticCurve::P256 => (KeyShape::P256, "P-256", 32),
                    EllipticCurve::P384 => (KeyShape::P384, "P-384", 48),
                    EllipticCurve::P521 => (KeyShape::P521, "P-521", 66),
                    _ => return Err(KeyFault::Parameters),
                };
                let mut point = vec![0x04];
                point.extend(exactly("x", &ec.x, length)?);
                point.extend(exactly("y", &ec.y, length)?);
                Ok(Self {
                    required: RequiredMembers::Ec {
                        crv,
                        x: &ec.x,
                        y: &ec.y,
                    },
                    shape,
                    octets: Octets::Raw(point),
                })
            }
            AlgorithmParameters::OctetKeyPair(okp) => {
                if !matches!(okp.curve, EllipticCurve::Ed25519) {
                    return Err(KeyFault::Parameters);
                }
                Ok(Self {
                    required: RequiredMembers::Okp {
                        crv: "Ed25519",
                        x: &okp.x,
                    },
                    shape: KeyShape::Ed25519,
                    octets: Octets::Raw(exactly("x", &okp.x, 32)?),
                })
            }
            // `kty` `oct` has the member `k`, which was refused before; the type may grow.
            _ => Err(KeyFault::Parameters),
        }
    }

    fn shape(&self) -> KeyShape {
        self.shape
    }

    /// The provider checks that a point is on its curve.
    fn parse(&self, algorithm: Algorithm) -> Result<ParsedPublicKey, KeyFault> {
        match &self.octets {
            Octets::Rsa { n, e } => {
                let parameters = rsa(algorithm).ok_or(KeyFault::Algorithm)?;
                PublicKeyComponents { n, e }
                    .to_parsed_public_key(parameters)
                    .map_err(|_| KeyFault::Invalid)
            }
            Octets::Raw(octets) => {
                let curve = curve(algorithm).ok_or(KeyFault::Algorithm)?;
                ParsedPublicKey::new(curve, octets).map_err(|_| KeyFault::Invalid)
            }
        }
    }
}

fn rsa(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

fn curve(algorithm: Algorithm) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match algorithm {
        Algorithm::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
        Algorithm::Es384 => &signature::ECDSA_P384_SHA384_FIXED,
        Algorithm::Es512 => &signature::ECDSA_P521_SHA512_FIXED,
        Algorithm::EdDsa | Algorithm::Ed25519 => &signature::ED25519,
        _ => return None,
    })
}

/// A coordinate or an Ed25519 key: exactly this many octets (RFC 7518 §6.2.1.2).
fn exactly(name: &'static str, text: &str, length: usize) -> Result<Vec<u8>, KeyFault> {
    match base64url::decode(text) {
        Ok(octets) if octets.len() == length => Ok(octets),
        _ => Err(KeyFault::Encoding(name)),
    }
}

/// A Base64urlUInt (RFC 7518 §2): the fewest octets that hold the value. Another spelling would
/// have another thumbprint.
fn unsigned(name: &'static str, text: &str) -> Result<Vec<u8>, KeyFault> {
    match base64url::decode(text) {
        Ok(octets) if octets.first().is_some_and(|first| *first != 0) => Ok(octets),
        _ => Err(KeyFault::Encoding(name)),
    }
}

fn bits(octets: &[u8]) -> usize {
    let unused = octets.first().map_or(0, |first| first.leading_zeros());
    octets
        .len()
        .saturating_mul(8)
        .saturating_sub(usize::try_from(unused).unwrap_or(0))
}
