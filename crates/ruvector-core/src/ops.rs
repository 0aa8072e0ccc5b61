//! Operations on vectors element by element, their order, and conversions from one kind to another.

use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::bits::BitVector;
use crate::distance::l2_norm;
use crate::error::{Error, Result};
use crate::half::F16;
use crate::kind::{VectorKind, check_expected};
use crate::sparse::{SparseRef, SparseVector};

mod private {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for crate::half::F16 {}
}

/// An element of a dense vector: `f32` or [`F16`].
pub trait Element: Copy + private::Sealed {
    /// The kind of vectors that have such elements.
    const KIND: VectorKind;

    /// As a single precision number: exact.
    fn to_f32(self) -> f32;
    /// The nearest to a single precision number, infinite if it is too large.
    fn from_f32(value: f32) -> Self;
}

impl Element for f32 {
    const KIND: VectorKind = VectorKind::Vector;
    fn to_f32(self) -> f32 {
        self
    }
    fn from_f32(value: f32) -> Self {
        value
    }
}

impl Element for F16 {
    const KIND: VectorKind = VectorKind::HalfVec;
    fn to_f32(self) -> f32 {
        self.to_f32()
    }
    fn from_f32(value: f32) -> Self {
        Self::from_f32(value)
    }
}

/// A vector with room for so many elements.
fn with_room<T>(elements: usize) -> Result<Vec<T>> {
    let mut vector = Vec::new();
    vector.try_reserve_exact(elements)?;
    Ok(vector)
}

fn check_same_length<T: Element>(a: &[T], b: &[T]) -> Result<()> {
    if a.len() != b.len() {
        let (left, right) = (a.len() as u32, b.len() as u32);
        return Err(Error::DifferentDimensions { kind: T::KIND, left, right });
    }
    Ok(())
}

fn combine<T: Element>(
    a: &[T],
    b: &[T],
    operation: impl Fn(f32, f32) -> f32,
    check: impl Fn(f32, f32, f32) -> Result<()>,
) -> Result<Vec<T>> {
    check_same_length(a, b)?;
    let mut result = with_room(a.len())?;
    for (&a, &b) in a.iter().zip(b) {
        let (a, b) = (a.to_f32(), b.to_f32());
        let element = T::from_f32(operation(a, b));
        check(a, b, element.to_f32())?;
        result.push(element);
    }
    Ok(result)
}

fn check_overflow(element: f32) -> Result<()> {
    if element.is_infinite() { Err(Error::Overflow) } else { Ok(()) }
}

/// `a + b`.
///
/// # Errors
/// [`Error::DifferentDimensions`], [`Error::Overflow`], [`Error::OutOfMemory`].
///
/// ```
/// use ruvector_core::{Error, ops::add};
///
/// assert_eq!(add(&[1.0, 2.0], &[4.0, 5.0])?, [5.0, 7.0]);
/// assert_eq!(add(&[3e38], &[3e38]), Err(Error::Overflow));
/// # Ok::<(), Error>(())
/// ```
pub fn add<T: Element>(a: &[T], b: &[T]) -> Result<Vec<T>> {
    combine(a, b, |a, b| a + b, |_, _, element| check_overflow(element))
}

/// `a - b`.
///
/// # Errors
/// As [`add`].
pub fn subtract<T: Element>(a: &[T], b: &[T]) -> Result<Vec<T>> {
    combine(a, b, |a, b| a - b, |_, _, element| check_overflow(element))
}

/// `a * b`, element by element.
///
/// # Errors
/// As [`add`], and [`Error::Underflow`] if a product of numbers other than zero is zero.
pub fn multiply<T: Element>(a: &[T], b: &[T]) -> Result<Vec<T>> {
    combine(
        a,
        b,
        |a, b| a * b,
        |a, b, element| {
            check_overflow(element)?;
            if element == 0.0 && a != 0.0 && b != 0.0 { Err(Error::Underflow) } else { Ok(()) }
        },
    )
}

/// The elements of one, then those of the other.
///
/// # Errors
/// [`Error::TooManyDimensions`], [`Error::NoDimensions`], [`Error::OutOfMemory`].
pub fn concatenate<T: Element>(a: &[T], b: &[T]) -> Result<Vec<T>> {
    let length = a.len().saturating_add(b.len());
    T::KIND.check_dimensions(i64::try_from(length).unwrap_or(i64::MAX))?;
    let mut result = with_room(length)?;
    result.extend_from_slice(a);
    result.extend_from_slice(b);
    Ok(result)
}

/// Some elements in a row: `count` from the place `start` on, which counts from 1. What is before the first or after the
/// last is left out, as with SQL's `substring`.
///
/// # Errors
/// [`Error::NoDimensions`] if nothing is left, [`Error::OutOfMemory`].
///
/// ```
/// use ruvector_core::ops::subvector;
///
/// assert_eq!(subvector(&[1.0, 2.0, 3.0, 4.0, 5.0], 3, 2)?, [3.0, 4.0]);
/// assert_eq!(subvector(&[1.0, 2.0, 3.0], -1, 3)?, [1.0]);
/// # Ok::<(), ruvector_core::Error>(())
/// ```
pub fn subvector<T: Element>(vector: &[T], start: i32, count: i32) -> Result<Vec<T>> {
    let nothing = Error::NoDimensions { kind: T::KIND };
    if count < 1 {
        return Err(nothing);
    }
    let first = i64::from(start).max(1) - 1;
    let end = (i64::from(start) + i64::from(count) - 1).min(vector.len() as i64);
    if first >= end {
        return Err(nothing);
    }
    let part = &vector[first as usize..end as usize];
    let mut result = with_room(part.len())?;
    result.extend_from_slice(part);
    Ok(result)
}

/// `a / |a|`; a vector of zeros stays as it is.
///
/// # Errors
/// [`Error::Overflow`], [`Error::OutOfMemory`].
///
/// ```
/// assert_eq!(ruvector_core::ops::l2_normalize(&[3.0, 4.0])?, [0.6, 0.8]);
/// # Ok::<(), ruvector_core::Error>(())
/// ```
pub fn l2_normalize<T: Element>(vector: &[T]) -> Result<Vec<T>> {
    let mut squares = 0f64;
    for element in vector {
        squares += f64::from(element.to_f32()) * f64::from(element.to_f32());
    }
    let norm = crate::math::sqrt(squares);
    let mut result = with_room(vector.len())?;
    for &element in vector {
        // Of zeros there is no direction, and each is positive, as pgvector has it.
        let quotient = if norm > 0.0 { f64::from(element.to_f32()) / norm } else { 0.0 };
        let quotient = T::from_f32(quotient as f32);
        check_overflow(quotient.to_f32())?;
        result.push(quotient);
    }
    Ok(result)
}

/// [`l2_normalize`] of a sparse vector; elements that become zero are dropped.
///
/// # Errors
/// As [`l2_normalize`].
pub fn l2_normalize_sparse(vector: SparseRef<'_>) -> Result<SparseVector> {
    let norm = l2_norm(vector);
    let (mut indices, mut values) =
        (with_room(vector.indices().len())?, with_room(vector.values().len())?);
    if norm > 0.0 {
        for (&index, &value) in vector.indices().iter().zip(vector.values()) {
            let value = (f64::from(value) / norm) as f32;
            check_overflow(value)?;
            if value != 0.0 {
                indices.push(index);
                values.push(value);
            }
        }
    }
    SparseVector::new(vector.dimensions(), indices, values)
}

/// One bit for each element: is it above zero?
///
/// # Errors
/// [`Error::OutOfMemory`].
///
/// ```
/// use ruvector_core::{ops::binary_quantize, text::format_bits};
///
/// assert_eq!(format_bits(binary_quantize(&[1.0, 0.0, -1.0, 0.5])?.as_ref())?, "1001");
/// # Ok::<(), ruvector_core::Error>(())
/// ```
pub fn binary_quantize<T: Element>(vector: &[T]) -> Result<BitVector> {
    let length = u32::try_from(vector.len()).map_err(|_| Error::OutOfMemory)?;
    let mut bytes = with_room(vector.len().div_ceil(8))?;
    for eight in vector.chunks(8) {
        let bits = eight.iter().enumerate();
        bytes.push(bits.fold(0u8, |byte, (place, element)| {
            byte | u8::from(element.to_f32() > 0.0) << (7 - place)
        }));
    }
    BitVector::new(length, bytes)
}

/// The order of dense vectors: that of the first elements that differ; if none do, the shorter comes first.
///
/// ```
/// use core::cmp::Ordering;
/// use ruvector_core::ops::compare;
///
/// assert_eq!(compare(&[1.0, 2.0], &[1.0, 2.0, 3.0]), Ordering::Less);
/// assert_eq!(compare(&[2.0, 3.0], &[1.0, 2.0, 3.0]), Ordering::Greater);
/// ```
pub fn compare<T: Element>(a: &[T], b: &[T]) -> Ordering {
    for (a, b) in a.iter().zip(b) {
        match a.to_f32().partial_cmp(&b.to_f32()) {
            Some(Ordering::Equal) | None => {}
            Some(order) => return order,
        }
    }
    a.len().cmp(&b.len())
}

/// The order of sparse vectors, which is that of the dense vectors that they stand for.
pub fn compare_sparse(a: SparseRef<'_>, b: SparseRef<'_>) -> Ordering {
    let mut left = a.indices().iter().zip(a.values());
    let mut right = b.indices().iter().zip(b.values());
    let against_zero = |value: f32| if value < 0.0 { Ordering::Less } else { Ordering::Greater };
    loop {
        match (left.next(), right.next()) {
            (Some((i, &x)), Some((j, &y))) => match i.cmp(j) {
                Ordering::Less => return against_zero(x),
                Ordering::Greater => return against_zero(y).reverse(),
                Ordering::Equal => match x.partial_cmp(&y) {
                    Some(Ordering::Equal) | None => {}
                    Some(order) => return order,
                },
            },
            // An element beyond the other's dimensions does not count, but then there are more dimensions.
            (Some((&i, &x)), None) if i < b.dimensions() => return against_zero(x),
            (None, Some((&j, &y))) if j < a.dimensions() => return against_zero(y).reverse(),
            _ => return a.dimensions().cmp(&b.dimensions()),
        }
    }
}

/// A dense vector of numbers from elsewhere, such as an array of a database.
///
/// # Errors
/// [`Error::NoDimensions`], [`Error::TooManyDimensions`], [`Error::UnexpectedDimensions`], [`Error::OutOfRange`] for
/// half precision, [`Error::NotANumber`], [`Error::Infinite`], [`Error::OutOfMemory`].
///
/// ```
/// use ruvector_core::{F16, ops::vector_from};
///
/// assert_eq!(vector_from::<f32>(&[1.0, 2.0], Some(2))?, [1.0, 2.0]);
/// assert_eq!(
///     vector_from::<F16>(&[65520.0], None).unwrap_err().to_string(),
///     "\"65520\" is out of range for type halfvec"
/// );
/// # Ok::<(), ruvector_core::Error>(())
/// ```
pub fn vector_from<T: Element>(numbers: &[f32], dimensions: Option<u32>) -> Result<Vec<T>> {
    let count = T::KIND.check_dimensions(i64::try_from(numbers.len()).unwrap_or(i64::MAX))?;
    check_expected(dimensions, count)?;
    let mut result = with_room(numbers.len())?;
    for &number in numbers {
        result.push(convert::<T>(number)?);
    }
    // Only now, as pgvector does: of both errors the one of range comes first.
    numbers.iter().try_for_each(|&number| T::KIND.check_element(number))?;
    Ok(result)
}

/// To an element's type; what is finite must stay so.
fn convert<T: Element>(number: f32) -> Result<T> {
    let element = T::from_f32(number);
    if number.is_finite() && element.to_f32().is_infinite() {
        F16::try_from_f32(number)?;
    }
    Ok(element)
}

/// A single precision vector of a half precision one: exact.
///
/// # Errors
/// [`Error::NoDimensions`], [`Error::TooManyDimensions`], [`Error::UnexpectedDimensions`], [`Error::OutOfMemory`].
pub fn halfvec_to_vector(vector: &[F16], dimensions: Option<u32>) -> Result<Vec<f32>> {
    let count = VectorKind::Vector.check_dimensions(vector.len() as i64)?;
    check_expected(dimensions, count)?;
    let mut result = with_room(vector.len())?;
    result.extend(vector.iter().map(|half| half.to_f32()));
    Ok(result)
}

/// A sparse vector of the elements of a dense one that are not zero.
///
/// # Errors
/// [`Error::NoDimensions`], [`Error::UnexpectedDimensions`], [`Error::TooManyElements`], [`Error::NotANumber`],
/// [`Error::Infinite`], [`Error::OutOfMemory`].
pub fn dense_to_sparsevec<T: Element>(
    vector: &[T],
    dimensions: Option<u32>,
) -> Result<SparseVector> {
    let kind = VectorKind::SparseVec;
    let count = kind.check_dimensions(i64::try_from(vector.len()).unwrap_or(i64::MAX))?;
    check_expected(dimensions, count)?;
    let elements = vector.iter().filter(|element| element.to_f32() != 0.0).count();
    let (mut indices, mut values) = (with_room(elements)?, with_room(elements)?);
    for (index, element) in (0..count).zip(vector) {
        if element.to_f32() != 0.0 {
            indices.push(index);
            values.push(element.to_f32());
        }
    }
    SparseVector::new(count, indices, values)
}

/// A dense vector of a sparse one.
///
/// # Errors
/// [`Error::TooManyDimensions`], [`Error::UnexpectedDimensions`], [`Error::OutOfRange`] for half precision,
/// [`Error::IndexOutOfBounds`], [`Error::OutOfMemory`].
pub fn sparsevec_to_dense<T: Element>(
    vector: SparseRef<'_>,
    dimensions: Option<u32>,
) -> Result<Vec<T>> {
    let count = T::KIND.check_dimensions(i64::from(vector.dimensions()))?;
    check_expected(dimensions, count)?;
    let mut result = with_room(count as usize)?;
    result.resize(count as usize, T::from_f32(0.0));
    for (&index, &value) in vector.indices().iter().zip(vector.values()) {
        let place = result.get_mut(index as usize).ok_or(Error::IndexOutOfBounds)?;
        *place = convert(value)?;
    }
    Ok(result)
}

/// The state of an average: how many vectors, and the sums of their elements, in double precision.
///
/// This is what pgvector's aggregates keep in an array of numbers, the count first.
///
/// ```
/// use ruvector_core::ops::Average;
///
/// let mut average = Average::default();
/// average.add(&[1.0f32, 2.0, 3.0])?;
/// average.add(&[3.0f32, 5.0, 7.0])?;
/// assert_eq!(average.finish::<f32>()?, Some(vec![2.0, 3.5, 5.0]));
/// assert_eq!(Average::default().finish::<f32>()?, None);
/// # Ok::<(), ruvector_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Average {
    count: f64,
    sums: Vec<f64>,
}

impl Average {
    /// A state that was kept: the count, and the sums.
    pub const fn new(count: f64, sums: Vec<f64>) -> Self {
        Self { count, sums }
    }

    /// How many vectors.
    pub const fn count(&self) -> f64 {
        self.count
    }

    /// The sums.
    pub fn sums(&self) -> &[f64] {
        &self.sums
    }

    /// Takes one more vector in.
    ///
    /// # Errors
    /// [`Error::UnexpectedDimensions`], [`Error::Overflow`], [`Error::OutOfMemory`]; the state is of no use then.
    pub fn add<T: Element>(&mut self, vector: &[T]) -> Result<()> {
        self.merge(1.0, vector.len(), vector.iter().map(|element| f64::from(element.to_f32())))
    }

    /// Takes another state in.
    ///
    /// # Errors
    /// As [`Average::add`].
    pub fn combine(&mut self, other: &Self) -> Result<()> {
        if other.count == 0.0 {
            return Ok(());
        }
        self.merge(other.count, other.sums.len(), other.sums.iter().copied())
    }

    fn merge(
        &mut self,
        count: f64,
        length: usize,
        elements: impl Iterator<Item = f64>,
    ) -> Result<()> {
        if self.count == 0.0 || self.sums.is_empty() {
            self.sums = with_room(length)?;
            self.sums.extend(elements);
        } else {
            check_expected(Some(self.sums.len() as u32), length as u32)?;
            for (sum, element) in self.sums.iter_mut().zip(elements) {
                *sum += element;
                if sum.is_infinite() {
                    return Err(Error::Overflow);
                }
            }
        }
        self.count += count;
        Ok(())
    }

    /// The average, or `None` of no vectors.
    ///
    /// # Errors
    /// [`Error::NoDimensions`], [`Error::TooManyDimensions`], [`Error::OutOfRange`], [`Error::NotANumber`],
    /// [`Error::Infinite`], [`Error::OutOfMemory`].
    pub fn finish<T: Element>(&self) -> Result<Option<Vec<T>>> {
        if self.count == 0.0 {
            return Ok(None);
        }
        T::KIND.check_dimensions(self.sums.len() as i64)?;
        let mut result = with_room(self.sums.len())?;
        for &sum in &self.sums {
            let element: T = convert((sum / self.count) as f32)?;
            T::KIND.check_element(element.to_f32())?;
            result.push(element);
        }
        Ok(Some(result))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::{String, ToString as _};
    use alloc::vec;
    use proptest::prelude::*;

    use crate::text::{format_halfvec, format_sparsevec, parse_halfvec, parse_sparsevec};

    fn half(text: &str) -> Vec<F16> {
        parse_halfvec(text.as_bytes(), None).unwrap()
    }

    fn sparse(text: &str) -> SparseVector {
        parse_sparsevec(text.as_bytes(), None).unwrap()
    }

    fn message<T: core::fmt::Debug>(result: Result<T>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn arithmetic() {
        assert_eq!(subtract(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]), Ok(vec![-3.0; 3]));
        assert_eq!(multiply(&[1.0, 2.0, 0.0], &[4.0, 5.0, 1e-45]), Ok(vec![4.0, 10.0, 0.0]));
        assert_eq!(message(multiply(&[1e37], &[1e37])), "value out of range: overflow");
        assert_eq!(message(multiply(&[1e-37], &[1e-37])), "value out of range: underflow");
        assert_eq!(message(add(&[1.0, 2.0], &[3.0])), "different vector dimensions 2 and 1");
        assert_eq!(
            message(add(&half("[1,2]"), &half("[3]"))),
            "different halfvec dimensions 2 and 1"
        );
        let large = half("[65519]");
        assert_eq!(add(&large, &large), Err(Error::Overflow));
        assert_eq!(multiply(&half("[1e-7]"), &half("[1e-7]")), Err(Error::Underflow));
        assert_eq!(
            message(concatenate(&[0.0; 16_000], &[1.0])),
            "vector cannot have more than 16000 dimensions"
        );
    }

    #[test]
    fn subvectors() {
        let vector = [1.0, 2.0, 3.0, 4.0, 5.0];
        for (start, count, expected) in [
            (1, 3, &vector[..3]),
            (3, 2, &vector[2..4]),
            (-1, 3, &vector[..1]),
            (3, 9, &vector[2..]),
            (3, i32::MAX, &vector[2..]),
            (-2_147_483_644, i32::MAX, &vector[..2]),
            (5, 1, &vector[4..]),
        ] {
            assert_eq!(subvector(&vector, start, count).unwrap(), expected, "{start}, {count}");
        }
        for (start, count) in
            [(1, 0), (3, -1), (-1, 2), (i32::MAX, 10), (6, 1), (i32::MIN, i32::MAX)]
        {
            assert_eq!(
                message(subvector(&vector, start, count)),
                "vector must have at least 1 dimension"
            );
        }
    }

    #[test]
    fn normal_vectors() {
        assert_eq!(l2_normalize(&[3e38]), Ok(vec![1.0]));
        assert_eq!(l2_normalize(&[0.0, 0.1]), Ok(vec![0.0, 1.0]));
        assert_eq!(l2_normalize(&[0.0, 0.0]), Ok(vec![0.0, 0.0]));
        assert_eq!(
            format_halfvec(&l2_normalize(&half("[3,4]")).unwrap()).unwrap(),
            "[0.60009766,0.7998047]"
        );
        let normal = |text| {
            format_sparsevec(l2_normalize_sparse(sparse(text).as_ref()).unwrap().as_ref()).unwrap()
        };
        assert_eq!(normal("{1:3,2:4}/2"), "{1:0.6,2:0.8}/2");
        assert_eq!(normal("{}/2"), "{}/2");
        assert_eq!(normal("{2:3e37,4:3e-37,6:4e37,8:4e-37}/9"), "{2:0.6,6:0.8}/9");
    }

    #[test]
    fn sparse_order() {
        let order = |a, b| compare_sparse(sparse(a).as_ref(), sparse(b).as_ref());
        assert_eq!(order("{1:1,2:2,3:3}/3", "{1:1,2:2,3:3}/3"), Ordering::Equal);
        assert_eq!(order("{1:1,2:2,3:3}/3", "{}/3"), Ordering::Greater);
        assert_eq!(order("{}/3", "{1:-1}/3"), Ordering::Greater);
        assert_eq!(order("{1:1,2:2}/2", "{1:1,2:2,3:3}/3"), Ordering::Less);
        assert_eq!(order("{1:1,2:2}/2", "{1:1,2:2,3:-3}/3"), Ordering::Less);
        assert_eq!(order("{1:2,2:3}/2", "{1:1,2:2,3:3}/3"), Ordering::Greater);
    }

    #[test]
    fn casts() {
        assert_eq!(message(vector_from::<f32>(&[], None)), "vector must have at least 1 dimension");
        assert_eq!(message(vector_from::<f32>(&[f32::NAN], None)), "NaN not allowed in vector");
        assert_eq!(
            message(vector_from::<F16>(&[f32::INFINITY], None)),
            "infinite value not allowed in halfvec"
        );
        assert_eq!(message(vector_from::<F16>(&[1.0], Some(2))), "expected 2 dimensions, not 1");
        let vector = [0.0, 1.5, 0.0, 3.5, 0.0];
        let as_sparse = dense_to_sparsevec(&vector, Some(5)).unwrap();
        assert_eq!(format_sparsevec(as_sparse.as_ref()).unwrap(), "{2:1.5,4:3.5}/5");
        assert_eq!(sparsevec_to_dense::<f32>(as_sparse.as_ref(), None).unwrap(), vector);
        assert_eq!(
            sparsevec_to_dense::<F16>(as_sparse.as_ref(), Some(5)).unwrap(),
            half("[0,1.5,0,3.5,0]")
        );
        assert_eq!(halfvec_to_vector(&half("[0,1.5,0,3.5,0]"), None).unwrap(), vector);
        assert_eq!(
            message(sparsevec_to_dense::<f32>(sparse("{}/16001").as_ref(), None)),
            "vector cannot have more than 16000 dimensions"
        );
        assert_eq!(
            message(sparsevec_to_dense::<F16>(sparse("{1:65520}/1").as_ref(), None)),
            "\"65520\" is out of range for type halfvec"
        );
        assert_eq!(dense_to_sparsevec(&[1.0; 16_001], None), Err(Error::TooManyElements));
    }

    #[test]
    fn averages() {
        let mut average = Average::default();
        average.add(&[3e38f32]).unwrap();
        average.add(&[3e38f32]).unwrap();
        assert_eq!(average.finish::<f32>(), Ok(Some(vec![3e38])));
        assert_eq!(message(average.add(&[1.0f32, 2.0])), "expected 1 dimensions, not 2");
        let mut left = Average::default();
        left.combine(&average).unwrap();
        left.combine(&Average::default()).unwrap();
        left.combine(&average).unwrap();
        assert_eq!((left.count(), left.sums()), (4.0, &[f64::from(3e38f32) * 4.0][..]));
        assert_eq!(
            message(Average::new(1.0, vec![0.0; 16_001]).finish::<f32>()),
            "vector cannot have more than 16000 dimensions"
        );
        assert_eq!(left.finish::<F16>().unwrap_err().class().sqlstate(), "22003");
    }

    proptest! {
        /// Sparse vectors are ordered as the dense ones that they stand for.
        #[test]
        fn sparse_order_is_dense_order(a in "[-101]{1,6}", b in "[-101]{1,6}") {
            let dense = |text: &str| -> Vec<f32> {
                text.chars().map(|c| match c { '-' => -1.0, '1' => 1.0, _ => 0.0 }).collect()
            };
            let (a, b) = (dense(&a), dense(&b));
            let (x, y) = (dense_to_sparsevec(&a, None).unwrap(), dense_to_sparsevec(&b, None).unwrap());
            prop_assert_eq!(compare_sparse(x.as_ref(), y.as_ref()), compare(&a, &b));
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
        }

        #[test]
        fn bits_are_signs(vector in proptest::collection::vec(-1f32..1.0, 1..70)) {
            let bits = binary_quantize(&vector).unwrap();
            for (place, element) in (0..).zip(&vector) {
                prop_assert_eq!(bits.as_ref().get(place), Some(*element > 0.0));
            }
        }
    }
}
