//! Functions of the types.

use alloc::vec::Vec;

use ruvector_core::distance::{self as d, Vector};
use ruvector_core::{BitRef, Error, F16, Result, VectorKind, binary, ops, text};

use crate::view::{
    Value, View, dense, halfvec_datum, kind, mixed, modifier, same_kind, slice, sparsevec_datum,
    vector_datum,
};
use crate::{Bytes, Failure, report};

/// Writes bytes, or what went wrong.
///
/// # Safety
/// `out` can be written to; `failure` too, or is null.
pub(crate) unsafe fn give(result: Result<Vec<u8>>, out: *mut Bytes, failure: *mut Failure) -> bool {
    // SAFETY: the caller's promise.
    unsafe { report(result.map(|bytes| *out = Bytes::from_vec(bytes)), failure) }
}

/// Text to datum.
///
/// # Safety
/// `length` bytes are at `data`; `out` and `failure` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_parse(
    to: u32,
    data: *const u8,
    length: usize,
    typmod: i32,
    out: *mut Bytes,
    failure: *mut Failure,
) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let (text, typmod) = (slice(data, length), modifier(typmod));
        let datum = match kind(to) {
            // Elements are put where they belong in the datum at once.
            VectorKind::Vector => dense(typmod, |datum| text::append_vector(text, typmod, datum))
                .map(Bytes::from_vector),
            VectorKind::HalfVec => dense(typmod, |datum| text::append_halfvec(text, typmod, datum))
                .map(Bytes::from_vector),
            VectorKind::SparseVec => text::parse_sparsevec(text, typmod)
                .and_then(|v| sparsevec_datum(&v))
                .map(Bytes::from_vec),
        };
        report(datum.map(|datum| *out = datum), failure)
    }
}

/// Datum to text, ended by a zero.
///
/// # Safety
/// `view` is one of a datum; `out` and `failure` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_format(
    view: *const View,
    out: *mut Bytes,
    failure: *mut Failure,
) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let text = match (*view).value() {
            Value::Vector(vector) => text::format_vector(vector),
            Value::HalfVec(vector) => text::format_halfvec(vector),
            Value::SparseVec(vector) => text::format_sparsevec(vector),
        };
        let text = text.and_then(|text| {
            let mut bytes = text.into_bytes();
            bytes.try_reserve(1)?;
            bytes.push(0);
            Ok(bytes)
        });
        give(text, out, failure)
    }
}

/// Binary form to datum.
///
/// # Safety
/// `length` bytes are at `data`; `out` and `failure` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_receive(
    to: u32,
    data: *const u8,
    length: usize,
    typmod: i32,
    out: *mut Bytes,
    failure: *mut Failure,
) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let (bytes, typmod) = (slice(data, length), modifier(typmod));
        let datum = match kind(to) {
            VectorKind::Vector => {
                binary::receive_vector(bytes, typmod).and_then(|v| vector_datum(&v))
            }
            VectorKind::HalfVec => {
                binary::receive_halfvec(bytes, typmod).and_then(|v| halfvec_datum(&v))
            }
            VectorKind::SparseVec => {
                binary::receive_sparsevec(bytes, typmod).and_then(|v| sparsevec_datum(&v))
            }
        };
        give(datum, out, failure)
    }
}

/// Datum to binary form.
///
/// # Safety
/// `view` is one of a datum; `out` and `failure` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_send(
    view: *const View,
    out: *mut Bytes,
    failure: *mut Failure,
) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let bytes = match (*view).value() {
            Value::Vector(vector) => binary::send_vector(vector),
            Value::HalfVec(vector) => binary::send_halfvec(vector),
            Value::SparseVec(vector) => binary::send_sparsevec(vector),
        };
        give(bytes, out, failure)
    }
}

/// The type modifier of the numbers in parentheses.
///
/// # Safety
/// `count` numbers are at `numbers`; `out` and `failure` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_typmod(
    of: u32,
    numbers: *const i32,
    count: usize,
    out: *mut i32,
    failure: *mut Failure,
) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let typmod = kind(of).type_modifier(slice(numbers, count));
        report(typmod.map(|typmod| *out = typmod as i32), failure)
    }
}

/// Has a value as many dimensions as the type modifier says?
///
/// # Safety
/// `failure` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_check_typmod(
    of: u32,
    dimensions: u32,
    typmod: i32,
    failure: *mut Failure,
) -> bool {
    let result =
        kind(of).check_dimensions(i64::from(dimensions)).and_then(|found| match modifier(typmod) {
            Some(expected) if expected != found => {
                Err(Error::UnexpectedDimensions { expected, found })
            }
            _ => Ok(()),
        });
    // SAFETY: the caller's promise.
    unsafe { report(result, failure) }
}

/// Numbers to datum.
///
/// # Safety
/// `count` numbers are at `numbers`; `out` and `failure` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_from_numbers(
    to: u32,
    numbers: *const f32,
    count: usize,
    typmod: i32,
    out: *mut Bytes,
    failure: *mut Failure,
) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let (numbers, typmod) = (slice(numbers, count), modifier(typmod));
        let datum = match kind(to) {
            VectorKind::Vector => {
                ops::vector_from::<f32>(numbers, typmod).and_then(|v| vector_datum(&v))
            }
            VectorKind::HalfVec => {
                ops::vector_from::<F16>(numbers, typmod).and_then(|v| halfvec_datum(&v))
            }
            VectorKind::SparseVec => {
                ops::dense_to_sparsevec(numbers, typmod).and_then(|v| sparsevec_datum(&v))
            }
        };
        give(datum, out, failure)
    }
}

/// A value of one type to another.
///
/// # Safety
/// `view` is one of a datum; `out` and `failure` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_convert(
    view: *const View,
    to: u32,
    typmod: i32,
    out: *mut Bytes,
    failure: *mut Failure,
) -> bool {
    let typmod = modifier(typmod);
    // SAFETY: the caller's promise.
    unsafe {
        let datum = match ((*view).value(), kind(to)) {
            (Value::Vector(v), VectorKind::HalfVec) => {
                ops::vector_from::<F16>(v, typmod).and_then(|v| halfvec_datum(&v))
            }
            (Value::Vector(v), VectorKind::SparseVec) => {
                ops::dense_to_sparsevec(v, typmod).and_then(|v| sparsevec_datum(&v))
            }
            (Value::HalfVec(v), VectorKind::Vector) => {
                ops::halfvec_to_vector(v, typmod).and_then(|v| vector_datum(&v))
            }
            (Value::HalfVec(v), VectorKind::SparseVec) => {
                ops::dense_to_sparsevec(v, typmod).and_then(|v| sparsevec_datum(&v))
            }
            (Value::SparseVec(v), VectorKind::Vector) => {
                ops::sparsevec_to_dense::<f32>(v, typmod).and_then(|v| vector_datum(&v))
            }
            (Value::SparseVec(v), VectorKind::HalfVec) => {
                ops::sparsevec_to_dense::<F16>(v, typmod).and_then(|v| halfvec_datum(&v))
            }
            _ => Err(mixed()),
        };
        give(datum, out, failure)
    }
}

/// The elements of a dense vector as numbers.
///
/// # Safety
/// `view` is one of a datum, and there is room for as many numbers as it has at `out`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_to_numbers(view: *const View, out: *mut f32) {
    let put = |place: usize, number: f32| {
        // SAFETY: the caller's promise.
        unsafe { out.add(place).write(number) };
    };
    // SAFETY: the caller's promise.
    match unsafe { (*view).value() } {
        Value::Vector(v) => v.iter().enumerate().for_each(|(place, &x)| put(place, x)),
        Value::HalfVec(v) => v.iter().enumerate().for_each(|(place, x)| put(place, x.to_f32())),
        Value::SparseVec(_) => {}
    }
}

fn distance<V: Vector>(which: u32, a: V, b: V) -> Result<f64> {
    match which {
        0 => d::l2_distance(a, b),
        1 => d::l2_squared_distance(a, b),
        2 => d::inner_product(a, b),
        3 => d::negative_inner_product(a, b),
        4 => d::cosine_distance(a, b),
        5 => d::l1_distance(a, b),
        _ => d::spherical_distance(a, b),
    }
}

/// A distance. See `ruvector.h` for the numbers of distances.
///
/// # Safety
/// The views are those of data; `out` and `failure` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_distance(
    which: u32,
    a: *const View,
    b: *const View,
    out: *mut f64,
    failure: *mut Failure,
) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let result = same_kind!((*a).value(), (*b).value(), |x, y| distance(which, x, y));
        report(result.map(|distance| *out = distance), failure)
    }
}

/// Distances of two `vector`s of the same dimensions, for which the views and the choice above would take longer than the
/// distance itself.
macro_rules! vector_distances {
    ($($name:ident: $distance:path;)*) => {$(
        /// # Safety
        /// So many numbers are at `a` and at `b`.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(a: *const f32, b: *const f32, dimensions: usize) -> f64 {
            // SAFETY: the caller's promise.
            let (a, b) = unsafe { (slice(a, dimensions), slice(b, dimensions)) };
            // There is no error where dimensions are the same.
            $distance(a, b).unwrap_or(f64::NAN)
        }
    )*};
}

vector_distances! {
    ruvector_vector_l2: d::l2_distance;
    ruvector_vector_l2_squared: d::l2_squared_distance;
    ruvector_vector_inner_product: d::inner_product;
    ruvector_vector_negative_inner_product: d::negative_inner_product;
    ruvector_vector_cosine: d::cosine_distance;
    ruvector_vector_l1: d::l1_distance;
}

/// The Euclidean length.
///
/// # Safety
/// `view` is one of a datum.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_norm(view: *const View) -> f64 {
    // SAFETY: the caller's promise.
    match unsafe { (*view).value() } {
        Value::Vector(v) => d::l2_norm(v),
        Value::HalfVec(v) => d::l2_norm(v),
        Value::SparseVec(v) => d::l2_norm(v),
    }
}

fn arithmetic<T: ops::Element>(which: u32, a: &[T], b: &[T]) -> Result<Vec<T>> {
    match which {
        0 => ops::add(a, b),
        1 => ops::subtract(a, b),
        2 => ops::multiply(a, b),
        _ => ops::concatenate(a, b),
    }
}

/// A sum (0), difference (1), product (2) or concatenation (3).
///
/// # Safety
/// The views are those of data; `out` and `failure` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_arithmetic(
    which: u32,
    a: *const View,
    b: *const View,
    out: *mut Bytes,
    failure: *mut Failure,
) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let datum = match ((*a).value(), (*b).value()) {
            (Value::Vector(a), Value::Vector(b)) => {
                arithmetic(which, a, b).and_then(|v| vector_datum(&v))
            }
            (Value::HalfVec(a), Value::HalfVec(b)) => {
                arithmetic(which, a, b).and_then(|v| halfvec_datum(&v))
            }
            _ => Err(mixed()),
        };
        give(datum, out, failure)
    }
}

/// Elements in a row.
///
/// # Safety
/// `view` is one of a datum; `out` and `failure` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_subvector(
    view: *const View,
    start: i32,
    count: i32,
    out: *mut Bytes,
    failure: *mut Failure,
) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let datum = match (*view).value() {
            Value::Vector(v) => ops::subvector(v, start, count).and_then(|v| vector_datum(&v)),
            Value::HalfVec(v) => ops::subvector(v, start, count).and_then(|v| halfvec_datum(&v)),
            Value::SparseVec(_) => Err(mixed()),
        };
        give(datum, out, failure)
    }
}

/// To length one.
///
/// # Safety
/// `view` is one of a datum; `out` and `failure` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_normalize(
    view: *const View,
    out: *mut Bytes,
    failure: *mut Failure,
) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let datum = match (*view).value() {
            Value::Vector(v) => ops::l2_normalize(v).and_then(|v| vector_datum(&v)),
            Value::HalfVec(v) => ops::l2_normalize(v).and_then(|v| halfvec_datum(&v)),
            Value::SparseVec(v) => ops::l2_normalize_sparse(v).and_then(|v| sparsevec_datum(&v)),
        };
        give(datum, out, failure)
    }
}

/// The order: below, at or above zero.
///
/// # Safety
/// The views are those of data of one type.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_compare(a: *const View, b: *const View) -> i32 {
    // SAFETY: the caller's promise.
    let order = match unsafe { ((*a).value(), (*b).value()) } {
        (Value::Vector(a), Value::Vector(b)) => ops::compare(a, b),
        (Value::HalfVec(a), Value::HalfVec(b)) => ops::compare(a, b),
        (Value::SparseVec(a), Value::SparseVec(b)) => ops::compare_sparse(a, b),
        _ => core::cmp::Ordering::Equal,
    };
    order as i32
}

/// The bits of a value, one for each dimension.
///
/// # Safety
/// `view` is one of a datum; `out` and `failure` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_binary_quantize(
    view: *const View,
    out: *mut Bytes,
    failure: *mut Failure,
) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let bits = match (*view).value() {
            Value::Vector(v) => ops::binary_quantize(v),
            Value::HalfVec(v) => ops::binary_quantize(v),
            Value::SparseVec(_) => Err(mixed()),
        };
        let bytes = bits.and_then(|bits| {
            let mut bytes = Vec::new();
            bytes.try_reserve_exact(bits.as_ref().bytes().len())?;
            bytes.extend_from_slice(bits.as_ref().bytes());
            Ok(bytes)
        });
        give(bytes, out, failure)
    }
}

/// Hamming (0) or Jaccard (1) distance of bit strings with so many bits.
///
/// # Safety
/// As many bytes as the bits need are at `a` and at `b`; `out` and `failure` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_bit_distance(
    which: u32,
    a_bits: u32,
    a: *const u8,
    b_bits: u32,
    b: *const u8,
    out: *mut f64,
    failure: *mut Failure,
) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let bits = |bits: u32, data| BitRef::new(bits, slice(data, bits.div_ceil(8) as usize));
        let result = bits(a_bits, a).and_then(|a| {
            let b = bits(b_bits, b)?;
            if which == 0 { d::hamming_distance(a, b) } else { d::jaccard_distance(a, b) }
        });
        report(result.map(|distance| *out = distance), failure)
    }
}
