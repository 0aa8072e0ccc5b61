//! Extensions: libraries that PostgreSQL loads when they are asked for. Each is a side module, which the kernel links
//! to the core (`src/kernel/linker`).
//!
//! `out/extensions` is laid out as a directory of extensions that the library can be given: `lib/*.so` and `share/`.
//! So is `out/extensions/reference`, with what ours are compared with.

mod aot;
mod build;
mod catalogue;
mod files;
mod interface;
pub(crate) mod libraries;
mod pack;
pub(crate) mod rust;
mod sdk;
mod side;

use std::path::PathBuf;

use anyhow::Result;

use self::catalogue::{Module, Purpose};
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

/// The modules as WebAssembly.
fn wasm_dir(build: &Build) -> PathBuf {
    build.paths.out("extensions/wasm")
}

/// What is not packed has directories of its own.
fn dir(build: &Build, purpose: Purpose) -> PathBuf {
    build.paths.out(match purpose {
        Purpose::Packed => "extensions",
        Purpose::Reference => "extensions/reference",
        Purpose::Regress => "extensions/regress",
    })
}

/// A module's native code.
fn code(build: &Build, module: &Module) -> PathBuf {
    dir(build, module.purpose).join("lib").join(format!("{}.so", module.name))
}

/// Control files, scripts and dictionaries.
fn share_dir(build: &Build, purpose: Purpose) -> PathBuf {
    dir(build, purpose).join("share")
}
