//! The ABI of the core: what a side module was compiled against, as a hash that both carry.

use anyhow::{Context as _, Result};

use super::{Build, Key, flags};

/// The custom section with the hash.
pub(crate) const SECTION: &str = "pglite.abi";

/// PostgreSQL's headers, configured and generated ones included, our own for side modules, and the compiler's flags. Not
/// the core's code: a core with a bug fixed can be used with the modules of the one before.
pub(crate) fn hash(build: &Build) -> Result<[u8; 32]> {
    let key = Key::new("pglite-oxide abi 1")
        .dir("source", &build.paths.work("pg/src/include"))?
        .dir("configured", &build.paths.work("obj/src/include"))?
        .dir("side", &build.paths.repo("assets/wasix/side"))?
        .text("compiler", &flags::compiler_script())
        .finish();
    let hash = blake3::Hash::from_hex(key.as_bytes()).context("a key is a hash")?;
    Ok(*hash.as_bytes())
}
