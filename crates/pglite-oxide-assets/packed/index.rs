// Written by `cargo xtask assets build`.

/// The installation tree: what the guest sees as `/pglite`.
pub const SHARE: Packed = Packed {
    packed: include_bytes!("share.img.zst"),
    blake3: "443a2a60a8809fc68f57c9c3673e2b014e8633af862478b4bbcfa88bbfe1f6e5",
    len: 343993,
};

/// A freshly made data directory.
pub const TEMPLATE: Packed = Packed {
    packed: include_bytes!("template.img.zst"),
    blake3: "debaad4f8540750312c560fd426ef9b6bcbb82ace82bb92ca8a1787c09fc2d8b",
    len: 7457510,
};
