//! SIMD of WebAssembly: four numbers at a time. No relaxed instructions, whose results depend on the host.

use core::arch::wasm32::*;

use super::{BitCounts, InstructionSet, Kernels, Products, scalar};
use crate::half::F16;

pub(super) static KERNELS: Kernels = Kernels {
    set: InstructionSet::Simd128,
    l2_squared,
    inner,
    l1,
    products,
    l2_squared_f16,
    inner_f16,
    l1_f16,
    l2_squared_i8,
    inner_i8,
    hamming,
    bit_counts,
    weighted_ones,
};

/// Eight lanes.
type Eight = [v128; 2];

#[inline(always)]
fn load_f32(from: &[f32; 8]) -> Eight {
    // SAFETY: there are eight numbers, two times sixteen bytes, to read, and loads need no alignment.
    unsafe {
        let from = from.as_ptr().cast::<v128>();
        [v128_load(from), v128_load(from.add(1))]
    }
}

/// How half precision numbers are made single precision ones, with arithmetic and shifts only.
///
/// Wasmer's LLVM makes about a thousand instructions of a `v128.bitselect`, one bit after the other, by which a distance took
/// several hundred times as long; and for `v128.and` and its like it moves lanes to other registers and back. The compiler
/// would make those of shifts by distances that it knows. So it is not to know them.
#[derive(Clone, Copy)]
struct Widening {
    /// 15, from the sign to the lowest bit, and back.
    sign: u32,
    sign_back: u32,
    /// 4: what is left when the sign was shifted out has one bit more than 3.
    exponent: u32,
}

impl Widening {
    #[inline(always)]
    fn new() -> Self {
        static DISTANCES: Widening = Widening { sign: 15, sign_back: 15, exponent: 4 };
        // SAFETY: a reference is valid for reads.
        unsafe { core::ptr::read_volatile(&raw const DISTANCES) }
    }

    /// Eight numbers, each as `F16::to_f32` gives it.
    #[inline(always)]
    fn load(self, from: &[F16; 8]) -> Eight {
        // SAFETY: there are eight numbers of two bytes to read, and loads need no alignment.
        let bits = unsafe { v128_load(from.as_ptr().cast()) };
        // The upper and the lower 16 bits of single precision numbers: sign, exponent and fraction, three bits further down.
        let sign = i16x8_shl(u16x8_shr(bits, self.sign), self.sign_back);
        let upper = u16x8_shr(i16x8_shl(bits, 1), self.exponent);
        let lower = i16x8_shl(bits, 13);
        // The highest exponent is that of infinities, and of what is not a number. It becomes the highest one there is.
        let infinite = u16x8_shr(i16x8_add(upper, i16x8_splat(0x7080)), self.sign);
        let upper = i16x8_add(upper, i16x8_mul(infinite, i16x8_splat(224 << 7)));
        let upper = i16x8_add(upper, sign);
        // Exponents are less by 112 than they should be. This is right for subnormal numbers too.
        let scale = f32x4_splat(f32::from_bits((127 + 112) << 23));
        [
            f32x4_mul(i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(lower, upper), scale),
            f32x4_mul(i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(lower, upper), scale),
        ]
    }
}

#[inline(always)]
fn step_l2(sum: v128, a: v128, b: v128) -> v128 {
    let difference = f32x4_sub(a, b);
    f32x4_add(sum, f32x4_mul(difference, difference))
}

#[inline(always)]
fn step_inner(sum: v128, a: v128, b: v128) -> v128 {
    f32x4_add(sum, f32x4_mul(a, b))
}

#[inline(always)]
fn step_l1(sum: v128, a: v128, b: v128) -> v128 {
    f32x4_add(sum, f32x4_abs(f32x4_sub(a, b)))
}

/// Lanes to one sum, in the order of all kernels.
#[inline(always)]
fn reduce(lanes: [Eight; 4]) -> f32 {
    let add = |half: usize| {
        f32x4_add(
            f32x4_add(lanes[0][half], lanes[1][half]),
            f32x4_add(lanes[2][half], lanes[3][half]),
        )
    };
    let four = f32x4_add(add(0), add(1));
    let two = f32x4_add(four, i32x4_shuffle::<2, 3, 2, 3>(four, four));
    f32x4_extract_lane::<0>(two) + f32x4_extract_lane::<1>(two)
}

/// A sum over eight lanes four times.
#[inline(always)]
fn sum<T: Copy>(
    a: &[T],
    b: &[T],
    load: impl Fn(&[T; 8]) -> Eight,
    step: impl Fn(v128, v128, v128) -> v128,
    term: impl Fn(T, T) -> f32,
) -> f32 {
    let mut lanes = [[f32x4_splat(0.0); 2]; 4];
    let add = |lanes: &mut Eight, a: &[T; 8], b: &[T; 8]| {
        let (a, b) = (load(a), load(b));
        lanes[0] = step(lanes[0], a[0], b[0]);
        lanes[1] = step(lanes[1], a[1], b[1]);
    };
    let ((a_blocks, a_rest), (b_blocks, b_rest)) = (a.as_chunks::<32>(), b.as_chunks::<32>());
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        let (a, b) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
        add(&mut lanes[0], &a[0], &b[0]);
        add(&mut lanes[1], &a[1], &b[1]);
        add(&mut lanes[2], &a[2], &b[2]);
        add(&mut lanes[3], &a[3], &b[3]);
    }
    let ((a_blocks, a_rest), (b_blocks, b_rest)) =
        (a_rest.as_chunks::<8>(), b_rest.as_chunks::<8>());
    // One by one, so that sums stay in registers: to choose them by a number, they would have to be in memory.
    if let (Some(a), Some(b)) = (a_blocks.first(), b_blocks.first()) {
        add(&mut lanes[0], a, b);
    }
    if let (Some(a), Some(b)) = (a_blocks.get(1), b_blocks.get(1)) {
        add(&mut lanes[1], a, b);
    }
    if let (Some(a), Some(b)) = (a_blocks.get(2), b_blocks.get(2)) {
        add(&mut lanes[2], a, b);
    }
    let last = a_rest.iter().zip(b_rest).fold(0f32, |sum, (&a, &b)| sum + term(a, b));
    reduce(lanes) + last
}

fn l2_squared(a: &[f32], b: &[f32]) -> f32 {
    sum(a, b, load_f32, step_l2, |a, b| (a - b) * (a - b))
}

fn inner(a: &[f32], b: &[f32]) -> f32 {
    sum(a, b, load_f32, step_inner, |a, b| a * b)
}

fn l1(a: &[f32], b: &[f32]) -> f32 {
    sum(a, b, load_f32, step_l1, |a, b| (a - b).abs())
}

/// Three sums as [`inner`] computes them, in one pass for each eight of the lanes: what is loaded serves all three, and
/// their partial sums have room in registers.
fn products(a: &[f32], b: &[f32]) -> Products {
    let ((a_blocks, a_rest), (b_blocks, b_rest)) = (a.as_chunks::<32>(), b.as_chunks::<32>());
    let ((a_more, a_last), (b_more, b_last)) = (a_rest.as_chunks::<8>(), b_rest.as_chunks::<8>());
    let mut sums = [[[f32x4_splat(0.0); 2]; 4]; 3];
    for lanes in 0..4 {
        let mut partial = [[f32x4_splat(0.0); 2]; 3];
        let mut add = |a: &[f32; 8], b: &[f32; 8]| {
            let (a, b) = (load_f32(a), load_f32(b));
            for half in 0..2 {
                partial[0][half] = step_inner(partial[0][half], a[half], b[half]);
                partial[1][half] = step_inner(partial[1][half], a[half], a[half]);
                partial[2][half] = step_inner(partial[2][half], b[half], b[half]);
            }
        };
        for (a, b) in a_blocks.iter().zip(b_blocks) {
            add(&a.as_chunks::<8>().0[lanes], &b.as_chunks::<8>().0[lanes]);
        }
        if let (Some(a), Some(b)) = (a_more.get(lanes), b_more.get(lanes)) {
            add(a, b);
        }
        for (sums, partial) in sums.iter_mut().zip(partial) {
            sums[lanes] = partial;
        }
    }
    let last = |a: &[f32], b: &[f32]| a.iter().zip(b).fold(0f32, |sum, (&a, &b)| sum + a * b);
    Products {
        inner: reduce(sums[0]) + last(a_last, b_last),
        left: reduce(sums[1]) + last(a_last, a_last),
        right: reduce(sums[2]) + last(b_last, b_last),
    }
}

fn l2_squared_f16(a: &[F16], b: &[F16]) -> f32 {
    let widening = Widening::new();
    sum(
        a,
        b,
        |from| widening.load(from),
        step_l2,
        |a, b| {
            let difference = a.to_f32() - b.to_f32();
            difference * difference
        },
    )
}

fn inner_f16(a: &[F16], b: &[F16]) -> f32 {
    let widening = Widening::new();
    sum(a, b, |from| widening.load(from), step_inner, |a, b| a.to_f32() * b.to_f32())
}

fn l1_f16(a: &[F16], b: &[F16]) -> f32 {
    let widening = Widening::new();
    sum(a, b, |from| widening.load(from), step_l1, |a, b| (a.to_f32() - b.to_f32()).abs())
}

/// Sixteen bytes.
#[inline(always)]
fn load_bytes<T>(from: &[T; 16]) -> v128 {
    const { assert!(size_of::<T>() == 1) };
    // SAFETY: there are sixteen bytes to read, and loads need no alignment.
    unsafe { v128_load(from.as_ptr().cast()) }
}

/// Numbers per 32-bit sum that cannot overflow: together they are at most `2^15 * 255^2`.
const BLOCK: usize = 1 << 15;

#[inline(always)]
fn reduce_i32(lanes: v128) -> i64 {
    let pairs = i64x2_add(i64x2_extend_low_i32x4(lanes), i64x2_extend_high_i32x4(lanes));
    i64x2_extract_lane::<0>(pairs) + i64x2_extract_lane::<1>(pairs)
}

fn l2_squared_i8(a: &[i8], b: &[i8]) -> u64 {
    let mut total = 0;
    for (a, b) in a.chunks(BLOCK).zip(b.chunks(BLOCK)) {
        let mut lanes = i32x4_splat(0);
        let ((a_blocks, a_rest), (b_blocks, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
        for (a, b) in a_blocks.iter().zip(b_blocks) {
            let (a, b) = (load_bytes(a), load_bytes(b));
            let low = i16x8_sub(i16x8_extend_low_i8x16(a), i16x8_extend_low_i8x16(b));
            let high = i16x8_sub(i16x8_extend_high_i8x16(a), i16x8_extend_high_i8x16(b));
            let squares = i32x4_add(i32x4_dot_i16x8(low, low), i32x4_dot_i16x8(high, high));
            lanes = i32x4_add(lanes, squares);
        }
        total += reduce_i32(lanes) as u64 + scalar::l2_squared_i8(a_rest, b_rest);
    }
    total
}

fn inner_i8(a: &[i8], b: &[i8]) -> i64 {
    let mut total = 0;
    for (a, b) in a.chunks(BLOCK).zip(b.chunks(BLOCK)) {
        let mut lanes = i32x4_splat(0);
        let ((a_blocks, a_rest), (b_blocks, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
        for (a, b) in a_blocks.iter().zip(b_blocks) {
            let (a, b) = (load_bytes(a), load_bytes(b));
            let low = i32x4_dot_i16x8(i16x8_extend_low_i8x16(a), i16x8_extend_low_i8x16(b));
            let high = i32x4_dot_i16x8(i16x8_extend_high_i8x16(a), i16x8_extend_high_i8x16(b));
            lanes = i32x4_add(lanes, i32x4_add(low, high));
        }
        total += reduce_i32(lanes) + scalar::inner_i8(a_rest, b_rest);
    }
    total
}

/// Ones in sixteen bytes, added to four sums.
#[inline(always)]
fn add_ones(sums: v128, bits: v128) -> v128 {
    let pairs = u16x8_extadd_pairwise_u8x16(u8x16_popcnt(bits));
    i32x4_add(sums, u32x4_extadd_pairwise_u16x8(pairs))
}

#[inline(always)]
fn reduce_u32(sums: v128) -> u64 {
    let pairs = i64x2_add(u64x2_extend_low_u32x4(sums), u64x2_extend_high_u32x4(sums));
    (i64x2_extract_lane::<0>(pairs) + i64x2_extract_lane::<1>(pairs)) as u64
}

/// Bytes per 32-bit sum that cannot overflow.
const BIT_BLOCK: usize = 1 << 28;

/// Ones in what an operation makes of each sixteen bytes; and what is left.
#[inline(always)]
fn ones(a: &[u8], b: &[u8], operation: impl Fn(v128, v128) -> v128) -> u64 {
    let mut total = 0;
    for (a, b) in a.chunks(BIT_BLOCK).zip(b.chunks(BIT_BLOCK)) {
        let mut sums = i32x4_splat(0);
        let ((a_blocks, a_rest), (b_blocks, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
        for (a, b) in a_blocks.iter().zip(b_blocks) {
            sums = add_ones(sums, operation(load_bytes(a), load_bytes(b)));
        }
        let (mut a, mut b) = ([0u8; 16], [0u8; 16]);
        a[..a_rest.len()].copy_from_slice(a_rest);
        b[..b_rest.len()].copy_from_slice(b_rest);
        sums = add_ones(sums, operation(load_bytes(&a), load_bytes(&b)));
        total += reduce_u32(sums);
    }
    total
}

fn hamming(a: &[u8], b: &[u8]) -> u64 {
    ones(a, b, |a, b| v128_xor(a, b))
}

fn bit_counts(a: &[u8], b: &[u8]) -> BitCounts {
    BitCounts {
        intersection: ones(a, b, |a, b| v128_and(a, b)),
        union: ones(a, b, |a, b| v128_or(a, b)),
    }
}

fn weighted_ones(code: &[u8], planes: [&[u8]; 4]) -> u64 {
    planes.iter().enumerate().map(|(j, plane)| ones(code, plane, |a, b| v128_and(a, b)) << j).sum()
}
