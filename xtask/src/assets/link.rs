//! Step `link`: `postgres.wasm`, and beside it a copy with names for profilers.

use anyhow::{Context as _, Result, bail};

use super::chroot::quote;
use super::compile::{LIBPQ, OBJECTS, modules};
use super::{Build, Key, flags, hash, rewrite, symbols, wasm};
use crate::paths::WORK;
use crate::process::Log;

/// What the kernel finds the module by. A build that lost one of these would fail far from here.
const REQUIRED_EXPORTS: &[&str] = &[
    "__c_longjmp",
    "__indirect_function_table",
    "__stack_pointer",
    "_initialize",
    "aligned_alloc",
    "longjmp_args",
    "memory",
    "pgl_child",
    "pgl_unpark",
    "pgl_main",
    "pgl_symbol_values",
    "pgl_table_publish",
];

/// Slots of the table for side modules. All extensions together need 2,300; each takes 40 bytes of every instance.
const FREE_SLOTS: u32 = 8192;

/// The custom section with the first of them, as a number of 32 bits.
const TABLE_SECTION: &str = "pglite.table";

const TABLE: &str = include_str!("table.wat");

/// The only modules that the kernel provides.
const IMPORT_MODULES: &[&str] = &["pglite", "wasi_snapshot_preview1", "wasix_32v1"];

pub(crate) fn key(build: &Build) -> Result<Key> {
    Ok(Key::new("link")
        .text("compile", &super::compile::key(build)?.finish())
        .text("shim", &super::shim::key(build)?.finish())
        .text("icu", &super::libraries::icu::key(build)?.finish())
        .text("script", &script())
        .text("slots", &FREE_SLOTS.to_string()))
}

pub(crate) fn run(build: &Build, log: &mut Log) -> Result<()> {
    hash::empty_dir(&build.paths.work("link"))?;
    log.run(&mut build.chroot().script(&script()))?;
    let bytes = hash::read(&build.paths.work("link/postgres.wasm"))?;
    check("postgres.wasm", &bytes, REQUIRED_EXPORTS)?;
    let (bytes, first_free) = rewrite::with_fixed_table(&bytes, FREE_SLOTS)?;
    let bytes = wasm::with_custom_section(&bytes, TABLE_SECTION, &first_free.to_le_bytes());
    let bytes = symbols::describe(build, &bytes)?;
    hash::write_file(&build.paths.out("postgres.wasm"), &bytes)?;
    hash::copy(
        &build.paths.work("link/postgres.debug.wasm"),
        &build.paths.out("postgres.debug.wasm"),
    )
}

/// Debian's own builds are in the same place by chance: libc++abi has a name of its sources in it.
const DEBIANS: &[u8] = b"reproducible-path/";

/// That a module has these exports, and imports what the kernel provides.
pub(crate) fn check(file: &str, bytes: &[u8], exports: &[&str]) -> Result<()> {
    let module = wasm::Module::parse(bytes).with_context(|| format!("the linked {file}"))?;
    for name in exports {
        if !module.exports.iter().any(|export| export.name == *name) {
            bail!("{file} does not export {name}");
        }
    }
    for import in &module.imports {
        if !IMPORT_MODULES.contains(&import.module.as_str()) {
            bail!(
                "{file} imports {}.{}, which the kernel does not provide",
                import.module,
                import.name
            );
        }
    }
    let path = format!("{WORK}/");
    let is_ours = |at: &usize| {
        let rest = &bytes[*at..];
        rest.starts_with(path.as_bytes()) && !rest[path.len()..].starts_with(DEBIANS)
    };
    if let Some(at) = (0..bytes.len()).find(is_ours) {
        let context = &bytes[at.saturating_sub(40)..(at + 80).min(bytes.len())];
        bail!("{file} contains a path of the build: {}", context.escape_ascii());
    }
    Ok(())
}

fn script() -> String {
    let modules: String =
        modules().map(|(dir, name)| format!(" ../../{dir}/lib{name}.a")).collect();
    let exports: String = flags::EXPORTS
        .iter()
        .chain(symbols::EXPORTS)
        .map(|name| format!(" -Wl,--export={name}"))
        .collect();
    format!(
        "{symbols}
        # The one function that the linker leaves open: wasm-merge brings it.
        echo __wasm_longjmp > {WORK}/link/late
        cd {WORK}/obj/src/backend
        # Objects, not the library: the entry points are referred to by nobody.
        {cc} {optimize} -o {WORK}/link/linked.wasm $(cat {WORK}/{OBJECTS}) {modules} {WORK}/{LIBPQ} \
            {WORK}/shim/*.o {WORK}/shim/setjmp.obj {WORK}/link/symbols.o {link} {exports} {core_libraries} {libraries} \
            -Wl,--allow-undefined-file={WORK}/link/late
        cd {WORK}/link
        wasm-as --all-features {WORK}/wasix/longjmp/longjmp.wat -o longjmp.wasm
        wasm-merge --all-features -g linked.wasm main longjmp.wasm env -o merged.wasm
        wasm-opt --all-features -g {opt} merged.wasm -o optimized.wasm
        printf %s {table} > table.wat
        wasm-as --all-features table.wat -o table.wasm
        wasm-merge --all-features -g optimized.wasm main table.wasm table -o postgres.debug.wasm
        wasm-opt --all-features {strip} postgres.debug.wasm -o postgres.wasm",
        symbols = symbols::script(),
        table = quote(TABLE),
        cc = flags::CC,
        optimize = flags::OPTIMIZE,
        link = flags::LINK.join(" "),
        core_libraries = [flags::COMPRESSION, flags::CORE_LIBRARIES].concat().join(" "),
        libraries = flags::LIBRARIES.join(" "),
        opt = flags::WASM_OPT.join(" "),
        strip = flags::STRIP.join(" "),
    )
}
