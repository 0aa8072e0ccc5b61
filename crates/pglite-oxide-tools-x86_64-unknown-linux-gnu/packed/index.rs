// Written by `cargo xtask assets build`.

/// The tools as native code, to be mapped by Wasmer.
pub const TOOLS: Packed = Packed {
    packed: include_bytes!("tools.elf.zst"),
    blake3: "fb19947ce85f65e59237eefe0bef318097a7c8e612110d331342271b341a39fd",
    len: 2568336,
};
