// Written by `cargo xtask assets build`.

/// The module as native code, to be mapped by Wasmer.
pub const POSTGRES: Packed = Packed {
    packed: include_bytes!("postgres.elf.zst"),
    blake3: "e28c44ce56e650459450fc4d649e8b16084f39e611507daf478e8ef1f7254b72",
    len: 20267344,
};
