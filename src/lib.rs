//! A real PostgreSQL 17 inside your process.
//!
//! PostgreSQL itself, compiled to WebAssembly and from there to native code ahead of time, runs in threads
//! of this process: no server to install, no Docker, no port, and nothing to download at run time.
//!
//! ```
//! use pglite_oxide::Pglite;
//!
//! # fn main() -> Result<(), pglite_oxide::Error> {
//! let mut db = Pglite::temporary()?;
//! db.exec("CREATE TABLE planet (name text, moons int)")?;
//! db.execute("INSERT INTO planet VALUES ($1, $2), ('Mars', 2)", &[&"Earth", &1i32])?;
//!
//! for row in db.query("SELECT name, moons FROM planet ORDER BY moons", &[])? {
//!     println!("{} has {}", row.get::<_, &str>("name"), row.get::<_, i32>("moons"));
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Where to look
//!
//! - [`Pglite`] opens a database, in memory or in a directory, and is a session on it.
//! - [`PgliteServer`] serves a database to other clients: SQLx, `tokio-postgres`, Diesel, `psql`, other
//!   languages.
//! - [`Session`] has the methods for SQL: [`exec`](Session::exec), [`query`](Session::query),
//!   [`prepare`](Session::prepare), [`transaction`](Session::transaction), [`copy_in`](Session::copy_in),
//!   [`listen`](Session::listen) and more.
//! - [`testing`] has databases for tests: migrated once, and a copy for every test.
//! - [`Error`] tells whose fault it is; [`SqlState`] has PostgreSQL's codes.
//! - [`types`] is `postgres-types`: which Rust types are which PostgreSQL types.
//!
//! # Behaviour
//!
//! Calls are synchronous and need no runtime; handles are `Send`. In async code, call them from
//! `spawn_blocking` or a thread of their own.
//!
//! A database is a whole PostgreSQL instance: postmaster, checkpointer, WAL writer, autovacuum and the
//! rest run as threads. Dropping a [`Pglite`] ends them all.
//!
//! # Features
//!
//! | feature | what it adds | default |
//! |---|---|---|
//! | `macros` | the attribute [`#[pglite_oxide::test]`](macro@test) | yes |
//! | `tokio` | tests that are `async fn` | no |
//! | `sqlx` | `sqlx::PgPool` as a parameter of tests, for SQLx 0.9; has `tokio` in it | no |
//! | `with-chrono` | conversions for `chrono` 0.4 types | no |
//! | `with-uuid` | conversions for `uuid` 1 | no |
//! | `with-serde_json` | conversions for `serde_json` 1 | no |
//! | `with-time` | conversions for `time` 0.3 types | no |
//! | `tokio-postgres` | asynchronous sessions: a `tokio_postgres::Client` over a stream in this process; has `tokio` in it | no |
//! | `tools` | [`tools`]: `pg_dump`, `pg_restore`, `psql` and `pg_dumpall` inside this process | no |
//! | `tls` | TLS for the clients of a [`PgliteServer`] | no |
//!
//! Platforms: x86-64 Linux with glibc. Elsewhere opening a database is an [`AssetsError`].

#![deny(unsafe_code)]

mod assets;
mod client;
mod cluster;
mod error;
#[allow(unsafe_code, reason = "the kernel owns memory and makes the host's system calls")]
mod kernel;
mod options;
mod pglite;
mod server;
mod snapshot;
mod template;
pub mod testing;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tokio-postgres")]
mod tokio_client;
#[cfg(feature = "tools")]
pub mod tools;

pub use client::{
    CancelHandle, Column, CopyInWriter, CopyOutReader, Description, ExecResult, IsolationLevel,
    Notification, Numeric, ParseNumericError, Row, RowIndex, RowStream, Session, SimpleColumn,
    SimpleRow, Statement, ToStatement, Transaction, TransactionBuilder, TransactionStatus,
    row_to_json,
};
pub use cluster::{DumpFormat, ShutdownMode};
pub use error::*;
pub use options::MountAccess;
pub use pglite::{Pglite, PgliteBuilder};
/// Makes a test of a function, whose parameters are databases: started from a template that is made once.
///
/// A parameter is a [`Pglite`], a [`PgliteServer`], a `String` (the URL of a server), or anything else that is
/// a [`TestParameter`](testing::TestParameter); that of an `async fn` can be an
/// [`AsyncTestParameter`](testing::AsyncTestParameter) too. Each is a database of its own.
///
/// | option | does |
/// |---|---|
/// | `extensions("a", "b")` | [`Template::extension`](testing::Template::extension) for each |
/// | `migrations = "directory"` | [`Template::migrations`](testing::Template::migrations), relative to the directory of `Cargo.toml` |
/// | `setup = path::to::function` | [`Template::setup`](testing::Template::setup) |
/// | `crate = path` | where this crate is, if not at `::pglite_oxide` |
///
/// The function may return what a test may return, and keeps its other attributes. An `async fn` takes the
/// feature `tokio` and runs on the test's thread, as with `#[tokio::test]`.
///
/// If there is no database, the test fails with the reason. One with `#[should_panic]` fails as well.
///
/// # Examples
///
/// ```
/// use pglite_oxide::Pglite;
///
/// fn people(db: &mut Pglite) -> Result<(), pglite_oxide::Error> {
///     db.exec("CREATE TABLE person (name text); INSERT INTO person VALUES ('ada')")?;
///     Ok(())
/// }
///
/// #[pglite_oxide::test(setup = people)]
/// fn there_is_somebody(mut db: Pglite) -> Result<(), pglite_oxide::Error> {
///     assert_eq!(db.query("SELECT name FROM person", &[])?.len(), 1);
///     Ok(())
/// }
/// ```
#[cfg(feature = "macros")]
pub use pglite_oxide_macros::test;
pub use postgres_types as types;
pub use server::{ConnectionParams, PgliteServer, PgliteServerBuilder};
pub use snapshot::Snapshot;
#[cfg(feature = "tls")]
pub use tls::Tls;
#[cfg(feature = "tokio-postgres")]
pub use tokio_client::TokioConnection;

/// The examples of the pages in `docs/` are run with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
#[doc = include_str!("../docs/getting-started.md")]
#[doc = include_str!("../docs/server.md")]
#[doc = include_str!("../docs/options.md")]
#[cfg_attr(feature = "extensions", doc = include_str!("../docs/extensions.md"))]
#[doc = include_str!("../docs/data-safety.md")]
#[doc = include_str!("../docs/errors.md")]
#[doc = include_str!("../docs/types.md")]
struct Pages;

/// The same, of pages on features.
#[cfg(all(doctest, feature = "macros", feature = "tokio"))]
#[doc = include_str!("../docs/testing.md")]
struct TestingPage;
#[cfg(all(doctest, feature = "tls"))]
#[doc = include_str!("../docs/tls.md")]
struct TlsPage;
#[cfg(all(doctest, feature = "tools"))]
#[doc = include_str!("../docs/dump.md")]
struct DumpPage;
