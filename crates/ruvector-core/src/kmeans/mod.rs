//! K-means clustering of dense vectors.
//!
//! Centres are chosen with k-means++ (Arthur and Vassilvitskii, k-means++: The Advantages of Careful Seeding, 2007), and
//! improved by Lloyd's iteration. Bounds after Hamerly (Making k-means even faster, 2010) and balls around centres after
//! Newling and Fleuret (Fast k-means with accurate bounds, 2016) give the same result with fewer distances.

mod bits;

use alloc::vec::Vec;

pub use self::bits::{BitClustering, cluster_bits};

use crate::error::{Error, Result};
use crate::kernels;
use crate::math::sqrt;
use crate::rng::Random;

/// How to cluster.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Options {
    /// Clusters; at least one.
    pub clusters: usize,
    /// Iterations at most, 500 unless said otherwise.
    pub iterations: usize,
    /// It ends when no more vectors than these change their cluster, none unless said otherwise.
    pub settled: usize,
    /// Centres are unit vectors: for vectors that are unit vectors and compared by their angle.
    pub spherical: bool,
}

impl Options {
    /// So many clusters, by Euclidean distance.
    pub const fn new(clusters: usize) -> Self {
        Self { clusters, iterations: 500, settled: 0, spherical: false }
    }

    /// With unit vectors as centres.
    #[must_use]
    pub const fn spherical(mut self) -> Self {
        self.spherical = true;
        self
    }

    /// Ends when no more vectors than these change their cluster: the last ones to change hardly move a centre.
    #[must_use]
    pub const fn settled(mut self, vectors: usize) -> Self {
        self.settled = vectors;
        self
    }

    /// With so many iterations at most.
    #[must_use]
    pub const fn iterations(mut self, iterations: usize) -> Self {
        self.iterations = iterations;
        self
    }
}

/// Clusters.
#[derive(Clone, Debug, PartialEq)]
pub struct Clustering {
    dimensions: usize,
    centers: Vec<f32>,
    assignments: Vec<u32>,
    iterations: usize,
    converged: bool,
}

impl Clustering {
    /// The centres, one after the other.
    pub fn centers(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.centers.chunks_exact(self.dimensions)
    }

    /// For each vector, which centre is nearest.
    pub fn assignments(&self) -> &[u32] {
        &self.assignments
    }

    /// How many iterations it took.
    pub const fn iterations(&self) -> usize {
        self.iterations
    }

    /// Was the last iteration one that changed nothing, or no more than [`Options::settled`] allows?
    pub const fn converged(&self) -> bool {
        self.converged
    }
}

/// Clusters vectors, which stand one after the other in `vectors`.
///
/// The same vectors, options and random numbers give the same clusters on every host. If there are fewer different
/// vectors than clusters, the remaining centres are random, near to vectors. `interrupted` is called often enough to stop
/// a long computation: its error ends it.
///
/// # Errors
/// [`Error::NoDimensions`], [`Error::InvalidOption`] if the numbers are not a whole number of vectors or there is no
/// vector or cluster, [`Error::OutOfMemory`], or what `interrupted` returns.
///
/// ```
/// use ruvector_core::Error;
/// use ruvector_core::kmeans::{Options, cluster};
/// use ruvector_core::rng::SplitMix64;
///
/// let vectors = [0.0, 0.1, 0.2, 9.0, 9.1, 9.2];
/// let found =
///     cluster(&vectors, 1, Options::new(2), &mut SplitMix64::new(1), || Ok::<_, Error>(()))?;
/// assert_eq!(found.assignments()[0], found.assignments()[2]);
/// assert_ne!(found.assignments()[0], found.assignments()[3]);
/// # Ok::<(), ruvector_core::Error>(())
/// ```
pub fn cluster<E: From<Error>>(
    vectors: &[f32],
    dimensions: usize,
    options: Options,
    random: &mut impl Random,
    mut interrupted: impl FnMut() -> Result<(), E>,
) -> Result<Clustering, E> {
    if dimensions == 0 {
        return Err(Error::NoDimensions { kind: crate::VectorKind::Vector }.into());
    }
    if vectors.is_empty() || !vectors.len().is_multiple_of(dimensions) {
        let allowed = "a number of whole vectors, at least one";
        return Err(Error::InvalidOption { name: "vectors", allowed }.into());
    }
    if options.clusters == 0 || options.clusters > u32::MAX as usize {
        return Err(Error::InvalidOption { name: "clusters", allowed: "at least 1" }.into());
    }
    let mut state = Lloyd::new(vectors, dimensions, options)?;
    state.seed(random, &mut interrupted)?;
    let (mut iterations, mut converged) = (0, false);
    while iterations < options.iterations && !converged {
        iterations += 1;
        state.move_centers(random, &mut interrupted)?;
        converged = state.reassign(&mut interrupted)? <= options.settled;
    }
    let Lloyd { centers, assignments, .. } = state;
    Ok(Clustering { dimensions, centers, assignments, iterations, converged })
}

/// Zeros, if there is memory for them.
fn zeros<T: Clone + Default>(count: usize) -> Result<Vec<T>> {
    let mut vector = Vec::new();
    vector.try_reserve_exact(count)?;
    vector.resize(count, T::default());
    Ok(vector)
}

/// The state of the iteration, with bounds for each vector that spare the comparison with all centres.
struct Lloyd<'a> {
    vectors: &'a [f32],
    dimensions: usize,
    spherical: bool,
    centers: Vec<f32>,
    assignments: Vec<u32>,
    /// At most so far from the centre it is assigned to.
    upper: Vec<f32>,
    /// At least so far from every other centre.
    lower: Vec<f32>,
    /// For each centre, the nearest other ones.
    neighbors: Neighbors,
    /// How far each centre moved last.
    moved: Vec<f32>,
    sums: Vec<f64>,
    counts: Vec<u64>,
}

impl<'a> Lloyd<'a> {
    fn new(vectors: &'a [f32], dimensions: usize, options: Options) -> Result<Self> {
        let count = vectors.len() / dimensions;
        let size = options.clusters.checked_mul(dimensions).ok_or(Error::OutOfMemory)?;
        Ok(Self {
            vectors,
            dimensions,
            spherical: options.spherical,
            centers: zeros(size)?,
            assignments: zeros(count)?,
            upper: zeros(count)?,
            lower: zeros(count)?,
            neighbors: Neighbors::new(options.clusters)?,
            moved: zeros(options.clusters)?,
            sums: zeros(size)?,
            counts: zeros(options.clusters)?,
        })
    }

    fn clusters(&self) -> usize {
        self.counts.len()
    }

    fn vector(&self, place: usize) -> &'a [f32] {
        &self.vectors[place * self.dimensions..][..self.dimensions]
    }

    fn center(&self, place: usize) -> &[f32] {
        &self.centers[place * self.dimensions..][..self.dimensions]
    }

    fn distance(&self, vector: usize, center: usize) -> f32 {
        let squared = kernels::detect().l2_squared(self.vector(vector), self.center(center));
        sqrt(f64::from(squared)) as f32
    }

    fn set_center(&mut self, place: usize, vector: &[f32]) {
        let spherical = self.spherical;
        let center = &mut self.centers[place * self.dimensions..][..self.dimensions];
        center.copy_from_slice(vector);
        if spherical {
            normalize(center);
        }
    }

    /// The first centre is any vector; the next ones are drawn with a chance in proportion to the square of the
    /// distance from the centres so far. Every vector is then with its nearest centre.
    fn seed<E: From<Error>>(
        &mut self,
        random: &mut impl Random,
        interrupted: &mut impl FnMut() -> Result<(), E>,
    ) -> Result<(), E> {
        let count = self.assignments.len();
        let mut weights: Vec<f64> = zeros(count)?;
        weights.fill(f64::INFINITY);
        let mut from_new: Vec<f64> = zeros(self.clusters())?;
        for next in 0..self.clusters() {
            interrupted()?;
            if next == 0 {
                let first = random.below(count as u64) as usize;
                self.set_center(0, self.vector(first));
            } else {
                let mut rest = random.next_f64() * weights.iter().sum::<f64>();
                let chosen = weights.iter().position(|weight| {
                    rest -= weight;
                    rest < 0.0
                });
                match chosen {
                    Some(chosen) => self.set_center(next, self.vector(chosen)),
                    // All vectors are centres already.
                    None => self.random_center(next, random),
                }
            }
            for (before, from_new) in from_new.iter_mut().enumerate().take(next) {
                let squared = kernels::detect().l2_squared(self.center(next), self.center(before));
                *from_new = f64::from(squared);
            }
            for (vector, weight) in weights.iter_mut().enumerate() {
                // By the triangle inequality; what is not a number never is above.
                let assigned = self.assignments[vector] as usize;
                if from_new[assigned] * (1.0 - 1e-5) > 4.0 * *weight {
                    continue;
                }
                let squared = kernels::detect().l2_squared(self.vector(vector), self.center(next));
                // An overflow is far, and what is not a number is never chosen for it.
                let squared = f64::from(squared).min(f64::from(f32::MAX));
                if squared.is_nan() {
                    *weight = 0.0;
                } else if squared < *weight {
                    *weight = squared;
                    self.assignments[vector] = next as u32;
                }
            }
        }
        for (vector, weight) in weights.iter().enumerate() {
            self.upper[vector] = sqrt(*weight) as f32;
            self.take(vector, self.assignments[vector], 1);
        }
        Ok(())
    }

    /// A centre near a random vector.
    fn random_center(&mut self, place: usize, random: &mut impl Random) {
        let vector = random.below(self.assignments.len() as u64) as usize;
        self.set_center(place, self.vector(vector));
        let center = &mut self.centers[place * self.dimensions..][..self.dimensions];
        for element in center.iter_mut() {
            let step = (random.next_f64() - 0.5) as f32 * 1e-3;
            let next = *element + step * element.abs().max(1e-3);
            if next.is_finite() {
                *element = next;
            }
        }
        if self.spherical {
            normalize(center);
        }
    }

    /// The nearest centre and its distance, and the distance of the next one, where the vector is so far from a centre.
    fn nearest(&self, vector: usize, from: u32, far: f32) -> (u32, f32, f32) {
        let (mut nearest, mut distance, mut next) = (from, far, f32::INFINITY);
        let mut look = |center: u32| {
            let d = self.distance(vector, center as usize);
            if d < distance {
                (nearest, distance, next) = (center, d, distance);
            } else if d < next {
                next = d;
            }
        };
        // The nearest two are in a ball around the centre: its radius is that of the ball around the vector that has the
        // centre and its neighbour in it, and the way to the vector.
        let neighbors = self.neighbors.of(from);
        let gap = neighbors.first().map_or(f32::INFINITY, |&(distance, _)| distance);
        let radius = (2.0 * far + gap) * (1.0 + 1e-5);
        match neighbors.iter().position(|&(distance, _)| distance > radius) {
            Some(count) => neighbors[..count].iter().for_each(|&(_, center)| look(center)),
            None => (0..self.clusters() as u32).filter(|&c| c != from).for_each(look),
        }
        (nearest, distance, next)
    }

    /// Adds a vector to a cluster's sum, or takes it away.
    fn take(&mut self, vector: usize, cluster: u32, sign: i64) {
        let cluster = cluster as usize;
        self.counts[cluster] = self.counts[cluster].saturating_add_signed(sign);
        let sums = &mut self.sums[cluster * self.dimensions..][..self.dimensions];
        let vector = &self.vectors[vector * self.dimensions..][..self.dimensions];
        for (sum, &element) in sums.iter_mut().zip(vector) {
            *sum += f64::from(element) * sign as f64;
        }
    }

    /// Puts each centre in the middle of its cluster, and a new one where a cluster is empty.
    fn move_centers<E: From<Error>>(
        &mut self,
        random: &mut impl Random,
        interrupted: &mut impl FnMut() -> Result<(), E>,
    ) -> Result<(), E> {
        let mut most = 0f32;
        for cluster in 0..self.clusters() {
            let range = cluster * self.dimensions..(cluster + 1) * self.dimensions;
            let count = self.counts[cluster];
            self.moved[cluster] = if count == 0 {
                self.random_center(cluster, random);
                // Anywhere: no bound holds any more.
                f32::INFINITY
            } else {
                let spherical = self.spherical;
                let (sums, center) = (&self.sums[range.clone()], &mut self.centers[range]);
                let mut squared = 0f64;
                let norm =
                    if spherical { sqrt(sums.iter().map(|sum| sum * sum).sum()) } else { 0.0 };
                // A sum of zeros has no direction: its mean is as good as any.
                let divisor = if norm > 0.0 { norm } else { count as f64 };
                for (element, sum) in center.iter_mut().zip(sums) {
                    let next = (sum / divisor) as f32;
                    squared += f64::from(next - *element) * f64::from(next - *element);
                    *element = next;
                }
                // Rounded up, for the bounds to hold.
                (sqrt(squared) as f32).next_up()
            };
            most = most.max(self.moved[cluster]);
        }
        for (vector, &cluster) in self.assignments.iter().enumerate() {
            self.upper[vector] = (self.upper[vector] + self.moved[cluster as usize]).next_up();
            self.lower[vector] = (self.lower[vector] - most).next_down();
        }
        let mut squares: Vec<(f32, u32)> = Vec::new();
        squares.try_reserve_exact(self.clusters()).map_err(Error::from)?;
        for cluster in 0..self.clusters() {
            interrupted()?;
            squares.clear();
            squares.extend((0..self.clusters()).filter(|&other| other != cluster).map(|other| {
                (
                    kernels::detect().l2_squared(self.center(cluster), self.center(other)),
                    other as u32,
                )
            }));
            self.neighbors.set(cluster, &mut squares);
        }
        Ok(())
    }

    /// Assigns each vector to the nearest centre again. How many changed?
    fn reassign<E>(&mut self, interrupted: &mut impl FnMut() -> Result<(), E>) -> Result<usize, E> {
        let mut changed = 0;
        for vector in 0..self.assignments.len() {
            if vector % 256 == 0 {
                interrupted()?;
            }
            let cluster = self.assignments[vector];
            // Distances carry errors of rounding: a hundred thousandth is far more than those.
            let half_gap =
                self.neighbors.of(cluster).first().map_or(f32::INFINITY, |&(gap, _)| gap / 2.0);
            let near = half_gap.max(self.lower[vector]) * (1.0 - 1e-5);
            if self.upper[vector] < near {
                continue;
            }
            self.upper[vector] = self.distance(vector, cluster as usize);
            if self.upper[vector] < near {
                continue;
            }
            let (nearest, distance, next) = self.nearest(vector, cluster, self.upper[vector]);
            self.upper[vector] = distance;
            self.lower[vector] = next;
            if nearest != cluster {
                self.assignments[vector] = nearest;
                self.take(vector, cluster, -1);
                self.take(vector, nearest, 1);
                changed += 1;
            }
        }
        Ok(changed)
    }
}

/// For each centre, the nearest other ones and their distances, the nearest first.
struct Neighbors {
    each: usize,
    all: Vec<(f32, u32)>,
}

impl Neighbors {
    /// More would seldom be of use: where there are many dimensions, balls have either few centres in them or nearly all.
    const MOST: usize = 64;

    fn new(clusters: usize) -> Result<Self> {
        let each = (clusters - 1).min(Self::MOST);
        Ok(Self { each, all: zeros(clusters.checked_mul(each).ok_or(Error::OutOfMemory)?)? })
    }

    fn of(&self, center: u32) -> &[(f32, u32)] {
        &self.all[center as usize * self.each..][..self.each]
    }

    /// From the squares of the distances of all other centres, which are put in another order.
    fn set(&mut self, center: usize, squares: &mut [(f32, u32)]) {
        let order = |a: &(f32, u32), b: &(f32, u32)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        if squares.len() > self.each {
            squares.select_nth_unstable_by(self.each, order);
        }
        let nearest = &mut squares[..self.each];
        nearest.sort_unstable_by(order);
        nearest.iter_mut().for_each(|(square, _)| *square = sqrt(f64::from(*square)) as f32);
        self.all[center * self.each..][..self.each].copy_from_slice(nearest);
    }
}

/// To length one; zeros stay.
fn normalize(vector: &mut [f32]) {
    let norm = crate::distance::l2_norm(&*vector);
    if norm > 0.0 {
        vector.iter_mut().for_each(|element| *element = (f64::from(*element) / norm) as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SplitMix64;
    use alloc::vec;
    use proptest::prelude::*;

    /// Groups around the corners of a square.
    fn square(each: usize) -> Vec<f32> {
        let mut random = SplitMix64::new(3);
        let mut vectors = Vec::new();
        for place in 0..4 * each {
            let corner = [(0.0, 0.0), (10.0, 0.0), (0.0, 10.0), (10.0, 10.0)][place % 4];
            vectors.push(corner.0 + random.next_f64() as f32);
            vectors.push(corner.1 + random.next_f64() as f32);
        }
        vectors
    }

    fn run(vectors: &[f32], dimensions: usize, options: Options, seed: u64) -> Clustering {
        cluster::<Error>(vectors, dimensions, options, &mut SplitMix64::new(seed), || Ok(()))
            .unwrap()
    }

    #[test]
    fn finds_groups() {
        let vectors = square(50);
        for seed in 0..20 {
            let found = run(&vectors, 2, Options::new(4), seed);
            assert!(found.converged());
            for (place, assignment) in found.assignments().iter().enumerate() {
                assert_eq!(*assignment, found.assignments()[place % 4], "seed {seed}");
            }
            assert_eq!(found, run(&vectors, 2, Options::new(4), seed));
        }
    }

    #[test]
    fn spherical_centres_are_unit_vectors() {
        let mut vectors = square(50);
        vectors.chunks_mut(2).for_each(normalize);
        let found = run(&vectors, 2, Options::new(3).spherical(), 5);
        for center in found.centers() {
            assert!((crate::distance::l2_norm(center) - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn more_clusters_than_vectors() {
        let found = run(&[1.0, 2.0, 1.0, 2.0, 1.0, 2.0], 2, Options::new(5).iterations(10), 1);
        assert_eq!(found.centers().len(), 5);
        assert!(found.centers().all(|center| (center[0] - 1.0).abs() < 0.01));
        let zero = run(&[0.0; 8], 2, Options::new(3).spherical().iterations(5), 1);
        assert!(zero.centers().flatten().all(|element| element.is_finite()));
    }

    #[test]
    fn errors() {
        let cluster = |vectors: &[f32], dimensions, clusters| {
            let random = &mut SplitMix64::new(0);
            cluster::<Error>(vectors, dimensions, Options::new(clusters), random, || Ok(()))
                .unwrap_err()
        };
        assert_eq!(cluster(&[1.0], 0, 1), Error::NoDimensions { kind: crate::VectorKind::Vector });
        assert_eq!(cluster(&[1.0], 2, 1).class().sqlstate(), "22023");
        assert_eq!(cluster(&[], 2, 1).class().sqlstate(), "22023");
        assert_eq!(cluster(&[1.0], 1, 0).class().sqlstate(), "22023");
        let stop = super::cluster(&square(5), 2, Options::new(2), &mut SplitMix64::new(0), || {
            Err(Error::IndexFull)
        });
        assert_eq!(stop, Err(Error::IndexFull));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// The bounds change nothing: every vector is with its nearest centre, and every centre in the middle.
        #[test]
        fn a_fixed_point(
            vectors in proptest::collection::vec(-10f32..10.0, 3 * 40), clusters in 1usize..9, seed: u64, spherical: bool,
        ) {
            let mut vectors = vectors;
            let mut options = Options::new(clusters);
            if spherical {
                vectors.chunks_mut(3).for_each(normalize);
                options = options.spherical();
            }
            let found = run(&vectors, 3, options, seed);
            prop_assume!(found.converged());
            let centers: Vec<&[f32]> = found.centers().collect();
            let mut sums = vec![[0f64; 4]; clusters];
            for (vector, &assigned) in vectors.chunks(3).zip(found.assignments()) {
                let distance = |center: &[f32]| kernels::scalar().l2_squared(vector, center);
                let least = centers.iter().map(|center| distance(center)).fold(f32::INFINITY, f32::min);
                prop_assert!(distance(centers[assigned as usize]) <= least * 1.0001 + 1e-6);
                for (sum, element) in sums[assigned as usize].iter_mut().zip(vector) {
                    *sum += f64::from(*element);
                }
                sums[assigned as usize][3] += 1.0;
            }
            for (center, sum) in centers.iter().zip(&sums) {
                let norm = sqrt(sum[..3].iter().map(|x| x * x).sum());
                let divisor = if spherical { norm } else { sum[3] };
                if sum[3] > 0.0 && divisor > 1e-3 {
                    for (element, sum) in center.iter().zip(sum) {
                        prop_assert!((f64::from(*element) - sum / divisor).abs() < 1e-4);
                    }
                }
            }
        }

        /// Anything at all, infinities included, is clustered without harm.
        #[test]
        fn any_numbers(bits in proptest::collection::vec(any::<u32>(), 2 * 30), clusters in 1usize..9) {
            let vectors: Vec<f32> = bits.into_iter().map(f32::from_bits).collect();
            let found = run(&vectors, 2, Options::new(clusters).iterations(5), 1);
            prop_assert!(found.assignments().iter().all(|&cluster| (cluster as usize) < clusters));
        }
    }
}
