#![no_std]
#![doc = include_str!("../README.md")]

extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

pub mod binary;
mod bits;
pub mod distance;
mod error;
mod half;
pub mod hnsw;
pub mod index;
pub mod kernels;
mod kind;
pub mod kmeans;
mod math;
pub mod ops;
pub mod quantize;
pub mod rng;
mod sparse;
pub mod text;

pub use bits::{BitRef, BitVector};
pub use error::{Error, ErrorClass, Result};
pub use half::F16;
pub use kind::{
    SPARSEVEC_MAX_DIMENSIONS, SPARSEVEC_MAX_ELEMENTS, VECTOR_MAX_DIMENSIONS, VectorKind,
};
pub use math::sqrt;
pub use sparse::{SparseRef, SparseVector};
