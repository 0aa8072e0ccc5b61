//! Step `initdb`: the template database.
//!
//! The native `initdb` runs our `postgres`: it needs only that its neighbour `postgres` is a program, and that is a
//! script which hands on to `xtask-run`, the kernel as a program.

use std::ffi::OsStr;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::{Build, Key, hash, share};
use crate::process::Log;

/// `initdb` refuses root. Debian's `nobody`, under its fixed number.
const USER: u32 = 65534;

const OPTIONS: &[&str] = &[
    "--username=postgres",
    "--auth=trust",
    "--encoding=UTF8",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--locale=C",
    // What initdb chooses in an English locale; in locale C it would be `simple`.
    "--text-search-config=english",
    // Segments of 16 MB would be most of a small database.
    "--wal-segsize=1",
    // Given in full, since initdb would scale them down with the segments.
    "--set=max_wal_size=1GB",
    "--set=min_wal_size=80MB",
    // initdb would ask its own machine what works there.
    "--set=dynamic_shared_memory_type=sysv",
    // One call instead of an fsync for each of a thousand files when recovery starts.
    "--set=recovery_init_sync_method=syncfs",
    "--set=shared_buffers=128MB",
    "--set=max_connections=100",
    "--set=timezone=UTC",
    "--set=log_timezone=UTC",
    "--no-sync",
    "--no-instructions",
];

/// Files of a server that ran in the directory.
const LEFTOVERS: &[&str] = &["postmaster.opts", "postmaster.pid"];

/// The probes of initdb name the shared memory of its own machine; the guest has System V's.
const WRAPPER: &str = r#"#!/bin/sh
n=$#
while [ "$n" -gt 0 ]; do
    argument=$1
    shift
    case $argument in
        dynamic_shared_memory_type=*) argument=dynamic_shared_memory_type=sysv ;;
    esac
    set -- "$@" "$argument"
    n=$((n - 1))
done
here=${0%/*}
exec "$here/xtask-run" "$here/postgres.elf" "$here/memory.img" "$0" "$@"
"#;

pub(crate) fn key(build: &Build) -> Result<Key> {
    let mut key = Key::new("initdb")
        .text("share", &share::key(build)?.finish())
        .text("options", &OPTIONS.join(" "))
        .text("wrapper", WRAPPER);
    // The artifact's module, and not the artifact: any compiler's would make the same database.
    let wasm = build.paths.out("postgres.wasm");
    if wasm.exists() {
        key = key.file("module", &wasm)?;
    }
    Ok(key)
}

/// The template's data directory.
pub(crate) fn dir(build: &Build) -> PathBuf {
    build.paths.out("template")
}

pub(crate) fn run(build: &Build, log: &mut Log) -> Result<()> {
    let prefix = build.paths.build().join("initdb");
    let data = prefix.join("data");
    install(build, &prefix, log)?;
    std::fs::create_dir(&data).with_context(|| format!("cannot make {}", data.display()))?;
    chown(&data, Some(USER), Some(USER))
        .with_context(|| format!("cannot give away {}", data.display()))?;

    log.run(
        Command::new(prefix.join("bin/initdb"))
            .arg("-D")
            .arg(&data)
            .arg("-L")
            .arg(prefix.join(share::SHARE))
            .args(OPTIONS)
            .current_dir(&prefix)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .uid(USER)
            .gid(USER),
    )?;

    for name in LEFTOVERS {
        let path = data.join(name);
        if path.exists() {
            std::fs::remove_file(&path)
                .with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    drop_spare_wal(build, &data, log)?;
    let template = dir(build);
    hash::remove_dir(&template)?;
    std::fs::rename(&data, &template).with_context(|| format!("cannot move {}", data.display()))
}

/// An installation whose `postgres` is ours and whose `initdb` is native.
fn install(build: &Build, prefix: &Path, log: &mut Log) -> Result<()> {
    hash::empty_dir(prefix)?;
    hash::mirror(&share::dir(build), prefix)?;
    let bin = prefix.join("bin");
    program(&build.paths.native().join("bin/initdb"), &bin.join("initdb"))?;
    program(&runner(build, log)?, &bin.join("xtask-run"))?;
    hash::copy(&super::aot::artifact(build), &bin.join("postgres.elf"))?;
    hash::copy(&super::aot::memory(build), &bin.join("memory.img"))?;
    hash::write_file(&bin.join("postgres"), WRAPPER.as_bytes())?;
    executable(&bin.join("postgres"))
}

/// The kernel as a program.
fn runner(build: &Build, log: &mut Log) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsStr::new("cargo").to_owned());
    let target = build.paths.repo("target");
    log.run(
        Command::new(cargo)
            .args(["build", "--release", "--package", "xtask-run", "--manifest-path"])
            .arg(build.paths.repo("Cargo.toml"))
            .arg("--target-dir")
            .arg(&target),
    )?;
    Ok(target.join("release/xtask-run"))
}

/// Removes the segments that Postgres made ahead of need: all zeros, or old contents under a new name.
fn drop_spare_wal(build: &Build, data: &Path, log: &mut Log) -> Result<()> {
    let control = log.output(
        Command::new(build.paths.native().join("bin/pg_controldata")).arg(data).env("LC_ALL", "C"),
    )?;
    let field = |name: &str| {
        control
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
            .with_context(|| format!("pg_controldata prints no {name}"))
    };
    let state = field("Database cluster state:")?;
    if state != "shut down" {
        bail!("the template database is {state}, not shut down");
    }
    let current = field("Latest checkpoint's REDO WAL file:")?;
    let wal = data.join("pg_wal");
    for file in hash::files(&wal)? {
        let name = file.to_string_lossy();
        if name.len() == current.len() && *name != *current {
            std::fs::remove_file(wal.join(&file))
                .with_context(|| format!("cannot remove WAL segment {name}"))?;
        }
    }
    if !wal.join(current).exists() {
        bail!("the template database has no WAL segment {current}");
    }
    Ok(())
}

fn program(from: &Path, to: &Path) -> Result<()> {
    hash::copy(from, to)?;
    executable(to)
}

fn executable(path: &Path) -> Result<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} executable", path.display()))
}
