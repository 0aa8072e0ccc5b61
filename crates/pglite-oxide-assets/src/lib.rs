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
    /// XXH3 of 128 bits of the unpacked bytes, without seed.
    pub xxh3: u128,
    /// Number of unpacked bytes.
    pub len: u64,
}

/// The version of PostgreSQL, such as `17.11`.
///
/// # Panics
///
/// Never: that [`MANIFEST`] begins with it is tested.
pub fn postgres_version() -> &'static str {
    const KEY: &str = "{\n  \"version\": \"";
    let version = MANIFEST.strip_prefix(KEY).and_then(|rest| rest.split('"').next());
    version.expect("the manifest begins with the version")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_version_is_that_of_postgres() {
        let version = super::postgres_version();
        assert!(version.starts_with("17."), "{version}");
        assert!(version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'), "{version}");
    }
}
