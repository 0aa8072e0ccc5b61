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
    blake3: "fb47ed319adfa3c3cbda70c28fd92d614f4ee3f157d973ece49102613fb4414e",
    len: 7457510,
};

/// A new temporary database that has started already.
pub const IMAGE: Packed = Packed {
    packed: include_bytes!("image.img.zst"),
    blake3: "8a7b9eec2fe9cea518d9c085cf30ca26101fc806ea60306da8466561c2d462a8",
    len: 20886443,
};
