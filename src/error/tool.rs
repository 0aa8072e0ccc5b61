//! Errors of the front-end tools.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::tools::Program;

/// A tool (`pg_dump`, `pg_restore`, `psql`, `pg_dumpall`) that did not do its work.
#[derive(Debug)]
#[non_exhaustive]
pub enum ToolError {
    /// It found something wrong, and says what.
    Failed {
        /// The program.
        program: Program,
        /// Its exit status.
        status: i32,
        /// What it has written to standard error, the last hundreds of lines of it.
        stderr: String,
    },
    /// It crashed, or was ended from outside.
    Crashed {
        /// The program.
        program: Program,
        /// The signal that describes how.
        signal: i32,
        /// What it has written to standard error, the last hundreds of lines of it.
        stderr: String,
    },
    /// It was ended by [`Cancel::cancel`](crate::tools::Cancel::cancel).
    Cancelled {
        /// The program.
        program: Program,
    },
    /// It could not be started.
    Start {
        /// The program.
        program: Program,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The writer that was passed failed; the tool has been ended.
    Write(io::Error),
    /// The reader that was passed failed; the tool has been ended.
    Read(io::Error),
    /// A path cannot be used.
    Path {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
}

impl ToolError {
    /// What the tool has written to standard error, if it has run.
    pub fn stderr(&self) -> Option<&str> {
        match self {
            ToolError::Failed { stderr, .. } | ToolError::Crashed { stderr, .. } => Some(stderr),
            _ => None,
        }
    }
}

impl fmt::Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ToolError::Failed { program, status, stderr } if stderr.is_empty() => {
                write!(f, "{program} ended with status {status}")
            }
            ToolError::Failed { program, status, stderr } => {
                write!(f, "{program} ended with status {status}: {}", stderr.trim_end())
            }
            ToolError::Crashed { program, signal, .. } => {
                write!(f, "{program} was ended by signal {signal}")
            }
            ToolError::Cancelled { program } => write!(f, "{program} was cancelled"),
            ToolError::Start { program, .. } => write!(f, "{program} cannot be started"),
            ToolError::Write(_) => f.write_str("the dump cannot be written"),
            ToolError::Read(_) => f.write_str("the dump cannot be read"),
            ToolError::Path { path, .. } => write!(f, "{} cannot be used", path.display()),
        }
    }
}

impl StdError for ToolError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            ToolError::Start { source, .. }
            | ToolError::Path { source, .. }
            | ToolError::Write(source)
            | ToolError::Read(source) => Some(source),
            ToolError::Failed { .. } | ToolError::Crashed { .. } | ToolError::Cancelled { .. } => {
                None
            }
        }
    }
}
