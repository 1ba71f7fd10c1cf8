//! Keys and signatures that the test kit does not make, and the forms of a public key.

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RsaEncoding, RsaKeyPair};
use base64::Engine as _;
use portcullis::jose::base64url;
use portcullis::testing::TokenBuilder;
use rsa::pkcs8::DecodePrivateKey as _;
use serde_json::{Value, json};

/// A compact JWS of what is signed and a signature.
pub(crate) fn compact(signing_input: &str, signature: impl AsRef<[u8]>) -> String {
    format!("{signing_input}.{}", base64url::encode(signature))
}

/// An RSA key pair that signs with every RSA algorithm.
pub(crate) struct RsaPair(RsaKeyPair);

impl RsaPair {
    pub(crate) fn generate() -> Self {
        Self(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    /// The public JWK, with nothing but these members.
    pub(crate) fn jwk(&self, kid: &str, alg: Option<&str>) -> Value {
        let public = self.0.public_key();
        let mut jwk = json!({
            "kty": "RSA",
            "kid": kid,
            "n": base64url::encode(public.modulus().big_endian_without_leading_zero()),
            "e": base64url::encode(public.exponent().big_endian_without_leading_zero()),
        });
        if let Some(alg) = alg {
            jwk["alg"] = json!(alg);
        }
        jwk
    }

    /// `SubjectPublicKeyInfo`.
    pub(crate) fn spki(&self) -> Vec<u8> {
        let der: PublicKeyX509Der<'_> = self.0.public_key().as_der().unwrap();
        der.as_ref().to_vec()
    }

    /// `RSAPublicKey`.
    pub(crate) fn pkcs1(&self) -> Vec<u8> {
        self.0.public_key().as_ref().to_vec()
    }

    pub(crate) fn modulus(&self) -> Vec<u8> {
        let modulus = self.0.public_key().modulus();
        modulus.big_endian_without_leading_zero().to_vec()
    }

    /// The token, its header naming `alg`, signed with `encoding`.
    pub(crate) fn sign(
        &self,
        token: TokenBuilder,
        alg: &str,
        encoding: &'static dyn RsaEncoding,
    ) -> String {
        let input = token.header("alg", alg).signing_input();
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign(encoding, &SystemRandom::new(), input.as_bytes(), &mut signature).unwrap();
        compact(&input, signature)
    }

    /// The same key for signatures that no JWS algorithm has.
    pub(crate) fn private(&self) -> rsa::RsaPrivateKey {
        let der: Pkcs8V1Der<'_> = self.0.as_der().unwrap();
        rsa::RsaPrivateKey::from_pkcs8_der(der.as_ref()).unwrap()
    }
}

/// Randomness for the RustCrypto crates.
pub(crate) struct Random;

impl rsa::rand_core::RngCore for Random {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        aws_lc_rs::rand::fill(bytes).unwrap();
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rsa::rand_core::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl rsa::rand_core::CryptoRng for Random {}

fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> =
        (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// What somebody might mistake for a secret: a public key in the forms it is published in.
fn forms(spki: &[u8], more: Vec<(&str, Vec<u8>)>, jwk: &Value) -> Vec<(String, Vec<u8>)> {
    let pem = pem("PUBLIC KEY", spki);
    let mut pretty = jwk.clone();
    pretty["use"] = json!("sig");
    let mut forms = vec![
        ("PEM", pem.clone().into_bytes()),
        ("PEM without its last line break", pem.trim_end().into()),
        ("PEM with CRLF", pem.replace('\n', "\r\n").into_bytes()),
        ("PEM after white space", format!(" \n\t{pem}").into_bytes()),
        ("PEM after a comment", format!("# key\n{pem}").into_bytes()),
        ("PEM after a byte order mark", format!("\u{feff}{pem}").into_bytes()),
        ("PEM on one line", pem.replace('\n', "").into_bytes()),
        ("PEM as another label", pem.replace("PUBLIC KEY", "CERTIFICATE").into_bytes()),
        ("DER", spki.to_vec()),
        ("base64 of DER", base64::engine::general_purpose::STANDARD.encode(spki).into_bytes()),
        ("JWK", jwk.to_string().into_bytes()),
        ("JWK with use", pretty.to_string().into_bytes()),
        ("JWK Set", json!({"keys": [jwk]}).to_string().into_bytes()),
        ("nothing", Vec::new()),
        ("a zero octet", vec![0]),
        ("zeros", vec![0; 32]),
    ];
    forms.extend(more);
    for member in ["n", "e", "x", "y", "kid"] {
        if let Some(text) = jwk[member].as_str() {
            forms.push((member, text.into()));
            if let Ok(octets) = base64url::decode(text) {
                forms.push((member, octets));
            }
        }
    }
    forms.into_iter().map(|(name, octets)| (name.to_owned(), octets)).collect()
}

pub(crate) fn rsa_public_key_forms(rsa: &RsaPair) -> Vec<(String, Vec<u8>)> {
    let pkcs1 = rsa.pkcs1();
    let more = vec![
        ("PKCS #1 PEM", pem("RSA PUBLIC KEY", &pkcs1).into_bytes()),
        ("PKCS #1 DER", pkcs1),
        ("modulus", rsa.modulus()),
    ];
    forms(&rsa.spki(), more, &rsa.jwk("k1", Some("RS256")))
}

/// Of a P-256 key.
pub(crate) fn ec_public_key_forms(jwk: &Value) -> Vec<(String, Vec<u8>)> {
    const SPKI: &[u8] = &[
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08,
        0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ];
    let member = |name: &str| base64url::decode(jwk[name].as_str().unwrap()).unwrap();
    let point = [vec![4], member("x"), member("y")].concat();
    forms(&[SPKI, &point].concat(), vec![("point", point)], jwk)
}

/// The parts of a compact JWS.
pub(crate) fn parts(token: &str) -> [&str; 3] {
    let parts: Vec<&str> = token.split('.').collect();
    parts.try_into().unwrap()
}

/// The same octets, with a bit set that is not used.
pub(crate) fn respelled(part: &str) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    assert_ne!(part.len() % 4, 0, "no unused bits");
    let (rest, last) = part.split_at(part.len() - 1);
    let place = ALPHABET.iter().position(|c| *c == last.as_bytes()[0]).unwrap();
    format!("{rest}{}", char::from(ALPHABET[place | 1]))
}
