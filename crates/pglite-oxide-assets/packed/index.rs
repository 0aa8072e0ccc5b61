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
    blake3: "d264514b3e58ef37fcf4c2f73e8ddd17acd044dffc2d8af439822844cc87fb83",
    xxh3: 0x70a43fc2e8549a23c05414d85d1f9221,
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
    blake3: "33215140cd09416ec06724a2174f08fb50ec30b8b810b5bb095e33319667cfd1",
    xxh3: 0xf75adf4077c14cbc2ed2fc4872de1a25,
    len: 31960562,
};
