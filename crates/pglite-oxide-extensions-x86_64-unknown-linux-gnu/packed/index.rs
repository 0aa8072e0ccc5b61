// Written by `cargo xtask assets build`.

/// All modules, by name.
pub const MODULES: &[Module] = &[];
