//! [`Tool`]: any of the programs with any arguments.

use std::fmt;
use std::path::{Path, PathBuf};

use super::run::{Setup, Target};
use super::{Cancel, Program};
use crate::error::Error;

/// A run of one of PostgreSQL's tools, with arguments as on a command line.
///
/// [`Pglite::tool`](crate::Pglite::tool) and [`PgliteServer::tool`](crate::PgliteServer::tool) make one that is
/// connected to that database unless its arguments say otherwise.
///
/// # Examples
///
/// ```
/// use pglite_oxide::Pglite;
/// use pglite_oxide::tools::Program;
///
/// # fn main() -> Result<(), pglite_oxide::Error> {
/// let db = Pglite::temporary()?;
/// let output = db.tool(Program::Psql).args(["-X", "-At", "-c", "SELECT 6 * 7"]).output()?;
/// assert_eq!(output.stdout, b"42\n");
///
/// let roles = db.tool(Program::PgDumpall).arg("--roles-only").output()?;
/// assert!(String::from_utf8_lossy(&roles.stdout).contains("CREATE ROLE postgres"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a tool runs when one of its last methods is called"]
pub struct Tool {
    program: Program,
    target: Option<Target>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    host_directory: Option<PathBuf>,
    cache: Option<PathBuf>,
    cancel: Option<Cancel>,
}

/// What a tool that has ended left.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Output {
    /// Its exit status.
    pub status: i32,
    /// All that it has written to standard output.
    pub stdout: Vec<u8>,
    /// What it has written to standard error, the last hundreds of lines of it.
    pub stderr: String,
}

impl Tool {
    /// A tool that connects to where its arguments and environment say, over the network or a Unix socket of the
    /// host, without TLS.
    ///
    /// It has none of this process's environment: see [`env`](Tool::env).
    pub fn new(program: Program) -> Tool {
        Tool {
            program,
            target: None,
            arguments: Vec::new(),
            environment: Vec::new(),
            host_directory: None,
            cache: None,
            cancel: None,
        }
    }

    pub(crate) fn connected(program: Program, target: Target) -> Tool {
        Tool { target: Some(target), ..Tool::new(program) }
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl Into<String>) -> Tool {
        self.arguments.push(argument.into());
        self
    }

    /// Adds arguments.
    pub fn args<A: Into<String>>(mut self, arguments: impl IntoIterator<Item = A>) -> Tool {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of the tool's environment, such as `PGOPTIONS`.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Tool {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Lets the tool use all files of the host, as a program of this user could, with this working directory.
    /// Otherwise it has none.
    pub fn host_files(mut self, directory: impl AsRef<Path>) -> Tool {
        self.host_directory = Some(directory.as_ref().to_owned());
        self
    }

    /// Where PostgreSQL's programs are unpacked to, if they have not been in this process yet; as
    /// [`PgliteBuilder::cache_dir`](crate::PgliteBuilder::cache_dir).
    pub fn cache_dir(mut self, directory: impl AsRef<Path>) -> Tool {
        self.cache = Some(directory.as_ref().to_owned());
        self
    }

    /// Lets another thread end it: see [`Cancel`].
    pub fn cancel_with(mut self, cancel: &Cancel) -> Tool {
        self.cancel = Some(cancel.clone());
        self
    }

    fn setup(&self) -> Setup<'_> {
        Setup {
            arguments: self.arguments.clone(),
            environment: self.environment.clone(),
            host_directory: self.host_directory.clone(),
            cache: self.cache.as_deref(),
            cancel: self.cancel.clone(),
            ..Setup::new(self.program, self.target.clone())
        }
    }

    /// Runs the tool to its end, without input.
    ///
    /// # Errors
    ///
    /// [`Error::Tool`] if it cannot be started or crashes; an exit status of any kind is none.
    pub fn output(&self) -> Result<Output, Error> {
        let (running, pipes) = self.setup().start(false)?;
        let mut stdout = Vec::new();
        let ended = running.read_output(pipes.output, &mut stdout)?;
        Ok(Output { status: ended.status()?, stdout, stderr: ended.stderr })
    }

    /// Runs the tool with this process's standard input, output and error, and returns its exit status.
    ///
    /// # Errors
    ///
    /// As [`output`](Tool::output).
    pub fn status(&self) -> Result<i32, Error> {
        self.setup().start_inherited()?.wait().status()
    }
}

impl fmt::Debug for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tool")
            .field("program", &self.program)
            .field("arguments", &self.arguments)
            .finish_non_exhaustive()
    }
}
