use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::HeaderValue;

use super::{SecretError, SecretSource};

/// What we show to somebody whom we ask: the value of `Authorization`. It is read anew for each
/// question.
pub(crate) struct Credential {
    source: SecretSource,
    scheme: CredentialScheme,
    /// Whether it is being read: a file can be on a file system that hangs, and must not take a thread
    /// with each question.
    reading: AtomicBool,
}

/// What a secret is of the value of `Authorization`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CredentialScheme {
    /// All of it.
    Whole,
    /// An access token.
    Bearer,
}

/// Ends the reading, however it ends.
struct Reading(Arc<Credential>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.reading.store(false, Ordering::Release);
    }
}

impl Credential {
    pub(crate) fn new(source: SecretSource, scheme: CredentialScheme) -> Self {
        Self { source, scheme, reading: AtomicBool::new(false) }
    }

    pub(crate) fn source(&self) -> &SecretSource {
        &self.source
    }

    /// Reads it on a thread that may block.
    pub(crate) async fn read(self: &Arc<Self>) -> Result<HeaderValue, SecretError> {
        if self.reading.swap(true, Ordering::AcqRel) {
            return Err(self.source.unusable("it is still being read for an earlier question"));
        }
        let reading = Reading(Arc::clone(self));
        let read = tokio::task::spawn_blocking(move || reading.0.source.read());
        let Ok(secret) = read.await else {
            return Err(self.source.unusable("it was not read: the runtime is ending"));
        };
        let secret = secret?;
        let scheme: &[u8] = match self.scheme {
            CredentialScheme::Whole => b"",
            CredentialScheme::Bearer => b"Bearer ",
        };
        let mut value = HeaderValue::from_bytes(&[scheme, secret.expose()].concat())
            .map_err(|_| self.source.unusable("it has characters that no header field may have"))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("source", &self.source).finish_non_exhaustive()
    }
}
