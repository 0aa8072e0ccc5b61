//! Step `root`: a Debian root with the toolchain.
//!
//! Debian 12, where this may run, has a wasi-libc without setjmp; Debian 13 has all that is needed.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::lock::{Lock, Tool};
use super::{Build, Key, apt, hash};
use crate::paths::WORK;
use crate::process::{Log, ensure_host_packages};

pub(crate) const SUITE: &str = "trixie";

/// Packages that decide what the outputs are: pinned by version.
const PINNED: &[&str] = &[
    "clang-22",
    "lld-22",
    "llvm-22",
    "libclang-rt-22-dev-wasm32",
    "libc++-22-dev-wasm32",
    "libc++abi-22-dev-wasm32",
    "wasi-libc",
    "binaryen",
    "bison",
    "flex",
    "perl",
];

/// Packages whose version cannot show.
const OTHERS: &[&str] =
    &["make", "gcc", "libc6-dev", "dpkg-dev", "patch", "xz-utils", "bzip2", "ca-certificates"];

pub(crate) fn key(build: &Build) -> Result<Key> {
    Ok(Key::new("root")
        .text("suite", SUITE)
        .text("packages", &[PINNED, OTHERS].concat().join(" "))
        .text("tools", &build.lock.tools_text()))
}

pub(crate) fn run(build: &Build, log: &mut Log) -> Result<()> {
    let root = build.paths.root();
    if !root.join("etc/debian_version").exists() {
        ensure_host_packages(&[("debootstrap", "/usr/sbin/debootstrap")], log)?;
        hash::remove_dir(&root)?;
        log.run(
            Command::new("debootstrap")
                .args(["--variant=minbase", "--include=ca-certificates", SUITE])
                .arg(&root)
                .env("DEBIAN_FRONTEND", "noninteractive"),
        )?;
    }
    write_sources_list(build)?;
    let resolv = std::path::Path::new("/etc/resolv.conf");
    if resolv.exists() {
        hash::copy(resolv, &root.join("etc/resolv.conf"))?;
    }
    for dir in ["bin", "downloads"] {
        let dir = build.paths.work(dir);
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    log.run(&mut build.chroot().script("apt-get update"))?;
    install(build, log)?;

    let tools = installed(build, log)?;
    if build.update_lock || build.lock.tool.is_empty() {
        let lock = Lock { source: build.lock.source.clone(), tool: tools };
        return lock.write(&build.paths);
    }
    for tool in &tools {
        if build.lock.tool(&tool.name) != Some(tool) {
            let pinned = build.lock.tool(&tool.name).map_or("not pinned", |pinned| &pinned.version);
            bail!(
                "{} is {} in the toolchain root, but {pinned} in {}: another compiler makes other bytes. \
                 Pin the new one with `cargo xtask assets build --update-lock`.",
                tool.name,
                tool.version,
                super::lock::FILE
            );
        }
    }
    Ok(())
}

/// Adds updates, security updates and sources, on the mirror that debootstrap chose.
fn write_sources_list(build: &Build) -> Result<()> {
    let path = build.paths.root().join("etc/apt/sources.list");
    let text = hash::read_text(&path)?;
    let mirror = text
        .lines()
        .find_map(|line| line.strip_prefix("deb ")?.split_whitespace().next())
        .with_context(|| format!("{} names no mirror", path.display()))?
        .trim_end_matches('/');
    let list = apt::binary_lines(mirror) + &apt::source_lines(mirror, "");
    hash::write_file(&path, list.as_bytes())
}

fn install(build: &Build, log: &mut Log) -> Result<()> {
    let pinned: Vec<String> = PINNED
        .iter()
        .map(|name| match build.lock.tool(name) {
            Some(tool) if !build.update_lock => format!("{name}={}", tool.version),
            _ => (*name).to_owned(),
        })
        .collect();
    let install = |packages: &[String]| {
        build.chroot().script(&format!(
            "apt-get install -y --no-install-recommends --allow-downgrades {} {}",
            packages.join(" "),
            OTHERS.join(" ")
        ))
    };
    if log.run(&mut install(&pinned)).is_ok() {
        return Ok(());
    }
    // A pinned revision that the mirror no longer has: install what there is, and let the comparison say so.
    let newest: Vec<String> = PINNED.iter().map(|name| (*name).to_owned()).collect();
    log.run(&mut install(&newest))
}

/// The versions that are in the root now.
pub(crate) fn installed(build: &Build, log: &mut Log) -> Result<Vec<Tool>> {
    let script =
        format!("cd {WORK}; dpkg-query -W -f '${{Package}} ${{Version}}\\n' {}", PINNED.join(" "));
    let mut tools: Vec<Tool> = log
        .output(&mut build.chroot().script(&script))?
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, version)| Tool { name: name.to_owned(), version: version.to_owned() })
        .collect();
    tools.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tools)
}
