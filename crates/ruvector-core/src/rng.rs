//! Random numbers that are the same for the same seed, on every host.

/// A source of random numbers.
pub trait Random {
    /// Sixty-four random bits.
    fn next_u64(&mut self) -> u64;

    /// A number from 0 up to, but not including, 1.
    fn next_f64(&mut self) -> f64 {
        // As many bits as double precision has.
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// A whole number below `bound`; 0 if the bound is 0.
    fn below(&mut self, bound: u64) -> u64 {
        // The upper half of a product: even but for 2^-64 times the bound (Lemire 2019, without the rejection).
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }
}

impl<R: Random + ?Sized> Random for &mut R {
    fn next_u64(&mut self) -> u64 {
        (**self).next_u64()
    }
}

/// SplitMix64 (Steele, Lea and Flood, Fast splittable pseudorandom number generators, 2014). Not for secrets.
///
/// ```
/// use ruvector_core::rng::{Random, SplitMix64};
///
/// let mut random = SplitMix64::new(7);
/// assert_eq!(random.next_u64(), SplitMix64::new(7).next_u64());
/// assert!(random.below(10) < 10);
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    /// Starts at a seed; any will do.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// What [`SplitMix64::new`] takes to go on from here.
    pub const fn state(&self) -> u64 {
        self.state
    }
}

impl Random for SplitMix64 {
    fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that the authors' program prints for the seed 1234567.
    #[test]
    fn known_numbers() {
        let mut random = SplitMix64::new(1_234_567);
        for expected in [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ] {
            assert_eq!(random.next_u64(), expected);
        }
    }

    #[test]
    fn ranges() {
        let mut random = SplitMix64::new(0);
        let mut seen = [0; 3];
        for _ in 0..3000 {
            assert!((0.0..1.0).contains(&random.next_f64()));
            seen[random.below(3) as usize] += 1;
        }
        assert!(seen.iter().all(|&count| (900..1100).contains(&count)), "{seen:?}");
        assert_eq!(random.below(0), 0);
    }
}
