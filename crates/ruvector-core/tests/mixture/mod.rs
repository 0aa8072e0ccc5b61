//! Data for tests and measurements: a mixture of normal distributions, the same for the same seed.

use ruvector_core::rng::{Random, SplitMix64};

/// Centres within a cube, and vectors around them; centres are of different size, as clusters of real data are.
pub(crate) struct Mixture {
    centers: Vec<Vec<f32>>,
    random: SplitMix64,
}

impl Mixture {
    pub(crate) fn new(dimensions: usize, centers: usize, seed: u64) -> Self {
        let mut random = SplitMix64::new(seed);
        let mut center = |_| (0..dimensions).map(|_| normal(&mut random) * 2.0).collect();
        let centers = (0..centers).map(&mut center).collect();
        Self { centers, random }
    }

    pub(crate) fn sample(&mut self, count: usize) -> Vec<Vec<f32>> {
        (0..count).map(|_| self.vector()).collect()
    }

    fn vector(&mut self) -> Vec<f32> {
        // The square of an even number: half of all vectors are in a quarter of the clusters and so on.
        let share = self.random.next_f64();
        let center = (share * share * self.centers.len() as f64) as usize;
        let random = &mut self.random;
        self.centers[center].iter().map(|&x| x + normal(random)).collect()
    }
}

/// A normally distributed number (Box and Muller 1958).
fn normal(random: &mut SplitMix64) -> f32 {
    let radius = (-2.0 * (1.0 - random.next_f64()).ln()).sqrt();
    (radius * (random.next_f64() * std::f64::consts::TAU).cos()) as f32
}
