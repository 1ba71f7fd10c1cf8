use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderValue;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::{Secret, SecretError, SecretSource};

/// Reads a secret anew for each question, on a thread that may block.
///
/// Who asks while it is being read waits for that reading: a file can be on a file system that hangs,
/// and must not take a thread with each question. How long to wait is for the caller to say.
pub(crate) struct SecretReader {
    source: SecretSource,
    under_way: Mutex<Option<Reading>>,
}

/// `None` as long as it is being read.
type Reading = watch::Receiver<Option<Result<Secret, SecretError>>>;

impl SecretReader {
    pub(crate) fn new(source: SecretSource) -> Self {
        Self { source, under_way: Mutex::new(None) }
    }

    pub(crate) fn source(&self) -> &SecretSource {
        &self.source
    }

    /// Reads it, or waits for the reading that is under way.
    pub(crate) async fn read(self: &Arc<Self>) -> Result<Secret, SecretError> {
        let Ok(runtime) = Handle::try_current() else {
            return Err(self.source.unusable("it was not read: there is no tokio runtime"));
        };
        let mut reading = self.join(&runtime);
        let read = reading.wait_for(Option::is_some).await;
        match read.as_deref() {
            Ok(Some(read)) => read.clone(),
            _ => Err(self.source.unusable("it was not read: the runtime is ending")),
        }
    }

    fn join(self: &Arc<Self>, runtime: &Handle) -> Reading {
        let mut under_way = self.under_way();
        // One that ended without a result went down with its runtime.
        if let Some(reading) = under_way.as_ref().filter(|reading| reading.has_changed().is_ok()) {
            return reading.clone();
        }
        let (result, reading) = watch::channel(None);
        *under_way = Some(reading.clone());
        let reader = Arc::clone(self);
        runtime.spawn_blocking(move || {
            let read = reader.source.read();
            // Nobody joins a reading that has ended: the secret may have been rotated since.
            *reader.under_way() = None;
            result.send_replace(Some(read));
        });
        reading
    }

    fn under_way(&self) -> MutexGuard<'_, Option<Reading>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SecretReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretReader").field("source", &self.source).finish_non_exhaustive()
    }
}

/// What we show to somebody whom we ask: the value of `Authorization`. It is read anew for each
/// question.
pub(crate) struct Credential {
    reader: Arc<SecretReader>,
    scheme: CredentialScheme,
}

/// What a secret is of the value of `Authorization`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CredentialScheme {
    /// All of it.
    Whole,
    /// An access token.
    Bearer,
}

impl Credential {
    pub(crate) fn new(source: SecretSource, scheme: CredentialScheme) -> Self {
        Self { reader: Arc::new(SecretReader::new(source)), scheme }
    }

    pub(crate) fn source(&self) -> &SecretSource {
        self.reader.source()
    }

    /// Reads it as [`SecretReader::read`] does.
    pub(crate) async fn read(&self) -> Result<HeaderValue, SecretError> {
        let secret = self.reader.read().await?;
        let scheme: &[u8] = match self.scheme {
            CredentialScheme::Whole => b"",
            CredentialScheme::Bearer => b"Bearer ",
        };
        let value = HeaderValue::from_bytes(&[scheme, secret.expose()].concat());
        let mut value = value.map_err(|_| {
            self.source().unusable("it has characters that no header field may have")
        })?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("source", self.source()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(path: &std::path::Path) -> Arc<SecretReader> {
        Arc::new(SecretReader::new(SecretSource::file(path)))
    }

    fn directory(name: &str) -> std::path::PathBuf {
        let name = format!("portcullis-secret-{name}-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        directory
    }

    #[tokio::test]
    async fn a_secret_is_read_anew_for_each_question() {
        let directory = directory("anew");
        let path = directory.join("token");
        let reader = reader(&path);
        std::fs::write(&path, "one\n").unwrap();
        assert_eq!(reader.read().await, Ok(Secret::new("one")));
        std::fs::write(&path, "two\n").unwrap();
        assert_eq!(reader.read().await, Ok(Secret::new("two")));
        std::fs::remove_dir_all(directory).unwrap();
        assert!(reader.read().await.is_err(), "what was read before is not kept");
        assert!(reader.under_way().is_none());
    }

    /// A pipe hangs until somebody writes to it. Were there two readings, one would find it empty.
    #[cfg(unix)]
    #[tokio::test]
    async fn a_reading_that_hangs_takes_one_thread() {
        let directory = directory("hangs");
        let path = directory.join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let reader = reader(&path);
        let mut questions: Vec<_> = (0..8).map(|_| Box::pin(reader.read())).collect();
        for question in &mut questions {
            tokio::select! {
                biased;
                read = question => panic!("{read:?}"),
                () = std::future::ready(()) => {}
            }
        }
        // Who has given up does not keep the others from their answer.
        drop(questions.remove(0));
        let writes = tokio::task::spawn_blocking({
            let path = path.clone();
            move || std::fs::write(path, "s3cret")
        });
        for question in questions {
            assert_eq!(question.await, Ok(Secret::new("s3cret")));
        }
        writes.await.unwrap().unwrap();
        // The next question begins another reading.
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "another").unwrap();
        assert_eq!(reader.read().await, Ok(Secret::new("another")));
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn without_a_runtime_it_says_so() {
        let reader = reader(std::path::Path::new("/dev/null"));
        let read = std::pin::pin!(reader.read());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let std::task::Poll::Ready(Err(error)) = read.poll(&mut context) else { panic!() };
        assert!(error.to_string().contains("no tokio runtime"), "{error}");
        assert!(reader.under_way().is_none());
    }

    /// A reading that its runtime took along is not waited for by the next one.
    #[test]
    fn a_runtime_that_ends_leaves_nothing_behind() {
        let directory = directory("ends");
        let path = directory.join("token");
        std::fs::write(&path, "one").unwrap();
        let reader = reader(&path);
        let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
        // As if the thread had never begun to read.
        *reader.under_way() = Some(watch::channel(None).1);
        assert_eq!(runtime().block_on(reader.read()), Ok(Secret::new("one")));
        std::fs::remove_dir_all(directory).unwrap();
    }
}
