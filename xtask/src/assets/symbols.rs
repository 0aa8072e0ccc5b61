//! The interface of the core for side modules: an array with the address of each symbol, which is linked in, and a
//! custom section with their names, in the same order (`src/kernel/linker/core.rs` reads both).
//!
//! It has all that PostgreSQL's objects define, so that extensions of others find what they find in a native server,
//! and of the C library what `assets/wasix/side/libc.txt` lists, of libxml2 what is in `libxml2.txt` beside it.

use anyhow::{Result, bail};

use super::compile::{LIBPQ, OBJECTS};
use super::{Build, abi, flags, hash, wasm};
use crate::paths::WORK;

/// Kind (`f` or `d`) and name in each line, sorted by name.
pub(crate) const NAMES: &str = "link/symbols";

const ARRAY: &str = "pgl_symbol_values";

/// What the linker has to export for it.
pub(crate) const EXPORTS: &[&str] = &[ARRAY];

/// Names that are not functions or data of the guest's own: entry points, the tag of longjmp, and errno, which belongs
/// to a thread and is reached by `pgl_errno`.
const HIDDEN: &str = "main|__main_void|__main_argc_argv|__original_main|_start|_initialize|__c_longjmp|errno|pgl_main|pgl_child|pgl_unpark";

/// llvm-nm has one letter for a weak function and a weak variable; `environ` is the one such variable in use.
///
/// Writes the array's source and compiles it to `symbols.o` in the directory `link`.
pub(crate) fn script() -> String {
    format!(
        r#"export LC_ALL=C
        cd {WORK}/obj/src/backend
        (llvm-nm-22 -g --defined-only --no-sort $(cat {WORK}/{OBJECTS}) {WORK}/{LIBPQ} {WORK}/shim/*.o {WORK}/shim/setjmp.obj 2>/dev/null || true) |
            awk 'NF == 3 && $2 ~ /[TDBRVW]/ {{ print ($2 ~ /[TW]/ ? "f" : "d"), $3 }}' > {WORK}/link/core.symbols
        (llvm-nm-22 -g --defined-only {WORK}/sysroot/lib/*/*.a {WORK}/libraries/lib/libxml2.a $({cc} -print-libgcc-file-name) 2>/dev/null || true) |
            awk 'NF == 3 && $2 ~ /[TDBRW]/ {{ print ($2 ~ /[TW]/ && $3 != "environ" ? "f" : "d"), $3 }}' | sort -u > {WORK}/link/libc.symbols
        cd {WORK}/link
        grep -h -v '^#' {WORK}/wasix/side/libc.txt {WORK}/wasix/side/libxml2.txt | tr ' ' '\n' | awk 'NF' | sort -u > libc.names
        awk 'NR == FNR {{ wanted[$1]; next }} $2 in wanted' libc.names libc.symbols > libc.wanted
        cut -d' ' -f2 libc.wanted | sort -u | comm -23 libc.names - > libc.missing
        if [ -s libc.missing ]; then echo "the libraries lack what is in assets/wasix/side/*.txt:" >&2; cat libc.missing >&2; exit 1; fi
        cat core.symbols libc.wanted | grep -v -E '^. ({HIDDEN})$|^. __wasi_|[.]' | sort -u -k2,2 > symbols
        echo 'f __wasm_longjmp' | sort -u -k2,2 -m - symbols > symbols.all
        mv symbols.all symbols
        awk '{{
                if ($2 == "__wasm_longjmp") declared = declared "extern void __wasm_longjmp(void *, int);\n"
                else declared = declared "extern " ($1 == "f" ? "void " $2 "(void)" : "char " $2 "[]") ";\n"
                values = values "(const void *) " $2 ",\n"
            }}
            END {{ printf "%sconst void *const {ARRAY}[] = {{\n%s}};\n", declared, values }}' symbols > symbols.c
        {cc} {optimize} -w -fno-builtin -c symbols.c -o symbols.o
"#,
        cc = flags::CC,
        optimize = flags::OPTIMIZE,
    )
}

/// Adds the names, and the hash of what side modules are compiled against.
pub(crate) fn describe(build: &Build, module: &[u8]) -> Result<Vec<u8>> {
    let names = hash::read(&build.paths.work(NAMES))?;
    if names.is_empty() {
        bail!("the core has no symbols");
    }
    let module = wasm::with_custom_section(module, "pglite.symbols", &names);
    Ok(wasm::with_custom_section(&module, abi::SECTION, &abi::hash(build)?))
}
