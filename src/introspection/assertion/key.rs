use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPairComponents, PublicKeyComponents};
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, RsaEncoding, RsaKeyPair,
};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;

use crate::jose::json::{JsonError, Object, Value};
use crate::jose::{Algorithm, KeyShape, base64url};

/// A private key, and the one algorithm with which it signs (RFC 8725 §3.1).
///
/// The pairs are aws-lc-rs's own: `EncodingKey` of jsonwebtoken reads no private JWK, and to sign with
/// a `JwtSigner` would need the same pairs behind it.
pub(super) struct SigningKey {
    pair: Pair,
    algorithm: Algorithm,
    kid: Option<String>,
}

enum Pair {
    /// Of 2048 to 8192 bits: the provider has no other.
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// Why a private key cannot be used. Nothing of the key is shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SigningKeyFault {
    #[error("it is neither a private key in PEM (PKCS #8, not encrypted) nor a private JWK")]
    Unreadable,
    #[error("it has more than one private key: keep one")]
    Several,
    #[error("it is a key in {0}: convert it to PKCS #8 with `openssl pkcs8 -topk8 -nocrypt`")]
    Container(&'static str),
    #[error("the JWK is {0}")]
    Json(JsonError),
    #[error("member `{0}` of the JWK is absent, or not what it has to be")]
    Member(&'static str),
    #[error("the JWK is not for signatures: `use` is not `sig`, or `key_ops` has no `sign`")]
    Use,
    #[error(
        "it is no private key that can sign here: RSA of 2048 to 8192 bits, EC on P-256, P-384 or \
         P-521, or Ed25519 is wanted, whole and consistent"
    )]
    Unusable,
    #[error("the key is not one for `{0}`")]
    Algorithm(Algorithm),
    #[error("`alg` of the JWK is `{own}`, and `{wanted}` is configured")]
    AnotherAlgorithm { own: Algorithm, wanted: Algorithm },
}

/// The curves, and how their keys sign: R and S of fixed width (RFC 7518 §3.4).
const CURVES: [(&str, KeyShape, usize, &EcdsaSigningAlgorithm); 3] = [
    ("P-256", KeyShape::P256, 32, &signature::ECDSA_P256_SHA256_FIXED_SIGNING),
    ("P-384", KeyShape::P384, 48, &signature::ECDSA_P384_SHA384_FIXED_SIGNING),
    ("P-521", KeyShape::P521, 66, &signature::ECDSA_P521_SHA512_FIXED_SIGNING),
];

impl SigningKey {
    /// Reads a PKCS #8 key in PEM or a private JWK. Without `wanted` its algorithm is the `alg` of the
    /// JWK, or what FAPI 2.0 §5.4.1 would have for its kind.
    pub(super) fn parse(text: &[u8], wanted: Option<Algorithm>) -> Result<Self, SigningKeyFault> {
        let (pair, shape, own, kid) = if text.starts_with(b"{") {
            let jwk = Object::parse(text).map_err(SigningKeyFault::Json)?;
            let (own, kid) = names(&jwk)?;
            let (pair, shape) = of_jwk(&jwk)?;
            (pair, shape, own, kid)
        } else {
            let (pair, shape) = of_pem(text)?;
            (pair, shape, None, None)
        };
        let algorithm = match (wanted, own) {
            (Some(wanted), Some(own)) if !wanted.same_operation(own) => {
                return Err(SigningKeyFault::AnotherAlgorithm { own, wanted });
            }
            (Some(algorithm), _) | (None, Some(algorithm)) => algorithm,
            (None, None) => default(shape),
        };
        if algorithm.key_shape() != shape {
            return Err(SigningKeyFault::Algorithm(algorithm));
        }
        Ok(Self { pair, algorithm, kid })
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The `kid` of the JWK.
    pub(super) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The octets of a signature over `message`; `None` if the provider fails.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut octets = vec![0; pair.public_modulus_len()];
                pair.sign(encoding(self.algorithm)?, &random, message, &mut octets).ok()?;
                Some(octets)
            }
            Pair::Ecdsa(pair) => Some(pair.sign(&random, message).ok()?.as_ref().to_vec()),
            Pair::Ed25519(pair) => Some(pair.try_sign(message).ok()?.as_ref().to_vec()),
        }
    }
}

/// `EdDSA` and not `Ed25519`: RFC 9864 deprecates the name, and servers know it.
fn default(shape: KeyShape) -> Algorithm {
    match shape {
        KeyShape::Rsa => Algorithm::Ps256,
        KeyShape::P256 => Algorithm::Es256,
        KeyShape::P384 => Algorithm::Es384,
        KeyShape::P521 => Algorithm::Es512,
        KeyShape::Ed25519 => Algorithm::EdDsa,
    }
}

fn encoding(algorithm: Algorithm) -> Option<&'static dyn RsaEncoding> {
    Some(match algorithm {
        Algorithm::Rs256 => &signature::RSA_PKCS1_SHA256,
        Algorithm::Rs384 => &signature::RSA_PKCS1_SHA384,
        Algorithm::Rs512 => &signature::RSA_PKCS1_SHA512,
        Algorithm::Ps256 => &signature::RSA_PSS_SHA256,
        Algorithm::Ps384 => &signature::RSA_PSS_SHA384,
        Algorithm::Ps512 => &signature::RSA_PSS_SHA512,
        _ => return None,
    })
}

fn of_pem(text: &[u8]) -> Result<(Pair, KeyShape), SigningKeyFault> {
    let mut keys = PrivateKeyDer::pem_slice_iter(text);
    // What is wrong with the text of a key is nothing to show.
    let Some(Ok(key)) = keys.next() else { return Err(SigningKeyFault::Unreadable) };
    if keys.next().is_some() {
        return Err(SigningKeyFault::Several);
    }
    let der = match &key {
        PrivateKeyDer::Pkcs8(der) => der.secret_pkcs8_der(),
        PrivateKeyDer::Pkcs1(_) => return Err(SigningKeyFault::Container("PKCS #1")),
        PrivateKeyDer::Sec1(_) => return Err(SigningKeyFault::Container("SEC 1")),
        _ => return Err(SigningKeyFault::Unreadable),
    };
    if let Ok(pair) = RsaKeyPair::from_pkcs8(der) {
        return Ok((Pair::Rsa(pair), KeyShape::Rsa));
    }
    for (_, shape, _, signing) in CURVES {
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(signing, der) {
            return Ok((Pair::Ecdsa(pair), shape));
        }
    }
    match Ed25519KeyPair::from_pkcs8(der) {
        Ok(pair) => Ok((Pair::Ed25519(pair), KeyShape::Ed25519)),
        Err(_) => Err(SigningKeyFault::Unusable),
    }
}

/// `alg` and `kid` of a JWK that is for signatures.
fn names(jwk: &Object<'_>) -> Result<(Option<Algorithm>, Option<String>), SigningKeyFault> {
    let text = |name| match jwk.member(name).map(Value::as_str) {
        None => Ok(None),
        Some(Some(text)) => Ok(Some(text)),
        Some(None) => Err(SigningKeyFault::Member(name)),
    };
    if text("use")?.is_some_and(|use_| use_ != "sig") {
        return Err(SigningKeyFault::Use);
    }
    if let Some(operations) = jwk.member("key_ops") {
        let operations = operations.as_array().ok_or(SigningKeyFault::Use)?;
        if !operations.iter().any(|operation| operation.as_str().as_deref() == Some("sign")) {
            return Err(SigningKeyFault::Use);
        }
    }
    let alg = match text("alg")? {
        Some(alg) => Some(Algorithm::parse(&alg).ok_or(SigningKeyFault::Member("alg"))?),
        None => None,
    };
    Ok((alg, text("kid")?.map(Into::into)))
}

/// A private JWK (RFC 7518 §6.2.2, §6.3.2, RFC 8037 §2). The provider compares the private members with
/// the public ones.
fn of_jwk(jwk: &Object<'_>) -> Result<(Pair, KeyShape), SigningKeyFault> {
    let text = |name| jwk.member(name).and_then(Value::as_str).ok_or(SigningKeyFault::Member(name));
    let octets = |name| base64url::decode(&*text(name)?).map_err(|_| SigningKeyFault::Member(name));
    let exactly = |name, length: usize| {
        octets(name).and_then(|octets| {
            (octets.len() == length).then_some(octets).ok_or(SigningKeyFault::Member(name))
        })
    };
    let unusable = |_| SigningKeyFault::Unusable;
    match &*text("kty")? {
        "RSA" => {
            // A key of more than two primes has other members yet (RFC 7518 §6.3.2.7).
            if jwk.has("oth") {
                return Err(SigningKeyFault::Member("oth"));
            }
            let components = KeyPairComponents {
                public_key: PublicKeyComponents { n: octets("n")?, e: octets("e")? },
                d: octets("d")?,
                p: octets("p")?,
                q: octets("q")?,
                dP: octets("dp")?,
                dQ: octets("dq")?,
                qInv: octets("qi")?,
            };
            let pair = RsaKeyPair::from_components(&components).map_err(unusable)?;
            Ok((Pair::Rsa(pair), KeyShape::Rsa))
        }
        "EC" => {
            let crv = text("crv")?;
            let (_, shape, length, signing) = CURVES
                .into_iter()
                .find(|(name, ..)| *name == crv)
                .ok_or(SigningKeyFault::Member("crv"))?;
            let point = [vec![0x04], exactly("x", length)?, exactly("y", length)?].concat();
            let private = exactly("d", length)?;
            let pair = EcdsaKeyPair::from_private_key_and_public_key(signing, &private, &point)
                .map_err(unusable)?;
            Ok((Pair::Ecdsa(pair), shape))
        }
        "OKP" if text("crv")? == "Ed25519" => {
            let (seed, public) = (exactly("d", 32)?, exactly("x", 32)?);
            let pair =
                Ed25519KeyPair::from_seed_and_public_key(&seed, &public).map_err(unusable)?;
            Ok((Pair::Ed25519(pair), KeyShape::Ed25519))
        }
        "OKP" => Err(SigningKeyFault::Member("crv")),
        _ => Err(SigningKeyFault::Member("kty")),
    }
}
