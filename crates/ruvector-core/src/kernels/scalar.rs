//! The definition of the sums, which the other kernels are compared with.

use super::{BitCounts, InstructionSet, Kernels, LANES, Products};
use crate::half::F16;

pub(super) static KERNELS: Kernels = Kernels {
    set: InstructionSet::Scalar,
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

/// The sum of the terms, in the order that the module's documentation describes.
#[inline]
fn sum<T: Copy>(a: &[T], b: &[T], term: impl Fn(T, T) -> f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let ((a_blocks, a_rest), (b_blocks, b_rest)) = (a.as_chunks::<32>(), b.as_chunks::<32>());
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for (lane, (&a, &b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += term(a, b);
        }
    }
    let ((a_blocks, a_rest), (b_blocks, b_rest)) =
        (a_rest.as_chunks::<8>(), b_rest.as_chunks::<8>());
    for (lanes, (a, b)) in lanes.chunks_exact_mut(8).zip(a_blocks.iter().zip(b_blocks)) {
        for (lane, (&a, &b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += term(a, b);
        }
    }
    let last = a_rest.iter().zip(b_rest).fold(0f32, |sum, (&a, &b)| sum + term(a, b));
    let mut eight = [0f32; 8];
    for (i, lane) in eight.iter_mut().enumerate() {
        *lane = (lanes[i] + lanes[i + 8]) + (lanes[i + 16] + lanes[i + 24]);
    }
    let four = [eight[0] + eight[4], eight[1] + eight[5], eight[2] + eight[6], eight[3] + eight[7]];
    ((four[0] + four[2]) + (four[1] + four[3])) + last
}

fn l2_squared(a: &[f32], b: &[f32]) -> f32 {
    sum(a, b, |a, b| (a - b) * (a - b))
}

fn inner(a: &[f32], b: &[f32]) -> f32 {
    sum(a, b, |a, b| a * b)
}

fn l1(a: &[f32], b: &[f32]) -> f32 {
    sum(a, b, |a, b| (a - b).abs())
}

fn products(a: &[f32], b: &[f32]) -> Products {
    Products { inner: inner(a, b), left: inner(a, a), right: inner(b, b) }
}

fn l2_squared_f16(a: &[F16], b: &[F16]) -> f32 {
    sum(a, b, |a, b| {
        let difference = a.to_f32() - b.to_f32();
        difference * difference
    })
}

fn inner_f16(a: &[F16], b: &[F16]) -> f32 {
    sum(a, b, |a, b| a.to_f32() * b.to_f32())
}

fn l1_f16(a: &[F16], b: &[F16]) -> f32 {
    sum(a, b, |a, b| (a.to_f32() - b.to_f32()).abs())
}

pub(super) fn l2_squared_i8(a: &[i8], b: &[i8]) -> u64 {
    a.iter().zip(b).map(|(&a, &b)| u64::from(a.abs_diff(b)).pow(2)).sum()
}

pub(super) fn inner_i8(a: &[i8], b: &[i8]) -> i64 {
    a.iter().zip(b).map(|(&a, &b)| i64::from(i32::from(a) * i32::from(b))).sum()
}

/// Counts over words of eight bytes, the last of which is filled up with zeros.
#[inline]
fn words<'a>(a: &'a [u8], b: &'a [u8]) -> impl Iterator<Item = (u64, u64)> + 'a {
    let ((a_words, a_rest), (b_words, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let rest = |bytes: &[u8]| {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        u64::from_ne_bytes(word)
    };
    let whole = a_words.iter().zip(b_words);
    whole
        .map(|(&a, &b)| (u64::from_ne_bytes(a), u64::from_ne_bytes(b)))
        .chain(core::iter::once((rest(a_rest), rest(b_rest))))
}

#[inline]
pub(super) fn hamming(a: &[u8], b: &[u8]) -> u64 {
    words(a, b).map(|(a, b)| u64::from((a ^ b).count_ones())).sum()
}

#[inline]
pub(super) fn bit_counts(a: &[u8], b: &[u8]) -> BitCounts {
    words(a, b).fold(BitCounts { intersection: 0, union: 0 }, |counts, (a, b)| BitCounts {
        intersection: counts.intersection + u64::from((a & b).count_ones()),
        union: counts.union + u64::from((a | b).count_ones()),
    })
}

#[inline]
pub(super) fn weighted_ones(code: &[u8], planes: [&[u8]; 4]) -> u64 {
    let ones = |plane: &[u8]| -> u64 {
        words(code, plane).map(|(code, plane)| u64::from((code & plane).count_ones())).sum()
    };
    planes.iter().enumerate().map(|(j, plane)| ones(plane) << j).sum()
}
