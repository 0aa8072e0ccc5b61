//! Step `tree`: PostgreSQL's source, patched, with our port files in place.

use anyhow::{Context as _, Result, bail};

use super::chroot::quote;
use super::sources::{POSTGRES, tarball};
use super::{Build, Key, hash};
use crate::paths::WORK;
use crate::process::Log;

const PATCHES: &str = "assets/postgres/patches";
const PORT: &str = "assets/wasix/port";

/// Where each file of [`PORT`] belongs in Postgres' tree.
const PORT_FILES: &[(&str, &str)] = &[
    ("wasix", "src/template"),
    ("Makefile.wasix", "src/makefiles"),
    ("wasix.h", "src/include/port"),
    ("wasix_sema.c", "src/backend/port"),
    ("wasix_shmem.c", "src/backend/port"),
    ("be-secure-kernel.c", "src/backend/libpq"),
];

pub(crate) fn key(build: &Build) -> Result<Key> {
    Key::new("tree")
        .text("postgres", &build.lock.source(POSTGRES)?.sha256)
        .text("places", &format!("{PORT_FILES:?}"))
        .dir("patches", &build.paths.repo(PATCHES))?
        .dir("port", &build.paths.repo(PORT))
}

pub(crate) fn run(build: &Build, log: &mut Log) -> Result<()> {
    let source = build.lock.source(POSTGRES)?;
    let fresh = build.paths.work("pg.new");
    hash::empty_dir(&fresh)?;
    hash::mirror(&build.paths.repo(PATCHES), &build.paths.work("patches"))?;
    hash::copy(&tarball(&build.paths, source), &build.paths.work("downloads").join(&source.file))?;
    log.run(&mut build.chroot().script(&format!(
        "cd {WORK}/pg.new; tar --strip-components=1 -xf ../downloads/{}",
        quote(&source.file)
    )))?;
    for patch in series(build)? {
        log.run(&mut build.chroot().script(&format!(
            "cd {WORK}/pg.new; patch -p1 --fuzz=0 --no-backup-if-mismatch -i ../patches/{}",
            quote(&patch)
        )))
        .with_context(|| format!("{patch} does not apply"))?;
    }
    for file in hash::files(&build.paths.repo(PORT))? {
        let name = file.to_string_lossy();
        let Some((_, dir)) = PORT_FILES.iter().find(|(known, _)| *known == name) else {
            bail!("{PORT}/{name} has no place in Postgres' tree: add it to PORT_FILES in xtask");
        };
        hash::copy(&build.paths.repo(PORT).join(&file), &fresh.join(dir).join(&file))?;
    }
    // Only what changed gets a new time: make does the rest.
    hash::mirror(&fresh, &build.paths.work("pg"))?;
    hash::remove_dir(&fresh)
}

/// The patches in order: `series` names them, one a line. A patch it does not name is a mistake.
fn series(build: &Build) -> Result<Vec<String>> {
    let dir = build.paths.repo(PATCHES);
    let names: Vec<String> = hash::read_text(&dir.join("series"))?
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    for file in hash::files(&dir)? {
        let name = file.to_string_lossy();
        if name.ends_with(".patch") && !names.iter().any(|known| *known == name) {
            bail!("{PATCHES}/{name} is not in {PATCHES}/series");
        }
    }
    Ok(names)
}
