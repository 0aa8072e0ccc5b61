//! The errors of this crate: one [`Error`], with a narrow enum for each area inside.

mod archive;
mod db;
mod lifecycle;
mod snapshot;
mod sqlstate;
#[cfg(feature = "tools")]
mod tool;

pub use self::archive::{DumpError, LoadError};
pub(crate) use self::db::memory_limit_hint;
pub use self::db::{DbError, ErrorPosition, Severity};
pub use self::lifecycle::{AssetsError, ConfigError, DataDirError, ListenError, StartError};
pub use self::snapshot::{SnapshotError, SnapshotFileError};
pub use self::sqlstate::SqlState;
#[cfg(feature = "tools")]
pub use self::tool::ToolError;

use std::error::Error as StdError;
use std::fmt;
use std::io;

/// What can go wrong.
///
/// The variants tell *whose* fault it is, so that a caller can decide what to do: [`Error::Db`] is
/// PostgreSQL's answer to a statement (the session goes on), [`Error::Connection`] and
/// [`Error::Closed`] mean that the session is gone, [`Error::Start`], [`Error::DataDir`],
/// [`Error::Assets`] and [`Error::Config`] come from opening a database, and the rest are mistakes
/// in the calling code, found before or after talking to PostgreSQL.
///
/// # Examples
///
/// ```
/// use pglite_oxide::{Pglite, SqlState};
///
/// # fn main() -> Result<(), pglite_oxide::Error> {
/// let mut db = Pglite::temporary()?;
/// let error = db.exec("SELECT 1/0").unwrap_err();
/// assert_eq!(error.sqlstate(), Some(&SqlState::DIVISION_BY_ZERO));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// PostgreSQL reported an error. Unless its severity is fatal, the session goes on.
    Db(Box<DbError>),
    /// The connection to the backend broke. The session is closed.
    Connection(ConnectionError),
    /// A value could not be converted between Rust and PostgreSQL.
    Conversion(Box<ConversionError>),
    /// A statement was given more or fewer parameters than it has.
    ///
    /// Nothing was sent to PostgreSQL.
    WrongParameterCount {
        /// The number of parameters (`$1`, `$2`, ...) of the statement.
        expected: usize,
        /// The number of values passed.
        found: usize,
    },
    /// A row has no such column.
    UnknownColumn {
        /// The name or the zero-based index that was asked for.
        column: String,
        /// The names of the columns the row does have.
        available: Vec<String>,
    },
    /// `query_one` or `query_opt` met another number of rows than it promises.
    RowCount {
        /// What the method promises.
        expected: ExpectedRows,
        /// The number of rows the statement returned.
        found: u64,
    },
    /// `commit` was called on a transaction that an earlier error had already aborted, so
    /// PostgreSQL rolled it back: nothing of it was stored.
    TransactionAborted,
    /// The session is closed.
    Closed {
        /// The last thing PostgreSQL said, if the session did not end by
        /// [`close`](crate::Session::close).
        cause: Option<Box<DbError>>,
    },
    /// A method was used in a way it cannot serve; the message says which to use instead.
    Usage(String),
    /// PostgreSQL did not start.
    Start(StartError),
    /// The data directory cannot be used.
    DataDir(DataDirError),
    /// The packed PostgreSQL runtime cannot be used.
    Assets(AssetsError),
    /// An option or a setting is not valid.
    Config(ConfigError),
    /// A socket for clients cannot be opened.
    Listen(ListenError),
    /// No snapshot can be taken of the database now.
    Snapshot(SnapshotError),
    /// The data directory cannot be written to an archive.
    Dump(DumpError),
    /// The archive of a data directory cannot be loaded.
    Load(LoadError),
    /// A snapshot cannot be saved to a file, or loaded from it.
    SnapshotFile(SnapshotFileError),
    /// A front-end tool did not do its work.
    #[cfg(feature = "tools")]
    Tool(ToolError),
}

impl Error {
    /// PostgreSQL's own error, if that is what this is or what caused it.
    ///
    /// Looks inside [`Error::Db`], [`Error::Connection`], [`Error::Closed`] and [`Error::Start`].
    pub fn as_db_error(&self) -> Option<&DbError> {
        match self {
            Error::Db(error) => Some(error),
            Error::Connection(ConnectionError::BackendDied { last_message }) => {
                last_message.as_deref()
            }
            Error::Closed { cause } => cause.as_deref(),
            Error::Start(error) => error.as_db_error(),
            _ => None,
        }
    }

    /// The SQLSTATE of [`as_db_error`](Error::as_db_error).
    pub fn sqlstate(&self) -> Option<&SqlState> {
        self.as_db_error().map(DbError::code)
    }

    /// Whether the session is gone, so that only opening another one helps.
    pub fn is_closed(&self) -> bool {
        match self {
            Error::Db(error) => error.parsed_severity().is_some_and(Severity::ends_session),
            Error::Connection(_) | Error::Closed { .. } => true,
            _ => false,
        }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Error {
        Error::Usage(message.into())
    }

    pub(crate) fn protocol(message: impl Into<String>) -> Error {
        Error::Connection(ConnectionError::Protocol(message.into()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Db(error) => error.fmt(f),
            Error::Connection(error) => error.fmt(f),
            Error::Conversion(error) => error.fmt(f),
            Error::WrongParameterCount { expected, found } => {
                write!(f, "the statement has {expected} parameters, but {found} values were passed")
            }
            Error::UnknownColumn { column, available } => {
                write!(f, "the row has no column {column}; its columns are: ")?;
                f.write_str(&available.join(", "))
            }
            Error::RowCount { expected, found } => {
                write!(f, "expected {expected}, but the statement returned {found} rows")
            }
            Error::TransactionAborted => f.write_str(
                "nothing was committed: an earlier error had aborted the transaction and \
                 PostgreSQL rolled it back; roll back yourself after an error, or run what may \
                 fail in a savepoint",
            ),
            Error::Closed { cause: None } => f.write_str("the session is closed"),
            Error::Closed { cause: Some(cause) } => {
                write!(f, "the session is closed; PostgreSQL's last message was: {cause}")
            }
            Error::Usage(message) => f.write_str(message),
            Error::Start(error) => error.fmt(f),
            Error::DataDir(error) => error.fmt(f),
            Error::Assets(error) => error.fmt(f),
            Error::Config(error) => error.fmt(f),
            Error::Listen(error) => error.fmt(f),
            Error::Snapshot(error) => error.fmt(f),
            Error::Dump(error) => error.fmt(f),
            Error::Load(error) => error.fmt(f),
            Error::SnapshotFile(error) => error.fmt(f),
            #[cfg(feature = "tools")]
            Error::Tool(error) => error.fmt(f),
        }
    }
}

// The variants that hold an error show that error's own message, so `source` gives *its* source: a
// report of the whole chain then prints nothing twice.
impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Error::Connection(error) => error.source(),
            Error::Conversion(error) => error.source(),
            Error::Start(error) => error.source(),
            Error::DataDir(error) => error.source(),
            Error::Assets(error) => error.source(),
            Error::Config(error) => error.source(),
            Error::Listen(error) => error.source(),
            Error::Snapshot(error) => error.source(),
            Error::Dump(error) => error.source(),
            Error::Load(error) => error.source(),
            Error::SnapshotFile(error) => error.source(),
            #[cfg(feature = "tools")]
            Error::Tool(error) => error.source(),
            _ => None,
        }
    }
}

macro_rules! from {
    ($($variant:ident($error:ty)),* $(,)?) => {
        $(impl From<$error> for Error {
            fn from(error: $error) -> Error {
                Error::$variant(error)
            }
        })*
    };
}

from!(
    Connection(ConnectionError),
    Start(StartError),
    DataDir(DataDirError),
    Assets(AssetsError),
    Config(ConfigError),
    Listen(ListenError),
    Dump(DumpError),
    Load(LoadError),
);

impl From<DbError> for Error {
    fn from(error: DbError) -> Error {
        Error::Db(Box::new(error))
    }
}

impl From<ConversionError> for Error {
    fn from(error: ConversionError) -> Error {
        Error::Conversion(Box::new(error))
    }
}

/// How the connection to a backend broke.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The backend ended without finishing its answer.
    BackendDied {
        /// The last fatal message, if the backend could still send one.
        last_message: Option<Box<DbError>>,
    },
    /// Reading from or writing to the backend failed.
    Io(io::Error),
    /// The backend sent bytes that are not the PostgreSQL protocol.
    Protocol(String),
    /// The log-in failed on this side: the server asks for something the client cannot give.
    Authentication(String),
    /// `tokio-postgres` could not connect.
    #[cfg(feature = "tokio-postgres")]
    TokioPostgres(Box<tokio_postgres::Error>),
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectionError::BackendDied { last_message: None } => f.write_str(
                "the PostgreSQL backend ended without a message; the session is closed, open \
                 another one",
            ),
            ConnectionError::BackendDied { last_message: Some(message) } => write!(
                f,
                "the PostgreSQL backend ended ({message}); the session is closed, open another one"
            ),
            ConnectionError::Io(_) => {
                f.write_str("the connection to the PostgreSQL backend failed")
            }
            ConnectionError::Protocol(message) => {
                write!(f, "the PostgreSQL backend broke the protocol: {message}")
            }
            ConnectionError::Authentication(message) => {
                write!(f, "the log-in failed: {message}")
            }
            #[cfg(feature = "tokio-postgres")]
            ConnectionError::TokioPostgres(_) => {
                f.write_str("tokio-postgres cannot open a session")
            }
        }
    }
}

impl StdError for ConnectionError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            ConnectionError::Io(error) => Some(error),
            #[cfg(feature = "tokio-postgres")]
            ConnectionError::TokioPostgres(error) => Some(error.as_ref()),
            _ => None,
        }
    }
}

/// A value that could not be converted between Rust and PostgreSQL.
#[derive(Debug)]
#[non_exhaustive]
pub struct ConversionError {
    /// Which value it was.
    pub place: ConversionPlace,
    /// The PostgreSQL type of the column or parameter, such as `int4`.
    pub postgres_type: String,
    source: Box<dyn StdError + Sync + Send>,
}

/// Which value a [`ConversionError`] is about.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConversionPlace {
    /// A column of a result row.
    Column {
        /// The zero-based index of the column.
        index: usize,
        /// The name of the column.
        name: String,
    },
    /// A statement parameter. Nothing was sent to PostgreSQL.
    Parameter {
        /// The zero-based index: 0 is `$1`.
        index: usize,
    },
}

impl ConversionError {
    pub(crate) fn new(
        place: ConversionPlace,
        postgres_type: &postgres_types::Type,
        source: Box<dyn StdError + Sync + Send>,
    ) -> ConversionError {
        ConversionError { place, postgres_type: postgres_type.to_string(), source }
    }
}

impl fmt::Display for ConversionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            ConversionPlace::Column { index, name } => write!(
                f,
                "column {index} (\"{name}\", type {}) cannot be read: ",
                self.postgres_type
            )?,
            ConversionPlace::Parameter { index } => write!(
                f,
                "parameter ${} (type {}) cannot be sent: ",
                index + 1,
                self.postgres_type
            )?,
        }
        write!(f, "{}", self.source)
    }
}

// The message already holds the conversion's own text.
impl StdError for ConversionError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.source()
    }
}

/// The number of rows a method promises; see [`Error::RowCount`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExpectedRows {
    /// Exactly one row.
    One,
    /// No row or one row.
    AtMostOne,
}

impl fmt::Display for ExpectedRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ExpectedRows::One => "exactly one row",
            ExpectedRows::AtMostOne => "at most one row",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_say_what_to_do() {
        let cases: Vec<(Error, &str)> = vec![
            (
                Error::WrongParameterCount { expected: 2, found: 1 },
                "the statement has 2 parameters, but 1 values were passed",
            ),
            (
                Error::RowCount { expected: ExpectedRows::One, found: 3 },
                "expected exactly one row, but the statement returned 3 rows",
            ),
            (
                Error::UnknownColumn {
                    column: "\"b\"".to_owned(),
                    available: vec!["a".to_owned(), "c".to_owned()],
                },
                "the row has no column \"b\"; its columns are: a, c",
            ),
            (Error::Closed { cause: None }, "the session is closed"),
        ];
        for (error, message) in cases {
            assert_eq!(error.to_string(), message);
        }
    }

    #[test]
    fn sources_are_not_printed_twice() {
        let error = Error::from(ConnectionError::Io(io::Error::other("broken")));
        assert_eq!(error.to_string(), "the connection to the PostgreSQL backend failed");
        assert_eq!(error.source().expect("the I/O error").to_string(), "broken");
        let wrong = ConversionError::new(
            ConversionPlace::Parameter { index: 0 },
            &postgres_types::Type::INT4,
            "no".into(),
        );
        let error = Error::from(wrong);
        assert_eq!(error.to_string(), "parameter $1 (type int4) cannot be sent: no");
        assert!(error.source().is_none());
    }
}
