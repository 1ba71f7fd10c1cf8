//! What an encrypted token costs beside a signed one: its decryption to the JWT in it, and the
//! verification of that JWT's ES256 signature.
//!
//! The floor is the bare operations, by another library than the one that decrypts: the private key's
//! own (RSA-OAEP with SHA-256, or an agreement on P-256 and one SHA-256 for the key of the content),
//! the opening of AES-256-GCM, and one ES256 verification, all with keys that are parsed already. The
//! rest is what that does not do: base64, the header read twice, and the check of the ephemeral key in
//! it; and what the two libraries differ by.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::print_stdout,
    unreachable_pub,
    dead_code,
    reason = "a benchmark fails by panicking, prints what it measured, and uses a part of the harness"
)]

mod harness;

use std::hint::black_box;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{self, ECDH_P256, UnparsedPublicKey};
use aws_lc_rs::digest::{self, SHA256};
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness::{Effort, Goal, Group, Summary};
use portcullis::jose::{Algorithm, Compact, PublicKey, base64url};
use portcullis::jwe::{ContentEncryption, Decryption, Decryptor, KeyManagement};
use portcullis::testing::{ManualClock, TestDecryptionKey, TestIssuer};
use serde_json::Value;

/// A signed token, the parsed keys that verify it, and what is signed.
struct Inner {
    token: String,
    ours: PublicKey,
    bare: ParsedPublicKey,
    message: Vec<u8>,
    signature: Vec<u8>,
}

impl Inner {
    fn new() -> Self {
        let issuer = TestIssuer::new("https://as.example", &ManualClock::new());
        let token = issuer.token("https://api.example.com").scope("notes:read notes:write").sign();
        let jwk = issuer.key().public_jwk();
        let coordinate = |name: &str| base64url::decode(jwk[name].as_str().unwrap()).unwrap();
        let point = [vec![4], coordinate("x"), coordinate("y")].concat();
        let jws = Compact::parse(&token).unwrap();
        Self {
            ours: PublicKey::parse(jwk.to_string().as_bytes(), &[Algorithm::Es256]).unwrap(),
            bare: ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).unwrap(),
            message: jws.signing_input().as_bytes().to_vec(),
            signature: jws.signature().to_vec(),
            token,
        }
    }

    /// The signature alone.
    fn verify_bare(&self) {
        self.bare.verify_sig(black_box(&self.message), black_box(&self.signature)).unwrap();
    }

    /// All that is measured.
    fn decrypt_and_verify(&self, decryptor: &Decryptor, token: &str) -> usize {
        let opened = decryptor.decrypt(token).unwrap();
        let jws = Compact::parse(&opened).unwrap();
        self.ours.verify(Algorithm::Es256, &jws).unwrap();
        jws.payload().len()
    }
}

/// The parts of an encrypted token.
struct Envelope {
    token: String,
    encoded_header: String,
    header: Value,
    encrypted_key: Vec<u8>,
    iv: [u8; 12],
    /// The ciphertext and its tag.
    sealed: Vec<u8>,
}

impl Envelope {
    fn new(key: &TestDecryptionKey, inner: &Inner) -> Self {
        let token = key.encrypt(&inner.token, ContentEncryption::A256Gcm);
        let parts: Vec<&str> = token.split('.').collect();
        let octets = |at: usize| base64url::decode(parts[at]).unwrap();
        Self {
            encoded_header: parts[0].to_owned(),
            header: serde_json::from_slice(&octets(0)).unwrap(),
            encrypted_key: octets(1),
            iv: octets(2).try_into().unwrap(),
            sealed: [octets(3), octets(4)].concat(),
            token,
        }
    }

    /// AES-256-GCM alone.
    fn open_bare(&self, key: &[u8]) -> usize {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap());
        let nonce = Nonce::assume_unique_for_key(self.iv);
        let mut octets = self.sealed.clone();
        key.open_in_place(nonce, Aad::from(&self.encoded_header), &mut octets).unwrap().len()
    }
}

fn private_key(key: &TestDecryptionKey) -> Vec<u8> {
    let pem = key.pem();
    STANDARD.decode(pem.lines().filter(|line| !line.starts_with('-')).collect::<String>()).unwrap()
}

fn decryptor(key: &TestDecryptionKey) -> Decryptor {
    Decryption::new().key(key.decryption_key()).build().unwrap()
}

/// The key of a content by the agreement's secret: NIST SP 800-56A §5.8.1 as RFC 7518 §4.6.2 has it,
/// without names of the parties.
fn derived(secret: &[u8]) -> digest::Digest {
    let mut hash = digest::Context::new(&SHA256);
    for part in [&[0, 0, 0, 1], secret, &[0, 0, 0, 7], b"A256GCM", &[0; 4], &[0; 4], &[0, 0, 1, 0]]
    {
        hash.update(part);
    }
    hash.finish()
}

fn measure<T>(
    name: &str,
    envelope: &Envelope,
    inner: &Inner,
    decryptor: &Decryptor,
    floor: impl FnMut() -> T,
    effort: &Effort,
    summary: &mut Summary,
) {
    let token = &envelope.token;
    let (whole, within) = (token.len(), inner.token.len());
    let jws = Compact::parse(&inner.token).unwrap();
    let rows = Group::new(format!("{name}: a token of {whole} octets, with one of {within} in it"))
        .case(format!("floor_of_{name}"), floor)
        .case(name, || inner.decrypt_and_verify(decryptor, black_box(token)))
        .case(format!("{name}, decryption alone"), || decryptor.decrypt(black_box(token)).unwrap())
        .case(format!("{name}, signature alone"), || {
            inner.ours.verify(Algorithm::Es256, black_box(&jws)).unwrap();
        })
        .run(effort);
    summary.row(&rows, name, Goal::none());
}

fn main() {
    let effort = Effort::from_command_line();
    let mut summary = Summary::new(&effort);
    let inner = Inner::new();

    let rsa = TestDecryptionKey::generate(KeyManagement::RsaOaep256, "rsa");
    let envelope = Envelope::new(&rsa, &inner);
    let bare = PrivateDecryptingKey::from_pkcs8(&private_key(&rsa)).unwrap();
    let bare = OaepPrivateDecryptingKey::new(bare).unwrap();
    let floor = || {
        let mut room = [0; 256];
        let encrypted = black_box(&envelope.encrypted_key);
        let key = bare.decrypt(&OAEP_SHA256_MGF1SHA256, encrypted, &mut room, None).unwrap();
        inner.verify_bare();
        envelope.open_bare(key)
    };
    let decryptor_of = decryptor(&rsa);
    measure("jwe_rsa_oaep_256", &envelope, &inner, &decryptor_of, floor, &effort, &mut summary);

    let ec = TestDecryptionKey::generate(KeyManagement::EcdhEs, "ec");
    let envelope = Envelope::new(&ec, &inner);
    let bare = agreement::PrivateKey::from_private_key_der(&ECDH_P256, &private_key(&ec)).unwrap();
    let ephemeral = &envelope.header["epk"];
    let coordinate = |name: &str| base64url::decode(ephemeral[name].as_str().unwrap()).unwrap();
    let point = [vec![4], coordinate("x"), coordinate("y")].concat();
    let floor = || {
        let ephemeral = UnparsedPublicKey::new(&ECDH_P256, black_box(&point));
        let agreed = |secret: &[u8]| Ok(derived(secret));
        let key = agreement::agree(&bare, ephemeral, (), agreed).unwrap();
        inner.verify_bare();
        envelope.open_bare(key.as_ref())
    };
    measure("jwe_ecdh_es", &envelope, &inner, &decryptor(&ec), floor, &effort, &mut summary);
    summary.finish();
}
