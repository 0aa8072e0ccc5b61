//! Averages, whose state is an array of PostgreSQL.

use core::slice;

use ruvector_core::{Error, F16, Result, VectorKind, ops};

use crate::types::give;
use crate::view::{Value, View, halfvec_datum, kind, slice as view_slice, vector_datum};
use crate::{Bytes, Failure, report};

/// # Safety
/// `count` numbers can be read and written at `sums`.
unsafe fn sums<'a>(sums: *mut f64, count: usize) -> &'a mut [f64] {
    if count == 0 {
        return &mut [];
    }
    // SAFETY: the caller's promise.
    unsafe { slice::from_raw_parts_mut(sums, count) }
}

fn add(sums: &mut [f64], elements: impl ExactSizeIterator<Item = f64>) -> Result<()> {
    if sums.len() != elements.len() {
        let (expected, found) = (sums.len() as u32, elements.len() as u32);
        return Err(Error::UnexpectedDimensions { expected, found });
    }
    for (sum, element) in sums.iter_mut().zip(elements) {
        *sum += element;
        if sum.is_infinite() {
            return Err(Error::Overflow);
        }
    }
    Ok(())
}

/// Adds a dense vector to sums.
///
/// # Safety
/// `count` numbers can be written at `to`, `view` is one of a datum, and `failure` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_accumulate(
    to: *mut f64,
    count: usize,
    view: *const View,
    failure: *mut Failure,
) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let to = sums(to, count);
        let result = match (*view).value() {
            Value::Vector(v) => add(to, v.iter().map(|&x| f64::from(x))),
            Value::HalfVec(v) => add(to, v.iter().map(|x| f64::from(x.to_f32()))),
            Value::SparseVec(_) => Err(crate::view::mixed()),
        };
        report(result, failure)
    }
}

/// Adds sums to sums.
///
/// # Safety
/// `count` numbers can be written at `to`, `other_count` read at `other`, and `failure` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_combine(
    to: *mut f64,
    count: usize,
    other: *const f64,
    other_count: usize,
    failure: *mut Failure,
) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let other = view_slice(other, other_count);
        report(add(sums(to, count), other.iter().copied()), failure)
    }
}

/// The average of so many vectors with such sums.
///
/// # Safety
/// `dimensions` numbers are at `from`; `out` and `failure` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_average(
    to: u32,
    count: f64,
    from: *const f64,
    dimensions: usize,
    out: *mut Bytes,
    failure: *mut Failure,
) -> bool {
    // SAFETY: the caller's promise.
    let from = unsafe { view_slice(from, dimensions) };
    let datum = (|| {
        let kind = kind(to);
        kind.check_dimensions(i64::try_from(dimensions).unwrap_or(i64::MAX))?;
        let mut copy = alloc::vec::Vec::new();
        copy.try_reserve_exact(dimensions)?;
        copy.extend_from_slice(from);
        let average = ops::Average::new(count, copy);
        if kind == VectorKind::HalfVec {
            halfvec_datum(&average.finish::<F16>()?.unwrap_or_default())
        } else {
            vector_datum(&average.finish::<f32>()?.unwrap_or_default())
        }
    })();
    // SAFETY: the caller's promise.
    unsafe { give(datum, out, failure) }
}
