//! PostgreSQL compiled ahead of time for x86-64 Linux (glibc), for `pglite-oxide`.
//!
//! Everything here is made by `cargo xtask assets build`.

include!("../packed/index.rs");

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
