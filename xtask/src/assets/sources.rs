//! Step `sources`: upstream's tarballs out of Debian's source packages, checked against the lock.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::lock::{Lock, Source};
use super::{Build, Key, hash};
use crate::paths::{Paths, WORK};
use crate::process::Log;

pub(crate) const POSTGRES: &str = "postgresql-17";
pub(crate) const MUSL: &str = "musl";

/// Source packages, and the upstream series that `--update-lock` stays in.
const SOURCES: &[(&str, &str)] = &[(POSTGRES, "17."), (MUSL, "1.2.")];

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
    let mut pinned = Vec::new();
    for (name, series) in SOURCES {
        if update {
            pinned.push(newest(build, log, name, series)?);
        } else {
            let source = build.lock.source(name)?;
            fetch(build, log, source)?;
            pinned.push(source.clone());
        }
    }
    if update {
        Lock { source: pinned, tool: build.lock.tool.clone() }.write(&build.paths)?;
    }
    Ok(())
}

/// A checked tarball.
pub(crate) fn tarball(paths: &Paths, source: &Source) -> std::path::PathBuf {
    paths.downloads().join(&source.file)
}

/// Gets the pinned tarball, if it is not here yet, and checks it.
fn fetch(build: &Build, log: &mut Log, source: &Source) -> Result<()> {
    let target = tarball(&build.paths, source);
    if target.exists() && hash::sha256(&target)? == source.sha256 {
        return Ok(());
    }
    // Debian may have revised its packaging since: any revision of that upstream version will do, since the
    // tarball is checked.
    let revisions: Vec<String> = versions(build, log, &source.name)?
        .into_iter()
        .filter(|v| upstream(v) == source.version)
        .collect();
    if revisions.is_empty() {
        bail!(
            "the mirror has no source of {} {}; pin what it has with `cargo xtask assets build --update-lock`",
            source.name,
            source.version
        );
    }
    for version in &revisions {
        if let Some(file) = download(build, log, &source.name, version)? {
            let found = hash::sha256(&file)?;
            if found != source.sha256 {
                bail!(
                    "{} has sha256 {found}, but {} pins {}",
                    source.file,
                    super::lock::FILE,
                    source.sha256
                );
            }
            return hash::copy(&file, &target);
        }
    }
    bail!("cannot download the source of {} {}: see the log", source.name, source.version)
}

/// The newest version of a series that the mirror really has.
fn newest(build: &Build, log: &mut Log, name: &str, series: &str) -> Result<Source> {
    for version in
        versions(build, log, name)?.iter().filter(|version| upstream(version).starts_with(series))
    {
        // The index may be ahead of the pool: then the next one.
        let Some(path) = download(build, log, name, version)? else {
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
        return Ok(source);
    }
    bail!("the mirror has no source of {name} {series}*")
}

/// Debian's versions of a source package, newest first.
fn versions(build: &Build, log: &mut Log, name: &str) -> Result<Vec<String>> {
    let script = format!("apt-cache showsrc {name} | sed -n 's/^Version: //p' | sort -u");
    let mut versions: Vec<String> =
        log.output(&mut build.chroot().script(&script))?.lines().map(str::to_owned).collect();
    let mut failed = None;
    // dpkg knows the order of versions; the lists have one to three entries.
    versions.sort_by(|a, b| {
        let newer =
            format!("if dpkg --compare-versions '{a}' gt '{b}'; then echo gt; else echo le; fi");
        match log.output(&mut build.chroot().script(&newer)) {
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

/// Downloads a source package inside the root and returns its upstream tarball; nothing if the mirror lacks it.
fn download(
    build: &Build,
    log: &mut Log,
    name: &str,
    version: &str,
) -> Result<Option<std::path::PathBuf>> {
    let dir = format!("downloads/{name}");
    hash::empty_dir(&build.paths.work(&dir))?;
    let script = format!("cd {WORK}/{dir}; apt-get source --download-only {name}={version}");
    if log.run(&mut build.chroot().script(&script)).is_err() {
        return Ok(None);
    }
    let dir = build.paths.work(&dir);
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
