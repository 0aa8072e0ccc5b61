//! Codes of one byte for each dimension: see [`ruvector_core::quantize::Sq8`].
//!
//! Behind the bytes of a code for inner products there is the vector's offset, as a single precision number. What is searched for
//! has, for Euclidean distances, the numbers themselves behind its code, less the centres and divided by the step.

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

/// Bytes of a code, and of one that is searched for.
pub(super) const fn lengths(settings: &Settings, dimensions: usize) -> (usize, usize) {
    if settings.has_offsets() {
        (dimensions + OFFSET, dimensions + OFFSET)
    } else if settings.is_l2() {
        (dimensions, dimensions + size_of::<f32>() * dimensions)
    } else {
        (dimensions, dimensions)
    }
}

/// Writes the code of numbers, as many as there are centres, and what is behind it. `to` has room for all of it.
pub(super) fn encode(
    settings: &Settings,
    numbers: impl Iterator<Item = f32> + Clone,
    center: &[f32],
    to: &mut [u8],
) {
    let (codes, rest) = to.split_at_mut(center.len().min(to.len()));
    // SAFETY: both are bytes, and any is a number.
    let codes = unsafe { core::slice::from_raw_parts_mut(codes.as_mut_ptr().cast(), codes.len()) };
    let offset = encode_numbers(numbers.clone(), center, settings.step, codes);
    if settings.has_offsets() {
        if let Some(place) = rest.first_chunk_mut::<OFFSET>() {
            *place = offset.to_ne_bytes();
        }
        return;
    }
    for ((place, number), center) in rest.as_chunks_mut().0.iter_mut().zip(numbers).zip(center) {
        *place = ((number - center) / settings.step).to_ne_bytes();
    }
}

/// The numbers behind the code, of `length` bytes, of what is searched for.
#[inline]
fn numbers(length: usize, query: &[u8]) -> &[[u8; 4]] {
    query.get(length..).unwrap_or_default().as_chunks().0
}

/// The largest code.
const LARGEST: f32 = 127.0;

/// The squared distance of what is searched for, whose code has `length` bytes, and what a code stands for, in steps; or
/// less, where a number was cut off.
pub(super) fn squared_steps(length: usize, query: &[u8], code: &[u8]) -> f64 {
    const LANES: usize = 8;
    let codes = signed(code.get(..length).unwrap_or_default());
    let ((numbers, last_numbers), (codes, last_codes)) =
        (numbers(length, query).as_chunks::<LANES>(), codes.as_chunks::<LANES>());
    let square = |number: &[u8; 4], code: i8| {
        let difference = f32::from_ne_bytes(*number) - f32::from(code);
        difference * difference
    };
    let mut sums = [0f32; LANES];
    for (numbers, codes) in numbers.iter().zip(codes) {
        for lane in 0..LANES {
            sums[lane] += square(&numbers[lane], codes[lane]);
        }
    }
    let last = last_numbers.iter().zip(last_codes).map(|(number, &code)| square(number, code));
    f64::from(sums.iter().sum::<f32>() + last.sum::<f32>())
}

/// Is a number of what is searched for beyond those that codes have?
pub(super) fn is_beyond(length: usize, query: &[u8]) -> bool {
    numbers(length, query).iter().any(|number| f32::from_ne_bytes(*number).abs() > LARGEST)
}

/// By how much [`squared_steps`] may be too large where a number of both is beyond those that codes have: the vector's may be
/// the same as that of the query.
pub(super) fn beyond_both(length: usize, query: &[u8], code: &[u8]) -> f64 {
    let codes = signed(code.get(..length).unwrap_or_default());
    let excess = |(number, &code): (&[u8; 4], &i8)| {
        let (number, code) = (f32::from_ne_bytes(*number), f32::from(code));
        let is_both = code.abs() == LARGEST && number * code > LARGEST * LARGEST;
        if is_both { f64::from(number - code) * f64::from(number - code) } else { 0.0 }
    };
    numbers(length, query).iter().zip(codes).map(excess).sum()
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
