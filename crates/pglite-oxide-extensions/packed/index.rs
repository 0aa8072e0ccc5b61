// Written by `cargo xtask assets build`.

/// Control files, scripts and dictionaries, as parts of the installation tree.
pub const EXTENSIONS: Packed = Packed {
    packed: include_bytes!("extensions.img.zst"),
    blake3: "68e2a80bb267f286270a2ecddaf34568a4085c1d7460f637b8ebdfa943fc3e68",
    len: 1255263,
};
