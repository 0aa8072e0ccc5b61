// Written by `cargo xtask assets build`.

/// The module as native code, to be mapped by Wasmer.
pub const POSTGRES: Packed = Packed {
    packed: include_bytes!("postgres.elf.zst"),
    blake3: "cc64c3b4e52112c836db51f9efaf8610053766b7b4d9f9c13015b142e4f6048d",
    len: 15436160,
};
