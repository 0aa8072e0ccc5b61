// Written by `cargo xtask assets build`.

/// The module as native code, to be mapped by Wasmer.
pub const POSTGRES: Packed = Packed {
    packed: include_bytes!("postgres.elf.zst"),
    blake3: "b1fe4a1055ec26addf5fd7ddb2e191f520e3bb80f826d34f1cb5f5c778956b7f",
    xxh3: 0x95d6e60333e2f139019d354eb206e44f,
    len: 17027416,
};
