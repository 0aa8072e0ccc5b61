//! Options of a server.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::listen::{self, Address};
use super::{Listening, PgliteServer};
use crate::error::{ConfigError, Error};
use crate::options::{Opened, Options, ServerStart, option_methods};

/// What a Unix socket is named after when there is no TCP port.
const DEFAULT_PORT: u16 = 5432;

/// Options for a server; made by [`PgliteServer::builder`].
///
/// # Examples
///
/// ```
/// use pglite_oxide::PgliteServer;
///
/// # fn main() -> Result<(), pglite_oxide::Error> {
/// let server = PgliteServer::builder()
///     .database("app")
///     .password("correct horse")
///     .max_connections(20)
///     .config("work_mem", "32MB")
///     .start()?;
/// assert!(server.database_url().contains("password=correct%20horse"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PgliteServerBuilder {
    options: Options,
    tcp: Option<SocketAddr>,
    unix: Option<PathBuf>,
    max_connections: Option<u32>,
    password: Option<String>,
    allow_remote: bool,
    #[cfg(feature = "tls")]
    tls: Option<crate::Tls>,
}

impl std::fmt::Debug for PgliteServerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PgliteServerBuilder")
            .field("options", &self.options)
            .field("tcp", &self.tcp)
            .field("unix", &self.unix)
            .finish_non_exhaustive()
    }
}

impl Default for PgliteServerBuilder {
    fn default() -> PgliteServerBuilder {
        PgliteServerBuilder {
            options: Options::default(),
            tcp: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            unix: None,
            max_connections: None,
            password: None,
            allow_remote: false,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

impl PgliteServerBuilder {
    option_methods!();

    /// The TCP address to listen on; port 0 (the default, on 127.0.0.1) takes one that is free.
    ///
    /// An address that other machines can reach needs [`allow_remote`](Self::allow_remote) and a
    /// [`password`](Self::password) too.
    pub fn tcp(mut self, address: impl Into<SocketAddr>) -> Self {
        self.tcp = Some(address.into());
        self
    }

    /// Opens no TCP port.
    pub fn without_tcp(mut self) -> Self {
        self.tcp = None;
        self
    }

    /// Listens on a Unix socket in this directory, which is made if it does not exist. The socket is
    /// named `.s.PGSQL.PORT`, as clients expect; `PORT` is the TCP port, or 5432 without one.
    ///
    /// Only this user can connect to it; with a [`password`](Self::password), others too.
    pub fn unix_socket(mut self, directory: impl AsRef<Path>) -> Self {
        self.unix = Some(directory.as_ref().to_owned());
        self
    }

    /// How many sessions there can be at once (default 100), those in this program included.
    pub fn max_connections(mut self, count: u32) -> Self {
        self.max_connections = Some(count);
        self
    }

    /// Asks clients for this password, which becomes the one of the [`user`](Self::user). They log in by
    /// SCRAM-SHA-256, over TCP and Unix sockets alike; other roles need passwords of their own.
    ///
    /// It is kept (as a verifier) in the data directory, with a `pg_hba.conf` that asks for it, also when
    /// the directory is opened without this option later. A `pg_hba.conf` that is neither PostgreSQL's
    /// original nor written by this library is left as it is. Sessions of this program need no password.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Permits TCP addresses that other machines can reach. It takes a [`password`](Self::password) too.
    pub fn allow_remote(mut self) -> Self {
        self.allow_remote = true;
        self
    }

    /// Offers TLS to clients that come over TCP.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: crate::Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Starts PostgreSQL and listens.
    ///
    /// When this returns, a client's query succeeds.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if options contradict each other or an address is not permitted,
    /// [`Error::Listen`] if a socket cannot be opened, and those of [`Pglite::open`](crate::Pglite::open).
    pub fn start(self) -> Result<PgliteServer, Error> {
        self.launch(None)
    }

    /// Starts PostgreSQL with the database in an archive of
    /// [`dump_data_dir`](crate::Pglite::dump_data_dir), and listens.
    ///
    /// See [`PgliteBuilder::load_data_dir`](crate::PgliteBuilder::load_data_dir).
    ///
    /// # Errors
    ///
    /// Those of [`start`](Self::start) and of
    /// [`PgliteBuilder::load_data_dir`](crate::PgliteBuilder::load_data_dir).
    ///
    /// # Examples
    ///
    /// ```
    /// use pglite_oxide::{DumpFormat, Pglite, PgliteServer};
    ///
    /// # fn main() -> Result<(), pglite_oxide::Error> {
    /// let mut db = Pglite::temporary()?;
    /// db.exec("CREATE TABLE planet AS SELECT 'Earth' AS name")?;
    /// let mut archive = Vec::new();
    /// db.dump_data_dir(&mut archive, DumpFormat::Tar)?;
    ///
    /// let server = PgliteServer::builder().load_data_dir(&archive[..])?;
    /// let row = server.connect()?.query_one("SELECT name FROM planet", &[])?;
    /// assert_eq!(row.get::<_, &str>(0), "Earth");
    /// # Ok(())
    /// # }
    /// ```
    pub fn load_data_dir(self, mut reader: impl Read) -> Result<PgliteServer, Error> {
        self.launch(Some(&mut reader))
    }

    fn launch(self, archive: Option<&mut dyn Read>) -> Result<PgliteServer, Error> {
        self.check().map_err(Error::Config)?;
        // Sockets first: they fail sooner than a start, and give the port that PostgreSQL is told.
        // Clients that come early wait until it has started.
        let mut bound = Vec::new();
        let mut port = DEFAULT_PORT;
        if let Some(address) = self.tcp {
            let tcp = listen::tcp(address)?;
            if let Address::Tcp(address) = &tcp.address {
                port = address.port();
            }
            bound.push(tcp);
        }
        if let Some(directory) = &self.unix {
            bound.push(listen::unix(directory, port, self.password.is_some())?);
        }
        // From here on each socket file is removed when its value is dropped.
        let bound: Vec<_> = bound
            .into_iter()
            .map(|bound| (bound.listener, Listening::new(bound.address)))
            .collect();

        let mut start = ServerStart {
            port: Some(port),
            password: self.password.clone(),
            ..ServerStart::default()
        };
        if let Some(count) = self.max_connections {
            start.settings.push(("max_connections".into(), count.to_string()));
        }
        self.add_tls(&mut start)?;
        let Opened { cluster, session, access, runtime } = self.options.open(&start, archive)?;
        drop(session);
        let mut server = PgliteServer::new(cluster, access, runtime, self.password.clone(), true);
        server.tls = self.has_tls();
        server.allow_remote = self.allow_remote && self.password.is_some();
        for (listener, listening) in bound {
            server.add(listener, listening)?;
        }
        Ok(server)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let conflict = |reason: String| Err(ConfigError::Conflict { reason });
        if self.tcp.is_none() && self.unix.is_none() {
            return conflict(
                "a server without TCP needs a Unix socket; for sessions in this program alone, use \
                 `Pglite`"
                    .into(),
            );
        }
        let remote = self.tcp.filter(|address| !address.ip().is_loopback());
        if let Some(address) = remote
            && (!self.allow_remote || self.password.is_none())
        {
            return conflict(format!(
                "other machines can reach {address}: that takes both `allow_remote()` and a \
                 `password(...)`"
            ));
        }
        match self.password.as_deref() {
            Some("") => return conflict("the password is empty".into()),
            Some(password) if password.contains('\0') => {
                return conflict("the password has a NUL in it".into());
            }
            _ => {}
        }
        Ok(())
    }

    #[cfg(feature = "tls")]
    fn add_tls(&self, start: &mut ServerStart) -> Result<(), Error> {
        if let Some(tls) = &self.tls {
            tls.install(start)?;
        }
        Ok(())
    }

    #[cfg(not(feature = "tls"))]
    fn add_tls(&self, _start: &mut ServerStart) -> Result<(), Error> {
        Ok(())
    }

    fn has_tls(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        return false;
    }
}
