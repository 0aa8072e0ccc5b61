//! Step `sysroot`: wasi-libc in the layout clang looks for, plus POSIX headers that it leaves out.
//!
//! A tree of its own, since with `--sysroot=/usr` clang would also find the native headers.

use anyhow::{Context as _, Result};

use super::chroot::quote;
use super::sources::{MUSL, tarball};
use super::{Build, Key, flags, hash};
use crate::paths::WORK;
use crate::process::Log;

/// From musl's `include/`. wasi-libc is a musl; these were left out as there is nothing behind them. Our shim, or
/// Postgres itself, is.
const HEADERS: &[&str] = &[
    "grp.h",
    "net/if.h",
    "netdb.h",
    "pwd.h",
    "sys/ipc.h",
    "sys/sem.h",
    "sys/shm.h",
    "sys/syslog.h",
    "sys/termios.h",
    "syslog.h",
    "termios.h",
];

/// From musl's `arch/generic/bits/`, for the headers above.
const BITS: &[&str] = &["ipc.h", "sem.h", "shm.h", "termios.h"];

pub(crate) fn key(build: &Build) -> Result<Key> {
    let libc = build.lock.tool("wasi-libc").map_or("", |tool| tool.version.as_str());
    Ok(Key::new("sysroot")
        .text("wasi-libc", libc)
        .text("musl", &build.lock.source(MUSL)?.sha256)
        .text("headers", &[HEADERS, BITS].concat().join(" "))
        .text("target", flags::TARGET))
}

pub(crate) fn run(build: &Build, log: &mut Log) -> Result<()> {
    let source = build.lock.source(MUSL)?;
    let musl = build.paths.work("musl");
    hash::empty_dir(&musl)?;
    hash::copy(&tarball(&build.paths, source), &build.paths.work("downloads").join(&source.file))?;
    let target = flags::TARGET;
    log.run(&mut build.chroot().script(&format!(
        "cd {WORK}
        tar -C musl --strip-components=1 -xf downloads/{}
        rm -rf sysroot
        mkdir -p sysroot/include sysroot/lib
        cp -a /usr/include/wasm32-wasi sysroot/include/{target}
        cp -a /usr/lib/wasm32-wasi sysroot/lib/{target}
        # C++ is no part of it: links to elsewhere, see flags.rs.
        rm -f sysroot/include/{target}/c++/v1 sysroot/lib/{target}/libc++*.a",
        quote(&source.file)
    )))?;
    let include = build.paths.work("sysroot/include").join(target);
    for (dir, into, names) in [("include", "", HEADERS), ("arch/generic/bits", "bits", BITS)] {
        for name in names {
            hash::copy(&musl.join(dir).join(name), &include.join(into).join(name))
                .with_context(|| format!("musl's {name}"))?;
        }
    }
    Ok(())
}
