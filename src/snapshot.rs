//! [`Snapshot`]: a database at one moment, to start from again and again.

use std::fmt;
use std::sync::Arc;

use crate::assets::Runtime;
use crate::cluster::{Access, Cluster, Image};
use crate::error::Error;
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
    access: Access,
}

impl Snapshot {
    pub(crate) fn new(image: Image, runtime: Arc<Runtime>, access: Access) -> Snapshot {
        Snapshot { image: Arc::new(image), runtime, access }
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
        let (cluster, session) = Cluster::from_image(&self.runtime, &self.image)?;
        Ok(Pglite::from_parts(session, cluster, self.access.clone(), self.runtime.clone()))
    }

    /// A server with a new database that begins at the moment of the snapshot, on 127.0.0.1 and a port of
    /// the system's choice. The original's session, with its temporary tables and locks, is not in it.
    ///
    /// `SHOW port` says what it said in the original; [`PgliteServer::local_addr`] knows the real one.
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
        let (cluster, session) = Cluster::from_image(&self.runtime, &self.image)?;
        let server = PgliteServer::attach(cluster, self.access.clone(), true)?;
        drop(session);
        Ok(server)
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("access", &self.access).finish_non_exhaustive()
    }
}
