//! Encrypted access tokens (feature `jwe`): a JWE in compact serialization around a signed token.
//!
//! 1. The header is read first, by the same strict scanner as that of a JWS, and whatever it asks for
//!    that is not done here is refused before any work: compression, passwords (`p2c`), critical
//!    extensions, `RSA1_5`, `dir`, a shared key.
//! 2. The key is one of this server's, chosen by `kid`; `alg` and `enc` are among those that it is
//!    used with. `jku`, `jwk`, `x5u` and `x5c` are never looked at.
//! 3. What is inside is a signed token, and nothing else: not claims in the clear, not another JWE. It
//!    is then verified as if it had come without its envelope. Anybody can encrypt to a public key:
//!    that it could be decrypted proves nothing.
//! 4. Whatever fails after the header fails alike, with one error that does not say what it was. Where
//!    the key of the content cannot be had, a random one takes its place, so that this too shows at
//!    the tag (RFC 7516 §11.5); and what has a bad tag is not decrypted.
//! 5. Operations with private keys run off the executor, so many at a time, and so many wait.
//!
//! What it does not do: it makes no encrypted tokens (the test kit does), it does not publish the
//! public keys, and it has no state that a token changes.
//!
//! # Keys
//!
//! The keys are those of the start. To rotate one: add the new key beside the old and restart; publish
//! the new public key, or register it with the authorization server; when the last token that was
//! encrypted to the old one has expired, remove it and restart. Each key has a `kid` as long as there
//! are two. A sole key without `kid` is taken for whatever `kid` a token names.
//!
//! josekit reads the header once more: a member that is not used here, and that josekit knows and finds
//! odd (an `x5t` that is no base64url), makes a token undecryptable.
//!
//! The keys of contents are unwrapped and the contents decrypted by OpenSSL, through josekit. The
//! feature `jwe` needs OpenSSL 3 and its headers; `jwe-vendored` builds it from source.
//!
//! ```
//! use portcullis::jwe::{ContentEncryption, DecryptError, Decryption, HeaderFault, KeyManagement};
//! # #[cfg(feature = "testing")] {
//! use portcullis::testing::TestDecryptionKey;
//!
//! let key = TestDecryptionKey::generate(KeyManagement::EcdhEs, "2026");
//! let decryptor = Decryption::new().key(key.decryption_key()).build()?;
//!
//! let signed = "eyJhbGciOiJFZERTQSJ9.e30.c2lnbmF0dXJl";
//! let token = key.encrypt(signed, ContentEncryption::A256Gcm);
//! assert_eq!(decryptor.decrypt(&token)?, signed);
//!
//! let claims = key.encrypt(r#"{"sub":"mallory"}"#, ContentEncryption::A256Gcm);
//! assert_eq!(decryptor.decrypt(&claims), Err(DecryptError::Undecryptable));
//! let zipped = key.seal(signed).header("zip", "DEF").encrypt();
//! let fault = HeaderFault::Unsupported("zip");
//! assert_eq!(decryptor.decrypt(&zipped), Err(DecryptError::Header(fault)));
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! RFC 7516, 7518 §4 and §5, 8037 §3.2, 8725 §3, 9068 §4.

mod algorithm;
mod cipher;
mod config;
mod decryptor;
mod header;
mod key;
mod material;
mod opening;

pub use algorithm::{ContentEncryption, KeyManagement};
pub use config::Decryption;
pub use decryptor::{DecryptError, Decryptor};
pub use header::HeaderFault;
pub use key::{DecryptionKey, PrivateKeyText};
pub(crate) use opening::{OpenError, Opening};
