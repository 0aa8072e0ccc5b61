//! PostgreSQL's log: kept for error messages, and passed on to `tracing`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{DbError, Severity, SqlState, memory_limit_hint};

/// What Postgres is told to put before each line: SQLSTATE and pid.
pub(super) const LINE_PREFIX: &str = "%e %p ";

/// How messages begin that come before logging is set up.
const EARLY: &str = "postgres: ";

/// How PostgreSQL names the socket that only the kernel knows. As information it would send users looking
/// for a file that does not exist.
const INNER_SOCKET: &str = "listening on Unix socket \"/tmp/";

/// Lines kept.
const KEPT: usize = 100;

/// The last lines of a cluster's log.
#[derive(Debug, Default)]
pub(crate) struct Log {
    lines: Mutex<VecDeque<Line>>,
    memory_limit: Option<u64>,
}

#[derive(Debug, Clone)]
struct Line {
    sqlstate: String,
    level: String,
    message: String,
}

impl Log {
    /// The log of a cluster; with what it may write, if it is in memory and limited.
    pub(super) fn new(memory_limit: Option<u64>) -> Arc<Log> {
        Arc::new(Log { lines: Mutex::default(), memory_limit })
    }

    pub(super) fn push(&self, text: &str) {
        let line = Line::parse(text);
        line.trace();
        if let Some(bytes) = self.memory_limit
            && line.sqlstate == SqlState::DISK_FULL.code()
            && line.is_error()
        {
            // PostgreSQL's own hint is to look at the disk.
            tracing::warn!("{}", memory_limit_hint(bytes));
        }
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// The lines kept, oldest first, without their prefixes.
    pub(super) fn lines(&self) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(Line::text).collect()
    }

    /// The first message that ended a process.
    pub(super) fn first_fatal(&self) -> Option<DbError> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let fatal = |line: &&Line| matches!(line.level.as_str(), "FATAL" | "PANIC");
        if let Some(fatal) = lines.iter().find(fatal) {
            let panic = fatal.level == "PANIC";
            let severity = if panic { Severity::Panic } else { Severity::Fatal };
            let code = SqlState::from_code(&fatal.sqlstate);
            return Some(DbError::new(severity, code, fatal.message.clone()));
        }
        // What the postmaster says before it can log: "postgres: …", and lines that explain it.
        let first = lines.iter().position(|line| line.message.starts_with(EARLY))?;
        let mut message = lines[first].message[EARLY.len()..].to_owned();
        for line in lines.range(first + 1..) {
            message.push(' ');
            message.push_str(&line.message);
        }
        let missing = message.contains("No such file");
        let code = if missing { SqlState::UNDEFINED_FILE } else { SqlState::INTERNAL_ERROR };
        Some(DbError::new(Severity::Fatal, code, message))
    }
}

impl Line {
    /// `00000 1234 LOG:  message`; anything else is a message without a level.
    fn parse(text: &str) -> Line {
        let prefixed = || -> Option<Line> {
            let (sqlstate, rest) = text.split_once(' ')?;
            let (pid, rest) = rest.split_once(' ')?;
            let (level, message) = rest.split_once(":  ")?;
            let valid = sqlstate.len() == 5
                && pid.bytes().all(|byte| byte.is_ascii_digit())
                && level.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
            valid.then(|| Line {
                sqlstate: sqlstate.into(),
                level: level.into(),
                message: message.into(),
            })
        };
        prefixed().unwrap_or_else(|| Line {
            sqlstate: String::new(),
            level: String::new(),
            message: text.into(),
        })
    }

    fn text(&self) -> String {
        if self.level.is_empty() {
            self.message.clone()
        } else {
            format!("{}:  {}", self.level, self.message)
        }
    }

    fn is_error(&self) -> bool {
        matches!(self.level.as_str(), "ERROR" | "FATAL" | "PANIC")
    }

    fn trace(&self) {
        let Line { sqlstate, message, .. } = self;
        match self.level.as_str() {
            _ if self.is_error() => {
                tracing::error!(target: "postgres", sqlstate, "{}", self.text());
            }
            "WARNING" => tracing::warn!(target: "postgres", sqlstate, "{message}"),
            level if level.starts_with("DEBUG") || message.starts_with(INNER_SOCKET) => {
                tracing::debug!(target: "postgres", "{message}");
            }
            _ => tracing::info!(target: "postgres", "{}", self.text()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_apart() {
        let log = Log::new(None);
        log.push("00000 7 LOG:  starting PostgreSQL");
        log.push("58P01 9 FATAL:  could not open file \"global/pg_control\"");
        log.push("\tcontinued");
        assert_eq!(
            log.lines(),
            [
                "LOG:  starting PostgreSQL",
                "FATAL:  could not open file \"global/pg_control\"",
                "\tcontinued"
            ]
        );
        let fatal = log.first_fatal().unwrap();
        assert_eq!(fatal.code().code(), "58P01");
        assert_eq!(fatal.message(), "could not open file \"global/pg_control\"");
    }
}
