//! Errors as their reader sees them, and exit statuses.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

/// The command could not do its work.
pub(crate) const FAILED: u8 = 1;
/// The command line is wrong.
pub(crate) const USAGE: u8 = 2;
/// The server stopped without a checkpoint, as it was told to.
pub(crate) const STOPPED_AT_ONCE: u8 = 3;
/// `run` could not do its work, and not the command that it runs: as `env` and `timeout` have it.
pub(crate) const NOT_RUN: u8 = 125;
/// The command of `run` exists and cannot be executed: as shells have it.
pub(crate) const NOT_EXECUTABLE: u8 = 126;
/// There is no such command: as shells have it.
pub(crate) const NOT_FOUND: u8 = 127;

/// Why `pglite` ends without having done its work.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    usage: bool,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), usage: false }
    }

    /// The command line has to be written differently.
    pub(crate) fn usage(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), usage: true }
    }

    /// What was tried, and the error with all that caused it.
    pub(crate) fn because(what: impl Display, error: &dyn Error) -> Failure {
        Failure::new(format!("{what}: {}", chain(error)))
    }

    /// Says why on standard error, in one line.
    pub(crate) fn report(&self, status: u8) -> ExitCode {
        say(&self.message);
        ExitCode::from(if self.usage { USAGE } else { status })
    }
}

impl From<pglite_oxide::Error> for Failure {
    fn from(error: pglite_oxide::Error) -> Failure {
        use pglite_oxide::{ConfigError, Error};
        let message = chain(&error);
        match error {
            // The files are wrong, and not the options that name them.
            Error::Config(ConfigError::Certificate { .. }) => Failure::new(message),
            Error::Config(_) => Failure::usage(message),
            _ => Failure::new(message),
        }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// A line of `pglite` itself, whatever the log's options are.
pub(crate) fn say(message: &str) {
    // With standard error closed there is nobody left to tell.
    let _ = writeln!(io::stderr(), "pglite: {}", one_line(message));
}

/// An error and its sources.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}

/// Messages can have lines of PostgreSQL's log in them.
pub(crate) fn one_line(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_one_line() {
        let cases = [
            ("plain", "plain"),
            (
                "its log ends with:\n  LOG:  a\n  FATAL:  b\n",
                "its log ends with: | LOG:  a | FATAL:  b",
            ),
            ("a\n\nb", "a | b"),
        ];
        for (text, line) in cases {
            assert_eq!(one_line(text), line);
        }
    }

    #[test]
    fn sources_are_shown() {
        #[derive(Debug)]
        struct Outer(io::Error);
        impl Display for Outer {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("cannot listen")
            }
        }
        impl Error for Outer {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(&self.0)
            }
        }
        assert_eq!(
            chain(&Outer(io::Error::other("no permission"))),
            "cannot listen: no permission"
        );
    }
}
