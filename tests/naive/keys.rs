//! Keys of a JWK Set, and the signatures that they verify.

use rsa::sha2::{Digest, Sha256, Sha384, Sha512};
use rsa::signature::Verifier;
use rsa::traits::PublicKeyParts;
use rsa::{BigUint, Pkcs1v15Sign, Pss, RsaPublicKey};

use super::json::{
    Json, Members, absent_or_text, all_differ, base64url, has_duplicate_names, has_duplicates,
    member, parse_json, require, strings, text,
};

pub(super) struct Key {
    pub(super) kid: Option<String>,
    pub(super) alg: Option<String>,
    pub(super) public: PublicKey,
}

pub(super) enum PublicKey {
    Rsa(RsaPublicKey),
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
    P521(p521::ecdsa::VerifyingKey),
    Ed25519([u8; 32]),
}

/// The keys of a JWKS that can be used; none at all of a text that is no JWKS.
pub(super) fn usable_keys(jwks: &str) -> Option<Vec<Key>> {
    let Json::Object(set) = parse_json(jwks.as_bytes())? else {
        return None;
    };
    // a duplicate inside a key makes that key unusable, one beside the keys the whole set
    require(!has_duplicate_names(&set))?;
    require(set.iter().all(|(name, value)| name == "keys" || !has_duplicates(value)))?;
    let Json::Array(keys) = member(&set, "keys")? else {
        return None;
    };
    Some(keys.iter().filter_map(usable_key).collect())
}

pub(super) fn usable_key(jwk: &Json) -> Option<Key> {
    let Json::Object(members) = jwk else {
        return None;
    };
    require(!has_duplicates(jwk))?;
    for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
        require(member(members, private).is_none())?;
    }
    for optional in ["use", "kid", "alg"] {
        require(absent_or_text(members, optional))?;
    }
    require(text(members, "use").is_none_or(|value| value == "sig"))?;
    if let Some(value) = member(members, "key_ops") {
        let Json::Array(items) = value else {
            return None;
        };
        let names = strings(items)?;
        require(names.iter().any(|name| name == "verify"))?;
        require(all_differ(names.iter()) && names.len() <= 16)?;
    }
    let kty = text(members, "kty")?;
    let crv = text(members, "crv").unwrap_or_default();
    let public = match (kty.as_str(), crv.as_str()) {
        ("RSA", _) => PublicKey::Rsa(rsa_key(members)?),
        ("EC", "P-256") => PublicKey::P256(
            p256::ecdsa::VerifyingKey::from_sec1_bytes(&ec_point(members, 32)?).ok()?,
        ),
        ("EC", "P-384") => PublicKey::P384(
            p384::ecdsa::VerifyingKey::from_sec1_bytes(&ec_point(members, 48)?).ok()?,
        ),
        ("EC", "P-521") => PublicKey::P521(
            p521::ecdsa::VerifyingKey::from_sec1_bytes(&ec_point(members, 66)?).ok()?,
        ),
        ("OKP", "Ed25519") => PublicKey::Ed25519(base64url(&text(members, "x")?)?.try_into().ok()?),
        _ => return None,
    };
    let alg = text(members, "alg");
    require(alg.as_ref().is_none_or(|alg| public.fits(alg)))?;
    Some(Key { kid: text(members, "kid"), alg, public })
}

fn rsa_key(members: &Members) -> Option<RsaPublicKey> {
    let n = base64url(&text(members, "n")?)?;
    let e = base64url(&text(members, "e")?)?;
    require(n.first() != Some(&0) && e.first() != Some(&0))?;
    let n = BigUint::from_bytes_be(&n);
    let e = BigUint::from_bytes_be(&e);
    require((2048..=8192).contains(&n.bits()))?;
    require(e >= BigUint::from(65_537_u32) && e < BigUint::from(1_u64 << 33))?;
    // the library refuses an even exponent, and an even modulus, which is no RSA modulus
    RsaPublicKey::new_with_max_size(n, e, 8192).ok()
}

/// The point in SEC 1 form, uncompressed; the libraries refuse one that is not on the curve.
fn ec_point(members: &Members, width: usize) -> Option<Vec<u8>> {
    let x = base64url(&text(members, "x")?)?;
    let y = base64url(&text(members, "y")?)?;
    (x.len() == width && y.len() == width).then(|| [vec![4], x, y].concat())
}

impl Key {
    /// A key is used with one algorithm: its own, else the first that fits on the allow-list.
    pub(super) fn has_algorithm(&self, alg: &str, allow_list: &[String]) -> bool {
        if let PublicKey::Ed25519(_) = self.public {
            // two names of one operation; the caller has asked the allow-list for this name
            return self.public.fits(alg);
        }
        match &self.alg {
            Some(own) => own == alg,
            None => allow_list
                .iter()
                .find(|name| self.public.fits(name))
                .is_some_and(|first| first == alg),
        }
    }
}

impl PublicKey {
    pub(super) fn fits(&self, alg: &str) -> bool {
        match self {
            Self::Rsa(_) => ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"].contains(&alg),
            Self::P256(_) => alg == "ES256",
            Self::P384(_) => alg == "ES384",
            Self::P521(_) => alg == "ES512",
            Self::Ed25519(_) => alg == "EdDSA" || alg == "Ed25519",
        }
    }

    pub(super) fn verifies(&self, alg: &str, signed: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Rsa(key) => rsa_verifies(key, alg, signed, signature),
            // `from_slice` takes fixed-width R || S only, and refuses zero and out-of-range values
            Self::P256(key) => p256::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|s| key.verify(signed, &s).is_ok()),
            Self::P384(key) => p384::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|s| key.verify(signed, &s).is_ok()),
            Self::P521(key) => p521::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|s| key.verify(signed, &s).is_ok()),
            Self::Ed25519(bytes) => {
                let key = ed25519_dalek::VerifyingKey::from_bytes(bytes);
                let signature = ed25519_dalek::Signature::from_slice(signature);
                matches!((key, signature), (Ok(key), Ok(signature)) if key.verify_strict(signed, &signature).is_ok())
            }
        }
    }
}

fn rsa_verifies(key: &RsaPublicKey, alg: &str, signed: &[u8], signature: &[u8]) -> bool {
    // RFC 8017, 8.1.2 and 8.2.2: as long as the modulus, and smaller than it as a number
    if signature.len() != key.size() || BigUint::from_bytes_be(signature) >= *key.n() {
        return false;
    }
    let sha256 = Sha256::digest(signed);
    let sha384 = Sha384::digest(signed);
    let sha512 = Sha512::digest(signed);
    let result = match alg {
        "RS256" => key.verify(Pkcs1v15Sign::new::<Sha256>(), &sha256, signature),
        "RS384" => key.verify(Pkcs1v15Sign::new::<Sha384>(), &sha384, signature),
        "RS512" => key.verify(Pkcs1v15Sign::new::<Sha512>(), &sha512, signature),
        "PS256" => key.verify(Pss::new_with_salt::<Sha256>(32), &sha256, signature),
        "PS384" => key.verify(Pss::new_with_salt::<Sha384>(48), &sha384, signature),
        "PS512" => key.verify(Pss::new_with_salt::<Sha512>(64), &sha512, signature),
        _ => return false,
    };
    result.is_ok()
}
