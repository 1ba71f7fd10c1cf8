use std::io;
use std::path::{Path, PathBuf};

/// What is wrong with a [`super::Journal`]. Nothing of what was to be stored counts; what was stored before
/// stays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// Another process has it open, or another server of this one.
    #[error(
        "{}: it is in use by another process, or by another server of this one: give each a journal \
         of its own, or wait until the other has ended",
        path.display()
    )]
    #[non_exhaustive]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The file is something else. It is left as it is.
    #[error(
        "{}: it is no journal of revocations ({what}): give another path, or if it was one, bring it \
         back from a copy",
        path.display()
    )]
    #[non_exhaustive]
    NotAJournal {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// It was written by another version. It is left as it is.
    #[error(
        "{}: it was written by another version ({what}): run that version, or move the file away if \
         every source tells anew what counts and nothing was revoked by hand",
        path.display()
    )]
    #[non_exhaustive]
    Version {
        /// The file.
        path: PathBuf,
        /// What was found, and what is known.
        what: String,
    },
    /// It is torn, or something else changed it. No new one is begun in its place: what was revoked
    /// could be accepted again.
    #[error(
        "{}: it is damaged ({what}): bring it back from a copy, or move it away if every source tells \
         anew what counts and nothing was revoked by hand",
        path.display()
    )]
    #[non_exhaustive]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// The process may not read and write it, or not create it.
    #[error(
        "{}: {error}: the process has to read and write the file, and to create files in its directory",
        path.display()
    )]
    #[non_exhaustive]
    Permission {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The disk is full, or a quota or limit is reached. Later writes work when there is room again.
    #[error("{}: no room ({error}): free some; what was stored before is safe", path.display())]
    #[non_exhaustive]
    Full {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It was removed or replaced while in use: what would be written now would be lost.
    #[error(
        "{}: it was removed or replaced while in use: put it back and start the process anew",
        path.display()
    )]
    #[non_exhaustive]
    Gone {
        /// The file.
        path: PathBuf,
    },
    /// Something else failed. The next use opens the file again.
    #[error("{}: {error}{}", path.display(), advice_of(error))]
    #[non_exhaustive]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// What to do, where that is known.
fn advice_of(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => ": the file is made, its directory has to be there",
        _ => "",
    }
}

/// The same before it is known of which file.
#[derive(Debug)]
pub(super) enum Fault {
    Locked,
    NotAJournal(String),
    Version(String),
    Damaged(String),
    Gone,
    Io(io::Error),
}

impl Fault {
    /// Something in the file is not as it was written.
    pub(super) fn unreadable(what: &str) -> Self {
        Self::Damaged(format!("{what} cannot be read"))
    }

    pub(super) fn of(self, path: &Path) -> JournalError {
        let path = path.to_path_buf();
        match self {
            Self::Locked => JournalError::Locked { path },
            Self::NotAJournal(what) => JournalError::NotAJournal { path, what },
            Self::Version(what) => JournalError::Version { path, what },
            Self::Damaged(what) => JournalError::Damaged { path, what },
            Self::Gone => JournalError::Gone { path },
            Self::Io(error) => match error.kind() {
                io::ErrorKind::StorageFull
                | io::ErrorKind::QuotaExceeded
                | io::ErrorKind::FileTooLarge => JournalError::Full { path, error },
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    JournalError::Permission { path, error }
                }
                _ => JournalError::Io { path, error },
            },
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // The file ends where there has to be more of it.
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => {
                Self::Damaged(error.to_string())
            }
            _ => Self::Io(error),
        }
    }
}

impl From<redb::Error> for Fault {
    fn from(error: redb::Error) -> Self {
        use redb::Error;
        match error {
            Error::Io(error) => error.into(),
            Error::DatabaseAlreadyOpen | Error::LockProtocolMismatch => Self::Locked,
            Error::UpgradeRequired(found) => Self::Version(format!("file format {found}")),
            Error::Corrupted(what) => Self::Damaged(what),
            Error::TableDoesNotExist(_)
            | Error::TableTypeMismatch { .. }
            | Error::TableIsMultimap(_)
            | Error::TypeDefinitionChanged { .. } => Self::NotAJournal(error.to_string()),
            other => Self::Io(io::Error::other(other.to_string())),
        }
    }
}

macro_rules! from_redb {
    ($($error:ident),*) => {$(
        impl From<redb::$error> for Fault {
            fn from(error: redb::$error) -> Self {
                redb::Error::from(error).into()
            }
        }
    )*};
}
from_redb!(
    CommitError,
    DatabaseError,
    SetDurabilityError,
    StorageError,
    TableError,
    TransactionError
);
