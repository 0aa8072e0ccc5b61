//! Functions of real numbers that `core` does not have.

/// The square root, correctly rounded on every target.
#[inline]
pub fn sqrt(x: f64) -> f64 {
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

/// The cosine of an angle in half turns, between 0 and 1; with an error below a millionth, which is enough for estimates.
#[inline]
pub(crate) fn cos_of_half_turns(angle: f32) -> f32 {
    // The series of the sine, around a quarter of a turn, up to the eleventh power.
    let x = (0.5 - angle) * core::f32::consts::PI;
    let square = x * x;
    const C: [f32; 5] =
        [-1.0 / 6.0, 1.0 / 120.0, -1.0 / 5040.0, 1.0 / 362_880.0, -1.0 / 39_916_800.0];
    let series = C.iter().rev().fold(0.0, |sum, c| (sum + c) * square);
    (x + x * series).clamp(-1.0, 1.0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn cosines() {
        for step in 0..=1000 {
            let angle = step as f32 / 1000.0;
            let exact = (f64::from(angle) * core::f64::consts::PI).cos();
            let found = f64::from(super::cos_of_half_turns(angle));
            assert!((found - exact).abs() < 1e-6, "{angle}: {found} {exact}");
        }
    }
}
