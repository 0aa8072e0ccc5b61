//! Distances between vectors, with the results that pgvector gives.
//!
//! Sums over elements are in single precision and the result is in double precision, as in pgvector; norms are in
//! double precision throughout. See [`crate::kernels`] for the order of the sums and the bound of their error.

use crate::bits::BitRef;
use crate::error::{Error, Result};
use crate::half::F16;
use crate::kernels::{self, Products};
use crate::kind::VectorKind;
use crate::math::{acos, sqrt};
use crate::sparse::SparseRef;

mod private {
    pub trait Sealed {}
    impl Sealed for &[f32] {}
    impl Sealed for &[crate::half::F16] {}
    impl Sealed for crate::sparse::SparseRef<'_> {}
}

/// A view of a vector of any kind that has numbers: `&[f32]`, `&[F16]` or [`SparseRef`].
pub trait Vector: Copy + private::Sealed {
    /// The kind of vector.
    const KIND: VectorKind;

    /// How many dimensions it has.
    fn dimensions(self) -> u32;
    #[doc(hidden)]
    fn raw_l2_squared(self, other: Self) -> f32;
    #[doc(hidden)]
    fn raw_inner(self, other: Self) -> f32;
    #[doc(hidden)]
    fn raw_products(self, other: Self) -> Products;
    #[doc(hidden)]
    fn raw_l1(self, other: Self) -> f32;
    #[doc(hidden)]
    fn raw_norm_squared(self) -> f64;
}

impl Vector for &[f32] {
    const KIND: VectorKind = VectorKind::Vector;

    fn dimensions(self) -> u32 {
        self.len() as u32
    }
    fn raw_l2_squared(self, other: Self) -> f32 {
        kernels::detect().l2_squared(self, other)
    }
    fn raw_inner(self, other: Self) -> f32 {
        kernels::detect().inner(self, other)
    }
    fn raw_products(self, other: Self) -> Products {
        kernels::detect().products(self, other)
    }
    fn raw_l1(self, other: Self) -> f32 {
        kernels::detect().l1(self, other)
    }
    fn raw_norm_squared(self) -> f64 {
        sum_of_squares(self.iter().copied())
    }
}

impl Vector for &[F16] {
    const KIND: VectorKind = VectorKind::HalfVec;

    fn dimensions(self) -> u32 {
        self.len() as u32
    }
    fn raw_l2_squared(self, other: Self) -> f32 {
        kernels::detect().l2_squared_f16(self, other)
    }
    fn raw_inner(self, other: Self) -> f32 {
        kernels::detect().inner_f16(self, other)
    }
    fn raw_products(self, other: Self) -> Products {
        kernels::detect().products_f16(self, other)
    }
    fn raw_l1(self, other: Self) -> f32 {
        kernels::detect().l1_f16(self, other)
    }
    fn raw_norm_squared(self) -> f64 {
        sum_of_squares(self.iter().map(|half| half.to_f32()))
    }
}

impl Vector for SparseRef<'_> {
    const KIND: VectorKind = VectorKind::SparseVec;

    fn dimensions(self) -> u32 {
        SparseRef::dimensions(self)
    }
    fn raw_l2_squared(self, other: Self) -> f32 {
        merge(self, other).fold(0f32, |sum, (a, b)| {
            let difference = a - b;
            sum + difference * difference
        })
    }
    fn raw_inner(self, other: Self) -> f32 {
        merge(self, other).fold(0f32, |sum, (a, b)| sum + a * b)
    }
    fn raw_products(self, other: Self) -> Products {
        let kernels = kernels::detect();
        Products {
            inner: self.raw_inner(other),
            left: kernels.inner(self.values(), self.values()),
            right: kernels.inner(other.values(), other.values()),
        }
    }
    fn raw_l1(self, other: Self) -> f32 {
        merge(self, other).fold(0f32, |sum, (a, b)| sum + (a - b).abs())
    }
    fn raw_norm_squared(self) -> f64 {
        sum_of_squares(self.values().iter().copied())
    }
}

/// In four sums, for the processor to work on side by side.
fn sum_of_squares(elements: impl Iterator<Item = f32>) -> f64 {
    let mut sums = [0f64; 4];
    for (place, element) in elements.enumerate() {
        sums[place % 4] += f64::from(element) * f64::from(element);
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3])
}

/// The elements of two sparse vectors in the order of their positions; where one has none, it is zero.
fn merge<'a>(a: SparseRef<'a>, b: SparseRef<'a>) -> impl Iterator<Item = (f32, f32)> + 'a {
    let mut left = a.indices().iter().zip(a.values()).peekable();
    let mut right = b.indices().iter().zip(b.values()).peekable();
    core::iter::from_fn(move || match (left.peek(), right.peek()) {
        (None, None) => None,
        (Some(&(_, &x)), None) => {
            left.next();
            Some((x, 0.0))
        }
        (None, Some(&(_, &y))) => {
            right.next();
            Some((0.0, y))
        }
        (Some(&(i, &x)), Some(&(j, &y))) => Some(match i.cmp(j) {
            core::cmp::Ordering::Less => {
                left.next();
                (x, 0.0)
            }
            core::cmp::Ordering::Greater => {
                right.next();
                (0.0, y)
            }
            core::cmp::Ordering::Equal => {
                left.next();
                right.next();
                (x, y)
            }
        }),
    })
}

/// Have both as many dimensions?
pub(crate) fn check_same<V: Vector>(a: V, b: V) -> Result<()> {
    let (left, right) = (a.dimensions(), b.dimensions());
    if left != right {
        return Err(Error::DifferentDimensions { kind: V::KIND, left, right });
    }
    Ok(())
}

/// Euclidean distance, `sqrt(sum (a - b)^2)`; infinite if the sum is beyond single precision.
///
/// # Errors
/// [`Error::DifferentDimensions`].
///
/// ```
/// use ruvector_core::distance::l2_distance;
///
/// assert_eq!(l2_distance(&[0.0, 0.0][..], &[3.0, 4.0]), Ok(5.0));
/// ```
pub fn l2_distance<V: Vector>(a: V, b: V) -> Result<f64> {
    Ok(sqrt(l2_squared_distance(a, b)?))
}

/// The square of the Euclidean distance, which orders vectors in the same way and costs less.
///
/// # Errors
/// [`Error::DifferentDimensions`].
pub fn l2_squared_distance<V: Vector>(a: V, b: V) -> Result<f64> {
    check_same(a, b)?;
    Ok(f64::from(a.raw_l2_squared(b)))
}

/// The inner product, `sum a b`.
///
/// # Errors
/// [`Error::DifferentDimensions`].
pub fn inner_product<V: Vector>(a: V, b: V) -> Result<f64> {
    check_same(a, b)?;
    Ok(f64::from(a.raw_inner(b)))
}

/// The inner product with its sign changed, so that the most similar vectors come first.
///
/// # Errors
/// [`Error::DifferentDimensions`].
pub fn negative_inner_product<V: Vector>(a: V, b: V) -> Result<f64> {
    check_same(a, b)?;
    Ok(f64::from(-a.raw_inner(b)))
}

/// Cosine distance, `1 - sum a b / sqrt(sum a^2 sum b^2)`, from 0 to 2; not a number if a vector is zero.
///
/// # Errors
/// [`Error::DifferentDimensions`].
///
/// ```
/// use ruvector_core::distance::cosine_distance;
///
/// assert_eq!(cosine_distance(&[1.0, 1.0][..], &[-2.0, -2.0]), Ok(2.0));
/// assert!(cosine_distance(&[1.0, 2.0][..], &[0.0, 0.0]).unwrap().is_nan());
/// ```
pub fn cosine_distance<V: Vector>(a: V, b: V) -> Result<f64> {
    check_same(a, b)?;
    let Products { inner, left, right } = a.raw_products(b);
    let similarity = f64::from(inner) / sqrt(f64::from(left) * f64::from(right));
    // What is not a number stays so.
    Ok(1.0 - similarity.clamp(-1.0, 1.0))
}

/// Manhattan distance, `sum |a - b|`.
///
/// # Errors
/// [`Error::DifferentDimensions`].
pub fn l1_distance<V: Vector>(a: V, b: V) -> Result<f64> {
    check_same(a, b)?;
    Ok(f64::from(a.raw_l1(b)))
}

/// The angle between two unit vectors, from 0 to 1: `acos(sum a b) / pi`. It obeys the triangle inequality.
///
/// # Errors
/// [`Error::DifferentDimensions`].
pub fn spherical_distance<V: Vector>(a: V, b: V) -> Result<f64> {
    check_same(a, b)?;
    Ok(acos(f64::from(a.raw_inner(b)).clamp(-1.0, 1.0)) / core::f64::consts::PI)
}

/// The Euclidean length, `sqrt(sum a^2)`, computed in double precision.
///
/// ```
/// assert_eq!(ruvector_core::distance::l2_norm(&[3e37, 4e37][..]) as f32, 5e37);
/// ```
pub fn l2_norm<V: Vector>(a: V) -> f64 {
    sqrt(a.raw_norm_squared())
}

fn check_same_bits(a: BitRef<'_>, b: BitRef<'_>) -> Result<()> {
    if a.len() != b.len() {
        return Err(Error::DifferentBitLengths { left: a.len(), right: b.len() });
    }
    Ok(())
}

/// How many bits differ.
///
/// # Errors
/// [`Error::DifferentBitLengths`].
pub fn hamming_distance(a: BitRef<'_>, b: BitRef<'_>) -> Result<f64> {
    check_same_bits(a, b)?;
    Ok(kernels::detect().hamming(a.bytes(), b.bytes()) as f64)
}

/// Jaccard distance, one less the common ones over all ones; 1 if there is no common one.
///
/// # Errors
/// [`Error::DifferentBitLengths`].
///
/// ```
/// use ruvector_core::{BitRef, distance::jaccard_distance};
///
/// assert_eq!(jaccard_distance(BitRef::new(4, &[0xf0])?, BitRef::new(4, &[0x80])?), Ok(0.75));
/// # Ok::<(), ruvector_core::Error>(())
/// ```
pub fn jaccard_distance(a: BitRef<'_>, b: BitRef<'_>) -> Result<f64> {
    check_same_bits(a, b)?;
    let counts = kernels::detect().bit_counts(a.bytes(), b.bytes());
    if counts.intersection == 0 {
        return Ok(1.0);
    }
    Ok(1.0 - counts.intersection as f64 / counts.union as f64)
}
