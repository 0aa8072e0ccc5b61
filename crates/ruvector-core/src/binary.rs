//! The binary forms of vectors, as pgvector sends and receives them: all numbers with the highest byte first.
//!
//! | kind | form |
//! |---|---|
//! | dense | dimensions (2 bytes), 0 (2 bytes), elements (4 or 2 bytes each) |
//! | sparse | dimensions, elements, 0 (4 bytes each), positions from 0 (4 bytes each), values (4 bytes each) |

use alloc::vec::Vec;

use crate::error::{Error, Result};
use crate::half::F16;
use crate::kind::{VectorKind, check_expected};
use crate::sparse::{SparseRef, SparseVector, check_count, check_index};

/// Reads the binary form of a dense vector; `dimensions` is the type modifier, if there is one.
///
/// # Errors
/// Those of pgvector's `vector_recv`, in the same order: [`Error::Truncated`], [`Error::NoDimensions`],
/// [`Error::TooManyDimensions`], [`Error::UnexpectedDimensions`], [`Error::UnusedField`], [`Error::NotANumber`],
/// [`Error::Infinite`], [`Error::TrailingBytes`]; and [`Error::OutOfMemory`].
///
/// ```
/// use ruvector_core::binary::{receive_vector, send_vector};
///
/// let bytes = send_vector(&[1.0, -2.5])?;
/// assert_eq!(bytes, [0, 2, 0, 0, 0x3f, 0x80, 0, 0, 0xc0, 0x20, 0, 0]);
/// assert_eq!(receive_vector(&bytes, None)?, [1.0, -2.5]);
/// # Ok::<(), ruvector_core::Error>(())
/// ```
pub fn receive_vector(bytes: &[u8], dimensions: Option<u32>) -> Result<Vec<f32>> {
    receive_dense(bytes, dimensions, VectorKind::Vector, |reader| {
        let value = f32::from_be_bytes(reader.take()?);
        VectorKind::Vector.check_element(value)?;
        Ok(value)
    })
}

/// Reads the binary form of a half precision vector.
///
/// # Errors
/// As [`receive_vector`].
pub fn receive_halfvec(bytes: &[u8], dimensions: Option<u32>) -> Result<Vec<F16>> {
    receive_dense(bytes, dimensions, VectorKind::HalfVec, |reader| {
        let value = F16::from_bits(u16::from_be_bytes(reader.take()?));
        VectorKind::HalfVec.check_element(value.to_f32())?;
        Ok(value)
    })
}

fn receive_dense<T>(
    bytes: &[u8],
    dimensions: Option<u32>,
    kind: VectorKind,
    element: impl Fn(&mut Reader<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut reader = Reader(bytes);
    let count = i16::from_be_bytes(reader.take()?);
    let unused = i16::from_be_bytes(reader.take()?);
    let count = kind.check_dimensions(i64::from(count))?;
    check_expected(dimensions, count)?;
    check_unused(i32::from(unused))?;
    let mut elements = Vec::new();
    elements.try_reserve_exact(count as usize)?;
    for _ in 0..count {
        elements.push(element(&mut reader)?);
    }
    reader.finish()?;
    Ok(elements)
}

/// Reads the binary form of a sparse vector.
///
/// # Errors
/// Those of pgvector's `sparsevec_recv`: [`Error::Truncated`], [`Error::NoDimensions`],
/// [`Error::TooManyDimensions`], [`Error::NegativeElements`], [`Error::TooManyElements`],
/// [`Error::MoreElementsThanDimensions`], [`Error::UnexpectedDimensions`], [`Error::UnusedField`],
/// [`Error::IndexOutOfBounds`], [`Error::IndexOrder`], [`Error::IndexDuplicate`], [`Error::NotANumber`],
/// [`Error::Infinite`], [`Error::ZeroElement`], [`Error::TrailingBytes`]; and [`Error::OutOfMemory`].
pub fn receive_sparsevec(bytes: &[u8], dimensions: Option<u32>) -> Result<SparseVector> {
    let kind = VectorKind::SparseVec;
    let mut reader = Reader(bytes);
    let total = i32::from_be_bytes(reader.take()?);
    let count = i32::from_be_bytes(reader.take()?);
    let unused = i32::from_be_bytes(reader.take()?);
    let total = kind.check_dimensions(i64::from(total))?;
    let count = u32::try_from(count).map_err(|_| Error::NegativeElements)?;
    check_count(u64::from(count), total)?;
    check_expected(dimensions, total)?;
    check_unused(unused)?;
    let (mut indices, mut values) = (Vec::new(), Vec::new());
    indices.try_reserve_exact(count as usize)?;
    values.try_reserve_exact(count as usize)?;
    for _ in 0..count {
        let index = i32::from_be_bytes(reader.take()?);
        let index = u32::try_from(index).map_err(|_| Error::IndexOutOfBounds)?;
        check_index(index, indices.last().copied(), total)?;
        indices.push(index);
    }
    for _ in 0..count {
        let value = f32::from_be_bytes(reader.take()?);
        kind.check_element(value)?;
        if value == 0.0 {
            return Err(Error::ZeroElement);
        }
        values.push(value);
    }
    reader.finish()?;
    SparseVector::new(total, indices, values)
}

fn check_unused(value: i32) -> Result<()> {
    if value == 0 { Ok(()) } else { Err(Error::UnusedField { value }) }
}

/// Writes the binary form of a dense vector.
///
/// # Errors
/// [`Error::NoDimensions`], [`Error::TooManyDimensions`], [`Error::OutOfMemory`].
pub fn send_vector(vector: &[f32]) -> Result<Vec<u8>> {
    send_dense(vector, VectorKind::Vector, 4, |bytes, value| bytes.extend(value.to_be_bytes()))
}

/// Writes the binary form of a half precision vector.
///
/// # Errors
/// As [`send_vector`].
pub fn send_halfvec(vector: &[F16]) -> Result<Vec<u8>> {
    send_dense(vector, VectorKind::HalfVec, 2, |bytes, value| {
        bytes.extend(value.to_bits().to_be_bytes());
    })
}

fn send_dense<T>(
    vector: &[T],
    kind: VectorKind,
    size: usize,
    put: impl Fn(&mut Vec<u8>, &T),
) -> Result<Vec<u8>> {
    let count = kind.check_dimensions(i64::try_from(vector.len()).unwrap_or(i64::MAX))?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(4 + size * vector.len())?;
    // At most 16,000.
    bytes.extend((count as u16).to_be_bytes());
    bytes.extend([0, 0]);
    vector.iter().for_each(|value| put(&mut bytes, value));
    Ok(bytes)
}

/// Writes the binary form of a sparse vector.
///
/// # Errors
/// [`Error::TooManyElements`], [`Error::MoreElementsThanDimensions`], [`Error::OutOfMemory`].
pub fn send_sparsevec(vector: SparseRef<'_>) -> Result<Vec<u8>> {
    check_count(vector.indices().len() as u64, vector.dimensions())?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(12 + 8 * vector.indices().len())?;
    bytes.extend(vector.dimensions().to_be_bytes());
    // At most 16,000.
    bytes.extend((vector.indices().len() as u32).to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(vector.indices().iter().flat_map(|index| index.to_be_bytes()));
    bytes.extend(vector.values().iter().flat_map(|value| value.to_be_bytes()));
    Ok(bytes)
}

/// What is left of a message.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (&bytes, rest) = self.0.split_first_chunk().ok_or(Error::Truncated)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn finish(&self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::TrailingBytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::{String, ToString as _};
    use proptest::prelude::*;

    fn message<T: core::fmt::Debug>(result: Result<T>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn malformed() {
        let vector = |bytes: &[u8]| message(receive_vector(bytes, None));
        assert_eq!(vector(&[]), "insufficient data left in message");
        assert_eq!(vector(&[0, 0, 0, 0]), "vector must have at least 1 dimension");
        assert_eq!(vector(&[0xff, 0xff, 0, 0]), "vector must have at least 1 dimension");
        assert_eq!(vector(&[0x3e, 0x81, 0, 0]), "vector cannot have more than 16000 dimensions");
        assert_eq!(vector(&[0, 1, 0, 1]), "expected unused to be 0, not 1");
        assert_eq!(vector(&[0, 1, 0, 0, 0x3f]), "insufficient data left in message");
        assert_eq!(vector(&[0, 1, 0, 0, 0x7f, 0xc0, 0, 0]), "NaN not allowed in vector");
        assert_eq!(vector(&[0, 1, 0, 0, 0xff, 0x80, 0, 0]), "infinite value not allowed in vector");
        assert_eq!(receive_vector(&[0, 1, 0, 0, 0, 0, 0, 0, 9], None), Err(Error::TrailingBytes));
        assert_eq!(message(receive_vector(&[0, 1, 0, 0], Some(3))), "expected 3 dimensions, not 1");
        assert_eq!(
            message(receive_halfvec(&[0, 1, 0, 0, 0x7c, 0], None)),
            "infinite value not allowed in halfvec"
        );
        let sparse = |numbers: &[i32], values: &[f32]| {
            let numbers = numbers.iter().flat_map(|n| n.to_be_bytes());
            let values = values.iter().flat_map(|n| n.to_be_bytes());
            message(receive_sparsevec(&numbers.chain(values).collect::<Vec<_>>(), None))
        };
        assert_eq!(sparse(&[0, 0, 0], &[]), "sparsevec must have at least 1 dimension");
        assert_eq!(sparse(&[3, -1, 0], &[]), "sparsevec cannot have negative number of elements");
        assert_eq!(sparse(&[3, 4, 0], &[]), "sparsevec cannot have more elements than dimensions");
        assert_eq!(
            sparse(&[30_000, 16_001, 0], &[]),
            "sparsevec cannot have more than 16000 non-zero elements"
        );
        assert_eq!(sparse(&[3, 1, 7], &[]), "expected unused to be 0, not 7");
        assert_eq!(sparse(&[3, 1, 0, 3], &[1.0]), "sparsevec index out of bounds");
        assert_eq!(sparse(&[3, 1, 0, -1], &[1.0]), "sparsevec index out of bounds");
        assert_eq!(
            sparse(&[3, 2, 0, 1, 0], &[1.0]),
            "sparsevec indices must be in ascending order"
        );
        assert_eq!(
            sparse(&[3, 2, 0, 1, 1], &[1.0]),
            "sparsevec indices must not contain duplicates"
        );
        assert_eq!(
            sparse(&[3, 1, 0, 1], &[0.0]),
            "binary representation of sparsevec cannot contain zero values"
        );
        assert_eq!(sparse(&[3, 1, 0, 1], &[f32::NAN]), "NaN not allowed in sparsevec");
    }

    proptest! {
        #[test]
        fn round_trips(vector in proptest::collection::vec(-1e30f32..1e30, 1..70), half in any::<u16>(), more in 0u32..9) {
            prop_assert_eq!(receive_vector(&send_vector(&vector).unwrap(), None).unwrap(), vector.clone());
            let halves: Vec<F16> = (0..9).map(|i| F16::from_bits(half.rotate_left(i) & 0xbbff)).collect();
            prop_assert_eq!(receive_halfvec(&send_halfvec(&halves).unwrap(), None).unwrap(), halves);
            let values: Vec<f32> = vector.into_iter().filter(|x| *x != 0.0).collect();
            let indices: Vec<u32> = (0..values.len() as u32).map(|i| i * 3 + more).collect();
            let sparse = SparseVector::new(1_000_000_000, indices, values).unwrap();
            prop_assert_eq!(receive_sparsevec(&send_sparsevec(sparse.as_ref()).unwrap(), None).unwrap(), sparse);
        }

        /// Any bytes, with a beginning that may be right.
        #[test]
        fn any_bytes(mut bytes in proptest::collection::vec(any::<u8>(), 0..100), right: bool) {
            if right && bytes.len() > 12 {
                let length = bytes.len();
                bytes[..4].copy_from_slice(&[0, ((length - 4) / 4) as u8, 0, 0]);
            }
            if let Ok(vector) = receive_vector(&bytes, None) {
                prop_assert_eq!(send_vector(&vector).unwrap(), bytes.clone());
            }
            if let Ok(vector) = receive_halfvec(&bytes, None) {
                prop_assert_eq!(send_halfvec(&vector).unwrap(), bytes.clone());
            }
            if let Ok(vector) = receive_sparsevec(&bytes, None) {
                prop_assert_eq!(send_sparsevec(vector.as_ref()).unwrap(), bytes);
            }
        }
    }
}
