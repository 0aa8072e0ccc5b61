// Written by `cargo xtask assets build`.

/// The module as native code, to be mapped by Wasmer.
pub const POSTGRES: Packed = Packed {
    packed: include_bytes!("postgres.elf.zst"),
    blake3: "6be789f849cfc05defd1c246a3e89d1194a4cb5819fa046d71641296d9b2eba5",
    len: 17771480,
};
