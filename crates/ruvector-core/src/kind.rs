//! The kinds of vectors, and their limits.

use core::fmt;

use crate::error::{Error, Result};

/// Most dimensions of a dense vector.
pub const VECTOR_MAX_DIMENSIONS: u32 = 16_000;
/// Most dimensions of a sparse vector.
pub const SPARSEVEC_MAX_DIMENSIONS: u32 = 1_000_000_000;
/// Most elements other than zero of a sparse vector.
pub const SPARSEVEC_MAX_ELEMENTS: u32 = 16_000;

/// A kind of vectors, with the name that pgvector's type has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum VectorKind {
    /// Dense, single precision: `vector`.
    Vector,
    /// Dense, half precision: `halfvec`.
    HalfVec,
    /// Sparse, single precision: `sparsevec`.
    SparseVec,
}

impl VectorKind {
    /// The name in SQL and in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vector => "vector",
            Self::HalfVec => "halfvec",
            Self::SparseVec => "sparsevec",
        }
    }

    /// Most dimensions of a vector of this kind.
    pub const fn max_dimensions(self) -> u32 {
        match self {
            Self::Vector | Self::HalfVec => VECTOR_MAX_DIMENSIONS,
            Self::SparseVec => SPARSEVEC_MAX_DIMENSIONS,
        }
    }

    /// Is that a number of dimensions that this kind can have?
    ///
    /// # Errors
    /// [`Error::NoDimensions`] and [`Error::TooManyDimensions`].
    pub fn check_dimensions(self, dimensions: i64) -> Result<u32> {
        if dimensions < 1 {
            return Err(Error::NoDimensions { kind: self });
        }
        match u32::try_from(dimensions) {
            Ok(dimensions) if dimensions <= self.max_dimensions() => Ok(dimensions),
            _ => Err(Error::TooManyDimensions { kind: self }),
        }
    }

    /// The type modifier that stands for `vector(n)`, from the numbers in the parentheses.
    ///
    /// # Errors
    /// [`Error::ModifierCount`], [`Error::ModifierTooSmall`] and [`Error::ModifierTooLarge`].
    ///
    /// ```
    /// use ruvector_core::VectorKind;
    ///
    /// assert_eq!(VectorKind::Vector.type_modifier(&[3]), Ok(3));
    /// assert_eq!(
    ///     VectorKind::Vector.type_modifier(&[16001]).unwrap_err().to_string(),
    ///     "dimensions for type vector cannot exceed 16000"
    /// );
    /// ```
    pub fn type_modifier(self, numbers: &[i32]) -> Result<u32> {
        let &[number] = numbers else { return Err(Error::ModifierCount) };
        match u32::try_from(number) {
            Ok(0) | Err(_) => Err(Error::ModifierTooSmall { kind: self }),
            Ok(number) if number > self.max_dimensions() => {
                Err(Error::ModifierTooLarge { kind: self })
            }
            Ok(number) => Ok(number),
        }
    }

    /// Is the element one that a vector may have?
    ///
    /// # Errors
    /// [`Error::NotANumber`] and [`Error::Infinite`].
    pub fn check_element(self, value: f32) -> Result<()> {
        if value.is_finite() {
            Ok(())
        } else if value.is_nan() {
            Err(Error::NotANumber { kind: self })
        } else {
            Err(Error::Infinite { kind: self })
        }
    }
}

impl fmt::Display for VectorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Has the vector the dimensions that are expected? `None` expects nothing.
pub(crate) fn check_expected(expected: Option<u32>, found: u32) -> Result<()> {
    match expected {
        Some(expected) if expected != found => Err(Error::UnexpectedDimensions { expected, found }),
        _ => Ok(()),
    }
}
