//! How a side module is compiled and linked.

use super::super::flags;
use crate::paths::WORK;

/// No tool of wasm-ld's own conventions is used but these: position-independent code, and what is not defined is
/// imported.
const LINK: &str = "-nostdlib -Wl,--no-entry,--experimental-pic,--unresolved-symbols=import-dynamic,-Bsymbolic,--strip-debug,--error-limit=0";

/// A call of `make` with PostgreSQL's rules for modules. What they would link or make beside, the core has.
pub(super) fn make(dir: &str, libraries: &str, target: &str, jobs: usize) -> String {
    format!(
        "make -s -j{jobs} -C {dir} {target} 'CFLAGS_SL=-fPIC -I{WORK}/wasix/side/include' \
         'LINK.shared={cc} -shared' 'LDFLAGS={LINK}' LDFLAGS_SL= BE_DLLLIBS= SHLIB_PREREQS= 'SHLIB_LINK={libraries}'",
        cc = flags::CC,
    )
}

/// binaryen's optimisation of a file, as the core has it; without the names.
pub(super) fn optimise(from: &str, to: &str) -> String {
    format!(
        "wasm-opt --all-features {} {} {from} -o {to}",
        flags::WASM_OPT.join(" "),
        flags::STRIP.join(" ")
    )
}
