//! One public key (RFC 7517, RFC 7518 §6, RFC 8037 §2), fit for one algorithm: of an issuer, or of
//! a client that carries it in its DPoP proof.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{self, ParsedPublicKey, RsaParameters, VerificationAlgorithm};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};

use super::algorithm::{Algorithm, KeyShape};
use super::base64url;
use super::compact::Compact;
use super::json::{JsonError, Object, Value};
use super::thumbprint::RequiredMembers;
use crate::name::{KeyId, Thumbprint};

/// Members that only a private or a symmetric key has (RFC 7518 §6.2.2, §6.3.2, §6.4, RFC 8037).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// RFC 7518 §3.3 wants 2048 bits at least; 8192 is the most that the provider verifies.
const RSA_BITS: RangeInclusive<usize> = 2048..=8192;

/// The same for a key that anybody can send, who so decides how much work its signature is.
const EMBEDDED_RSA_BITS: RangeInclusive<usize> = 2048..=4096;

/// RFC 7517 §4.3 registers eight.
const MOST_OPERATIONS: usize = 16;

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
    /// `key_ops` does not allow `verify`, repeats a value, or has more than sixteen.
    #[error("`key_ops` does not allow `verify`, repeats a value, or has more than sixteen")]
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
    /// The provider refuses the key: its point is not on its curve; or an Ed25519 key is a point of
    /// small order.
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
    kid: Option<Arc<KeyId>>,
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
        let names = Names::read(&object)?;
        let jwk = read_members(&object)?;
        match &jwk.common.public_key_use {
            None | Some(PublicKeyUse::Signature) => {}
            Some(_) => return Err(KeyFault::Use),
        }
        if let Some(operations) = &jwk.common.key_operations {
            let legal = operations.len() <= MOST_OPERATIONS
                && !repeats(operations)
                && operations.contains(&KeyOperations::Verify);
            if !legal {
                return Err(KeyFault::KeyOperations);
            }
        }
        let parameters = Parameters::of(&jwk.algorithm)?;
        Self::new(names, &Material::decode(&parameters, RSA_BITS)?, allowed)
    }

    /// Reads the key in the header of a DPoP proof (RFC 9449 §4.2), for the algorithm that the same
    /// header names: with the checks of [`Self::parse`] and a lower bound on the size of RSA keys.
    /// It is on the path of every request, so no other type is filled on the way.
    pub(crate) fn embedded(jwk: &Object<'_>, algorithm: Algorithm) -> Result<Self, KeyFault> {
        let names = Names::read(jwk)?;
        let parameters = Parameters::read(jwk)?;
        check_use(jwk)?;
        Self::new(names, &Material::decode(&parameters, EMBEDDED_RSA_BITS)?, &[algorithm])
    }

    fn new(
        names: Names<'_>,
        material: &Material<'_>,
        allowed: &[Algorithm],
    ) -> Result<Self, KeyFault> {
        let shape = material.shape();
        let algorithm = match names.alg {
            Some(alg) if alg.key_shape() != shape => return Err(KeyFault::Algorithm),
            Some(alg) => allowed.iter().find(|allowed| allowed.same_operation(alg)).map(|_| alg),
            None => allowed.iter().copied().find(|allowed| allowed.key_shape() == shape),
        };
        let algorithm = algorithm.ok_or(KeyFault::NotAllowed)?;
        Ok(Self {
            kid: names.kid.map(|kid| Arc::new(KeyId::from_token(&kid))),
            algorithm,
            thumbprint: material.required.thumbprint(),
            parsed: material.parse(algorithm)?,
        })
    }

    /// The key's id within its issuer, if it has one.
    #[must_use]
    pub fn kid(&self) -> Option<&KeyId> {
        self.kid.as_deref()
    }

    /// The same, for keeping.
    pub(crate) fn shared_kid(&self) -> Option<Arc<KeyId>> {
        self.kid.clone()
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
        self.parsed.verify_sig(message, signature).map_err(|_| BadSignature)
    }
}

/// What a key says of itself, whatever its kind.
struct Names<'a> {
    kid: Option<Cow<'a, str>>,
    alg: Option<Algorithm>,
}

impl<'a> Names<'a> {
    fn read(jwk: &Object<'a>) -> Result<Self, KeyFault> {
        // Before anything else: a leaked private key is reported as such, whatever else is wrong.
        for name in PRIVATE_MEMBERS {
            if jwk.has(name) {
                return Err(KeyFault::Private(name));
            }
        }
        let kid = match jwk.member("kid") {
            None => None,
            Some(kid) => Some(kid.as_str().ok_or(KeyFault::KeyId)?),
        };
        let alg = match jwk.member("alg") {
            None => None,
            Some(alg) => {
                let alg = alg.as_str().and_then(|alg| Algorithm::parse(&alg));
                Some(alg.ok_or(KeyFault::Algorithm)?)
            }
        };
        Ok(Self { kid, alg })
    }
}

/// The members that have a meaning here, and only those, in the type that reads them. What else an
/// issuer publishes with a key, in whatever form, does not make the key unusable; and no member is
/// read that is not of its own JSON type.
fn read_members(object: &Object<'_>) -> Result<Jwk, KeyFault> {
    let kty = object.member("kty").and_then(Value::as_str).ok_or(KeyFault::Parameters)?;
    let texts: &[&str] = match &*kty {
        "RSA" => &["kty", "n", "e", "use"],
        "EC" => &["kty", "crv", "x", "y", "use"],
        "OKP" => &["kty", "crv", "x", "use"],
        _ => return Err(KeyFault::Parameters),
    };
    let mut members = Vec::new();
    for &name in texts {
        if let Some(value) = object.member(name) {
            let fault = if name == "use" { KeyFault::Use } else { KeyFault::Parameters };
            value.as_str().ok_or(fault)?;
            members.push(format!("\"{name}\":{}", value.text()));
        }
    }
    if let Some(value) = object.member("key_ops") {
        let operations = value.as_array().ok_or(KeyFault::KeyOperations)?;
        if operations.iter().any(|operation| operation.as_str().is_none()) {
            return Err(KeyFault::KeyOperations);
        }
        members.push(format!("\"key_ops\":{}", value.text()));
    }
    serde_json::from_str(&format!("{{{}}}", members.join(","))).map_err(|_| KeyFault::Parameters)
}

/// `use` and `key_ops`, where they are there, allow to verify (RFC 7517 §4.2, §4.3).
fn check_use(jwk: &Object<'_>) -> Result<(), KeyFault> {
    if let Some(value) = jwk.member("use")
        && value.as_str().as_deref() != Some("sig")
    {
        return Err(KeyFault::Use);
    }
    if let Some(value) = jwk.member("key_ops") {
        let operations = value.as_array().ok_or(KeyFault::KeyOperations)?;
        let operations: Option<Vec<_>> = operations.into_iter().map(Value::as_str).collect();
        let operations = operations.ok_or(KeyFault::KeyOperations)?;
        let legal = operations.len() <= MOST_OPERATIONS
            && !repeats(&operations)
            && operations.iter().any(|operation| operation == "verify");
        if !legal {
            return Err(KeyFault::KeyOperations);
        }
    }
    Ok(())
}

/// Whether an operation is named twice (RFC 7517 §4.3). Each is compared with each: there are few.
fn repeats<T: PartialEq>(operations: &[T]) -> bool {
    (1..).zip(operations).any(|(next, op)| operations.iter().skip(next).any(|other| other == op))
}

/// The required members of a key, as they were written.
enum Parameters<'a> {
    Rsa { n: Cow<'a, str>, e: Cow<'a, str> },
    Ec { curve: Curve, x: Cow<'a, str>, y: Cow<'a, str> },
    Ed25519 { x: Cow<'a, str> },
}

#[derive(Clone, Copy)]
enum Curve {
    P256,
    P384,
    P521,
}

impl<'a> Parameters<'a> {
    fn of(jwk: &'a AlgorithmParameters) -> Result<Self, KeyFault> {
        Ok(match jwk {
            AlgorithmParameters::RSA(rsa) => {
                Self::Rsa { n: Cow::Borrowed(&rsa.n), e: Cow::Borrowed(&rsa.e) }
            }
            AlgorithmParameters::EllipticCurve(ec) => {
                let curve = match ec.curve {
                    EllipticCurve::P256 => Curve::P256,
                    EllipticCurve::P384 => Curve::P384,
                    EllipticCurve::P521 => Curve::P521,
                    _ => return Err(KeyFault::Parameters),
                };
                Self::Ec { curve, x: Cow::Borrowed(&ec.x), y: Cow::Borrowed(&ec.y) }
            }
            AlgorithmParameters::OctetKeyPair(okp)
                if matches!(okp.curve, EllipticCurve::Ed25519) =>
            {
                Self::Ed25519 { x: Cow::Borrowed(&okp.x) }
            }
            // `kty` `oct` has the member `k`, which was refused before; the type may grow.
            _ => return Err(KeyFault::Parameters),
        })
    }

    fn read(jwk: &Object<'a>) -> Result<Self, KeyFault> {
        let text = |name| jwk.member(name).and_then(Value::as_str).ok_or(KeyFault::Parameters);
        let ec = |curve| Ok(Self::Ec { curve, x: text("x")?, y: text("y")? });
        match &*text("kty")? {
            "RSA" => Ok(Self::Rsa { n: text("n")?, e: text("e")? }),
            "EC" => match &*text("crv")? {
                "P-256" => ec(Curve::P256),
                "P-384" => ec(Curve::P384),
                "P-521" => ec(Curve::P521),
                _ => Err(KeyFault::Parameters),
            },
            "OKP" if text("crv")? == "Ed25519" => Ok(Self::Ed25519 { x: text("x")? }),
            _ => Err(KeyFault::Parameters),
        }
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
    fn decode(
        parameters: &'a Parameters<'_>,
        rsa_bits: RangeInclusive<usize>,
    ) -> Result<Self, KeyFault> {
        match parameters {
            Parameters::Rsa { n: modulus, e: exponent } => {
                let (n, e) = (unsigned("n", modulus)?, unsigned("e", exponent)?);
                let bits = bits(&n);
                if !rsa_bits.contains(&bits) {
                    return Err(KeyFault::RsaBits(bits));
                }
                // Two primes above 2 make an odd number.
                if n.last().is_none_or(|last| last & 1 == 0) {
                    return Err(KeyFault::Invalid);
                }
                let value = e.iter().try_fold(0_u64, |value, octet| {
                    (value < 1 << 33).then(|| (value << 8) | u64::from(*octet))
                });
                match value {
                    Some(e) if (RSA_MIN_EXPONENT..1 << 33).contains(&e) && e & 1 == 1 => {}
                    _ => return Err(KeyFault::RsaExponent),
                }
                Ok(Self {
                    required: RequiredMembers::Rsa { n: modulus, e: exponent },
                    shape: KeyShape::Rsa,
                    octets: Octets::Rsa { n, e },
                })
            }
            Parameters::Ec { curve, x, y } => {
                let (shape, crv, length) = match curve {
                    Curve::P256 => (KeyShape::P256, "P-256", 32),
                    Curve::P384 => (KeyShape::P384, "P-384", 48),
                    Curve::P521 => (KeyShape::P521, "P-521", 66),
                };
                let mut point = vec![0x04];
                point.extend(exactly("x", x, length)?);
                point.extend(exactly("y", y, length)?);
                Ok(Self {
                    required: RequiredMembers::Ec { crv, x, y },
                    shape,
                    octets: Octets::Raw(point),
                })
            }
            Parameters::Ed25519 { x } => {
                let octets = exactly("x", x, 32)?;
                if is_small_order(&octets) {
                    return Err(KeyFault::Invalid);
                }
                Ok(Self {
                    required: RequiredMembers::Okp { crv: "Ed25519", x },
                    shape: KeyShape::Ed25519,
                    octets: Octets::Raw(octets),
                })
            }
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

/// Whether these octets name a point of order 1, 2, 4 or 8 on edwards25519, in any spelling: under
/// such a key, one signature verifies for many messages, and proves nothing.
fn is_small_order(octets: &[u8]) -> bool {
    /// The y-coordinates of the eight points, little-endian, canonical or not (RFC 8032 §5.1.2);
    /// the sign of x is the top bit, which is left out.
    const LOW: [u8; 32] = [0; 32];
    const ORDER_8: [[u8; 32]; 2] = [
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef,
            0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88,
            0x6d, 0x53, 0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10,
            0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77,
            0x92, 0xac, 0x03, 0x7a,
        ],
    ];
    let Ok(mut y) = <[u8; 32]>::try_from(octets) else { return false };
    if let Some(last) = y.last_mut() {
        *last &= 0x7f;
    }
    // 0 and 1; and p - 1, p, p + 1, which end in 0x7f after thirty 0xff.
    let (first, rest) = y.split_at(1);
    let (middle, last) = rest.split_at(30);
    let small = first.iter().all(|first| *first <= 1) && rest == LOW.split_at(1).1;
    let near_p = first.iter().all(|first| (0xec..=0xee).contains(first))
        && middle.iter().all(|octet| *octet == 0xff)
        && last == [0x7f];
    small || near_p || ORDER_8.contains(&y)
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
    octets.len().saturating_mul(8).saturating_sub(usize::try_from(unused).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// DPOP-C07: the short way to the key of a proof reads what the way of a key set reads, and
    /// refuses what that refuses.
    #[test]
    fn a_key_is_read_alike_on_both_ways() {
        const EC: &str = r#""kty":"EC","crv":"P-256","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA""#;
        const OKP: &str =
            r#""kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo""#;
        let (mut good, mut refused) = (0, 0);
        for (key, algorithm) in [(EC, Algorithm::Es256), (OKP, Algorithm::EdDsa)] {
            let crv = if key == EC { "P-256" } else { "Ed25519" };
            for jwk in [
                format!("{{{key}}}"),
                format!(r#"{{{key},"use":"sig","key_ops":["verify","encrypt"],"ext":true}}"#),
                format!(r#"{{{key},"kid":"k1","alg":"{algorithm}","x5t":7}}"#),
                format!("{{{}}}", key.replace(r#""x""#, r#""\u0078""#)),
                format!(r#"{{{key},"use":"enc"}}"#),
                format!(r#"{{{key},"use":null}}"#),
                format!(r#"{{{key},"key_ops":[]}}"#),
                format!(r#"{{{key},"key_ops":["sign"]}}"#),
                format!(r#"{{{key},"key_ops":["verify","verify"]}}"#),
                format!(r#"{{{key},"key_ops":["verify",7]}}"#),
                format!(r#"{{{key},"key_ops":"verify"}}"#),
                format!(r#"{{{key},"kid":7}}"#),
                format!(r#"{{{key},"alg":"ES384"}}"#),
                format!(r#"{{{key},"alg":"HS256"}}"#),
                format!(r#"{{{key},"alg":null}}"#),
                format!(r#"{{{key},"d":"AAAA"}}"#),
                format!(r#"{{{key},"k":null}}"#),
                format!("{{{}}}", key.replace(crv, "secp256k1")),
                format!("{{{}}}", key.replace(crv, "p-256")),
                format!("{{{}}}", key.replace(crv, "P-384")),
                format!("{{{}}}", key.replace(r#""kty":"EC""#, r#""kty":"OKP""#)),
                format!("{{{}}}", key.replace(r#""kty":"OKP""#, r#""kty":"EC""#)),
                format!("{{{}}}", key.replace(r#""kty""#, r#""kyt""#)),
                format!("{{{}}}", key.replace(r#""x":"#, r#""x":7,"z":"#)),
                format!("{{{}}}", key.replace(r#""x":""#, r#""x":"A"#)),
                format!("{{{}}}", key.replace(r#"7hc"#, "7hd").replace("DY9", "DY8")),
            ] {
                let object = Object::parse(jwk.as_bytes()).unwrap();
                let short = PublicKey::embedded(&object, algorithm);
                let long = PublicKey::parse(jwk.as_bytes(), &[algorithm]);
                match (short, long) {
                    (Ok(short), Ok(long)) => {
                        assert_eq!(short.thumbprint(), long.thumbprint(), "{jwk}");
                        assert_eq!(short.algorithm(), long.algorithm(), "{jwk}");
                        assert_eq!(short.kid(), long.kid(), "{jwk}");
                        good += 1;
                    }
                    (short, long) => {
                        assert_eq!(short.err(), long.err(), "{jwk}");
                        refused += 1;
                    }
                }
            }
        }
        assert!(good >= 8 && refused >= 38, "{good} {refused}");
    }

    /// The points are those that another library calls weak; a real key is none.
    #[test]
    fn points_of_small_order_are_known() {
        let mut weak = 0;
        for first in 0..=255_u8 {
            for (middle, last) in [(0, 0), (0xff, 0x7f), (0, 0x80), (0xff, 0xff)] {
                let mut octets = [middle; 32];
                (octets[0], octets[31]) = (first, last);
                if let Ok(key) = ed25519_dalek::VerifyingKey::from_bytes(&octets)
                    && key.is_weak()
                {
                    assert!(is_small_order(&octets), "{octets:x?}");
                    weak += 1;
                }
            }
        }
        assert!(weak >= 8, "{weak}");
        for order_8 in [
            "JuiVj8KyJ7BFw_SJ8u-Y8NXfrAXTxjM5sTgCiG1T_AU",
            "xxdqcD1N2E-6PAt2DRBnDyogU_osOczGTsf9d5KsA3o",
        ] {
            let octets: [u8; 32] = base64url::decode(order_8).unwrap().try_into().unwrap();
            assert!(ed25519_dalek::VerifyingKey::from_bytes(&octets).unwrap().is_weak());
            assert!(is_small_order(&octets));
        }
        let real = base64url::decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
        assert!(!is_small_order(&real));
    }
}
