// Written by `cargo xtask assets build`.

/// Control files, scripts, dictionaries and names of modules, as parts of the installation tree.
pub const EXTENSIONS: Packed = Packed {
    packed: include_bytes!("extensions.img.zst"),
    blake3: "efde18336b90c174899acb1884aa3a1b4354bc79271888233ed2039ad9695d13",
    len: 1262428,
};
