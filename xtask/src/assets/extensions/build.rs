//! Step `extensions`: the modules as WebAssembly, and the files that belong to them.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use super::super::{Build, Key, abi, compile, hash, rewrite, symbols, wasm};
use super::catalogue::{Catalogue, FILE, Source};
use super::interface::{Core, Imports};
use super::{REGRESS, files, modules, side, wasm_dir};
use crate::paths::WORK;
use crate::process::Log;

/// Where each source is installed, below a directory of its name.
pub(super) const INSTALL: &str = "extensions/install";

const LINKED: &str = "extensions/linked";
const OPTIMISED: &str = "extensions/optimised";

/// Begins with what `dlopen` needs.
const DYLINK: &str = "dylink.0";

pub(super) fn key(build: &Build) -> Result<Key> {
    let mut key = Key::new("extensions")
        .text("compile", &compile::key(build)?.finish())
        .file("catalogue", &build.paths.repo(FILE))?
        .dir("side", &build.paths.repo("assets/wasix/side"))?
        .text("script", &script(&Catalogue::read(build)?, 1))
        .text("optimise", &side::optimise("", ""));
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
    log.run(&mut build.chroot().script(&script(&catalogue, jobs)))?;
    for name in modules(&catalogue) {
        let linked = hash::read(&linked(build, &catalogue, &name)?)?;
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

/// Makes and installs each source; a module that was linked with other flags is no good.
fn script(catalogue: &Catalogue, jobs: usize) -> String {
    let mut script = format!("cd {WORK}/obj\n");
    for (source, libraries) in catalogue.sources() {
        let dir = match &source {
            Source::Contrib(name) => format!("{WORK}/obj/contrib/{name}"),
            Source::Package(name) => format!("{WORK}/extension-sources/{name}"),
        };
        let libraries: Vec<String> = libraries
            .iter()
            .map(|file| format!("{WORK}/{}/{file}", super::super::libraries::PIC))
            .collect();
        let libraries = libraries.join(" ");
        script += &format!(
            "rm -f {dir}/*.so\n{}\n{}\n",
            side::make(&dir, &libraries, "all", jobs),
            side::make(
                &dir,
                &libraries,
                &format!("install DESTDIR={WORK}/{INSTALL}/{}", source.name()),
                1
            )
        );
    }
    let regress = format!("{WORK}/obj/src/test/regress");
    script + &format!("rm -f {regress}/*.so\n{}\n", side::make(&regress, "", "all-lib", jobs))
}

/// The file that the makefiles have made.
fn linked(build: &Build, catalogue: &Catalogue, module: &str) -> Result<PathBuf> {
    if module == REGRESS {
        return Ok(build.paths.work("obj/src/test/regress/regress.so"));
    }
    let of_module = |extension: &&super::catalogue::Extension| {
        extension.modules().iter().any(|name| name == module)
    };
    let extension =
        catalogue.extension.iter().find(of_module).context("a module of no extension")?;
    let dir = files::installed(build, &extension.source());
    Ok(dir.join("lib/postgresql").join(format!("{module}.so")))
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
    for name in modules(catalogue) {
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
