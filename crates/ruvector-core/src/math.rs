//! Functions of real numbers that `core` does not have.

/// The square root, correctly rounded on every target.
#[inline]
pub(crate) fn sqrt(x: f64) -> f64 {
    #[cfg(feature = "std")]
    return x.sqrt();
    // One instruction, where a library would be a loop over the bits.
    #[cfg(all(not(feature = "std"), target_arch = "wasm32", target_feature = "simd128"))]
    return {
        use core::arch::wasm32::{f64x2_extract_lane, f64x2_splat, f64x2_sqrt};
        f64x2_extract_lane::<0>(f64x2_sqrt(f64x2_splat(x)))
    };
    #[cfg(all(
        not(feature = "std"),
        not(all(target_arch = "wasm32", target_feature = "simd128"))
    ))]
    return libm::sqrt(x);
}

/// The natural logarithm, with the same result on every host: the levels of a graph depend on it.
#[inline]
pub(crate) fn ln(x: f64) -> f64 {
    libm::log(x)
}

/// The arc cosine, with the same result on every host.
#[inline]
pub(crate) fn acos(x: f64) -> f64 {
    libm::acos(x)
}

/// The nearest integer, halves to even.
#[inline]
pub(crate) fn round_even(x: f32) -> f32 {
    libm::rintf(x)
}
