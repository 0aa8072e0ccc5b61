//! [`PgliteServer`]: a database that other programs and other libraries connect to.

mod builder;
mod listen;
mod params;

use std::fmt;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use self::builder::PgliteServerBuilder;
pub use self::params::ConnectionParams;

use self::listen::Address;
use crate::assets::Runtime;
use crate::client::Session;
use crate::cluster::{Access, Cluster, CopyOptions, DumpFormat, Image, ShutdownMode};
use crate::error::{ConfigError, Error, ListenError};
use crate::kernel::{HostListener, ListenerId, Use};
use crate::snapshot::Snapshot;

/// A PostgreSQL server in this process, for clients of any kind: SQLx, `tokio-postgres`, Diesel,
/// SeaORM, `psql`, and other languages.
///
/// Each connection has a PostgreSQL backend of its own, which is served by its own thread; everything
/// that takes several connections works as with any PostgreSQL server.
///
/// # Who can connect
///
/// By default the server listens on 127.0.0.1 and trusts all who reach it, as test databases do: every
/// user of this machine can be its superuser. Set a [`password`](PgliteServerBuilder::password) where
/// that is too much, or use a [Unix socket](PgliteServerBuilder::unix_socket), which only this user can
/// open. Sessions of this program ([`connect`](PgliteServer::connect)) are always trusted.
///
/// # Ending
///
/// Dropping a server shuts PostgreSQL down (mode [`Fast`](ShutdownMode::Fast)): clients are
/// disconnected, whatever they are doing, and a database in a directory is left cleanly closed. This
/// takes milliseconds, or as long as writing out what has changed; after 20 seconds it becomes an
/// [`Immediate`](ShutdownMode::Immediate) shutdown. A server made by
/// [`Pglite::server`](crate::Pglite::server) only closes its sockets and disconnects its clients.
///
/// # Examples
///
/// ```
/// use pglite_oxide::PgliteServer;
///
/// # fn main() -> Result<(), pglite_oxide::Error> {
/// let server = PgliteServer::temporary()?;
/// // Give it to any client: `PgPool::connect(&server.database_url())`, psql, ...
/// println!("{}", server.database_url());
///
/// let mut session = server.connect()?; // or look at it from here
/// session.exec("CREATE TABLE planet (name text)")?;
/// # Ok(())
/// # }
/// ```
pub struct PgliteServer {
    // Before the cluster, so that nobody connects to one that is ending.
    listening: Vec<Listening>,
    cluster: Arc<Cluster>,
    access: Access,
    runtime: Arc<Runtime>,
    password: Option<String>,
    tls: bool,
    allow_remote: bool,
    /// The cluster ends with this server.
    owns_cluster: bool,
}

/// A socket that is listened on.
struct Listening {
    address: Address,
    /// None before it is served.
    id: Option<ListenerId>,
}

impl Listening {
    fn new(address: Address) -> Listening {
        Listening { address, id: None }
    }

    fn tcp(&self) -> Option<SocketAddr> {
        match &self.address {
            Address::Tcp(address) => Some(*address),
            Address::Unix(_) => None,
        }
    }

    fn file(&self) -> Option<&listen::SocketFile> {
        match &self.address {
            Address::Unix(file) => Some(file),
            Address::Tcp(_) => None,
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some(file) = self.file() {
            // It may have been removed with its directory.
            let _ = std::fs::remove_file(file.path());
        }
    }
}

impl PgliteServer {
    /// A server with a new database in memory, on 127.0.0.1 and a port of the system's choice.
    ///
    /// # Errors
    ///
    /// As [`PgliteServerBuilder::start`].
    pub fn temporary() -> Result<PgliteServer, Error> {
        PgliteServer::builder().start()
    }

    /// A server for the database in a directory, on 127.0.0.1 and a port of the system's choice. A
    /// database is made if the directory is empty or missing.
    ///
    /// # Errors
    ///
    /// As [`PgliteServerBuilder::start`].
    pub fn open(path: impl AsRef<Path>) -> Result<PgliteServer, Error> {
        PgliteServer::builder().path(path).start()
    }

    /// A server with options.
    pub fn builder() -> PgliteServerBuilder {
        PgliteServerBuilder::default()
    }

    fn new(
        cluster: Arc<Cluster>,
        access: Access,
        runtime: Arc<Runtime>,
        password: Option<String>,
        owns_cluster: bool,
    ) -> PgliteServer {
        PgliteServer {
            listening: Vec::new(),
            cluster,
            access,
            runtime,
            password,
            tls: false,
            allow_remote: false,
            owns_cluster,
        }
    }

    /// Listens for a cluster that is running already, and is not the server's own.
    pub(crate) fn attach(
        cluster: Arc<Cluster>,
        access: Access,
        runtime: Arc<Runtime>,
    ) -> Result<PgliteServer, Error> {
        let mut server = PgliteServer::new(cluster, access, runtime, None, false);
        server.listen_tcp((std::net::Ipv4Addr::LOCALHOST, 0))?;
        Ok(server)
    }

    /// A server on a cluster from an image.
    pub(crate) fn from_image(
        runtime: Arc<Runtime>,
        image: &Image,
        password: Option<String>,
    ) -> Result<PgliteServer, Error> {
        let bound = listen::tcp((std::net::Ipv4Addr::LOCALHOST, 0).into())?;
        let listening = Listening::new(bound.address);
        let port = listening.tcp().map(|address| address.port());
        let options = CopyOptions { port, ..CopyOptions::default() };
        let (cluster, session) = Cluster::from_image(&runtime, image, &options)?;
        let access = image.access().clone();
        let mut server = PgliteServer::new(cluster, access, runtime, password, true);
        server.add(bound.listener, listening)?;
        // At its end the window is shared, in the way of a server.
        drop(session);
        Ok(server)
    }

    /// This temporary database at this moment, to [start](Snapshot::start_server) others from it.
    ///
    /// All sessions have to be idle and out of any transaction; it is waited some seconds for that. They go
    /// on here, and a copy is without them. Further servers of this database, and TLS, are not in a copy
    /// either; the password is.
    ///
    /// # Errors
    ///
    /// [`Error::Snapshot`] if a session is busy, or the database is in a directory; [`Error::Db`] if there is
    /// no connection left, as it needs one itself.
    ///
    /// # Examples
    ///
    /// ```
    /// use pglite_oxide::PgliteServer;
    ///
    /// # fn main() -> Result<(), pglite_oxide::Error> {
    /// let server = PgliteServer::temporary()?;
    /// // Migrate it by any client, then:
    /// let migrated = server.snapshot()?;
    /// let server_of_a_test = migrated.start_server()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        let mut session = self.connect()?;
        let image = self.cluster.capture(&mut session, &self.access, Use::ManyTimes)?;
        Ok(Snapshot::new(image, self.runtime.clone(), self.password.clone()))
    }

    /// Listens on one more TCP address, from now on; returns it with the port that was chosen if it was
    /// given as 0.
    ///
    /// # Errors
    ///
    /// [`Error::Listen`] if the address cannot be listened on, and [`Error::Config`] if other machines
    /// can reach it and the server was not built with
    /// [`allow_remote`](PgliteServerBuilder::allow_remote) and a password.
    pub fn listen_tcp(&mut self, address: impl Into<SocketAddr>) -> Result<SocketAddr, Error> {
        let address = address.into();
        if !address.ip().is_loopback() && !self.allow_remote {
            return Err(Error::Config(ConfigError::Conflict {
                reason: format!(
                    "other machines can reach {address}: that takes a server built with \
                     `allow_remote()` and a `password(...)`"
                ),
            }));
        }
        let bound = listen::tcp(address)?;
        let listening = Listening::new(bound.address);
        let address = listening.tcp().unwrap_or(address);
        self.add(bound.listener, listening)?;
        Ok(address)
    }

    /// Listens on a Unix socket `DIRECTORY/.s.PGSQL.PORT`, from now on; returns its path.
    ///
    /// Only this user can connect to it, unless the server asks for a password.
    ///
    /// # Errors
    ///
    /// [`Error::Listen`] if the socket cannot be made.
    pub fn listen_unix(
        &mut self,
        directory: impl AsRef<Path>,
        port: u16,
    ) -> Result<PathBuf, Error> {
        let bound = listen::unix(directory.as_ref(), port, self.password.is_some())?;
        let listening = Listening::new(bound.address);
        let path = listening.file().map(listen::SocketFile::path).unwrap_or_default();
        self.add(bound.listener, listening)?;
        Ok(path)
    }

    fn add(&mut self, listener: HostListener, mut listening: Listening) -> Result<(), Error> {
        let id = self.cluster.listen(listener).map_err(|source| {
            Error::Listen(ListenError::Io { address: listening.address.to_string(), source })
        })?;
        listening.id = Some(id);
        self.listening.push(listening);
        Ok(())
    }

    /// The URL of the server; see [`ConnectionParams::url`] for who understands it.
    ///
    /// It names the TCP address if there is one, else the Unix socket.
    pub fn database_url(&self) -> String {
        self.connection_params().url()
    }

    /// What [`database_url`](PgliteServer::database_url) has in it, in parts.
    pub fn connection_params(&self) -> ConnectionParams {
        let (host, port) = match (self.local_addr(), self.socket_file()) {
            (Some(address), _) => (reachable(address), address.port()),
            (None, Some(file)) => (file.directory.display().to_string(), file.port),
            (None, None) => unreachable!("a server listens on something from its start"),
        };
        ConnectionParams {
            host,
            port,
            user: self.access.user.clone(),
            password: self.password.clone(),
            database: self.access.database.clone(),
            tls: self.tls,
        }
    }

    /// The TCP address it listens on, the first if there are several.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.listening.iter().find_map(Listening::tcp)
    }

    /// The file of the Unix socket it listens on, the first if there are several.
    pub fn socket_path(&self) -> Option<PathBuf> {
        self.socket_file().map(listen::SocketFile::path)
    }

    fn socket_file(&self) -> Option<&listen::SocketFile> {
        self.listening.iter().find_map(Listening::file)
    }

    /// Whether a query would succeed now: asks one, in a session of its own. False while PostgreSQL
    /// recovers from a crash of one of its processes, shuts down, or has no connection left.
    pub fn ready(&self) -> bool {
        self.cluster.is_ready()
            && self.connect().is_ok_and(|mut session| session.exec("SELECT 1").is_ok())
    }

    /// Whether PostgreSQL runs. It ends by itself only if it cannot go on: when it cannot recover from the
    /// crash of one of its processes, for example because the disk is full.
    pub fn is_running(&self) -> bool {
        self.cluster.is_running()
    }

    /// A session of this program, without a socket and without a password.
    ///
    /// # Errors
    ///
    /// [`Error::Db`] if PostgreSQL refuses the session (too many connections), and if it has stopped.
    pub fn connect(&self) -> Result<Session, Error> {
        Cluster::session(&self.cluster, &self.access)
    }

    /// A stream to a new backend, in this process, for clients that bring their own implementation of
    /// PostgreSQL's wire protocol. It is trusted.
    ///
    /// # Errors
    ///
    /// If PostgreSQL has stopped.
    pub fn connect_raw(&self) -> Result<UnixStream, Error> {
        self.cluster.connect()
    }

    /// Writes a physical copy of the whole database, which goes on, to an archive: see
    /// [`Pglite::dump_data_dir`](crate::Pglite::dump_data_dir).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn dump_data_dir(&self, writer: impl Write, format: DumpFormat) -> Result<(), Error> {
        Cluster::dump(&self.cluster, &self.access, writer, format)
    }

    /// Stops the server and waits until it has stopped.
    ///
    /// For a server made by [`Pglite::server`](crate::Pglite::server), whose database goes on, `Smart`
    /// waits for its clients to leave, and the other modes disconnect them.
    ///
    /// # Errors
    ///
    /// If PostgreSQL cannot finish its work, for example on a full disk. What was committed is safe
    /// nevertheless.
    pub fn shutdown(mut self, mode: ShutdownMode) -> Result<(), Error> {
        self.stop_listening();
        if !self.owns_cluster {
            let mut pause = Duration::from_millis(1);
            while mode == ShutdownMode::Smart && self.clients() > 0 {
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(50));
            }
            return Ok(());
        }
        self.owns_cluster = false;
        self.cluster.shut_down(mode)
    }

    /// Dumps the database by PostgreSQL's `pg_dump`, as SQL or as an archive: see [`Dump`](crate::tools::Dump).
    #[cfg(feature = "tools")]
    pub fn dump(&self) -> crate::tools::Dump {
        crate::tools::Dump::new(self.target(), false)
    }

    #[cfg(feature = "tools")]
    crate::tools::tool_methods!();

    #[cfg(feature = "tokio-postgres")]
    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    fn stop_listening(&self) {
        self.ids().for_each(|id| self.cluster.stop_listening(id));
    }

    fn ids(&self) -> impl Iterator<Item = ListenerId> {
        self.listening.iter().filter_map(|listening| listening.id)
    }

    fn clients(&self) -> usize {
        self.ids().map(|id| self.cluster.clients(id)).sum()
    }
}

impl Drop for PgliteServer {
    fn drop(&mut self) {
        self.stop_listening();
        if self.owns_cluster {
            self.cluster.shut_down_in_bounded_time();
        } else {
            self.ids().for_each(|id| self.cluster.disconnect(id));
        }
    }
}

impl fmt::Debug for PgliteServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgliteServer")
            .field("local_addr", &self.local_addr())
            .field("socket_path", &self.socket_path())
            .finish_non_exhaustive()
    }
}

/// An address that a client on this machine can connect to.
fn reachable(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => "127.0.0.1".into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => "::1".into(),
        _ => address.ip().to_string(),
    }
}
