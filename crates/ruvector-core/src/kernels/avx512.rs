//! AVX-512: sixteen numbers at a time, and counts of ones in eight words at once.
//!
//! The functions of [`KERNELS`] are safe to call only where the processor has these instructions; [`super::of`] hands
//! them out only there.

use core::arch::x86_64::*;

use super::avx2::{load_f16, load_f32, reduce, step_inner, step_l1, step_l2};
use super::{BitCounts, Products, scalar};
use crate::half::F16;

table!(Avx512);

#[inline]
#[target_feature(enable = "avx512f")]
fn wide_f32(from: &[f32; 16]) -> __m512 {
    // SAFETY: there are sixteen numbers to read, and the load needs no alignment.
    unsafe { _mm512_loadu_ps(from.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn wide_f16(from: &[F16; 16]) -> __m512 {
    // SAFETY: there are sixteen numbers of two bytes to read, `F16` is a `u16` in memory, and the load needs no
    // alignment.
    _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(from.as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn wide_i8(from: &[i8; 32]) -> __m512i {
    // SAFETY: there are 32 bytes to read, and the load needs no alignment.
    _mm512_cvtepi8_epi16(unsafe { _mm256_loadu_si256(from.as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx512f")]
fn wide_bits(from: &[u8; 64]) -> __m512i {
    // SAFETY: there are 64 bytes to read, and the load needs no alignment.
    unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
}

/// The lower and upper half of sixteen lanes.
#[inline]
#[target_feature(enable = "avx512f")]
fn halves(lanes: __m512) -> [__m256; 2] {
    let upper = _mm512_extractf64x4_pd::<1>(_mm512_castps_pd(lanes));
    [_mm512_castps512_ps256(lanes), _mm256_castpd_ps(upper)]
}

#[inline]
#[target_feature(enable = "avx512f")]
fn wide_step_l2(sum: __m512, a: __m512, b: __m512) -> __m512 {
    let difference = _mm512_sub_ps(a, b);
    _mm512_add_ps(sum, _mm512_mul_ps(difference, difference))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn wide_step_inner(sum: __m512, a: __m512, b: __m512) -> __m512 {
    _mm512_add_ps(sum, _mm512_mul_ps(a, b))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn wide_step_l1(sum: __m512, a: __m512, b: __m512) -> __m512 {
    _mm512_add_ps(sum, _mm512_abs_ps(_mm512_sub_ps(a, b)))
}

/// A sum over sixteen lanes twice; what is left of 32 is done as with AVX2.
macro_rules! sum {
    ($name:ident, $element:ty, $wide:ident, $wide_step:ident, $load:ident, $step:ident, |$x:ident, $y:ident| $term:expr) => {
        #[target_feature(enable = "avx512f,avx512bw,avx2,f16c")]
        fn $name(a: &[$element], b: &[$element]) -> f32 {
            let mut wide = [_mm512_setzero_ps(); 2];
            let ((a_blocks, a_rest), (b_blocks, b_rest)) =
                (a.as_chunks::<32>(), b.as_chunks::<32>());
            for (a, b) in a_blocks.iter().zip(b_blocks) {
                let (a, b) = (a.as_chunks::<16>().0, b.as_chunks::<16>().0);
                wide[0] = $wide_step(wide[0], $wide(&a[0]), $wide(&b[0]));
                wide[1] = $wide_step(wide[1], $wide(&a[1]), $wide(&b[1]));
            }
            let ([first, second], [third, fourth]) = (halves(wide[0]), halves(wide[1]));
            let mut lanes = [first, second, third, fourth];
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

sum!(l2_squared, f32, wide_f32, wide_step_l2, load_f32, step_l2, |x, y| (x - y) * (x - y));
sum!(inner, f32, wide_f32, wide_step_inner, load_f32, step_inner, |x, y| x * y);
sum!(l1, f32, wide_f32, wide_step_l1, load_f32, step_l1, |x, y| (x - y).abs());
sum!(l2_squared_f16, F16, wide_f16, wide_step_l2, load_f16, step_l2, |x, y| {
    let difference = x.to_f32() - y.to_f32();
    difference * difference
});
sum!(inner_f16, F16, wide_f16, wide_step_inner, load_f16, step_inner, |x, y| x.to_f32()
    * y.to_f32());
sum!(l1_f16, F16, wide_f16, wide_step_l1, load_f16, step_l1, |x, y| (x.to_f32() - y.to_f32())
    .abs());

#[target_feature(enable = "avx512f,avx512bw,avx2,f16c")]
fn products(a: &[f32], b: &[f32]) -> Products {
    Products { inner: inner(a, b), left: inner(a, a), right: inner(b, b) }
}

/// Numbers per 32-bit sum that cannot overflow: a step adds two squares of at most 255 to each of sixteen lanes.
const BLOCK: usize = 1 << 15;

#[target_feature(enable = "avx512f,avx512bw")]
fn l2_squared_i8(a: &[i8], b: &[i8]) -> u64 {
    let mut total = 0;
    for (a, b) in a.chunks(BLOCK).zip(b.chunks(BLOCK)) {
        let mut lanes = _mm512_setzero_si512();
        let ((a_blocks, a_rest), (b_blocks, b_rest)) = (a.as_chunks::<32>(), b.as_chunks::<32>());
        for (a, b) in a_blocks.iter().zip(b_blocks) {
            let difference = _mm512_sub_epi16(wide_i8(a), wide_i8(b));
            lanes = _mm512_add_epi32(lanes, _mm512_madd_epi16(difference, difference));
        }
        // The sum of all lanes is below 2^31, too.
        total +=
            _mm512_reduce_add_epi32(lanes) as u32 as u64 + scalar::l2_squared_i8(a_rest, b_rest);
    }
    total
}

#[target_feature(enable = "avx512f,avx512bw")]
fn inner_i8(a: &[i8], b: &[i8]) -> i64 {
    let mut total = 0;
    for (a, b) in a.chunks(BLOCK).zip(b.chunks(BLOCK)) {
        let mut lanes = _mm512_setzero_si512();
        let ((a_blocks, a_rest), (b_blocks, b_rest)) = (a.as_chunks::<32>(), b.as_chunks::<32>());
        for (a, b) in a_blocks.iter().zip(b_blocks) {
            lanes = _mm512_add_epi32(lanes, _mm512_madd_epi16(wide_i8(a), wide_i8(b)));
        }
        total += i64::from(_mm512_reduce_add_epi32(lanes)) + scalar::inner_i8(a_rest, b_rest);
    }
    total
}

#[target_feature(enable = "avx512f,avx512vpopcntdq,popcnt")]
fn hamming(a: &[u8], b: &[u8]) -> u64 {
    let mut sums = _mm512_setzero_si512();
    let ((a_blocks, a_rest), (b_blocks, b_rest)) = (a.as_chunks::<64>(), b.as_chunks::<64>());
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        let differ = _mm512_xor_si512(wide_bits(a), wide_bits(b));
        sums = _mm512_add_epi64(sums, _mm512_popcnt_epi64(differ));
    }
    _mm512_reduce_add_epi64(sums) as u64 + scalar::hamming(a_rest, b_rest)
}

#[target_feature(enable = "avx512f,avx512vpopcntdq,popcnt")]
fn bit_counts(a: &[u8], b: &[u8]) -> BitCounts {
    let (mut both, mut either) = (_mm512_setzero_si512(), _mm512_setzero_si512());
    let ((a_blocks, a_rest), (b_blocks, b_rest)) = (a.as_chunks::<64>(), b.as_chunks::<64>());
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        let (a, b) = (wide_bits(a), wide_bits(b));
        both = _mm512_add_epi64(both, _mm512_popcnt_epi64(_mm512_and_si512(a, b)));
        either = _mm512_add_epi64(either, _mm512_popcnt_epi64(_mm512_or_si512(a, b)));
    }
    let rest = scalar::bit_counts(a_rest, b_rest);
    BitCounts {
        intersection: _mm512_reduce_add_epi64(both) as u64 + rest.intersection,
        union: _mm512_reduce_add_epi64(either) as u64 + rest.union,
    }
}

#[target_feature(enable = "avx512f,avx512vpopcntdq,popcnt")]
fn weighted_ones(code: &[u8], planes: [&[u8]; 4]) -> u64 {
    let ones = |plane: &[u8]| {
        let mut sums = _mm512_setzero_si512();
        let ((a_blocks, a_rest), (b_blocks, b_rest)) =
            (code.as_chunks::<64>(), plane.as_chunks::<64>());
        for (a, b) in a_blocks.iter().zip(b_blocks) {
            let both = _mm512_and_si512(wide_bits(a), wide_bits(b));
            sums = _mm512_add_epi64(sums, _mm512_popcnt_epi64(both));
        }
        let rest = scalar::bit_counts(a_rest, b_rest).intersection;
        _mm512_reduce_add_epi64(sums) as u64 + rest
    };
    planes.iter().enumerate().map(|(j, plane)| ones(plane) << j).sum()
}
