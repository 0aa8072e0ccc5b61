// Written by `cargo xtask assets build`.

/// The module as native code, to be mapped by Wasmer.
pub const POSTGRES: Packed = Packed {
    packed: include_bytes!("postgres.elf.zst"),
    blake3: "81c56b0a41f14384f379cb6187e26105bf752999fe135e6b3c4cd4417ced3d9e",
    len: 17552424,
};
