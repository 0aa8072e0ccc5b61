//! One bit per dimension, with estimates whose error is known.

use alloc::vec::Vec;

use super::rotation::Rotation;
use crate::error::{Error, Result};
use crate::kernels::{self, Kernels};
use crate::kind::VectorKind;
use crate::math::{cos_of_half_turns, round_even, sqrt};

/// RaBitQ (Gao and Long, RaBitQ: Quantizing High-Dimensional Vectors with a Theoretical Error Bound for Approximate
/// Nearest Neighbor Search, 2024, arXiv 2405.12497).
///
/// A vector less the centre is scaled to length one and rotated at random; the code is the signs of its coordinates. A
/// query is treated alike, but its coordinates are kept with four bits. The inner product of both is estimated from
/// counts of ones; the estimate is right on average over the rotations, and comes with a bound of its error.
///
/// ```
/// use ruvector_core::quantize::RaBitQ;
///
/// let quantizer = RaBitQ::new(vec![0.0; 128], 42)?;
/// let (a, b) = (vec![1.0; 128], (0..128).map(|i| i as f32 / 64.0).collect::<Vec<_>>());
/// let (code, query) = (quantizer.encode(&a)?, quantizer.query(&b)?);
/// let estimate = quantizer.l2_squared(code.as_ref(), &query, 3.0);
/// let exact: f32 = a.iter().zip(&b).map(|(x, y)| (x - y) * (x - y)).sum();
/// assert!((estimate.value - exact).abs() <= estimate.error);
/// # Ok::<(), ruvector_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RaBitQ {
    center: Vec<f32>,
    center_inner: f32,
    rotation: Rotation,
    /// Dimensions, filled up to a multiple of 64.
    padded: usize,
    seed: u64,
}

/// A code.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RaBitQCode {
    /// The signs: [`RaBitQ::code_bytes`] bytes.
    pub bits: Vec<u8>,
    /// How many of the signs are set.
    pub ones: u32,
    /// The length of the vector less the centre, up to 1e18.
    pub norm: f32,
    /// The inner product of that, scaled to length one, with what the signs stand for: about 0.8.
    pub alignment: f32,
    /// The inner product of the vector with the centre.
    pub center_inner: f32,
}

/// A view of a code.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RaBitQCodeRef<'a> {
    /// The signs.
    pub bits: &'a [u8],
    /// How many of the signs are set.
    pub ones: u32,
    /// The length of the vector less the centre.
    pub norm: f32,
    /// The inner product of that, scaled to length one, with what the signs stand for.
    pub alignment: f32,
    /// The inner product of the vector with the centre.
    pub center_inner: f32,
}

impl RaBitQCode {
    /// A view.
    pub fn as_ref(&self) -> RaBitQCodeRef<'_> {
        let Self { ref bits, ones, norm, alignment, center_inner } = *self;
        RaBitQCodeRef { bits, ones, norm, alignment, center_inner }
    }
}

impl RaBitQCodeRef<'_> {
    /// The inner product of what two codes stand for, less the centre and scaled to length one, by how many signs differ.
    ///
    /// Two vectors at an angle have different signs in so large a part of the coordinates as the angle is of half a turn
    /// (Charikar, Similarity estimation techniques from rounding algorithms, 2002). This is less precise than with a query,
    /// of which more than the signs is known.
    #[inline]
    pub fn cosine(&self, kernels: &Kernels, other: &RaBitQCodeRef<'_>) -> f32 {
        let length = (8 * self.bits.len().min(other.bits.len())).max(1);
        let part = kernels.hamming(self.bits, other.bits) as f32 / length as f32;
        cos_of_half_turns(part)
    }
}

/// A query, prepared for many estimates.
#[derive(Clone, Debug, PartialEq)]
pub struct RaBitQQuery {
    /// Bits 0 to 3 of the coordinates, one after the other, each as long as a code.
    pub planes: Vec<u8>,
    /// A coordinate is `low + step * bits`.
    pub low: f32,
    /// See `low`.
    pub step: f32,
    /// The sum of the bits of all coordinates.
    pub sum: u32,
    /// The length of the query less the centre.
    pub norm: f32,
    /// The inner product of the query with the centre.
    pub center_inner: f32,
}

/// A view of a query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RaBitQQueryRef<'a> {
    /// Bits 0 to 3 of the coordinates.
    pub planes: [&'a [u8]; 4],
    /// A coordinate is `low + step * bits`.
    pub low: f32,
    /// See `low`.
    pub step: f32,
    /// The sum of the bits of all coordinates.
    pub sum: u32,
    /// The length of the query less the centre.
    pub norm: f32,
    /// The inner product of the query with the centre.
    pub center_inner: f32,
}

impl RaBitQQuery {
    /// A view.
    pub fn as_ref(&self) -> RaBitQQueryRef<'_> {
        let Self { ref planes, low, step, sum, norm, center_inner } = *self;
        RaBitQQueryRef { planes: split_planes(planes), low, step, sum, norm, center_inner }
    }
}

/// The four planes that are one after the other.
#[inline]
fn split_planes(planes: &[u8]) -> [&[u8]; 4] {
    let (low, high) = planes.split_at(planes.len() / 4 * 2);
    let (a, b) = low.split_at(low.len() / 2);
    let (c, d) = high.split_at(low.len() / 2);
    [a, b, c, d]
}

impl<'a> RaBitQQueryRef<'a> {
    /// With planes that are one after the other.
    #[inline]
    pub fn with_planes(self, planes: &'a [u8]) -> Self {
        Self { planes: split_planes(planes), ..self }
    }

    /// The estimated inner product of code and query, both less the centre and scaled to length one.
    #[inline]
    pub fn cosine(&self, kernels: &Kernels, code: &RaBitQCodeRef<'_>) -> f32 {
        let weighted = kernels.weighted_ones(code.bits, self.planes) as f32;
        let length = (8 * code.bits.len()) as f32;
        // Coordinates of what the signs stand for are plus or minus one over the root of the number of dimensions.
        let sum = 2.0 * (self.low * code.ones as f32 + self.step * weighted)
            - self.low * length
            - self.step * self.sum as f32;
        sum / (root(length) * code.alignment.max(f32::MIN_POSITIVE))
    }

    /// How far off [`RaBitQQueryRef::cosine`] may be; see [`RaBitQ::cosine`] for `width`.
    #[inline]
    pub fn cosine_error(&self, code: &RaBitQCodeRef<'_>, width: f32) -> f32 {
        let length = (8 * code.bits.len()) as f32;
        let alignment = code.alignment.max(f32::MIN_POSITIVE);
        let spread = root((1.0 - alignment * alignment).max(0.0));
        let of_code = spread / alignment / root((length - 1.0).max(1.0));
        // Of a number rounded to a step, the error's standard deviation is the step over the root of twelve.
        let of_query = self.step * 0.288_675_13 / alignment;
        width * (of_code + of_query)
    }
}

#[inline]
fn root(x: f32) -> f32 {
    sqrt(f64::from(x)) as f32
}

/// An estimate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The estimated distance or product.
    pub value: f32,
    /// How far off it may be, with the probability that goes with the chosen width.
    pub error: f32,
}

/// Longer vectors count as so long: squares and sums of those are numbers still.
const LONGEST: f64 = 1e18;

impl RaBitQ {
    /// A quantiser around a centre, such as the mean of the vectors. The same seed gives the same rotation.
    ///
    /// # Errors
    /// [`Error::NoDimensions`], [`Error::TooManyDimensions`], [`Error::NotANumber`], [`Error::Infinite`],
    /// [`Error::OutOfMemory`].
    pub fn new(center: Vec<f32>, seed: u64) -> Result<Self> {
        let kind = VectorKind::Vector;
        kind.check_dimensions(i64::try_from(center.len()).unwrap_or(i64::MAX))?;
        center.iter().try_for_each(|&x| kind.check_element(x))?;
        let padded = center.len().next_multiple_of(64);
        let rotation = Rotation::new(padded, seed)?;
        let center_inner = kernels::detect().inner(&center, &center);
        Ok(Self { center, center_inner, rotation, padded, seed })
    }

    /// The centre.
    pub fn center(&self) -> &[f32] {
        &self.center
    }

    /// What the rotation was drawn with.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Bytes of the signs of a code.
    pub const fn code_bytes(&self) -> usize {
        self.padded / 8
    }

    /// A vector less the centre, rotated; and its length.
    fn residual(&self, vector: &[f32]) -> Result<(Vec<f32>, f32)> {
        if vector.len() != self.center.len() {
            let (expected, found) = (self.center.len() as u32, vector.len() as u32);
            return Err(Error::UnexpectedDimensions { expected, found });
        }
        let mut residual = Vec::new();
        residual.try_reserve_exact(self.padded)?;
        residual.extend(vector.iter().zip(&self.center).map(|(x, c)| x - c));
        residual.resize(self.padded, 0.0);
        let norm = crate::distance::l2_norm(&residual[..]);
        if norm > 0.0 && norm.is_finite() {
            residual.iter_mut().for_each(|x| *x = (f64::from(*x) / norm) as f32);
        }
        self.rotation.apply(&mut residual);
        Ok((residual, norm.min(LONGEST) as f32))
    }

    /// The code of a vector.
    ///
    /// # Errors
    /// [`Error::UnexpectedDimensions`], [`Error::OutOfMemory`].
    pub fn encode(&self, vector: &[f32]) -> Result<RaBitQCode> {
        let (residual, norm) = self.residual(vector)?;
        self.code(vector, &residual, norm)
    }

    /// Prepares a query.
    ///
    /// # Errors
    /// [`Error::UnexpectedDimensions`], [`Error::OutOfMemory`].
    pub fn query(&self, vector: &[f32]) -> Result<RaBitQQuery> {
        let (residual, norm) = self.residual(vector)?;
        self.prepare(vector, &residual, norm)
    }

    /// Both at once, for a vector that is to be compared with others before its code is kept.
    ///
    /// # Errors
    /// [`Error::UnexpectedDimensions`], [`Error::OutOfMemory`].
    pub fn encode_and_query(&self, vector: &[f32]) -> Result<(RaBitQCode, RaBitQQuery)> {
        let (residual, norm) = self.residual(vector)?;
        Ok((self.code(vector, &residual, norm)?, self.prepare(vector, &residual, norm)?))
    }

    fn code(&self, vector: &[f32], residual: &[f32], norm: f32) -> Result<RaBitQCode> {
        let mut bits = Vec::new();
        bits.try_reserve_exact(self.code_bytes())?;
        bits.extend(residual.as_chunks::<8>().0.iter().map(|eight| {
            let signs = eight.iter().enumerate();
            signs.fold(0u8, |byte, (place, &x)| byte | u8::from(x > 0.0) << place)
        }));
        let ones = bits.iter().map(|byte| byte.count_ones()).sum();
        let magnitudes: f64 = residual.iter().map(|x| f64::from(x.abs())).sum();
        let alignment = (magnitudes / sqrt(self.padded as f64)) as f32;
        let center_inner = kernels::detect().inner(vector, &self.center);
        Ok(RaBitQCode { bits, ones, norm, alignment, center_inner })
    }

    fn prepare(&self, vector: &[f32], residual: &[f32], norm: f32) -> Result<RaBitQQuery> {
        let low = residual.iter().copied().fold(f32::INFINITY, f32::min);
        let high = residual.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let step = (high - low) / 15.0;
        let inverse = if step > 0.0 { 1.0 / step } else { 0.0 };
        let length = self.code_bytes();
        let mut planes = Vec::new();
        planes.try_reserve_exact(4 * length)?;
        planes.resize(4 * length, 0);
        let mut sum = 0;
        for (at, eight) in residual.as_chunks::<8>().0.iter().enumerate() {
            for (place, x) in eight.iter().enumerate() {
                // From 0 to 15; what is not a number becomes zero.
                let bits = round_even((x - low) * inverse).clamp(0.0, 15.0) as u8;
                sum += u32::from(bits);
                for plane in 0..4 {
                    planes[plane * length + at] |= (bits >> plane & 1) << place;
                }
            }
        }
        let center_inner = kernels::detect().inner(vector, &self.center);
        Ok(RaBitQQuery { planes, low, step, sum, norm, center_inner })
    }

    /// The inner product of code and query, both less the centre and scaled to length one.
    ///
    /// `width` is the paper's `epsilon`: the error is exceeded as often as a normal variable is beyond that many standard
    /// deviations, about once in twenty for 1.9.
    pub fn cosine(&self, code: RaBitQCodeRef<'_>, query: &RaBitQQuery, width: f32) -> Estimate {
        let query = query.as_ref();
        let value = query.cosine(kernels::detect(), &code);
        Estimate { value, error: query.cosine_error(&code, width) }
    }

    /// The squared Euclidean distance. See [`RaBitQ::cosine`] for `width`.
    pub fn l2_squared(&self, code: RaBitQCodeRef<'_>, query: &RaBitQQuery, width: f32) -> Estimate {
        let Estimate { value, error } = self.cosine(code, query, width);
        let scale = 2.0 * code.norm * query.norm;
        let squares = code.norm * code.norm + query.norm * query.norm;
        Estimate { value: squares - scale * value, error: scale * error }
    }

    /// The inner product. See [`RaBitQ::cosine`] for `width`.
    pub fn inner_product(
        &self,
        code: RaBitQCodeRef<'_>,
        query: &RaBitQQuery,
        width: f32,
    ) -> Estimate {
        let Estimate { value, error } = self.cosine(code, query, width);
        let scale = code.norm * query.norm;
        let offset = code.center_inner + query.center_inner - self.center_inner;
        Estimate { value: scale * value + offset, error: scale * error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Random, SplitMix64};
    use proptest::prelude::*;

    /// Normally distributed numbers, as sums of uniform ones.
    fn gaussian(random: &mut SplitMix64, length: usize, shift: f32) -> Vec<f32> {
        let number =
            |random: &mut SplitMix64| (0..12).map(|_| random.next_f64()).sum::<f64>() - 6.0;
        (0..length).map(|_| number(random) as f32 + shift).collect()
    }

    /// Errors of estimates, in parts of their bounds, over many vectors and rotations.
    fn errors(dimensions: usize, seed: u64, width: f32) -> (usize, usize, f64, f64) {
        let mut random = SplitMix64::new(seed);
        let (mut count, mut violated, mut mean, mut alignment) = (0, 0, 0.0, 0.0);
        for rotation in 0..20 {
            let center = gaussian(&mut random, dimensions, 0.0);
            let quantizer = RaBitQ::new(center, seed ^ rotation).unwrap();
            let query = gaussian(&mut random, dimensions, 0.3);
            let prepared = quantizer.query(&query).unwrap();
            for _ in 0..50 {
                let vector = gaussian(&mut random, dimensions, 0.3);
                let code = quantizer.encode(&vector).unwrap();
                let estimate = quantizer.l2_squared(code.as_ref(), &prepared, width);
                let exact = kernels::scalar().l2_squared(&vector, &query);
                count += 1;
                violated += usize::from((estimate.value - exact).abs() > estimate.error);
                mean += f64::from(estimate.value - exact) / f64::from(exact);
                alignment += f64::from(code.alignment);

                let estimate = quantizer.inner_product(code.as_ref(), &prepared, 5.0);
                let exact = kernels::scalar().inner(&vector, &query);
                assert!((estimate.value - exact).abs() <= estimate.error * 1.01 + 0.1);
            }
        }
        (count, violated, mean / count as f64, alignment / count as f64)
    }

    /// The paper's promises: right on average, within the bound, and about 0.8 of the length kept.
    #[test]
    fn promises() {
        for (dimensions, seed) in [(64, 1), (128, 2), (384, 3), (768, 4), (1000, 5), (1536, 6)] {
            let (count, violated, mean, alignment) = errors(dimensions, seed, 1.9);
            assert!((violated as f64) < 0.05 * count as f64, "{dimensions}: {violated} of {count}");
            assert!(mean.abs() < 0.01, "{dimensions}: {mean}");
            assert!((alignment - 0.798).abs() < 0.01, "{dimensions}: {alignment}");
        }
    }

    /// Angles by signs alone: right on average, with an error that falls with the root of the dimensions.
    #[test]
    fn codes_with_codes() {
        let mut random = SplitMix64::new(7);
        for dimensions in [128, 768, 1536] {
            let (mut mean, mut squares, count) = (0.0, 0.0, 400);
            for seed in 0..count {
                let quantizer = RaBitQ::new(alloc::vec![0.0; dimensions], seed).unwrap();
                let a = gaussian(&mut random, dimensions, 0.0);
                let b: Vec<f32> = gaussian(&mut random, dimensions, 0.0);
                let b: Vec<f32> = a.iter().zip(b).map(|(x, y)| 0.6 * x + 0.8 * y).collect();
                let (x, y) = (quantizer.encode(&a).unwrap(), quantizer.encode(&b).unwrap());
                let kernels = kernels::scalar();
                let norms = f64::from(x.norm) * f64::from(y.norm);
                let exact = f64::from(kernels.inner(&a, &b)) / norms;
                let off = f64::from(x.as_ref().cosine(kernels, &y.as_ref())) - exact;
                mean += off;
                squares += off * off;
                assert!(x.as_ref().cosine(kernels, &x.as_ref()) > 0.999_999);
            }
            let deviation = sqrt(squares / count as f64) * sqrt(dimensions as f64);
            assert!((mean / count as f64).abs() < 0.02, "{dimensions}: {mean}");
            // The root of p (1 - p), times pi and the sine of the angle, is 1.15; that the exact inner product is known
            // to differ from 0.6 by chance takes some of it away.
            assert!(deviation < 1.3, "{dimensions}: {deviation}");
        }
    }

    #[test]
    fn both_at_once() {
        let quantizer = RaBitQ::new(alloc::vec![0.5; 100], 3).unwrap();
        let vector = gaussian(&mut SplitMix64::new(8), 100, 0.1);
        let (code, query) = quantizer.encode_and_query(&vector).unwrap();
        assert_eq!(code, quantizer.encode(&vector).unwrap());
        assert_eq!(query, quantizer.query(&vector).unwrap());
        assert_eq!(code.ones, code.bits.iter().map(|byte| byte.count_ones()).sum::<u32>());
        let view = query.as_ref();
        assert_eq!(view.planes.map(<[u8]>::len), [quantizer.code_bytes(); 4]);
        assert_eq!(view, view.with_planes(&query.planes));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]

        /// A wide bound is never exceeded.
        #[test]
        fn five_deviations(dimensions in 32usize..400, seed: u64) {
            prop_assert_eq!(errors(dimensions, seed, 5.0).1, 0);
        }

        #[test]
        fn any_numbers(bits in proptest::collection::vec(any::<u32>(), 2 * 70)) {
            let numbers: Vec<f32> = bits.into_iter().map(f32::from_bits).collect();
            let quantizer = RaBitQ::new(alloc::vec![1.0; 70], 1).unwrap();
            let code = quantizer.encode(&numbers[..70]).unwrap();
            let query = quantizer.query(&numbers[70..]).unwrap();
            quantizer.l2_squared(code.as_ref(), &query, 1.9);
            prop_assert_eq!(code.bits.len(), quantizer.code_bytes());
        }
    }

    #[test]
    fn the_centre_itself() {
        let quantizer = RaBitQ::new(alloc::vec![1.0; 64], 1).unwrap();
        let (code, query) =
            (quantizer.encode(&[1.0; 64]).unwrap(), quantizer.query(&[1.0; 64]).unwrap());
        assert_eq!(quantizer.l2_squared(code.as_ref(), &query, 1.9).value, 0.0);
        assert_eq!(quantizer.inner_product(code.as_ref(), &query, 1.9).value, 64.0);
        assert!(quantizer.encode(&[1.0; 63]).is_err());
        assert!(RaBitQ::new(Vec::new(), 1).is_err());
        assert!(RaBitQ::new(alloc::vec![f32::NAN], 1).is_err());
    }
}
