//! Errors of writing and loading archives of data directories.

use std::error::Error as StdError;
use std::fmt;
use std::io;

/// A data directory that cannot be written to an archive. What was written of it is not complete.
#[derive(Debug)]
#[non_exhaustive]
pub enum DumpError {
    /// A tablespace is outside of the data directory, and so would not be in the archive.
    Tablespace {
        /// Where it is, as in `pg_tablespace_location`.
        location: String,
    },
    /// A symbolic link is in the data directory where PostgreSQL makes none.
    Link {
        /// The link, from the data directory on.
        path: String,
    },
    /// PostgreSQL has removed a part of its log that the copy needs.
    LogRemoved {
        /// The segment.
        segment: String,
    },
    /// A file of the database cannot be read.
    Read {
        /// The file, from the data directory on.
        path: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The writer that was passed failed.
    Write(io::Error),
}

impl fmt::Display for DumpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the data directory cannot be dumped: ")?;
        match self {
            DumpError::Tablespace { location } => write!(
                f,
                "the tablespace in {location} is outside of it; move what is in it to another \
                 tablespace (ALTER TABLE ALL IN TABLESPACE) and drop it first"
            ),
            DumpError::Link { path } => write!(
                f,
                "{path} is a symbolic link; put in its place what it leads to, with the database \
                 closed"
            ),
            DumpError::LogRemoved { segment } => write!(
                f,
                "PostgreSQL has removed the log segment {segment} meanwhile; dump it again, with \
                 max_replication_slots above 0 or a larger wal_keep_size"
            ),
            DumpError::Read { path, .. } => write!(f, "{path} cannot be read"),
            DumpError::Write(_) => f.write_str("the archive cannot be written"),
        }
    }
}

impl StdError for DumpError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            DumpError::Read { source, .. } | DumpError::Write(source) => Some(source),
            _ => None,
        }
    }
}

/// An archive that cannot be loaded. Nothing of it stays.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadError {
    /// It is neither a tar archive nor one compressed with zstd.
    NotAnArchive,
    /// It ends too early.
    Truncated,
    /// Its bytes are not those that were written.
    Damaged {
        /// What is wrong, and where.
        reason: String,
    },
    /// It has something in it that no data directory has, or that would be written elsewhere.
    Forbidden {
        /// The entry of the archive.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It is an archive of something else.
    NotADataDir {
        /// What shows it.
        reason: String,
    },
    /// It is a database of another major version of PostgreSQL.
    WrongVersion {
        /// The version in its `PG_VERSION` file.
        found: String,
        /// The version of this library.
        expected: String,
    },
    /// It is a database of PostgreSQL as it was built for another kind of machine.
    Incompatible {
        /// What differs.
        reason: String,
    },
    /// The reader that was passed failed.
    Read(io::Error),
    /// A file cannot be written to where the database is to be.
    Write {
        /// The file, from the data directory on.
        path: String,
        /// The error of the operating system.
        source: io::Error,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the archive cannot be loaded: ")?;
        match self {
            LoadError::NotAnArchive => {
                f.write_str("it is neither a tar archive nor one compressed with zstd")
            }
            LoadError::Truncated => f.write_str("it ends too early; copy or dump it again"),
            LoadError::Damaged { reason } => {
                write!(f, "it is damaged ({reason}); copy or dump it again")
            }
            LoadError::Forbidden { path, reason } => {
                write!(f, "it is not to be trusted: {path:?} {reason}")
            }
            LoadError::NotADataDir { reason } => write!(
                f,
                "it is not of a data directory: {reason}; `PG_VERSION`, `base` and the others have \
                 to be at its root (tar -C DIRECTORY -cf ARCHIVE .)"
            ),
            LoadError::WrongVersion { found, expected } => write!(
                f,
                "its database was made by PostgreSQL {found}, and this library is PostgreSQL \
                 {expected}; move the data as SQL"
            ),
            LoadError::Incompatible { reason } => {
                write!(f, "{reason}; move the data as SQL")
            }
            LoadError::Read(_) => f.write_str("it cannot be read"),
            LoadError::Write { path, .. } => write!(f, "{path} cannot be written"),
        }
    }
}

impl StdError for LoadError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            LoadError::Read(source) | LoadError::Write { source, .. } => Some(source),
            _ => None,
        }
    }
}
