//! Where source packages come from: apt in the toolchain's root, or this machine's own with lists of ours.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::root::SUITE;
use super::{Build, Chroot, hash};
use crate::paths::WORK;
use crate::process::{Log, installed};

/// An apt that knows the source packages of [`SUITE`].
pub(crate) enum Apt {
    /// The toolchain's root.
    Root(Chroot),
    /// This machine's apt with the configuration in this directory; it needs no rights, and changes nothing.
    Host(PathBuf),
}

impl Apt {
    /// The mirrors of this machine, which is some Debian, for a suite that it may not be of.
    pub(crate) fn host(build: &Build, log: &mut Log) -> Result<Apt> {
        if !installed("apt-get") {
            bail!("PostgreSQL's source is fetched with apt: this needs Debian");
        }
        let dir = build.paths.build().join("apt");
        for part in ["lists/partial", "cache/archives/partial"] {
            let part = dir.join(part);
            std::fs::create_dir_all(&part)
                .with_context(|| format!("cannot make {}", part.display()))?;
        }
        let mirror = mirror(Path::new("/etc/apt"))?;
        let list = source_lines(&mirror, "[trusted=yes] ");
        hash::write_file(&dir.join("sources.list"), list.as_bytes())?;
        let base = dir.display();
        let config = format!(
            // Not `_apt`, which may not write here.
            "APT::Sandbox::User \"root\";\n\
             Dir::State::Lists \"{base}/lists\";\n\
             Dir::Cache \"{base}/cache\";\n\
             Dir::Etc::SourceList \"{base}/sources.list\";\n\
             Dir::Etc::SourceParts \"/dev/null\";\n"
        );
        hash::write_file(&dir.join("apt.conf"), config.as_bytes())?;
        let apt = Apt::Host(dir);
        log.run(&mut apt.script("apt-get update"))?;
        Ok(apt)
    }

    /// A shell script that stops at the first command that fails.
    pub(crate) fn script(&self, script: &str) -> Command {
        match self {
            Apt::Root(chroot) => chroot.script(script),
            Apt::Host(dir) => {
                let mut command = Command::new("sh");
                command
                    .args(["-euc", script])
                    .env("APT_CONFIG", dir.join("apt.conf"))
                    .env("LC_ALL", "C");
                command
            }
        }
    }

    /// The directories of Debian's archive that have a source package's files, on the mirror in use.
    pub(crate) fn pools(&self, build: &Build, name: &str) -> Result<Vec<String>> {
        let mirror = match self {
            Apt::Root(_) => mirror(&build.paths.root().join("etc/apt"))?,
            Apt::Host(_) => mirror(Path::new("/etc/apt"))?,
        };
        let prefix = pool_prefix(name);
        Ok(vec![
            format!("{mirror}/pool/main/{prefix}/{name}"),
            format!("{mirror}-security/pool/updates/main/{prefix}/{name}"),
        ])
    }

    /// The directory for downloads of `name`: from here, and as [`script`](Apt::script) sees it.
    pub(crate) fn downloads(&self, build: &Build, name: &str) -> (PathBuf, PathBuf) {
        let path = format!("downloads/{name}");
        match self {
            Apt::Root(_) => (build.paths.work(&path), Path::new(WORK).join(path)),
            Apt::Host(dir) => (dir.join(&path), dir.join(&path)),
        }
    }
}

/// What a `sources.list` says of our suite's source packages, with updates and security updates. The options are
/// for a machine whose keyring is older than the suite: what is downloaded is checked by its SHA-256.
pub(crate) fn source_lines(mirror: &str, options: &str) -> String {
    lines("deb-src", mirror, options)
}

pub(crate) fn binary_lines(mirror: &str) -> String {
    lines("deb", mirror, "")
}

fn lines(kind: &str, mirror: &str, options: &str) -> String {
    [
        (mirror.to_owned(), SUITE.to_owned()),
        (mirror.to_owned(), format!("{SUITE}-updates")),
        // By Debian's convention the security archive is beside the main one.
        (format!("{mirror}-security"), format!("{SUITE}-security")),
    ]
    .iter()
    .map(|(mirror, suite)| format!("{kind} {options}{mirror} {suite} main\n"))
    .collect()
}

/// By Debian's convention: the first letter, of a library the first four.
fn pool_prefix(name: &str) -> &str {
    name.get(..if name.starts_with("lib") { 4 } else { 1 }).unwrap_or(name)
}

/// The mirror that this machine's apt uses, in either of apt's formats.
fn mirror(etc: &Path) -> Result<String> {
    let mut files = vec![etc.join("sources.list")];
    if let Ok(parts) = std::fs::read_dir(etc.join("sources.list.d")) {
        files.extend(parts.filter_map(|part| Some(part.ok()?.path())));
    }
    let is_list = |file: &PathBuf| {
        file.extension().is_some_and(|kind| kind == "list" || kind == "sources") && file.exists()
    };
    for file in files.iter().filter(|file| is_list(file)) {
        if let Some(mirror) = mirror_in(&hash::read_text(file)?) {
            return Ok(mirror);
        }
    }
    bail!("{} names no mirror of Debian, where PostgreSQL's source is fetched from", etc.display())
}

fn mirror_in(text: &str) -> Option<String> {
    let lines = text.lines().map(str::trim);
    let words = lines
        .filter(|line| line.starts_with("deb") || line.starts_with("URIs:"))
        .flat_map(str::split_whitespace);
    let mut mirrors =
        words.filter(|word| word.contains("://")).map(|uri| uri.trim_end_matches('/'));
    mirrors.find(|uri| uri.ends_with("/debian")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_the_pool() {
        assert_eq!(pool_prefix("postgresql-17"), "p");
        assert_eq!(pool_prefix("libzstd"), "libz");
    }

    #[test]
    fn the_mirror_of_both_formats() {
        let cases = [
            ("deb http://mirror.test/debian trixie main", Some("http://mirror.test/debian")),
            ("deb [arch=amd64] https://a.test/debian/ sid main", Some("https://a.test/debian")),
            (
                "Types: deb\n# URIs: http://old.test/debian\nURIs: http://a.test/other http://b.test/debian",
                Some("http://b.test/debian"),
            ),
            ("URIs: http://mirror.test/debian-security", None),
            ("# deb http://mirror.test/debian trixie main", None),
            ("deb http://mirror.test/ubuntu noble main", None),
        ];
        for (text, mirror) in cases {
            assert_eq!(mirror_in(text).as_deref(), mirror, "{text}");
        }
    }
}
