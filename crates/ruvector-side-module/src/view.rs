//! Values of the types, as C hands them over, and results as C takes them.

use alloc::vec::Vec;
use core::slice;

use ruvector_core::{Error, F16, Result, SparseRef, SparseVector, VectorKind};

/// A value whose parts lie in a datum.
#[repr(C)]
pub struct View {
    /// 0 `vector`, 1 `halfvec`, 2 `sparsevec`.
    kind: u32,
    dimensions: u32,
    /// Elements that are stored: all of a dense vector.
    elements: u32,
    /// Positions, of a sparse vector.
    indices: *const u32,
    values: *const u8,
}

/// A value.
pub(crate) enum Value<'a> {
    Vector(&'a [f32]),
    HalfVec(&'a [F16]),
    SparseVec(SparseRef<'a>),
}

pub(crate) fn kind(number: u32) -> VectorKind {
    match number {
        0 => VectorKind::Vector,
        1 => VectorKind::HalfVec,
        _ => VectorKind::SparseVec,
    }
}

/// A type modifier: none if it is negative.
pub(crate) fn modifier(number: i32) -> Option<u32> {
    u32::try_from(number).ok()
}

/// A slice of C's.
///
/// # Safety
/// If `length` is not zero, so many values are at `data`, aligned, and stay as they are.
pub(crate) unsafe fn slice<'a, T>(data: *const T, length: usize) -> &'a [T] {
    if length == 0 || data.is_null() {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { slice::from_raw_parts(data, length) }
}

impl View {
    /// # Safety
    /// The parts are those of a datum, and stay as long as the value is used.
    pub(crate) unsafe fn value<'a>(&self) -> Value<'a> {
        let elements = self.elements as usize;
        // SAFETY: the caller's promise; data of a datum are aligned to four bytes.
        unsafe {
            match kind(self.kind) {
                VectorKind::Vector => Value::Vector(slice(self.values.cast(), elements)),
                VectorKind::HalfVec => Value::HalfVec(slice(self.values.cast(), elements)),
                VectorKind::SparseVec => Value::SparseVec(SparseRef::new_unchecked(
                    self.dimensions,
                    slice(self.indices, elements),
                    slice(self.values.cast(), elements),
                )),
            }
        }
    }
}

/// Room for the length of a datum, which C fills in.
const HEADER: usize = 4;

/// Bytes before the elements of a dense vector: the length, the number of dimensions, and two that are zero.
const DENSE_HEADER: usize = HEADER + 4;

fn start(size: usize) -> Result<Vec<u8>> {
    let mut datum = Vec::new();
    datum.try_reserve_exact(HEADER + size)?;
    datum.extend([0; HEADER]);
    Ok(datum)
}

/// An element of a dense vector, in whose place there can be any bytes.
pub(crate) trait DenseElement: Copy {
    const ZERO: Self;
    /// The number of dimensions, in as many elements as four bytes have.
    fn dimensions(number: u16) -> impl AsRef<[Self]>;
}

impl DenseElement for f32 {
    const ZERO: Self = 0.0;
    fn dimensions(number: u16) -> impl AsRef<[Self]> {
        let [a, b] = number.to_ne_bytes();
        [f32::from_bits(u32::from_ne_bytes([a, b, 0, 0]))]
    }
}

impl DenseElement for F16 {
    const ZERO: Self = F16::from_bits(0);
    fn dimensions(number: u16) -> impl AsRef<[Self]> {
        [F16::from_bits(number), F16::from_bits(0)]
    }
}

/// The datum of a dense vector, as elements, of which `append` gives the last ones. They have been checked. If it is known
/// how many dimensions there will be, memory is reserved once.
pub(crate) fn dense<T: DenseElement>(
    dimensions: Option<u32>,
    append: impl FnOnce(&mut Vec<T>) -> Result<()>,
) -> Result<Vec<T>> {
    let header = DENSE_HEADER / size_of::<T>();
    let mut datum = Vec::new();
    datum.try_reserve_exact(header + dimensions.unwrap_or_default() as usize)?;
    datum.resize(header, T::ZERO);
    append(&mut datum)?;
    let dimensions = T::dimensions((datum.len() - header) as u16);
    let dimensions = dimensions.as_ref();
    datum[header - dimensions.len()..header].copy_from_slice(dimensions);
    Ok(datum)
}

/// The datum of a dense vector whose elements have these bytes.
fn dense_datum<T, const N: usize>(
    dimensions: u32,
    elements: &[T],
    bytes: impl Fn(&T) -> [u8; N],
) -> Result<Vec<u8>> {
    let mut datum = start(4 + N * elements.len())?;
    datum.extend((dimensions as u16).to_ne_bytes());
    datum.extend([0; 2]);
    let place = datum.len();
    datum.resize(place + N * elements.len(), 0);
    for (to, element) in datum[place..].as_chunks_mut().0.iter_mut().zip(elements) {
        *to = bytes(element);
    }
    Ok(datum)
}

/// The datum of a `vector`.
pub(crate) fn vector_datum(vector: &[f32]) -> Result<Vec<u8>> {
    let dimensions = VectorKind::Vector.check_dimensions(vector.len() as i64)?;
    dense_datum(dimensions, vector, |element| element.to_ne_bytes())
}

/// The datum of a `halfvec`.
pub(crate) fn halfvec_datum(vector: &[F16]) -> Result<Vec<u8>> {
    let dimensions = VectorKind::HalfVec.check_dimensions(vector.len() as i64)?;
    dense_datum(dimensions, vector, |element| element.to_bits().to_ne_bytes())
}

/// The datum of a `sparsevec`.
pub(crate) fn sparsevec_datum(vector: &SparseVector) -> Result<Vec<u8>> {
    let vector = vector.as_ref();
    let mut datum = start(12 + 8 * vector.indices().len())?;
    datum.extend(vector.dimensions().to_ne_bytes());
    datum.extend((vector.indices().len() as u32).to_ne_bytes());
    datum.extend([0; 4]);
    vector.indices().iter().for_each(|index| datum.extend(index.to_ne_bytes()));
    vector.values().iter().for_each(|value| datum.extend(value.to_ne_bytes()));
    Ok(datum)
}

/// Two values of one kind, for a function that takes any.
macro_rules! same_kind {
    ($a:expr, $b:expr, |$x:ident, $y:ident| $result:expr) => {
        match ($a, $b) {
            ($crate::view::Value::Vector($x), $crate::view::Value::Vector($y)) => $result,
            ($crate::view::Value::HalfVec($x), $crate::view::Value::HalfVec($y)) => $result,
            ($crate::view::Value::SparseVec($x), $crate::view::Value::SparseVec($y)) => $result,
            _ => Err($crate::view::mixed()),
        }
    };
}
pub(crate) use same_kind;

/// C mixes no kinds.
pub(crate) const fn mixed() -> Error {
    Error::InvalidOption { name: "both vectors", allowed: "of one type" }
}
