// Written by `cargo xtask assets build`.

/// Control files, scripts, dictionaries and names of modules, as parts of the installation tree.
pub const EXTENSIONS: Packed = Packed {
    packed: include_bytes!("extensions.img.zst"),
    blake3: "b4f37ea836fe5d578a65cf4e32cd74752a8734e59fe5505ac949a9b327f8735b",
    len: 1259823,
};
