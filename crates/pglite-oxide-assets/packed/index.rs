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
    blake3: "5373687b524e453e1b8d1bbe9ad22250550bffc0f47bda4aaa3274060d32445d",
    len: 7457510,
};

/// What the memory of a process begins with that is not a copy of another.
pub const MEMORY: Packed = Packed {
    packed: include_bytes!("memory.img.zst"),
    blake3: "ee34f2efd7fd4fa11cac7724a70b5c0a26254ebb91fd6e3785a37d4a0e064980",
    len: 4931584,
};

/// A new temporary database that has started already.
pub const IMAGE: Packed = Packed {
    packed: include_bytes!("image.img.zst"),
    blake3: "c24fcfd21c3adf8cb5195327f9b786f12811833ffed75db83ff18994c3190d2d",
    len: 31960562,
};
