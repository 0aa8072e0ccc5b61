//! `cargo xtask native build`: the same PostgreSQL as a native program, on this machine.
//!
//! It has three uses: its `initdb` makes the template database (with our `postgres`), its `zic` the time zones, and
//! it is what the measurements compare with. `psql`, `pgbench`, `pg_regress` and `isolationtester` come with it; for
//! the test suites alone these are built without the server.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::assets::{self, Build, Key, POSTGRES, ensure_postgres};
use crate::process::{Log, ensure_host_packages};

pub(crate) mod extension;

/// The whole of it.
pub(crate) const STEP: &str = "native";
/// Without the server. Both steps build in the same directories, so that one is in the place of the other.
pub(crate) const CLIENTS_STEP: &str = "native-clients";

const HOST_PACKAGES: &[(&str, &str)] = &[
    ("gcc", "gcc"),
    ("libc6-dev", "/usr/include/stdio.h"),
    ("make", "make"),
    ("bison", "bison"),
    ("flex", "flex"),
    ("perl", "perl"),
    ("bzip2", "bzip2"),
    ("xz-utils", "xz"),
];

/// As the guest is configured, where that makes a difference in speed or features.
const CONFIGURE: &[&str] = &["--without-readline", "--without-icu", "--without-zlib", "CFLAGS=-O2"];

/// What `make` is told for the programs of the test suites: directory, target.
const CLIENTS: &[(&str, &str)] = &[
    ("src/interfaces/libpq", "install"),
    ("src/bin/psql", "install"),
    ("src/test/regress", "pg_regress"),
    ("src/test/isolation", "all"),
];

pub(crate) fn key(build: &Build) -> Result<Key> {
    Ok(Key::new(STEP)
        .text("postgres", &build.lock.source(POSTGRES)?.sha256)
        .text("prefix", &build.paths.native().to_string_lossy())
        .text("configure", &CONFIGURE.join(" ")))
}

pub(crate) fn run(build: &Build, log: &mut Log) -> Result<()> {
    let tree = configure(build, log)?;
    let jobs = format!("-j{}", jobs());
    log.run(tree.command("make").args(["-s", &jobs]))?;
    log.run(tree.command("make").args(["-s", "install"]))
}

pub(crate) fn run_clients(build: &Build, log: &mut Log) -> Result<()> {
    let tree = configure(build, log)?;
    let jobs = format!("-j{}", jobs());
    for (dir, target) in CLIENTS {
        log.run(tree.command("make").args(["-s", &jobs, "-C", dir, target]))?;
    }
    Ok(())
}

fn jobs() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// PostgreSQL's source, configured.
struct Tree(PathBuf);

impl Tree {
    fn command(&self, program: &str) -> Command {
        command(&self.0, program)
    }
}

fn command(dir: &Path, program: &str) -> Command {
    let mut command = Command::new(program);
    // `make` refuses some of the variables that cargo sets for its children.
    command
        .current_dir(dir)
        .env_remove("MAKEFLAGS")
        .env_remove("MFLAGS")
        .env_remove("CARGO_MAKEFLAGS");
    command
}

fn configure(build: &Build, log: &mut Log) -> Result<Tree> {
    ensure_host_packages(HOST_PACKAGES, log)?;
    let tarball = ensure_postgres(build, log)?;
    let dir = build.paths.build().join("native-build");
    for step in [STEP, CLIENTS_STEP] {
        assets::forget(build, step);
    }
    assets::empty_dir(&dir)?;
    assets::empty_dir(&build.paths.native())?;
    log.run(
        Command::new("tar").arg("-C").arg(&dir).args(["--strip-components=1", "-xf"]).arg(tarball),
    )?;
    let tree = Tree(dir);
    log.run(
        tree.command("./configure")
            .arg(format!("--prefix={}", build.paths.native().display()))
            .args(CONFIGURE),
    )?;
    Ok(tree)
}
