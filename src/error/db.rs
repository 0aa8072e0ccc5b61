//! Errors and notices as PostgreSQL sends them.

use std::error::Error as StdError;
use std::fmt;

use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::ErrorFields;

use super::SqlState;

/// An error or a notice of PostgreSQL, with all fields it was sent with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DbError {
    severity: String,
    parsed_severity: Option<Severity>,
    code: SqlState,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
    position: Option<ErrorPosition>,
    where_: Option<String>,
    schema: Option<String>,
    table: Option<String>,
    column: Option<String>,
    datatype: Option<String>,
    constraint: Option<String>,
    file: Option<String>,
    line: Option<u32>,
    routine: Option<String>,
}

impl DbError {
    /// An error that did not come over the wire, such as one read from the log of a failed start.
    pub(crate) fn new(severity: Severity, code: SqlState, message: impl Into<String>) -> DbError {
        DbError {
            severity: severity.to_string(),
            parsed_severity: Some(severity),
            code,
            message: message.into(),
            detail: None,
            hint: None,
            position: None,
            where_: None,
            schema: None,
            table: None,
            column: None,
            datatype: None,
            constraint: None,
            file: None,
            line: None,
            routine: None,
        }
    }

    /// Reads the fields of an ErrorResponse or NoticeResponse.
    ///
    /// Takes what it can: a message that is cut off or not UTF-8 still gives an error with
    /// everything that could be read, as losing the reason would be worse.
    pub(crate) fn from_fields(mut fields: ErrorFields<'_>) -> DbError {
        let mut error = DbError::new(Severity::Error, SqlState::INTERNAL_ERROR, "");
        let mut position = None;
        let mut internal_position = None;
        let mut internal_query = None;
        while let Ok(Some(field)) = fields.next() {
            let value = String::from_utf8_lossy(field.value_bytes()).into_owned();
            match field.type_() {
                b'S' => error.severity = value,
                b'V' => error.parsed_severity = Severity::parse(&value),
                b'C' => error.code = SqlState::from_code(&value),
                b'M' => error.message = value,
                b'D' => error.detail = Some(value),
                b'H' => error.hint = Some(value),
                b'P' => position = value.parse::<u32>().ok(),
                b'p' => internal_position = value.parse::<u32>().ok(),
                b'q' => internal_query = Some(value),
                b'W' => error.where_ = Some(value),
                b's' => error.schema = Some(value),
                b't' => error.table = Some(value),
                b'c' => error.column = Some(value),
                b'd' => error.datatype = Some(value),
                b'n' => error.constraint = Some(value),
                b'F' => error.file = Some(value),
                b'L' => error.line = value.parse().ok(),
                b'R' => error.routine = Some(value),
                // The protocol asks to ignore unknown fields.
                _ => {}
            }
        }
        error.position = match (position, internal_query) {
            (Some(position), _) => Some(ErrorPosition::Original(position)),
            (None, Some(query)) => {
                Some(ErrorPosition::Internal { position: internal_position.unwrap_or(0), query })
            }
            (None, None) => None,
        };
        error
    }

    /// Gives an error of a full disk the hint that it may be the limit of a database in memory.
    pub(crate) fn mention_memory_limit(&mut self, bytes: u64) {
        if self.code == SqlState::DISK_FULL {
            self.hint = Some(memory_limit_hint(bytes));
        }
    }

    /// The severity as a word, in the language of `lc_messages`, such as `ERROR`.
    pub fn severity(&self) -> &str {
        &self.severity
    }

    /// The severity, independent of the language. `None` if PostgreSQL used an unknown word.
    pub fn parsed_severity(&self) -> Option<Severity> {
        self.parsed_severity
    }

    /// The SQLSTATE.
    pub fn code(&self) -> &SqlState {
        &self.code
    }

    /// The primary message: one line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// A secondary message with more details; may have several lines.
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// A suggestion what to do about it; may have several lines.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Where in the SQL text the error is.
    pub fn position(&self) -> Option<&ErrorPosition> {
        self.position.as_ref()
    }

    /// The SQL text of a command that PostgreSQL or a function made itself and that failed.
    pub fn internal_query(&self) -> Option<&str> {
        match &self.position {
            Some(ErrorPosition::Internal { query, .. }) => Some(query),
            _ => None,
        }
    }

    /// The context in which it happened: a call stack of functions, the innermost first.
    pub fn where_(&self) -> Option<&str> {
        self.where_.as_deref()
    }

    /// The schema of the object the error is about.
    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// The table the error is about.
    pub fn table(&self) -> Option<&str> {
        self.table.as_deref()
    }

    /// The column the error is about.
    pub fn column(&self) -> Option<&str> {
        self.column.as_deref()
    }

    /// The data type the error is about.
    pub fn datatype(&self) -> Option<&str> {
        self.datatype.as_deref()
    }

    /// The constraint (or index) that was violated.
    pub fn constraint(&self) -> Option<&str> {
        self.constraint.as_deref()
    }

    /// The source file of PostgreSQL that reported it.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// The line in [`file`](DbError::file).
    pub fn line(&self) -> Option<u32> {
        self.line
    }

    /// The C function that reported it.
    pub fn routine(&self) -> Option<&str> {
        self.routine.as_deref()
    }
}

/// What stands behind a full disk where there is no disk.
pub(crate) fn memory_limit_hint(bytes: u64) -> String {
    let units = [("GB", 30), ("MB", 20), ("kB", 10), ("bytes", 0)];
    let whole = units.into_iter().find(|(_, shift)| bytes.is_multiple_of(1 << shift));
    let (unit, shift) = whole.expect("every number is one of bytes");
    format!(
        "This database is in memory, and what it may write is limited to {} {unit} (memory_limit).",
        bytes >> shift
    )
}

impl fmt::Display for DbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (SQLSTATE {})", self.severity, self.message, self.code.code())?;
        if let Some(detail) = &self.detail {
            write!(f, "\nDETAIL: {detail}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nHINT: {hint}")?;
        }
        Ok(())
    }
}

impl StdError for DbError {}

/// Where in an SQL text an error is. Positions count characters, not bytes, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorPosition {
    /// In the text that was sent.
    Original(u32),
    /// In a command that PostgreSQL or a function made itself.
    Internal {
        /// The position in `query`; 0 if unknown.
        position: u32,
        /// The text of that command.
        query: String,
    },
}

/// How severe an error or a notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// Details for developers.
    Debug,
    /// For the log.
    Log,
    /// Asked for by the user, such as the output of `VACUUM VERBOSE`.
    Info,
    /// Worth knowing, such as `RAISE NOTICE`.
    Notice,
    /// A likely mistake.
    Warning,
    /// The statement failed.
    Error,
    /// The session ends.
    Fatal,
    /// All sessions end.
    Panic,
}

impl Severity {
    fn parse(word: &str) -> Option<Severity> {
        Some(match word {
            "DEBUG" => Severity::Debug,
            "LOG" => Severity::Log,
            "INFO" => Severity::Info,
            "NOTICE" => Severity::Notice,
            "WARNING" => Severity::Warning,
            "ERROR" => Severity::Error,
            "FATAL" => Severity::Fatal,
            "PANIC" => Severity::Panic,
            _ => return None,
        })
    }

    /// Whether a backend that reports this ends.
    pub(crate) fn ends_session(self) -> bool {
        self >= Severity::Fatal
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Debug => "DEBUG",
            Severity::Log => "LOG",
            Severity::Info => "INFO",
            Severity::Notice => "NOTICE",
            Severity::Warning => "WARNING",
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
            Severity::Panic => "PANIC",
        })
    }
}
