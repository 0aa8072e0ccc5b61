//! How a side module is compiled and linked.

use anyhow::Result;

use super::super::flags;
use super::{libraries, sdk};
use crate::paths::WORK;

pub(super) const HEADERS: &str = "assets/wasix/side/include";

/// Beside the core's flags.
pub(super) fn flags() -> String {
    format!("-fPIC -I{WORK}/wasix/side/include")
}

/// No tool of wasm-ld's own conventions is used but these: position-independent code, and what is not defined is
/// imported.
const LINK: &str = "-nostdlib -Wl,--no-entry,--experimental-pic,--unresolved-symbols=import-dynamic,-Bsymbolic,--strip-debug,--error-limit=0";

/// A call of `make` with PostgreSQL's rules for modules. What they would link or make beside, the core has.
pub(super) fn make(dir: &str, libraries: &[String], target: &str, jobs: usize) -> Result<String> {
    let (compile, link) = (libraries::compile(libraries)?, libraries::link(libraries)?);
    Ok(format!(
        "make -s -j{jobs} -C {dir} {target} 'CFLAGS_SL={} {compile}' \
         'LINK.shared={cc} -shared' 'LDFLAGS={LINK}' LDFLAGS_SL= BE_DLLLIBS= SHLIB_PREREQS= 'SHLIB_LINK={link}' \
         PG_CONFIG={pg_config} OPTFLAGS=",
        flags(),
        cc = flags::CC,
        pg_config = sdk::PG_CONFIG,
    ))
}

/// binaryen's optimisation of a file, as the core has it; without the names.
pub(super) fn optimise(from: &str, to: &str) -> String {
    format!(
        "wasm-opt --all-features {} {} {from} -o {to}",
        flags::WASM_OPT.join(" "),
        flags::STRIP.join(" ")
    )
}
