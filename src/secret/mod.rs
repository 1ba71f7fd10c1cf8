//! Secrets, and where they are: never in a configuration, always referred to.
//!
//! ```
//! use portcullis::secret::{Secret, SecretSource};
//!
//! let token = SecretSource::file("/var/run/secrets/kubernetes.io/serviceaccount/token");
//! assert!(token.read().is_err(), "there is none on this machine");
//! let given = SecretSource::given(Secret::new("s3cret"));
//! assert_eq!(format!("{given:?}"), "Given(Secret(..))");
//! ```

mod credential;

use std::fmt;
use std::io::Read as _;
use std::path::PathBuf;

pub(crate) use credential::{Credential, CredentialScheme, SecretReader};

/// A secret. It prints as `Secret(..)`, and there is no other way to print it by accident.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// These bytes.
    #[must_use]
    pub fn new(bytes: impl AsRef<[u8]>) -> Self {
        Self(bytes.as_ref().into())
    }

    /// The bytes. Whoever calls this has the secret in hand.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Where a secret is. Space around it, such as the line end of a file, is not part of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SecretSource {
    /// In this environment variable.
    Env(String),
    /// In this file. It is read each time, so that a rotated secret is seen.
    File(PathBuf),
    /// Here: code has it from somewhere else, such as a vault, or is a test.
    Given(Secret),
}

/// Why a secret cannot be read. It names the place, never the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("secret in {place}: {what}")]
pub struct SecretError {
    place: String,
    what: String,
}

impl SecretSource {
    /// The longest secret, in bytes.
    const LONGEST: usize = 64 * 1024;

    /// In this environment variable.
    #[must_use]
    pub fn env(name: impl Into<String>) -> Self {
        Self::Env(name.into())
    }

    /// In this file.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::File(path.into())
    }

    /// This secret. To rotate it the server is built anew; a configuration file cannot say it.
    #[must_use]
    pub const fn given(secret: Secret) -> Self {
        Self::Given(secret)
    }

    /// Reads it, now.
    ///
    /// # Errors
    /// If it is not there, empty, or longer than 64 KiB.
    pub fn read(&self) -> Result<Secret, SecretError> {
        let bytes = match self {
            Self::Env(name) => match std::env::var(name) {
                Ok(value) => value.into_bytes(),
                Err(std::env::VarError::NotPresent) => {
                    return Err(self.error("it is not set: set it for this process"));
                }
                Err(std::env::VarError::NotUnicode(_)) => {
                    return Err(self.error("it is not valid UTF-8: use a file for octets"));
                }
            },
            Self::File(path) => {
                let most = u64::try_from(Self::LONGEST).unwrap_or(u64::MAX);
                let mut bytes = Vec::new();
                std::fs::File::open(path)
                    .and_then(|file| file.take(most.saturating_add(1)).read_to_end(&mut bytes))
                    .map_err(|error| {
                        self.error(&format!("{error}: put it where this process can read it"))
                    })?;
                bytes
            }
            Self::Given(secret) => secret.expose().to_vec(),
        };
        if bytes.len() > Self::LONGEST {
            return Err(self.error("it is longer than 64 KiB: is it the right one?"));
        }
        match bytes.trim_ascii() {
            [] => Err(self.error("it is empty: put the secret there")),
            secret => Ok(Secret::new(secret)),
        }
    }

    /// Where it is, in the words of a configuration file.
    pub(crate) fn report(&self) -> serde_json::Value {
        match self {
            Self::Env(name) => serde_json::json!({ "env": name }),
            Self::File(path) => serde_json::json!({ "file": path.display().to_string() }),
            Self::Given(_) => "given".into(),
        }
    }

    /// The error of a secret that is there and cannot be used.
    pub(crate) fn unusable(&self, what: &str) -> SecretError {
        self.error(what)
    }

    fn error(&self, what: &str) -> SecretError {
        SecretError { place: self.to_string(), what: what.to_owned() }
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "environment variable {name:?}"),
            Self::File(path) => write!(f, "file {:?}", path.display().to_string()),
            Self::Given(_) => f.write_str("memory"),
        }
    }
}
