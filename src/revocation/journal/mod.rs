//! What was said of revocation, on disk: what was acknowledged is known again after a restart.

mod disk;
mod error;
mod issuers;
mod kept;
mod key;
mod open;
mod row;
mod sorted;
#[cfg(test)]
mod tests;

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redb::{Database, ReadableDatabase as _};

use self::disk::{Identity, META, SOURCES};
use self::error::Fault;
pub use self::error::JournalError;
pub(crate) use self::kept::KeptSource;
use self::kept::{read_duration, write_duration};
use self::open::Open;
use self::row::Horizon;
use super::record::Record;
use super::source::Batch;
use crate::time::Timestamp;

/// What was said of revocation, on disk: see [`super::Revocation::journal`].
///
/// 1. A write is on the disk before it is acknowledged (`fsync`, in two phases): neither the end of the
///    process nor that of the power takes anything of it back. All of it is stored, or nothing.
/// 2. It keeps what counts, not what was said: one row for each target, in which all that was said of it
///    is merged, whatever the order in which it came. It grows with what is revoked, not with time.
/// 3. It is read whole, and every page of it is checked, when it is opened. A file that is torn, was
///    changed, or is something else is an error that says so. It is never begun anew in its place.
/// 4. One server has it at a time, and a lock on the file keeps others out.
/// 5. After an error nothing was acknowledged, and the next use opens the file again: a disk that was full
///    is no reason for a restart.
/// 6. What can matter no more is dropped, a bounded number of rows at a time.
///
/// What it does not do: nothing in it is encrypted. It names subjects and tokens (never a token itself);
/// on Unix the file is made for its owner only. It needs a local file system: locks and `fsync` of
/// network file systems promise less than they seem to. Whoever can write the file decides what is
/// revoked. The one bit of it that says which of the last two writes counts has no checksum: where
/// just that bit flips, the last write is forgotten.
///
/// The file is a database of [redb](https://www.redb.org). A new one is made under its name with `.new`
/// behind it, and is renamed.
///
/// ```
/// use portcullis::revocation::{Journal, JournalError, Revocation};
///
/// # let directory = std::env::temp_dir().join(format!("portcullis-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory)?;
/// let path = directory.join("revocations.redb");
/// let journal = Journal::open(&path)?;
/// // One server has it at a time.
/// assert!(matches!(Journal::open(&path), Err(JournalError::Locked { .. })));
/// let revocation = Revocation::new().journal(journal);
/// # drop(revocation);
/// # std::fs::remove_dir_all(&directory)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Journal {
    path: PathBuf,
    inner: Mutex<Inner>,
    /// Whether a server has it.
    claimed: AtomicBool,
}

/// How the file is opened again after an error.
type Reopen = Box<dyn Fn(&Path) -> Result<Database, Fault> + Send>;

struct Inner {
    /// `None` after an error.
    open: Option<Open>,
    reopen: Reopen,
    /// `None` where there is no file.
    identity: Option<Identity>,
    /// Behind which key the next purge begins.
    purged: Option<Vec<u8>>,
}

/// What one source says, as it has to be kept.
pub(crate) struct Entry<'a> {
    pub(crate) source: &'a str,
    /// Only records that count.
    pub(crate) batch: &'a Batch,
}

impl Journal {
    /// Rows that one purge looks at: some ten milliseconds, for which writes wait.
    const LOOKED_AT: usize = 100_000;
    /// Rows that one purge drops.
    const DROPPED: usize = 10_000;
    /// Records that are handed over at a time.
    const LOADED: usize = 4_096;
    const LONGEST_LIFE: &str = "longest_life";
    const HORIZON: &str = "horizon";

    /// Opens the journal at this path. Where there is none it begins one; its directory has to be there.
    ///
    /// It blocks: the file is read whole. A million revoked tokens have some 60 MB, twice as much after
    /// they were written at once, and take half a second.
    ///
    /// # Errors
    /// See [`JournalError`]. Of a file that is there nothing is ever overwritten with a new journal.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, JournalError> {
        let path = path.as_ref();
        let opened = guarded(|| {
            let open = Open::new(disk::open_or_create(path)?)?;
            Ok((open, Identity::of(path)?))
        });
        let (open, identity) = opened.map_err(|fault| fault.of(path))?;
        let inner = Inner {
            open: Some(open),
            reopen: Box::new(disk::open),
            identity: Some(identity),
            purged: None,
        };
        let claimed = AtomicBool::new(false);
        Ok(Self { path: path.to_path_buf(), inner: Mutex::new(inner), claimed })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes it for one server; false if another has it.
    pub(crate) fn claim(&self) -> bool {
        !self.claimed.swap(true, Ordering::AcqRel)
    }

    /// Gives it back.
    pub(crate) fn release(&self) {
        self.claimed.store(false, Ordering::Release);
    }

    /// Every record that is kept. It blocks.
    pub(crate) fn load(&self, each: &mut dyn FnMut(Record)) -> Result<(), JournalError> {
        let mut inner = self.inner();
        let mut behind: Option<Vec<u8>> = None;
        loop {
            let (records, last) = self.with(&mut inner, |open| open.some(behind.as_deref()))?;
            records.into_iter().for_each(&mut *each);
            match last {
                Some(last) => behind = Some(last),
                None => return Ok(()),
            }
        }
    }

    /// What was kept of this source. It blocks.
    pub(crate) fn source(&self, name: &str) -> Result<KeptSource, JournalError> {
        self.with(&mut self.inner(), |open| {
            let transaction = open.database.begin_read()?;
            let sources = transaction.open_table(SOURCES)?;
            match sources.get(name)? {
                Some(kept) => KeptSource::decode(kept.value()),
                None => Ok(KeptSource::default()),
            }
        })
    }

    /// The longest that a token may live, for which records were kept so far. It blocks.
    pub(crate) fn longest_life(&self) -> Result<Option<Duration>, JournalError> {
        self.duration(Self::LONGEST_LIFE)
    }

    /// How long a token could be accepted after its `iat`, leeways included, for which records were kept so
    /// far: `life` of [`Self::purge`]. `None` in a journal of before, which says the longest life alone, and
    /// in a new one. It blocks.
    pub(crate) fn horizon(&self) -> Result<Option<Duration>, JournalError> {
        self.duration(Self::HORIZON)
    }

    /// From now on records are kept for tokens that live so long. It blocks.
    pub(crate) fn set_longest_life(&self, life: Duration) -> Result<(), JournalError> {
        self.set_duration(Self::LONGEST_LIFE, life)
    }

    /// From now on records are kept for tokens that can be accepted for so long after their `iat`. It blocks.
    pub(crate) fn set_horizon(&self, horizon: Duration) -> Result<(), JournalError> {
        self.set_duration(Self::HORIZON, horizon)
    }

    fn duration(&self, name: &str) -> Result<Option<Duration>, JournalError> {
        self.with(&mut self.inner(), |open| {
            let transaction = open.database.begin_read()?;
            let meta = transaction.open_table(META)?;
            let Some(kept) = meta.get(name)? else { return Ok(None) };
            let mut kept = kept.value();
            let found = read_duration(&mut kept).filter(|_| kept.is_empty());
            Ok(Some(found.ok_or_else(|| Fault::unreadable("how long a token may live"))?))
        })
    }

    fn set_duration(&self, name: &str, time: Duration) -> Result<(), JournalError> {
        let mut inner = self.inner();
        self.in_place(&inner)?;
        self.with(&mut inner, |open| {
            let transaction = open.begin()?;
            let mut value = Vec::new();
            write_duration(time, &mut value);
            transaction.open_table(META)?.insert(name, &*value)?;
            transaction.commit()?;
            Ok(())
        })
    }

    /// Stores all of it, or nothing; it is on disk when this returns. It blocks.
    pub(crate) fn commit(&self, entries: &[Entry<'_>]) -> Result<(), JournalError> {
        let mut inner = self.inner();
        self.in_place(&inner)?;
        self.with(&mut inner, |open| open.commit(entries))
    }

    /// Drops what can matter no more: tokens whose `until` came five minutes ago (the longest leeway) or
    /// who say nothing of it and were revoked longer ago than `life`; cut-offs older than `life`; and
    /// what takes something back, seven days later. It blocks, for a bounded time: each call goes on
    /// where the last one stopped. Tells from how many targets something went.
    pub(crate) fn purge(&self, now: Timestamp, life: Duration) -> Result<usize, JournalError> {
        let mut inner = self.inner();
        self.in_place(&inner)?;
        let behind = inner.purged.take();
        let horizon = Horizon::new(now, life);
        let (gone, last) = self.with(&mut inner, |open| open.purge(behind.as_deref(), horizon))?;
        inner.purged = last;
        Ok(gone)
    }

    /// Whether the file is still where it was: what is written to another would be lost.
    fn in_place(&self, inner: &Inner) -> Result<(), JournalError> {
        let Some(identity) = inner.identity else { return Ok(()) };
        match Identity::of(&self.path) {
            Ok(found) if found == identity => Ok(()),
            Ok(_) => Err(Fault::Gone.of(&self.path)),
            Err(fault) => Err(fault.of(&self.path)),
        }
    }

    /// Does something with the file, which is opened again after an error.
    fn with<T>(
        &self,
        inner: &mut Inner,
        what: impl FnOnce(&mut Open) -> Result<T, Fault>,
    ) -> Result<T, JournalError> {
        let Inner { open, reopen, .. } = inner;
        let done = guarded(|| {
            let opened = match open.take() {
                Some(open) => open,
                None => Open::new(reopen(&self.path)?)?,
            };
            what(open.insert(opened))
        });
        done.map_err(|fault| {
            let broken = open.take();
            // Whatever goes wrong with closing it: it went wrong before.
            drop(guarded(|| {
                drop(broken);
                Ok(())
            }));
            fault.of(&self.path)
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it is held but what is caught.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A file that something else changed can make redb panic: that is damage, and no end of the process.
fn guarded<T>(what: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    std::panic::catch_unwind(AssertUnwindSafe(what))
        .unwrap_or_else(|_| Err(Fault::Damaged("reading it broke off".to_owned())))
}
