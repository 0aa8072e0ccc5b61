// Written by `cargo xtask assets build`.

/// Control files, scripts and dictionaries, as parts of the installation tree.
pub const EXTENSIONS: Packed = Packed {
    packed: &[],
    blake3: "",
    len: 0,
};
