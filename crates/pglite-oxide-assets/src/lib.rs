//! Packed PostgreSQL runtime files and the template database of `pglite-oxide`.
//!
//! Everything here is made by `cargo xtask assets build`; see [`MANIFEST`] for what went in.

include!("../packed/index.rs");

/// What the packed files were made of: sources, tools, flags, the module's imports and exports, sizes and hashes.
/// JSON.
pub const MANIFEST: &str = include_str!("../packed/manifest.json");

/// One packed file.
#[derive(Clone, Copy, Debug)]
pub struct Packed {
    /// The file, compressed with zstd.
    pub packed: &'static [u8],
    /// BLAKE3 of the unpacked bytes, in hexadecimal.
    pub blake3: &'static str,
    /// Number of unpacked bytes.
    pub len: u64,
}
