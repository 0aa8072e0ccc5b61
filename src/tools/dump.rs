//! [`Dump`]: a database to SQL or an archive, by `pg_dump`.

use std::fmt;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use super::run::{Mount, Setup, Target, split};
use super::{Cancel, Program};
use crate::error::Error;

/// The form of a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Format {
    /// SQL, to be run by `psql`. It is not for [`Session::exec`](crate::Session::exec): rows and some lines are in a
    /// form that `psql` sends.
    #[default]
    Plain,
    /// An archive in one file, from which `pg_restore` takes all or a part.
    Custom,
    /// A directory with an archive, a file for each table; the one form with [`jobs`](Dump::jobs).
    Directory,
    /// The same as a tar archive.
    Tar,
}

impl Format {
    pub(super) fn name(self) -> &'static str {
        match self {
            Format::Plain => "plain",
            Format::Custom => "custom",
            Format::Directory => "directory",
            Format::Tar => "tar",
        }
    }
}

/// How long a dump waits for a table that somebody has locked, if the session at hand might be the one.
const OWN_LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the directory of the dump is mounted.
const OUT: &str = "/out";

/// Options of a dump of one database, made by [`Pglite::dump`](crate::Pglite::dump).
///
/// Unless told otherwise it is of the whole database, as SQL. It is one snapshot of the database: what others do
/// meanwhile is not in it.
///
/// # Examples
///
/// ```
/// use pglite_oxide::Pglite;
/// use pglite_oxide::tools::Format;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("planets.dump");
/// let mut db = Pglite::temporary()?;
/// db.exec("CREATE TABLE planet (name text); CREATE TABLE log (line text)")?;
/// db.dump().format(Format::Custom).exclude_table("log").to_path(&path)?;
///
/// let copy = Pglite::temporary()?;
/// copy.restore().from_path(&path)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a dump is made when one of its last methods is called"]
pub struct Dump {
    target: Target,
    format: Format,
    arguments: Vec<String>,
    lock_timeout: Option<Duration>,
    cancel: Option<Cancel>,
}

impl Dump {
    /// `in_transaction`: the session at hand may hold locks that a dump would wait for forever.
    pub(crate) fn new(target: Target, in_transaction: bool) -> Dump {
        Dump {
            target,
            format: Format::default(),
            arguments: Vec::new(),
            lock_timeout: in_transaction.then_some(OWN_LOCK_TIMEOUT),
            cancel: None,
        }
    }

    /// The form; plain, unless told.
    pub fn format(mut self, format: Format) -> Dump {
        self.format = format;
        self
    }

    /// Another database of the cluster.
    pub fn database(mut self, name: impl Into<String>) -> Dump {
        self.target.access.database = name.into();
        self
    }

    /// No rows.
    pub fn schema_only(self) -> Dump {
        self.arg("--schema-only")
    }

    /// Rows only, no definitions.
    pub fn data_only(self) -> Dump {
        self.arg("--data-only")
    }

    /// Only tables, views and sequences whose name matches the pattern, as `psql`'s `\d` has patterns; can be
    /// given many times. That there is none is an error.
    pub fn table(self, pattern: impl AsRef<str>) -> Dump {
        self.arg(format!("--table={}", pattern.as_ref())).arg_once("--strict-names")
    }

    /// No tables, views and sequences whose name matches the pattern.
    pub fn exclude_table(self, pattern: impl AsRef<str>) -> Dump {
        self.arg(format!("--exclude-table={}", pattern.as_ref()))
    }

    /// The tables whose name matches the pattern without their rows.
    pub fn exclude_table_data(self, pattern: impl AsRef<str>) -> Dump {
        self.arg(format!("--exclude-table-data={}", pattern.as_ref()))
    }

    /// Only schemas whose name matches the pattern; can be given many times. That there is none is an error.
    pub fn schema(self, pattern: impl AsRef<str>) -> Dump {
        self.arg(format!("--schema={}", pattern.as_ref())).arg_once("--strict-names")
    }

    /// No schemas whose name matches the pattern.
    pub fn exclude_schema(self, pattern: impl AsRef<str>) -> Dump {
        self.arg(format!("--exclude-schema={}", pattern.as_ref()))
    }

    /// Rows as `INSERT` in the place of `COPY`.
    pub fn inserts(self) -> Dump {
        self.arg("--inserts")
    }

    /// Rows as `INSERT` with the columns' names.
    pub fn column_inserts(self) -> Dump {
        self.arg("--column-inserts")
    }

    /// Without commands that set owners.
    pub fn no_owner(self) -> Dump {
        self.arg("--no-owner")
    }

    /// Without `GRANT` and `REVOKE`.
    pub fn no_privileges(self) -> Dump {
        self.arg("--no-privileges")
    }

    /// With commands that drop everything before it is made.
    pub fn clean(self) -> Dump {
        self.arg("--clean")
    }

    /// With commands that make the database itself.
    pub fn create(self) -> Dump {
        self.arg("--create")
    }

    /// With [`clean`](Dump::clean): `DROP ... IF EXISTS`.
    pub fn if_exists(self) -> Dump {
        self.arg("--if-exists")
    }

    /// How many tables are dumped at once, by as many sessions; for [`Format::Directory`].
    pub fn jobs(self, count: u32) -> Dump {
        self.arg(format!("--jobs={count}"))
    }

    /// How the dump is compressed, as `pg_dump --compress` has it: `none`, `gzip:6`, `lz4`, `zstd:3`, or a
    /// number.
    pub fn compress(self, method: impl AsRef<str>) -> Dump {
        self.arg(format!("--compress={}", method.as_ref()))
    }

    /// How long to wait for a table that somebody has locked exclusively; then the dump fails. Forever, unless
    /// told; but ten seconds if the session that the dump was asked of is in a transaction, as nothing else
    /// can end that one meanwhile.
    pub fn lock_timeout(mut self, timeout: Duration) -> Dump {
        self.lock_timeout = Some(timeout);
        self
    }

    /// Lets another thread end it: see [`Cancel`].
    pub fn cancel_with(mut self, cancel: &Cancel) -> Dump {
        self.cancel = Some(cancel.clone());
        self
    }

    /// Any further argument of `pg_dump`.
    pub fn arg(mut self, argument: impl Into<String>) -> Dump {
        self.arguments.push(argument.into());
        self
    }

    fn arg_once(self, argument: &str) -> Dump {
        if self.arguments.iter().any(|known| known == argument) { self } else { self.arg(argument) }
    }

    /// The dump as text.
    ///
    /// # Errors
    ///
    /// [`Error::Tool`] with what `pg_dump` says; [`Error::Usage`] if the format is not
    /// [plain](Format::Plain), and for text in an encoding other than UTF-8.
    pub fn to_string(&self) -> Result<String, Error> {
        if self.format != Format::Plain {
            return Err(Error::usage("only a dump of the plain format is text: use to_vec"));
        }
        String::from_utf8(self.to_vec()?).map_err(|_| {
            Error::usage("the dump is not UTF-8: use to_vec, or set arg(\"--encoding=UTF8\")")
        })
    }

    /// The dump as bytes.
    ///
    /// # Errors
    ///
    /// As [`to_writer`](Dump::to_writer).
    pub fn to_vec(&self) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        self.to_writer(&mut bytes)?;
        Ok(bytes)
    }

    /// Writes the dump, and flushes the writer. After an error what has been written is no dump.
    ///
    /// # Errors
    ///
    /// [`Error::Tool`] with what `pg_dump` says, or if the writer fails; [`Error::Usage`] for
    /// [`Format::Directory`].
    pub fn to_writer(&self, writer: impl Write) -> Result<(), Error> {
        if self.format == Format::Directory {
            return Err(Error::usage("a dump of the format directory is many files: use to_path"));
        }
        let (running, pipes) = self.setup().start(false)?;
        running.read_output(pipes.output, writer)?.check()
    }

    /// Writes the dump to a file, or a directory, which must be empty or missing then. It is on stable storage
    /// on return. After an error what is there is no dump.
    ///
    /// # Errors
    ///
    /// [`Error::Tool`] with what `pg_dump` says, or if the path cannot be used.
    pub fn to_path(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let (directory, name) = split(path.as_ref())?;
        let mut setup = self.setup();
        setup.arguments.push(format!("--file={OUT}/{name}"));
        setup.mounts.push(Mount { host: directory, guest: OUT, read_only: false });
        let (running, pipes) = setup.start(false)?;
        running.read_output(pipes.output, std::io::sink())?.check()
    }

    fn setup(&self) -> Setup<'static> {
        let mut setup = Setup::new(Program::PgDump, Some(self.target.clone()));
        setup.cancel = self.cancel.clone();
        setup.arguments.push(format!("--format={}", self.format.name()));
        if let Some(timeout) = self.lock_timeout {
            setup.arguments.push(format!("--lock-wait-timeout={}", timeout.as_millis()));
        }
        setup.arguments.extend(self.arguments.iter().cloned());
        if self.format == Format::Tar {
            // Each table is in a temporary file before it is in the archive.
            let host = std::env::temp_dir();
            setup.mounts.push(Mount { host, guest: "/tmp", read_only: false });
        }
        setup
    }
}

impl fmt::Debug for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dump")
            .field("format", &self.format)
            .field("arguments", &self.arguments)
            .finish_non_exhaustive()
    }
}
