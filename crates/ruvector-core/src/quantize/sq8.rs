//! One byte per dimension.

use alloc::vec::Vec;

use crate::error::{Error, Result};
use crate::kernels;
use crate::kind::VectorKind;
use crate::math::round_even;

/// The largest code; the smallest is its negative.
const LIMIT: f32 = 127.0;
/// The share of the numbers of a sample that the range covers; what is beyond is cut off.
const COVERED: f64 = 0.999;

/// Scalar quantisation to one byte: `code = round((x - center) / step)`, from -127 to 127.
///
/// Each dimension has its own centre, and all have the same step, so that distances between codes are sums of integers.
///
/// ```
/// use ruvector_core::quantize::Sq8;
///
/// let quantizer = Sq8::train([&[0.0, 1.0][..], &[1.0, 3.0]], 2)?;
/// let (a, b) = (quantizer.encode(&[0.0, 1.0])?, quantizer.encode(&[1.0, 3.0])?);
/// assert!((quantizer.l2_squared(a.as_ref(), b.as_ref()) - 5.0).abs() < 0.1);
/// # Ok::<(), ruvector_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Sq8 {
    center: Vec<f32>,
    step: f32,
    /// The inner product of the centre with itself.
    center_inner: f32,
}

/// A code, and what inner products need.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sq8Code {
    /// One byte for each dimension.
    pub codes: Vec<i8>,
    /// The inner product of the centre with the vector less the centre.
    pub offset: f32,
}

/// A view of a code.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sq8CodeRef<'a> {
    /// One byte for each dimension.
    pub codes: &'a [i8],
    /// The inner product of the centre with the vector less the centre.
    pub offset: f32,
}

/// Writes the codes of numbers, with centres and a step that are not in a quantiser, as far as there are numbers, centres
/// and room; returns the offset.
pub fn encode_numbers(
    numbers: impl Iterator<Item = f32>,
    center: &[f32],
    step: f32,
    codes: &mut [i8],
) -> f32 {
    let mut offset = 0f64;
    for ((code, x), &center) in codes.iter_mut().zip(numbers).zip(center) {
        let scaled = round_even(((x - center) / step).clamp(-LIMIT, LIMIT));
        // What is not a number becomes zero.
        *code = scaled as i8;
        offset += f64::from(center) * f64::from(*code);
    }
    (offset * f64::from(step)) as f32
}

impl Sq8Code {
    /// A view.
    pub fn as_ref(&self) -> Sq8CodeRef<'_> {
        Sq8CodeRef { codes: &self.codes, offset: self.offset }
    }
}

impl Sq8 {
    /// Chooses centres and step by a sample of vectors, of which at least a few hundred are of use. Vectors that are not
    /// finite do not count, and for the centres those that are far longer than others.
    ///
    /// # Errors
    /// [`Error::NoDimensions`], [`Error::UnexpectedDimensions`], [`Error::OutOfMemory`].
    pub fn train<'a>(
        sample: impl IntoIterator<Item = &'a [f32], IntoIter: Clone>,
        dimensions: usize,
    ) -> Result<Self> {
        if dimensions == 0 {
            return Err(Error::NoDimensions { kind: VectorKind::Vector });
        }
        let sample = sample.into_iter();
        sample.clone().try_for_each(|vector| check_length(dimensions, vector))?;
        let center = super::center(sample.clone(), dimensions)?;
        let usable = |vector: &&[f32]| vector.iter().all(|x| x.is_finite());
        let count = sample.clone().filter(usable).count();

        let mut distances: Vec<f32> = Vec::new();
        distances.try_reserve_exact(count.checked_mul(dimensions).ok_or(Error::OutOfMemory)?)?;
        for vector in sample.filter(usable) {
            distances.extend(vector.iter().zip(&center).map(|(x, c)| (x - c).abs()));
        }
        let mut range = 0.0;
        if !distances.is_empty() {
            let place = ((distances.len() - 1) as f64 * COVERED) as usize;
            range = *distances.select_nth_unstable_by(place, f32::total_cmp).1;
            if range == 0.0 {
                range = distances.iter().copied().fold(0.0, f32::max);
            }
        }
        // Without any spread, any step will do.
        let step = range / LIMIT;
        Self::from_parts(center, if step.is_normal() { step } else { 1.0 / LIMIT })
    }

    /// A quantiser from its centre and step, as they were stored.
    ///
    /// # Errors
    /// [`Error::NoDimensions`]; [`Error::InvalidOption`] if the step is not a positive number or the centre not finite.
    pub fn from_parts(center: Vec<f32>, step: f32) -> Result<Self> {
        if center.is_empty() {
            return Err(Error::NoDimensions { kind: VectorKind::Vector });
        }
        if !(step.is_normal() && step > 0.0) || center.iter().any(|x| !x.is_finite()) {
            return Err(Error::InvalidOption {
                name: "step",
                allowed: "positive, around a finite centre",
            });
        }
        let center_inner = kernels::detect().inner(&center, &center);
        Ok(Self { center, step, center_inner })
    }

    /// How many dimensions vectors have.
    pub fn dimensions(&self) -> usize {
        self.center.len()
    }

    /// The middle of the range of each dimension.
    pub fn center(&self) -> &[f32] {
        &self.center
    }

    /// What a difference of one between codes stands for. A coordinate within the range is wrong by half of it at most.
    pub const fn step(&self) -> f32 {
        self.step
    }

    /// The code of a vector.
    ///
    /// # Errors
    /// [`Error::UnexpectedDimensions`], [`Error::OutOfMemory`].
    pub fn encode(&self, vector: &[f32]) -> Result<Sq8Code> {
        check_length(self.dimensions(), vector)?;
        let mut codes = Vec::new();
        codes.try_reserve_exact(vector.len())?;
        codes.resize(vector.len(), 0);
        let offset = self.encode_into(vector, &mut codes)?;
        Ok(Sq8Code { codes, offset })
    }

    /// As [`Sq8::encode`], to where there is room already; returns the offset.
    ///
    /// # Errors
    /// [`Error::UnexpectedDimensions`], also if the room is not for as many dimensions.
    pub fn encode_into(&self, vector: &[f32], codes: &mut [i8]) -> Result<f32> {
        check_length(self.dimensions(), vector)?;
        if codes.len() != vector.len() {
            let (expected, found) = (vector.len() as u32, codes.len() as u32);
            return Err(Error::UnexpectedDimensions { expected, found });
        }
        Ok(encode_numbers(vector.iter().copied(), &self.center, self.step, codes))
    }

    /// The vector that a code stands for.
    ///
    /// # Errors
    /// [`Error::UnexpectedDimensions`], [`Error::OutOfMemory`].
    pub fn decode(&self, codes: &[i8]) -> Result<Vec<f32>> {
        if codes.len() != self.dimensions() {
            let (expected, found) = (self.dimensions() as u32, codes.len() as u32);
            return Err(Error::UnexpectedDimensions { expected, found });
        }
        let mut vector = Vec::new();
        vector.try_reserve_exact(codes.len())?;
        let pairs = codes.iter().zip(&self.center);
        vector.extend(pairs.map(|(&code, center)| center + f32::from(code) * self.step));
        Ok(vector)
    }

    /// The squared Euclidean distance of what two codes stand for.
    #[inline]
    pub fn l2_squared(&self, a: Sq8CodeRef<'_>, b: Sq8CodeRef<'_>) -> f32 {
        self.step * self.step * kernels::detect().l2_squared_i8(a.codes, b.codes) as f32
    }

    /// The inner product of what two codes stand for.
    #[inline]
    pub fn inner_product(&self, a: Sq8CodeRef<'_>, b: Sq8CodeRef<'_>) -> f32 {
        let inner = kernels::detect().inner_i8(a.codes, b.codes) as f32;
        self.step * self.step * inner + a.offset + b.offset + self.center_inner
    }
}

fn check_length(expected: usize, vector: &[f32]) -> Result<()> {
    if vector.len() != expected {
        let (expected, found) = (expected as u32, vector.len() as u32);
        return Err(Error::UnexpectedDimensions { expected, found });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A coordinate is wrong by half a step at most, but for those few that are cut off; distances are those of
        /// what the codes stand for.
        #[test]
        fn codes_are_near(numbers in proptest::collection::vec(-10f32..10.0, 16 * 20), shift in -100f32..100.0) {
            let numbers: Vec<f32> = numbers.iter().map(|x| x + shift).collect();
            let vectors = numbers.chunks(16);
            let quantizer = Sq8::train(vectors.clone(), 16).unwrap();
            let range = quantizer.step() * LIMIT;
            for (a, b) in vectors.clone().zip(vectors.skip(1)) {
                let (x, y) = (quantizer.encode(a).unwrap(), quantizer.encode(b).unwrap());
                let (p, q) = (quantizer.decode(&x.codes).unwrap(), quantizer.decode(&y.codes).unwrap());
                for ((original, decoded), center) in a.iter().zip(&p).zip(quantizer.center()) {
                    let off = (original - decoded).abs();
                    let beyond = ((original - center).abs() - range).max(0.0);
                    prop_assert!(off <= quantizer.step() * 0.5001 + beyond + 1e-4, "{off}");
                }
                let exact = kernels::scalar().l2_squared(&p, &q);
                let distance = quantizer.l2_squared(x.as_ref(), y.as_ref());
                prop_assert!((distance - exact).abs() <= exact.abs() * 1e-3 + 1e-3);
                let exact = kernels::scalar().inner(&p, &q);
                let inner = quantizer.inner_product(x.as_ref(), y.as_ref());
                prop_assert!((inner - exact).abs() <= exact.abs() * 1e-4 + 0.1, "{inner} {exact}");
            }
        }

        #[test]
        fn any_numbers(bits in proptest::collection::vec(any::<u32>(), 4 * 5)) {
            let numbers: Vec<f32> = bits.into_iter().map(f32::from_bits).collect();
            match Sq8::train(numbers.chunks(4), 4) {
                Ok(quantizer) => {
                    for vector in numbers.chunks(4) {
                        let code = quantizer.encode(vector).unwrap();
                        prop_assert!(code.codes.iter().all(|&c| c >= -127));
                    }
                }
                Err(error) => prop_assert_eq!(error.class().sqlstate(), "22023"),
            }
        }
    }

    #[test]
    fn without_spread() {
        let quantizer = Sq8::train([&[2.0, 3.0][..]; 4], 2).unwrap();
        assert_eq!(
            quantizer.decode(&quantizer.encode(&[2.0, 3.0]).unwrap().codes).unwrap(),
            [2.0, 3.0]
        );
        assert!(Sq8::train(core::iter::empty::<&[f32]>(), 2).is_ok());
        assert!(Sq8::train([&[1.0][..]], 2).is_err());
        assert!(quantizer.encode(&[1.0]).is_err() && quantizer.decode(&[1]).is_err());
        assert!(Sq8::from_parts(alloc::vec![1.0], f32::NAN).is_err());
    }
}
