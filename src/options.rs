//! Options that a database is opened with, whoever opens it.

mod check;

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use self::check::{PRELOAD, check_module_name, check_mount_point, check_setting};
use crate::assets::{CacheDir, Runtime};
use crate::client::{ConnectOptions, Session};
use crate::cluster::{
    Access, ArchiveSource, Cluster, CopyOptions, DEFAULT_PORT, HostMount, Image, StartOptions,
    Storage,
};
use crate::error::{ConfigError, Error, SqlState};
use crate::kernel::Use;
use crate::template::{self, Kind};

/// The database that every cluster has.
pub(crate) const DEFAULT_DATABASE: &str = "postgres";

/// All databases of a new cluster.
const FIRST_DATABASES: [&str; 3] = [DEFAULT_DATABASE, "template0", "template1"];

/// What PostgreSQL may do with a directory of [`PgliteBuilder::mount`](crate::PgliteBuilder::mount).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountAccess {
    /// Its files can be read.
    ReadOnly,
    /// Files can be made, changed and removed too.
    ReadWrite,
}

/// What [`PgliteBuilder`](crate::PgliteBuilder) and
/// [`PgliteServerBuilder`](crate::PgliteServerBuilder) have in common.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) path: Option<PathBuf>,
    pub(crate) memory_limit: Option<u64>,
    pub(crate) cache_dir: Option<PathBuf>,
    pub(crate) database: String,
    pub(crate) user: String,
    pub(crate) encoding: Option<String>,
    pub(crate) locale: Option<String>,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) mounts: Vec<HostMount>,
    /// Modules that are loaded at the start.
    pub(crate) preload: Vec<String>,
    /// Directories of extensions, beside those that are packed.
    pub(crate) extension_dirs: Vec<PathBuf>,
    /// Whether a temporary database may begin from an image.
    pub(crate) instant: bool,
    /// Whether instances are made ahead of time.
    pub(crate) prepare: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            path: None,
            memory_limit: None,
            cache_dir: None,
            database: DEFAULT_DATABASE.into(),
            user: "postgres".into(),
            encoding: None,
            locale: None,
            settings: Vec::new(),
            mounts: Vec::new(),
            preload: Vec::new(),
            extension_dirs: Vec::new(),
            instant: true,
            prepare: true,
        }
    }
}

/// The methods of a builder that set these options; the builder has them in a field `options`.
macro_rules! option_methods {
    () => {
        /// Opens the database in this directory, and makes one if the directory is empty or missing.
        pub fn path(mut self, path: impl AsRef<std::path::Path>) -> Self {
            self.options.path = Some(path.as_ref().to_owned());
            self
        }

        /// A new database in memory, gone when it is closed. This is the default.
        pub fn temporary(mut self) -> Self {
            self.options.path = None;
            self
        }

        /// Limits what a temporary database may write, in bytes. Beyond it PostgreSQL reports
        /// [`DISK_FULL`](crate::SqlState::DISK_FULL), with a hint that names the limit, and the session
        /// goes on. The write-ahead log, which is kept below about 32 MB then, does not count. Without a
        /// limit a database can take all memory there is.
        pub fn memory_limit(mut self, bytes: u64) -> Self {
            self.options.memory_limit = Some(bytes);
            self
        }

        /// The database to connect to (default `postgres`). It is created if it does not exist.
        pub fn database(mut self, name: impl Into<String>) -> Self {
            self.options.database = name.into();
            self
        }

        /// The role to connect as (default `postgres`, the superuser). It must exist.
        pub fn user(mut self, name: impl Into<String>) -> Self {
            self.options.user = name.into();
            self
        }

        /// Sets a configuration parameter of the server, stronger than `postgresql.conf`, for this run.
        ///
        /// PostgreSQL checks it: a name or value it does not know is an [`Error::Start`](crate::Error::Start)
        /// when the database is opened. The parameters that connect PostgreSQL with this library cannot be
        /// set.
        pub fn config(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
            self.options.settings.push((name.into(), value.into()));
            self
        }

        /// Has PostgreSQL load these modules when it starts (`shared_preload_libraries`), as some extensions
        /// ask for: `pg_stat_statements` and `auto_explain` of those that come with the library.
        ///
        /// # Examples
        ///
        /// ```
        /// use pglite_oxide::Pglite;
        ///
        /// # fn main() -> Result<(), pglite_oxide::Error> {
        /// let mut db = Pglite::builder().preload(["pg_stat_statements"]).open()?;
        /// db.exec("CREATE EXTENSION pg_stat_statements")?;
        /// db.exec("SELECT 1")?;
        /// let calls: i64 = db
        ///     .query_one("SELECT sum(calls)::int8 FROM pg_stat_statements", &[])?
        ///     .get(0);
        /// assert!(calls > 0);
        /// # Ok(())
        /// # }
        /// ```
        pub fn preload(mut self, modules: impl IntoIterator<Item = impl Into<String>>) -> Self {
            self.options.preload.extend(modules.into_iter().map(Into::into));
            self
        }

        /// Adds the extensions in a directory to those that PostgreSQL has: modules in `lib/*.so`, control files
        /// and scripts in `share/extension`, dictionaries in `share/tsearch_data`. What has the name of something
        /// that is there already takes its place.
        ///
        /// **A module is native code that runs in this process**: its file is checked against the hash in it, and it
        /// must have been built for this very core, but what it does is up to who has built it. Name directories
        /// only that you would run programs from.
        ///
        /// # Errors
        ///
        /// Opening fails with [`Error::Assets`](crate::Error::Assets) if there is no extension in the directory, or a
        /// module's file is damaged. A module of another core is an error when it is loaded.
        pub fn extension_dir(mut self, path: impl AsRef<std::path::Path>) -> Self {
            self.options.extension_dirs.push(path.as_ref().to_owned());
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
            host: impl AsRef<std::path::Path>,
            guest: impl Into<String>,
            access: crate::MountAccess,
        ) -> Self {
            self.options.mounts.push(crate::cluster::HostMount {
                host: host.as_ref().to_owned(),
                guest: guest.into(),
                read_only: access == crate::MountAccess::ReadOnly,
            });
            self
        }

        /// The encoding of a database that has to be created (default `UTF8`). With another one the
        /// default locale is `C`.
        pub fn encoding(mut self, encoding: impl Into<String>) -> Self {
            self.options.encoding = Some(encoding.into());
            self
        }

        /// The locale of a database that has to be created: `C.UTF-8` (the default: PostgreSQL's built-in
        /// one, which sorts by code point and knows the letter cases of Unicode) or `C`.
        pub fn locale(mut self, locale: impl Into<String>) -> Self {
            self.options.locale = Some(locale.into());
            self
        }

        /// Whether a temporary database may begin as a copy of one that has just been started (the
        /// default), instead of starting PostgreSQL: about 1 ms instead of 20 ms.
        ///
        /// A copy differs in nothing that a program should notice: see
        /// [COMPAT.md](https://github.com/pglite-oxide/pglite-oxide/blob/main/COMPAT.md). To find out
        /// whether it matters, say `false`.
        pub fn instant_start(mut self, yes: bool) -> Self {
            self.options.instant = yes;
            self
        }

        /// Whether a thread in the background may make WebAssembly instances ahead of time (the default), for
        /// the databases and connections that follow. It begins with the second of a process, keeps two ready
        /// (a megabyte each) and ends when none has been needed for five seconds. With `false` this database,
        /// and copies of it, have none made for them.
        pub fn prepare_instances(mut self, yes: bool) -> Self {
            self.options.prepare = yes;
            self
        }

        /// Where the runtime is unpacked, once for all databases. The default is `pglite-oxide` in the
        /// user's cache directory, or what the environment variable `PGLITE_OXIDE_CACHE_DIR` says. If it
        /// is empty or cannot be written to, the runtime is unpacked to memory.
        ///
        /// It has an effect on the first database that a process opens; the others share its runtime.
        pub fn cache_dir(mut self, path: impl AsRef<std::path::Path>) -> Self {
            self.options.cache_dir = Some(path.as_ref().to_owned());
            self
        }
    };
}
pub(crate) use option_methods;

/// What a server adds to the start of a cluster.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerStart {
    /// Of the listeners; the first server's is what `SHOW port` says.
    pub(crate) port: Option<u16>,
    /// Clients have to know a password.
    pub(crate) password: Option<String>,
    /// Settings of the server's options, weaker than the user's own.
    pub(crate) settings: Vec<(String, String)>,
    /// Files that these settings name: guest path below [`crate::cluster::RUN_DIR`], contents.
    pub(crate) files: Vec<(String, Vec<u8>)>,
}

/// A running cluster, and a session as the options ask for.
pub(crate) struct Opened {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) session: Session,
    pub(crate) access: Access,
    pub(crate) runtime: Arc<Runtime>,
}

/// What a new cluster is made of.
enum Origin<'a> {
    /// PostgreSQL's own files, as after `initdb`.
    Template,
    /// A plain one that runs already.
    Image(&'a Image),
    Archive(ArchiveSource<'a>),
}

impl Options {
    /// A running cluster with the database that the options ask for, and a session on it. If there is an
    /// archive, the cluster is what is in it.
    pub(crate) fn open(
        &self,
        server: &ServerStart,
        archive: Option<&mut dyn Read>,
    ) -> Result<Opened, Error> {
        self.check()?;
        let archive = archive.map(ArchiveSource::open).transpose()?;
        let kind = match archive {
            Some(_) => None,
            None => self.kind(server),
        };
        let shipped = kind.as_ref().is_some_and(Kind::is_plain);
        let load_image: fn(&CacheDir) = |cache| drop(template::shipped(cache));
        let runtime = Runtime::load(self.cache_dir.as_deref(), shipped.then_some(load_image))
            .map_err(Error::Assets)?;
        let runtime = match self.extension_dirs.as_slice() {
            [] => runtime,
            dirs => runtime.with_extensions(dirs).map_err(Error::Assets)?,
        };
        let Some(kind) = kind else {
            let origin = archive.map_or(Origin::Template, Origin::Archive);
            return self.start(server, runtime, origin);
        };
        let shipped = if shipped { template::shipped(runtime.cache()) } else { None };
        if let Some(image) = &shipped
            && self.database == image.access().database
            && self.user == image.access().user
            && self.template_options().is_none()
        {
            let (cluster, session) = self.copy(server, &runtime, image)?;
            return Ok(Opened { cluster, session, access: self.access(), runtime });
        }
        let from_image = |image: &Image| {
            let (cluster, mut session) = self.copy(server, &runtime, image)?;
            if let Some(password) = &server.password {
                set_password(&mut session, password)?;
            }
            Ok(Opened { cluster, session, access: self.access(), runtime: runtime.clone() })
        };
        template::start_or_make(kind, from_image, |with_image| {
            let origin = shipped.as_deref().map_or(Origin::Template, Origin::Image);
            let mut opened = self.start(server, runtime.clone(), origin)?;
            if !with_image {
                return Ok((opened, None));
            }
            let image = opened.cluster.capture(&mut opened.session, &opened.access, Use::ManyTimes);
            if let Err(error) = &image {
                tracing::debug!("no image of a new temporary database: {error}");
            }
            Ok((opened, image.ok()))
        })
    }

    /// What new temporary databases like this one have in common. None if they have files of their own, or
    /// shall not be copies.
    fn kind(&self, server: &ServerStart) -> Option<Kind> {
        let alike = self.instant && self.path.is_none() && server.files.is_empty();
        alike.then(|| Kind {
            database: self.database.clone(),
            user: self.user.clone(),
            encoding: self.encoding.clone(),
            locale: self.locale.clone(),
            settings: self.settings(server),
            extension_dirs: self.extension_dirs.clone(),
            memory_limit: self.memory_limit,
            password: server.password.is_some(),
        })
    }

    fn settings(&self, server: &ServerStart) -> Vec<(String, String)> {
        let preload =
            (!self.preload.is_empty()).then(|| (PRELOAD.to_owned(), self.preload.join(",")));
        server.settings.iter().chain(&self.settings).cloned().chain(preload).collect()
    }

    fn access(&self) -> Access {
        Access { user: self.user.clone(), database: self.database.clone() }
    }

    /// A cluster from an image, with the files and the port of these options.
    fn copy(
        &self,
        server: &ServerStart,
        runtime: &Runtime,
        image: &Image,
    ) -> Result<(Arc<Cluster>, Session), Error> {
        let options = CopyOptions {
            port: Some(server.port.unwrap_or(DEFAULT_PORT)),
            mounts: Some(&self.mounts),
            prepare: Some(self.prepare),
        };
        Cluster::from_image(runtime, image, &options)
    }

    /// Starts the cluster, makes the database if it is missing, and connects.
    fn start(
        &self,
        server: &ServerStart,
        runtime: Arc<Runtime>,
        origin: Origin<'_>,
    ) -> Result<Opened, Error> {
        let cluster = match origin {
            Origin::Image(image) => {
                let (cluster, mut session) = self.copy(server, &runtime, image)?;
                // It is connected to the database that may have to be replaced.
                session.close()?;
                cluster
            }
            Origin::Archive(source) => {
                Arc::new(self.start_cluster(server, &runtime, Some(source))?)
            }
            Origin::Template => Arc::new(self.start_cluster(server, &runtime, None)?),
        };
        if cluster.is_new() && self.template_options().is_some() {
            self.replace_default_database(&cluster)?;
        }
        // To ask for it would be an error in PostgreSQL's log.
        let is_missing = cluster.is_new() && !FIRST_DATABASES.contains(&self.database.as_str());
        if is_missing {
            self.create_database(&cluster, DEFAULT_DATABASE, &self.database)?;
        }
        let mut session = match self.connect(&cluster, &self.database) {
            Err(error) if error.sqlstate() == Some(&SqlState::INVALID_CATALOG_NAME) => {
                self.create_database(&cluster, DEFAULT_DATABASE, &self.database)?;
                self.connect(&cluster, &self.database)?
            }
            other => other?,
        };
        if let Some(password) = &server.password {
            set_password(&mut session, password)?;
        }
        Ok(Opened { cluster, session, access: self.access(), runtime })
    }

    fn start_cluster(
        &self,
        server: &ServerStart,
        runtime: &Runtime,
        archive: Option<ArchiveSource<'_>>,
    ) -> Result<Cluster, Error> {
        let storage = match &self.path {
            Some(path) => Storage::Directory(path),
            None => Storage::Temporary { limit: self.memory_limit },
        };
        Cluster::start(
            runtime,
            storage,
            archive,
            &StartOptions {
                settings: &self.settings(server),
                mounts: &self.mounts,
                port: server.port,
                require_password: server.password.is_some(),
                files: &server.files,
                prepare: self.prepare,
            },
        )
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
        if !self.preload.is_empty() && self.settings.iter().any(|(name, _)| name == PRELOAD) {
            return Err(conflict("what `preload` names is also set by `config`"));
        }
        for module in &self.preload {
            check_module_name(module).map_err(Error::Config)?;
        }
        for mount in &self.mounts {
            check_mount_point(&mount.guest).map_err(Error::Config)?;
        }
        Ok(())
    }

    fn connect(&self, cluster: &Cluster, database: &str) -> Result<Session, Error> {
        let options = ConnectOptions {
            memory_limit: self.memory_limit,
            ..ConnectOptions::new(&self.user, database)
        };
        Session::connect(cluster.connect()?, options, cluster.canceller())
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

/// Gives the session's role a password. PostgreSQL gets to see the verifier only, so that the password
/// cannot end up in its log.
fn set_password(session: &mut Session, password: &str) -> Result<(), Error> {
    let verifier = postgres_protocol::password::scram_sha_256(password.as_bytes());
    session.exec(&format!("ALTER ROLE CURRENT_USER PASSWORD {}", quote(&verifier, '\'')))?;
    Ok(())
}

/// As a literal (`'`) or an identifier (`"`) of SQL.
pub(crate) fn quote(text: &str, quote: char) -> String {
    format!("{quote}{}{quote}", text.replace(quote, &format!("{quote}{quote}")))
}
