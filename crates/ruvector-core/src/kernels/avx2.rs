//! AVX2, with F16C for half precision and POPCNT for bits.
//!
//! The functions of [`KERNELS`] are safe to call only where the processor has these instructions; [`super::of`] hands
//! them out only there.

use core::arch::x86_64::*;

use super::{BitCounts, Products, scalar};
use crate::half::F16;

table!(Avx2);

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_f32(from: &[f32; 8]) -> __m256 {
    // SAFETY: there are eight numbers to read, and the load needs no alignment.
    unsafe { _mm256_loadu_ps(from.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn load_f16(from: &[F16; 8]) -> __m256 {
    // SAFETY: there are eight numbers of two bytes to read, `F16` is a `u16` in memory, and the load needs no alignment.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(from.as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_i8(from: &[i8; 16]) -> __m256i {
    // SAFETY: there are sixteen bytes to read, and the load needs no alignment.
    _mm256_cvtepi8_epi16(unsafe { _mm_loadu_si128(from.as_ptr().cast()) })
}

/// Lanes to one sum, in the order of all kernels.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn reduce(lanes: [__m256; 4]) -> f32 {
    let eight = _mm256_add_ps(_mm256_add_ps(lanes[0], lanes[1]), _mm256_add_ps(lanes[2], lanes[3]));
    let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn step_l2(sum: __m256, a: __m256, b: __m256) -> __m256 {
    let difference = _mm256_sub_ps(a, b);
    _mm256_add_ps(sum, _mm256_mul_ps(difference, difference))
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn step_inner(sum: __m256, a: __m256, b: __m256) -> __m256 {
    _mm256_add_ps(sum, _mm256_mul_ps(a, b))
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn step_l1(sum: __m256, a: __m256, b: __m256) -> __m256 {
    let difference = _mm256_sub_ps(a, b);
    _mm256_add_ps(sum, _mm256_andnot_ps(_mm256_set1_ps(-0.0), difference))
}

/// A sum over eight lanes four times.
macro_rules! sum {
    ($name:ident, $element:ty, $load:ident, $step:ident, $features:literal, |$x:ident, $y:ident| $term:expr) => {
        #[target_feature(enable = $features)]
        fn $name(a: &[$element], b: &[$element]) -> f32 {
            let mut lanes = [_mm256_setzero_ps(); 4];
            let ((a_blocks, a_rest), (b_blocks, b_rest)) =
                (a.as_chunks::<32>(), b.as_chunks::<32>());
            for (a, b) in a_blocks.iter().zip(b_blocks) {
                let (a, b) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
                lanes[0] = $step(lanes[0], $load(&a[0]), $load(&b[0]));
                lanes[1] = $step(lanes[1], $load(&a[1]), $load(&b[1]));
                lanes[2] = $step(lanes[2], $load(&a[2]), $load(&b[2]));
                lanes[3] = $step(lanes[3], $load(&a[3]), $load(&b[3]));
            }
            let ((a_blocks, a_rest), (b_blocks, b_rest)) =
                (a_rest.as_chunks::<8>(), b_rest.as_chunks::<8>());
            for (lane, (a, b)) in lanes.iter_mut().zip(a_blocks.iter().zip(b_blocks)) {
                *lane = $step(*lane, $load(a), $load(b));
            }
            let last = a_rest.iter().zip(b_rest).fold(0f32, |sum, (&$x, &$y)| sum + $term);
            reduce(lanes) + last
        }
    };
}

sum!(l2_squared, f32, load_f32, step_l2, "avx2", |x, y| (x - y) * (x - y));
sum!(inner, f32, load_f32, step_inner, "avx2", |x, y| x * y);
sum!(l1, f32, load_f32, step_l1, "avx2", |x, y| (x - y).abs());
sum!(l2_squared_f16, F16, load_f16, step_l2, "avx2,f16c", |x, y| {
    let difference = x.to_f32() - y.to_f32();
    difference * difference
});
sum!(inner_f16, F16, load_f16, step_inner, "avx2,f16c", |x, y| x.to_f32() * y.to_f32());
sum!(l1_f16, F16, load_f16, step_l1, "avx2,f16c", |x, y| (x.to_f32() - y.to_f32()).abs());

/// All three products at once: each number is loaded once.
#[target_feature(enable = "avx2")]
fn products(a: &[f32], b: &[f32]) -> Products {
    let zero = _mm256_setzero_ps();
    let (mut inner, mut left, mut right) = ([zero; 4], [zero; 4], [zero; 4]);
    let ((a_blocks, a_rest), (b_blocks, b_rest)) = (a.as_chunks::<32>(), b.as_chunks::<32>());
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        let (a, b) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
        for lane in 0..4 {
            let (a, b) = (load_f32(&a[lane]), load_f32(&b[lane]));
            inner[lane] = step_inner(inner[lane], a, b);
            left[lane] = step_inner(left[lane], a, a);
            right[lane] = step_inner(right[lane], b, b);
        }
    }
    let ((a_blocks, a_rest), (b_blocks, b_rest)) =
        (a_rest.as_chunks::<8>(), b_rest.as_chunks::<8>());
    for (lane, (a, b)) in a_blocks.iter().zip(b_blocks).enumerate() {
        let (a, b) = (load_f32(a), load_f32(b));
        inner[lane] = step_inner(inner[lane], a, b);
        left[lane] = step_inner(left[lane], a, a);
        right[lane] = step_inner(right[lane], b, b);
    }
    let last = |x: &[f32], y: &[f32]| x.iter().zip(y).fold(0f32, |sum, (x, y)| sum + x * y);
    Products {
        inner: reduce(inner) + last(a_rest, b_rest),
        left: reduce(left) + last(a_rest, a_rest),
        right: reduce(right) + last(b_rest, b_rest),
    }
}

/// Numbers per 32-bit sum that cannot overflow: a step adds two squares of at most 255 to each of eight lanes.
const BLOCK: usize = 1 << 15;

#[inline]
#[target_feature(enable = "avx2")]
fn reduce_i32(lanes: __m256i) -> i64 {
    let mut sums = [0i32; 8];
    // SAFETY: there are 32 bytes to write, and the store needs no alignment.
    unsafe { _mm256_storeu_si256(sums.as_mut_ptr().cast(), lanes) };
    sums.iter().map(|&sum| i64::from(sum)).sum()
}

#[target_feature(enable = "avx2")]
fn l2_squared_i8(a: &[i8], b: &[i8]) -> u64 {
    let mut total = 0;
    for (a, b) in a.chunks(BLOCK).zip(b.chunks(BLOCK)) {
        let mut lanes = _mm256_setzero_si256();
        let ((a_blocks, a_rest), (b_blocks, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
        for (a, b) in a_blocks.iter().zip(b_blocks) {
            let difference = _mm256_sub_epi16(load_i8(a), load_i8(b));
            lanes = _mm256_add_epi32(lanes, _mm256_madd_epi16(difference, difference));
        }
        total += reduce_i32(lanes) as u64 + scalar::l2_squared_i8(a_rest, b_rest);
    }
    total
}

#[target_feature(enable = "avx2")]
fn inner_i8(a: &[i8], b: &[i8]) -> i64 {
    let mut total = 0;
    for (a, b) in a.chunks(BLOCK).zip(b.chunks(BLOCK)) {
        let mut lanes = _mm256_setzero_si256();
        let ((a_blocks, a_rest), (b_blocks, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
        for (a, b) in a_blocks.iter().zip(b_blocks) {
            lanes = _mm256_add_epi32(lanes, _mm256_madd_epi16(load_i8(a), load_i8(b)));
        }
        total += reduce_i32(lanes) + scalar::inner_i8(a_rest, b_rest);
    }
    total
}

#[target_feature(enable = "popcnt")]
fn hamming(a: &[u8], b: &[u8]) -> u64 {
    scalar::hamming(a, b)
}

#[target_feature(enable = "popcnt")]
fn bit_counts(a: &[u8], b: &[u8]) -> BitCounts {
    scalar::bit_counts(a, b)
}

#[target_feature(enable = "popcnt")]
fn weighted_ones(code: &[u8], planes: [&[u8]; 4]) -> u64 {
    scalar::weighted_ones(code, planes)
}
