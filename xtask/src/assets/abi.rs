//! The ABI of the core: what a side module was compiled against, as a hash that both carry.

use anyhow::{Context as _, Result, bail};

use super::{Build, Key, flags};
use crate::paths::WORK;

/// The custom section with the hash.
pub(crate) const SECTION: &str = "pglite.abi";

/// PostgreSQL's headers, configured and generated ones included, our own for side modules, and the compiler's flags. Not
/// the core's code: a core with a bug fixed can be used with the modules of the one before.
pub(crate) fn hash(build: &Build) -> Result<[u8; 32]> {
    // In the root, as some are links to absolute paths there.
    let script = format!(
        "cd {WORK}; export LC_ALL=C
        for dir in pg/src/include obj/src/include; do find -L $dir -name '*.h'; done | sort | xargs sha256sum"
    );
    let headers = build.chroot().script(&script).output().context("cannot hash the headers")?;
    if !headers.status.success() {
        bail!("cannot hash the headers: {}", String::from_utf8_lossy(&headers.stderr));
    }
    let key = Key::new("pglite-oxide abi 1")
        .text("headers", &String::from_utf8_lossy(&headers.stdout))
        .dir("side", &build.paths.repo("assets/wasix/side"))?
        .text("compiler", &flags::compiler_script())
        .finish();
    let hash = blake3::Hash::from_hex(key.as_bytes()).context("a key is a hash")?;
    Ok(*hash.as_bytes())
}
