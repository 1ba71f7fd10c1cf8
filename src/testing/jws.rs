//! What tokens and proofs have in common: a compact JWS (RFC 7515 §7.1) of members that a test says,
//! right or wrong.

use std::fmt;
use std::sync::Arc;

use super::key::TestKey;
use super::members::{Members, json};
use crate::jose::base64url;

#[derive(Clone)]
pub(super) struct Jws {
    pub(super) key: Arc<TestKey>,
    pub(super) header: Members,
    pub(super) payload: Members,
    /// Octets instead of the members above.
    pub(super) raw_header: Option<Vec<u8>>,
    pub(super) raw_payload: Option<Vec<u8>>,
}

impl Jws {
    /// Of this type, by the algorithm of this key, with no claim.
    pub(super) fn new(key: Arc<TestKey>, typ: &str) -> Self {
        let mut header = Members::default();
        header.set("alg", json(key.algorithm().as_str()));
        header.set("typ", json(typ));
        Self { key, header, payload: Members::default(), raw_header: None, raw_payload: None }
    }

    pub(super) fn sign(&self) -> String {
        self.sign_with(&self.key)
    }

    /// As it is: whatever the header says of the key.
    pub(super) fn sign_with(&self, key: &TestKey) -> String {
        let input = self.signing_input();
        let signature = key.sign(input.as_bytes());
        compact(&input, signature)
    }

    /// With this `alg` and an empty signature.
    pub(super) fn unsigned(&self, alg: &str) -> String {
        compact(&self.input_with(alg), [])
    }

    /// With the last octet of its signature changed.
    pub(super) fn tampered(&self) -> String {
        let input = self.signing_input();
        let mut signature = self.key.sign(input.as_bytes());
        if let Some(last) = signature.last_mut() {
            *last ^= 1;
        }
        compact(&input, signature)
    }

    pub(super) fn signing_input(&self) -> String {
        let header = self.raw_header.clone().unwrap_or_else(|| self.header.to_json().into());
        let payload = self.raw_payload.clone().unwrap_or_else(|| self.payload.to_json().into());
        format!("{}.{}", base64url::encode(header), base64url::encode(payload))
    }

    /// What is signed if the header names this `alg`.
    pub(super) fn input_with(&self, alg: &str) -> String {
        let mut other = self.clone();
        other.header.set("alg", json(alg));
        other.signing_input()
    }

    pub(super) fn debug(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("header", &self.header.to_json())
            .field("payload", &self.payload.to_json())
            .finish_non_exhaustive()
    }
}

/// A compact JWS of what is signed and a signature.
pub(super) fn compact(signing_input: &str, signature: impl AsRef<[u8]>) -> String {
    format!("{signing_input}.{}", base64url::encode(signature))
}
