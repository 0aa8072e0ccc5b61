// Written by `cargo xtask assets build`.

/// The module as native code, to be mapped by Wasmer.
pub const POSTGRES: Packed = Packed {
    packed: include_bytes!("postgres.elf.zst"),
    blake3: "45f4487ec783ec1eccf8694294d64c5098ba7f1d2876f2674e4d84e39bc890b9",
    len: 17776856,
};
