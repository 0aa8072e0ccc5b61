//! Step `aot`: the module compiled ahead of time, by the package `xtask-aot`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::{Build, Compiler, Key, data, hash};
use crate::process::{Log, ensure_host_packages};

/// What LLVM's Rust bindings link against, with a file of each.
const HOST_PACKAGES: &[(&str, &str)] = &[
    ("llvm-22-dev", "/usr/lib/llvm-22/bin/llvm-config"),
    ("libpolly-22-dev", "/usr/lib/llvm-22/lib/libPolly.a"),
    ("libzstd-dev", "/usr/include/zstd.h"),
    ("zlib1g-dev", "/usr/include/zlib.h"),
    ("libxml2-dev", "/usr/include/libxml2"),
    ("g++", "g++"),
];

const OBJCOPY: &str = "/usr/lib/llvm-22/bin/llvm-objcopy";
/// A third of the file is DWARF that nothing reads: what is loaded are the segments and Wasmer's own sections. Profilers
/// find names among the dynamic symbols.
const STRIP: &[&str] = &["--strip-all", "--wildcard", "--keep-section=.w.*"];

pub(crate) fn key(build: &Build) -> Result<Key> {
    key_of(build, &build.paths.out("postgres.wasm"))?
        .file("split", &build.paths.repo("xtask/src/assets/data.rs"))
}

/// Of a step that compiles this module.
pub(crate) fn key_of(build: &Build, wasm: &Path) -> Result<Key> {
    let mut key = tool_key(build)?;
    if wasm.exists() {
        key = key.file("module", wasm)?;
    }
    Ok(key)
}

/// What decides how a module is compiled.
pub(crate) fn tool_key(build: &Build) -> Result<Key> {
    Key::new("aot")
        .text("compiler", build.compiler.name())
        .text("strip", &STRIP.join(" "))
        .dir("source", &build.paths.repo("xtask-aot/src"))?
        .file("lock", &build.paths.repo("xtask-aot/Cargo.lock"))?
        .file("features", &build.paths.repo("src/kernel/features.rs"))
}

/// Where the artifact goes.
pub(crate) fn artifact(build: &Build) -> PathBuf {
    artifact_of(build, "postgres.elf")
}

pub(crate) fn artifact_of(build: &Build, name: &str) -> PathBuf {
    match build.compiler {
        Compiler::Llvm => build.paths.out(name),
        Compiler::Cranelift => build.paths.out("cranelift").join(name),
    }
}

/// Where the data of PostgreSQL's module go: what the memory of a process begins with.
pub(crate) fn memory(build: &Build) -> PathBuf {
    build.paths.out("memory.img")
}

pub(crate) fn run(build: &Build, log: &mut Log) -> Result<()> {
    let (code, memory) = data::split(&hash::read(&build.paths.out("postgres.wasm"))?)?;
    hash::write_file(&self::memory(build), &memory)?;
    let module = build.paths.work("aot/postgres.wasm");
    hash::write_file(&module, &code)?;
    make(build, log, &module, &artifact(build))
}

/// An artifact in its place.
pub(crate) fn make(build: &Build, log: &mut Log, wasm: &Path, artifact: &Path) -> Result<()> {
    build_tool(build, log)?;
    if let Some(dir) = artifact.parent() {
        std::fs::create_dir_all(dir)?;
    }
    // Made beside and renamed: somebody may have the old one mapped.
    let fresh = artifact.with_extension("elf.new");
    compile(build, log, wasm, &fresh)?;
    std::fs::rename(&fresh, artifact)?;
    log.note(&format!("sha256 {}", hash::sha256(artifact)?))
}

const TOOL: &str = "xtask-aot";

pub(crate) fn build_tool(build: &Build, log: &mut Log) -> Result<()> {
    ensure_host_packages(HOST_PACKAGES, log)?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let package = build.paths.repo(TOOL);
    log.run(
        Command::new(cargo)
            .args(["build", "--release", "--locked", "--manifest-path"])
            .arg(package.join("Cargo.toml"))
            .env("LLVM_SYS_221_PREFIX", "/usr/lib/llvm-22")
            // Ours belong to the workspace.
            .env_remove("CARGO_TARGET_DIR")
            .env_remove("RUSTFLAGS"),
    )
}

/// One module, by the tool that [`build_tool`] has built.
pub(crate) fn compile(build: &Build, log: &mut Log, wasm: &Path, artifact: &Path) -> Result<()> {
    log.run(
        Command::new(build.paths.repo(TOOL).join("target/release").join(TOOL))
            .args(["--compiler", build.compiler.name()])
            .arg(wasm)
            .arg(artifact),
    )?;
    log.run(Command::new(OBJCOPY).args(STRIP).arg(artifact))
}
