//! Step `extension-rust`: what modules have of Rust, as a static library of position-independent code.

use std::process::Command;

use anyhow::Result;

use super::super::libraries::PIC;
use super::super::{Build, Key, hash};
use crate::process::Log;

/// A workspace of its own: its panics abort.
const CRATE: &str = "crates/ruvector-side-module";

/// It depends on this one alone.
const CORE: &str = "crates/ruvector-core";

const TARGET: &str = "wasm32-unknown-unknown";

/// What Rust's own libraries are compiled with is not position-independent, nor for shared memory; but link-time
/// optimisation, which the crate's release profile has, generates their code anew.
const FLAGS: &str = "-C relocation-model=pic -C target-feature=+simd128,+bulk-memory,+atomics";

/// The crates, whose files decide what the library is.
const SOURCE: [(&str, &str); 2] = [("ruvector-core", CORE), ("ruvector-side-module", CRATE)];

pub(crate) fn key(build: &Build) -> Result<Key> {
    let mut key = Key::new("extension-rust").text("flags", FLAGS).text("rustc", &version()?);
    for (name, dir) in SOURCE {
        key = key
            .file(name, &build.paths.repo(dir).join("Cargo.toml"))?
            .dir(name, &build.paths.repo(dir).join("src"))?;
    }
    Ok(key)
}

fn version() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

pub(crate) fn run(build: &Build, log: &mut Log) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = build.paths.build().join("rust");
    log.run(
        Command::new(cargo)
            .args(["build", "--release", "--locked", "--target", TARGET, "--manifest-path"])
            .arg(build.paths.repo(CRATE).join("Cargo.toml"))
            .env("CARGO_TARGET_DIR", &target)
            .env("RUSTFLAGS", FLAGS),
    )?;
    let library = target.join(TARGET).join("release/libruvector_side_module.a");
    hash::copy(&library, &build.paths.work(PIC).join("libruvector.a"))
}
