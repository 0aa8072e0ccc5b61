//! Step `sources`: upstream's tarballs out of Debian's source packages, checked against the lock.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::apt::Apt;
use super::chroot::quote;
use super::lock::{Lock, Source};
use super::{Build, Key, hash};
use crate::paths::Paths;
use crate::process::Log;

pub(crate) const POSTGRES: &str = "postgresql-17";
pub(crate) const MUSL: &str = "musl";

pub(crate) const ZLIB: &str = "zlib";
pub(crate) const LZ4: &str = "lz4";
pub(crate) const ZSTD: &str = "libzstd";
pub(crate) const LIBXML2: &str = "libxml2";
pub(crate) const LIBXSLT: &str = "libxslt";
pub(crate) const ICU: &str = "icu";
pub(crate) const OPENSSL: &str = "openssl";
pub(crate) const E2FSPROGS: &str = "e2fsprogs";
pub(crate) const PGVECTOR: &str = "pgvector";

/// Source packages, and the upstream series that `--update-lock` stays in.
const SOURCES: &[(&str, &str)] = &[
    (POSTGRES, "17."),
    (MUSL, "1.2."),
    (ZLIB, "1."),
    (LZ4, "1."),
    (ZSTD, "1."),
    // Debian's number for 2.9.14 with its fixes; those are in assets/libraries.
    (LIBXML2, "2."),
    (LIBXSLT, "1.1."),
    (ICU, "76."),
    (OPENSSL, "3.5."),
    (E2FSPROGS, "1."),
    // Extensions that are not part of PostgreSQL.
    ("ip4r", "2."),
    ("pg-partman", "5."),
    ("pgtap", "1."),
    (PGVECTOR, "0."),
    ("prefix", "1."),
];

pub(crate) fn key(build: &Build) -> Result<Key> {
    let mut key = Key::new("sources");
    for (name, series) in SOURCES {
        let sha256 = build.lock.source(name).map_or("", |source| source.sha256.as_str());
        key = key.text(name, series).text("sha256", sha256);
    }
    Ok(key)
}

pub(crate) fn run(build: &Build, log: &mut Log) -> Result<()> {
    let update = build.update_lock || build.lock.source.is_empty();
    let apt = Apt::Root(build.chroot());
    let mut pinned = Vec::new();
    for (name, series) in SOURCES {
        if update {
            let source = match newest(build, &apt, log, name, series)? {
                Some(source) => source,
                None => {
                    let source = build.lock.source(name)?;
                    if !is_here(build, source)? {
                        fetch(build, &apt, log, source)?;
                    }
                    println!(
                        "           {name}: the mirror has nothing newer than {}",
                        source.version
                    );
                    source.clone()
                }
            };
            pinned.push(source);
        } else {
            let source = build.lock.source(name)?;
            if !is_here(build, source)? {
                fetch(build, &apt, log, source)?;
            }
            pinned.push(source.clone());
        }
    }
    if update {
        Lock { source: pinned, tool: build.lock.tool.clone() }.write(&build.paths)?;
    }
    Ok(())
}

/// PostgreSQL's tarball for a build that does without the toolchain's root: if it is not here yet, this machine's
/// own apt fetches it.
pub(crate) fn ensure_postgres(build: &Build, log: &mut Log) -> Result<PathBuf> {
    ensure_source(build, log, POSTGRES)
}

/// The tarball of a pinned source, by this machine's own package manager if it is not here yet.
pub(crate) fn ensure_source(build: &Build, log: &mut Log, name: &str) -> Result<PathBuf> {
    let source = build.lock.source(name)?;
    if !is_here(build, source)? {
        let apt = Apt::host(build, log)?;
        fetch(build, &apt, log, source)?;
    }
    Ok(tarball(&build.paths, source))
}

/// The place of a checked tarball.
pub(crate) fn tarball(paths: &Paths, source: &Source) -> PathBuf {
    paths.downloads().join(&source.file)
}

fn is_here(build: &Build, source: &Source) -> Result<bool> {
    let target = tarball(&build.paths, source);
    Ok(target.exists() && hash::sha256(&target)? == source.sha256)
}

/// Gets the pinned tarball and checks it.
fn fetch(build: &Build, apt: &Apt, log: &mut Log, source: &Source) -> Result<()> {
    // Debian may have revised its packaging since: any revision of that upstream version will do, since the
    // tarball is checked.
    let revisions: Vec<String> = versions(apt, log, &source.name)?
        .into_iter()
        .filter(|v| upstream(v) == source.version)
        .collect();
    for version in &revisions {
        if let Some(file) = download(build, apt, log, &source.name, version)? {
            return keep(build, &file, source);
        }
    }
    // The index has only the newest version, and has that before the mirror does; an older one stays in the
    // mirror's pool for a while.
    match download_from_pool(build, apt, log, source)? {
        Some(file) => keep(build, &file, source),
        None => bail!(
            "the mirror has no source of {} {}; pin what it has with `cargo xtask assets build --update-lock`",
            source.name,
            source.version
        ),
    }
}

/// Checks a download against the lock, and puts it where the build looks for it.
fn keep(build: &Build, file: &Path, source: &Source) -> Result<()> {
    let found = hash::sha256(file)?;
    if found != source.sha256 {
        bail!(
            "{} has sha256 {found}, but {} pins {}",
            source.file,
            super::lock::FILE,
            source.sha256
        );
    }
    hash::copy(file, &tarball(&build.paths, source))
}

/// Looks for a tarball where Debian's archive keeps files of that name.
fn download_from_pool(
    build: &Build,
    apt: &Apt,
    log: &mut Log,
    source: &Source,
) -> Result<Option<PathBuf>> {
    let (dir, seen_as) = apt.downloads(build, &source.name);
    hash::empty_dir(&dir)?;
    for pool in apt.pools(build, &source.name)? {
        let script = format!(
            "cd {}; /usr/lib/apt/apt-helper download-file {} {} SHA256:{}",
            quote(&seen_as.to_string_lossy()),
            quote(&format!("{pool}/{}", source.file)),
            quote(&source.file),
            source.sha256
        );
        if log.run(&mut apt.script(&script)).is_ok() {
            return Ok(Some(dir.join(&source.file)));
        }
    }
    Ok(None)
}

/// The newest version of a series that the mirror's index names and the mirror really has.
fn newest(
    build: &Build,
    apt: &Apt,
    log: &mut Log,
    name: &str,
    series: &str,
) -> Result<Option<Source>> {
    for version in
        versions(apt, log, name)?.iter().filter(|version| upstream(version).starts_with(series))
    {
        // The index may be ahead of the pool: then the next one.
        let Some(path) = download(build, apt, log, name, version)? else {
            continue;
        };
        let file =
            path.file_name().context("a download without a name")?.to_string_lossy().into_owned();
        let source = Source {
            name: name.to_owned(),
            version: upstream(version).to_owned(),
            file,
            sha256: hash::sha256(&path)?,
        };
        hash::copy(&path, &tarball(&build.paths, &source))?;
        return Ok(Some(source));
    }
    Ok(None)
}

/// Debian's versions of a source package, newest first.
fn versions(apt: &Apt, log: &mut Log, name: &str) -> Result<Vec<String>> {
    let script = format!("apt-cache showsrc {name} | sed -n 's/^Version: //p' | sort -u");
    let mut versions: Vec<String> =
        log.output(&mut apt.script(&script))?.lines().map(str::to_owned).collect();
    let mut failed = None;
    // dpkg knows the order of versions; the lists have one to three entries.
    versions.sort_by(|a, b| {
        let newer =
            format!("if dpkg --compare-versions '{a}' gt '{b}'; then echo gt; else echo le; fi");
        match log.output(&mut apt.script(&newer)) {
            Ok(answer) if answer.trim() == "gt" => std::cmp::Ordering::Less,
            Ok(_) if a == b => std::cmp::Ordering::Equal,
            Ok(_) => std::cmp::Ordering::Greater,
            Err(error) => {
                failed = Some(error);
                std::cmp::Ordering::Equal
            }
        }
    });
    match failed {
        Some(error) => Err(error),
        None => Ok(versions),
    }
}

/// Downloads a source package and returns its upstream tarball; nothing if the mirror lacks it.
fn download(
    build: &Build,
    apt: &Apt,
    log: &mut Log,
    name: &str,
    version: &str,
) -> Result<Option<std::path::PathBuf>> {
    let (dir, seen_as) = apt.downloads(build, name);
    hash::empty_dir(&dir)?;
    let dir_word = quote(&seen_as.to_string_lossy());
    let script =
        format!("cd {dir_word}; apt-get source --download-only --tar-only {name}={version}");
    if log.run(&mut apt.script(&script)).is_err() {
        return Ok(None);
    }
    let tarball = hash::files(&dir)?.into_iter().find(|file| is_orig(file));
    match tarball {
        Some(file) => Ok(Some(dir.join(file))),
        None => bail!("the source of {name} {version} has no upstream tarball"),
    }
}

fn is_orig(file: &Path) -> bool {
    let name = file.to_string_lossy();
    name.contains(".orig.tar.") && !name.ends_with(".asc")
}

/// Upstream's part of a Debian version: without epoch and revision.
fn upstream(version: &str) -> &str {
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    version.rsplit_once('-').map_or(version, |(upstream, _)| upstream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_is_what_is_left_of_a_debian_version() {
        assert_eq!(upstream("17.11-0+deb13u1"), "17.11");
        assert_eq!(upstream("1:22.1.8-1~deb13u4"), "22.1.8");
        assert_eq!(upstream("3.4"), "3.4");
    }

    #[test]
    fn signatures_are_not_tarballs() {
        assert!(is_orig(Path::new("musl_1.2.5.orig.tar.gz")));
        assert!(!is_orig(Path::new("musl_1.2.5.orig.tar.gz.asc")));
        assert!(!is_orig(Path::new("musl_1.2.5-3.debian.tar.xz")));
    }
}
