//! Where things are: the same places as in `xtask`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The repository, and the native PostgreSQL that `cargo xtask native build` made.
pub(crate) struct Paths {
    repo: PathBuf,
    build: PathBuf,
    /// Of the native PostgreSQL, below `build`.
    native: &'static str,
}

impl Paths {
    /// `program` is what is needed of the native build: psql is made by `native build --clients` too.
    pub(crate) fn find(program: &str) -> Result<Paths> {
        let build = std::env::var_os("PGLITE_OXIDE_BUILD")
            .map_or_else(|| PathBuf::from("/var/cache/pglite-oxide-build"), PathBuf::from);
        let Some(repo) = Path::new(env!("CARGO_MANIFEST_DIR")).parent() else {
            bail!("the package has no parent directory");
        };
        let paths = Paths { repo: repo.to_owned(), build, native: "native" };
        let program = paths.native("bin").join(program);
        if !program.exists() {
            bail!("no {}: run `cargo xtask native build`", program.display());
        }
        Ok(paths)
    }

    pub(crate) fn repo(&self, path: &str) -> PathBuf {
        self.repo.join(path)
    }

    /// A file of the installed native PostgreSQL.
    pub(crate) fn native(&self, path: &str) -> PathBuf {
        self.build.join(self.native).join(path)
    }

    /// Was the native PostgreSQL configured with this?
    pub(crate) fn is_configured(&self, with: &str) -> Result<bool> {
        let output = Command::new(self.native("bin/pg_config"))
            .arg("--configure")
            .output()
            .context("cannot run pg_config")?;
        Ok(String::from_utf8_lossy(&output.stdout).contains(with))
    }

    /// Directories of modules that only PostgreSQL's tests need: `regress.so`, made by the step `extensions-aot`. A copy
    /// of it is in the repository, as those who run the tests have no toolchain.
    pub(crate) fn test_modules(&self) -> Vec<PathBuf> {
        vec![self.repo("assets/regress/modules")]
    }

    /// The same, with a native PostgreSQL that has our extensions for vectors.
    pub(crate) fn with_ruvector(&self) -> Result<Paths> {
        self.with("native-ruvector", "ruvector")
    }

    /// The same, with a native PostgreSQL that has pgvector.
    pub(crate) fn with_pgvector(&self) -> Result<Paths> {
        self.with("native-pgvector", "pgvector")
    }

    fn with(&self, native: &'static str, name: &str) -> Result<Paths> {
        let paths = Paths { repo: self.repo.clone(), build: self.build.clone(), native };
        if !paths.native("bin/postgres").exists() {
            bail!("no {}: run `cargo xtask native {name}`", paths.native("").display());
        }
        Ok(paths)
    }

    /// pgvector's tests: `sql` and `expected`.
    pub(crate) fn pgvector_tests(&self) -> Result<PathBuf> {
        let tests = self.build.join("pgvector-build/test");
        if !tests.exists() {
            bail!("no {}: run `cargo xtask native ruvector`", tests.display());
        }
        Ok(tests)
    }

    /// pgvector for this library, built with the same flags as ours: a directory of extensions.
    pub(crate) fn reference_modules(&self) -> Result<PathBuf> {
        let modules = self.build.join("out/extensions/reference");
        if !modules.exists() {
            bail!("no {}: run `cargo xtask assets build`", modules.display());
        }
        Ok(modules)
    }

    /// All extensions for this library, as they were built last: a directory of extensions.
    pub(crate) fn built_modules(&self) -> PathBuf {
        self.build.join("out/extensions")
    }

    /// A file of the tree it was built in, which has the tests.
    pub(crate) fn native_tree(&self, path: &str) -> PathBuf {
        self.build.join("native-build").join(path)
    }
}
