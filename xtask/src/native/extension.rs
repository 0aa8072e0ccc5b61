//! `cargo xtask native ruvector` and `native pgvector`: a native PostgreSQL with one of the two implementations of the
//! extension `vector`. Each is a copy of the native PostgreSQL, which finds its files from where its programs are.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::{command, jobs};
use crate::assets::{Build, Key, PGVECTOR, empty_dir, ensure_source};
use crate::process::Log;

const PACKAGE: &str = "crates/ruvector-side-module";
const CORE: &str = "crates/ruvector-core";

pub(crate) const RUVECTOR_STEP: &str = "native-ruvector";
pub(crate) const PGVECTOR_STEP: &str = "native-pgvector";

/// pgvector's source, which has the tests for both.
const PGVECTOR_TREE: &str = "pgvector-build";

fn key(build: &Build, name: &'static str) -> Result<Key> {
    let native = super::built_key(build)?.finish();
    let pgvector = &build.lock.source(PGVECTOR)?.sha256;
    Ok(Key::new(name).text("native", &native).text("pgvector", pgvector))
}

pub(crate) fn pgvector_key(build: &Build) -> Result<Key> {
    key(build, PGVECTOR_STEP)
}

pub(crate) fn ruvector_key(build: &Build) -> Result<Key> {
    let (package, core) = (build.paths.repo(PACKAGE), build.paths.repo(CORE));
    key(build, RUVECTOR_STEP)?
        .file("manifest", &package.join("Cargo.toml"))?
        .file("makefile", &package.join("Makefile"))?
        .dir("c", &package.join("c"))?
        .dir("sql", &package.join("sql"))?
        .dir("src", &package.join("src"))?
        .file("core-manifest", &core.join("Cargo.toml"))?
        .dir("core", &core.join("src"))
}

pub(crate) fn build_pgvector(build: &Build, log: &mut Log) -> Result<()> {
    let installation = copy_of_native(build, PGVECTOR_STEP)?;
    let tree = pgvector_tree(build, log)?;
    // Without instructions that other machines of this architecture may not have, as Debian builds it.
    for target in ["all", "install"] {
        log.run(make(&tree, &installation).arg("OPTFLAGS=").arg(target))?;
    }
    Ok(())
}

pub(crate) fn build_ruvector(build: &Build, log: &mut Log) -> Result<()> {
    let installation = copy_of_native(build, RUVECTOR_STEP)?;
    pgvector_tree(build, log)?;
    let target = build.paths.build().join("rust-native");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    log.run(
        Command::new(cargo)
            .args(["build", "--release", "--locked", "--features", "std", "--manifest-path"])
            .arg(build.paths.repo(PACKAGE).join("Cargo.toml"))
            .env("CARGO_TARGET_DIR", &target)
            .env_remove("RUSTFLAGS"),
    )?;
    // Objects are made beside their sources: not in the repository.
    let tree = build.paths.build().join("ruvector-build");
    empty_dir(&tree)?;
    log.run(
        Command::new("cp")
            .arg("-r")
            .args(["Makefile", "c", "sql"].map(|part| build.paths.repo(PACKAGE).join(part)))
            .arg(&tree),
    )?;
    let mut library = std::ffi::OsString::from("RUST_LIBRARY=");
    library.push(target.join("release/libruvector_side_module.a"));
    for goal in ["all", "install"] {
        log.run(make(&tree, &installation).arg(&library).arg("SHLIB_PREREQS=").arg(goal))?;
    }
    Ok(())
}

/// Where `pg_config` of the copy is.
fn copy_of_native(build: &Build, name: &str) -> Result<PathBuf> {
    let (from, to) = (build.paths.native(), build.paths.build().join(name));
    if !from.join("bin/postgres").exists() {
        bail!("no native PostgreSQL: `cargo xtask native build` makes it");
    }
    empty_dir(&to)?;
    let status = Command::new("cp").arg("-a").arg(from.join(".")).arg(&to).status();
    if !status.context("cannot run cp")?.success() {
        bail!("cannot copy {} to {}", from.display(), to.display());
    }
    Ok(to)
}

fn pgvector_tree(build: &Build, log: &mut Log) -> Result<PathBuf> {
    let tarball = ensure_source(build, log, PGVECTOR)?;
    let tree = build.paths.build().join(PGVECTOR_TREE);
    empty_dir(&tree)?;
    let strip = "--strip-components=1";
    log.run(Command::new("tar").arg("-C").arg(&tree).args([strip, "-xf"]).arg(tarball))?;
    Ok(tree)
}

/// PostgreSQL's rules for extensions, with the paths of an installation.
fn make(tree: &Path, installation: &Path) -> Command {
    let mut pg_config = std::ffi::OsString::from("PG_CONFIG=");
    pg_config.push(installation.join("bin/pg_config"));
    let mut command = command(tree, "make");
    command.args(["-s", &format!("-j{}", jobs())]).arg(pg_config);
    command
}
