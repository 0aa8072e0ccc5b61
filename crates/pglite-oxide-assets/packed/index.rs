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
    blake3: "82a2818a58ba15ea89690d0c7193d8f1a5e15624898d3df248d8e582cda1508f",
    len: 7457510,
};
