//! Errors of opening, starting and configuring a database.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::PathBuf;

use super::DbError;

/// PostgreSQL did not start, or ended while it was starting.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct StartError {
    /// What the library itself knows, such as "the postmaster ended with code 1".
    pub reason: String,
    /// PostgreSQL's log lines of the attempt, oldest first.
    pub log: Vec<String>,
    fatal: Option<Box<DbError>>,
    source: Option<io::Error>,
}

impl StartError {
    /// An error with a reason, without log lines.
    pub(crate) fn new(reason: impl Into<String>) -> StartError {
        StartError { reason: reason.into(), ..StartError::default() }
    }

    /// Adds PostgreSQL's log lines.
    pub(crate) fn with_log(mut self, log: Vec<String>) -> StartError {
        self.log = log;
        self
    }

    /// Adds the first FATAL or PANIC message.
    pub(crate) fn with_fatal(mut self, fatal: DbError) -> StartError {
        self.fatal = Some(Box::new(fatal));
        self
    }

    /// Adds the error of the host's operating system behind it.
    pub(crate) fn with_source(mut self, source: io::Error) -> StartError {
        self.source = Some(source);
        self
    }

    /// The first FATAL or PANIC message of PostgreSQL, with its SQLSTATE.
    pub fn as_db_error(&self) -> Option<&DbError> {
        self.fatal.as_deref()
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PostgreSQL did not start")?;
        match &self.fatal {
            Some(fatal) => write!(f, ": {fatal}")?,
            None if !self.reason.is_empty() => write!(f, ": {}", self.reason)?,
            None => {}
        }
        // Without a FATAL message the log is all there is to say why.
        if self.fatal.is_none() && !self.log.is_empty() {
            f.write_str("; its log ends with:")?;
            for line in &self.log[self.log.len().saturating_sub(10)..] {
                write!(f, "\n  {line}")?;
            }
        }
        Ok(())
    }
}

impl StdError for StartError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|error| error as _)
    }
}

/// A data directory that cannot be used. Nothing in it was changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum DataDirError {
    /// Another opener, of this process or another one, has the database open.
    Locked {
        /// The data directory.
        path: PathBuf,
        /// The process that holds it, if it could be found out.
        pid: Option<u32>,
    },
    /// The directory is neither empty nor a database.
    NotADatabase {
        /// The directory.
        path: PathBuf,
    },
    /// The directory has a database or other things in it, and an archive is to be loaded into it.
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// The loading of an archive into the directory did not come to its end: the process was killed.
    HalfLoaded {
        /// The directory.
        path: PathBuf,
    },
    /// What should be a directory is a file.
    NotADirectory {
        /// The file: the path, or a part of it.
        path: PathBuf,
    },
    /// The database belongs to another major version of PostgreSQL.
    WrongVersion {
        /// The data directory.
        path: PathBuf,
        /// The version in its `PG_VERSION` file.
        found: String,
        /// The version of this library.
        expected: String,
    },
    /// A file that every database has is missing or damaged.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The directory cannot be written to.
    ReadOnly {
        /// The directory.
        path: PathBuf,
    },
    /// The directory does not exist and may not be created.
    NotFound {
        /// The directory.
        path: PathBuf,
    },
    /// Reading or writing a file failed.
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

impl fmt::Display for DataDirError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DataDirError::Locked { path, pid } => {
                write!(f, "the database {} is already open ", path.display())?;
                match pid {
                    Some(pid) if *pid == std::process::id() => write!(
                        f,
                        "in this process (pid {pid}); share that handle, or close it first"
                    ),
                    Some(pid) => write!(f, "in the process with pid {pid}; close it there first"),
                    None => f.write_str("in another process; close it there first"),
                }
            }
            DataDirError::NotADatabase { path } => write!(
                f,
                "{} is not empty and not a PostgreSQL data directory; pass an empty or missing \
                 directory to make a new database (nothing was changed)",
                path.display()
            ),
            DataDirError::NotEmpty { path } => write!(
                f,
                "{} is not empty; an archive is loaded into an empty or missing directory (nothing \
                 was changed)",
                path.display()
            ),
            DataDirError::HalfLoaded { path } => write!(
                f,
                "{} has a part of an archive in it, whose loading was interrupted; load the archive \
                 again, or remove the directory",
                path.display()
            ),
            DataDirError::NotADirectory { path } => write!(
                f,
                "{} is a file, not a directory; a database is a directory: pass one that is empty, \
                 missing or a database",
                path.display()
            ),
            DataDirError::WrongVersion { path, found, expected } => write!(
                f,
                "the database {} was made by PostgreSQL {found}, and this library is PostgreSQL \
                 {expected}; dump it with the old version and load it with this one",
                path.display()
            ),
            DataDirError::Damaged { path, reason } => write!(
                f,
                "{} is damaged: {reason}; restore the data directory from a backup (nothing was \
                 changed)",
                path.display()
            ),
            DataDirError::ReadOnly { path } => write!(
                f,
                "{} cannot be written to; PostgreSQL needs write access, also to read",
                path.display()
            ),
            DataDirError::NotFound { path } => {
                write!(f, "the directory {} does not exist", path.display())
            }
            DataDirError::Io { path, .. } => write!(f, "cannot access {}", path.display()),
        }
    }
}

impl StdError for DataDirError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            DataDirError::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// The packed PostgreSQL runtime cannot be unpacked or loaded.
#[derive(Debug)]
#[non_exhaustive]
pub enum AssetsError {
    /// There is no precompiled runtime for this platform.
    UnsupportedTarget {
        /// The target triple or a description of the platform.
        target: String,
    },
    /// Packed or unpacked bytes do not have the hash they should have.
    Corrupt {
        /// Which part it is.
        asset: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The runtime was unpacked but cannot be loaded.
    Load {
        /// Which part it is.
        asset: String,
        /// What the loader said.
        reason: String,
    },
    /// A directory that [`extension_dir`](crate::PgliteBuilder::extension_dir) names, or a file in it, is not what it
    /// should be.
    Extensions {
        /// The directory or the file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Reading or writing a file failed.
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

impl fmt::Display for AssetsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AssetsError::UnsupportedTarget { target } => write!(
                f,
                "there is no PostgreSQL runtime for {target}; supported is x86_64 Linux with glibc"
            ),
            AssetsError::Corrupt { asset, reason } => write!(
                f,
                "the packed runtime is damaged ({asset}: {reason}); remove the cache directory, \
                 and if that does not help, fetch the crate again"
            ),
            AssetsError::Load { asset, reason } => {
                write!(f, "the PostgreSQL runtime cannot be loaded ({asset}: {reason})")
            }
            AssetsError::Extensions { path, reason } => {
                write!(f, "cannot use {} of `extension_dir`: {reason}", path.display())
            }
            AssetsError::Io { path, .. } => {
                write!(f, "cannot access {} of the PostgreSQL runtime", path.display())
            }
        }
    }
}

impl StdError for AssetsError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            AssetsError::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// A socket that clients are to connect to cannot be opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum ListenError {
    /// Another program, or another server of this one, has it.
    InUse {
        /// The address, or the path of the socket.
        address: String,
    },
    /// The path of a Unix socket is longer than the operating system allows (about 100 bytes).
    PathTooLong {
        /// The path.
        path: PathBuf,
    },
    /// Opening it failed.
    Io {
        /// The address, or the path of the socket.
        address: String,
        /// The error of the operating system.
        source: io::Error,
    },
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenError::InUse { address } => write!(
                f,
                "{address} is in use by another server; choose another port (0 for any free one) \
                 or directory"
            ),
            ListenError::PathTooLong { path } => write!(
                f,
                "the path {} is too long for a Unix socket; choose a directory with a shorter path",
                path.display()
            ),
            ListenError::Io { address, .. } => write!(f, "cannot listen on {address}"),
        }
    }
}

impl StdError for ListenError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            ListenError::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// An option of the builder or a PostgreSQL setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is no setting of this name, or it may not be set here.
    InvalidName {
        /// The name.
        name: String,
        /// Why not.
        reason: String,
    },
    /// The setting cannot have this value.
    InvalidValue {
        /// The name.
        name: String,
        /// The value.
        value: String,
        /// Why not.
        reason: String,
    },
    /// Two options contradict each other.
    Conflict {
        /// Which, and what to do.
        reason: String,
    },
    /// The certificate of a server, or its key, cannot be used.
    Certificate {
        /// Which, and why not.
        reason: String,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::InvalidName { name, reason } => {
                write!(f, "the setting \"{name}\" cannot be used: {reason}")
            }
            ConfigError::InvalidValue { name, value, reason } => {
                write!(f, "\"{value}\" is not a valid value for \"{name}\": {reason}")
            }
            ConfigError::Conflict { reason } => f.write_str(reason),
            ConfigError::Certificate { reason } => write!(f, "TLS cannot be used: {reason}"),
        }
    }
}

impl StdError for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locked_names_the_holder() {
        let locked = |pid| DataDirError::Locked { path: PathBuf::from("/db"), pid }.to_string();
        assert_eq!(
            locked(Some(u32::MAX)),
            "the database /db is already open in the process with pid 4294967295; close it there \
             first"
        );
        assert!(locked(Some(std::process::id())).contains("in this process"));
        assert!(locked(None).contains("in another process"));
    }

    #[test]
    fn start_error_shows_the_log_not_byte_counts() {
        let log = vec!["LOG:  starting".to_owned(), "FATAL:  no space".to_owned()];
        let error = StartError::new("it ended with code 1").with_log(log);
        assert_eq!(
            error.to_string(),
            "PostgreSQL did not start: it ended with code 1; its log ends with:\n  LOG:  \
             starting\n  FATAL:  no space"
        );
    }
}
