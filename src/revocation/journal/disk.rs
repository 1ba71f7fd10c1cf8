//! The file: how it is opened, and how a new one begins.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase as _, StorageBackend, TableDefinition};

use super::error::Fault;

pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// The number of each issuer, from zero.
pub(super) const ISSUERS: TableDefinition<'_, u32, &str> = TableDefinition::new("issuers");
pub(super) const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");
pub(super) const SOURCES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("sources");

const FORMAT: &str = "format";
/// What a journal says of itself, before the number of its format.
const OURS: &[u8] = b"portcullis revocations ";
const VERSION: &[u8] = b"1";

/// What every file of redb begins with.
const MAGIC: &[u8; 9] = b"redb\x1a\x0a\xa9\x0d\x0a";

/// The pages that are kept in memory: the rest is the system's page cache.
const CACHE: usize = 32 * 1024 * 1024;

/// Which file it is, wherever its name points to by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity(#[cfg(unix)] (u64, u64));

impl Identity {
    pub(super) fn of(path: &Path) -> Result<Self, Fault> {
        match fs::metadata(path) {
            Ok(found) => Ok(Self::read(&found)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Fault::Gone),
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(unix)]
    fn read(found: &fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        Self((found.dev(), found.ino()))
    }

    #[cfg(not(unix))]
    fn read(_: &fs::Metadata) -> Self {
        Self()
    }
}

/// Opens what is there, or begins anew where there is nothing.
pub(super) fn open_or_create(path: &Path) -> Result<Database, Fault> {
    match open(path) {
        Err(Fault::Gone) => create(path),
        other => other,
    }
}

/// Opens what is there: [`Fault::Gone`] if nothing is.
pub(super) fn open(path: &Path) -> Result<Database, Fault> {
    let mut file = match options().open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Fault::Gone),
        Err(error) => return Err(error.into()),
    };
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(Fault::NotAJournal("it is not a file".to_owned()));
    }
    if found.len() == 0 {
        // A new one is never empty: see `create`.
        return Err(Fault::Damaged("it is empty".to_owned()));
    }
    let mut magic = [0; MAGIC.len()];
    let begins = file.read_exact(&mut magic).is_ok() && magic == *MAGIC;
    if !begins {
        return Err(Fault::NotAJournal("it does not begin as one".to_owned()));
    }
    verified(FileBackend::new(file)?)
}

/// A new journal comes into being under another name: under its own it is whole from the first moment.
fn create(path: &Path) -> Result<Database, Fault> {
    let name = path.file_name().ok_or_else(|| Fault::NotAJournal("it has no name".to_owned()))?;
    let mut new = name.to_os_string();
    new.push(".new");
    let new = path.with_file_name(new);
    let database = match super::guarded(|| begin(&new)) {
        // What an attempt left that did not end: nothing was ever acknowledged of it.
        Err(Fault::Damaged(_) | Fault::NotAJournal(_)) => {
            fs::remove_file(&new)?;
            begin(&new)?
        }
        other => other?,
    };
    let made = Identity::of(&new)?;
    // It is locked: whoever else creates this journal has not come so far, or has ended before.
    if path.try_exists()? {
        drop(database);
        fs::remove_file(&new)?;
        return open(path);
    }
    fs::rename(&new, path)?;
    if Identity::of(path)? != made {
        return Err(Fault::Gone);
    }
    sync_directory(path)?;
    Ok(database)
}

fn begin(new: &Path) -> Result<Database, Fault> {
    let file = options().create(true).open(new)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // Whoever made it before.
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
    }
    let database = builder().create_with_backend(FileBackend::new(file)?)?;
    initialise(&database)?;
    Ok(database)
}

/// The tables of a journal without records.
pub(super) fn initialise(database: &Database) -> Result<(), Fault> {
    let mut transaction = database.begin_write()?;
    transaction.set_two_phase_commit(true);
    let format = [OURS, VERSION].concat();
    transaction.open_table(META)?.insert(FORMAT, &*format)?;
    transaction.open_table(ISSUERS)?;
    transaction.open_table(RECORDS)?;
    transaction.open_table(SOURCES)?;
    transaction.commit()?;
    Ok(())
}

/// A journal in which every page was read and found whole.
pub(super) fn verified(backend: impl StorageBackend) -> Result<Database, Fault> {
    let mut builder = builder();
    builder.set_check_integrity_on_open(true);
    let database = builder.create_with_backend(backend)?;
    let transaction = database.begin_read()?;
    let meta = transaction.open_table(META)?;
    let format = meta.get(FORMAT)?;
    let format = format.as_ref().map(redb::AccessGuard::value).unwrap_or_default();
    match format.strip_prefix(OURS) {
        Some(VERSION) => {}
        Some(other) => {
            let found = String::from_utf8_lossy(other);
            return Err(Fault::Version(format!("format {found}, this one reads 1")));
        }
        None => return Err(Fault::NotAJournal("it is a database of something else".to_owned())),
    }
    drop(transaction);
    Ok(database)
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE);
    builder
}

/// It tells who was revoked: for nobody else to read.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options
}

/// The name of a new file is on disk, too.
fn sync_directory(path: &Path) -> Result<(), Fault> {
    #[cfg(unix)]
    {
        let directory = match path.parent() {
            Some(parent) if parent != Path::new("") => parent.to_path_buf(),
            _ => PathBuf::from("."),
        };
        File::open(directory)?.sync_all()?;
    }
    #[cfg(not(unix))]
    let _ = (path, PathBuf::new(), File::open);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attack 41: only what the system says is not there is gone, and begun anew. What cannot be reached
    /// may well be there.
    #[test]
    fn what_cannot_be_reached_is_not_taken_for_gone() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let absent = here.join("no-such-file");
        assert!(matches!(open(&absent), Err(Fault::Gone)));
        assert!(matches!(Identity::of(&absent), Err(Fault::Gone)));
        // Nothing is below a file.
        let unreachable = here.join("Cargo.toml").join("revocations.redb");
        assert!(matches!(open(&unreachable), Err(Fault::Io(_))));
        assert!(matches!(Identity::of(&unreachable), Err(Fault::Io(_))));
    }

    /// The directory that a name is in is synchronised, which is that of the process for a name alone; one
    /// that cannot be is an error.
    #[cfg(unix)]
    #[test]
    fn the_directory_of_a_new_name_is_synchronised() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        sync_directory(Path::new("revocations.redb")).unwrap();
        sync_directory(&here.join("revocations.redb")).unwrap();
        let nowhere = here.join("no-such-directory").join("revocations.redb");
        assert!(matches!(sync_directory(&nowhere), Err(Fault::Io(_))));
    }
}
