// Written by `cargo xtask assets build`.

/// ICU's data for collations, as part of the installation tree.
pub const ICU: Packed = Packed {
    packed: include_bytes!("icu.img.zst"),
    blake3: "80b2462223b7abd0e2d9a4503aa03809afc5cf34885b7e4a797452c23d328206",
    xxh3: 0x446d503a6534dea7f0e4acff46d224a2,
    len: 4769799,
};
