// Written by `cargo xtask assets build`.

/// Control files, scripts, dictionaries and names of modules, as parts of the installation tree.
pub const EXTENSIONS: Packed = Packed {
    packed: include_bytes!("extensions.img.zst"),
    blake3: "7645b7c6b6c8fd4327f5f97d6457f522613559324bcadea83c7f804413c3b271",
    len: 1259072,
};
