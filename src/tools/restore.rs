//! [`Restore`]: a database from a dump, by `pg_restore` or `psql`.

use std::fmt;
use std::io::{self, Read};
use std::path::Path;

use super::dump::Format;
use super::run::{MEMORY, Mount, Setup, Target, split};
use super::{Cancel, Program};
use crate::error::{Error, ToolError};

/// Where the directory of the dump is mounted.
const IN: &str = "/in";

/// The first bytes of the custom format.
const CUSTOM_MAGIC: &[u8] = b"PGDMP";

/// The first member of an archive of the format tar, and that of a directory.
const CONTENTS: &str = "toc.dat";

/// The latter may be compressed.
const CONTENTS_ENDINGS: [&str; 4] = ["", ".gz", ".lz4", ".zst"];

/// As much of a dump as tells its format.
const HEAD: usize = 512;

/// Options of a restore into a database, made by [`Pglite::restore`](crate::Pglite::restore).
///
/// The dump's form is recognised: SQL, and the archives of `pg_dump`. It stops at the first error; what was
/// restored before stays, unless it is a [`single_transaction`](Restore::single_transaction).
///
/// A dump is code: who runs it gives it all rights of the role that restores it.
///
/// # Examples
///
/// ```
/// use pglite_oxide::Pglite;
///
/// # fn main() -> Result<(), pglite_oxide::Error> {
/// let mut db = Pglite::temporary()?;
/// db.restore().single_transaction().from_bytes("CREATE TABLE planet (name text);")?;
/// assert!(db.query("SELECT name FROM planet", &[])?.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a dump is restored when one of the last methods is called"]
pub struct Restore {
    target: Target,
    format: Option<Format>,
    single_transaction: bool,
    jobs: Option<u32>,
    cancel: Option<Cancel>,
    /// Of `pg_restore` only.
    arguments: Vec<String>,
}

impl Restore {
    pub(crate) fn new(target: Target) -> Restore {
        Restore {
            target,
            format: None,
            single_transaction: false,
            jobs: None,
            cancel: None,
            arguments: Vec::new(),
        }
    }

    /// The form, if it shall not be recognised.
    pub fn format(mut self, format: Format) -> Restore {
        self.format = Some(format);
        self
    }

    /// Another database of the cluster.
    pub fn database(mut self, name: impl Into<String>) -> Restore {
        self.target.access.database = name.into();
        self
    }

    /// All or nothing.
    pub fn single_transaction(mut self) -> Restore {
        self.single_transaction = true;
        self
    }

    /// How many sessions restore at once; for archives of the formats custom and directory.
    pub fn jobs(mut self, count: u32) -> Restore {
        self.jobs = Some(count);
        self
    }

    /// No rows. For archives, as are all options below.
    pub fn schema_only(self) -> Restore {
        self.arg("--schema-only")
    }

    /// Rows only, no definitions.
    pub fn data_only(self) -> Restore {
        self.arg("--data-only")
    }

    /// Only this table, view or sequence, by its name; can be given many times.
    pub fn table(self, name: impl AsRef<str>) -> Restore {
        self.arg(format!("--table={}", name.as_ref()))
    }

    /// Only this schema; can be given many times.
    pub fn schema(self, name: impl AsRef<str>) -> Restore {
        self.arg(format!("--schema={}", name.as_ref()))
    }

    /// Without commands that set owners.
    pub fn no_owner(self) -> Restore {
        self.arg("--no-owner")
    }

    /// Without `GRANT` and `REVOKE`.
    pub fn no_privileges(self) -> Restore {
        self.arg("--no-privileges")
    }

    /// Drops everything before it is made.
    pub fn clean(self) -> Restore {
        self.arg("--clean")
    }

    /// With [`clean`](Restore::clean): `DROP ... IF EXISTS`.
    pub fn if_exists(self) -> Restore {
        self.arg("--if-exists")
    }

    /// Makes the database that was dumped, and restores into that.
    pub fn create(self) -> Restore {
        self.arg("--create")
    }

    /// Lets another thread end it: see [`Cancel`].
    pub fn cancel_with(mut self, cancel: &Cancel) -> Restore {
        self.cancel = Some(cancel.clone());
        self
    }

    /// Any further argument of `pg_restore`.
    pub fn arg(mut self, argument: impl Into<String>) -> Restore {
        self.arguments.push(argument.into());
        self
    }

    /// From bytes in memory.
    ///
    /// # Errors
    ///
    /// [`Error::Tool`] with what the tool says; [`Error::Usage`] if options do not fit the format.
    pub fn from_bytes(&self, dump: impl AsRef<[u8]>) -> Result<(), Error> {
        self.from_reader(dump.as_ref())
    }

    /// From a reader, which is read as fast as the database takes it; with [`jobs`](Restore::jobs) it is read
    /// into memory first.
    ///
    /// # Errors
    ///
    /// As [`from_bytes`](Restore::from_bytes), and if the reader fails.
    pub fn from_reader(&self, mut reader: impl Read) -> Result<(), Error> {
        let failed = |error| Error::Tool(ToolError::Read(error));
        let head = read_head(&mut reader).map_err(failed)?;
        let format = self.format.unwrap_or_else(|| recognise(&head));
        let mut reader = head.as_slice().chain(reader);
        let mut setup = self.setup(format)?;
        if self.jobs.is_some() && format != Format::Plain {
            let mut dump = Vec::new();
            reader.read_to_end(&mut dump).map_err(failed)?;
            setup.files.push(("/dump", dump));
            setup.arguments.push(format!("{MEMORY}/dump"));
            let (running, pipes) = setup.start(false)?;
            return running.write_input(pipes, io::empty())?.check();
        }
        if format == Format::Plain {
            setup.arguments.push("--file=-".to_owned());
        }
        let (running, pipes) = setup.start(true)?;
        running.write_input(pipes, reader)?.check()
    }

    /// From a file, or a directory.
    ///
    /// # Errors
    ///
    /// As [`from_bytes`](Restore::from_bytes), and if the path cannot be read.
    pub fn from_path(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        let failed = |source| Error::Tool(ToolError::Path { path: path.to_owned(), source });
        let format = match self.format {
            Some(format) => format,
            None if path.is_dir() => {
                // The tool would name a file by a path that is its own.
                if !CONTENTS_ENDINGS
                    .iter()
                    .any(|end| path.join(format!("{CONTENTS}{end}")).exists())
                {
                    let reason = format!("no dump is in the directory: there is no {CONTENTS}");
                    return Err(failed(io::Error::new(io::ErrorKind::InvalidData, reason)));
                }
                Format::Directory
            }
            None => {
                let mut file = std::fs::File::open(path).map_err(failed)?;
                recognise(&read_head(&mut file).map_err(failed)?)
            }
        };
        let (directory, name) = split(path)?;
        let mut setup = self.setup(format)?;
        let file = format!("{IN}/{name}");
        setup.arguments.push(match format {
            Format::Plain => format!("--file={file}"),
            _ => file,
        });
        setup.mounts.push(Mount { host: directory, guest: IN, read_only: true });
        let (running, pipes) = setup.start(false)?;
        running.write_input(pipes, io::empty())?.check()
    }

    fn setup(&self, format: Format) -> Result<Setup<'static>, Error> {
        if format == Format::Plain {
            if !self.arguments.is_empty() || self.jobs.is_some() {
                return Err(Error::usage(
                    "a dump of the plain format is restored as it is: give these options to the \
                     dump, or dump in another format",
                ));
            }
            let mut setup = Setup::new(Program::Psql, Some(self.target.clone()));
            setup.cancel = self.cancel.clone();
            let arguments = ["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"];
            setup.arguments.extend(arguments.map(str::to_owned));
            if self.single_transaction {
                setup.arguments.push("--single-transaction".to_owned());
            }
            return Ok(setup);
        }
        let mut setup = Setup::new(Program::PgRestore, Some(self.target.clone()));
        setup.cancel = self.cancel.clone();
        setup.arguments.extend([
            format!("--dbname={}", connection_string(&self.target.access.database)),
            format!("--format={}", format.name()),
            "--exit-on-error".to_owned(),
        ]);
        if self.single_transaction {
            setup.arguments.push("--single-transaction".to_owned());
        }
        setup.arguments.extend(self.jobs.map(|count| format!("--jobs={count}")));
        setup.arguments.extend(self.arguments.iter().cloned());
        Ok(setup)
    }
}

/// The name of a database as libpq takes it, whatever is in it: with `=` it would be more than a name.
fn connection_string(database: &str) -> String {
    format!("dbname='{}'", database.replace('\\', r"\\").replace('\'', r"\'"))
}

fn read_head(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(HEAD);
    reader.take(HEAD as u64).read_to_end(&mut head)?;
    Ok(head)
}

fn recognise(head: &[u8]) -> Format {
    if head.starts_with(CUSTOM_MAGIC) {
        Format::Custom
    } else if head.starts_with(CONTENTS.as_bytes()) && head.get(CONTENTS.len()) == Some(&0) {
        Format::Tar
    } else {
        Format::Plain
    }
}

impl fmt::Debug for Restore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Restore")
            .field("format", &self.format)
            .field("arguments", &self.arguments)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_recognised_by_their_first_bytes() {
        assert_eq!(recognise(b"PGDMP\x01\x10"), Format::Custom);
        assert_eq!(recognise(b"toc.dat\0\0\0"), Format::Tar);
        assert_eq!(recognise(b"-- toc.dat"), Format::Plain);
        assert_eq!(recognise(b"toc.data"), Format::Plain);
        assert_eq!(recognise(b""), Format::Plain);
    }

    #[test]
    fn names_of_databases_are_names_only() {
        assert_eq!(connection_string("app"), "dbname='app'");
        assert_eq!(connection_string(r"host=x'\"), r"dbname='host=x\'\\'");
    }
}
