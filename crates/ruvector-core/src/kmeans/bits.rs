//! Clusters of bit vectors, by the number of bits that differ.

use alloc::vec::Vec;

use super::{Options, zeros};
use crate::error::{Error, Result};
use crate::kernels;
use crate::rng::Random;

/// Clusters of bit vectors.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BitClustering {
    bytes: usize,
    centers: Vec<u8>,
    assignments: Vec<u32>,
}

impl BitClustering {
    /// The centres, one after the other: each bit is what most of the cluster's vectors have.
    pub fn centers(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.centers.chunks_exact(self.bytes)
    }

    /// For each vector, which centre is nearest.
    pub fn assignments(&self) -> &[u32] {
        &self.assignments
    }
}

/// Clusters vectors of so many bits, as [`super::cluster`] does it with numbers. Each starts at a byte of its own; places
/// after its last bit are zero.
///
/// # Errors
/// As [`super::cluster`].
///
/// ```
/// use ruvector_core::Error;
/// use ruvector_core::kmeans::{Options, cluster_bits};
/// use ruvector_core::rng::SplitMix64;
///
/// let vectors = [0b0000_0001, 0b1111_1111, 0b0000_0010, 0b1111_0111];
/// let found =
///     cluster_bits(&vectors, 8, Options::new(2), &mut SplitMix64::new(1), || Ok::<_, Error>(()))?;
/// assert_eq!(found.assignments()[0], found.assignments()[2]);
/// assert_ne!(found.assignments()[0], found.assignments()[1]);
/// # Ok::<(), ruvector_core::Error>(())
/// ```
pub fn cluster_bits<E: From<Error>>(
    vectors: &[u8],
    bits: u32,
    options: Options,
    random: &mut impl Random,
    mut interrupted: impl FnMut() -> Result<(), E>,
) -> Result<BitClustering, E> {
    let bytes = bits.div_ceil(8) as usize;
    if bytes == 0 {
        return Err(Error::InvalidOption { name: "bits", allowed: "at least 1" }.into());
    }
    if vectors.is_empty() || !vectors.len().is_multiple_of(bytes) {
        let allowed = "a number of whole vectors, at least one";
        return Err(Error::InvalidOption { name: "vectors", allowed }.into());
    }
    if options.clusters == 0 || options.clusters > u32::MAX as usize {
        return Err(Error::InvalidOption { name: "clusters", allowed: "at least 1" }.into());
    }
    let mut state = Lloyd::new(vectors, bits as usize, options.clusters)?;
    state.seed(random, &mut interrupted)?;
    state.assign_all(&mut interrupted)?;
    for _ in 0..options.iterations {
        state.move_centers(random);
        if state.reassign(&mut interrupted)? <= options.settled {
            break;
        }
    }
    let Lloyd { centers, assignments, .. } = state;
    Ok(BitClustering { bytes, centers, assignments })
}

struct Lloyd<'a> {
    vectors: &'a [u8],
    bits: usize,
    bytes: usize,
    centers: Vec<u8>,
    assignments: Vec<u32>,
    /// For each centre and bit, how many of its vectors have it.
    ones: Vec<u32>,
    counts: Vec<u32>,
}

impl<'a> Lloyd<'a> {
    fn new(vectors: &'a [u8], bits: usize, clusters: usize) -> Result<Self> {
        let bytes = bits.div_ceil(8);
        Ok(Self {
            vectors,
            bits,
            bytes,
            centers: zeros(clusters.checked_mul(bytes).ok_or(Error::OutOfMemory)?)?,
            assignments: zeros(vectors.len() / bytes)?,
            ones: zeros(clusters.checked_mul(bits).ok_or(Error::OutOfMemory)?)?,
            counts: zeros(clusters)?,
        })
    }

    fn vector(&self, place: usize) -> &'a [u8] {
        &self.vectors[place * self.bytes..][..self.bytes]
    }

    fn distance(&self, vector: usize, center: usize) -> u64 {
        let center = &self.centers[center * self.bytes..][..self.bytes];
        kernels::detect().hamming(self.vector(vector), center)
    }

    fn set_center(&mut self, place: usize, vector: usize) {
        let vector = self.vector(vector);
        self.centers[place * self.bytes..][..self.bytes].copy_from_slice(vector);
    }

    /// As for numbers: drawn with a chance in proportion to the square of the distance from the centres so far.
    fn seed<E: From<Error>>(
        &mut self,
        random: &mut impl Random,
        interrupted: &mut impl FnMut() -> Result<(), E>,
    ) -> Result<(), E> {
        let count = self.assignments.len();
        self.set_center(0, random.below(count as u64) as usize);
        let mut nearest: Vec<u64> = zeros(count)?;
        nearest.fill(u64::MAX);
        for next in 1..self.counts.len() {
            interrupted()?;
            let mut total = 0f64;
            for (vector, nearest) in nearest.iter_mut().enumerate() {
                *nearest = self.distance(vector, next - 1).min(*nearest);
                total += (*nearest as f64) * (*nearest as f64);
            }
            let mut rest = random.next_f64() * total;
            let chosen = nearest.iter().position(|&distance| {
                rest -= (distance as f64) * (distance as f64);
                rest < 0.0
            });
            match chosen {
                Some(vector) => self.set_center(next, vector),
                // All vectors are centres already.
                None => self.random_center(next, random),
            }
        }
        Ok(())
    }

    /// A random vector with one other bit.
    fn random_center(&mut self, place: usize, random: &mut impl Random) {
        self.set_center(place, random.below(self.assignments.len() as u64) as usize);
        let bit = random.below(self.bits as u64) as usize;
        self.centers[place * self.bytes + bit / 8] ^= 0x80 >> (bit % 8);
    }

    /// Adds a vector to a cluster, or takes it away.
    fn take(&mut self, vector: usize, cluster: u32, add: bool) {
        let cluster = cluster as usize;
        let change = |count: &mut u32, by: u32| {
            *count = if add { count.wrapping_add(by) } else { count.wrapping_sub(by) };
        };
        change(&mut self.counts[cluster], 1);
        let vector = &self.vectors[vector * self.bytes..][..self.bytes];
        let ones = &mut self.ones[cluster * self.bits..][..self.bits];
        for (ones, byte) in ones.chunks_mut(8).zip(vector) {
            for (place, ones) in ones.iter_mut().enumerate() {
                change(ones, u32::from(byte >> (7 - place) & 1));
            }
        }
    }

    /// The nearest centre: the first, or one that is known, if several are as near.
    fn nearest(&self, vector: usize, known: u32) -> u32 {
        let (mut nearest, mut distance) = (known, self.distance(vector, known as usize));
        for center in 0..self.counts.len() {
            let d = self.distance(vector, center);
            if d < distance {
                (nearest, distance) = (center as u32, d);
            }
        }
        nearest
    }

    fn assign_all<E>(&mut self, interrupted: &mut impl FnMut() -> Result<(), E>) -> Result<(), E> {
        for vector in 0..self.assignments.len() {
            if vector % 64 == 0 {
                interrupted()?;
            }
            let nearest = self.nearest(vector, 0);
            self.assignments[vector] = nearest;
            self.take(vector, nearest, true);
        }
        Ok(())
    }

    /// Gives each centre the bits that more than half of its vectors have, and a new one where a cluster is empty.
    fn move_centers(&mut self, random: &mut impl Random) {
        for cluster in 0..self.counts.len() {
            let count = u64::from(self.counts[cluster]);
            if count == 0 {
                self.random_center(cluster, random);
                continue;
            }
            let ones = &self.ones[cluster * self.bits..][..self.bits];
            let center = &mut self.centers[cluster * self.bytes..][..self.bytes];
            for (byte, ones) in center.iter_mut().zip(ones.chunks(8)) {
                *byte = ones.iter().enumerate().fold(0, |byte, (place, &ones)| {
                    byte | (u8::from(2 * u64::from(ones) > count) << (7 - place))
                });
            }
        }
    }

    fn reassign<E>(&mut self, interrupted: &mut impl FnMut() -> Result<(), E>) -> Result<usize, E> {
        let mut changed = 0;
        for vector in 0..self.assignments.len() {
            if vector % 64 == 0 {
                interrupted()?;
            }
            let cluster = self.assignments[vector];
            let nearest = self.nearest(vector, cluster);
            if nearest != cluster {
                self.assignments[vector] = nearest;
                self.take(vector, cluster, false);
                self.take(vector, nearest, true);
                changed += 1;
            }
        }
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SplitMix64;

    fn run(vectors: &[u8], bits: u32, clusters: usize) -> BitClustering {
        let random = &mut SplitMix64::new(7);
        cluster_bits::<Error>(vectors, bits, Options::new(clusters), random, || Ok(())).unwrap()
    }

    /// Words of forty bits that differ from one of four in at most two places.
    fn words() -> Vec<u8> {
        let mut random = SplitMix64::new(1);
        let mut vectors = Vec::new();
        for place in 0..200 {
            let mut word = [[0u8; 5], [0xff; 5], [0xf0; 5], [0x0f; 5]][place % 4];
            for _ in 0..2 {
                let bit = random.below(40) as usize;
                word[bit / 8] ^= 0x80 >> (bit % 8);
            }
            vectors.extend(word);
        }
        vectors
    }

    #[test]
    fn finds_groups_and_their_majorities() {
        let vectors = words();
        let found = run(&vectors, 40, 4);
        for (place, assignment) in found.assignments().iter().enumerate() {
            assert_eq!(*assignment, found.assignments()[place % 4]);
        }
        let mut centers: Vec<&[u8]> = found.centers().collect();
        centers.sort_unstable();
        assert_eq!(centers, [[0u8; 5], [0x0f; 5], [0xf0; 5], [0xff; 5]]);
        assert_eq!(found, run(&vectors, 40, 4));
    }

    #[test]
    fn every_vector_is_with_its_nearest_centre() {
        let vectors = words();
        for clusters in [1, 2, 3, 9, 50] {
            let found = run(&vectors, 40, clusters);
            let distance = |a: &[u8], b: &[u8]| kernels::scalar().hamming(a, b);
            let centers: Vec<&[u8]> = found.centers().collect();
            for (vector, &assigned) in vectors.chunks(5).zip(found.assignments()) {
                let least = centers.iter().map(|center| distance(vector, center)).min();
                assert_eq!(Some(distance(vector, centers[assigned as usize])), least);
            }
        }
    }

    #[test]
    fn more_clusters_than_vectors() {
        let found = run(&[0b1010_0000; 3], 3, 20);
        assert_eq!(found.centers().len(), 20);
        assert!(found.centers().all(|center| center[0] & 0x1f == 0), "no bits after the last");
        assert!(found.centers().any(|center| center[0] == 0b1010_0000));
    }

    #[test]
    fn errors() {
        let cluster = |vectors: &[u8], bits, clusters| {
            let random = &mut SplitMix64::new(0);
            cluster_bits::<Error>(vectors, bits, Options::new(clusters), random, || Ok(()))
                .unwrap_err()
        };
        assert_eq!(cluster(&[1], 0, 1).class().sqlstate(), "22023");
        assert_eq!(cluster(&[1], 9, 1).class().sqlstate(), "22023");
        assert_eq!(cluster(&[], 8, 1).class().sqlstate(), "22023");
        assert_eq!(cluster(&[1], 8, 0).class().sqlstate(), "22023");
        let random = &mut SplitMix64::new(0);
        let stop = cluster_bits(&[1, 2], 8, Options::new(2), random, || Err(Error::IndexFull))
            .unwrap_err();
        assert_eq!(stop, Error::IndexFull);
    }
}
