//! Asynchronous sessions: `tokio-postgres` over a stream in this process.

use std::os::unix::net::UnixStream;

use tokio_postgres::{Client, Connection, NoTls, tls::NoTlsStream};

use crate::client::APPLICATION_NAME;
use crate::cluster::Access;
use crate::error::{ConnectionError, Error};
use crate::pglite::Pglite;
use crate::server::PgliteServer;

/// What drives a client of [`Pglite::tokio_client`]: spawn it.
pub type TokioConnection = Connection<tokio::net::UnixStream, NoTlsStream>;

impl Pglite {
    /// A `tokio-postgres` client on this database, over a stream in this process: no port is opened.
    ///
    /// Its backend is one of its own. The client does not keep the database running: keep the `Pglite`.
    /// To cancel a statement, pass a stream of [`connect_raw`](Pglite::connect_raw) to
    /// `CancelToken::cancel_query_raw`.
    ///
    /// # Errors
    ///
    /// [`Error::Connection`] with the error of `tokio-postgres`, and if PostgreSQL has stopped.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime that has its I/O driver enabled.
    ///
    /// # Examples
    ///
    /// ```
    /// use pglite_oxide::Pglite;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let db = tokio::task::spawn_blocking(Pglite::temporary).await??;
    /// let (client, connection) = db.tokio_client().await?;
    /// tokio::spawn(connection);
    /// let row = client.query_one("SELECT 1 + $1", &[&41i32]).await?;
    /// assert_eq!(row.get::<_, i32>(0), 42);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn tokio_client(&self) -> Result<(Client, TokioConnection), Error> {
        connect(self.connect_raw()?, self.access()).await
    }
}

impl PgliteServer {
    /// A `tokio-postgres` client over a stream in this process; see [`Pglite::tokio_client`].
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Panics
    ///
    /// As there.
    pub async fn tokio_client(&self) -> Result<(Client, TokioConnection), Error> {
        connect(self.connect_raw()?, self.access()).await
    }
}

async fn connect(stream: UnixStream, access: &Access) -> Result<(Client, TokioConnection), Error> {
    let stream = stream
        .set_nonblocking(true)
        .and_then(|()| tokio::net::UnixStream::from_std(stream))
        .map_err(ConnectionError::Io)?;
    tokio_postgres::Config::new()
        .user(&access.user)
        .dbname(&access.database)
        .application_name(APPLICATION_NAME)
        .connect_raw(stream, NoTls)
        .await
        .map_err(|error| Error::Connection(ConnectionError::TokioPostgres(Box::new(error))))
}
