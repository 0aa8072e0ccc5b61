//! The data of ICU that collations need, for the feature `icu` of `pglite-oxide`: how each language orders text, where
//! words begin, and the character sets that a database can have. ICU's code is part of the server.
//!
//! Everything here is made by `cargo xtask assets build`, from ICU's own package of data.

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
