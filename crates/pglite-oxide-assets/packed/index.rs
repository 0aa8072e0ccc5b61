// Written by `cargo xtask assets build`.

/// The installation tree: what the guest sees as `/pglite`.
pub const SHARE: Packed = Packed {
    packed: include_bytes!("share.img.zst"),
    blake3: "a13246ec125551679175e482bf8e213a62d7ac266b38c3a44ea819934b7f4f88",
    xxh3: 0xab91f36cb9f282dcc7e974e80115cd9c,
    len: 344063,
};

/// A freshly made data directory.
pub const TEMPLATE: Packed = Packed {
    packed: include_bytes!("template.img.zst"),
    blake3: "2b4a1691b839ff008cb1155a10edbaf04440944c6b5c74929e53f580976d3dfe",
    xxh3: 0x15a2680e4fc13e286e3af1f80c75d3cb,
    len: 7457510,
};

/// What the memory of a process begins with that is not a copy of another.
pub const MEMORY: Packed = Packed {
    packed: include_bytes!("memory.img.zst"),
    blake3: "6f2f3070d6cc8eaaf41c17d3e2e49e6e97a8c6a3458be047aa34825d035bf4e8",
    xxh3: 0x664d8925bf09c5f91c7aaa6818647619,
    len: 4931584,
};

/// A new temporary database that has started already.
pub const IMAGE: Packed = Packed {
    packed: include_bytes!("image.img.zst"),
    blake3: "ea1c0c2e75ae17131364869ea68386e9be61619dcec398cec22a43da8cde419c",
    xxh3: 0xf75c9a314f4fe495ec1302fa5db5b722,
    len: 31960562,
};
