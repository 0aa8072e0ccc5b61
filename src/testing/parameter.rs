//! What a test can have as a parameter.

use std::error::Error as StdError;

use crate::pglite::Pglite;
use crate::server::PgliteServer;
use crate::snapshot::Snapshot;

/// A parameter and what has to outlive it, or why there is none.
pub type StartResult<T, G> = Result<(T, G), Box<dyn StdError + Send + Sync>>;

/// What a test with the attribute `#[pglite_oxide::test]` can have as a parameter.
///
/// Each parameter is a database of its own.
///
/// | type | is |
/// |---|---|
/// | [`Pglite`] | a database and a session on it |
/// | [`PgliteServer`] | a server, for any number of clients |
/// | `String` | the URL of a server that lives as long as the test |
///
/// and every [`AsyncTestParameter`], in an `async fn`. Implement the trait for types of your own.
///
/// # Examples
///
/// ```
/// use pglite_oxide::testing::{StartResult, TestParameter};
/// use pglite_oxide::{PgliteServer, Snapshot};
///
/// /// The program that is tested.
/// struct Shop {
///     client: postgres::Client,
/// }
///
/// impl TestParameter for Shop {
///     type Guard = PgliteServer;
///
///     fn start(snapshot: &Snapshot) -> StartResult<Shop, PgliteServer> {
///         let server = snapshot.start_server()?;
///         let client = postgres::Client::connect(&server.database_url(), postgres::NoTls)?;
///         Ok((Shop { client }, server))
///     }
/// }
///
/// #[pglite_oxide::test]
/// fn sells(mut shop: Shop) {
///     shop.client.batch_execute("SELECT 1").unwrap();
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of a test with `#[pglite_oxide::test]`",
    label = "not a `TestParameter`",
    note = "a test can have `Pglite`, `PgliteServer`, and `String` for a URL; an `async fn` also \
            `tokio_postgres::Client` (feature `tokio-postgres`) and `sqlx::PgPool` (feature `sqlx`)",
    note = "implement `pglite_oxide::testing::TestParameter` for a type of your own"
)]
pub trait TestParameter: Sized {
    /// What has to live until the test has ended. It is dropped after the parameter.
    type Guard;

    /// Starts a database from the template of the test.
    ///
    /// # Errors
    ///
    /// If it cannot be started or connected to. The test fails with the message.
    fn start(snapshot: &Snapshot) -> StartResult<Self, Self::Guard>;
}

/// What an asynchronous test can have as a parameter: every [`TestParameter`], and
///
/// | type | is |
/// |---|---|
/// | `tokio_postgres::Client` | a session without a socket; feature `tokio-postgres` |
/// | `sqlx::PgPool` | a pool on a server of its own; feature `sqlx`, for SQLx 0.9 |
///
/// It is started within the Tokio run time of the test.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of a test with `#[pglite_oxide::test]`",
    label = "neither an `AsyncTestParameter` nor a `TestParameter`",
    note = "an asynchronous test can have `Pglite`, `PgliteServer`, `String` for a URL, \
            `tokio_postgres::Client` (feature `tokio-postgres`) and `sqlx::PgPool` (feature `sqlx`, for \
            SQLx 0.9)",
    note = "implement `pglite_oxide::testing::AsyncTestParameter` for a type of your own"
)]
pub trait AsyncTestParameter: Sized {
    /// What has to live until the test has ended. It is dropped after the parameter.
    type Guard;

    /// Starts a database from the template of the test.
    ///
    /// # Errors
    ///
    /// If it cannot be started or connected to. The test fails with the message.
    fn start_async(snapshot: &Snapshot) -> impl Future<Output = StartResult<Self, Self::Guard>>;
}

impl<T: TestParameter> AsyncTestParameter for T {
    type Guard = T::Guard;

    async fn start_async(snapshot: &Snapshot) -> StartResult<T, T::Guard> {
        T::start(snapshot)
    }
}

impl TestParameter for Pglite {
    type Guard = ();

    fn start(snapshot: &Snapshot) -> StartResult<Pglite, ()> {
        Ok((snapshot.start()?, ()))
    }
}

impl TestParameter for PgliteServer {
    type Guard = ();

    fn start(snapshot: &Snapshot) -> StartResult<PgliteServer, ()> {
        Ok((snapshot.start_server()?, ()))
    }
}

/// A URL, and the server behind it.
impl TestParameter for String {
    type Guard = PgliteServer;

    fn start(snapshot: &Snapshot) -> StartResult<String, PgliteServer> {
        let server = snapshot.start_server()?;
        Ok((server.database_url(), server))
    }
}

#[cfg(feature = "tokio-postgres")]
impl AsyncTestParameter for tokio_postgres::Client {
    type Guard = Pglite;

    async fn start_async(snapshot: &Snapshot) -> StartResult<tokio_postgres::Client, Pglite> {
        let db = snapshot.start()?;
        let (client, connection) = db.tokio_client().await?;
        // It ends with the client. Errors of the connection are errors of the client's calls.
        tokio::spawn(connection);
        Ok((client, db))
    }
}

#[cfg(feature = "sqlx")]
impl AsyncTestParameter for sqlx::PgPool {
    type Guard = PgliteServer;

    async fn start_async(snapshot: &Snapshot) -> StartResult<sqlx::PgPool, PgliteServer> {
        let server = snapshot.start_server()?;
        let pool = sqlx::PgPool::connect(&server.database_url()).await?;
        Ok((pool, server))
    }
}
