//! [`Pglite`]: a database in this process, with a session on it.

use std::fmt;
use std::io::{Read, Write};
use std::ops::{Deref, DerefMut};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use crate::assets::Runtime;
use crate::client::Session;
use crate::cluster::{Access, Cluster, DumpFormat, ShutdownMode};
use crate::error::Error;
use crate::kernel::Use;
use crate::options::{Opened, Options, ServerStart, option_methods};
use crate::server::PgliteServer;
use crate::snapshot::Snapshot;

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
    cluster: Arc<Cluster>,
    access: Access,
    runtime: Arc<Runtime>,
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

    /// A new database in memory that is what is in an archive of
    /// [`dump_data_dir`](Pglite::dump_data_dir).
    ///
    /// [`PgliteBuilder::load_data_dir`] has the details, and loads one into a directory.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn load_data_dir(reader: impl Read) -> Result<Pglite, Error> {
        Pglite::builder().load_data_dir(reader)
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

    /// A further session on this database, with a backend of its own: independent of this one in
    /// everything, and usable at the same time from another thread.
    ///
    /// It connects to the same database as the same role. It keeps the database running: PostgreSQL
    /// ends when the `Pglite` and all sessions made by it are dropped, or with
    /// [`close`](Pglite::close).
    ///
    /// # Errors
    ///
    /// [`Error::Db`] if PostgreSQL refuses the session (too many connections), and if it has stopped.
    ///
    /// # Examples
    ///
    /// ```
    /// use pglite_oxide::Pglite;
    ///
    /// # fn main() -> Result<(), pglite_oxide::Error> {
    /// let mut db = Pglite::temporary()?;
    /// db.exec("CREATE TABLE job (id int)")?;
    /// let mut other = db.connect()?;
    /// let worker = std::thread::spawn(move || other.execute("INSERT INTO job VALUES (1)", &[]));
    /// worker.join().expect("the worker does not panic")?;
    /// assert_eq!(db.query("SELECT id FROM job", &[])?.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect(&self) -> Result<Session, Error> {
        Cluster::session(&self.cluster, &self.access)
    }

    /// Opens this running database to other clients, on 127.0.0.1 and a port of the system's choice.
    ///
    /// Sessions of this program go on beside. When the returned server is dropped its clients are
    /// disconnected, and the database goes on. Further listeners can be added with
    /// [`listen_tcp`](PgliteServer::listen_tcp) and [`listen_unix`](PgliteServer::listen_unix). Who may
    /// connect is what `pg_hba.conf` says: on this machine everybody, unless the database was made
    /// otherwise.
    ///
    /// # Errors
    ///
    /// [`Error::Listen`] if no socket can be opened.
    ///
    /// # Examples
    ///
    /// ```
    /// use pglite_oxide::Pglite;
    ///
    /// # fn main() -> Result<(), pglite_oxide::Error> {
    /// let mut db = Pglite::temporary()?;
    /// let server = db.server()?;
    /// println!("psql '{}'", server.database_url());
    /// # Ok(())
    /// # }
    /// ```
    pub fn server(&self) -> Result<PgliteServer, Error> {
        PgliteServer::attach(self.cluster.clone(), self.access.clone(), self.runtime.clone())
    }

    pub(crate) fn from_parts(
        session: Session,
        cluster: Arc<Cluster>,
        access: Access,
        runtime: Arc<Runtime>,
    ) -> Pglite {
        Pglite { session, cluster, access, runtime }
    }

    /// This temporary database at this moment, to start further databases from.
    ///
    /// The first time PostgreSQL stands still for some milliseconds or tens of them: its background processes
    /// end (they start again after a second, or when they are needed), and memory is copied. What costs time
    /// from then on is what has changed since the last snapshot, or the one that this database was started from.
    /// All sessions have to be idle and out of any transaction; it is waited some seconds for that. Sessions but
    /// this one are not in a copy.
    ///
    /// # Errors
    ///
    /// [`Error::Snapshot`] in a transaction, while another session is busy, and for a database in a
    /// directory.
    pub fn snapshot(&mut self) -> Result<Snapshot, Error> {
        self.snapshot_for(Use::ManyTimes)
    }

    fn snapshot_for(&mut self, usage: Use) -> Result<Snapshot, Error> {
        let image = self.cluster.capture(&mut self.session, &self.access, usage)?;
        Ok(Snapshot::new(image, self.runtime.clone(), None))
    }

    /// A copy of this temporary database, which goes its own way: [`snapshot`](Pglite::snapshot) and
    /// [`start`](Snapshot::start) in one.
    ///
    /// # Errors
    ///
    /// Those of the two.
    ///
    /// # Examples
    ///
    /// ```
    /// use pglite_oxide::Pglite;
    ///
    /// # fn main() -> Result<(), pglite_oxide::Error> {
    /// let mut db = Pglite::temporary()?;
    /// db.exec("CREATE TABLE item (id int)")?;
    /// let mut copy = db.fork()?;
    /// copy.exec("DROP TABLE item")?;
    /// assert_eq!(db.query("SELECT id FROM item", &[])?.len(), 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn fork(&mut self) -> Result<Pglite, Error> {
        self.snapshot_for(Use::Once)?.start()
    }

    /// Writes a physical copy of the whole database, with all databases, roles and settings of the cluster,
    /// to an archive: a tar archive of its data directory, from which
    /// [`load_data_dir`](PgliteBuilder::load_data_dir) makes temporary and persistent databases alike.
    ///
    /// It can be taken at any time. Other sessions and clients of servers go on, and so does this one, in a
    /// transaction too. What was committed before the call is in the copy, what was not committed before its
    /// end is not; in between each transaction is there as a whole or not at all.
    ///
    /// Not in the copy are the contents of unlogged and temporary tables, as after a crash, replication slots,
    /// and statistics of usage (`pg_stat_*`). The system identifier is the same: it is a copy of the same
    /// database, as of `pg_basebackup`.
    ///
    /// It begins with a checkpoint. After that the files of a temporary database are copied at one
    /// instant, by sharing, and a limited one needs room for what changes while the archive is written. For a
    /// database in a directory the log is kept as long, and is in the archive.
    ///
    /// The writer is flushed, but not synced: call [`File::sync_all`](std::fs::File::sync_all) if a file has
    /// to outlast a power failure. After an error what is in it is no archive.
    ///
    /// # Errors
    ///
    /// [`Error::Dump`] if the writer fails, and if there are tablespaces outside of the data directory;
    /// [`Error::Db`] if PostgreSQL refuses the session that this needs (too many connections), or, for a
    /// database in a directory, the backup (`wal_level=minimal`).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::fs::File;
    /// use pglite_oxide::{DumpFormat, Pglite};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path();
    /// let mut db = Pglite::temporary()?;
    /// db.exec("CREATE TABLE note (words text); INSERT INTO note VALUES ('kept')")?;
    /// let file = File::create(path.join("notes.tar.zst"))?;
    /// db.dump_data_dir(&file, DumpFormat::TarZst)?;
    /// file.sync_all()?;
    ///
    /// let archive = File::open(path.join("notes.tar.zst"))?;
    /// let mut copy = Pglite::builder().path(path.join("notes")).load_data_dir(archive)?;
    /// assert_eq!(copy.query_one("SELECT words FROM note", &[])?.get::<_, &str>(0), "kept");
    /// # Ok(())
    /// # }
    /// ```
    pub fn dump_data_dir(&self, writer: impl Write, format: DumpFormat) -> Result<(), Error> {
        Cluster::dump(&self.cluster, &self.access, writer, format)
    }

    /// Dumps this database by PostgreSQL's `pg_dump`, as SQL or as an archive: see [`Dump`](crate::tools::Dump).
    ///
    /// It has a session of its own, so what this one has not committed is not in it, and this one stays as it
    /// is.
    ///
    /// # Examples
    ///
    /// ```
    /// use pglite_oxide::Pglite;
    ///
    /// # fn main() -> Result<(), pglite_oxide::Error> {
    /// let mut db = Pglite::temporary()?;
    /// db.exec("CREATE TABLE planet (name text)")?;
    /// let sql = db.dump().schema_only().no_owner().to_string()?;
    /// assert!(sql.contains("CREATE TABLE public.planet"));
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "tools")]
    pub fn dump(&self) -> crate::tools::Dump {
        let idle = self.session.transaction_status() == crate::client::TransactionStatus::Idle;
        crate::tools::Dump::new(self.target(), !idle)
    }

    #[cfg(feature = "tools")]
    crate::tools::tool_methods!();

    #[cfg(feature = "tokio-postgres")]
    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    /// Ends the session and shuts PostgreSQL down: everything is written, and the next open needs no
    /// recovery. Other sessions and servers of this database end too.
    ///
    /// # Errors
    ///
    /// If PostgreSQL cannot finish its work, for example on a full disk. What was committed is safe
    /// nevertheless.
    pub fn close(mut self) -> Result<(), Error> {
        if self.cluster.end_unseen() {
            return Ok(());
        }
        // A session that has broken already is no reason not to shut down.
        let _ = self.session.close();
        self.cluster.shut_down(ShutdownMode::Fast)
    }
}

impl Drop for Pglite {
    fn drop(&mut self) {
        // Without other sessions nobody can be left who misses anything, and nothing has to be tidied up.
        if Arc::strong_count(&self.cluster) == 1 {
            self.cluster.end_unseen();
        }
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
#[derive(Debug, Clone, Default)]
pub struct PgliteBuilder {
    options: Options,
}

impl PgliteBuilder {
    option_methods!();

    /// Whether [`mount`](PgliteBuilder::mount) was called.
    pub(crate) fn has_mounts(&self) -> bool {
        !self.options.mounts.is_empty()
    }

    /// What [`cache_dir`](PgliteBuilder::cache_dir) has said.
    pub(crate) fn chosen_cache_dir(&self) -> Option<&Path> {
        self.options.cache_dir.as_deref()
    }

    /// Opens the database.
    ///
    /// # Errors
    ///
    /// As [`Pglite::open`]; [`Error::Config`] if options cannot be used, and [`Error::Db`] if PostgreSQL
    /// refuses the session (no such role).
    pub fn open(self) -> Result<Pglite, Error> {
        self.open_with(None)
    }

    /// Opens a new database that is what is in an archive: one of
    /// [`dump_data_dir`](Pglite::dump_data_dir), or a tar archive of the directory of a closed database. The
    /// archive may be packed with zstd.
    ///
    /// With a [`path`](PgliteBuilder::path) the directory must be empty or missing, and the database is on
    /// stable storage when this returns; an error of the archive leaves nothing of it there. If the process is
    /// killed meanwhile, the directory cannot be opened, but the archive can be loaded again. Without a path
    /// the database is temporary, and a [`memory_limit`](PgliteBuilder::memory_limit) bounds what is loaded
    /// too.
    ///
    /// Archives of `dump_data_dir` have a checksum for each file, and a changed bit is an error. What other
    /// programs have packed is believed.
    ///
    /// A database has code in it (functions, settings, rules for access): load archives of those only whose
    /// programs you would run. An archive cannot write anything outside of the directory.
    ///
    /// # Errors
    ///
    /// [`Error::Load`] if it is not such an archive, is damaged, or comes from another version of PostgreSQL
    /// or from a 64-bit server; [`Error::DataDir`] if the directory is not empty or in use; and those of
    /// [`open`](PgliteBuilder::open).
    ///
    /// # Examples
    ///
    /// ```
    /// use pglite_oxide::{DumpFormat, Pglite};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("db");
    /// let mut db = Pglite::open(&path)?;
    /// db.exec("CREATE TABLE item AS SELECT generate_series(1, 10) AS id")?;
    /// let mut archive = Vec::new();
    /// db.dump_data_dir(&mut archive, DumpFormat::Tar)?;
    ///
    /// // The same database in memory, to try something out.
    /// let mut trial = Pglite::load_data_dir(&archive[..])?;
    /// trial.exec("DELETE FROM item WHERE id > 5")?;
    /// assert_eq!(db.query("SELECT id FROM item", &[])?.len(), 10);
    /// # Ok(())
    /// # }
    /// ```
    pub fn load_data_dir(self, mut reader: impl Read) -> Result<Pglite, Error> {
        self.open_with(Some(&mut reader))
    }

    fn open_with(self, archive: Option<&mut dyn Read>) -> Result<Pglite, Error> {
        let Opened { cluster, session, access, runtime } =
            self.options.open(&ServerStart::default(), archive)?;
        Ok(Pglite { session, cluster, access, runtime })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_can_change_threads() {
        fn is_send<T: Send>() {}
        is_send::<Pglite>();
    }
}
