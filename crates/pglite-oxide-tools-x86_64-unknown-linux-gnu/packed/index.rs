// Written by `cargo xtask assets build`.

/// The tools as native code, to be mapped by Wasmer.
pub const TOOLS: Packed = Packed {
    packed: include_bytes!("tools.elf.zst"),
    blake3: "0000000000000000000000000000000000000000000000000000000000000000",
    len: 0,
};
