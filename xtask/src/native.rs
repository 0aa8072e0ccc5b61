//! `cargo xtask native build`: the same PostgreSQL as a native program, on this machine.
//!
//! It has three uses: its `initdb` makes the template database (with our `postgres`), its `zic` the time zones, and
//! it is what the measurements compare with. `psql`, `pgbench`, `pg_regress` and `isolationtester` come with it; for
//! the test suites alone these are built without the server. CI compares answers and not times, so there the server is
//! [`Extent::Quick`].

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::assets::{self, Build, Key, POSTGRES, ensure_postgres};
use crate::process::{Log, ensure_host_packages};

pub(crate) mod extension;

/// The whole of it.
pub(crate) const STEP: &str = "native";

/// How much is built. All are built in the same directories, so that one is in the place of another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All of PostgreSQL but contrib, with optimisation.
    Whole,
    /// What tests need: the server and the programs that they run, in the least time.
    Quick,
    /// The programs of the test suites, without the server.
    Clients,
}

impl Extent {
    /// The step that builds it.
    pub(crate) const fn step(self) -> &'static str {
        match self {
            Self::Whole => STEP,
            Self::Quick => "native-quick",
            Self::Clients => "native-clients",
        }
    }

    fn configure(self) -> &'static [&'static str] {
        match self {
            Self::Whole | Self::Clients => CONFIGURE,
            Self::Quick => QUICK_CONFIGURE,
        }
    }

    fn host_packages(self) -> Vec<(&'static str, &'static str)> {
        match self {
            Self::Whole | Self::Clients => HOST_PACKAGES.to_vec(),
            Self::Quick => [HOST_PACKAGES, QUICK_HOST_PACKAGES].concat(),
        }
    }
}

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

/// Without optimisation, which takes most of the time; with all compressions, so that compressed dumps can be compared.
const QUICK_CONFIGURE: &[&str] = &[
    "--without-readline",
    "--without-icu",
    "--with-zlib",
    "--with-lz4",
    "--with-zstd",
    "CFLAGS=-O0",
];

const QUICK_HOST_PACKAGES: &[(&str, &str)] = &[
    ("zlib1g-dev", "/usr/include/zlib.h"),
    ("liblz4-dev", "/usr/include/lz4.h"),
    ("libzstd-dev", "/usr/include/zstd.h"),
    ("pkg-config", "pkg-config"),
];

/// What `make` is told for the programs of the test suites: directory, target.
const CLIENTS: &[(&str, &str)] = &[
    ("src/interfaces/libpq", "install"),
    ("src/bin/psql", "install"),
    ("src/test/regress", "pg_regress"),
    ("src/test/isolation", "all"),
];

/// What it is told for the server, before that: one that `initdb` can start, and that extensions can be built for.
const QUICK_SERVER: &[(&str, &str)] = &[
    ("src/backend", "generated-headers"),
    ("src/backend", "install"),
    ("src/timezone", "install"),
    ("src/backend/utils/mb/conversion_procs", "install"),
    ("src/backend/snowball", "install"),
    ("src/include", "install"),
    ("src/pl/plpgsql", "install"),
    ("src/bin/initdb", "install"),
    ("src/bin/pg_config", "install"),
    ("src/bin/pg_dump", "install"),
    ("src/makefiles", "install"),
    ("src", "install-local"),
    ("config", "install"),
];

pub(crate) fn key(build: &Build) -> Result<Key> {
    key_of(build, Extent::Whole)
}

pub(crate) fn quick_key(build: &Build) -> Result<Key> {
    key_of(build, Extent::Quick)
}

/// Of the server that is there.
fn built_key(build: &Build) -> Result<Key> {
    let whole = key(build)?;
    if assets::is_done(build, STEP, &whole) { Ok(whole) } else { quick_key(build) }
}

fn key_of(build: &Build, extent: Extent) -> Result<Key> {
    Ok(Key::new(STEP)
        .text("postgres", &build.lock.source(POSTGRES)?.sha256)
        .text("prefix", &build.paths.native().to_string_lossy())
        .text("configure", &extent.configure().join(" ")))
}

pub(crate) fn run(build: &Build, log: &mut Log) -> Result<()> {
    let tree = configure(build, Extent::Whole, log)?;
    let jobs = format!("-j{}", jobs());
    log.run(tree.command("make").args(["-s", &jobs]))?;
    log.run(tree.command("make").args(["-s", "install"]))
}

pub(crate) fn run_quick(build: &Build, log: &mut Log) -> Result<()> {
    let tree = configure(build, Extent::Quick, log)?;
    tree.make(QUICK_SERVER, log)?;
    tree.make(CLIENTS, log)
}

pub(crate) fn run_clients(build: &Build, log: &mut Log) -> Result<()> {
    configure(build, Extent::Clients, log)?.make(CLIENTS, log)
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

    fn make(&self, targets: &[(&str, &str)], log: &mut Log) -> Result<()> {
        let jobs = format!("-j{}", jobs());
        for (dir, target) in targets {
            log.run(self.command("make").args(["-s", &jobs, "-C", dir, target]))?;
        }
        Ok(())
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

fn configure(build: &Build, extent: Extent, log: &mut Log) -> Result<Tree> {
    ensure_host_packages(&extent.host_packages(), log)?;
    let tarball = ensure_postgres(build, log)?;
    let dir = build.paths.build().join("native-build");
    for extent in [Extent::Whole, Extent::Quick, Extent::Clients] {
        assets::forget(build, extent.step());
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
            .args(extent.configure()),
    )?;
    Ok(tree)
}
