//! Codes of one byte for each dimension: see [`ruvector_core::quantize::Sq8`].
//!
//! Behind the bytes of a code for inner products there is the vector's offset, as a single precision number.

use alloc::vec::Vec;

use ruvector_core::kernels::Kernels;
use ruvector_core::quantize::{Sq8, encode_numbers};
use ruvector_core::{F16, Result};

use super::insert::Settings;
use crate::view::{Value, View, slice};
use crate::{Failure, report};

/// Bytes of an offset.
const OFFSET: usize = 4;

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

/// Writes the code of a vector that has the dimensions of the index, as the centre has; `code` has room for it.
///
/// # Safety
/// `settings` can be read, `view` is one of a datum, so many centres are at `center`, and there is room for the code.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_hnsw_encode(
    settings: *const Settings,
    view: *const View,
    center: *const f32,
    dimensions: u32,
    code: *mut u8,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let (dimensions, step) = (dimensions as usize, (*settings).step);
        let center = slice(center, dimensions);
        let codes = core::slice::from_raw_parts_mut(code.cast::<i8>(), dimensions);
        let offset = match (*view).value() {
            Value::Vector(vector) => encode_numbers(vector.iter().copied(), center, step, codes),
            Value::HalfVec(vector) => {
                encode_numbers(vector.iter().map(|x| x.to_f32()), center, step, codes)
            }
            Value::SparseVec(_) => return,
        };
        if (*settings).has_offsets() {
            code.add(dimensions).cast::<[u8; OFFSET]>().write(offset.to_ne_bytes());
        }
    }
}

/// Writes the numbers of a dense vector in single precision.
///
/// # Safety
/// `view` is one of a datum, and there is room for its numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_hnsw_numbers(view: *const View, numbers: *mut f32) {
    // SAFETY: the caller's promise.
    unsafe {
        let write = |at: usize, number: f32| numbers.add(at).write(number);
        match (*view).value() {
            Value::Vector(vector) => vector.iter().enumerate().for_each(|(at, &x)| write(at, x)),
            Value::HalfVec(vector) => {
                vector
                    .iter()
                    .map(|x: &F16| x.to_f32())
                    .enumerate()
                    .for_each(|(at, x)| write(at, x));
            }
            Value::SparseVec(_) => {}
        }
    }
}

/// How far the numbers of vectors that come later may exceed those of a few, which are all that is known.
const MARGIN: f32 = 1.25;

/// The step for codes around zero by which the numbers of a few vectors are within the range.
fn rough_step(sample: &[f32]) -> f32 {
    let most = sample.iter().map(|x| x.abs()).filter(|x| x.is_finite()).fold(0.0, f32::max);
    let step = most * MARGIN / 127.0;
    if step.is_normal() { step } else { 1.0 / 127.0 }
}

fn train(sample: &[f32], dimensions: usize, center: &mut [f32]) -> Result<f32> {
    let mut vectors: Vec<&[f32]> = Vec::new();
    vectors.try_reserve_exact(sample.len() / dimensions.max(1))?;
    vectors.extend(sample.chunks_exact(dimensions.max(1)));
    let quantizer = Sq8::train(vectors.iter().copied(), dimensions)?;
    center.copy_from_slice(quantizer.center());
    Ok(quantizer.step())
}

/// Chooses the centres and the step by a sample; if it is but of a few vectors, the centres are zero.
///
/// # Safety
/// `count` vectors of so many dimensions are at `sample`, there is room for a vector at `center`, and the others can be
/// written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_hnsw_train(
    sample: *const f32,
    count: usize,
    dimensions: u32,
    few: bool,
    center: *mut f32,
    step: *mut f32,
    failure: *mut Failure,
) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let dimensions = dimensions as usize;
        let sample = slice(sample, count.saturating_mul(dimensions));
        let center = core::slice::from_raw_parts_mut(center, dimensions);
        let trained = if few {
            center.fill(0.0);
            Ok(rough_step(sample))
        } else {
            train(sample, dimensions, center)
        };
        report(trained.map(|trained| *step = trained), failure)
    }
}
