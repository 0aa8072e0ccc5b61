//! [`Snapshot`]: a database at one moment, to start from again and again.

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use crate::assets::{self, Runtime, Unpacked};
use crate::cluster::{Cluster, CopyOptions, Image};
use crate::error::{Error, SnapshotFileError};
use crate::pglite::Pglite;
use crate::server::PgliteServer;

/// A temporary database at one moment: its files, its running PostgreSQL and its session.
///
/// Databases that are started from it begin exactly there, without starting PostgreSQL, in about the time
/// of a query. They share memory with it until they change it, and nothing else: each has its own files,
/// transactions, random numbers and system identifier.
///
/// A snapshot is cheap to clone, and can be used by many threads at once.
///
/// # Examples
///
/// ```
/// use pglite_oxide::Pglite;
///
/// # fn main() -> Result<(), pglite_oxide::Error> {
/// let mut db = Pglite::temporary()?;
/// db.exec("CREATE TABLE item (id int PRIMARY KEY); INSERT INTO item VALUES (1)")?;
/// let migrated = db.snapshot()?;
///
/// let mut one = migrated.start()?;
/// let mut other = migrated.start()?;
/// one.exec("INSERT INTO item VALUES (2)")?;
/// assert_eq!(other.query("SELECT id FROM item", &[])?.len(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Snapshot {
    image: Arc<Image>,
    runtime: Arc<Runtime>,
    /// Of servers.
    password: Option<String>,
}

impl Snapshot {
    pub(crate) fn new(image: Image, runtime: Arc<Runtime>, password: Option<String>) -> Snapshot {
        Snapshot { image: Arc::new(image), runtime, password }
    }

    /// A new database that begins at the moment of the snapshot.
    ///
    /// Its session has what the original's had: settings, temporary tables, prepared statements of SQL
    /// (`PREPARE`), cursors that outlive transactions, advisory locks, and the channels it listens on.
    ///
    /// # Errors
    ///
    /// [`Error::Start`] if the host has no room for a further process (memory, threads, descriptors).
    pub fn start(&self) -> Result<Pglite, Error> {
        let (cluster, session) =
            Cluster::from_image(&self.runtime, &self.image, &CopyOptions::default())?;
        let access = self.image.access().clone();
        Ok(Pglite::from_parts(session, cluster, access, self.runtime.clone()))
    }

    /// A server with a new database that begins at the moment of the snapshot, on 127.0.0.1 and a port of
    /// the system's choice. The original's session, with its temporary tables and locks, is not in it.
    ///
    /// # Errors
    ///
    /// As [`start`](Snapshot::start), and [`Error::Listen`] if no socket can be opened.
    ///
    /// # Examples
    ///
    /// ```
    /// use pglite_oxide::Pglite;
    ///
    /// # fn main() -> Result<(), pglite_oxide::Error> {
    /// let mut db = Pglite::temporary()?;
    /// db.exec("CREATE TABLE item (id int)")?;
    /// let server = db.snapshot()?.start_server()?;
    /// println!("psql '{}'", server.database_url());
    /// # Ok(())
    /// # }
    /// ```
    pub fn start_server(&self) -> Result<PgliteServer, Error> {
        PgliteServer::from_image(self.runtime.clone(), &self.image, self.password.clone())
    }

    /// Saves the snapshot to a file, so that other processes can [`load`](Snapshot::load) it: with a process
    /// for each test, the database is migrated once. A file of that name is replaced, in one step.
    ///
    /// The file has the size of the database, of what is in its shared buffers, and some 20 MB. It is of use to
    /// the same build of this library only (version and platform); for a copy that lasts, dump the database. A
    /// server's password is not in it, and neither are the contents of directories that were mounted.
    ///
    /// # Errors
    ///
    /// [`Error::SnapshotFile`] if the file cannot be written.
    ///
    /// # Examples
    ///
    /// ```
    /// use pglite_oxide::{Pglite, Snapshot};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("migrated.snapshot");
    /// let mut db = Pglite::temporary()?;
    /// db.exec("CREATE TABLE item (id int)")?;
    /// db.snapshot()?.save(&path)?;
    ///
    /// // In another process:
    /// let mut db = Snapshot::load(&path)?.start()?;
    /// assert_eq!(db.query("SELECT id FROM item", &[])?.len(), 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let identity = assets::identity().map_err(Error::Assets)?;
        self.image.save(path.as_ref(), &identity).map_err(Error::SnapshotFile)
    }

    /// [`save`](Snapshot::save) for who has an own way to give a complete file its name.
    #[cfg_attr(not(feature = "macros"), allow(dead_code, reason = "for templates of tests"))]
    pub(crate) fn write(&self, path: &Path) -> Result<(), Error> {
        let identity = assets::identity().map_err(Error::Assets)?;
        File::create(path).and_then(|file| self.image.write(file, &identity)).map_err(|source| {
            Error::SnapshotFile(SnapshotFileError::Io { path: path.to_owned(), source })
        })
    }

    /// Loads a snapshot that was [saved](Snapshot::save) to a file.
    ///
    /// The file is mapped, not read: it can be replaced or removed meanwhile, but not be written to. Its
    /// contents are compared with the hash in it. That finds damage, not malice: it is memory of a program,
    /// so load a file only from where you would load a program.
    ///
    /// # Errors
    ///
    /// [`Error::SnapshotFile`] if there is no such file, it is damaged, or another build has written it.
    pub fn load(path: impl AsRef<Path>) -> Result<Snapshot, Error> {
        let path = path.as_ref();
        let failed = |error: SnapshotFileError| Error::SnapshotFile(error);
        let bytes = Unpacked::open(path)
            .map_err(|source| failed(SnapshotFileError::Io { path: path.to_owned(), source }))?;
        let identity = assets::identity().map_err(Error::Assets)?;
        let image = Image::load(bytes, &identity, false)
            .map_err(|unusable| failed(unusable.of_file(path)))?;
        let runtime = Runtime::load(None, None).map_err(Error::Assets)?;
        Ok(Snapshot::new(image, runtime, None))
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("access", self.image.access()).finish_non_exhaustive()
    }
}
