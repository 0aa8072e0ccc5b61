//! What the access method `ivfflat` computes: distances of many values, and centres of lists.

use core::ffi::c_void;

use ruvector_core::kernels;
use ruvector_core::kmeans::{Options, cluster, cluster_bits};
use ruvector_core::rng::{Random, SplitMix64};
use ruvector_core::{Error, F16};

use crate::view::slice;
use crate::{Failure, report};

/// How numbers of a value are stored.
#[derive(Clone, Copy)]
enum Elements {
    Single,
    Half,
    Bits,
}

impl Elements {
    const fn new(number: u32) -> Self {
        match number {
            0 => Self::Single,
            1 => Self::Half,
            _ => Self::Bits,
        }
    }
}

/// Distances of values from a query: squares of Euclidean ones (0), inner products with the sign changed (1), or bits that
/// differ (2).
///
/// # Safety
/// `query` and the `count` pointers at `others` are to numbers of so many dimensions, aligned for them, and there is room
/// for `count` distances at `out`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_ivfflat_distances(
    measure: u32,
    elements: u32,
    dimensions: u32,
    query: *const u8,
    others: *const *const u8,
    count: usize,
    out: *mut f64,
) {
    let dimensions = dimensions as usize;
    let kernels = kernels::detect();
    // SAFETY: the caller's promise.
    let others = unsafe { slice(others, count) };
    let each = |distance: &dyn Fn(*const u8) -> f64| {
        for (place, &other) in others.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { out.add(place).write(distance(other)) };
        }
    };
    // SAFETY: the caller's promise.
    unsafe {
        match (Elements::new(elements), measure) {
            (Elements::Single, 0) => {
                let query = slice(query.cast(), dimensions);
                each(&|other| {
                    f64::from(kernels.l2_squared(slice(other.cast(), dimensions), query))
                });
            }
            (Elements::Single, _) => {
                let query = slice(query.cast(), dimensions);
                each(&|other| f64::from(-kernels.inner(slice(other.cast(), dimensions), query)));
            }
            (Elements::Half, 0) => {
                let query = slice(query.cast(), dimensions);
                each(&|other| {
                    f64::from(kernels.l2_squared_f16(slice(other.cast(), dimensions), query))
                });
            }
            (Elements::Half, _) => {
                let query = slice(query.cast(), dimensions);
                each(&|other| {
                    f64::from(-kernels.inner_f16(slice(other.cast(), dimensions), query))
                });
            }
            (Elements::Bits, _) => {
                let bytes = dimensions.div_ceil(8);
                let query = slice(query, bytes);
                each(&|other| kernels.hamming(slice(other, bytes), query) as f64);
            }
        }
    }
}

/// Half precision to single precision.
///
/// # Safety
/// So many numbers are at `halves`, and there is room for them at `out`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_ivfflat_widen(dimensions: u32, halves: *const u8, out: *mut f32) {
    for place in 0..dimensions as usize {
        // SAFETY: the caller's promise; halves behind a short header are not aligned.
        unsafe {
            let bits = halves.cast::<u16>().add(place).read_unaligned();
            out.add(place).write(F16::from_bits(bits).to_f32());
        }
    }
}

/// Bytes that clustering needs, the sample and the centres included.
#[unsafe(no_mangle)]
pub extern "C" fn ruvector_ivfflat_memory(
    elements: u32,
    dimensions: u32,
    clusters: u32,
    samples: u64,
) -> u64 {
    let (dimensions, clusters) = (u64::from(dimensions), u64::from(clusters));
    match Elements::new(elements) {
        // Centres twice, their sums in double precision, and neighbours; for a vector two bounds, a cluster and a weight.
        Elements::Single | Elements::Half => {
            clusters * (dimensions * 16 + 544) + samples * (dimensions * 4 + 20)
        }
        // Centres twice, and for each bit a count; for a vector a cluster and a distance.
        Elements::Bits => {
            let bytes = dimensions.div_ceil(8);
            clusters * (bytes * 2 + dimensions * 4 + 4) + samples * (bytes + 12)
        }
    }
}

/// Why clustering has ended early.
enum Stop {
    Failed(Error),
    Interrupted,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// What is to be clustered, and how.
struct Request {
    elements: Elements,
    dimensions: u32,
    clusters: usize,
    spherical: bool,
    random: SplitMix64,
}

impl Request {
    /// Writes centres of numbers, one after the other, with what puts one in its place.
    fn dense(
        &mut self,
        samples: &[f32],
        interrupted: impl FnMut() -> Result<(), Stop>,
        mut put: impl FnMut(usize, f32),
    ) -> Result<(), Stop> {
        let dimensions = self.dimensions as usize;
        if samples.is_empty() {
            // Whatever comes, lists of the same size are as likely as any.
            for place in 0..self.clusters * dimensions {
                put(place, self.random.next_f64() as f32);
            }
            return Ok(());
        }
        let mut options = Options::new(self.clusters).settled(samples.len() / dimensions / SETTLED);
        options.spherical = self.spherical;
        let found = cluster(samples, dimensions, options, &mut self.random, interrupted)?;
        found.centers().flatten().enumerate().for_each(|(place, &element)| put(place, element));
        Ok(())
    }

    fn bits(
        &mut self,
        samples: &[u8],
        interrupted: impl FnMut() -> Result<(), Stop>,
        mut put: impl FnMut(usize, u8),
    ) -> Result<(), Stop> {
        let bytes = self.dimensions.div_ceil(8) as usize;
        if samples.is_empty() {
            let last = 0xffu8 << ((8 - self.dimensions % 8) % 8);
            for place in 0..self.clusters * bytes {
                let byte = self.random.next_u64() as u8;
                put(place, if place % bytes == bytes - 1 { byte & last } else { byte });
            }
            return Ok(());
        }
        let options = Options::new(self.clusters).settled(samples.len() / bytes / SETTLED);
        let found = cluster_bits(samples, self.dimensions, options, &mut self.random, interrupted)?;
        found.centers().flatten().enumerate().for_each(|(place, &byte)| put(place, byte));
        Ok(())
    }
}

/// Clusters are good enough when no more than one in so many vectors changes its own.
const SETTLED: usize = 100;

/// Finds centres and writes them to `out`, as the type stores its numbers. Samples are in single precision, or bits. Without
/// samples, centres are random.
///
/// `interrupted` is called again and again with `state`; if it says so, this returns false without a failure.
///
/// # Safety
/// `count` samples of so many dimensions are at `samples`, and there is room for as many values as clusters at `out`;
/// `failure` can be written to; `interrupted` can be called and returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ruvector_ivfflat_cluster(
    elements: u32,
    dimensions: u32,
    samples: *const c_void,
    count: usize,
    clusters: u32,
    spherical: bool,
    seed: u64,
    interrupted: unsafe extern "C" fn(*mut c_void) -> bool,
    state: *mut c_void,
    out: *mut c_void,
    failure: *mut Failure,
) -> bool {
    let elements = Elements::new(elements);
    let clusters = clusters as usize;
    let random = SplitMix64::new(seed);
    let mut request = Request { elements, dimensions, clusters, spherical, random };
    // SAFETY: the caller's promise.
    let stop = || match unsafe { interrupted(state) } {
        true => Err(Stop::Interrupted),
        false => Ok(()),
    };
    let numbers = dimensions as usize;
    // SAFETY: the caller's promise.
    let result = unsafe {
        match request.elements {
            Elements::Single => {
                request.dense(slice(samples.cast(), count * numbers), stop, |place, x| {
                    out.cast::<f32>().add(place).write(x);
                })
            }
            Elements::Half => {
                request.dense(slice(samples.cast(), count * numbers), stop, |place, x| {
                    out.cast::<F16>().add(place).write(F16::from_f32(x));
                })
            }
            Elements::Bits => request.bits(
                slice(samples.cast(), count * numbers.div_ceil(8)),
                stop,
                |place, byte| {
                    out.cast::<u8>().add(place).write(byte);
                },
            ),
        }
    };
    match result {
        Ok(()) => true,
        Err(Stop::Interrupted) => false,
        // SAFETY: the caller's promise.
        Err(Stop::Failed(error)) => unsafe { report(Err(error), failure) },
    }
}
