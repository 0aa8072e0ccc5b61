//! Extensions: libraries that PostgreSQL loads when they are asked for. Each is a side module, which the kernel links
//! to the core (`src/kernel/linker`).
//!
//! `out/extensions` is laid out as a directory of extensions that the library can be given: `lib/*.so` and `share/`.

mod aot;
mod build;
mod catalogue;
mod files;
mod interface;
mod pack;
mod side;

use std::path::PathBuf;

use anyhow::Result;

use self::catalogue::Catalogue;
use super::{Build, Key};
use crate::process::Log;

pub(crate) use self::pack::{FILES, MODULES, pack};

pub(crate) fn key(build: &Build) -> Result<Key> {
    build::key(build)
}

pub(crate) fn run(build: &Build, log: &mut Log) -> Result<()> {
    build::run(build, log)
}

pub(crate) fn aot_key(build: &Build) -> Result<Key> {
    aot::key(build)
}

pub(crate) fn aot_run(build: &Build, log: &mut Log) -> Result<()> {
    aot::run(build, log)
}

/// What decides the content of the packed extensions.
pub(crate) fn pack_key(build: &Build, key: Key) -> Result<Key> {
    pack::key(build, key)
}

/// PostgreSQL's own module for its regression tests. Not for users, so in a directory of its own.
const REGRESS: &str = "regress";

/// The modules as WebAssembly.
fn wasm_dir(build: &Build) -> PathBuf {
    build.paths.out("extensions/wasm")
}

/// Native code: of all modules that are packed, or of the one for the regression tests.
fn code(build: &Build, module: &str) -> PathBuf {
    let dir = if module == REGRESS { "extensions/regress/lib" } else { "extensions/lib" };
    build.paths.out(dir).join(format!("{module}.so"))
}

/// Control files, scripts and dictionaries.
fn share_dir(build: &Build) -> PathBuf {
    build.paths.out("extensions/share")
}

/// All modules that are built.
fn modules(catalogue: &Catalogue) -> Vec<String> {
    let mut modules: Vec<String> =
        catalogue.extension.iter().flat_map(|extension| extension.modules()).collect();
    modules.push(REGRESS.to_owned());
    modules
}
