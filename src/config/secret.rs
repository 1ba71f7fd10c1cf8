//! Secrets, by reference only.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error, Expected, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::value::Some1;
use crate::secret::SecretSource;

/// Where a secret is. Nothing of what stands in its place by mistake is ever shown.
#[derive(Clone, Debug)]
pub(super) struct SecretRef(SecretSource);

/// Where several secrets are, at least one. Nothing of what stands in its place is shown either.
#[derive(Clone, Debug)]
pub(super) struct SecretRefs(pub(super) Vec<SecretRef>);

impl SecretRef {
    /// With a path that is looked for from this directory on.
    pub(super) fn from(&self, directory: Option<&Path>) -> SecretSource {
        match &self.0 {
            SecretSource::File(path) => SecretSource::File(beside(directory, path)),
            other => other.clone(),
        }
    }
}

/// The path of a file that a configuration names: from the configuration's directory on.
pub(super) fn beside(directory: Option<&Path>, path: &Path) -> PathBuf {
    directory.map_or_else(|| path.to_owned(), |directory| directory.join(path))
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Unshown(One))
    }
}

impl<'de> Deserialize<'de> for SecretRefs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Unshown(Several))
    }
}

/// The one answer to everything else: no value, and no name either.
fn refused<T, E: Error>(wanted: &dyn Expected) -> Result<T, E> {
    Err(E::custom(format_args!("found something else, wanted {wanted}")))
}

/// Shows nothing of a value that is no list and no table.
struct Unshown<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for Unshown<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<V::Value, E> {
        refused(&self)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<V::Value, E> {
        refused(&self)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<V::Value, E> {
        refused(&self)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<V::Value, E> {
        refused(&self)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<V::Value, E> {
        refused(&self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(list)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(map)
    }
}

struct One;

impl<'de> Visitor<'de> for One {
    type Value = SecretRef;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a secret by reference: { env = \"NAME\" } with a name of letters, digits and `_`, or \
             { file = \"/path\" }; it never stands in a configuration itself",
        )
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<SecretRef, A::Error> {
        refused(&self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretRef, A::Error> {
        let mut members = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            members.push((name, value));
        }
        let [(name, Value::String(place))] = members.as_slice() else {
            return refused(&self);
        };
        match name.as_str() {
            "env" if is_variable(place) => Ok(SecretRef(SecretSource::env(place))),
            "file" if !place.is_empty() => Ok(SecretRef(SecretSource::file(place))),
            _ => refused(&self),
        }
    }
}

struct Several;

impl<'de> Visitor<'de> for Several {
    type Value = SecretRefs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of secrets by reference: [{ env = \"NAME\" }, { file = \"/path\" }]")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<SecretRefs, A::Error> {
        let list = Some1::deserialize(SeqAccessDeserializer::new(list));
        list.map(|Some1(secrets)| SecretRefs(secrets))
    }
}

/// A name that a shell can set. Most secrets are none, and so are not taken for one and shown.
fn is_variable(name: &str) -> bool {
    name.len() <= 100
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.is_empty()
}
