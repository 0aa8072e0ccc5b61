// Written by `cargo xtask assets build`.

/// The tools as native code, to be mapped by Wasmer.
pub const TOOLS: Packed = Packed {
    packed: &[],
    blake3: "0000000000000000000000000000000000000000000000000000000000000000",
    len: 0,
};
