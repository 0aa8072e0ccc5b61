// Written by `cargo xtask assets build`.

/// The module as native code, to be mapped by Wasmer.
pub const POSTGRES: Packed = Packed {
    packed: include_bytes!("postgres.elf.zst"),
    blake3: "8b4582692d80288f6737129cab78179b9c4706cca1f013de489166cd2eed4a52",
    xxh3: 0xba2181d3112b23a3d1e43498c86a0c9b,
    len: 16673096,
};
