// Written by `cargo xtask assets build`.

/// The installation tree: what the guest sees as `/pglite`.
pub const SHARE: Packed = Packed {
    packed: include_bytes!("share.img.zst"),
    blake3: "a13246ec125551679175e482bf8e213a62d7ac266b38c3a44ea819934b7f4f88",
    len: 344063,
};

/// A freshly made data directory.
pub const TEMPLATE: Packed = Packed {
    packed: include_bytes!("template.img.zst"),
    blake3: "86e8ca927502801849c0689ee37d2f61c40c02538bf98325de9d3ddd8f942d53",
    len: 7457510,
};

/// A new temporary database that has started already.
pub const IMAGE: Packed = Packed {
    packed: include_bytes!("image.img.zst"),
    blake3: "5aaa4e89bde6ec3f8dd2dc7b4863bc12a014fcc2188ecf9af4c325d6bddbfe69",
    len: 21435333,
};
