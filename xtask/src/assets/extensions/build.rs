//! Step `extensions`: the modules as WebAssembly, and the files that belong to them.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use super::super::libraries::unpack;
use super::super::{Build, Key, abi, compile, hash, rewrite, symbols, wasm};
use super::catalogue::{Catalogue, FILE, Module, Source};
use super::interface::{Core, Imports};
use super::{files, libraries, rust, sdk, side, wasm_dir};
use crate::paths::WORK;
use crate::process::Log;

/// Where each source is installed, below a directory of its name.
pub(super) const INSTALL: &str = "extensions/install";

/// Sources that are not part of PostgreSQL.
const PACKAGES: &str = "extension-sources";

const LINKED: &str = "extensions/linked";
const OPTIMISED: &str = "extensions/optimised";

/// Begins with what `dlopen` needs.
const DYLINK: &str = "dylink.0";

pub(super) fn key(build: &Build) -> Result<Key> {
    let mut key = Key::new("extensions")
        .text("compile", &compile::key(build)?.finish())
        .text("libraries", &libraries::key(build)?.finish())
        .text("rust", &rust::key(build)?.finish())
        .file("catalogue", &build.paths.repo(FILE))?
        .dir("side", &build.paths.repo("assets/wasix/side"))?
        .text("script", &script(&Catalogue::read(build)?, 1)?)
        .text("optimise", &side::optimise("", ""));
    for (source, _) in Catalogue::read(build)?.sources() {
        match source {
            Source::Package(name) => key = key.text(&name, &build.lock.source(&name)?.sha256),
            Source::Crate(name) => {
                for part in PARTS_OF_CRATE {
                    key = key.dir(part, &krate(build, &name).join(part))?;
                }
                key = key.file("makefile", &krate(build, &name).join("Makefile"))?;
            }
            Source::Contrib(_) | Source::Regress => {}
        }
    }
    let symbols = build.paths.work(symbols::NAMES);
    if symbols.exists() {
        key = key.file("symbols", &symbols)?;
    }
    Ok(key)
}

pub(super) fn run(build: &Build, log: &mut Log) -> Result<()> {
    let catalogue = Catalogue::read(build)?;
    for dir in [INSTALL, LINKED, OPTIMISED] {
        hash::empty_dir(&build.paths.work(dir))?;
    }
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    sdk::write_pg_config(build)?;
    for (source, _) in catalogue.sources() {
        match source {
            Source::Package(name) => unpack(build, log, &name, PACKAGES)?,
            Source::Crate(name) => copy_crate(build, &name)?,
            Source::Contrib(_) | Source::Regress => {}
        }
    }
    log.run(&mut build.chroot().script(&script(&catalogue, jobs)?))?;
    for module in catalogue.modules()? {
        let linked = hash::read(&linked(build, &module))?;
        let name = module.name;
        let module = rewrite::without_zeroing(&linked).with_context(|| format!("module {name}"))?;
        hash::write_file(&build.paths.work(LINKED).join(format!("{name}.so")), &module)?;
    }
    let optimise = side::optimise("$0", &format!("{WORK}/{OPTIMISED}/$0"));
    log.run(&mut build.chroot().script(&format!(
        "cd {WORK}/{LINKED}; ls *.so | xargs -n1 -P{jobs} sh -euc 'exec {optimise}'"
    )))?;
    finish(build, &catalogue)?;
    files::collect(build, &catalogue)
}

/// Makes and installs each source. A module that was linked before is linked again, perhaps with other flags.
fn script(catalogue: &Catalogue, jobs: usize) -> Result<String> {
    let mut script = sdk::install();
    for (source, libraries) in catalogue.sources() {
        let dir = match &source {
            Source::Contrib(name) => format!("{WORK}/obj/contrib/{name}"),
            Source::Package(name) | Source::Crate(name) => format!("{WORK}/{PACKAGES}/{name}"),
            Source::Regress => {
                let dir = format!("{WORK}/obj/src/test/regress");
                let make = side::make(&dir, &[], "all-lib", jobs)?;
                script += &format!("rm -f {dir}/*.so\n{make}\n");
                continue;
            }
        };
        let install = format!("install DESTDIR={WORK}/{INSTALL}/{}", source.name());
        script += &format!(
            "rm -f {dir}/*.so\n{}\n{}\n",
            side::make(&dir, libraries, "all", jobs)?,
            side::make(&dir, libraries, &install, 1)?
        );
    }
    Ok(script)
}

/// What is built of a crate: its C and its scripts. Its Rust is in a library, see the step `extension-libraries`.
const PARTS_OF_CRATE: [&str; 2] = ["c", "sql"];

fn krate(build: &Build, name: &str) -> PathBuf {
    build.paths.repo("crates").join(name)
}

fn copy_crate(build: &Build, name: &str) -> Result<()> {
    let (from, to) = (krate(build, name), build.paths.work(PACKAGES).join(name));
    hash::empty_dir(&to)?;
    for part in PARTS_OF_CRATE {
        hash::mirror(&from.join(part), &to.join(part))?;
    }
    hash::copy(&from.join("Makefile"), &to.join("Makefile"))
}

/// The file that the makefiles have made.
fn linked(build: &Build, module: &Module) -> PathBuf {
    let file = format!("{}.so", module.name);
    match &module.source {
        Source::Regress => build.paths.work("obj/src/test/regress").join(file),
        source => files::installed(build, source).join("lib/postgresql").join(file),
    }
}

/// Checks the optimised modules against the core and each other, and says for which core they are.
fn finish(build: &Build, catalogue: &Catalogue) -> Result<()> {
    let symbols = hash::read_text(&build.paths.work(symbols::NAMES))
        .context("the core's symbols come from the step `link`")?;
    let core = Core::parse(&symbols)?;
    let abi = abi::hash(build)?;
    let mut imports = Imports::default();
    let mut wanted = Vec::new();
    let out = wasm_dir(build);
    for Module { name, .. } in catalogue.modules()? {
        let file = format!("{name}.so");
        let bytes = hash::read(&build.paths.work(OPTIMISED).join(&file))?;
        if rewrite::first_section(&bytes) != Some(DYLINK) {
            bail!("module {name} has lost its section {DYLINK}");
        }
        let path = format!("{WORK}/");
        if bytes.windows(path.len()).any(|window| window == path.as_bytes()) {
            bail!("module {name} contains a path of the build");
        }
        let module = wasm::Module::parse(&bytes).with_context(|| format!("module {name}"))?;
        imports.add(&name, &module, &core, &[])?;
        let bytes = wasm::with_custom_section(&bytes, abi::SECTION, &abi);
        hash::write_file(&out.join(&file), &bytes)?;
        wanted.push(PathBuf::from(file));
    }
    for file in hash::files(&out)? {
        if !wanted.contains(&file) {
            std::fs::remove_file(out.join(&file))
                .with_context(|| format!("cannot remove {}", file.display()))?;
        }
    }
    hash::write_file(&build.paths.out("extensions/imports.txt"), imports.to_text().as_bytes())
}
