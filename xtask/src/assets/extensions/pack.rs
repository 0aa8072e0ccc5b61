//! What the crates of extensions carry: part of the step `pack`.

use std::path::Path;

use anyhow::{Result, bail};
use serde::Serialize;

use super::super::manifest::Packed;
use super::super::pack::{store, tree, write_index};
use super::super::{Build, Key, abi, hash, share};
use super::catalogue::{Catalogue, Module as Built, Purpose};
use super::files::{Control, PARTS};
use super::{code, share_dir, wasm_dir};
use crate::process::Log;

/// The crate with control files, scripts and dictionaries.
pub(crate) const FILES: &str = "crates/pglite-oxide-extensions/packed";
/// The crate with native code.
pub(crate) const MODULES: &str = "crates/pglite-oxide-extensions-x86_64-unknown-linux-gnu/packed";

#[derive(Serialize)]
struct Manifest {
    /// Of the core that the modules are for.
    abi: String,
    extensions: Vec<Extension>,
    modules: Vec<Module>,
}

#[derive(Serialize)]
struct Extension {
    name: String,
    /// Absent if CREATE EXTENSION does not know it: then it is only loaded.
    #[serde(skip_serializing_if = "String::is_empty")]
    version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    comment: String,
    requires: Vec<String>,
    modules: Vec<String>,
    /// Only of use if loaded when PostgreSQL starts.
    preload: bool,
    /// May be created by who owns the database, without being superuser.
    trusted: bool,
}

#[derive(Serialize)]
struct Module {
    name: String,
    size: u64,
    packed_size: u64,
    wasm_size: u64,
    blake3: String,
}

pub(super) fn key(build: &Build, key: Key) -> Result<Key> {
    let catalogue = Catalogue::read(build)?;
    let mut key = key;
    for module in packed_modules(&catalogue)? {
        let file = code(build, &module);
        if file.exists() {
            key = key.file(&module.name, &file)?;
        }
    }
    let share = share_dir(build, Purpose::Packed);
    if share.exists() {
        key = key.dir("extensions", &share)?;
    }
    Ok(key)
}

/// Packs all, and writes the indexes of both crates.
pub(crate) fn pack(build: &Build, log: &mut Log) -> Result<Vec<Packed>> {
    let catalogue = Catalogue::read(build)?;
    let installation = build.paths.out("extensions/installation");
    hash::empty_dir(&installation)?;
    for part in PARTS {
        let from = share_dir(build, Purpose::Packed).join(part);
        hash::mirror(&from, &installation.join(share::SHARE).join(part))?;
    }
    // PostgreSQL looks whether a module's file is there before it asks for the module.
    for Built { name, .. } in packed_modules(&catalogue)? {
        let text = format!("{name} is a side module\n");
        let file = installation.join(share::LIBRARIES).join(format!("{name}.so"));
        hash::write_file(&file, text.as_bytes())?;
    }
    let archive = tree(&installation, |_| true)?;
    let what = "Control files, scripts, dictionaries and names of modules, as parts of the installation tree";
    let mut packed = vec![store(build, log, FILES, "extensions.img", what, &archive)?];
    let mut described = Vec::new();
    for module in packed_modules(&catalogue)? {
        let content = hash::read(&code(build, &module))?;
        let name = module.name;
        let what = format!("The module {name} as native code");
        let file = store(build, log, MODULES, &format!("{name}.so"), &what, &content)?;
        let wasm = hash::read(&wasm_dir(build).join(format!("{name}.so")))?;
        described.push(Module {
            name,
            size: file.size,
            packed_size: file.packed_size,
            wasm_size: wasm.len() as u64,
            blake3: file.blake3.clone(),
        });
        packed.push(file);
    }
    remove_others(build, &packed)?;
    write_index(build, FILES, &packed)?;
    write_modules(build, &packed)?;
    write_manifest(build, &catalogue, described)?;
    Ok(packed)
}

fn packed_modules(catalogue: &Catalogue) -> Result<Vec<Built>> {
    let mut modules = catalogue.modules()?;
    modules.retain(|module| module.purpose == Purpose::Packed);
    Ok(modules)
}

/// Files of modules that are no more.
fn remove_others(build: &Build, packed: &[Packed]) -> Result<()> {
    let dir = build.paths.repo(MODULES);
    for file in hash::files(&dir)? {
        let is_module = file.extension().is_some_and(|ending| ending == "zst");
        let known =
            packed.iter().any(|packed| packed.dir == MODULES && Path::new(&packed.file) == file);
        if is_module && !known {
            std::fs::remove_file(dir.join(file))?;
        }
    }
    Ok(())
}

fn write_modules(build: &Build, packed: &[Packed]) -> Result<()> {
    use std::fmt::Write as _;
    let mut text = "// Written by `cargo xtask assets build`.\n\n/// All modules, by name.\n\
                    pub const MODULES: &[Module] = &[\n"
        .to_owned();
    for file in packed.iter().filter(|file| file.dir == MODULES) {
        let Some(name) = file.name.strip_suffix(".so") else { bail!("{} is no module", file.name) };
        let _ = write!(
            text,
            "    Module {{\n        name: \"{name}\",\n        packed: include_bytes!(\"{}\"),\n        \
             blake3: \"{}\",\n        xxh3: 0x{},\n        len: {},\n    }},\n",
            file.file, file.blake3, file.xxh3, file.size
        );
    }
    text += "];\n";
    hash::write_file(&build.paths.repo(MODULES).join("index.rs"), text.as_bytes())
}

fn write_manifest(build: &Build, catalogue: &Catalogue, modules: Vec<Module>) -> Result<()> {
    let mut extensions = Vec::new();
    for entry in catalogue.packed() {
        let control =
            if entry.create { Control::read(build, &entry.name)? } else { Control::default() };
        for name in &control.requires {
            if !catalogue.packed().any(|other| other.name == *name) && name != "plpgsql" {
                bail!("extension {} requires {name}, which is not packed", entry.name);
            }
        }
        extensions.push(Extension {
            name: entry.name.clone(),
            version: control.version,
            comment: control.comment,
            requires: control.requires,
            modules: entry.modules(),
            preload: entry.preload,
            trusted: control.trusted,
        });
    }
    let abi = blake3::Hash::from_bytes(abi::hash(build)?).to_hex().to_string();
    let manifest = Manifest { abi, extensions, modules };
    let text = serde_json::to_string_pretty(&manifest)? + "\n";
    hash::write_file(&build.paths.repo(FILES).join("manifest.json"), text.as_bytes())
}
