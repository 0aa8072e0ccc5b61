// Written by `cargo xtask assets build`.

/// The module as native code, to be mapped by Wasmer.
pub const POSTGRES: Packed = Packed {
    packed: include_bytes!("postgres.elf.zst"),
    blake3: "c343087b2fa11f88760929dfb20d9258abc6e2fd5627e8b4960b841684e6e2ce",
    len: 17777000,
};
