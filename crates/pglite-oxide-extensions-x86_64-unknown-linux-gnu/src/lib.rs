//! Modules of PostgreSQL extensions, compiled ahead of time for x86-64 Linux (glibc), for `pglite-oxide`.
//!
//! Everything here is made by `cargo xtask assets build`.

include!("../packed/index.rs");

/// A module that PostgreSQL can load.
#[derive(Clone, Copy, Debug)]
pub struct Module {
    /// Of its file, without `.so`.
    pub name: &'static str,
    /// The file, compressed with zstd.
    pub packed: &'static [u8],
    /// BLAKE3 of the unpacked bytes, in hexadecimal.
    pub blake3: &'static str,
    /// XXH3 of 128 bits of the unpacked bytes, without seed.
    pub xxh3: u128,
    /// Number of unpacked bytes.
    pub len: u64,
}
