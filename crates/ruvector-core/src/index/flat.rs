//! Exact search.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;

use super::bytes::{Kind, Reader, Writer};
use super::{Metric, Neighbor, Vectors};
#[expect(unused_imports, reason = "for links of the documentation")]
use crate::error::Error;
use crate::error::Result;
use crate::hnsw::{Candidate, ElementId};
use crate::kernels;

/// All vectors, each of which a search looks at: exact, and without any preparation.
///
/// ```
/// use ruvector_core::index::{FlatIndex, Metric};
///
/// let mut index = FlatIndex::new(Metric::L2, 2)?;
/// index.insert(&[0.0, 0.0])?;
/// index.insert(&[3.0, 4.0])?;
/// let found = index.search(&[0.0, 0.0], 2)?;
/// assert_eq!((found[1].id, found[1].distance), (1, 5.0));
/// # Ok::<(), ruvector_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct FlatIndex {
    vectors: Vectors,
}

impl FlatIndex {
    /// Without any vector.
    ///
    /// # Errors
    /// [`Error::NoDimensions`], [`Error::TooManyDimensions`].
    pub fn new(metric: Metric, dimensions: u32) -> Result<Self> {
        Ok(Self { vectors: Vectors::new(metric, dimensions)? })
    }

    /// How many vectors there are.
    pub fn len(&self) -> usize {
        self.vectors.len()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many dimensions vectors have.
    pub fn dimensions(&self) -> u32 {
        self.vectors.dimensions()
    }

    /// Adds a vector. Its number is how many there were before.
    ///
    /// # Errors
    /// [`Error::UnexpectedDimensions`], [`Error::NotANumber`], [`Error::Infinite`], [`Error::ZeroVector`] for the cosine,
    /// [`Error::IndexFull`], [`Error::OutOfMemory`].
    pub fn insert(&mut self, vector: &[f32]) -> Result<u32> {
        let prepared = self.vectors.prepare(vector)?;
        self.vectors.push(&prepared)
    }

    /// The `count` nearest vectors, in order of distance; of two as near the one that was added first.
    ///
    /// # Errors
    /// [`Error::UnexpectedDimensions`], [`Error::NotANumber`], [`Error::Infinite`], [`Error::ZeroVector`] for the cosine,
    /// [`Error::OutOfMemory`].
    pub fn search(&self, query: &[f32], count: usize) -> Result<Vec<Neighbor>> {
        self.search_where(query, count, |_| true)
    }

    /// As [`FlatIndex::search`], of those vectors only whose numbers fulfil a condition.
    ///
    /// # Errors
    /// As [`FlatIndex::search`].
    pub fn search_where(
        &self,
        query: &[f32],
        count: usize,
        condition: impl Fn(u32) -> bool,
    ) -> Result<Vec<Neighbor>> {
        let query = self.vectors.prepare(query)?;
        let metric = self.vectors.metric();
        let kernels = kernels::detect();
        let mut nearest: BinaryHeap<Candidate> = BinaryHeap::new();
        let count = count.min(self.len());
        nearest.try_reserve_exact(count + 1)?;
        for (id, vector) in (0u32..).zip(self.vectors.iter()) {
            if !condition(id) {
                continue;
            }
            let distance = metric.order(kernels, &query, vector);
            let visit = crate::hnsw::Visit { distance, live: true };
            let candidate = Candidate::new(ElementId(u64::from(id)), visit);
            if nearest.len() < count {
                nearest.push(candidate);
            } else if let Some(mut farthest) = nearest.peek_mut()
                && candidate < *farthest
            {
                *farthest = candidate;
            }
        }
        let mut found = Vec::new();
        found.try_reserve_exact(nearest.len())?;
        while let Some(candidate) = nearest.pop() {
            found.push(Neighbor {
                id: candidate.id.0 as u32,
                distance: metric.distance(candidate.distance),
            });
        }
        found.reverse();
        Ok(found)
    }

    /// The index as bytes, which [`FlatIndex::from_bytes`] reads on any host.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut writer = Writer::new(Kind::Flat)?;
        writer.vectors(&self.vectors)?;
        writer.finish()
    }

    /// An index of its bytes.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if they are not those that were written, [`Error::OutOfMemory`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes, Kind::Flat)?;
        let vectors = reader.vectors()?;
        reader.finish()?;
        Ok(Self { vectors })
    }

    /// Writes the index to a file, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::OutOfMemory`].
    #[cfg(feature = "std")]
    pub fn save(&self, path: impl AsRef<std::path::Path>) -> Result<()> {
        super::bytes::save(path.as_ref(), &self.to_bytes()?)
    }

    /// Reads an index from a file.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Corrupt`], [`Error::OutOfMemory`].
    #[cfg(feature = "std")]
    pub fn load(path: impl AsRef<std::path::Path>) -> Result<Self> {
        Self::from_bytes(&std::fs::read(path)?)
    }
}
