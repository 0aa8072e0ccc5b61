//! What stands for a vector on a page if not the vector itself: one byte for each dimension, see [`super::sq8`], or half
//! precision numbers.

use ruvector_core::F16;

use super::insert::Settings;
use super::sq8;
use crate::view::{Value, View, slice};

/// The largest number that half precision has.
const LARGEST: f32 = 65504.0;

/// Numbers as half precision has them. Larger ones become the largest: they are found, but by codes that say less.
fn encode_f16(numbers: impl Iterator<Item = f32>, code: &mut [u8]) {
    for (place, number) in code.as_chunks_mut().0.iter_mut().zip(numbers) {
        *place = F16::from_f32(number.clamp(-LARGEST, LARGEST)).to_bits().to_ne_bytes();
    }
}

/// Writes the code of a vector that has the dimensions of the index; `code` has room for it.
///
/// # Safety
/// `settings` can be read, `view` is one of a datum, so many centres are at `center` if codes have them, and there is room for
/// the code.
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
        let (settings, dimensions) = (&*settings, dimensions as usize);
        let length = match (settings.is_f16(), settings.has_offsets()) {
            (true, _) => 2 * dimensions,
            (false, true) => dimensions + sq8::OFFSET,
            (false, false) => dimensions,
        };
        let code = core::slice::from_raw_parts_mut(code, length);
        match (*view).value() {
            Value::Vector(vector) if settings.is_f16() => encode_f16(vector.iter().copied(), code),
            Value::Vector(vector) => {
                sq8::encode(settings, vector.iter().copied(), slice(center, dimensions), code);
            }
            Value::HalfVec(vector) => {
                let numbers = vector.iter().map(|x| x.to_f32());
                sq8::encode(settings, numbers, slice(center, dimensions), code);
            }
            Value::SparseVec(_) => {}
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
