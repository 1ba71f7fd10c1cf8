//! The text of a private key, read.

use josekit::Value;
use josekit::jwe::JweHeader;
use josekit::jwk::alg::ec::{EcCurve, EcKeyPair};
use josekit::jwk::alg::ecx::{EcxCurve, EcxKeyPair};
use josekit::jwk::alg::rsa::RsaKeyPair;
use josekit::jwk::{Jwk, KeyPair};

use super::algorithm::{ContentEncryption, KeyManagement};
use super::cipher::GoesOn;
use crate::jose::base64url;
use crate::jose::json::Object;

/// The bits of an RSA key. Fewer are weak (RFC 7518 §4.3 wants 2048); each operation with more takes
/// many times as long, and whoever sends tokens chooses how many there are.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// What a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Rsa { bits: usize },
    P256,
    P384,
    P521,
    X25519,
}

impl Shape {
    /// The algorithms that it can be used with.
    pub(super) const fn algorithms(self) -> &'static [KeyManagement] {
        match self {
            Self::Rsa { .. } => &[KeyManagement::RsaOaep256],
            Self::P256 | Self::P384 | Self::P521 | Self::X25519 => {
                &[KeyManagement::EcdhEs, KeyManagement::EcdhEsA256Kw]
            }
        }
    }

    /// `kty`, `crv` and the octets of a coordinate, of a key that agrees.
    pub(super) const fn curve(self) -> Option<(&'static str, &'static str, usize)> {
        match self {
            Self::Rsa { .. } => None,
            Self::P256 => Some(("EC", "P-256", 32)),
            Self::P384 => Some(("EC", "P-384", 48)),
            Self::P521 => Some(("EC", "P-521", 66)),
            Self::X25519 => Some(("OKP", "X25519", 32)),
        }
    }

    /// The octets of an encrypted key.
    pub(super) const fn encrypted_key_octets(
        self,
        algorithm: KeyManagement,
        encryption: ContentEncryption,
    ) -> usize {
        match (self, algorithm) {
            (Self::Rsa { bits }, _) => bits.div_ceil(8),
            (_, KeyManagement::EcdhEs) => 0,
            // RFC 3394 adds eight.
            (_, _) => encryption.key_octets().saturating_add(8),
        }
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rsa { bits } => write!(f, "RSA of {bits} bits"),
            _ => f.write_str(self.curve().map_or("", |(_, name, _)| name)),
        }
    }
}

/// A private key that works.
pub(super) struct Material {
    pub(super) shape: Shape,
    /// Of a JWK.
    pub(super) kid: Option<String>,
    /// Of a JWK: what it says that it is for.
    pub(super) algorithm: Option<KeyManagement>,
    pub(super) decrypters: Vec<(KeyManagement, GoesOn)>,
}

/// What is wrong with the text of a key. Of what stands there it shows the BEGIN line of a PEM, and no more.
pub(super) type KeyTextFault = String;

/// How an unencrypted private key in PKCS #8 begins (RFC 7468 §10).
const PKCS8: &str = "-----BEGIN PRIVATE KEY-----";

impl Material {
    /// Reads a PKCS#8 PEM (RFC 7468 §10).
    pub(super) fn pem(text: &[u8]) -> Result<Self, KeyTextFault> {
        if !text.starts_with(PKCS8.as_bytes()) {
            return Err(not_pkcs8(text));
        }
        let pair = if let Ok(pair) = RsaKeyPair::from_pem(text) {
            Pair::Rsa(pair)
        } else if let Ok(pair) = EcKeyPair::from_pem(text, None) {
            Pair::Ec(pair)
        } else if let Ok(pair) = EcxKeyPair::from_pem(text) {
            Pair::X25519(pair)
        } else {
            return Err(
                "not a private key of RSA, P-256, P-384, P-521 or X25519: give one".to_owned()
            );
        };
        pair.material(None, None)
    }

    /// Reads a private JWK (RFC 7517, RFC 7518 §6, RFC 8037 §2).
    pub(super) fn jwk(text: &[u8]) -> Result<Self, KeyTextFault> {
        if text.trim_ascii_start().starts_with(b"-----BEGIN ") {
            return Err("not a JWK: it is PEM: say `pem`".to_owned());
        }
        let jwk = Object::parse(text).map_err(|error| format!("not a JWK: {error}"))?;
        let text = |name: &str| match jwk.member(name) {
            None => Ok(None),
            Some(value) => {
                value.as_str().map(Some).ok_or_else(|| format!("`{name}` is not a string"))
            }
        };
        if text("use")?.is_some_and(|stated| stated != "enc") {
            return Err("its `use` is not `enc`: give a key that is for encryption".to_owned());
        }
        if let Some(operations) = jwk.member("key_ops") {
            const READ: [&str; 4] = ["decrypt", "unwrapKey", "deriveKey", "deriveBits"];
            let operations = operations.as_array().unwrap_or_default();
            if !operations.iter().any(|one| one.as_str().is_some_and(|one| READ.contains(&&*one))) {
                return Err(
                    "its `key_ops` do not allow to decrypt: wanted `decrypt`, `unwrapKey`, \
                            `deriveKey` or `deriveBits`, or none at all"
                        .to_owned(),
                );
            }
        }
        let algorithm = text("alg")?
            .map(|alg| {
                KeyManagement::parse(&alg).ok_or_else(|| {
                    "its `alg` is not supported: wanted RSA-OAEP-256, ECDH-ES or ECDH-ES+A256KW"
                        .to_owned()
                })
            })
            .transpose()?;
        let kid = text("kid")?.map(std::borrow::Cow::into_owned);
        Pair::of_jwk(&jwk)?.material(kid, algorithm)
    }
}

/// What stands there in place of a PKCS #8 PEM, and what to do about it.
fn not_pkcs8(text: &[u8]) -> KeyTextFault {
    let start = text.trim_ascii_start();
    if start.starts_with(b"{") {
        return "not PEM: it is JSON: say `jwk`".to_owned();
    }
    let Some(label) = pem_label(start) else {
        return format!("found no BEGIN line at the start, wanted `{PKCS8}` (PKCS #8)");
    };
    let found = format!("-----BEGIN {label}-----");
    if found == PKCS8 {
        return format!("found white space before `{PKCS8}`: remove it");
    }
    let hint = match label {
        // OpenSSL does not read that one.
        "OPENSSH PRIVATE KEY" => "`ssh-keygen -p -m PKCS8` makes it",
        _ if label.ends_with("PRIVATE KEY") || label == "EC PARAMETERS" => {
            "`openssl pkcs8 -topk8 -nocrypt` makes it"
        }
        _ => "the private key itself is needed",
    };
    format!("found `{found}`, wanted `{PKCS8}` (PKCS #8): {hint}")
}

/// The label of a PEM (RFC 7468 §3), if it is one of capital letters, digits and spaces. What is no label
/// may be a secret.
fn pem_label(text: &[u8]) -> Option<&str> {
    const LONGEST: usize = 40;
    let label = text.strip_prefix(b"-----BEGIN ")?;
    let length = label.windows(5).take(LONGEST).position(|end| end == b"-----")?;
    let label = std::str::from_utf8(label.get(..length)?).ok()?;
    let legal = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' ';
    label.bytes().all(legal).then_some(label)
}

enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcKeyPair),
    X25519(EcxKeyPair),
}

impl Pair {
    fn of_jwk(jwk: &Object<'_>) -> Result<Self, KeyTextFault> {
        let text = |name: &'static str| {
            jwk.member(name)
                .and_then(|value| value.as_str())
                .ok_or_else(|| format!("`{name}` is absent or not a string"))
        };
        let octets = |name: &'static str| {
            let octets = base64url::decode(text(name)?.as_bytes())
                .map_err(|_| format!("`{name}` is not canonical base64url without padding"))?;
            Ok::<_, KeyTextFault>(octets)
        };
        let kty = text("kty")?;
        let mut private = Jwk::new(&kty);
        let mut set = |name: &'static str, longest: usize| {
            if octets(name)?.len() > longest {
                return Err(format!("`{name}` is too long"));
            }
            let value = Value::String(text(name)?.into_owned());
            private.set_parameter(name, Some(value)).map_err(|_| format!("`{name}` is not legal"))
        };
        let unusable = |_| "not a private key".to_owned();
        match &*kty {
            "RSA" => {
                if jwk.has("oth") {
                    return Err("it has more than two primes".to_owned());
                }
                // Twice the longest: how many bits it has is said later, and better.
                for name in ["n", "e", "d", "p", "q", "dp", "dq", "qi"] {
                    set(name, 1024)?;
                }
                RsaKeyPair::from_jwk(&private).map(Self::Rsa).map_err(unusable)
            }
            "EC" | "OKP" => {
                let crv = text("crv")?;
                let known = [Shape::P256, Shape::P384, Shape::P521, Shape::X25519];
                let curve = known.iter().filter_map(|shape| shape.curve());
                let length = curve
                    .filter(|(of, name, _)| *of == kty && *name == crv)
                    .map(|(_, _, length)| length)
                    .next()
                    .ok_or("its `crv` is not supported")?;
                let points: &[_] = if kty == "EC" { &["x", "y"] } else { &["x"] };
                for name in points.iter().chain(&["d"]) {
                    if octets(name)?.len() != length {
                        return Err(format!("`{name}` has not {length} octets"));
                    }
                }
                set("d", length)?;
                let value = Value::String(crv.into_owned());
                private.set_parameter("crv", Some(value)).map_err(unusable)?;
                // The public part is computed, and compared.
                let pair = match &*kty {
                    "EC" => EcKeyPair::from_jwk(&private).map(Self::Ec).map_err(unusable)?,
                    _ => EcxKeyPair::from_jwk(&private).map(Self::X25519).map_err(unusable)?,
                };
                let public = pair.keys().to_jwk_public_key();
                for name in points {
                    if public.parameter(name).and_then(Value::as_str) != Some(&*text(name)?) {
                        return Err("its public and its private part are of two keys".to_owned());
                    }
                }
                Ok(pair)
            }
            _ => Err("its `kty` is not RSA, EC or OKP".to_owned()),
        }
    }

    fn keys(&self) -> &dyn KeyPair {
        match self {
            Self::Rsa(pair) => pair,
            Self::Ec(pair) => pair,
            Self::X25519(pair) => pair,
        }
    }

    fn material(
        &self,
        kid: Option<String>,
        algorithm: Option<KeyManagement>,
    ) -> Result<Material, KeyTextFault> {
        let public = self.keys().to_jwk_public_key();
        let shape = self.shape(&public)?;
        let pem = self.keys().to_pem_private_key();
        let mut decrypters = Vec::new();
        for algorithm in shape.algorithms() {
            let decrypter = algorithm.decrypter(&pem).filter(|decrypter| {
                works(*algorithm, decrypter.as_ref(), &public).is_some_and(|works| works)
            });
            let decrypter = decrypter.ok_or("its public and its private part are of two keys")?;
            decrypters.push((*algorithm, GoesOn::new(decrypter)));
        }
        Ok(Material { shape, kid, algorithm, decrypters })
    }

    fn shape(&self, public: &Jwk) -> Result<Shape, KeyTextFault> {
        let other = || "its curve is not supported".to_owned();
        match self {
            Self::Rsa(_) => {
                let n = public.parameter("n").and_then(Value::as_str).unwrap_or_default();
                let n = base64url::decode(n).unwrap_or_default();
                let unused = n.first().map_or(0, |first| first.leading_zeros());
                let unused = usize::try_from(unused).unwrap_or(0);
                let bits = n.len().saturating_mul(8).saturating_sub(unused);
                if RSA_BITS.contains(&bits) {
                    return Ok(Shape::Rsa { bits });
                }
                let (least, most) = (RSA_BITS.start(), RSA_BITS.end());
                Err(format!("an RSA key of {bits} bits; {least} to {most} are wanted"))
            }
            Self::Ec(pair) => match pair.curve() {
                EcCurve::P256 => Ok(Shape::P256),
                EcCurve::P384 => Ok(Shape::P384),
                EcCurve::P521 => Ok(Shape::P521),
                EcCurve::Secp256k1 => Err(other()),
            },
            Self::X25519(pair) => match pair.curve() {
                EcxCurve::X25519 => Ok(Shape::X25519),
                EcxCurve::X448 => Err(other()),
            },
        }
    }
}

/// Whether what is encrypted to the public part is what the private part decrypts.
fn works(
    algorithm: KeyManagement,
    decrypter: &dyn josekit::jwe::JweDecrypter,
    public: &Jwk,
) -> Option<bool> {
    let encrypter = algorithm.encrypter(public)?;
    let encryption = ContentEncryption::A256Gcm.of_library();
    let (header, mut out) = (JweHeader::new(), JweHeader::new());
    let agreed = encrypter.compute_content_encryption_key(encryption, &header, &mut out).ok()?;
    let key = agreed.map_or_else(|| vec![7; 32], std::borrow::Cow::into_owned);
    let encrypted = encrypter.encrypt(&key, &header, &mut out).ok()?;
    let read = decrypter.decrypt(encrypted.as_deref(), encryption, &out).ok()?;
    Some(*read == *key)
}
