//! Who may push to us (RFC 8935 §4, SSF §6.1.1: `authorization_header`).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use sha2::{Digest as _, Sha256};

use crate::secret::{Secret, SecretSource};
use crate::time::{Clock, Moment};

/// The value of `Authorization` that a transmitter sends, all of it: what was said to it as
/// `authorization_header` (SSF §6.1.1).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum AuthorizationValue {
    /// This.
    Known(Secret),
    /// What is there. It is read again now and then, so that a changed one is seen.
    At(SecretSource),
}

impl From<Secret> for AuthorizationValue {
    fn from(secret: Secret) -> Self {
        Self::Known(secret)
    }
}

impl From<SecretSource> for AuthorizationValue {
    fn from(source: SecretSource) -> Self {
        Self::At(source)
    }
}

/// Lets transmitters in. What they show is compared by its hash, in constant time, with everything
/// that is accepted.
pub(super) struct Door {
    /// `None`: everybody may come in, and only the signature of a SET counts.
    accepted: Option<Accepted>,
}

struct Accepted {
    known: Vec<Hash>,
    /// `None`: nothing has to be read.
    read: Option<Arc<Sources>>,
}

struct Sources {
    sources: Vec<SecretSource>,
    /// Whether they are being read: a file can be on a file system that hangs.
    reading: AtomicBool,
    turn: tokio::sync::Mutex<()>,
    last: ArcSwapOption<Read>,
}

/// What was read.
struct Read {
    at: Moment,
    hashes: Vec<Hash>,
    /// Why some could not be read.
    failed: Option<String>,
}

type Hash = [u8; 32];

/// Why somebody is not let in.
#[derive(Clone, Debug)]
pub(super) enum Closed {
    /// Nothing was shown, or something else.
    Unknown,
    /// What is accepted cannot be read now.
    Unreadable(String),
}

impl Door {
    /// A secret is read again after this time: for so long one that was taken back is still accepted.
    const READ_EVERY: Duration = Duration::from_secs(10);
    /// A delivery waits this long for it.
    const READ_WITHIN: Duration = Duration::from_secs(2);

    /// For whoever shows one of these; `None`: for everybody.
    pub(super) fn new(accepted: Option<&[AuthorizationValue]>) -> Self {
        let accepted = accepted.map(|values| {
            let (mut known, mut sources) = (Vec::new(), Vec::new());
            for value in values {
                match value {
                    AuthorizationValue::Known(secret) => known.push(hash(secret.expose())),
                    AuthorizationValue::At(source) => sources.push(source.clone()),
                }
            }
            let read = (!sources.is_empty()).then(|| {
                Arc::new(Sources {
                    sources,
                    reading: AtomicBool::new(false),
                    turn: tokio::sync::Mutex::default(),
                    last: ArcSwapOption::empty(),
                })
            });
            Accepted { known, read }
        });
        Self { accepted }
    }

    /// Whether everybody is let in.
    pub(super) fn is_open(&self) -> bool {
        self.accepted.is_none()
    }

    /// Whether somebody with these fields is let in.
    pub(super) async fn admit(&self, headers: &HeaderMap, clock: &dyn Clock) -> Result<(), Closed> {
        let Some(accepted) = &self.accepted else { return Ok(()) };
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(shown), None) = (values.next(), values.next()) else {
            return Err(Closed::Unknown);
        };
        let shown = hash(shown.as_bytes());
        if is_among(&shown, &accepted.known) {
            return Ok(());
        }
        let Some(sources) = &accepted.read else { return Err(Closed::Unknown) };
        let read = tokio::select! {
            read = sources.recent(clock) => read?,
            () = clock.sleep(Self::READ_WITHIN) => {
                return Err(Closed::Unreadable("a secret was not read in time".to_owned()));
            }
        };
        if is_among(&shown, &read.hashes) {
            return Ok(());
        }
        Err(read.failed.clone().map_or(Closed::Unknown, Closed::Unreadable))
    }
}

impl Sources {
    /// What was read a moment ago, or is read now.
    async fn recent(self: &Arc<Self>, clock: &dyn Clock) -> Result<Arc<Read>, Closed> {
        let recent = || {
            let last = self.last.load_full()?;
            (clock.moment().since(last.at) < Door::READ_EVERY).then_some(last)
        };
        if let Some(read) = recent() {
            return Ok(read);
        }
        let _turn = self.turn.lock().await;
        if let Some(read) = recent() {
            return Ok(read);
        }
        if self.reading.swap(true, Ordering::AcqRel) {
            return Err(Closed::Unreadable("a secret is still being read".to_owned()));
        }
        let (this, at) = (Arc::clone(self), clock.moment());
        let read = tokio::task::spawn_blocking(move || {
            let (mut hashes, mut failed) = (Vec::new(), None);
            for source in &this.sources {
                match source.read() {
                    Ok(secret) => hashes.push(hash(secret.expose())),
                    Err(error) => failed = Some(error.to_string()),
                }
            }
            let read = Arc::new(Read { at, hashes, failed });
            this.last.store(Some(Arc::clone(&read)));
            this.reading.store(false, Ordering::Release);
            read
        });
        read.await.map_err(|_| {
            self.reading.store(false, Ordering::Release);
            Closed::Unreadable("a secret was not read: the runtime is ending".to_owned())
        })
    }
}

/// Every one is looked at, whichever it is.
fn is_among(shown: &Hash, hashes: &[Hash]) -> bool {
    hashes.iter().fold(false, |found, hash| verify_slices_are_equal(shown, hash).is_ok() | found)
}

fn hash(value: &[u8]) -> Hash {
    Sha256::digest(value).into()
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("open", &self.is_open()).finish_non_exhaustive()
    }
}
