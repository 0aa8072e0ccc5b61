// Written by `cargo xtask assets build`.

/// The tools as native code, to be mapped by Wasmer.
pub const TOOLS: Packed = Packed {
    packed: include_bytes!("tools.elf.zst"),
    blake3: "4e0a36aaae04aefadc07833d22adbf2cb7afe08ba4a21c421a99daf73bd66d0f",
    len: 2567960,
};
