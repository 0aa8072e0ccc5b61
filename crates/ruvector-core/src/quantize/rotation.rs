//! A random rotation in `n log n` steps.

use alloc::vec::Vec;

use crate::error::Result;
use crate::rng::{Random, SplitMix64};

/// Rounds of the rotation: three make the coordinates of any vector as good as independent (Ailon and Chazelle, The fast
/// Johnson-Lindenstrauss transform, 2009), and one more is for the blocks that overlap.
const ROUNDS: usize = 4;

/// An orthogonal transformation, drawn at random.
///
/// In each round signs are flipped at random, then a block whose length is a power of two goes through the
/// Walsh-Hadamard transformation: by turns the first and the last such block. If that is not all, both halves are mixed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rotation {
    length: usize,
    block: usize,
    /// For each round, a bit for each coordinate.
    signs: Vec<u64>,
}

impl Rotation {
    /// A rotation of vectors of `length` coordinates, a multiple of 64.
    pub(super) fn new(length: usize, seed: u64) -> Result<Self> {
        let words = ROUNDS * length.div_ceil(64);
        let mut random = SplitMix64::new(seed);
        let mut signs = Vec::new();
        signs.try_reserve_exact(words)?;
        signs.extend((0..words).map(|_| random.next_u64()));
        let block = 1usize << (usize::BITS - 1 - length.max(1).leading_zeros());
        Ok(Self { length, block, signs })
    }

    /// Rotates a vector in place. Lengths and angles stay as they are.
    pub(super) fn apply(&self, vector: &mut [f32]) {
        debug_assert_eq!(vector.len(), self.length);
        let scale = 1.0 / crate::math::sqrt(self.block as f64) as f32;
        let words = self.length.div_ceil(64);
        for (round, signs) in self.signs.chunks_exact(words).enumerate() {
            for (part, &word) in vector.chunks_mut(64).zip(signs) {
                for (place, element) in part.iter_mut().enumerate() {
                    let sign = (word >> place & 1) as u32;
                    *element = f32::from_bits(element.to_bits() ^ sign << 31);
                }
            }
            let start = if round % 2 == 0 { 0 } else { self.length - self.block };
            let block = &mut vector[start..start + self.block];
            hadamard(block);
            block.iter_mut().for_each(|element| *element *= scale);
            if self.block < self.length {
                let (left, right) = vector.split_at_mut(self.length / 2);
                for (a, b) in left.iter_mut().zip(right) {
                    let half = core::f32::consts::FRAC_1_SQRT_2;
                    (*a, *b) = ((*a + *b) * half, (*a - *b) * half);
                }
            }
        }
    }
}

/// The Walsh-Hadamard transformation, not scaled; the length is a power of two.
fn hadamard(vector: &mut [f32]) {
    let mut half = 1;
    while half < vector.len() {
        for pair in vector.chunks_exact_mut(2 * half) {
            let (left, right) = pair.split_at_mut(half);
            for (a, b) in left.iter_mut().zip(right) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels;
    use alloc::vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lengths_and_angles_stay(words in 1usize..14, seed: u64, at in 0usize..64) {
            let length = words * 64;
            let rotation = Rotation::new(length, seed).unwrap();
            let mut random = SplitMix64::new(seed);
            let a: Vec<f32> = (0..length).map(|_| random.next_f64() as f32 - 0.5).collect();
            // The hardest to spread: a single coordinate.
            let mut b = vec![0.0; length];
            b[at] = 1.0;
            let (mut x, mut y) = (a.clone(), b.clone());
            rotation.apply(&mut x);
            rotation.apply(&mut y);
            let inner = |a: &[f32], b: &[f32]| kernels::scalar().inner(a, b);
            prop_assert!((inner(&x, &x) - inner(&a, &a)).abs() < 1e-4 * inner(&a, &a));
            prop_assert!((inner(&y, &y) - 1.0).abs() < 1e-4);
            prop_assert!((inner(&x, &y) - inner(&a, &b)).abs() < 1e-4);
            let largest = y.iter().fold(0f32, |most, element| most.max(element.abs()));
            prop_assert!(length < 256 || largest < 0.5, "{largest}");
        }
    }
}
