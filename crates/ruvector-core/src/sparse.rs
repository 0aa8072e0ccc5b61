//! Sparse vectors: positions and values of the elements that are not zero.

use alloc::vec::Vec;

use crate::error::{Error, Result};
use crate::kind::{SPARSEVEC_MAX_ELEMENTS, VectorKind};

/// A view of a sparse vector whose parts lie anywhere, such as on a page of a database.
///
/// Positions count from 0 and ascend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SparseRef<'a> {
    dimensions: u32,
    indices: &'a [u32],
    values: &'a [f32],
}

impl<'a> SparseRef<'a> {
    /// A view of parts that are checked.
    ///
    /// # Errors
    /// [`Error::NoDimensions`], [`Error::TooManyDimensions`], [`Error::UnequalParts`], [`Error::TooManyElements`],
    /// [`Error::MoreElementsThanDimensions`], [`Error::IndexOutOfBounds`], [`Error::IndexOrder`],
    /// [`Error::IndexDuplicate`], [`Error::NotANumber`] and [`Error::Infinite`]. Zeros are not refused.
    ///
    /// ```
    /// use ruvector_core::SparseRef;
    ///
    /// let vector = SparseRef::new(5, &[0, 3], &[1.5, -2.0])?;
    /// assert_eq!(vector.get(3), -2.0);
    /// assert_eq!(vector.get(1), 0.0);
    /// # Ok::<(), ruvector_core::Error>(())
    /// ```
    pub fn new(dimensions: u32, indices: &'a [u32], values: &'a [f32]) -> Result<Self> {
        let kind = VectorKind::SparseVec;
        kind.check_dimensions(i64::from(dimensions))?;
        if indices.len() != values.len() {
            return Err(Error::UnequalParts { indices: indices.len(), values: values.len() });
        }
        check_count(indices.len() as u64, dimensions)?;
        let mut last = None;
        for &index in indices {
            check_index(index, last, dimensions)?;
            last = Some(index);
        }
        values.iter().try_for_each(|&value| kind.check_element(value))?;
        Ok(Self { dimensions, indices, values })
    }

    /// A view of parts that are known to be those of a sparse vector, as they come from where only checked ones are
    /// kept. What is not so gives wrong distances, or an error from the functions that build other vectors.
    pub const fn new_unchecked(dimensions: u32, indices: &'a [u32], values: &'a [f32]) -> Self {
        Self { dimensions, indices, values }
    }

    /// How many dimensions it has.
    pub const fn dimensions(self) -> u32 {
        self.dimensions
    }

    /// The positions, from 0.
    pub const fn indices(self) -> &'a [u32] {
        self.indices
    }

    /// The values at the positions.
    pub const fn values(self) -> &'a [f32] {
        self.values
    }

    /// The element at a position, from 0; zero where there is none.
    pub fn get(self, index: u32) -> f32 {
        let found = self.indices.binary_search(&index).ok();
        found.and_then(|place| self.values.get(place)).copied().unwrap_or(0.0)
    }

    /// A copy that owns its parts.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn to_owned(self) -> Result<SparseVector> {
        let (mut indices, mut values) = (Vec::new(), Vec::new());
        indices.try_reserve_exact(self.indices.len())?;
        values.try_reserve_exact(self.values.len())?;
        indices.extend_from_slice(self.indices);
        values.extend_from_slice(self.values);
        Ok(SparseVector { dimensions: self.dimensions, indices, values })
    }
}

pub(crate) fn check_count(elements: u64, dimensions: u32) -> Result<()> {
    if elements > u64::from(SPARSEVEC_MAX_ELEMENTS) {
        return Err(Error::TooManyElements);
    }
    if elements > u64::from(dimensions) {
        return Err(Error::MoreElementsThanDimensions);
    }
    Ok(())
}

pub(crate) fn check_index(index: u32, last: Option<u32>, dimensions: u32) -> Result<()> {
    if index >= dimensions {
        return Err(Error::IndexOutOfBounds);
    }
    match last {
        Some(last) if index < last => Err(Error::IndexOrder),
        Some(last) if index == last => Err(Error::IndexDuplicate),
        _ => Ok(()),
    }
}

/// A sparse vector.
#[derive(Clone, Debug, PartialEq)]
pub struct SparseVector {
    dimensions: u32,
    indices: Vec<u32>,
    values: Vec<f32>,
}

impl SparseVector {
    /// A vector of its parts.
    ///
    /// # Errors
    /// As [`SparseRef::new`].
    pub fn new(dimensions: u32, indices: Vec<u32>, values: Vec<f32>) -> Result<Self> {
        SparseRef::new(dimensions, &indices, &values)?;
        Ok(Self { dimensions, indices, values })
    }

    /// A view.
    pub fn as_ref(&self) -> SparseRef<'_> {
        SparseRef { dimensions: self.dimensions, indices: &self.indices, values: &self.values }
    }
}
