// Written by `cargo xtask assets build`.

/// The tools as native code, to be mapped by Wasmer.
pub const TOOLS: Packed = Packed {
    packed: include_bytes!("tools.elf.zst"),
    blake3: "7e9e711ecdc20805fb515bbe0cb7f52680367d2de13317077d1b32e13386e011",
    xxh3: 0xdbb4870710f19023b4b15f0a749360f1,
    len: 2488880,
};
