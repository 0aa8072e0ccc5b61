//! Control files, scripts and dictionaries of PostgreSQL extensions, for `pglite-oxide`. Their code is in a crate for
//! each target.
//!
//! Everything here is made by `cargo xtask assets build`; see [`MANIFEST`] for what is in it.

include!("../packed/index.rs");

/// The extensions: version, what each requires, modules with sizes and hashes, and the core's ABI. JSON.
pub const MANIFEST: &str = include_str!("../packed/manifest.json");

/// One packed file.
#[derive(Clone, Copy, Debug)]
pub struct Packed {
    /// The file, compressed with zstd.
    pub packed: &'static [u8],
    /// BLAKE3 of the unpacked bytes, in hexadecimal.
    pub blake3: &'static str,
    /// XXH3 of 128 bits of the unpacked bytes, without seed.
    pub xxh3: u128,
    /// Number of unpacked bytes.
    pub len: u64,
}
