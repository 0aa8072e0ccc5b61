//! Packed PostgreSQL runtime files and the template database of `pglite-oxide`.
//!
//! Everything here is made by `cargo xtask assets build`; see `manifest.json` for what went in.
