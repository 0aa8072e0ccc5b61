//! NEON, which every 64-bit Arm processor has: four numbers at a time.

use core::arch::aarch64::*;

use super::{BitCounts, Products, scalar};
use crate::half::F16;

table!(Neon);

/// Eight lanes.
type Eight = [float32x4_t; 2];

#[inline]
#[target_feature(enable = "neon")]
fn load_f32(from: &[f32; 8]) -> Eight {
    // SAFETY: there are eight numbers to read.
    unsafe { [vld1q_f32(from.as_ptr()), vld1q_f32(from.as_ptr().add(4))] }
}

#[inline]
#[target_feature(enable = "neon")]
fn load_f16(from: &[F16; 8]) -> Eight {
    // SAFETY: there are eight numbers to read, and `F16` is a `u16` in memory.
    let bits = unsafe { vld1q_u16(from.as_ptr().cast()) };
    [widen(vmovl_u16(vget_low_u16(bits))), widen(vmovl_u16(vget_high_u16(bits)))]
}

/// Four half precision numbers in 32 bits each to single precision, as `F16::to_f32` does it.
#[inline]
#[target_feature(enable = "neon")]
fn widen(bits: uint32x4_t) -> float32x4_t {
    let sign = vshlq_n_u32::<16>(vandq_u32(bits, vdupq_n_u32(0x8000)));
    let rest = vshlq_n_u32::<13>(vandq_u32(bits, vdupq_n_u32(0x7fff)));
    let normal = vaddq_u32(rest, vdupq_n_u32(112 << 23));
    let magic = vdupq_n_u32(113 << 23);
    let subnormal =
        vsubq_f32(vreinterpretq_f32_u32(vaddq_u32(rest, magic)), vreinterpretq_f32_u32(magic));
    let infinite = vaddq_u32(normal, vdupq_n_u32(112 << 23));
    let small = vcltq_u32(rest, vdupq_n_u32(1 << 23));
    let value = vbslq_u32(small, vreinterpretq_u32_f32(subnormal), normal);
    let value = vbslq_u32(vcgeq_u32(rest, vdupq_n_u32(0x1f << 23)), infinite, value);
    vreinterpretq_f32_u32(vorrq_u32(value, sign))
}

#[inline]
#[target_feature(enable = "neon")]
fn step_l2(sum: float32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t {
    let difference = vsubq_f32(a, b);
    vaddq_f32(sum, vmulq_f32(difference, difference))
}

#[inline]
#[target_feature(enable = "neon")]
fn step_inner(sum: float32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t {
    vaddq_f32(sum, vmulq_f32(a, b))
}

#[inline]
#[target_feature(enable = "neon")]
fn step_l1(sum: float32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t {
    vaddq_f32(sum, vabsq_f32(vsubq_f32(a, b)))
}

/// Lanes to one sum, in the order of all kernels.
#[inline]
#[target_feature(enable = "neon")]
fn reduce(lanes: [Eight; 4]) -> f32 {
    let low = vaddq_f32(vaddq_f32(lanes[0][0], lanes[1][0]), vaddq_f32(lanes[2][0], lanes[3][0]));
    let high = vaddq_f32(vaddq_f32(lanes[0][1], lanes[1][1]), vaddq_f32(lanes[2][1], lanes[3][1]));
    let four = vaddq_f32(low, high);
    let two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    vget_lane_f32::<0>(two) + vget_lane_f32::<1>(two)
}

/// A sum over eight lanes four times.
macro_rules! sum {
    ($name:ident, $element:ty, $load:ident, $step:ident, |$x:ident, $y:ident| $term:expr) => {
        #[target_feature(enable = "neon")]
        fn $name(a: &[$element], b: &[$element]) -> f32 {
            let mut lanes = [[vdupq_n_f32(0.0); 2]; 4];
            let ((a_blocks, a_rest), (b_blocks, b_rest)) =
                (a.as_chunks::<32>(), b.as_chunks::<32>());
            for (a, b) in a_blocks.iter().zip(b_blocks) {
                let (a, b) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
                for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
                    let (a, b) = ($load(a), $load(b));
                    *lane = [$step(lane[0], a[0], b[0]), $step(lane[1], a[1], b[1])];
                }
            }
            let ((a_blocks, a_rest), (b_blocks, b_rest)) =
                (a_rest.as_chunks::<8>(), b_rest.as_chunks::<8>());
            for (lane, (a, b)) in lanes.iter_mut().zip(a_blocks.iter().zip(b_blocks)) {
                let (a, b) = ($load(a), $load(b));
                *lane = [$step(lane[0], a[0], b[0]), $step(lane[1], a[1], b[1])];
            }
            let last = a_rest.iter().zip(b_rest).fold(0f32, |sum, (&$x, &$y)| sum + $term);
            reduce(lanes) + last
        }
    };
}

sum!(l2_squared, f32, load_f32, step_l2, |x, y| (x - y) * (x - y));
sum!(inner, f32, load_f32, step_inner, |x, y| x * y);
sum!(l1, f32, load_f32, step_l1, |x, y| (x - y).abs());
sum!(l2_squared_f16, F16, load_f16, step_l2, |x, y| {
    let difference = x.to_f32() - y.to_f32();
    difference * difference
});
sum!(inner_f16, F16, load_f16, step_inner, |x, y| x.to_f32() * y.to_f32());
sum!(l1_f16, F16, load_f16, step_l1, |x, y| (x.to_f32() - y.to_f32()).abs());

#[target_feature(enable = "neon")]
fn products(a: &[f32], b: &[f32]) -> Products {
    Products { inner: inner(a, b), left: inner(a, a), right: inner(b, b) }
}

/// Numbers per 32-bit sum that cannot overflow: together they are at most `2^15 * 255^2`.
const BLOCK: usize = 1 << 15;

#[inline]
#[target_feature(enable = "neon")]
fn load_i8(from: &[i8; 16]) -> int8x16_t {
    // SAFETY: there are sixteen bytes to read.
    unsafe { vld1q_s8(from.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
fn load_u8(from: &[u8; 16]) -> uint8x16_t {
    // SAFETY: there are sixteen bytes to read.
    unsafe { vld1q_u8(from.as_ptr()) }
}

#[target_feature(enable = "neon")]
fn l2_squared_i8(a: &[i8], b: &[i8]) -> u64 {
    let mut total = 0;
    for (a, b) in a.chunks(BLOCK).zip(b.chunks(BLOCK)) {
        let mut lanes = vdupq_n_u32(0);
        let ((a_blocks, a_rest), (b_blocks, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
        for (a, b) in a_blocks.iter().zip(b_blocks) {
            // The magnitude of a difference fits into eight bits without a sign.
            let difference = vreinterpretq_u8_s8(vabdq_s8(load_i8(a), load_i8(b)));
            let (low, high) = (vget_low_u8(difference), vget_high_u8(difference));
            lanes = vpadalq_u16(lanes, vmull_u8(low, low));
            lanes = vpadalq_u16(lanes, vmull_u8(high, high));
        }
        total += vaddlvq_u32(lanes) + scalar::l2_squared_i8(a_rest, b_rest);
    }
    total
}

#[target_feature(enable = "neon")]
fn inner_i8(a: &[i8], b: &[i8]) -> i64 {
    let mut total = 0;
    for (a, b) in a.chunks(BLOCK).zip(b.chunks(BLOCK)) {
        let mut lanes = vdupq_n_s32(0);
        let ((a_blocks, a_rest), (b_blocks, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
        for (a, b) in a_blocks.iter().zip(b_blocks) {
            let (a, b) = (load_i8(a), load_i8(b));
            lanes = vpadalq_s16(lanes, vmull_s8(vget_low_s8(a), vget_low_s8(b)));
            lanes = vpadalq_s16(lanes, vmull_s8(vget_high_s8(a), vget_high_s8(b)));
        }
        total += vaddlvq_s32(lanes) + scalar::inner_i8(a_rest, b_rest);
    }
    total
}

/// Ones in sixteen bytes, added to two sums.
#[inline]
#[target_feature(enable = "neon")]
fn add_ones(sums: uint64x2_t, bits: uint8x16_t) -> uint64x2_t {
    vpadalq_u32(sums, vpaddlq_u16(vpaddlq_u8(vcntq_u8(bits))))
}

#[target_feature(enable = "neon")]
fn hamming(a: &[u8], b: &[u8]) -> u64 {
    let mut sums = vdupq_n_u64(0);
    let ((a_blocks, a_rest), (b_blocks, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        sums = add_ones(sums, veorq_u8(load_u8(a), load_u8(b)));
    }
    vaddvq_u64(sums) + scalar::hamming(a_rest, b_rest)
}

#[target_feature(enable = "neon")]
fn bit_counts(a: &[u8], b: &[u8]) -> BitCounts {
    let (mut both, mut either) = (vdupq_n_u64(0), vdupq_n_u64(0));
    let ((a_blocks, a_rest), (b_blocks, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        let (a, b) = (load_u8(a), load_u8(b));
        both = add_ones(both, vandq_u8(a, b));
        either = add_ones(either, vorrq_u8(a, b));
    }
    let rest = scalar::bit_counts(a_rest, b_rest);
    BitCounts {
        intersection: vaddvq_u64(both) + rest.intersection,
        union: vaddvq_u64(either) + rest.union,
    }
}

#[target_feature(enable = "neon")]
fn weighted_ones(code: &[u8], planes: [&[u8]; 4]) -> u64 {
    planes.iter().enumerate().map(|(j, plane)| bit_counts(code, plane).intersection << j).sum()
}
