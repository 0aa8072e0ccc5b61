// Written by `cargo xtask assets build`.

/// The module as native code, to be mapped by Wasmer.
pub const POSTGRES: Packed = Packed {
    packed: include_bytes!("postgres.elf.zst"),
    blake3: "17951347cbffadf856f9ffa4420344c433d30005fc4e0550bfd0cd355b4aab8a",
    len: 22840432,
};
