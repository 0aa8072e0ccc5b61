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
    blake3: "5103adbb6ee1bfcc6851f2086e4c62d26d8321a85a9aec987b745c85b3e1968a",
    len: 7457510,
};
