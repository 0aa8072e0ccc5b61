//! Databases for tests: migrated once, and a copy for every test.
//!
//! The attribute `#[pglite_oxide::test]` is the short way. What is behind it can be used
//! without: with plain `#[test]`, `rstest`, benchmarks.
//!
//! A [`Template`] says how a database is made: extensions, migrations, a setup function.
//! [`Template::snapshot`] makes it, once, and gives a [`Snapshot`] to start databases and servers from. The
//! second thread that asks for the same template gets the same snapshot, and another process, now or later,
//! gets it from a file in the [cache](crate::PgliteBuilder::cache_dir). *The same* goes by contents: of the
//! files, of this library, and of the test program if there is a setup function. Where no file can be written
//! each process makes its own.
//!
//! Files of templates that have changed are removed when a newer one is made, all but the last few, and those
//! that nobody has used for two weeks; all together take 1 GB at most. They can be deleted at any time:
//! `templates` in the cache.
//!
//! # Examples
//!
//! ```
//! use pglite_oxide::testing::Template;
//! use pglite_oxide::Pglite;
//!
//! fn people(db: &mut Pglite) -> Result<(), pglite_oxide::Error> {
//!     db.exec("CREATE TABLE person (name text); INSERT INTO person VALUES ('ada')")?;
//!     Ok(())
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut db = Template::new().setup(people).snapshot()?.start()?;
//! assert_eq!(db.query("SELECT name FROM person", &[])?.len(), 1);
//! # Ok(())
//! # }
//! ```

#[doc(hidden)]
pub mod attribute;
mod error;
mod key;
mod migrations;
mod parameter;
mod sql;
mod store;

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

pub use self::error::{MigrationError, TemplateError, TemplateErrorKind};
pub use self::parameter::{AsyncTestParameter, StartResult, TestParameter};

use self::key::{FunctionId, Key, Parts};
use self::migrations::Migration;
use crate::assets;
use crate::error::Error;
use crate::options::quote;
use crate::pglite::{Pglite, PgliteBuilder};
use crate::snapshot::Snapshot;

/// How a database for tests is made: extensions first, then migrations, then the setup function.
///
/// See the [module](self) for when it is made.
///
/// # Examples
///
/// ```no_run
/// use pglite_oxide::testing::Template;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let migrated = Template::new().migrations("migrations").snapshot()?;
/// let mut db = migrated.start()?;
/// let server = migrated.start_server()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
#[must_use = "a template does nothing until a snapshot is asked for"]
pub struct Template {
    database: PgliteBuilder,
    extensions: Vec<String>,
    migrations: Vec<PathBuf>,
    setup: Option<Setup>,
}

/// A setup function that tells its error as text.
type SetupFunction = dyn Fn(&mut Pglite) -> Result<(), String> + Send + Sync;

#[derive(Clone)]
struct Setup {
    id: FunctionId,
    run: Arc<SetupFunction>,
}

impl Template {
    /// An empty temporary database.
    pub fn new() -> Template {
        Template::default()
    }

    /// The options of the temporary database to begin with, such as its name or PostgreSQL's settings.
    ///
    /// # Examples
    ///
    /// ```
    /// use pglite_oxide::Pglite;
    /// use pglite_oxide::testing::Template;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let options = Pglite::builder().database("shop").config("timezone", "Europe/Berlin");
    /// let mut db = Template::new().database(options).snapshot()?.start()?;
    /// assert_eq!(db.query_one("SELECT current_database()", &[])?.get::<_, &str>(0), "shop");
    /// # Ok(())
    /// # }
    /// ```
    pub fn database(mut self, options: PgliteBuilder) -> Template {
        self.database = options;
        self
    }

    /// `CREATE EXTENSION IF NOT EXISTS`.
    pub fn extension(mut self, name: impl Into<String>) -> Template {
        self.extensions.push(name.into());
        self
    }

    /// Runs the files `*.sql` of a directory. Called again, those of one more directory.
    ///
    /// The order is that of their names; names that begin with a version, as SQLx's do
    /// (`20240131120000_create_account.sql`, `2_more.up.sql`), come in the order of these numbers, and before
    /// all others. What ends in `.down.sql` is left out.
    ///
    /// Each file is one transaction, unless it has its own `BEGIN` and `COMMIT`. If its first line is
    /// `-- no-transaction`, its statements run one by one. What migrations change of their session (`SET`,
    /// temporary tables) is undone in the end.
    ///
    /// A relative path is relative to the current directory, which is the package's with `cargo test` and
    /// cargo-nextest.
    pub fn migrations(mut self, directory: impl Into<PathBuf>) -> Template {
        self.migrations.push(directory.into());
        self
    }

    /// Calls a function with the migrated database, to add what tests need beyond migrations.
    ///
    /// What the function does to the session, as with `SET`, is there in each [`Pglite`] that is started
    /// from the template. It must leave no transaction open, in no session. A panic in it counts as an error.
    ///
    /// It has to be a function or a closure that captures nothing (anything else does not compile): two
    /// setups that capture different values could not be told apart.
    ///
    /// # Examples
    ///
    /// Another library's migrations, through a server:
    ///
    /// ```
    /// use pglite_oxide::Pglite;
    /// use pglite_oxide::testing::Template;
    ///
    /// fn migrate(db: &mut Pglite) -> Result<(), Box<dyn std::error::Error>> {
    ///     let server = db.server()?;
    ///     let mut client = postgres::Client::connect(&server.database_url(), postgres::NoTls)?;
    ///     client.batch_execute("CREATE TABLE account (id int)")?;
    ///     Ok(())
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut db = Template::new().setup(migrate).snapshot()?.start()?;
    /// db.exec("INSERT INTO account VALUES (1)")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn setup<F, E>(mut self, function: F) -> Template
    where
        F: Fn(&mut Pglite) -> Result<(), E> + Send + Sync + 'static,
        E: fmt::Display,
    {
        const {
            assert!(
                size_of::<F>() == 0,
                "a setup has to be a function or a closure that captures nothing"
            );
        }
        self.setup = Some(Setup {
            id: FunctionId::of::<F>(),
            // With `#` some errors tell their cause as well.
            run: Arc::new(move |db| function(db).map_err(|error| format!("{error:#}"))),
        });
        self
    }

    /// The database, made and migrated. Only the first call, of all processes, makes it.
    ///
    /// # Errors
    ///
    /// If the template cannot be made; [`TemplateErrorKind`] has the cases. Later calls in this process
    /// return the same error.
    pub fn snapshot(&self) -> Result<Snapshot, TemplateError> {
        let mut files = Vec::new();
        for directory in &self.migrations {
            files.append(&mut migrations::read(directory)?);
        }
        let key = Key::new(&Parts {
            options: format!("{:?}", self.database),
            extensions: &self.extensions,
            directories: &self.migrations,
            migrations: &files,
            setup: self.setup.as_ref().map(|setup| setup.id),
            is_bound: self.database.has_mounts(),
        });
        let chosen = self.database.chosen_cache_dir();
        if chosen.is_some() {
            // A template's file would load it from where the environment says.
            assets::Runtime::load(chosen, None)
                .map_err(|error| TemplateErrorKind::Database(Error::Assets(error)))?;
        }
        let cache = assets::cache_directory(chosen);
        let directory = cache.map(|cache| cache.join("templates"));
        store::get(&key, directory.as_deref(), || self.make(&files))
    }

    fn make(&self, files: &[Migration]) -> Result<Snapshot, TemplateError> {
        let mut db = self.database.clone().open().map_err(TemplateErrorKind::Database)?;
        for name in &self.extensions {
            let sql = format!("CREATE EXTENSION IF NOT EXISTS {}", quote(name, '"'));
            db.exec(&sql)
                .map_err(|error| TemplateErrorKind::Extension { name: name.clone(), error })?;
        }
        for file in files {
            migrations::run(&mut db, file)?;
        }
        if !files.is_empty() {
            db.exec("DISCARD ALL").map_err(TemplateErrorKind::Database)?;
        }
        if let Some(setup) = &self.setup {
            set_up(setup, &mut db)?;
        }
        db.snapshot().map_err(|error| TemplateErrorKind::Snapshot(error).into())
    }
}

/// A test's own assertions in it may fail, and then every test that needs the template shall say so.
fn set_up(setup: &Setup, db: &mut Pglite) -> Result<(), TemplateError> {
    let message = match catch_unwind(AssertUnwindSafe(|| (setup.run)(db))) {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(message)) => message,
        Err(panic) => format!("it panicked: {}", panic_message(&*panic)),
    };
    Err(TemplateErrorKind::Setup { message }.into())
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    match panic.downcast_ref::<String>() {
        Some(message) => message,
        None => panic.downcast_ref::<&str>().copied().unwrap_or("without a message"),
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template")
            .field("database", &self.database)
            .field("extensions", &self.extensions)
            .field("migrations", &self.migrations)
            .field("setup", &self.setup.is_some())
            .finish()
    }
}
