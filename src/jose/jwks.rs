//! The keys of one issuer: a JWK Set (RFC 7517 §5) in which each key stands for itself.

use std::collections::HashMap;
use std::sync::Arc;

use super::algorithm::Algorithm;
use super::json::{JsonError, Object};
use super::jwk::{KeyFault, PublicKey};

/// The most keys of one set. Providers with a key per customer are known to publish a few
/// hundred.
pub const MAX_KEYS: usize = 1_024;

/// Why a document is not a JWK Set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JwkSetError {
    /// Not a JSON object as [`super::json`] wants it.
    #[error("the JWK Set is {0}")]
    Json(#[from] JsonError),
    /// No member `keys` that is an array.
    #[error("the JWK Set has no array `keys`")]
    NoKeys,
    /// More than [`MAX_KEYS`] keys.
    #[error("the JWK Set has {0} keys; at most {MAX_KEYS} are accepted")]
    TooMany(usize),
}

/// Why no key was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyChoiceError {
    /// No key fits.
    #[error("no key of the issuer has this kid and algorithm")]
    Unknown,
    /// More than one key fits: trying each would let a token choose how much work it costs.
    #[error("more than one key of the issuer fits; keys need a `kid` of their own")]
    Ambiguous,
}

/// A key of a set that cannot be used, by its place in the set.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnusableKey {
    /// Its place in `keys`, from 0.
    pub index: usize,
    /// Its `kid`, if it has one that can be read.
    pub kid: Option<String>,
    /// Why.
    pub fault: KeyFault,
}

impl std::fmt::Display for UnusableKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.kid {
            Some(kid) => write!(f, "key {} (kid {kid:?}): {}", self.index, self.fault),
            None => write!(f, "key {}: {}", self.index, self.fault),
        }
    }
}

/// The usable keys of one issuer.
#[derive(Debug)]
pub struct JwkSet {
    keys: Vec<Arc<PublicKey>>,
    by_kid: HashMap<Box<str>, Vec<Arc<PublicKey>>>,
    unusable: Vec<UnusableKey>,
}

impl JwkSet {
    /// Reads a set. `allowed` is the issuer's list of algorithms, in its order of preference.
    ///
    /// # Errors
    /// If the document as a whole is no JWK Set. A key that cannot be used is no error: see
    /// [`JwkSet::unusable`].
    pub fn parse(document: &[u8], allowed: &[Algorithm]) -> Result<Self, JwkSetError> {
        let document = Object::parse_outermost(document)?;
        let elements = document
            .member("keys")
            .and_then(super::json::Value::as_array)
            .ok_or(JwkSetError::NoKeys)?;
        if elements.len() > MAX_KEYS {
            return Err(JwkSetError::TooMany(elements.len()));
        }
        let mut set = Self { keys: Vec::new(), by_kid: HashMap::new(), unusable: Vec::new() };
        for (index, element) in elements.into_iter().enumerate() {
            match PublicKey::parse(element.text().as_bytes(), allowed) {
                Ok(key) => {
                    let key = Arc::new(key);
                    if let Some(kid) = key.kid() {
                        let same_kid = entry(&mut set.by_kid, kid.as_str());
                        same_kid.push(Arc::clone(&key));
                    }
                    set.keys.push(key);
                }
                Err(fault) => {
                    let kid = element
                        .as_object()
                        .and_then(|key| key.member("kid"))
                        .and_then(super::json::Value::as_str)
                        .map(|kid| kid.chars().take(64).collect());
                    set.unusable.push(UnusableKey { index, kid, fault });
                }
            }
        }
        Ok(set)
    }

    /// The one key with this id and algorithm; without an id, the one key with this algorithm.
    ///
    /// # Errors
    /// If none fits, or more than one.
    pub fn find(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<&Arc<PublicKey>, KeyChoiceError> {
        let candidates = match kid {
            Some(kid) => self.by_kid.get(kid).map_or(&[][..], Vec::as_slice),
            None => &self.keys,
        };
        let mut fitting = candidates.iter().filter(|key| key.algorithm().same_operation(algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(key),
            (Some(_), Some(_)) => Err(KeyChoiceError::Ambiguous),
            (None, _) => Err(KeyChoiceError::Unknown),
        }
    }

    /// The usable keys, in the order of the document.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &PublicKey> {
        self.keys.iter().map(AsRef::as_ref)
    }

    /// The keys that cannot be used, and why.
    #[must_use]
    pub fn unusable(&self) -> &[UnusableKey] {
        &self.unusable
    }
}

fn entry<'a, V: Default>(map: &'a mut HashMap<Box<str>, V>, key: &str) -> &'a mut V {
    map.entry(key.into()).or_default()
}
