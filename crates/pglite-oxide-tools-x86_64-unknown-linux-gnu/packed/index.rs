// Written by `cargo xtask assets build`.

/// The tools as native code, to be mapped by Wasmer.
pub const TOOLS: Packed = Packed {
    packed: include_bytes!("tools.elf.zst"),
    blake3: "7ef059cd5b08c34cd523435137f240f0a5f86a1a8a41b9bb984756fde0cb565f",
    xxh3: 0x480c9a00a7e3fd02d262877f99fedb43,
    len: 2364272,
};
