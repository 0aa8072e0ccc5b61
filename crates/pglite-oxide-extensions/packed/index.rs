// Written by `cargo xtask assets build`.

/// Control files, scripts, dictionaries and names of modules, as parts of the installation tree.
pub const EXTENSIONS: Packed = Packed {
    packed: include_bytes!("extensions.img.zst"),
    blake3: "84b8ba89b4441453bf1e65076034235b9af8a4e8db4e2e73d9919459f8dd0ef1",
    xxh3: 0x484b2d209af10561cd59486387cc43e6,
    len: 1264558,
};
