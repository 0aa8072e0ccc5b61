//! The WebAssembly features that the guest uses.
//!
//! One small file on its own because two packages that share nothing else must agree on it: the ahead-of-time
//! compiler (`xtask-aot` includes it by `#[path]`) and the loader in this crate. An artifact compiled with one set
//! is refused, or worse misread, by an engine with another.

use wasmer::sys::Features;

/// The features of every engine that compiles or loads the guest.
pub(crate) fn features() -> Features {
    let mut features = Features::default();
    features
        // setjmp/longjmp are lowered to exceptions with `exnref`.
        .exceptions(true)
        // Postgres' atomics, on a memory that is not declared shared.
        .threads(true)
        .simd(true)
        .relaxed_simd(true)
        .bulk_memory(true)
        .reference_types(true)
        .multi_value(true)
        .tail_call(true)
        .extended_const(true);
    features
}
