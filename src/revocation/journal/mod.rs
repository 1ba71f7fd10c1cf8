//! What was said of revocation, on disk: what was acknowledged is known again after a restart.
//!
//! 1. A write is on the disk before it is acknowledged (`fsync`, in two phases): neither the end of the
//!    process nor that of the power takes anything of it back. All of it is stored, or nothing.
//! 2. It keeps what counts, not what was said: one row for each target, in which all that was said of it
//!    is merged, whatever the order in which it came. It grows with what is revoked, not with time.
//! 3. It is read whole, and every page of it is checked, when it is opened. A file that is torn, was
//!    changed, or is something else is an error that says so. It is never begun anew in its place.
//! 4. One server has it at a time, and a lock on the file keeps others out.
//! 5. After an error nothing of what was to be stored counts, and the next use opens the file again: a
//!    disk that was full is no reason for a restart.
//! 6. What can matter no more is dropped, a bounded number of rows at a time.
//!
//! What it does not do: nothing in it is encrypted. It names subjects and tokens (never a token itself);
//! on Unix the file is made for its owner only. It needs a local file system: locks and `fsync` of
//! network file systems promise less than they seem to. Whoever can write the file decides what is
//! revoked. The one bit of it that says which of the last two writes counts has no checksum: where
//! just that bit flips, the last write is forgotten.
//!
//! The file is a database of [redb](https://www.redb.org). A new one is made under its name with `.new`
//! behind it, and is renamed.

mod disk;
mod error;
mod key;
mod row;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::ops::Bound;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redb::{Database, Durability, ReadableDatabase as _, ReadableTable as _, WriteTransaction};

use self::disk::{ISSUERS, Identity, META, RECORDS, SOURCES};
use self::error::Fault;
pub use self::error::JournalError;
use self::row::{Horizon, Row};
use super::record::Record;
use super::source::Batch;
use crate::time::Timestamp;

/// What was said of revocation, on disk: see [`super::Revocation::journal`].
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

struct Open {
    database: Database,
    issuers: Issuers,
}

/// What was kept of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeptSource {
    pub(crate) synchronised: Option<Timestamp>,
    pub(crate) state: Option<Arc<[u8]>>,
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

    /// Opens the journal at this path. Where there is none it begins one; its directory has to be there.
    ///
    /// It blocks: the file is read whole, some hundred megabytes a second, and for ten million revoked
    /// tokens it has some 600 MB.
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
        Ok(Self { path: path.to_path_buf(), inner: Mutex::new(inner) })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
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
        self.with(&mut self.inner(), |open| {
            let transaction = open.database.begin_read()?;
            let meta = transaction.open_table(META)?;
            let Some(life) = meta.get(Self::LONGEST_LIFE)? else { return Ok(None) };
            let mut life = life.value();
            let found = read_duration(&mut life).filter(|_| life.is_empty());
            Ok(Some(found.ok_or_else(|| unreadable("the longest life of a token"))?))
        })
    }

    /// From now on records are kept for tokens that live so long. It blocks.
    pub(crate) fn set_longest_life(&self, life: Duration) -> Result<(), JournalError> {
        let mut inner = self.inner();
        self.in_place(&inner)?;
        self.with(&mut inner, |open| {
            let transaction = open.begin()?;
            let mut value = Vec::new();
            write_duration(life, &mut value);
            transaction.open_table(META)?.insert(Self::LONGEST_LIFE, &*value)?;
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

fn unreadable(what: &str) -> Fault {
    Fault::Damaged(format!("{what} cannot be read"))
}

impl Open {
    fn new(database: Database) -> Result<Self, Fault> {
        let issuers = Issuers::read(&database)?;
        Ok(Self { database, issuers })
    }

    fn begin(&self) -> Result<WriteTransaction, Fault> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        // With one phase a last write that is damaged later would be taken for one that never ended.
        transaction.set_two_phase_commit(true);
        Ok(transaction)
    }

    fn commit(&mut self, entries: &[Entry<'_>]) -> Result<(), Fault> {
        let nothing = |entry: &Entry<'_>| {
            let batch = entry.batch;
            batch.records.is_empty() && batch.state.is_none() && batch.synchronised.is_none()
        };
        if entries.iter().all(nothing) {
            return Ok(());
        }
        let transaction = self.begin()?;
        let mut issuers = NewIssuers::beside(&self.issuers);
        {
            let records = entries.iter().flat_map(|entry| &entry.batch.records);
            let sorted = Sorted::of(records, &mut issuers)?;
            let mut rows = transaction.open_table(RECORDS)?;
            let mut value = Vec::new();
            for (key, records) in sorted.by_key() {
                let before = match rows.get(key)? {
                    Some(value) => decode_row(value.value())?,
                    None => Row::default(),
                };
                let mut row = before.clone();
                records.for_each(|record| row.apply(record));
                // What is known already costs no write.
                if row != before {
                    value.clear();
                    row.encode(&mut value);
                    rows.insert(key, &*value)?;
                }
            }
            let mut numbers = transaction.open_table(ISSUERS)?;
            for (number, name) in issuers.numbered() {
                numbers.insert(number, name)?;
            }
            let mut sources = transaction.open_table(SOURCES)?;
            for Entry { source, batch } in entries {
                let mut kept = match sources.get(*source)? {
                    Some(kept) => KeptSource::decode(kept.value())?,
                    None => KeptSource::default(),
                };
                let before = kept.clone();
                kept.state = batch.state.as_deref().map(Into::into).or(kept.state);
                let synchronised = batch.synchronised.map(crate::time::Moment::wall);
                kept.synchronised = synchronised.or(kept.synchronised);
                if kept != before {
                    sources.insert(*source, &*kept.encode())?;
                }
            }
        }
        let new: Vec<Box<str>> = issuers.new.into_iter().map(Into::into).collect();
        transaction.commit()?;
        self.issuers.add(new);
        Ok(())
    }

    /// Some records behind this key, and the last key that was looked at unless there are no more.
    fn some(&self, behind: Option<&[u8]>) -> Result<(Vec<Record>, Option<Vec<u8>>), Fault> {
        let transaction = self.database.begin_read()?;
        let rows = transaction.open_table(RECORDS)?;
        let mut records = Vec::with_capacity(Journal::LOADED);
        for found in rows.range::<&[u8]>(from(behind))? {
            let (key, value) = found?;
            let (issuer, target) = key::decode(key.value()).ok_or_else(|| unreadable("a key"))?;
            let issuer = self.issuers.name(issuer).ok_or_else(|| unreadable("an issuer"))?;
            let row = decode_row(value.value())?;
            row.records(issuer, target, &mut |record| records.push(record));
            if records.len() >= Journal::LOADED {
                return Ok((records, Some(key.value().to_vec())));
            }
        }
        Ok((records, None))
    }

    fn purge(
        &self,
        behind: Option<&[u8]>,
        horizon: Horizon,
    ) -> Result<(usize, Option<Vec<u8>>), Fault> {
        let mut old: Vec<(Vec<u8>, Row)> = Vec::new();
        let mut last = None;
        {
            let transaction = self.database.begin_read()?;
            let rows = transaction.open_table(RECORDS)?;
            for (number, found) in (1_usize..).zip(rows.range::<&[u8]>(from(behind))?) {
                let (key, value) = found?;
                let mut row = decode_row(value.value())?;
                if row.expire(horizon) {
                    old.push((key.value().to_vec(), row));
                }
                if number >= Journal::LOOKED_AT || old.len() >= Journal::DROPPED {
                    last = Some(key.value().to_vec());
                    break;
                }
            }
        }
        if !old.is_empty() {
            let transaction = self.begin()?;
            {
                let mut rows = transaction.open_table(RECORDS)?;
                let mut value = Vec::new();
                for (key, row) in &old {
                    if row.is_empty() {
                        rows.remove(&**key)?;
                    } else {
                        value.clear();
                        row.encode(&mut value);
                        rows.insert(&**key, &*value)?;
                    }
                }
            }
            transaction.commit()?;
        }
        Ok((old.len(), last))
    }
}

fn from(behind: Option<&[u8]>) -> (Bound<&[u8]>, Bound<&[u8]>) {
    (behind.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)
}

fn decode_row(value: &[u8]) -> Result<Row, Fault> {
    Row::decode(value).ok_or_else(|| unreadable("a row"))
}

/// Issuers are many times fewer than rows: a row has the number of its own.
struct Issuers {
    numbers: HashMap<Box<str>, u32>,
    names: Vec<Box<str>>,
}

impl Issuers {
    fn read(database: &Database) -> Result<Self, Fault> {
        let transaction = database.begin_read()?;
        let table = transaction.open_table(ISSUERS)?;
        let mut issuers = Self { numbers: HashMap::new(), names: Vec::new() };
        let mut names: Vec<Box<str>> = Vec::new();
        for found in table.range::<u32>(..)? {
            let (number, name) = found?;
            if usize::try_from(number.value()) != Ok(names.len()) {
                return Err(unreadable("the issuers"));
            }
            names.push(name.value().into());
        }
        issuers.add(names);
        Ok(issuers)
    }

    fn add(&mut self, names: Vec<Box<str>>) {
        for name in names {
            // INVARIANT: fewer than 2^32; `NewIssuers` gives out no others.
            let Ok(number) = u32::try_from(self.names.len()) else { return };
            self.numbers.insert(name.clone(), number);
            self.names.push(name);
        }
    }

    fn name(&self, number: u32) -> Option<&str> {
        self.names.get(usize::try_from(number).ok()?).map(AsRef::as_ref)
    }
}

/// Issuers that a commit is the first to name.
struct NewIssuers<'a> {
    known: &'a Issuers,
    new: Vec<&'a str>,
    numbers: HashMap<&'a str, u32>,
}

impl<'a> NewIssuers<'a> {
    fn beside(known: &'a Issuers) -> Self {
        Self { known, new: Vec::new(), numbers: HashMap::new() }
    }

    fn number(&mut self, name: &'a str) -> Result<u32, Fault> {
        if let Some(number) = self.known.numbers.get(name) {
            return Ok(*number);
        }
        if let Some(number) = self.numbers.get(name) {
            return Ok(*number);
        }
        let number = self.known.names.len().saturating_add(self.new.len());
        let number = u32::try_from(number).map_err(|_| unreadable("the number of issuers"))?;
        self.new.push(name);
        self.numbers.insert(name, number);
        Ok(number)
    }

    fn numbered(&self) -> impl Iterator<Item = (u32, &'a str)> {
        let first = u32::try_from(self.known.names.len()).unwrap_or(u32::MAX);
        (first..).zip(self.new.iter().copied())
    }
}

/// Records in the order of their keys: neighbours are on one page.
struct Sorted<'a> {
    /// One key after the other.
    keys: Vec<u8>,
    /// Where in `keys` each begins and ends, and its record.
    records: Vec<(usize, usize, &'a Record)>,
}

impl<'a> Sorted<'a> {
    fn of(
        records: impl Iterator<Item = &'a Record>,
        issuers: &mut NewIssuers<'a>,
    ) -> Result<Self, Fault> {
        let mut sorted = Self { keys: Vec::new(), records: Vec::new() };
        for record in records {
            let issuer = issuers.number(&record.issuer)?;
            let start = sorted.keys.len();
            key::encode(issuer, &record.target, &mut sorted.keys);
            sorted.records.push((start, sorted.keys.len(), record));
        }
        let Self { keys, records } = &mut sorted;
        records.sort_by_key(|(start, end, _)| keys.get(*start..*end));
        Ok(sorted)
    }

    /// Each key with its records.
    fn by_key(&self) -> impl Iterator<Item = (&[u8], impl Iterator<Item = &'a Record>)> {
        let key = |(start, end, _): &(usize, usize, &Record)| self.keys.get(*start..*end);
        self.records.chunk_by(move |one, other| key(one) == key(other)).filter_map(move |chunk| {
            let key = key(chunk.first()?)?;
            Some((key, chunk.iter().map(|(_, _, record)| *record)))
        })
    }
}

impl KeptSource {
    const VERSION: u8 = 1;

    fn encode(&self) -> Vec<u8> {
        let mut value = vec![Self::VERSION, u8::from(self.synchronised.is_some())];
        if let Some(at) = self.synchronised {
            write_duration(at.as_duration(), &mut value);
        }
        if let Some(state) = &self.state {
            value.push(1);
            value.extend_from_slice(state);
        }
        value
    }

    fn decode(value: &[u8]) -> Result<Self, Fault> {
        let read = |value: &[u8]| {
            let (&[version, synchronised], mut rest) = value.split_first_chunk()?;
            let synchronised = match synchronised {
                0 => None,
                1 => Some(Timestamp::from_duration(read_duration(&mut rest)?)),
                _ => return None,
            };
            let state = match rest {
                [] => None,
                [1, state @ ..] => Some(state.into()),
                _ => return None,
            };
            (version == Self::VERSION).then_some(Self { synchronised, state })
        };
        read(value).ok_or_else(|| unreadable("the state of a source"))
    }
}

fn write_duration(time: Duration, onto: &mut Vec<u8>) {
    onto.extend_from_slice(&time.as_secs().to_be_bytes());
    onto.extend_from_slice(&time.subsec_nanos().to_be_bytes());
}

fn read_duration(rest: &mut &[u8]) -> Option<Duration> {
    let (seconds, behind) = rest.split_first_chunk::<8>()?;
    let (nanos, behind) = behind.split_first_chunk::<4>()?;
    *rest = behind;
    let nanos = u32::from_be_bytes(*nanos);
    (nanos < 1_000_000_000).then(|| Duration::new(u64::from_be_bytes(*seconds), nanos))
}
