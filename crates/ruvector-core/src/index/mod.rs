//! Indexes in memory, for programs without a database, which can be saved and loaded.

mod bytes;
mod flat;
mod hnsw;
mod reader;

pub use flat::FlatIndex;
pub use hnsw::{HnswIndex, IndexOptions};

use alloc::vec::Vec;

use crate::distance::l2_norm;
use crate::error::{Error, Result};
use crate::hnsw::graph::prefetch;
use crate::kernels::{self, Kernels};
use crate::kind::VectorKind;
use crate::math::sqrt;

/// What is near.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Metric {
    /// Euclidean distance.
    L2,
    /// Inner product with its sign changed: the largest products are the nearest.
    InnerProduct,
    /// Cosine distance, from 0 to 2. Vectors are kept with length one; zeros cannot be added.
    Cosine,
    /// Manhattan distance.
    L1,
}

impl Metric {
    /// What orders vectors as the distance does, at least cost. Vectors for the cosine have length one.
    #[inline]
    pub(crate) fn order(self, kernels: &Kernels, a: &[f32], b: &[f32]) -> f32 {
        match self {
            Self::L2 => kernels.l2_squared(a, b),
            Self::InnerProduct | Self::Cosine => -kernels.inner(a, b),
            Self::L1 => kernels.l1(a, b),
        }
    }

    /// The distance.
    pub(crate) fn distance(self, order: f32) -> f64 {
        match self {
            Self::L2 => sqrt(f64::from(order)),
            Self::InnerProduct | Self::L1 => f64::from(order),
            Self::Cosine => 1.0 + f64::from(order).clamp(-1.0, 1.0),
        }
    }
}

/// A result of a search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbor {
    /// The number that the vector got when it was added.
    pub id: u32,
    /// Its distance from the query.
    pub distance: f64,
}

/// Vectors one after the other.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Vectors {
    metric: Metric,
    dimensions: usize,
    numbers: Vec<f32>,
}

impl Vectors {
    pub(crate) fn new(metric: Metric, dimensions: u32) -> Result<Self> {
        let dimensions = VectorKind::Vector.check_dimensions(i64::from(dimensions))? as usize;
        Ok(Self { metric, dimensions, numbers: Vec::new() })
    }

    pub(crate) fn metric(&self) -> Metric {
        self.metric
    }

    pub(crate) fn dimensions(&self) -> u32 {
        self.dimensions as u32
    }

    pub(crate) fn len(&self) -> usize {
        self.numbers.len() / self.dimensions
    }

    #[inline]
    pub(crate) fn get(&self, id: u32) -> Option<&[f32]> {
        let start = (id as usize).checked_mul(self.dimensions)?;
        self.numbers.get(start..start + self.dimensions)
    }

    /// Has the beginning of a vector brought into the nearest cache; the rest follows when that is read.
    #[inline]
    pub(crate) fn prefetch(&self, id: u32) {
        if let Some(vector) = self.get(id) {
            prefetch(vector);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[f32]> {
        self.numbers.chunks_exact(self.dimensions)
    }

    /// A vector as it is compared: checked, and with length one for the cosine.
    pub(crate) fn prepare(&self, vector: &[f32]) -> Result<Vec<f32>> {
        if vector.len() != self.dimensions {
            let (expected, found) = (self.dimensions as u32, vector.len() as u32);
            return Err(Error::UnexpectedDimensions { expected, found });
        }
        vector.iter().try_for_each(|&x| VectorKind::Vector.check_element(x))?;
        let mut prepared = Vec::new();
        prepared.try_reserve_exact(vector.len())?;
        prepared.extend_from_slice(vector);
        if self.metric == Metric::Cosine {
            let norm = l2_norm(vector);
            if norm == 0.0 {
                return Err(Error::ZeroVector);
            }
            prepared.iter_mut().for_each(|x| *x = (f64::from(*x) / norm) as f32);
        }
        Ok(prepared)
    }

    /// Adds a prepared vector, and returns its number.
    pub(crate) fn push(&mut self, prepared: &[f32]) -> Result<u32> {
        let id = u32::try_from(self.len()).ok().filter(|&id| id < MAX_VECTORS);
        let id = id.ok_or(Error::IndexFull)?;
        self.numbers.try_reserve(self.dimensions)?;
        self.numbers.extend_from_slice(prepared);
        Ok(id)
    }

    /// Takes the last vector away again.
    pub(crate) fn pop(&mut self) {
        self.numbers.truncate(self.numbers.len().saturating_sub(self.dimensions));
    }

    #[inline]
    pub(crate) fn order(&self, a: &[f32], b: &[f32]) -> f32 {
        self.metric.order(kernels::detect(), a, b)
    }
}

/// Numbers of vectors are below that: a bit is left for marks.
pub(crate) const MAX_VECTORS: u32 = 1 << 30;
