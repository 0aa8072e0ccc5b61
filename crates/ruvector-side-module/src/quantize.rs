//! Compressed forms of vectors.

use ruvector_core::quantize::{Packing, pack, unpack};
use ruvector_core::{Error, Result};

use crate::types::give;
use crate::view::{Value, View, mixed, slice, vector_datum};
use crate::{Bytes, Failure};

/// Room for the length of a datum, and the bytes.
fn bytea(bytes: &[u8]) -> Result<alloc::vec::Vec<u8>> {
    let mut datum = alloc::vec::Vec::new();
    datum.try_reserve_exact(4 + bytes.len()).map_err(|_| Error::OutOfMemory)?;
    datum.extend([0; 4]);
    datum.extend_from_slice(bytes);
    Ok(datum)
}

/// Packs a `vector` by the method of this name, as the datum of a `bytea`.
///
/// # Safety
/// `view` is one of a datum; `length` bytes are at `method`; `out` and `failure` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_quantize_vector(
    view: *const View,
    method: *const u8,
    length: usize,
    out: *mut Bytes,
    failure: *mut Failure,
) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let datum = Packing::from_name(slice(method, length)).and_then(|packing| {
            let Value::Vector(vector) = (*view).value() else { return Err(mixed()) };
            bytea(&pack(vector, packing)?)
        });
        give(datum, out, failure)
    }
}

/// The datum of the `vector` that bytes stand for.
///
/// # Safety
/// `length` bytes are at `data`; `out` and `failure` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_dequantize_vector(
    data: *const u8,
    length: usize,
    out: *mut Bytes,
    failure: *mut Failure,
) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let datum = unpack(slice(data, length)).and_then(|vector| vector_datum(&vector));
        give(datum, out, failure)
    }
}
