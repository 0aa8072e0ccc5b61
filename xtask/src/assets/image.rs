//! Step `image`: a temporary database that has started, for others to begin from.
//!
//! The library makes it, with the files that the step `pack` has put into the crates. So this step comes after that
//! one, and packs again.

use std::process::Command;

use anyhow::Result;

use super::{Build, Key, aot, initdb, pack, share};
use crate::process::Log;

/// What says how an image is made and written. Not in the fingerprint of the packed files: other code of the library
/// decides too, and an image that does not fit is not used.
const SOURCES: &[&str] = &[
    "src/client/resume.rs",
    "src/cluster/image_file.rs",
    "src/kernel/image.rs",
    "src/kernel/park.rs",
    "src/kernel/park",
    "xtask-db/src/image.rs",
];

pub(crate) fn key(build: &Build) -> Result<Key> {
    let mut key = Key::new("image");
    for source in SOURCES {
        let path = build.paths.repo(source);
        key = if path.is_dir() { key.dir(source, &path)? } else { key.file(source, &path)? };
    }
    let artifact = aot::artifact(build);
    if artifact.exists() {
        key = key.file("artifact", &artifact)?;
    }
    for (name, dir) in [("share", share::dir(build)), ("template", initdb::dir(build))] {
        if dir.exists() {
            key = key.dir(name, &dir)?;
        }
    }
    Ok(key)
}

pub(crate) fn run(build: &Build, log: &mut Log) -> Result<()> {
    let image = build.paths.out(pack::IMAGE);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    log.run(
        Command::new(cargo)
            .current_dir(build.paths.repo(""))
            .args(["run", "--quiet", "--release", "--package", "xtask-db", "--", "image"])
            .arg(&image),
    )?;
    pack::run(build, log)
}
