//! What stands for a vector on a page if not the vector itself: one byte for each dimension, see [`super::sq8`], half
//! precision numbers, or one bit for each dimension, see [`super::rabitq`].

use ruvector_core::{F16, Result, quantize};

use super::insert::Settings;
use super::{rabitq, sq8};
use crate::view::{Value, View, slice};
use crate::{Failure, report};

/// The largest number that half precision has.
pub(super) const LARGEST: f32 = 65504.0;

/// Numbers as half precision has them. Larger ones become the largest: they are found, but by codes that say less.
fn encode_f16(numbers: impl Iterator<Item = f32>, code: &mut [u8]) {
    for (place, number) in code.as_chunks_mut().0.iter_mut().zip(numbers) {
        *place = F16::from_f32(number.clamp(-LARGEST, LARGEST)).to_bits().to_ne_bytes();
    }
}

/// How many bytes the codes of dense vectors have, and codes with what is behind them while they are searched for or added.
///
/// # Safety
/// `settings` can be read, but for its room; the others can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_hnsw_code_lengths(
    settings: *const Settings,
    dimensions: u32,
    code: *mut u32,
    prepared: *mut u32,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let (settings, dimensions) = (&*settings, dimensions as usize);
        let (length, with_more) = if settings.is_rabitq() {
            rabitq::lengths(dimensions, settings.has_offsets())
        } else if settings.is_f16() {
            (2 * dimensions, 2 * dimensions)
        } else {
            sq8::lengths(settings, dimensions)
        };
        (*code, *prepared) = (length as u32, with_more as u32);
    }
}

/// Writes the code of a vector that has the dimensions of the index, and what is behind it.
///
/// # Safety
/// `settings` can be read, `view` is one of a datum, so many centres are at `center` if codes have them, there is room at
/// `code` for as many bytes as [`ruvector_hnsw_code_lengths`] says, and `failure` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_hnsw_encode(
    settings: *const Settings,
    view: *const View,
    center: *const f32,
    dimensions: u32,
    code: *mut u8,
    failure: *mut Failure,
) -> bool {
    let (mut length, mut prepared) = (0, 0);
    // SAFETY: the caller's promise.
    unsafe {
        ruvector_hnsw_code_lengths(settings, dimensions, &raw mut length, &raw mut prepared);
        let (settings, center) = (&*settings, slice(center, dimensions as usize));
        let code = core::slice::from_raw_parts_mut(code, prepared as usize);
        let encoded = match (*view).value() {
            Value::Vector(vector) => encode(settings, vector.iter().copied(), center, code),
            Value::HalfVec(vector) => {
                encode(settings, vector.iter().map(|x| x.to_f32()), center, code)
            }
            Value::SparseVec(_) => Ok(()),
        };
        report(encoded, failure)
    }
}

fn encode(
    settings: &Settings,
    numbers: impl Iterator<Item = f32> + Clone,
    center: &[f32],
    code: &mut [u8],
) -> Result<()> {
    if settings.is_rabitq() {
        return rabitq::encode(settings, numbers, center, code);
    }
    if settings.is_f16() {
        encode_f16(numbers, code);
    } else {
        sq8::encode(settings, numbers, center, code);
    }
    Ok(())
}

/// Chooses the centres, and the step if codes have one, by a sample; if it is but of a few vectors, the centres are zero.
///
/// # Safety
/// `settings` can be read, `count` vectors of so many dimensions are at `sample`, there is room for a vector at `center`,
/// and the others can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_hnsw_train(
    settings: *const Settings,
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
        let trained = match ((*settings).is_rabitq(), few) {
            (true, false) => quantize::center(sample.chunks_exact(dimensions.max(1)), dimensions)
                .map(|found| {
                    center.copy_from_slice(&found);
                    0.0
                }),
            (false, false) => sq8::train(sample, dimensions, center),
            (is_rabitq, true) => {
                center.fill(0.0);
                Ok(if is_rabitq { 0.0 } else { sq8::rough_step(sample) })
            }
        };
        report(trained.map(|trained| *step = trained), failure)
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
