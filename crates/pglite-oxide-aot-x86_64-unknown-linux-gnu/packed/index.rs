// Written by `cargo xtask assets build`.

/// The module as native code, to be mapped by Wasmer.
pub const POSTGRES: Packed = Packed {
    packed: include_bytes!("postgres.elf.zst"),
    blake3: "d20125e76f3e21ea1549b7a7a43a70a4bb851097024f34d89b1837dcd029ac8e",
    len: 22840504,
};
