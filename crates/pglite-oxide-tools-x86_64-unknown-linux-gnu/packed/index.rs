// Written by `cargo xtask assets build`.

/// The tools as native code, to be mapped by Wasmer.
pub const TOOLS: Packed = Packed {
    packed: include_bytes!("tools.elf.zst"),
    blake3: "d789f3d3c387b027cbe5bd28cff0c378872dddd17a6b770430f3ca0410fd3d95",
    len: 2554848,
};
