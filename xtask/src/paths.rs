//! Where things are.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// Where the toolchain root sees its work directory ([`Paths::work`] from outside). The same in every build, so
/// that no output depends on where the build directory is.
pub(crate) const WORK: &str = "/build";

/// The repository and the build directory.
pub(crate) struct Paths {
    repo: PathBuf,
    build: PathBuf,
}

impl Paths {
    pub(crate) fn find() -> Result<Self> {
        let build = match std::env::var_os("PGLITE_OXIDE_BUILD") {
            Some(dir) => PathBuf::from(dir),
            None => PathBuf::from("/var/cache/pglite-oxide-build"),
        };
        if !build.is_absolute() {
            bail!("PGLITE_OXIDE_BUILD must be an absolute path, not {}", build.display());
        }
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        let Some(repo) = manifest.parent() else {
            bail!("{} has no parent directory", manifest.display())
        };
        Ok(Self { repo: repo.to_owned(), build })
    }

    pub(crate) fn repo(&self, path: &str) -> PathBuf {
        self.repo.join(path)
    }

    pub(crate) fn build(&self) -> &Path {
        &self.build
    }

    /// The Debian root with the toolchain.
    pub(crate) fn root(&self) -> PathBuf {
        self.build.join("root")
    }

    /// A path of the work directory, as seen from outside the toolchain root.
    pub(crate) fn work(&self, path: &str) -> PathBuf {
        self.root().join(&WORK[1..]).join(path)
    }

    /// What comes out: module, artifact, share tree, template.
    pub(crate) fn out(&self, path: &str) -> PathBuf {
        self.build.join("out").join(path)
    }

    pub(crate) fn downloads(&self) -> PathBuf {
        self.build.join("downloads")
    }

    /// The native PostgreSQL.
    pub(crate) fn native(&self) -> PathBuf {
        self.build.join("native")
    }
}
