//! One bit per dimension, with estimates whose error is known.

use alloc::vec::Vec;

use super::rotation::Rotation;
use crate::error::{Error, Result};
use crate::kernels;
use crate::kind::VectorKind;
use crate::math::{round_even, sqrt};

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
    /// The length of the vector less the centre.
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
        let Self { ref bits, norm, alignment, center_inner } = *self;
        RaBitQCodeRef { bits, norm, alignment, center_inner }
    }
}

/// A query, prepared for many estimates.
#[derive(Clone, Debug, PartialEq)]
pub struct RaBitQQuery {
    /// Bits 0 to 3 of the coordinates.
    planes: [Vec<u8>; 4],
    /// A coordinate is `low + step * bits`.
    low: f32,
    step: f32,
    /// Sum of all coordinates' bits.
    sum: u64,
    /// The length of the query less the centre.
    norm: f32,
    center_inner: f32,
}

/// An estimate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The estimated distance or product.
    pub value: f32,
    /// How far off it may be, with the probability that goes with the chosen width.
    pub error: f32,
}

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
        let norm = crate::distance::l2_norm(&residual[..]) as f32;
        if norm > 0.0 && norm.is_finite() {
            residual.iter_mut().for_each(|x| *x /= norm);
        }
        self.rotation.apply(&mut residual);
        Ok((residual, norm))
    }

    /// The code of a vector.
    ///
    /// # Errors
    /// [`Error::UnexpectedDimensions`], [`Error::OutOfMemory`].
    pub fn encode(&self, vector: &[f32]) -> Result<RaBitQCode> {
        let (residual, norm) = self.residual(vector)?;
        let mut bits = Vec::new();
        bits.try_reserve_exact(self.code_bytes())?;
        bits.extend(residual.as_chunks::<8>().0.iter().map(|eight| {
            let signs = eight.iter().enumerate();
            signs.fold(0u8, |byte, (place, &x)| byte | u8::from(x > 0.0) << place)
        }));
        let magnitudes: f64 = residual.iter().map(|x| f64::from(x.abs())).sum();
        let alignment = (magnitudes / sqrt(self.padded as f64)) as f32;
        let center_inner = kernels::detect().inner(vector, &self.center);
        Ok(RaBitQCode { bits, norm, alignment, center_inner })
    }

    /// Prepares a query.
    ///
    /// # Errors
    /// [`Error::UnexpectedDimensions`], [`Error::OutOfMemory`].
    pub fn query(&self, vector: &[f32]) -> Result<RaBitQQuery> {
        let (residual, norm) = self.residual(vector)?;
        let low = residual.iter().copied().fold(f32::INFINITY, f32::min);
        let high = residual.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let step = (high - low) / 15.0;
        let inverse = if step > 0.0 { 1.0 / step } else { 0.0 };
        let mut planes = [const { Vec::new() }; 4];
        for plane in &mut planes {
            plane.try_reserve_exact(self.code_bytes())?;
        }
        let mut sum = 0;
        for eight in residual.as_chunks::<8>().0 {
            let mut bytes = [0u8; 4];
            for (place, x) in eight.iter().enumerate() {
                // From 0 to 15; what is not a number becomes zero.
                let bits = round_even((x - low) * inverse).clamp(0.0, 15.0) as u8;
                sum += u64::from(bits);
                for (plane, byte) in bytes.iter_mut().enumerate() {
                    *byte |= (bits >> plane & 1) << place;
                }
            }
            for (plane, byte) in planes.iter_mut().zip(bytes) {
                plane.push(byte);
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
        let planes = query.planes.each_ref().map(Vec::as_slice);
        let kernels = kernels::detect();
        let weighted = kernels.weighted_ones(code.bits, planes) as f32;
        let ones = kernels.bit_counts(code.bits, code.bits).union as f32;
        let length = self.padded as f32;
        // Coordinates of what the signs stand for are plus or minus one over the root of the number of dimensions.
        let sum = 2.0 * (query.low * ones + query.step * weighted)
            - query.low * length
            - query.step * query.sum as f32;
        let root = sqrt(f64::from(length)) as f32;
        let alignment = code.alignment.max(f32::MIN_POSITIVE);
        let spread = sqrt(f64::from((1.0 - alignment * alignment).max(0.0))) as f32;
        let of_code = spread / alignment / sqrt(f64::from(length - 1.0).max(1.0)) as f32;
        // Of a number rounded to a step, the error's standard deviation is the step over the root of twelve.
        let of_query = query.step * 0.288_675_13 / alignment;
        Estimate { value: sum / root / alignment, error: width * (of_code + of_query) }
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
