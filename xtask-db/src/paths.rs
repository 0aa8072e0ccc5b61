//! Where things are: the same places as in `xtask`.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// The repository, and the native PostgreSQL that `cargo xtask native build` made.
pub(crate) struct Paths {
    repo: PathBuf,
    build: PathBuf,
}

impl Paths {
    /// `program` is what is needed of the native build: psql is made by `native build --clients` too.
    pub(crate) fn find(program: &str) -> Result<Paths> {
        let build = std::env::var_os("PGLITE_OXIDE_BUILD")
            .map_or_else(|| PathBuf::from("/var/cache/pglite-oxide-build"), PathBuf::from);
        let Some(repo) = Path::new(env!("CARGO_MANIFEST_DIR")).parent() else {
            bail!("the package has no parent directory");
        };
        let paths = Paths { repo: repo.to_owned(), build };
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
        self.build.join("native").join(path)
    }

    /// Directories of modules that only PostgreSQL's tests need: `regress.so`, made by the step `extensions-aot`. A copy
    /// of it is in the repository, as those who run the tests have no toolchain.
    pub(crate) fn test_modules(&self) -> Vec<PathBuf> {
        vec![self.repo("assets/regress/modules")]
    }

    /// A file of the tree it was built in, which has the tests.
    pub(crate) fn native_tree(&self, path: &str) -> PathBuf {
        self.build.join("native-build").join(path)
    }
}
