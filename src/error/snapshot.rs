//! Errors of snapshots.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// No snapshot can be taken of a database now.
#[derive(Debug)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The session is in a transaction block.
    InTransaction,
    /// Other sessions are not idle, or are in a transaction.
    Busy {
        /// Their processes, as in `pg_stat_activity`.
        pids: Vec<i32>,
    },
    /// The database is in a directory.
    Persistent,
    /// The host could not make it.
    Io(io::Error),
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no snapshot can be taken: ")?;
        match self {
            SnapshotError::InTransaction => {
                f.write_str("the session is in a transaction; commit it or roll it back first")
            }
            SnapshotError::Busy { pids } => {
                let pids: Vec<_> = pids.iter().map(i32::to_string).collect();
                write!(
                    f,
                    "other sessions are at work (pid {}): wait until they are idle and out of any \
                     transaction, or close them",
                    pids.join(", ")
                )
            }
            SnapshotError::Persistent => {
                f.write_str("the database is in a directory; snapshots are for temporary databases")
            }
            SnapshotError::Io(_) => f.write_str("the host has no room for it"),
        }
    }
}

impl StdError for SnapshotError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            SnapshotError::Io(source) => Some(source),
            _ => None,
        }
    }
}

/// A file that no snapshot can be loaded from, or saved to.
#[derive(Debug)]
#[non_exhaustive]
pub enum SnapshotFileError {
    /// It is no file of [`Snapshot::save`](crate::Snapshot::save).
    NotASnapshot {
        /// The file.
        path: PathBuf,
    },
    /// Another version of this library wrote it, or one for another platform.
    OtherBuild {
        /// The file.
        path: PathBuf,
    },
    /// Its contents are not those that were written.
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// Reading or writing it failed.
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

impl fmt::Display for SnapshotFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SnapshotFileError::NotASnapshot { path } => {
                write!(f, "{} is not a file that a snapshot was saved to", path.display())
            }
            SnapshotFileError::OtherBuild { path } => write!(
                f,
                "the snapshot {} was saved by another build of this library; make it again",
                path.display()
            ),
            SnapshotFileError::Damaged { path } => {
                write!(f, "the snapshot {} is damaged or incomplete; make it again", path.display())
            }
            SnapshotFileError::Io { path, .. } => {
                write!(f, "cannot read or write the snapshot {}", path.display())
            }
        }
    }
}

impl StdError for SnapshotFileError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            SnapshotFileError::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
