// Written by `cargo xtask assets build`.

/// The module as native code, to be mapped by Wasmer.
pub const POSTGRES: Packed = Packed {
    packed: include_bytes!("postgres.elf.zst"),
    blake3: "81c86e60f7690a0abd8046106635f82935b9a50ba8eb4477801873137635d6c1",
    len: 17027304,
};
