//! `manifest.json`: what the packed assets were made of. `cargo xtask assets check` compares it with what is there.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use super::lock::{self, Source, Tool};
use super::{Build, Key, flags, hash, pack, sources, wasm};
use crate::paths::Paths;

/// In the assets crate, which hands it on to the library.
const FILE: &str = "crates/pglite-oxide-assets/packed/manifest.json";

/// What decides the content of the packed files: directories and files of the repository. Of xtask, only the
/// modules that make something.
const INPUTS: &[&str] = &[
    "assets/extensions.toml",
    "assets/libraries",
    lock::FILE,
    "assets/postgres",
    "assets/wasix",
    "crates/ruvector-core/Cargo.toml",
    "crates/ruvector-core/src",
    "crates/ruvector-side-module/Cargo.lock",
    "crates/ruvector-side-module/Cargo.toml",
    "crates/ruvector-side-module/Makefile",
    "crates/ruvector-side-module/c",
    "crates/ruvector-side-module/sql",
    "crates/ruvector-side-module/src",
    "src/kernel/features.rs",
    "src/kernel/fs/archive.rs",
    "xtask-aot/Cargo.lock",
    "xtask-aot/src",
    "xtask/src/assets/abi.rs",
    "xtask/src/assets/aot.rs",
    "xtask/src/assets/chroot.rs",
    "xtask/src/assets/compile.rs",
    "xtask/src/assets/configure.rs",
    "xtask/src/assets/data.rs",
    "xtask/src/assets/extensions",
    "xtask/src/assets/flags.rs",
    "xtask/src/assets/initdb.rs",
    "xtask/src/assets/libraries",
    "xtask/src/assets/link.rs",
    "xtask/src/assets/pack.rs",
    "xtask/src/assets/rewrite.rs",
    "xtask/src/assets/share.rs",
    "xtask/src/assets/shim.rs",
    "xtask/src/assets/symbols.rs",
    "xtask/src/assets/sysroot.rs",
    "xtask/src/assets/table.wat",
    "xtask/src/assets/tools.rs",
    "xtask/src/assets/tree.rs",
];

#[derive(Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// Of PostgreSQL.
    version: String,
    /// Hash of the inputs in the repository.
    fingerprint: String,
    sources: Vec<Source>,
    tools: Vec<Tool>,
    compiler: CompilerInfo,
    module: Module,
    files: Vec<Packed>,
}

#[derive(Serialize, Deserialize)]
struct CompilerInfo {
    /// The script that stands for the C compiler.
    cc: String,
    optimize: String,
    link: Vec<String>,
    wasm_opt: Vec<String>,
    configure: Vec<String>,
    /// Of the ahead-of-time compiler, which the loader must equal.
    wasmer: String,
    aot: String,
    prefix: String,
}

#[derive(Serialize, Deserialize)]
struct Module {
    sha256: String,
    size: u64,
    /// Hash of the imports and exports: another one needs another kernel.
    abi: String,
    imports: Vec<String>,
    exports: Vec<String>,
}

/// A file of one of the crates.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Packed {
    pub(crate) dir: String,
    pub(crate) file: String,
    pub(crate) name: String,
    pub(crate) what: String,
    pub(crate) packed_size: u64,
    pub(crate) packed_blake3: String,
    pub(crate) size: u64,
    pub(crate) blake3: String,
    pub(crate) xxh3: String,
}

impl Manifest {
    pub(crate) fn new(build: &Build, files: Vec<Packed>) -> Result<Self> {
        let strings = |list: &[&str]| list.iter().map(|item| (*item).to_owned()).collect();
        Ok(Self {
            version: build.lock.source(sources::POSTGRES)?.version.clone(),
            fingerprint: fingerprint(&build.paths)?,
            sources: build.lock.source.clone(),
            tools: build.lock.tool.clone(),
            compiler: CompilerInfo {
                cc: flags::compiler_script(),
                optimize: flags::OPTIMIZE.to_owned(),
                link: strings(flags::LINK),
                wasm_opt: strings(flags::WASM_OPT),
                configure: strings(flags::CONFIGURE),
                wasmer: wasmer_version(&build.paths)?,
                aot: build.compiler.name().to_owned(),
                prefix: flags::PREFIX.to_owned(),
            },
            module: Module::describe(&build.paths.out("postgres.wasm"))?,
            files,
        })
    }

    pub(crate) fn write(&self, paths: &Paths) -> Result<()> {
        let mut text =
            serde_json::to_string_pretty(self).context("cannot write the manifest as JSON")?;
        text.push('\n');
        hash::write_file(&paths.repo(FILE), text.as_bytes())
    }
}

impl Module {
    fn describe(path: &Path) -> Result<Self> {
        let bytes = hash::read(path)?;
        let module = wasm::Module::parse(&bytes).with_context(|| path.display().to_string())?;
        let mut imports: Vec<String> =
            module.imports.iter().map(|i| format!("{}.{} {}", i.module, i.name, i.kind)).collect();
        let mut exports: Vec<String> =
            module.exports.iter().map(|e| format!("{} {}", e.name, e.kind)).collect();
        imports.sort();
        exports.sort();
        let abi = Key::new("abi")
            .text("imports", &imports.join("\n"))
            .text("exports", &exports.join("\n"))
            .finish();
        Ok(Self { sha256: hash::sha256(path)?, size: bytes.len() as u64, abi, imports, exports })
    }
}

/// The hash of [`INPUTS`].
pub(crate) fn fingerprint(paths: &Paths) -> Result<String> {
    let mut key = Key::new("assets");
    for input in INPUTS {
        let path = paths.repo(input);
        key = if path.is_dir() { key.dir(input, &path)? } else { key.file(input, &path)? };
    }
    Ok(key.finish())
}

fn wasmer_version(paths: &Paths) -> Result<String> {
    #[derive(Deserialize)]
    struct CargoLock {
        package: Vec<Package>,
    }
    #[derive(Deserialize)]
    struct Package {
        name: String,
        version: String,
    }
    let path = paths.repo("xtask-aot/Cargo.lock");
    let lock: CargoLock =
        toml::from_str(&hash::read_text(&path)?).with_context(|| path.display().to_string())?;
    match lock.package.into_iter().find(|package| package.name == "wasmer") {
        Some(wasmer) => Ok(wasmer.version),
        None => bail!("{} has no wasmer", path.display()),
    }
}

/// `cargo xtask assets check`: are the committed assets those of the committed inputs?
pub(crate) fn check() -> Result<()> {
    let paths = Paths::find()?;
    let path = paths.repo(FILE);
    if !path.exists() {
        bail!("there are no packed assets yet: run `cargo xtask assets build`");
    }
    let manifest: Manifest = serde_json::from_str(&hash::read_text(&path)?)
        .with_context(|| format!("in {}", path.display()))?;
    let mut wrong = Vec::new();
    let found = fingerprint(&paths)?;
    if found != manifest.fingerprint {
        wrong.push(format!(
            "the inputs have changed since the assets were built (fingerprint {found}, manifest {}); inputs are:\n    {}",
            manifest.fingerprint,
            INPUTS.join("\n    ")
        ));
    }
    for file in &manifest.files {
        if !pack::DIRS.contains(&file.dir.as_str()) {
            wrong.push(format!("the manifest names a file in {}", file.dir));
            continue;
        }
        let path = paths.repo(&file.dir).join(&file.file);
        match std::fs::read(&path) {
            Err(error) => wrong.push(format!("{}: {error}", path.display())),
            Ok(bytes) => {
                let found = blake3::hash(&bytes).to_hex();
                if found.as_str() != file.packed_blake3 {
                    wrong.push(format!(
                        "{}/{} is not the file of the manifest: BLAKE3 {found}, manifest {}",
                        file.dir, file.file, file.packed_blake3
                    ));
                }
            }
        }
    }
    if !wrong.is_empty() {
        bail!(
            "the committed assets do not match their inputs:\n  {}\nRun `cargo xtask assets build` and commit what it writes.",
            wrong.join("\n  ")
        );
    }
    println!(
        "assets match their inputs: PostgreSQL {}, fingerprint {}",
        manifest.version,
        &manifest.fingerprint[..16]
    );
    Ok(())
}
