//! [`Pglite`]: a database in this process, with a session on it.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::assets::Runtime;
use crate::client::{ConnectOptions, Session};
use crate::cluster::{Cluster, HostMount, RESERVED_PATHS, Storage};
use crate::error::{ConfigError, Error, SqlState};

/// A PostgreSQL database that runs inside this process, and a session on it.
///
/// The methods for SQL are those of [`Session`], which this type dereferences to. `Pglite` is `Send`:
/// it can be moved to another thread, kept in a `Mutex`, or used in `spawn_blocking`.
///
/// # Ending
///
/// [`close`](Pglite::close) shuts PostgreSQL down cleanly. Dropping a `Pglite` stops it at once, as a
/// power failure would: what was committed is safe, and the next open recovers it from the log.
///
/// # Examples
///
/// ```
/// use pglite_oxide::Pglite;
///
/// # fn main() -> Result<(), pglite_oxide::Error> {
/// let mut db = Pglite::temporary()?;
/// db.exec("CREATE TABLE greeting (id int, words text)")?;
/// db.execute("INSERT INTO greeting VALUES ($1, $2)", &[&1i32, &"hello"])?;
/// let row = db.query_one("SELECT words FROM greeting WHERE id = $1", &[&1i32])?;
/// assert_eq!(row.get::<_, &str>("words"), "hello");
/// # Ok(())
/// # }
/// ```
pub struct Pglite {
    // Before the cluster, so that the connection is closed first.
    session: Session,
    cluster: Cluster,
}

impl Pglite {
    /// A new database in memory; it is gone when this value is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Assets`] if the runtime cannot be unpacked or loaded, [`Error::Start`] if PostgreSQL
    /// does not start.
    pub fn temporary() -> Result<Pglite, Error> {
        Pglite::builder().open()
    }

    /// Opens the database in a directory, and makes one if the directory is empty or missing.
    ///
    /// The directory is a plain PostgreSQL data directory. Commits are on stable storage when they
    /// return. Only one opener at a time can have it, on the whole machine.
    ///
    /// # Errors
    ///
    /// [`Error::DataDir`] if the directory is in use, is not a database, or belongs to another major
    /// version; [`Error::Start`] with PostgreSQL's own message if it does not start. Nothing in the
    /// directory is changed in these cases, except what crash recovery changes.
    ///
    /// # Examples
    ///
    /// ```
    /// use pglite_oxide::Pglite;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("db");
    /// let mut db = Pglite::open(&path)?;
    /// db.exec("CREATE TABLE note (words text); INSERT INTO note VALUES ('kept')")?;
    /// db.close()?;
    ///
    /// let mut db = Pglite::open(&path)?;
    /// let row = db.query_one("SELECT words FROM note", &[])?;
    /// assert_eq!(row.get::<_, &str>(0), "kept");
    /// # Ok(())
    /// # }
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Pglite, Error> {
        Pglite::builder().path(path).open()
    }

    /// Opens a database with options.
    pub fn builder() -> PgliteBuilder {
        PgliteBuilder::default()
    }

    /// A stream to a new backend of this database, as a TCP connection to a server would be.
    ///
    /// It speaks PostgreSQL's wire protocol from the start-up message on, for clients that bring their
    /// own implementation of it. The stream lives in this process; no port or socket file is involved.
    /// Local connections are trusted.
    ///
    /// # Errors
    ///
    /// If PostgreSQL has stopped.
    pub fn connect_raw(&self) -> Result<UnixStream, Error> {
        self.cluster.connect()
    }

    /// Ends the session and shuts PostgreSQL down: everything is written, and the next open needs no
    /// recovery.
    ///
    /// # Errors
    ///
    /// If PostgreSQL cannot finish its work, for example on a full disk. What was committed is safe
    /// nevertheless.
    pub fn close(mut self) -> Result<(), Error> {
        // A session that has broken already is no reason not to shut down.
        let _ = self.session.close();
        self.cluster.shut_down()
    }
}

impl Deref for Pglite {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl DerefMut for Pglite {
    fn deref_mut(&mut self) -> &mut Session {
        &mut self.session
    }
}

impl fmt::Debug for Pglite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pglite")
            .field("backend_pid", &self.session.backend_pid())
            .finish_non_exhaustive()
    }
}

/// Options for opening a database; made by [`Pglite::builder`].
///
/// # Examples
///
/// ```
/// use pglite_oxide::Pglite;
///
/// # fn main() -> Result<(), pglite_oxide::Error> {
/// let mut db = Pglite::builder()
///     .database("app")
///     .config("work_mem", "32MB")
///     .config("statement_timeout", "5s")
///     .open()?;
/// assert_eq!(db.query_one("SELECT current_database()", &[])?.get::<_, String>(0), "app");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct PgliteBuilder {
    path: Option<PathBuf>,
    memory_limit: Option<u64>,
    cache_dir: Option<PathBuf>,
    database: String,
    user: String,
    encoding: Option<String>,
    locale: Option<String>,
    settings: Vec<(String, String)>,
    mounts: Vec<HostMount>,
}

/// What PostgreSQL may do with a directory of [`PgliteBuilder::mount`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountAccess {
    /// Its files can be read.
    ReadOnly,
    /// Files can be made, changed and removed too.
    ReadWrite,
}

impl Default for PgliteBuilder {
    fn default() -> PgliteBuilder {
        PgliteBuilder {
            path: None,
            memory_limit: None,
            cache_dir: None,
            database: DEFAULT_DATABASE.into(),
            user: "postgres".into(),
            encoding: None,
            locale: None,
            settings: Vec::new(),
            mounts: Vec::new(),
        }
    }
}

const DEFAULT_DATABASE: &str = "postgres";

impl PgliteBuilder {
    /// Opens the database in this directory, as [`Pglite::open`] does.
    pub fn path(mut self, path: impl AsRef<Path>) -> PgliteBuilder {
        self.path = Some(path.as_ref().to_owned());
        self
    }

    /// A new database in memory, as [`Pglite::temporary`] makes it. This is the default.
    pub fn temporary(mut self) -> PgliteBuilder {
        self.path = None;
        self
    }

    /// Limits what a temporary database may write, in bytes. Beyond it PostgreSQL reports
    /// [`DISK_FULL`](SqlState::DISK_FULL), and the session goes on. The write-ahead log, which is kept
    /// below about 32 MB then, does not count. Without a limit a database can take all memory there is.
    pub fn memory_limit(mut self, bytes: u64) -> PgliteBuilder {
        self.memory_limit = Some(bytes);
        self
    }

    /// The database to connect to (default `postgres`). It is created if it does not exist.
    pub fn database(mut self, name: impl Into<String>) -> PgliteBuilder {
        self.database = name.into();
        self
    }

    /// The role to connect as (default `postgres`, the superuser). It must exist.
    pub fn user(mut self, name: impl Into<String>) -> PgliteBuilder {
        self.user = name.into();
        self
    }

    /// Sets a configuration parameter of the server, stronger than `postgresql.conf`, for this run.
    ///
    /// PostgreSQL checks it: a name or value it does not know is an [`Error::Start`] when the database
    /// is opened. The parameters that connect PostgreSQL with this library cannot be set.
    pub fn config(mut self, name: impl Into<String>, value: impl Into<String>) -> PgliteBuilder {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Shows PostgreSQL a directory of the host at the absolute path `guest`, which it sees no other
    /// file of: for `COPY ... FROM 'file'`, `COPY ... TO 'file'`, `pg_read_file` and large objects.
    ///
    /// Symbolic links in the directory cannot lead out of it. The mount lasts as long as the database
    /// is open; the path cannot be in PostgreSQL's own directories.
    ///
    /// # Examples
    ///
    /// ```
    /// use pglite_oxide::{MountAccess, Pglite};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// std::fs::write(dir.path().join("moons.csv"), "Earth,1\nMars,2\n")?;
    /// let mut db =
    ///     Pglite::builder().mount(dir.path(), "/import", MountAccess::ReadOnly).open()?;
    /// db.exec("CREATE TABLE planet (name text, moons int)")?;
    /// db.exec("COPY planet FROM '/import/moons.csv' (FORMAT csv)")?;
    /// # assert_eq!(db.query_one("SELECT sum(moons) FROM planet", &[])?.get::<_, i64>(0), 3);
    /// # Ok(())
    /// # }
    /// ```
    pub fn mount(
        mut self,
        host: impl AsRef<Path>,
        guest: impl Into<String>,
        access: MountAccess,
    ) -> PgliteBuilder {
        self.mounts.push(HostMount {
            host: host.as_ref().to_owned(),
            guest: guest.into(),
            read_only: access == MountAccess::ReadOnly,
        });
        self
    }

    /// The encoding of a database that has to be created (default `UTF8`). With another one the
    /// default locale is `C`.
    pub fn encoding(mut self, encoding: impl Into<String>) -> PgliteBuilder {
        self.encoding = Some(encoding.into());
        self
    }

    /// The locale of a database that has to be created: `C.UTF-8` (the default: PostgreSQL's built-in
    /// one, which sorts by code point and knows the letter cases of Unicode) or `C`.
    pub fn locale(mut self, locale: impl Into<String>) -> PgliteBuilder {
        self.locale = Some(locale.into());
        self
    }

    /// Where the runtime is unpacked, once for all databases. The default is `pglite-oxide` in the
    /// user's cache directory, or what the environment variable `PGLITE_OXIDE_CACHE_DIR` says. If it
    /// cannot be written to, the runtime is unpacked to memory.
    ///
    /// It has an effect on the first database that a process opens; the others share its runtime.
    pub fn cache_dir(mut self, path: impl AsRef<Path>) -> PgliteBuilder {
        self.cache_dir = Some(path.as_ref().to_owned());
        self
    }

    /// Opens the database.
    ///
    /// # Errors
    ///
    /// As [`Pglite::open`]; [`Error::Config`] if options cannot be used, and [`Error::Db`] if PostgreSQL
    /// refuses the session (no such role).
    pub fn open(self) -> Result<Pglite, Error> {
        self.check()?;
        let runtime = Runtime::load(self.cache_dir.as_deref()).map_err(Error::Assets)?;
        let storage = match &self.path {
            Some(path) => Storage::Directory(path),
            None => Storage::Temporary { limit: self.memory_limit },
        };
        let cluster = Cluster::start(&runtime, storage, &self.settings, &self.mounts)?;
        if cluster.is_new() && self.template_options().is_some() {
            self.replace_default_database(&cluster)?;
        }
        let session = match self.connect(&cluster, &self.database) {
            Err(error) if error.sqlstate() == Some(&SqlState::INVALID_CATALOG_NAME) => {
                self.create_database(&cluster, DEFAULT_DATABASE, &self.database)?;
                self.connect(&cluster, &self.database)?
            }
            other => other?,
        };
        Ok(Pglite { session, cluster })
    }

    fn check(&self) -> Result<(), Error> {
        let conflict =
            |reason: &str| Error::Config(ConfigError::Conflict { reason: reason.into() });
        if self.path.is_some() && self.memory_limit.is_some() {
            return Err(conflict("a memory limit is for temporary databases, not for a path"));
        }
        if self.path.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
            return Err(conflict("the path is empty; use \".\" for the current directory"));
        }
        for (name, value) in &self.settings {
            check_setting(name, value).map_err(Error::Config)?;
        }
        for mount in &self.mounts {
            check_mount_point(&mount.guest).map_err(Error::Config)?;
        }
        Ok(())
    }

    fn connect(&self, cluster: &Cluster, database: &str) -> Result<Session, Error> {
        let options = ConnectOptions {
            user: self.user.clone(),
            database: database.to_owned(),
            application_name: Some("pglite-oxide".into()),
            ..ConnectOptions::default()
        };
        Session::connect(cluster.connect()?, &options, cluster.canceller())
    }

    /// The part of CREATE DATABASE that differs from the template, if any.
    fn template_options(&self) -> Option<String> {
        if self.encoding.is_none() && self.locale.is_none() {
            return None;
        }
        let mut options = " TEMPLATE template0".to_owned();
        if let Some(encoding) = &self.encoding {
            options += &format!(" ENCODING {}", quote(encoding, '\''));
        }
        options += &match self.locale.as_deref() {
            Some("C") => " LOCALE_PROVIDER libc LOCALE 'C'".to_owned(),
            // The built-in locale exists for this encoding only.
            None if !self.is_utf8() => " LOCALE_PROVIDER libc LOCALE 'C'".to_owned(),
            locale => format!(
                " LOCALE_PROVIDER builtin BUILTIN_LOCALE {} LC_COLLATE 'C' LC_CTYPE 'C'",
                quote(locale.unwrap_or("C.UTF-8"), '\'')
            ),
        };
        Some(options)
    }

    fn is_utf8(&self) -> bool {
        self.encoding
            .as_deref()
            .is_none_or(|name| ["utf8", "utf-8"].iter().any(|utf8| name.eq_ignore_ascii_case(utf8)))
    }

    fn create_database(&self, cluster: &Cluster, from: &str, name: &str) -> Result<(), Error> {
        let options = self.template_options().unwrap_or_default();
        let mut session = self.connect(cluster, from)?;
        session.exec(&format!("CREATE DATABASE {}{options}", quote(name, '"')))?;
        session.close()
    }

    /// Makes the database that everybody connects to by default the way the options ask for.
    fn replace_default_database(&self, cluster: &Cluster) -> Result<(), Error> {
        let mut session = self.connect(cluster, "template1")?;
        session.exec(&format!("DROP DATABASE {DEFAULT_DATABASE}"))?;
        session.close()?;
        self.create_database(cluster, "template1", DEFAULT_DATABASE)
    }
}

fn quote(text: &str, quote: char) -> String {
    format!("{quote}{}{quote}", text.replace(quote, &format!("{quote}{quote}")))
}

/// Settings that the library itself makes.
const RESERVED: &[(&str, &str)] = &[
    ("data_directory", "use the builder's `path`"),
    ("listen_addresses", "sessions are in this process"),
    ("unix_socket_directories", "sessions are in this process"),
    ("port", "sessions are in this process"),
    ("dynamic_shared_memory_type", "only System V segments are shared by all processes"),
    ("log_line_prefix", "the library reads the log and passes it on to `tracing`"),
    ("log_destination", "the library reads the log and passes it on to `tracing`"),
    ("logging_collector", "the library reads the log and passes it on to `tracing`"),
];

fn check_setting(name: &str, value: &str) -> Result<(), ConfigError> {
    let invalid =
        |reason: &str| ConfigError::InvalidName { name: name.into(), reason: reason.into() };
    let valid_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
    if name.is_empty() || !name.bytes().all(valid_byte) {
        return Err(invalid("a name has letters, digits, underscores and dots"));
    }
    if let Some((_, why)) =
        RESERVED.iter().find(|(reserved, _)| name.eq_ignore_ascii_case(reserved))
    {
        return Err(invalid(why));
    }
    if value.contains('\0') {
        return Err(ConfigError::InvalidValue {
            name: name.into(),
            value: value.into(),
            reason: "it has a NUL in it".into(),
        });
    }
    Ok(())
}

fn check_mount_point(path: &str) -> Result<(), ConfigError> {
    let conflict = |reason: &str| {
        Err(ConfigError::Conflict {
            reason: format!("nothing can be mounted at \"{path}\": {reason}"),
        })
    };
    let Some(parts) = path.strip_prefix('/') else {
        return conflict("the path is not absolute");
    };
    if path.contains('\0') || parts.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return conflict("the path is not a plain one");
    }
    let is_within = |outer: &str| {
        path.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if path == "/tmp" || RESERVED_PATHS.iter().any(|reserved| is_within(reserved)) {
        return conflict("the path is PostgreSQL's own");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked() {
        let cases = [
            ("work_mem", "4MB", true),
            ("my.setting", "x", true),
            ("", "x", false),
            ("a b", "x", false),
            ("work_mem=1; x", "x", false),
            ("Port", "1", false),
            ("work_mem", "4\0MB", false),
        ];
        for (name, value, valid) in cases {
            assert_eq!(check_setting(name, value).is_ok(), valid, "{name}={value}");
        }
    }

    #[test]
    fn mount_points_are_checked() {
        let cases = [
            ("/import", true),
            ("/tmp/import", true),
            ("/pgdata2", true),
            ("import", false),
            ("/", false),
            ("/a/../pgdata", false),
            ("/a//b", false),
            ("/a/", false),
            ("/tmp", false),
            ("/pgdata", false),
            ("/pgdata/pg_wal", false),
            ("/pglite/share", false),
            ("/dev", false),
        ];
        for (path, valid) in cases {
            assert_eq!(check_mount_point(path).is_ok(), valid, "{path}");
        }
    }

    #[test]
    fn a_handle_can_change_threads() {
        fn is_send<T: Send>() {}
        is_send::<Pglite>();
    }
}
