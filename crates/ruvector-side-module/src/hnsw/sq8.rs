//! Codes of one byte for each dimension: see [`ruvector_core::quantize::Sq8`].
//!
//! Behind the bytes of a code for inner products there is the vector's offset, as a single precision number.

use alloc::vec::Vec;

use ruvector_core::Result;
use ruvector_core::kernels::Kernels;
use ruvector_core::quantize::{Sq8, encode_numbers};

use super::insert::Settings;
/// Bytes of an offset.
pub(super) const OFFSET: usize = 4;

/// Bytes as signed numbers.
#[inline]
pub(super) fn signed(code: &[u8]) -> &[i8] {
    // SAFETY: both are bytes, and any is a number.
    unsafe { core::slice::from_raw_parts(code.as_ptr().cast(), code.len()) }
}

#[inline]
fn split(code: &[u8]) -> (&[i8], f32) {
    match code.split_last_chunk::<OFFSET>() {
        Some((codes, offset)) => (signed(codes), f32::from_ne_bytes(*offset)),
        None => (&[], 0.0),
    }
}

/// The negative inner product of what two codes stand for, but for a number that is the same for all codes of an index.
#[inline]
pub(super) fn negative_inner(kernels: &Kernels, step: f32, a: &[u8], b: &[u8]) -> f32 {
    let ((a, a_offset), (b, b_offset)) = (split(a), split(b));
    -(step * step * kernels.inner_i8(a, b) as f32 + a_offset + b_offset)
}

/// The sum of the differences of two codes.
#[inline]
pub(super) fn l1(a: &[u8], b: &[u8]) -> f32 {
    let pairs = signed(a).iter().zip(signed(b));
    pairs.map(|(a, b)| u32::from(a.abs_diff(*b))).sum::<u32>() as f32
}

/// Writes the code of numbers, as many as there are centres; `code` has as many bytes, and an offset's if codes have those.
pub(super) fn encode(
    settings: &Settings,
    numbers: impl Iterator<Item = f32>,
    center: &[f32],
    code: &mut [u8],
) {
    let (codes, rest) = code.split_at_mut(center.len().min(code.len()));
    // SAFETY: both are bytes, and any is a number.
    let codes = unsafe { core::slice::from_raw_parts_mut(codes.as_mut_ptr().cast(), codes.len()) };
    let offset = encode_numbers(numbers, center, settings.step, codes);
    if let Some(place) = rest.first_chunk_mut::<OFFSET>() {
        *place = offset.to_ne_bytes();
    }
}

/// How far the numbers of vectors that come later may exceed those of a few, which are all that is known.
const MARGIN: f32 = 1.25;

/// The step for codes around zero by which the numbers of a few vectors are within the range.
pub(super) fn rough_step(sample: &[f32]) -> f32 {
    let most = sample.iter().map(|x| x.abs()).filter(|x| x.is_finite()).fold(0.0, f32::max);
    let step = most * MARGIN / 127.0;
    if step.is_normal() { step } else { 1.0 / 127.0 }
}

pub(super) fn train(sample: &[f32], dimensions: usize, center: &mut [f32]) -> Result<f32> {
    let mut vectors: Vec<&[f32]> = Vec::new();
    vectors.try_reserve_exact(sample.len() / dimensions.max(1))?;
    vectors.extend(sample.chunks_exact(dimensions.max(1)));
    let quantizer = Sq8::train(vectors.iter().copied(), dimensions)?;
    center.copy_from_slice(quantizer.center());
    Ok(quantizer.step())
}
