//! `cargo xtask native build`: the same PostgreSQL as a native program, on this machine.
//!
//! It has three uses: its `initdb` makes the template database (with our `postgres`), its `zic` the time zones, and
//! it is what the measurements compare with. `pg_regress`, `isolationtester`, `psql` and `pgbench` come with it.

use std::process::Command;

use anyhow::Result;

use crate::assets::{self, Build, Key, POSTGRES, sources_tarball};
use crate::process::{Log, ensure_host_packages};

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

pub(crate) fn build_command() -> Result<()> {
    assets::run_named(&["root", "sources", "native"])
}

pub(crate) fn key(build: &Build) -> Result<Key> {
    Ok(Key::new("native")
        .text("postgres", &build.lock.source(POSTGRES)?.sha256)
        .text("prefix", &build.paths.native().to_string_lossy())
        .text("configure", &CONFIGURE.join(" ")))
}

pub(crate) fn run(build: &Build, log: &mut Log) -> Result<()> {
    ensure_host_packages(HOST_PACKAGES, log)?;
    let tree = build.paths.build().join("native-build");
    assets::empty_dir(&tree)?;
    assets::empty_dir(&build.paths.native())?;
    let tarball = sources_tarball(&build.paths, build.lock.source(POSTGRES)?);
    log.run(
        Command::new("tar").arg("-C").arg(&tree).args(["--strip-components=1", "-xf"]).arg(tarball),
    )?;
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    // `make` refuses some of the variables that cargo sets for its children.
    let host = |program: &str| {
        let mut command = Command::new(program);
        command
            .current_dir(&tree)
            .env_remove("MAKEFLAGS")
            .env_remove("MFLAGS")
            .env_remove("CARGO_MAKEFLAGS");
        command
    };
    log.run(
        host("./configure")
            .arg(format!("--prefix={}", build.paths.native().display()))
            .args(CONFIGURE),
    )?;
    log.run(host("make").arg("-s").arg(format!("-j{jobs}")))?;
    log.run(host("make").args(["-s", "install"]))
}
